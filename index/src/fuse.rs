//! Words and meaning in one ranking: a convex combination of both scores (Bruch, Gai and Ingber
//! 2023), each over its list's best.
//!
//! A document's meaning is half its best passage and half the mean of its best three (measured:
//! +1.5 to +2.8 points on long documents); of a note in several passages, the vector of its head
//! beside that. Cosines are counted from their theoretical least, -1, so
//! that no score depends on what stands at the bottom of a list. Pure; every document with a vector
//! is ranked, so that filters never change an order. But for graphs, which know the nearest alone:
//! a document beyond both their list and that of the words scores as far from the query, and a
//! filter, which has all looked at, shows it as near as it is.

use crate::dense::Dense;
use crate::scan::Cosines;
use crate::vector::QueryVector;
use crate::view::NONE;
use std::collections::HashSet;

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

/// Cosines of passages and documents to a query.
pub struct Nearness {
    /// By place.
    pub passages: Cosines,
    /// By entry.
    pub documents: Vec<Near>,
    /// The best document's.
    pub top: f32,
    /// The best passage's.
    pub top_passage: f32,
    /// Where only documents that may be among the best have a score: those that were measured
    /// whole.
    pub sparse: Option<HashSet<u32>>,
}

/// Documents that are measured whole where graphs name the nearest passages: the best by them, and
/// as many by their words.
const MEASURED: usize = 64;

impl Nearness {
    /// Of every embedded passage and document of a view with `n_entries`.
    pub fn of(dense: &Dense, query: &QueryVector, n_entries: usize) -> Self {
        let passages = dense.cosines(query);
        let entries = 0..n_entries as u32;
        let mut top_passage = -1.0f32;
        let mut documents: Vec<Near> = match &passages {
            Cosines::All(cosines) => {
                let of = |entry| Near::of(cosines[dense.places(entry)].iter().copied());
                let documents: Vec<Near> = entries.map(of).collect();
                top_passage = documents.iter().fold(top_passage, |top, near| match near.n {
                    0 => top,
                    _ => top.max(near.best[0]),
                });
                documents
            }
            Cosines::Signs(signs) => {
                top_passage = signs.best();
                let mut stretches = signs.stretches();
                entries.map(|entry| Near::of(stretches.nearest(dense.places(entry)))).collect()
            }
        };
        for (entry, cosine) in dense.wholes(query) {
            documents[entry as usize].whole = Some(cosine);
        }
        let scores = documents.iter().filter_map(Near::score);
        let top = scores.fold(-1.0f32, f32::max);
        Nearness { passages, documents, top, top_passage, sparse: None }
    }

    /// Of the documents that graphs find near the query alone. What they do not name of such a
    /// document is taken to be as near as the last that any of them names, which may be too little;
    /// the best documents are measured whole.
    pub fn among(dense: &Dense, query: &QueryVector, n_entries: usize) -> Self {
        let mut near = Nearness {
            passages: Cosines::All(Vec::new()),
            documents: vec![Near::default(); n_entries],
            top: -1.0,
            top_passage: -1.0,
            sparse: Some(HashSet::new()),
        };
        let mut passages = vec![0.0; dense.n_places()];
        let found = dense.nearest(query);
        let least = found.iter().fold(1.0f32, |least, (.., cosine)| least.min(*cosine));
        let mut entries: Vec<u32> = found.iter().map(|(entry, ..)| *entry).collect();
        entries.sort_unstable();
        entries.dedup();
        for (entry, place, cosine) in found {
            if place != NONE {
                passages[place as usize] = cosine;
                near.documents[entry as usize].add(cosine);
            }
        }
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let document = &mut near.documents[entry as usize];
            for _ in document.n as usize..dense.places(entry).len().min(3) {
                document.add(least);
            }
            document.whole = dense.whole(entry, query);
            best.extend(document.score().map(|score| (score, entry)));
        }
        near.passages = Cosines::All(passages);
        near.measure(dense, query, best);
        near
    }

    /// Measures the best documents of a list whole, but for those that were.
    fn measure(&mut self, dense: &Dense, query: &QueryVector, mut best: Vec<(f32, u32)>) {
        let (Some(measured), Cosines::All(passages)) = (&mut self.sparse, &mut self.passages)
        else {
            return;
        };
        if best.len() > MEASURED {
            best.select_nth_unstable_by(MEASURED, |a, b| b.0.total_cmp(&a.0));
            best.truncate(MEASURED);
        }
        for (_, entry) in best {
            if !measured.insert(entry) {
                continue;
            }
            let mut near = Near { whole: dense.whole(entry, query), ..Near::default() };
            for place in dense.places(entry) {
                let cosine = dense.cosine(place, query);
                passages[place] = cosine;
                self.top_passage = self.top_passage.max(cosine);
                near.add(cosine);
            }
            self.top = near.score().map_or(self.top, |score| self.top.max(score));
            self.documents[entry as usize] = near;
        }
    }
}

impl Meaning<'_> {
    /// Measures the documents that hold most of the words: `words` is what each scores by.
    pub fn with_words(&mut self, words: Vec<(f32, u32)>) {
        self.near.measure(self.dense, &self.query, words);
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
