//! The OpenAPI 3.1 document of the REST routes, derived from the tool table.

use crate::fault;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use synod_tools::{Effect, Entry, Route};

/// The document for the tools that are offered.
pub fn document(tools: &[&'static Entry]) -> Value {
    let mut paths = Map::new();
    for entry in tools {
        for route in entry.routes {
            let path = route.path.replace("{*", "{");
            let method = route.method.to_lowercase();
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[method] = operation(entry, route);
        }
    }
    if tools.iter().any(|entry| entry.name == "job") {
        paths.extend(streams());
    }
    paths.extend(signs());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Synod",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Search and reading over notes and code; the same operations as the MCP tools.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": error_schema() },
        },
        "security": [{}, { "token": [] }],
    })
}

/// The routes that are no operations: what goes on, as it goes on (`stream.rs`, `socket.rs`).
fn streams() -> Map<String, Value> {
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    let after = json!({
        "name": "last_event_id", "in": "query", "required": false,
        "description": "Go on behind this event; `Last-Event-ID` says the same.",
        "schema": { "type": "integer", "minimum": 0 },
    });
    let job = |name: &str| {
        json!({ "get": {
            "operationId": name,
            "summary": "Events of a job",
            "description": "Server-sent events `{type, ts, payload}` until the job has ended (log, \
                            status, progress, result, error, heartbeat and those of heads); the \
                            same as messages to whom asks for a WebSocket.",
            "tags": ["job"],
            "parameters": [id, after],
            "responses": {
                "200": { "description": "Events.", "content": { "text/event-stream": {} } },
                "101": { "description": "A WebSocket." },
                "404": error("The caller has no such job."),
            },
        } })
    };
    let talk = json!({ "get": {
        "operationId": "session_stream",
        "summary": "Ask in a session, over a WebSocket",
        "description": "The client sends `{prompt, heads?, use_all_heads?}`; the server \
                        heads_running, head_complete {head_id, summary}, witness_running, \
                        complete, error.",
        "tags": ["session"],
        "parameters": [id],
        "responses": {
            "101": { "description": "A WebSocket." },
            "404": error("The caller has no such session."),
        },
    } });
    Map::from_iter([
        ("/v1/tasks/{id}/stream".to_owned(), job("task_stream")),
        ("/v1/jobs/{id}/stream".to_owned(), job("job_stream")),
        ("/v1/stream/{id}".to_owned(), job("stream")),
        ("/v1/sessions/{id}/stream".to_owned(), talk),
    ])
}

/// The routes that say how the server does, in plain text.
fn signs() -> Map<String, Value> {
    let sign = |name: &str, summary: &str, open: bool| {
        let text = json!({ "text/plain": { "schema": { "type": "string" } } });
        let mut responses = refusals("GET");
        responses.insert("200".to_owned(), json!({ "description": summary, "content": text }));
        let mut operation = json!({
            "operationId": name, "summary": summary, "tags": ["server"], "parameters": [],
            "responses": responses,
        });
        if open {
            operation["security"] = json!([]);
        }
        (format!("/{name}"), json!({ "get": operation }))
    };
    Map::from_iter([
        sign("health", "Whether the server lives", true),
        sign("ready", "Whether it answers from its index", true),
        sign("metrics", "What it counts, for Prometheus", false),
    ])
}

/// What a route may answer instead: every status that a fault stands for.
fn refusals(method: &str) -> Map<String, Value> {
    let mut texts: BTreeMap<u16, String> = BTreeMap::new();
    for code in fault::CODES {
        // The route has the method, and only what has a body can be over its limit.
        if *code == fault::METHOD || *code == fault::TOO_LARGE && method != "POST" {
            continue;
        }
        let text = texts.entry(code.status).or_default();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(code.meaning);
    }
    texts.into_iter().map(|(status, text)| (status.to_string(), error(&text))).collect()
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message", "hint", "correlation_id"],
            "properties": {
                "code": { "type": "string", "enum": fault::CODES.iter().map(|c| c.name).collect::<Vec<_>>() },
                "message": { "type": "string" },
                "hint": { "type": "string", "description": "What to do next." },
                "correlation_id": { "type": "string" },
                "retry_after_ms": { "type": "integer", "minimum": 0 },
            },
        } },
    })
}

/// A refusal, in the one shape.
fn error(text: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    json!({ "description": text, "content": { "application/json": { "schema": schema } } })
}

fn operation(entry: &Entry, route: &Route) -> Value {
    let input = (entry.input)();
    let mut ok = json!({
        "description": "The tool's structured reply.",
        "content": { "application/json": { "schema": (entry.output)() } },
    });
    if crate::rest::streams(entry, route) {
        ok["content"]["text/event-stream"] = json!({});
    }
    let mut responses = refusals(route.method);
    responses.insert(route.status.to_string(), ok.clone());
    if route.status == 202 {
        responses.insert("200".to_owned(), ok);
    }
    let mut out = json!({
        "operationId": operation_id(entry, route),
        "summary": entry.title,
        "description": (entry.description)(),
        "tags": [entry.name],
        "responses": responses,
    });
    if route.method == "POST" {
        let schema = body(entry, route, input.clone());
        out["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        let key = json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": { "type": "string", "maxLength": 200 },
            "description": "The same key twice is the same request.",
        });
        // What only reads does no more the second time than the first.
        let key = (entry.effect != Effect::Read).then_some(key);
        let all = parameters(&input, route);
        let in_path = all.as_array().into_iter().flatten().filter(|p| p["in"] == "path").cloned();
        out["parameters"] = key.into_iter().chain(in_path).collect();
    } else {
        out["parameters"] = parameters(&input, route);
    }
    out
}

/// The arguments that are for the body to say: all but those of the address, and what this face
/// takes besides or under another name.
fn body(entry: &Entry, route: &Route, mut input: Value) -> Value {
    let free = |name: &str| !says(route, name) && !in_path(route, name);
    if let Some(properties) = input.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| free(name));
        if crate::rest::streams(entry, route) {
            let text = "The answer as it comes, as server-sent events: text {delta}, void (what \
                        came so far counts no more), then complete or error.";
            let stream = json!({ "type": "boolean", "description": text });
            properties.insert("stream".to_owned(), stream);
        }
        // In a session one is prompted; `query` is understood too.
        let query =
            if route.path.ends_with("/prompt") { properties.shift_remove("query") } else { None };
        if let Some(query) = query {
            properties.insert("prompt".to_owned(), query);
        }
    }
    if let Some(required) = input.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name.as_str().is_some_and(free));
    }
    input
}

/// Whether the route itself says an argument.
fn says(route: &Route, name: &str) -> bool {
    route.says.iter().any(|(known, _)| *known == name)
}

/// Whether an argument stands in the route's path.
fn in_path(route: &Route, name: &str) -> bool {
    route.path.contains(&format!("{{{name}}}")) || route.path.contains(&format!("{{*{name}}}"))
}

/// A name for generated clients: letters, digits and underscores.
fn operation_id(entry: &Entry, route: &Route) -> String {
    if std::ptr::eq(&entry.routes[0], route) {
        return entry.name.to_owned();
    }
    let tail = |route: &Route| route.path.trim_start_matches("/v1").trim_start_matches('/');
    let id = match route.says.iter().find(|(name, _)| *name == "op") {
        Some((_, op)) => {
            // Under a second name, as `/v1/tasks` beside `/v1/jobs`, by that name.
            let first = |route: &Route| tail(route).split('/').next();
            let twin = first(route).filter(|name| first(&entry.routes[0]) != Some(*name));
            format!("{}_{op}", twin.unwrap_or(entry.name))
        }
        None => tail(route).replace(['{', '}', '*'], "").replace(['/', '-'], "_"),
    };
    // Beside the one with a version.
    if route.path.starts_with("/v1/") { id } else { format!("{id}_short") }
}

fn parameters(input: &Value, route: &Route) -> Value {
    let required =
        |name: &str| input["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
    let properties = input["properties"].as_object().cloned().unwrap_or_default();
    let asked = properties.into_iter().filter(|(name, _)| !says(route, name));
    let rows = asked.map(|(name, mut schema)| {
        let in_path = in_path(route, &name);
        let description = schema.as_object_mut().and_then(|s| s.remove("description"));
        let object = schema["type"] == "object";
        let schema = if object { json!({ "type": "string" }) } else { schema };
        let mut parameter = json!({
            "name": name,
            "in": if in_path { "path" } else { "query" },
            "required": in_path || required(&name),
            "schema": schema,
        });
        // A null is no text: without words the key is not there.
        if let Some(text) = description {
            parameter["description"] = text;
        }
        parameter
    });
    Value::Array(rows.collect())
}
