//! Walks a syntax tree once, without recursion, and collects its items.
//!
//! Comments and attributes in front of an item are siblings in most grammars, outside the parent
//! in some: so the walk keeps the last run of them by position in the text, not by the tree.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::Instant;

use tree_sitter::{Node, Tree};

use super::inside::{self, Inside};
use super::language::Language;
use super::rule::{self, Found, Read, Role, Rule, Scope, Site};
use super::{Item, Items, NAME_BYTES_MAX, SIGNATURE_BYTES_MAX};

/// How often the clock is read.
const NODES_PER_CLOCK: usize = 4096;
/// How many wrappers may lie around one declaration (`export` `declare` `const` ...).
const WRAPPERS_MAX: usize = 8;

/// A run of comments and attributes that the next item may own.
struct Lead {
    bytes: Range<usize>,
    ends_with_attribute: bool,
}

/// A node that the walk is inside of.
struct Frame<'tree> {
    node: Node<'tree>,
    is_wrapper: bool,
    is_item: bool,
    is_local: bool,
    /// The start including leading comments.
    from: usize,
    claimed: Option<Claim>,
}

/// The item that has taken the range of a wrapper, and what it gives back when a second item
/// turns up in it: `const (A = 1; B = 2)`.
#[derive(Clone)]
struct Claim {
    item: usize,
    n_names: usize,
    own_from: usize,
    own: Range<usize>,
}

struct Walk<'w, 'tree> {
    language: &'w Language,
    roles: &'w [Role],
    text: &'w str,
    frames: Vec<Frame<'tree>>,
    items: Vec<Item>,
    /// The indices of the items that the walk is inside of.
    open: Vec<usize>,
    n_local: usize,
    lead: Option<Lead>,
    taken: Option<usize>,
    /// The macro call whose inside this tree is.
    call: Option<Inside>,
    /// The calls found in this tree.
    insides: Vec<Inside>,
}

/// The items of a tree and of what stands in its macro calls, of which `again` gives the trees;
/// incomplete if `deadline` passes. If the whole tree may be the inside of a function, `is_local`,
/// there are none that would be no items in one.
pub(super) fn walk(
    language: &Language,
    roles: &[Role],
    tree: &Tree,
    text: &str,
    deadline: Instant,
    is_local: bool,
    again: &mut dyn FnMut(tree_sitter::Range) -> Option<Tree>,
) -> Items {
    let mut whole = Walk::new(language, roles, text, None);
    whole.n_local = usize::from(is_local);
    let mut complete = whole.run(tree, deadline);
    let (mut items, mut calls) = (whole.items, whole.insides);
    while complete && let Some(call) = calls.pop() {
        // A small tree reads no clock, and there may be thousands.
        let Some(tree) = again(call.range).filter(|_| Instant::now() < deadline) else {
            complete = false;
            break;
        };
        if !inside::is_readable(tree.root_node()) {
            continue;
        }
        let mut part = Walk::new(language, roles, text, Some(call));
        complete = part.run(&tree, deadline);
        items.append(&mut part.items);
        calls.append(&mut part.insides);
    }
    let has_error = tree.root_node().has_error();
    let items = tidy(text, items);
    Items { items, complete, out_of_time: !complete, is_cut: false, has_error }
}

impl<'w, 'tree> Walk<'w, 'tree> {
    fn new(language: &'w Language, roles: &'w [Role], text: &'w str, call: Option<Inside>) -> Self {
        Self {
            language,
            roles,
            text,
            frames: Vec::new(),
            items: Vec::new(),
            open: Vec::new(),
            n_local: 0,
            lead: None,
            taken: None,
            call,
            insides: Vec::new(),
        }
    }

    fn run(&mut self, tree: &'tree Tree, deadline: Instant) -> bool {
        let mut cursor = tree.walk();
        for n_nodes in 1_usize.. {
            if n_nodes.is_multiple_of(NODES_PER_CLOCK) && Instant::now() >= deadline {
                return false;
            }
            let node = cursor.node();
            let role = self.roles.get(usize::from(node.kind_id())).copied().unwrap_or_default();
            let is_leaf = role.is_leaf || self.frames.len() >= self.language.levels_max;
            let frame = self.visit(node, role);
            if !is_leaf && cursor.goto_first_child() {
                self.frames.push(frame);
                continue;
            }
            self.leave(&frame);
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return true;
                }
                if let Some(frame) = self.frames.pop() {
                    self.leave(&frame);
                }
            }
        }
        true
    }

    fn visit(&mut self, node: Node<'tree>, role: Role) -> Frame<'tree> {
        let mut frame = Frame {
            node,
            is_wrapper: false,
            is_item: false,
            is_local: false,
            from: node.start_byte(),
            claimed: None,
        };
        if role.is_comment || role.is_attribute {
            self.note_lead(node, role.is_attribute);
        }
        if role.is_call && self.n_local == 0 {
            self.note_call(node);
        }
        if let Some(found) = role.rule.and_then(|rule| self.read(node, rule)) {
            frame.is_item = true;
            frame.is_local = rule::is_body(found.kind);
            self.place(node, found);
        } else if role.is_wrapper {
            frame.is_wrapper = true;
            frame.from = self.lead_start(node.start_byte());
        }
        // A class whose head the C++ grammar takes for a function keeps its members.
        let is_class_body = || {
            let parent_is_item = self.frames.last().is_some_and(|parent| parent.is_item);
            parent_is_item && self.within().is_some_and(rule::is_type)
        };
        frame.is_local |= role.is_local && !is_class_body();
        self.n_local += usize::from(frame.is_local);
        frame
    }

    fn leave(&mut self, frame: &Frame<'tree>) {
        self.n_local -= usize::from(frame.is_local);
        if frame.is_item {
            self.open.pop();
        }
    }

    fn within(&self) -> Option<&'static str> {
        let outer = || self.call.and_then(|call| call.within);
        self.open.last().map(|index| self.items[*index].kind).or_else(outer)
    }

    /// Takes note of a macro call whose inside may hold items.
    fn note_call(&mut self, node: Node<'tree>) {
        let level = self.call.map_or(1, |call| call.level + 1);
        if level > inside::LEVELS_MAX {
            return;
        }
        let around = self.frames.iter().rev().map(|frame| frame.node);
        if let Some(range) = inside::of(node, self.text, around) {
            self.insides.push(Inside { range, within: self.within(), level });
        }
    }

    fn read(&mut self, node: Node<'tree>, rule: &Rule) -> Option<Found> {
        if self.taken == Some(node.id()) {
            return None;
        }
        let site = Site {
            node,
            parent: self.frames.last().map(|frame| frame.node),
            text: self.text,
            within: self.within(),
            is_local: self.n_local > 0,
        };
        let fits = match rule.scope {
            Scope::Any => true,
            Scope::Outer => !site.is_local,
            Scope::Member => site.is_member(),
            Scope::Level(level) => self.frames.len() == level,
        };
        if !fits {
            return None;
        }
        let found = match rule.read {
            Read::Fields(kind) => site.fields(kind),
            Read::With(read) => read(&site),
        };
        let mut found = found.filter(|found| !found.name.is_empty())?;
        if self.call.is_some() && !inside::has_sound_head(node, found.name.end) {
            return None;
        }
        let name = self.text.get(found.name.clone())?;
        // `_` is no name: nobody can look for it.
        if name == "_" || name.trim().is_empty() {
            return None;
        }
        if found.kind == "function" && self.within().is_some_and(rule::is_type) {
            found.kind = "method";
        }
        self.taken = found.taken.or(self.taken);
        Some(found)
    }

    /// Takes note of a comment or an attribute that may belong to what follows.
    fn note_lead(&mut self, node: Node<'tree>, is_attribute: bool) {
        let bytes = trimmed(self.text, node.byte_range());
        let written = self.text.get(bytes.clone()).unwrap_or_default();
        if self.language.name == "rust"
            && (written.starts_with("//!") || written.starts_with("/*!"))
        {
            self.lead = None;
            return;
        }
        let start = self.lead_start(bytes.start);
        if start == bytes.start && !is_attribute && !self.starts_line(start) {
            // A remark at the end of a line belongs to that line.
            self.lead = None;
            return;
        }
        self.lead = Some(Lead { bytes: start..bytes.end, ends_with_attribute: is_attribute });
    }

    fn starts_line(&self, at: usize) -> bool {
        let before = self.text.get(..at).unwrap_or_default();
        before.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|last| last == '\n')
    }

    /// The start of the comments attached to what starts at `at`, or `at`.
    fn lead_start(&self, at: usize) -> usize {
        let Some(lead) = &self.lead else { return at };
        let Some(gap) = self.text.get(lead.bytes.end..at) else { return at };
        // Most gaps hold half a file, so its lines are counted last.
        let is_near =
            || lead.ends_with_attribute || gap.bytes().filter(|byte| *byte == b'\n').count() <= 1;
        if gap.trim().is_empty() && is_near() { lead.bytes.start } else { at }
    }

    /// Adds an item, which takes over the wrappers directly around it.
    fn place(&mut self, node: Node<'tree>, found: Found) {
        let index = self.items.len();
        let own = node.byte_range();
        let own_from = self.lead_start(own.start);
        let mut bytes = own_from..own.end;
        let mut outermost = node;
        let claim = Claim { item: index, n_names: found.more.len() + 1, own_from, own };
        for at in (0..self.frames.len()).rev().take(WRAPPERS_MAX) {
            let frame = &mut self.frames[at];
            if !frame.is_wrapper {
                break;
            }
            if let Some(earlier) = frame.claimed.clone() {
                let start = frame.node.start_byte();
                self.release(&earlier, start);
                break;
            }
            frame.claimed = Some(claim.clone());
            outermost = frame.node;
            bytes = bytes.start.min(frame.from)..bytes.end.max(frame.node.end_byte());
        }
        let start = rule::proper_start(self.language, outermost, WRAPPERS_MAX)
            .unwrap_or(outermost.start_byte());
        self.push(found, bytes, start);
        self.open.push(self.items.len() - 1);
    }

    /// Adds the item and the further names that its node declares, which share its range.
    fn push(&mut self, found: Found, bytes: Range<usize>, start: usize) {
        let depth = self.open.len();
        let n_names = found.more.len() + 1;
        let names = std::iter::once(&found.name).chain(&found.more);
        for (at, name) in names.enumerate() {
            let from = if at == 0 { bytes.start } else { name.start };
            let next = if at + 1 < n_names { found.more[at].start } else { bytes.end };
            let is_gap = |c: char| c.is_whitespace() || matches!(c, ',' | '*' | '&' | ':');
            let tile = self.text.get(from..next).unwrap_or_default();
            let tile = if next < bytes.end { tile.trim_end_matches(is_gap) } else { tile };
            let tile = from..from + tile.len();
            let head = start.clamp(tile.start, tile.end.max(tile.start));
            let sign_end = found.body.filter(|body| *body > head).unwrap_or(tile.end);
            let signature = trimmed(self.text, head..sign_end.min(tile.end));
            let name = cut(self.text, name.clone(), NAME_BYTES_MAX);
            self.items.push(Item {
                name: self.text.get(name.clone()).unwrap_or_default().to_owned(),
                kind: found.kind,
                bytes: tile,
                name_bytes: name,
                signature: cut(self.text, signature, SIGNATURE_BYTES_MAX),
                depth,
            });
        }
    }

    /// Gives an item its own range again. The head of the wrapper stays with it where it is on the
    /// same line, as in `int a, b`.
    fn release(&mut self, claim: &Claim, wrapper_start: usize) {
        for item in self.items.iter_mut().skip(claim.item).take(claim.n_names) {
            item.bytes.end = item.bytes.end.min(claim.own.end);
            item.signature.end = item.signature.end.min(claim.own.end);
        }
        let item = &mut self.items[claim.item];
        let head = self.text.get(wrapper_start..claim.own.start).unwrap_or_default();
        if head.contains('\n') {
            item.bytes.start = claim.own_from;
            item.signature.start = claim.own.start.min(item.signature.end);
        }
    }
}

/// Sorts items, makes them nest, and counts their depth.
pub(super) fn tidy(text: &str, mut items: Vec<Item>) -> Vec<Item> {
    for item in &mut items {
        item.bytes = trimmed(text, item.bytes.clone());
    }
    items.sort_by_key(|item| (item.bytes.start, Reverse(item.bytes.end)));
    let mut stack: Vec<usize> = Vec::new();
    for index in 0..items.len() {
        let bytes = items[index].bytes.clone();
        while let Some(top) = stack.last().copied() {
            let end = items[top].bytes.end;
            if end >= bytes.end {
                break;
            }
            // They overlap: some grammars end a block after the comments of the next one.
            items[top].bytes = trimmed(text, items[top].bytes.start..end.min(bytes.start));
            stack.pop();
        }
        stack.push(index);
    }
    let is_whole = |item: &Item| {
        let (bytes, name) = (&item.bytes, &item.name_bytes);
        bytes.start <= name.start && name.start < name.end && name.end <= bytes.end
    };
    items.retain(is_whole);
    nest(text, &mut items);
    items
}

/// Counts the depth of items that nest, and gives each the `;` that follows it.
fn nest(text: &str, items: &mut [Item]) {
    let mut ends: Vec<usize> = Vec::new();
    for item in items {
        while ends.last().is_some_and(|end| *end <= item.bytes.start) {
            ends.pop();
        }
        let room = ends.last().copied().unwrap_or(text.len());
        if item.bytes.end < room && text.as_bytes().get(item.bytes.end) == Some(&b';') {
            item.bytes.end += 1;
        }
        let start = item.signature.start.clamp(item.bytes.start, item.bytes.end);
        item.signature = start..item.signature.end.clamp(start, item.bytes.end);
        item.depth = ends.len();
        ends.push(item.bytes.end);
    }
}

/// A range without the white space at its end.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let length = text.get(range.clone()).map_or(0, |part| part.trim_end().len());
    range.start..range.start + length
}

/// A range of at most `bytes_max` bytes, cut at a char boundary.
fn cut(text: &str, range: Range<usize>, bytes_max: usize) -> Range<usize> {
    let mut end = range.end.min(range.start.saturating_add(bytes_max));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    trimmed(text, range.start..end.max(range.start))
}
