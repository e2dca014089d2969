//! Markdown as Obsidian writes it: front matter, wiki links, tags, block ids, inline fields.
//!
//! Block structure comes from `pulldown-cmark`; tags, block ids and inline fields, which it leaves
//! in text events, are scanned here. Does not resolve links: that needs the other documents.

use super::{Class, Input, Kind, Left, Link, Parsed, Section, has_extension, outline, stem};
use crate::chunk::{Border, clip};
use crate::limit::{HEADER_BYTES_MAX, MARKS_MAX, NAME_BYTES_MAX, PROPS_MAX};
use crate::token::is_symbol;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;

/// Notes and documentation.
pub const KIND: Kind = Kind { recognise, class: Class::Note, parse, extract: None };

/// The exact name of the kind.
pub const NAME: &str = "markdown";

/// Longest value of a property that is kept, in bytes.
const PROP_BYTES_MAX: usize = 2_000;

/// The line that opens front matter.
const FRONT_LINE: u32 = 1;

/// Quote and list nesting beyond which a file is cut by lines only: no person writes it.
const NESTING_MAX: usize = 200;

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, &["md", "markdown", "mdx", "mkd"]).then_some(NAME)
}

fn parse(input: &Input) -> Parsed {
    let mut reader = Reader::new(input);
    if marks(input.text) > MARKS_MAX || nesting(input.text) > NESTING_MAX {
        reader.out.leave_out(Left::Structure, 0);
    } else {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_MATH
            | Options::ENABLE_WIKILINKS;
        reader.read_front();
        let start = reader.start;
        let text = &input.text[start..];
        for (event, bytes) in Parser::new_ext(text, options).into_offset_iter() {
            reader.event(event, start + bytes.start..start + bytes.end);
        }
    }
    reader.finish()
}

/// The YAML of front matter, and the byte behind the line that ends it. As in Obsidian, it stands
/// at a text's head alone: further down, `---` is a rule or underlines a heading. With nothing
/// directly behind it, it is a rule there too.
fn front(text: &str) -> Option<(&str, usize)> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = body.split_inclusive('\n');
    let opening = lines.next().filter(|line| line.trim_end() == "---")?;
    let start = text.len() - body.len() + opening.len();
    let mut at = start;
    for line in lines {
        let ends = matches!(line.trim_end(), "---" | "...");
        if at == start && (ends || line.trim().is_empty()) {
            return None;
        }
        if ends {
            return Some((&text[start..at], at + line.len()));
        }
        at += line.len();
    }
    None
}

/// How many lines, and characters that may be markup, a text has: for each of them the parser
/// keeps something until it is done.
fn marks(text: &str) -> usize {
    text.bytes().filter(|b| b"\n*_~$`[]!<&|\\".contains(b)).count()
}

/// The deepest run of quote or list markers at a line's head.
fn nesting(text: &str) -> usize {
    let depth = |line: &str| {
        let head =
            line.bytes().take_while(|b| matches!(b, b'>' | b' ' | b'\t' | b'-' | b'*' | b'+'));
        head.filter(|b| matches!(b, b'>' | b'-' | b'*' | b'+')).count()
    };
    let indent = |line: &str| line.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count() / 2;
    let brackets = |line: &str| line.bytes().filter(|b| *b == b'[').count() / 20;
    // A rule (`-----`) has many markers and nests nothing.
    let rule = |line: &str| line.trim().bytes().all(|b| matches!(b, b'-' | b'*' | b'+' | b' '));
    text.lines()
        .filter(|line| !rule(line))
        .map(|line| depth(line).max(indent(line)).max(brackets(line)))
        .max()
        .unwrap_or(0)
}

struct Reader<'a> {
    input: &'a Input<'a>,
    out: Parsed,
    borders: Vec<Border>,
    blocks: Vec<Block>,
    /// Where the last block ends that stands in no other.
    top_end: usize,
    heading: Option<(u8, String, usize)>,
    link: Option<(Link, usize)>,
    /// Behind the front matter.
    start: usize,
    code_depth: usize,
    text_seen: bool,
    h1: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Reader {
            input,
            out: Parsed::default(),
            borders: Vec::new(),
            blocks: Vec::new(),
            top_end: 0,
            heading: None,
            link: None,
            start: 0,
            code_depth: 0,
            text_seen: false,
            h1: None,
        }
    }

    fn read_front(&mut self) {
        let Some((yaml, end)) = front(self.input.text) else { return };
        front_matter(yaml, &mut self.out);
        self.start = end;
        self.border(end, false);
    }

    fn event(&mut self, event: Event, bytes: Range<usize>) {
        self.block(&event, &bytes);
        match event {
            Event::Start(tag) => self.open(tag, bytes),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => {
                self.inline(&text);
                if self.code_depth == 0 {
                    // The text behind a backslash is an event of its own.
                    let before = self.input.text.get(..bytes.start);
                    let escaped = before.is_some_and(|before| before.ends_with('\\'));
                    scan_tags(&text, escaped, &mut self.out);
                    self.text_seen |= self.heading.is_none() && !text.trim().is_empty();
                }
            }
            Event::Code(text) => self.inline(&text),
            Event::SoftBreak | Event::HardBreak => self.inline(" "),
            _ => {}
        }
    }

    /// Keeps what a block id can name. Whatever begins behind the last block is one itself.
    fn block(&mut self, event: &Event, bytes: &Range<usize>) {
        let is_item = matches!(event, Event::Start(Tag::Item));
        let is_top = bytes.start >= self.top_end && matches!(event, Event::Start(_) | Event::Rule);
        if is_top {
            self.top_end = bytes.end;
        }
        if is_top || is_item {
            let line = self.input.lines.line(bytes.start);
            let start = self.input.lines.bytes(line, line).start;
            self.blocks.push(Block { bytes: start..bytes.end, is_item });
        }
    }

    fn inline(&mut self, text: &str) {
        if let Some((_, heading, _)) = &mut self.heading {
            heading.push_str(text);
        }
        if let Some((link, _)) = &mut self.link {
            link.text.push_str(text);
        }
    }

    fn open(&mut self, tag: Tag, bytes: Range<usize>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.border(bytes.start, true);
                self.heading = Some((level as u8, String::new(), bytes.start));
            }
            Tag::CodeBlock(_) => {
                self.code_depth += 1;
                self.border(bytes.start, false);
            }
            Tag::Paragraph | Tag::Item | Tag::Table(_) | Tag::BlockQuote(_) | Tag::HtmlBlock => {
                self.border(bytes.start, false);
            }
            Tag::Link { link_type, dest_url, .. } => {
                self.open_link(link_type, &dest_url, false, &bytes);
            }
            Tag::Image { link_type, dest_url, .. } => {
                self.open_link(link_type, &dest_url, true, &bytes);
            }
            _ => {}
        }
    }

    fn border(&mut self, at: usize, hard: bool) {
        let line = self.input.lines.line(at);
        let start = self.input.lines.bytes(line, line).start;
        self.borders.push(Border { at: start, hard });
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                if let Some((level, text, start)) = self.heading.take() {
                    let text = clip(text.trim(), HEADER_BYTES_MAX).to_owned();
                    if level == 1 && self.h1.is_none() && !self.text_seen {
                        self.h1 = Some(text.clone());
                    }
                    let line = self.input.lines.line(start);
                    let start = self.input.lines.bytes(line, line).start;
                    let bytes = start..self.input.text.len();
                    self.out.add_section(Section { level, text, bytes, line });
                }
            }
            TagEnd::CodeBlock => self.code_depth = self.code_depth.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => {
                if let Some((link, _)) = self.link.take() {
                    self.out.add_link(link);
                }
            }
            _ => {}
        }
    }

    fn open_link(&mut self, kind: LinkType, dest: &str, embed: bool, bytes: &Range<usize>) {
        let wiki = matches!(kind, LinkType::WikiLink { .. });
        let Some((target, anchor)) = link_target(dest, wiki) else { return };
        let line = self.input.lines.line(bytes.start);
        let link = Link { target, anchor, text: String::new(), wiki, embed, line };
        self.link = Some((link, bytes.start));
    }

    fn finish(mut self) -> Parsed {
        let text = self.input.text;
        let end = self.out.sections_end(text.len());
        outline::close(&mut self.out.sections, end);
        scan_lines(self.input, self.start, &self.blocks, &mut self.out);
        self.out.sort_tags();
        self.name();
        let (title, sections) = (&self.out.title, &self.out.sections);
        self.out.chunks = outline::chunks(self.input, title, sections, &self.borders);
        self.out
    }

    /// Title: front matter, else a first-level heading that opens the text, else the file's name.
    /// The names not taken stay findable as aliases.
    fn name(&mut self) {
        let stem = stem(self.input.path).to_owned();
        let given = self.out.props.iter().find(|(key, _)| key == "title");
        let given = given.map(|(_, value)| value.clone()).filter(|value| !value.is_empty());
        let title = given.or_else(|| self.h1.clone().filter(|h1| !h1.is_empty()));
        self.out.title = title.unwrap_or_else(|| stem.clone());
        // As headings are, one of which may say the same.
        self.out.bound_names();
        if self.out.title != stem {
            self.out.aliases.push(stem);
        }
        if let Some(h1) = self.h1.take()
            && h1 != self.out.title
            && !h1.is_empty()
        {
            self.out.aliases.push(h1);
        }
    }
}

/// Splits a link's destination into target and anchor; `None` for links that leave the vault.
fn link_target(dest: &str, wiki: bool) -> Option<(String, Option<String>)> {
    // In a table Obsidian writes `[[note\|text]]`, so that the bar ends no cell.
    let bare = dest.strip_suffix('\\').filter(|bare| wiki && !bare.trim().is_empty());
    let dest = bare.unwrap_or(dest);
    let (target, anchor) = match dest.split_once('#') {
        Some((target, anchor)) => (target, Some(anchor.to_owned())),
        None => (dest, None),
    };
    if wiki {
        return Some((target.trim().to_owned(), anchor));
    }
    let scheme = target.split_once(':').is_some_and(|(s, _)| {
        s.len() > 1 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    if scheme || target.starts_with("//") {
        return None;
    }
    Some((unescape(target), anchor.map(|a| unescape(&a))))
}

/// Percent-decoding that leaves broken escapes as they are.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Inline tags: `#word/word`, at a line's head or behind a space, with at least one letter or
/// symbol. The first character of an `escaped` text opens none.
fn scan_tags(text: &str, escaped: bool, out: &mut Parsed) {
    let mut before = if escaped { '\\' } else { ' ' };
    for (at, c) in text.char_indices() {
        let opens = before.is_whitespace() || matches!(before, '(' | '[' | ',' | ';');
        before = c;
        if c != '#' || !opens {
            continue;
        }
        let rest = &text[at + 1..];
        let len = rest.find(|c: char| !is_tag(c)).unwrap_or(rest.len());
        let tag = rest[..len].trim_end_matches('/');
        if tag.chars().any(names_tag) {
            out.add_tag(tag);
        }
    }
}

fn is_tag(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '_' | '-' | '/') || names_tag(c) || is_joined(c)
}

/// Whether a character makes a tag: as in Obsidian a letter or a symbol, emoji among them.
fn names_tag(c: char) -> bool {
    !c.is_ascii_digit() && c.is_alphanumeric() || is_symbol(c)
}

/// What belongs to the character before it: signs over and under letters, the marks by which
/// letters and emoji are joined, and the tags of which flags are made.
fn is_joined(c: char) -> bool {
    let joins = matches!(c, '\u{200c}' | '\u{200d}' | '\u{e0020}'..='\u{e007f}');
    joins || is_combining_mark(c)
}

/// What a block id can name, as in Obsidian: an item of a list, or what stands in nothing else.
struct Block {
    /// From the start of its first line on.
    bytes: Range<usize>,
    is_item: bool,
}

/// Finds the blocks that ids name, for one line after the other.
#[derive(Default)]
struct Blocks<'b> {
    /// Those that begin behind the last line.
    left: &'b [Block],
    /// Items around it, the outermost first.
    items: Vec<&'b Block>,
    /// The last block that stands in no other, and the one before it.
    top: Option<&'b Block>,
    before: Option<&'b Block>,
    /// Where a formula begins that is open, and the last one that is closed. To the parser a blank
    /// line ends it.
    open: Option<usize>,
    formula: Range<usize>,
}

impl Blocks<'_> {
    /// Looks whether `$$` opens or closes a formula on a line.
    fn look(&mut self, line: &str, bytes: &Range<usize>) {
        match self.open {
            Some(start) if line.contains("$$") => {
                self.formula = start..bytes.end;
                self.open = None;
            }
            None if line.strip_prefix("$$").is_some_and(|rest| !rest.contains("$$")) => {
                self.open = Some(bytes.start);
            }
            _ => {}
        }
    }

    /// The bytes of the block that an id at the end of a line names. On a line of its own that is
    /// the block which it goes on or stands behind.
    fn named(&mut self, text: &str, line: Range<usize>) -> Range<usize> {
        self.go_to(line.start);
        let written = &text[line.clone()];
        let item = self.items.last().filter(|_| !written.starts_with('^')).copied();
        let block = item.or_else(|| match written.trim_start().starts_with('^') {
            true => self.top.filter(|top| top.bytes.start < line.start).or(self.before),
            false => self.top.filter(|top| top.bytes.end > line.start),
        });
        let Some(block) = block else { return line };
        let start = block.bytes.start;
        let start = if self.formula.contains(&start) { self.formula.start } else { start };
        start..text[..block.bytes.end].trim_end().len().max(line.end)
    }

    fn go_to(&mut self, at: usize) {
        while let Some((next, rest)) = self.left.split_first()
            && next.bytes.start <= at
        {
            self.left = rest;
            if next.is_item {
                self.close(next.bytes.start);
                self.items.push(next);
            } else {
                (self.before, self.top) = (self.top, Some(next));
            }
        }
        self.close(at);
    }

    fn close(&mut self, at: usize) {
        while self.items.last().is_some_and(|item| item.bytes.end <= at) {
            self.items.pop();
        }
    }
}

/// Block ids (` ^id` at a line's end) and inline fields (`key:: value`, `[key:: value]`) from byte
/// `start` on.
fn scan_lines(input: &Input, start: usize, blocks: &[Block], out: &mut Parsed) {
    let mut blocks = Blocks { left: blocks, ..Blocks::default() };
    let mut fence: Option<&str> = None;
    for number in input.lines.line(start)..=input.lines.count() {
        let bytes = input.lines.bytes(number, number);
        let line = input.text[bytes.clone()].trim_end();
        let mark = line.trim_start();
        match fence {
            Some(open) if mark.starts_with(open) => fence = None,
            Some(_) => continue,
            None if mark.starts_with("```") => fence = Some("```"),
            None if mark.starts_with("~~~") => fence = Some("~~~"),
            None => {}
        }
        blocks.look(mark, &bytes);
        if line.is_empty() || is_rule(mark) {
            continue;
        }
        if let Some(id) = block_id(line) {
            let block = blocks.named(input.text, bytes.start..bytes.start + line.len());
            out.add_block(id, block);
        }
        inline_fields(line, out);
    }
}

fn is_rule(line: &str) -> bool {
    line.len() >= 3 && [b'-', b'*', b'_'].iter().any(|sign| line.bytes().all(|b| b == *sign))
}

fn block_id(line: &str) -> Option<&str> {
    let caret = line.rfind('^')?;
    let id = &line[caret + 1..];
    let spaced = caret == 0 || line[..caret].ends_with(char::is_whitespace);
    let named = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (spaced && named).then_some(id)
}

fn inline_fields(line: &str, out: &mut Parsed) {
    let mut rest = line;
    while let Some(at) = rest.find("::") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let bracket = before.rfind(['[', '(']);
        let head = bracket.map_or(before, |b| &before[b + 1..]);
        let key = head.trim().trim_start_matches(['-', '*', '+', '>', ' ']).trim();
        let key = key.trim_start_matches("[ ]").trim_start_matches("[x]").trim_matches('*').trim();
        let spaced = after.starts_with(' ');
        let named = !key.is_empty()
            && key.len() <= 60
            && key.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        if spaced && named {
            if out.props.len() >= PROPS_MAX {
                return out.leave_out(Left::Properties, 0);
            }
            let end = if bracket.is_some() { after.find([']', ')']) } else { None };
            let value = clip(after[..end.unwrap_or(after.len())].trim(), PROP_BYTES_MAX);
            out.add_prop(key.to_lowercase(), value.to_owned());
        }
        rest = after;
    }
}

/// Reads front matter by YAML events, so that every scalar keeps its text. A line that YAML
/// refuses (`title: Foo: bar`) is read as `key: rest of the line`.
fn front_matter(yaml: &str, out: &mut Parsed) {
    let mut pairs = Vec::new();
    if yaml_pairs(yaml, &mut pairs).is_none() {
        pairs.clear();
        line_pairs(yaml, &mut pairs);
    }
    if pairs.len() > PROPS_MAX {
        pairs.truncate(PROPS_MAX);
        out.leave_out(Left::Properties, 0);
    }
    for pair in &mut pairs {
        pair.value = clip(&pair.value, PROP_BYTES_MAX).to_owned();
    }
    // What YAML reads where nothing stands is a property's value, and nobody's name.
    for pair in pairs.iter().filter(|pair| !matches!(pair.value.as_str(), "" | "~" | "null")) {
        let value = &pair.value;
        match pair.key.as_str() {
            // An item of a list is one name, commas or not.
            "aliases" | "alias" if pair.item => out.add_alias(value.clone()),
            "aliases" | "alias" => {
                outline::split_list(value).for_each(|alias| out.add_alias(alias));
            }
            "tags" | "tag" => {
                for tag in outline::split_list(value) {
                    let words = tag.split_whitespace();
                    words.for_each(|word| out.add_tag(word.trim_start_matches('#')));
                }
            }
            _ => {}
        }
        if let Some(link) = property_link(value, FRONT_LINE + pair.line) {
            out.add_link(link);
        }
    }
    pairs.into_iter().for_each(|pair| out.add_prop(pair.key, pair.value));
}

/// A value of the front matter.
struct Pair {
    key: String,
    value: String,
    /// One of a list.
    item: bool,
    /// Where the value begins, from 1 at the first line of the YAML.
    line: u32,
}

/// A property that is a wiki link counts as a link of the note, as in Obsidian.
fn property_link(value: &str, line: u32) -> Option<Link> {
    let inner = value.strip_prefix("[[")?.strip_suffix("]]")?;
    let (dest, text) = inner.split_once('|').unwrap_or((inner, inner));
    let (target, anchor) = link_target(dest, true)?;
    Some(Link { target, anchor, text: text.to_owned(), wiki: true, embed: false, line })
}

/// `key: value` pairs by lines, lists of `- item` lines joined under their key.
fn line_pairs(yaml: &str, pairs: &mut Vec<Pair>) {
    for (number, line) in (1..).zip(yaml.lines()) {
        // One more than are kept: that they are too many is said.
        if pairs.len() > PROPS_MAX {
            break;
        }
        let item = line.trim_start().strip_prefix("- ").zip(pairs.last());
        let item = item.map(|(item, last)| (last.key.clone(), unquote(item)));
        if let Some((key, value)) = item {
            pairs.push(Pair { key, value, item: true, line: number });
        } else if let Some((key, value)) = line.split_once(':')
            && !key.starts_with([' ', '#'])
            && key.len() <= 200
        {
            let key = key.trim().to_lowercase();
            pairs.push(Pair { key, value: unquote(value), item: false, line: number });
        }
    }
    pairs.retain(|pair| !pair.value.is_empty());
}

fn unquote(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

/// Walks the events of one mapping; nested keys join with a dot, list items repeat their key.
/// `None` where YAML refuses the text.
fn yaml_pairs(yaml: &str, pairs: &mut Vec<Pair>) -> Option<()> {
    use saphyr_parser::{Event, Parser};
    let mut levels: Vec<Level> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    for event in Parser::new_from_str(yaml) {
        if pairs.len() > PROPS_MAX {
            break;
        }
        let (event, place) = event.ok()?;
        match event {
            Event::MappingStart(..) => levels.push(Level { map: true, keyed: false }),
            Event::SequenceStart(..) => levels.push(Level { map: false, keyed: false }),
            Event::MappingEnd | Event::SequenceEnd => {
                levels.pop();
                close_value(&mut levels, &mut path);
            }
            Event::Scalar(text, ..) => {
                let level = levels.last_mut()?;
                if level.map && !level.keyed {
                    path.push(long_key(&text.to_lowercase()));
                    level.keyed = true;
                } else {
                    let (key, item) = (long_key(&path.join(".")), !level.map);
                    let line = u32::try_from(place.start.line()).unwrap_or(u32::MAX - FRONT_LINE);
                    pairs.push(Pair { key, value: text.trim().to_owned(), item, line });
                    close_value(&mut levels, &mut path);
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// A key as it is until it is cut with a word about it: each of hundreds of values repeats it.
fn long_key(key: &str) -> String {
    clip(key, 2 * NAME_BYTES_MAX).to_owned()
}

/// One open YAML collection; `keyed` while a mapping waits for the value of its last key.
struct Level {
    map: bool,
    keyed: bool,
}

/// A value ended: the mapping around it is ready for its next key.
fn close_value(levels: &mut [Level], path: &mut Vec<String>) {
    if let Some(level) = levels.last_mut()
        && level.map
        && level.keyed
    {
        level.keyed = false;
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::LineIndex;
    use crate::limit::{BLOCKS_MAX, LINKS_MAX, SECTIONS_MAX, TAGS_MAX};
    use proptest::prelude::*;

    fn read(text: &str) -> Parsed {
        let lines = LineIndex::new(text);
        parse(&Input { path: "notes/Tide pools.md", text, lines: &lines })
    }

    fn prop<'p>(parsed: &'p Parsed, key: &str) -> Vec<&'p str> {
        parsed.props.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect()
    }

    #[test]
    fn front_matter_keeps_the_text_of_scalars() {
        let parsed = read(
            "---\naliases: [Rock pools, Pools]\ntags:\n  - field/sea\n  - '#urgent'\n\
             n: 0777\ndraft: yes\nup: \"[[Index]]\"\nnest:\n  a: 1\n---\nText #inline-tag.\n",
        );
        assert_eq!(parsed.aliases, ["Rock pools", "Pools"]);
        assert_eq!(parsed.tags, ["field/sea", "inline-tag", "urgent"]);
        assert_eq!(prop(&parsed, "n"), ["0777"]);
        assert_eq!(prop(&parsed, "draft"), ["yes"]);
        assert_eq!(prop(&parsed, "nest.a"), ["1"]);
        assert_eq!(parsed.title, "Tide pools");
        assert_eq!(parsed.links[0].target, "Index");
    }

    #[test]
    fn front_matter_stands_at_the_head_alone() {
        let text = "Intro.\n\n---\n## Second\nSee [[Other]]. #lost\n\n---\n\nTail.\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let parsed = read(&text);
            assert_eq!(outline::proof::outline(&parsed), [(2, "Second")]);
            assert_eq!(parsed.sections[0].line, 4);
            assert_eq!((parsed.links[0].target.as_str(), parsed.links[0].line), ("Other", 5));
            assert_eq!(parsed.tags, ["lost"]);
            assert!(parsed.props.is_empty(), "{:?}", parsed.props);
        }
        let text = "---\nkey: a\n---\nText ^b1\n\n---\n# Third\n[[X]]\n\n---\n";
        let parsed = read(text);
        let third = &parsed.sections[0];
        assert_eq!((third.line, third.bytes.start), (7, text.find("# Third").unwrap()));
        assert_eq!(parsed.links[0].line, 8);
        assert_eq!(outline::proof::block(&parsed, text, "b1"), "Text ^b1");
        for head in [
            "---\nkey: a\n---",
            "---\r\nkey: a\r\n---\r\nText",
            "--- \nkey: a\n...\nText",
            "\u{feff}---\nkey: a\n---\n",
        ] {
            assert_eq!(prop(&read(head), "key"), ["a"], "{head:?}");
        }
        for none in [
            "---\n\nkey: a\n---\n",
            "---\n---\nkey: a\n---\n",
            "----\nkey: a\n----\n",
            "\n---\nkey: a\n---\n",
            "---\nkey: a\n",
        ] {
            assert!(read(none).props.is_empty(), "{none:?}");
        }
    }

    #[test]
    fn broken_front_matter_is_read_by_lines() {
        let parsed = read("---\ntitle: Foo: bar\ntags: a\n---\nText\n");
        assert_eq!(parsed.title, "Foo: bar");
        assert_eq!(parsed.tags, ["a"]);
        assert_eq!(parsed.aliases, ["Tide pools"]);
    }

    #[test]
    fn a_link_in_a_property_stands_at_its_line() {
        let links = "aliases: [x]\nup: \"[[Up]]\"\nrelated:\n  - \"[[One]]\"\n  - \"[[Two|2]]\"\n";
        for head in ["", "title: Foo: bar\n"] {
            let text = format!("---\n{head}{links}---\n[[Three]]\n");
            for text in [text.replace('\n', "\r\n"), text] {
                for link in &read(&text).links {
                    let line = text.lines().nth(link.line as usize - 1);
                    assert!(line.is_some_and(|line| line.contains(&link.target)), "{link:?}");
                }
                assert_eq!(read(&text).links.len(), 4);
            }
        }
    }

    #[test]
    fn items_of_a_list_are_whole_and_nothing_is_no_name() {
        let parsed = read("---\naliases: [\"Smith, John\", J. S.]\ntags: [a, 'b, c']\n---\nText\n");
        assert_eq!(parsed.aliases, ["Smith, John", "J. S."]);
        assert_eq!(parsed.tags, ["a", "b", "c"]);
        assert_eq!(read("---\naliases:\n  - a, b\n---\n").aliases, ["a, b"]);
        assert_eq!(read("---\naliases: a, b\n---\n").aliases, ["a", "b"]);
        assert_eq!(read("---\nx: y: z\naliases:\n- a, b\n---\n").aliases, ["a, b"]);
        let parsed = read("---\naliases:\ntags:\ndraft:\n---\nText\n");
        assert_eq!((parsed.aliases.len(), parsed.tags.len(), parsed.props.len()), (0, 0, 3));
    }

    #[test]
    fn tags_hold_what_obsidian_takes() {
        for (text, tag) in [
            ("#हिन्दी x", "हिन्दी"),
            ("#cafe\u{301}, x", "cafe\u{301}"),
            ("a #🏠/garden.", "🏠/garden"),
            ("#👩\u{200d}🚀-x", "👩\u{200d}🚀-x"),
            ("#✅ done", "✅"),
            ("#2024/x", "2024/x"),
            ("#标签，x", "标签"),
        ] {
            assert_eq!(read(text).tags, [tag], "{text}");
        }
        for text in ["\\#tag x", "see \\#tag", "#2024", "#\u{fe0f}\u{20e3}", "a#b", "# head"] {
            assert!(read(text).tags.is_empty(), "{text}");
        }
        assert_eq!(read("\\# #tag\\\n#more").tags, ["more", "tag"]);
    }

    #[test]
    fn links_blocks_fields_and_sections() {
        let parsed = read(
            "# Pools\n\nSee [[Moon#Phases|the moon]] and ![[map.png]] and [x](../a%20b.md#c).\n\n\
             ## Rules\n\n- never alone ^rule-1\nowner:: Ada\n\n[web](https://example.org)\n",
        );
        let targets: Vec<_> = parsed.links.iter().map(|l| l.target.as_str()).collect();
        assert_eq!(targets, ["Moon", "map.png", "../a b.md"]);
        assert_eq!(parsed.links[0].anchor.as_deref(), Some("Phases"));
        assert_eq!(parsed.links[0].text, "the moon");
        assert!(parsed.links[1].embed);
        assert_eq!(parsed.blocks[0].0, "rule-1");
        assert_eq!(prop(&parsed, "owner"), ["Ada"]);
        assert_eq!(parsed.title, "Pools");
        assert_eq!(parsed.sections[1].text, "Rules");
        assert_eq!(parsed.sections[0].bytes.end, parsed.sections[1].bytes.end);
    }

    #[test]
    fn a_bar_that_is_escaped_for_a_table_ends_the_target() {
        let parsed = read(
            "---\nup: '[[Up\\|up]]'\n---\n| a | b |\n|---|---|\n\
             | [[Other\\|alias]] | ![[Other#^blk\\|40]] |\n\n[[\\|x]] and [x](a\\)\n",
        );
        let links = outline::proof::links(&parsed);
        let expected =
            [("Up", None, "up"), ("Other", None, "alias"), ("Other", Some("^blk"), "40")];
        assert_eq!(links[..3], expected);
        assert!(links[3..].iter().all(|(target, ..)| *target != "Other"), "{links:?}");
    }

    #[test]
    fn an_id_names_its_block_alone() {
        let text = "First\n\nSecond\n \t\nThird\nof two\n\n^own\n\n\
                    1. one\n2) two ^two\n10. ten ^ten\n\n\
                    a\n**b** ^b\n***\nc ^c\n\nlast\n^last\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let parsed = read(&text);
            for (id, block) in [
                ("own", "Third\nof two\n\n^own"),
                ("two", "2) two ^two"),
                ("ten", "10. ten ^ten"),
                ("b", "a\n**b** ^b"),
                ("c", "c ^c"),
                ("last", "last\n^last"),
            ] {
                let found = outline::proof::block(&parsed, &text, id).replace("\r\n", "\n");
                assert_eq!(found, block);
            }
        }
        let text = "\n^none\n";
        assert_eq!(read(text).blocks, [("none".to_owned(), 1..6)]);
        let text = "---\nkey: a\n---\n^none\n";
        assert_eq!(outline::proof::block(&read(text), text, "none"), "^none");
    }

    #[test]
    fn an_id_names_what_the_parser_takes_for_a_block() {
        let text = "## Head\nright below\n^p1\n\n\
                    ## Quote\n> [!note]\n> said\n\n^q1\n\n\
                    Before:\n- a ^s1\n  goes on\n\n  and on\n  - sub ^sub\n- b\n\n^whole\n\n\
                    ## Table\n| a | b |\n|---|---|\n| 1 | 2 |\n^t1\n\n\
                    ```rust\nlet a = 1;\n\nlet b = 2;\n```\n^c1\n\n\
                    $$\na\n\nb\n$$\n\n^m1\n\n> one\n>\n> two ^q2\n\n\
                    - c\n  ^c2\n\n## End ^h1\nText\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let parsed = read(&text);
            for (id, block) in [
                ("p1", "right below\n^p1"),
                ("q1", "> [!note]\n> said\n\n^q1"),
                ("s1", "- a ^s1\n  goes on\n\n  and on\n  - sub ^sub"),
                ("sub", "  - sub ^sub"),
                ("whole", "- a ^s1\n  goes on\n\n  and on\n  - sub ^sub\n- b\n\n^whole"),
                ("t1", "| a | b |\n|---|---|\n| 1 | 2 |\n^t1"),
                ("c1", "```rust\nlet a = 1;\n\nlet b = 2;\n```\n^c1"),
                ("m1", "$$\na\n\nb\n$$\n\n^m1"),
                ("q2", "> one\n>\n> two ^q2"),
                ("c2", "- c\n  ^c2"),
                ("h1", "## End ^h1"),
            ] {
                let found = outline::proof::block(&parsed, &text, id).replace("\r\n", "\n");
                assert_eq!(found, block, "{id}");
            }
        }
    }

    #[test]
    fn deep_nesting_is_cut_by_lines() {
        for mark in ["> ", "- ", "[", "*", "  - "] {
            let text = mark.repeat(50_000);
            let parsed = read(&text);
            assert_eq!(parsed.chunks.last().map(|c| c.bytes.end), Some(text.len()));
        }
        let list: String = (0..50_000).map(|n| format!("{}- a\n", " ".repeat(n % 5000))).collect();
        assert!(!read(&list[..2_000_000]).chunks.is_empty());
    }

    #[test]
    fn a_page_of_headings_alone_is_read_in_time() {
        let text: String =
            (0..400_000).map(|n| format!("{} h{}\n", "#".repeat(1 + n % 6), n % 10)).collect();
        let parsed = read(&text);
        assert_eq!(parsed.sections.len(), SECTIONS_MAX);
        assert!(parsed.left_out().unwrap().contains("headings"));
        let around = |at: usize| {
            let inside = |s: &&Section| s.bytes.start <= at && at < s.bytes.end;
            parsed.sections.iter().filter(inside).map(|s| s.text.clone()).next_back()
        };
        for chunk in parsed.chunks.iter().step_by(parsed.chunks.len() / 50) {
            assert_eq!(chunk.heading, around(chunk.bytes.start));
        }
    }

    #[test]
    fn what_is_over_a_bound_is_said_and_stays_in_the_passages() {
        let said = |text: &str| {
            let parsed = read(text);
            assert_eq!(parsed.chunks.last().map(|c| c.bytes.end), Some(text.len()));
            (parsed.left_out().unwrap_or_default(), parsed)
        };
        let (left, parsed) = said(&"# a\n".repeat(MARKS_MAX + 1));
        assert!(left.contains("lines") && parsed.sections.is_empty(), "{left}");
        let ids: String = (0..BLOCKS_MAX + 1).map(|n| format!("a ^b{n}\n")).collect();
        let (left, parsed) = said(&ids);
        assert!(left.contains("block ids") && parsed.blocks.len() == BLOCKS_MAX, "{left}");
        let (left, parsed) = said(&"[[a]] b\n".repeat(LINKS_MAX + 1));
        assert!(left.contains("links") && parsed.links.len() == LINKS_MAX, "{left}");
        let tags: String = (0..TAGS_MAX + 1).map(|n| format!("#t{n} b\n")).collect();
        let (left, parsed) = said(&tags);
        assert!(left.contains("tags") && parsed.tags.len() == TAGS_MAX, "{left}");
        for fields in ["k: 1\n".repeat(PROPS_MAX + 1), format!("k: [{}1]\n", "1, ".repeat(900))] {
            let (left, parsed) = said(&format!("---\n{fields}---\nText\n"));
            assert!(left.contains("properties") && parsed.props.len() == PROPS_MAX, "{left}");
        }
        let (left, parsed) = said(&format!("# {}\n\n## b\n\nText\n", "long ".repeat(400)));
        assert_eq!(left, "", "a heading is whole in its passage");
        assert!(parsed.title.len() <= HEADER_BYTES_MAX && parsed.sections.len() == 2);
        let kept = parsed.chunks.iter().filter_map(|c| c.heading.as_ref()).map(String::len);
        assert!(kept.max().unwrap() <= HEADER_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_tiled(text in "([-#>\\[\\]`*a é\n:^!|]{0,12}){0,20}") {
            let parsed = read(&text);
            let mut at = 0;
            for chunk in &parsed.chunks {
                prop_assert_eq!(chunk.bytes.start, at);
                at = chunk.bytes.end;
            }
            prop_assert_eq!(at, text.len());
        }
    }
}
