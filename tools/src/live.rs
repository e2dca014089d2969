//! A value that may be another one at the next call: settings of a server that runs.
//!
//! Invariant: whoever has got a value keeps all of it; nobody sees a part of the next one.

use std::sync::{Arc, PoisonError, RwLock};

/// The value of now.
#[derive(Debug, Default)]
pub struct Live<T>(RwLock<Arc<T>>);

impl<T> Live<T> {
    /// Begins with a value.
    pub fn new(value: T) -> Self {
        Live(RwLock::new(Arc::new(value)))
    }

    /// The value of now; the same `Arc` until another one is put.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another value from now on.
    pub fn put(&self, value: T) {
        let value = Arc::new(value);
        let before =
            std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), value);
        // Behind the lock: it may be large.
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_value_keeps_it() {
        let live = Live::new(1);
        let (first, same) = (live.get(), live.get());
        assert!(Arc::ptr_eq(&first, &same));
        live.put(1);
        assert!(!Arc::ptr_eq(&first, &live.get()), "another one, be it equal");
        live.put(2);
        assert_eq!((*first, *live.get()), (1, 2));
    }
}
