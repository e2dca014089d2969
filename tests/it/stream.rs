//! What goes on, as it goes on: server-sent events, WebSockets, and answers piece by piece.

use super::chat::Chat;
use super::faces::{token, with_token};
use super::http::{Reply, get, post, request};
use super::program::{PATIENCE, Place, Server, poll};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use tungstenite::{ClientRequestBuilder, Message, WebSocket};

fn served(server: &Chat, models: &[&str]) -> (Place, Server) {
    let place = Place::new();
    let config = place.write("synod.toml", server.config(models)).to_string_lossy().into_owned();
    let web = place.http(&["--config", &config], &[]);
    (place, web)
}

/// `(event, id, data)` of a stream that has ended.
fn events(reply: &Reply) -> Vec<(String, Option<i64>, Value)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.map(|text| text.trim_start_matches(':').trim().to_owned())
    };
    (reply.body.split("\n\n"))
        .filter_map(|block| {
            let kind = field(block, "event")?;
            let id = field(block, "id").and_then(|id| id.parse().ok());
            let data = field(block, "data").unwrap_or_default();
            Some((kind, id, serde_json::from_str(&data).expect("JSON")))
        })
        .collect()
}

fn submit(at: SocketAddr, input: Value) -> String {
    let left = post(at, "/v1/tasks", &[], &json!({"kind": "orchestrate", "input": input}));
    assert_eq!(left.status, 202, "{left:?}");
    left.json()["job"].as_str().expect("a job").to_owned()
}

type Socket = WebSocket<TcpStream>;

fn connect(at: SocketAddr, path: &str) -> Result<Socket, String> {
    let stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let url = format!("ws://{at}{path}");
    let made = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
    Ok(made.0)
}

/// The next message of a socket; nothing when it was closed.
fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.read().expect("a message") {
            Message::Text(text) => return Some(serde_json::from_str(&text).expect("JSON")),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[test]
fn a_job_is_followed_to_its_end_and_again_from_where_it_was_cut() {
    let server = Chat::start(&[]);
    let (_place, web) = served(&server, &["one", "two"]);
    let job = submit(web.address, json!({"query": "How many?", "models": ["one", "two"]}));
    let whole = get(web.address, &format!("/v1/tasks/{job}/stream"));
    assert_eq!(whole.header("content-type"), Some("text/event-stream"));
    let all = events(&whole);
    let kinds: Vec<&str> = all.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["status", "status", "progress", "progress", "result", "status"], "{all:?}");
    assert_eq!(all[4].2["payload"]["answer"], "42", "{all:?}");
    for (kind, _, body) in &all {
        assert_eq!((&body["type"], body["ts"].is_string()), (&json!(kind), true), "{body}");
    }
    let ids: Vec<i64> = all.iter().filter_map(|(_, id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    // Behind the fourth, however that is said, under every name.
    for (path, headers) in [
        (format!("/v1/stream/{job}"), vec![("Last-Event-ID", "4")]),
        (format!("/v1/jobs/{job}/stream?last_event_id=4"), vec![]),
    ] {
        let rest = events(&request(web.address, "GET", &path, &headers, ""));
        assert_eq!(rest, all[4..], "{path}");
    }
    let odd = get(web.address, &format!("/v1/stream/{job}?last_event_id=x"));
    assert_eq!((odd.status, odd.fault().as_str()), (400, "invalid_argument"));
    assert_eq!(get(web.address, "/v1/stream/j_none").status, 404);
    let metrics = get(web.address, "/metrics").body;
    for line in [
        "synod_model_calls_total{provider=\"p\"} 2",
        "synod_model_latency_ms_count{provider=\"p\"} 2",
        "synod_model_breaker_closed{provider=\"p\",model=\"one\",key=\"\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // The same as a WebSocket.
    let mut socket = connect(web.address, &format!("/v1/tasks/{job}/stream")).expect("a socket");
    let mut seen = Vec::new();
    while let Some(body) = next(&mut socket) {
        seen.push((body["type"].clone(), body["id"].clone()));
    }
    let wanted: Vec<(Value, Value)> = all.iter().map(|(k, id, _)| (json!(k), json!(id))).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_stream_waits_for_what_is_slow_and_its_job_outlives_it() {
    let server = Chat::start(&["slow"]);
    let (_place, web) = served(&server, &["fast", "slow"]);
    let job = submit(web.address, json!({"query": "How many?", "models": ["fast", "slow"]}));
    let path = format!("/v1/tasks/{job}/stream");
    let mut socket = connect(web.address, &path).expect("a socket");
    let first = std::iter::from_fn(|| next(&mut socket)).find(|body| body["type"] == "progress");
    assert_eq!(first.expect("progress")["payload"]["model"], "fast");
    drop(socket);
    let mut other = connect(web.address, &path).expect("a socket");
    server.release();
    let end = std::iter::from_fn(|| next(&mut other)).last().expect("an end");
    assert_eq!(end["payload"]["state"], "succeeded", "{end}");
}

/// A socket as a browser opens it: with protocols and no other header; gives the one that was
/// chosen.
fn offering(
    at: SocketAddr,
    path: &str,
    protocols: &[&str],
    origin: Option<&str>,
) -> Result<(Socket, Option<String>), String> {
    let stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut wanted =
        ClientRequestBuilder::new(format!("ws://{at}{path}").parse().expect("an address"));
    for protocol in protocols {
        wanted = wanted.with_sub_protocol(*protocol);
    }
    if let Some(origin) = origin {
        wanted = wanted.with_header("Origin", origin);
    }
    let (socket, reply) = tungstenite::client(wanted, stream).map_err(|error| error.to_string())?;
    let chosen = reply.headers().get("sec-websocket-protocol");
    Ok((socket, chosen.map(|value| value.to_str().expect("a word").to_owned())))
}

#[test]
fn a_browser_offers_its_token_as_a_protocol() {
    let server = Chat::start(&[]);
    let place = Place::new();
    let text = format!("{}[access]\nrequire_token = true\n", server.config(&["one", "two"]));
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let bearer = token(&place, "page", "read:context,read:jobs,write:jobs,llm:invoke");
    let secret = bearer.strip_prefix("Bearer ").expect("a token");
    let web = place.http(&["--config", &config, "--log", "debug"], &[]);
    let headers = [("Authorization", bearer.as_str())];
    let input = json!({"query": "How many?", "models": ["one", "two"]});
    let body = json!({"kind": "orchestrate", "input": input});
    let left = post(web.address, "/v1/tasks", &headers, &body);
    let job = left.json()["job"].as_str().expect("a job").to_owned();
    let made = post(web.address, "/v1/sessions", &headers, &json!({})).json();
    let session = made["session_id"].as_str().expect("an id").to_owned();
    let offered = format!("synod.bearer.{secret}");
    let paths = [format!("/v1/tasks/{job}/stream"), format!("/v1/sessions/{session}/stream")];
    for path in &paths {
        let known = offering(web.address, path, &["synod", &offered], None);
        assert_eq!(known.expect("a socket").1.as_deref(), Some("synod"), "{path}");
        let none: &[&str] = &[];
        for protocols in [none, &["synod"], &["synod", "synod.bearer.other"]] {
            let refused = offering(web.address, path, protocols, None).expect_err("no token");
            assert!(refused.contains("401"), "{path}: {refused}");
        }
        // A page elsewhere stays outside, with whatever token.
        let elsewhere = Some("https://evil.example");
        let refused = offering(web.address, path, &["synod", &offered], elsewhere);
        assert!(refused.expect_err("an origin").contains("403"), "{path}");
        // Nothing but a WebSocket has its token there.
        let plain = [("Sec-WebSocket-Protocol", offered.as_str())];
        assert_eq!(request(web.address, "GET", path, &plain, "").status, 401, "{path}");
    }
    let (mut socket, _) =
        offering(web.address, &paths[0], &["synod", &offered], None).expect("a socket");
    let end = std::iter::from_fn(|| next(&mut socket)).last().expect("an end");
    assert_eq!(end["payload"]["state"], "succeeded", "{end}");
    let metrics = with_token(web.address, "/metrics", &bearer).body;
    assert!(!web.stderr().contains(secret) && !metrics.contains(secret));
}

#[test]
fn a_revoked_token_asks_nobody_and_sees_no_more() {
    let server = Chat::start(&["slow"]);
    let (place, web) = served(&server, &["fast", "slow"]);
    let bearer = token(&place, "page", "read:context,read:jobs,write:jobs,llm:invoke");
    let headers = [("Authorization", bearer.as_str())];
    let made = post(web.address, "/v1/sessions", &headers, &json!({})).json();
    let session = made["session_id"].as_str().expect("an id").to_owned();
    let input = json!({"query": "How many?", "models": ["fast", "slow"]});
    let body = json!({"kind": "orchestrate", "input": input});
    let left = post(web.address, "/v1/tasks", &headers, &body).json();
    let job = left["job"].as_str().expect("a job").to_owned();
    let offered = format!("synod.bearer.{}", bearer.trim_start_matches("Bearer "));
    let open = |path: &str| {
        let opened = offering(web.address, path, &["synod", &offered], None);
        opened.expect("a socket").0
    };
    let mut talk = open(&format!("/v1/sessions/{session}/stream"));
    let mut watched = open(&format!("/v1/tasks/{job}/stream"));
    let both = || server.asked("fast") == 1 && server.asked("slow") == 1;
    poll("the council", PATIENCE, || both().then_some(()));
    assert_eq!(place.outcome(&["token", "revoke", "page"]).0, 0);
    let prompt = json!({"prompt": "How many then?", "heads": ["logic"]});
    talk.send(Message::text(prompt.to_string())).expect("sent");
    let error = next(&mut talk).expect("an answer");
    assert_eq!(
        (&error["type"], &error["error"]["code"]),
        (&json!("error"), &json!("unauthenticated"))
    );
    assert_eq!(next(&mut talk), None, "it is closed");
    // Whoever only looks on is shown out with the next sign of life.
    let last = std::iter::from_fn(|| next(&mut watched)).last().expect("an end");
    assert_eq!(last["payload"]["code"], "unauthenticated", "{last}");
    assert!(both(), "somebody was asked");
}

#[test]
fn heads_speak_over_a_socket_one_question_at_a_time() {
    let server = Chat::start(&[]);
    let (_place, web) = served(&server, &["one", "two"]);
    let made = post(web.address, "/v1/sessions", &[], &json!({})).json();
    let id = made["session_id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/sessions/{id}/stream");
    let refused = connect(web.address, "/v1/sessions/s_none/stream").expect_err("no session");
    assert!(refused.contains("404"), "{refused}");
    assert_eq!(get(web.address, &path).status, 400, "it is a WebSocket");
    let mut socket = connect(web.address, &path).expect("a socket");
    for (bad, word) in [("{", "does not parse"), ("{\"x\": 1}", "`prompt`")] {
        socket.send(Message::text(bad)).expect("sent");
        let error = next(&mut socket).expect("an answer");
        assert!(error["type"] == "error" && error["message"].as_str().unwrap().contains(word));
    }
    for round in 1..=2 {
        let prompt = json!({"prompt": "Should the index move?", "heads": ["logic", "cost"]});
        socket.send(Message::text(prompt.to_string())).expect("sent");
        let mut kinds = Vec::new();
        let complete = loop {
            let body = next(&mut socket).expect("an event");
            let kind = body["type"].as_str().expect("a type").to_owned();
            if kind == "head_complete" {
                assert!(body["head_id"].is_string() && body["summary"].is_string(), "{body}");
            }
            kinds.push(kind);
            if body["type"] == "complete" || body["type"] == "error" {
                break body;
            }
        };
        let wanted =
            ["heads_running", "head_complete", "head_complete", "witness_running", "complete"];
        assert_eq!(kinds, wanted, "{complete}");
        for key in ["task_id", "final_answer", "transparency_report", "head_contributions"] {
            assert!(!complete[key].is_null(), "{key}: {complete}");
        }
        let history = get(web.address, &format!("/v1/sessions/{id}/history")).json();
        assert_eq!(history["messages"].as_array().map(Vec::len), Some(2 * round));
    }
    // What waits for a person holds up nobody.
    let held = json!({"prompt": "Which one?", "heads": ["logic"], "hold": true, "confidence": 1});
    socket.send(Message::text(held.to_string())).expect("sent");
    let waiting = std::iter::from_fn(|| next(&mut socket)).find(|body| {
        ["waiting", "complete", "error"].contains(&body["type"].as_str().unwrap_or_default())
    });
    let waiting = waiting.expect("an end");
    assert!(waiting["type"] == "waiting" && waiting["needs"]["kind"].is_string(), "{waiting}");
}

#[test]
fn a_message_that_is_too_long_ends_a_conversation_with_the_reason() {
    let server = Chat::start(&[]);
    let (_place, web) = served(&server, &["one"]);
    let made = post(web.address, "/v1/sessions", &[], &json!({})).json();
    let path = format!("/v1/sessions/{}/stream", made["session_id"].as_str().expect("an id"));
    let mut socket = connect(web.address, &path).expect("a socket");
    let long = json!({"prompt": "x".repeat(300_000)});
    socket.send(Message::text(long.to_string())).expect("sent");
    let Message::Close(Some(end)) = socket.read().expect("a farewell") else {
        panic!("it goes on")
    };
    assert_eq!((u16::from(end.code), server.asked("one")), (1009, 0), "{end:?}");
}

#[test]
fn a_prompt_that_goes_on_names_its_task() {
    let server = Chat::start(&["slow"]);
    let (_place, web) = served(&server, &["slow"]);
    let made = post(web.address, "/v1/sessions", &[], &json!({})).json();
    let path = format!("/v1/sessions/{}/prompt", made["session_id"].as_str().expect("an id"));
    let body = json!({"prompt": "Should it move?", "heads": ["logic"], "deadline_ms": 1});
    let left = post(web.address, &path, &[], &body);
    assert_eq!(left.status, 202, "{left:?}");
    let left = left.json();
    assert!(left["task_id"].is_string() && left["task_id"] == left["job"], "{left}");
    server.release();
}

#[test]
fn one_models_answer_comes_line_by_line() {
    let server = Chat::saying(|_, _| {
        "The first line.\nA key: AKIAIOSFODNN7EXAMPLF\nThe last words".to_owned()
    });
    let place = Place::new();
    let text = server.config(&["one"]).replace("stream = false", "stream = true");
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let web = place.http(&["--config", &config], &[]);
    let body = json!({"model": "one", "input": "Say it.", "stream": true});
    for path in ["/v1/llm/infer", "/llm/infer"] {
        let reply = post(web.address, path, &[], &body);
        assert_eq!(reply.header("content-type"), Some("text/event-stream"), "{reply:?}");
        let all = events(&reply);
        let kinds: Vec<&str> = all.iter().map(|(kind, ..)| kind.as_str()).collect();
        assert_eq!(kinds, ["text", "text", "text", "complete"], "{all:?}");
        let said: String = all.iter().filter_map(|(_, _, data)| data["delta"].as_str()).collect();
        assert_eq!(said, all[3].2["text"].as_str().expect("a text"), "{all:?}");
        assert!(said.starts_with("The first line.\n") && !reply.body.contains("AKIA"), "{said}");
    }
    let plain = post(web.address, "/v1/llm/infer", &[], &json!({"model": "one", "input": "Say."}));
    assert!(plain.json()["answer"]["text"].is_string(), "{plain:?}");
    let unknown = json!({"model": "nobody", "input": "Say it.", "stream": true});
    let failed = post(web.address, "/v1/llm/infer", &[], &unknown);
    assert_eq!((failed.status, failed.fault().as_str()), (404, "not_found"), "{failed:?}");
    let bad = json!({"model": "one", "colour": "red", "stream": true});
    let failed = post(web.address, "/v1/llm/infer", &[], &bad);
    assert_eq!((failed.status, failed.fault().as_str()), (400, "invalid_argument"), "{failed:?}");
    for stream in [json!("true"), json!(1)] {
        let odd = json!({"model": "one", "input": "Say it.", "stream": stream});
        let failed = post(web.address, "/v1/llm/infer", &[], &odd);
        assert_eq!((failed.status, failed.fault().as_str()), (400, "invalid_argument"));
        assert!(failed.body.contains("`stream`"), "{failed:?}");
    }
    let bearer = token(&place, "reader", "read:context");
    let headers = [("Authorization", bearer.as_str())];
    let refused = post(web.address, "/v1/llm/infer", &headers, &body);
    assert_eq!((refused.status, refused.fault().as_str()), (403, "forbidden"), "{refused:?}");
}
