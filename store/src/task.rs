//! Tasks: jobs that a person asked for, answers for, and gets the result of.
//!
//! A job with an owner, a priority, a deadline, partial results, and questions back. Whoever runs
//! one shows the number of its attempt with each write, so that a runner which was taken for dead
//! cannot disturb the one that took its place. Invariant: a job of another owner is as if it did
//! not exist.

use crate::action::{Action, JobState, Move, actions};
use crate::job::{
    JOB, LEFT, LISTED, Moved, digest, digested, end, row, shift, take_back, used_key,
};
use crate::{Error, Job, Result, Store, bound, event};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::{Value, json};

/// A task's arguments, in bytes.
pub const ARGS_BYTES_MAX: usize = 1024 * 1024;
/// Partial results, in bytes.
pub const PARTIAL_BYTES_MAX: usize = 1024 * 1024;
/// A result, in bytes.
pub const RESULT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a job asks a person for, or is at, in bytes.
pub const NEEDS_BYTES_MAX: usize = 64 * 1024;
/// What a person says, in bytes.
pub const PROVIDED_BYTES_MAX: usize = 64 * 1024;
/// The target of a webhook, in bytes.
pub const WEBHOOK_BYTES_MAX: usize = 4 * 1024;
/// Answers of persons that one job keeps.
pub const GIVEN_MAX: usize = 16;
/// Tasks of one owner that have not ended.
pub const OPEN_MAX: usize = 1_000;
/// How often a job is taken up again after its runner was lost.
pub const ATTEMPTS_MAX: i64 = 5;
/// Time that a job has which begins again behind its deadline.
const AGAIN_MS: i64 = 24 * 60 * 60 * 1_000;
/// Jobs of one sweep.
const SWEPT_MAX: i64 = 1_000;

/// A task to leave; with `..NewTask::default()` for what needs no choice.
#[derive(Clone, Debug)]
pub struct NewTask<'a> {
    /// Sortable, unguessable.
    pub id: &'a str,
    /// What is to be done.
    pub kind: &'a str,
    /// JSON.
    pub args: &'a str,
    /// Whose.
    pub owner: &'a str,
    /// The same key twice of one owner is the same task.
    pub key: Option<&'a str>,
    /// 1 to 5, lower ones first.
    pub priority: u8,
    /// Until when it must have ended, milliseconds since 1970.
    pub deadline_ms: Option<i64>,
    /// The session that it works for.
    pub session: Option<&'a str>,
    /// JSON: who is told when it changes.
    pub webhook: Option<&'a str>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

impl Default for NewTask<'_> {
    fn default() -> Self {
        NewTask {
            id: "",
            kind: "",
            args: "{}",
            owner: "",
            key: None,
            priority: 3,
            deadline_ms: None,
            session: None,
            webhook: None,
            now_ms: 0,
        }
    }
}

impl NewTask<'_> {
    fn check(&self) -> Result<()> {
        bound::id(self.id)?;
        bound::name("kind", self.kind, bound::WORD_BYTES_MAX)?;
        bound::json("args", self.args, ARGS_BYTES_MAX)?;
        bound::text("owner", self.owner, bound::OWNER_BYTES_MAX)?;
        bound::text("key", self.key.unwrap_or_default(), bound::OWNER_BYTES_MAX)?;
        if let Some(session) = self.session {
            bound::id(session)?;
        }
        if let Some(webhook) = self.webhook {
            bound::json("webhook", webhook, WEBHOOK_BYTES_MAX)?;
        }
        if !(1..=5).contains(&self.priority) {
            let n = self.priority;
            return Err(Error::Argument(format!("`priority` is {n}, it goes from 1 to 5")));
        }
        if self.deadline_ms.is_some_and(|at| at <= self.now_ms) {
            return Err(Error::Argument("`deadline_ms` is past; give a later time".to_owned()));
        }
        Ok(())
    }

    /// The key as it is kept: of one owner, and unlike those of the program's own jobs.
    fn owned_key(&self) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.owner.len() as u64).to_le_bytes());
        hasher.update(self.owner.as_bytes());
        hasher.update(self.key?.as_bytes());
        Some(format!("task:{}", hasher.finalize().to_hex()))
    }
}

fn insert(tx: &Transaction, task: &NewTask) -> Result<usize> {
    let sql = "INSERT OR IGNORE INTO job(id, kind, args, state, key, made_ms, changed_ms, owner, \
               priority, deadline_ms, session, webhook, args_hash) \
               VALUES(?1, ?2, ?3, 'pending', ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    Ok(tx.prepare_cached(sql)?.execute(params![
        task.id,
        task.kind,
        task.args,
        task.owned_key(),
        task.now_ms,
        task.owner,
        task.priority,
        task.deadline_ms,
        task.session,
        task.webhook,
        digest(task.args)
    ])?)
}

/// Refuses one task more than an owner may have open.
fn room(tx: &Transaction, owner: &str, max: usize) -> Result<()> {
    let sql = "SELECT count(*) FROM job \
               WHERE owner=? AND state IN ('pending','running','waiting')";
    let n: i64 = tx.prepare_cached(sql)?.query_row([owner], |r| r.get(0))?;
    if n < max as i64 {
        return Ok(());
    }
    Err(Error::Conflict(format!("{n} jobs are open, the most is {max}; wait for some or cancel")))
}

/// The answers of persons with one more; the oldest go.
fn given(known: Option<&str>, needs: Option<&str>, action: &Action, now_ms: i64) -> String {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let known = known.and_then(parse).and_then(|value| value.as_array().cloned());
    let mut all = known.unwrap_or_default();
    let mut one = json!({"action": action.by().name(), "at_ms": now_ms});
    if let Action::Provide(text) = action {
        one["text"] = text.as_str().into();
    }
    if let Some(needs) = needs.and_then(parse) {
        one["needs"] = needs;
    }
    all.push(one);
    let over = all.len().saturating_sub(GIVEN_MAX);
    Value::from(all.split_off(over)).to_string()
}

/// What an action changes beside the state.
fn carry_out(tx: &Transaction, job: &Job, action: &Action, now_ms: i64) -> Result<()> {
    match action {
        Action::Approve | Action::Provide(_) => {
            let given = given(job.given.as_deref(), job.needs.as_deref(), action, now_ms);
            let sql = "UPDATE job SET given=?, needs=NULL WHERE id=?";
            tx.prepare_cached(sql)?.execute(params![given, job.id])?;
        }
        // What was done for other arguments is not theirs.
        Action::Modify(args) => {
            let sql = "UPDATE job SET args=?, needs=NULL, given=NULL, partial=NULL WHERE id=?";
            tx.prepare_cached(sql)?.execute(params![args, job.id])?;
        }
        Action::Retry if digested(&job.args) => {
            return Err(Error::Conflict(format!(
                "the arguments of job `{}` were too long to keep; modify it with them, or leave \
                 a new one",
                job.id
            )));
        }
        Action::Retry | Action::Cancel => {}
    }
    if job.state.ended() {
        // It begins again: a deadline that passed would end it at once.
        let sql = "UPDATE job SET result=NULL, progress=NULL, attempt_base=attempt, \
                   deadline_ms=CASE WHEN deadline_ms<=?1 THEN ?1+?3 ELSE deadline_ms END \
                   WHERE id=?2";
        tx.prepare_cached(sql)?.execute(params![now_ms, job.id, AGAIN_MS])?;
    }
    Ok(())
}

impl Store {
    /// Leaves a task; gives the id of the one with the same key if the owner has one.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds, `Conflict` when the key or the id belongs to
    /// another request, or the owner has [`OPEN_MAX`] open.
    pub fn leave_task(&self, task: &NewTask) -> Result<String> {
        task.check()?;
        self.write(|tx| {
            if let Some(key) = task.owned_key() {
                let sql = "SELECT id, kind=?2 AND args_hash=?3 FROM job WHERE key=?1";
                let known: Option<(String, bool)> = tx
                    .prepare_cached(sql)?
                    .query_row(params![key, task.kind, digest(task.args)], |r| {
                        Ok((r.get(0)?, r.get(1)?))
                    })
                    .optional()?;
                match known {
                    Some((id, true)) => return Ok(id),
                    Some(_) => return Err(used_key()),
                    None => {}
                }
            }
            room(tx, task.owner, OPEN_MAX)?;
            if insert(tx, task)? == 0 {
                let id = task.id;
                return Err(Error::Conflict(format!("job `{id}` exists already; use a new id")));
            }
            event::add(tx, task.id, "status", LEFT, task.now_ms)?;
            Ok(task.id.to_owned())
        })
    }

    /// An owner's job.
    pub fn job_of(&self, id: &str, owner: &str) -> Result<Option<Job>> {
        let db = self.db()?;
        let mut statement = db.prepare_cached(&format!("{JOB} WHERE id=? AND owner=?"))?;
        Ok(statement.query_row([id, owner], row).optional()?)
    }

    /// An owner's jobs without arguments, partial results and webhooks, the one that changed last
    /// first; `before` is the last one of the page before.
    ///
    /// # Errors
    /// `Argument` for a limit over [`crate::PAGE_MAX`].
    pub fn jobs_of(&self, owner: &str, limit: usize, before: Option<&Job>) -> Result<Vec<Job>> {
        let limit = bound::page(limit, bound::PAGE_MAX)?;
        let (changed_ms, id) = before.map_or((i64::MAX, ""), |j| (j.changed_ms, j.id.as_str()));
        let sql = format!(
            "{LISTED} WHERE owner=? AND (changed_ms, id)<(?, ?) \
             ORDER BY changed_ms DESC, id DESC LIMIT ?"
        );
        let db = self.db()?;
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![owner, changed_ms, id, limit], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Keeps what a run has done so far; false if the run no longer holds the job.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn set_partial(&self, id: &str, attempt: i64, partial: &str, now_ms: i64) -> Result<bool> {
        bound::json("partial", partial, PARTIAL_BYTES_MAX)?;
        let sql = "UPDATE job SET partial=?, changed_ms=? \
                   WHERE id=? AND attempt=? AND state='running'";
        let values = params![partial, now_ms, id, attempt];
        Ok(self.db()?.prepare_cached(sql)?.execute(values)? == 1)
    }

    /// Says that a run is alive; false if it no longer holds the job.
    pub fn beat(&self, id: &str, attempt: i64, now_ms: i64) -> Result<bool> {
        let sql = "UPDATE job SET changed_ms=? WHERE id=? AND attempt=? AND state='running'";
        Ok(self.db()?.prepare_cached(sql)?.execute(params![now_ms, id, attempt])? == 1)
    }

    /// The same, with what the run is at, as JSON.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn beat_with(&self, id: &str, attempt: i64, progress: &str, now_ms: i64) -> Result<bool> {
        bound::json("progress", progress, NEEDS_BYTES_MAX)?;
        let sql = "UPDATE job SET progress=?, changed_ms=? \
                   WHERE id=? AND attempt=? AND state='running'";
        let values = params![progress, now_ms, id, attempt];
        Ok(self.db()?.prepare_cached(sql)?.execute(values)? == 1)
    }

    /// Lays a job aside until a person answers; false if the run no longer holds it. The answer
    /// makes it pending; who takes it then finds it in `given`.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn ask_person(&self, id: &str, attempt: i64, needs: &str, now_ms: i64) -> Result<bool> {
        bound::json("needs", needs, NEEDS_BYTES_MAX)?;
        self.write(|tx| {
            if !holds(tx, id, attempt)? {
                return Ok(false);
            }
            shift(tx, id, Move::Ask, now_ms)?;
            tx.prepare_cached("UPDATE job SET needs=? WHERE id=?")?.execute([needs, id])?;
            Ok(true)
        })
    }

    /// Ends a run; false if it no longer holds the job.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds, or a state that is no end.
    pub fn end_run(
        &self,
        id: &str,
        attempt: i64,
        state: JobState,
        result: &str,
        now_ms: i64,
    ) -> Result<bool> {
        bound::text("result", result, RESULT_BYTES_MAX)?;
        let by = Move::ending(state)?;
        self.write(|tx| {
            let held = holds(tx, id, attempt)?;
            Ok(held && matches!(end(tx, id, by, result, now_ms)?, Moved::From(_)))
        })
    }

    /// Does what a person wants with a job of theirs, and gives the job as it is then. None if
    /// there is no such job.
    ///
    /// # Errors
    /// `Conflict`, naming what can be done, when that cannot; `Argument` for what is out of its
    /// bounds.
    pub fn act(&self, id: &str, owner: &str, action: &Action, now_ms: i64) -> Result<Option<Job>> {
        match action {
            Action::Provide(text) => bound::text("text", text, PROVIDED_BYTES_MAX)?,
            Action::Modify(args) => bound::json("args", args, ARGS_BYTES_MAX)?,
            _ => {}
        }
        self.write(|tx| {
            let sql = format!("{JOB} WHERE id=? AND owner=?");
            let job = tx.prepare_cached(&sql)?.query_row([id, owner], row).optional()?;
            let Some(job) = job else { return Ok(None) };
            let moved = match action {
                Action::Cancel => end(tx, id, Move::Cancel, "cancelled by its owner", now_ms)?,
                action => shift(tx, id, action.by(), now_ms)?,
            };
            if !matches!(moved, Moved::From(_)) {
                let can: Vec<&str> = actions(job.state).into_iter().map(Move::name).collect();
                let can = if can.is_empty() { "nothing".to_owned() } else { can.join(", ") };
                let (by, state) = (action.by().name(), job.state.name());
                return Err(Error::Conflict(format!(
                    "job `{id}` is {state}: `{by}` does not fit; what does: {can}"
                )));
            }
            carry_out(tx, &job, action, now_ms)?;
            Ok(tx.prepare_cached(&sql)?.query_row([id, owner], row).optional()?)
        })
    }

    /// Fails open jobs whose deadline passed, at most 1,000; gives their ids.
    pub fn expire_jobs(&self, now_ms: i64) -> Result<Vec<String>> {
        let late = "deadline_ms IS NOT NULL AND deadline_ms<=?1 \
                    AND state IN ('pending','running','waiting')";
        let any = format!("SELECT 1 FROM job WHERE {late} LIMIT 1");
        if !self.db()?.prepare_cached(&any)?.exists([now_ms])? {
            return Ok(Vec::new());
        }
        self.write(|tx| {
            let sql = format!("SELECT id, state FROM job WHERE {late} ORDER BY id LIMIT ?2");
            let found: Vec<(String, String)> = tx
                .prepare_cached(&sql)?
                .query_map([now_ms, SWEPT_MAX], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (id, state) in &found {
                let why = format!("its deadline passed while it was {state}");
                end(tx, id, Move::Expire, &why, now_ms)?;
            }
            Ok(found.into_iter().map(|(id, _)| id).collect())
        })
    }

    /// Makes running jobs of `kind` pending again that did not move for `idle_ms`, with their
    /// partial results: for kinds that several processes work on. One that lost its runner
    /// [`ATTEMPTS_MAX`] times fails, so that a job which ends its process does not do so for ever.
    pub fn recover_stale_jobs(&self, kind: &str, idle_ms: i64, now_ms: i64) -> Result<usize> {
        self.write(|tx| {
            let sql = "SELECT id, attempt-attempt_base FROM job \
                       WHERE kind=? AND state='running' AND changed_ms<=? LIMIT ?";
            let found: Vec<(String, i64)> = tx
                .prepare_cached(sql)?
                .query_map(params![kind, now_ms.saturating_sub(idle_ms), SWEPT_MAX], |r| {
                    Ok((r.get(0)?, r.get(1)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            for (id, attempts) in &found {
                take_back(tx, id, *attempts, now_ms)?;
            }
            Ok(found.len())
        })
    }
}

/// Whether a run is the one that has the job in hand.
fn holds(tx: &Transaction, id: &str, attempt: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM job WHERE id=? AND attempt=? AND state='running'";
    Ok(tx.prepare_cached(sql)?.exists(params![id, attempt])?)
}
