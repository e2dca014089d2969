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
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// Documents with one best passage that others are held against: they differ in what else they say.
const HELD_MAX: usize = 8;

/// Of a passage's text.
type Hash = [u8; 8];

/// A document that is shown.
struct Shown {
    /// Its place in the ranking.
    place: usize,
    /// Of its file.
    file: crate::disk::Hash,
    /// All passages of it that hold words, once they were asked for; nothing where its row is gone.
    said: OnceCell<Option<HashSet<Hash>>>,
}

/// What was shown of a ranking, by the passages that it was shown by.
pub(crate) struct Twins<'a> {
    db: &'a Connection,
    view: &'a View,
    /// The first documents with a best passage.
    shown: HashMap<Hash, Vec<Shown>>,
}

impl<'a> Twins<'a> {
    /// Nothing was shown yet.
    pub fn new(db: &'a Connection, view: &'a View) -> Self {
        Twins { db, view, shown: HashMap::new() }
    }

    /// The document at place `at` of the ranking, whose row this is, is shown.
    pub fn show(&mut self, ranking: &Ranking, at: usize, row: &FileRow) {
        let Some(hash) = self.best(ranking, at, row) else { return };
        let places = self.shown.entry(hash).or_default();
        if places.len() < HELD_MAX {
            places.push(Shown { place: at, file: row.hash, said: OnceCell::new() });
        }
    }

    /// The place of a document that was shown and says what the one at place `at` does.
    pub fn of(&self, ranking: &Ranking, at: usize, row: &FileRow) -> Result<Option<usize>> {
        let shown = self.best(ranking, at, row).and_then(|hash| self.shown.get(&hash));
        let Some(shown) = shown else { return Ok(None) };
        // Mostly they are one file in two places.
        if let Some(same) = shown.iter().find(|other| other.file == row.hash) {
            return Ok(Some(same.place));
        }
        let further = self.further(ranking, at, row, ALSO_SHARE);
        for other in shown {
            if self.said(ranking, other)?.is_some_and(|said| further.is_subset(said)) {
                return Ok(Some(other.place));
            }
        }
        Ok(None)
    }

    /// All passages of a shown document that hold words.
    fn said<'s>(&self, ranking: &Ranking, shown: &'s Shown) -> Result<Option<&'s HashSet<Hash>>> {
        if let Some(said) = shown.said.get() {
            return Ok(said.as_ref());
        }
        let file = self.view.entries[ranking.hits[shown.place].entry as usize].file;
        let said = db::file_of_hit(self.db, file)?.map(|row| {
            let mut said = self.further(ranking, shown.place, &row, 0.0);
            said.extend(self.best(ranking, shown.place, &row));
            said
        });
        Ok(shown.said.get_or_init(|| said).as_ref())
    }

    /// The best passage of the document at place `at`, where it was found by one and is still what
    /// was indexed.
    fn best(&self, ranking: &Ranking, at: usize, row: &FileRow) -> Option<Hash> {
        let hit = ranking.hits[at];
        let entry = self.view.entries[hit.entry as usize];
        if hit.slot == NONE || entry.generation != row.generation {
            return None;
        }
        row.chunks.hash(self.view.address(hit.slot).1 as usize)
    }

    /// Its further passages that hold words, from this share of the best one on.
    fn further(&self, ranking: &Ranking, at: usize, row: &FileRow, share: f32) -> HashSet<Hash> {
        let best = ranking.hits[at].passage;
        let others = ranking.others[at].iter().filter(|other| other.passage >= share * best);
        let numbers: HashSet<u32> = others.map(|other| self.view.address(other.slot).1).collect();
        let of = (0..).zip(row.chunks.hashes()).filter(|(number, _)| numbers.contains(number));
        of.map(|(_, hash)| hash).collect()
    }
}
