//! The process that writes: takes the lock, compares sources with the disk, watches them, and does
//! the jobs that any process left.
//!
//! One thread per process. While another process holds the lock, this one only looks whether it
//! still does, and how fresh its index is. Invariant: `fresh` is said only when every source is
//! watched, has been compared since it is, and nothing that was touched waits.

use crate::background::{Embedding, Graphs};
use crate::config::Config;
use crate::job::{self, Request};
use crate::{now_ms, power};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};
use synod_index::watch::{self, Inbox, Touched, Watch};
use synod_index::{
    Coverage, Embedder, Error, Freshness, Index, Outcome, Progress, Source, Updater, Work,
};
use synod_store::{Job, JobState, Store};
use synod_tools::{INDEX_JOB, IngestOp};

/// Between two attempts to take the writer's lock.
const TAKEOVER: Duration = Duration::from_millis(1_000);
/// Between two looks for jobs of other processes, and between two signs of life.
const TICK: Duration = Duration::from_millis(200);
/// A writer without a sign of life for this long is stopped or stuck.
const BEAT_MAX: Duration = Duration::from_secs(5);
/// Between two attempts to embed after one that failed.
const EMBED_AGAIN: Duration = Duration::from_secs(10);
/// Between two looks whether a graph over the vectors is missing.
const GRAPH_AGAIN: Duration = Duration::from_secs(5);
/// Before another attempt to build one that failed: it costs minutes of the processor.
const GRAPH_FAILED: Duration = Duration::from_secs(600);
/// Between two looks whether the machine still runs on its battery.
const BATTERY_AGAIN: Duration = Duration::from_secs(30);
/// Between two notes of a job's progress.
const NOTE: Duration = Duration::from_millis(100);

/// Wakes the writer of this process.
#[derive(Clone)]
pub struct Waker(SyncSender<()>);

impl Waker {
    /// A job waits, or a file was touched.
    pub fn wake(&self) {
        // A full channel is awake already.
        let _ = self.0.try_send(());
    }
}

/// A writer that has not started: its waker goes into the world that it needs.
pub struct Pending {
    waker: Waker,
    receive: Receiver<()>,
}

/// Makes the channel first.
pub fn prepare() -> (Waker, Pending) {
    let (send, receive) = sync_channel(1);
    let waker = Waker(send);
    (waker.clone(), Pending { waker, receive })
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
            let waker = self.waker.clone();
            let Ok(embedding) = Embedding::start(waker) else {
                tracing::error!("no thread to embed on");
                return;
            };
            let mut writer = Loop {
                index,
                store,
                config,
                stop,
                wake: self,
                inbox: Arc::default(),
                watch: None,
                compared: false,
                broken: false,
                meaning: Work::default(),
                embedding,
                graphs: Graphs::default(),
                graph_at: Instant::now(),
                space: String::new(),
                embed_at: Some(Instant::now()),
            };
            writer.run();
        })
    }
}

struct Loop {
    index: Arc<Index>,
    store: Arc<Store>,
    config: Arc<Config>,
    stop: Arc<AtomicBool>,
    wake: Pending,
    /// What the watcher saw.
    inbox: Arc<Inbox>,
    watch: Option<Watch>,
    /// Every source was compared with the disk since the watcher began.
    compared: bool,
    /// A comparison was broken off by whoever asked for it: files are left behind.
    broken: bool,
    /// What is being embedded.
    meaning: Work,
    /// Who embeds it.
    embedding: Embedding,
    /// Who builds graphs over the vectors.
    graphs: Graphs,
    /// When to look whether one is missing.
    graph_at: Instant,
    /// The space of the configured model, as it was last seen.
    space: String,
    /// When to look what is not embedded; `None` while everything is.
    embed_at: Option<Instant>,
}

impl Loop {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&mut self) {
        while !self.stopped() {
            // From the lock on, what another writer knew is no longer known.
            let locked = || self.set(1, false);
            match Updater::locked(Arc::clone(&self.index), now_ms, locked) {
                Ok(mut updater) => {
                    tracing::info!("became the writer");
                    let ended = self.write(&mut updater);
                    // Without the lock nothing is written.
                    self.graphs.stop();
                    if let Err(error) = ended {
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
        let sign = Sign::read(&self.index);
        self.index.set_freshness(sign.freshness);
        self.index.set_rate(sign.rate);
        let until = Instant::now() + TAKEOVER;
        while Instant::now() < until && !self.stopped() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn set(&self, pending: u64, fresh: bool) {
        self.index.set_freshness(Freshness { pending, fresh });
    }

    /// Says that work is in hand.
    fn busy(&self, pending: u64) {
        self.set(pending, false);
        self.beat(Freshness { pending, fresh: false });
    }

    /// Says what is known when no work is in hand.
    fn settle(&self) {
        let sound = |watch: &Watch| watch.failed.is_empty() && !watch.is_outdated();
        let watched = self.watch.as_ref().is_some_and(sound);
        // Within the look, so that a touch in this moment is not overwritten.
        self.inbox.look(|waiting| {
            let fresh = self.compared && !self.broken && watched && waiting == 0;
            self.set(waiting as u64, fresh);
        });
        self.beat(self.index.freshness());
    }

    fn write(&mut self, updater: &mut Updater) -> Result<(), Error> {
        self.busy(1);
        self.store.recover_jobs(INDEX_JOB, now_ms()).map_err(job::other)?;
        job::add_configured(updater, &self.config);
        self.rewatch(updater)?;
        let rescan = Duration::from_secs(self.config.limits.rescan_s);
        let mut scanned = Instant::now();
        let mut beaten = Instant::now();
        while !self.stopped() {
            while let Some(job) = self.store.take(INDEX_JOB, now_ms()).map_err(job::other)? {
                self.work(updater, &job)?;
            }
            if !self.compared || (!rescan.is_zero() && scanned.elapsed() >= rescan) {
                self.scan_all(updater)?;
                scanned = Instant::now();
            }
            let touched = self.inbox.take();
            if !touched.is_empty() {
                self.refresh(updater, &touched)?;
                continue;
            }
            if beaten.elapsed() >= TICK * 4 {
                if updater.is_suspect()? {
                    self.busy(1);
                    // What could not be read as it was indexed is found by a comparison.
                    self.compared &= !updater.heal()?;
                    continue;
                }
                if self.watch.as_ref().is_some_and(Watch::is_outdated) {
                    tracing::info!("a source is another folder now; watching anew");
                    self.rewatch(updater)?;
                    continue;
                }
                self.settle();
                beaten = Instant::now();
            }
            if self.embed(updater) {
                continue;
            }
            self.graph(updater);
            match self.wake.receive.recv_timeout(TICK) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Keeps what was embedded, and hands on what is to be next; true if there is more to do now.
    fn embed(&mut self, updater: &mut Updater) -> bool {
        if self.embedding.is_busy() {
            let Some((embedder, made)) = self.embedding.answer() else { return false };
            let kept = made.and_then(|made| updater.embedded(&*embedder, &mut self.meaning, made));
            return self.note_embedded(kept);
        }
        let Some(wanted) = self.index.embedder() else { return false };
        if self.space != wanted.space() {
            self.space = wanted.space().to_owned();
            self.embed_soon();
        }
        if self.embed_at.is_none_or(|at| at > Instant::now()) {
            return false;
        }
        if self.on_battery() {
            self.index.set_rate(0.0);
            self.embed_at = Some(Instant::now() + BATTERY_AGAIN);
            return false;
        }
        let Some(embedder) = self.to_embed(updater, wanted) else { return false };
        match updater.batch(&*embedder, &mut self.meaning) {
            Ok(batch) if !batch.is_empty() => {
                self.embedding.ask(embedder, batch);
                false
            }
            // Only documents whose passages all have a vector already, or none.
            Ok(batch) => {
                let made = batch.run(&*embedder);
                let kept =
                    made.and_then(|made| updater.embedded(&*embedder, &mut self.meaning, made));
                self.note_embedded(kept)
            }
            Err(error) => self.note_embedded(Err(error)),
        }
    }

    /// Says how far it is; true if there may be more.
    fn note_embedded(&mut self, kept: Result<Coverage, Error>) -> bool {
        match kept {
            Ok(coverage) if coverage.waiting > 0 => {
                self.index.set_rate(coverage.rate);
                return true;
            }
            Ok(coverage) => {
                if coverage.left > 0 {
                    tracing::warn!(passages = coverage.left, "cannot be embedded as things are");
                }
                self.embed_at = None;
            }
            Err(error) => {
                tracing::error!(error = %error, "cannot embed; it is tried again");
                self.embed_at = Some(Instant::now() + EMBED_AGAIN);
            }
        }
        self.index.set_rate(0.0);
        false
    }

    fn on_battery(&self) -> bool {
        !self.config.embedding.on_battery && power::is_on_battery()
    }

    /// Has a graph built that is missing, and makes one that is there known.
    fn graph(&mut self, updater: &Updater) {
        if let Some((work, built)) = self.graphs.done() {
            let known = built.and_then(|built| match built {
                true => {
                    tracing::info!(what = work.name(), "done in the background");
                    updater.graph_built(&work)
                }
                false => Ok(()),
            });
            if let Err(error) = known {
                let what = work.name();
                tracing::error!(what, error = %error, "failed; it is tried again later");
                self.graph_at = Instant::now() + GRAPH_FAILED;
            }
            // What was embedded while vectors were put together may lack one.
            self.embed_soon();
        }
        if self.graph_at > Instant::now() {
            return;
        }
        self.graph_at = Instant::now() + GRAPH_AGAIN;
        if self.on_battery() {
            self.graph_at = Instant::now() + BATTERY_AGAIN;
            return self.graphs.stop();
        }
        if self.graphs.is_busy() {
            return;
        }
        let wanted = updater.graph_wanted().unwrap_or_else(|error| {
            tracing::error!(error = %error, "cannot tell which graph is missing");
            None
        });
        let Some(work) = wanted else { return };
        if let Err(error) = self.graphs.start(work, self.wake.waker.clone()) {
            tracing::error!(error = %error, "no thread for a graph");
        }
    }

    /// The model whose space is filled: that of the configuration, or, while its space is taken
    /// back, that of the one which answers.
    fn to_embed(&self, updater: &Updater, wanted: Arc<dyn Embedder>) -> Option<Arc<dyn Embedder>> {
        match updater.settle_held(wanted.space()) {
            Ok(false) => Some(wanted),
            Ok(true) => self.index.serving_embedder().ok().flatten(),
            Err(error) => {
                tracing::error!(error = %error, "cannot tell which space is filled");
                None
            }
        }
    }

    /// There may be passages without a vector now.
    fn embed_soon(&mut self) {
        self.meaning.retry();
        self.embed_at.get_or_insert_with(Instant::now);
    }

    /// Compares every source with the disk.
    fn scan_all(&mut self, updater: &mut Updater) -> Result<(), Error> {
        let start = Instant::now();
        for source in updater.sources()? {
            let report = |progress: &Progress| {
                if progress.done.is_multiple_of(64) {
                    self.busy(left(progress));
                }
                !self.stopped()
            };
            match updater.scan(&source, &report) {
                Ok(outcome) => log_outcome(&source, &outcome, start),
                Err(Error::Cancelled) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.compared = true;
        self.broken = false;
        self.embed_soon();
        self.settle();
        Ok(())
    }

    fn refresh(&mut self, updater: &mut Updater, touched: &Touched) -> Result<(), Error> {
        self.embed_soon();
        self.busy(touched.values().map(std::collections::HashSet::len).sum::<usize>() as u64);
        for source in updater.sources()? {
            let Some(paths) = touched.get(&source.id) else { continue };
            let start = Instant::now();
            match updater.refresh(&source, paths, &|_| !self.stopped()) {
                Ok(outcome) => log_outcome(&source, &outcome, start),
                Err(Error::Cancelled) => return Ok(()),
                Err(error) => {
                    // What was taken out of the inbox is not done: everything is compared anew.
                    self.compared = false;
                    return Err(error);
                }
            }
        }
        self.settle();
        Ok(())
    }

    /// Watches the sources there are now.
    fn rewatch(&mut self, updater: &Updater) -> Result<(), Error> {
        let (inbox, index) = (Arc::clone(&self.inbox), Arc::clone(&self.index));
        let waker = self.wake.waker.clone();
        let tell = move |touched: Touched| {
            inbox.put(touched, |waiting| {
                index.set_freshness(Freshness { pending: waiting as u64, fresh: false });
            });
            waker.wake();
        };
        self.watch = None;
        self.compared = false;
        match watch::watch(&updater.sources()?, updater.skipped(), tell) {
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
        let request = match Request::parse(&job.args) {
            Ok(request) => request,
            Err(error) => return self.end(job, Err(error)),
        };
        self.embed_soon();
        self.busy(1);
        let noted = std::cell::Cell::new(Instant::now() - NOTE);
        let report = |progress: &Progress| {
            let last = progress.done == progress.total;
            if noted.get().elapsed() < NOTE && !last {
                return !self.stopped();
            }
            noted.set(Instant::now());
            self.busy(left(progress));
            let text = job::progress(progress);
            self.store.set_progress(&job.id, &text, now_ms()).unwrap_or(true) && !self.stopped()
        };
        let ids = |sources: &[Source]| sources.iter().map(|s| s.id).collect::<Vec<_>>();
        let before = ids(&updater.sources()?);
        let result = request.run(updater, &report);
        if let Err(error @ (Error::Sql(_) | Error::Words(_) | Error::Damaged(_))) = result {
            // What the stores hold is uncertain: a new updater recovers, then does the job again.
            return Err(error);
        }
        let cancelled = matches!(result, Err(Error::Cancelled)) && !self.stopped();
        if cancelled {
            // A folder that was to be added and is half read is no source.
            for source in updater.sources()?.iter().filter(|s| !before.contains(&s.id)) {
                updater.remove_source(source)?;
            }
        }
        if before != ids(&updater.sources()?) {
            self.rewatch(updater)?;
        }
        self.broken |= cancelled && request.args.op == IngestOp::Reindex;
        self.settle();
        self.end(job, result)
    }

    fn end(&self, job: &Job, result: Result<String, Error>) -> Result<(), Error> {
        let (state, text) = match result {
            Ok(text) => (JobState::Succeeded, text),
            Err(Error::Cancelled) if self.stopped() => return Ok(()),
            Err(Error::Cancelled) => (JobState::Cancelled, "cancelled".to_owned()),
            Err(error) => (JobState::Failed, crate::fault::Fault::from(error).to_string()),
        };
        self.store.end_job(&job.id, state, &text, now_ms()).map_err(job::other)?;
        Ok(())
    }

    /// A sign of life with what is known, for processes that only read.
    fn beat(&self, now: Freshness) {
        let path = self.index.dir().join("writer.beat");
        // By rename: a reader in between must not find an empty file, which says nothing.
        let new = path.with_extension("new");
        let rate = self.index.rate();
        let sign = format!("{} {} {rate:.1}", now.pending, u8::from(now.fresh));
        let done = std::fs::write(&new, sign);
        if let Err(error) = done.and_then(|()| std::fs::rename(&new, &path)) {
            tracing::warn!(error = %error, "cannot leave a sign of life");
        }
    }
}

/// The sign of life that the process which writes leaves for those that read.
pub struct Sign {
    /// How fresh the index is.
    pub freshness: Freshness,
    /// Passages embedded each second.
    pub rate: f32,
}

impl Sign {
    /// The last one, as long as it is young.
    pub fn read(index: &Index) -> Self {
        let path = index.dir().join("writer.beat");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let age = std::fs::metadata(&path)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        let young = age.is_some_and(|age| age < BEAT_MAX);
        let mut parts = text.split_whitespace();
        let pending = parts.next().and_then(|part| part.parse().ok());
        let fresh = parts.next() == Some("1") && young && pending.is_some();
        let rate = parts.next().and_then(|part| part.parse().ok()).filter(|_| young);
        let freshness = Freshness { pending: pending.unwrap_or(1), fresh };
        Sign { freshness, rate: rate.unwrap_or(0.0) }
    }
}

fn left(progress: &Progress) -> u64 {
    progress.total.saturating_sub(progress.done) as u64
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
