//! Servers of models that nobody here wrote: LiteLLM's proxy in four dialects, and a real Ollama
//! with a chat model.
//!
//! Both are driven through the program alone, except where an answer shows too little. Absent they
//! are a named pass on a machine without them and a failure in CI.

use super::http::get;
use super::model::minilm;
use super::program::{Client, PATIENCE, Place, poll, root};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use synod_llm::{Catalog, Dialect, Engine, FailureKind, Model, Policy, Provider};

/// The key of the proxy, and the variable that holds it.
const KEY: &str = "sk-of-the-tests-00715";
const KEY_ENV: &str = "SYNOD_TEST_PROXY_KEY";
/// What the proxy's model `plain` says.
const PLAIN: &str = "The tide turns twice a day.";
const DIALECTS: [&str; 4] = ["openai", "responses", "anthropic", "gemini"];
/// What Ollama's model says; no character twice, since each one decides the next.
const SAID: &str = "Answer: 42";

/// What a script of `tests/` put below `target`; absent is a failure where everything is checked.
pub fn installed(path: &str, script: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let found = target.unwrap_or_else(|| root().join("target")).join(path);
    if found.exists() {
        return Some(found);
    }
    assert!(std::env::var_os("CI").is_none(), "no {path}: run {script}");
    eprintln!("no {path} here ({script} gets it): nothing to talk to");
    None
}

/// A server that ends when its input does: with this value, or with the process of the tests.
struct Tethered {
    child: Child,
}

impl Tethered {
    /// `command` is given to a shell that ends it; what it says goes to `log`.
    fn start(command: &Command, log: &Path) -> Self {
        let script = "\"$@\" & served=$!; cat; kill $served; wait $served";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        shell.envs(set).stdin(Stdio::piped());
        let log = File::create(log).expect("a log");
        shell.stderr(log.try_clone().expect("the log")).stdout(log);
        Tethered { child: shell.spawn().expect("sh") }
    }
}

impl Drop for Tethered {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn is_there(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The one proxy of all tests; it ends with their process.
fn proxy() -> Option<SocketAddr> {
    static PROXY: OnceLock<Option<(Tethered, SocketAddr)>> = OnceLock::new();
    let started = PROXY.get_or_init(|| {
        // The script writes this file when all is there.
        let version = installed("litellm/version", "tests/litellm.sh")?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let mut command = Command::new(version.with_file_name("venv/bin/litellm"));
        command.arg("--config").arg(root().join("tests/clients/litellm.yaml"));
        command.args(["--host", "127.0.0.1", "--telemetry", "False"]);
        command.args(["--port", &address.port().to_string()]);
        command.env("LITELLM_MASTER_KEY", KEY).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        command.env("LITELLM_SELF", format!("http://{address}/v1"));
        let log = version.with_file_name("served.log");
        let server = Tethered::start(&command, &log);
        poll(&format!("the proxy (see {})", log.display()), PATIENCE * 2, || {
            let ready = is_there(address) && get(address, "/health/liveliness").status == 200;
            ready.then_some(())
        });
        Some((server, address))
    });
    started.as_ref().map(|(_, address)| *address)
}

/// The proxy as eight providers, one for each dialect with its answers streamed and one with them
/// whole; a model is named `<dialect>-<model>` or `whole-<dialect>-<model>`.
fn settings(address: SocketAddr) -> String {
    let mut text = String::new();
    for (prefix, stream) in [("", true), ("whole-", false)] {
        for dialect in DIALECTS {
            let name = format!("{prefix}{dialect}");
            let version = if dialect == "gemini" { "v1beta" } else { "v1" };
            text.push_str(&format!(
                "[[provider]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nstream = {stream}\n\
                 url = \"http://{address}/{version}\"\nkey_env = [\"{KEY_ENV}\"]\n"
            ));
            let price = "input_usd = 1.0\noutput_usd = 2.0\n".to_owned();
            let rescue = format!("name = \"window\"\ncontext_fallbacks = [\"{name}-plain\"]\n");
            for (model, more) in [("plain", price), ("rescued", rescue)] {
                text.push_str(&row(&name, &format!("{name}-{model}"), model, &more));
            }
            for model in ["json", "slow", "limited", "window", "broken", "nobody"] {
                text.push_str(&row(&name, &format!("{name}-{model}"), model, ""));
            }
        }
    }
    text
}

fn row(provider: &str, id: &str, name: &str, more: &str) -> String {
    let name = if more.contains("name =") { String::new() } else { format!("name = \"{name}\"\n") };
    format!(
        "[[model]]\nid = \"{id}\"\nprovider = \"{provider}\"\nvendor = \"of {provider}\"\n\
         family = \"{provider}\"\n{name}{more}"
    )
}

/// The program with the proxy, its logs as talkative as they get.
fn client(place: &Place, address: SocketAddr, key: &str) -> Client {
    let config = place.write("synod.toml", settings(address)).to_string_lossy().into_owned();
    let mut command = place.command(&["--log", "debug", "serve", "--stdio", "--config", &config]);
    command.env(KEY_ENV, key);
    let mut client = Client::of(command);
    client.initialize("2025-11-25");
    client
}

/// Neither its logs nor anything it has written knows a key.
fn keeps(key: &str, place: &Place, mut client: Client) {
    client.close();
    let rest = client.rest().concat();
    assert!(!rest.contains(key), "a key in what it said");
    let logged = client.stderr();
    assert!(logged.contains("DEBUG") && !logged.contains(key), "a key in the log, or no log");
    let mut open = vec![place.data()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path).expect("a folder").map(|e| e.expect("one").path()),
            );
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        let found = bytes.windows(key.len()).any(|part| part == key.as_bytes());
        assert!(!found, "a key in {}", path.display());
    }
}

fn infer(model: &str) -> Value {
    json!({"op": "infer", "model": model, "input": "How often does the tide turn?"})
}

#[test]
fn a_proxy_answers_in_every_dialect() {
    let Some(address) = proxy() else { return };
    let place = Place::new();
    let mut client = client(&place, address, KEY);
    for name in DIALECTS.iter().flat_map(|d| [(*d).to_owned(), format!("whole-{d}")]) {
        let reply = client.answered("models", infer(&format!("{name}-plain")));
        let answer = &reply["answer"];
        assert_eq!((&answer["text"], &answer["finish"]), (&json!(PLAIN), &json!("stop")), "{name}");
        // Streamed in Gemini's dialect the proxy counts nothing and says zeros.
        let counted = name != "gemini";
        for count in ["input_tokens", "output_tokens"] {
            assert_eq!(answer[count].as_u64() > Some(0), counted, "{name}: {answer}");
        }
        // Not counted is not free.
        assert!(answer["cost_usd"].as_f64() > Some(0.0), "{name}: {answer}");
        // Who answers for a full window is named.
        let rescued = client.answered("models", infer(&format!("{name}-rescued")));
        let rescued = &rescued["answer"];
        assert_eq!(rescued["model"], format!("{name}-plain"), "{rescued}");
        assert_eq!((&rescued["text"], &rescued["fell_back"]), (&json!(PLAIN), &json!("context")));
        assert!(!reply.to_string().contains(KEY) && !rescued.to_string().contains(KEY));
    }
    let health = client.answered("models", json!({"op": "check"}));
    assert!(!health.to_string().contains(KEY));
    for provider in health["health"].as_array().expect("providers") {
        // The proxy has no list of models in Gemini's dialect.
        let gemini = provider["provider"].as_str().is_some_and(|name| name.ends_with("gemini"));
        let expected = if gemini { json!("not_found") } else { Value::Null };
        assert_eq!((&provider["well"], &provider["failure"]), (&json!(!gemini), &expected));
    }
    keeps(KEY, &place, client);
}

#[test]
fn a_council_of_four_dialects_votes() {
    let Some(address) = proxy() else { return };
    let place = Place::new();
    let mut client = client(&place, address, KEY);
    let seats = DIALECTS.map(|dialect| format!("{dialect}-json"));
    let args = json!({"query": "Which is higher?", "options": ["ebb", "flood"], "models": seats});
    let reply = client.answered("orchestrate", args);
    let verdict = &reply["verdict"];
    assert_eq!(
        (&reply["state"], &verdict["answer"]),
        (&json!("succeeded"), &json!("B")),
        "{reply}"
    );
    let mut sorted = seats.to_vec();
    sorted.sort();
    assert_eq!(verdict["clusters"][0]["models"], json!(sorted), "{reply}");
    assert!(verdict["trust"].as_f64() > Some(0.5), "{reply}");
    let record = client.answered("trust", json!({"id": verdict["id"]}));
    assert_eq!(record["same"], true);
    assert!(!reply.to_string().contains(KEY) && !record.to_string().contains(KEY));
    keeps(KEY, &place, client);
}

#[test]
fn a_proxys_failures_have_their_class_in_every_dialect() {
    let Some(address) = proxy() else { return };
    let place = Place::new();
    let mut client = client(&place, address, KEY);
    let failures = [
        ("limited", "rate_limit"),
        ("window", "context"),
        ("broken", "server"),
        ("nobody", "not_found"),
    ];
    let names = DIALECTS.iter().chain(["whole-openai", "whole-gemini"].iter());
    let mut expected = vec![("openai-plain".to_owned(), Value::Null)];
    for name in names {
        expected.extend(failures.map(|(model, kind)| (format!("{name}-{model}"), json!(kind))));
    }
    let seats: Vec<&String> = expected.iter().map(|(id, _)| id).collect();
    let args = json!({"query": "How often does the tide turn?", "models": seats});
    let reply = client.answered("orchestrate", args);
    // One answer among failures is an answer.
    assert_eq!(reply["verdict"]["clusters"][0]["models"], json!(["openai-plain"]), "{reply}");
    let sat = reply["models"].as_array().expect("seats");
    assert_eq!(sat.len(), expected.len(), "{reply}");
    for (id, kind) in &expected {
        let seat = sat.iter().find(|seat| seat["model"] == **id).expect("a seat");
        assert_eq!(seat["failure"], *kind, "{seat}");
    }
    let said = client.refused("models", infer("anthropic-nobody"));
    assert!(said.contains("`anthropic-nobody`: it is not there"), "{said}");
    assert!(!reply.to_string().contains(KEY));
    keeps(KEY, &place, client);
}

#[test]
fn a_wrong_key_is_named_and_not_shown() {
    let Some(address) = proxy() else { return };
    // One of the proxy's shape, and one that is none of its keys by its look.
    for key in ["sk-of-nobody-0815-4711", "of-nobody-0815-4711"] {
        let place = Place::new();
        let mut client = client(&place, address, key);
        for dialect in DIALECTS {
            let said = client.refused("models", infer(&format!("{dialect}-plain")));
            assert!(said.contains("the key is not accepted"), "{dialect}: {said}");
            assert!(!said.contains(key), "{said}");
        }
        let health = client.answered("models", json!({"op": "check"}));
        assert_eq!(health["health"][0]["failure"], "auth", "{health}");
        keeps(key, &place, client);
    }
}

#[test]
fn a_slow_peer_becomes_a_job_that_ends() {
    let Some(address) = proxy() else { return };
    let place = Place::new();
    let mut client = client(&place, address, KEY);
    let args = json!({"query": "How often does the tide turn?", "deadline_ms": 200,
                      "models": ["anthropic-slow", "whole-gemini-slow"]});
    let first = client.answered("orchestrate", args);
    assert_eq!(first["state"], "running", "{first}");
    let whole = poll("the council's end", PATIENCE, || {
        let reply = client.answered("orchestrate", json!({"job": first["job"]}));
        (reply["state"] != "running").then_some(reply)
    });
    assert_eq!(
        (&whole["state"], &whole["verdict"]["answer"]),
        (&json!("succeeded"), &json!("Late."))
    );
    assert_eq!(whole["models"].as_array().map(Vec::len), Some(2), "{whole}");
    assert!(!whole.to_string().contains(KEY));
    keeps(KEY, &place, client);
}

/// A language model for Ollama that says [`SAID`] and ends. Its layers pass on what they get, so a
/// token alone decides the next: row `n` of what it reads and of what it writes is "n said".
fn speaker(folder: &Path) {
    const TOKENS: usize = 262;
    const WIDTH: usize = 64;
    const END: usize = 257;
    const SURE: f32 = 4.0;
    let said = SAID.as_bytes();
    let (mut reads, mut writes) = (vec![0.0; TOKENS * WIDTH], vec![0.0; TOKENS * WIDTH]);
    for token in 0..TOKENS {
        let n = said.iter().position(|byte| usize::from(*byte) == token).map_or(0, |at| at + 1);
        reads[token * WIDTH + n] = 1.0f32;
    }
    for n in 0..=said.len() {
        let next = said.get(n).map_or(END, |byte| usize::from(*byte));
        writes[next * WIDTH + n] = SURE;
    }
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    let zeros = |name: &str, rows: usize, columns: usize| {
        (layer(name), vec![rows, columns], vec![0.0; rows * columns])
    };
    let ones = |name: String| (name, vec![WIDTH], vec![1.0; WIDTH]);
    let tensors = [
        ("model.embed_tokens.weight".to_owned(), vec![TOKENS, WIDTH], reads),
        ("lm_head.weight".to_owned(), vec![TOKENS, WIDTH], writes),
        ones("model.norm.weight".to_owned()),
        ones(layer("input_layernorm")),
        ones(layer("post_attention_layernorm")),
        zeros("self_attn.q_proj", WIDTH, WIDTH),
        zeros("self_attn.k_proj", WIDTH, WIDTH),
        zeros("self_attn.v_proj", WIDTH, WIDTH),
        zeros("self_attn.o_proj", WIDTH, WIDTH),
        zeros("mlp.gate_proj", 2 * WIDTH, WIDTH),
        zeros("mlp.up_proj", 2 * WIDTH, WIDTH),
        zeros("mlp.down_proj", WIDTH, 2 * WIDTH),
    ];
    let (mut head, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let offsets = [begin, data.len()];
        head.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": offsets}));
    }
    let head = serde_json::to_vec(&head).expect("JSON");
    let bytes = [&(head.len() as u64).to_le_bytes()[..], &head, &data].concat();
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("model.safetensors"), bytes).expect("the weights");
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": TOKENS,
        "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": WIDTH / 4,
        "max_position_embeddings": 2_048, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "bos_token_id": 256, "eos_token_id": END, "torch_dtype": "float32",
        "tie_word_embeddings": false,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("its settings");
    std::fs::write(folder.join("tokenizer.json"), tokenizer().to_string()).expect("its tokens");
    let marks = json!({"bos_token": "<|begin|>", "eos_token": "<|end|>", "add_bos_token": true});
    std::fs::write(folder.join("tokenizer_config.json"), marks.to_string()).expect("its marks");
}

/// A token for each byte, four marks, and the two that a vocabulary must have merged.
fn tokenizer() -> Value {
    let mut vocabulary = serde_json::Map::new();
    let mut hidden = 0;
    for byte in 0..=255u8 {
        // Bytes that cannot be seen are written as the characters from U+0100.
        let seen = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let shown =
            if seen { char::from(byte) } else { char::from_u32(256 + hidden).expect("one") };
        hidden += u32::from(!seen);
        vocabulary.insert(shown.to_string(), json!(byte));
    }
    vocabulary.insert("th".to_owned(), json!(260));
    vocabulary.insert("he".to_owned(), json!(261));
    let marks = ["<|begin|>", "<|end|>", "<|mark|>", "<|other|>"];
    let marks = marks.iter().enumerate().map(|(n, mark)| {
        json!({"id": 256 + n, "content": mark, "special": true, "normalized": false,
               "single_word": false, "lstrip": false, "rstrip": false})
    });
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
    json!({
        "version": "1.0", "added_tokens": marks.collect::<Vec<_>>(), "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [bytes]}, "decoder": bytes,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": ["t h", "h e"]},
    })
}

/// An Ollama with the model `speaker`, and an embedding model where there is one.
struct Ollama {
    program: PathBuf,
    state: PathBuf,
    address: SocketAddr,
    server: Option<Tethered>,
}

impl Ollama {
    fn start(place: &Place) -> Option<Self> {
        let program = installed("ollama/ollama", "tests/ollama.sh")?;
        let (folder, state) = (place.path().join("speaker"), place.path().join("ollama"));
        speaker(&folder);
        let mut models = vec![(folder, "speaker")];
        models.extend(minilm().map(|folder| (folder, "minilm")));
        let mut address = None;
        for (folder, name) in models {
            let mut import = Command::new("python3");
            import.arg(root().join("tests/ollama.py")).arg(&program).arg(folder).arg(&state);
            import.arg(name).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut import = import.spawn().expect("python3");
            let mut url = String::new();
            let out = import.stdout.take().expect("its output");
            BufReader::new(out).read_line(&mut url).expect("its address");
            drop(import.stdin.take());
            import.wait().expect("its end");
            address = url.trim().strip_prefix("http://").and_then(|a| a.parse().ok());
        }
        let address = address.expect("an ollama that took its models");
        let mut ollama = Ollama { program, state, address, server: None };
        ollama.serve();
        Some(ollama)
    }

    /// Starts it at the address that it had before.
    fn serve(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("serve").env("HOME", &self.state).env("OLLAMA_HOST", self.address.to_string());
        command.env("OLLAMA_MODELS", self.state.join("models"));
        let log = self.state.join("served.log");
        self.server = Some(Tethered::start(&command, &log));
        poll("ollama", PATIENCE, || is_there(self.address).then_some(()));
    }

    /// `here` streams, `whole` does not.
    fn settings(&self) -> String {
        let mut text = String::new();
        for (name, stream) in [("here", true), ("whole", false)] {
            text.push_str(&format!(
                "[[provider]]\nname = \"{name}\"\ndialect = \"ollama\"\nstream = {stream}\n\
                 url = \"http://{}\"\n",
                self.address
            ));
            for model in ["speaker", "minilm", "nobody"] {
                let id = format!("{name}-{model}");
                text.push_str(&row(name, &id, model, "window_tokens = 2048\n"));
            }
        }
        text
    }

    fn client(&self, place: &Place) -> Client {
        let config = place.write("synod.toml", self.settings()).to_string_lossy().into_owned();
        place.stdio(&["--config", &config])
    }
}

#[test]
fn an_ollama_answers_streaming_and_not() {
    let place = Place::new();
    let Some(ollama) = Ollama::start(&place) else { return };
    let mut client = ollama.client(&place);
    let health = client.answered("models", json!({"op": "check"}));
    for provider in health["health"].as_array().expect("providers") {
        assert!(provider["well"] == true && provider["version"].is_string(), "{health}");
    }
    for name in ["here", "whole"] {
        let model = format!("{name}-speaker");
        let answer = client.answered("models", infer(&model))["answer"].clone();
        assert_eq!(
            (&answer["text"], &answer["finish"]),
            (&json!(SAID), &json!("stop")),
            "{answer}"
        );
        // Its end is a token too.
        assert_eq!(answer["output_tokens"], SAID.len() + 1, "{answer}");
        assert!(answer["input_tokens"].as_u64() > Some(0), "{answer}");
        let mut short = infer(&model);
        short["params"] = json!({"max_tokens": 3});
        let cut = client.answered("models", short)["answer"].clone();
        assert_eq!((&cut["text"], &cut["finish"]), (&json!("Ans"), &json!("length")), "{cut}");
        assert_eq!(cut["output_tokens"], 3, "{cut}");
        let said = client.refused("models", infer(&format!("{name}-nobody")));
        assert!(said.contains("it is not there"), "{said}");
        let mut long = infer(&model);
        long["input"] = json!("tide ".repeat(1_000));
        let said = client.refused("models", long);
        assert!(said.contains("too long for its window"), "{said}");
        if minilm().is_some() {
            let said = client.refused("models", infer(&format!("{name}-minilm")));
            assert!(said.contains("refuses the request as it stands"), "{said}");
        }
    }
    let seats = ["here-speaker", "whole-speaker", "here-nobody"];
    let args = json!({"query": "What is half of 84?", "models": seats});
    let reply = client.answered("orchestrate", args);
    assert_eq!(reply["verdict"]["answer"], "42", "{reply}");
    assert_eq!(reply["verdict"]["clusters"][0]["models"], json!(["here-speaker", "whole-speaker"]));
}

#[test]
fn an_ollama_that_is_gone_is_no_connection_and_answers_when_it_is_back() {
    let place = Place::new();
    let Some(mut ollama) = Ollama::start(&place) else { return };
    let mut client = ollama.client(&place);
    let asked = infer("here-speaker");
    assert_eq!(client.answered("models", asked.clone())["answer"]["text"], SAID);
    ollama.server = None;
    let health = client.answered("models", json!({"op": "check"}));
    for provider in health["health"].as_array().expect("providers") {
        assert_eq!((&provider["well"], &provider["failure"]), (&json!(false), &json!("connect")));
    }
    let said = client.refused("models", asked.clone());
    assert!(said.contains("no connection; check that the server runs"), "{said}");
    ollama.serve();
    let health = client.answered("models", json!({"op": "check"}));
    assert_eq!(health["health"][0]["well"], true, "{health}");
    // Its breaker lets a call through after a while, and closes behind an answer.
    let reply = poll("an answer", PATIENCE, || {
        let result = client.call("models", asked.clone());
        (result["isError"] != true).then(|| result["structuredContent"]["answer"].clone())
    });
    assert_eq!(reply["text"], SAID, "{reply}");
    let models = client.answered("models", json!({}));
    assert_eq!(models["models"][0]["breaker"], "closed", "{models}");
}

#[test]
fn an_ollama_loads_a_model_before_it_is_asked() {
    let place = Place::new();
    let Some(ollama) = Ollama::start(&place) else { return };
    let url = format!("http://{}", ollama.address);
    let row = |id: &str| Model { window_tokens: 2_048, ..Model::new(id, "here", id) };
    let engine = Engine::new(Catalog {
        providers: vec![Provider::new("here", Dialect::Ollama, &url)],
        models: vec![row("speaker"), row("nobody")],
        ..Catalog::default()
    });
    let engine = engine.expect("an engine");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let before = engine.health(Policy::default()).await;
        assert!(before[0].models.iter().any(|name| name == "speaker:latest"), "{before:?}");
        assert_eq!(before[0].loaded, Vec::<String>::new());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let keep = Duration::from_secs(600);
        assert!(engine.warm("speaker", keep, deadline).await.expect("loaded"));
        let after = engine.health(Policy::default()).await;
        assert_eq!(after[0].loaded, ["speaker:latest"]);
        let refused = engine.warm("nobody", keep, deadline).await.expect_err("not there");
        assert_eq!(refused.kind, FailureKind::NotFound);
    });
}
