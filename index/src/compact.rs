//! Compaction of a space: rows that no document needs any more are given back, and so is the place
//! of rows that were lost.
//!
//! The rows that are needed are copied as they are, on whatever thread there is. Then the database
//! follows a little at a time, so that whoever saves a note waits for no more than that: what names
//! them is written also under a number that no space has yet, the space gets that number in one
//! transaction, and what names the former rows is forgotten. A crash before that one leaves files
//! and rows of a number that no space has, one behind it those of the former number: the next
//! writer removes both. Vectors that were made while others were copied are copied behind them;
//! what comes while the database follows is embedded again.
//! Invariant: rows that the database names are never written over.

use crate::db::{self, Key, Space};
use crate::error::Result;
use crate::limit::DEAD_ROWS_MIN;
use crate::lock;
use crate::update::Updater;
use crate::vector::{self, Rows};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::PathBuf;
use std::sync::Mutex;

/// Rows of the database that are written or removed before others have their turn: some tens of
/// milliseconds.
pub(crate) const STEP: usize = 4_096;

/// The needed rows of a space, to be copied.
pub(crate) struct Compaction {
    dir: PathBuf,
    space: i64,
    rows: Rows,
    /// In order.
    living: Vec<u32>,
    /// Rows that the database names beyond those that can be read may be copied once they are.
    whole: bool,
    /// How far the database follows; nothing before it begins to.
    moving: Mutex<Option<Moving>>,
}

/// A space on its way to another number.
struct Moving {
    /// Which no space has before the end.
    number: i64,
    /// By row of the new files, the row that it was.
    rows: Vec<u32>,
    next: Next,
}

/// What is done next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Vectors by their keys, behind this one.
    Keys(Option<Key>),
    /// What is embedded of documents, behind this one.
    Documents(Option<u32>),
    /// The space gets the number.
    Space,
    /// What has a number that no space has is forgotten.
    Leavings,
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
        let (dir, whole) = (self.dir().to_owned(), n_rows == space.n_rows);
        Ok(Compaction { dir, space: space.id, rows, living, whole, moving: Mutex::new(None) })
    }

    /// Puts the copied rows in the place of the space's, a little each time; true once it is done.
    pub(crate) fn compacted(&self, work: &Compaction) -> Result<bool> {
        let mut moving = lock(&work.moving);
        if moving.as_ref().is_some_and(|moving| moving.next == Next::Leavings) {
            return Ok(!db::forget_leavings(self.db(), STEP)?);
        }
        let spaces = db::spaces(self.db())?;
        let Some(space) = spaces.iter().find(|space| space.id == work.space) else {
            // It went away meanwhile.
            vector::discard(self.dir(), work.space);
            return match &mut *moving {
                Some(moving) => {
                    moving.next = Next::Leavings;
                    Ok(false)
                }
                None => Ok(true),
            };
        };
        let begin = || Transaction::new_unchecked(self.db(), TransactionBehavior::Immediate);
        if let Some(moving) = &mut *moving {
            let step = || -> Result<Next> {
                let transaction = begin()?;
                let next = self.move_on(&transaction, space, moving)?;
                transaction.commit()?;
                Ok(next)
            };
            // The former files go behind it: it is not to be lost with the power.
            let last = moving.next == Next::Space;
            moving.next = if last { db::synced(self.db(), step)? } else { step()? };
            if moving.next == Next::Leavings {
                let n_rows = moving.rows.len();
                tracing::info!(before = space.n_rows, after = n_rows, "vectors were put together");
                let kept: Vec<i64> = db::spaces(self.db())?.iter().map(|space| space.id).collect();
                vector::keep_only(self.dir(), |id| kept.contains(&id));
            }
        } else {
            let transaction = begin()?;
            let begun = self.begin_moving(&transaction, space, work)?;
            transaction.commit()?;
            *moving = Some(begun);
        }
        Ok(false)
    }

    /// Copies the rows that were added while others were copied.
    fn begin_moving(&self, db: &Connection, space: &Space, work: &Compaction) -> Result<Moving> {
        let mut rows = work.living.clone();
        let seen = work.rows.len();
        if work.whole && space.n_rows > seen {
            let more: Vec<u32> = (seen..space.n_rows).collect();
            let now = Rows::open(self.dir(), space.id, space.dimensions, space.n_rows)?;
            vector::copy_more(self.dir(), space.id, &now, &more)?;
            rows.extend(more);
        }
        Ok(Moving { number: db::reserve_space(db)?, rows, next: Next::Keys(None) })
    }

    /// Does what is next and says what comes then.
    fn move_on(&self, db: &Connection, space: &Space, moving: &Moving) -> Result<Next> {
        let Moving { number, rows, next } = moving;
        let moved = |row: u32| rows.binary_search(&row).ok().map(|at| at as u32);
        Ok(match *next {
            Next::Keys(after) => {
                let last = db::move_keys(db, space.id, *number, after, STEP, &moved)?;
                last.map_or(Next::Documents(None), |key| Next::Keys(Some(key)))
            }
            Next::Documents(after) => {
                let last = db::move_embedded(db, space.id, *number, after, STEP, &moved)?;
                last.map_or(Next::Space, |file| Next::Documents(Some(file)))
            }
            Next::Space | Next::Leavings => {
                db::renumber_space(db, space.id, *number, rows.len() as u32)?;
                vector::adopt(self.dir(), space.id, *number)?;
                Next::Leavings
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::{QueryVector, tests::unit};
    use crate::{Error, Index, disk};
    use std::sync::Arc;

    /// The row of which a document has the vector.
    const NEEDED: usize = 4_321;

    #[test]
    fn a_commit_behind_which_files_go_is_on_disk_before_they_do() {
        let dir = tempfile::tempdir().unwrap();
        let db = db::open(&dir.path().join("index.db"), true).unwrap();
        let level =
            || -> i64 { db.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap() };
        let (normal, full) = (1, 2);
        assert_eq!(level(), normal);
        assert_eq!(db::synced(&db, || Ok(level())).unwrap(), full);
        let failed = db::synced(&db, || -> Result<()> { Err(Error::Argument("no".to_owned())) });
        assert!(failed.is_err());
        assert_eq!(level(), normal, "no other commit waits for the disk");
    }

    #[test]
    fn a_compaction_that_ends_after_any_step_leaves_one_space_whole_and_nothing_else() {
        let vectors: Vec<Vec<f32>> = (1..=5_000).map(|seed| unit(seed, 32)).collect();
        let keys: Vec<Key> = (0..5_000u32).map(|n| disk::hash(&n.to_le_bytes())).collect();
        for n_steps in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let index = Index::open(dir.path()).unwrap();
            let mut updater = Updater::new(Arc::clone(&index), || 1).unwrap();
            let pushed = updater.push("pushed", "a.md", "a walrus".to_owned()).unwrap();
            let source = updater.sources().unwrap().remove(0);
            let file = db::id_at(updater.db(), source.id, "a.md").unwrap().unwrap();
            db::add_space(updater.db(), "s", 32).unwrap();
            let space = db::space(updater.db(), "s").unwrap().unwrap();
            updater.add_vectors(&space, &keys[..4_990], &vectors[..4_990]).unwrap();
            let rows = [NEEDED as u32];
            db::put_embedded(updater.db(), space.id, file, pushed.generation, &rows).unwrap();
            let space = db::space(updater.db(), "s").unwrap().unwrap();
            let work = updater.compaction(&space, space.n_rows).unwrap();
            assert!(work.run(&|| true).unwrap());
            // Some more while it was copied.
            updater.add_vectors(&space, &keys[4_990..], &vectors[4_990..]).unwrap();
            let done = (0..n_steps).any(|_| updater.compacted(&work).unwrap());
            drop((work, updater));

            let updater = Updater::new(Arc::clone(&index), || 1).unwrap();
            let space = db::space(updater.db(), "s").unwrap().unwrap();
            let rows = Rows::open(updater.dir(), space.id, 32, space.n_rows).unwrap();
            for at in [NEEDED, 4_990, 4_999] {
                let row = db::vector(updater.db(), space.id, &keys[at]).unwrap().unwrap();
                assert!(rows.cosine(row, &QueryVector::new(&vectors[at])) > 0.99, "{n_steps}");
            }
            let row = db::vector(updater.db(), space.id, &keys[NEEDED]).unwrap().unwrap();
            let mut named: Vec<(u32, Vec<u32>)> = Vec::new();
            let db = updater.db();
            db::embedded(db, space.id, |file, _, rows| named.push((file, rows.collect()))).unwrap();
            assert_eq!(named, [(file, vec![row])], "{n_steps}");
            assert!(!db::forget_leavings(updater.db(), STEP).unwrap(), "{n_steps}");
            if done {
                assert_eq!(space.n_rows, 11, "the needed one, and those that came meanwhile");
                assert!(n_steps > 5, "{n_steps}");
                break;
            }
        }
    }
}
