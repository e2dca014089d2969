//! Meaning, as one view sees it: which passage has which vector, and how near each is to a query.

use crate::db::{self, Space};
use crate::error::Result;
use crate::vector::{QueryVector, Rows};
use crate::view::View;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;

/// The vectors of a view's passages.
pub struct Dense {
    /// What it was made for: generation of the view, space, its change.
    pub made_for: (u64, i64, u64),
    rows: Rows,
    /// Every embedded passage, in the order of the rows.
    pub places: Vec<Place>,
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
    pub fn open(db: &Connection, dir: &Path, view: &View, space: &Space) -> Result<Self> {
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
        let coverage = places.len() as f32 / view.n_chunks.max(1) as f32;
        let rows = Rows::open(dir, space.id, space.dimensions, space.n_rows)?;
        let made_for = (view.generation, space.id, space.change);
        Ok(Dense { made_for, rows, places, coverage })
    }

    /// The cosine of each place to a query.
    pub fn cosines(&self, query: &QueryVector) -> Vec<f32> {
        self.places.iter().map(|place| self.rows.cosine(place.row, query)).collect()
    }
}
