//! Councils as jobs: left and fetched, laid aside for a person, gated, debated, judged, told by
//! webhooks, and what the ledger has of them.

use super::chat::Chat;
use super::faces::{meta, token};
use super::http::{get, post, request};
use super::program::{Client, PATIENCE, Place, Server, poll};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

/// Models that say what their names say, until they read of the sea.
fn says(model: &str, body: &Value) -> String {
    let all = body["messages"].to_string();
    let told = all.contains("Further context: the sea");
    let seen = all.contains("Other experts answered");
    match model {
        _ if all.matches("How many?").count() > 1 => "Answer: 99".to_owned(),
        _ if told => "Answer: 9".to_owned(),
        "seven" => "Answer: 7".to_owned(),
        "turns" if seen => "They are right. Answer: 7".to_owned(),
        "leak" => "The key is AKIAIOSFODNN7EXAMPLF. Answer: 7".to_owned(),
        _ if model.contains("seven") => "\\boxed{7}".to_owned(),
        _ => format!("Answer: {}", model.len()),
    }
}

/// A place with these models, and its configuration.
fn place(models: &[&str], more: &str) -> (Place, Chat, String) {
    let server = Chat::saying(says);
    let place = Place::new();
    let text = format!("{}{more}", server.config(models));
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    (place, server, config)
}

fn act(client: &mut Client, job: &Value, more: Value) -> Value {
    let mut args = json!({"op": "act", "id": job});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.answered("job", args)
}

fn settled(client: &mut Client, job: &Value) -> Value {
    poll("the council's end", PATIENCE, || {
        let reply = client.answered("orchestrate", json!({ "job": job }));
        (reply["state"] != "running" && reply["state"] != "pending").then_some(reply)
    })
}

#[test]
fn a_person_decides_where_trust_is_too_low() {
    let (place, server, config) = place(&["seven", "others", "three"], "");
    let mut client = place.stdio(&["--config", &config]);
    let args = json!({"query": "How many?", "kind": "number", "hold": true, "confidence": 1,
                      "models": ["seven", "others", "three"]});
    let held = client.answered("orchestrate", args.clone());
    assert_eq!((&held["state"], &held["needs"]["kind"]), (&json!("waiting"), &json!("trust")));
    assert!(held["verdict"]["answer"].is_string(), "the person sees it: {held}");
    let job = held["job"].clone();
    assert_eq!(client.answered("orchestrate", json!({"job": job})), held, "the same again");
    let shown = client.answered("job", json!({"op": "status", "id": job}));
    assert_eq!(shown["jobs"][0]["needs"]["kind"], "trust", "{shown}");
    // What does not fit says what does.
    let said = client.refused("job", json!({"op": "act", "id": job, "action": "retry"}));
    assert!(said.contains("approve, provide, modify, cancel"), "{said}");
    for (args, word) in [
        (json!({"op": "act", "id": job}), "`action`"),
        (json!({"op": "act", "id": job, "action": "provide"}), "`text`"),
        (json!({"op": "act", "id": job, "action": "modify"}), "`input`"),
        (json!({"op": "act", "id": "j_none", "action": "approve"}), "no job"),
        (
            json!({"op": "act", "id": job, "action": "provide", "text": "AKIAIOSFODNN7EXAMPLF"}),
            "not sent",
        ),
        (json!({"op": "act", "id": job, "action": "modify", "input": {"query": ""}}), "`query`"),
    ] {
        let said = client.refused("job", args.clone());
        assert!(said.contains(word), "{args}: {said}");
    }
    // Context makes them ask again, and agree.
    act(&mut client, &job, json!({"action": "provide", "text": "the sea"}));
    let whole = settled(&mut client, &job);
    assert_eq!((&whole["state"], &whole["verdict"]["answer"]), (&json!("waiting"), &json!("9")));
    let asked = server.asked("seven");
    let done = act(&mut client, &job, json!({"action": "approve"}));
    assert_eq!(done["state"], "succeeded", "{done}");
    let whole = settled(&mut client, &job);
    assert_eq!((&whole["state"], &whole["verdict"]["answer"]), (&json!("succeeded"), &json!("9")));
    assert_eq!(server.asked("seven"), asked, "a word of approval asks nobody");
    let result = client.answered("job", json!({"op": "result", "id": job}));
    assert_eq!(result["result"], whole);
    // Other arguments, and an end.
    let other = client.answered("orchestrate", args.clone())["job"].clone();
    let input = json!({"query": "How many then?", "models": ["seven", "others"], "mode": "single"});
    act(&mut client, &other, json!({"action": "modify", "input": input}));
    let whole = settled(&mut client, &other);
    assert_eq!(
        (&whole["state"], &whole["models"][0]["model"]),
        (&json!("succeeded"), &json!("seven"))
    );
    let third = client.answered("orchestrate", args)["job"].clone();
    assert_eq!(act(&mut client, &third, json!({"action": "cancel"}))["state"], "cancelled");
    let said = client.refused("orchestrate", json!({"job": third}));
    assert!(said.contains("cancelled"), "{said}");
    act(&mut client, &third, json!({"action": "retry"}));
    assert_eq!(settled(&mut client, &third)["state"], "waiting", "asked once more");
}

#[test]
fn a_persons_word_counts_once_for_each_key() {
    let (place, server, config) = place(&["seven", "others"], "");
    let web = place.http(&["--config", &config], &[]);
    let ask = json!({"query": "How many?", "kind": "number", "hold": true, "confidence": 1,
                     "models": ["seven", "others"]});
    let held = post(web.address, "/v1/orchestrate", &[], &ask).json();
    assert_eq!(held["state"], "waiting", "{held}");
    let path = format!("/v1/tasks/{}/actions", held["job"].as_str().expect("a job"));
    let act = |key: &str, body: &Value| post(web.address, &path, &[("Idempotency-Key", key)], body);
    let settled = || {
        let job = format!("/v1/orchestrate/{}", held["job"].as_str().expect("a job"));
        poll("the council's end", PATIENCE, || {
            let reply = get(web.address, &job).json();
            (reply["state"] != "running" && reply["state"] != "pending").then_some(reply)
        })
    };
    let input = json!({"query": "How many then?", "kind": "number", "models": ["seven", "others"],
                       "hold": true, "confidence": 1});
    let other = json!({"action": "modify", "input": input});
    let first = act("m", &other);
    assert!(matches!(first.status, 200 | 202), "{first:?}");
    assert_eq!(settled()["state"], "waiting");
    let asked = (server.asked("seven"), server.asked("others"));
    let again = act("m", &other);
    assert_eq!((again.status, &again.json()["job"]), (200, &held["job"]), "{again:?}");
    assert_eq!(settled()["state"], "waiting");
    assert_eq!((server.asked("seven"), server.asked("others")), asked, "it was asked twice");
    let approve = json!({"action": "approve"});
    assert_eq!(act("m", &approve).status, 409, "a key of another word");
    for _ in 0..2 {
        let approved = act("a", &approve);
        assert_eq!((approved.status, &approved.json()["state"]), (200, &json!("succeeded")));
    }
    // What was refused may be tried again under its key.
    for _ in 0..2 {
        let late = act("b", &approve);
        assert!(late.status == 409 && late.body.contains("does not fit"), "{late:?}");
    }
}

#[test]
fn what_a_person_adds_is_no_second_turn_of_the_session() {
    let (place, _server, config) = place(&["seven", "others"], "");
    let mut client = place.stdio(&["--config", &config]);
    let session = client.answered("session", json!({"op": "create"}))["session_id"].clone();
    let args = json!({"query": "How many?", "kind": "number", "hold": true, "confidence": 1,
                      "models": ["seven", "others"], "session": session});
    let held = client.answered("orchestrate", args);
    let job = held["job"].clone();
    act(&mut client, &job, json!({"action": "provide", "text": "the sea"}));
    // They read the question once, with what was added to it.
    assert_eq!(settled(&mut client, &job)["verdict"]["answer"], "9");
    act(&mut client, &job, json!({"action": "approve"}));
    assert_eq!(settled(&mut client, &job)["state"], "succeeded");
    let told = client.answered("session", json!({"op": "history", "id": session}));
    assert_eq!(told["messages"][0]["role"], "user", "{told}");
    let last = told["messages"].as_array().and_then(|all| all.last()).expect("messages");
    assert!(last["role"] != "user" && last["text"].as_str().unwrap().contains('9'), "{told}");
}

#[test]
fn the_gate_holds_back_what_diverges() {
    let (place, _server, config) = place(&["seven", "also-seven", "others"], "");
    let mut client = place.stdio(&["--config", &config]);
    let ask = |models: &[&str]| {
        let query = "How many?";
        json!({"query": query, "kind": "number", "gate": 0.3, "models": models})
    };
    let agreed = client.answered("orchestrate", ask(&["seven", "also-seven"]));
    assert_eq!(
        (&agreed["state"], &agreed["gate"]["consensus"]),
        (&json!("succeeded"), &json!(true))
    );
    assert_eq!(agreed["gate"]["recommendation"], "proceed");
    let apart = client.answered("orchestrate", ask(&["seven", "also-seven", "others"]));
    assert_eq!((&apart["state"], &apart["needs"]["kind"]), (&json!("waiting"), &json!("gate")));
    assert_eq!(apart["gate"]["recommendation"], "block", "{apart}");
    assert_eq!(apart["gate"]["anomalies"], json!(["others"]));
    assert!(apart["verdict"].is_null(), "the answer is held back: {apart}");
    // Whoever decides finds it, and lets it out.
    let record = client.answered("trust", json!({"id": apart["needs"]["verdict"]}));
    assert_eq!(record["verdict"]["answer"], "7");
    act(&mut client, &apart["job"], json!({"action": "approve"}));
    let out = settled(&mut client, &apart["job"]);
    assert_eq!(out["verdict"]["answer"], "7", "{out}");
    for (args, word) in [
        (json!({"query": "x", "gate": 1.5}), "`gate`"),
        (json!({"query": "x", "confidence": -1}), "`confidence`"),
        (json!({"query": "x", "domain": "cooking"}), "medical"),
    ] {
        let said = client.refused("orchestrate", args.clone());
        assert!(said.contains(word), "{args}: {said}");
    }
}

/// Models that give the same reasons and end otherwise.
fn argues(model: &str, body: &Value) -> String {
    let choice = body["messages"].to_string().contains("Is it sorted?");
    let end = match model {
        "one" if choice => "The answer is (A).",
        "one" => "Answer: [1, 2]",
        "two" if choice => "The answer is (B).",
        "two" => "Answer: [2, 1]",
        _ => "Answer: [3]",
    };
    format!(
        "The list is read from its beginning to its end, every entry is compared with the one \
         that stands before it, and what is smaller goes to the front; nothing is lost and \
         nothing is added while that is done, so that what remains is the order.\n{end}"
    )
}

#[test]
fn the_gate_compares_what_the_verdict_compares() {
    let server = Chat::saying(argues);
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["one", "two", "three"]));
    let config = config.to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let value = json!({"query": "Which list is it?", "kind": "value", "gate": 0.3,
                       "models": ["one", "two", "three"]});
    let choice = json!({"query": "Is it sorted?", "options": ["Yes", "No"], "gate": 0.3,
                        "models": ["one", "two"]});
    for args in [value, choice] {
        let reply = client.answered("orchestrate", args);
        let gate = &reply["gate"];
        assert_eq!(
            (&gate["consensus"], &gate["recommendation"]),
            (&json!(false), &json!("block")),
            "{reply}"
        );
        assert_eq!(gate["divergence_score"], 1.0, "{reply}");
    }
}

#[test]
fn a_debate_shows_who_turned_and_leaves_trust_alone() {
    let (place, server, config) = place(&["seven", "also-seven", "turns"], "");
    let mut client = place.stdio(&["--config", &config]);
    let args = json!({"query": "How many?", "kind": "number", "mode": "debate",
                      "models": ["seven", "also-seven", "turns"]});
    let reply = client.answered("orchestrate", args);
    let debate = &reply["debate"];
    let flip = &debate["rounds"][1]["flips"][0];
    assert_eq!(
        (&flip["model"], &flip["towards"]),
        (&json!("turns"), &json!(["also-seven", "seven"]))
    );
    assert_eq!((&debate["settled"], &debate["turned"]), (&json!(true), &json!(false)));
    // It settled after one round, and the verdict is that of the blind vote.
    assert_eq!((server.asked("turns"), debate["rounds"].as_array().map(Vec::len)), (2, Some(2)));
    assert_eq!(reply["verdict"]["dissent"][0]["model"], "turns", "{reply}");
    assert_eq!(reply["models"].as_array().map(Vec::len), Some(6), "both rounds are paid for");
    assert_eq!(client.answered("orchestrate", json!({"job": reply["job"]})), reply);
}

/// Models of which all but `plain` think aloud; that one gives in to whom it hears think.
fn thinks(model: &str, body: &Value) -> String {
    let overheard = body["messages"].to_string().contains("eighty-eight");
    match model {
        "plain" if !overheard => "Answer: 8".to_owned(),
        "plain" => "Answer: 7".to_owned(),
        _ => "<think>Is it eighty-eight?</think>\nAnswer: 7".to_owned(),
    }
}

#[test]
fn a_debate_shows_nobody_what_another_thought_aloud() {
    let server = Chat::saying(thinks);
    let place = Place::new();
    let models = ["aloud", "louder", "plain"];
    let config = place.write("synod.toml", server.config(&models));
    let mut client = place.stdio(&["--config", &config.to_string_lossy()]);
    let args = json!({"query": "How many?", "kind": "number", "mode": "debate", "models": models});
    let reply = client.answered("orchestrate", args);
    let debate = &reply["debate"];
    assert_eq!(server.asked("plain"), 2, "it debates: {reply}");
    assert_eq!(debate["rounds"][1]["flips"], json!([]), "{debate}");
    assert_eq!(debate["last_word"], "Answer: 7", "{debate}");
}

#[test]
fn the_plan_says_its_rules_and_goes_on_while_there_is_doubt() {
    let models = ["a-seven", "b-others", "c-seven", "d-seven"];
    let (place, _server, config) = place(&models, "");
    let mut client = place.stdio(&["--config", &config]);
    let reply = client.answered("orchestrate", json!({"query": "How many?", "kind": "number"}));
    let decision = &reply["decision"];
    for key in ["complexity", "stakes", "domain", "effort"] {
        assert!(
            decision[key].as_str().is_some_and(|text| text.contains(": ")),
            "{key}: {decision}"
        );
    }
    assert_eq!(decision["needed"], 0.7);
    // The first two are apart: others are asked, and the reply says why.
    let asked = decision["panel"].as_array().map_or(0, Vec::len);
    assert!(asked > 2, "{decision}");
    assert_eq!(reply["verdict"]["answer"], "7");
    // The caller's word wins.
    let args = json!({"query": "How many?", "kind": "number", "stakes": "high", "effort": "quick"});
    let quick = client.answered("orchestrate", args);
    assert_eq!(quick["decision"]["panel"].as_array().map(Vec::len), Some(2));
    assert_eq!(quick["decision"]["needed"], 0.9);
    assert!(quick["decision"]["stakes"].as_str().unwrap().contains("the caller said so"));
    assert!(quick["decision"]["escalate"].is_string(), "a person should decide: {quick}");
}

#[test]
fn jobs_are_left_over_rest_once_for_each_key() {
    let (place, server, config) = place(&["seven", "also-seven"], "");
    let web = place.http(&["--config", &config], &[]);
    let body = json!({"kind": "orchestrate", "input": {"query": "How many?"}, "priority": 1});
    let key = [("Idempotency-Key", "k")];
    let left = post(web.address, "/v1/tasks", &key, &body);
    assert_eq!(left.status, 202, "{left:?}");
    let id = left.json()["job"].as_str().expect("a job").to_owned();
    assert_eq!(left.header("location"), Some(format!("/v1/tasks/{id}").as_str()));
    assert_eq!(post(web.address, "/v1/tasks", &key, &body).json()["job"], id.as_str());
    let result = poll("the result", PATIENCE, || {
        let reply = get(web.address, &format!("/v1/tasks/{id}/result")).json();
        (reply["state"] == "succeeded").then_some(reply)
    });
    assert_eq!(result["result"]["verdict"]["answer"], "7", "{result}");
    let n = server.asked("seven");
    // The same of one model, and of sessions.
    let infer = json!({"model": "seven", "input": "How many?", "params": {"temperature": 0.5}});
    let first = post(web.address, "/v1/llm/infer", &key, &infer).json();
    assert_eq!(post(web.address, "/v1/llm/infer", &key, &infer).json()["answer"], first["answer"]);
    assert_eq!(server.asked("seven"), n + 1);
    let other = json!({"model": "seven", "input": "What?"});
    assert_eq!(post(web.address, "/v1/llm/infer", &key, &other).status, 409);
    let made = |title: &str| post(web.address, "/v1/sessions", &key, &json!({ "title": title }));
    assert_eq!(made("a").json()["session_id"], made("a").json()["session_id"]);
    assert_eq!(made("b").status, 409);
    let bad = [
        (json!({"kind": "orchestrate", "input": {"query": ""}}), 400),
        (json!({"kind": "orchestrate", "input": {"query": "x"}, "priority": 9}), 400),
        (json!({"kind": "dance"}), 400),
        (json!({"kind": "Orchestrate", "input": {"query": "x"}}), 400),
        (json!({"kind": null, "input": {"query": "x"}}), 400),
        (json!({"input": {"query": "x"}}), 400),
        // A kind is a word: what is read in another way than it was checked is refused.
        (json!({"kind": {"orchestrate": null}, "input": {"query": "x"}}), 403),
        (json!({"kind": "ingest", "input": {"op": "reindex"}}), 403),
        (
            json!({"kind": "orchestrate", "input": {"query": "x"}, "notify": "http://127.0.0.1/"}),
            422,
        ),
    ];
    for (body, status) in bad {
        let reply = post(web.address, "/v1/tasks", &[], &body);
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        let kinds = reply.body.contains("`orchestrate` or `ingest`");
        assert!(status != 400 || body["kind"] == "orchestrate" || kinds, "{body}: {reply:?}");
    }
    // What is hidden is not offered through another door either.
    let hiding = place.write(
        "hiding.toml",
        format!("{}[access]\nhidden_tools = [\"orchestrate\"]\n", server.config(&["seven"])),
    );
    let closed = place.http(&["--config", &hiding.to_string_lossy()], &[]);
    assert_eq!(post(closed.address, "/v1/tasks", &[], &body).status, 404);
    // A council is its owner's, its actions too.
    let bearer = token(&place, "b", "read:context,read:jobs,write:jobs,llm:invoke");
    let theirs = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let path = format!("/v1/tasks/{id}/actions");
    let said = request(web.address, "POST", &path, &theirs, "{\"action\":\"cancel\"}");
    assert_eq!(said.status, 404, "{said:?}");
    let watched = request(web.address, "GET", &format!("/v1/tasks/{id}/stream"), &theirs, "");
    assert_eq!(watched.status, 404, "{watched:?}");
    // The status of the index has jobs of indexing, and no other.
    let status = request(web.address, "GET", &format!("/v1/index?job={id}"), &theirs, "");
    assert_eq!((status.status, status.fault().as_str()), (404, "not_found"), "{status:?}");
}

/// Questions of the queue's test, in the order in which the model answered them.
static SERVED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

fn serves(_: &str, body: &Value) -> String {
    let all = body["messages"].to_string();
    let animals = ["walruses", "otters", "herons", "seals"];
    let asked = animals.into_iter().find(|animal| all.contains(animal)).expect("a question");
    SERVED.lock().expect("the list").push(asked);
    "Answer: 7".to_owned()
}

#[test]
fn an_urgent_council_has_the_next_place_and_its_turn_is_seen() {
    let server = Chat::with(&["busy"], serves);
    let place = Place::new();
    let text = server.config(&["busy"]);
    let text = text.replace("stream = false\n", "stream = false\nconcurrent_max = 1\n");
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let leave = |client: &mut Client, animal: &str, priority: u8| {
        let query = format!("How many {animal}?");
        let input = json!({"query": query, "models": ["busy"], "mode": "single"});
        let args = json!({"op": "submit", "kind": "orchestrate", "input": input,
                          "priority": priority});
        client.answered("job", args)["job"].clone()
    };
    let first = leave(&mut client, "walruses", 5);
    poll("the first call", PATIENCE, || (server.asked("busy") == 1).then_some(()));
    let idle = leave(&mut client, "otters", 5);
    let usual = leave(&mut client, "herons", 3);
    let urgent = leave(&mut client, "seals", 1);
    for (job, said) in [
        (&idle, "waits for its turn, priority 5: 2 before it at p/busy"),
        (&usual, "waits for its turn, priority 3: 1 before it at p/busy"),
        (&urgent, "waits for its turn, priority 1: 0 before it at p/busy"),
    ] {
        poll("its place in the queue", PATIENCE, || {
            let shown = client.answered("job", json!({"op": "status", "id": job}));
            (shown["state"] == "running" && shown["jobs"][0]["current"] == said).then_some(())
        });
    }
    assert_eq!(server.asked("busy"), 1, "one at a time");
    server.release();
    for job in [&first, &idle, &usual, &urgent] {
        assert_eq!(settled(&mut client, job)["state"], "succeeded");
        let shown = client.answered("job", json!({"op": "status", "id": job}));
        assert!(shown["jobs"][0]["current"].is_null(), "it waits no more: {shown}");
    }
    assert_eq!(
        *SERVED.lock().expect("the list"),
        ["walruses", "seals", "herons", "otters"],
        "by priority, not as they came"
    );
}

#[test]
fn a_client_with_tasks_gets_one() {
    let (place, _server, config) = place(&["seven", "others"], "");
    let mut client = place.mute(&["--config", &config]);
    let with = |params: Value| {
        let mut meta = meta();
        meta["io.modelcontextprotocol/clientCapabilities"] =
            json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}});
        let mut params = params;
        params["_meta"] = meta;
        params
    };
    client.request("server/discover", json!({ "_meta": meta() }));
    let args = json!({"query": "How many?", "kind": "number", "models": ["seven", "others"],
                      "hold": true, "confidence": 0.99});
    let call = with(json!({"name": "orchestrate", "arguments": args}));
    let made = client.request("tools/call", call)["result"].clone();
    assert_eq!((&made["resultType"], made["taskId"].is_string()), (&json!("task"), true), "{made}");
    let id = made["taskId"].clone();
    let waits = poll("the question", PATIENCE, || {
        let task = client.request("tasks/get", with(json!({"taskId": id})))["result"].clone();
        (task["status"] == "input_required").then_some(task)
    });
    let (key, form) = waits["inputRequests"].as_object().unwrap().iter().next().expect("a form");
    assert!(form["params"]["message"].as_str().unwrap().contains("0.99"), "{waits}");
    let said = json!({"action": "accept", "content": {"action": "approve"}});
    let said = with(json!({"taskId": id, "inputResponses": {key.as_str(): said}}));
    assert!(client.request("tasks/update", said)["error"].is_null());
    let done = client.request("tasks/get", with(json!({"taskId": id})))["result"].clone();
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["result"]["structuredContent"]["state"], "succeeded");
    // Another one is stopped.
    let call = with(json!({"name": "orchestrate", "arguments": args}));
    let id = client.request("tools/call", call)["result"]["taskId"].clone();
    assert!(client.request("tasks/cancel", with(json!({"taskId": id})))["error"].is_null());
    let gone = client.request("tasks/get", with(json!({"taskId": id})))["result"].clone();
    assert!(gone["status"] == "cancelled" || gone["status"] == "completed", "{gone}");
    let none = client.request("tasks/get", with(json!({"taskId": "j_none"})));
    assert!(none["error"]["message"].as_str().unwrap().contains("no job"), "{none}");
    // Without the extension the call waits, as ever.
    let call = json!({"name": "orchestrate", "_meta": meta(), "arguments":
        {"query": "How many?", "kind": "number", "models": ["seven"], "mode": "single"}});
    let plain = client.request("tools/call", call)["result"].clone();
    assert_eq!(plain["structuredContent"]["state"], "succeeded", "{plain}");
}

#[test]
fn resources_are_what_the_tools_say_and_tell_of_changes() {
    let (place, _server, config) = place(&["seven", "others"], "");
    let mut client = place.stdio(&["--config", &config]);
    let session = client.answered("session", json!({"op": "create", "title": "Sums"}));
    let session = session["session_id"].as_str().expect("an id").to_owned();
    let watch = json!({"uri": format!("session://{session}")});
    assert!(client.request("resources/subscribe", watch)["error"].is_null());
    let reply = client.answered("orchestrate", json!({"query": "How many?", "session": session}));
    let told = client.next();
    assert_eq!(told["method"], "notifications/resources/updated", "{told}");
    assert_eq!(told["params"]["uri"], format!("session://{session}"));
    let (job, id) = (reply["job"].as_str().unwrap(), reply["verdict"]["id"].as_str().unwrap());
    for (uri, word) in [
        (format!("job://{job}"), "succeeded"),
        (format!("trust://{id}"), "\"same\": true"),
        (format!("session://{session}"), "How many?"),
    ] {
        let read = client.request("resources/read", json!({ "uri": uri }))["result"].clone();
        let text = read["contents"][0]["text"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains(word), "{uri}: {read}");
        let scheme = uri.split("://").next().unwrap();
        let done = client.request(
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": format!("{scheme}://{{id}}")},
                   "argument": {"name": "id", "value": &uri[scheme.len() + 3..][..5]}}),
        );
        let values = done["result"]["completion"]["values"].as_array().expect("values");
        assert!(values.iter().any(|value| uri.ends_with(value.as_str().unwrap())), "{done}");
    }
    let none = client.request("resources/read", json!({"uri": "trust://t_none"}));
    assert!(none["error"]["message"].as_str().unwrap().contains("no verdict"), "{none}");
    let listed = client.answered("trust", json!({}));
    assert_eq!(listed["verdicts"][0]["id"], id, "{listed}");
    let alone = client.answered("trust", json!({"id": id, "model": "seven"}));
    assert_eq!(alone["votes"].as_array().map(Vec::len), Some(1));
    for name in ["council", "explain_dissent"] {
        let listed = client.request("prompts/list", json!({})).to_string();
        assert!(listed.contains(&format!("\"{name}\"")), "{listed}");
    }
}

#[test]
fn the_ledger_has_calls_asks_hits_and_decisions_but_no_contents() {
    let (place, _server, config) = place(&["leak", "also-seven"], "");
    let mut client = place.stdio(&["--config", &config]);
    let args = json!({"query": "How many secret walruses?", "models": ["leak", "also-seven"]});
    let reply = client.answered("orchestrate", args);
    let leaked = reply["models"].as_array().unwrap().iter().find(|m| m["model"] == "leak").unwrap();
    assert_eq!(leaked["redacted"].as_array().map(Vec::len), Some(1), "{leaked}");
    client.refused("orchestrate", json!({"query": "my key is AKIAIOSFODNN7EXAMPLF"}));
    client.answered("search", json!({"query": "walrus"}));
    let job = reply["job"].as_str().unwrap().to_owned();
    let rows = |args: &[&str]| -> Vec<Value> {
        let mut all = vec!["ledger", "--json"];
        all.extend(args);
        let (code, out, err) = place.outcome(&all);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).unwrap()["rows"].as_array().unwrap().clone()
    };
    let of = |action: &str| {
        poll("the row", PATIENCE, || {
            Some(rows(&["--action", action])).filter(|rows| !rows.is_empty())
        })
    };
    let asked = of("ask");
    let mut models: Vec<&str> = asked.iter().filter_map(|row| row["resource"].as_str()).collect();
    models.sort_unstable();
    assert_eq!(models, ["also-seven", "leak"]);
    assert!(asked.iter().all(|row| row["call"] == job.as_str() && row["content"].is_string()));
    let hits = of("guard");
    let outcomes: Vec<&str> = hits.iter().filter_map(|row| row["outcome"].as_str()).collect();
    assert!(outcomes.contains(&"refused") && outcomes.contains(&"redacted"), "{hits:?}");
    assert_eq!(of("verdict")[0]["resource"], reply["verdict"]["id"]);
    let calls = of("orchestrate");
    assert_eq!(
        (calls.len(), &calls[0]["outcome"], &calls[1]["outcome"]),
        (2, &json!("invalid_argument"), &json!("ok"))
    );
    assert_eq!(of("search").len(), 1, "reads too, unless the operator says `changes`");
    let all = rows(&["--limit", "1000"]);
    let text = json!(all).to_string();
    assert!(!text.contains("walrus") && !text.contains("AKIA"), "{text}");
    let (code, out, _) = place.outcome(&["doctor"]);
    assert!(code == 0 && out.contains("ledger: "), "{out}");
    // A row that was changed behind its back is found.
    drop(client);
    assert!(tampered(&place), "the row could be changed");
    let (code, out, _) = place.outcome(&["doctor"]);
    assert!(code == 1 && out.contains("ledger is broken at row 1"), "{out}");
    assert!(!out.contains("--repair"), "no repair mends it: {out}");
}

/// Changes the outcome of the first row of the ledger in the file of the database, as a hand would.
fn tampered(place: &Place) -> bool {
    let script = "import sqlite3,sys\n\
        db=sqlite3.connect(sys.argv[1])\n\
        db.executescript('DROP TRIGGER ledger_unchanged; DROP TRIGGER ledger_kept')\n\
        db.execute(\"UPDATE ledger SET outcome='no' WHERE seq=1\")\n\
        db.commit()\n";
    let state = place.data().join("state.db");
    let done = std::process::Command::new("python3").args(["-c", script]).arg(state).status();
    done.is_ok_and(|status| status.success())
}

/// A server that takes webhooks in, and refuses the first.
fn hook() -> (String, Receiver<(Vec<String>, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hooks/", listener.local_addr().expect("an address"));
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            let mut headers: Vec<String> = Vec::new();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                headers.push(line.trim().to_ascii_lowercase());
                line.clear();
            }
            let length = headers.iter().find_map(|h| h.strip_prefix("content-length: "));
            let mut body = vec![0; length.and_then(|n| n.parse().ok()).unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            let status = if n == 0 { "500 No" } else { "204 Yes" };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("sent");
            let body = serde_json::from_slice(&body).expect("JSON");
            if send.send((headers, body)).is_err() {
                return;
            }
        }
    });
    (url, receive)
}

#[test]
fn a_webhook_hears_of_the_end_signed_and_until_it_listens() {
    let (url, heard) = hook();
    let more = format!("[council]\nwebhooks = [\"{url}\"]\nwebhook_secret_env = \"HOOK_SECRET\"\n");
    let (place, _server, config) = place(&["seven", "also-seven"], &more);
    let web = place.http(&["--config", &config], &[("HOOK_SECRET", "whsec_c2VjcmV0")]);
    let away = format!("{url}../elsewhere");
    let ask =
        |to: &str| json!({"kind": "orchestrate", "input": {"query": "How many?"}, "notify": to});
    assert_eq!(post(web.address, "/v1/tasks", &[], &ask(&away)).status, 422);
    let left = post(web.address, "/v1/tasks", &[], &ask(&format!("{url}mine")));
    let job = left.json()["job"].clone();
    let (first, body) = heard.recv_timeout(PATIENCE).expect("a first try");
    assert_eq!((&body["type"], &body["data"]["job"]), (&json!("job.succeeded"), &job), "{body}");
    for name in ["webhook-id: ", "webhook-timestamp: ", "webhook-signature: v1,"] {
        assert!(first.iter().any(|header| header.starts_with(name)), "{first:?}");
    }
    let (second, again) = heard.recv_timeout(PATIENCE).expect("a second try");
    let id = |headers: &[String]| headers.iter().find(|h| h.starts_with("webhook-id")).cloned();
    assert_eq!((id(&first), &body), (id(&second), &again), "the same event under the same id");
    let quiet = heard.recv_timeout(std::time::Duration::from_secs(3));
    assert!(quiet.is_err(), "what was taken in is not told again");
    // Nobody is told without a secret.
    let bare: Server = place.http(&["--config", &config], &[]);
    let refused = post(bare.address, "/v1/tasks", &[], &ask(&format!("{url}mine")));
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("webhook_secret_env"), "{refused:?}");
}

/// Models that answer phrases; the judge says that all pairs are the same.
fn phrases(model: &str, body: &Value) -> String {
    let all = body["messages"].to_string();
    match model {
        "judge" if all.contains("pair 1") => "{\"same\": [true]}".to_owned(),
        "deep" | "judge" => "I do not know.".to_owned(),
        _ if all.contains("check the premise") => {
            "{\"restated\": \"r\", \"resembles\": \"the tide riddle\", \"differences\": [\"the \
             ship is aground\"]}"
                .to_owned()
        }
        "one" => "the old harbour".to_owned(),
        _ => "the harbour gate".to_owned(),
    }
}

#[test]
fn a_judge_looks_at_what_is_nearly_alike_and_a_premise_is_checked() {
    let server = Chat::saying(phrases);
    let place = Place::new();
    let text = format!(
        "{}[council]\njudge = \"judge\"\npanel = [\"one\", \"two\"]\n",
        server.config(&["one", "two", "judge"])
    );
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let args =
        json!({"query": "Where did the ship lie?", "kind": "short", "models": ["one", "two"]});
    let reply = client.answered("orchestrate", args);
    assert_eq!(server.asked("judge"), 1, "{reply}");
    let verdict = &reply["verdict"];
    assert_eq!(
        (&verdict["evidence"], verdict["clusters"].as_array().map(Vec::len)),
        (&json!("judge"), Some(1))
    );
    let judge = reply["models"].as_array().unwrap().iter().find(|m| m["head"] == "judge");
    assert_eq!(judge.expect("its cost is shown")["model"], "judge");
    let record = client.answered("trust", json!({"id": verdict["id"]}));
    assert_eq!((&record["verdict"], &record["same"]), (verdict, &json!(true)));
    // A deep council looks at the premise.
    let args = json!({"query": "Where did the ship lie?", "kind": "short", "effort": "deep"});
    let deep = client.answered("orchestrate", args);
    let reasons = deep["verdict"]["reasons"].to_string();
    assert!(reasons.contains("the ship is aground"), "{deep}");
    assert!(deep["verdict"]["trust"].as_f64().unwrap() <= 0.6);
}

/// Models that agree; whoever is asked about the premise says what the question says it says.
fn on_premises(_: &str, body: &Value) -> String {
    let all = body["messages"].to_string();
    match all.contains("check the premise") {
        true if all.contains("unread") => "It seems fine to me.".to_owned(),
        true if all.contains("silent") => String::new(),
        true => "{\"restated\": \"r\", \"resembles\": \"\", \"differences\": []}".to_owned(),
        false => "Answer: 7".to_owned(),
    }
}

#[test]
fn a_premise_that_nobody_checked_does_not_hold() {
    let server = Chat::saying(on_premises);
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["one", "two"]));
    let config = config.to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    for (query, said, degraded) in [
        ("How many?", "the premise holds", json!([])),
        ("How many unread?", "could not be checked: its reply", json!(["premise"])),
        ("How many silent?", "could not be checked: ", json!(["premise"])),
    ] {
        let args = json!({"query": query, "kind": "number", "effort": "deep"});
        let reply = client.answered("orchestrate", args);
        let steps = reply["decision"]["steps"].to_string();
        assert!(steps.contains(said), "{query}: {reply}");
        assert_eq!(said.contains("holds"), steps.contains("holds"), "{query}: {steps}");
        assert_eq!(reply["verdict"]["degraded"], degraded, "{query}: {reply}");
    }
}

/// One is fit; one cannot add and says everything.
fn examined(model: &str, body: &Value) -> String {
    let last = body["messages"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    let asked = last["content"].as_str().unwrap_or_default().to_owned();
    let fit = model == "fit";
    match asked.as_str() {
        text if text.contains("single word OK") => "OK".to_owned(),
        text if text.contains("2+2") => if fit { "4" } else { "5" }.to_owned(),
        text if text.contains("primary colours") => "red, yellow, blue".to_owned(),
        text if text.contains("capital of France") => "Paris".to_owned(),
        text if text.contains("S&P 500") => "That cannot be known.".to_owned(),
        text if text.contains("licence") => "UNKNOWN".to_owned(),
        _ => "It is so.".to_owned(),
    }
}

#[test]
fn an_ensemble_is_examined_and_a_model_that_cannot_add_fails() {
    let server = Chat::saying(examined);
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["fit", "unfit"]));
    let config = config.to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let checked = client.answered("models", json!({"op": "health"}))["ensemble"].clone();
    assert_eq!(checked["overall_status"], "FAIL", "{checked}");
    let models = checked["models"].as_array().expect("models");
    assert_eq!(models[0]["health_check"]["status"], "PASS", "{checked}");
    let issue = &models[1]["health_check"]["issues"][0];
    assert_eq!((&issue["type"], &issue["severity"]), (&json!("math"), &json!("CRITICAL")));
    assert!(checked["recommendations"][0].as_str().unwrap().contains("unfit"));
    assert!(checked["divergence_baseline"]["factual"].is_number());
    let again = client.answered("models", json!({"op": "health"}))["ensemble"].clone();
    assert_eq!(
        (&again["ensemble_id"], &again["created_at"]),
        (&checked["ensemble_id"], &checked["created_at"])
    );
}

#[test]
fn models_that_grow_alike_raise_an_alert() {
    let place = Place::new();
    let mut client = place.stdio(&[]);
    // For a hundred questions they differ, then they say the same for sixty.
    for n in 0..160 {
        let b = if n < 100 { n + 1 } else { n };
        let answers = json!([{"model": "a", "text": format!("Answer: {n}")},
                             {"model": "b", "text": format!("Answer: {b}")}]);
        client.answered("consensus", json!({"question": "How many?", "answers": answers}));
    }
    let listed = client.answered("models", json!({}));
    let alert = &listed["alerts"][0];
    assert_eq!(
        (&alert["models"], &alert["risk"]),
        (&json!(["a", "b"]), &json!("critical")),
        "{listed}"
    );
}
