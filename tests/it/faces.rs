//! The faces of the real program: stdio, HTTP, REST and the command line.

use crate::chat::Chat;
use crate::http::{self, Reply, get, post, request};
use crate::program::{Client, PATIENCE, Place, Server, ended, poll};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use synod_tools::{Effect, TOOLS};

/// After the end of its input the program has this long.
const EXIT: Duration = Duration::from_secs(2);

/// Versions of the protocol that begin with `initialize`.
const LEGACY: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The version that begins with `server/discover`.
const MODERN: &str = "2026-07-28";

/// A place with an indexed vault; two of its notes share a name.
pub fn vault() -> Place {
    let place = Place::new();
    place.write("vault/tide.md", "# Tide pools\n\nThe walrus counts anemones. See [[crab]].\n");
    place.write("vault/crab.md", "# Crab\n\nCrabs walk sideways.\n");
    place.write("vault/a/same.md", "# One\n\nFirst.\n");
    place.write("vault/b/same.md", "# Two\n\nSecond.\n");
    place.index(&place.path().join("vault"));
    place
}

/// What a request of the modern protocol carries.
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "tests", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A request to MCP over HTTP, of a client of the modern protocol.
fn modern(at: SocketAddr, method: &str, mut params: Value, name: &str) -> Reply {
    params["_meta"] = meta();
    let headers = [
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", method),
        ("Mcp-Name", name),
    ];
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    post(at, "/mcp", &headers, &body)
}

/// A token's secret.
pub fn token(place: &Place, name: &str, scopes: &str) -> String {
    let (code, stdout, stderr) = place.outcome(&["token", "add", name, "--scopes", scopes]);
    assert_eq!(code, 0, "{stderr}");
    format!("Bearer {}", stdout.trim())
}

pub fn with_token(address: SocketAddr, path: &str, bearer: &str) -> Reply {
    request(address, "GET", path, &[("Authorization", bearer)], "")
}

// stdio

#[test]
fn stdout_carries_nothing_but_protocol() {
    let place = vault();
    for args in [&[][..], &["--log", "debug"], &["--log", "trace"]] {
        // `Client::next` fails on a line that does not parse.
        let mut client = place.stdio(args);
        for (method, params) in [
            ("ping", json!({})),
            ("tools/list", json!({})),
            ("tools/call", json!({"name": "search", "arguments": {"query": "walrus"}})),
            ("tools/call", json!({"name": "read", "arguments": {"path": "nowhere.md"}})),
            ("tools/call", json!({"name": "none", "arguments": {}})),
            ("resources/list", json!({})),
            ("resources/read", json!({"uri": "note://vault/tide.md"})),
            ("prompts/list", json!({})),
            ("no/such/method", json!({})),
        ] {
            let answer = client.request(method, params);
            assert_eq!(answer["jsonrpc"], "2.0", "{method}: {answer}");
        }
        client.close();
        for line in client.rest() {
            let message: Value =
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{args:?}: {e}: {line:?}"));
            assert_eq!(message["jsonrpc"], "2.0", "{line}");
        }
        if !args.is_empty() {
            assert!(client.stderr().contains("called"), "nothing was logged at {args:?}");
        }
    }
}

/// From the end of input to the end of the program.
fn leaves(mut client: Client, what: &str) {
    let start = Instant::now();
    client.close();
    let status = ended(&mut client.child, PATIENCE);
    let took = start.elapsed();
    assert_eq!(status.code(), Some(0), "{what}: {}", client.stderr());
    assert!(took < EXIT, "{what}: it took {took:?}");
}

#[test]
fn the_end_of_input_ends_the_program() {
    let place = vault();
    leaves(place.stdio(&[]), "after the handshake");
    let mut client = place.stdio(&[]);
    client.answered("search", json!({"query": "walrus"}));
    leaves(client, "after a call");
    let mut client = place.mute(&[]);
    client.request("server/discover", json!({"_meta": meta()}));
    leaves(client, "after discovery");
    leaves(place.mute(&[]), "before the handshake");
    let mut client = place.mute(&[]);
    client.send("{bad");
    leaves(client, "after rubbish");
    let mut client = place.stdio(&["--allow-write"]);
    // A call that waits for the writer must not hold up the end.
    client.send(
        &json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params":
        {"name": "ingest", "arguments": {"op": "reindex", "wait": true}}})
        .to_string(),
    );
    leaves(client, "during a call");
}

#[test]
fn the_end_of_input_ends_the_program_while_it_indexes() {
    let place = Place::new();
    let text = "tide and moon and shore ".repeat(60);
    for n in 0..6_000 {
        place.write(&format!("vault/n{n}.md"), format!("# Note {n}\n\n{text}\n"));
    }
    let folder = place.path().join("vault").display().to_string();
    let file = place.write("synod.toml", format!("[[source]]\npath = {folder:?}\n"));
    let mut client = place.stdio(&["--config", &file.display().to_string()]);
    poll("the indexing", PATIENCE, || {
        client.answered("index_status", json!({}))["indexing"]["done"].as_u64()
    });
    leaves(client, "during indexing");
    let (code, said, why) = place.outcome(&["doctor"]);
    assert_eq!(code, 0, "{said}{why}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_program_ends_with_its_parent() {
    let place = vault();
    // The test keeps the input open: only the death of the shell can end the program.
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0; \"$0\" serve --stdio <&3 & echo $! >&2; wait"]);
    command.arg(env!("CARGO_BIN_EXE_synod"));
    command.env("SYNOD_DATA", place.data()).env("HOME", place.path().join("home"));
    command.env_remove("SYNOD_CONFIG");
    let mut client = Client::of(command);
    client.initialize("2025-11-25");
    let said = client.stderr();
    let pid: u32 = said.lines().next().and_then(|l| l.parse().ok()).expect("a process id");
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie has ended; who reaps it is not this program's business.
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.contains(" Z "))
    };
    assert!(alive(), "it was not there: {said}");
    client.child.kill().expect("killed");
    ended(&mut client.child, PATIENCE);
    poll("its end after its parent's", Duration::from_secs(10), || (!alive()).then_some(()));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_program_with_its_ledger_written() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = vault();
    let own = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = own.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    let mask = u64::from_str_radix(ignored.trim(), 16).unwrap_or(0);
    let mut signals = vec![Signal::TERM, Signal::INT];
    // Where the tests outlive their terminal (`nohup`), what they start does too.
    if mask & 1 == 0 {
        signals.push(Signal::HUP);
    }
    for (n, signal) in signals.into_iter().enumerate() {
        let mut client = place.stdio(&[]);
        client.answered("search", json!({"query": "walrus"}));
        kill_process(Pid::from_child(&client.child), signal).expect("a signal");
        let status = ended(&mut client.child, PATIENCE);
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", client.stderr());
        let (_, rows, _) = place.outcome(&["ledger", "--json", "--action", "search"]);
        let rows: Value = serde_json::from_str(&rows).expect("JSON");
        assert_eq!(rows["rows"].as_array().map(Vec::len), Some(n + 1), "{signal:?}: {rows}");
    }
}

#[test]
fn every_version_of_the_protocol_is_spoken() {
    let place = vault();
    for version in LEGACY {
        let mut client = place.mute(&[]);
        let hello = client.initialize(version);
        assert_eq!(hello["protocolVersion"], *version, "{hello}");
        assert_eq!(hello["serverInfo"]["name"], "synod");
        assert!(hello["instructions"].is_string(), "{hello}");
        let found = client.answered("search", json!({"query": "walrus"}));
        assert_eq!(found["hits"][0]["path"], "tide.md", "{version}: {found}");
    }
    for newer in [MODERN, "2099-01-01"] {
        let hello = place.mute(&[]).initialize(newer);
        assert_eq!(hello["protocolVersion"], "2025-11-25", "initialize with {newer}: {hello}");
    }
}

#[test]
fn the_modern_protocol_is_spoken_without_a_handshake() {
    let place = vault();
    let mut client = place.mute(&[]);
    let found = client.request("server/discover", json!({"_meta": meta()}));
    let versions = found["result"]["supportedVersions"].to_string();
    assert!(versions.contains(MODERN), "{found}");
    assert!(found["result"]["capabilities"]["tools"].is_object(), "{found}");
    let listed = client.request("tools/list", json!({"_meta": meta()}));
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(TOOLS.len()), "{listed}");
    let called = client.request(
        "tools/call",
        json!({"name": "search", "arguments": {"query": "walrus"}, "_meta": meta()}),
    );
    assert_eq!(called["result"]["structuredContent"]["hits"][0]["path"], "tide.md", "{called}");
    // A first request without discovery is as good.
    let mut client = place.mute(&[]);
    let listed = client.request("tools/list", json!({"_meta": meta()}));
    assert!(listed["result"]["tools"].is_array(), "{listed}");
}

#[test]
fn what_is_no_request_is_left_out_before_the_first_one() {
    let place = vault();
    let mut client = place.mute(&[]);
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    client.send(r#"{"jsonrpc":"2.0","method":"$/setTrace","params":{"value":"off"}}"#);
    client.send(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#);
    // A client that gives its probe up, and falls back to the older protocol.
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled",
        "params":{"requestId":1,"reason":"timeout"}}"#;
    let cancelled = cancelled.replace('\n', " ");
    client.request("server/discover", json!({"_meta": meta()}));
    client.send(&cancelled);
    // No beginning either: it names no version.
    let refused = client.request("tools/list", json!({}));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    client.send(&cancelled);
    client.initialize("2025-11-25");
    client.answered("search", json!({"query": "walrus"}));
}

#[test]
fn parameters_that_do_not_fit_make_no_method_unknown() {
    let place = vault();
    let complete = json!({"ref": {"type": "x"}, "argument": {"name": "vault", "value": ""}});
    let mut client = place.stdio(&[]);
    for (method, params, word) in [
        ("tools/call", json!({"arguments": {}}), "`name`"),
        ("resources/read", json!({"uri": 5}), "`uri`"),
        ("prompts/get", json!({"name": "daily_brief", "arguments": "x"}), "`arguments`"),
        ("completion/complete", complete.clone(), "`ref`"),
        ("tasks/get", json!({}), "`taskId`"),
    ] {
        let answer = client.request(method, params);
        assert_eq!(answer["error"]["code"], -32602, "{method}: {answer}");
        let why = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(why.contains(method) && why.contains(word), "{answer}");
    }
    // Not of this protocol version, whatever it takes.
    let answer = client.request("subscriptions/listen", json!({}));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    // Models write these: they are told.
    for arguments in [json!("{\"query\": \"walrus\"}"), json!([1])] {
        let why = client.refused("search", arguments);
        assert!(why.contains("`arguments`") && why.contains("an object"), "{why}");
    }
    let server = place.http(&[], &[]);
    let reply = modern(server.address, "completion/complete", complete, "");
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (200, &json!(-32602)), "{reply:?}");
    let call = json!({"name": "search", "arguments": [1]});
    let reply = modern(server.address, "tools/call", call, "search");
    let result = &reply.json()["result"];
    assert_eq!((&result["isError"], &result["resultType"]), (&json!(true), &json!("complete")));
}

#[test]
fn the_legacy_stream_survives_an_early_notification() {
    let place = vault();
    let server = place.http(&[], &[]);
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let head = format!("GET /sse HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).expect("sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    let endpoint = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    let endpoint = endpoint.expect("where to post");
    let early = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": { "name": "tests", "version": "0" },
    }});
    for message in [early, hello] {
        assert_eq!(post(server.address, &endpoint, &[], &message).status, 202, "{message}");
    }
    let answer = lines.find(|line| line.starts_with("data: ")).expect("an answer");
    assert!(answer.contains("\"serverInfo\""), "{answer}");
}

#[test]
fn request_ids_come_back_as_they_were() {
    let place = vault();
    let mut client = place.stdio(&[]);
    for id in [
        json!("text"),
        json!("7"),
        json!(0),
        json!(7),
        json!(9_007_199_254_740_991_i64),
        json!("ünï 🦀"),
        json!(""),
    ] {
        let answer = client.request_as(id.clone(), "ping", json!({}));
        assert_eq!(answer["id"], id);
        assert!(answer["result"].is_object(), "{answer}");
    }
}

#[test]
fn read_only_mode_hides_what_writes() {
    let place = vault();
    for flags in [&["--read-only"][..], &["--read-only", "--allow-write"]] {
        let mut client = place.stdio(flags);
        let listed = client.request("tools/list", json!({}))["result"]["tools"].clone();
        assert!(!listed.to_string().contains("\"name\":\"ingest\""), "{listed}");
        let answer = client.request("tools/call", json!({"name": "ingest", "arguments": {}}));
        let why = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(why.contains("read-only"), "{answer}");
        let server = place.http(flags, &[]);
        let reply = post(server.address, "/v1/ingest", &[], &json!({}));
        assert_eq!(reply.status, 404, "{reply:?}");
        let api = get(server.address, "/v1/openapi.json").json();
        assert!(api["paths"]["/v1/ingest"].is_null() && api["paths"]["/v1/search"].is_object());
    }
    let (code, _, _) = place.outcome(&["--read-only", "call", "ingest", "{}"]);
    assert_eq!(code, 1);
    // What reads is not there because it is hidden, and that is all that is said of it.
    let hiding = place.write("hiding.toml", "[access]\nhidden_tools = [\"related\"]\n");
    let mut client = place.stdio(&["--read-only", "--config", &hiding.to_string_lossy()]);
    let answer = client.request("tools/call", json!({"name": "related", "arguments": {}}));
    let why = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("no tool `related`") && !why.contains("read-only"), "{answer}");
}

#[test]
fn without_a_queue_a_call_that_need_not_wait_is_answered() {
    let place = vault();
    let config = place.write("none.toml", "[limits]\nqueue_max = 0\n");
    let mut client = place.stdio(&["--config", &config.to_string_lossy()]);
    let found = client.answered("search", json!({"query": "walrus"}));
    assert_eq!(found["hits"][0]["path"], "tide.md", "{found}");
}

#[test]
fn read_only_mode_binds_the_command_line_too() {
    let place = vault();
    place.write("more/a.md", "# More\n");
    let more = place.path().join("more").display().to_string();
    let config = place.write("ro.toml", "[access]\nread_only = true\n");
    let config = config.display().to_string();
    for mode in [&["--read-only"][..], &["--config", &config]] {
        for args in [
            &["index", &more][..],
            &["index", "--remove", "vault"],
            &["up", &more],
            &["token", "add", "x"],
            &["token", "revoke", "x"],
            &["import", "x.zip"],
            &["doctor", "--repair"],
            &["model", "rollback"],
            &["init"],
        ] {
            let (code, said, why) = place.outcome(&[mode, args].concat());
            assert_eq!((code, said.as_str()), (1, ""), "{mode:?} {args:?}: {why}");
            assert!(why.contains("read-only"), "{mode:?} {args:?}: {why}");
        }
        let (code, _, why) = place.outcome(&[mode, &["search", "walrus"]].concat());
        assert_eq!(code, 0, "{mode:?}: {why}");
    }
    let status = place.call("index_status", json!({}));
    assert_eq!(status["sources"].as_array().map(Vec::len), Some(1), "{status}");
    let (_, tokens, _) = place.outcome(&["token", "list"]);
    assert_eq!(tokens, "", "no token was made");
    // Who read what is in the ledger nonetheless.
    let (_, rows, _) = place.outcome(&["ledger", "--action", "search"]);
    assert_eq!(rows.lines().count(), 2, "{rows}");
    let file = place.path().join("client.json").display().to_string();
    let args = ["--read-only", "client-config", "cursor", "--write", "--file", &file];
    assert_eq!(place.outcome(&args).0, 0);
    let written = std::fs::read_to_string(&file).expect("written");
    assert!(written.contains("--read-only"), "{written}");
}

// HTTP and REST

#[test]
fn every_route_answers() {
    let place = vault();
    let server = place.http(&[], &[]);
    let at = server.address;
    for route in ["/v1/search?query", "/v1/context/search?q", "/context/search?q"] {
        let path = &format!("{route}=walrus");
        let reply = get(at, path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.json()["hits"][0]["path"], "tide.md", "{path}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
    }
    let reply = get(at, "/v1/search?q=walrus&limit=1&explain=true&tags=&detail=names&mode=lexical");
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = get(at, "/v1/documents/tide.md?lines=1-1");
    assert_eq!((reply.status, reply.json()["lines"].clone()), (200, json!([1, 1])), "{reply:?}");
    let reply = get(at, "/v1/documents/a/same.md");
    assert_eq!(reply.json()["path"], "a/same.md", "{reply:?}");
    let reply = get(at, "/v1/related?path=tide.md");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains("crab.md"), "{reply:?}");
    let reply = get(at, "/v1/index");
    assert_eq!((reply.status, reply.json()["documents"].clone()), (200, json!(4)), "{reply:?}");
    for (path, word) in [("/health", "ok"), ("/ready", "ready")] {
        let reply = get(at, path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(reply.body.contains(word), "{path}: {reply:?}");
    }
    let metrics = get(at, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("synod_calls_total{tool=\"search\"} 4\n"), "{}", metrics.body);
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_request_that_runs_on_says_where_to_look() {
    let place = vault();
    let server = place.http(&["--allow-write"], &[]);
    let at = server.address;
    let dry = post(at, "/v1/ingest", &[], &json!({"op": "reindex", "dry_run": true}));
    assert_eq!(dry.status, 200, "{dry:?}");
    assert!(dry.json()["job"].is_null() && dry.header("location").is_none(), "{dry:?}");
    let runs = post(at, "/v1/ingest", &[], &json!({"op": "reindex"}));
    assert_eq!(runs.status, 202, "{runs:?}");
    let job = runs.json()["job"].as_str().expect("a job").to_owned();
    let place_of = runs.header("location").expect("a Location").to_owned();
    assert!(place_of.contains(&job), "{place_of}");
    let looked = get(at, &place_of);
    assert_eq!(looked.status, 200, "Location `{place_of}` does not answer: {looked:?}");
    assert!(looked.body.contains(&job), "Location says nothing of the job: {looked:?}");
    let waited = post(at, "/v1/ingest", &[], &json!({"op": "reindex", "wait": true}));
    assert_eq!((waited.status, waited.json()["state"].clone()), (200, json!("succeeded")));
}

#[test]
fn the_same_key_is_the_same_request() {
    let place = vault();
    let server = place.http(&["--allow-write"], &[]);
    let send = |key: &str, content: &str| {
        let body = json!({"op": "push", "path": "x.md", "content": content});
        post(server.address, "/v1/ingest", &[("Idempotency-Key", key)], &body)
    };
    let first = send("one", "# Pushed\n\nnarwhal\n");
    assert_eq!(first.status, 202, "{first:?}");
    let job = |reply: &Reply| reply.json()["job"].as_str().expect("a job").to_owned();
    let again = send("one", "# Pushed\n\nnarwhal\n");
    assert_eq!(job(&first), job(&again));
    assert_ne!(job(&first), job(&send("two", "# Pushed\n\nnarwhal\n")));
    poll("the pushed note", PATIENCE, || {
        get(server.address, "/v1/search?q=narwhal").body.contains("x.md").then_some(())
    });
    assert_eq!(job(&first), job(&send("one", "# Pushed\n\nnarwhal\n")), "after its end");
    let long = "k".repeat(300);
    let reply = send(&long, "x");
    assert_eq!((reply.status, reply.fault().as_str()), (400, "invalid_argument"));
    let other = send("one", "another text");
    other.fault();
    assert_eq!(other.status, 409, "a key of another request is a conflict: {other:?}");
}

#[test]
fn the_description_of_rest_is_whole() {
    let place = Place::new();
    let server = place.http(&[], &[]);
    let api = get(server.address, "/v1/openapi.json").json();
    assert_eq!(api["openapi"], "3.1.0");
    assert!(api["info"]["title"].is_string() && api["info"]["version"].is_string());
    let paths = api["paths"].as_object().expect("paths");
    let mut wanted = BTreeSet::new();
    for (entry, route) in TOOLS.iter().flat_map(|e| e.routes.iter().map(move |r| (e, r))) {
        let path = route.path.replace("{*", "{");
        let method = route.method.to_lowercase();
        let operation = &paths.get(&path).unwrap_or_else(|| panic!("no {path}"))[&method];
        let status = route.status.to_string();
        assert!(operation["responses"][&status].is_object(), "{method} {path} has no {status}");
        let keyed = operation["parameters"].to_string().contains("\"Idempotency-Key\"");
        let does = entry.effect != Effect::Read && route.method == "POST";
        assert_eq!(keyed, does, "{method} {path}");
        wanted.insert((path, method));
    }
    let mut ids = BTreeSet::new();
    // What goes on is shown beside the operations.
    for path in ["tasks/{id}", "jobs/{id}", "sessions/{id}"] {
        wanted.insert((format!("/v1/{path}/stream"), "get".to_owned()));
    }
    for path in ["/v1/stream/{id}", "/health", "/ready", "/metrics"] {
        wanted.insert((path.to_owned(), "get".to_owned()));
    }
    let mut found = BTreeSet::new();
    for (path, item) in paths {
        assert!(path.starts_with('/'), "{path}");
        for (method, operation) in item.as_object().expect("a path item") {
            operation_is_sound(path, method, operation);
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id.clone()), "two operations `{id}`");
            let plain = id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(plain, "no generated client has a function `{id}`");
            found.insert((path.clone(), method.clone()));
        }
    }
    assert_eq!(found, wanted);
    // What this face takes and gives beside the tools' own.
    let of = |path: &str| {
        let content = &paths[path]["post"]["requestBody"]["content"];
        content["application/json"]["schema"]["properties"].clone()
    };
    assert!(of("/v1/sessions/{session}/prompt")["prompt"].is_object());
    assert_eq!(of("/llm/infer")["stream"]["type"], "boolean");
    assert!(of("/v1/orchestrate")["stream"].is_null());
    let ask = &paths["/v1/orchestrate"]["post"]["responses"];
    for status in ["413", "502", "507"] {
        assert!(ask[status].is_object(), "no {status}");
    }
    let text = api.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().expect("a pointer");
        assert!(api.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}

fn operation_is_sound(path: &str, method: &str, operation: &Value) {
    let at = format!("{method} {path}");
    for (status, response) in operation["responses"].as_object().expect("responses") {
        assert!(status.parse::<u16>().is_ok_and(|s| (100..600).contains(&s)), "{at}: {status}");
        assert!(response["description"].is_string(), "{at} {status}");
        let content = &response["content"];
        let streamed = status == "101" || content["text/event-stream"].is_object();
        let json = content["application/json"]["schema"].is_object();
        let text = content["text/plain"]["schema"].is_object();
        assert!(
            json || text && !path.starts_with("/v1/") || streamed && path.contains("stream"),
            "{at} {status}"
        );
    }
    let parameters = operation["parameters"].as_array().expect("parameters");
    let mut names = BTreeSet::new();
    for parameter in parameters {
        let name = parameter["name"].as_str().expect("a name");
        assert!(names.insert(name), "{at}: `{name}` twice");
        assert!(parameter["schema"].is_object(), "{at}: {name}");
        let said = parameter.get("description").is_none_or(Value::is_string);
        assert!(said, "{at}: {name} has a description that is no text");
        let in_path = parameter["in"] == "path";
        assert_eq!(in_path, path.contains(&format!("{{{name}}}")), "{at}: {name}");
        assert!(!in_path || parameter["required"] == true, "{at}: {name}");
    }
    for part in path.split('{').skip(1) {
        let name = part.split('}').next().expect("a name");
        assert!(names.contains(name), "{at}: `{name}` is not declared");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(method == "post", body.is_object(), "{at}");
}

#[test]
fn failures_have_one_shape() {
    let place = vault();
    let server = place.http(&[], &[("SYNOD_SERVER_BODY_BYTES_MAX", "1024")]);
    let at = server.address;
    let mut wrong = Vec::new();
    let mut check = |what: &str, status: u16, reply: Reply| {
        let error = serde_json::from_str::<Value>(&reply.body).unwrap_or_default()["error"].clone();
        let shaped = ["code", "message", "hint", "correlation_id"];
        if reply.status != status || !shaped.iter().all(|key| error[key].is_string()) {
            wrong.push(format!("{what}: wanted {status}: {reply:?}"));
        }
    };
    check("no query", 400, get(at, "/v1/search"));
    check("a wrong number", 400, get(at, "/v1/search?q=x&limit=ten"));
    check("out of bounds", 400, get(at, "/v1/search?q=x&limit=201"));
    check("an unknown argument", 400, get(at, "/v1/search?q=x&colour=red"));
    check("a path that leaves", 400, get(at, "/v1/documents/..%2fsecret.md"));
    check("no such document", 404, get(at, "/v1/documents/nowhere.md"));
    check("bytes that are no text", 400, get(at, "/v1/documents/%ff.md"));
    check("an ambiguous name", 409, get(at, "/v1/documents/same.md"));
    check("no such route", 404, get(at, "/v1/nowhere"));
    check("no such route below v1", 404, get(at, "/v2/search"));
    check("another method", 405, request(at, "DELETE", "/v1/search", &[], ""));
    check("no JSON", 400, request(at, "POST", "/v1/ingest", &[], "{}"));
    let json = [("Content-Type", "application/json")];
    check("broken JSON", 400, request(at, "POST", "/v1/ingest", &json, "{bad"));
    // Nothing is no object either: what the address says would be lost with it.
    for body in ["[1]", "null", "\"x\"", "1"] {
        for path in ["/v1/ingest", "/v1/sessions", "/v1/tasks", "/v1/llm/infer"] {
            check(
                &format!("no object: {path} {body}"),
                400,
                request(at, "POST", path, &json, body),
            );
        }
    }
    let remove = json!({"op": "remove", "source": "vault"});
    check("no scope", 403, post(at, "/v1/ingest", &[], &remove));
    let large = json!({"op": "push", "path": "x.md", "content": "x".repeat(4_096)});
    check("a large body", 413, post(at, "/v1/ingest", &[], &large));
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The server lives.
    assert_eq!(get(at, "/v1/search?q=walrus").status, 200);
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let place = vault();
    let server = place.http(&["--allow-write"], &[("SYNOD_SERVER_BODY_BYTES_MAX", "1024")]);
    let filler = "x".repeat(4_096);
    let accept = [("Accept", "application/json, text/event-stream")];
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "search", "arguments": {"query": filler}}});
    assert_eq!(post(server.address, "/mcp", &accept, &call).status, 413);
    let push = json!({"op": "push", "path": "x.md", "content": filler});
    assert_eq!(post(server.address, "/v1/ingest", &[], &push).status, 413);
    let small = json!({"op": "push", "path": "x.md", "content": "small"});
    assert_eq!(post(server.address, "/v1/ingest", &[], &small).status, 202);
}

#[test]
fn mcp_is_served_over_http() {
    let place = vault();
    let server = place.http(&[], &[]);
    let accept = ("Accept", "application/json, text/event-stream");
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "tests", "version": "0"}}});
    let reply = post(server.address, "/mcp", &[accept], &hello);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["result"]["protocolVersion"], "2025-11-25", "{reply:?}");
    // Nothing can be sent behind an answer: subscriptions are for stdio and the newer protocol.
    let resources = &reply.json()["result"]["capabilities"]["resources"];
    assert!(resources.is_object() && resources["subscribe"].is_null(), "{reply:?}");
    let modern = [
        accept,
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "search"),
    ];
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "search", "arguments": {"query": "walrus"}, "_meta": meta()}});
    let reply = post(server.address, "/mcp", &modern, &call);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains("tide.md"), "{reply:?}");
}

#[cfg(unix)]
#[test]
fn who_shows_no_token_keeps_nobody_out() {
    let place = vault();
    let reader = token(&place, "reader", "read:context");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 128; exec \"$0\" serve --http 127.0.0.1:0"]);
    command.arg(env!("CARGO_BIN_EXE_synod"));
    command.env("SYNOD_DATA", place.data()).env("HOME", place.path().join("home"));
    command.env_remove("SYNOD_CONFIG").env("SYNOD_ACCESS_REQUIRE_TOKEN", "1");
    let server = Server::of(command);
    let half = |_| {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(b"GET /v1/index HTTP/1.1\r\n").expect("sent");
        stream
    };
    let held: Vec<TcpStream> = (0..200).map(half).collect();
    let reply = with_token(server.address, "/v1/search?q=walrus", &reader);
    assert_eq!(reply.status, 200, "{reply:?}");
    // The first had to give its place to others; the last has had its time in ten seconds.
    for mut stream in [&held[0], &held[199]] {
        match stream.read(&mut [0; 64]) {
            Ok(n) => assert_eq!(n, 0, "half a request is not answered"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

#[test]
fn tokens_are_needed_scoped_and_revoked() {
    let place = vault();
    let reader = token(&place, "reader", "read:context");
    let jobs = token(&place, "jobs", "read:jobs");
    let writer = token(&place, "writer", "read:context,write:context");
    let server = place.http(&[], &[("SYNOD_ACCESS_REQUIRE_TOKEN", "1")]);
    let at = server.address;
    for path in ["/v1/search?q=walrus", "/v1/index", "/metrics", "/v1/openapi.json", "/mcp", "/sse"]
    {
        let reply = get(at, path);
        assert_eq!(reply.status, 401, "{path}: {reply:?}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{path}");
        assert_eq!(reply.fault(), "unauthenticated");
    }
    // The page's own files hold no data: it asks its reader for a token.
    for path in ["/health", "/ready", "/", "/app.js"] {
        assert_eq!(get(at, path).status, 200, "{path}");
    }
    assert_eq!(with_token(at, "/v1/search?q=walrus", &reader).status, 200);
    let lower = reader.replace("Bearer", "bearer");
    assert_eq!(with_token(at, "/v1/search?q=walrus", &lower).status, 200);
    for bad in ["Bearer nonsense", "Bearer ", "Basic eDp5", "nonsense"] {
        assert_eq!(with_token(at, "/v1/search?q=walrus", bad).status, 401, "{bad}");
    }
    let refused = with_token(at, "/v1/search?q=walrus", &jobs);
    assert_eq!((refused.status, refused.fault().as_str()), (403, "forbidden"));
    let push = json!({"op": "push", "path": "x.md", "content": "x"});
    let send = |bearer: &str| post(at, "/v1/ingest", &[("Authorization", bearer)], &push);
    assert_eq!(send(&reader).status, 403);
    assert_eq!(send(&writer).status, 202);
    assert_eq!(place.outcome(&["token", "revoke", "reader"]).0, 0);
    let revoked = with_token(at, "/v1/search?q=walrus", &reader);
    assert_eq!((revoked.status, revoked.fault().as_str()), (401, "unauthenticated"));
    assert_eq!(with_token(at, "/v1/search?q=walrus", &writer).status, 200);
    // No secret is kept or logged.
    let secret = writer.trim_start_matches("Bearer ");
    assert!(!server.stderr().contains(secret));
    let state = std::fs::read(place.data().join("state.db")).expect("the store");
    assert!(!state.windows(secret.len()).any(|part| part == secret.as_bytes()));
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let place = vault();
    let reader = token(&place, "reader", "read:context");
    let server = Server::of(place.command(&["serve", "--http", "0.0.0.0:0"]));
    let at = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    assert_eq!(get(at, "/v1/search?q=walrus").status, 401);
    assert_eq!(get(at, "/metrics").status, 401);
    assert_eq!(get(at, "/health").status, 200);
    assert_eq!(with_token(at, "/v1/search?q=walrus", &reader).status, 200);
    assert!(server.stderr().contains("token"), "{}", server.stderr());
}

#[test]
fn too_many_calls_of_a_token_wait() {
    let place = vault();
    let reader = token(&place, "reader", "read:context");
    let server = place.http(&[], &[("SYNOD_LIMITS_CALLS_PER_SECOND", "1")]);
    let replies: Vec<Reply> =
        (0..20).map(|_| with_token(server.address, "/v1/index", &reader)).collect();
    let limited = replies.iter().find(|reply| reply.status == 429).expect("a limit");
    assert_eq!(limited.fault(), "rate_limited");
    assert!(limited.header("retry-after").is_some_and(|s| s.parse::<u64>().is_ok()));
    assert!(limited.json()["error"]["retry_after_ms"].is_u64());
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let place = vault();
    let server = place.http(&[], &[("SYNOD_SERVER_ALLOWED_ORIGINS", "https://notes.example")]);
    let at = server.address;
    let port = at.port();
    for path in ["/v1/search?q=walrus", "/mcp", "/", "/health", "/sse", "/nowhere"] {
        for host in
            ["evil.example", "127.0.0.1.evil.example", "192.168.0.9", "127.0.0.1@evil", "[::2]"]
        {
            let reply = request(at, "GET", path, &[("Host", host)], "");
            assert_eq!(reply.status, 403, "{path} of {host}: {reply:?}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "file://",
            "https://notes.example.evil",
            "http://127.0.0.1:80@evil.example",
        ] {
            let reply = request(at, "GET", path, &[("Origin", origin)], "");
            assert_eq!(reply.status, 403, "{path} from {origin}: {reply:?}");
            assert!(reply.header("access-control-allow-origin").is_none(), "{reply:?}");
        }
    }
    let reply = request(at, "GET", "/health", &[("Host", "")], "");
    assert!(matches!(reply.status, 400 | 403), "no Host: {reply:?}");
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        let host = format!("{name}:{port}");
        let reply = request(at, "GET", "/v1/search?q=walrus", &[("Host", &host)], "");
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
}

#[test]
fn an_allowed_origin_is_echoed_and_never_a_wildcard() {
    let place = vault();
    let origin = "https://notes.example";
    let server = place.http(&[], &[("SYNOD_SERVER_ALLOWED_ORIGINS", origin)]);
    let at = server.address;
    let ask = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    for path in ["/v1/ingest", "/mcp", "/v1/search"] {
        let reply = request(at, "OPTIONS", path, &ask, "");
        assert!(matches!(reply.status, 200 | 204), "{path}: {reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some(origin), "{path}");
        assert!(reply.header("vary").is_some_and(|v| v.to_lowercase().contains("origin")));
        let headers = reply.header("access-control-allow-headers").unwrap_or_default();
        // A page that is traced sends its context with every request.
        for wanted in ["authorization", "content-type", "traceparent", "tracestate"] {
            assert!(headers.contains(wanted), "{wanted}: {headers}");
        }
        let methods = reply.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains("POST"), "{methods}");
        assert!(!reply.headers.iter().any(|(_, value)| value == "*"), "{reply:?}");
    }
    let reply = request(at, "GET", "/v1/search?q=walrus", &[("Origin", origin)], "");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(origin)));
    assert!(get(at, "/health").header("access-control-allow-origin").is_none());
}

// The command line

#[test]
fn exit_codes_are_0_1_and_2() {
    let place = vault();
    place.write("bad.toml", "[server]\nhtpt = \"x\"\n");
    let bad = place.path().join("bad.toml");
    let bad = bad.to_string_lossy();
    let read_nothing = ["call", "read", r#"{"path": "nowhere.md"}"#];
    for (code, args) in [
        (0, &["--version"][..]),
        (0, &["--help"]),
        (0, &["call", "search", "--help"]),
        (0, &["config"]),
        (0, &["config", "--json"]),
        (0, &["config", "--example"]),
        (0, &["search", "walrus"]),
        (0, &["search", "walrus", "--json"]),
        (0, &["read", "tide.md"]),
        (0, &["call", "index_status"]),
        (0, &["call", "search", r#"{"query": "x"}"#, "--text"]),
        (0, &["doctor"]),
        (0, &["token", "list"]),
        (0, &["client-config"]),
        (0, &["completions", "bash"]),
        (0, &["man"]),
        (0, &["doc", "docs/reference/tools.md"]),
        (1, &["read", "nowhere.md"]),
        (1, &read_nothing),
        (1, &["call", "search", "{}"]),
        (1, &["call", "search", r#"{"query": "x", "limit": 0}"#]),
        (1, &["token", "revoke", "x"]),
        (1, &["token", "add", "x", "--scopes", "read:minds"]),
        (1, &["--config", &bad, "config"]),
        (1, &["index", "/no/such/folder"]),
        (1, &["serve", "--http", "no address"]),
        (1, &["doc", "nothing"]),
        (1, &["client-config", "no-such-client"]),
        (2, &[]),
        (2, &["no-such-command"]),
        (2, &["search"]),
        (2, &["search", "x", "--nope"]),
        (2, &["search", "x", "--limit", "ten"]),
        (2, &["call"]),
        (2, &["call", "no_such_tool"]),
        (2, &["serve", "--stdio", "--http", "127.0.0.1:0"]),
        (2, &["completions", "klingon"]),
    ] {
        let (found, stdout, stderr) = place.outcome(args);
        assert_eq!(found, code, "synod {}: {stdout}{stderr}", args.join(" "));
        if code == 0 {
            assert!(!stdout.is_empty() || args[0] == "token", "synod {}: silence", args.join(" "));
        } else {
            assert!(stdout.is_empty() && stderr.len() > 10, "synod {}: {stdout}", args.join(" "));
        }
    }
}

#[test]
fn up_indexes_serves_and_says_where() {
    let place = Place::new();
    place.write("vault/tide.md", "# Tide pools\n\nThe walrus counts anemones.\n");
    let folder = place.path().join("vault");
    let mut server = Server::of(place.command(&[
        "up",
        &folder.to_string_lossy(),
        "--http",
        "127.0.0.1:0",
        "--lexical-only",
    ]));
    let at = server.address;
    poll("what to do next", PATIENCE, || server.stdout().contains("Stop:").then_some(()));
    let said = server.stdout();
    assert!(said.contains(&format!("http://{at}/\n")), "no URL: {said}");
    assert!(said.contains(&format!("http://{at}/mcp")), "no MCP URL: {said}");
    assert!(said.contains("mcpServers") && said.contains("1 documents"), "{said}");
    let page = get(at, "/");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.header("content-security-policy").is_some(), "{page:?}");
    assert!(page.body.contains("<title>Synod"), "{}", page.body);
    for part in ["/app.js", "/style.css"] {
        assert_eq!(get(at, part).status, 200, "{part}");
    }
    assert_eq!(get(at, "/v1/search?q=walrus").json()["hits"][0]["path"], "tide.md");
    stop(&mut server);
}

/// A polite end, which is no failure.
fn stop(server: &mut Server) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&server.child), Signal::TERM).expect("a signal");
        let status = ended(&mut server.child, Duration::from_secs(10));
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
    }
}

/// The lines of a stream that listens to a note, from the first on; `headers` with their line ends.
fn listened(at: SocketAddr, headers: &str) -> impl Iterator<Item = String> {
    let notifications = json!({"resourceSubscriptions": ["note://vault/tide.md"]});
    let params = json!({"notifications": notifications, "_meta": meta()});
    let method = "subscriptions/listen";
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {at}\r\nAccept: application/json, text/event-stream\r\n\
         Content-Type: application/json\r\nMCP-Protocol-Version: {MODERN}\r\n\
         Mcp-Method: {method}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    BufReader::new(stream).lines().map_while(Result::ok)
}

#[test]
fn whoever_listens_is_shown_out_once_its_token_is_revoked() {
    let place = vault();
    let bearer = token(&place, "page", "read:context");
    let server = place.http(&[], &[]);
    let at = server.address;
    let header = format!("Authorization: {bearer}\r\n");
    let mut listening = listened(at, &header);
    assert!(listening.any(|line| line.contains("subscriptions/acknowledged")), "nobody listens");
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let head = format!("GET /sse HTTP/1.1\r\nHost: {at}\r\n{header}\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut legacy = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(legacy.any(|line| line.starts_with("data: /messages")), "no session");
    assert_eq!(place.outcome(&["token", "revoke", "page"]).0, 0);
    // The last chunk, before many signs of life: neither is open for good.
    assert!(listening.take(20).any(|line| line == "0"), "it still listens");
    assert!(legacy.take(20).any(|line| line == "0"), "the legacy stream is still open");
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_running_calls_their_answer_and_streams_their_end() {
    use rustix::process::{Pid, Signal, kill_process};
    let (chat, place) = (Chat::start(&["slow"]), vault());
    let config = place.write("synod.toml", chat.config(&["slow"])).display().to_string();
    let mut server = place.http(&["--config", &config], &[]);
    let at = server.address;
    let mut lines = listened(at, "");
    assert!(lines.any(|line| line.contains("subscriptions/acknowledged")), "nobody listens");
    let args = json!({"op": "infer", "model": "slow", "input": "How many?"});
    let call = json!({"name": "models", "arguments": args});
    let asked = std::thread::spawn(move || modern(at, "tools/call", call, "models"));
    poll("the question", PATIENCE, || (chat.asked("slow") == 1).then_some(()));
    kill_process(Pid::from_child(&server.child), Signal::TERM).expect("a signal");
    poll("its ears shut", PATIENCE, || TcpStream::connect(at).is_err().then_some(()));
    chat.release();
    let reply = asked.join().expect("a thread");
    assert!(reply.status == 200 && reply.body.contains("Answer: 42"), "{reply:?}");
    assert!(lines.any(|line| line.contains("\"result\"")), "the stream was cut");
    assert_eq!(ended(&mut server.child, PATIENCE).code(), Some(0), "{}", server.stderr());
}

#[test]
fn a_taken_port_is_named() {
    let place = vault();
    let server = place.http(&[], &[]);
    let address = server.address.to_string();
    let other = Place::new();
    let (code, _, stderr) = other.outcome(&["serve", "--http", &address]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("--http"), "{stderr}");
}

/// Local addresses of the sockets of a process, as in `/proc/net`.
#[cfg(target_os = "linux")]
fn sockets(pid: u32) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let links = links.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let inodes: BTreeSet<String> = links
        .filter_map(|link| {
            let link = link.to_string_lossy().into_owned();
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut out = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(9).is_some_and(|inode| inodes.contains(*inode)) {
                out.push(fields[1].to_owned());
            }
        }
    }
    out
}

#[cfg(target_os = "linux")]
#[test]
fn no_socket_stands_beyond_loopback() {
    /// 127.x.y.z and ::1, as the kernel prints them.
    fn loops(address: &str) -> bool {
        let host = address.split(':').next().expect("a host");
        host.len() == 8 && host.ends_with("7F")
            || host == "00000000000000000000000001000000"
            || host.starts_with("0000000000000000FFFF0000") && host.ends_with("7F")
    }
    assert!(loops("0100007F:1E25") && !loops("00000000:1E25") && !loops("0900A8C0:1E25"));
    let place = vault();
    let mut client = place.stdio(&[]);
    client.answered("search", json!({"query": "walrus"}));
    assert_eq!(sockets(client.child.id()), [""; 0], "stdio needs no socket");
    let folder = place.path().join("vault");
    let server = Server::of(place.command(&[
        "up",
        &folder.to_string_lossy(),
        "--http",
        "127.0.0.1:0",
        "--lexical-only",
    ]));
    poll("what to do next", PATIENCE, || server.stdout().contains("Stop:").then_some(()));
    assert_eq!(http::get(server.address, "/v1/search?q=walrus").status, 200);
    let found = sockets(server.child.id());
    assert!(!found.is_empty(), "its own listener was not found: the search is broken");
    assert!(found.iter().all(|address| loops(address)), "{found:?}");
    // The address that nobody names is loopback too.
    let built_in = place.outcome(&["config", "--json"]).1;
    let built_in: Value = serde_json::from_str(&built_in).expect("JSON");
    let rows = built_in["values"].as_array().expect("values");
    let http = rows.iter().find(|row| row["key"] == "server.http").expect("a row");
    let address: SocketAddr = http["value"].as_str().and_then(|a| a.parse().ok()).expect("one");
    assert!(address.ip().is_loopback(), "{address}");
}
