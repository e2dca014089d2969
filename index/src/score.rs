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
use crate::kind::Class;
use crate::lexical::{PARTS, Part};
use crate::query::{Leaf, Query};
use crate::view::{NONE, View};
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

/// Added to the passage that defines what the query names, and to a document whose title it is.
pub const EXACT_BONUS: f32 = 1.0;

/// A ranked passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Passage slot of the view; `NONE` when the document matched as a whole only.
    pub slot: u32,
    /// Index into the view's entries.
    pub entry: u32,
    /// The mean of both levels, plus bonuses.
    pub score: f32,
    /// Share of the document level, 0 to 1.
    pub document: f32,
    /// Share of the passage level, 0 to 1.
    pub passage: f32,
    /// It defines, or is titled, what the query names.
    pub exact: bool,
}

/// Arrays over documents and passages that queries share; all zero between queries.
#[derive(Default)]
pub struct Scratch {
    /// By entry: what the word adds through fields of the whole document.
    whole: Vec<f32>,
    /// By entry: the same, with the passage weights.
    header: Vec<f32>,
    /// By entry: normalised count of the word in the body.
    body: Vec<f32>,
    entries: Vec<u32>,
    /// By slot: normalised count of the word in the passage's own fields.
    here: Vec<f32>,
    passages: Vec<(u32, u32)>,
    /// By entry: document score so far.
    document: Vec<f32>,
    /// By entry: score of a passage that holds none of the words itself.
    base: Vec<f32>,
    /// By slot: what a passage's own words add to that.
    own: Vec<f32>,
    seen: Vec<u32>,
    seen_slots: Vec<(u32, u32)>,
    /// By entry: its rank, or its place among the candidates.
    place: Vec<u32>,
    /// By entry: how many of the required leaves it holds.
    required: Vec<u8>,
    excluded: Vec<bool>,
}

impl Scratch {
    fn fit(&mut self, view: &View) {
        let n = view.entries.len();
        for array in
            [&mut self.whole, &mut self.header, &mut self.body, &mut self.document, &mut self.base]
        {
            array.resize(n, 0.0);
        }
        self.own.resize(view.n_slots as usize, 0.0);
        self.here.resize(view.n_slots as usize, 0.0);
        self.place.resize(n, NONE);
        self.required.resize(n, 0);
        self.excluded.resize(n, false);
    }

    /// Back to zero, touching only what was touched.
    fn clear(&mut self) {
        for &(slot, _) in &self.seen_slots {
            self.own[slot as usize] = 0.0;
        }
        for &entry in &self.seen {
            let at = entry as usize;
            self.document[at] = 0.0;
            self.base[at] = 0.0;
            self.required[at] = 0;
            self.excluded[at] = false;
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
                let average = view.average[class][part];
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
}

impl Scorer {
    /// For one view.
    pub fn new(view: &View, weights: Weights) -> Self {
        Scorer { weights, norms: Norms::new(view, &weights) }
    }

    /// Ranks the `top` best of all documents that match, each by its best passage.
    /// `allowed` says by entry which documents may appear; it does not change any score.
    pub fn rank(
        &self,
        view: &View,
        query: &Query,
        allowed: Option<&[bool]>,
        top: usize,
        scratch: &mut Scratch,
    ) -> Result<Ranking> {
        scratch.fit(view);
        let result = self.gather(view, query, scratch);
        let ranked = result.and_then(|()| self.collect(view, query, allowed, top, scratch));
        scratch.clear();
        ranked
    }

    fn gather(&self, view: &View, query: &Query, scratch: &mut Scratch) -> Result<()> {
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
        for part in PARTS {
            self.part(view, leaf, part, scratch)?;
        }
        let Scratch { whole, header, body, entries, here, passages, .. } = scratch;
        let in_document = entries.len() as f32;
        let through_header: u32 = entries
            .iter()
            .filter(|e| header[**e as usize] > 0.0)
            .map(|e| view.entries[*e as usize].n_chunks)
            .sum();
        let own = passages.iter().filter(|(_, e)| header[*e as usize] == 0.0).count();
        let idf = idf(view.entries.len() as f32, in_document) * weight;
        let idf_passage = idf_of(view.n_chunks, through_header + own as u32) * weight;
        for &entry in entries.iter() {
            let at = entry as usize;
            let class = view.entries[at].class as usize;
            let average = view.average_body[class];
            let b = self.weights.document[class][0].b;
            let length = 1.0 - b + b * view.entries[at].body_len / average;
            let count = whole[at] + body[at] * self.weights.document[class][0].weight / length;
            if scratch.document[at] == 0.0 && scratch.base[at] == 0.0 {
                scratch.seen.push(entry);
            }
            scratch.document[at] += idf * saturate(count);
            scratch.base[at] += idf_passage * saturate(header[at]);
            scratch.required[at] += u8::from(required);
        }
        for &(slot, entry) in passages.iter() {
            let above = header[entry as usize];
            let count = std::mem::take(&mut here[slot as usize]);
            let gain = idf_passage * (saturate(count + above) - saturate(above));
            // Above zero even where the header saturates: zero means not seen.
            let gain = gain.max(1e-12);
            if scratch.own[slot as usize] == 0.0 {
                scratch.seen_slots.push((slot, entry));
            }
            scratch.own[slot as usize] += gain;
        }
        for &entry in entries.iter() {
            whole[entry as usize] = 0.0;
            header[entry as usize] = 0.0;
            body[entry as usize] = 0.0;
        }
        entries.clear();
        passages.clear();
        Ok(())
    }

    /// Collects the postings of one part of a leaf.
    fn part(&self, view: &View, leaf: &Leaf, part: Part, scratch: &mut Scratch) -> Result<()> {
        let Scratch { whole, header, body, entries, here, passages, .. } = scratch;
        let of_passage = matches!(part, Part::Body | Part::Head | Part::Name);
        each_posting(view, leaf, part, |posting| {
            let at = posting.entry as usize;
            let class = view.entries[at].class as usize;
            if whole[at] == 0.0 && header[at] == 0.0 && body[at] == 0.0 {
                entries.push(posting.entry);
            }
            let count = posting.count as f32;
            let norm = posting.norm as usize;
            let passage = count * self.norms.passage[class][part as usize][norm];
            if part == Part::Body {
                body[at] += count;
            } else {
                // A field of weight 0 still makes its document findable.
                whole[at] += (count * self.norms.document[class][part as usize][norm]).max(1e-6);
            }
            if of_passage {
                let slot = &mut here[posting.slot as usize];
                if *slot == 0.0 {
                    passages.push((posting.slot, posting.entry));
                }
                // A field of weight 0 still makes its passage findable.
                *slot += passage.max(1e-6);
            } else {
                header[at] += passage.max(1e-6);
            }
        })
    }

    fn exclude(&self, view: &View, leaf: &Leaf, scratch: &mut Scratch) -> Result<()> {
        for part in PARTS {
            each_posting(view, leaf, part, |posting| {
                let at = posting.entry as usize;
                if scratch.document[at] > 0.0 {
                    scratch.excluded[at] = true;
                }
            })?;
        }
        Ok(())
    }

    fn collect(
        &self,
        view: &View,
        query: &Query,
        allowed: Option<&[bool]>,
        top: usize,
        scratch: &mut Scratch,
    ) -> Result<Ranking> {
        let wanted = query.required.len() as u8;
        let Scratch { required, excluded, seen, seen_slots, document, base, own, place, .. } =
            scratch;
        let fits = |entry: u32| required[entry as usize] >= wanted && !excluded[entry as usize];
        let passage = |slot: u32, entry: u32| own[slot as usize] + base[entry as usize];
        // The best of all that fit the words, whatever the filter: filters never change a score.
        let (mut top_document, mut top_passage) = (f32::MIN_POSITIVE, f32::MIN_POSITIVE);
        for &entry in seen.iter().filter(|e| fits(**e)) {
            top_document = top_document.max(document[entry as usize]);
            top_passage = top_passage.max(base[entry as usize]);
        }
        for &(slot, entry) in seen_slots.iter().filter(|(_, e)| fits(*e)) {
            top_passage = top_passage.max(passage(slot, entry));
        }
        let exact = Exact::find(view, query)?;
        let share = self.weights.share;
        let row = |slot: u32, entry: u32, passage: f32| {
            let document = document[entry as usize] / top_document;
            let passage = passage / top_passage;
            let exact = exact.matches(slot, entry);
            let bonus = if exact { EXACT_BONUS } else { 0.0 };
            let score = share * document + (1.0 - share) * passage + bonus;
            Scored { slot, entry, score, document, passage, exact }
        };
        let visible = |entry: u32| fits(entry) && allowed.is_none_or(|a| a[entry as usize]);
        // Each document's best passage first, by the one number that differs among them.
        let mut best: Vec<(f32, u32, u32)> = Vec::new();
        for &entry in seen.iter().filter(|e| visible(**e)) {
            place[entry as usize] = best.len() as u32;
            best.push((base[entry as usize], NONE, entry));
        }
        let total = best.len();
        for &(slot, entry) in seen_slots.iter() {
            let at = place[entry as usize];
            if at == NONE {
                continue;
            }
            let (known, known_slot, _) = &mut best[at as usize];
            let next = passage(slot, entry);
            // Slots go by segment: only the number says which of two equal passages is the first.
            let earlier = |known: u32| view.address(slot).1 < view.address(known).1;
            if *known_slot == NONE || next > *known || (next == *known && earlier(*known_slot)) {
                (*known, *known_slot) = (next, slot);
            }
        }
        for &slot in &exact.slots {
            if let Some(entry) = view.entry_of_slot(slot)
                && place[entry as usize] != NONE
                && own[slot as usize] > 0.0
            {
                let kept = &mut best[place[entry as usize] as usize];
                let defines = exact.slots.binary_search(&kept.1).is_ok();
                let next = passage(slot, entry);
                if !defines || next > kept.0 {
                    (kept.0, kept.1) = (next, slot);
                }
            }
        }
        for (.., entry) in &best {
            place[*entry as usize] = NONE;
        }
        let mut best: Vec<Scored> =
            best.into_iter().map(|(score, slot, entry)| row(slot, entry, score)).collect();
        if best.len() > top && top > 0 {
            best.select_nth_unstable_by(top - 1, |a, b| order(view, a, b));
            best.truncate(top);
        }
        best.sort_unstable_by(|a, b| order(view, a, b));
        for (rank, hit) in best.iter().enumerate() {
            place[hit.entry as usize] = rank as u32;
        }
        let mut others: Vec<Vec<Scored>> = vec![Vec::new(); best.len()];
        for &(slot, entry) in seen_slots.iter() {
            let rank = place[entry as usize];
            if rank != NONE && best[rank as usize].slot != slot {
                others[rank as usize].push(row(slot, entry, passage(slot, entry)));
            }
        }
        for hit in &best {
            place[hit.entry as usize] = NONE;
        }
        for list in &mut others {
            list.sort_unstable_by(|a, b| order(view, a, b));
        }
        Ok(Ranking { hits: best, others, total })
    }
}

/// The outcome of a ranking.
#[derive(Debug, Default)]
pub struct Ranking {
    /// The best documents, each by its best passage.
    pub hits: Vec<Scored>,
    /// By hit: its further passages, best first.
    pub others: Vec<Vec<Scored>>,
    /// How many documents match.
    pub total: usize,
}

/// The passages that define, and the documents that are titled, exactly what the query names.
#[derive(Default)]
struct Exact {
    slots: Vec<u32>,
    entries: Vec<u32>,
}

impl Exact {
    fn find(view: &View, query: &Query) -> Result<Self> {
        let mut exact = Exact::default();
        if let Some(key) = &query.exact {
            view.exact(&format!("d:{key}"), |slot, _| exact.slots.push(slot))?;
            view.exact(&format!("t:{key}"), |_, entry| {
                if view.entries[entry as usize].class == Class::Note {
                    exact.entries.push(entry);
                }
            })?;
            exact.slots.sort_unstable();
            exact.entries.sort_unstable();
        }
        Ok(exact)
    }

    fn matches(&self, slot: u32, entry: u32) -> bool {
        self.slots.binary_search(&slot).is_ok() || self.entries.binary_search(&entry).is_ok()
    }
}

/// Best first; ties by row and passage, so that two runs agree whatever the segments are.
fn order(view: &View, a: &Scored, b: &Scored) -> std::cmp::Ordering {
    let row = |s: &Scored| view.entries[s.entry as usize].file;
    let chunk = |s: &Scored| if s.slot == NONE { NONE } else { view.address(s.slot).1 };
    let rows = b.score.total_cmp(&a.score).then_with(|| row(a).cmp(&row(b)));
    rows.then_with(|| chunk(a).cmp(&chunk(b)))
}

fn each_posting(
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
