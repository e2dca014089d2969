//! When each source is to be compared with the disk, and whether what is known of all is current.
//!
//! Pure but for the note that it leaves to other processes: time comes in as an argument. Compares
//! nothing itself. Invariant: no source counts as current that was not compared since its watching
//! began, or, if it is polled, within its interval.

use std::collections::HashMap;
use std::time::{Duration, Instant};
use synod_index::Index;
use synod_index::watch::Watching;

/// A polled source is looked at this long before its interval is over, so that it stays current.
const EARLY: Duration = Duration::from_millis(400);

/// What is known of each source.
pub struct Schedule {
    /// Between two comparisons of a source that events tell of; zero is never.
    rescan: Duration,
    entries: Vec<Entry>,
}

struct Entry {
    id: i64,
    watching: Option<Watching>,
    /// Its folder was there when the watching began.
    there: bool,
    /// When its last comparison began, and how long that took.
    compared: Option<(Instant, Duration)>,
    /// A comparison was broken off by whoever asked for it: files are left behind.
    broken: bool,
}

impl Schedule {
    /// Knows no source yet.
    pub fn new(rescan: Duration) -> Self {
        Schedule { rescan, entries: Vec::new() }
    }

    /// Sources that events tell of are compared this often from now on.
    pub fn set_rescan(&mut self, rescan: Duration) {
        self.rescan = rescan;
    }

    /// Knows these sources from now on and no others; new ones are to be compared.
    pub fn set(&mut self, ids: impl Iterator<Item = i64>) {
        let mut known = std::mem::take(&mut self.entries);
        for id in ids {
            let new = || Entry { id, watching: None, there: true, compared: None, broken: false };
            let at = known.iter().position(|entry| entry.id == id);
            self.entries.push(at.map_or_else(new, |at| known.swap_remove(at)));
        }
    }

    fn entry(&mut self, id: i64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    /// The source that is to be compared now: one that never was, else the one that has waited the
    /// longest, so that slow ones do not starve others.
    pub fn due(&self, now: Instant) -> Option<i64> {
        let due = self.entries.iter().filter(|entry| entry.is_due(now, self.rescan));
        due.min_by_key(|entry| entry.compared.map(|(began, _)| began)).map(|entry| entry.id)
    }

    /// Whether a source is polled and was current until now: another look takes nothing back.
    pub fn is_routine(&self, id: i64) -> bool {
        let polled = |entry: &&Entry| entry.watching.and_then(Watching::every).is_some();
        let entry = self.entries.iter().find(|entry| entry.id == id);
        entry.filter(polled).is_some_and(|entry| entry.compared.is_some() && !entry.broken)
    }

    /// Whether nothing of any source can have changed unseen.
    pub fn is_current(&self, now: Instant) -> bool {
        self.entries.iter().all(|entry| entry.is_current(now))
    }

    /// Whether a source was never compared.
    pub fn is_new(&self, id: i64) -> bool {
        self.entries.iter().any(|entry| entry.id == id && entry.compared.is_none())
    }

    /// Whether nobody has tried to watch a source yet.
    pub fn is_unwatched(&self, id: i64) -> bool {
        self.entries.iter().any(|entry| entry.id == id && entry.watching.is_none())
    }

    /// Notes how changes of a source are noticed, and whether its folder is there; true if that is
    /// new.
    pub fn watched(&mut self, id: i64, watching: Watching, there: bool) -> bool {
        let Some(entry) = self.entry(id) else { return false };
        entry.there = there;
        let new = entry.watching != Some(watching);
        entry.watching = Some(watching);
        new
    }

    /// Notes a comparison by when it began and how long it took.
    pub fn compared(&mut self, id: i64, began: Instant, took: Duration) {
        if let Some(entry) = self.entry(id) {
            entry.compared = Some((began, took));
            entry.broken = false;
        }
    }

    /// A source is to be compared at once.
    pub fn again(&mut self, id: i64) {
        if let Some(entry) = self.entry(id) {
            entry.compared = None;
        }
    }

    /// Sources that are not current before they were compared again, which is not to be soon.
    pub fn break_off(&mut self, ids: &[i64]) {
        let meant = self.entries.iter_mut().filter(|entry| ids.contains(&entry.id));
        meant.for_each(|entry| entry.broken = true);
    }

    /// How changes of each source are noticed.
    pub fn watching(&self) -> HashMap<i64, Watching> {
        self.entries.iter().filter_map(|entry| Some((entry.id, entry.watching?))).collect()
    }
}

impl Entry {
    fn is_due(&self, now: Instant, rescan: Duration) -> bool {
        let Some((began, took)) = self.compared else { return true };
        let age = now.saturating_duration_since(began);
        match self.watching.and_then(Watching::every) {
            // A slow disk is not looked at all of the time.
            Some(every) => age >= every.saturating_sub(EARLY).max(took * 2),
            None => !rescan.is_zero() && age >= rescan,
        }
    }

    fn is_current(&self, now: Instant) -> bool {
        let Some((began, _)) = self.compared else { return false };
        let in_time = match self.watching {
            Some(Watching::Events) => true,
            Some(Watching::Silent) | None => false,
            Some(polled) => {
                polled.every().is_some_and(|every| now.saturating_duration_since(began) < every)
            }
        };
        in_time && self.there && !self.broken
    }
}

/// The file that says how changes of each source are noticed, for processes that only read.
const NOTE: &str = "writer.watch";
/// In it, behind the seconds: the file system of the source is why it is polled.
const ELSEWHERE: &str = "elsewhere";
/// In it, behind the seconds: a file system below the source is why it is polled.
const BELOW: &str = "below";
/// In it, in the place of the seconds: the source does not answer.
const SILENT: &str = "silent";

/// Says how changes of each source are noticed, in this process and to others.
pub fn leave(index: &Index, watching: HashMap<i64, Watching>) {
    let path = index.dir().join(NOTE);
    let line = |(id, watching): (&i64, &Watching)| match watching {
        Watching::Events => format!("{id}\n"),
        Watching::Polled(every) => format!("{id} {}\n", every.as_secs()),
        Watching::PolledElsewhere(every) => format!("{id} {} {ELSEWHERE}\n", every.as_secs()),
        Watching::PolledBelow(every) => format!("{id} {} {BELOW}\n", every.as_secs()),
        Watching::Silent => format!("{id} {SILENT}\n"),
    };
    let text: String = watching.iter().map(line).collect();
    index.set_watching(watching);
    // By rename: a reader in between must not find half of it.
    let new = path.with_extension("watch-new");
    if let Err(error) = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)) {
        tracing::warn!(error = %error, "cannot tell other processes how sources are watched");
    }
}

/// Takes over what the process that writes says of it.
pub fn adopt(index: &Index) {
    let text = std::fs::read_to_string(index.dir().join(NOTE)).unwrap_or_default();
    index.set_watching(parse(&text));
}

fn parse(text: &str) -> HashMap<i64, Watching> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let id: i64 = words.next()?.parse().ok()?;
        let seconds = |text: &str| Some(Duration::from_secs(text.parse().ok()?));
        let watching = match (words.next(), words.next()) {
            (None, _) => Watching::Events,
            (Some(SILENT), None) => Watching::Silent,
            (Some(every), None) => Watching::Polled(seconds(every)?),
            (Some(every), Some(ELSEWHERE)) => Watching::PolledElsewhere(seconds(every)?),
            (Some(every), Some(BELOW)) => Watching::PolledBelow(seconds(every)?),
            _ => return None,
        };
        Some((id, watching))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn watched(watching: Watching) -> (Schedule, Instant) {
        let mut schedule = Schedule::new(600 * S);
        schedule.set([7].into_iter());
        schedule.watched(7, watching, true);
        (schedule, Instant::now())
    }

    #[test]
    fn a_polled_source_is_current_within_its_interval_only() {
        let (mut schedule, start) = watched(Watching::PolledElsewhere(10 * S));
        assert!(!schedule.is_current(start) && schedule.due(start) == Some(7));
        schedule.compared(7, start, S);
        for (at, current, due) in [(1, true, false), (9, true, false), (10, false, true)] {
            let now = start + at * S;
            assert_eq!(schedule.is_current(now), current, "{at} s");
            assert_eq!(schedule.due(now).is_some(), due, "{at} s");
        }
        assert!(schedule.is_current(start + 10 * S - EARLY), "it is looked at before that ends");
        assert_eq!(schedule.due(start + 10 * S - EARLY), Some(7));
        // A comparison that takes longer than the interval leaves time for others.
        schedule.compared(7, start, 20 * S);
        assert!(!schedule.is_current(start + 20 * S));
        assert_eq!(schedule.due(start + 30 * S), None);
        assert_eq!(schedule.due(start + 40 * S), Some(7));
    }

    #[test]
    fn a_watched_source_is_current_until_something_is_wrong_with_it() {
        let (mut schedule, start) = watched(Watching::Events);
        schedule.compared(7, start, S);
        assert!(schedule.is_current(start + 599 * S) && schedule.due(start + 599 * S).is_none());
        assert_eq!(schedule.due(start + 600 * S), Some(7));
        schedule.watched(7, Watching::Events, false);
        assert!(!schedule.is_current(start), "its folder is gone");
        schedule.watched(7, Watching::Events, true);
        schedule.break_off(&[8]);
        assert!(schedule.is_current(start), "it was another one");
        schedule.break_off(&[7]);
        assert!(!schedule.is_current(start) && schedule.due(start + S).is_none());
        schedule.compared(7, start + 2 * S, S);
        assert!(schedule.is_current(start + 3 * S));
        schedule.again(7);
        assert!(!schedule.is_current(start + 3 * S) && schedule.due(start + 3 * S) == Some(7));
        // Others come and go without it.
        schedule.compared(7, start, S);
        schedule.set([7, 8].into_iter());
        assert!(schedule.is_new(8) && !schedule.is_new(7) && !schedule.is_current(start));
        schedule.set([7].into_iter());
        assert!(schedule.is_current(start));
        schedule.set_rescan(Duration::ZERO);
        assert_eq!(schedule.due(start + 9_999 * S), None, "never");
    }

    #[test]
    fn one_that_does_not_answer_is_not_current() {
        let (mut schedule, start) = watched(Watching::PolledBelow(10 * S));
        schedule.compared(7, start, S);
        assert!(schedule.is_current(start + 9 * S) && !schedule.is_current(start + 10 * S));
        assert!(schedule.is_routine(7) && schedule.due(start + 10 * S) == Some(7));
        schedule.watched(7, Watching::Silent, true);
        assert!(!schedule.is_current(start + S) && !schedule.is_routine(7));
        assert_eq!(schedule.due(start + 10 * S), None, "there is nothing to look at");
    }

    #[test]
    fn what_is_left_to_others_is_read_again() {
        let text =
            "3\n12 10\nx\n4 y\n5 silent\n6 10 below\n7 10 above\n8 silent 9\n9 3 elsewhere\n";
        let known = parse(text);
        assert_eq!(known.len(), 5);
        let why = "polled every 3 s (its file system does not tell of all changes)";
        assert_eq!(known[&9].to_string(), why);
        assert_eq!((known[&5], known[&6]), (Watching::Silent, Watching::PolledBelow(10 * S)));
        assert_eq!(known[&5].to_string(), "does not answer");
        assert_eq!(known[&3], Watching::Events);
        assert_eq!(known[&12], Watching::Polled(10 * S));
        assert_eq!(known[&12].to_string(), "polled every 10 s");
    }
}
