//! Which programs may read the database, and which may write it.
//!
//! Two versions of the program may work on one data directory side by side. Invariant: what a newer
//! one wrote is never read in a way that it did not allow, and never read again by an older one.

use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

/// The format this program writes; to an older one, tables are added.
pub const FORMAT: u32 = 4;

/// The oldest format whose programs can read what this one writes: `FORMAT`, or an older one as
/// long as tables were only added since. Programs older than this rule refuse any newer format.
const READABLE_FROM: u32 = 4;

/// How files become rows: raised when kinds, chunks or words change, so that files that were read
/// by an older program are read again. A program that knows a lower number never writes. Raise it
/// also when an older writer would leave what a newer one needs behind.
pub const READING: i64 = 9;

/// Refuses a database that this program cannot read; returns its format.
pub fn check(db: &Connection, path: &Path) -> Result<u32> {
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        // Of that very format: one that says nothing of itself can be read by its own programs.
        let sql = "SELECT value FROM meta WHERE key='readable_from:' || ?";
        let from: Option<u32> = db.query_row(sql, [found], |row| row.get(0)).optional()?;
        if from.is_none_or(|from| from > FORMAT) {
            let path = path.parent().unwrap_or(path).to_owned();
            return Err(Error::Newer { path, found, known: FORMAT });
        }
    }
    Ok(found)
}

/// The statements that say that the database has this program's format.
pub fn raised() -> String {
    format!(
        "INSERT OR REPLACE INTO meta(key, value) \
         VALUES('readable_from:{FORMAT}', {READABLE_FROM}); PRAGMA user_version={FORMAT};"
    )
}

/// How the files of this database were read.
pub fn reading(db: &Connection) -> Result<Option<i64>> {
    let sql = "SELECT value FROM meta WHERE key='reading'";
    Ok(db.query_row(sql, [], |r| r.get(0)).optional()?)
}

/// Documents whose stamps are forgotten by one statement: until its end SQLite keeps what was there
/// before in memory.
const FORGOTTEN: usize = 1_000;

/// Notes that files are read as [`READING`] says, and forgets the stamps and hashes of those on
/// disk, so that the next scan does.
pub fn set_reading(db: &Connection) -> Result<()> {
    let last = "SELECT coalesce(max(id), 0) FROM file";
    let last: i64 = db.query_row(last, [], |row| row.get(0))?;
    let sql = "UPDATE file SET read_ms=0, size=-1, hash=zeroblob(16) WHERE id>=?1 AND id<?2 AND \
               source IN (SELECT id FROM source WHERE kind<>'pushed')";
    for first in (0..=last).step_by(FORGOTTEN) {
        db.execute(sql, [first, first + FORGOTTEN as i64])?;
    }
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('reading', ?)", [READING])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db;

    /// Opens a database that a program of another format wrote, and reads something of it.
    fn raised_to(format: u32, readable_from: Option<u32>) -> Result<u64> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        let db = db::open(&path, true).unwrap();
        if let Some(from) = readable_from {
            let sql = "INSERT INTO meta(key, value) VALUES('readable_from:' || ?, ?)";
            db.execute(sql, [format, from]).unwrap();
        }
        db.pragma_update(None, "user_version", format).unwrap();
        drop(db);
        let again = db::open(&path, true)?;
        let kept: u32 = again.pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
        assert_eq!(kept, format, "the format of a newer program stays");
        db::generation(&db::open(&path, false)?)
    }

    #[test]
    fn nothing_is_sorted_in_files_of_the_systems_temporary_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        for write in [true, false] {
            let db = db::open(&path, write).unwrap();
            let kept: i64 = db.pragma_query_value(None, "temp_store", |row| row.get(0)).unwrap();
            assert_eq!(kept, 2, "in memory");
        }
    }

    #[test]
    fn a_newer_format_is_read_where_its_program_allows_it() {
        assert_eq!(raised_to(99, Some(FORMAT)).unwrap(), 0);
        assert!(raised_to(99, Some(1)).is_ok());
        let refused = |from| matches!(raised_to(99, from), Err(Error::Newer { found: 99, .. }));
        assert!(refused(Some(FORMAT + 1)));
        assert!(refused(None), "what is said of this format says nothing of a newer one");
    }
}
