//! What was counted of models and of Spec-Kit's steps, in Prometheus' text format.

use std::fmt::Write as _;
use synod_llm::{Engine, LATENCY_BORDERS_MS, ProviderMetrics};
use synod_tools::{Runs, Specs};

/// A label's value as the format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A counter with one value for each provider.
fn counter(
    out: &mut String,
    name: &str,
    all: &[(String, ProviderMetrics)],
    value: fn(&ProviderMetrics) -> u64,
) {
    let _ = writeln!(out, "# TYPE {name} counter");
    for (provider, metrics) in all {
        let _ = writeln!(out, "{name}{{provider=\"{}\"}} {}", label(provider), value(metrics));
    }
}

/// Calls, failures, tokens, cost and latency by provider, and the state of breakers.
pub fn models(engine: &Engine) -> String {
    let metrics = engine.metrics();
    let all: Vec<(String, ProviderMetrics)> = metrics.providers.into_iter().collect();
    let mut out = String::new();
    counter(&mut out, "synod_model_calls_total", &all, |m| m.calls);
    counter(&mut out, "synod_model_refused_total", &all, |m| m.refused);
    counter(&mut out, "synod_model_input_tokens_total", &all, |m| m.usage.input);
    counter(&mut out, "synod_model_output_tokens_total", &all, |m| m.usage.output);
    counter(&mut out, "synod_model_cost_usd_micros_total", &all, |m| m.cost_usd_micros);
    let _ = writeln!(out, "# TYPE synod_model_failures_total counter");
    for (provider, metrics) in &all {
        for (kind, n) in &metrics.failures {
            let provider = label(provider);
            let _ = writeln!(
                out,
                "synod_model_failures_total{{provider=\"{provider}\",kind=\"{kind}\"}} {n}"
            );
        }
    }
    histogram(&mut out, &all);
    let _ = writeln!(out, "# TYPE synod_model_breaker_closed gauge");
    for lane in engine.lanes() {
        let (provider, model, key) = (label(&lane.provider), label(&lane.model), label(&lane.key));
        let closed = u8::from(lane.breaker.state == "closed");
        let _ = writeln!(
            out,
            "synod_model_breaker_closed{{provider=\"{provider}\",model=\"{model}\",key=\"{key}\"}} \
             {closed}"
        );
    }
    let _ = writeln!(out, "# TYPE synod_model_cached_total counter");
    let _ = writeln!(out, "synod_model_cached_total {}", metrics.cached);
    let _ = writeln!(out, "# TYPE synod_model_fell_back_total counter");
    let _ = writeln!(out, "synod_model_fell_back_total {}", metrics.fell_back);
    out
}

/// Runs of Spec-Kit's steps by command: how many, how many failed, and milliseconds together.
pub fn specs(specs: &Specs) -> String {
    let all = specs.runs();
    let mut out = String::new();
    let mut counter = |name: &str, value: fn(&Runs) -> u64| {
        let _ = writeln!(out, "# TYPE {name} counter");
        for (command, runs) in &all {
            let _ = writeln!(out, "{name}{{command=\"{}\"}} {}", label(command), value(runs));
        }
    };
    counter("synod_spec_runs_total", |runs| runs.n);
    counter("synod_spec_failures_total", |runs| runs.failed);
    counter("synod_spec_ms_total", |runs| runs.ms);
    out
}

fn histogram(out: &mut String, all: &[(String, ProviderMetrics)]) {
    let _ = writeln!(out, "# TYPE synod_model_latency_ms histogram");
    for (provider, metrics) in all {
        let provider = label(provider);
        let mut sum = 0;
        let borders = LATENCY_BORDERS_MS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (border, n) in borders.zip(metrics.latency) {
            sum += n;
            let _ = writeln!(
                out,
                "synod_model_latency_ms_bucket{{provider=\"{provider}\",le=\"{border}\"}} {sum}"
            );
        }
        let total = metrics.latency_ms_sum;
        let _ = writeln!(out, "synod_model_latency_ms_sum{{provider=\"{provider}\"}} {total}");
        let _ = writeln!(out, "synod_model_latency_ms_count{{provider=\"{provider}\"}} {sum}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_cannot_end_early() {
        assert_eq!(super::label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
