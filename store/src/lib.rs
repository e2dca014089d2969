//! The engine that remembers: access tokens, sessions, jobs, trust records, the ledger, packs, what
//! was spent, texts that edits replaced, and requests to the process that writes.
//!
//! All state that outlives a process and is not the index. All SQL of it stands here. Time and
//! ids are arguments. Invariant: what was acknowledged is on disk (`synchronous=FULL`).

mod action;
mod asked;
mod bound;
mod event;
mod job;
mod ledger;
mod message;
mod pack;
mod previous;
mod resume;
mod run;
mod salvage;
mod scribe;
mod session;
mod spent;
mod still;
mod task;
mod till;
mod token;
mod trust;
mod webhook;

pub use action::{Action, JobState, Move, actions, next_state};
pub use asked::{ANSWER_BYTES_MAX, ANSWER_KEPT_MS};
pub use bound::PAGE_MAX;
pub use event::{EVENTS_MAX, Event, Events, PAYLOAD_BYTES_MAX};
pub use job::{Job, NewJob};
pub use ledger::{
    Checked, Entry, GROUP_MAX, Hash, LedgerFilter, LedgerRow, RESOURCE_BYTES_MAX, content_hash,
};
pub use message::{
    HITS_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX, Message, MessageHit, MessageHits, NewMessage,
    QUERY_BYTES_MAX, REFS_BYTES_MAX, Role,
};
pub use previous::{
    PREVIOUS_BYTES_MAX, PREVIOUS_MAX, PREVIOUS_OF_FILE_BYTES_MAX, PREVIOUS_OF_FILE_MAX,
    PREVIOUS_TEXT_BYTES_MAX, Previous,
};
pub use resume::{
    ASK_MIN, Interruption, MESSAGE_TOKENS, RESUME_MIN, Rebuilt, Recovery, left_out, recovery,
    resume_confidence,
};
pub use salvage::{Repaired, damage, repair};
pub use scribe::{Ledger, QUEUE_MAX};
pub use session::{
    COHERENCE_LAST, METADATA_BYTES_MAX, NewSession, Resumption, SESSIONS_MAX, Session,
    SessionCounts, TITLE_BYTES_MAX,
};
pub use spent::{
    ACCOUNTS_MAX, AMOUNT_USD_MICROS_MAX, AMOUNTS_MAX, BOOKINGS_MAX, Booking, Reservation, Short,
};
pub use task::{
    ARGS_BYTES_MAX, ATTEMPTS_MAX, GIVEN_MAX, NEEDS_BYTES_MAX, NewTask, OPEN_MAX, PARTIAL_BYTES_MAX,
    PROVIDED_BYTES_MAX, RESULT_BYTES_MAX, WEBHOOK_BYTES_MAX,
};
pub use till::{KEPT_MAX, Till, WAITING_MAX};
pub use token::{Scope, Token, parse_scopes};
pub use trust::{
    LEARNED_BYTES_MAX, Learned, NewTrust, OPTIONS_MAX, PastRow, RECORD_BYTES_MAX, TRUST_MAX, Told,
    Trust, VOTES_MAX, VoteRow,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The format this program writes.
const FORMAT: u32 = 6;
/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(10);
/// Between two tries for the write lock where a call waits; SQLite's own pauses grow to 100 ms.
const SOON_STEP: Duration = Duration::from_micros(200);
/// Such tries: as long as [`BUSY`], at least.
const SOON_MAX: i32 = 50_000;
/// How long it waits where SQLite does not wait by itself.
const BUSY_STEP: Duration = Duration::from_millis(5);
/// Bytes that SQLite's log keeps on disk once it was folded in.
const JOURNAL_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// Between two looks whether the file is still the one that is open.
const LOOK: Duration = Duration::from_millis(200);

const SCHEMA: &str = "
CREATE TABLE token(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash BLOB NOT NULL UNIQUE,
  scopes TEXT NOT NULL, made_ms INTEGER NOT NULL, revoked_ms INTEGER);
CREATE TABLE job(
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, args TEXT NOT NULL, state TEXT NOT NULL,
  progress TEXT, result TEXT, key TEXT UNIQUE, made_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL);
CREATE INDEX job_state ON job(state, made_ms);
";

/// What the third format added, in order.
const THIRD: &[&str] = &[
    trust::SCHEMA,
    spent::SCHEMA,
    asked::SCHEMA,
    ledger::SCHEMA,
    job::THIRD,
    event::SCHEMA,
    message::SCHEMA,
    session::SCHEMA,
];

/// What the fourth format added.
const FOURTH: &str = "CREATE INDEX trust_owner ON trust(owner, at_ms);";

/// What the fifth format added.
const FIFTH: &str = spent::FIFTH;

/// What the sixth format added.
const SIXTH: &str = previous::SCHEMA;

/// Fails the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be used.
    #[error("cannot use `{path}`: {source}; check that the folder exists and can be written")]
    Data {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// This process may not write the data directory.
    #[error(
        "the data directory is read-only for this process, so nothing can be kept or changed in \
         it; let this process write there, or name another data directory with `--data`"
    )]
    ReadOnly,
    /// A repair ended before its new store had taken the place of the damaged one.
    #[error(
        "a repair of the store in `{path}` was interrupted; run `synod doctor --repair`, which \
         finishes it"
    )]
    Halted {
        /// The data directory.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error(
        "the store in `{path}` has format {found}, this program reads up to {known}; \
             update synod, or name another data directory with `--data`"
    )]
    Newer {
        /// The data directory.
        path: PathBuf,
        /// On disk.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// An argument is out of its bounds.
    #[error("{0}")]
    Argument(String),
    /// The request contradicts an earlier one.
    #[error("{0}")]
    Conflict(String),
    /// SQLite failed.
    #[error("the state database failed: {0}")]
    Sql(#[from] rusqlite::Error),
}

impl Error {
    /// Another process writes, and did so for longer than is waited for it.
    pub fn is_busy(&self) -> bool {
        let Error::Sql(error) = self else { return false };
        error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
    }

    /// The file itself is wrong: `synod doctor --repair` makes another of what can be read.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Sql(error) if salvage::is_damage(error))
    }

    /// What the disk below the store refused, with what to do; `None` if it is something else.
    pub fn disk(&self) -> Option<&'static str> {
        use rusqlite::ErrorCode as C;
        let Error::Sql(error) = self else { return None };
        match error.sqlite_error_code()? {
            C::DiskFull => Some("the disk is full; free some space and try again"),
            C::ReadOnly => Some("the disk is read-only; name another with `--data`"),
            C::SystemIoFailure | C::CannotOpen => Some(
                "the disk does not do what is asked of it; check that it is not full and can be \
                 written",
            ),
            _ => None,
        }
    }
}

/// The result of the store's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// The state of one data directory; shared by all its processes.
pub struct Store {
    held: Mutex<Held>,
    /// This process may not write it.
    read_only: bool,
}

/// The connection, and which file it is to. A file that was deleted is written on by whoever has it
/// open: what is acknowledged then is on no disk.
struct Held {
    db: Connection,
    place: Option<Place>,
}

/// Where a store lies; one in memory lies nowhere.
struct Place {
    data: PathBuf,
    /// The file that was seen there last.
    file: Option<Identity>,
    /// How it lay, where this process may not write it: SQLite looks at that once, when it opens.
    rest: Option<still::Rest>,
    looked: Instant,
}

/// Device and inode of a file, where there are such.
type Identity = (u64, u64);

impl Place {
    /// Refuses to write a file that another one takes the place of, or has taken it of: what is
    /// acknowledged then would be lost. Asked under the write lock, which a repair holds too.
    fn check(&self) -> Result<()> {
        salvage::check(&self.data)?;
        let path = self.data.join("state.db");
        match identity(&path) {
            Ok(file) if self.file == Some(file) => Ok(()),
            _ => Err(gone(&path)),
        }
    }
}

fn identity(path: &Path) -> std::io::Result<Identity> {
    let meta = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok((meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    {
        // Files that are open cannot be deleted there.
        let _ = meta;
        Ok((0, 0))
    }
}

/// The failure that the store is no longer where it was.
fn gone(path: &Path) -> Error {
    let reason = "it is gone, the data directory was deleted or moved away";
    let source = std::io::Error::new(ErrorKind::NotFound, reason);
    Error::Data { path: path.to_owned(), source }
}

impl Deref for Held {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.db
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.db
    }
}

impl Held {
    /// Looks, if the last look is older than `pause`, whether the file is still the one that is
    /// open, and opens another one that took its place.
    fn look(&mut self, pause: Duration) -> Result<()> {
        let Some(place) = &mut self.place else { return Ok(()) };
        if let Some(known) = place.rest {
            // Each time: what others write there would be read wrong.
            let path = place.data.join("state.db");
            let (rest, file) = (still::Rest::at(&path), identity(&path).ok());
            if (known, place.file) != (rest, file) {
                if rest == still::Rest::Missing {
                    return Err(gone(&path));
                }
                // First nothing: to close a connection without locks takes away those that this
                // process has to the same file, also of a connection that is open already.
                let nothing = still::Rest::Missing;
                self.db = still::open(&place.data, nothing)?;
                place.rest = Some(nothing);
                self.db = still::open(&place.data, rest)?;
                (place.rest, place.file) = (Some(rest), file);
            }
            return Ok(());
        }
        if place.file.is_some() && place.looked.elapsed() < pause {
            return Ok(());
        }
        salvage::check(&place.data)?;
        let path = place.data.join("state.db");
        let file = identity(&path).map_err(|error| {
            place.file = None;
            match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => gone(&path),
                _ => Error::Data { path: path.clone(), source: error },
            }
        })?;
        if place.file != Some(file) {
            // Not made if it goes away in this moment.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            self.db = connect(Connection::open_with_flags(&path, flags)?, &place.data)?;
            place.file = Some(file);
        }
        place.looked = Instant::now();
        Ok(())
    }
}

impl Store {
    /// Opens or makes the store below `data`. One that this process may not write is read as it
    /// lies, and an empty one stands for one that is not there ([`Store::is_read_only`]).
    ///
    /// # Errors
    /// `Data` when the folder cannot be made or written, `Newer` for a newer format, `Halted` where
    /// a repair has to be finished first.
    pub fn open(data: &Path) -> Result<Self> {
        salvage::check(data)?;
        if still::is_read_only(data) {
            return Self::open_still(data);
        }
        let fail = |source| Error::Data { path: data.to_owned(), source };
        private_folder(data).map_err(fail)?;
        let path = data.join("state.db");
        private_file(&path).map_err(fail)?;
        let db = connect(Connection::open(&path)?, data)?;
        let file = Some(identity(&path).map_err(fail)?);
        let place = Place { data: data.to_owned(), file, rest: None, looked: Instant::now() };
        Ok(Store { held: Mutex::new(Held { db, place: Some(place) }), read_only: false })
    }

    /// Opens the store below `data` where there is one, for another connection of who had it open:
    /// what was deleted meanwhile is not made anew.
    ///
    /// # Errors
    /// `Data` when it is gone; those of [`Store::open`].
    pub fn open_again(data: &Path) -> Result<Self> {
        let path = data.join("state.db");
        if !path.exists() {
            return Err(gone(&path));
        }
        Self::open(data)
    }

    /// Opens the store below `data` without writing anything there.
    fn open_still(data: &Path) -> Result<Self> {
        let path = data.join("state.db");
        let (rest, file) = (still::Rest::at(&path), identity(&path).ok());
        let db = still::open(data, rest)?;
        let (data, looked) = (data.to_owned(), Instant::now());
        let place = Place { data, file, rest: Some(rest), looked };
        Ok(Store { held: Mutex::new(Held { db, place: Some(place) }), read_only: true })
    }

    /// Whether this process may only read the store, which is on a read-only disk or somebody
    /// else's. Found when it is opened.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// A store in memory, for tests.
    pub fn memory() -> Result<Self> {
        let db = connect(Connection::open_in_memory()?, Path::new(":memory:"))?;
        Ok(Store { held: Mutex::new(Held { db, place: None }), read_only: false })
    }

    /// The connection to the file that lies there now.
    fn db(&self) -> Result<MutexGuard<'_, Held>> {
        self.looked(LOOK)
    }

    fn looked(&self, pause: Duration) -> Result<MutexGuard<'_, Held>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.look(pause)?;
        Ok(held)
    }

    /// One transaction that takes the write lock at its start: two processes that read before they
    /// write never work from the same reading. An error undoes all of it.
    fn write<T>(&self, work: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        // What is acknowledged has to be on disk, and not in a file that is gone.
        let mut db = self.looked(Duration::ZERO)?;
        transact(&mut db, work)
    }

    /// The same without waiting for the disk: what is acknowledged outlives the process at once,
    /// and the machine's power from the next commit on that waits for the disk.
    fn write_soon<T>(&self, work: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
        let mut db = self.looked(Duration::ZERO)?;
        db.pragma_update(None, "synchronous", "normal")?;
        db.busy_handler(Some(soon as fn(i32) -> bool))?;
        let out = transact(&mut db, work);
        let waits = db.busy_timeout(BUSY);
        let reset = waits.and_then(|()| db.pragma_update(None, "synchronous", "full"));
        if reset.is_err()
            && let Some(place) = &mut db.place
        {
            // What was committed stands: whoever heard of a failure would do it twice. The next
            // call opens another connection, which waits for the disk.
            place.file = None;
        }
        out
    }
}

fn transact<T>(held: &mut Held, work: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
    let Held { db, place } = held;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(place) = place {
        place.check()?;
    }
    let out = work(&tx)?;
    tx.commit()?;
    Ok(out)
}

/// Whether the write lock is worth another try; waits a moment for it.
fn soon(n_tries: i32) -> bool {
    let more = n_tries < SOON_MAX;
    if more {
        std::thread::sleep(SOON_STEP);
    }
    more
}

/// A connection that is set up, to a file of this format.
fn connect(mut db: Connection, data: &Path) -> Result<Connection> {
    db.busy_timeout(BUSY)?;
    let until = Instant::now() + BUSY;
    // Of processes that make the file at once, SQLite refuses some at the change to WAL without
    // waiting, because two that wait for each other there would wait for ever.
    while let Err(error) = prepare(&mut db, data) {
        if !error.is_busy() || Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(BUSY_STEP);
    }
    Ok(db)
}

/// Sets a connection up and brings the file to this format; doing it again changes nothing.
fn prepare(db: &mut Connection, data: &Path) -> Result<()> {
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "cache_size", -512)?;
    // Nothing of it goes to the system's temporary folder.
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    let format = |db: &Connection| db.pragma_query_value(None, "user_version", |r| r.get(0));
    let known = |found: u32| match found > FORMAT {
        true => Err(Error::Newer { path: data.to_owned(), found, known: FORMAT }),
        false => Ok(found),
    };
    if known(format(db)?)? < FORMAT {
        // Two processes may start at once: the second one finds the work done, perhaps by a newer
        // program.
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = known(format(&tx)?)?;
        if found == 0 {
            tx.execute_batch(SCHEMA)?;
        }
        if found < 2 {
            tx.execute_batch(pack::SCHEMA)?;
        }
        if found < 3 {
            THIRD.iter().try_for_each(|schema| tx.execute_batch(schema))?;
        }
        if found < 4 {
            tx.execute_batch(FOURTH)?;
        }
        if found < 5 {
            tx.execute_batch(FIFTH)?;
        }
        if found < 6 {
            tx.execute_batch(SIXTH)?;
        }
        tx.pragma_update(None, "user_version", FORMAT)?;
        tx.commit()?;
    }
    Ok(())
}

/// Makes a folder, and those above it that are missing, for its owner alone: it will hold what the
/// person's notes say. Folders that exist keep their permissions.
fn private_folder(path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // Without it power loss may take a new folder with all that was made safe in it. Who may make
    // one in a folder need not be allowed to read that.
    for folder in missing.iter().filter_map(|folder| folder.parent()) {
        let _ = salvage::sync(folder);
    }
    Ok(())
}

/// Makes a file for its owner alone if it is not there: the folder may be one that all can enter.
/// What SQLite puts beside it has its permissions.
fn private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// An id that sorts by time and cannot be guessed: `prefix_`, 10 characters of time, 16 random ones
/// (Crockford's base 32, as ULIDs).
pub fn new_id(prefix: &str, now_ms: i64, random: [u8; 10]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut out = format!("{prefix}_");
    for shift in (0..10).rev() {
        out.push(DIGITS[((now_ms as u64 >> (5 * shift)) & 31) as usize] as char);
    }
    let mut bits = 0u128;
    for byte in random {
        bits = (bits << 8) | u128::from(byte);
    }
    for shift in (0..16).rev() {
        out.push(DIGITS[((bits >> (5 * shift)) & 31) as usize] as char);
    }
    out
}

/// Ten bytes from the system's generator.
///
/// # Errors
/// `Argument` if the system has none.
pub fn random() -> Result<[u8; 10]> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::Argument(format!("no randomness from the system: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod task_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let a = new_id("j", 1_000, [255; 10]);
        let b = new_id("j", 1_001, [0; 10]);
        assert!(a < b && a.len() == 28);
    }

    #[cfg(unix)]
    #[test]
    fn in_a_folder_that_all_may_enter_the_files_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut n = 0;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
            n += 1;
        }
        assert!(n >= 2, "the database and its log");
        drop(store);
    }

    #[test]
    fn a_newer_format_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let db = Connection::open(dir.path().join("state.db")).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(Error::Newer { found: 99, .. })));
    }
}
