//! How well a trust score agrees with outcomes, on recorded answers: panels drawn from a seed, the
//! product's own extraction, clusters, posterior and calibration. Gives rows of
//! `set,experiment,metric,value`.

use super::answers::{Question, Recorded};
use std::fmt::Write as _;
use std::sync::Arc;
use synod_council::measure::{Cell, Outcome, Pool, Scores, auroc, cascade, run, table_ece, worth};
use synod_council::text::{Content, content, kept};
use synod_council::verdict::{Case, Vote, decide};
use synod_council::{Kind, claim, cluster, plan};
use synod_index::Embedder;

/// Panels of one cell.
pub const PANELS: usize = 200;
/// The seed of all panels.
const SEED: u64 = 7;

/// Rows of one set.
#[derive(Default)]
pub struct Rows(pub String);

impl Rows {
    fn add(&mut self, set: &str, experiment: &str, metric: &str, value: f64) {
        // A String takes everything.
        let _ = writeln!(self.0, "{set},{experiment},{metric},{value:.4}");
    }

    /// A value that was measured.
    pub fn value(&self, set: &str, experiment: &str, metric: &str) -> Option<f64> {
        let head = format!("{set},{experiment},{metric},");
        self.0.lines().find_map(|line| line.strip_prefix(&head)?.parse().ok())
    }
}

/// Measures a set by what its name says it holds.
pub fn measure(
    set: &Recorded,
    panels: usize,
    embedder: Option<&Arc<dyn Embedder>>,
) -> Result<Rows, String> {
    let mut rows = Rows::default();
    match set.name.as_str() {
        "evouna_nq" => short(set, embedder, &mut rows)?,
        "tofueval" => claims(set, embedder, &mut rows)?,
        "misguided_attention" => traps(set, &mut rows),
        name => {
            let choice = set.questions.iter().any(|q| !q.options.is_empty());
            let kind = if choice { Kind::Choice } else { Kind::Number };
            exact(set, kind, panels, &mut rows);
            let flagged =
                set.questions.iter().filter(|q| plan::shared_prior(&q.question).is_some());
            let share = flagged.count() as f64 / set.questions.len().max(1) as f64;
            rows.add(name, "traps", "flagged", share);
        }
    }
    Ok(rows)
}

fn exact(set: &Recorded, kind: Kind, panels: usize, rows: &mut Rows) {
    let answers = set.votes(kind);
    // What the table of shares was read from, and how far it is off over all panels together.
    for k in 1..=7 {
        let experiment = format!("table of {k}");
        for (votes, (right, _)) in worth(&answers, k, panels, SEED).into_iter().enumerate() {
            if votes > 0 {
                rows.add(&set.name, &experiment, &format!("right of {votes}"), right);
            }
        }
        rows.add(&set.name, &experiment, "ece", table_ece(&answers, k, panels, SEED));
    }
    for (pool, name) in [(Pool::Random, "random"), (Pool::Strong, "strong")] {
        for labels in [0, 10, 20, 50, 200] {
            let cell = Cell { pool, voters: 5, labels, panels, fitted: false };
            let found = run(&answers, cell, SEED);
            let experiment = format!("{name}5 {labels} labels");
            write(rows, &set.name, &experiment, &found.scores);
            rows.add(&set.name, &experiment, "majority", found.majority.accuracy);
            rows.add(&set.name, &experiment, "best", found.best);
            rows.add(&set.name, &experiment, "share_ece", found.majority.ece);
        }
        let cell = Cell { pool, voters: 7, labels: 0, panels: panels.div_ceil(6), fitted: true };
        let found = run(&answers, cell, SEED);
        let experiment = format!("{name}7 label-free");
        write(rows, &set.name, &experiment, &found.scores);
        rows.add(&set.name, &experiment, "majority", found.majority.accuracy);
        let cell = Cell { pool, voters: 5, labels: 50, panels: panels.div_ceil(2), fitted: false };
        let found = cascade(&answers, cell, 0.8, SEED);
        let experiment = format!("{name}5 adaptive");
        rows.add(&set.name, &experiment, "all", found.all);
        rows.add(&set.name, &experiment, "stopped", found.stopped);
        rows.add(&set.name, &experiment, "calls", found.calls);
    }
}

fn write(rows: &mut Rows, set: &str, experiment: &str, scores: &Scores) {
    rows.add(set, experiment, "accuracy", scores.accuracy);
    rows.add(set, experiment, "auroc", scores.auroc);
    rows.add(set, experiment, "ece", scores.ece);
    rows.add(set, experiment, "brier", scores.brier);
    rows.add(set, experiment, "aurc", scores.aurc);
}

/// Phrases: how well the support by the others tells right answers from wrong ones.
fn short(
    set: &Recorded,
    embedder: Option<&Arc<dyn Embedder>>,
    rows: &mut Rows,
) -> Result<(), String> {
    for (name, embedder) in [("lexical", None), ("embedding", embedder)] {
        if name == "embedding" && embedder.is_none() {
            continue;
        }
        let (mut all, mut said): (Vec<Outcome>, Vec<Outcome>) = (Vec::new(), Vec::new());
        for question in &set.questions {
            let texts: Vec<String> = question.answers.iter().map(|a| a.text.clone()).collect();
            let kept: Vec<String> = texts.iter().map(|t| kept(t, &question.question)).collect();
            let meaning =
                embedder.map(|e| e.passages(&kept)).transpose()?.map(|v| cluster::cosines(&v));
            let contents: Vec<Content> =
                texts.iter().map(|text| content(text, &question.question)).collect();
            let scaled = meaning.as_deref().map(|cosines| (cosines, cluster::PHRASES));
            let square = cluster::similarity(&contents, scaled);
            let support = cluster::support(&square);
            all.extend(support.into_iter().zip(&question.answers).map(|(s, a)| (s, a.correct)));
            let verdict = decide(&case(question, Kind::Short, meaning));
            if let (Some(trust), Some(group)) = (verdict.trust, verdict.groups.first()) {
                said.push((trust, question.answers[group.votes[0]].correct));
            }
        }
        rows.add(&set.name, name, "auroc", auroc(&all));
        let scores = Scores::of(&said);
        rows.add(&set.name, &format!("{name} verdict"), "accuracy", scores.accuracy);
        rows.add(&set.name, &format!("{name} verdict"), "auroc", scores.auroc);
        rows.add(&set.name, &format!("{name} verdict"), "ece", scores.ece);
    }
    Ok(())
}

fn case(question: &Question, kind: Kind, meaning: Option<Vec<Vec<f64>>>) -> Case {
    let vote = |answer: &super::answers::Answer| Vote {
        model: answer.model.clone(),
        vendor: answer.vendor.clone(),
        family: answer.family.clone(),
        text: answer.text.clone(),
        ..Vote::default()
    };
    Case {
        question: question.question.clone(),
        kind: Some(kind),
        options: question.options.clone(),
        votes: question.answers.iter().map(vote).collect(),
        meaning,
        risk: plan::shared_prior(&question.question).map(|risk| risk.why),
        ..Case::default()
    }
}

/// Sentences that people judged: how well the support by the other summaries tells them apart.
fn claims(
    set: &Recorded,
    embedder: Option<&Arc<dyn Embedder>>,
    rows: &mut Rows,
) -> Result<(), String> {
    for (name, embedder) in [("lexical", None), ("embedding", embedder)] {
        if name == "embedding" && embedder.is_none() {
            continue;
        }
        let mut all: Vec<Outcome> = Vec::new();
        for question in &set.questions {
            // A sentence a line, as they were judged.
            let line = |c: &super::answers::Claim| c.text.replace('\n', " ");
            let texts: Vec<String> = (question.answers.iter())
                .map(|a| a.claims.iter().map(line).collect::<Vec<_>>().join("\n"))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let sentences: Vec<String> =
                texts.iter().flat_map(|text| claim::claims(text)).collect();
            let meaning =
                embedder.map(|e| e.passages(&sentences)).transpose()?.map(|v| cluster::cosines(&v));
            for judged in claim::judge(&texts, &question.question, meaning.as_deref()) {
                let own = &question.answers[judged.answer].claims;
                let labelled = own.iter().find(|c| line(c).contains(&judged.text));
                all.extend(labelled.map(|c| (judged.support, c.supported)));
            }
        }
        rows.add(&set.name, name, "auroc", auroc(&all));
        rows.add(&set.name, name, "claims", all.len() as f64);
    }
    Ok(())
}

/// Trick questions: what is said of winners that are wrong.
fn traps(set: &Recorded, rows: &mut Rows) {
    let mut wrong = Vec::new();
    let mut flagged = 0;
    for question in &set.questions {
        flagged += usize::from(plan::shared_prior(&question.question).is_some());
        // Panels of five in the order of the file.
        for five in question.answers.chunks(5).filter(|five| five.len() == 5) {
            let panel = Question { answers: five.to_vec(), ..question.clone() };
            let verdict = decide(&case(&panel, Kind::Long, None));
            let Some(trust) = verdict.trust else { continue };
            if verdict.groups.first().is_some_and(|g| !five[g.votes[0]].correct) {
                wrong.push(trust);
            }
        }
    }
    let n = wrong.len().max(1) as f64;
    rows.add(&set.name, "traps", "trust_of_wrong", wrong.iter().sum::<f64>() / n);
    rows.add(&set.name, "traps", "wrong", wrong.len() as f64);
    let share = flagged as f64 / set.questions.len().max(1) as f64;
    rows.add(&set.name, "traps", "flagged", share);
}
