//! Configuration: one struct, from which the example file and the reference are generated.
//!
//! Order: flag, environment (`SYNOD_SERVER_HTTP` for `server.http`), file, built-in. The file holds
//! names of environment variables for secrets, never secrets.

pub mod council;
mod key;
mod shown;

pub use shown::variable;

use council::{Council, GuardConfig, ModelConfig, ProviderConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use synod_index::VectorIndex;
use synod_index::limit::{MEMORY_MB_DEFAULT, Memory};
use synod_index::watch::Mode;
use synod_store::Scope;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Vaults, repositories and folders to index; `synod index FOLDER` adds others.
    pub source: Vec<SourceConfig>,
    /// The HTTP server.
    pub server: Server,
    /// What is offered, and to whom.
    pub access: Access,
    /// Search by meaning.
    pub embedding: Embedding,
    /// Who runs language models for the council.
    pub provider: Vec<ProviderConfig>,
    /// Language models that can be asked.
    pub model: Vec<ModelConfig>,
    /// The council: who sits, how long it may take, what it may cost.
    pub council: Council,
    /// What is looked for in questions and answers of models.
    pub guard: GuardConfig,
    /// Spec-Kit projects among the sources.
    pub spec_kit: SpecKit,
    /// Who did what: a chain of hashes in the data directory, without contents.
    pub ledger: LedgerConfig,
    /// Bounds of the process.
    pub limits: Limits,
    /// Logs, on stderr.
    pub log: Log,
}

/// A folder to index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// The folder; `~` is the home directory.
    pub path: String,
    /// Its name in filters and URIs; the folder's by default.
    pub name: Option<String>,
    /// A collection to search apart from others; `notes` for vaults and `code` for repositories by default.
    pub collection: Option<String>,
    /// How changes are noticed: `auto` (the default), `events`, or `poll` (each `limits.poll_s`).
    #[schemars(with = "String")]
    pub watch: WatchMode,
}

/// How changes of a source are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// By events, where its file system has them.
    #[default]
    Auto,
    /// By events, whatever its file system is.
    Events,
    /// By comparing it with the disk again and again.
    Poll,
}

impl From<WatchMode> for Mode {
    fn from(mode: WatchMode) -> Self {
        match mode {
            WatchMode::Auto => Mode::Auto,
            WatchMode::Events => Mode::Events,
            WatchMode::Poll => Mode::Poll,
        }
    }
}

/// Spec-Kit projects among the sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpecKit {
    /// Whether its tools do anything.
    pub enabled: bool,
    /// The Spec-Kit CLI; the first `specify` of PATH by default.
    pub bin: Option<String>,
    /// The project that is meant where a call names none.
    pub workdir: Option<String>,
    /// The integration that a new project gets.
    pub ai: Option<String>,
    /// Where the CLI is not installed, `uvx` or `pipx` may fetch it from PyPI for one call.
    pub fetch: bool,
}

impl Default for SpecKit {
    fn default() -> Self {
        SpecKit { enabled: true, bin: None, workdir: None, ai: None, fetch: false }
    }
}

/// Who did what: a chain of hashes in the data directory, without contents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// Which calls are entered: `all`, or `changes` (what writes or spends). What models are asked, and what the guard finds, always is.
    #[schemars(with = "String")]
    pub calls: Kept,
}

/// Which calls the ledger has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// Every one.
    #[default]
    All,
    /// Those that write or spend.
    Changes,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port of `synod up` and `synod serve --http` without an address.
    pub http: String,
    /// Hosts that requests may name beside the loopback ones, for example `synod.example:7717`.
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call, beside pages on loopback, for example `https://notes.example`.
    pub allowed_origins: Vec<String>,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            http: "127.0.0.1:7717".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// What is offered, and to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Nothing may be changed, whatever else is set.
    pub read_only: bool,
    /// Scopes of callers without a token: stdio, and HTTP on loopback. Add `write:context` to let assistants add, push and remove content of the index.
    #[schemars(with = "Vec<String>")]
    pub local_scopes: Vec<Scope>,
    /// Folders below which callers with `write:context` may add sources; `synod index` adds any.
    pub add_roots: Vec<String>,
    /// HTTP callers on loopback need a token too.
    pub require_token: bool,
    /// Tools that are not offered.
    pub hidden_tools: Vec<String>,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            read_only: false,
            local_scopes: vec![Scope::ReadContext, Scope::ReadJobs, Scope::LlmInvoke],
            add_roots: Vec::new(),
            require_token: false,
            hidden_tools: Vec::new(),
        }
    }
}

/// Search by meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Embedding {
    /// Who embeds: `local` (inside this process), `ollama`, or `openai` (any server with `/embeddings`).
    #[schemars(with = "String")]
    pub provider: Provider,
    /// An installed model (`synod model list`), or the server's name for one; without a name, words alone count.
    pub model: String,
    /// Where the server is: `http://127.0.0.1:11434` for ollama; for `openai` with its `/v1`.
    pub url: Option<String>,
    /// The environment variable that holds the key of the server.
    pub key_env: Option<String>,
    /// Put before a query; by default what is known of the model.
    pub query_prefix: Option<String>,
    /// Put before a passage; by default what is known of the model.
    pub passage_prefix: Option<String>,
    /// Embed in the background also while the machine runs on its battery.
    pub on_battery: bool,
    /// How the nearest vectors are found: `auto`, `exact` (all measured) or `hnsw` (in graphs).
    #[schemars(with = "String")]
    pub vector_index: VectorMode,
    /// Collections whose passages may go to a server beyond this machine; `*` is all of them. Queries go there too.
    pub cloud_collections: Vec<String>,
}

/// Who embeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// This process.
    #[default]
    Local,
    /// An Ollama server.
    Ollama,
    /// A server that speaks OpenAI's API.
    Openai,
}

/// How the nearest vectors are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VectorMode {
    /// By what is faster for so many.
    #[default]
    Auto,
    /// All are measured.
    Exact,
    /// In graphs.
    Hnsw,
}

impl From<VectorMode> for VectorIndex {
    fn from(mode: VectorMode) -> Self {
        match mode {
            VectorMode::Auto => VectorIndex::Auto,
            VectorMode::Exact => VectorIndex::Exact,
            VectorMode::Hnsw => VectorIndex::Hnsw,
        }
    }
}

impl Default for Embedding {
    fn default() -> Self {
        Embedding {
            provider: Provider::Local,
            model: "all-MiniLM-L6-v2".to_owned(),
            url: None,
            key_env: None,
            query_prefix: None,
            passage_prefix: None,
            on_battery: false,
            vector_index: VectorMode::Auto,
            cloud_collections: Vec::new(),
        }
    }
}

/// Bounds of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Computing calls at once; more wait.
    pub calls_max: usize,
    /// Calls that wait for their turn; more are refused.
    pub queue_max: usize,
    /// Milliseconds that a call may compute; what waits has its own, models `council.deadline_ms`.
    pub deadline_ms: u64,
    /// Calls per second of one token; 0 is no limit.
    pub calls_per_second: u32,
    /// Longest line on stdio, in bytes.
    pub line_bytes_max: usize,
    /// Seconds between two full comparisons of sources with the disk; 0 is only at the start.
    pub rescan_s: u64,
    /// Seconds between two comparisons of a source that no events tell of; at least 1.
    pub poll_s: u64,
    /// Memory of the process while it indexes, in MiB; at least 128. Models are not counted.
    pub memory_mb: u64,
}

impl Limits {
    /// The memory while it indexes.
    pub fn memory(&self) -> Memory {
        Memory::of_mb(self.memory_mb)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            calls_max: 8,
            queue_max: 256,
            deadline_ms: 60_000,
            calls_per_second: 0,
            line_bytes_max: 16 * 1024 * 1024,
            rescan_s: 600,
            poll_s: 10,
            memory_mb: MEMORY_MB_DEFAULT,
        }
    }
}

/// Logs, on stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// error, warn, info, debug or trace; targets as in `info,synod=debug`.
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "warn".to_owned(), json: false }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    BuiltIn,
    /// The file.
    File,
    /// This variable.
    Environment(String),
    /// A flag.
    Flag,
}

/// A configuration with the origin of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// By dotted key: the values that somebody set.
    pub origins: BTreeMap<String, Origin>,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
}

/// Fails the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named file cannot be read.
    #[error("cannot read `{path}`: {source}; name another file with `--config`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not parse, or holds what is not known.
    #[error("config: {what} in `{path}`{line}{hint}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// ` line 12`, or nothing.
        line: String,
        /// What was meant, or nothing.
        hint: String,
    },
    /// A variable holds what does not fit.
    #[error("config: `{variable}` does not fit: {why}")]
    Variable {
        /// Its name.
        variable: String,
        /// Why.
        why: String,
    },
    /// A value has the right type and does not fit.
    #[error("config: `{key}` is `{value}`; it is {wanted}")]
    Value {
        /// The key.
        key: String,
        /// What it is.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
}

/// What an amount of dollars may be.
const AMOUNT: &str = "an amount of dollars, 0 or more; leave it out for no limit";
/// What `source.path` is.
const FOLDER: &str = "the folder that is indexed, and every `[[source]]` names one";
/// What `log.level` may be.
const LEVEL: &str = "`error`, `warn`, `info`, `debug`, `trace` or `off`, with targets as in \
                     `info,synod=debug`";

/// What reads the environment; a map in tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Loads the configuration: `file` must exist if it was named (`named`), else it may.
///
/// # Errors
/// See [`Error`].
pub fn load(
    file: Option<&Path>,
    named: bool,
    environment: Environment,
    flags: &[(&str, Value)],
) -> Result<Loaded, Error> {
    let mut tree = Value::Object(Map::new());
    let mut origins = BTreeMap::new();
    let mut found = None;
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                tree = parse(path, &text)?;
                leaves("", &tree, &mut |key| {
                    origins.insert(key.to_owned(), Origin::File);
                });
                found = Some(path.to_owned());
            }
            Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
        }
    }
    let built_in = serde_json::to_value(Config::default()).unwrap_or_default();
    for (key, variable) in variables() {
        if let Some(text) = text_of(&variable, environment) {
            let value = typed(&built_in, &key, &text)
                .and_then(|value| alone(&key, value))
                .map_err(|why| Error::Variable { variable: variable.clone(), why })?;
            put(&mut tree, &key, value);
            origins.insert(key, Origin::Environment(variable));
        }
    }
    for (key, value) in flags {
        put(&mut tree, key, value.clone());
        origins.insert((*key).to_owned(), Origin::Flag);
    }
    let config: Config = serde_json::from_value(tree).map_err(|error| Error::File {
        path: found.clone().unwrap_or_default(),
        what: without_text(&error.to_string()),
        line: String::new(),
        hint: String::new(),
    })?;
    if !crate::log::is_filter(&config.log.level) {
        let (key, value) = ("log.level".to_owned(), config.log.level);
        return Err(Error::Value { key, value, wanted: LEVEL });
    }
    Ok(Loaded { config, origins, file: found })
}

/// A value as long as its key can have it, else why not.
fn alone(key: &str, value: Value) -> Result<Value, String> {
    let mut tree = Value::Object(Map::new());
    put(&mut tree, key, value.clone());
    let fits = serde_json::from_value::<Config>(tree);
    fits.map(|_| value).map_err(|error| worded(&error.to_string()))
}

/// What serde says of a value, in our words.
fn worded(message: &str) -> String {
    without_text(message).replace("unknown variant", "unknown value").replace('\n', ", ")
}

/// Every setting that a variable can set, by its dotted key, with the name of the variable.
pub fn variables() -> Vec<(String, String)> {
    let built_in = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut out = Vec::new();
    leaves("", &built_in, &mut |key| {
        if !["source", "provider", "model"].contains(&key) {
            let variable = format!("SYNOD_{}", key.replace('.', "_").to_uppercase());
            out.push((key.to_owned(), variable));
        }
    });
    out
}

/// What the variable of a setting holds; settings of Spec-Kit are known by a shorter name too.
pub fn text_of(variable: &str, environment: Environment) -> Option<String> {
    let short = variable.strip_prefix("SYNOD_").filter(|name| name.starts_with("SPEC_KIT_"));
    environment(variable).or_else(|| environment(short?))
}

/// Refuses amounts that are none: what is no number would be no limit.
fn check_amounts(config: &Config) -> Result<(), Error> {
    let council = &config.council;
    let own = [
        ("council.call_usd", council.call_usd),
        ("council.session_usd", council.session_usd),
        ("council.day_usd", council.day_usd),
        ("council.month_usd", council.month_usd),
    ];
    let monthly = config.provider.iter().map(|row| ("provider.monthly_usd", row.monthly_usd));
    let prices = config.model.iter().flat_map(|row| {
        [
            ("model.input_usd", row.input_usd),
            ("model.output_usd", row.output_usd),
            ("model.cached_input_usd", row.cached_input_usd),
        ]
    });
    for (key, amount) in own.into_iter().chain(monthly).chain(prices) {
        if let Some(amount) = amount.filter(|amount| !is_amount(*amount)) {
            let (key, value) = (key.to_owned(), amount.to_string());
            return Err(Error::Value { key, value, wanted: AMOUNT });
        }
    }
    Ok(())
}

fn is_amount(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

/// Parses the file strictly, so that a wrong key is named with its line.
fn parse(path: &Path, text: &str) -> Result<Value, Error> {
    let config: Result<Config, _> = toml::from_str(text);
    if let Ok(config) = &config {
        check_amounts(config)?;
        if config.source.iter().any(|row| row.path.trim().is_empty()) {
            let (key, value) = ("source.path".to_owned(), String::new());
            return Err(Error::Value { key, value, wanted: FOLDER });
        }
    }
    if let Err(error) = config {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let message = error.message().to_owned();
        let hint = message.strip_prefix("unknown field `").and_then(|rest| {
            let wrong = rest.split('`').next()?;
            let known = known_keys();
            let near = known.iter().max_by(|a, b| {
                strsim::jaro_winkler(a, wrong).total_cmp(&strsim::jaro_winkler(b, wrong))
            })?;
            (strsim::jaro_winkler(near, wrong) > 0.7).then(|| format!("; did you mean `{near}`?"))
        });
        // All keys of a table are too many to be told; all values of a key are not.
        let unknown = message.strip_prefix("unknown field").and_then(|m| m.split(", exp").next());
        let at = error.span().and_then(|span| key::key_at(text, span.start));
        let what = match (unknown, at) {
            (Some(rest), _) => format!("unknown key{rest}"),
            (None, Some(key)) => format!("`{key}`: {}", worded(&message)),
            (None, None) => worded(&message),
        };
        return Err(Error::File {
            path: path.to_owned(),
            what,
            line: line.map(|n| format!(" line {n}")).unwrap_or_default(),
            hint: hint.unwrap_or_default(),
        });
    }
    toml::from_str::<Value>(text).map_err(|error| Error::File {
        path: path.to_owned(),
        what: error.message().to_owned(),
        line: String::new(),
        hint: String::new(),
    })
}

/// What is wrong with a value, without the text that it is: who pastes a key where its variable
/// should be named does not want it in a log.
fn without_text(message: &str) -> String {
    let Some((head, rest)) = message.split_once(" string \"") else { return message.to_owned() };
    match rest.rsplit_once("\", expected ") {
        Some((_, wanted)) => format!("{head} string, not {wanted}"),
        None => format!("{head} string"),
    }
}

fn known_keys() -> Vec<String> {
    let built_in = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut keys = Vec::new();
    leaves("", &built_in, &mut |key| keys.extend(key.split('.').map(str::to_owned)));
    keys.extend(["path", "name", "collection", "watch"].map(str::to_owned));
    let rows = [
        serde_json::to_value(ProviderConfig::default()).unwrap_or_default(),
        serde_json::to_value(ModelConfig::default()).unwrap_or_default(),
    ];
    rows.iter().for_each(|row| leaves("", row, &mut |key| keys.push(key.to_owned())));
    keys
}

/// Calls `each` with the dotted key of every value that is no table.
fn leaves(prefix: &str, value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                leaves(&key, value, each);
            }
        }
        _ => each(prefix),
    }
}

fn put(tree: &mut Value, key: &str, value: Value) {
    let mut at = tree;
    for part in key.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part];
    }
    *at = value;
}

/// A variable's text as a value of the type that the built-in value has.
fn typed(built_in: &Value, key: &str, text: &str) -> Result<Value, String> {
    let known = key.split('.').fold(built_in, |at, part| &at[part]);
    match known {
        Value::Bool(_) => match text {
            "1" | "true" | "yes" | "on" => Ok(Value::Bool(true)),
            "0" | "false" | "no" | "off" | "" => Ok(Value::Bool(false)),
            other => Err(format!("`{other}` is neither `true` nor `false`")),
        },
        Value::Number(_) => {
            let number: u64 = text.parse().map_err(|_| format!("`{text}` is no whole number"))?;
            Ok(number.into())
        }
        // Amounts that are not set have no type of their own.
        Value::Null if key.ends_with("_usd") => {
            let amount = text.parse::<f64>().ok().filter(|amount| is_amount(*amount));
            Ok(amount.ok_or_else(|| format!("`{text}` is no amount"))?.into())
        }
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|t| !t.is_empty());
            Ok(Value::Array(items.map(Value::from).collect()))
        }
        _ => Ok(text.into()),
    }
}

/// Every value by its dotted key, those of all configurations in the same order.
fn values(config: &Config) -> Vec<(String, Value)> {
    let tree = serde_json::to_value(config).unwrap_or_default();
    let mut out = Vec::new();
    leaves("", &tree, &mut |key| {
        let value = key.split('.').fold(&tree, |at, part| &at[part]).clone();
        out.push((key.to_owned(), value));
    });
    out
}

/// Every value with its origin, as `key = value  # origin`; secrets in addresses are left out.
pub fn listing(loaded: &Loaded) -> Vec<(String, Value, Origin)> {
    let origin = |key: &str| loaded.origins.get(key).cloned().unwrap_or(Origin::BuiltIn);
    let with_origin = |(key, value): (String, Value)| {
        let (origin, value) = (origin(&key), shown::shown(&key, value));
        (key, value, origin)
    };
    values(&loaded.config).into_iter().map(with_origin).collect()
}

/// The dotted keys of the values in which two configurations differ.
pub fn changed(before: &Config, after: &Config) -> Vec<String> {
    let pairs = values(before).into_iter().zip(values(after));
    pairs.filter(|(old, new)| old != new).map(|((key, _), _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synod.toml");
        std::fs::write(&path, text).unwrap();
        let environment =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        load(Some(&path), true, &environment, &[("access.read_only", true.into())])
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_built_in() {
        let loaded = with(
            "[server]\nhttp = \"127.0.0.1:1\"\n[limits]\ncalls_max = 3\n[access]\nread_only = false\n",
            &[("SYNOD_LIMITS_CALLS_MAX", "5"), ("SYNOD_ACCESS_READ_ONLY", "no")],
        )
        .unwrap();
        assert_eq!(loaded.config.server.http, "127.0.0.1:1");
        assert_eq!(loaded.config.limits.calls_max, 5);
        assert!(loaded.config.access.read_only);
        let of = |key: &str| loaded.origins.get(key).cloned().unwrap_or(Origin::BuiltIn);
        assert_eq!(of("server.http"), Origin::File);
        assert_eq!(of("limits.calls_max"), Origin::Environment("SYNOD_LIMITS_CALLS_MAX".into()));
        assert_eq!(of("access.read_only"), Origin::Flag);
        assert_eq!(of("log.level"), Origin::BuiltIn);
    }

    #[test]
    fn no_secret_is_shown() {
        let text = r#"
            [embedding]
            url = "http://ada:hunter2@localhost:8080/v1"
            [[provider]]
            name = "one"
            url = "https://one.example/v1?api_key=hunter2"
            key_env = ["ONE_KEY", "sk-proj-hunter2"]
            [council]
            webhooks = ["https://hooks.example/services/hunter2"]
        "#;
        let rows = listing(&with(text, &[]).unwrap());
        let all = format!("{rows:?}");
        assert!(!all.contains("hunter2"), "{all}");
        let shown = [
            "http://localhost:8080/v1",
            "https://one.example/v1",
            "ONE_KEY",
            "https://hooks.example/…",
        ];
        for shown in shown {
            assert!(all.contains(shown), "{shown}: {all}");
        }
        for text in
            ["[[provider]]\nkey_env = \"sk-proj-hunter2\"", "[limits]\ncalls_max = \"hunter2\""]
        {
            let error = with(text, &[]).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains("string"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(variable("OPENAI_API_KEY_2"), "OPENAI_API_KEY_2");
        assert!(variable("hf_hunter2hunter2hunter2").starts_with('('));
    }

    #[test]
    fn changed_values_are_named() {
        let one = with("[[source]]\npath = \"a\"\n[council]\nday_usd = 1.0\n", &[]).unwrap().config;
        let two = with("[[source]]\npath = \"b\"\n[log]\njson = true\n", &[]).unwrap().config;
        assert_eq!(changed(&one, &one), [""; 0]);
        let mut keys = changed(&one, &two);
        keys.sort();
        assert_eq!(keys, ["council.day_usd", "log.json", "source"]);
    }

    #[test]
    fn errors_name_line_and_what_was_meant() {
        let error = with("[limits]\n\ncals_max = 3\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("`calls_max`"), "{error}");
        let error = with("", &[("SYNOD_LIMITS_CALLS_MAX", "many")]).unwrap_err().to_string();
        assert!(error.contains("SYNOD_LIMITS_CALLS_MAX"), "{error}");
        for (text, key) in [
            ("[council]\nday_usd = nan", "council.day_usd"),
            ("[council]\nmonth_usd = inf", "council.month_usd"),
            ("[council]\ncall_usd = -1.0", "council.call_usd"),
            ("[[provider]]\nmonthly_usd = nan", "provider.monthly_usd"),
            ("[[model]]\ninput_usd = nan", "model.input_usd"),
            ("[log]\nlevel = \"loud\"", "log.level"),
            ("[log]\nlevel = \"info,synod=loud\"", "log.level"),
        ] {
            let error = with(text, &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{text}: {error}");
        }
        let choices = "unknown value `lokal`, expected one of `local`, `ollama`, `openai`";
        let error = with("\n[embedding]\nprovider = \"lokal\"", &[]).unwrap_err().to_string();
        assert!(error.contains(&format!("`embedding.provider`: {choices} in")), "{error}");
        assert!(error.ends_with("line 3"), "{error}");
        let error = with("[[source]]\npath = 3", &[]).unwrap_err().to_string();
        assert!(error.contains("`source.path`: invalid type: integer `3`, expected"), "{error}");
        let error =
            with("[council]\npanel = [\n  \"a = b\",\n  3,\n]", &[]).unwrap_err().to_string();
        assert!(error.contains("`council.panel`: invalid type: integer `3`"), "{error}");
        let variable = [("SYNOD_EMBEDDING_PROVIDER", "lokal")];
        let error = with("", &variable).unwrap_err().to_string();
        assert!(error.contains(&format!("`{}` does not fit: {choices}", variable[0].0)), "{error}");
        for rows in ["[[source]]\n", "[[source]]\npath = \" \"\nname = \"x\"\n"] {
            let error = with(rows, &[]).unwrap_err().to_string();
            assert!(error.contains("`source.path`"), "{error}");
        }
        for amount in ["nan", "inf", "-1", "much"] {
            let error = with("", &[("SYNOD_COUNCIL_DAY_USD", amount)]).unwrap_err().to_string();
            assert!(error.contains("SYNOD_COUNCIL_DAY_USD"), "{error}");
        }
        for level in ["WARN", "info,synod=debug", "synod[span]=trace", "off"] {
            assert!(with(&format!("[log]\nlevel = \"{level}\""), &[]).is_ok(), "{level}");
        }
        assert!(load(Some(Path::new("/nowhere.toml")), true, &|_| None, &[]).is_err());
        assert!(load(Some(Path::new("/nowhere.toml")), false, &|_| None, &[]).is_ok());
    }
}
