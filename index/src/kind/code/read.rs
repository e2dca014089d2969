//! Readers: how the items of each language are named where the fields `name` and `body` of its
//! grammar do not say it. JavaScript and TypeScript are in `script.rs`, C and C++ in `native.rs`.

use std::ops::Range;

use tree_sitter::Node;

use super::rule::{Found, Site, child, children, unquoted};

/// From the start of `node` to the start of its body, for names that are a whole head.
fn head(site: &Site<'_, '_>, body: Option<Node<'_>>) -> Range<usize> {
    let start = site.node.start_byte();
    let end = body.map_or(site.node.end_byte(), |body| body.start_byte());
    let written = site.text.get(start..end).unwrap_or_default();
    start..start + written.trim_end().len()
}

/// The children in the field `name`, without the commas that some grammars count among them.
fn names(site: &Site<'_, '_>) -> Vec<Range<usize>> {
    let mut cursor = site.node.walk();
    let found = site.node.children_by_field_name("name", &mut cursor);
    found.filter(|node| node.is_named()).map(|node| node.byte_range()).collect()
}

/// An item with several names.
fn several(kind: &'static str, mut names: Vec<Range<usize>>) -> Option<Found> {
    if names.is_empty() {
        return None;
    }
    let more = names.split_off(1);
    let name = names.pop()?;
    Some(Found { more, ..Found::new(kind, name) })
}

fn is_upper(name: &str) -> bool {
    name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase)
}

/// `impl Trait for Type`: named after the type, without its path and arguments.
pub(super) fn rust_impl(site: &Site<'_, '_>) -> Option<Found> {
    let written = site.field("type")?;
    let mut name = written;
    loop {
        let inner = match name.kind() {
            "generic_type" | "reference_type" | "pointer_type" => name.child_by_field_name("type"),
            "scoped_type_identifier" => name.child_by_field_name("name"),
            "dynamic_type" => name.child_by_field_name("trait"),
            "type_identifier" | "primitive_type" => break,
            _ => None,
        };
        let Some(inner) = inner else {
            name = written;
            break;
        };
        name = inner;
    }
    Some(Found::new("impl", name.byte_range()).body(site.field("body")))
}

/// `macro_rules! name { ... }`
pub(super) fn rust_macro(site: &Site<'_, '_>) -> Option<Found> {
    let body = site.child(&["{", "(", "["]);
    Some(Found::new("macro", site.field("name")?.byte_range()).body(body))
}

/// `NAME = value` at the top of a module.
pub(super) fn python_assignment(site: &Site<'_, '_>) -> Option<Found> {
    let left = site.field("left")?;
    let right = site.field("right");
    if right.is_some_and(|right| right.kind() == "lambda") && left.kind() == "identifier" {
        return Some(Found::new("function", left.byte_range()));
    }
    let nodes = match left.kind() {
        "identifier" => vec![left],
        "pattern_list" => children(left).filter(|node| node.kind() == "identifier").collect(),
        _ => return None,
    };
    let is_const = nodes.iter().all(|node| is_upper(site.text_of(*node)));
    let ranges = nodes.iter().map(|node| node.byte_range()).collect();
    several(if is_const { "const" } else { "variable" }, ranges)
}

/// `type Name = ...` of Python.
pub(super) fn python_type(site: &Site<'_, '_>) -> Option<Found> {
    let mut name = site.field("left")?;
    while let Some(inner) = name.named_child(0).filter(|_| name.kind() != "identifier") {
        name = inner;
    }
    Some(Found::new("type", name.byte_range()))
}

/// `Name struct { ... }` in a type declaration of Go.
pub(super) fn go_type(site: &Site<'_, '_>) -> Option<Found> {
    let of = site.field("type")?;
    let (kind, body) = match of.kind() {
        "struct_type" => ("struct", child(of, &["field_declaration_list"])),
        "interface_type" => ("interface", child(of, &["{"])),
        _ => ("type", None),
    };
    Some(Found::new(kind, site.field("name")?.byte_range()).body(body))
}

pub(super) fn go_const(site: &Site<'_, '_>) -> Option<Found> {
    several("const", names(site))
}

pub(super) fn go_var(site: &Site<'_, '_>) -> Option<Found> {
    several("variable", names(site))
}

/// A field of a class, or a constant if it is `static final`.
pub(super) fn java_field(site: &Site<'_, '_>) -> Option<Found> {
    let parent = site.parent?;
    let name = site.field("name")?.byte_range();
    match parent.kind() {
        "constant_declaration" => Some(Found::new("const", name)),
        "field_declaration" => {
            let modifiers = child(parent, &["modifiers"]).map_or("", |node| site.text_of(node));
            let is_const = modifiers.contains("static") && modifiers.contains("final");
            Some(Found::new(if is_const { "const" } else { "property" }, name))
        }
        _ => None,
    }
}

/// A field of a class in C#; its modifiers stand two nodes up, before the type.
pub(super) fn csharp_field(site: &Site<'_, '_>) -> Option<Found> {
    let parent = site.parent.filter(|parent| parent.kind() == "variable_declaration")?;
    let line = site.text.get(..parent.start_byte())?;
    let modifiers = line.rsplit(['\n', ';', '{', '}', ']']).next().unwrap_or_default();
    let is_const = modifiers.split_whitespace().any(|word| word == "const");
    let kind = if is_const { "const" } else { "property" };
    Some(Found::new(kind, site.field("name")?.byte_range()))
}

pub(super) fn csharp_property(site: &Site<'_, '_>) -> Option<Found> {
    let body = site.field("accessors").or(site.field("value"));
    Some(Found::new("property", site.field("name")?.byte_range()).body(body))
}

/// Members of C# that are named by a symbol: operators, conversions, indexers, destructors.
pub(super) fn csharp_symbol(site: &Site<'_, '_>) -> Option<Found> {
    let (start, end) = match site.node.kind() {
        "destructor_declaration" => (site.child(&["~"])?, site.field("name")?),
        "indexer_declaration" => (site.child(&["this"])?, site.child(&["this"])?),
        "conversion_operator_declaration" => (site.child(&["operator"])?, site.field("type")?),
        _ => (site.child(&["operator"])?, site.field("operator")?),
    };
    let body = site.field("body").or(site.field("accessors"));
    Some(Found::new("method", start.start_byte()..end.end_byte()).body(body))
}

pub(super) fn ruby_constant(site: &Site<'_, '_>) -> Option<Found> {
    let left = site.field("left").filter(|left| left.kind() == "constant")?;
    // Classes that are made by a call have methods as others do.
    let makes_class = site.field("right").is_some_and(|right| {
        let made = site.from(right);
        ["Struct.new", "Class.new", "Data.define"].iter().any(|call| made.starts_with(call))
    });
    let kind = if makes_class { "class" } else { "const" };
    Some(Found::new(kind, left.byte_range()))
}

pub(super) fn ruby_class(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.field("name")?;
    let name = name.child_by_field_name("name").unwrap_or(name);
    let kind = if site.node.kind() == "module" { "module" } else { "class" };
    let body = site.field("superclass").map(|parent| parent.end_byte());
    let found = Found::new(kind, name.byte_range());
    Some(Found { body: Some(body.unwrap_or(name.end_byte())), ..found })
}

pub(super) fn ruby_method(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.field("name")?;
    let is_member = matches!(site.within, Some("class" | "module"));
    let found = Found::new(if is_member { "method" } else { "function" }, name.byte_range());
    let head_end = site.field("parameters").unwrap_or(name).end_byte();
    Some(Found { body: Some(head_end), ..found })
}

/// Calls of Ruby that define: accessors, `define_method`, and the words of RSpec and Rake.
pub(super) fn ruby_call(site: &Site<'_, '_>) -> Option<Found> {
    const WORDS: &[&str] = &[
        "attr_accessor",
        "attr_reader",
        "attr_writer",
        "define_method",
        "describe",
        "context",
        "it",
        "specify",
        "feature",
        "scenario",
        "shared_examples",
        "test",
        "RSpec",
    ];
    if !WORDS.iter().any(|word| site.starts_with(word)) {
        return None;
    }
    let method = site.text_of(site.field("method")?);
    let arguments = site.field("arguments")?;
    let first = arguments.named_child(0)?;
    let symbol = |node: Node<'_>| {
        let range = node.byte_range();
        (node.kind() == "simple_symbol").then_some(range.start + 1..range.end)
    };
    match method {
        "attr_accessor" | "attr_reader" | "attr_writer" => {
            several("property", children(arguments).filter_map(symbol).collect())
        }
        "define_method" => Some(Found::new("method", symbol(first)?).body(site.field("block"))),
        "describe" | "context" | "it" | "specify" | "feature" | "scenario" | "shared_examples"
        | "test" => {
            let block = site.field("block")?;
            let name = unquoted(site.text, first.byte_range());
            Some(Found::new("test", name).body(Some(block)))
        }
        _ => None,
    }
}

/// A constant or a property of PHP, without its dollar sign.
pub(super) fn php_element(site: &Site<'_, '_>) -> Option<Found> {
    let is_const = site.node.kind() == "const_element";
    let name = site.child(&["name", "variable_name"])?;
    let name = if name.kind() == "variable_name" { child(name, &["name"])? } else { name };
    Some(Found::new(if is_const { "const" } else { "property" }, name.byte_range()))
}

pub(super) fn swift_type(site: &Site<'_, '_>) -> Option<Found> {
    let kind = match site.text_of(site.field("declaration_kind")?) {
        "struct" => "struct",
        "enum" => "enum",
        "extension" => "extension",
        // An actor is a class whose methods wait for each other.
        _ => "class",
    };
    let name = site.field("name")?;
    let name = if name.kind() == "user_type" { name.named_child(0).unwrap_or(name) } else { name };
    Some(Found::new(kind, name.byte_range()).body(site.field("body")))
}

pub(super) fn swift_property(site: &Site<'_, '_>) -> Option<Found> {
    let is_let = site.child(&["value_binding_pattern"]).is_some_and(|at| site.text_of(at) == "let");
    let kind = match (site.is_member(), is_let) {
        (true, _) => "property",
        (false, true) => "const",
        (false, false) => "variable",
    };
    let mut cursor = site.node.walk();
    let patterns = site.node.children_by_field_name("name", &mut cursor);
    let patterns = patterns.filter(|node| node.kind() == "pattern");
    let names =
        patterns.flat_map(|pattern| match pattern.child_by_field_name("bound_identifier") {
            Some(name) => vec![name.byte_range()],
            None => children(pattern)
                .filter(|node| node.kind() == "pattern")
                .map(|node| node.byte_range())
                .collect(),
        });
    let found = several(kind, names.collect())?;
    Some(
        found
            .body(site.field("computed_value").or(site.child(&["protocol_property_requirements"]))),
    )
}

/// Members that are named by their keyword: `init`, `deinit`, `subscript`, `constructor`.
pub(super) fn keyword_member(site: &Site<'_, '_>) -> Option<Found> {
    let keyword = site.child(&["init", "deinit", "subscript", "constructor"])?;
    let kind = match keyword.kind() {
        "init" | "constructor" => "constructor",
        _ => "method",
    };
    let body = site.field("body").or(site.child(&["block", "computed_property"]));
    Some(Found::new(kind, keyword.byte_range()).body(body))
}

pub(super) fn swift_macro(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.child(&["simple_identifier"])?;
    Some(Found::new("macro", name.byte_range()).body(site.field("definition")))
}

pub(super) fn kotlin_type(site: &Site<'_, '_>) -> Option<Found> {
    let body = site.child(&["class_body", "enum_class_body"]);
    if let Some(keyword) = site.child(&["companion"]) {
        let name = site.field("name").unwrap_or(keyword);
        return Some(Found::new("object", name.byte_range()).body(body));
    }
    let modifiers = site.child(&["modifiers"]).map_or("", |node| site.text_of(node));
    let kind = if site.node.kind() == "object_declaration" {
        "object"
    } else if site.child(&["interface"]).is_some() {
        "interface"
    } else if modifiers.split_whitespace().any(|word| word == "enum") {
        "enum"
    } else {
        "class"
    };
    Some(Found::new(kind, site.field("name")?.byte_range()).body(body))
}

pub(super) fn kotlin_function(site: &Site<'_, '_>) -> Option<Found> {
    let name = unquoted(site.text, site.field("name")?.byte_range());
    Some(Found::new("function", name).body(site.child(&["function_body"])))
}

pub(super) fn kotlin_property(site: &Site<'_, '_>) -> Option<Found> {
    let modifiers = site.child(&["modifiers"]).map_or("", |node| site.text_of(node));
    let is_const = modifiers.split_whitespace().any(|word| word == "const");
    let kind = if is_const || (!site.is_member() && site.child(&["val"]).is_some()) {
        "const"
    } else if site.is_member() {
        "property"
    } else {
        "variable"
    };
    let declared = site.child(&["variable_declaration", "multi_variable_declaration"])?;
    if declared.kind() == "variable_declaration" {
        let name = child(declared, &["identifier"])?;
        return Some(Found::new(kind, name.byte_range()).body(site.child(&["getter"])));
    }
    let parts = children(declared).filter(|node| node.kind() == "variable_declaration");
    several(kind, parts.map(|node| node.byte_range()).collect())
}

pub(super) fn kotlin_alias(site: &Site<'_, '_>) -> Option<Found> {
    let name = site.field("type").or(site.child(&["identifier"]))?;
    Some(Found::new("type", name.byte_range()))
}

/// `CREATE ...` of SQL.
pub(super) fn sql_create(site: &Site<'_, '_>) -> Option<Found> {
    let kind = match site.node.kind() {
        "create_table" => "table",
        "create_view" | "create_materialized_view" => "view",
        "create_function" => "function",
        "create_index" => "index",
        "create_trigger" => "trigger",
        "create_sequence" => "sequence",
        "create_schema" => "module",
        _ => "type",
    };
    let name = match kind {
        "index" => site.field("column")?,
        "module" => site.child(&["identifier"])?,
        _ => {
            let reference = site.child(&["object_reference"])?;
            reference.child_by_field_name("name").unwrap_or(reference)
        }
    };
    let body = site.child(&["column_definitions", "function_body", "create_query"]);
    Some(Found::new(kind, unquoted(site.text, name.byte_range())).body(body))
}

/// A heading, or an element with an id.
pub(super) fn html_element(site: &Site<'_, '_>) -> Option<Found> {
    let tag = site.child(&["start_tag", "self_closing_tag"])?;
    let tag_name = child(tag, &["tag_name"]).map_or("", |node| site.text_of(node));
    let is_heading = matches!(tag_name.as_bytes(), [b'h' | b'H', b'1'..=b'6']);
    if is_heading {
        let end = site.child(&["end_tag"]).map_or(site.node.end_byte(), |tag| tag.start_byte());
        let inner = site.text.get(tag.end_byte()..end)?;
        let start = end - inner.trim_start().len();
        let name = start..start + inner.trim().len();
        return Some(Found { body: Some(tag.end_byte()), ..Found::new("heading", name) });
    }
    let is_id = |attribute: &Node<'_>| {
        let name = child(*attribute, &["attribute_name"]).map_or("", |node| site.text_of(node));
        attribute.kind() == "attribute" && name.eq_ignore_ascii_case("id")
    };
    let id = children(tag).find(is_id)?;
    let value = child(id, &["quoted_attribute_value", "attribute_value"])?;
    let name = unquoted(site.text, value.byte_range());
    Some(Found { body: Some(tag.end_byte()), ..Found::new("section", name) })
}

/// A rule of CSS by its selectors, an at-rule by its whole head.
pub(super) fn css_rule(site: &Site<'_, '_>) -> Option<Found> {
    let body = site.child(&["block", "keyframe_block_list"])?;
    let name = match site.child(&["selectors", "keyframes_name"]) {
        Some(name) => name.byte_range(),
        None => head(site, Some(body)),
    };
    Some(Found::new("rule", name).body(Some(body)))
}

/// A key of JSON or YAML. A plain value is part of the signature.
pub(super) fn data_key(site: &Site<'_, '_>) -> Option<Found> {
    let key = site.field("key")?;
    let is_body = |value: &Node<'_>| matches!(value.kind(), "object" | "array" | "block_node");
    let body = site.field("value").filter(is_body);
    Some(Found::new("key", unquoted(site.text, key.byte_range())).body(body))
}

/// A key or a table of TOML.
pub(super) fn toml_key(site: &Site<'_, '_>) -> Option<Found> {
    let key = site.child(&["bare_key", "dotted_key", "quoted_key"])?;
    let is_pair = site.node.kind() == "pair";
    let name = unquoted(site.text, key.byte_range());
    let closing = site.child(&["]", "]]"]).map(|bracket| bracket.end_byte());
    Some(Found { body: closing, ..Found::new(if is_pair { "key" } else { "table" }, name) })
}
