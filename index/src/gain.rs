//! What one word gives to documents and passages, and such lists of frequent words, kept.
//!
//! A word that stands in every tenth passage costs a query more than all of its other words, and
//! is asked for again and again; what it gives depends on nothing else in the query.

use std::collections::HashMap;
use std::sync::Arc;

/// What a leaf gives, before it is multiplied by its weight in a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gains {
    /// Inverse document frequency among documents, and among passages.
    pub idf: [f32; 2],
    /// Entry, saturated count in the whole document, and in what its passages stand under.
    pub documents: Vec<(u32, f32, f32)>,
    /// Slot, entry, and what the passage's own words add to the saturated count above it.
    pub passages: Vec<(u32, u32, f32)>,
}

impl Gains {
    /// Bytes of the lists.
    fn bytes(&self) -> usize {
        (self.documents.len() + self.passages.len()) * size_of::<(u32, u32, f32)>()
    }

    /// The same without room to grow.
    fn fitted(&self) -> Gains {
        Gains {
            idf: self.idf,
            documents: self.documents.as_slice().to_vec(),
            passages: self.passages.as_slice().to_vec(),
        }
    }
}

/// A word whose lists are shorter is read anew each time: that costs next to nothing.
const FREQUENT: usize = 2_000;
/// All kept lists of a view.
const BYTES_MAX: usize = 8 << 20;
/// One of them may take that part of it, so that some have room.
const PART: usize = 4;

/// Gains of the frequent words that were asked for last.
#[derive(Default)]
pub(crate) struct Kept {
    /// By the word's forms; with the number of the request that asked for it last.
    words: HashMap<Vec<String>, (Arc<Gains>, u64)>,
    bytes: usize,
    requests: u64,
}

impl Kept {
    /// What is kept of a word.
    pub fn of(&mut self, forms: &[String]) -> Option<Arc<Gains>> {
        self.requests += 1;
        let (gains, used) = self.words.get_mut(forms)?;
        *used = self.requests;
        Some(Arc::clone(gains))
    }

    /// Keeps what a word gives if it is a frequent one; those asked for longest ago make room.
    pub fn keep(&mut self, forms: &[String], gains: &Gains) {
        let n = gains.documents.len() + gains.passages.len();
        if n < FREQUENT || gains.bytes() > BYTES_MAX / PART || self.words.contains_key(forms) {
            return;
        }
        self.requests += 1;
        self.bytes += gains.bytes();
        self.words.insert(forms.to_vec(), (Arc::new(gains.fitted()), self.requests));
        while self.bytes > BYTES_MAX {
            let oldest = self.words.iter().min_by_key(|(_, (_, used))| *used);
            let Some(forms) = oldest.map(|(forms, _)| forms.clone()) else { return };
            if let Some((gains, _)) = self.words.remove(&forms) {
                self.bytes -= gains.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gains(n: usize) -> Gains {
        Gains { passages: vec![(1, 2, 0.5); n], ..Gains::default() }
    }

    fn word(n: usize) -> Vec<String> {
        vec![format!("word{n}")]
    }

    #[test]
    fn frequent_words_are_kept_within_bounds_and_the_oldest_go_first() {
        let mut kept = Kept::default();
        kept.keep(&word(0), &gains(FREQUENT - 1));
        assert!(kept.of(&word(0)).is_none(), "too rare");
        let most = BYTES_MAX / PART / 12;
        kept.keep(&word(0), &gains(most + 1));
        assert!(kept.of(&word(0)).is_none(), "too long");
        for n in 1..=PART {
            kept.keep(&word(n), &gains(most));
        }
        assert!(kept.of(&word(1)).is_some_and(|gains| gains.passages.len() == most));
        kept.keep(&word(PART + 1), &gains(most));
        assert!(kept.of(&word(2)).is_none(), "asked for longest ago");
        assert!(kept.of(&word(1)).is_some() && kept.of(&word(PART + 1)).is_some());
        assert!(kept.bytes <= BYTES_MAX);
    }
}
