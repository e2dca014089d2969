//! What an index can be carried to another machine by: its documents' texts, and the vectors of
//! their passages by the key of what was embedded, so that nothing is embedded again there.
//!
//! Knows no archive: whoever calls writes and reads it. Invariant: vectors go into the space that
//! they were made in, and into no other.

use crate::db::{self, Role, Space};
use crate::disk::{self, Content};
use crate::error::{Error, Result};
use crate::update::{self, Outcome, Push, Updater};
use crate::vector::Rows;
use crate::{Index, SpaceStatus};
use std::collections::HashSet;

/// Vectors that are written together.
const VECTORS: usize = 4_096;

/// A document that is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Name of its source.
    pub source: String,
    /// Collection of the source.
    pub collection: String,
    /// Path relative to the source.
    pub path: String,
    /// Title.
    pub title: String,
    /// Kind.
    pub kind: String,
    /// Modified, milliseconds since 1970.
    pub modified_ms: i64,
    /// The whole text.
    pub text: String,
}

/// A vector that is carried: the key of what was embedded, and its values, of length 1.
pub type CarriedVector = (db::Key, Vec<f32>);

impl Index {
    /// Gives `document` every document of a collection, or all, as its file stands now, and
    /// `vector` every vector of the space that answers, once, that belongs to them. Returns that
    /// space, if there is one, and the documents that cannot be read.
    ///
    /// # Errors
    /// `Argument` for a collection that no source belongs to; whatever the callers return.
    pub fn carry(
        &self,
        collection: Option<&str>,
        mut document: impl FnMut(Carried) -> Result<()>,
        mut vector: impl FnMut(CarriedVector) -> Result<()>,
    ) -> Result<(Option<SpaceStatus>, Vec<String>)> {
        let serving = self.spaces()?.into_iter().find(|s| s.role == Some(Role::Serving));
        self.read_db(|db| {
            let all = db::sources(db)?;
            let wanted = |s: &&db::Source| collection.is_none_or(|name| s.collection == name);
            let sources: Vec<&db::Source> = all.iter().filter(wanted).collect();
            if sources.is_empty() && all.is_empty() {
                return Err(Error::Argument("nothing is indexed that could be carried".into()));
            }
            if sources.is_empty() {
                let mut names: Vec<&str> = all.iter().map(|s| s.collection.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                let text = format!("no such collection; there are `{}`", names.join("`, `"));
                return Err(Error::Argument(text));
            }
            let space = match &serving {
                Some(serving) => db::space(db, &serving.name)?,
                None => None,
            };
            let rows = match &space {
                Some(s) => Some(Rows::open(self.dir(), s.id, s.dimensions, s.n_rows)?),
                None => None,
            };
            let (mut unread, mut given) = (Vec::new(), HashSet::new());
            for id in db::files_after(db, 0)? {
                let Some(row) = db::file(db, id)? else { continue };
                let Some(source) = sources.iter().find(|s| s.id == row.source) else { continue };
                let loaded = update::load(db, source, &row.path, id);
                let text = match loaded.map(|loaded| loaded.content) {
                    Ok(Content::Text { text, .. }) => text,
                    // An image or the like: there is no text to carry.
                    Ok(Content::NameOnly { .. }) => continue,
                    Err(_) => {
                        unread.push(format!("{}/{}", source.name, row.path));
                        continue;
                    }
                };
                let content = Content::Text { text: text.clone(), encoding: "UTF-8", plain: false };
                for input in update::inputs(&row, content).unwrap_or_default() {
                    let key = disk::hash(input.as_bytes());
                    let (Some(space), Some(rows)) = (&space, &rows) else { break };
                    if let Some(at) =
                        db::vector(db, space.id, &key)?.filter(|at| *at < space.n_rows)
                        && given.insert(key)
                    {
                        vector((key, rows.vector(at)))?;
                    }
                }
                document(Carried {
                    source: source.name.clone(),
                    collection: source.collection.clone(),
                    path: row.path,
                    title: row.title,
                    kind: row.kind,
                    modified_ms: row.modified_ms,
                    text,
                })?;
            }
            Ok((serving.clone(), unread))
        })
    }
}

impl Updater {
    /// Puts vectors into the space they were made in, and makes it if it is not there; returns how
    /// many were new. The space answers if none does, to whoever has its model: how that is opened
    /// is never taken from another machine.
    ///
    /// # Errors
    /// `Embedding` when the space has another dimension here, or a vector is none.
    pub fn take_vectors(
        &mut self,
        name: &str,
        dimensions: usize,
        vectors: impl Iterator<Item = Result<CarriedVector>>,
    ) -> Result<usize> {
        if db::space(self.db(), name)?.is_none() {
            db::add_space(self.db(), name, dimensions)?;
        }
        let space = db::space(self.db(), name)?.filter(|s| s.dimensions == dimensions);
        let Some(mut space) = space else {
            let text = format!("`{name}` has vectors of another dimension here");
            return Err(Error::Embedding(text));
        };
        self.first(space.id)?;
        let (mut keys, mut values, mut n_new) = (Vec::new(), Vec::new(), 0);
        let mut seen = HashSet::new();
        for carried in vectors {
            let (key, vector) = carried?;
            crate::embed::sound(&vector, dimensions)?;
            if db::vector(self.db(), space.id, &key)?.is_none() && seen.insert(key) {
                keys.push(key);
                values.push(vector);
            }
            if keys.len() == VECTORS {
                n_new += self.put(&mut space, &mut keys, &mut values)?;
            }
        }
        Ok(n_new + self.put(&mut space, &mut keys, &mut values)?)
    }

    /// Adds what was gathered, and empties it.
    fn put(
        &mut self,
        space: &mut Space,
        keys: &mut Vec<db::Key>,
        values: &mut Vec<Vec<f32>>,
    ) -> Result<usize> {
        let n = keys.len();
        self.add_vectors(space, keys, values)?;
        space.n_rows += n as u32;
        keys.clear();
        values.clear();
        Ok(n)
    }

    /// Says of every document whose passages all have a vector in the space of this name that it is
    /// embedded; returns how many those are. What lacks a vector waits for a model.
    ///
    /// # Errors
    /// `Sql`.
    pub fn connect_vectors(&mut self, name: &str) -> Result<usize> {
        let Some(space) = db::space(self.db(), name)? else { return Ok(0) };
        let sources = self.sources()?;
        let ids: Vec<i64> = sources.iter().map(|source| source.id).collect();
        let mut connected = Vec::new();
        for (id, _) in db::waiting(self.db(), space.id, &ids, None)? {
            let Some(row) = db::file(self.db(), id)? else { continue };
            let Some(source) = sources.iter().find(|s| s.id == row.source) else { continue };
            let loaded = update::load(self.db(), source, &row.path, id).ok();
            let Some(loaded) = loaded.filter(|loaded| loaded.hash == row.hash) else { continue };
            let vector =
                |input: String| db::vector(self.db(), space.id, &disk::hash(input.as_bytes()));
            let Some(inputs) = update::inputs(&row, loaded.content) else { continue };
            let rows: Option<Vec<u32>> = inputs.into_iter().map(vector).collect::<Result<_>>()?;
            connected.extend(rows.map(|rows| (id, row.generation, rows)));
        }
        let transaction = self.begin()?;
        for (id, generation, rows) in &connected {
            db::put_embedded(&transaction, space.id, *id, *generation, rows)?;
        }
        db::raise_change(&transaction, space.id)?;
        transaction.commit()?;
        Ok(connected.len())
    }

    /// Takes documents in as content of a source of their own, which must not be a folder here.
    ///
    /// # Errors
    /// `Argument` when the name is a folder's or a path leaves the source.
    pub fn take_documents(&mut self, name: &str, documents: Vec<Carried>) -> Result<Outcome> {
        let mut collection = None;
        let mut pushes = Vec::new();
        for Carried { path, text, modified_ms, collection: of, .. } in documents {
            crate::jail::check(&path)?;
            collection.get_or_insert(of);
            pushes.push(Push { path, text, modified_ms });
        }
        self.push_into(name, collection.as_deref().unwrap_or("notes"), pushes)
    }
}
