//! One council at work: who is asked next, and when it is enough.

use crate::consensus::{domain, score};
use crate::heads::HeadsReply;
use crate::learn::Learned;
use crate::orchestrate::{Args, COUNCIL_JOB, DecisionReply, Effort, Mode, Reply, SeatReply};
use crate::seat::{Seat, ask_one};
use crate::{Call, Context, Error};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use synod_council::verdict::{Case, Vote, decide, to_embed};
use synod_council::{Calibration, Kind, Shape, ability, classify, options_of, stop};
use synod_llm::{Message, Policy};
use synod_store::{JobState, NewMessage, NewTask, Role};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often a caller hears that the council is at work.
pub const TICK: Duration = Duration::from_secs(5);
/// How often a council says that it is alive.
const BEAT: Duration = Duration::from_secs(2);
/// One that has said nothing for so long has lost its process.
const SILENT_MS: i64 = 6_000;
/// A council ends after this, whoever is missing.
pub const COUNCIL_MAX: Duration = Duration::from_secs(600);
/// Characters of an answer in its session.
const SESSION_CHARS_MAX: usize = 20_000;
/// Tokens of a session that models read before a question.
const SESSION_TOKENS: usize = 3_000;
/// Part of the deadline after which the next model is asked beside a slow one.
const SOFT: f64 = 0.6;

/// However little the caller waits, a model has this long before another is asked beside it.
const SOFT_MIN: Duration = Duration::from_secs(10);

/// Whom to ask, and when it is enough.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ids, the first to be asked first.
    pub order: Vec<String>,
    /// Asked at once in the beginning.
    first: usize,
    /// Posterior from which on nobody else is asked.
    enough: f64,
    why: String,
}

impl Plan {
    /// From the arguments and what is known of the models.
    ///
    /// # Errors
    /// Those of the store; `Refused` when the policy leaves nobody.
    pub fn new(cx: &Context, args: &Args) -> Result<Self, Error> {
        let (most, enough) = match args.effort {
            Effort::Quick => (2, 0.8),
            Effort::Normal => (5, 0.8),
            Effort::Deep => (8, 0.95),
        };
        if args.mode == Mode::Single {
            let order = order(cx, args)?.into_iter().take(1).collect();
            let why = "one model, as asked".to_owned();
            return Ok(Plan { order, first: 1, enough: 1.0, why });
        }
        let mut order = order(cx, args)?;
        if !args.models.is_empty() {
            let why = "the models that were named".to_owned();
            let first = order.len();
            return Ok(Plan { order, first, enough: 2.0, why });
        }
        order.truncate(most);
        let effort = format!("{:?}", args.effort).to_lowercase();
        let why =
            format!("{effort} effort: up to {most}, two first, until the posterior is {enough}");
        Ok(Plan { first: order.len().min(2), order, enough, why })
    }
}

/// Models that may be asked, the best known first; of equals those of other vendors first.
fn order(cx: &Context, args: &Args) -> Result<Vec<String>, Error> {
    let rows = cx.engine.models();
    if !args.models.is_empty() {
        return Ok(args.models.clone());
    }
    let panel = &cx.council.panel;
    let wanted = rows.iter().filter(|row| panel.is_empty() || panel.contains(&row.id));
    let judged = || classify(&args.query, &args.options, &[]);
    let kind = args.kind.map_or_else(judged, Kind::from);
    let learned = Learned::of(cx, kind, domain(&args.query))?;
    let unknown = ability(synod_council::PRIOR_MEAN, Shape::of(kind, 0).sigma);
    let mut left: Vec<(f64, &synod_llm::Model)> =
        wanted.map(|row| (learned.model(&row.id).map_or(unknown, |known| known.0), row)).collect();
    let mut out: Vec<&synod_llm::Model> = Vec::new();
    while !left.is_empty() {
        // Reliability first; among equals a lineage and a vendor that do not sit there yet.
        let key = |(ability, row): &(f64, &synod_llm::Model)| {
            let family = out.iter().any(|o| o.family == row.family && !row.family.is_empty());
            let vendor = out.iter().any(|o| o.vendor == row.vendor && !row.vendor.is_empty());
            ability - 0.5 * f64::from(u8::from(family)) - 0.25 * f64::from(u8::from(vendor))
        };
        let best = (0..left.len())
            .reduce(|a, b| if key(&left[b]) > key(&left[a]) + 1e-12 { b } else { a });
        let Some(best) = best else { break };
        out.push(left.remove(best).1);
    }
    let local = |row: &&synod_llm::Model| cx.engine.is_local(&row.id);
    match args.policy.map_or(cx.council.policy, Into::into) {
        Policy::Local => out.retain(local),
        // Stable: within each the best known first.
        Policy::LocalFirst => out.sort_by_key(|row| !local(row)),
        Policy::Cloud => {}
    }
    if out.is_empty() {
        let text = "`council.panel` in synod.toml and the policy leave no model that is \
                    configured";
        return Err(Error::Refused(format!("orchestrate: {text}")));
    }
    Ok(out.into_iter().map(|row| row.id.clone()).collect())
}

/// What has come so far; the caller looks while the council works.
#[derive(Default)]
pub struct Seats {
    inside: Mutex<(Vec<Seat>, Option<Case>, DecisionReply)>,
}

impl Seats {
    fn held(&self) -> std::sync::MutexGuard<'_, (Vec<Seat>, Option<Case>, DecisionReply)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that came.
    pub fn all(&self) -> Vec<Seat> {
        self.held().0.clone()
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

/// Leaves the job; false when the same key had left it before.
///
/// # Errors
/// `Conflict` when the key belongs to another request.
pub fn leave(cx: &Context, args: &Args, call: &Call) -> Result<(String, bool), Error> {
    let now_ms = (cx.now_ms)();
    let id = synod_store::new_id("j", now_ms, synod_store::random()?);
    let left = Left { args: args.clone(), account: call.account.clone() };
    let text = serde_json::to_string(&left)?;
    let key = call.key.as_deref();
    let owner = &call.account;
    let task = NewTask {
        id: &id,
        kind: COUNCIL_JOB,
        args: &text,
        key,
        owner,
        now_ms,
        ..Default::default()
    };
    let left = cx.store.leave_task(&task)?;
    let begun = left == id && cx.store.begin_job(&id, now_ms)?;
    Ok((left, begun))
}

/// Notes the question in its session.
///
/// # Errors
/// `Missing` when there is no such session.
pub fn open_session(cx: &Context, args: &Args, call: &Call) -> Result<(), Error> {
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

/// A line of the session: the question when the council begins, the answer when it ends.
///
/// # Errors
/// Those of the store.
pub fn said(
    cx: &Context,
    args: &Args,
    account: &str,
    job: &str,
    answer: Option<(&str, &str)>,
) -> Result<(), Error> {
    let Some(session) = &args.session else { return Ok(()) };
    let (role, author, text) = match answer {
        Some((_, text)) => (Role::Assistant, "council", text),
        None => (Role::User, "", args.query.as_str()),
    };
    let refs =
        serde_json::json!({ "job": job, "trust": answer.map(|(trust, _)| trust) }).to_string();
    // A council that goes on after a crash says nothing twice.
    let key = format!("{job} {}", role.name());
    let now_ms = (cx.now_ms)();
    let message = NewMessage { role, author, text, refs: Some(&refs), key: Some(&key), now_ms };
    cx.store.append(session, account, &message)?;
    Ok(())
}

/// The answer, if its session still takes it: what was paid for is not lost with a session.
pub fn noted(cx: &Context, args: &Args, account: &str, job: &str, answer: (&str, &str)) {
    let mut text: String = answer.1.chars().take(SESSION_CHARS_MAX).collect();
    if text.len() < answer.1.len() {
        text.push_str(" […]");
    }
    // A session that has ended, or is full, takes no more; the job and the verdict have it.
    let _ = said(cx, args, account, job, Some((answer.0, &text)));
}

/// What was said in the session before this question, oldest first.
///
/// # Errors
/// Those of the store.
pub fn before(cx: &Context, args: &Args, account: &str) -> Result<Vec<Message>, Error> {
    let Some(session) = &args.session else { return Ok(Vec::new()) };
    let count = |text: &str| (cx.count_tokens)(text);
    let now_ms = (cx.now_ms)();
    let Some(rebuilt) = cx.store.rebuild(session, account, SESSION_TOKENS, &count, now_ms)? else {
        return Ok(Vec::new());
    };
    let message = |message: synod_store::Message| Message {
        role: match message.role {
            Role::Assistant | Role::Model => synod_llm::Role::Assistant,
            _ => synod_llm::Role::User,
        },
        text: message.text,
    };
    Ok(rebuilt.messages.into_iter().map(message).collect())
}

/// A council as its job holds it.
#[derive(Serialize, Deserialize)]
struct Left {
    args: Args,
    /// Whose it is.
    account: String,
}

/// A council by its job, as it stands.
///
/// # Errors
/// `Missing`.
pub fn look(cx: &Context, job: &str, account: &str) -> Result<Reply, Error> {
    let missing = || Error::Missing(format!("orchestrate: no council `{job}`; `job` lists them"));
    let found =
        cx.store.job_of(job, account)?.filter(|j| j.kind == COUNCIL_JOB).ok_or_else(missing)?;
    let empty = || Reply {
        job: job.to_owned(),
        state: found.state.name().to_owned(),
        verdict: None,
        models: Vec::new(),
        decision: DecisionReply::default(),
        cost_usd: 0.0,
        heads: None,
    };
    match (found.state, &found.result) {
        (JobState::Succeeded, Some(text)) => {
            let result: Kept = serde_json::from_str(text)?;
            let verdict = match result.trust {
                Some(id) => {
                    let stored = crate::trust::stored(cx, account, "orchestrate", &id)?;
                    Some(crate::verdict::verdict(&id, &stored.record)?.0)
                }
                None => None,
            };
            let (models, decision, heads) = (result.models, result.decision, result.heads);
            let cost_usd = cost(&models);
            Ok(Reply { verdict, models, decision, cost_usd, heads, ..empty() })
        }
        (JobState::Failed | JobState::Cancelled, Some(text)) => {
            Err(Error::Refused(format!("orchestrate: council `{job}`: {text}")))
        }
        _ => Ok(empty()),
    }
}

/// What a job keeps of a council; the verdict is computed from its record.
#[derive(Serialize, Deserialize)]
struct Kept {
    trust: Option<String>,
    models: Vec<SeatReply>,
    decision: DecisionReply,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heads: Option<HeadsReply>,
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
pub async fn partial(cx: &Context, job: &str, seats: &Seats) -> Result<Reply, Error> {
    let (models, case, decision) = {
        let held = seats.held();
        let models: Vec<SeatReply> = held.0.iter().map(|seat| seat.reply.clone()).collect();
        (models, held.1.clone(), held.2.clone())
    };
    let verdict = match case {
        Some(case) => {
            let cx = cx.clone();
            let late = vec!["answers".to_owned()];
            let scored = computed(move || score(&cx, case, late, None)).await?;
            // It is not kept: the whole one gets an id.
            Some(scored)
        }
        None => None,
    };
    let cost_usd = cost(&models);
    let (job, state) = (job.to_owned(), "running".to_owned());
    Ok(Reply { job, state, verdict, models, decision, cost_usd, heads: None })
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

/// Works until it is enough, and ends the job.
///
/// # Errors
/// Those of the store; `Refused` when nobody answered.
pub async fn drive(
    cx: Context,
    job: String,
    account: String,
    args: Args,
    plan: Plan,
    seats: Arc<Seats>,
) -> Result<Reply, Error> {
    let working = async {
        match args.mode {
            Mode::Heads => crate::heads::work(&cx, &job, &account, &args, &plan, &seats).await,
            _ => work(&cx, &job, &account, &args, &plan, &seats).await,
        }
    };
    // It is alive until its very end: what is silent is taken up by another process.
    let result = tokio::select! {
        result = working => result,
        error = alive(&cx, &job) => Err(error),
    };
    let now_ms = (cx.now_ms)();
    match &result {
        Ok(reply) => {
            let kept = Kept {
                trust: reply.verdict.as_ref().map(|v| v.id.clone()),
                models: reply.models.clone(),
                decision: reply.decision.clone(),
                heads: reply.heads.clone(),
            };
            let text = serde_json::to_string(&kept)?;
            cx.store.end_job(&job, JobState::Succeeded, &text, now_ms)?;
        }
        Err(error) => {
            cx.store.end_job(&job, JobState::Failed, &error.to_string(), now_ms)?;
        }
    }
    result
}

/// A council between its first question and its last answer.
struct Session<'a> {
    cx: &'a Context,
    job: &'a str,
    args: &'a Args,
    plan: &'a Plan,
    seats: &'a Seats,
    past: Arc<Vec<Message>>,
    asking: JoinSet<Seat>,
    /// Place in the plan's order of the one who is asked next.
    next: usize,
    end: Instant,
    decision: DecisionReply,
}

impl Session<'_> {
    /// Asks the next ones.
    fn ask(&mut self, n: usize) {
        for id in self.plan.order.iter().skip(self.next).take(n) {
            let (cx, job, id) = (self.cx.clone(), self.job.to_owned(), id.clone());
            self.decision.panel.push(id.clone());
            let (args, past) = (self.args.clone(), Arc::clone(&self.past));
            self.asking.spawn(ask_one(cx, job, id, args, past, self.end));
            self.next += 1;
        }
    }

    /// Takes an answer in; true when nobody else need be asked.
    fn take(&mut self, seat: Seat) -> Result<bool, Error> {
        let (cx, plan) = (self.cx, self.plan);
        let case = {
            let mut held = self.seats.held();
            held.0.push(seat);
            let case = case(self.args, &held.0);
            if case.votes.iter().any(|vote| !vote.failed) {
                held.1 = Some(case.clone());
            }
            held.2 = self.decision.clone();
            case
        };
        let note = serde_json::json!({ "answered": case.votes.len() }).to_string();
        if !cx.store.set_progress(self.job, &note, (cx.now_ms)())? {
            return Err(cancelled());
        }
        let left = &plan.order[self.next..];
        let why = enough(cx, self.args, case, left, plan.enough)?;
        // Those who were named are all waited for.
        if let Some(why) = why.filter(|_| self.asking.is_empty() || plan.enough <= 1.0) {
            self.decision.stopped_because = why;
            return Ok(true);
        }
        if self.asking.is_empty() && left.is_empty() {
            self.decision.stopped_because = "everybody was asked".to_owned();
            return Ok(true);
        }
        Ok(false)
    }
}

/// Says that a council is alive for as long as it is; ends when it was cancelled.
async fn alive(cx: &Context, job: &str) -> Error {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        beat.tick().await;
        match cx.store.touch_job(job, (cx.now_ms)()) {
            Ok(true) => {}
            Ok(false) => return cancelled(),
            Err(error) => return error.into(),
        }
    }
}

fn cancelled() -> Error {
    Error::Refused("orchestrate: the council was cancelled".to_owned())
}

async fn work(
    cx: &Context,
    job: &str,
    account: &str,
    args: &Args,
    plan: &Plan,
    seats: &Seats,
) -> Result<Reply, Error> {
    let start = Instant::now();
    let past = Arc::new(before(cx, args, account)?);
    said(cx, args, account, job, None)?;
    let wait_ms = args.deadline_ms.unwrap_or(cx.council.deadline_ms);
    let soft = Duration::from_millis((wait_ms as f64 * SOFT) as u64).max(SOFT_MIN);
    let decision = DecisionReply { why: plan.why.clone(), ..DecisionReply::default() };
    let end = start + COUNCIL_MAX;
    let asking = JoinSet::new();
    let mut session = Session { cx, job, args, plan, seats, past, asking, next: 0, end, decision };
    session.ask(plan.first);
    let mut slow = start + soft;
    loop {
        if session.asking.is_empty() {
            session.ask(1);
        }
        tokio::select! {
            seat = session.asking.join_next() => {
                let Some(seat) = seat else { break };
                if session.take(seat.map_err(|error| ended(&error))?)? {
                    break;
                }
            }
            // A slow model is not waited for alone: the next one is asked beside it.
            () = tokio::time::sleep_until(slow), if session.next < plan.order.len() => {
                session.ask(1);
                slow = Instant::now() + soft;
            }
        }
    }
    let decision = std::mem::take(&mut session.decision);
    drop(session);
    finish(cx, job, account, args, decision, seats).await
}

async fn finish(
    cx: &Context,
    job: &str,
    account: &str,
    args: &Args,
    decision: DecisionReply,
    seats: &Seats,
) -> Result<Reply, Error> {
    let all: Vec<Seat> = seats.held().0.clone();
    let models: Vec<SeatReply> = all.iter().map(|seat| seat.reply.clone()).collect();
    if all.iter().all(|seat| seat.text.is_none()) {
        return Err(nobody(&all));
    }
    let case = case(args, &all);
    let (for_score, owner) = (cx.clone(), account.to_owned());
    let verdict = computed(move || score(&for_score, case, Vec::new(), Some(&owner))).await?;
    if let Some(answer) = &verdict.answer {
        noted(cx, args, account, job, (&verdict.id, answer));
    }
    let cost_usd = cost(&models);
    let (job, state) = (job.to_owned(), "succeeded".to_owned());
    Ok(Reply { job, state, verdict: Some(verdict), models, decision, cost_usd, heads: None })
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
    Error::Upstream(format!(
        "orchestrate: nobody answered ({why}); see `models` with `op` = `check`"
    ))
}

/// Waits for all who were asked.
///
/// # Errors
/// `Upstream` when one of them ended too early.
pub async fn gather(asking: &mut JoinSet<Seat>, seats: &Seats) -> Result<(), Error> {
    while let Some(seat) = asking.join_next().await {
        seats.held().0.push(seat.map_err(|error| ended(&error))?);
    }
    Ok(())
}

/// Why nobody else need be asked, if that is so.
fn enough(
    cx: &Context,
    args: &Args,
    mut case: Case,
    left: &[String],
    enough: f64,
) -> Result<Option<String>, Error> {
    let kind = to_embed(&case).0;
    case.kind = Some(kind);
    let learned = Learned::of(cx, kind, domain(&args.query))?;
    learned.teach(&mut case);
    let n_options = case.options.len().max(options_of(&case.question).len());
    let found = decide(&case);
    let shape = Shape::of(kind, n_options);
    let unknown = ability(synod_council::PRIOR_MEAN, shape.sigma);
    let votes: Vec<Option<(f64, usize)>> = (case.votes.iter().enumerate())
        .map(|(at, vote)| {
            let group = found.groups.iter().position(|g| g.votes.contains(&at))?;
            Some((vote.known.map_or(unknown, |k| k.0), group))
        })
        .collect();
    if kind == Kind::Long {
        // Claims have no posterior: three of whom two decide alike are enough.
        let answered = votes.iter().flatten().count();
        let alike = found.groups.first().map_or(0, |g| g.votes.len());
        let why = (answered >= 3 && alike * 3 >= answered * 2 && enough < 0.9)
            .then(|| format!("{alike} of {answered} say the same"));
        return Ok(why);
    }
    let left: Vec<f64> =
        left.iter().map(|id| learned.model(id).map_or(unknown, |known| known.0)).collect();
    if left.is_empty() || !stop(&votes, &left, shape, enough) {
        return Ok(None);
    }
    let raw = (found.raw * 100.0).round() / 100.0;
    Ok(Some(match found.raw >= enough {
        true => format!("the posterior is {raw}"),
        false => format!("nobody left could change the answer (posterior {raw})"),
    }))
}

fn case(args: &Args, seats: &[Seat]) -> Case {
    let vote = |seat: &Seat| Vote {
        model: seat.reply.model.clone(),
        vendor: seat.vendor.clone(),
        family: seat.family.clone(),
        text: seat.text.clone().unwrap_or_default(),
        answer: None,
        failed: seat.text.is_none(),
        known: None,
    };
    // Answers come in any order; the verdict must not depend on it.
    let mut votes: Vec<Vote> = seats.iter().map(vote).collect();
    votes.sort_by(|a, b| a.model.cmp(&b.model));
    Case {
        question: args.query.clone(),
        kind: args.kind.map(Into::into),
        options: args.options.clone(),
        votes,
        calibration: Calibration::Table,
        meaning: None,
        risk: None,
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
        let parsed: Result<Left, _> = serde_json::from_str(&job.args);
        let Ok(Left { args, account }) = parsed else {
            let text = "its arguments cannot be read";
            cx.store.end_job(&job.id, JobState::Failed, text, (cx.now_ms)())?;
            continue;
        };
        let late = (cx.now_ms)() - job.made_ms > COUNCIL_MAX.as_millis() as i64;
        let plan = match Plan::new(cx, &args) {
            Ok(plan) if !late => plan,
            planned => {
                let why = planned.map_or_else(
                    |error| error.to_string(),
                    |_| "its process was gone for too long; ask again".to_owned(),
                );
                cx.store.end_job(&job.id, JobState::Failed, &why, (cx.now_ms)())?;
                continue;
            }
        };
        begun.push(job.id.clone());
        tokio::spawn(drive(cx.clone(), job.id, account, args, plan, Arc::default()));
    }
    Ok(begun)
}
