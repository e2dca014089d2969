//! One segment of the word index as views hold it: what never changes of it is opened once and
//! shared by all of them, and what a commit deletes is looked up in the file that says so.

use crate::error::{Error, Result};
use crate::lexical::{Fields, LINK_CHUNK, PARTS, Part, unpack};
use crate::view::NONE;
use std::sync::Arc;
use tantivy::columnar::ColumnValues;
use tantivy::fastfield::AliveBitSet;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::{InvertedIndexReader, SegmentMeta, SegmentReader, TantivyError};

/// What a segment holds.
struct Fixed {
    inverted: Vec<Arc<InvertedIndexReader>>,
    exact: Arc<InvertedIndexReader>,
    norms: Vec<FieldNormReader>,
    address: Arc<dyn ColumnValues<u64>>,
    generation: Arc<dyn ColumnValues<u64>>,
    /// By tantivy document: chunk number.
    chunk: Vec<u32>,
}

/// A segment in one view.
#[derive(Clone)]
pub struct Segment {
    fixed: Arc<Fixed>,
    alive: Option<AliveBitSet>,
    /// Number of the segment's first passage among all.
    pub base: u32,
    /// By tantivy document: index into the view's entries, or `NONE`.
    pub entry: Arc<Vec<u32>>,
    /// Whoever removes files of this process leaves those that this names.
    meta: SegmentMeta,
}

impl Segment {
    /// Opens one; no document of it has an entry yet.
    fn open(index: &tantivy::Index, fields: &Fields, meta: &SegmentMeta) -> Result<Self> {
        let reader = SegmentReader::open(&index.segment(meta.clone()))?;
        let (address, generation) = (column(&reader, "address")?, column(&reader, "generation")?);
        let inverted = PARTS
            .iter()
            .map(|part| reader.inverted_index(fields.parts[*part as usize]))
            .collect::<tantivy::Result<Vec<_>>>()?;
        let norms = PARTS
            .iter()
            .map(|part| reader.get_fieldnorms_reader(fields.parts[*part as usize]))
            .collect::<tantivy::Result<Vec<_>>>()?;
        let chunk = (0..reader.max_doc()).map(|doc| unpack(address.get_val(doc)).1).collect();
        let exact = reader.inverted_index(fields.exact)?;
        Ok(Segment {
            fixed: Arc::new(Fixed { inverted, exact, norms, address, generation, chunk }),
            alive: reader.alive_bitset().cloned(),
            base: 0,
            entry: Arc::new(vec![NONE; reader.max_doc() as usize]),
            meta: meta.clone(),
        })
    }

    /// Which segment it is.
    pub fn id(&self) -> SegmentId {
        self.meta.id()
    }

    /// Takes the deletions of a later commit; says which documents with an entry went by them, and
    /// takes their entries from them.
    fn delete(&mut self, meta: &SegmentMeta, alive: AliveBitSet) -> Vec<(u32, u32)> {
        let lives = |doc: u32| alive.is_alive(doc);
        let gone: Vec<(u32, u32)> = self.entries().filter(|(doc, _)| !lives(*doc)).collect();
        if !gone.is_empty() {
            let entries = Arc::make_mut(&mut self.entry);
            gone.iter().for_each(|(doc, _)| entries[*doc as usize] = NONE);
        }
        (self.alive, self.meta) = (Some(alive), meta.clone());
        gone
    }

    /// Every document that has an entry, with it.
    pub fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        let all = self.entry.iter().enumerate();
        all.filter(|(_, entry)| **entry != NONE).map(|(doc, entry)| (doc as u32, *entry))
    }

    /// How many tantivy documents there are, dead ones included.
    pub fn n_docs(&self) -> u32 {
        self.fixed.chunk.len() as u32
    }

    /// Whether a tantivy document lives.
    pub fn is_alive(&self, doc: u32) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(doc))
    }

    /// By tantivy document: chunk number.
    pub fn chunks(&self) -> &[u32] {
        &self.fixed.chunk
    }

    /// Whether a tantivy document holds the texts of links to a document, and no passage of it.
    pub fn is_link(&self, doc: u32) -> bool {
        self.fixed.chunk[doc as usize] == LINK_CHUNK
    }

    /// Where a tantivy document comes from, packed.
    pub fn address(&self, doc: u32) -> u64 {
        self.fixed.address.get_val(doc)
    }

    /// Generation of the row that a tantivy document was made from.
    pub fn generation(&self, doc: u32) -> u64 {
        self.fixed.generation.get_val(doc)
    }

    /// Where the words of a part stand.
    pub fn inverted(&self, part: Part) -> &InvertedIndexReader {
        &self.fixed.inverted[part as usize]
    }

    /// Where whole names stand.
    pub fn exact(&self) -> &InvertedIndexReader {
        &self.fixed.exact
    }

    /// Lengths of a part.
    pub fn norms(&self, part: Part) -> &FieldNormReader {
        &self.fixed.norms[part as usize]
    }
}

/// A segment of a commit, beside what was known of it.
pub struct Next {
    segment: Segment,
    /// Deletions that came since.
    deleted: Option<(SegmentMeta, AliveBitSet)>,
    /// Nobody has counted it yet.
    pub is_new: bool,
}

impl Next {
    /// Which segment it is.
    pub fn id(&self) -> SegmentId {
        self.segment.id()
    }

    /// The segment as it is now, and its documents with an entry that went.
    pub fn take(&self) -> (Segment, Vec<(u32, u32)>) {
        let mut segment = self.segment.clone();
        let gone = match &self.deleted {
            Some((meta, alive)) => segment.delete(meta, alive.clone()),
            None => Vec::new(),
        };
        (segment, gone)
    }

    /// The same for whoever counts from the start.
    pub fn afresh(&self) -> Self {
        let (segment, _) = self.take();
        let entry = Arc::new(vec![NONE; segment.n_docs() as usize]);
        Next { segment: Segment { entry, ..segment }, deleted: None, is_new: true }
    }
}

/// Opens what a commit has and a view of an earlier one has not: all that needs the files to be
/// there.
///
/// # Errors
/// `Damaged` when they are not whole, `Words` when the system refuses them.
pub fn gather(
    index: &tantivy::Index,
    fields: &Fields,
    metas: &[SegmentMeta],
    known: &[Segment],
) -> Result<Vec<Next>> {
    let next = |meta: &SegmentMeta| -> Result<Next> {
        let Some(segment) = known.iter().find(|segment| segment.id() == meta.id()) else {
            let segment = Segment::open(index, fields, meta)?;
            return Ok(Next { segment, deleted: None, is_new: true });
        };
        let same = segment.meta.delete_opstamp() == meta.delete_opstamp();
        let deleted = if same { None } else { Some((meta.clone(), alive(index, meta)?)) };
        Ok(Next { segment: segment.clone(), deleted, is_new: false })
    };
    metas.iter().map(next).collect()
}

fn alive(index: &tantivy::Index, meta: &SegmentMeta) -> Result<AliveBitSet> {
    let file = index.segment(meta.clone()).open_read(SegmentComponent::Delete);
    let bytes = file.map_err(TantivyError::from)?.read_bytes().map_err(TantivyError::from)?;
    Ok(AliveBitSet::open(bytes))
}

/// Opens a segment to see whether its files fit each other.
///
/// # Errors
/// `Damaged` when they do not.
pub fn fits(index: &tantivy::Index, meta: &SegmentMeta) -> Result<()> {
    let reader = SegmentReader::open(&index.segment(meta.clone()))?;
    column(&reader, "address").and(column(&reader, "generation")).map(drop)
}

/// A column that says of each document whose it is.
///
/// # Errors
/// `Damaged` when it has not as many rows as the list of segments says: tantivy trusts that list.
fn column(reader: &SegmentReader, name: &str) -> Result<Arc<dyn ColumnValues<u64>>> {
    let column = reader.fast_fields().u64(name)?.values;
    match column.num_vals() == reader.max_doc() {
        true => Ok(column),
        false => Err(Error::damaged("its list of files names others")),
    }
}
