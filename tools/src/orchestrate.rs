//! `orchestrate`: asks several models and combines what they say.
//!
//! The work is a job from its first moment: the caller waits for it up to a deadline, and whatever
//! comes later ends the job.

use crate::debate::DebateReply;
use crate::heads::HeadsReply;
use crate::held::GateReply;
use crate::models::PolicyName;
use crate::panel::Plan;
use crate::round;
use crate::verdict::{ANSWERS_MAX, KindName, QUESTION_BYTES_MAX, VerdictReply};
use crate::{Call, Context, Effect, Error, Operation, Route, Work, intent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use synod_council::head::Level;
use synod_council::plan::{Domain, Stakes};
use synod_store::Scope;
use tokio::time::Instant;

pub struct Orchestrate;

/// What a job of the council is called.
pub const COUNCIL_JOB: &str = "council";

/// Put a question to a council of models: one answer, a calibrated trust, who dissents about what.
/// Use it where being wrong is expensive; it asks two and goes on while they leave doubt. Not for
/// searching notes: `search` and `context_pack` do. Past its deadline it returns what is
/// there with a `job` that goes on.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// With all that the models need to know; may begin with `/head NAME`.
    #[serde(default, alias = "prompt")]
    pub query: String,
    /// Instead: one that is still at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// By default judged from the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<KindName>,
    /// Of a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Exactly these; by default the panel chooses itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// vote: blind. heads: in roles, with a witness. debate: they see each other's answers.
    #[serde(default)]
    pub mode: Mode,
    /// logic, research, systems, strategy, product, security, safety, reliability, cost, data,
    /// devex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_all_heads: bool,
    /// At most: quick 2, normal 5, deep 8 models. This and the next four: by default judged from
    /// the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complexity: Option<LevelName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stakes: Option<StakesName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Trust needed, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Wait for a person (`job`, act) where trust stays below.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// The same where answers diverge by more; 0.3 is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<f64>,
    /// 45,000 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// What was said there is known to the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Vote,
    Heads,
    Debate,
    Single,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    Quick,
    Normal,
    Deep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LevelName {
    Low,
    Medium,
    High,
    Critical,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Low => Level::Low,
            LevelName::Medium => Level::Medium,
            LevelName::High => Level::High,
            LevelName::Critical => Level::Critical,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StakesName {
    Routine,
    Important,
    High,
}

impl From<StakesName> for Stakes {
    fn from(name: StakesName) -> Self {
        match name {
            StakesName::Routine => Stakes::Routine,
            StakesName::Important => Stakes::Important,
            StakesName::High => Stakes::High,
        }
    }
}

/// One seat of the panel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeatReply {
    /// Who really answered.
    pub model: String,
    /// The role that it spoke in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Of a debate, from the second on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<usize>,
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
    /// Rules of the guard by which something was taken out of what it was sent or what it said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
}

/// Why this panel, and why no more. Each rule says its reason behind a colon.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DecisionReply {
    /// Who was asked, in this order.
    pub panel: Vec<String>,
    pub why: String,
    pub complexity: String,
    pub stakes: String,
    pub domain: String,
    pub effort: String,
    /// The trust that the answer needs.
    pub needed: f64,
    pub needed_why: String,
    /// One minus the correlation of errors that is to be expected in the panel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<f64>,
    /// Rules of diversity that the models that there are cannot keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_kept: Vec<String>,
    /// What was done when the panel left doubt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Why a person should decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalate: Option<String>,
    pub stopped_because: String,
}

/// What a council answers.
#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// The job that holds it.
    pub job: String,
    /// running, waiting (for a person) or succeeded.
    pub state: String,
    /// What a person is asked before it goes on: kind, why, actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub needs: Option<Value>,
    /// As `consensus` replies; what is known by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub verdict: Option<VerdictReply>,
    /// Who was asked: version, failure, latency, tokens, cost.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub models: Vec<SeatReply>,
    /// panel, complexity, stakes, domain, effort, needed, steps, escalate, stopped_because, with
    /// reasons.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub decision: DecisionReply,
    /// consensus, divergence_score, recommendation, anomalies, why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub gate: Option<GateReply>,
    /// By round: votes, and who changed towards whom. Trust rests on the first round alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub debate: Option<DebateReply>,
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
        if let Some(reply) = intent::answer(cx, &args, call)? {
            return Ok(reply);
        }
        // What a person may have to decide about first is not shown before it was looked at.
        let guarded = args.hold || args.gate.is_some();
        let (job, wait_ms, begun) = begin(cx, args, call)?;
        let Some((mut driving, seats)) = begun else {
            return round::look(cx, &job, &call.account);
        };
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
                return round::partial(cx, &job, &seats, guarded).await;
            }
        }
    }

    fn render(reply: &Reply) -> String {
        if reply.job.is_empty() {
            return intent::render(reply);
        }
        let heads = reply.heads.as_ref().map(|heads| heads.render()).unwrap_or_default();
        let mut out = heads
            + &match &reply.verdict {
                Some(verdict) => verdict.render(),
                None if reply.needs.is_some() => "The answer is held back.\n".to_owned(),
                None if reply.models.is_empty() => "Nobody has answered yet.\n".to_owned(),
                None => "There is no verdict yet.\n".to_owned(),
            };
        out.extend(reply.debate.as_ref().map(DebateReply::render));
        out.extend(reply.gate.as_ref().map(|gate| format!("_Gate: {}_\n", gate.said())));
        let (job, state) = (&reply.job, &reply.state);
        if let Some(needs) = &reply.needs {
            let why = needs["why"].as_str().unwrap_or_default();
            out.push_str(&format!(
                "\n**A person decides**: {why}. `job` with `op` = `act`, `id` = `{job}` and \
                 `action` = `approve`, `provide`, `modify` or `cancel`.\n"
            ));
        } else if state != "succeeded" {
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
        if let Some(why) = decision.escalate.as_ref().filter(|_| reply.needs.is_none()) {
            out.push_str(&format!("_A person should decide: {why}._\n"));
        }
        out
    }
}

/// A council at work in this process, and what has come so far.
type Begun = (tokio::task::JoinHandle<Result<Reply, Error>>, Arc<round::Seats>);

/// Checks a request, leaves its job and begins it; gives the job, the time to wait, and nothing
/// more when the same request had been left before.
///
/// # Errors
/// Those of the checks, with what to do; `Conflict` when the key belongs to another request.
pub fn begin(cx: &Context, args: Args, call: &Call) -> Result<(String, u64, Option<Begun>), Error> {
    let args = intended(args)?;
    let wait_ms = check(cx, &args)?;
    crate::safety::before(cx, call, Orchestrate::NAME, &args.query)?;
    for option in &args.options {
        crate::safety::before(cx, call, Orchestrate::NAME, option)?;
    }
    let plan = Plan::new(cx, &args)?;
    crate::talk::open(cx, &args, call)?;
    let (run, begun) = round::leave(cx, &args, call)?;
    let job = run.job.clone();
    if !begun {
        return Ok((job, wait_ms, None));
    }
    let seats = Arc::new(round::Seats::default());
    let driving = round::drive(cx.clone(), run, args, plan, Arc::clone(&seats));
    Ok((job, wait_ms, Some((tokio::spawn(driving), seats))))
}

/// Other arguments for a council that a person changes, checked, as its job keeps them.
///
/// # Errors
/// Those of the checks, with what to do.
pub fn changed(cx: &Context, call: &Call, input: Value) -> Result<String, Error> {
    let args = intended(crate::schema::parse(Orchestrate::NAME, input)?)?;
    check(cx, &args)?;
    crate::safety::before(cx, call, Orchestrate::NAME, &args.query)?;
    for option in &args.options {
        crate::safety::before(cx, call, Orchestrate::NAME, option)?;
    }
    crate::talk::open(cx, &args, call)?;
    round::left(&args, &call.account)
}

/// What is said in front of the question, as `/head logic`, becomes arguments.
fn intended(mut args: Args) -> Result<Args, Error> {
    if args.query.trim_start().starts_with('/') {
        let found = intent::read(&args.query)?;
        if intent::at_once(&found) {
            let text = "`/heads`, `/strategy` and `/dissent` are answered at once and leave no \
                        job; call `orchestrate` itself with them";
            return Err(Error::Args(format!("orchestrate: {text}")));
        }
        args = intent::merged(args, found);
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
    for (name, value) in [("confidence", args.confidence), ("gate", args.gate)] {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            return refuse(format!("`{name}` is {value}; give 0 to 1"));
        }
    }
    if let Some(domain) = args.domain.as_deref().filter(|name| Domain::parse(name).is_none()) {
        let names: Vec<&str> = Domain::ALL.iter().map(|domain| domain.name()).collect();
        return refuse(format!("there is no domain `{domain}`; give one of {}", names.join(", ")));
    }
    let wait_ms = args.deadline_ms.unwrap_or(cx.council.get().deadline_ms);
    if !(1..=DEADLINE_MS_MAX).contains(&wait_ms) {
        return refuse(format!("`deadline_ms` is {wait_ms}; give 1 to {DEADLINE_MS_MAX}"));
    }
    Ok(wait_ms)
}
