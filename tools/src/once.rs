//! The same idempotency key twice is the same request: what a request that spends or makes
//! something replied is kept under its key, and while it is at work nobody else begins it.

use crate::verdict::digest;
use crate::{Call, Context, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A request that has said nothing for so long has lost its process.
const AT_WORK_MS: i64 = 15 * 60 * 1_000;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Hash of the request.
    request: String,
    /// Absent while it is at work.
    reply: Option<serde_json::Value>,
    /// When it began.
    #[serde(default)]
    at_ms: i64,
}

/// How a request with a key stands.
pub enum Begun<T> {
    /// It was replied to.
    Known(T),
    /// It is the caller's to do.
    New(Box<Once>),
}

/// A request in hand. Dropped before [`Once::keep`], it is forgotten, so that it can be tried
/// again.
pub struct Once {
    cx: Context,
    /// None for a request without a key.
    key: Option<String>,
    request: String,
    /// What holds its place.
    place: String,
}

fn conflict<T>(why: String) -> Result<T, Error> {
    Err(Error::Store(synod_store::Error::Conflict(why)))
}

/// Begins a request, or gives the reply to an equal one under the call's key.
///
/// # Errors
/// `Conflict` when the key was used for another request, or the same is at work.
pub fn begin<T: DeserializeOwned>(
    cx: &Context,
    call: &Call,
    tool: &str,
    request: &str,
) -> Result<Begun<T>, Error> {
    let request = digest(request);
    let key = call.key.as_ref().map(|key| digest(&format!("once\n{tool}\n{key}")));
    let at_ms = (cx.now_ms)();
    let place = serde_json::to_string(&Kept { request: request.clone(), reply: None, at_ms })?;
    if let Some(key) = &key {
        let mut known = cx.store.claim_answer(key, None, &place, at_ms)?;
        if let Some(text) = &known {
            let kept: Kept = serde_json::from_str(text)?;
            if kept.request != request {
                return conflict(format!(
                    "{tool}: this idempotency key was used for another request; use a new one"
                ));
            }
            if let Some(reply) = kept.reply {
                return Ok(Begun::Known(serde_json::from_value(reply)?));
            }
            if at_ms - kept.at_ms > AT_WORK_MS {
                known = cx.store.claim_answer(key, Some(text), &place, at_ms)?;
            }
        }
        if known.is_some() {
            return conflict(format!("{tool}: the request of this idempotency key is at work"));
        }
    }
    Ok(Begun::New(Box::new(Once { cx: cx.clone(), key, request, place })))
}

impl Once {
    /// Keeps the reply under the key, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn keep<T: Serialize>(mut self, reply: &T) -> Result<(), Error> {
        let Some(key) = self.key.take() else { return Ok(()) };
        let at_ms = (self.cx.now_ms)();
        let request = std::mem::take(&mut self.request);
        let kept = Kept { request, reply: Some(serde_json::to_value(reply)?), at_ms };
        self.cx.store.put_answer(&key, &serde_json::to_string(&kept)?, at_ms)?;
        Ok(())
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        let Some(key) = &self.key else { return };
        // What stays is free again after [`AT_WORK_MS`].
        if let Err(error) = self.cx.store.forget_answer(key, &self.place) {
            tracing::warn!(%error, "a request that failed keeps its key for a while");
        }
    }
}
