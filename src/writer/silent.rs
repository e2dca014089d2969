//! What the writer does about sources that fall silent while it looks at them, and what it leaves
//! for the end of a run.

use super::Loop;
use std::collections::HashSet;
use synod_index::{Error, Source, Updater};

/// Paths that are looked at within a run; more of them are a run of their own.
const SAVED_MAX: usize = 200;

impl Loop {
    /// Puts the watches of all sources that have none yet, but for one that is compared next: what
    /// is saved in any of them is found while that one is read, which may take long.
    pub(super) fn watch_others(&mut self, updater: &Updater, next: i64) -> Result<(), Error> {
        if !self.schedule.is_unwatched(next) {
            return Ok(());
        }
        for source in updater.sources()?.iter().filter(|source| source.id != next) {
            if self.schedule.is_unwatched(source.id) {
                if let Some(watch) = &mut self.watch {
                    watch.keep(source.id);
                }
                self.note_watching(source);
            }
        }
        Ok(())
    }

    /// Sources that fell silent since this was last asked are not watched, and are compared once
    /// they answer: what was asked of them before was not answered to its end.
    pub(super) fn note_silent(&mut self, updater: &mut Updater) -> Result<(), Error> {
        let silent = updater.take_silent();
        if silent.is_empty() {
            return Ok(());
        }
        for source in updater.sources()?.iter().filter(|source| silent.contains(&source.id)) {
            if let Some(watch) = &mut self.watch {
                watch.lost(source.id);
            }
            self.note_watching(source);
        }
        Ok(())
    }
}

/// Whether what was touched is more than somebody saves: it waits for the end of a run.
pub(super) fn is_much(source: &Source, paths: &HashSet<String>) -> bool {
    let root = std::path::Path::new(&source.root);
    let mut n = paths.len();
    let mut open: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
    while let Some(path) = open.pop().filter(|_| n <= SAVED_MAX) {
        // What is no folder, or cannot be listed, is one path.
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        for entry in entries.take(SAVED_MAX + 1) {
            n += 1;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    n > SAVED_MAX
}
