//! A database that this process may not write, read as it lies.
//!
//! SQLite reads a database with a log beside two files, the log and the log's index. Where they are
//! not there and cannot be made it refuses, unless it is told that nobody changes the database, and
//! then it looks at no log at all. So how it is opened depends on how it lies. Invariant: nothing
//! is written, and no commit that stands in the log is left out.

use super::{prepare, version};
use crate::error::{Error, Result};
use crate::limit::CACHE_KIB;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// How a database lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// With its log and the log's index: somebody has it open, or was killed.
    Open,
    /// With its log alone, as copies are that leave the index of the log out.
    Logged,
    /// In one file, of this size and time: whoever wrote it has closed it.
    Closed(Option<(u64, SystemTime)>),
}

impl Rest {
    /// Of the database at a path, now.
    pub fn at(path: &Path) -> Self {
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            std::fs::metadata(name).ok()
        };
        match (beside("-wal"), beside("-shm")) {
            (Some(_), Some(_)) => Rest::Open,
            (Some(log), None) if log.len() > 0 => Rest::Logged,
            _ => {
                let meta = std::fs::metadata(path).ok();
                Rest::Closed(meta.and_then(|meta| Some((meta.len(), meta.modified().ok()?))))
            }
        }
    }

    fn parameters(self) -> &'static str {
        match self {
            Rest::Open => "mode=ro",
            // Nobody has it open, or the index of the log would be there: no lock is needed.
            Rest::Logged => "mode=ro&vfs=unix-none",
            Rest::Closed(_) => "immutable=1",
        }
    }
}

/// Opens a database that nobody makes or changes here.
///
/// # Errors
/// `Newer` for a newer format that this program cannot read, `Data` for an older one that would
/// have to be raised first; `Sql`.
pub fn open_as_it_lies(path: &Path) -> Result<Connection> {
    let rest = Rest::at(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri(path, rest.parameters()), flags)?;
    prepare(&db)?;
    // The last one that closes a database folds its log in, where it can.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if rest == Rest::Logged {
        // Before anything is read: the index of the log is made in memory then.
        db.pragma_update(None, "locking_mode", "exclusive")?;
    }
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    if version::check(&db, path)? < version::FORMAT {
        let reason = "it is of an older format, which has to be raised where it can be written";
        return Err(Error::data(path, io::Error::new(io::ErrorKind::ReadOnlyFilesystem, reason)));
    }
    Ok(db)
}

/// A path as SQLite takes parameters with it.
fn uri(path: &Path, parameters: &str) -> String {
    let mut out = String::from(if path.is_absolute() { "file://" } else { "file:" });
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out.push('?');
    out.push_str(parameters);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db;

    #[test]
    fn any_path_stands_in_a_uri() {
        assert_eq!(uri(Path::new("/a b/ü?#%.db"), "x=1"), "file:///a%20b/%C3%BC%3F%23%25.db?x=1");
        assert_eq!(uri(Path::new("a/b-c_d.db"), "y"), "file:a/b-c_d.db?y");
    }

    /// Copies a database as it lies while it is open, and with it only the files that end so.
    fn copied(from: &Path, to: &Path, ends: &[&str]) {
        std::fs::create_dir_all(to).unwrap();
        for end in ends {
            let name = format!("index.db{end}");
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_in_the_log_is_read_however_the_database_lies() {
        let dir = tempfile::tempdir().unwrap();
        let db = db::open(&dir.path().join("index.db"), true).unwrap();
        db.pragma_update(None, "wal_checkpoint", "truncate").unwrap();
        db::set_generation(&db, 7).unwrap();
        let read = |folder: &Path| {
            let path = folder.join("index.db");
            let before = Rest::at(&path);
            let read = open_as_it_lies(&path).unwrap();
            let generation = db::generation(&read).unwrap();
            assert!(db::set_generation(&read, 9).is_err(), "{before:?}: it was written");
            drop(read);
            assert_eq!(Rest::at(&path), before, "files came or went");
            (before, generation)
        };
        let (open, logged) = (dir.path().join("a ?"), dir.path().join("b"));
        copied(dir.path(), &open, &["", "-wal", "-shm"]);
        copied(dir.path(), &logged, &["", "-wal"]);
        assert_eq!(read(&open), (Rest::Open, 7));
        assert_eq!(read(&logged), (Rest::Logged, 7));
        assert_eq!(read(dir.path()), (Rest::Open, 7), "beside whoever writes");
        drop(db);
        let (rest, generation) = read(dir.path());
        assert!(matches!(rest, Rest::Closed(Some(_))), "{rest:?}");
        assert_eq!(generation, 7);
    }
}
