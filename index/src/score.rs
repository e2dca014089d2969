//! BM25F over documents and passages at once, exhaustively over the postings of the query's words.
//!
//! Per word, the weighted and length-normalised counts of all fields are added before the one
//! saturation (Robertson and Zaragoza 2009, section 3.6), once for the document as a whole and
//! once for each passage with the title and path it stands under. The score of a passage is the
//! mean of both, each divided by the list's best.
//!
//! Exhaustive because both levels, required words, phrases and filters then cost one pass, and
//! filtered results are by construction the unfiltered ranking restricted to the filter.

use crate::error::Result;
use crate::fuse::Meaning;
use crate::gain::{Gains, Kept};
use crate::lexical::{PARTS, Part};
use crate::query::{Leaf, Query};
use crate::rank::{self, Ranking};
use crate::view::{Entry, NONE, View};
use std::sync::Mutex;
use tantivy::fieldnorm::FieldNormReader;

/// Saturation of counts.
const K1: f32 = 1.2;

/// Weight and length normalisation of a part.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Multiplies counts.
    pub weight: f32,
    /// 0 ignores length, 1 divides by it.
    pub b: f32,
}

/// Weights by class; rows in the order of [`PARTS`]. Measured: research on the judged sets
/// (title, path and headers +4 to +13 points), and `eval/lexical.csv` of this repository.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// By class and part, for the document as a whole.
    pub document: [[Field; 7]; 2],
    /// By class and part, for a passage with what it stands under.
    pub passage: [[Field; 7]; 2],
    /// Share of the document's score in the mean of both.
    pub share: f32,
}

const fn field(weight: f32, b: f32) -> Field {
    Field { weight, b }
}

impl Weights {
    /// The one configuration.
    pub const DEFAULT: Weights = Weights {
        document: [
            // body, head, name, title, path, tag, link
            [
                field(1.0, 0.75),
                field(2.0, 0.75),
                field(0.0, 0.75),
                field(5.0, 0.75),
                field(3.0, 0.75),
                field(2.0, 0.75),
                field(2.0, 0.3),
            ],
            [
                field(1.0, 0.75),
                field(0.0, 0.75),
                field(2.0, 0.75),
                field(0.0, 0.75),
                field(10.0, 0.75),
                field(2.0, 0.75),
                field(2.0, 0.3),
            ],
        ],
        passage: [
            [
                field(1.0, 0.75),
                field(2.0, 0.75),
                field(0.0, 0.75),
                field(5.0, 0.75),
                field(3.0, 0.75),
                field(2.0, 0.75),
                field(2.0, 0.3),
            ],
            [
                field(1.0, 0.75),
                field(2.0, 0.75),
                field(2.0, 0.75),
                field(0.0, 0.75),
                field(10.0, 0.75),
                field(2.0, 0.75),
                field(2.0, 0.3),
            ],
        ],
        share: 0.5,
    };
}

/// Sums over documents and passages that queries share; all zero between queries.
#[derive(Default)]
pub struct Scratch {
    /// By entry.
    pub(crate) documents: Vec<OfDocument>,
    /// By slot.
    pub(crate) slots: Vec<OfPassage>,
    /// Entries, and slots with their entries, that hold the word in hand.
    entries: List<u32>,
    passages: List<(u32, u32)>,
    /// What it gives them.
    gains: Gains,
    /// Those that hold any word.
    pub(crate) seen: List<u32>,
    pub(crate) seen_slots: List<(u32, u32)>,
    /// Score of a document that holds all words as often as can be.
    pub(crate) ideal: f32,
}

/// A list that takes an item or leaves it without a branch, which would be a coin's toss here.
#[derive(Default)]
pub(crate) struct List<T> {
    /// As many as may come, and one to write to in vain.
    items: Vec<T>,
    len: usize,
}

impl<T: Copy + Default> List<T> {
    fn fit(&mut self, most: usize) {
        self.items.resize(most + 1, T::default());
    }

    #[inline(always)]
    fn push_if(&mut self, keep: bool, item: T) {
        self.items[self.len] = item;
        self.len += usize::from(keep);
    }

    fn clear(&mut self) {
        self.len = 0;
    }
}

impl<T> std::ops::Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// What is known of a document: half a cache line, because postings come from all over the index
/// and fetching memory is what a query spends its time on.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(crate) struct OfDocument {
    /// Count of the word in hand in fields of the whole document, weighted and normalised.
    whole: f32,
    /// In the same, with the passage weights.
    header: f32,
    /// In the body, not weighted.
    body: f32,
    /// Document score so far.
    pub(crate) score: f32,
    /// Score of a passage that holds none of the words itself.
    pub(crate) base: f32,
    /// Its rank, or its place among the candidates.
    pub(crate) place: u32,
    /// How many of the required leaves it holds.
    pub(crate) required: u8,
    pub(crate) excluded: bool,
}

impl OfDocument {
    const NOTHING: OfDocument = OfDocument {
        whole: 0.0,
        header: 0.0,
        body: 0.0,
        score: 0.0,
        base: 0.0,
        place: NONE,
        required: 0,
        excluded: false,
    };
}

/// What is known of a passage.
#[derive(Clone, Copy, Default)]
pub(crate) struct OfPassage {
    /// Normalised count of the word in hand in its own fields.
    here: f32,
    /// What its own words add to its document's `base`; above 0 once it holds one.
    pub(crate) own: f32,
}

impl Scratch {
    fn fit(&mut self, view: &View) {
        self.documents.resize(view.entries.len(), OfDocument::NOTHING);
        self.slots.resize(view.n_slots as usize, OfPassage::default());
        self.entries.fit(view.entries.len());
        self.seen.fit(view.entries.len());
        self.passages.fit(view.n_slots as usize);
        self.seen_slots.fit(view.n_slots as usize);
    }

    /// Adds what one word gives, at its weight in the query.
    fn add(&mut self, gains: &Gains, weight: f32, required: bool) {
        let Scratch { documents, slots, seen, seen_slots, ideal, .. } = self;
        let [idf, idf_passage] = gains.idf.map(|idf| idf * weight);
        *ideal += idf;
        for &(slot, entry, gain) in &gains.passages {
            let passage = &mut slots[slot as usize];
            seen_slots.push_if(passage.own == 0.0, (slot, entry));
            // Above zero even where the header saturates: zero means not seen.
            passage.own += (idf_passage * gain).max(1e-12);
        }
        for &(entry, whole, header) in &gains.documents {
            let document = &mut documents[entry as usize];
            seen.push_if((document.score == 0.0) & (document.base == 0.0), entry);
            document.score += idf * whole;
            document.base += idf_passage * header;
            document.required += u8::from(required);
        }
    }

    /// Back to zero, touching only what was touched.
    fn clear(&mut self) {
        for &(slot, _) in self.seen_slots.iter() {
            self.slots[slot as usize] = OfPassage::default();
        }
        for &entry in self.seen.iter() {
            self.documents[entry as usize] = OfDocument::NOTHING;
        }
        self.seen.clear();
        self.seen_slots.clear();
    }
}

/// `1 / (1 - b + b * len / average)` by class, part and tantivy's 256 length classes.
struct Norms {
    document: [[[f32; 256]; 7]; 2],
    passage: [[[f32; 256]; 7]; 2],
}

impl Norms {
    fn new(view: &View, weights: &Weights) -> Box<Self> {
        let mut norms =
            Box::new(Norms { document: [[[0.0; 256]; 7]; 2], passage: [[[0.0; 256]; 7]; 2] });
        for class in 0..2 {
            for part in 0..PARTS.len() {
                let average = view.average(class, part);
                let fill = |field: Field, table: &mut [f32; 256]| {
                    for (id, slot) in table.iter_mut().enumerate() {
                        let len = FieldNormReader::id_to_fieldnorm(id as u8) as f32;
                        *slot = field.weight / (1.0 - field.b + field.b * len / average);
                    }
                };
                fill(weights.document[class][part], &mut norms.document[class][part]);
                fill(weights.passage[class][part], &mut norms.passage[class][part]);
            }
        }
        norms
    }
}

/// Scores a view; keeps its tables between queries.
pub struct Scorer {
    weights: Weights,
    norms: Box<Norms>,
    /// By entry: weight of a body's count over its normalised length.
    bodies: Vec<f32>,
    /// What frequent words give.
    kept: Mutex<Kept>,
}

impl Scorer {
    /// For one view.
    pub fn new(view: &View, weights: Weights) -> Self {
        let averages = [view.average_body(0), view.average_body(1)];
        let body = |entry: &Entry| {
            let class = entry.class as usize;
            let Field { weight, b } = weights.document[class][Part::Body as usize];
            weight / (1.0 - b + b * entry.body_len / averages[class])
        };
        let bodies = view.entries.iter().map(body).collect();
        Scorer { weights, norms: Norms::new(view, &weights), bodies, kept: Mutex::default() }
    }

    /// Ranks the `top` best of all documents that match, each by its best passage.
    /// `allowed` says by entry which documents may appear; it does not change any score.
    pub fn rank(
        &self,
        view: &View,
        query: &Query,
        allowed: Option<&[bool]>,
        top: usize,
        meaning: Option<&mut Meaning>,
        scratch: &mut Scratch,
    ) -> Result<Ranking> {
        let gathered = self.gather(view, query, scratch);
        self.finish(view, query, allowed, top, meaning, scratch, gathered)
    }

    /// The second half of [`Scorer::rank`]: ranks what was gathered, and clears it away.
    #[allow(clippy::too_many_arguments)]
    pub fn finish(
        &self,
        view: &View,
        query: &Query,
        allowed: Option<&[bool]>,
        top: usize,
        meaning: Option<&mut Meaning>,
        scratch: &mut Scratch,
        gathered: Result<()>,
    ) -> Result<Ranking> {
        let share = self.weights.share;
        let ranked =
            gathered.and_then(|()| rank::rank(view, query, allowed, top, share, meaning, scratch));
        scratch.clear();
        ranked
    }

    /// The first half: adds up what the words give every document and passage.
    pub fn gather(&self, view: &View, query: &Query, scratch: &mut Scratch) -> Result<()> {
        scratch.fit(view);
        scratch.ideal = 0.0;
        for (leaf, weight) in &query.scored {
            self.leaf(view, leaf, *weight, false, scratch)?;
        }
        for leaf in &query.required {
            self.leaf(view, leaf, 1.0, true, scratch)?;
        }
        for leaf in &query.excluded {
            self.exclude(view, leaf, scratch)?;
        }
        Ok(())
    }

    /// Adds one word or phrase to the scores.
    fn leaf(
        &self,
        view: &View,
        leaf: &Leaf,
        weight: f32,
        required: bool,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let forms = match leaf {
            Leaf::Word(forms) => Some(forms),
            Leaf::Phrase(_) => None,
        };
        if let Some(kept) = forms.and_then(|forms| crate::lock(&self.kept).of(forms)) {
            scratch.add(&kept, weight, required);
            return Ok(());
        }
        let counted = PARTS.iter().try_for_each(|part| self.part(view, leaf, *part, scratch));
        let mut gains = std::mem::take(&mut scratch.gains);
        // Also what was counted up to a failure: the next query begins with nothing.
        self.weigh(view, scratch, &mut gains);
        counted?;
        scratch.add(&gains, weight, required);
        if let Some(forms) = forms {
            crate::lock(&self.kept).keep(forms, &gains);
        }
        scratch.gains = gains;
        Ok(())
    }

    /// Turns the counts of one leaf, which it clears away, into what they give.
    fn weigh(&self, view: &View, scratch: &mut Scratch, gains: &mut Gains) {
        let Scratch { documents, slots, entries, passages, .. } = scratch;
        let headed = entries.iter().filter(|e| documents[**e as usize].header > 0.0);
        let through_header: u32 = headed.map(|e| view.entries[*e as usize].n_chunks).sum();
        // A word that stands in no title, path or link spares each passage a look at its document.
        let header = |documents: &[OfDocument], entry: u32| match through_header {
            0 => 0.0,
            _ => documents[entry as usize].header,
        };
        let own = match through_header {
            0 => passages.len(),
            _ => passages.iter().filter(|(_, e)| header(documents, *e) == 0.0).count(),
        };
        gains.idf = [
            idf(view.n_documents as f32, entries.len() as f32),
            idf_of(view.n_chunks, through_header + own as u32),
        ];
        gains.passages.clear();
        gains.passages.extend(passages.iter().map(|&(slot, entry)| {
            let above = header(documents, entry);
            let count = std::mem::take(&mut slots[slot as usize].here);
            (slot, entry, saturate(count + above) - saturate(above))
        }));
        gains.documents.clear();
        gains.documents.extend(entries.iter().map(|&entry| {
            let document = &mut documents[entry as usize];
            let count = document.whole + document.body * self.bodies[entry as usize];
            let header = document.header;
            (document.whole, document.header, document.body) = (0.0, 0.0, 0.0);
            (entry, saturate(count), saturate(header))
        }));
        entries.clear();
        passages.clear();
    }

    /// Collects the postings of one part of a leaf.
    fn part(&self, view: &View, leaf: &Leaf, part: Part, scratch: &mut Scratch) -> Result<()> {
        let at = part as usize;
        let norms = |table: &[[[f32; 256]; 7]; 2]| [table[0][at], table[1][at]];
        let mut sums = Sums {
            classes: &view.classes,
            passage: &norms(&self.norms.passage),
            document: &norms(&self.norms.document),
            in_body: part == Part::Body,
            of_passage: matches!(part, Part::Body | Part::Head | Part::Name),
            scratch,
        };
        match leaf {
            Leaf::Word(forms) => forms.iter().try_for_each(|form| {
                view.blocks(part, form, |block| block.postings().for_each(|p| sums.add(p)))
            }),
            Leaf::Phrase(_) => each_posting(view, leaf, part, |posting| sums.add(posting)),
        }
    }

    fn exclude(&self, view: &View, leaf: &Leaf, scratch: &mut Scratch) -> Result<()> {
        for part in PARTS {
            each_posting(view, leaf, part, |posting| {
                let document = &mut scratch.documents[posting.entry as usize];
                document.excluded |= document.score > 0.0;
            })?;
        }
        Ok(())
    }
}

/// Where the postings of one word in one part are added up.
struct Sums<'a> {
    classes: &'a [u8],
    /// `Norms` of the part, by class.
    passage: &'a [[f32; 256]; 2],
    document: &'a [[f32; 256]; 2],
    in_body: bool,
    of_passage: bool,
    scratch: &'a mut Scratch,
}

impl Sums<'_> {
    #[inline(always)]
    fn add(&mut self, posting: crate::view::Posting) {
        let Scratch { documents, slots, entries, passages, .. } = &mut *self.scratch;
        let class = self.classes[posting.entry as usize] as usize;
        let OfDocument { whole, header, body, .. } = &mut documents[posting.entry as usize];
        let first = (*whole == 0.0) & (*header == 0.0) & (*body == 0.0);
        entries.push_if(first, posting.entry);
        let count = posting.count as f32;
        // A field of weight 0 still makes its document and its passage findable.
        let passage = (count * self.passage[class][posting.norm as usize]).max(1e-6);
        if self.in_body {
            *body += count;
        } else {
            *whole += (count * self.document[class][posting.norm as usize]).max(1e-6);
        }
        if self.of_passage {
            let here = &mut slots[posting.slot as usize].here;
            passages.push_if(*here == 0.0, (posting.slot, posting.entry));
            *here += passage;
        } else {
            *header += passage;
        }
    }
}

pub(crate) fn each_posting(
    view: &View,
    leaf: &Leaf,
    part: Part,
    mut each: impl FnMut(crate::view::Posting),
) -> Result<()> {
    match leaf {
        Leaf::Word(forms) => {
            for form in forms {
                view.postings(part, form, &mut each)?;
            }
            Ok(())
        }
        Leaf::Phrase(words) => match part {
            Part::Body | Part::Head | Part::Title | Part::Path => view.phrase(part, words, each),
            Part::Name | Part::Tag | Part::Link => Ok(()),
        },
    }
}

fn saturate(count: f32) -> f32 {
    count / (K1 + count)
}

fn idf_of(n: u32, df: u32) -> f32 {
    idf(n as f32, df as f32)
}

/// Lucene's form, never negative.
fn idf(n: f32, df: f32) -> f32 {
    (1.0 + (n - df.min(n) + 0.5) / (df + 0.5)).ln()
}
