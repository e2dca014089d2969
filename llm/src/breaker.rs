//! A circuit breaker: a server that fails is left alone for a while, then tried once.
//!
//! A pure state machine: time comes in as an argument. Closed lets everything through; open lets
//! nothing through; half open has let one call through and waits for it.
//! Invariant: of an open breaker no call learns by waiting.

use crate::error::FailureKind;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Failures one behind the other that open it.
const CONSECUTIVE: u32 = 3;
/// Calls that are looked back on; more than half of them failed opens it.
const RECENT: usize = 10;
/// How far back they may lie.
const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open at first.
const OPEN_MIN: Duration = Duration::from_secs(15);
/// How long at most, each failed probe doubling it.
const OPEN_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// Leave to make one call; what becomes of it is reported with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Changes of state before it: a late report of an earlier one counts no more.
    epoch: u64,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server did what it is for; refusing a question for good reason is that too.
    Well,
    /// It did not.
    Failed(FailureKind),
    /// Nobody waited for it.
    Dropped,
}

/// The breaker of one model at one endpoint with one key.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: State,
    epoch: u64,
    consecutive: u32,
    recent: VecDeque<(Instant, bool)>,
    open_for: Duration,
    last: Option<FailureKind>,
}

/// What is readable of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerState {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// Time until the next call is let through, when open.
    pub opens_in_ms: Option<u64>,
    /// Failures one behind the other.
    pub failures: u32,
    /// The kind of the last failure.
    pub last_failure: Option<FailureKind>,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker {
            state: State::Closed,
            epoch: 0,
            consecutive: 0,
            recent: VecDeque::with_capacity(RECENT),
            open_for: OPEN_MIN,
            last: None,
        }
    }
}

impl Breaker {
    /// Whether a call would be let through.
    pub fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::HalfOpen => false,
        }
    }

    /// Lets a call through, or not.
    pub fn admit(&mut self, now: Instant) -> Option<Pass> {
        if !self.admits(now) {
            return None;
        }
        if self.state != State::Closed {
            self.enter(State::HalfOpen);
        }
        Some(Pass { epoch: self.epoch })
    }

    /// Why it is open, with the time that is left if a server has named one.
    pub fn refusal(&self, now: Instant) -> FailureKind {
        let left = match self.state {
            State::Open { until } => until.saturating_duration_since(now),
            _ => Duration::ZERO,
        };
        match self.last.clone() {
            Some(FailureKind::RateLimit { .. }) => {
                FailureKind::RateLimit { retry_after: Some(left) }
            }
            Some(kind) => kind,
            None => FailureKind::Server,
        }
    }

    /// Takes what became of a call.
    pub fn report(&mut self, pass: Pass, outcome: Outcome, now: Instant) {
        if pass.epoch != self.epoch {
            return;
        }
        let probe = self.state == State::HalfOpen;
        match outcome {
            Outcome::Well => {
                self.consecutive = 0;
                self.open_for = OPEN_MIN;
                if probe {
                    self.recent.clear();
                    self.enter(State::Closed);
                }
                self.note(now, false);
            }
            Outcome::Failed(kind) => {
                self.consecutive += 1;
                self.note(now, true);
                let named = match kind {
                    FailureKind::RateLimit { retry_after } => retry_after,
                    _ => None,
                };
                self.last = Some(kind);
                if let Some(after) = named {
                    self.enter(State::Open { until: now + after });
                } else if probe {
                    self.open_for = (self.open_for * 2).min(OPEN_MAX);
                    self.enter(State::Open { until: now + self.open_for });
                } else if self.consecutive >= CONSECUTIVE || self.mostly_failed(now) {
                    self.enter(State::Open { until: now + self.open_for });
                }
            }
            // The next one may probe.
            Outcome::Dropped if probe => self.enter(State::Open { until: now }),
            Outcome::Dropped => {}
        }
    }

    /// What can be read of it.
    pub fn read(&self, now: Instant) -> BreakerState {
        let (state, left) = match self.state {
            State::Closed => ("closed", None),
            State::Open { until } => ("open", Some(until.saturating_duration_since(now))),
            State::HalfOpen => ("half_open", None),
        };
        BreakerState {
            state,
            opens_in_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            failures: self.consecutive,
            last_failure: self.last.clone(),
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }

    fn note(&mut self, now: Instant, failed: bool) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, failed));
    }

    fn mostly_failed(&self, now: Instant) -> bool {
        let young = self.recent.iter().filter(|(at, _)| now.duration_since(*at) <= WINDOW);
        let failed = young.clone().filter(|(_, failed)| *failed).count();
        young.count() == RECENT && failed * 2 > RECENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Outcome = Outcome::Failed(FailureKind::Server);

    fn fail(breaker: &mut Breaker, now: Instant) {
        let pass = breaker.admit(now).expect("let through");
        breaker.report(pass, SERVER, now);
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn three_failures_open_it_and_one_probe_closes_it() {
        let (mut breaker, t) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            fail(&mut breaker, t);
        }
        assert_eq!(breaker.read(t).state, "open");
        assert_eq!(breaker.read(t).opens_in_ms, Some(15_000));
        assert_eq!(breaker.refusal(t), FailureKind::Server);
        assert!(breaker.admit(t + seconds(14)).is_none());
        let probe = breaker.admit(t + seconds(15)).expect("a probe");
        assert_eq!(breaker.read(t).state, "half_open");
        assert!(breaker.admit(t + seconds(99)).is_none(), "one probe");
        breaker.report(probe, Outcome::Well, t + seconds(16));
        assert_eq!(breaker.read(t).state, "closed");
    }

    #[test]
    fn a_failed_probe_doubles_the_rest_up_to_five_minutes() {
        let (mut breaker, mut t) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            fail(&mut breaker, t);
        }
        for rest in [15, 30, 60, 120, 240, 300, 300] {
            assert!(!breaker.admits(t + seconds(rest) - Duration::from_millis(1)), "{rest}");
            t += seconds(rest);
            fail(&mut breaker, t);
        }
        t += seconds(300);
        let probe = breaker.admit(t).expect("a probe");
        breaker.report(probe, Outcome::Well, t);
        for _ in 0..3 {
            fail(&mut breaker, t);
        }
        assert_eq!(breaker.read(t).opens_in_ms, Some(15_000), "the rest begins anew");
    }

    #[test]
    fn more_than_half_of_ten_open_it() {
        let (mut breaker, t) = (Breaker::default(), Instant::now());
        let report = |breaker: &mut Breaker, well: bool, at: Instant| {
            let pass = breaker.admit(at).expect("let through");
            breaker.report(pass, if well { Outcome::Well } else { SERVER }, at);
        };
        for well in [true, false, false, true, false, false, true, false, true] {
            report(&mut breaker, well, t);
        }
        assert_eq!(breaker.read(t).state, "closed");
        let mut late = breaker.clone();
        report(&mut breaker, false, t);
        assert_eq!(breaker.read(t).state, "open", "six of ten");
        report(&mut late, false, t + seconds(31));
        assert_eq!(late.read(t).state, "closed", "the others are too old");
    }

    #[test]
    fn a_named_wait_opens_it_until_then() {
        let (mut breaker, t) = (Breaker::default(), Instant::now());
        let pass = breaker.admit(t).expect("let through");
        let retry_after = Some(seconds(2));
        breaker.report(pass, Outcome::Failed(FailureKind::RateLimit { retry_after }), t);
        assert!(!breaker.admits(t + Duration::from_millis(1_999)));
        let left = Some(seconds(1));
        let refusal = breaker.refusal(t + seconds(1));
        assert_eq!(refusal, FailureKind::RateLimit { retry_after: left });
        assert!(breaker.admits(t + seconds(2)));
    }

    #[test]
    fn a_dropped_probe_leaves_its_place_and_late_reports_count_no_more() {
        let (mut breaker, t) = (Breaker::default(), Instant::now());
        let early = breaker.admit(t).expect("let through");
        for _ in 0..3 {
            fail(&mut breaker, t);
        }
        breaker.report(early, Outcome::Well, t);
        assert_eq!(breaker.read(t).state, "open");
        let probe = breaker.admit(t + seconds(15)).expect("a probe");
        breaker.report(probe, Outcome::Dropped, t + seconds(16));
        assert!(breaker.admit(t + seconds(16)).is_some());
    }
}
