//! The engine's doors: cache, hedging, replay, record, reload, budgets, events, health.

use crate::script_tests::{
    Act, End, Server, ask, backed, beginning, ending, engine, good, key, limited, provider,
    refusal, single, stream, within,
};
use crate::{
    Ask, Catalog, Charge, Dialect, Engine, Event, FailureKind, FellBack, Hear, Model, Policy,
    Price, Provider, Recorder, Spent, Transcripts, Wanted,
};
use futures::FutureExt;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OPENAI: Dialect = Dialect::OpenAi;
const PATIENCE: Duration = Duration::from_secs(10);

fn exact() -> Ask {
    Ask { temperature: Some(0.0), ..ask("m") }
}

fn priced(mut catalog: Catalog) -> Catalog {
    for model in &mut catalog.models {
        let (as_of, source) = ("2025-06-30".to_owned(), "test".to_owned());
        let price =
            Price { input: 1_000_000, output: 1_000_000, cached_input: None, as_of, source };
        model.price = Some(price);
    }
    catalog
}

/// Collects what is heard.
fn ear() -> (Hear, Arc<Mutex<Vec<Event>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    (Arc::new(move |event: &Event| into.lock().expect("a list").push(event.clone())), heard)
}

#[tokio::test]
async fn equal_exact_asks_are_one_call() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let engine = engine(priced(single(OPENAI, &server)));
    let first = engine.ask(exact(), within(10_000)).await.expect("an answer");
    assert_eq!((first.cached, first.cost_usd_micros), (false, Some(15)));
    let (hear, heard) = ear();
    let second = engine.ask_heard(exact(), within(10_000), hear).await.expect("an answer");
    assert_eq!((second.cached, second.cost_usd_micros, server.n()), (true, Some(0), 1));
    assert_eq!((second.text, second.attempts.len()), (first.text, 0));
    assert_eq!(heard.lock().expect("a list").len(), 2);
    assert_eq!(engine.spent().day_usd_micros, 15);
    // Without temperature 0 only who says so takes a known answer.
    let free = Ask { temperature: Some(0.7), ..ask("m") };
    for (cache, n) in [(false, 2), (false, 3), (true, 4), (true, 4)] {
        let ask = Ask { cache, ..free.clone() };
        engine.ask(ask, within(10_000)).await.expect("an answer");
        assert_eq!(server.n(), n);
    }
    assert_eq!(engine.metrics().cached, 2);
}

#[tokio::test]
async fn answers_of_others_are_not_kept() {
    let down = Server::start(vec![refusal(404, &json!({}))]);
    let up = Server::start(vec![good(OPENAI, "because")]);
    let engine = engine(backed(&down, &up));
    for n in 1..3 {
        let answer = engine.ask(exact(), within(10_000)).await.expect("the fallback's");
        assert_eq!((answer.cached, up.n()), (false, n));
    }
}

#[tokio::test]
async fn equal_asks_at_once_are_one_call_and_share_its_failure() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let engine = engine(single(OPENAI, &server));
    let asks = (0..20).map(|_| engine.ask(exact(), within(10_000)));
    let answers = futures::future::join_all(asks).await;
    let made = answers.iter().filter(|a| a.as_ref().is_ok_and(|answer| !answer.cached)).count();
    assert_eq!((made, server.n()), (1, 1));
    assert!(answers.iter().all(Result::is_ok));
    server.change(vec![refusal(401, &json!({}))]);
    let other = Ask { seed: Some(1), ..exact() };
    let asks = (0..20).map(|_| engine.ask(other.clone(), within(10_000)));
    for result in futures::future::join_all(asks).await {
        assert_eq!(result.expect_err("a failure").kind, FailureKind::Auth);
    }
    assert_eq!(server.n(), 2);
}

#[tokio::test]
async fn who_waits_for_a_call_keeps_it_though_its_first_asker_goes() {
    let server = Server::start(vec![limited(Some("0.2")), good(OPENAI, "because")]);
    let engine = engine(single(OPENAI, &server));
    let first =
        tokio::time::timeout(Duration::from_millis(100), engine.ask(exact(), within(9_000)));
    let second = engine.ask(exact(), within(10_000));
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err(), "it went");
    assert_eq!((second.expect("an answer").text.as_str(), server.n()), ("because", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_ask_cancels_its_call_and_leaves_nothing() {
    let half = beginning(OPENAI, "half an answer");
    let server = Server::start(vec![stream(OPENAI, &half, End::Hang)]);
    let engine = engine(priced(single(OPENAI, &server)));
    let (hear, heard) = ear();
    let asked = engine.ask_heard(ask("m"), within(60_000), hear);
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    server.gone.recv_timeout(PATIENCE).expect("the call was cancelled");
    let lane = engine.lanes().remove(0);
    assert_eq!((lane.running, lane.waiting, lane.breaker.failures), (0, 0, 0));
    assert!(!heard.lock().expect("a list").is_empty());
    // What may have been billed is charged: what was read, and what came.
    let spent = engine.spent().day_usd_micros;
    assert!((10..100).contains(&spent), "{spent}");
}

#[tokio::test]
async fn text_is_heard_as_it_comes_and_void_when_it_fails() {
    let half = stream(OPENAI, &beginning(OPENAI, "half"), End::Cut);
    let server = Server::start(vec![half, good(OPENAI, "whole")]);
    let (hear, heard) = ear();
    let engine = engine(single(OPENAI, &server));
    engine.ask_heard(ask("m"), within(10_000), hear).await.expect("an answer");
    let model = || "m".to_owned();
    let text = |delta: &str| Event::Text { model: model(), delta: delta.to_owned() };
    let begun = Event::Begun { model: model() };
    let expected =
        [begun.clone(), text("half"), Event::Void { model: model() }, begun, text("whole")];
    assert_eq!(*heard.lock().expect("a list"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_model_is_hedged_and_the_loser_cancelled() {
    let slow = Server::start(vec![Act::Hang]);
    let quick = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = backed(&slow, &quick);
    catalog.models[0].fallbacks.clear();
    let engine = engine(catalog);
    let soft = Duration::from_millis(60);
    let answer = engine.ask_hedged(ask("m"), &["n".to_owned()], soft, within(10_000)).await;
    let answer = answer.expect("the quick one's");
    assert_eq!((answer.model.as_str(), answer.asked.as_str()), ("n", "m"));
    assert_eq!(answer.fell_back, Some(FellBack::Slow));
    assert_eq!(answer.attempts[0].failure, Some(FailureKind::Cancelled));
    assert_eq!((slow.n(), quick.n()), (1, 1));
    slow.gone.recv_timeout(PATIENCE).expect("the loser was cancelled");
}

#[tokio::test]
async fn hedging_starts_nothing_without_need_and_replaces_who_fails() {
    let one = Server::start(vec![good(OPENAI, "one")]);
    let two = Server::start(vec![good(OPENAI, "two")]);
    let mut catalog = backed(&one, &two);
    catalog.models[0].fallbacks.clear();
    let engine = engine(catalog);
    let others = ["n".to_owned()];
    let soft = Duration::from_secs(5);
    let answer = engine.ask_hedged(ask("m"), &others, soft, within(10_000)).await;
    assert_eq!(answer.expect("an answer").text, "one");
    assert_eq!(two.n(), 0);
    one.change(vec![refusal(404, &json!({}))]);
    let answer = engine.ask_hedged(ask("m"), &others, soft, within(10_000)).await;
    let answer = answer.expect("the other's");
    assert_eq!(answer.fell_back, Some(FellBack::Failed(FailureKind::NotFound)));
    two.change(vec![refusal(401, &json!({}))]);
    let failure = engine.ask_hedged(ask("m"), &others, soft, within(10_000)).await;
    let failure = failure.expect_err("both failed");
    assert_eq!((failure.kind, failure.attempts.len()), (FailureKind::NotFound, 2));
}

#[tokio::test]
async fn what_a_recorder_wrote_is_replayed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("t.jsonl");
    let server = Server::start(vec![good(OPENAI, "because of sk-secret-one")]);
    let mut catalog = single(OPENAI, &server);
    catalog.models[0].vendor = "acme".to_owned();
    let live = engine(catalog);
    live.record(Recorder::open(&path, true).expect("opened"));
    live.ask(ask("m"), within(10_000)).await.expect("an answer");
    let known = Transcripts::open(&path).expect("read");
    assert_eq!(known.models()[0].vendor, "acme");
    let replay = Provider::new("r", Dialect::Replay, &path.display().to_string());
    let catalog = Catalog {
        providers: vec![Provider { local: true, ..replay }],
        models: vec![Model::new("m", "r", "toy")],
        ..Catalog::default()
    };
    let replayed = engine(catalog);
    let local = Ask { policy: Policy::Local, ..ask("m") };
    let (hear, heard) = ear();
    let answer = replayed.ask_heard(local, within(10_000), hear).await.expect("recorded");
    assert_eq!((answer.text.as_str(), answer.usage.output), ("because of [redacted]", 5));
    assert_eq!(heard.lock().expect("a list").len(), 2);
    let failure = replayed.ask(Ask::new("m", "who?"), within(10_000)).await.expect_err("a miss");
    assert_eq!(failure.kind, FailureKind::NotFound);
    assert!(failure.to_string().contains("transcripts"), "{failure}");
    assert_eq!(server.n(), 1);
}

#[tokio::test]
async fn reload_keeps_what_stays() {
    let server = Server::start(vec![limited(Some("3000"))]);
    let catalog = single(OPENAI, &server);
    let engine = engine(catalog.clone());
    engine.ask(ask("m"), within(300)).await.expect_err("limited");
    assert_eq!(engine.lanes()[0].breaker.state, "open");
    let mut wrong = catalog.clone();
    wrong.models[0].provider = "nobody".to_owned();
    assert!(engine.reload(wrong).is_err());
    // The key of before stays shut; the new one is used.
    let mut more = catalog.clone();
    more.providers[0].keys.push(key("two"));
    engine.reload(more).expect("reloaded");
    server.change(vec![good(OPENAI, "because")]);
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!((answer.attempts.len(), answer.attempts[0].key.as_str()), (1, "two"));
    // Another secret under the same label is another key.
    let mut other = catalog.clone();
    other.providers[0].keys[0].secret = "sk-another".to_owned();
    engine.reload(other).expect("reloaded");
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!(answer.attempts.len(), 1);
    engine.reload(Catalog::default()).expect("reloaded");
    assert_eq!(engine.lanes().len(), 0);
    let failure = engine.ask(ask("m"), within(100)).await.expect_err("gone");
    assert_eq!(failure.kind, FailureKind::UnknownModel);
}

#[tokio::test]
async fn calls_and_sessions_have_their_budget() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = priced(single(OPENAI, &server));
    catalog.limits.session_usd_micros = Some(1_100);
    let engine = engine(catalog);
    let charges: Arc<Mutex<Vec<Charge>>> = Arc::default();
    let into = Arc::clone(&charges);
    engine.on_charge(Arc::new(move |charge: &Charge| {
        into.lock().expect("a list").push(charge.clone());
    }));
    let mut asked = ask("m");
    asked.budgets.call_usd_micros = Some(1_000);
    let failure = engine.ask(asked.clone(), within(10_000)).await.expect_err("refused");
    let account = "call".to_owned();
    assert_eq!(failure.kind, FailureKind::Budget { account, left_usd_micros: 1_000 });
    asked.budgets.call_usd_micros = Some(2_000);
    asked.budgets.session = Some("s".to_owned());
    for _ in 0..2 {
        engine.ask(asked.clone(), within(10_000)).await.expect("within the budget");
    }
    let charge = charges.lock().expect("a list")[1].clone();
    assert_eq!((charge.usd_micros, charge.session.as_deref()), (15, Some("s")));
    let mut spent: Spent = engine.spent();
    assert_eq!((spent.sessions["s"], spent.providers["p"]), (30, 30));
    spent.sessions.insert("s".to_owned(), 1_000);
    engine.load_spent(spent);
    let failure = engine.ask(asked, within(10_000)).await.expect_err("refused");
    let account = "session".to_owned();
    assert_eq!(failure.kind, FailureKind::Budget { account, left_usd_micros: 100 });
}

#[tokio::test]
async fn shared_books_are_asked_before_a_call_and_told_after_it() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = priced(single(OPENAI, &server));
    catalog.limits.day_usd_micros = Some(1_000_000);
    let engine = engine(catalog);
    let charges: Arc<Mutex<Vec<Charge>>> = Arc::default();
    let into = Arc::clone(&charges);
    engine.on_charge(Arc::new(move |charge: &Charge| {
        into.lock().expect("a list").push(charge.clone());
    }));
    let wanted: Arc<Mutex<Vec<Wanted>>> = Arc::default();
    let into = Arc::clone(&wanted);
    engine.on_reserve(Arc::new(move |one: &Wanted| {
        let mut all = into.lock().expect("a list");
        all.push(one.clone());
        let n = all.len();
        // The first is granted, the second refused, the third never answered.
        async move {
            match n {
                1 => Ok(()),
                2 => Err(FailureKind::Books),
                _ => std::future::pending().await,
            }
        }
        .boxed()
    }));
    engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    let refused = engine.ask(ask("m"), within(10_000)).await.expect_err("refused");
    assert_eq!(refused.kind, FailureKind::Books);
    let late = engine.ask(ask("m"), within(100)).await.expect_err("late");
    assert_eq!((late.kind, server.n()), (FailureKind::Timeout, 1));
    let wanted = wanted.lock().expect("a list").clone();
    assert_eq!(Some(wanted[0].usd_micros), engine.bound(&ask("m")));
    let charges = charges.lock().expect("a list").clone();
    let ended: Vec<(Option<&str>, u64)> =
        charges.iter().map(|one| (one.reservation.as_deref(), one.usd_micros)).collect();
    // Whoever did not wait may have got it, and gives it back.
    assert_eq!(ended, [(Some(&*wanted[0].id), 15), (Some(&*wanted[2].id), 0)]);
    assert_eq!((wanted.len(), engine.spent().day_usd_micros), (3, 15));
}

#[tokio::test]
async fn an_answer_without_counts_costs_its_bound_and_a_refusal_nothing() {
    let silent = [beginning(OPENAI, "x"), ending(OPENAI, "stop")[..1].to_vec()].concat();
    let server = Server::start(vec![stream(OPENAI, &silent, End::Clean)]);
    let engine = engine(priced(single(OPENAI, &server)));
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    let bound = answer.cost_usd_micros.expect("a price");
    assert!(bound > 1_024, "{bound}");
    assert_eq!(engine.bound(&ask("m")), Some(bound));
    server.change(vec![refusal(400, &json!({}))]);
    engine.ask(ask("m"), within(10_000)).await.expect_err("refused");
    assert_eq!(engine.spent().day_usd_micros, bound);
}

#[tokio::test]
async fn a_failed_call_costs_what_was_counted_and_uncounted_thoughts_their_bound() {
    let choice = json!({"delta": {"refusal": "I cannot"}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 20, "completion_tokens": 4_000});
    let counted = json!({"choices": [], "usage": usage});
    let refused = [json!({ "choices": [choice] }), counted, json!("[DONE]")];
    let server = Server::start(vec![stream(OPENAI, &refused, End::Clean)]);
    let engine = engine(priced(single(OPENAI, &server)));
    let failure = engine.ask(ask("m"), within(10_000)).await.expect_err("refused");
    assert_eq!((failure.kind, engine.spent().day_usd_micros), (FailureKind::Filter, 4_020));
    // Who is cut while he thinks may be billed for all that he could write.
    let thinks = json!({"choices": [{"delta": {"reasoning_content": "hm"}}]});
    server.change(vec![stream(OPENAI, &[thinks], End::Hang)]);
    let failure = engine.ask(ask("m"), within(200)).await.expect_err("late");
    assert_eq!(failure.kind, FailureKind::Timeout);
    let bound = engine.bound(&ask("m")).expect("a price");
    assert_eq!(engine.spent().day_usd_micros, 4_020 + bound);
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let engine = engine(single(OPENAI, &server));
    for _ in 0..20 {
        engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    }
    let connections = server.requests().last().expect("a request").connection + 1;
    assert!(connections < 10, "{connections} connections for 20 calls");
}

#[tokio::test]
async fn a_thousand_asks_wait_without_a_thread_each() {
    let server = Server::start(vec![Act::Hang]);
    let mut catalog = single(OPENAI, &server);
    catalog.providers[0].concurrent_max = 8;
    let engine = engine(catalog);
    // On the one thread of this runtime.
    let asks = (0..1_000).map(|_| engine.ask(ask("m"), within(500)));
    let results = futures::future::join_all(asks).await;
    assert!(results.iter().all(Result::is_err));
    let lane = engine.lanes().remove(0);
    assert_eq!((lane.running, lane.waiting), (0, 0));
}

#[tokio::test]
async fn health_lists_what_is_there() {
    let list = |body: serde_json::Value| refusal(200, &body);
    let ollama = Server::start(vec![
        list(json!({"models": [{"name": "toy:latest"}]})),
        list(json!({"version": "0.17.0"})),
        list(json!({"models": [{"name": "toy:latest"}]})),
        list(json!({"done": true})),
    ]);
    let cloud = Server::start(vec![refusal(401, &json!({}))]);
    let mut catalog = single(Dialect::Ollama, &ollama);
    catalog.providers[0].local = true;
    catalog.providers.push(provider("q", Dialect::Gemini, &cloud));
    catalog.models.push(Model::new("n", "q", "gem"));
    let engine: Engine = engine(catalog);
    let health = engine.health(Policy::Local).await;
    assert_eq!(health[0].version.as_deref(), Some("0.17.0"));
    assert_eq!(
        (&health[0].models, &health[0].loaded),
        (&vec!["toy:latest".to_owned()], &health[0].models)
    );
    assert_eq!((health[1].asked, cloud.n()), (false, 0));
    assert!(engine.warm("m", Duration::from_secs(300), within(10_000)).await.expect("loaded"));
    let warmed = ollama.requests().remove(3);
    assert_eq!((warmed.path.as_str(), &warmed.body["keep_alive"]), ("/api/generate", &json!(300)));
    assert!(!engine.warm("n", Duration::ZERO, within(10_000)).await.expect("nothing to do"));
    ollama.change(vec![refusal(404, &json!({"error": "model not found"}))]);
    let failure = engine.warm("m", Duration::ZERO, within(10_000)).await.expect_err("not there");
    assert_eq!(failure.kind, FailureKind::NotFound);
    let health = engine.health(Policy::Cloud).await;
    assert_eq!(health[1].failure, Some(FailureKind::Auth));
    cloud.change(vec![list(json!({"models": [{"name": "models/gem"}]}))]);
    assert_eq!(engine.health(Policy::Cloud).await[1].models, ["gem"]);
}

#[tokio::test]
async fn metrics_count_calls_failures_and_tokens() {
    let server = Server::start(vec![refusal(500, &json!({})), good(OPENAI, "because")]);
    let engine = engine(single(OPENAI, &server));
    engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    let metrics = engine.metrics().providers.remove("p").expect("a provider");
    assert_eq!((metrics.calls, metrics.answers, metrics.failures["server"]), (2, 1, 1));
    assert_eq!((metrics.usage.input, metrics.usage.output, metrics.usage.reasoning), (10, 5, 2));
    assert_eq!(metrics.latency.iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn no_failure_shows_a_key() {
    let echo = json!({"error": {"message": "Incorrect API key provided: sk-secret-one"}});
    let server = Server::start(vec![refusal(401, &echo)]);
    let failure = engine(single(OPENAI, &server)).ask(ask("m"), within(10_000)).await;
    let failure = failure.expect_err("a failure");
    assert!(!format!("{failure} {failure:?}").contains("sk-secret"), "{failure:?}");
}

#[test]
fn asks_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let engine = engine(Catalog::default());
    is_send(&engine.ask(ask("m"), within(1)));
    is_send(&engine.ask_hedged(ask("m"), &[], Duration::ZERO, within(1)));
    is_send(&engine.health(Policy::Local));
    is_send(&engine.warm("m", Duration::ZERO, within(1)));
}
