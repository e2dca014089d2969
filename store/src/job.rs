//! Jobs: work that outlives a call, in particular requests to the process that writes the index.
//!
//! A job is pending, then running, then succeeded, failed or cancelled. Any process may leave one;
//! the writer takes the oldest pending one. Invariant: a job that was running when its process
//! died is pending again for the next writer.

use crate::{Error, Result, Store};
use rusqlite::{OptionalExtension, Row, params};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Waits.
    Pending,
    /// In hand.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped by its owner.
    Cancelled,
}

impl JobState {
    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Pending => "pending",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "running" => JobState::Running,
            "succeeded" => JobState::Succeeded,
            "failed" => JobState::Failed,
            "cancelled" => JobState::Cancelled,
            _ => JobState::Pending,
        }
    }

    /// It will not change any more.
    pub fn ended(self) -> bool {
        !matches!(self, JobState::Pending | JobState::Running)
    }
}

/// A job to leave.
pub struct NewJob<'a> {
    /// Sortable, unguessable.
    pub id: &'a str,
    /// What is to be done.
    pub kind: &'a str,
    /// JSON.
    pub args: &'a str,
    /// The same key twice is the same job.
    pub key: Option<&'a str>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Id.
    pub id: String,
    /// What is to be done.
    pub kind: String,
    /// JSON.
    pub args: String,
    /// Where it is.
    pub state: JobState,
    /// JSON, while it runs.
    pub progress: Option<String>,
    /// JSON, or the text of the error.
    pub result: Option<String>,
    /// Milliseconds since 1970.
    pub changed_ms: i64,
}

fn row(row: &Row) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        args: row.get(2)?,
        state: JobState::parse(&row.get::<_, String>(3)?),
        progress: row.get(4)?,
        result: row.get(5)?,
        changed_ms: row.get(6)?,
    })
}

/// Ended jobs that are kept, with the keys that make a repeated request the same.
const ENDED_MAX: i64 = 1_000;
/// Arguments of ended jobs that are kept as they are.
const ARGS_KEPT_BYTES: usize = 1_000;

fn digest(args: &str) -> String {
    format!("blake3:{}", blake3::hash(args.as_bytes()).to_hex())
}

fn same(known: &str, args: &str) -> bool {
    known == args || known == digest(args)
}

/// The same without what was asked for, which may be long: lists do not show it.
const LISTED: &str = "SELECT id, kind, '' AS args, state, progress, result, changed_ms FROM job";

const JOB: &str = "SELECT id, kind, args, state, progress, result, changed_ms FROM job";

impl Store {
    /// Leaves a job; returns the id of the one with the same key if there is one.
    ///
    /// # Errors
    /// `Conflict` when the key belongs to another request.
    pub fn leave(&self, job: &NewJob) -> Result<String> {
        let db = self.db();
        let done = db.execute(
            "INSERT OR IGNORE INTO job(id, kind, args, state, key, made_ms, changed_ms) \
             VALUES(?1, ?2, ?3, 'pending', ?4, ?5, ?5)",
            params![job.id, job.kind, job.args, job.key, job.now_ms],
        )?;
        if done == 1 {
            return Ok(job.id.to_owned());
        }
        let sql = format!("{JOB} WHERE key=?");
        let known = db.query_row(&sql, [job.key], row).optional()?;
        match known {
            Some(known) if known.kind == job.kind && same(&known.args, job.args) => Ok(known.id),
            _ => Err(Error::Conflict(
                "this idempotency key was used for another request; use a new one".to_owned(),
            )),
        }
    }

    /// Takes the oldest pending job of `kind`.
    pub fn take(&self, kind: &str, now_ms: i64) -> Result<Option<Job>> {
        let sql = "UPDATE job SET state='running', changed_ms=?2 WHERE id=(SELECT id FROM job \
                   WHERE kind=?1 AND state='pending' ORDER BY made_ms, id LIMIT 1) RETURNING id";
        let db = self.db();
        // A read first: most ticks of the writer find nothing and must not take the write lock.
        let waiting = "SELECT 1 FROM job WHERE state='pending' AND kind=? LIMIT 1";
        if !db.prepare_cached(waiting)?.exists([kind])? {
            return Ok(None);
        }
        let mut statement = db.prepare_cached(sql)?;
        let id: Option<String> =
            statement.query_row(params![kind, now_ms], |r| r.get(0)).optional()?;
        let Some(id) = id else { return Ok(None) };
        let sql = format!("{JOB} WHERE id=?");
        Ok(db.query_row(&sql, [id], row).optional()?)
    }

    /// Makes running jobs of `kind` pending again: their process is gone.
    pub fn recover_jobs(&self, kind: &str, now_ms: i64) -> Result<usize> {
        let sql = "UPDATE job SET state='pending', changed_ms=? WHERE kind=? AND state='running'";
        Ok(self.db().execute(sql, params![now_ms, kind])?)
    }

    /// Notes progress of a running job; false if it was cancelled.
    pub fn set_progress(&self, id: &str, progress: &str, now_ms: i64) -> Result<bool> {
        let sql = "UPDATE job SET progress=?, changed_ms=? WHERE id=? AND state='running'";
        Ok(self.db().prepare_cached(sql)?.execute(params![progress, now_ms, id])? == 1)
    }

    /// Ends a job that has not ended. Of long arguments only the hash is kept, and of the ended
    /// jobs the youngest [`ENDED_MAX`].
    pub fn end_job(&self, id: &str, state: JobState, result: &str, now_ms: i64) -> Result<bool> {
        let db = self.db();
        let sql = "SELECT args FROM job WHERE id=?";
        let args: Option<String> = db.query_row(sql, [id], |r| r.get(0)).optional()?;
        let args = args.map(|args| if args.len() > ARGS_KEPT_BYTES { digest(&args) } else { args });
        let sql = "UPDATE job SET state=?, result=?, changed_ms=?, args=? \
                   WHERE id=? AND state IN ('pending', 'running')";
        let ended = db.execute(sql, params![state.name(), result, now_ms, args, id])? == 1;
        let sql = "DELETE FROM job WHERE state NOT IN ('pending', 'running') AND id NOT IN \
                   (SELECT id FROM job ORDER BY changed_ms DESC, id DESC LIMIT ?)";
        db.execute(sql, [ENDED_MAX])?;
        Ok(ended)
    }

    /// A job by its id.
    pub fn job(&self, id: &str) -> Result<Option<Job>> {
        let sql = format!("{JOB} WHERE id=?");
        let db = self.db();
        let mut statement = db.prepare_cached(&sql)?;
        Ok(statement.query_row([id], row).optional()?)
    }

    /// The id of a job of `kind` with these arguments that nobody has begun.
    pub fn waiting(&self, kind: &str, args: &str) -> Result<Option<String>> {
        let sql = "SELECT id FROM job WHERE state='pending' AND kind=? AND args=? LIMIT 1";
        Ok(self.db().query_row(sql, [kind, args], |r| r.get(0)).optional()?)
    }

    /// The jobs that changed last, at most `limit`, without their arguments; open ones before ended
    /// ones.
    pub fn jobs(&self, limit: usize) -> Result<Vec<Job>> {
        let open = "state IN ('pending','running')";
        let sql = format!("{LISTED} ORDER BY {open} DESC, changed_ms DESC, id DESC LIMIT ?");
        let db = self.db();
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map([limit as i64], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Jobs of a kind that have not ended, oldest first, without their arguments.
    pub fn open_jobs(&self, kind: &str) -> Result<Vec<Job>> {
        let db = self.db();
        // Mostly there is none, and every status asks. No variable stands in this statement: SQLite
        // plans one with a variable anew each time that it is bound.
        let any = "SELECT 1 FROM job WHERE state IN ('pending','running') LIMIT 1";
        if !db.prepare_cached(any)?.exists([])? {
            return Ok(Vec::new());
        }
        let open = "kind=? AND state IN ('pending','running')";
        let sql = format!("{LISTED} WHERE {open} ORDER BY made_ms, id");
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map([kind], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(store: &Store, id: &str, key: Option<&str>, args: &str) -> Result<String> {
        store.leave(&NewJob { id, kind: "index", args, key, now_ms: 1 })
    }

    #[test]
    fn jobs_go_through_their_states_once() {
        let store = Store::memory().unwrap();
        leave(&store, "j_1", None, "{}").unwrap();
        leave(&store, "j_2", None, "{}").unwrap();
        assert_eq!(store.take("other", 2).unwrap(), None);
        assert_eq!(store.take("index", 2).unwrap().unwrap().id, "j_1");
        assert!(store.set_progress("j_1", "{\"done\":1}", 3).unwrap());
        assert_eq!(store.recover_jobs("index", 4).unwrap(), 1);
        assert_eq!(store.take("index", 5).unwrap().unwrap().id, "j_1");
        assert!(store.end_job("j_1", JobState::Succeeded, "{}", 6).unwrap());
        assert!(!store.end_job("j_1", JobState::Failed, "", 7).unwrap());
        assert_eq!(store.jobs(9).unwrap()[0].id, "j_2", "open ones come first");
        assert!(store.end_job("j_2", JobState::Cancelled, "", 8).unwrap());
        let ids: Vec<String> = store.jobs(9).unwrap().into_iter().map(|job| job.id).collect();
        assert_eq!(ids, ["j_2", "j_1"]);
        assert!(!store.set_progress("j_2", "{}", 9).unwrap());
        assert!(store.take("index", 9).unwrap().is_none());
    }

    #[test]
    fn a_key_means_one_request() {
        let store = Store::memory().unwrap();
        assert_eq!(leave(&store, "j_1", Some("k"), "{}").unwrap(), "j_1");
        assert_eq!(leave(&store, "j_2", Some("k"), "{}").unwrap(), "j_1");
        assert!(leave(&store, "j_3", Some("k"), "{\"a\":1}").is_err());
    }

    #[test]
    fn ended_jobs_are_few_and_small() {
        let store = Store::memory().unwrap();
        let long = format!("{{\"content\":\"{}\"}}", "x".repeat(10_000));
        leave(&store, "j_0", Some("k"), &long).unwrap();
        store.take("index", 2).unwrap();
        assert!(store.end_job("j_0", JobState::Succeeded, "", 3).unwrap());
        assert!(store.job("j_0").unwrap().unwrap().args.len() < 100);
        // The key still knows its request.
        assert_eq!(leave(&store, "j_1", Some("k"), &long).unwrap(), "j_0");
        assert!(leave(&store, "j_1", Some("k"), "{}").is_err());
        for n in 0..ENDED_MAX + 5 {
            let id = format!("j_{:05}", n + 10);
            leave(&store, &id, None, "{}").unwrap();
            store.end_job(&id, JobState::Cancelled, "", 10 + n).unwrap();
        }
        let kept: i64 = store.db().query_row("SELECT count(*) FROM job", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, ENDED_MAX);
        assert!(store.job("j_0").unwrap().is_none());
    }
}
