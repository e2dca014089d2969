//! The outward shape of every failure, and the one place where inner errors become it.
//!
//! What the caller can mend keeps its words; what is our own bug shows only an id, and the log has
//! the rest.

use crate::now_ms;
use serde_json::{Value, json};
use std::fmt;
use synod_tools::shown;

/// A stable code, with the HTTP status it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// On the wire.
    pub name: &'static str,
    /// Of REST replies.
    pub status: u16,
    /// For the reference.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($constant:ident $name:literal $status:literal $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &Code =
            &Code { name: $name, status: $status, meaning: $meaning };)*
        /// Every code: what `docs/reference/errors.md` lists.
        pub const CODES: &[&Code] = &[$($constant),*];
    };
}

codes! {
    AMBIGUOUS "ambiguous" 409 "A name has several meanings; the candidates are listed.";
    CANCELLED "cancelled" 499 "The caller stopped the work.";
    CONFLICT "conflict" 409 "The request contradicts an earlier one.";
    DEADLINE "deadline" 504 "The call took longer than its deadline.";
    FORBIDDEN "forbidden" 403 "The grant does not cover the call.";
    INTERNAL "internal" 500 "A bug of ours; the log holds more under the id.";
    INVALID "invalid_argument" 400 "An argument does not fit.";
    METHOD "method_not_allowed" 405 "The route has no such method.";
    NOT_FOUND "not_found" 404 "Nothing has that name; the nearest ones are listed.";
    OVERLOADED "overloaded" 503 "Too many calls are running.";
    RATE_LIMITED "rate_limited" 429 "More calls per second than the limit.";
    STORAGE "storage" 507 "The data directory cannot be read or written.";
    TOO_LARGE "too_large" 413 "The body is over the limit.";
    UNAUTHENTICATED "unauthenticated" 401 "A token is needed, or the one given is not known.";
    UNKNOWN_TOOL "unknown_tool" 404 "No tool of that name is offered here.";
    UNPROCESSABLE "unprocessable" 422 "The arguments fit, but it cannot be done.";
    UPSTREAM "upstream" 502 "A server that was asked did not answer as it should.";
}

/// What to do where the store itself is damaged.
pub const MEND_STORE: &str =
    "run `synod doctor --repair`, which sets it aside and keeps what can be read of it";

/// After this much a damaged part of the index may be made anew.
const HEALED_MS: u64 = 2_000;

/// A failed call.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Stable.
    pub code: &'static Code,
    /// What was wrong.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Try again after this.
    pub retry_after_ms: Option<u64>,
    /// In the log under the same id.
    pub correlation_id: String,
}

impl Fault {
    /// A fault with its words; `message; hint` in one text is split at the first semicolon.
    pub fn new(code: &'static Code, text: impl Into<String>) -> Self {
        let text = text.into();
        let (message, hint) = match text.split_once("; ") {
            Some((message, hint)) => (message.to_owned(), hint.to_owned()),
            None => (text, String::new()),
        };
        Fault { code, message, hint, retry_after_ms: None, correlation_id: correlation_id() }
    }

    /// With a time after which to try again.
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// A bug of ours: the words go to the log, the id to the caller.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        let id = correlation_id();
        tracing::error!(correlation_id = id, error = %error, "internal error");
        Fault {
            code: INTERNAL,
            message: format!("internal error {id}"),
            hint: "try again; if it stays, look for the id in the log".to_owned(),
            retry_after_ms: None,
            correlation_id: id,
        }
    }

    /// The REST shape.
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "code": self.code.name,
            "message": self.message,
            "hint": self.hint,
            "correlation_id": self.correlation_id,
        });
        if let Some(ms) = self.retry_after_ms {
            error["retry_after_ms"] = ms.into();
        }
        json!({ "error": error })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// An id under which log, ledger and replies speak of the same call.
pub fn correlation_id() -> String {
    let random = synod_store::random().unwrap_or_default();
    synod_store::new_id("c", now_ms(), random)
}

impl From<synod_tools::Error> for Fault {
    fn from(error: synod_tools::Error) -> Self {
        match error {
            synod_tools::Error::Args(text) => Fault::new(INVALID, text),
            synod_tools::Error::Missing(text) => Fault::new(NOT_FOUND, text),
            synod_tools::Error::Refused(text) => Fault::new(UNPROCESSABLE, text),
            synod_tools::Error::Upstream(text) => Fault::new(UPSTREAM, text),
            synod_tools::Error::Ask(failure) => failure.into(),
            synod_tools::Error::Index(error) => error.into(),
            synod_tools::Error::Store(error) => error.into(),
            synod_tools::Error::NotKept { what, source } => {
                let fault = Fault::from(source);
                Fault { message: format!("{what}: {}", fault.message), ..fault }
            }
            error @ synod_tools::Error::Reply(_) => Fault::internal(&error),
        }
    }
}

impl From<synod_llm::Failure> for Fault {
    fn from(failure: synod_llm::Failure) -> Self {
        use synod_llm::FailureKind as K;
        let text = failure.to_string();
        match failure.kind {
            K::UnknownModel => Fault::new(NOT_FOUND, text),
            K::Budget { .. } | K::Unpriced | K::Quota => Fault::new(RATE_LIMITED, text),
            K::RateLimit { retry_after } => {
                let fault = Fault::new(RATE_LIMITED, text);
                match retry_after {
                    Some(after) => fault.retry_after(after.as_millis() as u64),
                    None => fault,
                }
            }
            K::Policy | K::Context | K::Filter => Fault::new(UNPROCESSABLE, text),
            K::Books => Fault::new(STORAGE, text),
            K::Timeout => Fault::new(DEADLINE, text),
            K::Cancelled => Fault::new(CANCELLED, text),
            _ => Fault::new(UPSTREAM, text),
        }
    }
}

impl From<synod_index::Error> for Fault {
    fn from(error: synod_index::Error) -> Self {
        use synod_index::Error as E;
        // It names files and headings.
        let text = shown(&error.to_string()).into_owned();
        let damaged = error.is_damage();
        if let Some(why) = error.disk() {
            return Fault::new(STORAGE, format!("{text}: {why}"));
        }
        match error {
            E::Data { .. }
            | E::Newer { .. }
            | E::NewerReading { .. }
            | E::OtherWords
            | E::ReadOnly => Fault::new(STORAGE, text),
            E::Damaged(_) => Fault::new(STORAGE, text).retry_after(HEALED_MS),
            E::Source(_) => Fault::new(UNPROCESSABLE, text),
            E::Argument(_) => Fault::new(INVALID, text),
            E::Missing { what, nearest } => {
                let hint = if nearest.is_empty() {
                    "search for it, or see `index_status` for what is indexed".to_owned()
                } else {
                    format!("nearest is `{}`", shown(&nearest.join("`, `")))
                };
                let what = shown(&what);
                let (what, more) = what.split_once("; ").unwrap_or((&what, ""));
                let hint = if more.is_empty() { hint } else { more.to_owned() };
                Fault { hint, ..Fault::new(NOT_FOUND, what) }
            }
            E::Ambiguous { what, candidates } => {
                let hint = candidates.iter().map(|c| format!("\n- {}", shown(c)));
                let hint: String = hint.collect();
                let what = shown(what.split("; ").next().unwrap_or(&what)).into_owned();
                Fault { hint: format!("candidates:{hint}"), ..Fault::new(AMBIGUOUS, what) }
            }
            E::Unreadable { .. } => Fault::new(UNPROCESSABLE, text),
            E::NotWriter | E::Embedding(_) => Fault::new(UNPROCESSABLE, text),
            E::Cancelled => Fault::new(CANCELLED, text),
            _ if damaged => {
                let hint = "run `synod doctor --repair`, which makes it anew from your files";
                Fault::new(STORAGE, format!("{text}; {hint}"))
            }
            E::Sql(_) | E::Words(_) | E::Row(_) => Fault::internal(&text),
        }
    }
}

impl From<synod_store::Error> for Fault {
    fn from(error: synod_store::Error) -> Self {
        use synod_store::Error as E;
        if let Some(why) = error.disk() {
            return Fault::new(STORAGE, format!("{error}: {why}"));
        }
        if error.is_damage() {
            return Fault::new(STORAGE, format!("{error}; {MEND_STORE}"));
        }
        match error {
            E::Argument(text) => Fault::new(INVALID, text),
            E::Conflict(text) => Fault::new(CONFLICT, text),
            E::Data { .. } | E::Newer { .. } | E::ReadOnly | E::Halted { .. } => {
                Fault::new(STORAGE, error.to_string())
            }
            E::Sql(_) => Fault::internal(&error),
        }
    }
}

impl From<synod_resources::Error> for Fault {
    fn from(error: synod_resources::Error) -> Self {
        match error {
            synod_resources::Error::NotFound { .. } => Fault::new(NOT_FOUND, error.to_string()),
            synod_resources::Error::Cursor => Fault::new(INVALID, error.to_string()),
            synod_resources::Error::Index(error) => error.into(),
        }
    }
}

impl From<synod_prompts::Error> for Fault {
    fn from(error: synod_prompts::Error) -> Self {
        match error {
            synod_prompts::Error::Template(_) => Fault::internal(&error),
            _ => Fault::new(INVALID, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_not_kept_is_a_failure_of_the_store_with_its_path() {
        let not_kept = |source| {
            let what = "spec_update: `/p; q/a.md` was left as it is".to_owned();
            Fault::from(synod_tools::Error::NotKept { what, source })
        };
        let begins = "spec_update: `/p; q/a.md` was left as it is: ";
        let fault = not_kept(synod_store::Error::ReadOnly);
        assert_eq!(fault.code, STORAGE);
        assert!(fault.message.starts_with(begins) && !fault.hint.is_empty(), "{fault}");
        let fault = not_kept(synod_store::Error::Argument("`path` is long; shorten it".to_owned()));
        assert_eq!((fault.code, fault.hint.as_str()), (INVALID, "shorten it"));
        assert_eq!(fault.message, format!("{begins}`path` is long"));
    }

    #[test]
    fn words_and_hint_are_apart_and_bugs_are_hidden() {
        let fault = Fault::new(INVALID, "search: `limit` is 500; ask for 200");
        assert_eq!(
            (fault.message.as_str(), fault.hint.as_str()),
            ("search: `limit` is 500", "ask for 200")
        );
        let bug = Fault::internal(&"secret detail");
        assert!(!bug.to_string().contains("secret"));
        assert!(CODES.is_sorted_by(|a, b| a.name < b.name));
    }
}
