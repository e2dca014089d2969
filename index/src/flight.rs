//! What is in flight between reading and writing, in bytes: who would be too much waits.
//!
//! Knows no documents, only how much each takes. Invariant: more than the room is in flight only
//! while one document is alone, and who came first passes first, so nobody waits for good.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Lets documents pass as long as there is room.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    /// Bytes.
    room: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes in flight, of how many documents.
    bytes: usize,
    documents: usize,
    /// Numbers of who comes next and of who passes next.
    comes: u64,
    passes: u64,
}

/// A document in flight; it lands when this is dropped.
pub(crate) struct Permit {
    gate: Gate,
    bytes: usize,
}

impl Gate {
    /// A gate with room for so many bytes.
    pub(crate) fn new(room: usize) -> Self {
        Gate(Arc::new(Inner { room, state: Mutex::default(), freed: Condvar::new() }))
    }

    /// Waits for room for a document of `bytes`.
    pub(crate) fn enter(&self, bytes: usize) -> Permit {
        let Inner { room, freed, .. } = &*self.0;
        let mut state = self.state();
        let own = state.comes;
        state.comes += 1;
        let waits = |state: &mut State| {
            let fits = state.documents == 0 || state.bytes.saturating_add(bytes) <= *room;
            state.passes != own || !fits
        };
        state = freed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        state.passes += 1;
        state.bytes = state.bytes.saturating_add(bytes);
        state.documents += 1;
        drop(state);
        freed.notify_all();
        Permit { gate: self.clone(), bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The document takes only so much from now on.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.gate.state().bytes -= less;
        self.gate.0.freed.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.bytes = state.bytes.saturating_sub(self.bytes);
        state.documents -= 1;
        drop(state);
        self.gate.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn no_more_than_the_room_is_in_flight_unless_one_is_alone() {
        let gate = Gate::new(100);
        let (bytes, most, large) = (AtomicUsize::new(0), AtomicUsize::new(0), 250);
        std::thread::scope(|scope| {
            for seed in 0..4_usize {
                let (gate, bytes, most) = (gate.clone(), &bytes, &most);
                scope.spawn(move || {
                    for n in 0..200 {
                        let size = if (n + seed) % 40 == 0 { large } else { 1 + (n * 7) % 60 };
                        let mut permit = gate.enter(size);
                        let now = bytes.fetch_add(size, Ordering::SeqCst) + size;
                        assert!(now <= 100 || now == large, "{now} in flight");
                        most.fetch_max(now, Ordering::SeqCst);
                        let kept = size / 2;
                        bytes.fetch_sub(size - kept, Ordering::SeqCst);
                        permit.shrink(kept);
                        bytes.fetch_sub(kept, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), large);
        let state = gate.state();
        assert_eq!((state.bytes, state.documents, state.passes), (0, 0, 800));
    }

    #[test]
    fn who_came_first_passes_first() {
        let gate = Gate::new(10);
        let held = gate.enter(6);
        let (send, order) = channel();
        std::thread::scope(|scope| {
            for (name, bytes) in [("large", 10), ("small", 1)] {
                let (own, send) = (gate.clone(), send.clone());
                let before = gate.state().comes;
                scope.spawn(move || {
                    let permit = own.enter(bytes);
                    send.send(name).unwrap();
                    drop(permit);
                });
                while gate.state().comes == before {
                    std::thread::yield_now();
                }
            }
            // Small as it is, it does not overtake.
            assert_eq!(gate.state().passes, 1);
            drop(held);
            assert_eq!(order.recv().unwrap(), "large");
            assert_eq!(order.recv().unwrap(), "small");
        });
    }
}
