//! Takes connections in: a bounded number of them, without Nagle's delay, which costs 44 ms an
//! answer.
//!
//! Who sends half a request, or shows no token, may hold a connection for a moment, and gives its
//! place to the next when there is none left. Who was let in stays as long as it likes. Knows
//! nothing of requests: the gate says whom it let in.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a connection may be without a request that was let in.
const STRANGER: Duration = Duration::from_secs(10);
/// Connections at once, where the system allows as many files.
const CONNECTIONS_MAX: usize = 4_096;

/// How long one waits for a place that a stranger gives up; longer, and nobody else would come in.
const TURN: Duration = Duration::from_secs(1);

/// Half of the files that the process may have open: the index and the servers of models take some.
/// Asks for more where the system gives few by itself.
fn places() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let files = getrlimit(Resource::Nofile);
        let most = 2 * CONNECTIONS_MAX as u64;
        let wanted = files.maximum.map_or(most, |hard| hard.min(most));
        if files.current.is_some_and(|now| now < wanted) {
            let more = Rlimit { current: Some(wanted), maximum: files.maximum };
            if let Err(error) = setrlimit(Resource::Nofile, more) {
                tracing::debug!(error = %error, "no more open files than the usual");
            }
        }
        if let Some(files) = getrlimit(Resource::Nofile).current {
            let half = usize::try_from(files / 2).unwrap_or(CONNECTIONS_MAX);
            return half.clamp(1, CONNECTIONS_MAX);
        }
    }
    CONNECTIONS_MAX
}

struct Shared {
    let_in: AtomicBool,
    /// Ends a connection that was not let in, when its place is wanted.
    end: CancellationToken,
}

/// What the gate holds of a connection.
#[derive(Clone)]
pub struct Stay(Arc<Shared>);

impl Stay {
    /// A request was let in: the connection stays.
    pub fn grant(&self) {
        self.0.let_in.store(true, Ordering::Relaxed);
    }

    fn is_granted(&self) -> bool {
        self.0.let_in.load(Ordering::Relaxed)
    }
}

impl Connected<IncomingStream<'_, Entrance>> for Stay {
    fn connect_info(stream: IncomingStream<'_, Entrance>) -> Self {
        stream.io().stay.clone()
    }
}

/// See the module.
pub struct Entrance {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// The oldest first; some have left or were let in since they came.
    strangers: VecDeque<Weak<Shared>>,
}

impl Entrance {
    /// With as many places as the system's limit of files allows.
    pub fn new(listener: TcpListener) -> Self {
        let places = Arc::new(Semaphore::new(places()));
        Entrance { listener, places, strangers: VecDeque::new() }
    }

    /// Forgets who has left or was let in.
    fn sift(&mut self) {
        let waits = |shared: Arc<Shared>| !shared.let_in.load(Ordering::Relaxed);
        self.strangers.retain(|one| one.upgrade().is_some_and(waits));
    }

    /// A place, if need be that of the stranger who has had one longest. `None` never comes: the
    /// places are not closed.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.sift();
        if let Some(oldest) = self.strangers.pop_front().and_then(|one| one.upgrade()) {
            oldest.end.cancel();
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Listener for Entrance {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address, place) = loop {
            // Failures to accept are waited out there.
            let (stream, address) = <TcpListener as Listener>::accept(&mut self.listener).await;
            // Who finds no place is sent away, not kept waiting before a door that says nothing.
            match tokio::time::timeout(TURN, self.place()).await {
                Ok(place) => break (stream, address, place),
                Err(_) => tracing::warn!("no place for another connection: one was refused"),
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "cannot set TCP_NODELAY");
        }
        if self.strangers.len() >= CONNECTIONS_MAX {
            self.sift();
        }
        let end = CancellationToken::new();
        let shared = Arc::new(Shared { let_in: AtomicBool::new(false), end: end.clone() });
        self.strangers.push_back(Arc::downgrade(&shared));
        let limit = Box::pin(async move {
            // Whichever comes first.
            let _ = tokio::time::timeout(STRANGER, end.cancelled()).await;
        });
        let limit = Limit::Runs(limit);
        (Connection { stream, stay: Stay(shared), limit, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What is left of a stranger's time.
enum Limit {
    /// It was let in.
    Lifted,
    Runs(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

/// A connection with its place.
pub struct Connection {
    stream: TcpStream,
    stay: Stay,
    limit: Limit,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Fails once a stranger's time is over, and wakes the task when it is.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Limit::Runs(left) = &mut self.limit {
            if self.stay.is_granted() {
                self.limit = Limit::Lifted;
            } else if left.as_mut().poll(cx).is_ready() {
                self.limit = Limit::Over;
            }
        }
        match self.limit {
            Limit::Over => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
