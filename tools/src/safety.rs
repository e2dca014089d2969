//! The guard before and after every question to models, with one fault for what it refuses. Every
//! hit goes into the ledger, without what it found.

use crate::record::{By, guarded};
use crate::{Call, Context, Error};
use synod_guard::{Mode, Report, Stage};

/// Refuses what must not leave the machine.
///
/// # Errors
/// `Args`, naming the rules and never what they found.
pub fn before(cx: &Context, call: &Call, tool: &str, text: &str) -> Result<Report, Error> {
    let report = cx.guard.get().check(text, Stage::Before);
    let by = By { account: &call.account, correlation: &call.correlation };
    guarded(cx, &by, &report, "refused");
    if !report.refused {
        return Ok(report);
    }
    let rules = rules(&report, Mode::Enforcing).join("`, `");
    Err(Error::Args(format!(
        "{tool}: the question was not sent: `{rules}`; take it out of the text, or change \
         `[guard]` in synod.toml"
    )))
}

/// The rules that something was found by, sorted.
pub fn rules(report: &Report, mode: Mode) -> Vec<String> {
    let hits = report.hits.iter().filter(|hit| hit.mode == mode);
    let mut rules: Vec<String> = hits.map(|hit| hit.rule.clone()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// The rules of instruction-like text that what is quoted of a document falls under: none for
/// nearly every passage. A reason to mark it, never proof.
pub fn reads_like(cx: &Context, quoted: &[&str]) -> Vec<String> {
    cx.guard.get().instructions(&quoted.join("\n"))
}

/// What is said of passages that read like instructions: their numbers with the rules of each.
pub fn flagged<'a>(what: &str, flags: impl Iterator<Item = &'a [String]>) -> Option<String> {
    let flagged = flags.enumerate().filter(|(_, flags)| !flags.is_empty());
    let each = flagged.map(|(at, flags)| format!("{what} {} ({})", at + 1, flags.join(", ")));
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("reads like instructions and is data: {}", each.join("; ")))
}

/// What stands in an answer that must not be passed on is taken out of it.
pub fn after(cx: &Context, by: &By, text: &str) -> (String, Report) {
    let (text, report) = cx.guard.get().redact(text, Stage::After, Mode::Enforcing);
    guarded(cx, by, &report, "redacted");
    (text, report)
}

/// A text as it may be sent: what must not leave the machine is taken out of it.
pub fn sendable(cx: &Context, by: &By, text: &str) -> (String, Report) {
    let (text, report) = cx.guard.get().redact(text, Stage::Before, Mode::Enforcing);
    guarded(cx, by, &report, "redacted");
    (text, report)
}
