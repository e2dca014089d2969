//! Whether the stores agree: what `doctor` asks. The database is held against its own rules, the
//! words against it and against their checksums, the vectors against it and against what a vector
//! is.
//!
//! Knows nothing of mending. Texts are not compared with the sources: that is what a scan does, and
//! [`crate::deep`].

use crate::db::{self, FileRow, Space};
use crate::error::{Error, Result};
use crate::graph;
use crate::kind::Class;
use crate::vector::{self, Rows};
use crate::{Index, Updater};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Every document in the words with its generation and its passages, and those with texts of links.
type Words = (Vec<(u32, u64, u32)>, Vec<u32>);

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
    /// Documents that were to be and whose sources are others by now, or cannot be read.
    pub skipped: usize,
    /// Documents of which something else is stored.
    pub(crate) wrong: BTreeSet<u32>,
}

/// Further looks where somebody wrote meanwhile.
pub(crate) const CHECKS_MAX: usize = 3;

impl Index {
    /// Compares the database with what is derived of it, and reads every byte of that.
    ///
    /// # Errors
    /// `Sql`, `Data`; what does not agree is none.
    pub fn check(&self) -> Result<Check> {
        let mut out = self.check_once()?;
        for _ in 0..CHECKS_MAX {
            // What another process wrote in between is no difference.
            if out.differences.is_empty() || self.generation()? == out.generation {
                break;
            }
            out = self.check_once()?;
        }
        Ok(out)
    }

    fn check_once(&self) -> Result<Check> {
        let mut out = Check { generation: self.generation()?, ..Check::default() };
        let words = self.read_words(&mut out)?;
        self.read_db(|db| {
            let rows = documents(db)?;
            out.documents = rows.len();
            if let Some((census, linked)) = &words {
                compare_words(census, &rows, &mut out);
                compare_links(db, linked, &rows, &mut out)?;
            }
            for space in db::spaces(db)? {
                self.compare_vectors(db, &space, &rows, &mut out)?;
            }
            for (what, n) in db::strays(db)? {
                out.differences.push(format!("{n} rows of `{what}` belong to no document"));
            }
            let ok: String = db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
            if ok != "ok" {
                out.differences.push(format!("the database: {ok}"));
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// What the words hold, and for which documents there are texts of links; nothing when they are
    /// damaged.
    fn read_words(&self, out: &mut Check) -> Result<Option<Words>> {
        let read = || -> Result<(usize, Words)> {
            let files = self.words()?.verify(&HashSet::new())?.len();
            let current = self.current(self.generation()?)?;
            Ok((files, (current.view.census(), current.view.linked())))
        };
        match read() {
            Ok((files, words)) => {
                out.files = files;
                Ok(Some(words))
            }
            Err(Error::Damaged(reason)) => {
                self.suspect();
                out.differences.push(format!("the word index is damaged: {reason}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
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
    /// Mends the words from the database and the sources, and forgets vectors that are lost; says
    /// what the check finds afterwards.
    ///
    /// # Errors
    /// `Sql`, `Words`, `Data`.
    pub fn repair(&mut self, index: &Index) -> Result<Check> {
        self.rebuild_words()?;
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
