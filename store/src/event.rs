//! Events of jobs: what a stream shows, in order, and again from where it was cut.
//!
//! Invariant: a job's events are numbered from 1 and a number is never used twice; the oldest are
//! dropped, and a reader learns how many it missed.

use crate::{Result, Store, bound};
use rusqlite::{OptionalExtension, Row, Transaction, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE job_event(
  job TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, type TEXT NOT NULL,
  payload TEXT NOT NULL, PRIMARY KEY(job, seq)) WITHOUT ROWID;
CREATE TRIGGER job_gone AFTER DELETE ON job BEGIN
  DELETE FROM job_event WHERE job=old.id;
END;
";

/// Events that are kept of each job.
pub const EVENTS_MAX: usize = 1_000;
/// An event's payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1.
    pub seq: i64,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// `status` for changes of the state; others are the runner's (log, progress, result, error).
    pub kind: String,
    /// JSON.
    pub payload: String,
}

/// A part of a job's events.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Events before these that were dropped since the number asked for.
    pub n_dropped: usize,
}

/// Adds an event within a transaction; none if there is no such job.
pub(crate) fn add(
    tx: &Transaction,
    job: &str,
    kind: &str,
    payload: &str,
    now_ms: i64,
) -> Result<Option<i64>> {
    let sql = "UPDATE job SET n_events=n_events+1 WHERE id=? RETURNING n_events";
    let seq: Option<i64> = tx.prepare_cached(sql)?.query_row([job], |r| r.get(0)).optional()?;
    let Some(seq) = seq else { return Ok(None) };
    let sql = "INSERT INTO job_event(job, seq, at_ms, type, payload) VALUES(?,?,?,?,?)";
    tx.prepare_cached(sql)?.execute(params![job, seq, now_ms, kind, payload])?;
    let sql = "DELETE FROM job_event WHERE job=? AND seq<=?";
    tx.prepare_cached(sql)?.execute(params![job, seq - EVENTS_MAX as i64])?;
    Ok(Some(seq))
}

impl Store {
    /// Adds an event to a job and gives its number; none if there is no such job.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn add_event(
        &self,
        job: &str,
        kind: &str,
        payload: &str,
        now_ms: i64,
    ) -> Result<Option<i64>> {
        bound::name("type", kind, bound::WORD_BYTES_MAX)?;
        bound::json("payload", payload, PAYLOAD_BYTES_MAX)?;
        self.write(|tx| add(tx, job, kind, payload, now_ms))
    }

    /// How many events a job has had: it grows with each; none if there is no such job.
    pub fn job_events(&self, job: &str) -> Result<Option<u64>> {
        let db = self.db()?;
        let mut statement = db.prepare_cached("SELECT n_events FROM job WHERE id=?")?;
        let n: Option<i64> = statement.query_row([job], |r| r.get(0)).optional()?;
        Ok(n.map(|n| n as u64))
    }

    /// Events of a job after number `seq` (0 for all), whoever owns it.
    ///
    /// # Errors
    /// `Argument` for a limit over [`crate::PAGE_MAX`].
    pub fn events_after(&self, job: &str, seq: i64, limit: usize) -> Result<Events> {
        let limit = bound::page(limit, bound::PAGE_MAX)?;
        let db = self.db()?;
        // One reading of both: between two an event could be dropped and not be counted.
        let tx = db.unchecked_transaction()?;
        let sql = "SELECT min(seq) FROM job_event WHERE job=?";
        let first: Option<i64> = tx.prepare_cached(sql)?.query_row([job], |r| r.get(0))?;
        let sql = "SELECT seq, at_ms, type, payload FROM job_event WHERE job=? AND seq>? \
                   ORDER BY seq LIMIT ?";
        let row = |r: &Row| {
            Ok(Event { seq: r.get(0)?, at_ms: r.get(1)?, kind: r.get(2)?, payload: r.get(3)? })
        };
        let mut statement = tx.prepare_cached(sql)?;
        let rows = statement.query_map(params![job, seq, limit], row)?;
        let events = rows.collect::<rusqlite::Result<_>>()?;
        let n_dropped = first.map_or(0, |first| (first - 1 - seq.max(0)).max(0)) as usize;
        Ok(Events { events, n_dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewTask;

    fn store() -> Store {
        let store = Store::memory().unwrap();
        let task = NewTask { id: "j_1", kind: "ask", args: "{}", ..NewTask::default() };
        store.leave_task(&task).unwrap();
        store
    }

    #[test]
    fn a_stream_goes_on_where_it_was_cut() {
        let store = store();
        for n in 2..=5 {
            let seq = store.add_event("j_1", "log", &n.to_string(), n).unwrap();
            assert_eq!(seq, Some(n));
        }
        let seqs = |after, limit| -> Vec<i64> {
            let events = store.events_after("j_1", after, limit).unwrap();
            assert_eq!(events.n_dropped, 0);
            events.events.into_iter().map(|event| event.seq).collect()
        };
        assert_eq!(seqs(0, 9), [1, 2, 3, 4, 5]);
        assert_eq!(seqs(3, 1), [4]);
        assert_eq!(seqs(5, 9), [0; 0]);
        assert_eq!(store.add_event("j_2", "log", "1", 1).unwrap(), None);
        assert_eq!(store.events_after("j_2", 0, 9).unwrap(), Events::default());
        for (kind, payload) in [("", "1"), ("log", "{"), ("log", &"1".repeat(20_000))] {
            assert!(store.add_event("j_1", kind, payload, 1).is_err());
        }
    }

    #[test]
    fn the_oldest_are_dropped_and_that_is_said() {
        let store = store();
        for n in 0..EVENTS_MAX as i64 + 9 {
            store.add_event("j_1", "log", "1", n).unwrap();
        }
        let all = store.events_after("j_1", 0, 2).unwrap();
        assert_eq!((all.events[0].seq, all.n_dropped), (11, 10));
        assert_eq!(store.events_after("j_1", 4, 2).unwrap().n_dropped, 6);
        assert_eq!(store.events_after("j_1", 10, 2).unwrap().n_dropped, 0);
        assert_eq!(store.events_after("j_1", 1_010, 2).unwrap(), Events::default());
    }
}
