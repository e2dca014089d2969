//! The guard before and after every question to models, with one fault for what it refuses.

use crate::{Context, Error};
use synod_guard::{Mode, Report, Stage};

/// Refuses what must not leave the machine.
///
/// # Errors
/// `Refused`, naming the rules and never what they found.
pub fn before(cx: &Context, tool: &str, text: &str) -> Result<Report, Error> {
    let report = cx.guard.check(text, Stage::Before);
    if !report.refused {
        return Ok(report);
    }
    let mut rules: Vec<&str> = (report.hits.iter())
        .filter(|hit| hit.mode == Mode::Enforcing)
        .map(|hit| hit.rule.as_str())
        .collect();
    rules.sort_unstable();
    rules.dedup();
    let rules = rules.join("`, `");
    Err(Error::Refused(format!(
        "{tool}: the question was not sent: `{rules}`; take it out of the text, or change \
         `[guard]` in synod.toml"
    )))
}

/// What stands in an answer that must not be passed on is taken out of it.
pub fn after(cx: &Context, text: &str) -> (String, Report) {
    cx.guard.redact(text, Stage::After, Mode::Enforcing)
}

/// A text as it may be sent: what must not leave the machine is taken out of it.
pub fn sendable(cx: &Context, text: &str) -> String {
    cx.guard.redact(text, Stage::Before, Mode::Enforcing).0
}
