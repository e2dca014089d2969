//! `orchestrate`: asks several models and combines what they say.
//!
//! The work is a job from its first moment: the caller waits for it up to a deadline, and whatever
//! comes later ends the job.

use crate::heads::HeadsReply;
use crate::models::PolicyName;
use crate::round::{self, Plan};
use crate::verdict::{ANSWERS_MAX, KindName, QUESTION_BYTES_MAX, VerdictReply};
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use synod_store::Scope;
use tokio::time::Instant;

pub struct Orchestrate;

/// What a job of the council is called.
pub const COUNCIL_JOB: &str = "council";

/// Put a question to a council of models: one answer, a calibrated trust, who dissents about what,
/// what it cost, and an id. Use it where being wrong is expensive. It asks two models and goes on
/// only while they leave doubt. Not for searching the user's notes: `search` and `context_pack` do.
///
/// Past its deadline it returns what is there with a `job`, which goes on: `orchestrate` with that
/// `job`, or `job`, has the rest.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The question, with all that the models need to know; may begin with `/head NAME`.
    #[serde(default, alias = "prompt")]
    pub query: String,
    /// Instead: a council that is still at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The sort of answer; by default judged from the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<KindName>,
    /// Texts of a choice's options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Exactly these models (ids of `models`); by default the panel chooses itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// vote: blind and in parallel. heads: in several roles, with a witness. single: no trust.
    #[serde(default)]
    pub mode: Mode,
    /// heads: logic, research, systems, strategy, product, security, safety, reliability, cost,
    /// data, devex; by default those that the question wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<String>,
    /// All eleven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_all_heads: bool,
    /// How many may be asked: quick 2, normal 5, deep 8.
    #[serde(default)]
    pub effort: Effort,
    /// How long you wait; 45,000 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Where the question may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// The session that it belongs to: what was said there is known to the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Vote,
    Heads,
    Single,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    Quick,
    #[default]
    Normal,
    Deep,
}

/// One seat of the panel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeatReply {
    /// Who really answered.
    pub model: String,
    /// The role that it spoke in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Who was asked, if that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The model as its server names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Why there is no answer, or why another one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub finish: String,
    pub latency_ms: u64,
    /// Read and written.
    pub tokens: [u64; 2],
    /// Absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// Why this panel, and why no more.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DecisionReply {
    pub panel: Vec<String>,
    pub why: String,
    pub stopped_because: String,
}

/// What a council answers.
#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// The job that holds it.
    pub job: String,
    /// running or succeeded.
    pub state: String,
    /// As `consensus` replies; what is known by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub verdict: Option<VerdictReply>,
    /// Who was asked: version, failure, latency, tokens, cost.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub models: Vec<SeatReply>,
    /// panel, why, stopped_because.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub decision: DecisionReply,
    /// Dollars, as far as prices are known.
    pub cost_usd: f64,
    /// Of heads.
    #[serde(flatten)]
    pub heads: Option<HeadsReply>,
}

/// Options of one choice together, in bytes.
const OPTIONS_BYTES_MAX: usize = 20_000;

/// Longest wait of one call, in milliseconds: clients give up at about a minute.
const DEADLINE_MS_MAX: u64 = 600_000;

impl Operation for Orchestrate {
    const NAME: &'static str = "orchestrate";
    const TITLE: &'static str = "Ask the council";
    const EFFECT: Effect = Effect::Spend;
    const READS: bool = true;
    const SCOPE: Scope = Scope::LlmInvoke;
    const WORK: Work = Work::Wait;
    const IDEMPOTENT: bool = false;
    const ROUTES: &'static [Route] = &[
        Route::post("/v1/orchestrate", 202),
        Route::post("/v1/sessions/{session}/prompt", 202).saying(&[("mode", "heads")]),
        Route::get("/v1/orchestrate/{job}"),
        Route::get("/v1/orchestrate/{job}/results"),
    ];
    type Args = Args;
    type Reply = Reply;

    fn needs(args: &Value) -> (Scope, Effect) {
        match args.get("job") {
            Some(Value::String(_)) => (Scope::ReadJobs, Effect::Read),
            _ => (Self::SCOPE, Self::EFFECT),
        }
    }

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let start = Instant::now();
        if let Some(job) = &args.job {
            return round::look(cx, job, &call.account);
        }
        let args = intended(args)?;
        let wait_ms = check(cx, &args)?;
        crate::safety::before(cx, Self::NAME, &args.query)?;
        for option in &args.options {
            crate::safety::before(cx, Self::NAME, option)?;
        }
        let plan = Plan::new(cx, &args)?;
        crate::round::open_session(cx, &args, call)?;
        let (job, begun) = round::leave(cx, &args, call)?;
        if !begun {
            return round::look(cx, &job, &call.account);
        }
        let seats = Arc::new(round::Seats::default());
        let driving = round::drive(
            cx.clone(),
            job.clone(),
            call.account.clone(),
            args,
            plan,
            Arc::clone(&seats),
        );
        let mut driving = tokio::spawn(driving);
        let until = start + Duration::from_millis(wait_ms);
        let mut told = 0;
        loop {
            let tick = Instant::now() + round::TICK;
            tokio::select! {
                done = &mut driving => {
                    return done.unwrap_or_else(|error| Err(round::ended(&error)));
                }
                () = tokio::time::sleep_until(tick.min(until)) => {}
            }
            told += 1;
            (call.progress)(f64::from(told), None, seats.said());
            if Instant::now() >= until {
                return round::partial(cx, &job, &seats).await;
            }
        }
    }

    fn render(reply: &Reply) -> String {
        let heads = reply.heads.as_ref().map(|heads| heads.render()).unwrap_or_default();
        let mut out = heads
            + &match &reply.verdict {
                Some(verdict) => verdict.render(),
                None => "Nobody has answered yet.\n".to_owned(),
            };
        if reply.state != "succeeded" {
            let (job, state) = (&reply.job, &reply.state);
            out.push_str(&format!(
                "\n_{state}: `orchestrate` with `job` = `{job}` has the rest._\n"
            ));
        }
        let asked: Vec<String> = (reply.models.iter())
            .map(|seat| match &seat.failure {
                Some(failure) => format!("{} ({failure})", seat.model),
                None => format!("{} ({} ms)", seat.model, seat.latency_ms),
            })
            .collect();
        let decision = &reply.decision;
        out.push_str(&format!("\nAsked: {}. {}", asked.join(", "), decision.why));
        if !decision.stopped_because.is_empty() {
            out.push_str(&format!("; stopped because {}", decision.stopped_because));
        }
        out.push_str(&format!(". Cost: {:.4} USD.\n", reply.cost_usd));
        out
    }
}

/// What is said in front of the question, as `/head logic`, becomes arguments.
fn intended(mut args: Args) -> Result<Args, Error> {
    if args.query.trim_start().starts_with('/') {
        let found = synod_council::witness::intent(&args.query);
        let found = found.map_err(|text| Error::Args(format!("orchestrate: {text}")))?;
        args.query = found.question;
        args.use_all_heads |= found.all_heads;
        args.heads.extend(found.heads.iter().map(|head| head.id.to_owned()));
    }
    if !args.heads.is_empty() || args.use_all_heads {
        args.mode = Mode::Heads;
    }
    if args.mode == Mode::Heads {
        crate::heads::chosen(&args)?;
    }
    Ok(args)
}

/// The arguments within their bounds; gives the time to wait.
fn check(cx: &Context, args: &Args) -> Result<u64, Error> {
    let refuse = |text: String| Err(Error::Args(format!("orchestrate: {text}")));
    if args.query.trim().is_empty() {
        return refuse("`query` is empty; say what is asked, or name a `job`".to_owned());
    }
    if args.query.len() > QUESTION_BYTES_MAX {
        return refuse(format!("`query` is over {QUESTION_BYTES_MAX} bytes; shorten it"));
    }
    let all: usize = args.options.iter().map(String::len).sum();
    if args.options.len() > synod_council::OPTIONS_MAX || all > OPTIONS_BYTES_MAX {
        return refuse(format!(
            "`options` are over {} or {OPTIONS_BYTES_MAX} bytes; give fewer",
            synod_council::OPTIONS_MAX
        ));
    }
    if args.models.len() > ANSWERS_MAX {
        return refuse(format!(
            "{} models are named; the most is {ANSWERS_MAX}",
            args.models.len()
        ));
    }
    let known = cx.engine.models();
    if known.is_empty() {
        let text = "no model is configured; add a `[[provider]]` and its `[[model]]`s to \
                    synod.toml (see `synod config --example`), or score answers that you have \
                    with `consensus`";
        return Err(Error::Refused(format!("orchestrate: {text}")));
    }
    for model in &args.models {
        if !known.iter().any(|row| row.id == *model) {
            let names: Vec<&str> = known.iter().map(|row| row.id.as_str()).collect();
            let names = names.join("`, `");
            return Err(Error::Missing(format!(
                "orchestrate: no model `{model}`; there are `{names}`"
            )));
        }
    }
    let wait_ms = args.deadline_ms.unwrap_or(cx.council.deadline_ms);
    if !(1..=DEADLINE_MS_MAX).contains(&wait_ms) {
        return refuse(format!("`deadline_ms` is {wait_ms}; give 1 to {DEADLINE_MS_MAX}"));
    }
    Ok(wait_ms)
}
