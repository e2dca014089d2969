//! Ranking and packs measured on judged data: what `synod eval` and the tests compute.
//!
//! A set is a folder with questions, judgements and documents (`set.rs`); scores are the field's:
//! nDCG@10 with linear gains, recall@10, MRR@10, and the share of judged documents inside a pack.

pub mod answers;
pub mod set;
pub mod trust;

use crate::fault::Fault;
use set::{Question, Set};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use synod_index::{
    Detail, Embedder, Error, Filters, Hit, Index, Mode, PackArgs, Piece, ReadArgs, SearchArgs,
    SourceSpec, Updater, Work,
};

/// Budgets of packs that are measured, in tokens.
pub const BUDGETS: [usize; 5] = [1_000, 2_000, 4_000, 8_000, 32_000];
/// Hits whose passages are put one behind the other, to compare packs with.
const CONCATENATED_MAX: usize = 200;

/// What a ranking reaches, as means over questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// nDCG at 10.
    pub ndcg: f64,
    /// Share of the judged documents among the first 10.
    pub recall: f64,
    /// 1 / rank of the first judged document, 0 beyond 10.
    pub mrr: f64,
    /// Questions.
    pub n: usize,
}

/// Share of judged documents inside packs and inside plain lists of passages, by budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Of packs.
    pub pack: [f64; BUDGETS.len()],
    /// Of the passages of the best hits one behind the other, one of each document.
    pub top_k: [f64; BUDGETS.len()],
    /// Of the passages nearest in meaning one behind the other, several of one document among them;
    /// 0 without a model.
    pub nearest: [f64; BUDGETS.len()],
    /// Documents in a pack, on average.
    pub documents: [f64; BUDGETS.len()],
    /// Questions.
    pub n: usize,
}

/// Indexes a set's folder into `data`, by words.
///
/// # Errors
/// Those of the index.
pub fn index(set: &Set, data: &Path) -> Result<Arc<Index>, Error> {
    let index = Index::open(data)?;
    let mut updater = Updater::new(Arc::clone(&index), || 0)?;
    let source = updater.add_source(&set.folder, &SourceSpec::default())?;
    updater.scan(&source, &|_| true)?;
    Ok(index)
}

/// Embeds whatever has no vector yet, and lets the index search with the model; `tell` gets the
/// number of passages that wait.
///
/// # Errors
/// Those of the index.
pub fn embed(
    index: &Arc<Index>,
    embedder: Arc<dyn Embedder>,
    tell: &dyn Fn(u64, f32),
) -> Result<(), Error> {
    let mut updater = Updater::new(Arc::clone(index), || 0)?;
    let mut work = Work::default();
    loop {
        let coverage = updater.embed(&*embedder, &mut work)?;
        tell(coverage.waiting, coverage.rate);
        if coverage.waiting == 0 {
            break;
        }
    }
    while let Some(graph) = updater.graph_wanted()? {
        graph.run(&|| true)?;
        while !updater.graph_built(&graph)? {}
    }
    index.set_embedder(embedder);
    Ok(())
}

/// The search that a question is.
fn asked(question: &Question, mode: Mode, limit: usize) -> SearchArgs {
    SearchArgs {
        query: question.text.clone(),
        also: Vec::new(),
        limit,
        offset: 0,
        at_generation: None,
        filters: Filters::default(),
        detail: Detail::Names,
        mode,
        explain: false,
        copies: false,
    }
}

/// Ranks every question and averages.
///
/// # Errors
/// Those of the index.
pub fn evaluate(index: &Index, questions: &[&Question], mode: Mode) -> Result<Score, Error> {
    let mut sum = Score::default();
    for one in each(index, questions, mode)? {
        sum.ndcg += one.ndcg;
        sum.recall += one.recall;
        sum.mrr += one.mrr;
        sum.n += 1;
    }
    let n = sum.n.max(1) as f64;
    Ok(Score { ndcg: sum.ndcg / n, recall: sum.recall / n, mrr: sum.mrr / n, n: sum.n })
}

/// The score of each question, in order.
///
/// # Errors
/// Those of the index.
pub fn each(index: &Index, questions: &[&Question], mode: Mode) -> Result<Vec<Score>, Error> {
    let mut out = Vec::new();
    for question in questions {
        let found = index.search(&asked(question, mode, 10))?;
        let judged = &question.judged;
        let ranked: Vec<&str> = found.hits.iter().map(|hit| stands_for(hit, judged)).collect();
        out.push(rate(&ranked, judged));
    }
    Ok(out)
}

/// The path that a hit is rated by: its own, or that of a document which it says it stands for,
/// where only that one was judged.
fn stands_for<'h>(hit: &'h Hit, judged: &HashMap<String, f64>) -> &'h str {
    let gain = |path: &str| judged.get(path).copied().unwrap_or(0.0);
    let paths = hit.copies.iter().map(|(_, path)| path.as_str());
    paths.fold(hit.path.as_str(), |best, path| if gain(path) > gain(best) { path } else { best })
}

/// Packs every question within each budget, and puts passages one behind the other within the same:
/// of the best hits, and those nearest in meaning.
///
/// # Errors
/// Those of the index.
pub fn cover(
    index: &Index,
    questions: &[&Question],
    mode: Mode,
    count: fn(&str) -> usize,
) -> Result<Coverage, Fault> {
    let mut sum = Coverage::default();
    for question in questions {
        let search = asked(question, mode, 1);
        for (at, budget) in BUDGETS.into_iter().enumerate() {
            let args = PackArgs { search: search.clone(), budget };
            let cost = |piece: &Piece| count(&synod_tools::piece_text(piece));
            let pack = index.pack(&args, &cost)?;
            let paths = pack.pieces.iter().map(|piece| piece.path.as_str()).collect();
            sum.pack[at] += share(&paths, &question.judged);
            sum.documents[at] += paths.len() as f64;
        }
        let listed = SearchArgs { copies: true, ..asked(question, mode, CONCATENATED_MAX) };
        let hits = index.search(&listed)?.hits;
        let ids = hits.into_iter().map(|hit| hit.id).collect();
        add(&mut sum.top_k, &concatenated(index, ids, count), question);
        let ids = index.nearest_passages(&question.text, CONCATENATED_MAX)?;
        add(&mut sum.nearest, &concatenated(index, ids, count), question);
        sum.n += 1;
    }
    let n = sum.n.max(1) as f64;
    let mean = |sums: [f64; BUDGETS.len()]| sums.map(|sum| sum / n);
    let Coverage { pack, top_k, nearest, documents, .. } = sum;
    let (top_k, nearest) = (mean(top_k), mean(nearest));
    Ok(Coverage { pack: mean(pack), top_k, nearest, documents: mean(documents), n: sum.n })
}

/// Adds what a list holds within each budget.
fn add(sums: &mut [f64; BUDGETS.len()], listed: &[(String, usize)], question: &Question) {
    for (sum, budget) in sums.iter_mut().zip(BUDGETS) {
        let inside = listed.iter().take_while(|(_, end)| *end <= budget);
        let paths = inside.map(|(path, _)| path.as_str()).collect();
        *sum += share(&paths, &question.judged);
    }
}

/// Passages one behind the other, whole and shown as in a pack: paths, and the tokens up to each
/// one's end.
fn concatenated(index: &Index, ids: Vec<String>, count: fn(&str) -> usize) -> Vec<(String, usize)> {
    let most = BUDGETS[BUDGETS.len() - 1];
    let mut out = Vec::new();
    let mut end = 0;
    for id in ids {
        let args = ReadArgs { id: Some(id), bytes_max: 1 << 20, ..ReadArgs::default() };
        let Ok(passage) = index.read(&args) else { continue };
        let (first, last) = passage.lines;
        let head = format!("\n### {}/{}:{first}-{last}\n```\n", passage.source, passage.path);
        end += count(&format!("{head}{}\n```\n", passage.text.trim_end()));
        if end > most {
            break;
        }
        out.push((passage.path, end));
    }
    out
}

/// Share of the judged documents that are among `paths`.
fn share(paths: &HashSet<&str>, judged: &HashMap<String, f64>) -> f64 {
    let inside = judged.keys().filter(|path| paths.contains(path.as_str())).count();
    inside as f64 / judged.len().max(1) as f64
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ranking_is_rated_as_in_the_field() {
        let judged: HashMap<String, f64> =
            [("a".to_owned(), 1.0), ("b".to_owned(), 1.0)].into_iter().collect();
        let best = rate(&["a", "b", "c"], &judged);
        assert_eq!((best.ndcg, best.recall, best.mrr), (1.0, 1.0, 1.0));
        let second = rate(&["c", "a"], &judged);
        let dcg = 1.0 / 3f64.log2();
        assert!((second.ndcg - dcg / (1.0 + dcg)).abs() < 1e-12);
        assert_eq!((second.recall, second.mrr), (0.5, 0.5));
        assert_eq!(rate(&[], &judged).ndcg, 0.0);
    }
}
