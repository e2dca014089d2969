//! Bounds that callers meet: every text and every page has one, and an error that names it.

use crate::{Error, Result};

/// Rows of one page of a list.
pub const PAGE_MAX: usize = 1_000;
/// An id, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 128;
/// An owner's name, in bytes.
pub(crate) const OWNER_BYTES_MAX: usize = 256;
/// A word of a table: a kind, a domain, a role, an action, in bytes.
pub(crate) const WORD_BYTES_MAX: usize = 128;

/// Refuses a text of more than `max` bytes.
pub(crate) fn text(what: &str, value: &str, max: usize) -> Result<()> {
    length(what, value.len(), max)
}

/// Refuses more than `max` bytes.
pub(crate) fn length(what: &str, n: usize, max: usize) -> Result<()> {
    if n <= max {
        return Ok(());
    }
    Err(Error::Argument(format!("`{what}` has {n} bytes, the most is {max}; shorten it")))
}

/// Refuses a text that is empty or of more than `max` bytes.
pub(crate) fn name(what: &str, value: &str, max: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::Argument(format!("`{what}` is empty; give it")));
    }
    text(what, value, max)
}

/// Refuses an id that is empty or too long.
pub(crate) fn id(value: &str) -> Result<()> {
    name("id", value, ID_BYTES_MAX)
}

/// Refuses a text that is no JSON or of more than `max` bytes.
pub(crate) fn json(what: &str, value: &str, max: usize) -> Result<()> {
    text(what, value, max)?;
    match serde_json::from_str::<serde::de::IgnoredAny>(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Argument(format!("`{what}` is no JSON: {error}; send JSON"))),
    }
}

/// Refuses a page of more than `max` rows.
pub(crate) fn page(limit: usize, max: usize) -> Result<i64> {
    if limit > max {
        return Err(Error::Argument(format!(
            "`limit` is {limit}, the most is {max}; ask for {max} and go on from the last row"
        )));
    }
    Ok(limit as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_value_and_the_bound() {
        let says = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(says(text("title", "abc", 2)), "`title` has 3 bytes, the most is 2; shorten it");
        assert!(says(name("kind", "", 9)).contains("`kind` is empty"));
        assert!(says(json("refs", "{", 9)).starts_with("`refs` is no JSON"));
        assert!(page(5, 4).unwrap_err().to_string().contains("`limit` is 5, the most is 4"));
        assert!(text("t", "ab", 2).is_ok() && json("j", "[1]", 9).is_ok());
        // A thousand brackets are an error, not a stack that ends.
        assert!(json("j", &"[".repeat(1_000), 9_999).is_err());
    }
}
