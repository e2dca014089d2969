//! Our entry in JSON with comments and trailing commas, by splicing.
//!
//! The parser gives byte ranges; everything outside the spliced range stays as the user wrote it.
//! It does not know clients or files, and trusts `merge` to prove its results.

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Value, json};

use super::OWN;
use super::merge::{Problem, cut};

/// Comments and trailing commas, as the clients read them; the parser would take far more, and
/// then call a file fine that its client cannot read.
const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The whole text as a value; an empty text is an empty object.
pub(super) fn value(text: &str, key: &str) -> Result<Value, Problem> {
    let Some(root) = root(text)? else { return Ok(json!({})) };
    // Where a key stands twice, clients disagree on which one counts: refused before any edit.
    if let Some(servers) = servers(text, &root, key)? {
        unique(text, servers, OWN)?;
    }
    Ok(Node::Object(root).into())
}

/// `text` with `entry` as our entry under `key`.
pub(super) fn put(text: &str, key: &str, entry: &Value) -> Result<String, Problem> {
    let Some(root) = root(text)? else {
        return Ok(fresh(text, &json!({ key: { OWN: entry } })));
    };
    let style = Style::of(text, &root);
    let Some(servers) = servers(text, &root, key)? else {
        return Ok(insert(text, &root, key, &json!({ OWN: entry }), &style));
    };
    let Some(own) = unique(text, servers, OWN)? else {
        return Ok(insert(text, servers, OWN, entry, &style));
    };
    let old = own.value.range();
    let around = [&text[servers.range.start..old.start], &text[old.end..servers.range.end]];
    // As `insert` would have written it, so that a merge made twice is the merge made once.
    let new = match around.concat().contains('\n') {
        true => style.render(entry, indent_at(text, own.range.start)),
        false => entry.to_string(),
    };
    Ok([&text[..old.start], &new, &text[old.end..]].concat())
}

/// `text` without our entry and without the comma that it needed.
pub(super) fn remove(text: &str, key: &str) -> Result<String, Problem> {
    let root = root(text)?.ok_or(Problem::Layout)?;
    let servers = servers(text, &root, key)?.ok_or(Problem::Layout)?;
    let named = |each: &ObjectProp| each.name.as_str() == OWN;
    let at = servers.properties.iter().position(named).ok_or(Problem::Layout)?;
    let own = servers.properties[at].range;
    let next = servers.properties.get(at + 1);
    let next_start = next.map_or(servers.range.end - 1, |next| next.range.start);
    let last = at.checked_sub(1).map(|at| servers.properties[at].range.end);
    let last_end = last.unwrap_or(servers.range.start + 1);

    let comma_after = comma_in(&text[own.end..next_start]).map(|comma| own.end + comma);
    let comma_before = comma_in(&text[last_end..own.start]).map(|comma| last_end + comma);
    let comma = comma_after.or(comma_before);
    let from = last_end + text[last_end..own.start].trim_end().len();
    let to = comma_after.map_or(own.end, |comma| comma + 1);
    // What stands behind us on the same line must not slide into the line above: that may end in
    // a comment, and would swallow it.
    let line_rest = text[to..].split(['\n', '\r']).next().unwrap_or_default();
    let joins = text[from..own.start].contains('\n') && !line_rest.trim().is_empty();
    let from = if joins { own.start } else { from };

    let comma = comma.map(|comma| comma..comma + 1);
    let mut cuts: Vec<_> = std::iter::once(from..own.end).chain(comma).collect();
    cuts.sort_by_key(|range| range.start);
    Ok(cut(text, &cuts))
}

fn root(text: &str) -> Result<Option<Object<'_>>, Problem> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &DIALECT).map_err(|error| {
        Problem::Malformed {
            line: error.line_display(),
            column: error.column_display(),
            what: error.kind().to_string().to_lowercase(),
        }
    })?;
    match parsed.value {
        None => Ok(None),
        Some(Node::Object(root)) => Ok(Some(root)),
        Some(other) => Err(Problem::NotObject {
            line: line_of(text, other.start()),
            what: "the outermost value".to_owned(),
        }),
    }
}

fn servers<'a, 'b>(
    text: &str,
    root: &'b Object<'a>,
    key: &str,
) -> Result<Option<&'b Object<'a>>, Problem> {
    match unique(text, root, key)?.map(|prop| &prop.value) {
        None => Ok(None),
        Some(Node::Object(servers)) => Ok(Some(servers)),
        Some(other) => {
            Err(Problem::NotObject { line: line_of(text, other.start()), what: format!("`{key}`") })
        }
    }
}

fn unique<'a, 'b>(
    text: &str,
    object: &'b Object<'a>,
    key: &str,
) -> Result<Option<&'b ObjectProp<'a>>, Problem> {
    let mut found = object.properties.iter().filter(|prop| prop.name.as_str() == key);
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(second) => {
            Err(Problem::Duplicate { line: line_of(text, second.range.start), key: key.to_owned() })
        }
    }
}

/// A text without a value: nothing, or comments, which stay on top.
fn fresh(text: &str, value: &Value) -> String {
    let style = Style { newline: newline(text), unit: "  ".to_owned() };
    let head = text.trim_end();
    let gap = if head.is_empty() { "" } else { style.newline };
    [head, gap, &style.render(value, ""), style.newline].concat()
}

/// `text` with one more member at the end of `object`, behind the comments that end it.
fn insert(text: &str, object: &Object, name: &str, value: &Value, style: &Style) -> String {
    let (open, close) = (object.range.start + 1, object.range.end - 1);
    let first = object.properties.first().map(|prop| prop.range.start);
    let last = object.properties.last().map_or(open, |prop| prop.range.end);
    let trivia = &text[last..close];
    let filled = last + trivia.trim_end().len();
    let comma = comma_in(trivia);
    let missing = if first.is_some() && comma.is_none() { "," } else { "" };
    let trailing = if comma.is_some() { "," } else { "" };
    let key = json!(name);

    let inline = first.is_some() && !text[open..close].contains('\n');
    if inline {
        // Without a line break there is no `//` comment either, which would swallow the entry.
        let member = format!(" {key}: {value}{trailing}");
        return [&text[..last], missing, &text[last..filled], &member, &text[filled..]].concat();
    }
    let base = indent_at(text, object.range.start);
    let indent = match first {
        Some(first) if is_first_on_line(text, first) => indent_at(text, first).to_owned(),
        _ => format!("{base}{}", style.unit),
    };
    let nl = style.newline;
    let member = format!("{nl}{indent}{key}: {}{trailing}", style.render(value, &indent));
    let end = match text[filled..close].contains('\n') {
        true => String::new(),
        false => format!("{nl}{base}"),
    };
    let rest = if end.is_empty() { &text[filled..] } else { &text[close..] };
    [&text[..last], missing, &text[last..filled], &member, &end, rest].concat()
}

/// Where the first comma outside of comments stands, in a text of blanks, comments and commas.
fn comma_in(trivia: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(first) = trivia[at..].chars().next() {
        let rest = &trivia[at..];
        at += match first {
            ',' => return Some(at),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
            other => other.len_utf8(),
        };
    }
    None
}

/// How the user breaks and indents lines.
struct Style {
    newline: &'static str,
    unit: String,
}

impl Style {
    fn of(text: &str, root: &Object) -> Style {
        let first = root.properties.first().map(|prop| prop.range.start);
        let unit = first.filter(|&first| is_first_on_line(text, first));
        let unit = unit.map(|first| indent_at(text, first)).filter(|unit| !unit.is_empty());
        Style { newline: newline(text), unit: unit.unwrap_or("  ").to_owned() }
    }

    /// `value` over several lines; all but the first are indented by `base` and more.
    fn render(&self, value: &Value, base: &str) -> String {
        let mut out = String::new();
        // The alternate form of a value is its pretty form, indented by two blanks a level. A
        // string holds no raw line break, so that lines are lines of the layout.
        for (at, line) in format!("{value:#}").lines().enumerate() {
            let rest = line.trim_start_matches(' ');
            if at > 0 {
                out.push_str(self.newline);
                out.push_str(base);
            }
            out.push_str(&self.unit.repeat((line.len() - rest.len()) / 2));
            out.push_str(rest);
        }
        out
    }
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn indent_at(text: &str, at: usize) -> &str {
    let line = &text[line_start(text, at)..at];
    let end = line.find(|each| each != ' ' && each != '\t').unwrap_or(line.len());
    &line[..end]
}

fn is_first_on_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].trim().is_empty()
}
