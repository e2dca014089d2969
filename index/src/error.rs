//! What can go wrong in the index, a variant per thing a caller could do differently.

use std::io;
use std::path::{Path, PathBuf};
use tantivy::TantivyError;
use tantivy::directory::error::{LockError, OpenDirectoryError, OpenReadError, OpenWriteError};

/// Longest description of a damage, in characters: tantivy's may hold whole files.
const REASON_CHARS_MAX: usize = 160;

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
        source: io::Error,
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
    /// This process may not write the data directory.
    #[error(
        "the data directory is read-only for this process, so its index is searched as it is and \
         nothing can be added, changed or kept fresh; let this process write there, or name \
         another data directory with `--data`"
    )]
    ReadOnly,
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
        /// The first documents that it could be, as `source/path`.
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
    /// The word index is damaged: whoever writes makes it anew.
    #[error(
        "the word index is damaged ({0}); the process that writes makes it anew from your files, \
         try again in a moment, or run `synod index` if no process of synod is running"
    )]
    Damaged(String),
    /// The word index has the fields of another version of the program.
    #[error(
        "the words of this index are those of another version of synod; where this one may write \
         it makes them anew in a moment, else update it, or end the older process that writes"
    )]
    OtherWords,
    /// Tantivy failed.
    #[error("the word index failed: {0}")]
    Words(#[source] TantivyError),
    /// The embedding model failed.
    #[error("the embedding model failed: {0}")]
    Embedding(String),
    /// A stored row does not parse.
    #[error("the index holds a row that does not parse ({0}); run `synod doctor --repair`")]
    Row(String),
}

impl From<TantivyError> for Error {
    fn from(error: TantivyError) -> Self {
        if let Some(reason) = damage(&error) {
            return Error::damaged(&reason);
        }
        match refusal(&error) {
            Some((path, source)) => Error::data(path, source),
            None => Error::Words(error),
        }
    }
}

/// What the system refused, if that is what an error says: no permission, no room, too many files.
fn refusal(error: &TantivyError) -> Option<(PathBuf, io::Error)> {
    use TantivyError as E;
    let (path, error) = match error {
        E::OpenReadError(OpenReadError::IoError { io_error, filepath })
        | E::OpenWriteError(OpenWriteError::IoError { io_error, filepath }) => (filepath, io_error),
        E::OpenDirectoryError(OpenDirectoryError::IoError { io_error, directory_path }) => {
            (directory_path, io_error)
        }
        E::IoError(error) | E::LockFailure(LockError::IoError(error), _) => {
            return Some((PathBuf::from("words"), same(error)));
        }
        // Threads of the writer hand errors on as text, or only say that they ended.
        E::ErrorInThread(text) => {
            let full = is_full(text);
            let killed = text.contains("writer was killed");
            let error = match (full, killed) {
                (true, _) => io::Error::from(io::ErrorKind::StorageFull),
                (_, true) => io::Error::other("writing failed, the disk may be full"),
                _ => return None,
            };
            return Some((PathBuf::from("words"), error));
        }
        _ => return None,
    };
    Some((path.clone(), same(error)))
}

/// An error that says the same: the one there is belongs to others too.
fn same(error: &io::Error) -> io::Error {
    let said = || io::Error::new(error.kind(), error.to_string());
    error.raw_os_error().map_or_else(said, io::Error::from_raw_os_error)
}

/// What is wrong with the files of the words, if that is what an error says; permissions, a full
/// disk or too many open files are another matter.
fn damage(error: &TantivyError) -> Option<String> {
    use TantivyError as E;
    let at = |path: &Path, error: &io::Error| is_spoiled(error).then(|| of_file(path, error));
    match error {
        E::OpenReadError(OpenReadError::FileDoesNotExist(path)) => {
            Some(of_file(path, &"it is not there"))
        }
        E::OpenReadError(OpenReadError::IoError { io_error, filepath })
        | E::OpenWriteError(OpenWriteError::IoError { io_error, filepath }) => {
            at(filepath, io_error)
        }
        E::OpenDirectoryError(
            OpenDirectoryError::DoesNotExist(_) | OpenDirectoryError::NotADirectory(_),
        ) => Some("its folder is not there".to_owned()),
        E::OpenReadError(OpenReadError::IncompatibleIndex(_)) | E::IncompatibleIndex(_) => {
            Some("another version wrote it".to_owned())
        }
        E::SchemaError(_) => Some("it has the fields of another version".to_owned()),
        E::DataCorruption(corruption) => Some(format!("{corruption:?}")),
        E::IoError(error) => is_spoiled(error).then(|| error.to_string()),
        _ => None,
    }
}

fn of_file(path: &Path, reason: &dyn std::fmt::Display) -> String {
    // The name alone: callers need not know where the data directory is.
    let name = path.file_name().unwrap_or(path.as_os_str());
    format!("`{}`: {reason}", name.display())
}

/// Whether an error says that what is read is wrong or gone, and not that it cannot be read now.
fn is_spoiled(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    let spoiled = [K::InvalidData, K::UnexpectedEof, K::InvalidInput, K::Other];
    let made_up = error.raw_os_error().is_none() && !is_full(&error.to_string());
    error.kind() == K::NotFound || made_up && spoiled.contains(&error.kind())
}

/// Whether a text that was made of the system's error is about a full disk.
fn is_full(text: &str) -> bool {
    text.contains("No space left")
}

impl Error {
    /// Damage of the word index.
    pub(crate) fn damaged(reason: &str) -> Self {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        // What stands behind a semicolon is taken for the next step.
        Error::Damaged(reason.replace([';', '\n'], ","))
    }

    /// The database is damaged: it has to be made anew.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Sql(error) if crate::salvage::is_damage(error))
    }

    /// What the disk below the stores refused, with what to do; `None` if it is something else.
    pub fn disk(&self) -> Option<&'static str> {
        use rusqlite::ErrorCode as C;
        const FULL: &str = "the disk is full; free some space and try again";
        match self {
            Error::Sql(error) => match error.sqlite_error_code()? {
                C::DiskFull => Some(FULL),
                C::ReadOnly => Some("the disk is read-only; name another with `--data`"),
                C::SystemIoFailure | C::CannotOpen => Some(
                    "the disk does not do what is asked of it; check that it is not full and can \
                     be written",
                ),
                _ => None,
            },
            Error::Data { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(FULL),
            _ => None,
        }
    }

    /// An I/O failure at `path`.
    pub fn data(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Error::Data { path: path.into(), source }
    }
}

/// The result of the index's functions.
pub type Result<T> = std::result::Result<T, Error>;
