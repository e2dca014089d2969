//! What a verdict rests on, and what it says: values that the process stores and shows.

use crate::calibrate::Calibration;
use crate::extract::Abstained;
use crate::kind::Kind;
use crate::strongest::Strength;

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vote {
    /// Who gave it, as callers name it.
    pub model: String,
    /// The weights behind it, where `model` does not name them; else empty.
    pub name: String,
    /// Whose model it is; empty if unknown.
    pub vendor: String,
    /// Lineage of weights; empty if unknown.
    pub family: String,
    /// The raw text.
    pub text: String,
    /// The answer, if somebody took it out of the text already.
    pub answer: Option<String>,
    /// Nothing usable came: failed, cut, refused by a filter.
    pub failed: bool,
    /// What is known of it, if anything: log-odds of being right, and answers that this rests on.
    pub known: Option<(f64, f64)>,
    /// The model with which it is one voter, because both are wrong in the same way far more often
    /// than others are.
    pub counts_as: Option<String>,
}

impl Vote {
    /// The weights that gave it.
    pub fn weights(&self) -> String {
        weights(self.named())
    }

    /// What names them.
    pub fn named(&self) -> &str {
        if self.name.is_empty() { &self.model } else { &self.name }
    }

    /// The voter that it is.
    pub fn voter(&self) -> String {
        weights(self.counts_as.as_deref().unwrap_or(self.named()))
    }
}

/// All that a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// What was asked; may be empty.
    pub question: String,
    /// The caller's word on the sort of answer.
    pub kind: Option<Kind>,
    /// Options of a choice, in the order of their letters.
    pub options: Vec<String>,
    /// The answers.
    pub votes: Vec<Vote>,
    /// How posteriors become probabilities here.
    pub calibration: Calibration,
    /// Cosines of meaning: of answers for phrases, of claims for long texts, as a square.
    pub meaning: Option<Vec<Vec<f64>>>,
    /// What a judge said of phrases that are nearly alike: places of two votes, and whether they
    /// mean the same.
    pub judged: Vec<(usize, usize, bool)>,
    /// Why agreement may mean a shared mistake here; caps the trust.
    pub risk: Option<String>,
    /// Whose answer is shown beside the winner then: the place of its vote, and by what it is the
    /// strongest.
    pub strongest: Option<(usize, Strength)>,
}

/// What likeness of answers was judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Equality.
    Exact,
    /// Words.
    Lexical,
    /// Words and embeddings.
    Embedding,
    /// The same, and a judge where they leave doubt.
    Judge,
}

impl Evidence {
    /// As it stands in replies.
    pub fn name(self) -> &'static str {
        match self {
            Evidence::Exact => "exact",
            Evidence::Lexical => "lexical",
            Evidence::Embedding => "embedding",
            Evidence::Judge => "judge",
        }
    }
}

/// Answers that say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The answer, as the first of them says it.
    pub answer: String,
    /// Votes, as places in the case, rising.
    pub votes: Vec<usize>,
    /// Part of the voters who answered.
    pub share: f64,
    /// That it is right: the calibrated probability of the winner, the raw posterior of the others
    /// scaled to what is left.
    pub posterior: f64,
}

/// A vote that does not go with the winner.
#[derive(Clone, Debug, PartialEq)]
pub struct Dissenter {
    /// Its place in the case.
    pub vote: usize,
    /// Whose answer it shares instead.
    pub group: usize,
    /// What it says, in its own words.
    pub answer: String,
    /// It is known to be right more often here than the best of the majority.
    pub expert: bool,
    /// It is the strongest of those who answered, and agreement may be a shared mistake here.
    pub strongest: bool,
}

/// A claim that another answer contradicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// Who claims it, as a place in the case.
    pub vote: usize,
    /// The claim.
    pub claim: String,
    /// Who says otherwise.
    pub against: usize,
    /// In what: `number` or `negation`.
    pub what: &'static str,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The sort of answer.
    pub kind: Kind,
    /// Answers that say the same; the winner first, then by posterior.
    pub groups: Vec<Group>,
    /// That the first group is right; nothing when that cannot be said.
    pub trust: Option<f64>,
    /// Why there is no trust, or why it was capped or clamped.
    pub reasons: Vec<String>,
    /// The posterior of the first group before calibration.
    pub raw: f64,
    /// That nobody is right.
    pub p_none: f64,
    /// What likeness was judged by.
    pub evidence: Evidence,
    /// Who says otherwise, experts first.
    pub dissent: Vec<Dissenter>,
    /// Claims against claims.
    pub contradictions: Vec<Contradiction>,
    /// Claims of the winner that nobody else supports.
    pub unsupported: Vec<String>,
    /// Votes without which the winner or its trust (by over a tenth) would be another.
    pub pivotal: Vec<usize>,
    /// Votes that say nothing, and why.
    pub abstained: Vec<(usize, Abstained)>,
    /// Entropy of the shares, in nats.
    pub entropy: f64,
    /// What the voters are worth as independent ones.
    pub n_eff: f64,
    /// One minus the mean correlation of errors that is to be expected.
    pub diversity: f64,
}

/// The name of weights behind a model's name: without the place that serves it and its tags, so
/// that two doors to one model are one voter.
pub fn weights(model: &str) -> String {
    let bare = model.rsplit('/').next().unwrap_or(model);
    let bare = bare.split('@').next().unwrap_or(bare).to_lowercase();
    let bare = bare.strip_suffix(":latest").unwrap_or(&bare);
    bare.strip_suffix(":free").unwrap_or(bare).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_votes_is_told_by_the_name_of_the_weights() {
        let vote = |model: &str, name: &str, counts_as: Option<&str>| {
            let counts_as = counts_as.map(str::to_owned);
            Vote { model: model.into(), name: name.into(), counts_as, ..Vote::default() }.voter()
        };
        assert_eq!(vote("house/Qwen:latest", "", None), "qwen");
        assert_eq!(vote("fast", "Same", None), vote("slow", "cloud/same:free", None));
        assert_eq!(vote("fast", "same", Some("other")), "other");
    }
}
