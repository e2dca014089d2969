//! Which option an answer names: by its letter or by its text.
//!
//! Invariant: nothing is guessed: what may be two options is none of them.

use crate::extract::OPTIONS_MAX;
use crate::text::spelled;
use unicode_normalization::UnicodeNormalization;

/// What an answer says of the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The option of this letter.
    One(char),
    /// More than one.
    Several,
    /// None that can be told.
    Nothing,
}

/// Where a text stands in what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It was announced as the answer.
    Announced,
    /// It is all that was said, in one line.
    Whole,
    /// It is the last line, which may as well be about an option.
    Last,
}

/// Letters where no options are given: A to J.
const LETTERS: usize = 10;
/// Words at most of a line that was not announced as the answer and begins with an option's text: a
/// longer one is about it.
const REMARK_WORDS_MAX: usize = 30;
/// Words with which a remark on an answer begins, sorted.
const REMARKS: &[&str] = &["as", "because", "due", "for", "it", "since", "that"];
/// Words that go on with a letter as a sentence about it, sorted.
const VERBS: &[&str] = &[
    "are", "can", "cannot", "could", "did", "does", "doesn", "fails", "has", "is", "isn", "may",
    "might", "must", "seems", "should", "was", "wasn", "would",
];
/// Words behind a letter that was announced which show that it is no article, `A because it is
/// cheap`, sorted: `A can of paint` and `A must for all` are read as they were.
const ARTICLE_ENDS: &[&str] = &[
    "are", "as", "because", "cannot", "could", "did", "does", "doesn", "fails", "for", "has", "is",
    "isn", "it", "seems", "should", "since", "that", "was", "wasn", "would",
];
/// The same behind the letter `I`, which speaks of itself in other words.
const SELF_ENDS: &[&str] = &["because", "has", "is", "isn", "seems", "since"];
/// Words of a sentence that calls a letter the answer and says nothing else, sorted.
const CHOSEN: &[&str] =
    &["answer", "best", "choice", "correct", "final", "is", "my", "one", "option", "right", "the"];
/// What closes a letter, and spaces.
const CLOSERS: &str = ")]}*_`\"'$ ";
/// What stands between two options, in lower case, the longer ones first.
const JOINTS: &[&str] = &[", and ", ", or ", "and/or ", "and ", "or ", ",", ";", "/", "&"];
/// Words before a letter.
const NAMES: &[&str] = &["option ", "Option ", "choice ", "Choice ", "letter "];

/// The option that a text names: `E`, `(E)`, `E. because`, `**E**`, `option E`, an option's text,
/// alone or with a remark behind it. A text goes before a bare letter: `E. coli` may be an option.
/// A last line names one as a whole only: a sentence that it begins may end with the opposite.
pub fn named(text: &str, options: &[String], place: Place) -> Named {
    let n = if options.is_empty() { LETTERS } else { options.len().min(OPTIONS_MAX) };
    let options = &options[..options.len().min(n)];
    let plain = bare(text);
    let said = spelled(plain);
    let texts: Vec<String> = options.iter().map(|option| spelled(bare(option))).collect();
    let lead = lead(plain, n, place == Place::Announced)
        .filter(|lead| place != Place::Last || !begun(*lead, &texts));
    let single = lead.is_some() && said.chars().count() == 1;
    if !single && let Some(at) = only(&texts, &said) {
        return option(at);
    }
    if let Some(lead) = lead
        && (single || lead.sure)
    {
        return by_letter(lead, options, &texts);
    }
    let announced = place == Place::Announced;
    let first = plain.split(". ").next().filter(|_| announced);
    let words: Vec<String> = texts.iter().map(|text| folded(text)).collect();
    for part in [Some(plain), first].into_iter().flatten() {
        let part = folded(part);
        let letter = lead.is_some() && part.chars().count() == 1;
        if !letter && let Some(at) = only(&words, &part) {
            return option(at);
        }
    }
    let short = place == Place::Whole && said.split(' ').count() <= REMARK_WORDS_MAX;
    if announced || short {
        let found = beginning(&said, &texts);
        if found != Named::Nothing {
            return found;
        }
    }
    lead.map_or(Named::Nothing, |lead| by_letter(lead, options, &texts))
}

/// A candidate without its emphasis.
fn bare(text: &str) -> &str {
    let plain = text.trim().trim_matches(|c: char| "*`_\"'$ .:".contains(c));
    let inner = ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{"]
        .iter()
        .find_map(|mark| plain.strip_prefix(mark));
    inner.map_or(plain, |inner| inner.strip_suffix('}').unwrap_or(inner))
}

fn option(at: usize) -> Named {
    ('A'..='Z').nth(at).map_or(Named::Nothing, Named::One)
}

/// The place of a text that says something and stands there once.
fn only(texts: &[String], wanted: &str) -> Option<usize> {
    let mut found = (0..texts.len()).filter(|at| texts[*at] == wanted);
    let at = found.next().filter(|_| !wanted.is_empty())?;
    found.next().is_none().then_some(at)
}

/// A letter that begins a text.
#[derive(Clone, Copy)]
struct Lead<'a> {
    /// As it is written.
    written: char,
    /// The place of its option.
    at: usize,
    /// It stands in brackets or behind a word such as `option`: it begins no name.
    sure: bool,
    /// What is behind it.
    rest: &'a str,
}

/// The letter of one of `n` options at the beginning of a text. A lower-case one counts alone: `a`
/// begins many sentences. So do `A` and `I`, unless a word such as `option` stands before them or,
/// where the text was `announced` as the answer, one that follows no article.
fn lead(text: &str, n: usize, announced: bool) -> Option<Lead<'_>> {
    let named = NAMES.iter().find_map(|word| text.strip_prefix(word));
    let stripped = named.unwrap_or(text);
    let opened = stripped.trim_start_matches(['(', '[', '{', '*', ' ']);
    let bracket = opened.len() < stripped.len();
    let mut chars = opened.chars();
    let written = chars.next()?;
    let at = ('A'..='Z').position(|c| c == written.to_ascii_uppercase()).filter(|at| *at < n)?;
    let rest = chars.as_str();
    let next = rest.chars().next();
    // `D'Alembert`, `C-reactive`, `C++` are words.
    let alone = next.is_none_or(|c| !c.is_alphanumeric() && !"'\u{2019}-\u{2212}+#".contains(c));
    // `A number of …` and `I think …` name no option.
    let behind = rest.strip_prefix(' ').unwrap_or(rest);
    let ended = |words: &[&str]| words.binary_search(&first_word(behind)).is_ok();
    let name = match written {
        'A' => named.is_some() || announced && ended(ARTICLE_ENDS),
        'I' => (named.is_some() || announced) && ended(SELF_ENDS),
        _ => true,
    };
    let sentence = next == Some(' ')
        && (written.is_lowercase() && !bracket || !name && behind.starts_with(char::is_lowercase));
    let sure = named.is_some() || rest.starts_with([')', ']', '}']);
    (alone && !sentence).then_some(Lead { written, at, sure, rest })
}

/// Whether a letter only begins a sentence: `C is wrong`, `(C), however`, but not `C. text`, its
/// own text, or `C is the answer`.
fn begun(lead: Lead, texts: &[String]) -> bool {
    let rest = lead.rest.trim_start_matches(|c: char| c != ' ' && CLOSERS.contains(c));
    let said = spelled(rest.trim_start_matches([' ', '.', ':']));
    let sentence = match rest.chars().next() {
        Some(',' | ';') => said.contains(char::is_alphanumeric),
        Some(' ') if lead.sure => VERBS.binary_search(&first_word(&said)).is_ok(),
        Some(' ') => said.starts_with(char::is_alphabetic),
        _ => false,
    };
    let own = texts.get(lead.at).is_some_and(|text| *text == said);
    let chosen = said.split(' ').all(|word| CHOSEN.binary_search(&word).is_ok());
    sentence && !own && !chosen
}

/// The option of a letter, unless another letter follows, another option is called by that letter,
/// or what is said begins as another option's text does: `B. cereus` beside `B. subtilis`.
fn by_letter(lead: Lead, options: &[String], texts: &[String]) -> Named {
    let n = if options.is_empty() { LETTERS } else { options.len() };
    if another(lead, n) {
        return Named::Several;
    }
    let rest = spelled(lead.rest.trim_start_matches([' ', '.', ':']));
    let own = texts.get(lead.at).is_some_and(|text| !text.is_empty() && rest.starts_with(text));
    if lead.sure || own {
        return option(lead.at);
    }
    if (0..options.len()).any(|at| at != lead.at && called(&options[at], lead.written)) {
        return Named::Several;
    }
    let begins = |mark: &str| {
        let name = lead.rest.strip_prefix(mark);
        if !name.is_some_and(|name| name.starts_with(char::is_alphanumeric)) {
            return false;
        }
        let start = format!("{}{mark}", lead.written.to_ascii_lowercase());
        (0..texts.len()).any(|at| at != lead.at && texts[at].starts_with(&start))
    };
    match (begins(". ") || begins(" ")) && !remarks(&rest) {
        true => Named::Nothing,
        false => option(lead.at),
    }
}

/// Whether another letter of one of `n` options follows: `B and C`, `(B) or (C)`, `B, C`, `B/C`.
/// One that begins a formula or a sentence is none: `(D), F = ma gives it`.
fn another(lead: Lead, n: usize) -> bool {
    let Some((joint, other)) = following(lead, n) else { return false };
    // `(B), C and D are wrong`: behind a letter in brackets a comma ends what was said.
    let strict = lead.sure && matches!(joint, "," | ";");
    let listed = match following(other, n) {
        Some((_, third)) if strict => third.sure || over(third.rest, true),
        Some(_) => true,
        None => over(other.rest, strict),
    };
    other.at != lead.at && (other.sure || listed)
}

/// What joins a letter to the next one, and that one.
fn following<'a>(lead: Lead<'a>, n: usize) -> Option<(&'a str, Lead<'a>)> {
    let rest = lead.rest.trim_start_matches(|c: char| CLOSERS.contains(c));
    let behind = joined(rest)?;
    let other = self::lead(behind, n, false)?;
    let joint = rest[..rest.len() - behind.len()].trim();
    // `B, i.e. the second` names one.
    (other.sure || other.written.is_uppercase()).then_some((joint, other))
}

/// Whether a letter stands alone before this: nothing follows, or another sentence; where it is not
/// `strict`, also a remark on both.
fn over(rest: &str, strict: bool) -> bool {
    let tail = rest.trim_start_matches(|c: char| CLOSERS.contains(c));
    let ended = !tail.contains(|c: char| !".!*) ".contains(c));
    let next = tail.strip_prefix(". ").unwrap_or_default().trim_start();
    let both = rest.starts_with(" (")
        || tail.starts_with([',', ';', ':'])
        || remarks(tail)
        || matches!(first_word(tail), "are" | "both");
    ended || next.starts_with(char::is_uppercase) || !strict && both
}

/// Whether the whole text of an option is this letter.
fn called(option: &str, written: char) -> bool {
    let mut chars = bare(option).chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => {
            c == written || written.is_lowercase() && c.eq_ignore_ascii_case(&written)
        }
        _ => false,
    }
}

/// The option with whose text something begins, the longest one, if it ends there.
fn beginning(said: &str, texts: &[String]) -> Named {
    let behind = |text: &str| {
        let rest = said.strip_prefix(text).filter(|_| text.chars().count() > 1)?;
        rest.starts_with([' ', ',', '.', ';', ':', '!', '/', '(']).then_some(rest)
    };
    let fits = texts.iter().filter_map(|text| Some((text, behind(text)?)));
    let Some((text, rest)) = fits.max_by_key(|(text, _)| text.len()) else {
        return Named::Nothing;
    };
    let Some(at) = only(texts, text) else { return Named::Nothing };
    if joined(rest).is_some_and(|other| texts.iter().any(|text| stands(other, text))) {
        return Named::Several;
    }
    if ends(rest) { option(at) } else { Named::Nothing }
}

/// What follows a word or a sign between two options.
fn joined(rest: &str) -> Option<&str> {
    let rest = rest.trim_start();
    JOINTS.iter().find_map(|joint| {
        let (head, tail) = rest.split_at_checked(joint.len())?;
        head.eq_ignore_ascii_case(joint).then(|| tail.trim_start())
    })
}

/// Whether an option's text stands alone at the beginning: `no` in `no and yes`, not in `no risk`.
fn stands(said: &str, text: &str) -> bool {
    let rest = said.strip_prefix(text).filter(|_| !text.is_empty());
    rest.is_some_and(|rest| {
        let whole = !rest.starts_with(char::is_alphanumeric);
        let over = rest.is_empty() || rest.starts_with(['.', ':', '!']);
        whole && (over || joined(rest).is_some())
    })
}

/// Whether a text that was begun ends before this: `, because`, `. It`, ` since`, but not `.5`.
fn ends(rest: &str) -> bool {
    let mut chars = rest.chars();
    match chars.next() {
        Some(',' | '.' | ';' | ':' | '!') => chars.next().is_none_or(char::is_whitespace),
        Some(' ') => chars.as_str().starts_with(['(', '\u{2014}']) || remarks(chars.as_str()),
        _ => false,
    }
}

/// Whether a remark begins here.
fn remarks(text: &str) -> bool {
    REMARKS.binary_search(&first_word(text)).is_ok()
}

/// The word with which a text begins, if it begins with one.
fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

/// Letters, digits and the signs that belong to them, in lower case.
fn folded(text: &str) -> String {
    let chars: Vec<char> = text.nfkc().flat_map(char::to_lowercase).collect();
    let near = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied().unwrap_or(' ');
    let kept = |(at, c): (usize, &char)| {
        let (before, behind) = (near(at.checked_sub(1)), near(at.checked_add(1)));
        match c {
            c if c.is_alphanumeric() => *c,
            '+' | '#' if !before.is_whitespace() && !behind.is_alphanumeric() => *c,
            // `-5` and `O-`, but not `x-ray` or a dash.
            '-' | '\u{2212}' if before.is_alphanumeric() != behind.is_alphanumeric() => '-',
            _ => ' ',
        }
    };
    let kept: String = chars.iter().enumerate().map(kept).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// As announced; a letter, `*` for several, `-` for nothing.
    fn read(text: &str, options: &[&str]) -> char {
        at(text, options, Place::Announced)
    }

    fn at(text: &str, options: &[&str], place: Place) -> char {
        match named(text, &list(options), place) {
            Named::One(letter) => letter,
            Named::Several => '*',
            Named::Nothing => '-',
        }
    }

    #[test]
    fn the_text_of_an_option_goes_before_its_first_letter() {
        let languages = ["C", "C++", "Rust"];
        for (text, wanted) in [
            ("C++", 'B'),
            ("C++.", 'B'),
            ("**c++**", 'B'),
            ("C++, not C", 'B'),
            ("C++ because it is older", 'B'),
            ("Rust", 'C'),
            ("(C)", 'C'),
            ("C) Rust", 'C'),
            ("C. Rust", 'C'),
            ("option C", 'C'),
            ("A", 'A'),
            // The third one, or the one called so.
            ("C", '*'),
            ("c", '*'),
            ("C#", '-'),
            ("C--", '-'),
        ] {
            assert_eq!(read(text, &languages), wanted, "{text}");
        }
        let bacteria = ["E. coli", "S. aureus", "B. subtilis", "P. putida", "K. oxytoca"];
        for (text, wanted) in [
            ("E. coli", 'A'),
            ("E. coli.", 'A'),
            ("e coli", 'A'),
            ("B. subtilis, a rod", 'C'),
            ("B. S. aureus", 'B'),
            ("(B) S. aureus", 'B'),
            ("B", 'B'),
            ("E", 'E'),
            ("E. because it grows", 'E'),
            ("B. cereus", '-'),
        ] {
            assert_eq!(read(text, &bacteria), wanted, "{text}");
        }
    }

    #[test]
    fn two_letters_or_two_texts_are_no_answer() {
        let colours = ["red", "dark blue", "green", "dark"];
        for text in [
            "B and C",
            "B or C",
            "B, C",
            "B, or C",
            "B/C",
            "B & C",
            "b) and c)",
            "(B) or (C)",
            "**B** AND **C**",
            "option B or option C",
            "A, B and C are wrong",
            "red or green",
            "Red, green and dark",
            "dark blue/green",
        ] {
            assert_eq!(read(text, &colours), '*', "{text}");
        }
        for (text, wanted) in [
            ("B, because C is wrong", 'B'),
            ("B and nothing else", 'B'),
            ("B, a dark one", 'B'),
            ("B or B", 'B'),
            ("B: C is wrong", 'B'),
            ("dark blue, not red", 'B'),
            ("dark", 'D'),
            ("dark (not blue)", 'D'),
            ("dark night", '-'),
            ("darker", '-'),
        ] {
            assert_eq!(read(text, &colours), wanted, "{text}");
        }
        assert_eq!(read("B, i.e. the second", &["x"; 10]), 'B');
    }

    #[test]
    fn a_remark_may_follow_and_nothing_else() {
        let truth = ["Yes", "No"];
        for (text, wanted) in [
            ("Yes, it is safe.", 'A'),
            ("Yes, because the dose is low", 'A'),
            ("yes. It is.", 'A'),
            ("Yes it is", 'A'),
            ("No!", 'B'),
            ("Yes, no problem", 'A'),
            ("Yes and no", '*'),
            ("yes/no", '*'),
            ("No one knows", '-'),
            ("Nobody", '-'),
            ("Not yes", '-'),
        ] {
            assert_eq!(read(text, &truth), wanted, "{text}");
            assert_eq!(at(text, &truth, Place::Whole), wanted, "{text}: all there is");
        }
        // A long line that begins so is about it.
        let long = format!("Yes, {}", "it may be so ".repeat(10));
        assert_eq!(at(&long, &truth, Place::Whole), '-');
        assert_eq!(read(&long, &truth), 'A');
        let numbers = ["1", "10", "-5", "5", "50 %", "1/2"];
        for (text, wanted) in [
            ("10", 'B'),
            ("10, or so", 'B'),
            ("-5", 'C'),
            ("\u{2212}5", 'C'),
            ("5", 'D'),
            ("(5)", 'D'),
            ("1,000", '-'),
            ("10.5", '-'),
            ("10 m", '-'),
            ("-10", '-'),
            ("50%", 'E'),
            ("1/2", 'F'),
        ] {
            assert_eq!(read(text, &numbers), wanted, "{text}");
        }
    }

    #[test]
    fn a_last_line_names_an_option_as_a_whole_only() {
        let colours = ["red", "dark blue", "green"];
        for (text, wanted) in [
            ("Red.", 'A'),
            ("**dark blue**", 'B'),
            ("B", 'B'),
            ("(B).", 'B'),
            ("B. dark blue", 'B'),
            ("B dark blue", 'B'),
            ("(C) the green one", 'C'),
            ("B: the dark one", 'B'),
            ("B is correct.", 'B'),
            ("Option C is the best choice.", 'C'),
            ("Red, however, is wrong.", '-'),
            ("Red. It is wrong.", '-'),
            ("Red for some, but they are wrong.", '-'),
            ("red because some say so", '-'),
            ("B is wrong.", '-'),
            ("B, however, is wrong.", '-'),
            ("(B) is not correct.", '-'),
            ("Option C, some say.", '-'),
            ("B and C", '-'),
        ] {
            assert_eq!(at(text, &colours, Place::Last), wanted, "{text}");
        }
        assert_eq!(at("B is wrong.", &["It", "is wrong"], Place::Last), 'B', "its own text");
        for words in [VERBS, CHOSEN, REMARKS, ARTICLE_ENDS, SELF_ENDS] {
            assert!(words.is_sorted(), "they are looked up by halves");
        }
    }

    #[test]
    fn a_formula_or_a_sentence_is_no_second_letter() {
        let ten = ["x"; 10];
        for (text, wanted) in [
            ("(D), F = ma gives it.", 'D'),
            ("D, F = ma gives it.", 'D'),
            ("(D), and F = ma gives it.", 'D'),
            ("(C), I = V/R.", 'C'),
            ("(B), C and D are wrong.", 'B'),
            ("B, C is wrong", 'B'),
            ("(B), C and D.", '*'),
            ("(B), C", '*'),
            ("(B), (C) and so on", '*'),
            ("B, C. Both are right.", '*'),
            ("B or C, depending on the case", '*'),
            ("option B or C, depending on the case", '*'),
            ("B and C because both hold", '*'),
            ("B and C are both right", '*'),
        ] {
            assert_eq!(read(text, &ten), wanted, "{text}");
        }
    }

    #[test]
    fn an_article_and_a_person_are_no_options_but_their_letters_are() {
        let ten = ["x"; 10];
        for (text, wanted) in [
            ("A because it is cheap", 'A'),
            ("A since x holds", 'A'),
            ("A is right, B is not", 'A'),
            ("**A** because it is cheap", 'A'),
            ("Option A because it is cheap", 'A'),
            ("Option A is best", 'A'),
            ("Choice A best fits", 'A'),
            ("Option I is best", 'I'),
            ("I because it is cheap", 'I'),
            ("A number of things", '-'),
            ("A can of paint", '-'),
            ("I would say so", '-'),
            ("I am for it", '-'),
            ("Option I would take", '-'),
            ("a because it is cheap", '-'),
        ] {
            assert_eq!(read(text, &ten), wanted, "{text}");
        }
        for (text, wanted) in
            [("Option A is best", 'A'), ("A since then is known", '-'), ("A is wrong", '-')]
        {
            assert_eq!(at(text, &ten, Place::Whole), wanted, "{text}");
        }
        assert_eq!(at("Option A is wrong.", &ten, Place::Last), '-');
    }

    #[test]
    fn ties_unicode_and_empty_texts() {
        assert_eq!(read("red", &["red", "Red", "blue"]), '-', "two are the same");
        assert_eq!(read("red, because", &["red", "Red", "blue"]), '-');
        assert_eq!(read("A. red", &["red", "Red", "blue"]), 'A');
        assert_eq!(read("blue", &["red", "Red", "blue"]), 'C');
        let cities = ["Z\u{fc}rich", "M\u{fc}nchen", "\u{6c34}"];
        assert_eq!(read("Z\u{dc}RICH", &cities), 'A');
        assert_eq!(read("Mu\u{308}nchen, weil", &cities), 'B');
        assert_eq!(read("\u{6c34}\u{3002}", &cities), 'C');
        assert_eq!(read("\u{e9}\u{1f44d}", &cities), '-');
        for text in ["", " ", "...", "**", "()", "\u{1f44d}"] {
            assert_eq!(read(text, &["", "x", "."]), '-', "{text}");
            assert_eq!(read(text, &[]), '-', "{text}");
        }
        assert_eq!(read("J", &[]), 'J');
        assert_eq!(read("K", &[]), '-');
        let many: Vec<String> = (0..40).map(|n| format!("text {n}")).collect();
        let say = |text| named(text, &many, Place::Announced);
        assert_eq!(say("text 25"), Named::One('Z'));
        assert_eq!(say("text 26"), Named::Nothing, "no letter is left for it");
    }
}
