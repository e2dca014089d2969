//! Text to words: the one analysis that indexing and queries share.
//!
//! An identifier yields its whole form (lower case, joiners removed) and its camelCase,
//! snake_case, kebab and digit parts; only parts are stemmed. A single word yields its stem.
//! Text without spaces (Han, kana, Hangul, Thai and the like) yields characters and bigrams.
//! Where folding diacritics changes a word, both forms stand at one position.
//!
//! Invariant: positions count parts, so a phrase of words matches the identifier made of them.

use crate::language::{self, Language};
use crate::limit::TOKEN_BYTES_MAX;
use crate::stem::stem;
use std::borrow::Cow;
use std::ops::Range;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A letter-digit run with more switches than this is a hash or a blob: it is not split.
const DIGIT_SPLITS_MAX: usize = 6;

/// Between a stem of a language and the language's code.
const NATIVE: char = '\u{1}';

/// A letter and its signs in a script without spaces, in bytes.
const CLUSTER_BYTES_MAX: usize = 24;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole identifier of several parts, joiners removed, not stemmed.
    Whole,
    /// A word, or one part of an identifier, stemmed.
    Part,
    /// A word with its diacritics kept, beside its folded `Part`.
    Accented,
    /// A word's stem in the language of its text, beside the others.
    Native,
    /// One character of a script without spaces, with the signs that belong to it.
    Unigram,
    /// Two neighbouring characters of a script without spaces.
    Bigram,
}

/// One token of a run: its text, form, position and byte range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The normalised text, as it stands in the index.
    pub text: String,
    /// What it stands for.
    pub form: Form,
    /// Ordinal among the parts of the text.
    pub position: usize,
    /// Bytes of the source text.
    pub bytes: Range<usize>,
}

/// Cuts a text into words, one run (an identifier, a word, a stretch of Han …) at a time.
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
    position: usize,
    parts: Vec<Range<usize>>,
    language: Option<Language>,
}

impl<'t> Scanner<'t> {
    /// Starts at the head of `text`, behind the sign of its language if it has one.
    pub fn new(text: &'t str) -> Self {
        let language = Language::signed(text);
        let at = language.map_or(0, |language| language.sign().len_utf8());
        Scanner { text, at, position: 0, parts: Vec::new(), language }
    }

    /// The same for a text in `language`.
    pub fn of(text: &'t str, language: Option<Language>) -> Self {
        Scanner { language, ..Scanner::new(text) }
    }

    /// Appends the tokens of the next run to `out`; false at the end of the text.
    pub fn next_run(&mut self, out: &mut Vec<Word>) -> bool {
        let Some(run) = next_run(self.text, self.at) else { return false };
        self.at = run.end;
        if self.text[run.clone()].is_ascii() {
            self.identifier(run, out);
        } else {
            self.mixed(run, out);
        }
        true
    }

    /// A run with characters beyond ASCII: stretches of spaceless scripts apart from the rest.
    fn mixed(&mut self, run: Range<usize>, out: &mut Vec<Word>) {
        let mut start = run.start;
        let mut spaceless = None;
        for (offset, c) in self.text[run.clone()].char_indices() {
            let at = run.start + offset;
            let this = is_spaceless(c);
            if spaceless.is_some_and(|before| before != this) {
                self.stretch(start..at, !this, out);
                start = at;
            }
            spaceless = Some(this);
        }
        self.stretch(start..run.end, spaceless == Some(true), out);
    }

    fn stretch(&mut self, bytes: Range<usize>, spaceless: bool, out: &mut Vec<Word>) {
        if spaceless { self.grams(bytes, out) } else { self.identifier(bytes, out) }
    }

    /// Characters and their bigrams. Vowel and tone signs belong to the letter before them.
    fn grams(&mut self, bytes: Range<usize>, out: &mut Vec<Word>) {
        let mut before: Option<(usize, String)> = None;
        let mut chars = self.text[bytes.clone()].char_indices().peekable();
        while let Some((offset, c)) = chars.next() {
            let mut end = offset + c.len_utf8();
            while let Some((at, sign)) = chars.next_if(|(_, c)| is_combining_mark(*c)) {
                // More signs than a letter has are noise.
                if at - offset < CLUSTER_BYTES_MAX {
                    end = at + sign.len_utf8();
                }
            }
            let (at, end) = (bytes.start + offset, bytes.start + end);
            let text: String = self.text[at..end].nfkc().flat_map(char::to_lowercase).collect();
            if let Some((from, head)) = &before {
                out.push(Word {
                    text: format!("{head}{text}"),
                    form: Form::Bigram,
                    position: self.position - 1,
                    bytes: *from..end,
                });
            }
            out.push(Word {
                text: text.clone(),
                form: Form::Unigram,
                position: self.position,
                bytes: at..end,
            });
            self.position += 1;
            before = Some((at, text));
        }
    }

    /// A word or an identifier: its whole form when it has several parts, then its parts.
    fn identifier(&mut self, run: Range<usize>, out: &mut Vec<Word>) {
        // Most runs are plain words, which have one part and nothing to fold.
        if run.len() <= TOKEN_BYTES_MAX && self.language.is_none() && self.is_plain(&run) {
            let text = stem(&self.text[run.clone()]);
            out.push(Word { text, form: Form::Part, position: self.position, bytes: run });
            self.position += 1;
            return;
        }
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        split(self.text, run.clone(), &mut parts);
        if parts.len() > 1 {
            let mut whole = String::with_capacity(run.len());
            for part in &parts {
                whole.push_str(&lower(&self.text[part.clone()]));
            }
            if whole.len() <= TOKEN_BYTES_MAX {
                let position = self.position;
                let bytes = run.clone();
                out.push(Word { text: whole, form: Form::Whole, position, bytes });
            }
        }
        let hyphens = parts.len() > 2 && self.text[run.clone()].contains('-');
        let mut piece = 0..0;
        for (at, part) in parts.iter().enumerate() {
            if part.len() > TOKEN_BYTES_MAX {
                continue;
            }
            if hyphens && at >= piece.end {
                piece = self.piece(&parts, at, &run, out);
            }
            self.part(part.clone(), out);
            self.position += 1;
        }
        self.parts = parts;
    }

    /// The parts from `at` on that no hyphen parts (`dBase` of `dBase-Datenbanken`), with a whole
    /// form of their own if they are several and not the whole run.
    fn piece(
        &self,
        parts: &[Range<usize>],
        at: usize,
        run: &Range<usize>,
        out: &mut Vec<Word>,
    ) -> Range<usize> {
        let joined = |pair: &[Range<usize>]| !self.text[pair[0].end..pair[1].start].contains('-');
        let n = parts[at..].windows(2).take_while(|pair| joined(pair)).count() + 1;
        let bytes = parts[at].start..parts[at + n - 1].end;
        if n > 1 && bytes.len() <= TOKEN_BYTES_MAX && bytes != *run {
            let lowered = parts[at..at + n].iter().map(|part| lower(&self.text[part.clone()]));
            let text: String = lowered.collect();
            out.push(Word { text, form: Form::Whole, position: self.position, bytes });
        }
        at..at + n
    }

    fn is_plain(&self, run: &Range<usize>) -> bool {
        self.text.as_bytes()[run.clone()].iter().all(u8::is_ascii_lowercase)
    }

    fn part(&mut self, bytes: Range<usize>, out: &mut Vec<Word>) {
        let lowered = lower(&self.text[bytes.clone()]);
        let position = self.position;
        let folded = fold(&lowered);
        // A stray combining mark folds to nothing: it stays what it is.
        let folded = if folded.is_empty() { lowered.clone() } else { folded };
        if lowered.is_empty() {
            return;
        }
        if folded != lowered {
            let text = lowered.clone().into_owned();
            out.push(Word { text, form: Form::Accented, position, bytes: bytes.clone() });
        }
        let english = folded.bytes().all(|b| b.is_ascii_lowercase());
        let text = match english {
            true => stem(&folded),
            false => match language::stem_by_script(&lowered) {
                // Of signs alone nothing is left: they stay what they are.
                Some(stem) if !fold(&stem).is_empty() => fold(&stem).into_owned(),
                _ => folded.into_owned(),
            },
        };
        if let Some(native) = self.language.filter(|_| english) {
            let (text, bytes) = (native_stem(native, &lowered), bytes.clone());
            out.push(Word { text, form: Form::Native, position, bytes });
        }
        out.push(Word { text, form: Form::Part, position, bytes });
    }
}

/// The stem of a word in lower case in a language, as it is indexed: apart from the stems of other
/// languages, so that a German ending is never taken off an English word.
pub fn native_stem(language: Language, lowered: &str) -> String {
    // Behind the stem: whoever passes over words goes by the first letters of forms.
    format!("{}{NATIVE}{}", fold(&language.stem(lowered)), language.code())
}

/// The stem in a form that is one of a language; nothing of any other form.
pub fn native_of(form: &str) -> Option<&str> {
    form.split_once(NATIVE).map(|(stem, _)| stem)
}

/// All words of `text`.
pub fn words(text: &str) -> Vec<Word> {
    let mut scanner = Scanner::new(text);
    let mut out = Vec::new();
    while scanner.next_run(&mut out) {}
    out
}

/// What is looked for in a text.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Forms of words, sorted.
    pub forms: &'a [String],
    /// The language of the text, as it was indexed, if it has stems of its own.
    pub language: Option<Language>,
}

impl<'a> Sought<'a> {
    /// In a text of English, or of no language that is known.
    pub fn plain(forms: &'a [String]) -> Self {
        Sought { forms, language: None }
    }

    /// The language, if stems of it are sought.
    fn native(&self) -> Option<Language> {
        let is_of = |form: &String, code| form.split_once(NATIVE).is_some_and(|(_, c)| c == code);
        self.language.filter(|l| self.forms.iter().any(|form| is_of(form, l.code())))
    }
}

/// Whether some of these forms are stems of a language of their own.
pub fn has_natives(forms: &[String]) -> bool {
    forms.iter().any(|form| form.contains(NATIVE))
}

/// Where words that are sought stand in `text`. Words whose first letters no form shares are passed
/// over without stemming: a stem keeps the head of its word.
pub fn find(text: &str, sought: Sought) -> Vec<Word> {
    let forms = sought.forms;
    let heads = Heads::of(forms);
    let mut scanner = Scanner::of(text, sought.native());
    let (mut run, mut out) = (Vec::new(), Vec::new());
    while let Some(next) = next_run(text, scanner.at) {
        let bytes = text[next.clone()].as_bytes();
        let single = bytes.iter().all(u8::is_ascii_lowercase);
        // Parts begin behind joiners, humps and digits too: any letter may be a head.
        let any = || bytes.iter().any(|b| heads.first(*b) || *b >= 0x80);
        if !(if single { heads.of_word(bytes) } else { any() }) {
            scanner.at = next.end;
            continue;
        }
        scanner.next_run(&mut run);
        out.extend(run.drain(..).filter(|word| forms.binary_search(&word.text).is_ok()));
    }
    out
}

/// By first byte: the second letters of forms, one bit each. `y` counts as `i`, which stemming
/// puts in its place (`dying`, `die`).
struct Heads([u32; 256]);

impl Heads {
    fn of(forms: &[String]) -> Self {
        let mut heads = Heads([0; 256]);
        for form in forms {
            let bytes = form.as_bytes();
            let Some(first) = bytes.first() else { continue };
            heads.0[*first as usize] |= bytes.get(1).map_or(u32::MAX, |b| second(*b));
        }
        heads
    }

    fn first(&self, byte: u8) -> bool {
        self.0[byte.to_ascii_lowercase() as usize] != 0
    }

    /// Whether a word of small letters may have one of the forms.
    fn of_word(&self, bytes: &[u8]) -> bool {
        let mask = self.0[bytes[0] as usize];
        bytes.get(1).map_or(mask != 0, |b| mask & second(*b) != 0)
    }
}

fn second(byte: u8) -> u32 {
    match byte {
        b'y' => 1 << (b'i' - b'a'),
        b'a'..=b'z' => 1 << (byte - b'a'),
        _ => u32::MAX,
    }
}

/// The key under which a defined name, a title or a query is compared as a whole: its letters and
/// digits in lower case, folded, everything between them removed. Twins in snake, camel and kebab
/// case, and a name's parts typed as words, share one key.
pub fn name_key(name: &str) -> String {
    let kept: String = name.chars().filter(|c| is_word(*c)).collect();
    fold(&lower(&kept)).into_owned()
}

/// A title or a query as it is compared where keys say too little: with its signs (`C++` and `C#`
/// have one key), in lower case, one space between words.
pub fn spelled(name: &str) -> String {
    lower(&name.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}

/// Lower case in compatibility form (NFKC).
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfkc().flat_map(char::to_lowercase).nfc().collect())
}

/// Diacritics removed, a few letters spelled out (`ß` is `ss`); takes lower-case text.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.nfd().filter(|c| !is_combining_mark(*c)) {
        match c {
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' => out.push('d'),
            'ı' => out.push('i'),
            'ς' => out.push('σ'),
            c => out.push(c),
        }
    }
    Cow::Owned(out.nfc().collect())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || (!c.is_ascii() && (is_combining_mark(c) || is_symbol(c)))
}

/// Emoji and other symbols people search for count as words of one character.
pub fn is_symbol(c: char) -> bool {
    matches!(c as u32, 0x2190..=0x2BFF | 0x1F000..=0x1FAFF)
}

/// Scripts written without spaces between words.
fn is_spaceless(c: char) -> bool {
    matches!(c as u32,
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3005..=0x3007 | 0x3040..=0x30FF
        | 0x3100..=0x318F | 0x31A0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF
        | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x20000..=0x3FFFF)
        || is_symbol(c)
}

/// The next stretch of word characters with inner joiners (`_`, `-`, apostrophe) from `at` on.
fn next_run(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut i = at;
    let start = loop {
        let b = *bytes.get(i)?;
        if b < 0x80 {
            if b.is_ascii_alphanumeric() {
                break i;
            }
            i += 1;
        } else {
            let c = text[i..].chars().next()?;
            if is_word(c) {
                break i;
            }
            i += c.len_utf8();
        }
    };
    let mut end = start;
    let mut i = start;
    while let Some(&b) = bytes.get(i) {
        if b < 0x80 {
            if b.is_ascii_alphanumeric() {
                i += 1;
                end = i;
            } else if b == b'_' || (matches!(b, b'-' | b'\'') && i == end) {
                i += 1;
            } else {
                break;
            }
        } else {
            let Some(c) = text[i..].chars().next() else { break };
            if is_word(c) {
                i += c.len_utf8();
                end = i;
            } else if c == '\u{2019}' && i == end {
                i += c.len_utf8();
            } else {
                break;
            }
        }
    }
    Some(start..end)
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Lower,
    Upper,
    Digit,
    Joiner,
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            'a'..='z' => Class::Lower,
            'A'..='Z' => Class::Upper,
            '0'..='9' => Class::Digit,
            _ => Class::Joiner,
        };
    }
    if c == '\u{2019}' {
        Class::Joiner
    } else if c.is_uppercase() {
        Class::Upper
    } else if c.is_numeric() {
        Class::Digit
    } else {
        Class::Lower
    }
}

/// Splits a run at joiners, case humps and (unless it looks like a hash) digit borders.
fn split(text: &str, run: Range<usize>, parts: &mut Vec<Range<usize>>) {
    for piece in pieces(text, run) {
        let before = parts.len();
        humps(text, piece.clone(), true, parts);
        if parts.len() - before > DIGIT_SPLITS_MAX {
            parts.truncate(before);
            humps(text, piece, false, parts);
        }
    }
}

/// The stretches of a run between joiners; a possessive `'s` is dropped.
fn pieces(text: &str, run: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = run.start;
    std::iter::from_fn(move || {
        while at < run.end {
            let rest = &text[at..run.end];
            let len = rest.find(|c| class(c) == Class::Joiner).unwrap_or(rest.len());
            let piece = at..at + len;
            let joiner = rest[len..].chars().next();
            at += len + joiner.map_or(0, char::len_utf8);
            let possessive = &text[at.min(run.end)..run.end];
            if matches!(joiner, Some('\'' | '\u{2019}')) && matches!(possessive, "s" | "S") {
                at = run.end;
            }
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    })
}

/// Splits `fooBar`, `HTTPServer` and, if asked, `utf8`.
fn humps(text: &str, piece: Range<usize>, digits: bool, parts: &mut Vec<Range<usize>>) {
    let mut start = piece.start;
    let mut before: Option<(usize, Class)> = None;
    for (offset, c) in text[piece.clone()].char_indices() {
        let at = piece.start + offset;
        let this = if !c.is_ascii() && is_combining_mark(c) {
            before.map_or(Class::Lower, |(_, class)| class)
        } else {
            class(c)
        };
        if let Some((last, class)) = before {
            let border = match (class, this) {
                (Class::Lower, Class::Upper) => Some(at),
                (Class::Upper, Class::Lower) if last > start => Some(last),
                (Class::Digit, Class::Lower | Class::Upper)
                | (Class::Lower | Class::Upper, Class::Digit)
                    if digits =>
                {
                    Some(at)
                }
                _ => None,
            };
            if let Some(border) = border {
                parts.push(start..border);
                start = border;
            }
        }
        before = Some((at, this));
    }
    if start < piece.end {
        parts.push(start..piece.end);
    }
}

/// The analysis as tantivy wants it. The separators of names fields are plain line ends.
#[derive(Clone, Default)]
pub struct WordTokenizer;

/// Pulls runs from a [`Scanner`] and hands their tokens out one by one.
pub struct WordStream<'t> {
    scanner: Scanner<'t>,
    run: Vec<Word>,
    next: usize,
    token: Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream {
            scanner: Scanner::new(text),
            run: Vec::new(),
            next: 0,
            token: Token::default(),
        }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        while self.next == self.run.len() {
            self.run.clear();
            self.next = 0;
            if !self.scanner.next_run(&mut self.run) {
                return false;
            }
        }
        let word = &mut self.run[self.next];
        std::mem::swap(&mut self.token.text, &mut word.text);
        self.token.position = word.position;
        self.token.offset_from = word.bytes.start;
        self.token.offset_to = word.bytes.end;
        self.next += 1;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|w| format!("{}@{}", w.text, w.position)).collect()
    }

    #[test]
    fn identifiers_keep_their_whole_and_their_parts() {
        assert_eq!(texts("getUserById"), ["getuserbyid@0", "get@0", "user@1", "by@2", "id@3"]);
        assert_eq!(texts("get_user_by_id"), texts("getUserById"));
        assert_eq!(
            texts("HTTPServer utf8"),
            ["httpserver@0", "http@0", "server@1", "utf8@2", "utf@2", "8@3"]
        );
        assert_eq!(texts("running"), ["run@0"]);
        assert_eq!(texts("__init__ x"), ["init@0", "x@1"]);
        assert_eq!(texts("the cat's 1.0.21"), ["the@0", "cat@1", "1@2", "0@3", "21@4"]);
    }

    #[test]
    fn other_scripts_keep_every_word() {
        assert_eq!(texts("café"), ["café@0", "cafe@0"]);
        assert_eq!(texts("東京"), ["東@0", "東京@0", "京@1"]);
        assert_eq!(texts("Straße"), ["straße@0", "strass@0"]);
        assert_eq!(name_key("spawn_blocking"), name_key("spawnBlocking"));
    }

    #[test]
    fn every_form_of_a_word_is_found_by_its_stem() {
        for (text, form) in [("dying", "die"), ("lying", "lie"), ("tying", "tie"), ("flies", "fli")]
        {
            assert_eq!(words(text)[0].text, form);
            let forms = [form.to_owned()];
            assert_eq!(find(text, Sought::plain(&forms)).len(), 1, "{text}");
        }
    }

    #[test]
    fn stems_of_a_language_are_found_in_its_texts_as_a_scan_finds_them() {
        let german = Language::by_code("de").unwrap();
        let text = "Die Häuser am Hafen sind alt, und viele Fischer wohnen in den Häusern, die \
                    ihre Großväter mit den eigenen Händen gebaut haben, als der Hafen klein war.";
        let told = |text: &str| language::written(text).and_then(language::Written::stemmed);
        assert_eq!(told(text), Some(german));
        let mut forms = vec![native_stem(german, "häuser"), native_stem(german, "hafen")];
        forms.sort();
        let mut scanner = Scanner::of(text, Some(german));
        let mut all = Vec::new();
        while scanner.next_run(&mut all) {}
        all.retain(|word| forms.contains(&word.text));
        // Positions count what is looked at.
        let places = |words: Vec<Word>| -> Vec<_> {
            words.into_iter().map(|word| (word.text, word.form, word.bytes)).collect()
        };
        assert_eq!(all.len(), 4);
        let sought = Sought { forms: &forms, language: Some(german) };
        assert_eq!(places(find(text, sought)), places(all));
        // In a text of another language the same letters are other words.
        let french = "Les maisons du port sont vieilles, et beaucoup de pecheurs habitent dans les \
                      maisons que leurs peres ont baties; un hafen est un port.";
        let of_french = Sought { language: told(french), ..sought };
        assert!(of_french.language.is_some());
        assert_eq!(find(french, of_french), []);
        assert_eq!(find(text, Sought::plain(&forms)), []);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_scan_of_all_words_finds(
            text in "([a-cyi]{1,7}(ing|s|ed|ly|_b|2)?[ .-]|dying |lYing |é|の|Ab){0,30}",
            forms in proptest::collection::vec("[a-cyi]{1,4}|die|lie|b|é|の", 1..4),
        ) {
            let mut forms = forms;
            forms.sort();
            let all = words(&text).into_iter().filter(|w| forms.contains(&w.text));
            let texts = |words: Vec<Word>| -> Vec<_> {
                words.into_iter().map(|w| (w.text, w.bytes)).collect()
            };
            let found = find(&text, Sought::plain(&forms));
            prop_assert_eq!(texts(found), texts(all.collect()));
        }

        #[test]
        fn ranges_lie_in_the_text_and_positions_never_fall(text in ".{0,200}") {
            let mut last = 0;
            for word in words(&text) {
                prop_assert!(text.get(word.bytes.clone()).is_some());
                prop_assert!(!word.text.is_empty());
                prop_assert!(word.position + 1 >= last);
                last = word.position;
            }
        }

        #[test]
        fn every_alphanumeric_character_is_inside_a_token(text in "[a-zA-Z0-9_ éß東京ก-]{0,80}") {
            let words = words(&text);
            for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
                let inside = words.iter().any(|w| w.bytes.contains(&at));
                prop_assert!(inside, "{c} at {at} of {text:?}");
            }
        }
    }
}
