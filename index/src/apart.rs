//! The walk of a source, on a thread of its own: a file system that stops to answer in the middle
//! of it holds that thread, and not whoever waits for the walk.

use crate::error::{Error, Result};
use crate::reach::{self, Quiet};
use crate::turn::{Beside, Step};
use crate::update::{ASK, Updater};
use crate::walk::{self, Only, Walked};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Instant;

impl Updater {
    /// Walks all of a source, or what `only` is about. What is due meanwhile is looked at. `None`
    /// when the walk was given up, since nothing came of it any more.
    ///
    /// # Errors
    /// `Row` when the walk fails; those of what is due.
    pub(crate) fn walk(
        &mut self,
        root: &Path,
        only: Option<Only>,
        beside: &mut Beside,
    ) -> Result<Option<Walked>> {
        let n_seen = Arc::new(AtomicU64::new(0));
        let (send, receive) = sync_channel(1);
        let crew = self.index().reach().crew(root);
        let inside = crew.enter();
        let (own, skipped, counted) = (root.to_owned(), self.skipped(), Arc::clone(&n_seen));
        std::thread::spawn(move || {
            let walked = walk::walk_counted(&own, &skipped, only, &counted);
            drop(inside);
            // Nobody takes it any more when it was given up, or when what was due failed.
            let _ = send.send(walked);
        });
        let (mut n_known, mut quiet) = (0, Quiet::new(Instant::now()));
        loop {
            match receive.recv_timeout(ASK) {
                Ok(walked) => return Ok(Some(walked)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Row("the walk of a source failed".to_owned()));
                }
            }
            let n = n_seen.load(Ordering::Relaxed);
            if n != n_known {
                n_known = n;
                quiet.heard(Instant::now());
            }
            if beside.step(self) == Step::Serve {
                beside.serve(self)?;
                quiet.skip(Instant::now());
            }
            let reach = self.index().reach();
            if reach::is_lost(quiet.look(Instant::now()), || reach.is_silent(root)) {
                crew.give_up();
                return Ok(None);
            }
        }
    }
}
