//! Whether the data directory is still the one that was opened: people delete it, restore it from a
//! backup, or have it repaired, while processes have it open.
//!
//! A file that was deleted is read on by whoever has it open. Invariant: nothing is answered from a
//! database that is not at its place any more, but for the time between two looks.

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
    looked: Instant,
}

impl Place {
    /// Looks for the first time.
    pub(crate) fn at(path: &Path) -> Self {
        Place { file: Identity::at(path).ok().flatten(), looked: Instant::now() }
    }
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

    /// Looks, now and then, whether the database is still the file that is open; if it is another
    /// one, that one is read from now on.
    ///
    /// # Errors
    /// `Data` while there is none.
    pub(crate) fn look(&self) -> Result<()> {
        let mut place = lock(&self.place);
        if place.looked.elapsed() >= LOOK {
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
        place.looked = Instant::now();
        if place.file != found {
            tracing::warn!(gone = found.is_none(), "the data directory is another one");
            place.file = found;
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
        let nothing = Freshness { pending: 1, fresh: false };
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
}
