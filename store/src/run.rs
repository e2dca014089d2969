//! Jobs that any process may run: begun by the one who left them, taken up by another when that one
//! has said nothing for a while.

use crate::action::Move;
use crate::job::{Moved, shift, take_up};
use crate::{Job, JobState, Result, Store};
use rusqlite::{OptionalExtension, params};

impl Store {
    /// Marks a pending job as running; false when somebody else did, or it has ended.
    pub fn begin_job(&self, id: &str, now_ms: i64) -> Result<bool> {
        self.write(|tx| Ok(matches!(take_up(tx, id, now_ms)?, Moved::From(_))))
    }

    /// Says that a running job is alive; false when it is not running any more.
    pub fn touch_job(&self, id: &str, now_ms: i64) -> Result<bool> {
        let sql = "UPDATE job SET changed_ms=? WHERE id=? AND state='running'";
        Ok(self.db()?.prepare_cached(sql)?.execute(params![now_ms, id])? == 1)
    }

    /// Takes a job of `kind` that has been silent since `silent_ms`, pending or running: one
    /// process of several gets it.
    pub fn take_silent(&self, kind: &str, silent_ms: i64, now_ms: i64) -> Result<Option<Job>> {
        let sql = "SELECT id, state FROM job \
                   WHERE kind=?1 AND state IN ('pending', 'running') AND changed_ms < ?2 \
                   ORDER BY made_ms, id LIMIT 1";
        // A read first: mostly there is none, and looking must not take the write lock.
        if !self.db()?.prepare_cached(sql)?.exists(params![kind, silent_ms])? {
            return Ok(None);
        }
        let id: Option<String> = self.write(|tx| {
            let row = |r: &rusqlite::Row| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?));
            let found = tx.prepare_cached(sql)?.query_row(params![kind, silent_ms], row);
            let Some((id, state)) = found.optional()? else { return Ok(None) };
            if state == JobState::Running.name() {
                shift(tx, &id, Move::Recover, now_ms)?;
            }
            take_up(tx, &id, now_ms)?;
            Ok(Some(id))
        })?;
        match id {
            Some(id) => self.job(&id),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{JobState, NewJob, Store};

    #[test]
    fn a_silent_job_is_taken_once() {
        let store = Store::memory().unwrap();
        let (id, kind) = ("j_1", "council");
        let job = NewJob { id, kind, args: "{}", key: None, priority: 3, now_ms: 1_000 };
        store.leave(&job).unwrap();
        assert!(store.begin_job("j_1", 1_000).unwrap());
        assert!(!store.begin_job("j_1", 1_001).unwrap(), "somebody runs it");
        assert!(store.take_silent("council", 1_000, 2_000).unwrap().is_none(), "it is alive");
        assert!(store.touch_job("j_1", 5_000).unwrap());
        assert!(store.take_silent("index", 9_000, 9_000).unwrap().is_none());
        let taken = store.take_silent("council", 9_000, 9_000).unwrap().unwrap();
        assert_eq!((taken.id.as_str(), taken.state), ("j_1", JobState::Running));
        assert!(store.take_silent("council", 9_000, 9_000).unwrap().is_none());
        assert!(store.end_job("j_1", JobState::Succeeded, "{}", 9_001).unwrap());
        assert!(!store.touch_job("j_1", 9_002).unwrap());
        assert!(store.take_silent("council", 99_000, 99_000).unwrap().is_none());
    }
}
