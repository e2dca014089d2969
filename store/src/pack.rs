//! Packs, as they were answered, so that the same one can be had again.

use crate::{Result, Store};
use rusqlite::{OptionalExtension, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE pack(id TEXT PRIMARY KEY, reply TEXT NOT NULL, made_ms INTEGER NOT NULL);
";

/// Packs that are kept; the oldest go first.
const PACKS_MAX: i64 = 200;

impl Store {
    /// Keeps an answered pack under its id.
    pub fn put_pack(&self, id: &str, reply: &str, now_ms: i64) -> Result<()> {
        let db = self.db()?;
        let sql = "INSERT OR REPLACE INTO pack(id, reply, made_ms) VALUES(?,?,?)";
        db.prepare_cached(sql)?.execute(params![id, reply, now_ms])?;
        let sql = "DELETE FROM pack WHERE id NOT IN \
                   (SELECT id FROM pack ORDER BY made_ms DESC, id DESC LIMIT ?)";
        db.prepare_cached(sql)?.execute([PACKS_MAX])?;
        Ok(())
    }

    /// A pack by its id.
    pub fn pack(&self, id: &str) -> Result<Option<String>> {
        let db = self.db()?;
        let mut statement = db.prepare_cached("SELECT reply FROM pack WHERE id=?")?;
        Ok(statement.query_row([id], |r| r.get(0)).optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_packs_are_kept() {
        let store = Store::memory().unwrap();
        for n in 0..PACKS_MAX + 3 {
            store.put_pack(&format!("p_{n}"), &format!("{{\"n\":{n}}}"), n).unwrap();
        }
        assert_eq!(store.pack("p_0").unwrap(), None);
        assert_eq!(store.pack("p_3").unwrap().as_deref(), Some("{\"n\":3}"));
        assert_eq!(store.pack("p_").unwrap(), None);
    }

    #[test]
    fn a_store_of_the_first_format_gets_its_table() {
        let dir = tempfile::tempdir().unwrap();
        let db = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
        db.execute_batch(crate::SCHEMA).unwrap();
        db.execute_batch("PRAGMA user_version=1").unwrap();
        drop(db);
        let store = Store::open(dir.path()).unwrap();
        store.put_pack("p_1", "{}", 1).unwrap();
        assert_eq!(store.pack("p_1").unwrap().as_deref(), Some("{}"));
    }
}
