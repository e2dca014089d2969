//! Every word that stands in a file is found, in any script, and odd spellings verbatim.

use super::{Engine, Place, args, assert_at_lines};
use crate::program::cases;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use synod_index::{Detail, SearchArgs};

/// Letters by script, as words of prose and code mix them.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,2}",
        "[A-Za-zàâäçéèêëîïôöùûüÿñßæœøłđŠžİı]{1,9}",
        "[A-Z][a-z]{1,5}[A-Z][a-z]{1,5}[0-9]{0,2}",
        "[a-z]{2,6}_[a-z]{1,6}(_[0-9]{1,3})?",
        "[α-ωΑ-ΡΣ-Ωάέήίόύώϊς]{1,9}",
        "[а-яА-ЯёЁіїґ]{1,9}",
        "[ء-غف-ي][ء-غف-يً-ْ]{0,7}",
        "[א-ת]{1,7}",
        "[一-鿕]{1,4}",
        "[ぁ-ゖァ-ヺ一-鿕]{1,6}",
        "[가-힣]{1,4}",
        "[ก-ฮะ-ู]{1,8}",
        "[०-९अ-ह]{1,6}",
        "[0-9]{1,5}",
    ]
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn every_word_of_every_file_is_found(
        files in proptest::collection::vec(
            (proptest::collection::vec(word(), 1..30), 0usize..4),
            1..12,
        ),
    ) {
        let place = Place::new();
        let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (at, (words, kind)) in files.iter().enumerate() {
            let (name, text) = match kind {
                0 => (format!("{at}.md"), words.join(" ")),
                1 => (format!("{at}.txt"), words.join(",\n")),
                2 => (format!("{at}.rs"), format!("// {}\n", words.join("\n// "))),
                _ => (format!("{at}.json"), format!("[\"{}\"]", words.join("\", \""))),
            };
            place.write(&name, text);
            written.insert(name, words.iter().cloned().collect());
        }
        let engine = place.scanned();
        let all: BTreeSet<&String> = written.values().flatten().collect();
        for word in all {
            let found: BTreeSet<String> = engine.paths(word).into_iter().collect();
            for (name, words) in &written {
                let there = found.contains(name);
                let missed = !there && words.contains(word);
                prop_assert!(!missed, "{word:?} not found in {name}: {found:?}");
            }
        }
    }

    #[test]
    fn parts_of_text_without_spaces_are_found(
        text in "[一-鿕]{6,40}|[ぁ-ゖ一-鿕]{6,40}|[가-힣]{6,30}|[ก-ฮ]{6,40}",
        from in 0usize..30,
        len in 1usize..5,
    ) {
        let place = Place::new();
        place.write("a.md", format!("# x\n\n{text}。\n"));
        let engine = place.scanned();
        let chars: Vec<char> = text.chars().collect();
        let from = from % chars.len();
        let part: String = chars[from..(from + len).min(chars.len())].iter().collect();
        prop_assert_eq!(engine.paths(&part), ["a.md"], "{} in {}", part, text);
    }
}

/// Texts that stand in one file each, among files that hold the same parts in other orders.
const VERBATIM: &[&str] = &[
    "1.0.21",
    "v2.4.0-rc.1",
    "10.0.0.17",
    "src/net/tcp/listener.rs",
    "C:\\Users\\ada\\notes.txt",
    "/etc/ssl/certs/ca.pem",
    "E0499",
    "ERR_CONNECTION_RESET",
    "HTTP/1.1",
    "0x80070005",
    "ada.lovelace@example.org",
    "support+tickets@mail.example.com",
    "2026-03-14T09:26:53",
    "ISO-8601",
    "TCP/IP",
    "std::sync::mpsc",
    "https://example.org/a/b?c=d#e",
    "CVE-2024-3094",
    "#7421",
    "x86_64-unknown-linux-gnu",
    "node:fs/promises",
    "@scope/package-name",
    "--no-default-features",
    "a.b.c.d",
    "日本語/東京タワー",
    "naïve-café",
    "12:45",
    "$HOME/.config",
];

#[test]
fn what_stands_in_one_file_only_is_found_verbatim() {
    let place = Place::new();
    let filler = "Some words of ordinary prose stand around it, as they do in any real note.";
    for (at, text) in VERBATIM.iter().enumerate() {
        place.write(&format!("{at:02} holds.md"), format!("{filler}\n\nIt is {text} here.\n"));
        let parts: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).collect();
        let backwards: Vec<&str> = parts.iter().rev().copied().collect();
        let turned: Vec<&str> = parts.iter().cycle().skip(1).take(parts.len()).copied().collect();
        if parts.len() > 1 {
            let name = |what: &str| format!("{at:02} {what}.md");
            place.write(&name("backwards"), format!("{filler}\n\n{}\n", backwards.join(".")));
            // Only the order tells it from the document that holds the text.
            let often = format!("{} pause ", backwards.join(" ")).repeat(8);
            place.write(&name("often"), format!("{often}\n"));
            place.write(&name("turned"), format!("{} {}\n", turned.join("/"), filler));
        }
    }
    let engine = place.scanned();
    let mut misses = Vec::new();
    for (at, text) in VERBATIM.iter().enumerate() {
        let holds = |path: &String| {
            let file = std::fs::read_to_string(place.root().join(path)).expect("a file");
            file.contains(text)
        };
        for query in [(*text).to_owned(), format!("\"{text}\"")] {
            let found = engine.paths(&query);
            if !found.first().is_some_and(holds) {
                let place =
                    found.iter().position(|path| path.starts_with(&format!("{at:02} holds")));
                misses.push(format!("{query}: first {:?}, it is at {place:?}", found.first()));
            }
        }
    }
    assert_eq!(misses, Vec::<String>::new());
}

#[test]
fn diacritics_are_found_with_and_without() {
    let place = Place::new();
    let texts = [
        ("fr.md", "la soirée à l'hôtel était agréable"),
        ("de.md", "Die Straße über den Fluß und Donaudampfschifffahrtsgesellschaft"),
        ("gr.md", "Η παλίρροια στη θάλασσα και ο Οδυσσέας"),
        ("ru.md", "ёлка и подъём прилива"),
        ("vi.md", "thủy triều lên xuống"),
        ("th.md", "ทะเลดี มีปลา"),
        ("hi.md", "समुद्र का पानी"),
        ("pl.md", "łódź na wybrzeżu"),
        ("ar.md", "المدّ والجزر في البحر"),
    ];
    for (path, text) in texts {
        place.write(path, text);
    }
    let engine = place.scanned();
    let asks = [
        ("soirée", "fr.md"),
        ("soiree", "fr.md"),
        ("SOIRÉE", "fr.md"),
        ("soire\u{301}e", "fr.md"),
        ("hôtel", "fr.md"),
        ("hotel", "fr.md"),
        ("Straße", "de.md"),
        ("strasse", "de.md"),
        ("STRASSE", "de.md"),
        ("uber", "de.md"),
        ("Fluss", "de.md"),
        ("παλιρροια", "gr.md"),
        ("ΘΆΛΑΣΣΑ", "gr.md"),
        ("οδυσσεας", "gr.md"),
        ("ΟΔΥΣΣΕΑΣ", "gr.md"),
        ("елка", "ru.md"),
        ("ПОДЪЁМ", "ru.md"),
        ("ดี", "th.md"),
        ("มีปลา", "th.md"),
        ("पानी", "hi.md"),
        ("thuy trieu", "vi.md"),
        ("lodz", "pl.md"),
        ("المد", "ar.md"),
        ("والجزر", "ar.md"),
    ];
    for (query, path) in asks {
        assert_eq!(engine.paths(query).first().map(String::as_str), Some(path), "{query}");
    }
}

#[test]
fn queries_of_several_scripts_use_all_their_words() {
    let words =
        ["Fehler", "日本語", "ошибка", "παλίρροια", "바다", "ทะเลดี", "خطأ", "पानी", "E0499"];
    // So much of the same in every note that their lengths do not tell them apart.
    let pad = "harbour rope anchor gull ".repeat(20);
    let place = Place::new();
    place.write("all.md", format!("{} {pad}\n", words.join(" ")));
    for (at, word) in words.iter().enumerate() {
        // All but one: whoever passes over a word of the query takes it for the whole.
        let others: Vec<&str> = words.iter().filter(|other| *other != word).copied().collect();
        place.write(&format!("without{at}.md"), format!("{} {pad}\n", others.join(" ")));
        place.write(&format!("alone{at}.md"), format!("{word} {pad}\n"));
    }
    for n in 0..30 {
        place.write(&format!("filler{n}.md"), format!("{pad}\n"));
    }
    let engine = place.scanned();
    for query in [words.join(" "), words.join(", "), words.map(|word| format!("+{word}")).join(" ")]
    {
        let found = engine.search(&query);
        assert_eq!(found.hits[0].path, "all.md", "{query}: {:?}", found.notes);
        let better = found.hits.get(1).is_none_or(|next| found.hits[0].score > next.score);
        assert!(better, "{query}: {:?}", &found.hits[..2]);
        let strict = query.starts_with('+');
        assert_eq!(found.total == 1, strict, "{query}: {} are found", found.total);
    }
    for (at, word) in words.iter().enumerate() {
        let found = engine.paths(word);
        assert_eq!(found.len(), 1 + words.len(), "{word}: {found:?}");
        assert!(found.contains(&format!("alone{at}.md")), "{word}: {found:?}");
        assert!(!found.contains(&format!("without{at}.md")), "{word}: {found:?}");
    }
}

#[test]
fn a_frequent_word_gives_the_same_when_it_is_asked_for_again() {
    let place = Place::new();
    // So many that what the word gives is kept.
    for n in 0..1_100 {
        let more = "tide ".repeat(n % 7);
        place.write(&format!("n{n}.md"), format!("# Note {n}\n\ntide {more}number{n}\n"));
    }
    drop(place.scanned());
    for query in ["tide", "tide tide number7", "+tide number9", "tide -number0"] {
        // Nothing is kept by a reader that begins.
        let reader = synod_index::Index::open(&place.data()).expect("a reader");
        let ask = || reader.search(&args(query)).expect("an answer").hits;
        let first = ask();
        assert!(!first.is_empty());
        assert_eq!(ask(), first, "{query}");
    }
}

#[test]
fn odd_queries_are_answered_with_a_note() {
    let place = Place::new();
    place.write("a.md", "The tide is low. 🦀 \"quoted\" (a) [b]");
    let engine = place.scanned();
    for query in ["", "   ", "!!!", "\"", "\"\"", "( [ {", "- + -", "\\", "AND OR NOT", ":::", "\0"]
    {
        let found = engine.search(query);
        assert!(!found.hits.is_empty() || !found.notes.is_empty(), "{query:?} says nothing");
    }
    for query in
        ["the", "\"tide", "tide\"", "(tide", "tide)", "🦀", "title:tide", "tide AND", "+tide"]
    {
        assert_eq!(engine.paths(query), ["a.md"], "{query:?}");
    }
    let found = engine.search("tidd");
    assert_eq!(found.hits.len(), 1, "a typo finds what is near");
    assert!(found.notes.iter().any(|note| note.contains("`tidd`")), "{:?}", found.notes);
}

/// Any text, texts full of operators, and filters that are none.
const ODD: &str = "\\PC{0,60}|[\\-+\":a-c .]{0,20}\
    |((tag|path|file|kind|source|after|before|line|OR|AND|-tag|\\(path):?\
    [\\[\\]{}()*?\"/#!a-c0-9 .\\-]{0,6} ?){1,5}";

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn no_query_fails(queries in proptest::collection::vec(ODD, 300)) {
        let place = Place::new();
        place.write("a.md", "a b c: tide -low +high \"x\"");
        place.write("b.rs", "fn a() { b::c() }");
        let engine = place.scanned();
        for query in queries {
            let failed = engine.index.search(&super::args(&query)).err();
            prop_assert!(failed.is_none(), "{query:?}: {failed:?}");
        }
    }
}

#[test]
fn a_quotation_that_stands_nowhere_is_searched_as_words() {
    let place = Place::new();
    place.write("desk.md", "# Desk\n\nThe metaphor of the desktop is old.\n");
    place.write("sea.md", "# Sea\n\nNothing of the kind.\n");
    let mut engine = place.scanned();
    let pasted = r#"the so-called "desktop metaphor" of workstations"#;
    let found = engine.search(pasted);
    assert_eq!(found.hits[0].path, "desk.md");
    assert!(found.notes.iter().any(|note| note.contains("quoted")), "{:?}", found.notes);
    // What is asked for with a sign must be there.
    assert!(engine.paths(r#"+"desktop metaphor" workstations"#).is_empty());
    assert_eq!(engine.paths(r#"-"metaphor of" "desktop nothing""#), ["sea.md"]);
    place.write("phrase.md", "# Phrase\n\nThe desktop metaphor, as it is.\n");
    engine.scan();
    let found = engine.search(pasted);
    let paths: Vec<&str> = found.hits.iter().map(|hit| hit.path.as_str()).collect();
    assert_eq!((paths, found.notes), (vec!["phrase.md"], Vec::new()));
}

#[test]
fn notes_in_another_language_are_found_by_their_stems_and_change_nothing_for_others() {
    let place = Place::new();
    place.write("rain.md", "# Rain\n\nIt is not raining, and the wind is weak today as well.\n");
    place.write("rats.md", "# Rats\n\nThe rats of the harbour are many, and they are not shy.\n");
    place.write("rate.md", "# Change\n\nThe rate of change is what it is, said the notes.\n");
    let english = place.scanned();
    let ask = |engine: &Engine| {
        let queries = ["rain -notes", "rate", "\"the notes\"", "notes", "raining"];
        queries.map(|query| {
            let mut paths = engine.paths(query);
            paths.sort();
            paths
        })
    };
    let before = ask(&english);
    drop(english);
    assert_eq!(before[0], ["rain.md"]);
    assert_eq!(before[1], ["rate.md"]);
    place.write(
        "hafen.md",
        "# Am Wasser\n\nDie Häuser am Hafen waren noch leer, und die Boote lagen ruhig am Steg. \
         Wir haben lange auf den Wind gewartet, aber er kam nicht.\n",
    );
    place.write(
        "quai.md",
        "# Au port\n\nLe port était encore vide ce matin et les bateaux restaient calmes contre \
         le quai. Nous avons attendu longtemps le vent, mais il n'est pas venu.\n",
    );
    let engine = place.scanned();
    assert_eq!(ask(&engine), before);
    for (query, path) in [("Haus", "hafen.md"), ("Boot", "hafen.md"), ("bateau", "quai.md")] {
        assert_eq!(engine.paths(query).first().map(String::as_str), Some(path), "{query}");
    }
    let found = engine.search("Haus");
    assert!(!found.hits[0].marks.is_empty(), "the word is marked: {:?}", found.hits[0]);
}

#[test]
fn of_a_line_that_is_long_the_part_with_the_word_is_shown() {
    let place = Place::new();
    let far = "The pilot waits for the tide at the quay. ".repeat(9);
    place.write("day.md", format!("# Day\n\n{far}Then a limpet was seen. {far}\n\nNo more.\n"));
    let engine = place.scanned();
    for detail in [Detail::Line, Detail::Passage] {
        for query in ["limpet", "limpet tide"] {
            let found = engine.index.search(&SearchArgs { detail, ..args(query) });
            let hits = found.expect("found").hits;
            assert_at_lines(&place.root(), &hits);
            let hit = &hits[0];
            let marked = hit.marks.iter().any(|mark| &hit.snippet[mark.clone()] == "limpet");
            assert!(marked && hit.snippet_line == 3, "{query} {detail:?}: {hit:?}");
        }
    }
}
