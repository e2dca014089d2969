//! The words as a process has them open: the newest view of them, what happens when they are
//! damaged, and who writes them.
//!
//! Whoever meets damage leaves a sign beside the database; the process that writes finds it, looks
//! itself, and makes the words anew ([`crate::recover`]). A process that writes keeps their writer
//! from one batch to the next. Invariant: damaged words are an error that says so, never an empty
//! answer. Invariant: no writer is kept that wrote what was not committed.

use crate::db;
use crate::error::{Error, Result};
use crate::lexical::{Lexical, Writer};
use crate::limit::{CACHE_KIB, WORDS_KEPT};
use crate::score::{Scorer, Weights};
use crate::update::Updater;
use crate::view::View;
use crate::{Current, Index};
use rusqlite::Connection;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The sign, a file beside the database.
pub(crate) const SUSPECT: &str = "suspect";
/// Longest time until some transaction has the view of the commit that it sees. A large commit of
/// the words takes seconds.
pub(crate) const VIEW_WAIT: Duration = Duration::from_secs(10);
/// Longest wait of one of these transactions: the database's log grows behind it.
const VIEW_HOLD: Duration = Duration::from_secs(1);
/// Between two looks whether that view is there.
const VIEW_STEP: Duration = Duration::from_millis(2);

/// A panic while it lives may come from files that are damaged where nothing notices.
pub(crate) struct Watch<'i>(pub(crate) &'i Index);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.suspect();
        }
    }
}

impl Index {
    /// The words; opened again if they were damaged the last time.
    ///
    /// # Errors
    /// `Damaged` while they are, `OtherWords` while they are those of another version.
    pub(crate) fn words(&self) -> Result<Arc<Lexical>> {
        let open = self.words.read().unwrap_or_else(PoisonError::into_inner).clone();
        open.map_or_else(|| self.reopen_words(), Ok)
    }

    /// Opens the words as they are on disk now.
    ///
    /// # Errors
    /// `Damaged` when they are not whole.
    pub(crate) fn reopen_words(&self) -> Result<Arc<Lexical>> {
        let folder = self.dir.join("words");
        let opened = match self.read_only {
            true => Lexical::open_as_it_lies(&folder),
            false => Lexical::open(&folder, false),
        };
        let opened = opened.map(Arc::new);
        let open = opened.as_ref().ok().cloned();
        *self.words.write().unwrap_or_else(PoisonError::into_inner) = open;
        opened
    }

    /// Closes them: some systems do not rename what is open.
    pub(crate) fn close_words(&self) {
        *self.words.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.forget_view();
    }

    /// Leaves a sign for whoever writes that something on disk is not as it should be.
    pub(crate) fn suspect(&self) {
        if self.read_only {
            // Somebody else's folder is left as it is: its next writer looks at its start.
            return;
        }
        // Where this fails only time is lost, for the same reason.
        let _ = std::fs::write(self.dir.join(SUSPECT), "");
    }

    /// The newest view; opened anew when the writer has committed since.
    pub(crate) fn current(&self, generation: u64) -> Result<Arc<Current>> {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(current) = known
            && current.view.generation >= generation
        {
            return Ok(current);
        }
        let mut slot = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &*slot
            && current.view.generation >= generation
        {
            return Ok(Arc::clone(current));
        }
        let current = match self.words().and_then(|words| newest(&words, slot.as_ref())) {
            // They may have been made anew in this moment: what lies there now counts.
            Err(Error::Damaged(_) | Error::OtherWords) => {
                let words = self.reopen_words()?;
                newest(&words, None)?
            }
            other => other?,
        };
        *slot = Some(Arc::clone(&current));
        Ok(current)
    }

    /// Runs `work` in a read transaction beside the view of the very commit that it sees: what does
    /// not agree there is wrong, whoever writes meanwhile. Nothing when no transaction had that
    /// view within `wait`: the words lag, or commits follow each other too fast.
    ///
    /// # Errors
    /// `Sql`, `Words`, `Damaged`; those of `work`.
    pub(crate) fn with_view<T>(
        &self,
        wait: Duration,
        mut work: impl FnMut(&Connection, &View) -> Result<T>,
    ) -> Result<Option<T>> {
        let until = Instant::now() + wait;
        loop {
            let done = self.read_db(|db| {
                let current = self.view_of(db, until)?;
                current.map(|current| work(db, &current.view)).transpose()
            })?;
            if done.is_some() || Instant::now() >= until {
                return Ok(done);
            }
            std::thread::sleep(VIEW_STEP);
        }
    }

    /// The view of the commit that a transaction sees. Nothing when the words are at a later one
    /// already, or do not come to it in time.
    fn view_of(&self, db: &Connection, until: Instant) -> Result<Option<Arc<Current>>> {
        let generation = db::generation(db)?;
        let until = until.min(Instant::now() + VIEW_HOLD);
        loop {
            let current = self.current(generation)?;
            // The database commits first, and the words stay at that commit until the next one.
            if current.view.generation >= generation || Instant::now() >= until {
                return Ok(Some(current).filter(|found| found.view.generation == generation));
            }
            std::thread::sleep(VIEW_STEP);
        }
    }
}

/// The newest commit of the words, if it is not the one that is known.
fn newest(words: &Lexical, known: Option<&Arc<Current>>) -> Result<Arc<Current>> {
    // The database commits a moment before the words: a view may lag by that moment, and the rows'
    // generations tell which of its hits still stand.
    let generation = words.generation()?;
    if let Some(current) = known
        && current.view.generation == generation
    {
        return Ok(Arc::clone(current));
    }
    let view = words.view(known.map(|current| &current.view))?;
    let scorer = Scorer::new(&view, Weights::DEFAULT);
    Ok(Arc::new(Current { view, scorer }))
}

/// A writer of the words between two batches: merges that it began go on meanwhile, and nobody
/// waits for them.
pub(crate) struct Kept {
    pub(crate) writer: Writer,
    /// What it writes.
    words: Arc<Lexical>,
    /// It is one for large runs.
    bulk: bool,
    /// When it was used last for what it was made for.
    used: Instant,
}

impl Kept {
    fn fits(&self, words: &Arc<Lexical>, bulk: bool) -> bool {
        Arc::ptr_eq(&self.words, words) && serves(self.bulk, bulk, self.used.elapsed())
    }
}

/// Whether a writer that is `bulk`, and was not used as such for so long, is good enough for a
/// batch. One for large runs does small batches too, until its merges have had time to end.
fn serves(bulk: bool, wanted: bool, unused: Duration) -> bool {
    bulk == wanted || bulk && unused < WORDS_KEPT
}

impl Updater {
    /// The writer of the words for one batch: the one that is kept, or another one.
    pub(crate) fn take_words(&mut self, bulk: bool) -> Result<Kept> {
        let words = self.index().words()?;
        words.forget_files();
        if let Some(mut kept) = self.kept.take_if(|kept| kept.fits(&words, bulk)) {
            if kept.bulk == bulk {
                kept.used = Instant::now();
            }
            return Ok(kept);
        }
        // Two cannot write at once.
        self.end_words();
        let writer = words.writer(bulk, self.index().memory())?;
        Ok(Kept { writer, words, bulk, used: Instant::now() })
    }

    /// Ends the writer that is kept, when its merges have ended.
    pub(crate) fn end_words(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        if let Err(error) = kept.writer.close() {
            // What it committed stands; what it did not is no batch's.
            tracing::warn!(error = %error, "the writer of the words did not end well");
        }
    }

    /// Nothing is to be done: what was kept for the next batch goes when none came for a while.
    /// True when something went.
    pub fn rest(&mut self) -> bool {
        let goes = self.kept.as_ref().is_some_and(|kept| kept.used.elapsed() >= WORDS_KEPT);
        if goes {
            self.end_words();
            // Nor are the pages needed that a large run kept.
            let pages = format!("PRAGMA cache_size=-{CACHE_KIB}; PRAGMA shrink_memory");
            if let Err(error) = self.db().execute_batch(&pages) {
                tracing::warn!(error = %error, "the database keeps its pages");
            }
        }
        goes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_serves_what_it_was_made_for_and_a_large_one_more_for_a_while() {
        let long = WORDS_KEPT;
        for (bulk, wanted, unused, expected) in [
            (false, false, long, true),
            (true, true, long, true),
            (true, false, long - Duration::from_millis(1), true),
            (true, false, long, false),
            (false, true, Duration::ZERO, false),
        ] {
            assert_eq!(serves(bulk, wanted, unused), expected, "{bulk} {wanted} {unused:?}");
        }
    }

    #[test]
    fn the_writer_is_kept_between_batches_and_gone_when_the_lock_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
        for n in 0..20 {
            updater.push("pushed", &format!("{n}.md"), format!("walrus {n}")).unwrap();
            assert!(updater.kept.is_some(), "{n}");
        }
        let living = index.words().unwrap().forget_files();
        assert!(living < 60, "{living} files are known after twenty commits of seven each");
        // It holds the lock of the words: with another one beside it this would fail.
        updater.rebuild_words().unwrap();
        updater.push("pushed", "more.md", "an anemone".to_owned()).unwrap();
        updater.rest();
        assert!(updater.kept.is_some(), "it was used a moment ago");
        drop(updater);
        let mut other = Updater::new(Arc::clone(&index), || 1).unwrap();
        other.push("pushed", "last.md", "a limpet".to_owned()).unwrap();
        assert_eq!(index.check().unwrap().differences, Vec::<String>::new());
    }

    #[test]
    fn who_may_not_write_leaves_no_sign() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let sign = index.dir().join(SUSPECT);
        let still = Index::open_still(index.dir().to_owned()).unwrap();
        still.suspect();
        assert!(!sign.exists());
        index.suspect();
        assert!(sign.exists());
    }
}
