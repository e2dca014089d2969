//! Whether the file system of a folder answers: one whose server is gone lets whoever asks wait,
//! for minutes or for good.
//!
//! A folder is asked on a thread of its own when somebody is about to touch it. Who is about to
//! waits [`ANSWER_MAX`] for the answer at most; later ones do not wait, and leave the folder alone
//! until it answers. Knows nothing of sources. Invariant: a folder is asked by one thread at a
//! time, and no more than [`FOLDERS_MAX`] are asked at once.

use crate::mount;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is said of a folder that does not answer.
pub(crate) const SILENT: &str = "its file system does not answer";

/// A folder that takes longer to answer is left alone. Disks that have to start may take longer,
/// and are there again when they have.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// An answer counts for this long. A file system that stops to answer holds whoever touches it
/// within this time; asking costs a thread.
const KNOWN: Duration = Duration::from_millis(200);
/// Folders that are known at once.
const FOLDERS_MAX: usize = 256;

/// Work of which nothing was heard for this long is given up if its file system does not answer.
const QUIET: Duration = Duration::from_secs(10);
/// The same whatever the file system says: another one, mounted below it, may be the one that does
/// not answer. Longer than one document may take.
const STUCK: Duration = Duration::from_secs(60);

/// Which folder a path means: device and inode; nothing while there is none.
pub(crate) type Identity = Option<(u64, u64)>;

/// Knows which folders answer. Clones know the same.
#[derive(Clone, Default)]
pub struct Reach(Arc<Shared>);

#[derive(Default)]
struct Shared {
    folders: Mutex<HashMap<PathBuf, Folder>>,
    /// Something was answered.
    told: Condvar,
}

#[derive(Default)]
struct Folder {
    /// Since when it is being asked.
    asked: Option<Instant>,
    /// When it answered last, and what.
    answered: Option<(Instant, Identity)>,
    /// Threads that work in it.
    inside: usize,
    /// They were given up: it does not answer until they are done.
    given_up: bool,
}

/// What is known of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Answers(Identity),
    Silent,
    /// It was asked, and may take so long yet.
    Asked(Duration),
}

impl Folder {
    fn state(&self, now: Instant) -> State {
        if self.given_up {
            return State::Silent;
        }
        let Some(asked) = self.asked else {
            return State::Answers(self.answered.and_then(|(_, identity)| identity));
        };
        match ANSWER_MAX.saturating_sub(now.saturating_duration_since(asked)) {
            Duration::ZERO => State::Silent,
            left => State::Asked(left),
        }
    }

    fn is_known(&self, now: Instant) -> bool {
        self.answered.is_some_and(|(at, _)| now.saturating_duration_since(at) < KNOWN)
    }
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, HashMap<PathBuf, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, folder: &Path, identity: Identity) {
        if let Some(known) = self.folders().get_mut(folder) {
            known.asked = None;
            known.answered = Some((Instant::now(), identity));
        }
        self.told.notify_all();
    }
}

impl Reach {
    /// Whether a folder answers, be it that there is none. Waits two seconds at most, and not at
    /// all for one that is known not to.
    pub fn answers(&self, folder: &Path) -> bool {
        self.find(folder).is_some()
    }

    /// Which folder a path means, as it was a moment ago; `None` if it does not answer.
    pub(crate) fn find(&self, folder: &Path) -> Option<Identity> {
        if folder.as_os_str().is_empty() {
            // The place of what was pushed.
            return Some(None);
        }
        self.ask(folder);
        let mut folders = self.0.folders();
        loop {
            // There are too many already that do not answer.
            match folders.get(folder)?.state(Instant::now()) {
                State::Answers(identity) => return Some(identity),
                State::Silent => return None,
                State::Asked(left) => {
                    let waited = self.0.told.wait_timeout(folders, left);
                    folders = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Whether a folder is known not to answer; does not wait.
    pub(crate) fn is_silent(&self, folder: &Path) -> bool {
        self.ask(folder);
        let now = Instant::now();
        self.0.folders().get(folder).is_none_or(|known| known.state(now) == State::Silent)
    }

    /// Has a folder asked, unless it is being asked or answered a moment ago.
    pub(crate) fn ask(&self, folder: &Path) {
        if !self.begins(folder, Instant::now()) {
            return;
        }
        let (shared, own) = (Arc::clone(&self.0), folder.to_owned());
        let asking = move || shared.answer(&own, question(&own));
        let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(asking);
        if thread.is_err() {
            // Nothing can be known of it then, and it is touched as it is.
            self.0.answer(folder, identity(folder));
        }
    }

    /// Notes that a folder is asked; false if there is no need, or no room.
    fn begins(&self, folder: &Path, now: Instant) -> bool {
        let mut folders = self.0.folders();
        if let Some(known) = folders.get_mut(folder) {
            let needed = known.asked.is_none() && !known.is_known(now);
            if needed {
                known.asked = Some(now);
            }
            return needed;
        }
        if folders.len() >= FOLDERS_MAX {
            folders.retain(|_, known| {
                known.asked.is_some() || known.inside > 0 || known.is_known(now)
            });
            if folders.len() >= FOLDERS_MAX {
                return false;
            }
        }
        let asked = Folder { asked: Some(now), ..Folder::default() };
        folders.insert(folder.to_owned(), asked);
        true
    }

    /// Notes that a thread works in a folder, until the value is dropped.
    pub(crate) fn enter(&self, folder: &Path) -> Inside {
        self.0.folders().entry(folder.to_owned()).or_default().inside += 1;
        Inside { reach: self.clone(), folder: folder.to_owned() }
    }

    /// Nobody waits any more for those who work in a folder: it does not answer until they are
    /// done.
    pub(crate) fn give_up(&self, folder: &Path) {
        if let Some(known) = self.0.folders().get_mut(folder) {
            known.given_up = known.inside > 0;
        }
    }
}

/// A thread that works in a folder.
pub(crate) struct Inside {
    reach: Reach,
    folder: PathBuf,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(known) = self.reach.0.folders().get_mut(&self.folder) {
            known.inside = known.inside.saturating_sub(1);
            known.given_up &= known.inside > 0;
        }
    }
}

/// Whether work of which nothing was heard for so long is to be given up.
pub(crate) fn is_lost(quiet: Duration, is_silent: impl FnOnce() -> bool) -> bool {
    quiet >= STUCK || quiet >= QUIET && is_silent()
}

/// What hangs if the file system does. What is known of the folder may be remembered from before;
/// the state of its file system is asked of whoever serves it.
fn question(folder: &Path) -> Identity {
    let found = identity(folder);
    mount::ask(folder);
    found
}

fn identity(folder: &Path) -> Identity {
    identity_of(&std::fs::metadata(folder).ok()?)
}

/// Which folder it is that this is known of.
pub(crate) fn identity_of(meta: &std::fs::Metadata) -> Identity {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    {
        let made = meta.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some((0, made.as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_folder_that_takes_too_long_is_silent_until_it_answers() {
        let start = Instant::now();
        let mut folder = Folder { asked: Some(start), ..Folder::default() };
        assert_eq!(folder.state(start + 500 * MS), State::Asked(1_500 * MS));
        assert_eq!(folder.state(start + 2_000 * MS), State::Silent);
        folder.asked = None;
        folder.answered = Some((start + 9_000 * MS, Some((1, 2))));
        assert_eq!(folder.state(start + 9_000 * MS), State::Answers(Some((1, 2))));
        assert!(folder.is_known(start + 9_199 * MS) && !folder.is_known(start + 9_200 * MS));
    }

    #[test]
    fn folders_that_are_there_and_those_that_are_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach::default();
        assert!(reach.find(dir.path()).is_some_and(|identity| identity.is_some()));
        let none = dir.path().join("none");
        assert_eq!((reach.find(&none), reach.find(Path::new(""))), (Some(None), Some(None)));
        assert!(!reach.is_silent(dir.path()));
        // However many there are.
        for n in 0..FOLDERS_MAX * 2 {
            let folder = dir.path().join(n.to_string());
            // Those before it count for a moment.
            while !reach.answers(&folder) {
                std::thread::yield_now();
            }
        }
        assert!(reach.0.folders().len() <= FOLDERS_MAX);
    }

    #[test]
    fn a_folder_does_not_answer_while_somebody_who_was_given_up_is_inside() {
        let dir = tempfile::tempdir().unwrap();
        let (reach, folder) = (Reach::default(), dir.path());
        reach.give_up(folder);
        assert!(reach.answers(folder), "nobody was inside");
        let (one, two) = (reach.enter(folder), reach.enter(folder));
        assert!(reach.answers(folder), "whoever works in it is no reason");
        reach.give_up(folder);
        assert!(!reach.answers(folder) && reach.is_silent(folder));
        drop(one);
        assert!(!reach.answers(folder));
        drop(two);
        assert!(reach.answers(folder));
    }

    #[test]
    fn work_is_given_up_when_nothing_comes_of_it() {
        assert!(!is_lost(QUIET - MS, || true) && is_lost(QUIET, || true));
        assert!(!is_lost(STUCK - MS, || false) && is_lost(STUCK, || false));
    }
}
