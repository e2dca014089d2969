//! The index's embedder over a model that runs inside the process.

use super::head;
use super::part::{HALVINGS_MAX, halves, mean};
use super::table;
use crate::fault::{self, Fault};
use std::path::Path;
use synod_embed::{Model, Pooling, Precision, Threads};
use synod_index::{Embedder, MadeFor};

/// Tokens that a thread takes at once: more is no faster, and keeps the others waiting.
const GROUP_TOKENS: usize = 400;
/// Longest text that is cut into tokens, in bytes; far beyond any model's window.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A model in a folder.
pub struct Local {
    model: Model,
    space: String,
    query: &'static str,
    passage: &'static str,
    recipe: String,
    made_for: Option<MadeFor>,
    threads: usize,
    /// What passages are embedded on, which may have a low priority, and what queries are.
    passages: Threads,
    queries: Threads,
}

impl Local {
    /// Reads the model in `folder`.
    ///
    /// # Errors
    /// `unprocessable`, naming the file at fault.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        Local::with(folder, Precision::Int8)
    }

    /// The same with weights as they are kept for measurements too.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub fn with(folder: &Path, precision: Precision) -> Result<Self, Fault> {
        let fail = |error: synod_embed::Error| Fault::new(fault::UNPROCESSABLE, error.to_string());
        let model = Model::open(folder, precision).map_err(fail)?;
        let revision = model.revision();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let known = table::known(&name);
        // A folder that does not say how long its texts were has only the model's bound.
        let said = folder.join("sentence_bert_config.json").exists();
        let model = match known.filter(|_| !said) {
            Some(known) => model.within(known.window).map_err(fail)?,
            None => model,
        };
        let (window, dimensions) = (model.window(), model.dimensions());
        // Whatever changes a vector stands in the name.
        let (query, passage) = known.map_or(("", ""), |k| (k.query, k.passage));
        let revision = &revision[..12];
        let weights = if precision == Precision::Int8 { "7-bit" } else { "f32" };
        let mut space =
            format!("local/{name}@{revision} {dimensions}d window {window} {weights} parts");
        if model.pooling() == Pooling::Cls {
            // Named since vectors of texts that are embedded together are right.
            space.push_str(" cls");
        }
        if !passage.is_empty() {
            space.push_str(&format!(" {passage:?}"));
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (passages, queries) = (Threads::default(), Threads::default());
        let recipe = String::new();
        let made_for = table::made_for(&name);
        Ok(Local { model, space, query, passage, recipe, made_for, threads, passages, queries })
    }

    /// The same with the settings that it is opened by.
    pub fn called(self, recipe: String) -> Self {
        Local { recipe, ..self }
    }

    /// The tokens of a passage; of one that is longer than the window those of its parts.
    fn parts(&self, text: &str, halvings: usize, out: &mut Vec<Vec<u32>>) -> Result<(), String> {
        let (tokens, cut) = self.model.cut_tokens(text).map_err(|e| e.to_string())?;
        let halves = halves(text).filter(|_| cut && halvings < HALVINGS_MAX);
        let Some(halves) = halves else {
            out.push(tokens);
            return Ok(());
        };
        halves.iter().try_for_each(|half| self.parts(half, halvings + 1, out))
    }

    /// One vector for each list of tokens, on all threads.
    fn vectors(&self, tokens: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, String> {
        let groups = groups(tokens);
        let n_threads = self.threads.min(groups.len()).max(1);
        let run = |groups: &[&[Vec<u32>]]| {
            groups
                .iter()
                .map(|group| self.model.vectors(group).map_err(|e| e.to_string()))
                .collect::<Result<Vec<_>, String>>()
        };
        let parts = std::thread::scope(|scope| {
            let share = groups.len().div_ceil(n_threads).max(1);
            let one = |part| scope.spawn(move || self.passages.run(|| run(part)));
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

    fn recipe(&self) -> String {
        self.recipe.clone()
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }

    fn made_for(&self) -> Option<MadeFor> {
        self.made_for
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let mut tokens = Vec::new();
        let mut ends = Vec::new();
        for text in texts {
            let text = format!("{}{}", self.passage, head(text, TEXT_BYTES_MAX));
            self.parts(&text, 0, &mut tokens)?;
            ends.push(tokens.len());
        }
        let vectors = self.vectors(&tokens)?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let of = |(start, end): (usize, &usize)| match &vectors[start..*end] {
            [one] => one.clone(),
            parts => mean(parts),
        };
        Ok(starts.zip(&ends).map(of).collect())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        let text = format!("{}{}", self.query, head(text, TEXT_BYTES_MAX));
        self.queries.run(|| self.model.vector(&text)).map_err(|e| e.to_string())
    }
}
