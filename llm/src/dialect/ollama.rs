//! Ollama's own API: lines of JSON.
//!
//! The window is always sent, and cutting the input is refused: left alone, the server takes a few
//! thousand tokens and drops the rest of the question without a word.

use super::{BEARER, Call, Count, Piece, Prompt, Rules};
use super::{fault, json, malformed, refused_json, says_too_long, status_kind, text};
use crate::ask::Finish;
use crate::catalog::Model;
use crate::error::{FailureKind, Fault};
use crate::stream::Framing;
use serde_json::{Value, json};

pub(super) const RULES: Rules = Rules {
    name: "ollama",
    framing: Framing::Lines,
    key: BEARER,
    headers: &[],
    listing: ("/api/tags", "models", "name"),
    lacks: &[],
    call,
    event,
    answer,
    refusal,
};

fn call(prompt: &Prompt) -> Call {
    let mut options = json!({
        "num_predict": prompt.output_tokens(),
        "num_ctx": prompt.model.window_tokens,
    });
    if let Some(temperature) = prompt.temperature() {
        options["temperature"] = json!(temperature);
    }
    if let Some(seed) = prompt.ask.seed {
        options["seed"] = json!(seed);
    }
    let mut body = json!({
        "model": prompt.model.name,
        "messages": prompt.turns_with_system(),
        "stream": prompt.stream,
        "truncate": false,
        "shift": false,
        "options": options,
    });
    if let Some(schema) = prompt.schema() {
        body["format"] = schema.clone();
    }
    Call::new("/api/chat", body)
}

/// Loads a model: an empty prompt with the window that asks will have, since another window would
/// load it anew.
pub(crate) fn warm(model: &Model, keep_alive_s: u64) -> Call {
    let body = json!({
        "model": model.name,
        "stream": false,
        "keep_alive": keep_alive_s,
        "options": {"num_ctx": model.window_tokens},
    });
    Call::new("/api/generate", body)
}

fn event(line: &[u8]) -> Result<Vec<Piece>, Fault> {
    let value = json(line)?;
    if let Some(message) = text(&value["error"]) {
        let kind = if says_too_long(message) { FailureKind::Context } else { FailureKind::Server };
        return Err(fault(kind, line));
    }
    if value["message"].is_null() && value["done"].is_null() {
        return Err(malformed("it has neither `message` nor `done`", line));
    }
    let mut out = Vec::new();
    out.extend(text(&value["model"]).map(|name| Piece::Version(name.to_owned())));
    if text(&value["message"]["thinking"]).is_some() {
        out.push(Piece::Thought);
    }
    out.extend(text(&value["message"]["content"]).map(|t| Piece::Text(t.to_owned())));
    if value["done"] == true {
        // Servers before 0.1.38 give no reason.
        let reason = text(&value["done_reason"]).unwrap_or("stop");
        out.push(Piece::Finish(Finish::parse(reason)));
        let (input, output) = (value["prompt_eval_count"].as_u64(), value["eval_count"].as_u64());
        if output.is_some() {
            // A prompt that is wholly in the server's cache has no count.
            let input = input.or(Some(0));
            out.push(Piece::Count(Count { input, output, ..Count::default() }));
        }
        out.push(Piece::Done);
    }
    Ok(out)
}

fn answer(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    event(body)
}

fn refusal(status: u16, body: &[u8]) -> Fault {
    let value: Value = refused_json(body);
    let message = text(&value["error"]).unwrap_or_default();
    let kind = match status {
        400 | 413 | 500 if says_too_long(message) => FailureKind::Context,
        _ => status_kind(status),
    };
    fault(kind, body)
}
