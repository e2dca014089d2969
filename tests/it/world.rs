//! Texts in the world's languages, judged: ranking, every word, code pages. The texts come out of
//! Debian's packages (`tests/world.sh`); absent, they are a named pass, and a failure in CI.

use crate::peer::installed;
use crate::program::{Place, cases};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use synod::eval::{self, set::Set};
use synod_index::disk::{self, Content};
use synod_index::{Detail, Filters, Index, Mode, SearchArgs};

/// nDCG@10 by words as it was measured when this line was last changed. The numbers of the set in
/// another release of Debian are others by some points.
const RANKING: [(&str, f64); 10] = [
    ("ar", 0.4896),
    ("de", 0.7136),
    ("el", 0.6742),
    ("en", 0.7872),
    ("fr", 0.7406),
    ("ja", 0.7063),
    ("ko", 0.6825),
    ("ru", 0.6764),
    ("th", 0.6910),
    ("zh", 0.7199),
];
/// How far it may drop.
const DROP_MAX: f64 = 0.02;
/// Words of each language that are looked up in a short run.
const WORDS: u32 = 150;

/// Letters with their signs, and what people type who have none of them; nothing for signs that
/// stand alone.
const SIGNS: [(&str, &str); 21] = [
    ("àâäáãå", "a"),
    ("ç", "c"),
    ("éèêë", "e"),
    ("îïíì", "i"),
    ("ñ", "n"),
    ("ôöóòõ", "o"),
    ("ùûüú", "u"),
    ("ÿ", "y"),
    ("ÀÂÄ", "A"),
    ("ÉÈÊË", "E"),
    ("ÖÔ", "O"),
    ("ÜÙ", "U"),
    ("ά", "α"),
    ("έ", "ε"),
    ("ή", "η"),
    ("ίϊΐ", "ι"),
    ("ό", "ο"),
    ("ύϋΰ", "υ"),
    ("ώ", "ω"),
    ("ё", "е"),
    ("\u{64b}\u{64c}\u{64d}\u{64e}\u{64f}\u{650}\u{651}\u{652}\u{670}", ""),
];

/// A word as it is typed without its signs.
fn bare(word: &str) -> String {
    let mut out = String::new();
    for letter in word.chars() {
        match SIGNS.iter().find(|(signs, _)| signs.contains(letter)) {
            Some((_, plain)) => out.push_str(plain),
            None => out.push(letter),
        }
    }
    out
}

fn world() -> Option<PathBuf> {
    let version = installed("world/version", "tests/world.sh")?;
    version.parent().map(Path::to_owned)
}

fn index(world: &Path, place: &Place, language: &str) -> (Set, std::sync::Arc<Index>) {
    let set = Set::open(&world.join("sets").join(language), &place.path().join("laid"));
    let set = set.expect("a set");
    let index = eval::index(&set, &place.path().join(language)).expect("an index");
    (set, index)
}

#[test]
fn every_language_is_ranked() {
    let Some(world) = world() else { return };
    let place = Place::new();
    for (language, known) in RANKING {
        let (set, index) = index(&world, &place, language);
        let score = eval::evaluate(&index, &set.some(None, 120), Mode::Lexical).expect("searches");
        eprintln!("{language}: nDCG@10 {:.4}, was {known}", score.ndcg);
        assert!(score.ndcg > known - DROP_MAX, "{language}: {:.4}, was {known}", score.ndcg);
    }
}

/// Documents that a word finds, on all pages.
fn found(index: &Index, word: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    loop {
        let args = SearchArgs {
            query: word.to_owned(),
            also: Vec::new(),
            limit: synod_index::limit::HITS_MAX,
            offset: out.len(),
            at_generation: None,
            filters: Filters::default(),
            detail: Detail::Names,
            mode: Mode::Lexical,
            explain: false,
            copies: true,
        };
        let hits = index.search(&args).expect("a search").hits;
        let before = out.len();
        out.extend(hits.into_iter().map(|hit| hit.path));
        if out.len() == before {
            return out;
        }
    }
}

#[test]
fn every_word_that_occurs_is_found() {
    let Some(world) = world() else { return };
    let place = Place::new();
    let text = std::fs::read_to_string(world.join("words.tsv")).expect("words");
    let mut by_language: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut parts = line.split('\t');
        let mut next = || parts.next().expect("three columns");
        by_language.entry(next()).or_default().push((next(), next()));
    }
    assert_eq!(by_language.len(), RANKING.len());
    let (n, mut n_bare) = (cases(WORDS).cases as usize, 0);
    for (language, words) in by_language {
        let (_, index) = index(&world, &place, language);
        // Evenly over the list, which is sorted.
        let step = (words.len() / n).max(1);
        for (word, documents) in words.iter().step_by(step) {
            let bare = bare(word);
            n_bare += usize::from(bare != *word);
            for typed in BTreeSet::from([*word, bare.as_str()]) {
                let found = found(&index, typed);
                for document in documents.split(' ') {
                    let path = format!("{document}.md");
                    assert!(found.contains(&path), "{language}: {typed} is in {path}: {found:?}");
                }
            }
        }
    }
    assert!(n_bare > 100, "{n_bare} words have signs");
}

#[test]
fn parts_of_german_compounds_are_found() {
    let Some(world) = world() else { return };
    let place = Place::new();
    let (_, index) = index(&world, &place, "de");
    // The part stands in no text by itself, the compound does.
    for (part, compound) in [("Ablage", "Zwischenablage"), ("Leiste", "Symbolleiste")] {
        let (by_part, by_word) = (found(&index, part), found(&index, compound));
        assert!(by_word.len() > 1, "{compound} is in {by_word:?}");
        assert!(by_part.is_superset(&by_word), "{part}: {by_part:?}, {compound}: {by_word:?}");
    }
    // The compound stands in no text, its parts do.
    let by_part = found(&index, "Farbe");
    assert!(by_part.len() > 1, "Farbe is in {by_part:?}");
    for compound in ["Druckerfarbe", "Tabellenfarbe", "Fußnotenfarbe"] {
        let by_word = found(&index, compound);
        assert!(by_word.is_superset(&by_part), "{compound}: {by_word:?}, Farbe: {by_part:?}");
    }
}

#[test]
fn code_pages_are_guessed() {
    let Some(world) = world() else { return };
    let (mut n, pages) = (0, world.join("pages"));
    for folder in std::fs::read_dir(&pages).expect("pages").flatten() {
        let name = folder.file_name().into_string().expect("a name");
        if name.ends_with("-utf-8") {
            continue;
        }
        let language = if name.starts_with("zh-tw") { "zh-tw" } else { &name[..2] };
        let originals = pages.join(format!("{language}-utf-8"));
        for file in std::fs::read_dir(folder.path()).expect("files").flatten() {
            let bytes = std::fs::read(file.path()).expect("a page");
            let wanted = originals.join(file.file_name());
            let wanted = std::fs::read_to_string(wanted).expect("its original");
            let Content::Text { text, encoding, .. } = disk::decode(bytes) else {
                panic!("{name} {file:?}: no text");
            };
            assert!(text == wanted, "{name} {:?}: read as {encoding}", file.file_name());
            n += 1;
        }
    }
    assert!(n >= 200, "{n} pages");
}
