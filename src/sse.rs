//! The HTTP+SSE transport of the protocol of 2024-11-05, for old clients only.
//!
//! A thin adapter: the stream of a session and its posts are the two ends of a pipe to the same
//! server that stdio has. Deprecated by the protocol; kept while clients in use still need it.
//! Invariant: a stream is open for no longer than its reader's token counts, or a minute longer
//! where the store cannot be read.

use crate::dispatch::{Caller, Known};
use crate::fault::{self, Fault};
use crate::http::{refuse, status};
use crate::mcp::Servers;
use crate::stdio::Opening;
use crate::stream::HEARTBEAT;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream::{self, StreamExt};
use rmcp::ServiceExt;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, WriteHalf};
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

/// Sessions at once; one more is refused.
const SESSIONS_MAX: usize = 64;
/// Bytes that wait between server and stream.
const PIPE_BYTES: usize = 256 * 1024;
/// Between two signs of life on an idle stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Session {
    account: String,
    input: tokio::sync::Mutex<WriteHalf<DuplexStream>>,
}

#[derive(Clone)]
struct Sessions {
    servers: Servers,
    open: Arc<Mutex<HashMap<String, Arc<Session>>>>,
    stop: CancellationToken,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /sse` and `POST /messages`.
pub fn routes(servers: Servers, stop: CancellationToken) -> Router {
    let sessions = Sessions { servers, open: Arc::default(), stop };
    Router::new().route("/sse", get(open)).route("/messages", post(message)).with_state(sessions)
}

/// Removes the session when its stream is dropped, and ends its server.
struct Closing {
    sessions: Sessions,
    caller: Caller,
    known: Known,
    id: String,
    stop: CancellationToken,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
        self.stop.cancel();
    }
}

async fn open(State(sessions): State<Sessions>, Extension(caller): Extension<Caller>) -> Response {
    if sessions.lock().len() >= SESSIONS_MAX {
        let text = format!("{SESSIONS_MAX} sessions are open; close one, or use `/mcp`");
        return refuse(&Fault::new(fault::OVERLOADED, text).retry_after(5_000));
    }
    let random = match synod_store::random() {
        Ok(random) => random,
        Err(error) => return refuse(&error.into()),
    };
    let id = synod_store::new_id("s", crate::now_ms(), random);
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (output, input) = tokio::io::split(ours);
    let caller = Caller { face: "sse", ..caller };
    let session =
        Session { account: caller.account.clone(), input: tokio::sync::Mutex::new(input) };
    sessions.lock().insert(id.clone(), Arc::new(session));
    let stop = sessions.stop.child_token();
    let server = sessions.servers.connect(caller.clone(), true);
    let ended = stop.clone();
    tokio::spawn(async move {
        let (read, write) = tokio::io::split(theirs);
        let transport = AsyncRwTransport::new_server(read, write);
        let running = tokio::select! {
            running = server.serve(Opening::new(transport)) => running,
            () = ended.cancelled() => return,
        };
        if let Ok(running) = running {
            let quit = running.cancellation_token();
            tokio::select! {
                _ = running.waiting() => {}
                () = ended.cancelled() => quit.cancel(),
            }
        }
    });
    let endpoint = Event::default().event("endpoint").data(format!("/messages?sessionId={id}"));
    let (sessions, known) = (sessions.clone(), Known::now());
    let closing = Closing { sessions, caller, known, id, stop: stop.clone() };
    let lines = BufReader::new(output).lines();
    let admit = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    let open = (lines, closing, admit);
    let messages = stream::unfold(open, |(mut lines, mut closing, mut admit)| async move {
        let line = loop {
            tokio::select! {
                line = lines.next_line() => break line.ok().flatten()?,
                () = closing.stop.cancelled() => return None,
                _ = admit.tick() => {
                    let Closing { sessions, caller, known, .. } = &mut closing;
                    if !sessions.servers.may_stay(caller, known) {
                        return None;
                    }
                }
            }
        };
        Some((Event::default().event("message").data(line), (lines, closing, admit)))
    });
    let events = stream::once(async { endpoint }).chain(messages).map(Ok::<_, Infallible>);
    let mut response =
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn message(
    State(sessions): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let id = query.get("sessionId").map(String::as_str).unwrap_or_default();
    let session = sessions.lock().get(id).cloned();
    let Some(session) = session.filter(|s| s.account == caller.account) else {
        let text = "no such session; open a new one with `GET /sse`, or use `/mcp`";
        return refuse(&Fault::new(fault::NOT_FOUND, text));
    };
    let message: Value = match serde_json::from_slice(&body) {
        Ok(message) => message,
        Err(error) => {
            let text = format!("the message does not parse: {error}");
            return refuse(&Fault::new(fault::INVALID, text));
        }
    };
    // One line a message, whatever line ends the client wrote.
    let line = format!("{message}\n");
    let sent = session.input.lock().await.write_all(line.as_bytes()).await;
    match sent {
        Ok(()) => status(StatusCode::ACCEPTED),
        Err(_) => refuse(&Fault::new(fault::NOT_FOUND, "the session has ended; open a new one")),
    }
}
