//! `synod call`, `search`, `pack`, `read`: the same tools, through the same door, as the operator.

use super::{note, open_index, say};
use crate::beat::{BEAT_MAX, Sign};
use crate::cli::{Failure, FilterArgs, PackArgs, ReadArgs, SearchArgs, Session};
use crate::dispatch::Caller;
use crate::embedder;
use crate::fault::Fault;
use crate::job;
use crate::now_ms;
use crate::schedule;
use crate::world::World;
use crate::writer;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use synod_index::{Doing, Error, Freshness, Outcome, Updater};
use synod_store::{JobState, Scope};
use synod_tools::{Answer, Call, Context};

/// The command line among the faces, as the ledger names it.
pub const FACE: &str = "cli";

/// Between two looks at a council that is waited for.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for one, which ends by itself before.
const COUNCIL_MAX: Duration = Duration::from_secs(900);

/// What stands beside a tool while it runs.
#[derive(Clone, Copy, PartialEq)]
enum With {
    /// A writer, which does what the tool asks for.
    Writer,
    /// A look at the disk before it.
    Refresh,
    /// Nothing: what is indexed.
    Nothing,
}

/// Runs one tool beside nothing.
pub fn plain(session: &Session, tool: &str, args: Value) -> Result<Answer, Failure> {
    answer(session, tool, args, With::Nothing)
}

/// Runs one tool and returns its answer.
fn answer(session: &Session, tool: &str, args: Value, with: With) -> Result<Answer, Failure> {
    let (waker, pending) = writer::prepare();
    let wake = Arc::new(move || waker.wake());
    let mut config = session.loaded.config.clone();
    // The operator names folders here as with `synod index`.
    config.access.add_roots.push(std::path::MAIN_SEPARATOR_STR.to_owned());
    let world = World::open(&session.data, config, wake)?;
    let stop = Arc::new(AtomicBool::new(false));
    let cx = world.door.context();
    let silent = || Sign::read(&cx.index).age.is_none_or(|age| age > BEAT_MAX);
    if tool == "ingest" && with == With::Writer && silent() {
        // Nobody would do what it leaves.
        cx.index.may_write()?;
    }
    let thread = if with == With::Writer {
        let (index, store) = (Arc::clone(&cx.index), Arc::clone(&cx.store));
        Some(pending.start(index, store, Arc::clone(&world.config), Arc::clone(&stop))?)
    } else {
        if with == With::Refresh {
            refresh(session, &world);
        }
        None
    };
    let asks = ["search", "context_pack", "related", "index_status", "consensus", "orchestrate"];
    let asks = asks.contains(&tool);
    if asks && let Some(why) = embedder::misnamed(&world.config.get().embedding) {
        note(&why);
    }
    if asks
        && let Some(loading) = world.load_model()
        && loading.join().is_err()
    {
        note("the embedding model ended with a panic; words alone are searched");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(called(&world, tool, args));
    stop.store(true, Ordering::Relaxed);
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        note("the writer ended with a panic; `synod doctor` checks the index");
    }
    Ok(result?)
}

/// Calls a tool. A council that is at work past its deadline is waited for: it ends with this
/// process, unless a server takes it up.
async fn called(world: &World, tool: &str, args: Value) -> Result<Answer, Fault> {
    let begins = tool == "orchestrate" && args["job"].is_null();
    let answer = world.door.call(&operator(), tool, args, Call::silent()).await?;
    let job = answer.structured["job"].as_str().unwrap_or_default().to_owned();
    if !begins || answer.structured["state"] != "running" {
        return Ok(answer);
    }
    note(&format!("past its deadline; waiting for the rest of council `{job}`"));
    let until = Instant::now() + COUNCIL_MAX;
    let runs = || -> Result<bool, Fault> {
        let found = world.door.context().store.job(&job)?;
        Ok(found.is_some_and(|found| found.state == JobState::Running))
    };
    while runs()? && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    world.door.call(&operator(), tool, json!({ "job": job }), Call::silent()).await
}

/// Whoever can run this can read and write the files.
fn operator() -> Caller {
    Caller { scopes: Scope::ALL.to_vec(), face: FACE, account: String::new() }
}

/// Asks the engines for what is no tool, through the same door.
pub fn engine<T: Send + 'static>(
    session: &Session,
    request: &'static str,
    work: impl FnOnce(&Context) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Failure> {
    let wake = Arc::new(|| {});
    let world = World::open(&session.data, session.loaded.config.clone(), wake)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(world.door.engine(&operator(), request, work));
    world.flush();
    Ok(result?)
}

/// Looks at the disk before answering, unless a server does so all the time.
fn refresh(session: &Session, world: &World) {
    if session.common.read_only {
        return;
    }
    let index = &world.door.context().index;
    let mut updater = match Updater::new(Arc::clone(index), now_ms) {
        Ok(updater) => updater,
        Err(Error::NotWriter) => {
            // The server watches; its sign of life says how fresh it is.
            schedule::adopt(index);
            let sign = Sign::read(index);
            index.set_freshness(sign.freshness);
            index.set_rate(sign.rate);
            return index.set_doing(sign.doing);
        }
        Err(error @ (Error::NewerReading { .. } | Error::ReadOnly)) => {
            let sign = Sign::read(index);
            index.set_freshness(sign.for_reader());
            return index.set_doing(Doing { reader: Some(error.to_string()), ..sign.doing });
        }
        Err(error) => return note(&format!("synod: the index was not refreshed: {error}")),
    };
    job::add_configured(&mut updater, &session.loaded.config);
    let scanned = updater.sources().and_then(|sources| {
        let outcomes = sources.iter().map(|source| updater.scan(source, &|_| true));
        outcomes.collect::<Result<Vec<Outcome>, Error>>()
    });
    match scanned {
        // A source that is not there fails, as does a file that cannot be read.
        Ok(outcomes) => {
            let fresh = outcomes.iter().all(|outcome| outcome.failed == 0);
            index.set_freshness(Freshness { pending: 0, fresh });
        }
        Err(error) => note(&format!("synod: the index was not refreshed: {error}")),
    }
}

/// Prints what a person reads, or with `--json` what a program does.
pub fn print(session: &Session, answer: &Answer) {
    if session.common.json {
        say(&format!("{:#}\n", answer.structured));
    } else {
        say(&answer.text);
    }
}

/// `synod call TOOL JSON`
pub fn call(
    session: &Session,
    tool: &str,
    args: Option<&str>,
    text: bool,
) -> Result<ExitCode, Failure> {
    let mut args: Value = serde_json::from_str(args.unwrap_or("{}"))
        .map_err(|error| format!("{tool}: the arguments are no JSON: {error}"))?;
    let entry = synod_tools::find(tool);
    let writes = tool != "feedback"
        && entry.is_some_and(|t| (t.needs)(&args).1 == synod_tools::Effect::Write);
    if writes && tool == "ingest" && args["dry_run"] != Value::Bool(true) && args.is_object() {
        // The process ends with the call: a request that it left would wait for another one.
        args["wait"] = true.into();
    }
    let with = if writes { With::Writer } else { With::Refresh };
    let answer = answer(session, tool, args, with)?;
    if text {
        say(&answer.text);
    } else {
        say(&format!("{:#}\n", answer.structured));
    }
    let failed = matches!(answer.structured["state"].as_str(), Some("failed" | "cancelled"));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Puts what may appear into the arguments of a call.
fn narrow(call: &mut Value, filters: FilterArgs) {
    let FilterArgs { source, collection, kind, path, tags } = filters;
    call["tags"] = json!(tags);
    let given = [("source", source), ("collection", collection), ("kind", kind), ("path", path)];
    for (name, value) in given.into_iter().filter(|(_, value)| value.is_some()) {
        call[name] = value.into();
    }
}

/// `synod search`
pub fn search(session: &Session, args: SearchArgs) -> Result<ExitCode, Failure> {
    let mut call = json!({
        "query": args.query.join(" "), "limit": args.limit, "explain": args.explain,
    });
    if let Some(cursor) = args.cursor {
        call["cursor"] = cursor.into();
    }
    narrow(&mut call, args.filters);
    let with = if args.no_refresh { With::Nothing } else { With::Refresh };
    let answer = answer(session, "search", call, with)?;
    print(session, &answer);
    let none = answer.structured["hits"].as_array().is_none_or(Vec::is_empty);
    Ok(if none { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `synod pack`
pub fn pack(session: &Session, args: PackArgs) -> Result<ExitCode, Failure> {
    let mut call = json!({ "id": args.id });
    if args.id.is_none() {
        let query = args.query.join(" ");
        call = json!({ "query": query, "also": args.also, "tokens": args.tokens });
        narrow(&mut call, args.filters);
    }
    let answer = answer(session, "context_pack", call, With::Refresh)?;
    print(session, &answer);
    let none = answer.structured["passages"].as_array().is_none_or(Vec::is_empty);
    Ok(if none { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The absolute path of a file that is named from the current folder and lies in a source; what
/// follows a `#` stays behind it. Anything else is a name like those of all other callers.
fn from_here(session: &Session, name: &str) -> Result<Option<String>, Failure> {
    let (path, anchor) = match name.split_once('#') {
        Some((path, anchor)) if !Path::new(name).is_file() => (path, Some(anchor)),
        _ => (name, None),
    };
    let path = Path::new(path);
    let (Some(file), Some(folder)) = (path.file_name(), path.parent()) else { return Ok(None) };
    if path.is_absolute() || !path.is_file() {
        return Ok(None);
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Of a link the place where it lies comes first, then where it leads.
    let places = [folder.canonicalize()?.join(file), path.canonicalize()?];
    let sources = open_index(session, &session.data)?.sources()?;
    let roots = sources.iter().map(|source| &source.root).filter(|root| !root.is_empty());
    let inside = |place: &&PathBuf| roots.clone().any(|root| place.starts_with(root));
    let found = places.iter().find(inside).and_then(|place| place.to_str());
    Ok(found.map(|place| match anchor {
        Some(anchor) => format!("{place}#{anchor}"),
        None => place.to_owned(),
    }))
}

/// `synod read`
pub fn read(session: &Session, args: ReadArgs) -> Result<ExitCode, Failure> {
    let here = if args.source.is_none() { from_here(session, &args.name)? } else { None };
    let mut call = json!({ "path": here.unwrap_or(args.name), "outline": args.outline });
    if let Some(source) = args.source {
        call["source"] = source.into();
    }
    if let Some(lines) = args.lines {
        let (first, last) = lines.split_once('-').unwrap_or((&lines, &lines));
        let number = |text: &str| {
            text.trim().parse::<u32>().map_err(|_| format!("`--lines {lines}`: write 10-40"))
        };
        call["lines"] = json!([number(first)?, number(last)?]);
    }
    let answer = answer(session, "read", call, With::Refresh)?;
    print(session, &answer);
    Ok(ExitCode::SUCCESS)
}
