//! Our entry as one client spells it, and the gate that keeps secrets out of it.
//!
//! Pure. It does not know files or formats: the entry is a JSON value, also for TOML.

use serde_json::{Map, Value, json};

use super::client::{Client, Expansion, Stdio};
use super::{Error, Launch};

/// What stands in the place of a variable's value where the client expands nothing.
pub fn placeholder(variable: &str) -> String {
    format!("<value of {variable}>")
}

/// The entry `synod` of `client`.
///
/// # Errors
/// The client cannot be reached this way, or `launch` holds what must not be written.
pub(super) fn entry(client: &Client, launch: &Launch) -> Result<Value, Error> {
    let mut entry = match launch {
        Launch::Stdio { command, args, env } => stdio(client, command, args, env)?,
        Launch::Http { url, token_env } => http(client, url, token_env.as_deref())?,
    };
    if client.lists_tools {
        entry.insert("tools".into(), json!(["*"]));
    }
    Ok(Value::Object(entry))
}

/// The entry as it is to be where the file has one: what the person added to that stays, unless it
/// is about another way to reach the server: a token for one place is none for another.
pub(super) fn over(client: &Client, own: Option<&Value>, entry: Value) -> Value {
    let url_key = client.http.as_ref().map_or("url", |http| http.url_key);
    let ways = |entry: &Value| (entry.get("command").is_some(), entry.get(url_key).cloned());
    match (own, entry) {
        (Some(own), entry) if ways(own) != ways(&entry) => entry,
        (Some(Value::Object(own)), Value::Object(entry)) => Value::Object(laid(own, entry)),
        (_, entry) => entry,
    }
}

/// Members of `over` in those of `under`, which keep their order.
fn laid(under: &Map<String, Value>, over: Map<String, Value>) -> Map<String, Value> {
    let mut out = under.clone();
    for (key, value) in over {
        let value = match (under.get(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => Value::Object(laid(under, over)),
            // The person has put the value where it was asked for.
            (Some(Value::String(own)), Value::String(new)) if is_open(&new) && !is_open(own) => {
                Value::String(own.clone())
            }
            (_, value) => value,
        };
        out.insert(key, value);
    }
    out
}

/// Whether a text of an entry waits for a value that the person has to write.
fn is_open(text: &str) -> bool {
    text.contains("<value of ")
}

/// What the person has to do so that the variables which `launch` refers to reach the server; None
/// where it refers to none.
pub fn awaited(client: &Client, launch: &Launch) -> Option<String> {
    let Launch::Stdio { env, .. } = launch else { return None };
    let referred = env.iter().filter(|(name, value)| matches!(variable(name, value), Ok(Some(_))));
    let names: Vec<&str> = referred.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let title = client.title;
    let quoted = |text: String| format!("`{text}`");
    Some(match client.expansion {
        Expansion::None => {
            let names: Vec<String> = names.into_iter().map(placeholder).map(quoted).collect();
            format!(
                "{title} hands on no variables: write the values in the place of {} yourself",
                names.join(", ")
            )
        }
        _ => {
            let names: Vec<String> = names.into_iter().map(str::to_owned).map(quoted).collect();
            format!(
                "{title} hands these on by name; set them where it starts: {}",
                names.join(", ")
            )
        }
    })
}

fn stdio(
    client: &Client,
    command: &str,
    args: &[String],
    env: &[(String, String)],
) -> Result<Map<String, Value>, Error> {
    let mut entry = Map::new();
    match client.stdio {
        Stdio::Split { kind } => {
            insert_kind(&mut entry, kind);
            entry.insert("command".into(), json!(command));
            entry.insert("args".into(), json!(args));
        }
        Stdio::Joined { kind } => {
            insert_kind(&mut entry, Some(kind));
            let rest = args.iter().map(String::as_str);
            let words: Vec<_> = std::iter::once(command).chain(rest).collect();
            entry.insert("command".into(), json!(words));
        }
    }
    let mut values = Map::new();
    let mut names = Vec::new();
    for (name, value) in env {
        match variable(name, value)? {
            None => drop(values.insert(name.clone(), json!(value))),
            Some(from) if client.expansion == Expansion::ByName => {
                if from != name {
                    return Err(Error::NoRename { title: client.title, name: from.to_owned() });
                }
                names.push(name);
            }
            Some(from) => drop(values.insert(name.clone(), json!(reference(client, from)))),
        }
    }
    if !values.is_empty() {
        entry.insert(env_key(client).into(), Value::Object(values));
    }
    if !names.is_empty() {
        entry.insert("env_vars".into(), json!(names));
    }
    Ok(entry)
}

/// Where the variables stand in an entry.
fn env_key(client: &Client) -> &'static str {
    match client.stdio {
        Stdio::Split { .. } => "env",
        Stdio::Joined { .. } => "environment",
    }
}

/// The variables that an entry sets and `launch` does not.
pub(super) fn others(client: &Client, launch: &Launch, entry: &Value) -> Vec<String> {
    let Launch::Stdio { env, .. } = launch else { return Vec::new() };
    let set = entry[env_key(client)].as_object().into_iter().flatten();
    let names = set.map(|(name, _)| name).filter(|name| !env.iter().any(|(n, _)| n == *name));
    names.cloned().collect()
}

fn http(client: &Client, url: &str, token_env: Option<&str>) -> Result<Map<String, Value>, Error> {
    let Some(http) = &client.http else {
        return Err(Error::NoHttp { title: client.title });
    };
    check_url(url)?;
    let mut entry = Map::new();
    insert_kind(&mut entry, http.kind);
    entry.insert(http.url_key.into(), json!(url));
    let Some(name) = token_env else { return Ok(entry) };
    if !is_name(name) {
        return Err(Error::NotAName { what: "the token's variable" });
    }
    if client.expansion == Expansion::ByName {
        entry.insert("bearer_token_env_var".into(), json!(name));
    } else {
        let value = format!("Bearer {}", reference(client, name));
        entry.insert("headers".into(), json!({ "Authorization": value }));
    }
    Ok(entry)
}

fn insert_kind(entry: &mut Map<String, Value>, kind: Option<&str>) {
    if let Some(kind) = kind {
        entry.insert("type".into(), json!(kind));
    }
}

fn reference(client: &Client, name: &str) -> String {
    match client.expansion {
        Expansion::Braces => format!("${{{name}}}"),
        Expansion::EnvBraces => format!("${{env:{name}}}"),
        Expansion::Dollar => format!("${name}"),
        Expansion::CurlyEnv => format!("{{env:{name}}}"),
        Expansion::ByName | Expansion::None => placeholder(name),
    }
}

/// The variable that `value` refers to; None where it is a plain value that may be written.
fn variable<'a>(name: &str, value: &'a str) -> Result<Option<&'a str>, Error> {
    if !is_name(name) {
        return Err(Error::NotAName { what: "a name in `env`" });
    }
    match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(from) if is_name(from) => Ok(Some(from)),
        Some(_) => Err(Error::NotAName { what: "what stands between `${` and `}` in `env`" }),
        None if !value.is_empty() && is_secret(name) => {
            Err(Error::Secret { name: name.to_owned() })
        }
        None => Ok(None),
    }
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts && name.chars().all(|each| each.is_ascii_alphanumeric() || each == '_')
}

/// Words with which names of secrets end.
const SECRETS: [&str; 8] =
    ["KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PAT", "CREDENTIALS"];

/// By the last word, so that `SYNOD_TOKEN_FILE` and `SYNOD_CHUNK_TOKENS_MAX` may have values.
fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper.rsplit('_').next().is_some_and(|last| SECRETS.contains(&last))
}

/// The first parameter of a URL whose name says that its value is a secret.
pub fn secret_of_url(url: &str) -> Option<&str> {
    let query = url.split('#').next()?.split_once('?')?.1;
    let names = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut full = names.filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    // More than for variables: a warning refuses nothing.
    let secret = |name: &&str| {
        let upper = name.to_ascii_uppercase();
        SECRETS.iter().any(|word| upper.ends_with(word))
    };
    full.find(secret)
}

/// A URL with the path where Synod speaks MCP, where it has no path at all.
pub fn endpoint(url: &str) -> String {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    match host.strip_suffix('/').unwrap_or(host) {
        host if host.is_empty() || host.contains(['/', '?', '#']) => url.to_owned(),
        _ => format!("{}/mcp", url.trim_end_matches('/')),
    }
}

fn check_url(url: &str) -> Result<(), Error> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.filter(|rest| !rest.is_empty()).ok_or(Error::BadUrl)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let odd = |each: char| each.is_whitespace() || each.is_control();
    if host.is_empty() || host.contains('@') || url.contains(odd) {
        return Err(Error::BadUrl);
    }
    Ok(())
}
