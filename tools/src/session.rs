//! `session`: conversations that outlive a client: what was asked, what was answered, where it was
//! left.

use crate::reply::{REPLY_BYTES_MAX, head, timestamp};
use crate::{Call, Context, Effect, Error, Operation, Route, Work, once};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use synod_store::{NewMessage, NewSession, Role, Scope};

pub struct Session;

/// Sessions and messages of one list.
const LISTED_MAX: usize = 50;
/// Tokens of a session that is resumed, by default.
const RESUME_TOKENS: usize = 2_000;
/// Most of them: as much as a page of its history.
const RESUME_TOKENS_MAX: usize = 10_000;
/// What number, time and role of a message take in a reply, in tokens.
const FRAME_TOKENS: usize = 16;
const DAY_MS: i64 = 86_400_000;

/// Conversations with the council: create one, pass its id as `session` to `orchestrate`, and come
/// back to it from any client with `resume`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    #[serde(default)]
    op: Op,
    /// Which session; list: those behind it.
    id: Option<String>,
    /// create: what it is called.
    title: Option<String>,
    /// create: who it is for.
    user_id: Option<String>,
    /// create: days until it is forgotten.
    days: Option<u32>,
    /// append: user, assistant or system.
    role: Option<String>,
    /// append: what is said; search: what is looked for.
    text: Option<String>,
    /// history: messages after this one; fork: up to this one.
    seq: Option<i64>,
    /// resume: 2,000 by default.
    tokens: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    Create,
    Get,
    #[default]
    List,
    Append,
    History,
    Search,
    Fork,
    Resume,
    End,
    Delete,
}

#[derive(Serialize, JsonSchema)]
struct SessionReply {
    id: String,
    title: String,
    messages: i64,
    /// Of the last change.
    changed: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

#[derive(Serialize, JsonSchema)]
struct MessageReply {
    /// Where, in a search over all.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    seq: i64,
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    text: String,
    at: String,
    /// The verdict behind an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<String>,
}

/// How a session that was left goes on.
#[derive(Serialize, JsonSchema)]
struct RecoveryReply {
    /// resume, ask or archive.
    decision: &'static str,
    /// 0.4 exp(-hours/24) + 0.4 completeness + 0.2 coherence.
    confidence: f64,
    unanswered: usize,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    /// The session asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    sessions: Vec<SessionReply>,
    /// seq, role, text, at; author, trust, session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    messages: Vec<MessageReply>,
    /// decision (resume, ask or archive), confidence, unanswered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    recovery: Option<RecoveryReply>,
    /// What was left out, and where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Operation for Session {
    const NAME: &'static str = "session";
    const TITLE: &'static str = "Sessions";
    const EFFECT: Effect = Effect::Write;
    const READS: bool = true;
    const SCOPE: Scope = Scope::LlmInvoke;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = false;
    const ONCE: bool = false;
    const DESTRUCTIVE: bool = true;
    const ROUTES: &'static [Route] = &[
        Route::post("/v1/sessions", 201).saying(&[("op", "create")]),
        Route::get("/v1/sessions").saying(&[("op", "list")]),
        Route::get("/v1/sessions/search").saying(&[("op", "search")]),
        Route::get("/v1/sessions/{id}").saying(&[("op", "get")]),
        Route::delete("/v1/sessions/{id}").saying(&[("op", "delete")]),
        Route::post("/v1/sessions/{id}/messages", 201).saying(&[("op", "append")]),
        Route::get("/v1/sessions/{id}/history").saying(&[("op", "history")]),
        Route::get("/v1/sessions/{id}/resume").saying(&[("op", "resume")]),
        Route::post("/v1/sessions/{id}/fork", 201).saying(&[("op", "fork")]),
        Route::post("/v1/sessions/{id}/end", 200).saying(&[("op", "end")]),
    ];
    type Args = Args;
    type Reply = Reply;

    fn needs(args: &Value) -> (Scope, Effect) {
        match crate::named_op(args) {
            None | Some("get" | "list" | "history" | "search" | "resume") => {
                (Scope::ReadJobs, Effect::Read)
            }
            _ => (Self::SCOPE, Self::EFFECT),
        }
    }

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        match args.op {
            Op::Create => create(cx, args, call),
            Op::List => list(cx, &args, call),
            Op::Search => search(cx, &args, call),
            _ => one(cx, args, call),
        }
    }

    fn render(reply: &Reply) -> String {
        let mut out = String::new();
        for session in &reply.sessions {
            let SessionReply { id, title, messages, changed, ended } = session;
            let ended = if *ended { ", ended" } else { "" };
            out.push_str(&format!("- `{id}` {title}: {messages} messages, {changed}{ended}\n"));
        }
        if let Some(recovery) = &reply.recovery {
            let RecoveryReply { decision, confidence, unanswered } = recovery;
            out.push_str(&format!(
                "_{decision} ({confidence:.2}); {unanswered} questions without an answer_\n"
            ));
        }
        out.extend(reply.note.iter().map(|note| format!("_{note}_\n")));
        for message in &reply.messages {
            let who = if message.author.is_empty() { message.role } else { &message.author };
            out.push_str(&format!("{}. **{who}**: {}\n", message.seq, message.text));
        }
        if out.is_empty() { "Nothing there.\n".to_owned() } else { out }
    }
}

fn empty() -> Reply {
    Reply {
        session_id: None,
        user_id: None,
        sessions: Vec::new(),
        messages: Vec::new(),
        recovery: None,
        note: None,
    }
}

impl From<synod_store::Session> for SessionReply {
    fn from(session: synod_store::Session) -> Self {
        SessionReply {
            ended: session.ended_ms.is_some(),
            id: session.id,
            title: session.title,
            messages: session.n_messages,
            changed: timestamp(session.changed_ms),
        }
    }
}

impl From<synod_store::Message> for MessageReply {
    fn from(message: synod_store::Message) -> Self {
        let refs: Value =
            message.refs.and_then(|refs| serde_json::from_str(&refs).ok()).unwrap_or_default();
        MessageReply {
            session: None,
            seq: message.seq,
            role: message.role.name(),
            author: message.author,
            text: message.text,
            at: timestamp(message.at_ms),
            trust: refs["trust"].as_str().map(str::to_owned),
        }
    }
}

fn missing(id: &str) -> Error {
    Error::Missing(format!("session: no session `{id}`, or it has expired; `list` shows them"))
}

fn list(cx: &Context, args: &Args, call: &Call) -> Result<Reply, Error> {
    let (owner, now_ms) = (call.account.as_str(), (cx.now_ms)());
    let before = match args.id.as_deref() {
        Some(id) => Some(cx.store.session(id, owner, now_ms)?.ok_or_else(|| missing(id))?),
        None => None,
    };
    let mut found = cx.store.sessions(owner, LISTED_MAX + 1, before.as_ref(), now_ms)?;
    let more = found.len() > LISTED_MAX;
    found.truncate(LISTED_MAX);
    let last = found.last().filter(|_| more);
    let note = last.map(|last| format!("there are more; pass `id` = `{}`", last.id));
    Ok(Reply { sessions: found.into_iter().map(Into::into).collect(), note, ..empty() })
}

fn create(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
    let now_ms = (cx.now_ms)();
    if args.days == Some(0) {
        let text = "session: `days` is 0; give 1 or more, or leave it out to keep the session";
        return Err(Error::Args(text.to_owned()));
    }
    let request = format!("{:?}\n{:?}\n{:?}", args.title, args.user_id, args.days);
    let once = match once::begin::<String>(cx, call, "session", &request)? {
        once::Begun::Known(id) => {
            let made = cx.store.session(&id, &call.account, now_ms)?;
            let gone = || Error::Missing("session: the one of this key is gone".to_owned());
            let (session_id, sessions) = (Some(id), vec![made.ok_or_else(gone)?.into()]);
            return Ok(Reply { session_id, user_id: args.user_id, sessions, ..empty() });
        }
        once::Begun::New(once) => once,
    };
    let id = synod_store::new_id("s", now_ms, synod_store::random()?);
    let title = args.title.unwrap_or_default();
    let metadata =
        args.user_id.as_ref().map(|user| serde_json::json!({ "user_id": user }).to_string());
    let made = cx.store.make_session(&NewSession {
        id: &id,
        owner: &call.account,
        title: &title,
        metadata: metadata.as_deref(),
        expires_ms: args.days.map(|days| now_ms + i64::from(days) * DAY_MS),
        now_ms,
    })?;
    once.keep(&id)?;
    let (session_id, sessions) = (Some(id), vec![made.into()]);
    Ok(Reply { session_id, user_id: args.user_id, sessions, ..empty() })
}

fn search(cx: &Context, args: &Args, call: &Call) -> Result<Reply, Error> {
    let wanted = || Error::Args("session: `search` wants a `text`".to_owned());
    let text = args.text.as_deref().ok_or_else(wanted)?;
    let (id, now_ms) = (args.id.as_deref(), (cx.now_ms)());
    let found = cx.store.search_messages(&call.account, id, text, LISTED_MAX, now_ms)?;
    let messages = found.hits.into_iter().map(|hit| MessageReply {
        session: Some(hit.session),
        seq: hit.seq,
        role: hit.role.name(),
        author: hit.author,
        text: hit.snippet,
        at: timestamp(hit.at_ms),
        trust: None,
    });
    let some = "no message has all of the words; these have some";
    let note = (!found.every_word).then(|| some.to_owned());
    let mut reply = Reply { messages: messages.collect(), ..empty() };
    reply.note = note.filter(|_| !reply.messages.is_empty());
    Ok(reply)
}

/// Whatever concerns one session.
fn one(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
    let wanted =
        || Error::Args("session: give the `id` of a session; `list` shows them".to_owned());
    let id = args.id.clone().ok_or_else(wanted)?;
    let missing = || missing(&id);
    let (owner, now_ms) = (call.account.as_str(), (cx.now_ms)());
    let known = cx.store.session(&id, owner, now_ms)?.ok_or_else(missing)?;
    let mut reply = Reply { session_id: Some(id.clone()), ..empty() };
    match args.op {
        Op::Append => {
            let seq = append(cx, &id, &args, call)?.ok_or_else(missing)?;
            reply.messages =
                cx.store.history(&id, owner, seq - 1, 1, now_ms)?.map(shown).unwrap_or_default();
        }
        Op::History => {
            let after = args.seq.unwrap_or(0);
            let found = cx.store.history(&id, owner, after, LISTED_MAX, now_ms)?;
            reply.messages = within(found.map(shown).unwrap_or_default());
            let last = reply.messages.last().map_or(0, |message| message.seq);
            reply.note = (last > 0 && last < known.n_messages)
                .then(|| format!("{} more; pass `seq` = {last}", known.n_messages - last));
        }
        Op::Fork => {
            let made = fork(cx, &id, &args, call)?;
            reply.session_id = Some(made.id.clone());
            reply.sessions = vec![made.into()];
        }
        Op::Resume => {
            let tokens = args.tokens.unwrap_or(RESUME_TOKENS);
            if !(1..=RESUME_TOKENS_MAX).contains(&tokens) {
                let text = format!("`tokens` is {tokens}; give 1 to {RESUME_TOKENS_MAX}");
                return Err(Error::Args(format!("session: {text}")));
            }
            let left = cx.store.resumption(&id, owner, now_ms)?.ok_or_else(missing)?;
            reply.recovery = Some(RecoveryReply {
                decision: left.recovery.name(),
                confidence: (left.confidence * 1000.0).round() / 1000.0,
                unanswered: left.n_unanswered,
            });
            let count = |text: &str| (cx.count_tokens)(text) + FRAME_TOKENS;
            let rebuilt = cx.store.rebuild(&id, owner, tokens, &count, now_ms)?;
            if let Some(rebuilt) = rebuilt {
                reply.note = rebuilt.note;
                reply.messages = shown(rebuilt.messages);
            }
            reply.sessions = vec![left.session.into()];
        }
        Op::End => {
            cx.store.end_session(&id, owner, now_ms)?;
            reply.sessions =
                cx.store.session(&id, owner, now_ms)?.map(Into::into).into_iter().collect();
        }
        Op::Delete => {
            if !cx.store.remove_session(&id, owner, now_ms)? {
                return Err(missing());
            }
            reply.note = Some("deleted, with its messages".to_owned());
        }
        _ => reply.sessions = vec![known.into()],
    }
    Ok(reply)
}

/// A copy of a session, which is made once under the key of the call.
fn fork(cx: &Context, id: &str, args: &Args, call: &Call) -> Result<synod_store::Session, Error> {
    let (owner, now_ms) = (call.account.as_str(), (cx.now_ms)());
    let request = format!("fork\n{id}\n{:?}", args.seq);
    let once = match once::begin::<String>(cx, call, "session", &request)? {
        once::Begun::Known(copy) => {
            let gone = || Error::Missing("session: the one of this key is gone".to_owned());
            return cx.store.session(&copy, owner, now_ms)?.ok_or_else(gone);
        }
        once::Begun::New(once) => once,
    };
    let to = synod_store::new_id("s", now_ms, synod_store::random()?);
    let made = cx.store.fork_session(id, owner, &to, args.seq, now_ms)?;
    let made = made.ok_or_else(|| missing(id))?;
    once.keep(&to)?;
    Ok(made)
}

fn shown(messages: Vec<synod_store::Message>) -> Vec<MessageReply> {
    messages.into_iter().map(Into::into).collect()
}

/// As many messages as fit a reply, one at least; a text that does not fit is cut and says so.
fn within(messages: Vec<MessageReply>) -> Vec<MessageReply> {
    let mut left = REPLY_BYTES_MAX;
    let mut out: Vec<MessageReply> = Vec::new();
    for mut message in messages {
        if message.text.len() > left && !out.is_empty() {
            break;
        }
        if message.text.len() > left {
            let head = head(&message.text, left).len();
            let more = message.text.len() - head;
            message.text.truncate(head);
            message.text.push_str(&format!(" [… {more} more bytes]"));
        }
        left = left.saturating_sub(message.text.len());
        out.push(message);
    }
    out
}

fn append(cx: &Context, id: &str, args: &Args, call: &Call) -> Result<Option<i64>, Error> {
    let wanted = || Error::Args("session: `append` wants a `text`".to_owned());
    let text = args.text.as_deref().ok_or_else(wanted)?;
    let role = Role::parse(args.role.as_deref().unwrap_or("user"))?;
    let (key, now_ms) = (call.key.as_deref(), (cx.now_ms)());
    let message = NewMessage { role, author: "", text, refs: None, key, now_ms };
    Ok(cx.store.append(id, &call.account, &message)?)
}
