//! Words and meaning in one ranking: a convex combination of both scores (Bruch, Gai and Ingber
//! 2023), each over its list's best.
//!
//! A document's meaning is half its best passage and half the mean of its best three (measured:
//! +1.5 to +2.8 points on long documents); of a note in several passages, the vector of its head
//! beside that. Cosines are counted from their theoretical least, -1, so
//! that no score depends on what stands at the bottom of a list. Pure; every document with a vector
//! is ranked, so that filters never change an order, where all rows are measured. Where signs say
//! which are, the others count as their signs let expect, and graphs know the nearest alone: a
//! document beyond both their list and that of the words scores as far from the query. There the
//! best documents are measured whole until nothing that was only estimated can be before them.

use crate::dense::{Dense, LOOKED_AT};
use crate::scan::Cosines;
use crate::vector::QueryVector;
use crate::view::NONE;
use std::collections::{HashMap, HashSet};

/// What a query means, beside its words.
pub struct Meaning<'a> {
    /// The vectors.
    pub dense: &'a Dense,
    /// The query.
    pub query: QueryVector,
    /// How near everything is to it.
    pub near: Nearness,
    /// Share of meaning in the score, 0 to 1.
    pub share: f32,
}

/// Share of a note's head in its nearness. Measured at a quarter, 0.35, a half and two thirds:
/// +4.1, +4.5, +5.0 and +5.2 points on linked notes, -0.4, -0.6, -0.6 and -0.8 on abstracts
/// (`synod eval`, both sides). The research lost 0.4 at a half on long pages: less than a half.
const WHOLE_SHARE: f32 = 0.35;

/// How near a document is to a query.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Near {
    /// Cosines of its best passages, best first; -1 where there is none.
    best: [f32; 3],
    n: u32,
    /// Of the head of the note, if that has a vector of its own.
    whole: Option<f32>,
}

impl Near {
    /// Of some passages.
    fn of(cosines: impl Iterator<Item = f32>) -> Self {
        let mut near = Near::default();
        cosines.for_each(|cosine| near.add(cosine));
        near
    }

    fn add(&mut self, cosine: f32) {
        if self.n >= 3 && cosine <= self.best[2] {
            self.n += 1;
            return;
        }
        let Near { best, n, .. } = self;
        let kept = (*n as usize).min(3);
        let at = best[..kept].iter().position(|known| cosine > *known).unwrap_or(kept);
        if at < 3 {
            best.copy_within(at..2, at + 1);
            best[at] = cosine;
        }
        *n += 1;
    }

    /// The document's score, -1 to 1; `None` without a vector.
    pub fn score(&self) -> Option<f32> {
        let kept = (self.n as usize).min(3);
        let mean = self.best[..kept].iter().sum::<f32>() / kept as f32;
        let parts = (self.best[0] + mean) / 2.0;
        (kept > 0).then(|| self.whole.map_or(parts, |whole| parts + WHOLE_SHARE * (whole - parts)))
    }
}

/// How near documents and passages are to a query.
pub struct Nearness {
    documents: Documents,
    /// By place, where all were measured.
    cosines: Vec<f32>,
    /// Documents that were measured whole after others were not.
    measured: HashSet<u32>,
    /// How many of the best are to be right.
    pub n_right: usize,
    /// The best document's.
    pub top: f32,
    /// The best passage's.
    pub top_passage: f32,
}

/// Which documents something is known of.
enum Documents {
    /// By entry.
    All(Vec<Near>),
    /// Those that graphs name, and those that were measured beside them.
    Named(HashMap<u32, Near>),
}

/// Documents that are to be right where not all passages were measured: the best by meaning, and as
/// many by their words, or more where they have few passages. More where more are asked for.
const MEASURED: usize = 64;
/// The most of them: twice what a pack of 24,000 tokens is chosen among, for signs may also say too
/// little of a document.
const RIGHT_MAX: usize = 800;
/// Passages that are measured for that, beyond those of the first documents.
const MEASURED_PASSAGES: usize = 4_096;
/// The same of those that are chosen by their words.
const WORDED_PASSAGES: usize = 1_024;
/// Documents that are measured for that at most.
const MEASURED_MAX: usize = 1_024;
/// How far behind those that were measured the others are, for each step between them.
const BEHIND: f32 = 1e-3;

impl Nearness {
    /// Of every embedded passage and document of a view with `n_entries`, of which the best `top`
    /// are asked for.
    pub fn of(dense: &Dense, query: &QueryVector, n_entries: usize, top: usize) -> Self {
        let entries = 0..n_entries as u32;
        let (documents, cosines): (Vec<Near>, Vec<f32>) = match dense.cosines(query) {
            Cosines::All(cosines) => {
                let of = |entry| Near::of(cosines[dense.places(entry)].iter().copied());
                let mut documents: Vec<Near> = entries.map(of).collect();
                for (entry, place) in dense.headed() {
                    documents[entry as usize].whole = Some(cosines[place]);
                }
                (documents, cosines)
            }
            Cosines::Signs(signs) => {
                let mut stretches = signs.stretches();
                let of = |entry| Near::of(stretches.nearest(dense.places(entry)));
                let mut documents: Vec<Near> = entries.map(of).collect();
                for (entry, place) in dense.headed() {
                    documents[entry as usize].whole = Some(signs.at(place));
                }
                (documents, Vec::new())
            }
        };
        let mut near = Nearness { cosines, ..Nearness::from(Documents::All(documents), top) };
        if !near.is_measured() {
            near.measure_best(dense, query);
        }
        near.note_best();
        near
    }

    /// Of the documents that graphs find near the query alone. What they do not name of such a
    /// document is taken to be as near as the last that any of them names, which may be too much;
    /// the best documents are measured whole.
    pub fn among(dense: &Dense, query: &QueryVector, top: usize) -> Self {
        let found = dense.nearest(query);
        let least = found.iter().fold(1.0f32, |least, (.., cosine)| least.min(*cosine));
        let mut named: HashMap<u32, Near> = HashMap::with_capacity(found.len());
        for (entry, place, cosine) in found {
            let document = named.entry(entry).or_default();
            if place != NONE {
                document.add(cosine);
            }
        }
        for (entry, document) in &mut named {
            for _ in document.n as usize..dense.places(*entry).len().min(3) {
                document.add(least);
            }
            document.whole = dense.whole(*entry, query);
        }
        let mut near = Nearness::from(Documents::Named(named), top);
        near.measure_best(dense, query);
        near.note_best();
        near
    }

    fn from(documents: Documents, asked: usize) -> Self {
        let (cosines, measured) = (Vec::new(), HashSet::new());
        let n_right = (2 * asked).clamp(MEASURED, RIGHT_MAX);
        Nearness { documents, cosines, measured, n_right, top: -1.0, top_passage: -1.0 }
    }

    /// Score and entry of every document that has one, in no order.
    pub fn scores(&self) -> Box<dyn Iterator<Item = (f32, u32)> + '_> {
        let scored = |(entry, near): (u32, &Near)| near.score().map(|score| (score, entry));
        match &self.documents {
            Documents::All(all) => Box::new((0..).zip(all).filter_map(scored)),
            Documents::Named(named) => {
                Box::new(named.iter().map(|(entry, near)| (*entry, near)).filter_map(scored))
            }
        }
    }

    /// The score of a document.
    pub fn score(&self, entry: u32) -> Option<f32> {
        match &self.documents {
            Documents::All(all) => all[entry as usize].score(),
            Documents::Named(named) => named.get(&entry)?.score(),
        }
    }

    /// Only documents that may be among the best have a score.
    pub fn is_partial(&self) -> bool {
        matches!(self.documents, Documents::Named(_))
    }

    /// Every passage was measured.
    fn is_measured(&self) -> bool {
        !self.cosines.is_empty()
    }

    fn note_best(&mut self) {
        let best = |all: &mut dyn Iterator<Item = &Near>| {
            all.filter(|near| near.n > 0).fold((-1.0f32, -1.0f32), |(top, passage), near| {
                (top.max(near.score().unwrap_or(-1.0)), passage.max(near.best[0]))
            })
        };
        (self.top, self.top_passage) = match &self.documents {
            Documents::All(all) => best(&mut all.iter()),
            Documents::Named(named) => best(&mut named.values()),
        };
    }

    /// Measures documents whole, the best by what is known first, until so many of those that were
    /// as are to be right are better than all others can be, or it has been enough. Those others
    /// are behind them then, in their order: what was taken for known of them may be too much.
    fn measure_best(&mut self, dense: &Dense, query: &QueryVector) {
        let mut best: Vec<(f32, u32)> = self.scores().collect();
        // The best that were measured, best first.
        let n_right = self.n_right;
        let (mut n_passages, mut kept) = (0, Vec::<f32>::with_capacity(n_right + 1));
        let first = partial_sort(&mut best, MEASURED_MAX);
        for &(known, entry) in first {
            let worst = kept.get(n_right - 1);
            if worst.is_some_and(|worst| known <= *worst || n_passages >= MEASURED_PASSAGES) {
                break;
            }
            n_passages += dense.places(entry).len().min(LOOKED_AT);
            if let Some(score) = self.measure(dense, query, entry) {
                kept.insert(kept.partition_point(|other| *other >= score), score);
                kept.truncate(n_right);
            }
        }
        let top = best.iter().fold(-1.0f32, |top, (score, _)| top.max(*score));
        let Some(&border) = kept.last() else { return };
        for (known, entry) in best.into_iter().filter(|(known, _)| *known > border) {
            if !self.measured.contains(&entry) {
                let behind = border - (top - known) * BEHIND;
                self.know(entry, Near::of(std::iter::once(behind)));
            }
        }
    }

    /// Measures a document whole; its score, if it has a vector.
    fn measure(&mut self, dense: &Dense, query: &QueryVector, entry: u32) -> Option<f32> {
        if dense.places(entry).is_empty() {
            return None;
        }
        let near = Near::of(dense.cosines_of(entry, query).into_iter());
        let near = Near { whole: dense.whole(entry, query), ..near };
        self.measured.insert(entry);
        self.know(entry, near);
        self.top_passage = self.top_passage.max(near.best[0]);
        self.top = near.score().map_or(self.top, |score| self.top.max(score));
        near.score()
    }

    fn know(&mut self, entry: u32, near: Near) {
        match &mut self.documents {
            Documents::All(all) => all[entry as usize] = near,
            Documents::Named(named) => drop(named.insert(entry, near)),
        }
    }
}

/// The `n` greatest, in order, at the front.
fn partial_sort(all: &mut [(f32, u32)], n: usize) -> &[(f32, u32)] {
    let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if all.len() > n {
        all.select_nth_unstable_by(n, order);
    }
    let n = n.min(all.len());
    all[..n].sort_unstable_by(order);
    &all[..n]
}

impl Meaning<'_> {
    /// Measures the documents that hold most of the words, where nothing is known of those that
    /// graphs do not name: `words` is what each scores by.
    pub fn with_words(&mut self, words: impl FnOnce() -> Vec<(f32, u32)>) {
        if !self.near.is_partial() {
            return;
        }
        let (mut words, mut n_passages) = (words(), 0);
        let first = partial_sort(&mut words, MEASURED_MAX);
        for (at, (_, entry)) in first.iter().enumerate() {
            if at >= MEASURED && n_passages >= WORDED_PASSAGES {
                return;
            }
            if self.near.measured.contains(entry) {
                continue;
            }
            n_passages += self.dense.places(*entry).len().min(LOOKED_AT);
            self.near.measure(self.dense, &self.query, *entry);
        }
    }

    /// Measures a document whole that was not; by how much its share of the best one's nearness
    /// changes.
    pub fn settle(&mut self, entry: u32) -> Option<f32> {
        let near = &mut self.near;
        if near.is_measured() || near.measured.contains(&entry) {
            return None;
        }
        // What the others were counted by.
        let top = near.top;
        let before = near.score(entry).map_or(0.0, |score| share_of(score, top));
        let after = near.measure(self.dense, &self.query, entry)?;
        near.top = top;
        Some(share_of(after, top) - before)
    }

    /// The cosine of a passage.
    pub fn passage(&self, place: usize) -> f32 {
        let known = self.near.cosines.get(place).copied();
        known.unwrap_or_else(|| self.dense.cosine(place, &self.query))
    }
}

/// How much the words are to be believed, 0 to 1: the best document's score over that of one which
/// holds every word as often as can be. Where even the best holds few of them, what it leads by
/// says little. Measured with the root: +2.2 points on questions to code, no set below -0.5
/// (`bench quality`).
pub fn confidence(best: f32, ideal: f32) -> f32 {
    (best / ideal.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0).sqrt()
}

/// A cosine over the list's best, 0 to 1.
pub fn share_of(cosine: f32, top: f32) -> f32 {
    (cosine + 1.0) / (top + 1.0).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_half_its_best_and_half_its_best_three() {
        let of = |cosines: &[f32]| {
            let mut near = Near::default();
            cosines.iter().for_each(|cosine| near.add(*cosine));
            near.score()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[0.4]), Some(0.4));
        assert_eq!(of(&[0.2, 0.4]), Some((0.4 + 0.3) / 2.0));
        let many = of(&[0.1, 0.6, -0.5, 0.3, 0.9]).unwrap();
        assert!((many - (0.9 + 0.6) / 2.0).abs() < 1e-6, "{many}");
        let mut near = Near { whole: Some(0.8), ..Near::default() };
        assert_eq!(near.score(), None, "nothing to show of it");
        near.add(0.4);
        assert!((near.score().unwrap() - (0.4 + WHOLE_SHARE * 0.4)).abs() < 1e-6);
        assert_eq!(of(&[0.9, 0.1, 0.3, 0.6, -0.5]), of(&[0.1, 0.6, -0.5, 0.3, 0.9]));
    }
}
