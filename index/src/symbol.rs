//! Which definition a piece of code is shown for, and which of its lines declares it. Pure.

use crate::db::ChunkRow;
use crate::kind::Symbol;
use crate::query::Query;
use crate::token::name_key;
use std::ops::Range;

/// What a line begins with that declares nothing.
const COMMENTS: [&str; 6] = ["//", "/*", "* ", "# ", "--", ";;"];

/// The definition in a passage that a query asks for by name, if one does; first one that is
/// declared in it, and that is spelled so.
pub(crate) fn asked<'s>(
    symbols: &'s [Symbol],
    chunk: &ChunkRow,
    passage: &str,
    query: &Query,
) -> Option<&'s Symbol> {
    let bytes = chunk.start as usize..chunk.end as usize;
    let is_asked = |symbol: &&Symbol| {
        let inside = symbol.bytes.start < bytes.end && bytes.start < symbol.bytes.end;
        inside && symbol.kind != "impl" && {
            let key = Some(name_key(&symbol.name));
            key == query.exact || key == query.defined
        }
    };
    let is_other = |symbol: &&Symbol| {
        let elsewhere = declared(symbol, passage, chunk.first).is_none();
        (elsewhere, Some(&symbol.name) != query.spelling.as_ref())
    };
    symbols.iter().filter(is_asked).min_by_key(is_other)
}

/// The line of a passage, which begins with line `first`, that declares a definition, if one does.
pub(crate) fn declared(symbol: &Symbol, passage: &str, first: u32) -> Option<u32> {
    let (name, signature) = (symbol.name.as_str(), symbol.signature.as_str());
    let head = end_of(signature, name).map_or(name, |end| &signature[..end]);
    let may = |(line, number): &(&str, u32)| {
        let is_comment = COMMENTS.iter().any(|sign| line.trim_start().starts_with(sign));
        let inside = symbol.lines.0 <= *number && *number <= symbol.lines.1;
        inside && !is_comment && end_of(line, name).is_some()
    };
    let lines: Vec<(&str, u32)> = passage.lines().zip(first..).filter(may).collect();
    let begins = |(line, _): &&(&str, u32)| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        end_of(&line, head).is_some()
    };
    // A declaration of several lines may have its name in another one than the first.
    let goes_on = |(line, _): &&(&str, u32)| {
        signature.contains(line.trim().trim_end_matches(['{', '(', ':', ' ']))
    };
    let found = lines.iter().find(begins).or_else(|| lines.iter().find(goes_on));
    found.map(|(_, number)| *number)
}

/// Where `name` ends in a text that holds it as a whole word.
pub(crate) fn end_of(text: &str, name: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let ends = text.match_indices(name).map(|(at, _)| (at, at + name.len()));
    let mut whole =
        ends.filter(|(at, end)| !text[..*at].ends_with(part) && !text[*end..].starts_with(part));
    whole.next().map(|(_, end)| end)
}

/// The innermost definition around the line in which most of some marked words stand, if one is;
/// `text` begins with line `first`, and something is marked in it.
pub(crate) fn around<'s>(
    symbols: &'s [Symbol],
    text: &str,
    first: u32,
    marks: &[Range<usize>],
) -> Option<&'s Symbol> {
    let line_of = |mark: &Range<usize>| first + text[..mark.start].matches('\n').count() as u32;
    let lines: Vec<u32> = marks.iter().map(line_of).collect();
    let n_marks = |line: &&u32| lines.iter().filter(|other| other == line).count();
    // The first one of equals.
    innermost(symbols, lines.iter().rev().max_by_key(n_marks).copied())
}

/// The innermost definition around a line.
pub(crate) fn innermost(symbols: &[Symbol], line: Option<u32>) -> Option<&Symbol> {
    let line = line?;
    let holds = |symbol: &&Symbol| symbol.lines.0 <= line && line <= symbol.lines.1;
    symbols.iter().filter(holds).min_by_key(|symbol| symbol.bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    /// A definition of 10 bytes a line.
    fn symbol(name: &str, kind: &str, lines: (u32, u32)) -> Symbol {
        Symbol {
            name: name.to_owned(),
            kind: kind.to_owned(),
            bytes: (lines.0 as usize - 1) * 10..lines.1 as usize * 10,
            lines,
            depth: 0,
            signature: String::new(),
        }
    }

    fn chunk(lines: Range<u32>) -> ChunkRow {
        ChunkRow {
            start: (lines.start - 1) * 10,
            end: (lines.end - 1) * 10,
            first: lines.start,
            last: lines.end - 1,
            heading: None,
            symbol: None,
            hash: [0; 8],
        }
    }

    #[test]
    fn a_passage_is_shown_for_the_definition_that_is_asked_for() {
        let symbols = [
            symbol("Stack", "impl", (1, 9)),
            symbol("popItem", "function", (1, 3)),
            symbol("pop_list", "function", (4, 6)),
            symbol("PopList", "struct", (7, 9)),
            symbol("stack", "function", (20, 22)),
        ];
        let asked = |query: &str, lines: Range<u32>| {
            asked(&symbols, &chunk(lines), "", &parse(query)).map(|symbol| symbol.name.as_str())
        };
        assert_eq!(asked("pop_list", 1..10), Some("pop_list"));
        assert_eq!(asked("PopList", 1..10), Some("PopList"));
        assert_eq!(asked("Stack.pop_list()", 1..10), Some("pop_list"));
        assert_eq!(asked("pop list", 1..10), Some("pop_list"), "the first of equals");
        assert_eq!(asked("stack", 1..10), None, "what is implemented for it is not it");
        assert_eq!(asked("pop_list", 1..4), None, "it is elsewhere");
    }

    #[test]
    fn the_line_that_declares_a_definition_is_known() {
        let text = "# fn take(n)\n/// fn take\n#[take]\npub(crate) fn  take(\n    n: u32,\n) {\n\
                    take(take)\n}\nstatic int\ngive(void) {\n  give();\n}";
        let declared = |name: &str, signature: &str, lines: (u32, u32)| {
            let symbol =
                Symbol { signature: signature.to_owned(), ..symbol(name, "function", lines) };
            declared(&symbol, text, 11)
        };
        assert_eq!(declared("take", "fn take( n: u32, )", (11, 18)), Some(14));
        assert_eq!(declared("give", "static int give(void)", (19, 22)), Some(20));
        assert_eq!(declared("take", "fn take( n: u32, )", (15, 18)), None, "it is before");
        assert_eq!(declared("tak", "fn tak()", (11, 18)), None, "no whole word");
        let symbols = [symbol("a", "x", (1, 2)), symbol("A", "x", (3, 4))];
        let asked = |passage: &str| {
            let found = asked(&symbols, &chunk(1..5), passage, &parse("A"));
            found.map(|symbol| symbol.lines.0)
        };
        assert_eq!(asked("fn a() {\n}\n"), Some(1), "what is declared here");
        assert_eq!(asked(""), Some(3), "what is spelled so");
    }

    #[test]
    fn words_stand_in_the_innermost_definition_around_most_of_them() {
        let symbols = [
            symbol("Outer", "class", (2, 9)),
            symbol("a", "method", (3, 5)),
            symbol("b", "method", (6, 8)),
        ];
        let text = "one\ntwo\nthree one\nfour\none five\nsix";
        let around = |words: &[&str]| {
            let mut marks: Vec<Range<usize>> = Vec::new();
            for word in words {
                marks.extend(text.match_indices(word).map(|(at, word)| at..at + word.len()));
            }
            marks.sort_by_key(|mark| mark.start);
            around(&symbols, text, 1, &marks).map(|symbol| symbol.name.as_str())
        };
        assert_eq!(around(&["one"]), None, "the first line is in none");
        assert_eq!(around(&["two"]), Some("Outer"));
        assert_eq!(around(&["one", "three"]), Some("a"), "two of them stand there");
        assert_eq!(around(&["six"]), Some("b"));
        assert_eq!(around(&[]), None);
    }
}
