//! Work among the files of a source, on a thread of its own: a file system that stops to answer in
//! the middle of it holds that thread, and not whoever waits for it.
//!
//! The walk of a source, during which others are served, and what is over in a moment unless it
//! hangs. Invariant: what was given up is of no effect: whatever it made goes with its thread.
//! Invariant: what is worked with is handed over to a thread that runs, or stays with its owner.

use crate::error::{Error, Result};
use crate::reach::{self, Left, Quiet, Reach, SILENT};
use crate::turn::{Beside, Step};
use crate::update::{ASK, Updater};
use crate::walk::{self, Only, Walked};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SendError, sync_channel};
use std::thread::Builder;
use std::time::Instant;

/// What one who works and one who waits for it let each other know.
#[derive(Default)]
pub(crate) struct Signs {
    n_done: AtomicU64,
    over: AtomicBool,
}

impl Signs {
    /// The work goes on.
    ///
    /// # Errors
    /// When nobody waits for it any more.
    pub(crate) fn go_on(&self) -> std::result::Result<(), String> {
        self.n_done.fetch_add(1, Ordering::Relaxed);
        match self.over.load(Ordering::Relaxed) {
            true => Err(SILENT.to_owned()),
            false => Ok(()),
        }
    }

    /// Nobody waits any more.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What came of work in a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came<T, O> {
    /// It was done.
    Made(T),
    /// It was given up: until it ends, the folder counts as one that does not answer, so no second
    /// one is begun.
    Left(Left),
    /// It came to no end; in words.
    Failed(String),
    /// No thread was to be had for it, in words; here is what it was to work with.
    Unstarted(O, String),
}

/// Does `work` in a folder with what is handed over to it, and waits for it; others wait meanwhile,
/// for ten seconds without a sign of it at most, and for two if the file system does not answer.
pub(crate) fn run<T: Send + 'static, O: Send + 'static>(
    reach: &Reach,
    folder: &Path,
    own: O,
    work: impl FnOnce(O, &Signs) -> T + Send + 'static,
) -> Came<T, O> {
    run_on(Builder::new().name("watches".to_owned()), reach, folder, own, work)
}

/// The same on a thread of a certain kind.
fn run_on<T: Send + 'static, O: Send + 'static>(
    kind: Builder,
    reach: &Reach,
    folder: &Path,
    own: O,
    work: impl FnOnce(O, &Signs) -> T + Send + 'static,
) -> Came<T, O> {
    let signs = Arc::new(Signs::default());
    let (hand, take) = sync_channel(1);
    let (send, receive) = sync_channel(1);
    let crew = reach.crew(folder);
    let (inside, given) = (crew.enter(), Arc::clone(&signs));
    let run = move || {
        let Ok(own) = take.recv() else { return };
        let made = work(own, &given);
        drop(inside);
        // Nobody takes it any more when it was given up.
        let _ = send.send(made);
    };
    // A thread that does not start takes along whatever its work has.
    if let Err(error) = kind.spawn(run) {
        return Came::Unstarted(own, error.to_string());
    }
    if let Err(SendError(own)) = hand.send(own) {
        return Came::Unstarted(own, "its thread ended at once".to_owned());
    }
    let (mut n_known, mut quiet) = (0, Quiet::new(Instant::now()));
    loop {
        match receive.recv_timeout(ASK) {
            Ok(made) => return Came::Made(made),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Came::Failed("the look at its folders failed".to_owned());
            }
        }
        let n = signs.n_done.load(Ordering::Relaxed);
        if n != n_known {
            n_known = n;
            quiet.heard(Instant::now());
        }
        if let Some(left) = reach::left(quiet.look(Instant::now()), || reach.is_silent(folder)) {
            signs.end();
            crew.give_up();
            return Came::Left(left);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Longest wait; only a hang takes it.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn what_hangs_is_given_up_and_learns_of_it_and_keeps_the_folder_away_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (reach, folder) = (Reach::default(), dir.path());
        assert_eq!(run(&reach, folder, (), |(), signs| signs.go_on()), Came::Made(Ok(())));
        assert!(reach.answers(folder));
        // As if its file system did not answer.
        let crew = reach.crew(folder);
        let stuck = crew.enter();
        crew.give_up();
        let ((go, wait), (say, hear)) = (channel::<()>(), channel());
        let hangs = move |(), signs: &Signs| {
            let _ = wait.recv();
            let _ = say.send(signs.go_on());
        };
        let start = Instant::now();
        assert_eq!(run(&reach, folder, (), hangs), Came::Left(Left::Silent));
        assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
        drop(stuck);
        assert!(!reach.answers(folder), "somebody is in it yet");
        go.send(()).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), Err(SILENT.to_owned()));
        let until = Instant::now() + PATIENCE;
        while !reach.answers(folder) {
            assert!(Instant::now() < until, "it is away for good");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_fails_is_an_error_and_leaves_nobody_inside() {
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach::default();
        let came = run::<(), ()>(&reach, dir.path(), (), |(), _| panic!("a look that fails"));
        assert!(matches!(came, Came::Failed(_)), "{came:?}");
        assert!(reach.answers(dir.path()));
    }

    #[test]
    fn what_is_worked_with_stays_where_no_thread_is_to_be_had() {
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach::default();
        // No system has room for such a stack.
        let kind = Builder::new().stack_size(usize::MAX / 16);
        let own = vec!["watches"];
        let came = run_on(kind, &reach, dir.path(), own, |_, signs| signs.go_on());
        assert!(matches!(&came, Came::Unstarted(own, _) if *own == ["watches"]), "{came:?}");
        assert!(reach.answers(dir.path()), "nobody is in it");
    }
}
