//! Reading: a document, a section, a block, a line range or a definition, by whatever name the
//! caller has for it. A name with several meanings gives candidates, one with none the nearest.

use crate::anchor::{Likeness, Name, anchored, line_suffixes, no_anchor, section, unlinked};
use crate::chunk::LineIndex;
use crate::db::{self, ChunkRow, FileRow, Source};
use crate::disk::Content;
use crate::error::{Error, Result};
use crate::hit::{short_id, uri};
use crate::kind::Symbol;
use crate::path::{self, System};
use crate::qualifier::Qualified;
use crate::reach::{Reach, SILENT};
use crate::token::{lower, name_key};
use crate::{Current, Index};
use rusqlite::Connection;
use std::path::Path;

/// Names listed when there are several or none.
const LISTED_MAX: usize = 10;
/// Entries of an outline.
const OUTLINE_MAX: usize = 200;
/// What a line counts for at least, in bytes: whoever shows it puts its number before it.
const LINE_BYTES_MIN: usize = 12;
/// Below this similarity (0 to 1) a name is not offered as a near one.
const NEAR: f64 = 0.5;
/// So much of a name that nothing has is compared with others.
const COMPARED_CHARS_MAX: usize = 256;
/// Places in a name, at a `#`, where that of a document may end: each is looked up.
const ANCHORS_MAX: usize = 4;

/// What to read. The first one given of `id`, `uri`, `symbol`, `path`, `title` counts.
#[derive(Clone, Debug, Default)]
pub struct ReadArgs {
    /// Path, title, alias; `#heading`, `#^block`, `#symbol`, `#L10-L40` may follow.
    pub path: Option<String>,
    /// Resource URI.
    pub uri: Option<String>,
    /// Title or alias.
    pub title: Option<String>,
    /// Name of a definition, `Type::method` too.
    pub symbol: Option<String>,
    /// Short id of a hit.
    pub id: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// First and last line, from 1.
    pub lines: Option<(u32, u32)>,
    /// Most bytes of text.
    pub bytes_max: usize,
    /// Only the outline.
    pub outline: bool,
}

/// A part of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Short id.
    pub id: String,
    /// URI.
    pub uri: String,
    /// Source.
    pub source: String,
    /// Relative path.
    pub path: String,
    /// Title.
    pub title: String,
    /// Kind.
    pub kind: String,
    /// First and last line of `text`.
    pub lines: (u32, u32),
    /// Lines of the document.
    pub total_lines: u32,
    /// Whole lines; where one alone is longer than allowed, a part of it.
    pub text: String,
    /// Where to read on, if the part was longer than allowed.
    pub next_line: Option<u32>,
    /// Headings or definitions, for long documents and on request.
    pub outline: Vec<Outline>,
    /// Entries of the outline that were left out.
    pub outline_more: usize,
    /// Other names.
    pub aliases: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Modified, milliseconds since 1970.
    pub modified_ms: i64,
    /// What the caller should know.
    pub notes: Vec<String>,
    /// The generation of the index.
    pub generation: u64,
}

/// A heading or a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Nesting, from 0.
    pub depth: u8,
    /// Heading, or signature.
    pub text: String,
    /// First and last line.
    pub lines: (u32, u32),
}

/// A document and the lines meant; what `read` and `related` share.
pub struct Target {
    pub(crate) source: Source,
    /// As the document is now, even if the index does not know it yet.
    pub(crate) row: FileRow,
    pub(crate) part: Part,
    /// It is not what was indexed.
    changed: bool,
}

/// Which part of a document a name means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Whole,
    Lines(u32, u32),
    /// A passage by its number, with its first and last line.
    Passage(usize, u32, u32),
    /// Bytes of the indexed text.
    Bytes(std::ops::Range<usize>, String),
}

impl Index {
    /// Reads.
    ///
    /// # Errors
    /// `Missing` with the nearest names, `Ambiguous` with candidates, `Unreadable` when the file
    /// is not what was indexed or is gone, `Argument` for names that cannot be one.
    pub fn read(&self, args: &ReadArgs) -> Result<Reading> {
        self.read_db(|db| {
            let generation = db::generation(db)?;
            let current = self.current(generation)?;
            let target = resolve(db, &current, self.reach(), args)?;
            let mut reading = read(db, &target, args)?;
            reading.generation = generation;
            Ok(reading)
        })
    }
}

/// Finds what the arguments mean.
pub(crate) fn resolve(
    db: &Connection,
    current: &Current,
    reach: &Reach,
    args: &ReadArgs,
) -> Result<Target> {
    let (sources, only) = (db::sources(db)?, args.source.clone());
    let finder = Finder { db, current, reach, sources, only };
    if let Some(name) = &args.source {
        finder.source(name)?;
    }
    let mut target = if let Some(id) = &args.id {
        finder.by_id(id)?
    } else if let Some(uri) = &args.uri {
        finder.by_uri(uri)?
    } else if let Some(symbol) = &args.symbol {
        finder.by_symbol(symbol, args.path.as_deref())?
    } else if let Some(name) = args.path.as_ref().or(args.title.as_ref()) {
        finder.by_name(name)?
    } else {
        return Err(Error::Argument(
            "nothing to read was named; give one of `path`, `uri`, `title`, `symbol`, `id`".into(),
        ));
    };
    if let Some((first, last)) = args.lines {
        if first == 0 || last < first {
            return Err(Error::Argument(format!(
                "lines {first} to {last} are no range; lines count from 1, first before last"
            )));
        }
        target.part = Part::Lines(first, last);
    }
    Ok(target)
}

/// Every definition that a name means, in the sources that the arguments let through.
pub(crate) fn definitions(
    db: &Connection,
    current: &Current,
    reach: &Reach,
    name: &str,
    source: Option<&str>,
) -> Result<Vec<(FileRow, Symbol)>> {
    let (sources, only) = (db::sources(db)?, source.map(str::to_owned));
    Finder { db, current, reach, sources, only }.definitions(name)
}

struct Finder<'a> {
    db: &'a Connection,
    current: &'a Current,
    reach: &'a Reach,
    sources: Vec<Source>,
    only: Option<String>,
}

impl Finder<'_> {
    fn searched(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|s| self.only.as_ref().is_none_or(|only| s.is_called(only)))
    }

    fn source(&self, name: &str) -> Result<&Source> {
        self.sources.iter().find(|s| s.is_called(name)).ok_or_else(|| {
            let nearest = self.sources.iter().map(|s| s.name.clone()).collect();
            Error::Missing { what: format!("no source `{name}`"), nearest }
        })
    }

    /// The part of a document that `find` names, in the document as it is now: between an edit and
    /// its indexing, what was indexed would name the wrong lines.
    fn target(
        &self,
        mut row: FileRow,
        find: impl FnOnce(&FileRow) -> Result<Part>,
    ) -> Result<Target> {
        let source = self.sources.iter().find(|s| s.id == row.source).cloned();
        let source = source.ok_or_else(|| Error::Row(format!("file {} has no source", row.id)))?;
        if !self.reach.answers(Path::new(&source.root)) {
            let path = format!("{}/{}", source.name, row.path);
            let reason = format!("{SILENT}; try again when it does");
            return Err(Error::Unreadable { path, reason });
        }
        let now = crate::update::row_now(self.db, &source, &row);
        let changed = now.is_some();
        row = now.unwrap_or(row);
        let part = find(&row)?;
        Ok(Target { source, row, part, changed })
    }

    /// `d12.3.ab4f`, with or without the hash.
    fn by_id(&self, id: &str) -> Result<Target> {
        let missing = || Error::Missing {
            what: format!("no passage `{id}`; ids come from `search`, as in `d12.3.ab4f`"),
            nearest: Vec::new(),
        };
        let id = id.trim();
        let mut parts =
            id.strip_prefix(['d', '#']).unwrap_or(id).trim_start_matches('d').split('.');
        let file = parts.next().and_then(|p| p.parse().ok()).ok_or_else(missing)?;
        let number: usize = match parts.next() {
            Some(part) => part.parse().map_err(|_| missing())?,
            None => 0,
        };
        let Some(row) = db::file(self.db, file)? else { return Err(missing()) };
        let hash = parts.next().map(str::to_owned);
        self.target(row, |row| {
            let fits = |c: &ChunkRow| {
                let known = || format!("{:02x}{:02x}", c.hash[0], c.hash[1]);
                hash.as_ref().is_none_or(|hash| *hash == known())
            };
            if row.chunks.is_empty() {
                return Ok(Part::Whole);
            }
            // The document changed: the passage may stand under another number now.
            let there = row.chunks.get(number).filter(fits).map(|chunk| (number, chunk));
            let moved = || row.chunks.iter().enumerate().find(|(_, c)| hash.is_some() && fits(c));
            let (number, chunk) = there.or_else(moved).ok_or_else(|| Error::Missing {
                what: format!("passage `{id}` is gone: `{}` changed; search again", row.path),
                nearest: vec![row.path.clone()],
            })?;
            Ok(Part::Passage(number, chunk.first, chunk.last))
        })
    }

    fn by_uri(&self, uri: &str) -> Result<Target> {
        let bad = |why: &str| {
            Error::Argument(format!(
                "URI `{uri}` {why}; write `note://source/path` or `code://source/path#L10-L40`"
            ))
        };
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| bad("has no scheme"))?;
        if !matches!(scheme, "note" | "code") {
            return Err(bad("has an unknown scheme"));
        }
        let (place, anchor) = match rest.split_once('#') {
            Some((place, anchor)) => (place, Some(decode(anchor))),
            None => (rest, None),
        };
        let (source, path) = place.split_once('/').ok_or_else(|| bad("names no path"))?;
        let (name, path) = (decode(source), decode(path));
        crate::jail::check_name(&path)?;
        let source = self.source(&name)?;
        let Some(row) = db::file_at(self.db, source.id, &path)? else {
            return Err(self.missing_in(Some(source), &path)?);
        };
        self.target(row, |row| anchored(row, &self.place(row), anchor.as_deref()))
    }

    /// An absolute path, as file managers and other tools give it; `#Heading` may follow.
    fn by_full_path(&self, full: &str) -> Result<Target> {
        if let Some(found) = self.at_full_path(full)? {
            return Ok(found);
        }
        let home = std::env::home_dir();
        let roots = self.searched().map(|source| source.root.as_str());
        let roots: Vec<&str> = roots.filter(|root| !root.is_empty()).collect();
        let followed = crate::jail::followed(full, &roots, home.as_deref(), self.reach);
        if let Some(followed) = &followed
            && let Some(found) = self.at_full_path(followed)?
        {
            return Ok(found);
        }
        // A title may begin as a path does.
        let named = self.documents(full)?;
        if !named.is_empty() {
            return self.target(self.one(full, named)?, |_| Ok(Part::Whole));
        }
        let inside = self.inside(full).or_else(|| self.inside(followed.as_deref()?));
        let Some((source, relative)) = inside else {
            return Err(Error::Argument(format!(
                "`{full}` lies in no source; give a path inside one, as `search` shows it"
            )));
        };
        crate::jail::check_name(&relative)?;
        let relative = relative.split('#').next().unwrap_or(&relative);
        Err(self.missing_in(Some(source), relative)?)
    }

    /// The source that a full path lies in, and the path below it.
    fn inside(&self, full: &str) -> Option<(&Source, String)> {
        let folders = self.searched().filter(|source| !source.root.is_empty());
        let inside = folders
            .filter_map(|source| Some((source, path::below(&source.root, full, System::HERE)?)));
        // Of nested sources the innermost, whose path is the shortest.
        inside.min_by_key(|(_, path)| path.len())
    }

    /// What stands at a full path, if something that is indexed does.
    fn at_full_path(&self, full: &str) -> Result<Option<Target>> {
        let Some((source, relative)) = self.inside(full) else { return Ok(None) };
        // A name may hold a `#` itself.
        if let Some(row) = db::file_at(self.db, source.id, &relative)? {
            return self.target(row, |_| Ok(Part::Whole)).map(Some);
        }
        for (relative, (first, last)) in line_suffixes(&relative) {
            if let Some(row) = db::file_at(self.db, source.id, relative)? {
                return self.target(row, |_| Ok(Part::Lines(first, last))).map(Some);
            }
        }
        let Some((relative, anchor)) = relative.split_once('#') else { return Ok(None) };
        match db::file_at(self.db, source.id, relative)? {
            Some(row) => {
                self.target(row, |row| anchored(row, &self.place(row), Some(anchor))).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Path, title or alias, with or without an anchor.
    fn by_name(&self, name: &str) -> Result<Target> {
        let name = unlinked(name);
        if name.starts_with("note://") || name.starts_with("code://") {
            return self.by_uri(name);
        }
        if Path::new(name).is_absolute() {
            return self.by_full_path(name);
        }
        crate::jail::check_name(name)?;
        let whole = self.documents(name)?;
        if !whole.is_empty() {
            return self.target(self.one(name, whole)?, |_| Ok(Part::Whole));
        }
        for (document, lines) in line_suffixes(name) {
            let found = self.documents(document)?;
            if !found.is_empty() {
                let part = Part::Lines(lines.0, lines.1);
                return self.target(self.one(document, found)?, |_| Ok(part));
            }
        }
        if let Some(found) = self.by_anchor(name)? {
            return Ok(found);
        }
        if is_id(name) {
            return self.by_id(name);
        }
        if let Some(document) = name.strip_suffix('#').filter(|document| !document.is_empty()) {
            if let Some(found) = self.by_heading(name, Likeness::Case)? {
                return Ok(found);
            }
            let found = self.documents(document)?;
            if !found.is_empty() {
                return self.target(self.one(document, found)?, |_| Ok(Part::Whole));
            }
        }
        if let Some(found) = self.by_heading(name, Likeness::Letters)? {
            return Ok(found);
        }
        let definitions = self.definitions(name)?;
        if !definitions.is_empty() {
            return self.by_symbol(name, None);
        }
        Err(self.missing_in(None, name)?)
    }

    /// A document and what stands in it behind a `#`, which both of them may hold, as in `C#`.
    fn by_anchor(&self, name: &str) -> Result<Option<Target>> {
        for (at, _) in name.match_indices('#').take(ANCHORS_MAX) {
            let (document, anchor) = (&name[..at], &name[at + 1..]);
            if document.is_empty() || anchor.is_empty() {
                continue;
            }
            let found = self.documents(document)?;
            if !found.is_empty() {
                let row = self.one(document, found)?;
                let part = |row: &FileRow| anchored(row, &self.place(row), Some(anchor));
                return self.target(row, part).map(Some);
            }
        }
        Ok(None)
    }

    /// Every document that `name` can mean, the most literal meaning only.
    fn documents(&self, name: &str) -> Result<Vec<FileRow>> {
        let mut out = Vec::new();
        for source in self.searched() {
            out.extend(db::file_at(self.db, source.id, name)?);
        }
        if !out.is_empty() {
            return Ok(out);
        }
        for source in self.searched() {
            let rest = name.strip_prefix(&source.name).and_then(|r| r.strip_prefix(['/', ':']));
            if let Some(rest) = rest {
                out.extend(db::file_at(self.db, source.id, rest)?);
            }
        }
        if !out.is_empty() {
            return Ok(out);
        }
        let wanted: Vec<i64> = self.searched().map(|s| s.id).collect();
        let mut ids: Vec<u32> = db::named(self.db, &lower(name))?
            .into_iter()
            .filter(|(_, source, ..)| wanted.contains(source))
            .map(|(id, ..)| id)
            .collect();
        if ids.is_empty() {
            ids = self.by_path_end(name, &wanted)?;
        }
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            out.extend(db::file(self.db, id)?);
        }
        Ok(out)
    }

    /// Documents whose path ends with `name`, compared without case and Unicode form, with or
    /// without its extension.
    fn by_path_end(&self, name: &str, wanted: &[i64]) -> Result<Vec<u32>> {
        let want = lower(name).replace('\\', "/");
        let want = want.trim_start_matches("./").to_owned();
        let last = want.rsplit('/').next().unwrap_or(&want).to_owned();
        let mut ids = Vec::new();
        db::filter_rows(self.db, |row| {
            if !wanted.contains(&row.source) {
                return;
            }
            // Most paths end otherwise: compare the cheap way before folding the whole.
            let path = lower(row.path);
            if !path.contains(&last) {
                return;
            }
            let bare = path.strip_suffix(".md").unwrap_or(&path);
            let ends = |p: &str| {
                p == want || p.strip_suffix(&want).is_some_and(|head| head.ends_with('/'))
            };
            if ends(&path) || ends(bare) {
                ids.push(row.id);
            }
        })?;
        Ok(ids)
    }

    fn one(&self, name: &str, mut found: Vec<FileRow>) -> Result<FileRow> {
        if found.len() == 1 {
            return Ok(found.remove(0));
        }
        let listed = found.iter().take(2 * LISTED_MAX);
        let candidates = listed.map(|row| self.place(row)).collect::<Vec<_>>();
        Err(Error::Ambiguous {
            what: format!("`{name}` means {} documents; give one of these paths", found.len()),
            candidates,
        })
    }

    fn place(&self, row: &FileRow) -> String {
        let source = self.sources.iter().find(|s| s.id == row.source);
        format!("{}/{}", source.map_or("?", |s| &s.name), row.path)
    }

    /// A heading that stands in one document only, and is at least so near the name. A link to one
    /// in its own note begins with a `#`.
    fn by_heading(&self, name: &str, least: Likeness) -> Result<Option<Target>> {
        let name = name.strip_prefix('#').filter(|heading| !heading.is_empty()).unwrap_or(name);
        let wanted = Name::new(name);
        let mut found: Vec<(Likeness, FileRow)> = Vec::new();
        let words = crate::query::parse(&format!("\"{name}\""));
        let Some(leaf) = words.required.first() else { return Ok(None) };
        let view = &self.current.view;
        let mut entries = Vec::new();
        let mut note = |posting: crate::view::Posting| entries.push(posting.entry);
        match leaf {
            crate::query::Leaf::Phrase(words) => {
                view.phrase(crate::lexical::Part::Body, words, &mut note)?;
            }
            crate::query::Leaf::Word(forms) => {
                for form in forms {
                    view.postings(crate::lexical::Part::Body, form, &mut note)?;
                }
            }
        }
        entries.sort_unstable();
        entries.dedup();
        for entry in entries.into_iter().take(2_000) {
            let Some(row) = db::file(self.db, view.entries[entry as usize].file)? else { continue };
            let like = row.body.sections.iter().filter_map(|s| wanted.likeness(&s.text)).min();
            let searched = self.searched().any(|s| s.id == row.source);
            let like = like.filter(|like| searched && *like <= least);
            found.extend(like.map(|like| (like, row)));
        }
        let best = found.iter().map(|(like, _)| *like).min();
        found.retain(|(like, _)| Some(*like) == best);
        match found.len() {
            0 => Ok(None),
            1 => {
                let (_, row) = found.remove(0);
                let part = |row: &FileRow| {
                    section(row, &self.place(row), name)?.ok_or_else(|| no_anchor(row, name))
                };
                Ok(Some(self.target(row, part)?))
            }
            n => Err(Error::Ambiguous {
                what: format!("`{name}` is a heading in {n} documents; give one of these"),
                candidates: found
                    .iter()
                    .take(LISTED_MAX)
                    .map(|(_, row)| format!("{}#{name}", self.place(row)))
                    .collect(),
            }),
        }
    }

    /// Every definition called `name`; `Type::method` asks for one inside `Type`. Of a longer path
    /// the beginning may be what nothing here is called, as that of a crate.
    fn definitions(&self, name: &str) -> Result<Vec<(FileRow, Symbol)>> {
        let Some(Qualified { around: parts, name: last }) = Qualified::of(name) else {
            return Ok(Vec::new());
        };
        let key = name_key(last);
        let mut files = Vec::new();
        let view = &self.current.view;
        view.exact(&format!("d:{key}"), |_, entry| files.push(view.entries[entry as usize].file))?;
        files.sort_unstable();
        files.dedup();
        let mut out = Vec::new();
        // How many of the parts the best ones stand in, the innermost first.
        let mut most = parts.len().min(1);
        for file in files {
            let Some(row) = db::file(self.db, file)? else { continue };
            let Some(source) = self.searched().find(|s| s.id == row.source) else { continue };
            for symbol in &row.body.symbols {
                // Of an operator no letters are left.
                let named = match key.is_empty() {
                    true => symbol.name == last,
                    false => name_key(&symbol.name) == key,
                };
                if !named || symbol.kind == "impl" {
                    continue;
                }
                let stands = |part: &&&str| around(&row, symbol, part) || is_of(source, part);
                let n = parts.iter().rev().take_while(stands).count();
                if n > most {
                    out.clear();
                    most = n;
                }
                if n == most {
                    out.push((row.clone(), symbol.clone()));
                }
            }
        }
        // `Pool::take` in `pool.rs`: an item of that name is meant before the file.
        let inside = |(row, s): &(FileRow, Symbol)| parts.last().is_some_and(|p| within(row, s, p));
        if out.iter().any(inside) {
            out.retain(inside);
        }
        // An exact spelling beats its twins in other cases.
        if out.iter().any(|(_, s)| s.name == last) {
            out.retain(|(_, s)| s.name == last);
        }
        Ok(out)
    }

    fn by_symbol(&self, name: &str, path: Option<&str>) -> Result<Target> {
        let mut found = self.definitions(name)?;
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            let elsewhere = found.iter().map(|(row, _)| self.place(row)).take(LISTED_MAX);
            let elsewhere: Vec<String> = elsewhere.collect();
            let path = path.strip_prefix("./").unwrap_or(path);
            found.retain(|(row, _)| is_end(&row.path, path) || self.place(row) == path);
            if found.is_empty() && !elsewhere.is_empty() {
                let what = format!("no definition of `{name}` in `{path}`");
                return Err(Error::Missing { what, nearest: elsewhere });
            }
        }
        match found.len() {
            0 => Err(Error::Missing {
                what: format!("no definition of `{name}`"),
                nearest: self.near_definitions(name)?,
            }),
            1 => {
                let (row, symbol) = found.remove(0);
                self.target(row, |row| {
                    // In the document as it is now, the one that stands nearest.
                    let same = |s: &&Symbol| s.name == symbol.name && s.kind == symbol.kind;
                    let away = |s: &&Symbol| s.lines.0.abs_diff(symbol.lines.0);
                    let now = row.body.symbols.iter().filter(same).min_by_key(away);
                    let now = now.ok_or_else(|| no_anchor(row, &symbol.name))?;
                    Ok(Part::Bytes(now.bytes.clone(), now.name.clone()))
                })
            }
            n => Err(Error::Ambiguous {
                what: format!("`{name}` is defined {n} times; give `path` too, or one of these"),
                candidates: self.listed(&found, 2 * LISTED_MAX),
            }),
        }
    }

    /// Definitions as candidates: what reads each, and how it is declared.
    fn listed(&self, found: &[(FileRow, Symbol)], most: usize) -> Vec<String> {
        let candidate = |(row, symbol): &(FileRow, Symbol)| {
            let (first, last) = symbol.lines;
            format!("{}#L{first}-L{last}  {}", self.place(row), symbol.signature)
        };
        found.iter().take(most).map(candidate).collect()
    }

    /// What may be meant by a name that nothing has: those called so that stand elsewhere, else
    /// names that are similar.
    fn near_definitions(&self, name: &str) -> Result<Vec<String>> {
        let Some(named) = Qualified::of(name) else { return Ok(Vec::new()) };
        let elsewhere = match named.around.is_empty() {
            true => Vec::new(),
            false => self.definitions(named.name)?,
        };
        match elsewhere.is_empty() {
            true => self.near_symbols(named.name),
            false => Ok(self.listed(&elsewhere, LISTED_MAX)),
        }
    }

    fn near_symbols(&self, name: &str) -> Result<Vec<String>> {
        let words: Vec<String> = crate::token::words(name).into_iter().map(|w| w.text).collect();
        let mut similar = Vec::new();
        for word in words.iter().take(2) {
            similar.extend(self.current.view.similar(word, 2, 5)?);
        }
        Ok(nearest(name, similar.into_iter()))
    }

    fn missing_in(&self, source: Option<&Source>, name: &str) -> Result<Error> {
        let mut names = Vec::new();
        db::filter_rows(self.db, |row| {
            if source.is_none_or(|s| s.id == row.source) {
                names.push(row.path.to_owned());
            }
        })?;
        let place = source.map_or(String::new(), |s| format!(" in source `{}`", s.name));
        Ok(Error::Missing {
            what: format!("nothing is called `{name}`{place}"),
            nearest: nearest(name, names.into_iter()),
        })
    }
}

/// Whether a path ends with a whole part, or with several.
fn is_end(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// Whether a source is called `part`, perhaps with a version behind it: `tokio-1.54.1`.
fn is_of(source: &Source, part: &str) -> bool {
    let key = name_key(part);
    let bare = source.name.trim_end_matches(|c: char| matches!(c, '0'..='9' | '.' | '-' | '_'));
    !key.is_empty() && (name_key(&source.name) == key || name_key(bare) == key)
}

/// Whether `symbol` stands inside an item, or a file, called `part`.
fn around(row: &FileRow, symbol: &Symbol, part: &str) -> bool {
    let key = name_key(part);
    within(row, symbol, part) || row.path.split(['/', '.']).any(|piece| name_key(piece) == key)
}

/// Whether `symbol` stands inside an item called `part`.
fn within(row: &FileRow, symbol: &Symbol, part: &str) -> bool {
    let key = name_key(part);
    let inside = |s: &Symbol| {
        s.bytes.start <= symbol.bytes.start
            && symbol.bytes.end <= s.bytes.end
            && s != symbol
            && name_key(&s.name) == key
    };
    row.body.symbols.iter().any(inside)
}

/// `d12.3.ab4f`
fn is_id(name: &str) -> bool {
    let Some(rest) = name.strip_prefix('d') else { return false };
    rest.contains('.') && rest.split('.').take(2).all(|p| p.parse::<u32>().is_ok())
}

/// The names most like `name`, best first.
pub(crate) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let want: String = lower(name).chars().take(COMPARED_CHARS_MAX).collect();
    let mut rated: Vec<(f64, String)> = names
        .map(|candidate| {
            let have = lower(&candidate).into_owned();
            let last = have.rsplit('/').next().unwrap_or(&have);
            let rate = |a: &str| strsim::jaro_winkler(a, &want);
            let stem = crate::kind::stem(last);
            let inside = if have.contains(&want) && want.len() > 2 { 0.9 } else { 0.0 };
            (rate(&have).max(rate(last)).max(rate(stem)).max(inside), candidate)
        })
        .filter(|(rate, _)| *rate > NEAR)
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rated.dedup_by(|a, b| a.1 == b.1);
    rated.into_iter().take(5).map(|(_, name)| name).collect()
}

/// The source and the path that a `note://` or `code://` URI spells, if it is one.
pub(crate) fn uri_parts(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix("note://").or_else(|| uri.strip_prefix("code://"))?;
    let (source, path) = rest.split('#').next().unwrap_or(rest).split_once('/')?;
    Some((decode(source), decode(path)))
}

/// Percent-decoding; broken escapes stay as they are.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Loads the text and cuts out the part.
fn read(db: &Connection, target: &Target, args: &ReadArgs) -> Result<Reading> {
    let Target { source, row, part, .. } = target;
    let mut reading = heading(target);
    let place = format!("{}/{}", source.name, row.path);
    let loaded = crate::update::load(db, source, &row.path, row.id).map_err(|error| {
        let reason = match error {
            Error::Data { source, .. } => format!("{source}; it may have been moved or removed"),
            other => other.to_string(),
        };
        Error::Unreadable { path: place.clone(), reason }
    })?;
    let text = match loaded.content {
        Content::Text { text, .. } => text,
        Content::NameOnly { reason } => {
            return Err(Error::Unreadable { path: place, reason: format!("the file {reason}") });
        }
    };
    if target.changed {
        reading.notes.push("the file changed since it was indexed; this is its text now".into());
    }
    let lines = LineIndex::new(&text);
    reading.total_lines = lines.count();
    // Where its parts and passages stand is known of what was indexed only.
    let same = loaded.hash == row.hash;
    let (first, last) = span_of(part, &lines, &place, same)?;
    let long = lines.bytes(first, last).len() > args.bytes_max;
    if args.outline || (long && *part == Part::Whole) {
        outline(row, &lines, &mut reading);
    }
    if args.outline {
        reading.lines = (first, last);
        return Ok(reading);
    }
    let passage = match part {
        Part::Passage(number, ..) if long && same => Some(*number),
        _ => None,
    };
    let passage = passage.and_then(|number| Some((number, row.chunks.get(number)?)));
    // One that is whole lines is shown as others are.
    let whole = lines.bytes(first, last).len();
    match passage.filter(|(_, chunk)| ((chunk.end - chunk.start) as usize) < whole) {
        Some((number, chunk)) => {
            take_passage(&text, row, (number, &chunk), args.bytes_max, &mut reading);
            reading.lines = lines.span(&(chunk.start as usize..chunk.end as usize));
        }
        None => {
            let row = Some(row).filter(|_| same);
            take_lines(&text, &lines, (first, last), row, args.bytes_max, &mut reading);
        }
    }
    reading.uri = uri(source, row, Some(reading.lines));
    Ok(reading)
}

/// First and last line of a part; `same` says that the text is what its bytes were found in.
fn span_of(part: &Part, lines: &LineIndex, place: &str, same: bool) -> Result<(u32, u32)> {
    match part {
        Part::Whole => Ok((1, lines.count())),
        Part::Lines(first, last) | Part::Passage(_, first, last) => {
            if *first > lines.count() {
                return Err(Error::Argument(format!(
                    "line {first} is beyond the end of `{place}`, which has {} lines",
                    lines.count()
                )));
            }
            Ok((*first, (*last).min(lines.count())))
        }
        Part::Bytes(bytes, _) if same => Ok(lines.span(bytes)),
        Part::Bytes(..) => Err(changed_again(place)),
    }
}

/// A document changed once more since its parts were found.
fn changed_again(place: &str) -> Error {
    Error::Unreadable {
        path: place.to_owned(),
        reason: "the file changed since it was indexed; ask again in a moment, or read it by \
                 `lines`"
            .into(),
    }
}

fn heading(target: &Target) -> Reading {
    let Target { source, row, .. } = target;
    Reading {
        id: short_id(row, 0),
        uri: uri(source, row, None),
        source: source.name.clone(),
        path: row.path.clone(),
        title: row.title.clone(),
        kind: row.kind.clone(),
        aliases: row.body.aliases.clone(),
        tags: row.body.tags.clone(),
        modified_ms: row.modified_ms,
        ..Reading::default()
    }
}

fn outline(row: &FileRow, lines: &LineIndex, reading: &mut Reading) {
    let sections = row.body.sections.iter().map(|s| Outline {
        depth: s.level.saturating_sub(1),
        text: s.text.clone(),
        lines: lines.span(&s.bytes),
    });
    let symbols = row.body.symbols.iter().map(|s| Outline {
        depth: s.depth,
        text: s.signature.clone(),
        lines: s.lines,
    });
    let all: Vec<Outline> = sections.chain(symbols).collect();
    reading.outline_more = all.len().saturating_sub(OUTLINE_MAX);
    reading.outline = all.into_iter().take(OUTLINE_MAX).collect();
}

/// Whole lines up to `max` bytes; at least a part of the first one. `row` knows which passage
/// stands where, if the text is what was indexed.
fn take_lines(
    text: &str,
    lines: &LineIndex,
    (first, last): (u32, u32),
    row: Option<&FileRow>,
    max: usize,
    out: &mut Reading,
) {
    let cost = |line: u32| lines.bytes(line, line).len().max(LINE_BYTES_MIN);
    let mut end = first;
    let mut bytes = cost(first);
    while end < last {
        let next = cost(end + 1);
        if bytes + next > max {
            break;
        }
        bytes += next;
        end += 1;
    }
    let range = lines.bytes(first, end);
    let body = &text[range.clone()];
    let clipped = crate::chunk::clip(body, max.max(4));
    if clipped.len() < body.len() {
        let at = (range.start + clipped.len()) as u32;
        let next = row.and_then(|row| {
            let number = row.chunks.iter().position(|c| c.start <= at && at < c.end)?;
            Some(format!("; passage `{}` is where it goes on", short_id(row, number as u32)))
        });
        out.notes.push(format!(
            "line {first} is {} bytes long; only its first {} are shown{}",
            body.len(),
            clipped.len(),
            next.unwrap_or_default()
        ));
    }
    out.text = clipped.to_owned();
    out.lines = (first, end);
    out.next_line = (end < last).then_some(end + 1);
}

/// A passage whose lines are longer than allowed: its own text, and by which ids to read on.
fn take_passage(
    text: &str,
    row: &FileRow,
    (number, chunk): (usize, &ChunkRow),
    max: usize,
    out: &mut Reading,
) {
    let body = text.get(chunk.start as usize..chunk.end as usize).unwrap_or_default();
    let clipped = crate::chunk::clip(body, max.max(4));
    let mut note = format!(
        "its lines are too long to be shown whole: this is {} bytes of them, from byte {} of the \
         document on",
        clipped.len(),
        chunk.start
    );
    let passage = |number: usize| {
        let there = row.chunks.get(number)?;
        Some(crate::hit::id_of(row.id, number as u32, Some(&there)))
    };
    let before = number.checked_sub(1).and_then(passage);
    for (id, place) in [(before, "before"), (passage(number + 1), "behind")] {
        if let Some(id) = id {
            note.push_str(&format!("; {place} it stands passage `{id}`"));
        }
    }
    out.notes.push(note);
    out.text = clipped.to_owned();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_ends_of_paths_are_told() {
        assert!(is_end("src/data.rs", "data.rs") && is_end("data.rs", "data.rs"));
        assert!(is_end("a/src/data.rs", "src/data.rs") && !is_end("schema_data.rs", "data.rs"));
        assert!(is_id("d12.3.ab4f") && is_id("d1.0") && !is_id("data.1"));
    }

    #[test]
    fn the_nearest_name_comes_first() {
        let names = ["notes/tides.md", "notes/boats.md", "index.md"].map(str::to_owned);
        assert_eq!(nearest("notes/tide.md", names.into_iter())[0], "notes/tides.md");
    }
}
