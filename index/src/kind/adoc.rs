//! AsciiDoc as Asciidoctor and Antora read it: section titles, header attributes, anchors, macros.
//!
//! Reads lines and paragraphs, not the whole grammar: what stands in listings, literal blocks,
//! passthroughs and comments is no markup, a table holds links and no titles.
//! Paths with attributes or coordinates of Antora in them are links by name.

use super::outline::{self, Line, PROP_BYTES_MAX, one_line, split_list};
use super::text::paragraph_borders;
use super::{Class, Input, Kind, Link, Parsed, has_extension, stem};
use crate::chunk::{Border, clip};
use crate::limit::{CHUNK_BYTES_MAX, HEADER_BYTES_MAX};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Documentation in AsciiDoc.
pub const KIND: Kind = Kind { recognise, class: Class::Note, parse, extract: None };

/// Extensions of AsciiDoc documents.
const EXTENSIONS: &[&str] = &["adoc", "asciidoc", "asc"];

/// Longest path, and longest text, of a macro that is read, in bytes: a text of nothing but
/// openings must not be searched to its end once per opening.
const MACRO_BYTES_MAX: usize = 300;

/// How far the end of a block with an anchor is searched, in bytes.
const BLOCK_BYTES_MAX: usize = 4 * CHUNK_BYTES_MAX;

/// Macros that name a file: what stands before the colon.
const MACROS: &[&str] = &["xref", "link", "include", "image", "video", "audio"];

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, EXTENSIONS).then_some("asciidoc")
}

fn parse(input: &Input) -> Parsed {
    if let Some(cut) = outline::by_lines(input) {
        return cut;
    }
    let mut reader = Reader::new(input);
    let mut at = 0;
    while let Some(line) = reader.lines.get(at).copied() {
        at = reader.step(at, line);
    }
    reader.finish()
}

/// Where the reader stands in the document's header.
#[derive(Clone, Copy, PartialEq)]
enum Header {
    /// Comments and attributes before the title.
    Open,
    /// Behind the title, until a blank line.
    Titled,
    /// In the body.
    Closed,
}

struct Reader<'a> {
    input: &'a Input<'a>,
    lines: Vec<Line<'a>>,
    out: Parsed,
    borders: Vec<Border>,
    header: Header,
    title: Option<String>,
    /// Anchors that wait for the block that they name.
    anchors: Vec<&'a str>,
    /// Anchors that name a section, by its index.
    headed: Vec<(&'a str, usize)>,
    /// Links within the document, by index: what they mean is known at its end.
    refs: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Reader {
            input,
            lines: outline::lines(input.text),
            out: Parsed::default(),
            borders: paragraph_borders(input.text),
            header: Header::Open,
            title: None,
            anchors: Vec::new(),
            headed: Vec::new(),
            refs: Vec::new(),
        }
    }

    /// Reads the block at line `at`; where the next one starts.
    fn step(&mut self, at: usize, line: Line<'a>) -> usize {
        if line.blank() {
            if self.header == Header::Titled {
                self.header = Header::Closed;
            }
            return at + 1;
        }
        if line.text.starts_with("//") && !line.text.starts_with("///") {
            return at + 1;
        }
        if self.header != Header::Closed && self.head(line) {
            return at + 1;
        }
        if verbatim(line.text).is_some() {
            return self.verbatim(at, line);
        }
        if let Some(inner) = attributes(line.text) {
            self.anchors.extend(anchor(inner));
            return at + 1;
        }
        if line.text.strip_prefix('.').is_some_and(|rest| !rest.starts_with(['.', ' '])) {
            // The title of the block that comes.
            self.header = Header::Closed;
            self.inline(line.at..line.end());
            return at + 1;
        }
        if let Some((level, text)) = title(line.text) {
            self.heading(level, text, line.at);
            return at + 1;
        }
        if let Some(level) = self.underlined(at, line) {
            self.heading(level, line.text, line.at);
            return at + 2;
        }
        self.header = Header::Closed;
        self.paragraph(at, line)
    }

    /// One line of the header: an attribute, or who wrote it; whether it was one.
    fn head(&mut self, line: Line<'a>) -> bool {
        if let Some((name, value)) = attribute(line.text) {
            self.attribute(name, value);
            return true;
        }
        let first = line.text.chars().next().is_some_and(char::is_alphanumeric);
        if self.header == Header::Titled && first {
            let author = line.text.split('<').next().unwrap_or_default().trim();
            let known = self.out.props.iter().any(|(key, _)| key == "author");
            if !known && author.starts_with(char::is_alphabetic) {
                self.prop("author", author);
            }
            return true;
        }
        false
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let key = name.to_lowercase();
        match key.as_str() {
            "keywords" | "tags" => split_list(value).for_each(|tag| self.out.add_tag(tag)),
            "aliases" => split_list(value).for_each(|alias| self.out.add_alias(alias)),
            _ => {}
        }
        self.prop(&key, value);
    }

    fn prop(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            let value = clip(value, PROP_BYTES_MAX).to_owned();
            self.out.add_prop(key.to_owned(), value);
        }
    }

    fn heading(&mut self, level: usize, text: &'a str, start: usize) {
        let (text, anchors) = without_anchors(clip(text, HEADER_BYTES_MAX));
        self.anchors.extend(anchors);
        if self.header == Header::Open {
            let first = level == 1 && self.out.sections.is_empty();
            self.title = first.then(|| text.to_owned()).filter(|text| !text.is_empty());
            self.header = if first { Header::Titled } else { Header::Closed };
        }
        let idx = self.out.sections.len();
        self.headed.extend(self.anchors.drain(..).map(|id| (id, idx)));
        self.borders.push(Border { at: start, hard: true });
        self.out.add_section(outline::section(self.input, level, text, start));
    }

    /// The level of a title that is underlined, as in documents of the first AsciiDoc.
    fn underlined(&self, at: usize, line: Line<'a>) -> Option<usize> {
        let under = self.lines.get(at + 1)?.text;
        let mark = *under.as_bytes().first()?;
        let level = b"=-~^+".iter().position(|known| *known == mark)? + 1;
        let fits = under.len().abs_diff(line.text.chars().count()) < 2 && under.len() > 1;
        let word = line.text.chars().next().is_some_and(char::is_alphanumeric);
        (fits && word && under.bytes().all(|b| b == mark)).then_some(level)
    }

    /// A block that is read without a look for titles; of a table the links are read.
    fn verbatim(&mut self, at: usize, line: Line<'a>) -> usize {
        self.header = Header::Closed;
        let closing = verbatim(line.text).unwrap_or_default();
        let inside = self.lines.iter().skip(at + 1);
        let close = at + 1 + inside.take_while(|line| line.text != closing).count();
        let end = self.lines.get(close).map_or(self.input.text.len(), Line::end);
        if line.text.starts_with("////") {
            return close + 1;
        }
        self.name_block(line.at..end);
        if closing.ends_with("===") {
            self.inline(line.at..end);
        } else {
            for n in at + 1..close {
                let Some(line) = self.lines.get(n).copied() else { break };
                if line.text.starts_with("include::") {
                    self.inline(line.at..line.end());
                }
            }
        }
        close + 1
    }

    /// A run of lines until a blank one, a delimiter, or attributes of the next block.
    fn paragraph(&mut self, at: usize, first: Line<'a>) -> usize {
        let mut end = first.end();
        let mut next = at + 1;
        let delimiter = delimiter(first.text);
        while let Some(line) = self.lines.get(next).copied() {
            let other = verbatim(line.text).is_some() || attributes(line.text).is_some();
            if delimiter || line.blank() || line.text == "+" || other || self::delimiter(line.text)
            {
                break;
            }
            (end, next) = (line.end(), next + 1);
        }
        let named = if delimiter { self.compound_end(at, first) } else { end };
        self.name_block(first.at..named);
        self.inline(first.at..end);
        next
    }

    /// Where a block between two equal delimiters ends, if not too far.
    fn compound_end(&self, at: usize, first: Line<'a>) -> usize {
        let near = |line: &&Line| line.at <= first.at + BLOCK_BYTES_MAX;
        let mut inside = self.lines.iter().skip(at + 1).take_while(near);
        inside.find(|line| line.text == first.text).map_or(first.end(), Line::end)
    }

    fn name_block(&mut self, bytes: Range<usize>) {
        for id in self.anchors.drain(..) {
            self.out.add_block(id, bytes.clone());
        }
    }

    /// Links and anchors in `bytes`.
    fn inline(&mut self, bytes: Range<usize>) {
        let start = bytes.start;
        let Some(text) = self.input.text.get(bytes.clone()) else { return };
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| rest.find([':', '<', '['])) {
            let at = from + found;
            let rest = text.get(at..).unwrap_or_default();
            let read = if let Some(rest) = rest.strip_prefix(':') {
                let name = macro_before(text.get(from..at).unwrap_or_default());
                name.and_then(|name| self.named(name, rest, start + at))
            } else if let Some(rest) = rest.strip_prefix("<<") {
                self.angled(rest, start + at).map(|len| len + 1)
            } else if let Some(rest) = rest.strip_prefix("[[") {
                let id = within(rest, "]]").map(|inner| head(inner, ','));
                if let Some(id) = id.filter(|id| is_id(id)) {
                    self.out.add_block(id, bytes.clone());
                }
                Some(1)
            } else {
                None
            };
            from = at + 1 + read.unwrap_or(0);
        }
    }

    /// `name:path[text]`, read from behind the first colon; how many bytes of it were read.
    fn named(&mut self, name: &str, rest: &str, at: usize) -> Option<usize> {
        let block = rest.strip_prefix(':');
        let path = within(block.unwrap_or(rest), "[")?;
        if path.is_empty() || path.contains(['\n', '"', '<', '`']) {
            return None;
        }
        let skipped = rest.len() - block.unwrap_or(rest).len() + path.len() + 1;
        let inner = within(rest.get(skipped..)?, "]")?;
        let text = one_line(head(inner, ',').trim_matches('"'));
        match name {
            "xref" if block.is_none() => self.reference(path, &text, at),
            "link" if block.is_none() && !path.contains(' ') => self.file(path, &text, at, false),
            "include" if block.is_some() => self.file(path, "", at, true),
            "image" | "video" | "audio" => self.picture(path, &text, at),
            _ => {}
        }
        Some(skipped + inner.len() + 1)
    }

    /// `<<target,text>>`, read from behind the opening.
    fn angled(&mut self, rest: &str, at: usize) -> Option<usize> {
        let inner = within(rest, ">>")?;
        let (dest, text) = inner.split_once(',').unwrap_or((inner, ""));
        let dest = dest.trim();
        if dest.is_empty() || dest.contains(['\n', '<']) {
            return None;
        }
        self.reference(dest, &one_line(text), at);
        Some(inner.len() + 2)
    }

    /// A cross reference: a document, a place in one, or a place in this one.
    fn reference(&mut self, dest: &str, text: &str, at: usize) {
        let (path, anchor) = match dest.split_once('#') {
            Some((path, anchor)) => (path, anchor),
            None if has_extension(dest, EXTENSIONS) => (dest, ""),
            None => ("", dest),
        };
        if path.is_empty() {
            if !anchor.is_empty() && self.push("", Some(anchor), text, at, false) {
                self.refs.push(self.out.links.len() - 1);
            }
            return;
        }
        let bare = !path.rsplit('/').next().unwrap_or(path).contains('.');
        let path = if bare { format!("{path}.adoc") } else { path.to_owned() };
        let anchor = match anchor.strip_prefix('_') {
            // An id that was made of a title.
            Some(made) => Some(made.replace('_', " ")),
            None => (!anchor.is_empty()).then(|| format!("^{anchor}")),
        };
        self.push(&path, anchor.as_deref(), text, at, false);
    }

    fn file(&mut self, path: &str, text: &str, at: usize, embed: bool) {
        if let Some((path, anchor)) = outline::local(path) {
            self.push(&path, anchor.as_deref(), text, at, embed);
        } else if embed && path.contains(['{', '$']) {
            self.push(path, None, text, at, embed);
        }
    }

    fn picture(&mut self, path: &str, text: &str, at: usize) {
        let folder = self.out.props.iter().find(|(key, _)| key == "imagesdir");
        let folder = folder.map(|(_, value)| value.trim_matches('/'));
        let path = match folder {
            Some(folder) if !folder.is_empty() && !path.contains(':') => format!("{folder}/{path}"),
            _ => path.to_owned(),
        };
        self.file(&path, text, at, true);
    }

    /// Whether there was room for one link more.
    fn push(
        &mut self,
        path: &str,
        anchor: Option<&str>,
        text: &str,
        at: usize,
        embed: bool,
    ) -> bool {
        // `{attribute}/`, `module:` and `family$` say where from, which only a build knows.
        let target = path.rsplit(['}', ':', '$']).next().unwrap_or(path);
        let wiki = target.len() < path.len();
        let target = if wiki { target.trim_start_matches('/') } else { target }.to_owned();
        if target.is_empty() && anchor.is_none() {
            return false;
        }
        let line = self.input.lines.line(at);
        let (anchor, text) = (anchor.map(str::to_owned), text.to_owned());
        self.out.add_link(Link { target, anchor, text, wiki, embed, line })
    }

    fn finish(mut self) -> Parsed {
        let end = self.out.sections_end(self.input.text.len());
        outline::close(&mut self.out.sections, end);
        for (id, idx) in std::mem::take(&mut self.headed) {
            if let Some(bytes) = self.out.sections.get(idx).map(|section| section.bytes.clone()) {
                self.out.add_block(id, bytes);
            }
        }
        self.out.blocks.sort_by_key(|(_, bytes)| bytes.start);
        self.resolve();
        self.out.sort_tags();
        let stem = stem(self.input.path).to_owned();
        self.out.title = self.title.take().unwrap_or_else(|| stem.clone());
        if self.out.title != stem {
            self.out.aliases.push(stem);
        }
        let (title, sections) = (&self.out.title, &self.out.sections);
        self.out.chunks = outline::chunks(self.input, title, sections, &self.borders);
        self.out
    }

    /// References within the document: to an anchor, to a title by its text or the id made of
    /// it. One that means neither is dropped: a link of a document to itself says nothing.
    fn resolve(&mut self) {
        let blocks: HashSet<&str> = self.out.blocks.iter().map(|(id, _)| id.as_str()).collect();
        let titles: HashMap<String, &str> =
            self.out.sections.iter().map(|s| (key(&s.text), s.text.as_str())).collect();
        let mut refs = self.refs.iter().peekable();
        let mut links = Vec::with_capacity(self.out.links.len());
        for (idx, mut link) in std::mem::take(&mut self.out.links).into_iter().enumerate() {
            if refs.next_if_eq(&&idx).is_some() {
                let id = link.anchor.unwrap_or_default();
                link.anchor = if blocks.contains(id.as_str()) {
                    Some(format!("^{id}"))
                } else {
                    titles.get(&key(&id)).map(|text| (*text).to_owned())
                };
                if link.anchor.is_none() {
                    continue;
                }
            }
            links.push(link);
        }
        self.out.links = links;
    }
}

/// Under which a title and the id made of it are the same.
fn key(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The line that ends a block without titles which starts with `text`.
fn verbatim(text: &str) -> Option<&str> {
    if text.starts_with("```") && !text.trim_start_matches('`').contains('`') {
        return Some("```");
    }
    if matches!(text, "|===" | ",===" | ":===" | "!===") {
        return Some(text);
    }
    let mark = text.as_bytes().first()?;
    let listing = b"-.+/".contains(mark) && text.len() >= 4 && text.bytes().all(|b| b == *mark);
    listing.then_some(text)
}

/// A line that starts or ends a block that is read as usual.
fn delimiter(text: &str) -> bool {
    let Some(mark) = text.as_bytes().first() else { return false };
    text == "--" || (b"=*_".contains(mark) && text.len() >= 4 && text.bytes().all(|b| b == *mark))
}

/// What stands in the brackets of a line of block attributes.
fn attributes(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    // `[1] and [2]` is prose.
    let block = !inner.contains("] ") && !inner.starts_with(' ');
    block.then_some(inner)
}

/// The id in block attributes: `[id,text]`, `#id`, `style#id.role`, `id=name`.
fn anchor(inner: &str) -> Option<&str> {
    if let Some(rest) = inner.strip_prefix('[') {
        return Some(head(rest.trim_end_matches(']'), ',').trim()).filter(|id| is_id(id));
    }
    if let Some((_, rest)) = head(inner, ',').split_once('#') {
        let len = rest.find(['.', '%', '#']).unwrap_or(rest.len());
        return rest.get(..len).filter(|id| is_id(id));
    }
    let named = inner.split(',').find_map(|item| item.trim().strip_prefix("id="));
    named.map(|id| id.trim_matches(['"', '\''])).filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | ':'));
    starts && text.len() <= 200 && !text.contains(char::is_whitespace)
}

/// `== Title`, `## Title`: level and text.
fn title(text: &str) -> Option<(usize, &str)> {
    let mark = text.chars().next().filter(|c| matches!(c, '=' | '#'))?;
    let rest = text.trim_start_matches(mark);
    let level = text.len() - rest.len();
    let body = rest.strip_prefix([' ', '\t'])?.trim();
    // `== Title ==`
    let closed = body.strip_suffix(text.get(..level)?).filter(|head| head.ends_with(' '));
    (level <= usize::from(outline::LEVEL_MAX) && !body.is_empty())
        .then(|| (level, closed.map_or(body, str::trim)))
}

/// A title without the anchors at its ends, and these.
fn without_anchors(text: &str) -> (&str, Vec<&str>) {
    let mut ids = Vec::new();
    let mut text = text.trim();
    if let Some((id, rest)) = text.strip_prefix("[[").and_then(|rest| rest.split_once("]]")) {
        ids.extend(Some(head(id, ',')).filter(|id| is_id(id)));
        text = rest.trim();
    }
    let last = text.strip_suffix("]]").and_then(|rest| rest.rsplit_once("[["));
    if let Some((rest, id)) = last {
        ids.extend(Some(head(id, ',')).filter(|id| is_id(id)));
        text = rest.trim();
    }
    (text, ids)
}

/// `:name: value`; `None` for an attribute that is taken back.
fn attribute(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix(':')?.split_once(':')?;
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '!');
    let named = !name.is_empty() && name.len() <= 60 && name.chars().all(word);
    let spaced = value.is_empty() || value.starts_with([' ', '\t']);
    (named && spaced).then(|| (name, value.trim().trim_end_matches('\\').trim()))
}

/// The macro whose name ends where a colon stands.
fn macro_before(text: &str) -> Option<&'static str> {
    let name = *MACROS.iter().find(|name| text.ends_with(**name))?;
    let before = text.strip_suffix(name)?.chars().next_back();
    before.is_none_or(|c| !c.is_alphanumeric() && c != '\\').then_some(name)
}

/// `text` up to `end`, if it is not too far.
fn within<'t>(text: &'t str, end: &str) -> Option<&'t str> {
    let near = clip(text, MACRO_BYTES_MAX);
    near.find(end).and_then(|at| near.get(..at))
}

/// `text` up to the first `mark`.
fn head(text: &str, mark: char) -> &str {
    text.split(mark).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::outline::proof::{self, block};
    use crate::limit::{BLOCKS_MAX, SECTIONS_MAX};

    fn read(text: &str) -> Parsed {
        proof::read(&KIND, "docs/tides.adoc", text)
    }

    #[test]
    fn header_attributes_and_titles() {
        let parsed = read(
            "// for sailors\n:toc:\n= Tides: a Guide\nAda Lovelace <ada@example.org>\nv1.0, \
             2026-01-02\n:keywords: sea, moon\n:aliases: Ebb and Flow\n:!toc:\n:imagesdir: img\n\n\
             Prose.\n\n:later: not a prop\n\n== Spring ==\n\n=== Neap [[neap]]\n\n\
             ## Markdown way\n\n=Not one\n\n======= Nor this\n",
        );
        let props: Vec<(&str, &str)> =
            parsed.props.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let wanted = [
            ("author", "Ada Lovelace"),
            ("keywords", "sea, moon"),
            ("aliases", "Ebb and Flow"),
            ("imagesdir", "img"),
        ];
        assert_eq!(props, wanted);
        assert_eq!(parsed.tags, ["moon", "sea"]);
        assert_eq!(parsed.aliases, ["Ebb and Flow", "tides"]);
        assert_eq!(parsed.title, "Tides: a Guide");
        let outline = [(1, "Tides: a Guide"), (2, "Spring"), (3, "Neap"), (2, "Markdown way")];
        assert_eq!(proof::outline(&parsed), outline);
        assert_eq!(read("Text first.\n\n= Late\n").title, "tides");
        assert_eq!(read("Tides\n=====\n\nRules\n-----\n\ntext\n").title, "Tides");
    }

    #[test]
    fn no_titles_in_blocks_that_are_none() {
        let text = "= T\n\n[source,sh]\n----\n== no\n<<no>>\n----\n\n....\n== no\n....\n\n\
                    ```md\n== no\n```\n\n////\n== no\nxref:no.adoc[]\n////\n\n++++\n== no\n++++\n\n\
                    |===\n|a |xref:yes.adoc[Yes]\n\n== no\n|===\n\n====\nAn example.\n====\n\n\
                    para\n== still para\n\n== Yes\n\n-----\n== open to the end\n";
        let parsed = read(text);
        assert_eq!(proof::outline(&parsed), [(1, "T"), (2, "Yes")]);
        assert_eq!(proof::links(&parsed), [("yes.adoc", None, "Yes")]);
    }

    #[test]
    fn links_of_every_form() {
        let text = "= T\n:imagesdir: ./img\n\nSee xref:neap.adoc#low[low\nwater], \
                    xref:ROOT:moon.adoc[], xref:sub/page#[Page], <<spring.adoc#_the_cause,why>>, \
                    <<rules,Rules>>, <<Rules>>, <<gone>>, link:data/my%20t.csv[table], \
                    link:https://a.b[web], https://a.b[web].\n\n\
                    include::part$head.adoc[leveloffset=1]\n\nimage::map.png[Map, 300]\n\nAn \
                    image:icon.svg[] inline. \\xref:no.adoc[x]\n\n----\n\
                    include::{sources}/a/tide.rs[tag=x]\n----\n\n== Rules\n\nText.\n";
        let parsed = read(text);
        let wanted = [
            ("neap.adoc", Some("^low"), "low water"),
            ("moon.adoc", None, ""),
            ("sub/page.adoc", None, "Page"),
            ("spring.adoc", Some("the cause"), "why"),
            ("", Some("Rules"), "Rules"),
            ("", Some("Rules"), ""),
            ("data/my t.csv", None, "table"),
            ("head.adoc", None, ""),
            ("./img/map.png", None, "Map"),
            ("./img/icon.svg", None, ""),
            ("a/tide.rs", None, ""),
        ];
        assert_eq!(proof::links(&parsed), wanted);
        let by = |pick: fn(&Link) -> bool| parsed.links.iter().filter(|l| pick(l)).count();
        assert_eq!((by(|l| l.wiki), by(|l| l.embed)), (3, 4));
        assert_eq!(parsed.links[0].line, 4);
    }

    #[test]
    fn anchors_are_blocks() {
        let text = "= T\n\n[[low]]\nLow water.\nTwice.\n\n[#code,role=x]\n.Title\n[source]\n----\n\
                    a\n\nb\n----\n\n[quote#said.big,Ada]\n____\nWords.\n____\n\nA line \
                    [[mid]]with one.\n\n[[sec]]\n== Section\n\nBody <<sec>> <<low,Low>> \
                    <<_section>>.\n\n== Next [[nxt]]\n";
        let parsed = read(text);
        assert_eq!(block(&parsed, text, "low"), "Low water.\nTwice.");
        assert_eq!(block(&parsed, text, "mid"), "A line [[mid]]with one.");
        assert_eq!(block(&parsed, text, "said"), "____\nWords.\n____");
        assert_eq!(block(&parsed, text, "nxt"), "== Next [[nxt]]\n");
        assert!(block(&parsed, text, "sec").starts_with("== Section\n\nBody"));
        assert!(block(&parsed, text, "code").ends_with("----\na\n\nb\n----"));
        let wanted = [("", Some("^sec"), ""), ("", Some("^low"), "Low"), ("", Some("Section"), "")];
        assert_eq!(proof::links(&parsed), wanted);
    }

    #[test]
    fn a_passage_stands_under_its_titles() {
        let long = "Water rises and falls twice a day. ".repeat(12);
        let text = format!("= Sea\n\n{long}\n\n== Tide\n\n{long}\n\n=== Moon\n\n{long}\n");
        let parsed = read(&text);
        let headers: Vec<&str> = parsed.chunks.iter().map(|c| c.header.as_str()).collect();
        assert_eq!(headers, ["", "Tide", "Tide > Moon"]);
        assert_eq!(parsed.chunks[0].heading.as_deref(), Some("Sea"));
    }

    #[test]
    fn windows_line_ends_and_no_final_one() {
        let parsed = read("= Tides\r\n:author: Ada\r\n\r\n----\r\n== no\r\n----\r\n\r\n== Ebb");
        assert_eq!(proof::outline(&parsed), [(1, "Tides"), (2, "Ebb")]);
        assert_eq!(parsed.props, [("author".to_owned(), "Ada".to_owned())]);
    }

    #[test]
    fn a_page_of_titles_and_anchors_alone_is_read_in_time() {
        let title = |n: usize| format!("[[a{n}]]\n{} h{}\n\n", "=".repeat(1 + n % 6), n % 9);
        let parsed = read(&(0..60_000).map(title).collect::<String>());
        assert_eq!((parsed.sections.len(), parsed.blocks.len()), (SECTIONS_MAX, SECTIONS_MAX));
        assert!(parsed.left_out().unwrap().contains("headings"));
        let text: String = (0..60_000).map(|n| format!("[[b{n}]]\n====\n\n")).collect();
        let parsed = read(&text);
        assert_eq!(parsed.blocks.len(), BLOCKS_MAX);
        assert!(parsed.left_out().unwrap().contains("block ids"));
    }

    #[test]
    fn hostile_texts() {
        let marks = [
            "=",
            "== a",
            "====",
            "----",
            "....",
            "|===",
            "////",
            "--",
            "```",
            "<<",
            "<<a",
            ">>",
            "[[",
            "[[a]]",
            "xref:",
            "xref:a[",
            "image::",
            "include::a[]",
            ":a: b",
            ":",
            "[",
            "]",
            "[#x]",
            "+",
            "é",
            "{a}",
            "____",
            "a:b",
        ];
        proof::survives(&KIND, "a.adoc", &marks);
    }
}
