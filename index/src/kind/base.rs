//! Views over notes as Obsidian Bases keeps them: YAML with filters, formulas and views.
//!
//! Read by lines and indentation: a view and a key of the first level are sections, and the notes
//! that filters name are links. Does not evaluate anything; a base is not tagged by its filters.

use super::outline::{self, Line};
use super::{Class, Input, Kind, Link, Parsed, has_extension, stem};
use crate::chunk::Border;

/// Views over notes.
pub const KIND: Kind = Kind { recognise, class: Class::Note, parse, extract: None };

/// Longest name of a key, a view or a note that is read, in bytes.
const NAME_BYTES_MAX: usize = 300;

/// Functions whose first argument is a note: what stands before the parenthesis.
const LINKING: &[&str] = &["link", "hasLink"];

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, &["base"]).then_some("base")
}

fn parse(input: &Input) -> Parsed {
    if let Some(cut) = outline::by_lines(input) {
        return cut;
    }
    let mut out = Parsed { title: stem(input.path).to_owned(), ..Parsed::default() };
    let mut borders = Vec::new();
    let mut views = None;
    for line in outline::lines(input.text) {
        if line.blank() || line.body().starts_with('#') {
            continue;
        }
        links(input, line, &mut out);
        if let Some(key) = key(line) {
            views = (key == "views").then(Views::default);
            borders.push(Border { at: line.at, hard: true });
            out.add_section(outline::section(input, 1, key, line.at));
        } else if let Some(views) = &mut views {
            views.line(input, line, &mut out, &mut borders);
        }
    }
    let end = out.sections_end(input.text.len());
    outline::close(&mut out.sections, end);
    out.chunks = outline::chunks(input, &out.title, &out.sections, &borders);
    out
}

/// The list below `views:`: how far its items and their keys are indented.
#[derive(Default)]
struct Views {
    item: Option<usize>,
    keys: Option<usize>,
}

impl Views {
    /// A line of the list: the start of a view, or one of its keys.
    fn line(&mut self, input: &Input, line: Line<'_>, out: &mut Parsed, borders: &mut Vec<Border>) {
        let body = line.body();
        let item = body.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' '));
        let mut entry = body;
        let mut indent = line.indent;
        if let Some(rest) = item.filter(|_| *self.item.get_or_insert(line.indent) == line.indent) {
            borders.push(Border { at: line.at, hard: true });
            if !out.add_section(outline::section(input, 2, "", line.at)) {
                return;
            }
            entry = rest.trim_start();
            indent = line.indent + body.len() - entry.len();
            self.keys = (!entry.is_empty()).then_some(indent);
        }
        let named = !entry.is_empty() && *self.keys.get_or_insert(indent) == indent;
        let Some(view) = out.sections.last_mut().filter(|view| named && view.level == 2) else {
            return;
        };
        if let Some(name) = value(entry, "name") {
            view.text = name.to_owned();
        } else if view.text.is_empty()
            && let Some(kind) = value(entry, "type")
        {
            view.text = kind.to_owned();
        }
    }
}

/// A key of the first level.
fn key(line: Line<'_>) -> Option<&str> {
    let (key, rest) = line.text.split_once(':')?;
    let plain = line.indent == 0 && !key.starts_with('-') && key.len() <= NAME_BYTES_MAX;
    let ends = rest.is_empty() || rest.starts_with(' ');
    let key = key.trim().trim_matches(['"', '\'']);
    (plain && ends && !key.is_empty()).then_some(key)
}

/// What stands behind `name:`.
fn value<'t>(entry: &'t str, name: &str) -> Option<&'t str> {
    let rest = entry.strip_prefix(name)?.strip_prefix(':')?.trim();
    let value = rest.trim_matches(['"', '\'']);
    (!value.is_empty() && value.len() <= NAME_BYTES_MAX).then_some(value)
}

/// Notes that a line names: `[[note]]`, `link("note")`, `file.hasLink("note")`.
fn links(input: &Input, line: Line<'_>, out: &mut Parsed) {
    let text = line.text;
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(['[', '('])) {
        let at = from + found;
        let (before, rest) = (text.get(from..at), text.get(at..).unwrap_or_default());
        let inner = match rest.strip_prefix("[[") {
            Some(rest) => within(rest, "]]"),
            None if rest.starts_with('(') => called(before.unwrap_or_default(), rest),
            None => None,
        };
        from = at + 1 + inner.map_or(0, str::len);
        let Some(inner) = inner else { continue };
        let inner = inner.trim_start_matches("[[").trim_end_matches("]]");
        let (dest, text) = inner.split_once('|').unwrap_or((inner, inner));
        let (target, anchor) = match dest.split_once('#') {
            Some((target, anchor)) => (target, Some(anchor).filter(|anchor| !anchor.is_empty())),
            None => (dest, None),
        };
        let (target, anchor) = (target.trim().to_owned(), anchor.map(str::to_owned));
        if (target.is_empty() && anchor.is_none()) || target.contains("://") {
            continue;
        }
        let line = input.lines.line(line.at);
        let text = text.trim().to_owned();
        out.add_link(Link { target, anchor, text, wiki: true, embed: false, line });
    }
}

/// The quoted first argument in `arguments` of a function that takes a note.
fn called<'t>(before: &str, arguments: &'t str) -> Option<&'t str> {
    let name = LINKING.iter().find_map(|name| before.strip_suffix(name))?;
    if name.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    // A filter is often a quoted string of YAML, in which quotes are escaped.
    let quoted = arguments.strip_prefix('(')?.trim_start().trim_start_matches('\\');
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = within(quoted.strip_prefix(quote)?, quote.encode_utf8(&mut [0; 4]))?;
    Some(inner.trim_end_matches('\\'))
}

/// `text` up to `end`, if it is not too far.
fn within<'t>(text: &'t str, end: &str) -> Option<&'t str> {
    let near = crate::chunk::clip(text, NAME_BYTES_MAX);
    near.find(end).and_then(|at| near.get(..at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::outline::proof;

    const BASE: &str = r#"# Boats of the harbour
filters:
  and:
    - file.hasTag("boat", "sea")
    - file.hasLink("Harbour|the harbour")
    - 'link("Crew#Names") == owner'
    - "file.hasLink(\"Moon\")"
    - file.inFolder("Boats")
    - note.up == [[Index]]
formulas:
  age: (now() - built).days
  here: link(file.name, "x")
properties:
  formula.age:
    displayName: Age
views:
  - type: table
    name: "Big boats"
    filters:
      and:
        - name: not a view
        - length > 10
    order:
      - file.name
  -
    name: Cards of all
    type: cards
  - type: map
"#;

    fn read(text: &str) -> Parsed {
        proof::read(&KIND, "bases/Boats.base", text)
    }

    #[test]
    fn keys_and_views_are_sections() {
        let parsed = read(BASE);
        let wanted = [
            (1, "filters"),
            (1, "formulas"),
            (1, "properties"),
            (1, "views"),
            (2, "Big boats"),
            (2, "Cards of all"),
            (2, "map"),
        ];
        assert_eq!(proof::outline(&parsed), wanted);
        assert_eq!(parsed.title, "Boats");
        let view = &BASE[parsed.sections[5].bytes.clone()];
        assert_eq!(view, "  -\n    name: Cards of all\n    type: cards\n");
        assert_eq!(parsed.sections[3].bytes.end, BASE.len());
        assert!(parsed.tags.is_empty() && parsed.props.is_empty());
    }

    #[test]
    fn notes_that_filters_name_are_links() {
        let wanted = [
            ("Harbour", None, "the harbour"),
            ("Crew", Some("Names"), "Crew#Names"),
            ("Moon", None, "Moon"),
            ("Index", None, "Index"),
        ];
        let parsed = read(BASE);
        assert_eq!(proof::links(&parsed), wanted);
        assert_eq!(parsed.links[1].line, 6);
    }

    #[test]
    fn a_large_view_is_a_passage_under_its_name() {
        let order: String = (0..60).map(|n| format!("      - note.property{n}\n")).collect();
        let text = format!("views:\n- name: All\n  order:\n{order}- name: None\n  type: table\n");
        let parsed = read(&text);
        assert_eq!(proof::outline(&parsed)[1..], [(2, "All"), (2, "None")]);
        assert!(parsed.chunks.iter().any(|chunk| chunk.header == "views > All"));
    }

    #[test]
    fn hostile_texts() {
        let marks = [
            "views:",
            "- ",
            "-",
            "  - name: a",
            "name:",
            "[[",
            "[[a]]",
            "link(",
            "link(\"",
            "\"",
            "(",
            "#",
            ":",
            "a: b",
            "\\",
            "é",
            "]]",
            "|",
        ];
        proof::survives(&KIND, "a.base", &marks);
    }
}
