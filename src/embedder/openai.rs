//! `/embeddings` as OpenAI's API has it, and every server that speaks it.

use super::remote::{Dialect, Embedded, Refusal};
use crate::fetch::{self, Ask};
use serde_json::{Value, json};
use std::time::Duration;

/// What servers write when a text is over the window.
const TOO_LONG: &[&str] =
    &["context length", "context_length", "too long", "too large", "maximum", "max_seq", "exceeds"];

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
    /// The API has no digest: the name is all there is.
    fn revision(&self) -> Result<String, Refusal> {
        Ok("named".to_owned())
    }

    fn embed(&self, texts: &[String], time: Duration) -> Result<Embedded, Refusal> {
        let url = format!("{}/embeddings", self.url);
        let body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        let bearer = self.secret.as_deref();
        let said = fetch::json(&Ask { url: &url, body: Some(&body), bearer, time });
        let said = said.map_err(|error| match &error {
            fetch::Error::Status { status: 400 | 413 | 422, said, .. } => {
                let said = said.to_lowercase();
                let long = TOO_LONG.iter().any(|words| said.contains(words));
                if long { Refusal::TooLong } else { Refusal::Fetch(error) }
            }
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

fn tokens(said: &Value) -> Option<usize> {
    // Servers that do not count say 0.
    said["usage"]["prompt_tokens"].as_u64().map(|n| n as usize).filter(|n| *n > 0)
}
