//! Whether an answer may go out, or a person decides first: the divergence gate, and trust below
//! what the answer needs.

use crate::orchestrate::{Args, Mode, Reply};
use crate::panel::Plan;
use crate::round::{Seats, computed};
use crate::verdict::VerdictReply;
use crate::{Context, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use synod_council::Kind;
use synod_council::cluster::cosines;
use synod_council::gate::{Asked, Gate, Recommendation, gate};

/// What the divergence gate decided.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateReply {
    consensus: bool,
    /// 0 all the same, 1 all different; absent with fewer than two answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    divergence_score: Option<f64>,
    /// proceed, review or block.
    recommendation: String,
    /// Models that stand apart while the others agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    anomalies: Vec<String>,
    why: String,
}

impl GateReply {
    fn of(found: &Gate, models: &[String]) -> Self {
        GateReply {
            consensus: found.consensus,
            divergence_score: found.divergence.score.map(|s| (s * 10_000.0).round() / 10_000.0),
            recommendation: found.recommendation.name().to_owned(),
            anomalies: found.anomalies.iter().map(|at| models[*at].clone()).collect(),
            why: found.why.clone(),
        }
    }

    /// One line for a model.
    pub fn said(&self) -> String {
        format!("{}, {}", self.recommendation, self.why)
    }

    fn blocks(&self) -> bool {
        self.recommendation == Recommendation::Block.name()
    }
}

/// Puts the gate and what a person is needed for into a reply.
///
/// # Errors
/// Those of work that ended too early.
pub async fn judge(
    cx: &Context,
    args: &Args,
    plan: &Plan,
    seats: &Seats,
    reply: &mut Reply,
) -> Result<(), Error> {
    let trust = reply.verdict.as_ref().and_then(|verdict| verdict.trust);
    let short = trust.filter(|trust| *trust < plan.required);
    if let Some(trust) = short.filter(|_| reply.decision.escalate.is_none()) {
        let why = format!("trust {trust:.2} of {:.2} needed", plan.required);
        reply.decision.escalate = Some(why);
    }
    if trust.is_none() && args.hold && reply.decision.escalate.is_none() {
        reply.decision.escalate = Some("there is no trust to go by".to_owned());
    }
    let held_back = |kind: &str, why: &str| {
        let actions = ["approve", "provide", "modify", "cancel"];
        Some(json!({ "kind": kind, "why": why, "actions": actions }))
    };
    if let Some(threshold) = args.gate.filter(|_| args.mode != Mode::Single) {
        let kind = reply.verdict.as_ref().map(VerdictReply::sort);
        let found = measured(cx, seats, kind, threshold).await?;
        if found.recommendation != Recommendation::Proceed.name() {
            reply.needs = held_back("gate", &found.said());
        }
        reply.gate = Some(found);
    }
    if reply.needs.is_none()
        && args.hold
        && let Some(why) = &reply.decision.escalate
    {
        reply.needs = held_back("trust", why);
    }
    Ok(())
}

/// What the verdict was made of is looked at in the same way.
async fn measured(
    cx: &Context,
    seats: &Seats,
    kind: Option<Kind>,
    threshold: f64,
) -> Result<GateReply, Error> {
    let case = seats.held().1.clone().unwrap_or_default();
    let spoke = case.votes.iter().filter(|vote| !vote.failed);
    let mut said: Vec<(String, String)> =
        spoke.map(|vote| (vote.model.clone(), vote.text.clone())).collect();
    // Answers come in any order.
    said.sort();
    let (models, texts): (Vec<String>, Vec<String>) = said.into_iter().unzip();
    let cx = cx.clone();
    computed(move || {
        let embedder = cx.index.embedder().filter(|_| !kind.is_some_and(Kind::is_exact));
        let vectors = embedder.and_then(|embedder| embedder.passages(&texts).ok());
        let meaning = vectors.map(|vectors| cosines(&vectors));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let asked = Asked { question: &case.question, kind, options: &case.options };
        Ok(GateReply::of(&gate(&asked, &texts, threshold, meaning.as_deref()), &models))
    })
    .await
}

/// Takes the answer out of a reply that waits for a person because the gate blocks it: `trust` has
/// it for whoever decides.
pub fn withhold(reply: &mut Reply) {
    let Some(needs) = &mut reply.needs else { return };
    if !reply.gate.as_ref().is_some_and(GateReply::blocks) {
        return;
    }
    if let Some(verdict) = reply.verdict.take() {
        needs["verdict"] = Value::from(verdict.id);
    }
    (reply.heads, reply.debate) = (None, None);
}
