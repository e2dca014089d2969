//! PDF: the text of its pages in the order in which it was written on them.
//!
//! `lopdf` reads the file's objects; `page` puts the text of a page together and `font` says what
//! the codes of a string mean. Pages stand a form feed apart, so that a page is a section.
//! Nothing here draws, and what is only a picture of text stays one.
//!
//! Invariant: no panic leaves this file. What a hostile file costs is bounded where a process reads
//! it that can be ended ([`read_elsewhere`]): `lopdf` may take minutes and gigabytes.

mod font;
mod page;
#[cfg(test)]
mod tests;

use super::outline;
use super::text::paragraph_borders;
use super::{Class, Input, Kind, Parsed, has_extension, stem};
use crate::chunk::{Border, clip};
use crate::limit::FILE_BYTES_MAX;
use lopdf::{DecompressError, Document, Error, LoadOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// Papers, books, forms.
pub const KIND: Kind = Kind { recognise, class: Class::Note, parse, extract: Some(made) };

/// Makes the text of a file's bytes, or says why there is none, as [`crate::disk::Extract`] does.
pub type Reader = fn(&[u8]) -> Result<String, String>;

/// Who reads files in the place of this process: the library knows no bounds of time and memory,
/// and only a process can be given them from outside. One for all indexes of a process, because
/// readers of an index read files as its writer does, and kinds know neither.
static ELSEWHERE: OnceLock<Reader> = OnceLock::new();

/// Has all further files read by `reader`, which hands them to another process.
pub fn read_elsewhere(reader: Reader) {
    // Whoever said so first stays.
    let _ = ELSEWHERE.set(reader);
}

/// Reads a file here, whatever it takes: what that other process does.
///
/// # Errors
/// Why there is no text.
pub fn read_here(bytes: &[u8]) -> Result<String, String> {
    extract(bytes)
}

fn made(bytes: &[u8]) -> Result<String, String> {
    ELSEWHERE.get().map_or_else(|| extract(bytes), |reader| reader(bytes))
}

/// What stands between two pages.
const PAGE_END: &str = "\u{c}\n";

/// Most pages that are read; the text says how many were left out.
const PAGES_MAX: usize = 5_000;

/// Most bytes that one stream may hold when it is unpacked. Objects and pages are far below; a
/// small file that holds more was made to fill the memory.
const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most text of one document, in bytes, with room for a line that says what was left out.
const TEXT_BYTES_MAX: usize = FILE_BYTES_MAX as usize - 1_024;

/// Most blank lines that are kept in a row.
const BLANK_LINES_MAX: usize = 2;

/// A file of which nothing more can be said.
const DAMAGED: &str = "is a damaged PDF: its objects cannot be read";

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, &["pdf"]).then_some("pdf")
}

fn extract(bytes: &[u8]) -> Result<String, String> {
    if bytes.is_empty() {
        return Err("is an empty PDF".to_owned());
    }
    // The library has been found to panic on files that were damaged on purpose.
    let read = catch_unwind(AssertUnwindSafe(|| text_of(bytes)));
    read.unwrap_or_else(|_| Err(DAMAGED.to_owned()))
}

/// The text of all pages.
fn text_of(bytes: &[u8]) -> Result<String, String> {
    let options = LoadOptions::with_max_decompressed_size(STREAM_BYTES_MAX);
    let document = Document::load_mem_with_options(bytes, options).map_err(|e| reason(&e))?;
    // What opens without a password is decrypted by now.
    if document.trailer.has(b"Encrypt") {
        return Err("is encrypted".to_owned());
    }
    let mut reader = page::Reader::new(&document);
    let mut out = String::new();
    let (mut n_pages, mut n_left, mut seen) = (0_usize, 0_usize, false);
    for id in document.page_iter() {
        if n_pages == PAGES_MAX || out.len() > TEXT_BYTES_MAX || reader.spent() {
            n_left += 1;
            continue;
        }
        if n_pages > 0 {
            out.push_str(PAGE_END);
        }
        n_pages += 1;
        let text = reader.page(id);
        seen |= text.chars().any(char::is_alphanumeric);
        tidy(&text, &mut out);
    }
    if n_pages == 0 {
        return Err(DAMAGED.to_owned());
    }
    if !seen && reader.is_too_large() {
        return Err(over_limit());
    }
    if !seen {
        return Err("holds no text (a scan?)".to_owned());
    }
    let kept = clip(&out, TEXT_BYTES_MAX).len();
    let n_cut = out.len() - kept;
    out.truncate(kept);
    if n_left > 0 || n_cut > 0 || reader.spent() {
        out.push_str(&format!("\n[the rest is left out: {n_left} pages, {n_cut} bytes]\n"));
    }
    Ok(out)
}

fn is_over_limit(error: &Error) -> bool {
    matches!(error, Error::Decompress(DecompressError::MemoryLimitExceeded { .. }))
}

fn over_limit() -> String {
    let limit = STREAM_BYTES_MAX / (1024 * 1024);
    format!("is a PDF of which a part is over {limit} MiB when it is unpacked")
}

/// Why a file cannot be read, without words of the library or of the file.
fn reason(error: &Error) -> String {
    match error {
        _ if is_over_limit(error) => over_limit(),
        Error::InvalidPassword | Error::Decryption(_) | Error::UnsupportedSecurityHandler(_) => {
            "is encrypted".to_owned()
        }
        Error::Parse(lopdf::ParseError::InvalidFileHeader) => "is no PDF".to_owned(),
        _ => DAMAGED.to_owned(),
    }
}

/// Adds a page: line ends as ours, no white space at them, no control characters, not more than a
/// few blank lines in a row, and words that were parted at a line's end in one piece.
fn tidy(page: &str, out: &mut String) {
    let mut n_blank = BLANK_LINES_MAX;
    for line in page.split(['\n', '\r']) {
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let mut line = line.trim_end();
        if let Some(rest) = parted(out, line) {
            out.truncate(out.len() - "-\n".len());
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            out.push('\n');
            line = rest[end..].trim_start();
            if line.is_empty() {
                continue;
            }
        }
        n_blank = if line.is_empty() { n_blank + 1 } else { 0 };
        if n_blank <= BLANK_LINES_MAX {
            out.push_str(line);
            out.push('\n');
        }
    }
    // Blank lines at the foot of a page part nothing.
    while out.ends_with("\n\n") {
        out.pop();
    }
}

/// The line, if a word of the text goes on at its head.
fn parted<'l>(text: &str, line: &'l str) -> Option<&'l str> {
    let before = text.strip_suffix("-\n")?.chars().next_back()?;
    let rest = line.trim_start();
    let goes_on = before.is_lowercase() && rest.starts_with(char::is_lowercase);
    goes_on.then_some(rest)
}

/// A section for every page, called by its number.
fn parse(input: &Input) -> Parsed {
    let text = input.text;
    let mut out = Parsed { title: stem(input.path).to_owned(), ..Parsed::default() };
    let mut borders = paragraph_borders(text);
    let mut at = 0;
    for (idx, page) in text.split_inclusive(PAGE_END).enumerate() {
        borders.push(Border { at, hard: true });
        out.add_section(outline::section(input, 1, &format!("Page {}", idx + 1), at));
        at += page.len();
    }
    let end = out.sections_end(text.len());
    outline::close(&mut out.sections, end);
    out.chunks = outline::chunks(input, &out.title, &out.sections, &borders);
    for chunk in &mut out.chunks {
        // Behind the title it reads `tides, page 3`.
        chunk.header = chunk.header.replacen("Page", "page", 1);
    }
    out
}
