//! Words that stand nowhere are found by the compounds that they are parts of, and compounds by
//! their parts; whatever does stand somewhere is searched as it is.

use super::{Engine, Place};

/// German notes, long enough for their language to be told.
fn notes() -> Place {
    let place = Place::new();
    place.write(
        "kasse.md",
        "# Am Montag\n\nDie Krankenversicherung wird im nächsten Jahr teurer, und ich muss noch \
         einen Brief an die Kasse schreiben, bevor der Sommer kommt.\n",
    );
    place.write(
        "kosten.md",
        "# Offene Fragen\n\nWie hoch der Beitrag zu den Kosten ist, hat mir noch niemand gesagt, \
         und ich habe auch nicht danach gefragt, weil es schon spät war.\n",
    );
    place.write(
        "beides.md",
        "# Am Dienstag\n\nDer Beitrag zur Krankenversicherung ist wieder gestiegen, und das \
         werden wir alle noch lange merken, sagt mein Nachbar.\n",
    );
    place.write(
        "studium.md",
        "# Am Mittwoch\n\nDie Studiengebühren sind in diesem Jahr gestiegen, aber die Bücher \
         kosten noch so viel wie früher, und das ist auch gut so. Meine Schwester schreibt im \
         nächsten Jahr ihre letzten Prüfungen und sucht schon eine Wohnung in der Stadt.\n",
    );
    place.write(
        "hafen.md",
        "# Am Wasser\n\nDie Boote lagen ruhig am Steg, und wir haben lange auf den Wind gewartet, \
         aber er kam nicht. Im Sommer ist das oft so, und der Monatsbeitrag bleibt gleich.\n",
    );
    place
}

/// Paths of the hits, sorted, and all notes in one text.
fn asked(engine: &Engine, query: &str) -> (Vec<String>, String) {
    let found = engine.search(query);
    let mut paths: Vec<String> = found.hits.into_iter().map(|hit| hit.path).collect();
    paths.sort();
    let said = found.notes.join("\n");
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    (paths, said)
}

#[test]
fn a_word_that_stands_nowhere_is_found_in_its_compounds() {
    let place = notes();
    let engine = place.scanned();
    let (paths, said) = asked(&engine, "Versicherung");
    assert_eq!(paths, ["beides.md", "kasse.md"]);
    assert_eq!(said, "`versicherung` stands nowhere; searched `krankenversicherung`");
    let found = engine.search("Versicherung");
    let marked = |hit: &synod_index::Hit| {
        hit.marks.iter().any(|bytes| &hit.snippet[bytes.clone()] == "Krankenversicherung")
    };
    assert!(found.hits.iter().all(marked), "{:?}", found.hits);
    // By what they begin with too.
    assert_eq!(asked(&engine, "Kranken").0, ["beides.md", "kasse.md"]);
}

#[test]
fn diacritics_of_a_part_are_typed_or_not() {
    let place = notes();
    let engine = place.scanned();
    for query in ["Gebühren", "gebuhren", "GEBÜHREN", "Gebühr", "(gebühren)"] {
        let (paths, said) = asked(&engine, query);
        assert_eq!(paths, ["studium.md"], "{query}: {said}");
        assert!(said.contains("stands nowhere; searched `studiengeb"), "{query}: {said}");
    }
    let (_, said) = asked(&engine, "Gebühren");
    assert_eq!(said, "`gebühren` stands nowhere; searched `studiengebühren`");
}

#[test]
fn a_compound_that_stands_nowhere_is_found_by_its_parts() {
    let place = notes();
    let engine = place.scanned();
    let found = engine.search("Krankenversicherungsbeitrag");
    assert_eq!(found.hits[0].path, "beides.md", "both parts stand in it");
    let (paths, said) = asked(&engine, "Krankenversicherungsbeitrag");
    assert_eq!(paths, ["beides.md", "kasse.md", "kosten.md"]);
    let parts = "`krankenversicherung` and `beitrag`";
    assert_eq!(said, format!("`krankenversicherungsbeitrag` stands nowhere; searched {parts}"));
}

#[test]
fn other_words_of_the_query_keep_their_weight() {
    let place = notes();
    let engine = place.scanned();
    let (paths, said) = asked(&engine, "Sommer Krankenversicherungsbeitrag");
    assert_eq!(paths, ["beides.md", "hafen.md", "kasse.md", "kosten.md"], "{said}");
    assert!(said.contains("`krankenversicherung` and `beitrag`"), "{said}");
    let (paths, said) = asked(&engine, "Steg Gebühren");
    assert_eq!(paths, ["hafen.md", "studium.md"], "{said}");
    assert_eq!(engine.paths("Steg Gebühren")[0], "hafen.md", "what was typed goes first");
    // An excluded word is meant as it is written.
    assert_eq!(asked(&engine, "Steg -Gebühren").0, ["hafen.md"]);
}

#[test]
fn a_word_that_stands_somewhere_is_searched_as_it_is() {
    let place = notes();
    let engine = place.scanned();
    for (query, paths) in [
        ("Beitrag", "beides.md kosten.md"),
        ("Monatsbeitrag", "hafen.md"),
        ("Krankenversicherung", "beides.md kasse.md"),
        ("Studiengebühr", "studium.md"),
    ] {
        let (found, said) = asked(&engine, query);
        assert_eq!(found.join(" "), paths, "{query}");
        assert_eq!(said, "", "{query}");
    }
}

#[test]
fn a_required_word_is_not_replaced_by_its_compounds() {
    let place = notes();
    let engine = place.scanned();
    for query in ["+Versicherung", "+Versicherung Sommer", "Sommer +Versicherung"] {
        let (paths, said) = asked(&engine, query);
        assert!(paths.is_empty(), "{query}: {paths:?}");
        assert!(!said.contains("stands nowhere"), "{query}: {said}");
    }
    // Nor do others stand in for it.
    assert_eq!(asked(&engine, "+Sommer Versicherung").0, ["hafen.md", "kasse.md"]);
}

#[test]
fn names_numbers_and_short_words_are_no_compounds() {
    let place = notes();
    let engine = place.scanned();
    for query in [
        "versicherungNr",
        "versicherung_nr",
        "src/versicherung.rs",
        "versicherung()",
        "versicherung2",
        "20260314",
        "rung",
    ] {
        let (_, said) = asked(&engine, query);
        assert!(!said.contains("stands nowhere"), "{query}: {said}");
    }
}

#[test]
fn without_a_language_of_compounds_no_ranking_changes() {
    let place = Place::new();
    place.write(
        "disk.md",
        "# Disk\n\nThe system keeps every file on the disk, and it is not the only one to do so.\n",
    );
    place.write(
        "sea.md",
        "# Sea\n\nThe windscreens stand by the water, and the wind is good for them.\n",
    );
    let engine = place.scanned();
    // Nothing else would be found.
    let (paths, said) = asked(&engine, "filesystem");
    assert_eq!(paths, ["disk.md"]);
    assert_eq!(said, "`filesystem` stands nowhere; searched `file` and `system`");
    assert_eq!(asked(&engine, "screens").0, ["sea.md"]);
    // Beside a word that stands somewhere it adds nothing, as it did.
    for query in ["water filesystem", "filesystem water", "+water filesystem"] {
        assert_eq!(asked(&engine, query), (vec!["sea.md".to_owned()], String::new()), "{query}");
    }
}

#[test]
fn what_is_gone_is_no_compound() {
    let place = notes();
    let mut engine = place.scanned();
    assert_eq!(asked(&engine, "Gebühren").0, ["studium.md"]);
    place.remove("studium.md");
    engine.scan();
    let (paths, said) = asked(&engine, "Gebühren");
    assert!(paths.is_empty() && !said.contains("stands nowhere"), "{paths:?}: {said}");
}
