//! Meaning, as one view sees it: which passage has which vector, and how near each is to a query.

use crate::db::{self, Space};
use crate::embed::Embedder;
use crate::error::Result;
use crate::vector::{QueryVector, Rows};
use crate::view::{NONE, View};
use rusqlite::Connection;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The vectors of a view's passages.
pub struct Dense {
    /// What it was made for: generation of the view, space, its change.
    pub made_for: (u64, i64, u64),
    /// What embeds a query for it.
    pub embedder: Arc<dyn Embedder>,
    rows: Rows,
    /// By place, its row.
    numbers: Vec<u32>,
    /// By place, its passage slot of the view.
    slots: Vec<u32>,
    /// By entry, its first place; one more at the end.
    starts: Vec<u32>,
    /// Row and entry of every note whose head has a vector.
    wholes: Vec<(u32, u32)>,
    /// Share of the passages that have a vector, 0 to 1.
    pub coverage: f32,
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
        let layout = view.layout();
        let mut by_passage = vec![NONE; layout.slots.len()];
        let mut wholes: Vec<(u32, u32)> = Vec::new();
        db::embedded(db, space.id, |file, generation, rows| {
            let Some(entry) = view.entry(file) else { return };
            if view.entries[entry as usize].generation != generation {
                return;
            }
            let passages = layout.passages(entry);
            for (at, row) in rows.filter(|row| *row < space.n_rows).enumerate() {
                match by_passage[passages.clone()].get_mut(at) {
                    Some(place) => *place = row,
                    // Behind the passages stands the head of the note.
                    None => wholes.push((row, entry)),
                }
            }
        })?;
        wholes.sort_unstable();
        let (mut numbers, mut slots, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for entry in 0..view.entries.len() as u32 {
            for at in layout.passages(entry).filter(|at| by_passage[*at] != NONE) {
                numbers.push(by_passage[at]);
                slots.push(layout.slots[at]);
            }
            starts.push(numbers.len() as u32);
        }
        let coverage = numbers.len() as f32 / view.n_chunks.max(1) as f32;
        let rows = Rows::open(dir, space.id, space.dimensions, space.n_rows)?;
        let made_for = (view.generation, space.id, space.change);
        Ok(Dense { made_for, embedder, rows, numbers, slots, starts, wholes, coverage })
    }

    /// Nothing is embedded.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The places of a document's passages: those that have a vector.
    pub fn places(&self, entry: u32) -> Range<usize> {
        self.starts[entry as usize] as usize..self.starts[entry as usize + 1] as usize
    }

    /// The passage slot of a place.
    pub fn slot(&self, place: usize) -> u32 {
        self.slots[place]
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
        let mut sum: Vec<f32> = Vec::new();
        for row in &self.numbers[self.places(entry)] {
            let vector = self.rows.vector(*row);
            sum.resize(vector.len(), 0.0);
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|value| *value /= length.max(f32::MIN_POSITIVE));
        (length > 0.0).then(|| QueryVector::new(&sum))
    }
}
