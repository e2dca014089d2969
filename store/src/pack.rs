//! Packs, as they were answered, so that the same one can be had again.

use crate::{Error, Result, Store};
use rusqlite::{OptionalExtension, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE pack(id TEXT PRIMARY KEY, reply TEXT NOT NULL, made_ms INTEGER NOT NULL);
";

/// Packs that are kept for each owner; the oldest go first.
const PACKS_MAX: i64 = 200;
/// A pack goes at the latest when so many were made after it, whoever made them: owners come and
/// go.
const LATER_MAX: i64 = 5_000;

/// Under what a pack is kept: its id, with its owner before it. Local callers have no name; an id
/// with a colon would be another one's for them.
fn key(owner: &str, id: &str) -> Option<String> {
    match owner {
        "" => Some(id.to_owned()).filter(|id| !id.contains(':')),
        _ => Some(format!("{owner}:{id}")),
    }
}

impl Store {
    /// Keeps an answered pack under its id, for its owner alone.
    ///
    /// # Errors
    /// `Argument` for an id with a colon where there is no owner.
    pub fn put_pack(&self, id: &str, owner: &str, reply: &str, now_ms: i64) -> Result<()> {
        let odd = || Error::Argument(format!("`{id}` is no id of a pack"));
        let key = key(owner, id).ok_or_else(odd)?;
        let db = self.db()?;
        let sql = "INSERT OR REPLACE INTO pack(id, reply, made_ms) VALUES(?,?,?)";
        db.prepare_cached(sql)?.execute(params![key, reply, now_ms])?;
        let begin = if owner.is_empty() { String::new() } else { format!("{owner}:") };
        let sql = "DELETE FROM pack WHERE substr(id, 1, instr(id, ':'))=?1 AND id NOT IN \
                   (SELECT id FROM pack WHERE substr(id, 1, instr(id, ':'))=?1 \
                   ORDER BY made_ms DESC, id DESC LIMIT ?2)";
        db.prepare_cached(sql)?.execute(params![begin, PACKS_MAX])?;
        let sql = "DELETE FROM pack WHERE rowid<=(SELECT max(rowid) FROM pack)-?";
        db.prepare_cached(sql)?.execute([LATER_MAX])?;
        Ok(())
    }

    /// A pack by its id, if it is the owner's.
    ///
    /// # Errors
    /// Those of the database.
    pub fn pack(&self, id: &str, owner: &str) -> Result<Option<String>> {
        let Some(key) = key(owner, id) else { return Ok(None) };
        let db = self.db()?;
        let mut statement = db.prepare_cached("SELECT reply FROM pack WHERE id=?")?;
        Ok(statement.query_row([key], |r| r.get(0)).optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_packs_are_kept() {
        let store = Store::memory().unwrap();
        for n in 0..PACKS_MAX + 3 {
            store.put_pack(&format!("p_{n}"), "", &format!("{{\"n\":{n}}}"), n).unwrap();
        }
        assert_eq!(store.pack("p_0", "").unwrap(), None);
        assert_eq!(store.pack("p_3", "").unwrap().as_deref(), Some("{\"n\":3}"));
        assert_eq!(store.pack("p_", "").unwrap(), None);
    }

    #[test]
    fn a_pack_is_its_owners_and_nobody_drives_out_anothers() {
        let store = Store::memory().unwrap();
        store.put_pack("p_1", "ada", "1", 1).unwrap();
        store.put_pack("p_2", "", "2", 1).unwrap();
        for n in 0..PACKS_MAX + 1 {
            store.put_pack(&format!("p_b{n}"), "bea", "b", 2 + n).unwrap();
        }
        let pack = |id: &str, owner: &str| store.pack(id, owner).unwrap();
        assert_eq!((pack("p_1", "ada"), pack("p_2", "")), (Some("1".into()), Some("2".into())));
        assert_eq!((pack("p_b0", "bea"), pack("p_b1", "bea")), (None, Some("b".into())));
        for (id, owner) in [("p_1", ""), ("p_1", "bea"), ("ada:p_1", ""), ("p_2", "ada")] {
            assert_eq!(pack(id, owner), None, "{id} for {owner:?}");
        }
        assert!(store.put_pack("ada:p_1", "", "3", 9).is_err(), "it would be another one's");
        // Whose owners are gone go in the end.
        let db = store.db().unwrap();
        db.execute("UPDATE pack SET rowid=rowid+? WHERE id<>'ada:p_1'", [LATER_MAX]).unwrap();
        drop(db);
        store.put_pack("p_3", "", "3", 9).unwrap();
        assert_eq!((pack("p_1", "ada"), pack("p_2", "")), (None, Some("2".into())));
    }

    #[test]
    fn a_store_of_the_first_format_gets_its_table() {
        let dir = tempfile::tempdir().unwrap();
        let db = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
        db.execute_batch(crate::SCHEMA).unwrap();
        db.execute_batch("PRAGMA user_version=1").unwrap();
        drop(db);
        let store = Store::open(dir.path()).unwrap();
        store.put_pack("p_1", "", "{}", 1).unwrap();
        assert_eq!(store.pack("p_1", "").unwrap().as_deref(), Some("{}"));
    }
}
