//! Chat completions: OpenAI and everybody who speaks like it.
//!
//! Bodies: platform.openai.com/docs/api-reference/chat. The servers differ in what they leave out,
//! so nothing but the text and the finish reason is required.

use super::{BEARER, Call, Count, Piece, Prompt, Rules};
use super::{fault, json, malformed, other_kind, refused_json, text};
use crate::ask::Finish;
use crate::error::{FailureKind, Fault};
use crate::stream::Framing;
use serde_json::{Value, json};

pub(super) const RULES: Rules = Rules {
    name: "openai",
    framing: Framing::Sse,
    key: BEARER,
    headers: &[],
    listing: ("/models", "data", "id"),
    lacks: &[],
    call,
    event,
    answer,
    refusal,
};

/// What every body of this family has.
pub(super) fn body(prompt: &Prompt) -> Value {
    let mut body = json!({
        "model": prompt.model.name,
        "messages": prompt.turns_with_system(),
        "stream": prompt.stream,
    });
    if let Some(temperature) = prompt.temperature() {
        body["temperature"] = json!(temperature);
    }
    if let Some(schema) = prompt.schema() {
        let schema = json!({"name": "answer", "schema": schema, "strict": is_strict(schema)});
        body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    }
    body
}

/// What a schema may say where it is strict (platform.openai.com/docs/guides/structured-outputs).
const STRICT: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "definitions",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// Whether OpenAI takes a schema as strict: an object in which, at every level, each property is
/// required and no other one allowed. It refuses the call where one that is sent as strict is not.
pub(super) fn is_strict(schema: &Value) -> bool {
    schema["type"] == "object" && is_strict_part(schema)
}

fn is_strict_part(schema: &Value) -> bool {
    let Some(words) = schema.as_object() else { return false };
    let known = words.keys().all(|word| STRICT.contains(&word.as_str()));
    let typed = ["type", "anyOf", "$ref"].iter().any(|word| words.contains_key(*word));
    let types = match &schema["type"] {
        Value::Array(types) => types.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is_object = words.contains_key("properties") || types.iter().any(|one| one == "object");
    let required = schema["required"].as_array();
    let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|r| r == name));
    let closed = schema["additionalProperties"] == false
        && schema["properties"].as_object().is_some_and(|all| all.keys().all(is_required));
    let named = ["properties", "$defs", "definitions"].iter().filter_map(|word| words.get(*word));
    let named = named.filter_map(Value::as_object).flat_map(serde_json::Map::values);
    let either = schema["anyOf"].as_array().into_iter().flatten();
    let mut parts = named.chain(either).chain(words.get("items"));
    known && typed && (closed || !is_object) && parts.all(is_strict_part)
}

fn call(prompt: &Prompt) -> Call {
    let mut body = body(prompt);
    // OpenAI's reasoning models refuse the old name, many other servers do not know the new one;
    // what stands behind a gateway shows in its refusal.
    let theirs = prompt.url.contains("api.openai.com") || prompt.url.contains(".azure.com");
    let is_new = theirs != prompt.quirks.other_limit;
    let limit = if is_new { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = json!(prompt.output_tokens());
    if let Some(seed) = prompt.ask.seed {
        body["seed"] = json!(seed);
    }
    if prompt.stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    Call::new("/chat/completions", body)
}

pub(super) fn event(data: &[u8]) -> Result<Vec<Piece>, Fault> {
    if data.trim_ascii() == b"[DONE]" {
        return Ok(vec![Piece::Done]);
    }
    pieces(&json(data)?, "delta", data)
}

pub(super) fn answer(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let mut pieces = pieces(&json(body)?, "message", body)?;
    pieces.push(Piece::Done);
    Ok(pieces)
}

fn pieces(value: &Value, part: &str, bytes: &[u8]) -> Result<Vec<Piece>, Fault> {
    if value.get("error").is_some_and(|error| !error.is_null()) {
        return Err(fault(failed(value), bytes));
    }
    let choices = value["choices"].as_array();
    // Some servers send the counts alone, without an empty list beside them.
    if choices.is_none() && !value["usage"].is_object() {
        return Err(malformed("it has no `choices`", bytes));
    }
    let mut out: Vec<Piece> = Vec::new();
    out.extend(text(&value["model"]).map(|name| Piece::Version(name.to_owned())));
    if let Some(choice) = choices.and_then(|choices| choices.first()) {
        let said = &choice[part];
        // vLLM says `reasoning`, DeepSeek `reasoning_content`; Mistral thinks in a part.
        let mut parts = said["content"].as_array().into_iter().flatten();
        let thinks = parts.any(|part| part["type"] == "thinking")
            || ["reasoning_content", "reasoning"].iter().any(|word| text(&said[word]).is_some());
        if thinks {
            out.push(Piece::Thought);
        }
        out.extend(content(&said["content"]).into_iter().map(Piece::Text));
        if choice["error"].is_object() {
            // OpenRouter's, of a model that failed in the middle.
            out.push(Piece::Broken(fault(failed(choice), bytes)));
        } else if text(&said["refusal"]).is_some() {
            out.push(Piece::Finish(Finish::Filter));
        } else if let Some(reason) = text(&choice["finish_reason"]) {
            out.push(end(reason, bytes));
        }
    }
    out.extend(count(&value["usage"]).map(Piece::Count));
    Ok(out)
}

/// Text of a message; Mistral's reasoning models send a list of parts.
fn content(value: &Value) -> Option<String> {
    let parts = value.as_array().map(|parts| {
        let texts = parts.iter().filter(|part| part["type"] == "text");
        texts.filter_map(|part| part["text"].as_str()).collect::<String>()
    });
    parts.or_else(|| value.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
}

/// What a reason means. Compatible servers pass the words on that the model's own server has, such
/// as Anthropic's `end_turn`, TGI's `eos_token`, Cohere's `COMPLETE` and Gemini's `MAX_TOKENS`.
fn end(reason: &str, bytes: &[u8]) -> Piece {
    match reason.to_lowercase().as_str() {
        "stop" | "stop_sequence" | "eos" | "eos_token" | "end_turn" | "complete" | "completed" => {
            Piece::Finish(Finish::Stop)
        }
        // `model_length` is Mistral's word for a full window.
        "length" | "model_length" | "max_tokens" => Piece::Finish(Finish::Length),
        "content_filter" => Piece::Finish(Finish::Filter),
        // OpenRouter and Mistral; vLLM and SGLang; DeepSeek; Zhipu.
        "error" | "abort" | "insufficient_system_resource" | "network_error" => {
            let note = "it was interrupted".to_owned();
            Piece::Broken(Fault { note, ..fault(FailureKind::Server, bytes) })
        }
        _ => Piece::Finish(Finish::parse(reason)),
    }
}

/// xAI counts reasoning beside `completion_tokens` and in `total_tokens` alone: all that is not
/// read is written.
fn count(usage: &Value) -> Option<Count> {
    if !usage.is_object() {
        return None;
    }
    let (input, total) = (usage["prompt_tokens"].as_u64(), usage["total_tokens"].as_u64());
    let written = total.zip(input).map(|(total, input)| total.saturating_sub(input));
    let reasoning = usage["completion_tokens_details"]["reasoning_tokens"].as_u64();
    let output = usage["completion_tokens"].as_u64().max(written).max(reasoning);
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64();
    Some(Count { input, output, cached, reasoning })
}

/// Kind of an error in the middle of a stream: no status stands beside it.
fn failed(value: &Value) -> FailureKind {
    let error = &value["error"];
    let code = error["code"].as_u64().or_else(|| error["code"].as_str()?.parse().ok());
    let status = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
    kind(status, value)
}

/// Kind of an error by its codes, else by its status.
pub(super) fn kind(status: u16, value: &Value) -> FailureKind {
    let error = &value["error"];
    let of = |name: &str| text(&error[name]).or(text(&value[name])).unwrap_or_default();
    let words = [of("code"), of("type")];
    let message = text(error).unwrap_or(of("message"));
    let has = |word: &str| words.contains(&word);
    // OpenRouter refuses what a model's moderation has flagged with 403 and no code of its own.
    let about = &error["metadata"];
    let flagged = about["reasons"].is_array() || about["flagged_input"].is_string();
    if has("context_length_exceeded") || has("exceed_context_size_error") {
        FailureKind::Context
    } else if has("insufficient_quota") || has("billing_hard_limit_reached") {
        FailureKind::Quota
    } else if flagged || has("content_filter") || has("content_policy_violation") {
        FailureKind::Filter
    } else if has("invalid_api_key") || has("authentication_error") {
        FailureKind::Auth
    } else if has("model_not_found") {
        FailureKind::NotFound
    } else if has("rate_limit_exceeded") || has("rate_limit_error") {
        FailureKind::RateLimit { retry_after: None }
    } else {
        other_kind(status, of("type"), message)
    }
}

pub(super) fn refusal(status: u16, body: &[u8]) -> Fault {
    fault(kind(status, &refused_json(body)), body)
}
