//! Embedding in the background: which passages wait, and what is done with their vectors.
//!
//! The queue is what the database lacks, so it survives any crash ([`crate::queue`]). A passage is
//! embedded with the header it stands under; what has been embedded once, in whatever source, never
//! is again.
//! Invariant: vectors are safe in their files before the database names them.

use crate::db::{self, FileRow, Source, Space};
use crate::disk;
use crate::error::{Error, Result};
use crate::fit::MadeFor;
use crate::queue::{Queue, TRIES};
use crate::space::alike;
use crate::update::{self, Updater};
use crate::vector;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Documents looked at together.
const DOCUMENTS: usize = 64;
/// How long documents are read before others have their turn.
const PREPARING: Duration = Duration::from_millis(100);
/// Passages that are embedded between two looks at what else there is to do.
const STEP: usize = 16;

/// Makes vectors of texts: an engine or a service, injected where things are wired.
pub trait Embedder: Send + Sync {
    /// Name of its space: two embedders with one name give vectors that may be compared.
    fn space(&self) -> &str;

    /// What older programs call that space, which tell less apart; the name of today begins with
    /// it. `None` where they call it the same.
    fn old_name(&self) -> Option<&str> {
        None
    }

    /// Whether its space has this name, or has it with older programs.
    fn is_called(&self, name: &str) -> bool {
        self.space() == name || self.old_name() == Some(name)
    }

    /// Its vector of a text that is always the same, where the name of its space may be that of
    /// another model too ([`Index::space_for`](crate::Index::space_for)); kept with the space.
    fn probe(&self) -> Option<&[f32]> {
        None
    }

    /// How it is opened again, in whatever form whoever opens it understands; kept with its space.
    fn recipe(&self) -> String {
        String::new()
    }

    /// Values of a vector.
    fn dimensions(&self) -> usize;

    /// Passages that it is given at once, in the background; others wait for the step between.
    fn at_once(&self) -> usize {
        STEP
    }

    /// Where texts go to be embedded, as people call it.
    fn place(&self) -> String {
        "this process".to_owned()
    }

    /// Whether passages of a collection may be given to it; those of others have no vector.
    fn takes(&self, _collection: &str) -> bool {
        true
    }

    /// Gives back what it works with where nobody asked it for a while and nobody is asking; true
    /// if it did. It works as before: whoever asks next waits until it has that again.
    fn rest(&self) -> bool {
        false
    }

    /// Whether it found, when it was asked, that another model took the place of its own, which is
    /// gone. Said once; who opened it opens it anew.
    fn take_changed(&self) -> bool {
        false
    }

    /// The languages that its model was made for; `None` where that is not known.
    fn made_for(&self) -> Option<MadeFor> {
        None
    }

    /// One vector of length 1 for each passage, with its header.
    ///
    /// # Errors
    /// In words, when the model fails.
    fn passages(&self, texts: &[String]) -> std::result::Result<Vec<Vec<f32>>, String>;

    /// The vector of a query.
    ///
    /// # Errors
    /// As above.
    fn query(&self, text: &str) -> std::result::Result<Vec<f32>, String>;
}

/// What was prepared and is not embedded yet; kept between two steps.
#[derive(Default)]
pub struct Work {
    /// The space that it was prepared for.
    space: i64,
    /// The sources whose passages its embedder was given then.
    taken: Vec<i64>,
    documents: Vec<Prepared>,
    queue: Queue,
    /// Texts without a vector, by key.
    texts: Vec<(db::Key, String)>,
    /// What the model refuses to embed: its document waits for the next scan.
    refused: HashSet<db::Key>,
    /// Passages embedded since it began, and when that was.
    began: Option<(Instant, u64)>,
    /// Passages that waited when the documents were taken up.
    waiting: u64,
}

struct Prepared {
    file: u32,
    generation: u64,
    n_passages: u32,
    keys: Vec<db::Key>,
}

/// How far embedding is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Passages that wait.
    pub waiting: u64,
    /// Passages that cannot be embedded as things are: files that cannot be read as they were
    /// indexed, texts that the model refuses.
    pub left: u64,
    /// Passages embedded each second, lately.
    pub rate: f32,
}

impl Work {
    /// What could not be read may be readable now.
    pub fn retry(&mut self) {
        self.queue.retry();
        self.refused.clear();
    }
}

impl Updater {
    /// Embeds a few passages on this thread. Returns how far it is; nothing waits when it is done.
    ///
    /// # Errors
    /// `Embedding` when the model fails; what waited waits on.
    pub fn embed(&mut self, embedder: &dyn Embedder, work: &mut Work) -> Result<Coverage> {
        let made = self.batch(embedder, work)?.run(embedder)?;
        self.embedded(embedder, work, made)
    }

    /// What is to be embedded next, on whatever thread there is; then [`Updater::embedded`].
    ///
    /// # Errors
    /// `Sql`; `Embedding` for an embedder that is not what it was.
    pub fn batch(&mut self, embedder: &dyn Embedder, work: &mut Work) -> Result<Batch> {
        let space = self.space(embedder)?;
        let taken = self.taken(embedder)?;
        // What was prepared of a source that it is no longer given must not reach it.
        if work.space != space.id || work.taken != taken {
            *work = Work { space: space.id, taken, ..Work::default() };
        }
        if work.documents.is_empty() {
            let prepared = self.prepare(&space, work);
            prepared.inspect_err(|_| *work = Work::default())?;
        }
        work.began.get_or_insert_with(|| (Instant::now(), 0));
        // Taken from the queue only once their vectors are safe.
        let now = work.texts.len().min(embedder.at_once().clamp(1, STEP));
        let (keys, texts) = work.texts[..now].iter().cloned().unzip();
        Ok(Batch { space: space.id, keys, texts })
    }

    /// Keeps what became of a batch, the last one that was taken. Returns how far it is; nothing
    /// waits when it is done.
    ///
    /// # Errors
    /// `Sql`, `Data`; what waited waits on.
    pub fn embedded(
        &mut self,
        embedder: &dyn Embedder,
        work: &mut Work,
        made: Made,
    ) -> Result<Coverage> {
        let space = self.space(embedder)?;
        if work.space != space.id || made.space != space.id {
            // The space went away while it was filled, and is begun anew.
            *work = Work::default();
            return Ok(Coverage { waiting: 1, ..Coverage::default() });
        }
        let idle = work.documents.is_empty();
        let (began, n_done) = work.began.get_or_insert_with(|| (Instant::now(), 0));
        let now = made.n_texts;
        if now > 0 {
            let (keys, vectors): (Vec<db::Key>, Vec<Vec<f32>>) = made.vectors.into_iter().unzip();
            self.add_vectors(&space, &keys, &vectors)?;
            work.refused.extend(made.refused);
            work.texts.drain(..now);
            *n_done += now as u64;
            work.waiting = work.waiting.saturating_sub(now as u64);
        }
        let rate = *n_done as f32 / began.elapsed().as_secs_f32().max(0.001);
        if !work.texts.is_empty() {
            return Ok(Coverage { waiting: work.waiting.max(1), left: 0, rate });
        }
        // What was taken from the line and did not get through is found in the database again.
        self.finish(&space, work).inspect_err(|_| *work = Work::default())?;
        let sources = self.taken(embedder)?;
        work.queue.follow(self.db(), space.id, &sources)?;
        let (in_line, aside) = work.queue.waiting();
        // Nothing that waits can be read as it was indexed: the next scan will tell.
        let stuck = idle && work.queue.is_empty();
        work.waiting = in_line + aside;
        if work.waiting == 0 || stuck {
            work.began = None;
            // What cannot be embedded now must not keep the rest from being used.
            let some = work.waiting == 0 || space.n_rows > 0;
            if some && !sources.is_empty() {
                self.filled(&space)?;
            }
        }
        let (waiting, left) = if stuck { (0, work.waiting) } else { (work.waiting, 0) };
        Ok(Coverage { waiting, left, rate })
    }

    /// The sources whose passages may be given to an embedder.
    fn taken(&self, embedder: &dyn Embedder) -> Result<Vec<i64>> {
        let sources = self.sources()?.into_iter();
        Ok(sources.filter(|s| embedder.takes(&s.collection)).map(|s| s.id).collect())
    }

    fn space(&mut self, embedder: &dyn Embedder) -> Result<Space> {
        let (name, dimensions) = (embedder.space(), embedder.dimensions());
        let recipe = embedder.recipe();
        // Also those of models that only answer: the next one may have other files beside its
        // weights.
        for known in self.index().embedders() {
            self.adopt(&*known)?;
        }
        self.adopt(embedder)?;
        let known = match db::space(self.db(), name)? {
            Some(known) => known,
            None => {
                db::add_space(self.db(), name, dimensions)?;
                let added = db::space(self.db(), name)?;
                added.ok_or_else(|| Error::Row(format!("no space `{name}`")))?
            }
        };
        if known.dimensions != dimensions {
            let text = format!("`{name}` gave vectors of another dimension before");
            return Err(Error::Embedding(text));
        }
        if known.recipe != recipe {
            db::set_recipe(self.db(), known.id, &recipe)?;
        }
        if let Some(probe) = embedder.probe() {
            self.keep_probe(&known, probe)?;
        }
        self.first(known.id)?;
        Ok(known)
    }

    /// Refuses another model than the one that filled a space.
    fn keep_probe(&self, space: &Space, probe: &[f32]) -> Result<()> {
        match db::probe(self.db(), space.id)? {
            None => db::set_probe(self.db(), space.id, probe),
            Some(known) if alike(&known, probe) => Ok(()),
            Some(_) => {
                let text = format!("another model filled `{}` before", space.name);
                Err(Error::Embedding(text))
            }
        }
    }

    /// Reads the documents that wait next and finds which of their texts have no vector.
    fn prepare(&self, space: &Space, work: &mut Work) -> Result<()> {
        let sources = self.sources()?;
        let taken = work.taken.clone();
        work.queue.follow(self.db(), space.id, &taken)?;
        // What people look for comes first, then what they worked on last.
        let mut first = self.index().most_asked(DOCUMENTS / 4).into_iter();
        let (mut looked_at, mut asked) = (HashSet::new(), HashSet::new());
        let began = Instant::now();
        let in_time = |n: usize| n == 0 || n < TRIES && began.elapsed() < PREPARING;
        while work.documents.len() < DOCUMENTS && in_time(looked_at.len()) {
            let Some(id) = first.next().or_else(|| work.queue.take()) else { break };
            // What people look for stands in the line, too.
            let waits = looked_at.insert(id).then(|| db::waits(self.db(), space.id, id, &taken));
            let Some((source, n_passages)) = waits.transpose()?.flatten() else { continue };
            let Some(row) = db::file_of_hit(self.db(), id)? else { continue };
            if work.queue.is_aside(id, row.generation) {
                continue;
            }
            let source = sources.iter().find(|known| known.id == source);
            let inputs = source.and_then(|source| self.inputs(source, &row));
            let Some(inputs) = inputs else {
                work.queue.put_aside(id, row.generation, n_passages);
                continue;
            };
            let mut keys = Vec::new();
            for text in inputs {
                let key = disk::hash(text.as_bytes());
                keys.push(key);
                let known = work.refused.contains(&key) || !asked.insert(key);
                if !known && db::vector(self.db(), space.id, &key)?.is_none() {
                    work.texts.push((key, text));
                }
            }
            let generation = row.generation;
            work.documents.push(Prepared { file: id, generation, n_passages, keys });
        }
        Ok(())
    }

    /// The texts that are embedded of a document, if it can be read as it was indexed.
    fn inputs(&self, source: &Source, row: &FileRow) -> Option<Vec<String>> {
        if !self.index().answers(source) {
            return None;
        }
        let loaded = update::load(self.db(), source, &row.path, row.id).ok()?;
        if loaded.hash != row.hash {
            return None;
        }
        update::inputs(row, loaded.content)
    }

    /// Appends vectors to a space, safe before they are named.
    pub(crate) fn add_vectors(
        &mut self,
        space: &Space,
        keys: &[db::Key],
        vectors: &[Vec<f32>],
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let appended =
            vector::append(self.dir(), space.id, space.dimensions, space.n_rows, vectors);
        if appended.is_err() {
            // Behind rows that are lost nothing can be appended, ever.
            self.mend_vectors()?;
        }
        appended?;
        let transaction = self.begin()?;
        for (key, row) in keys.iter().zip(space.n_rows..) {
            db::put_vector(&transaction, space.id, key, row)?;
        }
        db::set_rows(&transaction, space.id, space.n_rows + vectors.len() as u32)?;
        Ok(transaction.commit()?)
    }

    /// Says of the prepared documents that they are embedded; one that lacks a vector waits on.
    fn finish(&mut self, space: &Space, work: &mut Work) -> Result<()> {
        if work.documents.is_empty() {
            return Ok(());
        }
        let transaction = self.begin()?;
        let mut known = HashMap::new();
        for Prepared { file, generation, n_passages, keys } in work.documents.drain(..) {
            for key in &keys {
                if !known.contains_key(key) {
                    known.insert(*key, db::vector(&transaction, space.id, key)?);
                }
            }
            let rows: Option<Vec<u32>> = keys.iter().map(|key| known[key]).collect();
            match rows {
                // It went away while it was embedded, and nobody would forget it again.
                _ if !db::is_there(&transaction, file)? => {}
                Some(rows) => db::put_embedded(&transaction, space.id, file, generation, &rows)?,
                None => work.queue.put_aside(file, generation, n_passages),
            }
        }
        db::raise_change(&transaction, space.id)?;
        Ok(transaction.commit()?)
    }
}

/// Texts to be embedded.
pub struct Batch {
    space: i64,
    keys: Vec<db::Key>,
    texts: Vec<String>,
}

/// What became of them.
pub struct Made {
    space: i64,
    n_texts: usize,
    vectors: Vec<(db::Key, Vec<f32>)>,
    refused: Vec<db::Key>,
}

impl Batch {
    /// Nothing waits, or nothing that could be read.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The vectors of the texts; where they cannot be had together, of each alone.
    ///
    /// # Errors
    /// `Embedding` when the model can embed nothing at all: one text that it refuses must not keep
    /// others waiting.
    pub fn run(self, embedder: &dyn Embedder) -> Result<Made> {
        let Batch { space, keys, texts } = self;
        let mut made =
            Made { space, n_texts: texts.len(), vectors: Vec::new(), refused: Vec::new() };
        let failure = match checked(embedder, &texts) {
            Ok(vectors) => {
                made.vectors = keys.into_iter().zip(vectors).collect();
                return Ok(made);
            }
            Err(failure) => failure,
        };
        let fails = || checked(embedder, &["word".to_owned()]).is_err();
        if fails() {
            return Err(failure);
        }
        for (key, text) in keys.into_iter().zip(&texts) {
            match checked(embedder, std::slice::from_ref(text)) {
                Ok(mut vectors) => made.vectors.extend(vectors.pop().map(|vector| (key, vector))),
                Err(_) => made.refused.push(key),
            }
        }
        // It may have gone away in between: then no text is to blame.
        if !made.refused.is_empty() && fails() {
            return Err(failure);
        }
        Ok(made)
    }
}

/// The vectors of `texts`, each of which is one.
fn checked(embedder: &dyn Embedder, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let vectors = embedder.passages(texts).map_err(Error::Embedding)?;
    if vectors.len() != texts.len() {
        let (n, given) = (texts.len(), vectors.len());
        return Err(Error::Embedding(format!("it gave {given} vectors for {n} texts")));
    }
    vectors.iter().try_for_each(|vector| sound(vector, embedder.dimensions()))?;
    Ok(vectors)
}

/// Refuses what is no vector of length 1.
pub(crate) fn sound(vector: &[f32], dimensions: usize) -> Result<()> {
    if vector.len() != dimensions {
        let n = vector.len();
        return Err(Error::Embedding(format!("it gave {n} values instead of {dimensions}")));
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !(0.99..=1.01).contains(&length) {
        return Err(Error::Embedding(format!("it gave a vector of length {length}")));
    }
    Ok(())
}
