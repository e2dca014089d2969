//! Mistral's chat completions: OpenAI's shape, but unknown fields are refused, the seed has another
//! name, and usage comes without being asked for.

use super::{BEARER, Call, Prompt, Rules, openai};
use crate::stream::Framing;
use serde_json::json;

pub(super) const RULES: Rules = Rules {
    name: "mistral",
    framing: Framing::Sse,
    key: BEARER,
    headers: &[],
    listing: ("/models", "data", "id"),
    lacks: &[],
    call,
    event: openai::event,
    answer: openai::answer,
    refusal: openai::refusal,
};

fn call(prompt: &Prompt) -> Call {
    let mut body = openai::body(prompt);
    body["max_tokens"] = json!(prompt.output_tokens());
    if let Some(seed) = prompt.ask.seed {
        body["random_seed"] = json!(seed);
    }
    Call::new("/chat/completions", body)
}
