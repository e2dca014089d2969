//! Nothing is lost: processes that are killed at any moment, file systems that fail at any step,
//! disks that are full. Afterwards the index is the old or the new one, and then the fresh one.

use super::index::{Answers, recovered};
use super::program::{
    Client, PATIENCE, Place, Server, copy, ended, long, outcome, poll, root, sql,
};
use super::provider::{self, configure};
use super::soak::{Dice, NOTES, Truth, change, listed, word, write};
use super::system::{bytes_below, bytes_read};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Notes that stay as they are, and the bytes of each: reading them again would show.
const STILL: (u64, usize) = (300, 16 * 1024);
/// From the start of a process to its end by force, at most.
const LIFE_MS: u64 = 250;
/// How a file system fails, as `shim.c` knows it.
const HOWS: [&str; 4] = ["kill", "torn", "full", "broken"];
/// While one source does not answer, nobody waits longer for what is said of others.
const PROMPT: Duration = Duration::from_secs(2);
/// What is searched in the vault of failing file systems; each stands in few notes.
const WORDS: &[&str] = &["walrus", "barnacle", "number3", "number5", "number7", "number9", "m9"];

/// A configuration with the vault as its source.
fn config(place: &Place) -> String {
    let folder = place.path().join("vault").display().to_string();
    let file = place.write("synod.toml", format!("[[source]]\npath = {folder:?}\n"));
    file.display().to_string()
}

pub fn status(server: &Server) -> Value {
    super::http::get(server.address, "/v1/index").json()
}

/// Waits until the index is said to be fresh; what it lacks and what the server said are told.
pub fn fresh(server: &Server) {
    let until = Instant::now() + PATIENCE;
    loop {
        let said = status(server);
        if said["fresh"] == true {
            return;
        }
        let late = Instant::now() >= until;
        assert!(!late, "not fresh within {PATIENCE:?}: {said}; stderr: {}", server.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Paths of what has a word.
pub fn having(server: &Server, word: &str) -> Vec<String> {
    let found = super::http::get(server.address, &format!("/v1/search?q=%2B{word}")).json();
    let hits = found["hits"].as_array().unwrap_or_else(|| panic!("{word}: {found}")).iter();
    hits.filter_map(|hit| hit["path"].as_str().map(str::to_owned)).collect()
}

fn doctor(place: &Place, data: &Path, what: &str) {
    let mut command = place.command(&["doctor"]);
    command.env("SYNOD_DATA", data);
    let (code, said, why) = outcome(command);
    assert_eq!(code, 0, "{what}: {said}{why}");
}

/// Bytes that a server reads from its start to its first word of being fresh.
fn read_at_start(place: &Place, config: &str) -> u64 {
    let server = place.http(&["--config", config], &[]);
    fresh(&server);
    bytes_read(server.child.id())
}

#[test]
fn processes_killed_at_any_moment_lose_nothing_and_read_nothing_twice() {
    let place = Place::new();
    let vault = place.path().join("vault");
    let (mut truth, mut dice) = (Truth::new(), Dice(11));
    for n in 0..NOTES {
        write(&vault, &mut truth, format!("folder{}/note{n}.md", n % 12), n, &mut dice);
    }
    let mut still = Truth::new();
    for n in 0..STILL.0 {
        let (path, name) = (format!("still/{n}.md"), word(1_000_000 + n));
        let text = format!("# {name}\n\n{}\n", "ebb ".repeat(STILL.1 / 4));
        place.write(&format!("vault/{path}"), text);
        still.insert(path, name);
    }
    place.index(&vault);
    let config = config(&place);
    let args = ["serve", "--http", "127.0.0.1:0", "--config", &config];
    let mut n = NOTES;
    for _ in 0..long(50, 1_000) {
        let mut command = place.command(&args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let until = Instant::now() + Duration::from_millis(dice.roll(LIFE_MS));
        while Instant::now() < until {
            n += 1;
            change(&vault, &mut truth, n, &mut dice);
            std::thread::sleep(Duration::from_millis(dice.roll(20)));
        }
        child.kill().expect("killed");
        ended(&mut child, PATIENCE);
    }
    truth.extend(still);
    let server = place.http(&["--config", &config], &[]);
    fresh(&server);
    assert_eq!(listed(server.address), truth.keys().cloned().collect::<Vec<_>>());
    for (path, word) in &truth {
        assert_eq!(having(&server, word), std::slice::from_ref(path), "{word}");
    }
    let words: Vec<&str> = truth.values().step_by(40).map(String::as_str).collect();
    Answers::of_data(&place.data(), &words).assert_same(&Answers::of_fresh(&vault, &words));
    drop(server);
    doctor(&place, &place.data(), "after all");
    // What was written in the moment it was read is read once more, then nothing is.
    read_at_start(&place, &config);
    // The databases are read, and grow with the changes: once, without the logs that whoever is
    // killed leaves as they are.
    let databases = ["index/index.db", "state.db"].map(|name| place.data().join(name));
    let size = |database: &PathBuf| {
        sql(database, "PRAGMA wal_checkpoint(TRUNCATE)");
        std::fs::metadata(database).expect("a database").len()
    };
    let own: u64 = databases.iter().map(size).sum();
    let (read, all) = (read_at_start(&place, &config), bytes_below(&vault));
    eprintln!(
        "{} changes; {read} bytes read by a restart, {own} are its own; notes {all}",
        n - NOTES
    );
    let read = read.saturating_sub(own);
    assert!(read < all / 5, "{read} bytes were read of {all} that are indexed");
}

/// What the scripted model means by these notes, and by what is asked.
pub const MEANT: [(&str, &str); 4] =
    [("automobile", "car"), ("loaves", "bread"), ("choir", "singing"), ("stone", "stone")];

/// Paths and scores of what is found by meaning, or nothing while something waits for its vector.
pub fn meant(found: &Value) -> Option<Vec<(String, String)>> {
    let whole = found["fresh"] == true && found["degraded"] == json!([]);
    if !whole || found["notes"].as_array().is_some_and(|notes| !notes.is_empty()) {
        return None;
    }
    let hits = found["hits"].as_array()?.iter();
    let mut out: Vec<_> =
        hits.map(|hit| (hit["path"].to_string(), hit["score"].to_string())).collect();
    out.sort();
    Some(out)
}

#[test]
fn processes_killed_while_they_embed_lose_no_vector_and_make_few_twice() {
    let model = provider::Server::start(provider::Script::default());
    let place = Place::new();
    let (mut dice, mut n) = (Dice(13), 0);
    let mut save = |dice: &mut Dice| {
        let (name, meaning) = (dice.roll(40), MEANT[dice.roll(4) as usize].0);
        let text = format!("# Note {name}\n\nA {meaning}, and {}.\n", word(n));
        place.write(&format!("vault/k{name}.md"), text);
        n += 1;
    };
    (0..60).for_each(|_| save(&mut dice));
    let vault = place.path().join("vault").display().to_string();
    let source = format!("[[source]]\npath = {vault:?}\n");
    let config = configure(&place, "ollama", &model.url, &source);
    model.change(|script| script.pace = Duration::from_millis(5));
    let rounds = long(10, 300);
    for _ in 0..rounds {
        let mut command = place.command(&["serve", "--http", "127.0.0.1:0", "--config", &config]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        // Measuring the model alone takes some of this.
        let until = Instant::now() + Duration::from_millis(200 + dice.roll(1_000));
        while Instant::now() < until {
            save(&mut dice);
            std::thread::sleep(Duration::from_millis(dice.roll(60)));
        }
        child.kill().expect("killed");
        ended(&mut child, PATIENCE);
    }
    model.change(|script| script.pace = Duration::ZERO);
    let asks = MEANT.map(|(_, query)| format!("/v1/search?q={query}&mode=semantic&limit=50"));
    let server = place.http(&["--config", &config], &[]);
    let found = asks
        .map(|ask| poll(&ask, PATIENCE, || meant(&super::http::get(server.address, &ask).json())));
    drop(server);
    doctor(&place, &place.data(), "after all");
    // Passages have a line for what they stand under; the model's own questions have none.
    let mut times = std::collections::BTreeMap::<String, u64>::new();
    for text in model.script().texts.into_iter().filter(|text| text.contains('\n')) {
        *times.entry(text).or_default() += 1;
    }
    let twice: u64 = times.values().map(|n| n - 1).sum();
    eprintln!("{} texts in {rounds} rounds, {twice} of them once more", times.len());
    // What was on its way when it was killed, and no more.
    assert!(twice <= 16 * rounds, "{twice} texts were embedded again in {rounds} rounds");
    // An index that was never killed means the same.
    let other = place.path().join("other");
    let mut command = place.command(&["index", &vault, "--wait", "--config", &config]);
    command.env("SYNOD_DATA", &other);
    let (code, said, why) = outcome(command);
    assert_eq!(code, 0, "{said}{why}");
    for ((_, query), found) in MEANT.iter().zip(found) {
        let ask = json!({"query": query, "mode": "semantic", "limit": 50}).to_string();
        let mut command = place.command(&["call", "search", &ask, "--config", &config]);
        command.env("SYNOD_DATA", &other);
        let (code, said, why) = outcome(command);
        assert_eq!(code, 0, "{query}: {said}{why}");
        let whole: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(meant(&whole), Some(found), "{query}");
    }
}

#[test]
fn a_killed_bulk_run_keeps_what_it_committed() {
    // Many more than one commit takes, and text enough to tell whether it is read again.
    let (notes, batch) = (synod_index::limit::BATCH_FILES_MAX + 3_000, "ebb and flow ".repeat(500));
    let place = Place::new();
    for n in 0..notes {
        place.write(&format!("vault/{}/n{n}.md", n % 100), format!("number{n}\n{batch}\n"));
    }
    let vault = place.path().join("vault");
    // Nothing of it is of this moment, for that would be read again in any case.
    std::thread::sleep(synod_index::limit::RACY);
    let config = config(&place);
    let mut server = place.http(&["--config", &config], &[]);
    // Found, not only counted: rows are committed a moment before words.
    let done = poll("most of it", PATIENCE, || {
        let found = super::http::get(server.address, "/v1/search?q=%2Bebb&limit=1").json();
        found["total"].as_u64().filter(|total| *total >= synod_index::limit::BATCH_FILES_MAX as u64)
    });
    server.child.kill().expect("killed");
    ended(&mut server.child, PATIENCE);
    let all = bytes_below(&vault);
    let left = all / notes as u64 * (notes as u64 - done);
    let (read, quiet) = (read_at_start(&place, &config), read_at_start(&place, &config));
    eprintln!("killed with {done} of {notes}, {left} bytes left: {read} read, then {quiet}");
    // Writing reads some pages of the database too.
    let most = quiet + left + (all - left) / 3;
    assert!(read < most, "{read} bytes read where {left} were left and {quiet} are always read");
    assert!(quiet < all / 3, "{quiet} bytes read of {all} that are indexed");
    doctor(&place, &place.data(), "afterwards");
    assert_eq!(place.call("index_status", json!({}))["documents"], notes);
}

/// Compiles the file system that fails.
pub fn shim(place: &Place) -> PathBuf {
    let library = place.path().join("shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library);
    compiler.arg(root().join("tests/it/shim.c")).args(["-ldl", "-lpthread"]);
    let (code, _, why) = outcome(compiler);
    assert_eq!(code, 0, "{why}");
    library
}

/// A data directory whose file system fails from one call on.
struct Failing {
    place: Place,
    shim: PathBuf,
    data: PathBuf,
    /// What is said to whoever indexes besides.
    with: Vec<String>,
}

/// Changes of every sort to the notes of its vault.
pub fn change_all(place: &Place) {
    let at = |name: &str| place.path().join("vault").join(name);
    place.write("vault/n3.md", "# Note 3\n\nedited walrus [[n5]]\n");
    place.write("vault/new.md", "barnacle\n");
    std::fs::remove_file(at("n7.md")).expect("removed");
    std::fs::rename(at("n9.md"), at("m9.md")).expect("renamed");
}

impl Failing {
    fn new() -> Failing {
        let place = Place::new();
        for n in 0..30 {
            let text = format!("# Note {n}\n\nnumber{n} [[n{}]]\n\n", (n * 7) % 30);
            place.write(&format!("vault/n{n}.md"), text + &"tide and moon ".repeat(50));
        }
        let (shim, data) = (shim(&place), place.path().join("failing"));
        Failing { place, shim, data, with: vec!["--lexical-only".to_owned()] }
    }

    fn vault(&self) -> PathBuf {
        self.place.path().join("vault")
    }

    /// Indexes into a copy of `before` (or an empty folder) while call `at` and all after it fail;
    /// exit code, stderr, and how many calls there were.
    fn index(&self, before: Option<&Path>, at: u64, how: &str) -> (i32, String, Option<u64>) {
        let _ = std::fs::remove_dir_all(&self.data);
        if let Some(before) = before {
            copy(before, &self.data);
        }
        let count = self.place.path().join("count");
        let _ = std::fs::remove_file(&count);
        let vault = self.vault().display().to_string();
        let mut command = self.place.command(&["index", &vault, "--wait"]);
        command.args(&self.with);
        command.env("SYNOD_DATA", &self.data).env("LD_PRELOAD", &self.shim);
        command.env("SHIM_DIR", &self.data).env("SHIM_COUNT", &count);
        command.env("SHIM_FAIL", at.to_string()).env("SHIM_HOW", how);
        let (code, _, why) = outcome(command);
        let calls = std::fs::read_to_string(count).ok();
        (code, why, calls.and_then(|text| text.trim().parse().ok()))
    }

    /// A command without failures.
    fn sound(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = self.place.command(args);
        command.env("SYNOD_DATA", &self.data);
        outcome(command)
    }

    /// Every step fails once, in each way in a long run and in turns in a short one.
    fn sweep(&self, before: Option<&Path>, points: u64) {
        let old = before.map(recovered).unwrap_or_default();
        let (code, why, calls) = self.index(before, 0, "full");
        assert_eq!(code, 0, "{why}");
        let calls = calls.expect("a count");
        assert!(calls > 100, "only {calls} calls were seen: the shim sees too little");
        let new = recovered(&self.data);
        let expected = Answers::of_fresh(&self.vault(), WORDS);
        let step = long((calls / points).max(1), 1);
        for (turn, at) in (1..=calls).step_by(step as usize).enumerate() {
            let turn = turn % HOWS.len();
            let hows = if long(0, 1) == 0 { &HOWS[turn..=turn] } else { &HOWS[..] };
            for how in hows {
                let what = format!("{how} at call {at} of {calls}");
                let (code, why, _) = self.index(before, at, how);
                let killed = code == 137;
                assert!(killed || code == 0 || code == 1, "{what}: {code} {why}");
                assert!(!why.contains("panicked"), "{what}: {why}");
                let (_, _, why) = self.sound(&["search", "--no-refresh", "tide"]);
                assert_eq!(why, "", "{what}: a search");
                let found = recovered(&self.data);
                assert!(found == old || found == new, "{what}: neither old nor new: {found:?}");
                let vault = self.vault().display().to_string();
                let (code, _, why) = self.sound(&["index", &vault, "--lexical-only"]);
                assert_eq!(code, 0, "{what}: {why}");
                doctor(&self.place, &self.data, &what);
                Answers::of_data(&self.data, WORDS).assert_same(&expected);
            }
        }
    }
}

#[test]
fn a_file_system_that_fails_at_any_step_of_a_first_index_leaves_a_sound_one() {
    Failing::new().sweep(None, 16);
}

#[test]
fn a_file_system_that_fails_at_any_step_of_a_commit_leaves_the_old_or_the_new_index() {
    let failing = Failing::new();
    failing.place.index(&failing.vault());
    change_all(&failing.place);
    failing.sweep(Some(failing.place.data().as_path()), 16);
}

#[test]
fn a_file_system_that_fails_at_any_step_of_embedding_leaves_words_and_then_the_same_vectors() {
    let model = provider::Server::start(provider::Script::default());
    let mut failing = Failing::new();
    for n in 0..30 {
        let text = format!("# Note {n}\n\nA {}, number{n}.\n", MEANT[n % 4].0);
        failing.place.write(&format!("vault/n{n}.md"), text);
    }
    failing.place.index(&failing.vault());
    let before = failing.place.data();
    let config = configure(&failing.place, "ollama", &model.url, "");
    failing.with = vec!["--config".to_owned(), config.clone()];
    let vault = failing.vault().display().to_string();
    let ask = json!({"query": "car", "mode": "semantic", "limit": 50}).to_string();
    let found = |what: &str| {
        let (code, said, why) = failing.sound(&["call", "search", &ask, "--config", &config]);
        assert_eq!(code, 0, "{what}: {why}");
        meant(&serde_json::from_str(&said).expect("JSON"))
    };
    let (code, why, calls) = failing.index(Some(&before), 0, "full");
    assert_eq!(code, 0, "{why}");
    let (calls, expected) = (calls.expect("a count"), found("without a failure"));
    assert_eq!(expected.as_ref().map(Vec::len), Some(30));
    let step = long((calls / 10).max(1), 1);
    for (turn, at) in (1..=calls).step_by(step as usize).enumerate() {
        let how = HOWS[turn % HOWS.len()];
        let what = format!("{how} at call {at} of {calls}");
        let (code, why, _) = failing.index(Some(&before), at, how);
        assert!([0, 1, 137].contains(&code) && !why.contains("panicked"), "{what}: {code} {why}");
        let (code, said, why) = failing.sound(&["search", "--no-refresh", "number7"]);
        assert!(code == 0 && said.contains("n7.md"), "{what}: {said}{why}");
        let (code, _, why) = failing.sound(&["index", &vault, "--wait", "--config", &config]);
        assert_eq!(code, 0, "{what}: {why}");
        doctor(&failing.place, &failing.data, &what);
        assert_eq!(found(&what), expected, "{what}");
    }
}

/// Whether this is a place where file systems may be mounted, for one process alone.
fn mounts() -> bool {
    let done = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

/// A command that runs behind a mount which only it sees.
fn behind(place: &Place, mount: &str, args: &[&str]) -> Command {
    let known = place.command(args);
    let mut command = Command::new("unshare");
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    command.args(["-m", "sh", "-c", &script]).arg(known.get_program()).args(known.get_args());
    for (name, value) in known.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The failure names the data directory and what is wrong with it, in words for who can mend it.
fn clear(place: &Place, what: &str, why: &str, words: &[&str]) {
    assert!(why.starts_with("synod: "), "{what}: {why:?}");
    let low = why.to_lowercase();
    assert!(!low.contains("internal error") && !low.contains("panicked"), "{what}: {why:?}");
    let said = words.iter().any(|word| low.contains(word));
    assert!(said, "{what}: not a word of {words:?}: {why:?}");
    let folder = place.path().display().to_string();
    assert!(why.contains(&folder), "{what}: no word of where: {why:?}");
}

#[test]
fn a_full_disk_is_named_at_every_step() {
    let failing = Failing::new();
    let (_, _, calls) = failing.index(None, 0, "full");
    let calls = calls.expect("a count");
    let mut said = Vec::new();
    for at in (1..=calls).step_by((calls / 12) as usize) {
        let (code, why, _) = failing.index(None, at, "full");
        if code != 0 {
            said.push((format!("call {at}"), why));
        }
    }
    assert!(said.len() > 6, "hardly anything failed: {said:?}");
    for (what, why) in &said {
        clear(&failing.place, what, why, &["space", "full"]);
    }
}

/// Makes the data directory a read-only disk, for one process alone.
const READ_ONLY: &str = "mount --bind \"$SYNOD_DATA\" \"$SYNOD_DATA\" \
                         && mount -o remount,ro,bind \"$SYNOD_DATA\"";

/// The document is found on a read-only disk, and everything says that it stays as it is.
fn found_on_a_read_only_disk(place: &Place, how: &str, word: &str, document: &str) {
    let run = |args: &[&str]| {
        let mut command = behind(place, READ_ONLY, args);
        command.stdin(Stdio::null());
        outcome(command)
    };
    let (code, said, why) = run(&["search", word]);
    assert_eq!((code, why.as_str()), (0, ""), "{how}: {said}");
    assert!(said.contains(document) && said.contains("stays as it is"), "{how}: {said}");
    let (code, said, why) = run(&["call", "index_status"]);
    assert_eq!(code, 0, "{how}: {why}");
    let status: Value = serde_json::from_str(&said).expect("JSON");
    assert!(status["fresh"] == false && status["pending"] == 0, "{how}: {status}");
    assert!(status["degraded"].to_string().contains("freshness"), "{how}: {status}");
    assert!(status["indexing"]["reads_only"].to_string().contains("read-only"), "{status}");
    let (code, said, why) = run(&["doctor"]);
    assert!(code == 0 && said.contains("cannot be written"), "{how}: {said}{why}");
    let vault = place.path().join("vault").display().to_string();
    let add = json!({ "op": "add", "path": vault });
    for args in [
        &["index", &vault][..],
        &["index"],
        &["doctor", "--repair"],
        &["token", "add", "ada"],
        &["call", "ingest", &add.to_string()],
        &["call", "session", r#"{"op":"create"}"#],
        &["call", "orchestrate", r#"{"question":"why"}"#],
    ] {
        let (code, said, why) = run(args);
        assert_eq!(code, 1, "{how}, {args:?}: {said}");
        clear(place, &format!("{how}, {args:?}"), &why, &["read-only"]);
    }
    let args = ["serve", "--stdio", "--allow-write"];
    let mut client = Client::of(behind(place, READ_ONLY, &args));
    client.initialize("2025-11-25");
    let found = client.answered("search", json!({ "query": word }));
    assert_eq!(found["hits"][0]["path"], document, "{how}: {found}");
    assert!(found["fresh"] == false && found["degraded"].to_string().contains("freshness"));
    assert!(client.refused("ingest", add).contains("read-only"), "{how}");
    let again = client.answered("search", json!({ "query": word }));
    assert_eq!(again["hits"][0]["path"], document, "{how}: {again}");
}

#[test]
fn an_index_on_a_read_only_disk_is_searched_and_never_written() {
    if !mounts() {
        eprintln!("nothing may be mounted here");
        return;
    }
    let place = Place::new();
    place.write("vault/tide.md", "The walrus counts anemones.\n");
    place.index(&place.path().join("vault"));
    found_on_a_read_only_disk(&place, "closed", "walrus", "tide.md");
    // Whoever is killed leaves commits in the log of the database.
    let mut server = place.http(&["--config", &config(&place)], &[]);
    fresh(&server);
    place.write("vault/late.md", "A periwinkle, saved last.\n");
    poll("the note", PATIENCE, || (having(&server, "periwinkle") == ["late.md"]).then_some(()));
    server.child.kill().expect("killed");
    ended(&mut server.child, PATIENCE);
    let index = place.data().join("index");
    let log = index.join("index.db-wal").metadata().expect("a log");
    assert!(log.len() > 0, "nothing is in the log");
    // Its last sign of life is young for some seconds.
    let _ = std::fs::remove_file(index.join("writer.beat"));
    found_on_a_read_only_disk(&place, "killed", "periwinkle", "late.md");
    // Copies may leave out what SQLite makes again where it can.
    for log in [index.join("index.db-shm"), place.data().join("state.db-shm")] {
        std::fs::remove_file(log).expect("removed");
    }
    found_on_a_read_only_disk(&place, "copied", "periwinkle", "late.md");
    // Where it can be written again it goes on.
    doctor(&place, &place.data(), "writable again");
    place.write("vault/more.md", "A limpet.\n");
    let (code, said, why) = place.outcome(&["search", "limpet"]);
    assert!(code == 0 && said.contains("more.md"), "{said}{why}");
}

/// A disk that can be filled and emptied while a server runs on it.
enum Disk {
    /// The shim, for as long as this file is there.
    Shim(PathBuf),
    /// A file system of a few megabytes, by the path under which this process sees it.
    Small(PathBuf),
}

impl Disk {
    fn fill(&self) {
        match self {
            Disk::Shim(gate) => std::fs::write(gate, "").expect("written"),
            Disk::Small(filler) => {
                let mut file = std::fs::File::create(filler).expect("a file");
                let page = [b'x'; 4096];
                while std::io::Write::write_all(&mut file, &page).is_ok() {}
            }
        }
    }

    fn free(&self) {
        let (Disk::Shim(path) | Disk::Small(path)) = self;
        std::fs::remove_file(path).expect("removed");
    }
}

/// A server whose data directory lies on such a disk.
fn on_disk(place: &Place, small: bool, config: &str) -> (Server, Disk) {
    let args = ["serve", "--http", "127.0.0.1:0", "--config", config];
    if small {
        std::fs::create_dir_all(place.data()).expect("a folder");
        let mount = "mount -t tmpfs -o size=6m tmpfs \"$SYNOD_DATA\"";
        let server = Server::of(behind(place, mount, &args));
        let inside = format!("/proc/{}/root{}/filler", server.child.id(), place.data().display());
        return (server, Disk::Small(PathBuf::from(inside)));
    }
    let gate = place.path().join("full");
    let mut command = place.command(&args);
    command.env("LD_PRELOAD", shim(place)).env("SHIM_DIR", place.data());
    command.env("SHIM_FAIL", "1").env("SHIM_HOW", "full").env("SHIM_WHILE", &gate);
    (Server::of(command), Disk::Shim(gate))
}

#[test]
fn a_server_on_a_full_disk_answers_and_heals_when_there_is_room() {
    let kinds: &[bool] = if mounts() { &[false, true] } else { &[false] };
    for small in kinds {
        let place = Place::new();
        let note = |n: usize| {
            let text = format!("# Note {n}\n\nperiwinkle number{n}\n\n{}\n", "tide ".repeat(400));
            place.write(&format!("vault/n{n}.md"), text);
        };
        (0..30).for_each(note);
        let (server, disk) = on_disk(&place, *small, &config(&place));
        fresh(&server);
        disk.fill();
        (30..60).for_each(note);
        place.write("vault/n3.md", "walrus\n");
        poll("no word of fresh", PATIENCE, || (status(&server)["fresh"] == false).then_some(()));
        // Over some attempts of the writer.
        let until = Instant::now() + Duration::from_millis(2_500);
        while Instant::now() < until {
            assert_eq!(status(&server)["fresh"], false, "{}", server.stderr());
            assert_eq!(having(&server, "number5"), ["n5.md"], "what was there is found");
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = server.stderr();
        assert!(said.contains("full") || said.contains("space"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        disk.free();
        fresh(&server);
        assert_eq!(having(&server, "walrus"), ["n3.md"]);
        assert_eq!(having(&server, "number45"), ["n45.md"]);
        assert_eq!(status(&server)["documents"], 60);
    }
}

/// A server over a near source and a far one, whose file system hangs while a file is there; and
/// that file.
fn far_and_near(place: &Place) -> (Command, PathBuf) {
    let folder = |name: &str| place.path().join(name).display().to_string();
    let source =
        |name: &str| format!("[[source]]\npath = {:?}\nwatch = \"events\"\n", folder(name));
    let config = place.write("synod.toml", source("near") + &source("far"));
    let gate = place.path().join("hangs");
    let config = config.display().to_string();
    let mut command = place.command(&["serve", "--http", "127.0.0.1:0", "--config", &config]);
    command.env("LD_PRELOAD", shim(place)).env("SHIM_HANG", folder("far"));
    command.env("SHIM_HANG_WHILE", &gate);
    (command, gate)
}

/// What a server answers, in time.
fn prompt(server: &Server, path: &str) -> super::http::Reply {
    let start = Instant::now();
    let said = super::http::get(server.address, path);
    assert!(start.elapsed() < PROMPT, "{path}: {:?}", start.elapsed());
    said
}

/// How changes of a source are noticed.
pub fn watched(server: &Server, name: &str) -> String {
    let said = prompt(server, "/v1/index").json();
    let sources = said["sources"].as_array().unwrap_or_else(|| panic!("{said}"));
    let source = sources.iter().find(|source| source["name"] == name);
    source.unwrap_or_else(|| panic!("{said}"))["watched"].as_str().unwrap_or_default().to_owned()
}

pub fn gone_silent(server: &Server) {
    let silent = || (watched(server, "far") == "does not answer").then_some(());
    poll("a word about it", PATIENCE, silent);
    assert_eq!(status(server)["fresh"], false);
}

/// A save in the near source is found, and what it replaced no more.
pub fn saved(place: &Place, server: &Server, word: &str) {
    place.write("near/a.md", format!("# Near\n\n{word}\n"));
    poll(word, PATIENCE, || (having(server, word) == ["a.md"]).then_some(()));
}

#[test]
fn a_source_that_does_not_answer_holds_up_no_other() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    place.write("far/b.md", "# Far\n\nbarnacle\n");
    let (command, gate) = far_and_near(&place);
    let server = Server::of(command);
    fresh(&server);
    std::fs::write(&gate, "").expect("written");
    let found = prompt(&server, "/v1/search?q=%2Bwalrus").json();
    assert_eq!(found["hits"][0]["path"], "a.md", "{found}");
    gone_silent(&server);
    assert_eq!(watched(&server, "near"), "events");
    // What is known of it is shown, and nothing that would have to be read.
    let found = prompt(&server, "/v1/search?q=barnacle%20walrus").json();
    let hits = found["hits"].as_array().expect("hits");
    let of = |path: &str| hits.iter().find(|hit| hit["path"] == path).expect("a hit");
    assert!(of("a.md")["snippet"].to_string().contains("walrus"), "{found}");
    assert!(of("b.md")["snippet"].to_string().contains("does not answer"), "{found}");
    assert!(found["notes"].to_string().contains("source `far`"), "{found}");
    let read = prompt(&server, "/v1/documents/far/b.md");
    assert!(read.status == 422 && read.body.contains("does not answer"), "{read:?}");
    for word in ["limpet", "periwinkle", "anemone"] {
        saved(&place, &server, word);
    }
    place.write("far/c.md", "whelk\n");
    std::fs::remove_file(&gate).expect("removed");
    fresh(&server);
    assert_eq!(watched(&server, "far"), "events");
    assert_eq!(having(&server, "whelk"), ["c.md"]);
    let found = prompt(&server, "/v1/search?q=%2Bbarnacle").json();
    assert!(found["hits"][0]["snippet"].to_string().contains("barnacle"), "{found}");
    // It is watched from then on.
    place.write("far/c.md", "cockle\n");
    poll("an edit in it", PATIENCE, || (having(&server, "cockle") == ["c.md"]).then_some(()));
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

/// Notes of a source that falls silent while they are read.
const FAR: usize = 9_000;

#[test]
fn a_source_that_falls_silent_while_it_is_read_is_whole_once_it_answers() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    let text = "tide and moon and shore ".repeat(60);
    for n in 0..FAR {
        place.write(&format!("far/n{n}.md"), format!("# Note {n}\n\nnumber{n} {text}\n"));
    }
    let (command, gate) = far_and_near(&place);
    let server = Server::of(command);
    poll("some of it", PATIENCE, || {
        let run = status(&server)["indexing"].clone();
        (run["source"] == "far" && run["done"].as_u64()? > 0).then_some(())
    });
    std::fs::write(&gate, "").expect("written");
    // Those who read it are given up after a while, and nobody waits for that.
    saved(&place, &server, "limpet");
    gone_silent(&server);
    std::fs::remove_file(&gate).expect("removed");
    fresh(&server);
    assert_eq!(status(&server)["documents"], FAR + 1);
    assert_eq!(watched(&server, "far"), "events");
    for n in [0, FAR / 2, FAR - 1] {
        assert_eq!(having(&server, &format!("number{n}")), [format!("n{n}.md")]);
    }
    place.write("far/n0.md", "cockle\n");
    poll("an edit in it", PATIENCE, || (having(&server, "cockle") == ["n0.md"]).then_some(()));
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[test]
fn a_source_that_does_not_answer_when_it_is_configured_is_added_once_it_does() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    place.write("far/b.md", "# Far\n\nbarnacle\n");
    let (command, gate) = far_and_near(&place);
    std::fs::write(&gate, "").expect("written");
    let server = Server::of(command);
    saved(&place, &server, "limpet");
    let known = status(&server);
    assert_eq!((&known["documents"], &known["fresh"]), (&json!(1), &json!(false)));
    std::fs::remove_file(&gate).expect("removed");
    fresh(&server);
    assert_eq!(having(&server, "barnacle"), ["b.md"]);
    assert_eq!(watched(&server, "far"), "events");
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[test]
fn a_source_that_does_not_answer_at_the_start_keeps_its_documents() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    place.write("far/b.md", "# Far\n\nbarnacle\n");
    place.index(&place.path().join("near"));
    place.index(&place.path().join("far"));
    let (command, gate) = far_and_near(&place);
    std::fs::write(&gate, "").expect("written");
    place.write("near/new.md", "limpet\n");
    let server = Server::of(command);
    poll("a new note", PATIENCE, || (having(&server, "limpet") == ["new.md"]).then_some(()));
    gone_silent(&server);
    assert_eq!(having(&server, "barnacle"), ["b.md"]);
    assert_eq!(status(&server)["documents"], 3);
    saved(&place, &server, "periwinkle");
    place.write("far/b.md", "# Far\n\nwhelk\n");
    std::fs::remove_file(&gate).expect("removed");
    fresh(&server);
    assert_eq!(having(&server, "whelk"), ["b.md"]);
    assert_eq!(having(&server, "barnacle"), Vec::<String>::new());
}
