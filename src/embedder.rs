//! The index's embedder over a model that runs inside the process.

use crate::fault::{self, Fault};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use synod_embed::{Model, Precision};
use synod_index::{Embedder, Index};

/// Tokens that a thread takes at once: more is no faster, and keeps the others waiting.
const GROUP_TOKENS: usize = 400;
/// Longest text that is cut into tokens, in bytes; far beyond any model's window.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A model in a folder.
pub struct Local {
    model: Model,
    space: String,
    threads: usize,
}

impl Local {
    /// Reads the model in `folder`.
    ///
    /// # Errors
    /// `unprocessable`, naming the file at fault.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let fail = |error: synod_embed::Error| Fault::new(fault::UNPROCESSABLE, error.to_string());
        let model = Model::open(folder, Precision::Int8).map_err(fail)?;
        let revision = synod_embed::hash(&folder.join("model.safetensors"))
            .map_err(|e| Fault::new(fault::UNPROCESSABLE, format!("{}: {e}", folder.display())))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let (window, dimensions) = (model.window(), model.dimensions());
        // Whatever changes a vector stands in the name.
        let space = format!("local/{name}@{} {dimensions}d window {window} 7-bit", &revision[..12]);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Local { model, space, threads })
    }

    /// Texts that make up `GROUP_TOKENS` together.
    fn groups(&self, texts: &[String]) -> Result<Vec<Vec<Vec<u32>>>, String> {
        let mut groups: Vec<Vec<Vec<u32>>> = Vec::new();
        let mut left = 0;
        for text in texts {
            let tokens = self.model.tokens(cut(text)).map_err(|e| e.to_string())?;
            if tokens.len() > left || groups.is_empty() {
                groups.push(Vec::new());
                left = GROUP_TOKENS;
            }
            left = left.saturating_sub(tokens.len());
            groups.last_mut().expect("a group").push(tokens);
        }
        Ok(groups)
    }
}

impl Embedder for Local {
    fn space(&self) -> &str {
        &self.space
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let groups = self.groups(texts)?;
        let n_threads = self.threads.min(groups.len()).max(1);
        let run = |groups: &[Vec<Vec<u32>>]| {
            groups
                .iter()
                .map(|group| self.model.vectors(group).map_err(|e| e.to_string()))
                .collect::<Result<Vec<_>, String>>()
        };
        let parts = std::thread::scope(|scope| {
            let share = groups.len().div_ceil(n_threads).max(1);
            let threads: Vec<_> =
                groups.chunks(share).map(|part| scope.spawn(move || run(part))).collect();
            let failed = |_| Err("its thread failed".to_owned());
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(failed))
                .collect::<Result<Vec<_>, String>>()
        })?;
        Ok(parts.into_iter().flatten().flatten().collect())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.model.vector(cut(text)).map_err(|e| e.to_string())
    }
}

/// The head of a text, as far as any model reads.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The installed model of this name; nothing where no name is set or no such model is installed.
///
/// # Errors
/// As [`Local::open`].
pub fn installed(name: &str) -> Result<Option<Local>, Fault> {
    let folder = models().map(|models| models.join(name)).filter(|_| !name.is_empty());
    let folder = folder.filter(|folder| folder.join("model.safetensors").exists());
    folder.map(|folder| Local::open(&folder)).transpose()
}

/// Opens the installed model of this name on a thread of its own and gives it to the index; nothing
/// where no name is set or no such model is installed.
pub fn load(name: &str, index: Arc<Index>) -> Option<JoinHandle<()>> {
    let name = name.to_owned();
    let work = move || match installed(&name) {
        Ok(Some(local)) => {
            tracing::info!(space = local.space, "the embedding model is ready");
            index.set_embedder(Arc::new(local));
        }
        Ok(None) => {}
        Err(fault) => tracing::error!(error = %fault, "no search by meaning"),
    };
    std::thread::Builder::new().name("model".to_owned()).spawn(work).ok()
}

/// The folder of installed models: `SYNOD_MODELS`, or the person's own.
pub fn models() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SYNOD_MODELS") {
        return Some(PathBuf::from(named)).filter(|path| !path.as_os_str().is_empty());
    }
    crate::cli::data_folder().map(|data| data.join("models"))
}
