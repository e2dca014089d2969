//! A configuration that changes under a running server: what is taken from it, what waits for the
//! next start, and what changes nothing.

use super::chat::Chat;
use super::http::{get, post};
use super::program::{PATIENCE, Place, Server, poll};
use serde_json::{Value, json};

const QUESTION: &str = "What is half of 84?";

/// A place with a configuration and two folders that it may name, each with a word of its own.
fn place(text: &str) -> Place {
    let place = Place::new();
    place.write("one/a.md", "# One\n\nwalrus\n");
    place.write("two/b.md", "# Two\n\nlimpet\n");
    place.write("synod.toml", text);
    place
}

fn file(place: &Place) -> String {
    place.path().join("synod.toml").display().to_string()
}

fn serve(place: &Place) -> Server {
    place.http(&["--config", &file(place)], &[])
}

fn source(place: &Place, folder: &str) -> String {
    let path = place.path().join(folder).display().to_string();
    format!("[[source]]\npath = {path:?}\n")
}

/// Puts another configuration in the place of the one that is there, as editors do.
fn replace(place: &Place, text: &str) {
    let new = place.write("synod.toml.new", text);
    std::fs::rename(new, place.path().join("synod.toml")).expect("replaced");
}

fn hits(server: &Server, word: &str) -> Value {
    get(server.address, &format!("/v1/search?q=%2B{word}")).json()["total"].clone()
}

fn found(server: &Server, word: &str) {
    poll(word, PATIENCE, || (hits(server, word) == 1).then_some(()));
}

/// Waits until the server has said something.
fn said(server: &Server, words: &[&str]) {
    poll(&words.join(", "), PATIENCE, || {
        let stderr = server.stderr();
        words.iter().all(|word| stderr.contains(word)).then_some(())
    });
}

/// The names of the models that can be asked.
fn models(server: &Server) -> Vec<String> {
    let reply = get(server.address, "/v1/models").json();
    let rows = reply["models"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
}

/// A provider that has recorded three answers, all of them alike.
fn recorded(place: &Place) -> String {
    let row = |model: &str, text: &str| {
        let row = json!({"model": model, "vendor": format!("v-{model}"), "family": model,
                         "question": QUESTION, "text": text, "finish": "stop"});
        format!("{row}\n")
    };
    let rows = [row("ada", "Answer: 42"), row("bea", "\\boxed{42}"), row("cyd", "Answer: 42")];
    let path = place.write("replay.jsonl", rows.concat()).display().to_string();
    format!("[[provider]]\nname = \"r\"\ndialect = \"replay\"\nurl = {path:?}\n")
}

fn asked(server: &Server) -> super::http::Reply {
    post(server.address, "/v1/orchestrate", &[], &json!({"query": QUESTION}))
}

#[test]
fn a_source_that_is_added_is_indexed_and_watched() {
    let place = place("");
    let server = serve(&place);
    assert_ne!(hits(&server, "walrus"), 1);
    replace(&place, &source(&place, "one"));
    found(&server, "walrus");
    place.write("one/c.md", "barnacle\n");
    found(&server, "barnacle");
    // Another one, and the first is watched in another way; its name tells them apart.
    let (one, two) = (source(&place, "one"), source(&place, "two"));
    let text = format!("{one}watch = \"poll\"\n{two}[limits]\npoll_s = 1\n");
    replace(&place, &text);
    found(&server, "limpet");
    let watched = |name: &str| {
        let status = get(server.address, "/v1/index").json();
        let sources = status["sources"].as_array().expect("sources");
        let source = sources.iter().find(|source| source["name"] == name);
        source.map(|source| source["watched"].clone()).unwrap_or_default()
    };
    let polled = "polled every 1 s";
    poll(polled, PATIENCE, || (watched("one") == polled).then_some(()));
    assert_ne!(watched("two"), polled);
    place.write("one/d.md", "cuttlefish\n");
    found(&server, "cuttlefish");
    // What is no longer named stays.
    replace(&place, &format!("{two}[guard]\nphrases = [\"tide\"]\n[log]\njson = true\n"));
    said(&server, &["log.json"]);
    assert_eq!((hits(&server, "walrus"), hits(&server, "limpet")), (json!(1), json!(1)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_was_not_there_and_a_link_are_looked_at() {
    let place = Place::new();
    place.write("one/a.md", "# One\n\nwalrus\n");
    let mut command = place.command(&["serve", "--http", "127.0.0.1:0"]);
    command.env_remove("SYNOD_DATA").env("XDG_DATA_HOME", place.path().join("share"));
    command.env("XDG_CONFIG_HOME", place.path().join("conf"));
    let server = Server::of(command);
    assert_ne!(hits(&server, "walrus"), 1);
    place.write("conf/synod/notes", "");
    let real = place.write("dotfiles/synod.toml", source(&place, "one"));
    std::os::unix::fs::symlink(&real, place.path().join("conf/synod/synod.toml")).expect("a link");
    found(&server, "walrus");
    // What the link leads to.
    place.write("two/b.md", "# Two\n\nlimpet\n");
    place.write("dotfiles/synod.toml", source(&place, "two"));
    found(&server, "limpet");
    std::fs::remove_file(real).expect("removed");
    said(&server, &["the configuration is gone"]);
    assert_eq!((hits(&server, "walrus"), hits(&server, "limpet")), (json!(1), json!(1)));
}

#[test]
fn models_that_are_added_can_be_asked() {
    let place = place("");
    let server = serve(&place);
    assert!(models(&server).is_empty());
    let refused = asked(&server);
    assert!(refused.status >= 400, "{refused:?}");
    let rows =
        ["ada", "bea", "cyd"].map(|id| format!("[[model]]\nid = \"{id}\"\nprovider = \"r\"\n"));
    let provider = recorded(&place);
    replace(&place, &format!("{provider}{}", rows.concat()));
    poll("models", PATIENCE, || (models(&server) == ["ada", "bea", "cyd"]).then_some(()));
    let reply = asked(&server);
    assert_eq!((reply.status, &reply.json()["verdict"]["answer"]), (200, &json!("42")));
    // One less, and another panel.
    let two = rows[..2].concat();
    replace(&place, &format!("{provider}{two}[council]\npanel = [\"nobody\"]\n"));
    poll("two models", PATIENCE, || (models(&server) == ["ada", "bea"]).then_some(()));
    poll("a panel of nobody", PATIENCE, || {
        let reply = asked(&server);
        (reply.status >= 400 && reply.body.contains("council.panel")).then_some(())
    });
}

#[test]
fn what_models_cost_that_are_added_is_kept_within_the_day() {
    let chat = Chat::start(&[]);
    let place = place("");
    let server = serve(&place);
    // 27 tokens at most are read and 100 written: 0.127 dollars are reserved, and 15 tokens paid.
    let text = format!(
        "{}input_usd = 1000.0\noutput_usd = 1000.0\noutput_tokens_max = 100\n\
         [council]\nday_usd = 0.13\n",
        chat.config(&["one"])
    );
    replace(&place, &text);
    poll("the model", PATIENCE, || (models(&server) == ["one"]).then_some(()));
    let body = json!({"model": "one", "input": "How many?"});
    let ask = || post(server.address, "/v1/llm/infer", &[], &body);
    let answer = ask();
    assert_eq!((answer.status, &answer.json()["answer"]["cost_usd"]), (200, &json!(0.015)));
    assert_eq!(answer.json()["spent_usd"], json!([0.015, 0.015]), "its own cost is in it");
    let refused = ask();
    assert!(refused.status >= 400 && refused.body.contains("`day` has"), "{refused:?}");
    // The store has it: a process that begins now knows it.
    let config = file(&place);
    poll("the books", PATIENCE, || {
        let known = place.stdio(&["--config", &config]).answered("models", json!({}));
        (known["spent_usd"][0] == 0.015).then_some(())
    });
    // More for the day, and it is asked again.
    replace(&place, &text.replace("0.13", "1.0"));
    poll("more for the day", PATIENCE, || (ask().status == 200).then_some(()));
    assert_eq!(chat.asked("one"), 2, "what is refused is not sent");
}

#[test]
fn a_phrase_that_is_added_to_the_guard_stops_a_question() {
    let place = place("");
    let provider = recorded(&place);
    place.write("synod.toml", &provider);
    let server = serve(&place);
    assert_eq!(asked(&server).status, 200);
    replace(&place, &format!("{provider}[guard]\nphrases = [\"half of 84\"]\n"));
    // One that is asked in this very moment may be let in before and lack the phrase behind it.
    poll("the guard", PATIENCE, || {
        let reply = asked(&server);
        (reply.status >= 400 && reply.body.contains("not sent")).then_some(())
    });
    replace(&place, &provider);
    poll("no guard", PATIENCE, || (asked(&server).status == 200).then_some(()));
}

#[test]
fn a_file_that_does_not_hold_changes_nothing_until_it_is_mended() {
    let place = place("");
    let start = format!("{}{}", source(&place, "one"), recorded(&place));
    place.write("synod.toml", &start);
    let server = serve(&place);
    found(&server, "walrus");
    let known = models(&server);
    // A key that is not known, beside a source.
    let two = source(&place, "two");
    replace(&place, &format!("{two}[limits]\n\ncals_max = 3\n"));
    said(&server, &["line 5", "`calls_max`", "was not taken"]);
    // What parses and does not hold together: nothing of it is taken.
    replace(&place, &format!("{two}[guard]\nphrases = [\"half of 84\"]\npatterns = [\"(\"]\n"));
    said(&server, &["[guard]"]);
    replace(&place, &format!("{two}[[model]]\nid = \"x\"\nprovider = \"nobody\"\n"));
    said(&server, &["`nobody`"]);
    assert_eq!((models(&server), asked(&server).status), (known.clone(), 200));
    assert_eq!((hits(&server, "walrus"), hits(&server, "limpet")), (json!(1), json!(0)));
    replace(&place, &format!("{two}{start}"));
    found(&server, "limpet");
    assert_eq!((models(&server), asked(&server).status), (known, 200));
}

#[test]
fn what_waits_for_the_next_start_is_named_once() {
    let place = place("");
    let server = place.http(&["--config", &file(&place), "--log", "info"], &[]);
    let later = "[server]\nhttp = \"127.0.0.1:7\"\n[council]\nrecord = \"answers.jsonl\"\n\
                 [log]\nlevel = \"debug\"\n";
    replace(&place, later);
    let words = "changed, takes effect at the next start";
    said(&server, &[words, "server.http", "council.record"]);
    replace(&place, &format!("{}{later}", source(&place, "one")));
    found(&server, "walrus");
    said(&server, &["took the changed configuration", "source"]);
    let stderr = server.stderr();
    assert_eq!(stderr.matches(words).count(), 1, "{stderr}");
    // A flag still wins over the file.
    assert!(!stderr.contains("log.level"), "{stderr}");
    assert!(!place.path().join("answers.jsonl").exists());
}
