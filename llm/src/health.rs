//! Whether providers are there, and models that are loaded before they are needed.
//!
//! Asks for lists, never for answers: nothing here costs anything.

use crate::ask::Policy;
use crate::catalog::{Model, Provider};
use crate::dialect::{Dialect, Rules, ollama};
use crate::engine::{Engine, Table, keys};
use crate::error::{Failure, FailureKind, Fault};
use crate::exchange::headers;
use crate::wire::{Headers, Wire};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest list that is read, in bytes.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Time for all questions to one provider.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Health {
    /// Its name.
    pub provider: String,
    /// It was asked: the policy may keep us from that.
    pub asked: bool,
    /// Why it is not well.
    pub failure: Option<FailureKind>,
    /// Version of its server, if it says so.
    pub version: Option<String>,
    /// Models that it lists.
    pub models: Vec<String>,
    /// Models that it has in memory (Ollama).
    pub loaded: Vec<String>,
    /// Time of all that.
    pub ms: u64,
}

/// The words of a list: `key` of every entry of `list`.
fn words(value: &Value, list: &str, key: &str) -> Vec<String> {
    let entries = value[list].as_array().into_iter().flatten();
    let names = entries.filter_map(|entry| entry[key].as_str());
    // Gemini's names have their collection before them.
    names.map(|name| name.strip_prefix("models/").unwrap_or(name).to_owned()).collect()
}

async fn fetch(rules: &Rules, wire: &Wire, path: &str, headers: &Headers) -> Result<Value, Fault> {
    let reply = wire.get(path, headers).await?;
    let status = reply.status;
    let body = reply.whole(LIST_BYTES_MAX).await?;
    if !(200..300).contains(&status) {
        return Err((rules.refusal)(status, &body));
    }
    let malformed = |_| Fault::new(FailureKind::Malformed, "its list is no JSON");
    serde_json::from_slice(&body).map_err(malformed)
}

async fn look(
    rules: &Rules,
    provider: &Provider,
    wire: &Wire,
    health: &mut Health,
) -> Result<(), Fault> {
    let secret = keys(provider).into_iter().flatten().next().map(|key| key.secret.as_str());
    let headers = headers(rules, provider, secret);
    let (path, list, key) = rules.listing;
    health.models = words(&fetch(rules, wire, path, &headers).await?, list, key);
    if provider.dialect == Dialect::Ollama {
        let version = fetch(rules, wire, "/api/version", &headers).await?;
        health.version = version["version"].as_str().map(str::to_owned);
        health.loaded = words(&fetch(rules, wire, "/api/ps", &headers).await?, "models", "name");
    }
    Ok(())
}

async fn one(table: &Table, provider: &Provider, policy: Policy) -> Health {
    let mut health = Health { provider: provider.name.clone(), ..Health::default() };
    if let Some(known) = table.transcripts.get(&provider.name) {
        health.asked = true;
        health.models = known.models().into_iter().map(|recorded| recorded.model).collect();
        return health;
    }
    let wire = table.wires.get(&provider.name);
    let (Some(rules), Some(wire)) = (provider.dialect.rules(), wire) else { return health };
    if policy == Policy::Local && !provider.local {
        return health;
    }
    health.asked = true;
    let start = Instant::now();
    let seen = timeout(PATIENCE, look(rules, provider, wire, &mut health)).await;
    health.failure = match seen {
        Ok(result) => result.err().map(|fault| fault.kind),
        Err(_) => Some(FailureKind::Timeout),
    };
    health.ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    health
}

impl Engine {
    /// Looks at every provider at once; with [`Policy::Local`] at local ones alone.
    pub async fn health(&self, policy: Policy) -> Vec<Health> {
        let table = self.table();
        let looks = table.catalog.providers.iter().map(|provider| one(&table, provider, policy));
        futures::future::join_all(looks).await
    }

    /// Loads a model of an Ollama into its memory and keeps it there. False where there is nothing
    /// to load: other providers see to that themselves.
    ///
    /// # Errors
    /// `UnknownModel`; why it cannot be loaded.
    pub async fn warm(
        &self,
        model: &str,
        keep_alive: Duration,
        deadline: Instant,
    ) -> Result<bool, Failure> {
        let table = self.table();
        let row = table.catalog.model(model);
        let row = row.ok_or_else(|| Failure::new(FailureKind::UnknownModel, model))?;
        let provider = table.catalog.provider(&row.provider);
        let provider = provider.filter(|provider| provider.dialect == Dialect::Ollama);
        let Some(provider) = provider else { return Ok(false) };
        let loaded = timeout_at(deadline, load(&table, provider, row, keep_alive)).await;
        let late = || Err(Fault::new(FailureKind::Timeout, "the deadline is over"));
        let loaded = loaded.unwrap_or_else(|_| late());
        loaded.map_err(|fault| Failure::new(fault.kind, model).noted(fault.note))?;
        Ok(true)
    }
}

async fn load(
    table: &Table,
    provider: &Provider,
    row: &Model,
    keep: Duration,
) -> Result<(), Fault> {
    let wire = table.wires.get(&provider.name);
    let (Some(rules), Some(wire)) = (provider.dialect.rules(), wire) else {
        return Err(Fault::new(FailureKind::Invalid, "its provider has no server"));
    };
    let secret = keys(provider).into_iter().flatten().next().map(|key| key.secret.as_str());
    let call = ollama::warm(row, keep.as_secs());
    let reply = wire.post(&call.path, &headers(rules, provider, secret), &call.body).await?;
    let status = reply.status;
    let body = reply.whole(LIST_BYTES_MAX).await?;
    if (200..300).contains(&status) { Ok(()) } else { Err((rules.refusal)(status, &body)) }
}
