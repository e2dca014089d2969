//! The wiring: constructors, once, by plain calls.

use crate::config::Config;
use crate::dispatch::Door;
use crate::fault::Fault;
use crate::job::expand_home;
use crate::now_ms;
use crate::spending;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use synod_index::Index;
use synod_store::{Ledger, Store, Till};
use synod_tools::{Context, Live, Specs};

/// Everything a face needs.
#[derive(Clone)]
pub struct World {
    /// The one door.
    pub door: Arc<Door>,
    /// The configuration of now; what cannot be changed while it runs is that of the start.
    pub config: Arc<Live<Config>>,
    /// The data directory.
    pub data: PathBuf,
    /// Who keeps the books, once there is a model to spend on.
    till: Arc<OnceLock<Arc<Till>>>,
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
        index.set_memory(config.limits.memory());
        let store = Arc::new(Store::open(data)?);
        // Where nothing can be written, what writes is not offered.
        let unwritable = index.is_read_only() || store.is_read_only();
        let read_only = config.access.read_only || unwritable;
        let roots: Vec<PathBuf> = config.access.add_roots.iter().map(|r| expand_home(r)).collect();
        let environment = |name: &str| std::env::var(name).ok();
        let engine = crate::catalog::engine(&config, &environment)?;
        let till = spending::keep(&engine, &store, data)?.map(OnceLock::from).unwrap_or_default();
        // A store of its own: each group of entries holds the connection until the disk has it.
        // Who read what is kept also where nothing may be changed.
        let ledger = match unwritable {
            true => None,
            false => {
                let data = data.to_owned();
                Some(Arc::new(Ledger::with(move || Ok(Arc::new(Store::open_again(&data)?)))?))
            }
        };
        let cx = Context {
            index,
            engine,
            guard: Arc::new(Live::new(crate::catalog::guard(&config, &environment)?)),
            council: Arc::new(Live::new(crate::catalog::settings(&config, &environment)?)),
            specs: Arc::new(Specs::new(crate::catalog::specs(&config))),
            store,
            ledger,
            read_only,
            now_ms,
            count_tokens,
            wake,
            home: crate::job::home(),
            may_add: Arc::new(move |path| below(Path::new(path), &roots)),
        };
        let door = Arc::new(Door::new(cx, &config)?);
        let config = Arc::new(Live::new(config));
        Ok(World { door, config, data: data.to_owned(), till: Arc::new(till) })
    }

    /// Has the books kept from now on, if nobody does yet: before the engine knows its first model.
    ///
    /// # Errors
    /// Those of the store.
    pub fn keep_books(&self) -> Result<(), Fault> {
        if self.till.get().is_some() {
            return Ok(());
        }
        let cx = self.door.context();
        let till = spending::begin(&cx.engine, &cx.store, &self.data)?;
        // One thread takes configurations: nobody was faster.
        let _ = self.till.set(till);
        Ok(())
    }

    /// Waits until what was spent and what was done is written: before the process is gone.
    pub fn flush(&self) {
        let ledger = self.door.context().ledger.as_ref();
        let written = ledger.map_or(Ok(()), |ledger| ledger.flush());
        let booked = self.till.get().map_or(Ok(()), |till| till.flush());
        for (what, result) in [("ledger", written), ("books", booked)] {
            if let Err(error) = result {
                tracing::error!(what, error = %error, "it was not written to its end");
            }
        }
    }

    /// What a server does beside answering, for as long as it lives.
    pub fn upkeep(&self) -> impl Future<Output = ()> + Send + 'static {
        let environment = |name: &str| std::env::var(name).ok();
        let config = self.config.get();
        for why in crate::catalog::warnings(&config, &environment) {
            tracing::warn!("{why}");
        }
        let secret = crate::catalog::webhook_secret(&config, &environment);
        crate::upkeep::run(self.door.context().clone(), Arc::clone(&self.till), secret)
    }

    /// The same for a process that stays: a server that is not there is asked again.
    pub fn keep_model(&self) {
        let index = Arc::clone(&self.door.context().index);
        crate::embedder::keep(&self.config.get().embedding, index);
    }

    /// Opens the embedding model, if there is one, on a thread of its own: searches count meaning
    /// once it has ended.
    pub fn load_model(&self) -> Option<JoinHandle<()>> {
        let index = Arc::clone(&self.door.context().index);
        crate::embedder::load(&self.config.get().embedding, index)
    }
}
