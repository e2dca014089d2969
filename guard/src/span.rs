//! What rules found, and how it becomes hits: overlaps resolved, numbers bounded, text covered.
//!
//! Pure functions over ranges. Invariant: neither a span nor a hit holds content.

use crate::rule::{Id, Kind, Mode, Rule};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// Most hits that a report carries; the strongest first.
pub const HITS_MAX: usize = 100;

/// Something found in a text, without what it was.
///
/// Not even a fingerprint of it: a number of nine digits is guessed from any hash in a second by
/// whoever has the key, and hits go into ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule's id.
    pub rule: String,
    /// What it looks for.
    pub kind: Kind,
    /// Bytes of the text, at borders of characters.
    pub range: Range<usize>,
    /// How strongly the rule acts.
    pub mode: Mode,
}

/// What a text holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In order, none overlapping another; at most [`HITS_MAX`].
    pub hits: Vec<Hit>,
    /// Hits beyond those.
    pub more: usize,
    /// Whether any rule that enforces has a hit, shown or not.
    pub refused: bool,
}

/// A rule's place in the list and where it hit.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) rule: usize,
    pub(crate) range: Range<usize>,
}

/// Takes what the scanners find; leaves out what is off and what stands in a mark of ours.
pub(crate) struct Spans<'a> {
    rules: &'a [Rule],
    marks: Vec<Range<usize>>,
    pub(crate) found: Vec<Span>,
}

impl<'a> Spans<'a> {
    pub(crate) fn new(rules: &'a [Rule], text: &str) -> Self {
        Spans { rules, marks: marks(text), found: Vec::new() }
    }

    pub(crate) fn push(&mut self, id: Id, range: Range<usize>) {
        self.push_rule(id as usize, range);
    }

    pub(crate) fn push_rule(&mut self, rule: usize, range: Range<usize>) {
        let on = self.rules.get(rule).is_some_and(|rule| rule.mode > Mode::Off);
        // A blocked phrase `secret` would find itself in the mark that replaces it.
        let before = self.marks.partition_point(|mark| mark.start <= range.start);
        let marked = before > 0 && range.end <= self.marks[before - 1].end;
        if on && !range.is_empty() && !marked {
            self.found.push(Span { rule, range });
        }
    }
}

fn marks(text: &str) -> Vec<Range<usize>> {
    let opened = text.match_indices("[redacted: ").map(|(at, _)| at);
    let mark = |at: usize| {
        let mark = Kind::ALL.iter().find(|kind| text[at..].starts_with(kind.mark()))?.mark();
        Some(at..at + mark.len())
    };
    opened.filter_map(mark).collect()
}

/// The report of what was found.
pub(crate) fn report(rules: &[Rule], spans: Vec<Span>) -> Report {
    let mut spans = resolve(rules, spans);
    let refused = spans.iter().any(|span| rules[span.rule].mode == Mode::Enforcing);
    let more = spans.len().saturating_sub(HITS_MAX);
    spans.sort_by_key(|span| (Reverse(rules[span.rule].mode), span.range.start));
    spans.truncate(HITS_MAX);
    spans.sort_by_key(|span| span.range.start);
    let hit = |span: Span| {
        let Rule { id, kind, mode } = rules[span.rule].clone();
        Hit { rule: id, kind, range: span.range, mode }
    };
    Report { hits: spans.into_iter().map(hit).collect(), more, refused }
}

/// Spans without overlap. The stronger mode wins, then the longer span, then the earlier rule; of
/// the loser stays its first part that nobody else has.
fn resolve(rules: &[Rule], mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| {
        let Range { start, end } = span.range;
        (Reverse(rules[span.rule].mode), Reverse(end - start), start, span.rule)
    });
    // Spans of one rule are disjoint, so that all their walks over `taken` together are linear.
    let mut taken: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for Span { rule, range } in spans {
        let mut start = range.start;
        while let Some((_, (end, _))) = taken.range(..=start).next_back() {
            if *end <= start {
                break;
            }
            start = *end;
        }
        let next = taken.range(start..).next().map_or(usize::MAX, |(at, _)| *at);
        if start < range.end.min(next) {
            taken.insert(start, (range.end.min(next), rule));
        }
    }
    taken.into_iter().map(|(start, (end, rule))| Span { rule, range: start..end }).collect()
}

/// The text with a mark in place of everything found; spans that overlap share one.
pub(crate) fn cover(text: &str, rules: &[Rule], mut spans: Vec<Span>) -> String {
    spans.sort_by_key(|span| span.range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut rest = spans.into_iter().peekable();
    while let Some(mut first) = rest.next() {
        let start = first.range.start;
        let mut end = first.range.end;
        while let Some(next) = rest.next_if(|next| next.range.start < end) {
            end = end.max(next.range.end);
            let strength = |span: &Span| (rules[span.rule].mode, span.range.len());
            if strength(&next) > strength(&first) {
                first = next;
            }
        }
        out.push_str(&text[at..start]);
        out.push_str(rules[first.rule].kind.mark());
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, mode: Mode) -> Rule {
        Rule { id: id.to_owned(), kind: Kind::Secret, mode }
    }

    fn spans(list: &[(usize, Range<usize>)]) -> Vec<Span> {
        list.iter().map(|(rule, range)| Span { rule: *rule, range: range.clone() }).collect()
    }

    #[test]
    fn overlaps_resolve_to_the_stronger_then_the_longer() {
        let rules = [rule("weak", Mode::Advisory), rule("strong", Mode::Enforcing)];
        let found = spans(&[(0, 0..10), (1, 4..6), (0, 8..9), (1, 5..7), (0, 20..30), (0, 20..25)]);
        let left: Vec<_> = resolve(&rules, found).into_iter().map(|s| (s.rule, s.range)).collect();
        assert_eq!(left, [(0, 0..4), (1, 4..6), (1, 6..7), (0, 8..9), (0, 20..30)]);
    }

    #[test]
    fn a_report_keeps_the_strongest_and_counts_the_rest() {
        let rules = [rule("weak", Mode::Advisory), rule("strong", Mode::Enforcing)];
        let mut found: Vec<Span> = (0..500).map(|n| Span { rule: 0, range: n..n + 1 }).collect();
        found.push(Span { rule: 1, range: 600..601 });
        let report = report(&rules, found);
        assert_eq!((report.hits.len(), report.more, report.refused), (HITS_MAX, 401, true));
        assert_eq!(report.hits.last().map(|hit| hit.rule.as_str()), Some("strong"));
    }

    #[test]
    fn what_overlaps_is_covered_once_and_whole() {
        let rules = [rule("weak", Mode::Advisory), rule("strong", Mode::Enforcing)];
        let text = cover("0123456789", &rules, spans(&[(0, 1..5), (1, 4..6), (1, 8..9)]));
        assert_eq!(text, "0[redacted: secret]67[redacted: secret]9");
    }
}
