//! Meaning, as one view sees it: which passage has which vector, and how near each is to a query.

use crate::db::{self, Space};
use crate::embed::Embedder;
use crate::error::Result;
use crate::vector::{QueryVector, Rows};
use crate::view::View;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The vectors of a view's passages.
pub struct Dense {
    /// What it was made for: generation of the view, space, its change.
    pub made_for: (u64, i64, u64),
    /// What embeds a query for it.
    pub embedder: Arc<dyn Embedder>,
    rows: Rows,
    /// Every embedded passage, in the order of the rows.
    pub places: Vec<Place>,
    /// By place, its row.
    numbers: Vec<u32>,
    /// Row and entry of every note whose head has a vector.
    wholes: Vec<(u32, u32)>,
    /// Share of the passages that have a vector, 0 to 1.
    pub coverage: f32,
}

/// A passage with its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    row: u32,
    /// Passage slot of the view.
    pub slot: u32,
    /// Index into the view's entries.
    pub entry: u32,
}

impl Dense {
    /// Reads which documents are embedded as the view knows them.
    pub fn open(
        db: &Connection,
        dir: &Path,
        view: &View,
        space: &Space,
        embedder: Arc<dyn Embedder>,
    ) -> Result<Self> {
        let mut vectors: HashMap<u32, Vec<u32>> = HashMap::new();
        db::embedded(db, space.id, |file, generation, rows| {
            let entry = view.entry(file);
            let same = |entry: &u32| view.entries[*entry as usize].generation == generation;
            if let Some(entry) = entry.filter(same) {
                vectors.insert(entry, rows.collect());
            }
        })?;
        let mut places = Vec::new();
        view.passages(|slot, entry, chunk| {
            let row = vectors.get(&entry).and_then(|rows| rows.get(chunk as usize));
            places.extend(row.filter(|row| **row < space.n_rows).map(|row| {
                let row = *row;
                Place { row, slot, entry }
            }));
        });
        places.sort_unstable();
        let whole = |(entry, rows): (&u32, &Vec<u32>)| {
            let row = rows.get(view.entries[*entry as usize].n_chunks as usize);
            row.filter(|row| **row < space.n_rows).map(|row| (*row, *entry))
        };
        let mut wholes: Vec<(u32, u32)> = vectors.iter().filter_map(whole).collect();
        wholes.sort_unstable();
        let coverage = places.len() as f32 / view.n_chunks.max(1) as f32;
        let rows = Rows::open(dir, space.id, space.dimensions, space.n_rows)?;
        let made_for = (view.generation, space.id, space.change);
        let numbers = places.iter().map(|place| place.row).collect();
        Ok(Dense { made_for, embedder, rows, places, numbers, wholes, coverage })
    }

    /// The cosine of each place to a query.
    pub fn cosines(&self, query: &QueryVector) -> Vec<f32> {
        self.rows.cosines(&self.numbers, query)
    }

    /// Entry and cosine to a query of every note whose head has a vector.
    pub fn wholes(&self, query: &QueryVector) -> impl Iterator<Item = (u32, f32)> {
        self.wholes.iter().map(|(row, entry)| (*entry, self.rows.cosine(*row, query)))
    }

    /// What a document means: the direction between the vectors of its passages.
    pub fn meaning_of(&self, entry: u32) -> Option<QueryVector> {
        let own = self.places.iter().filter(|place| place.entry == entry);
        let mut sum: Vec<f32> = Vec::new();
        for place in own {
            let vector = self.rows.vector(place.row);
            sum.resize(vector.len(), 0.0);
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|value| *value /= length.max(f32::MIN_POSITIVE));
        (length > 0.0).then(|| QueryVector::new(&sum))
    }
}
