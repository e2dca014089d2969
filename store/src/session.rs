//! Sessions: who talks about what, until when, and where it was left.
//!
//! A handle is an explicit id, never a connection. Messages stand in `message.rs`. Invariant: a
//! session of another owner, or one whose time is over, is as if it did not exist.

use crate::resume::{Interruption, Recovery, recovery, resume_confidence};
use crate::{Error, Result, Store, bound};
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE session(
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, metadata TEXT,
  parent TEXT, parent_seq INTEGER, n_messages INTEGER NOT NULL DEFAULT 0,
  made_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, expires_ms INTEGER, ended_ms INTEGER);
CREATE INDEX session_owner ON session(owner, changed_ms, id);
CREATE INDEX session_expires ON session(expires_ms) WHERE expires_ms IS NOT NULL;
CREATE TRIGGER session_gone AFTER DELETE ON session BEGIN
  DELETE FROM message WHERE session=old.id;
  DELETE FROM spent WHERE account='session:' || old.id;
END;
";

/// A title, in bytes.
pub const TITLE_BYTES_MAX: usize = 512;
/// A session's metadata, in bytes.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// Sessions of one owner.
pub const SESSIONS_MAX: usize = 10_000;
/// Turns and jobs that coherence looks at.
pub const COHERENCE_LAST: usize = 20;
/// Sessions that one sweep takes away: each is a transaction, and others wait between them.
const SWEPT_MAX: usize = 1_000;

/// A session to begin.
pub struct NewSession<'a> {
    /// Sortable, unguessable.
    pub id: &'a str,
    /// Whose.
    pub owner: &'a str,
    /// May be empty.
    pub title: &'a str,
    /// JSON.
    pub metadata: Option<&'a str>,
    /// From then on it is gone, milliseconds since 1970.
    pub expires_ms: Option<i64>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Id.
    pub id: String,
    /// Whose.
    pub owner: String,
    /// May be empty.
    pub title: String,
    /// JSON.
    pub metadata: Option<String>,
    /// The session that it was forked off, and the last message it had then.
    pub parent: Option<(String, i64)>,
    /// How many messages, and the number of the last one.
    pub n_messages: i64,
    /// Begun, milliseconds since 1970.
    pub made_ms: i64,
    /// Of the last message or change, milliseconds since 1970.
    pub changed_ms: i64,
    /// From then on it is gone, milliseconds since 1970.
    pub expires_ms: Option<i64>,
    /// Ended, milliseconds since 1970: it is read, and takes no more messages.
    pub ended_ms: Option<i64>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SessionCounts {
    /// Sessions that have not ended.
    pub open: usize,
    /// Sessions that have.
    pub ended: usize,
    /// Messages of both.
    pub messages: usize,
}

/// Where a session was left, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumption {
    /// The session.
    pub session: Session,
    /// What the decision rests on.
    pub of: Interruption,
    /// By [`resume_confidence`].
    pub confidence: f64,
    /// By [`recovery`]; a session that was ended is always archived.
    pub recovery: Recovery,
    /// Messages of the user that nobody answered.
    pub n_unanswered: usize,
    /// Its jobs that have not ended.
    pub n_open_jobs: usize,
}

pub(crate) const SESSION: &str = "SELECT id, owner, title, metadata, parent, parent_seq, \
    n_messages, made_ms, changed_ms, expires_ms, ended_ms FROM session";
/// The invariant of this file as a condition: of an owner, at a time.
const ALIVE: &str = "owner=?1 AND (expires_ms IS NULL OR expires_ms>?2)";

pub(crate) fn row(row: &Row) -> rusqlite::Result<Session> {
    let parent: Option<String> = row.get(4)?;
    let parent_seq: Option<i64> = row.get(5)?;
    Ok(Session {
        id: row.get(0)?,
        owner: row.get(1)?,
        title: row.get(2)?,
        metadata: row.get(3)?,
        parent: parent.map(|id| (id, parent_seq.unwrap_or_default())),
        n_messages: row.get(6)?,
        made_ms: row.get(7)?,
        changed_ms: row.get(8)?,
        expires_ms: row.get(9)?,
        ended_ms: row.get(10)?,
    })
}

/// The session, if it is the owner's and not over.
pub(crate) fn find(db: &Connection, id: &str, owner: &str, now_ms: i64) -> Result<Option<Session>> {
    let mut statement = db.prepare_cached(&format!("{SESSION} WHERE {ALIVE} AND id=?3"))?;
    Ok(statement.query_row(params![owner, now_ms, id], row).optional()?)
}

/// Refuses one session more than an owner may have.
pub(crate) fn room(db: &Connection, owner: &str, max: usize) -> Result<()> {
    let sql = "SELECT count(*) FROM session WHERE owner=?";
    let n: i64 = db.prepare_cached(sql)?.query_row([owner], |r| r.get(0))?;
    if n < max as i64 {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "there are {n} sessions, the most is {max}, ended ones included; delete old ones first"
    )))
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds, `Conflict` when the id is taken or the owner has
    /// [`SESSIONS_MAX`].
    pub fn make_session(&self, new: &NewSession) -> Result<Session> {
        bound::id(new.id)?;
        bound::text("owner", new.owner, bound::OWNER_BYTES_MAX)?;
        bound::text("title", new.title, TITLE_BYTES_MAX)?;
        if let Some(metadata) = new.metadata {
            bound::json("metadata", metadata, METADATA_BYTES_MAX)?;
        }
        if new.expires_ms.is_some_and(|at| at <= new.now_ms) {
            return Err(Error::Argument("`expires_ms` is past; give a later time".to_owned()));
        }
        self.write(|tx| {
            room(tx, new.owner, SESSIONS_MAX)?;
            let sql = "INSERT OR IGNORE INTO session(id, owner, title, metadata, made_ms, \
                       changed_ms, expires_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6)";
            let done = tx.prepare_cached(sql)?.execute(params![
                new.id,
                new.owner,
                new.title,
                new.metadata,
                new.now_ms,
                new.expires_ms
            ])?;
            if done == 0 {
                return Err(taken(new.id));
            }
            Ok(tx.query_row(&format!("{SESSION} WHERE id=?"), [new.id], row)?)
        })
    }

    /// A session by its id.
    pub fn session(&self, id: &str, owner: &str, now_ms: i64) -> Result<Option<Session>> {
        let db = self.db()?;
        find(&db, id, owner, now_ms)
    }

    /// An owner's sessions, the one that changed last first; `before` is the last one of the page
    /// before.
    ///
    /// # Errors
    /// `Argument` for a limit over [`crate::PAGE_MAX`].
    pub fn sessions(
        &self,
        owner: &str,
        limit: usize,
        before: Option<&Session>,
        now_ms: i64,
    ) -> Result<Vec<Session>> {
        let limit = bound::page(limit, bound::PAGE_MAX)?;
        let (changed_ms, id) = before.map_or((i64::MAX, ""), |s| (s.changed_ms, s.id.as_str()));
        let sql = format!(
            "{SESSION} WHERE {ALIVE} AND (changed_ms, id)<(?3, ?4) \
             ORDER BY changed_ms DESC, id DESC LIMIT ?5"
        );
        let db = self.db()?;
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![owner, now_ms, changed_ms, id, limit], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Changes what is given; false if there is no such session.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn change_session(
        &self,
        id: &str,
        owner: &str,
        title: Option<&str>,
        metadata: Option<&str>,
        now_ms: i64,
    ) -> Result<bool> {
        bound::text("title", title.unwrap_or_default(), TITLE_BYTES_MAX)?;
        if let Some(metadata) = metadata {
            bound::json("metadata", metadata, METADATA_BYTES_MAX)?;
        }
        let sql = format!(
            "UPDATE session SET title=coalesce(?4, title), metadata=coalesce(?5, metadata), \
             changed_ms=?2 WHERE {ALIVE} AND id=?3"
        );
        let values = params![owner, now_ms, id, title, metadata];
        Ok(self.db()?.prepare_cached(&sql)?.execute(values)? == 1)
    }

    /// Ends a session: it is read, and takes no more messages. False if there is no such session
    /// or it had ended.
    pub fn end_session(&self, id: &str, owner: &str, now_ms: i64) -> Result<bool> {
        let sql = format!(
            "UPDATE session SET ended_ms=?2, changed_ms=?2 \
             WHERE {ALIVE} AND id=?3 AND ended_ms IS NULL"
        );
        Ok(self.db()?.prepare_cached(&sql)?.execute(params![owner, now_ms, id])? == 1)
    }

    /// Takes a session away with its messages; false if there is no such session.
    pub fn remove_session(&self, id: &str, owner: &str, now_ms: i64) -> Result<bool> {
        let sql = format!("DELETE FROM session WHERE {ALIVE} AND id=?3");
        Ok(self.db()?.prepare_cached(&sql)?.execute(params![owner, now_ms, id])? == 1)
    }

    /// Begins a session `to` with the messages of another up to and with number `upto_seq`, of all
    /// if none is given; it is open, with the title, the metadata and the life time of its parent.
    /// None if there is no such session.
    ///
    /// # Errors
    /// `Argument` for a message that is not there, `Conflict` when `to` is taken or the owner has
    /// [`SESSIONS_MAX`].
    pub fn fork_session(
        &self,
        id: &str,
        owner: &str,
        to: &str,
        upto_seq: Option<i64>,
        now_ms: i64,
    ) -> Result<Option<Session>> {
        bound::id(to)?;
        self.write(|tx| {
            let Some(parent) = find(tx, id, owner, now_ms)? else { return Ok(None) };
            let n = parent.n_messages;
            let upto = upto_seq.unwrap_or(n);
            if !(0..=n).contains(&upto) {
                return Err(Error::Argument(format!(
                    "session `{id}` has no message {upto}, they go from 1 to {n}"
                )));
            }
            room(tx, owner, SESSIONS_MAX)?;
            let expires_ms = parent.expires_ms.map(|at| now_ms.saturating_add(at - parent.made_ms));
            let sql = "INSERT OR IGNORE INTO session(id, owner, title, metadata, parent, \
                       parent_seq, n_messages, made_ms, changed_ms, expires_ms) \
                       VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?7, ?8)";
            let done = tx.prepare_cached(sql)?.execute(params![
                to,
                owner,
                parent.title,
                parent.metadata,
                id,
                upto,
                now_ms,
                expires_ms
            ])?;
            if done == 0 {
                return Err(taken(to));
            }
            let sql = "INSERT INTO message(session, seq, role, author, text, refs, at_ms) \
                       SELECT ?1, seq, role, author, text, refs, at_ms FROM message \
                       WHERE session=?2 AND seq<=?3 ORDER BY seq";
            tx.prepare_cached(sql)?.execute(params![to, id, upto])?;
            Ok(Some(tx.query_row(&format!("{SESSION} WHERE id=?"), [to], row)?))
        })
    }

    /// How many messages a session has; none if there is no such session.
    pub fn session_messages(&self, id: &str) -> Result<Option<u64>> {
        let db = self.db()?;
        let mut statement = db.prepare_cached("SELECT n_messages FROM session WHERE id=?")?;
        let n: Option<i64> = statement.query_row([id], |r| r.get(0)).optional()?;
        Ok(n.map(|n| n as u64))
    }

    /// Takes away sessions whose time is over, at most 1,000; says how many. Each is a transaction
    /// of its own.
    pub fn sweep_sessions(&self, now_ms: i64) -> Result<usize> {
        let sql = "DELETE FROM session WHERE id=(SELECT id FROM session \
                   WHERE expires_ms IS NOT NULL AND expires_ms<=? LIMIT 1)";
        for n in 0..SWEPT_MAX {
            if self.db()?.prepare_cached(sql)?.execute([now_ms])? == 0 {
                return Ok(n);
            }
        }
        Ok(SWEPT_MAX)
    }

    /// An owner's sessions and messages, or everybody's if none is given.
    pub fn session_counts(&self, owner: Option<&str>, now_ms: i64) -> Result<SessionCounts> {
        let sql = "SELECT count(*), count(ended_ms), coalesce(sum(n_messages), 0) FROM session \
                   WHERE (?1 IS NULL OR owner=?1) AND (expires_ms IS NULL OR expires_ms>?2)";
        let db = self.db()?;
        let (all, ended, messages): (u32, u32, i64) = db
            .prepare_cached(sql)?
            .query_row(params![owner, now_ms], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        let open = (all - ended) as usize;
        Ok(SessionCounts { open, ended: ended as usize, messages: messages as usize })
    }

    /// Where a session was left and what becomes of it. Completeness is the share of the user's
    /// messages that an assistant or a model answered before the user's next one. Coherence is 1
    /// minus the share of the bad ones among the last [`COHERENCE_LAST`] of its ended jobs and its
    /// turns together, where a job is bad that failed or was cancelled, and a turn is bad that the
    /// user's next message interrupted before any answer. None if there is no such session.
    pub fn resumption(&self, id: &str, owner: &str, now_ms: i64) -> Result<Option<Resumption>> {
        let db = self.db()?;
        let tx = db.unchecked_transaction()?;
        let Some(session) = find(&tx, id, owner, now_ms)? else { return Ok(None) };
        let sql = "SELECT count(*), coalesce(sum(answered), 0) FROM turn WHERE session=?";
        let count = |r: &Row| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?));
        let (turns, answered) = tx.prepare_cached(sql)?.query_row([id], count)?;
        let sql = "SELECT count(*), coalesce(sum(bad), 0) FROM (SELECT bad FROM (\
                   SELECT at_ms AS at, NOT answered AND NOT last AS bad FROM turn \
                   WHERE session=?1 UNION ALL SELECT changed_ms, state<>'succeeded' FROM job \
                   WHERE session=?1 AND state IN ('succeeded', 'failed', 'cancelled')) \
                   ORDER BY at DESC LIMIT ?2)";
        let values = params![id, COHERENCE_LAST as i64];
        let (tried, bad) = tx.prepare_cached(sql)?.query_row(values, count)?;
        let sql = "SELECT count(*) FROM job WHERE session=? \
                   AND state IN ('pending', 'running', 'waiting')";
        let open: i64 = tx.prepare_cached(sql)?.query_row([id], |r| r.get(0))?;
        let share = |part: i64, all: i64| if all == 0 { 1.0 } else { part as f64 / all as f64 };
        let of = Interruption {
            elapsed_ms: now_ms.saturating_sub(session.changed_ms),
            completeness: share(answered, turns),
            coherence: share(tried - bad, tried),
        };
        let confidence = resume_confidence(&of);
        let recovery = match session.ended_ms {
            Some(_) => Recovery::Archive,
            None => recovery(confidence),
        };
        Ok(Some(Resumption {
            session,
            of,
            confidence,
            recovery,
            n_unanswered: (turns - answered) as usize,
            n_open_jobs: open as usize,
        }))
    }
}

fn taken(id: &str) -> Error {
    Error::Conflict(format!("session `{id}` exists already; use a new id"))
}
