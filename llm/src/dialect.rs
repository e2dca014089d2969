//! The languages that providers speak: one file each, one row here.
//!
//! A dialect is two pure directions: an ask to a request, bytes to pieces of an answer. It neither
//! connects nor waits.

mod anthropic;
mod gemini;
mod mistral;
pub(crate) mod ollama;
mod openai;
mod responses;

use crate::ask::{Ask, Finish};
use crate::catalog::Model;
use crate::error::{FailureKind, Fault};
use crate::quirk::Quirks;
use crate::stream::Framing;
use serde_json::Value;

/// A language of providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Ollama's own (`/api/chat`).
    Ollama,
    /// Chat completions, as OpenAI, vLLM, llama.cpp, LM Studio, OpenRouter and Azure have them.
    OpenAi,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
    /// Mistral's chat completions.
    Mistral,
    /// Answers from transcripts; no network.
    Replay,
}

/// What a dialect does.
pub(crate) struct Rules {
    name: &'static str,
    pub framing: Framing,
    /// Header of the key, and what stands before the key in it.
    key: (&'static str, &'static str),
    /// Headers of every request.
    pub headers: &'static [(&'static str, &'static str)],
    /// Where models are listed, and where their names stand in the list.
    pub listing: (&'static str, &'static str, &'static str),
    /// What it has no word for.
    lacks: &'static [&'static str],
    call: fn(&Prompt) -> Call,
    pub event: fn(&[u8]) -> Result<Vec<Piece>, Fault>,
    pub answer: fn(&[u8]) -> Result<Vec<Piece>, Fault>,
    /// Status and body of a reply that is no success.
    pub refusal: fn(u16, &[u8]) -> Fault,
}

/// What a request is made of.
pub(crate) struct Prompt<'a> {
    pub ask: &'a Ask,
    pub model: &'a Model,
    pub url: &'a str,
    pub stream: bool,
    /// What the model is known to refuse.
    pub quirks: Quirks,
}

impl Prompt<'_> {
    /// Most tokens that may be written.
    pub fn output_tokens(&self) -> u32 {
        self.ask.output_tokens_max.min(self.model.output_tokens_max)
    }

    /// The temperature, where one is wanted and taken.
    pub fn temperature(&self) -> Option<f64> {
        self.ask.temperature.filter(|_| !self.quirks.no_temperature)
    }

    /// The schema, where one is wanted and taken.
    pub fn schema(&self) -> Option<&Value> {
        self.ask.schema.as_ref().filter(|_| !self.quirks.no_schema)
    }

    /// The turns as most dialects have them, without the system's.
    fn turns(&self) -> Vec<Value> {
        let turn =
            |m: &crate::Message| serde_json::json!({"role": m.role.name(), "content": m.text});
        self.ask.messages.iter().map(turn).collect()
    }

    /// The same with the system's words as the first turn.
    fn turns_with_system(&self) -> Vec<Value> {
        let system = self.ask.system.iter();
        let system = system.map(|s| serde_json::json!({"role": "system", "content": s}));
        system.chain(self.turns()).collect()
    }
}

/// A request without its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// Behind the provider's URL; may carry a query.
    pub path: String,
    pub body: Value,
}

impl Call {
    fn new(path: &str, body: Value) -> Self {
        Call { path: path.to_owned(), body }
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text of the answer.
    Text(String),
    /// The model thinks; what it thinks is not kept.
    Thought,
    /// Why it ended.
    Finish(Finish),
    /// The server gave up in the middle; counts may follow.
    Broken(Fault),
    /// Counts that are known so far.
    Count(Count),
    /// The model as the server names it.
    Version(String),
    /// Nothing follows.
    Done,
}

/// Token counts, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Count {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cached: Option<u64>,
    pub reasoning: Option<u64>,
}

const BEARER: (&str, &str) = ("authorization", "Bearer ");

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 7] = [
        Dialect::Ollama,
        Dialect::OpenAi,
        Dialect::Responses,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::Mistral,
        Dialect::Replay,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        self.rules().map_or("replay", |rules| rules.name)
    }

    /// The dialect of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// What it does on the wire; nothing for the one that has no wire.
    pub(crate) fn rules(self) -> Option<&'static Rules> {
        match self {
            Dialect::Ollama => Some(&ollama::RULES),
            Dialect::OpenAi => Some(&openai::RULES),
            Dialect::Responses => Some(&responses::RULES),
            Dialect::Anthropic => Some(&anthropic::RULES),
            Dialect::Gemini => Some(&gemini::RULES),
            Dialect::Mistral => Some(&mistral::RULES),
            Dialect::Replay => None,
        }
    }
}

impl Rules {
    pub fn call(&self, prompt: &Prompt) -> Call {
        (self.call)(prompt)
    }

    /// Name and value of the header with the key; another name takes the key alone.
    pub fn key(&self, secret: &str, header: Option<&str>) -> (String, String) {
        match header {
            Some(header) => (header.to_owned(), secret.to_owned()),
            None => (self.key.0.to_owned(), format!("{}{secret}", self.key.1)),
        }
    }

    /// What of an ask the dialect has no word for.
    pub fn ignored(&self, ask: &Ask) -> Vec<&'static str> {
        let set = |word: &&&'static str| match **word {
            "seed" => ask.seed.is_some(),
            _ => false,
        };
        self.lacks.iter().filter(set).copied().collect()
    }
}

/// What a status means where the body says no more.
fn status_kind(status: u16) -> FailureKind {
    match status {
        401 | 403 => FailureKind::Auth,
        402 => FailureKind::Quota,
        404 => FailureKind::NotFound,
        408 => FailureKind::Timeout,
        413 => FailureKind::Context,
        429 => FailureKind::RateLimit { retry_after: None },
        500..=599 => FailureKind::Server,
        _ => FailureKind::Invalid,
    }
}

/// What a refusal means whose codes are none of its dialect's: gateways answer every dialect with
/// errors of one shape. The words are those of LiteLLM's proxy, which passes an input that is too
/// long on as 400 or as 500 and, without a database, refuses a wrong key with 400.
fn other_kind(status: u16, word: &str, message: &str) -> FailureKind {
    if matches!(status, 400 | 413 | 422 | 500) && says_too_long(message) {
        FailureKind::Context
    } else if word == "no_db_connection" {
        FailureKind::Auth
    } else if status == 400 && message.contains("Invalid model name passed") {
        FailureKind::NotFound
    } else {
        status_kind(status)
    }
}

/// JSON of an event or answer.
fn json(bytes: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(bytes).map_err(|_| {
        let said = String::from_utf8_lossy(bytes);
        Fault { note: "it is no JSON".to_owned(), ..Fault::said(FailureKind::Malformed, &said) }
    })
}

/// JSON of a refusal; a page of a proxy is none.
fn refused_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// What a refusal says, for logs.
fn fault(kind: FailureKind, body: &[u8]) -> Fault {
    Fault::said(kind, &String::from_utf8_lossy(body))
}

fn malformed(note: &str, bytes: &[u8]) -> Fault {
    Fault { note: note.to_owned(), ..fault(FailureKind::Malformed, bytes) }
}

/// Whether a text says that the input is too long, in the words of the servers that have no code
/// for it: OpenAI and vLLM ("maximum context length"), llama.cpp ("exceeds the available context
/// size", "exceed_context_size_error"), Ollama ("exceeds the context length", "input length
/// exceeds"), Anthropic ("prompt is too long", "exceed context limit"), Gemini ("exceeds the
/// maximum number of tokens"), Mistral ("too large for model"), LiteLLM ("ContextWindowExceeded").
fn says_too_long(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "maximum context length",
        "context_length_exceeded",
        "exceed_context_size",
        "available context size",
        "context length",
        "context window",
        "contextwindowexceeded",
        "input length exceeds",
        "prompt is too long",
        "exceed context limit",
        "maximum number of tokens",
        "too large for model",
    ]
    .iter()
    .any(|words| text.contains(words))
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
