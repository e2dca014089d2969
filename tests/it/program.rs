//! The real program in a folder of its own.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for one answer; only a hang takes it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Asks again and again until there is an answer.
pub fn poll<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How much of something: `short` in every run, `long` in a long one (`tests/run long`), which is
/// the same code.
pub fn long(short: u64, long: u64) -> u64 {
    if std::env::var_os("SYNOD_LONG").is_some() { long } else { short }
}

/// How often a property is tried: `n` times, in a long run fifty times as often.
pub fn cases(n: u32) -> proptest::test_runner::Config {
    let cases = long(u64::from(n), u64::from(n) * 50) as u32;
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}

/// A data directory and a place for files, gone with the value.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Place { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes a file below the place and returns its path.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let full = self.path().join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("a folder");
        std::fs::write(&full, text).expect("a file");
        full
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    /// Runs the program to its end: exit code, stdout, stderr.
    pub fn outcome(&self, args: &[&str]) -> (i32, String, String) {
        outcome(self.command(args))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(args).env("SYNOD_DATA", self.data()).env_remove("SYNOD_CONFIG");
        command.env("HOME", self.path().join("home"));
        // Nothing of whoever runs the tests counts: neither folders nor an Ollama server.
        for moved in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "CODEX_HOME", "COPILOT_HOME"] {
            command.env_remove(moved);
        }
        command.env("OLLAMA_HOST", "127.0.0.1:9");
        command
    }

    /// `synod call TOOL JSON`, which must succeed.
    pub fn call(&self, tool: &str, args: Value) -> Value {
        let output = self.run(&["call", tool, &args.to_string()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool} {args}: {stderr}");
        serde_json::from_slice(&output.stdout).expect("JSON on stdout")
    }

    /// Indexes a folder and waits; its exit code must be 0.
    pub fn index(&self, folder: &Path) {
        let folder = folder.to_string_lossy();
        let output = self.run(&["index", &folder, "--wait", "--lexical-only"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A server on stdio that has shaken hands.
    pub fn stdio(&self, args: &[&str]) -> Client {
        let mut server = self.mute(args);
        server.initialize("2025-11-25");
        server
    }

    /// A server on stdio to which nothing was said yet.
    pub fn mute(&self, args: &[&str]) -> Client {
        let mut all = vec!["serve", "--stdio"];
        all.extend(args);
        Client::of(self.command(&all))
    }

    /// A server on a free port of loopback.
    pub fn http(&self, args: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut all = vec!["serve", "--http", "127.0.0.1:0"];
        all.extend(args);
        let mut command = self.command(&all);
        command.envs(environment.iter().copied());
        Server::of(command)
    }
}

/// Runs a command to its end: exit code (-1 after a signal), stdout, stderr.
pub fn outcome(mut command: Command) -> (i32, String, String) {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Does something to a closed database as a hand would, and gives the rows as Python writes them.
pub fn sql(path: &Path, statement: &str) -> String {
    let script = "import sqlite3,sys\n\
        db=sqlite3.connect(sys.argv[1])\n\
        rows=db.execute(sys.argv[2]).fetchall()\n\
        db.commit()\n\
        print(rows)\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(path).arg(statement);
    let (code, stdout, stderr) = outcome(command);
    assert_eq!(code, 0, "{stderr}");
    stdout.trim().to_owned()
}

/// Waits for a program's end.
pub fn ended(child: &mut Child, patience: Duration) -> ExitStatus {
    poll("the end of the program", patience, || child.try_wait().expect("a state"))
}

/// What a pipe has brought so far.
fn gather(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            let part = String::from_utf8_lossy(&buffer[..n]).into_owned();
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&part);
        }
    });
    text
}

fn so_far(text: &Mutex<String>) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A client of a server on stdio.
pub struct Client {
    pub child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    id: u64,
}

impl Client {
    /// Starts a server.
    pub fn of(mut command: Command) -> Client {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        let stderr = gather(child.stderr.take().expect("stderr"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Client { child, input, lines, stderr, id: 0 }
    }

    /// The handshake of a protocol version; returns the answer's result.
    pub fn initialize(&mut self, version: &str) -> Value {
        let hello = json!({
            "protocolVersion": version, "capabilities": {},
            "clientInfo": { "name": "tests", "version": "0" },
        });
        let answer = self.request("initialize", hello);
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.send(&done.to_string());
        answer["result"].clone()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        so_far(&self.stderr)
    }

    /// Sends one line.
    pub fn send(&mut self, line: &str) {
        self.send_bytes(line.as_bytes());
    }

    /// Sends one line that need not be text.
    pub fn send_bytes(&mut self, line: &[u8]) {
        let input = self.input.as_mut().expect("open");
        let sent = input.write_all(line).and_then(|()| input.write_all(b"\n"));
        if let Err(error) = sent {
            panic!("{error}; stderr: {}", self.stderr());
        }
    }

    /// The next message; panics on a line that is no JSON.
    pub fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            panic!("no line on stdout: {error}; stderr: {}", self.stderr())
        });
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// A request and its whole answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        self.request_as(json!(self.id), method, params)
    }

    /// A request with an id of any shape, and its whole answer.
    pub fn request_as(&mut self, id: Value, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(&request.to_string());
        loop {
            let message = self.next();
            if message["id"] == id {
                return message;
            }
        }
    }

    /// A tool call's result.
    pub fn call(&mut self, tool: &str, args: Value) -> Value {
        let answer =
            self.request("tools/call", serde_json::json!({"name": tool, "arguments": args}));
        answer["result"].clone()
    }

    /// A tool call that must be refused so that a model can mend it: a tool result that says why.
    pub fn refused(&mut self, tool: &str, args: Value) -> String {
        let result = self.call(tool, args.clone());
        let shown: String = args.to_string().chars().take(200).collect();
        assert_eq!(result["isError"], true, "{tool} {shown} was not refused: {result}");
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        assert!(!text.is_empty(), "{tool} {shown} was refused without a word");
        assert!(!text.contains("internal error"), "{tool} {shown}: {text}");
        text
    }

    /// A tool call that must succeed: its structured content.
    pub fn answered(&mut self, tool: &str, args: Value) -> Value {
        let result = self.call(tool, args);
        assert_ne!(result["isError"], true, "{tool}: {result}");
        assert!(result["structuredContent"].is_object(), "{tool}: {result}");
        let reply = result["structuredContent"].clone();
        let schema = synod_tools::find(tool).map(|entry| (entry.output)()).unwrap_or_default();
        let odd = typed_null(&schema, &reply);
        assert_eq!(odd, None, "{tool}: it is null, and its schema gives it a type: {reply}");
        reply
    }

    /// Ends the input and waits for the program's end.
    pub fn end(mut self) -> ExitStatus {
        self.close();
        ended(&mut self.child, PATIENCE)
    }

    /// Ends the input.
    pub fn close(&mut self) {
        drop(self.input.take());
    }

    /// Every line that is still to come, after the end.
    pub fn rest(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            out.push(line);
        }
        out
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first field that is null though its schema gives it a type: clients that hold a reply
/// against the schema refuse all of it.
fn typed_null(schema: &Value, reply: &Value) -> Option<String> {
    match reply {
        Value::Null => schema.get("type").map(|wanted| format!(", wanted {wanted}")),
        Value::Array(items) => items.iter().find_map(|item| typed_null(&schema["items"], item)),
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let odd = typed_null(&schema["properties"][name], value)?;
            Some(format!(".{name}{odd}"))
        }),
        _ => None,
    }
}

/// A server over HTTP.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub fn of(mut command: Command) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let stdout = gather(child.stdout.take().expect("stdout"));
        let stderr = gather(child.stderr.take().expect("stderr"));
        let address = poll("the address", PATIENCE, || {
            let said = so_far(&stderr);
            let gone = child.try_wait().expect("a state");
            assert!(gone.is_none() || said.contains("listening"), "it ended: {said}");
            let line = said.lines().find_map(|l| l.strip_prefix("listening on http://"))?;
            // The line is whole once its end is there.
            said.contains(&format!("{line}\n")).then(|| line.parse().expect("an address"))
        });
        Server { child, address, stdout, stderr }
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        so_far(&self.stdout)
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        so_far(&self.stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a folder with all that is below it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Runs git, which must succeed; what it says.
pub fn git(root: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
