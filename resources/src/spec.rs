//! `spec://{project}/{feature}/{doc}`: a document of a Spec-Kit feature, or a part of one.
//!
//! `doc` is what `spec_read` takes: `spec.md`, `T012` with what it stands on, `checklists/ux.md`.
//! Read through that tool, whose bounds hold.

use crate::{Complete, Content, List, Read, Scheme, Template, Tool, decode, document, encode};
use serde_json::{Value, json};

const MIME: &str = "text/markdown";
/// The most of one document; `spec_read` allows no more.
const TOKENS: usize = 20_000;
/// Documents that features have.
const DOCUMENTS: &[&str] = &[
    "checklists/",
    "constitution",
    "contracts/",
    "data-model.md",
    "plan.md",
    "quickstart.md",
    "research.md",
    "spec.md",
    "tasks.md",
];

/// Documents of features.
pub const SPEC: Scheme = Scheme {
    prefix: "spec://",
    template: Some(Template {
        uri: "spec://{project}/{feature}/{+doc}",
        name: "spec",
        title: "Document of a feature",
        description: "Of a Spec-Kit feature: spec.md, plan.md, tasks.md, constitution, or a part \
                      such as T012, US1, FR-003. A project below a source is `source%2Ffolder`.",
        mime: MIME,
    }),
    fixed: None,
    read: Read::Tool(Tool { name: "spec_read", args, show }),
    complete: &[
        ("project", Complete::Index(document::complete)),
        ("feature", Complete::Tool(FEATURES)),
        ("doc", Complete::Words(DOCUMENTS)),
    ],
};

const FEATURES: List = List {
    name: "spec_list",
    args: |known| match known("project") {
        Some(project) => json!({ "project": project }),
        None => json!({}),
    },
    list: "features",
    key: "name",
};

/// Project, feature and document.
fn parts(rest: &str) -> (String, String, String) {
    let mut parts = rest.splitn(3, '/').map(decode);
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
}

fn args(rest: &str) -> Value {
    let (project, feature, doc) = parts(rest);
    json!({ "project": project, "feature": feature, "what": doc, "tokens": TOKENS })
}

/// One document is its text; of several pieces each says where it stands.
fn show(reply: &Value) -> Content {
    let pieces = reply["pieces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |piece: &Value| piece["text"].as_str().unwrap_or_default().to_owned();
    let mut out = match pieces {
        [one] => text(one),
        several => {
            let whole = several.iter().map(|piece| {
                let path = piece["path"].as_str().unwrap_or_default();
                format!("<!-- {path} -->\n{}\n", text(piece).trim_end())
            });
            whole.collect::<Vec<_>>().join("\n")
        }
    };
    for left in reply["left_out"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (path, lines) = (left["path"].as_str().unwrap_or_default(), &left["lines"]);
        out.push_str(&format!("\n[left out: {path}, lines {lines}]\n"));
    }
    Content { text: out, mime: MIME }
}

/// The document of the index that a `spec://` URI is, or is a part of: what changes with it.
pub fn document(uri: &str) -> Option<String> {
    let (project, feature, doc) = parts(uri.strip_prefix(SPEC.prefix)?);
    let (source, folder) = match project.split_once('/') {
        Some((source, folder)) => (source, format!("{folder}/")),
        None => (project.as_str(), String::new()),
    };
    let doc = doc.split('#').next().unwrap_or_default();
    let file = match doc {
        "constitution" | "constitution.md" => ".specify/memory/constitution.md".to_owned(),
        _ if doc.contains('.') => format!("specs/{feature}/{doc}"),
        _ if is_named(doc) => format!("specs/{feature}/{doc}.md"),
        // A task with its story and requirements is mostly tasks.md; the rest stands in spec.md.
        _ if doc.starts_with(['T', 't']) => format!("specs/{feature}/tasks.md"),
        _ => format!("specs/{feature}/spec.md"),
    };
    let path = format!("{folder}{file}");
    let path: Vec<String> = path.split('/').map(encode).collect();
    Some(format!("note://{}/{}", encode(source), path.join("/")))
}

fn is_named(doc: &str) -> bool {
    doc.contains('/') || DOCUMENTS.iter().any(|named| named.strip_suffix(".md") == Some(doc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_slice_and_the_document_that_it_changes_with() {
        let given = args("shop%2Fapps%2Fweb/001-albums/spec.md#Edge Cases");
        let wanted = json!({ "project": "shop/apps/web", "feature": "001-albums",
                             "what": "spec.md#Edge Cases", "tokens": TOKENS });
        assert_eq!(given, wanted);
        for (uri, wanted) in [
            ("spec://shop/001-x/tasks.md", "note://shop/specs/001%2Dx/tasks%2Emd"),
            ("spec://shop/001-x/T012", "note://shop/specs/001%2Dx/tasks%2Emd"),
            ("spec://shop/001-x/plan", "note://shop/specs/001%2Dx/plan%2Emd"),
            ("spec://shop/001-x/US1", "note://shop/specs/001%2Dx/spec%2Emd"),
            ("spec://shop/001-x/checklists/ux", "note://shop/specs/001%2Dx/checklists/ux%2Emd"),
            ("spec://s%2Fa/1/constitution", "note://s/a/%2Especify/memory/constitution%2Emd"),
        ] {
            assert_eq!(document(uri).as_deref(), Some(wanted), "{uri}");
        }
        assert_eq!(document("note://a/b"), None);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let one = json!({ "pieces": [{ "path": "specs/1/a.md", "text": "x\n" }] });
        assert_eq!(show(&one).text, "x\n");
        let two = json!({ "pieces": [{ "path": "a", "text": "x\n" }, { "path": "b", "text": "y" }],
                          "left_out": [{ "path": "c", "lines": [1, 9] }] });
        let shown = show(&two).text;
        assert!(shown.starts_with("<!-- a -->\nx\n") && shown.contains("left out: c, lines [1,9]"));
    }
}
