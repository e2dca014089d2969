//! REST: every route of the tool table, one shape of error, nothing of its own.

use crate::dispatch::{Caller, Door};
use crate::fault::{self, Fault};
use crate::http::refuse;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Path, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use synod_tools::{Call, Entry, Route};

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 200;

type Pairs = Vec<(String, String)>;

/// Routes of all offered tools, and the OpenAPI document that describes them.
pub fn routes(door: Arc<Door>) -> Router {
    let mut router = Router::new();
    for entry in door.tools() {
        for route in entry.routes {
            router = router.route(route.path, method(entry, route, Arc::clone(&door)));
        }
    }
    let document = crate::openapi::document(door.tools());
    router.route("/v1/openapi.json", get(move || async move { axum::Json(document) }))
}

fn method(entry: &'static Entry, route: &'static Route, door: Arc<Door>) -> MethodRouter {
    let filter = match route.method {
        "POST" => MethodFilter::POST,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    on(
        filter,
        move |Extension(caller): Extension<Caller>,
              path: Option<Path<HashMap<String, String>>>,
              Query(query): Query<Pairs>,
              headers: HeaderMap,
              body: Bytes| async move {
            let in_path = path.map(|Path(names)| names).unwrap_or_default();
            let of_path = query_args(entry, in_path.into_iter().collect());
            let args = if route.method == "POST" {
                body_args(&headers, &body)
            } else {
                query_args(entry, query)
            };
            let args = of_path.and_then(|of_path| addressed(entry, route, args?, of_path));
            let taken = args.and_then(|args| match streams(entry, route) {
                true => take_stream(args),
                false => Ok((args, false)),
            });
            let (args, stream) = match taken {
                Ok(taken) => taken,
                Err(fault) => return refuse(&fault),
            };
            answer(&door, entry, route, caller, args, &headers, stream).await
        },
    )
}

/// What is shown of an argument that contradicts the address, in bytes.
const SHOWN_BYTES_MAX: usize = 60;

/// Arguments with what the address says. One that says something else is refused: its sender would
/// take what the address does for what was asked.
fn addressed(entry: &Entry, route: &Route, args: Value, of_path: Value) -> Result<Value, Fault> {
    let (Value::Object(mut args), Value::Object(of_path)) = (args, of_path) else {
        return Ok(Value::Null);
    };
    let said = route.says.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    for (name, value) in of_path.into_iter().chain(said) {
        let other = args.get(&name).filter(|given| !given.is_null() && **given != value);
        if let Some(other) = other {
            let (tool, other) = (entry.name, other.to_string());
            let other = synod_tools::head(&other, SHOWN_BYTES_MAX);
            let text = format!("{tool}: `{name}` is {other}, and the address says {value}");
            let hint = "leave it out, or use the address that says it";
            return Err(Fault::new(fault::INVALID, format!("{text}; {hint}")));
        }
        args.insert(name, value);
    }
    Ok(Value::Object(args))
}

/// Whether a route takes `stream`: a matter of this face, and no argument of the tool.
pub fn streams(entry: &Entry, route: &Route) -> bool {
    entry.name == "models" && route.method == "POST"
}

/// The arguments of the tool, and whether the answer is wanted as it comes.
fn take_stream(mut args: Value) -> Result<(Value, bool), Fault> {
    let wanted = args.as_object_mut().and_then(|map| map.shift_remove("stream"));
    match wanted {
        None | Some(Value::Null) => Ok((args, false)),
        Some(Value::Bool(wanted)) => Ok((args, wanted)),
        Some(_) => {
            let text = "models: `stream` is no truth value; send `true` or `false` without quotes";
            Err(Fault::new(fault::INVALID, text))
        }
    }
}

async fn answer(
    door: &Arc<Door>,
    entry: &Entry,
    route: &Route,
    mut caller: Caller,
    args: Value,
    headers: &HeaderMap,
    stream: bool,
) -> Response {
    caller.face = "rest";
    let mut call = Call::silent();
    if let Some(key) = headers.get("idempotency-key") {
        match key.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => {
                call.key = Some(key.to_owned());
            }
            _ => {
                let text = format!("the Idempotency-Key is no text of 1 to {KEY_BYTES_MAX} bytes");
                return refuse(&Fault::new(fault::INVALID, text));
            }
        }
    }
    if stream {
        return crate::stream::infer(Arc::clone(door), caller, args, call).await;
    }
    match door.call(&caller, entry.name, args, call).await {
        Ok(mut answer) => {
            let runs_on =
                matches!(answer.structured["state"].as_str(), Some("pending" | "running"));
            let status = if route.status == 202 && !runs_on { 200 } else { route.status };
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let base = match entry.name {
                "orchestrate" => "/v1/orchestrate",
                _ if route.path.starts_with("/v1/tasks") => "/v1/tasks",
                _ => "/v1/jobs",
            };
            let location = answer.structured["job"].as_str().map(|job| format!("{base}/{job}"));
            // Before the heads have spoken, too: by it they are followed.
            if route.says.contains(&("mode", "heads")) && answer.structured["task_id"].is_null() {
                answer.structured["task_id"] = answer.structured["job"].clone();
            }
            let mut response = (status, axum::Json(answer.structured)).into_response();
            if let Some(value) = location.filter(|_| runs_on).and_then(|l| l.parse().ok()) {
                response.headers_mut().insert(header::LOCATION, value);
            }
            response
        }
        Err(fault) => refuse(&fault),
    }
}

fn body_args(headers: &HeaderMap, body: &Bytes) -> Result<Value, Fault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        let text = "the body is no JSON; send `Content-Type: application/json`";
        return Err(Fault::new(fault::INVALID, text));
    }
    let args: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::new(fault::INVALID, format!("the body does not parse: {error}")))?;
    // What the address says can be added to an object alone, and must not be lost.
    if !args.is_object() {
        let text = "the body is no JSON object; send the arguments as `{…}`, none as `{}`";
        return Err(Fault::new(fault::INVALID, text));
    }
    Ok(args)
}

/// Query parameters as arguments of the types that the tool's schema gives.
fn query_args(entry: &Entry, pairs: Pairs) -> Result<Value, Fault> {
    let schema = (entry.input)();
    let mut args = Map::new();
    for (key, text) in pairs {
        let key = if key == "q" { "query".to_owned() } else { key };
        let property = &schema["properties"][&key];
        let bad = |what: &str| {
            Fault::new(fault::INVALID, format!("{}: `{key}` = `{text}` is no {what}", entry.name))
        };
        let value = match property["type"].as_str() {
            Some("integer") => Value::from(text.parse::<u64>().map_err(|_| bad("whole number"))?),
            // JSON has neither infinity nor what is no number.
            Some("number") => {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                Value::from(number.ok_or_else(|| bad("number"))?)
            }
            Some("boolean") => match text.as_str() {
                "" | "1" | "true" => Value::Bool(true),
                "0" | "false" => Value::Bool(false),
                _ => return Err(bad("truth value")),
            },
            Some("array") => {
                let before = args.remove(&key).unwrap_or_else(|| Value::Array(Vec::new()));
                let commas = COMMA_LISTS.contains(&key.as_str());
                array(before, &text, property, commas).ok_or_else(|| bad("list of that type"))?
            }
            Some("object") => {
                let (name, value) = text.split_once(':').ok_or_else(|| bad("`name:value`"))?;
                let mut map = match args.remove(&key) {
                    Some(Value::Object(map)) => map,
                    _ => Map::new(),
                };
                map.insert(name.to_owned(), value.into());
                Value::Object(map)
            }
            _ => Value::from(text.clone()),
        };
        args.insert(key, value);
    }
    Ok(Value::Object(args))
}

/// Lists of words without commas, which one parameter may hold several of. Others are free text,
/// of which every parameter holds one.
const COMMA_LISTS: &[&str] = &["tags"];

/// One value, or several between commas (numbers also at a dash: `lines=10-40`), added to those
/// before.
fn array(before: Value, text: &str, property: &Value, commas: bool) -> Option<Value> {
    let Value::Array(mut items) = before else { return None };
    let numbers =
        property["items"]["type"] == "integer" || property["prefixItems"][0]["type"] == "integer";
    if numbers {
        for part in text.split([',', '-']) {
            items.push(part.trim().parse::<u64>().ok()?.into());
        }
    } else if commas {
        items.extend(text.split(',').map(|part| Value::from(part.trim())));
    } else {
        items.push(text.into());
    }
    Some(Value::Array(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn query_parameters_take_the_types_of_the_schema() {
        let search = synod_tools::find("search").unwrap();
        let pairs = [
            ("q", "tide"),
            ("limit", "5"),
            ("explain", "true"),
            ("tags", "a,b"),
            ("also", "\"salt, wind\""),
            ("also", "tide"),
            ("where", "owner:Ada"),
        ];
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let args = query_args(search, pairs).unwrap();
        let wanted = json!({"query": "tide", "limit": 5, "explain": true, "tags": ["a", "b"],
            "also": ["\"salt, wind\"", "tide"], "where": {"owner": "Ada"}});
        assert_eq!(args, wanted);
        let read = synod_tools::find("read").unwrap();
        let args = query_args(read, vec![("lines".into(), "10-40".into())]).unwrap();
        assert_eq!(args["lines"], json!([10, 40]));
        let bad = query_args(search, vec![("limit".into(), "ten".into())]).unwrap_err();
        assert!(bad.to_string().contains("`limit`"));
        let orchestrate = synod_tools::find("orchestrate").unwrap();
        let gate = |text: &str| query_args(orchestrate, vec![("gate".into(), text.into())]);
        assert_eq!(gate("0.3").unwrap()["gate"], json!(0.3));
        for odd in ["", "x", "NaN", "inf", "1e999"] {
            assert!(gate(odd).unwrap_err().to_string().contains("is no number"), "{odd}");
        }
    }
}
