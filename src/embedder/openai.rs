//! `/embeddings` as OpenAI's API has it, and every server that speaks it.

use super::remote::{Dialect, Embedded, Refusal};
use crate::fetch::{self, Ask};
use serde_json::{Value, json};
use std::time::Duration;

/// What servers write when a text is over the window; the last one is TEI's.
const TOO_LONG: &[&str] = &[
    "context length",
    "context_length",
    "too long",
    "too large",
    "maximum",
    "max_seq",
    "exceeds",
    "must have less than",
];
/// The same of llama.cpp, which takes it for a fault of its own (500).
const TOO_LONG_500: &[&str] = &["too large to process", "physical batch"];

/// A model of a server.
pub struct OpenAi {
    url: String,
    model: String,
    secret: Option<String>,
}

impl OpenAi {
    /// The model called `model` of the server whose API begins at `url`, mostly with `/v1`.
    pub fn new(url: &str, model: &str, secret: Option<String>) -> Self {
        OpenAi { url: url.to_owned(), model: model.to_owned(), secret }
    }
}

impl Dialect for OpenAi {
    /// The API has no digest: the name is all there is, and some servers take any.
    fn revision(&self) -> Result<Option<String>, Refusal> {
        Ok(None)
    }

    fn embed(&self, texts: &[String], time: Duration) -> Result<Embedded, Refusal> {
        let url = format!("{}/embeddings", self.url);
        let body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        let bearer = self.secret.as_deref();
        let said = fetch::json(&Ask { url: &url, body: Some(&body), bearer, time });
        let said = said.map_err(|error| match &error {
            fetch::Error::Status { status, said, .. } if is_long(*status, said) => Refusal::TooLong,
            fetch::Error::Status { status: 404, .. } => Refusal::Missing(format!(
                "{} has no model `{}`; see its `/models`",
                fetch::shown(&url),
                self.model
            )),
            fetch::Error::Status { status: 401 | 403, .. } => Refusal::Wrong(format!(
                "{} does not take the key; `embedding.key_env` names the variable that holds it",
                fetch::shown(&url)
            )),
            _ => Refusal::Fetch(error),
        })?;
        let rows = said["data"].as_array();
        let rows = rows.ok_or_else(|| Refusal::Wrong("the server gave no `data`".to_owned()))?;
        let mut placed: Vec<(u64, Vec<f32>)> = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let index = row["index"].as_u64().unwrap_or(at as u64);
            placed.push((index, super::numbers(&row["embedding"])));
        }
        // The order is by `index`, whatever the order of the rows.
        placed.sort_by_key(|(index, _)| *index);
        let tokens = tokens(&said);
        Ok(Embedded { vectors: placed.into_iter().map(|(_, vector)| vector).collect(), tokens })
    }
}

/// Whether a refusal is one of a text that is over the window.
fn is_long(status: u16, said: &str) -> bool {
    let words = match status {
        400 | 413 | 422 => TOO_LONG,
        500 => TOO_LONG_500,
        _ => return false,
    };
    let said = said.to_lowercase();
    words.iter().any(|words| said.contains(words))
}

fn tokens(said: &Value) -> Option<usize> {
    // Servers that do not count say 0.
    said["usage"]["prompt_tokens"].as_u64().map(|n| n as usize).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_over_the_window_is_told_from_other_refusals() {
        let long = [
            (400, "This model's maximum context length is 8192 tokens"),
            (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 514"),
            (500, "input (514 tokens) is too large to process. increase the physical batch size"),
            (500, "input is too large to process. increase the physical batch size"),
        ];
        for (status, said) in long {
            assert!(is_long(status, said), "{status} {said}");
        }
        let others = [
            (500, "out of memory"),
            (503, "too large to process"),
            (400, "unknown field"),
            (500, "the maximum of connections is reached"),
        ];
        for (status, said) in others {
            assert!(!is_long(status, said), "{status} {said}");
        }
    }
}
