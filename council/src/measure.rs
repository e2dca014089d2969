//! How good a score is: calibration and ranking against outcomes, and the experiments on recorded
//! answers that give the project's figures.
//!
//! Pure: answers come in as values, panels are drawn from a seed. What is measured here is what the
//! product does: the same posterior, the same counts, the same calibration.

use crate::calibrate::{Calibration, Label, table};
use crate::kind::Kind;
use crate::lot::mix;
use crate::panel::stop;
use crate::posterior::{Shape, Voter, ability, posterior};
use crate::reliability::{PRIOR_MEAN, Past, fit_labels, fit_votes};
use std::cmp::Reverse;

/// Bins of the expected calibration error.
pub const BINS: usize = 15;

/// A probability that was said, and what came of it.
pub type Outcome = (f64, bool);

/// Numbers over one list of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Share that was right.
    pub accuracy: f64,
    /// That a right one is scored above a wrong one; ties count half.
    pub auroc: f64,
    /// Expected calibration error over [`BINS`] bins of equal width.
    pub ece: f64,
    /// Mean squared error of the probability.
    pub brier: f64,
    /// Mean error among the most trusted, over all coverages.
    pub aurc: f64,
}

impl Scores {
    /// Of a list of outcomes; all zero for none.
    pub fn of(outcomes: &[Outcome]) -> Self {
        if outcomes.is_empty() {
            return Scores::default();
        }
        let n = outcomes.len() as f64;
        let right = outcomes.iter().filter(|(_, right)| *right).count() as f64;
        let off = |(p, right): &Outcome| (p - f64::from(u8::from(*right))).powi(2);
        Scores {
            accuracy: right / n,
            auroc: auroc(outcomes),
            ece: ece(outcomes),
            brier: outcomes.iter().map(off).sum::<f64>() / n,
            aurc: aurc(outcomes),
        }
    }
}

/// The expected calibration error.
pub fn ece(outcomes: &[Outcome]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (p, right) in outcomes {
        let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += p;
        bin.1 += f64::from(u8::from(*right));
    }
    let off: f64 = bins.iter().map(|(said, right)| (said - right).abs()).sum();
    off / outcomes.len().max(1) as f64
}

/// The area under the ROC curve by ranks; 0.5 when all were right or all wrong.
pub fn auroc(outcomes: &[Outcome]) -> f64 {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut at, mut ranks) = (0, 0.0);
    while at < sorted.len() {
        let same = sorted[at..].iter().take_while(|o| o.0.total_cmp(&sorted[at].0).is_eq()).count();
        let rank = at as f64 + (same as f64 + 1.0) / 2.0;
        ranks += rank * sorted[at..at + same].iter().filter(|o| o.1).count() as f64;
        at += same;
    }
    let right = outcomes.iter().filter(|o| o.1).count() as f64;
    let wrong = outcomes.len() as f64 - right;
    if right == 0.0 || wrong == 0.0 {
        return 0.5;
    }
    (ranks - right * (right + 1.0) / 2.0) / (right * wrong)
}

/// Mean over coverages of the error among the most trusted.
pub fn aurc(outcomes: &[Outcome]) -> f64 {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut wrong, mut sum) = (0.0, 0.0);
    for (at, outcome) in sorted.iter().enumerate() {
        wrong += f64::from(u8::from(!outcome.1));
        sum += wrong / (at as f64 + 1.0);
    }
    sum / outcomes.len().max(1) as f64
}

/// Numbers from a seed (SplitMix64): the same everywhere.
pub struct Draw(u64);

impl Draw {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Draw(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// `n` different ones of `pool`, in the order of the draw.
    pub fn some<T: Clone>(&mut self, pool: &[T], n: usize) -> Vec<T> {
        let mut pool = pool.to_vec();
        let n = n.min(pool.len());
        for at in 0..n {
            let other = at + (self.next() % (pool.len() - at) as u64) as usize;
            pool.swap(at, other);
        }
        pool.truncate(n);
        pool
    }
}

/// Answers of many models to many questions.
pub struct Answers {
    /// The sort of answer.
    pub kind: Kind,
    /// Names, sorted.
    pub models: Vec<String>,
    /// A row for each question.
    pub questions: Vec<Row>,
}

/// One question.
pub struct Row {
    /// By model: the cluster of its answer, `None` when it abstained.
    pub votes: Vec<Option<usize>>,
    /// The cluster that is right, if anybody said it.
    pub right: Option<usize>,
    /// Options of a choice, 0 if there are none.
    pub options: usize,
    /// By model: its lot; of equal clusters the one with the lowest wins.
    pub lots: Vec<u64>,
}

/// Which models may sit on a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Any.
    Random,
    /// The best third.
    Strong,
}

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Who may sit.
    pub pool: Pool,
    /// Voters.
    pub voters: usize,
    /// Questions whose right answer is told.
    pub labels: usize,
    /// Panels drawn.
    pub panels: usize,
    /// Abilities are fitted on the votes of all questions.
    pub fitted: bool,
}

/// What an experiment gave: means over panels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Of the product's score.
    pub scores: Scores,
    /// Of the same panels by plurality and share; ties by lot.
    pub majority: Scores,
    /// The best member of each panel in hindsight.
    pub best: f64,
    /// Questions in all.
    pub n: usize,
}

/// A plurality among votes: cluster and votes, of equals that of the lowest lot.
fn plurality(votes: &[(usize, usize)], lot: impl Fn(usize) -> u64) -> Option<(usize, usize)> {
    let count = |cluster: usize| votes.iter().filter(|(_, c)| *c == cluster).count();
    let ranked =
        |&(place, cluster): &(usize, usize)| (count(cluster), Reverse(lot(place)), cluster);
    votes.iter().map(ranked).max().map(|(n, _, cluster)| (cluster, n))
}

/// A panel and what is known of its members.
struct Panel<'a> {
    answers: &'a Answers,
    members: Vec<usize>,
    abilities: Vec<f64>,
    calibration: Calibration,
    /// Instead of that of the kind.
    shape: Option<Shape>,
}

/// The winner of one question.
struct Won {
    cluster: usize,
    raw: f64,
    votes: usize,
    voters: usize,
}

impl<'a> Panel<'a> {
    /// `(member, cluster)` of those who answered, by place in the panel, clusters renumbered.
    fn votes(&self, row: &Row) -> (Vec<(usize, usize)>, Vec<usize>) {
        let mut clusters = Vec::new();
        let mut votes = Vec::new();
        for (place, &model) in self.members.iter().enumerate() {
            let Some(cluster) = row.votes[model] else { continue };
            let known = clusters.iter().position(|c| *c == cluster);
            let at = known.unwrap_or_else(|| {
                clusters.push(cluster);
                clusters.len() - 1
            });
            votes.push((place, at));
        }
        (votes, clusters)
    }

    fn new(answers: &'a Answers, members: Vec<usize>) -> Self {
        let shape = Shape::of(answers.kind, 0);
        let abilities = vec![ability(PRIOR_MEAN, shape.sigma); members.len()];
        Panel { answers, members, abilities, calibration: Calibration::Table, shape: None }
    }

    fn shape(&self, row: &Row) -> Shape {
        self.shape.unwrap_or_else(|| Shape::of(self.answers.kind, row.options))
    }

    fn lot(&self, row: &Row, place: usize) -> u64 {
        row.lots[self.members[place]]
    }

    fn decide(&self, row: &Row) -> Option<Won> {
        let (votes, clusters) = self.votes(row);
        let shape = self.shape(row);
        let voters: Vec<Voter> = votes
            .iter()
            .map(|&(place, cluster)| {
                let ability = self.abilities[place];
                Voter { ability, cluster, share: 1.0 }
            })
            .collect();
        let found = posterior(&voters, clusters.len(), shape);
        let lot = |cluster: usize| {
            let members = votes.iter().filter(|(_, c)| *c == cluster);
            members.map(|(place, _)| self.lot(row, *place)).min()
        };
        let better = |a: usize, b: usize| {
            let apart = found.right[a] - found.right[b];
            if apart.abs() > 1e-12 { apart > 0.0 } else { lot(a) < lot(b) }
        };
        let best = (0..clusters.len()).reduce(|a, b| if better(b, a) { b } else { a })?;
        let n = votes.iter().filter(|(_, c)| *c == best).count();
        Some(Won {
            cluster: clusters[best],
            raw: found.right[best],
            votes: n,
            voters: self.members.len(),
        })
    }

    /// Asks one member after the other: calls made, and the cluster that won.
    fn ask_until(&self, row: &Row, enough: f64) -> (usize, Option<usize>) {
        let mut asked = Vec::new();
        let n = self.members.len();
        for k in 0..n {
            asked.push(row.votes[self.members[k]]);
            let voters: Vec<Option<(f64, usize)>> = (asked.iter().zip(&self.abilities))
                .map(|(vote, ability)| vote.map(|cluster| (*ability, cluster)))
                .collect();
            if stop(&voters, &self.abilities[k + 1..], self.shape(row), enough) {
                break;
            }
        }
        let part = Panel {
            answers: self.answers,
            members: self.members[..asked.len()].to_vec(),
            abilities: self.abilities[..asked.len()].to_vec(),
            calibration: Calibration::Table,
            shape: self.shape,
        };
        (asked.len(), part.decide(row).map(|won| won.cluster))
    }

    /// Learns from questions whose answer is told, and a little from the others.
    fn learn(&mut self, labels: &[usize]) {
        let start = self.abilities.clone();
        self.abilities = fit_labels(self.answers.kind, &self.past(labels), start);
        let told = |&at: &usize| {
            let row = &self.answers.questions[at];
            let won = self.decide(row)?;
            Some((won.raw, row.right == Some(won.cluster)))
        };
        let told: Vec<Label> = labels.iter().filter_map(told).collect();
        self.calibration = Calibration::fit(self.answers.kind, &told);
    }

    /// The questions as fits see them.
    fn past(&self, labels: &[usize]) -> Vec<Past> {
        let rows = self.answers.questions.iter().enumerate();
        rows.map(|(at, row)| {
            let (votes, clusters) = self.votes(row);
            let right = || clusters.iter().position(|c| Some(*c) == row.right);
            let told = labels.contains(&at).then(right);
            let (n_clusters, options) = (clusters.len(), row.options);
            Past { votes, n_clusters, told, options, weight: 1.0 }
        })
        .collect()
    }

    /// Fits abilities on all votes, without any label.
    fn fit(&mut self) {
        let found = fit_votes(&self.past(&[]), self.members.len());
        self.abilities = found.abilities;
        self.shape = Some(found.shape);
    }
}

/// By model: share of questions it gets right.
pub fn accuracies(answers: &Answers) -> Vec<f64> {
    let n = answers.questions.len().max(1) as f64;
    let right = |model: usize| {
        let rows = answers.questions.iter();
        rows.filter(|row| row.right.is_some() && row.votes[model] == row.right).count() as f64
    };
    (0..answers.models.len()).map(|model| right(model) / n).collect()
}

fn pool(answers: &Answers, pool: Pool) -> Vec<usize> {
    let mut all: Vec<usize> = (0..answers.models.len()).collect();
    if pool == Pool::Strong {
        let accuracies = accuracies(answers);
        all.sort_by(|a, b| accuracies[*b].total_cmp(&accuracies[*a]));
        all.truncate(answers.models.len().div_ceil(3));
    }
    all
}

fn mean(scores: &[Scores]) -> Scores {
    let n = scores.len().max(1) as f64;
    let of = |get: fn(&Scores) -> f64| scores.iter().map(get).sum::<f64>() / n;
    Scores {
        accuracy: of(|s| s.accuracy),
        auroc: of(|s| s.auroc),
        ece: of(|s| s.ece),
        brier: of(|s| s.brier),
        aurc: of(|s| s.aurc),
    }
}

/// Runs an experiment.
pub fn run(answers: &Answers, cell: Cell, seed: u64) -> Found {
    let pool = pool(answers, cell.pool);
    let accuracies = accuracies(answers);
    let all: Vec<usize> = (0..answers.questions.len()).collect();
    let mut draw = Draw::new(seed);
    let (mut ours, mut theirs, mut best, mut n) = (Vec::new(), Vec::new(), 0.0, 0);
    for _ in 0..cell.panels {
        let mut members = draw.some(&pool, cell.voters);
        members.sort_unstable();
        let labels = draw.some(&all, cell.labels);
        best += members.iter().map(|m| accuracies[*m]).fold(0.0, f64::max);
        let mut panel = Panel::new(answers, members);
        if cell.fitted {
            panel.fit();
        }
        if !labels.is_empty() {
            panel.learn(&labels);
        }
        let (mut said, mut counted) = (Vec::new(), Vec::new());
        for at in all.iter().filter(|at| !labels.contains(at)) {
            let row = &answers.questions[*at];
            said.push(outcome(&panel, row));
            let (votes, clusters) = panel.votes(row);
            let most = plurality(&votes, |place| panel.lot(row, place));
            counted.push(most.map_or((0.0, false), |(cluster, n)| {
                let share = n as f64 / panel.members.len() as f64;
                (share, row.right == Some(clusters[cluster]))
            }));
        }
        n += said.len();
        ours.push(Scores::of(&said));
        theirs.push(Scores::of(&counted));
    }
    let panels = cell.panels.max(1) as f64;
    Found { scores: mean(&ours), majority: mean(&theirs), best: best / panels, n }
}

fn outcome(panel: &Panel, row: &Row) -> Outcome {
    let kind = panel.answers.kind;
    let Some(won) = panel.decide(row) else { return (0.0, false) };
    let p = if panel.shape.is_some() {
        won.raw
    } else {
        panel.calibration.apply(kind, won.raw, won.votes as f64, won.voters)
    };
    (p, row.right == Some(won.cluster))
}

/// What asking one after the other costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cascade {
    /// With all voters asked.
    pub all: f64,
    /// Stopping at the threshold.
    pub stopped: f64,
    /// Mean calls a question.
    pub calls: f64,
}

/// The adaptive panel: the best learned model first, at least two answers, no more once the
/// posterior is at `enough`.
pub fn cascade(answers: &Answers, cell: Cell, enough: f64, seed: u64) -> Cascade {
    let pool = pool(answers, cell.pool);
    let all: Vec<usize> = (0..answers.questions.len()).collect();
    let mut draw = Draw::new(seed);
    let (mut full, mut stopped, mut calls, mut n) = (0, 0, 0, 0);
    for _ in 0..cell.panels {
        let members = draw.some(&pool, cell.voters);
        let labels = draw.some(&all, cell.labels);
        let mut panel = Panel::new(answers, members);
        panel.learn(&labels);
        // The best learned model first.
        let mut order: Vec<usize> = (0..panel.members.len()).collect();
        order.sort_by(|a, b| panel.abilities[*b].total_cmp(&panel.abilities[*a]));
        panel.members = order.iter().map(|place| panel.members[*place]).collect();
        panel.abilities = order.iter().map(|place| panel.abilities[*place]).collect();
        for at in all.iter().filter(|at| !labels.contains(at)) {
            let row = &answers.questions[*at];
            let (asked, won) = panel.ask_until(row, enough);
            let right = |won: Option<usize>| usize::from(won.is_some() && won == row.right);
            full += right(panel.decide(row).map(|won| won.cluster));
            stopped += right(won);
            calls += asked;
            n += 1;
        }
    }
    let n = f64::from(n.max(1) as u32);
    Cascade { all: full as f64 / n, stopped: stopped as f64 / n, calls: calls as f64 / n }
}

/// By votes for the plurality out of `k`: how often it was right, and how many such there were.
pub fn worth(answers: &Answers, k: usize, panels: usize, seed: u64) -> Vec<(f64, usize)> {
    let pool = pool(answers, Pool::Random);
    let mut draw = Draw::new(seed);
    let mut bins = vec![(0usize, 0usize); k + 1];
    for _ in 0..panels {
        let mut members = draw.some(&pool, k);
        members.sort_unstable();
        let panel = Panel::new(answers, members);
        for row in &answers.questions {
            let (votes, clusters) = panel.votes(row);
            if let Some((cluster, n)) = plurality(&votes, |place| panel.lot(row, place)) {
                bins[n].0 += usize::from(row.right == Some(clusters[cluster]));
                bins[n].1 += 1;
            }
        }
    }
    bins.into_iter().map(|(right, n)| (right as f64 / n.max(1) as f64, n)).collect()
}

/// The table alone, for panels of `k`: its calibration error.
pub fn table_ece(answers: &Answers, k: usize, panels: usize, seed: u64) -> f64 {
    let bins = worth(answers, k, panels, seed);
    let n: usize = bins.iter().map(|(_, n)| n).sum();
    let off = |(votes, (right, n)): (usize, &(f64, usize))| {
        (table(answers.kind, votes as f64, k) - right).abs() * *n as f64
    };
    bins.iter().enumerate().map(off).sum::<f64>() / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_known_lists() {
        let perfect = [(1.0, true), (1.0, true), (0.0, false)];
        let s = Scores::of(&perfect);
        assert_eq!((s.auroc, s.ece, s.brier), (1.0, 0.0, 0.0));
        let blind = [(0.5, true), (0.5, false)];
        let s = Scores::of(&blind);
        assert_eq!((s.auroc, s.ece, s.brier, s.accuracy), (0.5, 0.0, 0.25, 0.5));
        assert_eq!(auroc(&[(0.1, true), (0.9, false)]), 0.0);
        assert!((aurc(&[(0.9, true), (0.1, false)]) - 0.25).abs() < 1e-12);
        assert_eq!(Scores::of(&[]), Scores::default());
    }

    #[test]
    fn of_equal_clusters_the_lowest_lot_wins() {
        let votes = [(0, 7), (1, 8), (2, 8), (3, 9), (4, 9)];
        let lots = |lots: [u64; 5]| plurality(&votes, move |place| lots[place]);
        assert_eq!(lots([0, 5, 4, 3, 6]), Some((9, 2)));
        assert_eq!(lots([0, 5, 2, 3, 6]), Some((8, 2)));
        assert_eq!(plurality(&[], |_| 0), None);
        // The product's score takes the same one.
        let models = ["a", "b", "c"].map(str::to_owned).to_vec();
        let row = |lots: [u64; 3]| Row {
            votes: vec![Some(0), Some(1), Some(2)],
            right: Some(1),
            options: 0,
            lots: lots.to_vec(),
        };
        let questions = vec![row([1, 2, 3]), row([2, 1, 3]), row([3, 1, 2]), row([2, 3, 1])];
        let answers = Answers { kind: Kind::Number, models, questions };
        let panels = 1;
        let cell = Cell { pool: Pool::Random, voters: 3, labels: 0, panels, fitted: false };
        let found = run(&answers, cell, 7);
        assert_eq!((found.scores.accuracy, found.majority.accuracy), (0.5, 0.5));
    }

    #[test]
    fn draws_are_the_same_every_time_and_without_repeats() {
        let pool: Vec<usize> = (0..20).collect();
        let (a, b) = (Draw::new(7).some(&pool, 5), Draw::new(7).some(&pool, 5));
        assert_eq!(a, b);
        let mut unique = a.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 5);
        assert_ne!(a, Draw::new(8).some(&pool, 5));
        assert_eq!(Draw::new(1).some(&pool, 99).len(), 20);
    }
}
