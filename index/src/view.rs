//! One immutable view of the word index: who stands where, how long, and the postings of a word.
//!
//! Statistics count living documents only, so that they do not depend on the history of merges.
//! Invariant: a view never changes; a newer commit makes a newer view.

use crate::error::Result;
use crate::kind::Class;
use crate::lexical::{Fields, LINK_CHUNK, Lexical, PARTS, Part, unpack};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, InvertedIndexReader, Searcher, TERMINATED, Term};

/// Marks a deleted tantivy document, and a row that is not in the view.
pub const NONE: u32 = u32::MAX;

/// What stands in the words of a document: for each part, and last for whole names, a sum over the
/// postings, which neither merges nor the order of documents change.
pub type Print = [u64; PARTS.len() + 1];

/// A document in a view.
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

struct Segment {
    inverted: Vec<Arc<InvertedIndexReader>>,
    exact: Arc<InvertedIndexReader>,
    norms: Vec<FieldNormReader>,
    /// Number of the segment's first passage among all.
    base: u32,
    /// By tantivy document: index into `entries`, or `NONE`.
    entry: Vec<u32>,
    /// By tantivy document: chunk number.
    chunk: Vec<u32>,
}

/// See the module.
pub struct View {
    /// The generation of the commit.
    pub generation: u64,
    /// Documents.
    pub entries: Vec<Entry>,
    /// By document: its family, apart from the rest, because every posting asks for it.
    pub classes: Vec<u8>,
    /// Living passages.
    pub n_chunks: u32,
    /// Passage slots, dead ones included: the size of arrays over passages.
    pub n_slots: u32,
    /// Mean length in words, by class and part; of passages for the body.
    pub average: [[f32; 7]; 2],
    /// Mean length of a document's whole body, by class.
    pub average_body: [f32; 2],
    fields: Fields,
    segments: Vec<Segment>,
    by_file: Vec<u32>,
    layout: OnceLock<Layout>,
    _searcher: Searcher,
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
    /// The passages of a document.
    pub fn passages(&self, entry: u32) -> Range<usize> {
        self.starts[entry as usize] as usize..self.starts[entry as usize + 1] as usize
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
    /// Reads the newest commit.
    pub fn open(lexical: &Lexical, searcher: Searcher, generation: u64) -> Result<Self> {
        let mut view = View {
            generation,
            entries: Vec::new(),
            classes: Vec::new(),
            n_chunks: 0,
            n_slots: 0,
            average: [[1.0; 7]; 2],
            average_body: [1.0; 2],
            fields: lexical.fields().clone(),
            segments: Vec::new(),
            by_file: Vec::new(),
            layout: OnceLock::new(),
            _searcher: searcher.clone(),
        };
        for reader in searcher.segment_readers() {
            view.add_segment(reader)?;
        }
        view.bind_links();
        view.average();
        Ok(view)
    }

    fn add_segment(&mut self, reader: &tantivy::SegmentReader) -> Result<()> {
        fits(reader)?;
        let address = reader.fast_fields().u64("address")?.values;
        let generation = reader.fast_fields().u64("generation")?.values;
        let inverted = PARTS
            .iter()
            .map(|part| reader.inverted_index(self.fields.parts[*part as usize]))
            .collect::<tantivy::Result<Vec<_>>>()?;
        let norms = PARTS
            .iter()
            .map(|part| reader.get_fieldnorms_reader(self.fields.parts[*part as usize]))
            .collect::<tantivy::Result<Vec<_>>>()?;
        let n = reader.max_doc();
        let mut segment = Segment {
            exact: reader.inverted_index(self.fields.exact)?,
            inverted,
            norms,
            base: self.n_slots,
            entry: vec![NONE; n as usize],
            chunk: vec![0; n as usize],
        };
        for doc in 0..n {
            if reader.is_deleted(doc) {
                continue;
            }
            let (file, chunk, class) = unpack(address.get_val(doc));
            segment.chunk[doc as usize] = chunk;
            if chunk == LINK_CHUNK {
                // Bound to its document once all segments are known.
                segment.entry[doc as usize] = NONE - 1 - file;
                continue;
            }
            let at = self.entry_of(file, class);
            let entry = &mut self.entries[at as usize];
            entry.generation = generation.get_val(doc);
            entry.n_chunks += 1;
            entry.body_len += segment.norms[Part::Body as usize].fieldnorm(doc) as f32;
            segment.entry[doc as usize] = at;
            self.n_chunks += 1;
        }
        self.n_slots += n;
        self.segments.push(segment);
        Ok(())
    }

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

    fn bind_links(&mut self) {
        for segment in &mut self.segments {
            for (doc, entry) in segment.entry.iter_mut().enumerate() {
                if segment.chunk[doc] == LINK_CHUNK && *entry != NONE {
                    let file = (NONE - 1 - *entry) as usize;
                    *entry = self.by_file.get(file).copied().unwrap_or(NONE);
                }
            }
        }
    }

    /// Mean lengths over living documents that have the part at all.
    fn average(&mut self) {
        let mut sum = [[0f64; 7]; 2];
        let mut count = [[0u32; 7]; 2];
        for segment in &self.segments {
            for (doc, &entry) in segment.entry.iter().enumerate() {
                let Some(entry) = self.entries.get(entry as usize) else { continue };
                for (part, norms) in segment.norms.iter().enumerate() {
                    let len = norms.fieldnorm(doc as u32);
                    if len > 0 {
                        sum[entry.class as usize][part] += f64::from(len);
                        count[entry.class as usize][part] += 1;
                    }
                }
            }
        }
        for class in 0..2 {
            for part in 0..PARTS.len() {
                let n = count[class][part].max(1);
                self.average[class][part] = (sum[class][part] / f64::from(n)).max(1.0) as f32;
            }
            let of_class = self.entries.iter().filter(|e| e.class as usize == class);
            let (n, len) = of_class.fold((0u32, 0f32), |(n, len), e| (n + 1, len + e.body_len));
            self.average_body[class] = (len / n.max(1) as f32).max(1.0);
        }
    }

    /// The index into `entries` of a row.
    pub fn entry(&self, file: u32) -> Option<u32> {
        self.by_file.get(file as usize).copied().filter(|at| *at != NONE)
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
            let inverted = &segment.inverted[part as usize];
            let option = IndexRecordOption::WithFreqs;
            let found = inverted.read_block_postings(&term, option).map_err(tantivy_io)?;
            let Some(mut block) = found else { continue };
            let norms = &segment.norms[part as usize];
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
            let found = read(&segment.exact, &term, IndexRecordOption::Basic)?;
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
            let norms = &segment.norms[part as usize];
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
            out.extend(read(&segment.inverted[part as usize], &term, option)?);
        }
        Ok(out)
    }

    /// Whether any of `forms` stands in any part of any document.
    pub fn holds(&self, forms: &[String]) -> Result<bool> {
        let mut found = false;
        for form in forms {
            for part in PARTS {
                self.postings(part, form, |_| found = true)?;
            }
        }
        Ok(found)
    }

    /// Words of the body within `distance` edits of `word` that begin as it does, most frequent
    /// first. A scan over the dictionary: only for queries that found nothing.
    pub fn similar(&self, word: &str, distance: usize, limit: usize) -> Result<Vec<String>> {
        let mut found: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        let Some(first) = word.chars().next() else { return Ok(Vec::new()) };
        let head = first.to_string();
        for segment in &self.segments {
            let terms = segment.inverted[Part::Body as usize].terms();
            let mut stream = terms.range().ge(head.as_bytes()).into_stream().map_err(tantivy_io)?;
            while stream.advance() {
                if !stream.key().starts_with(head.as_bytes()) {
                    break;
                }
                let Ok(term) = std::str::from_utf8(stream.key()) else { continue };
                let close = term.len().abs_diff(word.len()) <= distance
                    && strsim::osa_distance(term, word) <= distance;
                if close {
                    *found.entry(term.to_owned()).or_default() += stream.value().doc_freq;
                }
            }
        }
        let mut found: Vec<(String, u32)> = found.into_iter().collect();
        found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.truncate(limit);
        Ok(found.into_iter().map(|(term, _)| term).collect())
    }

    /// The document of a passage slot, if it lives.
    pub fn entry_of_slot(&self, slot: u32) -> Option<u32> {
        let at = self.segments.partition_point(|s| s.base <= slot).checked_sub(1)?;
        let segment = &self.segments[at];
        let entry = segment.entry.get((slot - segment.base) as usize).copied();
        entry.filter(|entry| *entry != NONE)
    }

    /// Row and chunk number of a passage slot.
    pub fn address(&self, slot: u32) -> (u32, u32) {
        let at = self.segments.partition_point(|s| s.base <= slot) - 1;
        let segment = &self.segments[at];
        let doc = (slot - segment.base) as usize;
        (self.entries[segment.entry[doc] as usize].file, segment.chunk[doc])
    }

    /// Calls `each` with slot, entry and chunk number of every living passage.
    pub fn passages(&self, mut each: impl FnMut(u32, u32, u32)) {
        for segment in &self.segments {
            for (doc, (entry, chunk)) in segment.entry.iter().zip(&segment.chunk).enumerate() {
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
            let rows = segment.entry.iter().zip(&segment.chunk);
            let linked = rows.filter(|(entry, chunk)| **entry != NONE && **chunk == LINK_CHUNK);
            out.extend(linked.map(|(entry, _)| self.entries[*entry as usize].file));
        }
        out.sort_unstable();
        out
    }

    /// What stands in the words of each document, by row; the longest look there is, at every
    /// posting of every word.
    pub fn prints(&self) -> Result<HashMap<u32, Print>> {
        let mut out: HashMap<u32, Print> = HashMap::new();
        let mut places = Vec::new();
        for segment in &self.segments {
            let fields = segment.inverted.iter().chain([&segment.exact]);
            for (part, inverted) in fields.enumerate() {
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
                            (segment.chunk[doc], term, count, &places).hash(&mut hasher);
                            let sum = &mut out.entry(entry.file).or_default()[part];
                            *sum = sum.wrapping_add(hasher.finish());
                        }
                        postings.advance();
                    }
                }
            }
        }
        Ok(out)
    }

    /// Every living address with the generation of its row: what `doctor` compares.
    pub fn census(&self) -> Vec<(u32, u64, u32)> {
        let mut out: Vec<_> =
            self.entries.iter().map(|e| (e.file, e.generation, e.n_chunks)).collect();
        out.sort_unstable();
        out
    }
}

/// Whether a segment has as many rows as the list of segments says: tantivy trusts that list.
///
/// # Errors
/// `Damaged` when it has not.
pub fn fits(reader: &tantivy::SegmentReader) -> Result<()> {
    for field in ["address", "generation"] {
        if reader.fast_fields().u64(field)?.values.num_vals() != reader.max_doc() {
            return Err(crate::Error::damaged("its list of files names others"));
        }
    }
    Ok(())
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
    let Some(rarest) = (0..lists.len()).min_by_key(|at| size(&lists[*at])) else { return };
    let mut doc = next_doc(&lists[rarest]);
    let (mut starts, mut here) = (Vec::new(), Vec::new());
    while doc != TERMINATED {
        starts.clear();
        for (offset, forms) in lists.iter_mut().enumerate() {
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

fn next_doc(forms: &[SegmentPostings]) -> u32 {
    forms.iter().map(DocSet::doc).min().unwrap_or(TERMINATED)
}

/// Where a phrase would have to start for its word number `offset` to stand as it does in `doc`.
fn positions_at(forms: &mut [SegmentPostings], doc: u32, offset: u32, out: &mut Vec<u32>) {
    out.clear();
    let mut positions = Vec::new();
    for postings in forms {
        if postings.doc() < doc {
            postings.seek(doc);
        }
        if postings.doc() == doc {
            postings.positions(&mut positions);
            out.extend(positions.iter().filter_map(|p| p.checked_sub(offset)));
        }
    }
    out.sort_unstable();
    out.dedup();
}
