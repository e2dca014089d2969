//! How fast a run is: when to tell of it, and what.

use std::cell::RefCell;
use std::time::{Duration, Instant};
use synod_index::{Progress, Run};

/// Between two words about one run.
const TOLD: Duration = Duration::from_millis(100);

/// Follows the reports of a run, or of several, one after the other.
#[derive(Default)]
pub struct Pace(RefCell<Option<Began>>);

/// The run in hand.
struct Began {
    source: String,
    at: Instant,
    /// Files that were done then.
    n_done: usize,
    /// The last one that was told of.
    last: usize,
    told: Option<Instant>,
}

impl Pace {
    /// The run that `progress` is of, where it is time to tell of it: a few times a second, and at
    /// its end.
    pub fn run(&self, progress: &Progress, now: Instant) -> Option<Run> {
        let mut slot = self.0.borrow_mut();
        let same = |began: &Began| began.source == progress.source && began.last <= progress.done;
        let began = match slot.take().filter(same) {
            Some(began) => slot.insert(began),
            None => slot.insert(Began {
                source: progress.source.clone(),
                at: now,
                n_done: progress.done.saturating_sub(1),
                last: 0,
                told: None,
            }),
        };
        began.last = progress.done;
        let recent = |told: Instant| now.duration_since(told) < TOLD;
        if progress.done < progress.total && began.told.is_some_and(recent) {
            return None;
        }
        began.told = Some(now);
        let n_done = progress.done - began.n_done;
        Some(Run::new(progress.clone(), n_done, now.duration_since(began.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(source: &str, done: usize) -> Progress {
        Progress { source: source.to_owned(), done, total: 100, ..Progress::default() }
    }

    #[test]
    fn a_run_is_told_of_a_few_times_a_second_and_at_its_end() {
        let (pace, start) = (Pace::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(pace.run(&progress("a", 1), at(0)).map(|run| run.rate), Some(0.0));
        assert!(pace.run(&progress("a", 2), at(99)).is_none());
        let run = pace.run(&progress("a", 50), at(1_000)).expect("a word");
        assert_eq!((run.rate, run.seconds_left), (50.0, Some(1)));
        assert!(pace.run(&progress("a", 100), at(1_001)).is_some());
        // Another run begins anew.
        let run = pace.run(&progress("b", 1), at(1_002)).expect("a word");
        assert_eq!((run.rate, run.left()), (0.0, 99));
    }
}
