//! Says what a place of a PHP file is in: HTML, code, or a string or comment within code.
//!
//! Code stands between tags there, so a later piece of a long file must be told which of both it
//! begins in, and what is open there. No parser: it knows tags, quotes, comments and brackets,
//! looks at each byte once, and keeps nothing of what it has passed but the brackets that stand
//! open.

use std::ops::Range;

use super::piece::{HEAD_BYTES_MAX, HEADS_MAX};

/// Longest `{$...}` of a string, in bytes. Where one has no end, so many are looked at in vain.
const BRACED_BYTES_MAX: usize = 256;

/// Parts of a text, in order.
type Parts = Vec<Range<usize>>;

/// What a place is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Html,
    Code,
    /// A string that this byte ends.
    Quoted(u8),
    /// A comment that its line ends, or a closing tag.
    Remark,
    /// A comment that `*/` ends.
    Block,
    /// A text that ends at a line which begins with this word.
    Heredoc(Range<usize>),
}

/// A bracket that stands open.
#[derive(Clone, Debug)]
struct Open {
    /// The statement or the item up to the bracket: `class A extends B {`, `'b' => [`.
    head: Range<usize>,
    close: u8,
}

/// A look through a PHP file, as far as some byte of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Php {
    at: usize,
    mode: Mode,
    /// How many brackets of the code stand open.
    pub depth: usize,
    /// The outermost ones of them.
    open: Vec<Open>,
    /// Where the statement begins, or the item of a list.
    statement: usize,
    /// Whether it has only blanks and comments.
    is_bare: bool,
    /// The first tag that opens code, with a blank behind it; empty before that.
    tag: Range<usize>,
}

impl Php {
    /// Goes on to byte `to`; a tag or a quoted pair around it is passed whole.
    pub fn advance(&mut self, bytes: &[u8], to: usize) {
        while self.at < to.min(bytes.len()) {
            self.step(bytes);
        }
    }

    /// Whether a piece may begin here: what begins in a string would be read inside out.
    pub fn may_cut(&self) -> bool {
        matches!(self.mode, Mode::Html | Mode::Code)
    }

    /// The tag that must stand before what begins here; empty in HTML.
    pub fn tag(&self) -> Range<usize> {
        if self.mode == Mode::Html { 0..0 } else { self.tag.clone() }
    }

    /// The parts of the text that open what code here stands in, and parts that close that: the
    /// next brackets of their kinds, whosesoever they are. Where it really ends, the piece with
    /// that says. `None` where too much is open; nothing in HTML.
    pub fn around(&self, bytes: &[u8]) -> Option<(Parts, Parts)> {
        if self.mode == Mode::Html {
            return Some((Vec::new(), Vec::new()));
        }
        let is_long = |open: &Open| open.head.len() > HEAD_BYTES_MAX;
        if self.depth > self.open.len() || self.open.iter().any(is_long) {
            return None;
        }
        let heads = self.open.iter().map(|open| open.head.clone());
        let before = std::iter::once(self.tag.clone()).chain(heads).collect();
        let (mut after, mut from) = (Vec::new(), self.at);
        for open in self.open.iter().rev() {
            let rest = bytes.get(from..).unwrap_or_default();
            let Some(next) = rest.iter().position(|byte| *byte == open.close) else { break };
            after.push(from + next..from + next + 1);
            from += next + 1;
        }
        Some((before, after))
    }

    fn step(&mut self, bytes: &[u8]) {
        let rest = &bytes[self.at..];
        if self.mode == Mode::Code {
            return self.step_code(rest);
        }
        let (next, length) = match (&self.mode, rest) {
            (Mode::Html, [b'<', b'?', ..]) => {
                let length = tag_length(rest);
                if self.tag.is_empty() {
                    self.tag = self.at..self.at + length;
                }
                self.begin(self.at + length);
                (Some(Mode::Code), length)
            }
            (Mode::Remark, [b'?', b'>', ..]) => (Some(Mode::Html), 2),
            (Mode::Remark, [b'\n' | b'\r', ..]) => (Some(Mode::Code), 1),
            (Mode::Quoted(_), [b'\\', _, ..]) => (None, 2),
            (Mode::Quoted(b'"'), [b'{', b'$', ..]) => (None, braced(rest)),
            (Mode::Quoted(quote), [byte, ..]) if byte == quote => (Some(Mode::Code), 1),
            (Mode::Block, [b'*', b'/', ..]) => (Some(Mode::Code), 2),
            (Mode::Heredoc(word), _) if bytes[..self.at].ends_with(b"\n") => {
                match heredoc_end(rest, &bytes[word.clone()]) {
                    Some(length) => (Some(Mode::Code), length),
                    None => (None, 1),
                }
            }
            _ => (None, 1),
        };
        self.at += length;
        if let Some(mode) = next {
            let is_remark = matches!(self.mode, Mode::Remark | Mode::Block);
            self.mode = mode;
            if is_remark && self.is_bare {
                // A statement goes without the comments above it.
                self.begin(self.at);
            }
        }
    }

    fn step_code(&mut self, rest: &[u8]) {
        let at = self.at;
        let (next, length) = match rest {
            [b'?', b'>', ..] => (Mode::Html, 2),
            [b'/', b'/', ..] => (Mode::Remark, 2),
            [b'/', b'*', ..] => (Mode::Block, 2),
            [b'#', other, ..] if *other != b'[' => (Mode::Remark, 1),
            [quote @ (b'"' | b'\'' | b'`'), ..] => (Mode::Quoted(*quote), 1),
            [b'<', b'<', b'<', ..] => match heredoc(rest) {
                Some((word, length)) => (Mode::Heredoc(at + word.start..at + word.end), length),
                None => (Mode::Code, 3),
            },
            _ => (Mode::Code, 1),
        };
        self.is_bare &= match (&next, rest.first()) {
            (Mode::Code, Some(byte)) => byte.is_ascii_whitespace(),
            _ => matches!(next, Mode::Remark | Mode::Block),
        };
        self.mode = next;
        self.at += length;
        match rest.first() {
            Some(b'{') => {
                self.open(at, b'}');
                self.begin(self.at);
            }
            Some(b'(') => self.open(at, b')'),
            Some(b'[') => self.open(at, b']'),
            Some(b'}') => {
                self.close();
                self.begin(self.at);
            }
            Some(b')' | b']') => {
                if let Some(open) = self.close() {
                    self.statement = open.head.start;
                }
            }
            Some(b';') => self.begin(self.at),
            Some(b',') if self.open.last().is_some_and(|open| open.close != b'}') => {
                self.begin(self.at);
            }
            _ => {}
        }
    }

    /// Takes note of a bracket at byte `at`, which `close` closes.
    fn open(&mut self, at: usize, close: u8) {
        if self.open.len() == self.depth && self.depth < HEADS_MAX {
            self.open.push(Open { head: self.statement..at + 1, close });
        }
        self.depth += 1;
    }

    /// Takes note that the innermost bracket is closed.
    fn close(&mut self) -> Option<Open> {
        self.depth = self.depth.saturating_sub(1);
        if self.open.len() > self.depth { self.open.pop() } else { None }
    }

    /// Takes note of where a statement begins.
    fn begin(&mut self, at: usize) {
        self.statement = at;
        self.is_bare = true;
    }
}

/// The length of `<?php`, `<?=` or `<?`, which the grammar takes too, with a blank behind it.
fn tag_length(rest: &[u8]) -> usize {
    let name = match rest.get(2..5) {
        Some(name) if name.eq_ignore_ascii_case(b"php") => 3,
        _ => usize::from(rest.get(2) == Some(&b'=')),
    };
    let blank = rest.get(2 + name).is_some_and(u8::is_ascii_whitespace);
    2 + name + usize::from(blank)
}

/// The length of `{$...}` in a string, which may hold strings of its own; of the bracket where it
/// has no end.
fn braced(rest: &[u8]) -> usize {
    let mut open = 0_usize;
    for (at, byte) in rest.iter().take(BRACED_BYTES_MAX).enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return at + 1,
            b'}' => open -= 1,
            _ => {}
        }
    }
    1
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn blanks(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The word of `<<<WORD`, `<<<"WORD"` or `<<<'WORD'`, and how far it is to the line behind it.
fn heredoc(rest: &[u8]) -> Option<(Range<usize>, usize)> {
    let start = 3 + blanks(rest.get(3..)?);
    let quotes = usize::from(matches!(rest.get(start), Some(b'"' | b'\'')));
    let start = start + quotes;
    let length = rest.get(start..)?.iter().take_while(|byte| is_name(**byte)).count();
    let end = start + length;
    let line = match rest.get(end + quotes..)? {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => return None,
    };
    (length > 0).then_some((start..end, end + quotes + line))
}

/// The length of what ends a text with this word, at the head of the line that `rest` begins with.
fn heredoc_end(rest: &[u8], word: &[u8]) -> Option<usize> {
    let indent = blanks(rest);
    let behind = rest.get(indent..)?.strip_prefix(word)?;
    let is_longer = behind.first().is_some_and(|byte| is_name(*byte));
    (!is_longer).then_some(indent + word.len())
}

#[cfg(test)]
mod tests {
    use super::super::piece::{Cut, parts};
    use super::*;

    #[test]
    fn places_are_known() {
        let word = |text: &str, word: &str| {
            let at = text.find(word).unwrap();
            Mode::Heredoc(at..at + word.len())
        };
        let (here, now) = ("<?php $a = <<<SQL\nit's { ?>\n", "<? f(<<<'X'\r\n X2;\n  Xé\n");
        for (text, mode, depth) in [
            ("", Mode::Html, 0),
            ("it's <b>{ // ?", Mode::Html, 0),
            ("<?php ", Mode::Code, 0),
            ("<?PHP\n", Mode::Code, 0),
            ("<?= $a ?> it's", Mode::Html, 0),
            ("<?xml version=\"1.0\"?>\n", Mode::Html, 0),
            ("<?php function f() { ?> it's } <?php g([", Mode::Code, 3),
            ("<?php { // it's } ?>", Mode::Html, 1),
            ("<?php { # it's }\n", Mode::Code, 1),
            ("<?php #[Attr('?>')]\n", Mode::Code, 0),
            ("<?php #[", Mode::Code, 1),
            ("<?php // it's ", Mode::Remark, 0),
            ("<?php /* it's ?> {", Mode::Block, 0),
            ("<?php /* it's ?> { */ {", Mode::Code, 1),
            ("<?php /*/ {", Mode::Block, 0),
            ("<?php '?> \\' {", Mode::Quoted(b'\''), 0),
            ("<?php '?> \\' {\\\\' {", Mode::Code, 1),
            ("<?php \"it's ?> {", Mode::Quoted(b'"'), 0),
            ("<?php `it's ?> {", Mode::Quoted(b'`'), 0),
            ("<?php 'é\n' . \"\" }", Mode::Code, 0),
            ("<?php \"it {$a[\"it's\"]} x\" {", Mode::Code, 1),
            ("<?php \"it {$a[ x\" {", Mode::Code, 1),
            (here, word(here, "SQL"), 0),
            ("<?php $a = <<<SQL\nit's { ?>\nSQL;\n{", Mode::Code, 1),
            ("<?php f(<<<\"SQL\"\n  it's SQL\n  SQL);\n", Mode::Code, 0),
            (now, word(now, "X"), 1),
            ("<?php <<<SQL\n", word("<?php <<<SQL\n", "SQL"), 0),
            ("<?php <<<SQL {", Mode::Code, 1),
            ("<?php <<<", Mode::Code, 0),
        ] {
            let mut php = Php::default();
            php.advance(text.as_bytes(), text.len());
            assert_eq!((&php.mode, php.depth), (&mode, depth), "{text}");
            assert_eq!(php.may_cut(), matches!(mode, Mode::Html | Mode::Code), "{text}");
            // However often it is asked on the way.
            let mut steps = Php::default();
            (0..=text.len()).for_each(|to| steps.advance(text.as_bytes(), to));
            assert_eq!((&steps.mode, steps.depth, steps.at), (&php.mode, php.depth, php.at));
            php.advance(text.as_bytes(), text.len() + 9);
            assert_eq!(php.at, text.len(), "{text}");
        }
    }

    #[test]
    fn what_is_open_is_known() {
        for (text, rest, before, after) in [
            ("none", "", "", ""),
            ("<b><?php\nf(); ?> <?= 1", "", "<?php\n", ""),
            ("<?=$a ?> <b>", "", "", ""),
            ("<? f();", "", "<? ", ""),
            ("<?php class A {} f(1);", "", "<?php ", ""),
            ("<?php /* a */ class A\n{\n", "}", "<?php | class A\n{", "}"),
            (
                "<?php\n// a\n#[B]\nclass A { f(); function b() { return [g(",
                ")) x ] } } }",
                "<?php\n|#[B]\nclass A {| function b() {| return [|g(",
                ")|]|}|}",
            ),
            ("<?php if (a) {} for (;;) { ", "'}'", "<?php | for (;;) {", "}"),
            ("<?php f([1, 2], [3, 'b' => [", "]])", "<?php |f(| [| 'b' => [", "]|]|)"),
            (
                "<?php function f($a, $b = [1, 2]) {",
                "}",
                "<?php |function f($a, $b = [1, 2]) {",
                "}",
            ),
            ("<?php class A { ?> { <b> <?php ", "", "<?php |class A {", ""),
            ("<?php f(1, \"(\"", ")", "<?php |f(", ")"),
        ] {
            let whole = [text, rest].concat();
            let mut php = Php::default();
            php.advance(whole.as_bytes(), text.len());
            let (heads, tails) = php.around(whole.as_bytes()).unwrap();
            let to = Cut { at: text.len(), before: heads, after: tails, ..Cut::default() };
            let joined = |parts: Vec<Range<usize>>| {
                parts.into_iter().map(|part| &whole[part]).collect::<Vec<_>>().join("|")
            };
            let end = Cut { at: whole.len() + 1, ..Cut::default() };
            let mut parts = parts(&whole, &to, &end);
            parts.pop();
            assert_eq!(joined(parts), before, "{text}");
            assert_eq!(joined(to.after), after, "{text}");
        }
        let deep = format!("<?php {}", "[".repeat(HEADS_MAX + 1));
        let long = format!("<?php f('{}' . [", "a".repeat(HEAD_BYTES_MAX));
        for text in [&deep, &long] {
            let mut php = Php::default();
            php.advance(text.as_bytes(), text.len());
            assert_eq!(php.around(text.as_bytes()), None);
        }
    }
}
