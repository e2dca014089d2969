//! What a hit shows: the lines of its passage around the words that matched. Pure.
//!
//! In notes a paragraph is often one line, whose head says nothing of why it was found. Invariant:
//! a snippet is whole lines of the document as they stand there, unless one line alone is over the
//! limit; then it is a part of that line, with `…` where the rest was left out.

use crate::token::{Form, Sought, Word, find};
use std::ops::Range;

/// What both signs of what was left out take, in bytes.
const SIGNS_BYTES: usize = 2 * '…'.len_utf8();
/// Room for the rest of a word that a cut would part, in bytes; longer ones are parted.
const WORD_BYTES: usize = 32;

/// What a line weighs that is asked for: more than all words of a passage.
const KEPT: usize = 1 << 28;
/// How much less each line further from it weighs, in bits, and how many of them weigh more.
const KEPT_BITS: usize = 6;
const KEPT_AROUND: usize = 2;

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
    snippet_at(passage, first, None, sought, max)
}

/// The same; line number `kept` is among them, if there is one and the passage has it.
pub fn snippet_at(
    passage: &str,
    first: u32,
    kept: Option<u32>,
    sought: Sought,
    max: usize,
) -> Snippet {
    let body = passage.trim_end();
    let lines: Vec<&str> = body.split('\n').collect();
    let found = find(body, sought);
    let mut weights = weights(&lines, &found, max);
    keep(&mut weights, first, kept);
    let (mut from, to) = window(&lines, &weights, max);
    while from + 1 < to && lines[from].trim().is_empty() {
        from += 1;
    }
    shown(body, &lines, from..to, first, &found, max)
}

/// The one line of `passage` that holds most of what is sought, or its first one; line number
/// `kept`, if there is one and the passage has it.
pub fn line(passage: &str, first: u32, kept: Option<u32>, sought: Sought, max: usize) -> Snippet {
    let body = passage.trim_end();
    let lines: Vec<&str> = body.split('\n').collect();
    let found = find(body, sought);
    let mut weights = weights(&lines, &found, max);
    keep(&mut weights, first, kept);
    let rated = weights.iter().enumerate().filter(|(at, _)| !lines[*at].trim().is_empty());
    // The first one of equals.
    let best = rated.rev().max_by_key(|(_, weight)| **weight).map_or(0, |(at, _)| at);
    shown(body, &lines, best..best + 1, first, &found, max)
}

/// Some lines of a passage as they are shown.
fn shown(
    body: &str,
    lines: &[&str],
    span: Range<usize>,
    first: u32,
    found: &[Word],
    max: usize,
) -> Snippet {
    let start: usize = lines[..span.start].iter().map(|line| line.len() + 1).sum();
    let length = lines[span.clone()].iter().map(|line| line.len() + 1).sum::<usize>() - 1;
    let whole = start..start + body[start..start + length].trim_end().len();
    let bytes = match whole.len() > max {
        true => part(body, &whole, found, max),
        false => whole.clone(),
    };
    let mut text = String::with_capacity(bytes.len() + SIGNS_BYTES);
    if bytes.start > whole.start {
        text.push('…');
    }
    let marks = marks(found, &bytes, text.len());
    text.push_str(&body[bytes.clone()]);
    if bytes.end < whole.end {
        text.push('…');
    }
    Snippet { text, first: first + span.start as u32, marks }
}

/// The bytes of a line over the limit that are shown: around the words that weigh most, or its
/// head if they stand there, or if there are none.
fn part(body: &str, line: &Range<usize>, found: &[Word], max: usize) -> Range<usize> {
    let from = found.partition_point(|word| word.bytes.start < line.start);
    let to = found.partition_point(|word| word.bytes.start < line.end);
    // Two signs take no more room than one behind a head did.
    let inner = max - SIGNS_BYTES.min(max / 4);
    let held = match densest(&found[from..to], inner) {
        [] => line.start..line.start,
        words => words[0].bytes.start..end_of(words),
    };
    let room = max.saturating_sub(held.len());
    if held.end + room / 4 <= line.start + max {
        return line.start..word_end(body, held.end, line.start + max);
    }
    let before = inner.saturating_sub(held.len()) / 2;
    let start = held.start.saturating_sub(before).max(line.start).min(line.end - inner);
    let end = start + inner;
    let start = if start > line.start { word_start(body, start, held.start) } else { start };
    start..if end < line.end { word_end(body, held.end, end) } else { end }
}

/// The words that weigh most within `max` bytes, as few of them as weigh so much; the first ones of
/// equals.
fn densest(words: &[Word], max: usize) -> &[Word] {
    let (mut best, mut best_weight, mut from) = (&words[..0], 0, 0);
    for to in 0..words.len() {
        let wide = |from: usize| end_of(&words[from..=to]) - words[from].bytes.start > max;
        let idle = |from: usize| weight(&words[from + 1..=to]) >= weight(&words[from..=to]);
        while from < to && (wide(from) || idle(from)) {
            from += 1;
        }
        let here = &words[from..=to];
        let weight = weight(here);
        if weight > best_weight {
            (best, best_weight) = (here, weight);
        }
    }
    best
}

/// Behind the last byte of words: a whole identifier ends behind its parts.
fn end_of(words: &[Word]) -> usize {
    words.iter().map(|word| word.bytes.end).max().unwrap_or(0)
}

/// The head of the first word from `at` on, which is no later than `to`; the next character where
/// none is near.
fn word_start(body: &str, mut at: usize, to: usize) -> usize {
    while !body.is_char_boundary(at) {
        at += 1;
    }
    let near = &body[at..to];
    let parted = !body[..at].ends_with(char::is_whitespace);
    let gap = if parted { near.find(char::is_whitespace) } else { Some(0) };
    match gap.filter(|gap| *gap <= WORD_BYTES) {
        Some(gap) => to - near[gap..].trim_start().len(),
        None => at,
    }
}

/// The end of the last word up to `at`, which is no earlier than `from`; the character before where
/// none is near.
fn word_end(body: &str, from: usize, mut at: usize) -> usize {
    while !body.is_char_boundary(at) {
        at -= 1;
    }
    let from = from.min(at);
    let near = &body[from..at];
    let parted = !body[at..].starts_with(char::is_whitespace);
    let gap = if parted { near.rfind(char::is_whitespace) } else { Some(near.len()) };
    match gap.filter(|gap| near.len() - gap <= WORD_BYTES) {
        Some(gap) => from + near[..gap].trim_end().len(),
        None => at,
    }
}

/// By line: what its words weigh; of a line over the limit, those that are shown of it.
fn weights(lines: &[&str], found: &[Word], max: usize) -> Vec<usize> {
    let mut out = Vec::with_capacity(lines.len());
    let (mut at, mut left) = (0, found);
    for line in lines {
        let end = at + line.len();
        let (words, rest) = left.split_at(left.partition_point(|word| word.bytes.start < end));
        out.push(weight(if line.len() > max { densest(words, max) } else { words }));
        left = rest;
        at = end + 1;
    }
    out
}

/// Makes a line weigh so much that it is shown, and those around it that they are if there is room.
fn keep(weights: &mut [usize], first: u32, kept: Option<u32>) {
    let Some(at) = kept.and_then(|line| line.checked_sub(first)).map(|at| at as usize) else {
        return;
    };
    if at < weights.len() {
        for (n, weight) in weights.iter_mut().enumerate().skip(at.saturating_sub(KEPT_AROUND)) {
            let away = n.abs_diff(at);
            if away > KEPT_AROUND {
                break;
            }
            *weight += KEPT >> (KEPT_BITS * away);
        }
    }
}

/// Distinct forms count more than repeated ones.
fn weight(words: &[Word]) -> usize {
    let mut distinct: Vec<&str> = Vec::new();
    for word in words {
        if !distinct.contains(&word.text.as_str()) {
            distinct.push(&word.text);
        }
    }
    distinct.len() * 4 + words.len().min(4)
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

/// Ranges of found words inside `bytes`, which are shown from `at` on; whole identifiers win over
/// their parts.
fn marks(found: &[Word], bytes: &Range<usize>, at: usize) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let inside = |w: &&Word| w.bytes.start >= bytes.start && w.bytes.end <= bytes.end;
    for word in found.iter().filter(|w| w.form != Form::Unigram).filter(inside) {
        let range = at + word.bytes.start - bytes.start..at + word.bytes.end - bytes.start;
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
    use crate::token::words;
    use proptest::prelude::*;

    fn forms_of(text: &str) -> Vec<String> {
        let mut forms: Vec<String> = words(text).into_iter().map(|word| word.text).collect();
        forms.sort();
        forms
    }

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

    /// A paragraph in one line, as notes have them: `needle` stands behind `n` other words.
    fn paragraph(n: usize) -> String {
        format!("{}the needle of it{}", "some words ".repeat(n), " and more of them".repeat(40))
    }

    #[test]
    fn of_a_long_line_what_matches_is_shown() {
        let forms = forms_of("needle");
        for (n, max) in [(0, 200), (10, 200), (15, 200), (60, 200), (60, 260), (60, 700)] {
            let text = format!("# Head\n\n{}\n\nlast line\n", paragraph(n));
            for found in [
                snippet(&text, 5, Sought::plain(&forms), max),
                line(&text, 5, None, Sought::plain(&forms), max),
            ] {
                let marked: Vec<&str> =
                    found.marks.iter().map(|m| &found.text[m.clone()]).collect();
                assert_eq!(marked, ["needle"], "{n} {max}: {found:?}");
                assert_eq!(found.first, 7);
                let body = found.text.trim_matches('…');
                assert!(paragraph(n).contains(&format!("{body} ")), "{n} {max}: {body:?}");
                assert!(found.text.len() <= max + '…'.len_utf8(), "{}", found.text.len());
                assert!(body.len() > max - 2 * WORD_BYTES, "{}", body.len());
                // Its head is shown where the word stands in it.
                assert_eq!(found.text.starts_with('…'), n > 12, "{n} {max}: {body:?}");
                assert!(body.starts_with("the ") || body.starts_with("some ") || n > 12);
            }
        }
    }

    #[test]
    fn of_a_long_line_where_most_words_stand_is_shown() {
        let forms = forms_of("ebb neap tide");
        let far = " of water".repeat(60);
        let text = format!("The tide.{far} tide{far} the ebb of a neap tide{far} ebb\nno more");
        for found in [
            snippet(&text, 1, Sought::plain(&forms), 200),
            line(&text, 1, None, Sought::plain(&forms), 200),
        ] {
            assert!(found.text.contains("the ebb of a neap tide"), "{found:?}");
            assert!(found.text.starts_with('…') && found.text.ends_with('…'), "{found:?}");
            assert_eq!(found.marks.len(), 3);
        }
        // Words that repeat before it do not keep it at the edge.
        let text = format!("{}The ebb is late.{far}", "A tide at neap, ".repeat(40));
        let found = snippet(&text, 1, Sought::plain(&forms), 200);
        assert!(found.text.contains("The ebb is late. of water of water"), "{found:?}");
        // What is shown counts, and not what the line holds anywhere.
        let text = format!("ebb{far} neap{far} tide\n\nA neap tide.\n");
        assert_eq!(line(&text, 1, None, Sought::plain(&forms), 200).text, "A neap tide.");
    }

    #[test]
    fn a_long_line_without_gaps_is_cut_between_characters() {
        let forms = forms_of("東京");
        let text = format!("{}東京{}", "あ".repeat(300), "い".repeat(300));
        let found = snippet(&text, 1, Sought::plain(&forms), 200);
        assert_eq!(found.marks.iter().map(|m| &found.text[m.clone()]).next(), Some("東京"));
        let end = snippet(&format!("{}東京", "あ".repeat(300)), 1, Sought::plain(&forms), 200);
        assert!(end.text.starts_with('…') && end.text.ends_with("東京"), "{end:?}");
        assert_eq!(
            snippet(&text, 1, Sought::plain(&[]), 200).text,
            format!("{}…", "あ".repeat(66))
        );
    }

    #[test]
    fn a_line_that_is_asked_for_is_shown_whatever_weighs_more() {
        let forms = forms_of("tide");
        let mut lines = vec!["tide tide tide tide"; 6];
        lines.extend(["low water"; 6]);
        lines.extend(["the ebb", "begins", "at noon", "or so", "and ends"]);
        let text = lines.join("\n");
        let at = |kept: Option<u32>| snippet_at(&text, 11, kept, Sought::plain(&forms), 40).text;
        assert_eq!(at(Some(23)), "low water\nlow water\nthe ebb\nbegins");
        assert_eq!(at(Some(25)), "the ebb\nbegins\nat noon\nor so\nand ends");
        for kept in [None, Some(3), Some(99)] {
            assert!(at(kept).starts_with("tide"), "{kept:?}");
        }
        assert_eq!(line(&text, 11, Some(24), Sought::plain(&forms), 40).text, "begins");
        assert!(line(&text, 11, None, Sought::plain(&forms), 40).text.starts_with("tide"));
    }

    proptest! {
        #[test]
        fn snippets_are_whole_lines_or_say_so(
            text in "([a-c é東\n]{0,20}){0,10}", max in 4usize..60,
        ) {
            let forms = ["a".to_owned(), "b".to_owned()];
            let sought = Sought::plain(&forms);
            for found in [snippet(&text, 1, sought, max), line(&text, 1, None, sought, max)] {
                let body = found.text.trim_matches('…');
                prop_assert!(text.contains(body));
                let cut = found.text.starts_with('…');
                let is_whole = format!("\n{text}").contains(&format!("\n{body}"));
                prop_assert!(cut || is_whole);
                prop_assert!(found.text.len() <= max.max(24) + '…'.len_utf8());
                // What is in the passage is in what is shown of it.
                prop_assert_eq!(found.marks.is_empty(), find(&text, sought).is_empty());
                for mark in found.marks {
                    prop_assert!(["a", "b"].contains(&found.text.get(mark).unwrap_or_default()));
                }
            }
        }
    }
}
