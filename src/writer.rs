//! The process that writes: takes the lock, compares sources with the disk, watches them, and does
//! the jobs that any process left.
//!
//! One thread per process. While another process holds the lock, this one only looks whether it
//! still does, and how fresh its index is. Invariant: `fresh` is said only when every source is
//! there, is watched and was compared since, or is polled and was compared within its interval, and
//! nothing that was touched or is to be tried again waits. Invariant: no file of a source is
//! touched before its file system is known to answer. Invariant: whatever fails costs one
//! round, never the thread. Invariant: single files that are touched wait for no run over many.

mod meaning;
mod silent;
mod source;

use crate::background::{Embedding, Graphs, Histories, give_way_to_answers};
use crate::beat::{self, Sign};
use crate::config::Config;
use crate::job::{self, Request};
use crate::now_ms;
use crate::pace::Pace;
use crate::schedule::{self, Schedule};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use synod_index::watch::{Inbox, Mode, Touched, Watch};
use synod_index::{
    Ahead, Doing, Error, Freshness, Index, Outcome, Progress, Source, Updater, Work,
};
use synod_store::{ATTEMPTS_MAX, Job, JobState, Store};
use synod_tools::{INDEX_JOB, IngestOp, Live};

/// Between two attempts to take the writer's lock.
const TAKEOVER: Duration = Duration::from_millis(1_000);
/// Between two looks at what the writer says of freshness, from a process that only reads.
const FOLLOW: Duration = Duration::from_millis(100);
/// Before another round after some that failed, at most; at first [`TAKEOVER`], twice as long each
/// time.
const FAILED_MAX: Duration = Duration::from_secs(30);
/// Between two looks for jobs of other processes, and between two signs of life.
const TICK: Duration = Duration::from_millis(200);
/// Between two attempts to embed after one that failed.
const EMBED_AGAIN: Duration = Duration::from_secs(10);
/// What could not be embedded as it was is tried again after this time, and sooner where a source
/// was compared with the disk or somebody asks for something.
const LEFT_AGAIN: Duration = Duration::from_secs(600);
/// Between two looks whether a graph over the vectors is missing.
const GRAPH_AGAIN: Duration = Duration::from_secs(5);
/// Before another attempt to build one that failed: it costs minutes of the processor.
const GRAPH_FAILED: Duration = Duration::from_secs(600);
/// Between two looks whether the machine still runs on its battery.
const BATTERY_AGAIN: Duration = Duration::from_secs(30);

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
        config: Arc<Live<Config>>,
        stop: Arc<AtomicBool>,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            give_way_to_answers();
            let waker = self.waker.clone();
            let Ok(embedding) = Embedding::start(waker) else {
                tracing::error!("no thread to embed on");
                return;
            };
            let mut writer = Loop {
                index,
                store,
                config: config.get(),
                live: config,
                stop,
                wake: self,
                inbox: Arc::default(),
                later: Touched::new(),
                watch: None,
                modes: HashMap::new(),
                awaited: Vec::new(),
                absent: Vec::new(),
                absent_at: Instant::now(),
                schedule: Schedule::new(Duration::ZERO),
                meaning: Work::default(),
                embedding,
                graphs: Graphs::default(),
                histories: Histories::default(),
                graph_at: Instant::now(),
                space: String::new(),
                embed_at: Some(Instant::now()),
                left_at: None,
                holds: Cell::new(false),
                steady: Cell::new(false),
            };
            writer.run();
        })
    }
}

struct Loop {
    index: Arc<Index>,
    store: Arc<Store>,
    /// What it goes by.
    config: Arc<Config>,
    /// What the configuration is now.
    live: Arc<Live<Config>>,
    stop: Arc<AtomicBool>,
    wake: Pending,
    /// What the watcher saw.
    inbox: Arc<Inbox>,
    /// What was taken from it within a run and asks for all of a source.
    later: Touched,
    watch: Option<Watch>,
    /// How sources are to be watched, where the configuration says so.
    modes: HashMap<i64, Mode>,
    /// Folders of the configuration that did not answer when they were to be sources.
    awaited: Vec<PathBuf>,
    /// Those of the configuration that could not be added, as it names them.
    absent: Vec<String>,
    /// When to look for them again.
    absent_at: Instant,
    /// When each source is to be compared, and was.
    schedule: Schedule,
    /// What is being embedded.
    meaning: Work,
    /// Who embeds it.
    embedding: Embedding,
    /// Who builds graphs over the vectors.
    graphs: Graphs,
    /// Who reads what git says.
    histories: Histories,
    /// When to look whether one is missing.
    graph_at: Instant,
    /// The space of the configured model, as it was last seen.
    space: String,
    /// When to look what is not embedded; `None` while everything is.
    embed_at: Option<Instant>,
    /// When what could not be embedded is tried again.
    left_at: Option<Instant>,
    /// This round has the lock.
    holds: Cell<bool>,
    /// This round came as far as waiting for changes.
    steady: Cell<bool>,
}

impl Loop {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Round after round; one that fails is followed by another with a fresh lock.
    fn run(&mut self) {
        let mut wait = TAKEOVER;
        while !self.stopped() {
            self.steady.set(false);
            let round = std::panic::AssertUnwindSafe(|| self.round());
            let failed = match std::panic::catch_unwind(round) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(panic) => Some(crate::dispatch::panic_text(&*panic)),
            };
            if failed.is_some() || self.stopped() {
                self.give_back();
            }
            let Some(why) = failed else { continue };
            tracing::error!(error = why, "cannot write the index; tried again");
            self.forget();
            // After a time of work as usual it is another failure, not the same one again.
            wait = if self.steady.get() { TAKEOVER } else { wait };
            self.pause(wait);
            wait = (2 * wait).min(FAILED_MAX);
        }
    }

    /// Takes back what this process said of the index while it had the lock.
    fn give_back(&self) {
        if self.holds.replace(false) {
            beat::end(&self.index);
        }
    }

    /// What a round knew may be wrong: nothing is fresh, and the next one looks at everything.
    fn forget(&mut self) {
        self.set(0, false);
        self.index.set_doing(Doing::default());
        self.watch = None;
        self.later.clear();
        self.meaning = Work::default();
        self.embed_at = Some(Instant::now());
        self.graphs.stop();
    }

    /// Writes until the end, or looks once at what another process writes.
    fn round(&mut self) -> Result<(), Error> {
        let locked = || {
            // From the lock on, what another writer knew is no longer known.
            self.index.set_doing(Doing::default());
            self.holds.set(true);
            self.busy(1);
        };
        // The lock of what only a newer program may write is left to it. Without jobs there is no
        // writer: the store may be what cannot be written.
        let may = match self.store.is_read_only() {
            true => Err(Error::ReadOnly),
            false => self.index.may_write(),
        };
        match may.and_then(|()| Updater::locked(Arc::clone(&self.index), now_ms, locked)) {
            Ok(mut updater) => {
                tracing::info!("became the writer");
                updater.stop_with(Arc::clone(&self.stop));
                updater.read_histories_apart();
                let ended = self.write(&mut updater);
                // Without the lock nothing is written.
                self.graphs.stop();
                ended
            }
            Err(Error::NotWriter) => {
                self.follow(None);
                Ok(())
            }
            Err(error @ (Error::NewerReading { .. } | Error::ReadOnly)) => {
                self.follow(Some(error.to_string()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Another process writes: say how fresh its index is, and why this one never will.
    fn follow(&self, reader: Option<String>) {
        let sign = Sign::read(&self.index);
        let reads = reader.is_some();
        let freshness = |sign: &Sign| if reads { sign.for_reader() } else { sign.freshness };
        self.index.set_freshness(freshness(&sign));
        self.index.set_rate(sign.rate);
        schedule::adopt(&self.index);
        if let Some(why) = reader.as_ref().filter(|_| self.index.doing().reader.is_none()) {
            // A directory that may not be written is said in each reply and refusal.
            match self.index.is_read_only() {
                true => tracing::info!(why, "this process only reads"),
                false => tracing::warn!(why, "this process only reads"),
            }
        }
        self.index.set_doing(Doing { reader, ..sign.doing });
        let until = Instant::now() + TAKEOVER;
        while Instant::now() < until && !self.stopped() {
            self.pause(FOLLOW);
            self.index.set_freshness(freshness(&Sign::read(&self.index)));
        }
    }

    /// Sleeps, but not beyond the end.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
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
        beat::leave(&self.index);
    }

    /// Says what is known when no work is in hand.
    fn settle(&self, updater: &Updater) {
        self.steady.set(true);
        let unread = updater.unread();
        let n_unread: u64 = unread.values().sum();
        let mut waiting = self.inbox.by_source();
        unread.into_iter().for_each(|(source, n)| *waiting.entry(source).or_default() += n);
        let later = self.later.iter().map(|(source, paths)| (*source, paths.len() as u64));
        later.for_each(|(source, n)| *waiting.entry(source).or_default() += n);
        let n_later: usize = self.later.values().map(HashSet::len).sum();
        self.index.set_doing(Doing { waiting: Some(waiting), ..Doing::default() });
        let known = !self.histories.is_busy() && !updater.is_history_wanted();
        let all = !updater.is_source_away() && self.awaited.is_empty();
        let there = n_unread == 0 && all && known;
        // Each question costs a thread: none for what is not fresh anyway, nor for what is said to
        // be, which is looked at again and again ([`Loop::look_around`]).
        let asks =
            there && self.schedule.is_current(Instant::now()) && !self.index.freshness().fresh;
        let sound = |watch: &Watch| !asks || watch.outdated().is_empty();
        let watched = self.watch.as_ref().is_some_and(sound);
        // Within the look, so that a touch in this moment is not overwritten.
        self.inbox.look(|waiting| {
            let waiting = waiting + n_later;
            let current = watched && there && self.schedule.is_current(Instant::now());
            self.set(waiting as u64 + n_unread, current && waiting == 0);
        });
        beat::leave(&self.index);
    }

    fn write(&mut self, updater: &mut Updater) -> Result<(), Error> {
        self.busy(1);
        self.store.recover_jobs(INDEX_JOB, now_ms()).map_err(job::other)?;
        self.config = self.live.get();
        self.schedule = Schedule::new(Duration::from_secs(self.config.limits.rescan_s));
        self.watch = Some(self.watcher(updater));
        self.configure(updater)?;
        let mut beaten = Instant::now();
        while !self.stopped() {
            self.reconfigure(updater)?;
            // One, then what was touched: requests may be many.
            let job = self.store.take(INDEX_JOB, now_ms()).map_err(job::other)?;
            if let Some(job) = &job {
                self.work(updater, job)?;
            }
            let mut touched = self.touched(updater);
            for (source, paths) in std::mem::take(&mut self.later) {
                touched.entry(source).or_default().extend(paths);
            }
            if !touched.is_empty() {
                self.refresh(updater, &touched)?;
                continue;
            }
            if updater.take_renewed() {
                // What could not be read as it was indexed is found by a comparison.
                updater.sources()?.iter().for_each(|source| self.schedule.again(source.id));
            }
            if job.is_some() {
                continue;
            }
            if let Some(id) = self.schedule.due(Instant::now()) {
                let new = self.schedule.is_new(id);
                self.watch_others(updater, id)?;
                self.compare(updater, id, false)?;
                self.settle(updater);
                // Sources that are looked at again and again leave time for the rest.
                if new {
                    continue;
                }
            }
            if self.history(updater)? {
                continue;
            }
            if beaten.elapsed() >= TICK * 4 {
                if self.look_around(updater)? {
                    continue;
                }
                beaten = Instant::now();
            }
            if self.embed(updater) || self.graph(updater) {
                continue;
            }
            let pause = self.inbox.due(Instant::now()).unwrap_or(TICK).min(TICK);
            match self.wake.receive.recv_timeout(pause) {
                // Other processes, too, learn at once that something was touched.
                Ok(()) => self.settle(updater),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Looks for what nobody tells of: damage, and sources that are other folders now, or answer
    /// again or no more. True if there was damage, which is healed.
    fn look_around(&mut self, updater: &mut Updater) -> Result<bool, Error> {
        if updater.is_suspect()? {
            self.busy(1);
            // What is healed is put together anew: a compaction on its way would lose its rows, and
            // write to the same files.
            self.graphs.end();
            updater.heal()?;
            // Who waits was another question before.
            self.meaning = Work::default();
            self.embed_soon();
            return Ok(true);
        }
        if self.awaited.iter().any(|folder| !self.index.reach().is_silent(folder)) {
            tracing::info!("a source of the configuration answers now");
            self.configure(updater)?;
        }
        for id in self.watch.as_ref().map(Watch::outdated).unwrap_or_default() {
            tracing::info!("a source is another folder, or answers again or no more");
            self.schedule.again(id);
        }
        self.look_for_absent(updater)?;
        self.settle(updater);
        if updater.rest() {
            crate::memory::hand_back();
        }
        Ok(false)
    }

    /// Keeps a history that was read, and has the next one read; true if one was kept. With it the
    /// status names the commit: not while files wait that were touched before it was seen.
    fn history(&mut self, updater: &mut Updater) -> Result<bool, Error> {
        let inbox = &self.inbox;
        if let Some(read) = self.histories.done(|read| !inbox.waits_since(read.noted())) {
            updater.put_history(read)?;
            self.settle(updater);
            return Ok(true);
        }
        if !self.histories.is_busy()
            && let Some(work) = updater.history_wanted()
            && let Err(error) = self.histories.start(work, self.wake.waker.clone())
        {
            tracing::error!(error = %error, "no thread for a history");
        }
        Ok(false)
    }

    /// Puts the watches of a source and compares it with the disk, in this order: what changes
    /// meanwhile is told of. They are put `anew` where what they say counts no more; else those
    /// that stand are kept. Until that is done the source does not count as current.
    fn compare(&mut self, updater: &mut Updater, id: i64, anew: bool) -> Result<(), Error> {
        let Some(source) = updater.sources()?.into_iter().find(|source| source.id == id) else {
            return self.note_sources(updater);
        };
        let start = Instant::now();
        let new = self.schedule.is_new(id);
        // One that is polled stays current while it is looked at again within its interval.
        let routine = self.schedule.is_routine(id);
        if !routine {
            self.schedule.again(id);
            self.busy(1);
        }
        match &mut self.watch {
            Some(watch) if anew => watch.renew(id),
            Some(watch) => watch.keep(id),
            None => {}
        }
        self.note_watching(&source);
        let (pace, index, stop) = (Pace::default(), Arc::clone(&self.index), self.stop.clone());
        let report = |progress: &Progress| {
            // What a routine look finds to read is a change like any other.
            if let Some(run) = pace.run(progress, Instant::now()) {
                beat::tell(&index, run);
            }
            !stop.load(Ordering::Relaxed)
        };
        let inbox = Arc::clone(&self.inbox);
        let due = || inbox.due(Instant::now());
        let mut serve = |updater: &mut Updater| self.between(updater);
        let mut ahead = Ahead { due: &due, serve: &mut serve };
        let outcome = match updater.scan_beside(&source, &report, Some(&mut ahead)) {
            Ok(outcome) => outcome,
            Err(Error::Cancelled) => return Ok(()),
            Err(error) => return Err(error),
        };
        log_outcome(&source, &outcome, start);
        if outcome.changed > 0 || new || !routine {
            self.embed_again();
        }
        self.schedule.compared(id, start, start.elapsed());
        self.note_silent(updater)
    }

    /// Takes what is to be looked at now.
    fn touched(&self, updater: &Updater) -> Touched {
        let mut touched = self.inbox.take(Instant::now());
        for (source, paths) in updater.due() {
            touched.entry(source).or_default().extend(paths);
        }
        touched
    }

    /// Looks, within a run, at what was touched, and says what that was. What asks for all of a
    /// source waits for the end of the run; one that fell silent is compared once it answers.
    fn between(&mut self, updater: &mut Updater) -> Result<Touched, Error> {
        self.embed_soon();
        let mut touched = self.touched(updater);
        let began = Instant::now();
        for source in updater.sources()? {
            let Some(paths) = touched.get(&source.id) else { continue };
            if updater.is_whole(&source, paths)? || silent::is_much(&source, paths) {
                let paths = touched.remove(&source.id).unwrap_or_default();
                self.later.entry(source.id).or_default().extend(paths);
                continue;
            }
            if !self.look_at(updater, &source, paths, false)? {
                touched.remove(&source.id);
            }
        }
        self.inbox.took(&touched, began.elapsed());
        Ok(touched)
    }

    /// Looks at single paths of a source, whose new folders are watched before. False if nothing
    /// came of it, since the source fell silent.
    fn look_at(
        &mut self,
        updater: &mut Updater,
        source: &Source,
        paths: &HashSet<String>,
        gives_way: bool,
    ) -> Result<bool, Error> {
        let start = Instant::now();
        if let Some(watch) = &mut self.watch {
            watch.follow(source.id, paths);
        }
        self.note_watching(source);
        let (stop, inbox) = (self.stop.clone(), Arc::clone(&self.inbox));
        let report = |_: &Progress| !stop.load(Ordering::Relaxed);
        let due = || inbox.due(Instant::now());
        let mut serve = |updater: &mut Updater| self.between(updater);
        let mut ahead = Ahead { due: &due, serve: &mut serve };
        let ahead = gives_way.then_some(&mut ahead);
        let outcome = updater.refresh_beside(source, paths, &report, ahead)?;
        log_outcome(source, &outcome, start);
        self.note_silent(updater)?;
        // What was written of it is newer than what a run around this knows.
        Ok(!outcome.silent || outcome.changed + outcome.removed > 0)
    }

    /// Looks at what was touched. If that fails, the writer starts again and compares everything.
    fn refresh(&mut self, updater: &mut Updater, touched: &Touched) -> Result<(), Error> {
        self.embed_soon();
        let rows = touched.iter().map(|(source, paths)| (*source, paths.len() as u64));
        let waiting: BTreeMap<i64, u64> = rows.collect();
        let pending: u64 = waiting.values().sum();
        self.index.set_doing(Doing { waiting: Some(waiting), ..Doing::default() });
        self.busy(pending);
        let began = Instant::now();
        for source in updater.sources()? {
            let Some(paths) = touched.get(&source.id) else { continue };
            let whole = paths.contains("") || updater.is_away(source.id);
            if whole || !self.index.answers(&source) {
                self.compare(updater, source.id, true)?;
                continue;
            }
            match self.look_at(updater, &source, paths, true) {
                Err(Error::Cancelled) => return Ok(()),
                looked => looked?,
            };
        }
        self.inbox.took(touched, began.elapsed());
        self.settle(updater);
        Ok(())
    }

    /// Does one job and ends it; only a failure of the stores themselves ends the writer.
    fn work(&mut self, updater: &mut Updater, job: &Job) -> Result<(), Error> {
        let request = match Request::parse(&job.args) {
            Ok(request) => request,
            Err(error) => return self.end(job, Err(error)),
        };
        self.embed_again();
        self.busy(1);
        let (pace, index, stop) = (Pace::default(), Arc::clone(&self.index), self.stop.clone());
        let (store, inbox) = (Arc::clone(&self.store), Arc::clone(&self.inbox));
        let report = |progress: &Progress| {
            let go_on = !stop.load(Ordering::Relaxed);
            let Some(run) = pace.run(progress, Instant::now()) else { return go_on };
            let text = job::progress(&run);
            beat::tell(&index, run);
            store.set_progress(&job.id, &text, now_ms()).unwrap_or(true) && go_on
        };
        let before = ids_of(&updater.sources()?);
        let began = Instant::now();
        let due = || inbox.due(Instant::now());
        let mut serve = |updater: &mut Updater| self.between(updater);
        let mut ahead = Ahead { due: &due, serve: &mut serve };
        let result = request.run(updater, &report, Some(&mut ahead));
        if let Err(
            error @ (Error::Sql(_) | Error::Words(_) | Error::OtherWords | Error::Damaged(_)),
        ) = result
        {
            // What the stores hold is uncertain: a new updater recovers, then does the job again,
            // a few times.
            if job.attempt - job.attempt_base >= ATTEMPTS_MAX {
                let text = crate::fault::Fault::internal(&error).to_string();
                let ended = self.store.end_job(&job.id, JobState::Failed, &text, now_ms());
                ended.map_err(job::other)?;
            }
            return Err(error);
        }
        let cancelled = matches!(result, Err(Error::Cancelled)) && !self.stopped();
        if cancelled {
            // A folder that was to be added and is half read is no source.
            for source in updater.sources()?.iter().filter(|s| !before.contains(&s.id)) {
                updater.remove_source(source)?;
            }
        }
        if before != ids_of(&updater.sources()?) {
            self.note_sources(updater)?;
        }
        if request.args.op == IngestOp::Reindex {
            let meant = |source: &&Source| {
                request.args.source.as_ref().is_none_or(|name| source.is_called(name))
            };
            let meant = ids_of(updater.sources()?.iter().filter(meant));
            match &result {
                Ok(_) => {
                    for id in meant {
                        // One that is not watched yet is compared once it is.
                        if !self.schedule.is_new(id) {
                            self.schedule.compared(id, began, began.elapsed());
                        }
                    }
                }
                Err(_) if cancelled => self.schedule.break_off(&meant),
                Err(_) => {}
            }
        }
        self.note_silent(updater)?;
        self.settle(updater);
        self.end(job, result)
    }

    fn end(&self, job: &Job, result: Result<String, Error>) -> Result<(), Error> {
        let (state, text) = match result {
            Ok(text) => (JobState::Succeeded, text),
            Err(Error::Cancelled) if self.stopped() => {
                // The next writer begins it again, and this attempt was no fault of it.
                self.store.lay_down_jobs(INDEX_JOB, now_ms()).map_err(job::other)?;
                return Ok(());
            }
            Err(Error::Cancelled) => (JobState::Cancelled, "cancelled".to_owned()),
            Err(error) => (JobState::Failed, crate::fault::Fault::from(error).to_string()),
        };
        self.store.end_job(&job.id, state, &text, now_ms()).map_err(job::other)?;
        Ok(())
    }
}

fn ids_of<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Vec<i64> {
    sources.into_iter().map(|source| source.id).collect()
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

#[cfg(test)]
mod tests;
