//! How a language says which nodes of its tree are items: rules as data, readers where data fails.
//!
//! Invariant: a reader looks at its node, the node's parent and a bounded number of children, so
//! that one walk stays linear in the size of the tree.

use std::ops::Range;

use tree_sitter::Node;

use super::language::Language;

/// Where a node counts as an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everywhere.
    Any,
    /// Outside the bodies of functions.
    Outer,
    /// Directly in a type, outside the bodies of functions.
    Member,
    /// At this level of the syntax tree (the root is level 0).
    Level(usize),
}

/// One kind of node that may be an item.
#[derive(Debug)]
pub(super) struct Rule {
    pub node: &'static str,
    pub scope: Scope,
    pub read: Read,
}

/// How the name and the body of a node are found.
#[derive(Debug)]
pub(super) enum Read {
    /// An item of this kind, with the grammar's fields `name` and `body`.
    Fields(&'static str),
    /// By a function.
    With(fn(&Site<'_, '_>) -> Option<Found>),
}

/// An item of the kind `kind` wherever `node` stands, with the fields `name` and `body`.
pub(super) const fn named(node: &'static str, kind: &'static str) -> Rule {
    Rule { node, scope: Scope::Any, read: Read::Fields(kind) }
}

/// An item that `read` finds in `node`.
pub(super) const fn with(
    node: &'static str,
    scope: Scope,
    read: fn(&Site<'_, '_>) -> Option<Found>,
) -> Rule {
    Rule { node, scope, read: Read::With(read) }
}

/// A node and what is around it.
pub(super) struct Site<'s, 'tree> {
    pub node: Node<'tree>,
    pub parent: Option<Node<'tree>>,
    pub text: &'s str,
    /// The kind of the innermost item around it.
    pub within: Option<&'static str>,
    /// Whether it stands in the body of a function.
    pub is_local: bool,
}

/// What a rule found.
pub(super) struct Found {
    pub kind: &'static str,
    pub name: Range<usize>,
    /// Further names that the same node declares: `int a, b;`.
    pub more: Vec<Range<usize>>,
    /// Where the body starts, which is where the signature ends.
    pub body: Option<usize>,
    /// The id of a node inside this one that must not become an item of its own.
    pub taken: Option<usize>,
}

impl Found {
    pub fn new(kind: &'static str, name: Range<usize>) -> Self {
        Self { kind, name, more: Vec::new(), body: None, taken: None }
    }

    pub fn body(mut self, body: Option<Node<'_>>) -> Self {
        // The fields of a tuple struct are its signature rather than its body.
        let is_body = |node: &Node<'_>| node.kind() != "ordered_field_declaration_list";
        self.body = body.filter(is_body).map(|node| node.start_byte());
        self
    }

    pub fn taking(mut self, node: Option<Node<'_>>) -> Self {
        self.taken = node.map(|node| node.id());
        self
    }
}

impl<'s, 'tree> Site<'s, 'tree> {
    pub fn field(&self, name: &str) -> Option<Node<'tree>> {
        self.node.child_by_field_name(name)
    }

    /// The first child of one of these kinds.
    pub fn child(&self, kinds: &[&str]) -> Option<Node<'tree>> {
        child(self.node, kinds)
    }

    pub fn text_of(&self, node: Node<'_>) -> &'s str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// The text from the start of `node` on.
    pub fn from(&self, node: Node<'_>) -> &'s str {
        self.text.get(node.start_byte()..).unwrap_or_default()
    }

    pub fn starts_with(&self, word: &str) -> bool {
        self.from(self.node).starts_with(word)
    }

    /// The item with the fields `name` and `body`.
    pub fn fields(&self, kind: &'static str) -> Option<Found> {
        let name = self.field("name")?;
        Some(Found::new(kind, unquoted(self.text, name.byte_range())).body(self.field("body")))
    }

    pub fn is_member(&self) -> bool {
        !self.is_local && self.within.is_some_and(is_type)
    }
}

/// The first child of `node` of one of these kinds; the first `CHILDREN_MAX` are looked at.
pub(super) fn child<'tree>(node: Node<'tree>, kinds: &[&str]) -> Option<Node<'tree>> {
    children(node).find(|child| kinds.contains(&child.kind()))
}

/// The first children of a node. Items carry few direct children before their body; the bound
/// keeps a reader cheap on a broken node that swallowed half a file.
pub(super) fn children<'tree>(node: Node<'tree>) -> impl Iterator<Item = Node<'tree>> {
    const CHILDREN_MAX: usize = 64;
    let mut cursor = node.walk();
    let mut more = cursor.goto_first_child();
    std::iter::from_fn(move || {
        let found = more.then(|| cursor.node());
        more = more && cursor.goto_next_sibling();
        found
    })
    .take(CHILDREN_MAX)
}

/// A range without the quotes around it.
pub(super) fn unquoted(text: &str, range: Range<usize>) -> Range<usize> {
    let bytes = text.get(range.clone()).unwrap_or_default().as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) if bytes.len() >= 2 && is_quotes(*first, *last) => {
            range.start + 1..range.end - 1
        }
        _ => range,
    }
}

fn is_quotes(first: u8, last: u8) -> bool {
    matches!((first, last), (b'"', b'"') | (b'\'', b'\'') | (b'`', b'`') | (b'[', b']'))
}

/// Whether a function directly in an item of this kind is a method.
pub(super) fn is_type(kind: &str) -> bool {
    const TYPES: &[&str] =
        &["class", "struct", "enum", "union", "trait", "interface", "impl", "extension", "object"];
    TYPES.contains(&kind)
}

/// Whether what stands in an item of this kind is local to it.
pub(super) fn is_body(kind: &str) -> bool {
    matches!(kind, "function" | "method" | "constructor" | "test")
}

/// What a node kind means to the walk.
#[derive(Clone, Copy, Default)]
pub(super) struct Role {
    pub rule: Option<&'static Rule>,
    pub is_comment: bool,
    pub is_attribute: bool,
    pub is_wrapper: bool,
    pub is_local: bool,
    pub is_leaf: bool,
    pub is_call: bool,
}

/// The role of every node kind of a grammar, by its id. Several ids may share a name.
pub(super) fn roles(language: &Language, grammar: &tree_sitter::Language) -> Vec<Role> {
    let count = u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX);
    let role = |id: u16| {
        let Some(kind) = grammar.node_kind_for_id(id).filter(|_| grammar.node_kind_is_named(id))
        else {
            return Role { is_leaf: true, ..Role::default() };
        };
        let mut rules = language.rules.iter().flat_map(|rules| rules.iter());
        let is_comment = kind == "comment"
            || matches!(kind, "line_comment" | "block_comment" | "multiline_comment");
        Role {
            rule: rules.find(|rule| rule.node == kind),
            is_comment,
            is_attribute: language.attributes.contains(&kind),
            is_wrapper: language.wrappers.contains(&kind),
            is_local: language.locals.contains(&kind),
            is_leaf: is_comment || language.leaves.contains(&kind),
            is_call: language.calls.contains(&kind),
        }
    };
    (0..count).map(role).collect()
}

/// Where a declaration starts once the attributes and decorators inside it are passed.
pub(super) fn proper_start(language: &Language, node: Node<'_>, levels: usize) -> Option<usize> {
    for child in children(node) {
        let kind = child.kind();
        if language.attributes.contains(&kind) {
            continue;
        }
        let is_known = || {
            kind == "modifiers"
                || language.wrappers.contains(&kind)
                || language.rules.iter().any(|rules| rules.iter().any(|rule| rule.node == kind))
        };
        if levels == 0 || !is_known() {
            return Some(child.start_byte());
        }
        match proper_start(language, child, levels - 1) {
            Some(start) => return Some(start),
            // Modifiers that are all attributes.
            None if child.child_count() > 0 => continue,
            None => return Some(child.start_byte()),
        }
    }
    None
}
