//! The words as a process has them open: the newest view of them, and what happens when they are
//! damaged.
//!
//! Whoever meets damage leaves a sign beside the database; the process that writes finds it, looks
//! itself, and makes the words anew ([`crate::recover`]). Invariant: damaged words are an error
//! that says so, never an empty answer.

use crate::error::{Error, Result};
use crate::lexical::Lexical;
use crate::score::{Scorer, Weights};
use crate::{Current, Index};
use std::sync::{Arc, PoisonError};

/// The sign, a file beside the database.
pub(crate) const SUSPECT: &str = "suspect";

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
    /// `Damaged` while they are.
    pub(crate) fn words(&self) -> Result<Arc<Lexical>> {
        let open = self.words.read().unwrap_or_else(PoisonError::into_inner).clone();
        open.map_or_else(|| self.reopen_words(), Ok)
    }

    /// Opens the words as they are on disk now.
    ///
    /// # Errors
    /// `Damaged` when they are not whole.
    pub(crate) fn reopen_words(&self) -> Result<Arc<Lexical>> {
        let opened = Lexical::open(&self.dir.join("words"), false).map(Arc::new);
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
        // Who may not write here only loses time: the next writer looks at its start.
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
            Err(Error::Damaged(_)) => {
                let words = self.reopen_words()?;
                newest(&words, None)?
            }
            other => other?,
        };
        *slot = Some(Arc::clone(&current));
        Ok(current)
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
    let view = words.view(generation)?;
    let scorer = Scorer::new(&view, Weights::DEFAULT);
    Ok(Arc::new(Current { view, scorer }))
}
