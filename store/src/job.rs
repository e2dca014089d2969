//! Jobs: work that outlives a call, in particular requests to the process that writes the index.
//!
//! A job is pending, then running, perhaps waiting for a person, then succeeded, failed or
//! cancelled (the table is in `action.rs`). Any process may leave one; whoever does that kind of
//! work takes the next pending one. Jobs with an owner, and what persons do with them, are in
//! `task.rs`. Invariant: a job that was running when its process died is pending again for the
//! next one, with its partial results, but not more often than `ATTEMPTS_MAX` says.

use crate::action::{JobState, Move, next_state};
use crate::task::ATTEMPTS_MAX;
use crate::{Error, Result, Store, event};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// What the third format added to jobs. `job_turn` says when an owner's turn last was.
pub(crate) const THIRD: &str = "
ALTER TABLE job ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;
ALTER TABLE job ADD COLUMN deadline_ms INTEGER;
ALTER TABLE job ADD COLUMN session TEXT;
ALTER TABLE job ADD COLUMN needs TEXT;
ALTER TABLE job ADD COLUMN given TEXT;
ALTER TABLE job ADD COLUMN partial TEXT;
ALTER TABLE job ADD COLUMN webhook TEXT;
ALTER TABLE job ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN attempt_base INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN n_events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN args_hash TEXT;
CREATE INDEX job_pending ON job(kind, priority, made_ms, id) WHERE state='pending';
CREATE INDEX job_owner ON job(owner, changed_ms, id);
CREATE INDEX job_session ON job(session, changed_ms) WHERE session IS NOT NULL;
CREATE INDEX job_deadline ON job(deadline_ms) WHERE deadline_ms IS NOT NULL;
CREATE TABLE job_turn(
  kind TEXT NOT NULL, owner TEXT NOT NULL, turn INTEGER NOT NULL, PRIMARY KEY(kind, owner)
) WITHOUT ROWID;
CREATE INDEX job_turn_kind ON job_turn(kind, turn);
";

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
    /// 1 (first) to 5 (last).
    pub priority: u8,
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
    /// Whose; empty for the program's own.
    pub owner: String,
    /// 1 to 5, lower ones first.
    pub priority: u8,
    /// Until when it must have ended, milliseconds since 1970.
    pub deadline_ms: Option<i64>,
    /// The session that it works for.
    pub session: Option<String>,
    /// JSON: what a waiting job asks a person for.
    pub needs: Option<String>,
    /// JSON: an array of what persons said, `{action, text?, needs, at_ms}`, oldest first.
    pub given: Option<String>,
    /// JSON: what is done already; a job that is taken again goes on from there.
    pub partial: Option<String>,
    /// JSON: who is told when it changes.
    pub webhook: Option<String>,
    /// How often it was taken; a runner shows that it still holds the job by it.
    pub attempt: i64,
    /// The number of its last attempt before a person wanted it once more.
    pub attempt_base: i64,
    /// Left, milliseconds since 1970.
    pub made_ms: i64,
}

pub(crate) fn row(row: &Row) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        args: row.get(2)?,
        state: JobState::parse(&row.get::<_, String>(3)?),
        progress: row.get(4)?,
        result: row.get(5)?,
        changed_ms: row.get(6)?,
        owner: row.get(7)?,
        priority: row.get(8)?,
        deadline_ms: row.get(9)?,
        session: row.get(10)?,
        needs: row.get(11)?,
        given: row.get(12)?,
        partial: row.get(13)?,
        webhook: row.get(14)?,
        attempt: row.get(15)?,
        made_ms: row.get(16)?,
        attempt_base: row.get(17)?,
    })
}

/// Ended jobs of a kind that are kept, with the keys that make a repeated request the same.
const ENDED_MAX: i64 = 1_000;
/// Arguments of ended jobs that are kept as they are.
const ARGS_KEPT_BYTES: usize = 1_000;
/// The same of jobs that failed or were cancelled: a person may want them again.
const ARGS_KEPT_FOR_RETRY_BYTES: usize = 64 * 1024;
/// Owners whose last turn is known.
const TURNS_MAX: i64 = 10_000;

/// The first event of a job.
pub(crate) const LEFT: &str = "{\"state\":\"pending\",\"by\":\"leave\"}";
const DIGEST: &str = "blake3:";

pub(crate) fn digest(args: &str) -> String {
    format!("{DIGEST}{}", blake3::hash(args.as_bytes()).to_hex())
}

/// Whether of these arguments only the hash is left. JSON never begins like one.
pub(crate) fn digested(args: &str) -> bool {
    args.starts_with(DIGEST)
}

fn same(known: &str, args: &str) -> bool {
    known == args || known == digest(args)
}

/// The same without what may be long or secret: lists do not show it.
pub(crate) const LISTED: &str = "SELECT id, kind, '' AS args, state, progress, result, \
    changed_ms, owner, priority, deadline_ms, session, needs, NULL, NULL, NULL, attempt, made_ms, \
    attempt_base FROM job";

pub(crate) const JOB: &str = "SELECT id, kind, args, state, progress, result, changed_ms, owner, \
    priority, deadline_ms, session, needs, given, partial, webhook, attempt, made_ms, attempt_base \
    FROM job";

/// What became of a move.
pub(crate) enum Moved {
    /// There is no such job.
    Missing,
    /// Not legal in this state.
    Refused,
    /// Done; the state before it.
    From(JobState),
}

/// Moves a job and tells its stream: the one place where a state changes.
pub(crate) fn shift(tx: &Transaction, id: &str, by: Move, now_ms: i64) -> Result<Moved> {
    let sql = "SELECT state FROM job WHERE id=?";
    let state: Option<String> = tx.prepare_cached(sql)?.query_row([id], |r| r.get(0)).optional()?;
    let Some(state) = state.as_deref().map(JobState::parse) else { return Ok(Moved::Missing) };
    let Some(to) = next_state(state, by) else { return Ok(Moved::Refused) };
    let sql = "UPDATE job SET state=?, changed_ms=? WHERE id=?";
    tx.prepare_cached(sql)?.execute(params![to.name(), now_ms, id])?;
    let payload = format!("{{\"state\":\"{}\",\"by\":\"{}\"}}", to.name(), by.name());
    event::add(tx, id, "status", &payload, now_ms)?;
    Ok(Moved::From(state))
}

/// Ends a job that can end so: of long arguments only the hash is kept, and of the ended jobs of
/// its kind the youngest [`ENDED_MAX`].
pub(crate) fn end(
    tx: &Transaction,
    id: &str,
    by: Move,
    result: &str,
    now_ms: i64,
) -> Result<Moved> {
    let moved = shift(tx, id, by, now_ms)?;
    let Moved::From(state) = moved else { return Ok(moved) };
    let sql = "SELECT kind, args FROM job WHERE id=?";
    let (kind, args): (String, String) =
        tx.prepare_cached(sql)?.query_row([id], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let kept = if next_state(state, by) == Some(JobState::Succeeded) {
        ARGS_KEPT_BYTES
    } else {
        ARGS_KEPT_FOR_RETRY_BYTES
    };
    let args = if args.len() > kept { digest(&args) } else { args };
    let sql = "UPDATE job SET result=?, args=?, needs=NULL WHERE id=?";
    tx.prepare_cached(sql)?.execute(params![result, args, id])?;
    let ended = "kind=?1 AND state IN ('succeeded','failed','cancelled')";
    let sql = format!(
        "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE {ended} \
         ORDER BY changed_ms DESC, id DESC LIMIT -1 OFFSET ?2)"
    );
    tx.prepare_cached(&sql)?.execute(params![kind, ENDED_MAX])?;
    Ok(moved)
}

/// Takes a pending job in hand: one attempt more, and its owner had a turn, so that others of the
/// kind come before the owner's next job.
pub(crate) fn take_up(tx: &Transaction, id: &str, now_ms: i64) -> Result<Moved> {
    let moved = shift(tx, id, Move::Take, now_ms)?;
    if !matches!(moved, Moved::From(_)) {
        return Ok(moved);
    }
    let sql = "UPDATE job SET attempt=attempt+1 WHERE id=? RETURNING kind, owner";
    let (kind, owner): (String, String) =
        tx.prepare_cached(sql)?.query_row([id], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let sql = "INSERT INTO job_turn(kind, owner, turn) VALUES(?1, ?2, \
               (SELECT coalesce(max(turn), 0)+1 FROM job_turn WHERE kind=?1)) \
               ON CONFLICT(kind, owner) DO UPDATE SET turn=excluded.turn";
    tx.prepare_cached(sql)?.execute([&kind, &owner])?;
    let sql = "DELETE FROM job_turn WHERE kind=?1 AND turn<= \
               (SELECT max(turn) FROM job_turn WHERE kind=?1)-?2";
    tx.prepare_cached(sql)?.execute(params![kind, TURNS_MAX])?;
    Ok(moved)
}

/// Running jobs of a kind, with how often each was taken since a person last wanted it.
fn running(tx: &Transaction, kind: &str) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT id, attempt-attempt_base FROM job WHERE kind=? AND state='running'";
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([kind], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A running job whose process is lost: pending again, or given up after as many attempts as there
/// may be.
pub(crate) fn take_back(tx: &Transaction, id: &str, attempts: i64, now_ms: i64) -> Result<()> {
    if attempts < ATTEMPTS_MAX {
        shift(tx, id, Move::Recover, now_ms)?;
    } else {
        end(tx, id, Move::Fail, &format!("its process was lost {attempts} times"), now_ms)?;
    }
    Ok(())
}

impl Store {
    /// Leaves a job; returns the id of the one with the same key if there is one.
    ///
    /// # Errors
    /// `Conflict` when the key belongs to another request.
    pub fn leave(&self, job: &NewJob) -> Result<String> {
        self.write(|tx| {
            let sql = "INSERT OR IGNORE INTO job(id, kind, args, state, key, priority, made_ms, \
                       changed_ms) VALUES(?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?6)";
            let values = params![job.id, job.kind, job.args, job.key, job.priority, job.now_ms];
            let done = tx.prepare_cached(sql)?.execute(values)?;
            if done == 1 {
                event::add(tx, job.id, "status", LEFT, job.now_ms)?;
                return Ok(job.id.to_owned());
            }
            let known = tx.query_row(&format!("{JOB} WHERE key=?"), [job.key], row).optional()?;
            match known {
                Some(known) if known.kind == job.kind && same(&known.args, job.args) => {
                    Ok(known.id)
                }
                _ => Err(used_key()),
            }
        })
    }

    /// Takes the next pending job of `kind`: of the lowest priority number, then of the owner
    /// whose last turn is longest ago, then the oldest. One whose deadline passed is left to
    /// [`Store::expire_jobs`].
    pub fn take(&self, kind: &str, now_ms: i64) -> Result<Option<Job>> {
        // A read first: most ticks of the writer find nothing and must not take the write lock.
        let waiting = "SELECT 1 FROM job WHERE state='pending' AND kind=? LIMIT 1";
        if !self.db()?.prepare_cached(waiting)?.exists([kind])? {
            return Ok(None);
        }
        self.write(|tx| {
            let sql = "SELECT j.id FROM job j \
                       LEFT JOIN job_turn t ON t.kind=j.kind AND t.owner=j.owner \
                       WHERE j.kind=?1 AND j.state='pending' \
                       AND (j.deadline_ms IS NULL OR j.deadline_ms>?2) \
                       ORDER BY j.priority, coalesce(t.turn, 0), j.made_ms, j.id LIMIT 1";
            let mut statement = tx.prepare_cached(sql)?;
            let id: Option<String> =
                statement.query_row(params![kind, now_ms], |r| r.get(0)).optional()?;
            let Some(id) = id else { return Ok(None) };
            take_up(tx, &id, now_ms)?;
            Ok(tx.query_row(&format!("{JOB} WHERE id=?"), [id], row).optional()?)
        })
    }

    /// Makes running jobs of `kind` pending again, with their partial results: their process is
    /// gone. One that lost its process [`ATTEMPTS_MAX`] times fails, so that a job which ends its
    /// process does not do so for ever. Only for a kind that one process at a time works on; for
    /// others there is [`Store::recover_stale_jobs`].
    pub fn recover_jobs(&self, kind: &str, now_ms: i64) -> Result<usize> {
        self.write(|tx| {
            let found = running(tx, kind)?;
            for (id, attempts) in &found {
                take_back(tx, id, *attempts, now_ms)?;
            }
            Ok(found.len())
        })
    }

    /// Makes running jobs of `kind` pending again whose process ends in order, or gives them up for
    /// a reason that is not theirs: the attempt does not count.
    pub fn lay_down_jobs(&self, kind: &str, now_ms: i64) -> Result<usize> {
        self.write(|tx| {
            let found = running(tx, kind)?;
            for (id, _) in &found {
                shift(tx, id, Move::Recover, now_ms)?;
                let sql = "UPDATE job SET attempt_base=attempt_base+1 WHERE id=?";
                tx.prepare_cached(sql)?.execute([id])?;
            }
            Ok(found.len())
        })
    }

    /// Notes progress of a running job; false if it was cancelled.
    pub fn set_progress(&self, id: &str, progress: &str, now_ms: i64) -> Result<bool> {
        let sql = "UPDATE job SET progress=?, changed_ms=? WHERE id=? AND state='running'";
        Ok(self.db()?.prepare_cached(sql)?.execute(params![progress, now_ms, id])? == 1)
    }

    /// Ends a job that has not ended; false if it had, or may not end so. Of long arguments only
    /// the hash is kept, and of the ended jobs of a kind the youngest [`ENDED_MAX`].
    ///
    /// # Errors
    /// `Argument` for a state that is no end.
    pub fn end_job(&self, id: &str, state: JobState, result: &str, now_ms: i64) -> Result<bool> {
        let by = Move::ending(state)?;
        self.write(|tx| Ok(matches!(end(tx, id, by, result, now_ms)?, Moved::From(_))))
    }

    /// A job by its id.
    pub fn job(&self, id: &str) -> Result<Option<Job>> {
        let sql = format!("{JOB} WHERE id=?");
        let db = self.db()?;
        let mut statement = db.prepare_cached(&sql)?;
        Ok(statement.query_row([id], row).optional()?)
    }

    /// The id of a job of `kind` with these arguments that nobody has begun.
    pub fn waiting(&self, kind: &str, args: &str) -> Result<Option<String>> {
        let sql = "SELECT id FROM job WHERE state='pending' AND kind=? AND args=? LIMIT 1";
        Ok(self.db()?.query_row(sql, [kind, args], |r| r.get(0)).optional()?)
    }

    /// The jobs that changed last, at most `limit`, without their arguments; open ones before ended
    /// ones.
    pub fn jobs(&self, limit: usize) -> Result<Vec<Job>> {
        let open = "state IN ('pending','running','waiting')";
        let sql = format!("{LISTED} ORDER BY {open} DESC, changed_ms DESC, id DESC LIMIT ?");
        let db = self.db()?;
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map([limit as i64], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Jobs of a kind that have not ended, oldest first, without their arguments.
    pub fn open_jobs(&self, kind: &str) -> Result<Vec<Job>> {
        let db = self.db()?;
        // Mostly there is none, and every status asks. No variable stands in this statement: SQLite
        // plans one with a variable anew each time that it is bound, and makes a table of a list.
        let any = "SELECT 1 WHERE EXISTS (SELECT 1 FROM job WHERE state='pending')
                   OR EXISTS (SELECT 1 FROM job WHERE state='running')
                   OR EXISTS (SELECT 1 FROM job WHERE state='waiting')";
        if !db.prepare_cached(any)?.exists([])? {
            return Ok(Vec::new());
        }
        let open = "kind=? AND state IN ('pending','running','waiting')";
        let sql = format!("{LISTED} WHERE {open} ORDER BY made_ms, id");
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map([kind], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(crate) fn used_key() -> Error {
    let why = "this idempotency key was used for another request; use a new one";
    Error::Conflict(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(store: &Store, id: &str, key: Option<&str>, args: &str) -> Result<String> {
        store.leave(&NewJob { id, kind: "index", args, key, priority: 3, now_ms: 1 })
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
    fn what_is_urgent_is_taken_first() {
        let store = Store::memory().unwrap();
        for (id, priority) in [("j_1", 5), ("j_2", 3), ("j_3", 1)] {
            let job = NewJob { id, kind: "index", args: id, key: None, priority, now_ms: 1 };
            store.leave(&job).unwrap();
        }
        let taken = || store.take("index", 2).unwrap().unwrap().id;
        assert_eq!([taken(), taken(), taken()], ["j_3", "j_2", "j_1"]);
    }

    #[test]
    fn a_job_that_ends_its_process_does_not_do_so_for_ever() {
        let store = Store::memory().unwrap();
        leave(&store, "j_1", None, "{}").unwrap();
        // An end in order, however often, is no fault of the job.
        for at in 0..2 * ATTEMPTS_MAX {
            assert_eq!(store.take("index", at).unwrap().unwrap().id, "j_1");
            assert_eq!(store.lay_down_jobs("index", at).unwrap(), 1);
        }
        assert_eq!(store.lay_down_jobs("index", 99).unwrap(), 0, "it does not run");
        for at in 100..100 + ATTEMPTS_MAX {
            assert_eq!(store.take("index", at).unwrap().unwrap().id, "j_1");
            assert_eq!(store.recover_jobs("index", at).unwrap(), 1);
        }
        let job = store.job("j_1").unwrap().unwrap();
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(job.result.as_deref(), Some("its process was lost 5 times"));
        leave(&store, "j_2", None, "{}").unwrap();
        assert_eq!(store.take("index", 200).unwrap().unwrap().id, "j_2", "the next one is done");
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
        let kept: i64 =
            store.db().unwrap().query_row("SELECT count(*) FROM job", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, ENDED_MAX);
        assert!(store.job("j_0").unwrap().is_none());
    }
}
