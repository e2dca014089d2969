//! JSON Canvas, Obsidian's boards: cards and arrows, made into Markdown in reading order.
//!
//! A group is a heading over the cards whose middle lies in it, a card with a file is a wiki link,
//! and the arrows are a list at the end. Headings in cards are put below those of their group.

use super::outline::{one_line, paragraph};
use super::{Class, Kind, has_extension, markdown, stem};
use crate::chunk::clip;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;

/// Boards.
pub const KIND: Kind =
    Kind { recognise, class: Class::Note, parse: markdown::KIND.parse, extract: Some(extract) };

/// Most groups that take cards in; every card is held against every group. Further ones are
/// headings over nothing.
const GROUPS_MAX: usize = 500;

/// Longest name of a card in the list of arrows, in bytes.
const NAME_BYTES_MAX: usize = 80;

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, &["canvas"]).then_some("canvas")
}

fn extract(bytes: &[u8]) -> Result<String, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // Obsidian makes new canvases without a byte in them.
    if bytes.trim_ascii().is_empty() {
        return Ok(String::new());
    }
    let canvas: Value = serde_json::from_slice(bytes).map_err(|error| {
        format!("is a damaged canvas: no JSON at line {}, {}", error.line(), error.column())
    })?;
    if !canvas.is_object() {
        return Err("is no canvas: its JSON is not an object".to_owned());
    }
    let list = |key: &str| canvas.get(key).and_then(Value::as_array);
    let mut nodes: Vec<Node> = list("nodes").into_iter().flatten().map(Node::read).collect();
    // Reading order: by rows, then from the left.
    nodes.sort_by(|a, b| a.top.total_cmp(&b.top).then(a.left.total_cmp(&b.left)));
    let mut out = String::new();
    write_nodes(&nodes, &mut out);
    write_edges(&nodes, list("edges").map_or(&[], Vec::as_slice), &mut out);
    Ok(out)
}

/// A card or a group.
struct Node<'v> {
    value: &'v Value,
    kind: &'v str,
    top: f64,
    left: f64,
    width: f64,
    height: f64,
}

impl<'v> Node<'v> {
    fn read(value: &'v Value) -> Self {
        let number = |key: &str| value.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        Node {
            value,
            kind: value.get("type").and_then(Value::as_str).unwrap_or_default(),
            top: number("y"),
            left: number("x"),
            width: number("width"),
            height: number("height"),
        }
    }

    fn part(&self, key: &str) -> &'v str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn group(&self) -> bool {
        self.kind == "group"
    }

    fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Whether the middle of `other` lies in this rectangle.
    fn holds(&self, other: &Node) -> bool {
        let (x, y) = (other.left + other.width / 2.0, other.top + other.height / 2.0);
        (self.left..=self.left + self.width).contains(&x)
            && (self.top..=self.top + self.height).contains(&y)
    }

    /// What the list of arrows calls it.
    fn name(&self) -> String {
        let name = match self.kind {
            "file" => stem(self.part("file")).to_owned(),
            "link" => self.part("url").to_owned(),
            "group" => self.part("label").to_owned(),
            _ => {
                let line = self.part("text").lines().map(str::trim).find(|line| !line.is_empty());
                line.unwrap_or_default().trim_start_matches(['#', '-', '>', ' ']).to_owned()
            }
        };
        let name = one_line(&name);
        let head = clip(&name, NAME_BYTES_MAX);
        if name.is_empty() {
            format!("({})", self.kind)
        } else if head.len() < name.len() {
            format!("{}…", head.trim_end())
        } else {
            name
        }
    }
}

/// Cards outside of groups first, then every group with its cards and the groups in it.
fn write_nodes(nodes: &[Node], out: &mut String) {
    let groups: Vec<&Node> = nodes.iter().filter(|node| node.group()).collect();
    let taking = groups.get(..GROUPS_MAX.min(groups.len())).unwrap_or_default();
    let mut cards: HashMap<Option<usize>, Vec<&Node>> = HashMap::new();
    for node in nodes.iter().filter(|node| !node.group()) {
        cards.entry(innermost(taking, node, None)).or_default().push(node);
    }
    let mut below: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (idx, group) in groups.iter().enumerate() {
        below.entry(innermost(taking, group, Some(idx))).or_default().push(idx);
    }
    for card in cards.remove(&None).unwrap_or_default() {
        write_card(card, 1, out);
    }
    // Groups that wait, the next one last, each with the level of its heading.
    let next = |below: &mut HashMap<_, Vec<usize>>, of| below.remove(&of).unwrap_or_default();
    let mut open: Vec<(usize, usize)> =
        next(&mut below, None).into_iter().rev().map(|idx| (idx, 2)).collect();
    while let Some((idx, level)) = open.pop() {
        let label = groups.get(idx).map_or("", |group| group.part("label"));
        let label = one_line(label);
        let label = if label.is_empty() { "Group" } else { &label };
        paragraph(&format!("{} {label}", "#".repeat(level)), out);
        for card in cards.remove(&Some(idx)).unwrap_or_default() {
            write_card(card, level, out);
        }
        let inner = next(&mut below, Some(idx));
        open.extend(inner.into_iter().rev().map(|idx| (idx, (level + 1).min(6))));
    }
}

/// The smallest of `groups` that holds `node`; a group (`own` is its place) only one that is
/// larger than it, so that no group is around itself.
fn innermost(groups: &[&Node], node: &Node, own: Option<usize>) -> Option<usize> {
    let around = groups.iter().enumerate().filter(|(idx, group)| {
        let larger = own.is_none_or(|own| {
            group.area() > node.area() || (group.area() == node.area() && *idx < own)
        });
        larger && Some(*idx) != own && group.holds(node)
    });
    around.min_by(|(_, a), (_, b)| a.area().total_cmp(&b.area())).map(|(idx, _)| idx)
}

fn write_card(card: &Node, level: usize, out: &mut String) {
    match card.kind {
        "text" => paragraph(&lowered(card.part("text"), level), out),
        "file" => {
            let path = format!("{}{}", card.part("file"), card.part("subpath"));
            let path = path.replace(['\n', '\r', '|', '[', ']'], " ");
            if !path.trim().is_empty() {
                paragraph(&format!("[[{}]]", path.trim()), out);
            }
        }
        "link" => {
            let url = card.part("url");
            let url: String =
                url.chars().filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>')).collect();
            if !url.is_empty() {
                paragraph(&format!("<{url}>"), out);
            }
        }
        _ => {}
    }
}

/// A card's text with its headings `by` levels deeper.
fn lowered(text: &str, by: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut open: Option<&str> = None;
    let text = text.replace("\r\n", "\n");
    for line in text.split('\n') {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        open = match open {
            Some(fence) => Some(fence).filter(|fence| mark != Some(*fence)),
            None => mark,
        };
        let marks = line.bytes().take_while(|b| *b == b'#').count();
        let body = line.trim_start_matches('#');
        let heading = (1..=6).contains(&marks) && (body.is_empty() || body.starts_with(' '));
        if heading && open.is_none() {
            out.push_str(&"#".repeat((marks + by).min(6)));
            out.push_str(body);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    // What a card leaves open must not swallow the next ones.
    out.push_str(open.unwrap_or_default());
    out
}

/// The arrows, as a list.
fn write_edges(nodes: &[Node], edges: &[Value], out: &mut String) {
    let named = nodes.iter().map(|node| (node.part("id"), node));
    // Once for each card: thousands of arrows may end at one.
    let named = named.filter(|(id, _)| !id.is_empty()).map(|(id, node)| (id, node.name()));
    let names: HashMap<&str, String> = named.collect();
    let mut list = String::new();
    for edge in edges {
        let part = |key: &str| edge.get(key).and_then(Value::as_str).unwrap_or_default();
        let ends = (names.get(part("fromNode")), names.get(part("toNode")));
        let (Some(from), Some(to)) = ends else { continue };
        let arrow = match (part("fromEnd") == "arrow", part("toEnd") != "none") {
            (false, true) => "→",
            (true, true) => "↔",
            (true, false) => "←",
            (false, false) => "—",
        };
        let label = one_line(part("label"));
        let label = if label.is_empty() { label } else { format!(": {label}") };
        let _ = writeln!(list, "- {from} {arrow} {to}{label}");
    }
    if !list.is_empty() {
        paragraph("## Connections", out);
        paragraph(&list, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANVAS: &str = r##"{"nodes": [
        {"id": "g", "type": "group", "label": "Sea", "x": 0, "y": 100, "width": 500, "height": 400},
        {"id": "h", "type": "group", "label": "Deep\nsea", "x": 250, "y": 150, "width": 200,
         "height": 300},
        {"id": "e", "type": "file", "file": "notes/Squid.md", "subpath": "#Arms", "x": 260,
         "y": 160, "width": 50, "height": 50},
        {"id": "d", "type": "link", "url": "https://example.org/a b", "x": 130, "y": 120.5,
         "width": 50, "height": 20},
        {"id": "c", "type": "text", "text": "# Tide\n\nTwice a day.\n```\n# no heading\n```",
         "x": 10, "y": 120.5, "width": 50, "height": 20},
        {"id": "b", "type": "text", "text": "Outside", "x": 900, "y": 0, "width": 10, "height": 10},
        {"id": "a", "type": "text", "text": "# First", "x": 0, "y": 0, "width": 10, "height": 10},
        {"id": "z", "type": "group", "x": 0, "y": 700, "width": 10, "height": 10}
      ], "edges": [
        {"id": "1", "fromNode": "c", "toNode": "e", "label": "feeds"},
        {"id": "2", "fromNode": "g", "toNode": "d", "fromEnd": "arrow", "toEnd": "none"},
        {"id": "3", "fromNode": "a", "toNode": "b", "fromEnd": "arrow"},
        {"id": "4", "fromNode": "a", "toNode": "gone"}
      ]}"##;

    #[test]
    fn a_board_is_read_as_a_person_reads_it() {
        let wanted = "## First\n\nOutside\n\n## Sea\n\n### Tide\n\nTwice a day.\n```\n\
                      # no heading\n```\n\n<https://example.org/ab>\n\n### Deep sea\n\n\
                      [[notes/Squid.md#Arms]]\n\n## Group\n\n## Connections\n\n\
                      - Tide → Squid: feeds\n- Sea ← https://example.org/a b\n\
                      - First ↔ Outside\n";
        assert_eq!(extract(CANVAS.as_bytes()).as_deref(), Ok(wanted));
    }

    #[test]
    fn empty_and_broken_boards() {
        for text in ["", "  \n", "{}", r#"{"nodes": [], "edges": []}"#, r#"{"nodes": 3}"#] {
            assert_eq!(extract(text.as_bytes()).as_deref(), Ok(""), "{text}");
        }
        let reason = |text: &str| extract(text.as_bytes()).unwrap_err();
        assert_eq!(reason("[]"), "is no canvas: its JSON is not an object");
        assert!(reason("{\"nodes\": [").starts_with("is a damaged canvas: no JSON at line 1"));
        assert!(reason(&"[".repeat(100_000)).starts_with("is a damaged canvas"));
    }

    #[test]
    fn strange_cards_are_left_out() {
        let text = r#"{"nodes": [1, null, {}, {"type": "text"}, {"type": "text", "text": 3},
            {"type": "file", "file": ""}, {"type": "new", "text": "no"},
            {"type": "text", "text": "yes\r\n```\nopen", "x": 1e308, "y": -1e308}],
            "edges": [1, {}, {"fromNode": 1}]}"#;
        assert_eq!(extract(text.as_bytes()).as_deref(), Ok("yes\n```\nopen\n```\n"));
    }

    #[test]
    fn groups_in_groups_without_end() {
        let group = |n: usize| {
            format!(
                r#"{{"id": "g{n}", "type": "group", "label": "G{n}", "x": {n}, "y": {n},
                    "width": {0}, "height": {0}}}"#,
                40_000 - 2 * n
            )
        };
        let card = r#"{"type": "text", "text": "in it", "x": 19999, "y": 19999}"#;
        let groups: Vec<String> = (0..2_000).map(group).collect();
        let text = format!(r#"{{"nodes": [{card},{}]}}"#, groups.join(","));
        let made = extract(text.as_bytes()).unwrap();
        assert!(made.starts_with("## G0\n\n### G1\n\n#### G2\n\n##### G3\n\n###### G4\n"));
        assert_eq!(made.matches("\n###### ").count(), 1_996);
        let same: Vec<String> = (0..300).map(|_| group(7)).collect();
        let made = extract(format!(r#"{{"nodes": [{}]}}"#, same.join(",")).as_bytes()).unwrap();
        assert_eq!(made.matches("G7").count(), 300);
    }

    #[test]
    fn long_names_are_cut() {
        let long = "é ".repeat(100);
        let text = format!(
            r#"{{"nodes": [{{"id": "a", "type": "text", "text": "{long}"}},
                {{"id": "b", "type": "text", "text": ""}}],
                "edges": [{{"fromNode": "a", "toNode": "b"}}]}}"#
        );
        let made = extract(text.as_bytes()).unwrap();
        assert!(made.ends_with("é… → (text)\n"));
    }
}
