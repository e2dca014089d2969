//! Whom to ask, and when it is enough.

use crate::plan::ANSWERS_MAX;
use crate::posterior::{Shape, Voter, posterior};
use std::collections::BTreeMap;

/// Whether nobody else need be asked. `votes` are those asked so far, `None` for one who abstained:
/// ability and cluster; `left` the abilities of those who could still be asked. At least two must
/// have answered; then it is enough when the posterior of the best cluster is at `enough`, or when
/// no answer of the others could change which cluster wins.
pub fn stop(votes: &[Option<(f64, usize)>], left: &[f64], shape: Shape, enough: f64) -> bool {
    let mut names: Vec<usize> = Vec::new();
    let mut voters = Vec::new();
    for &(ability, name) in votes.iter().flatten() {
        let known = names.iter().position(|n| *n == name);
        let cluster = known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        voters.push(Voter { ability, cluster, share: 1.0 });
    }
    if left.is_empty() {
        return true;
    }
    if voters.len() < 2 {
        return false;
    }
    let found = posterior(&voters, names.len(), shape);
    let best = (0..names.len()).max_by(|a, b| found.right[*a].total_cmp(&found.right[*b]));
    let Some(best) = best else { return false };
    found.right[best] >= enough || settled(&voters, names.len(), best, left, shape)
}

/// Whether `best` wins even if all who are left agree on the same other answer, known or new.
fn settled(voters: &[Voter], n: usize, best: usize, left: &[f64], shape: Shape) -> bool {
    (0..=n).filter(|other| *other != best).all(|other| {
        let against =
            left.iter().map(|ability| Voter { ability: *ability, cluster: other, share: 1.0 });
        let all: Vec<Voter> = voters.iter().copied().chain(against).collect();
        let found = posterior(&all, n + 1, shape);
        found.right[best] > found.right[other]
    })
}

/// A model that could be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The model.
    pub id: String,
    /// Who makes it.
    pub vendor: String,
    /// What it is a version of.
    pub family: String,
    /// The weights it is made from; two names of one model have the same.
    pub weights: String,
    /// Learned share of right answers, 0 to 1.
    pub reliability: f64,
    /// By the other model's id: how much more often than by chance both are wrong in the same way,
    /// 0 to 1. One that is missing has a default by family and weights.
    pub excess_with: BTreeMap<String, f64>,
    /// By the other model's id: kappa of errors, if it was measured.
    pub kappa_with: BTreeMap<String, f64>,
}

impl Candidate {
    /// Excess of collisions: same weights 0.8; of others what was measured, and until it is, same
    /// family 0.03, else none.
    fn excess(&self, other: &Candidate) -> f64 {
        let known = self.excess_with.get(&other.id).or_else(|| other.excess_with.get(&self.id));
        match known {
            _ if self.weights == other.weights => 0.8,
            Some(excess) => *excess,
            None if self.family == other.family => 0.03,
            None => 0.0,
        }
    }

    fn kappa(&self, other: &Candidate) -> f64 {
        let known = self.kappa_with.get(&other.id).or_else(|| other.kappa_with.get(&self.id));
        match known {
            _ if self.weights == other.weights => 1.0,
            Some(kappa) => kappa.clamp(0.0, 1.0),
            None if self.family == other.family => 0.6,
            None => 0.35,
        }
    }
}

/// How a panel is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules<'a> {
    /// Reliabilities this near count as the same.
    pub band: f64,
    /// From this excess on two are one voter.
    pub one_voter: f64,
    /// Different weights and different vendors at least.
    pub kinds_min: usize,
    /// The caller's models, which win.
    pub named: Option<&'a [&'a str]>,
}

impl Default for Rules<'_> {
    fn default() -> Self {
        Rules { band: 0.02, one_voter: 0.5, kinds_min: 2, named: None }
    }
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The models in the order in which they are asked.
    pub models: Vec<String>,
    /// 1 minus mean kappa; `None` for fewer than two.
    pub diversity: Option<f64>,
    /// How many independent voters they are worth.
    pub n_eff: f64,
    /// By model: why.
    pub why: Vec<String>,
    /// Rules that could not be kept.
    pub degraded: Vec<String>,
}

/// Chooses `n` of the candidates: the most reliable first; among those within [`Rules::band`] the
/// one that collides least with those already chosen. Two that are one voter are chosen only by
/// name.
///
/// # Errors
/// A named model is no candidate.
pub fn choose(candidates: &[Candidate], n: usize, rules: &Rules) -> Result<Panel, String> {
    let mut why = Vec::new();
    let mut chosen: Vec<&Candidate> = Vec::new();
    for name in rules.named.unwrap_or_default() {
        let Some(one) = candidates.iter().find(|c| c.id == *name) else {
            let near = crate::head::nearest(name, candidates.iter().map(|c| c.id.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("; nearest is `{near}`"));
            return Err(format!("models: no model `{name}`{hint}"));
        };
        if !chosen.contains(&one) && chosen.len() < ANSWERS_MAX {
            why.push(format!("{}: named by the caller", one.id));
            chosen.push(one);
        }
    }
    let n = if chosen.is_empty() { n.min(ANSWERS_MAX) } else { 0 };
    grow(&mut chosen, &mut why, candidates, n, rules);
    Ok(measured(&chosen, n, why, rules))
}

/// The same from several pools, each as far as it goes before the next one is looked at, beside
/// those who sit already. The panel begins with these, and what is said of it is said of all.
pub fn fill(seated: &[Candidate], pools: &[Vec<Candidate>], n: usize, rules: &Rules) -> Panel {
    let mut chosen: Vec<&Candidate> = seated.iter().collect();
    let (n, mut why) = (n.min(ANSWERS_MAX), Vec::new());
    for pool in pools {
        grow(&mut chosen, &mut why, pool, n, rules);
    }
    measured(&chosen, n, why, rules)
}

/// Chooses from a pool until there are `n`, or nobody who is another voter is left in it.
fn grow<'a>(
    chosen: &mut Vec<&'a Candidate>,
    why: &mut Vec<String>,
    pool: &'a [Candidate],
    n: usize,
    rules: &Rules,
) {
    while chosen.len() < n {
        let Some((next, reason)) = pick(pool, chosen, n - chosen.len(), rules) else { return };
        why.push(format!("{}: {reason}", next.id));
        chosen.push(next);
    }
}

/// The next one and why.
fn pick<'a>(
    candidates: &'a [Candidate],
    chosen: &[&Candidate],
    places: usize,
    rules: &Rules,
) -> Option<(&'a Candidate, String)> {
    let worst = |c: &Candidate| chosen.iter().map(|o| c.excess(o)).fold(0.0, f64::max);
    let open = |c: &&Candidate| !chosen.iter().any(|o| o.id == c.id) && worst(c) < rules.one_voter;
    let mut pool: Vec<&Candidate> = candidates.iter().filter(open).collect();
    let fresh = |c: &Candidate, of: fn(&Candidate) -> &str| {
        let known = distinct(chosen, of);
        known == 0 || known >= rules.kinds_min || !chosen.iter().any(|o| of(o) == of(c))
    };
    let gain = |c: &Candidate| {
        usize::from(fresh(c, |c| &c.weights)) + usize::from(fresh(c, |c| &c.vendor))
    };
    // The last places are kept for what is still the same in all.
    let most = pool.iter().map(|c| gain(c)).max()?;
    let mut forced = false;
    if !chosen.is_empty() && places <= 1 + usize::from(most < 2) {
        let before = pool.len();
        pool.retain(|c| gain(c) == most);
        forced = pool.len() < before;
    }
    let top = pool.iter().map(|c| c.reliability).fold(f64::MIN, f64::max);
    let mean = |c: &Candidate| {
        chosen.iter().map(|o| c.excess(o)).sum::<f64>() / chosen.len().max(1) as f64
    };
    let near = pool.into_iter().filter(|c| c.reliability >= top - rules.band);
    let best = near.min_by(|a, b| {
        let by = mean(a).total_cmp(&mean(b));
        by.then(b.reliability.total_cmp(&a.reliability)).then(a.id.cmp(&b.id))
    })?;
    let mut why = format!("reliability {:.2}", best.reliability);
    if !chosen.is_empty() {
        why += &format!(", mean excess of collisions {:.2}", mean(best));
    }
    if forced {
        why += ", another vendor or other weights";
    }
    Some((best, why))
}

fn distinct(chosen: &[&Candidate], of: fn(&Candidate) -> &str) -> usize {
    let mut known: Vec<&str> = chosen.iter().map(|c| of(c)).collect();
    known.sort_unstable();
    known.dedup();
    known.len()
}

fn measured(chosen: &[&Candidate], n: usize, why: Vec<String>, rules: &Rules) -> Panel {
    let k = chosen.len();
    let pairs = (0..k).flat_map(|a| (0..a).map(move |b| (a, b)));
    let kappas: Vec<f64> = pairs.map(|(a, b)| chosen[a].kappa(chosen[b])).collect();
    let mean = kappas.iter().sum::<f64>() / kappas.len().max(1) as f64;
    let mut degraded = Vec::new();
    if k < n {
        degraded
            .push(format!("panel: {k} of {n} places taken; no other independent model is left"));
    }
    for (what, of) in [
        ("weights", (|c: &Candidate| c.weights.as_str()) as fn(&Candidate) -> &str),
        ("vendors", |c| c.vendor.as_str()),
    ] {
        let kinds = distinct(chosen, of);
        if k >= 2 && kinds < rules.kinds_min {
            degraded
                .push(format!("diversity: {kinds} different {what}, {} wanted", rules.kinds_min));
        }
    }
    Panel {
        models: chosen.iter().map(|c| c.id.clone()).collect(),
        diversity: (k >= 2).then_some(1.0 - mean),
        n_eff: if k == 0 { 0.0 } else { k as f64 / (1.0 + (k as f64 - 1.0) * mean) },
        why,
        degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { alpha: 4.0, sigma: 1.8 };

    #[test]
    fn it_asks_until_it_is_enough() {
        let stop = |votes: &[Option<(f64, usize)>], left: &[f64]| stop(votes, left, SHAPE, 0.8);
        assert!(!stop(&[Some((3.0, 0))], &[1.0]), "one answer is no council");
        assert!(stop(&[Some((3.0, 0)), Some((2.0, 0))], &[1.0, 1.0]));
        assert!(!stop(&[Some((1.0, 0)), Some((1.0, 1))], &[1.0, 1.0]));
        assert!(!stop(&[Some((1.0, 0)), None], &[1.0, 1.0]));
        assert!(stop(&[Some((1.0, 0)), Some((1.0, 1))], &[]), "nobody is left");
        // Two against one, and the last one knows little.
        let votes = [Some((0.3, 0)), Some((0.3, 0)), Some((0.3, 1))];
        assert!(stop(&votes, &[-3.0]));
    }

    fn candidate(id: &str, vendor: &str, family: &str, weights: &str, mean: f64) -> Candidate {
        Candidate {
            id: id.into(),
            vendor: vendor.into(),
            family: family.into(),
            weights: weights.into(),
            reliability: mean,
            excess_with: BTreeMap::new(),
            kappa_with: BTreeMap::new(),
        }
    }

    #[test]
    fn a_panel_is_good_first_and_then_diverse() {
        let mut all = [
            candidate("a1", "a", "a", "a1", 0.90),
            candidate("a1-fast", "a", "a", "a1", 0.89),
            candidate("a2", "a", "a", "a2", 0.89),
            candidate("b", "b", "b", "b", 0.88),
            candidate("c", "c", "c", "c", 0.60),
        ];
        let rules = Rules::default();
        let two = choose(&all, 2, &rules).unwrap();
        // b is within the band and collides less than its own family.
        assert_eq!(two.models, ["a1", "b"]);
        assert!((two.diversity.unwrap() - 0.65).abs() < 1e-12);
        assert!((two.n_eff - 2.0 / 1.35).abs() < 1e-12);
        let four = choose(&all, 4, &rules).unwrap();
        assert_eq!(four.models, ["a1", "b", "a2", "c"], "two names of one model are one voter");
        let many = choose(&all, 9, &rules).unwrap();
        assert_eq!(many.models.len(), 4);
        assert!(many.degraded[0].contains("4 of 8 places"), "{:?}", many.degraded);
        // The last place is kept for another vendor, however bad.
        let own = [all[0].clone(), all[2].clone(), all[4].clone()];
        let forced = choose(&own, 2, &rules).unwrap();
        assert_eq!(forced.models, ["a1", "c"]);
        assert!(forced.why[1].contains("another vendor"), "{:?}", forced.why);
        let alone = choose(&own[..2], 2, &rules).unwrap();
        assert_eq!(alone.models, ["a1", "a2"]);
        assert_eq!(alone.degraded, ["diversity: 1 different vendors, 2 wanted"]);
        assert!((alone.diversity.unwrap() - 0.4).abs() < 1e-12);
        // Measured collisions make two one voter.
        all[3].excess_with.insert("a1".into(), 0.6);
        assert_eq!(choose(&all, 2, &rules).unwrap().models, ["a1", "c"]);
        let none = choose(&[], 3, &rules).unwrap();
        assert_eq!((none.n_eff, none.diversity), (0.0, None));
    }

    #[test]
    fn named_models_win_over_all_rules() {
        let mut all = [
            candidate("a1", "a", "a", "a1", 0.90),
            candidate("a1-fast", "a", "a", "a1", 0.89),
            candidate("b", "b", "b", "b", 0.88),
        ];
        let named = |names: &[&str], all: &[Candidate]| {
            choose(all, 5, &Rules { named: Some(names), ..Rules::default() })
        };
        let same = named(&["a1-fast", "a1", "a1"], &all).unwrap();
        assert_eq!(same.models, ["a1-fast", "a1"]);
        assert_eq!((same.diversity, same.n_eff, same.degraded.len()), (Some(0.0), 1.0, 2));
        all[0].kappa_with.insert("b".into(), 0.1);
        assert_eq!(named(&["b", "a1"], &all).unwrap().diversity, Some(0.9));
        let error = named(&["a1-fsat"], &all).unwrap_err();
        assert_eq!(error, "models: no model `a1-fsat`; nearest is `a1-fast`");
    }

    #[test]
    fn pools_are_looked_at_one_after_the_other_and_no_voter_sits_twice() {
        let rules = Rules::default();
        let near = vec![candidate("fast", "a", "a", "same", 0.70)];
        let far = vec![
            candidate("slow", "a", "a", "same", 0.95),
            candidate("other", "b", "b", "other", 0.90),
        ];
        let pools = [near.clone(), far.clone()];
        let panel = fill(&[], &pools, 2, &rules);
        assert_eq!(panel.models, ["fast", "other"], "`slow` is `fast` once more");
        assert!(panel.degraded.is_empty(), "{:?}", panel.degraded);
        assert!((panel.diversity.unwrap() - 0.65).abs() < 1e-12, "of both pools");
        // Whoever sits already is neither chosen again nor joined by himself.
        let more = fill(&near, &pools, 3, &rules);
        assert_eq!(more.models, ["fast", "other"]);
        assert!(more.degraded[0].contains("2 of 3 places"), "{:?}", more.degraded);
        // What the first pool cannot fill the second does, and nothing is said of the first.
        let panel = fill(&[], &[Vec::new(), far], 2, &rules);
        assert_eq!((panel.models.len(), panel.degraded.len()), (2, 0));
    }
}
