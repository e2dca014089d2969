//! A council within its session: what was said there before, and what is said there of it.

use crate::orchestrate::Args;
use crate::round::{Run, Seats};
use crate::{Call, Context, Error};
use serde_json::json;
use synod_llm::Message;
use synod_store::{NewMessage, Role};

/// Characters of an answer in its session.
const ANSWER_CHARS_MAX: usize = 20_000;
/// Tokens of a session that models read before a question.
const PAST_TOKENS: usize = 3_000;

/// Looks whether the session that is named can be spoken in.
///
/// # Errors
/// `Missing` when there is no such session, `Refused` when it has ended.
pub fn open(cx: &Context, args: &Args, call: &Call) -> Result<(), Error> {
    let Some(session) = &args.session else { return Ok(()) };
    let missing =
        || Error::Missing(format!("orchestrate: no session `{session}`; `session` lists them"));
    let known = cx.store.session(session, &call.account, (cx.now_ms)())?.ok_or_else(missing)?;
    match known.ended_ms {
        Some(_) => {
            Err(Error::Refused(format!("orchestrate: session `{session}` has ended; `fork` it")))
        }
        None => Ok(()),
    }
}

/// Notes the question when the council begins.
///
/// # Errors
/// Those of the store.
pub fn asked(cx: &Context, args: &Args, run: &Run) -> Result<(), Error> {
    say(cx, args, run, None)
}

/// Notes the answer, if the session still takes it: what was paid for is not lost with a session.
pub fn answered(cx: &Context, args: &Args, run: &Run, verdict: &str, answer: &str) {
    let mut text: String = answer.chars().take(ANSWER_CHARS_MAX).collect();
    if text.len() < answer.len() {
        text.push_str(" […]");
    }
    // A session that has ended, or is full, takes no more; the job and the verdict have it.
    if let Err(error) = say(cx, args, run, Some((verdict, &text))) {
        tracing::info!(job = run.job, error = %error, "an answer was not noted in its session");
    }
}

fn say(cx: &Context, args: &Args, run: &Run, answer: Option<(&str, &str)>) -> Result<(), Error> {
    let Some(session) = &args.session else { return Ok(()) };
    let (role, author, text) = match answer {
        Some((_, text)) => (Role::Assistant, "council", text),
        None => (Role::User, "", args.query.as_str()),
    };
    let refs = json!({ "job": run.job, "trust": answer.map(|(trust, _)| trust) }).to_string();
    // A council that goes on after a crash says nothing twice; one whose question a person changed
    // says the new one too.
    let hash: String = crate::verdict::digest(text).chars().take(16).collect();
    let key = format!("{} {} {hash}", run.job, role.name());
    let now_ms = (cx.now_ms)();
    let message = NewMessage { role, author, text, refs: Some(&refs), key: Some(&key), now_ms };
    cx.store.append(session, &run.account, &message)?;
    Ok(())
}

/// What was said in the session before this question, oldest first; where it is more than models
/// read, the reply says so.
///
/// # Errors
/// Those of the store.
pub fn before(cx: &Context, args: &Args, run: &Run, seats: &Seats) -> Result<Vec<Message>, Error> {
    let Some(session) = &args.session else { return Ok(Vec::new()) };
    let count = |text: &str| (cx.count_tokens)(text);
    // What was said before the question, whatever came after it: a council that goes on after a
    // crash must ask the same, or it pays again. The question itself, however long, takes no room.
    let first = cx.store.first_of(session, &run.job)?.unwrap_or(i64::MAX);
    let (owner, now_ms) = (&run.account, (cx.now_ms)());
    let rebuilt = cx.store.rebuild_before(first, session, owner, PAST_TOKENS, &count, now_ms)?;
    let Some(rebuilt) = rebuilt else { return Ok(Vec::new()) };
    seats.leave_out(rebuilt.n_left_out);
    let message = |message: synod_store::Message| Message {
        role: match message.role {
            Role::Assistant | Role::Model => synod_llm::Role::Assistant,
            _ => synod_llm::Role::User,
        },
        text: message.text,
    };
    Ok(rebuilt.messages.into_iter().map(message).collect())
}
