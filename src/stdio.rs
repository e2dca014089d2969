//! The stdio transport: answers before any index is opened, ends with its input or its parent.
//!
//! Invariant: nothing but protocol is written to stdout.

use crate::dispatch::Caller;
use crate::fault::Fault;
use crate::mcp::Servers;
use rmcp::ServiceExt;
use rmcp::service::{QuitReason, ServerInitializeError};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// After the end of input, running calls get this long before the process ends.
const DRAIN: Duration = Duration::from_millis(1_000);
/// Between two looks whether the parent still lives, where the kernel does not tell.
const PARENT: Duration = Duration::from_millis(500);

/// Serves one client on stdin and stdout until its input ends.
///
/// # Errors
/// `internal` when the transport fails for another reason than its end.
pub async fn serve(servers: &Servers, caller: Caller, line_bytes_max: usize) -> Result<(), Fault> {
    let server = servers.connect(caller, true);
    let (read, write) = rmcp::transport::stdio_pipes();
    let (read, ended) = LineGuard::new(read, line_bytes_max);
    let transport = rmcp::transport::async_rw::AsyncRwTransport::new_server(read, write)
        .with_max_line_length(line_bytes_max + 1);
    let serving = async {
        let running = match server.serve(transport).await {
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

/// Reads lines, tells when the input has ended, and puts an empty batch in the place of a line that
/// is no JSON or is too long: the library drops such lines in silence and refuses a batch, so that
/// the client gets an error (-32600) instead of waiting for its own timeout.
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
        let sound = || serde_json::from_slice::<serde::de::IgnoredAny>(&self.line).is_ok();
        if blank || sound() {
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
}
