//! Cutting a text into passages at given borders, and what every passage says of itself.
//!
//! Invariant: the chunks tile the text: nothing is lost and nothing stands twice. No border
//! splits a grapheme.

use crate::kind::code;
use crate::kind::{Chunk, Input, Left, Parsed, Symbol, stem};
use crate::limit::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, HEADER_BYTES_MAX, SYMBOLS_MAX};
use std::ops::Range;
use unicode_segmentation::GraphemeCursor;

/// A place where a text may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// Byte, at the start of a line.
    pub at: usize,
    /// A heading or an item starts here; else a paragraph, a list item, a statement.
    pub hard: bool,
}

/// How small neighbours are joined and large ones split.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Sections below this join their neighbour, in bytes.
    pub min: usize,
    /// No chunk is larger, in bytes.
    pub max: usize,
}

/// For prose.
pub const NOTE_RULE: Rule = Rule { min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX };
/// For code: short items (imports, constants, getters) share a chunk.
pub const CODE_RULE: Rule = Rule { min: 320, max: CHUNK_BYTES_MAX };

/// Cuts `text` at `borders` (sorted or not) into ranges that tile it.
pub fn cut(text: &str, borders: &[Border], rule: Rule) -> Vec<Range<usize>> {
    let mut hard: Vec<usize> = borders.iter().filter(|b| b.hard).map(|b| b.at).collect();
    let mut soft: Vec<usize> = borders.iter().map(|b| b.at).collect();
    hard.sort_unstable();
    soft.sort_unstable();
    let mut out = Vec::new();
    for section in merge(&sections(text, &hard), rule) {
        split(text, section, &soft, rule.max, &mut out);
    }
    out
}

fn sections(text: &str, hard: &[usize]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    for &at in hard {
        if at > start && at < text.len() && text.is_char_boundary(at) {
            out.push(start..at);
            start = at;
        }
    }
    if start < text.len() {
        out.push(start..text.len());
    }
    out
}

/// Joins sections where one of two neighbours is below `rule.min` and both fit one chunk.
fn merge(sections: &[Range<usize>], rule: Rule) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for section in sections {
        if let Some(last) = out.last_mut() {
            let fits = section.end - last.start <= rule.max;
            if fits && (last.len() < rule.min || section.len() < rule.min) {
                last.end = section.end;
                continue;
            }
        }
        out.push(section.clone());
    }
    out
}

/// Splits one section into pieces of at most `max` bytes: at the last soft border that leaves a
/// piece at least a third full, else at a line end, else at a space, else between graphemes.
fn split(
    text: &str,
    section: Range<usize>,
    soft: &[usize],
    max: usize,
    out: &mut Vec<Range<usize>>,
) {
    let mut start = section.start;
    while section.end - start > max {
        // Two even halves are better passages than a full one and a scrap.
        let rest = section.end - start;
        let wanted = if rest < 2 * max { rest / 2 + max / 8 } else { max };
        let at = best_cut(text, start, start + wanted.min(max), soft);
        out.push(start..at);
        start = at;
    }
    if start < section.end {
        out.push(start..section.end);
    }
}

fn best_cut(text: &str, start: usize, limit: usize, soft: &[usize]) -> usize {
    let floor = start + (limit - start) / 3;
    let idx = soft.partition_point(|&at| at <= limit);
    if let Some(&at) = soft[..idx].last()
        && at > floor
        && text.is_char_boundary(at)
    {
        return at;
    }
    let limit = floor_boundary(text, limit);
    let window = &text[start..limit];
    if let Some(newline) = window.rfind('\n')
        && newline > 0
    {
        return start + newline + 1;
    }
    // A sign that stands on a space belongs to it, and so does a line's second end to the first.
    let mut spaces = window.rmatch_indices(char::is_whitespace);
    let behind = spaces.find_map(|(at, space)| {
        let end = start + at + space.len();
        (at > 0 && is_between_graphemes(text, end)).then_some(end)
    });
    behind.unwrap_or_else(|| grapheme_floor(text, start, limit))
}

fn is_between_graphemes(text: &str, at: usize) -> bool {
    GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(true)
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The last grapheme border in `start+1..=limit`, else the first one beyond.
fn grapheme_floor(text: &str, start: usize, limit: usize) -> usize {
    if is_between_graphemes(text, limit) {
        return limit;
    }
    let mut cursor = GraphemeCursor::new(limit, text.len(), true);
    match cursor.prev_boundary(text, 0) {
        Ok(Some(at)) if at > start => at,
        _ => {
            let mut cursor = GraphemeCursor::new(limit, text.len(), true);
            cursor.next_boundary(text, 0).ok().flatten().unwrap_or(text.len())
        }
    }
}

/// Where the lines of a text start: a bit for each byte that begins one, and how many there are
/// before each block of bits. A list of starts would take four times a text of line ends alone.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u64>,
    /// By block of [`BLOCK`] words: starts before it.
    before: Vec<u32>,
    n_lines: u32,
    len: usize,
}

/// Words of bits that are counted one by one.
const BLOCK: usize = 8;

impl LineIndex {
    /// Scans `text` once.
    pub fn new(text: &str) -> Self {
        let len = text.len();
        let mut starts = vec![0_u64; len / 64 + 1];
        starts[0] = 1;
        for (word, bytes) in text.as_bytes().chunks(64).enumerate() {
            let bit = |(at, byte): (usize, &u8)| u64::from(*byte == b'\n') << at;
            let ends = bytes.iter().enumerate().map(bit).fold(0, |all, bit| all | bit);
            // A line starts behind an end.
            starts[word] |= ends << 1;
            if ends >> 63 == 1
                && let Some(next) = starts.get_mut(word + 1)
            {
                *next |= 1;
            }
        }
        if text.ends_with('\n') {
            starts[len / 64] &= !(1 << (len % 64));
        }
        let mut n_lines = 0;
        let count = |block: &[u64]| {
            let before = n_lines;
            n_lines += block.iter().map(|word| word.count_ones()).sum::<u32>();
            before
        };
        let before = starts.chunks(BLOCK).map(count).collect();
        LineIndex { starts, before, n_lines, len }
    }

    /// Number of lines.
    pub fn count(&self) -> u32 {
        self.n_lines
    }

    /// The line of byte `at`, from 1.
    pub fn line(&self, at: usize) -> u32 {
        if at >= self.len {
            return self.n_lines;
        }
        let (word, bit) = (at / 64, at % 64);
        let block = word / BLOCK;
        let whole: u32 = self.starts[block * BLOCK..word].iter().map(|w| w.count_ones()).sum();
        let last = (self.starts[word] & (u64::MAX >> (63 - bit))).count_ones();
        self.before[block] + whole + last
    }

    /// First and last line of `bytes`, from 1; trailing line ends belong to the last line.
    pub fn span(&self, bytes: &Range<usize>) -> (u32, u32) {
        let last = bytes.end.saturating_sub(1).max(bytes.start);
        (self.line(bytes.start), self.line(last))
    }

    /// Bytes of the lines `first..=last` (from 1, clamped).
    pub fn bytes(&self, first: u32, last: u32) -> Range<usize> {
        let first = first.clamp(1, self.n_lines);
        let last = last.clamp(first, self.n_lines);
        self.start(first)..if last == self.n_lines { self.len } else { self.start(last + 1) }
    }

    /// Where a line starts that there is.
    fn start(&self, line: u32) -> usize {
        let block = self.before.partition_point(|before| *before < line) - 1;
        let mut left = line - self.before[block];
        for (word, bits) in self.starts.iter().enumerate().skip(block * BLOCK) {
            let n = bits.count_ones();
            if left <= n {
                // All starts of the word but those before this one.
                let rest = (1..left).fold(*bits, |rest, _| rest & (rest - 1));
                return word * 64 + rest.trailing_zeros() as usize;
            }
            left -= n;
        }
        self.len
    }
}

/// A chunk that stands under nothing.
pub fn plain_chunk(lines: &LineIndex, bytes: Range<usize>) -> Chunk {
    let span = lines.span(&bytes);
    Chunk {
        bytes,
        lines: span,
        header: String::new(),
        heading: None,
        symbol: None,
        names: String::new(),
    }
}

/// Cuts `text` to at most `max` bytes on a character border.
pub fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max { text } else { &text[..floor_boundary(text, max)] }
}

/// Parses source code: items by grammar, chunks at their starts.
pub fn parse_code(input: &Input) -> Parsed {
    let Some(language) = code::by_text(input.path, input.text) else {
        return Parsed { title: stem(input.path).to_owned(), ..Parsed::default() };
    };
    let parsed = parsed_code(input, code::items(language, input.text));
    Parsed { kind: Some(language.name), ..parsed }
}

fn parsed_code(input: &Input, found: code::Items) -> Parsed {
    let items = found.items;
    let mut borders: Vec<Border> = items
        .iter()
        .filter(|item| item.kind != "key" || item.depth == 0)
        .map(|item| Border { at: line_start(input.text, item.bytes.start), hard: true })
        .collect();
    borders.extend(crate::kind::text::paragraph_borders(input.text));
    let chunks = cut(input.text, &borders, CODE_RULE)
        .into_iter()
        .map(|bytes| code_chunk(input, &items, bytes))
        .collect();
    let title = input.path.rsplit('/').next().unwrap_or(input.path).to_owned();
    let symbols = items.iter().take(SYMBOLS_MAX).map(|item| symbol(input, item)).collect();
    let declared = items.iter().take(SYMBOLS_MAX).map(declared_at).collect();
    let mut out = Parsed { title, chunks, symbols, declared, ..Parsed::default() };
    if let Some(item) = items.get(SYMBOLS_MAX) {
        out.leave_out(Left::Definitions, item.bytes.start);
    }
    if found.out_of_time {
        out.leave_out(Left::Time, 0);
    }
    if found.is_cut {
        out.leave_out(Left::Around, 0);
    }
    out
}

fn line_start(text: &str, at: usize) -> usize {
    let is_blank = |c: char| c != '\n' && c.is_whitespace();
    let before = text[..at].trim_end_matches(is_blank);
    // An item that shares its line with another one starts where it starts.
    if before.is_empty() || before.ends_with('\n') { before.len() } else { at }
}

/// Where the name of an item stands; where its declaration begins if the name comes behind a body.
fn declared_at(item: &code::Item) -> usize {
    let at = item.name_bytes.start;
    if item.signature.contains(&at) { at } else { item.signature.start }
}

fn symbol(input: &Input, item: &code::Item) -> Symbol {
    let signature = input.text.get(item.signature.clone()).unwrap_or_default();
    let signature = signature.split_whitespace().collect::<Vec<_>>().join(" ");
    Symbol {
        name: item.name.clone(),
        kind: item.kind.to_owned(),
        bytes: item.bytes.clone(),
        lines: input.lines.span(&item.bytes),
        depth: item.depth.min(255) as u8,
        signature: clip(&signature, 300).to_owned(),
    }
}

fn code_chunk(input: &Input, items: &[code::Item], bytes: Range<usize>) -> Chunk {
    let around = code::enclosing(items, bytes.start);
    let around: Vec<&code::Item> = around
        .into_iter()
        .map(|idx| &items[idx])
        .filter(|item| item.bytes.start < bytes.start)
        .collect();
    let mut header = String::new();
    for item in &around {
        let text = input.text.get(item.signature.clone()).unwrap_or(&item.name);
        push_header(&mut header, &text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let first = items.partition_point(|item| item.bytes.start < bytes.start);
    let inside = items[first..].iter().take_while(|item| item.bytes.start < bytes.end);
    let defined: Vec<&code::Item> = inside.collect();
    let symbol = defined.first().or(around.last().as_ref().map(|i| *i)).map(|i| i.name.clone());
    let names: Vec<&str> = defined.iter().map(|item| item.name.as_str()).collect();
    Chunk {
        lines: input.lines.span(&bytes),
        bytes,
        header: clip(&header, HEADER_BYTES_MAX).to_owned(),
        heading: None,
        symbol,
        names: names.join("\n"),
    }
}

/// Appends a level to a heading path.
pub fn push_header(header: &mut String, text: &str) {
    if text.is_empty() {
        return;
    }
    if !header.is_empty() {
        header.push_str(" > ");
    }
    header.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Graphemes of one character and of several, and what stands between words and lines.
    const SIGNS: &str = "(a|\u{e9}|e\u{301}|東|각|👩\u{200d}👩\u{200d}👧|🇩🇪\
                         | |\u{3000}| \u{301}|\n|\r\n){0,400}";

    proptest! {
        #[test]
        fn lines_start_behind_line_ends(text in "[a\n\u{e9}]{0,1400}", at in 0usize..3_000) {
            let lines = LineIndex::new(&text);
            let ends = text.match_indices('\n').map(|(at, _)| at + 1);
            let mut starts: Vec<usize> = std::iter::once(0).chain(ends).collect();
            if text.ends_with('\n') {
                starts.pop();
            }
            prop_assert_eq!(lines.count() as usize, starts.len());
            let line = starts.iter().filter(|start| **start <= at).count();
            prop_assert_eq!(lines.line(at) as usize, line);
            for (n, start) in starts.iter().enumerate() {
                let end = starts.get(n + 1).copied().unwrap_or(text.len());
                prop_assert_eq!(lines.bytes(n as u32 + 1, n as u32 + 1), *start..end);
            }
        }

        #[test]
        fn chunks_tile_the_text(
            text in "([a-z \n#é東👩‍👩‍👧]{0,40}){0,30}",
            cuts in proptest::collection::vec((0usize..400, any::<bool>()), 0..12),
            max in 8usize..120,
        ) {
            let borders: Vec<Border> =
                cuts.iter().map(|&(at, hard)| Border { at, hard }).collect();
            let ranges = cut(&text, &borders, Rule { min: max / 3, max });
            let mut at = 0;
            for range in &ranges {
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end > range.start);
                prop_assert!(text.is_char_boundary(range.end));
                at = range.end;
            }
            prop_assert_eq!(at, text.len());
        }

        #[test]
        fn no_border_splits_a_grapheme(
            text in SIGNS,
            every in 1usize..9,
            max in 8usize..120,
        ) {
            let starts = text.match_indices('\n').map(|(at, _)| at + 1);
            let borders: Vec<Border> = starts
                .step_by(every)
                .map(|at| Border { at, hard: at % 2 == 0 })
                .collect();
            for range in cut(&text, &borders, Rule { min: max / 3, max }) {
                prop_assert!(is_between_graphemes(&text, range.start), "{range:?} of {text:?}");
            }
        }

        #[test]
        fn a_text_without_spaces_is_cut_between_graphemes(n in 20usize..60) {
            let text = "👩‍👩‍👧é".repeat(n);
            let rule = Rule { min: 10, max: 64 };
            for range in cut(&text, &[], rule) {
                let mut cursor = GraphemeCursor::new(range.start, text.len(), true);
                prop_assert!(cursor.is_boundary(&text, 0).unwrap());
            }
        }
    }

    /// What is parsed of code of which `found` is known.
    fn coded(text: &str, found: code::Items) -> Parsed {
        let lines = LineIndex::new(text);
        parsed_code(&Input { path: "a.rs", text, lines: &lines }, found)
    }

    #[test]
    fn definitions_that_are_left_out_are_said_and_found_by_their_words() {
        let text = "fn f() {}\n".repeat(SYMBOLS_MAX + 5);
        let items = (0..SYMBOLS_MAX + 5).map(|n| code::Item {
            name: "f".to_owned(),
            kind: "function",
            bytes: n * 10..n * 10 + 9,
            name_bytes: n * 10 + 3..n * 10 + 4,
            signature: n * 10..n * 10 + 6,
            depth: 0,
        });
        let found = code::Items { items: items.collect(), complete: true, ..Default::default() };
        let parsed = coded(&text, found);
        assert_eq!(parsed.symbols.len(), SYMBOLS_MAX);
        assert_eq!(
            parsed.chunks.last().map(|c| (c.bytes.end, c.names.lines().next().unwrap())),
            Some((text.len(), "f"))
        );
        assert!(parsed.left_out().unwrap().contains("definitions"));
        let late = coded("fn f() {}\n", code::Items { out_of_time: true, ..Default::default() });
        assert!(late.left_out().unwrap().contains("2 s") && late.chunks.len() == 1);
        let whole = coded("fn f() {}\n", code::Items { complete: true, ..Default::default() });
        assert_eq!(whole.left_out(), None);
    }

    #[test]
    fn passages_are_never_many_times_as_many_as_full_ones() {
        let texts = [
            "a\n".repeat(100_000),
            format!("{}\n\nb\n\n", "a".repeat(899)).repeat(200),
            format!(" x{}", "y".repeat(2_000)).repeat(100),
            format!("a\n{}", "b".repeat(900)).repeat(200),
        ];
        for text in texts {
            for every in [1, 7, 160, 900] {
                let borders: Vec<Border> = (0..text.len())
                    .step_by(every)
                    .map(|at| Border { at, hard: at % 2 == 0 })
                    .collect();
                let n = cut(&text, &borders, NOTE_RULE).len();
                assert!(n <= text.len() / 100 + 2, "{n} of {} bytes", text.len());
            }
        }
    }

    #[test]
    fn lines_are_counted_as_editors_count_them() {
        let lines = LineIndex::new("a\nb\n");
        assert_eq!(lines.count(), 2);
        assert_eq!(lines.span(&(0..4)), (1, 2));
        assert_eq!(lines.bytes(2, 2), 2..4);
        assert_eq!(LineIndex::new("").count(), 1);
        assert_eq!((LineIndex::new("").bytes(1, 9), LineIndex::new("").line(0)), (0..0, 1));
        assert_eq!((LineIndex::new("\n").count(), LineIndex::new("a\n\n").count()), (1, 2));
    }
}
