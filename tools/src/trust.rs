//! `trust`: the full record of a past verdict, computed again from its stored votes.

use crate::reply::{REPLY_BYTES_MAX, head};
use crate::verdict::{Record, VerdictReply, verdict};
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_council::verdict::Vote;
use synod_store::{Scope, Trust as Stored};

pub struct Trust;

/// Verdicts of a list.
const LISTED_MAX: usize = 20;
/// Characters of a question in a list.
const QUESTION_CHARS: usize = 160;

/// The record behind a verdict of `consensus` or `orchestrate`: every answer, what was known of
/// each model, and the verdict computed anew. Without `id` the latest verdicts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The verdict's id.
    id: Option<String>,
    /// Only this model's answer: long ones are cut where all are shown.
    model: Option<String>,
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
struct Listed {
    id: String,
    question: String,
    answer: Option<String>,
    trust: Option<f64>,
    told: bool,
    at: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// As `consensus` replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    verdict: Option<VerdictReply>,
    #[serde(skip_serializing_if = "String::is_empty")]
    question: String,
    /// Model, vendor, family, text, answer, and what was known of it.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    votes: Vec<VoteReply>,
    /// What `feedback` said: the answer of the cluster that was right, or that none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
    /// The verdict is the one that was answered then, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<bool>,
    /// The version that answered then, if its record has it.
    #[serde(skip)]
    made_by: Option<String>,
    /// id, question, answer, trust, told, at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    verdicts: Vec<Listed>,
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
    const ROUTES: &'static [Route] =
        &[Route::get("/v1/trust-score/{id}"), Route::get("/v1/trust-score")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let Some(id) = &args.id else { return list(cx, call) };
        let stored = stored(cx, &call.account, Self::NAME, id)?;
        let (verdict, case, found) = verdict(id, &stored.record)?;
        let same = crate::verdict::digest(&serde_json::to_string(&verdict)?) == stored.reply_hash;
        let made_by = Record::parse(&stored.record)?.made_by;
        let told = stored.told.map(|told| match told.cluster.and_then(|at| found.groups.get(at)) {
            Some(group) => group.answer.clone(),
            None => "none of them".to_owned(),
        });
        let wanted = |vote: &Vote| args.model.as_ref().is_none_or(|model| vote.model == *model);
        let shown: Vec<Vote> = case.votes.into_iter().filter(wanted).collect();
        if let Some(model) = args.model.filter(|_| shown.is_empty()) {
            let text = format!("trust: `{model}` gave no answer to `{id}`; ask without `model`");
            return Err(Error::Missing(text));
        }
        let each = REPLY_BYTES_MAX / shown.len().max(1);
        let votes = shown.into_iter().map(|vote| VoteReply {
            text: cut(&vote.text, each),
            model: vote.model,
            vendor: vote.vendor,
            family: vote.family,
            answer: vote.answer,
            known: vote.known.map(|(ability, n)| [ability, n]),
        });
        let (votes, question) = (votes.collect(), cut(&case.question, REPLY_BYTES_MAX / 2));
        let (verdict, same) = (Some(verdict), Some(same));
        Ok(Reply { verdict, question, votes, told, same, made_by, verdicts: Vec::new() })
    }

    fn render(reply: &Reply) -> String {
        let Some(verdict) = &reply.verdict else {
            let line = |v: &Listed| {
                let trust = v.trust.map_or("-".to_owned(), |p| format!("{:.0} %", p * 100.0));
                format!("- `{}` {} ({trust}, {})\n", v.id, v.question, v.at)
            };
            let lines: String = reply.verdicts.iter().map(line).collect();
            return if lines.is_empty() { "There is no verdict yet.\n".to_owned() } else { lines };
        };
        let mut out = verdict.render();
        if let Some(told) = &reply.told {
            out.push_str(&format!("\nTold: {told}\n"));
        }
        let same = match reply.same {
            Some(true) => "the same as it was".to_owned(),
            _ => format!("NOT what was answered then; {}", why(reply.made_by.as_deref())),
        };
        let n = reply.votes.len();
        out.push_str(&format!("\nComputed again from {n} stored answers: {same}.\n"));
        out
    }
}

/// Why a verdict is another than it was, as far as the version that answered tells.
fn why(made_by: Option<&str>) -> String {
    let now = env!("CARGO_PKG_VERSION");
    match made_by {
        Some(then) if then == now => {
            format!(
                "version {now} answered then too: the record was altered, or the build is another"
            )
        }
        Some(then) => format!("version {then} answered then, {now} may judge by other rules"),
        None => format!("an earlier version answered then, {now} may judge by other rules"),
    }
}

/// A text within its share of a reply.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = head(text, bytes_max);
    format!("{head} [… {} more bytes; `model` shows one answer alone]", text.len() - head.len())
}

fn list(cx: &Context, call: &Call) -> Result<Reply, Error> {
    let mut verdicts = Vec::new();
    for (id, record, told, at_ms) in cx.store.trusts_of(&call.account, LISTED_MAX)? {
        let (verdict, case, _) = verdict(&id, &record)?;
        let question: String = case.question.chars().take(QUESTION_CHARS).collect();
        let answer = verdict.answer.as_ref().map(|a| a.chars().take(QUESTION_CHARS).collect());
        let at = crate::reply::timestamp(at_ms);
        verdicts.push(Listed { id, question, answer, trust: verdict.trust, told, at });
    }
    let (question, votes) = (String::new(), Vec::new());
    Ok(Reply { verdict: None, question, votes, told: None, same: None, made_by: None, verdicts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_the_same_says_which_version_answered() {
        let before = "{\"question\":\"Who?\",\"votes\":[{\"model\":\"a\",\"text\":\"Ada\"}]}";
        let shown = |record: &str| {
            let (verdict, ..) = verdict("t_1", record).expect("a verdict");
            let bytes = serde_json::to_string(&verdict).expect("JSON");
            let made_by = Record::parse(record).expect("a record").made_by;
            let (question, votes, told) = (String::new(), Vec::new(), None);
            let (verdict, same, verdicts) = (Some(verdict), Some(false), Vec::new());
            let reply = Reply { verdict, question, votes, told, same, made_by, verdicts };
            (bytes, Trust::render(&reply))
        };
        let (bytes, text) = shown(before);
        assert!(text.contains("an earlier version answered then"), "{text}");
        let now = env!("CARGO_PKG_VERSION");
        for (version, word) in [("0.0.0", "version 0.0.0 answered then"), (now, "was altered")] {
            let made = before.replacen('{', &format!("{{\"made_by\":\"{version}\","), 1);
            let (again, text) = shown(&made);
            assert_eq!(again, bytes, "no verdict rests on it");
            assert!(text.contains(word), "{text}");
        }
    }
}
