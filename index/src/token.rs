//! Text to words: the one analysis that indexing and queries share.
//!
//! An identifier yields its whole form (lower case, joiners removed) and its camelCase,
//! snake_case, kebab and digit parts; only parts are stemmed. A single word yields its stem.
//! Text without spaces (Han, kana, Hangul, Thai and the like) yields characters and bigrams.
//! Where folding diacritics changes a word, both forms stand at one position.
//!
//! Invariant: positions count parts, so a phrase of words matches the identifier made of them.

use crate::limit::TOKEN_BYTES_MAX;
use std::borrow::Cow;
use tantivy::tokenizer::{Language, StemmerAlgorithm, Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

mod stem {
    //! The stemmer behind one function, so that the library is named once.
    pub(super) use super::snowball::english;
}

mod snowball {
    use rust_stemmers::{Algorithm, Stemmer};
    use std::borrow::Cow;

    thread_local! {
        static ENGLISH: Stemmer = Stemmer::create(Algorithm::English);
    }

    /// The English Snowball stem of a lower-case ASCII word.
    pub fn english(word: &str) -> Cow<'_, str> {
        ENGLISH.with(|stemmer| stemmer.stem(word))
    }
}
