//! The ledger: who did what with which outcome, in a chain of hashes.
//!
//! Each row carries the hash of the one before it and its own over that and its fields, so that a
//! row which was changed, taken out or put in later is found. A chain whose end was cut off is
//! whole: note [`Checked::head`] elsewhere to find that too. Invariant: no content is stored, only
//! hashes of it; rows are never changed.

use crate::{Error, Result, Store, bound};
use rusqlite::{Connection, Row, ToSql, Transaction, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE ledger(
  seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  resource TEXT NOT NULL, outcome TEXT NOT NULL, cost_usd_micros INTEGER, correlation_id TEXT,
  content_hash BLOB, prev_hash BLOB NOT NULL, hash BLOB NOT NULL);
CREATE INDEX ledger_correlation ON ledger(correlation_id) WHERE correlation_id IS NOT NULL;
CREATE TRIGGER ledger_unchanged BEFORE UPDATE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is only appended to'); END;
CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is only appended to'); END;
";

/// Entries of one group.
pub const GROUP_MAX: usize = 1_000;
/// What was acted on, in bytes.
pub const RESOURCE_BYTES_MAX: usize = 1_024;
/// Rows that are checked between two looks at the database.
const CHECKED_ROWS: i64 = 10_000;
/// Stands before what is hashed: a row of another version of the chain never has the same hash.
const DOMAIN: &[u8] = b"synod ledger 1";

/// A blake3 hash.
pub type Hash = [u8; 32];

/// What a chain begins with.
const START: Hash = [0; 32];

/// The hash of a content: what the ledger keeps in its place.
pub fn content_hash(content: &[u8]) -> Hash {
    *blake3::hash(content).as_bytes()
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Who: an account, a token's name.
    pub actor: String,
    /// What: the name of an operation.
    pub action: String,
    /// On what: an id or a path.
    pub resource: String,
    /// How it ended: `ok`, or the code of a fault.
    pub outcome: String,
    /// What it cost, in millionths of a dollar.
    pub cost_usd_micros: Option<u64>,
    /// Of the call.
    pub correlation_id: Option<String>,
    /// Of what was sent or answered; see [`content_hash`].
    pub content_hash: Option<Hash>,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Counted from 1 without gaps.
    pub seq: i64,
    /// What happened.
    pub entry: Entry,
    /// The hash of the row before; zeros for the first.
    pub prev_hash: Hash,
    /// The hash of this row.
    pub hash: Hash,
}

/// What a check of the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were read, up to the break if there is one.
    pub rows: u64,
    /// The first row that is missing, or does not fit to the one before it or to its own hash.
    pub broken_at: Option<i64>,
    /// The last good row: its number and its hash.
    pub head: Option<(i64, Hash)>,
}

/// Which entries; every field that is given must fit.
#[derive(Clone, Debug, Default)]
pub struct LedgerFilter<'a> {
    /// Who.
    pub actor: Option<&'a str>,
    /// What.
    pub action: Option<&'a str>,
    /// On what.
    pub resource: Option<&'a str>,
    /// How it ended.
    pub outcome: Option<&'a str>,
    /// Of which call.
    pub correlation_id: Option<&'a str>,
    /// From then on, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Before then, milliseconds since 1970.
    pub until_ms: Option<i64>,
}

impl Entry {
    /// Whether its texts keep their bounds.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn check(&self) -> Result<()> {
        bound::text("actor", &self.actor, bound::OWNER_BYTES_MAX)?;
        bound::name("action", &self.action, bound::WORD_BYTES_MAX)?;
        bound::text("resource", &self.resource, RESOURCE_BYTES_MAX)?;
        bound::text("outcome", &self.outcome, bound::WORD_BYTES_MAX)?;
        if let Some(id) = &self.correlation_id {
            bound::text("correlation_id", id, bound::ID_BYTES_MAX)?;
        }
        match self.cost_usd_micros {
            Some(cost) if i64::try_from(cost).is_err() => Err(Error::Argument(format!(
                "`cost_usd_micros` is {cost}, the most is {}; check the price",
                i64::MAX
            ))),
            _ => Ok(()),
        }
    }

    /// The hash of this entry as row `seq` after the one with hash `prev`. Every field has its
    /// length before it: no two different rows are the same bytes.
    fn hash(&self, seq: i64, prev: &Hash) -> Hash {
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: Option<&[u8]>| {
            // No field is longer than its bound, so this is no length.
            let n = bytes.map_or(u64::MAX, |b| b.len() as u64);
            hasher.update(&n.to_le_bytes());
            hasher.update(bytes.unwrap_or_default());
        };
        field(Some(DOMAIN));
        field(Some(prev));
        field(Some(&seq.to_le_bytes()));
        field(Some(&self.at_ms.to_le_bytes()));
        for text in [&self.actor, &self.action, &self.resource, &self.outcome] {
            field(Some(text.as_bytes()));
        }
        field(self.cost_usd_micros.map(u64::to_le_bytes).as_ref().map(|b| &b[..]));
        field(self.correlation_id.as_deref().map(str::as_bytes));
        field(self.content_hash.as_ref().map(|b| &b[..]));
        *hasher.finalize().as_bytes()
    }
}

impl LedgerRow {
    fn of(row: &Row) -> rusqlite::Result<Self> {
        let cost: Option<i64> = row.get(6)?;
        Ok(LedgerRow {
            seq: row.get(0)?,
            entry: Entry {
                at_ms: row.get(1)?,
                actor: row.get(2)?,
                action: row.get(3)?,
                resource: row.get(4)?,
                outcome: row.get(5)?,
                cost_usd_micros: cost.map(|cost| cost as u64),
                correlation_id: row.get(7)?,
                content_hash: row.get(8)?,
            },
            prev_hash: row.get(9)?,
            hash: row.get(10)?,
        })
    }

    /// Whether it stands where it should.
    fn fits(&self, seq: i64, prev: &Hash) -> bool {
        self.seq == seq && self.prev_hash == *prev && self.hash == self.entry.hash(seq, prev)
    }
}

const ROW: &str = "SELECT seq, at_ms, actor, action, resource, outcome, cost_usd_micros, \
                   correlation_id, content_hash, prev_hash, hash FROM ledger";

/// Takes over the rows of a damaged store up to the first that cannot be read or does not fit; says
/// how many, and how many are left, at least.
pub(crate) fn carry(old: &Connection, tx: &Transaction) -> Result<(u64, u64)> {
    let (mut seq, mut prev, mut whole) = (0, START, false);
    if let Ok(mut statement) = old.prepare(&format!("{ROW} ORDER BY seq"))
        && let Ok(mut rows) = statement.query([])
    {
        loop {
            match rows.next().map(|row| row.map(LedgerRow::of)) {
                Ok(Some(Ok(row))) if row.fits(seq + 1, &prev) => {
                    // The same entries have the same hashes.
                    append(tx, std::slice::from_ref(&row.entry))?;
                    (seq, prev) = (row.seq, row.hash);
                }
                end => {
                    whole = matches!(end, Ok(None));
                    break;
                }
            }
        }
    }
    if whole {
        return Ok((seq as u64, 0));
    }
    let last = old.query_row("SELECT max(seq) FROM ledger", [], |row| row.get::<_, i64>(0));
    Ok((seq as u64, last.unwrap_or_default().saturating_sub(seq).max(1) as u64))
}

fn append(tx: &Transaction, entries: &[Entry]) -> Result<Vec<i64>> {
    let sql = "SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1";
    let last = tx.prepare_cached(sql)?.query_row([], |r| Ok((r.get(0)?, r.get(1)?)));
    let (mut seq, mut prev): (i64, Hash) = match last {
        Err(rusqlite::Error::QueryReturnedNoRows) => (0, START),
        last => last?,
    };
    let sql = "INSERT INTO ledger VALUES(?,?,?,?,?,?,?,?,?,?,?)";
    let mut statement = tx.prepare_cached(sql)?;
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        seq += 1;
        let hash = entry.hash(seq, &prev);
        statement.execute(params![
            seq,
            entry.at_ms,
            entry.actor,
            entry.action,
            entry.resource,
            entry.outcome,
            entry.cost_usd_micros.map(|cost| cost as i64),
            entry.correlation_id,
            entry.content_hash,
            prev,
            hash
        ])?;
        prev = hash;
        out.push(seq);
    }
    Ok(out)
}

impl Store {
    /// Appends entries in one transaction, each linked to the one before it; gives their numbers.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds; then none is appended.
    pub fn record(&self, entries: &[Entry]) -> Result<Vec<i64>> {
        if entries.len() > GROUP_MAX {
            let n = entries.len();
            return Err(Error::Argument(format!(
                "{n} ledger entries at once, the most is {GROUP_MAX}; record them in parts"
            )));
        }
        entries.iter().try_for_each(Entry::check)?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        // The write lock stands before the read of the last row: no two processes link to it.
        self.write(|tx| append(tx, entries))
    }

    /// Checks the whole chain, oldest first, a stretch at a time: others write meanwhile. A row
    /// with a value of a wrong type or length is a break as well.
    pub fn verify(&self) -> Result<Checked> {
        let mut checked = Checked { rows: 0, broken_at: None, head: None };
        loop {
            let (seq, prev) = checked.head.unwrap_or((0, START));
            let db = self.db()?;
            let mut statement =
                db.prepare_cached(&format!("{ROW} WHERE seq>? ORDER BY seq LIMIT ?"))?;
            let mut rows = statement.query([seq, CHECKED_ROWS])?;
            let (mut seq, mut prev, mut n) = (seq, prev, 0);
            while let Some(row) = rows.next()? {
                (n, seq) = (n + 1, seq + 1);
                checked.rows += 1;
                match LedgerRow::of(row) {
                    Ok(row) if row.fits(seq, &prev) => prev = row.hash,
                    _ => {
                        checked.broken_at = Some(seq);
                        return Ok(checked);
                    }
                }
                checked.head = Some((seq, prev));
            }
            if n < CHECKED_ROWS {
                return Ok(checked);
            }
        }
    }

    /// Entries that fit, newest first, at most `limit`, numbered below `before`.
    ///
    /// # Errors
    /// `Argument` for a limit over [`crate::PAGE_MAX`].
    pub fn entries(
        &self,
        filter: &LedgerFilter,
        limit: usize,
        before: Option<i64>,
    ) -> Result<Vec<LedgerRow>> {
        let limit = bound::page(limit, bound::PAGE_MAX)?;
        let texts = [
            ("actor=", &filter.actor),
            ("action=", &filter.action),
            ("resource=", &filter.resource),
            ("outcome=", &filter.outcome),
            ("correlation_id=", &filter.correlation_id),
        ];
        let numbers =
            [("at_ms>=", &filter.from_ms), ("at_ms<", &filter.until_ms), ("seq<", &before)];
        let mut sql = format!("{ROW} WHERE 1");
        let mut values: Vec<&dyn ToSql> = Vec::new();
        let given = texts.iter().filter_map(|(test, v)| v.as_ref().map(|v| (*test, v as _)));
        let given =
            given.chain(numbers.iter().filter_map(|(test, v)| v.as_ref().map(|v| (*test, v as _))));
        for (test, value) in given {
            sql.push_str(&format!(" AND {test}?"));
            values.push(value);
        }
        sql.push_str(" ORDER BY seq DESC LIMIT ?");
        values.push(&limit);
        let db = self.db()?;
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(values.as_slice(), LedgerRow::of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: i64) -> Entry {
        Entry {
            at_ms: n,
            actor: if n % 2 == 0 { "ada" } else { "bo" }.to_owned(),
            action: "orchestrate".to_owned(),
            resource: format!("j_{n}"),
            outcome: "ok".to_owned(),
            cost_usd_micros: Some(n as u64),
            correlation_id: Some(format!("c_{n}")),
            content_hash: Some(content_hash(b"text")),
        }
    }

    fn filled(rows: i64) -> Store {
        let store = Store::memory().unwrap();
        for n in 1..=rows {
            store.record(&[entry(n)]).unwrap();
        }
        store
    }

    /// Does what a hand on the file would do.
    fn tamper(store: &Store, sql: &str) {
        let db = store.db().unwrap();
        db.execute_batch("DROP TRIGGER ledger_unchanged; DROP TRIGGER ledger_kept").unwrap();
        assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
    }

    #[test]
    fn a_chain_is_whole_until_it_is_touched() {
        let store = filled(0);
        assert_eq!(store.verify().unwrap(), Checked { rows: 0, broken_at: None, head: None });
        assert_eq!(store.record(&[]).unwrap(), [0; 0]);
        assert_eq!(store.record(&[entry(1), entry(2)]).unwrap(), [1, 2]);
        assert_eq!(store.record(&[Entry { cost_usd_micros: None, ..entry(3) }]).unwrap(), [3]);
        let rows = store.entries(&LedgerFilter::default(), 9, None).unwrap();
        assert_eq!((rows[1].hash, rows[2].prev_hash), (rows[0].prev_hash, START));
        let head = Some((3, rows[0].hash));
        assert_eq!(store.verify().unwrap(), Checked { rows: 3, broken_at: None, head });
        for sql in ["UPDATE ledger SET outcome='no'", "DELETE FROM ledger"] {
            assert!(store.db().unwrap().execute(sql, []).is_err(), "{sql}");
        }
    }

    #[test]
    fn every_change_is_found_where_it_was_made() {
        for (sql, at) in [
            ("UPDATE ledger SET actor='eve' WHERE seq=3", 3),
            ("UPDATE ledger SET at_ms=0 WHERE seq=3", 3),
            ("UPDATE ledger SET cost_usd_micros=NULL WHERE seq=1", 1),
            ("UPDATE ledger SET cost_usd_micros=-1 WHERE seq=1", 1),
            ("UPDATE ledger SET correlation_id=NULL WHERE seq=5", 5),
            ("UPDATE ledger SET content_hash=x'00' WHERE seq=4", 4),
            ("UPDATE ledger SET content_hash=NULL WHERE seq=4", 4),
            ("UPDATE ledger SET hash=prev_hash WHERE seq=2", 2),
            ("UPDATE ledger SET actor=resource, resource=actor WHERE seq=2", 2),
            ("DELETE FROM ledger WHERE seq=1", 1),
            ("DELETE FROM ledger WHERE seq=4", 4),
            ("UPDATE ledger SET seq=0 WHERE seq=1", 1),
        ] {
            let store = filled(5);
            tamper(&store, sql);
            assert_eq!(store.verify().unwrap().broken_at, Some(at), "{sql}");
        }
    }

    #[test]
    fn a_cut_end_shows_in_the_head() {
        let store = filled(5);
        let head = store.verify().unwrap().head;
        tamper(&store, "DELETE FROM ledger WHERE seq=5");
        let checked = store.verify().unwrap();
        assert_eq!(checked.broken_at, None);
        assert_ne!(checked.head, head);
    }

    #[test]
    fn entries_are_filtered_and_paged() {
        let store = filled(10);
        let seqs = |filter: &LedgerFilter, limit, before| -> Vec<i64> {
            let rows = store.entries(filter, limit, before).unwrap();
            rows.into_iter().map(|row| row.seq).collect()
        };
        let all = LedgerFilter::default();
        assert_eq!(seqs(&all, 3, None), [10, 9, 8]);
        assert_eq!(seqs(&all, 3, Some(8)), [7, 6, 5]);
        let ada = LedgerFilter { actor: Some("ada"), from_ms: Some(4), ..all.clone() };
        assert_eq!(seqs(&ada, 9, Some(10)), [8, 6, 4]);
        let one = LedgerFilter { correlation_id: Some("c_7"), ..all.clone() };
        assert_eq!(seqs(&one, 9, None), [7]);
        let odd = LedgerFilter { actor: Some("' OR 1=1 --"), ..all.clone() };
        assert_eq!(seqs(&odd, 9, None), [0; 0]);
        let early = LedgerFilter { until_ms: Some(3), resource: Some("j_2"), ..all.clone() };
        assert_eq!(seqs(&early, 9, None), [2]);
        assert!(store.entries(&all, bound::PAGE_MAX + 1, None).is_err());
        assert_eq!(store.entries(&one, 1, None).unwrap()[0].entry, entry(7));
    }

    #[test]
    fn entries_out_of_bounds_are_refused_whole() {
        let store = filled(0);
        let long = Entry { resource: "x".repeat(RESOURCE_BYTES_MAX + 1), ..entry(2) };
        assert!(matches!(store.record(&[entry(1), long]), Err(Error::Argument(_))));
        let dear = Entry { cost_usd_micros: Some(u64::MAX), ..entry(1) };
        assert!(matches!(store.record(&[dear]), Err(Error::Argument(_))));
        assert!(store.record(&vec![entry(1); GROUP_MAX + 1]).is_err());
        assert_eq!(store.verify().unwrap().rows, 0);
    }

    #[test]
    fn several_processes_make_one_chain() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let store = Store::open(dir.path()).unwrap();
                    for n in 0..25 {
                        store.record(&[entry(n), entry(n + 1)]).unwrap();
                    }
                });
            }
        });
        let checked = Store::open(dir.path()).unwrap().verify().unwrap();
        assert_eq!((checked.rows, checked.broken_at), (200, None));
    }
}
