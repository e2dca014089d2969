//! Whole searches over as many passages as are asked for: by words, by meaning and by both, with
//! graphs and without.
//!
//! Notes are made here, the same in every run. Words, rows, queue and graphs are the engine's own;
//! only the model is not: vectors are real ones with jitter, because a model would take hours for a
//! million passages. So the vector of a query is always at hand, and what a model takes to embed it
//! comes on top of every figure (`bench hybrid` has it).

use crate::fresh::{self, Dice};
use crate::life::bytes;
use crate::meaning::{HITS, Noise, asked, cpu_s, floats, memory_mb, percentile, real_vectors};
use crate::serve::{queries, timed};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use synod_index::{Embedder, Index, Mode, SourceSpec, Updater, VectorIndex, Work};

/// Sections of a note, each of which is a passage: too large to be joined, too small to be cut.
const SECTIONS: usize = 4;
/// Values of a vector of the model whose vectors the others are made of.
const DIMENSIONS: usize = 384;
/// Searches of one figure, each of another query.
const SEARCHES: usize = 300;
/// Between two words about how far it is.
const TELL: Duration = Duration::from_secs(20);
/// How the nearest are found, by name; without meaning there is nothing to find.
const WAYS: [(&str, Option<VectorIndex>); 4] = [
    ("words", None),
    ("exact", Some(VectorIndex::Exact)),
    ("auto", Some(VectorIndex::Auto)),
    ("hnsw", Some(VectorIndex::Hnsw)),
];

/// What a search found: path and first line, best first.
type Top = Vec<(String, u32)>;

/// Stands in for a model: a text gets a real vector, chosen by the title of its note, with jitter.
struct Stand {
    /// Of documents of the judged data.
    passages: Vec<Vec<f32>>,
    /// Of its questions.
    queries: Vec<Vec<f32>>,
    /// Spent on passages: no time of the engine's.
    nanos: AtomicU64,
}

impl Stand {
    /// The real vectors are kept in the folder: whoever asks needs no model then.
    fn open(folder: &Path) -> Self {
        let files = ["passages.f32", "queries.f32"].map(|name| folder.join(name));
        if !files.iter().all(|file| file.exists()) {
            let real = real_vectors(usize::MAX);
            files.iter().zip(&real).for_each(|(file, vectors)| save(file, vectors));
        }
        let [passages, queries] = files.map(|file| floats(&file.to_string_lossy(), DIMENSIONS));
        Stand { passages, queries, nanos: AtomicU64::new(0) }
    }

    fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64()
    }
}

impl Embedder for Stand {
    fn space(&self) -> &str {
        "bench/real vectors with jitter"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let start = Instant::now();
        // What stands in one note is of one matter.
        let of = |text: &String| jittered(&self.passages, title(text), text);
        let vectors = texts.iter().map(of).collect();
        self.nanos.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(vectors)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        Ok(jittered(&self.queries, text, text))
    }
}

/// The title of the note that a passage stands in: in the line of what it stands under, or, of the
/// first passage, which stands under nothing, in its own.
fn title(text: &str) -> &str {
    let head = text.lines().next().unwrap_or_default();
    let own = || text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    if head.is_empty() { own() } else { head.split(" > ").next().unwrap_or_default() }
}

/// The vector of a text, the same in every process: a real one that `of` chooses, with the text's
/// own jitter.
fn jittered(real: &[Vec<f32>], of: &str, text: &str) -> Vec<f32> {
    let at = Noise::of(of).next() as usize % real.len();
    Noise::of(text).near(&real[at])
}

fn save(file: &Path, vectors: &[Vec<f32>]) {
    assert!(vectors.iter().all(|vector| vector.len() == DIMENSIONS), "another model");
    let values = vectors.iter().flatten();
    let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(file, bytes).expect("written");
}

fn note(n: usize, all: usize, dice: &mut Dice) -> String {
    let mut text = format!("---\ntags: [t{}]\n---\n", n % 50);
    for section in 0..SECTIONS {
        let mark = if section == 0 { "#" } else { "##" };
        text += &format!("{mark} {}\n\n", dice.sentence(3));
        if section == 0 {
            text += &format!("[[n{}]] and [[n{}]]\n\n", dice.roll(all), dice.roll(all));
        }
        for _ in 0..2 + dice.roll(2) {
            text += &format!("{}\n\n", dice.sentence(24));
        }
    }
    text
}

/// Makes the notes, once for all runs.
fn vault(folder: &Path, n_notes: usize) -> PathBuf {
    let (vault, mark) = (folder.join("notes"), folder.join("notes.done"));
    if !mark.exists() {
        let mut dice = Dice(5);
        for n in 0..n_notes {
            fresh::write(&vault.join(fresh::path(n)), &note(n, n_notes, &mut dice));
        }
        fresh::write(&mark, "");
    }
    vault
}

/// `bench whole [N] [FOLDER]`: notes, index and vectors stay in a folder named after N below
/// FOLDER, and a run that finds them there only asks. To have them made anew, remove that folder.
pub fn run(n: usize, folder: Option<PathBuf>) {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let folder = folder.unwrap_or_else(usual).join(format!("bench-whole-{n}"));
    let made = folder.join("made.csv");
    if made.exists() {
        println!("# made by a run before:");
    } else {
        let table = make(&folder, n);
        fresh::write(&made, &table);
    }
    print!("{}", std::fs::read_to_string(&made).expect("a table"));
    // What was written goes to the disk for seconds, and takes the processor with it.
    let _ = Command::new("sync").status();
    println!("# the query's vector is at hand; what no graph covers is asked by its signs first,");
    println!("# but for `exact`, which measures all");
    println!("what,n,p50_ms,p95_ms,p99_ms");
    WAYS.iter().for_each(|(way, _)| ask_apart(&folder, way));
    ["both", "meaning"].iter().for_each(|name| recall(&folder, name));
}

/// Makes notes and index; what that took.
fn make(folder: &Path, n: usize) -> String {
    let vault = vault(folder, (n / SECTIONS).max(1));
    let stand = Stand::open(folder);
    let data = folder.join("data");
    let begun = data.exists();
    let index = Index::open(&data).expect("an index");
    let words = step("words", || {
        let mut updater = writer(&index);
        let source = updater.add_source(&vault, &SourceSpec::default()).expect("a source");
        let outcome = updater.scan(&source, &|_| true).expect("a scan");
        assert_eq!(outcome.failed, 0, "every note can be read");
        // With the merges that are left.
        drop(updater);
    });
    let vectors = step("vectors", || embed(&index, &stand));
    let graphs = step("graphs", || build_graphs(&index));
    let status = index.status().expect("a status");
    // The last one that closes the database folds its log in.
    drop(index);
    let (dir, source) = (data.join("index"), &status.sources[0]);
    let held: u64 = status.spaces.iter().map(|space| space.vectors).sum();
    let (documents, passages, text) = (source.documents, source.chunks, source.bytes);
    let mut table = format!("# {documents} documents, {passages} passages, {held} vectors\n");
    table += &format!("# {:.0} MB of text, {DIMENSIONS} values a vector\n", text as f64 / 1e6);
    if begun {
        table += "# it went on where a run before had ended: seconds are those of the rest\n";
    }
    table += "what,seconds,cpu_seconds,disk_mb\n";
    let kept = dir.join("vectors");
    let rows = mb(&kept, ".rows") + mb(&kept, ".signs");
    for (what, (seconds, cpu), size) in [
        ("words", words, bytes(&dir.join("words")) as f64 / 1e6),
        ("vectors", vectors, rows),
        ("graphs", graphs, mb(&kept, ".hnsw-")),
    ] {
        table += &format!("{what},{seconds:.1},{cpu:.1},{size:.1}\n");
    }
    table += &format!("database,,,{:.1}\n", mb(&dir, "index.db"));
    let (own, peak) = (stand.seconds(), memory_mb("VmHWM:"));
    table += &format!("# {own:.1} s of those for vectors are the stand-in's for a model\n");
    table + &format!("# {peak:.0} MB resident at most while it was made\n")
}

fn writer(index: &Arc<Index>) -> Updater {
    Updater::new(Arc::clone(index), synod::now_ms).expect("the lock")
}

/// Seconds by the clock, and the processor's.
fn step(what: &str, work: impl FnOnce()) -> (f64, f64) {
    let (start, cpu) = (Instant::now(), cpu_s());
    work();
    let took = (start.elapsed().as_secs_f64(), cpu_s() - cpu);
    eprintln!("{what}: {:.1} s", took.0);
    took
}

/// The engine's queue, from one step to the next as in a server that has nothing else to do.
fn embed(index: &Arc<Index>, stand: &Stand) {
    let (mut updater, mut work) = (writer(index), Work::default());
    let mut told = Instant::now();
    loop {
        let coverage = updater.embed(stand, &mut work).expect("vectors");
        if coverage.waiting == 0 {
            assert_eq!(coverage.left, 0, "every passage has a vector");
            return;
        }
        if told.elapsed() > TELL {
            eprintln!("{} passages wait, {:.0} vectors a second", coverage.waiting, coverage.rate);
            told = Instant::now();
        }
    }
}

/// Every graph that there can be, one after the other on one thread as in a server. Those that are
/// full are what `auto` has, and `exact` asks none.
fn build_graphs(index: &Arc<Index>) {
    index.set_vector_index(VectorIndex::Hnsw);
    let updater = writer(index);
    while let Some(work) = updater.graph_wanted().expect("spaces") {
        assert!(work.run(&|| true).expect("a graph"), "nobody ended it");
        while !updater.graph_built(&work).expect("known") {}
    }
}

/// MB of the files in a folder whose names have `part`.
fn mb(folder: &Path, part: &str) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(part));
    let sizes = named.filter_map(|entry| entry.metadata().ok()).map(|file| file.len());
    sizes.sum::<u64>() as f64 / 1e6
}

/// Each way has a process of its own: memory is to be that of one which found all of it made.
fn ask_apart(folder: &Path, way: &str) {
    let itself = std::env::current_exe().expect("a path");
    let done = Command::new(itself).arg("whole-ask").arg(folder).arg(way).status();
    assert!(done.expect("a process").success(), "asking failed: {way}");
}

/// `bench whole-ask FOLDER WAY`: opens the index anew and asks it, in the process of one way.
pub fn ask(args: &[String]) {
    // As the program does, whose memory is meant.
    synod::memory::tune();
    let (folder, way) = (Path::new(&args[0]), args[1].as_str());
    let mode = WAYS.iter().find(|(name, _)| *name == way).and_then(|(_, mode)| *mode);
    let meaning = mode.map(|mode| (mode, Arc::new(Stand::open(folder))));
    let start = Instant::now();
    let index = Index::open(&folder.join("data")).expect("an index");
    if let Some((mode, stand)) = &meaning {
        index.set_embedder(Arc::clone(stand) as Arc<dyn Embedder>);
        index.set_vector_index(*mode);
    }
    let modes: &[(&str, Mode)] = match meaning {
        Some(_) => &[("both", Mode::Hybrid), ("meaning", Mode::Semantic)],
        None => &[("words", Mode::Lexical)],
    };
    search(&index, &Dice(11).sentence(2), modes[0].1);
    let opened = start.elapsed().as_secs_f64() * 1e3;
    let (anonymous, resident) = (memory_mb("RssAnon:"), memory_mb("VmRSS:"));
    let own = meaning.map_or(0, |(_, stand)| stand.passages.len() + stand.queries.len());
    println!(
        "# {way}: opened and answered once in {opened:.0} ms; then {anonymous:.1} MB anonymous, of \
         which the stand-in's are {:.1}, and {resident:.1} MB resident",
        (own * DIMENSIONS * 4) as f64 / 1_048_576.0
    );
    let queries = queries(&folder.join("notes"));
    for (name, mode) in modes {
        let one = |n: usize| search(&index, &queries[n % queries.len()], *mode);
        // Also what warms it up.
        let found: Vec<Top> = (0..SEARCHES).map(one).collect();
        row(&format!("{name} ({way})"), timed(SEARCHES, |n| drop(one(n))));
        let text = serde_json::to_string(&found).expect("JSON");
        fresh::write(&found_file(folder, name, way), &text);
    }
}

fn found_file(folder: &Path, name: &str, way: &str) -> PathBuf {
    folder.join(format!("found-{name}-{way}.json"))
}

/// A whole search, as a tool asks for it.
fn search(index: &Index, query: &str, mode: Mode) -> Top {
    let found = index.search(&asked(query, mode)).expect("a search");
    assert!(!found.wordy, "meaning counted for nothing: {query}");
    found.hits.into_iter().map(|hit| (hit.path, hit.lines.0)).collect()
}

fn row(what: &str, micros: Vec<u128>) {
    let at = |share: f64| percentile(micros.clone(), share);
    println!("{what},{},{:.2},{:.2},{:.2}", micros.len(), at(0.5), at(0.95), at(0.99));
}

/// How much of what is found where all is measured is found by other ways too.
fn recall(folder: &Path, name: &str) {
    let read = |way: &str| -> Vec<Top> {
        let text = std::fs::read_to_string(found_file(folder, name, way)).expect("what was found");
        serde_json::from_str(&text).expect("JSON")
    };
    let exact = read("exact");
    let n = exact.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    for way in ["auto", "hnsw"] {
        let (mut documents, mut passages) = (0, 0);
        for (truth, found) in exact.iter().zip(read(way)) {
            let known = |path: &str| found.iter().any(|(other, _)| other == path);
            documents += truth.iter().filter(|(path, _)| known(path)).count();
            passages += truth.iter().filter(|hit| found.contains(hit)).count();
        }
        let (documents, passages) = (documents as f64 / n, passages as f64 / n);
        println!(
            "# recall@{HITS} by {name} of {way} against exact: {documents:.3} of the documents, \
             {passages:.3} with the same passage"
        );
    }
}
