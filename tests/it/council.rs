//! The council: given answers scored, recorded models asked, what is learned, what survives.

use super::chat::Chat;
use super::faces::token;
use super::http::{get, post, request};
use super::program::{PATIENCE, Place, ended, poll, root};
use serde_json::{Value, json};

/// A place whose council is five recorded models; three of them agree on most questions.
fn place() -> Place {
    let place = Place::new();
    let mut rows = String::new();
    let mut row = |model: &str, question: &str, text: &str| {
        let row = json!({"model": model, "vendor": format!("v-{model}"), "family": model,
                         "question": question, "text": text, "finish": "stop"});
        rows.push_str(&format!("{row}\n"));
    };
    for (model, text) in [
        ("ada", "Half of 84 is 42. Answer: 42"),
        ("bea", "\\boxed{42}"),
        ("cyd", "The answer is 42."),
        ("dot", "I count 41. Answer: 41"),
        ("eve", "It depends."),
    ] {
        row(model, "What is half of 84?", text);
    }
    for n in 0..40 {
        let question = format!("Question {n}?");
        row("ada", &question, &format!("Answer: {n}"));
        row("bea", &question, &format!("Answer: {}", n + 1));
        row("cyd", &question, &format!("Answer: {}", n + 2));
    }
    let path = place.write("replay.jsonl", rows);
    let path = path.to_string_lossy();
    let text = format!("[[provider]]\nname = \"r\"\ndialect = \"replay\"\nurl = \"{path}\"\n");
    place.write("synod.toml", text);
    place
}

fn config(place: &Place) -> String {
    place.path().join("synod.toml").to_string_lossy().into_owned()
}

fn answers(texts: &[(&str, &str)]) -> Value {
    texts.iter().map(|(model, text)| json!({"model": model, "text": text})).collect()
}

#[test]
fn given_answers_are_scored_and_can_be_recomputed() {
    let place = Place::new();
    let mut client = place.stdio(&[]);
    let given = answers(&[("a", "Answer: 7"), ("b", "\\boxed{7}"), ("c", "8"), ("d", "No idea")]);
    let verdict = client.answered("consensus", json!({"question": "How many?", "answers": given}));
    assert_eq!((&verdict["answer"], &verdict["kind"]), (&json!("7"), &json!("number")));
    let trust = verdict["trust"].as_f64().expect("a number");
    assert!((0.3..0.95).contains(&trust), "{verdict}");
    assert_eq!(verdict["clusters"][0]["models"], json!(["a", "b"]));
    assert_eq!(verdict["dissent"][0]["model"], "c");
    assert_eq!(verdict["abstained"][0]["model"], "d");
    let args = json!({"id": verdict["id"]});
    let record = client.answered("trust", args.clone());
    assert_eq!(record["verdict"], verdict, "the same again");
    assert_eq!(
        (&record["same"], record["votes"].as_array().map(Vec::len)),
        (&json!(true), Some(4))
    );
    assert_eq!(record.to_string(), client.answered("trust", args).to_string());
    // Options by their letters, and one voice is no consensus.
    let choice = json!({"question": "Which?", "options": ["red", "blue"],
                        "answers": answers(&[("a", "(B)"), ("b", "Blue")])});
    assert_eq!(client.answered("consensus", choice)["answer"], "B");
    let one = json!({"answers": answers(&[("a", "Answer: 7")])});
    let one = client.answered("consensus", one);
    // Clients hold a reply against the schema: what may be null has no type there.
    let listed = client.request("tools/list", json!({}))["result"]["tools"].clone();
    let tool = listed.as_array().unwrap().iter().find(|t| t["name"] == "consensus").unwrap();
    let properties = &tool["outputSchema"]["properties"];
    assert!(properties["trust"]["type"].is_null() && properties["raw"]["type"] == "number");
    assert!(one["trust"].is_null() && one["reasons"][0].as_str().unwrap().contains("one model"));
}

#[test]
fn feedback_teaches_who_is_right() {
    let place = place();
    let config = config(&place);
    let mut client = place.stdio(&["--config", &config]);
    let ask = |n: u64| {
        json!({"query": format!("Question {n}?"), "models": ["ada", "bea", "cyd"],
                              "kind": "number"})
    };
    let before = client.answered("orchestrate", ask(30))["verdict"].clone();
    // Three who never agree: nobody is known to be better.
    assert!(before["trust"].as_f64().unwrap() < 0.5, "{before}");
    for n in 0..25 {
        let reply = client.answered("orchestrate", ask(n));
        let id = &reply["verdict"]["id"];
        let told = client.answered("feedback", json!({"id": id, "correct": (n + 1).to_string()}));
        assert_eq!(told["cluster"], (n + 1).to_string());
    }
    let after = client.answered("orchestrate", ask(31))["verdict"].clone();
    assert_eq!(after["answer"], "32", "bea was always right: {after}");
    assert!(after["trust"].as_f64() > before["trust"].as_f64(), "{after}");
    assert_eq!((&after["n_labels"], &after["calibrated_by"]), (&json!(25), &json!("labels")));
    let models = client.answered("models", json!({}));
    let known = |id: &str| {
        let all = models["models"].as_array().expect("models");
        let model = all.iter().find(|m| m["id"] == id).expect("a model");
        model["reliability"][0]["mean"].as_f64().expect("a mean")
    };
    assert!(known("bea") > 0.8 && known("ada") < 0.4, "{models}");
    // The one who is known to be right is asked first.
    let adaptive =
        client.answered("orchestrate", json!({"query": "Question 32?", "kind": "number"}));
    assert_eq!(adaptive["decision"]["panel"][0], "bea", "{adaptive}");
    // An old verdict stays what it was.
    let record = client.answered("trust", json!({"id": before["id"]}));
    assert_eq!((&record["verdict"], &record["same"]), (&before, &json!(true)));
}

#[test]
fn an_answer_that_may_not_be_whole_does_not_vote() {
    let place = Place::new();
    let question = "What is half of 84?";
    let mut rows = String::new();
    for (model, text, finish) in [
        ("ada", "Answer: 41", "OTHER"),
        ("bea", "Answer: 41", "MALFORMED_RESPONSE"),
        ("cyd", "Answer: 41", "length"),
        ("dot", "Answer: 42", "stop"),
        ("eve", "Answer: 42", "stop"),
    ] {
        let row = json!({"model": model, "vendor": format!("v-{model}"), "family": model,
                         "question": question, "text": text, "finish": finish});
        rows.push_str(&format!("{row}\n"));
    }
    let path = place.write("replay.jsonl", rows);
    let path = path.to_string_lossy();
    let text = format!("[[provider]]\nname = \"r\"\ndialect = \"replay\"\nurl = \"{path}\"\n");
    place.write("synod.toml", text);
    let mut client = place.stdio(&["--config", &config(&place)]);
    let all = json!(["ada", "bea", "cyd", "dot", "eve"]);
    let reply = client.answered("orchestrate", json!({"query": question, "models": all}));
    assert_eq!(reply["verdict"]["answer"], "42", "{reply}");
    let seats = reply["models"].as_array().expect("models");
    let why = |id: &str| {
        let seat = seats.iter().find(|seat| seat["model"] == id).expect("a seat");
        seat["failure"].clone()
    };
    assert_eq!(why("ada"), "not said to be complete");
    assert_eq!(why("bea"), "not said to be complete");
    assert_eq!((why("cyd"), why("dot")), (json!("cut at its limit"), Value::Null));
}

#[test]
fn the_strongest_is_shown_beside_an_answer_that_may_be_a_shared_mistake() {
    let place = Place::new();
    let write = |tier: &str| {
        let mut text = "[[provider]]\nname = \"p\"\ndialect = \"openai\"\n\
                        url = \"http://127.0.0.1:9/v1\"\n"
            .to_owned();
        for (id, tier) in [("quick", "1"), ("other", "in between"), ("deep", tier)] {
            text.push_str(&format!(
                "[[model]]\nid = \"{id}\"\nprovider = \"p\"\ntier = \"{tier}\"\n"
            ));
        }
        place.write("synod.toml", text).to_string_lossy().into_owned()
    };
    let ask = |question: &str, texts: [&str; 3]| {
        let given: Vec<(&str, &str)> = ["quick", "other", "deep"].into_iter().zip(texts).collect();
        json!({"question": question, "kind": "number", "answers": answers(&given)})
    };
    let riddle = "A bat and a ball cost 110 cents in total. The bat costs 100 cents more than the \
                  ball. How many cents does the ball cost?";
    let riddle = ask(riddle, ["Answer: 10", "Answer: 10", "Answer: 5"]);
    // A tier in words compares with nothing; of the others `quick` stands with the winner.
    let mut client = place.stdio(&["--config", &write("the strongest there is")]);
    let plain = client.answered("consensus", riddle.clone());
    assert!(plain["trust"].as_f64().is_some_and(|trust| trust <= 0.6), "{plain}");
    assert!(!plain.to_string().contains("strongest"), "{plain}");
    drop(client);
    let mut client = place.stdio(&["--config", &write("2.5")]);
    let shown = client.answered("consensus", riddle.clone());
    assert_eq!((&shown["answer"], &shown["trust"]), (&plain["answer"], &plain["trust"]));
    let dissent = &shown["dissent"][0];
    assert_eq!((&dissent["model"], &dissent["answer"]), (&json!("deep"), &json!("5")));
    assert_eq!(dissent["strongest"], true, "{shown}");
    assert!(shown["reasons"].to_string().contains("`deep`, the strongest"), "{shown}");
    let said = client.call("consensus", riddle.clone())["content"][0]["text"].to_string();
    assert!(said.contains("the strongest of them, deep, says otherwise: 5"), "{said}");
    let usual = ask("How many tides?", ["Answer: 10", "Answer: 10", "Answer: 5"]);
    let usual = client.answered("consensus", usual);
    assert!(!usual.to_string().contains("strongest"), "no riddle: {usual}");
    // What people told counts more than what the operator says.
    for n in 0..8 {
        let texts = [0, 1, 2].map(|more| format!("Answer: {}", n + more));
        let texts = [texts[0].as_str(), texts[1].as_str(), texts[2].as_str()];
        let verdict = client.answered("consensus", ask(&format!("Question {n}?"), texts));
        let told = json!({"id": verdict["id"], "correct": n.to_string()});
        client.answered("feedback", told);
    }
    let after = client.answered("consensus", riddle);
    assert_eq!(after["answer"], "10", "{after}");
    assert!(!after.to_string().contains("strongest"), "`quick` is, and won: {after}");
    // What was shown is computed again, without and with it.
    for verdict in [&plain, &shown] {
        let record = client.answered("trust", json!({"id": verdict["id"]}));
        assert_eq!((&record["verdict"], &record["same"]), (verdict, &json!(true)));
    }
}

#[test]
fn a_council_asks_until_it_is_enough() {
    let place = place();
    let config = config(&place);
    let (code, text, err) =
        place.outcome(&["council", "--config", &config, "What is half of 84?", "--json"]);
    assert_eq!(code, 0, "{err}");
    let reply: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&reply["verdict"]["answer"], &reply["state"]), (&json!("42"), &json!("succeeded")));
    let asked = reply["models"].as_array().expect("models").len();
    assert!((2..=5).contains(&asked), "{reply}");
    assert!(!reply["decision"]["stopped_because"].as_str().unwrap().is_empty());
    // All of them, by name: the rest is said.
    let all = ["ada", "bea", "cyd", "dot", "eve"];
    let mut client = place.stdio(&["--config", &config]);
    let args = json!({"query": "What is half of 84?", "models": all});
    let reply = client.answered("orchestrate", args);
    let verdict = &reply["verdict"];
    assert_eq!(verdict["clusters"][0]["models"], json!(["ada", "bea", "cyd"]));
    assert_eq!(verdict["dissent"][0]["model"], "dot");
    assert_eq!(verdict["abstained"][0]["model"], "eve");
    // The same reply from its job, as often as it is asked for.
    let again = client.answered("orchestrate", json!({"job": reply["job"]}));
    assert_eq!(again, reply);
    let single = json!({"query": "What is half of 84?", "mode": "single"});
    let single = client.answered("orchestrate", single);
    assert!(single["verdict"]["trust"].is_null(), "{single}");
    let unknown = client.refused("orchestrate", json!({"query": "Never asked?"}));
    assert!(unknown.contains("nobody answered") && unknown.contains("not_found"), "{unknown}");
    let named = ["`Question 0?`", "`What is half of 84?`"].iter().any(|q| unknown.contains(q));
    assert!(named && unknown.contains("answer recorded questions alone"), "{unknown}");
    assert!(!unknown.contains("`check`"), "{unknown}");
}

#[test]
fn why_it_stopped_says_that_others_than_the_panel_were_asked() {
    let place = place();
    let (code, said, err) = place.outcome(&["council", "--config", &config(&place), "Question 0?"]);
    assert_eq!(code, 0, "{err}");
    let stopped = "stopped because the panel was not enough, and ";
    assert!(
        said.contains(stopped) && said.contains("up to 2 models (for low complexity)"),
        "{said}"
    );
}

#[test]
fn what_was_not_recorded_is_refused_with_what_was() {
    let place = Place::new();
    let file = root().join("examples/council.jsonl");
    let file = file.to_str().expect("UTF-8");
    for asked in ["4", "0", "Which species of the shore is a filter feeder?"] {
        let (code, out, err) = place.outcome(&["council", "--replay", file, asked]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let said = format!("`{asked}` is none of the 3 questions recorded in `{file}`");
        assert!(err.contains(&said) && err.contains("   1  A gauge reads 3.42 m"), "{err}");
    }
}

#[test]
fn two_rows_of_one_model_are_one_voter() {
    let (near, far) = (Chat::start(&[]), Chat::start(&[]));
    let place = Place::new();
    let rows = |provider: &str, url: &str, local: bool, id: &str| {
        format!(
            "[[provider]]\nname = \"{provider}\"\ndialect = \"openai\"\nurl = \"{url}\"\n\
             stream = false\nlocal = {local}\n[[model]]\nid = \"{id}\"\n\
             provider = \"{provider}\"\nname = \"same\"\nvendor = \"v\"\nfamily = \"f\"\n"
        )
    };
    let text = rows("near", &near.url, true, "fast") + &rows("far", &far.url, false, "slow");
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let reply = client.answered("orchestrate", json!({"query": "What is half of 84?"}));
    assert_eq!((near.asked("same"), far.asked("same")), (1, 0), "{reply}");
    assert_eq!(reply["decision"]["panel"], json!(["fast"]));
    assert!(reply["verdict"]["trust"].is_null(), "{reply}");
    // By name both are asked, and are one all the same, also when it is computed again.
    let named = json!({"query": "What is half of 84?", "models": ["fast", "slow"]});
    let reply = client.answered("orchestrate", named);
    let verdict = &reply["verdict"];
    assert_eq!(verdict["clusters"][0]["models"], json!(["fast", "slow"]), "{reply}");
    assert!(verdict["trust"].is_null(), "{reply}");
    let record = client.answered("trust", json!({"id": verdict["id"]}));
    assert_eq!((&record["verdict"], &record["same"]), (verdict, &json!(true)));
}

#[test]
fn only_another_name_of_what_failed_stands_in_for_it() {
    let (near, far) = (Chat::start(&[]), Chat::start(&[]));
    let place = Place::new();
    let mut text = String::new();
    for (name, url) in
        [("dead", "http://127.0.0.1:9/v1"), ("near", near.url.as_str()), ("far", far.url.as_str())]
    {
        text.push_str(&format!(
            "[[provider]]\nname = \"{name}\"\ndialect = \"openai\"\nurl = \"{url}\"\n\
             stream = false\n"
        ));
    }
    for (id, provider, name) in [
        ("a", "dead", "tide"),
        ("b", "near", "wave"),
        ("b2", "far", "wave"),
        ("b3", "far", "wave"),
        ("z2", "near", "tide"),
    ] {
        text.push_str(&format!(
            "[[model]]\nid = \"{id}\"\nprovider = \"{provider}\"\nname = \"{name}\"\n\
             vendor = \"v-{name}\"\nfamily = \"{name}\"\n"
        ));
    }
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let reply = client.answered("orchestrate", json!({"query": "What is half of 84?"}));
    assert_eq!(reply["state"], "succeeded", "{reply}");
    assert_eq!((near.asked("wave"), near.asked("tide")), (1, 1), "{reply}");
    assert_eq!(far.asked("wave"), 0, "it can never count: {reply}");
    let decision = &reply["decision"];
    assert_eq!(decision["panel"], json!(["a", "b", "z2"]), "{reply}");
    assert_eq!(decision["stopped_because"], "everybody of the panel was asked", "{reply}");
    assert_eq!(reply["verdict"]["clusters"][0]["models"], json!(["b", "z2"]), "{reply}");
}

#[test]
fn a_panel_of_the_cloud_alone_is_a_whole_panel() {
    let server = Chat::start(&[]);
    let place = Place::new();
    let text = server.config(&["one", "two"]);
    let text = text.replace("stream = false\n", "stream = false\nlocal = false\n");
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let reply = client.answered("orchestrate", json!({"query": "What is half of 84?"}));
    let decision = &reply["decision"];
    assert_eq!(decision["panel"].as_array().map(Vec::len), Some(2), "{reply}");
    assert!(decision["not_kept"].is_null() && decision["diversity"].is_number(), "{decision}");
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let place = place();
    let config = config(&place);
    let mut client = place.stdio(&["--config", &config]);
    for (tool, args, word) in [
        ("orchestrate", json!({}), "`query` is empty"),
        ("orchestrate", json!({"query": "x", "models": ["nobody"]}), "`ada`"),
        ("orchestrate", json!({"query": "x", "deadline_ms": 0}), "`deadline_ms`"),
        ("orchestrate", json!({"job": "j_none"}), "no council"),
        ("orchestrate", json!({"query": "x", "session": "s_none"}), "no session"),
        ("orchestrate", json!({"query": "my key is AKIAIOSFODNN7EXAMPLF"}), "not sent"),
        (
            "orchestrate",
            json!({"query": "x", "options": ["AKIAIOSFODNN7EXAMPLF", "b"]}),
            "not sent",
        ),
        ("consensus", json!({"answers": []}), "0 answers"),
        ("consensus", json!({"answers": [{"model": "", "text": "x"}]}), "no `model`"),
        ("trust", json!({"id": "t_none"}), "no verdict"),
        ("feedback", json!({"id": "t_none", "correct": "x"}), "no verdict"),
        ("models", json!({"op": "infer", "input": "x"}), "`model`"),
        ("models", json!({"op": "infer", "model": "nobody", "input": "x"}), "nobody"),
        ("session", json!({"op": "get", "id": "s_none"}), "no session"),
        ("session", json!({"op": "append"}), "`id`"),
        ("session", json!({"op": "create", "days": 0}), "`days`"),
        ("session", json!({"op": "list", "id": "s_none"}), "no session"),
    ] {
        let said = client.refused(tool, args.clone());
        assert!(said.contains(word), "{tool} {args}: {said}");
    }
    let mut bare = Place::new().stdio(&[]);
    let said = bare.refused("orchestrate", json!({"query": "x"}));
    assert!(said.contains("[[provider]]"), "{said}");
    let mut closed = place.stdio(&["--config", &config, "--read-only"]);
    let said = closed.refused("orchestrate", json!({"query": "x"}));
    assert!(said.contains("read-only"), "{said}");
    let listed = closed.request("tools/list", json!({}))["result"]["tools"].to_string();
    assert!(!listed.contains("\"feedback\"") && listed.contains("\"consensus\""), "{listed}");
}

#[test]
fn a_slow_council_becomes_a_job_and_is_not_paid_twice() {
    let server = Chat::start(&["slow"]);
    let place = Place::new();
    let model = |id: &str| format!("[[model]]\nid = \"{id}\"\nprovider = \"p\"\n");
    let text = format!(
        "[[provider]]\nname = \"p\"\ndialect = \"openai\"\nurl = \"{}\"\nstream = false\n{}{}",
        server.url,
        model("fast"),
        model("slow")
    );
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let args = json!({"query": "What is half of 84?", "models": ["fast", "slow"],
                      "deadline_ms": 700});
    let partial = client.answered("orchestrate", args);
    assert_eq!(
        (&partial["state"], &partial["verdict"]["answer"]),
        (&json!("running"), &json!("42"))
    );
    let job = partial["job"].clone();
    // Whoever looks sees what the first reply said of it.
    let looked = client.answered("orchestrate", json!({"job": job}));
    assert_eq!((&looked["state"], &looked["models"]), (&json!("running"), &partial["models"]));
    assert_eq!(looked["models"][0]["model"], "fast");
    assert_eq!((&looked["decision"], &looked["cost_usd"]), (&partial["decision"], &json!(0.0)));
    // Killed while it waits: what was answered is on disk.
    client.child.kill().expect("killed");
    ended(&mut client.child, PATIENCE);
    server.release();
    assert_eq!(server.asked("fast"), 1);
    let mut next = place.stdio(&["--config", &config]);
    let whole = poll("the council's end", PATIENCE, || {
        let reply = next.answered("orchestrate", json!({"job": job}));
        (reply["state"] == "succeeded").then_some(reply)
    });
    assert_eq!(whole["verdict"]["clusters"][0]["models"], json!(["fast", "slow"]));
    assert_eq!(
        (server.asked("fast"), server.asked("slow")),
        (1, 2),
        "only the lost answer is asked for again"
    );
}

#[test]
fn the_command_line_waits_for_its_council() {
    let server = Chat::start(&["slow"]);
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["fast", "slow"]));
    let config = config.to_string_lossy().into_owned();
    let config = config.as_str();
    let args = ["council", "--config", config, "--model", "fast", "--model", "slow", "--json"];
    let args = [&args[..], &["--deadline-ms", "1", "What is half of 84?"][..]].concat();
    let (code, said, err) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| place.outcome(&args));
        // Asked, and answered by the first: its deadline is long over.
        poll("both", PATIENCE, || {
            (server.asked("fast") == 1 && server.asked("slow") == 1).then_some(())
        });
        server.release();
        asked.join().expect("an outcome")
    });
    assert_eq!(code, 0, "{err}");
    let reply: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(reply["state"], "succeeded", "{reply}");
    assert_eq!(reply["verdict"]["clusters"][0]["models"], json!(["fast", "slow"]), "{reply}");
    assert!(err.contains("waiting for the rest"), "{err}");
}

#[test]
fn two_processes_do_not_spend_the_same_money() {
    let server = Chat::start(&["one"]);
    let place = Place::new();
    // 27 tokens at most are read and 100 written: 0.127 dollars are reserved, and 15 tokens paid.
    let text = format!(
        "{}input_usd = 1000.0\noutput_usd = 1000.0\noutput_tokens_max = 100\n\
         [council]\nday_usd = 0.2\n",
        server.config(&["one"])
    );
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let args = ["--config", config.as_str()];
    let (mut first, mut second) = (place.stdio(&args), place.stdio(&args));
    let ask = json!({"op": "infer", "model": "one", "input": "How many?"});
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| first.answered("models", ask.clone()));
        poll("the first call", PATIENCE, || (server.asked("one") == 1).then_some(()));
        let said = second.refused("models", ask.clone());
        assert!(said.contains("`day` has 73000 millionths"), "{said}");
        server.release();
        let answer = asked.join().expect("an answer");
        assert_eq!(answer["answer"]["cost_usd"], 0.015, "{answer}");
    });
    assert_eq!(server.asked("one"), 1, "what is refused is not sent");
    // What was reserved and not spent is there for everybody.
    poll("the second call", PATIENCE, || {
        let result = second.call("models", ask.clone());
        (result["isError"] != true).then_some(())
    });
    // A process that begins now knows what all of them spent.
    let spent = place.stdio(&args).answered("models", json!({}))["spent_usd"].clone();
    assert!(spent[0].as_f64().is_some_and(|usd| usd >= 0.015), "{spent}");
}

#[test]
fn the_same_over_rest_with_sessions_and_idempotency_keys() {
    let place = place();
    let server = place.http(&["--config", &config(&place)], &[]);
    let at = server.address;
    let made = post(at, "/v1/sessions", &[], &json!({"user_id": "u1", "title": "Sums"}));
    assert_eq!((made.status, &made.json()["user_id"]), (201, &json!("u1")));
    let id = made.json()["session_id"].as_str().expect("an id").to_owned();
    let body = json!({"query": "What is half of 84?", "session": id});
    let key = [("Idempotency-Key", "k1")];
    let first = post(at, "/v1/orchestrate", &key, &body);
    assert_eq!((first.status, &first.json()["verdict"]["answer"]), (200, &json!("42")));
    let again = post(at, "/v1/orchestrate", &key, &body);
    assert_eq!(again.json(), first.json(), "nobody is asked twice");
    let other = post(at, "/v1/orchestrate", &key, &json!({"query": "Another?"}));
    assert_eq!((other.status, other.fault().as_str()), (409, "conflict"));
    let history = get(at, &format!("/v1/sessions/{id}/history")).json();
    let said = history["messages"].as_array().expect("messages");
    assert_eq!(
        (said.len(), &said[0]["role"], &said[1]["author"]),
        (2, &json!("user"), &json!("council"))
    );
    assert_eq!(said[1]["trust"], first.json()["verdict"]["id"]);
    let trust = said[1]["trust"].as_str().expect("an id");
    assert_eq!(get(at, &format!("/v1/trust-score/{trust}")).json()["same"], true);
    let job = first.json()["job"].as_str().expect("a job").to_owned();
    assert_eq!(get(at, &format!("/v1/orchestrate/{job}/results")).json(), first.json());
    let note = json!({"role": "user", "text": "and a third of it?"});
    let appended = post(at, &format!("/v1/sessions/{id}/messages"), &[], &note);
    assert_eq!((appended.status, &appended.json()["messages"][0]["seq"]), (201, &json!(3)));
    let found = place.call("session", json!({"op": "search", "text": "third"}));
    assert_eq!(found["messages"][0]["session"], id.as_str());
    let resumed = place.call("session", json!({"op": "resume", "id": id}));
    assert_eq!(resumed["recovery"]["unanswered"], 1, "{resumed}");
    let scored = json!({"answers": answers(&[("a", "x"), ("b", "x")])});
    let score = post(at, "/v1/consensus", &key, &scored);
    assert_eq!(score.status, 200);
    assert_eq!(post(at, "/v1/consensus", &key, &scored).json(), score.json(), "one verdict");
    let fewer = json!({"answers": answers(&[("a", "x")])});
    assert_eq!(post(at, "/v1/consensus", &key, &fewer).status, 409);
    let infer = json!({"model": "bea", "input": "What is half of 84?"});
    let infer = post(at, "/v1/llm/infer", &[], &infer).json();
    assert_eq!(infer["answer"]["text"], "\\boxed{42}");
    assert_eq!(get(at, "/v1/models").json()["models"].as_array().map(Vec::len), Some(5));
}

#[test]
fn sessions_are_listed_to_the_last_and_deleted_with_what_was_said() {
    let place = Place::new();
    let web = place.http(&[], &[]);
    let at = web.address;
    for n in 0..51 {
        let made = post(at, "/v1/sessions", &[], &json!({"title": format!("s{n}")}));
        assert_eq!(made.status, 201, "{made:?}");
    }
    let page = get(at, "/v1/sessions").json();
    let listed = page["sessions"].as_array().expect("sessions");
    let last = listed.last().and_then(|one| one["id"].as_str()).expect("an id");
    assert_eq!(listed.len(), 50);
    assert!(page["note"].as_str().is_some_and(|note| note.contains(last)), "{page}");
    let rest = get(at, &format!("/v1/sessions?id={last}")).json();
    assert_eq!((rest["sessions"].as_array().map(Vec::len), rest.get("note")), (Some(1), None));
    let path = format!("/v1/sessions/{last}");
    for _ in 0..120 {
        post(at, &format!("{path}/messages"), &[], &json!({"text": "x"}));
    }
    // A reply is within its tokens with all that stands around short messages.
    let mut client = place.stdio(&[]);
    let resumed = client.answered("session", json!({"op": "resume", "id": last, "tokens": 2_000}));
    let n = resumed["messages"].as_array().map_or(0, Vec::len);
    assert!((50..100).contains(&n) && resumed["note"].is_string(), "{n}");
    let said = client.refused("session", json!({"op": "resume", "id": last, "tokens": 1_000_000}));
    assert!(said.contains("`tokens`"), "{said}");
    assert_eq!(request(at, "DELETE", &path, &[], "").status, 200);
    assert_eq!(get(at, &format!("{path}/history")).status, 404);
    assert_eq!(request(at, "DELETE", &path, &[], "").status, 404);
    let found = client.answered("session", json!({"op": "search", "text": "x"}));
    assert!(found.get("messages").is_none(), "{found}");
}

#[test]
fn a_body_does_not_contradict_its_address() {
    let place = Place::new();
    let web = place.http(&[], &[]);
    let at = web.address;
    let made = post(at, "/v1/sessions", &[], &json!({"op": "create", "title": "Sums"}));
    assert_eq!(made.status, 201, "what says the same is no contradiction: {made:?}");
    let id = made.json()["session_id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/sessions/{id}");
    let note = json!({"text": "a third of it", "id": id});
    assert_eq!(post(at, &format!("{path}/messages"), &[], &note).status, 201);
    for (path, body, word) in [
        ("/v1/sessions".to_owned(), json!({"op": "fork", "id": id}), "`op` is \"fork\""),
        (format!("{path}/messages"), json!({"text": "x", "id": "s_other"}), "`id`"),
        (format!("{path}/prompt"), json!({"prompt": "x", "mode": "debate"}), "`mode`"),
        (format!("{path}/prompt"), json!({"prompt": "x", "session": "s_other"}), "`session`"),
        ("/v1/jobs".to_owned(), json!({"op": "list"}), "`op`"),
    ] {
        let refused = post(at, &path, &[], &body);
        assert_eq!((refused.status, refused.fault().as_str()), (400, "invalid_argument"));
        let error = &refused.json()["error"];
        let said = error["message"].as_str().expect("a message");
        assert!(said.contains(word) && said.contains("the address says"), "{path}: {said}");
    }
    assert_eq!(get(at, &format!("{path}?op=delete")).status, 400);
    // What the tool does besides has addresses of its own.
    let found = get(at, "/v1/sessions/search?text=third").json();
    assert_eq!(found["messages"][0]["session"], id.as_str(), "{found}");
    let resumed = get(at, &format!("{path}/resume?tokens=500")).json();
    assert_eq!(resumed["recovery"]["unanswered"], 1, "{resumed}");
    let key = [("Idempotency-Key", "f")];
    let fork = |seq: u32| post(at, &format!("{path}/fork"), &key, &json!({ "seq": seq }));
    let (first, again) = (fork(1), fork(1));
    assert_eq!((first.status, fork(0).status), (201, 409));
    let copy = first.json()["session_id"].clone();
    assert_eq!(copy, again.json()["session_id"], "one copy for a key");
    assert_ne!(copy, json!(id));
    let ended = post(at, &format!("{path}/end"), &[], &json!({})).json();
    assert_eq!(ended["sessions"][0]["ended"], true, "{ended}");
    // None of what the address says stands in what is told of the body.
    let api = get(at, "/v1/openapi.json").json();
    let body = |path: &str| {
        api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone()
    };
    let asked = &body("/v1/sessions/{session}/prompt")["properties"];
    assert!(asked["heads"].is_object() && asked["mode"].is_null() && asked["session"].is_null());
    let update = body("/v1/spec-kit/features/{feature}/updates");
    assert!(update["properties"]["feature"].is_null(), "{update}");
    assert_eq!(update["required"], json!(["op"]));
    assert!(body("/v1/jobs")["properties"]["op"].is_null());
}

#[test]
fn heads_speak_and_a_witness_puts_it_together() {
    let server = Chat::start(&[]);
    let place = Place::new();
    let model =
        |id: &str| format!("[[model]]\nid = \"{id}\"\nprovider = \"p\"\nfamily = \"{id}\"\n");
    let text = format!(
        "[[provider]]\nname = \"p\"\ndialect = \"openai\"\nurl = \"{}\"\nstream = false\n{}{}",
        server.url,
        model("one"),
        model("two")
    );
    let config = place.write("synod.toml", text).to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let args = json!({"query": "Should the index move?", "heads": ["logic", "cost", "security"]});
    let reply = client.answered("orchestrate", args);
    let spoke = reply["head_contributions"].as_array().expect("contributions");
    let names: Vec<&str> = spoke.iter().filter_map(|one| one["head"].as_str()).collect();
    assert_eq!(names, ["cost", "logic", "security"], "{reply}");
    assert!(reply["final_answer"].as_str().is_some_and(|text| text.contains("42")), "{reply}");
    assert_eq!(reply["task_id"], reply["job"]);
    // Three roles of two models are two voters.
    let n_eff = reply["verdict"]["n_eff"].as_f64().expect("a number");
    assert!(n_eff < 2.0, "{reply}");
    // Three heads and the witness.
    assert_eq!(server.asked("one") + server.asked("two"), 4);
    let again = client.answered("orchestrate", json!({"job": reply["job"]}));
    assert_eq!(again, reply);
    let typed = client.answered("orchestrate", json!({"query": "/head cost What does it cost?"}));
    assert_eq!(typed["head_contributions"][0]["head"], "cost", "{typed}");
    let said = client.refused("orchestrate", json!({"query": "x", "heads": ["logik"]}));
    assert!(said.contains("logic"), "{said}");
    let web = place.http(&["--config", &config], &[]);
    let made = post(web.address, "/v1/sessions", &[], &json!({})).json();
    let path = format!("/v1/sessions/{}/prompt", made["session_id"].as_str().expect("an id"));
    let asked = post(web.address, &path, &[], &json!({"prompt": "Is it safe?"}));
    assert_eq!(asked.status, 200, "{asked:?}");
    let asked = asked.json();
    for key in ["task_id", "final_answer", "transparency_report", "head_contributions"] {
        assert!(!asked[key].is_null(), "{key}: {asked}");
    }
    assert!(asked.get("confidence_score").is_some(), "{asked}");
}

#[test]
fn what_one_asks_is_no_matter_of_another() {
    let place = place();
    let scopes = "read:context,read:jobs,write:jobs,llm:invoke";
    let (a, b) = (token(&place, "a", scopes), token(&place, "b", scopes));
    let server = place.http(&["--config", &config(&place)], &[]);
    let at = server.address;
    let (a, b) = ([("Authorization", a.as_str())], [("Authorization", b.as_str())]);
    // Long enough that the job keeps only a hash of it.
    let options: Vec<String> = (0..20).map(|n| format!("{n} {}", "word ".repeat(20))).collect();
    let body = json!({"query": "What is half of 84?", "kind": "number", "options": options,
                      "models": ["ada", "bea"]});
    // Options make another question, which was not recorded.
    assert_eq!(post(at, "/v1/orchestrate", &a, &body).status, 502);
    let body = json!({"query": "What is half of 84?"});
    let reply = post(at, "/v1/orchestrate", &a, &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = reply.json();
    let (job, id) = (reply["job"].as_str().unwrap(), reply["verdict"]["id"].as_str().unwrap());
    let own = |who: &[(&str, &str)], path: &str| request(at, "GET", path, who, "").status;
    let pack = post(at, "/v1/context", &a, &json!({"query": "half"})).json();
    for path in [
        format!("/v1/orchestrate/{job}"),
        format!("/v1/trust-score/{id}"),
        format!("/v1/jobs/{job}"),
        format!("/v1/context/{}", pack["id"].as_str().expect("a pack")),
    ] {
        assert_eq!((own(&a, &path), own(&b, &path)), (200, 404), "{path}");
        assert_eq!(get(at, &path).status, 404, "{path}");
    }
    let listed = request(at, "GET", "/v1/jobs", &b, "").body;
    assert!(!listed.contains(job), "{listed}");
    let told = post(at, "/v1/feedback", &b, &json!({"id": id, "correct": "42"}));
    assert_eq!(told.status, 404, "{told:?}");
}

#[test]
fn feedback_that_says_nothing_is_refused_and_opposites_are_no_matches() {
    let place = Place::new();
    let mut client = place.stdio(&[]);
    let question = "Which?\nA) red\nB) dark blue";
    let given = answers(&[("a", "(A)"), ("b", "(B)")]);
    let verdict = client.answered("consensus", json!({"question": question, "answers": given}));
    let said = client.refused("feedback", json!({"id": verdict["id"], "correct": "about 18"}));
    assert!(said.contains("choice") && said.contains("`none`"), "{said}");
    let told = json!({"id": verdict["id"], "correct": "dark blue"});
    assert_eq!(client.answered("feedback", told)["cluster"], "B");
    let given = answers(&[("a", "It is safe"), ("b", "It is safe")]);
    let verdict = json!({"question": "How is it?", "kind": "short", "answers": given});
    let verdict = client.answered("consensus", verdict);
    let told = json!({"id": verdict["id"], "correct": "It is not safe"});
    assert!(client.answered("feedback", told)["cluster"].is_null());
    // A reader writes nothing.
    let mut reader = place.stdio(&["--read-only"]);
    let given = answers(&[("a", "Answer: 7"), ("b", "Answer: 7")]);
    let verdict = reader.answered("consensus", json!({ "answers": given }));
    assert_eq!((&verdict["answer"], &verdict["id"]), (&json!("7"), &json!("")));
}

#[test]
fn none_is_an_answer_where_somebody_gave_it() {
    let place = Place::new();
    let mut client = place.stdio(&[]);
    let mut score = |more: Value, texts: [&str; 3]| {
        let given: Vec<(&str, &str)> = ["a", "b", "c"].into_iter().zip(texts).collect();
        let mut args = json!({"question": "What does it return?", "answers": answers(&given)});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let verdict = client.answered("consensus", args);
        let told = json!({"id": verdict["id"], "correct": "None"});
        let told = client.answered("feedback", told);
        (verdict["answer"].clone(), told["cluster"].clone(), told["winner_right"] == true)
    };
    let value = json!({"kind": "value"});
    let said = score(value.clone(), ["Answer: None", "Answer: None", "Answer: 0"]);
    assert!(said.0 == said.1 && said.2, "{said:?}");
    let said = score(json!({"kind": "short"}), ["the empty list", "the empty list", "None"]);
    assert_eq!(said.1, "None");
    let choice = json!({"options": ["0", "None"]});
    assert_eq!(score(choice, ["(B)", "(B)", "(A)"]), (json!("B"), json!("B"), true));
    // Where nobody did it says that nobody is right.
    let said = score(value, ["Answer: 0", "Answer: 0", "Answer: 1"]);
    assert_eq!(said, (json!("0"), Value::Null, false));
}

/// A model that has read what was said before, or has not.
fn remembers(_: &str, body: &Value) -> String {
    let known = body["messages"].to_string().contains("The mole has five lamps");
    if known { "Answer: 5" } else { "Answer: 6" }.to_owned()
}

#[test]
fn a_long_question_leaves_its_session_where_it_is() {
    let server = Chat::saying(remembers);
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["one", "two"]));
    let config = config.to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let session = client.answered("session", json!({"op": "create"}))["session_id"].clone();
    let mut say = |text: &str| {
        let args = json!({"op": "append", "id": session, "role": "user", "text": text});
        client.answered("session", args);
    };
    say("The mole has five lamps");
    let long = format!("{}How many lamps?", "It is dark at the sea. ".repeat(700));
    let ask = |query: &str| {
        let models = ["one", "two"];
        json!({"query": query, "kind": "number", "models": models, "session": session})
    };
    let reply = client.answered("orchestrate", ask(&long));
    let verdict = &reply["verdict"];
    assert_eq!((&verdict["answer"], &verdict["degraded"]), (&json!("5"), &json!([])), "{verdict}");
    // Behind it the session is too long for another question, and the reply says so.
    let reply = client.answered("orchestrate", ask("How many lamps are there?"));
    let verdict = &reply["verdict"];
    assert_eq!(verdict["answer"], "6", "{verdict}");
    let said = verdict["degraded"][0].as_str().unwrap_or_default();
    assert!(said.contains("2 earlier messages") && said.contains("left out"), "{verdict}");
    let record = client.answered("trust", json!({"id": verdict["id"]}));
    assert_eq!((&record["verdict"], &record["same"]), (verdict, &json!(true)));
}

#[test]
fn what_asks_for_heads_or_dissent_asks_no_model() {
    let server = Chat::saying(|model, _| format!("Answer: {}", model.len()));
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["one", "three"]));
    let config = config.to_string_lossy().into_owned();
    let mut client = place.stdio(&["--config", &config]);
    let ask = |query: &str| json!({ "query": query });
    let none = client.refused("orchestrate", ask("/dissent"));
    assert!(none.contains("no verdict yet"), "{none}");
    let none = client.refused("orchestrate", ask("/strategy"));
    assert!(none.contains("/strategy QUESTION"), "{none}");
    let strategy = "/strategy Is the login of our service safe from an attack?";
    for (query, word) in [
        ("/heads", "There are these heads"),
        ("/heads Is it safe?", "These heads would be asked"),
        (strategy, "logic always"),
        ("/head cost /strategy What does it cost?", "the caller named them"),
    ] {
        let reply = client.answered("orchestrate", ask(query));
        let said = reply["final_answer"].as_str().unwrap_or_default();
        assert!(said.contains(word), "{query}: {reply}");
        assert_eq!((&reply["state"], &reply["cost_usd"]), (&json!("succeeded"), &json!(0.0)));
        assert!(reply["decision"]["panel"].as_array().is_some_and(|heads| !heads.is_empty()));
    }
    let job = json!({"op": "submit", "kind": "orchestrate", "input": ask("/heads")});
    let said = client.refused("job", job);
    assert!(said.contains("answered at once"), "{said}");
    assert_eq!((server.asked("one"), server.asked("three")), (0, 0), "nobody was asked");
    let (code, said, err) = place.outcome(&["council", "--config", &config, strategy]);
    assert!(code == 0 && said.contains("`logic`: correctness"), "{said} {err}");
    // Dissent from the last answer: of the caller, or of a session.
    let session = client.answered("session", json!({"op": "create"}))["session_id"].clone();
    let mut question = |query: &str, session: Option<&Value>| {
        let mut args = json!({"query": query, "kind": "number", "models": ["one", "three"]});
        if let Some(session) = session {
            args["session"] = session.clone();
        }
        client.answered("orchestrate", args)["verdict"].clone()
    };
    let first = question("How many in the session?", Some(&session));
    let last = question("How many outside?", None);
    let asked = (server.asked("one"), server.asked("three"));
    let shown = client.answered("orchestrate", ask("/dissent"));
    assert_eq!(shown["verdict"], last, "{shown}");
    assert_eq!(shown["verdict"]["dissent"].as_array().map(Vec::len), Some(1));
    let of_session = json!({"query": "/dissent", "session": session});
    assert_eq!(client.answered("orchestrate", of_session)["verdict"], first);
    assert_eq!((server.asked("one"), server.asked("three")), asked);
}
