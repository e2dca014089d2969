//! Every dialect: requests as the providers' references have them, and what tests at the engine's
//! door do not reach of the answers.

use super::*;
use crate::ask::{Message, Role};
use serde_json::json;

fn full() -> Ask {
    let turn = |role, text: &str| Message { role, text: text.to_owned() };
    Ask {
        messages: vec![
            turn(Role::User, "one"),
            turn(Role::Assistant, "two"),
            turn(Role::User, "three"),
        ],
        system: Some("be brief".to_owned()),
        temperature: Some(0.5),
        output_tokens_max: 50,
        schema: Some(json!({"type": "object"})),
        seed: Some(7),
        ..Ask::new("m", "")
    }
}

fn called(dialect: Dialect, ask: &Ask, url: &str, stream: bool) -> Call {
    let model = Model::new("m", "p", "toy");
    dialect.rules().expect("a wire").call(&Prompt {
        ask,
        model: &model,
        url,
        stream,
        quirks: Quirks::default(),
    })
}

fn body(dialect: Dialect) -> Value {
    called(dialect, &full(), "http://127.0.0.1/v1", true).body
}

fn turns() -> Value {
    json!([
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ])
}

fn turns_with_system() -> Value {
    let mut turns = turns();
    let system = json!({"role": "system", "content": "be brief"});
    turns.as_array_mut().expect("a list").insert(0, system);
    turns
}

#[test]
fn openai_bodies() {
    let schema = json!({"name": "answer", "schema": {"type": "object"}, "strict": false});
    let expected = json!({
        "model": "toy", "messages": turns_with_system(), "stream": true, "temperature": 0.5,
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_tokens": 50, "seed": 7, "stream_options": {"include_usage": true},
    });
    assert_eq!(body(Dialect::OpenAi), expected);
    let theirs = called(Dialect::OpenAi, &full(), "https://api.openai.com/v1", false);
    assert_eq!(theirs.body["max_completion_tokens"], 50);
    assert!(theirs.body["max_tokens"].is_null() && theirs.body["stream_options"].is_null());
    let mistral = body(Dialect::Mistral);
    let mut expected = expected;
    let fields = expected.as_object_mut().expect("an object");
    fields.remove("stream_options");
    fields.remove("seed");
    fields.insert("random_seed".to_owned(), json!(7));
    assert_eq!(mistral, expected);
}

#[test]
fn responses_body() {
    let format = json!({"type": "json_schema", "name": "answer", "schema": {"type": "object"},
        "strict": false});
    let expected = json!({
        "model": "toy", "input": turns(), "max_output_tokens": 50, "stream": true, "store": false,
        "instructions": "be brief", "temperature": 0.5, "text": {"format": format},
    });
    assert_eq!(body(Dialect::Responses), expected);
}

#[test]
fn anthropic_body() {
    let tool = json!({"name": "answer", "description": "Gives the answer.",
        "input_schema": {"type": "object"}});
    let expected = json!({
        "model": "toy", "messages": turns(), "max_tokens": 50, "stream": true,
        "system": "be brief", "temperature": 0.5, "tools": [tool],
        "tool_choice": {"type": "tool", "name": "answer"},
    });
    assert_eq!(body(Dialect::Anthropic), expected);
}

#[test]
fn gemini_body() {
    let turn = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    let expected = json!({
        "contents": [turn("user", "one"), turn("model", "two"), turn("user", "three")],
        "generationConfig": {"maxOutputTokens": 50, "temperature": 0.5, "seed": 7,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        "systemInstruction": {"parts": [{"text": "be brief"}]},
    });
    assert_eq!(body(Dialect::Gemini), expected);
    let whole = called(Dialect::Gemini, &full(), "", false);
    assert_eq!(whole.path, "/models/toy:generateContent");
}

#[test]
fn ollama_body() {
    let options = json!({"num_predict": 50, "num_ctx": 8_192, "temperature": 0.5, "seed": 7});
    let expected = json!({
        "model": "toy", "messages": turns_with_system(), "stream": true, "truncate": false,
        "shift": false, "options": options, "format": {"type": "object"},
    });
    assert_eq!(body(Dialect::Ollama), expected);
}

#[test]
fn what_is_not_said_is_not_sent() {
    let plain = Ask::new("m", "why?");
    for dialect in Dialect::ALL.into_iter().filter(|dialect| dialect.rules().is_some()) {
        let sent = called(dialect, &plain, "http://h", true).body.to_string();
        for word in ["temperature", "seed", "schema", "\"format\"", "\"system", "tools"] {
            assert!(!sent.contains(word), "{dialect:?}: {word} in {sent}");
        }
    }
}

#[test]
fn what_a_dialect_lacks_is_named() {
    for dialect in Dialect::ALL.into_iter().filter(|dialect| dialect.rules().is_some()) {
        let sent = body(dialect).to_string();
        let ignored = dialect.rules().expect("a wire").ignored(&full());
        assert_eq!(ignored.contains(&"seed"), !sent.contains("seed"), "{dialect:?}");
        assert!(dialect.rules().expect("a wire").ignored(&Ask::new("m", "")).is_empty());
    }
}

fn pieces(dialect: Dialect, event: &Value) -> Vec<Piece> {
    let rules = dialect.rules().expect("a wire");
    (rules.event)(event.to_string().as_bytes()).expect("pieces")
}

#[test]
fn thoughts_are_signs_of_life_and_no_text() {
    let thought = |dialect: Dialect, event: Value| {
        assert_eq!(pieces(dialect, &event), [Piece::Thought], "{dialect:?}");
    };
    let choice = |delta: Value| json!({"choices": [{"delta": delta}]});
    thought(Dialect::OpenAi, choice(json!({"reasoning_content": "hm", "content": ""})));
    thought(Dialect::OpenAi, choice(json!({"reasoning": "hm", "content": null})));
    thought(Dialect::Ollama, json!({"message": {"content": "", "thinking": "hm"}, "done": false}));
    let delta = json!({"type": "thinking_delta", "thinking": "hm"});
    thought(Dialect::Anthropic, json!({"type": "content_block_delta", "delta": delta}));
    let delta = json!({"type": "signature_delta", "signature": "c2ln"});
    thought(Dialect::Anthropic, json!({"type": "content_block_delta", "delta": delta}));
    for kind in ["thinking", "redacted_thinking"] {
        let block = json!({ "type": kind });
        thought(Dialect::Anthropic, json!({"type": "content_block_start", "content_block": block}));
    }
    let block = json!({"type": "text", "text": ""});
    let begins = json!({"type": "content_block_start", "content_block": block});
    assert!(pieces(Dialect::Anthropic, &begins).is_empty());
    let part = json!({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]});
    thought(Dialect::Mistral, choice(json!({ "content": [part] })));
    let item = json!({"type": "reasoning", "summary": []});
    thought(Dialect::Responses, json!({"type": "response.output_item.added", "item": item}));
    let item = json!({"type": "message", "content": []});
    let begins = json!({"type": "response.output_item.added", "item": item});
    assert!(pieces(Dialect::Responses, &begins).is_empty());
    let reasoning = "response.reasoning_summary_text.delta";
    thought(Dialect::Responses, json!({"type": reasoning, "delta": "hm"}));
    let parts = json!([{"text": "hm", "thought": true}]);
    thought(Dialect::Gemini, json!({"candidates": [{"content": {"parts": parts}}]}));
}

#[test]
fn a_structured_answer_of_anthropic_is_text() {
    let delta = json!({"type": "input_json_delta", "partial_json": "{\"a\":"});
    let event = json!({"type": "content_block_delta", "delta": delta});
    assert_eq!(pieces(Dialect::Anthropic, &event), [Piece::Text("{\"a\":".to_owned())]);
    let whole = json!({"content": [{"type": "tool_use", "input": {"a": 1}}],
        "stop_reason": "tool_use"});
    let rules = Dialect::Anthropic.rules().expect("a wire");
    let whole = (rules.answer)(whole.to_string().as_bytes()).expect("pieces");
    assert_eq!(whole[0], Piece::Text("{\"a\":1}".to_owned()));
    assert_eq!(whole[1], Piece::Finish(Finish::Stop));
}

#[test]
fn refusals_in_words_are_filters() {
    let filter = Piece::Finish(Finish::Filter);
    let event = json!({"choices": [{"delta": {"refusal": "I cannot"}}]});
    assert!(pieces(Dialect::OpenAi, &event).contains(&filter));
    let event = json!({"type": "response.refusal.delta", "delta": "I cannot"});
    assert!(pieces(Dialect::Responses, &event).contains(&filter));
    let output = json!([{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]);
    let whole = json!({"status": "completed", "output": output});
    let rules = Dialect::Responses.rules().expect("a wire");
    assert!((rules.answer)(whole.to_string().as_bytes()).expect("pieces").contains(&filter));
}

#[test]
fn counts_are_whole() {
    let usage = json!({"input_tokens": 5, "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 2, "output_tokens": 1});
    let event = json!({"type": "message_start", "message": {"usage": usage}});
    let expected = Count { input: Some(10), output: Some(1), cached: Some(3), reasoning: None };
    assert_eq!(pieces(Dialect::Anthropic, &event), [Piece::Count(expected)]);
    let usage = json!({"promptTokenCount": 9, "thoughtsTokenCount": 4});
    let expected = Count { input: Some(9), output: Some(4), cached: None, reasoning: Some(4) };
    let event = json!({"usageMetadata": usage});
    assert_eq!(pieces(Dialect::Gemini, &event), [Piece::Count(expected)]);
    for (usage, output) in [
        (json!({"prompt_tokens": 12, "completion_tokens": 13, "total_tokens": 25}), 13),
        (json!({"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 399}), 387),
        (json!({"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 0}), 0),
        (json!({"completion_tokens": 0, "completion_tokens_details": {"reasoning_tokens": 9}}), 9),
    ] {
        let event = json!({"choices": [], "usage": usage});
        let [Piece::Count(count)] = pieces(Dialect::OpenAi, &event)[..] else { panic!("{event}") };
        assert_eq!(count.output, Some(output), "{event}");
    }
}

#[test]
fn counts_may_come_without_choices() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
    let count = Count { input: Some(10), output: Some(5), ..Count::default() };
    for event in [json!({"choices": null, "usage": usage}), json!({ "usage": usage })] {
        assert_eq!(pieces(Dialect::OpenAi, &event), [Piece::Count(count)], "{event}");
    }
    let rules = Dialect::OpenAi.rules().expect("a wire");
    let fault = (rules.event)(br#"{"choices": null, "usage": null}"#).expect_err("nothing");
    assert_eq!(fault.kind, FailureKind::Malformed);
}

#[test]
fn gemini_names_its_wait_in_the_body() {
    let rules = Dialect::Gemini.rules().expect("a wire");
    let body = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "x"}, {"retryDelay": "17.5s"}]}}]);
    let fault = (rules.refusal)(429, body.to_string().as_bytes());
    let retry_after = Some(std::time::Duration::from_millis(17_500));
    assert_eq!(fault.kind, FailureKind::RateLimit { retry_after });
}

/// Bodies of LiteLLM's proxy 1.100.5, which are the same on the endpoints of every dialect.
#[test]
fn refusals_of_a_gateway_are_understood_in_every_dialect() {
    let long = "litellm.BadRequestError: MistralException - litellm.ContextWindowExceededError: x";
    let unknown = "anthropic_messages: Invalid model name passed in model=nobody.";
    for (status, message, kind, expected) in [
        (400, long, Value::Null, FailureKind::Context),
        (500, long, Value::Null, FailureKind::Context),
        (400, "No connected db.", json!("no_db_connection"), FailureKind::Auth),
        (400, unknown, json!("None"), FailureKind::NotFound),
        (500, "litellm.InternalServerError: x", Value::Null, FailureKind::Server),
        (400, "something else", Value::Null, FailureKind::Invalid),
    ] {
        let error = json!({"message": message, "type": kind, "code": status.to_string()});
        let body = json!({ "error": error }).to_string();
        for name in ["openai", "responses", "anthropic", "gemini", "mistral"] {
            let rules = Dialect::parse(name).and_then(Dialect::rules).expect("a wire");
            assert_eq!((rules.refusal)(status, body.as_bytes()).kind, expected, "{name}: {body}");
        }
    }
}

#[test]
fn names_are_those_of_the_configuration() {
    for dialect in Dialect::ALL {
        assert_eq!(Dialect::parse(dialect.name()), Some(dialect));
    }
    assert_eq!(Dialect::parse("openai"), Some(Dialect::OpenAi));
    assert_eq!(Dialect::parse("cohere"), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_a_dialect(
        bytes in proptest::collection::vec(0u8.., 0..60), status in 100u16..,
    ) {
        for rules in Dialect::ALL.into_iter().filter_map(Dialect::rules) {
            let _ = (rules.event)(&bytes);
            let _ = (rules.answer)(&bytes);
            let _ = (rules.refusal)(status, &bytes);
        }
    }

    #[test]
    fn no_json_breaks_a_dialect(
        keys in proptest::collection::vec(0usize..12, 1..6), leaf in 0usize..5,
    ) {
        let names = ["choices", "message", "delta", "error", "content", "candidates", "usage",
            "type", "done", "parts", "response", "usageMetadata"];
        let leaves = [json!(null), json!(-1), json!("x"), json!([]), json!({})];
        let mut value = leaves[leaf].clone();
        for (depth, key) in keys.into_iter().enumerate() {
            value = if depth % 2 == 0 { json!({names[key]: value}) } else { json!([value]) };
        }
        for rules in Dialect::ALL.into_iter().filter_map(Dialect::rules) {
            let _ = (rules.event)(value.to_string().as_bytes());
            let _ = (rules.answer)(value.to_string().as_bytes());
            let _ = (rules.refusal)(400, value.to_string().as_bytes());
        }
    }
}

#[test]
fn a_schema_is_strict_where_openai_takes_it_as_such() {
    let object = |required: Value, properties: Value| {
        json!({"type": "object", "required": required, "properties": properties,
               "additionalProperties": false})
    };
    let text = json!({"type": "string"});
    let whole = object(json!(["a"]), json!({ "a": text }));
    let optional = object(json!(["a"]), json!({ "a": text, "b": text }));
    let mut open = whole.clone();
    open.as_object_mut().expect("an object").remove("additionalProperties");
    let list = |items: &Value| json!({"type": "array", "items": items, "maxItems": 3});
    let below = |part: Value| object(json!(["p"]), json!({ "p": part }));
    for (schema, strict) in [
        (whole.clone(), true),
        (optional.clone(), false),
        (open.clone(), false),
        (json!({"type": "object"}), false),
        (text.clone(), false),
        (below(list(&whole)), true),
        (below(list(&optional)), false),
        (below(list(&open)), false),
        (below(json!({"anyOf": [whole, {"type": "null"}]})), true),
        (below(json!({"anyOf": [optional, {"type": "null"}]})), false),
        (below(json!({"type": ["string", "null"]})), true),
        (below(json!({"type": ["object", "null"]})), false),
        // It has no word for these.
        (below(json!({"type": "string", "maxLength": 9})), false),
        (below(json!({"allOf": [text]})), false),
        (below(json!(true)), false),
    ] {
        assert_eq!(openai::is_strict(&schema), strict, "{schema}");
        let ask = Ask { schema: Some(schema.clone()), ..full() };
        let body = called(Dialect::OpenAi, &ask, "http://127.0.0.1/v1", true).body;
        assert_eq!(body["response_format"]["json_schema"]["strict"], strict, "{schema}");
        let body = called(Dialect::Responses, &ask, "http://127.0.0.1/v1", true).body;
        assert_eq!(body["text"]["format"]["strict"], strict, "{schema}");
    }
}
