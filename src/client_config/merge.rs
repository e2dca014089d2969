//! The one way into the two formats: find, put and remove our entry, and prove that nothing else
//! changed.
//!
//! Invariant: a text that leaves this file means the same as the one that came in, except for our
//! entry. The formats splice text, which is where a mistake would hide, so every result is parsed
//! again and compared; a result that fails is an error, never a file.

use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::client::{Client, Format};
use super::{Error, OWN, json_text, toml_text};

/// What is wrong with a text; becomes an `Error` once the path is known.
#[derive(Debug)]
pub(super) enum Problem {
    Malformed { line: usize, column: usize, what: String },
    NotObject { line: usize, what: String },
    Duplicate { line: usize, key: String },
    Layout,
}

impl Problem {
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Problem::Malformed { line, column, what } => {
                Error::Malformed { path, line, column, what }
            }
            Problem::NotObject { line, what } => Error::NotObject { path, line, what },
            Problem::Duplicate { line, key } => Error::DuplicateKey { path, key, line },
            Problem::Layout => Error::Layout { path },
        }
    }
}

/// Some Windows editors begin a file with this mark; parsers of the formats do not know it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Our entry in `text`, if there is one.
pub(super) fn own(client: &Client, text: &str) -> Result<Option<Value>, Problem> {
    Ok(own_in(client, &value(client, split_mark(text).1)?).cloned())
}

/// `text` with our entry set to `entry`; unchanged where it already means that.
pub(super) fn put(client: &Client, text: &str, entry: &Value) -> Result<String, Problem> {
    let (mark, text) = split_mark(text);
    let before = value(client, text)?;
    if own_in(client, &before) == Some(entry) {
        return Ok(format!("{mark}{text}"));
    }
    let after = match client.format {
        Format::Json => json_text::put(text, client.servers_key, entry)?,
        Format::Toml => toml_text::put(text, client.servers_key, entry)?,
    };
    prove(client, before, &after, Some(entry))?;
    Ok(format!("{mark}{after}"))
}

/// `text` without our entry; None where it has none.
pub(super) fn remove(client: &Client, text: &str) -> Result<Option<String>, Problem> {
    let (mark, text) = split_mark(text);
    let before = value(client, text)?;
    if own_in(client, &before).is_none() {
        return Ok(None);
    }
    let after = match client.format {
        Format::Json => json_text::remove(text, client.servers_key)?,
        Format::Toml => toml_text::remove(text, client.servers_key)?,
    };
    prove(client, before, &after, None)?;
    Ok(Some(format!("{mark}{after}")))
}

fn split_mark(text: &str) -> (&str, &str) {
    match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (BYTE_ORDER_MARK, rest),
        None => ("", text),
    }
}

fn value(client: &Client, text: &str) -> Result<Value, Problem> {
    match client.format {
        Format::Json => json_text::value(text, client.servers_key),
        Format::Toml => toml_text::value(text, client.servers_key),
    }
}

fn own_in<'a>(client: &Client, value: &'a Value) -> Option<&'a Value> {
    value.get(client.servers_key)?.get(OWN)
}

fn prove(
    client: &Client,
    before: Value,
    after: &str,
    entry: Option<&Value>,
) -> Result<(), Problem> {
    // A text of ours that does not parse is our fault, not a malformed file of the user's.
    let after = value(client, after).map_err(|_| Problem::Layout)?;
    let kept = own_in(client, &after) == entry;
    if kept && rest(client, before) == rest(client, after) { Ok(()) } else { Err(Problem::Layout) }
}

/// `value` without our entry. No servers, an empty object of servers, and no file mean the same.
fn rest(client: &Client, mut value: Value) -> Value {
    if let Some(root) = value.as_object_mut() {
        let servers = root.get_mut(client.servers_key).and_then(Value::as_object_mut);
        if let Some(servers) = servers {
            servers.remove(OWN);
            if servers.is_empty() {
                root.remove(client.servers_key);
            }
        }
    }
    value
}

/// `text` without `ranges`, which are in order of their starts.
pub(super) fn cut(text: &str, ranges: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        kept.push_str(&text[at..range.start.max(at)]);
        at = range.end.max(at);
    }
    kept.push_str(&text[at..]);
    kept
}
