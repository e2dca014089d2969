//! What a query means: its vector, the passages' vectors, and how much they count.

use crate::db;
use crate::dense::Dense;
use crate::error::{Error, Result};
use crate::fuse::Meaning;
use crate::query::Query;
use crate::search::{Found, Mode, SearchArgs};
use crate::vector::QueryVector;
use crate::view::View;
use crate::{Index, lock};
use rusqlite::Connection;
use std::sync::Arc;

/// Coverage above which nothing is said of passages without a vector.
const WHOLE: f32 = 0.995;

impl Index {
    /// The vectors of the view, if there is a model and anything is embedded.
    pub(crate) fn dense(
        &self,
        db: &Connection,
        view: &View,
        found: &mut Found,
    ) -> Result<Option<Arc<Dense>>> {
        found.wordy = true;
        let Some(embedder) = self.embedder() else { return Ok(None) };
        let Some(space) = db::space(db, embedder.space())? else { return Ok(None) };
        let wanted = (view.generation, space.id, space.change);
        let known = lock(&self.dense).clone().filter(|dense| dense.made_for == wanted);
        let dense = match known {
            Some(dense) => dense,
            None => {
                let made = Arc::new(Dense::open(db, self.dir(), view, &space)?);
                *lock(&self.dense) = Some(Arc::clone(&made));
                made
            }
        };
        Ok(Some(dense).filter(|dense| !dense.places.is_empty()))
    }

    /// What the query means; nothing when the model fails, with a note.
    pub(crate) fn meaning<'d>(
        &self,
        dense: &'d Dense,
        args: &SearchArgs,
        query: &Query,
        found: &mut Found,
    ) -> Option<Meaning<'d>> {
        let embedder = self.embedder()?;
        let vector = embedder.query(&args.query).map_err(Error::Embedding).and_then(|vector| {
            crate::embed::sound(&vector, embedder.dimensions()).map(|()| vector)
        });
        match vector {
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
                Some(Meaning { dense, query: QueryVector::new(&vector), share })
            }
            Err(error) => {
                found.notes.push(error.to_string());
                None
            }
        }
    }
}

/// How much meaning counts: less for names, quotes and few words. Cosines are counted from -1, so
/// that 0.8 stands for halves of equal ranges.
fn share_of_meaning(text: &str, query: &Query) -> f32 {
    let few = text.split_whitespace().count() <= 3;
    if few || query.run.is_some() || !query.required.is_empty() { 0.68 } else { 0.8 }
}
