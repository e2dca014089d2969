//! Long texts, claim by claim: what the others support, contradict or leave out.

use crate::cluster::{SENTENCES, likeness};
use crate::text::{Asked, Content, Filed};
use unicode_normalization::char::is_combining_mark;

/// Claims of one text at most.
pub const CLAIMS_MAX: usize = 40;
/// Words below which a sentence claims nothing by itself.
const WORDS_MIN: usize = 3;

/// Sentences of a text that claim something: no questions, headings, code or hedges; at most
/// [`CLAIMS_MAX`].
pub fn claims(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut code = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") || line.starts_with("~~~") {
            code = !code;
        }
        if code || line.starts_with(['#', '|', '`']) {
            continue;
        }
        let line = line.trim_start_matches(|c: char| {
            c.is_ascii_digit() || matches!(c, '-' | '*' | '+' | '>' | '.' | ')' | ' ' | '•')
        });
        for sentence in sentences(line) {
            let plain = sentence.trim_matches(|c: char| matches!(c, '*' | '_' | ' '));
            let n = plain.split_whitespace().count();
            let ideographs = plain.chars().filter(|c| *c >= '\u{3040}').count();
            if (n >= WORDS_MIN || ideographs >= 4) && !plain.ends_with(['?', ':']) && !hedge(plain)
            {
                out.push(plain.to_owned());
            }
        }
    }
    out.truncate(CLAIMS_MAX);
    out
}

/// Beginnings of sentences that speak of the answer and not of the matter, in lower case.
const HEDGES: &[&str] = &[
    "i hope",
    "let me",
    "here is",
    "here are",
    "sure",
    "of course",
    "as an ai",
    "in summary",
    "please note",
    "i think it",
    "it depends",
    "certainly",
];

fn hedge(sentence: &str) -> bool {
    let start: String = sentence.chars().take(20).flat_map(char::to_lowercase).collect();
    HEDGES.iter().any(|hedge| start.starts_with(hedge))
}

/// A line cut behind `.`, `!`, `?` and their wide forms where a new sentence begins.
fn sentences(line: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let marks = |c: char| c >= '\u{300}' && is_combining_mark(c);
    let mut chars = line.char_indices().filter(|c| !marks(c.1));
    while let Some((place, c)) = chars.next() {
        let end = place + c.len_utf8();
        let wide = matches!(c, '。' | '！' | '？');
        if !wide && !matches!(c, '.' | '!' | '?') {
            continue;
        }
        let mut next = chars.clone().map(|c| c.1);
        let new = next.next() == Some(' ')
            && next.next().is_some_and(|n| {
                n.is_uppercase() || n.is_ascii_digit() || matches!(n, '"' | '(' | '\u{201c}')
            });
        if !wide && !new {
            continue;
        }
        // "Dr. Smith", "J. Smith": a short word with a capital before the point is no end.
        let word = line[start..place].rsplit(' ').next().unwrap_or_default();
        let short = c == '.' && word.len() <= 2 && word.starts_with(char::is_uppercase);
        let title = matches!(word, "Mr" | "Mrs" | "Dr" | "Ms" | "St" | "Prof" | "vs" | "No");
        if wide || !short && !title {
            out.push(&line[start..end]);
            start = end;
        }
    }
    out.push(&line[start..]);
    out.into_iter().map(str::trim).filter(|s| !s.is_empty()).collect()
}

/// What one text says to a claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stance {
    /// It says the same; how surely, 0 to 1.
    Supports(f64),
    /// It says otherwise, and in what: `number` or `negation`.
    Contradicts(&'static str),
    /// Neither.
    Silent,
}

/// A claim and what the others say.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Which text it is from.
    pub answer: usize,
    /// As it stands there.
    pub text: String,
    /// By text; its own is `Supports(1)`.
    pub stances: Vec<Stance>,
    /// Part of its words that the two others who bear it out most hold; 0 of who contradicts it.
    pub support: f64,
}

const SUPPORTS: f64 = 0.5;
const CONTAINED: f64 = 0.7;
const CONTRADICTS: f64 = 0.45;

/// Cosines of claims' embeddings: first text's claims first.
pub type Meaning<'a> = Option<&'a [Vec<f64>]>;

/// Judges all claims of all texts against the other texts. `meaning` are cosines of the claims in
/// the order of [`claims`], text by text.
pub fn judge(texts: &[&str], question: &str, meaning: Meaning) -> Vec<Judged> {
    let own: Vec<Vec<String>> = texts.iter().map(|text| claims(text)).collect();
    let asked = Asked::new(question);
    let contents: Vec<Content> = own.iter().flatten().map(|text| asked.content(text)).collect();
    let wholes: Vec<Content> = texts.iter().map(|text| asked.content(text)).collect();
    let (filed, whole) = (Filed::new(&contents), Filed::new(&wholes));
    let mut at = 0;
    let mut out = Vec::with_capacity(contents.len());
    for (answer, texts) in own.iter().enumerate() {
        for text in texts {
            let beside = beside(&filed, at, meaning);
            let held = whole.holding(&contents[at]);
            let stances = stances(&own, answer, &beside, &held);
            let support = support(&stances, answer, &held);
            out.push(Judged { answer, text: text.clone(), stances, support });
            at += 1;
        }
    }
    out
}

/// A claim beside another.
struct Beside {
    /// How much both say the same; below 0 if they cannot.
    alike: f64,
    /// The same by words alone, whatever their conflict.
    overlap: f64,
    conflict: Option<&'static str>,
}

/// The claim at `at` beside each.
fn beside(filed: &Filed, at: usize, meaning: Meaning) -> Vec<Beside> {
    let others = filed.beside(at).into_iter().enumerate();
    others
        .map(|(other, (overlap, conflict))| {
            let by_meaning = meaning.map_or(0.0, |cosines| SENTENCES.read(cosines[at][other]));
            Beside { alike: likeness(overlap.max(by_meaning), conflict), overlap, conflict }
        })
        .collect()
}

/// By text, what it says to a claim of the text `answer`.
fn stances(own: &[Vec<String>], answer: usize, beside: &[Beside], held: &[f64]) -> Vec<Stance> {
    let mut from = 0;
    own.iter()
        .zip(held)
        .enumerate()
        .map(|(other, (theirs, held))| {
            let theirs = from..from + theirs.len();
            from = theirs.end;
            match other == answer {
                true => Stance::Supports(1.0),
                false => stance(&beside[theirs], *held),
            }
        })
        .collect()
}

/// The part of a claim that the two texts hold that bear it out most. Of ways to put the others
/// together this tells supported sentences of TofuEval best: .660 AUROC; the mean of all .656,
/// cosines of the nearest sentences .599, and mixed with them never above words alone.
fn support(stances: &[Stance], own: usize, held: &[f64]) -> f64 {
    let others = stances.iter().zip(held).enumerate().filter(|(answer, _)| *answer != own);
    let mut held: Vec<f64> = others
        .map(|(_, (stance, held))| match stance {
            Stance::Contradicts(_) => 0.0,
            _ => *held,
        })
        .collect();
    held.sort_by(|a, b| b.total_cmp(a));
    held.truncate(2);
    held.iter().sum::<f64>() / held.len().max(1) as f64
}

/// What a text says to a claim that stands beside its claims so and whose words it holds to the
/// share `held`.
fn stance(theirs: &[Beside], held: f64) -> Stance {
    // What denies a claim in its own words is beside it before what is somewhat like it.
    let near = |claim: &Beside| match claim.conflict {
        Some("opposite") => claim.overlap,
        _ => claim.alike.abs(),
    };
    let nearest =
        theirs.iter().max_by(|a, b| near(a).total_cmp(&near(b)).then(a.alike.total_cmp(&b.alike)));
    let Some(nearest) = nearest else { return Stance::Silent };
    let conflict = nearest.conflict.filter(|_| nearest.overlap >= CONTRADICTS);
    // A number that differs makes a sentence of the same words another claim.
    let supports = held >= CONTAINED || nearest.alike >= SUPPORTS;
    match conflict {
        Some("number") => Stance::Contradicts("number"),
        Some("opposite") => Stance::Contradicts("negation"),
        _ if supports => Stance::Supports(nearest.alike.abs().max(held)),
        Some(what) => Stance::Contradicts(what),
        None => Stance::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_become_claims() {
        let text = "# Title\n\nSure, here it is. The tide turns at noon. Dr. Bell saw it! Is it?\n\
                    - It rises 3.5 metres. It falls.\n```\nlet x = 1. Then y.\n```\n";
        let found = claims(text);
        assert_eq!(found, ["The tide turns at noon.", "Dr. Bell saw it!", "It rises 3.5 metres."]);
        assert_eq!(claims(&"The tide turns now. ".repeat(99)).len(), CLAIMS_MAX);
        assert_eq!(claims("潮は正午に変わる。月が原因である。").len(), 2);
    }

    #[test]
    fn the_others_support_contradict_or_are_silent() {
        let texts = [
            "The bridge opened in 1932. It carries eight lanes.",
            "The bridge was opened in 1932 by the premier.",
            "The bridge opened in 1934. Trains cross it.",
        ];
        let judged = judge(&texts, "Tell me about it", None);
        let opened = &judged[0];
        assert!(matches!(opened.stances[1], Stance::Supports(_)), "{opened:?}");
        assert_eq!(opened.stances[2], Stance::Contradicts("number"), "{opened:?}");
        let lanes = &judged[1];
        assert!(lanes.stances[1..].iter().all(|s| *s == Stance::Silent), "{lanes:?}");
        assert!(opened.support > lanes.support);
        let texts = [
            "The drug is safe for children. The trial showed serious attacks.",
            "The drug is not safe for children. The trial showed no serious attacks.",
            "The drug is not safe for children. The drug is safe for children.",
        ];
        let judged = judge(&texts, "Tell me about it", None);
        assert_eq!(judged[0].stances[1], Stance::Contradicts("negation"), "{judged:?}");
        assert_eq!(judged[1].stances[1], Stance::Contradicts("negation"), "{judged:?}");
        assert!(matches!(judged[0].stances[2], Stance::Supports(_)), "said as well: {judged:?}");
        assert!(judge(&[], "", None).is_empty());
    }
}
