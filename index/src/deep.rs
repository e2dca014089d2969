//! Whether the stores hold what the sources say: every document is read, parsed and tokenised again
//! as when it was indexed, and held against its rows and its words. What `doctor --deep` asks.
//!
//! What was made of a PDF or a notebook is not made again while its file is the same. A document
//! whose source is another one by now, or cannot be read, is counted and left out: that is a
//! scan's work. Invariant: the texts and words of one batch are in memory, never those of all.

use crate::Index;
use crate::check::{CHECKS_MAX, Check};
use crate::db::{self, FileRow, Source, SourceKind};
use crate::error::{Error, Result};
use crate::graph;
use crate::kind::Class;
use crate::lexical::Lexical;
use crate::limit::Memory;
use crate::update::{self, Document, Push, Updater};
use crate::view::Print;
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap};

/// Bytes of text that are tokenised at once, about.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Documents that are tokenised at once, at most.
const BATCH_FILES: usize = 1_000;
/// What the numbers of a [`Print`] are made of, as people call it.
const PARTS: [&str; 8] = [
    "its text",
    "its headings",
    "its definitions",
    "its title",
    "its path",
    "its tags",
    "the texts of links to it",
    "its names",
];

impl Index {
    /// The same as [`Index::check`], and every document is read again and compared with its rows
    /// and its words.
    ///
    /// # Errors
    /// `Sql`, `Data`, `Words`; what does not agree is none.
    pub fn check_deep(&self) -> Result<Check> {
        let mut out = self.deep_once()?;
        for _ in 0..CHECKS_MAX {
            // What another process wrote in between is no difference.
            if out.differences.is_empty() || self.generation()? == out.generation {
                break;
            }
            out = self.deep_once()?;
        }
        Ok(out)
    }

    fn deep_once(&self) -> Result<Check> {
        let mut out = self.check()?;
        let stored = match self.current(out.generation) {
            Ok(current) => current.view.prints()?,
            // Which is said already.
            Err(Error::Damaged(_)) => return Ok(out),
            Err(error) => return Err(error),
        };
        self.read_db(|db| {
            let sources = db::sources(db)?;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            for id in db::files_after(db, 0)? {
                let Some(row) = db::file(db, id)? else { continue };
                let source = sources.iter().find(|source| source.id == row.source);
                let Some(document) = source.and_then(|source| again(db, source, &row)) else {
                    out.skipped += 1;
                    continue;
                };
                out.read += 1;
                let wrong = compare_rows(db, &row, &document)?;
                note(&mut out, &row, "the rows", &wrong);
                bytes += document.row.bytes;
                batch.push(document);
                if bytes >= BATCH_BYTES || batch.len() >= BATCH_FILES {
                    compare_words(db, &batch, &stored, self.memory(), &mut out)?;
                    (batch, bytes) = (Vec::new(), 0);
                }
            }
            compare_words(db, &batch, &stored, self.memory(), &mut out)
        })?;
        Ok(out)
    }
}

/// A document read again, if what is read is still what was indexed.
fn again(db: &Connection, source: &Source, row: &FileRow) -> Option<Document> {
    let loaded = update::load(db, source, &row.path, row.id).ok()?;
    if loaded.hash != row.hash {
        return None;
    }
    let mut document = update::document(source, &row.path, loaded, row.read_ms).ok()?;
    document.row.id = row.id;
    document.row.generation = row.generation;
    Some(document)
}

fn note(out: &mut Check, row: &FileRow, what: &str, wrong: &[&str]) {
    if !wrong.is_empty() {
        let path = &row.path;
        out.differences
            .push(format!("{what} of `{path}` are not its file's: {}", wrong.join(", ")));
        out.wrong.insert(row.id);
    }
}

/// Which of a document's rows are not what its source says.
fn compare_rows(db: &Connection, row: &FileRow, now: &Document) -> Result<Vec<&'static str>> {
    let (id, is) = (row.id, &now.row);
    let names = graph::names(&is.path, &is.title, &is.body.aliases, is.class == Class::Note);
    let names: BTreeSet<String> = names.into_iter().map(|(key, _)| key).collect();
    let links = now.parsed.links.iter().map(|link| (graph::link_key(&link.target), link.clone()));
    let props: BTreeSet<_> = update::props_of(&now.parsed, now.language).into_iter().collect();
    let alike = [
        ("its title", row.title == is.title),
        ("its kind", (row.class, &row.kind) == (is.class, &is.kind)),
        ("its size", (row.n_chunks, row.bytes) == (is.n_chunks, is.bytes)),
        ("its passages", row.chunks.bytes() == is.chunks.bytes()),
        ("its headings, definitions and tags", row.body == is.body),
        ("its names", db::names_of(db, id)?.into_iter().collect::<BTreeSet<_>>() == names),
        ("its links", db::links_with_keys(db, id)? == links.collect::<Vec<_>>()),
        ("its properties", db::props_of(db, id)?.into_iter().collect::<BTreeSet<_>>() == props),
    ];
    Ok(alike.into_iter().filter(|(_, alike)| !alike).map(|(what, _)| what).collect())
}

/// Tokenises documents as indexing does, and notes those of which the words hold something else.
fn compare_words(
    db: &Connection,
    documents: &[Document],
    stored: &HashMap<u32, Print>,
    memory: Memory,
    out: &mut Check,
) -> Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    let words = Lexical::in_memory()?;
    let mut writer = words.writer(false, memory)?;
    for document in documents {
        update::add_words(&writer, document)?;
    }
    let ids: BTreeSet<u32> = documents.iter().map(|document| document.row.id).collect();
    for (id, texts) in graph::link_texts(db, &ids)? {
        writer.set_links(id, &texts)?;
    }
    writer.commit(1)?;
    writer.close()?;
    let wanted = words.view(None)?.prints()?;
    for Document { row, .. } in documents {
        let of = |prints: &HashMap<u32, Print>| prints.get(&row.id).copied().unwrap_or_default();
        let (found, wanted) = (of(stored), of(&wanted));
        let parts = PARTS.iter().zip(found.iter().zip(&wanted));
        let wrong: Vec<&str> =
            parts.filter(|(_, (found, wanted))| found != wanted).map(|(part, _)| *part).collect();
        note(out, row, "the words", &wrong);
    }
    Ok(())
}

impl Updater {
    /// Reads the documents again that a deep check found to be wrong, and writes all of them anew.
    ///
    /// # Errors
    /// As those of [`Updater::scan`].
    pub fn read_again(&mut self, found: &Check) -> Result<()> {
        for source in self.sources()? {
            let known = db::known(self.db(), source.id)?;
            let wrong: Vec<_> =
                known.into_iter().filter(|(_, known)| found.wrong.contains(&known.id)).collect();
            if wrong.is_empty() {
                continue;
            }
            if source.kind == SourceKind::Pushed {
                let mut pushes = Vec::new();
                for (path, known) in wrong {
                    let text = db::kept(self.db(), known.id)?.unwrap_or_default();
                    let modified_ms = known.stamp.mtime_ns / 1_000_000;
                    pushes.push(Push { path, text, modified_ms });
                }
                self.push_all(&source.name, pushes)?;
                continue;
            }
            for (_, known) in wrong {
                db::forget(self.db(), known.id)?;
            }
            self.scan(&source, &|_| true)?;
        }
        Ok(())
    }
}
