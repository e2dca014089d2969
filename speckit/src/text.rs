//! Lines of a Markdown document with their bytes, and which of them are not prose.
//!
//! Knows code fences, comments, headings, bullets and checkboxes; not what they mean. It never
//! changes a document: whoever edits one splices bytes at the offsets that are given here.
//! Invariant: the lines of a text and their endings, joined, are the text.

use std::borrow::Cow;
use std::ops::Range;

/// A code span that is longer is not looked to the end of: many open ones in one line would each
/// be searched to its end.
const SPAN_BYTES_MAX: usize = 4_096;

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Line<'a> {
    /// From one.
    pub number: usize,
    /// Byte offset in the document.
    pub start: usize,
    /// Without its ending.
    pub raw: &'a str,
    /// `\n`, `\r\n`, or nothing at the end of the document.
    pub ending: &'a str,
    /// `raw` with spaces over comments, as long as `raw`.
    pub shown: Cow<'a, str>,
    /// Inside a code fence or wholly inside a comment.
    pub hidden: bool,
    /// It begins inside a code fence or a comment of a line above.
    pub inside: bool,
}

/// A bullet with a box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkbox<'a> {
    pub indent: usize,
    /// Byte offset in the document of the character between the brackets.
    pub mark: usize,
    pub done: bool,
    pub rest: &'a str,
}

impl<'a> Line<'a> {
    /// Byte offset behind the ending.
    pub fn end(&self) -> usize {
        self.start + self.raw.len() + self.ending.len()
    }

    /// Level and text of a heading.
    pub fn heading(&self) -> Option<(usize, &str)> {
        if self.hidden {
            return None;
        }
        let text = self.shown.trim_start_matches('\u{feff}');
        let inner = text.trim_start_matches(' ');
        if text.len() - inner.len() > 3 {
            return None;
        }
        let text = inner;
        let level = text.bytes().take_while(|b| *b == b'#').count();
        let rest = &text[level..];
        if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return None;
        }
        let rest = rest.trim();
        let bare = rest.trim_end_matches('#');
        Some((level, if bare.ends_with(' ') || bare.is_empty() { bare.trim() } else { rest }))
    }

    /// Indentation and what follows the bullet.
    pub fn bullet(&self) -> Option<(usize, &str)> {
        if self.hidden {
            return None;
        }
        let text = self.shown.trim_start();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let rest = match digits {
            0 => text.strip_prefix(['-', '*', '+'])?,
            1..=4 => text[digits..].strip_prefix(['.', ')'])?,
            _ => return None,
        };
        rest.starts_with([' ', '\t']).then(|| (self.indent(), rest.trim_start()))
    }

    /// Columns before the text, a tab counted as four.
    pub fn indent(&self) -> usize {
        columns(&self.shown)
    }

    /// The same before a comment, if the line begins with one.
    pub fn raw_indent(&self) -> usize {
        columns(self.raw)
    }

    /// The checkbox of a bullet.
    pub fn checkbox(&self) -> Option<Checkbox<'_>> {
        let (indent, text) = self.bullet()?;
        let inner = text.strip_prefix('[')?;
        let mark = inner.chars().next().filter(|c| matches!(c, ' ' | 'x' | 'X'))?;
        let rest = inner[1..].strip_prefix(']')?;
        if !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return None;
        }
        let at = self.start + (self.shown.len() - inner.len());
        Some(Checkbox { indent, mark: at, done: mark != ' ', rest: rest.trim() })
    }

    pub fn is_blank(&self) -> bool {
        self.raw.trim().is_empty()
    }

    /// A thematic break.
    pub fn is_rule(&self) -> bool {
        let text = self.raw.trim();
        text.len() >= 3 && (text.bytes().all(|b| b == b'-') || text.bytes().all(|b| b == b'*'))
    }
}

fn columns(text: &str) -> usize {
    let blank = text.chars().take_while(|c| c.is_whitespace());
    blank.map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

/// All lines of a document.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    pub lines: Vec<Line<'a>>,
    /// What was opened and never closed, and the line where.
    pub open: Option<(&'static str, usize)>,
}

/// A heading and what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// 1 to 6.
    pub level: usize,
    /// Without the signs.
    pub title: String,
    /// Line numbers, half open, up to the next heading of this level or a higher one.
    pub lines: Range<usize>,
}

/// The beginning of a text, at most `max` bytes, cut between characters.
pub(crate) fn head(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

struct Fence {
    sign: u8,
    length: usize,
    line: usize,
}

fn fence_at(text: &str) -> Option<(u8, usize, &str)> {
    let text = text.trim_start();
    let sign = *text.as_bytes().first().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = text.bytes().take_while(|b| *b == sign).count();
    let rest = &text[length..];
    (length >= 3 && !(sign == b'`' && rest.contains('`'))).then_some((sign, length, rest))
}

/// Spaces over the comments of a line; says whether one is still open behind it.
fn mask(raw: &str, mut inside: bool) -> (Cow<'_, str>, bool) {
    if !inside && !raw.contains("<!--") {
        return (Cow::Borrowed(raw), false);
    }
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    // Where the next comment begins: looked for once for each, not once for each code span.
    let mut sign = raw.find("<!--");
    while at < raw.len() {
        if inside {
            let end = raw[at..].find("-->").map_or(raw.len(), |found| at + found + 3);
            inside = !raw[at..end].ends_with("-->");
            out.extend(std::iter::repeat_n(' ', end - at));
            at = end;
            continue;
        }
        if sign.is_some_and(|sign| sign < at) {
            sign = raw[at..].find("<!--").map(|found| at + found);
        }
        let comment = sign.unwrap_or(raw.len());
        let end = match raw[at..comment].find('`') {
            // A comment sign in a code span is text.
            Some(code) => at + code + span(&raw[at + code..]),
            None => comment,
        };
        out.push_str(&raw[at..end]);
        at = end;
        inside = sign == Some(at);
        if inside {
            out.push_str("    ");
            at += 4;
        }
    }
    (Cow::Owned(out), inside)
}

/// Length of a code span that begins here; of its backticks if it does not end on this line.
pub(crate) fn span(text: &str) -> usize {
    let n = text.bytes().take_while(|b| *b == b'`').count();
    let text = head(text, n + SPAN_BYTES_MAX);
    let mut at = n;
    while let Some(next) = text[at..].find('`') {
        at += next;
        let run = text[at..].bytes().take_while(|b| *b == b'`').count();
        at += run;
        if run == n {
            return at;
        }
    }
    n
}

fn cut_lines(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |whole| {
        let start = at;
        at += whole.len();
        let raw = whole.strip_suffix('\n').map_or(whole, |l| l.strip_suffix('\r').unwrap_or(l));
        (start, raw, &whole[raw.len()..])
    })
}

/// Cuts a document into lines.
pub(crate) fn scan(text: &str) -> Scan<'_> {
    let mut lines = Vec::with_capacity(text.len() / 40);
    let mut fence: Option<Fence> = None;
    let mut comment: Option<usize> = None;
    for (at, (start, raw, ending)) in cut_lines(text).enumerate() {
        let number = at + 1;
        let inside = fence.is_some() || comment.is_some();
        let shown = Cow::Borrowed(raw);
        let mut line = Line { number, start, raw, ending, shown, hidden: false, inside };
        if let Some(open) = &fence {
            line.hidden = true;
            let closes = fence_at(raw).is_some_and(|(sign, length, rest)| {
                sign == open.sign && length >= open.length && rest.trim().is_empty()
            });
            if closes {
                fence = None;
            }
        } else if comment.is_none()
            && let Some((sign, length, _)) = fence_at(raw)
        {
            line.hidden = true;
            fence = Some(Fence { sign, length, line: number });
        } else {
            let (shown, open) = mask(raw, comment.is_some());
            line.hidden = shown.trim().is_empty() && !raw.trim().is_empty();
            line.shown = shown;
            comment = open.then(|| comment.unwrap_or(number));
        }
        lines.push(line);
    }
    let open = fence.map(|f| ("code fence", f.line)).or(comment.map(|line| ("comment", line)));
    Scan { lines, open }
}

/// Every heading with its range.
pub(crate) fn sections(lines: &[Line]) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::new();
    let last = lines.len() + 1;
    let mut open: Vec<usize> = Vec::new();
    for line in lines {
        let Some((level, title)) = line.heading() else { continue };
        while let Some(at) = open.pop_if(|at| out[*at].level >= level) {
            out[at].lines.end = line.number;
        }
        open.push(out.len());
        out.push(Section { level, title: title.to_owned(), lines: line.number..last });
    }
    out
}

/// The text of a half-open range of line numbers.
pub(crate) fn text_of<'a>(text: &'a str, lines: &[Line], range: &Range<usize>) -> &'a str {
    let at = |number: usize| lines.get(number - 1).map_or(text.len(), |line| line.start);
    let (start, end) = (at(range.start.max(1)), at(range.end.max(1)));
    text.get(start..end.max(start)).unwrap_or_default()
}

/// `range` without blank lines and rules at its end.
pub(crate) fn trimmed(lines: &[Line], range: Range<usize>) -> Range<usize> {
    let mut end = range.end;
    while end > range.start + 1
        && lines.get(end - 2).is_some_and(|line| line.is_blank() || line.is_rule())
    {
        end -= 1;
    }
    range.start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fences_and_comments_are_hidden() {
        let text = "a\n```text\n- [ ] T001 x\n~~~\n```\nb <!-- c\n- [ ] T002 y\n--> d\n`<!--` e\n";
        let scan = scan(text);
        let hidden: Vec<usize> = scan.lines.iter().filter(|l| l.hidden).map(|l| l.number).collect();
        assert_eq!(hidden, [2, 3, 4, 5, 7]);
        let inside: Vec<usize> = scan.lines.iter().filter(|l| l.inside).map(|l| l.number).collect();
        assert_eq!(inside, [3, 4, 5, 7, 8]);
        assert_eq!(scan.lines[5].shown, "b       ");
        assert_eq!(scan.lines[7].shown.trim(), "d");
        assert!(scan.open.is_none());
    }

    #[test]
    fn what_is_never_closed_is_said() {
        assert_eq!(scan("a\n````\n```\n").open, Some(("code fence", 2)));
        assert_eq!(scan("a\n<!-- b\n").open, Some(("comment", 2)));
    }

    #[test]
    fn headings_and_boxes() {
        let scan = scan("\u{feff}# A #\n##B\n  - [X] T001 x\r\n* [ ]\n- [y] n\n- [ ]n\n#\n");
        assert_eq!(scan.lines[0].heading(), Some((1, "A")));
        assert_eq!(scan.lines[1].heading(), None);
        let check = scan.lines[2].checkbox().unwrap();
        assert!(check.done && check.indent == 2 && check.rest == "T001 x");
        assert!(scan.lines[3].checkbox().is_some());
        assert!(scan.lines[4].checkbox().is_none() && scan.lines[5].checkbox().is_none());
        assert_eq!(scan.lines[6].heading(), Some((1, "")));
    }

    #[test]
    fn sections_nest() {
        let scan = scan("# A\n## B\nx\n### C\n## D\n");
        let ranges: Vec<_> = sections(&scan.lines).into_iter().map(|s| s.lines).collect();
        assert_eq!(ranges, [1..6, 2..5, 4..5, 5..6]);
        assert_eq!(text_of("# A\n## B\nx\n### C\n## D\n", &scan.lines, &(2..4)), "## B\nx\n");
    }

    proptest! {
        #[test]
        fn lines_joined_are_the_text(
            text in "([-#x \\[\\]`~<>!\r\n\u{feff}é]|```|<!--|-->){0,80}",
        ) {
            let scan = scan(&text);
            let joined: String = scan.lines.iter().flat_map(|l| [l.raw, l.ending]).collect();
            prop_assert_eq!(&joined, &text);
            for line in &scan.lines {
                prop_assert_eq!(line.raw.len(), line.shown.len());
                if let Some(check) = line.checkbox() {
                    prop_assert!(" xX".contains(&text[check.mark..check.mark + 1]));
                }
            }
            sections(&scan.lines);
        }
    }
}
