//! Who can be asked, from the configuration: rows of the engine that asks, with keys out of the
//! environment, and the guard that knows them.

use crate::config::council::{Council, GuardConfig, ModelConfig, ProviderConfig};
use crate::config::{Config, Environment};
use crate::fault::{self, Fault};
use crate::fetch::is_loopback;
use std::collections::BTreeSet;
use std::path::Path;
use synod_guard::{Entry, Guard, Mode, Settings};
use synod_llm::{Catalog, Dialect, Engine, Key, Limits, Model, Policy, Price, Provider, Recorder};
use synod_tools::{CouncilSettings, SpecSettings};

/// Dollars as millionths.
fn micros(usd: f64) -> u64 {
    // Below zero and NaN become zero, which refuses everything: safe.
    (usd * 1e6).round() as u64
}

fn invalid(text: String) -> Fault {
    Fault::new(fault::INVALID, format!("config: {text}"))
}

/// The vendor's own address.
fn usual_url(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Ollama => Some("http://127.0.0.1:11434"),
        Dialect::OpenAi | Dialect::Responses => Some("https://api.openai.com/v1"),
        Dialect::Anthropic => Some("https://api.anthropic.com/v1"),
        Dialect::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
        Dialect::Mistral => Some("https://api.mistral.ai/v1"),
        Dialect::Replay => None,
    }
}

fn provider(row: &ProviderConfig, environment: Environment) -> Result<Provider, Fault> {
    let name = &row.name;
    let Some(dialect) = Dialect::parse(&row.dialect) else {
        let known: Vec<&str> = Dialect::ALL.iter().map(|d| d.name()).collect();
        let known = known.join(", ");
        return Err(invalid(format!(
            "provider `{name}` speaks `{}`; dialects are {known}",
            row.dialect
        )));
    };
    let url = row.url.as_deref().or_else(|| usual_url(dialect));
    let url =
        url.ok_or_else(|| invalid(format!("provider `{name}` has no `url`; give the file")))?;
    let url = match dialect {
        Dialect::Replay => crate::job::expand_home(url).to_string_lossy().into_owned(),
        _ => url.to_owned(),
    };
    let (mut keys, mut keys_unset) = (Vec::new(), Vec::new());
    for variable in &row.key_env {
        match environment(variable).filter(|secret| !secret.is_empty()) {
            Some(secret) => keys.push(Key { label: variable.clone(), secret }),
            // A key less; where the provider refuses the call for it, it is named.
            None => keys_unset.push(crate::config::variable(variable).to_owned()),
        }
    }
    Ok(Provider {
        keys,
        keys_unset,
        key_header: row.key_header.clone(),
        local: row.local.unwrap_or(dialect == Dialect::Replay || is_loopback(&url)),
        stream: row.stream,
        requests_per_minute: row.requests_per_minute,
        tokens_per_minute: row.tokens_per_minute,
        concurrent_max: row.concurrent_max,
        connect_ms: row.connect_ms,
        first_token_ms: row.first_token_ms,
        total_ms: row.total_ms,
        monthly_usd_micros: row.monthly_usd.map(micros),
        fallback_threshold: row.fallback_threshold,
        ..Provider::new(name, dialect, &url)
    })
}

/// What a model costs: what is set, over what is known of it.
fn price(row: &ModelConfig, known: Option<Price>) -> Result<Option<Price>, Fault> {
    let ModelConfig { input_usd, output_usd, cached_input_usd, .. } = row;
    if input_usd.or(*output_usd).or(*cached_input_usd).is_none() {
        return Ok(known);
    }
    let input = input_usd.map(micros).or(known.as_ref().map(|price| price.input));
    let output = output_usd.map(micros).or(known.as_ref().map(|price| price.output));
    let (Some(input), Some(output)) = (input, output) else {
        return Err(invalid(format!(
            "nothing is known of what model `{}` costs; set both `input_usd` and `output_usd`",
            row.id
        )));
    };
    // What is known of the cache goes with the price that is known.
    let cached = known.and_then(|price| price.cached_input).filter(|_| input_usd.is_none());
    Ok(Some(Price {
        input,
        output,
        cached_input: cached_input_usd.map(micros).or(cached),
        as_of: String::new(),
        source: "configuration".to_owned(),
    }))
}

fn model(row: &ModelConfig) -> Result<Model, Fault> {
    let name = row.name.clone().unwrap_or_else(|| row.id.clone());
    let known = synod_llm::Known::find(&name);
    let plain = Model::new(&row.id, &row.provider, &name);
    Ok(Model {
        vendor: row.vendor.clone(),
        family: row.family.clone(),
        tier: row.tier.clone(),
        window_tokens: row.window_tokens.unwrap_or(plain.window_tokens),
        output_tokens_max: row.output_tokens_max.unwrap_or(plain.output_tokens_max),
        temperature: row.temperature.unwrap_or(true),
        price: price(row, known.map(synod_llm::Known::price))?,
        version: row.version.clone(),
        fallbacks: row.fallbacks.clone(),
        context_fallbacks: row.context_fallbacks.clone(),
        filter_fallbacks: row.filter_fallbacks.clone(),
        ..plain
    })
}

/// The rows of a configuration. A replay that no model names brings its own models.
///
/// # Errors
/// `invalid_argument` for rows that do not hold together.
pub fn catalog(config: &Config, environment: Environment) -> Result<Catalog, Fault> {
    let mut providers = Vec::new();
    let mut models = config.model.iter().map(model).collect::<Result<Vec<Model>, Fault>>()?;
    for row in &config.provider {
        let provider = provider(row, environment)?;
        let named = config.model.iter().any(|m| m.provider == provider.name);
        if provider.dialect == Dialect::Replay && !named {
            models.extend(recorded(&provider)?);
        }
        providers.push(provider);
    }
    let Council { session_usd, day_usd, month_usd, .. } = config.council;
    let limits = Limits {
        session_usd_micros: session_usd.map(micros),
        day_usd_micros: day_usd.map(micros),
        month_usd_micros: month_usd.map(micros),
    };
    Ok(Catalog { providers, models, limits })
}

fn recorded(provider: &Provider) -> Result<Vec<Model>, Fault> {
    let transcripts = synod_llm::Transcripts::open(Path::new(&provider.url))
        .map_err(|error| invalid(format!("provider `{}`: {error}", provider.name)))?;
    let model = |row: synod_llm::Recorded| Model {
        vendor: row.vendor,
        family: row.family,
        window_tokens: 1_000_000,
        output_tokens_max: 100_000,
        ..Model::new(&row.model, &provider.name, &row.model)
    };
    Ok(transcripts.models().into_iter().map(model).collect())
}

/// The engine of a configuration.
///
/// # Errors
/// `invalid_argument`, as [`catalog`]; also when the file for recordings cannot be opened.
pub fn engine(config: &Config, environment: Environment) -> Result<Engine, Fault> {
    let engine = Engine::new(catalog(config, environment)?).map_err(|e| invalid(e.to_string()))?;
    if let Some(path) = &config.council.record {
        let path = crate::job::expand_home(path);
        let recorder = Recorder::open(&path, true).map_err(|e| invalid(e.to_string()))?;
        engine.record(recorder);
    }
    Ok(engine)
}

/// The guard of a configuration; it knows the keys, so that none is sent in a question.
///
/// # Errors
/// `invalid_argument` for a rule that does not exist or a pattern that does not parse.
pub fn guard(config: &Config, environment: Environment) -> Result<Guard, Fault> {
    let GuardConfig { enforce, advise, off, phrases, patterns } = &config.guard;
    let lists = [(enforce, Mode::Enforcing), (advise, Mode::Advisory), (off, Mode::Off)];
    let modes =
        lists.into_iter().flat_map(|(names, mode)| names.iter().map(move |n| (n.clone(), mode)));
    let numbered = |texts: &[String]| -> Vec<Entry> {
        texts.iter().enumerate().map(|(n, text)| Entry::new((n + 1).to_string(), text)).collect()
    };
    let keys = config.provider.iter().flat_map(|p| &p.key_env);
    let variables: BTreeSet<&String> = keys.chain(&config.embedding.key_env).collect();
    // Shorter ones could not be told from words.
    let secret = |name: &str| environment(name).filter(|s| s.len() >= synod_guard::VALUE_BYTES_MIN);
    let values =
        variables.into_iter().filter_map(|name| Some(Entry::new(name, &secret(name)?))).collect();
    let settings = Settings {
        modes: modes.collect(),
        patterns: numbered(patterns),
        phrases: numbered(phrases),
        values,
    };
    Guard::new(&settings).map_err(|error| invalid(format!("[guard]: {error}")))
}

/// What the tools of the council go by.
///
/// # Errors
/// `invalid_argument` for a policy that does not exist.
pub fn settings(config: &Config, environment: Environment) -> Result<CouncilSettings, Fault> {
    let council = &config.council;
    let policy = Policy::parse(&council.policy).ok_or_else(|| {
        invalid(format!(
            "`council.policy` is `{}`; it is `local`, `local-first` or `cloud`",
            council.policy
        ))
    })?;
    Ok(CouncilSettings {
        panel: council.panel.clone(),
        deadline_ms: council.deadline_ms,
        policy,
        call_usd_micros: council.call_usd.map(micros),
        judge: council.judge.clone(),
        // What cannot be signed is not sent.
        webhooks: match webhook_secret(config, environment) {
            Some(_) => council.webhooks.clone(),
            None => Vec::new(),
        },
    })
}

/// What the operator wants of Spec-Kit.
pub fn specs(config: &Config) -> SpecSettings {
    let wanted = &config.spec_kit;
    let path = |text: &Option<String>| text.as_deref().map(crate::job::expand_home);
    SpecSettings {
        off: !wanted.enabled,
        program: path(&wanted.bin),
        workdir: path(&wanted.workdir),
        integration: wanted.ai.clone(),
        path: std::env::var_os("PATH"),
        hint: std::env::var_os("SPECIFY_INIT_DIR").map(Into::into),
        fetch: wanted.fetch,
    }
}

/// What of a configuration counts for nothing, in words: nothing fails for it.
pub fn warnings(config: &Config, environment: Environment) -> Vec<String> {
    let mut out = strangers(config);
    out.extend(unsigned(config, environment));
    out
}

/// Which names of the council are those of no model, in words.
pub fn strangers(config: &Config) -> Vec<String> {
    let Council { panel, judge, .. } = &config.council;
    // A replay may bring models of its own.
    if config.provider.iter().any(|row| row.dialect == Dialect::Replay.name()) {
        return Vec::new();
    }
    let panel = panel.iter().map(|name| ("council.panel", name));
    let named = panel.chain(judge.iter().map(|name| ("council.judge", name)));
    let strange = named.filter(|(_, name)| !config.model.iter().any(|row| row.id == **name));
    let told = |(key, name): (&str, &String)| {
        format!("`{key}` names `{name}`, which is the `id` of no `[[model]]`")
    };
    strange.map(told).collect()
}

/// Why none of the configured webhooks is told, if nothing signs them.
fn unsigned(config: &Config, environment: Environment) -> Option<String> {
    let council = &config.council;
    if council.webhooks.is_empty() || webhook_secret(config, environment).is_some() {
        return None;
    }
    Some(match &council.webhook_secret_env {
        Some(name) => {
            let name = crate::config::variable(name);
            format!("no webhook is told: `{name}`, their secret, is not set")
        }
        None => "no webhook is told: `council.webhook_secret_env` has to name the variable that \
                 holds the secret by which they are signed"
            .to_owned(),
    })
}

/// What webhooks are signed with.
pub fn webhook_secret(config: &Config, environment: Environment) -> Option<String> {
    let variable = config.council.webhook_secret_env.as_deref()?;
    environment(variable).filter(|secret| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn rows_become_a_catalog_with_keys_of_the_environment() {
        let text = r#"
            [[provider]]
            name = "here"
            dialect = "ollama"
            [[provider]]
            name = "there"
            dialect = "anthropic"
            key_env = ["KEY_A", "KEY_B"]
            monthly_usd = 12.5
            [[model]]
            id = "small"
            provider = "here"
            [[model]]
            id = "large"
            provider = "there"
            name = "large-1"
            input_usd = 3.0
            output_usd = 15.0
            fallbacks = ["small"]
            [council]
            day_usd = 2.0
        "#;
        let environment = |name: &str| (name == "KEY_B").then(|| "secret-b".to_owned());
        let catalog = catalog(&config(text), &environment).unwrap();
        assert_eq!(catalog.providers[0].url, "http://127.0.0.1:11434");
        assert!(catalog.providers[0].local && !catalog.providers[1].local);
        assert_eq!(catalog.providers[1].keys.len(), 1);
        assert_eq!(catalog.providers[1].monthly_usd_micros, Some(12_500_000));
        assert_eq!(catalog.models[1].price.as_ref().unwrap().output, 15_000_000);
        assert_eq!(catalog.limits.day_usd_micros, Some(2_000_000));
        Engine::new(catalog).unwrap();
        // The keys never leave in a question.
        let guard = guard(&config(text), &environment).unwrap();
        assert!(guard.check("use secret-b for it", synod_guard::Stage::Before).refused);
    }

    #[test]
    fn prices_are_set_over_what_is_known() {
        let of = |id: &str, more: &str| {
            let text = format!(
                "[[provider]]\nname = \"p\"\n[[model]]\nid = \"{id}\"\nprovider = \"p\"\n{more}"
            );
            let catalog = catalog(&config(&text), &|_| None).map_err(|fault| fault.to_string())?;
            let price = catalog.models[0].price.clone();
            Ok::<_, String>(price.map(|price| (price.input, price.output, price.cached_input)))
        };
        let known = Some((2_500_000, 10_000_000, Some(1_250_000)));
        assert_eq!(of("gpt-4o", "").unwrap(), known);
        assert_eq!(of("gpt-4o", "input_usd = 99").unwrap(), Some((99_000_000, 10_000_000, None)));
        let cached = of("gpt-4o", "cached_input_usd = 1").unwrap();
        assert_eq!(cached, Some((2_500_000, 10_000_000, Some(1_000_000))));
        assert_eq!(of("mine", "").unwrap(), None);
        let both = "input_usd = 1\noutput_usd = 2\ncached_input_usd = 0.5";
        assert_eq!(of("mine", both).unwrap(), Some((1_000_000, 2_000_000, Some(500_000))));
        for one in ["input_usd = 1", "output_usd = 1", "cached_input_usd = 1"] {
            let why = of("mine", one).unwrap_err();
            assert!(why.contains("`mine`") && why.contains("both"), "{why}");
        }
    }

    #[test]
    fn a_replay_lies_below_home_where_its_path_says_so() {
        let text = "[[provider]]\nname = \"p\"\ndialect = \"replay\"\nurl = \"~/answers.jsonl\"\n\
                    [[model]]\nid = \"m\"\nprovider = \"p\"";
        let catalog = catalog(&config(text), &|_| None).unwrap();
        let path = crate::job::expand_home("~/answers.jsonl");
        assert_eq!(catalog.providers[0].url, path.to_string_lossy());
    }

    #[test]
    fn webhooks_without_a_secret_are_named() {
        let none = |_: &str| None;
        let mut text = "[council]\nwebhooks = [\"https://h/\"]\n".to_owned();
        let why = unsigned(&config(&text), &none).unwrap();
        assert!(why.contains("webhook_secret_env"), "{why}");
        assert!(settings(&config(&text), &none).unwrap().webhooks.is_empty());
        text.push_str("webhook_secret_env = \"HOOK\"");
        assert!(settings(&config(&text), &none).unwrap().webhooks.is_empty());
        assert!(unsigned(&config(&text), &none).unwrap().contains("`HOOK`"));
        let some = |name: &str| (name == "HOOK").then(|| "secret".to_owned());
        assert_eq!(settings(&config(&text), &some).unwrap().webhooks.len(), 1);
        assert_eq!(unsigned(&config(&text), &some), None);
        let pasted = text.replace("HOOK", "whsec-1");
        assert!(!unsigned(&config(&pasted), &none).unwrap().contains("whsec-1"));
    }

    #[test]
    fn names_of_no_model_are_told() {
        let rows = "[[provider]]\nname = \"p\"\n[[model]]\nid = \"a\"\nprovider = \"p\"\n";
        let council = "[council]\npanel = [\"a\", \"b\"]\njudge = \"c\"\n";
        let told = |text: String| warnings(&config(&text), &|_| None);
        let why = told(format!("{rows}{council}"));
        assert!(why.len() == 2 && why[0].contains("`b`") && why[1].contains("`c`"), "{why:?}");
        assert!(why[1].contains("`council.judge`"), "{why:?}");
        let replay = "[[provider]]\nname = \"r\"\ndialect = \"replay\"\n";
        assert_eq!(told(format!("{rows}{replay}{council}")), [""; 0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let none = |_: &str| None;
        let of = |text: &str| catalog(&config(text), &none).unwrap_err().to_string();
        assert!(of("[[provider]]\nname = \"x\"\ndialect = \"klingon\"").contains("`klingon`"));
        assert!(of("[[provider]]\nname = \"x\"\ndialect = \"replay\"").contains("no `url`"));
        let bad = settings(&config("[council]\npolicy = \"mars\""), &none).unwrap_err().to_string();
        assert!(bad.contains("`mars`"), "{bad}");
        let bad = guard(&config("[guard]\nenforce = [\"nothing\"]"), &none).unwrap_err();
        assert!(bad.to_string().contains("nothing"), "{bad}");
        let bad = guard(&config("[guard]\npatterns = [\"(\"]"), &none).unwrap_err();
        assert!(bad.to_string().contains("[guard]"), "{bad}");
    }
}
