//! Whether the file system of a folder answers: one whose server is gone lets whoever asks wait,
//! for minutes or for good.
//!
//! A folder is asked on a thread of its own when somebody is about to touch it. Who is about to
//! waits [`ANSWER_MAX`] for the answer at most; later ones do not wait, and leave the folder alone
//! until it answers. However many folders there are, each is asked in its turn. Knows nothing of
//! sources. Invariant: a folder is asked by one thread at a time, and no more than [`FOLDERS_MAX`]
//! are asked at once.

use crate::mount;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
/// Folders that are asked at once. Beyond as many known ones, those that answered before
/// [`KNOWN`] are forgotten.
const FOLDERS_MAX: usize = 256;
/// Between two looks whether one more folder may be asked.
const ROOM: Duration = Duration::from_millis(5);

/// Work of which nothing was heard for this long is given up if its file system does not answer.
const QUIET: Duration = Duration::from_secs(10);
/// The same whatever the file system says: another one, mounted below it, may be the one that does
/// not answer. Longer than one document may take.
const STUCK: Duration = Duration::from_secs(60);
/// Whoever waits looks every few milliseconds: what is beyond this between two looks is a time in
/// which this process stood still itself, and says nothing of a file system.
const LOOK_MAX: Duration = Duration::from_secs(1);

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
    /// Those of them that were given up: it does not answer until they are done.
    given_up: usize,
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
        if self.given_up > 0 {
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

    /// Whether something is lost if this is forgotten.
    fn is_kept(&self, now: Instant) -> bool {
        self.asked.is_some() || self.inside > 0 || self.is_known(now)
    }
}

/// What came of the wish to ask a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// Whoever wished it asks.
    Begins,
    /// It is being asked, or answered a moment ago.
    Known,
    /// As many as may be are being asked.
    Full,
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
        let until = Instant::now() + ANSWER_MAX;
        loop {
            // One that was forgotten before it was looked at here is asked once more.
            if self.begin(folder)
                && let Some(found) = self.awaited(folder)
            {
                return found;
            }
            let folders = self.0.folders();
            // Most of those that are being asked answer in a moment. If none of them does, nobody
            // waits.
            let now = Instant::now();
            let silent =
                |known: &&Folder| known.asked.is_some() && known.state(now) == State::Silent;
            if now >= until || folders.values().filter(silent).count() >= FOLDERS_MAX {
                return None;
            }
            drop(self.0.told.wait_timeout(folders, ROOM));
        }
    }

    /// Waits for what a folder that was asked answers, or does not; `None` if it was forgotten.
    fn awaited(&self, folder: &Path) -> Option<Option<Identity>> {
        let mut folders = self.0.folders();
        loop {
            let left = match folders.get(folder)?.state(Instant::now()) {
                State::Answers(identity) => return Some(Some(identity)),
                State::Silent => return Some(None),
                State::Asked(left) => left,
            };
            let waited = self.0.told.wait_timeout(folders, left);
            folders = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a folder is known not to answer; does not wait.
    pub fn is_silent(&self, folder: &Path) -> bool {
        self.ask(folder);
        let now = Instant::now();
        self.0.folders().get(folder).is_some_and(|known| known.state(now) == State::Silent)
    }

    /// Has a folder asked, unless it is being asked or answered a moment ago; whoever does so of
    /// several before the first is waited for waits once.
    pub(crate) fn ask(&self, folder: &Path) {
        if !folder.as_os_str().is_empty() {
            self.begin(folder);
        }
    }

    /// The same; false if there is no room.
    fn begin(&self, folder: &Path) -> bool {
        match self.begins(folder, Instant::now()) {
            Asking::Begins => {}
            Asking::Known => return true,
            Asking::Full => return false,
        }
        let (shared, own) = (Arc::clone(&self.0), folder.to_owned());
        let asking = move || shared.answer(&own, question(&own));
        let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(asking);
        if thread.is_err() {
            // Nothing can be known of it then, and it is touched as it is.
            self.0.answer(folder, identity(folder));
        }
        true
    }

    /// Notes that a folder is asked, if there is need and room.
    fn begins(&self, folder: &Path, now: Instant) -> Asking {
        let mut folders = self.0.folders();
        if folders.get(folder).is_some_and(|known| known.asked.is_some() || known.is_known(now)) {
            return Asking::Known;
        }
        if folders.len() >= FOLDERS_MAX {
            folders.retain(|_, known| known.is_kept(now));
        }
        if folders.values().filter(|known| known.asked.is_some()).count() >= FOLDERS_MAX {
            return Asking::Full;
        }
        folders.entry(folder.to_owned()).or_default().asked = Some(now);
        Asking::Begins
    }

    /// Threads that are about to work in a folder, for one who waits for them.
    pub(crate) fn crew(&self, folder: &Path) -> Crew {
        let (n, given_up) = (Arc::default(), Arc::default());
        Crew { reach: self.clone(), folder: folder.to_owned(), n, given_up }
    }
}

/// Threads that work in a folder for one who waits for them, and gives up all of them or none:
/// others may work in it that do well.
#[derive(Clone)]
pub(crate) struct Crew {
    reach: Reach,
    folder: PathBuf,
    /// How many are inside; changed, as the next one is, with the folders in hand.
    n: Arc<AtomicUsize>,
    given_up: Arc<AtomicBool>,
}

impl Crew {
    /// Notes that a thread of it works in the folder, until the value is dropped.
    pub(crate) fn enter(&self) -> Inside {
        let mut folders = self.reach.0.folders();
        self.n.fetch_add(1, Ordering::Relaxed);
        let known = folders.entry(self.folder.clone()).or_default();
        known.inside += 1;
        known.given_up += usize::from(self.given_up.load(Ordering::Relaxed));
        Inside(self.clone())
    }

    /// Nobody waits any more for those who are inside: the folder does not answer until they are
    /// done.
    pub(crate) fn give_up(&self) {
        let mut folders = self.reach.0.folders();
        let before = self.given_up.swap(true, Ordering::Relaxed);
        if let Some(known) = folders.get_mut(&self.folder).filter(|_| !before) {
            known.given_up += self.n.load(Ordering::Relaxed);
        }
    }
}

/// A thread that works in a folder.
pub(crate) struct Inside(Crew);

impl Drop for Inside {
    fn drop(&mut self) {
        let Crew { reach, folder, n, given_up } = &self.0;
        let mut folders = reach.0.folders();
        n.fetch_sub(1, Ordering::Relaxed);
        if let Some(known) = folders.get_mut(folder) {
            let counted = usize::from(given_up.load(Ordering::Relaxed));
            known.inside = known.inside.saturating_sub(1);
            known.given_up = known.given_up.saturating_sub(counted);
        }
    }
}

/// For how long nothing was heard of work that is waited for, as whoever waits looks again and
/// again. Pure: time comes in as an argument.
pub(crate) struct Quiet {
    looked: Instant,
    time: Duration,
}

impl Quiet {
    /// Of work that begins.
    pub(crate) fn new(now: Instant) -> Self {
        Quiet { looked: now, time: Duration::ZERO }
    }

    /// Something was heard.
    pub(crate) fn heard(&mut self, now: Instant) {
        *self = Quiet::new(now);
    }

    /// What was done since the last look was something else than to wait.
    pub(crate) fn skip(&mut self, now: Instant) {
        self.looked = now;
    }

    /// Nothing was heard yet: for how long.
    pub(crate) fn look(&mut self, now: Instant) -> Duration {
        self.time += now.saturating_duration_since(self.looked).min(LOOK_MAX);
        self.looked = now;
        self.time
    }
}

/// Whether work of which nothing was heard for so long is to be given up.
pub(crate) fn is_lost(quiet: Duration, is_silent: impl FnOnce() -> bool) -> bool {
    quiet >= STUCK || quiet >= QUIET && is_silent()
}

/// Why work was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Its file system does not answer.
    Silent,
    /// It takes too long, though its file system answers.
    Slow,
}

/// Whether what is over in a moment, and cheap to do again, is to be given up, of which nothing was
/// heard for so long: whoever waits for it serves nobody.
pub(crate) fn left(quiet: Duration, is_silent: impl FnOnce() -> bool) -> Option<Left> {
    // Asked well before: an answer, too, is waited for.
    let silent = quiet >= KNOWN && is_silent();
    match silent {
        true if quiet >= ANSWER_MAX => Some(Left::Silent),
        false if quiet >= QUIET => Some(Left::Slow),
        _ => None,
    }
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
    }

    #[test]
    fn many_folders_answer_and_are_not_all_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach::default();
        let folders: Vec<PathBuf> = (0..300).map(|n| dir.path().join(n.to_string())).collect();
        for _ in 0..3 {
            // All are asked before one is waited for, as the writer does.
            folders.iter().for_each(|folder| reach.ask(folder));
            for folder in &folders {
                assert!(reach.answers(folder) && !reach.is_silent(folder), "{folder:?}");
            }
            std::thread::sleep(KNOWN);
        }
        assert!(reach.answers(dir.path()));
        assert!(reach.0.folders().len() < folders.len());
    }

    #[test]
    fn nobody_waits_for_room_while_none_of_those_that_are_asked_answers() {
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach::default();
        let old = Instant::now().checked_sub(ANSWER_MAX * 2).unwrap();
        for n in 0..FOLDERS_MAX {
            let silent = Folder { asked: Some(old), ..Folder::default() };
            reach.0.folders().insert(PathBuf::from(n.to_string()), silent);
        }
        let start = Instant::now();
        assert!(!reach.answers(dir.path()) && start.elapsed() < ANSWER_MAX);
        assert!(!reach.is_silent(dir.path()), "it was not asked");
        reach.0.folders().remove(Path::new("7"));
        assert!(reach.answers(dir.path()), "one may be asked again");
    }

    #[test]
    fn a_folder_does_not_answer_while_somebody_who_was_given_up_is_inside() {
        let dir = tempfile::tempdir().unwrap();
        let (reach, folder) = (Reach::default(), dir.path());
        let (crew, other) = (reach.crew(folder), reach.crew(folder));
        other.give_up();
        assert!(reach.answers(folder), "nobody was inside");
        let (one, two) = (crew.enter(), crew.enter());
        assert!(reach.answers(folder), "whoever works in it is no reason");
        crew.give_up();
        crew.give_up();
        assert!(!reach.answers(folder) && reach.is_silent(folder));
        drop(one);
        assert!(!reach.answers(folder));
        drop(two);
        assert!(reach.answers(folder));
    }

    #[test]
    fn whoever_is_given_up_takes_no_other_along() {
        let dir = tempfile::tempdir().unwrap();
        let (reach, folder) = (Reach::default(), dir.path());
        let (outer, inner) = (reach.crew(folder), reach.crew(folder));
        let (healthy, stuck) = (outer.enter(), inner.enter());
        inner.give_up();
        assert!(!reach.answers(folder));
        drop(stuck);
        assert!(reach.answers(folder), "the others do well");
        drop(healthy);
        assert_eq!(reach.0.folders()[folder].inside, 0);
    }

    #[test]
    fn time_in_which_the_process_stood_still_is_no_silence() {
        let start = Instant::now();
        let mut quiet = Quiet::new(start);
        assert_eq!(quiet.look(start + 5 * MS), 5 * MS);
        assert_eq!(quiet.look(start + 900 * MS), 900 * MS);
        // It was stopped for an hour.
        let back = start + Duration::from_secs(3_600);
        assert_eq!(quiet.look(back), 900 * MS + LOOK_MAX);
        assert_eq!(quiet.look(back + 5 * MS), 905 * MS + LOOK_MAX);
        // Others were served.
        quiet.skip(back + 9_000 * MS);
        assert_eq!(quiet.look(back + 9_001 * MS), 906 * MS + LOOK_MAX);
        quiet.heard(back + 9_002 * MS);
        assert_eq!(quiet.look(back + 9_003 * MS), MS);
    }

    #[test]
    fn work_is_given_up_when_nothing_comes_of_it() {
        assert!(!is_lost(QUIET - MS, || true) && is_lost(QUIET, || true));
        assert!(!is_lost(STUCK - MS, || false) && is_lost(STUCK, || false));
        for (quiet, silent, expected) in [
            (ANSWER_MAX - MS, true, None),
            (ANSWER_MAX, true, Some(Left::Silent)),
            (QUIET, true, Some(Left::Silent)),
            (QUIET - MS, false, None),
            (QUIET, false, Some(Left::Slow)),
        ] {
            assert_eq!(left(quiet, || silent), expected, "{quiet:?} {silent}");
        }
        let asked = std::cell::Cell::new(0);
        for quiet in [KNOWN - MS, KNOWN, ANSWER_MAX - MS] {
            let ask = || {
                asked.set(asked.get() + 1);
                true
            };
            assert_eq!(left(quiet, ask), None, "{quiet:?}");
        }
        assert_eq!(asked.get(), 2, "it is asked before it counts");
    }
}
