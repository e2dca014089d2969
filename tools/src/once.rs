//! The same idempotency key twice is the same request: what a request that spends or makes
//! something replied is kept under its key.

use crate::verdict::digest;
use crate::{Call, Context, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Hash of the request.
    request: String,
    reply: serde_json::Value,
}

fn key_of(call: &Call, tool: &str) -> Option<String> {
    call.key.as_ref().map(|key| digest(&format!("once\n{tool}\n{key}")))
}

/// The reply to an equal request under the call's key, if there was one.
///
/// # Errors
/// `Conflict` when the key was used for another request.
pub fn known<T: DeserializeOwned>(
    cx: &Context,
    call: &Call,
    tool: &str,
    request: &str,
) -> Result<Option<T>, Error> {
    let Some(key) = key_of(call, tool) else { return Ok(None) };
    let Some(text) = cx.store.answer(&key)? else { return Ok(None) };
    let kept: Kept = serde_json::from_str(&text)?;
    if kept.request != digest(request) {
        let why =
            format!("{tool}: this idempotency key was used for another request; use a new one");
        return Err(Error::Store(synod_store::Error::Conflict(why)));
    }
    Ok(Some(serde_json::from_value(kept.reply)?))
}

/// Keeps the reply to a request under the call's key, if it has one.
///
/// # Errors
/// Those of the store.
pub fn keep<T: Serialize>(
    cx: &Context,
    call: &Call,
    tool: &str,
    request: &str,
    reply: &T,
) -> Result<(), Error> {
    let Some(key) = key_of(call, tool) else { return Ok(()) };
    let kept = Kept { request: digest(request), reply: serde_json::to_value(reply)? };
    cx.store.put_answer(&key, &serde_json::to_string(&kept)?, (cx.now_ms)())?;
    Ok(())
}
