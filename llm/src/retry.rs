//! The one retry loop's decision: what to do after a failure.
//!
//! Pure: the time, the deadline and the jitter come in as arguments. Invariant: nothing is waited
//! for that ends behind the deadline, and what cannot be mended by asking again is not asked again.

use crate::error::FailureKind;
use std::time::Duration;
use tokio::time::Instant;

/// Tries of one model before a fallback is taken.
pub(crate) const TRIES_MAX: u32 = 3;
/// Tries of one ask, all models together.
pub(crate) const TRIES_ALL_MAX: u32 = 16;
/// First wait.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest wait that no server has named.
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Time that must be left behind a wait: less is not worth a call.
const USE_MIN: Duration = Duration::from_millis(50);

/// Where an ask stands when a try has failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing<'a> {
    /// Tries of this model so far, the failed one included; one with all its keys is one.
    pub tries: u32,
    /// Tries of all models.
    pub tries_all: u32,
    /// No call was made: the breaker is open.
    pub open: bool,
    /// The wait that an overloaded server has named.
    pub retry_after: Option<Duration>,
    /// Another key of this model is ready.
    pub other_key: bool,
    /// The next model for a failure of any kind.
    pub fallback: Option<&'a str>,
    /// The next model for an input that is too long.
    pub context_fallback: Option<&'a str>,
    /// The next model for a refusal by a filter.
    pub filter_fallback: Option<&'a str>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the same model again.
    Retry {
        /// After this wait.
        after: Duration,
    },
    /// Ask the same model with another key, now.
    OtherKey,
    /// Ask another model, now.
    Fallback {
        /// Its row.
        model: String,
    },
    /// The failure is the result.
    GiveUp,
}

fn fallback(model: Option<&str>) -> Step {
    model.map_or(Step::GiveUp, |model| Step::Fallback { model: model.to_owned() })
}

/// What to do after `failure`. `jitter` is from 0 to 1.
pub(crate) fn next(
    standing: &Standing,
    failure: &FailureKind,
    now: Instant,
    deadline: Instant,
    jitter: f64,
) -> Step {
    if now >= deadline || standing.tries_all >= TRIES_ALL_MAX {
        return Step::GiveUp;
    }
    let left = (deadline - now).saturating_sub(USE_MIN);
    match failure {
        FailureKind::Context => fallback(standing.context_fallback),
        FailureKind::Filter => fallback(standing.filter_fallback),
        FailureKind::Auth | FailureKind::Quota if standing.other_key => Step::OtherKey,
        FailureKind::RateLimit { .. } if standing.other_key => Step::OtherKey,
        FailureKind::RateLimit { retry_after } => limited(standing, *retry_after, left, jitter),
        _ if standing.open && standing.other_key => Step::OtherKey,
        _ if standing.open => fallback(standing.fallback),
        FailureKind::Server if standing.retry_after.is_some() => {
            // One that names no wait worth the name is down all the same.
            let least = backoff(standing.tries, jitter);
            limited(standing, standing.retry_after.map(|named| named.max(least)), left, jitter)
        }
        // The time that one try took is gone: another model is worth more than a second try.
        FailureKind::Timeout if standing.fallback.is_some() => fallback(standing.fallback),
        FailureKind::Timeout
        | FailureKind::Connect
        | FailureKind::Server
        | FailureKind::Malformed
        | FailureKind::Truncated
        | FailureKind::Empty { cut: false } => {
            let after = backoff(standing.tries, jitter);
            if standing.tries < TRIES_MAX && after < left {
                return Step::Retry { after };
            }
            fallback(standing.fallback)
        }
        FailureKind::Auth
        | FailureKind::Quota
        | FailureKind::NotFound
        | FailureKind::Empty { cut: true }
        | FailureKind::Invalid
        | FailureKind::Policy => fallback(standing.fallback),
        // A provider's month is its own; other accounts hold for every model.
        FailureKind::Budget { account, .. } if account.starts_with("provider ") => {
            fallback(standing.fallback)
        }
        FailureKind::Budget { .. }
        | FailureKind::Unpriced
        | FailureKind::Books
        | FailureKind::UnknownModel
        | FailureKind::Cancelled => Step::GiveUp,
    }
}

/// After too many requests with no other key, or from a server that says when it is free again: a
/// wait that costs less than half of what is left is better than another model, and any wait inside
/// the deadline is better than nothing.
fn limited(standing: &Standing, named: Option<Duration>, left: Duration, jitter: f64) -> Step {
    if standing.tries >= TRIES_MAX {
        return fallback(standing.fallback);
    }
    // A little behind the named time, so that all who wait do not come at once.
    let after = match named {
        Some(named) => named + BACKOFF_MIN.mul_f64(jitter.clamp(0.0, 1.0) / 4.0),
        None => backoff(standing.tries, jitter),
    };
    let fits = after < left;
    match standing.fallback {
        None if fits => Step::Retry { after },
        Some(_) if after < left / 2 => Step::Retry { after },
        model => fallback(model),
    }
}

/// Wait before the try behind `tries` failed ones: exponential, its upper half jittered.
fn backoff(tries: u32, jitter: f64) -> Duration {
    let doubled = BACKOFF_MIN * 2u32.saturating_pow(tries.saturating_sub(1).min(16));
    doubled.min(BACKOFF_MAX).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> Vec<FailureKind> {
        let day = FailureKind::Budget { account: "day".to_owned(), left_usd_micros: 0 };
        let theirs = FailureKind::Budget { account: "provider p".to_owned(), left_usd_micros: 0 };
        vec![
            FailureKind::RateLimit { retry_after: None },
            FailureKind::RateLimit { retry_after: Some(Duration::from_secs(1)) },
            FailureKind::Quota,
            FailureKind::Context,
            FailureKind::Filter,
            FailureKind::Auth,
            FailureKind::NotFound,
            FailureKind::Timeout,
            FailureKind::Connect,
            FailureKind::Server,
            FailureKind::Malformed,
            FailureKind::Truncated,
            FailureKind::Empty { cut: false },
            day,
            theirs,
            FailureKind::Unpriced,
            FailureKind::Books,
            FailureKind::Policy,
            FailureKind::UnknownModel,
            FailureKind::Cancelled,
            FailureKind::Invalid,
        ]
    }

    fn after(standing: Standing, kind: FailureKind, left: Duration) -> Step {
        let now = Instant::now();
        next(&standing, &kind, now, now + left, 0.5)
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const ALONE: Standing = Standing {
        tries: 1,
        tries_all: 1,
        open: false,
        retry_after: None,
        other_key: false,
        fallback: None,
        context_fallback: None,
        filter_fallback: None,
    };
    const BACKED: Standing = Standing {
        other_key: true,
        fallback: Some("any"),
        context_fallback: Some("wide"),
        filter_fallback: Some("free"),
        ..ALONE
    };

    fn to(model: &str) -> Step {
        Step::Fallback { model: model.to_owned() }
    }

    #[test]
    fn each_kind_has_its_way_when_everything_is_there() {
        for kind in kinds() {
            let expected = match kind.name() {
                "rate_limit" | "quota" | "auth" => Step::OtherKey,
                "context" => to("wide"),
                "filter" => to("free"),
                "not_found" | "timeout" | "invalid" | "policy" => to("any"),
                "connect" | "server" | "malformed" | "truncated" | "empty" => {
                    Step::Retry { after: Duration::from_millis(150) }
                }
                "budget" if format!("{kind:?}").contains("provider p") => to("any"),
                _ => Step::GiveUp,
            };
            assert_eq!(after(BACKED, kind.clone(), MINUTE), expected, "{kind:?}");
        }
    }

    #[test]
    fn alone_only_the_passing_is_asked_again() {
        for kind in kinds() {
            let step = after(ALONE, kind.clone(), MINUTE);
            let passing = matches!(
                kind.name(),
                "rate_limit"
                    | "timeout"
                    | "connect"
                    | "server"
                    | "malformed"
                    | "truncated"
                    | "empty"
            );
            assert_eq!(matches!(step, Step::Retry { .. }), passing, "{kind:?}: {step:?}");
            let tired = Standing { tries: TRIES_MAX, ..ALONE };
            assert_eq!(after(tired, kind.clone(), MINUTE), Step::GiveUp, "{kind:?}");
            let open = Standing { open: true, fallback: Some("any"), ..ALONE };
            if passing && kind.name() != "rate_limit" {
                assert_eq!(after(open, kind, MINUTE), to("any"));
            }
        }
    }

    #[test]
    fn an_answer_that_was_all_reasoning_is_not_asked_for_again() {
        let cut = || FailureKind::Empty { cut: true };
        assert_eq!(after(ALONE, cut(), MINUTE), Step::GiveUp);
        assert_eq!(after(BACKED, cut(), MINUTE), to("any"));
    }

    #[test]
    fn a_named_wait_is_kept_or_avoided() {
        let wait = |s| FailureKind::RateLimit { retry_after: Some(Duration::from_secs(s)) };
        let named = after(ALONE, wait(30), MINUTE);
        assert!(matches!(named, Step::Retry { after } if after >= Duration::from_secs(30)));
        assert_eq!(after(ALONE, wait(61), MINUTE), Step::GiveUp);
        let busy = |s| Standing { retry_after: Some(Duration::from_secs(s)), ..ALONE };
        let named = after(busy(30), FailureKind::Server, MINUTE);
        assert!(matches!(named, Step::Retry { after } if after >= Duration::from_secs(30)));
        assert_eq!(after(busy(61), FailureKind::Server, MINUTE), Step::GiveUp);
        let named = after(busy(0), FailureKind::Server, MINUTE);
        assert!(matches!(named, Step::Retry { after } if after >= BACKOFF_MIN / 2));
        let backed = Standing { fallback: Some("any"), ..ALONE };
        assert_eq!(after(backed, wait(31), MINUTE), to("any"));
        assert!(matches!(after(backed, wait(1), MINUTE), Step::Retry { .. }));
    }

    proptest! {
        #[test]
        fn no_wait_ends_behind_the_deadline(
            kind in 0usize..21, tries in 1u32..20, left_ms in 0u64..20_000, jitter in 0.0f64..=1.0,
            named_ms in prop::option::of(0u64..30_000), other_key: bool, open: bool, backed: bool,
        ) {
            let mut kind = kinds().swap_remove(kind);
            if let FailureKind::RateLimit { retry_after } = &mut kind {
                *retry_after = named_ms.map(Duration::from_millis);
            }
            let fallback = backed.then_some("any");
            let standing =
                Standing { tries, tries_all: tries, open, other_key, fallback, ..ALONE };
            let (now, left) = (Instant::now(), Duration::from_millis(left_ms));
            match next(&standing, &kind, now, now + left, jitter) {
                Step::Retry { after } => {
                    prop_assert!(after + USE_MIN < left && tries < TRIES_MAX);
                    if let FailureKind::RateLimit { retry_after: Some(named) } = kind {
                        prop_assert!(after >= named);
                    }
                }
                Step::OtherKey => prop_assert!(other_key),
                Step::Fallback { model } => prop_assert!(backed && model == "any"),
                Step::GiveUp => {}
            }
            prop_assert_eq!(next(&standing, &kind, now, now, jitter), Step::GiveUp);
        }
    }
}
