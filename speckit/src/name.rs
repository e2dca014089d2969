//! Names of new features, letter for letter as the published scripts make them.
//!
//! Knows no disk: which names exist is an argument.

use crate::error::{Error, Result};
use crate::letter::kept;
use crate::project::has_timestamp;

/// Longest name of a branch on GitHub, in bytes.
pub const NAME_BYTES_MAX: usize = 244;
/// The highest number of a feature.
pub const NUMBER_MAX: u64 = i64::MAX as u64;
/// Words that say nothing about a feature.
const STOP_WORDS: &[&str] = &[
    "i", "a", "an", "the", "to", "for", "of", "in", "on", "at", "by", "with", "from", "is", "are",
    "was", "were", "be", "been", "being", "have", "has", "had", "do", "does", "did", "will",
    "would", "should", "could", "can", "may", "might", "must", "shall", "this", "that", "these",
    "those", "my", "your", "our", "their", "want", "need", "add", "get", "set",
];

/// ASCII lower case, and `apart` for everything that is no letter or digit.
fn words(text: &str, apart: char) -> String {
    text.chars().map(|c| if kept(c) { c.to_ascii_lowercase() } else { apart }).collect()
}

/// A short name as part of a folder's name; empty if nothing of it can stay.
pub fn slug(text: &str) -> String {
    let words = words(text, '-');
    words.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Whether a short word stands in the text in upper case, by itself.
fn is_acronym(word: &str, text: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(&upper).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + upper.len()..].chars().next();
        !before.is_some_and(part) && !behind.is_some_and(part)
    })
}

/// A name from a description: its first words that mean something.
pub fn slug_of_description(text: &str) -> String {
    let clean = words(text, ' ');
    let meaningful: Vec<&str> = clean
        .split(' ')
        .filter(|word| !word.is_empty() && !STOP_WORDS.contains(word))
        .filter(|word| word.chars().count() >= 3 || !word.is_ascii() || is_acronym(word, text))
        .collect();
    if meaningful.is_empty() {
        return slug(text).split('-').take(3).collect::<Vec<_>>().join("-");
    }
    let n = if meaningful.len() == 4 { 4 } else { 3 };
    meaningful.into_iter().take(n).collect::<Vec<_>>().join("-")
}

/// The number that a folder's name begins with: at least three digits, no timestamp.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    let counts = digits >= 3 && name[digits..].starts_with('-') && !has_timestamp(name);
    counts.then(|| name[..digits].parse().ok().filter(|n| *n <= NUMBER_MAX))?
}

/// The number that follows those that exist.
///
/// # Errors
/// `Argument` if there is none.
pub fn next_number<'a>(existing: impl Iterator<Item = &'a str>) -> Result<u64> {
    match existing.filter_map(number_of).max().unwrap_or(0) {
        NUMBER_MAX => {
            Err(Error::Argument(format!("no feature number is left behind {NUMBER_MAX}")))
        }
        highest => Ok(highest + 1),
    }
}

/// A preferred number if no folder begins with it, else the next free one, with true.
///
/// # Errors
/// `Argument` for a number over [`NUMBER_MAX`].
pub fn free_number(wanted: u64, existing: &[&str]) -> Result<(u64, bool)> {
    if wanted > NUMBER_MAX {
        return Err(Error::Argument(format!(
            "`number` is {wanted}, it goes from 0 to {NUMBER_MAX}"
        )));
    }
    let taken = |number: u64| {
        let prefix = format!("{number:03}-");
        existing.iter().any(|name| name.starts_with(&prefix))
    };
    if !taken(wanted) {
        return Ok((wanted, false));
    }
    let mut number = next_number(existing.iter().copied())?;
    while taken(number) {
        if number == NUMBER_MAX {
            return Err(Error::Argument(format!("no feature number is left behind {NUMBER_MAX}")));
        }
        number += 1;
    }
    Ok((number, true))
}

/// Checks `YYYYMMDD-HHMMSS`.
///
/// # Errors
/// `Argument` for anything else.
pub fn check_timestamp(text: &str) -> Result<()> {
    if text.len() == 15 && has_timestamp(&format!("{text}-")) {
        return Ok(());
    }
    let shown = text.escape_debug();
    Err(Error::Argument(format!("`timestamp` is `{shown}`, give it as YYYYMMDD-HHMMSS")))
}

/// Prefix and slug within [`NAME_BYTES_MAX`]; true if something was cut off.
pub fn fit(prefix: &str, slug: &str) -> (String, bool) {
    let whole = format!("{prefix}-{slug}");
    if whole.len() <= NAME_BYTES_MAX {
        return (whole, false);
    }
    let mut end = NAME_BYTES_MAX;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    let cut = whole[prefix.len() + 1..end].trim_end_matches('-');
    (format!("{prefix}-{cut}"), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn descriptions_as_the_scripts_cut_them() {
        let cases = [
            ("I want to add OAuth2 integration for the API", "oauth2-integration-api"),
            ("Fix UI bug", "fix-ui-bug"),
            ("Fix ui bug", "fix-bug"),
            ("a an the to", "a-an-the"),
            ("!!!", ""),
            ("one two three four", "one-two-three-four"),
            ("one two three four five", "one-two-three"),
            ("créer système d'authentification", "créer-système-authentification"),
            ("日本語の機能", "日本語の機能"),
            ("Éa x", "Éa"),
            ("X_UI y", ""),
        ];
        for (text, wanted) in cases {
            let found = slug_of_description(text);
            // `X_UI` is no acronym, so that the fallback takes all of it.
            let wanted = if text == "X_UI y" { "x-ui-y" } else { wanted };
            assert_eq!(found, wanted, "{text}");
        }
        assert_eq!(slug("--User  Auth!!"), "user-auth");
    }

    #[test]
    fn numbers() {
        let next = |names: &[&str]| next_number(names.iter().copied()).unwrap();
        assert_eq!(next(&[]), 1);
        assert_eq!(next(&["001-a", "12-y", "20260131-120000-b"]), 2);
        assert_eq!(next(&["1000-a", "007"]), 1001);
        assert_eq!(next(&["9223372036854775808-a", "002-b"]), 3);
        assert!(next_number(["9223372036854775807-a"].into_iter()).is_err());
        assert_eq!(free_number(5, &["001-a"]).unwrap(), (5, false));
        assert_eq!(free_number(1, &["001-a", "007-b"]).unwrap(), (8, true));
        assert!(free_number(NUMBER_MAX + 1, &[]).is_err());
        assert!(check_timestamp("20260131-120000").is_ok());
        for bad in ["", "20260131", "20260131_120000", "20260131-120000-", "日20260131-1200"] {
            assert!(check_timestamp(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let (name, cut) = fit("001", &"é".repeat(200));
        assert!(cut && name.len() <= NAME_BYTES_MAX && name.ends_with('é'));
        assert_eq!(name.len(), 244);
        let (name, cut) = fit("001", &format!("{}-{}", "a".repeat(239), "b".repeat(9)));
        assert!(cut && name == format!("001-{}", "a".repeat(239)));
        assert!(!fit("001", "a").1);
    }

    proptest! {
        #[test]
        fn names_never_leave_the_folder(text in any::<String>()) {
            for slug in [slug(&text), slug_of_description(&text)] {
                let (name, _) = fit("001", &slug);
                prop_assert!(name.len() <= NAME_BYTES_MAX);
                prop_assert!(!name.contains(['/', '\\', '.', '\0']));
            }
        }
    }
}
