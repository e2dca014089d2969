//! reStructuredText as Sphinx and docutils read it: titles by adornment, fields, targets, roles.
//!
//! Reads lines and paragraphs, not the whole grammar: what stands in literal blocks, code and
//! comments is no markup, and everything else that is not known is prose.
//! A label that opens a document is also a name of it, so that `:ref:` finds it from elsewhere.

use super::outline::{self, Line, PROP_BYTES_MAX, one_line, split_list};
use super::text::paragraph_borders;
use super::{Class, Input, Kind, Link, Parsed, has_extension, stem};
use crate::chunk::{Border, clip};
use crate::limit::{CHUNK_BYTES_MAX, HEADER_BYTES_MAX};
use std::collections::HashMap;
use std::ops::Range;

/// Documentation in reStructuredText.
pub const KIND: Kind = Kind { recognise, class: Class::Note, parse, extract: None };

/// A block that a label names is no longer than this, in bytes: a file of nothing but labels
/// must not be read once per label.
const BLOCK_BYTES_MAX: usize = 4 * CHUNK_BYTES_MAX;

/// Longest name of a role or a directive, in bytes.
const NAME_BYTES_MAX: usize = 40;

/// Directives whose content is no markup.
const LITERAL: &[&str] = &[
    "code",
    "code-block",
    "doctest",
    "graphviz",
    "highlight",
    "ipython",
    "math",
    "mermaid",
    "parsed-literal",
    "productionlist",
    "prompt",
    "raw",
    "sourcecode",
    "testcode",
    "testoutput",
    "uml",
];

/// Directives that show another file.
const EMBED: &[&str] = &["image", "figure", "include", "literalinclude", "thumbnail"];

fn recognise(path: &str) -> Option<&'static str> {
    has_extension(path, &["rst"]).then_some("rst")
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

/// How a title is adorned: by which character, and whether above it too.
type Style = (u8, bool);

struct Reader<'a> {
    input: &'a Input<'a>,
    lines: Vec<Line<'a>>,
    out: Parsed,
    borders: Vec<Border>,
    /// Styles in order of appearance: their place is their level.
    styles: Vec<Style>,
    /// Labels that wait for the block that they name.
    labels: Vec<&'a str>,
    /// Labels that name a heading, by its index.
    headed: Vec<(&'a str, usize)>,
    /// Links to labels, by index: which are of this document is known at its end.
    refs: Vec<usize>,
    h1: Option<String>,
    text_seen: bool,
}

impl<'a> Reader<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Reader {
            input,
            lines: outline::lines(input.text),
            out: Parsed::default(),
            borders: paragraph_borders(input.text),
            styles: Vec::new(),
            labels: Vec::new(),
            headed: Vec::new(),
            refs: Vec::new(),
            h1: None,
            text_seen: false,
        }
    }

    /// Reads the block at line `at`; where the next one starts.
    fn step(&mut self, at: usize, line: Line<'a>) -> usize {
        if line.blank() {
            return at + 1;
        }
        if let Some((style, title, height)) = self.title(at, line) {
            self.heading(line.at, style, title);
            return at + height;
        }
        if let Some(rest) = explicit(line.body()) {
            return self.explicit(at, line, rest);
        }
        self.name_block(at, line);
        let top = !self.text_seen && self.out.sections.len() <= 2 && line.indent == 0;
        if top && let Some((name, value)) = field(line.text) {
            return self.field(at, name, value);
        }
        self.paragraph(at, line)
    }

    /// A title at line `at`: its style, its text, its height in lines.
    fn title(&self, at: usize, line: Line<'a>) -> Option<(Style, &'a str, usize)> {
        let next = self.lines.get(at + 1)?;
        if line.indent > 0 || next.blank() {
            return None;
        }
        if let Some(mark) = adornment(line.text) {
            let under = self.lines.get(at + 2)?;
            let fits = under.text == line.text && wide(line.text, next.body());
            let titled = adornment(next.body()).is_none();
            return (fits && titled).then(|| ((mark, true), next.body(), 3));
        }
        let prose = explicit(line.text).is_none() && !line.text.starts_with(['|', '+']);
        let item = ["- ", "* ", "• "].iter().any(|mark| line.text.starts_with(mark));
        let mark = adornment(next.text).filter(|_| prose && !item)?;
        wide(next.text, line.text).then_some(((mark, false), line.text, 2))
    }

    fn heading(&mut self, start: usize, style: Style, title: &str) {
        let title = clip(title, HEADER_BYTES_MAX);
        let level = match self.styles.iter().position(|known| *known == style) {
            Some(at) => at + 1,
            None => {
                self.styles.push(style);
                self.styles.len()
            }
        };
        let first = self.out.sections.is_empty();
        if first && !self.text_seen {
            self.h1 = Some(title.to_owned());
            self.labels.iter().for_each(|label| self.out.add_alias(one_line(label)));
        }
        let idx = self.out.sections.len();
        self.headed.extend(self.labels.drain(..).map(|label| (label, idx)));
        self.borders.push(Border { at: start, hard: true });
        self.out.add_section(outline::section(self.input, level, title, start));
    }

    /// What stands behind `.. `: a target, a directive, a footnote, a comment.
    fn explicit(&mut self, at: usize, line: Line<'a>, rest: &'a str) -> usize {
        if let Some((label, dest)) = target(rest) {
            if dest.is_empty() {
                self.labels.push(label);
            } else {
                self.link(dest, label, line.at, false);
            }
            return at + 1;
        }
        self.name_block(at, line);
        if rest.starts_with('[') {
            return self.paragraph(at, line);
        }
        // `|name| image:: path` is a directive as well.
        let replaced = rest.strip_prefix('|').and_then(|rest| rest.split_once("| "));
        let rest = replaced.map_or(rest, |(_, directive)| directive);
        if let Some((name, args)) = directive(rest) {
            return self.directive(at, line, name, args.trim());
        }
        let empty = self.lines.get(at + 1).is_none_or(Line::blank);
        if rest.is_empty() && empty { at + 1 } else { self.body_end(at, line.indent) }
    }

    fn directive(&mut self, at: usize, line: Line<'a>, name: &str, args: &'a str) -> usize {
        match name {
            "tags" => self.tags(args),
            "toctree" => return self.toctree(at, line),
            _ if EMBED.contains(&name) => {
                if !args.starts_with('<') {
                    self.link(args, "", line.at, true);
                }
            }
            _ if LITERAL.contains(&name) => return self.body_end(at, line.indent),
            _ => {
                self.text_seen |= !matches!(name, "meta" | "default-domain" | "module");
                let start = line.end() - args.len();
                self.inline(start..line.end());
            }
        }
        at + 1
    }

    fn tags(&mut self, list: &str) {
        split_list(list).for_each(|tag| self.out.add_tag(tag));
    }

    /// The documents that a table of contents lists.
    fn toctree(&mut self, at: usize, line: Line<'a>) -> usize {
        let end = self.body_end(at, line.indent);
        for n in at + 1..end {
            let Some(entry) = self.lines.get(n).copied() else { break };
            let body = entry.body();
            let special = body.starts_with(':') || body == "self" || body.contains(['*', '?']);
            if !special && !entry.blank() {
                let (text, dest) = titled(body);
                self.document(dest, text, entry.at);
            }
        }
        end
    }

    /// The line behind everything that is indented more than `indent`, or blank.
    fn body_end(&self, at: usize, indent: usize) -> usize {
        let body = self.lines.iter().skip(at + 1);
        at + 1 + body.take_while(|line| line.blank() || line.indent > indent).count()
    }

    /// One field at the document's head, with the lines that go on with it.
    fn field(&mut self, at: usize, name: &str, value: &str) -> usize {
        let mut value = value.trim().to_owned();
        let mut next = at + 1;
        while let Some(line) = self.lines.get(next).filter(|l| !l.blank() && l.indent > 0) {
            if value.len() < PROP_BYTES_MAX {
                value.push(' ');
                value.push_str(line.body());
            }
            next += 1;
        }
        let key = name.trim().to_lowercase();
        if key == "tags" {
            self.tags(&value);
        }
        let value = clip(value.trim(), PROP_BYTES_MAX);
        if !value.is_empty() {
            self.out.add_prop(key, value.to_owned());
        }
        next
    }

    /// A run of lines without a blank one, and the literal block that it announces.
    fn paragraph(&mut self, at: usize, first: Line<'a>) -> usize {
        let mut last = first;
        let mut next = at;
        while let Some(line) = self.lines.get(next).copied().filter(|line| !line.blank()) {
            // A directive that follows without a blank line is none to docutils, yet people
            // write it.
            if next > at && explicit(line.body()).is_some() {
                break;
            }
            if let Some(tags) = line.body().strip_prefix(":tags:") {
                self.tags(tags);
            }
            (last, next) = (line, next + 1);
        }
        self.text_seen |= next > at + 1 || adornment(first.text).is_none();
        self.inline(first.at..last.end());
        if last.text.ends_with("::") {
            let item = ["- ", "* ", "+ "].iter().any(|mark| last.body().starts_with(mark));
            let content = last.indent + if item { 2 } else { 0 };
            return self.body_end(next.saturating_sub(1), content);
        }
        next
    }

    /// Gives the labels that wait the block at line `at`.
    fn name_block(&mut self, at: usize, first: Line<'a>) {
        if self.labels.is_empty() {
            return;
        }
        let (mut end, mut gap, mut inside) = (first.end(), false, false);
        for line in self.lines.iter().skip(at + 1) {
            if line.at > first.at + BLOCK_BYTES_MAX {
                break;
            }
            if line.blank() {
                gap = true;
            } else if line.indent > first.indent || !(gap || inside) {
                inside |= line.indent > first.indent && gap;
                end = line.end();
            } else {
                break;
            }
        }
        for label in self.labels.drain(..) {
            self.out.add_block(one_line(label), first.at..end);
        }
    }

    /// Links in a paragraph: `` `text <target>`_ `` and roles.
    fn inline(&mut self, bytes: Range<usize>) {
        let start = bytes.start;
        let Some(text) = self.input.text.get(bytes) else { return };
        let mut from = 0;
        while let Some(open) = text.get(from..).and_then(|rest| rest.find('`')) {
            let open = from + open;
            let rest = text.get(open + 1..).unwrap_or_default();
            if let Some(literal) = rest.strip_prefix('`') {
                let Some(len) = literal.find("``") else { return };
                from = open + 2 + len + 2;
                continue;
            }
            let Some(len) = rest.find('`') else { return };
            let (content, after) = (rest.get(..len).unwrap_or_default(), open + 1 + len + 1);
            let behind = text.get(after..).unwrap_or_default();
            let role = role_before(text.get(from..open).unwrap_or_default());
            self.interpreted(role, content, behind.starts_with('_'), start + open);
            from = after;
        }
    }

    /// Text between backticks with its role, or a reference.
    fn interpreted(&mut self, role: Option<&str>, content: &str, reference: bool, at: usize) {
        let content = one_line(content);
        let (text, dest) = titled(&content);
        match role.map(|role| role.rsplit(':').next().unwrap_or(role)) {
            Some("doc") => self.document(dest, text, at),
            Some("download" | "file") => self.link(dest, text, at, false),
            Some("ref" | "numref") => {
                let text = if text.is_empty() { dest } else { text };
                if self.push(dest.to_owned(), None, text, at, true, false) {
                    self.refs.push(self.out.links.len() - 1);
                }
            }
            None if reference && dest.len() < content.len() && !dest.ends_with('_') => {
                self.link(dest, text, at, false);
            }
            _ => {}
        }
    }

    /// A link to a document by its name without extension, as Sphinx writes it.
    fn document(&mut self, dest: &str, text: &str, at: usize) {
        let Some((path, anchor)) = outline::local(dest) else { return };
        let known = has_extension(&path, &["rst", "rest", "md", "txt", "ipynb"]);
        let path = if known || path.is_empty() { path } else { format!("{path}.rst") };
        // `/` is the head of the documentation, not of the source: its end names it.
        let wiki = path.starts_with('/');
        self.push(path, anchor, text, at, wiki, false);
    }

    fn link(&mut self, dest: &str, text: &str, at: usize, embed: bool) {
        if let Some((path, anchor)) = outline::local(dest) {
            let wiki = path.starts_with('/');
            self.push(path, anchor, text, at, wiki, embed);
        }
    }

    /// Whether there was room for one link more.
    fn push(
        &mut self,
        target: String,
        anchor: Option<String>,
        text: &str,
        at: usize,
        wiki: bool,
        embed: bool,
    ) -> bool {
        if target.is_empty() && anchor.is_none() {
            return false;
        }
        let line = self.input.lines.line(at);
        let text = text.to_owned();
        self.out.add_link(Link { target, anchor, text, wiki, embed, line })
    }

    fn finish(mut self) -> Parsed {
        let end = self.out.sections_end(self.input.text.len());
        outline::close(&mut self.out.sections, end);
        for (label, idx) in std::mem::take(&mut self.headed) {
            if let Some(bytes) = self.out.sections.get(idx).map(|section| section.bytes.clone()) {
                self.out.add_block(one_line(label), bytes);
            }
        }
        self.out.blocks.sort_by_key(|(_, bytes)| bytes.start);
        self.resolve();
        self.out.sort_tags();
        let stem = stem(self.input.path).to_owned();
        self.out.title = self.h1.take().unwrap_or_else(|| stem.clone());
        if self.out.title != stem {
            self.out.aliases.push(stem);
        }
        let (title, sections) = (&self.out.title, &self.out.sections);
        self.out.chunks = outline::chunks(self.input, title, sections, &self.borders);
        self.out
    }

    /// A label of this document is a block of it; another one is a name that may be found.
    fn resolve(&mut self) {
        let own: HashMap<String, &String> =
            self.out.blocks.iter().map(|(id, _)| (id.to_lowercase(), id)).collect();
        for idx in &self.refs {
            let Some(link) = self.out.links.get_mut(*idx) else { continue };
            if let Some(id) = own.get(&link.target.to_lowercase()) {
                link.anchor = Some(format!("^{id}"));
                link.target.clear();
            }
        }
    }
}

/// The character of a line that is nothing but one punctuation character.
fn adornment(text: &str) -> Option<u8> {
    let mark = *text.as_bytes().first().filter(|b| b.is_ascii_punctuation())?;
    let whole = text.bytes().all(|b| b == mark);
    // `::` announces a literal block, `..` is an empty comment.
    (whole && text != "::" && text != "..").then_some(mark)
}

/// Whether an adornment is long enough for its title; docutils takes four for any.
fn wide(adornment: &str, title: &str) -> bool {
    adornment.len() >= 4 || adornment.len() >= title.chars().count()
}

/// What stands behind `.. `.
fn explicit(text: &str) -> Option<&str> {
    if text == ".." { Some("") } else { text.strip_prefix(".. ").map(str::trim) }
}

/// `_label: destination`, or `_label:` before what it names.
fn target(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.strip_prefix('_')?;
    let (label, dest) = match rest.strip_prefix('`') {
        Some(quoted) => quoted.split_once("`:")?,
        None => match rest.split_once(": ") {
            Some(split) => split,
            None => (rest.strip_suffix(':')?, ""),
        },
    };
    let named = !label.is_empty() && !label.starts_with('_');
    named.then_some((label, dest.trim()))
}

/// `name:: arguments`
fn directive(rest: &str) -> Option<(&str, &str)> {
    let (name, args) = rest.split_once("::")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_+:.".contains(&b);
    let named = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain);
    named.then_some((name, args))
}

/// `:name: value`
fn field(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(':')?;
    let (name, value) = match rest.split_once(": ") {
        Some(split) => split,
        None => (rest.strip_suffix(':')?, ""),
    };
    let named = !name.is_empty() && name.len() <= 60 && !name.contains(['`', ':']);
    named.then_some((name, value))
}

/// The role whose name ends where a backtick opens.
fn role_before(text: &str) -> Option<&str> {
    let head = text.strip_suffix(':')?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_+:.".contains(b);
    let len = head.bytes().rev().take(NAME_BYTES_MAX).take_while(|b| plain(b)).count();
    let name = head.get(head.len() - len..)?.strip_prefix(':')?;
    (!name.is_empty()).then_some(name)
}

/// `text <destination>`; without brackets the whole is the destination and there is no text.
fn titled(content: &str) -> (&str, &str) {
    let content = content.trim();
    let split = content.strip_suffix('>').and_then(|head| head.rsplit_once('<'));
    match split {
        Some((text, dest)) => (text.trim(), dest.trim()),
        None => ("", content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::outline::proof::{self, block};
    use crate::limit::{BLOCKS_MAX, MARKS_MAX, SECTIONS_MAX};

    fn read(text: &str) -> Parsed {
        proof::read(&KIND, "docs/guide/tides.rst", text)
    }

    #[test]
    fn titles_by_the_order_of_their_styles() {
        let text = "=====\nTides\n=====\n\nText.\n\nSpring\n======\n\nNeap\n----\n\nEbb\n======\n\n\
                    **********\nRock pools\n**********\n\nEnd\n^^^\n";
        let parsed = read(text);
        let outline = [(1, "Tides"), (2, "Spring"), (3, "Neap"), (2, "Ebb"), (4, "Rock pools")];
        assert_eq!(proof::outline(&parsed)[..5], outline);
        assert_eq!(proof::outline(&parsed)[5], (5, "End"));
        assert_eq!(parsed.title, "Tides");
        assert_eq!(parsed.aliases, ["tides"]);
        assert_eq!(&text[parsed.sections[2].bytes.clone()], "Neap\n----\n\n");
        let last = parsed.chunks.last().unwrap();
        assert_eq!(last.heading.as_deref(), Some("Tides"), "small sections share a passage");
    }

    #[test]
    fn a_passage_stands_under_its_headings() {
        let long = "Water rises and falls twice a day. ".repeat(12);
        let text = format!("Sea\n===\n\n{long}\n\nTide\n----\n\n{long}\n\nMoon\n~~~~\n\n{long}\n");
        let parsed = read(&text);
        let headers: Vec<&str> = parsed.chunks.iter().map(|c| c.header.as_str()).collect();
        assert_eq!(headers, ["", "Tide", "Tide > Moon"]);
        assert_eq!(parsed.chunks[2].heading.as_deref(), Some("Moon"));
        assert_eq!(parsed.chunks[1].lines.0, 6);
    }

    #[test]
    fn no_titles_in_what_is_not_markup() {
        let text = "Title\n=====\n\nCode::\n\n    Not one\n    =======\n\n\
                    .. code-block:: text\n\n   Nor this\n   --------\n\n\
                    .. a comment\n   Nor\n   ---\n\n- item\n------\n\n\
                    ========  ======\nSimple    table\n========  ======\n1         2\n\
                    ========  ======\n\n+-----+\n| a   |\n+-----+\n\n----\n\nAfter\n-----\n";
        let parsed = read(text);
        assert_eq!(proof::outline(&parsed), [(1, "Title"), (2, "After")]);
        let text = "Prose comes first.\n\nTitle\n-----\n";
        assert_eq!(read(text).title, "tides");
        let text = "para of one line\n::\n\n   quoted `no <no.rst>`_\n";
        assert!(read(text).links.is_empty() && read(text).sections.is_empty());
    }

    #[test]
    fn fields_and_tags() {
        let parsed = read(
            ":orphan:\n\nTides\n=====\n\n:Author: Ada\n:Abstract: One\n   and two.\n:tags: sea, \
             moon\n\n.. tags:: coast, sea\n\nText with :not: a field.\n\n:param x: no field\n",
        );
        let props: Vec<(&str, &str)> =
            parsed.props.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let wanted = [("author", "Ada"), ("abstract", "One and two."), ("tags", "sea, moon")];
        assert_eq!(props, wanted);
        assert_eq!(parsed.tags, ["coast", "moon", "sea"]);
        assert_eq!(parsed.title, "Tides");
    }

    #[test]
    fn links_of_every_form() {
        let text = "Tides\n=====\n\n.. include:: ../shared/head.txt\n.. image:: img/map.png\n   \
                    :alt: Map\n\nSee `the moon\nitself <moon.rst#phases>`_, `web <https://a.b>`_, \
                    :doc:`neap`, :doc:`Spring </guide/spring>`,\n:py:func:`tide`, ``:doc:`no` ``, \
                    :download:`table <data/t.csv>` and :ref:`far away <pools>`.\n\n\
                    .. _site: https://example.org\n.. _near: ../near.rst\n\n.. toctree::\n   \
                    :maxdepth: 2\n\n   intro\n   Words <glossary>\n   self\n   api/*\n\n\
                    .. |logo| image:: logo.svg\n";
        let parsed = read(text);
        let wanted = [
            ("../shared/head.txt", None, ""),
            ("img/map.png", None, ""),
            ("moon.rst", Some("phases"), "the moon itself"),
            ("neap.rst", None, ""),
            ("/guide/spring.rst", None, "Spring"),
            ("data/t.csv", None, "table"),
            ("pools", None, "far away"),
            ("../near.rst", None, "near"),
            ("intro.rst", None, ""),
            ("glossary.rst", None, "Words"),
            ("logo.svg", None, ""),
        ];
        assert_eq!(proof::links(&parsed), wanted);
        let embeds: Vec<bool> = parsed.links.iter().map(|l| l.embed).collect();
        assert_eq!(embeds.iter().filter(|embed| **embed).count(), 3);
        assert!(parsed.links[4].wiki && parsed.links[6].wiki && !parsed.links[3].wiki);
        assert_eq!(parsed.links[2].line, 8);
    }

    #[test]
    fn labels_are_blocks() {
        let text = ".. _tide guide:\n\nTides\n=====\n\n.. _low:\n.. _ebb:\n\nLow water\nis twice a \
                    day.\n\nNext.\n\n.. _code:\n\n.. code-block:: sh\n\n   tide --low\n\n   \
                    more\n\nBack to :ref:`Low` and :ref:`Tide Guide`.\n";
        let parsed = read(text);
        assert_eq!(block(&parsed, text, "tide guide"), text.split_once("\n\n").unwrap().1);
        assert_eq!(block(&parsed, text, "low"), "Low water\nis twice a day.");
        assert_eq!(block(&parsed, text, "ebb"), "Low water\nis twice a day.");
        let code = ".. code-block:: sh\n\n   tide --low\n\n   more";
        assert_eq!(block(&parsed, text, "code"), code);
        let wanted = [("", Some("^low"), "Low"), ("", Some("^tide guide"), "Tide Guide")];
        assert_eq!(proof::links(&parsed), wanted);
        assert_eq!(parsed.aliases, ["tide guide", "tides"]);
    }

    #[test]
    fn windows_line_ends_and_no_final_one() {
        let parsed = read("Tides\r\n=====\r\n\r\nSee :doc:`neap`\r\n\r\nEbb\r\n---");
        assert_eq!(proof::outline(&parsed), [(1, "Tides"), (2, "Ebb")]);
        assert_eq!(proof::links(&parsed), [("neap.rst", None, "")]);
    }

    #[test]
    fn a_page_of_titles_alone_is_read_in_time() {
        let marks = ["=", "-", "~", "^", "*", "+", "#"];
        let title = |n: usize| format!("h{}\n{}\n\n", n % 9, marks[n % 7].repeat(4));
        let text: String = (0..100_000).map(title).collect();
        let parsed = read(&text);
        assert_eq!(parsed.sections.len(), SECTIONS_MAX);
        assert!(parsed.left_out().unwrap().contains("headings"));
        let text: String = (0..60_000).map(|n| format!(".. _l{n}:\n\nText {n}\n\n")).collect();
        assert_eq!(read(&text).blocks.len(), BLOCKS_MAX);
        let lines = read(&"a\n-\n".repeat(MARKS_MAX / 2 + 1));
        assert!(lines.sections.is_empty() && lines.left_out().unwrap().contains("lines"));
    }

    #[test]
    fn hostile_texts() {
        let marks = [
            "=",
            "==========",
            "-",
            ".. ",
            "..",
            ".. _a:",
            ".. _`",
            "::",
            "`",
            "``",
            ":ref:`",
            "<",
            "`a <b>`_",
            ":doc:`",
            ":a: b",
            ":",
            "|",
            "é",
            ".. x:: y",
            ".. |a| image:: b",
            "- ",
            ".. toctree::",
            "   a",
        ];
        proof::survives(&KIND, "a.rst", &marks);
    }
}
