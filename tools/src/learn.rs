//! What feedback taught: how often models are right, and how raw scores become probabilities, by
//! sort of answer and domain.

use crate::verdict::{RecordCalibration, restored, stored};
use crate::{Context, Error};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use synod_council::verdict::{Case, Vote, weights};
use synod_council::{
    Calibration, Kind, Label, PRIOR_MEAN, Past, Shape, Voter, ability, fit_labels, posterior,
};

/// Questions that a fit looks at, the latest.
const PAST_MAX: usize = 2_000;
/// Told questions from which on a domain has a fit of its own.
const DOMAIN_MIN: usize = 20;
/// What was learned over all domains.
pub const ALL: &str = "";
/// Wrong answers to the same question, of two models, below which nothing is said of the pair.
const COLLISIONS_MIN: f64 = 5.0;
/// What counts for the usual rate of collisions beside those that were seen.
const COLLISIONS_PRIOR: f64 = 20.0;
/// Pairs that are kept, those that collide most.
const PAIRS_MAX: usize = 500;
/// Excess of collisions from which on two models are one voter.
pub const ONE_VOTER: f64 = 0.5;
/// Days after which a question counts half.
const HALF_LIFE_DAYS: f64 = 90.0;
const DAY_MS: f64 = 86_400_000.0;

/// What is known of models for one sort of answer.
#[derive(Default, Serialize, Deserialize)]
pub struct Learned {
    /// By weights: log-odds of being right at middle difficulty, answers that this rests on.
    models: BTreeMap<String, (f64, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<RecordCalibration>,
    /// Two by weights, the first before the second in the alphabet, and how much more often than
    /// usual they were wrong in the same way when both were wrong, 0 to 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    excess: Vec<(String, String, f64)>,
}

impl Learned {
    /// What holds for a question of this sort: the domain's own when enough was told there, and
    /// for models that were never asked there what holds over all domains.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of(cx: &Context, kind: Kind, domain: &str) -> Result<Self, Error> {
        let kept = |domain: &str| -> Result<Option<Self>, Error> {
            let found = cx.store.learned(kind.name(), domain)?;
            Ok(found.map(|learned| serde_json::from_str(&learned.json)).transpose()?)
        };
        let all = kept(ALL)?.unwrap_or_default();
        if domain == ALL {
            return Ok(all);
        }
        let Some(own) = kept(domain)? else { return Ok(all) };
        let mut models = all.models;
        models.extend(own.models);
        Ok(Learned { models, calibration: own.calibration.or(all.calibration), excess: all.excess })
    }

    /// How much more often than usual two models are wrong in the same way, if that is known.
    pub fn excess(&self, a: &str, b: &str) -> Option<f64> {
        let (a, b) = (weights(a), weights(b));
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        self.excess.iter().find(|(x, y, _)| *x == a && *y == b).map(|(_, _, excess)| *excess)
    }

    /// Ability and answers of a model, if anything is known.
    pub fn model(&self, model: &str) -> Option<(f64, f64)> {
        self.models.get(&weights(model)).copied()
    }

    /// Fills in what is known. Of two models that are wrong in the same way far more often than
    /// others the less known one counts as the other; two names of the same weights count alike.
    pub fn teach(&self, case: &mut Case) {
        for vote in &mut case.votes {
            vote.known = self.model(&vote.model);
        }
        let n = |vote: &Vote| vote.known.map_or(0.0, |known| known.1);
        // Best known first: what it counts as has been decided when the next one looks at it.
        let mut order: Vec<usize> = (0..case.votes.len()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&case.votes[*a], &case.votes[*b]);
            n(b).total_cmp(&n(a)).then_with(|| a.model.cmp(&b.model))
        });
        for (place, at) in order.iter().enumerate() {
            let one = &case.votes[*at];
            let before: Vec<&Vote> = order[..place].iter().map(|at| &case.votes[*at]).collect();
            let alike = |other: &Vote| {
                self.excess(&one.model, &other.model).is_some_and(|excess| excess >= ONE_VOTER)
            };
            let voter = match before.iter().find(|other| other.weights() == one.weights()) {
                Some(same) => same.counts_as.clone(),
                None => {
                    let twin = before.iter().find(|other| alike(other));
                    twin.map(|twin| twin.counts_as.as_deref().unwrap_or(twin.named()).to_owned())
                }
            };
            case.votes[*at].counts_as = voter;
        }
        case.calibration = restored(self.calibration.clone());
    }
}

/// Share of right answers that an ability stands for, over all difficulties.
pub fn mean(ability: f64, sigma: f64) -> f64 {
    synod_council::logistic(ability / (1.0 + sigma * sigma / 2.89).sqrt())
}

/// Fits anew what was told of a sort of answer: over all domains, and in this one when enough was
/// told there.
///
/// # Errors
/// Those of the store.
pub fn relearn(cx: &Context, kind: Kind, domain: &str) -> Result<(), Error> {
    let now_ms = (cx.now_ms)();
    let all = fit(cx, kind, None, &Learned::default(), now_ms)?;
    cx.store.put_learned(kind.name(), ALL, &serde_json::to_string(&all)?, now_ms)?;
    if cx.store.told_count(kind.name(), Some(domain))? >= DOMAIN_MIN {
        let own = fit(cx, kind, Some(domain), &all, now_ms)?;
        cx.store.put_learned(kind.name(), domain, &serde_json::to_string(&own)?, now_ms)?;
    }
    Ok(())
}

fn fit(
    cx: &Context,
    kind: Kind,
    domain: Option<&str>,
    above: &Learned,
    now_ms: i64,
) -> Result<Learned, Error> {
    let rows = cx.store.past(kind.name(), domain, PAST_MAX)?;
    let mut names: Vec<String> = Vec::new();
    let mut counts: Vec<f64> = Vec::new();
    let mut past = Vec::new();
    for row in rows {
        let days = (now_ms - row.at_ms).max(0) as f64 / DAY_MS;
        let weight = 0.5f64.powf(days / HALF_LIFE_DAYS);
        let mut votes = Vec::new();
        for vote in &row.votes {
            let name = weights(&vote.model);
            let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                counts.push(0.0);
                names.len() - 1
            });
            counts[at] += if row.told.is_some() { weight } else { 0.0 };
            votes.push((at, vote.cluster));
        }
        let (n_clusters, options) = (row.n_clusters, row.options);
        past.push(Past { votes, n_clusters, told: row.told, options, weight });
    }
    let sigma = Shape::of(kind, 0).sigma;
    let unknown = ability(PRIOR_MEAN, sigma);
    let start =
        names.iter().map(|n| above.models.get(n).map_or(unknown, |known| known.0)).collect();
    let abilities = fit_labels(kind, &past, start);
    let labels: Vec<Label> = past.iter().filter_map(|p| label(kind, p, &abilities)).collect();
    let excess = collisions(kind, &names, &past);
    let models = names.into_iter().zip(abilities.into_iter().zip(counts)).collect();
    Ok(Learned { models, calibration: stored(&Calibration::fit(kind, &labels)), excess })
}

/// How often two that are both wrong are wrong in the same way, by sort of answer
/// (research: strong and weak models alike, over random pairs).
fn usual(kind: Kind) -> f64 {
    match kind {
        Kind::Choice => 0.36,
        Kind::Number => 0.15,
        Kind::Value | Kind::Short | Kind::Long => 0.20,
    }
}

/// By pair of names, the excess of collisions over what is usual, of what was told.
fn collisions(kind: Kind, names: &[String], past: &[Past]) -> Vec<(String, String, f64)> {
    let mut seen: BTreeMap<(usize, usize), (f64, f64)> = BTreeMap::new();
    for row in past {
        let Some(told) = row.told else { continue };
        let wrong: Vec<&(usize, usize)> =
            row.votes.iter().filter(|(_, cluster)| Some(*cluster) != told).collect();
        for (at, (a, at_a)) in wrong.iter().enumerate() {
            for (b, at_b) in &wrong[at + 1..] {
                let pair = if names[*a] < names[*b] { (*a, *b) } else { (*b, *a) };
                let (both, same) = seen.entry(pair).or_default();
                *both += row.weight;
                *same += if at_a == at_b { row.weight } else { 0.0 };
            }
        }
    }
    let usual = usual(kind);
    let excess = |(both, same): (f64, f64)| {
        let rate = (same + COLLISIONS_PRIOR * usual) / (both + COLLISIONS_PRIOR);
        ((rate - usual) / (1.0 - usual)).max(0.0)
    };
    let known = seen.into_iter().filter(|(_, (both, _))| *both >= COLLISIONS_MIN);
    let mut out: Vec<(String, String, f64)> = known
        .map(|((a, b), counts)| (names[a].clone(), names[b].clone(), excess(counts)))
        .collect();
    out.sort_by(|x, y| y.2.total_cmp(&x.2).then_with(|| (&x.0, &x.1).cmp(&(&y.0, &y.1))));
    out.truncate(PAIRS_MAX);
    out
}

/// The raw score of the winner of a told question, and whether it was right.
fn label(kind: Kind, past: &Past, abilities: &[f64]) -> Option<Label> {
    let told = past.told?;
    let voter = |&(model, cluster): &(usize, usize)| Voter {
        ability: abilities[model],
        cluster,
        share: 1.0,
    };
    let voters: Vec<Voter> = past.votes.iter().map(voter).collect();
    if voters.len() < 2 {
        return None;
    }
    let found = posterior(&voters, past.n_clusters, Shape::of(kind, past.options));
    let best =
        (0..past.n_clusters).reduce(|a, b| if found.right[b] > found.right[a] { b } else { a })?;
    Some((found.right[best], told == Some(best)))
}

/// The votes of a verdict as they are remembered: one for each model that answered.
pub fn remembered(
    votes: &[Vote],
    groups: &[synod_council::verdict::Group],
) -> Vec<(String, usize)> {
    let mut out: Vec<(String, usize)> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        for vote in &group.votes {
            let (name, own) = (weights(&votes[*vote].model), votes[*vote].weights());
            // Two rows of one model are one model.
            if !seen.contains(&own) && !out.iter().any(|(known, _)| *known == name) {
                seen.push(own);
                out.push((name, at));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_council::verdict::Group;

    fn vote(model: &str, name: &str) -> Vote {
        Vote { model: model.to_owned(), name: name.to_owned(), ..Vote::default() }
    }

    #[test]
    fn two_names_of_one_model_count_alike_and_are_remembered_once() {
        let known = |name: &str, n: f64| (name.to_owned(), (1.0, n));
        let learned = Learned {
            models: BTreeMap::from([known("best", 30.0), known("fast", 20.0)]),
            excess: vec![("best".to_owned(), "fast".to_owned(), 0.9)],
            ..Learned::default()
        };
        let votes = vec![vote("best", ""), vote("fast", "same"), vote("slow", "same")];
        let mut case = Case { votes, ..Case::default() };
        learned.teach(&mut case);
        let voters: Vec<String> = case.votes.iter().map(Vote::voter).collect();
        assert_eq!(voters, ["best", "best", "best"]);
        let group =
            |votes: Vec<usize>| Group { answer: String::new(), votes, share: 0.5, posterior: 0.5 };
        let groups = [group(vec![0]), group(vec![1, 2])];
        let wanted = [("best".to_owned(), 0), ("fast".to_owned(), 1)];
        assert_eq!(remembered(&case.votes, &groups), wanted);
    }
}
