//! Embedding spaces over their lives: one is filled while another answers, takes its place when it
//! is whole, and can be taken back.
//!
//! A space is told by its name. One that an older program named, which told less apart, gets its
//! name of today from whoever comes first. Where a name cannot tell which model is behind it, a
//! vector is kept by which it is known again.
//! Invariant: vectors of two spaces are never compared. Invariant: the space that answered before
//! is kept until the next switch.

use crate::Index;
use crate::compact::Compaction;
use crate::db::{self, Role, Space};
use crate::disk;
use crate::embed::Embedder;
use crate::error::{Error, Result};
use crate::hnsw::{self, VectorIndex};
use crate::update::Updater;
use crate::vector::{self, Rows};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::Arc;

/// A space, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceStatus {
    /// As its embedder calls it: provider, model, revision, dimensions, window.
    pub name: String,
    /// How its embedder is opened.
    pub recipe: String,
    /// Values of a vector.
    pub dimensions: usize,
    /// Vectors that it holds.
    pub vectors: u64,
    /// Passages without a vector; where its embedder is there, of those that it may be given.
    pub waiting: u64,
    /// What it is to the index; `None` for one that is filled.
    pub role: Option<Role>,
}

/// The space of an embedder, if it is there: that of its name or, as long as nobody gave it that
/// name, the one that an older program filled.
pub(crate) fn space_of(db: &Connection, embedder: &dyn Embedder) -> Result<Option<Space>> {
    if let Some(space) = db::space(db, embedder.space())? {
        return Ok(Some(space));
    }
    let Some(old_name) = embedder.old_name() else { return Ok(None) };
    let Some(space) = db::space(db, old_name)? else { return Ok(None) };
    // Beside one with a name of today it was filled since, by whatever lay beside the weights then:
    // an older program wrote in between, or an archive of one was taken in.
    let today = format!("{old_name} beside ");
    let is_later = |known: &Space| known.id != space.id && known.name.starts_with(&today);
    let later = db::spaces(db)?.iter().any(is_later);
    Ok(Some(space).filter(|_| !later))
}

/// Cosine from which two vectors of one text are of one model: what servers round, and in which
/// batch it was, moves them by less, other weights by more.
const ALIKE: f32 = 0.999;

/// Whether two vectors of one text are of one model.
pub fn alike(one: &[f32], other: &[f32]) -> bool {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    one.len() == other.len() && dot(one, other) >= ALIKE * lengths && lengths > 0.0
}

impl Index {
    /// What the space is called of a model whose `name` may be that of others too, by its vector of
    /// a text that is always the same: the name of the space that the very model filled; else
    /// `name`, with a hash of the vector behind it where another model has that.
    ///
    /// # Errors
    /// `Sql`.
    pub fn space_for(&self, name: &str, probe: &[f32]) -> Result<String> {
        let marked = format!("{name} probe ");
        let bytes: Vec<u8> = probe.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash = disk::hash(&bytes);
        let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let own = format!("{marked}{hash}");
        self.read_db(|db| {
            let mut taken = false;
            for space in db::spaces(db)? {
                if space.name != name && !space.name.starts_with(&marked) {
                    continue;
                }
                match db::probe(db, space.id)? {
                    Some(known) if alike(&known, probe) => return Ok(space.name),
                    // An archive brought it.
                    None if space.name == own => taken = true,
                    // One of an older program keeps no vector: what is there first counts.
                    known => taken |= known.is_some() && space.name == name,
                }
            }
            Ok(if taken { own } else { name.to_owned() })
        })
    }

    /// Passages of the sources that an embedder takes which have no vector in its space.
    ///
    /// # Errors
    /// `Sql`.
    pub fn waiting(&self, embedder: &dyn Embedder) -> Result<u64> {
        self.read_db(|db| {
            let sources = db::sources(db)?;
            let taken = sources.iter().filter(|source| embedder.takes(&source.collection));
            let ids: Vec<i64> = taken.map(|source| source.id).collect();
            // Nothing has a vector in a space that is not there.
            let space = space_of(db, embedder)?.map_or(-1, |space| space.id);
            db::waiting_passages(db, space, &ids)
        })
    }

    /// Whether there is a space of this name.
    ///
    /// # Errors
    /// `Sql`.
    pub fn has_space(&self, name: &str) -> Result<bool> {
        self.read_db(|db| Ok(db::space(db, name)?.is_some()))
    }

    /// The model of the space that answers, if it is there.
    ///
    /// # Errors
    /// `Sql`.
    pub fn serving_embedder(&self) -> Result<Option<Arc<dyn Embedder>>> {
        let Some((name, _)) = self.serving()? else { return Ok(None) };
        Ok(self.embedders().into_iter().find(|embedder| embedder.is_called(&name)))
    }

    /// Name and recipe of the space that answers.
    ///
    /// # Errors
    /// `Sql`.
    pub fn serving(&self) -> Result<Option<(String, String)>> {
        self.read_db(|db| {
            let serving = db::with_role(db, Role::Serving)?;
            let mut spaces = db::spaces(db)?.into_iter();
            let found = spaces.find(|space| Some(space.id) == serving);
            Ok(found.map(|space| (space.name, space.recipe)))
        })
    }

    /// All spaces, oldest first.
    ///
    /// # Errors
    /// `Sql`.
    pub fn spaces(&self) -> Result<Vec<SpaceStatus>> {
        let embedders = self.embedders();
        self.read_db(|db| {
            let sources = db::sources(db)?;
            let mut out = Vec::new();
            for space in db::spaces(db)? {
                let embedder = embedders.iter().find(|embedder| embedder.is_called(&space.name));
                let taken = sources.iter().filter(|source| {
                    embedder.is_none_or(|embedder| embedder.takes(&source.collection))
                });
                let taken: Vec<i64> = taken.map(|source| source.id).collect();
                let mut role = None;
                for known in [Role::Held, Role::Former, Role::Serving] {
                    if db::with_role(db, known)? == Some(space.id) {
                        role = Some(known);
                    }
                }
                out.push(SpaceStatus {
                    waiting: db::waiting_passages(db, space.id, &taken)?,
                    name: space.name,
                    recipe: space.recipe,
                    dimensions: space.dimensions,
                    vectors: u64::from(space.n_rows),
                    role,
                });
            }
            Ok(out)
        })
    }
}

/// A graph over the vectors that answer, or a compaction of a space, to be made on whatever thread
/// there is.
pub struct GraphWork(What);

enum What {
    Graph { dir: std::path::PathBuf, space: i64, rows: Rows, segment: u32 },
    Compaction(Compaction),
}

impl GraphWork {
    /// Makes it, unless `go_on` ends it; true if it is there now.
    ///
    /// # Errors
    /// `Data` when it cannot be written.
    pub fn run(&self, go_on: &(dyn Fn() -> bool + Sync)) -> Result<bool> {
        match &self.0 {
            What::Graph { dir, space, rows, segment } => {
                hnsw::build(dir, *space, rows, *segment, go_on)
            }
            What::Compaction(work) => work.run(go_on),
        }
    }

    /// What it is, for the log.
    pub fn name(&self) -> &'static str {
        match self.0 {
            What::Graph { .. } => "a graph over the vectors",
            What::Compaction(_) => "a compaction of the vectors",
        }
    }
}

impl Updater {
    /// A compaction that is worth it, or the next graph that is missing, as the index is told to
    /// find the nearest.
    ///
    /// # Errors
    /// `Sql`, `Data`.
    pub fn graph_wanted(&self) -> Result<Option<GraphWork>> {
        if let Some(work) = self.compaction_wanted()? {
            return Ok(Some(GraphWork(What::Compaction(work))));
        }
        let mode = self.index().vector_index();
        let serving = db::with_role(self.db(), Role::Serving)?;
        let space = db::spaces(self.db())?.into_iter().find(|space| Some(space.id) == serving);
        let Some(space) = space.filter(|_| mode != VectorIndex::Exact) else { return Ok(None) };
        let rows = Rows::open(self.dir(), space.id, space.dimensions, space.n_rows)?;
        let partial = mode == VectorIndex::Hnsw;
        let segment = hnsw::wanting(self.dir(), space.id, &rows, partial);
        let (dir, space) = (self.dir().to_owned(), space.id);
        Ok(segment.map(|segment| GraphWork(What::Graph { dir, space, rows, segment })))
    }

    /// It is there: searches use it from now on, in all processes. Does a little of what that
    /// takes, and is to be called again with the same work until it is true.
    ///
    /// # Errors
    /// `Sql`, `Data`.
    pub fn graph_built(&self, work: &GraphWork) -> Result<bool> {
        let space = match &work.0 {
            What::Graph { space, .. } => *space,
            What::Compaction(work) => return self.compacted(work),
        };
        let known: Vec<i64> = db::spaces(self.db())?.iter().map(|space| space.id).collect();
        if !known.contains(&space) {
            // The space went away meanwhile, its graph with it.
            vector::keep_only(self.dir(), |id| known.contains(&id));
            return Ok(true);
        }
        db::raise_change(self.db(), space)?;
        Ok(true)
    }

    /// A space is whole: it answers from now on, unless it was taken back. The one that answered is
    /// kept, older ones are not.
    pub(crate) fn filled(&mut self, space: &Space) -> Result<()> {
        let serving = db::with_role(self.db(), Role::Serving)?;
        let held = db::with_role(self.db(), Role::Held)?;
        if held == Some(space.id) {
            return Ok(());
        }
        if serving != Some(space.id) {
            return self.switch_to(space.id, serving);
        }
        // One that was begun and given up costs room only.
        let former = db::with_role(self.db(), Role::Former)?;
        let kept = [serving, former, held];
        for other in db::spaces(self.db())? {
            if !kept.contains(&Some(other.id)) {
                self.drop_space(other.id)?;
            }
        }
        Ok(())
    }

    /// Gives the space of an embedder that an older program filled its name of today: what lay
    /// beside the weights then nobody noted, and what is there first counts.
    ///
    /// # Errors
    /// `Sql`.
    pub fn adopt(&self, embedder: &dyn Embedder) -> Result<()> {
        let found = space_of(self.db(), embedder)?;
        if let Some(space) = found.filter(|space| space.name != embedder.space()) {
            db::rename_space(self.db(), space.id, embedder.space())?;
            let (before, after) = (space.name, embedder.space());
            tracing::info!(before, after, "a space of an older program has its name of today");
        }
        Ok(())
    }

    /// Settles what becomes of the space that the configuration names: if it answers, nothing is
    /// held any more; true if it was taken back, so that the one which answers goes on being
    /// filled.
    ///
    /// # Errors
    /// `Sql`.
    pub fn settle_held(&self, name: &str) -> Result<bool> {
        let Some(space) = db::space(self.db(), name)? else { return Ok(false) };
        if db::with_role(self.db(), Role::Serving)? == Some(space.id) {
            db::set_role(self.db(), Role::Held, None)?;
        }
        Ok(db::with_role(self.db(), Role::Held)? == Some(space.id))
    }

    fn switch_to(&mut self, space: i64, former: Option<i64>) -> Result<()> {
        let all = db::spaces(self.db())?;
        let gone: Vec<i64> = all
            .iter()
            .map(|known| known.id)
            .filter(|id| *id != space && Some(*id) != former)
            .collect();
        // Files go behind it: it is not to be lost with the power.
        db::synced(self.db(), || {
            let mode = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(self.db(), mode)?;
            db::set_role(&transaction, Role::Serving, Some(space))?;
            db::set_role(&transaction, Role::Former, former)?;
            db::set_role(&transaction, Role::Held, None)?;
            for id in &gone {
                db::remove_space(&transaction, *id)?;
            }
            Ok(transaction.commit()?)
        })?;
        // A crash before this leaves a file that no space names: the next switch takes it along.
        vector::keep_only(self.dir(), |id| id == space || Some(id) == former);
        Ok(())
    }

    /// Forgets a space with whatever it was to the index.
    pub(crate) fn drop_space(&mut self, space: i64) -> Result<()> {
        // Its files go behind it.
        db::synced(self.db(), || {
            let mode = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(self.db(), mode)?;
            for role in [Role::Serving, Role::Former, Role::Held] {
                if db::with_role(&transaction, role)? == Some(space) {
                    db::set_role(&transaction, role, None)?;
                }
            }
            db::remove_space(&transaction, space)?;
            Ok(transaction.commit()?)
        })?;
        vector::keep_only(self.dir(), |id| id != space);
        Ok(())
    }

    /// The first space answers while it is filled.
    pub(crate) fn first(&mut self, space: i64) -> Result<()> {
        if db::with_role(self.db(), Role::Serving)?.is_none() {
            db::set_role(self.db(), Role::Serving, Some(space))?;
        }
        Ok(())
    }

    /// The space that answered before answers again; the one that does now stays, and does not take
    /// its place by itself. Returns the name of the one that answers.
    ///
    /// # Errors
    /// `Argument` when no former space is kept.
    pub fn roll_back(&mut self) -> Result<String> {
        let former = db::with_role(self.db(), Role::Former)?;
        let serving = db::with_role(self.db(), Role::Serving)?;
        let known = db::spaces(self.db())?.into_iter().find(|space| Some(space.id) == former);
        let Some(known) = known else {
            let text = "no other space is kept to go back to; a space is kept from one change of \
                        the embedding model to the next";
            return Err(Error::Argument(text.into()));
        };
        let transaction = self.begin()?;
        db::set_role(&transaction, Role::Serving, former)?;
        db::set_role(&transaction, Role::Former, serving)?;
        db::set_role(&transaction, Role::Held, serving)?;
        transaction.commit()?;
        Ok(known.name)
    }
}
