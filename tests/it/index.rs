//! Holds the engine to its promises, over the public functions of `synod_index` alone.
//!
//! Real folders, real stores; what is expected is computed here from the files, never asked of the
//! engine.

mod chunk;
mod compound;
mod edit;
mod filter;
mod history;
mod identifier;
pub mod kinds;
mod link;
mod meaning;
mod pack;
mod page;
mod read;
mod recover;
mod secret;
mod typed;
mod watch;
mod word;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use synod_index::{
    Detail, Filters, Found, Hit, Index, Outcome, ReadArgs, Reading, Related, RelatedArgs,
    SearchArgs, Source, SourceSpec, Updater,
};

/// The most hits of one page.
const ALL: usize = synod_index::limit::HITS_MAX;
/// Scores are sums of 32-bit floats in the order of the postings: equal up to this.
const SCORE_EPSILON: f32 = 1e-4;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    since.as_millis() as i64
}

/// A folder `vault` and data directories beside it, gone with the value.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { dir: tempfile::tempdir().expect("a temporary folder") };
        std::fs::create_dir_all(place.root()).expect("a folder");
        place
    }

    fn root(&self) -> PathBuf {
        // macOS gives temporary folders through a link.
        self.dir.path().canonicalize().expect("there").join("vault")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let full = self.root().join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("a folder");
        std::fs::write(full, text).expect("a file");
    }

    fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).expect("a file");
    }

    fn rename(&self, from: &str, to: &str) {
        let to = self.root().join(to);
        std::fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        std::fs::rename(self.root().join(from), to).expect("renamed");
    }

    /// Opens the data directory with the folder as its source, as it is.
    fn open(&self) -> Engine {
        Engine::open(&self.data(), &self.root())
    }

    /// The same and scanned.
    fn scanned(&self) -> Engine {
        let mut engine = self.open();
        engine.scan();
        engine
    }

    /// An index of the folder from nothing.
    fn fresh(&self) -> Engine {
        let data = tempfile::tempdir_in(self.dir.path()).expect("a folder").keep();
        let mut engine = Engine::open(&data, &self.root());
        engine.scan();
        engine
    }
}

/// A reader and the writer of one data directory.
struct Engine {
    index: Arc<Index>,
    updater: Updater,
    source: Source,
}

impl Engine {
    fn open(data: &Path, root: &Path) -> Self {
        let index = Index::open(data).expect("the index opens");
        let mut updater = Updater::new(Arc::clone(&index), now_ms).expect("the writer");
        let source = updater.add_source(root, &SourceSpec::default()).expect("a source");
        Engine { index, updater, source }
    }

    fn scan(&mut self) -> Outcome {
        let source = self.source.clone();
        self.updater.scan(&source, &|_| true).expect("scanned")
    }

    fn search(&self, query: &str) -> Found {
        search(&self.index, query, Filters::default())
    }

    /// Paths of the hits, best first.
    fn paths(&self, query: &str) -> Vec<String> {
        self.search(query).hits.into_iter().map(|hit| hit.path).collect()
    }

    fn read(&self, name: &str) -> synod_index::Result<Reading> {
        self.index.read(&of(name))
    }

    fn related(&self, path: &str) -> Related {
        let args = RelatedArgs { target: of(path), limit: 1000 };
        self.index.related(&args).unwrap_or_else(|error| panic!("related to `{path}`: {error}"))
    }

    /// Paths in one group of neighbours, sorted.
    fn neighbours(&self, path: &str, group: &str) -> Vec<String> {
        let related = self.related(path);
        let rows = related.groups.get(group).into_iter().flatten();
        let paths: BTreeSet<String> = rows.map(|row| row.path.clone()).collect();
        paths.into_iter().collect()
    }

    /// The stores agree.
    #[track_caller]
    fn assert_clean(&self) {
        let check = self.index.check().expect("a check");
        assert_eq!(check.differences, Vec::<String>::new());
    }
}

/// Reading by path, title or any other name.
fn of(name: &str) -> ReadArgs {
    ReadArgs { path: Some(name.to_owned()), bytes_max: 1 << 20, ..ReadArgs::default() }
}

fn args(query: &str) -> SearchArgs {
    SearchArgs {
        query: query.to_owned(),
        also: Vec::new(),
        limit: ALL,
        offset: 0,
        at_generation: None,
        filters: Filters::default(),
        detail: Detail::Passage,
        mode: synod_index::Mode::default(),
        explain: false,
        copies: true,
    }
}

fn search(index: &Index, query: &str, filters: Filters) -> Found {
    let found = index.search(&SearchArgs { filters, ..args(query) });
    found.unwrap_or_else(|error| panic!("searching {query:?}: {error}"))
}

/// Milliseconds of a day in January 2026.
fn day_ms(day: u64) -> i64 {
    let start = synod_index::date_ms("2026-01-01").expect("a date");
    start + Duration::from_secs(day * 86_400).as_millis() as i64
}

fn set_day(path: &Path, day: u64) {
    let file = std::fs::File::options().write(true).open(path).expect("a file");
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(day_ms(day) as u64);
    file.set_modified(at).expect("a time set");
}

/// Everything that an index says about its sources, without what may differ between two indexes
/// of the same files (row numbers, generations).
pub struct Answers {
    documents: Vec<String>,
    /// By query: total, and hits by path.
    found: Vec<(String, usize, BTreeMap<String, Hit>)>,
    /// By document: relation, path, lines, text.
    related: BTreeMap<String, Vec<String>>,
}

impl Answers {
    fn of(index: &Index, queries: &[(String, Filters)]) -> Self {
        let (listed, _) = index.list(None, 10_000).expect("a list");
        let found = queries
            .iter()
            .map(|(query, filters)| {
                let found = search(index, query, filters.clone());
                let ordered = found.hits.windows(2).all(|two| two[0].score >= two[1].score);
                assert!(ordered, "{query:?} is not in the order of scores");
                let hits = found.hits.into_iter().map(|hit| (hit.path.clone(), hit)).collect();
                (format!("{query:?} {filters:?}"), found.total, hits)
            })
            .collect();
        let related = listed.iter().map(|doc| (doc.path.clone(), related_rows(index, &doc.uri)));
        Answers {
            related: related.collect(),
            found,
            documents: listed
                .iter()
                .map(|doc| format!("{} {:?} {}", doc.uri, doc.title, doc.bytes))
                .collect(),
        }
    }

    /// What an index of `root` answers that is made from nothing; every word must be in few
    /// documents, for of equal scores any may be cut off.
    pub fn of_fresh(root: &Path, words: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut engine = Engine::open(data.path(), root);
        engine.scan();
        Self::of(&engine.index, &plain(words))
    }

    /// What a data directory answers, as it is, whoever writes it.
    pub fn of_data(data: &Path, words: &[&str]) -> Self {
        Self::of(&Index::open(data).expect("the index opens"), &plain(words))
    }

    #[track_caller]
    pub fn assert_same(&self, other: &Answers) {
        assert_eq!(self.documents, other.documents, "documents");
        for ((query, total, hits), (_, other_total, others)) in self.found.iter().zip(&other.found)
        {
            let paths = |hits: &BTreeMap<String, Hit>| hits.keys().cloned().collect::<Vec<_>>();
            assert_eq!(paths(hits), paths(others), "hits of {query}");
            assert_eq!(total, other_total, "total of {query}");
            for (hit, other) in hits.values().zip(others.values()) {
                let near = (hit.score - other.score).abs() < SCORE_EPSILON;
                assert!(near, "{query} in {}: {} and {}", hit.path, hit.score, other.score);
                let parts = |hit: &Hit| {
                    let lines = (hit.lines, hit.snippet_line);
                    let names = (hit.heading.clone(), hit.symbol.clone(), hit.title.clone());
                    (hit.snippet.clone(), lines, names, hit.modified_ms, hit.kind.clone())
                };
                assert_eq!(parts(hit), parts(other), "{query} in {}", hit.path);
            }
        }
        assert_eq!(self.related, other.related, "neighbours");
    }
}

fn plain(words: &[&str]) -> Vec<(String, Filters)> {
    words.iter().map(|word| ((*word).to_owned(), Filters::default())).collect()
}

/// The documents of a data directory after whatever happened to its writer, with their sizes: made
/// whole by opening it as the next writer does, without a look at the sources.
#[track_caller]
pub fn recovered(data: &Path) -> Vec<String> {
    let index = Index::open(data).expect("the index opens");
    drop(Updater::new(Arc::clone(&index), now_ms).expect("the writer"));
    assert_eq!(index.check().expect("a check").differences, Vec::<String>::new());
    let (listed, _) = index.list(None, 10_000).expect("a list");
    listed.iter().map(|doc| format!("{} {}", doc.uri, doc.bytes)).collect()
}

fn related_rows(index: &Index, uri: &str) -> Vec<String> {
    let target = ReadArgs { uri: Some(uri.to_owned()), ..ReadArgs::default() };
    let related = index.related(&RelatedArgs { target, limit: 1000 });
    let related = related.unwrap_or_else(|error| panic!("related to `{uri}`: {error}"));
    let mut rows: Vec<String> = related
        .groups
        .iter()
        .flat_map(|(relation, rows)| {
            rows.iter().map(move |row| {
                format!("{relation} {} {:?} {:?} {:?}", row.path, row.title, row.lines, row.text)
            })
        })
        .collect();
    rows.sort();
    rows
}

/// The lines `first..=last` of a text, from 1, with their ends.
fn lines_of(text: &str, lines: (u32, u32)) -> String {
    let skip = lines.0 as usize - 1;
    text.split_inclusive('\n').skip(skip).take((lines.1 + 1 - lines.0) as usize).collect()
}

/// The hits' texts stand on disk at the lines that they name.
#[track_caller]
fn assert_at_lines(root: &Path, hits: &[Hit]) {
    for hit in hits.iter().filter(|hit| !hit.snippet.is_empty()) {
        let text = std::fs::read_to_string(root.join(&hit.path)).expect("a file");
        let n = hit.snippet.split('\n').count() as u32;
        let there = lines_of(&text, (hit.snippet_line, hit.snippet_line + n - 1));
        let shown = hit.snippet.trim_matches('…');
        let place = format!("{}:{}", hit.path, hit.snippet_line);
        assert!(there.contains(shown), "{place}: {shown:?} is not in {there:?}");
    }
}
