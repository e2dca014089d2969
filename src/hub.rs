//! Who wants to know of changes to which resources, and telling them.
//!
//! Looks at the index's generation, so that changes are seen whichever process wrote them. Nothing
//! is looked at while nobody listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use synod_index::Index;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Between two looks at the generation.
const LOOK: Duration = Duration::from_millis(200);
/// Updates that wait for one listener; a slow one misses repetitions, not resources: what it reads
/// afterwards is the newest state.
const UPDATES_MAX: usize = 256;
/// Listeners at once.
const LISTENERS_MAX: usize = 1_000;
/// Resources of one listener.
const URIS_MAX: usize = 1_000;

struct Listener {
    /// By URI: the generation of its row when it was last told.
    known: HashMap<String, Option<u64>>,
    send: Sender<String>,
}

/// See the module.
pub struct Hub {
    index: Arc<Index>,
    listeners: Mutex<Vec<Listener>>,
}

impl Hub {
    /// Starts looking, on the runtime that calls; ends with the hub.
    pub fn start(index: Arc<Index>) -> Arc<Hub> {
        let hub = Arc::new(Hub { index, listeners: Mutex::new(Vec::new()) });
        tokio::spawn(look(Arc::downgrade(&hub)));
        hub
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of changes to `uris` until the receiver is dropped.
    pub fn subscribe(&self, mut uris: Vec<String>) -> Receiver<String> {
        let (send, receive) = channel(UPDATES_MAX);
        uris.truncate(URIS_MAX);
        let generation = |uri: &String| self.index.generation_of(&bare(uri)).ok().flatten();
        let known = uris.iter().map(|uri| (uri.clone(), generation(uri))).collect();
        let mut listeners = self.lock();
        listeners.retain(|listener| !listener.send.is_closed());
        if listeners.len() < LISTENERS_MAX {
            listeners.push(Listener { known, send });
        } else {
            tracing::warn!("too many listeners; one more was refused");
        }
        receive
    }

    fn tell(&self) {
        let mut listeners = self.lock();
        listeners.retain(|listener| !listener.send.is_closed());
        for listener in listeners.iter_mut() {
            for (uri, known) in &mut listener.known {
                let status = uri.starts_with("synod://");
                let now = if status {
                    self.index.generation().ok()
                } else {
                    self.index.generation_of(&bare(uri)).ok().flatten()
                };
                if now != *known && listener.send.try_send(uri.clone()).is_ok() {
                    *known = now;
                }
            }
        }
    }
}

fn bare(uri: &str) -> String {
    uri.split('#').next().unwrap_or(uri).to_owned()
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
            if generation != seen {
                hub.tell();
            }
            generation
        });
        seen = work.await.unwrap_or(seen);
    }
}
