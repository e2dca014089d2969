//! Speed of the served program over stdio: search, empty call, start, memory; beside a bare rmcp
//! server that echoes, in the same run.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Calls of one figure.
const CALLS: usize = 2_000;

/// A bare server: what the protocol alone costs.
#[derive(Clone)]
pub struct Echo;

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = request.arguments.map(|a| Value::Object(a).to_string()).unwrap_or_default();
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

/// Serves [`Echo`] on stdio: the other side of the comparison, started by `run`.
pub fn echo() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        if let Ok(running) = Echo.serve(rmcp::transport::stdio_pipes()).await {
            let _ = running.waiting().await;
        }
    });
}

pub struct Client {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    id: u64,
    pub started: Instant,
    /// From the sending of the last request to the end of its reply: what a client makes of the
    /// reply is its own affair.
    took: Duration,
}

impl Client {
    pub fn start(mut command: Command) -> Self {
        let started = Instant::now();
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("a server");
        let input = child.stdin.take().expect("stdin");
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        let took = Duration::ZERO;
        let mut client = Client { child, input, output, id: 0, started, took };
        client.request(
            "initialize",
            json!({
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": { "name": "bench", "version": "0" },
            }),
        );
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("sent");
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let id = self.id;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let start = Instant::now();
        self.send(&message);
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("a line") > 0, "the server ended");
            self.took = start.elapsed();
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["id"] == id {
                return message;
            }
        }
    }

    pub fn call(&mut self, tool: &str, args: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": args}))
    }

    /// How long a call takes, in microseconds.
    fn micros(&mut self, tool: &str, args: Value) -> u128 {
        self.call(tool, args);
        self.took.as_micros()
    }

    /// Anonymous resident memory in MB.
    pub fn anonymous_mb(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap_or("0");
        let kb: f64 = line.split_whitespace().next().and_then(|t| t.parse().ok()).unwrap_or(0.0);
        kb / 1024.0
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn synod(data: &Path, args: &[&str]) -> Command {
    let beside = std::env::current_exe().expect("a path");
    let program = beside.parent().and_then(Path::parent).expect("target").join("synod");
    let mut command = Command::new(program);
    command.args(args).arg("--data").arg(data);
    command
}

pub fn figures(what: &str, mut micros: Vec<u128>) {
    micros.sort_unstable();
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!("{what},{},{:.3},{:.3},{:.3}", micros.len(), at(0.5), at(0.9), at(0.99));
}

pub fn timed(n: usize, mut each: impl FnMut(usize)) -> Vec<u128> {
    (0..n)
        .map(|at| {
            let start = Instant::now();
            each(at);
            start.elapsed().as_micros()
        })
        .collect()
}

/// Queries of one to five words that stand in the corpus, and whole names.
pub fn queries(folder: &Path) -> Vec<String> {
    let walked = synod_index::walk::walk(folder, &[]);
    let step = (walked.files.len() / 400).max(1);
    let mut out = Vec::new();
    for (number, found) in walked.files.iter().step_by(step).enumerate() {
        let text = std::fs::read_to_string(folder.join(&found.path)).unwrap_or_default();
        let words: Vec<&str> = text
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|w| w.len() > 3 && !w.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        if words.len() < 50 {
            continue;
        }
        let first = words.len() / 2;
        out.push(words[first..first + 1 + number % 5].join(" "));
    }
    out
}

/// Everything over stdio.
pub fn run(folder: &Path) {
    let dir = tempfile::tempdir().expect("a folder");
    let empty = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let done = synod(dir.path(), &["index", "--wait", "--json"]).arg(folder).output();
    assert!(done.is_ok_and(|o| o.status.success()), "indexing works");
    println!("indexed {} in {:.1} s", folder.display(), start.elapsed().as_secs_f64());
    // What indexing wrote goes to the disk for seconds, and takes the processor with it.
    let _ = Command::new("sync").status();
    println!("what,n,p50_ms,p90_ms,p99_ms");
    starts("start to first answer, empty", empty.path(), "anything");
    starts("start to first search, indexed", dir.path(), "anything");
    let mut client = Client::start(synod(dir.path(), &["serve", "--stdio"]));
    let status = client.call("index_status", json!({}));
    println!("chunks {}", status["result"]["structuredContent"]["chunks"]);
    wait_fresh(&mut client);
    let queries = queries(folder);
    let mut search = |n: usize, more: Value| {
        let mut args = json!({"query": queries[n % queries.len()], "mode": "lexical"});
        args.as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        client.micros("search", args)
    };
    for n in 0..queries.len() {
        search(n, json!({}));
    }
    figures("search", (0..CALLS).map(|n| search(n, json!({}))).collect());
    let one = (0..CALLS).map(|n| search(n, json!({"limit": 1, "detail": "names"})));
    figures("search, the best hit's name", one.collect());
    let filtered = (0..CALLS / 4).map(|n| search(n, json!({"path": "src/"})));
    figures("search with a path filter", filtered.collect());
    println!("memory idle, indexed: {:.1} MB anonymous", client.anonymous_mb());
    drop(client);
    let mut bare = Client::start(synod(empty.path(), &["serve", "--stdio"]));
    let itself = std::env::current_exe().expect("a path");
    let mut command = Command::new(itself);
    command.arg("echo");
    let mut echo = Client::start(command);
    // In turns, so that the machine's other work falls on both.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        ours.extend((0..CALLS / 20).map(|_| bare.micros("index_status", json!({}))));
        theirs.extend((0..CALLS / 20).map(|_| echo.micros("echo", json!({"a": 1}))));
    }
    figures("empty call (index_status, nothing indexed)", ours);
    figures("bare rmcp echo", theirs);
    println!("memory idle, nothing indexed: {:.1} MB anonymous", bare.anonymous_mb());
}

pub fn wait_fresh(client: &mut Client) {
    for _ in 0..600 {
        let status = client.call("index_status", json!({}));
        if status["result"]["structuredContent"]["fresh"] == true {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn starts(what: &str, data: &Path, query: &str) {
    let micros = timed(20, |_| {
        let mut client = Client::start(synod(data, &["serve", "--stdio"]));
        client.call("search", json!({"query": query, "mode": "lexical"}));
        assert!(client.started.elapsed().as_secs() < 30, "it starts");
    });
    figures(what, micros);
}

/// The engine alone, in process: what the protocol adds is the difference to `serve`. Keeps its
/// index below the corpus' folder, for a profiler.
pub fn engine(folder: &Path) {
    let data = folder.with_extension("data");
    let index = synod_index::Index::open(&data).expect("an index");
    let mut updater =
        synod_index::Updater::new(std::sync::Arc::clone(&index), synod::now_ms).expect("the lock");
    let source = updater.add_source(folder, &synod_index::SourceSpec::default()).expect("a source");
    updater.scan(&source, &|_| true).expect("a scan");
    // When the merges that are left are done.
    drop(updater);
    let queries = queries(folder);
    println!("what,n,p50_ms,p90_ms,p99_ms");
    for detail in [synod_index::Detail::Names, synod_index::Detail::Passage] {
        for limit in [1, 10] {
            let search = |n: usize| {
                let args = synod_index::SearchArgs {
                    query: queries[n % queries.len()].clone(),
                    also: Vec::new(),
                    limit,
                    offset: 0,
                    at_generation: None,
                    filters: synod_index::Filters::default(),
                    detail,
                    mode: synod_index::Mode::default(),
                    explain: false,
                    copies: false,
                };
                index.search(&args).expect("a search");
            };
            timed(queries.len(), search);
            figures(&format!("engine {detail:?} {limit} hits"), timed(CALLS, search));
        }
    }
}
