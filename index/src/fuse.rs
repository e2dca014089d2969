//! Words and meaning in one ranking: a convex combination of both scores (Bruch, Gai and Ingber
//! 2023), each over its list's best.
//!
//! A document's meaning is half its best passage and half the mean of its best three (measured:
//! +1.5 to +2.8 points on long documents); of a note in several passages, the vector of its head
//! beside that. Cosines are counted from their theoretical least, -1, so
//! that no score depends on what stands at the bottom of a list. Pure; every document with a vector
//! is ranked, so that filters never change an order.

use crate::dense::Dense;
use crate::vector::QueryVector;

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
    pub passages: Vec<f32>,
    /// By entry.
    pub documents: Vec<Near>,
    /// The best document's.
    pub top: f32,
    /// The best passage's.
    pub top_passage: f32,
    /// Only documents that may be among the best were measured; the others have no score.
    pub sparse: bool,
}

/// Documents holding most of the words whose nearness is measured where graphs name the nearest.
const WORDY_MEASURED: usize = 300;

impl Nearness {
    /// Of every embedded passage and document of a view with `n_entries`.
    pub fn of(dense: &Dense, query: &QueryVector, n_entries: usize) -> Self {
        let passages = dense.cosines(query);
        let mut top_passage = -1.0f32;
        let document = |entry: usize| {
            let mut near = Near::default();
            for cosine in &passages[dense.places(entry as u32)] {
                near.add(*cosine);
                top_passage = top_passage.max(*cosine);
            }
            near
        };
        let mut documents: Vec<Near> = (0..n_entries).map(document).collect();
        for (entry, cosine) in dense.wholes(query) {
            documents[entry as usize].whole = Some(cosine);
        }
        let scores = documents.iter().filter_map(Near::score);
        let top = scores.fold(-1.0f32, f32::max);
        Nearness { passages, documents, top, top_passage, sparse: false }
    }

    /// Of the documents that graphs find near the query alone.
    pub fn among(dense: &Dense, query: &QueryVector, n_entries: usize) -> Self {
        let passages = vec![0.0; dense.n_places()];
        let documents = vec![Near::default(); n_entries];
        let (top, top_passage) = (-1.0, -1.0);
        let mut near = Nearness { passages, documents, top, top_passage, sparse: true };
        near.measure(dense, query, dense.near_entries(query));
        near
    }

    /// Measures documents that were not, whole.
    fn measure(
        &mut self,
        dense: &Dense,
        query: &QueryVector,
        entries: impl IntoIterator<Item = u32>,
    ) {
        for entry in entries {
            let near = &mut self.documents[entry as usize];
            if near.n > 0 {
                continue;
            }
            for place in dense.places(entry) {
                let cosine = dense.cosine(place, query);
                self.passages[place] = cosine;
                self.top_passage = self.top_passage.max(cosine);
                near.add(cosine);
            }
            near.whole = dense.whole(entry, query);
            self.top = near.score().map_or(self.top, |score| self.top.max(score));
        }
    }
}

impl Meaning<'_> {
    /// Measures the documents that hold most of the words: `words` is what each scores by.
    pub fn with_words(&mut self, mut words: Vec<(f32, u32)>) {
        if words.len() > WORDY_MEASURED {
            words.select_nth_unstable_by(WORDY_MEASURED, |a, b| b.0.total_cmp(&a.0));
            words.truncate(WORDY_MEASURED);
        }
        let entries = words.into_iter().map(|(_, entry)| entry);
        self.near.measure(self.dense, &self.query, entries);
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
