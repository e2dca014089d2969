//! A pack: what to read for a question within a budget of tokens.
//!
//! Candidates are the documents of a search and what they lead to: notes linked from the best
//! passages, definitions of what those use. Each is offered in steps, an excerpt, the passage, the
//! section around it, further passages; `plan` chooses. Knows no tokenizer: what a piece costs says
//! the caller, who shows it. Invariant: every text stands in its file at the lines said.

use crate::db::{self, ChunkRow, FileRow, Source};
use crate::dense::Dense;
use crate::error::{Error, Result};
use crate::hit::{ask_roots, id_of, passage_text, roots, sought, uri};
use crate::jail::Root;
use crate::language::Language;
use crate::plan::{self, Offer, Step};
use crate::rank::Scored;
use crate::reach::SILENT;
use crate::search::{Answer, Found, SearchArgs};
use crate::snippet::snippet;
use crate::symbol;
use crate::token::Sought;
use crate::view::{NONE, View};
use crate::{Current, Index, graph};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Fewest documents that are looked at.
const CANDIDATES_MIN: usize = 64;
/// One more for this much of the budget: what the shortest excerpt costs.
const CANDIDATE_COST: usize = 60;
/// Most of them.
const CANDIDATES_MAX: usize = 400;
/// Documents of whose whole sections and further passages an offer is made.
const DEEP: usize = 16;
/// Documents whose links and used names are followed.
const FOLLOWED: usize = 4;
/// Documents that one of them may lead to.
const LED_MAX: usize = 4;
/// Longest excerpt, in bytes.
const EXCERPT_BYTES_MAX: usize = 260;
/// Passages up to this need no excerpt, in bytes.
const SHORT_BYTES_MAX: usize = 400;
/// Longest section that is taken whole, in bytes.
const SECTION_BYTES_MAX: usize = 4_000;
/// Further passages of one document.
const FURTHER_MAX: usize = 3;
/// What a document at rank r is worth: 1 / (r + 1) to this.
const FALL: f32 = 0.8;
/// Share of a document's worth that an excerpt has. With this and excerpts of some 70 tokens, packs
/// of 1,000 tokens hold 3 to 13 % more of the judged documents than passages in a row
/// (`synod eval --packs`), and the first documents still come with their whole passage.
const EXCERPT_GAIN: f32 = 0.75;
/// The same of the passage, and of what comes after it.
const PASSAGE_GAIN: f32 = 0.25;
const SECTION_GAIN: f32 = 0.12;
const FURTHER_GAIN: f32 = 0.08;
/// Share of a document's worth that what it leads to has, all together.
const LED_WORTH: f32 = 0.3;
/// Share of relevance in the order of the first candidates; the rest is how little they are like
/// earlier ones.
const RELEVANCE: f32 = 0.8;
/// Cosine above which two passages are like each other. Counted from 0, as in the paper, answers
/// that confirm each other step back too: -0.7 to -3 points of the answers inside 1,000 to 4,000
/// tokens (`synod eval --packs`).
const ALIKE: f32 = 0.9;
/// Candidates that are put in that order.
const ORDERED: usize = 64;
/// Names of what was left out.
const LEFT_OUT_MAX: usize = 20;
/// Why most of it was.
const NO_ROOM: &str = "no room within the budget";

/// A pack that is asked for.
#[derive(Clone, Debug)]
pub struct PackArgs {
    /// What to look for; its limit, offset, detail and copies do not count.
    pub search: SearchArgs,
    /// What all pieces together may cost.
    pub budget: usize,
}

/// How much of a document a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Several passages that stand together.
    Section,
    /// A passage.
    Passage,
    /// The lines of a passage around the words.
    Excerpt,
    /// The declaration of a definition.
    Signature,
}

/// Why a piece is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The search found it.
    Found,
    /// A passage that was found links to it.
    Linked,
    /// A passage that was found uses what it defines.
    Defined,
}

/// A text of a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Short id that every tool accepts.
    pub id: String,
    /// Resource URI with its lines.
    pub uri: String,
    /// Name of the source.
    pub source: String,
    /// Path relative to the source.
    pub path: String,
    /// Title of the document.
    pub title: String,
    /// Kind of the document.
    pub kind: String,
    /// Innermost heading.
    pub heading: Option<String>,
    /// Definition in it or around it.
    pub symbol: Option<String>,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// How much of the document it is.
    pub extent: Extent,
    /// Why it is there.
    pub why: Why,
    /// Score of the document; 0 where it was not searched for.
    pub score: f32,
    /// Whole lines as they stand; an excerpt's may be cut.
    pub text: String,
}

/// A document that was found and is not in the pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Name of the source.
    pub source: String,
    /// Path relative to the source.
    pub path: String,
    /// Lines of its best passage.
    pub lines: (u32, u32),
    /// Why, in a few words.
    pub why: String,
}

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Pack {
    /// Best document first, within one in order.
    pub pieces: Vec<Piece>,
    /// Best first.
    pub left_out: Vec<LeftOut>,
    /// Documents that match.
    pub total: usize,
    /// The generation searched.
    pub generation: u64,
    /// What the caller should know.
    pub notes: Vec<String>,
    /// Meaning did not count.
    pub wordy: bool,
    /// Documents left out because they changed since they were indexed.
    pub stale: usize,
}

/// A document that may go into the pack.
struct Candidate<'a> {
    source: &'a Source,
    root: usize,
    row: FileRow,
    chunks: Vec<ChunkRow>,
    best: usize,
    further: Vec<usize>,
    /// Entry and slot of the passage that was found; `NONE` where none was.
    found: (u32, u32),
    worth: f32,
    score: f32,
    why: Why,
    /// Steps in the order in which they may be taken.
    takes: Vec<Take>,
    texts: HashMap<usize, String>,
    /// Its language, where forms of one are sought.
    language: Option<Language>,
    /// Documents whose best passages say nothing that its own does not.
    twins: Vec<LeftOut>,
}

/// What is taken of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Take {
    /// The best lines of its best passage.
    Excerpt,
    /// These passages.
    Passages(BTreeSet<usize>),
    /// The declaration of its n-th definition.
    Signature(usize),
}

impl Index {
    /// Packs what to read for a question; `cost` says what a piece costs as it is shown.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn pack(&self, args: &PackArgs, cost: &dyn Fn(&Piece) -> usize) -> Result<Pack> {
        self.read_db(|db| {
            let current = self.current(db::generation(db)?)?;
            let top = (args.budget / CANDIDATE_COST).clamp(CANDIDATES_MIN, CANDIDATES_MAX);
            let answer = self.answer(db, &current, &args.search, top)?;
            let found = &answer.found;
            let mut pack = Pack {
                total: found.total,
                generation: found.generation,
                notes: found.notes.clone(),
                wordy: found.wordy,
                ..Pack::default()
            };
            let roots = roots(&answer.sources, self.reach());
            let files = answer.ranking.hits.iter().map(|scored| scored.entry as usize);
            ask_roots(db, &roots, files.map(|at| current.view.entries[at].file))?;
            let packer =
                Packer { db, current: &current, roots: &roots, forms: &answer.forms, cost };
            let mut twins = HashSet::new();
            let mut candidates = packer.candidates(&answer, &mut pack, &mut twins)?;
            if let Some(dense) = self.dense(db, &current.view, &mut Found::default())? {
                diversify(&mut candidates, &dense);
            }
            // What must or must not be there was not looked for in what others lead to.
            if answer.plain {
                packer.follow(&answer, &twins, &mut candidates)?;
            }
            packer.fill(candidates, args.budget, &mut pack);
            if pack.stale > 0 {
                pack.notes.push(format!(
                    "{} documents were left out: their files changed since they were indexed",
                    pack.stale
                ));
            }
            Ok(pack)
        })
    }
}

/// Lets candidates that are like better ones be worth what later ones are.
fn diversify(candidates: &mut [Candidate], dense: &Dense) {
    let n = candidates.len().min(ORDERED);
    let first = &mut candidates[..n];
    let rows: Vec<Option<u32>> =
        first.iter().map(|one| dense.row_of(one.found.0, one.found.1)).collect();
    // Without the bonus for a name, before which all others would be alike.
    let score = |one: &Candidate| one.score.min(1.0);
    let top = first.iter().map(score).fold(f32::MIN_POSITIVE, f32::max);
    let relevant: Vec<f32> = first.iter().map(|one| score(one) / top).collect();
    let worth: Vec<f32> = first.iter().map(|one| one.worth).collect();
    let order = plan::diverse(&relevant, RELEVANCE, |a, b| match (rows[a], rows[b]) {
        (Some(a), Some(b)) => ((dense.between(a, b) - ALIKE) / (1.0 - ALIKE)).max(0.0),
        _ => 0.0,
    });
    for (worth, at) in worth.into_iter().zip(order) {
        first[at].worth = worth;
    }
}

struct Packer<'a> {
    db: &'a Connection,
    current: &'a Current,
    roots: &'a [(&'a Source, Root<'a>)],
    forms: &'a [String],
    cost: &'a dyn Fn(&Piece) -> usize,
}

impl<'a> Packer<'a> {
    /// What the search found, without what says nothing that a better one does not.
    fn candidates(
        &self,
        answer: &Answer,
        pack: &mut Pack,
        twins: &mut HashSet<u32>,
    ) -> Result<Vec<Candidate<'a>>> {
        let ranking = &answer.ranking;
        let mut out: Vec<Candidate> = Vec::new();
        let mut said: Vec<HashSet<String>> = Vec::new();
        for (scored, others) in ranking.hits.iter().zip(&ranking.others) {
            let entry = self.view().entries[scored.entry as usize];
            let row = db::file(self.db, entry.file)?;
            let Some(row) = row.filter(|row| row.generation == entry.generation) else {
                pack.stale += 1;
                continue;
            };
            if row.chunks.is_empty() {
                pack.left_out.extend(self.textless(&row));
                continue;
            }
            let worth = 1.0 / (out.len() as f32 + 1.0).powf(FALL);
            let Some(mut candidate) = self.candidate(row, worth)? else { continue };
            candidate.score = scored.score;
            candidate.found = (scored.entry, scored.slot);
            if scored.slot != NONE {
                candidate.best = self.view().address(scored.slot).1 as usize;
            }
            candidate.further = self.further(&candidate, scored, others);
            if !self.roots[candidate.root].1.answers() {
                pack.left_out.push(candidate.left_out(SILENT.to_owned()));
                continue;
            }
            let best = candidate.best;
            if !self.read(&mut candidate, &[best])? {
                pack.stale += 1;
                continue;
            }
            let lines = lines_of(&candidate.texts[&best]);
            let holds_all = |known: &HashSet<String>| !lines.is_empty() && lines.is_subset(known);
            let better = said.iter().position(holds_all);
            if let Some(better) = better.and_then(|at| out.get_mut(at)) {
                let why = format!("says the same as {}/{}", better.source.name, better.row.path);
                better.twins.push(candidate.left_out(why));
                twins.insert(entry.file);
                continue;
            }
            self.steps(&mut candidate, out.len() < DEEP)?;
            said.push(lines);
            out.push(candidate);
        }
        Ok(out)
    }

    fn view(&self) -> &'a View {
        &self.current.view
    }

    /// A document that is findable by its name only, as one that is left out.
    fn textless(&self, row: &FileRow) -> Option<LeftOut> {
        let (source, _) = self.roots.iter().find(|(source, _)| source.id == row.source)?;
        let (source, path) = (source.name.clone(), row.path.clone());
        Some(LeftOut { source, path, lines: (1, 1), why: "has no text".to_owned() })
    }

    /// A document with a text, if its source is still there.
    fn candidate(&self, row: FileRow, worth: f32) -> Result<Option<Candidate<'a>>> {
        let root = self.roots.iter().position(|(source, _)| source.id == row.source);
        let Some(root) = root.filter(|_| !row.chunks.is_empty()) else { return Ok(None) };
        let language = sought(self.db, row.id, self.forms)?.language;
        Ok(Some(Candidate {
            source: self.roots[root].0,
            root,
            chunks: row.chunks.iter().collect(),
            row,
            best: 0,
            further: Vec::new(),
            found: (NONE, NONE),
            worth,
            score: 0.0,
            why: Why::Found,
            takes: Vec::new(),
            texts: HashMap::new(),
            language,
            twins: Vec::new(),
        }))
    }

    /// Further passages of a document that hold words of the query.
    fn further(&self, of: &Candidate, scored: &Scored, others: &[Scored]) -> Vec<usize> {
        let enough = others.iter().filter(|other| other.passage >= scored.passage / 2.0);
        let numbers = enough.map(|other| self.view().address(other.slot).1 as usize);
        numbers.filter(|n| *n != of.best && *n < of.chunks.len()).take(FURTHER_MAX).collect()
    }

    /// Reads passages; false if one of them is no longer what was indexed.
    fn read(&self, of: &mut Candidate, numbers: &[usize]) -> Result<bool> {
        for number in numbers {
            if of.texts.contains_key(number) {
                continue;
            }
            let Some(chunk) = of.chunks.get(*number) else { return Ok(false) };
            let root = &self.roots[of.root].1;
            match passage_text(self.db, root, of.source, &of.row, chunk) {
                Ok(Some(text)) => of.texts.insert(*number, text),
                Ok(None) | Err(Error::Unreadable { .. }) => return Ok(false),
                Err(other) => return Err(other),
            };
        }
        Ok(true)
    }

    /// What may be taken of a document that was found.
    fn steps(&self, of: &mut Candidate, deep: bool) -> Result<()> {
        if of.texts[&of.best].len() > SHORT_BYTES_MAX {
            of.takes.push(Take::Excerpt);
        }
        let mut taken = BTreeSet::from([of.best]);
        of.takes.push(Take::Passages(taken.clone()));
        if !deep {
            return Ok(());
        }
        let section: Vec<usize> = of.section().collect();
        if section.len() > 1 && self.read(of, &section)? {
            taken.extend(section);
            of.takes.push(Take::Passages(taken.clone()));
        }
        for number in of.further.clone() {
            if !taken.contains(&number) && self.read(of, &[number])? {
                taken.insert(number);
                of.takes.push(Take::Passages(taken.clone()));
            }
        }
        Ok(())
    }

    /// Adds what the best passages lead to; what was found itself is worth more by it.
    fn follow(
        &self,
        answer: &Answer,
        twins: &HashSet<u32>,
        all: &mut Vec<Candidate<'a>>,
    ) -> Result<()> {
        for at in 0..all.len().min(FOLLOWED) {
            let mut led = self.linked(&all[at])?;
            led.extend(self.used(&all[at])?);
            let worth = LED_WORTH * all[at].worth / led.len().max(1) as f32;
            for (file, symbol) in led.into_iter().take(LED_MAX) {
                if let Some(known) = all.iter_mut().find(|known| known.row.id == file) {
                    known.worth += if known.why == Why::Found { worth } else { 0.0 };
                    continue;
                }
                let entry = self.view().entry(file);
                let visible = |at: &u32| answer.allowed.as_ref().is_none_or(|a| a[*at as usize]);
                let Some(entry) = entry.filter(visible).filter(|_| !twins.contains(&file)) else {
                    continue;
                };
                let generation = self.view().entries[entry as usize].generation;
                let row = db::file(self.db, file)?.filter(|row| row.generation == generation);
                let next = row.map(|row| self.candidate(row, worth)).transpose()?.flatten();
                let Some(mut next) = next else { continue };
                next.why = if symbol.is_some() { Why::Defined } else { Why::Linked };
                // A declaration is proven by the passage that it stands in.
                let first = symbol.map_or(0, |n| next.chunk_at(next.row.body.symbols[n].lines.0));
                next.best = first;
                if !self.read(&mut next, &[first])? {
                    continue;
                }
                let short = next.texts[&first].len() <= SHORT_BYTES_MAX;
                next.takes.push(match symbol {
                    Some(n) => Take::Signature(n),
                    None if short => Take::Passages(BTreeSet::from([first])),
                    None => Take::Excerpt,
                });
                all.push(next);
            }
        }
        Ok(())
    }

    /// The documents that links in a document's best passage mean.
    fn linked(&self, from: &Candidate) -> Result<Vec<(u32, Option<usize>)>> {
        let chunk = &from.chunks[from.best];
        let mut out = Vec::new();
        for link in db::links_of(self.db, from.row.id)? {
            if (chunk.first..=chunk.last).contains(&link.link.line)
                && let Some(to) =
                    graph::resolve(self.db, from.row.source, &from.row.path, &link.link)?
                && to != from.row.id
                && !out.contains(&(to, None))
            {
                out.push((to, None));
            }
        }
        Ok(out)
    }

    /// The definitions, one of a name in the source, of names that code uses.
    fn used(&self, from: &Candidate) -> Result<Vec<(u32, Option<usize>)>> {
        let mut out = Vec::new();
        if from.row.body.symbols.is_empty() {
            return Ok(out);
        }
        let mut seen = HashSet::new();
        for name in identifiers(&from.texts[&from.best]) {
            if out.len() == LED_MAX || seen.len() == 40 {
                break;
            }
            if !seen.insert(name) || from.row.body.symbols.iter().any(|s| s.name == name) {
                continue;
            }
            let mut files = Vec::new();
            let key = crate::token::name_key(name);
            self.view().exact(&format!("d:{key}"), |_, entry| {
                files.push(self.view().entries[entry as usize].file);
            })?;
            if let [file] = files[..]
                && let Some(row) = db::file(self.db, file)?
                && row.source == from.row.source
                && let Some(n) = row.body.symbols.iter().position(|s| s.name == name)
            {
                out.push((file, Some(n)));
            }
        }
        Ok(out)
    }

    /// Chooses, and writes the pieces down.
    fn fill(&self, candidates: Vec<Candidate>, budget: usize, pack: &mut Pack) {
        let offers: Vec<Offer> = candidates.iter().map(|c| self.offer(c)).collect();
        let taken = plan::choose(&offers, budget);
        for (candidate, n_steps) in candidates.iter().zip(taken) {
            match n_steps.checked_sub(1) {
                Some(last) => {
                    pack.pieces.extend(self.pieces(candidate, &candidate.takes[last]));
                    pack.left_out.extend(candidate.twins.iter().cloned());
                }
                None if candidate.why == Why::Found => {
                    // What a twin of it says is not in the pack either.
                    let twins = candidate.twins.iter().cloned();
                    let why = NO_ROOM.to_owned();
                    pack.left_out.push(candidate.left_out(why.clone()));
                    pack.left_out.extend(twins.map(|twin| LeftOut { why: why.clone(), ..twin }));
                }
                None => {}
            }
        }
        pack.left_out.truncate(LEFT_OUT_MAX);
    }

    fn offer(&self, of: &Candidate) -> Offer {
        let mut before = 0;
        let steps = of.takes.iter().enumerate().map(|(at, take)| {
            let pieces = self.pieces(of, take);
            let cost: usize = pieces.iter().map(|piece| (self.cost)(piece)).sum();
            // What is longer for less is no step at all.
            before = cost.max(before);
            Step { gain: of.gain(at), cost: before }
        });
        Offer { steps: steps.collect(), worth: of.worth }
    }

    fn pieces(&self, of: &Candidate, take: &Take) -> Vec<Piece> {
        match take {
            Take::Signature(n) => {
                let symbol = &of.row.body.symbols[*n];
                let mut piece = of.piece(of.best, symbol.lines, symbol.signature.clone());
                piece.symbol = Some(symbol.name.clone());
                vec![Piece { extent: Extent::Signature, heading: None, ..piece }]
            }
            Take::Excerpt => {
                let chunk = &of.chunks[of.best];
                let text = &of.texts[&of.best];
                let sought = Sought { forms: self.forms, language: of.language };
                let found = snippet(text, chunk.first, sought, EXCERPT_BYTES_MAX);
                let last = found.first + found.text.matches('\n').count() as u32;
                let symbols = &of.row.body.symbols;
                let symbol = symbol::around(symbols, &found.text, found.first, &found.marks);
                let symbol = symbol.map(|symbol| symbol.name.clone());
                let mut piece = of.piece(of.best, (found.first, last), found.text);
                if !symbols.is_empty() && !found.marks.is_empty() {
                    piece.symbol = symbol;
                }
                vec![Piece { extent: Extent::Excerpt, ..piece }]
            }
            Take::Passages(numbers) => of.runs(numbers),
        }
    }
}

impl Candidate<'_> {
    /// Share of its worth that a step adds.
    fn gain(&self, at: usize) -> f32 {
        let first = if self.takes[0] == Take::Excerpt { 1 } else { 0 };
        match (at, &self.takes[at]) {
            (_, Take::Excerpt) => EXCERPT_GAIN,
            (_, Take::Signature(_)) => 1.0,
            (at, Take::Passages(_)) if at == first && first == 0 => EXCERPT_GAIN + PASSAGE_GAIN,
            (at, Take::Passages(_)) if at == first => PASSAGE_GAIN,
            (at, Take::Passages(_)) if at == first + 1 => SECTION_GAIN,
            _ => FURTHER_GAIN,
        }
    }

    /// The passages of the smallest section or definition around the best one that is more than it.
    fn section(&self) -> impl Iterator<Item = usize> + use<> {
        let best = &self.chunks[self.best];
        let (start, end) = (best.start as usize, best.end as usize);
        let headings = self.row.body.sections.iter().map(|s| s.bytes.clone());
        let symbols = self.row.body.symbols.iter().map(|s| s.bytes.clone());
        let whole = 0..self.chunks.last().map_or(0, |last| last.end as usize);
        let around = headings.chain(symbols).chain(std::iter::once(whole)).filter(|bytes| {
            let overlaps = bytes.start < end && start < bytes.end;
            overlaps && bytes.len() > end - start && bytes.len() <= SECTION_BYTES_MAX
        });
        let bytes = around.min_by_key(std::ops::Range::len).unwrap_or(0..0);
        let inside = |chunk: &ChunkRow| {
            (chunk.start as usize) < bytes.end && bytes.start < chunk.end as usize
        };
        let first = self.chunks.iter().position(inside).unwrap_or(0);
        let n = self.chunks[first..].iter().take_while(|chunk| inside(chunk)).count();
        first..first + n
    }

    /// The passage that a line stands in.
    fn chunk_at(&self, line: u32) -> usize {
        self.chunks.partition_point(|chunk| chunk.first <= line).saturating_sub(1)
    }

    /// Passages that stand together as one piece each.
    fn runs(&self, numbers: &BTreeSet<usize>) -> Vec<Piece> {
        let mut out: Vec<Piece> = Vec::new();
        let mut last = None;
        for number in numbers {
            let (chunk, text) = (&self.chunks[*number], &self.texts[number]);
            match out.last_mut().filter(|_| last == number.checked_sub(1) && last.is_some()) {
                Some(run) => {
                    run.text.push_str(text);
                    run.lines.1 = chunk.last;
                    run.extent = Extent::Section;
                }
                None => out.push(self.piece(*number, (chunk.first, chunk.last), text.clone())),
            }
            last = Some(*number);
        }
        for piece in &mut out {
            piece.uri = uri(self.source, &self.row, Some(piece.lines));
        }
        out
    }

    fn piece(&self, number: usize, lines: (u32, u32), text: String) -> Piece {
        let chunk = &self.chunks[number];
        Piece {
            id: id_of(self.row.id, number as u32, Some(chunk)),
            uri: uri(self.source, &self.row, Some(lines)),
            source: self.source.name.clone(),
            path: self.row.path.clone(),
            title: self.row.title.clone(),
            kind: self.row.kind.clone(),
            heading: chunk.heading.clone(),
            symbol: chunk.symbol.clone(),
            lines,
            extent: Extent::Passage,
            why: self.why,
            score: self.score,
            text,
        }
    }

    fn left_out(&self, why: String) -> LeftOut {
        let chunk = &self.chunks[self.best];
        LeftOut {
            source: self.source.name.clone(),
            path: self.row.path.clone(),
            lines: (chunk.first, chunk.last),
            why,
        }
    }
}

/// The lines of a passage on which something stands. One that differs in a single line says
/// something else: notes of one template share most of theirs.
fn lines_of(text: &str) -> HashSet<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Names in code that may be defined elsewhere: not keywords, which are short and lower-case.
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| {
        let named = word.contains('_') || word.chars().any(char::is_uppercase);
        word.len() > 3 && named && !word.starts_with(|c: char| c.is_ascii_digit())
    })
}
