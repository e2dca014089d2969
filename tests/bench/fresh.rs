//! How soon the index is what the files are: saved notes while nothing else goes on and while all
//! is indexed, one file among many, starts, a branch switched, and clients that search meanwhile.
//!
//! Notes are made here, the same in every run; nothing that a person has is touched.

use crate::http::{Connection, Server};
use crate::serve::{Client, figures, synod, timed};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use synod_index::{Index, Updater};

/// Notes that are saved one after the other.
const SAVES: usize = 200;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(250);
/// Starts that are timed.
const STARTS: usize = 20;
/// Notes of the repository whose branch is switched, and how many of them differ.
const BRANCH: (usize, usize) = (1_200, 1_000);
/// Switches that are timed.
const SWITCHES: usize = 10;
/// Clients at once, and the searches of each.
const CLIENTS: (usize, usize) = (16, 200);
/// Between two searches of a client that does not search as fast as it can, at the mean.
const ASKING: Duration = Duration::from_millis(200);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// A generator whose runs can be repeated.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// A word of a language of 20,000, the first ones more often than the others.
    fn word(&mut self) -> String {
        let bound = 1 + self.roll(20_000);
        let mut n = self.roll(bound) + 400;
        let mut out = String::new();
        while n > 0 {
            out.push_str(["ka", "ro", "mi", "te", "su", "lo", "va", "ni", "pe", "du"][n % 10]);
            n /= 10;
        }
        out
    }

    pub fn sentence(&mut self, words: usize) -> String {
        let words: Vec<String> = (0..words).map(|_| self.word()).collect();
        words.join(" ")
    }
}

/// A word that no note has but the one that was saved with it.
fn unheard(n: usize) -> String {
    let letter = |at: u32| char::from(b'a' + (n / 26_usize.pow(at) % 26) as u8);
    format!("zqx{}", (0..6).map(letter).collect::<String>())
}

fn note(n: usize, all: usize, dice: &mut Dice) -> String {
    let (title, links) = (dice.sentence(3), [dice.roll(all), dice.roll(all)]);
    let paragraphs: Vec<String> = (0..2 + dice.roll(6)).map(|_| dice.sentence(24)).collect();
    let [one, two] = links;
    let body = paragraphs.join("\n\n");
    format!("---\ntags: [t{}]\n---\n# {title}\n\n[[n{one}]] and [[n{two}]]\n\n{body}\n", n % 50)
}

/// Everything that one run needs, below one folder.
pub struct Home {
    pub vault: PathBuf,
    dir: tempfile::TempDir,
    notes: usize,
}

impl Home {
    pub fn new(folder: Option<PathBuf>, notes: usize) -> Home {
        let usual = || {
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
            target.join(format!("bench-notes-{notes}"))
        };
        let vault = folder.unwrap_or_else(usual).join("notes");
        let mark = vault.with_extension(format!("{notes}.done"));
        if !mark.exists() {
            let mut dice = Dice(5);
            for n in 0..notes {
                write(&vault.join(path(n)), &note(n, notes, &mut dice));
            }
            write(&mark, "");
        }
        Home { vault, dir: tempfile::tempdir().expect("a folder"), notes }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A server that knows the folder from its configuration.
    fn server(&self) -> Client {
        Client::start(self.serve(&["serve", "--stdio"]))
    }

    fn serve(&self, args: &[&str]) -> Command {
        let file = self.dir.path().join("synod.toml");
        let folder = self.vault.display().to_string();
        write(&file, &format!("[[source]]\npath = {folder:?}\n"));
        let mut command = synod(&self.data(), args);
        // No model is looked for: words are what is measured.
        command.arg("--config").arg(file).env("SYNOD_MODELS", self.dir.path());
        command
    }
}

pub fn path(n: usize) -> String {
    format!("{:03}/n{n}.md", n % 1_000)
}

pub fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("written");
}

/// Whoever calls tools, over stdio or HTTP.
trait Caller: Send {
    fn ask(&mut self, tool: &str, args: Value) -> Value;
}

impl Caller for Client {
    fn ask(&mut self, tool: &str, args: Value) -> Value {
        self.call(tool, args)["result"]["structuredContent"].clone()
    }
}

impl Caller for Connection {
    fn ask(&mut self, tool: &str, args: Value) -> Value {
        self.call(tool, &args)["result"]["structuredContent"].clone()
    }
}

fn search(client: &mut impl Caller, query: &str) -> Value {
    client.ask("search", json!({"query": query, "mode": "lexical", "limit": 10}))
}

/// Asks until the reply is as wanted; how long that took.
fn until(client: &mut Client, query: &str, wanted: impl Fn(&Value) -> bool) -> Duration {
    let start = Instant::now();
    while !wanted(&search(client, query)) {
        assert!(start.elapsed() < PATIENCE, "never: {query}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

fn is_fresh(client: &mut impl Caller) -> bool {
    client.ask("index_status", json!({}))["fresh"] == true
}

fn indexed(client: &mut Client) -> u64 {
    let status = client.call("index_status", json!({}));
    status["result"]["structuredContent"]["documents"].as_u64().unwrap_or(0)
}

fn wait_fresh(client: &mut impl Caller) {
    let start = Instant::now();
    while !is_fresh(client) {
        assert!(start.elapsed() < PATIENCE, "never fresh");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Saves a note, as editors do; from then until it is found.
fn save(home: &Home, client: &mut Client, n: usize) -> u128 {
    let word = unheard(n);
    let file = home.vault.join(format!("saved/s{}.md", n % 20));
    let beside = file.with_extension("md.tmp");
    write(&beside, &format!("# Saved\n\n{word} and more\n"));
    let start = Instant::now();
    std::fs::rename(&beside, &file).expect("renamed");
    until(client, &format!("+{word}"), |found| found["total"] == 1);
    start.elapsed().as_micros()
}

/// `bench fresh [FOLDER] [N] [PARTS]`: all of it, or parts by their names, with commas between.
pub fn run(folder: Option<PathBuf>, notes: usize, parts: Option<&str>) {
    let wants = |part: &str| parts.is_none_or(|parts| parts.split(',').any(|one| one == part));
    let home = Home::new(folder, notes);
    // Those of a run before.
    let _ = std::fs::remove_dir_all(home.vault.join("saved"));
    println!("what,n,p50_ms,p90_ms,p99_ms");
    let mut client = home.server();
    if wants("saved") {
        saved_meanwhile(&home, &mut client);
        let saves = (0..SAVES).map(|n| {
            std::thread::sleep(PAUSE);
            save(&home, &mut client, 100_000 + n)
        });
        figures("saved note found, nothing else going on", saves.collect());
    }
    wait_fresh(&mut client);
    if wants("settled") {
        settled(&home, client);
    } else {
        drop(client);
    }
    type Measure = fn(&Home);
    let rest: [(&str, Measure); 5] = [
        ("handles", handles),
        ("starts", starts),
        ("one", one_among_all),
        ("crowd", crowd),
        ("branch", |_| branch()),
    ];
    rest.into_iter().filter(|(part, _)| wants(part)).for_each(|(_, measure)| measure(&home));
    let _ = std::fs::remove_dir_all(home.vault.join("saved"));
}

/// While the whole folder is indexed for the first time.
fn saved_meanwhile(home: &Home, client: &mut Client) {
    let start = Instant::now();
    // What is saved before the watching begins is one of the files of the first look.
    while indexed(client) == 0 {
        assert!(start.elapsed() < PATIENCE, "nothing is indexed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut saves = Vec::new();
    while saves.is_empty() || !is_fresh(client) {
        saves.push(save(home, client, saves.len()));
        std::thread::sleep(PAUSE);
    }
    println!("# {} notes indexed in {:.1} s", home.notes, start.elapsed().as_secs_f64());
    figures("saved note found while all is indexed", saves);
}

/// What a server holds once it is done with the whole folder, beside one that found it done.
fn settled(home: &Home, client: Client) {
    // The writer of the words is kept for a while.
    std::thread::sleep(synod_index::limit::WORDS_KEPT + Duration::from_secs(5));
    let after = client.anonymous_mb();
    drop(client);
    let mut client = home.server();
    wait_fresh(&mut client);
    let mut dice = Dice(9);
    for _ in 0..SAVES {
        search(&mut client, &dice.sentence(2));
    }
    std::thread::sleep(Duration::from_secs(5));
    let idle = client.anonymous_mb();
    let ratio = after / idle;
    println!("# {after:.1} MB anonymous after the run, {idle:.1} MB without it: {ratio:.2} times");
}

/// From a request to its handle: for the whole folder, and for texts while that one is done.
fn handles(home: &Home) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("synod.toml");
    let folder = home.vault.display().to_string();
    write(&file, &format!("[access]\nadd_roots = [{folder:?}]\n"));
    let mut command = synod(&dir.path().join("data"), &["serve", "--stdio", "--allow-write"]);
    command.arg("--config").arg(file).env("SYNOD_MODELS", dir.path());
    let mut client = Client::start(command);
    let mut micros = timed(SAVES, |n| {
        let args = match n {
            0 => json!({"op": "add", "path": folder}),
            _ => json!({"op": "push", "path": format!("p{n}.md"), "content": unheard(n)}),
        };
        let reply = client.call("ingest", args);
        assert!(reply["result"]["structuredContent"]["job"].is_string(), "{reply}");
    });
    let others = micros.split_off(1);
    figures("ingest of the whole folder, to its handle", micros);
    figures("ingest of a text meanwhile, to its handle", others);
}

fn starts(home: &Home) {
    let (mut first, mut known) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let mut client = home.server();
        search(&mut client, "karomi tesulo");
        first.push(client.started.elapsed().as_micros());
        wait_fresh(&mut client);
        known.push(client.started.elapsed().as_micros());
    }
    figures("start to first answer, nothing changed", first);
    figures("start to the word that all is fresh", known);
}

/// The engine alone: a path is named, as by the watcher, and searched.
fn one_among_all(home: &Home) {
    let index = Index::open(&home.data()).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), synod::now_ms).expect("the lock");
    let source = updater.sources().expect("sources").into_iter().next().expect("a source");
    let touched = HashSet::from([path(77)]);
    let mut dice = Dice(6);
    let micros = timed(SAVES, |n| {
        let word = unheard(200_000 + n);
        let text = note(77, home.notes, &mut dice) + &word;
        std::fs::write(home.vault.join(path(77)), text).expect("written");
        updater.refresh(&source, &touched, &|_| true).expect("refreshed");
        let args = synod_index::SearchArgs {
            query: format!("+{word}"),
            also: Vec::new(),
            limit: 10,
            offset: 0,
            at_generation: None,
            filters: synod_index::Filters::default(),
            detail: synod_index::Detail::Passage,
            mode: synod_index::Mode::default(),
            explain: false,
            copies: true,
        };
        assert_eq!(index.search(&args).expect("a search").total, 1);
    });
    figures("one changed file among all, refreshed and searched", micros);
}

/// Clients search while notes are saved all the time, all of one server or each with one of its
/// own: as fast as they can, and as often as people and their agents do.
fn crowd(home: &Home) {
    {
        let server = Server::start(home.serve(&["serve", "--http", "127.0.0.1:0"]));
        ask_all(home, (0..CLIENTS.0).map(|_| server.client()).collect(), "of one server");
    }
    ask_all(home, (0..CLIENTS.0).map(|_| home.server()).collect(), "each with a server of its own");
}

fn ask_all(home: &Home, mut clients: Vec<impl Caller>, whose: &str) {
    clients.iter_mut().for_each(wait_fresh);
    for (pause, how) in [(Duration::ZERO, "without a pause"), (ASKING, "five times a second each")]
    {
        let micros = searches(home, &mut clients, pause);
        let n = CLIENTS.0;
        figures(&format!("search of {n} clients {whose}, {how}, while notes are indexed"), micros);
    }
}

/// How long the searches of all took.
fn searches<C: Caller>(home: &Home, clients: &mut [C], pause: Duration) -> Vec<u128> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(7);
            while !stop.load(Ordering::Relaxed) {
                let n = dice.roll(home.notes);
                let text = note(n, home.notes, &mut dice);
                write(&home.vault.join(format!("saved/c{}.md", n % 100)), &text);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let each = |at: usize, client: &mut C| -> Vec<u128> {
            let mut dice = Dice(100 + at as u64);
            let one = |_| {
                std::thread::sleep(pause.mul_f64(dice.roll(200) as f64 / 100.0));
                let words = 1 + dice.roll(4);
                let query = dice.sentence(words);
                let start = Instant::now();
                search(client, &query);
                start.elapsed().as_micros()
            };
            (0..CLIENTS.1).map(one).collect()
        };
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(at, client)| scope.spawn(move || each(at, client)))
            .collect();
        let done = threads.into_iter().flat_map(|thread| thread.join().expect("searches"));
        let micros = done.collect();
        stop.store(true, Ordering::Relaxed);
        micros
    })
}

/// A checkout of another branch, until everything of it is found and said to be fresh.
fn branch() {
    let dir = tempfile::tempdir().expect("a folder");
    let vault = dir.path().join("repository");
    let git = |args: &[&str]| {
        let name = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let mut command = Command::new("git");
        command.arg("-C").arg(&vault).args(name).args(["-c", "commit.gpgsign=false"]).args(args);
        let done = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git runs");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let mut dice = Dice(8);
    let mut make = |range: std::ops::Range<usize>, word: &str| {
        for n in range {
            let text = (0..28).map(|_| dice.sentence(24)).collect::<Vec<_>>().join("\n\n");
            write(&vault.join(format!("f{}/n{n}.md", n % 30)), &format!("{word} {text}\n"));
        }
    };
    make(0..BRANCH.0, "zqmain");
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    git(&["checkout", "-qb", "other"]);
    make(0..BRANCH.1, "zqother");
    git(&["commit", "-qam", "two"]);
    let data = tempfile::tempdir().expect("a folder");
    let home = Home { vault: vault.clone(), dir: data, notes: BRANCH.0 };
    let mut client = home.server();
    wait_fresh(&mut client);
    let mut micros = Vec::new();
    for turn in 0..SWITCHES {
        let (name, changed) = if turn % 2 == 0 { ("main", 0) } else { ("other", BRANCH.1) };
        git(&["checkout", "-q", name]);
        let whole = |found: &Value| found["total"] == changed && found["fresh"] == true;
        micros.push(until(&mut client, "+zqother", whole).as_micros());
    }
    figures(&format!("branch of {} changed files followed after its checkout", BRANCH.1), micros);
}
