//! `job://{id}`, `session://{id}` and `trust://{id}`: what a tool says of the same id, as JSON.
//!
//! Read by the process through that tool, with the grant of whoever asks: what is another one's is
//! not there.

use crate::{Complete, Content, List, Read, Scheme, Template, Tool};
use serde_json::{Value, json};

const MIME: &str = "application/json";

/// The reply as it is.
fn show(reply: &Value) -> Content {
    Content { text: format!("{reply:#}"), mime: MIME }
}

/// A job.
pub const JOB: Scheme = Scheme {
    prefix: "job://",
    template: Some(Template {
        uri: "job://{id}",
        name: "job",
        title: "Job",
        description: "Where a job is, and what it waits for.",
        mime: MIME,
    }),
    fixed: None,
    read: Read::Tool(Tool { name: "job", args: |id| json!({ "op": "status", "id": id }), show }),
    complete: &[(
        "id",
        Complete::Tool(List {
            name: "job",
            args: |_| json!({ "op": "list" }),
            list: "jobs",
            key: "id",
        }),
    )],
};

/// A session.
pub const SESSION: Scheme = Scheme {
    prefix: "session://",
    template: Some(Template {
        uri: "session://{id}",
        name: "session",
        title: "Session",
        description: "What was said in a session with the council.",
        mime: MIME,
    }),
    fixed: None,
    read: Read::Tool(Tool {
        name: "session",
        args: |id| json!({ "op": "history", "id": id }),
        show,
    }),
    complete: &[(
        "id",
        Complete::Tool(List {
            name: "session",
            args: |_| json!({ "op": "list" }),
            list: "sessions",
            key: "id",
        }),
    )],
};

/// The record of a verdict.
pub const TRUST: Scheme = Scheme {
    prefix: "trust://",
    template: Some(Template {
        uri: "trust://{id}",
        name: "trust",
        title: "Record of a verdict",
        description: "Every answer behind a verdict, and the verdict computed again from them.",
        mime: MIME,
    }),
    fixed: None,
    read: Read::Tool(Tool { name: "trust", args: |id| json!({ "id": id }), show }),
    complete: &[(
        "id",
        Complete::Tool(List { name: "trust", args: |_| json!({}), list: "verdicts", key: "id" }),
    )],
};
