//! What a document leaves open: `[NEEDS CLARIFICATION: question]`.
//!
//! Markers in code fences, comments and code spans are text about markers and do not count.

use crate::text::{Line, span};
use std::ops::Range;

const SIGN: &str = "NEEDS CLARIFICATION";

/// An open question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// What is asked; empty if the marker does not say.
    pub question: String,
    /// Line number.
    pub line: usize,
    /// Bytes of the whole marker in the document.
    pub bytes: Range<usize>,
}

impl Marker {
    /// Whether this is the question that is meant: case, and how it ends, do not matter.
    pub fn asks(&self, question: &str) -> bool {
        let plain = |text: &str| text.trim().trim_end_matches(['?', '.', '？']).to_lowercase();
        plain(&self.question) == plain(question)
    }
}

/// End of a bracketed marker that begins here, or of the line if it is never closed.
fn close(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth <= 1 => return at + 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    text.trim_end().len()
}

/// The markers of one line. `bare` also takes the words without brackets, as plans have them.
fn in_line(line: &Line, bare: bool, out: &mut Vec<Marker>) {
    let text = line.shown.as_ref();
    if line.hidden || !text.contains(SIGN) {
        return;
    }
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with('`') {
            at += span(rest);
            continue;
        }
        let bracketed = rest.strip_prefix('[').is_some_and(|inner| inner.starts_with(SIGN));
        if bracketed || bare && rest.starts_with(SIGN) {
            let end = if bracketed { close(rest) } else { SIGN.len() };
            let inner = rest[..end].trim_start_matches('[').trim_end_matches(']');
            let question = inner[SIGN.len()..].trim_start_matches([':', ' ', '-', '–', '—']).trim();
            let start = line.start + at;
            out.push(Marker {
                question: question.to_owned(),
                line: line.number,
                bytes: start..start + end,
            });
            at += end;
            continue;
        }
        at += rest.chars().next().map_or(1, char::len_utf8);
    }
}

pub(crate) fn markers(lines: &[Line], bare: bool) -> Vec<Marker> {
    let mut out = Vec::new();
    for line in lines {
        in_line(line, bare, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scan;

    #[test]
    fn markers_with_brackets_in_them_and_not_in_code() {
        let text = "a [NEEDS CLARIFICATION: b [c] d] e\n`[NEEDS CLARIFICATION]` \
                    [NEEDS CLARIFICATION]\n\
                    <!-- [NEEDS CLARIFICATION: x] -->\n- [NEEDS CLARIFICATION: open\n";
        let found = markers(&scan(text).lines, false);
        let questions: Vec<_> = found.iter().map(|m| (m.line, m.question.as_str())).collect();
        assert_eq!(questions, [(1, "b [c] d"), (2, ""), (4, "open")]);
        assert_eq!(&text[found[0].bytes.clone()], "[NEEDS CLARIFICATION: b [c] d]");
        assert_eq!(markers(&scan("**X**: NEEDS CLARIFICATION\n").lines, true).len(), 1);
    }
}
