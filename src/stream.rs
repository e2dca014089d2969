//! What goes on, as it goes on: a job's events as server-sent events, and one model's answer as it
//! comes. WebSockets of the same are in `socket.rs`.
//!
//! Events are read from the store, so that any process shows those of any other, and a stream that
//! was cut goes on behind the last event that its reader names. Invariant: a stream shows a job
//! only to whom `job` shows it, and, while the store can be read, for no longer than its reader's
//! token counts.

use crate::dispatch::{Caller, Door, Known};
use crate::fault::{self, Fault};
use crate::http::refuse;
use axum::Router;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use synod_store::Event;
use synod_tools::{Call, Piece};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Streams at once, of both kinds.
const STREAMS_MAX: usize = 1_000;
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(100);
/// Between two signs of life on an idle stream, and two looks at whether its reader's token counts.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// Events of one look.
const EVENTS_MAX: usize = 200;
/// Pieces of an answer that wait for a reader; whoever is slower gets the end alone.
const PIECES_MAX: usize = 1_024;

/// What streams stand on.
#[derive(Clone)]
pub struct Streams {
    /// The one door.
    pub door: Arc<Door>,
    places: Arc<Semaphore>,
    /// Ends all of them.
    pub stop: CancellationToken,
}

impl Streams {
    /// For one server.
    pub fn new(door: Arc<Door>, stop: CancellationToken) -> Self {
        Streams { door, places: Arc::new(Semaphore::new(STREAMS_MAX)), stop }
    }

    /// A place among the streams.
    ///
    /// # Errors
    /// `overloaded` when there is none.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let text = format!("{STREAMS_MAX} streams are open; ask for `/v1/tasks/ID` instead");
            Fault::new(fault::OVERLOADED, text).retry_after(5_000)
        })
    }

    /// The events of a job behind number `seq`, if the caller may see it.
    ///
    /// # Errors
    /// Those of `job`.
    pub async fn feed(&self, caller: &Caller, job: &str, seq: i64) -> Result<Feed, Fault> {
        let args = json!({ "op": "status", "id": job });
        self.door.call(caller, "job", args, Call::silent()).await?;
        let soon = Instant::now() + HEARTBEAT;
        Ok(Feed {
            door: Arc::clone(&self.door),
            caller: caller.clone(),
            job: job.to_owned(),
            seq,
            ready: VecDeque::new(),
            over: false,
            beat: soon,
            admit: soon,
            known: Known::now(),
        })
    }
}

/// The routes of job streams; each serves a WebSocket to whom asks for one.
pub fn routes(streams: Streams) -> Router {
    Router::new()
        .route("/v1/tasks/{id}/stream", get(open))
        .route("/v1/jobs/{id}/stream", get(open))
        .route("/v1/stream/{id}", get(open))
        .with_state(streams.clone())
        .merge(crate::socket::routes(streams))
}

/// One thing that a stream shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its number; none for signs of life.
    pub seq: Option<i64>,
    /// log, status, progress, result, error, heartbeat and those of heads.
    pub kind: String,
    /// `{type, ts, payload}`.
    pub body: Value,
}

impl Shown {
    fn of(event: Event) -> Self {
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        let ts = synod_index::timestamp(event.at_ms);
        let body = json!({ "type": event.kind, "ts": ts, "payload": payload });
        Shown { seq: Some(event.seq), kind: event.kind, body }
    }

    fn bare(kind: &str, payload: &Value) -> Self {
        let ts = synod_index::timestamp(crate::now_ms());
        let body = json!({ "type": kind, "ts": ts, "payload": payload });
        Shown { seq: None, kind: kind.to_owned(), body }
    }
}

/// A job's events, until it has ended.
pub struct Feed {
    door: Arc<Door>,
    caller: Caller,
    job: String,
    seq: i64,
    ready: VecDeque<Shown>,
    over: bool,
    beat: Instant,
    /// When to look whether the reader's token still counts.
    admit: Instant,
    known: Known,
}

impl Feed {
    /// Whose events these are.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The next thing to show; a heartbeat where nothing happens; nothing when the job has ended.
    pub async fn next(&mut self) -> Option<Shown> {
        loop {
            if let Some(end) = self.revoked() {
                return Some(end);
            }
            if let Some(shown) = self.ready.pop_front() {
                self.beat = Instant::now() + HEARTBEAT;
                return Some(shown);
            }
            if self.over {
                return None;
            }
            if let Err(fault) = self.look() {
                self.over = true;
                return Some(Shown::bare("error", &fault.to_json()["error"]));
            }
            if !self.ready.is_empty() || self.over {
                continue;
            }
            if Instant::now() >= self.beat {
                self.beat = Instant::now() + HEARTBEAT;
                return Some(Shown::bare("heartbeat", &json!({})));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The end of a stream whose reader's token was revoked; looked at now and then.
    fn revoked(&mut self) -> Option<Shown> {
        if self.over || Instant::now() < self.admit {
            return None;
        }
        self.admit = Instant::now() + HEARTBEAT;
        let fault = self.door.may_stay(&self.caller, &mut self.known).err()?;
        self.over = true;
        self.ready.clear();
        Some(Shown::bare("error", &fault.to_json()["error"]))
    }

    fn look(&mut self) -> Result<(), Fault> {
        let store = &self.door.context().store;
        // The state first: what ended then has no event that is not found now.
        let ended = store.job(&self.job)?.is_none_or(|job| job.state.ended());
        let found = store.events_after(&self.job, self.seq, EVENTS_MAX)?;
        if found.n_dropped > 0 {
            let text = json!({ "message": format!("{} events were dropped", found.n_dropped) });
            self.ready.push_back(Shown::bare("log", &text));
        }
        self.over = ended && found.events.is_empty();
        if let Some(last) = found.events.last() {
            self.seq = last.seq;
        }
        self.ready.extend(found.events.into_iter().map(Shown::of));
        Ok(())
    }
}

/// Behind which event a reader goes on: as browsers say it, or in the address.
pub fn last_seen(headers: &HeaderMap, query: &HashMap<String, String>) -> Result<i64, Fault> {
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let text = header.or_else(|| query.get("last_event_id").map(String::as_str)).unwrap_or("0");
    text.trim().parse().ok().filter(|seq: &i64| *seq >= 0).ok_or_else(|| {
        let text = format!("the last event's id is `{text}`; give the number of an event");
        Fault::new(fault::INVALID, text)
    })
}

async fn open(
    State(streams): State<Streams>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    socket: crate::socket::Wanted,
) -> Response {
    let caller = Caller { face: "rest", ..caller };
    let opened = async {
        let seq = last_seen(&headers, &query)?;
        let feed = streams.feed(&caller, &id, seq).await?;
        Ok::<_, Fault>((feed, streams.place()?))
    };
    let (feed, place) = match opened.await {
        Ok(opened) => opened,
        Err(fault) => return refuse(&fault),
    };
    match socket {
        Ok(socket) => crate::socket::job(socket, feed, place, streams.stop),
        Err(_) => events(feed, place, streams.stop),
    }
}

fn events(feed: Feed, place: OwnedSemaphorePermit, stop: CancellationToken) -> Response {
    let shown = stream::unfold((feed, place, stop), |(mut feed, place, stop)| async move {
        let shown = tokio::select! {
            shown = feed.next() => shown?,
            () = stop.cancelled() => return None,
        };
        let event = SseEvent::default().event(&shown.kind).data(shown.body.to_string());
        let event = match shown.seq {
            Some(seq) => event.id(seq.to_string()),
            None => event,
        };
        Some((event, (feed, place, stop)))
    });
    serve(shown)
}

fn serve(events: impl Stream<Item = SseEvent> + Send + 'static) -> Response {
    let events = events.map(Ok::<_, Infallible>);
    let mut response =
        Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// `models` infer, with the answer as it comes: `text` {delta}, `void` when what came so far counts
/// no more, then `complete` with the whole answer, or `error`. What fails before anything came has
/// the status of its fault, unless that takes longer than a sign of life may.
pub async fn infer(door: Arc<Door>, caller: Caller, args: Value, mut call: Call) -> Response {
    let (send, mut receive) = mpsc::channel::<Result<SseEvent, Fault>>(PIECES_MAX);
    let pieces = send.clone();
    call.hear = Some(Arc::new(move |piece: Piece| {
        let event = match piece {
            Piece::Text(text) => named("text", &json!({ "delta": text })),
            Piece::Void => named("void", &json!({})),
        };
        // Whoever reads too slowly misses pieces; the whole answer comes at the end.
        if pieces.try_send(Ok(event)).is_err() {
            tracing::debug!("a piece of an answer was left out");
        }
    }));
    tokio::spawn(async move {
        let answer = door.call(&caller, "models", args, call).await;
        let last = answer.map(|answer| named("complete", &answer.structured["answer"]));
        // Nobody reads any more: the answer is kept under its key, if it has one.
        let _ = send.send(last).await;
    });
    let first = match tokio::time::timeout(HEARTBEAT, receive.recv()).await {
        Ok(Some(Err(fault))) => return refuse(&fault),
        Ok(first) => first,
        Err(_) => None,
    };
    let rest = stream::unfold(receive, |mut receive| async move {
        let event = receive.recv().await?;
        Some((event, receive))
    });
    let events = stream::iter(first).chain(rest);
    let shown = |event: Result<SseEvent, Fault>| {
        event.unwrap_or_else(|fault| named("error", &fault.to_json()["error"]))
    };
    serve(events.map(shown))
}

fn named(kind: &str, data: &Value) -> SseEvent {
    SseEvent::default().event(kind).data(data.to_string())
}
