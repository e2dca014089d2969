//! Speed of embedding, of the scan over vectors, and of hybrid search.
//!
//! Where there are more passages than can be embedded in a bench, real vectors with jitter stand in
//! for them, and the output says so.

use crate::serve::{figures, queries, timed};
use serde_json::json;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use synod::embedder::Local;
use synod_embed::{Model, Precision};
use synod_index::hnsw;
use synod_index::vector::{QueryVector, Rows, append};
use synod_index::{
    Detail, Embedder, Filters, Index, Mode, SearchArgs, SourceSpec, Updater, VectorIndex, Work,
};

/// Tokens that are embedded together.
const GROUP_TOKENS: usize = 400;
/// Real vectors that the others are made of.
const REAL: usize = 2_000;
/// Standard deviation of the jitter of each value.
const JITTER: f32 = 0.02;

/// User and system seconds of this process so far.
pub fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(12) + ticks(13)) / 100.0
}

/// A line of `/proc/self/status`, in MB.
pub fn memory_mb(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("0");
    let digits = line.split_whitespace().next().and_then(|t| t.parse::<f64>().ok());
    digits.unwrap_or(0.0) / 1024.0
}

pub fn percentile(mut micros: Vec<u128>, share: f64) -> f64 {
    micros.sort_unstable();
    micros[((micros.len() - 1) as f64 * share) as usize] as f64 / 1000.0
}

/// One JSON string a line.
fn texts(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a file of texts");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON string")).collect()
}

fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).map(String::as_str)
}

/// `bench embed MODEL TEXTS QUERIES --precision int8|f32 --out FILE`: what `peers.py` compares.
pub fn embed(args: &[String]) {
    let precision = match flag(args, "--precision") {
        Some("f32") => Precision::F32,
        _ => Precision::Int8,
    };
    let model = Model::open(Path::new(&args[0]), precision).expect("a model");
    let (passages, questions) = (texts(&args[1]), texts(&args[2]));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (start, cpu) = (Instant::now(), cpu_s());
    let tokens: Vec<Vec<u32>> =
        passages.iter().map(|text| model.tokens(text).expect("tokens")).collect();
    let n_tokens: usize = tokens.iter().map(Vec::len).sum();
    let share = tokens.len().div_ceil(threads).max(1);
    let vectors: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let parts: Vec<_> =
            tokens.chunks(share).map(|part| scope.spawn(|| grouped(&model, part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a thread")).collect()
    });
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_s() - cpu);
    let mut asked = Vec::new();
    questions.iter().take(8).for_each(|text| drop(model.vector(text)));
    let micros = timed(questions.len(), |at| {
        asked.push(model.vector(&questions[at]).expect("a vector"));
    });
    if let Some(path) = flag(args, "--out") {
        let all = vectors.iter().chain(&asked).flatten();
        let bytes: Vec<u8> = all.flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(path, bytes).expect("written");
    }
    let name = if precision == Precision::F32 { "f32" } else { "int8" };
    println!(
        "{}",
        json!({
            "engine": format!("synod {name}"), "tokens": n_tokens, "seconds": seconds,
            "cpu_seconds": cpu, "query_p50_ms": percentile(micros.clone(), 0.5),
            "query_p99_ms": percentile(micros, 0.99), "max_rss_mb": memory_mb("VmHWM:"),
            "dimensions": model.dimensions(), "threads": threads,
        })
    );
}

fn grouped(model: &Model, tokens: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let mut end = start;
        let mut sum = 0;
        while end < tokens.len() && (end == start || sum + tokens[end].len() <= GROUP_TOKENS) {
            sum += tokens[end].len();
            end += 1;
        }
        out.extend(model.vectors(&tokens[start..end]).expect("vectors"));
        start = end;
    }
    out
}

pub fn floats(path: &str, dimensions: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).expect("a file of vectors");
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
        .collect();
    values.chunks_exact(dimensions).map(<[f32]>::to_vec).collect()
}

fn best(cosines: &[f32], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cosines.len()).collect();
    let n = n.min(order.len());
    if n < order.len() {
        order.select_nth_unstable_by(n, |a, b| cosines[*b].total_cmp(&cosines[*a]));
    }
    order.truncate(n);
    order
}

/// `bench vectors VECTORS PROBES DIMENSIONS`: the scans beside each other, one thread.
pub fn vectors(args: &[String]) {
    let dimensions: usize = args[2].parse().expect("dimensions");
    let (vectors, probes) = (floats(&args[0], dimensions), floats(&args[1], dimensions));
    scans(&vectors, &probes, dimensions);
}

fn scans(vectors: &[Vec<f32>], probes: &[Vec<f32>], dimensions: usize) {
    let dir = tempfile::tempdir().expect("a folder");
    let (cpu, memory) = (cpu_s(), memory_mb("VmRSS:"));
    append(dir.path(), 1, dimensions, 0, vectors).expect("rows");
    let rows = Rows::open(dir.path(), 1, dimensions, vectors.len() as u32).expect("rows");
    let build = cpu_s() - cpu;
    let all: Vec<u32> = (0..vectors.len() as u32).collect();
    let truth: Vec<Vec<usize>> = probes
        .iter()
        .map(|probe| {
            let dot = |v: &Vec<f32>| v.iter().zip(probe).map(|(a, b)| a * b).sum::<f32>();
            best(&vectors.iter().map(dot).collect::<Vec<f32>>(), 10)
        })
        .collect();
    let scan = |measured: Option<usize>, probe: &[f32]| {
        let query = QueryVector::new(probe);
        let cosines = match measured {
            None => rows.all_cosines(&all, &query),
            Some(n) => rows.near_cosines(&all, &query, n).into_vec(),
        };
        best(&cosines, 10)
    };
    let report = |setting: &str, build: f64, memory: f64, find: &dyn Fn(&[f32]) -> Vec<usize>| {
        probes.iter().take(8).for_each(|probe| drop(find(probe)));
        let micros = timed(probes.len(), |at| drop(find(&probes[at])));
        let mut kept = 0;
        for (probe, truth) in probes.iter().zip(&truth) {
            let found = find(probe);
            kept += truth.iter().filter(|row| found.contains(row)).count();
        }
        println!(
            "{}",
            json!({
                "engine": "synod i8 rows", "setting": setting, "build_cpu_s": build,
                "memory_mb": memory, "recall10": kept as f64 / (10 * probes.len()) as f64,
                "p50_ms": percentile(micros.clone(), 0.5), "p99_ms": percentile(micros, 0.99),
                "n": vectors.len(),
            })
        );
    };
    let memory = memory_mb("VmRSS:") - memory;
    report("all measured", build, memory, &|probe| scan(None, probe));
    for n in [400, 1_500, 5_000] {
        report(&format!("signs, {n} measured"), build, memory, &|probe| scan(Some(n), probe));
    }
    graphs(dir.path(), &rows, &report);
}

/// What reports one way to find the nearest: its name, seconds to build, memory, and itself.
type Report<'a> = &'a dyn Fn(&str, f64, f64, &dyn Fn(&[f32]) -> Vec<usize>);

/// Graphs over the same rows, built by all processors, and searched by one.
fn graphs(dir: &Path, rows: &Rows, report: Report) {
    let cpu = cpu_s();
    let next = std::sync::atomic::AtomicU32::new(0);
    let segments = rows.len().div_ceil(hnsw::SEGMENT_ROWS);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let segment = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if segment >= segments {
                        return;
                    }
                    hnsw::build(dir, 1, rows, segment, &|| true).expect("a graph");
                }
            });
        }
    });
    let (build, peak) = (cpu_s() - cpu, memory_mb("VmHWM:"));
    let graphs = hnsw::Graphs::open(dir, 1, rows, true);
    for ef in [32, 64, 128, 256, 512] {
        report(&format!("graphs of {segments}, ef {ef}"), build, peak, &|probe| {
            let mut found = graphs.nearest(rows, &QueryVector::new(probe), ef, &|_| true);
            found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
            found.iter().take(10).map(|(row, _)| *row as usize).collect()
        });
    }
}

/// Numbers that look random, from a seed.
pub struct Noise(u64);

impl Noise {
    pub fn of(value: impl Hash) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        value.hash(&mut hasher);
        Noise(hasher.finish() | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Nearly normal: the sum of four even ones.
    fn normal(&mut self) -> f32 {
        let even = |bits: u64| (bits & 0xffff) as f32 / 65_536.0 - 0.5;
        let bits = self.next();
        (0..4).map(|at| even(bits >> (16 * at))).sum::<f32>() * 1.732
    }

    /// A vector near `real`, of length 1.
    pub fn near(&mut self, real: &[f32]) -> Vec<f32> {
        let mut out: Vec<f32> = real.iter().map(|value| value + JITTER * self.normal()).collect();
        let length = out.iter().map(|v| v * v).sum::<f32>().sqrt();
        out.iter_mut().for_each(|v| *v /= length);
        out
    }
}

/// Real vectors with jitter for passages; for queries the model itself, or what it said before.
pub struct Jitter {
    model: Local,
    real: Mutex<Vec<Vec<f32>>>,
    known: Mutex<Option<HashMap<String, Vec<f32>>>>,
}

impl Embedder for Jitter {
    fn space(&self) -> &str {
        // The model's own, so that a served program takes them for its vectors.
        self.model.space()
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let mut real = self.real.lock().expect("vectors");
        if real.len() < REAL {
            let vectors = self.model.passages(texts)?;
            real.extend(vectors.iter().cloned());
            return Ok(vectors);
        }
        Ok(texts
            .iter()
            .map(|text| {
                let mut noise = Noise::of(text);
                let at = noise.next() as usize % real.len();
                noise.near(&real[at])
            })
            .collect())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        let known = self.known.lock().expect("vectors");
        match known.as_ref().and_then(|known| known.get(text)) {
            Some(vector) => Ok(vector.clone()),
            None => {
                drop(known);
                self.model.query(text)
            }
        }
    }
}

pub fn installed() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("target/models/all-MiniLM-L6-v2")
}

/// An index of a folder with a vector for every passage, and what made them.
pub fn embedded(folder: &Path) -> (Arc<Index>, Updater, Arc<Jitter>) {
    let data = folder.with_extension("meaning");
    let index = Index::open(&data).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), synod::now_ms).expect("the lock");
    let source = updater.add_source(folder, &SourceSpec::default()).expect("a source");
    updater.scan(&source, &|_| true).expect("a scan");
    let model = Local::open(&installed()).expect("a model: tests/model.sh target/models");
    let jitter = Arc::new(Jitter { model, real: Mutex::default(), known: Mutex::default() });
    let start = Instant::now();
    let mut work = Work::default();
    while updater.embed(&*jitter, &mut work).expect("vectors").waiting > 0 {}
    println!(
        "# {REAL} real vectors, the others those with jitter; {:.0} s",
        start.elapsed().as_secs_f64()
    );
    (index, updater, jitter)
}

/// Hits of a search.
pub const HITS: usize = 10;

/// A search as a tool asks for it.
pub fn asked(query: &str, mode: Mode) -> SearchArgs {
    SearchArgs {
        query: query.to_owned(),
        also: Vec::new(),
        limit: HITS,
        offset: 0,
        at_generation: None,
        filters: Filters::default(),
        detail: Detail::Passage,
        mode,
        explain: false,
        copies: true,
    }
}

/// `bench hybrid [FOLDER]`: search by words and by both, also with the query's vector at hand.
pub fn hybrid(folder: &Path) {
    let (index, updater, jitter) = embedded(folder);
    index.set_embedder(Arc::clone(&jitter) as Arc<dyn Embedder>);
    let queries = queries(folder);
    let status = index.status().expect("a status");
    println!("# passages {}", status.sources.iter().map(|s| s.chunks).sum::<u64>());
    println!("what,n,p50_ms,p90_ms,p99_ms");
    let search = |n: usize, mode: Mode| {
        let args = asked(&queries[n % queries.len()], mode);
        index.search(&args).expect("a search");
    };
    timed(queries.len(), |n| search(n, Mode::Hybrid));
    figures("words", timed(1_000, |n| search(n, Mode::Lexical)));
    figures("both, the query embedded", timed(1_000, |n| search(n, Mode::Hybrid)));
    let embedded = timed(1_000, |n| drop(jitter.model.query(&queries[n % queries.len()])));
    figures("embedding a query", embedded);
    figures("embedding the first query after the model rested", rested(&queries));
    let known = queries.iter().map(|q| (q.clone(), jitter.model.query(q).expect("a vector")));
    *jitter.known.lock().expect("vectors") = Some(known.collect());
    figures("both, the query's vector at hand", timed(1_000, |n| search(n, Mode::Hybrid)));
    figures("meaning, the query's vector at hand", timed(1_000, |n| search(n, Mode::Semantic)));
    index.set_vector_index(VectorIndex::Hnsw);
    let (start, cpu) = (Instant::now(), cpu_s());
    while let Some(work) = updater.graph_wanted().expect("spaces") {
        work.run(&|| true).expect("a graph");
        while !updater.graph_built(&work).expect("known") {}
    }
    println!("# graphs {:.0} s, {:.0} CPU s", start.elapsed().as_secs_f64(), cpu_s() - cpu);
    timed(queries.len(), |n| search(n, Mode::Hybrid));
    figures("graphs: both, the vector at hand", timed(1_000, |n| search(n, Mode::Hybrid)));
    figures("graphs: meaning, the vector at hand", timed(1_000, |n| search(n, Mode::Semantic)));
    index.set_vector_index(VectorIndex::Auto);
    timed(queries.len(), |n| search(n, Mode::Hybrid));
    figures("again without graphs: both", timed(1_000, |n| search(n, Mode::Hybrid)));
    println!(
        "# anonymous memory {:.1} MB, mapped {:.1} MB",
        memory_mb("RssAnon:"),
        memory_mb("RssFile:")
    );
}

/// The time of the query for which a model that rested is opened again.
fn rested(queries: &[String]) -> Vec<u128> {
    let model = Local::open(&installed()).expect("a model").idle_after(Duration::ZERO);
    let first = |query: &String| {
        assert!(model.rest(), "nobody holds it");
        let start = Instant::now();
        model.query(query).expect("a vector");
        start.elapsed().as_micros()
    };
    queries.iter().cycle().take(100).map(first).collect()
}

/// What the model makes of documents of the judged data, and of its first questions.
pub fn real_vectors(n_questions: usize) -> [Vec<Vec<f32>>; 2] {
    let home = crate::judged();
    let set = synod::eval::set::Set::open(
        &home.join("scifact"),
        &std::env::temp_dir().join("synod-bench"),
    );
    let set = set.expect("the judged set");
    let model = Local::open(&installed()).expect("a model: tests/model.sh target/models");
    let mut texts = Vec::new();
    for found in synod_index::walk::walk(&set.folder, &[]).files.iter().take(REAL) {
        texts.push(std::fs::read_to_string(set.folder.join(&found.path)).expect("a document"));
    }
    let documents = model.passages(&texts).expect("vectors");
    let questions = set.questions.iter().take(n_questions);
    [documents, questions.map(|q| model.query(&q.text).expect("a vector")).collect()]
}

/// `bench million [N]`: the scans over a million vectors, real ones with jitter.
pub fn million(n: usize) {
    let [real, probes] = real_vectors(100);
    let vectors: Vec<Vec<f32>> =
        (0..n).map(|at| Noise::of(at).near(&real[at % real.len()])).collect();
    println!("# {n} vectors: {} real ones with jitter of {JITTER} a value", real.len());
    scans(&vectors, &probes, real[0].len());
}

/// The judged sets; all of them are embedded in some twenty minutes, in f32 and in 7 bits.
const SETS: [&str; 5] = ["vault-garden", "ctx-codebase", "commits-tokio", "scifact", "cosqa"];

/// `bench precision`: what weights in 7 bits cost in ranking, beside those of 32 bits.
pub fn precision() {
    println!("set,weights,questions,semantic,hybrid");
    let work = std::env::temp_dir().join("synod-bench");
    for name in SETS {
        let set = synod::eval::set::Set::open(&crate::judged().join(name), &work);
        let set = set.expect("the judged set");
        for (weights, precision) in [("7-bit", Precision::Int8), ("f32", Precision::F32)] {
            let data = tempfile::tempdir().expect("a folder");
            let index = synod::eval::index(&set, data.path()).expect("an index");
            let model = Local::with(&installed(), precision).expect("a model");
            synod::eval::embed(&index, Arc::new(model), &|_, _| ()).expect("vectors");
            let questions = set.some(None, usize::MAX);
            let score = |mode| {
                let score = synod::eval::evaluate(&index, &questions, mode);
                score.expect("searches").ndcg
            };
            let (meaning, both) = (score(Mode::Semantic), score(Mode::Hybrid));
            println!("{name},{weights},{},{meaning:.4},{both:.4}", questions.len());
        }
    }
}
