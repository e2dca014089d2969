//! Judged data sets as real folders, and ranking measured on them: nDCG@10, recall and MRR.
//!
//! Data is read from `SYNOD_JUDGED` (by default `../shared/data`) and laid out below `target/`.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use synod_index::{Detail, Embedder, Filters, Index, Mode, SearchArgs, SourceSpec, Updater, Work};

/// The sets, in the order of the report.
pub const SETS: [&str; 5] = ["scifact", "vault-garden", "commits-tokio", "cosqa", "ctx-codebase"];

/// Lexical nDCG@10 that must hold: BM25F of the research (document and chunk where it is given)
/// less half a point.
pub const FLOORS: [f64; 5] = [0.687, 0.603, 0.621, 0.379, 0.692];

/// A question with its judged documents.
pub struct Question {
    pub text: String,
    pub judged: HashMap<String, f64>,
}

/// A set laid out as a folder.
pub struct Set {
    pub folder: PathBuf,
    pub questions: Vec<Question>,
}

/// What a ranking reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    pub ndcg: f64,
    pub recall: f64,
    pub mrr: f64,
    pub n: usize,
}

/// Where the judged data is, if it is anywhere.
pub fn home() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("SYNOD_JUDGED").map(PathBuf::from);
    let home = named.unwrap_or_else(|| root.join("../shared/data"));
    home.join("retrieval").is_dir().then_some(home)
}

/// Lays out a set; done once, kept below `target/judged`.
pub fn set(home: &Path, name: &'static str) -> Set {
    let source = home.join("retrieval").join(name);
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let folder = target.join("judged").join(name);
    if !folder.join(".done").exists() {
        // A folder of our own first: two test processes may lay out the same set.
        let making = folder.with_extension(format!("making-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&making);
        std::fs::create_dir_all(&making).expect("a folder below target");
        match name {
            "vault-garden" => unpack(&source.join("tree.tar.gz"), &making),
            "commits-tokio" => make_tree(&source, &making),
            _ => write_corpus(&source, name, &making),
        }
        std::fs::write(making.join(".done"), "").expect("a mark");
        if std::fs::rename(&making, &folder).is_err() {
            let _ = std::fs::remove_dir_all(&making);
        }
    }
    let folder = match name {
        "vault-garden" | "commits-tokio" => folder.join("tree"),
        _ => folder,
    };
    Set { folder, questions: questions(&source, name) }
}

fn lines(path: &Path) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("UTF-8"))
}

fn unpack(archive: &Path, folder: &Path) {
    let mut tar = Vec::new();
    let file = std::fs::File::open(archive).expect("the archive");
    GzDecoder::new(file).read_to_end(&mut tar).expect("a gzip file");
    let path = folder.join("tree.tar");
    std::fs::write(&path, tar).expect("the archive unpacked");
    let done = Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(folder).status();
    assert!(done.is_ok_and(|s| s.success()), "tar unpacks the vault");
    std::fs::remove_file(path).expect("the archive removed");
}

fn make_tree(source: &Path, folder: &Path) {
    let done = Command::new("bash").arg(source.join("make-tree.sh")).arg(folder).status();
    assert!(done.is_ok_and(|s| s.success()), "make-tree.sh lays out tokio");
}

/// The path of a document of a corpus without paths.
fn path_of(name: &str, id: &str) -> String {
    match name {
        "scifact" => format!("{id}.md"),
        "cosqa" => format!("{id}.py"),
        _ => id.replace('#', "/part_"),
    }
}

fn write_corpus(source: &Path, name: &str, folder: &Path) {
    for line in lines(&source.join("corpus.jsonl.gz")) {
        let doc: Value = serde_json::from_str(&line).expect("JSON");
        let text = |key: &str| doc[key].as_str().unwrap_or_default();
        let path = folder.join(path_of(name, text("id")));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let body = match text("title") {
            "" => text("text").to_owned(),
            title => format!("# {title}\n\n{}\n", text("text")),
        };
        std::fs::write(path, body).expect("a document");
    }
}

fn questions(source: &Path, name: &str) -> Vec<Question> {
    let mut judged: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in lines(&source.join("qrels.tsv.gz")).skip(1) {
        let mut parts = line.split('\t');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (question, doc, score) = (part(), part(), part());
        let score: f64 = score.parse().unwrap_or(0.0);
        if score > 0.0 {
            let path = match name {
                "vault-garden" | "commits-tokio" => doc,
                _ => path_of(name, &doc),
            };
            judged.entry(question).or_default().insert(path, score);
        }
    }
    let mut out = Vec::new();
    for line in lines(&source.join("queries.jsonl.gz")) {
        let question: Value = serde_json::from_str(&line).expect("JSON");
        let id = question["id"].as_str().unwrap_or_default();
        let text = question["text"].as_str().unwrap_or_default().to_owned();
        if let Some(judged) = judged.remove(id) {
            out.push(Question { text, judged });
        }
    }
    out
}

/// Indexes a set's folder into `data`.
pub fn index(set: &Set, data: &Path) -> Arc<Index> {
    let index = Index::open(data).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), || 0).expect("the lock");
    let source = updater.add_source(&set.folder, &SourceSpec::default()).expect("a source");
    updater.scan(&source, &|_| true).expect("a scan");
    index
}

/// Embeds whatever has no vector yet.
#[allow(dead_code)]
pub fn embed(data: &Path, embedder: Arc<dyn Embedder>) -> Arc<Index> {
    let index = Index::open(data).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), || 0).expect("the lock");
    let mut work = Work::default();
    while updater.embed(&*embedder, &mut work).expect("vectors").waiting > 0 {}
    index.set_embedder(embedder);
    index
}

/// Ranks every question and averages.
pub fn evaluate(index: &Index, set: &Set, questions: usize, mode: Mode) -> Score {
    let mut score = Score::default();
    for question in set.questions.iter().take(questions) {
        let args = SearchArgs {
            query: question.text.clone(),
            also: Vec::new(),
            limit: 10,
            offset: 0,
            at_generation: None,
            filters: Filters::default(),
            detail: Detail::Names,
            mode,
            explain: false,
        };
        let found = index.search(&args).expect("a search");
        let ranked: Vec<&str> = found.hits.iter().map(|hit| hit.path.as_str()).collect();
        let one = rate(&ranked, &question.judged);
        score.ndcg += one.ndcg;
        score.recall += one.recall;
        score.mrr += one.mrr;
        score.n += 1;
    }
    let n = score.n.max(1) as f64;
    Score { ndcg: score.ndcg / n, recall: score.recall / n, mrr: score.mrr / n, n: score.n }
}

/// nDCG@10 with linear gains, recall@10 and MRR@10 of one ranking.
fn rate(ranked: &[&str], judged: &HashMap<String, f64>) -> Score {
    let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
    let gains = ranked.iter().take(10).map(|path| judged.get(*path).copied().unwrap_or(0.0));
    let gains: Vec<f64> = gains.collect();
    let dcg: f64 = gains.iter().enumerate().map(|(rank, gain)| gain * discount(rank)).sum();
    let mut ideal: Vec<f64> = judged.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let ideal: f64 =
        ideal.iter().take(10).enumerate().map(|(rank, gain)| gain * discount(rank)).sum();
    let found = gains.iter().filter(|gain| **gain > 0.0).count();
    let first = gains.iter().position(|gain| *gain > 0.0);
    Score {
        ndcg: if ideal > 0.0 { dcg / ideal } else { 0.0 },
        recall: found as f64 / judged.len().max(1) as f64,
        mrr: first.map_or(0.0, |rank| 1.0 / (rank + 1) as f64),
        n: 1,
    }
}
