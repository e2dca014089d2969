//! Trust records: what was voted on a question, and what a person later said was right.
//!
//! A record holds everything that its score is recomputed from. Knows no formula: fits are the
//! council's, their results come back as snapshots. Invariant: at most [`TRUST_MAX`] records, and
//! one that somebody told about outlives every one that nobody did.

use crate::{Error, Result, Store, bound};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

/// The record stands last: fits read the other columns of every row, and what is long lies on pages
/// that they then need not touch.
pub(crate) const SCHEMA: &str = "
CREATE TABLE trust(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, kind TEXT NOT NULL,
  domain TEXT NOT NULL, n_clusters INTEGER NOT NULL, options INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, told INTEGER, told_by TEXT, told_ms INTEGER,
  reply_hash TEXT NOT NULL, votes TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX trust_kind ON trust(kind, domain, at_ms);
CREATE INDEX trust_kind_time ON trust(kind, at_ms);
CREATE INDEX trust_told ON trust(told IS NOT NULL, at_ms);
CREATE INDEX trust_told_kind ON trust(kind, domain) WHERE told IS NOT NULL;
CREATE TABLE learned(
  kind TEXT NOT NULL, domain TEXT NOT NULL, json TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY(kind, domain));
";

/// Records that are kept.
pub const TRUST_MAX: usize = 100_000;
/// A record, in bytes.
pub const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Votes of one record.
pub const VOTES_MAX: usize = 256;
/// Options of a choice.
pub const OPTIONS_MAX: usize = 10_000;
/// A snapshot of what was learned, in bytes.
pub const LEARNED_BYTES_MAX: usize = 1024 * 1024;
/// A model's name, in bytes.
const MODEL_BYTES_MAX: usize = 256;
/// Stands in the table for "none of the clusters".
const NONE: i64 = -1;

/// Whose answer fell into which cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRow {
    /// A model's name.
    pub model: String,
    /// Counted from 0.
    pub cluster: usize,
}

/// A record to keep.
pub struct NewTrust<'a> {
    /// Sortable, unguessable.
    pub id: &'a str,
    /// Who asked.
    pub owner: &'a str,
    /// The sort of answer.
    pub kind: &'a str,
    /// What the question is about; may be empty.
    pub domain: &'a str,
    /// JSON: everything that the score is recomputed from.
    pub record: &'a str,
    /// Hash of the reply that carried the score.
    pub reply_hash: &'a str,
    /// One for each model that answered.
    pub votes: &'a [VoteRow],
    /// How many clusters the votes fall into.
    pub n_clusters: usize,
    /// Of a choice, 0 for none.
    pub options: usize,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// What somebody said was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The right cluster, or none of them.
    pub cluster: Option<usize>,
    /// Who said so.
    pub by: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Id.
    pub id: String,
    /// Who asked.
    pub owner: String,
    /// The sort of answer.
    pub kind: String,
    /// What the question was about.
    pub domain: String,
    /// JSON.
    pub record: String,
    /// Hash of the reply that carried the score.
    pub reply_hash: String,
    /// One for each model that answered.
    pub votes: Vec<VoteRow>,
    /// How many clusters the votes fall into.
    pub n_clusters: usize,
    /// Of a choice, 0 for none.
    pub options: usize,
    /// Made, milliseconds since 1970.
    pub at_ms: i64,
    /// The last word about it.
    pub told: Option<Told>,
}

/// A question as fits see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRow {
    /// One for each model that answered.
    pub votes: Vec<VoteRow>,
    /// How many clusters the votes fall into.
    pub n_clusters: usize,
    /// Of a choice, 0 for none.
    pub options: usize,
    /// The cluster that is right, `Some(None)` for none of them, if somebody told.
    pub told: Option<Option<usize>>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// A snapshot of what was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// JSON.
    pub json: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

impl NewTrust<'_> {
    fn check(&self) -> Result<()> {
        bound::id(self.id)?;
        bound::text("owner", self.owner, bound::OWNER_BYTES_MAX)?;
        bound::name("kind", self.kind, bound::WORD_BYTES_MAX)?;
        bound::text("domain", self.domain, bound::WORD_BYTES_MAX)?;
        bound::json("record", self.record, RECORD_BYTES_MAX)?;
        bound::text("reply_hash", self.reply_hash, bound::WORD_BYTES_MAX)?;
        let most = |what: &str, n: usize, max: usize| match n > max {
            true => Err(Error::Argument(format!("`{what}` is {n}, the most is {max}; ask fewer"))),
            false => Ok(()),
        };
        most("votes", self.votes.len(), VOTES_MAX)?;
        most("n_clusters", self.n_clusters, VOTES_MAX)?;
        most("options", self.options, OPTIONS_MAX)?;
        for vote in self.votes {
            bound::name("model", &vote.model, MODEL_BYTES_MAX)?;
            known_cluster(vote.cluster, self.n_clusters)?;
        }
        Ok(())
    }
}

fn known_cluster(cluster: usize, n_clusters: usize) -> Result<()> {
    if cluster < n_clusters {
        return Ok(());
    }
    Err(Error::Argument(format!(
        "cluster {cluster} is none of the {n_clusters}; they are counted from 0"
    )))
}

fn told_of(value: Option<i64>) -> Option<Option<usize>> {
    value.map(|cluster| usize::try_from(cluster).ok())
}

fn count_of(row: &Row, at: usize) -> rusqlite::Result<usize> {
    Ok(row.get::<_, u32>(at)? as usize)
}

fn votes_of(row: &Row, at: usize) -> rusqlite::Result<Vec<VoteRow>> {
    let text: String = row.get(at)?;
    let bad = |error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    };
    serde_json::from_str(&text).map_err(bad)
}

fn trust_of(row: &Row) -> rusqlite::Result<Trust> {
    let told = told_of(row.get(10)?);
    let by: Option<String> = row.get(11)?;
    let at_ms: Option<i64> = row.get(12)?;
    Ok(Trust {
        id: row.get(0)?,
        owner: row.get(1)?,
        kind: row.get(2)?,
        domain: row.get(3)?,
        record: row.get(4)?,
        reply_hash: row.get(5)?,
        votes: votes_of(row, 6)?,
        n_clusters: count_of(row, 7)?,
        options: count_of(row, 8)?,
        at_ms: row.get(9)?,
        told: told.map(|cluster| Told {
            cluster,
            by: by.unwrap_or_default(),
            at_ms: at_ms.unwrap_or_default(),
        }),
    })
}

fn past_of(row: &Row) -> rusqlite::Result<PastRow> {
    Ok(PastRow {
        votes: votes_of(row, 0)?,
        n_clusters: count_of(row, 1)?,
        options: count_of(row, 2)?,
        told: told_of(row.get(3)?),
        at_ms: row.get(4)?,
    })
}

/// Drops what is over `max`: the oldest that nobody told about, then the oldest.
fn sweep(tx: &Transaction, max: usize) -> Result<()> {
    let count = "SELECT count(*) FROM trust";
    let n: i64 = tx.prepare_cached(count)?.query_row([], |r| r.get(0))?;
    let over = n - max as i64;
    if over > 0 {
        // The order is that of an index: nothing is sorted.
        let sql = "DELETE FROM trust WHERE n IN \
                   (SELECT n FROM trust ORDER BY told IS NOT NULL, at_ms, n LIMIT ?)";
        tx.prepare_cached(sql)?.execute([over])?;
    }
    Ok(())
}

impl Store {
    /// Keeps a record. The same one again changes nothing, so that a resumed job may repeat it.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds, `Conflict` when the id has another record.
    pub fn put_trust(&self, new: &NewTrust) -> Result<()> {
        self.put_trust_of(new, TRUST_MAX)
    }

    fn put_trust_of(&self, new: &NewTrust, max: usize) -> Result<()> {
        new.check()?;
        let votes = serde_json::to_string(new.votes)
            .map_err(|error| Error::Argument(format!("`votes` are no JSON: {error}")))?;
        self.write(|tx| {
            let done = tx
                .prepare_cached(
                    "INSERT OR IGNORE INTO trust(id, owner, kind, domain, record, reply_hash, \
                     votes, n_clusters, options, at_ms) VALUES(?,?,?,?,?,?,?,?,?,?)",
                )?
                .execute(params![
                    new.id,
                    new.owner,
                    new.kind,
                    new.domain,
                    new.record,
                    new.reply_hash,
                    votes,
                    new.n_clusters as i64,
                    new.options as i64,
                    new.now_ms
                ])?;
            if done == 1 {
                return sweep(tx, max);
            }
            let sql = "SELECT 1 FROM trust WHERE id=? AND owner=? AND record=? AND votes=?";
            if tx.prepare_cached(sql)?.exists(params![new.id, new.owner, new.record, votes])? {
                return Ok(());
            }
            Err(Error::Conflict(format!(
                "trust record `{}` exists with another content; use a new id",
                new.id
            )))
        })
    }

    /// A record by its id, whoever asked: whether a caller may see it is the caller's to check.
    pub fn trust(&self, id: &str) -> Result<Option<Trust>> {
        let sql = "SELECT id, owner, kind, domain, record, reply_hash, votes, n_clusters, options, \
                   at_ms, told, told_by, told_ms FROM trust WHERE id=?";
        let db = self.db()?;
        let mut statement = db.prepare_cached(sql)?;
        Ok(statement.query_row([id], trust_of).optional()?)
    }

    /// An owner's records, newest first: id, record, whether somebody told about it, milliseconds
    /// since 1970.
    ///
    /// # Errors
    /// `Argument` for a limit over [`crate::PAGE_MAX`].
    pub fn trusts_of(&self, owner: &str, limit: usize) -> Result<Vec<(String, String, bool, i64)>> {
        let limit = bound::page(limit, bound::PAGE_MAX)?;
        let sql = "SELECT id, record, told IS NOT NULL, at_ms FROM trust WHERE owner=? \
                   ORDER BY at_ms DESC, id DESC LIMIT ?";
        let db = self.db()?;
        let mut statement = db.prepare_cached(sql)?;
        let row = |r: &Row| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?));
        let rows = statement.query_map(params![owner, limit], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes which cluster was right, or that none of them was; a later word replaces an earlier
    /// one. False if there is no such record.
    ///
    /// # Errors
    /// `Argument` for a cluster that the record does not have.
    pub fn tell(&self, id: &str, told: Option<usize>, by: &str, now_ms: i64) -> Result<bool> {
        bound::text("by", by, bound::OWNER_BYTES_MAX)?;
        self.write(|tx| {
            let sql = "SELECT n_clusters FROM trust WHERE id=?";
            let n: Option<usize> =
                tx.prepare_cached(sql)?.query_row([id], |r| count_of(r, 0)).optional()?;
            let Some(n) = n else { return Ok(false) };
            if let Some(cluster) = told {
                known_cluster(cluster, n)?;
            }
            let told = told.map_or(NONE, |cluster| cluster as i64);
            let sql = "UPDATE trust SET told=?, told_by=?, told_ms=? WHERE id=?";
            Ok(tx.prepare_cached(sql)?.execute(params![told, by, now_ms, id])? == 1)
        })
    }

    /// Questions of a kind, those that somebody told about first, then newest first; of every
    /// domain if none is given.
    ///
    /// # Errors
    /// `Argument` for a limit over [`TRUST_MAX`].
    pub fn past(&self, kind: &str, domain: Option<&str>, limit: usize) -> Result<Vec<PastRow>> {
        let limit = bound::page(limit, TRUST_MAX)?;
        let columns = "SELECT votes, n_clusters, options, told, at_ms FROM trust WHERE kind=?";
        let order = "ORDER BY told IS NULL, at_ms DESC, n DESC LIMIT ?";
        let db = self.db()?;
        let rows: rusqlite::Result<Vec<PastRow>> = match domain {
            Some(domain) => db
                .prepare_cached(&format!("{columns} AND domain=? {order}"))?
                .query_map(params![kind, domain, limit], past_of)?
                .collect(),
            None => db
                .prepare_cached(&format!("{columns} {order}"))?
                .query_map(params![kind, limit], past_of)?
                .collect(),
        };
        Ok(rows?)
    }

    /// How many questions of a kind somebody told about; of every domain if none is given.
    pub fn told_count(&self, kind: &str, domain: Option<&str>) -> Result<usize> {
        // Named, because the planner takes the index of every record and reads them all.
        let sql = "SELECT count(*) FROM trust INDEXED BY trust_told_kind \
                   WHERE told IS NOT NULL AND kind=?1 AND (?2 IS NULL OR domain=?2)";
        let db = self.db()?;
        Ok(db.prepare_cached(sql)?.query_row(params![kind, domain], |r| count_of(r, 0))?)
    }

    /// What was last learned of a kind and a domain; the domain may be empty.
    pub fn learned(&self, kind: &str, domain: &str) -> Result<Option<Learned>> {
        let sql = "SELECT json, at_ms FROM learned WHERE kind=? AND domain=?";
        let row = |r: &Row| Ok(Learned { json: r.get(0)?, at_ms: r.get(1)? });
        let db = self.db()?;
        Ok(db.prepare_cached(sql)?.query_row([kind, domain], row).optional()?)
    }

    /// Keeps what was learned; an older snapshot than the one that is there is left out, and then
    /// it says false: of two processes that learn, the later one holds.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn put_learned(&self, kind: &str, domain: &str, json: &str, now_ms: i64) -> Result<bool> {
        bound::name("kind", kind, bound::WORD_BYTES_MAX)?;
        bound::text("domain", domain, bound::WORD_BYTES_MAX)?;
        bound::json("learned", json, LEARNED_BYTES_MAX)?;
        let sql = "INSERT INTO learned(kind, domain, json, at_ms) VALUES(?,?,?,?) \
                   ON CONFLICT(kind, domain) DO UPDATE SET json=excluded.json, \
                   at_ms=excluded.at_ms WHERE excluded.at_ms >= learned.at_ms";
        Ok(self.db()?.prepare_cached(sql)?.execute(params![kind, domain, json, now_ms])? == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(clusters: &[usize]) -> Vec<VoteRow> {
        let vote = |(at, cluster): (usize, &usize)| VoteRow {
            model: format!("model-{at}"),
            cluster: *cluster,
        };
        clusters.iter().enumerate().map(vote).collect()
    }

    fn new<'a>(id: &'a str, votes: &'a [VoteRow], now_ms: i64) -> NewTrust<'a> {
        NewTrust {
            id,
            owner: "ada",
            kind: "choice",
            domain: "math",
            record: "{\"v\":1}",
            reply_hash: "b3",
            votes,
            n_clusters: 2,
            options: 4,
            now_ms,
        }
    }

    #[test]
    fn a_record_is_kept_and_told_about() {
        let store = Store::memory().unwrap();
        let votes = votes(&[0, 0, 1]);
        store.put_trust(&new("t_1", &votes, 5)).unwrap();
        store.put_trust(&new("t_1", &votes, 6)).unwrap();
        let other = NewTrust { record: "{}", ..new("t_1", &votes, 6) };
        assert!(matches!(store.put_trust(&other), Err(Error::Conflict(_))));
        let known = store.trust("t_1").unwrap().unwrap();
        assert_eq!((known.votes.len(), known.at_ms, known.told), (3, 5, None));
        assert!(store.tell("t_1", Some(1), "ada", 7).unwrap());
        assert!(store.tell("t_1", None, "bo", 8).unwrap());
        let told = Some(Told { cluster: None, by: "bo".into(), at_ms: 8 });
        assert_eq!(store.trust("t_1").unwrap().unwrap().told, told);
        assert!(!store.tell("t_2", None, "bo", 8).unwrap());
        assert!(matches!(store.tell("t_1", Some(2), "bo", 9), Err(Error::Argument(_))));
        assert_eq!(store.trust("t_2").unwrap(), None);
    }

    #[test]
    fn the_past_has_what_was_told_first_then_what_is_new() {
        let store = Store::memory().unwrap();
        let votes = votes(&[0, 1]);
        for (at, domain) in ["math", "law", "math"].into_iter().enumerate() {
            let id = format!("t_{at}");
            store.put_trust(&NewTrust { domain, ..new(&id, &votes, at as i64) }).unwrap();
        }
        store.put_trust(&NewTrust { kind: "number", ..new("t_9", &votes, 9) }).unwrap();
        store.tell("t_0", None, "ada", 9).unwrap();
        store.tell("t_1", Some(1), "ada", 9).unwrap();
        let at = |domain| -> Vec<(i64, Option<Option<usize>>)> {
            let rows = store.past("choice", domain, 10).unwrap();
            rows.into_iter().map(|row| (row.at_ms, row.told)).collect()
        };
        assert_eq!(at(None), [(1, Some(Some(1))), (0, Some(None)), (2, None)]);
        assert_eq!(at(Some("math")), [(0, Some(None)), (2, None)]);
        assert_eq!(store.past("choice", None, 1).unwrap().len(), 1);
        assert!(store.past("choice", None, TRUST_MAX + 1).is_err());
        assert_eq!(store.told_count("choice", None).unwrap(), 2);
        assert_eq!(store.told_count("choice", Some("math")).unwrap(), 1);
    }

    #[test]
    fn told_records_outlive_others() {
        let store = Store::memory().unwrap();
        let votes = votes(&[0]);
        for n in 0..4 {
            store.put_trust_of(&new(&format!("t_{n}"), &votes, n), 4).unwrap();
        }
        store.tell("t_0", Some(0), "ada", 9).unwrap();
        store.tell("t_2", Some(0), "ada", 9).unwrap();
        let kept = || -> Vec<String> {
            let known = (0..8).map(|n| format!("t_{n}"));
            known.filter(|id| store.trust(id).unwrap().is_some()).collect()
        };
        store.put_trust_of(&new("t_4", &votes, 4), 4).unwrap();
        assert_eq!(kept(), ["t_0", "t_2", "t_3", "t_4"]);
        store.put_trust_of(&new("t_5", &votes, 5), 2).unwrap();
        assert_eq!(kept(), ["t_0", "t_2"]);
        store.put_trust_of(&new("t_6", &votes, 6), 1).unwrap();
        assert_eq!(kept(), ["t_2"]);
    }

    #[test]
    fn records_out_of_bounds_are_refused() {
        let store = Store::memory().unwrap();
        let few = votes(&[0, 1]);
        let (far, many) = (votes(&[2]), votes(&[0; VOTES_MAX + 1]));
        let long = format!("\"{}\"", "x".repeat(RECORD_BYTES_MAX));
        for bad in [
            NewTrust { id: "", ..new("t", &few, 1) },
            NewTrust { record: "{", ..new("t", &few, 1) },
            NewTrust { record: &long, ..new("t", &few, 1) },
            new("t", &far, 1),
            new("t", &many, 1),
            NewTrust { options: OPTIONS_MAX + 1, ..new("t", &few, 1) },
        ] {
            assert!(matches!(store.put_trust(&bad), Err(Error::Argument(_))));
        }
        assert_eq!(store.past("choice", None, 9).unwrap(), []);
    }

    #[test]
    fn the_later_snapshot_holds() {
        let store = Store::memory().unwrap();
        assert_eq!(store.learned("choice", "").unwrap(), None);
        assert!(store.put_learned("choice", "", "{\"n\":1}", 5).unwrap());
        assert!(!store.put_learned("choice", "", "{\"n\":0}", 4).unwrap());
        assert!(store.put_learned("choice", "law", "{}", 4).unwrap());
        let known = store.learned("choice", "").unwrap().unwrap();
        assert_eq!(known, Learned { json: "{\"n\":1}".into(), at_ms: 5 });
        assert!(store.put_learned("choice", "", "no", 9).is_err());
    }
}
