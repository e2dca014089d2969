//! What the operator blocks: patterns, phrases, and exact values that must not leave.
//!
//! Checks the settings, so that a scan cannot fail. Invariant: nothing here prints a value.

use crate::error::{Error, Result};
use crate::fold::Fold;
use crate::rule::{Kind, Mode, Rule};
use crate::span::Spans;
use regex::{Regex, RegexBuilder, RegexSet};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Most entries of each list.
pub const ENTRIES_MAX: usize = 500;
/// Most characters of a phrase or a pattern.
pub const ENTRY_CHARS_MAX: usize = 2_000;
/// Fewest bytes of a value: shorter ones stand in half of all texts.
pub const VALUE_BYTES_MIN: usize = 6;
/// Most bytes of a value; a certificate's key has less.
pub const VALUE_BYTES_MAX: usize = 16_384;
/// Memory of one compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 2 << 20;
/// Matches of one pattern, after which the rest of the text is one hit: each may cost a look at the
/// whole text, which is what makes some patterns quadratic.
const MATCHES_MAX: usize = 1_000;

/// One entry of a list.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What reports call it. It goes into ledgers.
    pub name: String,
    /// The pattern, the phrase or the value.
    pub text: String,
}

impl Entry {
    /// An entry of that name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Entry { name: name.into(), text: text.into() }
    }
}

/// Its text may be a secret.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Matchers of the operator's rules that are on; the numbers are places in the list of rules.
pub(crate) struct Operator {
    patterns: Vec<(usize, Regex)>,
    /// Which of `patterns` a text has at all.
    any: RegexSet,
    phrases: Vec<Phrases>,
    values: Vec<Values>,
}

/// Phrases of one mode: a weak one must not hide a strong one that overlaps it.
struct Phrases {
    all: Regex,
    rules: HashMap<String, usize>,
}

struct Values {
    all: Regex,
    rules: HashMap<String, usize>,
}

impl Operator {
    /// Checks the lists and adds their rules, with modes that `mode` gives.
    pub(crate) fn new(
        lists: [&[Entry]; 3],
        rules: &mut Vec<Rule>,
        mode: impl Fn(&str, Kind) -> Mode,
    ) -> Result<Self> {
        let mut added = Vec::new();
        let names =
            [("pattern", Kind::Blocked), ("phrase", Kind::Blocked), ("value", Kind::Secret)];
        for ((list, kind), entries) in names.into_iter().zip(lists) {
            check_names(list, entries)?;
            let mut places = Vec::new();
            for entry in entries {
                let id = format!("{list}:{}", entry.name);
                let mode = mode(&id, kind);
                places.push((rules.len(), mode, entry));
                rules.push(Rule { id, kind, mode });
            }
            added.push(places);
        }
        let values = added.pop().unwrap_or_default();
        let phrases = added.pop().unwrap_or_default();
        let patterns = added.pop().unwrap_or_default();
        let on = patterns.into_iter().map(|(rule, mode, entry)| Ok((rule, mode, pattern(entry)?)));
        let on: Result<Vec<_>> = on.collect();
        let patterns: Vec<(usize, Regex)> = on?
            .into_iter()
            .filter(|(_, mode, _)| *mode > Mode::Off)
            .map(|(rule, _, pattern)| (rule, pattern))
            .collect();
        let any = RegexSet::new(patterns.iter().map(|(_, pattern)| pattern.as_str()));
        let unusable = |e: regex::Error| Error::Unusable {
            name: "all of them".to_owned(),
            reason: format!("together they are too large: {e}"),
        };
        Ok(Operator {
            any: any.map_err(unusable)?,
            patterns,
            phrases: phrase_lists(&phrases)?,
            values: value_lists(&values)?,
        })
    }

    /// Whether any rule reads the folded text.
    pub(crate) fn folds(&self) -> bool {
        !self.phrases.is_empty()
    }

    pub(crate) fn scan(&self, text: &str, spans: &mut Spans) {
        for at in self.any.matches(text) {
            let (rule, pattern) = &self.patterns[at];
            for (n, found) in pattern.find_iter(text).enumerate() {
                if n == MATCHES_MAX {
                    spans.push_rule(*rule, found.start()..text.len());
                    break;
                }
                spans.push_rule(*rule, found.range());
            }
        }
        for list in &self.values {
            for found in list.all.find_iter(text) {
                if let Some(rule) = list.rules.get(found.as_str()) {
                    spans.push_rule(*rule, found.range());
                }
            }
        }
    }

    pub(crate) fn scan_folded(&self, text: &str, fold: &Fold, spans: &mut Spans) {
        for list in &self.phrases {
            for found in list.all.find_iter(&fold.text).filter(|found| !fold.tears(found.end())) {
                let phrase = found.as_str().replace('\n', " ");
                if let Some(rule) = list.rules.get(&phrase) {
                    spans.push_rule(*rule, fold.source(found.range(), text));
                }
            }
        }
    }
}

fn check_names(list: &'static str, entries: &[Entry]) -> Result<()> {
    if entries.len() > ENTRIES_MAX {
        return Err(Error::TooMany { list, given: entries.len(), most: ENTRIES_MAX });
    }
    let mut seen = BTreeSet::new();
    match entries.iter().find(|entry| entry.name.is_empty() || !seen.insert(&entry.name)) {
        Some(entry) => Err(Error::Name { list, name: entry.name.clone() }),
        None => Ok(()),
    }
}

fn check_length(
    list: &'static str,
    entry: &Entry,
    given: usize,
    unit: &'static str,
    (least, most): (usize, usize),
) -> Result<()> {
    match (least..=most).contains(&given) {
        true => Ok(()),
        false => Err(Error::Length { list, name: entry.name.clone(), given, unit, least, most }),
    }
}

fn pattern(entry: &Entry) -> Result<Regex> {
    let chars = entry.text.chars().count();
    check_length("pattern", entry, chars, "characters", (1, ENTRY_CHARS_MAX))?;
    let name = || entry.name.clone();
    let compiled = RegexBuilder::new(&entry.text).size_limit(PATTERN_BYTES_MAX).build();
    let pattern = compiled.map_err(|e| match e {
        regex::Error::Syntax(message) => {
            let (line, column) = position(&message, entry.text.contains('\n'));
            Error::Pattern { name: name(), line, column, reason: reason(&message) }
        }
        regex::Error::CompiledTooBig(most) => {
            let reason = format!("it takes over {most} bytes when compiled; repeat less");
            Error::Unusable { name: name(), reason }
        }
        other => Error::Unusable { name: name(), reason: other.to_string() },
    })?;
    if pattern.is_match("") {
        let reason = "it matches a text without characters, so that it would block every text";
        return Err(Error::Unusable { name: name(), reason: reason.to_owned() });
    }
    Ok(pattern)
}

/// Line and column of the mistake, read off the message: the crate gives it in no other form.
fn position(message: &str, several: bool) -> (usize, usize) {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    // A mistake over several lines: `on line 2 (column 1 through column 3)`.
    if let Some((_, rest)) = message.split_once("on line ")
        && let Some((_, column)) = rest.split_once("(column ")
        && let (Some(line), Some(column)) = (number(rest), number(column))
    {
        return (line, column);
    }
    // Else the pattern, behind four spaces or behind the number of each line, and under it `^`.
    let lines: Vec<&str> = message.lines().collect();
    let Some(under) = lines.iter().rposition(|line| line.trim_start().starts_with('^')) else {
        return (1, 1);
    };
    let caret = lines[under].chars().take_while(|c| *c == ' ').count();
    let above = lines[..under].last().copied().unwrap_or_default();
    let numbered = above.trim_start().split_once(": ").and_then(|(line, _)| number(line));
    let line = numbered.filter(|_| several).unwrap_or(1);
    let margin = if several { above.find(": ").map_or(0, |at| at + 2) } else { 4 };
    (line, (caret + 1).saturating_sub(margin).max(1))
}

fn reason(message: &str) -> String {
    let last = message.lines().rev().find_map(|line| line.strip_prefix("error: "));
    last.unwrap_or("it cannot be read").to_owned()
}

/// Entries that are on, with their rules, by mode.
fn by_mode<'a>(entries: &[(usize, Mode, &'a Entry)]) -> Vec<Vec<(usize, &'a Entry)>> {
    let of = |wanted: Mode| {
        let on = entries.iter().filter(|(_, mode, _)| *mode == wanted);
        on.map(|(rule, _, entry)| (*rule, *entry)).collect::<Vec<_>>()
    };
    let lists = [of(Mode::Enforcing), of(Mode::Advisory)];
    lists.into_iter().filter(|list| !list.is_empty()).collect()
}

/// One expression for all, the longest first, because the first that matches wins.
fn alternatives(mut texts: Vec<String>, list: &str) -> Result<Regex> {
    texts.sort_by_key(|text| (Reverse(text.len()), text.clone()));
    let all = RegexBuilder::new(&texts.join("|")).size_limit(64 << 20).build();
    all.map_err(|_| Error::Unusable {
        name: format!("{list}:*"),
        reason: "the list is too large; shorten it".to_owned(),
    })
}

fn phrase_lists(entries: &[(usize, Mode, &Entry)]) -> Result<Vec<Phrases>> {
    for (_, _, entry) in entries {
        let chars = Fold::of(&entry.text).text.trim().chars().count();
        check_length("phrase", entry, chars, "visible characters", (1, ENTRY_CHARS_MAX))?;
    }
    let lists = by_mode(entries).into_iter().map(|list| {
        let (mut texts, mut rules) = (Vec::new(), HashMap::new());
        for (rule, entry) in list {
            let phrase = Fold::of(&entry.text).text.trim().replace('\n', " ");
            texts.push(phrase_pattern(&phrase));
            rules.entry(phrase).or_insert(rule);
        }
        Ok(Phrases { all: alternatives(texts, "phrase")?, rules })
    });
    lists.collect()
}

/// A phrase with any white space between its words, not inside of longer words.
fn phrase_pattern(phrase: &str) -> String {
    // At letters of scripts without spaces between words there is no border to ask for.
    let border = |c: Option<char>| {
        if c.is_some_and(|c| c.is_ascii_alphanumeric()) { "(?-u:\\b)" } else { "" }
    };
    let body = regex::escape(phrase).replace(' ', r"[\x20\n]");
    let (first, last) = (phrase.chars().next(), phrase.chars().next_back());
    format!("{}{body}{}", border(first), border(last))
}

fn value_lists(entries: &[(usize, Mode, &Entry)]) -> Result<Vec<Values>> {
    for (_, _, entry) in entries {
        let bounds = (VALUE_BYTES_MIN, VALUE_BYTES_MAX);
        check_length("value", entry, entry.text.len(), "bytes", bounds)?;
    }
    let lists = by_mode(entries).into_iter().map(|list| {
        let texts = list.iter().map(|(_, entry)| regex::escape(&entry.text)).collect();
        let rules = list.iter().map(|(rule, entry)| (entry.text.clone(), *rule)).collect();
        Ok(Values { all: alternatives(texts, "value")?, rules })
    });
    lists.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pattern_tells_its_name_and_place() {
        let wrong = |text: &str| match pattern(&Entry::new("mine", text)) {
            Err(Error::Pattern { name, line, column, reason }) => {
                assert_eq!(name, "mine");
                (line, column, reason)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(wrong("(ab"), (1, 1, "unclosed group".to_owned()));
        assert_eq!(wrong("ab[c"), (1, 3, "unclosed character class".to_owned()));
        assert_eq!(wrong("äö*+**(").0, 1);
        assert_eq!(wrong("äöü)").1, 4);
        let (line, column, _) = wrong("(?x) a\n  b\n  [c");
        assert_eq!((line, column), (3, 3));
        assert!(wrong(r"a(?=b)").2.contains("look-around"));
    }

    #[test]
    fn a_pattern_that_blocks_everything_or_takes_too_much_is_refused() {
        for text in ["a*", "^", "a|", r"(?:[\p{L}\d]{500}){500}"] {
            let refused = pattern(&Entry::new("mine", text));
            assert!(matches!(refused, Err(Error::Unusable { .. })), "{text}: {refused:?}");
        }
    }
}
