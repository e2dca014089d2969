//! Compaction of a space: rows that no document needs any more are given back, and so is the place
//! of rows that were lost.
//!
//! The rows that are needed are copied as they are, on whatever thread there is; then they get
//! another number in one transaction with everything that names them. A crash before it leaves
//! files that nobody names, one behind it files that nobody needs: the next writer removes both.
//! What was embedded meanwhile and is not among the copied rows is embedded again.
//! Invariant: rows that the database names are never written over.

use crate::db::{self, Space};
use crate::error::Result;
use crate::limit::DEAD_ROWS_MIN;
use crate::update::Updater;
use crate::vector::{self, Rows};
use rusqlite::{Transaction, TransactionBehavior};
use std::path::PathBuf;

/// The needed rows of a space, to be copied.
pub(crate) struct Compaction {
    dir: PathBuf,
    space: i64,
    rows: Rows,
    /// In order.
    living: Vec<u32>,
}

impl Compaction {
    /// Copies them, unless `go_on` ends it; true if it did.
    pub(crate) fn run(&self, go_on: &dyn Fn() -> bool) -> Result<bool> {
        vector::copy(&self.dir, self.space, &self.rows, &self.living, go_on)
    }
}

impl Updater {
    /// A compaction that is worth it: more than a third of a space's rows, and more than
    /// [`DEAD_ROWS_MIN`], are needed by no document.
    pub(crate) fn compaction_wanted(&self) -> Result<Option<Compaction>> {
        for space in db::spaces(self.db())? {
            let counted = self.health.counted.borrow().get(&space.id) == Some(&space.change);
            if counted || space.n_rows <= DEAD_ROWS_MIN {
                continue;
            }
            let work = self.compaction(&space, space.n_rows)?;
            let dead = space.n_rows - work.living.len() as u32;
            if dead > DEAD_ROWS_MIN && dead > space.n_rows / 3 {
                return Ok(Some(work));
            }
            self.health.counted.borrow_mut().insert(space.id, space.change);
        }
        Ok(None)
    }

    /// The compaction of a space of whose rows the first `n_rows` can be read.
    pub(crate) fn compaction(&self, space: &Space, n_rows: u32) -> Result<Compaction> {
        let mut needed = vec![false; n_rows as usize];
        db::embedded(self.db(), space.id, |_, _, rows| {
            for row in rows {
                if let Some(needed) = needed.get_mut(row as usize) {
                    *needed = true;
                }
            }
        })?;
        let living = (0..n_rows).filter(|row| needed[*row as usize]).collect();
        let rows = Rows::open(self.dir(), space.id, space.dimensions, n_rows)?;
        Ok(Compaction { dir: self.dir().to_owned(), space: space.id, rows, living })
    }

    /// Puts the copied rows in the place of the space's.
    pub(crate) fn compacted(&self, work: &Compaction) -> Result<()> {
        let spaces = db::spaces(self.db())?;
        let Some(space) = spaces.iter().find(|space| space.id == work.space) else {
            // It went away meanwhile.
            vector::discard(self.dir(), work.space);
            return Ok(());
        };
        let n_rows = work.living.len() as u32;
        let moved = |row: u32| work.living.binary_search(&row).ok().map(|at| at as u32);
        let transaction = Transaction::new_unchecked(self.db(), TransactionBehavior::Immediate)?;
        let new = db::move_space(&transaction, space.id, n_rows, &moved)?;
        vector::adopt(self.dir(), space.id, new)?;
        transaction.commit()?;
        tracing::info!(before = space.n_rows, after = n_rows, "vectors were put together");
        let kept: Vec<i64> = db::spaces(self.db())?.iter().map(|space| space.id).collect();
        vector::keep_only(self.dir(), |id| kept.contains(&id));
        Ok(())
    }
}
