//! WebSockets: a job's events, and a session in which a person asks and the heads answer.
//!
//! A browser's WebSocket cannot send a header. It offers its token as a protocol, beside the one
//! that is spoken here. Invariant: what is answered names that one alone, never a token.

use crate::dispatch::Caller;
use crate::fault::{self, Fault};
use crate::http::refuse;
use crate::stream::{Feed, Shown, Streams};
use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};
use synod_tools::Call;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// A request that may want a WebSocket.
pub type Wanted = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The protocol of these sockets.
const PROTOCOL: &str = "synod";
/// What a token stands behind among the protocols that a client offers.
const BEARER: &str = "synod.bearer.";

/// Longest message of a client, in bytes.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// A longer one is read up to here, so that its sender learns why the conversation ends: what is
/// left unread at the end of a connection takes the farewell with it.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `/v1/sessions/{id}/stream`
pub fn routes(streams: Streams) -> Router {
    Router::new().route("/v1/sessions/{id}/stream", get(session)).with_state(streams)
}

/// The token that a request for a WebSocket carries among the protocols it offers.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let wanted = headers.get(header::UPGRADE)?.to_str().ok()?;
    if !wanted.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    offered.find_map(|protocol| protocol.trim().strip_prefix(BEARER))
}

/// A socket within its bounds, with the one protocol that is spoken.
fn bounded(socket: WebSocketUpgrade) -> WebSocketUpgrade {
    let socket = socket.protocols([PROTOCOL]);
    socket.max_message_size(READ_BYTES_MAX).max_frame_size(READ_BYTES_MAX)
}

/// Shows a job's events until it has ended.
pub fn job(
    socket: WebSocketUpgrade,
    mut feed: Feed,
    place: OwnedSemaphorePermit,
    stop: CancellationToken,
) -> Response {
    bounded(socket).on_upgrade(|mut socket| async move {
        let _place = place;
        loop {
            let shown = tokio::select! {
                shown = feed.next() => shown,
                said = socket.recv() => match said {
                    // What a reader says is no matter of a job; it may close.
                    Some(Ok(message)) if !matches!(message, Message::Close(_)) => continue,
                    _ => return,
                },
                () = stop.cancelled() => None,
            };
            let Some(Shown { seq, mut body, .. }) = shown else { break };
            if let Some(seq) = seq {
                body["id"] = seq.into();
            }
            if !send(&mut socket, &body).await {
                return;
            }
        }
        close(socket, None).await;
    })
}

async fn send(socket: &mut WebSocket, body: &Value) -> bool {
    socket.send(Message::Text(body.to_string().into())).await.is_ok()
}

async fn close(mut socket: WebSocket, why: Option<CloseFrame>) {
    // Whoever has left needs no farewell.
    let _ = socket.send(Message::Close(why)).await;
}

/// The end of a conversation in which a message was too long.
fn too_long() -> CloseFrame {
    let reason = format!("a message is at most {MESSAGE_BYTES_MAX} bytes");
    CloseFrame { code: close_code::SIZE, reason: reason.into() }
}

async fn session(
    State(streams): State<Streams>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    socket: Wanted,
) -> Response {
    let caller = Caller { face: "rest", ..caller };
    let Ok(socket) = socket else {
        let text = "this route is a WebSocket; ask with `POST /v1/sessions/ID/prompt` without one";
        return refuse(&Fault::new(fault::INVALID, text));
    };
    let known = json!({ "op": "get", "id": id });
    let known = streams.door.call(&caller, "session", known, Call::silent()).await;
    let place = match known.and_then(|_| streams.place()) {
        Ok(place) => place,
        Err(fault) => return refuse(&fault),
    };
    bounded(socket).on_upgrade(move |socket| async move {
        let _place = place;
        Talk { streams, caller, session: id, socket }.run().await;
    })
}

/// A conversation over one socket: one question at a time.
struct Talk {
    streams: Streams,
    caller: Caller,
    session: String,
    socket: WebSocket,
}

impl Talk {
    async fn run(mut self) {
        let stop = self.streams.stop.clone();
        let mut why = None;
        loop {
            let said = tokio::select! {
                said = self.socket.recv() => said,
                () = stop.cancelled() => break,
            };
            let text = match said {
                Some(Ok(Message::Text(text))) if text.len() > MESSAGE_BYTES_MAX => {
                    why = Some(too_long());
                    break;
                }
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Binary(_))) => {
                    let fault = Fault::new(fault::INVALID, "send text: `{\"prompt\": …}`");
                    if !self.fail(&fault).await {
                        return;
                    }
                    continue;
                }
                Some(Ok(Message::Close(_))) | None => return,
                Some(Err(_)) => break,
            };
            let going = match self.ask(&text).await {
                Ok(feed) => self.follow(feed).await,
                Err(fault) => self.fail(&fault).await,
            };
            if !going {
                break;
            }
        }
        close(self.socket, why).await;
    }

    /// Says what went wrong; false when that ends the conversation.
    async fn fail(&mut self, fault: &Fault) -> bool {
        let error = fault.to_json()["error"].clone();
        let message = fault.to_string();
        let body = json!({ "type": "error", "message": message, "error": error });
        send(&mut self.socket, &body).await && fault.code != fault::UNAUTHENTICATED
    }

    /// Leaves the question as a job and gives its events. Who asks was let in when the socket was
    /// opened, which may be long ago.
    async fn ask(&mut self, text: &str) -> Result<Feed, Fault> {
        self.streams.door.still_known(&self.caller)?;
        let bad = |why: String| Fault::new(fault::INVALID, why);
        let said: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            bad(format!("the message does not parse: {error}; send {{\"prompt\": …}}"))
        })?;
        self.caller.watches()?;
        let mut input = said;
        let Some(prompt) = input.remove("prompt").filter(Value::is_string) else {
            return Err(bad("the message has no `prompt`; send `{\"prompt\": …}`".to_owned()));
        };
        input.insert("query".to_owned(), prompt);
        input.insert("session".to_owned(), self.session.clone().into());
        input.insert("mode".to_owned(), "heads".into());
        let args = json!({ "op": "submit", "kind": "orchestrate", "input": input });
        let left = self.streams.door.call(&self.caller, "job", args, Call::silent()).await?;
        let job = left.structured["job"].as_str().unwrap_or_default().to_owned();
        self.streams.feed(&self.caller, &job, 0).await
    }

    /// Shows what goes on until the job has ended or waits for a person, and how it stands then;
    /// false when the client is gone, or its token is. The job goes on without it.
    async fn follow(&mut self, mut feed: Feed) -> bool {
        let stop = self.streams.stop.clone();
        let mut kind = "complete";
        loop {
            let shown = tokio::select! {
                shown = feed.next() => shown,
                // The job goes on in another process, or when this one starts again.
                () = stop.cancelled() => return true,
                said = self.socket.recv() => {
                    match said {
                        Some(Ok(Message::Text(_))) => {
                            let text = "a question is at work; wait for `complete`";
                            let fault = Fault::new(fault::CONFLICT, text);
                            if !self.fail(&fault).await {
                                return false;
                            }
                            continue;
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                        Some(Ok(_)) => continue,
                    }
                }
            };
            let Some(shown) = shown else { break };
            if shown.kind == "status" && shown.body["payload"]["state"] == "waiting" {
                kind = "waiting";
                break;
            }
            let heads = matches!(
                shown.kind.as_str(),
                "heads_running" | "head_complete" | "witness_running" | "heartbeat"
            );
            if !heads {
                continue;
            }
            let mut body = json!({ "type": shown.kind });
            if let (Some(body), Some(payload)) =
                (body.as_object_mut(), shown.body["payload"].as_object())
            {
                body.extend(payload.clone());
            }
            if !send(&mut self.socket, &body).await {
                return false;
            }
        }
        if let Err(fault) = self.streams.door.still_known(&self.caller) {
            return self.fail(&fault).await;
        }
        let args = json!({ "job": feed.job() });
        match self.streams.door.call(&self.caller, "orchestrate", args, Call::silent()).await {
            Ok(answer) => {
                let mut body = json!({ "type": kind });
                if let (Some(body), Some(reply)) =
                    (body.as_object_mut(), answer.structured.as_object())
                {
                    body.extend(reply.clone());
                }
                send(&mut self.socket, &body).await
            }
            Err(fault) => self.fail(&fault).await,
        }
    }
}
