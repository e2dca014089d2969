//! Jupyter notebooks: JSON of cells, made into the Markdown that a person would write of them.
//!
//! Markdown cells stand as they are, code in fences with the kernel's language, and text that code
//! put out in bounded fences behind it. Images and HTML are left out. Knows nbformat 3 and 4.

use super::outline::{self, one_line, paragraph};
use super::{Class, Kind, has_extension, markdown};
use crate::chunk::clip;
use serde_json::Value;

/// Notebooks.
pub const KIND: Kind =
    Kind { recognise, class: Class::Note, parse: markdown::KIND.parse, extract: Some(extract) };

/// Longest output that is kept of one piece, in bytes; the fence says how much was left out.
const OUTPUT_BYTES_MAX: usize = 2_000;

/// Most outputs of one cell; the text says how many were left out.
const OUTPUTS_MAX: usize = 20;

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, &["ipynb"]).then_some("notebook")
}

fn extract(bytes: &[u8]) -> Result<String, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Ok(String::new());
    }
    let book: Value = serde_json::from_slice(bytes).map_err(|error| {
        format!("is a damaged notebook: no JSON at line {}, {}", error.line(), error.column())
    })?;
    let cells = cells(&book).ok_or("is no notebook: it has no `cells`")?;
    let language = language(&book);
    let mut out = String::new();
    for cell in cells {
        write_cell(cell, &language, &mut out);
    }
    Ok(out)
}

/// The cells of all worksheets, as one list.
fn cells(book: &Value) -> Option<Vec<&Value>> {
    if let Some(cells) = book.get("cells").and_then(Value::as_array) {
        return Some(cells.iter().collect());
    }
    let sheets = book.get("worksheets").and_then(Value::as_array)?;
    let cells = sheets.iter().filter_map(|sheet| sheet.get("cells").and_then(Value::as_array));
    Some(cells.flatten().collect())
}

/// The language of a notebook's code; empty if it does not say.
fn language(book: &Value) -> String {
    let Some(meta) = book.get("metadata") else { return String::new() };
    let kernel = meta.get("kernelspec").and_then(|kernel| kernel.get("language"));
    let info = meta.get("language_info").and_then(|info| info.get("name"));
    word(kernel.or(info).or_else(|| meta.get("language")))
}

/// A name that may stand behind a fence.
fn word(value: Option<&Value>) -> String {
    let name = value.and_then(Value::as_str).unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_' | '.');
    name.chars().take(40).filter(plain).collect::<String>().to_lowercase()
}

fn write_cell(cell: &Value, language: &str, out: &mut String) {
    // nbformat 3 calls the source of code `input`.
    let source = text(cell.get("source").or_else(|| cell.get("input")));
    match cell.get("cell_type").and_then(Value::as_str) {
        Some("code") => {
            let own = word(cell.get("language"));
            let language = if own.is_empty() { language } else { &own };
            block(language, &source, out);
            write_outputs(cell, out);
        }
        Some("heading") => {
            let level = cell.get("level").and_then(Value::as_u64).unwrap_or(1).clamp(1, 6);
            let marks = "#".repeat(level as usize);
            paragraph(&format!("{marks} {}", one_line(&source)), out);
        }
        _ => paragraph(&outline::closed(&source), out),
    }
}

/// The text outputs of a code cell, pieces of one stream joined.
fn write_outputs(cell: &Value, out: &mut String) {
    let outputs = cell.get("outputs").and_then(Value::as_array);
    let mut pieces: Vec<(&str, String)> = Vec::new();
    let mut left = 0_usize;
    for output in outputs.into_iter().flatten() {
        let (stream, piece) = output_text(output);
        if let Some((name, last)) = pieces.last_mut()
            && *name == stream
            && !stream.is_empty()
        {
            last.push_str(&piece);
        } else if piece.trim().is_empty() {
            continue;
        } else if pieces.len() < OUTPUTS_MAX {
            pieces.push((stream, piece));
        } else {
            left += 1;
        }
    }
    for (_, piece) in pieces {
        block("output", &bounded(&shown(&piece)), out);
    }
    if left > 0 {
        paragraph(&format!("[{left} more outputs left out]"), out);
    }
}

/// The name of an output's stream (empty if it is none), and its text.
fn output_text(output: &Value) -> (&str, String) {
    let kind = output.get("output_type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "stream" => {
            let name = output.get("name").or_else(|| output.get("stream"));
            let name = name.and_then(Value::as_str).unwrap_or("stdout");
            (name, text(output.get("text")))
        }
        "error" | "pyerr" => {
            let part = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default();
            let trace = output.get("traceback").and_then(Value::as_array);
            let trace: Vec<&str> = trace.into_iter().flatten().filter_map(Value::as_str).collect();
            // What went wrong stands first: the end of a long trace is left out.
            ("", format!("{}: {}\n{}", part("ename"), part("evalue"), trace.join("\n")))
        }
        _ => {
            let data = output.get("data").unwrap_or(output);
            let text = text(data.get("text/plain").or_else(|| data.get("text")));
            // `<Figure size 640x480 with 1 Axes>` stands for what is left out.
            let stand_in = text.starts_with("<Figure ") || text.starts_with("<IPython.core.");
            ("", if stand_in { String::new() } else { text })
        }
    }
}

/// A string, or a list of strings joined.
fn text(value: Option<&Value>) -> String {
    let joined = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    };
    if joined.contains('\r') { joined.replace("\r\n", "\n") } else { joined }
}

/// A text as a terminal shows it: without escapes and control characters, and of a line that was
/// written over only what was written last.
fn shown(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // A control sequence ends with a letter or one of a few signs.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // A command to the terminal ends with a bell or an escape.
                Some(']') => {
                    while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
                    if chars.next_if_eq(&'\u{1b}').is_some() {
                        chars.next_if_eq(&'\\');
                    }
                }
                _ => {}
            },
            '\n' | '\t' | '\r' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    let last = |line: &'_ str| line.trim_end_matches('\r').rsplit('\r').next().map(str::to_owned);
    plain.split('\n').filter_map(last).collect::<Vec<_>>().join("\n")
}

/// The head of an output that is too long, with a line that says so.
fn bounded(text: &str) -> String {
    let text = text.trim_end();
    let head = clip(text, OUTPUT_BYTES_MAX);
    if head.len() == text.len() {
        return text.to_owned();
    }
    format!("{}\n[{} bytes more left out]", head.trim_end(), text.len() - head.len())
}

/// A fenced block; the fence is longer than any run of backticks in it.
fn block(language: &str, text: &str, out: &mut String) {
    if text.trim().is_empty() {
        return;
    }
    let (mut run, mut longest) = (0, 2);
    for byte in text.bytes() {
        run = if byte == b'`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    paragraph(&format!("{fence}{language}\n{}\n{fence}", text.trim_end()), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK: &str = r###"{
 "nbformat": 4,
 "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
 "cells": [
  {"cell_type": "markdown", "source": ["# Tides\n", "\n", "See [[Moon]].\n"]},
  {"cell_type": "code", "source": "print('ebb')\r\nplot()", "outputs": [
    {"output_type": "stream", "name": "stdout", "text": ["ebb\n"]},
    {"output_type": "stream", "name": "stdout", "text": "10%\r50%\r100%\nflow\n"},
    {"output_type": "display_data", "data": {"text/plain": "<Figure size 1x1>", "image/png": "A"}},
    {"output_type": "execute_result", "data": {"text/plain": ["[1,\n", " 2]"], "text/html": "<b>"}}
  ]},
  {"cell_type": "code", "source": "", "outputs": []},
  {"cell_type": "raw", "source": "raw words"},
  {"cell_type": "code", "source": "x = '''\n```\n'''", "outputs": [
    {"output_type": "error", "ename": "ValueError", "evalue": "no tide",
     "traceback": ["\u001b[0;31mValueError\u001b[0m\u001b]0;t\u0007: no tide"]}
  ]}
 ]
 }"###;

    #[test]
    fn cells_become_markdown() {
        let wanted = "# Tides\n\nSee [[Moon]].\n\n```python\nprint('ebb')\nplot()\n```\n\n\
                      ```output\nebb\n100%\nflow\n```\n\n```output\n[1,\n 2]\n```\n\nraw words\n\n\
                      ````python\nx = '''\n```\n'''\n````\n\n```output\nValueError: no tide\n\
                      ValueError: no tide\n```\n";
        assert_eq!(extract(BOOK.as_bytes()).as_deref(), Ok(wanted));
    }

    #[test]
    fn the_third_format() {
        let book = r##"{"nbformat": 3, "metadata": {"name": "x"}, "worksheets": [{"cells": [
            {"cell_type": "heading", "level": 2, "source": ["Neap\n"]},
            {"cell_type": "code", "language": "Python", "input": ["1+1"], "outputs": [
                {"output_type": "pyout", "text": ["2"]},
                {"output_type": "stream", "stream": "stderr", "text": "warn"},
                {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": []}]}]}]}"##;
        let wanted = "## Neap\n\n```python\n1+1\n```\n\n```output\n2\n```\n\n```output\nwarn\n\
                      ```\n\n```output\nE: v\n```\n";
        assert_eq!(extract(book.as_bytes()).as_deref(), Ok(wanted));
    }

    #[test]
    fn long_outputs_are_cut_and_say_so() {
        let long = "é".repeat(3_000);
        let cell = |outputs: &str| {
            format!(
                r#"{{"cells": [{{"cell_type": "code", "source": "x", "outputs": [{outputs}]}}]}}"#
            )
        };
        let one = format!(r#"{{"output_type": "stream", "text": "{long}"}}"#);
        let text = extract(cell(&one).as_bytes()).unwrap();
        assert!(text.contains(&format!("{}\n[4000 bytes more left out]\n", "é".repeat(1_000))));
        let many: Vec<String> = (0..25)
            .map(|n| {
                format!(r#"{{"output_type": "execute_result", "data": {{"text/plain": "{n}"}}}}"#)
            })
            .collect();
        let text = extract(cell(&many.join(",")).as_bytes()).unwrap();
        assert_eq!(text.matches("```output").count(), 20);
        assert!(text.ends_with("\n[5 more outputs left out]\n"));
    }

    #[test]
    fn what_is_no_notebook_says_so() {
        assert_eq!(extract(b"").as_deref(), Ok(""));
        assert_eq!(extract(b" \n").as_deref(), Ok(""));
        assert_eq!(extract(br#"{"cells": []}"#).as_deref(), Ok(""));
        let reason = |bytes: &[u8]| extract(bytes).unwrap_err();
        assert_eq!(reason(b"{}"), "is no notebook: it has no `cells`");
        assert_eq!(reason(b"[1]"), "is no notebook: it has no `cells`");
        assert!(reason(b"{\"cells\": [").starts_with("is a damaged notebook: no JSON at line 1"));
        assert!(reason("[".repeat(100_000).as_bytes()).starts_with("is a damaged notebook"));
        assert!(reason(b"\xff\xfe\x00").starts_with("is a damaged notebook"));
    }

    #[test]
    fn strange_cells_are_read_or_left_out() {
        let book = r#"{"cells": [1, null, "x", [], {}, {"cell_type": "code", "source": 3,
            "outputs": [null, 1, {"output_type": "stream"}, {"data": "x"}]},
            {"cell_type": "code", "source": ["a", 1, "b"], "outputs": {}},
            {"cell_type": "new", "source": "words"}], "metadata": {"language_info":
            {"name": "C++ `x\n"}}}"#;
        let wanted = "```c++x\nab\n```\n\nwords\n";
        assert_eq!(extract(book.as_bytes()).as_deref(), Ok(wanted));
    }

    #[test]
    fn escapes_of_terminals() {
        assert_eq!(shown("\u{1b}[1;31mred\u{1b}[0m \u{1b}]8;;http://x\u{1b}\\link"), "red link");
        assert_eq!(shown("a\u{8}b\u{1b}"), "ab");
        assert_eq!(shown("\u{1b}[31"), "");
        assert_eq!(shown("1\r2\r\n3\r"), "2\n3");
    }
}
