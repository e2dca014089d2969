//! Texts of files as they were before an edit replaced them, so that a person can have them again.
//!
//! Whoever edits keeps first and replaces then: what is kept is on disk when it returns. Each text
//! of a file is kept once, as of the last time that it was replaced. Invariant: bounded in number
//! and bytes, of a file and of all; the oldest go first, of each file the newest last, and what is
//! kept now never goes.

use crate::{Result, Store, bound};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// A file by the bytes of its path, which need not be text. Sizes stand before the texts, so that
/// to add them up reads no text.
pub(crate) const SCHEMA: &str = "
CREATE TABLE previous(
  id INTEGER PRIMARY KEY, file BLOB NOT NULL, hash TEXT NOT NULL, bytes INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, text BLOB NOT NULL, UNIQUE(file, hash));
";

/// Texts that are kept of one file. With the bytes below, one that is edited all day takes a part
/// of the room and no more, and never the last text of another while there is room for it.
pub const PREVIOUS_OF_FILE_MAX: i64 = 100;
/// Bytes of the texts that are kept of one file: an eighth of all.
pub const PREVIOUS_OF_FILE_BYTES_MAX: i64 = 8 * 1024 * 1024;
/// Texts that are kept of all files.
pub const PREVIOUS_MAX: i64 = 1_000;
/// Bytes of all texts that are kept.
pub const PREVIOUS_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// One text, in bytes: twice what an edit takes.
pub const PREVIOUS_TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A path, in bytes.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// A text that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// As it was named when it was kept.
    pub hash: String,
    /// Its length.
    pub bytes: u64,
    /// When it was replaced last; milliseconds since 1970.
    pub at_ms: i64,
}

/// How much is kept.
struct Bounds {
    of_file: i64,
    of_file_bytes: i64,
    all: i64,
    bytes: i64,
}

const BOUNDS: Bounds = Bounds {
    of_file: PREVIOUS_OF_FILE_MAX,
    of_file_bytes: PREVIOUS_OF_FILE_BYTES_MAX,
    all: PREVIOUS_MAX,
    bytes: PREVIOUS_BYTES_MAX,
};

// The newest text would go at once otherwise.
const _: () = assert!(PREVIOUS_TEXT_BYTES_MAX as i64 <= PREVIOUS_OF_FILE_BYTES_MAX);
const _: () = assert!(PREVIOUS_OF_FILE_BYTES_MAX <= PREVIOUS_BYTES_MAX);

/// A path as it is kept.
fn key(file: &Path) -> &[u8] {
    file.as_os_str().as_encoded_bytes()
}

impl Store {
    /// Keeps a text of a file, by its resolved path, that is about to be replaced. A text that is
    /// kept already is the newest again.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds, `ReadOnly`, `Data`, `Sql`; nothing is kept then.
    pub fn keep_previous(&self, file: &Path, hash: &str, text: &[u8], now_ms: i64) -> Result<()> {
        self.keep_within(&BOUNDS, file, hash, text, now_ms)
    }

    fn keep_within(
        &self,
        bounds: &Bounds,
        file: &Path,
        hash: &str,
        text: &[u8],
        now_ms: i64,
    ) -> Result<()> {
        let file = key(file);
        bound::name("hash", hash, bound::WORD_BYTES_MAX)?;
        bound::length("path", file.len(), FILE_BYTES_MAX)?;
        bound::length("text", text.len(), PREVIOUS_TEXT_BYTES_MAX)?;
        self.write(|tx| {
            let sql = "INSERT OR REPLACE INTO previous(file, hash, bytes, at_ms, text) \
                       VALUES(?,?,?,?,?)";
            let n = text.len() as i64;
            tx.prepare_cached(sql)?.execute(params![file, hash, n, now_ms, text])?;
            // By number and not by time: a clock that was put back makes nothing older.
            let sql = "DELETE FROM previous WHERE id IN (SELECT id FROM \
                       (SELECT id, row_number() OVER newest AS n, sum(bytes) OVER newest AS held \
                        FROM previous WHERE file=?1 WINDOW newest AS (ORDER BY id DESC)) \
                       WHERE n > ?2 OR held > ?3)";
            let mut of_file = tx.prepare_cached(sql)?;
            of_file.execute(params![file, bounds.of_file, bounds.of_file_bytes])?;
            // The newest of each file goes last, so that several that are edited all day leave the
            // others what a person would want most.
            let sql = "DELETE FROM previous WHERE id IN (SELECT id FROM \
                       (SELECT id, row_number() OVER ranked AS n, sum(bytes) OVER ranked AS held \
                        FROM (SELECT id, bytes, id = max(id) OVER (PARTITION BY file) AS latest \
                              FROM previous) \
                        WINDOW ranked AS (ORDER BY latest DESC, id DESC)) \
                       WHERE n > ?1 OR held > ?2)";
            tx.prepare_cached(sql)?.execute(params![bounds.all, bounds.bytes])?;
            Ok(())
        })
    }

    /// Whether it is of an older format, and may not be raised by this process.
    fn lacks_table(&self, db: &Connection) -> Result<bool> {
        if !self.is_read_only() {
            return Ok(false);
        }
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name='previous'";
        let n_tables: i64 = db.query_row(sql, [], |r| r.get(0))?;
        Ok(n_tables == 0)
    }

    /// What is kept of a file, newest first.
    pub fn previous(&self, file: &Path) -> Result<Vec<Previous>> {
        let db = self.db()?;
        if self.lacks_table(&db)? {
            return Ok(Vec::new());
        }
        let sql = "SELECT hash, bytes, at_ms FROM previous WHERE file=? ORDER BY id DESC";
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map([key(file)], |r| {
            let bytes: i64 = r.get(1)?;
            Ok(Previous { hash: r.get(0)?, bytes: bytes as u64, at_ms: r.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A text that is kept of a file, byte for byte.
    pub fn previous_text(&self, file: &Path, hash: &str) -> Result<Option<Vec<u8>>> {
        let db = self.db()?;
        if self.lacks_table(&db)? {
            return Ok(None);
        }
        let sql = "SELECT text FROM previous WHERE file=? AND hash=?";
        let mut statement = db.prepare_cached(sql)?;
        Ok(statement.query_row(params![key(file), hash], |r| r.get(0)).optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn hashes(store: &Store, file: &str) -> Vec<String> {
        store.previous(Path::new(file)).unwrap().into_iter().map(|one| one.hash).collect()
    }

    #[test]
    fn a_text_is_had_again_byte_for_byte_by_any_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (file, other) = (Path::new("/p/a.md"), Path::new("/p/b.md"));
        let text = b"a\r\n\0\xff\xfe\n\r\nno end".as_slice();
        store.keep_previous(file, "h1", text, 5).unwrap();
        store.keep_previous(file, "h2", b"", 6).unwrap();
        store.keep_previous(other, "h1", b"another file", 7).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        let one = |hash: &str, bytes, at_ms| Previous { hash: hash.to_owned(), bytes, at_ms };
        let wanted = [one("h2", 0, 6), one("h1", text.len() as u64, 5)];
        assert_eq!(store.previous(file).unwrap(), wanted);
        assert_eq!(store.previous_text(file, "h1").unwrap().as_deref(), Some(text));
        assert_eq!(store.previous_text(file, "h2").unwrap(), Some(Vec::new()));
        assert_eq!(store.previous_text(other, "h2").unwrap(), None);
        store.keep_previous(file, "h1", text, 9).unwrap();
        let wanted = [one("h1", text.len() as u64, 9), one("h2", 0, 6)];
        assert_eq!(store.previous(file).unwrap(), wanted, "it is the newest again");
        assert!(store.previous(Path::new("/p/c.md")).unwrap().is_empty());
    }

    #[test]
    fn the_oldest_go_first_and_those_of_other_files_stay() {
        let store = Store::memory().unwrap();
        store.keep_previous(Path::new("/quiet"), "q", b"q", 1).unwrap();
        let busy = Path::new("/busy");
        for n in 0..PREVIOUS_OF_FILE_MAX + 3 {
            // Its clock goes backwards.
            store.keep_previous(busy, &format!("h{n}"), b"b", 1_000 - n).unwrap();
        }
        let kept = hashes(&store, "/busy");
        assert_eq!(kept.len() as i64, PREVIOUS_OF_FILE_MAX);
        assert_eq!(kept.last().map(String::as_str), Some("h3"));
        assert_eq!(hashes(&store, "/quiet"), ["q"]);
    }

    #[test]
    fn all_together_are_bounded_in_number_and_bytes() {
        let store = Store::memory().unwrap();
        let keep = |bounds: &Bounds, file: &str, hash: &str, n: usize| {
            store.keep_within(bounds, Path::new(file), hash, &vec![b'x'; n], 1).unwrap();
        };
        let few = Bounds { of_file: 9, of_file_bytes: 1_000, all: 3, bytes: 1_000 };
        for (file, hash) in [("/a", "1"), ("/b", "2"), ("/a", "3"), ("/b", "4")] {
            keep(&few, file, hash, 10);
        }
        assert_eq!((hashes(&store, "/a"), hashes(&store, "/b").len()), (vec!["3".to_owned()], 2));
        let small = Bounds { of_file: 9, of_file_bytes: 100, all: 9, bytes: 100 };
        keep(&small, "/c", "5", 85);
        assert_eq!(hashes(&store, "/b"), ["4"], "10 and 85 are within 100, 95 and 10 are not");
        assert!(hashes(&store, "/a").is_empty());
        keep(&small, "/c", "6", 100);
        assert_eq!((hashes(&store, "/b").len(), hashes(&store, "/c")), (0, vec!["6".to_owned()]));
        let long = vec![b'x'; PREVIOUS_TEXT_BYTES_MAX + 1];
        let refused = store.keep_previous(Path::new("/c"), "7", &long, 1).unwrap_err();
        assert!(matches!(&refused, Error::Argument(text) if text.contains("the most is")));
        assert_eq!(hashes(&store, "/c"), ["6"]);
    }

    #[test]
    fn a_busy_file_drives_out_no_quiet_one_by_its_bytes() {
        let store = Store::memory().unwrap();
        let keep = |bounds: &Bounds, file: &str, hash: &str, n: usize| {
            store.keep_within(bounds, Path::new(file), hash, &vec![b'x'; n], 1).unwrap();
        };
        let shared = Bounds { of_file: 99, of_file_bytes: 60, all: 99, bytes: 100 };
        keep(&shared, "/quiet", "old", 20);
        keep(&shared, "/quiet", "new", 20);
        for n in 0..9 {
            keep(&shared, "/busy", &format!("b{n}"), 20);
        }
        assert_eq!(hashes(&store, "/quiet"), ["new", "old"]);
        assert_eq!(hashes(&store, "/busy"), ["b8", "b7", "b6"]);
        // Where only the bound of all holds, the newest of each file goes last.
        let greedy = Bounds { of_file_bytes: 100, ..shared };
        for n in 0..9 {
            keep(&greedy, "/busy", &format!("c{n}"), 20);
        }
        assert_eq!(hashes(&store, "/quiet"), ["new"]);
        assert_eq!(hashes(&store, "/busy"), ["c8", "c7", "c6", "c5"]);
        keep(&greedy, "/busy", "large", 90);
        assert_eq!(hashes(&store, "/busy"), ["large"], "what is kept now never goes");
        assert!(hashes(&store, "/quiet").is_empty());
    }

    #[test]
    fn a_store_of_the_format_before_gets_its_table_and_reads_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put_answer("k", "{}", 1).unwrap();
        // As the program of that format left it.
        let former = "DROP TABLE previous; PRAGMA user_version=5";
        store.db().unwrap().execute_batch(former).unwrap();
        drop(store);
        let still = Store::open_still(dir.path()).unwrap();
        assert!(still.previous(Path::new("/a")).unwrap().is_empty());
        assert_eq!(still.previous_text(Path::new("/a"), "h").unwrap(), None);
        assert!(matches!(still.keep_previous(Path::new("/a"), "h", b"", 1), Err(Error::ReadOnly)));
        drop(still);
        let store = Store::open(dir.path()).unwrap();
        store.keep_previous(Path::new("/a"), "h", b"text", 1).unwrap();
        assert_eq!(hashes(&store, "/a"), ["h"]);
        assert!(store.answer("k").unwrap().is_some(), "what it knew is there");
    }

    #[test]
    fn two_that_keep_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        std::thread::scope(|scope| {
            for who in 0..2 {
                let path = dir.path();
                scope.spawn(move || {
                    let store = Store::open(path).unwrap();
                    for n in 0..20 {
                        let hash = format!("{who}-{n}");
                        store.keep_previous(Path::new("/a"), &hash, hash.as_bytes(), n).unwrap();
                    }
                });
            }
        });
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(hashes(&store, "/a").len(), 40);
    }
}
