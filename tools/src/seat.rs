//! One seat of a council: what its model is asked, and what is kept of its answer.
//!
//! Invariant: an answer is on disk before it counts, so that a council that goes on after a crash
//! asks no model twice for the same vote.

use crate::orchestrate::{Args, SeatReply};
use crate::record::{self, By};
use crate::round::Run;
use crate::verdict::KindName;
use crate::{Context, safety};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use synod_council::{Kind, classify};
use synod_guard::Mode;
use synod_llm::{Answer, Ask, Claim, Failure, FailureKind, Finish, Message, Policy};
use tokio::time::Instant;

/// Tokens of one answer, reasoning included; a model's row may have fewer.
const OUTPUT_TOKENS_MAX: u32 = 16_384;

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
    /// What a failure is about where its kind alone does not say what to do.
    #[serde(default)]
    pub why: Option<String>,
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
    let council = cx.council.get();
    ask.policy = match args.policy.map_or(council.policy, Into::into) {
        Policy::LocalFirst => Policy::Cloud,
        other => other,
    };
    ask.budgets.call_usd_micros = council.call_usd_micros;
    ask
}

/// Asks a voter.
pub async fn ask_one(
    cx: Context,
    run: Run,
    id: String,
    args: Args,
    past: Arc<Vec<Message>>,
    end: Instant,
) -> Seat {
    let ask = voting(&cx, &args, &id, &past);
    ask_once(&cx, &run, "vote", ask, end).await
}

/// What a voter is asked.
pub fn voting(cx: &Context, args: &Args, id: &str, past: &[Message]) -> Ask {
    let mut ask = ask_of(cx, args, id, &prompt(&args.query, &args.options));
    ask.messages.splice(0..0, past.iter().cloned());
    ask.system = Some(system(args));
    ask
}

/// The key under which the answer to an ask is kept: of one job, one part in it and these words, so
/// that a question which a person changed is asked anew.
fn key(run: &Run, part: &str, ask: &Ask) -> String {
    let mut text = format!("{}\n{part}\n{}", run.job, ask.model);
    text.push_str(&format!("\n{}", ask.system.as_deref().unwrap_or_default()));
    for message in &ask.messages {
        text.push_str(&format!("\n{}\n{}", message.role.name(), message.text));
    }
    crate::verdict::digest(&text)
}

/// Asks, unless there is an answer to this already: a council that goes on pays for none twice.
pub async fn ask_once(cx: &Context, run: &Run, part: &str, mut ask: Ask, end: Instant) -> Seat {
    let key = key(run, part, &ask);
    let known = cx.store.answer(&key).ok().flatten();
    if let Some(seat) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return seat;
    }
    // All calls of a council stand in line as the council does, from its first to its last.
    ask.claim = Claim { priority: run.priority, since: Some(run.since), whose: run.job.clone() };
    let (id, by) = (ask.model.clone(), run.by());
    let start = Instant::now();
    let mut redacted = Vec::new();
    // Options, and what was said in the session, leave with the question.
    for message in &mut ask.messages {
        let (text, report) = safety::sendable(cx, &by, &message.text);
        message.text = text;
        redacted.extend(safety::rules(&report, Mode::Enforcing));
    }
    let sent: String = ask.messages.iter().map(|message| message.text.as_str()).collect();
    let result = cx.engine.ask(ask, end).await;
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut seat = match result {
        Ok(answer) => answered(cx, &by, answer),
        Err(failure) => failed(&id, &failure, ms),
    };
    let outcome =
        if seat.text.is_some() { "ok" } else { seat.reply.failure.as_deref().unwrap_or("") };
    record::asked(cx, &by, &seat.reply.model, outcome, seat.reply.cost_usd, &sent);
    seat.reply.redacted.extend(redacted);
    seat.reply.redacted.sort();
    seat.reply.redacted.dedup();
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

fn answered(cx: &Context, by: &By, answer: Answer) -> Seat {
    let (text, report) = safety::after(cx, by, &answer.text);
    // What was cut at a limit, or ended for a reason of its server's own, may have lost its answer.
    let cut = match &answer.finish {
        Finish::Stop => None,
        Finish::Length => Some("cut at its limit"),
        Finish::Filter | Finish::Other(_) => Some("not said to be complete"),
    };
    let reply = SeatReply {
        head: None,
        round: None,
        asked: (answer.asked != answer.model).then_some(answer.asked),
        model: answer.model,
        version: answer.version,
        failure: match (&answer.fell_back, cut) {
            (_, Some(why)) => Some(why.to_owned()),
            (Some(why), None) => Some(format!("answers for another: {}", why.name())),
            (None, None) => None,
        },
        finish: answer.finish.name().to_owned(),
        latency_ms: answer.latency_ms,
        tokens: [answer.usage.input, answer.usage.output],
        cost_usd: answer.cost_usd_micros.map(|micros| micros as f64 / 1e6),
        redacted: safety::rules(&report, Mode::Enforcing),
    };
    let text = cut.is_none().then_some(text);
    Seat { reply, vendor: answer.vendor, family: answer.family, text, why: None }
}

fn failed(id: &str, failure: &Failure, ms: u64) -> Seat {
    let reply = SeatReply {
        model: id.to_owned(),
        head: None,
        round: None,
        asked: None,
        version: String::new(),
        failure: Some(failure.kind.name().to_owned()),
        finish: String::new(),
        latency_ms: ms,
        tokens: [0, 0],
        cost_usd: None,
        redacted: Vec::new(),
    };
    // Our own words: which questions were recorded, which key is not set.
    let telling = matches!(failure.kind, FailureKind::NotFound | FailureKind::Auth);
    let why = Some(failure.note.clone()).filter(|note| telling && !note.is_empty());
    Seat { reply, vendor: String::new(), family: String::new(), text: None, why }
}
