//! The real program in a folder of its own.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
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

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(args).env("SYNOD_DATA", self.data()).env_remove("SYNOD_CONFIG");
        command.env("HOME", self.path().join("home"));
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
        let mut all = vec!["serve", "--stdio"];
        all.extend(args);
        let mut child = self
            .command(&all)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let input = child.stdin.take().expect("stdin");
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        let mut server = Client { child, input: Some(input), output, id: 0 };
        let hello = serde_json::json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "tests", "version": "0" },
        });
        server.request("initialize", hello);
        server.send(
            &serde_json::json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
                .to_string(),
        );
        server
    }
}

/// A client of a server on stdio.
pub struct Client {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    id: u64,
}

impl Client {
    /// Sends one line.
    pub fn send(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open");
        input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\n")).expect("sent");
    }

    /// The next message; panics on a line that is no JSON.
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        let n = self.output.read_line(&mut line).expect("a line");
        assert!(n > 0, "the server closed its output");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// A request and its whole answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let id = self.id;
        let request =
            serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
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

    /// Ends the input and waits for the program's end.
    pub fn end(mut self) -> std::process::ExitStatus {
        drop(self.input.take());
        self.child.wait().expect("the end")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
