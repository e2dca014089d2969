//! What a stream of a job shows: events that the store keeps, so that any process can show them and
//! a stream that was cut goes on where it was.

use crate::Context;
use serde_json::Value;
use synod_store::PAYLOAD_BYTES_MAX;

/// Characters of a text in an event: the whole of it is in the job's result.
pub const SHOWN_CHARS: usize = 1_000;

/// Adds an event. One that cannot be kept is logged: the work goes on without it.
pub fn tell(cx: &Context, job: &str, kind: &str, payload: &Value) {
    let text = payload.to_string();
    let text = if text.len() > PAYLOAD_BYTES_MAX { "{\"cut\":true}".to_owned() } else { text };
    if let Err(error) = cx.store.add_event(job, kind, &text, (cx.now_ms)()) {
        tracing::warn!(job, kind, error = %error, "an event was not kept");
    }
}

/// The head of a text.
pub fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut head: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        head.push('…');
    }
    head
}
