//! What was spent, by account: `day:2026-11-22`, `month:2026-11`, `session:ID`,
//! `provider:NAME:2026-11`.
//!
//! Sums only; limits and prices are the asking engine's. Invariant: the amounts of one call are
//! added all or not at all.

use crate::{Error, Result, Store, bound};
use rusqlite::params;

pub(crate) const SCHEMA: &str = "
CREATE TABLE spent(
  account TEXT PRIMARY KEY, usd_micros INTEGER NOT NULL) WITHOUT ROWID;
";

/// Amounts of one call.
pub const AMOUNTS_MAX: usize = 1_000;
/// One amount: a million dollars, so that sums never leave 64 bits.
pub const AMOUNT_USD_MICROS_MAX: u64 = 1_000_000_000_000;
/// Accounts of one answer.
pub const ACCOUNTS_MAX: usize = 20_000;
/// Accounts of sessions that are kept; ids sort by time, so the oldest go.
const SESSIONS_MAX: i64 = 100_000;
/// An account's name, in bytes.
const ACCOUNT_BYTES_MAX: usize = 300;

impl Store {
    /// Adds amounts to their accounts, in millionths of a dollar.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds; then nothing is added.
    pub fn add_spent(&self, amounts: &[(&str, u64)]) -> Result<()> {
        if amounts.len() > AMOUNTS_MAX {
            let n = amounts.len();
            return Err(Error::Argument(format!(
                "{n} amounts at once, the most is {AMOUNTS_MAX}; add them in parts"
            )));
        }
        for (account, usd_micros) in amounts {
            bound::name("account", account, ACCOUNT_BYTES_MAX)?;
            if *usd_micros > AMOUNT_USD_MICROS_MAX {
                return Err(Error::Argument(format!(
                    "`{account}` would get {usd_micros} millionths of a dollar, the most is \
                     {AMOUNT_USD_MICROS_MAX}; check the price"
                )));
            }
        }
        self.write(|tx| {
            let sql = "INSERT INTO spent(account, usd_micros) VALUES(?,?) ON CONFLICT(account) \
                       DO UPDATE SET usd_micros=usd_micros+excluded.usd_micros";
            let mut statement = tx.prepare_cached(sql)?;
            for (account, usd_micros) in amounts {
                statement.execute(params![account, *usd_micros as i64])?;
            }
            Ok(())
        })
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

    /// Forgets days before `day` (`2026-11-22`), months and providers' months before `month`
    /// (`2026-11`), and the oldest sessions beyond 100,000; says how many accounts went.
    pub fn sweep_spent(&self, day: &str, month: &str) -> Result<usize> {
        self.write(|tx| {
            let range = "DELETE FROM spent WHERE account>=?1 AND account<?1||?2";
            let mut n = tx.execute(range, ["day:", day])?;
            n += tx.execute(range, ["month:", month])?;
            // Names of providers may hold colons; a month has seven characters.
            let sql = "DELETE FROM spent WHERE account>='provider:' AND account<'provider;' \
                       AND substr(account, -8, 1)=':' AND substr(account, -7)<?";
            n += tx.execute(sql, [month])?;
            let sql = "DELETE FROM spent WHERE account IN (SELECT account FROM spent \
                       WHERE account>='session:' AND account<'session;' \
                       ORDER BY account DESC LIMIT -1 OFFSET ?)";
            n += tx.execute(sql, [SESSIONS_MAX])?;
            Ok(n)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let kept =
            ["day:2026-11-01", "month:2026-11", "provider:a:b:2026-11", "provider:x", "session:s"];
        let gone = ["day:2026-10-31", "month:2026-10", "provider:a:b:2026-10"];
        for name in kept.iter().chain(&gone) {
            store.add_spent(&[(name, 1)]).unwrap();
        }
        assert_eq!(store.sweep_spent("2026-11-01", "2026-11").unwrap(), gone.len());
        let names: Vec<String> = store.spent("").unwrap().into_iter().map(|a| a.0).collect();
        assert_eq!(names, kept);
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
