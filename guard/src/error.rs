//! What can be wrong with the operator's settings; a scan itself never fails.

/// Fails the making of a guard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pattern cannot be read.
    #[error(
        "blocked pattern `{name}` is wrong at line {line}, character {column}: {reason}; \
         see the syntax of Rust's `regex`, which has neither look-around nor back-references"
    )]
    Pattern {
        /// What the operator calls it.
        name: String,
        /// From 1.
        line: usize,
        /// In characters from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A pattern can be read and not be used.
    #[error("blocked pattern `{name}` cannot be used: {reason}")]
    Unusable {
        /// What the operator calls it.
        name: String,
        /// Why.
        reason: String,
    },
    /// An entry of a list is too short or too long. The text itself may be a secret.
    #[error("{list} `{name}` has {given} {unit}, it needs {least} to {most}")]
    Length {
        /// `phrase`, `value` or `pattern`.
        list: &'static str,
        /// What the operator calls it.
        name: String,
        /// How many it has.
        given: usize,
        /// Of what.
        unit: &'static str,
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
    },
    /// A list is too long.
    #[error("{given} entries in the list of {list}s, the most is {most}")]
    TooMany {
        /// `phrase`, `value` or `pattern`.
        list: &'static str,
        /// How many there are.
        given: usize,
        /// The bound.
        most: usize,
    },
    /// Two entries of a list have one name, or one has none.
    #[error("{list} `{name}` has no name of its own; give each entry of the list one")]
    Name {
        /// `phrase`, `value` or `pattern`.
        list: &'static str,
        /// The name.
        name: String,
    },
    /// A mode is set for a rule that does not exist.
    #[error("no rule or kind `{name}`; there are {known}")]
    Rule {
        /// What was named.
        name: String,
        /// What can be named.
        known: String,
    },
}

/// Of this crate.
pub type Result<T> = std::result::Result<T, Error>;
