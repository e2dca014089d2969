//! Whether an embedding model fits the languages that the notes are written in. Pure.

use crate::language::{self, ENGLISH};
use std::cmp::Reverse;

/// The languages that an embedding model was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeFor {
    /// English alone.
    English,
    /// Many, so that none is missed.
    Many,
}

/// Of the notes whose language can be told: where more are in languages that the model was not made
/// for, it is said.
const FOREIGN_PERCENT_MAX: u64 = 50;
/// Notes whose language can be told: of fewer nothing is said, one that is told wrongly would do.
const NOTES_MIN: u64 = 5;
/// Languages that are named.
const LANGUAGES_MAX: usize = 3;

/// One sentence where most notes (how many by the code of their language) are in languages that the
/// model was not made for.
pub fn misfit(notes: &[(String, u64)], made_for: Option<MadeFor>) -> Option<String> {
    if made_for != Some(MadeFor::English) {
        return None;
    }
    let told: u64 = notes.iter().map(|(_, n)| n).sum();
    let foreign = notes.iter().map(|(code, n)| (code.as_str(), *n));
    let mut foreign: Vec<(&str, u64)> = foreign.filter(|(code, _)| *code != ENGLISH).collect();
    let n_foreign: u64 = foreign.iter().map(|(_, n)| n).sum();
    if told < NOTES_MIN || n_foreign * 100 <= told * FOREIGN_PERCENT_MAX {
        return None;
    }
    foreign.sort_by_key(|(code, n)| (Reverse(*n), *code));
    let percent = |n: u64| (n * 100 + told / 2) / told;
    let name = |code| language::name(code).unwrap_or(code);
    let named = foreign.iter().take(LANGUAGES_MAX);
    let mut shares: Vec<String> =
        named.map(|(code, n)| format!("{} % in {}", percent(*n), name(*code))).collect();
    let others: u64 = foreign.iter().skip(LANGUAGES_MAX).map(|(_, n)| n).sum();
    if others > 0 {
        shares.push(format!("{} % in others", percent(others)));
    }
    let shares = shares.join(", ");
    Some(format!(
        "the embedding model was made for English, but most notes are in other languages \
         ({shares}, of those whose language can be told): words find them all the same, meaning \
         does less well; set `embedding.model` to one that was made for many languages, such as \
         `bge-m3` or `embeddinggemma` on an Ollama server"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(notes: &[(&str, u64)], made_for: Option<MadeFor>) -> Option<String> {
        let notes: Vec<_> = notes.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect();
        misfit(&notes, made_for)
    }

    #[test]
    fn notes_in_other_languages_than_the_models_are_told_of_with_their_share() {
        let english = Some(MadeFor::English);
        let told = said(&[("de", 6), ("en", 2)], english).unwrap();
        assert!(told.contains("(75 % in German, of those"), "{told}");
        let many = [("cmn", 1), ("de", 20), ("en", 9), ("fr", 2), ("nb", 2), ("xxx", 6)];
        let told = said(&many, english).unwrap();
        assert!(told.contains("(50 % in German, 15 % in xxx, 5 % in French, 8 % in o"), "{told}");
        let told = said(&[("cmn", 5)], english).unwrap();
        assert!(told.contains("(100 % in Chinese, of those"), "{told}");
    }

    #[test]
    fn nothing_is_said_where_the_model_fits_or_nobody_knows() {
        let german = [("de", 60), ("en", 2)];
        assert!(said(&german, Some(MadeFor::English)).is_some());
        assert_eq!(said(&german, Some(MadeFor::Many)), None);
        assert_eq!(said(&german, None), None, "a model of which nothing is known");
        for notes in [
            &[("de", 30), ("en", 30)][..],
            &[("de", 15), ("en", 50), ("fr", 15)],
            &[("en", 60)],
            &[("de", NOTES_MIN - 1)],
            &[],
        ] {
            assert_eq!(said(notes, Some(MadeFor::English)), None, "{notes:?}");
        }
        assert!(said(&[("de", 31), ("en", 30)], Some(MadeFor::English)).is_some());
    }
}
