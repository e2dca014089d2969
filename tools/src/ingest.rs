//! `ingest`: leaves a request for the process that writes the index.
//!
//! Answers at once with a job; with `wait` it reports progress until the job ends. Whoever writes
//! executes it, be it this process or another one.

use crate::reply::{Currency, indexing_text, shown};
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use synod_store::{JobState, NewJob, Scope, new_id, random};

pub struct Ingest;

/// The kind of job that the writer takes.
pub const INDEX_JOB: &str = "index";

/// Longest content that may be pushed, in bytes.
const CONTENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Time between two looks at a job that is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait, in seconds.
const WAIT_S_MAX: u64 = 600;

/// Change what is indexed: `add` a folder as a source, `push` text under a path, `reindex` a source
/// (or all), `remove` a source from the index. Never changes the user's files.
///
/// Files of known sources are watched and need no call. Returns a job id at once; `wait` waits and
/// reports progress. `dry_run` says what would be done.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestArgs {
    /// What to do.
    #[serde(default)]
    pub op: IngestOp,
    /// add: absolute path of the folder. push: path under which the text is found.
    pub path: Option<String>,
    /// push: the text.
    pub content: Option<String>,
    /// Name of the source.
    pub source: Option<String>,
    /// Wait for the end.
    #[serde(default)]
    pub wait: bool,
    #[serde(default)]
    pub dry_run: bool,
}

/// What `ingest` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IngestOp {
    /// Compare with the disk.
    #[default]
    Reindex,
    /// A new source.
    Add,
    /// Text as a document.
    Push,
    /// A source goes.
    Remove,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// Absent on a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// pending, running, succeeded, failed or cancelled.
    state: String,
    /// What is, was or would be done.
    summary: String,
    #[serde(flatten)]
    currency: Currency,
}

impl Operation for Ingest {
    const NAME: &'static str = "ingest";
    const TITLE: &'static str = "Change what is indexed";
    const EFFECT: Effect = Effect::Write;
    const SCOPE: Scope = Scope::WriteContext;
    const WORK: Work = Work::Wait;
    const IDEMPOTENT: bool = true;
    const ONCE: bool = false;
    const ROUTES: &'static [Route] = &[Route::post("/v1/ingest", 202)];
    type Args = IngestArgs;
    type Reply = Reply;

    /// Bringing the index up to date with its own sources, and a dry run, change nothing that the
    /// reader of the sources could not see.
    fn needs(args: &Value) -> (Scope, Effect) {
        let reindex = matches!(crate::named_op(args), None | Some("reindex"));
        if reindex || args["dry_run"] == Value::Bool(true) {
            return (Scope::ReadContext, Effect::Write);
        }
        (Self::SCOPE, Self::EFFECT)
    }

    async fn run(cx: &Context, args: IngestArgs, call: &Call) -> Result<Reply, Error> {
        // Looks at the disk, which may be slow to answer: not on the thread of the protocol.
        let (with, asked) = (cx.clone(), args.clone());
        let checked = tokio::task::spawn_blocking(move || check(&with, &asked)).await;
        let summary = checked.map_err(|error| Error::Args(format!("ingest: {error}")))??;
        if args.dry_run {
            return reply(cx, None, "dry run".to_owned(), summary);
        }
        let (id, own) = leave(cx, &args, call)?;
        (cx.wake)();
        (call.progress)(0.0, None, "left to the writer".to_owned());
        if !args.wait {
            return reply(cx, Some(id), JobState::Pending.name().to_owned(), summary);
        }
        wait(cx, id, own, call).await
    }

    fn render(reply: &Reply) -> String {
        let job = reply.job.as_ref().map(|j| format!(" (job `{j}`)")).unwrap_or_default();
        format!("{}{job}: {}\n{}", reply.state, reply.summary, reply.currency.render())
    }
}

/// Leaves the request; the same comparison that waits already is not left twice. Says whether the
/// job is this call's own.
fn leave(cx: &Context, args: &IngestArgs, call: &Call) -> Result<(String, bool), Error> {
    let key = call.key.as_deref();
    let text = serde_json::to_string(&IngestArgs { wait: false, ..args.clone() })?;
    if args.op == IngestOp::Reindex
        && key.is_none()
        && let Some(known) = cx.store.waiting(INDEX_JOB, &text)?
    {
        return Ok((known, false));
    }
    let now_ms = (cx.now_ms)();
    let (id, priority) = (new_id("j", now_ms, random()?), call.priority);
    let job = NewJob { id: &id, kind: INDEX_JOB, args: &text, key, priority, now_ms };
    let left = cx.store.leave(&job)?;
    let own = left == id;
    Ok((left, own))
}

/// Refuses what cannot be done before it is left to the writer; says what it would be.
fn check(cx: &Context, args: &IngestArgs) -> Result<String, Error> {
    let sources = cx.index.sources()?;
    let known = |name: &str| {
        if sources.iter().any(|s| s.is_called(name)) {
            return Ok(());
        }
        let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
        Err(Error::Args(format!("ingest: no source `{name}`; there are `{}`", names.join("`, `"))))
    };
    match args.op {
        IngestOp::Reindex => match &args.source {
            Some(name) => {
                known(name)?;
                Ok(format!("compare source `{name}` with the disk"))
            }
            None => Ok(format!("compare {} sources with the disk", sources.len())),
        },
        IngestOp::Add => {
            let path = args.path.as_deref().ok_or_else(|| missing("add", "path"))?;
            cx.index.must_answer(std::path::Path::new(path))?;
            if !(cx.may_add)(path) {
                return Err(Error::Args(format!(
                    "ingest: `{path}` lies below none of `access.add_roots`; the operator adds it \
                     with `synod index FOLDER`, or names a folder above it in that setting"
                )));
            }
            let home = cx.home.as_deref();
            let root = synod_index::jail::source_root(std::path::Path::new(path), home, false)?;
            cx.index.refuse_nested(&root)?;
            Ok(format!("add `{path}` as a source and index it"))
        }
        IngestOp::Push => {
            let path = args.path.as_deref().ok_or_else(|| missing("push", "path"))?;
            let content = args.content.as_deref().ok_or_else(|| missing("push", "content"))?;
            synod_index::jail::check(path)?;
            if content.len() > CONTENT_BYTES_MAX {
                return Err(Error::Args(format!(
                    "ingest: `content` is {} bytes, the most is {CONTENT_BYTES_MAX}; split it",
                    content.len()
                )));
            }
            Ok(format!("index {} bytes as `{path}`", content.len()))
        }
        IngestOp::Remove => {
            let name = args.source.as_deref().ok_or_else(|| missing("remove", "source"))?;
            known(name)?;
            Ok(format!("remove source `{name}` from the index; its files stay"))
        }
    }
}

fn missing(op: &str, name: &str) -> Error {
    Error::Args(format!("ingest: `{op}` needs `{name}`"))
}

/// Waits for the end of a job. Whoever goes away ends the one that it left, and no other, for which
/// somebody else may wait.
async fn wait(cx: &Context, id: String, own: bool, call: &Call) -> Result<Reply, Error> {
    let looks = WAIT_S_MAX * 1000 / LOOK.as_millis() as u64;
    let mut told = 0;
    for _ in 0..looks {
        let Some(job) = cx.store.job(&id)? else { break };
        if job.state.ended() {
            (call.progress)((told + 1) as f64, None, job.state.name().to_owned());
            let summary = job.result.unwrap_or_default();
            return reply(cx, Some(id), job.state.name().to_owned(), summary);
        }
        if (call.cancelled)() {
            if !own {
                let summary = "left to who asked for it first; see `index_status`".to_owned();
                return reply(cx, Some(id), job.state.name().to_owned(), summary);
            }
            cx.store.end_job(&id, JobState::Cancelled, "cancelled by the caller", (cx.now_ms)())?;
        }
        let progress: Value =
            job.progress.and_then(|p| serde_json::from_str(&p).ok()).unwrap_or_default();
        let done = progress["done"].as_u64().unwrap_or(0);
        // Progress must grow from one notification to the next.
        if done > told {
            told = done;
            (call.progress)(done as f64, progress["total"].as_f64(), said(&progress));
        }
        tokio::time::sleep(LOOK).await;
    }
    let summary = format!("still running after {WAIT_S_MAX} s; see `index_status`");
    reply(cx, Some(id), JobState::Running.name().to_owned(), summary)
}

/// How far a run is, in words, with the file in hand.
fn said(run: &Value) -> String {
    let text = indexing_text(run);
    match run["current"].as_str().unwrap_or_default() {
        "" => text,
        current => format!("{text}, {}", shown(current)),
    }
}

fn reply(
    cx: &Context,
    job: Option<String>,
    state: String,
    summary: String,
) -> Result<Reply, Error> {
    let currency =
        Currency::new(&cx.index, cx.index.freshness(), cx.index.generation()?, Vec::new());
    Ok(Reply { job, state, summary, currency })
}
