//! What is asked and what is answered, in words that no provider owns.

use crate::error::FailureKind;
use crate::place::Claim;
use serde_json::Value;
use std::sync::Arc;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Its name at most providers.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One turn of what the model reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Where a question may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// To providers of this machine or house alone.
    Local,
    /// To those first; to others only when none of them answers. A local fallback is asked before
    /// the model that was named: who wants that very model says [`Policy::Cloud`].
    #[default]
    LocalFirst,
    /// To whom the row says, wherever that is.
    Cloud,
}

impl Policy {
    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Local => "local",
            Policy::LocalFirst => "local-first",
            Policy::Cloud => "cloud",
        }
    }

    /// The policy of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Policy::Local, Policy::LocalFirst, Policy::Cloud].into_iter().find(|p| p.name() == name)
    }
}

/// Which accounts an ask counts to, besides day, month and the provider's month.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Budgets {
    /// The most that one call may cost; a second try is another call.
    pub call_usd_micros: Option<u64>,
    /// The session that it belongs to; its limit stands in the catalog.
    pub session: Option<String>,
}

/// One question to one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Id of a row in the catalog.
    pub model: String,
    /// The turns, oldest first; the last one is the question.
    pub messages: Vec<Message>,
    /// What the model is told before them.
    pub system: Option<String>,
    /// Left to the provider when `None`.
    pub temperature: Option<f64>,
    /// Most tokens of the answer; the row's own maximum holds too.
    pub output_tokens_max: u32,
    /// JSON schema that the answer has to meet; the text is then JSON, unless [`Answer::ignored`]
    /// says that the model takes none.
    pub schema: Option<Value>,
    /// For repeatable sampling; [`Answer::ignored`] says where a dialect has none.
    pub seed: Option<u64>,
    /// Where it may go.
    pub policy: Policy,
    /// What it counts to.
    pub budgets: Budgets,
    /// Whether an equal earlier answer will do at any temperature; at 0 it always does.
    pub cache: bool,
    /// How soon it has its turn where it has to wait. An equal ask that is on its way already is
    /// waited for as that one stands.
    pub claim: Claim,
}

impl Ask {
    /// A plain question: 1,024 tokens, local first, no cache, nothing else said.
    pub fn new(model: &str, question: &str) -> Self {
        let message = Message { role: Role::User, text: question.to_owned() };
        Ask {
            model: model.to_owned(),
            messages: vec![message],
            system: None,
            temperature: None,
            output_tokens_max: 1_024,
            schema: None,
            seed: None,
            policy: Policy::default(),
            budgets: Budgets::default(),
            cache: false,
            claim: Claim::default(),
        }
    }

    /// Bytes of everything that the model reads.
    pub(crate) fn input_bytes(&self) -> usize {
        let messages: usize = self.messages.iter().map(|m| m.text.len()).sum();
        let schema = self.schema.as_ref().map_or(0, |s| s.to_string().len());
        messages + schema + self.system.as_ref().map_or(0, String::len)
    }

    /// Upper bound of the tokens that the model reads: a token of prose or code has 3 to 4 bytes,
    /// and each turn costs a few marks.
    pub(crate) fn input_tokens_bound(&self) -> u64 {
        let marks = 8 * (self.messages.len() as u64 + 2);
        (self.input_bytes() as u64).div_ceil(3) + marks
    }

    /// The last message of the one who asks.
    pub(crate) fn question(&self) -> &str {
        let user = self.messages.iter().rev().find(|m| m.role == Role::User);
        user.map_or("", |m| m.text.trim())
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The provider's filter cut it; such an answer is a failure and never returned.
    Filter,
    /// Something else, as the provider names it.
    Other(String),
}

impl Finish {
    /// Its name on the outside.
    pub fn name(&self) -> &str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Filter => "content_filter",
            Finish::Other(name) => name,
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "stop" => Finish::Stop,
            "length" => Finish::Length,
            "content_filter" => Finish::Filter,
            other => Finish::Other(other.chars().take(40).collect()),
        }
    }
}

/// Tokens, as the provider counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// All that was read, what came from the provider's cache included.
    pub input: u64,
    /// All that was written, reasoning included.
    pub output: u64,
    /// Part of `input` that the provider had in its cache.
    pub cached: u64,
    /// Part of `output` that is not in the text.
    pub reasoning: u64,
}

/// One try of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Row id.
    pub model: String,
    /// Label of the key; empty where none is needed.
    pub key: String,
    /// Nothing is an answer.
    pub failure: Option<FailureKind>,
    /// How long it took, waiting for its turn included.
    pub ms: u64,
}

/// Why another model answered than the one that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FellBack {
    /// The policy wants another first.
    Policy,
    /// The provider's month is spent up to its threshold.
    Quota,
    /// The one that was asked was slower than the soft deadline.
    Slow,
    /// The one that was asked failed.
    Failed(FailureKind),
}

impl FellBack {
    /// Its name on the outside.
    pub fn name(&self) -> &'static str {
        match self {
            FellBack::Policy => "policy",
            FellBack::Quota => "monthly_quota",
            FellBack::Slow => "slow",
            FellBack::Failed(kind) => kind.name(),
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Row id of the model that really answered.
    pub model: String,
    /// Row id that was asked for.
    pub asked: String,
    /// Vendor of the one that answered.
    pub vendor: String,
    /// Weight lineage of the one that answered.
    pub family: String,
    /// The model as the server names it; the row's name where it does not.
    pub version: String,
    /// The row pins a version and another one answered.
    pub other_version: bool,
    /// What it says.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens; zeros where the provider does not count.
    pub usage: Usage,
    /// What it cost; the reserved bound where the provider does not count tokens, nothing where the
    /// price is unknown.
    pub cost_usd_micros: Option<u64>,
    /// From the ask to the end of the answer, everything included.
    pub latency_ms: u64,
    /// From the ask to its first token.
    pub first_token_ms: u64,
    /// No call was made for it: it was known, or an equal ask was on its way.
    pub cached: bool,
    /// What was tried, in order; the last one is the answer.
    pub attempts: Vec<Attempt>,
    /// Why not the one that was asked.
    pub fell_back: Option<FellBack>,
    /// What of the ask the provider has no word for, such as `seed`, or the model does not take.
    pub ignored: Vec<&'static str>,
}

/// What happens while an answer comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The model has begun, be it with reasoning that is not shown.
    Begun {
        /// Row id.
        model: String,
    },
    /// A piece of text.
    Text {
        /// Row id.
        model: String,
        /// The piece.
        delta: String,
    },
    /// What came from this model so far counts no more: its answer failed.
    Void {
        /// Row id.
        model: String,
    },
}

/// Who is told of events; called on the task that asks, so it must be quick.
pub type Hear = Arc<dyn Fn(&Event) + Send + Sync>;
