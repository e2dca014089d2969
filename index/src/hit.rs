//! One hit: its place, its id, and lines that are proven to stand there.
//!
//! Invariant: no text is shown that is not what its file says at these lines now.

use crate::chunk::LineIndex;
use crate::db::{self, ChunkRow, FileRow, Source};
use crate::disk::{self, Content};
use crate::error::{Error, Result};
use crate::jail::Root;
use crate::kind::{Class, Symbol};
use crate::limit::{LINE_BYTES_MAX, SNIPPET_BYTES_MAX};
use crate::query;
use crate::rank::Scored;
use crate::reach::{Reach, SILENT};
use crate::search::{Detail, Explain, Hit, SearchArgs};
use crate::snippet;
use crate::symbol;
use crate::token::{self, Sought};
use crate::view::{NONE, View};
use rusqlite::Connection;
use std::path::Path;

/// Hits of a page of which the definition that is asked for is shown, however long their file is.
const DECLARED_MAX: usize = 3;
/// Further passages of a document that are named.
const ALSO_MAX: usize = 3;
/// Share of a document's best score that a further passage must reach to be named.
pub(crate) const ALSO_SHARE: f32 = 0.5;

/// The sources with their folders, each opened once when a hit lies in it.
pub(crate) fn roots<'a>(sources: &'a [Source], reach: &'a Reach) -> Vec<(&'a Source, Root<'a>)> {
    let root = |source: &'a Source| Root::within(Path::new(&source.root), reach);
    sources.iter().map(|source| (source, root(source))).collect()
}

/// Has the sources of these documents asked before the first of them is waited for: several that
/// do not answer cost no more time than one.
pub(crate) fn ask_roots(
    db: &Connection,
    roots: &[(&Source, Root)],
    files: impl Iterator<Item = u32>,
) -> Result<()> {
    let mut left: Vec<&(&Source, Root)> = roots.iter().collect();
    for file in files {
        // One alone is asked when it is waited for.
        if left.is_empty() || roots.len() == 1 {
            break;
        }
        let Some(id) = db::source_of(db, file)? else { continue };
        left.retain(|(source, root)| {
            if source.id == id {
                root.ask();
            }
            source.id != id
        });
    }
    Ok(())
}

/// What of these forms is sought in a document: its language was told when it was indexed, by more
/// of its text than a passage, and to tell it again takes longer than all else that a hit does.
pub(crate) fn sought<'f>(db: &Connection, file: u32, forms: &'f [String]) -> Result<Sought<'f>> {
    let language = match token::has_natives(forms) {
        true => db::language_of(db, file)?,
        false => None,
    };
    Ok(Sought { forms, language })
}

/// Makes a hit of the document in `row`, or `None` when that is no longer what was indexed. One
/// whose source does not answer is shown as it was indexed, without its text.
#[allow(clippy::too_many_arguments)]
pub(crate) fn hit(
    db: &Connection,
    view: &View,
    roots: &[(&Source, Root)],
    row: &FileRow,
    scored: &Scored,
    others: &[Scored],
    forms: &[String],
    renew_it: bool,
    args: &SearchArgs,
) -> Result<Option<Hit>> {
    let entry = view.entries[scored.entry as usize];
    let Some((source, root)) = roots.iter().find(|(s, _)| s.id == row.source) else {
        return Ok(None);
    };
    let number = if scored.slot == NONE { 0 } else { view.address(scored.slot).1 };
    let chunk = row.chunks.get(number as usize);
    let mut hit = bare_hit(source, row, number, chunk.as_ref(), scored);
    if args.explain {
        let Scored { document, passage, meaning, exact, .. } = *scored;
        hit.explain = Some(Explain { document, passage, meaning, exact });
    }
    // The row may be a commit ahead of the words for a moment.
    let same = row.generation == entry.generation;
    if same && row.chunks.is_empty() {
        // Findable by name only: there are no lines to show.
        hit.snippet =
            row.note.as_ref().map(|note| format!("(this file {note})")).unwrap_or_default();
        return Ok(Some(hit));
    }
    if !root.answers() {
        hit.silent = true;
        if args.detail != Detail::Names {
            hit.snippet = format!("({SILENT})");
        }
        return Ok(Some(hit).filter(|_| same));
    }
    let sought = sought(db, row.id, forms)?;
    let mut first = hit.lines.0;
    let indexed = match chunk.as_ref().filter(|_| same) {
        Some(chunk) => passage_text(db, root, source, row, chunk)?,
        None => None,
    };
    let text = match indexed {
        Some(text) => text,
        // The file is ahead of the index: what it says now is shown, or nothing.
        None => match renewed(db, source, row, sought).filter(|_| renew_it) {
            Some((passage, text)) => {
                first = passage.first;
                renew(&mut hit, source, row, number, passage);
                text
            }
            None => return Ok(None),
        },
    };
    let named = named(row, chunk.as_ref(), &text, scored, args);
    let kept = scored.line.or_else(|| symbol::declared(named?, &text, first));
    quote(&mut hit, &text, (first, kept), sought, args.detail);
    if hit.renewed {
        return Ok(Some(hit));
    }
    hit.symbol = symbol_of(&hit, &row.body.symbols, named, scored.line);
    let further = others.iter().filter(|o| o.passage >= ALSO_SHARE * scored.passage);
    for other in further.take(ALSO_MAX) {
        let (_, number) = view.address(other.slot);
        hit.also.extend(row.chunks.get(number as usize).map(|c| (c.first, c.last)));
    }
    Ok(Some(hit))
}

/// The row of hit `number` of a page, or of one before it; of code with the definitions in its
/// passage, one of which is shown. Where none is asked for, or others come first, those of long
/// files stay away, as to go through them takes longer than the search: the first one of the
/// passage is shown then.
pub(crate) fn row_of(
    db: &Connection,
    view: &View,
    scored: &Scored,
    number: Option<usize>,
) -> Result<Option<FileRow>> {
    let entry = view.entries[scored.entry as usize];
    match (entry.class, number) {
        (Class::Code, Some(number)) => {
            let asked = scored.exact && number < DECLARED_MAX || scored.line.is_some();
            let passage = if scored.slot == NONE { 0 } else { view.address(scored.slot).1 };
            db::file_of_code(db, entry.file, passage, scored.line, asked)
        }
        _ => db::file_of_hit(db, entry.file),
    }
}

/// The definition in a passage that the query asks for by name, if it is shown for that.
fn named<'r>(
    row: &'r FileRow,
    chunk: Option<&ChunkRow>,
    text: &str,
    scored: &Scored,
    args: &SearchArgs,
) -> Option<&'r Symbol> {
    let symbols = Some(&row.body.symbols).filter(|all| scored.exact && !all.is_empty())?;
    symbol::asked(symbols, chunk?, text, &query::parse(&args.query))
}

/// The definition that a passage is shown for: the one of the name or around the line that is asked
/// for, else the one in which most of the words stand that are shown.
fn symbol_of(
    hit: &Hit,
    symbols: &[Symbol],
    named: Option<&Symbol>,
    line: Option<u32>,
) -> Option<String> {
    let found = match named {
        None if line.is_some() => symbol::innermost(symbols, line),
        None if symbols.is_empty() || hit.marks.is_empty() => return hit.symbol.clone(),
        None => symbol::around(symbols, &hit.snippet, hit.snippet_line, &hit.marks),
        named => named,
    };
    found.map(|symbol| symbol.name.clone())
}

/// Puts as much of a passage into a hit as was asked for; the passage begins with line `first`, and
/// line `kept` is shown if there is one.
fn quote(
    hit: &mut Hit,
    text: &str,
    (first, kept): (u32, Option<u32>),
    sought: Sought,
    detail: Detail,
) {
    let found = match detail {
        Detail::Names => return,
        Detail::Line => snippet::line(text, first, kept, sought, LINE_BYTES_MAX),
        Detail::Passage => snippet::snippet_at(text, first, kept, sought, SNIPPET_BYTES_MAX),
    };
    hit.snippet = found.text;
    hit.snippet_line = found.first;
    hit.marks = found.marks;
}

/// The passage of a file as it is now that holds most of the words, and its text; `None` when it
/// holds none of them, or cannot be read.
fn renewed(
    db: &Connection,
    source: &Source,
    row: &FileRow,
    sought: Sought,
) -> Option<(ChunkRow, String)> {
    let loaded = crate::update::load(db, source, &row.path, row.id).ok()?;
    let (chunks, text) = crate::update::passages(&row.path, loaded.content)?;
    let distinct = |chunk: &ChunkRow| {
        let mut found = token::find(&text[chunk.start as usize..chunk.end as usize], sought);
        found.sort_by(|a, b| a.text.cmp(&b.text));
        found.dedup_by(|a, b| a.text == b.text);
        found.len()
    };
    let rated = chunks.iter().map(|chunk| (distinct(chunk), chunk));
    // The first one of equals; filters alone ask for how a document begins.
    let best = rated
        .filter(|(n, _)| *n > 0 || sought.forms.is_empty())
        .rev()
        .max_by_key(|(n, _)| *n)?
        .1
        .clone();
    let body = text[best.start as usize..best.end as usize].to_owned();
    Some((best, body))
}

/// Puts a hit where its passage is now.
fn renew(hit: &mut Hit, source: &Source, row: &FileRow, number: u32, passage: ChunkRow) {
    hit.renewed = true;
    hit.lines = (passage.first, passage.last);
    hit.uri = uri(source, row, Some(hit.lines));
    hit.id = id_of(row.id, number, Some(&passage));
    hit.heading = passage.heading;
    hit.symbol = passage.symbol;
}

fn bare_hit(
    source: &Source,
    row: &FileRow,
    number: u32,
    chunk: Option<&ChunkRow>,
    scored: &Scored,
) -> Hit {
    let lines = chunk.map_or((1, 1), |c| (c.first, c.last));
    Hit {
        rank: 0,
        id: id_of(row.id, number, chunk),
        uri: uri(source, row, Some(lines)),
        source: source.name.clone(),
        path: row.path.clone(),
        title: row.title.clone(),
        heading: chunk.and_then(|c| c.heading.clone()),
        symbol: chunk.and_then(|c| c.symbol.clone()),
        lines,
        score: scored.score,
        snippet: String::new(),
        snippet_line: lines.0,
        marks: Vec::new(),
        also: Vec::new(),
        copies: Vec::new(),
        modified_ms: row.modified_ms,
        kind: row.kind.clone(),
        renewed: false,
        silent: false,
        explain: None,
    }
}

/// The text of a passage, if it still is what was indexed and its source answers.
pub(crate) fn passage_text(
    db: &Connection,
    root: &Root,
    source: &Source,
    row: &FileRow,
    chunk: &ChunkRow,
) -> Result<Option<String>> {
    if !root.answers() {
        return Ok(None);
    }
    let bytes = chunk.start as usize..chunk.end as usize;
    // Only of the very file that was indexed do the bytes alone prove the lines.
    let part = || disk::part(root, &row.path, &row.stamp, &bytes);
    let text = match if row.plain { part() } else { Ok(None) } {
        Ok(Some(text)) => Some(text),
        Ok(None) | Err(Error::Data { .. } | Error::Argument(_)) => {
            match crate::update::load(db, source, &row.path, row.id) {
                Ok(loaded) => match loaded.content {
                    Content::Text { text, .. } => {
                        let line = LineIndex::new(&text).line(bytes.start);
                        text.get(bytes).filter(|_| line == chunk.first).map(str::to_owned)
                    }
                    Content::NameOnly { .. } => None,
                },
                Err(_) => None,
            }
        }
        Err(other) => return Err(other),
    };
    Ok(text.filter(|text| disk::hash(text.as_bytes())[..8] == chunk.hash))
}

/// `d<document>.<passage>.<hash>`: short, and checked when it is used.
pub(crate) fn short_id(row: &FileRow, number: u32) -> String {
    id_of(row.id, number, row.chunks.get(number as usize).as_ref())
}

pub(crate) fn id_of(file: u32, number: u32, chunk: Option<&ChunkRow>) -> String {
    let [first, second] = chunk.map_or([0, 0], |chunk| [chunk.hash[0], chunk.hash[1]]);
    format!("d{file}.{number}.{first:02x}{second:02x}")
}

/// The URI of a document: `note://source/path` or `code://source/path`, with lines.
pub(crate) fn uri(source: &Source, row: &FileRow, lines: Option<(u32, u32)>) -> String {
    let scheme = match row.class {
        Class::Note => "note",
        Class::Code => "code",
    };
    let mut out = format!("{scheme}://{}/", escape(&source.name));
    out.push_str(&row.path.split('/').map(escape).collect::<Vec<_>>().join("/"));
    if let Some((first, last)) = lines {
        out.push_str(&format!("#L{first}-L{last}"));
    }
    out
}

/// Percent-encodes one part of a path (RFC 3986 unreserved characters stay).
pub(crate) fn escape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*,;=@".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
