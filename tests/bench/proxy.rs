//! One model behind a program, over HTTP: `synod serve` beside LiteLLM's proxy, in front of the
//! same scripted server, with the same client, in one run.

use crate::council::{Server, measure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the model takes.
const DELAY_MS: u64 = 20;

/// A program that is ended with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// LiteLLM's proxy from `tests/litellm.sh`; nothing where it is not installed.
fn litellm(dir: &Path, server: &str) -> Option<(Running, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/litellm/venv/bin/litellm");
    if !program.exists() {
        println!("LiteLLM is not at hand: run `tests/litellm.sh target/litellm`");
        return None;
    }
    let config = format!(
        "model_list:\n  - model_name: \"{DELAY_MS}\"\n    litellm_params:\n      model: \
         openai/{DELAY_MS}\n      api_base: {server}\n      api_key: bench-key\n"
    );
    let path = dir.join("litellm.yaml");
    std::fs::write(&path, config).expect("a file");
    let port = free_port();
    let mut command = Command::new(program);
    command.arg("--config").arg(path).args(["--host", "127.0.0.1", "--telemetry", "False"]);
    command.args(["--port", &port.to_string()]).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().expect("LiteLLM"));
    let base = format!("http://127.0.0.1:{port}");
    wait(&format!("{base}/health/liveliness"));
    Some((running, format!("{base}/v1/chat/completions")))
}

/// Our own program.
fn synod(dir: &Path, server: &str) -> (Running, String) {
    let config = format!(
        "[[provider]]\nname = \"p\"\ndialect = \"openai\"\nurl = \"{server}\"\nstream = false\n\
         concurrent_max = 4000\n[[model]]\nid = \"{DELAY_MS}\"\nprovider = \"p\"\n\
         [embedding]\nmodel = \"\"\n"
    );
    let path = dir.join("synod.toml");
    std::fs::write(&path, config).expect("a file");
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let path = path.to_string_lossy();
    let mut command =
        crate::serve::synod(&dir.join("data"), &["serve", "--http", &address, "--config", &path]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().expect("synod"));
    wait(&format!("http://{address}/ready"));
    (running, format!("http://{address}/v1/llm/infer"))
}

fn wait(url: &str) {
    let until = Instant::now() + Duration::from_secs(90);
    let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
    while !client.get(url).send().is_ok_and(|reply| reply.status().is_success()) {
        assert!(Instant::now() < until, "{url} does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// `bench proxy`
pub fn run() {
    // The client brings no cryptography of its own; somebody set one before: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    let (_synod, ours) = synod(dir.path(), &server.url);
    let theirs = litellm(dir.path(), &server.url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    println!(
        "\n| through | at a time | reply after | added p50 ms | p99 ms | client CPU µs | calls/s |"
    );
    println!("|---|---|---|---|---|---|---|");
    runtime.expect("a runtime").block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let chat = json!({"model": DELAY_MS.to_string(), "max_tokens": 64,
                          "messages": [{"role": "user", "content": "How many?"}]});
        let infer = json!({"model": DELAY_MS.to_string(), "input": "How many?"});
        let direct = format!("{}/chat/completions", server.url);
        let mut rows: Vec<(&str, &str, &Value)> =
            vec![("nothing", &direct, &chat), ("synod serve", &ours, &infer)];
        if let Some((_, url)) = &theirs {
            rows.push(("LiteLLM's proxy", url, &chat));
        }
        for (n, calls) in [(1, 100), (20, 2_000), (100, 4_000)] {
            for (name, url, body) in &rows {
                measure(name, n, calls, Duration::from_millis(DELAY_MS), || {
                    let request = client.post(*url).bearer_auth("bench-key").json(body);
                    let request = match name.starts_with("synod") {
                        // Its own callers on loopback have no token.
                        true => client.post(*url).json(body),
                        false => request,
                    };
                    async move {
                        let reply = request.send().await.expect("a reply");
                        let text = reply.text().await.expect("a body");
                        assert!(text.contains("Answer: 42"), "{text}");
                    }
                })
                .await;
            }
        }
    });
}
