//! Threads for what computes; of those that rest, the one that worked last works next.
//!
//! The runtime's own pool wakes the one that has rested longest. One search after another then
//! comes to another thread each time, and finds its tables in another processor's cache.
//! Invariant: whoever takes a resting thread off the list gives it work.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::sync::oneshot;

/// A thread that nobody gave work for so long ends.
const REST: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// A thread that waits for work.
struct Resting {
    thread: ThreadId,
    hand: Sender<Work>,
}

/// The threads: as many as are at work at once, and those that were a moment ago.
#[derive(Default)]
pub struct Crew {
    /// The one that worked last at the end.
    resting: Arc<Mutex<Vec<Resting>>>,
}

impl Crew {
    /// Begins `work` and gives what its outcome comes by, which is closed where it panics. It goes
    /// on to its end whether somebody waits for it or not.
    ///
    /// # Errors
    /// Those of the system that has no further thread.
    pub fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<oneshot::Receiver<T>> {
        let (tell, told) = oneshot::channel();
        let mut work: Work = Box::new(move || {
            // Whoever asked may have left.
            let _ = tell.send(work());
        });
        loop {
            let Some(resting) = lock(&self.resting).pop() else { break };
            match resting.hand.send(work) {
                Ok(()) => return Ok(told),
                Err(back) => work = back.0,
            }
        }
        let resting = Arc::clone(&self.resting);
        std::thread::Builder::new().name("compute".into()).spawn(move || serve(&resting, work))?;
        Ok(told)
    }
}

fn lock(resting: &Mutex<Vec<Resting>>) -> MutexGuard<'_, Vec<Resting>> {
    resting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(resting: &Mutex<Vec<Resting>>, mut work: Work) {
    let (hand, handed) = mpsc::channel();
    let thread = std::thread::current().id();
    loop {
        // The channel that the work had is closed by then, which says enough.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(work));
        lock(resting).push(Resting { thread, hand: hand.clone() });
        let next = handed.recv_timeout(REST).or_else(|_| {
            let mut resting = lock(resting);
            match resting.iter().position(|other| other.thread == thread) {
                Some(at) => {
                    resting.remove(at);
                    Err(mpsc::RecvError)
                }
                None => {
                    // Taken off the list in this moment: its work is on the way.
                    drop(resting);
                    handed.recv()
                }
            }
        });
        match next {
            Ok(next) => work = next,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(crew: &Crew) -> ThreadId {
        let told = crew.begin(|| std::thread::current().id()).unwrap().blocking_recv().unwrap();
        // It is on the list a moment after it told.
        while lock(&crew.resting).iter().all(|resting| resting.thread != told) {
            std::thread::yield_now();
        }
        told
    }

    #[test]
    fn who_worked_last_works_next() {
        let crew = Crew::default();
        let (go, wait) = mpsc::channel::<()>();
        let long = crew.begin(move || (std::thread::current().id(), wait.recv())).unwrap();
        let other = name_of(&crew);
        go.send(()).unwrap();
        let (first, _) = long.blocking_recv().unwrap();
        while lock(&crew.resting).len() < 2 {
            std::thread::yield_now();
        }
        assert_ne!(first, other);
        for _ in 0..3 {
            assert_eq!(name_of(&crew), first, "it rested less than the other");
        }
    }

    #[test]
    fn a_panic_is_told_and_its_thread_works_on() {
        let crew = Crew::default();
        let thread = name_of(&crew);
        let told = crew.begin(|| -> u32 { panic!("on purpose") }).unwrap();
        assert!(told.blocking_recv().is_err());
        while lock(&crew.resting).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(name_of(&crew), thread);
    }

    #[test]
    fn many_at_once_all_end() {
        let crew = Crew::default();
        let told: Vec<_> = (0..50).map(|n| crew.begin(move || n).unwrap()).collect();
        let done: Vec<i32> = told.into_iter().map(|told| told.blocking_recv().unwrap()).collect();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
    }
}
