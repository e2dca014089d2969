//! A server with vectors over its life: start, memory, disk, what is saved while it runs, and eight
//! of them at once.

use crate::meaning::{embedded, installed};
use crate::serve::{Client, figures, synod, wait_fresh};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Starts that are timed.
const STARTS: usize = 20;
/// Notes that are saved, and questions that they answer in other words.
const SAVED: [(&str, &str); 10] = [
    ("The orchard gave pears and quinces in autumn", "picking ripe fruit from trees"),
    ("The surgeon closed the wound with seven stitches", "medical operation on a patient"),
    ("Her violin needed new strings before the recital", "preparing to play at a concert"),
    ("Snow blocked the mountain pass for nine days", "road closed by winter weather"),
    ("The baker kneads sourdough at four in the morning", "making loaves before sunrise"),
    ("A lighthouse keeper logs every passing ship", "watching vessels from the coast"),
    ("The jury acquitted the accused after an hour", "verdict of a criminal trial"),
    ("Bees swarmed from the hive behind the barn", "insects leaving their colony"),
    ("The tailor shortened the sleeves of a wedding suit", "altering clothes for a marriage"),
    ("Glaciers retreat faster than the forecasts said", "ice melting as the climate warms"),
];
/// Servers at once.
const SERVERS: usize = 8;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where servers find their data and the installed model.
struct Home<'a> {
    data: &'a Path,
    models: &'a Path,
}

impl Home<'_> {
    fn server(&self) -> Client {
        let mut command = synod(self.data, &["serve", "--stdio"]);
        command.env("SYNOD_MODELS", self.models);
        Client::start(command)
    }
}

/// Asks until the reply is as wanted; how long that took.
fn until(client: &mut Client, args: &Value, wanted: impl Fn(&Value) -> bool) -> Duration {
    let start = Instant::now();
    loop {
        let reply = client.call("search", args.clone());
        if wanted(&reply["result"]["structuredContent"]) {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "never: {args}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn whole(reply: &Value) -> bool {
    reply["degraded"] == json!([])
}

/// Bytes below a folder.
pub fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(file) if file.is_dir() => bytes(&entry.path()),
            Ok(file) => file.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Of the mapped files of a process whose path has `part`: resident MB, and its share of them when
/// every process that maps them is counted.
fn mapped_mb(pid: u32, part: &str) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let (mut ours, mut rss, mut pss) = (false, 0.0, 0.0);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.contains('-') {
            ours = line.contains(part);
        } else if ours {
            let kb: f64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
            rss += if first == "Rss:" { kb } else { 0.0 };
            pss += if first == "Pss:" { kb } else { 0.0 };
        }
    }
    (rss / 1024.0, pss / 1024.0)
}

/// `bench life [FOLDER]`
pub fn run(folder: &Path) {
    let (index, updater, _) = embedded(folder);
    let status = index.status().expect("a status");
    let count =
        |of: fn(&synod_index::SourceStatus) -> u64| -> u64 { status.sources.iter().map(of).sum() };
    let (chunks, text) = (count(|source| source.chunks), count(|source| source.bytes));
    drop((updater, index));
    let data = folder.with_extension("meaning");
    let disk = bytes(&data) as f64 / text as f64;
    let models = tempfile::tempdir().expect("a folder");
    synod_embed::install(&installed(), models.path(), "all-MiniLM-L6-v2").expect("installed");
    let home = Home { data: &data, models: models.path() };
    println!("# passages {chunks}, on disk {disk:.2} x text");
    println!("what,n,p50_ms,p90_ms,p99_ms");
    let (mut first, mut meant) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let mut client = home.server();
        client.call("search", json!({"query": "open a file"}));
        first.push(client.started.elapsed().as_micros());
        until(&mut client, &json!({"query": "open a file"}), whole);
        meant.push(client.started.elapsed().as_micros());
    }
    figures("start to first answered search", first);
    figures("start to first search by meaning too", meant);
    let mut client = home.server();
    until(&mut client, &json!({"query": "open a file"}), whole);
    wait_fresh(&mut client);
    saved(folder, &mut client);
    std::thread::sleep(Duration::from_secs(3));
    println!("# idle: {:.1} MB anonymous", client.anonymous_mb());
    drop(client);
    together(&home);
}

/// Notes saved one after the other, each with a word that is like no other: until they are found by
/// it, and by what they mean.
fn saved(folder: &Path, client: &mut Client) {
    let (mut by_word, mut by_meaning) = (Vec::new(), Vec::new());
    let mut paths = Vec::new();
    for (n, (text, question)) in SAVED.iter().enumerate() {
        let word = unheard(n);
        let name = format!("synod-bench-{n}.md");
        paths.push(folder.join(&name));
        let start = Instant::now();
        std::fs::write(&paths[n], format!("# Note {n}\n\n{text} ({word}).\n")).expect("a note");
        let found = |reply: &Value| reply["hits"][0]["path"] == name.as_str();
        until(client, &json!({"query": word, "mode": "lexical"}), found);
        by_word.push(start.elapsed().as_micros());
        until(client, &json!({"query": question, "mode": "semantic"}), found);
        by_meaning.push(start.elapsed().as_micros());
        std::thread::sleep(Duration::from_millis(300));
    }
    paths.iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    figures("saved note found by word", by_word);
    figures("saved note found by meaning", by_meaning);
}

/// A word of nine letters.
fn unheard(seed: usize) -> String {
    let mut state = (seed as u64 + 11).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + ((state >> 33) % 26) as u8)
    };
    (0..9).map(letter).collect()
}

/// Servers over one data directory: what each keeps for itself.
fn together(home: &Home) {
    let mut clients: Vec<Client> = (0..SERVERS).map(|_| home.server()).collect();
    for client in &mut clients {
        until(client, &json!({"query": "open a file"}), whole);
    }
    let sums = clients.iter().map(|client| {
        let pid = client.child.id();
        let (weights, share) = mapped_mb(pid, "/all-MiniLM-L6-v2/");
        (client.anonymous_mb(), weights, share)
    });
    let sums = sums.fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    println!(
        "# {SERVERS} servers: {:.1} MB anonymous each; of the model's files {:.1} MB mapped each, \
         {:.1} MB in all",
        sums.0 / SERVERS as f64,
        sums.1 / SERVERS as f64,
        sums.2
    );
}
