//! What the writer leaves to threads of their own, which give way to everything else: vectors,
//! graphs over them, and what git says. The writer asks, goes on, and is woken when there is
//! something to keep.

use crate::writer::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use synod_index::{Batch, Embedder, Error, GraphWork, HistoryRead, HistoryWork, Made};

/// How much the processor's scheduler puts these threads behind the writer's.
const BEHIND: i32 = 10;
/// And the writer's behind those that answer, since whoever asks is waiting: Linux gives it a third
/// of what each of them gets then.
const WRITING: i32 = 5;

/// Puts this thread, and those that it starts, behind others.
fn give_way(by: i32) {
    // On Linux this is said of a thread; elsewhere it would be of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(by);
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}

/// Puts the thread that writes, and those that it starts, behind those that answer.
pub fn give_way_to_answers() {
    give_way(WRITING);
}

type Asked = (Arc<dyn Embedder>, Batch);

/// The thread that embeds, and what it is asked; one batch at a time.
pub struct Embedding {
    ask: SyncSender<Asked>,
    answer: Receiver<Result<Made, Error>>,
    /// Whose batch is in hand.
    embedder: Option<Arc<dyn Embedder>>,
}

impl Embedding {
    /// Starts the thread; it ends when this is dropped and its batch is done.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(waker: Waker) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel::<Asked>(1);
        let (give, answer) = sync_channel(1);
        std::thread::Builder::new().name("embedding".to_owned()).spawn(move || {
            give_way(BEHIND);
            while let Ok((embedder, batch)) = asked.recv() {
                let run = || batch.run(&*embedder);
                // A library that gives up on one text must not end all embedding.
                let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                let failed = |_| Err(Error::Embedding("the model failed with a panic".to_owned()));
                if give.send(made.unwrap_or_else(failed)).is_err() {
                    return;
                }
                waker.wake();
            }
        })?;
        Ok(Embedding { ask, answer, embedder: None })
    }

    /// A batch is in hand.
    pub fn is_busy(&self) -> bool {
        self.embedder.is_some()
    }

    /// Hands a batch over; none may be in hand.
    pub fn ask(&mut self, embedder: Arc<dyn Embedder>, batch: Batch) {
        self.embedder = Some(Arc::clone(&embedder));
        // Without the thread nothing is answered, and the failure is found there.
        let _ = self.ask.send((embedder, batch));
    }

    /// What became of the batch, once it is done, and who embedded it.
    pub fn answer(&mut self) -> Option<(Arc<dyn Embedder>, Result<Made, Error>)> {
        let made = match self.answer.try_recv() {
            Ok(made) => made,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                Err(Error::Embedding("the thread that embeds has ended".to_owned()))
            }
        };
        self.embedder.take().map(|embedder| (embedder, made))
    }
}

/// The thread that builds a graph, if one is; it is stopped when this is dropped.
#[derive(Default)]
pub struct Graphs {
    running: Option<Running>,
    /// One that is built and is being made known.
    keeping: Option<Arc<GraphWork>>,
}

struct Running {
    work: Arc<GraphWork>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<bool, Error>>,
}

impl Graphs {
    /// One is being built, or made known.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || self.is_keeping()
    }

    /// One is being made known.
    pub fn is_keeping(&self) -> bool {
        self.keeping.is_some()
    }

    /// Not all of it is known yet: it is given out once more.
    pub fn again(&mut self, work: Arc<GraphWork>) {
        self.keeping = Some(work);
    }

    /// Starts to build one; none may be in hand.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(&mut self, work: GraphWork, waker: Waker) -> std::io::Result<()> {
        let (work, stop) = (Arc::new(work), Arc::new(AtomicBool::new(false)));
        let (own, stopped) = (Arc::clone(&work), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("graph".to_owned()).spawn(move || {
            give_way(BEHIND);
            let built = own.run(&|| !stopped.load(Ordering::Relaxed));
            waker.wake();
            built
        })?;
        self.running = Some(Running { work, stop, thread });
        Ok(())
    }

    /// Ends the one that is being built, soon; nothing of it stays. One that is being made known is
    /// given up: what is known of it is of no use, and goes.
    pub fn stop(&mut self) {
        self.keeping = None;
        if let Some(running) = &self.running {
            running.stop.store(true, Ordering::Relaxed);
        }
    }

    /// The same, and waits for that: nothing is written when this returns.
    pub fn end(&mut self) {
        self.stop();
        if let Some(running) = self.running.take() {
            // Whatever became of it: it is made again.
            let _ = running.thread.join();
        }
    }

    /// What became of it, once it is done.
    pub fn done(&mut self) -> Option<(Arc<GraphWork>, Result<bool, Error>)> {
        if let Some(work) = self.keeping.take() {
            return Some((work, Ok(true)));
        }
        let done = |running: &mut Running| running.thread.is_finished();
        let Running { work, thread, .. } = self.running.take_if(done)?;
        let failed = |_| Err(Error::Embedding("the thread that builds it failed".to_owned()));
        Some((work, thread.join().unwrap_or_else(failed)))
    }
}

impl Drop for Graphs {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread that reads the history of a source, if one does; it is stopped when this is dropped.
#[derive(Default)]
pub struct Histories {
    running: Option<(Arc<AtomicBool>, Receiver<HistoryRead>)>,
    /// What was read and may not be kept yet.
    read: Option<HistoryRead>,
}

impl Histories {
    /// One is being read, or waits to be kept.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || self.read.is_some()
    }

    /// Starts to read one; none may be in hand.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(&mut self, work: HistoryWork, waker: Waker) -> std::io::Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (give, read) = sync_channel(1);
        std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            give_way(BEHIND);
            // Nobody takes it any more when the process ends.
            let _ = give.send(work.run(&|| !stopped.load(Ordering::Relaxed)));
            waker.wake();
        })?;
        self.running = Some((stop, read));
        Ok(())
    }

    /// What was read, once it is and `may` be kept.
    pub fn done(&mut self, may: impl Fn(&HistoryRead) -> bool) -> Option<HistoryRead> {
        let answer = self.running.as_ref().map(|(_, read)| read.try_recv());
        match answer {
            Some(Ok(read)) => (self.running, self.read) = (None, Some(read)),
            // Its thread failed: it is asked for again when the source is looked at.
            Some(Err(TryRecvError::Disconnected)) => self.running = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        self.read.take_if(|read| may(read))
    }
}

impl Drop for Histories {
    fn drop(&mut self) {
        if let Some((stop, _)) = &self.running {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
