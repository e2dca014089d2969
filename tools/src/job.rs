//! `job`: what runs longer than a call: where it is, and stopping it.

use crate::reply::{Currency, JobReply};
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use synod_store::{JobState, Scope};

pub struct Job;

/// Jobs of one list.
const LISTED_MAX: usize = 50;

/// See and stop what runs longer than a call, such as indexing that `ingest` began: `list` shows
/// running jobs and the last ones that ended, `status` one of them, `cancel` stops one.
///
/// Work that was done before a stop stays done.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// What to do.
    #[serde(default)]
    op: Op,
    /// status, cancel: which job.
    id: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    #[default]
    List,
    Status,
    Cancel,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// The job asked for, or the list: open ones first, then the latest.
    jobs: Vec<JobReply>,
    #[serde(flatten)]
    currency: Currency,
}

impl Operation for Job {
    const NAME: &'static str = "job";
    const TITLE: &'static str = "Jobs";
    const EFFECT: Effect = Effect::Write;
    const READS: bool = true;
    const SCOPE: Scope = Scope::WriteJobs;
    const WORK: Work = Work::Trivial;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[
        Route::get("/v1/jobs").saying(&[("op", "list")]),
        Route::get("/v1/jobs/{id}").saying(&[("op", "status")]),
        Route::delete("/v1/jobs/{id}").saying(&[("op", "cancel")]),
        Route::get("/v1/tasks").saying(&[("op", "list")]),
        Route::get("/v1/tasks/{id}").saying(&[("op", "status")]),
        Route::delete("/v1/tasks/{id}").saying(&[("op", "cancel")]),
    ];
    type Args = Args;
    type Reply = Reply;

    fn needs(args: &Value) -> (Scope, Effect) {
        match crate::named_op(args) {
            None | Some("list" | "status") => (Scope::ReadJobs, Effect::Read),
            _ => (Self::SCOPE, Self::EFFECT),
        }
    }

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let jobs = match args.op {
            Op::List => {
                let mut jobs = cx.store.jobs(LISTED_MAX)?;
                jobs.retain(|job| visible(job, call));
                jobs
            }
            Op::Status => vec![job(cx, args.id.as_deref(), call)?],
            Op::Cancel => {
                let found = job(cx, args.id.as_deref(), call)?;
                // What has ended stays as it ended.
                let why = "cancelled by a caller";
                cx.store.end_job(&found.id, JobState::Cancelled, why, (cx.now_ms)())?;
                vec![job(cx, Some(&found.id), call)?]
            }
        };
        let currency = Currency::new(cx.index.generation()?, cx.index.freshness(), Vec::new());
        Ok(Reply { jobs: jobs.into_iter().map(JobReply::from).collect(), currency })
    }

    fn render(reply: &Reply) -> String {
        if reply.jobs.is_empty() {
            return "There is no job.\n".to_owned();
        }
        reply.jobs.iter().map(JobReply::render).collect()
    }
}

/// Indexing is everybody's matter, a council its owner's.
fn visible(job: &synod_store::Job, call: &Call) -> bool {
    job.owner == call.account || job.kind != crate::COUNCIL_JOB && job.owner.is_empty()
}

fn job(cx: &Context, id: Option<&str>, call: &Call) -> Result<synod_store::Job, Error> {
    let id = id.ok_or_else(|| Error::Args("job: give the `id` of a job".to_owned()))?;
    let missing = || Error::Missing(format!("job: no job `{id}`; `op` = `list` shows them"));
    cx.store.job(id)?.filter(|job| visible(job, call)).ok_or_else(missing)
}
