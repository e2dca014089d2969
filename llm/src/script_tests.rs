//! A scripted server on loopback that speaks what real ones speak, with their failures; for the
//! tests beside this file.

use crate::{Ask, Catalog, Dialect, Engine, Key, Model, Policy, Provider};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Status, further headers, body.
    Reply(u16, Vec<(&'static str, String)>, String),
    /// Content type and pieces of a chunked body, and what comes behind them.
    Stream(&'static str, Vec<String>, End),
    /// These very bytes; then the connection breaks.
    Raw(String),
    /// Nothing, until the client goes.
    Hang,
    /// The connection breaks.
    Drop,
}

/// What comes behind the last piece of a stream.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The proper end.
    Clean,
    /// The connection breaks.
    Cut,
    /// Nothing, until the client goes.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    /// Number of its connection, from 0.
    pub connection: usize,
}

/// The last act is done again and again.
pub struct Server {
    pub url: String,
    acts: Arc<Mutex<VecDeque<Act>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Says so when a client went from a request that hangs.
    pub gone: Receiver<()>,
}

impl Server {
    pub fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let acts = Arc::new(Mutex::new(VecDeque::from(acts)));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell, gone) = channel();
        let (script, seen) = (Arc::clone(&acts), Arc::clone(&requests));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                let tell = tell.clone();
                std::thread::spawn(move || serve(stream, connection, &script, &seen, &tell));
            }
        });
        Server { url, acts, requests, gone }
    }

    pub fn change(&self, acts: Vec<Act>) {
        *self.acts.lock().expect("the script") = VecDeque::from(acts);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("the requests").clone()
    }

    pub fn n(&self) -> usize {
        self.requests().len()
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: &Mutex<VecDeque<Act>>,
    seen: &Mutex<Vec<Request>>,
    gone: &Sender<()>,
) -> Option<()> {
    // Small pieces go out as they are written, as real servers send them.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let request = read(&mut reader, connection)?;
        seen.lock().expect("the requests").push(request);
        let act = {
            let mut script = script.lock().expect("the script");
            let last = script.len() == 1;
            if last { script.front().cloned() } else { script.pop_front() }
        };
        match act? {
            Act::Reply(status, headers, body) => {
                let headers: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
            }
            Act::Stream(kind, pieces, end) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).ok()?;
                for piece in pieces {
                    let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                    stream.write_all(chunk.as_bytes()).ok()?;
                }
                match end {
                    End::Clean => stream.write_all(b"0\r\n\r\n").ok()?,
                    End::Cut => return None,
                    End::Hang => return hang(&mut reader, gone),
                }
            }
            Act::Raw(bytes) => return stream.write_all(bytes.as_bytes()).ok().filter(|()| false),
            Act::Hang => return hang(&mut reader, gone),
            Act::Drop => return None,
        }
    }
}

/// Waits until the client goes.
fn hang(reader: &mut impl Read, gone: &Sender<()>) -> Option<()> {
    let _ = reader.read(&mut [0; 1]);
    let _ = gone.send(());
    None
}

fn read(reader: &mut impl BufRead, connection: usize) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request { path, headers, body, connection })
}

/// A refusal in JSON.
pub fn refusal(status: u16, body: &Value) -> Act {
    let kind = ("content-type", "application/json".to_owned());
    Act::Reply(status, vec![kind], body.to_string())
}

/// Too many requests, with a wait if there is one.
pub fn limited(after: Option<&str>) -> Act {
    let headers = after.map(|after| ("retry-after", after.to_owned())).into_iter().collect();
    Act::Reply(429, headers, json!({"error": {"message": "slow down"}}).to_string())
}

/// Events as a stream of their dialect.
pub fn stream(dialect: Dialect, events: &[Value], end: End) -> Act {
    let lines = dialect == Dialect::Ollama;
    let event = |event: &Value| match event.as_str() {
        Some(raw) if lines => format!("{raw}\n"),
        Some(raw) => format!("data: {raw}\n\n"),
        None if lines => format!("{event}\n"),
        None => format!("data: {event}\n\n"),
    };
    let kind = if lines { "application/x-ndjson" } else { "text/event-stream; charset=utf-8" };
    Act::Stream(kind, events.iter().map(event).collect(), end)
}

/// The start of an answer, without its end.
pub fn beginning(dialect: Dialect, text: &str) -> Vec<Value> {
    match dialect {
        Dialect::Ollama => {
            vec![json!({"model": "toy:1", "message": {"content": text}, "done": false})]
        }
        Dialect::OpenAi | Dialect::Mistral | Dialect::Replay => {
            let choice = |delta: Value| {
                json!({"model": "toy-1",
                       "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
            };
            vec![choice(json!({"role": "assistant"})), choice(json!({"content": text}))]
        }
        Dialect::Responses => vec![
            json!({"type": "response.created", "response": {"model": "toy-1"}}),
            json!({"type": "response.output_text.delta", "delta": text}),
        ],
        Dialect::Anthropic => vec![
            json!({"type": "message_start", "message": {"model": "toy-1",
                "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 0,
                   "delta": {"type": "text_delta", "text": text}}),
        ],
        Dialect::Gemini => vec![json!({
            "modelVersion": "toy-1",
            "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}],
        })],
    }
}

/// What follows it: reason and counts. All count 10 tokens read, 4 of them cached where the dialect
/// has that, and 5 written.
pub fn ending(dialect: Dialect, reason: &str) -> Vec<Value> {
    match dialect {
        Dialect::Ollama => vec![json!({"model": "toy:1", "message": {"content": ""}, "done": true,
            "done_reason": reason, "prompt_eval_count": 10, "eval_count": 5})],
        Dialect::OpenAi | Dialect::Mistral | Dialect::Replay => vec![
            json!({"model": "toy-1", "choices": [{"delta": {}, "finish_reason": reason}]}),
            json!({"model": "toy-1", "choices": [], "usage": {"prompt_tokens": 10,
                "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2}}}),
            json!("[DONE]"),
        ],
        Dialect::Responses => {
            let usage = json!({"input_tokens": 10, "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 2}});
            let (kind, status, details) = match reason {
                "stop" => ("response.completed", "completed", Value::Null),
                reason => {
                    let word = if reason == "length" { "max_output_tokens" } else { reason };
                    ("response.incomplete", "incomplete", json!({ "reason": word }))
                }
            };
            let response = json!({"model": "toy-1", "status": status, "output": [],
                "incomplete_details": details, "usage": usage});
            vec![json!({"type": kind, "response": response})]
        }
        Dialect::Anthropic => {
            let word = match reason {
                "stop" => "end_turn",
                "length" => "max_tokens",
                _ => "refusal",
            };
            vec![
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": word},
                       "usage": {"output_tokens": 5}}),
                json!({"type": "message_stop"}),
            ]
        }
        Dialect::Gemini => {
            let word = match reason {
                "stop" => "STOP",
                "length" => "MAX_TOKENS",
                _ => "SAFETY",
            };
            vec![json!({"modelVersion": "toy-1",
                "candidates": [{"content": {"parts": []}, "finishReason": word}],
                "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3,
                    "thoughtsTokenCount": 2, "cachedContentTokenCount": 4}})]
        }
    }
}

/// A complete answer.
pub fn good(dialect: Dialect, text: &str) -> Act {
    let events = [beginning(dialect, text), ending(dialect, "stop")].concat();
    stream(dialect, &events, End::Clean)
}

/// The dialects that have a wire.
pub const WIRED: [Dialect; 6] = [
    Dialect::Ollama,
    Dialect::OpenAi,
    Dialect::Responses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Mistral,
];

/// A provider `p` at a server, with one key and short times.
pub fn provider(name: &str, dialect: Dialect, server: &Server) -> Provider {
    let mut provider = Provider::new(name, dialect, &server.url);
    provider.keys = vec![key("one")];
    provider.first_token_ms = 5_000;
    provider.total_ms = 10_000;
    provider
}

pub fn key(label: &str) -> Key {
    Key { label: label.to_owned(), secret: format!("sk-secret-{label}") }
}

/// One model `m` at one provider `p`.
pub fn single(dialect: Dialect, server: &Server) -> Catalog {
    Catalog {
        providers: vec![provider("p", dialect, server)],
        models: vec![Model::new("m", "p", "toy")],
        ..Catalog::default()
    }
}

/// `m` at `p` falls back to `n` at `q`.
pub fn backed(server: &Server, other: &Server) -> Catalog {
    let mut catalog = single(Dialect::OpenAi, server);
    catalog.models[0].fallbacks = vec!["n".to_owned()];
    catalog.providers.push(provider("q", Dialect::OpenAi, other));
    catalog.models.push(Model::new("n", "q", "other"));
    catalog
}

pub fn engine(catalog: Catalog) -> Engine {
    Engine::new(catalog).expect("an engine")
}

/// A question that may go anywhere.
pub fn ask(model: &str) -> Ask {
    Ask { policy: Policy::Cloud, ..Ask::new(model, "why?") }
}

pub fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}
