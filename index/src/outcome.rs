//! What a reply says of its search beside the hits.

use crate::db::Source;
use crate::reach::SILENT;
use crate::search::{Found, Hit};
use std::collections::BTreeMap;

/// Hits whose copies are named, and copies of one that are.
const COPIED_MAX: usize = 10;
const COPIES_MAX: usize = 4;

/// What is said where there is no document at all: other words would find nothing either.
pub(crate) fn empty(sources: &[Source]) -> &'static str {
    match sources {
        [] => "nothing is indexed yet; `synod index FOLDER` adds a folder",
        _ => "no document is indexed: the sources are still to be read, or hold none",
    }
}

/// Says what became of a page that is not plainly hits; `n_earlier` documents say the same as hits
/// of the pages before.
pub(crate) fn note_outcome(found: &mut Found, offset: usize, is_free: bool, n_earlier: usize) {
    if found.hits.is_empty() && found.notes.is_empty() && offset == 0 && found.stale == 0 {
        found.notes.push(match is_free {
            true => "nothing here holds these words; try others, or fewer".into(),
            false => "nothing that the filters let through fits; try without them".into(),
        });
    }
    let copied = found.hits.iter().filter(|hit| !hit.copies.is_empty()).take(COPIED_MAX);
    let notes: Vec<String> = copied.map(copies_text).collect();
    found.notes.extend(notes);
    if n_earlier > 0 {
        let said = "documents were left out: they say the same as hits of the pages before";
        found.notes.push(format!("{n_earlier} {said}"));
    }
    let renewed = found.hits.iter().filter(|hit| hit.renewed).count();
    if renewed > 0 {
        found.notes.push(format!(
            "{renewed} hits were read anew: their files changed since they were indexed"
        ));
    }
    if found.stale > 0 {
        found.notes.push(format!(
            "{} hits were left out: their files changed since they were indexed",
            found.stale
        ));
    }
    note_silent(found);
}

/// Names the documents that a hit stands for.
fn copies_text(hit: &Hit) -> String {
    let name = |(source, path): &(String, String)| format!("`{source}/{path}`");
    let copies: Vec<String> = hit.copies.iter().take(COPIES_MAX).map(name).collect();
    let more = match hit.copies.len().saturating_sub(COPIES_MAX) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("`{}/{}` says the same as {}{more}", hit.source, hit.path, copies.join(", "))
}

/// Says how many hits are shown without their text, and of which sources.
fn note_silent(found: &mut Found) {
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    for hit in found.hits.iter().filter(|hit| hit.silent) {
        *of.entry(&hit.source).or_default() += 1;
    }
    let note = |(source, n): (&str, usize)| {
        format!("the text of {n} hits cannot be shown: source `{source}`, {SILENT}")
    };
    let notes: Vec<String> = of.into_iter().map(note).collect();
    found.notes.extend(notes);
}
