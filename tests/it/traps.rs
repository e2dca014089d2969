//! One test per trap of the protocol library and its neighbours that cost others days, in the order
//! in which they were written down (`docs/decisions.md` names them).

use super::faces::{meta, vault};
use super::http::{Reply, post, request};
use super::program::{Client, PATIENCE, ended, outcome, poll, root};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A request to MCP over HTTP, of an older client.
fn mcp(address: SocketAddr, headers: &[(&str, &str)], method: &str, params: Value) -> Reply {
    let mut all = vec![
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    all.extend(headers);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    post(address, "/mcp", &all, &body)
}

fn tools(client: &mut Client) -> Vec<Value> {
    let listed = client.request("tools/list", json!({}));
    listed["result"]["tools"].as_array().expect("tools").clone()
}

/// Calls `each` with every object inside a value.
fn objects(value: &Value, each: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            each(map);
            map.values().for_each(|value| objects(value, each));
        }
        Value::Array(rows) => rows.iter().for_each(|value| objects(value, each)),
        _ => {}
    }
}

#[test]
fn trap_01_lists_are_not_built_on_every_call() {
    // The macros that rebuild a router on each call are not used at all.
    for entry in walk_sources() {
        let text = std::fs::read_to_string(&entry).expect("a source file");
        for name in ["tool_handler", "prompt_handler", "tool_router"] {
            assert!(!text.contains(&format!("#[{name}")), "{} uses {name}", entry.display());
        }
    }
    let place = vault();
    let mut client = place.stdio(&[]);
    assert_eq!(tools(&mut client), tools(&mut client), "byte for byte the same");
}

fn walk_sources() -> Vec<std::path::PathBuf> {
    let walked = synod_index::walk::walk(&root().join("src"), &[]);
    let paths: Vec<_> = walked.files.iter().map(|f| root().join("src").join(&f.path)).collect();
    assert!(paths.len() > 20);
    paths
}

#[test]
fn trap_02_answers_do_not_wait_for_nagle() {
    let place = vault();
    let server = place.http(&[], &[]);
    let quickest = (0..20)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(mcp(server.address, &[], "ping", json!({})).status, 200);
            start.elapsed()
        })
        .min();
    // Nagle's algorithm against delayed acknowledgements costs 40 ms, every time.
    assert!(quickest.is_some_and(|t| t < Duration::from_millis(30)), "{quickest:?}");
}

#[test]
fn trap_03_foreign_origins_and_hosts_are_refused_without_configuration() {
    let place = vault();
    let server = place.http(&[], &[]);
    for header in [("Origin", "https://evil.example"), ("Host", "evil.example")] {
        let refused = mcp(server.address, &[header], "ping", json!({}));
        assert_eq!(refused.status, 403, "{header:?}");
    }
    let own = format!("http://{}", server.address);
    assert_eq!(mcp(server.address, &[("Origin", &own)], "ping", json!({})).status, 200);
}

#[test]
fn trap_04_no_session_is_opened_so_none_is_lost_with_the_process() {
    let place = vault();
    let server = place.http(&[], &[]);
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "tests", "version": "0" },
    });
    let reply = mcp(server.address, &[], "initialize", hello);
    assert_eq!((reply.status, reply.header("mcp-session-id")), (200, None), "{reply:?}");
    // A client that was told another server's session is served all the same.
    let stale = [("Mcp-Session-Id", "from-before-the-restart")];
    let reply = mcp(server.address, &stale, "tools/list", json!({}));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn trap_05_stdio_works_on_files_as_on_pipes() {
    let place = vault();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "tests", "version": "0" },
    }});
    let input = place.write("in", format!("{hello}\n"));
    let output = place.path().join("out");
    let mut command = place.command(&["serve", "--stdio"]);
    command.stdin(std::fs::File::open(input).expect("a file"));
    command.stdout(std::fs::File::create(&output).expect("a file"));
    let mut child = command.spawn().expect("it starts");
    assert!(ended(&mut child, PATIENCE).success());
    let said = std::fs::read_to_string(output).expect("its answer");
    assert!(said.contains("\"serverInfo\""), "{said}");
}

#[test]
fn trap_06_an_end_before_the_handshake_is_no_failure() {
    let place = vault();
    let mut command = place.command(&["serve", "--stdio"]);
    command.stdin(std::process::Stdio::null());
    let (code, stdout, stderr) = outcome(command);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", ""));
}

#[test]
fn trap_07_a_running_call_does_not_hold_up_the_end() {
    let place = vault();
    // No writer comes: the request waits for good.
    let _writer = place.stdio(&[]);
    poll("the writer", PATIENCE, || place.data().join("index/writer.beat").exists().then_some(()));
    let mut client = place.stdio(&["--allow-write"]);
    let call = json!({"name": "ingest", "arguments": {"op": "reindex", "wait": true}});
    client.send(
        &json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": call}).to_string(),
    );
    let start = Instant::now();
    assert!(client.end().success());
    // The library alone drains for five seconds; clients kill after two or three.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn trap_08_schemas_hold_no_format_and_no_nullable_type_that_clients_stumble_over() {
    let place = vault();
    for tool in tools(&mut place.stdio(&[])) {
        objects(&tool, &mut |map| {
            let name = &tool["name"];
            assert!(!map.get("format").is_some_and(Value::is_string), "{name}: {map:?}");
            assert!(!map.get("type").is_some_and(Value::is_array), "{name}: {map:?}");
            assert!(map.get("nullable").is_none(), "{name}: {map:?}");
        });
    }
}

#[test]
fn trap_09_and_10_schemas_stand_alone() {
    let place = vault();
    for tool in tools(&mut place.stdio(&[])) {
        objects(&tool, &mut |map| {
            for key in ["$schema", "$ref", "$defs", "definitions"] {
                assert!(!map.contains_key(key), "{}: {key}", tool["name"]);
            }
        });
    }
}

#[test]
fn trap_11_arguments_and_replies_are_objects() {
    let place = vault();
    for tool in tools(&mut place.stdio(&[])) {
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{}: {schema}", tool["name"]);
        }
    }
}

#[test]
fn trap_12_the_text_of_a_reply_is_not_its_structure_once_more() {
    let place = vault();
    let mut client = place.stdio(&[]);
    for (tool, args) in [
        ("search", json!({"query": "walrus"})),
        ("read", json!({"path": "tide.md"})),
        ("related", json!({"path": "tide.md"})),
        ("index_status", json!({})),
    ] {
        let result = client.call(tool, args);
        let text = result["content"][0]["text"].as_str().expect("a text");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{tool}: {text}");
        assert_eq!(result["content"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn trap_13_lists_carry_what_newer_revisions_ask_for() {
    // The structs of lists are plain, those of results are not: what was forgotten would be absent.
    let place = vault();
    let mut client = place.mute(&[]);
    for method in ["tools/list", "prompts/list", "resources/templates/list"] {
        let listed = client.request(method, json!({"_meta": meta()}));
        let result = &listed["result"];
        assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), "{method}: {result}");
    }
}

#[test]
fn trap_14_numbers_keep_their_ordinary_form() {
    // A dependency that turns arbitrary precision on would change it for the whole tree.
    let number: Value = serde_json::from_str("1.10").expect("a number");
    assert_eq!(number.to_string(), "1.1");
}

#[test]
fn trap_15_a_missing_resource_has_the_code_of_its_revision() {
    let place = vault();
    let gone = json!({"uri": "note://vault/nowhere.md"});
    let legacy = place.stdio(&[]).request("resources/read", gone);
    assert_eq!(legacy["error"]["code"], -32002, "{legacy}");
    let gone = json!({"uri": "note://vault/nowhere.md", "_meta": meta()});
    let modern = place.mute(&[]).request("resources/read", gone);
    assert_eq!(modern["error"]["code"], -32602, "{modern}");
}

#[test]
fn trap_16_what_is_too_large_is_refused_and_not_dropped() {
    let place = vault();
    let server = place.http(&[], &[]);
    let long = json!({"name": "search", "arguments": {"query": "x".repeat(48 << 20)}});
    // The answer must reach a client that is still sending: none may be lost in a reset.
    for _ in 0..3 {
        let refused = mcp(server.address, &[], "tools/call", long.clone());
        assert_eq!(refused.status, 413, "{refused:?}");
        let refused = post(server.address, "/v1/ingest", &[], &long);
        assert_eq!(refused.status, 413, "{refused:?}");
        assert!(refused.body.contains("too_large"), "{refused:?}");
    }
    let mut command = place.command(&["serve", "--stdio"]);
    command.env("SYNOD_LIMITS_LINE_BYTES_MAX", "2000");
    let mut client = Client::of(command);
    client.initialize("2025-11-25");
    client.send(&"x".repeat(3000));
    assert!(client.next()["error"]["code"].is_i64(), "it is answered");
    assert!(client.request("ping", json!({}))["result"].is_object(), "and it lives");
}

#[test]
fn trap_17_the_end_of_a_session_that_never_was_is_refused_with_words() {
    let place = vault();
    let server = place.http(&[], &[]);
    let reply = request(server.address, "DELETE", "/mcp", &[("Mcp-Session-Id", "x")], "");
    assert!((400..500).contains(&reply.status), "{reply:?}");
    assert!(reply.body.contains("error"), "{reply:?}");
}

#[test]
fn trap_18_the_server_asks_its_client_for_nothing() {
    // Without sessions no request of the server could reach a client over HTTP; no tool counts on
    // one on any transport.
    let place = vault();
    let mut client = place.mute(&["--allow-write"]);
    let all = json!({"roots": {}, "sampling": {}, "elicitation": {"form": {}, "url": {}}});
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": all,
        "clientInfo": { "name": "tests", "version": "0" }});
    client.request("initialize", hello);
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    for (n, (tool, args)) in [
        ("search", json!({"query": "walrus"})),
        ("ingest", json!({"op": "remove", "source": "vault", "dry_run": true})),
        ("index_status", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let call = json!({"name": tool, "arguments": args});
        let id = json!(100 + n);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call});
        client.send(&message.to_string());
        let answer = client.next();
        assert_eq!((&answer["id"], answer.get("method")), (&id, None), "{answer}");
    }
    client.close();
    assert!(client.rest().is_empty(), "nothing was left to say");
}
