//! Messages of sessions: appended, read in order, searched by their words, fitted into a budget.
//!
//! Knows sessions only through `session.rs`, which says whose they are. Invariant: the messages of
//! a session are numbered from 1 without gaps, and what was said is never changed.

use crate::resume::{Fit, Rebuilt};
use crate::session::find;
use crate::{Error, Result, Store, bound};
use rusqlite::{OptionalExtension, Row, params};

/// The view `turn` is each message of a user: whether an answer came before the user's next one,
/// and whether it is the last. Its inner queries stop at the first row: a session of n messages
/// costs n steps, not n squared.
pub(crate) const SCHEMA: &str = "
CREATE TABLE message(
  n INTEGER PRIMARY KEY, session TEXT NOT NULL, seq INTEGER NOT NULL, role TEXT NOT NULL,
  author TEXT NOT NULL, text TEXT NOT NULL, refs TEXT, key TEXT, at_ms INTEGER NOT NULL,
  UNIQUE(session, seq));
CREATE UNIQUE INDEX message_key ON message(session, key) WHERE key IS NOT NULL;
CREATE VIRTUAL TABLE message_word USING fts5(
  text, content='message', content_rowid='n', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER message_said AFTER INSERT ON message BEGIN
  INSERT INTO message_word(rowid, text) VALUES(new.n, new.text);
END;
CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
  INSERT INTO message_word(message_word, rowid, text) VALUES('delete', old.n, old.text);
END;
CREATE VIEW turn AS
SELECT m.session AS session, m.seq AS seq, m.at_ms AS at_ms,
  coalesce((SELECT a.role<>'user' FROM message a WHERE a.session=m.session AND a.seq>m.seq
    AND a.role IN ('user', 'assistant', 'model') ORDER BY a.seq LIMIT 1), 0) AS answered,
  NOT EXISTS(SELECT 1 FROM message u
    WHERE u.session=m.session AND u.seq>m.seq AND u.role='user') AS last
FROM message m WHERE m.role='user';
";

/// A message's text, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// A message's references, in bytes.
pub const REFS_BYTES_MAX: usize = 16 * 1024;
/// Messages of one session.
pub const MESSAGES_MAX: usize = 10_000;
/// What is searched for, in bytes.
pub const QUERY_BYTES_MAX: usize = 4_096;
/// Words of a query that count; each is at most so many bytes.
const WORDS_MAX: usize = 32;
const SEARCHED_WORD_BYTES_MAX: usize = 64;
/// Hits of one search.
pub const HITS_MAX: usize = 100;
/// Words of a hit's snippet.
const SNIPPET_WORDS: i64 = 32;
/// Messages that a rebuild reads at once.
const REBUILT_PAGE: usize = 32;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The council, or whoever answers for it.
    Assistant,
    /// One model.
    Model,
    /// The program.
    System,
    /// A tool's reply.
    Tool,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::User, Role::Assistant, Role::Model, Role::System, Role::Tool];

    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Model => "model",
            Role::System => "system",
            Role::Tool => "tool",
        }
    }

    /// The role of this name.
    ///
    /// # Errors
    /// `Argument`, listing the roles there are.
    pub fn parse(name: &str) -> Result<Self> {
        Role::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| {
            let all = Role::ALL.map(Role::name).join(", ");
            Error::Argument(format!("unknown role `{name}`; there are {all}"))
        })
    }
}

/// A message to append.
pub struct NewMessage<'a> {
    /// Who says it.
    pub role: Role,
    /// A model's or a tool's name; may be empty.
    pub author: &'a str,
    /// What is said.
    pub text: &'a str,
    /// JSON, such as the id of a trust record.
    pub refs: Option<&'a str>,
    /// The same key twice in a session is the same message.
    pub key: Option<&'a str>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the session, from 1.
    pub seq: i64,
    /// Who says it.
    pub role: Role,
    /// A model's or a tool's name; may be empty.
    pub author: String,
    /// What is said.
    pub text: String,
    /// JSON.
    pub refs: Option<String>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHit {
    /// Where.
    pub session: String,
    /// That session's title.
    pub title: String,
    /// Its number there.
    pub seq: i64,
    /// Who said it.
    pub role: Role,
    /// A model's or a tool's name.
    pub author: String,
    /// The part of it where the words stand.
    pub snippet: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MessageHits {
    /// Best first.
    pub hits: Vec<MessageHit>,
    /// Each hit has every word of the query; if not, none had, and these have some of them.
    pub every_word: bool,
}

const MESSAGE: &str = "SELECT seq, role, author, text, refs, at_ms FROM message";

fn role_of(row: &Row, at: usize) -> rusqlite::Result<Role> {
    let name: String = row.get(at)?;
    let bad = |error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    };
    Role::parse(&name).map_err(bad)
}

fn row(row: &Row) -> rusqlite::Result<Message> {
    Ok(Message {
        seq: row.get(0)?,
        role: role_of(row, 1)?,
        author: row.get(2)?,
        text: row.get(3)?,
        refs: row.get(4)?,
        at_ms: row.get(5)?,
    })
}

/// The words of any text, each between quotation marks: nothing in it is read as an operator.
fn quoted_words(query: &str) -> Vec<String> {
    let words = query.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| (1..=SEARCHED_WORD_BYTES_MAX).contains(&word.len()));
    words.take(WORDS_MAX).map(|word| format!("\"{word}\"")).collect()
}

impl NewMessage<'_> {
    fn check(&self) -> Result<()> {
        bound::text("author", self.author, bound::OWNER_BYTES_MAX)?;
        bound::text("text", self.text, MESSAGE_BYTES_MAX)?;
        if let Some(refs) = self.refs {
            bound::json("refs", refs, REFS_BYTES_MAX)?;
        }
        self.key.map_or(Ok(()), |key| bound::name("key", key, bound::ID_BYTES_MAX))
    }
}

impl Store {
    /// Appends a message and gives its number; that of the one with the same key if there is one.
    /// None if there is no such session.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds, `Conflict` when the session has ended, has
    /// [`MESSAGES_MAX`], or the key belongs to another message.
    pub fn append(&self, session: &str, owner: &str, new: &NewMessage) -> Result<Option<i64>> {
        new.check()?;
        self.write(|tx| {
            let Some(known) = find(tx, session, owner, new.now_ms)? else { return Ok(None) };
            if let Some(key) = new.key {
                let sql =
                    "SELECT seq, role=?3 AND text=?4 FROM message WHERE session=?1 AND key=?2";
                let values = params![session, key, new.role.name(), new.text];
                let found: Option<(i64, bool)> = tx
                    .prepare_cached(sql)?
                    .query_row(values, |r| Ok((r.get(0)?, r.get(1)?)))
                    .optional()?;
                match found {
                    Some((seq, true)) => return Ok(Some(seq)),
                    Some(_) => return Err(refused("has another message with this key", session)),
                    None => {}
                }
            }
            if known.ended_ms.is_some() {
                return Err(refused("has ended; fork it to go on", session));
            }
            if known.n_messages >= MESSAGES_MAX as i64 {
                let full = format!("has {MESSAGES_MAX} messages, the most; fork it at one of them");
                return Err(refused(&full, session));
            }
            let seq = known.n_messages + 1;
            let sql = "INSERT INTO message(session, seq, role, author, text, refs, key, at_ms) \
                       VALUES(?,?,?,?,?,?,?,?)";
            let (role, at_ms) = (new.role.name(), new.now_ms);
            let values =
                params![session, seq, role, new.author, new.text, new.refs, new.key, at_ms];
            tx.prepare_cached(sql)?.execute(values)?;
            let sql = "UPDATE session SET n_messages=?, changed_ms=? WHERE id=?";
            tx.prepare_cached(sql)?.execute(params![seq, new.now_ms, session])?;
            Ok(Some(seq))
        })
    }

    /// Messages after number `after_seq` (0 for all), oldest first. None if there is no such
    /// session.
    ///
    /// # Errors
    /// `Argument` for a limit over [`crate::PAGE_MAX`].
    pub fn history(
        &self,
        session: &str,
        owner: &str,
        after_seq: i64,
        limit: usize,
        now_ms: i64,
    ) -> Result<Option<Vec<Message>>> {
        let limit = bound::page(limit, bound::PAGE_MAX)?;
        let db = self.db()?;
        if find(&db, session, owner, now_ms)?.is_none() {
            return Ok(None);
        }
        let sql = format!("{MESSAGE} WHERE session=? AND seq>? ORDER BY seq LIMIT ?");
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![session, after_seq, limit], row)?;
        Ok(Some(rows.collect::<rusqlite::Result<_>>()?))
    }

    /// Messages of an owner's sessions, or of one of them, in which the words of a query stand:
    /// first all of them, and if no message has all, some. The query is any text; nothing in it is
    /// an operator.
    ///
    /// # Errors
    /// `Argument` for a query without a word or out of its bounds.
    pub fn search_messages(
        &self,
        owner: &str,
        session: Option<&str>,
        query: &str,
        limit: usize,
        now_ms: i64,
    ) -> Result<MessageHits> {
        bound::text("query", query, QUERY_BYTES_MAX)?;
        let limit = bound::page(limit, HITS_MAX)?;
        let words = quoted_words(query);
        if words.is_empty() {
            let error = "`query` has no word of letters or digits; give one".to_owned();
            return Err(Error::Argument(error));
        }
        let find = |expression: String| -> Result<Vec<MessageHit>> {
            // The inner query ranks, the outer one cuts snippets: of a page, not of every match.
            let sql = "SELECT h.session, h.title, h.seq, h.role, h.author, \
                       snippet(message_word, 0, '', '', '…', ?1), h.at_ms FROM (\
                         SELECT m.n AS n, m.session AS session, s.title AS title, m.seq AS seq, \
                         m.role AS role, m.author AS author, m.at_ms AS at_ms, w.rank AS grade \
                         FROM message_word w JOIN message m ON m.n=w.rowid \
                         JOIN session s ON s.id=m.session \
                         WHERE w.message_word MATCH ?2 AND s.owner=?3 \
                         AND (s.expires_ms IS NULL OR s.expires_ms>?4) \
                         AND (?5 IS NULL OR s.id=?5) ORDER BY w.rank, m.n DESC LIMIT ?6) h \
                       JOIN message_word ON message_word.rowid=h.n \
                       WHERE message_word MATCH ?2 ORDER BY h.grade, h.n DESC";
            let hit = |r: &Row| {
                Ok(MessageHit {
                    session: r.get(0)?,
                    title: r.get(1)?,
                    seq: r.get(2)?,
                    role: role_of(r, 3)?,
                    author: r.get(4)?,
                    snippet: r.get(5)?,
                    at_ms: r.get(6)?,
                })
            };
            let db = self.db()?;
            let mut statement = db.prepare_cached(sql)?;
            let values = params![SNIPPET_WORDS, expression, owner, now_ms, session, limit];
            let rows = statement.query_map(values, hit)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        let hits = find(words.join(" AND "))?;
        if !hits.is_empty() || words.len() == 1 {
            return Ok(MessageHits { hits, every_word: true });
        }
        Ok(MessageHits { hits: find(words.join(" OR "))?, every_word: false })
    }

    /// Number of the first message whose key is of `job`: begins with it and a space.
    pub fn first_of(&self, session: &str, job: &str) -> Result<Option<i64>> {
        // A space is the character before `!`.
        let sql = "SELECT min(seq) FROM message WHERE session=? AND key>=? AND key<?";
        let (from, to) = (format!("{job} "), format!("{job}!"));
        let values = params![session, from, to];
        let db = self.db()?;
        Ok(db.prepare_cached(sql)?.query_row(values, |r| r.get(0))?)
    }

    /// What a model is told of a session: the newest messages that fit into `budget` tokens, as
    /// `count` counts them, oldest first, with a line about how many came before. None if there is
    /// no such session.
    pub fn rebuild(
        &self,
        session: &str,
        owner: &str,
        budget: usize,
        count: &dyn Fn(&str) -> usize,
        now_ms: i64,
    ) -> Result<Option<Rebuilt>> {
        self.rebuild_before(i64::MAX, session, owner, budget, count, now_ms)
    }

    /// The same of the messages before the one of this number.
    pub fn rebuild_before(
        &self,
        seq: i64,
        session: &str,
        owner: &str,
        budget: usize,
        count: &dyn Fn(&str) -> usize,
        now_ms: i64,
    ) -> Result<Option<Rebuilt>> {
        let Some(known) = self.session(session, owner, now_ms)? else { return Ok(None) };
        // Messages are never changed, so those up to the last one that was known are a snapshot;
        // pages, because counting takes time in which others want the database.
        let mut before = seq.clamp(1, known.n_messages + 1);
        let mut fit = Fit::new(before as usize - 1, budget, count);
        loop {
            let sql = format!("{MESSAGE} WHERE session=? AND seq<? ORDER BY seq DESC LIMIT ?");
            let page: Vec<Message> = {
                let db = self.db()?;
                let mut statement = db.prepare_cached(&sql)?;
                let values = params![session, before, REBUILT_PAGE as i64];
                let rows = statement.query_map(values, row)?;
                rows.collect::<rusqlite::Result<_>>()?
            };
            let Some(last) = page.last() else { break };
            before = last.seq;
            if !page.into_iter().all(|message| fit.take(message)) {
                break;
            }
        }
        Ok(Some(fit.rebuilt()))
    }
}

fn refused(why: &str, session: &str) -> Error {
    Error::Conflict(format!("session `{session}` {why}"))
}
