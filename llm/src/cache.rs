//! Answers that are known: exact, bounded in number and bytes.
//!
//! Knows nothing of when an answer may be kept. Invariant: two asks share a key only if a server
//! would get the same request for both under the same policy.

use crate::ask::{Answer, Ask};
use crate::catalog::{Model, Provider};
use std::collections::{BTreeMap, HashMap};

/// Most answers.
const ENTRIES_MAX: usize = 2_000;
/// Most bytes of all their texts.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an answer takes besides its text, about.
const ENTRY_BYTES: usize = 1_000;

/// Hash of a canonical request.
pub(crate) type CacheKey = [u8; 32];

/// The key of an ask. Every part has its length before it, so no two lists of parts are one text.
pub(crate) fn key(ask: &Ask, model: &Model, provider: &Provider) -> CacheKey {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let optional = |text: Option<String>| text.map_or("-".to_owned(), |text| format!("+{text}"));
    part(model.id.as_bytes());
    part(model.name.as_bytes());
    part(optional(model.version.clone()).as_bytes());
    part(provider.dialect.name().as_bytes());
    part(provider.url.as_bytes());
    part(&model.window_tokens.to_le_bytes());
    part(&ask.output_tokens_max.min(model.output_tokens_max).to_le_bytes());
    part(ask.policy.name().as_bytes());
    part(optional(ask.temperature.map(|t| t.to_bits().to_string())).as_bytes());
    part(optional(ask.seed.map(|seed| seed.to_string())).as_bytes());
    part(optional(ask.schema.as_ref().map(ToString::to_string)).as_bytes());
    part(optional(ask.system.clone()).as_bytes());
    for message in &ask.messages {
        part(message.role.name().as_bytes());
        part(message.text.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The answers, the ones that were used longest ago going first.
#[derive(Default)]
pub(crate) struct Cache {
    entries: HashMap<CacheKey, (Answer, u64)>,
    order: BTreeMap<u64, CacheKey>,
    bytes: usize,
    used: u64,
}

fn weight(answer: &Answer) -> usize {
    answer.text.len() + ENTRY_BYTES
}

impl Cache {
    pub fn get(&mut self, key: &CacheKey) -> Option<Answer> {
        let (answer, used) = self.entries.get_mut(key)?;
        self.order.remove(used);
        self.used += 1;
        *used = self.used;
        self.order.insert(self.used, *key);
        Some(answer.clone())
    }

    pub fn put(&mut self, key: CacheKey, answer: Answer) {
        self.remove(&key);
        self.used += 1;
        self.bytes += weight(&answer);
        self.order.insert(self.used, key);
        self.entries.insert(key, (answer, self.used));
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            let oldest = *oldest;
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some((answer, used)) = self.entries.remove(key) {
            self.order.remove(&used);
            self.bytes -= weight(&answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Finish, Message, Policy, Role, Usage};
    use crate::dialect::Dialect;

    fn answer(text: String) -> Answer {
        Answer {
            model: "m".to_owned(),
            asked: "m".to_owned(),
            vendor: String::new(),
            family: String::new(),
            version: String::new(),
            other_version: false,
            text,
            finish: Finish::Stop,
            usage: Usage::default(),
            cost_usd_micros: None,
            latency_ms: 0,
            first_token_ms: 0,
            cached: false,
            attempts: Vec::new(),
            fell_back: None,
            ignored: Vec::new(),
        }
    }

    #[test]
    fn every_part_of_a_request_is_in_its_key() {
        let provider = Provider::new("p", Dialect::OpenAi, "http://h");
        let model = Model::new("m", "p", "toy");
        let ask = Ask::new("m", "why?");
        let plain = key(&ask, &model, &provider);
        assert_eq!(plain, key(&ask.clone(), &model, &provider));
        let changes: [fn(&mut Ask); 9] = [
            |a| a.messages[0].text.push('!'),
            |a| a.messages[0].role = Role::Assistant,
            |a| a.messages.push(Message { role: Role::User, text: String::new() }),
            |a| a.system = Some(String::new()),
            |a| a.temperature = Some(0.0),
            |a| a.output_tokens_max = 7,
            |a| a.schema = Some(serde_json::json!({})),
            |a| a.seed = Some(0),
            |a| a.policy = Policy::Local,
        ];
        let mut keys = vec![plain];
        for change in changes {
            let mut ask = ask.clone();
            change(&mut ask);
            keys.push(key(&ask, &model, &provider));
        }
        let pinned = Model { version: Some("1".to_owned()), ..model.clone() };
        keys.push(key(&ask, &pinned, &provider));
        keys.push(key(&ask, &Model { name: "other".to_owned(), ..model.clone() }, &provider));
        keys.push(key(&ask, &model, &Provider::new("p", Dialect::OpenAi, "http://i")));
        let n = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), n);
    }

    #[test]
    fn entries_and_bytes_are_bounded() {
        let mut cache = Cache::default();
        let name = |n: usize| *blake3::hash(&n.to_le_bytes()).as_bytes();
        for n in 0..ENTRIES_MAX {
            cache.put(name(n), answer(n.to_string()));
        }
        assert!(cache.get(&name(0)).is_some(), "used last");
        cache.put(name(ENTRIES_MAX), answer("new".to_owned()));
        assert!(cache.get(&name(0)).is_some() && cache.get(&name(1)).is_none());
        for n in 0..5 {
            cache.put(name(n), answer("x".repeat(BYTES_MAX / 3)));
        }
        assert!(cache.bytes <= BYTES_MAX && cache.entries.len() == cache.order.len());
        cache.put(name(9), answer("x".repeat(BYTES_MAX)));
        assert_eq!((cache.entries.len(), cache.bytes), (0, 0), "too large for all");
    }
}
