//! Measurements, run by hand and by one command: `cargo run --release --example bench -- WHAT`.
//!
//! Each prints a table and the machine's load; what a figure is compared with runs in the same
//! call.

// Tables on stdout are what this program is for.
#![allow(clippy::print_stdout)]

mod build;
mod corpus;
mod council;
mod fresh;
mod http;
mod life;
mod meaning;
mod peak;
mod peer;
mod proxy;
mod serve;
mod whole;

const USAGE: &str =
    "bench quality            nDCG@10 and packs of all questions of the judged sets (`synod eval`)
bench hybrid [FOLDER]    search by words and by both, in process, and embedding a query
bench life [FOLDER]      start, memory, disk and saved notes of a server with vectors; eight servers
bench fresh [FOLDER] [N] [PARTS]
                         saved notes, starts, a branch switched and clients that search, over N
                         (100,000) notes that it makes in FOLDER; PARTS of saved, settled, handles,
                         starts, one, crowd, branch
bench growth [N]         what a note costs among a tenth of N (100,000) notes, and among all of them
bench precision          nDCG@10 by meaning with weights in 7 bits and in f32
bench million [N]        scans over N (1,000,000) vectors
bench whole [N] [FOLDER] whole searches over N (1,000,000) passages of notes that it makes below
                         FOLDER: by words, meaning and both, with graphs and without
bench peak               what the processor can do at most
bench embed, vectors     embedding and scans, as `tests/bench/peers.py` compares them with others'
bench council            a verdict, and what the engine adds to a call, beside a bare HTTP client
bench proxy              one model behind `synod serve` and behind LiteLLM's proxy
bench calls [N]          memory of the engine that asks over N (100,000) calls
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
        Some("chat") => return council::server(),
        Some("echo-http") => return http::echo(),
        Some("whole-ask") => return whole::ask(&args[1..]),
        // Read by `peers.py`: nothing but JSON.
        Some("peak") => return peak::run(),
        Some("embed") => return meaning::embed(&args[1..]),
        Some("vectors") => return meaning::vectors(&args[1..]),
        _ => {}
    }
    load();
    match args.first().map(String::as_str) {
        Some("quality") => quality(),
        Some("index") => build::run(&corpus::folder(folder)),
        Some("serve") => serve::run(&corpus::folder(folder)),
        Some("http") => http::run(),
        Some("council") => council::run(),
        Some("proxy") => proxy::run(),
        Some("calls") => {
            council::calls(args.get(1).and_then(|n| n.parse().ok()).unwrap_or(100_000));
        }
        Some("peer") => peer::run(&corpus::folder(folder)),
        Some("hybrid") => meaning::hybrid(&corpus::folder(folder)),
        Some("million") => {
            let n = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
            meaning::million(n);
        }
        Some("whole") => {
            let n = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
            whole::run(n, args.get(2).map(std::path::PathBuf::from));
        }
        Some("life") => life::run(&corpus::folder(folder)),
        Some("fresh") => {
            let notes = args.get(2).and_then(|n| n.parse().ok()).unwrap_or(100_000);
            fresh::run(folder, notes, args.get(3).map(String::as_str));
        }
        Some("growth") => {
            build::growth(args.get(1).and_then(|n| n.parse().ok()).unwrap_or(100_000));
        }
        Some("precision") => meaning::precision(),
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

/// Where the judged sets are.
fn judged() -> std::path::PathBuf {
    let named = std::env::var_os("SYNOD_JUDGED").map(std::path::PathBuf::from);
    let usual = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    named.unwrap_or_else(usual).join("retrieval")
}

/// Quality is `synod eval`; here only the sets' place is known.
fn quality() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = judged();
    let synod = std::env::current_exe().expect("this program");
    let synod = synod.with_file_name("../synod");
    let mut command = std::process::Command::new(synod);
    command.arg("eval").args(SETS.map(|set| home.join(set))).arg("--packs");
    command.arg("--work").arg(root.join("target/judged"));
    command.arg("--data").arg(root.join("target/judged/eval.data"));
    command.env("SYNOD_MODELS", root.join("target/models"));
    let done = command.status().expect("target/release/synod: cargo build --release");
    assert!(done.success(), "synod eval failed");
}

/// The judged sets, in the order of the report.
const SETS: [&str; 5] = ["scifact", "vault-garden", "commits-tokio", "cosqa", "ctx-codebase"];
