//! Measurements, run by hand and by one command: `cargo run --release --example bench -- WHAT`.
//!
//! Each prints a table and the machine's load; what a figure is compared with runs in the same
//! call.

// Tables on stdout are what this program is for.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use synod_index::Mode;

mod build;
mod corpus;
mod http;
mod peer;
mod serve;

#[path = "../judged.rs"]
mod judged;

const USAGE: &str = "bench quality            nDCG@10 of all questions of the judged sets
bench index [FOLDER]     indexing speed and disk, beside its bare parts
bench http               an empty call over HTTP, beside a bare echo server
bench engine [FOLDER]    the engine's part of a search, in process
bench peer [FOLDER]      indexing of notes and of FOLDER beside qmd's, from npm
bench serve [FOLDER]     search, empty call, start and memory over stdio, beside a bare echo server
without FOLDER: sources of the local cargo registry, up to BENCH_MB (80) of text";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.get(1).map(std::path::PathBuf::from);
    match args.first().map(String::as_str) {
        Some("echo") => return serve::echo(),
        Some("echo-http") => return http::echo(),
        _ => {}
    }
    load();
    match args.first().map(String::as_str) {
        Some("quality") => quality(),
        Some("index") => build::run(&corpus::folder(folder)),
        Some("serve") => serve::run(&corpus::folder(folder)),
        Some("http") => http::run(),
        Some("peer") => peer::run(&corpus::folder(folder)),
        Some("engine") => serve::engine(&corpus::folder(folder)),
        _ => println!("{USAGE}"),
    }
    load();
}

/// The machine's load, because it is shared.
fn load() {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", text.trim());
}

fn quality() {
    let home = judged::home().expect("judged data: set SYNOD_JUDGED");
    let model =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/all-MiniLM-L6-v2");
    let local =
        synod::embedder::Local::open(&model).expect("a model: tests/model.sh target/models");
    let embedder: Arc<dyn synod_index::Embedder> = Arc::new(local);
    println!("set,mode,questions,ndcg10,recall10,mrr10,lexical_floor");
    for (name, floor) in judged::SETS.into_iter().zip(judged::FLOORS) {
        let set = judged::set(&home, name);
        // Kept: embedding is what takes long.
        let data = set.folder.with_extension("data");
        drop(judged::index(&set, &data));
        let index = judged::embed(&data, Arc::clone(&embedder));
        for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
            let s = judged::evaluate(&index, &set, usize::MAX, mode);
            let (n, ndcg, recall, mrr) = (s.n, s.ndcg, s.recall, s.mrr);
            println!("{name},{mode:?},{n},{ndcg:.4},{recall:.4},{mrr:.4},{floor}");
        }
    }
}
