//! What stands in front of a question, as `/head logic`, and what of it is answered at once: which
//! heads there are, whom a question would be put to and why, who dissents from the last answer.
//! Invariant: no model is asked here.

use crate::heads::{HeadsReply, chosen};
use crate::orchestrate::{Args, DecisionReply, Reply};
use crate::{Call, Context, Error, round};
use serde_json::{Value, json};
use synod_council::head::{HEADS, Head};
use synod_council::witness::{self, Intent};
use synod_store::JobState;

/// Messages of a session among which its last verdict is looked for, the latest.
const LATEST: usize = 200;

/// What stands in front of a question, and the question.
///
/// # Errors
/// `Args` for a command or a head that is misspelt, with the nearest.
pub fn read(query: &str) -> Result<Intent, Error> {
    witness::intent(query).map_err(|text| Error::Args(format!("orchestrate: {text}")))
}

/// Whether it is answered at once. Dissent from a question's own answer comes with that.
pub fn at_once(found: &Intent) -> bool {
    found.list_heads || found.head_strategy || found.show_dissent && found.question.is_empty()
}

/// The same of a call's arguments, as a client sends them.
pub fn asks_nobody(args: &Value) -> bool {
    let query = args["query"].as_str().or(args["prompt"].as_str()).unwrap_or_default();
    query.trim_start().starts_with('/') && read(query).is_ok_and(|found| at_once(&found))
}

/// Arguments with what was said in front of the question.
pub fn merged(mut args: Args, found: Intent) -> Args {
    args.query = found.question;
    args.use_all_heads |= found.all_heads;
    args.heads.extend(found.heads.iter().map(|head| head.id.to_owned()));
    args
}

/// The reply to what is answered at once; nothing for a question.
///
/// # Errors
/// `Args` for a command that lacks its question, `Missing` where there is no verdict or session.
pub fn answer(cx: &Context, args: &Args, call: &Call) -> Result<Option<Reply>, Error> {
    if !args.query.trim_start().starts_with('/') {
        return Ok(None);
    }
    let found = read(&args.query)?;
    if !at_once(&found) {
        return Ok(None);
    }
    if found.list_heads && found.question.is_empty() {
        let all: Vec<&Head> = HEADS.iter().collect();
        return Ok(Some(listed("There are these heads", &all, "no question was asked")));
    }
    if !found.list_heads && !found.head_strategy {
        return dissent(cx, args, call).map(Some);
    }
    if found.question.is_empty() {
        let text = "`/strategy` has no question behind it; write `/strategy QUESTION`";
        return Err(Error::Args(format!("orchestrate: {text}")));
    }
    let (heads, why) = chosen(&merged(args.clone(), found))?;
    Ok(Some(listed("These heads would be asked", &heads, &why)))
}

fn listed(lead: &str, heads: &[&Head], why: &str) -> Reply {
    let line = |head: &&Head| format!("- `{}`: {}\n", head.id, head.objective);
    let lines: String = heads.iter().map(line).collect();
    let heads_reply = HeadsReply {
        task_id: String::new(),
        final_answer: format!("{lead} ({why}):\n{lines}"),
        head_contributions: Vec::new(),
        transparency_report: json!({}),
        confidence_score: None,
    };
    let panel = heads.iter().map(|head| head.id.to_owned()).collect();
    Reply { heads: Some(heads_reply), ..nobody(panel, why) }
}

/// A reply that cost nothing and has no job.
fn nobody(panel: Vec<String>, why: &str) -> Reply {
    let decision = DecisionReply {
        panel,
        why: why.to_owned(),
        stopped_because: "no model was to be asked".to_owned(),
        ..DecisionReply::default()
    };
    Reply { decision, ..round::empty("", JobState::Succeeded) }
}

/// The latest verdict of the session, or of the caller.
fn dissent(cx: &Context, args: &Args, call: &Call) -> Result<Reply, Error> {
    let id = match &args.session {
        Some(session) => last_of(cx, session, &call.account)?,
        None => cx.store.trusts_of(&call.account, 1)?.into_iter().next().map(|(id, ..)| id),
    };
    let text = "there is no verdict yet whose dissent could be shown; ask a question first";
    let id = id.ok_or_else(|| Error::Missing(format!("orchestrate: {text}")))?;
    let stored = crate::trust::stored(cx, &call.account, "orchestrate", &id)?;
    let (verdict, _, _) = crate::verdict::verdict(&id, &stored.record)?;
    Ok(Reply { verdict: Some(verdict), ..nobody(Vec::new(), "the latest verdict") })
}

/// The id of the last verdict that was said in a session.
fn last_of(cx: &Context, session: &str, account: &str) -> Result<Option<String>, Error> {
    let missing =
        || Error::Missing(format!("orchestrate: no session `{session}`; `session` lists them"));
    let now_ms = (cx.now_ms)();
    let known = cx.store.session(session, account, now_ms)?.ok_or_else(missing)?;
    let after = (known.n_messages - LATEST as i64).max(0);
    let messages = cx.store.history(session, account, after, LATEST, now_ms)?.unwrap_or_default();
    let verdict = |message: &synod_store::Message| {
        let refs: Value = serde_json::from_str(message.refs.as_deref()?).ok()?;
        refs["trust"].as_str().map(str::to_owned)
    };
    Ok(messages.iter().rev().find_map(verdict))
}

/// Short Markdown that stands alone.
pub fn render(reply: &Reply) -> String {
    match (&reply.heads, &reply.verdict) {
        (Some(heads), _) => heads.final_answer.clone(),
        (None, Some(verdict)) if verdict.is_undisputed() => {
            format!("Nobody dissents.\n\n{}", verdict.render())
        }
        (None, Some(verdict)) => verdict.render(),
        (None, None) => String::new(),
    }
}
