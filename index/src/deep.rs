//! Whether the stores hold what the sources say: every document is read, parsed and tokenised again
//! as when it was indexed, and held against its rows and its words. What `doctor --deep` asks.
//!
//! A document whose source is another one by now, or cannot be read, is counted and left out: that
//! is a scan's work. So is one that was written since the look began. Texts that are made of a file
//! come last ([`made`]). Texts of links need no source: they are held against the words of the very
//! commit that a transaction sees, so that they are compared beside whoever writes. What another
//! version of the program made in a way of its own is counted and not made again: all of it would
//! differ. Invariant: the texts and words of one batch are in memory, never those of all, and no
//! transaction lasts for more than seconds: the database's log would grow behind it.

mod made;

use crate::check::Check;
use crate::db::{self, FileRow, Source, SourceKind};
use crate::error::{Error, Result};
use crate::graph;
use crate::kind::{Class, Left};
use made::Found;

use crate::lexical::{DocumentText, Lexical};
use crate::limit::Memory;
use crate::update::{self, Document, Push, Updater};
use crate::view::{Print, View};
use crate::words::VIEW_WAIT;
use crate::{Current, Index};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Bytes of text that are tokenised at once, about.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Documents of one batch, at most.
const BATCH_FILES: usize = 1_000;
/// How the texts of links are gone through.
const PACE: Pace = Pace { files: BATCH_FILES, hold: Duration::from_secs(2), wait: VIEW_WAIT };
/// The part of a row that is packed, as people call it.
const PACKED: &str = "its headings, definitions and tags";
/// What other documents say of one.
const LINKS: &str = "the texts of links to it";
/// What the numbers of a [`Print`] are made of, as people call it.
const PARTS: [&str; 8] = [
    "its text",
    "its headings",
    "its definitions",
    "its title",
    "its path",
    "its tags",
    LINKS,
    "its names",
];

/// A commit, and what its words have of the texts of links, by row.
type LinkPrints = (u64, HashMap<u32, u64>);

/// How texts of links are gone through beside a writer.
struct Pace {
    /// Documents of one batch.
    files: usize,
    /// No batch is begun in a transaction that has looked for so long.
    hold: Duration,
    /// Longest wait for the words of the commit that a transaction sees.
    wait: Duration,
}

impl Index {
    /// The same as [`Index::check`], and every document is read again and compared with its rows
    /// and its words.
    ///
    /// # Errors
    /// `Sql`, `Data`, `Words`; what does not agree is none.
    pub fn check_deep(&self) -> Result<Check> {
        let mut made = None;
        self.looked(|| self.deep_once(&mut made))
    }

    /// One look; of texts that are made those alone are made once more of which something was
    /// found: all of them may have taken hours.
    fn deep_once(&self, known: &mut Option<Found>) -> Result<Check> {
        let mut out = self.check_once()?;
        let found = self.read_db(|db| {
            let current = self.current(db::generation(db)?)?;
            let alike = db::reading(db)? == Some(db::READING);
            Ok((current, db::files_after(db, 0)?, alike))
        });
        match found {
            Ok((current, ids, true)) => self.deep_in(&current, &ids, known, &mut out)?,
            Ok((_, ids, false)) => {
                (out.skipped, out.skipped_links) = (ids.len(), ids.len());
                out.read_otherwise = !ids.is_empty();
            }
            // Which is said already.
            Err(Error::Damaged(_) | Error::OtherWords) => {}
            Err(error) => return Err(error),
        }
        Ok(out)
    }

    /// Looks at documents and at what a view has of them.
    fn deep_in(
        &self,
        current: &Current,
        ids: &[u32],
        known: &mut Option<Found>,
        out: &mut Check,
    ) -> Result<()> {
        let view = &current.view;
        let stored = view.prints()?;
        let (mut rest, mut made) = (ids, Vec::new());
        while !rest.is_empty() {
            let (n, batch) = self.read_db(|db| self.deep_batch(db, rest, view, &mut made, out))?;
            compare_words(&batch, &stored, self.memory(), out)?;
            rest = &rest[n..];
        }
        let found = match known.take() {
            Some(found) => self.made_once_more(found, view.generation, &stored)?,
            None => self.deep_made(&made, view.generation, &stored)?,
        };
        out.add_made(&known.insert(found).check);
        drop(stored);
        self.deep_links(&PACE, out)
    }

    /// Compares the texts of links to every document. Words and rows are of one commit, which may
    /// be another one for later documents; those for which none is to be had are counted.
    fn deep_links(&self, pace: &Pace, out: &mut Check) -> Result<()> {
        let (mut last, mut prints) = (0, None);
        loop {
            let looked = self.with_view(pace.wait, |db, view| {
                self.links_in(db, (view, &mut prints), last, pace, out)
            })?;
            match looked {
                Some(Some(id)) => last = id,
                Some(None) => return Ok(()),
                None => {
                    out.skipped_links = self.read_db(|db| db::n_behind(db, last))?;
                    return Ok(());
                }
            }
        }
    }

    /// Looks for a while at the documents behind `last`; says which was the last one, or nothing
    /// when there are no more. What is known of the view's commit is not gathered again.
    fn links_in(
        &self,
        db: &Connection,
        (view, known): (&View, &mut Option<LinkPrints>),
        mut last: u32,
        pace: &Pace,
        out: &mut Check,
    ) -> Result<Option<u32>> {
        let of_view = known.take_if(|(generation, _)| *generation == view.generation);
        // Those of another commit go first: two are never in memory.
        *known = None;
        let stored = match of_view {
            Some((_, prints)) => prints,
            None => view.link_prints()?,
        };
        let (_, stored) = known.insert((view.generation, stored));
        // To gather them may have taken longer: the time is for documents.
        let until = Instant::now() + pace.hold;
        loop {
            let ids: BTreeSet<u32> = db::files_behind(db, last, pace.files)?.into_iter().collect();
            let Some(id) = ids.last() else { return Ok(None) };
            last = *id;
            let wanted = wanted_links(db, &ids, self.memory())?;
            for id in ids.iter().filter(|id| stored.get(*id) != wanted.get(*id)) {
                if let Some(row) = db::file_of_hit(db, *id)? {
                    note(out, &row, "the words", &[LINKS]);
                }
            }
            out.links += ids.len();
            if Instant::now() >= until {
                return Ok(Some(last));
            }
        }
    }

    /// Looks at the first of some documents; says at how many, and gives those of which the words
    /// are to be compared. Those whose text is made are added to `made`.
    fn deep_batch(
        &self,
        db: &Connection,
        ids: &[u32],
        view: &View,
        made: &mut Vec<u32>,
        out: &mut Check,
    ) -> Result<(usize, Vec<Document>)> {
        let sources = db::sources(db)?;
        let (mut batch, mut bytes, mut n) = (Vec::new(), 0, 0);
        for id in ids.iter().take(BATCH_FILES) {
            if bytes >= BATCH_BYTES {
                break;
            }
            n += 1;
            let Some((row, is_whole)) = row_of(db, *id)? else { continue };
            if !is_whole {
                note(out, &row, "the rows", &[PACKED]);
                continue;
            }
            let source = sources.iter().find(|source| source.id == row.source);
            let source = source.filter(|source| {
                // What is newer than the view is not what the view has.
                row.generation <= view.generation && self.answers(source)
            });
            if source.is_some_and(|source| update::is_made(source, &row.path)) {
                made.push(*id);
                continue;
            }
            let Some(document) = source.and_then(|source| again(db, source, &row)) else {
                out.skipped += 1;
                continue;
            };
            if is_out_of_time(&row) || is_out_of_time(&document.row) {
                // How far a parse comes depends on what else the machine does: no damage.
                out.skipped += 1;
                continue;
            }
            out.read += 1;
            let wrong = compare_rows(db, &row, &document)?;
            note(out, &row, "the rows", &wrong);
            bytes += document.row.bytes;
            batch.push(document);
        }
        Ok((n, batch))
    }
}

/// A document's row; without its packed part, and false, when that does not unpack.
fn row_of(db: &Connection, id: u32) -> Result<Option<(FileRow, bool)>> {
    match db::file(db, id) {
        Err(Error::Sql(rusqlite::Error::FromSqlConversionFailure(..))) => {
            Ok(db::file_of_hit(db, id)?.map(|row| (row, false)))
        }
        found => Ok(found?.map(|row| (row, true))),
    }
}

/// Whether the time for a document's definitions ran out.
fn is_out_of_time(row: &FileRow) -> bool {
    row.note.as_ref().is_some_and(|note| note.contains(&Left::Time.reason()))
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
    let props: BTreeSet<_> = update::props_of(&now.parsed, now.written).into_iter().collect();
    let alike = [
        ("its title", row.title == is.title),
        ("its kind", (row.class, &row.kind) == (is.class, &is.kind)),
        ("its size", (row.n_chunks, row.bytes) == (is.n_chunks, is.bytes)),
        ("its passages", row.chunks.bytes() == is.chunks.bytes()),
        (PACKED, row.body == is.body),
        ("its names", db::names_of(db, id)?.into_iter().collect::<BTreeSet<_>>() == names),
        ("its links", db::links_with_keys(db, id)? == links.collect::<Vec<_>>()),
        ("its properties", db::props_of(db, id)?.into_iter().collect::<BTreeSet<_>>() == props),
    ];
    Ok(alike.into_iter().filter(|(_, alike)| !alike).map(|(what, _)| what).collect())
}

/// Tokenises documents as indexing does, and notes those of which the words hold something else.
fn compare_words(
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
    writer.commit(1)?;
    writer.close()?;
    let wanted = words.view(None)?.prints()?;
    for Document { row, .. } in documents {
        let of = |prints: &HashMap<u32, Print>| prints.get(&row.id).copied().unwrap_or_default();
        let (found, wanted) = (of(stored), of(&wanted));
        let parts = PARTS.iter().zip(found.iter().zip(&wanted));
        let wrong: Vec<&str> = parts
            // What others say of it may have changed when it did not.
            .filter(|(part, (found, wanted))| found != wanted && **part != LINKS)
            .map(|(part, _)| *part)
            .collect();
        note(out, row, "the words", &wrong);
    }
    Ok(())
}

/// What the words should have of the texts of links to some documents, by row.
fn wanted_links(db: &Connection, ids: &BTreeSet<u32>, memory: Memory) -> Result<HashMap<u32, u64>> {
    let mut texts = graph::link_texts(db, ids)?;
    texts.retain(|_, texts| !texts.is_empty());
    if texts.is_empty() {
        return Ok(HashMap::new());
    }
    let words = Lexical::in_memory()?;
    let mut writer = words.writer(false, memory)?;
    for (id, texts) in texts {
        // Texts of links count of a document that is there.
        let document = DocumentText {
            file: id,
            generation: 1,
            class: Class::Note,
            titles: "",
            path: "",
            tags: "",
            language: None,
        };
        writer.add(&document, &[])?;
        writer.set_links(id, &texts)?;
    }
    writer.commit(1)?;
    writer.close()?;
    words.view(None)?.link_prints()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceSpec;
    use std::path::Path;
    use std::sync::Arc;

    /// An index of two notes, of which one leads to the other, and its folder.
    fn two_notes() -> (tempfile::TempDir, Arc<Index>, Updater) {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        for (path, text) in
            [("a.md", "# Alpha\n\ntide [[b|the beacon]]\n"), ("b.md", "# Beta\n\nmoon\n")]
        {
            updater.push("pushed", path, text.to_owned()).unwrap();
        }
        (dir, index, updater)
    }

    #[test]
    fn what_is_written_meanwhile_is_no_difference() {
        let (_dir, index, mut updater) = two_notes();
        let mut push = |path: &str, text: &str| {
            updater.push("pushed", path, text.to_owned()).unwrap();
        };
        let current = index.current(index.generation().unwrap()).unwrap();
        let ids = index.read_db(|db| db::files_after(db, 0)).unwrap();
        let looked = || {
            let mut out = Check::default();
            index.deep_in(&current, &ids, &mut None, &mut out).unwrap();
            assert_eq!(out.differences, Vec::<String>::new());
            (out.read, out.skipped)
        };
        assert_eq!(looked(), (2, 0));
        // Its words are others, and so are those of the note that it leads to.
        push("a.md", "# Alpha\n\nebb [[b|the lantern]]\n");
        assert_eq!(looked(), (1, 1));
        assert_eq!(index.check_deep().unwrap().read, 2);
    }

    #[test]
    fn texts_of_links_are_compared_whoever_wrote_meanwhile() {
        let (_dir, index, mut updater) = two_notes();
        let mut push = |path: &str, text: &str| {
            updater.push("pushed", path, text.to_owned()).unwrap();
        };
        let current = index.current(index.generation().unwrap()).unwrap();
        let ids = index.read_db(|db| db::files_after(db, 0)).unwrap();
        let looked = || {
            let mut out = Check::default();
            index.deep_in(&current, &ids, &mut None, &mut out).unwrap();
            assert_eq!((out.read, out.links, out.skipped_links), (2, 3, 0));
            out.differences
        };
        push("c.md", "# Gamma\n\nsun\n");
        assert_eq!(looked(), Vec::<String>::new());
        let db = Connection::open(index.dir().join("index.db")).unwrap();
        db.execute("UPDATE link SET text='else'", []).unwrap();
        push("c.md", "# Gamma\n\nstar\n");
        let said = looked();
        let of = |path: &str, part: &str| {
            said.iter().filter(|text| text.contains(path) && text.contains(part)).count()
        };
        assert_eq!((said.len(), of("`a.md`", "its links"), of("`b.md`", LINKS)), (2, 1, 1));
    }

    #[test]
    fn texts_of_links_are_gone_through_in_steps_and_counted_where_there_are_no_words_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        for path in ["a.md", "b.md", "c.md"] {
            updater.push("pushed", path, "tide [[a|the beacon]]\n".to_owned()).unwrap();
        }
        let looked = |files: usize, hold: Duration| {
            let mut out = Check::default();
            let pace = Pace { files, hold, wait: Duration::ZERO };
            index.deep_links(&pace, &mut out).unwrap();
            (out.links, out.skipped_links, out.differences)
        };
        let all = (3, 0, Vec::new());
        // A transaction for each, one for all in two batches, one for all at once.
        for (files, hold) in [(1, Duration::ZERO), (2, PACE.hold), (9, Duration::ZERO)] {
            assert_eq!(looked(files, hold), all, "{files}");
        }
        // The rows are of a commit that the words never come to.
        let db = Connection::open(index.dir().join("index.db")).unwrap();
        db.execute("UPDATE meta SET value=value+1 WHERE key='generation'", []).unwrap();
        assert_eq!(looked(1, Duration::ZERO), (0, 3, Vec::new()));
    }

    #[test]
    fn texts_of_links_are_gathered_once_for_each_commit() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        updater.push("pushed", "a.md", "tide [[b|the beacon]]\n".to_owned()).unwrap();
        updater.push("pushed", "b.md", "moon\n".to_owned()).unwrap();
        let generation = index.generation().unwrap();
        let pace = Pace { hold: VIEW_WAIT * 60, ..PACE };
        // As if nothing had been found in the words of a commit.
        let looked_with = |commit: u64| {
            let (mut known, mut out) = (Some((commit, HashMap::new())), Check::default());
            let look = |db: &Connection, view: &View| {
                index.links_in(db, (view, &mut known), 0, &pace, &mut out)
            };
            assert_eq!(index.with_view(VIEW_WAIT, look).unwrap(), Some(None));
            let (commit, prints) = known.unwrap();
            (out.differences.len(), commit, prints.len())
        };
        assert_eq!(looked_with(generation), (1, generation, 0), "they are gathered again");
        assert_eq!(looked_with(generation + 1), (0, generation, 1), "they are of another commit");
    }

    #[test]
    fn what_another_version_read_otherwise_is_counted_and_not_called_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        for path in ["a.md", "b.md"] {
            updater.push("pushed", path, "tide [[a|the beacon]]\n".to_owned()).unwrap();
        }
        let db = Connection::open(index.dir().join("index.db")).unwrap();
        // As rows are that were made in another way, and words by them.
        db.execute("UPDATE file SET title='else'", []).unwrap();
        db.execute("UPDATE link SET text='else'", []).unwrap();
        let looked = |reading: i64| {
            let sql = "UPDATE meta SET value=? WHERE key='reading'";
            assert_eq!(db.execute(sql, [reading]).unwrap(), 1);
            let out = index.check_deep().unwrap();
            let skipped = (out.skipped, out.skipped_links, out.read_otherwise);
            (out.read, out.links, skipped, out.differences.is_empty())
        };
        for other in [db::READING - 1, db::READING + 1] {
            assert_eq!(looked(other), (0, 0, (2, 2, true), true), "{other}");
        }
        assert_eq!(looked(db::READING), (2, 2, (0, 0, false), false));
    }

    #[test]
    fn a_source_that_does_not_answer_is_left_alone() {
        let [data, vault] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::write(vault.path().join("a.md"), "tide\n").unwrap();
        let index = Index::open(data.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        let source = updater.add_source(vault.path(), &SourceSpec::default()).unwrap();
        updater.scan(&source, &|_| true).unwrap();
        let looked = || {
            let out = index.check_deep().unwrap();
            (out.read, out.skipped, out.differences.len())
        };
        assert_eq!(looked(), (1, 0, 0));
        let crew = index.reach().crew(Path::new(&source.root));
        let inside = crew.enter();
        crew.give_up();
        assert_eq!(looked(), (0, 1, 0));
        drop(inside);
        assert_eq!(looked(), (1, 0, 0));
    }
}
