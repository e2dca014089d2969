//! What a query means: its vector, the passages' vectors, and how much they count.

use crate::db::{self, Role, Space};
use crate::dense::Dense;
use crate::embed::Embedder;
use crate::error::{Error, Result};
use crate::fuse::{Meaning, Nearness};
use crate::hit::short_id;
use crate::query::Query;
use crate::search::{Found, Mode, SearchArgs};
use crate::space::space_of;
use crate::vector::QueryVector;
use crate::view::View;
use crate::{Index, lock};
use rusqlite::Connection;
use std::sync::Arc;

/// Other wordings that are embedded; each costs as much as the query.
const ALSO_MAX: usize = 8;
/// Documents of a ranking up to which graphs are asked: they know nothing of what comes far down.
const GRAPHS_TOP: usize = 100;
/// Coverage above which nothing is said of passages without a vector.
const WHOLE: f32 = 0.995;
/// What is said of a search that comes before the model.
const OPENING: &str = "the embedding model is still being opened: words alone were searched";

/// How the nearest are found, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Graphs say what is looked at, where there are any; else everything is.
    graphs: bool,
    /// Documents that are asked for.
    top: usize,
}

impl Way {
    /// To the best `top`: what only some documents may be among is looked for in all of them.
    pub(crate) fn to(top: usize, query: &Query, allowed: Option<&[bool]>) -> Self {
        let free = query.required.is_empty() && query.excluded.is_empty() && allowed.is_none();
        Way { graphs: free && top > 0 && top <= GRAPHS_TOP, top }
    }

    /// The same by a look at everything.
    pub(crate) fn thorough(self) -> Self {
        Way { graphs: false, ..self }
    }
}

impl Index {
    /// The vectors of the view, if there is a model and anything is embedded; nothing, with a note,
    /// when they are lost.
    pub(crate) fn dense(
        &self,
        db: &Connection,
        view: &View,
        found: &mut Found,
    ) -> Result<Option<Arc<Dense>>> {
        found.wordy = true;
        let opening = self.is_opening();
        let Some((embedder, space)) = self.answering(db)? else {
            let vectors = opening && db::with_role(db, Role::Serving)?.is_some();
            found.notes.extend(vectors.then(|| OPENING.to_owned()));
            return Ok(None);
        };
        let wanted = (view.generation, space.id, space.change);
        let fits = |d: &Arc<Dense>| d.made_for == wanted && Arc::ptr_eq(&d.embedder, &embedder);
        let known = lock(&self.dense).clone();
        let dense = match &known {
            Some(dense) if fits(dense) => Arc::clone(dense),
            known => {
                let epoch = self.epoch();
                let mode = self.vector_index();
                let (dir, known) = (self.dir(), known.as_deref());
                let made = match Dense::open(db, dir, view, &space, embedder, mode, known) {
                    Err(Error::Data { .. }) => self.dense_now(view, found)?,
                    made => Some(made?),
                };
                let Some(made) = made.map(Arc::new) else { return Ok(None) };
                if self.epoch() == epoch {
                    *lock(&self.dense) = Some(Arc::clone(&made));
                }
                made
            }
        };
        Ok(Some(dense).filter(|dense| !dense.is_empty()))
    }

    /// The same as the database says now: the space that a reader saw may be gone by the time that
    /// its files are opened. What is lost is left to whoever writes.
    fn dense_now(&self, view: &View, found: &mut Found) -> Result<Option<Dense>> {
        let db = self.connect()?;
        let Some((embedder, space)) = self.answering(&db)? else { return Ok(None) };
        match Dense::open(&db, self.dir(), view, &space, embedder, self.vector_index(), None) {
            Err(Error::Data { .. }) => {
                self.suspect();
                let note = "the vectors on disk are lost or cut: words alone were searched; the \
                            process that writes embeds again, or `synod index --wait` does";
                found.notes.push(note.into());
                Ok(None)
            }
            made => made.map(Some),
        }
    }

    /// The passages nearest to a text, several of one document among them where they are: what is
    /// had without a ranking of documents, to compare with. Short ids, nearest first; none where
    /// nothing has a vector.
    ///
    /// # Errors
    /// `Embedding` when the model fails, and those of the index.
    pub fn nearest_passages(&self, text: &str, n: usize) -> Result<Vec<String>> {
        self.read_db(|db| {
            let current = self.current(db::generation(db)?)?;
            let view = &current.view;
            let dense = self.dense(db, view, &mut Found::default())?;
            let Some(dense) = dense else { return Ok(Vec::new()) };
            let query = QueryVector::new(&self.known(&dense, text, &[])?);
            let cosines = dense.cosines(&query).into_vec();
            let mut places: Vec<usize> = (0..dense.n_passages()).collect();
            places.sort_unstable_by(|a, b| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b)));
            let mut ids = Vec::new();
            for place in places.into_iter().take(n) {
                let (file, number) = view.address(dense.slot(place));
                ids.extend(db::file_of_hit(db, file)?.map(|row| short_id(&row, number)));
            }
            Ok(ids)
        })
    }

    /// Some passages have no vector yet, as far as is known.
    pub(crate) fn lacks_vectors(&self) -> bool {
        lock(&self.dense).as_ref().is_none_or(|dense| dense.coverage < WHOLE)
    }

    /// The model whose space answers, and that space; where that model is not there, any other that
    /// has vectors.
    fn answering(&self, db: &Connection) -> Result<Option<(Arc<dyn Embedder>, Space)>> {
        let embedders = self.embedders();
        let serving = db::with_role(db, Role::Serving)?;
        let mut fallback = None;
        for embedder in embedders {
            let Some(space) = space_of(db, &*embedder)? else { continue };
            if Some(space.id) == serving {
                return Ok(Some((embedder, space)));
            }
            fallback = fallback.or(Some((embedder, space)));
        }
        Ok(fallback)
    }

    /// What the query means; nothing when the model fails, with a note.
    pub(crate) fn meaning<'d>(
        &self,
        dense: &'d Dense,
        view: &View,
        args: &SearchArgs,
        query: &Query,
        way: Way,
        found: &mut Found,
    ) -> Option<Meaning<'d>> {
        match self.known(dense, &args.query, &args.also) {
            Ok(vector) => {
                found.wordy = false;
                if dense.coverage < WHOLE {
                    let share = dense.coverage * 100.0;
                    found.notes.push(format!("{share:.0} % of the passages have a vector so far"));
                }
                let share = match args.mode {
                    Mode::Semantic => 1.0,
                    _ => share_of_meaning(&args.query, query),
                };
                let query = QueryVector::new(&vector);
                let near = match way.graphs && dense.has_graphs() {
                    true => Nearness::among(dense, &query, way.top),
                    false => Nearness::of(dense, &query, view.entries.len(), way.top),
                };
                Some(Meaning { dense, query, near, share })
            }
            Err(error) => {
                found.wordy = true;
                found.notes.push(error.to_string());
                None
            }
        }
    }

    /// The vector of a query, without asking again for what was asked last.
    fn known(&self, dense: &Dense, query: &str, also: &[String]) -> Result<Vec<f32>> {
        let texts: Vec<String> = std::iter::once(query.to_owned()).chain(also.to_vec()).collect();
        let last = lock(&dense.last).clone();
        if let Some((_, vector)) = last.filter(|(asked, _)| *asked == texts) {
            return Ok(vector);
        }
        let asked = asked(&*dense.embedder, query, also);
        self.set_failure(asked.as_ref().err().map(ToString::to_string));
        let vector = asked?;
        *lock(&dense.last) = Some((texts, vector.clone()));
        Ok(vector)
    }
}

/// The vector of a query; other wordings of it draw it towards them, each with half its weight.
fn asked(embedder: &dyn Embedder, query: &str, also: &[String]) -> Result<Vec<f32>> {
    let one = |text: &str| {
        let vector = embedder.query(text).map_err(Error::Embedding)?;
        crate::embed::sound(&vector, embedder.dimensions()).map(|()| vector)
    };
    let mut sum = one(query)?;
    for text in also.iter().take(ALSO_MAX).filter(|text| !text.trim().is_empty()) {
        sum.iter_mut().zip(one(text)?).for_each(|(sum, value)| *sum += value / 2.0);
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter_mut().for_each(|value| *value /= length.max(f32::MIN_POSITIVE));
    Ok(sum)
}

/// How much meaning counts: less for names, quotes and few words. Cosines are counted from -1, so
/// that 0.8 stands for halves of equal ranges.
fn share_of_meaning(text: &str, query: &Query) -> f32 {
    let few = text.split_whitespace().count() <= 3;
    if few || query.run.is_some() || !query.required.is_empty() { 0.68 } else { 0.8 }
}
