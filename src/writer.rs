//! The process that writes: takes the lock, compares sources with the disk, watches them, and does
//! the jobs that any process left.
//!
//! One thread per process. While another process holds the lock, this one only looks whether it
//! still does, and how fresh its index is.

use crate::config::Config;
use crate::now_ms;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};
use synod_index::watch::{Touched, Watch};
use synod_index::{Error, Freshness, Index, Outcome, Progress, Source, SourceSpec, Updater, watch};
use synod_store::{Job, JobState, Store};
use synod_tools::{INDEX_JOB, IngestArgs, IngestOp};

/// Between two attempts to take the writer's lock.
const TAKEOVER: Duration = Duration::from_millis(1_000);
/// Between two looks for jobs of other processes, and between two signs of life.
const TICK: Duration = Duration::from_millis(200);
/// A writer without a sign of life for this long is stopped or stuck.
const BEAT_MAX: Duration = Duration::from_secs(5);
/// Events that wait while the writer is busy; more mean a full comparison.
const EVENTS_MAX: usize = 256;
/// Between two notes of a job's progress.
const NOTE: Duration = Duration::from_millis(100);

/// Wakes the writer of this process.
#[derive(Clone)]
pub struct Waker(SyncSender<Event>);

enum Event {
    Wake,
    Touched(Touched),
}

impl Waker {
    /// A job waits.
    pub fn wake(&self) {
        // A full channel is awake already.
        let _ = self.0.try_send(Event::Wake);
    }
}

/// A writer that has not started: its waker goes into the world that it needs.
pub struct Pending {
    send: SyncSender<Event>,
    receive: Receiver<Event>,
}

/// Makes the channel first.
pub fn prepare() -> (Waker, Pending) {
    let (send, receive) = sync_channel(EVENTS_MAX);
    (Waker(send.clone()), Pending { send, receive })
}

impl Pending {
    /// Starts the thread; it ends when `stop` is set.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        self,
        index: Arc<Index>,
        store: Arc<Store>,
        config: Arc<Config>,
        stop: Arc<AtomicBool>,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let mut writer =
                Loop { index, store, config, stop, events: self, watch: None, rescan: false };
            writer.run();
        })
    }
}

struct Loop {
    index: Arc<Index>,
    store: Arc<Store>,
    config: Arc<Config>,
    stop: Arc<AtomicBool>,
    events: Pending,
    watch: Option<Watch>,
    /// Files may have changed while nobody watched them.
    rescan: bool,
}

impl Loop {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&mut self) {
        while !self.stopped() {
            match Updater::new(Arc::clone(&self.index), now_ms) {
                Ok(mut updater) => {
                    tracing::info!("became the writer");
                    if let Err(error) = self.write(&mut updater) {
                        tracing::error!(error = %error, "the writer stopped; it starts again");
                        std::thread::sleep(TAKEOVER);
                    }
                }
                Err(Error::NotWriter) => self.follow(),
                Err(error) => {
                    tracing::error!(error = %error, "cannot write the index");
                    self.set(0, false);
                    std::thread::sleep(TAKEOVER);
                }
            }
        }
    }

    /// Another process writes: say how fresh its index is.
    fn follow(&self) {
        self.index.set_freshness(freshness(&self.index));
        let until = Instant::now() + TAKEOVER;
        while Instant::now() < until && !self.stopped() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn set(&self, pending: u64, fresh: bool) {
        self.index.set_freshness(Freshness { pending, fresh });
    }

    fn write(&mut self, updater: &mut Updater) -> Result<(), Error> {
        self.set(1, false);
        self.beat(1);
        self.store.recover_jobs(INDEX_JOB, now_ms()).map_err(other)?;
        add_configured(updater, &self.config);
        self.rewatch(updater)?;
        let rescan = Duration::from_secs(self.config.limits.rescan_s);
        let mut scanned: Option<Instant> = None;
        let mut beaten = Instant::now();
        while !self.stopped() {
            while let Some(job) = self.store.take(INDEX_JOB, now_ms()).map_err(other)? {
                self.work(updater, &job)?;
            }
            let lost = |watch: &Watch| watch.overflowed.swap(false, Ordering::Relaxed);
            if self.watch.as_ref().is_some_and(lost) || std::mem::take(&mut self.rescan) {
                scanned = None;
            }
            let due = scanned.is_none_or(|at| !rescan.is_zero() && at.elapsed() >= rescan);
            if due {
                self.scan_all(updater)?;
                scanned = Some(Instant::now());
            }
            if beaten.elapsed() >= TICK * 4 {
                self.beat(0);
                beaten = Instant::now();
            }
            match self.events.receive.recv_timeout(TICK) {
                Ok(Event::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Event::Touched(touched)) => self.refresh(updater, touched)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Compares every source with the disk.
    fn scan_all(&mut self, updater: &mut Updater) -> Result<(), Error> {
        let start = Instant::now();
        for source in updater.sources()? {
            let report = |progress: &Progress| {
                let left = (progress.total - progress.done.min(progress.total)) as u64;
                self.set(left, false);
                if progress.done.is_multiple_of(64) {
                    self.beat(left);
                }
                !self.stopped()
            };
            match updater.scan(&source, &report) {
                Ok(outcome) => log_outcome(&source, &outcome, start),
                Err(Error::Cancelled) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.set(0, true);
        self.beat(0);
        Ok(())
    }

    fn refresh(&mut self, updater: &mut Updater, touched: Touched) -> Result<(), Error> {
        let mut all = touched;
        // What came in the meantime belongs to the same batch.
        while let Ok(event) = self.events.receive.try_recv() {
            if let Event::Touched(more) = event {
                for (source, paths) in more {
                    all.entry(source).or_default().extend(paths);
                }
            }
        }
        let waiting: usize = all.values().map(HashSet::len).sum();
        self.set(waiting as u64, false);
        self.beat(waiting as u64);
        for source in updater.sources()? {
            let Some(paths) = all.get(&source.id) else { continue };
            let start = Instant::now();
            let outcome = updater.refresh(&source, paths)?;
            log_outcome(&source, &outcome, start);
        }
        self.set(0, true);
        self.beat(0);
        Ok(())
    }

    /// Watches the sources there are now.
    fn rewatch(&mut self, updater: &Updater) -> Result<(), Error> {
        let send = self.events.send.clone();
        let (touched_send, touched_receive) = sync_channel::<Touched>(EVENTS_MAX);
        // The watcher's thread must never wait for the writer: its channel is emptied by one that
        // may.
        std::thread::spawn(move || {
            for touched in touched_receive {
                if send.send(Event::Touched(touched)).is_err() {
                    return;
                }
            }
        });
        self.watch = None;
        self.rescan = true;
        match watch::watch(&updater.sources()?, touched_send) {
            Ok(watch) => {
                for (source, reason) in &watch.failed {
                    tracing::warn!(
                        source,
                        reason,
                        "cannot watch; compared every `rescan_s` instead"
                    );
                }
                self.watch = Some(watch);
            }
            Err(reason) => tracing::warn!(reason, "cannot watch files; compared every `rescan_s`"),
        }
        Ok(())
    }

    /// Does one job and ends it; only a failure of the stores themselves ends the writer.
    fn work(&mut self, updater: &mut Updater, job: &Job) -> Result<(), Error> {
        let (args, force) = match parse_request(&job.args) {
            Ok(request) => request,
            Err(error) => return self.end(job, Err(error)),
        };
        let mut noted = Instant::now() - NOTE;
        let noted = std::sync::Mutex::new(&mut noted);
        let report = |progress: &Progress| {
            let Ok(mut noted) = noted.lock() else { return false };
            let last = progress.done == progress.total;
            if noted.elapsed() < NOTE && !last {
                return true;
            }
            **noted = Instant::now();
            let text = serde_json::json!({
                "source": progress.source, "done": progress.done, "total": progress.total,
                "bytes": progress.bytes, "current": progress.current,
            });
            self.set((progress.total - progress.done.min(progress.total)) as u64, false);
            self.store.set_progress(&job.id, &text.to_string(), now_ms()).unwrap_or(true)
                && !self.stopped()
        };
        let result = run_job(updater, &args, force, &report);
        if matches!(args.op, IngestOp::Add | IngestOp::Remove) && result.is_ok() {
            self.rewatch(updater)?;
        }
        if let Err(error @ (Error::Sql(_) | Error::Words(_))) = result {
            // What the stores hold is uncertain: a new updater recovers, then does the job again.
            return Err(error);
        }
        self.set(0, true);
        self.end(job, result)
    }

    fn end(&self, job: &Job, result: Result<String, Error>) -> Result<(), Error> {
        let (state, text) = match result {
            Ok(text) => (JobState::Succeeded, text),
            Err(Error::Cancelled) if self.stopped() => return Ok(()),
            Err(Error::Cancelled) => (JobState::Cancelled, "cancelled".to_owned()),
            Err(error) => (JobState::Failed, crate::fault::Fault::from(error).to_string()),
        };
        self.store.end_job(&job.id, state, &text, now_ms()).map_err(other)?;
        Ok(())
    }

    /// A sign of life with the pending count, for processes that only read.
    fn beat(&self, pending: u64) {
        let path = self.index.dir().join("writer.beat");
        // By rename: a reader in between must not find an empty file, which says nothing pending.
        let new = path.with_extension("new");
        let done = std::fs::write(&new, pending.to_string());
        if let Err(error) = done.and_then(|()| std::fs::rename(&new, &path)) {
            tracing::warn!(error = %error, "cannot leave a sign of life");
        }
    }
}

/// How fresh the index is by the sign of life of the process that writes it.
pub fn freshness(index: &Index) -> Freshness {
    let path = index.dir().join("writer.beat");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let age = std::fs::metadata(&path)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    let Ok(pending) = text.trim().parse() else {
        return Freshness { pending: 1, fresh: false };
    };
    Freshness { pending, fresh: pending == 0 && age.is_some_and(|age| age < BEAT_MAX) }
}

fn other(error: synod_store::Error) -> Error {
    Error::Row(error.to_string())
}

fn log_outcome(source: &Source, outcome: &Outcome, start: Instant) {
    if outcome.changed + outcome.removed + outcome.failed > 0 {
        tracing::info!(
            source = source.name,
            changed = outcome.changed,
            removed = outcome.removed,
            failed = outcome.failed,
            generation = outcome.generation,
            millis = start.elapsed().as_millis() as u64,
            "indexed"
        );
    }
}

/// A request as a job holds it. `force` is the operator's word on the command line that a home
/// directory or a file-system root is meant; callers of the tool cannot say it.
pub fn request(args: &IngestArgs, force: bool) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(args)?;
    if force {
        value["force"] = true.into();
    }
    Ok(value.to_string())
}

fn parse_request(text: &str) -> Result<(IngestArgs, bool), Error> {
    let bad = |error: serde_json::Error| Error::Argument(error.to_string());
    let mut value: serde_json::Value = serde_json::from_str(text).map_err(bad)?;
    let force = value.as_object_mut().and_then(|map| map.remove("force"));
    let force = force == Some(serde_json::Value::Bool(true));
    Ok((serde_json::from_value(value).map_err(bad)?, force))
}

/// Does the jobs that wait, for a process that holds the lock without being a server.
pub fn drain(updater: &mut Updater, store: &Store) -> Result<(), Error> {
    while let Some(job) = store.take(INDEX_JOB, now_ms()).map_err(other)? {
        let result = parse_request(&job.args)
            .and_then(|(args, force)| run_job(updater, &args, force, &|_| true));
        if let Err(error @ (Error::Sql(_) | Error::Words(_))) = result {
            return Err(error);
        }
        let (state, text) = match result {
            Ok(text) => (JobState::Succeeded, text),
            Err(error) => (JobState::Failed, crate::fault::Fault::from(error).to_string()),
        };
        store.end_job(&job.id, state, &text, now_ms()).map_err(other)?;
    }
    Ok(())
}

/// Does what a request asks for.
pub fn run_job(
    updater: &mut Updater,
    args: &IngestArgs,
    force: bool,
    report: synod_index::Report,
) -> Result<String, Error> {
    match args.op {
        IngestOp::Add => {
            let path = PathBuf::from(args.path.as_deref().unwrap_or_default());
            let name = args.source.clone();
            let spec = SourceSpec { name, home: home(), force, ..SourceSpec::default() };
            let source = updater.add_source(&path, &spec)?;
            let outcome = updater.scan(&source, report)?;
            Ok(format!("added source `{}`: {}", source.name, says(&outcome)))
        }
        IngestOp::Push => {
            let name = args.source.as_deref().unwrap_or("pushed");
            let path = args.path.as_deref().unwrap_or_default();
            let text = args.content.clone().unwrap_or_default();
            let outcome = updater.push(name, path, text)?;
            Ok(format!("`{name}/{path}`: {}", says(&outcome)))
        }
        IngestOp::Remove => {
            let name = args.source.as_deref().unwrap_or_default();
            let source = find(updater, name)?;
            let outcome = updater.remove_source(&source)?;
            Ok(format!("removed source `{name}`: {}", says(&outcome)))
        }
        IngestOp::Reindex => {
            let sources = match &args.source {
                Some(name) => vec![find(updater, name)?],
                None => updater.sources()?,
            };
            let mut total = Outcome::default();
            for source in sources {
                let outcome = updater.scan(&source, report)?;
                total.changed += outcome.changed;
                total.removed += outcome.removed;
                total.unchanged += outcome.unchanged;
                total.failed += outcome.failed;
                total.generation = outcome.generation;
            }
            Ok(says(&total))
        }
    }
}

fn find(updater: &Updater, name: &str) -> Result<Source, Error> {
    let sources = updater.sources()?;
    let nearest = sources.iter().map(|s| s.name.clone()).collect();
    let found = sources.into_iter().find(|s| s.name == name);
    found.ok_or_else(|| Error::Missing { what: format!("no source `{name}`"), nearest })
}

/// An outcome in words.
pub fn says(outcome: &Outcome) -> String {
    format!(
        "{} changed, {} removed, {} as they were, {} failed; generation {}",
        outcome.changed, outcome.removed, outcome.unchanged, outcome.failed, outcome.generation
    )
}

/// Adds the sources of the configuration; a wrong one is logged and does not stop the others.
pub fn add_configured(updater: &mut Updater, config: &Config) {
    for wanted in &config.source {
        let path = expand_home(&wanted.path);
        let spec = SourceSpec {
            name: wanted.name.clone(),
            collection: wanted.collection.clone(),
            home: home(),
            ..SourceSpec::default()
        };
        if let Err(error) = updater.add_source(&path, &spec) {
            tracing::error!(path = wanted.path, error = %error, "a configured source was left out");
        }
    }
}

/// The home directory.
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// A path with `~` for the home directory.
pub fn expand_home(path: &str) -> PathBuf {
    if path == "~" {
        return home().unwrap_or_default();
    }
    match (path.strip_prefix("~/"), home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
