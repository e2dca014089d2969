//! The answer inside a text: what is compared, and how it was found.
//!
//! Nothing is guessed: a text in which no answer is marked abstains. Invariant: the same text
//! always gives the same answer.

use crate::choice::{Named, Place, named};
use crate::kind::Kind;
use crate::number::{self, Unit};
use unicode_normalization::UnicodeNormalization;

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The caller gave it apart from the text.
    Given,
    /// The field `answer` of an object in the text.
    Field,
    /// `\boxed{…}`.
    Boxed,
    /// Behind words such as `the answer is`.
    Said,
    /// It is the last line, or all there is.
    Line,
    /// The whole text.
    Whole,
}

impl How {
    /// As it stands in replies.
    pub fn name(self) -> &'static str {
        match self {
            How::Given => "given",
            How::Field => "field",
            How::Boxed => "boxed",
            How::Said => "said",
            How::Line => "line",
            How::Whole => "text",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is compared: a letter, a fraction in lowest terms, a literal in normal form, a text.
    pub value: String,
    /// How it was found.
    pub how: How,
    /// Of a number, if one that makes a difference was said: `5 mg` is not `5 g`.
    pub unit: Option<Unit>,
}

impl Answer {
    /// The value with its unit.
    pub fn shown(&self) -> String {
        match self.unit {
            Some(unit) => format!("{} {}", self.value, unit.name),
            None => self.value.clone(),
        }
    }
}

/// Why a text holds no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abstained {
    /// Nothing was said.
    Empty,
    /// It says that it does not know, or will not say.
    Refusal,
    /// No answer of this kind is marked in it.
    Unmarked,
    /// The model failed, or its text was cut.
    Failed,
}

impl Abstained {
    /// As it stands in replies.
    pub fn name(self) -> &'static str {
        match self {
            Abstained::Empty => "empty",
            Abstained::Refusal => "refusal",
            Abstained::Unmarked => "no answer of this kind is marked",
            Abstained::Failed => "failed",
        }
    }
}

/// Options at most; letters go to `Z`.
pub const OPTIONS_MAX: usize = 26;

/// The answer in `text`; `given` is what the caller took out of it already. Options are texts in
/// the order of their letters; none is any letter from A to J.
///
/// # Errors
/// Why there is none.
pub fn extract(
    kind: Kind,
    text: &str,
    given: Option<&str>,
    options: &[String],
) -> Result<Answer, Abstained> {
    if let Some(given) = given {
        let value = read(kind, given, options, Place::Announced)?.ok_or(Abstained::Unmarked)?;
        return said_something(kind, value, How::Given, given);
    }
    let trimmed = spoken(text);
    if trimmed.is_empty() {
        return Err(Abstained::Empty);
    }
    if kind == Kind::Long || kind == Kind::Short {
        // Advice may begin with regret.
        let short = trimmed.split_whitespace().count() <= REFUSAL_WORDS_MAX;
        let marked = (kind == Kind::Short).then(|| phrase(trimmed)).flatten();
        // So may what ends with its answer in a line of its own.
        let ended = marked.as_ref().is_some_and(|(_, how)| *how == How::Said);
        if refuses(trimmed) && !ended && (short || kind == Kind::Short) {
            return Err(Abstained::Refusal);
        }
        let (value, how) = marked.unwrap_or_else(|| (trimmed.to_owned(), How::Whole));
        return said_something(kind, value, how, trimmed);
    }
    let trimmed = before_next_question(trimmed);
    for (candidate, how) in candidates(trimmed) {
        let told = told(kind, &candidate, how);
        if let Some(value) = read(kind, told, options, Place::Announced)? {
            return said_something(kind, value, how, told);
        }
    }
    let place = if trimmed.contains('\n') { Place::Last } else { Place::Whole };
    if let Some(line) = last_line(trimmed)
        && let Some(value) = read(kind, line, options, place)?
    {
        return Ok(Answer { value, how: How::Line, unit: unit(kind, line) });
    }
    Err(if refuses(trimmed) { Abstained::Refusal } else { Abstained::Unmarked })
}

/// What stands around that which a model thought aloud before it answered.
const THOUGHT: &[(&str, &str)] = &[("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// What a text says once its model has thought aloud: nothing where the thought has no end. A
/// template may have left the opening mark out; the closing one ends its line then.
pub fn spoken(text: &str) -> &str {
    let mut said = text.trim();
    let begun = |said: &str| THOUGHT.iter().find(|(open, _)| said.starts_with(open)).copied();
    while let Some((open, close)) = begun(said) {
        said = said[open.len()..].split_once(close).map_or("", |(_, rest)| rest.trim_start());
    }
    for (open, close) in THOUGHT {
        if let Some((thought, rest)) = said.split_once(*close) {
            let ends = rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n');
            said = if ends && !thought.contains(*open) { rest.trim_start() } else { said };
        }
    }
    said
}

/// Words of a long text that can still be a refusal as a whole.
const REFUSAL_WORDS_MAX: usize = 60;

/// A value that does not itself say that nothing is known; `said` is what it was read from.
fn said_something(kind: Kind, value: String, how: How, said: &str) -> Result<Answer, Abstained> {
    match matches!(kind, Kind::Short | Kind::Value) && refuses(&value) {
        true => Err(Abstained::Refusal),
        false => Ok(Answer { value, how, unit: unit(kind, said) }),
    }
}

/// The unit of a number.
fn unit(kind: Kind, said: &str) -> Option<Unit> {
    if kind == Kind::Number { number::unit_of(said) } else { None }
}

/// A text up to where its model goes on with a question of its own, as base models do.
fn before_next_question(text: &str) -> &str {
    let marks = ["\nQuestion:", "\nQ:", "\n\nQuestion "];
    let end = marks.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let kept = text[..end].trim_end();
    if kept.is_empty() { text } else { kept }
}

/// A phrase that a text marks as its answer. Of what is said in words only the last line counts,
/// as models are asked to end: a sentence may go on with what the answer is not.
fn phrase(text: &str) -> Option<(String, How)> {
    let marked = candidates(text).into_iter().filter(|(_, how)| *how != How::Said);
    let ended = concluded(text).map(|value| (value.to_owned(), How::Said));
    let (value, how) = marked.chain(ended).next()?;
    let value = value.trim().to_owned();
    (!value.is_empty()).then_some((value, how))
}

/// What a text says behind `Answer:` in its last line, or below it where nothing is behind it.
pub(crate) fn concluded(text: &str) -> Option<&str> {
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.next()?;
    let said = match behind_answer(last) {
        Some(said) => said,
        None => behind_answer(lines.next()?).filter(|said| said.is_empty()).map(|_| last)?,
    };
    let said = said.trim_matches(['*', '`', ' ']);
    (!said.is_empty()).then_some(said)
}

/// What is behind the `Answer:` or `**Final answer:**` with which a line begins.
fn behind_answer(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(['*', '_', '#', '>', '`', '-', ' ']);
    let lower = lowered(line);
    let behind = ["final answer", "answer"].iter().find_map(|mark| lower.strip_prefix(mark))?;
    let behind = line.get(line.len() - behind.len()..)?.trim_start_matches(['*', '_', ' ']);
    Some(behind.strip_prefix(':')?.trim_matches(['*', '_', '`', ' ']))
}

/// What is read of a candidate: one sentence of what was said in words, but for a choice the line:
/// `E. coli` may be an option.
fn told(kind: Kind, candidate: &str, how: How) -> &str {
    if how == How::Said && kind != Kind::Choice { sentence(candidate) } else { candidate }
}

/// The value of one candidate, in normal form.
///
/// # Errors
/// It names several options: what else stands in the text would be a guess.
fn read(
    kind: Kind,
    text: &str,
    options: &[String],
    place: Place,
) -> Result<Option<String>, Abstained> {
    Ok(match kind {
        Kind::Choice => match named(text, options, place) {
            Named::One(letter) => Some(letter.to_string()),
            Named::Several => return Err(Abstained::Unmarked),
            Named::Nothing => None,
        },
        Kind::Number => number::parse(text)
            .or_else(|| number::parse(text.split(" (").next()?))
            .map(|value| value.to_string()),
        Kind::Value => Some(literal(text)).filter(|value| !value.is_empty()),
        Kind::Short | Kind::Long => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
    })
}

/// What a text marks as its answer, the surest mark first.
fn candidates(text: &str) -> Vec<(String, How)> {
    let field = field(text).map(|value| (value, How::Field));
    let boxed = boxed(text).map(|value| (value, How::Boxed));
    let said = said(text).into_iter().map(|value| (value, How::Said));
    field.into_iter().chain(boxed).chain(said).collect()
}

/// The last `"answer": …` of an object, whose other fields may be no proper JSON: models write
/// LaTeX with single backslashes.
fn field(text: &str) -> Option<String> {
    let quoted = ["\"answer\"", "'answer'", "\"final_answer\"", "\\\"answer\\\""];
    let at = quoted.iter().filter_map(|key| Some(text.rfind(key)? + key.len())).max()?;
    let rest = text[at..].trim_start().strip_prefix(':')?.trim_start();
    let rest = rest.strip_prefix('\\').unwrap_or(rest);
    let Some(body) = rest.strip_prefix(['"', '\'']) else {
        return Some(bare(rest).to_owned()).filter(|v| !v.is_empty());
    };
    let quote = rest.chars().next()?;
    let mut end = body.len();
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            end = at;
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    let value = body[..end].replace("\\\"", "\"").replace("\\\\", "\\");
    Some(value.trim().trim_end_matches('\\').to_owned()).filter(|v| !v.is_empty())
}

/// A number, a word or a list at the beginning of a text, up to the end of its field.
fn bare(text: &str) -> &str {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | ')' | '}' if depth > 0 => depth -= 1,
            '}' | '\n' => return text[..at].trim().trim_end_matches(',').trim(),
            // A comma before a space or a quote ends the field; one between digits does not.
            ',' if depth == 0 && text[at + 1..].starts_with([' ', '"', '\'']) => {
                return text[..at].trim();
            }
            _ => {}
        }
    }
    text.trim()
}

/// The contents of the last `\boxed{…}`.
fn boxed(text: &str) -> Option<String> {
    let at = ["\\boxed", "\\fbox"].iter().filter_map(|mark| text.rfind(mark)).max()?;
    let rest = &text[at + text[at..].find('{')?..];
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(rest[1..at].trim().to_owned()).filter(|v| !v.is_empty());
        }
    }
    None
}

/// Words that announce an answer, in lower case.
const ANNOUNCE: &[&str] = &[
    "answer is",
    "answer:",
    "answer is:",
    "answers is",
    "answer would be",
    "answer should be",
    "answer =",
    "answer: is",
    "choice:",
    "option:",
    "result is",
    "solution is",
    "####",
    "answer**:",
    "answer:**",
    "answer was",
];

/// Words that announce an answer where a word of [`PREFERRED`] stands before them: others speak of
/// any option.
const PICKED: &[&str] = &["option is", "choice is"];
const PREFERRED: &[&str] =
    &["correct", "best", "final", "right", "my", "appropriate", "likely", "accurate", "closest"];
/// Words before one of these that make it another than the first.
const LOWER: &[&str] = &[
    "2nd", "3rd", "another", "fourth", "least", "less", "next", "not", "other", "second", "third",
];

/// Whether words end so that an option behind them is the answer: `the correct`, `the best answer`,
/// `the most likely`, but not `the incorrect`, `the second best`, `the least likely`.
fn prefers(before: &str) -> bool {
    let between = [' ', '*', '_'];
    let before = before.trim_end_matches(between);
    let before = before.strip_suffix("answer").unwrap_or(before).trim_end_matches(between);
    PREFERRED.iter().filter_map(|word| before.strip_suffix(word)).any(|head| {
        let between = [' ', '-', '*', '_'];
        let rank = head.trim_end_matches(between);
        let rank = rank.strip_suffix("most").unwrap_or(rank).trim_end_matches(between);
        let lower = rank.rsplit(|c: char| !c.is_alphanumeric()).next();
        !lower.is_some_and(|word| LOWER.contains(&word)) && !head.ends_with(char::is_alphanumeric)
    })
}

/// The lines that follow the last announcements, the last one first.
fn said(text: &str) -> Vec<String> {
    let lower = lowered(text);
    let ends = |mark: &&str| -> Vec<usize> {
        lower.match_indices(*mark).map(|(at, _)| at + mark.len()).collect()
    };
    let picked = PICKED.iter().flat_map(|mark| lower.match_indices(*mark));
    let picked = picked.filter(|(at, _)| prefers(&lower[..*at])).map(|(at, mark)| at + mark.len());
    let mut places: Vec<usize> = ANNOUNCE.iter().flat_map(ends).chain(picked).collect();
    places.sort_unstable();
    places.dedup();
    let after = |at: usize| {
        let rest = text[at..].trim_start_matches([' ', ':', '*', '\t', '\n', '_']);
        rest.lines().next().unwrap_or_default().trim().to_owned()
    };
    let says = |line: &String| !sentence(line).is_empty();
    places.into_iter().rev().take(3).map(after).filter(says).collect()
}

/// Lower case of ASCII only, so that places stay the same.
fn lowered(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// A line up to the end of its first sentence.
fn sentence(line: &str) -> &str {
    let end = line.find(". ").unwrap_or(line.len());
    line[..end].trim().trim_end_matches('.').trim()
}

fn last_line(text: &str) -> Option<&str> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.trim_matches(|c: char| matches!(c, '*' | '`' | '_' | ' '));
    Some(line).filter(|line| !line.is_empty())
}

/// A literal in normal form: numbers by value, one sort of quotes, no spaces between parts.
fn literal(text: &str) -> String {
    let plain: String = text.nfkc().collect();
    let plain = plain.trim().trim_matches(['`', '$', '*']).trim().trim_end_matches('.');
    if let Some(value) = number::parse(plain) {
        return value.to_string();
    }
    match plain.to_ascii_lowercase().as_str() {
        "true" | "false" | "none" | "null" | "yes" | "no" => return plain.to_ascii_lowercase(),
        _ => {}
    }
    let bare = plain.trim_matches(['"', '\'']);
    let inner = |q: char| plain.starts_with(q) && plain.ends_with(q) && !bare.contains(q);
    if inner('"') || inner('\'') {
        return bare.to_owned();
    }
    let mut out = String::new();
    let mut quote = None;
    for c in plain.chars() {
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                out.push('"');
            }
            (Some(open), c) if c == open => {
                quote = None;
                out.push('"');
            }
            (None, c) if c.is_whitespace() => {
                // Between words a space counts, beside a sign it does not.
                if out.ends_with(char::is_alphanumeric) {
                    out.push(' ');
                }
            }
            (None, c) => {
                if !c.is_alphanumeric() && out.ends_with(' ') {
                    out.pop();
                }
                out.push(c);
            }
            (Some(_), c) => out.push(c),
        }
    }
    out
}

/// Beginnings of texts that answer nothing, in lower case.
const REFUSALS: &[&str] = &[
    "i don't know",
    "i do not know",
    "i'm not sure",
    "i am not sure",
    "not sure",
    "i cannot",
    "i can't",
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "as an ai",
    "as a language model",
    "as a large language model",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "i won't answer",
    "i will not answer",
    "i decline",
    "i must decline",
    "i have to decline",
    "i respectfully decline",
    "i must respectfully decline",
    "there is no information",
    "no answer",
    "n/a",
    "i have no information",
    "i have no idea",
    "cannot answer",
    "i do not have",
    "i don't have",
];

/// The same of texts that say so where no word follows: `Unknown Pleasures` is an answer.
const UNKNOWN: &[&str] = &["unknown", "no idea", "unsure"];

/// Whether a text refuses or does not know.
pub fn refuses(text: &str) -> bool {
    let start: String = spoken(text).chars().take(60).collect();
    let start = start.to_lowercase().replace('\u{2019}', "'");
    let alone = |word: &&str| {
        let rest = start.strip_prefix(*word).map(str::trim_start);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '\''))
    };
    REFUSALS.iter().any(|refusal| start.starts_with(refusal)) || UNKNOWN.iter().any(alone)
}

/// Whether a text marks a number as its answer, or is one.
pub fn marked_number(text: &str) -> bool {
    let is_number = |(candidate, how): (String, How)| {
        number::parse(told(Kind::Number, &candidate, how)).is_some()
    };
    candidates(text.trim()).into_iter().any(is_number) || number::parse(text.trim()).is_some()
}

/// Options that stand in a question, a line each: `A) one`, `(B) two`, `C. three`.
pub fn options_of(question: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in question.lines() {
        let line = line.trim().trim_start_matches('(');
        let mut chars = line.chars();
        let Some(first) = chars.next() else { continue };
        let wanted = char::from(b'A' + u8::try_from(out.len()).unwrap_or(25).min(25));
        let mark = chars.next().is_some_and(|c| matches!(c, ')' | '.' | ':'));
        if first == wanted && mark && out.len() < OPTIONS_MAX {
            out.push(chars.as_str().trim().to_owned());
        }
    }
    if out.len() >= 2 { out } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choice(text: &str) -> Option<String> {
        extract(Kind::Choice, text, None, &[]).ok().map(|answer| answer.value)
    }

    fn value(kind: Kind, text: &str) -> Option<String> {
        extract(kind, text, None, &[]).ok().map(|answer| answer.value)
    }

    #[test]
    fn letters_are_found_where_they_are_marked() {
        for text in [
            "It takes energy. The answer is (E).",
            "E",
            "(E)",
            "**E**",
            "Answer: E",
            "{\"reasoning\": \"x\", \"answer\": \"E\"}",
            "so \\boxed{E}",
            "The answer is E: x",
            "{\n \"reasoning\": \"\\frac\", \"answer\": \"(E) endergonic\"\n}",
            "The correct option is **E**.",
            "We think.\n\nE. endergonic reaction",
            "The answer is (A). No, wait. The answer is (E).",
        ] {
            assert_eq!(choice(text).as_deref(), Some("E"), "{text}");
        }
        for text in ["A number of things", "a good question", "The answer is K", "Every time"] {
            assert_eq!(choice(text), None, "{text}");
        }
        let options = ["red".to_owned(), "dark blue".to_owned()];
        let blue = extract(Kind::Choice, "The answer is Dark Blue.", None, &options).unwrap();
        assert_eq!(blue.value, "B");
        assert!(extract(Kind::Choice, "The answer is (C).", None, &options).is_err());
    }

    fn of(text: &str, options: &[&str]) -> Option<String> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        extract(Kind::Choice, text, None, &options).ok().map(|answer| answer.value)
    }

    #[test]
    fn an_option_is_read_by_its_text_and_never_guessed() {
        let bacteria: &[&str] = &["E. coli", "S. aureus", "B. subtilis", "P. putida", "K. oxytoca"];
        let languages: &[&str] = &["C", "C++", "Rust"];
        let truth: &[&str] = &["Yes", "No"];
        let (streets, empty): (&[&str], &[&str]) = (&["Weg", "stra\u{df}e"], &["", ""]);
        let (colours, holds): (&[&str], &[&str]) = (&["Red", "Blue"], &["True", "False"]);
        for (text, options, wanted) in [
            ("The answer is E. coli.", bacteria, Some("A")),
            ("The answer is B. subtilis. It is a rod.", bacteria, Some("C")),
            ("It is a rod.\n\nB. subtilis", bacteria, Some("C")),
            ("The answer is B. It has no spores.", bacteria, Some("B")),
            ("The answer is B. cereus.", bacteria, None),
            ("C++", languages, Some("B")),
            ("The best choice is C++.", languages, Some("B")),
            ("The answer is C.", languages, None),
            ("The answer is (C).", languages, Some("C")),
            ("Yes, it is safe.", truth, Some("A")),
            // A last line that goes on may end with the opposite.
            ("The dose is low.\nYes.", truth, Some("A")),
            ("The dose is low.\nYes, because of that it is safe.", truth, None),
            ("Some say so.\nYes, some argue so, but they are wrong.", truth, None),
            ("I would pick blue.\nRed, however, is wrong.", colours, None),
            ("I would pick blue.\nBlue", colours, Some("B")),
            ("I would pick blue.\nA is wrong.", colours, None),
            ("The answer is blue, since red is wrong.\nRed, however.", colours, Some("B")),
            ("It holds for n=1.\nTrue for n = 1, but the claim is false.", holds, None),
            ("No one knows.", truth, None),
            ("", truth, None),
            (" \n", empty, None),
            ("Stra\u{df}e", streets, Some("B")),
        ] {
            assert_eq!(of(text, options).as_deref(), wanted, "{text}");
        }
        for text in [
            "B and C",
            "The answer is B or C.",
            "{\"answer\": \"B, C\"}",
            "I took A: the answer is A.\nNo: the answer is (B) and (C).",
            "\\boxed{B/C}\n\nA",
        ] {
            assert_eq!(choice(text), None, "{text}");
        }
        let both = extract(Kind::Choice, "", Some("B, C"), &[]);
        assert_eq!(both, Err(Abstained::Unmarked), "nor from what is given");
    }

    #[test]
    fn only_the_preferred_option_is_announced() {
        for text in [
            "The answer is (B).\n\nThe other option is A, which is wrong.",
            "The answer is (B). The incorrect option is A.",
            "The best option is (B). The second-best option is A.",
            "The final choice is (B). The next best choice is A.",
            "The **correct** answer choice is (B)\nThis choice is A twin of C.",
            "It is so.\nThe right option is B. It fits.",
            "The most appropriate choice is (B), since it fits.",
            "My choice is B.",
            "I think that my **final** choice is B.",
            "The closest option is B.",
            "The most likely option is B. The second most likely option is A.",
            "The most accurate choice is B. The least accurate choice is A.",
            "The answer is (B), F = ma gives it.",
            "The answer is (B), C and D are wrong.",
        ] {
            assert_eq!(choice(text).as_deref(), Some("B"), "{text}");
        }
        for text in [
            "The option is A which few take",
            "My least correct option is A here",
            "The inaccurate option is A here",
            "An unlikely choice is A here",
            "The worst choice is A here",
            "My other option is A here",
            "The next most likely option is A here",
            "option is",
        ] {
            assert_eq!(choice(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_and_literals_are_compared_by_value() {
        let same = [
            "{\"answer\": \"70,000\"}",
            "{\"answer\": 70000}",
            "so \\boxed{70{,}000}",
            "Long.\n#### 70000",
            "The answer is $70,000.00.",
            "70000",
            "x\n**Answer:** 70 000",
        ];
        for text in same {
            assert_eq!(value(Kind::Number, text).as_deref(), Some("70000"), "{text}");
        }
        assert_eq!(value(Kind::Number, "I see 3 cats and 4 dogs"), None, "nothing is guessed");
        assert_eq!(value(Kind::Value, "[1, 'a b' , 2]"), value(Kind::Value, "[1,\"a b\",2]"));
        assert_ne!(value(Kind::Value, "'a b'"), value(Kind::Value, "'ab'"));
        assert_eq!(value(Kind::Value, "True"), value(Kind::Value, "`true`"));
    }

    #[test]
    fn fields_end_where_they_end() {
        let one = "{\"answer\": 42, \"confidence\": 0.9}";
        assert_eq!(value(Kind::Number, one).as_deref(), Some("42"));
        assert_eq!(value(Kind::Number, "{\"answer\": 1,234}").as_deref(), Some("1234"));
        let lists = ["{\"answer\": [[1,2],[3]]}", "{\"answer\": [[1,2],[4]]}"];
        assert_ne!(value(Kind::Value, lists[0]), value(Kind::Value, lists[1]));
        let truth = "{\"answer\": true, \"why\": \"x\"}";
        assert_eq!(value(Kind::Value, truth).as_deref(), Some("true"));
        assert_eq!(choice("The answer is B because it is").as_deref(), Some("B"));
        assert_eq!(choice("Answer: b) blue").as_deref(), Some("B"));
        assert_eq!(value(Kind::Short, "{\"answer\": \"unknown\"}"), None);
        let regret = format!("I'm sorry to hear that. {}", "Do rest and drink water. ".repeat(20));
        assert!(value(Kind::Long, &regret).is_some());
    }

    #[test]
    fn what_does_not_answer_abstains_and_says_why() {
        let why = |kind, text| extract(kind, text, None, &[]).unwrap_err();
        assert_eq!(why(Kind::Short, " "), Abstained::Empty);
        assert_eq!(why(Kind::Short, "I\u{2019}m sorry, but"), Abstained::Refusal);
        assert_eq!(why(Kind::Number, "It depends."), Abstained::Unmarked);
        assert_eq!(options_of("Which?\n(A) one\n(B) two\nC. three"), ["one", "two", "three"]);
        assert!(options_of("A. Smith wrote it").is_empty());
    }

    #[test]
    fn a_refusal_is_one_in_other_words_and_a_title_is_none() {
        for text in [
            "Not sure.",
            "I must decline to say.",
            "I won\u{2019}t answer that.",
            "I'm not able to say",
            "As a language model I have no opinion.",
            "I have no idea",
            "No idea!",
            "Unknown.",
            "unknown (no record is left)",
            "Unsure",
        ] {
            assert!(refuses(text), "{text}");
            let found = extract(Kind::Short, text, None, &[]);
            assert_eq!(found, Err(Abstained::Refusal), "{text}");
        }
        for text in ["Unknown Pleasures", "No Idea\u{2019}s Original", "Unknowns", "Surely"] {
            assert_eq!(value(Kind::Short, text).as_deref(), Some(text), "{text}");
        }
    }

    #[test]
    fn what_was_thought_aloud_is_no_answer() {
        for text in [
            "<think>London or Paris? London.</think>Paris",
            " <think>\nLondon\n</think>\n\nParis ",
            "<thinking>London</thinking><think>Rome</think> Paris",
            "It may be London.\n</think>\n\nParis",
            "Paris",
        ] {
            assert_eq!(value(Kind::Short, text).as_deref(), Some("Paris"), "{text}");
        }
        let thought = "<think>Answer: 3? No.</think>\nAnswer: 4";
        assert_eq!(value(Kind::Number, thought).as_deref(), Some("4"));
        let cut = extract(Kind::Number, "<think>The answer is 3", None, &[]);
        assert_eq!(cut, Err(Abstained::Empty), "it was cut before it said anything");
        let refusal = extract(Kind::Long, "<think>Hm.</think>I cannot help.", None, &[]);
        assert_eq!(refusal, Err(Abstained::Refusal));
        // A text may speak of the marks.
        for text in
            ["the `</think>` mark", "<b>Paris</b>", "between <think> and </think>\nit thinks"]
        {
            assert_eq!(value(Kind::Short, text).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_last_line_is_the_answer_where_it_says_so() {
        for text in [
            "Go is nice, but Rust is safer.\nAnswer: Rust",
            "Go is nice.\n\n**Answer:** Rust\n",
            "Go is nice.\n**Answer: `Rust`**",
            "Go is nice.\n### Final Answer: *Rust*",
            "Go is nice.\n**Answer**:\n\nRust",
            "I cannot praise Go.\nAnswer: Rust",
            "Answer: Rust",
        ] {
            assert_eq!(value(Kind::Short, text).as_deref(), Some("Rust"), "{text}");
        }
        for text in
            ["The answer is Rust, not Go", "Answer: Rust\nGo is nice.", "Answer:", "**Answer**"]
        {
            assert_eq!(value(Kind::Short, text).as_deref(), Some(text), "it is read as a whole");
        }
        let boxed = value(Kind::Short, "\\boxed{Rust}\nAnswer: as above");
        assert_eq!(boxed.as_deref(), Some("Rust"));
        let unknown = extract(Kind::Short, "Hm.\nAnswer: I don't know", None, &[]);
        assert_eq!(unknown, Err(Abstained::Refusal));
        let long = "Go is nice.\nAnswer: Rust";
        assert_eq!(value(Kind::Long, long).as_deref(), Some(long));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_abstains(text in "(?s).{0,200}") {
            for kind in Kind::ALL {
                let _ = extract(kind, &text, None, &[]);
                let _ = extract(kind, &text, Some(&text), &["x".to_owned(), "y".to_owned()]);
            }
        }
    }
}
