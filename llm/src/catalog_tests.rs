//! Every field of a catalog's row does what it says: one test or more for each.

use crate::script_tests::{
    Act, End, Server, ask, backed, beginning, ending, engine, good, key, provider, refusal, single,
    stream, within,
};
use crate::{Ask, Catalog, Dialect, FailureKind, FellBack, Limits, Model, Policy, Price, Provider};
use serde_json::json;
use std::time::{Duration, Instant};

const OPENAI: Dialect = Dialect::OpenAi;

fn price(input: u64, output: u64) -> Option<Price> {
    let (as_of, source) = ("2025-06-30".to_owned(), "test".to_owned());
    Some(Price { input, output, cached_input: Some(input / 2), as_of, source })
}

#[tokio::test]
async fn url_and_dialect_name_the_place_and_the_key_has_its_header() {
    for (dialect, path, header, value) in [
        (Dialect::Ollama, "/base/api/chat", "authorization", "Bearer sk-secret-one"),
        (OPENAI, "/base/chat/completions", "authorization", "Bearer sk-secret-one"),
        (Dialect::Mistral, "/base/chat/completions", "authorization", "Bearer sk-secret-one"),
        (Dialect::Responses, "/base/responses", "authorization", "Bearer sk-secret-one"),
        (Dialect::Anthropic, "/base/messages", "x-api-key", "sk-secret-one"),
        (
            Dialect::Gemini,
            "/base/models/toy:streamGenerateContent?alt=sse",
            "x-goog-api-key",
            "sk-secret-one",
        ),
    ] {
        let server = Server::start(vec![good(dialect, "because")]);
        let mut catalog = single(dialect, &server);
        catalog.providers[0].url = format!("{}/base", server.url);
        engine(catalog.clone()).ask(ask("m"), within(10_000)).await.expect("an answer");
        let request = server.requests().remove(0);
        assert_eq!(request.path, path);
        assert_eq!(request.headers[header], value, "{dialect:?}");
        assert_eq!(
            request.headers.contains_key("anthropic-version"),
            dialect == Dialect::Anthropic
        );
        catalog.providers[0].key_header = Some("api-key".to_owned());
        engine(catalog.clone()).ask(ask("m"), within(10_000)).await.expect("an answer");
        let request = server.requests().remove(1);
        assert_eq!(request.headers["api-key"], "sk-secret-one");
        assert!(!request.headers.contains_key(header));
        catalog.providers[0].keys.clear();
        engine(catalog).ask(ask("m"), within(10_000)).await.expect("an answer");
        assert!(!server.requests()[2].headers.contains_key("api-key"));
    }
}

#[tokio::test]
async fn keys_take_turns() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = single(OPENAI, &server);
    catalog.providers[0].keys.extend([key("two"), key("three")]);
    let engine = engine(catalog);
    let mut labels = Vec::new();
    for _ in 0..6 {
        let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
        labels.push(answer.attempts[0].key.clone());
    }
    labels.sort();
    assert_eq!(labels, ["one", "one", "three", "three", "two", "two"]);
}

#[tokio::test]
async fn stream_off_asks_for_one_piece() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
    let ollama = json!({"model": "toy", "message": {"content": "because"}, "done": true,
        "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 5});
    let openai = json!({"model": "toy", "usage": usage,
        "choices": [{"message": {"content": "because"}, "finish_reason": "stop"}]});
    let parts = json!({"model": "toy", "usage": usage, "choices": [{"finish_reason": "stop",
        "message": {"content": [{"type": "thinking"}, {"type": "text", "text": "because"}]}}]});
    let responses = json!({"model": "toy", "status": "completed", "output": [{"type": "message",
        "content": [{"type": "output_text", "text": "because"}]}],
        "usage": {"input_tokens": 10, "output_tokens": 5}});
    let anthropic = json!({"model": "toy", "content": [{"type": "text", "text": "because"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 5}});
    let gemini = json!({"modelVersion": "toy", "candidates": [{"finishReason": "STOP",
        "content": {"parts": [{"text": "because"}]}}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5}});
    for (dialect, body) in [
        (Dialect::Ollama, ollama),
        (OPENAI, openai),
        (Dialect::Mistral, parts),
        (Dialect::Responses, responses),
        (Dialect::Anthropic, anthropic),
        (Dialect::Gemini, gemini),
    ] {
        let server = Server::start(vec![refusal(200, &body)]);
        let mut catalog = single(dialect, &server);
        // A server that cannot stream is understood though a stream was asked for.
        for streams in [true, false] {
            catalog.providers[0].stream = streams;
            let answer = engine(catalog.clone()).ask(ask("m"), within(10_000)).await;
            let answer = answer.unwrap_or_else(|failure| panic!("{dialect:?}: {failure}"));
            assert_eq!((answer.text.as_str(), answer.usage.output), ("because", 5), "{dialect:?}");
        }
        let request = server.requests().remove(1);
        let asked = request.body["stream"] == true || request.path.contains("alt=sse");
        assert!(!asked, "{dialect:?}");
    }
}

#[tokio::test]
async fn local_is_what_the_policy_goes_by() {
    let cloud = Server::start(vec![good(OPENAI, "cloud")]);
    let home = Server::start(vec![good(OPENAI, "home")]);
    let mut catalog = backed(&cloud, &home);
    let local = Ask { policy: Policy::Local, ..ask("m") };
    let refused = engine(catalog.clone()).ask(local.clone(), within(10_000)).await;
    assert_eq!(refused.expect_err("refused").kind, FailureKind::Policy);
    catalog.providers[1].local = true;
    let engine = engine(catalog);
    let answer = engine.ask(local, within(10_000)).await.expect("the local one's");
    assert_eq!((answer.text.as_str(), answer.fell_back), ("home", Some(FellBack::Policy)));
    assert_eq!(answer.cost_usd_micros, Some(0), "what runs at home costs nothing");
    assert_eq!(cloud.n(), 0);
    // Local first goes on to others when nobody at home answers, and says so.
    home.change(vec![refusal(404, &json!({}))]);
    let first = Ask { policy: Policy::LocalFirst, ..ask("m") };
    let answer = engine.ask(first, within(10_000)).await.expect("the other's");
    assert_eq!((answer.text.as_str(), answer.fell_back), ("cloud", None));
    let failure = answer.attempts[0].failure.clone();
    assert_eq!((answer.attempts[0].model.as_str(), failure), ("n", Some(FailureKind::NotFound)));
}

#[tokio::test]
async fn requests_and_tokens_a_minute_are_kept() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let limits: [fn(&mut Provider); 2] = [
        |p| p.requests_per_minute = Some(2),
        // Two asks of some 30 tokens read and 1,024 written.
        |p| p.tokens_per_minute = Some(2_200),
    ];
    for limit in limits {
        let before = server.n();
        let mut catalog = single(OPENAI, &server);
        limit(&mut catalog.providers[0]);
        let silent = [beginning(OPENAI, "x"), ending(OPENAI, "stop")[..1].to_vec()].concat();
        // Without counts nothing comes back.
        server.change(vec![stream(OPENAI, &silent, End::Clean)]);
        let engine = engine(catalog);
        for _ in 0..2 {
            engine.ask(ask("m"), within(10_000)).await.expect("within the limit");
        }
        let failure = engine.ask(ask("m"), within(500)).await.expect_err("over it");
        assert_eq!(failure.kind.name(), "rate_limit");
        assert_eq!(server.n() - before, 2, "the third was not sent");
    }
}

#[tokio::test]
async fn concurrent_max_is_kept() {
    let server = Server::start(vec![Act::Hang]);
    let mut catalog = single(OPENAI, &server);
    catalog.providers[0].concurrent_max = 2;
    let engine = engine(catalog);
    let asks = (0..5).map(|n| engine.ask(ask("m"), within(if n < 2 { 1_000 } else { 300 })));
    let results = futures::future::join_all(asks).await;
    assert_eq!(server.n(), 2);
    let limited = results.iter().filter(|r| matches!(r, Err(f) if f.kind.name() == "rate_limit"));
    assert_eq!(limited.count(), 3);
}

#[tokio::test]
async fn connect_ms_ends_a_connection_that_does_not_come_about() {
    // It takes the connection and never says a word of TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Server::start(vec![Act::Hang]);
    let mut catalog = single(OPENAI, &server);
    catalog.providers[0].url = format!("https://{address}");
    catalog.providers[0].connect_ms = 60;
    let start = Instant::now();
    let failure = engine(catalog).ask(ask("m"), within(30_000)).await.expect_err("a failure");
    assert_eq!(failure.kind, FailureKind::Connect);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(failure.note.contains("connect_ms"), "{failure}");
}

#[tokio::test]
async fn first_token_ms_and_total_ms_end_a_call() {
    let half = stream(OPENAI, &beginning(OPENAI, "half"), End::Hang);
    for (act, first, total, field) in [
        (Act::Hang, 60, 60_000, "first_token_ms"),
        (Act::Hang, 60_000, 60, "total_ms"),
        (half, 5_000, 300, "total_ms"),
    ] {
        let server = Server::start(vec![act]);
        let mut catalog = single(OPENAI, &server);
        catalog.providers[0].first_token_ms = first;
        catalog.providers[0].total_ms = total;
        let failure = engine(catalog).ask(ask("m"), within(60_000)).await.expect_err("a failure");
        assert_eq!((failure.kind, server.n()), (FailureKind::Timeout, 3));
        assert!(failure.note.contains(field), "{}", failure.note);
    }
}

#[tokio::test]
async fn a_month_over_its_threshold_prefers_fallbacks_and_its_end_refuses() {
    let dear = Server::start(vec![good(OPENAI, "dear")]);
    let cheap = Server::start(vec![good(OPENAI, "cheap")]);
    let mut catalog = backed(&dear, &cheap);
    // An answer of 10 and 5 tokens costs 6 + 4 / 2 + 50 = 58; a bound is some 10,300.
    catalog.models[0].price = price(1_000_000, 10_000_000);
    catalog.models[1].price = price(0, 0);
    catalog.providers[0].monthly_usd_micros = Some(11_000);
    catalog.providers[0].fallback_threshold = 0.01;
    let engine = engine(catalog.clone());
    for text in ["dear", "dear"] {
        let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
        assert_eq!((answer.text.as_str(), answer.cost_usd_micros), (text, Some(58)));
    }
    assert_eq!(engine.spent().providers["p"], 116);
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!((answer.text.as_str(), answer.fell_back), ("cheap", Some(FellBack::Quota)));
    // The fallback is down: what is left of the month may be used.
    cheap.change(vec![refusal(404, &json!({}))]);
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!(answer.text, "dear");
    catalog.providers[0].monthly_usd_micros = Some(174);
    engine.reload(catalog).expect("reloaded");
    let failure = engine.ask(ask("m"), within(10_000)).await.expect_err("refused");
    let account = "provider p".to_owned();
    assert_eq!(failure.kind, FailureKind::Budget { account, left_usd_micros: 0 });
}

#[tokio::test]
async fn name_and_limits_of_a_model_are_sent() {
    for (dialect, window, limit) in [
        (Dialect::Ollama, "/options/num_ctx", "/options/num_predict"),
        (OPENAI, "", "/max_tokens"),
        (Dialect::Mistral, "", "/max_tokens"),
        (Dialect::Anthropic, "", "/max_tokens"),
        (Dialect::Responses, "", "/max_output_tokens"),
        (Dialect::Gemini, "", "/generationConfig/maxOutputTokens"),
    ] {
        let server = Server::start(vec![good(dialect, "because")]);
        let mut catalog = single(dialect, &server);
        catalog.models[0].window_tokens = 4_321;
        catalog.models[0].output_tokens_max = 77;
        engine(catalog).ask(ask("m"), within(10_000)).await.expect("an answer");
        let request = server.requests().remove(0);
        assert!(request.body["model"] == "toy" || request.path.contains("/toy:"), "{dialect:?}");
        assert_eq!(request.body.pointer(limit), Some(&json!(77)), "{dialect:?}");
        if !window.is_empty() {
            assert_eq!(request.body.pointer(window), Some(&json!(4_321)));
            assert_eq!(request.body["truncate"], false);
        }
    }
}

#[tokio::test]
async fn what_is_surely_over_the_window_is_not_sent() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = single(OPENAI, &server);
    catalog.models[0].window_tokens = 100;
    let engine = engine(catalog);
    let long = Ask { messages: Ask::new("m", &"word ".repeat(200)).messages, ..ask("m") };
    let failure = engine.ask(long, within(10_000)).await.expect_err("refused");
    assert_eq!((failure.kind, server.n()), (FailureKind::Context, 0));
    assert_eq!(engine.lanes()[0].breaker.failures, 0);
}

#[tokio::test]
async fn vendor_family_and_tier_are_told_of_the_one_that_answers() {
    let down = Server::start(vec![refusal(404, &json!({}))]);
    let up = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = backed(&down, &up);
    for (model, word) in catalog.models.iter_mut().zip(["first", "second"]) {
        model.vendor = format!("{word} vendor");
        model.family = format!("{word} family");
        model.tier = format!("{word} tier");
    }
    let engine = engine(catalog);
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!(
        (answer.vendor.as_str(), answer.family.as_str()),
        ("second vendor", "second family")
    );
    assert_eq!(engine.model(&answer.model).map(|m| m.tier).as_deref(), Some("second tier"));
}

#[tokio::test]
async fn a_pinned_version_reports_another_one() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = single(OPENAI, &server);
    for (version, other) in [(None, false), (Some("toy-1"), false), (Some("toy-2"), true)] {
        catalog.models[0].version = version.map(str::to_owned);
        let answer = engine(catalog.clone()).ask(ask("m"), within(10_000)).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.version.as_str(), answer.other_version), ("toy-1", other));
    }
}

#[tokio::test]
async fn prices_make_costs_and_no_price_makes_none() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = single(OPENAI, &server);
    let answer = engine(catalog.clone()).ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!(answer.cost_usd_micros, None);
    catalog.models[0].price = price(2_000_000, 4_000_000);
    let engine = engine(catalog);
    let answer = engine.ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!(answer.cost_usd_micros, Some(6 * 2 + 4 + 5 * 4));
    assert_eq!(engine.spent().day_usd_micros, 36);
    assert_eq!(engine.metrics().providers["p"].cost_usd_micros, 36);
}

#[tokio::test]
async fn limits_of_session_day_and_month_refuse_before_the_call() {
    let server = Server::start(vec![good(OPENAI, "because")]);
    for (account, limits) in [
        ("session", Limits { session_usd_micros: Some(9), ..Limits::default() }),
        ("day", Limits { day_usd_micros: Some(9), ..Limits::default() }),
        ("month", Limits { month_usd_micros: Some(9), ..Limits::default() }),
    ] {
        let mut catalog = Catalog { limits, ..single(OPENAI, &server) };
        let mut ask = ask("m");
        ask.budgets.session = Some("s".to_owned());
        let unpriced = engine(catalog.clone()).ask(ask.clone(), within(10_000)).await;
        assert_eq!(unpriced.expect_err("refused").kind, FailureKind::Unpriced);
        catalog.models[0].price = price(1_000_000, 1_000_000);
        let engine = engine(catalog);
        let failure = engine.ask(ask.clone(), within(10_000)).await.expect_err("refused");
        let expected = FailureKind::Budget { account: account.to_owned(), left_usd_micros: 9 };
        assert_eq!(failure.kind, expected);
    }
    assert_eq!(server.n(), 0);
}

#[tokio::test]
async fn fallbacks_are_asked_in_order() {
    let down = Server::start(vec![refusal(404, &json!({}))]);
    let up = Server::start(vec![good(OPENAI, "because")]);
    let mut catalog = backed(&down, &up);
    catalog.models.push(Model::new("o", "p", "third"));
    catalog.models[0].fallbacks = vec!["o".to_owned(), "n".to_owned()];
    let answer = engine(catalog).ask(ask("m"), within(10_000)).await.expect("an answer");
    let tried: Vec<&str> = answer.attempts.iter().map(|a| a.model.as_str()).collect();
    assert_eq!(tried, ["m", "o", "n"]);
    assert_eq!(answer.fell_back, Some(FellBack::Failed(FailureKind::NotFound)));
}

#[test]
fn a_provider_without_more_has_sound_limits() {
    let server = Server::start(vec![Act::Drop]);
    let provider = provider("p", OPENAI, &server);
    assert!(provider.concurrent_max > 0 && provider.monthly_usd_micros.is_none());
    assert!(!provider.local && provider.stream);
}
