//! The index's embedder over a model that runs inside the process.

use super::head;
use super::kept::Kept;
use super::part::{HALVINGS_MAX, halves, mean};
use super::table;
use crate::fault::{self, Fault};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use synod_embed::{Model, Pooling, Precision, Threads};
use synod_index::{Embedder, MadeFor};

/// Tokens that a thread takes at once: more is no faster, and keeps the others waiting.
const GROUP_TOKENS: usize = 400;
/// Longest text that is cut into tokens, in bytes; far beyond any model's window.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// A model that nobody asked for this long rests.
const IDLE: Duration = Duration::from_secs(600);
/// One that could not be opened again is not tried for this long: each try costs as much as to open
/// it, and every search would make one.
const PAUSE: Duration = Duration::from_secs(10);

/// A model in a folder. While it rests its maps, its tokenizer and the working memory of its
/// threads are given back.
///
/// Whoever asks next opens it again and waits for that: the shared weights are mapped and hashed,
/// the tokenizer is read, a word is tried. That is tens of milliseconds for a small model, more
/// where its weights are packed or hashed each time: in a folder where nothing is installed, on
/// processors without kernels of ours, in full precision.
pub struct Local {
    model: Kept<Model>,
    folder: PathBuf,
    precision: Precision,
    space: String,
    old_name: String,
    dimensions: usize,
    query: String,
    passage: String,
    recipe: String,
    made_for: Option<MadeFor>,
    threads: usize,
    passages: Side,
    queries: Side,
    /// It could not be opened again, since the folder holds another model.
    changed: AtomicBool,
    /// Why it could not be opened again, and until when that is the answer.
    failed: Mutex<Option<(Instant, String)>>,
    /// How long that is.
    pause: Duration,
}

/// What passages have for themselves, which may be embedded with a low priority, and what queries
/// have.
#[derive(Default)]
struct Side {
    threads: Threads,
    /// Held by the one who opens the model again; others wait and find it opened. Not one for both
    /// sides: a query would wait for a thread that gives way to everything.
    opening: Mutex<()>,
}

/// What a folder holds now.
struct Opened {
    model: Model,
    /// What changes a vector stands in this name.
    space: String,
    /// In those of older programs nothing did that lies beside the weights.
    old_name: String,
}

impl Opened {
    /// Reads the model in `folder`, whose passages have `passage` before them.
    fn of(folder: &Path, precision: Precision, passage: &str) -> synod_embed::Result<Self> {
        let model = Model::open(folder, precision)?;
        let revision = model.revision();
        let name = name(folder);
        let known = table::known(&name);
        // A folder that does not say how long its texts were has only the model's bound.
        let said = folder.join("sentence_bert_config.json").exists();
        let model = match known.filter(|_| !said) {
            Some(known) => model.within(known.window)?,
            None => model,
        };
        let (window, dimensions) = (model.window(), model.dimensions());
        let revision = &revision[..12];
        let weights = if precision == Precision::Int8 { "7-bit" } else { "f32" };
        let mut old_name =
            format!("local/{name}@{revision} {dimensions}d window {window} {weights} parts");
        if model.pooling() == Pooling::Cls {
            // Named since vectors of texts that are embedded together are right.
            old_name.push_str(" cls");
        }
        if !passage.is_empty() {
            old_name.push_str(&format!(" {passage:?}"));
        }
        let space = format!("{old_name} beside {}", &model.beside()[..12]);
        Ok(Opened { model, space, old_name })
    }
}

/// What the model in a folder is called.
fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Local {
    /// Reads the model in `folder`.
    ///
    /// # Errors
    /// `unprocessable`, naming the file at fault.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        Local::with(folder, Precision::Int8)
    }

    /// The same with texts announced to it as is said, and not as is known of a model of its name.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub fn announced(
        folder: &Path,
        query: Option<&str>,
        passage: Option<&str>,
    ) -> Result<Self, Fault> {
        Local::of(folder, Precision::Int8, query, passage)
    }

    /// The same with weights as they are kept for measurements too.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub fn with(folder: &Path, precision: Precision) -> Result<Self, Fault> {
        Local::of(folder, precision, None, None)
    }

    fn of(
        folder: &Path,
        precision: Precision,
        query: Option<&str>,
        passage: Option<&str>,
    ) -> Result<Self, Fault> {
        let known = table::known(&name(folder));
        let query = query.unwrap_or(known.map_or("", |known| known.query));
        let passage = passage.unwrap_or(known.map_or("", |known| known.passage));
        let fail = |error: synod_embed::Error| Fault::new(fault::UNPROCESSABLE, error.to_string());
        let opened = Opened::of(folder, precision, passage).map_err(fail)?;
        let Opened { model, space, old_name } = opened;
        Ok(Local {
            dimensions: model.dimensions(),
            model: Kept::new(model, IDLE, Instant::now()),
            folder: folder.to_owned(),
            precision,
            space,
            old_name,
            query: query.to_owned(),
            passage: passage.to_owned(),
            recipe: String::new(),
            made_for: table::made_for(&name(folder)),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            passages: Side::default(),
            queries: Side::default(),
            changed: AtomicBool::new(false),
            failed: Mutex::new(None),
            pause: PAUSE,
        })
    }

    /// The same with the settings that it is opened by.
    pub fn called(self, recipe: String) -> Self {
        Local { recipe, ..self }
    }

    /// The same, resting after another time than ten minutes.
    pub fn idle_after(self, idle: Duration) -> Self {
        Local { model: self.model.idle_after(idle), ..self }
    }

    /// The same, tried again after another time than ten seconds once it could not be opened.
    pub fn again_after(self, pause: Duration) -> Self {
        Local { pause, ..self }
    }

    /// The model, to be held while it is worked with. One that rests is opened again, on a thread
    /// that stays: what this leaves on a thread that ends is lost.
    fn model(&self, side: &Side) -> Result<Arc<Model>, String> {
        if let Some(known) = self.known() {
            return known;
        }
        side.threads.run(|| {
            let _opening = side.opening.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = self.known() {
                return known;
            }
            let opened = self.open_again();
            let until = Instant::now() + self.pause;
            *self.failed() = opened.as_ref().err().map(|why| (until, why.clone()));
            opened
        })
    }

    /// The model, if it is there, or why it could not be opened a moment ago.
    fn known(&self) -> Option<Result<Arc<Model>, String>> {
        let now = Instant::now();
        if let Some(model) = self.model.get(now) {
            return Some(Ok(model));
        }
        let failed = self.failed();
        failed.as_ref().filter(|(until, _)| now < *until).map(|(_, why)| Err(why.clone()))
    }

    fn failed(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the very model that it was; what else the folder may hold has vectors that are not to
    /// be compared with those that it gave.
    fn open_again(&self) -> Result<Arc<Model>, String> {
        let start = Instant::now();
        let opened = Opened::of(&self.folder, self.precision, &self.passage);
        let opened = opened.map_err(|e| e.to_string())?;
        if opened.space != self.space {
            self.changed.store(true, Ordering::Relaxed);
            let (found, known) = (opened.space, &self.space);
            let other = "the folder of the embedding model holds another one now";
            return Err(format!("{other}, `{found}`, where `{known}` was"));
        }
        let millis = start.elapsed().as_millis() as u64;
        tracing::info!(space = self.space, millis, "the embedding model was opened again");
        Ok(self.model.put(opened.model, Instant::now()))
    }

    /// One vector for each list of tokens, on all threads.
    fn vectors(&self, model: &Model, tokens: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String> {
        let groups = groups(tokens);
        let n_threads = self.threads.min(groups.len()).max(1);
        let run = |groups: &[&[Vec<u32>]]| {
            groups
                .iter()
                .map(|group| model.vectors(group).map_err(|e| e.to_string()))
                .collect::<Result<Vec<_>, String>>()
        };
        let parts = std::thread::scope(|scope| {
            let share = groups.len().div_ceil(n_threads).max(1);
            let one = |part| scope.spawn(move || self.passages.threads.run(|| run(part)));
            let threads: Vec<_> = groups.chunks(share).map(one).collect();
            let failed = |_| Err("its thread failed".to_owned());
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(failed))
                .collect::<Result<Vec<_>, String>>()
        })?;
        Ok(parts.into_iter().flatten().flatten().collect())
    }
}

/// The tokens of a passage; of one that is longer than the window those of its parts.
fn parts(
    model: &Model,
    text: &str,
    halvings: usize,
    out: &mut Vec<Vec<u32>>,
) -> Result<(), String> {
    let (tokens, cut) = model.cut_tokens(text).map_err(|e| e.to_string())?;
    let halves = halves(text).filter(|_| cut && halvings < HALVINGS_MAX);
    let Some(halves) = halves else {
        out.push(tokens);
        return Ok(());
    };
    halves.iter().try_for_each(|half| parts(model, half, halvings + 1, out))
}

/// Neighbours that make up some `GROUP_TOKENS` together.
fn groups(tokens: &[Vec<u32>]) -> Vec<&[Vec<u32>]> {
    let mut groups = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, one) in tokens.iter().enumerate() {
        if sum + one.len() > GROUP_TOKENS && at > start {
            groups.push(&tokens[start..at]);
            (start, sum) = (at, 0);
        }
        sum += one.len();
    }
    groups.extend((start < tokens.len()).then(|| &tokens[start..]));
    groups
}

impl Embedder for Local {
    fn space(&self) -> &str {
        &self.space
    }

    fn old_name(&self) -> Option<&str> {
        Some(&self.old_name)
    }

    fn recipe(&self) -> String {
        self.recipe.clone()
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn made_for(&self) -> Option<MadeFor> {
        self.made_for
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let model = self.model(&self.passages)?;
        let mut tokens = Vec::new();
        let mut ends = Vec::new();
        for text in texts {
            let text = format!("{}{}", self.passage, head(text, TEXT_BYTES_MAX));
            parts(&model, &text, 0, &mut tokens)?;
            ends.push(tokens.len());
        }
        let vectors = self.vectors(&model, &tokens)?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let of = |(start, end): (usize, &usize)| match &vectors[start..*end] {
            [one] => one.clone(),
            parts => mean(parts),
        };
        Ok(starts.zip(&ends).map(of).collect())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        let model = self.model(&self.queries)?;
        let text = format!("{}{}", self.query, head(text, TEXT_BYTES_MAX));
        self.queries.threads.run(|| model.vector(&text)).map_err(|e| e.to_string())
    }

    fn rest(&self) -> bool {
        let Some(model) = self.model.rest(Instant::now()) else { return false };
        drop(model);
        self.passages.threads.rest();
        self.queries.threads.rest();
        tracing::info!(space = self.space, "the embedding model rests: nobody asked it");
        true
    }

    fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}
