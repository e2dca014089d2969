//! One search: query, filters, ranking, and hits whose text is proven to stand at its lines.

use crate::compound::{self, quote_list};
use crate::db::{self, FileRow, Source};
use crate::dense::Dense;
use crate::error::{Error, Result};
use crate::filter::{self, Filters};
use crate::fuse::Meaning;
use crate::hit::{ask_roots, hit, roots, row_of};
use crate::language::Language;
use crate::limit::{HITS_MAX, QUERY_TERMS_MAX, WORDINGS_MAX};
use crate::meaning::Way;
use crate::outcome::{empty, note_outcome};
use crate::query::{self, Leaf, Query};
use crate::rank::{Ranking, Scored};
use crate::token::native_of;
use crate::trace;
use crate::twin::Twins;
use crate::view::View;
use crate::{Current, Index, lock};
use rusqlite::Connection;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How much of a hit is quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Where it is.
    Names,
    /// The best line.
    Line,
    /// The lines around the words.
    #[default]
    Passage,
}

/// Which evidence counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Words and meaning.
    #[default]
    Hybrid,
    /// Words alone.
    Lexical,
    /// Meaning; words only where a name is asked for, or where they must or must not be there.
    Semantic,
}

/// A search.
#[derive(Clone, Debug)]
pub struct SearchArgs {
    /// What to look for.
    pub query: String,
    /// Further wordings; the first query weighs double.
    pub also: Vec<String>,
    /// Hits of the page.
    pub limit: usize,
    /// Hits before the page.
    pub offset: usize,
    /// The generation that a cursor was made for.
    pub at_generation: Option<u64>,
    /// What may appear.
    pub filters: Filters,
    /// How much is quoted.
    pub detail: Detail,
    /// Which evidence counts.
    pub mode: Mode,
    /// Return contributions.
    pub explain: bool,
    /// Every document is a hit of its own; otherwise one hit names those that say the same.
    pub copies: bool,
}

/// Contributions to a hit's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explain {
    /// BM25F of the whole document over the list's best.
    pub document: f32,
    /// BM25F of the passage over the list's best.
    pub passage: f32,
    /// Nearness in meaning over the list's best; `None` where it did not count.
    pub meaning: Option<f32>,
    /// It defines, or is titled, what the query names.
    pub exact: bool,
}

/// A found passage.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Place in the ranking, from 0; where a page would have to start to begin with this hit.
    pub rank: usize,
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
    /// Innermost heading.
    pub heading: Option<String>,
    /// Definition in it or around it.
    pub symbol: Option<String>,
    /// First and last line of the snippet's passage, from 1.
    pub lines: (u32, u32),
    /// Score; comparable within one reply.
    pub score: f32,
    /// Quoted lines.
    pub snippet: String,
    /// Number of the snippet's first line.
    pub snippet_line: u32,
    /// Bytes of `snippet` that match.
    pub marks: Vec<Range<usize>>,
    /// Lines of further passages of the document that match.
    pub also: Vec<(u32, u32)>,
    /// Source and path of further documents that say the same and are no hits of their own.
    pub copies: Vec<(String, String)>,
    /// Modified, milliseconds since 1970.
    pub modified_ms: i64,
    /// Kind.
    pub kind: String,
    /// Its file changed since it was indexed; this is its text now.
    pub renewed: bool,
    /// The file system of its source does not answer: it is shown without its text.
    pub silent: bool,
    /// On request.
    pub explain: Option<Explain>,
}

/// The outcome of a search.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Documents that match.
    pub total: usize,
    /// The generation searched.
    pub generation: u64,
    /// What the caller should know.
    pub notes: Vec<String>,
    /// Offset of the next page, if there is one.
    pub next: Option<usize>,
    /// Hits left out because their file changed since it was indexed.
    pub stale: usize,
    /// Meaning was asked for and did not count.
    pub wordy: bool,
}

/// A ranking and what it was made with.
pub(crate) struct Answer {
    /// Its numbers and notes; no hits yet.
    pub found: Found,
    /// Documents, best first.
    pub ranking: Ranking,
    /// Forms of the query's words.
    pub forms: Vec<String>,
    /// What changed since may be shown as it is now.
    pub renew: bool,
    /// No word must be there, and none must not.
    pub plain: bool,
    /// All sources.
    pub sources: Vec<Source>,
    /// By entry: may it appear?
    pub allowed: Option<Arc<Vec<bool>>>,
}

/// Filter results of one generation; a page turn or a refined query asks the same again.
#[derive(Default)]
pub struct FilterCache {
    generation: u64,
    rows: HashMap<Filters, Arc<Vec<bool>>>,
}

/// Filters kept at once.
const FILTERS_CACHED: usize = 16;
/// Ranked documents beyond the page, so that stale hits and copies do not leave it short.
const SPARE: usize = 20;
/// Where copies do all the same, as many times more are ranked, once.
const MORE: usize = 8;
/// Ranked documents before the page of which none is shown again under another name.
const LOOKED_BACK: usize = 1_000;

/// A page of a ranking, as far as it is filled.
struct Page<'a> {
    db: &'a Connection,
    args: &'a SearchArgs,
    /// Documents of the ranking before it.
    offset: usize,
    /// The place of the ranking to be looked at next.
    at: usize,
    hits: Vec<Hit>,
    /// Hits left out because their file changed since it was indexed.
    stale: usize,
    twins: Twins<'a>,
    /// Up to here the ranking is on this page or before it.
    used: usize,
    /// Documents that say the same as a hit of an earlier page.
    n_earlier: usize,
}

impl<'a> Page<'a> {
    fn new(db: &'a Connection, view: &'a View, args: &'a SearchArgs, offset: usize) -> Self {
        let at = if args.copies { offset } else { offset.saturating_sub(LOOKED_BACK) };
        let (twins, hits) = (Twins::new(db, view), Vec::new());
        Page { db, args, offset, at, hits, stale: 0, twins, used: offset, n_earlier: 0 }
    }
}

/// What every step of a ranking is asked with.
#[derive(Clone, Copy)]
struct Ask<'a> {
    current: &'a Current,
    args: &'a SearchArgs,
    /// By entry: may it appear? `None` means all.
    allowed: Option<&'a [bool]>,
    /// Documents wanted.
    top: usize,
}

impl Index {
    /// Searches.
    ///
    /// # Errors
    /// `Argument` for limits and filters out of their bounds; queries themselves never fail.
    pub fn search(&self, args: &SearchArgs) -> Result<Found> {
        if args.limit == 0 || args.limit > HITS_MAX {
            return Err(Error::Argument(format!(
                "`limit` is {}, it goes from 1 to {HITS_MAX}; ask for fewer and pass `cursor` \
                 for the next page",
                args.limit
            )));
        }
        self.read_db(|db| {
            let current = self.current(db::generation(db)?)?;
            self.search_in(db, &current, args)
        })
    }

    /// Parses, filters and ranks: what a page of hits and a pack are made of.
    pub(crate) fn answer(
        &self,
        db: &Connection,
        current: &Current,
        args: &SearchArgs,
        top: usize,
    ) -> Result<Answer> {
        if args.also.len() > WORDINGS_MAX {
            return Err(Error::Argument(format!(
                "`also` has {} wordings, the most is {WORDINGS_MAX}; leave some of them out",
                args.also.len()
            )));
        }
        let view = &current.view;
        let mut query = parse_all(&db::languages(db)?, &args.query, &args.also);
        let mut found = Found { generation: view.generation, ..Found::default() };
        let sources = db::sources(db)?;
        let filters = filter::merge(&args.filters, &mut query, &sources);
        let rows = self.allowed(db, view, &filters, &sources)?;
        let allowed = rows.as_ref().map(|rows| rows.as_slice());
        let ask = Ask { current, args, allowed, top };
        let mut ranking = self.ranked(db, ask, &mut query, &mut found)?;
        trace::lead(db, view, &query.frames, allowed, &mut ranking)?;
        found.total = ranking.matched;
        let forms = query::forms(&query);
        let plain = query.required.is_empty() && query.excluded.is_empty();
        // A text that is newer than the index was not held against what must and must not be.
        let renew = plain && filters == Filters::default();
        found.notes.append(&mut query.notes);
        found.notes.dedup();
        if view.entries.is_empty() {
            found.notes.push(empty(&sources).into());
        }
        Ok(Answer { found, ranking, forms, renew, plain, sources, allowed: rows })
    }

    fn search_in(&self, db: &Connection, current: &Current, args: &SearchArgs) -> Result<Found> {
        let anew = args.at_generation.is_some_and(|g| g != current.view.generation);
        let offset = if anew { 0 } else { args.offset };
        let top = offset + args.limit + SPARE;
        let mut answer = self.answer(db, current, args, top)?;
        let mut page = Page::new(db, &current.view, args, offset);
        self.fill(&mut page, current, &answer)?;
        // What is no longer what was indexed leaves a page short, as it always did.
        if page.hits.len() + page.stale < args.limit && page.used < answer.ranking.total {
            let wider = self.answer(db, current, args, top * MORE)?;
            // Graphs find others among more documents: then it is another page.
            let known = answer.ranking.hits.iter().take(page.at);
            if !known.eq(wider.ranking.hits.iter().take(page.at)) {
                page = Page::new(db, &current.view, args, offset);
            }
            answer = wider;
            self.fill(&mut page, current, &answer)?;
        }
        let mut found = std::mem::take(&mut answer.found);
        (found.hits, found.stale) = (page.hits, page.stale);
        if page.used < answer.ranking.total && page.used > offset {
            found.next = Some(page.used);
        }
        note_outcome(&mut found, offset, answer.allowed.is_none(), page.n_earlier);
        if anew {
            let note = "the index changed since the cursor was made; this is the first page again";
            found.notes.insert(0, note.into());
        }
        Ok(found)
    }

    /// Goes on with a page, up to its limit or the end of the ranking.
    fn fill(&self, page: &mut Page, current: &Current, answer: &Answer) -> Result<()> {
        let Answer { ranking, forms, renew, sources, .. } = answer;
        let (db, view, args) = (page.db, &current.view, page.args);
        let roots = roots(sources, self.reach());
        let waits = self.lacks_vectors();
        let next = ranking.hits.iter().skip(page.at.max(page.offset)).take(args.limit);
        ask_roots(db, &roots, next.map(|scored| view.entries[scored.entry as usize].file))?;
        while let Some(scored) = ranking.hits.get(page.at) {
            let at = page.at;
            let number = (at >= page.offset).then_some(page.hits.len());
            let row = row_of(db, view, scored, number)?;
            let twin = match row.as_ref().filter(|_| !args.copies) {
                Some(row) => page.twins.of(ranking, at, row)?,
                None => None,
            };
            // What says the same as a hit of a page belongs to it.
            if number.is_some() && page.hits.len() == args.limit && twin.is_none() {
                break;
            }
            page.at = at + 1;
            if number.is_none() {
                if let (Some(row), None) = (&row, twin) {
                    page.twins.show(ranking, at, row);
                }
                continue;
            }
            page.used = at + 1;
            if let Some((twin, row)) = twin.zip(row.as_ref()) {
                match page.hits.iter_mut().find(|hit| hit.rank == twin) {
                    Some(hit) => hit.copies.push(named(sources, row)),
                    None => page.n_earlier += 1,
                }
                continue;
            }
            if scored.meaning.is_none() && waits && args.mode != Mode::Lexical {
                self.asked_for(view.entries[scored.entry as usize].file);
            }
            let others = &ranking.others[at];
            let made = match &row {
                Some(row) => hit(db, view, &roots, row, scored, others, forms, *renew, args)?,
                None => None,
            };
            let (Some(hit), Some(row)) = (made, row) else {
                page.stale += 1;
                continue;
            };
            // Only a text that is shown stands for others.
            if !hit.renewed && !hit.silent {
                page.twins.show(ranking, at, &row);
            }
            page.hits.push(Hit { rank: at, ..hit });
        }
        Ok(())
    }

    /// By words, and by meaning where it is asked for and there is a model.
    fn ranked(
        &self,
        db: &Connection,
        ask: Ask,
        query: &mut Query,
        found: &mut Found,
    ) -> Result<Ranking> {
        let Ask { current, args, allowed, top } = ask;
        if query.is_wordless() {
            found.wordy = args.mode != Mode::Lexical && self.embedder().is_none();
            if let Some(allowed) = allowed {
                query.asks_for_something();
                return newest(db, &current.view, query, allowed, top);
            }
        }
        compound::replace(&current.view, query)?;
        let dense = match args.mode {
            Mode::Hybrid | Mode::Semantic if !query.is_wordless() => {
                self.dense(db, &current.view, found)?
            }
            _ => None,
        };
        if dense.is_some() && args.mode == Mode::Semantic {
            // Words stand together by chance, too: only a name counts beside what is meant.
            query.message = None;
        }
        let (ranking, mut meaning) = match &dense {
            Some(dense) => self.both(ask, query, dense, found),
            None => (self.rank(ask, query, None), None),
        };
        let (ranking, meaning) = (ranking?, meaning.as_mut());
        // Words that only the filter leaves nothing of are no misspelt ones.
        let nowhere = |ranking: &Ranking| ranking.matched == 0;
        if nowhere(&ranking)
            && !query.is_wordless()
            && (allowed.is_none()
                || nowhere(&self.rank(Ask { allowed: None, top: 1, ..ask }, query, None)?))
        {
            if let Some(loose) = self.unquoted(ask, query, dense.as_deref(), found)? {
                return Ok(loose);
            }
            let similar = self.fuzzy(ask, query, meaning)?;
            if similar.matched > 0 || ranking.total == 0 {
                return Ok(similar);
            }
        }
        Ok(ranking)
    }

    /// A quotation that stands nowhere as it is: its words may.
    fn unquoted(
        &self,
        ask: Ask,
        query: &mut Query,
        dense: Option<&Dense>,
        found: &mut Found,
    ) -> Result<Option<Ranking>> {
        let Some(text) = query::unquoted(&ask.args.query) else { return Ok(None) };
        let mut words = parse_all(&query.languages, &text, &ask.args.also);
        words.notes.clear();
        compound::replace(&ask.current.view, &mut words)?;
        let loose = match dense {
            Some(dense) => self.both(ask, &words, dense, found).0?,
            None => self.rank(ask, &words, None)?,
        };
        if loose.matched == 0 {
            return Ok(None);
        }
        let mut notes = std::mem::take(&mut query.notes);
        // The plain words of the query were replaced before, with the same note if no other was.
        words.notes.retain(|note| !notes.contains(note));
        notes.append(&mut words.notes);
        words.notes = notes;
        words.notes.push("nothing holds the quoted text; its words were searched".into());
        *query = words;
        Ok(Some(loose))
    }

    /// Words and meaning at once, on two threads, then one ranking.
    fn both<'d>(
        &self,
        ask: Ask,
        query: &Query,
        dense: &'d Dense,
        found: &mut Found,
    ) -> (Result<Ranking>, Option<Meaning<'d>>) {
        let way = Way::to(ask.top, query, ask.allowed);
        let (ranking, meaning) = self.by(way, ask, query, dense, found);
        let partial = meaning.as_ref().is_some_and(|meaning| meaning.near.is_partial());
        // Graphs name passages: all of them may be of a few documents.
        let short = |ranking: &Ranking| ranking.hits.len() < ask.top.min(dense.n_documents());
        if partial && ranking.as_ref().is_ok_and(short) {
            return self.by(way.thorough(), ask, query, dense, found);
        }
        (ranking, meaning)
    }

    /// The same by one way to find the nearest.
    fn by<'d>(
        &self,
        way: Way,
        ask: Ask,
        query: &Query,
        dense: &'d Dense,
        found: &mut Found,
    ) -> (Result<Ranking>, Option<Meaning<'d>>) {
        let Ask { current: Current { view, scorer }, args, allowed, top } = ask;
        let mut scratch = self.take_scratch();
        // The thread that is there embeds: it keeps the model's working memory.
        let (gathered, mut meaning) = std::thread::scope(|scope| {
            let words = scope.spawn(|| scorer.gather(view, query, &mut scratch));
            let meaning = self.meaning(dense, view, args, query, way, found);
            let gathered = words.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (gathered, meaning)
        });
        let near = meaning.as_mut();
        let ranking = scorer.finish(view, query, allowed, top, near, &mut scratch, gathered);
        self.give_scratch(scratch);
        (ranking, meaning)
    }

    fn rank(&self, ask: Ask, query: &Query, meaning: Option<&mut Meaning>) -> Result<Ranking> {
        let Ask { current: Current { view, scorer }, allowed, top, .. } = ask;
        let mut scratch = self.take_scratch();
        let ranking = scorer.rank(view, query, allowed, top, meaning, &mut scratch);
        self.give_scratch(scratch);
        ranking
    }

    /// Nothing matched: similar words are searched instead of those that stand nowhere, and a note
    /// says which.
    fn fuzzy(&self, ask: Ask, query: &mut Query, meaning: Option<&mut Meaning>) -> Result<Ranking> {
        let (mut tried, free) = (Vec::new(), query.free.clone());
        let mut similar = |leaf: &Leaf| -> Result<Option<Leaf>> {
            let Leaf::Word(forms) = leaf else { return Ok(Some(leaf.clone())) };
            if ask.current.view.holds(forms)? {
                return Ok(Some(leaf.clone()));
            }
            let similar = alike(&ask.current.view, forms)?;
            let Some(form) = forms.first().filter(|_| !similar.is_empty()) else {
                return Ok(None);
            };
            let meant =
                free.iter().find(|(known, _)| known == form).map_or(form, |(_, typed)| typed);
            tried.push(format!("`{meant}` as {}", quote_list(&similar, " or ")));
            Ok(Some(Leaf::Word(similar)))
        };
        let mut scored = Vec::new();
        for (leaf, weight) in &query.scored {
            scored.extend(similar(leaf)?.map(|leaf| (leaf, *weight)));
        }
        let mut required = Vec::new();
        for leaf in &query.required {
            // A required word that nothing is like cannot be there.
            let Some(leaf) = similar(leaf)? else { return Ok(Ranking::default()) };
            required.push(leaf);
        }
        if tried.is_empty() {
            return Ok(Ranking::default());
        }
        query.scored = scored;
        query.required = required;
        let ranking = self.rank(ask, query, meaning)?;
        if ranking.matched > 0 {
            query.notes.push(format!("nothing matched; searched {}", tried.join(", ")));
        }
        Ok(ranking)
    }

    /// By entry: may it appear? `None` means all.
    fn allowed(
        &self,
        db: &Connection,
        view: &View,
        filters: &Filters,
        sources: &[Source],
    ) -> Result<Option<Arc<Vec<bool>>>> {
        if *filters == Filters::default() {
            return Ok(None);
        }
        // A touched file has a new date in the same generation.
        let dated = filters.after_ms.is_some()
            || filters.before_ms.is_some()
            || (filters.with.iter().chain(&filters.without).chain(filters.one_of.iter().flatten()))
                .any(|(name, _)| matches!(name.as_str(), "after" | "before"));
        if dated {
            return Ok(Some(Arc::new(filter::evaluate(db, view, filters, sources)?)));
        }
        {
            let mut cache = lock(&self.filters);
            if cache.generation != view.generation || cache.rows.len() >= FILTERS_CACHED {
                cache.generation = view.generation;
                cache.rows.clear();
            }
            if let Some(rows) = cache.rows.get(filters) {
                return Ok(Some(Arc::clone(rows)));
            }
        }
        let rows = Arc::new(filter::evaluate(db, view, filters, sources)?);
        let mut cache = lock(&self.filters);
        // Another search may have moved the cache on to a newer view meanwhile.
        if cache.generation == view.generation {
            cache.rows.insert(filters.clone(), Arc::clone(&rows));
        }
        Ok(Some(rows))
    }
}

/// Words that differ in a letter or two from a word in these forms; its stems in other languages
/// are compared with such stems alone.
fn alike(view: &View, forms: &[String]) -> Result<Vec<String>> {
    let is_native = |form: &&String| native_of(form).is_some();
    let plain = forms.iter().rev().find(|form| !is_native(form));
    let mut out: Vec<String> = Vec::new();
    for form in plain.into_iter().chain(forms.iter().filter(is_native)) {
        let n_chars = native_of(form).unwrap_or(form).chars().count();
        if n_chars <= 3 {
            continue;
        }
        for similar in view.similar(form, if n_chars > 7 { 2 } else { 1 }, 4)? {
            if !out.contains(&similar) {
                out.push(similar);
            }
        }
    }
    Ok(out)
}

/// The names of a document and its source.
fn named(sources: &[Source], row: &FileRow) -> (String, String) {
    let source = sources.iter().find(|source| source.id == row.source);
    (source.map_or_else(String::new, |source| source.name.clone()), row.path.clone())
}

/// Sub-queries add their words and phrases at half the weight of the first one's. What only the
/// first one can say for all of them is left out of the others, with a note.
fn parse_all(languages: &[Language], text: &str, also: &[String]) -> Query {
    let mut query = query::parse(text);
    let mut left_out = false;
    for other in also {
        let other = query::parse(other);
        let is_filtered = !other.filters.is_empty() || !other.one_of.is_empty();
        left_out |= is_filtered || !other.excluded.is_empty();
        query.free.extend(other.free);
        let phrases = other.required.into_iter().map(|leaf| (leaf, 1.0));
        for (leaf, weight) in other.scored.into_iter().chain(phrases) {
            let is_full = query.scored.len() >= 2 * QUERY_TERMS_MAX;
            match query.scored.iter_mut().find(|(known, _)| *known == leaf) {
                Some(row) => row.1 += weight / 2.0,
                // Each is compared with all of them.
                None if is_full => {}
                None => query.scored.push((leaf, weight / 2.0)),
            }
        }
    }
    if left_out {
        query.notes.push("filters and excluded words count only in `query`, not in `also`".into());
    }
    if !query.is_wordless() {
        query.asks_for_something();
    }
    query.speak(languages);
    query
}

/// What filters alone ask for: every document that they let through, the newest first.
fn newest(
    db: &Connection,
    view: &View,
    query: &Query,
    allowed: &[bool],
    top: usize,
) -> Result<Ranking> {
    let mut excluded = vec![false; view.entries.len()];
    for leaf in &query.excluded {
        for part in crate::lexical::PARTS {
            let mark = |posting: crate::view::Posting| excluded[posting.entry as usize] = true;
            crate::score::each_posting(view, leaf, part, mark)?;
        }
    }
    let mut found: Vec<(i64, u32, u32)> = Vec::new();
    db::filter_rows(db, |row| {
        let entry = view.entry(row.id).filter(|e| allowed[*e as usize] && !excluded[*e as usize]);
        found.extend(entry.map(|entry| (-row.modified_ms, row.id, entry)));
    })?;
    found.sort_unstable();
    let total = found.len();
    found.truncate(top);
    let hits: Vec<Scored> = found.into_iter().map(|(.., entry)| Scored::unscored(entry)).collect();
    let others = vec![Vec::new(); hits.len()];
    Ok(Ranking { others, hits, total, matched: total })
}
