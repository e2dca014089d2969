//! What stands in the words of each document, as sums of hashes: what a check compares.

use super::{View, tantivy_io};
use crate::error::Result;
use crate::lexical::{PARTS, Part};
use crate::segment::Segment;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use tantivy::postings::Postings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, InvertedIndexReader, TERMINATED};

/// What stands in the words of a document: for each part, and last for whole names, a sum over the
/// postings, which neither merges nor the order of documents change.
pub type Print = [u64; PARTS.len() + 1];

impl View {
    /// What stands in the words of each document, by row; the longest look there is, at every
    /// posting of every word.
    pub fn prints(&self) -> Result<HashMap<u32, Print>> {
        let mut out: HashMap<u32, Print> = HashMap::new();
        for segment in &self.segments {
            let parts = PARTS.iter().map(|part| segment.inverted(*part));
            for (part, inverted) in parts.chain([segment.exact()]).enumerate() {
                self.hashes(segment, inverted, |file, hash| {
                    let sum = &mut out.entry(file).or_default()[part];
                    *sum = sum.wrapping_add(hash);
                })?;
            }
        }
        Ok(out)
    }

    /// The same of the texts of links alone, which are few beside all words: documents without any
    /// are not there.
    pub fn link_prints(&self) -> Result<HashMap<u32, u64>> {
        let mut out: HashMap<u32, u64> = HashMap::new();
        for segment in &self.segments {
            self.hashes(segment, segment.inverted(Part::Link), |file, hash| {
                let sum = out.entry(file).or_default();
                *sum = sum.wrapping_add(hash);
            })?;
        }
        Ok(out)
    }

    /// Calls `each` for every living posting of a field, with its document's row and a hash of what
    /// the posting says.
    fn hashes(
        &self,
        segment: &Segment,
        inverted: &InvertedIndexReader,
        mut each: impl FnMut(u32, u64),
    ) -> Result<()> {
        let mut places = Vec::new();
        let mut terms = inverted.terms().stream().map_err(tantivy_io)?;
        while let Some((term, info)) = terms.next() {
            let every = IndexRecordOption::WithFreqsAndPositions;
            let postings = inverted.read_postings_from_terminfo(info, every);
            let mut postings = postings.map_err(tantivy_io)?;
            while postings.doc() != TERMINATED {
                let doc = postings.doc() as usize;
                if let Some(entry) = self.entries.get(segment.entry[doc] as usize) {
                    postings.positions(&mut places);
                    let mut hasher = DefaultHasher::new();
                    let count = postings.term_freq();
                    (segment.chunks()[doc], term, count, &places).hash(&mut hasher);
                    each(entry.file, hasher.finish());
                }
                postings.advance();
            }
        }
        Ok(())
    }
}
