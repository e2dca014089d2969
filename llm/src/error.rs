//! What can go wrong: a catalog that does not hold together, and an ask without an answer.
//!
//! Invariant: what a server said never stands in what is displayed; it goes to debug logs alone.

use crate::ask::Attempt;
use crate::replay::redacted;
use std::time::Duration;

/// A catalog, or a file of it, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row contradicts itself or another row.
    #[error("catalog: {0}")]
    Catalog(String),
    /// A file of transcripts cannot be read.
    #[error("transcripts: cannot read `{path}`")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row of transcripts is none.
    #[error("transcripts: `{path}` line {line}: {reason}")]
    Row {
        /// Which file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// What kind of failure: one variant for each thing that the engine or its caller does differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Too many requests; when the next may come, if that is known.
    RateLimit {
        /// From now on.
        retry_after: Option<Duration>,
    },
    /// What the account may spend at the provider is spent.
    Quota,
    /// The input does not fit the window.
    Context,
    /// The provider refused the content of the question or of the answer.
    Filter,
    /// The key is not accepted.
    Auth,
    /// The provider does not know the model, or the transcripts do not know the question.
    NotFound,
    /// No first token or no end in time.
    Timeout,
    /// No connection.
    Connect,
    /// An error of the server (5xx).
    Server,
    /// What came is not what the dialect says.
    Malformed,
    /// The answer ended without saying that it is complete.
    Truncated,
    /// A complete answer without text.
    Empty {
        /// All its tokens went into reasoning: the same request would end in the same way.
        cut: bool,
    },
    /// An account of ours would be overspent.
    Budget {
        /// Which account: `call`, `session`, `day`, `month` or `provider <name>`.
        account: String,
        /// What is left of it, in millionths of a dollar.
        left_usd_micros: u64,
    },
    /// A budget is set and the model's price is not known.
    Unpriced,
    /// A budget is set and the books that several engines share cannot be written.
    Books,
    /// The policy allows none of the models.
    Policy,
    /// The catalog has no such model.
    UnknownModel,
    /// Nobody waits for it any more.
    Cancelled,
    /// The provider refuses the request as it stands (4xx of no other class).
    Invalid,
}

impl FailureKind {
    /// Its name on the outside.
    pub fn name(&self) -> &'static str {
        match self {
            FailureKind::RateLimit { .. } => "rate_limit",
            FailureKind::Quota => "quota",
            FailureKind::Context => "context",
            FailureKind::Filter => "filter",
            FailureKind::Auth => "auth",
            FailureKind::NotFound => "not_found",
            FailureKind::Timeout => "timeout",
            FailureKind::Connect => "connect",
            FailureKind::Server => "server",
            FailureKind::Malformed => "malformed",
            FailureKind::Truncated => "truncated",
            FailureKind::Empty { .. } => "empty",
            FailureKind::Budget { .. } => "budget",
            FailureKind::Unpriced => "unpriced",
            FailureKind::Books => "books",
            FailureKind::Policy => "policy",
            FailureKind::UnknownModel => "unknown_model",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Invalid => "invalid",
        }
    }

    /// One sentence with the next step.
    fn sentence(&self) -> String {
        match self {
            FailureKind::RateLimit { retry_after: Some(after) } => {
                let ms = after.as_millis();
                format!("too many requests; ask again in {ms} ms")
            }
            FailureKind::RateLimit { retry_after: None } => {
                "too many requests; ask again later".to_owned()
            }
            FailureKind::Quota => "the provider's quota is used up; look at its account".to_owned(),
            FailureKind::Context => "the input is too long for its window; shorten it".to_owned(),
            FailureKind::Filter => {
                "the provider's content filter refused; ask another model".to_owned()
            }
            FailureKind::Auth => "the key is not accepted; check the provider's key".to_owned(),
            FailureKind::NotFound => {
                "it is not there; check its name at the provider, or install it".to_owned()
            }
            FailureKind::Timeout => "no answer in time; allow more time".to_owned(),
            FailureKind::Connect => "no connection; check that the server runs".to_owned(),
            FailureKind::Server => "the server failed; ask again later".to_owned(),
            FailureKind::Malformed => {
                "the reply is not what its dialect says; check URL and dialect".to_owned()
            }
            FailureKind::Truncated => "the answer broke off; ask again".to_owned(),
            FailureKind::Empty { cut: true } => {
                "all its tokens went into reasoning; allow more of them".to_owned()
            }
            FailureKind::Empty { cut: false } => "the answer has no text; ask again".to_owned(),
            FailureKind::Budget { account, left_usd_micros } => format!(
                "the budget `{account}` has {left_usd_micros} millionths of a dollar left, too few"
            ),
            FailureKind::Unpriced => {
                "a budget is set and the price is unknown; give the model's row a price".to_owned()
            }
            FailureKind::Books => {
                "a budget is set and what is spent cannot be written down; the log says why"
                    .to_owned()
            }
            FailureKind::Policy => {
                "the policy allows no model for this; name a local one or widen it".to_owned()
            }
            FailureKind::UnknownModel => "no such model in the catalog".to_owned(),
            FailureKind::Cancelled => "nobody waits for it any more".to_owned(),
            FailureKind::Invalid => {
                "the provider refuses the request as it stands; check the model's row".to_owned()
            }
        }
    }
}

/// An ask without an answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("model `{model}`: {}{}", .kind.sentence(), shown(.note))]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// Row of the model that failed last.
    pub model: String,
    /// Our own words about what was hit, such as the limit; may be empty.
    pub note: String,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, model: &str) -> Self {
        Failure { kind, model: model.to_owned(), note: String::new(), attempts: Vec::new() }
    }

    pub(crate) fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

fn shown(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!(" ({note})") }
}

/// One failed exchange with a server, before it is a [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub kind: FailureKind,
    /// Our own words.
    pub note: String,
    /// The server's words: for debug logs, by [`Fault::logged`].
    pub said: String,
    /// When the server wants to be asked again, whatever the kind.
    pub retry_after: Option<Duration>,
}

/// Longest piece of a server's words that is kept, in characters.
const SAID_CHARS_MAX: usize = 8_192;
/// Longest piece of them that is logged, in characters: so much shorter that a key which begins in
/// it is kept whole.
const LOGGED_CHARS_MAX: usize = 300;

impl Fault {
    pub fn new(kind: FailureKind, note: impl Into<String>) -> Self {
        Fault { kind, note: note.into(), said: String::new(), retry_after: None }
    }

    pub fn said(kind: FailureKind, said: &str) -> Self {
        let said = said.chars().take(SAID_CHARS_MAX).collect();
        Fault { kind, note: String::new(), said, retry_after: None }
    }

    /// The server's words without secrets, cut short after these were taken out: half a key is one
    /// that nobody finds.
    pub fn logged(&self, secrets: &[String]) -> String {
        redacted(&self.said, secrets).chars().take(LOGGED_CHARS_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_is_ours() {
        let kind = FailureKind::Budget { account: "day".to_owned(), left_usd_micros: 7 };
        let failure = Failure::new(kind, "m").noted("bound 9");
        let text = failure.to_string();
        assert!(text.contains("`m`") && text.contains("`day` has 7"), "{text}");
        assert!(text.ends_with("(bound 9)"), "{text}");
        assert_eq!(failure.kind.name(), "budget");
        let fault = Fault::said(FailureKind::Server, &"x".repeat(10_000));
        assert_eq!(fault.said.len(), SAID_CHARS_MAX);
        assert_eq!(fault.logged(&[]).len(), LOGGED_CHARS_MAX);
    }

    #[test]
    fn a_key_at_the_cut_is_not_logged_in_part() {
        let key = "sk-abcdefghijklmnopqrstuvwxyz".to_owned();
        for before in [0, 280, 290, 299] {
            let said = format!("{}{key} is wrong", "x".repeat(before));
            let logged = Fault::said(FailureKind::Auth, &said).logged(std::slice::from_ref(&key));
            assert!(!logged.contains("sk-") && !logged.ends_with('s'), "{logged}");
        }
    }
}
