//! A council as a job: left, begun, watched over, laid aside for a person, ended, and taken up
//! again when its process is gone. How the models are asked is in `vote.rs`, `heads.rs` and
//! `debate.rs`.

use crate::consensus::{named, score};
use crate::debate::DebateReply;
use crate::heads::HeadsReply;
use crate::held::{self, GateReply};
use crate::orchestrate::{Args, COUNCIL_JOB, DecisionReply, Mode, Reply, SeatReply};
use crate::panel::Plan;
use crate::seat::Seat;
use crate::verdict::{QUESTION_BYTES_MAX, VerdictReply};
use crate::{Call, Context, Error, event, judge};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use synod_council::judge::Premise;
use synod_council::verdict::{Case, Vote};
use synod_llm::Queued;
use synod_store::{ATTEMPTS_MAX, Job, JobState, NewTask, left_out};
use tokio::time::Instant;

/// How often a caller hears that the council is at work.
pub const TICK: Duration = Duration::from_secs(5);
/// How often a council says that it is alive.
const BEAT: Duration = Duration::from_secs(2);
/// One that has said nothing for so long has lost its process.
const SILENT_MS: i64 = 6_000;
/// A council ends after this, whoever is missing.
pub const COUNCIL_MAX: Duration = Duration::from_secs(600);
/// Time for what is asked beside the vote.
const ASIDE: Duration = Duration::from_secs(30);
/// One that waits for a person, or was begun again, ends after this.
const OPEN_MS: i64 = 24 * 60 * 60 * 1_000;

/// A council that this process has in hand. Another process that takes it up has another attempt,
/// and what this one writes from then on is refused.
#[derive(Clone, Debug)]
pub struct Run {
    /// The job.
    pub job: String,
    /// Which taking of it.
    pub attempt: i64,
    /// Whose it is.
    pub account: String,
    /// 1 to 5, lower ones first where its models have no free place.
    pub priority: u8,
    /// When this process took it in hand.
    pub since: Instant,
}

/// What has come so far; the caller looks while the council works.
#[derive(Default)]
pub struct Seats {
    inside: Mutex<(Vec<Seat>, Option<Case>, DecisionReply)>,
    /// Messages of the session that the models are not told.
    untold: AtomicUsize,
}

impl Seats {
    /// Under its lock.
    pub fn held(&self) -> std::sync::MutexGuard<'_, (Vec<Seat>, Option<Case>, DecisionReply)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that came.
    pub fn all(&self) -> Vec<Seat> {
        self.held().0.clone()
    }

    /// Notes how many messages of the session the models are not told.
    pub fn leave_out(&self, n: usize) {
        self.untold.store(n, Ordering::Relaxed);
    }

    /// What the answers have to do without.
    pub fn degraded(&self) -> Vec<String> {
        left_out(self.untold.load(Ordering::Relaxed)).into_iter().collect()
    }

    /// One line on how far it is.
    pub fn said(&self) -> String {
        let held = self.held();
        let names: Vec<&str> = held.0.iter().map(|seat| seat.reply.model.as_str()).collect();
        match names.is_empty() {
            true => "waiting for the first answer".to_owned(),
            false => format!("{} answered: {}", names.len(), names.join(", ")),
        }
    }
}

/// Leaves the job and takes it in hand; false when the same request had been left before.
///
/// # Errors
/// `Conflict` when the key belongs to another request.
pub fn leave(cx: &Context, args: &Args, call: &Call) -> Result<(Run, bool), Error> {
    let now_ms = (cx.now_ms)();
    let id = synod_store::new_id("j", now_ms, synod_store::random()?);
    let text = left(args, &call.account)?;
    let webhook = call.webhook.as_ref().map(|url| json!({ "url": url }).to_string());
    let task = NewTask {
        id: &id,
        kind: COUNCIL_JOB,
        args: &text,
        key: call.key.as_deref(),
        owner: &call.account,
        priority: call.priority,
        deadline_ms: Some(now_ms + OPEN_MS),
        session: args.session.as_deref(),
        webhook: webhook.as_deref(),
        now_ms,
    };
    let job = cx.store.leave_task(&task)?;
    let begun = job == id && cx.store.begin_job(&id, now_ms)?;
    let (account, priority) = (call.account.clone(), call.priority);
    Ok((Run { job, attempt: 1, account, priority, since: Instant::now() }, begun))
}

/// A council as its job holds it, as text.
///
/// # Errors
/// `Reply` for arguments that do not serialise: a bug.
pub fn left(args: &Args, account: &str) -> Result<String, Error> {
    Ok(serde_json::to_string(&Left { args: args.clone(), account: account.to_owned() })?)
}

/// A council as its job holds it.
#[derive(Serialize, Deserialize)]
struct Left {
    args: Args,
    /// Whose it is.
    account: String,
}

impl Left {
    /// Of a job, with what persons added to its question.
    fn of(job: &Job) -> Option<Self> {
        let mut left: Left = serde_json::from_str(&job.args).ok()?;
        for said in given(job) {
            if let Some(text) = said["text"].as_str() {
                left.args.query.push_str(&format!("\n\nFurther context: {text}"));
            }
        }
        Some(left)
    }
}

/// Refuses context that would make the question of a job longer than one may be.
///
/// # Errors
/// `Args`.
pub fn room_for(job: &Job, text: &str) -> Result<(), Error> {
    let known = Left::of(job).map_or(0, |left| left.args.query.len());
    if known + text.len() > QUESTION_BYTES_MAX {
        let text = format!("job: with this the question is over {QUESTION_BYTES_MAX} bytes");
        return Err(Error::Args(text));
    }
    Ok(())
}

/// What persons said of a job, oldest first.
fn given(job: &Job) -> Vec<Value> {
    let parse = |text: &String| serde_json::from_str::<Vec<Value>>(text).ok();
    job.given.as_ref().and_then(parse).unwrap_or_default()
}

/// What a job keeps of a council; the verdict is computed from its record.
#[derive(Serialize, Deserialize)]
struct Kept {
    trust: Option<String>,
    models: Vec<SeatReply>,
    decision: DecisionReply,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gate: Option<GateReply>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    debate: Option<DebateReply>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heads: Option<HeadsReply>,
}

impl Kept {
    fn of(reply: &Reply) -> Self {
        Kept {
            trust: reply.verdict.as_ref().map(|v| v.id.clone()),
            models: reply.models.clone(),
            decision: reply.decision.clone(),
            gate: reply.gate.clone(),
            debate: reply.debate.clone(),
            heads: reply.heads.clone(),
        }
    }

    /// The reply again, byte for byte.
    fn reply(self, cx: &Context, job: &Job) -> Result<Reply, Error> {
        let verdict = match self.trust {
            Some(id) => {
                let stored = crate::trust::stored(cx, &job.owner, "orchestrate", &id)?;
                Some(crate::verdict::verdict(&id, &stored.record)?.0)
            }
            None => None,
        };
        Ok(Reply {
            job: job.id.clone(),
            state: job.state.name().to_owned(),
            needs: None,
            verdict,
            cost_usd: cost(&self.models),
            models: self.models,
            decision: self.decision,
            gate: self.gate,
            debate: self.debate,
            heads: self.heads,
        })
    }
}

/// Nothing yet.
pub fn empty(job: &str, state: JobState) -> Reply {
    Reply {
        job: job.to_owned(),
        state: state.name().to_owned(),
        needs: None,
        verdict: None,
        models: Vec::new(),
        decision: DecisionReply::default(),
        cost_usd: 0.0,
        gate: None,
        debate: None,
        heads: None,
    }
}

/// A council by its job, as it stands.
///
/// # Errors
/// `Missing`; `Refused` for one that failed or was cancelled, with the reason.
pub fn look(cx: &Context, job: &str, account: &str) -> Result<Reply, Error> {
    let missing = || Error::Missing(format!("orchestrate: no council `{job}`; `job` lists them"));
    let found =
        cx.store.job_of(job, account)?.filter(|j| j.kind == COUNCIL_JOB).ok_or_else(missing)?;
    match (found.state, &found.result, &found.partial) {
        (JobState::Succeeded, Some(text), _) => {
            serde_json::from_str::<Kept>(text)?.reply(cx, &found)
        }
        (JobState::Failed | JobState::Cancelled, Some(text), _) => {
            Err(Error::Refused(format!("orchestrate: council `{job}`: {text}")))
        }
        (JobState::Waiting, _, Some(text)) => {
            let mut reply = serde_json::from_str::<Kept>(text)?.reply(cx, &found)?;
            let needs = found.needs.as_ref().and_then(|text| serde_json::from_str(text).ok());
            reply.needs = Some(needs.unwrap_or_else(|| json!({})));
            held::withhold(&mut reply);
            Ok(reply)
        }
        (JobState::Running, _, Some(text)) => {
            let kept = serde_json::from_str::<Kept>(text)?;
            // A verdict in it is of before a person spoke.
            if kept.trust.is_some() {
                return Ok(empty(job, found.state));
            }
            kept.reply(cx, &found)
        }
        (state, ..) => Ok(empty(job, state)),
    }
}

/// Keeps who has spoken so far, for whoever looks before the end.
///
/// # Errors
/// Those of the store; `Refused` when another process has the council.
pub fn keep(cx: &Context, run: &Run, seats: &Seats) -> Result<(), Error> {
    let kept = {
        let held = seats.held();
        let models = held.0.iter().map(|seat| seat.reply.clone()).collect();
        let decision = held.2.clone();
        Kept { trust: None, models, decision, gate: None, debate: None, heads: None }
    };
    let text = serde_json::to_string(&kept)?;
    match cx.store.set_partial(&run.job, run.attempt, &text, (cx.now_ms)())? {
        true => Ok(()),
        false => Err(lost()),
    }
}

/// Dollars of all seats, as far as prices are known.
pub fn cost(models: &[SeatReply]) -> f64 {
    let sum: f64 = models.iter().filter_map(|seat| seat.cost_usd).sum();
    // The sum of nothing is minus zero.
    (sum * 1e6).round() / 1e6 + 0.0
}

/// What is there at the caller's deadline.
///
/// # Errors
/// Those of the store.
pub async fn partial(
    cx: &Context,
    job: &str,
    seats: &Seats,
    guarded: bool,
) -> Result<Reply, Error> {
    let (models, case, decision) = {
        let held = seats.held();
        let models: Vec<SeatReply> = held.0.iter().map(|seat| seat.reply.clone()).collect();
        (models, held.1.clone(), held.2.clone())
    };
    let verdict = match case.filter(|_| !guarded) {
        Some(case) => {
            let cx = cx.clone();
            let mut late = seats.degraded();
            late.push("answers".to_owned());
            let scored = computed(move || score(&cx, case, late, None)).await?;
            // It is not kept: the whole one gets an id.
            Some(scored)
        }
        None => None,
    };
    let cost_usd = cost(&models);
    Ok(Reply { verdict, models, decision, cost_usd, ..empty(job, JobState::Running) })
}

/// A task that ended before its work did: a panic, which the log has.
pub fn ended(error: &tokio::task::JoinError) -> Error {
    Error::Upstream(format!("orchestrate: the council ended too early: {error}"))
}

/// Off the threads that carry the protocol.
pub async fn computed<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ended(&error)))
}

/// Works until it is enough, and ends the job or lays it aside for a person.
///
/// # Errors
/// Those of the store; `Upstream` when nobody answered; `Refused` when it was cancelled, or taken
/// up by another process.
pub async fn drive(
    cx: Context,
    run: Run,
    args: Args,
    plan: Plan,
    seats: Arc<Seats>,
) -> Result<Reply, Error> {
    let working = async {
        crate::talk::asked(&cx, &args, &run)?;
        seats.held().2 = plan.decision.clone();
        keep(&cx, &run, &seats)?;
        let mut reply = match args.mode {
            Mode::Heads => crate::heads::work(&cx, &run, &args, &plan, &seats).await,
            Mode::Debate => crate::debate::work(&cx, &run, &args, &plan, &seats).await,
            Mode::Vote | Mode::Single => crate::vote::work(&cx, &run, &args, &plan, &seats).await,
        }?;
        held::judge(&cx, &args, &plan, &seats, &mut reply).await?;
        Ok(reply)
    };
    // It is alive until its very end: what is silent is taken up by another process.
    let result = tokio::select! {
        result = working => result,
        error = alive(&cx, &run) => Err(error),
    };
    let now_ms = (cx.now_ms)();
    match result {
        Ok(reply) if reply.needs.is_some() => lay_aside(&cx, &run, reply),
        Ok(reply) => {
            conclude(&cx, &run, &args, &reply)?;
            Ok(reply)
        }
        Err(error) => {
            let text = error.to_string();
            // Who no longer has the job says nothing of it.
            if !cx.store.beat(&run.job, run.attempt, now_ms)? {
                return Err(error);
            }
            event::tell(&cx, &run.job, "error", &json!({ "message": event::shown(&text) }));
            cx.store.end_run(&run.job, run.attempt, JobState::Failed, &text, now_ms)?;
            Err(error)
        }
    }
}

/// Waits for a person from now on.
fn lay_aside(cx: &Context, run: &Run, mut reply: Reply) -> Result<Reply, Error> {
    let now_ms = (cx.now_ms)();
    let kept = serde_json::to_string(&Kept::of(&reply))?;
    let needs = reply.needs.clone().unwrap_or_default();
    let held = cx.store.set_partial(&run.job, run.attempt, &kept, now_ms)?
        && cx.store.ask_person(&run.job, run.attempt, &needs.to_string(), now_ms)?;
    if !held {
        return Err(lost());
    }
    crate::record::decided(cx, run, "held", needs["kind"].as_str().unwrap_or_default());
    reply.state = JobState::Waiting.name().to_owned();
    held::withhold(&mut reply);
    Ok(reply)
}

/// The council is over: its session, its stream, the ledger and its job hear of it.
fn conclude(cx: &Context, run: &Run, args: &Args, reply: &Reply) -> Result<(), Error> {
    if !cx.store.beat(&run.job, run.attempt, (cx.now_ms)())? {
        return Err(lost());
    }
    let verdict = reply.verdict.as_ref();
    let answer = reply.heads.as_ref().map(|heads| heads.final_answer.as_str());
    let answer = answer.or_else(|| verdict?.answer.as_deref());
    if let (Some(answer), Some(verdict)) = (answer, verdict) {
        crate::talk::answered(cx, args, run, &verdict.id, answer);
    }
    let trust = verdict.and_then(|verdict| verdict.trust);
    let id = verdict.map(|verdict| verdict.id.as_str());
    let told = json!({
        "answer": answer.map(event::shown), "trust": trust, "verdict": id,
        "escalate": reply.decision.escalate,
    });
    event::tell(cx, &run.job, "result", &told);
    let text = serde_json::to_string(&Kept::of(reply))?;
    let now_ms = (cx.now_ms)();
    if !cx.store.end_run(&run.job, run.attempt, JobState::Succeeded, &text, now_ms)? {
        return Err(lost());
    }
    crate::record::decided(cx, run, "verdict", id.unwrap_or_default());
    Ok(())
}

/// Says that a council is alive for as long as it is, and where it waits for a place; ends when it
/// is no longer this process'.
async fn alive(cx: &Context, run: &Run) -> Error {
    let mut beat = tokio::time::interval(BEAT);
    // Of a job that another attempt had, nobody knows here what was said last.
    let mut said = (run.attempt == 1).then(String::new);
    loop {
        beat.tick().await;
        let (now_ms, queue) = ((cx.now_ms)(), queue(cx, run));
        let held = if said.as_ref() == Some(&queue) {
            cx.store.beat(&run.job, run.attempt, now_ms)
        } else {
            let progress = json!({ "current": &queue }).to_string();
            cx.store.beat_with(&run.job, run.attempt, &progress, now_ms)
        };
        said = Some(queue);
        match held {
            Ok(true) => {}
            Ok(false) => return lost(),
            Err(error) => return error.into(),
        }
    }
}

/// Where the models of a council have no free place for it, in words; empty when it waits for none.
fn queue(cx: &Context, run: &Run) -> String {
    let waits = cx.engine.queue(&run.job);
    if waits.is_empty() {
        return String::new();
    }
    let line = |one: &Queued| format!("{} before it at {}/{}", one.before, one.provider, one.model);
    let lines: Vec<String> = waits.iter().map(line).collect();
    format!("waits for its turn, priority {}: {}", run.priority, lines.join(", "))
}

/// What a run hears that no longer holds its job.
pub fn lost() -> Error {
    Error::Refused(
        "orchestrate: the council was cancelled, or another process has taken it up; see `job`"
            .to_owned(),
    )
}

/// The reply of a council that is over.
pub fn whole(
    run: &Run,
    verdict: VerdictReply,
    decision: DecisionReply,
    all: &[Seat],
    heads: Option<HeadsReply>,
) -> Reply {
    let models: Vec<SeatReply> = all.iter().map(|seat| seat.reply.clone()).collect();
    let cost_usd = cost(&models);
    let whole = empty(&run.job, JobState::Succeeded);
    Reply { verdict: Some(verdict), models, decision, cost_usd, heads, ..whole }
}

/// The same of seats that voted, by what a judge and a premise check say beside them; the verdict
/// is kept.
///
/// # Errors
/// Those of the store; `Upstream` when nobody answered.
pub async fn finish(
    cx: &Context,
    run: &Run,
    args: &Args,
    plan: &Plan,
    mut decision: DecisionReply,
    seats: &Seats,
) -> Result<Reply, Error> {
    let mut all: Vec<Seat> = seats.all();
    if all.iter().all(|seat| seat.text.is_none()) {
        return Err(nobody(&all));
    }
    let mut case = case(cx, args, &all);
    let end = Instant::now() + ASIDE;
    let mut degraded = seats.degraded();
    if let Some((aside, found)) = judge::check_premise(cx, run, args, plan, end).await {
        let said = judge::said(&aside, found.as_ref());
        decision.steps.push(said.clone());
        match found {
            Some(Premise::Differs(_)) => case.risk = Some(said),
            Some(Premise::Holds) => {}
            None => degraded.push("premise".to_owned()),
        }
        all.push(aside.seat);
    }
    let (for_case, held) = (cx.clone(), case);
    (case, degraded) = computed(move || {
        let mut case = held;
        crate::consensus::prepare(&for_case, &mut case, &mut degraded)?;
        Ok((case, degraded))
    })
    .await?;
    if let Some(aside) = judge::compare(cx, run, args, &mut case, end).await? {
        all.push(aside.seat);
        decision.steps.push(match case.judged.is_empty() {
            true => "the judge said nothing that could be read".to_owned(),
            false => format!("a judge compared {} pairs of answers", case.judged.len()),
        });
    }
    let (for_score, owner) = (cx.clone(), run.account.clone());
    let scored =
        move || crate::consensus::conclude(&for_score, &case, degraded, Some(owner.as_str()));
    let verdict = computed(scored).await?;
    Ok(whole(run, verdict, decision, &all, None))
}

/// Nobody answered, and why.
pub fn nobody(all: &[Seat]) -> Error {
    let why: Vec<String> = (all.iter())
        .map(|seat| {
            let failure = seat.reply.failure.as_deref().unwrap_or("silent");
            format!("{}: {failure}", seat.reply.model)
        })
        .collect();
    let why = why.join(", ");
    let hint = all.iter().find_map(|seat| seat.why.as_deref());
    let hint = hint.unwrap_or("see `models` with `op` = `check`");
    Error::Upstream(format!("orchestrate: nobody answered ({why}); {hint}"))
}

/// The answers of seats as votes.
pub fn case(cx: &Context, args: &Args, seats: &[Seat]) -> Case {
    let vote = |seat: &Seat| Vote {
        model: seat.reply.model.clone(),
        name: named(cx, &seat.reply.model),
        vendor: seat.vendor.clone(),
        family: seat.family.clone(),
        text: seat.text.clone().unwrap_or_default(),
        failed: seat.text.is_none(),
        ..Vote::default()
    };
    // Answers come in any order; the verdict must not depend on it.
    let mut votes: Vec<Vote> = seats.iter().map(vote).collect();
    votes.sort_by(|a, b| a.model.cmp(&b.model));
    Case {
        question: args.query.clone(),
        kind: args.kind.map(Into::into),
        options: args.options.clone(),
        votes,
        ..Case::default()
    }
}

/// Goes on with a council that a person has spoken about, in this process; false when it is not
/// pending.
///
/// # Errors
/// Those of the store; `Refused` when the models that it wants are gone.
pub fn go_on(cx: &Context, id: &str) -> Result<bool, Error> {
    if !cx.store.begin_job(id, (cx.now_ms)())? {
        return Ok(false);
    }
    let Some(job) = cx.store.job(id)? else { return Ok(false) };
    start(cx, &job)?;
    Ok(true)
}

/// Begins a council that was taken, or ends it by a person's word. What cannot be begun fails.
fn start(cx: &Context, job: &Job) -> Result<(), Error> {
    let (id, account) = (job.id.clone(), job.owner.clone());
    let (attempt, priority, since) = (job.attempt, job.priority, Instant::now());
    let run = Run { job: id, attempt, account, priority, since };
    let fail = |why: &str| -> Result<(), Error> {
        cx.store.end_run(&run.job, run.attempt, JobState::Failed, why, (cx.now_ms)())?;
        Ok(())
    };
    let Some(left) = Left::of(job) else { return fail("its arguments cannot be read") };
    let approved = given(job).last().is_some_and(|said| said["action"] == "approve");
    let kept = job.partial.as_deref().map(serde_json::from_str::<Kept>).transpose()?;
    // What is no whole answer yet was not what a person has seen.
    if let (true, Some(kept)) = (approved, kept.filter(|kept| kept.trust.is_some())) {
        return conclude(cx, &run, &left.args, &kept.reply(cx, job)?);
    }
    match Plan::new(cx, &left.args) {
        Ok(plan) => {
            tokio::spawn(drive(cx.clone(), run, left.args, plan, Arc::default()));
            Ok(())
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// Takes up councils whose process is gone. Their answers so far are on disk.
///
/// # Errors
/// Those of the store.
pub fn resume(cx: &Context) -> Result<Vec<String>, Error> {
    let mut begun = Vec::new();
    // Mostly there is none, and reading is cheaper than trying to take.
    if cx.store.open_jobs(COUNCIL_JOB)?.is_empty() {
        return Ok(begun);
    }
    let silent_ms = (cx.now_ms)() - SILENT_MS;
    while let Some(job) = cx.store.take_silent(COUNCIL_JOB, silent_ms, (cx.now_ms)())? {
        let age_ms = (cx.now_ms)() - job.made_ms;
        let spoken = job.given.is_some() || job.attempt_base > 0;
        let why = if age_ms > COUNCIL_MAX.as_millis() as i64 && !spoken {
            Some("its process was gone for too long")
        } else if job.attempt - job.attempt_base > ATTEMPTS_MAX {
            Some("its process was lost too often")
        } else {
            None
        };
        let failed = match why {
            Some(why) => Some(why.to_owned()),
            None => start(cx, &job).err().map(|error| error.to_string()),
        };
        if let Some(why) = failed {
            let why = format!("{why}; `job` with `op` = `act` and `action` = `retry` asks again");
            cx.store.end_run(&job.id, job.attempt, JobState::Failed, &why, (cx.now_ms)())?;
            continue;
        }
        begun.push(job.id);
    }
    Ok(begun)
}
