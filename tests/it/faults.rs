//! Bad input and bad luck: each is a clear fault, and the program lives afterwards.

use crate::program::{Client, PATIENCE, Place, Server, ended, long, outcome, poll};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Levels of nesting that no grammar's recursion survives.
const DEPTH: usize = 50_000;
/// Notes that are indexed while the process is killed.
const NOTES: usize = 2_000;
/// What must never leave the folder above a vault.
const SECRET: &str = "TOPSECRET";

/// A vault with one note, indexed.
fn vault(place: &Place) -> std::path::PathBuf {
    place.write("vault/tide.md", "# Tide pools\n\nThe walrus counts anemones at low tide.\n");
    let folder = place.path().join("vault");
    place.index(&folder);
    folder
}

/// The paths of a search's hits.
fn hits(client: &mut Client, query: &str) -> Vec<String> {
    let found = client.answered("search", json!({ "query": query }));
    paths(&found)
}

fn paths(found: &Value) -> Vec<String> {
    let hits = found["hits"].as_array().expect("hits");
    hits.iter().map(|hit| hit["path"].as_str().expect("a path").to_owned()).collect()
}

/// The server still finds what it found.
fn lives(client: &mut Client) {
    assert_eq!(hits(client, "walrus anemones"), ["tide.md"]);
}

/// The command failed with words: not by a panic, not as a bug of ours.
fn clear(what: &str, (code, _, stderr): &(i32, String, String)) {
    assert_eq!(*code, 1, "{what}: exit code {code}; stderr: {stderr}");
    assert!(!stderr.contains("internal error") && !stderr.contains("panicked"), "{what}: {stderr}");
    assert!(stderr.starts_with("synod: ") && stderr.trim().len() > 20, "{what}: {stderr:?}");
}

fn doctor(place: &Place) {
    let (code, stdout, stderr) = place.outcome(&["doctor"]);
    assert_eq!(code, 0, "the stores do not agree: {stdout}{stderr}");
}

fn documents(place: &Place) -> u64 {
    let status = place.call("index_status", json!({}));
    status["documents"].as_u64().expect("a number")
}

/// Root ignores permissions: the program then runs as nobody, on a place that is open to all.
#[cfg(unix)]
pub fn unprivileged(place: &Place, args: &[&str]) -> Command {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let mut command = place.command(args);
    if std::fs::metadata(place.path()).expect("the place").uid() == 0 {
        // Its own copy: the build folder of root may be closed to others.
        let program = place.path().join("synod");
        if !program.exists() {
            // By another process: one that is started while this one writes would hold it open.
            let mut copy = Command::new("cp");
            let copied = copy.arg(env!("CARGO_BIN_EXE_synod")).arg(&program).status();
            assert!(copied.is_ok_and(|status| status.success()), "a copy");
        }
        mode(place.path(), 0o777);
        let mut other = Command::new(program);
        other.args(args).env("SYNOD_DATA", place.data()).env_remove("SYNOD_CONFIG");
        other.env("HOME", place.path().join("home")).uid(65_534).gid(65_534);
        command = other;
    }
    command
}

#[cfg(unix)]
pub fn mode(path: &Path, bits: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).expect("permissions");
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::new();
    vault(&place);
    let missing = place.path().join("nowhere");
    let missing = missing.to_string_lossy();
    let failed = place.outcome(&["index", &missing]);
    clear("index", &failed);
    assert!(failed.2.contains(&*missing) && failed.2.contains("existing folder"), "{}", failed.2);
    clear("up", &place.outcome(&["up", &missing, "--http", "127.0.0.1:0", "--lexical-only"]));
    let mut client = place.stdio(&["--allow-write"]);
    let why = client.refused("ingest", json!({"op": "add", "path": missing}));
    assert!(why.contains(&*missing), "{why}");
    lives(&mut client);
}

#[cfg(unix)]
#[test]
fn an_unreadable_folder_is_reported_and_not_taken_for_an_empty_one() {
    let place = Place::new();
    place.write("vault/open.md", "An open note on barnacles.\n");
    place.write("vault/closed/inner.md", "A closed note on limpets.\n");
    let folder = place.path().join("vault");
    let closed = folder.join("closed");
    let index = |why: &str| {
        let args = ["index", &folder.to_string_lossy(), "--wait", "--lexical-only"];
        let (code, _, stderr) = outcome(unprivileged(&place, &args));
        assert!(code == 0 || code == 1, "{why}: {code} {stderr}");
        assert!(!stderr.contains("panicked"), "{why}: {stderr}");
        code
    };
    let call = |tool: &str, args: Value| -> Value {
        let (code, stdout, stderr) =
            outcome(unprivileged(&place, &["call", tool, &args.to_string()]));
        assert_eq!(code, 0, "{tool}: {stderr}");
        serde_json::from_str(&stdout).expect("JSON")
    };
    assert_eq!(index("readable"), 0);
    mode(&closed, 0o000);
    index("closed");
    let status = call("index_status", json!({}));
    let kept = call("search", json!({"query": "limpets"}));
    let open = call("search", json!({"query": "barnacles"}));
    mode(&closed, 0o755);
    let errors = status["sources"][0]["errors"].to_string();
    assert!(errors.contains("closed"), "the folder is not reported: {status}");
    assert_eq!(status["documents"], 2, "its notes were forgotten: {status}");
    // Lines are quoted from the file: without it there is no hit, but a word about it.
    assert!(kept["notes"].to_string().contains("left out"), "{kept}");
    assert_eq!(paths(&open), ["open.md"]);
    assert_eq!(index("open again"), 0);
    let status = call("index_status", json!({}));
    assert_eq!(status["sources"][0]["n_errors"], 0, "{status}");
    assert_eq!(paths(&call("search", json!({"query": "limpets"}))), ["closed/inner.md"]);
}

#[test]
fn encodings_are_read_or_guessed() {
    let place = Place::new();
    // Each says something else: copies would be one hit.
    let text = |which: &str| {
        format!("# Kelp\n\nThe octopus lives below the kelp forest, and eats {which} at night.\n")
    };
    let little = |which: &str| -> Vec<u8> {
        text(which).encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect()
    };
    let big = |which: &str| -> Vec<u8> {
        text(which).encode_utf16().flat_map(|unit| unit.to_be_bytes()).collect()
    };
    place.write("vault/utf16le-bom.md", [&[0xFF, 0xFE][..], &little("crabs")].concat());
    place.write("vault/utf16be-bom.md", [&[0xFE, 0xFF][..], &big("prawns")].concat());
    place.write("vault/utf16le.md", little("clams"));
    place.write("vault/utf16be.md", big("mussels"));
    place.write("vault/broken.md", b"octopus \xff\xfe\xfd and \xc3\x28 kelp \xf0\x28 forest\n");
    place.write("vault/empty.md", "");
    place.write("vault/mark.md", "\u{feff}octopus and kelp\n");
    place.index(&place.path().join("vault"));
    let found = place.call("search", json!({"query": "octopus kelp"}));
    let mut paths = paths(&found);
    paths.sort();
    let wanted =
        ["broken.md", "mark.md", "utf16be-bom.md", "utf16be.md", "utf16le-bom.md", "utf16le.md"];
    assert_eq!(paths, wanted);
    for path in wanted {
        let read = place.call("read", json!({ "path": path }));
        assert!(read["text"].as_str().expect("text").contains("octopus"), "{path}: {read}");
    }
}

#[test]
fn a_huge_file_is_found_by_its_name_only() {
    let place = Place::new();
    vault(&place);
    let huge = place.write("vault/colossus.md", "# Big\n");
    let file = std::fs::OpenOptions::new().write(true).open(huge).expect("the file");
    file.set_len(200 * 1024 * 1024).expect("a sparse file");
    let start = Instant::now();
    place.index(&place.path().join("vault"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let mut client = place.stdio(&[]);
    assert_eq!(hits(&mut client, "colossus"), ["colossus.md"]);
    let why = client.call("read", json!({"path": "colossus.md"})).to_string();
    assert!(why.contains("200 MiB"), "{why}");
    lives(&mut client);
}

#[test]
fn deep_nesting_exhausts_no_stack() {
    let place = Place::new();
    vault(&place);
    let nested = |open: &str, middle: &str, close: &str| {
        format!("{}{middle}{}\n", open.repeat(DEPTH), close.repeat(DEPTH))
    };
    place.write("vault/quote.md", nested("> ", "starfish", ""));
    place.write("vault/list.md", nested("- ", "starfish", ""));
    place.write("vault/link.md", nested("[", "starfish", "](x)"));
    place.write("vault/bold.md", nested("*a ", "starfish", " a*"));
    place.write("vault/wiki.md", nested("[[", "starfish", "]]"));
    place.write("vault/html.html", nested("<div>", "starfish", "</div>"));
    place.write("vault/front.md", format!("---\nx: {}\n---\nstarfish\n", nested("[", "1", "]")));
    place.write("vault/a.json", nested("[", "\"starfish\"", "]"));
    place.write("vault/o.json", nested("{\"k\":", "\"starfish\"", "}"));
    place.write("vault/b.rs", format!("fn starfish() {}", nested("{", "1", "}")));
    place.write("vault/p.rs", format!("fn starfish() {{ {} }}", nested("(", "1", ")")));
    place.write("vault/m.rs", nested("mod a { ", "fn starfish() {}", " }"));
    place.write("vault/t.rs", format!("type Starfish = {};", nested("Vec<", "u8", ">")));
    place.write("vault/p.py", format!("starfish = {}", nested("(", "1", ")")));
    place.write("vault/y.yaml", format!("starfish: {}", nested("[", "1", "]")));
    let start = Instant::now();
    let folder = place.path().join("vault");
    let (code, _, stderr) = place.outcome(&["index", &folder.to_string_lossy(), "--wait"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let mut client = place.stdio(&[]);
    let found = client.answered("search", json!({"query": "starfish", "limit": 50}));
    assert!(paths(&found).len() >= 10, "{:?}", paths(&found));
    for path in paths(&found) {
        client.call("read", json!({ "path": path }));
        client.call("related", json!({ "path": path }));
    }
    lives(&mut client);
}

#[test]
fn a_vault_that_changes_during_the_walk_is_indexed() {
    let place = Place::new();
    for n in 0..200 {
        place.write(&format!("vault/stays/{n}.md"), format!("# Note {n}\n\nA steady note.\n"));
    }
    let folder = place.path().join("vault");
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, moving) = (Arc::clone(&stop), folder.clone());
    let thread = std::thread::spawn(move || {
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) {
            n += 1;
            let dir = moving.join(format!("moves/{}", n % 7));
            std::fs::create_dir_all(&dir).expect("a folder");
            let file = dir.join(format!("{}.md", n % 50));
            std::fs::write(&file, format!("passing {n}\n")).expect("a file");
            if n % 3 == 0 {
                std::fs::remove_file(&file).expect("removed");
            }
            if n % 40 == 0 {
                std::fs::remove_dir_all(&dir).expect("removed");
            }
        }
        n
    });
    let mut failures = Vec::new();
    for _ in 0..5 {
        let (code, _, stderr) = place.outcome(&["index", &folder.to_string_lossy(), "--wait"]);
        if code != 0 {
            let status = place.outcome(&["call", "index_status", "{}"]).1;
            failures.push(format!("{stderr}{status}"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let changes = thread.join().expect("the thread");
    assert!(changes > 10, "nothing changed during the walk");
    assert!(failures.is_empty(), "a file that came and went failed the command: {failures:?}");
    place.index(&folder);
    doctor(&place);
    let left = std::fs::read_dir(folder.join("moves")).into_iter().flatten().map(|dir| {
        let dir = dir.expect("an entry").path();
        std::fs::read_dir(dir).expect("a folder").count() as u64
    });
    assert_eq!(documents(&place), 200 + left.sum::<u64>());
}

/// Sets the bits of a folder and of those below it, and of the files in them.
#[cfg(unix)]
fn modes(folder: &Path, bits_dir: u32, bits_file: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        mode(&dir, 0o755);
        for entry in std::fs::read_dir(&dir).expect("a folder").map(|e| e.expect("an entry")) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
                continue;
            }
            // A sign of life comes and goes.
            let bits = std::fs::Permissions::from_mode(bits_file);
            let _ = std::fs::set_permissions(entry.path(), bits);
        }
        mode(&dir, bits_dir);
    }
}

#[cfg(unix)]
#[test]
fn a_data_directory_that_cannot_be_written_is_named_and_searched() {
    let place = Place::new();
    place.write("vault/tide.md", "The walrus counts anemones.\n");
    let folder = place.path().join("vault");
    let folder = folder.to_string_lossy();
    let args = ["index", &folder, "--wait", "--lexical-only"];
    let (code, _, stderr) = outcome(unprivileged(&place, &args));
    assert_eq!(code, 0, "{stderr}");
    modes(&place.data(), 0o555, 0o444);
    let index = outcome(unprivileged(&place, &args));
    let query = json!({"query": "walrus"}).to_string();
    let search = outcome(unprivileged(&place, &["call", "search", &query]));
    modes(&place.data(), 0o755, 0o644);
    clear("index", &index);
    assert!(index.2.contains(&*place.data().to_string_lossy()), "no path: {}", index.2);
    assert_eq!(search.0, 0, "what is there is found: {}", search.2);
    let found: Value = serde_json::from_str(&search.1).expect("JSON");
    assert_eq!(paths(&found), ["tide.md"]);
    assert!(found["degraded"].to_string().contains("freshness"), "{found}");
    let (code, _, stderr) = outcome(unprivileged(&place, &args));
    assert_eq!(code, 0, "writable again: {stderr}");
}

#[cfg(unix)]
#[test]
fn a_data_directory_closed_under_a_server_is_searched_on_and_written_once_it_is_open() {
    let place = Place::new();
    place.write("vault/tide.md", "The walrus counts anemones.\n");
    let folder = place.path().join("vault").display().to_string();
    let args = ["index", &folder, "--wait", "--lexical-only"];
    let (code, _, stderr) = outcome(unprivileged(&place, &args));
    assert_eq!(code, 0, "{stderr}");
    let server = Server::of(unprivileged(&place, &["serve", "--http", "127.0.0.1:0"]));
    let get = |path: &str| crate::http::get(server.address, path).json();
    let fresh = |wanted: bool| {
        poll("freshness", PATIENCE, || (get("/v1/index")["fresh"] == wanted).then_some(()));
    };
    fresh(true);
    modes(&place.data(), 0o555, 0o444);
    place.write("vault/late.md", "A late limpet.\n");
    fresh(false);
    // Nobody has asked before: what is there is opened now.
    for _ in 0..3 {
        let found = get("/v1/search?q=walrus");
        assert_eq!(paths(&found), ["tide.md"]);
        assert_eq!(found["fresh"], false, "{found}");
    }
    modes(&place.data(), 0o755, 0o644);
    fresh(true);
    assert_eq!(paths(&get("/v1/search?q=limpet")), ["late.md"]);
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let place = Place::new();
    let file = place.write("data", "no folder");
    for args in [
        &["index", "."][..],
        &["search", "x"],
        &["doctor"],
        &["token", "list"],
        &["serve", "--stdio"],
        &["up", "--http", "127.0.0.1:0", "--lexical-only"],
    ] {
        let failed = place.outcome(args);
        clear(args[0], &failed);
        assert!(failed.2.contains(&*file.to_string_lossy()), "{}: {}", args[0], failed.2);
    }
    assert_eq!(std::fs::read(&file).expect("the file"), b"no folder");
}

/// Sets `user_version` in the header of a SQLite file.
fn set_format(path: &Path, format: u32) -> Vec<u8> {
    let wal = path.with_extension("db-wal");
    assert!(!wal.exists() || std::fs::metadata(&wal).expect("a file").len() == 0, "a hot journal");
    let mut bytes = std::fs::read(path).expect("the database");
    bytes[60..64].copy_from_slice(&format.to_be_bytes());
    std::fs::write(path, &bytes).expect("written");
    bytes
}

#[test]
fn an_index_of_a_newer_program_is_refused_and_kept() {
    let place = Place::new();
    let folder = vault(&place);
    let path = place.data().join("index/index.db");
    let bytes = set_format(&path, 99);
    for args in [
        &["index", &*folder.to_string_lossy()][..],
        &["search", "x"],
        &["doctor"],
        &["doctor", "--repair"],
        &["serve", "--stdio"],
    ] {
        let failed = place.outcome(args);
        clear(args[0], &failed);
        assert!(failed.2.contains("format 99") && failed.2.contains("update"), "{}", failed.2);
    }
    assert_eq!(std::fs::read(&path).expect("the database"), bytes, "it was changed");
}

#[test]
fn a_state_of_a_newer_program_is_refused_and_kept() {
    let place = Place::new();
    vault(&place);
    place.call("index_status", json!({}));
    let path = place.data().join("state.db");
    let bytes = set_format(&path, 99);
    for args in [&["token", "list"][..], &["search", "x"], &["doctor"], &["serve", "--stdio"]] {
        let failed = place.outcome(args);
        clear(args[0], &failed);
        assert!(failed.2.contains("format 99") && failed.2.contains("update"), "{}", failed.2);
    }
    assert_eq!(std::fs::read(&path).expect("the database"), bytes, "it was changed");
}

#[test]
fn malformed_messages_are_answered_and_survived() {
    let place = Place::new();
    vault(&place);
    let mut client = place.stdio(&[]);
    let mut silent = Vec::new();
    // Sound to who only looks for the end of each value.
    let asked = |query: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":{{\"name\":\
             \"search\",\"arguments\":{{\"query\":{query}}}}}}}"
        )
    };
    let deep = asked(&format!("{}{}", "[".repeat(200), "]".repeat(200)));
    let large = asked("\"walrus\",\"limit\":1e999");
    for line in [
        &*deep,
        &*large,
        "{bad",
        "42",
        "null",
        "\"text\"",
        "[]",
        "{}",
        "{\"jsonrpc\":\"2.0\",\"id\":9}",
        "[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}]",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":[1]}",
    ] {
        client.send(line);
        // The next answer must be about the line before.
        client.send(&json!({"jsonrpc": "2.0", "id": "after", "method": "ping"}).to_string());
        let answer = client.next();
        if answer["id"] == "after" {
            silent.push(line);
            continue;
        }
        assert!(answer["error"]["code"].is_i64(), "{line}: {answer}");
        assert_eq!(client.next()["id"], "after", "{line}");
    }
    let answer = client.request("no/such/method", json!({}));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    client.send_bytes(
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"params\":{\"x\":\"\xff\"}}",
    );
    assert_eq!(client.next()["error"]["code"], -32600);
    // What JavaScript writes for an emoji that was cut in two: the call is answered.
    client.send(&asked("\"walrus \\ud83d\""));
    let answer = client.next();
    assert!(answer["id"] == 6 && answer["result"]["structuredContent"].is_object(), "{answer}");
    // As Windows begins a file.
    client.send("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"ping\"}");
    assert_eq!(client.next()["id"], 4);
    // Not a message at all: nothing to answer, nothing to end for.
    client.send("");
    client.send("   ");
    lives(&mut client);
    assert!(silent.is_empty(), "dropped without an answer: {silent:?}");
}

#[test]
fn an_oversized_line_is_answered_and_survived() {
    let place = Place::new();
    vault(&place);
    let mut client = place.stdio(&[]);
    let filler = "a".repeat(17 * 1024 * 1024);
    client.send(
        &json!({"jsonrpc": "2.0", "id": "big", "method": "tools/call",
        "params": {"name": "search", "arguments": {"query": filler}}})
        .to_string(),
    );
    // A client waits for an answer to what it sent: with an error it need not wait for its timeout.
    client.send(&json!({"jsonrpc": "2.0", "id": "after", "method": "ping"}).to_string());
    let first = client.next();
    let told = first["error"]["code"].is_i64();
    if !told {
        assert_eq!(first["id"], "after", "{first}");
    }
    lives(&mut client);
    assert!(told, "the line of 17 MiB was dropped without an answer");
}

#[test]
fn wrong_calls_are_refused_with_words() {
    let place = Place::new();
    vault(&place);
    let mut client = place.stdio(&[]);
    let unknown = client.request("tools/call", json!({"name": "serch", "arguments": {}}));
    let why = unknown["error"]["message"].as_str().expect("an error");
    assert!(why.contains("`serch`") && why.contains("search"), "{unknown}");
    for (tool, args, word) in [
        ("search", json!({}), "query"),
        ("search", json!({"query": 7}), "query"),
        ("search", json!({"query": "x", "limit": "ten"}), "limit"),
        ("search", json!({"query": "x", "limit": -1}), "limit"),
        ("search", json!({"query": "x", "limit": 1.5}), "limit"),
        ("search", json!({"query": "x", "limit": 0}), "200"),
        ("search", json!({"query": "x", "limit": 201}), "200"),
        ("search", json!({"query": "x", "limit": u64::MAX}), "200"),
        ("search", json!({"query": "x", "mode": "magic"}), "mode"),
        ("search", json!({"query": "x", "tags": "one"}), "tags"),
        ("search", json!({"query": "x", "qurey": "y"}), "qurey"),
        ("search", json!({"query": "x", "source": "nowhere"}), "nowhere"),
        ("search", json!({"query": "x", "after": "last tuesday"}), "last tuesday"),
        ("search", json!({"query": "x", "cursor": "rubbish"}), "cursor"),
        ("read", json!({}), "path"),
        ("read", json!({"path": "tide.md", "lines": [5, 2]}), "lines"),
        ("read", json!({"path": "tide.md", "lines": [0, 2]}), "lines"),
        ("read", json!({"path": "tide.md", "lines": [1]}), "lines"),
        ("read", json!({"path": "tdie.md"}), "tide.md"),
        ("read", json!({"id": "d999.0.ffff"}), "d999.0.ffff"),
        ("read", json!({"id": "rubbish"}), "rubbish"),
        ("related", json!({"path": "nowhere.md"}), "nowhere.md"),
        ("index_status", json!({"source": "nowhere"}), "nowhere"),
        ("ingest", json!({"op": "push", "path": "x.md", "content": "x"}), "write:context"),
        ("ingest", json!({"op": "remove", "source": "vault"}), "write:context"),
        ("ingest", json!({"op": "explode"}), "op"),
    ] {
        let why = client.refused(tool, args.clone());
        assert!(why.contains(word), "{tool} {args}: no word of `{word}`: {why}");
    }
    lives(&mut client);
}

/// Names that must not lead out of a vault.
const HOSTILE: &[&str] = &[
    "../secret.md",
    "..\\secret.md",
    "vault/../../secret.md",
    "sub/../../secret.md",
    "/etc/passwd",
    "//etc/passwd",
    "C:\\Windows\\win.ini",
    "c:/secret.md",
    "\\\\server\\share\\x",
    "\\\\?\\C:\\x",
    "%2e%2e/secret.md",
    "..%2fsecret.md",
    "%2e%2e%2fsecret.md",
    "....//secret.md",
    "tide.md\0.md",
    "\0",
    "link.md",
    "linkdir/secret.md",
    "~/secret.md",
    "file:///etc/passwd",
    "note://vault/../secret.md",
    "note://vault/%2e%2e/secret.md",
    "note://vault/..%2fsecret.md",
    "note://vault/%252e%252e/secret.md",
    "note:///etc/passwd",
    "note://vault//etc/passwd",
    "note://../secret.md",
    "note://vault/link.md",
    "note://vault/linkdir/secret.md",
    "note://vault/tide.md%00",
    "note://vault/C:%5Cx",
    "code://vault/..%5csecret.md",
    "note://",
    "note://vault",
    "note://vault/",
    "://",
    "note:",
    "synod://../secret",
];

#[cfg(unix)]
#[test]
fn no_name_leads_out_of_a_vault() {
    let place = Place::new();
    place.write("secret.md", format!("{SECRET} walrus\n"));
    place.write("vault/sub/inner.md", "inside\n");
    let vault_path = place.path().join("vault");
    std::os::unix::fs::symlink("../secret.md", vault_path.join("link.md")).expect("a link");
    std::os::unix::fs::symlink(place.path(), vault_path.join("linkdir")).expect("a link");
    vault(&place);
    let mut client = place.stdio(&[]);
    for name in HOSTILE {
        let key = if name.contains("://") { "uri" } else { "path" };
        for args in [json!({ key: name }), json!({"path": name}), json!({"title": name})] {
            let why = client.refused("read", args.clone());
            assert!(!why.contains(SECRET) && !why.contains("root:"), "{args}: {why}");
        }
        let why = client.refused("related", json!({"path": name}));
        assert!(!why.contains(SECRET), "{name}: {why}");
        let answer = client.request("resources/read", json!({"uri": name}));
        assert!(answer["error"]["code"].is_i64(), "{name}: {answer}");
        assert!(!answer.to_string().contains(SECRET), "{name}: {answer}");
        assert!(!answer.to_string().contains("internal error"), "{name}: {answer}");
    }
    let found = client.answered("search", json!({"query": SECRET})).to_string();
    assert!(!found.contains("secret.md"), "{found}");
    lives(&mut client);
}

#[cfg(unix)]
#[test]
fn a_link_swapped_in_after_indexing_gains_nothing() {
    let place = Place::new();
    place.write("secret.md", format!("{SECRET}\n"));
    vault(&place);
    let note = place.write("vault/swap.md", "# Swap\n\nAn honest limpet.\n");
    place.index(&place.path().join("vault"));
    let mut client = place.stdio(&[]);
    assert_eq!(hits(&mut client, "limpet"), ["swap.md"]);
    std::fs::remove_file(&note).expect("removed");
    std::os::unix::fs::symlink("../secret.md", &note).expect("a link");
    let answer = client.call("read", json!({"path": "swap.md"})).to_string();
    assert!(!answer.contains(SECRET) && !answer.contains("internal error"), "{answer}");
    lives(&mut client);
}

#[test]
fn odd_queries_are_answered_with_notes() {
    let place = Place::new();
    vault(&place);
    let mut client = place.stdio(&[]);
    let long = "x".repeat(200_000);
    let words = "walrus ".repeat(200_000 / 7);
    let silent = ["", "   ", "?!… --- ()", "\"", "+", "-", "*", "\u{0}", "\u{200b}", "the of and"];
    for query in silent.into_iter().chain([&*long, &words]) {
        let found = client.answered("search", json!({ "query": query }));
        let shown: String = query.chars().take(20).collect();
        let said = found["notes"].as_array().is_some_and(|notes| !notes.is_empty());
        assert!(said, "{shown:?} is answered without a note: {found}");
    }
    // These hold words, or what counts as one.
    for query in
        ["\"walrus", "walrus\"", "+\"walrus", "(walrus", "walrus 🦀", "walrus AND NOT tag:"]
    {
        assert_eq!(hits(&mut client, query), ["tide.md"], "{query:?}");
    }
    // No text is an error: what is no filter is searched as words.
    let odd = [
        "🦀🌊",
        "👨‍👩‍👧‍👦",
        "tag:",
        "AND OR NOT",
        "path:[",
        "path:{a",
        "after:never walrus",
        "kind:",
        "-",
    ];
    let refused = odd.into_iter().filter_map(|query| {
        let result = client.call("search", json!({ "query": query }));
        (result["isError"] == true).then(|| format!("{query}: {}", result["content"][0]["text"]))
    });
    let refused: Vec<String> = refused.collect();
    lives(&mut client);
    assert!(refused.is_empty(), "queries that are refused: {refused:#?}");
}

#[test]
fn roots_and_home_directories_are_refused_without_force() {
    let place = Place::new();
    vault(&place);
    place.write("home/note.md", "At home.\n");
    let home = place.path().join("home");
    let home = home.to_string_lossy();
    let mut taken = Vec::new();
    for folder in ["/", &home] {
        for args in
            [&["index", folder][..], &["up", folder, "--http", "127.0.0.1:0", "--lexical-only"]]
        {
            let failed = place.outcome(args);
            clear(args[0], &failed);
            assert!(failed.2.contains("--force"), "{}", failed.2);
        }
        let mut client = place.stdio(&["--allow-write"]);
        for dry_run in [true, false] {
            let args = json!({"op": "add", "path": folder, "wait": true, "dry_run": dry_run});
            let result = client.call("ingest", args);
            let state = &result["structuredContent"]["state"];
            if result["isError"] != true && state != "failed" {
                taken.push(format!("`{folder}` (dry_run {dry_run}): {result}"));
            }
        }
        client.answered("search", json!({"query": "walrus"}));
    }
    assert!(taken.is_empty(), "`ingest` takes what needs --force: {taken:#?}");
    let (code, _, stderr) = place.outcome(&["index", &home, "--force", "--wait"]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_vault_deleted_under_a_server_leaves_it_answering() {
    let place = Place::new();
    let folder = vault(&place);
    place.write("other/kept.md", "A kept barnacle.\n");
    place.index(&place.path().join("other"));
    let mut client = place.stdio(&[]);
    lives(&mut client);
    std::fs::remove_dir_all(&folder).expect("removed");
    for _ in 0..20 {
        client.answered("search", json!({"query": "walrus"}));
        let read = client.call("read", json!({"path": "tide.md"}));
        assert!(!read.to_string().contains("internal error"), "{read}");
        assert_eq!(hits(&mut client, "barnacle"), ["kept.md"]);
    }
    client.answered("index_status", json!({}));
    // A folder that is gone may be a disk that is not mounted: said, not forgotten.
    poll("the folder's absence in index_status", PATIENCE, || {
        let status = place.outcome(&["call", "index_status", "{}"]);
        assert_eq!(status.0, 0, "{}", status.2);
        let status: Value = serde_json::from_str(&status.1).expect("JSON");
        let source = status["sources"].as_array()?.iter().find(|s| s["name"] == "vault")?.clone();
        (source["n_errors"] != 0).then_some(())
    });
    assert!(client.end().success());
}

/// A search's answer, or why there is none.
fn asked(client: &mut Client, query: &str) -> Result<Value, String> {
    let result = client.call("search", json!({ "query": query }));
    if result["isError"] == true {
        let why = result["content"][0]["text"].as_str().expect("words").to_owned();
        assert!(!why.contains("internal error"), "{why}");
        return Err(why);
    }
    Ok(result["structuredContent"].clone())
}

#[test]
fn a_data_directory_deleted_under_a_server_is_said_to_be_gone() {
    let place = Place::new();
    vault(&place);
    let mut client = place.stdio(&["--allow-write"]);
    poll("freshness", PATIENCE, || {
        (client.answered("index_status", json!({}))["fresh"] == true).then_some(())
    });
    // The server may make a sign of life in a folder that is being emptied.
    poll("the end of the data directory", PATIENCE, || {
        let _ = std::fs::remove_dir_all(place.data());
        (!place.data().exists()).then_some(())
    });
    // In the moment before that it may be the words that are missed first.
    poll("the fault", PATIENCE, || {
        let why = asked(&mut client, "walrus").err()?;
        why.contains("deleted or moved").then_some(())
    });
    for _ in 0..5 {
        assert!(asked(&mut client, "walrus").is_err(), "an answer from nothing");
        let push = json!({"op": "push", "path": "x.md", "content": "x"});
        assert_eq!(client.call("ingest", push)["isError"], true, "a job that is on no disk");
    }
    assert!(!place.data().exists(), "it was made by somebody who did not hold it");
    // Another one takes its place, and is taken up.
    place.write("other/kept.md", "A kept barnacle.\n");
    place.index(&place.path().join("other"));
    poll("the new index", PATIENCE, || {
        let found = asked(&mut client, "barnacle").ok()?;
        (paths(&found) == ["kept.md"] && found["fresh"] == true).then_some(())
    });
    let found = asked(&mut client, "walrus").expect("an answer");
    assert!(paths(&found).is_empty(), "from the former one: {found}");
    assert!(client.end().success());
    doctor(&place);
}

#[test]
fn a_data_directory_replaced_under_a_server_is_read_anew() {
    let (place, other) = (Place::new(), Place::new());
    vault(&place);
    other.write("vault/kept.md", "A kept barnacle.\n");
    other.index(&other.path().join("vault"));
    let mut client = place.stdio(&[]);
    lives(&mut client);
    std::fs::rename(place.data(), place.path().join("former")).expect("moved away");
    std::fs::rename(other.data(), place.data()).expect("moved here");
    poll("the other index", PATIENCE, || {
        let found = asked(&mut client, "barnacle").ok()?;
        (paths(&found) == ["kept.md"] && found["fresh"] == true).then_some(())
    });
    // And it is watched and written.
    other.write("vault/late.md", "A late periwinkle.\n");
    poll("what is new in it", PATIENCE, || {
        (paths(&asked(&mut client, "periwinkle").ok()?) == ["late.md"]).then_some(())
    });
    let found = asked(&mut client, "walrus").expect("an answer");
    assert!(paths(&found).is_empty(), "from the former one: {found}");
    assert!(client.end().success());
    doctor(&place);
}

/// Names in the folder of the index that begin so.
fn in_index(place: &Place, beginning: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(place.data().join("index")).expect("a folder");
    let begins =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(beginning);
    entries.flatten().filter(begins).map(|entry| entry.path()).collect()
}

#[test]
fn words_damaged_under_a_server_heal_by_themselves() {
    let place = Place::new();
    vault(&place);
    let mut client = place.stdio(&[]);
    poll("freshness", PATIENCE, || {
        (client.answered("index_status", json!({}))["fresh"] == true).then_some(())
    });
    for entry in std::fs::read_dir(place.data().join("index/words")).expect("words").flatten() {
        if entry.path().extension().is_some_and(|e| e == "term") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    // Another process reads beside the server, and meets it first.
    let search = ["search", "walrus", "--no-refresh"];
    let (code, found, said) = place.outcome(&search);
    assert!(code == 1 && said.contains("makes it anew"), "{code} {found} {said}");
    poll("new words", PATIENCE, || (place.outcome(&search).0 == 0).then_some(()));
    assert_eq!(in_index(&place, "words.damaged-").len(), 1);
    lives(&mut client);
    doctor(&place);
}

#[cfg(unix)]
#[test]
fn words_that_may_not_be_read_are_not_taken_for_damaged() {
    let place = Place::new();
    place.write("vault/tide.md", "The walrus counts anemones.\n");
    let folder = place.path().join("vault");
    let index = ["index", &folder.to_string_lossy(), "--wait", "--lexical-only"];
    assert_eq!(outcome(unprivileged(&place, &index)).0, 0);
    let list = place.data().join("index/words/meta.json");
    mode(&list, 0o000);
    let failed = outcome(unprivileged(&place, &["search", "walrus"]));
    mode(&list, 0o600);
    clear("search", &failed);
    assert!(failed.2.contains("meta.json"), "{}", failed.2);
    assert_eq!(in_index(&place, "words.damaged-").len(), 0);
    let (code, found, said) = outcome(unprivileged(&place, &["search", "walrus"]));
    assert!(code == 0 && found.contains("tide.md"), "{said}");
}

#[test]
fn two_processes_index_one_data_directory() {
    let place = Place::new();
    for n in 0..300 {
        place.write(&format!("one/{n}.md"), format!("# One {n}\n\nThe first folder.\n"));
        place.write(&format!("two/{n}.md"), format!("# Two {n}\n\nThe second folder.\n"));
    }
    for folders in [["one", "one"], ["one", "two"]] {
        let children = folders.map(|folder| {
            let folder = place.path().join(folder);
            let mut command = place.command(&["index", &folder.to_string_lossy(), "--wait"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("it starts")
        });
        let states = children.map(|mut child| {
            let until = Instant::now() + PATIENCE / 2;
            while child.try_wait().expect("a state").is_none() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
            // A process that hangs must not outlive the test.
            let _ = child.kill();
            child.wait().expect("the end")
        });
        assert!(states.iter().all(|s| s.success()), "{folders:?} at once: {states:?}");
    }
    doctor(&place);
    assert_eq!(documents(&place), 600);
}

/// A number below `bound` that differs from run to run.
fn random(bound: u128) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    (u128::from(RandomState::new().hash_one(0)) % bound.max(1)) as u64
}

#[test]
fn a_killed_indexing_leaves_an_index_that_heals() {
    let place = Place::new();
    let folder = place.path().join("notes");
    for n in 0..NOTES {
        let links = format!("[[note {}]] [[note {}]]", (n * 7) % NOTES, (n * 13) % NOTES);
        let text = format!("---\ntags: [t{}]\n---\n# Note {n}\n\nThe limpet {n}. {links}\n", n % 9);
        place.write(&format!("notes/{}/note {n}.md", n % 20), text);
    }
    let command = |data: &str| {
        let mut command = place.command(&["index", &folder.to_string_lossy(), "--wait"]);
        command.env("SYNOD_DATA", place.path().join(data));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let start = Instant::now();
    assert!(command("whole").status().expect("it runs").success());
    let whole = start.elapsed();
    for round in 0..long(5, 1_000) {
        let data = format!("data-{round}");
        let moment = Duration::from_micros(random(whole.as_micros()));
        let mut child = command(&data).spawn().expect("it starts");
        std::thread::sleep(moment);
        child.kill().expect("killed");
        ended(&mut child, PATIENCE);
        let said = format!("killed after {moment:?} of {whole:?}");
        let run = |args: &[&str]| {
            let mut command = place.command(args);
            command.env("SYNOD_DATA", place.path().join(&data));
            outcome(command)
        };
        let (code, _, stderr) = run(&["call", "search", r#"{"query": "limpet"}"#]);
        assert_eq!(code, 0, "{said}: search: {stderr}");
        let (code, _, stderr) = run(&["index", &folder.to_string_lossy()]);
        assert_eq!(code, 0, "{said}: index: {stderr}");
        let (code, stdout, stderr) = run(&["doctor"]);
        assert_eq!(code, 0, "{said}: doctor: {stdout}{stderr}");
        let (_, stdout, _) = run(&["call", "index_status", "{}"]);
        let status: Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(status["documents"], NOTES, "{said}");
        std::fs::remove_dir_all(place.path().join(&data)).expect("removed");
    }
}

#[test]
fn an_index_that_a_newer_program_wrote_is_only_read() {
    let place = Place::new();
    let folder = vault(&place);
    let database = place.data().join("index/index.db");
    crate::program::sql(&database, "UPDATE meta SET value=99 WHERE key='reading'");
    let mut client = place.stdio(&[]);
    lives(&mut client);
    let status = poll("a word about it", PATIENCE, || {
        let status = client.answered("index_status", json!({}));
        status["indexing"]["reads_only"].is_string().then_some(status)
    });
    assert!(status["indexing"]["reads_only"].to_string().contains("newer"), "{status}");
    assert_eq!(status["fresh"], false, "nobody looks at the files: {status}");
    let failed = place.outcome(&["index", &folder.to_string_lossy()]);
    clear("index", &failed);
    assert!(failed.2.contains("newer"), "{}", failed.2);
    let found = place.call("search", json!({"query": "walrus"}));
    assert_eq!((paths(&found), &found["fresh"]), (vec!["tide.md".to_owned()], &json!(false)));
    doctor(&place);
    assert!(!place.data().join("index/writer.beat").exists(), "somebody wrote");
    assert!(client.end().success());
    let rows = "SELECT value FROM meta WHERE key='reading' UNION SELECT min(size) FROM file";
    let kept = crate::program::sql(&database, rows);
    assert!(kept.contains("(99,)") && !kept.contains("-1"), "it was read anew: {kept}");
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_pending_until_it_was_tried_again() {
    let place = Place::new();
    place.write("vault/open.md", "An open note on barnacles.\n");
    place.write("vault/inner/note.md", "An inner note on urchins.\n");
    let closed = place.write("vault/closed.md", "A closed note on limpets.\n");
    mode(&closed, 0o000);
    let folder = place.path().join("vault").display().to_string();
    let args = ["index", &folder, "--wait", "--lexical-only"];
    let (code, _, stderr) = outcome(unprivileged(&place, &args));
    assert_eq!(code, 1, "a file cannot be read: {stderr}");
    let server = Server::of(unprivileged(&place, &["serve", "--http", "127.0.0.1:0"]));
    let get = |path: &str| crate::http::get(server.address, path).json();
    let pending = |what: &str| {
        poll(what, PATIENCE, || {
            let status = get("/v1/index");
            let source = &status["sources"][0];
            let said = source["pending"] == 1 && source["n_errors"] == 1;
            (said && status["pending"] == 1 && status["fresh"] == false).then_some(())
        });
    };
    let fresh = |what: &str| {
        poll(what, PATIENCE, || {
            let status = get("/v1/index");
            (status["fresh"] == true && status["sources"][0]["n_errors"] == 0).then_some(())
        });
    };
    pending("a file that waits");
    mode(&closed, 0o644);
    fresh("freshness");
    assert_eq!(paths(&get("/v1/search?q=limpets")), ["closed.md"]);
    // An event about a folder that cannot be read.
    let inner = place.path().join("vault/inner");
    mode(&inner, 0o000);
    pending("a folder that waits");
    mode(&inner, 0o755);
    fresh("freshness again");
    assert_eq!(paths(&get("/v1/search?q=urchins")), ["inner/note.md"]);
}

#[test]
fn a_request_that_ends_its_process_is_given_up() {
    let place = Place::new();
    let text = "tide and moon and shore ".repeat(60);
    for n in 0..6_000 {
        place.write(&format!("vault/n{n}.md"), format!("# Note {n}\n\n{text}\n"));
    }
    let folder = place.path().join("vault").display().to_string();
    let file = place.write("synod.toml", format!("[access]\nadd_roots = [{folder:?}]\n"));
    let file = file.display().to_string();
    let server = || place.stdio(&["--allow-write", "--config", &file]);
    let mut client = server();
    let left = client.answered("ingest", json!({"op": "add", "path": folder}));
    let id = left["job"].as_str().expect("a job").to_owned();
    for _ in 0..synod_store::ATTEMPTS_MAX {
        poll("the request in hand", PATIENCE, || {
            client.answered("index_status", json!({}))["indexing"]["done"].as_u64()
        });
        // Killed.
        drop(client);
        client = server();
    }
    let job = |client: &mut Client| -> Value {
        client.answered("index_status", json!({ "job": id }))["jobs"][0].clone()
    };
    let ended = poll("its end", PATIENCE, || {
        let job = job(&mut client);
        (job["state"] != "running" && job["state"] != "pending").then_some(job)
    });
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(ended["result"].to_string().contains("lost 5 times"), "{ended}");
    // Whoever comes behind it is served.
    let pushed = json!({"op": "push", "path": "x.md", "content": "narwhal", "wait": true});
    assert_eq!(client.answered("ingest", pushed)["state"], "succeeded");
}

#[test]
fn pdfs_are_read_by_a_process_of_their_own() {
    use std::io::Write;
    let place = Place::new();
    vault(&place);
    let paper = crate::index::kinds::pdf("the marmoset paper");
    place.write("vault/paper.pdf", &paper);
    place.write("vault/broken.pdf", "%PDF-1.4\nnothing");
    let mut client = place.stdio(&[]);
    poll("the paper", PATIENCE, || (hits(&mut client, "marmoset") == ["paper.pdf"]).then_some(()));
    assert_eq!(hits(&mut client, "broken"), ["broken.pdf"]);
    lives(&mut client);
    // What that process answers; nothing of the person's is read for it.
    let read = |bytes: &[u8]| {
        let mut command = place.command(&["extract-pdf"]);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("stdin").write_all(bytes).expect("written");
        let output = child.wait_with_output().expect("an end");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(read(paper.as_bytes()), "+the marmoset paper\n");
    assert_eq!(read(b"plain text"), "-is no PDF");
}
