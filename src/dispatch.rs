//! The one door: every call of every face passes here.
//!
//! Finds the tool, checks scope and rate, chooses where it runs, sets the deadline of what
//! computes, catches panics and writes one log line, whatever the outcome. Resources and
//! completion, which are no tools, pass it by [`Door::engine`].

use crate::config::{Config, Kept};
use crate::crew::Crew;
use crate::fault::{self, Fault};
use serde_json::Value;
use std::collections::HashMap;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use synod_store::{Entry as LedgerEntry, RESOURCE_BYTES_MAX, Scope, content_hash};
use synod_tools::{Answer, Call, Context, Effect, Entry, TOOLS, Work};
use tokio::sync::Semaphore;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the caller may do.
    pub scopes: Vec<Scope>,
    /// `stdio`, `http`, `sse`, `rest`, `cli`.
    pub face: &'static str,
    /// Whose rate counts: a token's hash, or empty for local callers.
    pub account: String,
}

impl Caller {
    /// Whether a scope is granted.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

impl Caller {
    /// Refuses who could not see the job that it is about to leave.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn watches(&self) -> Result<(), Fault> {
        if self.may(Scope::ReadJobs) { Ok(()) } else { Err(forbidden("job", Scope::ReadJobs)) }
    }
}

/// When the token of whoever keeps something open was last known to count.
#[derive(Clone, Copy, Debug)]
pub struct Known(Instant);

/// How long something stays open while the store does not say whether its token counts.
const KNOWN_MAX: Duration = Duration::from_secs(60);

impl Known {
    /// Of who was let in a moment ago.
    pub fn now() -> Self {
        Known(Instant::now())
    }

    /// What an answer of [`Door::still_known`] means for what is open: a store that cannot be read
    /// for a moment revokes nothing.
    fn hear(&mut self, said: Result<(), Fault>, now: Instant) -> Result<(), Fault> {
        match said {
            Ok(()) => self.0 = now,
            Err(fault) if fault.code == fault::UNAUTHENTICATED => return Err(fault),
            Err(fault) if now.duration_since(self.0) >= KNOWN_MAX => return Err(fault),
            Err(fault) => tracing::warn!(error = %fault, "whether a token counts was not found"),
        }
        Ok(())
    }
}

/// What faces ask of the engines beside tools.
pub const REQUESTS: [&str; 3] = ["resources/list", "resources/read", "completion/complete"];

/// Counts since the start, for `/metrics`: calls, failures, microseconds, by tool in the order of
/// the table, then by request.
struct Counters(Vec<[AtomicU64; 3]>);

impl Counters {
    fn new() -> Self {
        Counters(Self::names().map(|_| Default::default()).collect())
    }

    fn names() -> impl Iterator<Item = &'static str> {
        TOOLS.iter().map(|entry| entry.name).chain(REQUESTS)
    }

    fn count(&self, name: &str, failed: bool, micros: u64) {
        let Some(at) = Self::names().position(|known| known == name) else { return };
        let [calls, failures, time] = &self.0[at];
        calls.fetch_add(1, Ordering::Relaxed);
        failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        time.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The door.
pub struct Door {
    cx: Context,
    tools: Vec<&'static Entry>,
    pool: Arc<Semaphore>,
    /// Of the calls in the pool, those that compute: no more than there are processors.
    computing: Semaphore,
    crew: Crew,
    waiting: AtomicUsize,
    queue_max: usize,
    deadline: Duration,
    calls_per_second: u32,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
    counters: Counters,
    read_only: bool,
    kept: Kept,
}

/// An action's name in the ledger, in bytes.
const ACTION_BYTES_MAX: usize = 100;

/// A call that lasts longer waits for a disk or for another machine, or is so long that short ones
/// are not to wait for its end: others begin beside it.
const SHORT: Duration = Duration::from_millis(25);

/// Accounts whose rate is remembered at once.
const BUCKETS_MAX: usize = 10_000;

impl Door {
    /// Puts a door before the engines.
    ///
    /// # Errors
    /// `invalid_argument` when the configuration hides a tool that does not exist.
    pub fn new(cx: Context, config: &Config) -> Result<Self, Fault> {
        for name in &config.access.hidden_tools {
            if synod_tools::find(name).is_none() {
                let names: Vec<&str> = TOOLS.iter().map(|t| t.name).collect();
                return Err(Fault::new(
                    fault::INVALID,
                    format!(
                        "config: `hidden_tools` names `{name}`; there are {}",
                        names.join(", ")
                    ),
                ));
            }
        }
        let read_only = cx.read_only;
        let hidden = |name: &str| config.access.hidden_tools.iter().any(|h| h == name);
        let forbidden = |entry: &Entry| read_only && !entry.reads;
        let offered = |entry: &&Entry| !hidden(entry.name) && !forbidden(entry);
        let tools: Vec<&'static Entry> = TOOLS.iter().filter(offered).collect();
        let limits = &config.limits;
        Ok(Door {
            cx,
            tools,
            pool: Arc::new(Semaphore::new(limits.calls_max.max(1))),
            computing: Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            crew: Crew::default(),
            waiting: AtomicUsize::new(0),
            queue_max: limits.queue_max,
            deadline: Duration::from_millis(limits.deadline_ms),
            calls_per_second: limits.calls_per_second,
            buckets: Mutex::new(HashMap::new()),
            counters: Counters::new(),
            read_only,
            kept: config.ledger.calls,
        })
    }

    /// What tools stand on.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// The tools that are offered, sorted by name.
    pub fn tools(&self) -> &[&'static Entry] {
        &self.tools
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// Every failure, as the outward fault; `unknown_tool` when none of that name is offered.
    pub async fn call(
        &self,
        caller: &Caller,
        name: &str,
        args: Value,
        mut call: Call,
    ) -> Result<Answer, Fault> {
        let start = Instant::now();
        // A key is its owner's: nobody learns of another one's request by guessing it.
        call.key = call.key.map(|key| format!("{}:{key}", caller.account));
        call.account.clone_from(&caller.account);
        call.correlation = fault::correlation_id();
        let mut entry_of = self.entry(caller, name, &args, &call);
        let entry = self.tools.iter().find(|entry| entry.name == name).copied();
        let result = match entry {
            Some(entry) => self.admit(caller, entry, &args).map(|()| entry),
            None => Err(self.unknown(name)),
        };
        let result = match result {
            Ok(entry) => self.run(entry, args, call).await,
            Err(fault) => Err(fault),
        };
        self.log(caller, name, start, result.as_ref().err());
        if let Some(entry) = entry_of.take() {
            self.keep(entry, &result);
        }
        result
    }

    /// What the ledger is told of a call, before it is known how it ends; nothing where it is not
    /// kept.
    fn entry(&self, caller: &Caller, name: &str, args: &Value, call: &Call) -> Option<LedgerEntry> {
        self.cx.ledger.as_ref()?;
        let tool = self.tools.iter().find(|entry| entry.name == name);
        let reads = tool.is_none_or(|entry| (entry.needs)(args).1 == Effect::Read);
        if reads && self.kept == Kept::Changes {
            return None;
        }
        let op = args.get("op").and_then(Value::as_str);
        let action = op.map_or_else(|| name.to_owned(), |op| format!("{name}.{op}"));
        let named =
            ["id", "job", "session", "path", "uri"].into_iter().find_map(|key| args.get(key));
        let resource = named.and_then(Value::as_str).unwrap_or_default();
        let actor = if caller.account.is_empty() { caller.face } else { &caller.account };
        let cut = |text: &str, max: usize| synod_tools::head(text, max).to_owned();
        Some(LedgerEntry {
            actor: actor.to_owned(),
            action: cut(&action, ACTION_BYTES_MAX),
            resource: cut(resource, RESOURCE_BYTES_MAX),
            correlation_id: Some(call.correlation.clone()),
            content_hash: Some(content_hash(args.to_string().as_bytes())),
            ..LedgerEntry::default()
        })
    }

    /// Leaves an entry of a call that has ended.
    fn keep(&self, mut entry: LedgerEntry, result: &Result<Answer, Fault>) {
        let Some(ledger) = &self.cx.ledger else { return };
        entry.at_ms = (self.cx.now_ms)();
        entry.outcome = match result {
            Ok(_) => "ok".to_owned(),
            Err(fault) => fault.code.name.to_owned(),
        };
        if entry.resource.is_empty()
            && let Ok(answer) = result
        {
            let made =
                ["job", "id", "session_id"].into_iter().find_map(|k| answer.structured.get(k));
            entry.resource = made.and_then(Value::as_str).unwrap_or_default().to_owned();
        }
        if let Err(error) = ledger.note(entry) {
            tracing::error!(error = %error, "a call is not in the ledger");
        }
    }

    /// Does engine work for a request that is no tool, as every caller who may read can ask for.
    ///
    /// # Errors
    /// Those of the work; `forbidden`, `rate_limited`, `overloaded`, `deadline`.
    pub async fn engine<T: Send + 'static>(
        &self,
        caller: &Caller,
        request: &'static str,
        work: impl FnOnce(&Context) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let start = Instant::now();
        let cx = self.cx.clone();
        let result = match self.may_read(caller, request).and_then(|()| self.rate(caller)) {
            Ok(()) => {
                self.pooled(request, move || {
                    std::panic::catch_unwind(AssertUnwindSafe(|| work(&cx)))
                        .unwrap_or_else(|panic| Err(panicked(&*panic)))
                })
                .await
            }
            Err(fault) => Err(fault),
        };
        self.log(caller, request, start, result.as_ref().err());
        result
    }

    /// Refuses whose token was revoked since it came, and while that cannot be said: who asks for
    /// something new over what was opened before.
    ///
    /// # Errors
    /// `unauthenticated`; those of the store.
    pub fn still_known(&self, caller: &Caller) -> Result<(), Fault> {
        if caller.account.is_empty() || self.cx.store.is_token(&caller.account)? {
            return Ok(());
        }
        let text = "the token was revoked; see `synod token list`";
        Err(Fault::new(fault::UNAUTHENTICATED, text))
    }

    /// Ends what is open once its token was revoked, or nobody could say for a minute whether it
    /// was: what stays open asks again and again.
    ///
    /// # Errors
    /// Those of [`Door::still_known`].
    pub fn may_stay(&self, caller: &Caller, known: &mut Known) -> Result<(), Fault> {
        known.hear(self.still_known(caller), Instant::now())
    }

    /// Whether the caller may see what is indexed.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_read(&self, caller: &Caller, request: &str) -> Result<(), Fault> {
        if caller.may(Scope::ReadContext) {
            Ok(())
        } else {
            Err(forbidden(request, Scope::ReadContext))
        }
    }

    fn log(&self, caller: &Caller, name: &str, start: Instant, failed: Option<&Fault>) {
        let micros = start.elapsed().as_micros() as u64;
        self.counters.count(name, failed.is_some(), micros);
        let outcome = failed.map_or("ok", |fault| fault.code.name);
        tracing::info!(tool = name, face = caller.face, outcome, micros, "called");
    }

    /// The refusal of what would write, where that is not the operator's wish but the system's.
    fn unwritable(&self, name: &str) -> Option<Fault> {
        let system = self.cx.index.is_read_only() || self.cx.store.is_read_only();
        let text = || format!("{name}: {}", synod_index::Error::ReadOnly);
        system.then(|| Fault::new(fault::STORAGE, text()))
    }

    fn unknown(&self, name: &str) -> Fault {
        let names: Vec<&str> = self.tools.iter().map(|t| t.name).collect();
        // What only reads is hidden because the operator wishes it.
        let forbidden = self.read_only && synod_tools::find(name).is_some_and(|entry| !entry.reads);
        if let Some(fault) = self.unwritable(name).filter(|_| forbidden) {
            return fault;
        }
        let why = if forbidden {
            format!("`{name}` is not offered in read-only mode")
        } else {
            format!("no tool `{name}`")
        };
        Fault::new(fault::UNKNOWN_TOOL, format!("{why}; there are {}", names.join(", ")))
    }

    fn admit(&self, caller: &Caller, entry: &Entry, args: &Value) -> Result<(), Fault> {
        let (scope, effect) = (entry.needs)(args);
        if self.read_only && effect != Effect::Read {
            if let Some(fault) = self.unwritable(entry.name) {
                return Err(fault);
            }
            let text = format!("{}: this operation is not offered in read-only mode", entry.name);
            return Err(Fault::new(fault::FORBIDDEN, text));
        }
        if !caller.may(scope) {
            return Err(forbidden(entry.name, scope));
        }
        if let Some(other) = (entry.through)(args)
            && !self.tools.iter().any(|tool| tool.name == other)
        {
            return Err(self.unknown(other));
        }
        self.rate(caller)
    }

    /// A token bucket per account.
    fn rate(&self, caller: &Caller) -> Result<(), Fault> {
        if self.calls_per_second == 0 || caller.account.is_empty() {
            return Ok(());
        }
        let rate = f64::from(self.calls_per_second);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, (_, at)| now.duration_since(*at) < Duration::from_secs(60));
        }
        let (left, at) = buckets.entry(caller.account.clone()).or_insert((rate, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * rate).min(rate);
        *at = now;
        if *left >= 1.0 {
            *left -= 1.0;
            return Ok(());
        }
        let wait_ms = ((1.0 - *left) / rate * 1000.0).ceil() as u64;
        Err(Fault::new(
            fault::RATE_LIMITED,
            format!("more than {rate} calls a second; wait {wait_ms} ms"),
        )
        .retry_after(wait_ms))
    }

    async fn run(&self, entry: &'static Entry, args: Value, call: Call) -> Result<Answer, Fault> {
        match entry.work {
            Work::Trivial => guarded(entry, &self.cx, args, &call).await,
            Work::Wait => guarded(entry, &self.cx, args, &call).await,
            Work::Compute => self.compute(entry, args, call).await,
        }
    }

    async fn compute(
        &self,
        entry: &'static Entry,
        args: Value,
        call: Call,
    ) -> Result<Answer, Fault> {
        let cx = self.cx.clone();
        // These futures compute and never wait: one poll ends them.
        let work = move || futures::executor::block_on(guarded(entry, &cx, args, &call));
        self.pooled(entry.name, work).await
    }

    /// Runs on the bounded pool, so that no call stalls the runtime, and short ones in the order in
    /// which they came: more of them at once than there are processors only take each other's time,
    /// and each then lasts as long as the longest beside it.
    async fn pooled<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        // Whom the pool takes at once does not wait.
        let free = Arc::clone(&self.pool).try_acquire_owned().ok();
        let waiting = match free {
            Some(_) => None,
            None => Waiting::new(&self.waiting, self.queue_max),
        };
        if free.is_none() && waiting.is_none() {
            let text = format!("{} calls wait already; try again in a moment", self.queue_max);
            return Err(Fault::new(fault::OVERLOADED, text).retry_after(1_000));
        }
        let running = async {
            let permit = match free {
                Some(permit) => Ok(permit),
                None => Arc::clone(&self.pool).acquire_owned().await,
            };
            let Ok(permit) = permit else {
                return Ok(Err(Fault::internal(&"the pool was closed")));
            };
            drop(waiting);
            let computing = self.computing.acquire().await;
            let runtime = tokio::runtime::Handle::current();
            let work = move || {
                // The place in the pool is the work's: a caller that left does not free it.
                let _permit = permit;
                let _runtime = runtime.enter();
                work()
            };
            let mut done = match self.crew.begin(work) {
                Ok(done) => done,
                Err(error) => return Ok(Err(Fault::internal(&error))),
            };
            let soon = tokio::time::timeout(SHORT, &mut done).await;
            drop(computing);
            match soon {
                Ok(done) => done,
                Err(_) => done.await,
            }
        };
        match tokio::time::timeout(self.deadline, running).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(Fault::internal(&error)),
            Err(_) => Err(Fault::new(
                fault::DEADLINE,
                format!("{name}: no answer within {} ms; ask for less", self.deadline.as_millis()),
            )),
        }
    }

    /// Prometheus' text format.
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        let names = ["synod_calls_total", "synod_call_failures_total", "synod_call_micros_total"];
        for (which, name) in names.iter().enumerate() {
            out.push_str(&format!("# TYPE {name} counter\n"));
            for (tool, counts) in Counters::names().zip(&self.counters.0) {
                let value = counts[which].load(Ordering::Relaxed);
                out.push_str(&format!("{name}{{tool=\"{tool}\"}} {value}\n"));
            }
        }
        if let Some(ledger) = &self.cx.ledger {
            out.push_str("# TYPE synod_ledger_lost_total counter\n");
            out.push_str(&format!("synod_ledger_lost_total {}\n", ledger.lost()));
        }
        out.push_str(&crate::metric::models(&self.cx.engine));
        out.push_str(&crate::metric::specs(&self.cx.specs));
        out
    }
}

/// A call that waits for its turn; it no longer does when this is dropped, however that comes.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let waiting = Waiting(count);
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A panic fails one call and not the server.
async fn guarded(
    entry: &'static Entry,
    cx: &Context,
    args: Value,
    call: &Call,
) -> Result<Answer, Fault> {
    use futures::FutureExt;
    let running = AssertUnwindSafe((entry.call)(cx, args, call)).catch_unwind();
    match running.await {
        Ok(result) => result.map_err(Fault::from),
        Err(panic) => Err(panicked(&*panic)),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    Fault::internal(&panic_text(panic))
}

/// What a panic said, for the log.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_default())
}

fn forbidden(name: &str, scope: Scope) -> Fault {
    Fault::new(
        fault::FORBIDDEN,
        format!(
            "{name}: this needs the scope `{}`; the operator grants it with \
             `access.local_scopes` in synod.toml, `--allow-write`, or a token that has it",
            scope.name()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_read_for_a_moment_revokes_nothing() {
        let at = |s: u64, from: Instant| from + Duration::from_secs(s);
        let unread = || Err(Fault::new(fault::STORAGE, "no disk"));
        let mut known = Known::now();
        let start = known.0;
        assert_eq!(known.hear(unread(), at(50, start)), Ok(()));
        assert_eq!(known.hear(Ok(()), at(59, start)), Ok(()));
        assert_eq!(known.hear(unread(), at(118, start)), Ok(()), "it was known since");
        let late = known.hear(unread(), at(119, start)).expect_err("a minute");
        assert_eq!(late.code, fault::STORAGE);
        let revoked = Err(Fault::new(fault::UNAUTHENTICATED, "revoked"));
        let ended = known.hear(revoked, at(60, start)).expect_err("at once");
        assert_eq!(ended.code, fault::UNAUTHENTICATED);
    }
}
