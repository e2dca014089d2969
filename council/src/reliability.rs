//! How often a model is right: counts under a prior, forgotten with time, and fits on votes alone.
//!
//! Time is an argument. A model's row in a domain leans on its row over all domains, and that on
//! its tier.

use crate::kind::Kind;
use crate::posterior::{NODES, Shape, Voter, ability, logistic, posterior};

/// Weight of a prior, in answers.
pub const PRIOR_WEIGHT: f64 = 6.0;
/// How often an unknown model is right.
pub const PRIOR_MEAN: f64 = 0.65;
/// Counts are worth half after so many days.
const HALF_LIFE_DAYS: f64 = 90.0;
/// What counts are worth at most once the provider has a new version.
const NEW_VERSION_WEIGHT: f64 = 10.0;

/// Answers that were right and wrong, with fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Right ones.
    pub right: f64,
    /// Wrong ones.
    pub wrong: f64,
}

impl Counts {
    /// How many.
    pub fn total(&self) -> f64 {
        self.right + self.wrong
    }

    /// With an answer that is right with probability `p`, of this weight.
    pub fn with(self, p: f64, weight: f64) -> Self {
        Counts { right: self.right + weight * p, wrong: self.wrong + weight * (1.0 - p) }
    }

    fn scaled(self, by: f64) -> Self {
        Counts { right: self.right * by, wrong: self.wrong * by }
    }

    /// After `days` without news.
    pub fn aged(self, days: f64) -> Self {
        self.scaled(0.5f64.powf(days.max(0.0) / HALF_LIFE_DAYS))
    }

    /// After the provider announced a new version: little is known of it.
    pub fn of_new_version(self) -> Self {
        let total = self.total();
        if total <= NEW_VERSION_WEIGHT { self } else { self.scaled(NEW_VERSION_WEIGHT / total) }
    }

    /// The mean of the Beta posterior under a prior of mean `prior`.
    pub fn mean(&self, prior: f64) -> f64 {
        (self.right + PRIOR_WEIGHT * prior) / (self.total() + PRIOR_WEIGHT)
    }
}

/// What is known of a model in a domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    /// Expected share of right answers.
    pub mean: f64,
    /// Answers that this rests on.
    pub n: f64,
}

/// From the general to the particular: each row is the prior of the next. `rows` are counts of the
/// model over everything, then in the domain, then of that kind of answer there.
pub fn reliability(tier_mean: f64, rows: &[Counts]) -> Reliability {
    let mean = rows.iter().fold(tier_mean, |prior, row| row.mean(prior));
    let n = rows.iter().map(Counts::total).fold(0.0, f64::max);
    Reliability { mean, n }
}

/// A question as fits see it: by vote, who (an index) and which cluster.
#[derive(Clone, Debug)]
pub struct Past {
    /// `(model, cluster)`.
    pub votes: Vec<(usize, usize)>,
    /// How many clusters.
    pub n_clusters: usize,
    /// The cluster that is right, `Some(None)` for none, if somebody told.
    pub told: Option<Option<usize>>,
    /// Of a choice, 0 for none.
    pub options: usize,
    /// What it counts, for questions long ago; 1 for today's.
    pub weight: f64,
}

/// What a fit found.
#[derive(Clone, Debug)]
pub struct Fit {
    /// By model: log-odds at middle difficulty.
    pub abilities: Vec<f64>,
    /// The shape that explains the votes best.
    pub shape: Shape,
}

/// Questions below which votes alone say too little.
pub const FIT_QUESTIONS_MIN: usize = 100;
/// Voters below which alpha and sigma cannot be told from votes.
pub const FIT_VOTERS_MIN: usize = 5;
/// What a question without a label counts beside those with one. More draws the panel's own errors
/// into it: with 50 labels a tenth and below were best on all five cells, a third and more lost up
/// to two points on MMLU-Pro; soft updates after each question lost accuracy at every weight.
const UNTOLD_WEIGHT: f64 = 0.05;

const ALPHAS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];
const SIGMAS: [f64; 3] = [0.5, 1.5, 2.5];
const ROUNDS: usize = 12;
/// Precision of the normal prior on abilities around that of an unknown model.
const ABILITY_PRECISION: f64 = 0.25;

/// Abilities of `n_models` from votes alone: expectation and Newton steps over a fixed grid of
/// shapes, the one with the highest evidence wins. Deterministic.
pub fn fit_votes(questions: &[Past], n_models: usize) -> Fit {
    let shapes = ALPHAS.iter().flat_map(|&alpha| SIGMAS.map(|sigma| Shape { alpha, sigma }));
    let mut best: Option<(f64, Fit)> = None;
    for shape in shapes {
        let start = vec![ability(PRIOR_MEAN, shape.sigma); n_models];
        let (evidence, abilities) = climb(questions, start, |_| shape, 1.0);
        if best.as_ref().is_none_or(|(known, _)| evidence > *known) {
            best = Some((evidence, Fit { abilities, shape }));
        }
    }
    let unknown =
        || Fit { abilities: vec![0.0; n_models], shape: Shape { alpha: 2.0, sigma: 1.5 } };
    best.map_or_else(unknown, |(_, fit)| fit)
}

/// Abilities from questions of which some were told, under the shape of their kind. `start` are
/// abilities before anything was told, one for each model.
pub fn fit_labels(kind: Kind, questions: &[Past], start: Vec<f64>) -> Vec<f64> {
    climb(questions, start, |past| Shape::of(kind, past.options), UNTOLD_WEIGHT).1
}

/// Expectation and Newton steps; gives the evidence and the abilities.
fn climb(
    questions: &[Past],
    start: Vec<f64>,
    shape: impl Fn(&Past) -> Shape,
    untold: f64,
) -> (f64, Vec<f64>) {
    let mut abilities = start.clone();
    let mut evidence = f64::NEG_INFINITY;
    for _ in 0..ROUNDS {
        let off: Vec<f64> = abilities.iter().zip(&start).map(|(b, b0)| b - b0).collect();
        let mut slope: Vec<f64> = off.iter().map(|off| -ABILITY_PRECISION * off).collect();
        let mut curve = vec![ABILITY_PRECISION; abilities.len()];
        evidence = off.iter().map(|off| -0.5 * ABILITY_PRECISION * off * off).sum();
        for past in questions {
            let shape = shape(past);
            let voters: Vec<Voter> = (past.votes.iter())
                .map(|&(model, cluster)| Voter { ability: abilities[model], cluster, share: 1.0 })
                .collect();
            let mut found = posterior(&voters, past.n_clusters, shape);
            evidence += found.evidence * past.weight;
            let mut weight = past.weight * untold;
            if let Some(right) = past.told {
                weight = past.weight;
                found.tell(right);
            }
            for (node, row) in found.joint.iter().enumerate() {
                for &(model, cluster) in &past.votes {
                    let p = logistic(abilities[model] + shape.sigma * NODES[node]);
                    slope[model] += weight * (row[cluster] - found.nodes[node] * p);
                    curve[model] += weight * found.nodes[node] * p * (1.0 - p);
                }
            }
        }
        for ((ability, slope), curve) in abilities.iter_mut().zip(&slope).zip(&curve) {
            *ability = (*ability + (slope / curve).clamp(-1.5, 1.5)).clamp(-8.0, 8.0);
        }
    }
    (evidence, abilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lean_on_what_is_above_them_and_fade() {
        let none = reliability(PRIOR_MEAN, &[]);
        assert_eq!((none.mean, none.n), (PRIOR_MEAN, 0.0));
        let good = Counts { right: 18.0, wrong: 2.0 };
        let known = reliability(PRIOR_MEAN, &[good]);
        assert!((known.mean - (18.0 + 3.9) / 26.0).abs() < 1e-12);
        // A domain of which nothing is known inherits the model's row.
        let inherited = reliability(PRIOR_MEAN, &[good, Counts::default()]);
        assert!((inherited.mean - known.mean).abs() < 1e-12);
        let old = good.aged(90.0);
        assert!((old.total() - 10.0).abs() < 1e-9);
        assert_eq!(good.of_new_version().total(), 10.0);
        assert_eq!(Counts::default().with(0.25, 2.0), Counts { right: 0.5, wrong: 1.5 });
    }

    #[test]
    fn a_fit_finds_the_good_voters_without_labels() {
        // Two voters who mostly agree, three who scatter; the scattered are wrong.
        let past = |q: usize, told| Past {
            votes: vec![
                (0, 0),
                (1, usize::from(q.is_multiple_of(9))),
                (2, 1 + q % 2),
                (3, 3),
                (4, 4),
            ],
            n_clusters: 5,
            told,
            options: 0,
            weight: 1.0,
        };
        let questions: Vec<Past> = (0..120).map(|q| past(q, None)).collect();
        let fitted = fit_votes(&questions, 5);
        let worst_good = fitted.abilities[0].min(fitted.abilities[1]);
        let best_bad = fitted.abilities[2..].iter().copied().fold(f64::MIN, f64::max);
        assert!(worst_good > best_bad + 1.0, "{:?}", fitted.abilities);
        assert_eq!(fitted.abilities, fit_votes(&questions, 5).abilities);
        // People say that the scattered one is right: they count more than the crowd.
        let told: Vec<Past> = (0..120).map(|q| past(q, (q < 40).then_some(Some(3)))).collect();
        let abilities = fit_labels(Kind::Number, &told, vec![0.5; 5]);
        assert!(abilities[3] > abilities[0] + 1.0, "{abilities:?}");
    }
}
