//! What may appear: filters of a call and those typed into a query, evaluated over documents.
//!
//! Invariant: a filter says yes or no to a document and never touches a score.

use crate::db::{self, Source};
use crate::error::{Error, Result};
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
    /// Filters typed with a minus.
    pub without: Vec<(String, String)>,
}

/// Filters of the call with those of the query.
pub(crate) fn merge(given: &Filters, query: &Query) -> Result<Filters> {
    let mut out = given.clone();
    for (filter, keep) in &query.filters {
        let (name, value) = match filter {
            Filter::Tag(v) => ("tag", v),
            Filter::Path(v) => ("path", v),
            Filter::Kind(v) => ("kind", v),
            Filter::Source(v) => ("source", v),
            Filter::After(v) => ("after", v),
            Filter::Before(v) => ("before", v),
        };
        if !keep {
            out.without.push((name.to_owned(), value.clone()));
            continue;
        }
        match filter {
            Filter::Tag(tag) => out.tags.push(tag.clone()),
            Filter::Path(path) => out.path = Some(path.clone()),
            Filter::Kind(kind) => out.kind = Some(kind.clone()),
            Filter::Source(source) => out.source = Some(source.clone()),
            Filter::After(date) => out.after_ms = date_ms(date).ok(),
            Filter::Before(date) => out.before_ms = date_ms(date).ok(),
        }
    }
    Ok(out)
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
    let moment = text.parse::<jiff::civil::DateTime>();
    let moment = moment.or_else(|_| text.parse::<jiff::civil::Date>().map(Into::into));
    match moment.and_then(|m| m.to_zoned(utc)) {
        Ok(zoned) => Ok(zoned.timestamp().as_millisecond()),
        Err(_) => Err(Error::Argument(format!(
            "`{text}` is not a date; write `2026-01-31` or `2026-01-31T08:00:00Z`"
        ))),
    }
}

/// Whether the value of a typed filter can be one.
pub(crate) fn check(filter: &Filter) -> Result<()> {
    match filter {
        Filter::Path(path) => PathTest::new(path).map(|_| ()),
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
        && !sources.iter().any(|s| s.name == *name)
    {
        let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
        return Err(Error::Argument(format!(
            "no source `{name}`; there are {}",
            if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }
        )));
    }
    let path = filters.path.as_deref().map(PathTest::new).transpose()?;
    let mut without = Vec::new();
    for (name, value) in &filters.without {
        without.push(Without::new(db, name, value)?);
    }
    let mut rows = vec![false; view.entries.len()];
    let source_of: HashMap<i64, &Source> = sources.iter().map(|s| (s.id, s)).collect();
    db::filter_rows(db, |row| {
        let Some(entry) = view.entry(row.id) else { return };
        let source = source_of.get(&row.source);
        let named = |want: &Option<String>, have: Option<&String>| {
            want.as_ref().is_none_or(|want| have.is_some_and(|have| have == want))
        };
        let kind = |want: &String| row.kind == want || row.class.name() == want;
        rows[entry as usize] = named(&filters.source, source.map(|s| &s.name))
            && named(&filters.collection, source.map(|s| &s.collection))
            && filters.kind.as_ref().is_none_or(kind)
            && path.as_ref().is_none_or(|p| p.matches(row.path))
            && filters.after_ms.is_none_or(|ms| row.modified_ms >= ms)
            && filters.before_ms.is_none_or(|ms| row.modified_ms < ms)
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

/// A filter that leaves out what matches.
enum Without {
    Path(PathTest),
    Kind(String),
    Source(String),
    Files(std::collections::HashSet<u32>),
    Since(i64),
    Until(i64),
}

impl Without {
    fn new(db: &Connection, name: &str, value: &str) -> Result<Self> {
        Ok(match name {
            "path" => Without::Path(PathTest::new(value)?),
            "kind" => Without::Kind(value.to_owned()),
            "source" => Without::Source(value.to_owned()),
            "after" => Without::Since(date_ms(value)?),
            "before" => Without::Until(date_ms(value)?),
            _ => Without::Files(db::with_prop(db, "#", value)?.into_iter().collect()),
        })
    }

    fn matches(&self, row: &db::FilterRow, source: Option<&Source>) -> bool {
        match self {
            Without::Path(test) => test.matches(row.path),
            Without::Kind(kind) => row.kind == kind || row.class.name() == kind,
            Without::Source(name) => source.is_some_and(|s| s.name == *name),
            Without::Files(files) => files.contains(&row.id),
            Without::Since(ms) => row.modified_ms >= *ms,
            Without::Until(ms) => row.modified_ms < *ms,
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, to the second.
pub fn timestamp(ms: i64) -> String {
    let stamp = jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or_default();
    stamp.to_string()
}
