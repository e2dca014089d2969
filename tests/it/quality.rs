//! Ranking on judged data: computed, compared with the floors of the research.
//!
//! Absent data is a named pass on a machine without it and a failure in CI.

use crate::program::{Place, long};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use synod::eval::answers::Recorded;
use synod::eval::trust::{Rows, measure};
use synod::eval::{self, set::Set};
use synod_index::{Embedder, Mode};

/// The sets with what they must reach by words: BM25F of the research (document and chunk where it
/// is given) less half a point.
const FLOORS: [(&str, f64); 5] = [
    ("scifact", 0.687),
    ("vault-garden", 0.603),
    ("commits-tokio", 0.621),
    ("cosqa", 0.379),
    ("ctx-codebase", 0.692),
];
/// nDCG@10 of the first 100 questions by words and meaning, as it was measured when this line was
/// last changed: a drop of more than a point fails. Small sets: all passages are embedded here.
const HYBRID: [(&str, f64); 2] = [("vault-garden", 0.8722), ("ctx-codebase", 0.7971)];
/// How far it may drop.
const DROP_MAX: f64 = 0.01;
/// Questions per set: enough to see a drop of a point, few enough for every run.
const QUESTIONS: u64 = 200;
/// A subset is noisier than the set: this much below the floor still passes.
const SLACK: f64 = 0.03;

/// Where the judged sets are, if they are anywhere.
fn judged() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("SYNOD_JUDGED").map(PathBuf::from);
    let home = named.unwrap_or_else(|| root.join("../shared/data")).join("retrieval");
    if home.is_dir() {
        return Some(home);
    }
    assert!(std::env::var_os("CI").is_none(), "no judged data; set SYNOD_JUDGED");
    eprintln!("passed without judged data: set SYNOD_JUDGED to measure ranking");
    None
}

fn set(home: &Path, name: &str) -> Set {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    Set::open(&home.join(name), &target.join("judged")).expect("a set")
}

#[test]
fn lexical_ranking_holds_its_floors() {
    let Some(home) = judged() else { return };
    let place = Place::new();
    for (name, floor) in FLOORS {
        let set = set(&home, name);
        let index = eval::index(&set, &place.path().join(name)).expect("an index");
        let questions = set.some(None, long(QUESTIONS, u64::MAX) as usize);
        let score = eval::evaluate(&index, &questions, Mode::Lexical).expect("searches");
        eprintln!(
            "{name}: nDCG@10 {:.4} R@10 {:.4} MRR@10 {:.4}",
            score.ndcg, score.recall, score.mrr
        );
        let slack = if long(0, 1) == 1 { 0.0 } else { SLACK };
        assert!(score.ndcg > floor - slack, "{name}: {:.4}, floor {floor}", score.ndcg);
    }
}

/// A model whose vectors are kept in a file: texts stay the same from run to run, and embedding
/// them takes minutes.
struct Kept {
    model: synod::embedder::Local,
    path: PathBuf,
    known: Mutex<HashMap<[u8; 32], Vec<f32>>>,
}

impl Kept {
    fn open(model: &Path) -> Self {
        let model = synod::embedder::Local::open(model).expect("a model");
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
        // What changes a vector stands in the name of the space.
        let space = blake3::hash(model.space().as_bytes()).to_hex();
        let path = target.join("judged").join(format!("{}.vectors", &space[..16]));
        let bytes = std::fs::read(&path).unwrap_or_default();
        let row = 32 + 4 * model.dimensions();
        let known = bytes.chunks_exact(row).map(|row| {
            let (key, values) = row.split_at(32);
            let values = values.chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
            (key.try_into().expect("a hash"), values.collect())
        });
        Kept { known: Mutex::new(known.collect()), model, path }
    }

    fn save(&self) {
        let known = self.known.lock().expect("the vectors");
        let mut bytes = Vec::new();
        for (key, values) in known.iter() {
            bytes.extend(key);
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        // By rename: another test process may read.
        let new = self.path.with_extension(format!("new-{}", std::process::id()));
        std::fs::write(&new, bytes).expect("written");
        std::fs::rename(&new, &self.path).expect("renamed");
    }
}

impl Embedder for Kept {
    fn space(&self) -> &str {
        self.model.space()
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let key = |text: &String| *blake3::hash(text.as_bytes()).as_bytes();
        let missing: Vec<String> = {
            let known = self.known.lock().expect("the vectors");
            texts.iter().filter(|text| !known.contains_key(&key(text))).cloned().collect()
        };
        let made = self.model.passages(&missing)?;
        let mut known = self.known.lock().expect("the vectors");
        known.extend(missing.iter().map(key).zip(made));
        Ok(texts.iter().map(|text| known[&key(text)].clone()).collect())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.model.query(text)
    }
}

#[test]
fn ranking_by_words_and_meaning_does_not_drop() {
    let Some(home) = judged() else { return };
    let Some(model) = crate::model::minilm() else { return };
    let place = Place::new();
    let kept = Arc::new(Kept::open(&model));
    for (name, known) in HYBRID {
        let set = set(&home, name);
        let index = eval::index(&set, &place.path().join(name)).expect("an index");
        let embedder = Arc::clone(&kept) as Arc<dyn Embedder>;
        eval::embed(&index, embedder, &|_, _| ()).expect("vectors");
        let score = eval::evaluate(&index, &set.some(None, 100), Mode::Hybrid).expect("searches");
        eprintln!("{name}: nDCG@10 {:.4}, was {known}", score.ndcg);
        assert!(score.ndcg > known - DROP_MAX, "{name}: {:.4}, was {known}", score.ndcg);
    }
    kept.save();
}

/// What the project's table of trust (`docs/trust.csv`) has to say: set, experiment, metric, the
/// least or the most that is asked. Gains are over the majority of the same panels.
const TRUST: [(&str, &str, &str, f64); 27] = [
    ("mmlu_pro", "strong5 50 labels", "gain", 0.015),
    ("mmlu_pro", "random5 50 labels", "gain", 0.06),
    ("math_l5", "random5 50 labels", "gain", 0.09),
    ("math_l5", "strong5 50 labels", "gain", 0.06),
    ("gsm8k", "random5 50 labels", "gain", 0.003),
    ("mmlu_pro", "strong5 50 labels", "ece", 0.06),
    ("mmlu_pro", "random5 50 labels", "ece", 0.065),
    ("math_l5", "random5 50 labels", "ece", 0.075),
    ("math_l5", "strong5 50 labels", "ece", 0.06),
    ("gsm8k", "random5 50 labels", "ece", 0.025),
    ("mmlu_pro", "random5 0 labels", "gain", 0.0),
    ("math_l5", "random5 0 labels", "gain", 0.0),
    ("gsm8k", "random5 0 labels", "gain", 0.0),
    ("mmlu_pro", "random5 0 labels", "ece", 0.05),
    // .045 is asked and not reached: docs/decisions.md says why.
    ("math_l5", "random5 0 labels", "ece", 0.06),
    ("gsm8k", "random5 0 labels", "ece", 0.035),
    ("mmlu_pro", "random7 label-free", "gain", 0.05),
    ("math_l5", "random7 label-free", "gain", 0.05),
    ("mmlu_pro", "random5 adaptive", "calls", 3.7),
    ("math_l5", "random5 adaptive", "calls", 3.7),
    ("mmlu_pro", "strong5 adaptive", "loss", 0.003),
    ("math_l5", "strong5 adaptive", "loss", 0.003),
    ("gsm8k", "random5 adaptive", "loss", 0.003),
    ("evouna_nq", "lexical", "auroc", 0.816),
    ("evouna_nq", "embedding", "auroc", 0.82),
    ("tofueval", "embedding", "auroc", 0.65),
    ("misguided_attention", "traps", "trust_of_wrong", 0.6),
];

/// A value of a table, or one that follows from it.
fn value(rows: &Rows, set: &str, experiment: &str, metric: &str) -> f64 {
    let of = |metric: &str| {
        let found = rows.value(set, experiment, metric);
        found.unwrap_or_else(|| panic!("no {set},{experiment},{metric}"))
    };
    match metric {
        "gain" => of("accuracy") - of("majority"),
        "loss" => of("all") - of("stopped"),
        metric => of(metric),
    }
}

fn asked(rows: &Rows, set: &str, experiment: &str, metric: &str, bound: f64, slack: f64) {
    let found = value(rows, set, experiment, metric);
    let most = matches!(metric, "ece" | "calls" | "loss" | "trust_of_wrong");
    let fits = if most { found <= bound + slack } else { found >= bound - slack };
    assert!(fits, "{set}, {experiment}: {metric} {found:.4}, asked {bound}");
}

#[test]
fn the_table_of_trust_keeps_what_is_asked() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trust.csv");
    let rows = Rows(std::fs::read_to_string(path).expect("docs/trust.csv"));
    for (set, experiment, metric, bound) in TRUST {
        asked(&rows, set, experiment, metric, bound, 1e-9);
    }
}

#[test]
fn trust_agrees_with_outcomes() {
    let Some(home) = judged() else { return };
    let home = home.parent().expect("the folder above").join("consensus");
    // All of phrases, claims and traps; of panels enough to see two points.
    for (name, panels) in
        [("math_l5", 20), ("evouna_nq", 0), ("tofueval", 0), ("misguided_attention", 0)]
    {
        let set = Recorded::open(&home.join(format!("{name}.jsonl.gz"))).expect("a set");
        let panels = if panels == 0 { 0 } else { long(panels, 200) as usize };
        let rows = measure(&set, panels, None).expect("a table");
        let slack = if panels == 20 { 0.02 } else { 1e-9 };
        for (_, experiment, metric, bound) in TRUST.iter().filter(|row| row.0 == name) {
            // Embeddings are measured by `synod eval`.
            if *experiment != "embedding" {
                asked(&rows, name, experiment, metric, *bound, slack);
            }
        }
    }
}
