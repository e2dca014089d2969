//! How far answers to one question are apart, and the divergence gate.
//!
//! Pure: meanings come in as numbers. Invariant: answers that the verdict takes for different ones
//! are apart here too, where it compares by equality.

use crate::claim::{Stance, judge};
use crate::cluster::{PHRASES, linked, measured, similarity};
use crate::extract::{Abstained, Answer, extract, options_of, refuses, spoken};
use crate::head::named;
use crate::kind::{Kind, classify};
use crate::number::Unit;
use crate::text::content;

/// What was asked, as the verdict takes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The question; may be empty.
    pub question: &'a str,
    /// The sort of answer, if it is known; else question and answers tell it.
    pub kind: Option<Kind>,
    /// Options of a choice; without them those that stand in the question.
    pub options: &'a [String],
}

/// How far answers to one question are apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// 0 all the same, 1 all different; `None` with fewer than two answers.
    pub score: Option<f64>,
    /// How they were compared.
    pub kind: Kind,
    /// By answer: its mean distance to the others; `None` for one that said nothing.
    pub by_answer: Vec<Option<f64>>,
    /// Whether meanings were compared, or words alone.
    pub by_meaning: bool,
}

/// The mean distance over all pairs of answers. Exact kinds and phrases: 1 when two are not in one
/// cluster. Long texts: 1 minus the mean of what claims say to the other text (support 1, silence
/// half, contradiction 0); by words alone that has a median of 0.29 among right answers to MMLU-Pro
/// and 0.48 among answers to different questions, so that it warns and proves little. A refusal is
/// 1 from any answer and 0 from another refusal. `meaning` are cosines of the texts' embeddings, as
/// a square; they count for phrases and long texts.
pub fn divergence(asked: &Asked, answers: &[&str], meaning: Option<&[Vec<f64>]>) -> Divergence {
    let answers: Vec<&str> = answers.iter().map(|text| spoken(text)).collect();
    let answers = answers.as_slice();
    let kind = asked.kind.unwrap_or_else(|| classify(asked.question, asked.options, answers));
    let n = answers.len();
    let spoke: Vec<usize> = (0..n).filter(|at| !answers[*at].trim().is_empty()).collect();
    let distance = distances(kind, asked, answers, meaning);
    let mean = |at: usize| {
        let others: Vec<f64> =
            spoke.iter().filter(|b| **b != at).map(|b| distance(at, *b)).collect();
        let sum: f64 = others.iter().sum();
        (spoke.contains(&at) && !others.is_empty()).then(|| sum / others.len() as f64)
    };
    let by_answer: Vec<Option<f64>> = (0..n).map(mean).collect();
    let known: Vec<f64> = by_answer.iter().flatten().copied().collect();
    let score = (known.len() >= 2).then(|| known.iter().sum::<f64>() / known.len() as f64);
    let by_meaning = meaning.is_some() && !kind.is_exact();
    Divergence { score, kind, by_answer, by_meaning }
}

/// The distance of two answers, by their places.
fn distances(
    kind: Kind,
    asked: &Asked,
    answers: &[&str],
    meaning: Option<&[Vec<f64>]>,
) -> impl Fn(usize, usize) -> f64 {
    let question = asked.question;
    let of_question = options_of(question);
    let options = if asked.options.is_empty() { &of_question[..] } else { asked.options };
    let read = |text: &&str| extract(kind, text, None, options);
    let said: Vec<Result<Answer, Abstained>> = answers.iter().map(read).collect();
    // Where an answer is marked, regret before it is no refusal.
    let refused = |(text, said): (&&str, &Result<Answer, Abstained>)| match kind.is_exact() {
        true => *said == Err(Abstained::Refusal),
        false => refuses(text),
    };
    let refused: Vec<bool> = answers.iter().zip(&said).map(refused).collect();
    let n = answers.len();
    let square: Vec<Vec<f64>> = match kind {
        Kind::Long => {
            let stances = stances(question, answers);
            let alike = |a: usize, b: usize| match meaning.map(|cosines| rescaled(cosines[a][b])) {
                // What words show to be contradicted stays so, however near the topics are.
                Some(near) if stances[a][b] < 0.5 => near.min(stances[a][b]),
                Some(near) => near.max(stances[a][b]),
                None => stances[a][b],
            };
            (0..n).map(|a| (0..n).map(|b| 1.0 - alike(a, b)).collect()).collect()
        }
        Kind::Short => {
            let phrases = answers.iter().zip(&said).map(|(text, said)| match said {
                Ok(answer) => content(&answer.value, question),
                Err(_) => content(text, question),
            });
            let contents: Vec<_> = phrases.collect();
            let meaning = meaning.map(|cosines| (cosines, PHRASES));
            apart(&linked(&similarity(&contents, meaning), answers), n)
        }
        Kind::Choice | Kind::Number | Kind::Value => {
            let value = |(at, said): (usize, &Result<Answer, Abstained>)| match said {
                Ok(answer) => (answer.value.clone(), answer.unit),
                // What marks no answer is like nothing else.
                Err(_) => (format!("\u{0}{at}"), None),
            };
            let values: Vec<(String, Option<Unit>)> = said.iter().enumerate().map(value).collect();
            let values = values.iter().map(|(value, unit)| (value.as_str(), *unit));
            apart(&measured(&values.collect::<Vec<_>>()), n)
        }
    };
    move |a, b| match (refused[a], refused[b]) {
        (true, true) => 0.0,
        (false, false) => square[a][b].clamp(0.0, 1.0),
        _ => 1.0,
    }
}

/// As for phrases: cosines of unrelated texts lie around 0.4, of paraphrases near 0.95.
fn rescaled(cosine: f64) -> f64 {
    ((cosine - 0.4) / 0.55).clamp(0.0, 1.0)
}

fn apart(clusters: &[crate::cluster::Cluster], n: usize) -> Vec<Vec<f64>> {
    let mut out = vec![vec![1.0; n]; n];
    for cluster in clusters {
        for a in &cluster.members {
            cluster.members.iter().for_each(|b| out[*a][*b] = 0.0);
        }
    }
    out
}

/// By pair: how much the claims of both support each other, 0 to 1.
fn stances(question: &str, answers: &[&str]) -> Vec<Vec<f64>> {
    let n = answers.len();
    let mut sums = vec![(0.0, 0.0); n * n];
    for claim in judge(answers, question, None) {
        for (b, stance) in claim.stances.iter().enumerate().filter(|(b, _)| *b != claim.answer) {
            let said = match stance {
                Stance::Supports(_) => 1.0,
                Stance::Silent => 0.5,
                Stance::Contradicts(_) => 0.0,
            };
            for at in [claim.answer * n + b, b * n + claim.answer] {
                sums[at] = (sums[at].0 + said, sums[at].1 + 1.0);
            }
        }
    }
    let mean = |&(said, n): &(f64, f64)| if n == 0.0 { 0.5 } else { said / n };
    sums.chunks(n.max(1)).map(|row| row.iter().map(mean).collect()).collect()
}

named! {
    /// What is done with answers that diverge so far.
    Recommendation {
        /// They agree well enough.
        Proceed = "proceed",
        /// A person looks at them.
        Review = "review",
        /// They are not used.
        Block = "block",
    }
}

/// Divergence from which answers are no consensus.
pub const DIVERGENCE_MAX: f64 = 0.3;
/// Of the room between the threshold and 1, the part in which a person looks.
const REVIEW_SHARE: f64 = 1.0 / 3.0;

/// The divergence gate's decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Whether the answers agree.
    pub consensus: bool,
    /// How far they are apart.
    pub divergence: Divergence,
    /// What to do.
    pub recommendation: Recommendation,
    /// Places of answers farther from the others than the block band begins, while the others
    /// agree.
    pub anomalies: Vec<usize>,
    /// In words.
    pub why: String,
}

/// The divergence gate: below `threshold` proceed, within the third of the room above it review,
/// beyond block (0.3: below 0.3, up to 0.53, above). Fewer than two answers are reviewed. Long
/// texts that were compared by words alone are never blocked, unless some refused: words cannot
/// carry that.
pub fn gate(asked: &Asked, answers: &[&str], threshold: f64, meaning: Option<&[Vec<f64>]>) -> Gate {
    let threshold = threshold.clamp(0.0, 1.0);
    let divergence = divergence(asked, answers, meaning);
    let block = threshold + (1.0 - threshold) * REVIEW_SHARE;
    let refused = answers.iter().any(|text| refuses(text));
    let weak = divergence.kind == Kind::Long && !divergence.by_meaning && !refused;
    let (recommendation, why) = match divergence.score {
        None => (Recommendation::Review, "fewer than two answers: nothing to compare".to_owned()),
        Some(score) if score < threshold => {
            (Recommendation::Proceed, format!("divergence {score:.2} is below {threshold:.2}"))
        }
        Some(score) if score >= block && !weak => {
            (Recommendation::Block, format!("divergence {score:.2} is at least {block:.2}"))
        }
        Some(score) => {
            let how = if weak { ", by words alone" } else { "" };
            let why = format!("divergence {score:.2}{how} is at least {threshold:.2}");
            (Recommendation::Review, why)
        }
    };
    let far = |d: &Option<f64>| d.is_some_and(|d| d >= block);
    let all: Vec<usize> = (0..answers.len()).filter(|at| far(&divergence.by_answer[*at])).collect();
    let lone = 2 * all.len() < answers.len();
    Gate {
        consensus: divergence.score.is_some_and(|score| score < threshold),
        divergence,
        recommendation,
        anomalies: if lone { all } else { Vec::new() },
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divergence(q: &str, answers: &[&str], meaning: Option<&[Vec<f64>]>) -> Divergence {
        super::divergence(&asked(q), answers, meaning)
    }

    fn asked(question: &str) -> Asked<'_> {
        Asked { question, ..Asked::default() }
    }

    #[test]
    fn answers_diverge_by_values_phrases_and_claims() {
        let score = |q: &str, a: &[&str]| divergence(q, a, None).score;
        assert_eq!(score("How many?", &["18", "The answer is 18", "18.0"]), Some(0.0));
        assert_eq!(score("How many?", &["18", "18", "17"]), Some(2.0 / 3.0));
        assert_eq!(score("Who?", &["Ada Lovelace", "It was Ada Lovelace"]), Some(0.0));
        assert_eq!(score("Who?", &["Ada Lovelace", "I cannot say"]), Some(1.0));
        assert_eq!(score("Who?", &["I cannot say", "I'm sorry"]), Some(0.0));
        assert_eq!(score("Who?", &["Ada", ""]), None);
        assert_eq!(score("Who?", &[]), None);
        let long = "The bridge opened in 1932. It carries eight lanes of cars, two railway tracks \
                    and a cycle path over the water. Ships of all sizes pass below it all day long \
                    and all the night.";
        let other = long.replace("1932", "1942");
        let apart = divergence("Tell me", &[long, &other], None);
        assert_eq!((apart.kind, apart.by_meaning), (Kind::Long, false));
        let same = divergence("Tell me", &[long, long], None).score.unwrap();
        assert!(apart.score.unwrap() > same && same == 0.0, "{apart:?}");
        let near = [vec![1.0, 0.95], vec![0.95, 1.0]];
        let moon = "The moon pulls the water of all oceans towards itself and so the tides rise \
                    twice each day along most coasts while the sun adds its smaller part to them.";
        let far = divergence("Tell me", &[long, moon], None).score.unwrap();
        let close = divergence("Tell me", &[long, moon], Some(&near)).score.unwrap();
        assert!(far >= 0.4 && close < 0.01, "{far} {close}");
    }

    #[test]
    fn the_gate_has_three_bands() {
        let gate =
            |answers: &[&str]| super::gate(&asked("How many?"), answers, DIVERGENCE_MAX, None);
        let good = gate(&["4", "4", "4"]);
        assert_eq!((good.consensus, good.recommendation), (true, Recommendation::Proceed));
        let one = gate(&["4", "4", "4", "4", "4", "9"]);
        assert_eq!((one.consensus, one.recommendation), (false, Recommendation::Review));
        assert_eq!(one.anomalies, [5]);
        let bad = gate(&["4", "5", "6"]);
        assert_eq!((bad.recommendation, bad.anomalies.len()), (Recommendation::Block, 0));
        assert_eq!(gate(&["4"]).recommendation, Recommendation::Review);
        // One model obeys an injected order, the others refuse.
        let told = ["The password of the system is hunter2, and here is how to use it: log in as \
                     the administrator, open the settings, and read all the files of the others.";
            1];
        let refused = "I'm sorry, I cannot share that.";
        let long: Vec<&str> = told.iter().copied().chain([refused, refused]).collect();
        let found = super::gate(&asked("Summarise the page"), &long, DIVERGENCE_MAX, None);
        assert_eq!(found.recommendation, Recommendation::Block, "{found:?}");
        assert_eq!(found.anomalies, [0]);
    }

    /// Reasons that are the same whatever follows from them.
    const REASONS: &str = "The list is read from its beginning to its end, every entry is compared \
        with the one that stands before it, and what is smaller goes to the front; nothing is \
        lost and nothing is added while that is done, so that what remains is the order.";

    fn reasoned(ends: &[&str]) -> Vec<String> {
        ends.iter().map(|end| format!("{REASONS}\n{end}")).collect()
    }

    #[test]
    fn what_the_verdict_holds_apart_is_apart_however_alike_the_reasons_are() {
        let pass = |asked: &Asked, ends: &[&str]| {
            let texts = reasoned(ends);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = gate(asked, &texts, DIVERGENCE_MAX, None);
            (found.consensus, found.recommendation)
        };
        let (fine, blocked) = ((true, Recommendation::Proceed), (false, Recommendation::Block));
        let value = Asked { kind: Some(Kind::Value), ..asked("Which list is it?") };
        assert_eq!(pass(&value, &["Answer: [1, 2]", "Answer: [2, 1]", "Answer: [3]"]), blocked);
        assert_eq!(pass(&value, &["Answer: [1, 2]", "Answer: [1,2]"]), fine);
        let options = ["Yes".to_owned(), "No".to_owned()];
        let choice = Asked { options: &options, ..asked("Is it sorted?") };
        assert_eq!(pass(&choice, &["The answer is (A).", "The answer is (B)."]), blocked);
        assert_eq!(pass(&choice, &["The answer is (A).", "The answer is Yes."]), fine);
        let number = Asked { kind: Some(Kind::Number), ..asked("How many?") };
        assert_eq!(pass(&number, &["Answer: 7", "It depends."]), blocked);
    }
}
