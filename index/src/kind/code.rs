//! Finds the items of a source text: functions, types, tests, keys, with names, ranges and nesting.
//!
//! It knows neither files nor chunks: a text and a language go in, ranges come out. Every grammar
//! is named in `code/language.rs`, and only this module speaks tree-sitter.
//! Invariant: items stand in order of start, parents before children; two items either nest or are
//! disjoint; every range lies inside the text and on char boundaries.

mod guard;
mod inside;
mod language;
mod native;
mod php;
mod piece;
mod read;
mod rule;
mod script;
#[cfg(test)]
mod tests;
mod walk;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

pub use language::{LANGUAGES, Language};
use piece::{Cut, Pieces};

/// The longest text that is parsed; larger ones are generated or data, and one parse of them would
/// hold a worker for seconds.
pub const PARSE_BYTES_MAX: usize = 2 << 20;
/// Texts that are longer are parsed piece by piece: a tree takes some fifty times the text of dense
/// code.
pub const PIECE_BYTES_MAX: usize = 128 << 10;
/// The longest JSON, YAML or TOML text that is parsed: beyond it, it is data and not configuration.
pub const DATA_BYTES_MAX: usize = 256 << 10;
/// The time the parse of a text may take, and again the walk over its tree with all that the walk
/// has parsed a second time (`code/inside.rs`).
pub const PARSE_MS_MAX: u64 = 2000;
/// The longest signature.
pub const SIGNATURE_BYTES_MAX: usize = 300;
/// The longest name, for names that are prose: headings, selectors, titles of tests.
pub const NAME_BYTES_MAX: usize = 200;

/// A definition in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The bare name as written: `get_user`, `Vec3`, `operator==`.
    pub name: String,
    /// One word: `function`, `method`, `class`, `struct`, `impl`, `module`, `const`, `key`, ...
    pub kind: &'static str,
    /// The whole item with its attached comments, attributes, decorators and prefixes.
    pub bytes: Range<usize>,
    /// Where the name stands.
    pub name_bytes: Range<usize>,
    /// From the start of the declaration proper up to its body, at most `SIGNATURE_BYTES_MAX`.
    pub signature: Range<usize>,
    /// How many items enclose it.
    pub depth: usize,
}

/// The items of one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Items {
    /// In order of `bytes.start`, parents before children.
    pub items: Vec<Item>,
    /// False where the text was too large or too deep, or the time ran out.
    pub complete: bool,
    /// The time ran out.
    pub out_of_time: bool,
    /// True where code was cut in the middle of something: what may be the inside of a function
    /// has no values among its items, and what a cut goes through may have no item.
    pub is_cut: bool,
    /// True where the grammar met something that it could not read.
    pub has_error: bool,
}

/// A parser and what each node kind of its grammar means: building them costs far more than one
/// small parse, and a parser may not be shared between threads.
struct Reader {
    parser: Parser,
    roles: Vec<rule::Role>,
}

thread_local! {
    static READERS: RefCell<HashMap<&'static str, Reader>> = RefCell::new(HashMap::new());
}

/// The language of a path: by exact file name, then by extension, both without regard to case.
pub fn by_path(path: &str) -> Option<&'static Language> {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let is_file = |language: &&Language| {
        language.file_names.iter().any(|known| known.eq_ignore_ascii_case(file))
    };
    if let Some(found) = LANGUAGES.iter().find(is_file) {
        return Some(found);
    }
    let (stem, extension) = file.rsplit_once('.')?;
    let by_extension = |language: &&Language| {
        language.extensions.iter().any(|known| known.eq_ignore_ascii_case(extension))
    };
    if stem.is_empty() { None } else { LANGUAGES.iter().find(by_extension) }
}

/// The language of a text at a path: headers of C and of C++ have one extension.
pub fn by_text(path: &str, text: &str) -> Option<&'static Language> {
    let language = by_path(path)?;
    let is_header = language.name == "c" && path.to_lowercase().ends_with(".h");
    if is_header && native::is_cpp(text) {
        return LANGUAGES.iter().find(|language| language.name == "cpp");
    }
    Some(language)
}

/// The items of `text`, which is in `language`. Never fails: what could not be read is left out,
/// and `complete` says when that is because of size or time.
pub fn items(language: &Language, text: &str) -> Items {
    items_within(language, text, Duration::from_millis(PARSE_MS_MAX))
}

/// The same with another time for the parse, and again for the walk.
fn items_within(language: &Language, text: &str, time: Duration) -> Items {
    if text.len() > language.bytes_max || guard::is_refused(language, text) {
        return Items::default();
    }
    let parsed = READERS.with_borrow_mut(|readers| {
        let reader = match readers.entry(language.name) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(reader(language)?),
        };
        Some(read_pieces(language, reader, text, time))
    });
    parsed.unwrap_or_default()
}

/// Reads a text whole, or a long one piece by piece.
fn read_pieces(language: &Language, reader: &mut Reader, text: &str, time: Duration) -> Items {
    let Reader { parser, roles } = reader;
    let mut pieces = Pieces::new(language, text);
    let (mut all, mut from) = (Items { complete: true, ..Items::default() }, Cut::default());
    let (mut to_parse, mut to_walk) = (time, time);
    while from.at < text.len() {
        let began = Instant::now();
        let guess = pieces.next(from.at);
        let inside = ranges(text, &piece::parts(text, &from, &guess));
        let Some(tree) = parse(parser, text, &inside, began + to_parse) else {
            all.out_of_time = true;
            all.complete = false;
            break;
        };
        let is_guess = guess.is_inside;
        let (to, is_local) =
            if is_guess { pieces.settle(&tree, &from, guess.at) } else { (guess, from.is_inside) };
        to_parse = to_parse.saturating_sub(began.elapsed());
        let began = Instant::now();
        let deadline = began + to_walk;
        let mut again = |inside| {
            let inside = clipped(text, inside, from.at..to.at);
            parse(parser, text, std::slice::from_ref(&inside), deadline)
        };
        let mut read = walk::walk(language, roles, &tree, text, deadline, is_local, &mut again);
        to_walk = to_walk.saturating_sub(began.elapsed());
        if is_guess {
            clip(&mut read.items, to.at);
        }
        let is_complete = read.complete;
        all.add(Items { is_cut: is_local, ..read }, from.at);
        if !is_complete {
            break;
        }
        from = to;
    }
    if text.len() > language.piece_bytes_max {
        // What is around several pieces nests only now.
        all.items = walk::tidy(text, all.items);
    }
    all
}

impl Items {
    /// Adds the items of a piece that begins at `from`. One that begins before that is around it,
    /// and so may be known.
    fn add(&mut self, read: Items, from: usize) {
        for item in read.items {
            let mut known = None;
            if item.bytes.start < from {
                known = self.items.iter_mut().find(|known| known.name_bytes == item.name_bytes);
            }
            match known {
                Some(known) => known.bytes.end = known.bytes.end.max(item.bytes.end),
                None => self.items.push(item),
            }
        }
        self.complete &= read.complete;
        self.out_of_time |= read.out_of_time;
        self.is_cut |= read.is_cut;
        self.has_error |= read.has_error;
    }
}

/// Takes away what is behind `end`: the next piece has it.
fn clip(items: &mut Vec<Item>, end: usize) {
    items.retain(|item| item.name_bytes.end <= end);
    for item in items {
        item.bytes.end = item.bytes.end.min(end);
        item.signature.end = item.signature.end.min(end).max(item.signature.start);
    }
}

/// What of `inside` is in the piece: of what is around that, other pieces have the rest.
fn clipped(text: &str, inside: tree_sitter::Range, piece: Range<usize>) -> tree_sitter::Range {
    if piece.start <= inside.start_byte && inside.end_byte <= piece.end {
        return inside;
    }
    let start = inside.start_byte.max(piece.start);
    let part = start..inside.end_byte.min(piece.end).max(start);
    ranges(text, std::slice::from_ref(&part)).pop().unwrap_or(inside)
}

/// Parts of a text, in order, as the parser wants them: also by lines and columns, from 0.
fn ranges(text: &str, parts: &[Range<usize>]) -> Vec<tree_sitter::Range> {
    let (mut passed, mut row, mut line) = (0, 0, 0);
    let mut point = |at: usize| {
        let between = &text.as_bytes()[passed..at];
        row += between.iter().filter(|byte| **byte == b'\n').count();
        if let Some(end) = between.iter().rposition(|byte| *byte == b'\n') {
            line = passed + end + 1;
        }
        passed = at;
        tree_sitter::Point { row, column: at - line }
    };
    let range = |part: &Range<usize>| tree_sitter::Range {
        start_byte: part.start,
        end_byte: part.end,
        start_point: point(part.start),
        end_point: point(part.end),
    };
    parts.iter().map(range).collect()
}

fn reader(language: &Language) -> Option<Reader> {
    let grammar = (language.grammar)();
    let mut parser = Parser::new();
    parser.set_language(&grammar).ok()?;
    Some(Reader { parser, roles: rule::roles(language, &grammar) })
}

/// The tree of `text`, or of the parts `inside`, whose nodes have their places in the whole text.
fn parse(
    parser: &mut Parser,
    text: &str,
    inside: &[tree_sitter::Range],
    deadline: Instant,
) -> Option<Tree> {
    // Set anew each time: the parser keeps them, and none mean the whole text.
    parser.set_included_ranges(inside).ok()?;
    let mut in_time = |_: &ParseState| {
        if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut in_time);
    let bytes = text.as_bytes();
    let mut rest = |at: usize, _| bytes.get(at..).unwrap_or_default();
    let tree = parser.parse_with_options(&mut rest, None, Some(options));
    if tree.is_none() {
        // Else the next text would be read as the rest of this one.
        parser.reset();
    }
    tree
}

/// The items around byte `at`, outermost first, as indices into `items`.
pub fn enclosing(items: &[Item], at: usize) -> Vec<usize> {
    let mut path = Vec::new();
    let mut depth = usize::MAX;
    let started = items.partition_point(|item| item.bytes.start <= at);
    for index in (0..started).rev() {
        // Only an item of lesser depth can be around the one seen last, or beside its parents.
        if items[index].depth >= depth {
            continue;
        }
        depth = items[index].depth;
        if items[index].bytes.contains(&at) {
            path.push(index);
        }
        if depth == 0 {
            break;
        }
    }
    path.reverse();
    path
}
