//! Which documents of a ranking say the same as a better one: copies of a note, one file in two
//! checkouts.
//!
//! Reads no file: texts are told apart by the hashes of passages. Invariant: a document is a twin
//! only where its best passage is that of the other, letter for letter, and where each further one
//! that would be named beside it stands in the other too. So a heading or a licence that many
//! documents share hides none that has more to say.

use crate::db::{self, FileRow};
use crate::error::Result;
use crate::hit::ALSO_SHARE;
use crate::rank::Ranking;
use crate::view::{NONE, View};
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};

/// Documents with one best passage that others are held against: they differ in what else they say.
const HELD_MAX: usize = 8;

/// Of a passage's text.
type Hash = [u8; 8];

/// What was shown of a ranking, by the passages that it was shown by.
pub(crate) struct Twins<'a> {
    db: &'a Connection,
    view: &'a View,
    ranking: &'a Ranking,
    /// The first documents with a best passage, as places in the ranking.
    shown: HashMap<Hash, Vec<usize>>,
}

impl<'a> Twins<'a> {
    /// Nothing was shown yet.
    pub fn new(db: &'a Connection, view: &'a View, ranking: &'a Ranking) -> Self {
        Twins { db, view, ranking, shown: HashMap::new() }
    }

    /// The document at place `at` of the ranking, whose row this is, is shown.
    pub fn show(&mut self, at: usize, row: &FileRow) {
        let Some(hash) = self.best(at, row) else { return };
        let places = self.shown.entry(hash).or_default();
        if places.len() < HELD_MAX {
            places.push(at);
        }
    }

    /// The place of a document that was shown and says what the one at place `at` does.
    pub fn of(&self, at: usize, row: &FileRow) -> Result<Option<usize>> {
        let places = self.best(at, row).and_then(|hash| self.shown.get(&hash));
        let Some(places) = places else { return Ok(None) };
        let mut further = None;
        for &place in places {
            let file = self.view.entries[self.ranking.hits[place].entry as usize].file;
            let Some(other) = db::file_of_hit(self.db, file)? else { continue };
            // Mostly they are one file in two places.
            if other.hash == row.hash {
                return Ok(Some(place));
            }
            let further = further.get_or_insert_with(|| self.further(at, row, ALSO_SHARE));
            let mut known = self.further(place, &other, 0.0);
            known.extend(self.best(place, &other));
            if further.is_subset(&known) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The best passage of the document at place `at`, where it was found by one and is still what
    /// was indexed.
    fn best(&self, at: usize, row: &FileRow) -> Option<Hash> {
        let hit = self.ranking.hits[at];
        let entry = self.view.entries[hit.entry as usize];
        if hit.slot == NONE || entry.generation != row.generation {
            return None;
        }
        let chunk = row.chunks.get(self.view.address(hit.slot).1 as usize);
        chunk.map(|chunk| chunk.hash)
    }

    /// Its further passages that hold words, from this share of the best one on.
    fn further(&self, at: usize, row: &FileRow, share: f32) -> HashSet<Hash> {
        let best = self.ranking.hits[at].passage;
        let others = self.ranking.others[at].iter().filter(|other| other.passage >= share * best);
        let numbers: HashSet<u32> = others.map(|other| self.view.address(other.slot).1).collect();
        let of = (0..).zip(row.chunks.iter()).filter(|(number, _)| numbers.contains(number));
        of.map(|(_, chunk)| chunk.hash).collect()
    }
}
