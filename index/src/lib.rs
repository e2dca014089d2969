//! The engine that finds: sources to passages, words to hits, links to neighbours.
//!
//! Knows neither MCP nor HTTP nor the command line, and no other engine. Synchronous: callers
//! choose the thread. One process writes ([`Updater`]), any number read ([`Index`]).

mod anchor;
mod apart;
mod carry;
mod check;
pub mod chunk;
mod compact;
mod compound;
mod cover;
mod db;
mod deep;
mod dense;
pub mod disk;
mod doing;
mod embed;
mod error;
mod filter;
mod fit;
mod flight;
mod fuse;
mod gain;
mod graph;
mod history;
mod hit;
pub mod hnsw;
pub mod jail;
mod kernel;
pub mod kind;
mod language;
mod lexical;
pub mod limit;
mod list;
mod meaning;
pub mod mount;
mod nest;
mod outcome;
mod pack;
pub mod path;
mod place;
mod plan;
mod qualifier;
pub mod query;
mod queue;
mod rank;
mod reach;
mod read;
mod recover;
mod related;
mod retry;
mod rule;
pub mod salvage;
mod scan;
mod score;
mod search;
mod segment;
mod snippet;
mod space;
mod status;
mod stem;
mod symbol;
pub mod token;
mod touch;
mod trace;
mod turn;
mod twin;
mod update;
pub mod vector;
mod view;
pub mod walk;
pub mod watch;
mod words;

pub use carry::{Carried, CarriedVector};
pub use check::Check;
pub use db::Role;
pub use db::{Source, SourceKind};
pub use doing::{Doing, Run};
pub use embed::{Batch, Coverage, Embedder, Made, Work};
pub use error::{Error, Result};
pub use filter::{Filters, date_ms, timestamp};
pub use fit::MadeFor;
pub use history::{HistoryRead, HistoryWork};
pub use hnsw::VectorIndex;
pub use list::Listed;
pub use pack::{Extent, LeftOut, Pack, PackArgs, Piece, Why as PieceWhy};
pub use reach::Reach;
pub use read::{Outline, ReadArgs, Reading, Target};
pub use related::{Neighbour, Related, RelatedArgs};
pub use search::{Detail, Explain, Found, Hit, Mode, SearchArgs};
pub use space::{GraphWork, SpaceStatus, alike};
pub use status::{SourceStatus, Status, Why};
pub use turn::Ahead;
pub use update::{Outcome, Progress, Report, SourceSpec, Updater};

use lexical::Lexical;
use limit::Memory;
use rusqlite::Connection;
use score::{Scorer, Scratch};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use view::View;
use watch::Watching;

/// The index of one data directory, as readers see it.
pub struct Index {
    dir: PathBuf,
    /// This process may not write it.
    read_only: bool,
    /// The words as they are open; `None` while they are damaged.
    words: RwLock<Option<Arc<Lexical>>>,
    connections: Mutex<Vec<Connection>>,
    /// Which file the database was when it was last looked at.
    place: Mutex<place::Place>,
    /// Raised when another file takes the place of the database: what was kept of the former one
    /// counts no more.
    epoch: AtomicU64,
    current: RwLock<Option<Arc<Current>>>,
    scratch: Mutex<Vec<Scratch>>,
    filters: Mutex<search::FilterCache>,
    freshness: RwLock<Freshness>,
    doing: RwLock<Doing>,
    counted: Mutex<Option<status::Counted>>,
    embedders: RwLock<Embedders>,
    /// The model of the configuration is there, and is not open yet.
    opening: AtomicBool,
    /// Why it does not embed.
    failure: RwLock<Option<String>>,
    asked: Mutex<HashMap<u32, u32>>,
    rate: RwLock<f32>,
    watching: RwLock<HashMap<i64, Watching>>,
    dense: Mutex<Option<Arc<dense::Dense>>>,
    vector_index: RwLock<VectorIndex>,
    memory: RwLock<Memory>,
    reach: Reach,
    /// This process holds the writer's lock, and what a crash left is brought up.
    writes: AtomicBool,
}

/// Documents of which it is known how often they were found.
const ASKED_MAX: usize = 1_000;
/// Longest wait for another process that makes the first files; it may be a stopped one.
const CREATE_WAIT: Duration = Duration::from_secs(1);
/// Between two looks whether it is done.
const CREATE_STEP: Duration = Duration::from_millis(5);

/// The models that embed.
#[derive(Default)]
struct Embedders {
    /// That of the configuration: its space is filled.
    wanted: Option<Arc<dyn Embedder>>,
    /// That of the space which answers until then.
    former: Option<Arc<dyn Embedder>>,
}

/// A view and the tables that score it.
pub(crate) struct Current {
    pub(crate) view: View,
    pub(crate) scorer: Scorer,
}

/// What the process knows of pending work; set by whoever writes or watches the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Files known to wait for indexing.
    pub pending: u64,
    /// A writer watches the sources and is done with them.
    pub fresh: bool,
}

impl Index {
    /// Opens the index below `data`, making it if it is not there. Words that are damaged do not
    /// keep it from opening: whoever writes makes them anew. One that this process may not write is
    /// read as it lies ([`Index::is_read_only`]).
    ///
    /// # Errors
    /// `Data` when the folder cannot be made or written, `Newer` for a newer format.
    pub fn open(data: &Path) -> Result<Arc<Self>> {
        let dir = data.join("index");
        if place::is_read_only(data) {
            return Self::open_still(dir);
        }
        private_folder(&dir).map_err(|e| Error::data(&dir, e))?;
        let lock = creation_lock(&dir)?;
        let path = dir.join("index.db");
        let connection = open_shared(&path)?;
        let words = dir.join("words");
        // Beside a database that has words already none are made: they would be taken for its own.
        let make = lock.is_some() && db::generation(&connection)? == 0;
        if make {
            private_folder(&words).map_err(|e| Error::data(&words, e))?;
        }
        let words = unless_damaged(Lexical::open(&words, make))?;
        drop(lock);
        let place = place::Place::at(&path);
        Ok(Self::of(dir, false, place, connection, words))
    }

    /// Opens one that this process may not write.
    fn open_still(dir: PathBuf) -> Result<Arc<Self>> {
        // First: what changes while it is opened is seen by the next look.
        let place = place::Place::of_still(&dir.join("index.db"));
        let connection = db::open_as_it_lies(&dir.join("index.db"))?;
        let words = unless_damaged(Lexical::open_as_it_lies(&dir.join("words")))?;
        Ok(Self::of(dir, true, place, connection, words))
    }

    fn of(
        dir: PathBuf,
        read_only: bool,
        place: place::Place,
        connection: Connection,
        words: Option<Arc<Lexical>>,
    ) -> Arc<Self> {
        Arc::new(Index {
            words: RwLock::new(words),
            connections: Mutex::new(vec![connection]),
            place: Mutex::new(place),
            read_only,
            dir,
            epoch: AtomicU64::new(0),
            current: RwLock::new(None),
            scratch: Mutex::new(Vec::new()),
            filters: Mutex::new(search::FilterCache::default()),
            freshness: RwLock::new(Freshness::default()),
            doing: RwLock::default(),
            counted: Mutex::new(None),
            embedders: RwLock::default(),
            opening: AtomicBool::new(false),
            failure: RwLock::default(),
            asked: Mutex::default(),
            rate: RwLock::default(),
            watching: RwLock::default(),
            dense: Mutex::new(None),
            vector_index: RwLock::default(),
            memory: RwLock::default(),
            reach: Reach::default(),
            writes: AtomicBool::new(false),
        })
    }

    /// Another connection to the database, to read.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let path = self.dir.join("index.db");
        match self.read_only {
            true => db::open_as_it_lies(&path),
            false => db::open(&path, false),
        }
    }

    /// The folder of the index.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives the index a model that embeds; searches count meaning from now on.
    pub fn set_embedder(&self, embedder: Arc<dyn Embedder>) {
        self.embedders.write().unwrap_or_else(PoisonError::into_inner).wanted = Some(embedder);
        // What waits for it is what it may be given.
        *lock(&self.counted) = None;
    }

    /// Says whether a model that is there is still being opened: searches go by words until then.
    pub fn set_opening(&self, opening: bool) {
        self.opening.store(opening, Ordering::Relaxed);
    }

    /// Whether a model is being opened, by what was said last.
    pub fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Relaxed)
    }

    /// Says why texts cannot be embedded, or that they can.
    pub fn set_failure(&self, why: Option<String>) {
        if self.failure() != why {
            *self.failure.write().unwrap_or_else(PoisonError::into_inner) = why;
        }
    }

    /// Why texts cannot be embedded, by what was said last.
    pub fn failure(&self) -> Option<String> {
        self.failure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the index the model of the space that answers while another one's is filled.
    pub fn set_former(&self, embedder: Arc<dyn Embedder>) {
        self.embedders.write().unwrap_or_else(PoisonError::into_inner).former = Some(embedder);
        *lock(&self.counted) = None;
    }

    /// Lets that one go if it found another model in the place of its own; true if it did. Whoever
    /// gave it may open it again.
    pub fn let_former_go(&self) -> bool {
        let mut embedders = self.embedders.write().unwrap_or_else(PoisonError::into_inner);
        let gone = embedders.former.take_if(|former| former.take_changed());
        // What it has may take a moment to end, and searches wait for the lock.
        drop(embedders);
        gone.is_some()
    }

    /// The model that embeds.
    pub fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.embedders.read().unwrap_or_else(PoisonError::into_inner).wanted.clone()
    }

    /// Whether the model of this space is there.
    pub fn has_embedder(&self, space: &str) -> bool {
        self.embedders().iter().any(|embedder| embedder.is_called(space))
    }

    /// Lets models rest that nobody asked for a while; true if one gave something back.
    pub fn rest_embedders(&self) -> bool {
        // Each of them, whatever the first one says.
        self.embedders().iter().filter(|embedder| embedder.rest()).count() > 0
    }

    /// All models that may be asked for the vector of a query.
    pub(crate) fn embedders(&self) -> Vec<Arc<dyn Embedder>> {
        let embedders = self.embedders.read().unwrap_or_else(PoisonError::into_inner);
        embedders.wanted.iter().chain(&embedders.former).cloned().collect()
    }

    /// Says how the nearest vectors are found.
    pub fn set_vector_index(&self, mode: VectorIndex) {
        *self.vector_index.write().unwrap_or_else(PoisonError::into_inner) = mode;
        *lock(&self.dense) = None;
    }

    /// How the nearest vectors are found.
    pub fn vector_index(&self) -> VectorIndex {
        *self.vector_index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// States the limit of memory that holds while this process writes the index.
    pub fn set_memory(&self, memory: Memory) {
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = memory;
    }

    /// The limit of memory that was stated.
    pub fn memory(&self) -> Memory {
        *self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a document was found: it is embedded before others.
    pub(crate) fn asked_for(&self, file: u32) {
        let mut asked = lock(&self.asked);
        if asked.len() < ASKED_MAX || asked.contains_key(&file) {
            *asked.entry(file).or_default() += 1;
        }
    }

    /// Takes the documents that were found most often since the last time.
    pub(crate) fn most_asked(&self, limit: usize) -> Vec<u32> {
        let mut asked = lock(&self.asked);
        let mut rows: Vec<(u32, u32)> = asked.iter().map(|(file, n)| (*n, *file)).collect();
        rows.sort_unstable_by(|a, b| b.cmp(a));
        rows.truncate(limit);
        let files: Vec<u32> = rows.into_iter().map(|(_, file)| file).collect();
        asked.retain(|file, _| !files.contains(file));
        files
    }

    /// Which folders answer, as this process knows it.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether the file system of a source answers; waits two seconds at most. Nobody touches the
    /// files of one that does not.
    pub fn answers(&self, source: &Source) -> bool {
        self.reach.answers(Path::new(&source.root))
    }

    /// Refuses a folder whose file system does not answer, before anybody touches it.
    ///
    /// # Errors
    /// `Source`.
    pub fn must_answer(&self, folder: &Path) -> Result<()> {
        if self.reach.answers(folder) {
            return Ok(());
        }
        let shown = folder.display();
        let text = format!("cannot use `{shown}`: {}; try again when it does", reach::SILENT);
        Err(Error::Source(text))
    }

    /// Says what is pending; every reply carries it.
    pub fn set_freshness(&self, freshness: Freshness) {
        // Of a database that is gone nothing is said to be fresh.
        let fresh = freshness.fresh && self.look().is_ok();
        let freshness = Freshness { fresh, ..freshness };
        *self.freshness.write().unwrap_or_else(PoisonError::into_inner) = freshness;
    }

    /// Says how many passages are embedded each second.
    pub fn set_rate(&self, rate: f32) {
        *self.rate.write().unwrap_or_else(PoisonError::into_inner) = rate;
    }

    /// How many passages are embedded each second, by what was said last.
    pub fn rate(&self) -> f32 {
        *self.rate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how changes of each source are noticed, by source id.
    pub fn set_watching(&self, watching: HashMap<i64, Watching>) {
        *self.watching.write().unwrap_or_else(PoisonError::into_inner) = watching;
    }

    /// How changes of a source are noticed, by what was said last.
    pub fn watching(&self, source: i64) -> Option<Watching> {
        self.watching.read().unwrap_or_else(PoisonError::into_inner).get(&source).copied()
    }

    /// What is pending.
    pub fn freshness(&self) -> Freshness {
        *self.freshness.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one read transaction.
    pub(crate) fn read_db<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.look()?;
        let epoch = self.epoch();
        let pooled = lock(&self.connections).pop();
        let db = match pooled {
            Some(db) => db,
            None => self.connect()?,
        };
        db.prepare_cached("BEGIN")?.execute([])?;
        let watch = words::Watch(self);
        let result = work(&db);
        drop(watch);
        if matches!(result, Err(Error::Damaged(_))) {
            self.suspect();
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        let mut pool = lock(&self.connections);
        // More than a few idle connections only hold page caches.
        if pool.len() < 4 && epoch == self.epoch() {
            pool.push(db);
        }
        result
    }

    /// The words were made anew under a generation that views may know: they must look again.
    pub(crate) fn forget_view(&self) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
        *lock(&self.filters) = search::FilterCache::default();
        *lock(&self.dense) = None;
    }

    pub(crate) fn take_scratch(&self) -> Scratch {
        lock(&self.scratch).pop().unwrap_or_default()
    }

    pub(crate) fn give_scratch(&self, scratch: Scratch) {
        let mut pool = lock(&self.scratch);
        if pool.len() < 4 {
            pool.push(scratch);
        }
    }

    /// The sources.
    pub fn sources(&self) -> Result<Vec<Source>> {
        self.read_db(db::sources)
    }

    /// Refuses a folder, by its resolved path, that has files in common with a source.
    ///
    /// # Errors
    /// `Source`, with the name of that source.
    pub fn refuse_nested(&self, root: &Path) -> Result<()> {
        nest::refuse(root, &self.sources()?, &self.skipped())
    }

    /// The data directory, which may lie inside a source and must not be indexed itself.
    pub(crate) fn skipped(&self) -> Vec<PathBuf> {
        let data = self.dir().parent().unwrap_or(self.dir());
        vec![data.canonicalize().unwrap_or_else(|_| data.to_owned())]
    }

    /// The generation of the newest commit.
    pub fn generation(&self) -> Result<u64> {
        self.read_db(db::generation)
    }

    pub(crate) fn census(&self) -> Result<Vec<(u32, u64, u32)>> {
        let generation = self.generation()?;
        Ok(self.current(generation)?.view.census())
    }
}

/// Words that are damaged do not keep an index from opening.
fn unless_damaged(opened: Result<Lexical>) -> Result<Option<Arc<Lexical>>> {
    match opened {
        Ok(words) => Ok(Some(Arc::new(words))),
        Err(Error::Damaged(reason)) => {
            tracing::warn!(reason, "the words are damaged");
            Ok(None)
        }
        Err(Error::OtherWords) => {
            tracing::warn!("the words are those of another version");
            Ok(None)
        }
        Err(error) => Err(error),
    }
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
        let _ = sync_folder(folder);
    }
    Ok(())
}

/// Makes safe which files a folder has: a new file's own bytes being on disk does not.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Keeps two processes that start at once from both making the first files; `None` when another one
/// does not end with it.
fn creation_lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join("create.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| Error::data(&path, e))?;
    let until = Instant::now() + CREATE_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(CREATE_STEP);
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::data(path, error)),
        }
    }
}

/// Opens the database for writing. Of processes that make it at once, when they did not wait for
/// each other, SQLite refuses some without waiting.
fn open_shared(path: &Path) -> Result<Connection> {
    let until = Instant::now() + limit::BUSY;
    loop {
        match db::open(path, true) {
            Err(Error::Sql(error)) if db::is_busy(&error) && Instant::now() < until => {
                std::thread::sleep(CREATE_STEP);
            }
            opened => return opened,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
