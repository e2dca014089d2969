//! Jobs whose changes are told to somebody by a webhook, and how far he was told.
//!
//! A webhook is JSON of its job, `{url, seen, tries, next_ms}`; who tells takes it by changing it,
//! so that of several processes one tells. Invariant: what was not taken in by the other side is
//! told again, so that it may hear something twice and misses nothing.

use crate::{Result, Store};
use rusqlite::params;

/// Webhooks of one look.
const LOOK_MAX: i64 = 200;

impl Store {
    /// Jobs with a webhook that has not heard everything and may be told now: id, webhook.
    pub fn webhooks(&self, now_ms: i64) -> Result<Vec<(String, String)>> {
        // The bare URL of a job that was just left, or an event behind the last one that was told.
        let sql = "SELECT id, webhook FROM job WHERE webhook IS NOT NULL \
                   AND coalesce(json_extract(webhook, '$.seen'), 0) < n_events \
                   AND coalesce(json_extract(webhook, '$.next_ms'), 0) <= ? \
                   ORDER BY changed_ms LIMIT ?";
        let db = self.db()?;
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map([now_ms, LOOK_MAX], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Puts a webhook in the place of one that is still as it was read; false if it is not.
    pub fn change_webhook(&self, job: &str, before: &str, after: &str) -> Result<bool> {
        let sql = "UPDATE job SET webhook=? WHERE id=? AND webhook=?";
        Ok(self.db()?.prepare_cached(sql)?.execute(params![after, job, before])? == 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::{NewTask, Store};

    #[test]
    fn one_of_several_takes_a_webhook() {
        let store = Store::memory().unwrap();
        let url = "{\"url\":\"u\"}";
        let task = NewTask { id: "j_1", kind: "ask", webhook: Some(url), ..NewTask::default() };
        store.leave_task(&task).unwrap();
        assert_eq!(store.webhooks(9).unwrap(), [("j_1".to_owned(), url.to_owned())]);
        let seen = "{\"url\":\"u\",\"seen\":1}";
        assert!(store.change_webhook("j_1", url, seen).unwrap());
        assert!(!store.change_webhook("j_1", url, seen).unwrap());
        assert_eq!(store.webhooks(9).unwrap(), [], "all was told");
        store.begin_job("j_1", 2).unwrap();
        let later = "{\"url\":\"u\",\"seen\":1,\"next_ms\":10}";
        assert!(store.change_webhook("j_1", seen, later).unwrap());
        assert_eq!(store.webhooks(9).unwrap(), [], "it is not time");
        assert!(store.change_webhook("j_1", later, seen).unwrap());
        assert_eq!(store.webhooks(9).unwrap().len(), 1);
    }
}
