//! The index's embedder over a server: its window is measured, its vectors are checked, and a
//! server that does not answer costs a search nothing but the meaning. Invariant: once a server was
//! seen to have another model under the same name, nothing more is asked of it under this one.

use super::part::{HALVINGS_MAX, halves, mean, unit};
use super::{head, ollama, openai, table};
use crate::config::{Embedding, Provider};
use crate::fault::{self, Fault};
use crate::fetch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use synod_index::{Embedder, Index, MadeFor, alike};

/// Longest wait for the vector of a query; the search goes on without it.
const QUERY_TIME: Duration = Duration::from_secs(5);
/// Longest wait for one request of passages.
const PASSAGES_TIME: Duration = Duration::from_secs(30);
/// What a request of passages should take: queries wait behind it on a small server.
const REQUEST_TIME: Duration = Duration::from_secs(3);
/// After a failure queries do not ask for this long.
const PAUSE: Duration = Duration::from_secs(10);
/// Nor for longer than this, whatever the server says.
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// Head of a query that is embedded, in bytes; what a window does not hold of it says little.
const QUERY_BYTES_MAX: usize = 1_024;
/// A query is not cut below this to fit a window, in bytes.
const QUERY_BYTES_MIN: usize = 64;
/// A server that says when it wants to be asked again is waited for this long in all, for one
/// request of passages; and this long at least, each time.
const TURNED_AWAY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(250));
/// Texts of one request, at most.
const TEXTS_MAX: usize = 32;
/// Texts of the first request, whose time says how many the next may have.
const TEXTS_FIRST: usize = 2;
/// Most tokens that a window is measured up to: no passage has as many.
const WINDOW_MAX: usize = 1_024;
/// A word that is one token for every tokenizer in use.
const WORD: &str = "sea";
/// Bytes of a token of prose and code, rather too few than too many.
const TOKEN_BYTES: usize = 3;

/// What servers differ in.
pub trait Dialect: Send + Sync {
    /// What changes when the model behind the name does: a digest; `None` where servers say none.
    ///
    /// # Errors
    /// `Missing` when it has no such model.
    fn revision(&self) -> Result<Option<String>, Refusal>;

    /// A vector for each text, and the tokens that were counted, if the server says so.
    ///
    /// # Errors
    /// `TooLong` when a text is over the window.
    fn embed(&self, texts: &[String], time: Duration) -> Result<Embedded, Refusal>;
}

/// What a server gave.
#[derive(Debug)]
pub struct Embedded {
    /// By text.
    pub vectors: Vec<Vec<f32>>,
    /// Of all texts together.
    pub tokens: Option<usize>,
}

/// Why a server gave none.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// A text has more tokens than the model reads.
    #[error("a text is longer than the model's window")]
    TooLong,
    /// It does not have the model.
    #[error("{0}")]
    Missing(String),
    /// Anything else.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// Its reply cannot be used.
    #[error("{0}")]
    Wrong(String),
}

/// A model on a server.
pub struct Remote {
    dialect: Box<dyn Dialect>,
    place: String,
    revision: Option<String>,
    /// Without a digest, the vector of [`WORD`], by which the model is known again.
    probe: Option<Vec<f32>>,
    space: String,
    recipe: String,
    made_for: Option<MadeFor>,
    dimensions: usize,
    query: String,
    passage: String,
    /// The name of its space and what is before a query with programs that knew nothing of a model
    /// of this name.
    before: Option<(String, String)>,
    /// Longest text that is sent, in bytes, where the server cuts longer ones without a word.
    bytes_max: Option<usize>,
    /// May passages of this collection go there?
    cloud: Option<Vec<String>>,
    state: Mutex<State>,
    /// It gave what cannot be used: it may have another model.
    doubtful: AtomicBool,
    /// It has.
    gone: AtomicBool,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Query,
    Passages,
}

impl What {
    fn time(self) -> Duration {
        match self {
            What::Query => QUERY_TIME,
            What::Passages => PASSAGES_TIME,
        }
    }
}

/// How the server did lately.
struct State {
    /// Texts of the next request.
    texts: usize,
    /// Not asked before; and why.
    paused: Option<(Instant, String)>,
    /// It was asked since it was last seen to have the same model.
    asked: bool,
}

impl Remote {
    /// Finds the model on the server that the configuration names and measures it.
    ///
    /// # Errors
    /// `invalid_argument` when the configuration cannot be used; `upstream` when the server cannot.
    pub fn open(settings: &Embedding) -> Result<Self, Fault> {
        let model = settings.model.as_str();
        let (place, url) = match (settings.provider, settings.url.as_deref()) {
            (Provider::Ollama, None) => ("ollama", "http://127.0.0.1:11434"),
            (Provider::Ollama, Some(url)) => ("ollama", url),
            (_, Some(url)) => ("openai", url),
            (_, None) => {
                let text = "embedding: `url` is missing; for example http://127.0.0.1:8080/v1";
                return Err(Fault::new(fault::INVALID, text));
            }
        };
        let url = url.trim_end_matches('/').to_owned();
        let secret = secret(settings.key_env.as_deref())?;
        let away = !fetch::is_loopback(&url);
        if away && settings.cloud_collections.is_empty() {
            let text = format!(
                "embedding: `{}` is not on this machine and no collection may leave it; name \
                 those that may in `embedding.cloud_collections`",
                fetch::shown(&url)
            );
            return Err(Fault::new(fault::INVALID, text));
        }
        let dialect: Box<dyn Dialect> = match settings.provider {
            Provider::Ollama => Box::new(ollama::Ollama::new(&url, model, secret)),
            _ => Box::new(openai::OpenAi::new(&url, model, secret)),
        };
        let fail = |refusal: Refusal| Fault::new(fault::UPSTREAM, format!("embedding: {refusal}"));
        let revision = dialect.revision().map_err(fail)?;
        let known = table::known(table::served(model));
        let own = |set: &Option<String>, known: &str| set.clone().unwrap_or(known.to_owned());
        let query = own(&settings.query_prefix, known.map_or("", |k| k.query));
        let passage = own(&settings.passage_prefix, known.map_or("", |k| k.passage));
        let Measured { dimensions, window, silent, probe } = measure(&*dialect).map_err(fail)?;
        let named = revision.as_deref().unwrap_or("named");
        let mut space = format!("{place}/{model}@{named} {dimensions}d window {window} parts");
        let news = table::known(model).is_none() && settings.passage_prefix.is_none();
        let before = (news && !passage.is_empty())
            .then(|| (space.clone(), settings.query_prefix.clone().unwrap_or_default()));
        if !passage.is_empty() {
            space.push_str(&format!(" {passage:?}"));
        }
        Ok(Remote {
            dialect,
            place: format!("{place} at {}", fetch::shown(&url)),
            probe: revision.is_none().then_some(probe),
            revision,
            space,
            recipe: super::recipe(settings),
            made_for: table::made_for(table::served(model)),
            dimensions,
            query,
            passage,
            before,
            bytes_max: silent.then_some(window * TOKEN_BYTES),
            cloud: away.then(|| settings.cloud_collections.clone()),
            state: Mutex::new(State { texts: TEXTS_FIRST, paused: None, asked: false }),
            doubtful: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        })
    }

    /// The same with a space of its own, where another model filled that of its name in this index.
    ///
    /// # Errors
    /// Those of the index.
    pub fn known_to(self, index: &Index) -> Result<Self, Fault> {
        let remote = self.where_it_was(index)?;
        let Some(probe) = remote.probe.clone() else { return Ok(remote) };
        let space = index.space_for(&remote.space, &probe)?;
        Ok(Remote { space, ..remote })
    }

    /// A space that was filled before anything was known of the model goes on as it was: nothing is
    /// embedded again that nobody asked for.
    fn where_it_was(self, index: &Index) -> Result<Self, Fault> {
        let Some((space, query)) = self.before.clone() else { return Ok(self) };
        if index.has_space(&self.space)? || !index.has_space(&space)? {
            return Ok(self);
        }
        Ok(Remote { space, query, passage: String::new(), ..self })
    }

    /// Whether the server still has the very model that was opened.
    ///
    /// # Errors
    /// When it does not say.
    pub fn is_same(&self) -> Result<bool, Refusal> {
        self.doubtful.store(false, Ordering::Relaxed);
        let same = self.dialect.revision()? == self.revision && self.gives_the_same()?;
        if !same {
            self.gone.store(true, Ordering::Relaxed);
        }
        Ok(same)
    }

    /// Whether it gave something lately that the model which was opened would not.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }

    fn gives_the_same(&self) -> Result<bool, Refusal> {
        // Who was not asked may have let its model go, and would load it for this.
        let Some(probe) = self.probe.as_ref().filter(|_| self.state().asked) else {
            return Ok(true);
        };
        let given = self.dialect.embed(&[WORD.to_owned()], PASSAGES_TIME)?;
        self.state().asked = false;
        Ok(given.vectors.first().is_some_and(|vector| alike(vector, probe)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and remembers how that went.
    fn ask(&self, texts: &[String], what: What) -> Result<Vec<Vec<f32>>, Refusal> {
        if self.gone.load(Ordering::Relaxed) {
            let text = "it has another model under the same name now";
            return Err(Refusal::Wrong(text.to_owned()));
        }
        let (given, took) = match what {
            What::Query => timed(&*self.dialect, texts, what.time()),
            What::Passages => patient(&*self.dialect, texts),
        };
        let result = given.and_then(|given| checked(given.vectors, texts.len(), self.dimensions));
        let mut state = self.state();
        state.asked = true;
        if matches!(result, Err(Refusal::Wrong(_))) {
            self.doubtful.store(true, Ordering::Relaxed);
        }
        match &result {
            Ok(_) => {
                state.paused = None;
                // Of queries, which are short, many would make the next request a long one.
                if what == What::Passages {
                    state.texts = next_texts(state.texts, texts.len(), took);
                }
            }
            // The text is to blame, not the server.
            Err(Refusal::TooLong) => {}
            Err(refusal) => {
                if what == What::Passages {
                    state.texts = 1;
                }
                let (busy, wait) = match refusal {
                    Refusal::Fetch(fetch::Error::Down { .. }) => (true, None),
                    Refusal::Fetch(fetch::Error::Status { retry_after, .. }) => {
                        (retry_after.is_some(), *retry_after)
                    }
                    _ => (false, None),
                };
                // One passage that it cannot embed says nothing about what is asked.
                if busy || what == What::Query {
                    let wait = wait.unwrap_or(PAUSE).clamp(PAUSE, PAUSE_MAX);
                    state.paused = Some((Instant::now() + wait, refusal.to_string()));
                }
            }
        }
        result
    }

    /// The vector of one passage; of one that is too long that of its halves.
    fn one(&self, text: &str, halvings: usize) -> Result<Vec<f32>, Refusal> {
        let asked = match self.is_long(text) && halvings < HALVINGS_MAX {
            true => Err(Refusal::TooLong),
            false => self.ask(&[text.to_owned()], What::Passages),
        };
        match asked {
            Err(Refusal::TooLong) if halvings < HALVINGS_MAX => {
                let Some(halves) = halves(text) else { return Err(Refusal::TooLong) };
                let parts = halves.iter().map(|half| self.one(half, halvings + 1));
                Ok(mean(&parts.collect::<Result<Vec<_>, _>>()?))
            }
            other => other.map(|mut vectors| vectors.pop().unwrap_or_default()),
        }
    }

    /// It would be cut without a word.
    fn is_long(&self, text: &str) -> bool {
        self.bytes_max.is_some_and(|most| text.len() > most)
    }

    fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        let asked = match texts.iter().any(|text| self.is_long(text)) {
            true => Err(Refusal::TooLong),
            false => self.ask(texts, What::Passages),
        };
        match asked {
            // One of them is: each goes alone.
            Err(Refusal::TooLong) => texts.iter().map(|text| self.one(text, 0)).collect(),
            other => other,
        }
    }
}

impl Embedder for Remote {
    fn space(&self) -> &str {
        &self.space
    }

    fn probe(&self) -> Option<&[f32]> {
        self.probe.as_deref()
    }

    fn recipe(&self) -> String {
        self.recipe.clone()
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn at_once(&self) -> usize {
        self.state().texts
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn made_for(&self) -> Option<MadeFor> {
        self.made_for
    }

    fn takes(&self, collection: &str) -> bool {
        let Some(cloud) = &self.cloud else { return true };
        cloud.iter().any(|named| named == collection || named == "*")
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let texts: Vec<String> =
            texts.iter().map(|text| format!("{}{text}", self.passage)).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        while vectors.len() < texts.len() {
            let n = self.state().texts;
            let rest = &texts[vectors.len()..];
            let given = self.batch(&rest[..n.min(rest.len())]);
            vectors.extend(given.map_err(|refusal| format!("{}: {refusal}", self.place))?);
        }
        Ok(vectors)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        if let Some((until, why)) = &self.state().paused
            && *until > Instant::now()
        {
            return Err(format!("{}: {why}", self.place));
        }
        let text = format!("{}{}", self.query, head(text, QUERY_BYTES_MAX));
        let mut text = text.as_str();
        loop {
            match self.ask(&[text.to_owned()], What::Query) {
                Err(Refusal::TooLong) if text.len() > QUERY_BYTES_MIN => {
                    text = head(text, text.len() / 2);
                }
                other => {
                    let given = other.map_err(|refusal| format!("{}: {refusal}", self.place));
                    return given.map(|mut vectors| vectors.pop().unwrap_or_default());
                }
            }
        }
    }
}

/// Asks, and says how long that took.
fn timed(
    dialect: &dyn Dialect,
    texts: &[String],
    time: Duration,
) -> (Result<Embedded, Refusal>, Duration) {
    let start = Instant::now();
    (dialect.embed(texts, time), start.elapsed())
}

/// The same of passages, again where the server is busy and says until when: nobody waits for
/// them. The time is that of the last try.
fn patient(dialect: &dyn Dialect, texts: &[String]) -> (Result<Embedded, Refusal>, Duration) {
    let mut left = TURNED_AWAY.0;
    loop {
        let (given, took) = timed(dialect, texts, PASSAGES_TIME);
        let wait = match &given {
            Err(Refusal::Fetch(fetch::Error::Status { retry_after, .. })) => *retry_after,
            _ => None,
        };
        let wait = wait.map(|wait| wait.max(TURNED_AWAY.1)).filter(|wait| *wait <= left);
        let Some(wait) = wait else { return (given, took) };
        left -= wait;
        std::thread::sleep(wait);
    }
}

/// Texts of the next request, after one of `n` texts took so long where `allowed` might have been
/// sent: as many as take [`REQUEST_TIME`], and twice as many at most.
fn next_texts(allowed: usize, n: usize, took: Duration) -> usize {
    let each = took.as_secs_f64() / n.max(1) as f64;
    let fit = REQUEST_TIME.as_secs_f64() / each.max(1e-6);
    (fit as usize).clamp(1, TEXTS_MAX.min(2 * allowed))
}

/// The secret in the variable that the configuration names.
///
/// # Errors
/// `invalid_argument` when it is not set.
pub fn secret(variable: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(name) = variable else { return Ok(None) };
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    let missing = || {
        let name = crate::config::variable(name);
        let text = format!("embedding: the variable `{name}` of `embedding.key_env` is not set");
        Fault::new(fault::INVALID, text)
    };
    value.map(Some).ok_or_else(missing)
}

/// One vector of length 1 for each of `n` texts.
fn checked(vectors: Vec<Vec<f32>>, n: usize, dimensions: usize) -> Result<Vec<Vec<f32>>, Refusal> {
    if vectors.len() != n {
        return Err(Refusal::Wrong(format!("it gave {} vectors for {n} texts", vectors.len())));
    }
    for vector in &vectors {
        if vector.len() != dimensions {
            let found = vector.len();
            return Err(Refusal::Wrong(format!("it gave {found} values instead of {dimensions}")));
        }
        if !vector.iter().all(|value| value.is_finite()) {
            return Err(Refusal::Wrong("it gave a vector that holds no numbers".to_owned()));
        }
        if !vector.is_empty() && vector.iter().all(|value| *value == 0.0) {
            return Err(Refusal::Wrong("it gave a vector of zeros".to_owned()));
        }
    }
    Ok(vectors.into_iter().map(unit).collect())
}

/// What a model turned out to be.
struct Measured {
    dimensions: usize,
    /// Tokens that it reads, up to `WINDOW_MAX`.
    window: usize,
    /// It cuts longer texts without a word.
    silent: bool,
    /// The vector of [`WORD`].
    probe: Vec<f32>,
}

/// What became of a text of some words.
#[derive(PartialEq)]
enum Reading {
    Whole,
    Cut,
    Refused,
}

/// Measures a model: the most words after which another last word still changes the vector.
fn measure(dialect: &dyn Dialect) -> Result<Measured, Refusal> {
    let first = patient(dialect, &[WORD.to_owned()]).0?;
    let dimensions = first.vectors.first().map_or(0, Vec::len);
    let probe = checked(first.vectors, 1, dimensions)?.pop().unwrap_or_default();
    if dimensions == 0 {
        return Err(Refusal::Wrong("it gave a vector without values".to_owned()));
    }
    let (mut window, mut beyond, mut silent) = (1, WINDOW_MAX + 1, false);
    let mut next = 128;
    // Doubling first, then halving what is left, to one part in sixteen: the number only tells
    // spaces apart and how long a text may be.
    while beyond - window > window / 16 + 1 {
        match reads(dialect, next)? {
            Reading::Whole => window = next,
            cut => {
                silent = cut == Reading::Cut;
                beyond = next;
            }
        }
        let doubled = if beyond > WINDOW_MAX { window * 2 } else { usize::MAX };
        next = doubled.min((window + beyond) / 2);
    }
    Ok(Measured { dimensions, window, silent, probe })
}

/// How the model reads `n` words.
fn reads(dialect: &dyn Dialect, n: usize) -> Result<Reading, Refusal> {
    let text = |last: &str| format!("{}{last}", format!("{WORD} ").repeat(n - 1));
    let given = match patient(dialect, &[text(WORD), text("stone")]).0 {
        Ok(given) => given,
        Err(Refusal::TooLong) => return Ok(Reading::Refused),
        Err(other) => return Err(other),
    };
    if let Some(tokens) = given.tokens {
        return Ok(if tokens < 2 * n { Reading::Cut } else { Reading::Whole });
    }
    let [a, b] = &given.vectors[..] else {
        let n = given.vectors.len();
        return Err(Refusal::Wrong(format!("it gave {n} vectors for 2 texts")));
    };
    let cosine: f32 = unit(a.clone()).iter().zip(unit(b.clone())).map(|(a, b)| a * b).sum();
    Ok(if cosine < 0.999_99 { Reading::Whole } else { Reading::Cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that takes `each` seconds for a text, and `slower` times as long from some request
    /// on: the longest request, and texts of the last one.
    fn longest(each: f64, slower: f64, from: usize) -> (f64, usize) {
        let (mut allowed, mut longest) = (TEXTS_FIRST, 0.0_f64);
        for request in 0..40 {
            let each = if request < from { each } else { each * slower };
            let took = each * allowed as f64;
            longest = longest.max(took);
            allowed = next_texts(allowed, allowed, Duration::from_secs_f64(took));
            assert!((1..=TEXTS_MAX).contains(&allowed), "{allowed} texts");
        }
        (longest, allowed)
    }

    #[test]
    fn no_request_is_sized_to_take_longer_than_is_waited_for() {
        let most = PASSAGES_TIME.as_secs_f64();
        for step in 0..=150 {
            let each = f64::from(step) / 10.0;
            let (took, last) = longest(each, 1.0, 0);
            assert!(took <= most, "{each} s a text: a request of {took} s");
            // As large as it may be, too: a fast server is not asked text by text.
            let wanted = (REQUEST_TIME.as_secs_f64() / each.max(1e-6)).min(TEXTS_MAX as f64);
            assert!(last as f64 > wanted - 2.0, "{each} s a text: {last} of {wanted}");
        }
        // Nor where it becomes nine times as slow at any moment: the next request is a small one.
        for from in 0..20 {
            for step in 1..=14 {
                let each = f64::from(step) / 10.0;
                let (took, _) = longest(each, 9.0, from);
                assert!(took <= most, "{each} s a text, nine times that from {from}: {took} s");
            }
        }
    }
}
