//! Whether the data directory is still the one that was opened: people delete it, restore it from a
//! backup, or have it repaired, while processes have it open. And whether it may be written at all:
//! it may lie on a read-only disk, or be somebody else's.
//!
//! A file that was deleted is read on by whoever has it open. Invariant: nothing is answered from a
//! database that is not at its place any more, but for the time between two looks. Invariant: where
//! nothing may be written, somebody else may, and what they change is seen by the next look.

use crate::db::Rest;
use crate::error::{Error, Result};
use crate::{Freshness, Index, lock};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two looks at which file the database is.
const LOOK: Duration = Duration::from_millis(200);

/// Which file something is: device and inode, where there are such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl Identity {
    /// Of an open file, or of the one at a path.
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Identity(meta.dev(), meta.ino())
        }
        #[cfg(not(unix))]
        {
            // Files that are open cannot be deleted there.
            let _ = meta;
            Identity(0, 0)
        }
    }

    /// Of the file at a path; `None` when there is none.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(meta) => Ok(Some(Identity::of(&meta))),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(Error::data(path, error)),
        }
    }
}

/// What was seen where the database is.
pub(crate) struct Place {
    file: Option<Identity>,
    /// How it lies, where this process may not write it: SQLite looks at that once, when it opens.
    rest: Option<Rest>,
    looked: Instant,
}

impl Place {
    /// Looks for the first time.
    pub(crate) fn at(path: &Path) -> Self {
        Place { file: Identity::at(path).ok().flatten(), rest: None, looked: Instant::now() }
    }

    /// The same, where this process may not write.
    pub(crate) fn of_still(path: &Path) -> Self {
        Place { rest: Some(Rest::at(path)), ..Place::at(path) }
    }
}

/// Whether there is an index that this process may read and not write.
pub(crate) fn is_read_only(data: &Path) -> bool {
    let dir = data.join("index");
    let (database, words) = (dir.join("index.db"), dir.join("words"));
    let parts: [&Path; 4] = [data, &dir, &words, &database];
    database.exists() && parts.iter().any(|path| is_refused(path))
}

/// Whether the system lets this process only read what is there; a full disk is another matter.
#[cfg(unix)]
fn is_refused(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    use rustix::io::Errno;
    let asked = access(path, Access::WRITE_OK);
    matches!(asked, Err(Errno::ROFS | Errno::ACCESS | Errno::PERM))
}

/// There what may be done with a folder is known only by trying.
#[cfg(not(unix))]
fn is_refused(_: &Path) -> bool {
    false
}

/// The failure that a file is no longer where it was.
pub(crate) fn gone(path: &Path) -> Error {
    let reason = "it is gone, the data directory was deleted or moved away";
    Error::data(path, io::Error::new(ErrorKind::NotFound, reason))
}

impl Index {
    /// How often another file took the place of the database.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether this process may only read the index, which is on a read-only disk or somebody
    /// else's. Found when it is opened: a disk that can be written later is so for the next
    /// process.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Looks, now and then, whether the database is still the file that is open; if it is another
    /// one, that one is read from now on. Where this process may not write it looks each time:
    /// what others write there would be read wrong.
    ///
    /// # Errors
    /// `Data` while there is none.
    pub(crate) fn look(&self) -> Result<()> {
        let mut place = lock(&self.place);
        if self.read_only || place.looked.elapsed() >= LOOK {
            return self.look_at(&mut place);
        }
        place.file.map(|_| ()).ok_or_else(|| gone(&self.dir.join("index.db")))
    }

    /// The same at once.
    pub(crate) fn look_now(&self) -> Result<()> {
        self.look_at(&mut lock(&self.place))
    }

    fn look_at(&self, place: &mut Place) -> Result<()> {
        let path = self.dir.join("index.db");
        let found = Identity::at(&path)?;
        let rest = self.read_only.then(|| Rest::at(&path));
        place.looked = Instant::now();
        let other = place.file != found;
        if other || place.rest != rest {
            if other {
                tracing::warn!(gone = found.is_none(), "the data directory is another one");
            }
            (place.file, place.rest) = (found, rest);
            // First: who has something of the former one in hand does not put it back.
            self.epoch.fetch_add(1, Ordering::AcqRel);
            self.forget_all();
        }
        found.map(|_| ()).ok_or_else(|| gone(&path))
    }

    /// Forgets everything that was read from the database and what lies beside it.
    fn forget_all(&self) {
        lock(&self.connections).clear();
        lock(&self.asked).clear();
        *self.words.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.forget_view();
        // Where nothing may be written nothing waits to be.
        let nothing = Freshness { pending: u64::from(!self.read_only), fresh: false };
        *self.freshness.write().unwrap_or_else(PoisonError::into_inner) = nothing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn another_file_of_the_same_name_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(Identity::at(&path).unwrap(), None);
        assert_eq!(Identity::at(&path.join("below")).unwrap(), None);
        std::fs::write(&path, "one").unwrap();
        let first = Identity::at(&path).unwrap();
        std::fs::write(&path, "one and more").unwrap();
        assert_eq!(Identity::at(&path).unwrap(), first, "the same file with other content");
        std::fs::write(dir.path().join("y"), "one").unwrap();
        std::fs::rename(dir.path().join("y"), &path).unwrap();
        assert_ne!(Identity::at(&path).unwrap(), first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Identity::at(&path).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_waits_where_nothing_may_be_written() {
        let dir = tempfile::tempdir().unwrap();
        drop(Index::open(dir.path()).unwrap());
        let still = Index::open_still(dir.path().join("index")).unwrap();
        let epoch = still.epoch();
        // Somebody else begins to write: the database lies in another way.
        let writer = Index::open(dir.path()).unwrap();
        assert_eq!(still.generation().unwrap(), writer.generation().unwrap());
        assert!(still.epoch() > epoch);
        assert_eq!(still.freshness(), Freshness::default());
    }
}
