//! The stdio transport: answers before any index is opened, ends with its input or its parent.
//!
//! Invariant: nothing but protocol is written to stdout.

use crate::dispatch::Caller;
use crate::fault::Fault;
use crate::mcp::Servers;
use rmcp::ServiceExt;
use rmcp::service::{QuitReason, ServerInitializeError};
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
    let (read, ended) = EndOfInput::new(read);
    let transport = rmcp::transport::async_rw::AsyncRwTransport::new_server(read, write)
        .with_max_line_length(line_bytes_max);
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

/// Tells when the input has ended.
struct EndOfInput<R> {
    inner: R,
    ended: std::sync::Arc<tokio::sync::Notify>,
}

impl<R> EndOfInput<R> {
    fn new(inner: R) -> (Self, std::sync::Arc<tokio::sync::Notify>) {
        let ended = std::sync::Arc::new(tokio::sync::Notify::new());
        (EndOfInput { inner, ended: std::sync::Arc::clone(&ended) }, ended)
    }
}

impl<R: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for EndOfInput<R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = std::pin::Pin::new(&mut self.inner).poll_read(cx, buffer);
        if matches!(result, std::task::Poll::Ready(Ok(()))) && buffer.filled().len() == before {
            self.ended.notify_one();
        }
        result
    }
}
