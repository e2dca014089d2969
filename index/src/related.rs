//! Neighbours in the graph: links, backlinks, unresolved links, shared tags, files that change
//! together; for code, where a name is defined and where it is used.

use crate::Index;
use crate::chunk::clip;
use crate::db::{self, FileRow, Source};
use crate::error::Result;
use crate::fuse::Nearness;
use crate::graph;
use crate::hit::{passage_text, roots, short_id, uri};
use crate::jail::Root;
use crate::kind::{Class, Symbol};
use crate::lexical::Part;
use crate::reach::{Reach, SILENT};
use crate::read::{self, ReadArgs};
use crate::symbol::end_of;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// Names of a code file whose uses are looked up when no symbol is asked for.
const SYMBOLS_MAX: usize = 20;
/// Passages that are read for each use that is enough, at most: many may hold a word of the name
/// and not the name.
const READ_FOR_EACH: usize = 10;

/// Cosine from which two documents are called similar.
const SIMILAR: f32 = 0.4;
/// Most of them.
const SIMILAR_MAX: usize = 10;

/// Whose neighbours.
#[derive(Clone, Debug, Default)]
pub struct RelatedArgs {
    /// As for reading.
    pub target: ReadArgs,
    /// Most rows per kind of relation.
    pub limit: usize,
}

/// A neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    /// Short id; empty for what does not exist.
    pub id: String,
    /// URI; empty for what does not exist.
    pub uri: String,
    /// Source.
    pub source: String,
    /// Path, or the target as written.
    pub path: String,
    /// Title.
    pub title: String,
    /// First and last line of the evidence.
    pub lines: Option<(u32, u32)>,
    /// Link text, line of use, shared tags.
    pub text: String,
}

/// What stands around a document or a definition.
#[derive(Clone, Debug, Default)]
pub struct Related {
    /// The document itself.
    pub of: Neighbour,
    /// By relation: `links`, `backlinks`, `unresolved`, `same_tags`, `changed_together`,
    /// `definitions`, `uses`, `similar`.
    pub groups: BTreeMap<&'static str, Vec<Neighbour>>,
    /// By relation: how many there are in all, where the list is cut.
    pub totals: BTreeMap<&'static str, usize>,
    /// Tags of the document.
    pub tags: Vec<String>,
    /// What the caller should know.
    pub notes: Vec<String>,
    /// Generation.
    pub generation: u64,
}

impl Related {
    fn put(&mut self, relation: &'static str, mut rows: Vec<Neighbour>, limit: usize) {
        if rows.is_empty() {
            return;
        }
        self.totals.insert(relation, rows.len());
        rows.truncate(limit);
        self.groups.insert(relation, rows);
    }
}

impl Index {
    /// Finds neighbours.
    ///
    /// # Errors
    /// As [`Index::read`].
    pub fn related(&self, args: &RelatedArgs) -> Result<Related> {
        self.read_db(|db| {
            let generation = db::generation(db)?;
            let current = self.current(generation)?;
            let mut sources = db::sources(db)?;
            let only = args.target.source.as_deref();
            if let Some(only) = only
                && sources.iter().any(|s| s.is_called(only))
            {
                sources.retain(|s| s.is_called(only));
            }
            let mut out = Related { generation, ..Related::default() };
            let symbol = args.target.symbol.clone().filter(|_| args.target.id.is_none());
            let symbol_only = symbol.is_some() && args.target.path.is_none();
            let reach = self.reach();
            let target = read::resolve(db, &current, reach, &args.target);
            let target = match (target, symbol_only) {
                (Ok(target), _) => target,
                // Several definitions: each is a row, and the uses are of all of them.
                (Err(crate::Error::Ambiguous { .. }), true) => {
                    let name = symbol.unwrap_or_default();
                    let found = read::definitions(db, &current, reach, &name, only)?;
                    definitions(&sources, found, args.limit, &mut out);
                    uses(db, &current.view, &sources, reach, &[name], args.limit, &mut out)?;
                    return Ok(out);
                }
                (Err(error), _) => return Err(error),
            };
            out.of = neighbour(&target.source, &target.row);
            out.tags.clone_from(&target.row.body.tags);
            match target.row.class {
                Class::Note => note(db, &target, &sources, args.limit, &mut out)?,
                Class::Code => {
                    let names = match symbol {
                        Some(name) => vec![name],
                        None => names_of(&target),
                    };
                    if let [name] = &names[..] {
                        let found = read::definitions(db, &current, reach, name, only)?;
                        definitions(&sources, found, args.limit, &mut out);
                    }
                    uses(db, &current.view, &sources, reach, &names, args.limit, &mut out)?;
                    note(db, &target, &sources, args.limit, &mut out)?;
                }
            }
            let similar = self.similar(db, &current, &target, &sources, args.limit)?;
            out.put("similar", similar, args.limit);
            let together = changed_together(db, &target)?;
            out.put("changed_together", together, args.limit);
            Ok(out)
        })
    }
}

impl Index {
    /// Documents that mean nearly the same, nearest first; none without an embedding model.
    fn similar(
        &self,
        db: &Connection,
        current: &crate::Current,
        target: &read::Target,
        sources: &[Source],
        limit: usize,
    ) -> Result<Vec<Neighbour>> {
        let view = &current.view;
        let mut found = crate::search::Found::default();
        let Some(entry) = view.entry(target.row.id) else { return Ok(Vec::new()) };
        let Some(dense) = self.dense(db, view, &mut found)? else { return Ok(Vec::new()) };
        let Some(query) = dense.meaning_of(entry) else { return Ok(Vec::new()) };
        let near = Nearness::of(&dense, &query, view.entries.len(), limit);
        let others = near.scores().filter(|(score, other)| *other != entry && *score >= SIMILAR);
        let mut scores: Vec<(f32, u32)> = others.collect();
        scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut out = Vec::new();
        for (score, other) in scores {
            if out.len() == limit.min(SIMILAR_MAX) {
                break;
            }
            let row = db::file_of_hit(db, view.entries[other as usize].file)?;
            let Some(row) = row else { continue };
            let Some(source) = by_id(sources, row.source) else { continue };
            let text = format!("similarity {score:.2}");
            out.push(Neighbour { text, ..neighbour(source, &row) });
        }
        Ok(out)
    }
}

/// The symbols that begin in the target's lines, or the one around them; of a whole file those of
/// its outer level.
fn names_of(target: &read::Target) -> Vec<String> {
    let items = || target.row.body.symbols.iter().filter(|s| s.kind != "impl");
    let names = |found: Vec<&Symbol>| -> Vec<String> {
        found.into_iter().map(|s| s.name.clone()).take(SYMBOLS_MAX).collect()
    };
    match &target.part {
        read::Part::Bytes(_, name) => vec![name.clone()],
        read::Part::Lines(first, last) | read::Part::Passage(_, first, last) => {
            let begins: Vec<&Symbol> =
                items().filter(|s| (*first..=*last).contains(&s.lines.0)).collect();
            if !begins.is_empty() {
                return names(begins);
            }
            let around = items().filter(|s| s.lines.0 <= *first && *last <= s.lines.1);
            names(around.min_by_key(|s| s.bytes.len()).into_iter().collect())
        }
        read::Part::Whole => names(items().filter(|s| s.depth == 0).collect()),
    }
}

fn neighbour(source: &Source, row: &FileRow) -> Neighbour {
    Neighbour {
        id: short_id(row, 0),
        uri: uri(source, row, None),
        source: source.name.clone(),
        path: row.path.clone(),
        title: row.title.clone(),
        ..Neighbour::default()
    }
}

fn by_id(sources: &[Source], id: i64) -> Option<&Source> {
    sources.iter().find(|s| s.id == id)
}

fn note(
    db: &Connection,
    target: &read::Target,
    sources: &[Source],
    limit: usize,
    out: &mut Related,
) -> Result<()> {
    let row = &target.row;
    let (mut links, mut unresolved) = (Vec::new(), Vec::new());
    for link in db::links_of(db, row.id)? {
        let lines = Some((link.link.line, link.link.line));
        let text = clip(&link.link.text, 200).to_owned();
        match graph::resolve(db, row.source, &row.path, &link.link)? {
            Some(id) if id == row.id => {}
            Some(id) => {
                if let Some(to) = db::file(db, id)? {
                    links.push(Neighbour { lines, text, ..neighbour(&target.source, &to) });
                }
            }
            None => unresolved.push(Neighbour {
                source: target.source.name.clone(),
                path: link.link.target.clone(),
                lines,
                text,
                ..Neighbour::default()
            }),
        }
    }
    let mut backlinks = Vec::new();
    for link in graph::incoming(db, row.id)? {
        let Some(from) = db::file(db, link.file)? else { continue };
        let Some(source) = by_id(sources, from.source) else { continue };
        let lines = Some((link.link.line, link.link.line));
        let text = clip(&link.link.text, 200).to_owned();
        backlinks.push(Neighbour { lines, text, ..neighbour(source, &from) });
    }
    out.put("links", links, limit);
    out.put("backlinks", backlinks, limit);
    out.put("unresolved", unresolved, limit);
    out.put("same_tags", same_tags(db, row, sources)?, limit);
    Ok(())
}

/// Documents that share tags, most shared first.
fn same_tags(db: &Connection, row: &FileRow, sources: &[Source]) -> Result<Vec<Neighbour>> {
    let mut shared: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for tag in &row.body.tags {
        for file in db::with_prop(db, "#", &tag.to_lowercase())? {
            if file != row.id {
                shared.entry(file).or_default().push(format!("#{tag}"));
            }
        }
    }
    let mut rows: Vec<(u32, Vec<String>)> = shared.into_iter().collect();
    rows.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
    let mut out = Vec::new();
    for (file, tags) in rows {
        let Some(file) = db::file(db, file)? else { continue };
        let Some(source) = by_id(sources, file.source) else { continue };
        out.push(Neighbour { text: tags.join(" "), ..neighbour(source, &file) });
    }
    Ok(out)
}

/// Files of the same commits. First those whose own changes go along most: the share of both
/// files' commits that are common (the cosine of their histories), so that a file of every commit,
/// a changelog, does not stand before the others.
fn changed_together(db: &Connection, target: &read::Target) -> Result<Vec<Neighbour>> {
    let (source, path) = (&target.source, &target.row.path);
    let own = db::changes_of(db, source.id, path)?;
    let mut rows = Vec::new();
    for (file, common) in db::changed_together(db, source.id, path)? {
        let Some(row) = db::file_of_hit(db, file)? else { continue };
        let others = db::changes_of(db, source.id, &row.path)?;
        let cosine = f64::from(common) / (f64::from(own) * f64::from(others)).sqrt();
        let text = format!("in {common} of its {own} commits");
        rows.push((cosine, Neighbour { text, ..neighbour(source, &row) }));
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.path.cmp(&b.1.path)));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn definitions(sources: &[Source], found: Vec<(FileRow, Symbol)>, limit: usize, out: &mut Related) {
    let row = |(row, symbol): (FileRow, Symbol)| {
        let source = by_id(sources, row.source)?;
        let (lines, text) = (Some(symbol.lines), symbol.signature);
        let uri = uri(source, &row, lines);
        Some(Neighbour { lines, text, uri, ..neighbour(source, &row) })
    };
    out.put("definitions", found.into_iter().filter_map(row).collect(), limit);
}

/// Lines that hold a name outside its definitions: callers by name, nothing more precise. Those in
/// sources that do not answer are left out, with a note.
fn uses(
    db: &Connection,
    view: &crate::view::View,
    sources: &[Source],
    reach: &Reach,
    names: &[String],
    limit: usize,
    out: &mut Related,
) -> Result<()> {
    let mut rows = Vec::new();
    let roots = roots(sources, reach);
    // Enough evidence for a list that is cut anyway.
    let enough = limit * 4 + 100;
    let (mut n_read, mut silent) = (0, BTreeSet::new());
    for name in names {
        let bare = name.rsplit(['.', ':', '#']).next().unwrap_or(name);
        let mut slots = Vec::new();
        for form in identifier_forms(bare) {
            view.postings(Part::Body, &form, |posting| slots.push(posting.slot))?;
        }
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            if rows.len() >= enough || n_read >= enough * READ_FOR_EACH {
                break;
            }
            let Some(id) = db::source_of(db, view.address(slot).0)? else { continue };
            let found = roots.iter().find(|(source, _)| source.id == id);
            let Some(&(source, ref root)) = found else { continue };
            if !root.answers() {
                silent.insert(source.name.as_str());
                continue;
            }
            n_read += 1;
            use_lines(db, view, (source, root), slot, bare, &mut rows)?;
        }
    }
    out.put("uses", rows, limit);
    if n_read >= enough * READ_FOR_EACH {
        let note = format!("uses were looked for in the first {n_read} passages that may hold one");
        out.notes.push(note);
    }
    let note = |name: &str| format!("uses in source `{name}` cannot be shown: {SILENT}");
    out.notes.extend(silent.into_iter().map(note));
    Ok(())
}

/// The index terms that an identifier has as a whole.
fn identifier_forms(name: &str) -> Vec<String> {
    let words = crate::token::words(name);
    let whole = words.iter().filter(|w| w.form == crate::token::Form::Whole);
    let whole: Vec<String> = whole.map(|w| w.text.clone()).collect();
    if whole.is_empty() { words.into_iter().map(|w| w.text).collect() } else { whole }
}

fn use_lines(
    db: &Connection,
    view: &crate::view::View,
    (source, root): (&Source, &Root),
    slot: u32,
    name: &str,
    rows: &mut Vec<Neighbour>,
) -> Result<()> {
    let (file, number) = view.address(slot);
    let Some(row) = db::file(db, file)? else { return Ok(()) };
    let Some(chunk) = row.chunks.get(number as usize) else { return Ok(()) };
    let Some(text) = passage_text(db, root, source, &row, &chunk)? else { return Ok(()) };
    for (at, line) in text.lines().enumerate() {
        let number = chunk.first + at as u32;
        // The line that declares it is no use of it.
        let declares = row.body.symbols.iter().any(|s| {
            s.name == name
                && s.signature.len() > 2
                && number >= s.lines.0
                && line.contains(name)
                && number <= s.lines.1
                && s.signature.contains(line.trim().trim_end_matches(['{', ' ', ':']))
        });
        if end_of(line, name).is_some() && !declares {
            let lines = Some((number, number));
            let text = clip(line.trim(), 200).to_owned();
            let uri = uri(source, &row, lines);
            rows.push(Neighbour { lines, text, uri, ..neighbour(source, &row) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::{SourceSpec, Updater};
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn uses_in_a_source_that_does_not_answer_are_left_out_and_a_note_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("data")).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        let use_of = |by: &str| format!("fn {by}() {{\n    walrus();\n}}\n");
        let defined = "fn walrus() {\n    let tide = 1;\n}\n\n".to_owned();
        let mut folders = Vec::new();
        for (name, text) in [("near", defined + &use_of("near")), ("far", use_of("far"))] {
            let root = dir.path().join(name);
            std::fs::create_dir(&root).unwrap();
            std::fs::write(root.join("a.rs"), text).unwrap();
            let source = updater.add_source(&root, &SourceSpec::default()).unwrap();
            assert_eq!(updater.scan(&source, &|_| true).unwrap().changed, 1);
            folders.push(source.root);
        }
        let target = ReadArgs { symbol: Some("walrus".to_owned()), ..ReadArgs::default() };
        let args = RelatedArgs { target, limit: 20 };
        let used = || {
            let related = index.related(&args).unwrap();
            let rows = related.groups.get("uses").into_iter().flatten();
            let mut by: Vec<String> = rows.map(|row| row.source.clone()).collect();
            by.sort();
            (by.join(" "), related.notes.join("; "))
        };
        let all = ("far near".to_owned(), String::new());
        assert_eq!(used(), all);
        let crew = index.reach().crew(Path::new(&folders[1]));
        let stuck = crew.enter();
        crew.give_up();
        let (by, note) = used();
        assert_eq!(by, "near");
        assert!(note.contains("source `far`") && note.contains(SILENT), "{note}");
        drop(stuck);
        assert_eq!(used(), all);
    }
}
