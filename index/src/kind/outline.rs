//! What kinds that are read line by line share: headings that govern bytes, the passages under
//! them, and the pieces of which a text is made.
//!
//! Knows no kind. Invariant: one pass over headings and passages, however many there are.

use super::{Chunk, Input, Left, Parsed, Section};
use crate::chunk::{self, Border, clip, push_header};
use crate::limit::{HEADER_BYTES_MAX, MARKS_MAX};

/// Deepest level of a heading.
pub(super) const LEVEL_MAX: u8 = 6;

/// Longest value of a property that is kept, in bytes.
pub(super) const PROP_BYTES_MAX: usize = 2_000;

/// One line of a text.
#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    /// Its first byte in the text.
    pub at: usize,
    /// What stands on it, without the white space at its end.
    pub text: &'t str,
    /// Spaces and tabs at its head, in bytes.
    pub indent: usize,
}

impl<'t> Line<'t> {
    /// Whether nothing stands on it.
    pub fn blank(&self) -> bool {
        self.text.is_empty()
    }

    /// Its text without the indentation.
    pub fn body(&self) -> &'t str {
        self.text.trim_start()
    }

    /// The byte behind its text.
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// A fence of code that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    sign: char,
    length: usize,
}

impl Fence {
    /// The fence that a line without its indentation opens.
    pub fn opened_by(line: &str) -> Option<Self> {
        let sign = line.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
        let rest = line.trim_start_matches(sign);
        let length = line.len() - rest.len();
        // With the same sign behind it, it is code within a line.
        let inline = sign == '`' && rest.contains('`');
        (length >= 3 && !inline).then_some(Fence { sign, length })
    }

    /// Whether a line without its indentation closes it.
    pub fn is_closed_by(self, line: &str) -> bool {
        let rest = line.trim_start_matches(self.sign);
        line.len() - rest.len() >= self.length && rest.trim().is_empty()
    }

    /// What closes it.
    pub fn close(self) -> String {
        self.sign.to_string().repeat(self.length)
    }
}

/// A text of Markdown in which no fence stays open: it must not swallow what is put behind it.
pub(super) fn closed(text: &str) -> String {
    let mut open: Option<Fence> = None;
    for line in text.lines().map(str::trim_start) {
        open = match open {
            Some(fence) => (!fence.is_closed_by(line)).then_some(fence),
            None => Fence::opened_by(line),
        };
    }
    match open {
        Some(fence) => format!("{}\n{}", text.trim_end_matches('\n'), fence.close()),
        None => text.to_owned(),
    }
}

/// A text of more lines than are read as what it is: cut by its lines alone, which is said.
pub(super) fn by_lines(input: &Input) -> Option<Parsed> {
    if input.lines.count() as usize <= MARKS_MAX {
        return None;
    }
    let mut out = (super::text::PROSE.parse)(input);
    out.leave_out(Left::Structure, 0);
    Some(out)
}

/// The lines of a text.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    let mut out = Vec::new();
    for line in text.split_inclusive('\n') {
        let text = line.trim_end();
        let indent = text.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
        out.push(Line { at, text, indent });
        at += line.len();
    }
    out
}

/// A heading at byte `start`; [`close`] says where what it governs ends. Its text is bounded,
/// because every passage under it repeats it.
pub(super) fn section(input: &Input, level: usize, text: &str, start: usize) -> Section {
    let level = level.clamp(1, usize::from(LEVEL_MAX)) as u8;
    let line = input.lines.line(start);
    let text = clip(text, HEADER_BYTES_MAX).to_owned();
    Section { level, text, bytes: start..input.text.len(), line }
}

/// Ends every section at the next one of its level or above; `sections` stand in order.
pub(super) fn close(sections: &mut [Section], end: usize) {
    let mut next = [end; LEVEL_MAX as usize + 1];
    for section in sections.iter_mut().rev() {
        let level = usize::from(section.level.min(LEVEL_MAX));
        section.bytes.end = next.get(level).copied().unwrap_or(end);
        for at in next.iter_mut().skip(level) {
            *at = section.bytes.start;
        }
    }
}

/// Cuts the text at `borders`; each passage stands under the closed `sections` around it.
pub(super) fn chunks(
    input: &Input,
    title: &str,
    sections: &[Section],
    borders: &[Border],
) -> Vec<Chunk> {
    let mut waiting = sections.iter().peekable();
    let mut open: Vec<&Section> = Vec::new();
    let mut out = Vec::new();
    for bytes in chunk::cut(input.text, borders, chunk::NOTE_RULE) {
        // A chunk that opens with a heading stands under it.
        let text = input.text.get(bytes.clone()).unwrap_or_default();
        let at = bytes.start + (text.len() - text.trim_start().len());
        while let Some(section) = waiting.next_if(|section| section.bytes.start <= at) {
            leave(&mut open, section.bytes.start);
            open.push(section);
        }
        leave(&mut open, at);
        let mut header = String::new();
        for section in open.iter().filter(|section| section.text != title) {
            push_header(&mut header, &section.text);
        }
        out.push(Chunk {
            lines: input.lines.span(&bytes),
            bytes,
            header: clip(&header, HEADER_BYTES_MAX).to_owned(),
            heading: open.last().map(|section| section.text.clone()),
            symbol: None,
            names: String::new(),
        });
    }
    out
}

/// Leaves the sections that end at or before byte `at`.
fn leave(open: &mut Vec<&Section>, at: usize) {
    while open.last().is_some_and(|section| section.bytes.end <= at) {
        open.pop();
    }
}

/// The path and the anchor of a link as written; `None` where it leaves the source.
pub(super) fn local(dest: &str) -> Option<(String, Option<String>)> {
    let dest = dest.trim();
    let (path, anchor) = match dest.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor).filter(|anchor| !anchor.is_empty())),
        None => (dest, None),
    };
    let scheme = path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    if scheme || path.starts_with("//") || (path.is_empty() && anchor.is_none()) {
        return None;
    }
    Some((unescape(path), anchor.map(unescape)))
}

/// Percent-decoding that leaves broken escapes as they are.
fn unescape(text: &str) -> String {
    let Some((head, rest)) = text.split_once('%') else { return text.to_owned() };
    let mut out = head.as_bytes().to_vec();
    for piece in rest.split('%') {
        let hex = piece.get(..2).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend(piece.bytes().skip(2));
            }
            None => {
                out.push(b'%');
                out.extend(piece.bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `text` on one line, single spaces between its words.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Adds a piece of Markdown, a blank line before it; one of white space adds nothing.
pub(super) fn paragraph(text: &str, out: &mut String) {
    let text = text.trim_end().trim_start_matches(['\n', '\r']);
    if text.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(text);
    out.push('\n');
}

/// The items of a list that is written on one line, commas between them.
pub(super) fn split_list(value: &str) -> impl Iterator<Item = String> + '_ {
    value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty())
}

/// What must hold of every text that a kind cuts, and the texts that try it.
#[cfg(test)]
pub(super) mod proof {
    use crate::chunk::LineIndex;
    use crate::kind::{Input, Kind, Parsed};
    use crate::limit::{BLOCKS_MAX, LINKS_MAX, PROPS_MAX, SECTIONS_MAX};

    /// Parses `text` as the file `path` and checks what must hold of any parse.
    pub fn read(kind: &Kind, path: &str, text: &str) -> Parsed {
        let lines = LineIndex::new(text);
        let parsed = (kind.parse)(&Input { path, text, lines: &lines });
        let mut at = 0;
        for chunk in &parsed.chunks {
            assert_eq!(chunk.bytes.start, at, "chunks tile the text");
            assert!(text.get(chunk.bytes.clone()).is_some_and(|text| !text.is_empty()));
            at = chunk.bytes.end;
        }
        assert_eq!(at, text.len(), "chunks tile the text");
        assert!(parsed.chunks.len() <= text.len() / 100 + 2, "{} chunks", parsed.chunks.len());
        assert!(parsed.sections.len() <= SECTIONS_MAX && parsed.blocks.len() <= BLOCKS_MAX);
        assert!(parsed.links.len() <= LINKS_MAX && parsed.props.len() <= PROPS_MAX);
        for section in &parsed.sections {
            assert!(text.get(section.bytes.clone()).is_some(), "{section:?}");
            assert!((1..=6).contains(&section.level), "{section:?}");
        }
        let starts: Vec<usize> = parsed.sections.iter().map(|s| s.bytes.start).collect();
        assert!(starts.is_sorted(), "headings stand in order");
        for (id, bytes) in &parsed.blocks {
            assert!(text.get(bytes.clone()).is_some(), "{id} {bytes:?}");
        }
        for link in &parsed.links {
            assert!(!link.target.is_empty() || link.anchor.is_some(), "{link:?}");
            assert!(link.line >= 1 && link.line <= lines.count(), "{link:?}");
        }
        parsed
    }

    /// Reads texts that nobody writes: long lines, deep nesting, line ends of all kinds, and
    /// every mixture of `marks`.
    pub fn survives(kind: &Kind, path: &str, marks: &[&str]) {
        for text in ["", "\n", "\r\n\r\n", " ", "\t\n", "é", "a\r\nb", "\u{feff}x", "\u{c}\n"] {
            read(kind, path, text);
        }
        for mark in marks {
            let line = mark.len().max(1);
            read(kind, path, &mark.repeat(200_000 / line));
            read(kind, path, &format!("{mark}\n").repeat(200_000 / (line + 1)));
            read(kind, path, &format!("{mark}\r\n\r\n").repeat(200_000 / (line + 4)));
            let deep = |n: usize| format!("{}{mark}\n", " ".repeat(n % 600));
            read(kind, path, &(0..600).map(deep).collect::<String>());
        }
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut dice = |n: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % n.max(1) as u64) as usize
        };
        let joints = ["", "", " ", "\n", "\n", "\n\n", "\r\n", "é", "x", "words of it", "  "];
        for _ in 0..2_000 {
            let mut text = String::new();
            for _ in 0..dice(30) {
                text.push_str(marks.get(dice(marks.len())).unwrap_or(&""));
                text.push_str(joints.get(dice(joints.len())).unwrap_or(&""));
            }
            read(kind, path, &text);
        }
    }

    /// Level and text of every heading.
    pub fn outline(parsed: &Parsed) -> Vec<(u8, &str)> {
        parsed.sections.iter().map(|section| (section.level, section.text.as_str())).collect()
    }

    /// What a block holds that is called `id`; nothing where there is none.
    pub fn block<'t>(parsed: &Parsed, text: &'t str, id: &str) -> &'t str {
        let found = parsed.blocks.iter().find(|(known, _)| known == id);
        found.map_or("", |(_, bytes)| &text[bytes.clone()])
    }

    /// Target, anchor and text of every link.
    pub fn links(parsed: &Parsed) -> Vec<(&str, Option<&str>, &str)> {
        let links = parsed.links.iter();
        links.map(|l| (l.target.as_str(), l.anchor.as_deref(), l.text.as_str())).collect()
    }
}
