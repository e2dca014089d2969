//! Documents whose text is made of their files (PDF, notebooks, canvases), in a deep check: it is
//! made again by the code that indexes, under the same bounds, and held against what is kept of it
//! and like any other text against the rows and the words.
//!
//! Bounds of time and memory depend on what else a machine does. A text that could not be made for
//! them, now or when it was indexed, is no damage: it is counted. Why a file has no text is not
//! compared: another version of the program may say the same in other words. Invariant: no
//! transaction is open while a text is made, which may take twenty seconds, and one is made at a
//! time.

use super::{BATCH_BYTES, BATCH_FILES, compare_rows, compare_words, note, row_of};
use crate::Index;
use crate::check::Check;
use crate::db::{self, FileRow, Source};
use crate::disk::{self, Content, Loaded};
use crate::error::{Error, Result};
use crate::kind;
use crate::update::{self, Document};
use crate::view::Print;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;

/// What is kept of a file's text, as people call it.
const KEPT: &str = "the text that is kept";

/// What was found of texts that are made.
pub(super) struct Found {
    pub(super) check: Check,
    /// Documents of which something else is stored, or could be.
    suspect: Vec<u32>,
}

/// What became of a text that was to be made again.
enum Again {
    /// It was made, or it is known why there is none.
    Made(Box<Document>),
    /// It could not be made this time; its file is the one that was indexed.
    NotNow,
    /// Its file is another one by now, or cannot be read.
    Other,
}

impl Check {
    /// Adds what was found of texts that are made.
    pub(super) fn add_made(&mut self, found: &Check) {
        self.differences.extend(found.differences.iter().cloned());
        self.wrong.extend(&found.wrong);
        self.read += found.read;
        self.skipped += found.skipped;
        self.not_made += found.not_made;
        self.made_now += found.made_now;
    }
}

impl Index {
    /// Looks at documents whose texts are made of their files, against the words of a generation.
    pub(super) fn deep_made(
        &self,
        ids: &[u32],
        generation: u64,
        stored: &HashMap<u32, Print>,
    ) -> Result<Found> {
        let (mut out, mut not_now) = (Check::default(), Vec::new());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for id in ids {
            if let Some(document) = self.deep_made_one(*id, generation, &mut not_now, &mut out)? {
                bytes += document.row.bytes;
                batch.push(document);
            }
            if bytes >= BATCH_BYTES || batch.len() >= BATCH_FILES {
                compare_words(&batch, stored, self.memory(), &mut out)?;
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        compare_words(&batch, stored, self.memory(), &mut out)?;
        let suspect = out.wrong.iter().copied().collect();
        // To read these again would be to lose the text that is kept, where it fails again.
        out.wrong.retain(|id| !not_now.contains(id));
        Ok(Found { check: out, suspect })
    }

    /// Looks again at those of which something was found, which may have been written meanwhile.
    pub(super) fn made_once_more(
        &self,
        found: Found,
        generation: u64,
        stored: &HashMap<u32, Print>,
    ) -> Result<Found> {
        let Found { check: again, suspect } = self.deep_made(&found.suspect, generation, stored)?;
        let Check { differences, wrong, made_now, .. } = again;
        // How many were read and left out was counted by the first look.
        let check = Check { differences, wrong, made_now, ..found.check };
        Ok(Found { check, suspect })
    }

    /// Makes the text of one again; gives what its words are to be compared with.
    fn deep_made_one(
        &self,
        id: u32,
        generation: u64,
        not_now: &mut Vec<u32>,
        out: &mut Check,
    ) -> Result<Option<Document>> {
        let found = self.read_db(|db| {
            let Some(row) = db::file_of_hit(db, id)? else { return Ok(None) };
            let source = db::sources(db)?.into_iter().find(|source| source.id == row.source);
            Ok(source.map(|source| (source, row)))
        })?;
        // It went away since the look began.
        let Some((source, row)) = found else { return Ok(None) };
        let due = row.generation <= generation && self.answers(&source);
        let again = if due { make(&source, &row) } else { Again::Other };
        if matches!(again, Again::NotNow) {
            not_now.push(id);
        }
        self.read_db(|db| hold(db, (&source, &row), again, generation, out))
    }
}

/// Makes the text of a document again, as when it was indexed.
fn make(source: &Source, row: &FileRow) -> Again {
    let (root, path) = (Path::new(&source.root), row.path.as_str());
    let loaded = match disk::load(root, path, kind::of(path).0.extract) {
        Ok(loaded) => loaded,
        // Where no process could be started to read it, the file itself is as it was.
        Err(_) => {
            let same = disk::stamp(root, path).is_ok_and(|stamp| stamp == row.stamp);
            return if same { Again::NotNow } else { Again::Other };
        }
    };
    if loaded.hash != row.hash {
        return Again::Other;
    }
    if matches!(&loaded.content, Content::NameOnly { reason } if disk::is_spent(reason)) {
        return Again::NotNow;
    }
    let document = update::document(source, path, loaded, row.read_ms);
    document.map_or(Again::Other, |document| Again::Made(Box::new(document)))
}

/// Holds what became of a text against the rows of its document, if they are still those of `was`;
/// gives what its words are to be compared with.
fn hold(
    db: &Connection,
    (source, was): (&Source, &FileRow),
    again: Again,
    generation: u64,
    out: &mut Check,
) -> Result<Option<Document>> {
    let Some((row, is_whole)) = row_of(db, was.id)? else { return Ok(None) };
    if !is_whole || row.generation > generation || row.hash != was.hash {
        // What was written since is newer than the words, and what was forgotten is for a scan.
        out.skipped += 1;
        return Ok(None);
    }
    let kept = match db::kept(db, row.id) {
        // What is kept is no text. Errors of SQLite itself are no difference.
        Err(Error::Sql(error)) if error.sqlite_error_code().is_none() => {
            note(out, &row, "the rows", &[KEPT]);
            return Ok(None);
        }
        kept => kept?,
    };
    let was_spent = kept.is_none() && row.note.as_deref().is_some_and(disk::is_spent);
    let document = match again {
        Again::Other => None,
        Again::Made(_) if was_spent => {
            out.made_now += 1;
            out.wrong.insert(row.id);
            return Ok(None);
        }
        Again::Made(document) => Some(*document),
        Again::NotNow => {
            let document = of_kept(db, source, &row)?;
            // Met by the same bounds as then, all is as it was.
            out.not_made += usize::from(document.is_some() && !was_spent);
            document
        }
    };
    let Some(mut document) = document else {
        out.skipped += 1;
        return Ok(None);
    };
    document.row.id = row.id;
    document.row.generation = row.generation;
    out.read += 1;
    if let Some(difference) = one_has_none(&row, kept.as_deref(), &document) {
        out.differences.push(difference);
        out.wrong.insert(row.id);
        return Ok(None);
    }
    let mut wrong = compare_rows(db, &row, &document)?;
    if kept.as_deref() != document.made() {
        wrong.push(KEPT);
    }
    note(out, &row, "the rows", &wrong);
    Ok(Some(document))
}

/// A document as it follows from what is kept of its file; nothing if that is not even a reason.
fn of_kept(db: &Connection, source: &Source, row: &FileRow) -> Result<Option<Document>> {
    let content = update::kept(db, row.id)?;
    let loaded = content.map(|content| Loaded { stamp: row.stamp, hash: row.hash, content });
    Ok(loaded.and_then(|loaded| update::document(source, &row.path, loaded, row.read_ms).ok()))
}

/// Says so where a text is kept and none can be made, or the other way round: everything else of
/// such a document differs too.
fn one_has_none(row: &FileRow, kept: Option<&str>, now: &Document) -> Option<String> {
    let path = &row.path;
    let why = |row: &FileRow| {
        let reason = row.note.as_ref();
        reason.map_or_else(String::new, |reason| format!(" (`{path}` {reason})"))
    };
    match (kept, now.made()) {
        (Some(_), None) => {
            let why = why(&now.row);
            Some(format!("a text of `{path}` is kept, and none can be made of its file{why}"))
        }
        (None, Some(_)) => {
            let why = why(row);
            Some(format!("no text of `{path}` is kept, and one can be made of its file{why}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::pdf;
    use crate::{SourceSpec, Updater};
    use std::result::Result;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What becomes of files that begin with `turn`, at the moment.
    static TURN: AtomicUsize = AtomicUsize::new(MADE);
    const MADE: usize = 0;
    const SPENT: usize = 1;
    const NO_PROCESS: usize = 2;
    const REFUSED: usize = 3;

    fn reader(bytes: &[u8]) -> Result<String, String> {
        if !bytes.starts_with(b"turn") {
            return pdf::read_here(bytes);
        }
        match TURN.load(Ordering::SeqCst) {
            MADE => Ok("tide\n".to_owned()),
            SPENT => Err(format!("{}: over 20 s", disk::TOO_LONG)),
            NO_PROCESS => Err(disk::NOT_NOW.to_owned()),
            _ => Err("is encrypted".to_owned()),
        }
    }

    #[test]
    fn bounds_of_time_and_memory_are_counted_and_everything_else_is_a_difference() {
        pdf::read_elsewhere(reader);
        let [data, vault] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let index = Index::open(data.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        let source = updater.add_source(vault.path(), &SourceSpec::default()).unwrap();
        // For the second one there was no time when it was indexed.
        for (turn, path) in [(MADE, "a.pdf"), (SPENT, "b.pdf")] {
            TURN.store(turn, Ordering::SeqCst);
            std::fs::write(vault.path().join(path), format!("turn {path}")).unwrap();
            updater.scan(&source, &|_| true).unwrap();
        }
        let check = |turn: usize| {
            TURN.store(turn, Ordering::SeqCst);
            let out = index.check_deep().unwrap();
            assert_eq!(out.skipped, 0);
            out
        };
        let looked = |turn: usize| {
            let out = check(turn);
            (out.read, out.not_made, out.made_now, out.differences.len())
        };
        assert_eq!(looked(SPENT), (2, 1, 0, 0));
        assert_eq!(looked(NO_PROCESS), (2, 1, 0, 0));
        assert_eq!(looked(MADE), (1, 0, 1, 0));
        let db = Connection::open(index.dir().join("index.db")).unwrap();
        assert_eq!(db.execute("UPDATE pushed SET text='ebb and flow'", []).unwrap(), 1);
        // What is kept is held against rows and words where nothing else is to be had.
        assert_eq!(looked(SPENT), (2, 1, 0, 2));
        assert_eq!(looked(MADE), (1, 0, 1, 1));
        updater.read_again(&check(MADE)).unwrap();
        assert_eq!(looked(MADE), (2, 0, 0, 0));
        // A file that cannot be read for what it is.
        let said = check(REFUSED).differences;
        let what = "is kept, and none can be made of its file";
        let whole = |path: &str| format!("a text of `{path}` {what} (`{path}` is encrypted)");
        assert_eq!(said, ["a.pdf", "b.pdf"].map(whole));
        updater.read_again(&check(REFUSED)).unwrap();
        assert_eq!(looked(REFUSED), (2, 0, 0, 0));
        let said = check(MADE).differences;
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with("no text of `a.pdf` is kept, and one can be made"), "{said:?}");
    }
}
