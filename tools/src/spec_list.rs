//! `spec_list`: the features of a Spec-Kit project with stage and progress.

use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_speckit::Status;
use synod_store::Scope;

pub struct SpecList;

/// Features of one reply.
const LISTED_MAX: usize = 50;

/// Features of a Spec-Kit project: stage, tasks done, what is missing. Use it first for specs,
/// plans and tasks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Source or path inside one, if there are several.
    project: Option<String>,
    /// specify, clarify, plan, tasks, implement or done.
    stage: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct FeatureReply {
    id: String,
    /// Its folder, as other tools take it.
    name: String,
    title: String,
    path: String,
    stage: &'static str,
    tasks_done: usize,
    tasks_total: usize,
    /// Documents that are not there.
    missing: Vec<&'static str>,
    /// Open questions of the spec.
    #[serde(skip_serializing_if = "is_zero")]
    open_questions: usize,
    /// A checklist has open items: implementing waits for them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    checklist_blocked: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    project: String,
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    features: Vec<FeatureReply>,
    /// By the stage that is asked for, all pages together.
    total: usize,
    /// What `.specify/feature.json` points at; shared by all of a checkout, and no argument's
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<Status> for FeatureReply {
    fn from(status: Status) -> Self {
        FeatureReply {
            id: status.id,
            name: status.path.rsplit('/').next().unwrap_or_default().to_owned(),
            title: status.name,
            path: status.path,
            stage: status.stage.name(),
            tasks_done: status.tasks_done,
            tasks_total: status.tasks_total,
            missing: status.missing,
            open_questions: status.markers,
            checklist_blocked: status.checklist_blocked,
            unreadable: status.unreadable,
        }
    }
}

impl Operation for SpecList {
    const NAME: &'static str = "spec_list";
    const TITLE: &'static str = "Features of a project";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::get("/v1/spec-kit/features")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _: &Call) -> Result<Reply, Error> {
        const STAGES: [&str; 6] = ["specify", "clarify", "plan", "tasks", "implement", "done"];
        if let Some(stage) = args.stage.as_deref().filter(|stage| !STAGES.contains(stage)) {
            let stages = STAGES.join(", ");
            let text = format!("spec_list: there is no stage `{stage}`; give one of {stages}");
            return Err(Error::Args(text));
        }
        let project = spec::project(cx, Self::NAME, args.project.as_deref())?;
        let mut all = cx.specs.list(&project).map_err(|error| spec::fault(Self::NAME, error))?;
        all.retain(|status| args.stage.as_ref().is_none_or(|stage| status.stage.name() == stage));
        let total = all.len();
        let first = match &args.cursor {
            None => 0,
            // By path, so that a feature that is gone by now is no fresh start.
            Some(cursor) => all.partition_point(|status| status.path <= *cursor),
        };
        let mut page: Vec<Status> = all.into_iter().skip(first).collect();
        let more = page.len() > LISTED_MAX;
        page.truncate(LISTED_MAX);
        Ok(Reply {
            project: project.root.display().to_string(),
            next_cursor: page.last().filter(|_| more).map(|status| status.path.clone()),
            features: page.into_iter().map(FeatureReply::from).collect(),
            total,
            active: project.active.clone(),
        })
    }

    fn render(reply: &Reply) -> String {
        let mut out = String::new();
        for f in &reply.features {
            let progress = match f.tasks_total {
                0 => String::new(),
                total => format!(", {} of {total} tasks", f.tasks_done),
            };
            let missing = match f.missing.is_empty() {
                true => String::new(),
                false => format!(", lacks {}", f.missing.join(", ")),
            };
            let open = match f.open_questions {
                0 => String::new(),
                n => format!(", {n} open questions"),
            };
            let blocked = if f.checklist_blocked { ", checklist open" } else { "" };
            out.push_str(&format!(
                "- {} ({}): {}{progress}{missing}{open}{blocked}\n",
                f.name, f.title, f.stage
            ));
        }
        if out.is_empty() {
            out.push_str("No feature.\n");
        }
        if let Some(cursor) = &reply.next_cursor {
            out.push_str(&format!("_{} in all; more with `cursor` = `{cursor}`_\n", reply.total));
        }
        out
    }
}
