//! Who wants to know of changes to which resources, and telling them.
//!
//! Looks at the index's generation, and at the events of jobs and the messages of sessions, so that
//! changes are seen whichever process wrote them. Nothing is looked at while nobody listens.

use crate::fault::{self, Fault};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use synod_index::Index;
use synod_store::Store;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Between two looks at the generation.
const LOOK: Duration = Duration::from_millis(200);
/// Updates that wait for one listener; a slow one is told the rest once it has taken some.
const UPDATES_MAX: usize = 256;
/// Listeners at once.
const LISTENERS_MAX: usize = 1_000;
/// Resources of one listener.
const URIS_MAX: usize = 1_000;

struct Listener {
    id: u64,
    /// By URI: the generation of its row when it was last told.
    known: HashMap<String, Option<u64>>,
    send: Sender<String>,
}

/// See the module.
pub struct Hub {
    index: Arc<Index>,
    store: Arc<Store>,
    listeners: Mutex<Vec<Listener>>,
    next: AtomicU64,
    /// Somebody came whose resources may have changed while they were looked up.
    again: AtomicBool,
    closed: AtomicBool,
}

impl Hub {
    /// Starts looking, on the runtime that calls; ends with the hub.
    pub fn start(index: Arc<Index>, store: Arc<Store>) -> Arc<Hub> {
        let hub = Arc::new(Hub {
            index,
            store,
            listeners: Mutex::default(),
            next: AtomicU64::new(0),
            again: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        tokio::spawn(look(Arc::downgrade(&hub)));
        hub
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what every listener is told, and of those who still come: the server is about to end.
    pub fn close(&self) {
        let mut listeners = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        listeners.clear();
    }

    /// Tells of changes to `uris` until the receiver is dropped or the hub is closed.
    ///
    /// # Errors
    /// `overloaded` when there are too many listeners, `invalid_argument` for too many URIs.
    pub fn subscribe(&self, uris: &[String]) -> Result<Receiver<String>, Fault> {
        if uris.len() > URIS_MAX {
            let text = format!("{} resources; one listener may watch {URIS_MAX}", uris.len());
            return Err(Fault::new(fault::INVALID, text));
        }
        let known = uris.iter().map(|uri| (uri.clone(), self.generation(uri))).collect();
        let (send, receive) = channel(UPDATES_MAX);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.lock();
        listeners.retain(|listener| !listener.send.is_closed());
        if listeners.len() >= LISTENERS_MAX {
            let text = format!("{LISTENERS_MAX} listeners are served already; try again later");
            return Err(Fault::new(fault::OVERLOADED, text).retry_after(10_000));
        }
        // Under the lock that `close` takes.
        if !self.closed.load(Ordering::Relaxed) {
            listeners.push(Listener { id, known, send });
        }
        self.again.store(true, Ordering::Release);
        Ok(receive)
    }

    /// The generation that a resource is of; `None` if there is no such resource.
    fn generation(&self, uri: &str) -> Option<u64> {
        if uri.starts_with("synod://") {
            return self.index.generation().ok();
        }
        if let Some(id) = uri.strip_prefix("job://") {
            return self.store.job_events(id).ok().flatten();
        }
        if let Some(id) = uri.strip_prefix("session://") {
            return self.store.session_messages(id).ok().flatten();
        }
        let behind = synod_resources::spec_document(uri);
        let uri = behind.as_deref().unwrap_or(uri);
        let bare = uri.split('#').next().unwrap_or(uri);
        self.index.generation_of(bare).ok().flatten()
    }

    /// Whether a resource can be told from others as it is named.
    pub fn is_known(&self, uri: &str) -> bool {
        self.generation(uri).is_some()
    }

    /// Whether somebody watches what the index knows nothing of.
    fn watches_state(&self) -> bool {
        let state = |uri: &String| uri.starts_with("job://") || uri.starts_with("session://");
        self.lock().iter().any(|listener| listener.known.keys().any(state))
    }

    /// Tells every listener what changed; false if one has to be told again later. The index is
    /// asked without the lock, so that nobody who subscribes waits for it.
    fn tell(&self) -> bool {
        let wanted: HashSet<String> =
            self.lock().iter().flat_map(|listener| listener.known.keys().cloned()).collect();
        let now: HashMap<String, Option<u64>> =
            wanted.into_iter().map(|uri| (uri.clone(), self.generation(&uri))).collect();
        let mut all = true;
        let mut listeners = self.lock();
        listeners.retain(|listener| !listener.send.is_closed());
        for listener in listeners.iter_mut() {
            for (uri, known) in &mut listener.known {
                let Some(now) = now.get(uri).filter(|now| *now != known) else { continue };
                if listener.send.try_send(uri.clone()).is_ok() {
                    *known = *now;
                } else {
                    tracing::debug!(listener = listener.id, "a slow listener is told later");
                    all = false;
                }
            }
        }
        all
    }
}

async fn look(hub: Weak<Hub>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(hub) = hub.upgrade() else { return };
        if hub.lock().is_empty() {
            continue;
        }
        let work = tokio::task::spawn_blocking(move || {
            let generation = hub.index.generation().ok();
            // Whoever could not be told yet is told at the next look.
            let again = hub.again.swap(false, Ordering::AcqRel) || hub.watches_state();
            let quiet = generation == seen && !again;
            if quiet || hub.tell() { generation } else { None }
        });
        seen = work.await.unwrap_or(None);
    }
}
