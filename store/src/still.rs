//! A store that this process may not write, read as it lies.
//!
//! Opened as the index opens its own database there; its `db/still.rs` says why. Invariant:
//! nothing is written, and no commit that stands in the log is left out.

use crate::{Error, FORMAT, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// The oldest format that is read: what came since stands in columns and tables of its own, which
/// only those who write look at.
const READABLE_FROM: u32 = 4;

/// How a database lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is not there.
    Missing,
    /// With its log and the log's index: somebody has it open, or was killed.
    Open,
    /// With its log alone, as copies are that leave the index of the log out.
    Logged,
    /// In one file, of this size and time: whoever wrote it has closed it.
    Closed(u64, Option<SystemTime>),
}

impl Rest {
    /// Of the database at a path, now.
    pub fn at(path: &Path) -> Self {
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            std::fs::metadata(name).ok()
        };
        let Ok(meta) = std::fs::metadata(path) else { return Rest::Missing };
        match (beside("-wal"), beside("-shm")) {
            (Some(_), Some(_)) => Rest::Open,
            (Some(log), None) if log.len() > 0 => Rest::Logged,
            _ => Rest::Closed(meta.len(), meta.modified().ok()),
        }
    }
}

/// Whether there is a data directory, with or without a store, that this process may read and not
/// write.
pub fn is_read_only(data: &Path) -> bool {
    data.is_dir() && (is_refused(data) || is_refused(&data.join("state.db")))
}

/// Whether the system lets this process only read what is there; a full disk is another matter.
#[cfg(unix)]
fn is_refused(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    use rustix::io::Errno;
    let asked = access(path, Access::WRITE_OK);
    matches!(asked, Err(Errno::ROFS | Errno::ACCESS | Errno::PERM))
}

/// There what may be done with a folder is known only by trying.
#[cfg(not(unix))]
fn is_refused(_: &Path) -> bool {
    false
}

/// Opens the store that lies in `data`; one that is not there is empty.
///
/// # Errors
/// `Newer` for a newer format, `Data` for one so old that it would have to be raised first; `Sql`.
pub fn open(data: &Path, rest: Rest) -> Result<Connection> {
    let path = data.join("state.db");
    let parameters = match rest {
        Rest::Missing => return empty(data),
        Rest::Open => "mode=ro",
        // Nobody has it open, or the index of the log would be there: no lock is needed.
        Rest::Logged => "mode=ro&vfs=unix-none",
        Rest::Closed(..) => "immutable=1",
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri(&path, parameters), flags)?;
    db.busy_timeout(crate::BUSY)?;
    // The last one that closes a database folds its log in, where it can.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if rest == Rest::Logged {
        // Before anything is read: the index of the log is made in memory then.
        db.pragma_update(None, "locking_mode", "exclusive")?;
    }
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        return Err(Error::Newer { path: data.to_owned(), found, known: FORMAT });
    }
    if found < READABLE_FROM {
        let reason = "it is of an older format, which has to be raised where it can be written";
        let source = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, reason);
        return Err(Error::Data { path, source });
    }
    Ok(db)
}

/// Nothing, and nothing can be put into it.
fn empty(data: &Path) -> Result<Connection> {
    let db = crate::connect(Connection::open_in_memory()?, data)?;
    db.pragma_update(None, "query_only", true)?;
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
    use crate::{Scope, Store};

    #[cfg(unix)]
    #[test]
    fn what_was_kept_is_read_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Store::open(dir.path()).unwrap();
        writer.make_token("ada", &[Scope::ReadContext], 1).unwrap();
        let copy = dir.path().join("a ?#");
        std::fs::create_dir(&copy).unwrap();
        for name in ["state.db", "state.db-wal"] {
            std::fs::copy(dir.path().join(name), copy.join(name)).unwrap();
        }
        let read = |data: &Path| {
            let store = Store::open_still(data).unwrap();
            let refused = store.revoke_token("ada", 2).unwrap_err();
            assert!(refused.disk().is_some(), "{refused}");
            assert!(matches!(store.write(|_| Ok(())), Err(Error::ReadOnly)));
            store.tokens().unwrap().len()
        };
        assert_eq!((read(dir.path()), read(&copy)), (1, 1), "open, and with its log alone");
        assert_eq!(read(&dir.path().join("nothing")), 0);
        drop(writer);
        assert_eq!(read(dir.path()), 1);
        let store = Store::open_still(dir.path()).unwrap();
        let writer = Store::open(dir.path()).unwrap();
        writer.make_token("eve", &[Scope::ReadContext], 3).unwrap();
        assert_eq!(store.tokens().unwrap().len(), 2, "what others write is seen");
        drop(writer);
        assert_eq!(store.tokens().unwrap().len(), 2);
    }

    #[test]
    fn the_format_before_is_read_and_older_ones_have_to_be_raised() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.make_token("ada", &[Scope::ReadContext], 1).unwrap();
        store.add_spent(&[("day:d", 5)]).unwrap();
        // As the program of that format left it.
        let former = "DROP TABLE reserved; ALTER TABLE spent DROP COLUMN reserved_usd_micros; \
                      PRAGMA user_version=4";
        store.db().unwrap().execute_batch(former).unwrap();
        drop(store);
        let store = Store::open_still(dir.path()).unwrap();
        assert_eq!(store.tokens().unwrap().len(), 1);
        assert_eq!(store.spent("day:").unwrap(), [("day:d".to_owned(), 5)]);
        drop(store);
        let db = Connection::open(dir.path().join("state.db")).unwrap();
        db.pragma_update(None, "user_version", READABLE_FROM - 1).unwrap();
        drop(db);
        assert!(matches!(Store::open_still(dir.path()), Err(Error::Data { .. })));
    }
}
