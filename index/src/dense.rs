//! Meaning, as one view sees it: which passage has which vector, and how near each is to a query.

use crate::db::{self, Space};
use crate::embed::Embedder;
use crate::error::Result;
use crate::hnsw::{Graphs, VectorIndex};
use crate::scan::Cosines;
use crate::vector::{QueryVector, Rows};
use crate::view::{Entry, NONE, View};
use rusqlite::Connection;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The vectors of a view's passages.
pub struct Dense {
    /// What it was made for: generation of the view, space, its change.
    pub made_for: (u64, i64, u64),
    /// What embeds a query for it.
    pub embedder: Arc<dyn Embedder>,
    /// The last query and its vector: its next page, or another look at it, asks for the same.
    pub last: Mutex<Option<(Vec<String>, Vec<f32>)>>,
    rows: Rows,
    /// What the database says, to be taken over by the next one.
    kept: Kept,
    /// By place, its row; behind the places of passages those of heads.
    numbers: Vec<u32>,
    /// By place, its passage slot of the view.
    slots: Vec<u32>,
    /// By entry, its first place; one more at the end.
    starts: Vec<u32>,
    /// The notes whose head has a vector, by their place behind those of passages.
    headed: Vec<u32>,
    /// Every row is measured, whatever it costs.
    exact: bool,
    /// Share of the passages that have a vector, of those that are to have one, 0 to 1.
    pub coverage: f32,
    /// The short way to the nearest, where there are graphs.
    reach: Option<Reach>,
}

/// From rows to documents.
struct Reach {
    graphs: Graphs,
    /// Rows of documents that no graph covers.
    others: Vec<u32>,
    /// By row, the first of what it is the vector of; one more at the end.
    starts: Vec<u32>,
    /// What rows are the vectors of: an entry and one of its places, or `NONE` for its head.
    owners: Vec<(u32, u32)>,
}

/// Documents whose vectors are looked up one by one, beside a share of all: more are read with all
/// others.
const LOOKED_UP_MAX: usize = 200;
const LOOKED_UP_SHARE: usize = 16;
/// Passages of a document that are measured once it is known to be near: three of them count.
pub const LOOKED_AT: usize = 12;
/// Rows near a query that each graph names, and as many of those without one.
const EF: usize = 512;

/// What the database says of the documents of a view.
#[derive(Default)]
struct Kept {
    /// By entry: document and generation.
    of: Vec<(u32, u64)>,
    /// By entry, its first passage; one more at the end.
    firsts: Vec<u32>,
    /// By passage its row, or `NONE`.
    rows: Vec<u32>,
    /// By entry, the row of its head or `NONE`.
    heads: Vec<u32>,
}

impl Kept {
    /// Nothing yet is known of the documents of this view.
    fn new(view: &View) -> Self {
        let firsts = view.layout().starts().to_vec();
        Kept {
            of: view.entries.iter().map(|entry| (entry.file, entry.generation)).collect(),
            rows: vec![NONE; firsts.last().map_or(0, |n| *n as usize)],
            heads: vec![NONE; view.entries.len()],
            firsts,
        }
    }

    fn passages(&self, entry: usize) -> Range<usize> {
        self.firsts[entry] as usize..self.firsts[entry + 1] as usize
    }

    /// Passages without a vector that are to get one: not those of documents that are held back. A
    /// document without a text, such as a picture, is one passage to the words and none to a model.
    fn n_missing(&self, view: &View, held_back: &HashSet<u32>) -> usize {
        let missing = |(at, entry): (usize, &Entry)| match entry {
            Entry { n_chunks: 1, body_len, .. } if *body_len < 0.5 => 0,
            Entry { file, .. } if held_back.contains(file) => 0,
            _ => self.rows[self.passages(at)].iter().filter(|row| **row == NONE).count(),
        };
        view.entries.iter().enumerate().map(missing).sum()
    }

    /// Reads all of a space.
    fn read(&mut self, db: &Connection, view: &View, space: &Space) -> Result<()> {
        db::embedded(db, space.id, |file, generation, numbers| {
            let Some(entry) = view.entry(file) else { return };
            self.put(entry as usize, generation, numbers, space.n_rows);
        })
    }

    /// Notes the vectors of a document, if they are those of the generation that is seen.
    fn put(
        &mut self,
        entry: usize,
        generation: u64,
        numbers: &mut dyn Iterator<Item = u32>,
        n_rows: u32,
    ) {
        if self.of[entry].1 != generation {
            return;
        }
        let passages = self.passages(entry);
        for (at, row) in numbers.filter(|row| *row < n_rows).enumerate() {
            match self.rows[passages.clone()].get_mut(at) {
                Some(place) => *place = row,
                // Behind the passages stands the head of the note.
                None => self.heads[entry] = row,
            }
        }
    }

    /// Takes over what is known of the same documents in the same space, and reads what is not.
    /// False, with nothing read, when that is so much that all is better read.
    fn follow(
        &mut self,
        known: &Kept,
        changed: bool,
        db: &Connection,
        view: &View,
        space: &Space,
    ) -> Result<bool> {
        let mut unknown = Vec::new();
        for entry in 0..self.of.len() {
            let passages = self.passages(entry);
            if passages.is_empty() {
                continue;
            }
            if known.of.get(entry) != Some(&self.of[entry]) {
                unknown.push(entry);
                continue;
            }
            let (former, head) = (&known.rows[known.passages(entry)], known.heads[entry]);
            let gone = |row: &u32| *row != NONE && *row >= space.n_rows;
            if former.len() != passages.len() || former.iter().any(gone) || gone(&head) {
                unknown.push(entry);
                continue;
            }
            // What had none may have got them meanwhile; what has them keeps them.
            if changed && former.contains(&NONE) {
                unknown.push(entry);
            }
            self.rows[passages].copy_from_slice(former);
            self.heads[entry] = head;
        }
        if unknown.len() > LOOKED_UP_MAX + self.of.len() / LOOKED_UP_SHARE {
            return Ok(false);
        }
        for entry in unknown {
            let file = view.entries[entry].file;
            db::embedded_of(db, space.id, file, |generation, numbers| {
                self.put(entry, generation, numbers, space.n_rows);
            })?;
        }
        Ok(true)
    }
}

/// The documents that an embedder is never given: they may not leave this machine.
fn held_back(db: &Connection, embedder: &dyn Embedder) -> Result<HashSet<u32>> {
    let sources = db::sources(db)?.into_iter();
    let held = sources.filter(|source| !embedder.takes(&source.collection));
    let ids: Vec<i64> = held.map(|source| source.id).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    db::of_sources(db, &ids)
}

impl Dense {
    /// Reads which documents are embedded as the view knows them; of those that `known` knows as
    /// they are, only what is new.
    ///
    /// # Errors
    /// `Data` when the vectors are not where the database says.
    pub fn open(
        db: &Connection,
        dir: &Path,
        view: &View,
        space: &Space,
        embedder: Arc<dyn Embedder>,
        mode: VectorIndex,
        known: Option<&Dense>,
    ) -> Result<Self> {
        let rows = Rows::open(dir, space.id, space.dimensions, space.n_rows)?;
        let made_for = (view.generation, space.id, space.change);
        let mut kept = Kept::new(view);
        let known = known.filter(|known| known.made_for.1 == space.id);
        let follows = match known {
            Some(known) => {
                kept.follow(&known.kept, known.made_for.2 != space.change, db, view, space)?
            }
            None => false,
        };
        if !follows {
            kept = Kept::new(view);
            kept.read(db, view, space)?;
        }
        let layout = view.layout();
        let (mut numbers, mut slots, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for entry in 0..view.entries.len() as u32 {
            for at in kept.passages(entry as usize).filter(|at| kept.rows[*at] != NONE) {
                numbers.push(kept.rows[at]);
                slots.push(layout.slots[at]);
            }
            starts.push(numbers.len() as u32);
        }
        let wanted = numbers.len() + kept.n_missing(view, &held_back(db, &*embedder)?);
        let coverage = numbers.len() as f32 / wanted.max(1) as f32;
        let heads = (0..).zip(&kept.heads).filter(|(_, row)| **row != NONE);
        let headed: Vec<u32> = heads.map(|(entry, _)| entry).collect();
        numbers.extend(headed.iter().map(|entry| kept.heads[*entry as usize]));
        let graphs = match mode {
            VectorIndex::Exact => Graphs::default(),
            _ => Graphs::open(dir, space.id, &rows, mode == VectorIndex::Hnsw),
        };
        let reach = None;
        let last = Mutex::new(None);
        let mut dense = Dense {
            made_for,
            embedder,
            last,
            rows,
            kept,
            numbers,
            slots,
            starts,
            headed,
            exact: mode == VectorIndex::Exact,
            coverage,
            reach,
        };
        if !graphs.is_empty() {
            dense.reach = Some(Reach::new(graphs, &dense, view.entries.len()));
        }
        Ok(dense)
    }

    /// Nothing is embedded.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The places of a document's passages: those that have a vector.
    pub fn places(&self, entry: u32) -> Range<usize> {
        self.starts[entry as usize] as usize..self.starts[entry as usize + 1] as usize
    }

    /// The passage slot of a place.
    pub fn slot(&self, place: usize) -> u32 {
        self.slots[place]
    }

    /// How many places of passages there are.
    pub fn n_passages(&self) -> usize {
        self.slots.len()
    }

    /// The row of a document's passage, if that has a vector.
    pub fn row_of(&self, entry: u32, slot: u32) -> Option<u32> {
        self.places(entry).find(|place| self.slots[*place] == slot).map(|at| self.numbers[at])
    }

    /// The cosine of two rows.
    pub fn between(&self, row: u32, other: u32) -> f32 {
        self.rows.between(row, other)
    }

    /// Documents with a vector.
    pub fn n_documents(&self) -> usize {
        self.starts.windows(2).filter(|pair| pair[0] < pair[1]).count()
    }

    /// There are graphs.
    pub fn has_graphs(&self) -> bool {
        self.reach.is_some()
    }

    /// What is near a query, as graphs name it and as is seen of the rows without one: entry, place
    /// (`NONE` for the head of the document), cosine.
    pub fn nearest(&self, query: &QueryVector) -> Vec<(u32, u32, f32)> {
        let Some(reach) = &self.reach else { return Vec::new() };
        let owned = |row: u32| reach.is_owned(row);
        let mut near = reach.graphs.nearest(&self.rows, query, EF, &owned);
        let cosines = self.rows.cosines(&reach.others, query).into_vec();
        let mut others: Vec<(u32, f32)> = reach.others.iter().copied().zip(cosines).collect();
        if others.len() > EF {
            others.select_nth_unstable_by(EF, |a, b| b.1.total_cmp(&a.1));
            others.truncate(EF);
        }
        near.append(&mut others);
        let of = |(row, cosine): (u32, f32)| {
            let range = reach.starts[row as usize]..reach.starts[row as usize + 1];
            let owners = &reach.owners[range.start as usize..range.end as usize];
            owners.iter().map(move |(entry, place)| (*entry, *place, cosine))
        };
        near.into_iter().flat_map(of).collect()
    }

    /// The cosine of one place to a query.
    pub fn cosine(&self, place: usize, query: &QueryVector) -> f32 {
        self.rows.cosine(self.numbers[place], query)
    }

    /// The cosines of a document's passages, of many those whose signs are nearest.
    pub fn cosines_of(&self, entry: u32, query: &QueryVector) -> Vec<f32> {
        let rows = &self.numbers[self.places(entry)];
        if rows.len() <= LOOKED_AT {
            return self.measured(rows.iter().copied(), query);
        }
        let signs = |row: &u32| self.rows.difference(*row, query).map(|signs| (signs, *row));
        let Some(mut by_signs) = rows.iter().map(signs).collect::<Option<Vec<_>>>() else {
            return self.measured(rows.iter().copied(), query);
        };
        by_signs.select_nth_unstable(LOOKED_AT);
        self.measured(by_signs[..LOOKED_AT].iter().map(|(_, row)| *row), query)
    }

    fn measured(&self, rows: impl Iterator<Item = u32> + Clone, query: &QueryVector) -> Vec<f32> {
        // They lie anywhere in a file larger than the cache.
        rows.clone().for_each(|row| self.rows.fetch(row));
        rows.map(|row| self.rows.cosine(row, query)).collect()
    }

    /// The cosine of a document's head to a query, if that has a vector.
    pub fn whole(&self, entry: u32, query: &QueryVector) -> Option<f32> {
        let row = self.kept.heads[entry as usize];
        (row != NONE).then(|| self.rows.cosine(row, query))
    }

    /// The cosine of each place to a query, those of passages first and then those of the heads of
    /// [`Dense::headed`].
    pub fn cosines(&self, query: &QueryVector) -> Cosines {
        match self.exact {
            true => Cosines::All(self.rows.all_cosines(&self.numbers, query)),
            false => self.rows.cosines(&self.numbers, query),
        }
    }

    /// Entry and place of every note whose head has a vector.
    pub fn headed(&self) -> impl Iterator<Item = (u32, usize)> {
        self.headed.iter().copied().zip(self.slots.len()..)
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

impl Reach {
    fn new(graphs: Graphs, dense: &Dense, n_entries: usize) -> Self {
        let n_rows = dense.rows.len();
        let of_entry = |entry: u32| {
            let places = dense.places(entry);
            places.map(move |place| (dense.numbers[place], (entry, place as u32)))
        };
        let owned = || {
            let heads = dense.headed().map(|(entry, at)| (dense.numbers[at], (entry, NONE)));
            (0..n_entries as u32).flat_map(of_entry).chain(heads)
        };
        let mut starts = vec![0u32; n_rows as usize + 1];
        owned().for_each(|(row, _)| starts[row as usize + 1] += 1);
        for row in 0..n_rows as usize {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut owners = vec![(0, 0); starts[n_rows as usize] as usize];
        for (row, owner) in owned() {
            owners[next[row as usize] as usize] = owner;
            next[row as usize] += 1;
        }
        let others = graphs.uncovered(n_rows);
        let mut reach = Reach { graphs, others: Vec::new(), starts, owners };
        reach.others = others.into_iter().filter(|row| reach.is_owned(*row)).collect();
        reach
    }

    /// Some document has this row: others are those of texts that are gone.
    fn is_owned(&self, row: u32) -> bool {
        self.starts[row as usize] < self.starts[row as usize + 1]
    }
}
