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

/// The longest text that is parsed; larger ones are generated or data, and one parse of them would
/// hold a worker for seconds.
pub const PARSE_BYTES_MAX: usize = 2 << 20;
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
        let Reader { parser, roles } = reader;
        let Some(tree) = parse(parser, text, None, Instant::now() + time) else {
            return Some(Items { out_of_time: true, ..Items::default() });
        };
        let deadline = Instant::now() + time;
        let mut again = |inside| parse(parser, text, Some(inside), deadline);
        Some(walk::walk(language, roles, &tree, text, deadline, &mut again))
    });
    parsed.unwrap_or_default()
}

fn reader(language: &Language) -> Option<Reader> {
    let grammar = (language.grammar)();
    let mut parser = Parser::new();
    parser.set_language(&grammar).ok()?;
    Some(Reader { parser, roles: rule::roles(language, &grammar) })
}

/// The tree of `text`, or of the part `inside`, whose nodes have their places in the whole text.
fn parse(
    parser: &mut Parser,
    text: &str,
    inside: Option<tree_sitter::Range>,
    deadline: Instant,
) -> Option<Tree> {
    // Set anew each time: the parser keeps it, and no ranges mean the whole text.
    parser.set_included_ranges(inside.as_slice()).ok()?;
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
