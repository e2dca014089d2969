//! Tells others of jobs, as Standard Webhooks say: a POST of JSON with an id, a time and a
//! signature over both and the body (standardwebhooks.com). Only places that the operator named are
//! told.

use crate::fetch;
use crate::now_ms;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use synod_store::{Entry, Event, Store};
use synod_tools::Context;

/// Time for one call.
const CALL: Duration = Duration::from_secs(10);
/// How long another process leaves a webhook to the one that took it, in milliseconds.
const TAKEN_MS: i64 = 30_000;
/// Places that are told at once.
const AT_ONCE: usize = 8;
/// Tries of one event.
const TRIES_MAX: u32 = 6;
/// First wait after a failure, in milliseconds; each next one is four times as long.
const WAIT_MS: i64 = 2_000;
/// What a key begins with that is written in base 64.
const WRITTEN_KEY: &str = "whsec_";
/// States that are told.
const TOLD: [&str; 4] = ["waiting", "succeeded", "failed", "cancelled"];

/// How far a webhook was told, as its job keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Standing {
    url: String,
    /// Number of the last event that was told, or passed over.
    #[serde(default)]
    seen: i64,
    #[serde(default)]
    tries: u32,
    /// Not before then, milliseconds since 1970.
    #[serde(default)]
    next_ms: i64,
}

/// The key of a secret: what stands behind `whsec_` in base 64, or the text itself.
fn key(secret: &str) -> hmac::Key {
    let written = secret.strip_prefix(WRITTEN_KEY).and_then(|text| STANDARD.decode(text).ok());
    let bytes = written.unwrap_or_else(|| secret.as_bytes().to_vec());
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

/// `v1,` and the signature of an id, a time in seconds and a body.
fn signature(secret: &str, id: &str, at_s: i64, body: &str) -> String {
    let tag = hmac::sign(&key(secret), format!("{id}.{at_s}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

/// The state that an event tells of, if it is one that others are told.
fn told(event: &Event) -> Option<String> {
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
    let state = payload["state"].as_str().filter(|_| event.kind == "status")?;
    TOLD.contains(&state).then(|| state.to_owned())
}

/// Tells whom there is something to be told; failures wait for their time.
pub async fn tell_all(cx: &Context, secret: &str) {
    let due = match cx.store.webhooks(now_ms()) {
        Ok(due) => due,
        Err(error) => return tracing::warn!(error = %error, "webhooks were not looked for"),
    };
    let telling =
        futures::stream::iter(due).for_each_concurrent(AT_ONCE, |(job, text)| async move {
            let Ok(standing) = serde_json::from_str::<Standing>(&text) else { return };
            if let Err(error) = tell(cx, secret, &job, &text, standing).await {
                tracing::warn!(job, error = %error, "a webhook was not told");
            }
        });
    telling.await;
}

/// Tells the next event of one job.
async fn tell(
    cx: &Context,
    secret: &str,
    job: &str,
    text: &str,
    standing: Standing,
) -> synod_store::Result<()> {
    let store = &cx.store;
    let found = store.events_after(job, standing.seen, synod_store::PAGE_MAX)?;
    let last = found.events.last().map_or(standing.seen, |event| event.seq);
    let next = found.events.iter().find_map(|event| Some((event.seq, told(event)?, event.at_ms)));
    let Some((seq, state, at_ms)) = next else {
        let passed = Standing { seen: last, ..standing };
        put(store, job, text, &passed)?;
        return Ok(());
    };
    let taken = Standing { next_ms: now_ms() + TAKEN_MS, ..standing.clone() };
    let Some(taken_text) = put(store, job, text, &taken)? else { return Ok(()) };
    let body = json!({
        "type": format!("job.{state}"), "timestamp": synod_index::timestamp(at_ms),
        "data": { "job": job, "state": state, "event": seq },
    });
    let (id, at_s) = (format!("{job}-{seq}"), now_ms() / 1_000);
    let body = body.to_string();
    let headers = [
        ("webhook-id", id.clone()),
        ("webhook-timestamp", at_s.to_string()),
        ("webhook-signature", signature(secret, &id, at_s, &body)),
    ];
    let url = standing.url.clone();
    let sent = tokio::task::spawn_blocking(move || fetch::post(&url, &headers, body, CALL)).await;
    let failure = match sent {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let tries = standing.tries + 1;
    let after = match &failure {
        None => Standing { seen: seq, tries: 0, next_ms: 0, ..standing },
        Some(_) if tries >= TRIES_MAX => Standing { seen: seq, tries: 0, next_ms: 0, ..standing },
        Some(_) => {
            let wait_ms = WAIT_MS * 4i64.pow(tries.saturating_sub(1));
            Standing { tries, next_ms: now_ms() + wait_ms, ..standing }
        }
    };
    put(store, job, &taken_text, &after)?;
    note(cx, job, failure.as_deref(), tries);
    Ok(())
}

/// Changes a webhook that is as it was read; gives its new text.
fn put(
    store: &Arc<Store>,
    job: &str,
    before: &str,
    after: &Standing,
) -> synod_store::Result<Option<String>> {
    let text = json!(after).to_string();
    Ok(store.change_webhook(job, before, &text)?.then_some(text))
}

fn note(cx: &Context, job: &str, failure: Option<&str>, tries: u32) {
    if let Some(failure) = failure {
        tracing::warn!(job, failure, tries, "a webhook failed");
    }
    let Some(ledger) = &cx.ledger else { return };
    let entry = Entry {
        at_ms: now_ms(),
        action: "webhook".to_owned(),
        resource: job.to_owned(),
        outcome: if failure.is_some() { "failed" } else { "ok" }.to_owned(),
        correlation_id: Some(job.to_owned()),
        ..Entry::default()
    };
    if let Err(error) = ledger.note(entry) {
        tracing::error!(error = %error, "a webhook is not in the ledger");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        // The example of standardwebhooks.com's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = "{\"test\": 2432232314}";
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(signature("plain", "a", 1, ""), signature("other", "a", 1, ""));
    }

    #[test]
    fn only_turns_of_a_job_are_told() {
        let event = |kind: &str, payload: &str| Event {
            seq: 1,
            at_ms: 1,
            kind: kind.to_owned(),
            payload: payload.to_owned(),
        };
        assert_eq!(told(&event("status", "{\"state\":\"waiting\"}")).as_deref(), Some("waiting"));
        assert_eq!(told(&event("status", "{\"state\":\"running\"}")), None);
        assert_eq!(told(&event("progress", "{\"state\":\"failed\"}")), None);
    }
}
