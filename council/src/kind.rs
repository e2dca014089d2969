//! What sort of answer a question wants: the caller's word, else the shape of question and answers.

use crate::extract;

/// A sort of answer. It decides how answers are compared and what a vote is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One of given options.
    Choice,
    /// A number.
    Number,
    /// A literal: a list, a code word, a date; equal or not.
    Value,
    /// A name or a phrase; the same can be said in other words.
    Short,
    /// Sentences, compared claim by claim.
    Long,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Choice, Kind::Number, Kind::Value, Kind::Short, Kind::Long];

    /// As it is written in arguments and replies.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Choice => "choice",
            Kind::Number => "number",
            Kind::Value => "value",
            Kind::Short => "short",
            Kind::Long => "long",
        }
    }

    /// The reverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether answers are the same or not, without degrees.
    pub fn is_exact(self) -> bool {
        matches!(self, Kind::Choice | Kind::Number | Kind::Value)
    }
}

/// Longest answer that still counts as a phrase, in words.
const SHORT_WORDS_MAX: usize = 30;

/// The sort of answer that `question` wants, judged by it and by what was answered: options make it
/// a choice, numbers a number; else length decides. `answers` are raw texts.
pub fn classify(question: &str, options: &[String], answers: &[&str]) -> Kind {
    if options.len() >= 2 || extract::options_of(question).len() >= 2 {
        return Kind::Choice;
    }
    let said = answers.iter().map(|text| extract::spoken(text));
    let says = |text: &&str| !text.is_empty() && !extract::refuses(end(text));
    let said: Vec<&str> = said.filter(says).collect();
    let most = |fits: fn(&str) -> bool| {
        let n = said.iter().filter(|text| fits(text)).count();
        n > 0 && n * 3 >= said.len() * 2
    };
    let short = |text: &str| end(text).split_whitespace().count() <= SHORT_WORDS_MAX;
    match () {
        () if most(extract::marked_number) => Kind::Number,
        () if most(short) => Kind::Short,
        () => Kind::Long,
    }
}

/// What is marked in the last line is the answer, however long the way to it was.
fn end(text: &str) -> &str {
    extract::concluded(text).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_and_answers_say_the_kind() {
        let options = ["a".to_owned(), "b".to_owned()];
        assert_eq!(classify("Which?", &options, &[]), Kind::Choice);
        assert_eq!(classify("Which?\nA) one\nB) two", &[], &["A"]), Kind::Choice);
        assert_eq!(classify("How many?", &[], &["18", "so \\boxed{18}"]), Kind::Number);
        assert_eq!(classify("Who?", &[], &["Ada Lovelace", "It was Ada."]), Kind::Short);
        let long = "word ".repeat(80);
        assert_eq!(classify("Should we?", &[], &[&long, &long]), Kind::Long);
        assert_eq!(classify("Should we?", &[], &[]), Kind::Long);
        let ended = format!("{long}\nAnswer: Rust");
        assert_eq!(classify("Which language?", &[], &[&ended, &ended, &long]), Kind::Short);
        let ended = format!("{long}\nAnswer: {long}");
        assert_eq!(classify("Which language?", &[], &[&ended, &ended]), Kind::Long);
        let thought = format!("<think>{long}</think>Yes");
        assert_eq!(classify("Should we?", &[], &[&thought, &thought, "<think>cut"]), Kind::Short);
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
    }
}
