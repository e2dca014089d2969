//! A store that is damaged: what can be read of it is kept, the rest is given up and counted.
//!
//! What it holds stands nowhere else, so its tables are read row by row into a new store beside it,
//! which then takes its place; a row that cannot be read is stepped over. Of the ledger only the
//! rows before the first break are kept: it would prove nothing otherwise. The damaged files are
//! set aside, never deleted. Invariant: whoever is interrupted finds the damaged store where it
//! was, or a new one that holds all that was saved; between the two, nobody opens or writes either
//! until the next repair has finished the swap.

use crate::{Error, FORMAT, Result, Store, gone, ledger, private_folder, still};
use rusqlite::config::DbConfig;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params_from_iter};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where the new store is made, below the data directory.
const WORKSHOP: &str = "state.repair";
/// In it once the new store is complete: what was kept and lost, and where the damaged files go.
const WHOLE: &str = "whole";
/// Rows between two that can be read that are tried one by one.
const TRIED_MAX: usize = 1_000_000;
/// The files of a store, its log first: a new store must never find the log of another.
const FILES: [&str; 3] = ["state.db-wal", "state.db-shm", "state.db"];

/// What a repair kept, and what it could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Where the damaged files lie.
    pub aside: PathBuf,
    /// Rows that were kept.
    pub kept: u64,
    /// Tables that lost rows, each with how many, at least.
    pub lost: Vec<(String, u64)>,
}

/// Whether the store below `data` is damaged, and how; `None` when it is sound or not there. Reads
/// all of it.
pub fn damage(data: &Path) -> Option<String> {
    if let Err(halted) = check(data) {
        return Some(halted.to_string());
    }
    let looked = open(data).and_then(|db| match db {
        Some(db) => look(&db),
        None => Ok(None),
    });
    match looked {
        Ok(found) => found,
        Err(Error::Sql(error)) if is_damage(&error) => Some(error.to_string()),
        // Busy, a full disk, a newer format: no proof of damage.
        Err(_) => None,
    }
}

/// Whether SQLite says that the file itself is wrong, or a row holds what no program wrote.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::Utf8Error(..) => true,
        error => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
    }
}

/// A connection that takes the file as it is; none if there is no file.
fn open(data: &Path) -> Result<Option<Connection>> {
    let path = data.join("state.db");
    if !path.exists() {
        return Ok(None);
    }
    if still::is_read_only(data) {
        return still::open(data, still::Rest::at(&path)).map(Some);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags)?;
    db.busy_timeout(crate::BUSY)?;
    // What is damaged is set aside as it lay, its log too.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(Some(db))
}

/// What is wrong with a store. SQLite's own check knows pages and indexes, not what texts say: that
/// is seen by reading them, and by comparing messages with the index of their words.
fn look(db: &Connection) -> Result<Option<String>> {
    let format: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format > FORMAT {
        return Ok(None);
    }
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Ok(Some(said.lines().collect::<Vec<_>>().join(" ")));
    }
    for name in tables(db)? {
        let table = Table::of(db, &name)?;
        let found = pass(db, &table, "", &mut |_| Ok(()))?;
        if found.lost > 0 || !found.whole {
            return Ok(Some(format!("rows of `{name}` cannot be read")));
        }
    }
    words(db)
}

/// Whether the words of messages are theirs.
fn words(db: &Connection) -> Result<Option<String>> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name='message_word'";
    let there: i64 = db.query_row(sql, [], |row| row.get(0))?;
    // The check has the form of a write, which a store that may only be read does not take.
    if there == 0 || db.is_readonly("main")? {
        return Ok(None);
    }
    let sql = "INSERT INTO message_word(message_word, rank) VALUES('integrity-check', 1)";
    match db.execute(sql, []) {
        Err(error) if is_damage(&error) => {
            Ok(Some("messages and the index of their words do not agree".to_owned()))
        }
        done => Ok(done.map(|_| None)?),
    }
}

/// The tables that hold rows of ours; those of the words of messages are made of these.
fn tables(db: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' \
               AND name NOT LIKE 'message_word%' ORDER BY rowid";
    let mut statement = db.prepare(sql)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// How the rows of a table are read.
struct Table {
    name: String,
    /// Name and type of each.
    columns: Vec<(String, String)>,
    /// By what they are ordered from either end.
    order: [String; 2],
    /// They have numbers.
    numbered: bool,
}

impl Table {
    fn of(db: &Connection, name: &str) -> Result<Self> {
        let sql = "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid";
        let mut statement = db.prepare(sql)?;
        let rows = statement.query_map([name], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        let rows: Vec<(String, String, i64)> = rows.collect::<rusqlite::Result<_>>()?;
        let sql = "SELECT wr=0 FROM pragma_table_list WHERE schema='main' AND name=?";
        let numbered: bool = db.query_row(sql, [name], |row| row.get(0))?;
        let mut keys: Vec<(i64, &str)> =
            rows.iter().filter(|row| row.2 > 0).map(|row| (row.2, row.0.as_str())).collect();
        keys.sort_unstable();
        let by = |end: &str| match numbered {
            true => format!("rowid{end}"),
            false => {
                let keys = keys.iter().map(|(_, key)| format!("\"{key}\"{end}"));
                keys.collect::<Vec<_>>().join(", ")
            }
        };
        let order = [by(""), by(" DESC")];
        let columns = rows.iter().map(|row| (row.0.clone(), row.1.clone())).collect();
        Ok(Table { name: name.to_owned(), columns, order, numbered })
    }

    /// The names of its columns, as SQL takes them.
    fn names(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| format!("\"{name}\""));
        names.collect::<Vec<_>>().join(", ")
    }

    fn select(&self, rest: &str) -> String {
        let number = if self.numbered { "rowid" } else { "0" };
        format!("SELECT {number}, {} FROM \"{}\" {rest}", self.names(), self.name)
    }

    /// The values of a row; none if one of them is not what its column holds.
    fn values(&self, row: &Row) -> Option<Vec<Value>> {
        let value = |(at, (_, kind)): (usize, &(String, String))| {
            // The number of the row stands before them.
            let value = row.get_ref(at + 1).ok()?;
            if fits(value, kind) { Value::try_from(value).ok() } else { None }
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}

/// Whether a value is of its column's type. That one has to be there is the new table's business.
fn fits(value: ValueRef, kind: &str) -> bool {
    match value {
        ValueRef::Null => true,
        ValueRef::Integer(_) => kind == "INTEGER",
        ValueRef::Text(bytes) => kind != "INTEGER" && std::str::from_utf8(bytes).is_ok(),
        ValueRef::Blob(_) => kind == "BLOB",
        ValueRef::Real(_) => false,
    }
}

/// How far a reading of a table came.
#[derive(Default)]
struct Pass {
    /// The number of the row it came to last.
    last: Option<i64>,
    /// Rows that hold what cannot be.
    lost: u64,
    /// It came to the end.
    whole: bool,
}

/// Gives each row to `each`, up to one that cannot be reached.
fn pass(
    db: &Connection,
    table: &Table,
    rest: &str,
    each: &mut dyn FnMut(Vec<Value>) -> Result<()>,
) -> Result<Pass> {
    let mut pass = Pass::default();
    let Ok(mut statement) = db.prepare(&table.select(rest)) else { return Ok(pass) };
    let Ok(mut rows) = statement.query([]) else { return Ok(pass) };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            end => {
                pass.whole = end.is_ok();
                return Ok(pass);
            }
        };
        pass.last = row.get(0).ok();
        match table.values(row) {
            Some(values) => each(values)?,
            None => pass.lost += 1,
        }
    }
}

/// Gives each row that can be read to `each`: from both ends up to what is damaged, and what lies
/// between by its number. Returns how many cannot be read, at least.
fn rows(
    db: &Connection,
    table: &Table,
    each: &mut dyn FnMut(Vec<Value>) -> Result<()>,
) -> Result<u64> {
    let [up, down] = &table.order;
    let first = pass(db, table, &format!("ORDER BY {up}"), each)?;
    if first.whole {
        return Ok(first.lost);
    }
    let beyond = first.last.filter(|_| table.numbered);
    let beyond = beyond.map(|last| format!("WHERE rowid>{last} ")).unwrap_or_default();
    let second = pass(db, table, &format!("{beyond}ORDER BY {down}"), each)?;
    let mut lost = first.lost + second.lost;
    let (Some(end), true) = (second.last, table.numbered) else { return Ok(lost + 1) };
    // Numbers begin at 1.
    let start = first.last.map_or(1, |last| last.saturating_add(1));
    let sql = table.select("WHERE rowid=?");
    for number in (start..end).take(TRIED_MAX) {
        let found = db.prepare_cached(&sql).and_then(|mut statement| {
            statement.query_row([number], |row| Ok(table.values(row))).optional()
        });
        match found {
            Ok(None) => {}
            Ok(Some(Some(values))) => each(values)?,
            Ok(Some(None)) | Err(_) => lost += 1,
        }
    }
    // Something stood in the way of the first pass.
    Ok(lost.max(1))
}

/// Takes over the rows of one table: how many, and how many are lost, at least.
fn copy(old: &Connection, tx: &Transaction, name: &str) -> Result<(u64, u64)> {
    let mut table = Table::of(tx, name)?;
    let Ok(former) = Table::of(old, name) else { return Ok((0, 1)) };
    // An older format has fewer.
    table.columns.retain(|column| former.columns.contains(column));
    let marks = vec!["?"; table.columns.len()].join(", ");
    let sql = format!("INSERT OR IGNORE INTO \"{name}\"({}) VALUES({marks})", table.names());
    let mut insert = tx.prepare(&sql)?;
    let (mut given, mut kept) = (0, 0);
    let lost = rows(old, &table, &mut |values| {
        given += 1;
        kept += insert.execute(params_from_iter(values))? as u64;
        Ok(())
    })?;
    // Without numbers, a row may have been met from both ends.
    let refused = if table.numbered { given - kept } else { 0 };
    Ok((kept, lost + refused))
}

/// Takes over what can be read of all tables.
fn save(old: &Connection, new: &Store) -> Result<(u64, Vec<(String, u64)>)> {
    let names = tables(&*new.db()?)?;
    new.write(|tx| {
        let (mut kept, mut lost) = (0, Vec::new());
        for name in names {
            let (n_kept, n_lost) = match name.as_str() {
                "ledger" => ledger::carry(old, tx)?,
                _ => copy(old, tx, &name)?,
            };
            kept += n_kept;
            if n_lost > 0 {
                lost.push((name, n_lost));
            }
        }
        Ok((kept, lost))
    })
}

/// Makes a new store of what can be read of a damaged one and puts it in its place; where that was
/// interrupted, it is finished. Whoever has the damaged one open goes on with the new one.
///
/// # Errors
/// `ReadOnly`, `Data` when a file cannot be moved, `Sql` when the damaged one is being written or
/// the new one cannot be; the damaged one is then where it was.
pub fn repair(data: &Path, now_ms: i64) -> Result<Repaired> {
    if still::is_read_only(data) {
        return Err(Error::ReadOnly);
    }
    let workshop = data.join(WORKSHOP);
    let done = match marked(data)? {
        Some(done) => done,
        None => prepare(data, &workshop, now_ms)?,
    };
    swap(data, &workshop, &done.aside)?;
    Ok(done)
}

/// Makes the new store, and marks it as whole.
fn prepare(data: &Path, workshop: &Path, now_ms: i64) -> Result<Repaired> {
    clear(workshop)?;
    let old = open(data)?.ok_or_else(|| gone(&data.join("state.db")))?;
    // Keeps writers waiting until the mark refuses them. One that is no database at all cannot be
    // held, nor written.
    if let Err(error) = old.execute_batch("BEGIN IMMEDIATE").map_err(Error::from)
        && error.is_busy()
    {
        return Err(error);
    }
    let new = Store::open(workshop)?;
    let (kept, lost) = save(&old, &new)?;
    fold(&new, workshop)?;
    drop(new);
    let aside = data.join(format!("state.damaged-{now_ms}"));
    let done = Repaired { aside, kept, lost };
    mark(data, workshop, &done)?;
    Ok(done)
}

/// Brings all of the new store into its one file, on disk: its log does not go along.
fn fold(new: &Store, workshop: &Path) -> Result<()> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let (busy, log): (i64, i64) =
        new.db()?.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if busy != 0 || log != 0 {
        let left = std::io::Error::other("the log of the new store could not be folded in");
        return Err(failed(workshop)(left));
    }
    Ok(())
}

/// Marks the new store as whole, on disk.
fn mark(data: &Path, workshop: &Path, done: &Repaired) -> Result<()> {
    let aside = done.aside.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("{aside}\n{}\n", done.kept);
    for (table, n) in &done.lost {
        text.push_str(&format!("{n} {table}\n"));
    }
    let (begun, whole) = (workshop.join("whole.new"), workshop.join(WHOLE));
    let written = std::fs::File::create(&begun).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(failed(&begun))?;
    // The folder of the new store itself has to be there too.
    sync(data)?;
    std::fs::rename(&begun, &whole).map_err(failed(&whole))?;
    sync(workshop)
}

/// What a new store that waits for its swap holds; `None` where none does.
fn marked(data: &Path) -> Result<Option<Repaired>> {
    let path = data.join(WORKSHOP).join(WHOLE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed(&path))?,
    };
    let parsed = || {
        let mut lines = text.lines();
        let (aside, kept) = (data.join(lines.next()?), lines.next()?.parse::<u64>().ok()?);
        let lost = lines.map(|line| {
            let (n, table) = line.split_once(' ')?;
            Some((table.to_owned(), n.parse::<u64>().ok()?))
        });
        Some(Repaired { aside, kept, lost: lost.collect::<Option<_>>()? })
    };
    let odd = || failed(&path)(std::io::Error::from(ErrorKind::InvalidData));
    parsed().map(Some).ok_or_else(odd)
}

/// Refuses a store that a new one is to take the place of.
///
/// # Errors
/// `Halted`.
pub(crate) fn check(data: &Path) -> Result<()> {
    match data.join(WORKSHOP).join(WHOLE).exists() {
        true => Err(Error::Halted { path: data.to_owned() }),
        false => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Data { path: path.to_owned(), source }
}

/// Removes what an interrupted repair left.
fn clear(workshop: &Path) -> Result<()> {
    match std::fs::remove_dir_all(workshop) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(failed(workshop)),
    }
}

/// Has the names of a folder on disk.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    // Elsewhere a folder is no file.
    match cfg!(unix) {
        true => std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed(folder)),
        false => Ok(()),
    }
}

/// Sets the damaged files aside and puts the new store in their place, or goes on with that.
fn swap(data: &Path, workshop: &Path, aside: &Path) -> Result<()> {
    let new = workshop.join("state.db");
    // One that was put already may have a log of its own by now.
    if new.exists() {
        let done = set_aside(data, aside).and_then(|()| {
            let place = data.join("state.db");
            std::fs::rename(&new, &place).map_err(failed(&place))
        });
        if let Err(error) = done {
            // Back as it was; the first failure is the one to tell.
            let back = FILES.iter().all(|name| {
                let done = std::fs::rename(aside.join(name), data.join(name));
                done.is_ok() || !aside.join(name).exists()
            });
            if back {
                let _ = std::fs::remove_file(workshop.join(WHOLE));
            }
            return Err(error);
        }
        sync(data)?;
    }
    clear(workshop)
}

/// Moves the damaged files; those that were moved already stay where they are.
fn set_aside(data: &Path, aside: &Path) -> Result<()> {
    private_folder(aside).map_err(failed(aside))?;
    for name in FILES {
        let (from, mut to) = (data.join(name), aside.join(name));
        // A second name, where there can be one: then there is a store at every moment.
        if name == "state.db" && (to.exists() || std::fs::hard_link(&from, &to).is_ok()) {
            continue;
        }
        if to.exists() {
            // Somebody looked at the store in between, and made another.
            to = aside.join(format!("{name}.later"));
        }
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done.map_err(failed(&from))?,
        }
    }
    // The log is gone from there before the new store comes.
    sync(aside)?;
    sync(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, NewMessage, NewSession, Role, Scope};

    const N_MESSAGES: i64 = 60;

    /// A closed store with something in each of the tables that matter most.
    fn filled(data: &Path) {
        let store = Store::open(data).unwrap();
        store.make_token("ci", &[Scope::Admin], 1).unwrap();
        store.add_spent(&[("day:d", 5)]).unwrap();
        let (title, metadata, expires_ms) = ("On tides", None, None);
        let new = NewSession { id: "s_1", owner: "ada", title, metadata, expires_ms, now_ms: 1 };
        store.make_session(&new).unwrap();
        for n in 1..=N_MESSAGES {
            let text = format!("START{n}OF60 {} END{n}OF60", "low water ".repeat(80));
            let (role, author, refs, key) = (Role::User, "", None, None);
            let said = NewMessage { role, author, text: &text, refs, key, now_ms: n };
            assert_eq!(store.append("s_1", "ada", &said).unwrap(), Some(n));
        }
        for n in 1..=5 {
            let entry = Entry { at_ms: n, action: format!("act{n}"), ..Entry::default() };
            store.record(&[entry]).unwrap();
        }
    }

    /// Writes bytes over those that a text of the file begins with.
    fn scratch(data: &Path, text: &str, with: &[u8]) {
        let path = data.join("state.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
        bytes[at..at + with.len()].copy_from_slice(with);
        std::fs::write(&path, bytes).unwrap();
    }

    fn history(store: &Store) -> Vec<i64> {
        let messages = store.history("s_1", "ada", 0, 1_000, 2).unwrap().unwrap();
        messages.into_iter().map(|message| message.seq).collect()
    }

    #[test]
    fn a_text_that_was_overwritten_is_found_and_costs_one_message() {
        for with in [[0xA5; 40], [b'x'; 40]] {
            let dir = tempfile::tempdir().unwrap();
            filled(dir.path());
            assert_eq!(damage(dir.path()), None);
            scratch(dir.path(), "START30OF60", &with);
            assert!(damage(dir.path()).is_some(), "SQLite's own check sees nothing");
            let done = repair(dir.path(), 7).unwrap();
            assert_eq!(damage(dir.path()), None);
            // A text that is one can be read, whatever it says: only the words are made anew.
            let lost = u64::from(with[0] == 0xA5);
            let tables: Vec<_> = (0..lost).map(|n| ("message".to_owned(), n + 1)).collect();
            assert_eq!(done.lost, tables);
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(history(&store).len() as i64, N_MESSAGES - lost as i64);
            assert_eq!(store.tokens().unwrap().len(), 1);
            assert_eq!(store.spent("day:").unwrap(), [("day:d".to_owned(), 5)]);
            assert_eq!(store.verify().unwrap().rows, 5);
            let hits = store.search_messages("ada", None, "START59OF60", 9, 2).unwrap();
            assert_eq!(hits.hits.len(), 1);
            assert!(done.aside.join("state.db").exists() && !dir.path().join(WORKSHOP).exists());
        }
    }

    #[test]
    fn a_page_that_is_lost_costs_its_rows_alone() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let path = dir.path().join("state.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let needle = b"START30OF60";
        let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
        let page = at / 4096 * 4096;
        bytes[page..page + 4096].fill(0xA5);
        std::fs::write(&path, bytes).unwrap();
        assert!(damage(dir.path()).is_some());
        let done = repair(dir.path(), 7).unwrap();
        assert_eq!(damage(dir.path()), None);
        assert!(done.lost.iter().any(|(table, n)| table == "message" && *n > 0), "{done:?}");
        let store = Store::open(dir.path()).unwrap();
        let kept = history(&store);
        assert!(kept.len() >= 50 && !kept.contains(&30), "{kept:?}");
        assert!(kept.contains(&1) && kept.contains(&N_MESSAGES), "from both ends: {kept:?}");
        // It goes on where it was.
        let (role, author, text, refs, key) = (Role::User, "", "on", None, None);
        let said = NewMessage { role, author, text, refs, key, now_ms: 99 };
        assert_eq!(store.append("s_1", "ada", &said).unwrap(), Some(N_MESSAGES + 1));
    }

    #[test]
    fn what_is_no_database_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let path = dir.path().join("state.db");
        let noise = vec![0xA5; 8192];
        std::fs::write(&path, &noise).unwrap();
        assert!(Store::open(dir.path()).is_err_and(|error| error.is_damage()));
        assert!(damage(dir.path()).is_some());
        let done = repair(dir.path(), 7).unwrap();
        assert_eq!(done.kept, 0);
        assert!(done.lost.iter().any(|(table, _)| table == "token"), "{done:?}");
        assert_eq!(std::fs::read(done.aside.join("state.db")).unwrap(), noise);
        assert_eq!(damage(dir.path()), None);
        assert!(Store::open(dir.path()).unwrap().tokens().unwrap().is_empty());
    }

    #[test]
    fn a_ledger_is_kept_up_to_its_first_break() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        scratch(dir.path(), "act3", b"act9");
        assert_eq!(damage(dir.path()), None, "a changed ledger is no damage");
        scratch(dir.path(), "START30OF60", &[0xA5; 40]);
        let done = repair(dir.path(), 7).unwrap();
        assert!(done.lost.contains(&("ledger".to_owned(), 3)), "{done:?}");
        let checked = Store::open(dir.path()).unwrap().verify().unwrap();
        assert_eq!((checked.rows, checked.broken_at), (2, None));
    }

    #[test]
    fn whoever_has_the_damaged_one_open_goes_on_with_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        scratch(dir.path(), "START30OF60", &[0xA5; 40]);
        let store = Store::open(dir.path()).unwrap();
        assert!(store.history("s_1", "ada", 0, 1_000, 2).is_err_and(|error| error.is_damage()));
        repair(dir.path(), 7).unwrap();
        store.make_token("late", &[Scope::ReadContext], 8).unwrap();
        drop(store);
        assert_eq!(damage(dir.path()), None);
        assert_eq!(Store::open(dir.path()).unwrap().tokens().unwrap().len(), 2);
    }

    #[test]
    fn a_swap_that_was_interrupted_is_finished_and_nothing_is_written_before() {
        // Moments at which it is killed: before all, without its log, with two names, at its end.
        for stage in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            let (data, workshop) = (dir.path(), dir.path().join(WORKSHOP));
            filled(data);
            scratch(data, "START30OF60", &[0xA5; 40]);
            let store = Store::open(data).unwrap();
            store.make_token("in the log", &[Scope::Admin], 2).unwrap();
            let done = prepare(data, &workshop, 7).unwrap();
            assert_eq!(done.lost, [("message".to_owned(), 1)]);
            if stage > 0 {
                std::fs::create_dir(&done.aside).unwrap();
                for name in &FILES[..2] {
                    std::fs::rename(data.join(name), done.aside.join(name)).unwrap();
                }
            }
            if stage > 1 {
                std::fs::hard_link(data.join("state.db"), done.aside.join("state.db")).unwrap();
            }
            if stage > 2 {
                std::fs::rename(workshop.join("state.db"), data.join("state.db")).unwrap();
            }
            assert!(store.make_token("early", &[Scope::Admin], 3).is_err(), "{stage}");
            drop(store);
            assert!(matches!(Store::open(data), Err(Error::Halted { .. })), "{stage}");
            assert!(damage(data).is_some_and(|said| said.contains("doctor --repair")), "{stage}");
            // The counts are those of the one that was interrupted.
            assert_eq!(repair(data, 8).unwrap(), done, "{stage}");
            assert!(done.aside.join("state.db").exists() && !workshop.exists(), "{stage}");
            assert_eq!(damage(data), None);
            let store = Store::open(data).unwrap();
            assert_eq!(history(&store).len() as i64, N_MESSAGES - 1);
            assert_eq!(store.tokens().unwrap().len(), 2, "what was acknowledged: {stage}");
            store.make_token("late", &[Scope::Admin], 9).unwrap();
        }
    }

    #[test]
    fn a_copy_that_was_not_completed_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let workshop = dir.path().join(WORKSHOP);
        drop(Store::open(&workshop).unwrap());
        std::fs::write(workshop.join("whole.new"), "state.dam").unwrap();
        assert_eq!(damage(dir.path()), None);
        scratch(dir.path(), "START30OF60", &[0xA5; 40]);
        assert_eq!(repair(dir.path(), 7).unwrap().lost, [("message".to_owned(), 1)]);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(history(&store).len() as i64, N_MESSAGES - 1);
    }

    #[test]
    fn a_store_that_is_being_written_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let writer = Connection::open(dir.path().join("state.db")).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(repair(dir.path(), 7).is_err_and(|error| error.is_busy()));
        drop(writer);
        assert_eq!(damage(dir.path()), None);
    }
}
