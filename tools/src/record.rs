//! What the ledger is told: who asked whom for what, with which outcome and at what cost.
//! Invariant: no content, only hashes of it.

use crate::Context;
use crate::round::Run;
use synod_guard::Report;
use synod_store::{Entry, content_hash};

/// Leaves an entry; one that cannot be left is logged, and the work goes on.
pub fn note(cx: &Context, entry: Entry) {
    let Some(ledger) = &cx.ledger else { return };
    let at_ms = (cx.now_ms)();
    if let Err(error) = ledger.note(Entry { at_ms, ..entry }) {
        tracing::error!(error = %error, "the ledger takes nothing");
    }
}

/// Who, as the ledger names them.
fn actor(account: &str) -> String {
    if account.is_empty() { "local".to_owned() } else { account.to_owned() }
}

/// A model was asked.
pub fn asked(cx: &Context, by: &By, model: &str, outcome: &str, usd: Option<f64>, content: &str) {
    note(
        cx,
        Entry {
            actor: actor(by.account),
            action: "ask".to_owned(),
            resource: model.chars().take(MODEL_CHARS_MAX).collect(),
            outcome: outcome.to_owned(),
            cost_usd_micros: usd.map(|usd| (usd * 1e6).round() as u64),
            correlation_id: Some(by.correlation.to_owned()),
            content_hash: Some(content_hash(content.as_bytes())),
            ..Entry::default()
        },
    );
}

/// Characters of a model's name.
const MODEL_CHARS_MAX: usize = 200;

/// For whom something is done, and in which job or call.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Whose it is.
    pub account: &'a str,
    /// The job's id, or the call's.
    pub correlation: &'a str,
}

impl Run {
    /// As the ledger names it.
    pub fn by(&self) -> By<'_> {
        By { account: &self.account, correlation: &self.job }
    }
}

/// Something was decided about a council.
pub fn decided(cx: &Context, run: &Run, action: &str, resource: &str) {
    note(
        cx,
        Entry {
            actor: actor(&run.account),
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome: "ok".to_owned(),
            correlation_id: Some(run.job.clone()),
            ..Entry::default()
        },
    );
}

/// What the guard found, one entry for each rule: the rule and what became of it, never the text.
pub fn guarded(cx: &Context, by: &By, report: &Report, enforced: &str) {
    let mut seen: Vec<(&str, bool)> = Vec::new();
    for hit in &report.hits {
        let enforcing = hit.mode == synod_guard::Mode::Enforcing;
        if seen.contains(&(hit.rule.as_str(), enforcing)) {
            continue;
        }
        seen.push((hit.rule.as_str(), enforcing));
        let outcome = if enforcing { enforced } else { "noted" };
        note(
            cx,
            Entry {
                actor: actor(by.account),
                action: "guard".to_owned(),
                resource: hit.rule.clone(),
                outcome: outcome.to_owned(),
                correlation_id: Some(by.correlation.to_owned()),
                ..Entry::default()
            },
        );
    }
}
