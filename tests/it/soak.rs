//! A server that is asked while its files change under it: every answer is sound, memory stays
//! where it was, and in the end the index is what a fresh one is. Seconds in every run, minutes in
//! a long one.

use super::http::get;
use super::program::{PATIENCE, Place, long, poll};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Notes at the start, and about how many there stay.
pub const NOTES: u64 = 400;
/// Growth of anonymous memory that is no leak, in MB: a commit in hand holds buffers of its writer.
const GROWTH_MB: f64 = 100.0;

/// A generator whose runs can be repeated.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What the files hold: path and the one word that only this file has.
pub type Truth = BTreeMap<String, String>;

/// A word of letters only, so that no part of it is a word of another note.
pub fn word(mut n: u64) -> String {
    let mut out = String::from("zq");
    for _ in 0..8 {
        out.push((b'a' + (n % 26) as u8) as char);
        n /= 26;
    }
    out
}

pub fn write(root: &Path, truth: &mut Truth, path: String, n: u64, dice: &mut Dice) {
    let full = root.join(&path);
    std::fs::create_dir_all(full.parent().expect("a parent")).expect("a folder");
    let link = dice.roll(NOTES);
    let body = "tide and moon and shore ".repeat(1 + dice.roll(60) as usize);
    let text = format!("# Note {n}\n\n{} [[note{link}]]\n\n{body}\n", word(n));
    // Half of the editors write in place, the others beside and over it.
    if dice.roll(2) == 0 {
        std::fs::write(&full, text).expect("written");
    } else {
        let beside = full.with_extension("md.tmp");
        std::fs::write(&beside, text).expect("written");
        std::fs::rename(&beside, &full).expect("renamed");
    }
    truth.insert(path, word(n));
}

/// One change of the folder.
pub fn change(root: &Path, truth: &mut Truth, n: u64, dice: &mut Dice) {
    let some = |dice: &mut Dice, truth: &Truth| {
        truth.keys().nth(dice.roll(truth.len() as u64) as usize).cloned().unwrap_or_default()
    };
    match dice.roll(10) {
        0..5 if !truth.is_empty() => {
            let path = some(dice, truth);
            write(root, truth, path, n, dice);
        }
        5 if truth.len() as u64 > NOTES / 2 => {
            let path = some(dice, truth);
            std::fs::remove_file(root.join(&path)).expect("removed");
            truth.remove(&path);
        }
        6 if !truth.is_empty() => {
            let path = some(dice, truth);
            let moved = format!("moved{}/note{n}.md", dice.roll(5));
            std::fs::create_dir_all(root.join(&moved).parent().expect("a parent")).expect("made");
            std::fs::rename(root.join(&path), root.join(&moved)).expect("moved");
            let word = truth.remove(&path).unwrap_or_default();
            truth.insert(moved, word);
        }
        _ => {
            let path = format!("folder{}/note{n}.md", dice.roll(12));
            write(root, truth, path, n, dice);
        }
    }
}

/// Anonymous resident memory in MB; nothing where the system does not tell.
pub fn anonymous_mb(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kb| kb / 1024.0)
}

/// Asks until it is stopped; every hit's text stands in a file of the vault, now or a moment ago.
fn ask(address: std::net::SocketAddr, seed: u64, stop: &AtomicBool, asked: &AtomicUsize) {
    let mut dice = Dice(seed);
    while !stop.load(Ordering::Relaxed) {
        let query = ["tide", "moon%20shore", "%22moon%20and%20shore%22", "note%207", "path:moved"];
        let path = match dice.roll(8) {
            0 => "/v1/index".to_owned(),
            1 => format!("/v1/related?path=note{}.md", dice.roll(NOTES)),
            n => format!("/v1/search?q={}&limit={}", query[n as usize % query.len()], 1 + n),
        };
        let reply = get(address, &path);
        // A note that is named may be gone, or be there twice.
        let expected = [200, 404, 409].contains(&reply.status);
        assert!(expected, "{path}: {reply:?}");
        for hit in reply.json()["hits"].as_array().into_iter().flatten() {
            let snippet = hit["snippet"].as_str().unwrap_or_default();
            assert!(snippet.contains("Note") || snippet.contains("tide"), "{path}: {hit}");
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every path of the index, sorted, page by page.
pub fn listed(address: std::net::SocketAddr) -> Vec<String> {
    let (mut paths, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("/v1/search?q=kind:markdown&detail=names&limit=100{cursor}");
        let found = get(address, &query).json();
        let hits = found["hits"].as_array().expect("hits").iter();
        paths.extend(hits.filter_map(|hit| hit["path"].as_str().map(str::to_owned)));
        let Some(next) = found["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    paths.sort();
    paths
}

#[test]
fn a_server_stays_sound_while_its_files_change() {
    let place = Place::new();
    let root = place.path().join("vault");
    let (mut truth, mut dice) = (Truth::new(), Dice(7));
    for n in 0..NOTES {
        write(&root, &mut truth, format!("folder{}/note{n}.md", n % 12), n, &mut dice);
    }
    place.index(&root);
    let server = place.http(&[], &[]);
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seconds = long(4, 900);
    let mut changes = NOTES;
    let mut settled = None;
    std::thread::scope(|scope| {
        for seed in 1..4 {
            let (stop, asked) = (&stop, &asked);
            scope.spawn(move || ask(server.address, seed, stop, asked));
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds) {
            for _ in 0..=dice.roll(6) {
                changes += 1;
                change(&root, &mut truth, changes, &mut dice);
            }
            std::thread::sleep(Duration::from_millis(5 + dice.roll(60)));
            if settled.is_none() && start.elapsed() > Duration::from_secs(seconds / 3) {
                settled = anonymous_mb(server.child.id());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 50, "{asked:?} questions");
    let status = poll("freshness", PATIENCE, || {
        let status = get(server.address, "/v1/index").json();
        (status["fresh"] == true).then_some(status)
    });
    assert_eq!(status["sources"][0]["n_errors"], 0, "{status}");
    for (path, word) in &truth {
        // The last events may still be on their way.
        poll(&format!("{word} in {path}"), PATIENCE, || {
            let found = get(server.address, &format!("/v1/search?q=%2B{word}")).json();
            let hits = found["hits"].as_array().expect("hits");
            let paths: Vec<&Value> = hits.iter().map(|hit| &hit["path"]).collect();
            (paths == [&json!(path)]).then_some(())
        });
    }
    let known: Vec<String> = truth.keys().cloned().collect();
    assert_eq!(listed(server.address), known);
    if let (Some(before), Some(now)) = (settled, anonymous_mb(server.child.id())) {
        eprintln!("anonymous memory: {before:.1} MB after a third, {now:.1} MB at the end");
        assert!(now < before + GROWTH_MB, "{before:.1} MB after a third, {now:.1} MB at the end");
    }
    drop(server);
    let (code, said, why) = place.outcome(&["doctor"]);
    assert_eq!(code, 0, "{said}{why}");
}
