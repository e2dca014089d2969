//! One document has many names; each of them reads it, and none guesses.

use super::{Place, lines_of, of};
use synod_index::{Error, ReadArgs, Reading, RelatedArgs};

const TIDES: &str = "---\naliases: [Gezeiten, Ebb and flow]\ntitle: The tides\n---\n# The tides\n\n\
    Intro line.\n\n## Low tide\n\nLow words. ^low1\n\n### Moon\n\nMoon words.\n\n\
    ## High tide\n\nHigh words.\n";
/// Decomposed.
const ANGSTROM: &str = "A\u{30a}ngstro\u{308}m";

const POOL: &str = "/// A pool.\npub struct Pool;\n\nimpl Pool {\n    \
    pub fn take(&self) -> u32 {\n        \
    1\n    }\n\n    pub fn give(&self) {}\n}\n\npub struct Lake;\n\nimpl Lake {\n    \
    pub fn take(&self) -> u32 {\n        2\n    }\n}\n\npub fn drain_all() {}\n";

fn place() -> Place {
    let place = Place::new();
    place.write("sea/tides.md", TIDES);
    place.write("sea/boats.md", "# Boats\n\nA boat. See [[tides]].\n");
    place.write("src/pool.rs", POOL);
    place.write("one/index.md", "# One\n\nfirst\n");
    place.write("two/index.md", "# Two\n\nsecond\n");
    place.write("Café ☕.md", "coffee\n");
    place.write("Ångström.md", "units\n");
    place.write("odd #1, 50%.md", "odd\n");
    place
}

fn ends(text: &str, part: &str) -> (u32, u32) {
    let line = text.lines().position(|line| line == part).expect("a line") as u32 + 1;
    (line, line)
}

#[test]
fn every_name_reads_the_document() {
    let place = place();
    let engine = place.scanned();
    let id = engine.search("\"intro line\"").hits.remove(0).id;
    assert!(engine.read(&id).expect("by id").text.contains("Intro line."));
    for name in [
        "sea/tides.md",
        "sea/tides",
        "tides.md",
        "tides",
        "TIDES.MD",
        "Sea/Tides.md",
        "vault/sea/tides.md",
        "vault:sea/tides.md",
        "./sea/tides.md",
        "sea\\tides.md",
        "The tides",
        "the TIDES",
        "Gezeiten",
        "ebb and flow",
        "[[tides]]",
        "[[sea/tides]]",
        "note://vault/sea/tides.md",
        " tides ",
    ] {
        let reading = engine.read(name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(
            (reading.path.as_str(), reading.text.as_str()),
            ("sea/tides.md", TIDES),
            "{name}"
        );
        assert_eq!(reading.lines, (1, TIDES.lines().count() as u32));
        assert_eq!(reading.title, "The tides");
    }
    let by_title = ReadArgs { title: Some("gezeiten".into()), bytes_max: 9_999, ..<_>::default() };
    assert_eq!(engine.index.read(&by_title).expect("by title").path, "sea/tides.md");
}

#[test]
fn parts_of_a_document_are_read_by_heading_block_and_lines() {
    let place = place();
    let engine = place.scanned();
    let low = (ends(TIDES, "## Low tide").0, ends(TIDES, "## High tide").0 - 1);
    let moon = (ends(TIDES, "### Moon").0, low.1);
    let block = ends(TIDES, "Low words. ^low1");
    for (name, lines) in [
        ("tides#Low tide", low),
        ("tides#low TIDE", low),
        ("Gezeiten#Low tide", low),
        ("sea/tides.md#Low tide", low),
        ("Low tide", low),
        ("tides#Low tide#Moon", moon),
        ("[[tides#Moon]]", moon),
        ("tides#^low1", block),
        ("note://vault/sea/tides.md#Low%20tide", low),
        ("note://vault/sea/tides.md#^low1", block),
        ("sea/tides.md#L7-L9", (7, 9)),
        ("sea/tides.md:7-9", (7, 9)),
        ("tides:7", (7, 7)),
        ("sea/tides.md:7:9", (7, 7)),
        ("note://vault/sea/tides.md#L7-L9", (7, 9)),
    ] {
        let reading = engine.read(name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(reading.lines, lines, "{name}");
        assert_eq!(reading.text, lines_of(TIDES, lines), "{name}");
    }
    let full = format!("{}:7:9", place.root().join("sea/tides.md").display());
    assert_eq!(engine.read(&full).expect("a full path").lines, (7, 7));
    let lines = ReadArgs { lines: Some((7, 9)), ..of("tides") };
    assert_eq!(engine.index.read(&lines).expect("by lines").text, lines_of(TIDES, (7, 9)));
    for lines in [(0, 1), (5, 4), (1_000, 1_001)] {
        let bad = ReadArgs { lines: Some(lines), ..of("tides") };
        let error = engine.index.read(&bad).expect_err("refused");
        assert!(matches!(error, Error::Argument(_)), "{error}");
    }
}

#[test]
fn a_block_id_reads_its_block_whatever_the_line_ends() {
    let place = Place::new();
    let text = "One.\n\nTwo.\nTwo.\n\nIntro.\n\n1. first ^one\n2. second ^two\n\nThird.\n\n^id\n";
    place.write("unix.md", text);
    place.write("windows.md", text.replace('\n', "\r\n"));
    let engine = place.scanned();
    for note in ["unix", "windows"] {
        for (id, lines) in [("one", (8, 8)), ("two", (9, 9)), ("id", (11, 13))] {
            let reading = engine.read(&format!("{note}#^{id}")).expect("a block");
            assert_eq!(reading.lines, lines, "{note} {id}");
        }
    }
}

#[test]
fn definitions_are_read_by_name() {
    let place = place();
    let engine = place.scanned();
    let symbol = |name: &str, path: Option<&str>| {
        let (symbol, path) = (Some(name.to_owned()), path.map(str::to_owned));
        engine.index.read(&ReadArgs { symbol, path, bytes_max: 9_999, ..ReadArgs::default() })
    };
    for name in ["Pool::take", "Pool.take", "Pool#take", "Pool::take()"] {
        let reading = symbol(name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((reading.lines, reading.path.as_str()), ((5, 7), "src/pool.rs"), "{name}");
    }
    for name in ["sea::boats::Pool::take", "Pool<T>::take", "<Pool as Take>::take", "x.Pool.take"] {
        let reading = symbol(name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reading.lines, (5, 7), "{name}");
    }
    for name in ["drain_all", "drainAll", "drain_all()", "pool::drain_all", "vault::drain_all"] {
        let reading = symbol(name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reading.text, "pub fn drain_all() {}\n", "{name}");
    }
    assert_eq!(symbol("Lake::take", Some("src/pool.rs")).expect("in a file").lines, (15, 17));
    assert_eq!(engine.read("drain_all").expect("a name of code").lines.1, 20);
    assert_eq!(engine.read("src/pool.rs#drain_all").expect("an anchor").lines.1, 20);
    match symbol("take", None).expect_err("two of them") {
        Error::Ambiguous { candidates, .. } => {
            assert_eq!(candidates.len(), 2);
            for (candidate, lines) in candidates.iter().zip(["#L5-L7", "#L15-L17"]) {
                assert!(candidate.starts_with(&format!("vault/src/pool.rs{lines}")), "{candidate}");
            }
            let place = candidates[1].split_whitespace().next().expect("a place");
            assert_eq!(engine.read(place).expect("a candidate reads").lines, (15, 17));
        }
        other => panic!("{other}"),
    }
    match symbol("River::take", None).expect_err("none stands there") {
        Error::Missing { nearest, .. } => {
            assert_eq!(nearest.len(), 2);
            assert!(nearest[1].starts_with("vault/src/pool.rs#L15-L17"), "{nearest:?}");
        }
        other => panic!("{other}"),
    }
    match symbol("drain_al", None).expect_err("none") {
        Error::Missing { nearest, .. } => {
            let near = nearest.iter().any(|name| name.replace('_', "") == "drainall");
            assert!(near, "{nearest:?}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn neighbours_of_a_definition_are_of_the_one_that_its_name_means() {
    let place = place();
    place.write("src/other.rs", "pub const TAKE: u32 = 1;\npub const POOL: u32 = 2;\n");
    let engine = place.scanned();
    for (name, wanted) in [
        ("Pool::take", vec![(5, 7)]),
        ("Lake.take()", vec![(15, 17)]),
        ("take", vec![(5, 7), (15, 17)]),
        ("Pool", vec![(1, 2)]),
    ] {
        let target = ReadArgs { symbol: Some(name.to_owned()), ..ReadArgs::default() };
        let related = engine.index.related(&RelatedArgs { target, limit: 20 }).expect(name);
        let rows = related.groups.get("definitions").into_iter().flatten();
        let found: Vec<(u32, u32)> = rows.filter_map(|row| row.lines).collect();
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn case_and_unicode_form_do_not_matter_unless_they_tell_two_files_apart() {
    let place = place();
    for name in ["Café ☕.md", "Cafe\u{301} ☕.md", "CAFÉ ☕", "Ångström.md", ANGSTROM] {
        let engine = place.scanned();
        let reading = engine.read(name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert!(["coffee\n", "units\n"].contains(&reading.text.as_str()), "{name}");
    }
    place.write("Mix.md", "upper\n");
    place.write("mix.md", "lower\n");
    place.write("ne\u{301}e.md", "decomposed\n");
    place.write("n\u{e9}e.md", "composed\n");
    let engine = place.scanned();
    let texts = std::fs::read_dir(place.root()).expect("a folder").count();
    if texts < 10 {
        // This file system takes both spellings for one file.
        return;
    }
    for (name, text) in [
        ("Mix.md", "upper\n"),
        ("mix.md", "lower\n"),
        ("ne\u{301}e.md", "decomposed\n"),
        ("n\u{e9}e.md", "composed\n"),
    ] {
        assert_eq!(engine.read(name).expect("its own name").text, text, "{name:?}");
    }
    for name in ["MIX.md", "NÉE"] {
        let error = engine.read(name).expect_err("two files");
        assert!(
            matches!(&error, Error::Ambiguous { candidates, .. } if candidates.len() == 2),
            "{error}"
        );
    }
}

#[test]
fn ambiguous_names_list_candidates_and_misses_the_nearest() {
    let place = place();
    let engine = place.scanned();
    match engine.read("index").expect_err("two documents") {
        Error::Ambiguous { candidates, .. } => {
            assert_eq!(candidates, ["vault/one/index.md", "vault/two/index.md"]);
            assert_eq!(engine.read(&candidates[1]).expect("a candidate").text, "# Two\n\nsecond\n");
        }
        other => panic!("{other}"),
    }
    for (name, near) in [
        ("sea/tide.md", "sea/tides.md"),
        ("boat.md", "sea/boats.md"),
        ("note://vault/sea/boat.md", "sea/boats.md"),
        ("tides#Lo tide", "Low tide"),
        ("tides#^low2", "^low1"),
        ("src/pool.rs#tak", "take"),
    ] {
        match engine.read(name).expect_err("nothing is called so") {
            Error::Missing { nearest, .. } => {
                assert!(nearest.iter().any(|n| n == near), "{name}: {nearest:?}");
            }
            other => panic!("{name}: {other}"),
        }
    }
    let elsewhere = ReadArgs { source: Some("vaul".to_owned()), ..of("tides") };
    match engine.index.read(&elsewhere).expect_err("no such source") {
        Error::Missing { nearest, .. } => assert_eq!(nearest, ["vault"]),
        other => panic!("{other}"),
    }
    for name in ["../x", "/etc/passwd", "note://vault/../x", "note://vault/%2e%2e/x", "a\0b", ""] {
        assert!(matches!(engine.read(name), Err(Error::Argument(_))), "{name:?}");
    }
    assert!(engine.read("C:\\x").is_err(), "a drive, or nothing is called so");
}

#[test]
fn uris_of_odd_names_read_back() {
    let place = place();
    let engine = place.scanned();
    for (query, path) in [("odd", "odd #1, 50%.md"), ("coffee", "Café ☕.md")] {
        let hit = engine.search(query).hits.remove(0);
        assert_eq!(hit.path, path);
        assert!(hit.uri.is_ascii(), "{}", hit.uri);
        assert_eq!(engine.read(&hit.uri).expect("by URI").path, path);
        assert_eq!(engine.read(path).expect("by path").path, path);
    }
}

#[test]
fn long_documents_give_their_outline_and_are_read_on_to_the_end() {
    let place = Place::new();
    let mut text = String::new();
    for at in 0..50 {
        text.push_str(&format!("## Part {at}\n\n{}\n\n", "some words of it ".repeat(9)));
    }
    place.write("long.md", &text);
    let engine = place.scanned();
    let mut ask = ReadArgs { bytes_max: 1_000, ..of("long") };
    let first = engine.index.read(&ask).expect("read");
    assert_eq!(first.outline.len(), 50);
    assert_eq!(first.outline[3].text, "Part 3");
    let part = lines_of(&text, first.outline[3].lines);
    assert!(part.starts_with("## Part 3\n") && !part.contains("## Part 4"));
    let mut whole = first.text.clone();
    let mut next = first.next_line;
    while let Some(line) = next {
        ask.lines = Some((line, first.total_lines));
        let more = engine.index.read(&ask).expect("read on");
        assert!(more.text.len() <= 1_000 && more.lines.0 == line);
        whole.push_str(&more.text);
        next = more.next_line;
    }
    assert_eq!(whole, text);
    let outline = engine.index.read(&ReadArgs { outline: true, ..of("long") }).expect("outline");
    assert!(outline.text.is_empty() && outline.outline.len() == 50);
}

#[test]
fn a_passage_of_a_line_that_is_too_long_is_read_by_its_id_and_on_from_there() {
    let place = Place::new();
    let many = |span: std::ops::Range<usize>| -> String {
        span.map(|n| format!("w{n} and water ")).collect()
    };
    let text = format!("# Log\n\n{}the marmoset {}\n\nEnd.\n", many(0..2000), many(2000..3000));
    place.write("log.md", &text);
    let engine = place.scanned();
    let read = |args: ReadArgs| engine.index.read(&ReadArgs { bytes_max: 24_000, ..args });
    let by_id = |id: &str| {
        let args = ReadArgs { id: Some(id.to_owned()), ..ReadArgs::default() };
        read(args).unwrap_or_else(|error| panic!("{id}: {error}"))
    };
    // The id that a note names behind some words.
    let named = |reading: &Reading, words: &str| {
        let note = reading.notes.iter().find_map(|note| note.split_once(words));
        note.and_then(|(_, rest)| rest.split('`').nth(1)).map(str::to_owned)
    };
    let hit = engine.search("marmoset").hits.remove(0);
    let mut reading = by_id(&hit.id);
    assert!(reading.text.contains("marmoset"), "{reading:?}");
    assert_eq!((reading.lines, reading.next_line), ((3, 3), None));
    assert!(named(&reading, "before it stands passage").is_some(), "{:?}", reading.notes);
    let mut rest = reading.text.clone();
    for _ in 0..200 {
        let Some(next) = named(&reading, "behind it stands passage") else { break };
        reading = by_id(&next);
        rest.push_str(&reading.text);
    }
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert!(bare(&rest).ends_with("End.") && bare(&text).ends_with(&bare(&rest)), "{rest}");
    // Whoever reads the line learns which passage goes on.
    let head = read(ReadArgs { lines: Some((3, 3)), ..of("log") }).expect("its head");
    let next = by_id(&named(&head, "shown; passage").expect("an id")).text;
    let at = text.find(&head.text).expect("it stands there") + head.text.len();
    let start = text.find(&next).expect("it stands there");
    assert!((start..start + next.len()).contains(&at), "{start} {at}");
}

#[test]
fn a_document_that_changed_says_so_and_one_that_went_away_too() {
    let place = place();
    let engine = place.scanned();
    place.write("sea/tides.md", format!("new\n{TIDES}"));
    let reading = engine.read("tides").expect("its text now");
    assert!(reading.text.starts_with("new\n"));
    assert!(reading.notes.iter().any(|note| note.contains("changed")), "{:?}", reading.notes);
    place.remove("sea/tides.md");
    let error = engine.read("tides").expect_err("gone");
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
}

#[test]
fn names_of_a_changed_document_mean_what_stands_there_now() {
    let place = place();
    place.write("src/code.rs", "fn one() {}\n\nfn two() -> u8 {\n    2\n}\n");
    // Two sections, each long enough to be a passage of its own.
    let section = |name: &str, word: &str| format!("## {name}\n\n{}\n\n", word.repeat(150));
    let tides = format!("{}{}", section("Wet", "water "), section("Sky", "moon words "));
    place.write("sea/long.md", format!("# Long\n\n{tides}"));
    let engine = place.scanned();
    let id = engine.search("\"moon words moon words\"").hits.remove(0).id;
    let before = engine.read(&id).expect("as indexed");
    // Everything stands some lines further down, and one heading is new.
    place.write("sea/tides.md", format!("new\n\n## Fresh\n\nfresh words\n\n{TIDES}"));
    place.write("sea/long.md", format!("# Long\n\n{}{tides}", section("New", "inserted ")));
    place.write("src/code.rs", "// one\n// more\nfn one() {}\n\nfn two() -> u8 {\n    2\n}\n");
    let heading = engine.read("tides#Low tide").expect("its section");
    assert!(heading.text.starts_with("## Low tide"), "{heading:?}");
    assert!(engine.read("tides#Fresh").expect("a new heading").text.contains("fresh words"));
    assert!(engine.read("tides#^low1").expect("its block").text.contains("^low1"));
    let passage = engine.read(&id).expect("the same passage");
    assert_eq!(passage.text, before.text);
    assert!(passage.lines.0 > before.lines.0, "{passage:?}");
    let symbol = ReadArgs { symbol: Some("two".to_owned()), ..ReadArgs::default() };
    let reading = engine.index.read(&ReadArgs { bytes_max: 1000, ..symbol }).expect("its item");
    assert_eq!((reading.lines, reading.text.as_str()), ((5, 7), "fn two() -> u8 {\n    2\n}\n"));
    // A hit that is read anew has an id that `read` accepts.
    let hit = engine.search("fresh").hits.into_iter().find(|h| h.path == "sea/tides.md");
    let hit = hit.or_else(|| engine.search("moon").hits.into_iter().find(|hit| hit.renewed));
    let hit = hit.expect("a renewed hit");
    assert_eq!(engine.read(&hit.id).expect("by its id").lines, hit.lines);
}

#[test]
fn a_heading_is_read_as_it_is_spelled_and_what_may_be_several_is_not_guessed() {
    let place = Place::new();
    let section = |name: &str| format!("## {name}\n\nwords of {name}\n\n");
    let all = ["C", "C++", "C#", "???", "Low tide", "Twice", "Twice"];
    let text: String = all.into_iter().map(section).collect();
    place.write("Target.md", format!("# Target\n\n{text}"));
    place.write("src/two.rs", POOL);
    let engine = place.scanned();
    for (name, heading) in [
        ("Target#C", "C"),
        ("Target#C++", "C++"),
        ("Target#c++", "C++"),
        ("Target#C#", "C#"),
        ("Target#???", "???"),
        ("Target#low-tide", "Low tide"),
        ("Target#Target#C++", "C++"),
        ("Target#Twice", "Twice"),
        ("C++", "C++"),
        ("C#", "C#"),
        ("#C", "C"),
        ("[[#C]]", "C"),
        ("[[#C++]]", "C++"),
        ("[[#C#]]", "C#"),
        ("[[#Low tide|low]]", "Low tide"),
        ("[[Target#C++|cpp]]", "C++"),
        ("![[Target#C++]]", "C++"),
    ] {
        let reading = engine.read(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reading.text.lines().next(), Some(format!("## {heading}").as_str()), "{name}");
    }
    for name in ["[[Target|alias]]", "[[Target\\|alias]]", "Target#"] {
        let reading = engine.read(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((reading.path.as_str(), reading.lines.0), ("Target.md", 1), "{name}");
    }
    for name in ["Target#!!!", "!!!", "Target#D"] {
        let error = engine.read(name).expect_err("nothing is called so");
        assert!(matches!(error, Error::Missing { .. }), "{name}: {error}");
    }
    match engine.read("Target#C-").expect_err("three headings") {
        Error::Ambiguous { candidates, .. } => {
            let headings = ["vault/Target.md#C", "vault/Target.md#C++", "vault/Target.md#C#"];
            assert_eq!(candidates, headings);
            let reading = engine.read(&candidates[2]).expect("a candidate reads");
            assert!(reading.text.starts_with("## C#\n"), "{reading:?}");
        }
        other => panic!("{other}"),
    }
    match engine.read("src/two.rs#take").expect_err("two definitions") {
        Error::Ambiguous { candidates, .. } => {
            let place = candidates[1].split_whitespace().next().expect("a place");
            assert_eq!(engine.read(place).expect("a candidate reads").lines, (15, 17));
        }
        other => panic!("{other}"),
    }
    assert_eq!(engine.read("src/two.rs#Lake").expect("the type").lines, (12, 12));
}

#[test]
fn headings_that_may_be_several_are_read_as_they_are_listed() {
    let place = Place::new();
    place.write("a/odd #1.md", "# A\n\n## D+\n\none\n\n## D-\n\ntwo\n\n## Common part\n\nin a\n");
    place.write(
        "b.md",
        "# B\n\n## D-\n\n### E+\n\none\n\n### E-\n\ntwo\n\n## Common part\n\nin b\n",
    );
    place.write("deep.md", "# a\n\n## a\n\n### a\n\nwords\n");
    let engine = place.scanned();
    let odd = "vault/a/odd #1.md";
    for (name, wanted) in [
        ("odd #1.md#D", [format!("{odd}#D+"), format!("{odd}#D-")]),
        ("b#D-#E", ["vault/b.md#D-#E+".to_owned(), "vault/b.md#D-#E-".to_owned()]),
        ("[[#Common part]]", [format!("{odd}#Common part"), "vault/b.md#Common part".to_owned()]),
    ] {
        match engine.read(name).expect_err("two of them") {
            Error::Ambiguous { mut candidates, .. } => {
                candidates.sort();
                assert_eq!(candidates, wanted, "{name}");
                for candidate in candidates {
                    let reading = engine.read(&candidate);
                    let reading = reading.unwrap_or_else(|error| panic!("{candidate}: {error}"));
                    let heading = candidate.rsplit('#').next().expect("a heading");
                    let line = reading.text.lines().next().expect("a line");
                    assert_eq!(line.trim_start_matches('#').trim(), heading, "{candidate}");
                }
            }
            other => panic!("{name}: {other}"),
        }
    }
    let third = engine.read("deep.md#a#a#a").expect("the third one");
    assert!(third.text.starts_with("### a\n"), "{third:?}");
    for n in [4, 2_000] {
        let error = engine.read(&format!("deep.md{}", "#a".repeat(n))).expect_err("no fourth");
        assert!(matches!(error, Error::Missing { .. } | Error::Argument(_)), "{error}");
    }
}

#[test]
fn a_class_is_meant_before_what_is_called_so_inside_it() {
    let place = Place::new();
    place.write("src/Foo.java", "class Foo {\n    Foo() {}\n\n    Foo(int a) {}\n}\n");
    let engine = place.scanned();
    assert_eq!(engine.read("src/Foo.java#Foo").expect("the class").lines, (1, 5));
}

#[test]
fn a_definition_is_looked_for_in_the_file_that_is_named() {
    let place = Place::new();
    place.write("src/data.rs", "pub fn other() {}\n");
    place.write("src/schema_data.rs", "pub fn only_here() {}\n");
    let engine = place.scanned();
    let symbol = |path: &str| {
        let (symbol, path) = (Some("only_here".to_owned()), Some(path.to_owned()));
        engine.index.read(&ReadArgs { symbol, path, bytes_max: 9_999, ..ReadArgs::default() })
    };
    match symbol("data.rs").expect_err("it is in another file") {
        Error::Missing { nearest, .. } => assert_eq!(nearest, ["vault/src/schema_data.rs"]),
        other => panic!("{other}"),
    }
    for path in ["schema_data.rs", "src/schema_data.rs", "./src/schema_data.rs"] {
        assert_eq!(symbol(path).expect("there").path, "src/schema_data.rs", "{path}");
    }
    assert_eq!(symbol("vault/src/schema_data.rs").expect("there").path, "src/schema_data.rs");
}

#[test]
fn titles_may_hold_what_no_path_may() {
    let place = Place::new();
    let head = "---\ntitle: \"Q: what\"\naliases: [\"What is DNS?\", \"/r/limpets\"]\n---\n";
    place.write("what.md", format!("{head}# What\n\nwords\n"));
    #[cfg(unix)]
    place.write("A: colon.md", "# Colon\n\nan anemone\n");
    let engine = place.scanned();
    for name in ["Q: what", "q: WHAT", "What is DNS?", "[[What is DNS?|dns]]"] {
        let reading = engine.read(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reading.path, "what.md", "{name}");
    }
    #[cfg(unix)]
    {
        assert_eq!(engine.read("/r/limpets").expect("an alias").path, "what.md");
        assert_eq!(engine.paths("anemone"), ["A: colon.md"]);
        assert!(engine.read("A: colon.md").expect("by its path").text.contains("anemone"));
        assert_eq!(engine.read("A: colon.md:3").expect("a line").text, "an anemone\n");
    }
}

#[cfg(unix)]
#[test]
fn absolute_paths_lead_through_links() {
    let place = place();
    let engine = place.scanned();
    let beside = place.root().parent().expect("a folder").to_owned();
    std::os::unix::fs::symlink(place.root(), beside.join("link")).expect("a link");
    std::fs::write(beside.join("outside.md"), "outside\n").expect("a file");
    std::os::unix::fs::symlink(&beside, place.root().join("up")).expect("a link");
    let link = beside.join("link").display().to_string();
    assert_eq!(engine.read(&format!("{link}/sea/tides.md")).expect("there").path, "sea/tides.md");
    let part = engine.read(&format!("{link}/sea/tides.md#Low tide")).expect("with a heading");
    assert!(part.text.starts_with("## Low tide"));
    for name in ["sea/../../outside.md", "up/outside.md", "../outside.md", "sea/none.md"] {
        assert!(engine.read(&format!("{link}/{name}")).is_err(), "{name}");
    }
    // Nobody has a source or their home in the folders that these links stand in.
    let away = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(beside.join("other")).expect("a folder");
    for folder in [away.path().to_owned(), beside.join("other")] {
        std::os::unix::fs::symlink(place.root(), folder.join("link")).expect("a link");
        let name = folder.join("link/sea/tides.md").display().to_string();
        let error = engine.read(&name).expect_err("it is not followed");
        assert!(matches!(&error, Error::Argument(why) if why.contains("in no source")), "{error}");
    }
}

#[test]
fn absolute_paths_and_names_of_sources_are_taken_as_people_have_them() {
    let place = place();
    let engine = place.scanned();
    let full = place.root().join("sea/tides.md").display().to_string();
    assert_eq!(engine.read(&full).expect("by its full path").path, "sea/tides.md");
    let part = engine.read(&format!("{full}#Low tide")).expect("with a heading");
    assert!(part.text.starts_with("## Low tide"));
    let up = place.root().join("../outside.md").display().to_string();
    assert!(matches!(engine.read(&up), Err(Error::Argument(_))));
    let named = ReadArgs { source: Some("VAULT".to_owned()), ..of("tides") };
    assert_eq!(engine.index.read(&named).expect("whatever its case").source, "vault");
    assert_eq!(engine.read("note://Vault/sea/tides.md").expect("a URI").path, "sea/tides.md");
}
