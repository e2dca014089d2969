//! Readers for JavaScript and TypeScript, where a function is also a value with a name around it.

use tree_sitter::Node;

use super::rule::{Found, Site, child, children, unquoted};

fn is_function(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "arrow_function" | "function_expression" | "generator_function" | "function"
    )
}

/// An item that is named by what holds it: `name = () => ...`, `name = class ...`.
fn valued<'tree>(kind: &'static str, name: Node<'tree>, value: Node<'tree>) -> Option<Found> {
    let kind = match value.kind() {
        "class" => "class",
        _ if is_function(value) => kind,
        _ => return None,
    };
    let body = value.child_by_field_name("body");
    Some(Found::new(kind, name.byte_range()).body(body).taking(Some(value)))
}

/// `const name = value`: functions and classes anywhere, other values outside of functions.
pub(super) fn declarator(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.field("name").filter(|name| name.kind() == "identifier")?;
    let value = site.field("value");
    if let Some(found) = value.and_then(|value| valued("function", name, value)) {
        return Some(found);
    }
    let is_import = value.is_some_and(|value| {
        let written = site.from(value);
        written.starts_with("require(") || written.starts_with("await import(")
    });
    if site.is_local || is_import {
        return None;
    }
    let is_const = site.parent.is_some_and(|parent| site.from(parent).starts_with("const"));
    let kind = if is_const { "const" } else { "variable" };
    let body = value.filter(|value| matches!(value.kind(), "object" | "array"));
    Some(Found::new(kind, name.byte_range()).body(body))
}

/// `Type.prototype.name = function ...`, `exports.name = ...`
pub(super) fn assignment(site: &Site<'_, '_>) -> Option<Found> {
    let left = site.field("left")?;
    let name = match left.kind() {
        "identifier" => left,
        "member_expression" => left.child_by_field_name("property")?,
        _ => return None,
    };
    let is_method = site.text_of(left).contains(".prototype.");
    valued(if is_method { "method" } else { "function" }, name, site.field("right")?)
}

/// `name: () => ...` in an object.
pub(super) fn pair(site: &Site<'_, '_>) -> Option<Found> {
    let key = site.field("key")?;
    let found = valued("method", key, site.field("value")?)?;
    Some(Found { name: unquoted(site.text, key.byte_range()), ..found })
}

/// A field of a class; one that holds a function is a method.
pub(super) fn field(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.field("name").or(site.field("property"))?;
    if let Some(found) = site.field("value").and_then(|value| valued("method", name, value)) {
        return Some(found);
    }
    Some(Found::new("property", name.byte_range()))
}

/// A function or class that is a value: with its own name, or `default` if it is exported so.
pub(super) fn expression(site: &Site<'_, '_>) -> Option<Found> {
    let kind = if site.node.kind() == "class" { "class" } else { "function" };
    let body = site.field("body");
    if let Some(name) = site.field("name") {
        return Some(Found::new(kind, name.byte_range()).body(body));
    }
    let export = site.parent.filter(|parent| parent.kind() == "export_statement")?;
    let name = child(export, &["default"])?;
    Some(Found::new(kind, name.byte_range()).body(body))
}

/// `describe("title", () => ...)` and its kin.
pub(super) fn test_call(site: &Site<'_, '_>) -> Option<Found> {
    const WORDS: &[&str] = &["describe", "it", "test", "suite", "context"];
    // Calls are the most frequent node of all: look at the text before the tree.
    let rest = site.from(site.node);
    let word_length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
    if !WORDS.contains(&&rest[..word_length]) {
        return None;
    }
    let arguments = site.field("arguments")?;
    let title = arguments.named_child(0)?;
    let callback = children(arguments).find(|argument| is_function(*argument))?;
    if !matches!(title.kind(), "string" | "template_string") {
        return None;
    }
    let body = callback.child_by_field_name("body");
    let name = unquoted(site.text, title.byte_range());
    Some(Found::new("test", name).body(body).taking(Some(callback)))
}
