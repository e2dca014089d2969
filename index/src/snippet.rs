//! What a hit shows: the lines of its passage around the words that matched. Pure.
//!
//! Invariant: a snippet is whole lines of the document as they stand there, unless one line alone
//! is over the limit; then it is cut between characters and says so with `…`.

use crate::chunk::clip;
use crate::token::{Form, Sought, Word, find};
use std::ops::Range;

/// An excerpt and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The lines, as they stand.
    pub text: String,
    /// Number of the first one.
    pub first: u32,
    /// Bytes of `text` that match a word of the query.
    pub marks: Vec<Range<usize>>,
}

/// The lines of `passage` (whose first line has number `first`) that hold most of what is sought,
/// within `max` bytes.
pub fn snippet(passage: &str, first: u32, sought: Sought, max: usize) -> Snippet {
    let body = passage.trim_end();
    let lines: Vec<&str> = body.split('\n').collect();
    let found = find(body, sought);
    let weights = weights(&lines, &found);
    let (mut from, to) = window(&lines, &weights, max);
    while from + 1 < to && lines[from].trim().is_empty() {
        from += 1;
    }
    let start: usize = lines[..from].iter().map(|line| line.len() + 1).sum();
    let length = lines[from..to].iter().map(|line| line.len() + 1).sum::<usize>() - 1;
    let joined = &body[start..start + length];
    let mut text = clip(joined, max).trim_end().to_owned();
    let marks = marks(&found, start..start + text.len());
    if text.len() < joined.trim_end().len() {
        text.push('…');
    }
    Snippet { text, first: first + from as u32, marks }
}

/// By line: distinct forms count more than repeated ones.
fn weights(lines: &[&str], found: &[Word]) -> Vec<usize> {
    let mut out = Vec::with_capacity(lines.len());
    let (mut at, mut next) = (0, 0);
    for line in lines {
        let end = at + line.len();
        let mut distinct: Vec<&str> = Vec::new();
        let mut all = 0;
        while let Some(word) = found.get(next).filter(|w| w.bytes.start < end) {
            if !distinct.contains(&word.text.as_str()) {
                distinct.push(&word.text);
            }
            all += 1;
            next += 1;
        }
        out.push(distinct.len() * 4 + all.min(4));
        at = end + 1;
    }
    out
}

/// The stretch of lines within `max` bytes that weighs most; the first one of equals. At least one
/// line.
fn window(lines: &[&str], weights: &[usize], max: usize) -> (usize, usize) {
    let (mut best, mut best_weight) = ((0, 1), 0);
    let (mut from, mut bytes, mut sum) = (0, 0, 0);
    for to in 0..lines.len() {
        bytes += lines[to].len() + 1;
        sum += weights[to];
        while bytes > max && from < to {
            bytes -= lines[from].len() + 1;
            sum -= weights[from];
            from += 1;
        }
        let longer = sum == best_weight && best.0 == from;
        if sum > best_weight || longer {
            best = (from, to + 1);
            best_weight = sum;
        }
    }
    best
}

/// Ranges of found words inside `bytes`, relative to it; whole identifiers win over their parts.
fn marks(found: &[Word], bytes: Range<usize>) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let inside = |w: &&Word| w.bytes.start >= bytes.start && w.bytes.end <= bytes.end;
    for word in found.iter().filter(|w| w.form != Form::Unigram).filter(inside) {
        let range = word.bytes.start - bytes.start..word.bytes.end - bytes.start;
        match out.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lines_that_match_are_shown() {
        let text = "one\ntwo\nthe tide is low\nfour\n";
        let forms = ["tide".to_owned()];
        let found = snippet(text, 10, Sought::plain(&forms), 16);
        assert_eq!((found.text.as_str(), found.first), ("the tide is low", 12));
        assert_eq!(found.marks.first(), Some(&(4..8)));
        let all = snippet(text, 10, Sought::plain(&forms), 100);
        assert_eq!(all.first, 10);
    }

    proptest! {
        #[test]
        fn snippets_are_whole_lines_or_say_so(
            text in "([a-c é東\n]{0,20}){0,10}", max in 4usize..60,
        ) {
            let forms = ["a".to_owned(), "b".to_owned()];
            let found = snippet(&text, 1, Sought::plain(&forms), max);
            let whole = text.contains(&found.text);
            prop_assert!(whole || found.text.ends_with('…'));
            for mark in found.marks {
                prop_assert!(found.text.get(mark).is_some());
            }
        }
    }
}
