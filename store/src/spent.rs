//! What was spent and what is reserved, by account: `day:2026-11-22`, `month:2026-11`,
//! `session:ID`, `provider:NAME:2026-11`.
//!
//! Prices are the asking engine's, limits come with each reservation. What may still be spent is
//! decided here, in one transaction, because several processes spend from the same accounts.
//! Invariant: an account with a limit never holds more than it, spent and reserved together, unless
//! a call costs more than it reserved. Invariant: the amounts of one call are added all or not at
//! all.

use crate::{Error, Result, Store, bound};
use rusqlite::{OptionalExtension, Transaction, params};

pub(crate) const SCHEMA: &str = "
CREATE TABLE spent(
  account TEXT PRIMARY KEY, usd_micros INTEGER NOT NULL) WITHOUT ROWID;
";

/// Sums of what is reserved beside those of what was spent, so that a reservation reads one row of
/// an account, however many calls are on their way.
pub(crate) const FIFTH: &str = "
ALTER TABLE spent ADD COLUMN reserved_usd_micros INTEGER NOT NULL DEFAULT 0;
CREATE TABLE reserved(
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, usd_micros INTEGER NOT NULL, accounts TEXT NOT NULL,
  until_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX reserved_until ON reserved(until_ms);
";

/// Amounts of one call.
pub const AMOUNTS_MAX: usize = 1_000;
/// One amount: a million dollars, so that sums never leave 64 bits.
pub const AMOUNT_USD_MICROS_MAX: u64 = 1_000_000_000_000;
/// Accounts of one answer.
pub const ACCOUNTS_MAX: usize = 20_000;
/// Bookings of one transaction.
pub const BOOKINGS_MAX: usize = 1_000;
/// Accounts of sessions that are kept; ids sort by time, so the oldest go.
const SESSIONS_MAX: i64 = 100_000;
/// Days that are kept whatever the clock says: one that was ahead for a while must not make a
/// budget begin anew once it is right.
const DAYS_KEPT: i64 = 31;
/// The same of months, and of months of each provider.
const MONTHS_KEPT: i64 = 12;
/// An account's name, in bytes.
const ACCOUNT_BYTES_MAX: usize = 300;
/// Reservations whose time is over that go with one transaction; the rest goes with the next ones.
const LAPSED_MAX: i64 = 1_000;

/// An upper bound that is kept for a call which is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Unguessable, never used twice.
    pub id: String,
    /// The most that the call can cost.
    pub usd_micros: u64,
    /// What pays for it, each with its limit, if it has one.
    pub accounts: Vec<(String, Option<u64>)>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// From then on it counts no more: its process has gone, or it would have been settled.
    pub until_ms: i64,
}

/// One entry of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Booking {
    /// Before a call.
    Reserve(Reservation),
    /// After it.
    Settle {
        /// The reservation that ends; one that has lapsed is no mistake.
        id: Option<String>,
        /// What was spent, by account, in millionths of a dollar.
        amounts: Vec<(String, u64)>,
    },
}

/// The account that refuses a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// Its name.
    pub account: String,
    /// What is left of it, in millionths of a dollar.
    pub left_usd_micros: u64,
}

fn check_amount(account: &str, usd_micros: u64) -> Result<()> {
    bound::name("account", account, ACCOUNT_BYTES_MAX)?;
    if usd_micros > AMOUNT_USD_MICROS_MAX {
        return Err(Error::Argument(format!(
            "`{account}` would get {usd_micros} millionths of a dollar, the most is \
             {AMOUNT_USD_MICROS_MAX}; check the price"
        )));
    }
    Ok(())
}

impl Booking {
    /// Refuses what is out of its bounds.
    pub(crate) fn check(&self) -> Result<()> {
        let (id, n) = match self {
            Booking::Reserve(wanted) => (Some(&wanted.id), wanted.accounts.len()),
            Booking::Settle { id, amounts } => (id.as_ref(), amounts.len()),
        };
        if n > AMOUNTS_MAX {
            return Err(Error::Argument(format!(
                "{n} amounts at once, the most is {AMOUNTS_MAX}; add them in parts"
            )));
        }
        id.map_or(Ok(()), |id| bound::id(id))?;
        match self {
            Booking::Reserve(wanted) => (wanted.accounts.iter())
                .try_for_each(|(account, _)| check_amount(account, wanted.usd_micros)),
            Booking::Settle { amounts, .. } => amounts
                .iter()
                .try_for_each(|(account, usd_micros)| check_amount(account, *usd_micros)),
        }
    }
}

/// Reserves, unless an account has too little left; says which.
fn reserve(tx: &Transaction, owner: &str, wanted: &Reservation) -> Result<Option<Short>> {
    let sql = "SELECT usd_micros+reserved_usd_micros FROM spent WHERE account=?";
    let mut used_of = tx.prepare_cached(sql)?;
    for (account, limit) in &wanted.accounts {
        let Some(limit) = limit else { continue };
        let used: Option<i64> = used_of.query_row([account], |r| r.get(0)).optional()?;
        let left_usd_micros = limit.saturating_sub(used.unwrap_or_default().max(0) as u64);
        if wanted.usd_micros > left_usd_micros {
            return Ok(Some(Short { account: account.clone(), left_usd_micros }));
        }
    }
    let names: Vec<&str> = wanted.accounts.iter().map(|(account, _)| account.as_str()).collect();
    let accounts = serde_json::Value::from(names).to_string();
    let amount = wanted.usd_micros as i64;
    let sql = "INSERT INTO reserved(id, owner, usd_micros, accounts, until_ms) VALUES(?,?,?,?,?)";
    let values = params![wanted.id, owner, amount, accounts, wanted.until_ms];
    tx.prepare_cached(sql)?.execute(values)?;
    let sql = "INSERT INTO spent(account, usd_micros, reserved_usd_micros) VALUES(?,0,?) \
               ON CONFLICT(account) DO UPDATE \
               SET reserved_usd_micros=reserved_usd_micros+excluded.reserved_usd_micros";
    let mut statement = tx.prepare_cached(sql)?;
    for (account, _) in &wanted.accounts {
        statement.execute(params![account, amount])?;
    }
    Ok(None)
}

/// Takes a reservation back; one that is not there is none.
fn give_back(tx: &Transaction, id: &str) -> Result<()> {
    let sql = "DELETE FROM reserved WHERE id=? RETURNING usd_micros, accounts";
    let found: Option<(i64, String)> =
        tx.prepare_cached(sql)?.query_row([id], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let Some((amount, accounts)) = found else { return Ok(()) };
    let accounts: Vec<String> = serde_json::from_str(&accounts).unwrap_or_default();
    // An account may have been forgotten meanwhile, as that of a session that was deleted.
    let sql = "UPDATE spent SET reserved_usd_micros=max(0, reserved_usd_micros-?) WHERE account=?";
    let mut statement = tx.prepare_cached(sql)?;
    for account in &accounts {
        statement.execute(params![amount, account])?;
    }
    Ok(())
}

/// Takes back what a statement finds, which gives ids.
fn give_back_all(tx: &Transaction, sql: &str, values: impl rusqlite::Params) -> Result<usize> {
    let mut statement = tx.prepare_cached(sql)?;
    let ids = statement.query_map(values, |r| r.get(0))?;
    let ids: Vec<String> = ids.collect::<rusqlite::Result<_>>()?;
    ids.iter().try_for_each(|id| give_back(tx, id))?;
    Ok(ids.len())
}

/// Forgets accounts of a kind whose dates, at the end of their names, are before another one, but
/// of each name the last `kept`.
fn forget(tx: &Transaction, kind: &str, before: &str, kept: i64) -> Result<usize> {
    // Names of providers may hold colons; a date is as long as the other one.
    let sql = "DELETE FROM spent WHERE account IN (SELECT account FROM (\
               SELECT account, row_number() OVER (\
               PARTITION BY substr(account, 1, length(account)-?3) ORDER BY account DESC) AS n \
               FROM spent WHERE account>=?1||':' AND account<?1||';' \
               AND substr(account, -?3-1, 1)=':') WHERE n>?4 AND substr(account, -?3)<?2)";
    Ok(tx.execute(sql, params![kind, before, before.len() as i64, kept])?)
}

fn add(tx: &Transaction, amounts: &[(String, u64)]) -> Result<()> {
    let sql = "INSERT INTO spent(account, usd_micros) VALUES(?,?) ON CONFLICT(account) \
               DO UPDATE SET usd_micros=usd_micros+excluded.usd_micros";
    let mut statement = tx.prepare_cached(sql)?;
    for (account, usd_micros) in amounts {
        statement.execute(params![account, *usd_micros as i64])?;
    }
    Ok(())
}

impl Store {
    /// Makes entries of the books of one process, in their order and all or none: an answer for
    /// each, which names the account that refuses a reservation.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn book(&self, owner: &str, bookings: &[Booking]) -> Result<Vec<Option<Short>>> {
        bound::name("owner", owner, bound::OWNER_BYTES_MAX)?;
        if bookings.len() > BOOKINGS_MAX {
            let n = bookings.len();
            return Err(Error::Argument(format!(
                "{n} bookings at once, the most is {BOOKINGS_MAX}; make them in parts"
            )));
        }
        bookings.iter().try_for_each(Booking::check)?;
        let times = bookings.iter().filter_map(|booking| match booking {
            Booking::Reserve(wanted) => Some(wanted.now_ms),
            Booking::Settle { .. } => None,
        });
        let now_ms = times.max();
        self.write_soon(|tx| {
            if let Some(now_ms) = now_ms {
                let sql = "SELECT id FROM reserved WHERE until_ms<=? LIMIT ?";
                give_back_all(tx, sql, [now_ms, LAPSED_MAX])?;
            }
            let mut out = Vec::with_capacity(bookings.len());
            for booking in bookings {
                out.push(match booking {
                    Booking::Reserve(wanted) => reserve(tx, owner, wanted)?,
                    Booking::Settle { id, amounts } => {
                        id.as_ref().map_or(Ok(()), |id| give_back(tx, id))?;
                        add(tx, amounts)?;
                        None
                    }
                });
            }
            Ok(out)
        })
    }

    /// Takes back all that a process still has reserved, because it ends; says how much that was.
    pub fn give_back(&self, owner: &str) -> Result<usize> {
        self.write_soon(|tx| give_back_all(tx, "SELECT id FROM reserved WHERE owner=?", [owner]))
    }

    /// Accounts whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// `Argument` when there are more than [`ACCOUNTS_MAX`]: a part would read as the whole.
    pub fn spent(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let end = format!("{prefix}{}", char::MAX);
        let sql = "SELECT account, usd_micros FROM spent WHERE account>=? AND account<? \
                   ORDER BY account LIMIT ?";
        let db = self.db()?;
        let mut statement = db.prepare_cached(sql)?;
        let row = |r: &rusqlite::Row| Ok((r.get(0)?, r.get::<_, i64>(1)?.max(0) as u64));
        let rows = statement.query_map(params![prefix, end, ACCOUNTS_MAX as i64 + 1], row)?;
        let rows: Vec<(String, u64)> = rows.collect::<rusqlite::Result<_>>()?;
        if rows.len() > ACCOUNTS_MAX {
            return Err(Error::Argument(format!(
                "more than {ACCOUNTS_MAX} accounts begin with `{prefix}`; give more of the name"
            )));
        }
        Ok(rows)
    }

    /// Forgets days before `day` (`2026-11-22`) but the last 31 that there are, months and
    /// providers' months before `month` (`2026-11`) but the last 12 of each, and the oldest
    /// sessions beyond 100,000; says how many accounts went.
    pub fn sweep_spent(&self, day: &str, month: &str) -> Result<usize> {
        self.write(|tx| {
            let mut n = forget(tx, "day", day, DAYS_KEPT)?;
            n += forget(tx, "month", month, MONTHS_KEPT)?;
            n += forget(tx, "provider", month, MONTHS_KEPT)?;
            let sql = "DELETE FROM spent WHERE account IN (SELECT account FROM spent \
                       WHERE account>='session:' AND account<'session;' \
                       ORDER BY account DESC LIMIT -1 OFFSET ?)";
            n += tx.execute(sql, [SESSIONS_MAX])?;
            Ok(n)
        })
    }
}

#[cfg(test)]
impl Store {
    /// Adds amounts to their accounts, in millionths of a dollar.
    pub(crate) fn add_spent(&self, amounts: &[(&str, u64)]) -> Result<()> {
        let amounts = amounts.iter().map(|(account, n)| ((*account).to_owned(), *n)).collect();
        self.book("tests", &[Booking::Settle { id: None, amounts }]).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one call wants of the day and, without a limit, of the month.
    fn wanted(id: &str, usd_micros: u64, limit: u64, now_ms: i64) -> Booking {
        let accounts = vec![("day:d".to_owned(), Some(limit)), ("month:m".to_owned(), None)];
        let until_ms = now_ms + 1_000;
        Booking::Reserve(Reservation { id: id.to_owned(), usd_micros, accounts, now_ms, until_ms })
    }

    fn settled(id: &str, usd_micros: u64) -> Booking {
        let amounts = ["day:d", "month:m"].map(|account| (account.to_owned(), usd_micros));
        Booking::Settle { id: Some(id.to_owned()), amounts: amounts.to_vec() }
    }

    fn left(usd_micros: u64) -> Option<Short> {
        Some(Short { account: "day:d".to_owned(), left_usd_micros: usd_micros })
    }

    /// Sums of what is reserved, by account.
    fn reserved(store: &Store) -> Vec<(String, i64)> {
        let db = store.db().unwrap();
        let sql = "SELECT account, reserved_usd_micros FROM spent ORDER BY account";
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// Spent and reserved of the day.
    fn used(store: &Store) -> (u64, u64) {
        let sql = "SELECT usd_micros, reserved_usd_micros FROM spent WHERE account='day:d'";
        let row = |r: &rusqlite::Row| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?));
        let (spent, reserved) = store.db().unwrap().query_row(sql, [], row).unwrap();
        (spent as u64, reserved as u64)
    }

    #[test]
    fn a_reservation_counts_until_it_is_settled() {
        let store = Store::memory().unwrap();
        let group = [wanted("a", 60, 100, 1), wanted("b", 41, 100, 1), wanted("c", 40, 100, 1)];
        assert_eq!(store.book("one", &group).unwrap(), [None, left(40), None]);
        assert_eq!(store.book("two", &[wanted("d", 1, 100, 2)]).unwrap(), [left(0)]);
        // The month has no limit of its own, and counts for who has one.
        let sums = [("day:d".to_owned(), 100), ("month:m".to_owned(), 100)];
        assert_eq!(reserved(&store), sums);
        assert_eq!(store.spent("day:").unwrap(), [("day:d".to_owned(), 0)]);
        assert_eq!(store.book("one", &[settled("a", 5)]).unwrap(), [None]);
        // Twice is once, as far as the reservation goes.
        store.book("one", &[settled("a", 0), settled("never", 0)]).unwrap();
        assert_eq!(store.book("two", &[wanted("d", 56, 100, 2)]).unwrap(), [left(55)]);
        assert_eq!(store.book("two", &[wanted("d", 55, 100, 2)]).unwrap(), [None]);
        assert_eq!(store.spent("").unwrap().iter().map(|a| a.1).collect::<Vec<_>>(), [5, 5]);
        // A call that cost more than it reserved is spent all the same.
        store.book("two", &[settled("d", 500)]).unwrap();
        assert_eq!(store.book("two", &[wanted("e", 1, 100, 2)]).unwrap(), [left(0)]);
    }

    #[test]
    fn what_lapsed_or_is_given_back_is_free_again() {
        let store = Store::memory().unwrap();
        assert_eq!(store.book("gone", &[wanted("a", 100, 100, 10)]).unwrap(), [None]);
        assert_eq!(store.book("one", &[wanted("b", 1, 100, 1_009)]).unwrap(), [left(0)]);
        assert_eq!(store.book("one", &[wanted("b", 90, 100, 1_010)]).unwrap(), [None]);
        // Whoever was thought to be gone comes back: what it spent counts, and frees nothing twice.
        store.book("gone", &[settled("a", 7)]).unwrap();
        assert_eq!(store.book("one", &[wanted("c", 4, 100, 1_011)]).unwrap(), [left(3)]);
        assert_eq!(store.book("one", &[wanted("c", 3, 100, 1_011)]).unwrap(), [None]);
        assert_eq!((store.give_back("one").unwrap(), store.give_back("one").unwrap()), (2, 0));
        assert!(reserved(&store).iter().all(|(_, amount)| *amount == 0));
        assert_eq!(store.book("two", &[wanted("d", 93, 100, 1_012)]).unwrap(), [None]);
    }

    #[test]
    fn no_two_processes_reserve_the_same_money() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let granted = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (path, granted) = (dir.path(), &granted);
                scope.spawn(move || {
                    let store = Store::open(path).unwrap();
                    let owner = format!("p{thread}");
                    for n in 0..50 {
                        let id = format!("{owner}-{n}");
                        let short = store.book(&owner, &[wanted(&id, 10, 500, 1)]).unwrap();
                        let (spent, open) = used(&store);
                        assert!(spent + open <= 500, "{spent} and {open}");
                        if short[0].is_some() {
                            continue;
                        }
                        let n = granted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        // Every other call costs less than was reserved, the others go on.
                        if n % 2 == 0 {
                            store.book(&owner, &[settled(&id, 4)]).unwrap();
                        }
                    }
                });
            }
        });
        let store = Store::open(dir.path()).unwrap();
        let (spent, open) = used(&store);
        assert!(spent + open <= 500 && spent + open > 490, "{spent} and {open}");
        let granted = granted.into_inner();
        assert_eq!((spent, open), (granted.div_ceil(2) * 4, granted / 2 * 10));
    }

    #[test]
    fn bookings_out_of_bounds_are_refused() {
        let store = Store::memory().unwrap();
        let many = vec![settled("a", 1); BOOKINGS_MAX + 1];
        assert!(matches!(store.book("one", &many), Err(Error::Argument(_))));
        let much = AMOUNT_USD_MICROS_MAX + 1;
        for bad in [wanted("", 1, 9, 1), wanted("a", much, u64::MAX, 1), settled("a", much)] {
            let group = [wanted("b", 1, 9, 1), bad];
            assert!(matches!(store.book("one", &group), Err(Error::Argument(_))));
        }
        assert!(store.book("", &[settled("a", 1)]).is_err());
        assert_eq!(store.spent("").unwrap(), []);
    }

    #[test]
    fn amounts_add_up_by_account() {
        let store = Store::memory().unwrap();
        store.add_spent(&[("day:2026-11-22", 5), ("month:2026-11", 5)]).unwrap();
        store.add_spent(&[("day:2026-11-22", 7), ("day:2026-11-22", 1)]).unwrap();
        assert_eq!(store.spent("day:").unwrap(), [("day:2026-11-22".to_owned(), 13)]);
        assert_eq!(store.spent("").unwrap().len(), 2);
        assert_eq!(store.spent("day:2026-11-23").unwrap(), []);
        // One bad amount and none is added.
        let bad = [("month:2026-11", 1), ("month:2026-11", AMOUNT_USD_MICROS_MAX + 1)];
        assert!(matches!(store.add_spent(&bad), Err(Error::Argument(_))));
        assert!(store.add_spent(&[("", 1)]).is_err());
        assert_eq!(store.spent("month:2026-11").unwrap()[0].1, 5);
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        let store = Store::memory().unwrap();
        let names = ["session:a%", "session:a_b", "session:axb", "session:ä"];
        store.add_spent(&names.map(|name| (name, 1))).unwrap();
        assert_eq!(store.spent("session:a").unwrap().len(), 3);
        assert_eq!(store.spent("session:a_").unwrap().len(), 1);
        assert_eq!(store.spent("session:%").unwrap().len(), 0);
    }

    #[test]
    fn old_accounts_are_forgotten() {
        let store = Store::memory().unwrap();
        let days = (9..=10).flat_map(|m| (1..=28).map(move |d| format!("day:2026-{m:02}-{d:02}")));
        let mut names: Vec<String> = days.collect();
        for month in (2025..=2026).flat_map(|y| (1..=12).map(move |m| format!("{y}-{m:02}"))) {
            names.extend(["month", "provider:a:b"].map(|kind| format!("{kind}:{month}")));
        }
        names.extend(["provider:x", "session:s"].map(str::to_owned));
        for name in &names {
            store.add_spent(&[(name.as_str(), 1)]).unwrap();
        }
        assert_eq!(store.sweep_spent("2026-09-01", "2025-01").unwrap(), 0);
        // 25 of 56 days, and 12 of 24 months twice.
        assert_eq!(store.sweep_spent("2026-11-01", "2026-11").unwrap(), 49);
        let left: Vec<String> = store.spent("").unwrap().into_iter().map(|a| a.0).collect();
        let first = |prefix: &str| left.iter().find(|name| name.starts_with(prefix)).unwrap();
        assert_eq!(first("day:"), "day:2026-09-26");
        assert_eq!(first("month:"), "month:2026-01");
        assert_eq!(first("provider:"), "provider:a:b:2026-01");
        assert_eq!(left.len(), names.len() - 49);
        assert_eq!(store.sweep_spent("2026-11-01", "2026-11").unwrap(), 0);
    }

    #[test]
    fn a_clock_that_was_ahead_forgets_no_budget() {
        let store = Store::memory().unwrap();
        let names = ["day:2026-11-22", "month:2026-11", "provider:p:2026-11"];
        store.add_spent(&names.map(|name| (name, 7))).unwrap();
        let ahead = ["day:2031-01-01", "month:2031-01", "provider:p:2031-01"];
        store.add_spent(&ahead.map(|name| (name, 1))).unwrap();
        assert_eq!(store.sweep_spent("2031-01-02", "2031-02").unwrap(), 0);
        assert_eq!(store.spent("month:2026-11").unwrap()[0].1, 7);
    }

    #[test]
    fn two_processes_add_without_losing_any() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let store = Store::open(dir.path()).unwrap();
                    for _ in 0..50 {
                        store.add_spent(&[("day:2026-11-22", 2), ("session:s", 1)]).unwrap();
                    }
                });
            }
        });
        let store = Store::open(dir.path()).unwrap();
        let wanted = [("day:2026-11-22".to_owned(), 400), ("session:s".to_owned(), 200)];
        assert_eq!(store.spent("").unwrap(), wanted);
    }
}
