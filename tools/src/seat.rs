//! One seat of a council: what its model is asked, and what is kept of its answer.
//!
//! Invariant: an answer is on disk before it counts, so that a council that goes on after a crash
//! asks no model twice for the same vote.

use crate::Context;
use crate::orchestrate::{Args, SeatReply};
use crate::verdict::KindName;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use synod_council::{Kind, classify};
use synod_llm::{Answer, Ask, Failure, Finish, Message, Policy};
use tokio::time::Instant;

/// Tokens of one answer.
const OUTPUT_TOKENS_MAX: u32 = 2_048;

/// One answer or failure.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seat {
    /// As callers see it.
    pub reply: SeatReply,
    /// Of the model that answered.
    pub vendor: String,
    /// Its lineage of weights.
    pub family: String,
    /// Nothing when there is no answer.
    pub text: Option<String>,
}

/// What a model reads: the question, and its options by their letters.
pub fn prompt(query: &str, options: &[String]) -> String {
    let letters = ('A'..='Z').zip(options);
    let options: String = letters.map(|(letter, text)| format!("\n{letter}) {text}")).collect();
    if options.is_empty() { query.to_owned() } else { format!("{query}\n{options}") }
}

/// How the answer is to be marked, so that it is found in the text.
fn system(args: &Args) -> String {
    let kind = args.kind.map_or_else(|| classify(&args.query, &args.options, &[]), Kind::from);
    let mark = match (kind, args.kind) {
        (Kind::Choice, _) => {
            "Think, then end with the line `The answer is (X).`, X being the letter."
        }
        (Kind::Number, _) => "Think, then end with the line `Answer: N`, N being the number alone.",
        (Kind::Value, _) => "Think, then end with the line `Answer: V`, V being the value alone.",
        (Kind::Short, _) => "Answer in a few words.",
        (Kind::Long, Some(KindName::Long)) => {
            "Answer in a few plain sentences, the conclusion first."
        }
        (Kind::Long, _) => {
            "Answer directly, the conclusion first. If the answer is one number, name or choice, \
             end with the line `Answer: …`."
        }
    };
    format!("You are one of several experts who answer independently. {mark}")
}

/// The question to one model, with what the operator and the caller said of it.
pub fn ask_of(cx: &Context, args: &Args, id: &str, text: &str) -> Ask {
    let mut ask = Ask::new(id, text);
    ask.budgets.session.clone_from(&args.session);
    ask.output_tokens_max = OUTPUT_TOKENS_MAX;
    ask.temperature = Some(0.0);
    // Who sits on the panel is himself and nobody else; the order has local ones first.
    ask.policy = match args.policy.map_or(cx.council.policy, Into::into) {
        Policy::LocalFirst => Policy::Cloud,
        other => other,
    };
    ask.budgets.call_usd_micros = cx.council.call_usd_micros;
    ask
}

/// Asks a voter.
pub async fn ask_one(
    cx: Context,
    job: String,
    id: String,
    args: Args,
    past: Arc<Vec<Message>>,
    end: Instant,
) -> Seat {
    let mut ask = ask_of(&cx, &args, &id, &prompt(&args.query, &args.options));
    ask.messages.splice(0..0, past.iter().cloned());
    ask.system = Some(system(&args));
    ask_once(&cx, &format!("{job}\n{id}"), ask, end).await
}

/// Asks, unless there is an answer under this key: a council that goes on pays for none twice.
pub async fn ask_once(cx: &Context, key: &str, mut ask: Ask, end: Instant) -> Seat {
    let key = crate::verdict::digest(key);
    let known = cx.store.answer(&key).ok().flatten();
    if let Some(seat) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return seat;
    }
    let id = ask.model.clone();
    let start = Instant::now();
    // Options, and what was said in the session, leave with the question.
    for message in &mut ask.messages {
        message.text = crate::safety::sendable(cx, &message.text);
    }
    let result = cx.engine.ask(ask, end).await;
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let seat = match result {
        Ok(answer) => answered(cx, answer),
        Err(failure) => failed(&id, &failure, ms),
    };
    if seat.text.is_some()
        && let Ok(text) = serde_json::to_string(&seat)
        && let Err(error) = cx.store.put_answer(&key, &text, (cx.now_ms)())
    {
        // It counts now, and would be paid for again after a crash.
        let failure = Some(format!("not kept: {error}"));
        return Seat { reply: SeatReply { failure, ..seat.reply }, ..seat };
    }
    seat
}

fn answered(cx: &Context, answer: Answer) -> Seat {
    let (text, _) = crate::safety::after(cx, &answer.text);
    // What was cut at a limit may have lost its answer.
    let cut = answer.finish == Finish::Length;
    let reply = SeatReply {
        head: None,
        asked: (answer.asked != answer.model).then_some(answer.asked),
        model: answer.model,
        version: answer.version,
        failure: match (&answer.fell_back, cut) {
            (_, true) => Some("cut at its limit".to_owned()),
            (Some(why), _) => Some(format!("answers for another: {}", why.name())),
            _ => None,
        },
        finish: answer.finish.name().to_owned(),
        latency_ms: answer.latency_ms,
        tokens: [answer.usage.input, answer.usage.output],
        cost_usd: answer.cost_usd_micros.map(|micros| micros as f64 / 1e6),
    };
    Seat { reply, vendor: answer.vendor, family: answer.family, text: (!cut).then_some(text) }
}

fn failed(id: &str, failure: &Failure, ms: u64) -> Seat {
    let reply = SeatReply {
        model: id.to_owned(),
        head: None,
        asked: None,
        version: String::new(),
        failure: Some(failure.kind.name().to_owned()),
        finish: String::new(),
        latency_ms: ms,
        tokens: [0, 0],
        cost_usd: None,
    };
    Seat { reply, vendor: String::new(), family: String::new(), text: None }
}
