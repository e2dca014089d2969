//! Bounds and forms that all replies share.

use schemars::JsonSchema;
use serde::Serialize;
use synod_index::Freshness;

/// Text of one reply, in bytes: some 10,000 tokens of prose.
pub const REPLY_BYTES_MAX: usize = 36_000;

/// How current a reply is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Currency {
    /// Parts that were not available; empty when all were.
    pub degraded: Vec<String>,
    /// Generation of the index that was searched.
    pub generation: u64,
    /// Files known to wait for indexing.
    pub pending: u64,
    /// The sources are watched and nothing is pending.
    pub fresh: bool,
}

impl Currency {
    /// Of one reply.
    pub fn new(generation: u64, freshness: Freshness, degraded: Vec<String>) -> Self {
        Currency { degraded, generation, pending: freshness.pending, fresh: freshness.fresh }
    }

    /// One line for a model, empty when there is nothing to say.
    pub fn render(&self) -> String {
        let mut parts = Vec::new();
        if !self.degraded.is_empty() {
            parts.push(format!("without: {}", self.degraded.join(", ")));
        }
        if self.pending > 0 {
            parts.push(format!("{} files are still being indexed", self.pending));
        } else if !self.fresh {
            parts.push("the index may lag behind the files".to_owned());
        }
        if parts.is_empty() { String::new() } else { format!("_({})_\n", parts.join("; ")) }
    }
}

/// Milliseconds since 1970 as RFC 3339, to the second.
pub fn timestamp(ms: i64) -> String {
    synod_index::timestamp(ms)
}

/// A fence longer than any run of backticks in `text`.
pub fn fence(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat(longest.max(2) + 1)
}

/// Lines with their numbers in front.
pub fn numbered(text: &str, first: u32) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines = body.split('\n').enumerate();
    lines.map(|(at, line)| format!("{}\t{line}\n", first + at as u32)).collect()
}
