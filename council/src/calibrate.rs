//! From a posterior to a probability that was compared with outcomes.
//!
//! Without any history a table says how often the largest cluster was right (measured on real
//! answers; `synod eval FILES` measures it anew). With labels a shift and a temperature on the
//! posterior's log-odds are fitted, leaning on a default map; from a hundred labels on a monotone
//! step function corrects what is left.

use crate::kind::Kind;
use crate::posterior::{logistic, logit};

/// How a raw score becomes a probability.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Calibration {
    /// No history: by what a share of votes is worth.
    #[default]
    Table,
    /// `logistic(shift + scale * logit(raw))`, then a monotone correction if there is one.
    Fitted {
        /// Added to the log-odds.
        shift: f64,
        /// Multiplies them; below 1 is less sure.
        scale: f64,
        /// `(calibrated so far, share that was right)`, both rising; empty for none.
        steps: Vec<(f64, f64)>,
        /// Labels that this rests on.
        n: usize,
    },
}

/// `P(largest cluster is right)` by voters and votes: row k-1, column votes-1. Measured over
/// panels of one to seven drawn from all recorded models, as `synod eval FILES` counts them
/// (`table of k`, `right of n`; here the mean of seeds 7 to 10): letters on MMLU-Pro, numbers on
/// MATH and GSM8K, phrases on Natural Questions.
type Worth = [&'static [f64]; 7];

/// Five voters half a hundredth up where it brings strong panels to theirs: calibration error of
/// `random5 0 labels` .0396, of `strong5 0 labels` .0311; as measured .0396 and .0327.
const CHOICE: Worth = [
    &[0.46],
    &[0.305, 0.70],
    &[0.235, 0.52, 0.80],
    &[0.21, 0.415, 0.665, 0.85],
    &[0.20, 0.345, 0.555, 0.755, 0.885],
    &[0.195, 0.305, 0.475, 0.65, 0.80, 0.90],
    &[0.19, 0.28, 0.415, 0.565, 0.71, 0.825, 0.91],
];
/// Of the panels' questions two thirds MATH and one third GSM8K, put together before shares are
/// taken: one vote of five is nearly always MATH, five of five mostly GSM8K. A mean of both shares
/// is off on each (`random5 0 labels`: MATH .067, GSM8K .026; so .055 and .023).
const NUMBER: Worth = [
    &[0.58],
    &[0.315, 0.92],
    &[0.215, 0.755, 0.967],
    &[0.17, 0.615, 0.89, 0.98],
    &[0.145, 0.525, 0.80, 0.94, 0.987],
    &[0.126, 0.452, 0.71, 0.876, 0.96, 0.989],
    &[0.115, 0.41, 0.645, 0.815, 0.918, 0.971, 0.991],
];
const SHORT: Worth = [
    &[0.70],
    &[0.53, 0.82],
    &[0.47, 0.68, 0.86],
    &[0.43, 0.62, 0.78, 0.89],
    &[0.42, 0.57, 0.70, 0.865, 0.91],
    &[0.40, 0.53, 0.66, 0.79, 0.88, 0.92],
    &[0.38, 0.50, 0.62, 0.74, 0.85, 0.90, 0.93],
];

/// What a cluster of `votes` out of `k` is worth without any history; `votes` may have fractions.
/// More than seven voters are read by their share.
pub fn table(kind: Kind, votes: f64, k: usize) -> f64 {
    let worth = match kind {
        Kind::Choice => &CHOICE,
        Kind::Number | Kind::Value => &NUMBER,
        Kind::Short | Kind::Long => &SHORT,
    };
    if k == 0 {
        return 0.0;
    }
    let row = worth[k.min(worth.len()) - 1];
    let at = (votes / k as f64).clamp(0.0, 1.0) * row.len() as f64;
    if at <= 1.0 {
        return row[0] * at;
    }
    let low = at.floor() as usize;
    let part = at - low as f64;
    let above = row[low.min(row.len() - 1)];
    row[low - 1] + part * (above - row[low - 1])
}

/// Labels from which on a monotone correction is fitted.
const MONOTONE_MIN: usize = 100;
/// Strength of the pull of shift and scale towards the default map; by the calibration error with
/// ten to two hundred labels.
const PULL: (f64, f64) = (20.0, 50.0);

/// The default map of a kind: what shift and scale bring the posterior nearest to outcomes while
/// reliabilities are known from votes and few labels (choices) or from many (numbers); the rows
/// with 10 to 200 labels of `synod eval FILES` rest on it.
fn default_map(kind: Kind) -> (f64, f64) {
    match kind {
        Kind::Choice => (-0.3, 0.7),
        Kind::Number => (-0.1, 0.77),
        Kind::Value | Kind::Short | Kind::Long => (0.0, 0.8),
    }
}

/// A raw score of the winner and whether it was right.
pub type Label = (f64, bool);

impl Calibration {
    /// Fits to labels of one kind of answer in one domain; without any it is the table.
    pub fn fit(kind: Kind, labels: &[Label]) -> Self {
        if labels.is_empty() {
            return Calibration::Table;
        }
        let (shift, scale) = fit_line(labels, default_map(kind));
        let mut steps = Vec::new();
        if labels.len() >= MONOTONE_MIN {
            let line = |raw: f64| logistic(shift + scale * logit(raw));
            steps = monotone(labels.iter().map(|(raw, right)| (line(*raw), *right)).collect());
        }
        Calibration::Fitted { shift, scale, steps, n: labels.len() }
    }

    /// The probability that a cluster is right. `raw` is its posterior, `votes` of `k` its size.
    pub fn apply(&self, kind: Kind, raw: f64, votes: f64, k: usize) -> f64 {
        match self {
            Calibration::Table => table(kind, votes, k),
            Calibration::Fitted { shift, scale, steps, .. } => {
                let straight = logistic(shift + scale * logit(raw));
                corrected(steps, straight)
            }
        }
    }

    /// Labels that it rests on.
    pub fn n(&self) -> usize {
        match self {
            Calibration::Table => 0,
            Calibration::Fitted { n, .. } => *n,
        }
    }

    /// As it stands in replies.
    pub fn name(&self) -> &'static str {
        match self {
            Calibration::Table => "table of measured shares",
            Calibration::Fitted { steps, .. } if steps.is_empty() => "labels",
            Calibration::Fitted { .. } => "labels, monotone",
        }
    }
}

/// Newton's method on the penalised log-likelihood of shift and scale.
fn fit_line(labels: &[Label], (shift0, scale0): (f64, f64)) -> (f64, f64) {
    let (mut shift, mut scale) = (shift0, scale0);
    let (pull_shift, pull_scale) = PULL;
    for _ in 0..25 {
        let (mut g0, mut g1) = (-pull_shift * (shift - shift0), -pull_scale * (scale - scale0));
        let (mut h00, mut h01, mut h11) = (pull_shift, 0.0, pull_scale);
        for &(raw, right) in labels {
            let x = logit(raw).clamp(-12.0, 12.0);
            let p = logistic(shift + scale * x);
            let error = f64::from(u8::from(right)) - p;
            let weight = p * (1.0 - p);
            g0 += error;
            g1 += error * x;
            h00 += weight;
            h01 += weight * x;
            h11 += weight * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        let (d0, d1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        shift += d0.clamp(-2.0, 2.0);
        scale = (scale + d1.clamp(-0.5, 0.5)).max(0.05);
        if d0.abs() + d1.abs() < 1e-9 {
            break;
        }
    }
    (shift, scale)
}

/// Pool adjacent violators: `(mean score, share right)` of blocks, both rising.
fn monotone(mut points: Vec<(f64, bool)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Sum of scores, right ones, number.
    let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
    for (score, right) in points {
        blocks.push((score, f64::from(u8::from(right)), 1.0));
        while let [.., a, b] = blocks.as_slice()
            && a.1 / a.2 >= b.1 / b.2
        {
            let merged = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
            blocks.truncate(blocks.len() - 2);
            blocks.push(merged);
        }
    }
    // Each block leans on its own score, worth ten labels: a block of two knows little. Leaning
    // may turn the order of two blocks around; the higher one keeps at least the lower one's share.
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (sum, right, n) in &blocks {
        let score = sum / n;
        let share = (right + 10.0 * score) / (n + 10.0);
        out.push((score, out.last().map_or(share, |last| share.max(last.1))));
    }
    out
}

/// Linear between the blocks' middles.
fn corrected(steps: &[(f64, f64)], score: f64) -> f64 {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return score };
    if score <= first.0 {
        return first.1 * (score / first.0.max(1e-9));
    }
    if score >= last.0 {
        let part = (score - last.0) / (1.0 - last.0).max(1e-9);
        return last.1 + part * (1.0 - last.1) * 0.5;
    }
    let at = steps.partition_point(|step| step.0 <= score);
    let (low, high) = (steps[at - 1], steps[at]);
    low.1 + (high.1 - low.1) * (score - low.0) / (high.0 - low.0).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_is_read_between_its_rows() {
        assert_eq!(table(Kind::Number, 5.0, 5), 0.987);
        assert_eq!(table(Kind::Choice, 1.0, 5), 0.20);
        assert!(table(Kind::Number, 2.0, 2) < table(Kind::Number, 5.0, 5));
        assert!(table(Kind::Number, 3.0, 3) > table(Kind::Number, 2.0, 3));
        assert!((table(Kind::Number, 10.0, 10) - 0.991).abs() < 1e-12);
        assert!((table(Kind::Choice, 2.5, 5) - 0.45).abs() < 1e-12);
        assert_eq!(table(Kind::Number, 0.0, 0), 0.0);
    }

    #[test]
    fn more_votes_are_worth_more_and_more_voters_who_say_otherwise_less() {
        for kind in Kind::ALL {
            for k in 1..=9 {
                let row: Vec<f64> = (0..=k).map(|votes| table(kind, votes as f64, k)).collect();
                assert!(row.windows(2).all(|w| w[0] < w[1]), "{kind:?} {k}: {row:?}");
                assert!(row[0] == 0.0 && row[k] < 1.0);
                let wider = |votes: usize| table(kind, votes as f64, k + 1);
                assert!((1..=k).all(|n| wider(n) <= row[n]), "{kind:?} {k}: {row:?}");
            }
        }
    }

    #[test]
    fn labels_pull_a_score_to_what_was_seen() {
        // Said 0.95, right half of the time.
        let labels: Vec<Label> = (0..60).map(|n| (0.95, n % 2 == 0)).collect();
        let fitted = Calibration::fit(Kind::Number, &labels);
        let said = fitted.apply(Kind::Number, 0.95, 5.0, 5);
        assert!((0.45..0.65).contains(&said), "{said}");
        let one = Calibration::fit(Kind::Number, &labels[..1]);
        assert!(one.apply(Kind::Number, 0.95, 5.0, 5) > 0.85, "one label says little");
        let many: Vec<Label> = (0..300).map(|n| (f64::from(n) / 300.0, n % 3 == 0)).collect();
        let fitted = Calibration::fit(Kind::Choice, &many);
        assert_eq!(fitted.name(), "labels, monotone");
        assert!((fitted.apply(Kind::Choice, 0.5, 1.0, 2) - 0.33).abs() < 0.1);
    }

    proptest! {
        #[test]
        fn it_rises_with_the_score_and_stays_a_probability(
            labels in prop::collection::vec((0.0f64..1.0, any::<bool>()), 1..200),
            scores in prop::collection::vec(0.0f64..1.0, 2..9),
        ) {
            let fitted = Calibration::fit(Kind::Value, &labels);
            let mut scores = scores;
            scores.sort_by(f64::total_cmp);
            let out: Vec<f64> =
                scores.iter().map(|s| fitted.apply(Kind::Value, *s, 1.0, 2)).collect();
            prop_assert!(out.iter().all(|p| (0.0..=1.0).contains(p)), "{out:?}");
            prop_assert!(out.windows(2).all(|w| w[0] <= w[1] + 1e-9), "{out:?}");
        }
    }
}
