//! The OpenAPI 3.1 document of the REST routes, derived from the tool table.

use serde_json::{Map, Value, json};
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

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message", "hint", "correlation_id"],
            "properties": {
                "code": { "type": "string", "enum": crate::fault::CODES.iter().map(|c| c.name).collect::<Vec<_>>() },
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
    let ok = json!({
        "description": "The tool's structured reply.",
        "content": { "application/json": { "schema": (entry.output)() } },
    });
    let mut responses = json!({
        "400": error("An argument does not fit."),
        "401": error("A token is needed."),
        "403": error("The grant does not cover the call."),
        "404": error("Nothing has that name."),
        "409": error("A name is ambiguous."),
        "422": error("It cannot be done."),
        "429": error("Too many calls a second."),
        "500": error("A bug of ours."),
        "503": error("Too many calls are running."),
        "504": error("The deadline passed."),
    });
    responses[route.status.to_string()] = ok.clone();
    if route.status == 202 {
        responses["200"] = ok;
    }
    let mut out = json!({
        "operationId": operation_id(entry, route),
        "summary": entry.title,
        "description": (entry.description)(),
        "tags": [entry.name],
        "responses": responses,
    });
    if route.method == "POST" {
        let schema = body(route, input.clone());
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

/// The arguments that are for the body to say: all but those of the address.
fn body(route: &Route, mut input: Value) -> Value {
    let free = |name: &str| !says(route, name) && !in_path(route, name);
    if let Some(properties) = input.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| free(name));
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

fn operation_id(entry: &Entry, route: &Route) -> String {
    if entry.routes.len() == 1 || std::ptr::eq(&entry.routes[0], route) {
        return entry.name.to_owned();
    }
    if let Some((_, op)) = route.says.iter().find(|(name, _)| *name == "op") {
        // Under a second name, as `/v1/tasks` beside `/v1/jobs`, by that name.
        let first = |route: &Route| route.path.split('/').nth(2);
        let twin = first(route).filter(|name| first(&entry.routes[0]) != Some(*name));
        return format!("{}_{op}", twin.unwrap_or(entry.name));
    }
    route.path.trim_start_matches("/v1/").replace(['/', '-'], "_")
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
