//! Which sources the writer knows, how they are watched, and what a changed configuration makes of
//! that while it runs.

use super::Loop;
use crate::job::{self, Configured};
use crate::schedule;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use synod_index::watch::{Mode, Watch};
use synod_index::{Error, Freshness, Source, Updater};

/// Between two looks for sources of the configuration that could not be added.
const ABSENT_AGAIN: Duration = Duration::from_secs(10);

/// How a source is to be watched.
fn mode(modes: &HashMap<i64, Mode>, id: i64) -> Mode {
    modes.get(&id).copied().unwrap_or_default()
}

impl Loop {
    /// Goes by the configuration of now, if it is another one: new sources are watched and compared
    /// next, and so are those that are to be watched in another way.
    pub(super) fn reconfigure(&mut self, updater: &mut Updater) -> Result<(), Error> {
        let config = self.live.get();
        if Arc::ptr_eq(&config, &self.config) {
            return Ok(());
        }
        let former = std::mem::replace(&mut self.config, config);
        if former.source == self.config.source && former.limits == self.config.limits {
            return Ok(());
        }
        self.busy(1);
        self.schedule.set_rescan(Duration::from_secs(self.config.limits.rescan_s));
        let poll = self.poll();
        if let Some(watch) = &mut self.watch {
            watch.set_poll(poll);
        }
        self.configure(updater)?;
        self.settle(updater);
        Ok(())
    }

    /// Adds the sources of the configuration, and watches and compares next what is new or to be
    /// watched in another way. A folder that does not answer is added once it does
    /// ([`Loop::look_around`]).
    pub(super) fn configure(&mut self, updater: &mut Updater) -> Result<(), Error> {
        let folders = self.config.source.iter().map(|wanted| job::expand_home(&wanted.path));
        // Before they are touched: one that begins to answer meanwhile is tried once more.
        self.awaited = folders.filter(|folder| !self.index.reach().answers(folder)).collect();
        let Configured { modes, left_out } = job::add_configured(updater, &self.config);
        self.note_absent(left_out);
        let before = std::mem::replace(&mut self.modes, modes);
        self.adopt(updater, &before)
    }

    /// Knows the sources there are now and how each is to be watched; `before` says how each was.
    fn adopt(&mut self, updater: &Updater, before: &HashMap<i64, Mode>) -> Result<(), Error> {
        self.note_sources(updater)?;
        for source in updater.sources()? {
            if mode(before, source.id) != mode(&self.modes, source.id) {
                self.schedule.again(source.id);
            } else if !self.schedule.is_unwatched(source.id) {
                self.note_watching(&source);
            }
        }
        Ok(())
    }

    fn note_absent(&mut self, left_out: Vec<(String, Error)>) {
        self.absent = left_out.into_iter().map(|(path, _)| path).collect();
        self.absent_at = Instant::now() + ABSENT_AGAIN;
    }

    /// Adds what the configuration names and was not there before, as a drive that was mounted
    /// since: it is watched and compared next.
    pub(super) fn look_for_absent(&mut self, updater: &mut Updater) -> Result<(), Error> {
        if self.absent.is_empty() || Instant::now() < self.absent_at {
            return Ok(());
        }
        let (n_before, before) = (updater.sources()?.len(), self.modes.clone());
        let absent = self.config.source.iter().filter(|source| self.absent.contains(&source.path));
        let Configured { modes, left_out } = job::try_configured(updater, absent);
        self.note_absent(left_out);
        self.modes.extend(modes);
        // One that is known may have been away, its path in the configuration a link to its folder.
        if updater.sources()?.len() > n_before || self.modes != before {
            tracing::info!("a source of the configuration is there now");
            self.busy(1);
            self.adopt(updater, &before)?;
        }
        Ok(())
    }

    /// Between two comparisons of a source that no events tell of.
    fn poll(&self) -> Duration {
        Duration::from_secs(self.config.limits.poll_s.max(1))
    }

    /// A watcher that fills the inbox, of no source yet.
    pub(super) fn watcher(&self, updater: &Updater) -> Watch {
        let (inbox, index) = (Arc::clone(&self.inbox), Arc::clone(&self.index));
        let waker = self.wake.waker.clone();
        let reach = self.index.reach().clone();
        Watch::new(updater.skipped(), self.poll(), reach, move |touched| {
            let begins = inbox.put(touched, Instant::now(), |waiting| {
                index.set_freshness(Freshness { pending: waiting as u64, fresh: false });
            });
            if begins {
                waker.wake();
            }
        })
    }

    /// Knows the sources there are now; new ones are watched and compared next.
    pub(super) fn note_sources(&mut self, updater: &Updater) -> Result<(), Error> {
        let sources = updater.sources()?;
        if let Some(watch) = &mut self.watch {
            watch.set_sources(&sources, &self.modes);
        }
        let folders = sources.iter().filter(|source| !source.root.is_empty());
        self.schedule.set(folders.map(|source| source.id));
        schedule::leave(&self.index, self.schedule.watching());
        Ok(())
    }

    /// Notes how changes of a source are noticed now.
    pub(super) fn note_watching(&mut self, source: &Source) {
        let Some(watch) = &self.watch else { return };
        let Some(watching) = watch.watching(source.id) else { return };
        if !self.schedule.watched(source.id, watching, watch.is_there(source.id)) {
            return;
        }
        if let Some(reason) = watch.why(source.id) {
            let what = match watching.every() {
                Some(_) => "no events; compared every `poll_s`",
                None => "left alone until it answers",
            };
            tracing::warn!(source = source.name, reason, what, "a source is not watched");
        }
        schedule::leave(&self.index, self.schedule.watching());
    }
}
