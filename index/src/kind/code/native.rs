//! Readers for C and C++, whose names hide inside declarators.

use tree_sitter::Node;

use super::rule::{Found, Site, child, children};

/// How deep a declarator may nest: `int (*(*f)(void))[3]` has five levels.
const DECLARATORS_MAX: usize = 24;

/// Bytes at the head of a header by which it is told whose it is.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Whether a header is one of C++: it has a line that C has not, outside of comments.
pub fn is_cpp(text: &str) -> bool {
    let (mut n_bytes, mut in_comment) = (0, false);
    for line in text.lines() {
        n_bytes += line.len() + 1;
        if n_bytes > HEAD_BYTES_MAX {
            return false;
        }
        let mut code = line;
        if in_comment {
            let Some((_, behind)) = code.split_once("*/") else { continue };
            (code, in_comment) = (behind, false);
        }
        let end = code.find("//").unwrap_or(code.len());
        match code.find("/*").filter(|at| *at < end) {
            Some(at) => {
                in_comment = !code[at + 2..].contains("*/");
                code = &code[..at];
            }
            None => code = &code[..end],
        }
        if says_cpp(code.trim()) {
            return true;
        }
    }
    false
}

fn says_cpp(line: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let behind = |word: &str| {
        let rest = line.strip_prefix(word).filter(|rest| !rest.starts_with(in_word));
        rest.map(str::trim_start)
    };
    let is_name = |rest: &str| rest.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_access = |word: &&str| behind(word).is_some_and(|rest| rest.starts_with(':'));
    line.contains("std::")
        || behind("class").is_some_and(is_name)
        || behind("using").is_some_and(is_name)
        || behind("template").is_some_and(|rest| rest.starts_with('<'))
        || behind("namespace").is_some_and(|rest| is_name(rest) || matches!(rest, "" | "{"))
        || ["public", "private", "protected"].iter().any(is_access)
}

/// The name in a declarator.
struct Declared<'tree> {
    name: Node<'tree>,
    /// The name is directly followed by parameters: a function and no pointer to one.
    is_function: bool,
    is_qualified: bool,
}

fn declared(declarator: Node<'_>) -> Option<Declared<'_>> {
    let mut node = declarator;
    let (mut is_function, mut is_qualified) = (false, false);
    for _ in 0..DECLARATORS_MAX {
        let inner = match node.kind() {
            "function_declarator" => {
                is_function = true;
                node.child_by_field_name("declarator")
            }
            "parenthesized_declarator" => children(node).find(Node::is_named),
            "pointer_declarator"
            | "array_declarator"
            | "init_declarator"
            | "attributed_declarator" => {
                is_function = false;
                node.child_by_field_name("declarator").or(node.named_child(0))
            }
            "reference_declarator" => {
                is_function = false;
                node.named_child(0)
            }
            "qualified_identifier" => {
                is_qualified = true;
                node.child_by_field_name("name")
            }
            "template_function" | "template_method" | "template_type" | "dependent_name" => {
                node.child_by_field_name("name").or(node.named_child(0))
            }
            "identifier"
            | "field_identifier"
            | "type_identifier"
            | "destructor_name"
            | "operator_name"
            | "namespace_identifier" => {
                return Some(Declared { name: node, is_function, is_qualified });
            }
            "operator_cast" => {
                return Some(Declared { name: node, is_function: true, is_qualified });
            }
            _ => return None,
        };
        node = inner?;
    }
    None
}

/// The range of a name; that of a conversion ends before its parameters.
fn name_range(name: Node<'_>) -> std::ops::Range<usize> {
    let parameters =
        name.child_by_field_name("declarator").filter(|_| name.kind() == "operator_cast");
    name.start_byte()..parameters.map_or(name.end_byte(), |node| node.start_byte())
}

fn type_kind(node: Node<'_>) -> Option<&'static str> {
    match node.kind() {
        "struct_specifier" => Some("struct"),
        "class_specifier" => Some("class"),
        "union_specifier" => Some("union"),
        "enum_specifier" => Some("enum"),
        _ => None,
    }
}

/// The kind of a type that is defined in place, and not only mentioned.
fn defined_type(node: Node<'_>) -> Option<&'static str> {
    node.child_by_field_name("body").and_then(|_| type_kind(node))
}

pub(super) fn function(site: &Site<'_, '_>) -> Option<Found> {
    /// What error recovery takes for functions.
    const KEYWORDS: &[&str] = &["if", "for", "while", "switch", "return", "else", "sizeof", "do"];
    let found = declared(site.field("declarator")?)?;
    let body = site.field("body");
    if !found.is_function {
        // `class API Name { ... }`: the grammar takes the macro for the name of the class.
        let kind = site.field("type").and_then(type_kind)?;
        return Some(Found::new(kind, found.name.byte_range()).body(body));
    }
    let name = site.text_of(found.name);
    if KEYWORDS.contains(&name) {
        return None;
    }
    if site.field("type").is_none() && name.contains("TEST") {
        return gtest(site);
    }
    let kind = if found.is_qualified { "method" } else { "function" };
    let initializers = site.child(&["field_initializer_list"]);
    Some(Found::new(kind, name_range(found.name)).body(initializers.or(body)))
}

/// `TEST(Suite, Name) { ... }`
fn gtest(site: &Site<'_, '_>) -> Option<Found> {
    let parameters = site.field("declarator")?.child_by_field_name("parameters")?;
    let name = children(parameters).filter(Node::is_named).last()?;
    Some(Found::new("test", name.byte_range()).body(site.field("body")))
}

/// A declaration outside of functions: a prototype, a variable, or a member.
pub(super) fn declaration(site: &Site<'_, '_>) -> Option<Found> {
    let is_friend = site.parent.is_some_and(|parent| parent.kind() == "friend_declaration");
    let of = site.field("type");
    let defines =
        of.is_some_and(|of| defined_type(of).is_some() && of.child_by_field_name("name").is_some());
    if is_friend || defines {
        return None;
    }
    let mut cursor = site.node.walk();
    let declarators = site.node.children_by_field_name("declarator", &mut cursor);
    let mut names = declarators.filter_map(declared);
    let first = names.next()?;
    let kind = match (first.is_function, site.is_member()) {
        (true, _) => "function",
        // Members that hold data are part of their type, not items.
        (false, true) => return None,
        (false, false) => {
            let head = site.text.get(site.node.start_byte()..first.name.start_byte())?;
            let mut words = head.split_whitespace();
            if words.any(|word| word == "constexpr" || word == "const") {
                "const"
            } else {
                "variable"
            }
        }
    };
    let more = names.map(|declared| name_range(declared.name)).collect();
    Some(Found { more, ..Found::new(kind, name_range(first.name)) })
}

pub(super) fn specifier(site: &Site<'_, '_>) -> Option<Found> {
    let kind = defined_type(site.node)?;
    let mut name = site.field("name")?;
    while let Some(inner) = name.child_by_field_name("name") {
        name = inner;
    }
    Some(Found::new(kind, name.byte_range()).body(site.field("body")))
}

/// `typedef struct point { ... } point_t;`: of the struct's kind; a tag of another name is an item
/// inside.
pub(super) fn typedef(site: &Site<'_, '_>) -> Option<Found> {
    let of = site.field("type")?;
    let mut cursor = site.node.walk();
    let declarators = site.node.children_by_field_name("declarator", &mut cursor);
    let mut names = declarators.filter_map(declared);
    let name = names.next()?.name;
    let more = names.map(|declared| declared.name.byte_range()).collect();
    let kind = defined_type(of).unwrap_or("type");
    let tag = of.child_by_field_name("name").map(|tag| site.text_of(tag));
    let is_same = tag.is_none_or(|tag| tag == site.text_of(name));
    let found = Found::new(kind, name.byte_range());
    if kind == "type" {
        return Some(Found { more, ..found });
    }
    let found = found.body(of.child_by_field_name("body"));
    Some(found.taking(Some(of).filter(|_| is_same)))
}

/// `#define`, except the guard of a header.
pub(super) fn define(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.field("name")?;
    let is_guard = site.field("value").is_none()
        && site.parent.is_some_and(|parent| {
            let guard = child(parent, &["identifier"]);
            parent.kind() == "preproc_ifdef"
                && guard.is_some_and(|guard| site.text_of(guard) == site.text_of(name))
        });
    if is_guard { None } else { Some(Found::new("macro", name.byte_range())) }
}
