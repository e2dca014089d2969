//! Long texts, claim by claim: what the others support, contradict or leave out.

use crate::cluster::{SENTENCES, similarity};
use crate::text::{Asked, Content};
use unicode_normalization::char::is_combining_mark;

/// Claims of one text at most.
pub const CLAIMS_MAX: usize = 40;
/// Words below which a sentence claims nothing by itself.
const WORDS_MIN: usize = 3;

/// A statement in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Which text it is from.
    pub answer: usize,
    /// As it stands there.
    pub text: String,
}

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
    let chars: Vec<(usize, char)> =
        line.char_indices().filter(|c| !is_combining_mark(c.1)).collect();
    for (at, &(place, c)) in chars.iter().enumerate() {
        let end = place + c.len_utf8();
        let wide = matches!(c, '。' | '！' | '？');
        let next: Vec<char> = chars[at + 1..].iter().take(2).map(|c| c.1).collect();
        let new = matches!(next.as_slice(), [' ', n] if n.is_uppercase() || n.is_ascii_digit()
            || matches!(n, '"' | '(' | '\u{201c}'));
        let ends = wide || matches!(c, '.' | '!' | '?') && new;
        if !ends {
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
    let all: Vec<Claim> = texts
        .iter()
        .enumerate()
        .flat_map(|(answer, text)| claims(text).into_iter().map(move |text| Claim { answer, text }))
        .collect();
    let asked = Asked::new(question);
    let contents: Vec<Content> = all.iter().map(|claim| asked.content(&claim.text)).collect();
    let wholes: Vec<Content> = texts.iter().map(|text| asked.content(text)).collect();
    let square = similarity(&contents, meaning.map(|cosines| (cosines, SENTENCES)));
    let judged = |at: usize| {
        let claim = &all[at];
        let stances: Vec<Stance> = (0..texts.len())
            .map(|answer| match answer == claim.answer {
                true => Stance::Supports(1.0),
                false => {
                    let theirs = (0..all.len()).filter(|b| all[*b].answer == answer);
                    stance(&square[at], theirs, &contents, at, &wholes[answer])
                }
            })
            .collect();
        // The two that bear it out most. Of ways to put the others together this tells supported
        // sentences of TofuEval best: .660 AUROC; the mean of all .656, cosines of the nearest
        // sentences .599, and mixed with them never above words alone.
        let mut held: Vec<f64> = (stances.iter().enumerate())
            .filter(|(answer, _)| *answer != claim.answer)
            .map(|(answer, stance)| match stance {
                Stance::Contradicts(_) => 0.0,
                _ => contained(&contents[at], &wholes[answer]),
            })
            .collect();
        held.sort_by(|a, b| b.total_cmp(a));
        held.truncate(2);
        let support = held.iter().sum::<f64>() / held.len().max(1) as f64;
        Judged { answer: claim.answer, text: claim.text.clone(), stances, support }
    };
    (0..all.len()).map(judged).collect()
}

/// The share of a claim's words that stand in a text.
fn contained(claim: &Content, whole: &Content) -> f64 {
    let total: f64 = claim.words.values().sum();
    let held = claim.words.iter().filter(|(word, _)| whole.words.contains_key(*word));
    if total == 0.0 { 0.0 } else { held.map(|(_, weight)| weight).sum::<f64>() / total }
}

fn stance(
    row: &[f64],
    theirs: impl Iterator<Item = usize>,
    contents: &[Content],
    at: usize,
    whole: &Content,
) -> Stance {
    let nearest = theirs.max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()));
    let held = contained(&contents[at], whole);
    let Some(nearest) = nearest else { return Stance::Silent };
    let alike = row[nearest].abs();
    let same_matter = crate::text::overlap(&contents[at], &contents[nearest]) >= CONTRADICTS;
    let conflict = crate::text::conflict(&contents[at], &contents[nearest]).filter(|_| same_matter);
    // A number that differs makes a sentence of the same words another claim.
    let supports = held >= CONTAINED || row[nearest] >= SUPPORTS;
    match conflict {
        Some("number") => Stance::Contradicts("number"),
        _ if supports => Stance::Supports(alike.max(held)),
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
        assert!(judge(&[], "", None).is_empty());
    }
}
