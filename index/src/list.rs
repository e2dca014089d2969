//! Listing: documents page by page, and completion of their paths.

use crate::Index;
use crate::db;
use crate::error::{Error, Result};
use crate::hit::escape;

/// A document in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// URI without lines.
    pub uri: String,
    /// Relative path.
    pub path: String,
    /// Title.
    pub title: String,
    /// Prose rather than code.
    pub note: bool,
    /// Bytes of text.
    pub bytes: u64,
}

/// The source and path of the last document of a page.
pub type Place = (String, String);

impl Index {
    /// Up to `limit` documents behind `after` (source and path of the last one seen), in the order
    /// of source and path; and where the next page starts.
    ///
    /// # Errors
    /// `Argument` for a cursor that names no source.
    pub fn list(
        &self,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<Place>)> {
        self.read_db(|db| {
            let sources = db::sources(db)?;
            let (first, mut path) = match after {
                None => (0, ""),
                Some((name, path)) => {
                    let at = sources.iter().position(|s| s.is_called(name)).ok_or_else(|| {
                        Error::Argument("the cursor does not fit; start without one".to_owned())
                    })?;
                    (at, path)
                }
            };
            let mut out = Vec::new();
            let mut next = None;
            for source in &sources[first.min(sources.len())..] {
                let room = limit - out.len();
                let rows = db::paths(db, source.id, "", path, room + 1)?;
                path = "";
                let more = rows.len() > room;
                for row in rows.into_iter().take(room) {
                    let note = row.note;
                    let scheme = if note { "note" } else { "code" };
                    let parts: Vec<String> = row.path.split('/').map(escape).collect();
                    let uri = format!("{scheme}://{}/{}", escape(&source.name), parts.join("/"));
                    next = Some((source.name.clone(), row.path.clone()));
                    out.push(Listed {
                        uri,
                        path: row.path,
                        title: row.title,
                        note,
                        bytes: row.bytes,
                    });
                }
                if more {
                    return Ok((out, next));
                }
            }
            Ok((out, None))
        })
    }

    /// Paths of the source `name` that begin with `prefix`, at most `limit`, and whether there are
    /// more. An unknown source has none.
    pub fn complete_path(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<(Vec<String>, bool)> {
        self.read_db(|db| {
            let sources = db::sources(db)?;
            let Some(source) = sources.iter().find(|s| s.is_called(name)) else {
                return Ok((Vec::new(), false));
            };
            let rows = db::paths(db, source.id, prefix, "", limit + 1)?;
            let more = rows.len() > limit;
            Ok((rows.into_iter().take(limit).map(|row| row.path).collect(), more))
        })
    }

    /// The generation of the row that a `note://` or `code://` URI means; `None` if there is none.
    pub fn generation_of(&self, uri: &str) -> Result<Option<u64>> {
        // Asked for every watched URI after every commit: a look at one row, no search for others.
        let Some((name, path)) = crate::read::uri_parts(uri) else { return Ok(None) };
        self.read_db(|db| {
            let sources = db::sources(db)?;
            let Some(source) = sources.iter().find(|s| s.is_called(&name)) else { return Ok(None) };
            db::generation_at(db, source.id, &path)
        })
    }
}
