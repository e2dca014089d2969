//! What can be set about models, the council and the guard.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who runs language models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// What `[[model]]` rows name.
    pub name: String,
    /// `ollama`, `openai` (chat completions of any compatible server), `responses`, `anthropic`, `gemini`, `mistral`, or `replay` (recorded answers).
    pub dialect: String,
    /// Root of its API with the version; by default the vendor's own, for replay the path of a file.
    pub url: Option<String>,
    /// Environment variables that hold keys; several are used in turn.
    pub key_env: Vec<String>,
    /// Header that carries the key where it is not the dialect's own, as `api-key`.
    pub key_header: Option<String>,
    /// It is this machine or this house: the policy `local` may use it. By default what answers on loopback is.
    pub local: Option<bool>,
    /// Answers come as a stream; false for servers that cannot.
    pub stream: bool,
    /// Most requests a minute of one model with one key.
    pub requests_per_minute: Option<u32>,
    /// Most tokens a minute of one model with one key.
    pub tokens_per_minute: Option<u64>,
    /// Most calls of one model with one key at a time.
    pub concurrent_max: u32,
    /// Time to reach it, in milliseconds.
    pub connect_ms: u64,
    /// Time to its first token, in milliseconds.
    pub first_token_ms: u64,
    /// Time to the end of its answer, in milliseconds.
    pub total_ms: u64,
    /// Dollars that it may cost in a month.
    pub monthly_usd: Option<f64>,
    /// Part of that from which on fallbacks are asked first.
    pub fallback_threshold: f64,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        ProviderConfig {
            name: String::new(),
            dialect: "openai".to_owned(),
            url: None,
            key_env: Vec::new(),
            key_header: None,
            local: None,
            stream: true,
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent_max: 16,
            connect_ms: 5_000,
            first_token_ms: 30_000,
            total_ms: 120_000,
            monthly_usd: None,
            fallback_threshold: 0.9,
        }
    }
}

/// A model of a provider; each one can vote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// What callers name.
    pub id: String,
    /// Its provider's name.
    pub provider: String,
    /// Its name at the provider; the id by default.
    pub name: Option<String>,
    /// Who made it.
    pub vendor: String,
    /// Lineage of its weights: models of one family share errors.
    pub family: String,
    /// How strong it is: in your words, or a number, of which the higher is stronger.
    pub tier: String,
    /// Tokens that it reads and writes together; 8,192 by default.
    pub window_tokens: Option<u32>,
    /// Most tokens that it writes, its reasoning included; 4,096 by default.
    pub output_tokens_max: Option<u32>,
    /// False for a model that takes no temperature; by default one that refuses it is asked again without.
    pub temperature: Option<bool>,
    /// Dollars for a million tokens that it reads; by default what is known of the model.
    pub input_usd: Option<f64>,
    /// Dollars for a million tokens that it writes; likewise.
    pub output_usd: Option<f64>,
    /// Dollars for a million tokens that come from the provider's cache.
    pub cached_input_usd: Option<f64>,
    /// The version that has to answer; another one is reported.
    pub version: Option<String>,
    /// Models that are asked when it fails.
    pub fallbacks: Vec<String>,
    /// Models that are asked when its window is too small.
    pub context_fallbacks: Vec<String>,
    /// Models that are asked when its provider's filter refuses.
    pub filter_fallbacks: Vec<String>,
}

/// The council: who sits, how long it may take, what it may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Council {
    /// Models that may sit; all of `[[model]]` by default.
    pub panel: Vec<String>,
    /// How long a caller waits, in milliseconds; clients give up at about 60,000.
    pub deadline_ms: u64,
    /// Where questions may go: `local`, `local-first` or `cloud`.
    pub policy: String,
    /// Dollars that one call of a model may cost.
    pub call_usd: Option<f64>,
    /// Dollars that one session may cost.
    pub session_usd: Option<f64>,
    /// Dollars in a day.
    pub day_usd: Option<f64>,
    /// Dollars in a month.
    pub month_usd: Option<f64>,
    /// Write every answer to this file, from which `replay` answers again.
    pub record: Option<String>,
    /// A model that says of short answers that are nearly alike whether they mean the same; it never judges its own family.
    pub judge: Option<String>,
    /// Places that may be told when a job changes (`notify` of `job`): URLs, or their beginnings up to a `/`.
    pub webhooks: Vec<String>,
    /// The environment variable that holds the secret by which webhooks are signed.
    pub webhook_secret_env: Option<String>,
}

impl Default for Council {
    fn default() -> Self {
        Council {
            panel: Vec::new(),
            deadline_ms: 45_000,
            policy: "local-first".to_owned(),
            call_usd: None,
            session_usd: None,
            day_usd: None,
            month_usd: None,
            record: None,
            judge: None,
            webhooks: Vec::new(),
            webhook_secret_env: None,
        }
    }
}

/// What is looked for in questions and answers of models: secrets stop a question by default, the rest is noted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Rules, or kinds of rules (`personal`, `secret`, `instruction`, `blocked`), that stop a question.
    pub enforce: Vec<String>,
    /// Rules or kinds that are only noted.
    pub advise: Vec<String>,
    /// Rules or kinds that are not looked for.
    pub off: Vec<String>,
    /// Phrases that stop a question.
    pub phrases: Vec<String>,
    /// Regular expressions that stop a question.
    pub patterns: Vec<String>,
}
