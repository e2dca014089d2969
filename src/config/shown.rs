//! Values of the configuration as they may be shown, which people paste elsewhere: without what is
//! secret in them.

use serde_json::Value;

/// The name of a variable of the environment as it may be shown: what is no name may be the secret
/// itself.
pub fn variable(name: &str) -> &str {
    let has = |is: fn(&u8) -> bool| name.bytes().any(|byte| is(&byte));
    let drawn = name.len() >= 20 && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name && !drawn { name } else { "(no name of a variable)" }
}

/// A value as it may be shown: addresses hold secrets too.
pub fn shown(key: &str, value: Value) -> Value {
    match value {
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| shown(key, item)).collect())
        }
        Value::Object(map) => {
            let each = map.into_iter().map(|(key, value)| {
                let value = shown(&key, value);
                (key, value)
            });
            Value::Object(each.collect())
        }
        Value::String(text) => shown_text(key.rsplit('.').next().unwrap_or(key), text).into(),
        other => other,
    }
}

fn shown_text(key: &str, text: String) -> String {
    if key.ends_with("_env") {
        return variable(&text).to_owned();
    }
    if !text.contains("://") {
        return text;
    }
    if key == "webhooks" {
        // Whoever knows the path of one may write there.
        let url = crate::fetch::shown(&text);
        return match url.split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
            Some((_, path)) if !path.is_empty() => {
                format!("{}…", &url[..url.len() - path.len()])
            }
            _ => url,
        };
    }
    if text.contains(['@', '?', '#']) { crate::fetch::shown(&text) } else { text }
}
