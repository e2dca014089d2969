//! How much two texts say the same, by their words alone.
//!
//! Support is the weight of shared words over the smaller text's weight, after stop words and the
//! words of the question are gone: leaving the question in costs 7 to 13 points of AUROC, dividing
//! by the larger text another 3 to 5 (a short answer inside a long one says the same).

use crate::negation::{NEGATIONS, is_plain};
use crate::number::{counted, dotted, in_digits, is_scale, lacks};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use unicode_normalization::UnicodeNormalization;

/// Words that carry no claim, sorted.
const STOP: &[&str] = &[
    "a",
    "about",
    "according",
    "after",
    "all",
    "also",
    "although",
    "am",
    "an",
    "and",
    "answer",
    "any",
    "are",
    "as",
    "at",
    "based",
    "be",
    "been",
    "before",
    "being",
    "but",
    "by",
    "called",
    "can",
    "could",
    "did",
    "do",
    "does",
    "during",
    "each",
    "first",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "here",
    "him",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "just",
    "known",
    "like",
    "may",
    "me",
    "more",
    "most",
    "my",
    "name",
    "named",
    "of",
    "on",
    "one",
    "only",
    "or",
    "other",
    "our",
    "out",
    "over",
    "she",
    "should",
    "so",
    "some",
    "such",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "through",
    "to",
    "under",
    "up",
    "us",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "would",
    "you",
    "your",
];

/// Lower-case words and numbers, with the sign that makes a short word another (`O-`, `C++`), also
/// where it is written out (`O negative`); Chinese, Japanese and Korean by pairs of characters,
/// which have no spaces, one alone as it is.
pub fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    // No word goes over the end of a line, and most lines need no decomposition, which is slow.
    for line in text.split('\n') {
        if line.is_ascii() {
            split(line.chars().map(|c| c.to_ascii_lowercase()), &mut out);
        } else {
            split(line.nfkd().flat_map(char::to_lowercase), &mut out);
        }
    }
    out
}

/// The same as they are compared: numbers in digits, also `1.5 million`.
fn compared(text: &str) -> Vec<String> {
    text.split('\n').flat_map(|line| words(&in_digits(line))).collect()
}

/// The words of decomposed lower-case characters.
fn split(chars: impl Iterator<Item = char> + Clone, out: &mut Vec<String>) {
    let mut word = String::new();
    // The last of a row of characters without spaces, and whether it is the first as well.
    let mut row: Option<(char, bool)> = None;
    let flush = |word: &mut String, out: &mut Vec<String>| {
        let word = std::mem::take(word);
        match dotted(&word) {
            Some(parts) => out.extend(parts),
            None if word.is_empty() => {}
            None => out.push(word),
        }
    };
    let mut chars = chars.peekable();
    while let Some(c) = chars.next() {
        if ideograph(c) {
            flush(&mut word, out);
            if let Some((before, _)) = row {
                out.push([before, c].iter().collect());
            }
            row = Some((c, row.is_none()));
            continue;
        }
        if let Some((alone, true)) = row.take() {
            out.push(alone.to_string());
        }
        if let Some((sign, taken)) = written(&word, c, &chars) {
            word.push_str(sign);
            flush(&mut word, out);
            for _ in 0..taken {
                chars.next();
            }
            continue;
        }
        let next = chars.peek().copied();
        let digit = word.ends_with(|c: char| c.is_ascii_digit());
        let inside = digit && next.is_some_and(|n| n.is_ascii_digit());
        match c {
            // 1,234 is one number and 3.5 another.
            ',' if inside => {}
            '.' if inside => word.push('.'),
            // "don't" and "dont", marks of accents after decomposition.
            '\'' | '\u{2019}' | '\u{300}'..='\u{36f}' => {}
            // Plus, sharp and minus in all their forms.
            '+' | '#' | '\u{266f}' | '-' | '\u{2010}' | '\u{2013}' | '\u{2212}' => {
                if let Some(sign) = sign(&word, c, chars.clone()) {
                    word.push_str(sign);
                    if sign == "++" {
                        chars.next();
                    }
                }
                flush(&mut word, out);
            }
            c if c.is_alphanumeric() => word.push(c),
            _ => flush(&mut word, out),
        }
    }
    if let Some((alone, true)) = row {
        out.push(alone.to_string());
    }
    flush(&mut word, out);
}

/// What no sign of a word stands before: what comes after it is counted with, named or quoted.
const NO_END: &str = "+#-([{\\$=<>^~&@\u{2018}\u{201c}\u{ab}";
/// Characters of a word at most that a plus or a sharp belongs to: `CD4+`, but not `Disney+`.
const SIGNED_CHARS_MAX: usize = 3;
/// The same of a minus: more often it is a dash that touches its word.
const MINUS_CHARS_MAX: usize = 2;

/// The sign that makes a word another, `first` and what follows it being what stands behind the
/// word: `O-`, `C++`, `F#`. A hyphen inside a word, a dash behind one and a sum are none.
fn sign(word: &str, first: char, mut behind: impl Iterator<Item = char>) -> Option<&'static str> {
    let mut next = behind.next();
    let (sign, chars_max) = match first {
        '+' if next == Some('+') => {
            next = behind.next();
            ("++", SIGNED_CHARS_MAX)
        }
        '+' => ("+", SIGNED_CHARS_MAX),
        '#' | '\u{266f}' => ("#", SIGNED_CHARS_MAX),
        _ => ("-", MINUS_CHARS_MAX),
    };
    // `No- it is`; but `A-` is a grade.
    let dash = sign == "-" && word.len() > 1 && small(word);
    if dash || !short(word, chars_max) {
        return None;
    }
    if sign != "-" && next == Some('-') {
        // `Ca2+-activated`, but not `x+-1`.
        next = behind.next().filter(|c| !c.is_alphabetic());
    }
    let ends = next.is_none_or(|c| ideograph(c) || !c.is_alphanumeric() && !NO_END.contains(c));
    let hangs = sign == "-" && next.is_some_and(char::is_whitespace) && suspended(behind);
    (ends && !hangs).then_some(sign)
}

/// Whether a word may have a sign.
fn short(word: &str, chars_max: usize) -> bool {
    word.starts_with(char::is_alphabetic) && word.chars().count() <= chars_max
}

/// Whether a word names nothing.
fn small(word: &str) -> bool {
    STOP.binary_search(&word).is_ok() || NEGATIONS.binary_search(&word).is_ok()
}

/// Whether a hyphen and a space stand before this for the end of a later word: `T- and B-cells`.
fn suspended(mut behind: impl Iterator<Item = char>) -> bool {
    let joint = behind.by_ref().take_while(|c| !c.is_whitespace());
    let joint: String = joint.take(WRITTEN_BYTES_MAX).collect();
    if !matches!(joint.as_str(), "and" | "and/or" | "or" | "und") {
        return false;
    }
    let mut rest = behind.skip_while(|c| c.is_alphanumeric());
    let hyphen = rest.next().is_some_and(hyphen);
    let (word, _) = next_word(rest);
    // `Rh- and O-negative`.
    hyphen
        && word.starts_with(char::is_alphabetic)
        && !WRITTEN.iter().any(|(name, _)| *name == word)
}

/// Signs that are written out.
const WRITTEN: &[(&str, &str)] =
    &[("minus", "-"), ("negative", "-"), ("plus", "+"), ("positive", "+"), ("sharp", "#")];
/// No such word, nor a stop word, is longer.
const WRITTEN_BYTES_MAX: usize = 12;

fn hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}')
}

/// The sign that is written out behind a word and a `gap`, and how many characters behind the gap
/// say it: `O negative`, `F-sharp`, `C plus plus`, but not `x plus y`.
fn written(
    word: &str,
    gap: char,
    behind: &(impl Iterator<Item = char> + Clone),
) -> Option<(&'static str, usize)> {
    let parts = gap.is_whitespace() || hyphen(gap);
    if !parts || !short(word, SIGNED_CHARS_MAX) || small(word) {
        return None;
    }
    let (name, taken) = next_word(behind.clone());
    let (_, sign) = WRITTEN.iter().find(|(known, _)| *known == name)?;
    let chars_max = if *sign == "-" { MINUS_CHARS_MAX } else { SIGNED_CHARS_MAX };
    if !short(word, chars_max) {
        return None;
    }
    let (then, more) = next_word(behind.clone().skip(taken));
    match name.as_str() {
        "plus" if then == "plus" => Some(("++", taken + more)),
        "plus" | "minus" if sums(word, &then) => None,
        _ => Some((*sign, taken)),
    }
}

/// Whether a plus or a minus between two words is one of a sum, or of `le plus grand`.
fn sums(word: &str, then: &str) -> bool {
    let n = then.chars().count();
    let stop = n > 1 && STOP.binary_search(&then).is_ok();
    let said =
        word.chars().count() == 1 && n > SIGNED_CHARS_MAX && then.starts_with(char::is_alphabetic);
    !then.is_empty() && !stop && !said
}

/// The next word behind spaces and hyphens, or its beginning, and how many characters that takes.
fn next_word(behind: impl Iterator<Item = char>) -> (String, usize) {
    let mut word = String::new();
    let mut taken = 0;
    for c in behind {
        if c.is_alphanumeric() {
            word.push(c);
        } else if !word.is_empty() || !c.is_whitespace() && !hyphen(c) {
            break;
        }
        taken += 1;
        if word.len() > WRITTEN_BYTES_MAX {
            break;
        }
    }
    (word, taken)
}

fn ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

/// The last letters of English plurals and possessives taken off: "wolves" stays, "goals" is
/// "goal".
fn stem(word: &str) -> &str {
    if word.len() <= 3 || word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        return word;
    }
    word.strip_suffix('s').unwrap_or(word)
}

/// A text in one spelling: compatible forms as one, lower case, single spaces, no punctuation at
/// its end unless there is nothing else.
pub(crate) fn spelled(text: &str) -> String {
    let one = |c: char| match c {
        '\u{2010}' | '\u{2212}' => '-',
        '\u{2019}' => '\'',
        c => c,
    };
    let chars: String = text.nfkc().flat_map(char::to_lowercase).map(one).collect();
    let spaced = chars.split_whitespace().collect::<Vec<_>>().join(" ");
    let bare = spaced.trim_end_matches(['.', ',', ';', ':', '!', '?', '\u{3002}', ' ']);
    if bare.is_empty() { spaced } else { bare.to_owned() }
}

/// What a text says, as words with their weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Weight by word.
    pub words: BTreeMap<String, f64>,
    /// The same of words that the question has too, which are not counted among those.
    pub asked: BTreeMap<String, f64>,
    /// It says nothing but words of the question: they are its words.
    pub echo: bool,
    /// Numbers in it, years and dates included, each as often as it is said: `2020-03-03`.
    pub numbers: Vec<String>,
    /// It turns something around.
    pub negated: bool,
    /// A sentence of it does: an opening `No,` answers the question, and what follows stands as it
    /// is.
    pub turned: bool,
    /// The whole text in one spelling where no word of it says anything: `It`, `The Who`, an emoji.
    pub whole: String,
}

impl Content {
    fn total(&self) -> f64 {
        self.words.values().sum()
    }

    /// Whether both say nothing but the same as a whole. Part of such a text says nothing: `It was
    /// her` and `It was him` share two words of three.
    fn repeats(&self, other: &Content) -> bool {
        !self.whole.is_empty() && self.whole == other.whole
    }
}

/// How much a word says: numbers and names more, short everyday words less.
fn weight(word: &str) -> f64 {
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return 1.3;
    }
    match word.chars().count() {
        0..=2 => 0.5,
        3..=4 => 0.85,
        _ => 1.0,
    }
}

/// The words of a question, prepared once for many texts.
pub struct Asked {
    words: BTreeSet<String>,
    /// It names a scale without a number, as `how many million` does: `5` and `5 million` are one
    /// answer to it, so numbers stay as they are written.
    scaled: bool,
}

impl Asked {
    /// Of a question.
    pub fn new(question: &str) -> Self {
        let mut all = compared(question);
        let scaled = all.iter().any(|word| is_scale(stem(word)));
        if scaled {
            all = words(question);
        }
        Asked { words: all.iter().map(|word| stem(word).to_owned()).collect(), scaled }
    }

    /// The words of a text as they are compared beside the question.
    fn said(&self, text: &str) -> Vec<String> {
        if self.scaled { words(text) } else { compared(text) }
    }

    /// The content of a text beside what the question says already.
    pub fn content(&self, text: &str) -> Content {
        let all = self.said(text);
        let mut content = Content::default();
        let says = |word: &&String| STOP.binary_search(&word.as_str()).is_err();
        let reply = usize::from(opens_with_no(text));
        for (at, word) in all.iter().enumerate() {
            let negation = NEGATIONS.binary_search(&word.as_str()).is_ok();
            content.negated |= negation;
            content.turned |= negation && at >= reply && !goes_on(word, all.get(at + 1));
            let stem = stem(word);
            if self.words.contains(stem) {
                if says(&word) {
                    content.asked.insert(stem.to_owned(), weight(stem));
                }
                continue;
            }
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                content.numbers.push(counted(stem));
            }
            if says(&word) {
                content.words.insert(stem.to_owned(), weight(stem));
            }
        }
        if content.words.is_empty() {
            // It says nothing that the question does not: then that is what it says.
            content.words = std::mem::take(&mut content.asked);
            content.echo = !content.words.is_empty();
        }
        if content.words.is_empty() {
            content.whole = if all.is_empty() { spelled(text) } else { all.join(" ") };
        }
        content.numbers.sort();
        content
    }
}

/// Whether a negation denies nothing before the word behind it: `Symphony No. 9`, `not only safe`,
/// `none other than Marie Curie`.
fn goes_on(negation: &str, next: Option<&String>) -> bool {
    match (negation, next.map_or("", String::as_str)) {
        ("no", next) => next.starts_with(|c: char| c.is_ascii_digit()),
        ("not", "only" | "just") | ("none", "other") => true,
        ("none" | "nobody" | "nothing", "but") => true,
        _ => false,
    }
}

/// Whether a text begins with a `No` that stands for itself: `No, it is unsafe`, but not `No risk`.
fn opens_with_no(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let Some((word, rest)) = text.split_at_checked(2) else { return false };
    let rest = rest.trim_start_matches(['*', '_']);
    let over = rest.trim_start().starts_with([',', '.', ';', ':', '!', '\u{2013}', '\u{2014}']);
    word.eq_ignore_ascii_case("no") && (over || rest.starts_with('\n'))
}

/// The content of a text beside what the question says already.
pub fn content(text: &str, question: &str) -> Content {
    Asked::new(question).content(text)
}

/// What is left of a text without stop words and the words of the question, in its order: what an
/// embedding of a phrase should see. The whole text when nothing is left.
pub fn kept(text: &str, question: &str) -> String {
    let asked = Asked::new(question);
    let content = asked.content(text);
    let says = |word: &String| content.words.contains_key(stem(word));
    let kept: Vec<String> = asked.said(text).into_iter().filter(says).collect();
    if kept.is_empty() { text.to_owned() } else { kept.join(" ") }
}

/// Weight of shared words over the smaller weight, 0 to 1. Of two texts of which one names what the
/// question offers and no more, that one's words are looked for in all that the other says: to
/// explain a choice takes nothing from it.
pub fn overlap(a: &Content, b: &Content) -> f64 {
    if a.repeats(b) {
        return 1.0;
    }
    if a.echo != b.echo {
        let (echo, other) = if a.echo { (a, b) } else { (b, a) };
        let named = echo.words.iter().filter(|(word, _)| other.asked.contains_key(*word));
        return ratio(named.map(|(_, weight)| weight).sum(), echo.total());
    }
    let shared = a.words.iter().filter(|(word, _)| b.words.contains_key(*word));
    ratio(shared.map(|(_, weight)| weight).sum(), a.total().min(b.total()))
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Whether two texts cannot say the same, whatever else they share: both have numbers and none in
/// common, or in the same words each has one that the other lacks, or one is the `opposite` of the
/// other. Where only one negates something, be it something else, they may: `negation`.
pub fn conflict(a: &Content, b: &Content) -> Option<&'static str> {
    apart(a, b, || a.numbers.iter().any(|n| b.numbers.contains(n)))
}

/// Whether one names with another sign what the other names, `O+` and `O-`, or one without a sign
/// is all that the other names: `C++` and `C`. Models of meaning hardly see it. Among other words
/// many leave signs out: `Na/K-ATPase`.
pub fn signs_differ(a: &Content, b: &Content) -> bool {
    let bare = |word: &str| word.trim_end_matches(['+', '-', '#']).len();
    let differ = |a: &Content, b: &Content| {
        let signed = a.words.keys().filter(|word| bare(word.as_str()) < word.len());
        signed.filter(|word| !b.words.contains_key(word.as_str())).any(|word| {
            let name = &word[..bare(word)];
            let signed = |other: &String| name.len() < other.len() && &other[..bare(other)] == name;
            b.words.keys().any(signed) || b.whole == name || alone(b, name)
        })
    };
    differ(a, b) || differ(b, a)
}

/// Whether a name is all that a text says, but for a sign that is written out.
fn alone(content: &Content, name: &str) -> bool {
    let sign = |word: &String| WRITTEN.iter().any(|(known, _)| *known == word.as_str());
    content.words.contains_key(name) && content.words.keys().all(|word| word == name || sign(word))
}

/// The conflict of two; `agree` tells whether they have a number in common.
fn apart(a: &Content, b: &Content, agree: impl Fn() -> bool) -> Option<&'static str> {
    if !a.numbers.is_empty() && !b.numbers.is_empty() && (!agree() || dates_differ(a, b)) {
        return Some("number");
    }
    match () {
        () if opposed(a, b) => Some("opposite"),
        () if a.negated != b.negated => Some("negation"),
        () => None,
    }
}

/// Whether of two texts in nearly the same words each has a number that the other lacks: `3 March
/// 2020` and `5 March 2020`, but not `20 July 1969` and `July 1969`. In other words a number may be
/// of something else. Of 28 such pairs on Natural Questions 11 were right and wrong, of all pairs
/// whose words agree a tenth.
fn dates_differ(a: &Content, b: &Content) -> bool {
    let near = |a: &Content, b: &Content| {
        let has = |word: &String| b.words.contains_key(word) || b.asked.contains_key(word);
        let own = a.words.keys().chain(a.asked.keys()).filter(|word| !has(word) && is_plain(word));
        // The second one tells them apart, however many come.
        own.filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())).nth(1).is_none()
    };
    lacks(&a.numbers, &b.numbers) && lacks(&b.numbers, &a.numbers) && near(a, b) && near(b, a)
}

/// Whether one denies what the other says: it negates, the other has all of its other words, and
/// one more at most. What has a word of its own may deny that: `in the north, not the south`.
fn opposed(a: &Content, b: &Content) -> bool {
    if a.turned == b.turned {
        return false;
    }
    let (denies, says) = if a.turned { (a, b) } else { (b, a) };
    let has = |word: &String| says.words.contains_key(word) || says.asked.contains_key(word);
    // Most pairs end at a word that the other lacks: looked up before it is told what it is.
    let mut all = denies.words.keys().chain(denies.asked.keys());
    if all.any(|word| !has(word) && is_plain(word)) {
        return false;
    }
    let n = plain(denies).count();
    n > 0 && plain(says).count() <= n + 1
}

/// The words of a text, those of the question too, but for negations and what stands beside them.
fn plain(content: &Content) -> impl Iterator<Item = &String> {
    let all = content.words.keys().chain(content.asked.keys());
    all.filter(|word| is_plain(word))
}

/// Many texts, filed by what stands in them: one is compared with all of them by looking up its
/// words instead of going through theirs.
///
/// Invariant: exactly what [`overlap`] and [`conflict`] say of each two: weights are added in the
/// same order, that of the words.
pub struct Filed<'a> {
    contents: &'a [Content],
    totals: Vec<f64>,
    by_word: HashMap<&'a str, Vec<usize>>,
    by_asked: HashMap<&'a str, Vec<usize>>,
    by_number: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Filed<'a> {
    /// Files these.
    pub fn new(contents: &'a [Content]) -> Self {
        let totals = contents.iter().map(Content::total).collect();
        let (mut by_word, mut by_asked, mut by_number) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for (at, content) in contents.iter().enumerate() {
            for word in content.words.keys() {
                by_word.entry(word.as_str()).or_insert_with(Vec::new).push(at);
            }
            for word in content.asked.keys() {
                by_asked.entry(word.as_str()).or_insert_with(Vec::new).push(at);
            }
            for number in &content.numbers {
                by_number.entry(number.as_str()).or_insert_with(Vec::new).push(at);
            }
        }
        Filed { contents, totals, by_word, by_asked, by_number }
    }

    /// By text, where it or `content` says nothing but words of the question, and not both: the
    /// weight of that one's words that the other says too.
    fn named(&self, content: &Content) -> Vec<f64> {
        let mut out = vec![0.0; self.contents.len()];
        let (said, filed) = match content.echo {
            true => (&content.words, &self.by_asked),
            false => (&content.asked, &self.by_word),
        };
        for (word, weight) in said {
            for at in filed.get(word.as_str()).into_iter().flatten() {
                out[*at] += weight;
            }
        }
        out
    }

    /// By text: the weight of the words that it shares with `content`.
    fn shared(&self, content: &Content) -> Vec<f64> {
        let mut out = vec![0.0; self.contents.len()];
        for (word, weight) in &content.words {
            for at in self.by_word.get(word.as_str()).into_iter().flatten() {
                out[*at] += weight;
            }
        }
        out
    }

    /// By text: the share of the weight of `content` that stands in it, 0 to 1.
    pub fn holding(&self, content: &Content) -> Vec<f64> {
        let total = content.total();
        self.shared(content).into_iter().map(|shared| ratio(shared, total)).collect()
    }

    /// By text: the overlap of the text at `at` with it, and their conflict.
    pub fn beside(&self, at: usize) -> Vec<(f64, Option<&'static str>)> {
        let content = &self.contents[at];
        let mut agree = vec![false; self.contents.len()];
        for number in &content.numbers {
            for other in &self.by_number[number.as_str()] {
                agree[*other] = true;
            }
        }
        let named = self.named(content);
        let shared = self.shared(content).into_iter().enumerate();
        shared
            .map(|(other, shared)| {
                let theirs = &self.contents[other];
                let echo = if content.echo { at } else { other };
                let overlap = match content.echo == theirs.echo {
                    _ if content.repeats(theirs) => 1.0,
                    true => ratio(shared, self.totals[at].min(self.totals[other])),
                    false => ratio(named[other], self.totals[echo]),
                };
                (overlap, apart(content, theirs, || agree[other]))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_sorted() {
        let sorted =
            STOP.is_sorted() && NEGATIONS.is_sorted() && crate::negation::EMPHASIS.is_sorted();
        assert!(sorted, "they are looked up by halves");
    }

    #[test]
    fn words_and_what_they_share() {
        assert_eq!(words("It's 1,234.5 Meters, naïve!"), ["its", "1234.5", "meters", "naive"]);
        assert_eq!(words("日本語"), ["日本", "本語"]);
        assert_eq!(
            words("PLAIN 1,\n234\nÀ la\r\ncarte, 1,234"),
            ["plain", "1", "234", "a", "la", "carte", "1234"]
        );
        let question = "who got the first nobel prize in physics";
        let say = |text: &str| content(text, question);
        let (short, long) = (
            say("Wilhelm Röntgen"),
            say("The first Nobel Prize in Physics was awarded to Wilhelm Rontgen in 1901."),
        );
        assert_eq!(overlap(&short, &long), 1.0);
        assert_eq!(overlap(&short, &say("Marie Curie")), 0.0);
        assert_eq!(overlap(&say(""), &short), 0.0);
        assert_eq!(kept("It was Wilhelm Röntgen, in physics", question), "wilhelm rontgen");
        // Nothing but the question's words.
        assert!(!say("the physics prize").words.is_empty());
    }

    #[test]
    fn a_sign_makes_a_short_word_another() {
        let signed = "O- and O\u{2212}, (AB+) C++/C# F\u{266f}. Ca\u{b2}\u{207a} O+";
        assert_eq!(
            words(signed),
            ["o-", "and", "o-", "ab+", "c++", "c#", "f#", "ca2+", "o+"],
            "in all their forms"
        );
        assert_eq!(words("an A- is no B+"), ["an", "a-", "is", "no", "b+"]);
        for (text, plain) in [
            ("x-ray, a - b, no- it is", vec!["x", "ray", "a", "b", "no", "it", "is"]),
            ("Yes- pre- and post-war", vec!["yes", "pre", "and", "post", "war"]),
            ("Disney+ 18+ 1990- a+b x+(y)", vec!["disney", "18", "1990", "a", "b", "x", "y"]),
            ("A->B C--D #1 + - ++", vec!["a", "b", "c", "d", "1"]),
            ("Al-\u{201c}x\u{201d} x+-1", vec!["al", "x", "x", "1"]),
        ] {
            assert_eq!(words(text), plain, "{text}");
        }
        let say = |text: &str| content(text, "which blood type, which language?");
        for (a, b) in [
            ("O+", "O-"),
            ("C++", "C"),
            ("C#", "C++"),
            ("group O-", "group O+"),
            ("A-", "A"),
            ("O positive", "O negative"),
            ("HIV+", "HIV negative"),
            ("F sharp", "F"),
        ] {
            assert!(signs_differ(&say(a), &say(b)) && signs_differ(&say(b), &say(a)), "{a} {b}");
        }
        for (a, b) in [
            ("O+", "O+"),
            ("C++ and C", "C++"),
            ("A+", "A positive (A+)"),
            ("O+", "B+"),
            ("Na+/K+-ATPase", "Na/K-ATPase"),
            ("HIV-", "HIV negative"),
        ] {
            assert!(!signs_differ(&say(a), &say(b)), "{a} {b}");
        }
        assert!(!signs_differ(&say(""), &say("")) && !signs_differ(&say("O+"), &say("")));
    }

    #[test]
    fn a_sign_that_is_written_out_is_that_sign() {
        for (text, signed) in [
            ("O negative, HIV-positive F sharp.", vec!["o-", "hiv+", "f#"]),
            ("C plus plus C-plus-plus", vec!["c++", "c++"]),
            ("O minus is AB plus", vec!["o-", "is", "ab+"]),
            ("O plus blood", vec!["o+", "blood"]),
            ("Na+/K+-ATPase Ca2+-activated", vec!["na+", "k+", "atpase", "ca2+", "activated"]),
            ("Rh- and O-negative", vec!["rh-", "and", "o-"]),
            // No sign.
            ("x plus y minus 1", vec!["x", "plus", "y", "minus", "1"]),
            ("le plus grand", vec!["le", "plus", "grand"]),
            ("no negative, a positive", vec!["no", "negative", "a", "positive"]),
            ("O, negative O\nnegative", vec!["o", "negative", "o", "negative"]),
            ("O positively", vec!["o", "positively"]),
            ("T- and B-cells", vec!["t", "and", "b", "cells"]),
            ("T- und B-Zellen", vec!["t", "und", "b", "zellen"]),
            ("plus plus minus", vec!["plus", "plus", "minus"]),
        ] {
            assert_eq!(words(text), signed, "{text}");
        }
    }

    #[test]
    fn what_has_no_word_of_its_own_is_compared_as_a_whole() {
        let say = |text: &str| content(text, "what is it?");
        for text in ["It", "The Who", "\u{6c34}", "\u{1f44d}", "?", "you"] {
            assert_eq!(overlap(&say(text), &say(text)), 1.0, "{text}");
        }
        for (a, b) in [
            ("The Who", "\u{201c}the who!\u{201d}"),
            ("\u{1f44d}", " \u{1f44d}. "),
            ("\u{6c34}", "\u{6c34}\u{3002}"),
        ] {
            assert_eq!(overlap(&say(a), &say(b)), 1.0, "{a} {b}");
        }
        for (a, b) in [
            ("It was her", "It was him"),
            ("The Who", "The The"),
            ("\u{1f44d}", "\u{1f44e}"),
            ("\u{6c34}", "\u{706b}"),
            ("", ""),
            ("It", ""),
            ("It", "Paris"),
        ] {
            assert_eq!(overlap(&say(a), &say(b)), 0.0, "{a} {b}");
        }
        assert_eq!(kept("The Who", "what is it?"), "The Who");
        assert_eq!(words("1\u{6708} \u{6c34}"), ["1", "\u{6708}", "\u{6c34}"]);
        assert_eq!(spelled(" \u{ff23}afe\u{301}  noir.!"), "caf\u{e9} noir");
        assert_eq!((spelled(""), spelled(" ? ")), (String::new(), "?".to_owned()));
    }

    #[test]
    fn numbers_and_negations_are_a_veto() {
        let say = |text: &str| content(text, "when?");
        assert_eq!(conflict(&say("in 1901"), &say("in 1902")), Some("number"));
        assert_eq!(conflict(&say("in May 1901"), &say("1901")), None);
        assert_eq!(conflict(&say("it is safe"), &say("it is not safe")), Some("opposite"));
    }

    #[test]
    fn a_number_is_one_however_its_scale_is_written() {
        let say = |text: &str| content(text, "how many were there?");
        for (a, b) in [
            ("1.5 million", "1,500,000"),
            ("1.5 million", "1.5e6"),
            ("About 1.5 million people", "1500 thousand people"),
            ("$3M", "$3 million"),
            ("3 \u{d7} 10^8 m/s", "3 x 10^8 m/s"),
            ("3 \u{d7} 10\u{2078} m/s", "300,000,000 m/s"),
            ("1 \u{d7} 10^-9 m", "10\u{207b}\u{2079} m"),
            ("5 to 6 million", "5 million to 6 million"),
            ("5 to 6 million", "5,000,000-6,000,000"),
        ] {
            assert_eq!(conflict(&say(a), &say(b)), None, "{a} {b}");
            assert!(overlap(&say(a), &say(b)) >= 0.5, "{a} {b}");
        }
        for (a, b) in
            [("2 million", "2"), ("5 million dollars", "5 billion dollars"), ("3M", "3 million")]
        {
            assert_eq!(conflict(&say(a), &say(b)), Some("number"), "{a} {b}");
        }
    }

    #[test]
    fn a_question_that_names_a_scale_leaves_numbers_as_they_are_written() {
        for question in ["How many million people are there?", "How much is it, in millions?"] {
            let say = |text: &str| content(text, question);
            let (short, long) = (say("37"), say("About 37 million"));
            assert_eq!(conflict(&short, &long), None, "{question}");
            assert!(overlap(&short, &long) >= 0.5, "{question}");
            assert_eq!(conflict(&say("38"), &long), Some("number"), "{question}");
            assert_eq!(kept("About 37 million", question), "37");
        }
        // Its own numbers name none.
        let say = |text: &str| content(text, "Is it over 2 million?");
        assert_eq!(conflict(&say("1.5 million"), &say("1,500,000")), None);
    }

    #[test]
    fn dates_that_share_a_number_are_not_the_same() {
        let say = |text: &str| content(text, "when was it?");
        for (a, b) in [
            ("3 March 2020", "5 March 2020"),
            ("2020-03-03", "2020-03-05"),
            ("It was on March 3rd, 2020", "It was on 7 March 2020."),
            ("1939-1945", "1939-1944"),
            ("10-20", "10-25"),
            ("{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":3}"),
            ("15 March 2015", "12 March 2015"),
        ] {
            assert_eq!(conflict(&say(a), &say(b)), Some("number"), "{a} {b}");
            assert_eq!(conflict(&say(b), &say(a)), Some("number"), "{b} {a}");
        }
        for (a, b) in [
            ("20 July 1969", "July 1969"),
            ("20 July 1969", "20.07.1969"),
            ("July 20th, 1969", "20 July 1969"),
            ("1979-80", "1979-1980"),
            ("05 March 2020", "5 March 2020"),
            ("760 torr", "760.00 torr"),
            ("1901, for 150 golden crowns", "in 1901 as one of 3 who were proposed"),
        ] {
            assert_eq!(conflict(&say(a), &say(b)), None, "{a} {b}");
            assert_eq!(conflict(&say(b), &say(a)), None, "{b} {a}");
        }
        assert!(overlap(&say("20.07.1969"), &say("20 July 1969")) >= 0.5);
        assert_eq!(
            words("20.07.1969 1.2.3 2020.3.05 1234.5678"),
            ["20", "07", "1969", "1.2.3", "2020", "3", "05", "1234.5678"]
        );
    }

    #[test]
    fn what_denies_the_words_of_another_is_its_opposite() {
        let say = |text: &str| content(text, "is it safe, and part of the north or the south?");
        for (a, b) in [
            ("Safe", "Not safe"),
            ("It is safe.", "It is really not safe."),
            ("Yes, it is safe", "No, it isn't safe"),
            ("We should migrate to Postgres.", "We should not migrate to Postgres."),
            ("No risk", "Risk"),
            ("It is 5", "It is not 5"),
        ] {
            assert_eq!(conflict(&say(a), &say(b)), Some("opposite"), "{a} {b}");
            assert_eq!(conflict(&say(b), &say(a)), Some("opposite"), "{b} {a}");
        }
        for (a, b) in [
            ("It is unsafe", "No, it is unsafe"),
            ("It is unsafe", "**No**: it is unsafe"),
            ("It is part of the north", "It is part of the north, not the south"),
            ("Safe without a doubt", "Safe"),
            ("It rains in the green hills", "It does not rain"),
            ("Paris", "None"),
            ("in 1902", "not in 1901 but in 1902"),
            ("Symphony No. 9", "Symphony 9"),
            ("It is not only safe but cheap", "It is safe and cheap"),
            ("None other than Marie Curie", "Marie Curie"),
            ("Nobody but Marie Curie", "Marie Curie"),
        ] {
            assert_ne!(conflict(&say(a), &say(b)), Some("opposite"), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn filed_texts_compare_as_they_do_one_by_one(
            texts in prop::collection::vec("(([a-e]{1,4}[+-]?|[0-9]{1,2}|not|is) ){0,8}", 1..8)
        ) {
            let contents: Vec<Content> = texts.iter().map(|text| content(text, "is a b")).collect();
            let filed = Filed::new(&contents);
            for (at, one) in contents.iter().enumerate() {
                let held = filed.holding(one);
                for (other, (shared, apart)) in filed.beside(at).into_iter().enumerate() {
                    prop_assert_eq!(shared, overlap(one, &contents[other]));
                    prop_assert_eq!(apart, conflict(one, &contents[other]));
                    // Within its own words everything stands.
                    prop_assert!((0.0..=1.0 + 1e-12).contains(&held[other]));
                }
                prop_assert_eq!(held[at], if one.words.is_empty() { 0.0 } else { 1.0 });
            }
        }
    }
}
