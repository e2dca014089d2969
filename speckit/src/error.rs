//! What can go wrong with a Spec-Kit project, a variant per thing a caller could do differently.

use std::path::{Path, PathBuf};

/// Fails an operation on a project.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be used.
    #[error("cannot use `{path}`: {source}; check that it exists and can be read and written")]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No folder from here upwards holds `.specify/`.
    #[error(
        "no Spec-Kit project at or above `{path}`; name a folder with `.specify/` in it, or make \
         one with `specify init --integration none`"
    )]
    NoProject {
        /// Where the search began.
        path: PathBuf,
    },
    /// An argument is out of its bounds.
    #[error("{0}")]
    Argument(String),
    /// A path would leave the project.
    #[error("path `{path}` {why}; give a path inside the project")]
    Outside {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing has that name.
    #[error("{what}")]
    Missing {
        /// What was asked, and what is nearest.
        what: String,
        /// Nearest names, best first.
        nearest: Vec<String>,
    },
    /// Several things have that name.
    #[error("{what}")]
    Ambiguous {
        /// What was asked, and what it could be.
        what: String,
        /// Everything that it could be.
        candidates: Vec<String>,
    },
    /// The document is no longer the one that was read.
    #[error(
        "`{doc}` changed since it was read: {}; look at it and send the edit again with hash \
         `{hash}`", now(*.line, .current)
    )]
    Conflict {
        /// The document, relative to the feature.
        doc: String,
        /// The line that the edit aimed at, as it is numbered now.
        line: Option<usize>,
        /// What that line says now; empty when it is gone.
        current: String,
        /// The document's hash now.
        hash: String,
    },
    /// A document is not the one that somebody wants to replace whole.
    #[error(
        "`{doc}` is another one than was looked at; look at it and send it again with hash `{hash}`"
    )]
    Changed {
        /// The document, relative to the project.
        doc: String,
        /// Its hash now.
        hash: String,
    },
    /// The text that an edit would replace could not be kept.
    #[error("`{path}` was left as it is, for its text could not be kept before the edit: {reason}")]
    NotKept {
        /// The document.
        path: PathBuf,
        /// Why, in the words of whoever keeps.
        reason: String,
    },
    /// Something is there already and is not overwritten.
    #[error("{0}")]
    Exists(String),
    /// Another program holds the lock.
    #[error("another program has edited `{path}` for over {waited_ms} ms; try again")]
    Locked {
        /// What is being edited.
        path: PathBuf,
        /// How long this one waited.
        waited_ms: u64,
    },
    /// Only the Spec-Kit CLI can do that.
    #[error("{0}")]
    Unsupported(String),
    /// A document that the step needs is missing; the words are those of the scripts.
    #[error("{message}; {hint}")]
    Prerequisite {
        /// What is missing.
        message: String,
        /// Which command makes it.
        hint: String,
    },
    /// A file is there but is not what it should be.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The CLI is not installed.
    #[error(
        "the Spec-Kit CLI was not found ({looked}); install it with `uv tool install specify-cli` \
         or `pip install specify-cli`, or set `SPEC_KIT_BIN`; everything else works without it"
    )]
    NoProgram {
        /// Where it was looked for.
        looked: String,
    },
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_owned(), source }
    }
}

fn now(line: Option<usize>, current: &str) -> String {
    match line {
        Some(line) => format!("line {line} is now `{current}`"),
        None => "what the edit aimed at is gone".to_owned(),
    }
}
