//! The wiring: constructors, once, by plain calls.

use crate::config::Config;
use crate::dispatch::Door;
use crate::fault::Fault;
use crate::job::expand_home;
use crate::now_ms;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use synod_index::Index;
use synod_store::Store;
use synod_tools::Context;

/// Everything a face needs.
#[derive(Clone)]
pub struct World {
    /// The one door.
    pub door: Arc<Door>,
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// The data directory.
    pub data: PathBuf,
}

/// Whether a folder lies below one of `roots`, links resolved.
fn below(path: &Path, roots: &[PathBuf]) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let inside = |root: PathBuf| path.strip_prefix(root).map(Path::to_owned).ok();
    let hidden = |rest: &PathBuf| {
        rest.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
    };
    // A hidden folder holds keys and settings, whatever lies above it.
    roots.iter().filter_map(|root| inside(root.canonicalize().ok()?)).any(|rest| !hidden(&rest))
}

/// Tokens of a text as the o200k tokenizer cuts it; its tables are made when it is first asked.
pub fn count_tokens(text: &str) -> usize {
    bpe_openai::o200k_base().count(text)
}

impl World {
    /// Opens the engines below `data` and puts the door before them. `wake` tells the writer of
    /// this process that a job waits.
    ///
    /// # Errors
    /// `storage` when the data directory cannot be used.
    pub fn open(
        data: &Path,
        config: Config,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<World, Fault> {
        let index = Index::open(data)?;
        index.set_vector_index(config.embedding.vector_index.into());
        let store = Arc::new(Store::open(data)?);
        let roots: Vec<PathBuf> = config.access.add_roots.iter().map(|r| expand_home(r)).collect();
        let cx = Context {
            index,
            store,
            now_ms,
            count_tokens,
            wake,
            home: crate::job::home(),
            may_add: Arc::new(move |path| below(Path::new(path), &roots)),
        };
        let config = Arc::new(config);
        let door = Arc::new(Door::new(cx, &config)?);
        Ok(World { door, config, data: data.to_owned() })
    }

    /// The same for a process that stays: a server that is not there is asked again.
    pub fn keep_model(&self) {
        crate::embedder::keep(&self.config.embedding, Arc::clone(&self.door.context().index));
    }

    /// Opens the embedding model, if there is one, on a thread of its own: searches count meaning
    /// once it has ended.
    pub fn load_model(&self) -> Option<JoinHandle<()>> {
        let index = Arc::clone(&self.door.context().index);
        crate::embedder::load(&self.config.embedding, index)
    }
}
