//! `job`: what runs longer than a call: leaving it, where it is, what came of it, and what a person
//! does with it.

use crate::ingest::Ingest;
use crate::reply::{Currency, JobReply};
use crate::{COUNCIL_JOB, Call, Context, Effect, Error, Operation, Route, Work};
use crate::{once, orchestrate, round};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use synod_store::{Action, JobState, Scope};

pub struct Job;

/// Jobs of one list.
const LISTED_MAX: usize = 50;
/// Characters of what a person adds.
const TEXT_CHARS_MAX: usize = 20_000;

/// See and steer what runs longer than a call: `submit` leaves a council or an `ingest` and returns
/// at once, `result` has what came of it, `act` is a person's word on a council that waits for one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    #[serde(default)]
    op: Op,
    /// All but list and submit: which job.
    id: Option<String>,
    /// submit.
    kind: Option<JobKind>,
    /// submit, modify: the arguments of that tool.
    input: Option<Map<String, Value>>,
    /// act.
    action: Option<ActionName>,
    /// provide: context that was missing.
    text: Option<String>,
    /// submit: 1 (first) to 5.
    priority: Option<u8>,
    /// submit: a webhook of `council.webhooks` that is told of changes.
    notify: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    #[default]
    List,
    Status,
    Result,
    Submit,
    Act,
    Cancel,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum JobKind {
    Orchestrate,
    Ingest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ActionName {
    Approve,
    #[serde(alias = "provide_context")]
    Provide,
    Modify,
    Retry,
    Cancel,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// The one job that was asked for, left or acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// Of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// That one, or the list: open ones first, then the latest.
    jobs: Vec<JobReply>,
    /// result: of a council as `orchestrate` replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    result: Option<Value>,
    #[serde(flatten)]
    currency: Currency,
}

impl Operation for Job {
    const NAME: &'static str = "job";
    const TITLE: &'static str = "Jobs";
    const EFFECT: Effect = Effect::Spend;
    const READS: bool = true;
    const SCOPE: Scope = Scope::WriteJobs;
    const WORK: Work = Work::Wait;
    const IDEMPOTENT: bool = false;
    const ROUTES: &'static [Route] = &[
        Route::get("/v1/jobs").saying(&[("op", "list")]),
        Route::post("/v1/jobs", 202).saying(&[("op", "submit")]),
        Route::get("/v1/jobs/{id}").saying(&[("op", "status")]),
        Route::get("/v1/jobs/{id}/result").saying(&[("op", "result")]),
        Route::post("/v1/jobs/{id}/actions", 202).saying(&[("op", "act")]),
        Route::delete("/v1/jobs/{id}").saying(&[("op", "cancel")]),
        Route::get("/v1/tasks").saying(&[("op", "list")]),
        Route::post("/v1/tasks", 202).saying(&[("op", "submit")]),
        Route::get("/v1/tasks/{id}").saying(&[("op", "status")]),
        Route::get("/v1/tasks/{id}/result").saying(&[("op", "result")]),
        Route::post("/v1/tasks/{id}/actions", 202).saying(&[("op", "act")]),
        Route::delete("/v1/tasks/{id}").saying(&[("op", "cancel")]),
    ];
    type Args = Args;
    type Reply = Reply;

    fn needs(args: &Value) -> (Scope, Effect) {
        match (crate::named_op(args), kind_of(args)) {
            (None | Some("list" | "status" | "result"), _) => (Scope::ReadJobs, Effect::Read),
            (Some("submit"), "ingest") => (Scope::WriteContext, Effect::Write),
            (Some("submit"), "orchestrate") | (Some("act"), _) => (Scope::LlmInvoke, Effect::Spend),
            // Written in another way than as a plain name: it must not pass for less than it is.
            (Some("submit"), _) if !plain(args) => (Scope::Admin, Effect::Spend),
            // No kind, or one that there is not, begins nothing: the refusal says which there are,
            // to whoever may see jobs.
            (Some("submit"), _) => (Scope::ReadJobs, Effect::Write),
            _ => (Scope::WriteJobs, Effect::Write),
        }
    }

    /// What is left as a job is a call of its tool.
    fn through(args: &Value) -> Option<&'static str> {
        match (crate::named_op(args), kind_of(args)) {
            (Some("submit"), "ingest") => Some("ingest"),
            (Some("submit" | "act"), _) => Some("orchestrate"),
            _ => None,
        }
    }

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let (id, op) = (args.id.as_deref(), args.op);
        let (mut result, mut job) = (None, None);
        let jobs = match op {
            Op::List => {
                let mut jobs = cx.store.jobs_of(&call.account, LISTED_MAX, None)?;
                if !call.account.is_empty() {
                    jobs.extend(cx.store.jobs_of("", LISTED_MAX, None)?);
                }
                jobs.retain(|job| visible(job, call));
                jobs.sort_by_key(|job| (job.state.ended(), std::cmp::Reverse(job.changed_ms)));
                jobs.truncate(LISTED_MAX);
                jobs
            }
            Op::Status => vec![found(cx, id, call)?],
            Op::Result => {
                let found = found(cx, id, call)?;
                result = Some(outcome(cx, &found, call)?);
                vec![found]
            }
            Op::Submit => vec![submit(cx, args, call).await?],
            Op::Act => vec![act(cx, args, call)?],
            Op::Cancel => {
                let found = found(cx, id, call)?;
                // What has ended stays as it ended.
                let why = "cancelled by a caller";
                cx.store.end_job(&found.id, JobState::Cancelled, why, (cx.now_ms)())?;
                vec![self::found(cx, Some(&found.id), call)?]
            }
        };
        let currency =
            Currency::new(&cx.index, cx.index.freshness(), cx.index.generation()?, Vec::new());
        let mut state = None;
        if let (false, [one]) = (op == Op::List, &jobs[..]) {
            (job, state) = (Some(one.id.clone()), Some(one.state.name().to_owned()));
        }
        let jobs = jobs.into_iter().map(JobReply::from).collect();
        Ok(Reply { job, state, jobs, result, currency })
    }

    fn render(reply: &Reply) -> String {
        if reply.jobs.is_empty() {
            return "There is no job.\n".to_owned();
        }
        let mut out: String = reply.jobs.iter().map(JobReply::render).collect();
        if let Some(result) = &reply.result {
            out.push_str(&format!("\n{result}\n"));
        }
        out
    }
}

/// The kind that unchecked arguments name; empty for what is no plain name.
fn kind_of(args: &Value) -> &str {
    args.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the kind is a plain name, or none is given.
fn plain(args: &Value) -> bool {
    matches!(args.get("kind"), None | Some(Value::Null | Value::String(_)))
}

/// Indexing is everybody's matter, a council its owner's.
fn visible(job: &synod_store::Job, call: &Call) -> bool {
    job.owner == call.account || job.kind != COUNCIL_JOB && job.owner.is_empty()
}

fn found(cx: &Context, id: Option<&str>, call: &Call) -> Result<synod_store::Job, Error> {
    let id = id.ok_or_else(|| Error::Args("job: give the `id` of a job".to_owned()))?;
    let missing = || Error::Missing(format!("job: no job `{id}`; `op` = `list` shows them"));
    cx.store.job(id)?.filter(|job| visible(job, call)).ok_or_else(missing)
}

/// What came of a job.
fn outcome(cx: &Context, job: &synod_store::Job, call: &Call) -> Result<Value, Error> {
    if job.kind == COUNCIL_JOB {
        return Ok(serde_json::to_value(round::look(cx, &job.id, &call.account)?)?);
    }
    let text = job.result.clone().unwrap_or_default();
    Ok(match (job.state, serde_json::from_str(&text)) {
        (_, Ok(Value::Object(map))) => Value::Object(map),
        (state, _) => json!({ "state": state.name(), "text": text }),
    })
}

/// Leaves a job and gives it as it is then.
async fn submit(cx: &Context, args: Args, call: &Call) -> Result<synod_store::Job, Error> {
    let refuse = |text: String| Err(Error::Args(format!("job: {text}")));
    let priority = args.priority.unwrap_or(crate::PRIORITY);
    if !(1..=5).contains(&priority) {
        return refuse(format!("`priority` is {priority}; give 1 to 5"));
    }
    let Some(kind) = args.kind else {
        return refuse("`submit` wants a `kind`: `orchestrate` or `ingest`".to_owned());
    };
    let input = Value::Object(args.input.unwrap_or_default());
    let webhook = args.notify.as_deref().map(|url| allowed(cx, url)).transpose()?;
    let call = Call {
        key: call.key.clone(),
        account: call.account.clone(),
        correlation: call.correlation.clone(),
        priority,
        webhook,
        ..Call::silent()
    };
    let id = match kind {
        JobKind::Orchestrate => {
            let input = crate::schema::parse("orchestrate", input)?;
            // The work goes on without anybody who waits.
            orchestrate::begin(cx, input, &call)?.0
        }
        JobKind::Ingest if call.webhook.is_some() => {
            return refuse("only `orchestrate` takes `notify`".to_owned());
        }
        JobKind::Ingest => {
            let mut input = input;
            input["wait"] = Value::Bool(false);
            let input = crate::schema::parse("ingest", input)?;
            let reply = serde_json::to_value(Ingest::run(cx, input, &call).await?)?;
            let job = reply["job"].as_str().map(str::to_owned);
            job.ok_or_else(|| Error::Args("job: nothing was left to do".to_owned()))?
        }
    };
    found(cx, Some(&id), &call)
}

/// A webhook that the operator allows.
fn allowed(cx: &Context, url: &str) -> Result<String, Error> {
    let begins = |known: &String| known == url || known.ends_with('/') && url.starts_with(known);
    let council = cx.council.get();
    let places = &council.webhooks;
    // No way out of an allowed folder, however it is written.
    let leaves = ["..", "\\", "%2e", "%5c"].iter().any(|way| url.to_lowercase().contains(way));
    // Parsers drop what nobody sees.
    let leaves = leaves || url.contains(|c: char| c.is_whitespace() || c.is_control());
    if places.iter().any(begins) && !leaves {
        return Ok(url.to_owned());
    }
    Err(Error::Refused(
        "job: the webhook is not allowed; the operator adds its URL to `council.webhooks` in \
         synod.toml, and sets the variable that `council.webhook_secret_env` names"
            .to_owned(),
    ))
}

/// A person's word on a council, which counts once under the key of the call.
fn act(cx: &Context, args: Args, call: &Call) -> Result<synod_store::Job, Error> {
    let Args { id, action, text, input, .. } = &args;
    let action = action.map(|action| format!("{action:?}"));
    let request = json!({ "id": id, "action": action, "text": text, "input": input });
    // Before anything is looked at: the same word fits no job that has heard it.
    let once = match once::begin::<String>(cx, call, "job", &crate::request(&request))? {
        once::Begun::Known(id) => return found(cx, Some(&id), call),
        once::Begun::New(once) => once,
    };
    let acted = carried_out(cx, args, call)?;
    once.keep(&acted.id)?;
    Ok(acted)
}

fn carried_out(cx: &Context, args: Args, call: &Call) -> Result<synod_store::Job, Error> {
    let job = found(cx, args.id.as_deref(), call)?;
    let refuse = |text: &str| Err(Error::Args(format!("job: {text}")));
    if job.kind != COUNCIL_JOB {
        return refuse("a person's word is for councils; `cancel` stops this job");
    }
    let action = match (args.action, args.text, args.input) {
        (None, ..) => return refuse("`act` wants an `action`"),
        (Some(ActionName::Approve), ..) => Action::Approve,
        (Some(ActionName::Provide), Some(text), _) => {
            if text.chars().count() > TEXT_CHARS_MAX {
                return refuse("`text` is over 20,000 characters; shorten it");
            }
            crate::safety::before(cx, call, "job", &text)?;
            round::room_for(&job, &text)?;
            Action::Provide(text)
        }
        (Some(ActionName::Provide), ..) => return refuse("`provide` wants a `text`"),
        (Some(ActionName::Modify), _, Some(input)) => {
            Action::Modify(orchestrate::changed(cx, call, Value::Object(input))?)
        }
        (Some(ActionName::Modify), ..) => return refuse("`modify` wants an `input`"),
        (Some(ActionName::Retry), ..) => Action::Retry,
        (Some(ActionName::Cancel), ..) => Action::Cancel,
    };
    let missing = || Error::Missing(format!("job: no job `{}`; `op` = `list` shows them", job.id));
    let acted = cx.store.act(&job.id, &call.account, &action, (cx.now_ms)())?;
    let acted = acted.ok_or_else(missing)?;
    if acted.state == JobState::Pending {
        round::go_on(cx, &acted.id)?;
    }
    found(cx, Some(&acted.id), call)
}
