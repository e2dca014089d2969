//! Answers of models, kept so that a job which is resumed does not pay for them twice.
//!
//! No cache of answers: the key is a hash that the caller makes of one ask of one job.

use crate::{Result, Store, bound};
use rusqlite::{OptionalExtension, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE asked(
  n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, json TEXT NOT NULL, at_ms INTEGER NOT NULL);
CREATE INDEX asked_time ON asked(at_ms);
";

/// How long an answer is kept.
pub const ANSWER_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// An answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Answers that are kept.
const ANSWERS_MAX: i64 = 100_000;
/// Old answers that go with each new one: more than come, and never a long wait.
const SWEPT_MAX: i64 = 16;

impl Store {
    /// Keeps an answer under its key, in the place of an earlier one.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn put_answer(&self, key: &str, json: &str, now_ms: i64) -> Result<()> {
        bound::name("key", key, bound::ID_BYTES_MAX)?;
        bound::json("answer", json, ANSWER_BYTES_MAX)?;
        self.write(|tx| {
            let sql = "INSERT OR REPLACE INTO asked(key, json, at_ms) VALUES(?,?,?)";
            tx.prepare_cached(sql)?.execute(params![key, json, now_ms])?;
            let sql = "DELETE FROM asked WHERE n IN (SELECT n FROM asked \
                       WHERE at_ms<=? ORDER BY at_ms LIMIT ?)";
            tx.prepare_cached(sql)?.execute([now_ms - ANSWER_KEPT_MS, SWEPT_MAX])?;
            // Numbers only grow, so those that far below the last are the oldest.
            let sql = "DELETE FROM asked WHERE n<=(SELECT max(n) FROM asked)-?";
            tx.prepare_cached(sql)?.execute([ANSWERS_MAX])?;
            Ok(())
        })
    }

    /// Puts an answer under a key that has none, or that has exactly `before`; gives what stands
    /// there instead, and nothing when it was put.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn claim_answer(
        &self,
        key: &str,
        before: Option<&str>,
        json: &str,
        now_ms: i64,
    ) -> Result<Option<String>> {
        bound::name("key", key, bound::ID_BYTES_MAX)?;
        bound::json("answer", json, ANSWER_BYTES_MAX)?;
        self.write(|tx| {
            let sql = "DELETE FROM asked WHERE key=? AND (json=? OR at_ms<=?)";
            tx.prepare_cached(sql)?.execute(params![key, before, now_ms - ANSWER_KEPT_MS])?;
            let sql = "INSERT OR IGNORE INTO asked(key, json, at_ms) VALUES(?,?,?)";
            if tx.prepare_cached(sql)?.execute(params![key, json, now_ms])? == 1 {
                return Ok(None);
            }
            let mut statement = tx.prepare_cached("SELECT json FROM asked WHERE key=?")?;
            Ok(Some(statement.query_row([key], |r| r.get(0))?))
        })
    }

    /// Forgets the answer under a key if it is exactly this one.
    pub fn forget_answer(&self, key: &str, json: &str) -> Result<()> {
        let sql = "DELETE FROM asked WHERE key=? AND json=?";
        self.db()?.execute(sql, [key, json])?;
        Ok(())
    }

    /// The answer under a key, if it was not swept.
    pub fn answer(&self, key: &str) -> Result<Option<String>> {
        let db = self.db()?;
        let mut statement = db.prepare_cached("SELECT json FROM asked WHERE key=?")?;
        Ok(statement.query_row([key], |r| r.get(0)).optional()?)
    }

    /// Forgets every answer older than 7 days; says how many.
    pub fn sweep_answers(&self, now_ms: i64) -> Result<usize> {
        let sql = "DELETE FROM asked WHERE at_ms<=?";
        Ok(self.db()?.execute(sql, [now_ms - ANSWER_KEPT_MS])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_claims_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.claim_answer("k", None, "1", 10).unwrap(), None);
        assert_eq!(store.claim_answer("k", None, "2", 11).unwrap().as_deref(), Some("1"));
        // Only who knows what stands there may put another in its place.
        assert_eq!(store.claim_answer("k", Some("0"), "2", 12).unwrap().as_deref(), Some("1"));
        assert_eq!(store.claim_answer("k", Some("1"), "2", 13).unwrap(), None);
        store.forget_answer("k", "1").unwrap();
        assert_eq!(store.answer("k").unwrap().as_deref(), Some("2"));
        store.forget_answer("k", "2").unwrap();
        assert_eq!(store.claim_answer("k", None, "3", 14).unwrap(), None);
    }

    #[test]
    fn answers_are_kept_for_a_week() {
        let store = Store::memory().unwrap();
        store.put_answer("a", "{\"n\":1}", 1).unwrap();
        store.put_answer("b", "{}", 2).unwrap();
        store.put_answer("a", "{\"n\":2}", 3).unwrap();
        assert_eq!(store.answer("a").unwrap().as_deref(), Some("{\"n\":2}"));
        store.put_answer("c", "{}", 2 + ANSWER_KEPT_MS).unwrap();
        assert_eq!(store.answer("b").unwrap(), None);
        assert!(store.answer("a").unwrap().is_some());
        assert_eq!(store.sweep_answers(3 + ANSWER_KEPT_MS).unwrap(), 1);
        assert_eq!(store.answer("a").unwrap(), None);
        assert!(store.answer("c").unwrap().is_some());
    }

    #[test]
    fn answers_out_of_bounds_are_refused() {
        let store = Store::memory().unwrap();
        let long = format!("\"{}\"", "x".repeat(ANSWER_BYTES_MAX));
        for (key, json) in [("", "{}"), ("a", "{"), ("a", long.as_str())] {
            assert!(matches!(store.put_answer(key, json, 1), Err(crate::Error::Argument(_))));
        }
        assert_eq!(store.answer("a").unwrap(), None);
    }
}
