//! What agents call. One file per tool, one line in [`TOOLS`]; everything else (MCP listing, REST
//! routes, OpenAPI, `synod call`, reference, contract snapshots) is derived from that line.
//!
//! Knows the engines; knows neither MCP nor HTTP nor the command line.

mod consensus;
mod context_pack;
mod debate;
mod ensemble;
mod event;
mod feedback;
mod heads;
mod held;
mod index_status;
mod ingest;
mod intent;
mod job;
mod judge;
mod learn;
mod live;
mod models;
mod once;
mod orchestrate;
mod panel;
mod read;
mod record;
mod related;
mod reply;
mod round;
mod safety;
mod schema;
mod search;
mod seat;
mod session;
mod spec;
mod spec_command;
mod spec_create;
mod spec_list;
mod spec_next;
mod spec_previous;
mod spec_read;
mod spec_run;
mod spec_update;
mod spec_validate;
mod talk;
mod trust;
mod verdict;
mod vote;

pub use context_pack::piece_text;
pub use ingest::{INDEX_JOB, IngestArgs, IngestOp};
pub use intent::asks_nobody;
pub use live::Live;
pub use orchestrate::COUNCIL_JOB;
pub use reply::{REPLY_BYTES_MAX, head, indexing_text, shown};
pub use round::resume as resume_councils;
pub use schema::portable;
pub use seat::prompt;
pub use spec::{Runs, SpecSettings, Specs};
pub use spec_command::{SpecCommand, spec_command_of, spec_commands};
pub use spec_previous::{PreviousTexts, spec_previous, spec_previous_text, spec_restore};
pub use synod_speckit::Present;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use synod_guard::Guard;
use synod_index::Index;
use synod_llm::{Engine, Policy};
use synod_store::{Ledger, Scope, Store};

/// Every tool, sorted by name. To add one: a file beside this one, and a line here.
pub const TOOLS: &[Entry] = &[
    Entry::of::<consensus::Consensus>(),
    Entry::of::<context_pack::ContextPack>(),
    Entry::of::<feedback::Feedback>(),
    Entry::of::<index_status::IndexStatus>(),
    Entry::of::<ingest::Ingest>(),
    Entry::of::<job::Job>(),
    Entry::of::<models::Models>(),
    Entry::of::<orchestrate::Orchestrate>(),
    Entry::of::<read::Read>(),
    Entry::of::<related::Related>(),
    Entry::of::<search::Search>(),
    Entry::of::<session::Session>(),
    Entry::of::<spec_create::SpecCreate>(),
    Entry::of::<spec_list::SpecList>(),
    Entry::of::<spec_next::SpecNext>(),
    Entry::of::<spec_read::SpecRead>(),
    Entry::of::<spec_run::SpecRun>(),
    Entry::of::<spec_update::SpecUpdate>(),
    Entry::of::<spec_validate::SpecValidate>(),
    Entry::of::<trust::Trust>(),
];

/// What a call does to the world; grants and annotations go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes the index or its state, or a feature of Spec-Kit; of sources nothing else.
    Write,
    /// Asks models beyond this process, which may cost money.
    Spend,
}

/// Where a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Microseconds: on the spot.
    Trivial,
    /// Computes: on the bounded pool.
    Compute,
    /// Waits for others: as a task, and for no longer than the tool itself says.
    Wait,
}

/// An HTTP route of a tool. `{name}` and `{*name}` in its path fill the argument `name`.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// As in OpenAPI, with axum's wildcard.
    pub path: &'static str,
    /// The status of success.
    pub status: u16,
    /// Arguments that the route itself says, as `op` of a tool that groups several operations.
    pub says: &'static [(&'static str, &'static str)],
}

impl Route {
    /// A route that reads.
    pub const fn get(path: &'static str) -> Self {
        Route { method: "GET", path, status: 200, says: &[] }
    }

    /// A route that takes its arguments from the body.
    pub const fn post(path: &'static str, status: u16) -> Self {
        Route { method: "POST", path, status, says: &[] }
    }

    /// A route that ends something.
    pub const fn delete(path: &'static str) -> Self {
        Route { method: "DELETE", path, status: 200, says: &[] }
    }

    /// With arguments that the route itself says.
    pub const fn saying(self, says: &'static [(&'static str, &'static str)]) -> Self {
        Route { says, ..self }
    }
}

/// A tool: its types, what it may, and what it does.
pub trait Operation: 'static {
    /// As agents call it.
    const NAME: &'static str;
    /// As people see it.
    const TITLE: &'static str;
    /// Its effect; of several operations the strongest.
    const EFFECT: Effect;
    /// Some of its operations only read: read-only mode hides the others, not the tool.
    const READS: bool = matches!(Self::EFFECT, Effect::Read);
    /// The scope that a token needs; of several operations that of the strongest.
    const SCOPE: Scope;
    /// Where it runs.
    const WORK: Work;
    /// The same call twice does no more than once.
    const IDEMPOTENT: bool;
    /// Its reply is kept under the idempotency key of a call, and given again to the same call
    /// with that key. Tools that keep what they make under the key themselves say no.
    const ONCE: bool = matches!(Self::EFFECT, Effect::Write);
    /// It may take away or overwrite what a person wrote.
    const DESTRUCTIVE: bool = false;
    /// Its routes.
    const ROUTES: &'static [Route];
    /// The doc comment of this type is the tool's description.
    type Args: DeserializeOwned + JsonSchema + Send;
    /// What a program reads.
    type Reply: Serialize + JsonSchema + Send;

    /// The scope and the effect of one call, for tools whose operations differ in that. `args` were
    /// not checked yet.
    fn needs(_args: &Value) -> (Scope, Effect) {
        (Self::SCOPE, Self::EFFECT)
    }

    /// Another tool that one call stands for: it has to be offered too. `args` were not checked
    /// yet.
    fn through(_args: &Value) -> Option<&'static str> {
        None
    }

    /// Does it.
    fn run(
        cx: &Context,
        args: Self::Args,
        call: &Call,
    ) -> impl Future<Output = Result<Self::Reply, Error>> + Send;

    /// What a model reads: short Markdown that stands alone.
    fn render(reply: &Self::Reply) -> String;
}

/// What tools stand on.
#[derive(Clone)]
pub struct Context {
    /// The engine that finds.
    pub index: Arc<Index>,
    /// The engine that asks language models.
    pub engine: Engine,
    /// The engine that protects, as it is set now.
    pub guard: Arc<Live<Guard>>,
    /// What the operator wants of the council now.
    pub council: Arc<Live<CouncilSettings>>,
    /// The engine of specs.
    pub specs: Arc<Specs>,
    /// The engine that remembers.
    pub store: Arc<Store>,
    /// Who did what; nothing where nothing may be written.
    pub ledger: Option<Arc<Ledger>>,
    /// Nothing may be changed.
    pub read_only: bool,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// Counts the tokens of a text as the o200k tokenizer cuts it.
    pub count_tokens: fn(&str) -> usize,
    /// Tells the writer, if it is in this process, that a job waits.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// The person's home directory, which never becomes a source on a caller's word.
    pub home: Option<std::path::PathBuf>,
    /// Whether a path may become a source on a caller's word.
    pub may_add: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// What the operator wants of the council.
#[derive(Clone, Debug)]
pub struct CouncilSettings {
    /// Models that may sit; all when empty.
    pub panel: Vec<String>,
    /// How long a caller waits, unless it says otherwise.
    pub deadline_ms: u64,
    /// Where questions may go, unless the caller says otherwise.
    pub policy: Policy,
    /// Most that one call may cost, in millionths of a dollar.
    pub call_usd_micros: Option<u64>,
    /// Who says of answers that are nearly alike whether they are.
    pub judge: Option<String>,
    /// Places that may be told of jobs: URLs, or their beginnings up to a `/`.
    pub webhooks: Vec<String>,
}

/// What a call brings along.
pub struct Call {
    /// Gets `(done, total, message)`.
    pub progress: Box<dyn Fn(f64, Option<f64>, String) + Send + Sync>,
    /// The caller has gone, or said so.
    pub cancelled: Box<dyn Fn() -> bool + Send + Sync>,
    /// The same key twice is the same request.
    pub key: Option<String>,
    /// Whose call it is: a token's hash, or empty for local callers.
    pub account: String,
    /// The call's id in log and ledger.
    pub correlation: String,
    /// Gets pieces of a model's answer as they come, where the face shows them.
    pub hear: Option<Hear>,
    /// Of a job that the call leaves: 1 to 5, lower ones first.
    pub priority: u8,
    /// Who is told when a job changes that the call leaves.
    pub webhook: Option<String>,
}

/// A part of an answer that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A piece of its text.
    Text(&'a str),
    /// What came so far counts no more: the model failed, and another one answers.
    Void,
}

/// Gets pieces of an answer; called on the task that asks, so it must be quick.
pub type Hear = Arc<dyn Fn(Piece) + Send + Sync>;

impl Call {
    /// A call that nobody watches.
    pub fn silent() -> Self {
        Call {
            progress: Box::new(|_, _, _| {}),
            cancelled: Box::new(|| false),
            key: None,
            account: String::new(),
            correlation: String::new(),
            hear: None,
            priority: PRIORITY,
            webhook: None,
        }
    }
}

/// Priority of a job of which nothing is said.
pub const PRIORITY: u8 = synod_llm::PRIORITY;

/// Why a tool refuses or fails. The process turns it into the outward fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments do not fit the schema, or a value is out of its bounds.
    #[error("{0}")]
    Args(String),
    /// Nothing has that name.
    #[error("{0}")]
    Missing(String),
    /// The arguments fit, but it cannot or may not be done.
    #[error("{0}")]
    Refused(String),
    /// Nobody who was asked answered.
    #[error("{0}")]
    Upstream(String),
    /// A model did not answer.
    #[error("models: {0}")]
    Ask(#[from] synod_llm::Failure),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] synod_index::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] synod_store::Error),
    /// The store failed to keep the text that an edit would have replaced, so that there was none.
    #[error("{what}")]
    NotKept {
        /// Which tool left which document.
        what: String,
        /// Why.
        #[source]
        source: synod_store::Error,
    },
    /// A reply did not serialise: a bug.
    #[error("a reply did not serialise: {0}")]
    Reply(#[from] serde_json::Error),
}

/// What a call answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// For programs.
    pub structured: Value,
    /// For models.
    pub text: String,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send + 'a>>;

/// A tool with its types erased, as the faces see it. Plain functions, made at compile time.
pub struct Entry {
    /// As agents call it.
    pub name: &'static str,
    /// As people see it.
    pub title: &'static str,
    /// Its strongest effect.
    pub effect: Effect,
    /// Some of its operations only read.
    pub reads: bool,
    /// The scope it needs at most.
    pub scope: Scope,
    /// The scope and the effect of one call.
    pub needs: fn(&Value) -> (Scope, Effect),
    /// Another tool that one call stands for.
    pub through: fn(&Value) -> Option<&'static str>,
    /// Where it runs.
    pub work: Work,
    /// Twice is once.
    pub idempotent: bool,
    /// It may take away or overwrite what a person wrote.
    pub destructive: bool,
    /// Its routes.
    pub routes: &'static [Route],
    /// The description.
    pub description: fn() -> String,
    /// Portable JSON Schema of its arguments.
    pub input: fn() -> Value,
    /// Portable JSON Schema of its reply.
    pub output: fn() -> Value,
    /// Does it.
    pub call: for<'a> fn(&'a Context, Value, &'a Call) -> Running<'a>,
}

impl Entry {
    const fn of<T: Operation>() -> Entry {
        Entry {
            name: T::NAME,
            title: T::TITLE,
            effect: T::EFFECT,
            reads: T::READS,
            scope: T::SCOPE,
            needs: T::needs,
            through: T::through,
            work: T::WORK,
            idempotent: T::IDEMPOTENT,
            destructive: T::DESTRUCTIVE,
            routes: T::ROUTES,
            description: || schema::description::<T::Args>(),
            input: || schema::portable::<T::Args>(),
            output: || schema::portable_output::<T::Reply>(),
            call: erase::<T>,
        }
    }
}

/// The operation that unchecked arguments name: `None` when they name none, so that the tool's own
/// default counts. Anything but a plain name is `Some("")`, which no operation is called: what is
/// written in another way must not pass for less than it is.
pub(crate) fn named_op(args: &Value) -> Option<&str> {
    match args.get("op") {
        None | Some(Value::Null) => None,
        Some(op) => Some(op.as_str().unwrap_or_default()),
    }
}

/// The tool called `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    TOOLS.iter().find(|entry| entry.name == name)
}

/// Arguments as a text that does not depend on the order in which they stand.
fn request(args: &Value) -> String {
    let mut args = args.clone();
    args.sort_all_objects();
    args.to_string()
}

fn erase<'a, T: Operation>(cx: &'a Context, args: Value, call: &'a Call) -> Running<'a> {
    Box::pin(async move {
        // Where nothing may be written, nothing is made that could be made twice.
        let keyed = T::ONCE && call.key.is_some() && !cx.read_only;
        let request = keyed.then(|| request(&args));
        let args = schema::parse::<T::Args>(T::NAME, args)?;
        let once = match request {
            None => None,
            Some(request) => match once::begin(cx, call, T::NAME, &request)? {
                once::Begun::Known(answer) => return Ok(answer),
                once::Begun::New(once) => Some(once),
            },
        };
        let reply = T::run(cx, args, call).await?;
        let text = T::render(&reply);
        let answer = Answer { structured: serde_json::to_value(&reply)?, text };
        once.map_or(Ok(()), |once| once.keep(&answer))?;
        Ok(answer)
    })
}
