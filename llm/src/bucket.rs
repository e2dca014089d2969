//! A token bucket whose balance may be negative: who comes takes his share at once and is told how
//! long to wait, so those who wait are served in the order in which they came.
//!
//! Pure: time comes in as an argument.

use std::time::Duration;
use tokio::time::Instant;

/// Most minutes' worth that one call is believed to have used: a server whose counts are absurd
/// closes its lane for an hour, not for ever.
const USED_MINUTES_MAX: f64 = 60.0;

/// So many a minute; a full minute's worth can be taken at once.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_minute: f64,
    balance: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(per_minute: u64, now: Instant) -> Self {
        let per_minute = per_minute as f64;
        Bucket { per_minute, balance: per_minute, at: now }
    }

    fn fill(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        self.balance = (self.balance + minutes * self.per_minute).min(self.per_minute);
        self.at = self.at.max(now);
    }

    /// More than a minute's worth at once would never be there.
    fn share(&self, amount: u64) -> f64 {
        (amount as f64).min(self.per_minute)
    }

    /// How long somebody would wait for `amount` now.
    pub fn wait(&mut self, amount: u64, now: Instant) -> Duration {
        self.fill(now);
        let lacking = (self.share(amount) - self.balance).max(0.0);
        Duration::from_secs_f64(lacking / self.per_minute * 60.0)
    }

    /// Takes `amount`, which is there after [`Bucket::wait`], and says how much of it: a minute's
    /// worth at most.
    pub fn take(&mut self, amount: u64, now: Instant) -> u64 {
        self.fill(now);
        let share = self.share(amount);
        self.balance -= share;
        share as u64
    }

    /// Puts what was really used in place of what was taken, be it more.
    pub fn settle(&mut self, taken: u64, used: u64, now: Instant) {
        self.fill(now);
        let used = (used as f64).min(self.per_minute * USED_MINUTES_MAX);
        self.balance = (self.balance + taken as f64 - used).min(self.per_minute);
    }

    /// Another rate from now on; what is taken stays taken.
    pub fn set_rate(&mut self, per_minute: u64, now: Instant) {
        self.fill(now);
        let used = self.per_minute - self.balance;
        self.per_minute = per_minute as f64;
        self.balance = self.per_minute - used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_minute_has_its_share_and_no_more() {
        let t = Instant::now();
        let mut bucket = Bucket::new(60, t);
        for _ in 0..60 {
            assert_eq!(bucket.wait(1, t), Duration::ZERO);
            bucket.take(1, t);
        }
        for n in 1..4 {
            assert_eq!(bucket.wait(1, t).as_millis(), 1_000 * n, "one behind the other");
            bucket.take(1, t);
        }
        bucket.settle(3, 0, t);
        assert_eq!(bucket.wait(1, t).as_millis(), 1_000);
        assert_eq!(bucket.wait(1, t + Duration::from_secs(1)), Duration::ZERO);
        bucket.set_rate(120, t + Duration::from_secs(1));
        assert_eq!(bucket.wait(61, t + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(bucket.wait(9_999, t + Duration::from_secs(121)), Duration::ZERO, "a share");
    }

    #[test]
    fn what_was_really_used_counts_also_where_it_is_more_than_a_minute_holds() {
        let t = Instant::now();
        let mut bucket = Bucket::new(60, t);
        assert_eq!(bucket.take(1_000, t), 60);
        bucket.settle(60, 50, t);
        assert_eq!(bucket.wait(11, t).as_millis(), 1_000, "10 are left");
        assert_eq!(bucket.take(10, t), 10);
        bucket.settle(10, 130, t);
        assert_eq!(bucket.wait(1, t).as_millis(), 121_000, "two minutes and one more");
        let mut bucket = Bucket::new(60, t);
        let taken = bucket.take(60, t);
        bucket.settle(taken, u64::MAX, t);
        assert_eq!(bucket.wait(60, t).as_secs(), 3_600, "an absurd count ends");
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_two_shares(
            rate in 1u64..200, steps in prop::collection::vec((0u64..5_000, 1u64..50), 1..200),
        ) {
            // A full bucket and a minute's flow are the most that any minute can see.
            let start = Instant::now();
            let (mut bucket, mut now) = (Bucket::new(rate, start), start);
            let mut used: Vec<(Duration, u64)> = Vec::new();
            for (ms, amount) in steps {
                now += Duration::from_millis(ms);
                let amount = amount.min(rate);
                let at = now + bucket.wait(amount, now);
                bucket.take(amount, now);
                used.push((at - start, amount));
            }
            for (from, _) in &used {
                let minute = used.iter().filter(|(at, _)| {
                    at >= from && *at < *from + Duration::from_secs(60)
                });
                let sum: u64 = minute.map(|(_, amount)| amount).sum();
                prop_assert!(sum <= 2 * rate + 1, "{sum} in a minute of {rate}");
            }
        }
    }
}
