//! The engine that embeds: texts to vectors, inside the process.
//!
//! BERT-family models in safetensors with a `tokenizer.json` (all-MiniLM-L6-v2, bge, gte, e5,
//! arctic-embed). Knows nothing of documents or indexes. The heavy libraries of inference stand in
//! this crate alone.

mod bert;
mod error;
mod folder;
mod install;
mod kernel;
mod linear;
mod panel;
mod weight;

pub use error::{Error, Result};
pub use folder::Pooling;
pub use install::{FILES, Installed, hash, install, list, verify};
pub use linear::Precision;

use bert::{Bert, Scratch};
use folder::Folder;
use std::cell::RefCell;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokenizers::{Tokenizer, TruncationParams};

/// An embedding model, ready to run; threads share one.
pub struct Model {
    tokenizer: Tokenizer,
    bert: Bert,
    window: usize,
    beside: blake3::Hash,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Keeps the matrix products of a thread on it: they would be spread over all processors, which
    /// costs more than it gives at these sizes. `None` on a thread that is rayon's already.
    static ALONE: Option<rayon::ThreadPool> =
        rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok();
}

/// Threads that models run on: as many as there are callers at once. They stay, because what keeps
/// matrix products on a thread (`ALONE`) is never given back by rayon when the thread ends, some
/// kilobytes each. They have the priority of who first needed them: one value for each kind of
/// work.
#[derive(Default)]
pub struct Threads(Mutex<Vec<rayon::ThreadPool>>);

impl Threads {
    /// Does the work on one of them, and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let free = self.pools().pop();
        let named = |_| "model".to_owned();
        let one = || rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(named);
        // Where the system has no thread left, the caller's does it.
        let Some(pool) = free.or_else(|| one().build().ok()) else { return work() };
        let done = pool.install(work);
        self.pools().push(pool);
        done
    }

    /// Gives back the working memory of those that nothing runs on; the threads stay.
    pub fn rest(&self) {
        let n_free = self.pools().len();
        for _ in 0..n_free {
            // One at a time: who comes meanwhile finds the others.
            let Some(pool) = self.oldest() else { return };
            pool.install(|| drop(SCRATCH.take()));
            self.pools().push(pool);
        }
    }

    /// The one that was put back first, of those that are free.
    fn oldest(&self) -> Option<rayon::ThreadPool> {
        let mut pools = self.pools();
        (!pools.is_empty()).then(|| pools.remove(0))
    }

    fn pools(&self) -> MutexGuard<'_, Vec<rayon::ThreadPool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    /// Reads the model in `folder` and tries it on a word.
    ///
    /// # Errors
    /// `File`, `Damaged`, `Unsupported`; `Vector` when the trial fails.
    pub fn open(path: &Path, precision: Precision) -> Result<Self> {
        let folder = Folder::read(path)?;
        let (tokenizer, hash) = tokenizer(&path.join("tokenizer.json"), folder.window)?;
        let shape = folder.config.shape();
        let beside = blake3::hash(&[shape.as_bytes(), &hash.as_bytes()[..]].concat());
        let bert = Bert::open(&folder, precision)?;
        let last = tokenizer.get_vocab(true).into_values().max().unwrap_or_default();
        if last as usize >= bert.vocabulary() {
            let rows = bert.vocabulary();
            let reason = format!("it has a token {last}, the model knows {rows} of them");
            return Err(Error::Damaged { path: path.join("tokenizer.json"), reason });
        }
        let model = Model { tokenizer, bert, window: folder.window, beside };
        model.vector("word")?;
        Ok(model)
    }

    /// The same with a window of at most `window` tokens.
    ///
    /// # Errors
    /// `Vector` when the tokenizer refuses it.
    pub fn within(mut self, window: usize) -> Result<Self> {
        self.window = self.window.min(window.max(3));
        let refused = |e: tokenizers::Error| Error::Vector(e.to_string());
        let max_length = self.window;
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        self.tokenizer.with_truncation(Some(truncation)).map_err(refused)?;
        Ok(self)
    }

    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        self.bert.dimensions()
    }

    /// How the vectors of a text's tokens become one.
    pub fn pooling(&self) -> Pooling {
        self.bert.pooling()
    }

    /// BLAKE3 of the weights, in hex.
    pub fn revision(&self) -> String {
        blake3::Hash::from_bytes(self.bert.revision()).to_hex().to_string()
    }

    /// BLAKE3, in hex, of what decides a vector beside the weights: what is read of `config.json`,
    /// and `tokenizer.json` as it lies. Dimensions, window and pooling are told apart from it.
    pub fn beside(&self) -> String {
        self.beside.to_hex().to_string()
    }

    /// Most tokens of a text, the two marks around it included.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The tokens of a text, no more than the window.
    ///
    /// # Errors
    /// `Vector` for a text that the tokenizer refuses.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.cut_tokens(text)?.0)
    }

    /// The same, and whether there were more of them than the window takes.
    ///
    /// # Errors
    /// As [`Model::tokens`].
    pub fn cut_tokens(&self, text: &str) -> Result<(Vec<u32>, bool)> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.map_err(|e| Error::Vector(e.to_string()))?;
        Ok((encoding.get_ids().to_vec(), !encoding.get_overflowing().is_empty()))
    }

    /// The vector of a text, of length 1. Runs on the calling thread.
    ///
    /// # Errors
    /// `Vector`.
    pub fn vector(&self, text: &str) -> Result<Vec<f32>> {
        let mut vectors = self.vectors(&[self.tokens(text)?])?;
        Ok(vectors.pop().unwrap_or_default())
    }

    /// One vector of length 1 for each list of [`Model::tokens`]. Runs on the calling thread; some
    /// 400 tokens together keep it busiest.
    ///
    /// # Errors
    /// `Vector` when a result is no vector.
    pub fn vectors(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        ALONE.with(|_| ());
        let vectors = SCRATCH.with_borrow_mut(|scratch| self.bert.vectors(texts, scratch));
        match vectors.iter().flatten().all(|value| value.is_finite()) {
            true => Ok(vectors),
            false => Err(Error::Vector("it holds values that are no numbers".to_owned())),
        }
    }
}

/// The model's own tokenizer, cutting at the window, and the hash of the bytes it was made of.
fn tokenizer(path: &Path, window: usize) -> Result<(Tokenizer, blake3::Hash)> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let damaged =
        |e: tokenizers::Error| Error::Damaged { path: path.to_owned(), reason: e.to_string() };
    let hash = blake3::hash(&bytes);
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(damaged)?;
    let truncation = TruncationParams { max_length: window, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(damaged)?;
    tokenizer.with_padding(None);
    Ok((tokenizer, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_rest_keep_nothing_and_stay() {
        let threads = Threads::default();
        let begin = std::sync::Barrier::new(2);
        let fill = || {
            // Both are in use at once: one thread could not do the work of both.
            begin.wait();
            SCRATCH.with_borrow_mut(|scratch| scratch.room().reserve(1_000));
            std::thread::current().id()
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| threads.run(fill));
            (threads.run(fill), other.join().expect("it ran"))
        });
        assert_ne!(one, other);
        let look = || {
            let room = SCRATCH.with_borrow_mut(|scratch| scratch.room().capacity());
            (room, std::thread::current().id())
        };
        // The second is run on while the first is in use.
        let both = || threads.run(|| (look(), threads.run(look)));
        let ((room, first), (other_room, second)) = both();
        assert!(room >= 1_000 && other_room >= 1_000, "{room} {other_room}");
        threads.rest();
        let ((room, first_again), (other_room, second_again)) = both();
        assert_eq!((room, other_room), (0, 0));
        let mut known = [first, second].map(|id| format!("{id:?}"));
        let mut again = [first_again, second_again].map(|id| format!("{id:?}"));
        known.sort();
        again.sort();
        assert_eq!(known, again, "threads were ended and others begun");
    }
}
