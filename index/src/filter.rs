//! What may appear: filters of a call and those typed into a query, evaluated over documents.
//!
//! Invariant: a filter says yes or no to a document and never touches a score.

use crate::db::{self, Source};
use crate::error::{Error, Result};
use crate::kind::{markdown, spec};
use crate::query::{Filter, Query};
use crate::view::View;
use globset::{GlobBuilder, GlobMatcher};
use rusqlite::Connection;
use std::collections::HashMap;

/// What may appear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filters {
    /// Name of a source.
    pub source: Option<String>,
    /// Name of a collection.
    pub collection: Option<String>,
    /// Kind or family (`markdown`, `rust`, `note`, `code`).
    pub kind: Option<String>,
    /// Glob or prefix of the relative path.
    pub path: Option<String>,
    /// All of these tags.
    pub tags: Vec<String>,
    /// All of these properties.
    pub props: Vec<(String, String)>,
    /// Modified at or after, milliseconds since 1970.
    pub after_ms: Option<i64>,
    /// Modified before, milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// Filters typed into the query, as name and value. All must fit; of several kinds or sources
    /// one is enough, as a document has only one.
    pub with: Vec<(String, String)>,
    /// Filters typed with a minus.
    pub without: Vec<(String, String)>,
    /// Filters typed with `OR` between them: of each list one must fit.
    pub one_of: Vec<Vec<(String, String)>>,
}

/// Filters of the call with those of the query: both hold. Unknown names of sources are noted.
pub(crate) fn merge(given: &Filters, query: &mut Query, sources: &[Source]) -> Filters {
    let mut out = given.clone();
    let typed = query.filters.iter().map(|(filter, _)| filter);
    let unknown = typed.chain(query.one_of.iter().flatten()).filter_map(|filter| match filter {
        Filter::Source(name) if !sources.iter().any(|s| s.is_called(name)) => Some(name),
        _ => None,
    });
    let notes: Vec<String> =
        unknown.map(|name| format!("no source `{name}`; there are {}", listed(sources))).collect();
    query.notes.extend(notes);
    for (filter, keep) in &query.filters {
        let list = if *keep { &mut out.with } else { &mut out.without };
        list.push(named(filter));
    }
    out.one_of.extend(query.one_of.iter().map(|list| list.iter().map(named).collect()));
    out
}

/// A filter as name and value.
fn named(filter: &Filter) -> (String, String) {
    let (name, value) = match filter {
        Filter::Tag(v) => ("tag", v),
        Filter::Path(v) => ("path", v),
        Filter::File(v) => ("file", v),
        Filter::Kind(v) => ("kind", v),
        Filter::Source(v) => ("source", v),
        Filter::After(v) => ("after", v),
        Filter::Before(v) => ("before", v),
    };
    (name.to_owned(), value.clone())
}

fn listed(sources: &[Source]) -> String {
    let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
    if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }
}

/// A date, or a date and time, as milliseconds since 1970 (UTC unless it says otherwise).
///
/// # Errors
/// `Argument`, saying the forms that are read.
pub fn date_ms(text: &str) -> Result<i64> {
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Ok(stamp.as_millisecond());
    }
    let utc = jiff::tz::TimeZone::UTC;
    // A year or a month begins with its first day.
    let digits = |n: usize| text.len() == n && text.starts_with(|c: char| c.is_ascii_digit());
    let text = match () {
        () if digits(4) => &format!("{text}-01-01"),
        () if digits(7) => &format!("{text}-01"),
        () => text,
    };
    let moment = text.parse::<jiff::civil::DateTime>();
    let moment = moment.or_else(|_| text.parse::<jiff::civil::Date>().map(Into::into));
    match moment.and_then(|m| m.to_zoned(utc)) {
        Ok(zoned) => Ok(zoned.timestamp().as_millisecond()),
        Err(_) => Err(Error::Argument(format!(
            "`{text}` is not a date; write `2026-01-31`, `2026-01` or `2026-01-31T08:00:00Z`"
        ))),
    }
}

/// Whether the value of a typed filter can be one.
pub(crate) fn check(filter: &Filter) -> Result<()> {
    match filter {
        Filter::Path(path) | Filter::File(path) => PathTest::new(path).map(|_| ()),
        Filter::After(date) | Filter::Before(date) => date_ms(date).map(|_| ()),
        Filter::Tag(_) | Filter::Kind(_) | Filter::Source(_) => Ok(()),
    }
}

/// A glob, or a prefix when it holds no wildcard.
enum PathTest {
    Glob(GlobMatcher),
    Prefix(String),
}

impl PathTest {
    fn new(text: &str) -> Result<Self> {
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(PathTest::Prefix(text.trim_start_matches("./").to_lowercase()));
        }
        let glob = GlobBuilder::new(text).literal_separator(false).case_insensitive(true).build();
        glob.map(|g| PathTest::Glob(g.compile_matcher())).map_err(|e| {
            Error::Argument(format!("path glob `{text}` does not parse: {}", e.kind()))
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            PathTest::Glob(glob) => glob.is_match(path),
            // A folder, a file, or a part of the path.
            PathTest::Prefix(prefix) => path.to_lowercase().contains(prefix.as_str()),
        }
    }
}

/// By entry: may it appear?
pub(crate) fn evaluate(
    db: &Connection,
    view: &View,
    filters: &Filters,
    sources: &[Source],
) -> Result<Vec<bool>> {
    if let Some(name) = &filters.source
        && !sources.iter().any(|s| s.is_called(name))
    {
        return Err(Error::Argument(format!("no source `{name}`; there are {}", listed(sources))));
    }
    let path = filters.path.as_deref().map(PathTest::new).transpose()?;
    let tests = |list: &[(String, String)]| -> Result<Vec<Test>> {
        list.iter().map(|(name, value)| Test::new(db, name, value)).collect()
    };
    let with = tests(&filters.with)?;
    let without = tests(&filters.without)?;
    let one_of: Vec<Vec<Test>> =
        filters.one_of.iter().map(|list| tests(list)).collect::<Result<_>>()?;
    let mut rows = vec![false; view.entries.len()];
    let source_of: HashMap<i64, &Source> = sources.iter().map(|s| (s.id, s)).collect();
    db::filter_rows(db, |row| {
        let Some(entry) = view.entry(row.id) else { return };
        let source = source_of.get(&row.source);
        let collected = |want: &String| {
            // Documents of features are a collection of their own, whatever source they stand in.
            source.is_some_and(|s| s.collection == *want)
                || want == spec::COLLECTION && row.kind == spec::NAME
        };
        let kind = |want: &String| is_kind(want, &row);
        let called = |want: &String| source.is_some_and(|s| s.is_called(want));
        rows[entry as usize] = filters.source.as_ref().is_none_or(called)
            && filters.collection.as_ref().is_none_or(collected)
            && filters.kind.as_ref().is_none_or(kind)
            && path.as_ref().is_none_or(|p| p.matches(row.path))
            && filters.after_ms.is_none_or(|ms| row.modified_ms >= ms)
            && filters.before_ms.is_none_or(|ms| row.modified_ms < ms)
            && all(&with, &row, source.copied())
            && one_of.iter().all(|list| list.iter().any(|w| w.matches(&row, source.copied())))
            && !without.iter().any(|w| w.matches(&row, source.copied()));
    })?;
    let tags = filters.tags.iter().map(|t| ("#", t.trim_start_matches('#').to_lowercase()));
    let props = filters.props.iter().map(|(k, v)| (k.as_str(), v.to_lowercase()));
    for (key, value) in tags.chain(props) {
        let mut has = vec![false; rows.len()];
        for file in db::with_prop(db, &key.to_lowercase(), &value)? {
            if let Some(entry) = view.entry(file) {
                has[entry as usize] = true;
            }
        }
        for (row, has) in rows.iter_mut().zip(has) {
            *row &= has;
        }
    }
    Ok(rows)
}

/// Whether a document is of a kind, or of a family of them; one of a feature is Markdown too.
fn is_kind(want: &str, row: &db::FilterRow) -> bool {
    let markdown = row.kind == spec::NAME && want == markdown::NAME;
    row.kind == want || row.class.name() == want || markdown
}

/// Whether a document fits every test; of several that it can fit only one of, that one is enough.
fn all(tests: &[Test], row: &db::FilterRow, source: Option<&Source>) -> bool {
    let one_of = |is: fn(&Test) -> bool| {
        !tests.iter().any(is) || tests.iter().any(|test| is(test) && test.matches(row, source))
    };
    let is_kind = |test: &Test| matches!(test, Test::Kind(_));
    let is_source = |test: &Test| matches!(test, Test::Source(_));
    one_of(is_kind)
        && one_of(is_source)
        && tests.iter().all(|t| is_kind(t) || is_source(t) || t.matches(row, source))
}

/// A filter that was typed.
enum Test {
    Path(PathTest),
    File(PathTest),
    Kind(String),
    Source(String),
    Files(std::collections::HashSet<u32>),
    Since(i64),
    Until(i64),
}

impl Test {
    fn new(db: &Connection, name: &str, value: &str) -> Result<Self> {
        Ok(match name {
            "path" => Test::Path(PathTest::new(value)?),
            "file" => Test::File(PathTest::new(value)?),
            "kind" => Test::Kind(value.to_owned()),
            "source" => Test::Source(value.to_owned()),
            "after" => Test::Since(date_ms(value)?),
            "before" => Test::Until(date_ms(value)?),
            _ => Test::Files(db::with_prop(db, "#", value)?.into_iter().collect()),
        })
    }

    fn matches(&self, row: &db::FilterRow, source: Option<&Source>) -> bool {
        match self {
            Test::Path(test) => test.matches(row.path),
            Test::File(test) => test.matches(row.path.rsplit('/').next().unwrap_or(row.path)),
            Test::Kind(kind) => is_kind(kind, row),
            Test::Source(name) => source.is_some_and(|s| s.is_called(name)),
            Test::Files(files) => files.contains(&row.id),
            Test::Since(ms) => row.modified_ms >= *ms,
            Test::Until(ms) => row.modified_ms < *ms,
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, to the second.
pub fn timestamp(ms: i64) -> String {
    let stamp = jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or_default();
    stamp.to_string()
}
