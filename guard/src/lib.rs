//! The engine that protects: finds personal data, secrets, instruction-like text in what is
//! quoted, and what the operator blocks; before and after every call of a model.
//!
//! Pure functions over texts; knows no configuration file, ledger or provider. It finds shapes:
//! a secret without one passes, so that a clean report is no proof. Invariants: a scan never
//! fails, its time is linear in the text, and no report holds content of the text.

mod error;
mod fold;
mod instruction;
mod operator;
mod personal;
mod rule;
mod secret;
mod span;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use operator::{ENTRIES_MAX, ENTRY_CHARS_MAX, Entry, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
pub use rule::{Kind, Mode, Rule, Stage};
pub use span::{HITS_MAX, Hit, Report};

use fold::Fold;
use instruction::Instructions;
use operator::Operator;
use rule::BUILT_IN;
use secret::Secrets;
use span::{Span, Spans};
use std::sync::LazyLock;

/// Passes over a redacted text until nothing is found in it; the first nearly always suffices.
const REDACTIONS_MAX: usize = 4;

/// What the operator wants otherwise than by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Modes of rules by id or by the name of a kind. An id's own wins over its kind's.
    pub modes: Vec<(String, Mode)>,
    /// Regular expressions that are blocked, read as they stand.
    pub patterns: Vec<Entry>,
    /// Phrases that are blocked, in any case, width and spacing.
    pub phrases: Vec<Entry>,
    /// Exact values that are secrets: those of the environment variables that hold keys.
    pub values: Vec<Entry>,
}

/// The rules, ready to run; threads share one.
pub struct Guard {
    rules: Vec<Rule>,
    /// Compiled when a text is first looked at: most processes never see one, and all start sooner.
    secrets: LazyLock<Secrets>,
    /// The same.
    instructions: LazyLock<Instructions>,
    operator: Operator,
}

/// Its matchers hold the operator's values.
impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Guard {
    /// Compiles the operator's rules; the built-in ones take some milliseconds when they are first
    /// used.
    ///
    /// # Errors
    /// Every variant of [`Error`], each for an entry of the settings that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self> {
        let set = |name: &str| settings.modes.iter().rev().find(|(known, _)| known == name);
        let mode = |id: &str, kind: Kind| {
            set(id).or_else(|| set(kind.name())).map_or_else(|| kind.mode(), |(_, mode)| *mode)
        };
        let built_in = BUILT_IN.iter().map(|(_, id, kind)| {
            let mode = mode(id, *kind);
            Rule { id: (*id).to_owned(), kind: *kind, mode }
        });
        let mut rules: Vec<Rule> = built_in.collect();
        let lists = [&settings.patterns[..], &settings.phrases[..], &settings.values[..]];
        let operator = Operator::new(lists, &mut rules, mode)?;
        check_modes(settings, &rules)?;
        let secrets = LazyLock::new(Secrets::new as fn() -> Secrets);
        let instructions = LazyLock::new(Instructions::new as fn() -> Instructions);
        Ok(Guard { rules, secrets, instructions, operator })
    }

    /// Every rule with its mode, the operator's last.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What a text holds.
    pub fn check(&self, text: &str, stage: Stage) -> Report {
        span::report(&self.rules, self.scan(text, stage))
    }

    /// The rules of instruction-like text that a quotation falls under, sorted. Looks for nothing
    /// else, so that every passage that is shown can be asked about.
    pub fn instructions(&self, text: &str) -> Vec<String> {
        let mut spans = Spans::new(&self.rules, text);
        self.instructions.scan(text, &Fold::of(text), &mut spans);
        let rules = spans.found.iter().filter_map(|span| self.rules.get(span.rule));
        let mut ids: Vec<String> = rules.map(|rule| rule.id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The text with `[redacted: kind]` in place of each hit of rules whose mode is at least
    /// `least`, and the report of those hits with their places in the text as it was given. The
    /// result has no such hit left.
    pub fn redact(&self, text: &str, stage: Stage, least: Mode) -> (String, Report) {
        let strong = |text: &str| {
            let mut spans = self.scan(text, stage);
            spans.retain(|span| self.rules[span.rule].mode >= least);
            spans
        };
        let spans = strong(text);
        let mut left = spans.clone();
        let mut out = text.to_owned();
        for _ in 0..REDACTIONS_MAX {
            if left.is_empty() {
                return (out, span::report(&self.rules, spans));
            }
            out = span::cover(&out, &self.rules, left);
            left = strong(&out);
        }
        // What the marks bring together is found again each time: a pattern that wants marks.
        if !left.is_empty() {
            out = Kind::Blocked.mark().to_owned();
        }
        (out, span::report(&self.rules, spans))
    }

    fn scan(&self, text: &str, stage: Stage) -> Vec<Span> {
        let mut spans = Spans::new(&self.rules, text);
        personal::scan(text, &mut spans);
        self.secrets.scan(text, &mut spans);
        self.operator.scan(text, &mut spans);
        if stage.reads_instructions() || self.operator.folds() {
            let fold = Fold::of(text);
            self.operator.scan_folded(text, &fold, &mut spans);
            if stage.reads_instructions() {
                self.instructions.scan(text, &fold, &mut spans);
            }
        }
        spans.found
    }
}

/// Refuses a mode for a rule that is not there: it would silently protect nothing.
fn check_modes(settings: &Settings, rules: &[Rule]) -> Result<()> {
    let known = |name: &str| {
        Kind::ALL.iter().any(|kind| kind.name() == name) || rules.iter().any(|r| r.id == name)
    };
    let Some((name, _)) = settings.modes.iter().find(|(name, _)| !known(name)) else {
        return Ok(());
    };
    let kinds = Kind::ALL.iter().map(|kind| kind.name());
    let names: Vec<&str> = kinds.chain(rules.iter().map(|rule| rule.id.as_str())).collect();
    Err(Error::Rule { name: name.clone(), known: names.join(", ") })
}
