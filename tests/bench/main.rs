//! Measurements, run by hand and by one command: `cargo run --release --example bench -- WHAT`.
//!
//! Each prints a table and the machine's load; what a figure is compared with runs in the same
//! call.

// Tables on stdout are what this program is for.
#![allow(clippy::print_stdout)]

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
    println!("set,questions,ndcg10,recall10,mrr10,floor");
    for (name, floor) in judged::SETS.into_iter().zip(judged::FLOORS) {
        let set = judged::set(&home, name);
        let dir = tempfile::tempdir().expect("a folder");
        let index = judged::index(&set, dir.path());
        let s = judged::evaluate(&index, &set, usize::MAX);
        println!("{name},{},{:.4},{:.4},{:.4},{floor}", s.n, s.ndcg, s.recall, s.mrr);
    }
}
