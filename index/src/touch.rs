//! What was touched and is not compared yet, and when to look at it.
//!
//! Pure but for the lock: time comes in as an argument. A burst of touches is handed on when it is
//! over, or soon after its first one. A path that is touched again and again (a log, a transcript)
//! owes rest for each time it is looked at, and waits longer and longer once it owes too much.
//! Invariant: what was touched is counted until it is handed on, and what is handed on was touched
//! before. Bounded: a source with too many touched paths is touched as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Quiet time after which a burst of touches is handed on.
const QUIET: Duration = Duration::from_millis(100);
/// A burst without such a time is handed on this long after its first touch.
const BURST: Duration = Duration::from_millis(500);
/// Paths of one source that wait singly; more mean the whole source.
const PATHS_MAX: usize = 10_000;

/// Rest that a path owes for being looked at: somebody who saves twice a second never waits.
const SAVED_OWES: Duration = Duration::from_millis(400);
/// The same if it was being written in that very moment.
const WRITING_OWES: Duration = Duration::from_secs(10);
/// The same for each second that looking at it took: a large file may cost a quarter of a core.
const WORK_OWES: u32 = 4;
/// Rest that may be owed; a path that owes more has to wait.
const OWED_MAX: Duration = Duration::from_secs(25);
/// The first wait; each later one is twice as long while the path goes on being touched.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Paths of one source whose debts are remembered; further ones owe nothing.
const RECENT_MAX: usize = 4_096;

/// By source id: relative paths; an empty path means the whole source.
pub type Touched = HashMap<i64, HashSet<String>>;

/// What was touched and not yet handed on.
#[derive(Default)]
pub struct Inbox(Mutex<Waiting>);

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was touched, then calls `then` with how many paths wait, before anybody else sees
    /// the inbox. True when this begins a burst: who takes from the inbox has to be woken.
    pub fn put(&self, more: Touched, now: Instant, then: impl FnOnce(usize)) -> bool {
        let mut waiting = self.lock();
        let mut begins = false;
        for (source, paths) in more {
            for path in paths {
                begins |= waiting.touch(source, &path, now);
            }
        }
        then(waiting.count());
        begins
    }

    /// Takes what is to be looked at now.
    pub fn take(&self, now: Instant) -> Touched {
        self.lock().take(now)
    }

    /// How long until there is something to take; `None` while nothing waits.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        self.lock().due().map(|due| due.saturating_duration_since(now))
    }

    /// Whether anything waits since before `then`.
    pub fn waits_since(&self, then: Instant) -> bool {
        self.lock().waits_since(then)
    }

    /// Notes how long it took to look at what was taken.
    pub fn took(&self, touched: &Touched, took: Duration) {
        self.lock().took(touched, took);
    }

    /// How many paths of each source wait.
    pub fn by_source(&self) -> BTreeMap<i64, u64> {
        let waiting = self.lock();
        let mut out = BTreeMap::new();
        let counts = |(source, n): (&i64, usize)| (*source, n as u64);
        let burst = waiting.burst.iter().map(|(source, paths)| counts((source, paths.len())));
        let held = waiting.held.iter().map(|(source, paths)| counts((source, paths.len())));
        for (source, n) in burst.chain(held) {
            *out.entry(source).or_default() += n;
        }
        out
    }

    /// Calls `then` with how many paths wait; none is added meanwhile.
    pub fn look(&self, then: impl FnOnce(usize)) {
        then(self.lock().count());
    }
}

/// The state behind an [`Inbox`].
#[derive(Default)]
struct Waiting {
    /// Paths of the burst with their last touches.
    burst: HashMap<i64, HashMap<String, Instant>>,
    /// First and last touch of the burst; `None` while there is none.
    span: Option<(Instant, Instant)>,
    /// Paths that have to wait.
    held: HashMap<i64, HashMap<String, Held>>,
    /// What was handed on lately.
    recent: HashMap<i64, HashMap<String, Recent>>,
}

/// A path that has to wait.
struct Held {
    /// Its first touch since it was handed on.
    first: Instant,
    until: Instant,
}

/// A path that was handed on.
struct Recent {
    at: Instant,
    /// Rest that it owed then.
    owed: Duration,
    /// How long it waits if it is touched meanwhile.
    pause: Duration,
}

impl Waiting {
    fn count(&self) -> usize {
        let burst: usize = self.burst.values().map(HashMap::len).sum();
        burst + self.held.values().map(HashMap::len).sum::<usize>()
    }

    /// True when this begins a burst.
    fn touch(&mut self, source: i64, path: &str, now: Instant) -> bool {
        let quiet = self.count() == 0;
        let whole = self.burst.get(&source).is_some_and(|paths| paths.contains_key(""));
        let path = if whole { "" } else { path };
        if self.held.get(&source).is_some_and(|paths| paths.contains_key(path)) {
            return false;
        }
        let recent = self.recent.get(&source).and_then(|paths| paths.get(path));
        let until = recent.map(|recent| recent.at + recent.pause).filter(|until| *until > now);
        if let Some(until) = until {
            let held = Held { first: now, until };
            self.held.entry(source).or_default().insert(path.to_owned(), held);
        } else {
            if path.is_empty() && !whole {
                self.drop_paths(source);
            }
            let burst = self.burst.entry(source).or_default();
            if let Some(last) = burst.get_mut(path) {
                *last = now;
            } else {
                burst.insert(path.to_owned(), now);
            }
        }
        let n = self.burst.get(&source).map_or(0, HashMap::len)
            + self.held.get(&source).map_or(0, HashMap::len);
        if n > PATHS_MAX {
            self.drop_paths(source);
            return self.touch(source, "", now);
        }
        // The first touch of a quiet time is told to others at once, whether it waits or not.
        let begins = until.is_none() && self.span.is_none() || quiet;
        if until.is_none() {
            let first = self.span.map_or(now, |(first, _)| first);
            self.span = Some((first, now));
        }
        begins
    }

    /// Forgets the single paths of a source that is looked at as a whole.
    fn drop_paths(&mut self, source: i64) {
        self.burst.remove(&source);
        self.held.remove(&source);
        if self.burst.is_empty() {
            self.span = None;
        }
    }

    fn burst_due(&self) -> Option<Instant> {
        self.span.map(|(first, last)| (last + QUIET).min(first + BURST))
    }

    fn waits_since(&self, then: Instant) -> bool {
        let mut held = self.held.values().flat_map(HashMap::values);
        held.any(|held| held.first <= then) || self.span.is_some_and(|(first, _)| first <= then)
    }

    fn due(&self) -> Option<Instant> {
        let held = self.held.values().flat_map(HashMap::values).map(|held| held.until).min();
        self.burst_due().into_iter().chain(held).min()
    }

    fn take(&mut self, now: Instant) -> Touched {
        let mut ready = Vec::new();
        if self.burst_due().is_some_and(|due| due <= now) {
            self.span = None;
            for (source, paths) in std::mem::take(&mut self.burst) {
                for (path, last) in paths {
                    let writing = now.saturating_duration_since(last) < QUIET;
                    let owes = if writing { WRITING_OWES } else { SAVED_OWES };
                    self.note(source, &path, now, owes, None);
                    ready.push((source, path));
                }
            }
        }
        let mut over = Vec::new();
        for (source, paths) in &mut self.held {
            let ended = paths.extract_if(|_, held| held.until <= now);
            over.extend(ended.map(|(path, held)| (*source, path, held.first)));
        }
        for (source, path, first) in over {
            self.note(source, &path, now, SAVED_OWES, Some(first));
            ready.push((source, path));
        }
        let mut out = Touched::new();
        for (source, path) in ready {
            out.entry(source).or_default().insert(path);
        }
        for (source, paths) in &mut out {
            if paths.contains("") {
                *paths = HashSet::from([String::new()]);
                self.drop_paths(*source);
            }
        }
        self.held.retain(|_, paths| !paths.is_empty());
        // Last: what had to wait until now was noted with what was known of it.
        self.recent.retain(|_, paths| {
            paths.retain(|_, recent| recent.at + recent.pause.max(recent.owed) > now);
            !paths.is_empty()
        });
        out
    }

    /// Remembers that a path is handed on; `held` is its first touch while it had to wait.
    fn note(
        &mut self,
        source: i64,
        path: &str,
        now: Instant,
        owes: Duration,
        held: Option<Instant>,
    ) {
        let paths = self.recent.entry(source).or_default();
        let before = paths.get(path);
        if before.is_none() && paths.len() >= RECENT_MAX {
            return;
        }
        let rested = before.map_or(Duration::ZERO, |b| now.saturating_duration_since(b.at));
        let owed = before.map_or(Duration::ZERO, |b| b.owed).saturating_sub(rested) + owes;
        let pause = match (held, before) {
            // Touched early while it waited: it goes on being written.
            (Some(first), Some(before)) if (first - before.at) * 2 < before.pause => {
                (before.pause * 2).min(PAUSE_MAX)
            }
            (Some(_), Some(before)) if before.pause >= PAUSE_MIN * 2 => before.pause / 2,
            (None, _) if owed > OWED_MAX => PAUSE_MIN,
            _ => Duration::ZERO,
        };
        // All of a source is never looked at twice within a second.
        let pause = if path.is_empty() { pause.max(PAUSE_MIN) } else { pause };
        let owed = owed.min(OWED_MAX + WRITING_OWES);
        paths.insert(path.to_owned(), Recent { at: now, owed, pause });
    }

    fn took(&mut self, touched: &Touched, took: Duration) {
        let n: usize = touched.values().map(HashSet::len).sum();
        let owes = took * WORK_OWES / n.max(1) as u32;
        for (source, paths) in touched {
            let Some(recent) = self.recent.get_mut(source) else { continue };
            for path in paths {
                if let Some(recent) = recent.get_mut(path) {
                    recent.owed = (recent.owed + owes).min(OWED_MAX + WRITING_OWES);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn put(inbox: &Inbox, path: &str, now: Instant) -> bool {
        inbox.put(Touched::from([(1, HashSet::from([path.to_owned()]))]), now, |_| {})
    }

    fn count(inbox: &Inbox) -> usize {
        let mut n = 0;
        inbox.look(|waiting| n = waiting);
        n
    }

    fn taken(inbox: &Inbox, now: Instant) -> Vec<String> {
        let mut paths: Vec<String> = inbox.take(now).into_values().flatten().collect();
        paths.sort();
        paths
    }

    #[test]
    fn a_burst_is_handed_on_when_it_is_over() {
        let (inbox, start) = (Inbox::default(), Instant::now());
        assert_eq!(inbox.due(start), None);
        assert!(put(&inbox, "a", start), "whoever takes is woken");
        assert!(!put(&inbox, "b", start + 60 * MS), "once");
        assert_eq!(count(&inbox), 2);
        assert_eq!(inbox.due(start + 60 * MS), Some(100 * MS));
        assert_eq!(taken(&inbox, start + 159 * MS), Vec::<String>::new());
        assert_eq!(taken(&inbox, start + 160 * MS), ["a", "b"]);
        assert_eq!((count(&inbox), inbox.due(start + 160 * MS)), (0, None));
        assert!(put(&inbox, "a", start + 170 * MS), "another burst");
    }

    #[test]
    fn what_waits_since_before_a_moment_is_known_until_it_is_handed_on() {
        let (inbox, start) = (Inbox::default(), Instant::now());
        assert!(!inbox.waits_since(start));
        put(&inbox, "a", start + 10 * MS);
        put(&inbox, "a", start + 50 * MS);
        assert!(!inbox.waits_since(start + 9 * MS));
        assert!(inbox.waits_since(start + 10 * MS) && inbox.waits_since(start + 30 * MS));
        assert_eq!(taken(&inbox, start + 150 * MS), ["a"]);
        put(&inbox, "b", start + 160 * MS);
        assert!(!inbox.waits_since(start + 150 * MS), "what came later belongs to no earlier time");
    }

    #[test]
    fn a_burst_without_end_is_handed_on_all_the_same() {
        let (inbox, start) = (Inbox::default(), Instant::now());
        for n in 0..24 {
            put(&inbox, &format!("{}", n % 3), start + n * 20 * MS);
            assert_eq!(taken(&inbox, start + n * 20 * MS), Vec::<String>::new());
        }
        assert_eq!(taken(&inbox, start + 500 * MS), ["0", "1", "2"]);
        // Also when the whole of a source is touched in it.
        put(&inbox, "", start + 510 * MS);
        for n in 1..24 {
            assert!(!put(&inbox, "x", start + 510 * MS + n * 20 * MS));
        }
        assert_eq!(count(&inbox), 1);
        assert_eq!(taken(&inbox, start + 1_009 * MS), Vec::<String>::new());
        assert_eq!(taken(&inbox, start + 1_010 * MS), [""]);
    }

    /// Touches a path each `every` for `long`, takes all the time; when it was handed on.
    fn handed(every: Duration, long: Duration, took: Duration) -> Vec<Duration> {
        let (inbox, start) = (Inbox::default(), Instant::now());
        let (mut at, mut touch, mut out) = (Duration::ZERO, Duration::ZERO, Vec::new());
        while at < long {
            if at >= touch {
                put(&inbox, "log", start + at);
                touch += every;
            }
            let touched = inbox.take(start + at);
            if !touched.is_empty() {
                out.push(at);
                inbox.took(&touched, took);
            }
            at += 10 * MS;
        }
        out
    }

    #[test]
    fn what_is_written_all_the_time_is_looked_at_ever_less_often() {
        let at = handed(20 * MS, Duration::from_secs(60), 10 * MS);
        assert!(at[0] <= BURST, "{at:?}");
        let gaps: Vec<u64> = at.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert_eq!(gaps[gaps.len() - 3..], [10, 10, 10], "{gaps:?}");
        for wanted in [1, 2, 4, 8] {
            assert!(gaps.contains(&wanted), "{gaps:?}");
        }
    }

    #[test]
    fn what_is_saved_twice_a_second_never_waits() {
        let at = handed(500 * MS, Duration::from_secs(120), 20 * MS);
        assert!(at.len() >= 239, "{}", at.len());
        // A large file would take all of a core so.
        let at = handed(500 * MS, Duration::from_secs(120), 700 * MS);
        assert!(at.len() < 40, "{}", at.len());
    }

    #[test]
    fn a_path_that_has_to_wait_is_counted_and_holds_up_no_other() {
        let (inbox, mut now) = (Inbox::default(), Instant::now());
        for _ in 0..3 {
            for _ in 0..25 {
                put(&inbox, "log", now);
                now += 20 * MS;
            }
            assert_eq!(taken(&inbox, now), ["log"]);
        }
        put(&inbox, "log", now);
        assert_eq!((count(&inbox), taken(&inbox, now + 200 * MS).len()), (1, 0));
        put(&inbox, "note", now + 300 * MS);
        assert_eq!(taken(&inbox, now + 400 * MS), ["note"]);
        assert_eq!(inbox.due(now + 400 * MS), Some(600 * MS));
        assert_eq!(taken(&inbox, now + 1_000 * MS), ["log"]);
        // Once it rests, it is as good as any other.
        let later = now + Duration::from_secs(60);
        put(&inbox, "log", later);
        assert_eq!(taken(&inbox, later + QUIET), ["log"]);
    }

    #[test]
    fn all_of_a_source_is_looked_at_once_a_second_at_most() {
        let at = {
            let (inbox, start) = (Inbox::default(), Instant::now());
            let mut out = Vec::new();
            for n in 0..400 {
                let now = start + n * 10 * MS;
                put(&inbox, "", now);
                out.extend(taken(&inbox, now).iter().map(|_| n * 10));
            }
            out
        };
        assert!(at.windows(2).all(|two| two[1] - two[0] >= 1_000), "{at:?}");
        // Single paths do not wait with it.
        let (inbox, start) = (Inbox::default(), Instant::now());
        put(&inbox, "", start);
        assert_eq!(taken(&inbox, start + QUIET), [""]);
        put(&inbox, "", start + 200 * MS);
        put(&inbox, "note", start + 200 * MS);
        assert_eq!(taken(&inbox, start + 300 * MS), ["note"]);
        put(&inbox, "note", start + 1_050 * MS);
        assert_eq!(taken(&inbox, start + 1_100 * MS), [""], "with all that belongs to it");
        assert_eq!(count(&inbox), 0);
    }

    #[test]
    fn an_inbox_that_is_too_full_asks_for_the_whole_source() {
        let (inbox, now) = (Inbox::default(), Instant::now());
        let some = |n: usize| (0..n).map(|n| format!("{n}.md")).collect::<HashSet<_>>();
        inbox.put(Touched::from([(1, some(3)), (2, some(1))]), now, |n| assert_eq!(n, 4));
        inbox.put(Touched::from([(1, some(PATHS_MAX + 1))]), now, |n| assert_eq!(n, 2));
        let all = inbox.take(now + QUIET);
        assert_eq!(all[&1], HashSet::from([String::new()]));
        assert_eq!(all[&2], some(1));
        inbox.look(|n| assert_eq!(n, 0));
    }
}
