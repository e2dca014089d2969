//! One exchange with a server: a request out, an answer in, within its times.
//!
//! Knows no retry, no budget and no breaker. Invariant: what ends without a finish reason, or is
//! not of the dialect, is a fault, whatever its status was.

use crate::ask::Usage;
use crate::catalog::Provider;
use crate::dialect::{Piece, Prompt, Rules};
use crate::draft::{Draft, Whole};
use crate::error::{FailureKind, Fault};
use crate::stream::{Cutter, Framing};
use crate::wire::{Headers, Reply, Wire};
use futures::FutureExt;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest answer that does not come as a stream, in bytes.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest refusal that is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Time for what may follow the end of an answer: its counts, and the mark that nothing follows.
/// They mostly lie in the same packet.
const REST: Duration = Duration::from_secs(2);
/// Time for the body of a refusal: its status alone says enough.
const REFUSAL: Duration = Duration::from_secs(2);

/// How far an exchange is; told as it happens.
#[derive(Debug)]
pub(crate) enum Stage<'a> {
    /// The request goes out.
    Sent,
    /// The model has begun.
    Begun,
    /// The model thinks; how much is known once it is counted.
    Thought,
    /// A piece of text came.
    Text(&'a str),
    /// What the provider has counted of an answer that has ended.
    Counted(Usage),
}

/// Who is told.
pub(crate) type Tell<'a> = &'a mut (dyn FnMut(Stage) + Send);

/// Everything that one exchange needs.
pub(crate) struct Exchange<'a> {
    pub rules: &'static Rules,
    pub wire: &'a Wire,
    pub provider: &'a Provider,
    pub prompt: Prompt<'a>,
    pub secret: Option<&'a str>,
    pub deadline: Instant,
}

/// A time by which something has to be there, and what to say when it is not.
#[derive(Clone, Copy)]
struct By {
    at: Instant,
    note: &'static str,
}

impl By {
    fn earlier(self, other: By) -> By {
        if other.at < self.at { other } else { self }
    }

    async fn wait<T>(self, what: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match timeout_at(self.at, what).await {
            Ok(result) => result,
            Err(_) => Err(Fault::new(FailureKind::Timeout, self.note)),
        }
    }
}

/// Headers of a provider's requests.
pub(crate) fn headers(rules: &Rules, provider: &Provider, secret: Option<&str>) -> Headers {
    let header = provider.key_header.as_deref();
    let key = secret.map(|secret| rules.key(secret, header));
    let own = rules.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    own.chain(key).collect()
}

impl Exchange<'_> {
    /// Asks and reads the answer to its end.
    pub async fn run(&self, tell: Tell<'_>) -> Result<Whole, Fault> {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let deadline = By { at: self.deadline, note: "the deadline is over" };
        let total = By { at: after(self.provider.total_ms), note: "`total_ms` is over" };
        let total = total.earlier(deadline);
        let first =
            By { at: after(self.provider.first_token_ms), note: "`first_token_ms` is over" };
        let first = if self.provider.stream { first.earlier(total) } else { total };
        let call = self.rules.call(&self.prompt);
        let headers = headers(self.rules, self.provider, self.secret);
        tell(Stage::Sent);
        let reply = first.wait(self.wire.post(&call.path, &headers, &call.body)).await?;
        if !(200..300).contains(&reply.status) {
            return Err(self.refused(reply, total).await);
        }
        let draft = match self.shape(&reply)? {
            Some(framing) => self.stream(reply, framing, first, total, tell).await?,
            None => self.body(reply, total, tell).await?,
        };
        draft.whole()
    }

    async fn refused(&self, reply: Reply, by: By) -> Fault {
        let (status, retry_after) = (reply.status, reply.retry_after);
        let by = by.earlier(By { at: Instant::now() + REFUSAL, note: "" });
        let body = by.wait(reply.whole(REFUSAL_BYTES_MAX)).await.unwrap_or_default();
        let mut fault = (self.rules.refusal)(status, &body);
        if let FailureKind::RateLimit { retry_after: named @ None } = &mut fault.kind {
            *named = retry_after;
        }
        fault.retry_after = retry_after;
        if fault.note.is_empty() {
            fault.note = format!("HTTP {status}");
        }
        fault
    }

    /// How a good reply is cut; nothing when it is one piece. Servers that cannot stream answer in
    /// one piece though a stream was asked for.
    fn shape(&self, reply: &Reply) -> Result<Option<Framing>, Fault> {
        let kind = reply.content_type.split(';').next().unwrap_or_default().trim();
        let (streams, framing) = (self.provider.stream, self.rules.framing);
        match (kind, framing) {
            ("text/event-stream", Framing::Sse) => Ok(Some(Framing::Sse)),
            ("application/x-ndjson", Framing::Lines) => Ok(Some(Framing::Lines)),
            ("application/json" | "", Framing::Lines) if streams => Ok(Some(Framing::Lines)),
            ("", Framing::Sse) if streams => Ok(Some(Framing::Sse)),
            ("application/json" | "", _) => Ok(None),
            _ => Err(Fault {
                note: "its content type is none of its dialect".to_owned(),
                ..Fault::said(FailureKind::Malformed, kind)
            }),
        }
    }

    async fn stream(
        &self,
        mut reply: Reply,
        framing: Framing,
        first: By,
        total: By,
        tell: Tell<'_>,
    ) -> Result<Draft, Fault> {
        let mut cutter = Cutter::new(framing);
        let mut draft = Draft::default();
        let mut rest: Option<By> = None;
        while !draft.done {
            let by = if draft.begun { total } else { first };
            let by = rest.map_or(by, |rest| by.earlier(rest));
            let chunk = match by.wait(reply.chunk()).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    self.last(&mut cutter, &mut draft, tell)?;
                    return Ok(draft);
                }
                // The answer was complete before the connection broke, or its server fell silent.
                Err(fault) if draft.ended() && silent(&fault.kind) => break,
                Err(fault) => return Err(fault),
            };
            let length = draft.text.len();
            let events = cutter.push(&chunk).map_err(|long| {
                let note = format!("an event is over {} bytes", long.0);
                Fault::new(FailureKind::Malformed, note)
            })?;
            for event in events {
                self.absorb(&event, &mut draft, tell)?;
            }
            // Servers there are that give a reason with each piece of text.
            if draft.ended() && (rest.is_none() || draft.text.len() > length) {
                rest = Some(By { at: Instant::now() + REST, note: "" });
            }
        }
        // The end of the body mostly lies in the same packet; a connection whose body was read to
        // its end is used again.
        let _ = reply.chunk().now_or_never();
        Ok(draft)
    }

    /// Takes what is left when the stream has ended: half an event is one that was cut.
    fn last(&self, cutter: &mut Cutter, draft: &mut Draft, tell: Tell<'_>) -> Result<(), Fault> {
        let Some(rest) = cutter.rest() else { return Ok(()) };
        match self.absorb(&rest, draft, tell) {
            Err(fault) if fault.kind == FailureKind::Malformed => {
                let note = "its stream ended inside an event".to_owned();
                let whole = draft.ended();
                let cut = Fault { kind: FailureKind::Truncated, note, ..fault };
                if whole { Ok(()) } else { Err(cut) }
            }
            result => result,
        }
    }

    async fn body(&self, reply: Reply, by: By, tell: Tell<'_>) -> Result<Draft, Fault> {
        let body = by.wait(reply.whole(BODY_BYTES_MAX)).await?;
        let mut draft = Draft::default();
        take((self.rules.answer)(&body)?, &mut draft, tell)?;
        Ok(draft)
    }

    fn absorb(&self, event: &[u8], draft: &mut Draft, tell: Tell<'_>) -> Result<(), Fault> {
        take((self.rules.event)(event)?, draft, tell)
    }
}

/// Whether nothing more came, rather than something wrong.
fn silent(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::Truncated | FailureKind::Timeout)
}

fn take(pieces: Vec<Piece>, draft: &mut Draft, tell: Tell<'_>) -> Result<(), Fault> {
    for piece in pieces {
        let (begun, length) = (draft.begun, draft.text.len());
        let thought = piece == Piece::Thought;
        draft.take(piece)?;
        if draft.begun && !begun {
            tell(Stage::Begun);
        }
        if thought {
            tell(Stage::Thought);
        }
        if draft.text.len() > length {
            tell(Stage::Text(&draft.text[length..]));
        }
        if let Some(usage) = draft.counts() {
            tell(Stage::Counted(usage));
        }
    }
    Ok(())
}
