//! A value that is large and can be had again: given back once nobody has asked for it for a while.
//!
//! Knows neither models nor clocks; who holds it makes it again, and says what time it is.
//! Invariant: a value that somebody holds is never given back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The value, or room for it.
pub struct Kept<T> {
    /// How long it stays without being asked for.
    idle: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Lent only under the lock: who is alone with it there stays alone.
    value: Option<Arc<T>>,
    /// When it was last asked for, or last seen in use.
    asked: Instant,
}

impl<T> Kept<T> {
    /// Keeps a value for `idle` after each time that it is asked for.
    pub fn new(value: T, idle: Duration, now: Instant) -> Self {
        let state = State { value: Some(Arc::new(value)), asked: now };
        Kept { idle, state: Mutex::new(state) }
    }

    /// The same for another time.
    pub fn idle_after(self, idle: Duration) -> Self {
        Kept { idle, ..self }
    }

    /// The value, to be held while it is worked with; nothing where it was given back.
    pub fn get(&self, now: Instant) -> Option<Arc<T>> {
        let mut state = self.state();
        state.asked = now;
        state.value.clone()
    }

    /// Puts one that was made again, and gives what is kept: another one where somebody else was
    /// faster.
    pub fn put(&self, value: T, now: Instant) -> Arc<T> {
        // Outlives the lock: nobody waits for the end of the one that is not kept.
        let value = Arc::new(value);
        let mut state = self.state();
        state.asked = now;
        let kept = state.value.get_or_insert_with(|| Arc::clone(&value));
        Arc::clone(kept)
    }

    /// Takes the value out where it is time and nobody holds it. It ends where the caller drops it,
    /// and nobody waits for that.
    pub fn rest(&self, now: Instant) -> Option<T> {
        let mut state = self.state();
        if Arc::strong_count(state.value.as_ref()?) > 1 {
            state.asked = now;
            return None;
        }
        if now.saturating_duration_since(state.asked) < self.idle {
            return None;
        }
        state.value.take().and_then(Arc::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn what_nobody_asks_for_is_given_back_and_may_be_put_again() {
        let start = Instant::now();
        let kept = Kept::new("model", IDLE, start);
        assert_eq!(kept.rest(after(start, 9)), None, "too early");
        let asked = kept.get(after(start, 9));
        let weak = asked.as_ref().map(Arc::downgrade).expect("it is there");
        drop(asked);
        assert_eq!(kept.rest(after(start, 18)), None, "it was asked for meanwhile");
        assert!(weak.upgrade().is_some());
        assert_eq!(kept.rest(after(start, 19)), Some("model"));
        assert!(weak.upgrade().is_none(), "somebody still has it");
        assert_eq!(kept.rest(after(start, 60)), None, "nothing is there");
        assert_eq!(kept.get(after(start, 60)), None);
        assert_eq!(*kept.put("again", after(start, 61)), "again");
        assert_eq!(kept.get(after(start, 61)).as_deref(), Some(&"again"));
        assert_eq!(kept.rest(after(start, 70)), None, "it is kept as long as the first one");
        assert_eq!(kept.rest(after(start, 71)), Some("again"));
    }

    #[test]
    fn what_somebody_holds_is_not_given_back() {
        let start = Instant::now();
        let kept = Kept::new("model", IDLE, start);
        let held = kept.get(start);
        assert_eq!(kept.rest(after(start, 100)), None);
        drop(held);
        // The time begins where it was last seen in use.
        assert_eq!(kept.rest(after(start, 109)), None);
        assert_eq!(kept.rest(after(start, 110)), Some("model"));
        let at_once = kept.idle_after(Duration::ZERO);
        let held = at_once.put("again", start);
        assert_eq!(at_once.rest(after(start, 1)), None, "in use");
        drop(held);
        assert_eq!(at_once.rest(after(start, 1)), Some("again"));
    }

    #[test]
    fn of_two_that_make_it_again_the_first_one_counts() {
        let start = Instant::now();
        let kept = Kept::new("model", Duration::ZERO, start);
        assert_eq!(kept.rest(start), Some("model"));
        let first = kept.put("first", start);
        let second = kept.put("second", start);
        assert!(Arc::ptr_eq(&first, &second) && *second == "first");
    }
}
