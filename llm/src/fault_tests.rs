//! The failures that providers really have, in every dialect: the right label, no answer that is
//! none, and no useless request.

use crate::script_tests::{
    Act, End, Server, WIRED, ask, backed, beginning, ending, engine, good, key, limited, refusal,
    single, stream, within,
};
use crate::{Answer, Ask, Dialect, Failure, FailureKind, FellBack, Finish, Policy, Price};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One ask of a server with these acts, 400 ms at most.
async fn one(dialect: Dialect, acts: Vec<Act>) -> (Result<Answer, Failure>, usize) {
    timed(dialect, acts, 400).await
}

async fn timed(dialect: Dialect, acts: Vec<Act>, ms: u64) -> (Result<Answer, Failure>, usize) {
    let server = Server::start(acts);
    let result = engine(single(dialect, &server)).ask(ask("m"), within(ms)).await;
    (result, server.n())
}

async fn fails(dialect: Dialect, acts: Vec<Act>) -> (Failure, usize) {
    let (result, n) = one(dialect, acts).await;
    (result.expect_err("a failure"), n)
}

/// Cases at once, each of which fails in one of the ways that are named.
async fn all_fail(cases: Vec<(Dialect, Act, &[&str])>) {
    let runs = cases.into_iter().map(|(dialect, act, names)| async move {
        let (result, _) = timed(dialect, vec![act.clone()], 10_000).await;
        let failure = result.expect_err("a failure");
        assert!(names.contains(&failure.kind.name()), "{dialect:?} {act:?}: {failure}");
        failure
    });
    for failure in futures::future::join_all(runs).await {
        assert!(!failure.to_string().contains("log in"), "{failure}");
    }
}

#[tokio::test]
async fn every_dialect_answers() {
    for dialect in WIRED {
        let (answer, n) = timed(dialect, vec![good(dialect, "because")], 10_000).await;
        let answer = answer.unwrap_or_else(|failure| panic!("{dialect:?}: {failure}"));
        assert_eq!((answer.text.as_str(), n), ("because", 1), "{dialect:?}");
        assert_eq!(answer.finish, Finish::Stop);
        assert_eq!((answer.usage.input, answer.usage.output), (10, 5), "{dialect:?}");
        let counted = if dialect == Dialect::Ollama { 0 } else { 4 };
        assert_eq!(answer.usage.cached, counted, "{dialect:?}");
        assert!(answer.version.starts_with("toy"), "{dialect:?}: {}", answer.version);
        assert_eq!((answer.model.as_str(), answer.fell_back), ("m", None));
        let long = [beginning(dialect, "half"), ending(dialect, "length")].concat();
        let (answer, _) = timed(dialect, vec![stream(dialect, &long, End::Clean)], 10_000).await;
        assert_eq!(answer.expect("an answer").finish, Finish::Length, "{dialect:?}");
    }
}

#[tokio::test]
async fn chunks_may_end_anywhere() {
    for dialect in WIRED {
        let Act::Stream(kind, pieces, end) = good(dialect, "größer, weil €5 > 4 😀") else {
            panic!("a stream")
        };
        let crumbs = pieces.concat().chars().map(String::from).collect();
        let (answer, _) = timed(dialect, vec![Act::Stream(kind, crumbs, end)], 10_000).await;
        assert_eq!(answer.expect("an answer").text, "größer, weil €5 > 4 😀", "{dialect:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_timeout() {
    let runs = WIRED.map(|dialect| async move {
        let (failure, n) = fails(dialect, vec![Act::Hang]).await;
        assert_eq!((failure.kind, n), (FailureKind::Timeout, 1), "{dialect:?}");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn too_many_requests_wait_as_long_as_the_server_says() {
    let runs = WIRED.map(|dialect| async move {
        let start = Instant::now();
        let acts = vec![limited(Some("0.3")), good(dialect, "because")];
        let (answer, n) = timed(dialect, acts, 10_000).await;
        let answer = answer.expect("an answer");
        assert!(start.elapsed() >= Duration::from_millis(300), "{dialect:?}");
        assert_eq!((n, answer.attempts.len()), (2, 2));
        assert_eq!(answer.attempts[0].failure.as_ref().map(FailureKind::name), Some("rate_limit"));
        // A wait that is longer than the deadline is not begun.
        let (failure, n) = fails(dialect, vec![limited(Some("60"))]).await;
        let FailureKind::RateLimit { retry_after: Some(after) } = failure.kind else {
            panic!("{dialect:?}: {failure}")
        };
        assert_eq!((after.as_secs(), n), (60, 1));
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn too_many_requests_without_a_wait_are_tried_again() {
    let runs = WIRED.map(|dialect| async move {
        let acts = vec![limited(None), good(dialect, "because")];
        let (answer, n) = timed(dialect, acts, 10_000).await;
        assert_eq!((answer.expect("an answer").text.as_str(), n), ("because", 2), "{dialect:?}");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn a_server_error_is_tried_three_times() {
    let runs = WIRED.map(|dialect| async move {
        let error = refusal(500, &json!({"error": {"message": "oops"}}));
        let (answer, n) =
            timed(dialect, vec![error.clone(), good(dialect, "because")], 10_000).await;
        assert_eq!((answer.is_ok(), n), (true, 2), "{dialect:?}");
        let (result, n) = timed(dialect, vec![error], 10_000).await;
        let failure = result.expect_err("a failure");
        assert_eq!((failure.kind, n), (FailureKind::Server, 3), "{dialect:?}");
        assert_eq!(failure.attempts.len(), 3);
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_when_it_says() {
    // A wait that is longer than the deadline is not begun.
    for status in [503, 529] {
        let wait = vec![("retry-after", "60".to_owned())];
        let busy = Act::Reply(status, wait, "{}".to_owned());
        let (failure, n) = fails(Dialect::Anthropic, vec![busy]).await;
        assert_eq!((failure.kind, n), (FailureKind::Server, 1), "{status}");
    }
    let wait = vec![("retry-after", "0.3".to_owned())];
    let acts = vec![Act::Reply(503, wait, "{}".to_owned()), good(Dialect::OpenAi, "because")];
    let start = Instant::now();
    let (answer, n) = timed(Dialect::OpenAi, acts, 10_000).await;
    assert_eq!((answer.expect("an answer").text.as_str(), n), ("because", 2));
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn an_outage_costs_nothing_once_the_breaker_is_open() {
    let down = Server::start(vec![refusal(503, &json!({"error": {"message": "down"}}))]);
    let up = Server::start(vec![good(Dialect::OpenAi, "because")]);
    let engine = engine(backed(&down, &up));
    let first = engine.ask(ask("m"), within(10_000)).await.expect("the fallback's");
    assert_eq!(down.n(), 3, "three tries open the breaker");
    assert_eq!((first.model.as_str(), first.asked.as_str()), ("n", "m"));
    let start = Instant::now();
    for n in 0..20 {
        let answer = engine.ask(ask("m"), within(10_000)).await.expect("the fallback's");
        assert_eq!(answer.fell_back, Some(FellBack::Failed(FailureKind::Server)));
        assert_eq!((down.n(), up.n()), (3, n + 2));
    }
    assert!(start.elapsed() < Duration::from_millis(20 * 50), "{:?}", start.elapsed());
    let lanes = engine.lanes();
    let lane = lanes.iter().find(|lane| lane.provider == "p").expect("the lane");
    assert_eq!(
        (lane.breaker.state, lane.key.as_str(), lane.model.as_str()),
        ("open", "one", "toy")
    );
    assert_eq!(engine.metrics().providers["p"].refused, 20);
    assert_eq!(engine.metrics().fell_back, 21);
}

#[tokio::test]
async fn an_outage_without_a_fallback_fails_at_once_with_its_label() {
    let down = Server::start(vec![refusal(503, &json!({}))]);
    let engine = engine(single(Dialect::OpenAi, &down));
    for _ in 0..20 {
        let failure = engine.ask(ask("m"), within(10_000)).await.expect_err("a failure");
        assert_eq!(failure.kind, FailureKind::Server);
    }
    assert_eq!(down.n(), 3);
}

#[tokio::test]
async fn a_refused_connection_is_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let server = Server::start(vec![Act::Hang]);
    let mut catalog = single(Dialect::OpenAi, &server);
    catalog.providers[0].url = url;
    let failure = engine(catalog).ask(ask("m"), within(5_000)).await.expect_err("a failure");
    assert_eq!((failure.kind, failure.attempts.len()), (FailureKind::Connect, 3));
}

#[tokio::test]
async fn a_broken_connection_is_a_server_error() {
    let (failure, _) = fails(Dialect::OpenAi, vec![Act::Drop]).await;
    assert_eq!(failure.kind, FailureKind::Server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_first_token_is_a_timeout_and_the_fallback_answers() {
    for dialect in WIRED {
        // Headers and marks of life come; a token does not.
        let mut quiet = beginning(dialect, "x");
        quiet.pop();
        let slow = Server::start(vec![stream(dialect, &quiet, End::Hang)]);
        let other = Server::start(vec![good(Dialect::OpenAi, "because")]);
        let mut catalog = backed(&slow, &other);
        catalog.providers[0].dialect = dialect;
        catalog.providers[0].first_token_ms = 80;
        let engine = engine(catalog);
        let answer = engine.ask(ask("m"), within(10_000)).await.expect("the fallback's");
        assert_eq!(answer.fell_back, Some(FellBack::Failed(FailureKind::Timeout)), "{dialect:?}");
        slow.gone.recv_timeout(Duration::from_secs(10)).expect("the call was cancelled");
    }
}

#[tokio::test]
async fn a_cut_stream_is_never_an_answer() {
    let runs = WIRED.map(|dialect| async move {
        let half = beginning(dialect, "half an answer");
        for end in [End::Cut, End::Clean] {
            let acts = vec![stream(dialect, &half, end), good(dialect, "whole")];
            let (answer, n) = timed(dialect, acts, 10_000).await;
            let answer = answer.expect("the second try");
            assert_eq!((answer.text.as_str(), n), ("whole", 2), "{dialect:?} {end:?}");
            let failure = answer.attempts[0].failure.clone();
            assert_eq!(failure, Some(FailureKind::Truncated), "{dialect:?} {end:?}");
        }
        // Cut inside an event.
        let events = [half, ending(dialect, "stop")].concat();
        let Act::Stream(kind, mut pieces, _) = stream(dialect, &events, End::Clean) else {
            panic!("a stream")
        };
        pieces.truncate(pieces.len() - ending(dialect, "stop").len() + 1);
        let last = pieces.pop().expect("a piece");
        pieces.push(last[..last.len() / 2].to_owned());
        let (failure, _) = fails(dialect, vec![Act::Stream(kind, pieces, End::Clean)]).await;
        assert_eq!(failure.kind, FailureKind::Truncated, "{dialect:?}");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn an_interrupted_answer_is_none_and_its_tokens_are_known() {
    let runs = ["error", "abort", "insufficient_system_resource", "network_error"].map(|reason| {
        let events = [beginning(Dialect::OpenAi, "half"), ending(Dialect::OpenAi, reason)].concat();
        stream(Dialect::OpenAi, &events, End::Clean)
    });
    let choice = json!({"message": {"content": "half"}, "finish_reason": "stop",
        "error": {"code": 502, "message": "the provider went away"}});
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
    let whole = json!({"choices": [choice], "usage": usage});
    for act in runs.into_iter().chain([refusal(200, &whole)]) {
        let server = Server::start(vec![act, good(Dialect::OpenAi, "whole")]);
        let mut catalog = single(Dialect::OpenAi, &server);
        let (as_of, source) = ("2025-06-30".to_owned(), "test".to_owned());
        let (input, output) = (1_000_000, 1_000_000);
        catalog.models[0].price = Some(Price { input, output, cached_input: None, as_of, source });
        let engine = engine(catalog);
        let answer = engine.ask(ask("m"), within(10_000)).await.expect("the second try");
        assert_eq!((answer.text.as_str(), server.n()), ("whole", 2));
        assert_eq!(answer.attempts[0].failure, Some(FailureKind::Server));
        assert_eq!(engine.spent().day_usd_micros, 2 * 15, "both are paid");
    }
    for reason in ["eos_token", "stop_sequence", "end_turn", "STOP", "COMPLETE"] {
        let events = [beginning(Dialect::OpenAi, "yes"), ending(Dialect::OpenAi, reason)].concat();
        let act = stream(Dialect::OpenAi, &events, End::Clean);
        let (answer, _) = timed(Dialect::OpenAi, vec![act], 10_000).await;
        assert_eq!(answer.expect("an answer").finish, Finish::Stop, "{reason}");
    }
}

#[tokio::test]
async fn a_body_shorter_than_it_says_is_truncated() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n";
    let (failure, _) = fails(Dialect::OpenAi, vec![Act::Raw(format!("{head}{{\"choices\""))]).await;
    assert_eq!(failure.kind, FailureKind::Truncated);
}

#[tokio::test]
async fn a_refusal_without_its_body_is_one() {
    let head = "HTTP/1.1 401 X\r\ncontent-length: 900\r\n\r\n".to_owned();
    let (failure, _) = fails(Dialect::OpenAi, vec![Act::Raw(head)]).await;
    assert_eq!(failure.kind, FailureKind::Auth);
}

#[tokio::test]
async fn a_stream_without_its_last_mark_is_whole_when_it_said_why_it_ended() {
    for dialect in WIRED {
        let mut events = [beginning(dialect, "because"), ending(dialect, "stop")].concat();
        // `[DONE]` and `message_stop` are missing; so is the end of the body.
        if !matches!(dialect, Dialect::Ollama | Dialect::Gemini | Dialect::Responses) {
            events.pop();
        }
        let (answer, n) = timed(dialect, vec![stream(dialect, &events, End::Cut)], 10_000).await;
        assert_eq!((answer.expect("an answer").text.as_str(), n), ("because", 1), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_complete_answer_is_taken_though_its_server_neither_says_so_nor_hangs_up() {
    let mut events = beginning(Dialect::OpenAi, "because");
    events.extend(ending(Dialect::OpenAi, "stop"));
    events.pop();
    let act = stream(Dialect::OpenAi, &events, End::Hang);
    // Before all of its time is over, and where its time is over before that.
    for ms in [9_000, 300] {
        let (answer, n) = timed(Dialect::OpenAi, vec![act.clone()], ms).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.text.as_str(), answer.usage.output, n), ("because", 5, 1));
        assert!(answer.latency_ms < 9_000, "it waited for all of its time");
    }
}

#[tokio::test]
async fn a_stream_that_stops_in_the_middle_ends_with_its_time() {
    let half = beginning(Dialect::OpenAi, "half");
    let server = Server::start(vec![stream(Dialect::OpenAi, &half, End::Hang)]);
    let mut catalog = single(Dialect::OpenAi, &server);
    catalog.providers[0].total_ms = 80;
    let failure = engine(catalog).ask(ask("m"), within(200)).await.expect_err("a failure");
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[tokio::test]
async fn what_is_not_of_the_dialect_is_malformed() {
    let mut cases: Vec<(Dialect, Act, &[&str])> = Vec::new();
    for dialect in WIRED {
        for wrong in [json!("{not json"), json!({"hello": "world"}), json!([1])] {
            let events = [beginning(dialect, "half"), vec![wrong]].concat();
            let more = [events.clone(), ending(dialect, "stop")].concat();
            cases.push((dialect, stream(dialect, &events, End::Clean), &["malformed"]));
            cases.push((dialect, stream(dialect, &more, End::Clean), &["malformed"]));
        }
    }
    all_fail(cases).await;
}

#[tokio::test]
async fn an_empty_completion_is_no_answer() {
    let mut cases: Vec<(Dialect, Act, &[&str])> = Vec::new();
    for dialect in WIRED {
        for text in ["", " \n"] {
            let events = [beginning(dialect, text), ending(dialect, "stop")].concat();
            cases.push((dialect, stream(dialect, &events, End::Clean), &["empty"]));
        }
    }
    all_fail(cases).await;
}

#[tokio::test]
async fn an_answer_that_was_all_reasoning_is_not_asked_for_again() {
    for dialect in WIRED {
        let events = [beginning(dialect, ""), ending(dialect, "length")].concat();
        let act = stream(dialect, &events, End::Clean);
        let (result, n) = timed(dialect, vec![act], 10_000).await;
        let failure = result.expect_err("a failure");
        assert_eq!((failure.kind, n), (FailureKind::Empty { cut: true }, 1), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_wrong_content_type_is_malformed() {
    let mut cases: Vec<(Dialect, Act, &[&str])> = Vec::new();
    for dialect in WIRED {
        let page = vec![("content-type", "text/html".to_owned())];
        let act = Act::Reply(200, page, "<html>Please log in</html>".to_owned());
        cases.push((dialect, act, &["malformed"]));
    }
    all_fail(cases).await;
}

/// A refusal: dialect, status, body, and the kind that it is.
type Refused = (Dialect, u16, Value, &'static str);

/// Refusals as the servers of the OpenAI family and Ollama word them.
fn chat_refusals() -> Vec<Refused> {
    use Dialect::{Mistral, Ollama, OpenAi, Responses};
    let said = |code: &str, text: &str| json!({"error": {"message": text, "code": code}});
    let plain = |text: &str| json!({ "error": text });
    let bare = |text: &str| json!({"object": "error", "message": text, "code": 400});
    let detail = |text: &str| json!({ "detail": text });
    let long = "This model's maximum context length is 8192 tokens";
    let large = "Prompt contains 9 tokens, too large for model with 8";
    let missing = "model \"toy\" not found, try pulling it first";
    let metadata = json!({"reasons": ["violence"], "flagged_input": "why?", "provider_name": "x"});
    let flagged = "x requires moderation. Your input was flagged for \"violence\".";
    let flagged = json!({"error": {"code": 403, "message": flagged, "metadata": metadata}});
    vec![
        (OpenAi, 400, said("context_length_exceeded", long), "context"),
        (OpenAi, 400, bare(long), "context"),
        (OpenAi, 400, said("content_filter", "policy"), "filter"),
        (OpenAi, 403, flagged, "filter"),
        (OpenAi, 403, said("forbidden", "no"), "auth"),
        (OpenAi, 429, said("insufficient_quota", "You exceeded"), "quota"),
        (OpenAi, 401, said("invalid_api_key", "Incorrect"), "auth"),
        (OpenAi, 404, said("model_not_found", "no"), "not_found"),
        (OpenAi, 400, said("unsupported_value", "temperature"), "invalid"),
        (OpenAi, 413, json!("no object"), "context"),
        (OpenAi, 301, json!({}), "invalid"),
        (Responses, 400, said("context_length_exceeded", long), "context"),
        (Responses, 429, said("insufficient_quota", "You exceeded"), "quota"),
        (Mistral, 400, bare(large), "context"),
        (Mistral, 401, detail("Unauthorized"), "auth"),
        (Mistral, 422, detail("extra fields not permitted"), "invalid"),
        (Ollama, 404, plain(missing), "not_found"),
        (Ollama, 400, plain("the input length exceeds the context length"), "context"),
        (Ollama, 500, plain("model requires more system memory"), "server"),
    ]
}

/// Refusals as Anthropic and Gemini word them.
fn other_refusals() -> Vec<Refused> {
    use Dialect::{Anthropic, Gemini};
    let typed = |kind: &str, text: &str| json!({"error": {"type": kind, "message": text}});
    let wrong = |text: &str| typed("invalid_request_error", text);
    let coded = |code: u16, status: &str, text: &str| {
        let error = json!({"code": code, "status": status, "message": text});
        json!({ "error": error })
    };
    let bad = |text: &str| coded(400, "INVALID_ARGUMENT", text);
    let many = "The input token count (9) exceeds the maximum number of tokens allowed (8)";
    vec![
        (Anthropic, 400, wrong("prompt is too long: 210000 tokens > 200000 maximum"), "context"),
        (Anthropic, 400, wrong("Output blocked by content filtering policy"), "filter"),
        (Anthropic, 400, wrong("Your credit balance is too low"), "quota"),
        (Anthropic, 400, wrong("max_tokens: too large"), "invalid"),
        (Anthropic, 401, typed("authentication_error", "invalid x-api-key"), "auth"),
        (Anthropic, 404, typed("not_found_error", "model: x"), "not_found"),
        (Anthropic, 529, typed("overloaded_error", "Overloaded"), "server"),
        (Gemini, 400, bad(many), "context"),
        (Gemini, 400, bad("API key not valid"), "auth"),
        (Gemini, 403, coded(403, "PERMISSION_DENIED", "no"), "auth"),
        (Gemini, 404, json!([coded(404, "NOT_FOUND", "no such model")]), "not_found"),
        (Gemini, 503, coded(503, "UNAVAILABLE", "overloaded"), "server"),
    ]
}

#[tokio::test]
async fn refusals_have_the_right_label_and_are_not_repeated() {
    for (dialect, status, body, name) in chat_refusals().into_iter().chain(other_refusals()) {
        let (failure, n) = fails(dialect, vec![refusal(status, &body)]).await;
        assert_eq!(failure.kind.name(), name, "{dialect:?} {status} {body}");
        if name != "server" {
            assert_eq!(n, 1, "{dialect:?} {name} was asked again");
        }
        let shown = failure.to_string();
        assert!(!shown.contains("toy") && !shown.contains("tokens >"), "{shown}");
    }
}

#[tokio::test]
async fn errors_in_the_middle_of_a_stream_have_their_label() {
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error"}});
    let quota = json!({"error": {"code": "insufficient_quota"}});
    let long = json!({"error": "context length exceeded"});
    let failed = json!({"type": "response.failed",
        "response": {"status": "failed", "error": {"code": "server_error"}}});
    let exhausted = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "details": [{"retryDelay": "60s"}]}});
    for (dialect, event, name) in [
        (Dialect::Anthropic, overloaded, "server"),
        (Dialect::OpenAi, quota, "quota"),
        (Dialect::Ollama, long, "context"),
        (Dialect::Ollama, json!({"error": "llama runner exited"}), "server"),
        (Dialect::Responses, failed, "server"),
        (Dialect::Gemini, exhausted, "rate_limit"),
    ] {
        let events = [beginning(dialect, "half"), vec![event]].concat();
        let (failure, _) = fails(dialect, vec![stream(dialect, &events, End::Clean)]).await;
        assert_eq!(failure.kind.name(), name, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_context_overflow_goes_to_the_wider_model() {
    let narrow =
        Server::start(vec![refusal(400, &json!({"error": {"code": "context_length_exceeded"}}))]);
    let wide = Server::start(vec![good(Dialect::OpenAi, "because")]);
    let mut catalog = backed(&narrow, &wide);
    catalog.models[0].fallbacks.clear();
    catalog.models[0].context_fallbacks = vec!["n".to_owned()];
    let answer = engine(catalog).ask(ask("m"), within(10_000)).await.expect("the wider one's");
    assert_eq!((answer.model.as_str(), narrow.n()), ("n", 1));
    assert_eq!(answer.fell_back, Some(FellBack::Failed(FailureKind::Context)));
}

#[tokio::test]
async fn a_filter_is_a_failure_and_goes_to_its_own_list() {
    for dialect in WIRED {
        if dialect == Dialect::Ollama {
            continue;
        }
        let events = [beginning(dialect, "I can"), ending(dialect, "content_filter")].concat();
        let act = stream(dialect, &events, End::Clean);
        let (failure, n) = fails(dialect, vec![act.clone()]).await;
        assert_eq!((failure.kind, n), (FailureKind::Filter, 1), "{dialect:?}");
        let strict = Server::start(vec![act]);
        let free = Server::start(vec![good(Dialect::OpenAi, "because")]);
        let mut catalog = backed(&strict, &free);
        catalog.providers[0].dialect = dialect;
        catalog.models[0].fallbacks.clear();
        catalog.models[0].filter_fallbacks = vec!["n".to_owned()];
        let answer = engine(catalog).ask(ask("m"), within(10_000)).await.expect("the other's");
        assert_eq!((answer.text.as_str(), answer.model.as_str()), ("because", "n"));
    }
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
    let (failure, _) =
        fails(Dialect::Gemini, vec![stream(Dialect::Gemini, &[blocked], End::Clean)]).await;
    assert_eq!(failure.kind, FailureKind::Filter);
}

#[tokio::test]
async fn a_bad_key_hands_over_to_the_next() {
    for (status, code) in [(401, "invalid_api_key"), (429, "insufficient_quota"), (429, "x")] {
        let bad = refusal(status, &json!({"error": {"code": code}}));
        let server = Server::start(vec![bad, good(Dialect::OpenAi, "because")]);
        let mut catalog = single(Dialect::OpenAi, &server);
        catalog.providers[0].keys.push(key("two"));
        let answer = engine(catalog).ask(ask("m"), within(10_000)).await.expect("the other key's");
        let labels: Vec<&str> = answer.attempts.iter().map(|a| a.key.as_str()).collect();
        assert_eq!(labels.len(), 2);
        assert_ne!(labels[0], labels[1], "{code}");
        let headers: Vec<String> =
            server.requests().iter().map(|r| r.headers["authorization"].clone()).collect();
        assert_ne!(headers[0], headers[1]);
    }
}

#[tokio::test]
async fn many_keys_that_are_all_limited_are_waited_for_as_one_is() {
    let slow = limited(Some("0.2"));
    let good = good(Dialect::OpenAi, "because");
    let server = Server::start(vec![slow.clone(), slow.clone(), slow.clone(), slow, good]);
    let mut catalog = single(Dialect::OpenAi, &server);
    catalog.providers[0].keys.extend([key("two"), key("three"), key("four")]);
    let answer = engine(catalog).ask(ask("m"), within(10_000)).await.expect("an answer");
    assert_eq!((answer.attempts.len(), server.n()), (5, 5));
}

#[tokio::test]
async fn all_keys_refused_is_one_try_each() {
    let server = Server::start(vec![refusal(401, &json!({}))]);
    let mut catalog = single(Dialect::OpenAi, &server);
    catalog.providers[0].keys.extend([key("two"), key("three")]);
    let failure = engine(catalog).ask(ask("m"), within(10_000)).await.expect_err("a failure");
    assert_eq!((failure.kind, server.n()), (FailureKind::Auth, 3));
}

#[tokio::test]
async fn a_call_that_is_refused_for_want_of_a_key_names_its_variable() {
    let server = Server::start(vec![refusal(401, &json!({}))]);
    let mut catalog = single(Dialect::OpenAi, &server);
    catalog.providers[0].keys.clear();
    catalog.providers[0].keys_unset = vec!["TOY_API_KEY".to_owned()];
    let failure = engine(catalog).ask(ask("m"), within(10_000)).await.expect_err("a failure");
    assert_eq!(failure.kind, FailureKind::Auth);
    assert!(failure.to_string().ends_with("(`TOY_API_KEY` is not set)"), "{failure}");
}

#[tokio::test]
async fn a_model_that_takes_no_schema_is_asked_without_one_and_that_is_remembered() {
    for (dialect, field, message) in [
        (Dialect::OpenAi, "response_format", "This response_format type is unavailable now"),
        (Dialect::Anthropic, "tool_choice", "tool_choice: this model cannot be forced to a tool"),
    ] {
        let error = json!({"type": "invalid_request_error", "message": message});
        let refusal = refusal(400, &json!({ "error": error }));
        let server = Server::start(vec![refusal, good(dialect, "{}")]);
        let engine = engine(single(dialect, &server));
        for _ in 0..2 {
            let shaped = Ask { schema: Some(json!({"type": "object"})), ..ask("m") };
            let answer = engine.ask(shaped, within(5_000)).await.expect("an answer");
            assert_eq!((answer.text.as_str(), answer.ignored), ("{}", vec!["schema"]));
        }
        let requests = server.requests();
        let sent: Vec<bool> = requests.iter().map(|r| !r.body[field].is_null()).collect();
        assert_eq!(sent, [true, false, false], "{dialect:?}");
    }
    // Another refusal counts as it is.
    let server = Server::start(vec![refusal(400, &json!({"error": {"message": "no"}}))]);
    let shaped = Ask { schema: Some(json!({"type": "object"})), ..ask("m") };
    let failure = engine(single(Dialect::OpenAi, &server)).ask(shaped, within(5_000)).await;
    assert_eq!((failure.expect_err("refused").kind, server.n()), (FailureKind::Invalid, 1));
}

#[tokio::test]
async fn a_model_behind_a_gateway_that_wants_the_other_limit_gets_it() {
    let message = "Unsupported parameter: 'max_tokens' is not supported with this model. \
                   Use 'max_completion_tokens' instead.";
    let refusal = refusal(400, &json!({"error": {"message": message}}));
    let server = Server::start(vec![refusal, good(Dialect::OpenAi, "because")]);
    let engine = engine(single(Dialect::OpenAi, &server));
    for _ in 0..2 {
        engine.ask(ask("m"), within(5_000)).await.expect("an answer");
    }
    let limits: Vec<(Value, Value)> = (server.requests().into_iter())
        .map(|r| (r.body["max_tokens"].clone(), r.body["max_completion_tokens"].clone()))
        .collect();
    let (old, new) = ((json!(1_024), Value::Null), (Value::Null, json!(1_024)));
    assert_eq!(limits, [old, new.clone(), new]);
}

#[tokio::test]
async fn a_model_that_takes_no_temperature_is_asked_without_one_and_that_is_remembered() {
    let body = json!({"error": {"code": "unsupported_value", "param": "temperature",
        "message": "Unsupported value: 'temperature' does not support 0 with this model."}});
    let good = good(Dialect::OpenAi, "because");
    let server = Server::start(vec![refusal(400, &body), good.clone(), good]);
    let engine = engine(single(Dialect::OpenAi, &server));
    let cold = |question: &str| Ask {
        temperature: Some(0.0),
        policy: Policy::Cloud,
        ..Ask::new("m", question)
    };
    for question in ["why?", "why not?"] {
        let answer = engine.ask(cold(question), within(5_000)).await.expect("an answer");
        assert_eq!(answer.attempts.len(), 1, "{question}");
    }
    let sent: Vec<bool> =
        server.requests().iter().map(|r| !r.body["temperature"].is_null()).collect();
    assert_eq!(sent, [true, false, false]);
    // Each vendor has its own words for it.
    for (dialect, message) in [
        (Dialect::Anthropic, "`temperature` is deprecated for this model."),
        (Dialect::OpenAi, "invalid temperature: only 1 is allowed for this model"),
    ] {
        let error = json!({"type": "invalid_request_error", "message": message});
        let refusal = refusal(400, &json!({"type": "error", "error": error}));
        let good = super::script_tests::good(dialect, "because");
        let server = Server::start(vec![refusal, good]);
        let engine = crate::script_tests::engine(single(dialect, &server));
        engine.ask(cold("why?"), within(5_000)).await.expect("an answer");
        assert_eq!(server.n(), 2, "{message}");
    }
    // A row may say so at once.
    let server = Server::start(vec![super::script_tests::good(Dialect::OpenAi, "because")]);
    let mut catalog = single(Dialect::OpenAi, &server);
    catalog.models[0].temperature = false;
    crate::script_tests::engine(catalog).ask(cold("why?"), within(5_000)).await.expect("an answer");
    assert!(server.requests()[0].body["temperature"].is_null());
}
