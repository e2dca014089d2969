//! `consensus`: scores answers that the caller supplies; no model is asked.

use crate::learn::{Learned, remembered};
use crate::verdict::{
    ANSWERS_BYTES_MAX, ANSWERS_MAX, AnswerArgs, KindName, QUESTION_BYTES_MAX, Record, VerdictReply,
    verdict,
};
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::Deserialize;
use synod_council::cluster::cosines;
use synod_council::plan;
use synod_council::strongest;
use synod_council::verdict::{Case, Vote, to_embed, weights};
use synod_llm::Model;
use synod_store::{NewTrust, Scope, VoteRow};

pub struct Consensus;

/// Score answers you already have from several models: which is most likely right, how far to trust
/// it (a calibrated probability), who dissents. Asks no model. `feedback` on its `id` teaches it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    #[serde(default)]
    question: String,
    /// By default judged from question and answers.
    kind: Option<KindName>,
    /// Of a choice, in the order of their letters.
    #[serde(default)]
    options: Vec<String>,
    /// Your own too, if you like.
    answers: Vec<AnswerArgs>,
}

impl Operation for Consensus {
    const NAME: &'static str = "consensus";
    const TITLE: &'static str = "Consensus of given answers";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    /// Each verdict is kept under an id of its own.
    const ONCE: bool = true;
    const ROUTES: &'static [Route] = &[Route::post("/v1/consensus", 200)];
    type Args = Args;
    type Reply = VerdictReply;

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<VerdictReply, Error> {
        check(&args)?;
        let case = Case {
            question: args.question,
            kind: args.kind.map(Into::into),
            options: args.options,
            votes: args.answers.into_iter().map(Into::into).collect(),
            ..Case::default()
        };
        score(cx, case, Vec::new(), Some(&call.account))
    }

    fn render(reply: &VerdictReply) -> String {
        reply.render()
    }
}

fn check(args: &Args) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::Args(format!("consensus: {text}")));
    let n = args.answers.len();
    if n == 0 || n > ANSWERS_MAX {
        return refuse(format!("there are {n} answers; give 1 to {ANSWERS_MAX}"));
    }
    if args.options.len() > synod_council::OPTIONS_MAX {
        let most = synod_council::OPTIONS_MAX;
        return refuse(format!("there are {} options; the most is {most}", args.options.len()));
    }
    if args.question.len() > QUESTION_BYTES_MAX {
        return refuse(format!("`question` is over {QUESTION_BYTES_MAX} bytes; shorten it"));
    }
    let mut bytes = 0;
    for answer in &args.answers {
        let vote = Vote::from(answer.clone());
        if vote.model.trim().is_empty() {
            return refuse("an answer has no `model`; say who gave it".to_owned());
        }
        bytes += vote.text.len() + vote.answer.map_or(0, |a| a.len());
    }
    if bytes > ANSWERS_BYTES_MAX {
        return refuse(format!(
            "the answers are {bytes} bytes together, the most is {ANSWERS_BYTES_MAX}; shorten them"
        ));
    }
    Ok(())
}

/// Fills in what is known, decides, and keeps the record for its owner, if there is one. The
/// embedder, if there is one, is asked here: on a thread that may compute.
///
/// # Errors
/// Those of the store.
pub fn score(
    cx: &Context,
    mut case: Case,
    mut degraded: Vec<String>,
    owner: Option<&str>,
) -> Result<VerdictReply, Error> {
    prepare(cx, &mut case, &mut degraded)?;
    conclude(cx, &case, degraded, owner)
}

/// Fills in what is known: of the models, of the question, of likeness of meaning.
///
/// # Errors
/// Those of the store.
pub fn prepare(cx: &Context, case: &mut Case, degraded: &mut Vec<String>) -> Result<(), Error> {
    for vote in &mut case.votes {
        vote.name = named(cx, &vote.model);
    }
    let (kind, texts) = to_embed(case);
    case.kind = Some(kind);
    Learned::of(cx, kind, domain(&case.question))?.teach(case);
    if case.risk.is_none() {
        case.risk = plan::shared_prior(&case.question)
            .map(|risk| format!("the question resembles `{}`: {}", risk.puzzle, risk.why));
    }
    if case.risk.is_some() {
        let ranks: Vec<Option<f64>> = case.votes.iter().map(|vote| rank(cx, vote)).collect();
        case.strongest = strongest(case, &ranks);
    }
    if texts.len() > 1 {
        // Nothing without an embedder, or when it fails.
        let vectors = cx.index.embedder().and_then(|embedder| embedder.passages(&texts).ok());
        case.meaning = vectors.map(|vectors| cosines(&vectors));
        if case.meaning.is_none() {
            degraded.push("semantic".to_owned());
        }
    }
    Ok(())
}

/// The weights behind the id of a model, where its row names them otherwise; else empty.
pub fn named(cx: &Context, model: &str) -> String {
    // Asked for each vote whenever one comes: nothing is copied for it.
    let name = cx.engine.with_models(|rows| {
        let row = rows.iter().find(|row| row.id == model)?;
        Some(made_of(row, rows))
    });
    name.filter(|name| weights(name) != weights(model)).unwrap_or_default()
}

/// The name of a row's weights. Two rows of one name are two doors to one voter, unless the
/// operator says that they are of two vendors: then both only happen to be called the same.
pub fn made_of(row: &Model, rows: &[Model]) -> String {
    let contradicts = |other: &Model| {
        !row.vendor.is_empty()
            && !other.vendor.is_empty()
            && other.vendor != row.vendor
            && weights(&other.name) == weights(&row.name)
    };
    match rows.iter().any(contradicts) {
        true => format!("{} of {}", weights(&row.name), row.vendor.replace(['/', '@'], " ")),
        false => row.name.clone(),
    }
}

/// How strong the operator says that a model is: the number in its `tier`, if that is one.
fn rank(cx: &Context, vote: &Vote) -> Option<f64> {
    let row = cx.engine.model(&vote.model)?;
    row.tier.trim().parse::<f64>().ok().filter(|rank| rank.is_finite())
}

/// Decides a prepared case, and keeps the record for its owner, if there is one.
///
/// # Errors
/// Those of the store.
pub fn conclude(
    cx: &Context,
    case: &Case,
    degraded: Vec<String>,
    owner: Option<&str>,
) -> Result<VerdictReply, Error> {
    let options = case.options.len().max(synod_council::options_of(&case.question).len());
    let mut record = Record::new(case, degraded);
    record.made_by = Some(env!("CARGO_PKG_VERSION").to_owned());
    let record = serde_json::to_string(&record)?;
    let now_ms = (cx.now_ms)();
    let id = synod_store::new_id("t", now_ms, synod_store::random()?);
    let (mut reply, case, found) = verdict(&id, &record)?;
    let Some(owner) = owner.filter(|_| !cx.read_only) else {
        reply.id = String::new();
        return Ok(reply);
    };
    let votes: Vec<VoteRow> = remembered(&case.votes, &found.groups)
        .into_iter()
        .map(|(model, cluster)| VoteRow { model, cluster })
        .collect();
    let reply_hash = crate::verdict::digest(&serde_json::to_string(&reply)?);
    cx.store.put_trust(&NewTrust {
        id: &id,
        owner,
        kind: found.kind.name(),
        domain: domain(&case.question),
        record: &record,
        reply_hash: &reply_hash,
        votes: &votes,
        n_clusters: found.groups.len(),
        options,
        now_ms,
    })?;
    Ok(reply)
}

/// The field of a question.
pub fn domain(question: &str) -> &'static str {
    plan::analyse(question, &plan::Overrides::default()).domain.value.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_name_are_one_model_unless_they_are_of_two_vendors() {
        let row = |id: &str, name: &str, vendor: &str| Model {
            vendor: vendor.to_owned(),
            ..Model::new(id, "p", name)
        };
        let rows = [
            row("a", "same", "x"),
            row("b", "Same:latest", "x"),
            row("c", "same", ""),
            row("d", "other", "y"),
        ];
        let made = |rows: &[Model]| -> Vec<String> {
            rows.iter().map(|row| weights(&made_of(row, rows))).collect()
        };
        assert_eq!(made(&rows), ["same", "same", "same", "other"]);
        let two = [
            row("a", "default", "x"),
            row("b", "default", "y/z"),
            row("c", "o/default:latest", "y/z"),
        ];
        assert_eq!(made(&two), ["default of x", "default of y z", "default of y z"]);
    }
}
