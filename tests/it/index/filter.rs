//! Filtered results are the whole ranking restricted to the filter, whatever the filter and k.

use super::{ALL, Engine, Place, args, day_ms, now_ms, search, set_day};
use crate::program::{cases, long};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use synod_index::{Filters, Hit, Index, SearchArgs, SourceSpec, Updater};

/// Words near each other in spelling, so that a search that finds nothing has typos to try.
const WORDS: &[&str] =
    &["marsh", "march", "harsh", "tide", "tidy", "Ебб", "naïve", "潮汐", "lowWater", "the"];
const FOLDERS: &[&str] = &["", "a/", "a/b/", "Büro/", "c d/", "xa/"];
const EXTENSIONS: &[(&str, &str, &str)] = &[
    ("md", "markdown", "note"),
    ("txt", "text", "note"),
    ("rs", "rust", "code"),
    ("py", "python", "code"),
];
const TAGS: &[&str] = &["sea", "sea/low", "seaside", "x_y", "xzy/q", "État"];
const STATES: &[&str] = &["open", "Done", "Été"];

/// What the test knows of a document that it wrote.
#[derive(Clone, Debug)]
pub(super) struct Doc {
    second: bool,
    pub(super) path: String,
    kind: usize,
    words: Vec<usize>,
    tags: Vec<usize>,
    state: Option<usize>,
    day: u64,
}

impl Doc {
    fn text(&self) -> String {
        let mut text = String::new();
        if self.kind == 0 {
            let tags: Vec<&str> = self.tags.iter().map(|at| TAGS[*at]).collect();
            text = format!("---\ntags: [{}]\n", tags.join(", "));
            if let Some(state) = self.state {
                text.push_str(&format!("Status: {}\n", STATES[state]));
            }
            text.push_str("---\n");
        }
        let lead = if self.kind >= 2 { "# " } else { "" };
        for line in self.words.chunks(5) {
            let words: Vec<&str> = line.iter().map(|at| WORDS[*at]).collect();
            text.push_str(&format!("{lead}{}\n\n", words.join(" ")));
        }
        text
    }

    pub(super) fn source(&self) -> &'static str {
        if self.second { "second" } else { "first" }
    }
}

pub(super) fn docs() -> impl Strategy<Value = Vec<Doc>> {
    let doc = (
        (any::<bool>(), 0..FOLDERS.len(), 0..EXTENSIONS.len()),
        proptest::collection::vec(0..WORDS.len(), 1..24),
        proptest::collection::vec(0..TAGS.len(), 0..3),
        proptest::option::of(0..STATES.len()),
        0u64..10,
    );
    let doc = doc.prop_map(|((second, folder, kind), words, tags, state, day)| {
        let path = FOLDERS[folder].to_owned();
        Doc { second, path, kind, words, tags, state, day }
    });
    proptest::collection::vec(doc, 1..40).prop_map(|mut docs| {
        for (at, doc) in docs.iter_mut().enumerate() {
            doc.path.push_str(&format!("n{at}.{}", EXTENSIONS[doc.kind].0));
        }
        docs
    })
}

/// Path filters and what they mean: without a wildcard, a part of the path in any case.
type PathTest = (&'static str, fn(&str) -> bool);
const PATHS: &[PathTest] = &[
    ("a/", |path| path.contains("a/")),
    ("A/B", |path| path.contains("a/b")),
    ("büro/", |path| path.starts_with("Büro/")),
    ("./c d/n", |path| path.starts_with("c d/n")),
    ("*.md", |path| path.ends_with(".md")),
    ("a/*", |path| path.starts_with("a/")),
    ("**/b/**", |path| path.contains("/b/")),
    ("*.{rs,py}", |path| path.ends_with(".rs") || path.ends_with(".py")),
    ("n?.md", |path| path.ends_with(".md") && path.len() == 5),
];

#[derive(Clone, Debug)]
pub(super) enum One {
    Source(bool),
    Kind(usize),
    Class(usize),
    Path(usize),
    Tag(usize),
    State(usize),
    After(u64),
    Before(u64),
}

fn one() -> impl Strategy<Value = One> {
    prop_oneof![
        any::<bool>().prop_map(One::Source),
        (0..EXTENSIONS.len()).prop_map(One::Kind),
        (0..EXTENSIONS.len()).prop_map(One::Class),
        (0..PATHS.len()).prop_map(One::Path),
        (0..TAGS.len()).prop_map(One::Tag),
        (0..STATES.len()).prop_map(One::State),
        (0u64..10).prop_map(One::After),
        (0u64..10).prop_map(One::Before),
    ]
}

impl One {
    pub(super) fn matches(&self, doc: &Doc) -> bool {
        match *self {
            One::Source(second) => doc.second == second,
            One::Kind(kind) => EXTENSIONS[doc.kind].1 == EXTENSIONS[kind].1,
            One::Class(kind) => EXTENSIONS[doc.kind].2 == EXTENSIONS[kind].2,
            One::Path(at) => PATHS[at].1(&doc.path),
            One::Tag(tag) => {
                let below = format!("{}/", TAGS[tag]);
                let fits = |at: &usize| TAGS[*at] == TAGS[tag] || TAGS[*at].starts_with(&below);
                doc.kind == 0 && doc.tags.iter().any(fits)
            }
            One::State(state) => doc.kind == 0 && doc.state == Some(state),
            One::After(day) => doc.day >= day,
            One::Before(day) => doc.day < day,
        }
    }

    /// Sets the field of the filters.
    pub(super) fn set(&self, filters: &mut Filters) {
        match *self {
            One::Source(second) => {
                filters.source = Some(if second { "second" } else { "first" }.to_owned());
            }
            One::Kind(kind) => filters.kind = Some(EXTENSIONS[kind].1.to_owned()),
            One::Class(kind) => filters.kind = Some(EXTENSIONS[kind].2.to_owned()),
            One::Path(at) => filters.path = Some(PATHS[at].0.to_owned()),
            One::Tag(tag) => filters.tags.push(TAGS[tag].to_uppercase()),
            One::State(state) => {
                filters.props.push(("status".to_owned(), STATES[state].to_uppercase()));
            }
            One::After(day) => filters.after_ms = Some(day_ms(day)),
            One::Before(day) => filters.before_ms = Some(day_ms(day)),
        }
    }

    /// As it is typed into a query, if it can be.
    fn typed(&self) -> Option<String> {
        Some(match *self {
            One::Source(second) => format!("source:{}", if second { "second" } else { "first" }),
            One::Kind(kind) => format!("kind:{}", EXTENSIONS[kind].1),
            One::Class(kind) => format!("kind:{}", EXTENSIONS[kind].2),
            One::Path(at) => format!("path:\"{}\"", PATHS[at].0),
            One::Tag(tag) => format!("tag:#{}", TAGS[tag]),
            One::State(_) => return None,
            One::After(day) => format!("after:2026-01-{:02}", day + 1),
            One::Before(day) => format!("before:2026-01-{:02}", day + 1),
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ask {
    query: Vec<usize>,
    pub(super) set: Vec<One>,
    minus: Option<One>,
    pub(super) k: usize,
}

impl Ask {
    /// The query as it is typed.
    pub(super) fn words(&self) -> String {
        // One beyond the list is a word that stands nowhere.
        let word = |at: &usize| WORDS.get(*at).copied().unwrap_or("marsk");
        self.query.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn ask() -> impl Strategy<Value = Ask> {
    let query = proptest::collection::vec(0..WORDS.len() + 1, 1..4);
    let set = proptest::collection::vec(one(), 0..3);
    (query, set, proptest::option::of(one()), 1..=ALL).prop_map(|(query, set, minus, k)| {
        // Two values for one field: the second counts, which is not what is tested.
        let field = |one: &One| match one {
            One::Kind(_) | One::Class(_) => 1,
            One::Source(_) => 2,
            One::Path(_) => 3,
            One::After(_) => 4,
            One::Before(_) => 5,
            One::Tag(_) | One::State(_) => 0,
        };
        let mut kept: Vec<One> = Vec::new();
        for one in set {
            if field(&one) == 0 || kept.iter().all(|known| field(known) != field(&one)) {
                kept.push(one);
            }
        }
        Ask { query, set: kept, minus, k }
    })
}

/// Two sources of one index.
pub(super) fn index_of(place: &Path, docs: &[Doc]) -> Arc<Index> {
    for source in ["first", "second"] {
        std::fs::create_dir_all(place.join(source)).expect("a folder");
    }
    for doc in docs {
        let path = place.join(doc.source()).join(&doc.path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, doc.text()).expect("a file");
        set_day(&path, doc.day);
    }
    let index = Index::open(&place.join("data")).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), now_ms).expect("the writer");
    for source in ["first", "second"] {
        let spec = SourceSpec::default();
        let source = updater.add_source(&place.join(source), &spec).expect("a source");
        updater.scan(&source, &|_| true).expect("scanned");
    }
    index
}

#[test]
fn a_source_gets_the_name_and_the_collection_that_it_is_given_later() {
    let place = tempfile::tempdir().expect("a folder");
    let index = index_of(place.path(), &[]);
    std::fs::write(place.path().join("first/a.md"), "low water\n").expect("a file");
    let mut updater = Updater::new(Arc::clone(&index), now_ms).expect("the writer");
    let mut give = |folder: &str, name: Option<&str>, collection: Option<&str>| {
        let (name, collection) = (name.map(str::to_owned), collection.map(str::to_owned));
        let spec = SourceSpec { name, collection, ..SourceSpec::default() };
        let source = updater.add_source(&place.path().join(folder), &spec)?;
        updater.scan(&source, &|_| true)?;
        Ok::<_, synod_index::Error>((source.name, source.collection))
    };
    let pair = |name: &str, collection: &str| (name.to_owned(), collection.to_owned());
    let n_hits = |collection: &str| {
        let collection = Some(collection.to_owned());
        search(&index, "water", Filters { collection, ..Filters::default() }).hits.len()
    };
    assert_eq!(give("first", None, Some("work")).expect("given"), pair("first", "work"));
    assert_eq!((n_hits("work"), n_hits("private")), (1, 0));
    let moved = give("first", Some("beta"), Some("private")).expect("given");
    assert_eq!(moved, pair("beta", "private"));
    assert_eq!((n_hits("work"), n_hits("private")), (0, 1), "what was asked before is asked anew");
    assert_eq!(give("first", None, None).expect("as it is"), moved);
    // A name is one source's; what may leave the machine is changed all the same.
    let refused = give("first", Some("Second"), Some("work")).expect_err("it is taken");
    assert!(refused.to_string().contains("another source is called `Second`"), "{refused}");
    assert_eq!(n_hits("work"), 1);
    assert_eq!(give("first", None, None).expect("as it is"), pair("beta", "work"));
    // One that came second has the next free name, and keeps it.
    assert_eq!(give("second", Some("tide"), None).expect("given").0, "tide");
    std::fs::create_dir(place.path().join("third")).expect("a folder");
    for _ in 0..2 {
        assert_eq!(give("third", Some("tide"), None).expect("a name").0, "tide-2");
    }
    assert_eq!(index.check().expect("a check").differences, Vec::<String>::new());
}

pub(super) fn key(hit: &Hit) -> (String, String, (u32, u32), u32) {
    (hit.source.clone(), hit.path.clone(), hit.lines, hit.score.to_bits())
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn filtered_results_are_the_ranking_restricted(
        docs in docs(),
        asks in proptest::collection::vec(ask(), 40),
    ) {
        let place = tempfile::tempdir().expect("a folder");
        let index = index_of(place.path(), &docs);
        for ask in asks {
            let query = ask.words();
            let whole = index.search(&args(&query)).expect("found");
            let fits = |hit: &&Hit| {
                let same = |d: &&Doc| d.source() == hit.source && d.path == hit.path;
                let doc = docs.iter().find(same).expect("a document of the test");
                ask.set.iter().all(|one| one.matches(doc))
                    && !ask.minus.as_ref().is_some_and(|one| one.matches(doc))
            };
            let expected: Vec<_> = whole.hits.iter().filter(fits).map(key).collect();
            let mut filters = Filters::default();
            ask.set.iter().for_each(|one| one.set(&mut filters));
            let mut typed = query.clone();
            if let Some(minus) = &ask.minus {
                match minus.typed() {
                    Some(text) => typed.push_str(&format!(" -{text}")),
                    None => continue,
                }
            }
            let found = index
                .search(&SearchArgs { filters, limit: ask.k, ..args(&typed) })
                .expect("found");
            prop_assert_eq!(found.total, expected.len(), "{:?} {}", ask, typed);
            let got: Vec<_> = found.hits.iter().map(key).collect();
            let k = ask.k.min(expected.len());
            prop_assert_eq!(&got[..], &expected[..k], "{:?} {}", ask, typed);
            prop_assert_eq!(found.next.is_some(), expected.len() > ask.k);
        }
    }

    #[test]
    fn filters_typed_into_the_query_are_those_given_beside_it(
        docs in docs(),
        ones in proptest::collection::vec(one(), 20),
    ) {
        let place = tempfile::tempdir().expect("a folder");
        let index = index_of(place.path(), &docs);
        for one in ones {
            let Some(typed) = one.typed() else { continue };
            let mut filters = Filters::default();
            one.set(&mut filters);
            let beside = index.search(&SearchArgs { filters, ..args("tide marsh") });
            let typed = index.search(&args(&format!("tide {typed} marsh")));
            let keys = |found: synod_index::Result<synod_index::Found>| {
                found.expect("found").hits.iter().map(key).collect::<Vec<_>>()
            };
            prop_assert_eq!(keys(beside), keys(typed), "{:?}", one);
        }
    }
}

/// 2,000 documents in every run, 100,000 in a long one.
#[test]
fn one_match_among_many_documents_is_found_however_deep() {
    let place = Place::new();
    let many = long(2_000, 100_000) as usize;
    for at in 0..many {
        // The one that matches the filter is the longest: the last of the ranking.
        let more = if at == 1_234 { 400 } else { at % 90 };
        let text = format!("# Note {at}\n\ntide {}\n", "filler words here ".repeat(more));
        place.write(&format!("n{}/note{at}.md", at % 7), text);
    }
    place.write("n2/note1234.md", {
        let body = "filler words here ".repeat(400);
        format!("---\nfield: Rare\n---\n# Note\n\n{body}\n\ntide #lonely\n")
    });
    let engine = place.scanned();
    let whole = pages(&engine, "tide");
    assert_eq!(whole.len(), many);
    let at = whole.iter().position(|hit| hit.path == "n2/note1234.md").expect("in the ranking");
    assert!(at > many / 2, "it stands at {at}: no deep match is tested");
    let filters = [
        Filters { path: Some("note1234".to_owned()), ..Filters::default() },
        Filters { path: Some("n2/*1234.md".to_owned()), ..Filters::default() },
        Filters { tags: vec!["lonely".to_owned()], ..Filters::default() },
        Filters { props: vec![("field".to_owned(), "rare".to_owned())], ..Filters::default() },
    ];
    for filters in filters {
        let found = super::search(&engine.index, "tide", filters.clone());
        let got: Vec<_> = found.hits.iter().map(key).collect();
        assert_eq!(got, [key(&whole[at])], "{filters:?}");
        assert_eq!(found.total, 1);
    }
}

/// The whole ranking, page by page.
fn pages(engine: &Engine, query: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut offset = 0;
    loop {
        let page = engine.index.search(&SearchArgs { offset, ..args(query) }).expect("a page");
        hits.extend(page.hits);
        match page.next {
            Some(next) => offset = next,
            None => return hits,
        }
    }
}
