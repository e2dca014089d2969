//! A real Ollama server with the model that also runs in process: the same vectors, the same hits,
//! and what it does when it is ended in the middle.

use super::model::minilm;
use super::program::{PATIENCE, Place, poll, root};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use synod::config::{Embedding, Provider};
use synod::embedder::Remote;
use synod_embed::{Model, Precision};
use synod_index::Embedder;

/// The server that `tests/ollama.sh` built; absent is a failure where everything must be checked.
fn built() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    let program = target.join("ollama/ollama");
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("CI").is_none(), "no ollama: run tests/ollama.sh");
    eprintln!("no ollama here (tests/ollama.sh builds it): nothing to talk to");
    None
}

/// A running server; it ends with the value.
struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(program: &Path, model: &Path, state: &Path) -> Self {
        let mut command = Command::new("python3");
        command.arg(root().join("tests/ollama.py")).arg(program).arg(model).arg(state);
        command.arg("minilm").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut url = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("its output"));
        said.read_line(&mut url).expect("its address");
        assert!(url.starts_with("http"), "ollama did not start: {url}");
        Server { child, said, url: url.trim().to_owned() }
    }

    /// Does something to it that `tests/ollama.py` knows.
    fn order(&mut self, what: &str) {
        let input = self.child.stdin.as_mut().expect("open");
        writeln!(input, "{what}").expect("sent");
        let mut done = String::new();
        self.said.read_line(&mut done).expect("its word");
        assert_eq!(done, "done\n", "{what}");
    }

    fn settings(&self) -> Embedding {
        Embedding {
            provider: Provider::Ollama,
            model: "minilm".to_owned(),
            url: Some(self.url.clone()),
            ..Embedding::default()
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its standard input ends with this, and it ends its server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn vectors_are_those_of_the_model_in_process() {
    let (Some(folder), Some(program)) = (minilm(), built()) else { return };
    let place = Place::new();
    let server = Server::start(&program, &folder, &place.path().join("ollama"));
    let remote = Remote::open(&server.settings()).expect("the server");
    assert!(remote.space().starts_with("ollama/minilm@"), "{}", remote.space());
    assert_eq!(remote.dimensions(), 384);
    let known = remote.space().split("window ").nth(1).and_then(|rest| rest.split(' ').next());
    let window: usize = known.expect("a window").parse().expect("a number");
    // 512 positions, two of which are marks.
    assert!((478..=510).contains(&window), "{}", remote.space());
    let own = Model::open(&folder, Precision::F32).expect("the model");
    let texts: Vec<String> = [
        "hello world",
        "The automobile needs new brakes before winter.",
        "fn drain(meter: &WaterMeter) -> u32 { meter.level }",
        "Ebbe und Flut, 引き潮, прилив",
        "# Tides > Neap\nTwice a month the range is smallest.",
    ]
    .map(str::to_owned)
    .into();
    let theirs = remote.passages(&texts).expect("vectors");
    for (text, theirs) in texts.iter().zip(&theirs) {
        let ours = own.vector(text).expect("a vector");
        let cosine: f32 = ours.iter().zip(theirs).map(|(a, b)| a * b).sum();
        assert!(cosine >= 0.999, "{text}: {cosine}");
    }
    // One that is over the window goes in parts, among others.
    let long = format!("header\n{}", "the tide at the harbour rises and falls ".repeat(90));
    let mixed = remote.passages(&["short".to_owned(), long]).expect("vectors");
    assert_eq!(mixed.len(), 2);
}

/// A vault that is embedded by the server, and the path of its configuration.
fn vault(server: &Server) -> (Place, String) {
    let place = Place::new();
    place.write("vault/garage.md", "# Garage\n\nThe automobile needs brakes before winter.\n");
    place.write("vault/oven.md", "# Oven\n\nTwo loaves with rye flour, forty minutes.\n");
    let url = &server.url;
    let text = format!("[embedding]\nprovider = \"ollama\"\nmodel = \"minilm\"\nurl = \"{url}\"\n");
    let config = place.write("synod.toml", text).to_str().expect("UTF-8").to_owned();
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    let (code, _, err) = place.outcome(&["index", vault, "--wait", "--config", &config]);
    assert_eq!(code, 0, "{err}");
    (place, config)
}

#[test]
fn a_vault_is_found_by_meaning_and_an_ended_server_leaves_the_words() {
    let (Some(folder), Some(program)) = (minilm(), built()) else { return };
    let state = Place::new();
    let server = Server::start(&program, &folder, state.path());
    let (place, config) = vault(&server);
    let mut client = place.stdio(&["--config", &config]);
    let mut search = |query: &str| -> Value {
        let reply = client.call("search", json!({ "query": query }));
        reply["structuredContent"].clone()
    };
    let reply = poll("meaning counts", PATIENCE, || {
        Some(search("repairing the car")).filter(|reply| reply["degraded"] == json!([]))
    });
    assert_eq!(reply["hits"][0]["path"], "garage.md", "{reply}");
    drop(server);
    // What was asked last is known still.
    assert_eq!(search("repairing the car")["degraded"], json!([]));
    let reply = search("repairing a bicycle");
    assert_eq!(reply["degraded"], json!(["semantic"]), "{reply}");
    assert!(reply["notes"][0].as_str().is_some_and(|note| note.contains("does not answer")));
}

#[test]
fn a_model_that_is_unloaded_a_server_that_stops_and_another_digest_cost_no_words() {
    let (Some(folder), Some(program)) = (minilm(), built()) else { return };
    let state = Place::new();
    let mut server = Server::start(&program, &folder, state.path());
    let (place, config) = vault(&server);
    let mut client = place.stdio(&["--config", &config]);
    // Each time another query: what was asked last is known.
    let mut n = 0;
    let mut search = |words: &str| {
        n += 1;
        client.answered("search", json!({"query": format!("{words} {n}")}))
    };
    let meant = |search: &mut dyn FnMut(&str) -> Value, what: &str| {
        let reply = poll(what, PATIENCE, || {
            Some(search("repairing the car")).filter(|reply| reply["degraded"] == json!([]))
        });
        assert_eq!(reply["hits"][0]["path"], "garage.md", "{what}: {reply}");
    };
    meant(&mut search, "its model is there");
    server.order("unload");
    meant(&mut search, "it is loaded again");
    server.order("stop");
    for _ in 0..2 {
        let reply = search("an automobile");
        assert_eq!(reply["hits"][0]["path"], "garage.md", "{reply}");
        assert_eq!(reply["degraded"], json!(["semantic"]), "{reply}");
        assert!(reply["notes"][0].as_str().is_some_and(|note| note.contains("does not answer")));
    }
    server.order("go");
    meant(&mut search, "it answers again");
    drop(client);
    let spaces = |what: &str| {
        let (code, said, err) = place.outcome(&["model", "spaces", "--config", &config]);
        assert_eq!(code, 0, "{what}: {err}");
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = spaces("before");
    assert!(before.len() == 1 && before[0].starts_with("answers: ollama/minilm@"), "{before:?}");
    server.order("other");
    let (code, _, err) = place.outcome(&["index", "--wait", "--config", &config]);
    assert_eq!(code, 0, "{err}");
    let after = spaces("after");
    let kept = before[0].replacen("answers", "kept", 1);
    assert!(after.len() == 2 && after.contains(&kept), "{before:?}, {after:?}");
    let query = json!({"query": "repairing the car"}).to_string();
    let (code, said, err) = place.outcome(&["call", "search", &query, "--config", &config]);
    assert_eq!(code, 0, "{err}");
    let reply: Value = serde_json::from_str(&said).expect("JSON");
    let found = (&reply["hits"][0]["path"], &reply["degraded"]);
    assert_eq!(found, (&json!("garage.md"), &json!([])), "{reply}");
}
