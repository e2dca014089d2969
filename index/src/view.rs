//! One immutable view of the word index: who stands where, how long, and the postings of a word.
//!
//! Statistics count living documents only, so that they do not depend on the history of merges.
//! Invariant: a view never changes; a newer commit makes a newer view, which shares with the older
//! one every segment that both hold, and counts only what came and what went.

mod print;

pub use print::Print;

use crate::error::{Error, Result};
use crate::kind::Class;
use crate::lexical::{Fields, LINK_CHUNK, PARTS, Part, unpack};
use crate::segment::{Next, Segment};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::SegmentId;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, InvertedIndexReader, TERMINATED, Term};

/// Marks a deleted tantivy document, and a row that is not in the view.
pub const NONE: u32 = u32::MAX;
/// Entries of documents that are gone that a view takes over from the one before, beside an eighth
/// of all.
const DEAD_MAX: u32 = 1_000;

/// A document in a view. One that is gone keeps its place, without passages.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Row.
    pub file: u32,
    /// Generation of the row that its passages were made from.
    pub generation: u64,
    /// Family.
    pub class: Class,
    /// Number of passages.
    pub n_chunks: u32,
    /// Words of all passages.
    pub body_len: f32,
}

/// What all living documents have of something.
#[derive(Clone, Copy, Default)]
struct Sum {
    len: u64,
    n: u32,
}

impl Sum {
    fn add(&mut self, len: u32) {
        self.len += u64::from(len);
        self.n += u32::from(len > 0);
    }

    fn take(&mut self, len: u32) {
        self.len -= u64::from(len);
        self.n -= u32::from(len > 0);
    }

    fn mean(&self) -> f32 {
        (self.len as f64 / f64::from(self.n.max(1))).max(1.0) as f32
    }
}

/// See the module.
pub struct View {
    /// The generation of the commit.
    pub generation: u64,
    /// Documents.
    pub entries: Vec<Entry>,
    /// By document: its family, apart from the rest, because every posting asks for it.
    pub classes: Vec<u8>,
    /// Living documents.
    pub n_documents: u32,
    /// Living passages.
    pub n_chunks: u32,
    /// Passage slots, dead ones included: the size of arrays over passages.
    pub n_slots: u32,
    /// Words by class and part; of passages for the body.
    parts: [[Sum; PARTS.len()]; 2],
    /// Words of all bodies and living documents, by class.
    bodies: [Sum; 2],
    fields: Fields,
    segments: Vec<Segment>,
    by_file: Vec<u32>,
    layout: OnceLock<Layout>,
}

/// The passages of each document in order; segments hold them as they came.
#[derive(Default)]
pub struct Layout {
    /// By passage, its slot.
    pub slots: Vec<u32>,
    /// By entry, its first passage; one more at the end.
    starts: Vec<u32>,
}

impl Layout {
    /// By entry, its first passage; one more at the end.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }
}

/// One posting: a passage slot, its document, and how often in a field of which length class.
#[derive(Clone, Copy, Debug)]
pub struct Posting {
    /// Passage slot.
    pub slot: u32,
    /// Index into `entries`.
    pub entry: u32,
    /// Occurrences.
    pub count: u32,
    /// Length class of the field, as tantivy stores it.
    pub norm: u8,
}

/// Some postings of one segment.
pub struct Block<'a> {
    docs: &'a [u32],
    freqs: &'a [u32],
    norms: &'a FieldNormReader,
    entry: &'a [u32],
    base: u32,
}

impl Block<'_> {
    /// Those of living passages.
    #[inline]
    pub fn postings(&self) -> impl Iterator<Item = Posting> {
        self.docs.iter().zip(self.freqs).filter_map(|(doc, count)| {
            let entry = self.entry[*doc as usize];
            let norm = self.norms.fieldnorm_id(*doc);
            let slot = self.base + doc;
            (entry != NONE).then_some(Posting { slot, entry, count: *count, norm })
        })
    }
}

impl View {
    /// Makes the view of a commit out of its segments; `known` is a view of an earlier one, the
    /// one that [`gather`](crate::segment::gather) was told of.
    ///
    /// # Errors
    /// `Damaged` when they contradict each other.
    pub fn of(
        fields: &Fields,
        generation: u64,
        segments: Vec<Next>,
        known: Option<&View>,
    ) -> Result<Self> {
        if let Some(known) = known.filter(|known| !known.is_worn()) {
            let mut view = known.successor(generation);
            if view.follow(&segments) {
                return Ok(view);
            }
        }
        let mut view = View {
            generation,
            entries: Vec::new(),
            classes: Vec::new(),
            n_documents: 0,
            n_chunks: 0,
            n_slots: 0,
            parts: Default::default(),
            bodies: Default::default(),
            fields: fields.clone(),
            segments: Vec::new(),
            by_file: Vec::new(),
            layout: OnceLock::new(),
        };
        let afresh: Vec<Next> = segments.iter().map(Next::afresh).collect();
        match view.follow(&afresh) {
            true => Ok(view),
            false => Err(Error::damaged("a document is of two families")),
        }
    }

    /// Its segments, for whoever opens those of a later commit.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Too many entries are of documents that are gone.
    fn is_worn(&self) -> bool {
        let all = self.entries.len() as u32;
        all - self.n_documents > DEAD_MAX + all / 8
    }

    /// The same, to be changed to what a later commit is.
    fn successor(&self, generation: u64) -> View {
        View {
            generation,
            entries: self.entries.clone(),
            classes: self.classes.clone(),
            n_documents: self.n_documents,
            n_chunks: self.n_chunks,
            n_slots: self.n_slots,
            parts: self.parts,
            bodies: self.bodies,
            fields: self.fields.clone(),
            segments: self.segments.clone(),
            by_file: self.by_file.clone(),
            layout: OnceLock::new(),
        }
    }

    /// Becomes the commit of these segments. What goes is counted out before what comes is counted
    /// in: a saved document does both. False when this is better done from the start.
    fn follow(&mut self, nexts: &[Next]) -> bool {
        let former = std::mem::take(&mut self.segments);
        let mut change = Change::default();
        for next in nexts {
            let (segment, gone) = next.take();
            for (doc, entry) in gone {
                self.count_out(&segment, doc, entry, &mut change);
            }
            self.segments.push(segment);
        }
        let stays: HashSet<SegmentId> = nexts.iter().map(Next::id).collect();
        for segment in former.iter().filter(|segment| !stays.contains(&segment.id())) {
            for (doc, entry) in segment.entries() {
                self.count_out(segment, doc, entry, &mut change);
            }
        }
        self.n_slots = 0;
        for (at, next) in nexts.iter().enumerate() {
            if next.is_new {
                match self.count_in(&self.segments[at].clone(), &mut change) {
                    Some(entries) => self.segments[at].entry = Arc::new(entries),
                    None => return false,
                }
            }
            self.segments[at].base = self.n_slots;
            self.n_slots += self.segments[at].n_docs();
        }
        // Texts of links stand in segments of their own, whoever they point to.
        let all = change.came || !change.gone.is_empty();
        for (at, next) in nexts.iter().enumerate() {
            if all || next.is_new {
                self.bind_links(at);
            }
        }
        true
    }

    /// Takes a tantivy document with an entry out of all counts.
    fn count_out(&mut self, segment: &Segment, doc: u32, entry: u32, change: &mut Change) {
        self.count_parts(segment, doc, entry, Sum::take);
        if segment.is_link(doc) {
            return;
        }
        let len = segment.norms(Part::Body).fieldnorm(doc);
        let known = &mut self.entries[entry as usize];
        let class = known.class as usize;
        known.n_chunks -= 1;
        known.body_len -= len as f32;
        self.n_chunks -= 1;
        self.bodies[class].len -= u64::from(len);
        if known.n_chunks == 0 {
            self.bodies[class].n -= 1;
            self.n_documents -= 1;
            change.gone.insert(entry);
        }
    }

    /// Counts the passages of a new segment; gives the entry of each. Nothing when a document
    /// changed its family, by which its links are counted elsewhere.
    fn count_in(&mut self, segment: &Segment, change: &mut Change) -> Option<Vec<u32>> {
        let mut entries = vec![NONE; segment.n_docs() as usize];
        for (doc, at) in entries.iter_mut().enumerate() {
            let doc = doc as u32;
            if !segment.is_alive(doc) || segment.is_link(doc) {
                continue;
            }
            let (file, _, class) = unpack(segment.address(doc));
            let entry = self.entry_of(file, class);
            if self.entries[entry as usize].class != class {
                return None;
            }
            *at = entry;
            self.count_parts(segment, doc, entry, Sum::add);
            let len = segment.norms(Part::Body).fieldnorm(doc);
            let known = &mut self.entries[entry as usize];
            known.generation = segment.generation(doc);
            known.n_chunks += 1;
            known.body_len += len as f32;
            self.n_chunks += 1;
            self.bodies[class as usize].len += u64::from(len);
            if known.n_chunks == 1 {
                self.bodies[class as usize].n += 1;
                self.n_documents += 1;
                change.came |= !change.gone.remove(&entry);
            }
        }
        Some(entries)
    }

    fn count_parts(&mut self, segment: &Segment, doc: u32, entry: u32, how: fn(&mut Sum, u32)) {
        let class = self.entries[entry as usize].class as usize;
        for (part, sum) in PARTS.iter().zip(&mut self.parts[class]) {
            how(sum, segment.norms(*part).fieldnorm(doc));
        }
    }

    /// The place of a row, made if it is a new one.
    fn entry_of(&mut self, file: u32, class: Class) -> u32 {
        if self.by_file.len() <= file as usize {
            self.by_file.resize(file as usize + 1, NONE);
        }
        let at = &mut self.by_file[file as usize];
        if *at == NONE {
            *at = self.entries.len() as u32;
            self.classes.push(class as u8);
            self.entries.push(Entry { file, generation: 0, class, n_chunks: 0, body_len: 0.0 });
        }
        *at
    }

    /// Binds the texts of links in a segment to the documents that they point to, if these are
    /// there.
    fn bind_links(&mut self, at: usize) {
        let segment = &self.segments[at];
        let mut changed = Vec::new();
        for (doc, chunk) in segment.chunks().iter().enumerate() {
            let doc = doc as u32;
            if *chunk == LINK_CHUNK && segment.is_alive(doc) {
                let entry = self.entry(unpack(segment.address(doc)).0).unwrap_or(NONE);
                let known = segment.entry[doc as usize];
                if known != entry {
                    changed.push((doc, known, entry));
                }
            }
        }
        let mut segment = segment.clone();
        for (doc, known, entry) in changed {
            if known != NONE {
                self.count_parts(&segment, doc, known, Sum::take);
            }
            if entry != NONE {
                self.count_parts(&segment, doc, entry, Sum::add);
            }
            Arc::make_mut(&mut segment.entry)[doc as usize] = entry;
        }
        self.segments[at] = segment;
    }

    /// Mean length in words of the living documents that have the part at all; of passages for the
    /// body.
    pub fn average(&self, class: usize, part: usize) -> f32 {
        self.parts[class][part].mean()
    }

    /// Mean length of a document's whole body.
    pub fn average_body(&self, class: usize) -> f32 {
        self.bodies[class].mean()
    }

    /// The index into `entries` of a row.
    pub fn entry(&self, file: u32) -> Option<u32> {
        let at = self.by_file.get(file as usize).copied().filter(|at| *at != NONE)?;
        (self.entries[at as usize].n_chunks > 0).then_some(at)
    }

    /// Calls `each` for every living passage that holds `word` in `part`.
    pub fn postings(&self, part: Part, word: &str, mut each: impl FnMut(Posting)) -> Result<()> {
        self.blocks(part, word, |block| block.postings().for_each(&mut each))
    }

    /// The same by blocks of up to 128: for whoever goes through very many of them, a call for each
    /// posting costs as much as what is done with it.
    pub fn blocks(&self, part: Part, word: &str, mut each: impl FnMut(Block)) -> Result<()> {
        let term = Term::from_field_text(self.fields.parts[part as usize], word);
        for segment in &self.segments {
            let inverted = segment.inverted(part);
            let option = IndexRecordOption::WithFreqs;
            let found = inverted.read_block_postings(&term, option).map_err(tantivy_io)?;
            let Some(mut block) = found else { continue };
            let norms = segment.norms(part);
            while !block.docs().is_empty() {
                let (docs, freqs) = (block.docs(), block.freqs());
                each(Block { docs, freqs, norms, entry: &segment.entry, base: segment.base });
                block.advance();
            }
        }
        Ok(())
    }

    /// Calls `each` for every passage whose names or title are `key` as a whole (`d:…`, `t:…`).
    pub fn exact(&self, key: &str, mut each: impl FnMut(u32, u32)) -> Result<()> {
        let term = Term::from_field_text(self.fields.exact, key);
        for segment in &self.segments {
            let found = read(segment.exact(), &term, IndexRecordOption::Basic)?;
            let Some(mut postings) = found else { continue };
            let mut doc = postings.doc();
            while doc != TERMINATED {
                let entry = segment.entry[doc as usize];
                if entry != NONE {
                    each(segment.base + doc, entry);
                }
                doc = postings.advance();
            }
        }
        Ok(())
    }

    /// Calls `each` for every passage where the words stand one behind the other in `part`; each
    /// position takes any of its forms.
    pub fn phrase(
        &self,
        part: Part,
        words: &[Vec<String>],
        mut each: impl FnMut(Posting),
    ) -> Result<()> {
        for segment in &self.segments {
            let mut lists = Vec::new();
            for forms in words {
                lists.push(self.forms(segment, part, forms)?);
            }
            if lists.iter().any(Vec::is_empty) {
                continue;
            }
            let norms = segment.norms(part);
            phrase_in(&mut lists, |doc, count| {
                let entry = segment.entry[doc as usize];
                if entry != NONE {
                    let norm = norms.fieldnorm_id(doc);
                    each(Posting { slot: segment.base + doc, entry, count, norm });
                }
            });
        }
        Ok(())
    }

    fn forms(
        &self,
        segment: &Segment,
        part: Part,
        forms: &[String],
    ) -> Result<Vec<SegmentPostings>> {
        let mut out = Vec::new();
        for form in forms {
            let term = Term::from_field_text(self.fields.parts[part as usize], form);
            let option = IndexRecordOption::WithFreqsAndPositions;
            out.extend(read(segment.inverted(part), &term, option)?);
        }
        Ok(out)
    }

    /// Whether any of `forms` stands in any part of any document. Asked of words that most searches
    /// hold: the first place is enough.
    pub fn holds(&self, forms: &[String]) -> Result<bool> {
        for form in forms {
            for part in PARTS {
                if self.stands(part, form)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn stands(&self, part: Part, word: &str) -> Result<bool> {
        let term = Term::from_field_text(self.fields.parts[part as usize], word);
        for segment in &self.segments {
            let option = IndexRecordOption::Basic;
            let found = segment.inverted(part).read_block_postings(&term, option);
            let Some(mut block) = found.map_err(tantivy_io)? else { continue };
            while !block.docs().is_empty() {
                if block.docs().iter().any(|doc| segment.entry[*doc as usize] != NONE) {
                    return Ok(true);
                }
                block.advance();
            }
        }
        Ok(false)
    }

    /// Words of the body within `distance` edits of `word` that begin as it does, most frequent
    /// first. A scan over the dictionary: only for queries that found nothing.
    pub fn similar(&self, word: &str, distance: usize, limit: usize) -> Result<Vec<String>> {
        let mut found: HashMap<String, u32> = HashMap::new();
        let Some(first) = word.chars().next() else { return Ok(Vec::new()) };
        self.each_term(Part::Body, &first.to_string(), |term, n| {
            let close = term.len().abs_diff(word.len()) <= distance
                && strsim::osa_distance(term, word) <= distance;
            if close {
                *found.entry(term.to_owned()).or_default() += n;
            }
        })?;
        let mut found: Vec<(String, u32)> = found.into_iter().collect();
        found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.truncate(limit);
        Ok(found.into_iter().map(|(term, _)| term).collect())
    }

    /// Calls `each` for every term of a part that begins with `head`, once for each segment that
    /// has it, with the number of passages, dead ones included.
    pub fn each_term(&self, part: Part, head: &str, mut each: impl FnMut(&str, u32)) -> Result<()> {
        for segment in &self.segments {
            let terms = segment.inverted(part).terms();
            let mut stream = terms.range().ge(head.as_bytes()).into_stream().map_err(tantivy_io)?;
            while stream.advance() && stream.key().starts_with(head.as_bytes()) {
                if let Ok(term) = std::str::from_utf8(stream.key()) {
                    each(term, stream.value().doc_freq);
                }
            }
        }
        Ok(())
    }

    /// How many terms a part has, one counted again in each segment that has it.
    pub fn n_terms(&self, part: Part) -> usize {
        self.segments.iter().map(|segment| segment.inverted(part).terms().num_terms()).sum()
    }

    /// The document of a passage slot, if it lives.
    pub fn entry_of_slot(&self, slot: u32) -> Option<u32> {
        let at = self.segments.partition_point(|s| s.base <= slot).checked_sub(1)?;
        let segment = &self.segments[at];
        let entry = segment.entry.get((slot - segment.base) as usize).copied();
        entry.filter(|entry| *entry != NONE)
    }

    /// All passages of the document `entry`, one of which is at `slot`, where they stand side by
    /// side in their order; nothing where they do not.
    pub fn together(&self, slot: u32, entry: u32) -> Option<Range<u32>> {
        let at = self.segments.partition_point(|s| s.base <= slot).checked_sub(1)?;
        let segment = &self.segments[at];
        let doc = (slot - segment.base) as usize;
        let is_its =
            |at: &usize| segment.entry[*at] == entry && segment.chunks()[*at] != LINK_CHUNK;
        let first = (0..=doc).rev().take_while(is_its).last()?;
        let end = (doc..segment.entry.len()).take_while(is_its).last()? + 1;
        let is_all = end - first == self.entries[entry as usize].n_chunks as usize;
        let in_order = (0..).zip(&segment.chunks()[first..end]).all(|(n, chunk)| n == *chunk);
        (is_all && in_order).then_some(segment.base + first as u32..segment.base + end as u32)
    }

    /// Row and chunk number of a passage slot.
    pub fn address(&self, slot: u32) -> (u32, u32) {
        let at = self.segments.partition_point(|s| s.base <= slot) - 1;
        let segment = &self.segments[at];
        let doc = (slot - segment.base) as usize;
        (self.entries[segment.entry[doc] as usize].file, segment.chunks()[doc])
    }

    /// Calls `each` with slot, entry and chunk number of every living passage.
    pub fn passages(&self, mut each: impl FnMut(u32, u32, u32)) {
        for segment in &self.segments {
            for (doc, (entry, chunk)) in segment.entry.iter().zip(segment.chunks()).enumerate() {
                if *entry != NONE && *chunk != LINK_CHUNK {
                    each(segment.base + doc as u32, *entry, *chunk);
                }
            }
        }
    }

    /// The passages of each document in order; made when it is first asked for.
    pub fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| {
            let mut starts = vec![0u32];
            for entry in &self.entries {
                starts.push(starts[starts.len() - 1] + entry.n_chunks);
            }
            let mut slots = vec![NONE; self.n_chunks as usize];
            self.passages(|slot, entry, chunk| {
                let (start, end) = (starts[entry as usize], starts[entry as usize + 1]);
                // A passage beyond the others would be a bug of the writer's; it has no vector.
                if chunk < end - start {
                    slots[(start + chunk) as usize] = slot;
                }
            });
            Layout { slots, starts }
        })
    }

    /// Documents for which texts of incoming links are known, sorted.
    pub fn linked(&self) -> Vec<u32> {
        let mut out = Vec::new();
        for segment in &self.segments {
            let rows = segment.entry.iter().zip(segment.chunks());
            let linked = rows.filter(|(entry, chunk)| **entry != NONE && **chunk == LINK_CHUNK);
            out.extend(linked.map(|(entry, _)| self.entries[*entry as usize].file));
        }
        out.sort_unstable();
        out
    }

    /// Every living address with the generation of its row: what `doctor` compares.
    pub fn census(&self) -> Vec<(u32, u64, u32)> {
        let mut out: Vec<_> = self.entries.iter().filter(|e| e.n_chunks > 0).map(census).collect();
        out.sort_unstable();
        out
    }
}

fn census(entry: &Entry) -> (u32, u64, u32) {
    (entry.file, entry.generation, entry.n_chunks)
}

/// What became of documents between two commits.
#[derive(Default)]
struct Change {
    /// Entries without passages now.
    gone: HashSet<u32>,
    /// There are documents that were not there.
    came: bool,
}

fn tantivy_io(error: std::io::Error) -> crate::Error {
    tantivy::TantivyError::from(error).into()
}

fn read(
    inverted: &InvertedIndexReader,
    term: &Term,
    option: IndexRecordOption,
) -> Result<Option<SegmentPostings>> {
    inverted.read_postings(term, option).map_err(tantivy_io)
}

/// Intersects the positions of a phrase, document by document, driven by its rarest word.
fn phrase_in(lists: &mut [Vec<SegmentPostings>], mut each: impl FnMut(u32, u32)) {
    let size = |forms: &[SegmentPostings]| forms.iter().map(DocSet::size_hint).sum::<u32>();
    let mut by_size: Vec<usize> = (0..lists.len()).collect();
    by_size.sort_by_key(|at| size(&lists[*at]));
    let Some(&rarest) = by_size.first() else { return };
    let mut doc = next_doc(&lists[rarest]);
    let (mut starts, mut here) = (Vec::new(), Vec::new());
    while doc != TERMINATED {
        // Positions are unpacked where all words stand: in few of the passages that hold one.
        let all = by_size.iter().all(|at| stands_in(&mut lists[*at], doc));
        starts.clear();
        for (offset, forms) in lists.iter_mut().enumerate().filter(|_| all) {
            positions_at(forms, doc, offset as u32, &mut here);
            if offset == 0 {
                std::mem::swap(&mut starts, &mut here);
            } else {
                starts.retain(|start| here.binary_search(start).is_ok());
            }
            if starts.is_empty() {
                break;
            }
        }
        if !starts.is_empty() {
            each(doc, starts.len() as u32);
        }
        for postings in &mut lists[rarest] {
            if postings.doc() == doc {
                postings.advance();
            }
        }
        doc = next_doc(&lists[rarest]);
    }
}

/// Moves the lists on to `doc`; whether any of them holds it.
fn stands_in(forms: &mut [SegmentPostings], doc: u32) -> bool {
    let mut found = false;
    for postings in forms {
        if postings.doc() < doc {
            postings.seek(doc);
        }
        found |= postings.doc() == doc;
    }
    found
}

fn next_doc(forms: &[SegmentPostings]) -> u32 {
    forms.iter().map(DocSet::doc).min().unwrap_or(TERMINATED)
}

/// Where a phrase would have to start for its word number `offset` to stand as it does in `doc`,
/// which `stands_in` moved the lists to.
fn positions_at(forms: &mut [SegmentPostings], doc: u32, offset: u32, out: &mut Vec<u32>) {
    out.clear();
    let mut positions = Vec::new();
    for postings in forms {
        if postings.doc() == doc {
            postings.positions(&mut positions);
            out.extend(positions.iter().filter_map(|p| p.checked_sub(offset)));
        }
    }
    out.sort_unstable();
    out.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexical::{DocumentText, Lexical, PassageText};
    use crate::limit::Memory;
    use proptest::prelude::*;

    const WORDS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

    /// What one step does to one document.
    #[derive(Clone, Debug)]
    enum Step {
        Save { file: u32, class: Class, passages: Vec<usize> },
        Remove { file: u32 },
        Link { file: u32, word: usize },
        Unlink { file: u32 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let file = 0..8u32;
        let class = prop_oneof![9 => Just(Class::Note), 1 => Just(Class::Code)];
        let passages = prop::collection::vec(1..40usize, 1..4);
        prop_oneof![
            4 => (file.clone(), class, passages)
                .prop_map(|(file, class, passages)| Step::Save { file, class, passages }),
            1 => file.clone().prop_map(|file| Step::Remove { file }),
            2 => (file.clone(), 0..WORDS.len()).prop_map(|(file, word)| Step::Link { file, word }),
            1 => file.prop_map(|file| Step::Unlink { file }),
        ]
    }

    fn take(writer: &crate::lexical::Writer, step: &Step, generation: u64) {
        match step {
            Step::Save { file, class, passages } => {
                writer.remove(*file);
                let titles = WORDS[*file as usize % WORDS.len()];
                let (path, tags, language) = ("a/b.md", "", None);
                let (file, class) = (*file, *class);
                let document =
                    DocumentText { file, generation, class, titles, path, tags, language };
                let bodies: Vec<String> = passages
                    .iter()
                    .map(|n| (0..*n).map(|at| WORDS[at * n % WORDS.len()]).collect::<Vec<_>>())
                    .map(|words| words.join(" "))
                    .collect();
                let passages: Vec<PassageText> = bodies
                    .iter()
                    .map(|body| PassageText {
                        body,
                        exact: vec![("alpha", None)],
                        ..Default::default()
                    })
                    .collect();
                writer.add(&document, &passages).unwrap();
            }
            Step::Remove { file } => writer.remove(*file),
            Step::Link { file, word } => writer.set_links(*file, WORDS[*word]).unwrap(),
            Step::Unlink { file } => writer.remove_links(*file),
        }
    }

    /// Everything that a query could learn from a view, in an order that says nothing of segments.
    fn seen(view: &View) -> String {
        let mut postings = Vec::new();
        for part in PARTS {
            for word in WORDS {
                view.postings(part, word, |p| {
                    let (file, chunk) = view.address(p.slot);
                    assert_eq!(view.entries[p.entry as usize].file, file);
                    postings.push((part as usize, word, file, chunk, p.count, p.norm));
                })
                .unwrap();
            }
        }
        postings.sort_unstable();
        let mut passages: HashMap<u32, Vec<u32>> = HashMap::new();
        view.passages(|slot, entry, _| passages.entry(entry).or_default().push(slot));
        for (entry, slots) in &passages {
            let together = view.together(slots[0], *entry).map(Iterator::collect::<Vec<_>>);
            let side_by_side = slots.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            let in_order = (0..).zip(slots).all(|(n, slot)| view.address(*slot).1 == n);
            assert_eq!(together, (side_by_side && in_order).then(|| slots.clone()));
        }
        let mut exact = Vec::new();
        view.exact("d:alpha", |slot, _| exact.push(view.address(slot))).unwrap();
        exact.sort_unstable();
        let averages: Vec<Vec<f32>> = (0..2)
            .map(|class| {
                let parts = (0..PARTS.len()).map(|part| view.average(class, part));
                parts.chain([view.average_body(class)]).collect()
            })
            .collect();
        let mut lengths: Vec<_> = view.entries.iter().filter(|e| e.n_chunks > 0).collect();
        lengths.sort_unstable_by_key(|e| e.file);
        let lengths: Vec<_> =
            lengths.iter().map(|e| (e.file, e.class, e.generation, e.body_len)).collect();
        let layout: usize = view.layout().slots.iter().filter(|slot| **slot != NONE).count();
        let counts = (view.n_documents, view.n_chunks, layout, view.n_slots);
        format!(
            "{:?}\n{:?}\n{counts:?}\n{averages:?}\n{lengths:?}\n{exact:?}\n{postings:?}",
            view.census(),
            view.linked()
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(
            std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
        ))]
        #[test]
        fn a_view_that_follows_equals_one_from_the_start(
            commits in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..12)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let words = Lexical::open(dir.path(), true).unwrap();
            let mut writer = words.writer(false, Memory::default()).unwrap();
            let mut view = words.view(None).unwrap();
            for (at, steps) in commits.iter().enumerate() {
                let generation = at as u64 + 1;
                steps.iter().for_each(|step| take(&writer, step, generation));
                writer.commit(generation).unwrap();
                view = words.view(Some(&view)).unwrap();
                prop_assert_eq!(view.generation, generation);
                prop_assert_eq!(seen(&view), seen(&words.view(None).unwrap()));
            }
            writer.close().unwrap();
            // What merges left behind is the same as well.
            let merged = words.view(Some(&view)).unwrap();
            prop_assert_eq!(seen(&merged), seen(&words.view(None).unwrap()));
        }
    }
}
