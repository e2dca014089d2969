//! `synod index`: adds folders and brings the index up to date.

use super::{note, open_index, say};
use crate::beat::{self, Sign};
use crate::cli::{Failure, IndexArgs, Session};
use crate::embedder;
use crate::job::{self, Request};
use crate::now_ms;
use crate::pace::Pace;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use synod_index::{Error, Index, Outcome, Progress, Source, SourceSpec, Updater, Work};
use synod_store::{JobState, NewJob, Store};
use synod_tools::{INDEX_JOB, IngestOp, shown};

/// Runs the command.
pub fn run(session: &Session, args: &IndexArgs) -> Result<ExitCode, Failure> {
    for path in &args.paths {
        synod_index::jail::source_root(path, job::home().as_deref(), args.force)?;
    }
    let index = open_index(session, &session.data)?;
    match Updater::new(Arc::clone(&index), now_ms) {
        Ok(updater) => here(session, args, &index, updater),
        Err(Error::NotWriter) => elsewhere(session, args, &index),
        Err(error) => Err(error.into()),
    }
}

/// This process writes.
fn here(
    session: &Session,
    args: &IndexArgs,
    index: &Index,
    mut updater: Updater,
) -> Result<ExitCode, Failure> {
    updater.mended().iter().for_each(|what| note(&format!("mended: {what}")));
    job::add_configured(&mut updater, &session.loaded.config);
    if let Some(name) = &args.remove {
        let text = remove(name).run(&mut updater, &|_| true, None)?;
        report_text(session, &text);
        return Ok(ExitCode::SUCCESS);
    }
    let mut sources = Vec::new();
    for path in &args.paths {
        sources.push(updater.add_source(path, &spec(args))?);
    }
    if args.paths.is_empty() {
        sources = updater.sources()?;
    }
    if sources.is_empty() {
        return Err("nothing to index yet; name a folder: `synod index FOLDER`".into());
    }
    let mut total = Outcome::default();
    let mut rows = Vec::new();
    for source in &sources {
        let outcome = scan(session, index, &mut updater, source)?;
        rows.push(row(source, &outcome));
        total.changed += outcome.changed;
        total.removed += outcome.removed;
        total.unchanged += outcome.unchanged;
        total.failed += outcome.failed;
        total.generation = outcome.generation;
    }
    beat::end(index);
    if session.common.json {
        say(&format!("{:#}\n", json!({ "sources": rows, "generation": total.generation })));
    }
    if args.wait && !args.lexical_only {
        embed(session, index, &mut updater)?;
    }
    // Others may have left requests while this process held the lock, and wait for them.
    job::drain(&mut updater, &Store::open(&session.data)?)?;
    // A file that could not be read is named by `index_status`; the command says that there is one.
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Embeds everything that is not, where an embedding model is installed.
fn embed(session: &Session, index: &Index, updater: &mut Updater) -> Result<(), Failure> {
    let Some(embedder) = embedder::open(&session.loaded.config.embedding, Some(index))? else {
        note(&embedder::why_none(&session.loaded.config.embedding));
        return Ok(());
    };
    let bar = bar(session.common.json);
    if let Ok(style) = ProgressStyle::with_template("meaning {bar:24} {wide_msg}") {
        bar.set_style(style);
    }
    let mut work = Work::default();
    let mut total = 0;
    loop {
        let coverage = updater.embed(&*embedder, &mut work)?;
        if coverage.waiting == 0 {
            bar.finish_and_clear();
            if coverage.left > 0 {
                note(&format!(
                    "{} passages have no vector: their files cannot be read as they were indexed, \
                     or the model refuses them; `synod index --wait` tries again",
                    coverage.left
                ));
            }
            return Ok(());
        }
        total = total.max(coverage.waiting);
        bar.set_length(total);
        bar.set_position(total - coverage.waiting);
        let left = coverage.waiting as f32 / coverage.rate.max(0.1);
        bar.set_message(format!("{:.0} passages/s, {left:.0} s left", coverage.rate));
    }
}

fn scan(
    session: &Session,
    index: &Index,
    updater: &mut Updater,
    source: &Source,
) -> Result<Outcome, Failure> {
    let bar = bar(session.common.json);
    bar.set_prefix(source.name.clone());
    let pace = Pace::default();
    let report = |progress: &Progress| {
        if let Some(run) = pace.run(progress, Instant::now()) {
            beat::tell(index, run);
        }
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(behind(progress.bytes, &progress.current));
        true
    };
    let start = std::time::Instant::now();
    let outcome = updater.scan(source, &report)?;
    bar.finish_and_clear();
    if !session.common.json {
        let seconds = start.elapsed().as_secs_f64();
        say(&format!("{}: {} ({seconds:.1} s)\n", source.name, job::says(&outcome)));
        if outcome.failed > 0 {
            note("some files could not be read; `synod call index_status` lists them");
        }
    }
    Ok(outcome)
}

fn bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = "{prefix} {bar:24} {pos}/{len} files, {per_sec}, {eta} left {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

/// What stands behind the bar: how much was read, and the file in hand.
fn behind(bytes: u64, current: &str) -> String {
    format!("{:.1} MB, {}", bytes as f64 / 1e6, shown(current))
}

fn spec(args: &IndexArgs) -> SourceSpec {
    let one = args.paths.len() == 1;
    SourceSpec {
        name: args.name.clone().filter(|_| one),
        collection: args.collection.clone(),
        home: job::home(),
        force: args.force,
        apart: !args.force,
        ..SourceSpec::default()
    }
}

fn row(source: &Source, outcome: &Outcome) -> serde_json::Value {
    json!({
        "name": source.name, "path": source.root, "changed": outcome.changed,
        "removed": outcome.removed, "unchanged": outcome.unchanged, "failed": outcome.failed,
    })
}

fn remove(name: &str) -> Request {
    let mut request = Request::new(IngestOp::Remove);
    request.args.source = Some(name.to_owned());
    request
}

/// Another process writes: leave the requests to it and wait for them.
fn elsewhere(session: &Session, args: &IndexArgs, index: &Arc<Index>) -> Result<ExitCode, Failure> {
    let store = Store::open(&session.data)?;
    let mut requests = Vec::new();
    if let Some(name) = &args.remove {
        requests.push(remove(name));
    } else if args.paths.is_empty() {
        requests.push(Request::new(IngestOp::Reindex));
    }
    for path in &args.paths {
        let path = Path::new(path).canonicalize()?.to_string_lossy().into_owned();
        let mut request = Request {
            force: args.force,
            collection: args.collection.clone(),
            ..Request::new(IngestOp::Add)
        };
        request.args.path = Some(path);
        request.args.source = args.name.clone().filter(|_| args.paths.len() == 1);
        requests.push(request);
    }
    let mut failed = false;
    for request in requests {
        let (state, text) = leave(index, &store, &request, session.common.json)?;
        failed |= state != JobState::Succeeded;
        report_text(session, &format!("{}: {text}", state.name()));
    }
    if args.wait && !args.lexical_only {
        embedded_elsewhere(session, index)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whoever writes has said nothing for this long: a person who waits is told.
const SILENT: Duration = Duration::from_secs(5);

/// No passage was embedded for this long: nobody does.
const IDLE: Duration = Duration::from_secs(60);

/// Waits until whoever writes has embedded everything; does it itself when the writer has gone.
fn embedded_elsewhere(session: &Session, index: &Arc<Index>) -> Result<(), Failure> {
    let bar = bar(session.common.json);
    if let Ok(style) = ProgressStyle::with_template("meaning {bar:24} {pos}/{len} passages") {
        bar.set_style(style);
    }
    let Some(embedder) = embedder::open(&session.loaded.config.embedding, Some(index))? else {
        let why = embedder::why_none(&session.loaded.config.embedding);
        note(&format!("{why} here; whoever writes may have a model"));
        return Ok(());
    };
    let (mut total, mut last) = (0, (u64::MAX, Instant::now()));
    loop {
        match Updater::new(Arc::clone(index), now_ms) {
            Ok(mut updater) => return embed(session, index, &mut updater),
            Err(Error::NotWriter) => {}
            Err(error) => return Err(error.into()),
        }
        let waiting = index.waiting(&*embedder)?;
        if waiting == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if waiting < last.0 {
            last = (waiting, Instant::now());
        }
        if last.1.elapsed() > IDLE {
            return Err(format!(
                "{waiting} passages have no vector and the process that writes embeds none of \
                 them; it may be on battery, have another configuration, or be unable to read files"
            )
            .into());
        }
        total = total.max(waiting);
        bar.set_length(total);
        bar.set_position(total - waiting);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Leaves a request to whoever writes and waits for it; its result, or why it failed.
pub fn left(
    index: &Arc<Index>,
    store: &Store,
    request: &Request,
    json: bool,
) -> Result<String, Failure> {
    match leave(index, store, request, json)? {
        (JobState::Succeeded, text) => Ok(text),
        (_, text) => Err(text.into()),
    }
}

fn leave(
    index: &Arc<Index>,
    store: &Store,
    request: &Request,
    json: bool,
) -> Result<(JobState, String), Failure> {
    let id = synod_store::new_id("j", now_ms(), synod_store::random()?);
    let (args, priority) = (request.text()?, synod_tools::PRIORITY);
    let job =
        NewJob { id: &id, kind: INDEX_JOB, args: &args, key: None, priority, now_ms: now_ms() };
    let mut told = false;
    while let Err(error) = store.leave(&job) {
        if !error.is_busy() {
            return Err(error.into());
        }
        // Whoever is stopped while it writes keeps all others from writing.
        if !std::mem::replace(&mut told, true) {
            note(HELD);
        }
    }
    wait(index, store, &id, json)
}

/// What is said when a request cannot even be left.
const HELD: &str = "another process holds the data directory and does not answer: it is stopped, \
    or busy with something long; it is waited for (Ctrl-C ends the waiting)";

/// What is said when nobody does what was left.
const UNANSWERED: &str = "the process that writes this index does not answer: it is stopped, or \
    busy with something long; the request is left to it, and waited for (Ctrl-C ends the waiting)";

/// Waits for whoever writes; does the work itself when the writer has gone.
fn wait(
    index: &Arc<Index>,
    store: &Store,
    id: &str,
    json: bool,
) -> Result<(JobState, String), Failure> {
    let bar = bar(json);
    let (start, mut told) = (Instant::now(), false);
    loop {
        match Updater::new(Arc::clone(index), now_ms) {
            Ok(mut updater) => {
                store.recover_jobs(INDEX_JOB, now_ms())?;
                job::drain(&mut updater, store)?;
            }
            Err(Error::NotWriter) => {}
            Err(error) => return Err(error.into()),
        }
        let job = store.job(id)?.ok_or("the request is gone")?;
        if job.state.ended() {
            bar.finish_and_clear();
            return Ok((job.state, job.result.unwrap_or_default()));
        }
        let progress: serde_json::Value =
            job.progress.and_then(|p| serde_json::from_str(&p).ok()).unwrap_or_default();
        bar.set_length(progress["total"].as_u64().unwrap_or(0));
        bar.set_position(progress["done"].as_u64().unwrap_or(0));
        let (bytes, current) = (progress["bytes"].as_u64(), progress["current"].as_str());
        bar.set_message(behind(bytes.unwrap_or(0), current.unwrap_or_default()));
        let silent = |age: Duration| age > SILENT;
        if !told && silent(start.elapsed()) && Sign::read(index).age.is_none_or(silent) {
            told = true;
            bar.suspend(|| note(UNANSWERED));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn report_text(session: &Session, text: &str) {
    if session.common.json {
        say(&format!("{:#}\n", json!({ "summary": text })));
    } else {
        say(&format!("{text}\n"));
    }
}
