//! What a file is, and how each kind becomes title, chunks, links and symbols.
//!
//! To add a kind: a file beside the others and a row in [`KINDS`]. Everything here is pure.

pub mod adoc;
pub mod base;
mod bound;
pub mod canvas;
pub mod code;
pub mod markdown;
pub mod notebook;
mod outline;
pub mod pdf;
pub mod rst;
mod secret;
pub mod spec;
pub mod text;

pub use bound::Left;

use crate::chunk::LineIndex;
use crate::disk::Extract;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// A family of kinds: field weights and header rules go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Prose that people write: notes, documentation, plain text.
    Note,
    /// Source code and configuration.
    Code,
}

impl Class {
    /// The name that the `kind` filter takes for the whole family.
    pub fn name(self) -> &'static str {
        match self {
            Class::Note => "note",
            Class::Code => "code",
        }
    }
}

/// A row of the table of kinds.
pub struct Kind {
    /// Whether `path` (relative, `/` between parts) is of this kind; its exact name if so.
    pub recognise: fn(&str) -> Option<&'static str>,
    /// The family.
    pub class: Class,
    /// Cuts a text.
    pub parse: fn(&Input) -> Parsed,
    /// Makes text of bytes that are none as they are; else they are decoded. Its error goes on
    /// behind "the file", and the file is found by its name only.
    pub extract: Option<Extract>,
}

/// Every kind, asked in this order; the last one takes whatever is text.
pub const KINDS: &[Kind] = &[
    secret::KIND,
    spec::KIND,
    markdown::KIND,
    notebook::KIND,
    canvas::KIND,
    base::KIND,
    rst::KIND,
    adoc::KIND,
    pdf::KIND,
    text::PROSE,
    code_kind(),
    text::FALLBACK,
];

const fn code_kind() -> Kind {
    let parse = crate::chunk::parse_code;
    Kind { recognise: recognise_code, class: Class::Code, parse, extract: None }
}

fn recognise_code(path: &str) -> Option<&'static str> {
    code::by_path(path).map(|language| language.name)
}

/// The kind of `path`, and its exact name (`markdown`, `rust`, `text`, …).
pub fn of(path: &str) -> (&'static Kind, &'static str) {
    for kind in KINDS {
        if let Some(name) = (kind.recognise)(path) {
            return (kind, name);
        }
    }
    (&text::FALLBACK, "text")
}

/// What a kind parses.
pub struct Input<'a> {
    /// Relative path, `/` between parts.
    pub path: &'a str,
    /// The decoded text.
    pub text: &'a str,
    /// Where its lines start.
    pub lines: &'a LineIndex,
}

/// A document cut into what the index keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The exact name of its kind, where the text says more than its path.
    pub kind: Option<&'static str>,
    /// What people call it.
    pub title: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// Tags without `#`, as written; nested ones with `/`.
    pub tags: Vec<String>,
    /// Front matter and inline fields: key in lower case, value as text.
    pub props: Vec<(String, String)>,
    /// Outgoing links.
    pub links: Vec<Link>,
    /// Headings in order.
    pub sections: Vec<Section>,
    /// Block ids with the bytes of their block.
    pub blocks: Vec<(String, Range<usize>)>,
    /// Definitions in order.
    pub symbols: Vec<Symbol>,
    /// By definition, the byte where it is declared, behind its comments: where its name stands.
    pub declared: Vec<usize>,
    /// The passages; they tile the text.
    pub chunks: Vec<Chunk>,
    /// What was over a bound and is left out, with the byte from which on, where that is known.
    pub left: BTreeMap<Left, usize>,
}

/// A heading and the bytes that it governs (up to the next heading of its level or above).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// 1 to 6.
    pub level: u8,
    /// Its text.
    pub text: String,
    /// From the heading to the end of what it governs.
    pub bytes: Range<usize>,
    /// Line of the heading, from 1.
    pub line: u32,
}

/// A definition in code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Bare name.
    pub name: String,
    /// `function`, `struct`, …
    pub kind: String,
    /// The whole item with its comments.
    pub bytes: Range<usize>,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// Nesting among items.
    pub depth: u8,
    /// Declaration up to its body, one line.
    pub signature: String,
}

/// A link as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Path or name, without heading and block.
    pub target: String,
    /// Heading or `^block` behind `#`.
    pub anchor: Option<String>,
    /// What is shown.
    pub text: String,
    /// `[[wiki]]` rather than `[text](path)`.
    pub wiki: bool,
    /// `![[…]]`.
    pub embed: bool,
    /// Line, from 1.
    pub line: u32,
}

/// One passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of the text.
    pub bytes: Range<usize>,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// Heading path or enclosing signatures: what the passage stands under.
    pub header: String,
    /// Innermost heading.
    pub heading: Option<String>,
    /// First definition in it, else the one around it.
    pub symbol: Option<String>,
    /// Names defined in it, one a line.
    pub names: String,
}

/// The last part of a path without its extension.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rfind('.') {
        Some(dot) if dot > 0 => &name[..dot],
        _ => name,
    }
}

/// Whether `path` ends with one of `extensions` (lower case, no dot).
pub fn has_extension(path: &str, extensions: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').is_some_and(|(_, e)| extensions.contains(&e.to_lowercase().as_str()))
}
