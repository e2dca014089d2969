//! Anthropic's messages.
//!
//! A schema is asked for as the one tool that has to be called, which every Claude since 3 can; its
//! argument is the answer. Bodies: docs.anthropic.com, `POST /v1/messages`, version 2023-06-01.

use super::{Call, Count, Piece, Prompt, Rules};
use super::{fault, json, malformed, other_kind, refused_json, says_too_long, text};
use crate::ask::Finish;
use crate::error::{FailureKind, Fault};
use crate::stream::Framing;
use serde_json::{Value, json};

pub(super) const RULES: Rules = Rules {
    name: "anthropic",
    framing: Framing::Sse,
    key: ("x-api-key", ""),
    headers: &[("anthropic-version", "2023-06-01")],
    listing: ("/models?limit=1000", "data", "id"),
    lacks: &["seed"],
    call,
    event,
    answer,
    refusal,
};

/// The tool whose argument is the answer.
const TOOL: &str = "answer";

fn call(prompt: &Prompt) -> Call {
    let mut body = json!({
        "model": prompt.model.name,
        "messages": prompt.turns(),
        "max_tokens": prompt.output_tokens(),
        "stream": prompt.stream,
    });
    if let Some(system) = &prompt.ask.system {
        body["system"] = json!(system);
    }
    if let Some(temperature) = prompt.temperature() {
        body["temperature"] = json!(temperature);
    }
    if let Some(schema) = prompt.schema() {
        let description = "Gives the answer.";
        let tool = json!({"name": TOOL, "description": description, "input_schema": schema});
        body["tools"] = json!([tool]);
        body["tool_choice"] = json!({"type": "tool", "name": TOOL});
    }
    Call::new("/messages", body)
}

fn event(data: &[u8]) -> Result<Vec<Piece>, Fault> {
    let value = json(data)?;
    let mut out = Vec::new();
    match value["type"].as_str() {
        Some("message_start") => {
            let message = &value["message"];
            out.extend(text(&message["model"]).map(|name| Piece::Version(name.to_owned())));
            out.extend(count(&message["usage"]).map(Piece::Count));
        }
        Some("content_block_start") => {
            out.extend(is_thought(&value["content_block"]).then_some(Piece::Thought));
        }
        Some("content_block_delta") => {
            let delta = &value["delta"];
            let piece = text(&delta["text"]).or(text(&delta["partial_json"]));
            match piece {
                Some(piece) => out.push(Piece::Text(piece.to_owned())),
                // Of thoughts that are not shown only the signature comes.
                None if ["thinking", "signature"].iter().any(|w| text(&delta[w]).is_some()) => {
                    out.push(Piece::Thought);
                }
                None => {}
            }
        }
        Some("message_delta") => {
            out.extend(text(&value["delta"]["stop_reason"]).map(|r| Piece::Finish(finish(r))));
            out.extend(count(&value["usage"]).map(Piece::Count));
        }
        Some("message_stop") => out.push(Piece::Done),
        Some("error") => return Err(fault(kind(500, &value), data)),
        // `ping`, which says nothing of the model, ends of blocks, and what is added one day.
        Some(_) => {}
        None => return Err(malformed("it has no `type`", data)),
    }
    Ok(out)
}

fn answer(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let value = json(body)?;
    if value["type"] == "error" {
        return Err(fault(kind(500, &value), body));
    }
    let Some(blocks) = value["content"].as_array() else {
        return Err(malformed("it has no `content`", body));
    };
    let mut out = Vec::new();
    out.extend(text(&value["model"]).map(|name| Piece::Version(name.to_owned())));
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => out.extend(text(&block["text"]).map(|t| Piece::Text(t.to_owned()))),
            Some("tool_use") => out.push(Piece::Text(block["input"].to_string())),
            _ if is_thought(block) => out.push(Piece::Thought),
            _ => {}
        }
    }
    out.extend(text(&value["stop_reason"]).map(|reason| Piece::Finish(finish(reason))));
    out.extend(count(&value["usage"]).map(Piece::Count));
    out.push(Piece::Done);
    Ok(out)
}

fn is_thought(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

fn finish(reason: &str) -> Finish {
    match reason {
        // The only tool there is carries the answer.
        "end_turn" | "stop_sequence" | "tool_use" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => Finish::Filter,
        other => Finish::parse(other),
    }
}

/// What is read from or written to the cache stands beside `input_tokens`, not in it.
fn count(usage: &Value) -> Option<Count> {
    if !usage.is_object() {
        return None;
    }
    let cached = usage["cache_read_input_tokens"].as_u64();
    let written = usage["cache_creation_input_tokens"].as_u64().unwrap_or_default();
    let input = usage["input_tokens"].as_u64();
    let input = input.map(|input| input + written + cached.unwrap_or_default());
    Some(Count { input, output: usage["output_tokens"].as_u64(), cached, reasoning: None })
}

fn kind(status: u16, value: &Value) -> FailureKind {
    let error = &value["error"];
    let message = text(&error["message"]).unwrap_or_default();
    match error["type"].as_str().unwrap_or_default() {
        "overloaded_error" | "api_error" => FailureKind::Server,
        "authentication_error" | "permission_error" => FailureKind::Auth,
        "not_found_error" => FailureKind::NotFound,
        "rate_limit_error" => FailureKind::RateLimit { retry_after: None },
        "billing_error" => FailureKind::Quota,
        "request_too_large" => FailureKind::Context,
        "timeout_error" => FailureKind::Timeout,
        "invalid_request_error" if says_too_long(message) => FailureKind::Context,
        // An empty account has no type of its own.
        "invalid_request_error" if message.contains("credit balance") => FailureKind::Quota,
        "invalid_request_error" if message.contains("content filtering") => FailureKind::Filter,
        "invalid_request_error" => FailureKind::Invalid,
        other => other_kind(status, other, message),
    }
}

fn refusal(status: u16, body: &[u8]) -> Fault {
    fault(kind(status, &refused_json(body)), body)
}
