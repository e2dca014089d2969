//! Providers and models as data: who can be asked, where, with which key, at what price.
//!
//! Knows nothing of where the rows come from. Invariant: a secret has no way into `Debug`.

use crate::dialect::Dialect;
use crate::error::Error;
use std::collections::BTreeSet;
use std::fmt;

/// A key of a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is called in replies and logs.
    pub label: String,
    /// The key itself.
    pub secret: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Shortest secret, in bytes: shorter ones could not be told from words when texts are redacted.
const SECRET_BYTES_MIN: usize = 6;

/// Somebody who runs models.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What models name.
    pub name: String,
    /// The language that it speaks.
    pub dialect: Dialect,
    /// Root of its API, version included (`https://api.openai.com/v1`, `http://127.0.0.1:11434`);
    /// for [`Dialect::Replay`] the path of the transcripts.
    pub url: String,
    /// One of them is used for a call; none where none is needed.
    pub keys: Vec<Key>,
    /// Variables that should hold keys and are not set, to name where a call without a key is
    /// refused.
    pub keys_unset: Vec<String>,
    /// Header that carries the key where it is not the dialect's own (`api-key`).
    pub key_header: Option<String>,
    /// It runs on this machine or in this house: the policy `local` may use it, proxies are not
    /// used, and without a price it costs nothing.
    pub local: bool,
    /// Whether answers come as a stream; off for servers that cannot.
    pub stream: bool,
    /// Most requests a minute of one model with one key.
    pub requests_per_minute: Option<u32>,
    /// Most tokens a minute of one model with one key.
    pub tokens_per_minute: Option<u64>,
    /// Most calls of one model with one key at a time.
    pub concurrent_max: u32,
    /// Time to reach it.
    pub connect_ms: u64,
    /// Time to its first token; only for streams.
    pub first_token_ms: u64,
    /// Time to the end of its answer.
    pub total_ms: u64,
    /// What it may cost in a calendar month (UTC).
    pub monthly_usd_micros: Option<u64>,
    /// Share of that from which on fallbacks are asked first.
    pub fallback_threshold: f64,
}

impl Provider {
    /// A provider that is not local, streams, and has no limits but the times.
    pub fn new(name: &str, dialect: Dialect, url: &str) -> Self {
        Provider {
            name: name.to_owned(),
            dialect,
            url: url.to_owned(),
            keys: Vec::new(),
            keys_unset: Vec::new(),
            key_header: None,
            local: false,
            stream: true,
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent_max: 16,
            connect_ms: 5_000,
            first_token_ms: 30_000,
            total_ms: 120_000,
            monthly_usd_micros: None,
            fallback_threshold: 0.9,
        }
    }
}

/// List price, in millionths of a dollar for a million tokens (2.50 dollars are 2,500,000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of what is read.
    pub input: u64,
    /// Of what is written.
    pub output: u64,
    /// Of what is read from the provider's cache; as `input` when unknown.
    pub cached_input: Option<u64>,
    /// Day of the statement, as `2025-06-30`.
    pub as_of: String,
    /// Who states it.
    pub source: String,
}

/// One model at one provider.
#[derive(Clone, Debug)]
pub struct Model {
    /// What asks name.
    pub id: String,
    /// Its name at the provider.
    pub name: String,
    /// Name of the provider's row.
    pub provider: String,
    /// Who made it.
    pub vendor: String,
    /// Lineage of its weights: models of one family share errors.
    pub family: String,
    /// How strong it is, in the operator's words or as a number, of which the higher is stronger.
    pub tier: String,
    /// Tokens that it can read and write together.
    pub window_tokens: u32,
    /// Most tokens that it can write.
    pub output_tokens_max: u32,
    /// It takes a temperature; false for models that reason and refuse one.
    pub temperature: bool,
    /// Unknown is `None`, never zero.
    pub price: Option<Price>,
    /// Version that has to answer; another one is reported with the answer.
    pub version: Option<String>,
    /// Rows that are asked when it fails, in order.
    pub fallbacks: Vec<String>,
    /// Rows that are asked when its window is too small.
    pub context_fallbacks: Vec<String>,
    /// Rows that are asked when its provider's filter refuses.
    pub filter_fallbacks: Vec<String>,
}

impl Model {
    /// A model of that name with a window of 8,192 tokens and nothing else known.
    pub fn new(id: &str, provider: &str, name: &str) -> Self {
        Model {
            id: id.to_owned(),
            name: name.to_owned(),
            provider: provider.to_owned(),
            vendor: String::new(),
            family: String::new(),
            tier: String::new(),
            window_tokens: 8_192,
            output_tokens_max: 4_096,
            temperature: true,
            price: None,
            version: None,
            fallbacks: Vec::new(),
            context_fallbacks: Vec::new(),
            filter_fallbacks: Vec::new(),
        }
    }
}

/// What may be spent, in millionths of a dollar; nothing is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// By one session.
    pub session_usd_micros: Option<u64>,
    /// In a day (UTC).
    pub day_usd_micros: Option<u64>,
    /// In a calendar month (UTC).
    pub month_usd_micros: Option<u64>,
}

/// Everything that can be asked.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Who runs models.
    pub providers: Vec<Provider>,
    /// The models.
    pub models: Vec<Model>,
    /// What may be spent.
    pub limits: Limits,
}

impl Catalog {
    pub(crate) fn model(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id == id)
    }

    pub(crate) fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// All secrets.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let keys = self.providers.iter().flat_map(|p| &p.keys);
        keys.map(|key| key.secret.clone()).collect()
    }

    /// Whether the rows hold together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for provider in &self.providers {
            if !names.insert(&provider.name) {
                let name = &provider.name;
                return Err(Error::Catalog(format!("provider `{name}` stands there twice")));
            }
            provider.check().map_err(Error::Catalog)?;
        }
        let mut ids = BTreeSet::new();
        for model in &self.models {
            if !ids.insert(&model.id) {
                return Err(Error::Catalog(format!("model `{}` stands there twice", model.id)));
            }
            self.check_model(model).map_err(Error::Catalog)?;
        }
        Ok(())
    }

    fn check_model(&self, model: &Model) -> Result<(), String> {
        let Model { id, provider, .. } = model;
        if self.provider(provider).is_none() {
            return Err(format!("model `{id}` names provider `{provider}`, which is not there"));
        }
        if model.window_tokens == 0 || model.output_tokens_max == 0 {
            return Err(format!("model `{id}` can read or write 0 tokens; give it a window"));
        }
        let lists = [&model.fallbacks, &model.context_fallbacks, &model.filter_fallbacks];
        match lists.into_iter().flatten().find(|other| self.model(other).is_none()) {
            Some(other) => Err(format!("model `{id}` falls back to `{other}`, which is not there")),
            None => Ok(()),
        }
    }
}

impl Provider {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let mut labels = BTreeSet::new();
        for key in &self.keys {
            let label = &key.label;
            if !labels.insert(label) {
                return Err(format!("provider `{name}` has two keys `{label}`"));
            }
            let plain = key.secret.bytes().all(|b| b.is_ascii_graphic());
            if key.secret.len() < SECRET_BYTES_MIN || !plain {
                return Err(format!(
                    "key `{label}` of provider `{name}` is shorter than {SECRET_BYTES_MIN} bytes \
                     or has blanks or other bytes that no header can carry"
                ));
            }
        }
        if !(0.0..=1.0).contains(&self.fallback_threshold) {
            let share = self.fallback_threshold;
            return Err(format!("`fallback_threshold` of `{name}` is {share}, not 0 to 1"));
        }
        let limits = [
            ("concurrent_max", u64::from(self.concurrent_max)),
            ("connect_ms", self.connect_ms),
            ("first_token_ms", self.first_token_ms),
            ("total_ms", self.total_ms),
            ("requests_per_minute", self.requests_per_minute.map_or(1, u64::from)),
            ("tokens_per_minute", self.tokens_per_minute.unwrap_or(1)),
        ];
        match limits.into_iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => Err(format!("`{field}` of provider `{name}` is 0")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let mut provider = Provider::new("p", Dialect::OpenAi, "http://127.0.0.1:1/v1");
        provider.keys = vec![Key { label: "one".to_owned(), secret: "sk-secret".to_owned() }];
        Catalog {
            providers: vec![provider],
            models: vec![Model::new("m", "p", "toy")],
            ..Catalog::default()
        }
    }

    fn refused(change: impl FnOnce(&mut Catalog)) -> String {
        let mut catalog = catalog();
        change(&mut catalog);
        catalog.check().expect_err("refused").to_string()
    }

    #[test]
    fn rows_hold_together() {
        catalog().check().expect("a good catalog");
        let twice = |c: &mut Catalog| c.providers.push(c.providers[0].clone());
        assert!(refused(twice).contains("`p` stands there twice"));
        assert!(refused(|c| c.models.push(c.models[0].clone())).contains("`m` stands"));
        assert!(refused(|c| c.models[0].provider = "q".to_owned()).contains("`q`"));
        assert!(refused(|c| c.models[0].filter_fallbacks.push("x".to_owned())).contains("`x`"));
        assert!(refused(|c| c.models[0].window_tokens = 0).contains("0 tokens"));
        assert!(refused(|c| c.providers[0].fallback_threshold = 1.5).contains("1.5"));
        assert!(refused(|c| c.providers[0].total_ms = 0).contains("`total_ms`"));
        assert!(refused(|c| c.providers[0].requests_per_minute = Some(0)).contains("is 0"));
        let key = |c: &mut Catalog| c.providers[0].keys = vec![c.providers[0].keys[0].clone(); 2];
        assert!(refused(key).contains("two keys `one`"));
        let bad = refused(|c| c.providers[0].keys[0].secret = "line\nbreak-xyz".to_owned());
        assert!(bad.contains("`one`") && !bad.contains("xyz"), "{bad}");
    }

    #[test]
    fn secrets_have_no_debug() {
        let shown = format!("{:?}", catalog());
        assert!(shown.contains("one") && !shown.contains("sk-secret"), "{shown}");
    }
}
