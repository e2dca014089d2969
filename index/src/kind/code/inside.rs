//! Says which calls of macros hold items: `cfg_net! { pub struct Socket { ... } }`.
//!
//! A grammar keeps the arguments of a macro as bare tokens, so what is defined there is parsed
//! again as a text of its own. Only calls among items are: those in the bodies of functions hold
//! expressions and patterns. The body of `macro_rules!` is no call, and defines nothing by itself.

use tree_sitter::Node;

use super::rule;

/// How deep calls in calls are looked into. Real code has two, `cfg_a! { cfg_b! { ... } }`; each
/// more costs one more parse of the same text.
pub(super) const LEVELS_MAX: usize = 4;
/// The shortest inside that is parsed: there is hardly a whole item in less, and of short calls
/// there are many.
const BYTES_MIN: usize = 16;
/// The nodes whose children are items.
const HOLDERS: &[&str] = &["source_file", "declaration_list"];

/// The inside of one call, which waits to be parsed.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub range: tree_sitter::Range,
    /// The kind of the innermost item around it.
    pub within: Option<&'static str>,
    /// How many calls are around what is in it.
    pub level: usize,
}

/// The inside of the macro call `node`, if that stands among items and is in braces. `around` are
/// the nodes around it, innermost first.
pub(super) fn of<'tree>(
    node: Node<'tree>,
    text: &str,
    around: impl Iterator<Item = Node<'tree>>,
) -> Option<tree_sitter::Range> {
    let mut around = around.skip_while(|node| node.kind() == "expression_statement");
    if !around.next().is_some_and(|holder| HOLDERS.contains(&holder.kind())) {
        return None;
    }
    let tokens = rule::child(node, &["token_tree"])?;
    // In other brackets, and these are most calls, stand expressions.
    if !text.get(tokens.byte_range())?.starts_with('{') {
        return None;
    }
    let last = tokens.child_count().checked_sub(1)?;
    let left = tokens.child(0)?.range();
    let right = tokens.child(last).filter(|last| last.kind() == "}")?.range();
    let is_long = right.start_byte >= left.end_byte + BYTES_MIN;
    is_long.then_some(tree_sitter::Range {
        start_byte: left.end_byte,
        end_byte: right.start_byte,
        start_point: left.end_point,
        end_point: right.start_point,
    })
}

/// Whether the inside of a call reads as items. What a macro takes may be a language of its own,
/// in which words such as `type` define nothing.
pub(super) fn is_readable(root: Node<'_>) -> bool {
    let mut cursor = root.walk();
    let broken = root.children(&mut cursor).filter(Node::is_error);
    let n_broken: usize = broken.map(|node| node.byte_range().len()).sum();
    !root.is_error() && 2 * n_broken <= root.byte_range().len()
}

/// Whether the grammar read the head of the item `node` without a fault, up to the end of its
/// `name`. Behind that, macros have a grammar of their own: `struct Flags: u8`, `fn f(x in 0..9)`.
pub(super) fn has_sound_head(node: Node<'_>, name_end: usize) -> bool {
    let mut head = rule::children(node).take_while(|child| child.start_byte() < name_end);
    head.all(|child| !child.has_error())
}
