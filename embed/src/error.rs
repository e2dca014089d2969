//! What can fail: one variant for each thing that a caller could do differently.

use std::path::PathBuf;

/// Fails an embedding model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the model cannot be read.
    #[error("cannot read `{path}`: {source}; install the model again")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the model is not what it should be.
    #[error("`{path}` is damaged or of another kind: {reason}; install the model again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model that this program cannot run.
    #[error("the model in `{path}` cannot be run here: {reason}")]
    Unsupported {
        /// Its folder.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A text gave no usable vector.
    #[error("the embedding model gave no usable vector: {0}")]
    Vector(String),
}

/// Of this crate.
pub type Result<T> = std::result::Result<T, Error>;
