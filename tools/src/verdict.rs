//! Verdicts as callers see them, and the record from which one is computed again.
//!
//! Invariant: a verdict is always computed from its record as it is stored, so that the same id
//! gives the same bytes for as long as it is kept.

use crate::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_council::verdict::{Case, Verdict, Vote, decide, words};
use synod_council::{Calibration, Kind, Strength};

/// Most answers of one question.
pub const ANSWERS_MAX: usize = 64;
/// Answers of one question together, in bytes: with the question they fit a record.
pub const ANSWERS_BYTES_MAX: usize = 160_000;
/// Longest question, in bytes.
pub const QUESTION_BYTES_MAX: usize = 60_000;
/// Characters of an answer in a list of clusters.
const SHOWN_CHARS: usize = 2_000;

/// What sort of answer a question wants.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindName {
    Choice,
    Number,
    Value,
    Short,
    Long,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Choice => Kind::Choice,
            KindName::Number => Kind::Number,
            KindName::Value => Kind::Value,
            KindName::Short => Kind::Short,
            KindName::Long => Kind::Long,
        }
    }
}

/// Of one model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerArgs {
    pub model: String,
    vendor: Option<String>,
    /// Lineage of its weights.
    family: Option<String>,
    #[serde(default)]
    text: String,
    /// Alone, if you took it out already.
    answer: Option<String>,
}

impl From<AnswerArgs> for Vote {
    fn from(args: AnswerArgs) -> Self {
        Vote {
            model: args.model,
            vendor: args.vendor.unwrap_or_default(),
            family: args.family.unwrap_or_default(),
            text: args.text,
            answer: args.answer,
            ..Vote::default()
        }
    }
}

/// What a verdict rests on, as it is stored.
#[derive(Serialize, Deserialize)]
pub struct Record {
    question: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    options: Vec<String>,
    votes: Vec<RecordVote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<RecordCalibration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meaning: Option<Vec<Vec<f64>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    judged: Vec<(usize, usize, bool)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    risk: Option<String>,
    /// Records of before have none, so that their verdicts stay what they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strongest: Option<(usize, String)>,
    /// Parts that were not available when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
    /// The version of the program that answered by it, whose rules no record holds. No verdict
    /// rests on it; records of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RecordVote {
    model: String,
    /// Records of before have none, so that their verdicts stay what they were.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    vendor: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    family: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<(f64, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts_as: Option<String>,
}

/// A fitted calibration, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordCalibration {
    shift: f64,
    scale: f64,
    steps: Vec<(f64, f64)>,
    n: usize,
}

/// The hash of a text, in hex.
pub fn digest(text: &str) -> String {
    synod_store::content_hash(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As it is stored; nothing for the table.
pub fn stored(calibration: &Calibration) -> Option<RecordCalibration> {
    let Calibration::Fitted { shift, scale, steps, n } = calibration else { return None };
    Some(RecordCalibration { shift: *shift, scale: *scale, steps: steps.clone(), n: *n })
}

/// The reverse of [`stored`].
pub fn restored(record: Option<RecordCalibration>) -> Calibration {
    record.map_or(Calibration::Table, |r| Calibration::Fitted {
        shift: r.shift,
        scale: r.scale,
        steps: r.steps,
        n: r.n,
    })
}

impl Record {
    /// Of a case.
    pub fn new(case: &Case, degraded: Vec<String>) -> Self {
        let vote = |vote: &Vote| RecordVote {
            model: vote.model.clone(),
            name: vote.name.clone(),
            vendor: vote.vendor.clone(),
            family: vote.family.clone(),
            text: vote.text.clone(),
            answer: vote.answer.clone(),
            failed: vote.failed,
            known: vote.known,
            counts_as: vote.counts_as.clone(),
        };
        Record {
            question: case.question.clone(),
            kind: case.kind.map(|kind| kind.name().to_owned()),
            options: case.options.clone(),
            votes: case.votes.iter().map(vote).collect(),
            calibration: stored(&case.calibration),
            meaning: case.meaning.clone(),
            judged: case.judged.clone(),
            risk: case.risk.clone(),
            strongest: case.strongest.map(|(place, by)| (place, by.name().to_owned())),
            degraded,
            made_by: None,
        }
    }

    /// From its text.
    ///
    /// # Errors
    /// `Reply` for a text that is no record, which only a damaged store holds.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(serde_json::from_str(text)?)
    }

    /// The case.
    pub fn case(self) -> Case {
        let vote = |vote: RecordVote| Vote {
            model: vote.model,
            name: vote.name,
            vendor: vote.vendor,
            family: vote.family,
            text: vote.text,
            answer: vote.answer,
            failed: vote.failed,
            known: vote.known,
            counts_as: vote.counts_as,
        };
        Case {
            question: self.question,
            kind: self.kind.as_deref().and_then(Kind::parse),
            options: self.options,
            votes: self.votes.into_iter().map(vote).collect(),
            calibration: restored(self.calibration),
            meaning: self.meaning,
            judged: self.judged,
            risk: self.risk,
            strongest: self.strongest.and_then(|(at, by)| Some((at, Strength::parse(&by)?))),
        }
    }
}

/// Answers that say the same.
#[derive(Serialize, JsonSchema)]
pub struct ClusterReply {
    answer: String,
    models: Vec<String>,
    /// Part of the voters.
    share: f64,
    /// That it is right.
    posterior: f64,
}

#[derive(Serialize, JsonSchema)]
struct DissentReply {
    model: String,
    answer: String,
    /// Right more often here than the best of the majority.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expert: bool,
    /// The strongest of those who answered, where agreement may be a shared mistake.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strongest: bool,
}

#[derive(Serialize, JsonSchema)]
struct ContradictionReply {
    model: String,
    claim: String,
    against: String,
    /// number or negation.
    what: String,
}

#[derive(Serialize, JsonSchema)]
struct AbstainedReply {
    model: String,
    why: String,
}

/// How far the answer can be trusted, and why.
#[derive(Serialize, JsonSchema)]
pub struct VerdictReply {
    /// Empty where nothing was kept.
    pub id: String,
    /// The answer of the first cluster; null when nobody answered.
    pub answer: Option<String>,
    /// The probability that it is right; null when that cannot be said (see `reasons`).
    pub trust: Option<f64>,
    words: &'static str,
    kind: &'static str,
    clusters: Vec<ClusterReply>,
    /// model, answer, expert.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    dissent: Vec<DissentReply>,
    /// model, claim, against, what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    contradictions: Vec<ContradictionReply>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsupported: Vec<String>,
    /// Models without which the outcome would be another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pivotal: Vec<String>,
    /// model, why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    abstained: Vec<AbstainedReply>,
    reasons: Vec<String>,
    /// Before calibration.
    raw: f64,
    /// That nobody is right.
    p_none: f64,
    calibrated_by: &'static str,
    n_labels: usize,
    /// exact, lexical, embedding or judge.
    evidence: &'static str,
    n_eff: f64,
    diversity: f64,
    pub degraded: Vec<String>,
}

/// Four digits: more is noise, and fewer bytes to be the same.
fn rounded(x: f64) -> f64 {
    (x * 10_000.0).round() / 10_000.0
}

fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(SHOWN_CHARS).collect();
    let left = chars.count();
    if left == 0 { head } else { format!("{head} [… {left} more characters; `trust` has all]") }
}

/// The verdict of a stored record.
///
/// # Errors
/// Those of [`Record::parse`].
pub fn verdict(id: &str, record: &str) -> Result<(VerdictReply, Case, Verdict), Error> {
    let record = Record::parse(record)?;
    let degraded = record.degraded.clone();
    let case = record.case();
    let verdict = decide(&case);
    Ok((reply(id, &case, &verdict, degraded), case, verdict))
}

fn reply(id: &str, case: &Case, verdict: &Verdict, degraded: Vec<String>) -> VerdictReply {
    let name = |vote: usize| case.votes[vote].model.clone();
    let names = |votes: &[usize]| votes.iter().map(|vote| name(*vote)).collect();
    let groups = verdict.groups.iter();
    VerdictReply {
        id: id.to_owned(),
        answer: verdict.groups.first().map(|g| shown(&g.answer)),
        trust: verdict.trust.map(rounded),
        words: words(verdict.trust, verdict.p_none),
        kind: verdict.kind.name(),
        clusters: groups
            .map(|g| ClusterReply {
                answer: shown(&g.answer),
                models: names(&g.votes),
                share: rounded(g.share),
                posterior: rounded(g.posterior),
            })
            .collect(),
        dissent: (verdict.dissent.iter())
            .map(|d| DissentReply {
                model: name(d.vote),
                answer: shown(&d.answer),
                expert: d.expert,
                strongest: d.strongest,
            })
            .collect(),
        contradictions: (verdict.contradictions.iter())
            .map(|c| ContradictionReply {
                model: name(c.vote),
                claim: shown(&c.claim),
                against: name(c.against),
                what: c.what.to_owned(),
            })
            .collect(),
        unsupported: verdict.unsupported.iter().map(|claim| shown(claim)).collect(),
        pivotal: names(&verdict.pivotal),
        abstained: (verdict.abstained.iter())
            .map(|(vote, why)| AbstainedReply { model: name(*vote), why: why.name().to_owned() })
            .collect(),
        reasons: verdict.reasons.clone(),
        raw: rounded(verdict.raw),
        p_none: rounded(verdict.p_none),
        calibrated_by: case.calibration.name(),
        n_labels: case.calibration.n(),
        evidence: verdict.evidence.name(),
        n_eff: rounded(verdict.n_eff),
        diversity: rounded(verdict.diversity),
        degraded,
    }
}

impl VerdictReply {
    /// The sort of answer.
    pub fn sort(&self) -> Kind {
        Kind::parse(self.kind).unwrap_or(Kind::Long)
    }

    /// Trust of the second cluster; 0 where there is none.
    pub fn second(&self) -> f64 {
        self.clusters.get(1).map_or(0.0, |cluster| cluster.posterior)
    }

    /// That nobody is right.
    pub fn none(&self) -> f64 {
        self.p_none
    }

    /// Answers that are apart.
    pub fn n_clusters(&self) -> usize {
        self.clusters.len()
    }

    /// Whether everybody who answered says the same.
    pub fn is_undisputed(&self) -> bool {
        self.dissent.is_empty() && self.contradictions.is_empty()
    }

    /// Short Markdown that stands alone.
    pub fn render(&self) -> String {
        let Some(answer) = &self.answer else {
            return format!("Nobody answered ({}).\n", self.reasons.join("; "));
        };
        let trust = match self.trust {
            Some(p) => format!("{:.0} % ({})", p * 100.0, self.words),
            None => "not measured".to_owned(),
        };
        let mut out = format!("**Answer:** {answer}\n\n**Trust:** {trust}");
        let id = if self.id.is_empty() { String::new() } else { format!(", `{}`", self.id) };
        out.push_str(&format!("{id}\n"));
        if self.clusters.len() > 1 {
            out.push_str("\n**Who says what**\n");
            for cluster in &self.clusters {
                let head: String = cluster.answer.chars().take(200).collect();
                let (p, models) = (cluster.posterior * 100.0, cluster.models.join(", "));
                out.push_str(&format!("- {models}: {head} ({p:.0} %)\n"));
            }
        }
        for dissent in self.dissent.iter().filter(|d| d.strongest) {
            let head: String = dissent.answer.chars().take(200).collect();
            let model = &dissent.model;
            out.push_str(&format!("- the strongest of them, {model}, says otherwise: {head}\n"));
        }
        for dissent in self.dissent.iter().filter(|d| d.expert) {
            let model = &dissent.model;
            out.push_str(&format!(
                "- expert dissent: {model}, known to be right more often here\n"
            ));
        }
        for c in self.contradictions.iter().take(5) {
            out.push_str(&format!(
                "- {} against {} ({}): {}\n",
                c.model, c.against, c.what, c.claim
            ));
        }
        for silent in &self.abstained {
            out.push_str(&format!("- {} gave no answer: {}\n", silent.model, silent.why));
        }
        for reason in &self.reasons {
            out.push_str(&format!("_{reason}_\n"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "{\"question\":\"How much?\",\"kind\":\"number\",\"votes\":[\
        {\"model\":\"a\",\"text\":\"Answer: 10\"},{\"model\":\"b\",\"text\":\"Answer: 10\"},\
        {\"model\":\"c\",\"text\":\"Answer: 5\"}],\"risk\":\"it is a riddle\"}";

    #[test]
    fn a_record_of_before_says_what_it_said() {
        let (reply, mut case, _) = verdict("t_1", BEFORE).expect("a verdict");
        assert!(!serde_json::to_string(&reply).expect("JSON").contains("strongest"));
        let again =
            |case: &Case| serde_json::to_string(&Record::new(case, Vec::new())).expect("a record");
        assert_eq!(again(&case), BEFORE);
        case.strongest = Some((2, Strength::Rank));
        let record = again(&case);
        let (reply, read, _) = verdict("t_1", &record).expect("a verdict");
        assert_eq!(read, case);
        assert!(reply.dissent[0].strongest && reply.render().contains("strongest of them, c"));
    }
}
