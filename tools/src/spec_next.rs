//! `spec_next`: what to do next in a feature.

use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_speckit::{NextTask, PARALLEL_MAX, next};
use synod_store::Scope;

pub struct SpecNext;

/// Next task of a feature, by phase and dependencies, with the `[P]` tasks that can be done beside
/// it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    project: Option<String>,
    feature: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct TaskReply {
    id: String,
    text: String,
    phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<String>,
    parallel: bool,
    line: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    feature: String,
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    tasks: Vec<TaskReply>,
    why: String,
    tasks_done: usize,
    tasks_total: usize,
    /// Of tasks.md, for the tick that follows.
    hash: String,
}

impl From<NextTask> for TaskReply {
    fn from(task: NextTask) -> Self {
        TaskReply {
            id: task.id,
            text: task.text,
            phase: task.phase,
            story: task.story.map(|n| format!("US{n}")),
            parallel: task.parallel,
            line: task.line,
            files: task.files,
        }
    }
}

impl Operation for SpecNext {
    const NAME: &'static str = "spec_next";
    const TITLE: &'static str = "Next task";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::get("/v1/spec-kit/features/{feature}/next")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _: &Call) -> Result<Reply, Error> {
        let project = spec::project(cx, Self::NAME, args.project.as_deref())?;
        let feature = spec::feature(Self::NAME, &project, args.feature.as_deref())?;
        let most = args.limit.unwrap_or(PARALLEL_MAX).max(1);
        let found = next(&feature, most).map_err(|error| spec::fault(Self::NAME, error))?;
        cx.specs.remember(&feature, [&format!("{}/tasks.md", feature.path)[..]]);
        Ok(Reply {
            feature: feature.name,
            tasks: found.tasks.into_iter().map(TaskReply::from).collect(),
            why: found.why,
            tasks_done: found.done,
            tasks_total: found.total,
            hash: found.hash,
        })
    }

    fn render(reply: &Reply) -> String {
        let mut out = format!(
            "{}: {} of {} tasks done. {}\n",
            reply.feature, reply.tasks_done, reply.tasks_total, reply.why
        );
        for task in &reply.tasks {
            let (id, text, phase) = (&task.id, &task.text, &task.phase);
            out.push_str(&format!("- {id} {text} ({phase}, line {})\n", task.line));
        }
        out.push_str(&format!("\n_hash of tasks.md: {}_\n", reply.hash));
        out
    }
}
