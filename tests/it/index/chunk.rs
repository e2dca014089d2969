//! Passages cover their document, are read by their ids, and are shown only where they stand.

use super::{Engine, Place, assert_at_lines, lines_of};
use std::fmt::Write;
use synod_index::{Hit, ReadArgs};

/// A file name, a line that opens it, what a line with a word looks like, a line that ends it.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("note.md", "# Title", "- {w} is an item\n\n## {w} part\n\nA paragraph with {w}.", ""),
    ("long.md", "---\ntags: [x]\n---", "{w} stands in one long paragraph of many lines", "^end"),
    ("plain.txt", "", "{w} and some words after it", ""),
    ("page.rst", "Title\n=====", "{w} paragraph\n", ""),
    ("code.rs", "//! Doc", "/// Says {w}.\nfn {w}(x: u32) -> u32 {\n    x + 1\n}\n", ""),
    ("code.py", "import os", "def {w}(x):\n    return x\n", ""),
    ("code.ts", "import x from 'y';", "export function {w}(x: number) { return x; }", ""),
    ("code.js", "'use strict';", "const {w} = () => 1;", ""),
    ("code.go", "package main", "func {w}() int { return 1 }", ""),
    ("code.java", "class A {", "  int {w}() { return 1; }", "}"),
    ("code.c", "#include <a.h>", "int {w}(void) { return 1; }", ""),
    ("code.cpp", "namespace a {", "int {w}() { return 1; }", "}"),
    ("code.cs", "class A {", "  int {w}() { return 1; }", "}"),
    ("code.rb", "module A", "  def {w}\n    1\n  end", "end"),
    ("code.php", "<?php", "function {w}() { return 1; }", ""),
    ("code.swift", "import A", "func {w}() -> Int { 1 }", ""),
    ("code.kt", "package a", "fun {w}(): Int = 1", ""),
    ("code.sh", "#!/bin/sh", "{w}() { echo 1; }", ""),
    ("code.sql", "-- tables", "CREATE TABLE {w} (id INT);", ""),
    ("page.html", "<html><body>", "<p id=\"{w}\">text</p>", "</body></html>"),
    ("style.css", "/* style */", ".{w} { color: red; }", ""),
    ("data.json", "{", "  \"{w}\": 1,", "  \"end\": 1\n}"),
    ("data.yaml", "# data", "{w}: 1", ""),
    ("data.toml", "# data", "{w} = 1", ""),
    ("data.csv", "name,value", "{w},1", ""),
    ("data.unknown", "x", "{w}", ""),
    ("Makefile", "all:", "{w}:\n\techo {w}", ""),
    ("board.canvas", "{\"nodes\": [", "{\"type\": \"text\", \"text\": \"{w}\"},", "{}]}"),
    ("broken.rs", "fn (((", "{w} }}} {{{ ]] fn", "\"unclosed"),
];

/// Distinct words that no stemmer, splitter or list of common words touches.
fn word(at: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjkmp";
    let digits = [at / 100 % 10, at / 10 % 10, at % 10];
    let letters: String = digits.iter().map(|d| LETTERS[*d] as char).collect();
    format!("z{letters}ox")
}

fn text(kind: &(&str, &str, &str, &str), crlf: bool, last_end: bool) -> String {
    let mut text = format!("{}\n", kind.1);
    for at in 0..90 {
        writeln!(text, "{}", kind.2.replace("{w}", &word(at))).expect("written");
    }
    text.push_str(kind.3);
    if last_end {
        text.push('\n');
    }
    if crlf { text.replace('\n', "\r\n") } else { text }
}

fn hits_in(engine: &Engine, query: &str, path: &str) -> Vec<Hit> {
    let mut hits = engine.search(query).hits;
    hits.retain(|hit| hit.path == path);
    hits
}

/// Every word is found at its line, and the id of each hit reads exactly the hit's lines.
fn covered(place: &Place, engine: &Engine, path: &str) {
    // What is shown of a canvas was made of it.
    let text = match path.ends_with(".canvas") {
        true => engine.read(path).expect("a canvas").text,
        false => std::fs::read_to_string(place.root().join(path)).expect("a file"),
    };
    for at in 0..90 {
        let word = word(at);
        let hits = hits_in(engine, &word, path);
        let hit = hits.first().unwrap_or_else(|| panic!("{word} is not found in {path}"));
        let there = lines_of(&text, hit.lines);
        assert!(there.contains(&word), "{path} {:?} holds no {word}", hit.lines);
        let ids = ReadArgs { id: Some(hit.id.clone()), bytes_max: 1 << 20, ..ReadArgs::default() };
        let reading = engine.index.read(&ids).unwrap_or_else(|e| panic!("{}: {e}", hit.id));
        assert_eq!((reading.lines, &reading.path), (hit.lines, &hit.path));
        assert_eq!(reading.text, there, "{path} {:?}", hit.lines);
        let uri = ReadArgs { uri: Some(hit.uri.clone()), bytes_max: 1 << 20, ..<_>::default() };
        assert_eq!(engine.index.read(&uri).expect("by URI").text, there);
        assert_eq!(engine.read(&hit.id).expect("by id as a name").text, there);
    }
    // Each line stands in some passage.
    let n = text.split_inclusive('\n').count() as u32;
    let mut seen = vec![false; n as usize + 1];
    for at in 0..90 {
        for hit in hits_in(engine, &word(at), path) {
            let all = std::iter::once(hit.lines).chain(hit.also);
            all.for_each(|(first, last)| (first..=last).for_each(|l| seen[l as usize] = true));
        }
    }
    let lost: Vec<usize> = (1..=n as usize).filter(|line| !seen[*line]).collect();
    // A passage without a word of its own (a lone bracket) is in no search; no more than that.
    assert!(lost.len() <= 2, "{path}: lines {lost:?} are in no passage that was found");
}

#[test]
fn passages_cover_every_kind_of_file_and_are_read_by_their_ids() {
    let place = Place::new();
    for (at, kind) in KINDS.iter().enumerate() {
        place.write(kind.0, text(kind, at % 3 == 1, at % 2 == 0));
    }
    let engine = place.scanned();
    for kind in KINDS {
        covered(&place, &engine, kind.0);
    }
    let all = engine.search(&word(7));
    assert_eq!(all.total, KINDS.len());
    let mut as_written = all.hits;
    as_written.retain(|hit| !hit.path.ends_with(".canvas"));
    assert_at_lines(&place.root(), &as_written);
}

#[test]
fn no_hit_is_shown_that_is_no_longer_at_its_lines() {
    let place = Place::new();
    let head = "intro words here\n".repeat(80);
    let whole = format!("{head}\n## Part\n\nthe tide is low\n");
    place.write("a.md", &whole);
    place.write("b.md", "the tide is high\n");
    let engine = place.scanned();
    let edits = [
        ("changed in place", whole.replace("tide is low", "tile is low"), false),
        ("moved down by lines", format!("new\n{whole}"), true),
        ("a line more in as many bytes", whole.replacen("intro words", "intro\nwords", 1), true),
        ("cut off", head.clone(), false),
        ("empty", String::new(), false),
    ];
    for (what, text, moved) in edits {
        place.write("a.md", &text);
        let found = engine.search("tide");
        assert_at_lines(&place.root(), &found.hits);
        let paths: Vec<&str> = found.hits.iter().map(|hit| hit.path.as_str()).collect();
        // What only moved is shown where it stands now; what is gone is not shown.
        let wanted = if moved { vec!["a.md", "b.md"] } else { vec!["b.md"] };
        let mut paths = paths;
        paths.sort_unstable();
        assert_eq!((paths, found.stale), (wanted, usize::from(!moved)), "{what}");
        let said = found.notes.iter().any(|note| note.contains("changed"));
        assert!(said, "{what}: {:?}", found.notes);
    }
    place.remove("a.md");
    assert_eq!((engine.search("tide").hits.len(), engine.search("tide").stale), (1, 1));
    // Behind the passage it may change: the passage stands where it stood.
    place.write("a.md", format!("{whole}\nmore words\n"));
    assert_eq!(engine.search("low").hits.len(), 1);
    place.write("a.md", &whole);
    assert_eq!(engine.search("tide").hits.len(), 2);
}

#[test]
fn an_id_of_a_passage_that_moved_reads_it_where_it_stands_now() {
    let place = Place::new();
    let part = |name: &str| format!("## {name}\n\n{}\n\n", format!("{name} words. ").repeat(20));
    place.write("a.md", part("alpha") + &part("gamma"));
    let mut engine = place.scanned();
    let hit = engine.search("gamma").hits.remove(0);
    place.write("a.md", part("alpha") + &part("beta") + &part("gamma"));
    engine.scan();
    let reading = engine.read(&hit.id).expect("it still stands in the file");
    assert!(reading.text.contains("gamma words") && !reading.text.contains("beta words"));
    place.write("a.md", part("alpha"));
    engine.scan();
    let error = engine.read(&hit.id).expect_err("it is gone");
    assert!(error.to_string().contains("search again"), "{error}");
}

#[test]
fn a_text_that_is_newer_than_the_index_is_no_answer_to_what_must_be_in_it() {
    let place = Place::new();
    place.write("a.md", "alpha beta secret\n");
    let engine = place.scanned();
    place.write("a.md", "alpha only now, delta too\n");
    for query in ["+beta alpha", "\"alpha beta\"", "alpha -delta", "alpha path:a"] {
        let found = engine.search(query);
        assert!(found.hits.is_empty() && found.stale == 1, "{query}: {found:?}");
    }
    let found = engine.search("alpha");
    assert!(found.hits[0].renewed && found.hits[0].snippet.contains("only now"));
    assert!(engine.read("d1.999").is_err(), "a number that is no passage names none");
}
