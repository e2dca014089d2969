//! Whom to ask and how far to go: the rules of `synod_council::plan` over the models that are
//! configured, what is known of them, and the caller's word, which wins.

use crate::consensus::{domain, made_of};
use crate::learn::{Learned, mean};
use crate::orchestrate::{Args, DecisionReply, Effort, Mode};
use crate::{Context, Error};
use synod_council::plan::{self, Bounds, Candidate, Decision, Overrides, Rules, analyse, fill};
use synod_council::verdict::weights;
use synod_council::{Kind, PRIOR_MEAN, Shape, classify};
use synod_llm::{Model, Policy};

/// Whom to ask, and when it is enough.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ids, the first to be asked first: the panel, then who is asked when it leaves doubt, then
    /// other names of the same weights, which stand in for those that fail.
    pub order: Vec<String>,
    /// How many of them are voters of their own.
    pub voters: usize,
    /// How many of them are the panel.
    pub panel: usize,
    /// Asked at once in the beginning.
    pub first: usize,
    /// Posterior from which on nobody else is asked; over 1 where all are waited for.
    pub enough: f64,
    /// Trust that the answer needs.
    pub required: f64,
    /// Whether the premise of the question is to be checked.
    pub premise: bool,
    /// What was decided, and why.
    pub decision: DecisionReply,
}

/// A value and its reason in one line.
fn said(name: &str, why: &str) -> String {
    format!("{name}: {why}")
}

/// How many answers an effort wants at most; trust needs two.
const QUICK: Bounds = Bounds { least: 2, most: 2 };

fn overrides(args: &Args) -> Overrides {
    Overrides {
        complexity: args.complexity.map(Into::into),
        stakes: args.stakes.map(Into::into),
        domain: args.domain.as_deref().and_then(plan::Domain::parse),
        confidence: args.confidence,
        effort: args.effort.map(|effort| match effort {
            Effort::Quick => plan::Effort::Quick,
            Effort::Normal => plan::Effort::Normal,
            Effort::Deep => plan::Effort::Deep,
        }),
        panel: (args.effort == Some(Effort::Quick)).then_some(QUICK),
    }
}

impl Plan {
    /// From the arguments and what is known of the models.
    ///
    /// # Errors
    /// Those of the store; `Refused` when the policy leaves nobody.
    pub fn new(cx: &Context, args: &Args) -> Result<Self, Error> {
        let found = analyse(&args.query, &overrides(args));
        let named = !args.models.is_empty();
        let bounds = found.panel.value;
        let most = if args.mode == Mode::Single { 1 } else { bounds.most.max(2) };
        let (order, voters, panel) = match named {
            true => (args.models.clone(), args.models.len(), None),
            false => order(cx, args, most)?,
        };
        let mut decision = DecisionReply {
            complexity: said(found.complexity.value.name(), &found.complexity.why),
            stakes: said(found.stakes.value.name(), &found.stakes.why),
            domain: said(found.domain.value.name(), &found.domain.why),
            effort: said(found.effort.value.name(), &found.effort.why),
            needed: found.confidence.value,
            needed_why: found.confidence.why.clone(),
            ..DecisionReply::default()
        };
        if let Some(panel) = &panel {
            decision.diversity = panel.diversity.map(|d| (d * 1000.0).round() / 1000.0);
            decision.not_kept.clone_from(&panel.degraded);
        }
        let (first, n, enough, why) = match args.mode {
            Mode::Single => (1, 1, 1.0, "one model, as asked".to_owned()),
            _ if named => (order.len(), order.len(), 2.0, "the models that were named".to_owned()),
            _ => adaptive(&found.panel, &found.stop_at, voters, most),
        };
        decision.why = why;
        let panel = n.min(voters);
        let order = if args.mode == Mode::Single { order[..panel].to_vec() } else { order };
        let voters = voters.min(order.len());
        let required = found.confidence.value;
        // Quick asks two and no third one; a deep council looks at every premise.
        let deep = found.effort.value == plan::Effort::Deep;
        let premise = deep || found.premise.value && found.effort.value != plan::Effort::Quick;
        let first = first.min(panel);
        Ok(Plan { order, voters, panel, first, enough, required, premise, decision })
    }

    /// Whether others may be asked when the panel leaves doubt: not where the caller named them.
    pub fn goes_on(&self, args: &Args) -> bool {
        args.models.is_empty() && args.mode == Mode::Vote && args.effort != Some(Effort::Quick)
    }
}

/// First, panel, stop and reason of a panel that stops by itself.
fn adaptive(
    panel: &Decision<Bounds>,
    stop_at: &Decision<f64>,
    n_models: usize,
    most: usize,
) -> (usize, usize, f64, String) {
    let first = panel.value.least.max(2);
    let (stop, n) = (stop_at.value, most.min(n_models));
    let why = format!(
        "up to {n} models ({}), {} first, until the posterior is {stop} ({})",
        panel.why,
        first.min(n),
        stop_at.why
    );
    (first, most, stop, why)
}

/// Ids, voters of their own among them, and what is said of the panel.
type Order = (Vec<String>, usize, Option<plan::Panel>);

/// Models that may be asked: `most` as the panel, then the others; local ones first where the
/// policy says so.
fn order(cx: &Context, args: &Args, most: usize) -> Result<Order, Error> {
    let rows = cx.engine.models();
    let council = cx.council.get();
    let sits = &council.panel;
    let policy = args.policy.map_or(council.policy, Into::into);
    let local = |row: &Model| cx.engine.is_local(&row.id);
    let rows = rows.into_iter().filter(|row| sits.is_empty() || sits.contains(&row.id));
    let rows: Vec<Model> = rows.filter(|row| policy != Policy::Local || local(row)).collect();
    if rows.is_empty() {
        let text = "`council.panel` in synod.toml and the policy leave no model that is \
                    configured";
        return Err(Error::Refused(format!("orchestrate: {text}")));
    }
    let kind = args.kind.map_or_else(|| classify(&args.query, &args.options, &[]), Kind::from);
    let learned = Learned::of(cx, kind, domain(&args.query))?;
    let all: Vec<(Candidate, bool)> =
        rows.iter().map(|row| (candidate(row, &rows, kind, &learned), local(row))).collect();
    let near = |first: bool| -> Vec<Candidate> {
        let wanted = all.iter().filter(|(_, local)| *local == first);
        wanted.map(|(candidate, _)| candidate.clone()).collect()
    };
    let everybody = || all.iter().map(|(candidate, _)| candidate.clone()).collect();
    let pools: Vec<Vec<Candidate>> = match policy {
        Policy::LocalFirst => vec![near(true), near(false)],
        Policy::Local | Policy::Cloud => vec![everybody()],
    };
    let rules = Rules::default();
    let panel = fill(&[], &pools, most, &rules);
    let by_id = |id: &String| pools.iter().flatten().find(|one| one.id == *id).cloned();
    let seated: Vec<Candidate> = panel.models.iter().filter_map(by_id).collect();
    // The panel first, then whoever is left, in the same way.
    let mut ids = fill(&seated, &pools, plan::ANSWERS_MAX, &rules).models;
    let voters = ids.len();
    let left = pools.iter().flatten().filter(|one| !ids.contains(&one.id));
    let spare: Vec<String> =
        left.map(|one| one.id.clone()).take(plan::ANSWERS_MAX.saturating_sub(voters)).collect();
    ids.extend(spare);
    Ok((ids, voters, Some(panel)))
}

fn candidate(row: &Model, rows: &[Model], kind: Kind, learned: &Learned) -> Candidate {
    let sigma = Shape::of(kind, 0).sigma;
    let known = learned.model(&row.id).map(|(ability, _)| mean(ability, sigma));
    let excess = |other: &Model| Some((other.id.clone(), learned.excess(&row.id, &other.id)?));
    // What nobody named is unlike everything else, not like everything else that has no name.
    let own = |text: &str| if text.is_empty() { format!("?{}", row.id) } else { text.to_owned() };
    Candidate {
        id: row.id.clone(),
        vendor: own(&row.vendor),
        family: own(&row.family),
        weights: weights(&made_of(row, rows)),
        reliability: known.unwrap_or(PRIOR_MEAN),
        excess_with: rows.iter().filter_map(excess).collect(),
        kappa_with: std::collections::BTreeMap::new(),
    }
}
