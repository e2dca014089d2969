//! What whoever writes says of the work in hand, for people who wait.
//!
//! Numbers only: nothing is decided by them. They have one form, whoever shows them.

use crate::Index;
use crate::update::Progress;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// No rate is told before this long: it would be a guess.
const RATE_FROM: Duration = Duration::from_millis(200);

/// The indexing under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// How far it is.
    pub progress: Progress,
    /// Files done each second; 0 as long as that is not known.
    pub rate: f64,
    /// Until it is done, at that rate.
    pub seconds_left: Option<u64>,
}

impl Run {
    /// A run of which `n_done` files were done in the time `took`.
    pub fn new(progress: Progress, n_done: usize, took: Duration) -> Self {
        if took < RATE_FROM || n_done == 0 {
            return Run { progress, rate: 0.0, seconds_left: None };
        }
        let rate = n_done as f64 / took.as_secs_f64();
        let left = progress.total.saturating_sub(progress.done);
        let seconds_left = Some((left as f64 / rate).ceil() as u64);
        Run { progress, rate, seconds_left }
    }

    /// Files that are not done.
    pub fn left(&self) -> u64 {
        self.progress.total.saturating_sub(self.progress.done) as u64
    }

    /// As replies, resources, jobs and signs of life carry it.
    pub fn shown(&self) -> Value {
        let progress = &self.progress;
        let mut out = json!({
            "source": progress.source, "done": progress.done, "total": progress.total,
            "bytes": progress.bytes, "current": progress.current,
        });
        if self.rate > 0.0 {
            // Files each second.
            out["rate"] = ((self.rate * 10.0).round() / 10.0).into();
        }
        if let Some(left) = self.seconds_left {
            out["seconds_left"] = left.into();
        }
        out
    }
}

/// What is known of the work in hand, by whoever writes or watches the writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doing {
    /// Files that wait by the id of their source, without those of the run; `None` when only their
    /// sum is known.
    pub waiting: Option<BTreeMap<i64, u64>>,
    /// The indexing under way.
    pub run: Option<Run>,
    /// Why this process does not write, although it could wait for its turn.
    pub reader: Option<String>,
}

impl Doing {
    /// The indexing under way, and why this process has no part in it; `None` when there is
    /// nothing to say.
    pub fn shown(&self) -> Option<Value> {
        let mut out = self.run.as_ref().map(Run::shown);
        if let Some(why) = &self.reader {
            out.get_or_insert_with(|| Value::Object(Map::new()))["reads_only"] =
                why.as_str().into();
        }
        out
    }
}

impl Index {
    /// Says what work is in hand.
    pub fn set_doing(&self, doing: Doing) {
        *self.doing.write().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// What work is in hand, by what was said last.
    pub fn doing(&self) -> Doing {
        self.doing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_once_it_is_known() {
        let progress = Progress { done: 40, total: 100, ..Progress::default() };
        let early = Run::new(progress.clone(), 40, Duration::from_millis(3));
        assert_eq!((early.rate, early.seconds_left, early.left()), (0.0, None, 60));
        let run = Run::new(progress, 20, Duration::from_secs(2));
        assert_eq!((run.rate, run.seconds_left), (10.0, Some(6)));
        let done = Progress { done: 7, total: 7, ..Progress::default() };
        assert_eq!(Run::new(done, 7, Duration::from_secs(1)).seconds_left, Some(0));
    }
}
