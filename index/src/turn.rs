//! Whose turn it is: a run over many documents, or files that somebody saves meanwhile.
//!
//! A first look at a large folder takes minutes, and whoever saves a note is not to wait for its
//! end. So a run asks between two documents whether something is due. If so, it commits what it
//! has, lets its caller look at what was touched, and goes on where it was. Does not know what is
//! looked at, nor how. Pure but for the doors of [`Beside`]: time comes in as an argument.
//! Invariant: a run goes on whatever is touched: it works between any two times that it gives way.
//! Invariant: what was looked at meanwhile is left as it is by the run, which knows an older state
//! of it.

use crate::error::Result;
use crate::limit::{
    BATCH_BYTES_BESIDE, BATCH_BYTES_MAX, BATCH_BYTES_SAVING, BATCH_FILES_BESIDE, BATCH_FILES_MAX,
    BATCH_TIME_SAVING, SAVING,
};
use crate::touch::Touched;
use crate::update::Updater;
use crate::walk;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// A run stands still for what is due within this time: a burst of touches is handed on after as
/// long. It does not stand still for longer.
const SOON: Duration = Duration::from_millis(100);
/// A run works at least this long before it stands still once more.
const TURN: Duration = Duration::from_millis(150);
/// A run works at least this long between two times that others are served.
const GAP: Duration = Duration::from_millis(50);

/// What goes before a run.
pub struct Ahead<'a> {
    /// How long until something is to be looked at; `None` while nothing waits. Asked for each
    /// document.
    pub due: &'a dyn Fn() -> Option<Duration>,
    /// Looks at what is due, between two commits of the run, and says what that was.
    pub serve: &'a mut dyn FnMut(&mut Updater) -> Result<Touched>,
}

/// What a run does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its next document.
    Work,
    /// Nothing: something is due in a moment, and what the run wrote is committed until then.
    Wait,
    /// What is due.
    Serve,
}

/// The state of a run that gives way.
struct Turn {
    /// Since when it works.
    since: Instant,
    /// Since when it stands still.
    waits: Option<Instant>,
}

impl Turn {
    fn new(now: Instant) -> Self {
        Turn { since: now, waits: None }
    }

    fn step(&mut self, due: Option<Duration>, now: Instant) -> Step {
        let worked = now.saturating_duration_since(self.since);
        match (due, self.waits) {
            (Some(due), _) if due.is_zero() && worked >= GAP => Step::Serve,
            (Some(due), None) if due <= SOON && worked >= TURN => {
                self.waits = Some(now);
                Step::Wait
            }
            (Some(due), Some(since)) if due <= SOON && now < since + SOON => Step::Wait,
            (_, Some(_)) => {
                *self = Turn::new(now);
                Step::Work
            }
            (_, None) => Step::Work,
        }
    }
}

/// How much a batch may hold until it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Files.
    pub(crate) files: usize,
    /// Bytes of text.
    pub(crate) bytes: u64,
    /// How long it may be open.
    pub(crate) time: Duration,
}

impl Room {
    /// Of a run that gives way to nobody.
    pub(crate) const WHOLE: Room =
        Room { files: BATCH_FILES_MAX, bytes: BATCH_BYTES_MAX, time: Duration::MAX };

    /// Of one that does, when the last file was saved so long ago.
    fn beside(saved: Option<Duration>) -> Self {
        match saved {
            Some(ago) if ago < SAVING => Room {
                files: BATCH_FILES_BESIDE,
                bytes: BATCH_BYTES_SAVING,
                time: BATCH_TIME_SAVING,
            },
            _ => Room { files: BATCH_FILES_BESIDE, bytes: BATCH_BYTES_BESIDE, time: Duration::MAX },
        }
    }
}

/// What goes on beside the run over a source.
pub(crate) struct Beside<'a, 'b> {
    ahead: Option<&'a mut Ahead<'b>>,
    source: i64,
    turn: Turn,
    /// Paths of the source, files or folders, that were looked at meanwhile.
    seen: HashSet<String>,
}

impl<'a, 'b> Beside<'a, 'b> {
    pub(crate) fn new(source: i64, ahead: Option<&'a mut Ahead<'b>>) -> Self {
        Beside { ahead, source, turn: Turn::new(Instant::now()), seen: HashSet::new() }
    }

    /// Whether the run gives way at all.
    pub(crate) fn gives_way(&self) -> bool {
        self.ahead.is_some()
    }

    /// What the run does next.
    pub(crate) fn step(&mut self, updater: &Updater) -> Step {
        let Some(ahead) = &self.ahead else { return Step::Work };
        let now = Instant::now();
        let again = updater.unread.next().map(|at| at.saturating_duration_since(now));
        let due = (ahead.due)().into_iter().chain(again).min();
        self.turn.step(due, now)
    }

    /// Has looked at what is due. No transaction may be open.
    pub(crate) fn serve(&mut self, updater: &mut Updater) -> Result<()> {
        let Some(ahead) = &mut self.ahead else { return Ok(()) };
        let mut touched = (ahead.serve)(updater)?;
        self.seen.extend(touched.remove(&self.source).unwrap_or_default());
        self.turn = Turn::new(Instant::now());
        Ok(())
    }

    /// How much a batch of the run may hold now.
    pub(crate) fn room(&self, updater: &Updater) -> Room {
        if !self.gives_way() {
            return Room::WHOLE;
        }
        Room::beside(updater.saved.map(|at| at.elapsed()))
    }

    /// Whether a path was looked at meanwhile, by itself or with a folder above it.
    pub(crate) fn has_seen(&self, path: &str) -> bool {
        !self.seen.is_empty()
            && (self.seen.contains(path)
                || walk::ancestors(path).any(|folder| self.seen.contains(folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_run_stands_still_for_what_is_due_soon_and_serves_it() {
        let start = Instant::now();
        let mut turn = Turn::new(start);
        let mut step =
            |due: Option<u32>, at: u32| turn.step(due.map(|due| due * MS), start + at * MS);
        assert_eq!(step(None, 400), Step::Work);
        assert_eq!(step(Some(9_000), 400), Step::Work, "a path that has to rest");
        assert_eq!(step(Some(100), 400), Step::Wait);
        assert_eq!(step(Some(20), 480), Step::Wait);
        assert_eq!(step(Some(0), 500), Step::Serve);
    }

    #[test]
    fn a_burst_that_goes_on_holds_a_run_up_for_a_moment_only() {
        let start = Instant::now();
        let mut turn = Turn::new(start);
        let mut step = |due: u32, at: u32| turn.step(Some(due * MS), start + at * MS);
        assert_eq!(step(90, 10), Step::Work, "it has hardly begun");
        assert_eq!(step(90, 200), Step::Wait);
        assert_eq!(step(90, 299), Step::Wait);
        assert_eq!(step(90, 300), Step::Work);
        assert_eq!(step(90, 440), Step::Work);
        assert_eq!(step(90, 450), Step::Wait);
    }

    #[test]
    fn a_run_goes_on_whatever_is_touched() {
        for due in [0, 1, 50, 100] {
            let mut now = Instant::now();
            let mut turn = Turn::new(now);
            let (mut worked, mut other) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..2_000 {
                // A document takes 1 ms, standing still 5, serving 80.
                let (took, own) = match turn.step(Some(due * MS), now) {
                    Step::Work => (MS, true),
                    Step::Wait => (5 * MS, false),
                    Step::Serve => (80 * MS, false),
                };
                now += took;
                if took == 80 * MS {
                    turn = Turn::new(now);
                }
                *if own { &mut worked } else { &mut other } += took;
            }
            assert!(worked * 2 > other, "due in {due} ms: {worked:?} and {other:?}");
        }
    }

    #[test]
    fn batches_are_small_while_files_are_saved() {
        let none = Room::beside(None);
        let now = Room::beside(Some(Duration::ZERO));
        assert!(now.bytes < none.bytes && now.time < none.time, "{now:?} {none:?}");
        assert!(none.bytes < Room::WHOLE.bytes && none.files < Room::WHOLE.files);
        assert_eq!(Room::beside(Some(SAVING - MS)), now);
        assert_eq!(Room::beside(Some(SAVING)), none);
    }

    #[test]
    fn what_was_looked_at_is_known_with_what_lies_below_it() {
        let mut beside = Beside::new(1, None);
        assert!(!beside.has_seen("a/b.md"));
        beside.seen.extend(["a/b".to_owned(), "c.md".to_owned()]);
        for (path, seen) in [
            ("a/b", true),
            ("a/b/c/d.md", true),
            ("c.md", true),
            ("a/bc.md", false),
            ("a/c.md", false),
            ("c.md.txt", false),
        ] {
            assert_eq!(beside.has_seen(path), seen, "{path}");
        }
        assert!(!beside.gives_way());
    }
}
