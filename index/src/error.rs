//! What can go wrong in the index, a variant per thing a caller could do differently.

use std::path::PathBuf;

/// Fails the index.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory or a file in it cannot be used.
    #[error("cannot use `{path}`: {source}; check that the folder exists and can be written")]
    Data {
        /// The path that failed.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The index was written by a newer program.
    #[error(
        "the index in `{path}` has format {found}, this program reads up to {known}; \
         update synod, or name another data directory with `--data`"
    )]
    Newer {
        /// The data directory.
        path: PathBuf,
        /// The format on disk.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The files of the index were read by a newer program, in a way of its own.
    #[error(
        "a newer synod wrote this index (its way of reading files is {found}, this one knows \
         {known}), so this one only reads it; update this one"
    )]
    NewerReading {
        /// How they were read.
        found: i64,
        /// How this program reads them.
        known: i64,
    },
    /// A path that may not become a source.
    #[error("{0}")]
    Source(String),
    /// Nothing has that name; the nearest ones are listed.
    #[error("{what}")]
    Missing {
        /// What was asked and what is nearest.
        what: String,
        /// Nearest names, best first.
        nearest: Vec<String>,
    },
    /// Several documents have that name.
    #[error("{what}")]
    Ambiguous {
        /// What was asked.
        what: String,
        /// Every document that it could be, as `source:path`.
        candidates: Vec<String>,
    },
    /// The document is known but cannot be read now.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// `source:path`.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// An argument is out of its bounds.
    #[error("{0}")]
    Argument(String),
    /// Another process holds the writer's lock.
    #[error("another process is writing this index; the request was left to it")]
    NotWriter,
    /// The caller stopped the work.
    #[error("cancelled")]
    Cancelled,
    /// SQLite failed.
    #[error("the index database failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// Tantivy failed.
    #[error("the word index failed: {0}")]
    Words(#[from] tantivy::TantivyError),
    /// The embedding model failed.
    #[error("the embedding model failed: {0}")]
    Embedding(String),
    /// A stored row does not parse.
    #[error("the index holds a row that does not parse ({0}); run `synod doctor --repair`")]
    Row(String),
}

impl Error {
    /// The database is damaged: it has to be made anew.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Sql(error) if crate::salvage::is_damage(error))
    }

    /// An I/O failure at `path`.
    pub fn data(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Data { path: path.into(), source }
    }
}

/// The result of the index's functions.
pub type Result<T> = std::result::Result<T, Error>;
