//! Whether the stores agree: what `doctor` asks. The database is held against its own rules, the
//! words against it and against their checksums, the vectors against it and against what a vector
//! is.
//!
//! Knows nothing of mending. Texts are not compared with the sources: that is what a scan does, and
//! [`crate::deep`]. Invariant: rows and words are those of one commit, so that what somebody writes
//! meanwhile is no difference, unless the words lag while nobody writes: no commit came since the
//! look began, and no other process holds the writer's lock.

use crate::db::{self, FileRow, Space};
use crate::error::{Error, Result};
use crate::graph;
use crate::kind::Class;
use crate::vector::{self, Rows};
use crate::view::View;
use crate::words::VIEW_WAIT;
use crate::{Index, Updater};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// The outcome of comparing the stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Documents compared.
    pub documents: usize,
    /// Files of the words whose bytes fit their checksums.
    pub files: usize,
    /// Vectors that were looked at.
    pub vectors: u64,
    /// What does not agree, in words.
    pub differences: Vec<String>,
    /// The generation that was looked at.
    pub generation: u64,
    /// Documents that were read again and compared with what is stored of them.
    pub read: usize,
    /// Documents that were to be and whose sources are others by now, or cannot be read; all of
    /// them where another version of the program made them in a way of its own.
    pub skipped: usize,
    /// That is so: neither they nor the texts of links to them were compared.
    pub read_otherwise: bool,
    /// Documents among those that were read of which the text, made of a PDF say, could not be made
    /// again, mostly for bounds of time and memory: what is kept of it was compared.
    pub not_made: usize,
    /// Documents whose text could not be made within these bounds when they were indexed, and can
    /// be now. That is no damage, nothing of them was compared, and [`Updater::read_again`] reads
    /// them too.
    pub made_now: usize,
    /// Documents of which the texts of links to them were compared with the words.
    pub links: usize,
    /// Documents of which these were to be and were not: rows and words of one commit were not to
    /// be had in time, so fast did commits follow each other, or so far did the words lag.
    pub skipped_links: usize,
    /// Documents that were not held against the words at all, for the same reason, or since another
    /// process that holds the writer's lock may be bringing the words up.
    pub skipped_words: usize,
    /// Documents of which something else is stored, or could be.
    pub(crate) wrong: BTreeSet<u32>,
}

/// Further looks where somebody wrote meanwhile.
const CHECKS_MAX: usize = 3;

impl Index {
    /// Compares the database with what is derived of it, and reads every byte of that.
    ///
    /// # Errors
    /// `Sql`, `Data`; what does not agree is none.
    pub fn check(&self) -> Result<Check> {
        self.looked(|| self.check_once())
    }

    /// Looks, and looks again while something does not agree and somebody wrote since the look
    /// began: files of vectors and words belong to no transaction.
    pub(crate) fn looked(&self, mut look: impl FnMut() -> Result<Check>) -> Result<Check> {
        let mut out = look()?;
        for _ in 0..CHECKS_MAX {
            // What another process wrote in between is no difference.
            if out.differences.is_empty() || self.generation()? == out.generation {
                break;
            }
            out = look()?;
        }
        Ok(out)
    }

    /// One look of [`Index::check`].
    pub(crate) fn check_once(&self) -> Result<Check> {
        let mut out = Check { generation: self.generation()?, ..Check::default() };
        let is_whole = self.verify_words(&mut out)?;
        self.compare_all(is_whole, VIEW_WAIT, &mut out)?;
        Ok(out)
    }

    /// Whether the words are whole; what is not is said.
    fn verify_words(&self, out: &mut Check) -> Result<bool> {
        let read = || -> Result<usize> {
            let files = self.words()?.verify(&HashSet::new())?.len();
            self.current(self.generation()?)?;
            Ok(files)
        };
        match read() {
            Ok(files) => {
                out.files = files;
                Ok(true)
            }
            Err(Error::Damaged(reason)) => {
                self.note_damage(&reason, out);
                Ok(false)
            }
            Err(error @ Error::OtherWords) => {
                out.differences.push(error.to_string());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn note_damage(&self, reason: &str, out: &mut Check) {
        self.suspect();
        out.differences.push(format!("the word index is damaged: {reason}"));
    }

    /// Compares the stores; the words if they are whole, and if those of the same commit as the
    /// rows are to be had within `wait`, or nobody wrote since the look began and no other process
    /// may now.
    fn compare_all(&self, mut is_whole: bool, wait: Duration, out: &mut Check) -> Result<()> {
        if is_whole {
            let seen = self.with_view(wait, |db, view| self.compare(db, Some(view), out));
            match seen {
                Ok(Some(())) => return Ok(()),
                Ok(None) => {}
                Err(Error::Damaged(reason)) => {
                    self.note_damage(&reason, out);
                    is_whole = false;
                }
                Err(error @ Error::OtherWords) => {
                    out.differences.push(error.to_string());
                    is_whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        self.read_db(|db| {
            let mut left = None;
            // Another process may be bringing the words up, with no commit for long. Asked before
            // the view: who is gone by now is done with them.
            if is_whole && db::generation(db)? == out.generation && !self.is_written_elsewhere() {
                let current = self.current(out.generation)?;
                // What the words lack while nobody writes was left so by whoever wrote last. Asked
                // behind the view, because the database commits first.
                if self.generation()? == out.generation {
                    left = Some(current);
                }
            }
            self.compare(db, left.as_deref().map(|current| &current.view), out)?;
            if is_whole && left.is_none() {
                out.skipped_words = out.documents;
            }
            Ok(())
        })
    }

    /// Compares what a transaction sees with itself, with the words and with the vectors.
    fn compare(&self, db: &Connection, view: Option<&View>, out: &mut Check) -> Result<()> {
        let rows = documents(db)?;
        out.documents = rows.len();
        if let Some(view) = view {
            compare_words(&view.census(), &rows, out);
            compare_links(db, &view.linked(), &rows, out)?;
        }
        for space in db::spaces(db)? {
            self.compare_vectors(db, &space, &rows, out)?;
        }
        for (what, n) in db::strays(db)? {
            out.differences.push(format!("{n} rows of `{what}` belong to no document"));
        }
        let ok: String = db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
        if ok != "ok" {
            out.differences.push(format!("the database: {ok}"));
        }
        Ok(())
    }

    fn compare_vectors(
        &self,
        db: &Connection,
        space: &Space,
        documents: &[FileRow],
        out: &mut Check,
    ) -> Result<()> {
        let name = &space.name;
        let held = vector::held(self.dir(), space.id, space.dimensions)?;
        if held < space.n_rows {
            out.differences.push(format!(
                "the space `{name}` has {} vectors, {held} of them in its file",
                space.n_rows
            ));
        }
        let rows = Rows::open(self.dir(), space.id, space.dimensions, held.min(space.n_rows))?;
        out.vectors += u64::from(rows.len());
        let spoiled = rows.n_spoiled();
        if spoiled > 0 {
            out.differences.push(format!("{spoiled} vectors of the space `{name}` are none"));
        }
        let by_id: HashMap<u32, &FileRow> = documents.iter().map(|row| (row.id, row)).collect();
        db::embedded(db, space.id, |file, generation, numbers| {
            let Some(row) = by_id.get(&file).filter(|row| row.generation == generation) else {
                return;
            };
            let numbers: Vec<u32> = numbers.collect();
            // Behind the passages of a note may stand its head.
            let head = u32::from(row.class == Class::Note && row.n_chunks > 1);
            let fits = [row.n_chunks, row.n_chunks + head].contains(&(numbers.len() as u32));
            if !fits || numbers.iter().any(|number| *number >= space.n_rows) {
                let path = &row.path;
                out.differences
                    .push(format!("the vectors of `{path}` in `{name}` are not its own"));
            }
        })
    }
}

/// Every document, without what is not compared.
fn documents(db: &Connection) -> Result<Vec<FileRow>> {
    let mut rows = Vec::new();
    for id in db::files_after(db, 0)? {
        rows.extend(db::file_of_hit(db, id)?);
    }
    Ok(rows)
}

fn compare_words(census: &[(u32, u64, u32)], documents: &[FileRow], out: &mut Check) {
    let by_id: HashMap<u32, (u64, u32)> =
        census.iter().map(|(file, g, n)| (*file, (*g, *n))).collect();
    for FileRow { id, generation, n_chunks, path, .. } in documents {
        let n_chunks = (*n_chunks).max(1);
        match by_id.get(id) {
            None => out.differences.push(format!("`{path}` has no words")),
            Some((g, _)) if g != generation => {
                out.differences.push(format!(
                    "the words of `{path}` are of generation {g}, its row of {generation}"
                ));
            }
            Some((_, n)) if *n != n_chunks => {
                out.differences
                    .push(format!("`{path}` has {n_chunks} passages, {n} of them in the words"));
            }
            Some(_) => {}
        }
    }
    let known: HashSet<u32> = documents.iter().map(|row| row.id).collect();
    for (file, ..) in census.iter().filter(|(file, ..)| !known.contains(file)) {
        out.differences.push(format!("words of document {file}, which is gone"));
    }
}

/// Texts of incoming links stand in the words once for each document that has any.
fn compare_links(
    db: &Connection,
    linked: &[u32],
    documents: &[FileRow],
    out: &mut Check,
) -> Result<()> {
    let ids: BTreeSet<u32> = documents.iter().map(|row| row.id).collect();
    let texts = graph::link_texts(db, &ids)?;
    let wanted = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let wanted: BTreeSet<u32> = wanted.map(|(id, _)| id).collect();
    let found: BTreeSet<u32> = linked.iter().copied().collect();
    for row in documents.iter().filter(|row| wanted.contains(&row.id) != found.contains(&row.id)) {
        let lacks = if found.contains(&row.id) { "has too many" } else { "lacks" };
        out.differences.push(format!("`{}` {lacks} texts of links in the words", row.path));
    }
    if linked.len() > found.len() {
        let n = linked.len() - found.len();
        out.differences.push(format!("texts of links of {n} documents stand there twice"));
    }
    Ok(())
}

impl Updater {
    /// Mends the words from the database and the sources, and forgets vectors that are lost and
    /// rows that belong to nothing; says what the check finds afterwards.
    ///
    /// # Errors
    /// `Sql`, `Words`, `Data`.
    pub fn repair(&mut self, index: &Index) -> Result<Check> {
        self.rebuild_words()?;
        self.mend_strays()?;
        self.mend_vectors()?;
        self.drop_spoiled()?;
        index.check()
    }

    /// A space with rows that are no vectors is made anew: which of the others are right nobody
    /// knows.
    fn drop_spoiled(&mut self) -> Result<()> {
        for space in db::spaces(self.db())? {
            let rows = Rows::open(self.dir(), space.id, space.dimensions, space.n_rows)?;
            if rows.n_spoiled() > 0 {
                self.drop_space(space.id)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::writer_lock;
    use std::path::Path;

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    #[test]
    fn words_that_lag_are_a_difference_unless_somebody_writes() {
        let dir = tempfile::tempdir().unwrap();
        let [words, kept] = ["index/words", "kept"].map(|name| dir.path().join(name));
        let push = |path: &str| {
            let index = Index::open(dir.path()).unwrap();
            let mut updater = Updater::new(index, || 1).unwrap();
            updater.push("pushed", path, "tide\n".to_owned()).unwrap();
        };
        push("a.md");
        copy(&words, &kept);
        push("b.md");
        std::fs::remove_dir_all(&words).unwrap();
        copy(&kept, &words);
        let index = Index::open(dir.path()).unwrap();
        let looked_since = |generation: u64| {
            let mut out = Check { generation, ..Check::default() };
            index.compare_all(true, Duration::ZERO, &mut out).unwrap();
            (out.differences, out.skipped_words)
        };
        let generation = index.generation().unwrap();
        assert_eq!(looked_since(generation), (vec!["`b.md` has no words".to_owned()], 0));
        // A commit came since the look began: these may be words that are on their way.
        assert_eq!(looked_since(generation - 1), (Vec::new(), 2));
        // So they may where somebody holds the writer's lock, and commits nothing for long.
        let lock = writer_lock(index.dir()).unwrap();
        assert_eq!(looked_since(generation), (Vec::new(), 2));
        drop(lock);
        assert_eq!(looked_since(generation), (vec!["`b.md` has no words".to_owned()], 0));
    }

    #[test]
    fn rows_of_documents_that_are_gone_are_found_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(index.clone(), || 1).unwrap();
        updater.push("pushed", "a.md", "tide\n".to_owned()).unwrap();
        db::put_embedded(updater.db(), 1, 99, 1, &[0]).unwrap();
        let found = ["1 rows of `embedded` belong to no document"];
        assert_eq!(index.check().unwrap().differences, found);
        assert_eq!(updater.repair(&index).unwrap().differences, Vec::<String>::new());
        assert_eq!(updater.mended(), ["1 rows of `embedded` belonged to no document"]);
    }
}
