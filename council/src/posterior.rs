//! Which cluster is right: the posterior over partitions with shared difficulty and colliding wrong
//! answers.
//!
//! Voter i is right with `p_i(d) = logistic(b_i + sigma d)`, where `d` is the difficulty that all
//! voters share (normal, by Gauss-Hermite quadrature); wrong votes fall into clusters by a
//! Chinese-restaurant process of concentration `alpha`, so two wrong votes agree with probability
//! `1/(1+alpha)`. Hypotheses: one cluster is right, or none is. Classical Dawid-Skene, which takes
//! voters to be independent given the truth, was measured to be far too sure of itself.

use crate::kind::Kind;

/// Nodes of the five-point quadrature of a standard normal variable.
pub const NODES: [f64; 5] = [
    -2.856_970_013_872_806,
    -1.355_626_179_974_265_7,
    0.0,
    1.355_626_179_974_265_7,
    2.856_970_013_872_806,
];
/// Their weights.
pub const WEIGHTS: [f64; 5] = [
    0.011_257_411_327_720_69,
    0.222_075_922_005_612_64,
    0.533_333_333_333_333_3,
    0.222_075_922_005_612_64,
    0.011_257_411_327_720_69,
];

/// What is taken of a kind of answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How rarely two wrong votes agree.
    pub alpha: f64,
    /// How much questions differ in difficulty, in log-odds.
    pub sigma: f64,
}

/// Fits on votes alone chose these for letters and for numbers and exact values.
const SIGMA: f64 = 1.8;

impl Shape {
    /// The defaults of a kind; `options` is the number of options of a choice, 0 if unknown.
    pub fn of(kind: Kind, options: usize) -> Self {
        let alpha = match kind {
            Kind::Choice if (2..10).contains(&options) => {
                // Fewer options collide more often (after Kim et al. 2025): a guess, clamped so
                // that alpha stays a concentration below 1/0.95.
                let agree = (1.6 / (options as f64 - 1.0)).clamp(0.33, 0.95);
                1.0 / agree - 1.0
            }
            Kind::Choice => 2.0,
            Kind::Number => 6.0,
            Kind::Value | Kind::Short | Kind::Long => 4.0,
        };
        Shape { alpha: alpha.max(1.0 / 0.95 - 1.0), sigma: SIGMA }
    }
}

/// A voter as the posterior sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voter {
    /// Log-odds of being right on a question of middle difficulty.
    pub ability: f64,
    /// Which cluster it votes for.
    pub cluster: usize,
    /// Of several samples of one model, the share that said so; 1 for one sample.
    pub share: f64,
}

/// The posterior.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// By cluster: that it is right.
    pub right: Vec<f64>,
    /// That none is.
    pub none: f64,
    /// Log of the votes' probability, for fits.
    pub evidence: f64,
    /// By node: its share of the posterior.
    pub nodes: [f64; 5],
    /// By node and cluster: the joint posterior; the last column is "none".
    pub joint: [Vec<f64>; 5],
}

impl Posterior {
    /// What is left of it when the right cluster is told, or that none is.
    pub(crate) fn tell(&mut self, right: Option<usize>) {
        let at = right.unwrap_or(self.right.len());
        let sum: f64 = self.joint.iter().map(|row| row[at]).sum();
        for (node, row) in self.joint.iter_mut().enumerate() {
            let p = row[at] / sum.max(f64::MIN_POSITIVE);
            row.fill(0.0);
            row[at] = p;
            self.nodes[node] = p;
        }
        self.right.fill(0.0);
        self.none = f64::from(u8::from(right.is_none()));
        if let Some(p) = right.and_then(|at| self.right.get_mut(at)) {
            *p = 1.0;
        }
    }
}

/// `1 / (1 + exp(-x))`
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The reverse, of a probability kept off 0 and 1.
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    (p / (1.0 - p)).ln()
}

/// The log-odds at middle difficulty of a voter who is right with `mean` over all difficulties:
/// the average over a normal variable flattens a logistic (MacKay's approximation).
pub fn ability(mean: f64, sigma: f64) -> f64 {
    logit(mean) * (1.0 + sigma * sigma / 2.89).sqrt()
}

/// Log-probability of a partition of wrong votes; `skip` is the cluster that is right.
fn restaurant(sizes: &[usize], skip: usize, alpha: f64) -> f64 {
    let mut log = 0.0;
    let mut seated = 0;
    for (at, &size) in sizes.iter().enumerate() {
        if at == skip || size == 0 {
            continue;
        }
        log += alpha.ln();
        log += (1..size).map(|n| (n as f64).ln()).sum::<f64>();
        log -= (0..size).map(|n| (alpha + (seated + n) as f64).ln()).sum::<f64>();
        seated += size;
    }
    log
}

/// The posterior of `n_clusters` clusters given these votes.
///
/// Cost: five nodes times votes plus clusters; a few microseconds for a dozen.
pub fn posterior(voters: &[Voter], n_clusters: usize, shape: Shape) -> Posterior {
    let mut sizes = vec![0; n_clusters];
    for voter in voters {
        sizes[voter.cluster] += 1;
    }
    let partitions: Vec<f64> =
        (0..=n_clusters).map(|right| restaurant(&sizes, right, shape.alpha)).collect();
    let mut logs: [Vec<f64>; 5] = std::array::from_fn(|_| vec![0.0; n_clusters + 1]);
    let mut highest = f64::NEG_INFINITY;
    for (node, row) in logs.iter_mut().enumerate() {
        let mut all_wrong = WEIGHTS[node].ln();
        for voter in voters {
            // Samples that disagree among themselves make a weaker vote.
            let weight = 0.5 + 0.5 * voter.share;
            let odds = weight * (voter.ability + shape.sigma * NODES[node]);
            all_wrong += logistic(-odds).max(f64::MIN_POSITIVE).ln();
            // log p - log (1 - p)
            row[voter.cluster] += odds;
        }
        for (right, log) in row.iter_mut().enumerate() {
            *log += all_wrong + partitions[right];
            highest = highest.max(*log);
        }
    }
    let mut total = 0.0;
    for log in logs.iter_mut().flatten() {
        *log = (*log - highest).exp();
        total += *log;
    }
    let mut right = vec![0.0; n_clusters];
    let mut none = 0.0;
    let mut nodes = [0.0; 5];
    for (node, row) in logs.iter_mut().enumerate() {
        for (at, p) in row.iter_mut().enumerate() {
            *p /= total;
            nodes[node] += *p;
            match right.get_mut(at) {
                Some(sum) => *sum += *p,
                None => none += *p,
            }
        }
    }
    Posterior { right, none, evidence: highest + total.ln(), nodes, joint: logs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape { alpha: 4.0, sigma: 1.8 };

    fn voters(votes: &[(f64, usize)]) -> Vec<Voter> {
        votes.iter().map(|&(ability, cluster)| Voter { ability, cluster, share: 1.0 }).collect()
    }

    #[test]
    fn agreement_and_ability_count() {
        let of = |votes: &[(f64, usize)], n| posterior(&voters(votes), n, SHAPE);
        let alone = of(&[(0.5, 0)], 1);
        let two = of(&[(0.5, 0), (0.5, 0)], 1);
        let split = of(&[(0.5, 0), (0.5, 1)], 2);
        assert!(two.right[0] > alone.right[0] && alone.right[0] > split.right[0]);
        assert!((split.right[0] - split.right[1]).abs() < 1e-12);
        // One who is nearly always right outweighs two who are mostly wrong.
        let strong = of(&[(3.0, 0), (-1.5, 1), (-1.5, 1)], 2);
        assert!(strong.right[0] > strong.right[1]);
        // Wrong letters agree by chance, wrong numbers do not.
        let letters = Shape { alpha: 0.5, sigma: 1.8 };
        let seen = posterior(&voters(&[(0.0, 0), (0.0, 0)]), 1, letters);
        assert!(seen.right[0] < of(&[(0.0, 0), (0.0, 0)], 1).right[0]);
        let mut shared = voters(&[(0.5, 0), (0.5, 1)]);
        shared[0].share = 0.4;
        let halves = posterior(&shared, 2, SHAPE);
        assert!(halves.right[0] < halves.right[1], "a wavering vote counts less");
    }

    #[test]
    fn partitions_of_wrong_votes_sum_to_one() {
        // All partitions of three: {3}, three times {2,1}, {1,1,1}.
        for alpha in [0.5, 2.0, 6.0] {
            let p = |sizes: &[usize]| restaurant(sizes, usize::MAX, alpha).exp();
            let sum = p(&[3]) + 3.0 * p(&[2, 1]) + p(&[1, 1, 1]);
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
            assert!((p(&[2]) - 1.0 / (1.0 + alpha)).abs() < 1e-12);
        }
        assert!(Shape::of(Kind::Choice, 2).alpha > 0.05);
        assert_eq!(Shape::of(Kind::Choice, 10).alpha, 2.0);
    }

    proptest! {
        #[test]
        fn it_is_a_distribution_whatever_the_order(
            votes in prop::collection::vec((-8.0f64..8.0, 0usize..5), 0..12), seed in 0usize..100
        ) {
            let found = posterior(&voters(&votes), 5, SHAPE);
            let sum = found.right.iter().sum::<f64>() + found.none;
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(found.right.iter().all(|p| (0.0..=1.0).contains(p)));
            let mut turned = votes.clone();
            turned.rotate_left(if votes.is_empty() { 0 } else { seed % votes.len() });
            let again = posterior(&voters(&turned), 5, SHAPE);
            for (a, b) in found.right.iter().zip(&again.right) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }
}
