//! A text as a reader sees it: without case, width, invisible characters and extra space.
//!
//! Phrases and instructions are looked for here, so that `ＩＧＮＯＲＥ`, `ig<zero width>nore` and
//! `𝐢𝐠𝐧𝐨𝐫𝐞` are what they look like. Letters of other scripts that look alike stay what they are.
//! Invariant: every byte of the folded text knows the character that it comes from.

use std::ops::Range;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A folded text.
pub(crate) struct Fold {
    /// Lower case, compatibility-decomposed; a run of white space is one space, or one newline
    /// where it holds one.
    pub(crate) text: String,
    /// For each byte of `text`, where its character starts in the source.
    from: Vec<usize>,
}

impl Fold {
    pub(crate) fn of(source: &str) -> Self {
        let mut fold = Fold {
            text: String::with_capacity(source.len()),
            from: Vec::with_capacity(source.len()),
        };
        for (at, c) in source.char_indices() {
            if c.is_whitespace() {
                fold.space(at, c);
            } else if c.is_ascii() {
                fold.put(at, c.to_ascii_lowercase());
            } else if !is_invisible(c) {
                // Upper case first: it brings `ß` to `ss` and the two small sigmas together.
                for c in c.nfkd().flat_map(char::to_uppercase).flat_map(char::to_lowercase) {
                    // NFKD gives a space to a few characters, such as the acute accent alone.
                    if c == ' ' { fold.space(at, c) } else { fold.put(at, c) }
                }
            }
        }
        fold
    }

    fn put(&mut self, at: usize, c: char) {
        self.text.push(c);
        self.from.resize(self.text.len(), at);
    }

    fn space(&mut self, at: usize, c: char) {
        let c = if c == '\n' || c == '\r' { '\n' } else { ' ' };
        match self.text.as_bytes().last() {
            Some(b'\n') => {}
            Some(b' ') if c == ' ' => {}
            Some(b' ') => {
                self.text.pop();
                self.text.push(c);
            }
            _ => self.put(at, c),
        }
    }

    /// The bytes of the source that a range of the folded text comes from.
    pub(crate) fn source(&self, range: Range<usize>, source: &str) -> Range<usize> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return 0..0;
        };
        let (start, last) = (self.from[range.start], self.from[last]);
        start..last + source[last..].chars().next().map_or(0, char::len_utf8)
    }

    /// Whether a match that ends here would tear an accent off its letter.
    pub(crate) fn tears(&self, end: usize) -> bool {
        self.text[end..].chars().next().is_some_and(is_combining_mark)
    }
}

/// Characters without width of their own: joiners, direction marks, variation selectors, tags.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_folds_alike() {
        for text in ["Straße", "STRASSE", "ＳＴＲＡＳＳＥ", "stra\u{200b}ss\u{ad}e", "𝐬𝐭𝐫𝐚𝐬𝐬𝐞"]
        {
            assert_eq!(Fold::of(text).text, "strasse", "{text}");
        }
        assert_eq!(Fold::of("a \t\u{a0}b \r\n\n c").text, "a b\nc");
        assert_eq!(Fold::of("ΣΊΣΥΦΟΣ").text, Fold::of("σίσυφος").text);
        assert_eq!(Fold::of("é").text, Fold::of("e\u{301}").text);
    }

    #[test]
    fn ranges_lead_back_to_whole_characters() {
        let source = "x ﬁﬁ\u{200b}y ½";
        let fold = Fold::of(source);
        for start in 0..fold.text.len() {
            for end in start + 1..=fold.text.len() {
                assert!(source.get(fold.source(start..end, source)).is_some(), "{start}..{end}");
            }
        }
        let at = fold.text.find("fi").expect("a ligature");
        assert_eq!(&source[fold.source(at..at + 2, source)], "ﬁ");
        assert_eq!(fold.source(3..3, source), 0..0);
    }
}
