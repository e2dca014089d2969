//! What replies say of how current they are, over real processes and real files.

use super::faces::{token, with_token};
use super::http::{post, request};
use super::index::{Answers, recovered};
use super::program::{Client, PATIENCE, Place, Server, ended, long, poll, sql};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use synod_index::{Index, Updater};

fn vault(files: usize) -> Place {
    let place = Place::new();
    for n in 0..files {
        place.write(&format!("vault/n{n}.md"), format!("# Note {n}\n\nwords of number{n}\n"));
    }
    place
}

fn status(server: &Server) -> Value {
    super::http::get(server.address, "/v1/index").json()
}

fn fresh(server: &Server) {
    poll("freshness", PATIENCE, || (status(server)["fresh"] == true).then_some(()));
}

#[test]
fn fresh_is_said_once_everything_is_compared_and_not_before_a_change_is_in() {
    let place = vault(300);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    for letter in 'a'..='t' {
        let word = format!("{letter}periwinkle{letter}");
        place.write("vault/n7.md", format!("# Note 7\n\n{word}\n"));
        let found = poll("the edit", PATIENCE, || {
            let path = format!("/v1/search?q=%2B{word}");
            let found = super::http::get(server.address, &path).json();
            let there = found["hits"][0]["snippet"].to_string().contains(&word);
            (there && found["fresh"] == true).then_some(found)
        });
        assert_eq!(found["pending"], 0, "{found}");
        assert_eq!(found["hits"][0]["path"], "n7.md");
    }
}

#[test]
fn readers_beside_the_writer_say_what_the_writer_knows() {
    let place = vault(20);
    place.index(&place.path().join("vault"));
    let mut writer = place.stdio(&[]);
    poll("the writer", PATIENCE, || {
        (writer.answered("index_status", json!({}))["fresh"] == true).then_some(())
    });
    let mut reader = place.stdio(&[]);
    poll("the reader", PATIENCE, || {
        (reader.answered("index_status", json!({}))["fresh"] == true).then_some(())
    });
    drop(writer);
    // The other one takes over, and is as fresh.
    place.write("vault/late.md", "barnacle\n");
    poll("the takeover", PATIENCE, || {
        let found = reader.answered("search", json!({"query": "barnacle"}));
        (found["total"] == 1 && found["fresh"] == true).then_some(())
    });
}

#[test]
fn an_addition_that_is_cancelled_leaves_no_half_source() {
    let place = vault(6_000);
    let folder = place.path().join("vault").display().to_string();
    let roots = format!("[access]\nadd_roots = [{folder:?}]\n");
    let file = place.write("synod.toml", roots);
    let mut client = place.stdio(&["--allow-write", "--config", &file.display().to_string()]);
    let call = json!({"name": "ingest", "arguments": {"op": "add", "path": folder, "wait": true}});
    client.send(
        &json!({"jsonrpc": "2.0", "id": "add", "method": "tools/call", "params": call}).to_string(),
    );
    poll("the addition to begin", PATIENCE, || {
        let status = client.answered("index_status", json!({}));
        (status["jobs"][0]["state"] == "running").then_some(())
    });
    client.send(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"add"}}"#,
    );
    poll("its end", PATIENCE, || {
        let status = client.answered("index_status", json!({}));
        (status["jobs"].as_array().is_none_or(Vec::is_empty)).then_some(())
    });
    // Either it was stopped and nothing is left, or it was done before the word came. What was
    // committed of it before is being removed in this moment.
    let status = poll("freshness", PATIENCE, || {
        let status = client.answered("index_status", json!({}));
        (status["fresh"] == true).then_some(status)
    });
    let documents = status["documents"].as_u64();
    assert!(documents == Some(0) || documents == Some(6_000), "{status}");
}

#[test]
fn whoever_shares_a_comparison_does_not_end_it_by_going_away() {
    let place = vault(1);
    place.index(&place.path().join("vault"));
    // While this process has the lock, nobody begins what is asked for.
    let index = Index::open(&place.data()).expect("the index opens");
    let _writer = Updater::new(Arc::clone(&index), || 0).expect("the writer");
    let (mut first, mut second) = (place.stdio(&[]), place.stdio(&["--log", "info"]));
    let call = json!({"name": "ingest", "arguments": {"op": "reindex", "wait": true}});
    let call = json!({"jsonrpc": "2.0", "id": "wait", "method": "tools/call", "params": call});
    let gone =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"wait"}}"#;
    first.send(&call.to_string());
    let job = poll("the job", PATIENCE, || {
        let status = first.answered("index_status", json!({}));
        status["jobs"][0]["id"].as_str().map(str::to_owned)
    });
    let state = |client: &mut Client| {
        let status = client.answered("index_status", json!({ "job": job }));
        assert_eq!(status["jobs"].as_array().map(Vec::len), Some(1), "it was left twice: {status}");
        status["jobs"][0]["state"].clone()
    };
    second.send(&call.to_string());
    second.send(gone);
    poll("the end of its wait", PATIENCE, || {
        let said = second.stderr();
        said.lines().any(|l| l.contains("called") && l.contains("ingest")).then_some(())
    });
    assert_eq!(state(&mut first), "pending");
    // Whoever left it may end it.
    first.send(gone);
    poll("its end", PATIENCE, || (state(&mut first) == "cancelled").then_some(()));
}

#[test]
fn a_key_is_its_owners() {
    let place = vault(1);
    place.index(&place.path().join("vault"));
    let one = token(&place, "one", "read:context,write:context");
    let two = token(&place, "two", "read:context,write:context");
    let server = place.http(&["--allow-write"], &[]);
    let send = |bearer: &str, content: &str| {
        let headers = [("Authorization", bearer), ("Idempotency-Key", "k")];
        let body = json!({"op": "push", "path": "x.md", "content": content});
        post(server.address, "/v1/ingest", &headers, &body)
    };
    assert_eq!(send(&one, "first").status, 202);
    assert_eq!(send(&two, "another").status, 202, "somebody else's key says nothing");
    assert_eq!(send(&one, "another").status, 409);
}

#[test]
fn resources_pass_the_door_too() {
    let place = vault(1);
    place.index(&place.path().join("vault"));
    let jobs = token(&place, "jobs", "read:jobs");
    let server = place.http(&[], &[("SYNOD_LIMITS_CALLS_PER_SECOND", "2")]);
    let ask = |bearer: &str, method: &str, params: Value| {
        let headers = [
            ("Authorization", bearer),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        post(server.address, "/mcp", &headers, &body).json()
    };
    let uri = json!({"uri": "note://vault/n0.md"});
    let refused = ask(&jobs, "resources/read", uri.clone());
    assert!(refused["error"]["message"].to_string().contains("read:context"), "{refused}");
    let reader = token(&place, "reader", "read:context");
    let mut last = Value::Null;
    for _ in 0..4 {
        last = ask(&reader, "resources/read", uri.clone());
    }
    assert!(last["error"]["message"].to_string().contains("calls a second"), "{last}");
    let metrics = with_token(server.address, "/metrics", &token(&place, "m", "read:context")).body;
    let counted =
        metrics.lines().find(|line| line.starts_with("synod_calls_total{tool=\"resources/read\"}"));
    assert_eq!(counted, Some("synod_calls_total{tool=\"resources/read\"} 5"), "{metrics}");
    let gone = request(server.address, "GET", "/v1/nothing", &[], "");
    assert_eq!(gone.status, 404);
}

#[test]
fn a_collection_is_kept_when_a_server_does_the_work() {
    let place = vault(2);
    let _server = place.stdio(&[]);
    poll("the writer", PATIENCE, || place.data().join("index/writer.beat").exists().then_some(()));
    let folder = place.path().join("vault").display().to_string();
    let args = ["index", &folder, "--wait", "--name", "mine", "--collection", "diary"];
    let (code, said, why) = place.outcome(&args);
    assert_eq!(code, 0, "{said}{why}");
    let status = place.call("index_status", json!({}));
    let source = &status["sources"][0];
    assert_eq!((&source["name"], &source["collection"]), (&json!("mine"), &json!("diary")));
}

#[test]
fn jobs_are_listed_asked_for_and_stopped() {
    let place = vault(3);
    place.index(&place.path().join("vault"));
    let server = place.http(&["--allow-write"], &[("SYNOD_ACCESS_LOCAL_SCOPES", SCOPES)]);
    let body = json!({"op": "push", "path": "x.md", "content": "limpet"});
    let left = post(server.address, "/v1/ingest", &[], &body).json();
    let id = left["job"].as_str().expect("a job");
    let ask = |method: &str, path: &str| request(server.address, method, path, &[], "");
    let ended = poll("its end", PATIENCE, || {
        let job = ask("GET", &format!("/v1/jobs/{id}")).json()["jobs"][0].clone();
        (job["state"] == "succeeded").then_some(job)
    });
    assert_eq!((&ended["id"], &ended["kind"]), (&json!(id), &json!("index")));
    assert_eq!(ask("GET", "/v1/jobs").json()["jobs"][0]["id"], id);
    let stopped = ask("DELETE", &format!("/v1/tasks/{id}")).json();
    assert_eq!(stopped["jobs"][0]["state"], "succeeded", "what has ended stays as it is");
    assert_eq!(ask("GET", "/v1/jobs/j_none").status, 404);
    assert_eq!(ask("DELETE", "/v1/jobs/j_none").status, 404);
    // Stopping needs another scope than looking, and is not offered in read-only mode.
    let other = place.http(&[], &[]);
    let path = format!("/v1/jobs/{id}");
    assert_eq!(request(other.address, "GET", &path, &[], "").status, 200);
    assert_eq!(request(other.address, "DELETE", &path, &[], "").status, 403);
    let read_only = place.http(&["--read-only"], &[("SYNOD_ACCESS_LOCAL_SCOPES", SCOPES)]);
    assert_eq!(request(read_only.address, "GET", &path, &[], "").status, 200);
    assert_eq!(request(read_only.address, "DELETE", &path, &[], "").status, 403);
}

const SCOPES: &str = "read:context,write:context,read:jobs,write:jobs";

#[test]
fn an_operation_written_in_another_way_passes_for_nothing_less() {
    let place = vault(2);
    place.index(&place.path().join("vault"));
    let mut client = place.stdio(&[]);
    for args in [
        json!({"op": {"push": null}, "path": "evil.md", "content": "walrus"}),
        json!({"op": {"remove": null}, "source": "vault"}),
        json!({"op": ["remove"], "source": "vault"}),
        json!({"op": "push", "path": "evil.md", "content": "walrus"}),
    ] {
        let said = client.refused("ingest", args.clone());
        assert!(said.contains("write:context"), "{args}: {said}");
    }
    let said = client.refused("job", json!({"op": {"cancel": null}, "id": "j_1"}));
    assert!(said.contains("write:jobs"), "{said}");
    assert_eq!(client.answered("index_status", json!({}))["documents"], 2);
}

#[test]
fn a_folder_that_takes_the_place_of_a_source_is_watched() {
    let place = vault(5);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    let (old, away) = (place.path().join("vault"), place.path().join("away"));
    std::fs::rename(&old, &away).expect("moved away");
    poll("the end of freshness", PATIENCE, || (status(&server)["fresh"] == false).then_some(()));
    place.write("vault/new.md", "# New\n\nbarnacle\n");
    poll("the new folder", PATIENCE, || {
        let found = super::http::get(server.address, "/v1/search?q=%2Bbarnacle").json();
        (found["total"] == 1 && found["fresh"] == true).then_some(())
    });
    // And it is watched from then on.
    place.write("vault/later.md", "limpet\n");
    poll("an edit in it", PATIENCE, || {
        let found = super::http::get(server.address, "/v1/search?q=%2Blimpet").json();
        (found["total"] == 1).then_some(())
    });
}

/// Waits until a word is found and nothing waits.
fn found(server: &Server, word: &str) {
    poll(word, PATIENCE, || {
        let found = super::http::get(server.address, &format!("/v1/search?q=%2B{word}")).json();
        (found["total"] == 1 && found["fresh"] == true).then_some(())
    });
}

/// Does `work` while the server is stopped and hears nothing.
#[cfg(target_os = "linux")]
fn while_stopped(server: &Server, work: impl FnOnce()) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::STOP).expect("a signal");
    work();
    kill_process(pid, Signal::CONT).expect("a signal");
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_whose_events_were_lost_is_watched_from_then_on() {
    let place = vault(5);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    let bound = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let bound: usize = bound.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(16_384);
    while_stopped(&server, || {
        // Two files by turns: a change that repeats the one before it takes no place in the queue.
        let mut files = ["a.tmp", "b.tmp"].map(|name| {
            let path = place.path().join("vault").join(name);
            std::fs::File::create(path).expect("a file")
        });
        for n in 0..=bound {
            files[n % 2].write_all(b"x").expect("written");
        }
        place.write("vault/late/deep/a.md", "# Late\n\nbarnacle\n");
    });
    found(&server, "barnacle");
    for word in ["limpet", "periwinkle"] {
        place.write("vault/late/deep/a.md", format!("# Late\n\n{word}\n"));
        found(&server, word);
    }
}

#[test]
fn a_folder_that_is_moved_in_is_watched_at_once() {
    let place = vault(5);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    for letter in 'a'..='e' {
        let (old, new) = (format!("{letter}barnacle"), format!("{letter}limpet"));
        place.write(&format!("away/{letter}/b/c/d/old.md"), format!("{old}\n"));
        let to = place.path().join(format!("vault/in{letter}"));
        std::fs::rename(place.path().join(format!("away/{letter}")), &to).expect("moved in");
        std::fs::write(to.join("b/c/d/new.md"), format!("{new}\n")).expect("a file");
        found(&server, &old);
        found(&server, &new);
        std::fs::write(to.join("b/c/d/old.md"), format!("{letter}walrus\n")).expect("a file");
        found(&server, &format!("{letter}walrus"));
    }
}

#[test]
fn a_folder_that_is_moved_out_is_gone_and_watched_no_more() {
    let place = vault(5);
    place.write("vault/deep/b/c/old.md", "barnacle\n");
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    found(&server, "barnacle");
    let gone = |word: &str| {
        poll(word, PATIENCE, || {
            let found = super::http::get(server.address, &format!("/v1/search?q=%2B{word}")).json();
            (found["total"] == 0 && found["fresh"] == true).then_some(())
        });
    };
    let (inside, outside) = (place.path().join("vault/deep"), place.path().join("outside"));
    for letter in 'a'..='e' {
        std::fs::rename(&inside, &outside).expect("moved out");
        gone("barnacle");
        assert_eq!(status(&server)["documents"], 5);
        // What is written there is no change of the source.
        place.write("outside/b/c/new.md", format!("{letter}limpet\n"));
        place.write("outside/b/c/old.md", "barnacle whelk\n");
        // A note of the source that comes after it is found, and nothing of those.
        place.write("vault/n1.md", format!("# Note 1\n\n{letter}walrus\n"));
        found(&server, &format!("{letter}walrus"));
        gone("whelk");
        gone(&format!("{letter}limpet"));
        assert_eq!(status(&server)["documents"], 5);
        // And back in it is a part of the source again.
        std::fs::rename(&outside, &inside).expect("moved in");
        found(&server, &format!("{letter}limpet"));
        place.write("vault/deep/b/c/old.md", "barnacle\n");
        found(&server, "barnacle");
        gone("whelk");
    }
}

/// A word of its own for each number, without vowels: no ending is taken off it.
fn word(n: usize) -> String {
    let letters = n.to_string().into_bytes().into_iter();
    letters.map(|digit| char::from(b"bcdfghjkmp"[usize::from(digit - b'0')])).collect()
}

/// Ends a thread, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_is_written_all_the_time_is_read_and_never_passes_for_fresh() {
    let place = vault(3);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    let (stop, written) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let _end = End(&stop);
        scope.spawn(|| {
            let path = place.path().join("vault/grows.md");
            let mut file = std::fs::File::create(path).expect("a file");
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                file.write_all(format!("{}\n\n", word(n)).as_bytes()).expect("written");
                written.lock().expect("no panic").push((Instant::now(), n));
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let start = Instant::now();
        poll("the file while it grows", PATIENCE, || {
            let old = |(at, n): &(Instant, usize)| (at.elapsed().as_secs() >= 2).then_some(*n);
            let last = written.lock().expect("no panic").iter().rev().find_map(old);
            if let Some(n) = last {
                let path = format!("/v1/search?q=%2B{}", word(n));
                let found = super::http::get(server.address, &path).json();
                let told = found["fresh"] == false || found["total"] == 1;
                assert!(told, "{} is fresh and not found: {found}", word(n));
            }
            let read = status(&server)["documents"] == 4;
            (read && start.elapsed().as_secs() >= 4).then_some(())
        });
    });
    let last = written.lock().expect("no panic").last().map_or(0, |(_, n)| *n);
    found(&server, &word(last));
}

#[test]
fn a_source_that_is_polled_says_so_and_its_changes_are_found() {
    let place = vault(3);
    let folder = place.path().join("vault").display().to_string();
    let source = format!("[[source]]\npath = {folder:?}\nwatch = \"poll\"\n");
    let file = place.write("synod.toml", format!("{source}\n[limits]\npoll_s = 1\n"));
    let server = place.http(&["--config", &file.display().to_string()], &[]);
    fresh(&server);
    assert_eq!(status(&server)["sources"][0]["watched"], "polled every 1 s");
    for word in ["barnacle", "limpet"] {
        place.write("vault/n1.md", format!("# Note 1\n\n{word}\n"));
        found(&server, word);
    }
    // Other processes say what the one that writes does.
    let said = place.call("index_status", json!({}));
    assert_eq!(said["sources"][0]["watched"], "polled every 1 s", "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_is_opened_is_read_and_watched() {
    use super::faults::{mode, unprivileged};
    let place = vault(1);
    place.write("vault/closed/deep/inner.md", "# Inner\n\nlimpet\n");
    let folder = place.path().join("vault").display().to_string();
    let source = format!("[[source]]\npath = {folder:?}\nwatch = \"events\"\n");
    let file = place.write("synod.toml", source).display().to_string();
    let closed = place.path().join("vault/closed");
    // It cannot be listed; it can be, and nothing in it be come to.
    for bits in [0o000, 0o744] {
        mode(&closed, bits);
        let args = ["serve", "--http", "127.0.0.1:0", "--config", &file];
        let server = Server::of(unprivileged(&place, &args));
        poll("a word about it", PATIENCE, || {
            let said = status(&server)["sources"][0]["errors"].to_string();
            said.contains("closed").then_some(())
        });
        mode(&closed, 0o755);
        found(&server, "limpet");
        place.write("vault/closed/deep/inner.md", "# Inner\n\nbarnacle\n");
        found(&server, "barnacle");
        // Attributes alone change nothing, and it is watched as before.
        mode(&closed, 0o775);
        place.write("vault/closed/deep/inner.md", "# Inner\n\nlimpet\n");
        found(&server, "limpet");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_source_that_cannot_be_read_keeps_its_documents_until_it_can() {
    use super::faults::{mode, unprivileged};
    let place = vault(2);
    let root = place.path().join("vault");
    let folder = root.display().to_string();
    let source = format!("[[source]]\npath = {folder:?}\n\n[limits]\npoll_s = 1\n");
    let file = place.write("synod.toml", source).display().to_string();
    let args = ["serve", "--http", "127.0.0.1:0", "--config", &file];
    let server = Server::of(unprivileged(&place, &args));
    fresh(&server);
    mode(&root, 0o000);
    poll("a word about it", PATIENCE, || {
        let status = status(&server);
        let said = status["sources"][0]["errors"].to_string().contains("kept as they were");
        (said && status["fresh"] == false).then_some(())
    });
    assert_eq!(status(&server)["documents"], 2);
    mode(&root, 0o755);
    place.write("vault/n1.md", "# Note 1\n\nbarnacle\n");
    found(&server, "barnacle");
    assert_eq!(status(&server)["sources"][0]["n_errors"], 0);
}

/// How many folders a process watches.
#[cfg(target_os = "linux")]
fn watches(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a process");
    let texts = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
    texts.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}

#[test]
#[cfg(target_os = "linux")]
fn ignored_folders_cost_no_watch_and_no_freshness() {
    let place = vault(3);
    place.write("vault/.gitignore", "target/\n");
    place.write("vault/src/in/deep.md", "# Deep\n");
    for n in 0..200 {
        place.write(&format!("vault/target/d{n}/x.md"), "object\n");
        place.write(&format!("vault/.git/objects/{n}/x"), "object\n");
    }
    place.write("vault/.git/logs/HEAD", "");
    let folder = place.path().join("vault").display().to_string();
    let source = format!("[[source]]\npath = {folder:?}\nwatch = \"events\"\n");
    let file = place.write("synod.toml", source);
    let server = place.http(&["--config", &file.display().to_string()], &[]);
    fresh(&server);
    let said = status(&server);
    assert_eq!(said["sources"][0]["watched"], "events", "{said}");
    let n = watches(server.child.id());
    assert!((3..20).contains(&n), "{n} watches for three folders with content");
    for n in 0..400 {
        place.write(&format!("vault/target/d{n}/y.md"), "object\n");
        if n % 20 == 0 {
            let said = status(&server);
            assert!(said["fresh"] == true && said["pending"] == 0, "{n}: {said}");
        }
    }
    place.write("vault/src/in/deep.md", "# Deep\n\nbarnacle\n");
    found(&server, "barnacle");
}

#[test]
fn a_first_look_says_how_far_it_is_in_every_process() {
    let place = Place::new();
    let text = "tide and moon and shore ".repeat(60);
    for n in 0..9_000 {
        place.write(&format!("vault/n{n}.md"), format!("# Note {n}\n\n{text}\n"));
    }
    let folder = place.path().join("vault").display().to_string();
    let file = place.write("synod.toml", format!("[[source]]\npath = {folder:?}\n"));
    let mut writer = place.stdio(&["--config", &file.display().to_string()]);
    let resource = |writer: &mut Client| {
        let answer = writer.request("resources/read", json!({"uri": "synod://status"}));
        let text = answer["result"]["contents"][0]["text"].as_str().expect("a text");
        serde_json::from_str::<Value>(text).expect("JSON")
    };
    let runs = poll("a run that all show", PATIENCE, || {
        let own = writer.answered("index_status", json!({}))["indexing"].clone();
        own["seconds_left"].as_u64()?;
        let read = resource(&mut writer)["indexing"].clone();
        read["seconds_left"].as_u64()?;
        // The command line is another process, and this one has the lock.
        let other = place.call("index_status", json!({}))["indexing"].clone();
        other["seconds_left"].as_u64().map(|_| [own, read, other])
    });
    for run in runs {
        assert_eq!((&run["source"], &run["total"]), (&json!("vault"), &json!(9_000)), "{run}");
        let done = run["done"].as_u64().expect("a number");
        assert!((1..=9_000).contains(&done), "{run}");
        assert!(run["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000), "{run}");
        assert!(run["rate"].as_f64().is_some_and(|rate| rate > 0.0), "{run}");
        assert!(run["current"].as_str().is_some_and(|path| path.ends_with(".md")), "{run}");
    }
    let status = poll("freshness", PATIENCE, || {
        let status = writer.answered("index_status", json!({}));
        (status["fresh"] == true).then_some(status)
    });
    assert!(status["indexing"].is_null(), "{status}");
    assert_eq!(status["sources"][0]["pending"], 0, "{status}");
    let read = resource(&mut writer);
    assert!(read["indexing"].is_null() && read["fresh"] == true, "{read}");
}

#[test]
fn the_command_line_says_fresh_only_of_sources_that_are_there() {
    let place = vault(3);
    let (folder, away) = (place.path().join("vault"), place.path().join("away"));
    place.index(&folder);
    let fresh = || place.call("search", json!({"query": "number1"}))["fresh"].clone();
    assert_eq!(fresh(), true);
    std::fs::rename(&folder, &away).expect("moved away");
    assert_eq!(fresh(), false);
    std::fs::rename(&away, &folder).expect("moved back");
    assert_eq!(fresh(), true);
}

#[test]
fn an_empty_folder_in_the_place_of_a_source_is_not_fresh() {
    let place = vault(3);
    let folder = place.path().join("vault");
    place.index(&folder);
    // As where a drive was unmounted: the empty folder below it lies on another device.
    let database = place.data().join("index/index.db");
    sql(&database, "UPDATE meta SET value=value+1 WHERE key LIKE 'device:%'");
    for n in 0..3 {
        std::fs::remove_file(folder.join(format!("n{n}.md"))).expect("removed");
    }
    let server = place.http(&[], &[]);
    let started = Instant::now();
    poll("a word about it", PATIENCE, || {
        let status = status(&server);
        assert_eq!(status["fresh"], false, "{status}");
        let said = status["sources"][0]["errors"].to_string().contains("empty drive");
        (said && started.elapsed() > Duration::from_secs(2)).then_some(())
    });
    assert_eq!(status(&server)["documents"], 3, "they are kept");
    // It is the folder that is meant after all.
    place.write("vault/new.md", "barnacle\n");
    poll("the new file", PATIENCE, || {
        let status = status(&server);
        (status["fresh"] == true && status["documents"] == 1).then_some(())
    });
}

#[cfg(unix)]
#[test]
fn a_stopped_writer_is_noticed_and_waited_for() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = vault(20);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    let mut reader = place.stdio(&[]);
    let mut says = |wanted: bool, patience: Duration| {
        poll("the reader", patience, || {
            (reader.answered("index_status", json!({}))["fresh"] == wanted).then_some(())
        });
    };
    says(true, PATIENCE);
    kill_process(Pid::from_child(&server.child), Signal::STOP).expect("a signal");
    // Signs of life come each 0.8 s and count for 2.5 s; a reader looks once a second.
    says(false, Duration::from_secs(6));
    let mut waits = Client::of(place.command(&["index", "--wait", "--lexical-only"]));
    let start = Instant::now();
    poll("a word to who waits", PATIENCE, || {
        let said = waits.stderr();
        assert!(
            start.elapsed() < PATIENCE / 2,
            "not a word: {said:?}, {:?}",
            waits.child.try_wait()
        );
        said.contains("does not answer").then_some(())
    });
    assert!(waits.child.try_wait().expect("a state").is_none(), "it goes on waiting");
    kill_process(Pid::from_child(&server.child), Signal::CONT).expect("a signal");
    assert!(ended(&mut waits.child, PATIENCE).success(), "{}", waits.stderr());
    says(true, PATIENCE);
}

#[test]
fn a_request_waits_for_who_holds_the_store_and_says_so() {
    let place = vault(3);
    place.index(&place.path().join("vault"));
    let server = place.http(&[], &[]);
    fresh(&server);
    // As whoever is stopped in the middle of a transaction.
    let hold = "import sqlite3,sys\n\
        db=sqlite3.connect(sys.argv[1],timeout=60,isolation_level=None)\n\
        db.execute('BEGIN IMMEDIATE')\n\
        print('{}',flush=True)\n\
        sys.stdin.read()\n";
    let mut command = Command::new("python3");
    command.args(["-c", hold]).arg(place.data().join("state.db"));
    let mut holder = Client::of(command);
    assert_eq!(holder.next(), json!({}));
    let mut waits = Client::of(place.command(&["index", "--wait", "--lexical-only"]));
    poll("a word to who waits", PATIENCE, || {
        let ended = waits.child.try_wait().expect("a state");
        assert!(ended.is_none(), "it waits: {ended:?}, {}", waits.stderr());
        waits.stderr().contains("does not answer").then_some(())
    });
    assert!(holder.end().success());
    assert!(ended(&mut waits.child, PATIENCE).success(), "{}", waits.stderr());
}

/// Notes of which a first look takes a while.
const MANY: usize = 9_000;

/// Writes them all, each with a link.
fn many(place: &Place, folder: &str, word: &str) {
    let text = "tide and moon and shore ".repeat(40);
    for n in 0..MANY {
        let link = (n * 7) % MANY;
        let note = format!("# Note {n}\n\n{word} [[n{link}]]\n\n{text}\n");
        place.write(&format!("{folder}/n{n}.md"), note);
    }
}

/// A configuration with these folders as sources.
fn sources(place: &Place, folders: &[(&str, &str)]) -> String {
    let source = |(folder, watch): &(&str, &str)| {
        let path = place.path().join(folder).display().to_string();
        format!("[[source]]\npath = {path:?}\nwatch = \"{watch}\"\n")
    };
    let all: String = folders.iter().map(source).collect();
    let file = place.write("synod.toml", format!("{all}\n[limits]\npoll_s = 3600\n"));
    file.display().to_string()
}

/// Saves notes one after the other, each once the one before is found, while `goes_on`: path and
/// word of each, and how many were found while it did.
fn save_while(
    place: &Place,
    server: &Server,
    folder: &str,
    goes_on: impl Fn() -> bool,
) -> (Vec<(String, String)>, usize) {
    let (mut saved, mut slowest) = (Vec::new(), Duration::ZERO);
    for n in 0.. {
        // New ones, and such as a run over the folder has read, or has still to read.
        let path = match n % 2 {
            0 => format!("saved/s{n}.md"),
            _ => format!("n{}.md", (n * 1_237) % MANY),
        };
        let own = word(1_000_000 + n);
        place.write(&format!("{folder}/{path}"), format!("# Saved {n}\n\n{own} [[n1]]\n"));
        let start = Instant::now();
        poll(&own, PATIENCE, || {
            let found = super::http::get(server.address, &format!("/v1/search?q=%2B{own}")).json();
            (found["total"] == 1 && found["hits"][0]["path"] == path.as_str()).then_some(())
        });
        let took = start.elapsed();
        saved.push((path, own));
        if !goes_on() {
            break;
        }
        slowest = slowest.max(took);
    }
    let early = saved.len() - 1;
    eprintln!("{early} saved notes were found meanwhile, each after {slowest:?} at most");
    (saved, early)
}

fn sound(place: &Place) {
    let (code, said, why) = place.outcome(&["doctor"]);
    assert_eq!(code, 0, "{said}{why}");
}

#[test]
fn a_source_of_the_configuration_that_comes_later_is_indexed_and_watched() {
    let place = vault(1);
    let config = sources(&place, &[("vault", "events"), ("drive", "events")]);
    let server = place.http(&["--config", &config], &[]);
    fresh(&server);
    assert_eq!(status(&server)["sources"].as_array().map(Vec::len), Some(1));
    place.write("away/a.md", "# A\n\nbarnacle\n");
    std::fs::rename(place.path().join("away"), place.path().join("drive")).expect("moved");
    found(&server, "barnacle");
    place.write("drive/a.md", "# A\n\nlimpet\n");
    found(&server, "limpet");
    assert_eq!(status(&server)["sources"][1]["watched"], "events");
    let said = server.stderr();
    assert_eq!(said.matches("was left out").count(), 1, "{said}");
}

#[cfg(unix)]
#[test]
fn a_known_source_that_comes_back_behind_a_link_is_watched_as_it_is_configured() {
    let place = vault(1);
    let [folder, away, link] = ["vault", "away", "link"].map(|name| place.path().join(name));
    place.index(&folder);
    std::os::unix::fs::symlink(&folder, link).expect("a link");
    std::fs::rename(&folder, &away).expect("moved");
    let config = sources(&place, &[("link", "poll")]);
    let server = place.http(&["--config", &config], &[]);
    let left_out = || server.stderr().contains("was left out").then_some(());
    poll("a word that it is away", PATIENCE, left_out);
    std::fs::rename(&away, &folder).expect("moved");
    poll("its polling", PATIENCE, || {
        let known = status(&server);
        let polled = known["sources"][0]["watched"] == "polled every 3600 s";
        (polled && known["fresh"] == true).then_some(())
    });
}

#[test]
fn notes_saved_during_a_first_look_are_found_before_its_end() {
    let place = Place::new();
    many(&place, "vault", "periwinkle");
    let config = sources(&place, &[("vault", "events")]);
    let server = place.http(&["--config", &config], &[]);
    let documents = || status(&server)["documents"].as_u64().unwrap_or_default() as usize;
    poll("the first commit", PATIENCE, || (documents() > 0).then_some(()));
    let (saved, early) = save_while(&place, &server, "vault", || documents() < MANY);
    assert!(early > 0, "nothing was found before all was read");
    fresh(&server);
    let new = saved.iter().filter(|(path, _)| path.starts_with("saved/")).count();
    assert_eq!(documents(), MANY + new);
    for (path, word) in &saved {
        let found = super::http::get(server.address, &format!("/v1/search?q=%2B{word}")).json();
        assert_eq!((&found["total"], &found["hits"][0]["path"]), (&json!(1), &json!(path)));
    }
    let words: Vec<String> = saved.iter().map(|(_, word)| format!("+{word}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let expected = Answers::of_fresh(&place.path().join("vault"), &words);
    Answers::of_data(&place.data(), &words).assert_same(&expected);
    drop(server);
    sound(&place);
}

#[test]
fn notes_saved_in_a_source_whose_turn_has_not_come_are_found_during_the_first_look_at_another() {
    let place = Place::new();
    many(&place, "many", "periwinkle");
    place.write("vault/n1.md", "# Note 1\n");
    let config = sources(&place, &[("many", "events"), ("vault", "events")]);
    let server = place.http(&["--config", &config], &[]);
    let documents = || status(&server)["documents"].as_u64().unwrap_or_default() as usize;
    poll("the first commit", PATIENCE, || (documents() > 0).then_some(()));
    let (_, early) = save_while(&place, &server, "vault", || documents() < MANY);
    assert!(early > 0, "nothing was found before all was read");
    fresh(&server);
    drop(server);
    sound(&place);
}

#[test]
fn notes_saved_during_a_request_are_found_before_its_end() {
    let place = Place::new();
    many(&place, "many", "periwinkle");
    place.write("vault/n1.md", "# Note 1\n");
    // Nobody tells of what changes in the one, so that a request finds all of it.
    let config = sources(&place, &[("many", "poll"), ("vault", "events")]);
    let args = ["--allow-write", "--config", &config];
    let server = place.http(&args, &[("SYNOD_ACCESS_LOCAL_SCOPES", SCOPES)]);
    fresh(&server);
    many(&place, "many", "limpet");
    let body = json!({"op": "reindex", "source": "many"});
    let left = post(server.address, "/v1/ingest", &[], &body).json();
    let id = left["job"].as_str().unwrap_or_else(|| panic!("no job: {left}"));
    let state = || {
        let path = format!("/v1/jobs/{id}");
        request(server.address, "GET", &path, &[], "").json()["jobs"][0]["state"].clone()
    };
    let limpets = || {
        let found = super::http::get(server.address, "/v1/search?q=%2Blimpet&limit=1").json();
        found["total"].as_u64().unwrap_or_default() as usize
    };
    poll("its first commit", PATIENCE, || (limpets() > 0).then_some(()));
    let (_, early) = save_while(&place, &server, "vault", || state() == "running");
    assert!(early > 0, "nothing was found before its end");
    poll("its end", PATIENCE, || (state() == "succeeded").then_some(()));
    fresh(&server);
    assert_eq!(limpets(), MANY);
    drop(server);
    sound(&place);
}

#[test]
fn a_request_for_a_large_folder_is_answered_long_before_its_end() {
    let place = Place::new();
    many(&place, "many", "periwinkle");
    let folder = place.path().join("many").display().to_string();
    let file = place.write("synod.toml", format!("[access]\nadd_roots = [{folder:?}]\n"));
    let mut client = place.stdio(&["--allow-write", "--config", &file.display().to_string()]);
    let left = client.answered("ingest", json!({"op": "add", "path": folder}));
    assert_eq!(left["state"], "pending", "{left}");
    let id = left["job"].as_str().unwrap_or_else(|| panic!("no job: {left}"));
    let state = |client: &mut Client| {
        let job = client.answered("job", json!({"op": "status", "id": id}));
        job["state"].as_str().unwrap_or_else(|| panic!("no state: {job}")).to_owned()
    };
    // Nothing was waited for, and nobody waits meanwhile.
    let first = state(&mut client);
    assert!(["pending", "running"].contains(&first.as_str()), "{first}");
    let mut answers = 0;
    poll("its end", PATIENCE, || {
        let found = client.answered("search", json!({"query": "periwinkle", "limit": 1}));
        let state = state(&mut client);
        answers += usize::from(state == "running" && found["pending"].is_u64());
        assert_ne!(state, "failed");
        (state == "succeeded").then_some(())
    });
    assert!(answers > 0, "no search was answered while it ran");
    assert_eq!(client.answered("index_status", json!({}))["documents"], MANY);
}

#[test]
fn a_call_that_waits_is_told_files_bytes_rate_time_left_and_the_file_in_hand() {
    let place = Place::new();
    many(&place, "many", "periwinkle");
    let folder = place.path().join("many").display().to_string();
    let file = place.write("synod.toml", format!("[access]\nadd_roots = [{folder:?}]\n"));
    let mut client = place.stdio(&["--allow-write", "--config", &file.display().to_string()]);
    let call = json!({
        "name": "ingest", "arguments": {"op": "add", "path": folder, "wait": true},
        "_meta": {"progressToken": "p"},
    });
    client.send(
        &json!({"jsonrpc": "2.0", "id": "add", "method": "tools/call", "params": call}).to_string(),
    );
    let mut notes = Vec::new();
    let answer = loop {
        let message = client.next();
        if message["id"] == "add" {
            break message;
        }
        if message["method"] == "notifications/progress" {
            notes.push(message["params"].clone());
        }
    };
    assert_eq!(answer["result"]["structuredContent"]["state"], "succeeded", "{answer}");
    let done: Vec<f64> = notes.iter().filter_map(|note| note["progress"].as_f64()).collect();
    assert!(done.len() > 3 && done.is_sorted_by(|a, b| a < b), "{done:?}");
    let parts =
        ["indexing many … ", " of 9000 files, ", " MB, ", " a second, ", " s left, n", ".md"];
    let whole = |note: &Value| {
        let text = note["message"].as_str().unwrap_or_default();
        note["total"].is_number() && parts.iter().all(|part| text.contains(part))
    };
    assert!(notes.iter().any(whole), "{notes:?}");
}

#[test]
fn a_server_killed_while_notes_are_saved_during_its_first_look_leaves_a_sound_index() {
    let place = Place::new();
    many(&place, "vault", "periwinkle");
    let config = sources(&place, &[("vault", "events")]);
    let mut last = BTreeMap::new();
    for round in 0..long(4, 100) as usize {
        let mut server = place.http(&["--config", &config], &[]);
        let until = Instant::now() + Duration::from_millis(300 + (round as u64 * 370) % 1_500);
        for n in 0.. {
            if Instant::now() > until {
                break;
            }
            let (path, own) = (format!("saved/s{}.md", n % 7), word(1_000_000 + round * 1_000 + n));
            place.write(&format!("vault/{path}"), format!("# Saved\n\n{own}\n"));
            last.insert(path, own);
            std::thread::sleep(Duration::from_millis(40));
        }
        server.child.kill().expect("killed");
        ended(&mut server.child, PATIENCE);
        let n = recovered(&place.data()).len();
        eprintln!("{n} documents when it was killed");
    }
    let server = place.http(&["--config", &config], &[]);
    fresh(&server);
    assert_eq!(status(&server)["documents"], MANY + last.len());
    for (path, own) in &last {
        let found = super::http::get(server.address, &format!("/v1/search?q=%2B{own}")).json();
        assert_eq!((&found["total"], &found["hits"][0]["path"]), (&json!(1), &json!(path)));
    }
    drop(server);
    sound(&place);
}
