//! Plain text, and whatever no other kind recognises: cut at blank lines.

use super::{Class, Input, Kind, Parsed, has_extension, stem};
use crate::chunk::{self, Border};
use crate::limit::PARAGRAPHS_MAX;

/// Prose without markup that we read.
pub const PROSE: Kind =
    Kind { recognise: recognise_prose, class: Class::Note, parse, extract: None };

/// Any other text: configuration, scripts in languages without a grammar, logs.
pub const FALLBACK: Kind =
    Kind { recognise: |_| Some("text"), class: Class::Code, parse, extract: None };

fn recognise_prose(path: &str) -> Option<&'static str> {
    has_extension(path, &["txt", "text", "org", "tex", "log"]).then_some("text")
}

fn parse(input: &Input) -> Parsed {
    let borders = paragraph_borders(input.text);
    let chunks = chunk::cut(input.text, &borders, chunk::NOTE_RULE)
        .into_iter()
        .map(|bytes| chunk::plain_chunk(input.lines, bytes))
        .collect();
    Parsed { title: stem(input.path).to_owned(), chunks, ..Parsed::default() }
}

/// A soft border after each blank line, of so many as people write.
pub(crate) fn paragraph_borders(text: &str) -> Vec<Border> {
    let mut borders = Vec::new();
    let (mut at, mut blank) = (0, false);
    for line in text.split_inclusive('\n') {
        if blank && !line.trim().is_empty() && borders.len() < PARAGRAPHS_MAX {
            borders.push(Border { at, hard: false });
        }
        blank = line.trim().is_empty();
        at += line.len();
    }
    borders
}
