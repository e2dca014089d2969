//! Counts for those who watch: calls, failures, times, tokens, cost.

use crate::ask::Usage;
use std::collections::BTreeMap;

/// Upper borders of the latency counts, in milliseconds; the last count has none.
pub const LATENCY_BORDERS_MS: [u64; 11] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000];

/// What one provider did since the start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProviderMetrics {
    /// Calls that were made.
    pub calls: u64,
    /// Asks that an open breaker refused without a call.
    pub refused: u64,
    /// Failed calls by the name of their kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Answers by latency: one count for each of [`LATENCY_BORDERS_MS`], one for what is above.
    pub latency: [u64; LATENCY_BORDERS_MS.len() + 1],
    /// Sum of the latencies of answers.
    pub latency_ms_sum: u64,
    /// Sum of the times to the first token of answers.
    pub first_token_ms_sum: u64,
    /// Answers.
    pub answers: u64,
    /// Tokens of answers.
    pub usage: Usage,
    /// What answers and failed calls cost, as far as prices are known.
    pub cost_usd_micros: u64,
}

/// What the engine did since the start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metrics {
    /// By provider.
    pub providers: BTreeMap<String, ProviderMetrics>,
    /// Asks that were answered without a call.
    pub cached: u64,
    /// Asks that another model answered than the one that was asked.
    pub fell_back: u64,
}

impl ProviderMetrics {
    pub(crate) fn answered(&mut self, latency_ms: u64, first_token_ms: u64, usage: &Usage) {
        let at = LATENCY_BORDERS_MS.iter().position(|border| latency_ms <= *border);
        self.latency[at.unwrap_or(LATENCY_BORDERS_MS.len())] += 1;
        self.latency_ms_sum += latency_ms;
        self.first_token_ms_sum += first_token_ms;
        self.answers += 1;
        self.usage.input += usage.input;
        self.usage.output += usage.output;
        self.usage.cached += usage.cached;
        self.usage.reasoning += usage.reasoning;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_their_borders() {
        let mut metrics = ProviderMetrics::default();
        let usage = Usage { input: 1, output: 2, cached: 0, reasoning: 0 };
        for ms in [0, 50, 51, 500_000] {
            metrics.answered(ms, 1, &usage);
        }
        assert_eq!((metrics.latency[0], metrics.latency[1], metrics.latency[11]), (2, 1, 1));
        assert_eq!((metrics.answers, metrics.usage.output, metrics.first_token_ms_sum), (4, 8, 4));
    }
}
