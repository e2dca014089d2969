//! Ollama's own API: `/api/embed`, `/api/tags`, `/api/pull`.
//!
//! Seen on the wire of 0.17: a self-built server says version `0.0.0`; names get `:latest`; a text
//! over the window is 400 `the input length exceeds the context length` with `truncate: false` and
//! is cut silently without; a missing model is 404.

use super::remote::{Dialect, Embedded, Refusal};
use crate::fetch::{self, Ask};
use serde_json::{Value, json};
use std::time::Duration;

/// For questions about the server itself.
const TAGS_TIME: Duration = Duration::from_secs(5);
/// A model is fetched within this.
const PULL_TIME: Duration = Duration::from_secs(3 * 3600);
/// How long the model stays in memory after it was last asked.
const KEEP_ALIVE: &str = "30m";

/// A model of an Ollama server.
pub struct Ollama {
    url: String,
    model: String,
    secret: Option<String>,
}

impl Ollama {
    /// The model called `model` of the server at `url`, which may want a key: a proxy before it, or
    /// Ollama's own cloud.
    pub fn new(url: &str, model: &str, secret: Option<String>) -> Self {
        Ollama { url: url.to_owned(), model: model.to_owned(), secret }
    }

    fn ask(&self, path: &str, body: Option<&Value>, time: Duration) -> Result<Value, Refusal> {
        let url = format!("{}{path}", self.url);
        let bearer = self.secret.as_deref();
        let asked = fetch::json(&Ask { url: &url, body, bearer, time });
        asked.map_err(|error| match &error {
            fetch::Error::Status { status: 400, said, .. } if said.contains("context length") => {
                Refusal::TooLong
            }
            fetch::Error::Status { status: 404, said, .. } if said.contains("not found") => {
                self.missing()
            }
            _ => Refusal::Fetch(error),
        })
    }

    fn missing(&self) -> Refusal {
        let (url, model) = (fetch::shown(&self.url), &self.model);
        Refusal::Missing(format!(
            "ollama at {url} has no model `{model}`; `synod model pull {model}` gets it"
        ))
    }

    /// Has the server fetch the model.
    ///
    /// # Errors
    /// Those of the server.
    pub fn pull(&self) -> Result<(), Refusal> {
        let body = json!({ "model": self.model, "stream": false });
        let said = self.ask("/api/pull", Some(&body), PULL_TIME)?;
        match said["status"].as_str() {
            Some("success") => Ok(()),
            _ => Err(Refusal::Wrong(format!("ollama did not fetch `{}`: {said}", self.model))),
        }
    }
}

/// Whether both name the same model: a name without a tag means `latest`.
fn same(a: &str, b: &str) -> bool {
    let full = |name: &str| match name.rsplit('/').next().unwrap_or(name).contains(':') {
        true => name.to_lowercase(),
        false => format!("{}:latest", name.to_lowercase()),
    };
    full(a) == full(b)
}

impl Dialect for Ollama {
    fn revision(&self) -> Result<Option<String>, Refusal> {
        let said = self.ask("/api/tags", None, TAGS_TIME)?;
        let models = said["models"].as_array().cloned().unwrap_or_default();
        let named = |row: &&Value| row["name"].as_str().is_some_and(|n| same(n, &self.model));
        let row = models.iter().find(named).ok_or_else(|| self.missing())?;
        let digest = row["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:");
        if digest.is_empty() {
            return Err(Refusal::Wrong("ollama says no digest of the model".to_owned()));
        }
        Ok(Some(digest.chars().take(12).collect()))
    }

    fn embed(&self, texts: &[String], time: Duration) -> Result<Embedded, Refusal> {
        let body = json!({
            "model": self.model, "input": texts, "truncate": false, "keep_alive": KEEP_ALIVE,
        });
        let said = self.ask("/api/embed", Some(&body), time)?;
        let tokens = said["prompt_eval_count"].as_u64().map(|n| n as usize);
        Ok(Embedded { vectors: vectors(&said["embeddings"])?, tokens })
    }
}

/// An array of arrays of numbers; what is none of that is no number, and is refused as such.
fn vectors(value: &Value) -> Result<Vec<Vec<f32>>, Refusal> {
    let rows = value.as_array();
    let rows = rows.ok_or_else(|| Refusal::Wrong("ollama gave no `embeddings`".to_owned()))?;
    Ok(rows.iter().map(super::numbers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert!(same("all-minilm", "all-minilm:latest") && same("All-MiniLM:latest", "all-minilm"));
        assert!(!same("all-minilm:33m", "all-minilm") && !same("a/b", "b"));
    }
}
