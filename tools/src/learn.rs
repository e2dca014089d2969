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
}

impl Learned {
    /// What holds for a question of this sort: the domain's own when enough was told there.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of(cx: &Context, kind: Kind, domain: &str) -> Result<Self, Error> {
        for domain in [domain, ALL] {
            if let Some(learned) = cx.store.learned(kind.name(), domain)? {
                return Ok(serde_json::from_str(&learned.json)?);
            }
        }
        Ok(Learned::default())
    }

    /// Ability and answers of a model, if anything is known.
    pub fn model(&self, model: &str) -> Option<(f64, f64)> {
        self.models.get(&weights(model)).copied()
    }

    /// Fills in what is known.
    pub fn teach(&self, case: &mut Case) {
        for vote in &mut case.votes {
            vote.known = self.model(&vote.model);
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
    let models = names.into_iter().zip(abilities.into_iter().zip(counts)).collect();
    Ok(Learned { models, calibration: stored(&Calibration::fit(kind, &labels)) })
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
    for (at, group) in groups.iter().enumerate() {
        for vote in &group.votes {
            let name = weights(&votes[*vote].model);
            if !out.iter().any(|(known, _)| *known == name) {
                out.push((name, at));
            }
        }
    }
    out
}
