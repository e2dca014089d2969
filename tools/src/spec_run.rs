//! `spec_run`: the steps that the project's scripts do, natively, and the Spec-Kit CLI for what
//! needs it, behind an allow-list.

use crate::once::{self, Begun};
use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use synod_guard::{Mode, Stage};
use synod_speckit::{
    Class, Invocation, Limits, Program, Project, Required, check_prerequisites, find_program,
    invocation, paths, resolve_template, run, setup_plan, setup_tasks,
};
use synod_store::Scope;

pub struct SpecRun;

/// Time of one run, in milliseconds.
const TIME_MS: u64 = 60_000;
/// The same where a runner gets the CLI first.
const FETCHED_TIME_MS: u64 = 240_000;
/// Between two times that the caller hears that it still runs.
const TOLD: std::time::Duration = std::time::Duration::from_secs(1);
/// Versions of the CLI that may change a project begin with this.
const KNOWN_MAJOR: &str = "1";
/// Files that are looked at before and after a run.
const FILES_MAX: usize = 20_000;
/// Artifacts that a reply names.
const ARTIFACTS_MAX: usize = 100;
/// Bytes of one text of a reply: an artifact's in a dry run, what a program prints.
const TEXT_BYTES_MAX: usize = 24_000;

/// Run a step of Spec-Kit: plan, tasks (set up from templates), prerequisites, paths, template;
/// through its CLI, if installed: init, version, check, integration, extension, preset.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    project: Option<String>,
    /// As `plan` or `extension add`.
    command: String,
    #[serde(default)]
    args: Vec<String>,
    feature: Option<String>,
    #[serde(default, alias = "dryRun")]
    dry_run: bool,
    #[serde(default)]
    any_branch: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct ArtifactReply {
    path: String,
    /// new, changed, gone, or would be written.
    state: String,
    /// Of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    command: String,
    /// succeeded, failed, timed_out or dry_run.
    status: String,
    /// What the script would print, or the CLI printed as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    result: Option<Value>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    stdout: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    stderr: String,
    /// path, state, text.
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    artifacts: Vec<ArtifactReply>,
    /// Of the CLI: what was, or would be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    argv: Vec<String>,
    took_ms: u64,
}

impl Operation for SpecRun {
    const NAME: &'static str = "spec_run";
    const TITLE: &'static str = "Run a step of Spec-Kit";
    const EFFECT: Effect = Effect::Write;
    const SCOPE: Scope = Scope::SpecWrite;
    const WORK: Work = Work::Wait;
    const IDEMPOTENT: bool = false;
    /// The reply is kept where the work is done, which goes on when the caller has gone.
    const ONCE: bool = false;
    const DESTRUCTIVE: bool = true;
    const ROUTES: &'static [Route] = &[Route::post("/v1/spec-kit/run", 200)];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let once = match cx.read_only {
            true => None,
            false => match once::begin(cx, call, Self::NAME, &serde_json::to_string(&args)?)? {
                Begun::Known(reply) => return Ok(reply),
                Begun::New(once) => Some(once),
            },
        };
        (call.progress)(0.0, None, format!("{} begins", args.command));
        let (cx, command) = (cx.clone(), args.command.clone());
        let (for_count, start) = (cx.clone(), std::time::Instant::now());
        let work = move || -> Result<Reply, Error> {
            let reply = step(&cx, &args)?;
            once.map_or(Ok(()), |once| once.keep(&reply))?;
            Ok(reply)
        };
        let mut done = std::pin::pin!(crate::round::computed(work));
        let mut tick = tokio::time::interval(TOLD);
        tick.tick().await;
        let done = loop {
            tokio::select! {
                done = &mut done => break done,
                _ = tick.tick() => {
                    let s = start.elapsed().as_secs();
                    (call.progress)(s as f64, None, format!("{command} has run for {s} s"));
                }
            }
        };
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let failed = done
            .as_ref()
            .map_or(true, |reply| !matches!(reply.status.as_str(), "succeeded" | "dry_run"));
        // Only names that there are: a counter for each wrong word would never end.
        let name = done.as_ref().map_or("refused", |reply| reply.command.as_str());
        for_count.specs.count(name, failed, ms);
        let s = start.elapsed().as_secs() + 1;
        (call.progress)(s as f64, None, format!("{command} ended"));
        done
    }

    fn render(reply: &Reply) -> String {
        let mut out = format!("`{}`: {} ({} ms)\n", reply.command, reply.status, reply.took_ms);
        if let Some(result) = &reply.result {
            out.push_str(&format!("{result:#}\n"));
        }
        for artifact in &reply.artifacts {
            out.push_str(&format!("- {} {}\n", artifact.state, artifact.path));
            if let Some(text) = &artifact.text {
                let fence = crate::reply::fence(text);
                out.push_str(&format!("{fence}\n{}\n{fence}\n", text.trim_end()));
            }
        }
        for (name, text) in [("stdout", &reply.stdout), ("stderr", &reply.stderr)] {
            if !text.is_empty() {
                out.push_str(&format!("\n{name}:\n{text}\n"));
            }
        }
        out
    }
}

/// A step, native or through the CLI.
fn step(cx: &Context, args: &Args) -> Result<Reply, Error> {
    let start = std::time::Instant::now();
    let command = args.command.split_whitespace().collect::<Vec<_>>().join(" ");
    let native = ["plan", "tasks", "prerequisites", "paths", "template"];
    let mut reply = if native.contains(&command.as_str()) {
        let project = spec::project(cx, SpecRun::NAME, args.project.as_deref())?;
        scripted(cx, &project, args, &command)?
    } else {
        through_cli(cx, args, &command)?
    };
    reply.took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(reply)
}

fn bare(command: &str, status: &str) -> Reply {
    Reply {
        command: command.to_owned(),
        status: status.to_owned(),
        result: None,
        stdout: String::new(),
        stderr: String::new(),
        artifacts: Vec::new(),
        argv: Vec::new(),
        took_ms: 0,
    }
}

/// What would be written.
fn would(path: String, text: &str) -> ArtifactReply {
    let text = Some(crate::reply::head(text, TEXT_BYTES_MAX).to_owned());
    ArtifactReply { path, state: "would be written".to_owned(), text }
}

/// What the project's scripts do.
fn scripted(cx: &Context, project: &Project, args: &Args, command: &str) -> Result<Reply, Error> {
    let fail = |error| spec::fault(SpecRun::NAME, error);
    let status = if args.dry_run { "dry_run" } else { "succeeded" };
    let mut reply = bare(command, status);
    if command == "template" {
        let name = args.args.first().ok_or_else(|| {
            Error::Args("spec_run: `template` wants its name as the first of `args`".to_owned())
        })?;
        let found = resolve_template(project, name).map_err(fail)?;
        reply.result = Some(bounded(serde_json::to_value(found)?));
        return Ok(reply);
    }
    let feature = spec::feature(SpecRun::NAME, project, args.feature.as_deref())?;
    match command {
        "plan" => {
            if !args.dry_run && !args.any_branch {
                spec::on_a_branch(SpecRun::NAME, project)?;
            }
            let _taken = match args.dry_run {
                true => None,
                false => Some(spec::take(cx, SpecRun::NAME, &project.root)?),
            };
            let done = setup_plan(project, &feature, args.dry_run).map_err(fail)?;
            let path = format!("{}/plan.md", feature.path);
            if let Some(text) = &done.text {
                reply.artifacts.push(match args.dry_run {
                    true => would(path, text),
                    false => ArtifactReply { path, state: "new".to_owned(), text: None },
                });
            }
            reply.result = Some(serde_json::to_value(done.json)?);
        }
        "tasks" => {
            let done = setup_tasks(project, &feature).map_err(fail)?;
            let path = format!("{}/tasks.md", feature.path);
            // The script writes nothing: an agent fills the template in.
            if args.dry_run {
                reply.artifacts.push(would(path, &done.tasks_template_content));
            }
            reply.result = Some(bounded(serde_json::to_value(done)?));
        }
        "prerequisites" => {
            const FLAGS: [&str; 3] = ["--require-spec", "--require-tasks", "--include-tasks"];
            if let Some(odd) = args.args.iter().find(|arg| !FLAGS.contains(&arg.as_str())) {
                let flags = FLAGS.join(", ");
                let text = format!("spec_run: `prerequisites` has no `{odd}`; it has {flags}");
                return Err(Error::Args(text));
            }
            let has = |flag: &str| args.args.iter().any(|arg| arg == flag);
            let required = Required {
                spec: has("--require-spec"),
                tasks: has("--require-tasks"),
                include_tasks: has("--include-tasks"),
                template: None,
            };
            let done = check_prerequisites(project, &feature, &required).map_err(fail)?;
            reply.result = Some(serde_json::to_value(done)?);
        }
        _ => reply.result = Some(serde_json::to_value(paths(project, &feature))?),
    }
    Ok(reply)
}

/// Texts within the bounds of a reply.
fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => {
            let head = crate::reply::head(&text, TEXT_BYTES_MAX);
            format!("{head}\n[… {} more bytes]", text.len() - head.len()).into()
        }
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, bounded(value))).collect(),
        other => other,
    }
}

/// Where the CLI runs: in the project, or, for what needs none, in a folder of a source.
fn folder(
    cx: &Context,
    args: &Args,
    init: bool,
    bare: bool,
) -> Result<(PathBuf, Option<Project>), Error> {
    spec::enabled(cx, SpecRun::NAME)?;
    if init {
        // That very folder, whatever project is around it or in it.
        let folder = spec::folder(cx, SpecRun::NAME, args.project.as_deref())?;
        let project = Project::open(&folder).ok();
        return Ok((folder, project));
    }
    match spec::project(cx, SpecRun::NAME, args.project.as_deref()) {
        Ok(project) => Ok((project.root.clone(), Some(project))),
        Err(error) if !bare => Err(error),
        Err(_) => Ok((spec::folder(cx, SpecRun::NAME, args.project.as_deref())?, None)),
    }
}

/// What a program prints for people, without the pictures of it.
fn plain(text: &str) -> String {
    let lines = text.lines().filter(|line| line.chars().any(char::is_alphanumeric));
    // A line in the middle of a wide screen.
    let lines = lines.map(|line| if line.starts_with("        ") { line.trim() } else { line });
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The CLI, if the command is on its list.
fn through_cli(cx: &Context, args: &Args, command: &str) -> Result<Reply, Error> {
    let fail = |error| spec::fault(SpecRun::NAME, error);
    let mut words: Vec<&str> = args.args.iter().map(String::as_str).collect();
    let mut call = invocation(command, &words).map_err(fail)?;
    let init = call.allowed.name == "init";
    if init
        && let Some(integration) = &cx.specs.settings.integration
        && !words.iter().any(|word| word.starts_with("--integration"))
    {
        words.extend(["--integration", integration]);
        call = invocation(command, &words).map_err(fail)?;
    }
    let command = call.allowed.name;
    let writes = call.allowed.class == Class::Write;
    let (root, project) = folder(cx, args, init, !writes)?;
    let settings = &cx.specs.settings;
    let found = find_program(settings.program.as_deref(), settings.path.as_deref(), settings.fetch);
    if args.dry_run {
        let mut reply = bare(command, "dry_run");
        // What would be run is worth knowing where there is nothing to run it.
        reply.argv = found.map_or_else(|_| call.argv.clone(), |program| argv(&program, &call));
        return Ok(reply);
    }
    if let Some(project) = project.as_ref().filter(|_| writes && !args.any_branch) {
        spec::on_a_branch(SpecRun::NAME, project)?;
    }
    let program = found.map_err(fail)?;
    let _taken = match writes {
        true => Some(spec::take(cx, SpecRun::NAME, &root)?),
        false => None,
    };
    let _room = spec::room(cx, SpecRun::NAME)?;
    let time_ms = if program.before.is_empty() { TIME_MS } else { FETCHED_TIME_MS };
    let limits = Limits { time_ms, output_bytes: TEXT_BYTES_MAX };
    if writes {
        known_version(&program, &root, &limits)?;
    }
    let before = if writes { seen(&root) } else { None };
    let done = run(&program, &call, &root, &root, &limits).map_err(fail)?;
    let mut reply = bare(
        command,
        match (done.timed_out, done.status) {
            (true, _) => "timed_out",
            (false, Some(0)) => "succeeded",
            _ => "failed",
        },
    );
    // What a program prints may hold what must not be passed on.
    let guard = cx.guard.get();
    let clean = |text: &str| guard.redact(text, Stage::After, Mode::Enforcing).0;
    let (out, err) = (clean(&done.stdout.text), clean(&done.stderr.text));
    match serde_json::from_str::<Map<String, Value>>(&out) {
        Ok(map) => reply.result = Some(Value::Object(map)),
        Err(_) => reply.stdout = noted(plain(&out), done.stdout.cut),
    }
    reply.stderr = noted(plain(&err), done.stderr.cut);
    reply.argv = argv(&program, &call);
    if writes {
        cx.specs.forget();
        match (before, seen(&root)) {
            (Some(before), Some(after)) => reply.artifacts = differences(&before, &after),
            _ => reply.stderr.push_str("\n[too many files to say which of them changed]"),
        }
    }
    Ok(reply)
}

/// The program's name and all that it is given.
fn argv(program: &Program, call: &Invocation) -> Vec<String> {
    let name = program.file.file_name().unwrap_or(program.file.as_os_str());
    let name = name.to_string_lossy().into_owned();
    let before = program.before.iter().map(|word| (*word).to_owned());
    std::iter::once(name).chain(before).chain(call.argv.iter().cloned()).collect()
}

/// Refuses to change a project by a CLI whose version is not known: what it would do is not known
/// either.
fn known_version(program: &Program, root: &Path, limits: &Limits) -> Result<(), Error> {
    let fail = |error| spec::fault(SpecRun::NAME, error);
    let call = invocation("version", &["--json"]).map_err(fail)?;
    let said = run(program, &call, root, root, limits).map_err(fail)?.stdout.text;
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    let version = said["cli_version"].as_str().unwrap_or("unknown");
    if version.split('.').next() == Some(KNOWN_MAJOR) {
        return Ok(());
    }
    let shown: String = version.chars().take(40).collect();
    Err(Error::Refused(format!(
        "spec_run: the Spec-Kit CLI here has the version `{shown}`, and only {KNOWN_MAJOR}.x is \
         known to change projects as described; install `specify-cli` {KNOWN_MAJOR}.x, or update \
         synod"
    )))
}

fn noted(text: String, cut: u64) -> String {
    if cut == 0 { text } else { format!("{text}\n[… {cut} more bytes]") }
}

type Seen = BTreeMap<String, (u64, Option<SystemTime>)>;

/// Files of a project by path, with size and time; those of other programs are left out. Nothing
/// where there are too many.
fn seen(root: &Path) -> Option<Seen> {
    let mut out = Seen::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let skipped = matches!(
                name.to_str(),
                Some(".git" | "node_modules" | "target" | ".venv" | "dist" | "build")
            );
            let (Ok(kind), path) = (entry.file_type(), entry.path()) else { continue };
            if kind.is_dir() && !skipped {
                open.push(path);
            } else if kind.is_file() && out.len() >= FILES_MAX {
                return None;
            } else if kind.is_file()
                && let (Ok(meta), Ok(short)) = (entry.metadata(), path.strip_prefix(root))
            {
                out.insert(short.display().to_string(), (meta.len(), meta.modified().ok()));
            }
        }
    }
    Some(out)
}

fn differences(before: &Seen, after: &Seen) -> Vec<ArtifactReply> {
    let new = after.iter().filter_map(|(path, now)| match before.get(path) {
        None => Some((path, "new")),
        Some(then) if then != now => Some((path, "changed")),
        Some(_) => None,
    });
    let gone = before.keys().filter(|path| !after.contains_key(*path)).map(|path| (path, "gone"));
    let all = new.chain(gone).take(ARTIFACTS_MAX);
    let reply = |(path, state): (&String, &str)| {
        let (path, state) = (path.clone(), state.to_owned());
        ArtifactReply { path, state, text: None }
    };
    all.map(reply).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_came_changed_and_went_are_named() {
        let at = |n: u64| (n, None);
        let before = Seen::from([("a".to_owned(), at(1)), ("b".to_owned(), at(1))]);
        let after = Seen::from([("b".to_owned(), at(2)), ("c".to_owned(), at(1))]);
        let found: Vec<(String, String)> =
            differences(&before, &after).into_iter().map(|one| (one.path, one.state)).collect();
        let named = |path: &str, state: &str| (path.to_owned(), state.to_owned());
        assert_eq!(found, [named("b", "changed"), named("c", "new"), named("a", "gone")]);
    }
}
