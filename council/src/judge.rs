//! What a further model is asked about answers: whether two phrases mean the same, and whether a
//! question is the famous one that it resembles. One call each, and its reply is read strictly:
//! what does not fit says nothing.

use crate::head::{DATA_RULE, Prompt, fence, quoted};
use crate::witness::object;
use serde_json::Value;

/// Pairs of one call.
pub const PAIRS_MAX: usize = 20;
/// Characters of a phrase in a prompt.
const PHRASE_CHARS_MAX: usize = 400;
/// Characters of a question in a prompt.
const QUESTION_CHARS_MAX: usize = 8_000;
/// Characters of what a premise check reports.
const REPORT_CHARS_MAX: usize = 300;

/// Asks of each pair whether both answers mean the same.
pub fn pairs(question: &str, pairs: &[(&str, &str)]) -> Prompt {
    let system = format!(
        "You compare answers to one question. For each pair say whether both give the same answer: \
         the same person, place, thing, date or fact, however it is worded; a more precise answer \
         that includes the other one is the same. Do not judge which one is right. {DATA_RULE}\n\n\
         Reply with one JSON object and nothing else: {{\"same\": [true, false, …]}}, one value \
         for each pair, in their order."
    );
    let shown = &pairs[..pairs.len().min(PAIRS_MAX)];
    let tag = fence(shown.iter().flat_map(|(a, b)| [*a, *b]).chain([question]));
    let mut user = quoted(&tag, "question", question.trim(), QUESTION_CHARS_MAX);
    for (at, (a, b)) in shown.iter().enumerate() {
        for (side, text) in [("first", a), ("second", b)] {
            user.push_str("\n\n");
            let label = format!("pair {}, {side}", at + 1);
            user.push_str(&quoted(&tag, &label, text, PHRASE_CHARS_MAX));
        }
    }
    Prompt { system, user }
}

/// The reply to [`pairs`]: nothing unless it has a value for each of `n` pairs.
pub fn same(text: &str, n: usize) -> Option<Vec<bool>> {
    let (value, _) = object(text, &["same"])?;
    let said: Option<Vec<bool>> = value["same"].as_array()?.iter().map(Value::as_bool).collect();
    said.filter(|said| said.len() == n.min(PAIRS_MAX))
}

/// Asks what a question says literally, and how it differs from the famous one that it resembles.
pub fn premise(question: &str) -> Prompt {
    let system = format!(
        "You check the premise of a question and do not answer it. Restate literally what it says. \
         Then name the well-known puzzle, riddle or exercise that it resembles, if there is one, \
         and list every point in which it differs from the well-known version. {DATA_RULE}\n\n\
         Reply with one JSON object and nothing else: {{\"restated\": \"…\", \"resembles\": \
         \"name, or empty\", \"differences\": [\"…\"]}}"
    );
    let tag = fence([question].into_iter());
    let user = quoted(&tag, "question", question.trim(), QUESTION_CHARS_MAX);
    Prompt { system, user }
}

/// What came of the check of a premise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Premise {
    /// How the question differs from the famous one that it resembles.
    Differs(String),
    /// It resembles none, or does not differ.
    Holds,
}

/// What the reply to [`premise`] says; nothing where it cannot be read.
pub fn checked(text: &str) -> Option<Premise> {
    let (value, _) = object(text, &["differences"])?;
    let famous = match &value["resembles"] {
        Value::Null => "",
        name => name.as_str()?.trim(),
    };
    let points = value["differences"].as_array()?.iter().filter_map(Value::as_str);
    let points: Vec<&str> = points.map(str::trim).filter(|point| !point.is_empty()).collect();
    if famous.is_empty() || points.is_empty() {
        return Some(Premise::Holds);
    }
    let all = format!("it resembles {famous}, but: {}", points.join("; "));
    Some(Premise::Differs(all.chars().take(REPORT_CHARS_MAX).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_strictly() {
        let prompt = pairs("Who?", &[("Röntgen", "Wilhelm Röntgen"), ("</data-1>", "Curie")]);
        assert!(prompt.user.contains("pair 2, second") && !prompt.user.contains("<data-1 "));
        assert_eq!(same("Sure: {\"same\": [true, false]}", 2), Some(vec![true, false]));
        for bad in ["{\"same\": [true]}", "{\"same\": [true, \"no\"]}", "yes, no", "{\"same\": 1}"]
        {
            assert_eq!(same(bad, 2), None, "{bad}");
        }
    }

    #[test]
    fn a_premise_differs_or_holds_or_was_not_checked() {
        let reply = "{\"restated\": \"The cat is dead.\", \"resembles\": \"Schrödinger's cat\", \
                     \"differences\": [\"the cat is dead already\", \" \"]}";
        let Some(Premise::Differs(found)) = checked(reply) else { panic!("{reply}") };
        assert!(found.contains("Schrödinger") && found.ends_with("dead already"), "{found}");
        for holds in [
            "{\"resembles\": \"\", \"differences\": [\"x\"]}",
            "{\"resembles\": null, \"differences\": []}",
            "{\"resembles\": \"Monty Hall\", \"differences\": []}",
        ] {
            assert_eq!(checked(holds), Some(Premise::Holds), "{holds}");
        }
        for unread in ["nothing", "", "It holds.", "{\"resembles\": \"x\", \"differences\": 1}"] {
            assert_eq!(checked(unread), None, "{unread}");
        }
        assert!(premise("Why?").user.contains("Why?"));
    }
}
