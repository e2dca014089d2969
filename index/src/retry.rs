//! What could not be read, and when it is tried again.
//!
//! Editors and programs that synchronise hold a file closed for moments while they save it, and
//! nothing tells when they let go. Pure but for the door of [`Updater`]: time comes in as an
//! argument. Invariant: a path waits for one of [`WAITS`] or is given up, and there are at most
//! [`PATHS_MAX`] of them.

use crate::update::Updater;
use crate::walk;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a path waits after each failure; after the last of them it is given up.
const WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// Paths that are kept; what else cannot be read waits for the next comparison of its source.
pub(crate) const PATHS_MAX: usize = 1_000;

/// When a path is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How many of the waits it was given.
    waits: usize,
    /// `None` when it is given up.
    due: Option<Instant>,
}

/// What was known of paths before they are looked at once more.
pub(crate) type Held = BTreeMap<String, Entry>;

/// What could not be read when it was looked at last.
#[derive(Default)]
pub(crate) struct Unread {
    /// By source: relative paths.
    paths: HashMap<i64, BTreeMap<String, Entry>>,
    /// Sources that are not there, whose documents are kept.
    away: BTreeSet<i64>,
    /// Sources whose file systems did not answer, as long as nobody has asked.
    silent: BTreeSet<i64>,
}

impl Unread {
    /// All of a source is looked at, or some paths and what lies below them: takes out what was
    /// known of these. What does not fail again is read, or gone.
    pub(crate) fn look(&mut self, source: i64, paths: Option<&HashSet<String>>) -> Held {
        let Some(known) = self.paths.get_mut(&source) else { return Held::new() };
        let Some(paths) = paths else { return std::mem::take(known) };
        let within = |path: &String| {
            paths.contains(path) || walk::ancestors(path).any(|folder| paths.contains(folder))
        };
        let looked: Vec<String> = known.keys().filter(|path| within(path)).cloned().collect();
        let taken = looked.into_iter().filter_map(|path| known.remove_entry(&path));
        // Something happened to it: what was given up is tried as often as anything else.
        taken.filter(|(_, entry)| entry.due.is_some()).collect()
    }

    /// A path could not be read, at `now`.
    pub(crate) fn failed(&mut self, held: &Held, source: i64, path: &str, now: Instant) {
        if self.paths.values().map(BTreeMap::len).sum::<usize>() >= PATHS_MAX {
            return;
        }
        let waits = held.get(path).map_or(0, |entry| entry.waits);
        let due = WAITS.get(waits).map(|wait| now + *wait);
        let entry = Entry { waits: (waits + 1).min(WAITS.len()), due };
        self.paths.entry(source).or_default().insert(path.to_owned(), entry);
    }

    /// Says whether a source is there.
    pub(crate) fn set_away(&mut self, source: i64, away: bool) {
        if away {
            self.away.insert(source);
        } else {
            self.away.remove(&source);
        }
    }

    /// Whether a source was not there when it was looked at last.
    pub(crate) fn is_away(&self, source: i64) -> bool {
        self.away.contains(&source)
    }

    /// The file system of a source did not answer when it was looked at.
    pub(crate) fn fell_silent(&mut self, source: i64) {
        self.silent.insert(source);
    }

    /// A source goes.
    pub(crate) fn forget(&mut self, source: i64) {
        self.paths.remove(&source);
        self.away.remove(&source);
        self.silent.remove(&source);
    }

    /// By source, the paths whose time has come; they stay until they are looked at.
    fn due(&self, now: Instant) -> HashMap<i64, HashSet<String>> {
        let due = |entry: &Entry| entry.due.is_some_and(|at| at <= now);
        let all = self.paths.iter().map(|(source, paths)| {
            let paths = paths.iter().filter(|(_, entry)| due(entry));
            (*source, paths.map(|(path, _)| path.clone()).collect::<HashSet<_>>())
        });
        all.filter(|(_, paths)| !paths.is_empty()).collect()
    }

    /// When the first of all paths is to be tried again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.paths.values().flat_map(BTreeMap::values).filter_map(|entry| entry.due).min()
    }

    /// How many paths of each source wait to be tried again.
    fn waiting(&self) -> BTreeMap<i64, u64> {
        let all = self.paths.iter().map(|(source, paths)| {
            let n = paths.values().filter(|entry| entry.due.is_some()).count();
            (*source, n as u64)
        });
        all.filter(|(_, n)| *n > 0).collect()
    }
}

impl Updater {
    /// By source, paths that could not be read and whose time has come to be tried again, for
    /// [`Updater::refresh`].
    pub fn due(&self) -> HashMap<i64, HashSet<String>> {
        self.unread.due(Instant::now())
    }

    /// How many paths of each source could not be read and wait to be tried again.
    pub fn unread(&self) -> BTreeMap<i64, u64> {
        self.unread.waiting()
    }

    /// Whether this source was not there when it was looked at last: a path of it that is looked at
    /// means all of it.
    pub fn is_away(&self, source: i64) -> bool {
        self.unread.is_away(source)
    }

    /// Sources whose file systems did not answer, or stopped to, when they were looked at since
    /// this was last asked: they are to be compared when they answer, be it at once.
    pub fn take_silent(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.unread.silent)
    }

    /// A source is not there, or another, empty folder is in its place: its documents are kept.
    pub fn is_source_away(&self) -> bool {
        !self.unread.away.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> HashSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_path_is_tried_four_times_and_then_given_up() {
        let (mut unread, start) = (Unread::default(), Instant::now());
        let mut now = start;
        assert_eq!(unread.next(), None);
        unread.failed(&Held::new(), 1, "a/b.md", now);
        for wait in WAITS {
            assert_eq!(unread.waiting(), BTreeMap::from([(1, 1)]));
            assert_eq!(unread.next(), Some(now + wait));
            assert!(unread.due(now).is_empty());
            now += wait;
            assert_eq!(unread.due(now)[&1], set(&["a/b.md"]));
            let held = unread.look(1, Some(&set(&["a/b.md"])));
            unread.failed(&held, 1, "a/b.md", now);
        }
        let later = now + Duration::from_secs(3_600);
        assert!(unread.waiting().is_empty() && unread.due(later).is_empty());
        // A comparison that finds it as it was changes nothing; an event begins anew.
        let held = unread.look(1, None);
        unread.failed(&held, 1, "a/b.md", now);
        assert!(unread.waiting().is_empty());
        let held = unread.look(1, Some(&set(&["a"])));
        unread.failed(&held, 1, "a/b.md", now);
        assert_eq!(unread.due(now + WAITS[0])[&1], set(&["a/b.md"]));
    }

    #[test]
    fn what_is_read_or_goes_is_forgotten() {
        let (mut unread, now) = (Unread::default(), Instant::now());
        for path in ["a/b.md", "ab.md", "c.md"] {
            unread.failed(&Held::new(), 1, path, now);
        }
        unread.look(1, Some(&set(&["a"])));
        unread.look(2, None);
        assert_eq!(unread.due(now + WAITS[3])[&1], set(&["ab.md", "c.md"]));
        unread.set_away(1, true);
        unread.forget(1);
        assert!(unread.waiting().is_empty() && !unread.is_away(1));
        for n in 0..PATHS_MAX + 5 {
            unread.failed(&Held::new(), 1, &format!("{n}.md"), now);
        }
        assert_eq!(unread.waiting()[&1], PATHS_MAX as u64);
    }
}
