//! The thread that makes entries of the books: reservations and amounts of many calls in one
//! transaction.
//!
//! Whoever asks a model waits for its reservation, a thousand may do so at once, and what carries
//! them is often one thread, which must not wait for a file. What comes in while a group is written
//! is the next group. The file is not synced for them: a reservation is worth nothing without its
//! process, and an amount is on disk with the next commit that waits for the disk, as that of the
//! answer it paid for. Invariant: bookings are made in the order in which they were left, so that
//! whoever gives back what it did not wait for frees it.

use crate::scribe::{again, failure};
use crate::spent::BOOKINGS_MAX;
use crate::{Booking, Error, Result, Short, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bookings that wait; beyond them callers do.
pub const WAITING_MAX: usize = 4_096;

type Done = Box<dyn FnOnce(Result<Option<Short>>) + Send>;

struct Request {
    /// None asks for an acknowledgement only.
    booking: Option<Booking>,
    done: Done,
}

/// Makes entries of the books in groups. Dropping it makes those that wait, and gives back what is
/// still reserved.
pub struct Till {
    /// None while it is dropped.
    queue: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Till {
    /// Starts the thread; `owner` names the process in what it reserves, and no other one. `open`
    /// is called on the thread when there is a first booking, and again with the next when it
    /// failed: it gives a store of its own, as other users of one would wait for each group.
    ///
    /// # Errors
    /// `Argument` if the system has no thread left.
    pub fn with(
        owner: String,
        open: impl FnMut() -> Result<Arc<Store>> + Send + 'static,
    ) -> Result<Self> {
        let (queue, requests) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("till".to_owned())
            .spawn(move || serve(&owner, open, &requests))
            .map_err(|error| Error::Argument(format!("no thread for the till: {error}")))?;
        Ok(Till { queue: Some(queue), thread: Some(thread) })
    }

    /// Leaves a booking and goes on; waits only while the queue is full. `done` is called from the
    /// till's thread when it was made, refused or failed, and never when this fails.
    ///
    /// # Errors
    /// `Argument` for what is out of its bounds.
    pub fn book(
        &self,
        booking: Booking,
        done: impl FnOnce(Result<Option<Short>>) + Send + 'static,
    ) -> Result<()> {
        booking.check()?;
        self.push(Request { booking: Some(booking), done: Box::new(done) })
    }

    /// Waits until all that was left before was made, or failed.
    ///
    /// # Errors
    /// `Sql` when the thread has ended.
    pub fn flush(&self) -> Result<()> {
        let (send, answer) = sync_channel(1);
        let done = move |result: Result<Option<Short>>| {
            // Whoever no longer waits needs no answer.
            let _ = send.try_send(result);
        };
        self.push(Request { booking: None, done: Box::new(done) })?;
        answer.recv().map_err(|_| ended())?.map(|_| ())
    }

    fn push(&self, request: Request) -> Result<()> {
        let sent = self.queue.as_ref().and_then(|queue| queue.send(request).ok());
        sent.ok_or_else(ended)
    }
}

impl Drop for Till {
    fn drop(&mut self) {
        // The thread ends when the queue is empty and nobody can add to it.
        drop(self.queue.take());
        let Some(thread) = self.thread.take() else { return };
        // A callback may own the last handle: a thread that waits for itself never ends.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

fn ended() -> Error {
    failure("the till's thread has ended".to_owned())
}

fn serve(owner: &str, mut open: impl FnMut() -> Result<Arc<Store>>, requests: &Receiver<Request>) {
    let mut store: Option<Arc<Store>> = None;
    while let Ok(first) = requests.recv() {
        let mut bookings: Vec<Booking> = Vec::new();
        let mut waiting: Vec<(Option<usize>, Done)> = Vec::new();
        let mut next = Some(first);
        while let Some(Request { booking, done }) = next.take() {
            // Where its answer stands among the group's; none where nothing was booked.
            let at = booking.as_ref().map(|_| bookings.len());
            bookings.extend(booking);
            waiting.push((at, done));
            if waiting.len() < BOOKINGS_MAX {
                next = requests.try_recv().ok();
            }
        }
        let result: Result<Vec<Option<Short>>> = if bookings.is_empty() {
            Ok(Vec::new())
        } else {
            let opened = match store.take() {
                Some(store) => Ok(store),
                None => open(),
            };
            opened.and_then(|opened| store.insert(opened).book(owner, &bookings))
        };
        for (at, done) in waiting {
            let one = match (&result, at) {
                (_, None) => Ok(None),
                (Ok(answers), Some(at)) => Ok(answers.get(at).cloned().flatten()),
                (Err(error), Some(_)) => Err(again(error)),
            };
            // A caller's panic is not the end of everybody's till.
            let _ = catch_unwind(AssertUnwindSafe(|| done(one)));
        }
    }
    if let Some(store) = store {
        // What is left over lapses by itself.
        let _ = store.give_back(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reservation;

    fn wanted(id: String, usd_micros: u64, limit: u64) -> Booking {
        let accounts = vec![("day:d".to_owned(), Some(limit))];
        Booking::Reserve(Reservation { id, usd_micros, accounts, now_ms: 1, until_ms: 1_000 })
    }

    fn till(owner: &str, dir: &std::path::Path) -> Till {
        let dir = dir.to_owned();
        Till::with(owner.to_owned(), move || Ok(Arc::new(Store::open(&dir)?))).unwrap()
    }

    #[test]
    fn tills_of_one_directory_share_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let tills = [till("one", dir.path()), till("two", dir.path())];
        let (send, answers) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for (n, till) in tills.iter().enumerate() {
                for thread in 0..4 {
                    let send = send.clone();
                    scope.spawn(move || {
                        for call in 0..25 {
                            let send = send.clone();
                            let booking = wanted(format!("{n}-{thread}-{call}"), 10, 305);
                            till.book(booking, move |answer| send.send(answer).unwrap()).unwrap();
                        }
                    });
                }
            }
        });
        drop(send);
        tills.iter().for_each(|till| till.flush().unwrap());
        let answers: Vec<Option<Short>> = answers.iter().map(|answer| answer.unwrap()).collect();
        assert_eq!(answers.len(), 200);
        assert_eq!(answers.iter().filter(|short| short.is_none()).count(), 30);
        let short = Short { account: "day:d".to_owned(), left_usd_micros: 5 };
        assert!(answers.iter().flatten().any(|other| *other == short), "{answers:?}");
        // An end in order gives back what was not settled, by anybody.
        drop(tills);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.book("three", &[wanted("all".to_owned(), 305, 305)]).unwrap(), [None]);
    }

    #[test]
    fn failures_reach_who_waits_and_the_next_one_opens_the_store_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut n) = (dir.path().to_owned(), 0);
        let open = move || -> Result<Arc<Store>> {
            n += 1;
            let opens = n > 1;
            if opens { Ok(Arc::new(Store::open(&path)?)) } else { Err(failure("not yet".into())) }
        };
        let till = Till::with("one".to_owned(), open).unwrap();
        till.flush().unwrap();
        let (send, answers) = sync_channel(2);
        for id in ["a", "b"] {
            let send = send.clone();
            let done = move |answer: Result<Option<Short>>| {
                send.send(answer.is_ok()).unwrap();
                assert_eq!(answer.is_ok(), id == "b", "a panic of a caller ends nothing");
                panic!("a caller's");
            };
            till.book(wanted(id.to_owned(), 1, 9), done).unwrap();
            till.flush().unwrap();
        }
        assert_eq!((answers.recv(), answers.recv()), (Ok(false), Ok(true)));
        assert!(matches!(till.book(wanted(String::new(), 1, 9), |_| ()), Err(Error::Argument(_))));
    }
}
