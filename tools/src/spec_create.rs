//! `spec_create`: a new feature from the project's own template, named by the CLI's rules.

use crate::spec_previous::Keeper;
use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;
use synod_speckit::{Limits, NewFeature, Numbering, bounded, create};
use synod_store::Scope;

pub struct SpecCreate;

/// Time that git gets for a branch, in milliseconds.
const BRANCH_MS: u64 = 20_000;

/// Make a feature: folder and spec.md from the project's template. Then write the spec there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    project: Option<String>,
    description: String,
    short_name: Option<String>,
    number: Option<u64>,
    /// Also make a git branch.
    #[serde(default)]
    branch: bool,
    /// Also make it the active one.
    #[serde(default)]
    activate: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    id: String,
    name: String,
    path: String,
    /// That were written, or would be.
    files: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    dry_run: bool,
}

impl Operation for SpecCreate {
    const NAME: &'static str = "spec_create";
    const TITLE: &'static str = "New feature";
    const EFFECT: Effect = Effect::Write;
    const SCOPE: Scope = Scope::SpecWrite;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = false;
    const ROUTES: &'static [Route] = &[Route::post("/v1/spec-kit/features", 201)];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _: &Call) -> Result<Reply, Error> {
        let project = spec::project(cx, Self::NAME, args.project.as_deref())?;
        let stamp = stamp(&synod_index::timestamp((cx.now_ms)()));
        let by_time = project.numbering == Numbering::Timestamp && args.number.is_none();
        let _taken = match args.branch && !args.dry_run {
            true => Some(spec::take(cx, Self::NAME, &project.root)?),
            false => None,
        };
        let keeper = Keeper::new(cx);
        let keep = |path: &Path, text: &[u8]| keeper.keep(path, text);
        let made = create(
            &project,
            &NewFeature {
                description: &args.description,
                short_name: args.short_name.as_deref(),
                number: args.number,
                timestamp: by_time.then_some(stamp.as_str()),
                allow_existing: false,
                activate: args.activate,
                dry_run: args.dry_run,
            },
            &keep,
        );
        let made = made.map_err(|error| keeper.fault(Self::NAME, error))?;
        let mut warnings = made.warnings;
        let branch = match args.branch && !args.dry_run {
            true => match branch(&project.root, &made.name) {
                Ok(()) => Some(made.name.clone()),
                Err(why) => {
                    warnings.push(format!("no branch was made: {why}"));
                    None
                }
            },
            false => None,
        };
        let (id, name, path, files) = (made.id, made.name, made.path, made.files);
        Ok(Reply { id, name, path, files, warnings, branch, dry_run: made.dry_run })
    }

    fn render(reply: &Reply) -> String {
        let would = if reply.dry_run { "Would make" } else { "Made" };
        let mut out = format!("{would} {}: {}\n", reply.path, reply.files.join(", "));
        for warning in &reply.warnings {
            out.push_str(&format!("_{warning}_\n"));
        }
        out
    }
}

/// `2026-01-31T12:00:00Z` as names of features have it.
fn stamp(at: &str) -> String {
    let digits: String = at.chars().filter(char::is_ascii_digit).take(14).collect();
    let (day, time) = digits.split_at(digits.len().min(8));
    format!("{day}-{time}")
}

/// A new branch, with nothing run that the repository brings along.
fn branch(root: &Path, name: &str) -> Result<(), String> {
    let mut git = Command::new("git");
    git.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "switch", "-c"])
        .arg(name)
        .current_dir(root)
        .env("GIT_TERMINAL_PROMPT", "0");
    let limits = Limits { time_ms: BRANCH_MS, output_bytes: 4_000 };
    let done = bounded(git, &limits).map_err(|error| format!("git: {error}"))?;
    match (done.timed_out, done.status) {
        (true, _) => Err(format!("git did not end within {} s", BRANCH_MS / 1_000)),
        (false, Some(0)) => Ok(()),
        _ => {
            let said = done.stderr.text.lines().next().unwrap_or("git refused");
            Err(said.chars().take(200).collect())
        }
    }
}
