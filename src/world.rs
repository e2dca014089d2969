//! The wiring: constructors, once, by plain calls.

use crate::config::Config;
use crate::dispatch::Door;
use crate::fault::Fault;
use crate::job::expand_home;
use crate::now_ms;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
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
    model: Arc<Mutex<Option<JoinHandle<()>>>>,
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
        let store = Arc::new(Store::open(data)?);
        let roots: Vec<PathBuf> = config.access.add_roots.iter().map(|r| expand_home(r)).collect();
        let cx = Context {
            index,
            store,
            now_ms,
            wake,
            home: crate::job::home(),
            may_add: Arc::new(move |path| below(Path::new(path), &roots)),
        };
        let model = crate::embedder::load(&config.embedding.model, Arc::clone(&cx.index));
        let model = Arc::new(Mutex::new(model));
        let config = Arc::new(config);
        let door = Arc::new(Door::new(cx, &config)?);
        Ok(World { door, config, data: data.to_owned(), model })
    }

    /// Waits until the embedding model is there, if one is installed.
    pub fn wait_for_model(&self) {
        let thread = self.model.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the embedding model ended with a panic; no search by meaning");
        }
    }
}
