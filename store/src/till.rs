//! The thread that makes entries of the books: reservations and amounts of many calls in one
//! transaction.
//!
//! Whoever asks a model waits for its reservation, a thousand may do so at once, and what carries
//! them is often one thread, which must not wait for a file. What comes in while a group is written
//! is the next group. The file is not synced for them: a reservation is worth nothing without its
//! process, and an amount is on disk with the next commit that waits for the disk, as that of the
//! answer it paid for. Amounts of a group that fails are tried again with the next one: what was
//! paid has to count. Invariant: bookings are made in the order in which they were left, so that
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
/// Amounts that are kept while the store fails; those beyond them are lost.
pub const KEPT_MAX: usize = 10_000;

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
    /// till's thread when it was made, refused or failed, and never when this fails. A
    /// [`Booking::Settle`] fails when it is lost: when [`KEPT_MAX`] others wait for the store
    /// already, or the till ends before the store can be written again.
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
    /// Those of the store when amounts still wait for it, which are tried once more by this;
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

fn serve(owner: &str, open: impl FnMut() -> Result<Arc<Store>>, requests: &Receiver<Request>) {
    let mut books = Books { owner, open, store: None, kept: Vec::new() };
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        while group.len() < BOOKINGS_MAX
            && let Ok(next) = requests.try_recv()
        {
            group.push(next);
        }
        // Who waits is told, and what is kept comes with the next group.
        let _ = books.make(group);
    }
    books.end();
}

/// The store as the thread has it open, and what it could not write there yet.
struct Books<'a, O> {
    owner: &'a str,
    open: O,
    store: Option<Arc<Store>>,
    /// Amounts of groups that failed, oldest first.
    kept: Vec<Request>,
}

impl<O: FnMut() -> Result<Arc<Store>>> Books<'_, O> {
    /// Makes what was kept and then a group, and tells who waits; fails if amounts are kept.
    fn make(&mut self, group: Vec<Request>) -> Result<()> {
        let mut requests = std::mem::take(&mut self.kept).into_iter().chain(group);
        let mut failed: Option<Error> = None;
        loop {
            let mut bookings: Vec<Booking> = Vec::new();
            let mut waiting: Vec<(bool, Done)> = Vec::new();
            for Request { booking, done } in requests.by_ref().take(BOOKINGS_MAX) {
                waiting.push((booking.is_some(), done));
                bookings.extend(booking);
            }
            if waiting.is_empty() {
                break;
            }
            let made = match failed.take() {
                // What comes later is not made before it.
                Some(error) => Err(error),
                None => self.book(&bookings),
            };
            match made {
                Ok(answers) => {
                    let mut answers = answers.into_iter();
                    for (booked, done) in waiting {
                        let answer = if booked { answers.next() } else { None };
                        tell(done, Ok(answer.flatten()));
                    }
                }
                Err(error) => {
                    let mut bookings = bookings.into_iter();
                    for (booked, done) in waiting {
                        let booking = if booked { bookings.next() } else { None };
                        self.put_off(Request { booking, done }, &error);
                    }
                    failed = Some(error);
                }
            }
        }
        failed.filter(|_| !self.kept.is_empty()).map_or(Ok(()), Err)
    }

    fn book(&mut self, bookings: &[Booking]) -> Result<Vec<Option<Short>>> {
        if bookings.is_empty() {
            return Ok(Vec::new());
        }
        let store = match self.store.take() {
            Some(store) => store,
            None => (self.open)()?,
        };
        self.store.insert(store).book(self.owner, bookings)
    }

    /// Keeps an amount that could not be written, and fails everything else. A reservation is not
    /// kept: whoever wanted it asks nobody without it.
    fn put_off(&mut self, request: Request, error: &Error) {
        let is_amount = matches!(request.booking, Some(Booking::Settle { .. }));
        if is_amount && self.kept.len() < KEPT_MAX {
            self.kept.push(request);
        } else if request.booking.is_none() && self.kept.is_empty() {
            tell(request.done, Ok(None));
        } else {
            tell(request.done, Err(again(error)));
        }
    }

    /// Tries what was kept for the last time, and gives back what is still reserved.
    fn end(mut self) {
        if let Err(error) = self.make(Vec::new()) {
            for Request { done, .. } in self.kept {
                tell(done, Err(again(&error)));
            }
        }
        if let Some(store) = self.store {
            // What is left over lapses by itself.
            let _ = store.give_back(self.owner);
        }
    }
}

/// A caller's panic is not the end of everybody's till.
fn tell(done: Done, answer: Result<Option<Short>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(answer)));
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

    /// An amount of the day, and where its answer goes.
    fn paid(usd_micros: u64, told: &std::sync::mpsc::Sender<Result<Option<Short>>>) -> Request {
        let amounts = vec![("day:d".to_owned(), usd_micros)];
        let told = told.clone();
        let done = move |answer: Result<Option<Short>>| told.send(answer).unwrap();
        let booking = Some(Booking::Settle { id: None, amounts });
        Request { booking, done: Box::new(done) }
    }

    /// A store that cannot be opened for the first `n_times`.
    fn opens_after(
        n_times: usize,
        path: std::path::PathBuf,
    ) -> impl FnMut() -> Result<Arc<Store>> + Send + 'static {
        let mut n = 0;
        move || {
            n += 1;
            if n <= n_times {
                return Err(failure("not yet".to_owned()));
            }
            Ok(Arc::new(Store::open(&path)?))
        }
    }

    #[test]
    fn amounts_that_could_not_be_written_are_written_with_the_next_group() {
        let dir = tempfile::tempdir().unwrap();
        let till = Till::with("one".to_owned(), opens_after(3, dir.path().to_owned())).unwrap();
        let (send, answers) = std::sync::mpsc::channel();
        till.push(paid(30, &send)).unwrap();
        assert!(till.flush().is_err(), "it still waits");
        till.push(paid(4, &send)).unwrap();
        while till.flush().is_err() {}
        assert_eq!(answers.try_iter().map(Result::unwrap).collect::<Vec<_>>(), [None, None]);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.spent("").unwrap(), [("day:d".to_owned(), 34)]);
        till.flush().unwrap();
        assert_eq!(store.spent("").unwrap(), [("day:d".to_owned(), 34)], "once only");
    }

    #[test]
    fn what_is_kept_is_tried_once_more_at_the_end_and_then_said_to_be_lost() {
        for (n_times, made) in [(1, true), (2, false)] {
            let dir = tempfile::tempdir().unwrap();
            let open = opens_after(n_times, dir.path().to_owned());
            let mut books = Books { owner: "one", open, store: None, kept: Vec::new() };
            let (send, answers) = std::sync::mpsc::channel();
            assert!(books.make(vec![paid(30, &send)]).is_err());
            assert!(answers.try_recv().is_err(), "nothing is lost yet");
            books.end();
            assert_eq!(answers.try_recv().unwrap().is_ok(), made);
            let spent = Store::open(dir.path()).unwrap().spent("").unwrap();
            assert_eq!(spent.len(), usize::from(made));
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_is_more_than_one_transaction_holds() {
        let dir = tempfile::tempdir().unwrap();
        let open = opens_after(2, dir.path().to_owned());
        let mut books = Books { owner: "one", open, store: None, kept: Vec::new() };
        let (send, answers) = std::sync::mpsc::channel();
        let all: Vec<Request> = (0..KEPT_MAX + 3).map(|_| paid(1, &send)).collect();
        assert!(books.make(all).is_err());
        assert_eq!(answers.try_iter().filter(Result::is_err).count(), 3);
        // A reservation behind them is not made, and not kept.
        let done = Box::new(move |answer: Result<Option<Short>>| send.send(answer).unwrap());
        let booking = Some(wanted("a".to_owned(), 1, 9));
        assert!(books.make(vec![Request { booking, done }]).is_err());
        assert_eq!(answers.try_iter().filter(Result::is_err).count(), 1);
        books.make(Vec::new()).unwrap();
        assert_eq!(answers.iter().filter(Result::is_ok).count(), KEPT_MAX);
        let sum = [("day:d".to_owned(), KEPT_MAX as u64)];
        assert_eq!(Store::open(dir.path()).unwrap().spent("").unwrap(), sum);
    }
}
