//! From sums to a list: every document by its best passage, best documents first.
//!
//! What defines or is titled exactly what the query names comes before what only speaks of it, and
//! a text that stands verbatim before its parts in another order. Ties go by document and passage
//! number, so that two runs agree whatever the segments are.

use crate::error::Result;
use crate::fuse::{Meaning, confidence as confidence_of, share_of};
use crate::kind::Class;
use crate::lexical::Part;
use crate::query::Query;
use crate::score::{Scratch, each_posting};
use crate::view::{NONE, View};

/// For the passage that defines what the query names, and the document whose title it is. Above
/// every sum of words and meaning, which is below 2, and the other bonuses.
const NAME_BONUS: f32 = 3.0;
/// For a definition spelled as the query is, and a title with the same signs: `Acquire` is not
/// `acquire`, and `C++` not `C#`.
const SPELLING_BONUS: f32 = 1.0;
/// For a definition that stands in what its name is qualified by: `Notify::notified` is no
/// `Watch::notified`. Above what definitions of one name differ in by their words.
const WITHIN_BONUS: f32 = 2.0;
/// For one in a file or a folder that is called so: `task::spawn`.
const HOUSED_BONUS: f32 = 1.0;
/// For a passage in which a query of one run (`1.0.21`, `ERR_RESET`) stands as it was typed.
const VERBATIM_BONUS: f32 = 1.0;
/// Passages that hold a query of several words as it was typed, at most, for each to have the same:
/// what stands in more of them is a turn of phrase.
const MESSAGE_PASSAGES_MAX: usize = 8;
/// For a document whose path holds a query that is one: it comes before texts that name it.
const PATH_BONUS: f32 = 2.0;
/// Confidence in the words where the best document holds each of them once, at the usual length:
/// the root of `1 / (1 + K1)`. From there on what they say is taken for what is meant.
const ONCE: f32 = 0.674;
/// What a document gains by the lead that it has over the second best by words, which nothing near
/// in meaning makes up for: who remembers the words of a note means that one. Times the confidence
/// in the words, squared: a lead says little where even the leader holds few of them.
const LEAD: f32 = 2.0;
/// What it gains by the lead of its best passage over that of any other document, times the
/// confidence in that: a long document holds the words of a sentence no better than others do, its
/// passage does.
const PASSAGE_LEAD: f32 = 0.6;
/// The same where words alone rank: what a document gains by its lead over the second best, once by
/// whole documents and once by best passages. Not beside a bonus, which leads may not outdo.
const LEAD_OF_WORDS: f32 = 0.6;

/// The best of some numbers and the second best.
#[derive(Clone, Copy)]
struct Best {
    first: f32,
    second: f32,
}

impl Default for Best {
    fn default() -> Self {
        Best { first: f32::MIN_POSITIVE, second: 0.0 }
    }
}

impl Best {
    fn add(&mut self, value: f32) {
        if value > self.first {
            (self.first, self.second) = (value, self.first);
        } else {
            self.second = value.max(self.second);
        }
    }

    /// One of them as a share of the best.
    fn share(&self, value: f32) -> f32 {
        value / self.first
    }

    /// How far one of them is before the second best, as a share of the best.
    fn lead(&self, value: f32) -> f32 {
        (value / self.first - self.second / self.first).max(0.0)
    }
}

/// A ranked passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Passage slot of the view; `NONE` when the document matched as a whole only.
    pub slot: u32,
    /// Index into the view's entries.
    pub entry: u32,
    /// The mean of both levels, plus leads and bonuses.
    pub score: f32,
    /// Share of the document level, 0 to 1.
    pub document: f32,
    /// Share of the passage level, 0 to 1.
    pub passage: f32,
    /// Nearness in meaning over the best one's, 0 to 1; `None` where meaning was not asked for.
    pub meaning: Option<f32>,
    /// It defines, or is titled, what the query names.
    pub exact: bool,
    /// The line of it that is asked for.
    pub line: Option<u32>,
}

impl Scored {
    /// A document that no word was looked for in.
    pub fn unscored(entry: u32) -> Self {
        Scored {
            slot: NONE,
            entry,
            score: 0.0,
            document: 0.0,
            passage: 0.0,
            meaning: None,
            exact: false,
            line: None,
        }
    }
}

/// The outcome of a ranking.
#[derive(Debug, Default)]
pub struct Ranking {
    /// The best documents, each by its best passage.
    pub hits: Vec<Scored>,
    /// By hit: its further passages, best first.
    pub others: Vec<Vec<Scored>>,
    /// How many documents are ranked.
    pub total: usize,
    /// How many of them hold words of the query.
    pub matched: usize,
}

/// What the sums of one query are turned into rows with.
struct Ranker<'a> {
    view: &'a View,
    bonus: Bonus,
    share: f32,
    wanted: u8,
    /// No word must be there, and none must not: every document fits.
    plain: bool,
    allowed: Option<&'a [bool]>,
    top_document: f32,
    top_passage: f32,
}

/// Ranks what was gathered into `sums`, which it leaves as it was but for `place`, all `NONE`
/// before and after.
pub fn rank(
    view: &View,
    query: &Query,
    allowed: Option<&[bool]>,
    top: usize,
    share: f32,
    meaning: Option<&mut Meaning>,
    sums: &mut Scratch,
) -> Result<Ranking> {
    let mut ranker = Ranker {
        view,
        bonus: Bonus::find(view, query)?,
        share,
        wanted: query.required.len() as u8,
        plain: query.required.is_empty() && query.excluded.is_empty(),
        allowed,
        top_document: f32::MIN_POSITIVE,
        top_passage: f32::MIN_POSITIVE,
    };
    let mut best = ranker.best_passages(sums);
    let (hits, total) = match meaning {
        Some(meaning) => {
            meaning.with_words(|| ranker.words(sums, &best));
            ranker.fused(top, sums, &best, meaning)
        }
        None => {
            // Of all that fit the words: filters never change a score.
            let leads = ranker.leads(sums, &best);
            best.retain(|(.., entry)| ranker.allows(*entry));
            (ranker.first(top, sums, &best, leads), best.len())
        }
    };
    let matched = best.iter().filter(|(.., entry)| ranker.allows(*entry)).count();
    let others = ranker.others(sums, &hits);
    Ok(Ranking { hits, others, total, matched })
}

impl Ranker<'_> {
    /// The words are there that must be, and none that must not.
    fn fits(&self, sums: &Scratch, entry: u32) -> bool {
        self.plain || {
            let document = &sums.documents[entry as usize];
            document.required >= self.wanted && !document.excluded
        }
    }

    fn row(&self, sums: &Scratch, slot: u32, entry: u32) -> Scored {
        let own =
            if slot == NONE { sums.documents[entry as usize].base } else { sum(sums, slot, entry) };
        let document = sums.documents[entry as usize].score / self.top_document;
        let passage = own / self.top_passage;
        let score = self.score(sums, own, slot, entry);
        let exact = self.bonus.of(slot, entry).1;
        Scored { slot, entry, score, document, passage, meaning: None, exact, line: None }
    }

    /// The best and the second best of whole documents, and of their best passages; none beside a
    /// bonus.
    fn leads(&self, sums: &Scratch, best: &[(f32, u32, u32)]) -> Option<[Best; 2]> {
        let mut leads = [Best::default(); 2];
        let [documents, passages] = &mut leads;
        for &(own, _, entry) in best {
            documents.add(sums.documents[entry as usize].score);
            passages.add(own);
        }
        self.bonus.is_none().then_some(leads)
    }

    /// The `top` best of them as rows, in order.
    fn first(
        &self,
        top: usize,
        sums: &Scratch,
        best: &[(f32, u32, u32)],
        leads: Option<[Best; 2]>,
    ) -> Vec<Scored> {
        let lead = |own: f32, entry: u32| {
            let document = sums.documents[entry as usize].score;
            let [documents, passages] = leads?;
            Some(LEAD_OF_WORDS * (documents.lead(document) + passages.lead(own)))
        };
        // Rows are made of few: numbers say first which ones can be among them.
        let score = |&(own, slot, entry): &(f32, u32, u32)| {
            self.score(sums, own, slot, entry) + lead(own, entry).unwrap_or(0.0)
        };
        let scores: Vec<f32> = best.iter().map(score).collect();
        let least = match scores.len() > top && top > 0 {
            true => *scores.clone().select_nth_unstable_by(top - 1, |a, b| b.total_cmp(a)).1,
            false => f32::MIN,
        };
        let enough = best.iter().zip(scores).filter(|(_, score)| *score >= least);
        let mut hits: Vec<Scored> = enough
            .map(|(&(_, slot, entry), score)| Scored { score, ..self.row(sums, slot, entry) })
            .collect();
        hits.sort_unstable_by(|a, b| self.order(a, b));
        hits.truncate(if top > 0 { top } else { hits.len() });
        hits
    }

    fn score(&self, sums: &Scratch, own: f32, slot: u32, entry: u32) -> f32 {
        let document = sums.documents[entry as usize].score / self.top_document;
        let passage = own / self.top_passage;
        self.share * document + (1.0 - self.share) * passage + self.bonus.of(slot, entry).0
    }

    /// Every visible document as the sum, the slot and the entry of its best passage, in no order.
    /// Notes the best sums of all that fit the words, whatever the filter: filters never change a
    /// score.
    fn best_passages(&mut self, sums: &mut Scratch) -> Vec<(f32, u32, u32)> {
        // By the one number that differs among a document's passages.
        let mut best: Vec<(f32, u32, u32)> = Vec::new();
        for at in 0..sums.seen.len() {
            let entry = sums.seen[at];
            if self.fits(sums, entry) {
                self.top_document = self.top_document.max(sums.documents[entry as usize].score);
                sums.documents[entry as usize].place = best.len() as u32;
                best.push((sums.documents[entry as usize].base, NONE, entry));
            }
        }
        for &(slot, entry) in sums.seen_slots.iter() {
            let Some(kept) = best.get_mut(sums.documents[entry as usize].place as usize) else {
                continue;
            };
            let next = sum(sums, slot, entry);
            let mut better = (kept.1 == NONE) | (next > kept.0);
            if next == kept.0 && kept.1 != NONE {
                better = self.earlier(slot, kept.1);
            }
            // Chosen, not branched on: which of two passages is better nobody can foresee.
            kept.0 = if better { next } else { kept.0 };
            kept.1 = if better { slot } else { kept.1 };
        }
        self.top_passage = best.iter().fold(self.top_passage, |top, (sum, ..)| top.max(*sum));
        for slot in self.bonus.slots() {
            let Some(entry) = self.view.entry_of_slot(slot) else { continue };
            let Some(kept) = best.get_mut(sums.documents[entry as usize].place as usize) else {
                continue;
            };
            if sums.slots[slot as usize].own > 0.0 {
                let next = (self.bonus.of(slot, entry).0, sum(sums, slot, entry));
                if next > (self.bonus.of(kept.1, entry).0, kept.0) {
                    (kept.0, kept.1) = (next.1, slot);
                }
            }
        }
        for (.., entry) in &best {
            sums.documents[*entry as usize].place = NONE;
        }
        best
    }

    /// Score and entry of every document that holds words.
    fn words(&self, sums: &Scratch, best: &[(f32, u32, u32)]) -> Vec<(f32, u32)> {
        best.iter().map(|&(own, slot, entry)| (self.score(sums, own, slot, entry), entry)).collect()
    }

    fn allows(&self, entry: u32) -> bool {
        self.allowed.is_none_or(|allowed| allowed[entry as usize])
    }

    /// The `top` best documents by words and meaning, in order, and how many are ranked: all that
    /// have a vector or hold words, but with words that must or must not be there only what fits
    /// them.
    fn fused(
        &self,
        top: usize,
        sums: &mut Scratch,
        best: &[(f32, u32, u32)],
        meaning: &mut Meaning,
    ) -> (Vec<Scored>, usize) {
        let near = &meaning.near;
        let confidence = confidence_of(self.top_document, sums.ideal);
        let words_share = (1.0 - meaning.share) * confidence;
        let (mut by_mean, mut by_passage) = (Best::default(), Best::default());
        for (at, &(own, slot, entry)) in best.iter().enumerate() {
            by_mean.add(self.score(sums, own, slot, entry) - self.bonus.of(slot, entry).0);
            by_passage.add(own);
            sums.documents[entry as usize].place = at as u32;
        }
        let of_passages = confidence_of(by_passage.first, sums.ideal);
        let leads = |score: f32, own: f32| {
            let mean = by_mean.share(score) + LEAD * confidence * confidence * by_mean.lead(score);
            let passage = PASSAGE_LEAD * of_passages * by_passage.lead(own);
            words_share * mean + (1.0 - meaning.share) * passage
        };
        // Documents that hold words by their place among them, and those that do not.
        let mut dense_of: Vec<Option<f32>> = vec![None; best.len()];
        let mut ranked: Vec<(f32, u32, u32)> = Vec::new();
        let none = leads(0.0, 0.0);
        for (dense, entry) in near.scores() {
            match dense_of.get_mut(sums.documents[entry as usize].place as usize) {
                Some(of) => *of = Some(dense),
                None if self.plain && self.allows(entry) => {
                    ranked.push((meaning.share * share_of(dense, near.top) + none, entry, NONE));
                }
                None => {}
            }
        }
        for (at, (&(own, slot, entry), dense)) in best.iter().zip(dense_of).enumerate() {
            sums.documents[entry as usize].place = NONE;
            if !self.allows(entry) {
                continue;
            }
            let bonus = self.bonus.of(slot, entry).0;
            let score = self.score(sums, own, slot, entry) - bonus;
            let dense = match dense {
                Some(dense) => share_of(dense, near.top),
                // What nobody has embedded yet means what its words say, and is not far for that:
                // those of all of it, or of a passage, which in a long document says it alone.
                None if meaning.share < 1.0 && meaning.dense.places(entry).is_empty() => {
                    let said = |share: f32, confidence: f32| share * (confidence / ONCE).min(1.0);
                    let whole = said(by_mean.share(score), confidence);
                    whole.max(said(by_passage.share(own), of_passages))
                }
                None => 0.0,
            };
            let score = meaning.share * dense + leads(score, own);
            ranked.push((score + bonus, entry, at as u32));
        }
        let total = ranked.len();
        settle(&mut ranked, meaning);
        (self.best_of(top, sums, best, ranked, meaning), total)
    }

    /// The `top` best as rows, in order, of documents by their score and, where they hold words,
    /// their place in `best`.
    fn best_of(
        &self,
        top: usize,
        sums: &Scratch,
        best: &[(f32, u32, u32)],
        mut ranked: Vec<(f32, u32, u32)>,
        meaning: &Meaning,
    ) -> Vec<Scored> {
        let near = &meaning.near;
        let file = |entry: u32| self.view.entries[entry as usize].file;
        let order = |a: &(f32, u32, u32), b: &(f32, u32, u32)| {
            b.0.total_cmp(&a.0).then_with(|| file(a.1).cmp(&file(b.1)))
        };
        if ranked.len() > top && top > 0 {
            ranked.select_nth_unstable_by(top - 1, order);
            ranked.truncate(top);
        }
        ranked.sort_unstable_by(order);
        let hits = ranked.iter().map(|&(score, entry, at)| {
            let slot = best.get(at as usize).map_or(NONE, |(_, slot, _)| *slot);
            let slot = self.nearest(sums, slot, entry, meaning);
            let meaning = near.score(entry).map(|dense| share_of(dense, near.top));
            Scored { score, meaning, ..self.row(sums, slot, entry) }
        });
        hits.collect()
    }

    /// The passage of a document that is best by words and meaning; one that defines the name asked
    /// for stays what it is. `slot` is the best by words.
    fn nearest(&self, sums: &Scratch, slot: u32, entry: u32, meaning: &Meaning) -> u32 {
        let words = |slot| sum(sums, slot, entry) / self.top_passage;
        let mut best = match slot {
            NONE => (f32::MIN, NONE),
            slot if self.bonus.of(slot, entry).0 > 0.0 => return slot,
            slot => ((1.0 - meaning.share) * words(slot), slot),
        };
        for place in meaning.dense.places(entry) {
            let slot = meaning.dense.slot(place);
            let dense = share_of(meaning.passage(place), meaning.near.top_passage);
            let score = meaning.share * dense + (1.0 - meaning.share) * words(slot);
            if score > best.0 {
                best = (score, slot);
            }
        }
        best.1
    }

    /// Slots go by segment: only the number says which of two equal passages is the first.
    fn earlier(&self, slot: u32, known: u32) -> bool {
        self.view.address(slot).1 < self.view.address(known).1
    }

    /// By hit: its further passages, best first.
    fn others(&self, sums: &mut Scratch, hits: &[Scored]) -> Vec<Vec<Scored>> {
        let mut others: Vec<Vec<Scored>> = vec![Vec::new(); hits.len()];
        // Passages of a document mostly stand side by side. Where some do not, all that hold words
        // are gone through, which of a frequent word may be all that there are.
        let mut scattered = false;
        for (rank, hit) in hits.iter().enumerate().filter(|(_, hit)| hit.slot != NONE) {
            match self.view.together(hit.slot, hit.entry) {
                Some(slots) => {
                    let seen = |slot: &u32| sums.slots[*slot as usize].own > 0.0;
                    let further = slots.filter(|slot| *slot != hit.slot && seen(slot));
                    others[rank].extend(further.map(|slot| self.row(sums, slot, hit.entry)));
                    // They are in the order that ties go by.
                    others[rank].sort_by(|a, b| b.score.total_cmp(&a.score));
                }
                None => {
                    sums.documents[hit.entry as usize].place = rank as u32;
                    scattered = true;
                }
            }
        }
        let all: &[(u32, u32)] = if scattered { &sums.seen_slots } else { &[] };
        for &(slot, entry) in all {
            let rank = sums.documents[entry as usize].place;
            if rank != NONE && hits[rank as usize].slot != slot {
                others[rank as usize].push(self.row(sums, slot, entry));
            }
        }
        for (hit, list) in hits.iter().zip(&mut others) {
            let place = &mut sums.documents[hit.entry as usize].place;
            if std::mem::replace(place, NONE) != NONE {
                list.sort_unstable_by(|a, b| self.order(a, b));
            }
        }
        others
    }

    fn order(&self, a: &Scored, b: &Scored) -> std::cmp::Ordering {
        let address = |s: &Scored| match s.slot {
            NONE => (self.view.entries[s.entry as usize].file, 0),
            slot => self.view.address(slot),
        };
        b.score.total_cmp(&a.score).then_with(|| address(a).cmp(&address(b)))
    }
}

/// Rounds in which the best are looked for among documents that were not measured.
const ROUNDS: usize = 8;
/// Measures what is among the best and was not, until the best are those that were: what was
/// taken for known of the others may be too much.
fn settle(ranked: &mut [(f32, u32, u32)], meaning: &mut Meaning) {
    let n = meaning.near.n_right.min(ranked.len());
    for _ in 0..ROUNDS {
        if n < ranked.len() {
            ranked.select_nth_unstable_by(n, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        }
        let mut is_settled = true;
        for (score, entry, _) in &mut ranked[..n] {
            if let Some(change) = meaning.settle(*entry) {
                *score += meaning.share * change;
                is_settled = false;
            }
        }
        if is_settled {
            return;
        }
    }
}

fn sum(sums: &Scratch, slot: u32, entry: u32) -> f32 {
    sums.slots[slot as usize].own + sums.documents[entry as usize].base
}

/// What stands out beside the words; lists of slots and entries are sorted.
#[derive(Default)]
struct Bonus {
    defining: Vec<u32>,
    /// The name is qualified.
    qualified: bool,
    within: Vec<u32>,
    housed: Vec<u32>,
    spelled: Vec<u32>,
    verbatim: Vec<u32>,
    titled: Vec<u32>,
    signed: Vec<u32>,
    pathed: Vec<u32>,
    /// There is anything in any of them.
    any: bool,
}

impl Bonus {
    fn find(view: &View, query: &Query) -> Result<Self> {
        let mut bonus = Bonus::default();
        if let Some(run) = query.run.as_ref().filter(|_| query.is_path) {
            each_posting(view, run, Part::Path, |posting| bonus.pathed.push(posting.entry))?;
        }
        // `routing.py` and `Node.js` look as `Router.mount` does and ask for no `py` and no `js`,
        // but for one that stands in what they name: `Response.json`.
        let is_file = query.is_file_name || !bonus.pathed.is_empty();
        if let Some(key) = &query.exact {
            view.exact(&format!("d:{key}"), |slot, _| bonus.defining.push(slot))?;
            view.exact(&format!("t:{key}"), |_, entry| {
                if view.entries[entry as usize].class == Class::Note {
                    bonus.titled.push(entry);
                }
            })?;
        }
        if let Some(title) = &query.title {
            view.exact(&format!("w:{title}"), |_, entry| bonus.signed.push(entry))?;
        }
        if let Some(outer) = &query.qualifier {
            each_posting(view, outer, Part::Path, |posting| bonus.housed.push(posting.entry))?;
            bonus.housed.sort_unstable();
        }
        // Nor does `example.com` ask for a `com`, but for one in what it names, or a file of that.
        let housed = &bonus.housed;
        let any = !query.is_address || query.qualifier.is_none();
        let may = |entry: u32| any || housed.binary_search(&entry).is_ok();
        if let Some(key) = query.defined.as_ref().filter(|_| !is_file) {
            let defining = &mut bonus.defining;
            view.exact(&format!("d:{key}"), |slot, entry| {
                if may(entry) {
                    defining.push(slot);
                }
            })?;
        }
        if let Some(name) = query.spelling.as_ref().filter(|_| !is_file) {
            let spelled = &mut bonus.spelled;
            view.exact(&format!("v:{name}"), |slot, entry| {
                if may(entry) {
                    spelled.push(slot);
                }
            })?;
        }
        if let Some(key) = &query.qualified {
            bonus.qualified = true;
            view.exact(&format!("q:{key}"), |slot, _| bonus.within.push(slot))?;
            bonus.defining.extend(&bonus.within);
        }
        if let Some(run) = &query.run {
            each_posting(view, run, Part::Body, |posting| bonus.verbatim.push(posting.slot))?;
        }
        if let Some(message) = &query.message {
            // In prose it is as often the text of a link as what is linked.
            let is_code = |entry: u32| view.entries[entry as usize].class == Class::Code;
            let mut slots = Vec::new();
            each_posting(view, message, Part::Body, |posting| {
                if is_code(posting.entry) {
                    slots.push(posting.slot);
                }
            })?;
            bonus.verbatim.extend(slots.iter().filter(|_| slots.len() <= MESSAGE_PASSAGES_MAX));
        }
        bonus.pathed.sort_unstable();
        let Bonus { defining, within, spelled, verbatim, titled, signed, .. } = &mut bonus;
        for list in [defining, within, spelled, verbatim, titled, signed] {
            list.sort_unstable();
        }
        bonus.any = !bonus.is_none();
        Ok(bonus)
    }

    /// Nothing stands out.
    fn is_none(&self) -> bool {
        // What names are qualified by counts for their definitions only.
        let Bonus { defining, spelled, verbatim, titled, signed, pathed, .. } = self;
        [defining, spelled, verbatim, titled, signed, pathed].iter().all(|list| list.is_empty())
    }

    /// Passages that may be a document's best although others hold more of the words.
    fn slots(&self) -> impl Iterator<Item = u32> {
        self.defining.iter().chain(&self.spelled).chain(&self.verbatim).copied()
    }

    /// The bonus of a passage, and whether it is for a name.
    fn of(&self, slot: u32, entry: u32) -> (f32, bool) {
        if !self.any {
            return (0.0, false);
        }
        let has = |list: &[u32], at: u32| list.binary_search(&at).is_ok();
        let defines = has(&self.defining, slot);
        let named = defines || has(&self.titled, entry);
        let mut bonus = if named { NAME_BONUS } else { 0.0 };
        if has(&self.spelled, slot) || has(&self.signed, entry) {
            bonus += SPELLING_BONUS;
        }
        // What a definition says of another says nothing for it; where it stands does.
        if defines && self.qualified {
            bonus += match has(&self.within, slot) {
                true => WITHIN_BONUS,
                false if has(&self.housed, entry) => HOUSED_BONUS,
                false => 0.0,
            };
        } else if has(&self.verbatim, slot) {
            bonus += VERBATIM_BONUS;
        }
        if has(&self.pathed, entry) {
            bonus += PATH_BONUS;
        }
        (bonus, named)
    }
}
