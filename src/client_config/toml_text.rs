//! Our entry in TOML (Codex), by splicing.
//!
//! toml_edit prints a whole document anew, with `\n` for every line break; so it is used for its
//! spans and for printing single values, and the text is spliced. It does not know clients or
//! files, and trusts `merge` to prove its results.

use std::ops::Range;

use serde_json::{Map, Value, json};
use toml_edit::{Datetime, Document, Item, Key, Table, Value as Node};

use super::OWN;
use super::merge::{Problem, cut};

/// The whole text as a JSON value.
pub(super) fn value(text: &str, key: &str) -> Result<Value, Problem> {
    let tree = tree(text)?;
    let root = json_of_table(tree.as_table());
    match (root.get(key), tree.as_table().get_key_value(key)) {
        (Some(servers), Some((name, _))) if !servers.is_object() => {
            let at = name.span().map_or(0, |span| span.start);
            Err(Problem::NotObject { line: place(text, at).0, what: format!("`{key}`") })
        }
        _ => Ok(root),
    }
}

/// `text` with `entry` as the table `[key.synod]`: where ours stood, else at the end.
pub(super) fn put(text: &str, key: &str, entry: &Value) -> Result<String, Problem> {
    let tree = tree(text)?;
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let block = block(key, entry, newline)?;
    let (ranges, has_header) = own_ranges(text, tree.as_table(), key)?;
    let Some(first) = ranges.first() else {
        return Ok(append(text, &block, newline));
    };
    let kept = cut(text, &ranges);
    if has_header {
        // Nothing before the first range was cut, so its start is still the right place.
        return Ok([&kept[..first.start], &block, &kept[first.start..]].concat());
    }
    // A header in the middle of another table's keys would take the keys behind it.
    Ok(append(&kept, &block, newline))
}

/// `text` without our table, its subtables, and the blank line that set it apart.
pub(super) fn remove(text: &str, key: &str) -> Result<String, Problem> {
    let tree = tree(text)?;
    let (mut ranges, _) = own_ranges(text, tree.as_table(), key)?;
    for range in &mut ranges {
        let rest = &text[range.end..];
        let apart = rest.is_empty() || rest.starts_with('\n') || rest.starts_with("\r\n");
        let head = &text[..range.start];
        let above = head.strip_suffix("\r\n").or(head.strip_suffix('\n')).unwrap_or(head);
        if apart && above.ends_with('\n') {
            range.start = above.len();
        }
    }
    Ok(cut(text, &ranges))
}

fn tree(text: &str) -> Result<Document<&str>, Problem> {
    Document::parse(text).map_err(|error| {
        // The error's own text quotes the line, which may hold a token: only its message is used.
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = place(text, at);
        let what = error.message().lines().next().unwrap_or_default().to_owned();
        Problem::Malformed { line, column, what }
    })
}

/// Line and column (in characters), both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn append(text: &str, block: &str, newline: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
    let blank = if text.trim().is_empty() { "" } else { newline };
    [text, end, blank, block].concat()
}

/// The whole lines that hold our entry, in order, and whether it has a header of its own.
fn own_ranges(text: &str, root: &Table, key: &str) -> Result<(Vec<Range<usize>>, bool), Problem> {
    let Some(servers) = root.get(key) else { return Ok((Vec::new(), false)) };
    // An inline table of servers stands on the same lines as the other servers.
    let servers = servers.as_table().ok_or(Problem::Layout)?;
    let Some((name, own)) = servers.get_key_value(OWN) else { return Ok((Vec::new(), false)) };
    let mut spans = Vec::new();
    collect(name, own, &mut spans);
    let mut ranges: Vec<_> = spans
        .into_iter()
        .map(|span| {
            let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
            let end = text[span.end..].find('\n').map_or(text.len(), |end| span.end + end + 1);
            start..end
        })
        .collect();
    ranges.sort_by_key(|range| range.start);
    Ok((ranges, own.as_table().is_some_and(|table| !table.is_dotted())))
}

/// The spans of `item`: a header with its keys is one span, so that comments among them are in it;
/// comments before the header and behind the last key are not ours.
fn collect(name: &Key, item: &Item, spans: &mut Vec<Range<usize>>) {
    match item {
        Item::None => {}
        Item::Value(value) => {
            if let (Some(name), Some(value)) = (name.span(), value.span()) {
                spans.push(name.start..value.end);
            }
        }
        Item::Table(table) => collect_table(table, spans),
        Item::ArrayOfTables(tables) => {
            for table in tables {
                collect_table(table, spans);
            }
        }
    }
}

fn collect_table(table: &Table, spans: &mut Vec<Range<usize>>) {
    let header = table.span().filter(|_| !table.is_dotted());
    let mut keys = Vec::new();
    for (name, _) in table.iter() {
        let Some((name, child)) = table.get_key_value(name) else { continue };
        let has_header = match child {
            Item::Table(child) => !child.is_dotted(),
            other => other.is_array_of_tables(),
        };
        collect(name, child, if has_header { &mut *spans } else { &mut keys });
    }
    match header {
        Some(header) => {
            let end = keys.iter().map(|span| span.end).fold(header.end, usize::max);
            spans.push(header.start..end);
        }
        None => spans.append(&mut keys),
    }
}

fn block(key: &str, entry: &Value, newline: &str) -> Result<String, Problem> {
    let mut block = format!("[{key}.{OWN}]{newline}");
    for (name, value) in entry.as_object().ok_or(Problem::Layout)? {
        let name = Key::new(name);
        let value = toml_of(value).ok_or(Problem::Layout)?;
        block.push_str(&format!("{} = {value}{newline}", name.display_repr()));
    }
    Ok(block)
}

/// None for what an entry never holds.
fn toml_of(value: &Value) -> Option<Node> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(Node::from(*value)),
        Value::Number(value) => value.as_i64().map(Node::from),
        Value::String(value) => Some(Node::from(value.as_str())),
        Value::Array(values) => values.iter().map(toml_of).collect::<Option<_>>().map(Node::Array),
        Value::Object(members) => {
            // As `json_of_value` wrote them, for what JSON does not know.
            let only =
                |key: &str| members.get(key).filter(|_| members.len() == 1).and_then(Value::as_str);
            if let Some(float) = only("float").and_then(|text| text.parse::<f64>().ok()) {
                return Some(Node::from(float));
            }
            if let Some(time) = only("datetime").and_then(|text| text.parse::<Datetime>().ok()) {
                return Some(Node::from(time));
            }
            let pair = |(name, value): (&String, &Value)| Some((name.clone(), toml_of(value)?));
            let table = members.iter().map(pair).collect::<Option<_>>();
            table.map(Node::InlineTable)
        }
    }
}

fn json_of_table(table: &Table) -> Value {
    let members = table.iter().map(|(name, item)| (name.to_owned(), json_of_item(item)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn json_of_item(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => json_of_value(value),
        Item::Table(table) => json_of_table(table),
        Item::ArrayOfTables(tables) => tables.iter().map(json_of_table).collect(),
    }
}

fn json_of_value(value: &Node) -> Value {
    match value {
        Node::String(value) => json!(value.value()),
        Node::Integer(value) => json!(value.value()),
        // As text, because JSON has neither `nan` nor `inf` and both must still compare.
        Node::Float(value) => json!({ "float": value.value().to_string() }),
        Node::Boolean(value) => json!(value.value()),
        Node::Datetime(value) => json!({ "datetime": value.value().to_string() }),
        Node::Array(values) => values.iter().map(json_of_value).collect(),
        Node::InlineTable(table) => {
            let members = table.iter().map(|(name, value)| (name.to_owned(), json_of_value(value)));
            Value::Object(members.collect())
        }
    }
}
