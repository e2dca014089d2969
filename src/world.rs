//! The wiring: constructors, once, by plain calls.

use crate::config::Config;
use crate::dispatch::Door;
use crate::fault::Fault;
use crate::now_ms;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use synod_index::Index;
use synod_store::{Scope, Store};
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
        let may_write = config.access.local_scopes.contains(&Scope::WriteContext);
        let cx = Context {
            index,
            store,
            now_ms,
            wake,
            home: crate::writer::home(),
            may_add: Arc::new(move |_| may_write),
        };
        let config = Arc::new(config);
        let door = Arc::new(Door::new(cx, &config)?);
        Ok(World { door, config, data: data.to_owned() })
    }
}
