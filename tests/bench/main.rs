//! Measurements, run by hand and by one command: `cargo run --release --example bench -- WHAT`.
//!
//! `quality` ranks all questions of the judged sets. Each prints a table and what it was run on.

// Tables on stdout are what this program is for.
#![allow(clippy::print_stdout)]

#[path = "../judged.rs"]
mod judged;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("quality") => quality(),
        _ => println!("bench quality"),
    }
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
