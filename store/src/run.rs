//! Jobs that any process may run: begun by the one who left them, taken up by another when that one
//! has said nothing for a while.

use crate::action::Move;
use crate::job::{Moved, shift, take_up};
use crate::{Job, JobState, Result, Store};
use rusqlite::{OptionalExtension, params};

/// A job that says to be alive later than this from now said so before the clock was put back.
const AHEAD_MS: i64 = 10_000;

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
    /// process of several gets it. One whose last word is still to come is silent too: whoever
    /// lives has said another one since the clock was put back.
    pub fn take_silent(&self, kind: &str, silent_ms: i64, now_ms: i64) -> Result<Option<Job>> {
        let sql = "SELECT id, state FROM job \
                   WHERE kind=?1 AND state IN ('pending', 'running') \
                   AND (changed_ms < ?2 OR changed_ms > ?3) ORDER BY made_ms, id LIMIT 1";
        let ahead_ms = now_ms + AHEAD_MS;
        // A read first: mostly there is none, and looking must not take the write lock.
        if !self.db()?.prepare_cached(sql)?.exists(params![kind, silent_ms, ahead_ms])? {
            return Ok(None);
        }
        let id: Option<String> = self.write(|tx| {
            let row = |r: &rusqlite::Row| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?));
            let found = tx.prepare_cached(sql)?.query_row(params![kind, silent_ms, ahead_ms], row);
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

    #[test]
    fn a_job_of_a_clock_that_was_put_back_is_taken_once() {
        let store = Store::memory().unwrap();
        let (id, kind) = ("j_1", "council");
        let job = NewJob { id, kind, args: "{}", key: None, priority: 3, now_ms: 900_000 };
        store.leave(&job).unwrap();
        assert!(store.begin_job("j_1", 900_000).unwrap());
        // Put back by a second, it may be alive; nobody who lives is ahead by minutes.
        assert!(store.take_silent("council", 893_000, 899_000).unwrap().is_none());
        let taken = store.take_silent("council", 94_000, 100_000).unwrap().unwrap();
        assert_eq!((taken.id.as_str(), taken.changed_ms), ("j_1", 100_000));
        assert!(store.take_silent("council", 95_000, 101_000).unwrap().is_none());
    }
}
