//! `trust`: the full record of a past verdict, computed again from its stored votes.

use crate::verdict::{VerdictReply, verdict};
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_store::{Scope, Trust as Stored};

pub struct Trust;

/// The full record behind a verdict of `consensus` or `orchestrate`: every answer in full, what was
/// known of each model, and the verdict computed again from them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The verdict's id.
    id: String,
}

#[derive(Serialize, JsonSchema)]
struct VoteReply {
    model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    vendor: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    family: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// Log-odds of being right that were taken, and answers that they rest on.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<[f64; 2]>,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// As `consensus` replies.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    verdict: VerdictReply,
    question: String,
    /// Model, vendor, family, text, answer, and what was known of it.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    votes: Vec<VoteReply>,
    /// What `feedback` said: the answer of the cluster that was right, or that none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
    /// The verdict is the one that was answered then, byte for byte.
    same: bool,
}

/// A record by its id, if the caller may see it.
///
/// # Errors
/// `Missing`.
pub fn stored(cx: &Context, account: &str, tool: &str, id: &str) -> Result<Stored, Error> {
    let found = cx.store.trust(id)?;
    // Another one's record is as if it were not there.
    let found = found.filter(|t| t.owner == account);
    let missing = || Error::Missing(format!("{tool}: no verdict `{id}`; ids begin with `t_`"));
    found.ok_or_else(missing)
}

impl Operation for Trust {
    const NAME: &'static str = "trust";
    const TITLE: &'static str = "Record of a verdict";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::get("/v1/trust-score/{id}")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let stored = stored(cx, &call.account, Self::NAME, &args.id)?;
        let (verdict, case, found) = verdict(&args.id, &stored.record)?;
        let same = crate::verdict::digest(&serde_json::to_string(&verdict)?) == stored.reply_hash;
        let told = stored.told.map(|told| match told.cluster.and_then(|at| found.groups.get(at)) {
            Some(group) => group.answer.clone(),
            None => "none of them".to_owned(),
        });
        let votes = case.votes.into_iter().map(|vote| VoteReply {
            model: vote.model,
            vendor: vote.vendor,
            family: vote.family,
            text: vote.text,
            answer: vote.answer,
            known: vote.known.map(|(ability, n)| [ability, n]),
        });
        Ok(Reply { verdict, question: case.question, votes: votes.collect(), told, same })
    }

    fn render(reply: &Reply) -> String {
        let mut out = reply.verdict.render();
        if let Some(told) = &reply.told {
            out.push_str(&format!("\nTold: {told}\n"));
        }
        let same = if reply.same { "the same as it was" } else { "NOT what was answered then" };
        let n = reply.votes.len();
        out.push_str(&format!("\nComputed again from {n} stored answers: {same}.\n"));
        out
    }
}
