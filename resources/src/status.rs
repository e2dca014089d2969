//! `synod://status`: what is indexed, and how far that is, as JSON.

use crate::{Content, Error, Fixed, Read, Result, Scheme};
use serde_json::json;
use synod_index::Index;

const URI: &str = "synod://status";

/// The state of the index.
pub const STATUS: Scheme = Scheme {
    prefix: "synod://",
    template: None,
    fixed: Some(Fixed {
        uri: URI,
        name: "status",
        title: "Index status",
        description: "Sources, counts, freshness, progress and errors of the index.",
        mime: "application/json",
    }),
    read: Read::Index(read),
    complete: &[],
};

fn read(index: &Index, uri: &str) -> Result<Content> {
    if uri != URI {
        let hint = format!("; there is `{URI}`");
        return Err(Error::NotFound { uri: uri.to_owned(), hint });
    }
    let status = index.status()?;
    let sources: Vec<_> = status
        .sources
        .iter()
        .map(|s| {
            json!({
                "name": s.source.name, "kind": s.source.kind.name(), "path": s.source.root,
                "documents": s.documents, "chunks": s.chunks, "errors": s.n_errors,
            })
        })
        .collect();
    let mut text = json!({
        "generation": status.generation, "pending": status.freshness.pending,
        "fresh": status.freshness.fresh, "sources": sources,
        "embedding": status.spaces.iter().map(|space| {
            json!({"space": space.name, "vectors": space.vectors, "waiting": space.waiting})
        }).collect::<Vec<_>>(),
    });
    if let Some(run) = status.doing.shown() {
        text["indexing"] = run;
    }
    let made_for = index.embedder().and_then(|embedder| embedder.made_for());
    if let Some(warning) = status.misfit(made_for) {
        text["warning"] = warning.into();
    }
    Ok(Content { text: format!("{text:#}"), mime: "application/json" })
}
