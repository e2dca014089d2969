//! Bringing the index up to date with its sources: one writer per data directory.
//!
//! A batch is prepared in parallel (read, parse, cut), written in one SQLite transaction under the
//! next generation, then committed to the word index with that generation as payload. A crash
//! between the two leaves the words behind; [`Updater::recover`] re-applies what changed since,
//! which is idempotent. A batch that fails leaves no transaction open. A run over many documents
//! gives way between two batches to files that are saved meanwhile ([`crate::turn`]).
//! Invariant: nothing old is removed before what replaces it is in the same commit.

use crate::Index;
use crate::chunk::LineIndex;
use crate::db::{self, Body, ChunkRow, Chunks, FileRow, Known, Source, SourceKind};
use crate::disk::{self, Content, Loaded, Stamp};
use crate::error::{Error, Result};
use crate::flight::{Gate, Permit};
use crate::graph;
use crate::history::{self, HistoryWork};
use crate::kind::{self, Chunk, Class, Input, Kind, Link, Parsed, Symbol};
use crate::language::{self, Written};
use crate::lexical::{DocumentText, PassageText, Writer};
use crate::limit::{self, BATCH_KEYS_MAX, CACHE_KIB, HEAD_BYTES_MAX, Memory, RACY};
use crate::reach::{self, Quiet, SILENT};
use crate::recover::Health;
use crate::retry::{Held, PATHS_MAX, Unread};
use crate::turn::{Ahead, Beside, Room, Step};
use crate::walk::{self, Found, Walked};
use crate::words::Kept;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Longest wait of a run for its next document, and for what is due, before it asks whose turn it
/// is.
pub(crate) const ASK: Duration = Duration::from_millis(5);
/// Symbol kinds that people do not look up as definitions.
const NOT_DEFINITIONS: &[&str] = &["key", "rule", "element", "impl", "heading"];

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Source.
    pub source: String,
    /// Files done.
    pub done: usize,
    /// Files to do.
    pub total: usize,
    /// Bytes of text done.
    pub bytes: u64,
    /// The file in hand.
    pub current: String,
}

/// Gets progress; `false` stops the run after the current batch.
pub type Report<'a> = &'a dyn Fn(&Progress) -> bool;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Documents made or changed.
    pub changed: usize,
    /// Documents removed.
    pub removed: usize,
    /// Files found as they were.
    pub unchanged: usize,
    /// Files that could not be read.
    pub failed: usize,
    /// Those of them that may be readable in a moment, the first ones.
    pub unread: Vec<String>,
    /// The file system of the source stopped to answer; what was read by then is kept.
    pub silent: bool,
    /// The generation afterwards.
    pub generation: u64,
}

/// What the threads that read a source's files share. They end by themselves: one that hangs in a
/// file system is not waited for.
struct Reading {
    source: Source,
    jobs: Vec<Job>,
    /// The next one.
    next: AtomicUsize,
    stop: AtomicBool,
    gate: Gate,
    now_ms: fn() -> i64,
}

enum Job {
    Read { path: String, known: Option<Known> },
    Remove { id: u32, path: String },
}

/// Holds the writer's lock of a data directory.
pub struct Updater {
    index: Arc<Index>,
    db: Connection,
    _lock: File,
    now_ms: fn() -> i64,
    pub(crate) unread: Unread,
    /// Set when the process ends.
    stop: Arc<AtomicBool>,
    pub(crate) health: Health,
    /// The writer of the words, between two batches.
    pub(crate) kept: Option<Kept>,
    /// When single paths were looked at last: somebody saves files.
    pub(crate) saved: Option<Instant>,
    /// Histories that wait to be read; `None` where they are read at once.
    pub(crate) histories: Option<BTreeMap<i64, HistoryWork>>,
}

impl Drop for Updater {
    /// The lock goes last: no merge of ours may write when another process does.
    fn drop(&mut self) {
        self.index.writes.store(false, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) {
            self.kept = None;
        }
        self.end_words();
    }
}

/// Content that is handed over.
pub(crate) struct Push {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) modified_ms: i64,
}

/// A file read, parsed and cut, ready to be written.
struct Prepared {
    path: String,
    known: Option<Known>,
    /// When the reading began: what was written since is newer.
    read_ms: i64,
    result: Result<Ready>,
}

enum Ready {
    /// The bytes are those that are indexed.
    Same(Stamp),
    New(Box<Document>),
}

/// Everything one document writes.
pub(crate) struct Document {
    pub(crate) row: FileRow,
    text: String,
    pub(crate) parsed: Parsed,
    /// Of notes only, where it can be told.
    pub(crate) written: Option<Written>,
    /// Its place among what is in flight, until it is written.
    permit: Option<Permit>,
}

impl Document {
    /// The text that was made of its file, if there is one.
    pub(crate) fn made(&self) -> Option<&str> {
        // A note beside a text says what is missing of it, not that there is none.
        let made = self.row.note.is_none() || !self.text.is_empty();
        made.then_some(self.text.as_str())
    }
}

/// Takes the writer's lock of an index's folder, without waiting; it ends with the file.
///
/// # Errors
/// `NotWriter` while another process holds it, `Data` when the folder cannot be used.
pub(crate) fn writer_lock(dir: &Path) -> Result<File> {
    let path = dir.join("writer.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = file.map_err(|e| Error::data(&path, e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::NotWriter),
        Err(std::fs::TryLockError::Error(e)) => Err(Error::data(path, e)),
    }
}

/// Whether somebody holds it, as far as is to be known here. Shared with others who ask, for no
/// longer than that takes: a writer that starts in this moment tries again.
fn is_locked(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join("writer.lock")) else { return false };
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

impl Index {
    /// Whether another process may be writing, or this one is yet bringing up what a crash left.
    pub(crate) fn is_written_elsewhere(&self) -> bool {
        is_locked(&self.dir) && !self.writes.load(Ordering::Relaxed)
    }

    /// Refuses to write what a newer program read in a way of its own, and what may not be written.
    ///
    /// # Errors
    /// `NewerReading`, `ReadOnly`; `Sql`.
    pub fn may_write(&self) -> Result<()> {
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        match self.read_db(db::reading)? {
            Some(found) if found > db::READING => {
                Err(Error::NewerReading { found, known: db::READING })
            }
            _ => Ok(()),
        }
    }
}

impl Updater {
    /// Takes the writer's lock, without waiting.
    ///
    /// # Errors
    /// `NotWriter` while another process holds it, `NewerReading` and `ReadOnly` as
    /// [`Index::may_write`].
    pub fn new(index: Arc<Index>, now_ms: fn() -> i64) -> Result<Self> {
        Self::locked(index, now_ms, || {})
    }

    /// The same; calls `locked` with the lock in hand, before what a crash left is recovered.
    ///
    /// # Errors
    /// As [`Updater::new`].
    pub fn locked(index: Arc<Index>, now_ms: fn() -> i64, locked: impl FnOnce()) -> Result<Self> {
        if index.is_read_only() {
            // Its lock cannot be taken, which would say less.
            return Err(Error::ReadOnly);
        }
        let lock = writer_lock(index.dir())?;
        index.may_write()?;
        locked();
        // What is locked may be another data directory than the one that was opened.
        index.look_now()?;
        let db = db::open(&index.dir().join("index.db"), true)?;
        let health = Health::of(index.dir(), &lock)?;
        let mut updater = Updater {
            index,
            db,
            _lock: lock,
            now_ms,
            unread: Unread::default(),
            stop: Arc::default(),
            health,
            kept: None,
            saved: None,
            histories: None,
        };
        updater.begin_well()?;
        updater.read_alike()?;
        updater.index.writes.store(true, Ordering::Relaxed);
        Ok(updater)
    }

    /// Takes the word that the process ends: from then on nobody waits for merges of the words,
    /// which the next writer begins again.
    pub fn stop_with(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    pub(crate) fn db(&self) -> &Connection {
        &self.db
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn dir(&self) -> &Path {
        self.index.dir()
    }

    pub(crate) fn now(&self) -> i64 {
        (self.now_ms)()
    }

    /// Starts a transaction.
    pub(crate) fn begin(&mut self) -> Result<rusqlite::Transaction<'_>> {
        let mode = rusqlite::TransactionBehavior::Immediate;
        Ok(self.db.transaction_with_behavior(mode)?)
    }

    /// Has every commit so far on disk: what is acknowledged of which there is nothing to read
    /// again.
    fn settle(&self) -> Result<()> {
        // The log is made safe as a whole by the next commit that waits for the disk.
        db::settle(&self.db)
    }

    /// The sources.
    pub fn sources(&self) -> Result<Vec<Source>> {
        db::sources(&self.db)
    }

    /// Adds `root` as a source, or finds the one that it is, which then gets the name and the
    /// collection that `spec` gives, if it gives any.
    ///
    /// # Errors
    /// `Source` for folders that may not be one, for one that shares files with another where it is
    /// to be apart, and for a known one where another has the name.
    pub fn add_source(&mut self, root: &Path, spec: &SourceSpec) -> Result<Source> {
        let home = spec.home.as_deref();
        let sources = self.sources()?;
        if let Err(silent) = self.index.must_answer(root) {
            let known = sources.iter().find(|known| Path::new(&known.root) == root);
            return self.renamed(known.ok_or(silent)?, spec, &sources);
        }
        let root = crate::jail::source_root(root, home, spec.force)?;
        let shown = root.to_string_lossy().into_owned();
        if let Some(known) = sources.iter().find(|s| s.root == shown) {
            return self.renamed(known, spec, &sources);
        }
        if spec.apart {
            crate::nest::refuse(&root, &sources, &self.skipped())?;
        }
        let kind = spec.kind.unwrap_or_else(|| kind_of(&root));
        let collection = spec.collection.clone().unwrap_or_else(|| default_collection(kind));
        let wanted = spec.given_name().map_or_else(|| name_of(&root), str::to_owned);
        let name = free_name(&wanted, &sources);
        let mut source =
            Source { id: 0, name, kind, root: shown, collection, commit: None, scanned_ms: None };
        // Acknowledged, and named nowhere else.
        source.id = db::synced(&self.db, || db::add_source(&self.db, &source))?;
        Ok(source)
    }

    /// A known source with the name and the collection that are given. Where another one has the
    /// name, the collection is changed all the same: what may leave the machine hangs on it.
    fn renamed(&mut self, known: &Source, spec: &SourceSpec, all: &[Source]) -> Result<Source> {
        let mut source = known.clone();
        source.collection = spec.collection.clone().unwrap_or(source.collection);
        let name = spec.given_name().unwrap_or(&known.name);
        let taken = all.iter().find(|s| s.id != known.id && s.is_called(name));
        if taken.is_none() {
            source.name = name.to_owned();
        }
        if source.name != known.name || source.collection != known.collection {
            // A generation of its own: what is kept by generation holds for the former ones.
            let mut batch = Batch::open(self, &source, false)?;
            let sql = "UPDATE source SET name=?, collection=? WHERE id=?";
            batch.updater.db.execute(sql, (&source.name, &source.collection, source.id))?;
            batch.changed = true;
            batch.commit()?;
        }
        match taken {
            // It was given the next free name when it came.
            Some(other) if !is_numbered(&known.name, name) => Err(Error::Source(format!(
                "another source is called `{name}`, the folder `{}`; give `{}` another name",
                other.root, known.root
            ))),
            _ => Ok(source),
        }
    }

    /// The data directory, which may lie inside a source and must not index itself.
    pub fn skipped(&self) -> Vec<PathBuf> {
        self.index.skipped()
    }

    /// What was read in another way than this program's is read again: files by the next scan,
    /// pushed content here, from its own row.
    fn read_alike(&mut self) -> Result<()> {
        if db::reading(&self.db)? == Some(db::READING) {
            return Ok(());
        }
        for source in self.sources()?.iter().filter(|s| s.kind == SourceKind::Pushed) {
            let mut pushes = Vec::new();
            for (path, known) in db::known(&self.db, source.id)? {
                let text = db::kept(&self.db, known.id)?.unwrap_or_default();
                let modified_ms = known.stamp.mtime_ns / 1_000_000;
                pushes.push(Push { path, text, modified_ms });
            }
            self.push_all(&source.name, pushes)?;
        }
        db::set_reading(&self.db)
    }

    /// The source of pushed content with this name.
    fn pushed_source(&mut self, name: &str, collection: &str) -> Result<Source> {
        if let Some(known) = self.sources()?.into_iter().find(|s| s.is_called(name)) {
            if known.kind != SourceKind::Pushed {
                return Err(Error::Argument(format!(
                    "`{name}` is a folder on disk; push content into a source of its own, \
                     for example `pushed`"
                )));
            }
            return Ok(known);
        }
        let mut source = Source {
            id: 0,
            name: name.to_owned(),
            kind: SourceKind::Pushed,
            root: String::new(),
            collection: collection.to_owned(),
            commit: None,
            scanned_ms: None,
        };
        source.id = db::add_source(&self.db, &source)?;
        Ok(source)
    }

    /// Indexes content that a caller hands over, under `path` of the pushed source `name`.
    pub fn push(&mut self, name: &str, path: &str, text: String) -> Result<Outcome> {
        crate::jail::check(path)?;
        let modified_ms = (self.now_ms)();
        self.push_all(name, vec![Push { path: path.to_owned(), text, modified_ms }])
    }

    /// Indexes several texts of one pushed source in one commit.
    pub(crate) fn push_all(&mut self, name: &str, pushes: Vec<Push>) -> Result<Outcome> {
        self.push_into(name, "notes", pushes)
    }

    /// The same; a source that is not there yet belongs to `collection`.
    pub(crate) fn push_into(
        &mut self,
        name: &str,
        collection: &str,
        pushes: Vec<Push>,
    ) -> Result<Outcome> {
        let source = self.pushed_source(name, collection)?;
        let now = (self.now_ms)();
        let mut batch = Batch::open(self, &source, pushes.len() > 500)?;
        for Push { path, text, modified_ms } in pushes {
            let known = db::known_below(&batch.updater.db, source.id, &path)?.remove(&path);
            let mtime_ns = modified_ms * 1_000_000;
            // A notebook is pushed as it is, or as what was made of it before.
            let extract = kind::of(&path).0.extract;
            let made = extract.and_then(|extract| disk::made(extract, text.as_bytes()).ok());
            let text = made.unwrap_or(text);
            let stamp = Stamp { size: text.len() as u64, mtime_ns, ..Stamp::default() };
            let loaded = Loaded {
                stamp,
                hash: disk::hash(text.as_bytes()),
                content: Content::Text { text, encoding: "UTF-8", plain: false },
            };
            let ready = Ready::New(Box::new(document(&source, &path, loaded, now)?));
            batch.write(Prepared { path, known, read_ms: now, result: Ok(ready) })?;
            if batch.is_full(Room::WHOLE) {
                batch.flush()?;
            }
        }
        let outcome = batch.commit()?;
        self.settle()?;
        Ok(outcome)
    }

    /// Removes a source with all its documents.
    pub fn remove_source(&mut self, source: &Source) -> Result<Outcome> {
        let known = db::known(&self.db, source.id)?;
        let mut batch = Batch::open(self, source, false)?;
        for (path, known) in known {
            batch.remove(known.id, &path)?;
        }
        db::remove_source(&batch.updater.db, source.id)?;
        let outcome = batch.commit()?;
        self.settle()?;
        self.unread.forget(source.id);
        if let Some(waiting) = &mut self.histories {
            waiting.remove(&source.id);
        }
        Ok(outcome)
    }

    /// Compares a source with the disk and brings the index up to date.
    pub fn scan(&mut self, source: &Source, report: Report) -> Result<Outcome> {
        self.scan_beside(source, report, None)
    }

    /// The same; what `ahead` has to look at comes between two commits of it.
    ///
    /// # Errors
    /// Also those of `ahead`: whoever gets one looks at everything once more.
    pub fn scan_beside(
        &mut self,
        source: &Source,
        report: Report,
        ahead: Option<&mut Ahead>,
    ) -> Result<Outcome> {
        if source.kind == SourceKind::Pushed {
            return Ok(Outcome { generation: db::generation(&self.db)?, ..Outcome::default() });
        }
        self.look()?;
        let held = self.unread.look(source.id, None);
        let root = PathBuf::from(&source.root);
        if !self.index.answers(source) {
            return self.silent(source);
        }
        if let Err(error) = std::fs::read_dir(&root) {
            // A source that vanished (an unmounted drive) keeps its documents.
            return self.away(source, &format!("{error}; its documents are kept as they were"));
        }
        let head = history::head(&root);
        // First: what is looked at meanwhile has problems of its own.
        db::clear_problems(&self.db, source.id)?;
        let mut beside = Beside::new(source.id, ahead);
        let Some(walked) = self.walk(&root, None, &mut beside)? else {
            return self.silent(source);
        };
        let known = db::known(&self.db, source.id)?;
        // The walk may have taken long.
        if !self.index.answers(source) {
            return self.silent(source);
        }
        let device = device(&root);
        if walked.files.is_empty() && !known.is_empty() && db::moved(&self.db, source.id, device)? {
            // The empty mount point of a drive that is away lies on another device.
            let reason = "another, empty drive is mounted there; its documents are kept";
            return self.away(source, reason);
        }
        self.unread.set_away(source.id, false);
        db::set_device(&self.db, source.id, device)?;
        let total = walked.files.len();
        let jobs = compare(&walked, known);
        for (path, reason) in walked.errors.iter().filter(|(path, _)| !beside.has_seen(path)) {
            db::put_problem(&self.db, source.id, path, reason)?;
        }
        let reads = jobs.iter().filter(|j| matches!(j, Job::Read { .. })).count();
        let mut outcome = self.run(source, jobs, report, beside)?;
        if outcome.silent || !self.index.answers(source) {
            return self.silent_after(source, outcome);
        }
        outcome.unchanged += total - reads;
        outcome.failed += walked.errors.len() + self.note_rules(source, &walked)?;
        self.note_unread(source, &held, &walked, &outcome);
        self.note_history(source, head.as_deref())?;
        db::scanned(&self.db, source.id, (self.now_ms)())?;
        Ok(outcome)
    }

    /// The file system of a source does not answer: nothing is known of it until it does.
    fn silent(&mut self, source: &Source) -> Result<Outcome> {
        let outcome = self.away(source, &format!("{SILENT}; its documents are kept"))?;
        self.unread.fell_silent(source.id);
        Ok(Outcome { silent: true, ..outcome })
    }

    /// The same after a part of it was read.
    fn silent_after(&mut self, source: &Source, read: Outcome) -> Result<Outcome> {
        let failed = read.failed + self.silent(source)?.failed;
        Ok(Outcome { failed, silent: true, ..read })
    }

    /// A source is not there: its documents are kept.
    fn away(&mut self, source: &Source, reason: &str) -> Result<Outcome> {
        db::put_problem(&self.db, source.id, "", reason)?;
        self.unread.set_away(source.id, true);
        let generation = db::generation(&self.db)?;
        Ok(Outcome { failed: 1, generation, ..Outcome::default() })
    }

    /// Notes what is wrong with ignore files, and how many those are. After the run: one that is a
    /// document of its own was read well in it.
    fn note_rules(&self, source: &Source, walked: &Walked) -> Result<usize> {
        for (path, reason) in &walked.rules {
            db::put_problem(&self.db, source.id, path, reason)?;
        }
        Ok(walked.rules.len())
    }

    /// Remembers what is to be tried again.
    fn note_unread(&mut self, source: &Source, held: &Held, walked: &Walked, outcome: &Outcome) {
        let now = Instant::now();
        for path in walked.unread.iter().chain(&outcome.unread) {
            self.unread.failed(held, source.id, path, now);
        }
    }

    /// Brings single paths of a source up to date (files or folders, from a watcher); an empty path
    /// means all of it.
    pub fn refresh(
        &mut self,
        source: &Source,
        paths: &HashSet<String>,
        report: Report,
    ) -> Result<Outcome> {
        self.refresh_beside(source, paths, report, None)
    }

    /// Whether paths of a source can only be looked at with all of it: it was away, or vanished
    /// while it was watched, or does not answer, or another drive is in its place.
    pub fn is_whole(&self, source: &Source, paths: &HashSet<String>) -> Result<bool> {
        let root = Path::new(&source.root);
        Ok(paths.contains("")
            || self.unread.is_away(source.id)
            || !self.index.answers(source)
            || db::moved(&self.db, source.id, device(root))?
            || std::fs::read_dir(root).is_err())
    }

    /// The same as [`Updater::refresh`]; one path may be a folder with thousands of files, so it
    /// gives way as [`Updater::scan_beside`] does.
    pub fn refresh_beside(
        &mut self,
        source: &Source,
        paths: &HashSet<String>,
        report: Report,
        ahead: Option<&mut Ahead>,
    ) -> Result<Outcome> {
        let root = PathBuf::from(&source.root);
        if self.is_whole(source, paths)? {
            return self.scan_beside(source, report, ahead);
        }
        self.look()?;
        let head = history::head(&root);
        let held = self.unread.look(source.id, Some(paths));
        // It is over in a moment: nothing is served meanwhile.
        let mut alone = Beside::new(source.id, None);
        let Some(walked) = self.walk(&root, walk::Only::new(paths), &mut alone)? else {
            return self.silent(source);
        };
        let mut known = HashMap::new();
        let transaction = self.db.transaction()?;
        for path in paths {
            known.extend(db::known_below(&transaction, source.id, path)?);
            db::clear_problems_at(&transaction, source.id, path)?;
        }
        for (path, reason) in &walked.errors {
            db::put_problem(&transaction, source.id, path, reason)?;
        }
        transaction.commit()?;
        let beside = Beside::new(source.id, ahead);
        let mut outcome = self.run(source, compare(&walked, known), report, beside)?;
        if outcome.silent || !self.index.answers(source) {
            return self.silent_after(source, outcome);
        }
        outcome.failed += walked.errors.len() + self.note_rules(source, &walked)?;
        self.note_unread(source, &held, &walked, &outcome);
        self.note_history(source, head.as_deref())?;
        self.saved = Some(Instant::now());
        Ok(outcome)
    }

    fn run(
        &mut self,
        source: &Source,
        jobs: Vec<Job>,
        report: Report,
        beside: Beside,
    ) -> Result<Outcome> {
        let generation = db::generation(&self.db)?;
        let total = Outcome { generation, ..Outcome::default() };
        if jobs.is_empty() {
            return Ok(total);
        }
        let reads = jobs.iter().filter(|job| matches!(job, Job::Read { .. })).count();
        let progress =
            Progress { source: source.name.clone(), total: reads, ..Progress::default() };
        let bulk = jobs.len() > 500;
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(4);
        // Within a run that gives way there may be another one: each has its half.
        let gate = Gate::new(self.index.memory().flight_bytes() / 2);
        let reading = Arc::new(Reading {
            source: source.clone(),
            jobs,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            gate,
            now_ms: self.now_ms,
        });
        let (send, receive) = sync_channel::<Prepared>(64);
        let crew = self.index.reach().crew(Path::new(&source.root));
        for _ in 0..threads {
            let (send, reading) = (send.clone(), Arc::clone(&reading));
            let inside = crew.enter();
            std::thread::spawn(move || {
                reading.prepare_all(&send);
                drop(inside);
            });
        }
        drop(send);
        let (rest, quiet) = (reading.jobs.iter(), Quiet::new(Instant::now()));
        let course = Course { source, bulk, receive, rest, quiet, progress, report, beside, total };
        let result = self.write_all(course);
        reading.stop.store(true, Ordering::Relaxed);
        if result.as_ref().is_ok_and(|outcome| outcome.silent) {
            crew.give_up();
        }
        result
    }

    /// Writes everything, and gives way between two batches.
    fn write_all(&mut self, mut course: Course) -> Result<Outcome> {
        while self.write_some(&mut course)? {
            course.beside.serve(self)?;
            course.quiet.skip(Instant::now());
        }
        Ok(course.total)
    }

    /// Writes until the end of a run, or until something else is due, which is true.
    fn write_some(&mut self, course: &mut Course) -> Result<bool> {
        let before = course.progress.bytes;
        let mut batch = Batch::open(self, course.source, course.bulk)?;
        let mut go_on = true;
        let due = loop {
            match course.beside.step(&batch.updater) {
                Step::Serve => break true,
                Step::Wait => {
                    batch.flush()?;
                    std::thread::sleep(ASK);
                    continue;
                }
                Step::Work => {}
            }
            match course.receive.recv_timeout(ASK) {
                Ok(prepared) => go_on = course.write(&mut batch, prepared, before)?,
                Err(RecvTimeoutError::Timeout) if course.is_lost(batch.updater.index()) => {
                    course.total.silent = true;
                    break false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if !course.remove_next(&mut batch)? {
                        break false;
                    }
                }
            }
            if !go_on {
                break false;
            }
            if batch.is_full(course.beside.room(&batch.updater)) {
                batch.flush()?;
            }
        };
        add(&mut course.total, batch.commit()?);
        if go_on { Ok(due) } else { Err(Error::Cancelled) }
    }

    /// Adds a document's words anew from its source, if its bytes are still those of its row;
    /// otherwise forgets its stamp, so that the next scan reads it.
    pub(crate) fn reapply(&self, writer: &Writer, id: u32) -> Result<()> {
        let Some(row) = db::file(&self.db, id)? else { return Ok(()) };
        let sources = db::sources(&self.db)?;
        let Some(source) = sources.iter().find(|s| s.id == row.source) else { return Ok(()) };
        writer.remove(id);
        let there = self.index.answers(source);
        let loaded = there.then(|| load(&self.db, source, &row.path, id).ok()).flatten();
        let Some(loaded) = loaded.filter(|loaded| loaded.hash == row.hash) else {
            return db::forget(&self.db, id);
        };
        let mut document = document(source, &row.path, loaded, row.read_ms)?;
        document.row.id = id;
        document.row.generation = row.generation;
        add_words(writer, &document)
    }
}

/// A run over the documents of a source, under way.
struct Course<'a, 'b> {
    source: &'a Source,
    /// It is a large one.
    bulk: bool,
    /// What was read, in no order.
    receive: Receiver<Prepared>,
    /// Documents that go are taken from here, when nothing is left to be read.
    rest: std::slice::Iter<'a, Job>,
    /// Since when nothing was read, without the time in which others were served.
    quiet: Quiet,
    progress: Progress,
    report: Report<'a>,
    beside: Beside<'a, 'b>,
    total: Outcome,
}

impl Course<'_, '_> {
    /// Writes one document, of a batch that began after `before` bytes; false if the run is to end.
    fn write(&mut self, batch: &mut Batch, prepared: Prepared, before: u64) -> Result<bool> {
        self.quiet.heard(Instant::now());
        self.progress.done += 1;
        self.progress.current.clone_from(&prepared.path);
        if self.beside.has_seen(&prepared.path) {
            // What was read here may be older than what was looked at since.
            batch.outcome.unchanged += 1;
        } else {
            batch.write(prepared)?;
        }
        self.progress.bytes = before + batch.bytes_total;
        Ok((self.report)(&self.progress))
    }

    /// Whether those who read are given up: nothing comes from them any more.
    fn is_lost(&mut self, index: &Index) -> bool {
        let root = Path::new(&self.source.root);
        reach::is_lost(self.quiet.look(Instant::now()), || index.reach().is_silent(root))
    }

    /// Removes the next document that is gone; false when there is none. Last: what was moved is
    /// found under its new path before the old one goes.
    fn remove_next(&mut self, batch: &mut Batch) -> Result<bool> {
        let seen = |path: &str| self.beside.has_seen(path);
        let next = self.rest.find_map(|job| match job {
            Job::Remove { id, path } if !seen(path) => Some((*id, path)),
            _ => None,
        });
        let Some((id, path)) = next else { return Ok(false) };
        batch.remove(id, path)?;
        Ok(true)
    }
}

fn add(total: &mut Outcome, part: Outcome) {
    total.changed += part.changed;
    total.removed += part.removed;
    total.unchanged += part.unchanged;
    total.failed += part.failed;
    total.unread.extend(part.unread);
    total.generation = part.generation;
}

/// How a folder becomes a source.
#[derive(Clone, Debug, Default)]
pub struct SourceSpec {
    /// Name; the folder's by default.
    pub name: Option<String>,
    /// Kind; found out by default.
    pub kind: Option<SourceKind>,
    /// Collection; by kind by default.
    pub collection: Option<String>,
    /// The person's home directory, which is refused.
    pub home: Option<PathBuf>,
    /// Take it all the same.
    pub force: bool,
    /// It may have no file in common with another source.
    pub apart: bool,
}

impl SourceSpec {
    /// The name that is given, if it is one: nothing but spaces names nothing.
    fn given_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.trim().is_empty())
    }
}

fn kind_of(root: &Path) -> SourceKind {
    if root.join(".obsidian").is_dir() {
        return SourceKind::Vault;
    }
    let marks = [".git", "Cargo.toml", "package.json", "pyproject.toml", "go.mod", "pom.xml"];
    if marks.iter().any(|mark| root.join(mark).exists()) {
        return SourceKind::Repo;
    }
    SourceKind::Folder
}

fn default_collection(kind: SourceKind) -> String {
    if kind == SourceKind::Repo { "code" } else { "notes" }.to_owned()
}

fn name_of(root: &Path) -> String {
    let name =
        root.file_name().map_or_else(|| "root".to_owned(), |n| n.to_string_lossy().into_owned());
    // Names stand in URIs and filters: no separators in them.
    name.replace(['/', '\\', ':', '#', '?', '%'], "-")
}

fn free_name(wanted: &str, sources: &[Source]) -> String {
    let taken = |name: &str| sources.iter().any(|s| s.is_called(name));
    if !taken(wanted) {
        return wanted.to_owned();
    }
    (2..).map(|n| format!("{wanted}-{n}")).find(|name| !taken(name)).unwrap_or_default()
}

/// Whether a name is one that [`free_name`] makes of another.
fn is_numbered(name: &str, wanted: &str) -> bool {
    let number = name.strip_prefix(wanted).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The device that a folder lies on; 0 where there is no such thing.
fn device(root: &Path) -> i64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(root).map_or(0, |meta| meta.dev() as i64)
    }
    #[cfg(not(unix))]
    {
        let _ = root;
        0
    }
}

/// Which files to read and which documents to remove.
fn compare(walked: &Walked, mut known: HashMap<String, Known>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for Found { path, stamp } in &walked.files {
        let before = known.remove(path);
        let same = before.as_ref().is_some_and(|k| k.stamp == *stamp && !racy(k));
        if !same {
            jobs.push(Job::Read { path: path.clone(), known: before });
        }
    }
    let gone = known.into_iter().filter(|(path, _)| walked.knows(path));
    jobs.extend(gone.map(|(path, known)| Job::Remove { id: known.id, path }));
    jobs
}

/// A file written in the moment it was read may have changed behind an equal stamp. Where the
/// system keeps a time of change, that one alone proves it: anybody may set the other, to a year
/// that is still to come.
fn racy(known: &Known) -> bool {
    let Stamp { mtime_ns, ctime_ns, .. } = known.stamp;
    let changed_ms = if ctime_ns == 0 { mtime_ns } else { ctime_ns } / 1_000_000;
    changed_ms + RACY.as_millis() as i64 > known.read_ms
}

impl Reading {
    /// Reads and parses one document after the other, until there is none or nobody takes them.
    fn prepare_all(&self, send: &SyncSender<Prepared>) {
        while !self.stop.load(Ordering::Relaxed) {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(next) else { return };
            let Job::Read { path, known } = job else { continue };
            let read_ms = (self.now_ms)();
            // Whatever panics here costs one file, not the writer.
            let work = || prepare(&self.source, path, known.as_ref(), read_ms, &self.gate);
            let work = std::panic::AssertUnwindSafe(work);
            let result = std::panic::catch_unwind(work).unwrap_or_else(|_| {
                Err(Error::Row("its parser failed; please report the file".to_owned()))
            });
            let prepared = Prepared { path: path.clone(), known: known.clone(), read_ms, result };
            if send.send(prepared).is_err() {
                return;
            }
        }
    }
}

fn prepare(
    source: &Source,
    path: &str,
    known: Option<&Known>,
    now: i64,
    gate: &Gate,
) -> Result<Ready> {
    let extract = kind::of(path).0.extract;
    let opened = disk::open(Path::new(&source.root), path)?;
    let mut permit = gate.enter(limit::in_flight(opened.size(extract)));
    let loaded = opened.load(extract)?;
    if let Some(known) = known
        && known.hash == loaded.hash
    {
        return Ok(Ready::Same(loaded.stamp));
    }
    let mut document = document(source, path, loaded, now)?;
    permit.shrink(limit::in_hand(document.text.len()));
    document.permit = Some(permit);
    Ok(Ready::New(Box::new(document)))
}

/// The content of a document as it is now.
pub(crate) fn load(db: &Connection, source: &Source, path: &str, id: u32) -> Result<Loaded> {
    if source.kind == SourceKind::Pushed {
        let text = db::kept(db, id)?.unwrap_or_default();
        let hash = disk::hash(text.as_bytes());
        let content = Content::Text { text, encoding: "UTF-8", plain: false };
        return Ok(Loaded { stamp: Stamp::default(), hash, content });
    }
    let root = Path::new(&source.root);
    let extract = kind::of(path).0.extract;
    // What was made of a file is kept: making it again takes far longer than reading it.
    if extract.is_some()
        && let Some((stamp, hash)) = db::stamp_of(db, id)?
        && disk::stamp(root, path)? == stamp
        && let Some(content) = kept(db, id)?
    {
        return Ok(Loaded { stamp, hash, content });
    }
    disk::load(root, path, extract)
}

/// What is kept of a document whose text was made: it, or why nothing could be made, which may have
/// taken all the time that there is.
pub(crate) fn kept(db: &Connection, id: u32) -> Result<Option<Content>> {
    if let Some(text) = db::kept(db, id)? {
        return Ok(Some(Content::Text { text, encoding: "UTF-8", plain: false }));
    }
    Ok(db::note_of(db, id)?.map(|reason| Content::NameOnly { reason }))
}

/// Whether the text of a document is made of its file. That of pushed content was made before.
pub(crate) fn is_made(source: &Source, path: &str) -> bool {
    source.kind != SourceKind::Pushed && kind::of(path).0.extract.is_some()
}

/// Parses a text; `None` when its parser panics, which costs one document and nobody's thread.
fn parse(kind: &Kind, path: &str, text: &str) -> Option<Parsed> {
    let work = || {
        let lines = LineIndex::new(text);
        let mut parsed = (kind.parse)(&Input { path, text, lines: &lines });
        parsed.bound_names();
        parsed
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
}

/// Parses a loaded file into everything that is written of it.
pub(crate) fn document(source: &Source, path: &str, loaded: Loaded, now: i64) -> Result<Document> {
    document_of(kind::of(path), source, path, loaded, now)
}

/// The same of a kind and its exact name. A text that its parser fails on is found by its name.
fn document_of(
    (kind, kind_name): (&Kind, &str),
    source: &Source,
    path: &str,
    loaded: Loaded,
    now: i64,
) -> Result<Document> {
    let (mut text, mut plain, mut note) = match loaded.content {
        Content::Text { text, plain, .. } => (text, plain, None),
        Content::NameOnly { reason } => (String::new(), false, Some(reason)),
    };
    let parsed = match parse(kind, path, &text) {
        Some(parsed) => parsed,
        None => {
            (text, plain, note) = (String::new(), false, Some(disk::NOT_PARSED.to_owned()));
            let title = kind::stem(path).to_owned();
            parse(kind, path, "").unwrap_or(Parsed { title, ..Parsed::default() })
        }
    };
    let note = note.or_else(|| parsed.left_out());
    let rows: Vec<ChunkRow> = parsed.chunks.iter().map(|c| chunk_row(&text, c)).collect();
    let row = FileRow {
        id: 0,
        source: source.id,
        path: path.to_owned(),
        generation: 0,
        stamp: loaded.stamp,
        read_ms: now,
        hash: loaded.hash,
        kind: parsed.kind.unwrap_or(kind_name).to_owned(),
        class: kind.class,
        title: parsed.title.clone(),
        modified_ms: loaded.stamp.mtime_ns / 1_000_000,
        n_chunks: parsed.chunks.len() as u32,
        bytes: text.len() as u64,
        plain,
        note,
        chunks: Chunks::new(&rows)?,
        body: body(&parsed),
    };
    let written = (kind.class == Class::Note).then(|| language::written(&text)).flatten();
    Ok(Document { row, text, parsed, written, permit: None })
}

/// The row of a document as it is now, if it is not what was indexed any more; not for content that
/// cannot be read.
pub(crate) fn row_now(db: &Connection, source: &Source, row: &FileRow) -> Option<FileRow> {
    let root = Path::new(&source.root);
    let pushed = source.kind == SourceKind::Pushed;
    if pushed || disk::stamp(root, &row.path).is_ok_and(|stamp| stamp == row.stamp) {
        return None;
    }
    let loaded = load(db, source, &row.path, row.id).ok().filter(|now| now.hash != row.hash)?;
    let now = document(source, &row.path, loaded, row.read_ms).ok()?.row;
    Some(FileRow { id: row.id, generation: row.generation, ..now })
}

/// The passages of a file as it is now, and its text; `None` if it has none.
pub(crate) fn passages(path: &str, content: Content) -> Option<(Vec<ChunkRow>, String)> {
    let Content::Text { text, .. } = content else { return None };
    let parsed = parse(kind::of(path).0, path, &text)?;
    let rows = parsed.chunks.iter().map(|chunk| chunk_row(&text, chunk)).collect();
    Some((rows, text))
}

/// The texts that are embedded of a document as it was indexed: one for each of its passages, and
/// of a note of several one for its head. `None` where `content` is not what its row was made of.
pub(crate) fn inputs(row: &FileRow, content: Content) -> Option<Vec<String>> {
    let Content::Text { text, .. } = content else {
        return (row.n_chunks == 0).then(Vec::new);
    };
    let (kind, _) = kind::of(&row.path);
    let Some(parsed) = parse(kind, &row.path, &text) else {
        return (row.n_chunks == 0).then(Vec::new);
    };
    let passages: Vec<ChunkRow> = row.chunks.iter().collect();
    if passages.len() != row.n_chunks as usize {
        return None;
    }
    let borders = parsed.chunks.iter().map(|c| (c.bytes.start as u32, c.bytes.end as u32));
    let alike = borders.eq(passages.iter().map(|c| (c.start, c.end)));
    let bodies = passages.iter().map(|c| text.get(c.start as usize..c.end as usize));
    let bodies = bodies.collect::<Option<Vec<&str>>>()?;
    // A parse that ran out of time, now or then, has other passages: those of the row count.
    let headers: Vec<String> = match alike {
        true => parsed.chunks.iter().map(|chunk| chunk.header.clone()).collect(),
        false => passages.iter().map(|chunk| header(&row.title, chunk)).collect(),
    };
    let together = |(header, body): (&String, &&str)| format!("{header}\n{body}");
    let mut inputs: Vec<String> = headers.iter().zip(&bodies).map(together).collect();
    if kind.class == Class::Note && inputs.len() > 1 {
        let bodies = bodies.concat();
        let head = crate::chunk::clip(&bodies, HEAD_BYTES_MAX);
        inputs.push(format!("{}\n{head}", parsed.title));
    }
    Some(inputs)
}

/// What a passage stands under, as far as its row says it.
fn header(title: &str, chunk: &ChunkRow) -> String {
    let mut out = String::new();
    let parts = [Some(title), chunk.heading.as_deref(), chunk.symbol.as_deref()];
    parts.into_iter().flatten().for_each(|part| crate::chunk::push_header(&mut out, part));
    out
}

fn chunk_row(text: &str, chunk: &Chunk) -> ChunkRow {
    let mut hash = [0; 8];
    hash.copy_from_slice(&disk::hash(&text.as_bytes()[chunk.bytes.clone()])[..8]);
    ChunkRow {
        start: chunk.bytes.start as u32,
        end: chunk.bytes.end as u32,
        first: chunk.lines.0,
        last: chunk.lines.1,
        heading: chunk.heading.clone(),
        symbol: chunk.symbol.clone(),
        hash,
    }
}

fn body(parsed: &Parsed) -> Body {
    Body {
        aliases: parsed.aliases.clone(),
        tags: parsed.tags.clone(),
        sections: parsed.sections.clone(),
        symbols: parsed.symbols.clone(),
        blocks: parsed.blocks.clone(),
    }
}

/// Adds what a document says to the word index.
pub(crate) fn add_words(writer: &Writer, document: &Document) -> Result<()> {
    let Document { row, text, parsed, .. } = document;
    let titles = std::iter::once(&parsed.title).chain(&parsed.aliases);
    let titles = titles.cloned().collect::<Vec<_>>().join("\n");
    let tags = parsed.tags.join("\n");
    let of_document = DocumentText {
        file: row.id,
        generation: row.generation,
        class: row.class,
        titles: &titles,
        path: &row.path,
        tags: &tags,
        language: document.written.and_then(Written::stemmed),
    };
    let passages: Vec<PassageText> = parsed
        .chunks
        .iter()
        .zip(exact_names(parsed))
        .map(|(chunk, exact)| PassageText {
            body: &text[chunk.bytes.clone()],
            header: &chunk.header,
            names: &chunk.names,
            exact,
        })
        .collect();
    writer.add(&of_document, &passages)
}

/// What a document's properties are: those it states, its tags, and its language.
pub(crate) fn props_of(parsed: &Parsed, written: Option<Written>) -> Vec<(String, String)> {
    let mut props = parsed.props.clone();
    props.extend(parsed.tags.iter().map(|tag| ("#".to_owned(), tag.clone())));
    let stemmed = written.and_then(Written::stemmed);
    props.extend(stemmed.map(|l| (db::LANGUAGE.to_owned(), l.code().to_owned())));
    props.extend(written.map(|w| (db::WRITTEN.to_owned(), w.code().to_owned())));
    props
}

/// By passage: the definitions declared in it that people look up by name, each with the item
/// around it.
fn exact_names(parsed: &Parsed) -> Vec<Vec<(&str, Option<&str>)>> {
    let mut out = vec![Vec::new(); parsed.chunks.len()];
    let mut open: Vec<&Symbol> = Vec::new();
    for (symbol, at) in parsed.symbols.iter().zip(&parsed.declared) {
        while open.last().is_some_and(|outer| outer.bytes.end < symbol.bytes.end) {
            open.pop();
        }
        let outer = open.last().map(|outer| outer.name.as_str());
        open.push(symbol);
        let n = parsed.chunks.partition_point(|chunk| chunk.bytes.start <= *at);
        let names = n.checked_sub(1).and_then(|n| out.get_mut(n));
        if let Some(names) = names.filter(|_| !NOT_DEFINITIONS.contains(&symbol.kind.as_str())) {
            names.push((symbol.name.as_str(), outer));
        }
    }
    out
}

/// The updater inside a transaction, which is undone if it was not ended when this is dropped.
struct Inside<'u>(&'u mut Updater);

impl Deref for Inside<'_> {
    type Target = Updater;

    fn deref(&self) -> &Updater {
        self.0
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let db = &self.0.db;
        if !db.is_autocommit()
            && let Err(error) = db.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %error, "a batch that failed was not undone");
        }
        if let Err(error) = db.pragma_update(None, "cache_size", -CACHE_KIB) {
            tracing::warn!(error = %error, "the database keeps its large cache");
        }
    }
}

/// One transaction and the words that go with it.
struct Batch<'u> {
    updater: Inside<'u>,
    source: Source,
    memory: Memory,
    words: Kept,
    /// Of the next commit.
    generation: u64,
    outcome: Outcome,
    /// Something changed since the last commit.
    changed: bool,
    began: Instant,
    files: usize,
    bytes: u64,
    bytes_total: u64,
    link_keys: HashSet<String>,
    /// Keys of links that were there before: maybe nothing links to them any more.
    old_link_keys: HashSet<String>,
    /// Documents written anew: maybe links to their old names mean them no more.
    rewritten: HashSet<u32>,
}

impl<'u> Batch<'u> {
    fn open(updater: &'u mut Updater, source: &Source, bulk: bool) -> Result<Self> {
        updater.look()?;
        // Words that lag, or were emptied under us, would lag for good once they have a newer name.
        updater.recover()?;
        let generation = db::generation(&updater.db)? + 1;
        let memory = updater.index.memory();
        let words = updater.take_words(bulk)?;
        let updater = Inside(updater);
        let pages = if bulk { memory.cache_kib() } else { CACHE_KIB };
        updater.db.pragma_update(None, "cache_size", -pages)?;
        updater.db.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Batch {
            updater,
            source: source.clone(),
            memory,
            words,
            generation,
            outcome: Outcome::default(),
            changed: false,
            began: Instant::now(),
            files: 0,
            bytes: 0,
            bytes_total: 0,
            link_keys: HashSet::new(),
            old_link_keys: HashSet::new(),
            rewritten: HashSet::new(),
        })
    }

    fn is_full(&self, room: Room) -> bool {
        let Room { files, bytes, time } = room;
        let keys = self.link_keys.len() + self.old_link_keys.len();
        let full = self.bytes >= bytes.min(self.memory.batch_bytes()) || keys >= BATCH_KEYS_MAX;
        full || self.files >= files || self.began.elapsed() >= time
    }

    fn remove(&mut self, id: u32, path: &str) -> Result<()> {
        self.changed = true;
        self.note_keys(id)?;
        db::remove_file(&self.updater.db, id, self.generation)?;
        db::clear_problem(&self.updater.db, self.source.id, path)?;
        self.words.writer.remove(id);
        self.words.writer.remove_links(id);
        self.outcome.removed += 1;
        self.files += 1;
        Ok(())
    }

    fn write(&mut self, prepared: Prepared) -> Result<()> {
        let Prepared { path, known, read_ms, result } = prepared;
        let db = &self.updater.db;
        match result {
            Ok(Ready::Same(stamp)) => {
                if let Some(known) = known {
                    db::touch(db, known.id, &stamp, read_ms)?;
                }
                self.outcome.unchanged += 1;
            }
            Ok(Ready::New(document)) => self.write_document(known, *document)?,
            Err(Error::Data { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                // It went away between the walk and now: that is no failure.
                if let Some(known) = known {
                    self.remove(known.id, &path)?;
                }
            }
            Err(error) => {
                // An unreadable file keeps what was indexed of it.
                let reason = failure(&error);
                db::put_problem(db, self.source.id, &path, &reason)?;
                self.outcome.failed += 1;
                let soon = matches!(error, Error::Data { .. });
                if soon && self.outcome.unread.len() < PATHS_MAX {
                    self.outcome.unread.push(path);
                }
            }
        }
        self.files += 1;
        Ok(())
    }

    fn write_document(&mut self, known: Option<Known>, mut document: Document) -> Result<()> {
        self.changed = true;
        let id = known.map_or(0, |k| k.id);
        if id != 0 {
            self.note_keys(id)?;
            self.rewritten.insert(id);
            self.words.writer.remove(id);
            db::clear_graph(&self.updater.db, id)?;
        }
        document.row.id = id;
        document.row.generation = self.generation;
        let db = &self.updater.db;
        document.row.id = db::put_file(db, &document.row)?;
        let id = document.row.id;
        let row = &document.row;
        let names =
            graph::names(&row.path, &row.title, &row.body.aliases, row.class == Class::Note);
        let links: Vec<(String, Link)> = std::mem::take(&mut document.parsed.links)
            .into_iter()
            .map(|link| (graph::link_key(&link.target), link))
            .collect();
        let props = props_of(&document.parsed, document.written);
        db::put_graph(db, id, &names, &links, &props)?;
        if self.source.kind == SourceKind::Pushed {
            db::keep(db, id, &document.text)?;
        } else if is_made(&self.source, &document.row.path) {
            match document.made() {
                Some(text) => db::keep(db, id, text)?,
                None => db::unkeep(db, id)?,
            }
        }
        match &document.row.note {
            Some(note) if note != disk::NOT_TEXT => {
                db::put_problem(db, self.source.id, &document.row.path, note)?;
            }
            _ => db::clear_problem(db, self.source.id, &document.row.path)?,
        }
        let keys = names.into_iter().map(|(key, _)| key);
        self.link_keys.extend(keys.map(|k| k.strip_suffix(".md").unwrap_or(&k).to_owned()));
        self.link_keys.extend(links.into_iter().map(|(key, _)| key));
        add_words(&self.words.writer, &document)?;
        self.bytes += document.row.bytes;
        self.bytes_total += document.row.bytes;
        self.outcome.changed += 1;
        Ok(())
    }

    /// Remembers what a document was named and linked to, before that changes.
    fn note_keys(&mut self, id: u32) -> Result<()> {
        let db = &self.updater.db;
        for key in db::names_of(db, id)? {
            self.link_keys.insert(key.strip_suffix(".md").unwrap_or(&key).to_owned());
        }
        for row in db::links_of(db, id)? {
            self.old_link_keys.insert(graph::link_key(&row.link.target));
        }
        Ok(())
    }

    /// Ends the transaction, if something was written in it, and starts the next one.
    fn flush(&mut self) -> Result<()> {
        if self.files > 0 {
            self.end()?;
            (self.files, self.bytes) = (0, 0);
            self.updater.db.execute_batch("BEGIN IMMEDIATE")?;
        }
        self.began = Instant::now();
        Ok(())
    }

    /// Ends the transaction; what changed documents becomes the next generation.
    fn end(&mut self) -> Result<()> {
        if !self.changed {
            self.updater.db.execute_batch("COMMIT")?;
            return Ok(());
        }
        self.finish()?;
        self.changed = false;
        self.generation += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let keys = std::mem::take(&mut self.link_keys);
        let db = &self.updater.db;
        let mut linked: HashSet<String> = linked_keys(db, keys)?;
        linked.extend(self.old_link_keys.drain());
        for (id, texts) in graph::changed_texts(db, &linked, self.rewritten.drain())? {
            self.words.writer.set_links(id, &texts)?;
        }
        db::set_generation(db, self.generation)?;
        db.execute_batch("COMMIT")?;
        self.words.writer.commit(self.generation)?;
        db::prune_gone(db, self.generation)?;
        Ok(())
    }

    fn commit(mut self) -> Result<Outcome> {
        self.end()?;
        let Batch { updater, words, outcome, generation, .. } = self;
        // Merges go on behind the next batch.
        updater.0.kept = Some(words);
        Ok(Outcome { generation: generation - 1, ..outcome })
    }
}

/// Keys that some link uses; most names of code files are used by none.
fn linked_keys(db: &Connection, keys: HashSet<String>) -> Result<HashSet<String>> {
    let mut statement = db.prepare_cached("SELECT 1 FROM link WHERE key=? LIMIT 1")?;
    let mut out = HashSet::new();
    for key in keys {
        if statement.exists([&key])? {
            out.insert(key);
        }
    }
    Ok(out)
}

fn failure(error: &Error) -> String {
    match error {
        Error::Data { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(input: &Input) -> Parsed {
        assert!(input.text.is_empty(), "a parser that fails");
        Parsed::default()
    }

    fn a_vault() -> Source {
        Source {
            id: 1,
            name: "vault".to_owned(),
            kind: SourceKind::Vault,
            root: String::new(),
            collection: "notes".to_owned(),
            commit: None,
            scanned_ms: None,
        }
    }

    #[test]
    fn a_text_that_its_parser_fails_on_is_found_by_its_name() {
        let kind = Kind { recognise: |_| None, class: Class::Note, parse: fails, extract: None };
        let source = a_vault();
        let content = Content::Text { text: "x".to_owned(), encoding: "UTF-8", plain: true };
        let loaded = Loaded { stamp: Stamp::default(), hash: disk::hash(b"x"), content };
        let document = document_of((&kind, "broken"), &source, "a/b.md", loaded, 5).unwrap();
        let Document { row, text, .. } = document;
        assert_eq!(row.note.as_deref(), Some(disk::NOT_PARSED));
        assert_eq!((row.n_chunks, row.bytes, row.plain, text.as_str()), (0, 0, false, ""));
        assert_eq!(row.hash, disk::hash(b"x"), "it is read again when it changes");
        assert!(parse(&kind, "a/b.md", "x").is_none());
    }

    #[test]
    fn passages_are_embedded_as_their_row_has_them_whatever_a_parse_gives_now() {
        let text = "# Tide\n\nebb\n\nflow\n";
        let source = a_vault();
        let content = || Content::Text { text: text.to_owned(), encoding: "UTF-8", plain: true };
        let loaded = Loaded { stamp: Stamp::default(), hash: [0; 16], content: content() };
        let mut row = document(&source, "a.md", loaded, 5).unwrap().row;
        assert_eq!(inputs(&row, content()), Some(vec![format!("\n{text}")]));
        // As a parse that ran out of time may have left them.
        let whole = row.chunks.get(0).unwrap();
        let part = |start, end| ChunkRow { start, end, heading: None, ..whole.clone() };
        let mut parts = vec![part(0, 8), part(8, 13), part(13, 18)];
        row.chunks = Chunks::new(&parts).unwrap();
        assert_eq!(inputs(&row, content()), None, "its row says another number");
        row.n_chunks = 3;
        let given = inputs(&row, content()).unwrap();
        let head = format!("Tide\n{}", &text[..18]);
        assert_eq!(given, ["Tide\n# Tide\n\n", "Tide\nebb\n\n", "Tide\nflow\n", &head]);
        parts[2] = part(13, 400);
        row.chunks = Chunks::new(&parts).unwrap();
        assert_eq!(inputs(&row, content()), None, "another text");
        let none = Content::NameOnly { reason: "is locked".to_owned() };
        assert_eq!(inputs(&row, none), None);
    }

    #[test]
    fn a_source_that_did_not_answer_is_named_once_and_read_when_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let vault = dir.path().join("vault");
        std::fs::create_dir(&vault).unwrap();
        std::fs::write(vault.join("a.md"), "a walrus").unwrap();
        let index = Index::open(&dir.path().join("data")).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        let source = updater.add_source(&vault, &SourceSpec::default()).unwrap();
        let crew = index.reach().crew(Path::new(&source.root));
        let stuck = crew.enter();
        crew.give_up();
        let outcome = updater.scan(&source, &|_| true).unwrap();
        assert!(outcome.silent && outcome.changed == 0 && updater.is_away(source.id));
        // It answers before anybody has asked.
        drop(stuck);
        assert_eq!(updater.take_silent().into_iter().collect::<Vec<_>>(), [source.id]);
        let outcome = updater.scan(&source, &|_| true).unwrap();
        assert!(!outcome.silent && outcome.changed == 1 && !updater.is_away(source.id));
        assert!(updater.take_silent().is_empty());
    }

    #[test]
    fn an_empty_name_names_no_source() {
        let dir = tempfile::tempdir().unwrap();
        let vault = dir.path().join("vault");
        std::fs::create_dir(&vault).unwrap();
        let index = Index::open(&dir.path().join("data")).unwrap();
        let mut updater = Updater::new(index, || 1).unwrap();
        for (given, name) in [("", "vault"), ("tide", "tide"), ("", "tide"), (" \t", "tide")] {
            let spec = SourceSpec { name: Some(given.to_owned()), ..SourceSpec::default() };
            assert_eq!(updater.add_source(&vault, &spec).unwrap().name, name, "{given:?}");
            assert_eq!(updater.sources().unwrap()[0].name, name, "{given:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_said_and_the_rest_is_found() {
        fn leaves(input: &Input) -> Parsed {
            let mut parsed = (kind::text::PROSE.parse)(input);
            parsed.leave_out(kind::Left::Time, 0);
            parsed
        }
        let kind = Kind { recognise: |_| None, class: Class::Code, parse: leaves, extract: None };
        let dir = tempfile::tempdir().unwrap();
        let mut updater = Updater::new(Index::open(dir.path()).unwrap(), || 1).unwrap();
        updater.push("pushed", "x.rs", "fn walrus() {}".to_owned()).unwrap();
        let source = updater.sources().unwrap().remove(0);
        let content = Content::Text { text: "x".to_owned(), encoding: "UTF-8", plain: true };
        let loaded = Loaded { stamp: Stamp::default(), hash: disk::hash(b"x"), content };
        let document = document_of((&kind, "slow"), &source, "y.rs", loaded, 5).unwrap();
        assert_eq!((document.row.n_chunks, document.row.plain), (1, true));
        let said = document.row.note.clone().unwrap();
        assert!(said.starts_with("takes over 2 s to parse"), "{said}");
        let mut batch = Batch::open(&mut updater, &source, false).unwrap();
        batch.write_document(None, document).unwrap();
        assert!(!batch.is_full(Room::WHOLE));
        batch.commit().unwrap();
        let (listed, n) = db::problems(&updater.db, source.id, 9).unwrap();
        assert_eq!((listed, n), (vec![("y.rs".to_owned(), said)], 1));
    }

    #[test]
    fn only_a_change_makes_a_stamp_doubtful() {
        let second = 1_000_000_000;
        let racy = |mtime_s: i64, ctime_s: i64, read_s: i64| {
            let (mtime_ns, ctime_ns) = (mtime_s * second, ctime_s * second);
            let stamp = Stamp { mtime_ns, ctime_ns, ..Stamp::default() };
            super::racy(&Known { id: 1, stamp, read_ms: read_s * 1_000, hash: [0; 16] })
        };
        assert!(racy(50, 100, 100) && racy(50, 100, 101) && !racy(50, 100, 102));
        assert!(!racy(9_000, 100, 102), "a time that somebody set proves nothing");
        assert!(racy(100, 0, 101) && !racy(100, 0, 102), "where there is no other, it has to do");
    }

    #[test]
    fn a_batch_that_is_given_up_leaves_no_transaction_and_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(index, || 1).unwrap();
        updater.push("pushed", "kept.md", "a walrus".to_owned()).unwrap();
        let source = updater.sources().unwrap().remove(0);
        let mut batch = Batch::open(&mut updater, &source, true).unwrap();
        let id = db::id_at(&batch.updater.db, source.id, "kept.md").unwrap().unwrap();
        batch.remove(id, "kept.md").unwrap();
        drop(batch);
        assert!(updater.db.is_autocommit());
        assert_eq!(db::id_at(&updater.db, source.id, "kept.md").unwrap(), Some(id));
        updater.push("pushed", "more.md", "an anemone".to_owned()).unwrap();
        assert_eq!(updater.index.check().unwrap().differences, Vec::<String>::new());
    }
}
