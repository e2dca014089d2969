//! Gemini's `generateContent`.
//!
//! Bodies: ai.google.dev/api/generate-content. Thoughts are counted beside the answer, so both are
//! summed; a refused question has `promptFeedback` and no candidate.

use super::{Call, Count, Piece, Prompt, Rules};
use super::{fault, json, malformed, other_kind, refused_json, says_too_long, text};
use crate::ask::{Finish, Role};
use crate::error::{FailureKind, Fault};
use crate::stream::Framing;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const RULES: Rules = Rules {
    name: "gemini",
    framing: Framing::Sse,
    key: ("x-goog-api-key", ""),
    headers: &[],
    listing: ("/models?pageSize=1000", "models", "name"),
    lacks: &[],
    call,
    event,
    answer,
    refusal,
};

fn call(prompt: &Prompt) -> Call {
    let turn = |message: &crate::Message| {
        let role = if message.role == Role::User { "user" } else { "model" };
        json!({"role": role, "parts": [{"text": message.text}]})
    };
    let mut config = json!({"maxOutputTokens": prompt.output_tokens()});
    if let Some(temperature) = prompt.temperature() {
        config["temperature"] = json!(temperature);
    }
    if let Some(seed) = prompt.ask.seed {
        config["seed"] = json!(seed);
    }
    if let Some(schema) = prompt.schema() {
        config["responseMimeType"] = json!("application/json");
        config["responseJsonSchema"] = schema.clone();
    }
    let turns: Vec<Value> = prompt.ask.messages.iter().map(turn).collect();
    let mut body = json!({"contents": turns, "generationConfig": config});
    if let Some(system) = &prompt.ask.system {
        body["systemInstruction"] = json!({"parts": [{"text": system}]});
    }
    let verb = if prompt.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    Call::new(&format!("/models/{}:{verb}", prompt.model.name), body)
}

fn event(data: &[u8]) -> Result<Vec<Piece>, Fault> {
    let value = json(data)?;
    if value["error"].is_object() {
        let status = value["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        return Err(fault(kind(status.unwrap_or(500), &value), data));
    }
    if text(&value["promptFeedback"]["blockReason"]).is_some() {
        return Err(fault(FailureKind::Filter, data));
    }
    let mut out = Vec::new();
    out.extend(text(&value["modelVersion"]).map(|name| Piece::Version(name.to_owned())));
    match value["candidates"].as_array().and_then(|candidates| candidates.first()) {
        Some(candidate) => {
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                match text(&part["text"]) {
                    Some(_) if part["thought"] == true => out.push(Piece::Thought),
                    Some(piece) => out.push(Piece::Text(piece.to_owned())),
                    None => {}
                }
            }
            out.extend(text(&candidate["finishReason"]).map(|r| Piece::Finish(finish(r))));
        }
        None if value["usageMetadata"].is_object() => {}
        None => return Err(malformed("it has no `candidates`", data)),
    }
    out.extend(count(&value["usageMetadata"]).map(Piece::Count));
    Ok(out)
}

fn answer(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let mut pieces = event(body)?;
    pieces.push(Piece::Done);
    Ok(pieces)
}

fn finish(reason: &str) -> Finish {
    match reason {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            Finish::Filter
        }
        other => Finish::parse(other),
    }
}

fn count(usage: &Value) -> Option<Count> {
    if !usage.is_object() {
        return None;
    }
    let reasoning = usage["thoughtsTokenCount"].as_u64();
    let output = usage["candidatesTokenCount"].as_u64().or(reasoning.map(|_| 0));
    let output = output.map(|output| output + reasoning.unwrap_or_default());
    let input = usage["promptTokenCount"].as_u64();
    let cached = usage["cachedContentTokenCount"].as_u64();
    Some(Count { input, output, cached, reasoning })
}

fn kind(status: u16, value: &Value) -> FailureKind {
    let error = &value["error"];
    let message = text(&error["message"]).unwrap_or_default();
    match error["status"].as_str().unwrap_or_default() {
        "RESOURCE_EXHAUSTED" if status == 429 || status == 500 => {
            FailureKind::RateLimit { retry_after: retry_after(error) }
        }
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => FailureKind::Auth,
        "NOT_FOUND" => FailureKind::NotFound,
        "DEADLINE_EXCEEDED" | "UNAVAILABLE" | "INTERNAL" => FailureKind::Server,
        "INVALID_ARGUMENT" if message.contains("API key") => FailureKind::Auth,
        "INVALID_ARGUMENT" if says_too_long(message) => FailureKind::Context,
        _ => other_kind(status, text(&error["type"]).unwrap_or_default(), message),
    }
}

/// The wait that stands in the details, as `"17s"`.
fn retry_after(error: &Value) -> Option<Duration> {
    let details = error["details"].as_array()?;
    let delay = details.iter().find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn refusal(status: u16, body: &[u8]) -> Fault {
    let mut value = refused_json(body);
    // Streams are refused with a list of one error.
    if let Some(first) = value.get_mut(0) {
        value = first.take();
    }
    fault(kind(status, &value), body)
}
