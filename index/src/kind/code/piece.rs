//! Says where a long text is cut into pieces, and with what else of it each is parsed.
//!
//! A piece ends before a line that begins like one of the outermost level. Code that has none for
//! long, a class of a thousand methods, is parsed to its end: to cut within it would lose what is
//! around, and only a parser tells a line of code from one of a string. Two kinds of text are cut
//! all the same. PHP keeps all of it behind a tag and knows by its brackets (`code/php.rs`) what is
//! open at a cut, which is parsed with the piece. Lines that no piece holds, minified code as a
//! rule, are cut behind the last node that the tree of the piece has whole: a cut within a string
//! would turn all behind it inside out. It knows no grammar.
//! Invariant: the next piece begins behind the start of the one before.

use std::cmp::Reverse;
use std::ops::Range;

use tree_sitter::{Node, Tree};

use super::language::Language;
use super::php::Php;

/// How deep what is around a cut may nest; deeper ones are data.
pub(super) const HEADS_MAX: usize = 16;
/// The longest text that opens one thing around a cut.
pub(super) const HEAD_BYTES_MAX: usize = 4 << 10;

/// Words that close what stands above them or go on with it; a line that begins with one begins
/// nothing.
const GOING_ON: &[&str] = &[
    "else",
    "elif",
    "elsif",
    "elseif",
    "except",
    "finally",
    "catch",
    "rescue",
    "ensure",
    "end",
    "fi",
    "done",
    "esac",
    "endif",
    "endfor",
    "endforeach",
    "endwhile",
];
/// How the kinds of nodes end that mean the same without what is around them.
const ALONE: &[&str] =
    &["statement", "_declaration", "_definition", "_item", "_set", "_rule", "element"];

/// A place between two pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub at: usize,
    /// Parts of the text that open what is around it, in order.
    pub before: Vec<Range<usize>>,
    /// Parts of the text that close that, in order.
    pub after: Vec<Range<usize>>,
    /// Whether it may be within something that `before` does not open.
    pub is_inside: bool,
}

/// What is parsed of a text between two cuts, in order; nothing says that it is the whole text.
pub(super) fn parts(text: &str, from: &Cut, to: &Cut) -> Vec<Range<usize>> {
    if from.at == 0 && to.at == text.len() {
        return Vec::new();
    }
    let between = std::iter::once(from.at..to.at);
    let all = from.before.iter().cloned().chain(between).chain(to.after.iter().cloned());
    let mut end = 0;
    let ahead = all.map(|part| {
        let part = part.start.max(end)..part.end;
        end = end.max(part.end);
        part
    });
    ahead.filter(|part| !part.is_empty()).collect()
}

/// Finds the cuts of one text.
pub(super) struct Pieces<'t> {
    text: &'t str,
    bytes_max: usize,
    /// What the start of the piece is in, if the language has tags.
    php: Option<Php>,
}

impl<'t> Pieces<'t> {
    pub fn new(language: &Language, text: &'t str) -> Self {
        let php = language.is_tagged.then(Php::default);
        Pieces { text, bytes_max: language.piece_bytes_max, php }
    }

    /// Where the piece that begins at `from` ends. One that is inside of something is a guess,
    /// which `settle` replaces once the piece is parsed as far as that.
    pub fn next(&mut self, from: usize) -> Cut {
        let bytes = self.text.as_bytes();
        if bytes.len() - from <= self.bytes_max {
            return Cut { at: bytes.len(), ..Cut::default() };
        }
        if let Some(php) = &mut self.php {
            php.advance(bytes, from);
        }
        let window = from + self.bytes_max / 2..from + self.bytes_max;
        let cut = match self.php {
            Some(_) => self.best_line(window.clone()).and_then(|line| self.at_line(&line)),
            None => self.outermost(from).map(|at| Cut { at, ..Cut::default() }),
        };
        // Code without blanks has a node for every other byte, and a tree twice as large.
        let narrow = from + self.bytes_max / 4..from + self.bytes_max / 2;
        cut.unwrap_or_else(|| self.inside(rough(self.text, narrow), true))
    }

    /// The last line that begins like one of the outermost level, behind an empty line if there is
    /// such a one in the second half of what may be a piece; else the next one, or the end. `None`
    /// where most of what is before it are lines longer than half a piece: a class may hold one.
    fn outermost(&self, from: usize) -> Option<usize> {
        let bytes = &self.text.as_bytes()[from..];
        let is_outermost = |at: &usize| {
            let (before, first) = (bytes[at - 1], bytes[*at]);
            before == b'\n'
                && (first.is_ascii_alphabetic() || b"#@/_[<".contains(&first))
                && !is_any(GOING_ON, word(&bytes[*at..]))
        };
        let is_apart = |at: &usize| {
            let before = &bytes[..at - 1];
            before.ends_with(b"\n") || before.ends_with(b"\n\r")
        };
        let (half, most) = (self.bytes_max / 2, self.bytes_max);
        let may_end = || (half.max(1)..most).rev().filter(is_outermost);
        if let Some(at) = may_end().find(is_apart).or_else(|| may_end().next()) {
            return Some(from + at);
        }
        let end = (most..bytes.len()).find(is_outermost).unwrap_or(bytes.len());
        let lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::len);
        let in_long: usize = lines.filter(|length| *length > half).sum();
        (in_long <= end / 2).then_some(from + end)
    }

    /// Where the piece really ends that begins at `from` and was parsed as far as `guess`, and
    /// whether it may hold the inside of something that it does not open: behind the last whole
    /// node of its second half, else behind the last statement, else behind the line of `guess`,
    /// for then the rest of the piece is one token.
    pub fn settle(&self, tree: &Tree, from: &Cut, guess: usize) -> (Cut, bool) {
        let half = from.at.midpoint(guess);
        let found = whole(tree, half..guess)
            .or_else(|| whole(tree, from.at..guess).filter(|whole| whole.is_alone));
        match found {
            Some(whole) => {
                let is_inside = from.is_inside || !whole.is_outermost;
                (self.inside(whole.end, is_inside), is_inside)
            }
            None => (self.beyond(guess), true),
        }
    }

    /// The best line of `window` to begin a piece of PHP with: in the fewest brackets; one that
    /// begins something; of those the one that is indented least, behind an empty line, and the
    /// last.
    fn best_line(&self, window: Range<usize>) -> Option<Line> {
        let bytes = self.text.as_bytes();
        let mut php = self.php.clone()?;
        let above = bytes.get(window.start.checked_sub(1)?..window.end)?;
        let first = window.start + above.iter().position(|byte| *byte == b'\n')?;
        let lines = lines_from(bytes, first).take_while(|line| line.at < window.end);
        let ranked = lines.filter(|line| !line.is_closing(bytes)).filter_map(|line| {
            php.advance(bytes, line.at);
            let depth = php.may_cut().then_some(php.depth)?;
            let (begins, is_apart) = (line.begins(bytes), line.is_apart(bytes));
            Some(((Reverse(depth), begins, Reverse(line.indent), is_apart), line))
        });
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, line)| line)
    }

    /// The cut before a line; `None` where too much is around it.
    fn at_line(&self, line: &Line) -> Option<Cut> {
        let (before, after) = match self.php_at(line.at) {
            Some(php) => php.around(self.text.as_bytes())?,
            None => (Vec::new(), Vec::new()),
        };
        let is_inside = self.php.is_none() && line.indent > 0;
        Some(Cut { at: line.at, before, after, is_inside })
    }

    /// The cut at a byte of which nothing is known but whether it is inside of something.
    fn inside(&self, at: usize, is_inside: bool) -> Cut {
        let before = self.php_at(at).map(|php| php.tag()).into_iter().collect();
        Cut { at, before, after: Vec::new(), is_inside }
    }

    /// The cut behind the line that byte `at` is in, or there if it is the last one.
    fn beyond(&self, at: usize) -> Cut {
        let bytes = self.text.as_bytes();
        let mut php = self.php.clone();
        let may_cut = |line: &Line| match &mut php {
            None => true,
            Some(php) => {
                php.advance(bytes, line.at);
                php.may_cut()
            }
        };
        let end = bytes[at..].iter().position(|byte| *byte == b'\n').map(|end| at + end + 1);
        let lines =
            end.map(|end| lines_from(bytes, end).filter(move |line| !line.is_closing(bytes)));
        let next = lines.and_then(|mut lines| lines.find(may_cut));
        next.and_then(|line| self.at_line(&line)).unwrap_or_else(|| self.inside(at, true))
    }

    fn php_at(&self, at: usize) -> Option<Php> {
        let mut php = self.php.clone()?;
        php.advance(self.text.as_bytes(), at);
        Some(php)
    }
}

/// A place in `window` where most code may be cut: behind a `;` or `}`, else a blank, else at its
/// end.
fn rough(text: &str, window: Range<usize>) -> usize {
    let bytes = &text.as_bytes()[window.clone()];
    let behind =
        |is_end: fn(&u8) -> bool| bytes.iter().rposition(is_end).map(|at| window.start + at + 1);
    let found = behind(|byte| matches!(byte, b';' | b'}'));
    found.or_else(|| behind(u8::is_ascii_whitespace)).unwrap_or_else(|| {
        let mut at = window.end;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    })
}

/// A node that a tree has whole.
struct Whole {
    end: usize,
    /// Whether what is behind it is likely to read as it does now.
    is_alone: bool,
    /// Whether nothing is around it.
    is_outermost: bool,
}

/// The node that ends last within `within`, of those that most likely mean the same without what is
/// around them, and of these the outermost ones. A text that ends anywhere leaves open brackets on
/// the level of what stands in them, so both they and the levels of the tree are counted.
fn whole(tree: &Tree, within: Range<usize>) -> Option<Whole> {
    let root = tree.root_node();
    let mut best: Option<(bool, usize, Reverse<usize>)> = None;
    let mut next = Some((root, 0_usize));
    while let Some((node, depth)) = next.take() {
        let mut cursor = node.walk();
        let mut open = 0_usize;
        for child in node.children(&mut cursor) {
            match child.kind() {
                "{" | "(" | "[" => open += 1,
                "}" | ")" | "]" => open = open.saturating_sub(1),
                _ => {}
            }
            let end = child.end_byte();
            if end >= within.end || child.has_error() {
                next = Some((child, depth + open + 1));
            } else if end > within.start && may_end(node, child) {
                let rank = (!is_alone(child), depth + open, Reverse(end));
                if best.is_none_or(|best| rank < best) {
                    best = Some(rank);
                }
            }
        }
    }
    let (is_part, depth, Reverse(end)) = best?;
    Some(Whole { end, is_alone: !is_part, is_outermost: depth == 0 && !root.is_error() })
}

/// Whether a piece may end behind `child`. Single words of what could not be read may be those of a
/// string.
fn may_end(parent: Node<'_>, child: Node<'_>) -> bool {
    child.is_named() && !child.is_extra() && (!parent.is_error() || child.child_count() > 0)
}

fn is_alone(node: Node<'_>) -> bool {
    ALONE.iter().any(|end| node.kind().ends_with(end))
}

/// A line that is not empty.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: usize,
    /// Behind its line end.
    end: usize,
    /// Blanks at its head, in bytes.
    indent: usize,
}

impl Line {
    fn of(bytes: &[u8], part: Range<usize>) -> Option<Self> {
        let line = bytes.get(part.clone())?;
        let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let is_empty = matches!(line.get(indent)?, b'\n' | b'\r');
        (!is_empty).then_some(Line { at: part.start, end: part.end, indent })
    }

    /// Its text without the blanks at its head.
    fn body<'t>(&self, bytes: &'t [u8]) -> &'t [u8] {
        &bytes[self.at + self.indent..self.end]
    }

    /// The word that it begins with.
    fn word<'t>(&self, bytes: &'t [u8]) -> &'t [u8] {
        word(self.body(bytes))
    }

    /// Whether it begins like a definition or a statement.
    fn begins(&self, bytes: &[u8]) -> bool {
        let word = self.word(bytes);
        let first = self.body(bytes).first();
        first.is_some_and(|first| first.is_ascii_alphabetic() || b"#@/_[<".contains(first))
            && !is_any(GOING_ON, word)
    }

    /// Whether a piece must not begin with it.
    fn is_closing(&self, bytes: &[u8]) -> bool {
        let body = self.body(bytes);
        matches!(body.first(), Some(b'{' | b'}' | b')' | b']'))
            || body.starts_with(b"</")
            || body.starts_with(b"*/")
    }

    /// Whether an empty line is above it.
    fn is_apart(&self, bytes: &[u8]) -> bool {
        let above = &bytes[..self.at.saturating_sub(1)];
        above.ends_with(b"\n") || above.ends_with(b"\n\r")
    }
}

/// The word that a text begins with.
fn word(text: &[u8]) -> &[u8] {
    let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    &text[..text.iter().take_while(is_word).count()]
}

fn is_any(words: &[&str], word: &[u8]) -> bool {
    words.iter().any(|known| known.as_bytes() == word)
}

/// The lines from `from` on, where one begins.
fn lines_from(bytes: &[u8], from: usize) -> impl Iterator<Item = Line> {
    let mut next = from;
    std::iter::from_fn(move || {
        while next < bytes.len() {
            let at = next;
            let length = bytes[at..].iter().position(|byte| *byte == b'\n');
            next = length.map_or(bytes.len(), |length| at + length + 1);
            if let Some(line) = Line::of(bytes, at..next) {
                return Some(line);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{LANGUAGES, parse, ranges, reader};
    use super::*;

    fn language(name: &str, bytes_max: usize) -> Language {
        let known = LANGUAGES.iter().find(|language| language.name == name).unwrap();
        Language { piece_bytes_max: bytes_max, ..*known }
    }

    /// What each piece of a text is parsed with, as long as no cut needs a tree.
    fn split<'t>(name: &str, text: &'t str, bytes_max: usize) -> Vec<Vec<&'t str>> {
        let language = language(name, bytes_max);
        let (mut pieces, mut from) = (Pieces::new(&language, text), Cut::default());
        let mut out = Vec::new();
        while from.at < text.len() {
            let to = pieces.next(from.at);
            assert!(from.at < to.at && to.at - from.at <= bytes_max && !to.is_inside, "{to:?}");
            let parts = parts(text, &from, &to);
            assert_eq!(ranges(text, &parts).len(), parts.len());
            assert!(parts.windows(2).all(|two| two[0].end <= two[1].start), "{parts:?}");
            out.push(parts.into_iter().map(|part| &text[part]).collect());
            from = to;
        }
        out
    }

    #[test]
    fn pieces_begin_where_something_does() {
        let text = "fn a() {\n    a;\n}\n\nfn b() {\n    b;\n}\nfn c() {\n}\n";
        let (a, b) = text.split_at(text.find("fn b").unwrap());
        assert_eq!(split("rust", text, 38), [[a], [b]]);
        // What is inside of something goes with it, however long, unless a line is too long.
        let long =
            Language { piece_bytes_max: 40, ..*LANGUAGES.iter().find(|l| l.name == "c").unwrap() };
        let inner = "int a[] = {\n    1, 2, 3,\n    4, 5, 6,\n    7, 8, 9,\n};\nint b;\n";
        let at = inner.find("int b").unwrap();
        assert_eq!(Pieces::new(&long, inner).next(0), Cut { at, ..Cut::default() });
        let line = format!("int a[] = {{\n    {}\n}};\nint b;\n", "1, ".repeat(20));
        assert!(Pieces::new(&long, &line).next(0).is_inside);
        let one = "    a_long_name_of_something,\n";
        let most = format!(
            "int a[] = {{\n{}{one}{}}};\nint b;\n",
            "    1,\n".repeat(8),
            "    2,\n".repeat(8)
        );
        let at = most.find("int b").unwrap();
        assert_eq!(Pieces::new(&long, &most).next(0), Cut { at, ..Cut::default() });
    }

    #[test]
    fn pieces_of_php_begin_in_code_or_html_and_never_in_a_string() {
        let (a, c) = ("<?php\n$a = <<<X\nfunction b() {\nX;\n", "$c = '\nclass D\n';\n");
        let (e, f) = ("/*\nclass E\n*/\n", "class F {}\n");
        let text = [a, c, e, f].concat();
        let (tag, ce, cef) = ("<?php\n", [c, e].concat(), [c, e, f].concat());
        assert_eq!(split("php", &text, 40), [vec![a], vec![tag, ce.as_str()], vec![tag, f]]);
        assert_eq!(split("php", &text, 50), [vec![a], vec![tag, cef.as_str()]]);
        let html = "<?php class A {\n    function b() { ?>\n<p>it's {</p>\n";
        let rest = "<?php }\n\n    function c() {}\n\n";
        let last = "    // d\n    function d() {}\n}\n";
        let text = [html, rest, last].concat();
        let expected = [vec![html], vec![rest, "}"], vec!["<?php ", "class A {", last]];
        assert_eq!(split("php", &text, 60), expected);
    }

    #[test]
    fn without_lines_a_text_is_cut_at_a_character_behind_what_ends_something() {
        for (text, window, at) in
            [("a;b c", 0..4, 2), ("a;b;c", 1..3, 2), ("ab c d", 0..5, 5), ("abé", 0..3, 2)]
        {
            assert_eq!(rough(text, window), at, "{text}");
        }
        let text = "aaaa\n\n}\nfn f() {}\n";
        let language = language("rust", 4);
        let pieces = Pieces::new(&language, text);
        assert_eq!(pieces.beyond(2), Cut { at: 8, ..Cut::default() });
        assert_eq!(pieces.beyond(9), Cut { at: 9, is_inside: true, ..Cut::default() });
        assert!(Pieces::new(&language, &"x".repeat(9)).next(0).is_inside);
    }

    #[test]
    fn the_last_whole_node_is_found() {
        let mut reader = reader(&language("javascript", usize::MAX)).unwrap();
        let mut found = |text: &str| {
            let deadline = Instant::now() + Duration::from_secs(60);
            let tree = parse(&mut reader.parser, text, &[], deadline).unwrap();
            let whole = whole(&tree, text.len() / 4..text.len());
            whole.map(|whole| (text[..whole.end].to_owned(), whole.is_alone, whole.is_outermost))
        };
        let outermost = "function a(){f(1)}function b(){g(2);h(\"}\")}";
        let expected = (outermost.to_owned(), true, true);
        assert_eq!(found(&format!("{outermost}function c(){{i(")), Some(expected));
        let inner = "!function(){var a=1;function b(){g(\"};\")}";
        let expected = (inner.to_owned(), true, false);
        assert_eq!(found(&format!("{inner}function c(){{i(")), Some(expected));
        assert_eq!(found("x=\"function f(){} of a long string; that goes on and"), None);
    }
}
