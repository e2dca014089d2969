//! Bounds and forms that all replies share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use synod_index::{Freshness, Index};
use synod_store::Job;

/// Text of one reply, in bytes: some 10,000 tokens of prose.
pub const REPLY_BYTES_MAX: usize = 36_000;

/// What replies lack where the index cannot be written and no other process keeps it fresh.
const FRESHNESS: &str = "freshness";

/// How current a reply is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Of one reply. `freshness` is as it was before anything was looked at: what is committed
    /// meanwhile does not make current what was found before it.
    pub fn new(
        index: &Index,
        freshness: Freshness,
        generation: u64,
        mut degraded: Vec<String>,
    ) -> Self {
        let Freshness { pending, fresh } = freshness;
        if index.is_read_only() && pending == 0 && !fresh {
            degraded.push(FRESHNESS.to_owned());
        }
        Currency { degraded, generation, pending, fresh }
    }

    /// One line for a model, empty when there is nothing to say.
    pub fn render(&self) -> String {
        let mut parts = Vec::new();
        let still = self.degraded.iter().any(|part| part == FRESHNESS);
        let others: Vec<&str> =
            self.degraded.iter().map(String::as_str).filter(|part| *part != FRESHNESS).collect();
        if !others.is_empty() {
            parts.push(format!("without: {}", others.join(", ")));
        }
        if self.pending > 0 {
            parts.push(format!("{} files are still being indexed", self.pending));
        } else if still {
            parts.push("the data directory cannot be written: the index stays as it is".to_owned());
        } else if !self.fresh {
            parts.push("the index may lag behind the files".to_owned());
        }
        if parts.is_empty() { String::new() } else { format!("_({})_\n", parts.join("; ")) }
    }
}

/// A job as callers see it; what it was asked for is its owner's.
#[derive(Serialize, JsonSchema)]
pub struct JobReply {
    id: String,
    /// index, …
    kind: String,
    /// pending, running, waiting (for a person), succeeded, failed or cancelled.
    state: String,
    /// Files done.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
    /// Files to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// What is in hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// What a waiting job asks a person for: kind, why, actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    needs: Option<Value>,
    /// What it did, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    /// When that was last so.
    changed: String,
}

impl From<Job> for JobReply {
    fn from(job: Job) -> Self {
        let progress: Value =
            job.progress.and_then(|p| serde_json::from_str(&p).ok()).unwrap_or_default();
        let council = job.kind == crate::COUNCIL_JOB;
        let kept = council && job.state == synod_store::JobState::Succeeded;
        // What a council said of its turn is over once it runs no more.
        let current = progress["current"].as_str().filter(|text| !text.is_empty());
        let current = current.filter(|_| !council || job.state == synod_store::JobState::Running);
        let result = match kept {
            true => Some("`orchestrate` with this id as `job` has the answer".to_owned()),
            false => job.result,
        };
        JobReply {
            id: job.id,
            kind: job.kind,
            state: job.state.name().to_owned(),
            needs: job.needs.and_then(|needs| serde_json::from_str(&needs).ok()),
            done: progress["done"].as_u64(),
            total: progress["total"].as_u64(),
            current: current.map(str::to_owned),
            result,
            changed: timestamp(job.changed_ms),
        }
    }
}

impl JobReply {
    /// One line for a model.
    pub fn render(&self) -> String {
        let progress = match (self.done, self.total) {
            (Some(done), Some(total)) => format!(" {done} of {total} files"),
            _ => String::new(),
        };
        let result = self.result.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        let why = self.needs.as_ref().and_then(|needs| needs["why"].as_str());
        let result = why.map_or(result, |why| format!(" for a person: {why}"));
        let waits = self.current.as_ref().filter(|_| self.kind == crate::COUNCIL_JOB);
        let result = waits.map_or(result, |current| format!(", {current}"));
        format!("- job `{}` ({}) {}{progress}{result}\n", self.id, self.kind, self.state)
    }
}

/// A run of indexing, as it is shown, in words; empty for what is no run.
pub fn indexing_text(run: &Value) -> String {
    let (Some(done), Some(total)) = (run["done"].as_u64(), run["total"].as_u64()) else {
        return String::new();
    };
    let source = run["source"].as_str().unwrap_or_default();
    let mut out = format!("indexing {source} … {done} of {total} files");
    if let Some(bytes) = run["bytes"].as_u64().filter(|bytes| *bytes > 0) {
        let _ = write!(out, ", {:.1} MB", bytes as f64 / 1e6);
    }
    if let Some(rate) = run["rate"].as_f64() {
        let _ = write!(out, ", {rate:.0} a second");
    }
    if let Some(left) = run["seconds_left"].as_u64() {
        let _ = write!(out, ", {left} s left");
    }
    out
}

/// Milliseconds since 1970 as RFC 3339, to the second.
pub fn timestamp(ms: i64) -> String {
    synod_index::timestamp(ms)
}

/// A name, a heading or another line that is not ours, in one line of a text: what would begin a
/// line of its own there, steer a terminal or turn the writing around is spelled out.
pub fn shown(text: &str) -> Cow<'_, str> {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
            || matches!(c, '\u{2066}'..='\u{2069}')
    };
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match odd(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The beginning of a text, at most so many bytes.
pub fn head(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The first of `items` that take at most so many bytes together, and how many are left out.
pub fn within<T>(
    mut items: Vec<T>,
    bytes_max: usize,
    bytes: impl Fn(&T) -> usize,
) -> (Vec<T>, usize) {
    let mut sum = 0;
    let fits = |item: &T| {
        sum += bytes(item);
        sum <= bytes_max
    };
    let more = items.len() - items.iter().map(fits).take_while(|fits| *fits).count();
    items.truncate(items.len() - more);
    (items, more)
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
