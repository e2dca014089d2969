//! What a verdict costs, and what asking through the engine adds to a call: beside a bare HTTP
//! client that makes the same calls of the same scripted server, in the same run.

use crate::judged;
use axum::routing::post;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use synod::eval::answers::Recorded;
use synod_council::Kind;
use synod_council::verdict::{Case, Vote, decide};
use synod_llm::{Ask, Catalog, Dialect, Engine, Key, Limits, Model, Policy, Price, Provider};

/// A server of chat completions that answers after as many milliseconds as the model is called.
pub fn server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("http://{}/v1", listener.local_addr().expect("an address"));
        let router = axum::Router::new().route("/v1/chat/completions", post(answer));
        axum::serve(listener, router).await.expect("it serves");
    });
}

async fn answer(axum::Json(body): axum::Json<Value>) -> axum::Json<Value> {
    let model = body["model"].as_str().unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(model.parse().unwrap_or(0))).await;
    axum::Json(json!({
        "id": "c", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "Answer: 42"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }))
}

/// The scripted server as a process of its own.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg("chat").stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server");
        let mut url = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut url).expect("its address");
        Server { child, url: url.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this process.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn percentile(sorted: &[Duration], p: f64) -> f64 {
    let at = ((sorted.len() as f64 - 1.0) * p).round() as usize;
    sorted[at].as_secs_f64() * 1e3
}

/// Runs `calls` of `call` with `n` at a time and prints what came on top of `delay`.
pub async fn measure<F, W>(name: &str, n: usize, calls: usize, delay: Duration, call: F)
where
    F: Fn() -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let mut took: Vec<Duration> = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    let (start, before) = (Instant::now(), cpu());
    for _ in 0..calls {
        if running.len() >= n {
            took.extend(running.join_next().await.into_iter().flatten());
        }
        let work = call();
        running.spawn(async move {
            let start = Instant::now();
            work.await;
            start.elapsed().saturating_sub(delay)
        });
    }
    while let Some(one) = running.join_next().await {
        took.extend(one);
    }
    let (wall, cpu) = (start.elapsed(), cpu().saturating_sub(before));
    // The first round opens the connections.
    took.drain(..n.min(took.len() / 2));
    took.sort_unstable();
    let each = cpu.as_secs_f64() * 1e6 / calls as f64;
    println!(
        "| {name} | {n} | {} ms | {:.3} | {:.3} | {each:.0} | {:.0} |",
        delay.as_millis(),
        percentile(&took, 0.5),
        percentile(&took, 0.99),
        calls as f64 / wall.as_secs_f64(),
    );
}

fn verdicts() {
    let vote = |model: &str, text: &str| Vote {
        model: model.to_owned(),
        text: text.to_owned(),
        ..Vote::default()
    };
    let case = |kind: Kind, votes: Vec<Vote>| Case {
        question: "Which is it?".to_owned(),
        kind: Some(kind),
        options: Vec::new(),
        votes,
        ..Case::default()
    };
    let five = ["42", "42", "41", "42", "7"].iter().zip(["a", "b", "c", "d", "e"]);
    let five = case(Kind::Number, five.map(|(text, model)| vote(model, text)).collect());
    let time = |case: &Case, rounds: u32| {
        let start = Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(decide(std::hint::black_box(case)));
        }
        start.elapsed() / rounds
    };
    println!("verdict of five exact answers: {:?} (asked 50 µs)", time(&five, 20_000));
    let path = judged().with_file_name("consensus").join("misguided_attention.jsonl.gz");
    let Ok(set) = Recorded::open(&path) else {
        return println!("no recorded answers at hand: long ones are not measured");
    };
    let mut worst = Duration::ZERO;
    for question in &set.questions {
        let answers = question.answers.iter().step_by(9).take(12);
        let votes = answers.enumerate().map(|(n, a)| vote(&format!("m{n}"), &a.text)).collect();
        worst = worst.max(time(&case(Kind::Long, votes), 3));
    }
    println!(
        "verdict of twelve long answers, slowest of {}: {worst:?} (asked 20 ms)",
        set.questions.len()
    );
}

/// An engine of that server; priced where it has a budget for the day.
fn engine(url: &str, delays: &[u64], day_usd_micros: Option<u64>) -> Engine {
    let mut provider = Provider::new("p", Dialect::OpenAi, url);
    provider.keys = vec![Key { label: "k".to_owned(), secret: "bench-key".to_owned() }];
    provider.stream = false;
    provider.concurrent_max = 4_000;
    let price = Price {
        input: 1_000_000,
        output: 1_000_000,
        cached_input: None,
        as_of: String::new(),
        source: String::new(),
    };
    let model = |ms: &u64| Model {
        price: day_usd_micros.map(|_| price.clone()),
        ..Model::new(&ms.to_string(), "p", &ms.to_string())
    };
    let models = delays.iter().map(model).collect();
    let limits = Limits { day_usd_micros, ..Limits::default() };
    Engine::new(Catalog { providers: vec![provider], models, limits }).expect("an engine")
}

/// All of it.
pub fn run() {
    verdicts();
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    println!(
        "\n| client | at a time | reply after | added p50 ms | p99 ms | CPU µs a call | calls/s |"
    );
    println!("|---|---|---|---|---|---|---|");
    runtime.expect("a runtime").block_on(async {
        let plain = engine(&server.url, &[20, 1_000], None);
        // A million dollars, reserved in the store that processes share.
        let budgeted = engine(&server.url, &[20, 1_000], Some(1_000_000_000_000));
        let data = tempfile::tempdir().expect("a folder");
        let store = synod_store::Store::open(data.path()).expect("a store");
        let _till = synod::spending::keep(&budgeted, &store, data.path()).expect("a till");
        let bare = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("{}/chat/completions", server.url);
        for (n, calls, ms) in [(1, 300, 20), (100, 20_000, 20), (1_000, 10_000, 1_000)] {
            let delay = Duration::from_millis(ms);
            let body = json!({"model": ms.to_string(), "max_tokens": 1_024,
                              "messages": [{"role": "user", "content": "How many?"}]});
            measure("bare HTTP client", n, calls, delay, || {
                let request = bare.post(&url).bearer_auth("bench-key").json(&body);
                async move {
                    let reply = request.send().await.expect("a reply").bytes().await;
                    let reply: Value =
                        serde_json::from_slice(&reply.expect("a body")).expect("JSON");
                    assert!(reply["choices"].is_array());
                }
            })
            .await;
            for (name, engine) in [("engine", &plain), ("engine with a budget", &budgeted)] {
                measure(name, n, calls, delay, || {
                    let engine = engine.clone();
                    async move {
                        let mut ask = Ask::new(&ms.to_string(), "How many?");
                        ask.policy = Policy::Cloud;
                        let until = tokio::time::Instant::now() + Duration::from_secs(60);
                        let answer = engine.ask(ask, until).await.expect("an answer");
                        assert_eq!(answer.text, "Answer: 42");
                    }
                })
                .await;
            }
        }
    });
}

/// Anonymous memory of this process, in MB.
fn anonymous_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0");
    let kb: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    kb / 1024.0
}

/// Memory over `n` calls, a hundred at a time, each with another question.
pub fn calls(n: usize) {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    println!("| calls | anonymous MB |");
    println!("|---|---|");
    runtime.expect("a runtime").block_on(async {
        let engine = engine(&server.url, &[0], None);
        let mut running = tokio::task::JoinSet::new();
        for call in 0..n {
            if running.len() >= 100 {
                running.join_next().await;
            }
            let engine = engine.clone();
            running.spawn(async move {
                // At temperature 0: each answer goes into the cache.
                let mut ask = Ask::new("0", &format!("How many are {call}?"));
                (ask.policy, ask.temperature) = (Policy::Cloud, Some(0.0));
                let until = tokio::time::Instant::now() + Duration::from_secs(60);
                engine.ask(ask, until).await.expect("an answer");
            });
            if (call + 1) % (n / 10).max(1) == 0 {
                println!("| {} | {:.1} |", call + 1, anonymous_mb());
            }
        }
        while running.join_next().await.is_some() {}
    });
    println!("| end | {:.1} |", anonymous_mb());
}
