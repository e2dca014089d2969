//! An empty call over Streamable HTTP, beside a bare rmcp server that echoes, in the same run.

use crate::serve::{Echo, figures, synod, timed};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::tower::StreamableHttpServerConfig;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Calls of one figure.
const CALLS: usize = 2_000;

/// Serves [`Echo`] as rmcp alone would: sessionless, JSON, no delay.
pub fn echo() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        use axum::serve::ListenerExt;
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(|| Ok(Echo), sessions, config);
        let routes = axum::Router::new().route_service("/mcp", service);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        eprintln!("listening on http://{}", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, routes).await.expect("served");
    });
}

/// A server in a process of its own.
pub struct Server {
    child: Child,
    host: String,
}

impl Server {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a server");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let host = lines
            .find_map(|line| line.ok()?.split("http://").nth(1).map(str::to_owned))
            .expect("an address");
        // Whoever logs must not meet a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, host }
    }

    /// A client of it, with a connection that stays.
    pub fn client(&self) -> Connection {
        let stream = TcpStream::connect(&self.host).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Connection { stream: BufReader::new(stream), host: self.host.clone() }
    }
}

/// One connection, with one request at a time.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Calls a tool; what it answers.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let body = body.to_string();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a header");
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(n) = line.strip_prefix("content-length:") {
                length = n.trim().parse().expect("a number");
            }
        }
        let mut reply = vec![0; length];
        self.stream.read_exact(&mut reply).expect("a body");
        let reply: Value = serde_json::from_slice(&reply).expect("JSON");
        assert!(reply["result"].is_object(), "{reply}");
        reply
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both in turns, so that the machine's other work falls on both.
pub fn run() {
    let empty = tempfile::tempdir().expect("a folder");
    let ours = Server::start(synod(empty.path(), &["serve", "--http", "127.0.0.1:0"]));
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.arg("echo-http");
    let theirs = Server::start(command);
    let (mut to_ours, mut to_theirs, nothing) = (ours.client(), theirs.client(), json!({}));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        a.extend(timed(CALLS / 20, |_| drop(to_ours.call("index_status", &nothing))));
        b.extend(timed(CALLS / 20, |_| drop(to_theirs.call("echo", &nothing))));
    }
    println!("what,n,p50_ms,p90_ms,p99_ms");
    figures("HTTP empty call (index_status, nothing indexed)", a);
    figures("HTTP bare rmcp echo", b);
}
