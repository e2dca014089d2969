//! OpenAI's responses.
//!
//! Bodies: platform.openai.com/docs/api-reference/responses. Nothing is stored at the provider. A
//! stream ends with one event that holds the whole response: counts and the reason come from there.

use super::{BEARER, Call, Count, Piece, Prompt, Rules};
use super::{fault, json, malformed, openai, text};
use crate::ask::Finish;
use crate::error::{FailureKind, Fault};
use crate::stream::Framing;
use serde_json::{Value, json};

pub(super) const RULES: Rules = Rules {
    name: "responses",
    framing: Framing::Sse,
    key: BEARER,
    headers: &[],
    listing: ("/models", "data", "id"),
    lacks: &["seed"],
    call,
    event,
    answer,
    refusal: openai::refusal,
};

fn call(prompt: &Prompt) -> Call {
    let mut body = json!({
        "model": prompt.model.name,
        "input": prompt.turns(),
        "max_output_tokens": prompt.output_tokens(),
        "stream": prompt.stream,
        "store": false,
    });
    if let Some(system) = &prompt.ask.system {
        body["instructions"] = json!(system);
    }
    if let Some(temperature) = prompt.temperature() {
        body["temperature"] = json!(temperature);
    }
    if let Some(schema) = prompt.schema() {
        let strict = openai::is_strict(schema);
        let format =
            json!({"type": "json_schema", "name": "answer", "schema": schema, "strict": strict});
        body["text"] = json!({ "format": format });
    }
    Call::new("/responses", body)
}

fn event(data: &[u8]) -> Result<Vec<Piece>, Fault> {
    if data.trim_ascii() == b"[DONE]" {
        return Ok(vec![Piece::Done]);
    }
    let value = json(data)?;
    let Some(kind) = value["type"].as_str() else {
        return Err(malformed("it has no `type`", data));
    };
    let delta = text(&value["delta"]).map(str::to_owned);
    match kind {
        "response.output_text.delta" => Ok(delta.map(Piece::Text).into_iter().collect()),
        "response.refusal.delta" => Ok(vec![Piece::Finish(Finish::Filter)]),
        kind if kind.starts_with("response.reasoning") => Ok(vec![Piece::Thought]),
        // All that is seen of reasoning without a summary.
        "response.output_item.added" if value["item"]["type"] == "reasoning" => {
            Ok(vec![Piece::Thought])
        }
        "response.completed" | "response.incomplete" => end(&value["response"], data),
        "response.failed" => Err(failed(&value["response"], data)),
        "error" => {
            let error = if value["error"].is_object() { &value["error"] } else { &value };
            Err(failed(&json!({ "error": error }), data))
        }
        _ => Ok(Vec::new()),
    }
}

fn failed(value: &Value, bytes: &[u8]) -> Fault {
    fault(openai::kind(500, value), bytes)
}

/// Reason, counts and name of a response that has ended.
fn end(response: &Value, bytes: &[u8]) -> Result<Vec<Piece>, Fault> {
    let reason = response["incomplete_details"]["reason"].as_str();
    let finish = match (response["status"].as_str(), reason) {
        (Some("completed"), _) => Finish::Stop,
        (Some("incomplete"), Some("content_filter")) => Finish::Filter,
        (Some("incomplete"), Some("max_output_tokens") | None) => Finish::Length,
        (Some("incomplete"), Some(other)) => Finish::parse(other),
        (Some("failed"), _) => return Err(failed(response, bytes)),
        (Some("cancelled"), _) => return Err(fault(FailureKind::Server, bytes)),
        _ => return Err(malformed("its `status` is none of an end", bytes)),
    };
    let mut out = Vec::new();
    out.extend(text(&response["model"]).map(|name| Piece::Version(name.to_owned())));
    let refused = parts(response).any(|part| part["type"] == "refusal");
    out.push(Piece::Finish(if refused { Finish::Filter } else { finish }));
    let usage = &response["usage"];
    if usage.is_object() {
        out.push(Piece::Count(Count {
            input: usage["input_tokens"].as_u64(),
            output: usage["output_tokens"].as_u64(),
            cached: usage["input_tokens_details"]["cached_tokens"].as_u64(),
            reasoning: usage["output_tokens_details"]["reasoning_tokens"].as_u64(),
        }));
    }
    out.push(Piece::Done);
    Ok(out)
}

/// Parts of all messages of a response.
fn parts(response: &Value) -> impl Iterator<Item = &Value> {
    let items = response["output"].as_array().into_iter().flatten();
    let messages = items.filter(|item| item["type"] == "message");
    messages.flat_map(|item| item["content"].as_array().into_iter().flatten())
}

fn answer(body: &[u8]) -> Result<Vec<Piece>, Fault> {
    let value = json(body)?;
    if !value["output"].is_array() {
        return Err(malformed("it has no `output`", body));
    }
    let texts = parts(&value).filter(|part| part["type"] == "output_text");
    let texts = texts.filter_map(|part| text(&part["text"]));
    let mut out: Vec<Piece> = texts.map(|piece| Piece::Text(piece.to_owned())).collect();
    out.extend(end(&value, body)?);
    Ok(out)
}
