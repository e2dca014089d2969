//! The stdio transport: answers before any index is opened, ends with its input or its parent.
//!
//! Invariant: nothing but protocol is written to stdout.

use crate::dispatch::Caller;
use crate::fault::Fault;
use crate::mcp::Servers;
use rmcp::model::{ClientRequest, GetMeta, ProtocolVersion};
use rmcp::service::{QuitReason, RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleServer, ServiceExt};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// After the end of input, running calls get this long before the process ends.
const DRAIN: Duration = Duration::from_millis(1_000);
/// Between two looks whether the parent still lives, where the kernel does not tell.
const PARENT: Duration = Duration::from_millis(500);

/// Serves one client on stdin and stdout until its input ends, its parent does or a signal comes.
///
/// # Errors
/// `internal` when the transport fails for another reason than its end.
pub async fn serve(servers: &Servers, caller: Caller, line_bytes_max: usize) -> Result<(), Fault> {
    let server = servers.connect(caller, true);
    let (read, write) = rmcp::transport::stdio_pipes();
    let (read, ended) = LineGuard::new(read, line_bytes_max);
    let transport =
        AsyncRwTransport::new_server(read, write).with_max_line_length(line_bytes_max + 1);
    let serving = async {
        let running = match server.serve(Opening::new(transport)).await {
            Ok(running) => running,
            // The client went away before it said anything: no failure of ours.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => {
                tracing::warn!(error = %error, "the client did not complete its handshake");
                return Ok(());
            }
        };
        match running.waiting().await {
            Ok(QuitReason::JoinError(error)) => Err(Fault::internal(&error)),
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::internal(&error)),
        }
    };
    tokio::select! {
        result = serving => result,
        () = after_end(ended) => Ok(()),
        () = parent_gone() => Ok(()),
        // Who calls writes down what is left to write: a signal alone would lose it.
        () = crate::up::signal() => Ok(()),
        () = hangup() => Ok(()),
    }
}

async fn after_end(ended: std::sync::Arc<tokio::sync::Notify>) {
    ended.notified().await;
    tokio::time::sleep(DRAIN).await;
}

/// Ends when the process that started this one is gone.
async fn parent_gone() {
    #[cfg(unix)]
    {
        let first = rustix::process::getppid();
        loop {
            tokio::time::sleep(PARENT).await;
            if rustix::process::getppid() != first {
                return;
            }
        }
    }
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
}

/// Ends when the terminal is closed, unless whoever started this program wants it to outlive that.
async fn hangup() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if !ignores_hangup()
            && let Ok(mut hangup) = signal(SignalKind::hangup())
        {
            hangup.recv().await;
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Whether the signal is ignored, as `nohup` has it; where the kernel does not say, it is not.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| mask.trim().ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']))
}

/// Leaves out what is no request until the protocol has begun: the library ends a connection that
/// opens with a notification or a response, and clients send `notifications/cancelled` behind a
/// probe that they gave up.
pub struct Opening<T> {
    inner: T,
    begun: bool,
}

impl<T> Opening<T> {
    /// Around a transport that nothing was read from yet.
    pub fn new(inner: T) -> Self {
        Opening { inner, begun: false }
    }
}

/// Whether the library takes a request for the beginning. It answers probes, pings and what carries
/// no version before it.
fn begins(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        request => {
            let meta = request.get_meta();
            let known = |version| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(known)
        }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Opening<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let message = self.inner.receive().await?;
            match &message {
                RxJsonRpcMessage::<RoleServer>::Request(asked) => {
                    self.begun = self.begun || begins(&asked.request);
                }
                _ if self.begun => {}
                _ => {
                    tracing::debug!("a message before the first request was left out");
                    continue;
                }
            }
            return Some(message);
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// Reads lines, tells when the input has ended, and puts an empty batch in the place of a line that
/// the library cannot parse or that is too long: it drops such lines in silence and refuses a
/// batch, so that the client gets an error (-32600) instead of waiting for its own timeout.
struct LineGuard<R> {
    inner: R,
    ended: std::sync::Arc<tokio::sync::Notify>,
    max: usize,
    /// The line so far.
    line: Vec<u8>,
    /// The rest of a line that is too long is left out.
    discarding: bool,
    /// Checked bytes that wait to be read.
    ready: Vec<u8>,
    taken: usize,
    at_end: bool,
}

/// Any JSON, read as the library reads it and not kept. What is only skipped (`IgnoredAny`) is held
/// to no depth, and its strings and numbers to no rule.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Sound)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Sound;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
        while items.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sound, A::Error> {
        while map.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}

fn is_sound(line: &[u8]) -> bool {
    // Windows puts a mark before the first line, and the library takes it away.
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    serde_json::from_slice::<Sound>(line).is_ok()
}

/// The code unit of an escape, `\ud83d`, at the beginning.
fn escaped(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Puts the replacement character in the place of half a surrogate pair, which is what JavaScript
/// makes of an emoji that is cut in two; says whether there was one.
fn mend_halves(line: &mut [u8]) -> bool {
    let (mut at, mut mended) = (0, false);
    while let Some(next) = line[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        let first = escaped(&line[at..]);
        let second = line.get(at + 6..).and_then(escaped);
        let taken = match (first, second) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                line[at + 2..at + 6].copy_from_slice(b"fffd");
                mended = true;
                6
            }
            _ => 2,
        };
        at = line.len().min(at + taken);
    }
    mended
}

/// What a refused line becomes.
const REFUSED: &[u8] = b"[]\n";
/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

impl<R> LineGuard<R> {
    fn new(inner: R, max: usize) -> (Self, std::sync::Arc<tokio::sync::Notify>) {
        let ended = std::sync::Arc::new(tokio::sync::Notify::new());
        let guard = LineGuard {
            inner,
            ended: std::sync::Arc::clone(&ended),
            max,
            line: Vec::new(),
            discarding: false,
            ready: Vec::new(),
            taken: 0,
            at_end: false,
        };
        (guard, ended)
    }

    fn accept(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let ends = piece.ends_with(b"\n");
            if !self.discarding {
                self.line.extend_from_slice(piece);
                if self.line.len() > self.max {
                    self.line.clear();
                    self.discarding = true;
                    self.ready.extend_from_slice(REFUSED);
                }
            }
            if ends {
                if !self.discarding {
                    self.finish_line();
                }
                self.discarding = false;
            }
        }
    }

    fn finish_line(&mut self) {
        let blank = self.line.iter().all(u8::is_ascii_whitespace);
        if blank || is_sound(&self.line) || (mend_halves(&mut self.line) && is_sound(&self.line)) {
            self.ready.append(&mut self.line);
        } else {
            self.ready.extend_from_slice(REFUSED);
            self.line.clear();
        }
        if self.line.capacity() > 4 * READ_BYTES {
            self.line = Vec::new();
        }
    }

    fn hand_out(&mut self, buffer: &mut tokio::io::ReadBuf<'_>) {
        let n = buffer.remaining().min(self.ready.len() - self.taken);
        buffer.put_slice(&self.ready[self.taken..self.taken + n]);
        self.taken += n;
        if self.taken == self.ready.len() {
            self.ready.clear();
            self.taken = 0;
        }
    }
}

impl<R: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for LineGuard<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // Not zeroed: that would cost more than the message.
        let mut bytes = [std::mem::MaybeUninit::uninit(); READ_BYTES];
        while self.ready.is_empty() && !self.at_end {
            let mut chunk = tokio::io::ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.inner).poll_read(cx, &mut chunk) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            if chunk.filled().is_empty() {
                self.at_end = true;
                self.ended.notify_one();
            } else {
                self.accept(chunk.filled());
            }
        }
        self.hand_out(buffer);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn bad_lines_become_refusals_and_good_ones_pass() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        let text = format!("{{\"a\":1}}\n{{bad\n{long}\n\n{{\"b\":2}}\n");
        let (mut guard, _) = LineGuard::new(text.as_bytes(), 50);
        let mut out = String::new();
        guard.read_to_string(&mut out).await.unwrap();
        assert_eq!(out, "{\"a\":1}\n[]\n[]\n\n{\"b\":2}\n");
    }

    #[test]
    fn halves_of_pairs_are_mended_and_nothing_else() {
        for (line, mended) in [
            (r#"{"a":"x \ud83d"}"#, r#"{"a":"x \ufffd"}"#),
            (r#"["\ude00\ud83d","\uD83D\n"]"#, r#"["\ufffd\ufffd","\ufffd\n"]"#),
            (r#"["\ud83d\ud83d\ude00"]"#, r#"["\ufffd\ud83d\ude00"]"#),
        ] {
            let mut bytes = line.as_bytes().to_vec();
            assert!(!is_sound(&bytes) && mend_halves(&mut bytes) && is_sound(&bytes), "{line}");
            assert_eq!(String::from_utf8(bytes).unwrap(), mended);
        }
        for line in [r#"["\ud83d\ude00"]"#, r#"["\\ud83d"]"#, r#"["\u00e9"]"#, r#"["\u12"#, "\\"] {
            let mut bytes = line.as_bytes().to_vec();
            assert!(!mend_halves(&mut bytes), "{line}");
            assert_eq!(bytes, line.as_bytes());
        }
    }
}
