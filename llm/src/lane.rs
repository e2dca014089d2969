//! A lane: one model at one endpoint with one key, its breaker, its limits and its queue.
//!
//! Who waits for a place is served as `place.rs` says. Invariant: whatever a turn has taken is
//! given back when it is dropped, so an ask that nobody waits for leaves no trace but its failure.

use crate::breaker::{Breaker, BreakerState, Outcome, Pass};
use crate::bucket::Bucket;
use crate::catalog::Provider;
use crate::error::{FailureKind, Fault};
use crate::place::{Claim, Place, Places};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Most asks that wait for one lane.
const WAITING_MAX: usize = 4_096;

/// What stands between asks and one model at one endpoint with one key.
pub(crate) struct Lane {
    inside: Mutex<Inside>,
    places: Arc<Places>,
    waiting: AtomicUsize,
}

struct Inside {
    breaker: Breaker,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

/// What is readable of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Name of the provider.
    pub provider: String,
    /// Label of the key; empty where none is needed.
    pub key: String,
    /// Name of the model at the provider.
    pub model: String,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Calls that are on their way.
    pub running: u32,
    /// Asks that wait for their turn.
    pub waiting: usize,
}

/// An ask that waits for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Name of the provider.
    pub provider: String,
    /// Name of the model at the provider.
    pub model: String,
    /// Asks that are served before it, unless more urgent ones come.
    pub before: usize,
}

/// Leave to make one call.
pub(crate) struct Turn {
    lane: Arc<Lane>,
    /// Held, and given to the next one as it is dropped.
    _place: Place,
    pass: Option<Pass>,
    /// Tokens that were taken in advance; nothing before that.
    tokens: u64,
    /// The request went out: it counts, whatever becomes of it.
    sent: bool,
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    pub fn new(provider: &Provider, now: Instant) -> Self {
        let bucket = |rate: u64| Bucket::new(rate, now);
        let inside = Inside {
            breaker: Breaker::default(),
            requests: provider.requests_per_minute.map(|rate| bucket(u64::from(rate))),
            tokens: provider.tokens_per_minute.map(bucket),
        };
        let places = Arc::new(Places::new(provider.concurrent_max));
        Lane { inside: Mutex::new(inside), places, waiting: AtomicUsize::new(0) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over changed limits; what is taken stays taken.
    pub fn set_limits(&self, provider: &Provider, now: Instant) {
        self.places.set_limit(provider.concurrent_max);
        let mut inside = self.inside();
        let inside = &mut *inside;
        let rates = [
            (&mut inside.requests, provider.requests_per_minute.map(u64::from)),
            (&mut inside.tokens, provider.tokens_per_minute),
        ];
        for (bucket, rate) in rates {
            match (bucket.as_mut(), rate) {
                (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
                (_, rate) => *bucket = rate.map(|rate| Bucket::new(rate, now)),
            }
        }
    }

    pub fn admits(&self, now: Instant) -> bool {
        self.inside().breaker.admits(now)
    }

    pub fn refusal(&self, now: Instant) -> FailureKind {
        self.inside().breaker.refusal(now)
    }

    /// How long a call of so many tokens would wait for its limits, and whether all places are
    /// taken: what a choice among keys goes by.
    pub fn press(&self, tokens: u64, now: Instant) -> (Duration, bool) {
        (self.inside().wait(tokens, now), self.places.is_full())
    }

    pub fn read(&self, now: Instant) -> (BreakerState, u32, usize) {
        let running = self.places.taken();
        (self.inside().breaker.read(now), running, self.waiting.load(Ordering::Relaxed))
    }

    /// For each ask of this work that waits for a place, how many are served before it.
    pub fn before(&self, whose: &str) -> Vec<usize> {
        self.places.before(whose)
    }

    /// Waits for a place, for the limits and for the breaker's leave, at most until `deadline`.
    /// Whoever has a place and waits for the limits is passed by nobody any more.
    pub async fn turn(
        self: &Arc<Self>,
        claim: &Claim,
        tokens: u64,
        deadline: Instant,
    ) -> Result<Turn, Fault> {
        let limited = |retry_after, note: &str| {
            Fault::new(FailureKind::RateLimit { retry_after }, note.to_owned())
        };
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if ahead >= WAITING_MAX {
            return Err(limited(None, "our queue for it is full"));
        }
        let place = timeout_at(deadline, self.places.take(claim)).await;
        let Ok(Some(place)) = place else {
            return Err(limited(None, "all places of `concurrent_max` stayed taken"));
        };
        let now = Instant::now();
        let mut turn =
            Turn { lane: Arc::clone(self), _place: place, pass: None, tokens: 0, sent: false };
        let wait = {
            let mut inside = self.inside();
            let wait = inside.wait(tokens, now);
            if !wait.is_zero() && now + wait >= deadline {
                return Err(limited(Some(wait), "our limits a minute are used up"));
            }
            turn.tokens = inside.take(tokens, now);
            wait
        };
        if !wait.is_zero() {
            sleep_until(now + wait).await;
        }
        drop(waiting);
        let now = Instant::now();
        let mut inside = self.inside();
        turn.pass = inside.breaker.admit(now);
        let refused = turn.pass.is_none().then(|| inside.breaker.refusal(now));
        drop(inside);
        match refused {
            Some(kind) => Err(Fault::new(kind, "its breaker is open")),
            None => Ok(turn),
        }
    }
}

impl Inside {
    fn wait(&mut self, tokens: u64, now: Instant) -> Duration {
        let requests = self.requests.as_mut().map_or(Duration::ZERO, |b| b.wait(1, now));
        requests.max(self.tokens.as_mut().map_or(Duration::ZERO, |b| b.wait(tokens, now)))
    }

    /// Takes a call's share, and says how many tokens that is.
    fn take(&mut self, tokens: u64, now: Instant) -> u64 {
        if let Some(bucket) = &mut self.requests {
            bucket.take(1, now);
        }
        self.tokens.as_mut().map_or(tokens, |bucket| bucket.take(tokens, now))
    }

    /// Puts the tokens that a call used in place of those that it took.
    fn settle(&mut self, taken: u64, used: u64, now: Instant) {
        if let Some(bucket) = &mut self.tokens {
            bucket.settle(taken, used, now);
        }
    }

    /// Takes back a call that was not made.
    fn undo(&mut self, taken: u64, now: Instant) {
        if let Some(bucket) = &mut self.requests {
            bucket.settle(1, 0, now);
        }
        self.settle(taken, 0, now);
    }
}

impl Turn {
    /// The request goes out.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// Ends the turn with what became of it and the tokens that it really used.
    pub fn end(mut self, outcome: Outcome, tokens: Option<u64>) {
        let now = Instant::now();
        let mut inside = self.lane.inside();
        if let Some(used) = tokens {
            inside.settle(self.tokens, used, now);
        }
        if let Some(pass) = self.pass.take() {
            inside.breaker.report(pass, outcome, now);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut inside = self.lane.inside();
        if let Some(pass) = self.pass.take() {
            inside.breaker.report(pass, Outcome::Dropped, now);
        }
        if !self.sent && self.tokens > 0 {
            inside.undo(self.tokens, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    fn lane(change: impl FnOnce(&mut Provider)) -> Arc<Lane> {
        let mut provider = Provider::new("p", Dialect::OpenAi, "http://127.0.0.1:1");
        change(&mut provider);
        Arc::new(Lane::new(&provider, Instant::now()))
    }

    async fn take(lane: &Arc<Lane>, tokens: u64, deadline: Instant) -> Result<Turn, Fault> {
        lane.turn(&Claim::default(), tokens, deadline).await
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test]
    async fn places_are_few_and_come_back() {
        let lane = lane(|p| p.concurrent_max = 1);
        let turn = take(&lane, 1, soon()).await.expect("a place");
        let refused = take(&lane, 1, soon()).await.err().expect("no place");
        assert_eq!(refused.kind, FailureKind::RateLimit { retry_after: None });
        let waits = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { take(&lane, 1, Instant::now() + Duration::from_secs(30)).await.is_ok() }
        });
        drop(turn);
        assert!(waits.await.expect("joined"));
        assert_eq!(lane.read(Instant::now()).1, 0);
    }

    #[tokio::test]
    async fn limits_a_minute_hold_and_an_unsent_call_is_no_call() {
        let lane = lane(|p| p.requests_per_minute = Some(1));
        drop(take(&lane, 1, soon()).await.expect("its share"));
        let mut turn = take(&lane, 1, soon()).await.expect("given back");
        turn.sent();
        drop(turn);
        let refused = take(&lane, 1, soon()).await.err().expect("used up");
        let FailureKind::RateLimit { retry_after: Some(wait) } = refused.kind else {
            panic!("{refused:?}")
        };
        assert!(wait > Duration::from_secs(50), "{wait:?}");
    }

    #[tokio::test]
    async fn tokens_a_minute_hold_and_what_was_not_used_comes_back() {
        let lane = lane(|p| p.tokens_per_minute = Some(100));
        let mut turn = take(&lane, 90, soon()).await.expect("its share");
        turn.sent();
        assert!(take(&lane, 20, soon()).await.is_err());
        turn.end(Outcome::Well, Some(10));
        assert!(take(&lane, 80, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn tokens_a_minute_hold_for_calls_that_may_write_more_than_a_minute_has() {
        let lane = lane(|p| p.tokens_per_minute = Some(100));
        let mut turn = take(&lane, 1_000, soon()).await.expect("all of a minute");
        turn.sent();
        turn.end(Outcome::Well, Some(70));
        assert!(take(&lane, 50, soon()).await.is_err(), "30 are left");
        assert!(take(&lane, 30, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn changed_limits_hold_for_what_runs() {
        let lane = lane(|p| p.concurrent_max = 2);
        let one = take(&lane, 1, soon()).await.expect("a place");
        let two = take(&lane, 1, soon()).await.expect("a place");
        let mut provider = Provider::new("p", Dialect::OpenAi, "http://127.0.0.1:1");
        provider.concurrent_max = 1;
        lane.set_limits(&provider, Instant::now());
        assert_eq!(lane.read(Instant::now()).1, 2);
        drop(one);
        assert!(take(&lane, 1, soon()).await.is_err(), "one place, and it is taken");
        drop(two);
        assert!(take(&lane, 1, soon()).await.is_ok());
        provider.concurrent_max = 3;
        lane.set_limits(&provider, Instant::now());
        let mut turns = Vec::new();
        for _ in 0..3 {
            turns.push(take(&lane, 1, soon()).await.expect("a place"));
        }
        assert!(take(&lane, 1, soon()).await.is_err(), "three, and no more");
    }
}
