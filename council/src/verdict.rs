//! The verdict over a list of votes: clusters, the winner, how far it can be trusted, who dissents.
//!
//! Invariant: a function of the [`Case`] alone: what it rests on (reliabilities, calibration,
//! similarities of meaning) stands in the case, so that a stored one gives the same verdict again.

use crate::claim::{self, Judged, Stance};
use crate::cluster::{Cluster, PHRASES, SAME, linked, measured, similarity};
use crate::extract::{Abstained, Answer, extract, options_of};
use crate::kind::{Kind, classify};
use crate::lot::Lots;
use crate::posterior::{Shape, Voter, ability, posterior};
use crate::reliability::PRIOR_MEAN;
use crate::strongest::Strength;
use crate::text::{Content, content, kept};

pub use crate::case::{Case, Contradiction, Dissenter, Evidence, Group, Verdict, Vote, weights};

/// Trust is at most this where agreement may be a shared mistake.
pub const SHARED_PRIOR_CAP: f64 = 0.6;
/// Long texts: claims are told apart little better than by chance (AUROC 0.66, embeddings add
/// nothing), so that neither end of the scale can be promised.
const LONG: (f64, f64) = (0.3, 0.8);

/// Answers that what is known of one who dissents has to rest on before it is called an expert. A
/// stored case is read with it, so that another number would change what it says.
const EXPERT_MIN: f64 = 5.0;

/// Likeness so near to the border is in doubt.
const DOUBT: f64 = 0.1;

/// One model, whatever number of samples it gave.
struct Seat {
    /// Places of its votes that say something, as places among the answers.
    answers: Vec<usize>,
    ability: f64,
    n: f64,
}

/// What is compared, and by whom it was said.
struct Hall<'a> {
    case: &'a Case,
    kind: Kind,
    /// Options that stand in the question or in the case.
    n_options: usize,
    /// `(place in the case, answer)` of those who answered.
    answers: Vec<(usize, Answer)>,
    abstained: Vec<(usize, Abstained)>,
    seats: Vec<Seat>,
    clusters: Vec<Cluster>,
    lots: Lots,
}

/// The sort of answer and the texts whose likeness of meaning would sharpen the verdict: answers of
/// phrases without the words of the question; none for other sorts.
pub fn to_embed(case: &Case) -> (Kind, Vec<String>) {
    let hall = Hall::open(case);
    let texts = match hall.kind {
        Kind::Short => hall.answers.iter().map(|(_, a)| kept(&a.value, &case.question)).collect(),
        // Cosines tell claims apart worse than words do.
        _ => Vec::new(),
    };
    (hall.kind, texts)
}

/// Places of the votes that say something.
pub(crate) fn answered(case: &Case) -> Vec<usize> {
    let hall = Hall::open(case);
    hall.answers.iter().map(|(place, _)| *place).collect()
}

/// Pairs of phrases, as places of their votes, that are so near to the border between alike and
/// apart that a judge should look, nearest first; none for other sorts of answers.
pub fn to_judge(case: &Case) -> Vec<(usize, usize)> {
    let hall = Hall::open(case);
    if hall.kind != Kind::Short {
        return Vec::new();
    }
    let square = hall.phrases();
    let mut near = Vec::new();
    for (a, row) in square.iter().enumerate() {
        for (b, likeness) in row.iter().enumerate().skip(a + 1) {
            let off = (likeness - SAME).abs();
            if off < DOUBT {
                near.push((off, hall.answers[a].0, hall.answers[b].0));
            }
        }
    }
    near.sort_by(|x, y| x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2))));
    near.into_iter().map(|(_, a, b)| (a, b)).collect()
}

/// The verdict.
pub fn decide(case: &Case) -> Verdict {
    let mut hall = Hall::open(case);
    let judged = hall.gather();
    hall.conclude(&judged)
}

impl<'a> Hall<'a> {
    fn open(case: &'a Case) -> Self {
        let texts: Vec<&str> = (case.votes.iter().filter(|vote| !vote.failed))
            .map(|vote| vote.answer.as_deref().unwrap_or(&vote.text))
            .collect();
        let of_question = options_of(&case.question);
        let options = if case.options.is_empty() { &of_question } else { &case.options };
        let kind = case.kind.unwrap_or_else(|| classify(&case.question, options, &texts));
        let (mut answers, mut abstained) = (Vec::new(), Vec::new());
        for (place, vote) in case.votes.iter().enumerate() {
            let found = match vote.failed {
                true => Err(Abstained::Failed),
                false => extract(kind, &vote.text, vote.answer.as_deref(), options),
            };
            match found {
                Ok(answer) => answers.push((place, answer)),
                Err(why) => abstained.push((place, why)),
            }
        }
        let (n_options, clusters) = (options.len(), Vec::new());
        let (seats, lots) = (Vec::new(), Lots::of(&case.question));
        let mut hall = Hall { case, kind, n_options, answers, abstained, seats, clusters, lots };
        hall.seat();
        hall
    }

    /// Samples of one model, and two doors to the same weights, are one seat.
    fn seat(&mut self) {
        let sigma = self.shape().sigma;
        let mut names: Vec<String> = Vec::new();
        for (at, (place, _)) in self.answers.iter().enumerate() {
            let vote = &self.case.votes[*place];
            let (known, n) = vote.known.unwrap_or((ability(PRIOR_MEAN, sigma), 0.0));
            let name = vote.voter();
            match names.iter().position(|other| *other == name) {
                Some(seat) => {
                    let seat = &mut self.seats[seat];
                    seat.answers.push(at);
                    // The better known one counts.
                    if n > seat.n {
                        (seat.ability, seat.n) = (known, n);
                    }
                }
                None => {
                    names.push(name);
                    self.seats.push(Seat { answers: vec![at], ability: known, n });
                }
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape::of(self.kind, self.n_options)
    }

    /// Puts answers together; of long texts also what is said of each claim.
    fn gather(&mut self) -> Vec<Judged> {
        let values: Vec<&str> = self.answers.iter().map(|(_, a)| a.value.as_str()).collect();
        let meaning = |n: usize| {
            let square = self.case.meaning.as_deref()?;
            (square.len() == n && square.iter().all(|row| row.len() == n)).then_some(square)
        };
        let mut judged = Vec::new();
        let clusters = match self.kind {
            Kind::Choice | Kind::Number | Kind::Value => {
                let units = self.answers.iter().map(|(_, a)| (a.value.as_str(), a.unit));
                measured(&units.collect::<Vec<_>>())
            }
            Kind::Short => linked(&self.phrases(), &values),
            Kind::Long => {
                // Claims are counted only where cosines of them came along: it takes a while.
                let n =
                    self.case.meaning.as_ref().map(|_| {
                        values.iter().map(|text| claim::claims(text).len()).sum::<usize>()
                    });
                judged = claim::judge(&values, &self.case.question, n.and_then(meaning));
                linked(&alike(&values, &judged), &values)
            }
        };
        self.clusters = clusters;
        judged
    }

    /// Likeness of phrases by words and meaning; where a judge has spoken, his word.
    fn phrases(&self) -> Vec<Vec<f64>> {
        let question = &self.case.question;
        let contents: Vec<Content> =
            self.answers.iter().map(|(_, answer)| content(&answer.value, question)).collect();
        let n = contents.len();
        let square = self.case.meaning.as_deref();
        let square = square.filter(|s| s.len() == n && s.iter().all(|row| row.len() == n));
        let mut out = similarity(&contents, square.map(|cosines| (cosines, PHRASES)));
        let at = |place: usize| self.answers.iter().position(|(known, _)| *known == place);
        for (a, b, same) in &self.case.judged {
            let (Some(a), Some(b)) = (at(*a), at(*b)) else { continue };
            let likeness = f64::from(u8::from(*same));
            (out[a][b], out[b][a]) = (likeness, likeness);
        }
        out
    }

    fn evidence(&self, judged: &[Judged]) -> Evidence {
        let n = if self.kind == Kind::Long { judged.len() } else { self.answers.len() };
        let embedded = self.case.meaning.as_ref().is_some_and(|square| square.len() == n && n > 0);
        let heard = self.kind == Kind::Short && !self.case.judged.is_empty();
        match (self.kind.is_exact(), embedded) {
            (true, _) => Evidence::Exact,
            (false, _) if heard => Evidence::Judge,
            (false, true) => Evidence::Embedding,
            (false, false) => Evidence::Lexical,
        }
    }

    /// By seat, where it votes and with which part of its samples.
    fn voters(&self, without: Option<usize>) -> Vec<Voter> {
        let cluster_of =
            |at: usize| self.clusters.iter().position(|c| c.members.contains(&at)).unwrap_or(0);
        let seats = self.seats.iter().enumerate().filter(|(at, _)| Some(*at) != without);
        seats
            .map(|(_, seat)| {
                let places: Vec<usize> = seat.answers.iter().map(|at| cluster_of(*at)).collect();
                let count = |c: usize| places.iter().filter(|p| **p == c).count();
                // Its plurality, the earlier one of equals.
                let cluster = places
                    .iter()
                    .copied()
                    .fold(places[0], |best, c| if count(c) > count(best) { c } else { best });
                let share = count(cluster) as f64 / places.len() as f64;
                Voter { ability: seat.ability, cluster, share }
            })
            .collect()
    }

    /// The cluster that wins, its trust, raw posteriors, and that none is right.
    fn judge(&self, voters: &[Voter], judged: &[Judged]) -> Option<Judgement> {
        if voters.is_empty() {
            return None;
        }
        if self.kind == Kind::Long {
            return self.judge_claims(voters, judged);
        }
        let found = posterior(voters, self.clusters.len(), self.shape());
        let strength = |cluster: usize| {
            let members = voters.iter().filter(|v| v.cluster == cluster);
            members.map(|v| v.ability).fold(f64::NEG_INFINITY, f64::max)
        };
        // No name may come first: votes are level in a third of hard questions.
        let lot = |cluster: usize| {
            let members = self.clusters[cluster].members.iter();
            members.map(|at| self.lots.draw(&self.case.votes[self.answers[*at].0].voter())).min()
        };
        let better = |a: usize, b: usize| {
            let apart = found.right[a] - found.right[b];
            if apart.abs() > 1e-12 {
                return apart > 0.0;
            }
            let apart = strength(a) - strength(b);
            if apart.abs() > 1e-12 { apart > 0.0 } else { lot(a) < lot(b) }
        };
        let winner = (0..self.clusters.len()).reduce(|a, b| if better(b, a) { b } else { a })?;
        let votes = voters.iter().filter(|v| v.cluster == winner).map(|v| v.share).sum();
        // Those who were asked and said nothing make the rest less sure.
        let asked = voters.len() + self.silent();
        let raw = found.right[winner];
        let trust = self.case.calibration.apply(self.kind, raw, votes, asked);
        Some(Judgement { winner, trust, raw: found.right, none: found.none })
    }

    /// Long texts: the answer whose claims the others bear out most.
    fn judge_claims(&self, voters: &[Voter], judged: &[Judged]) -> Option<Judgement> {
        let borne = |at: usize| {
            let own: Vec<f64> =
                judged.iter().filter(|j| j.answer == at).map(|j| j.support).collect();
            // A text without claims is borne out by nothing, and one false claim spoils an answer:
            // the mean and the least count alike.
            let least = own.iter().copied().fold(1.0, f64::min);
            if own.is_empty() {
                0.0
            } else {
                (own.iter().sum::<f64>() / own.len() as f64 + least) / 2.0
            }
        };
        let n: f64 = voters.len() as f64;
        let score = |cluster: &Cluster| {
            let members = cluster.members.iter();
            members.map(|at| borne(*at)).fold(0.0, f64::max)
        };
        let raw: Vec<f64> = self.clusters.iter().map(score).collect();
        let size = |c: usize| voters.iter().filter(|v| v.cluster == c).count() as f64 / n;
        let key = |c: usize| raw[c] + size(c);
        let winner = (0..raw.len()).reduce(|a, b| if key(b) > key(a) + 1e-12 { b } else { a })?;
        let trust = claim_trust(raw[winner]);
        let none = 1.0 - trust;
        Some(Judgement { winner, trust, raw, none })
    }

    fn silent(&self) -> usize {
        let mut names: Vec<String> = Vec::new();
        let said = |name: &String| {
            self.answers.iter().any(|(place, _)| self.case.votes[*place].voter() == *name)
        };
        for (place, _) in &self.abstained {
            let name = self.case.votes[*place].voter();
            if !said(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
        names.len()
    }
}

struct Judgement {
    winner: usize,
    trust: f64,
    raw: Vec<f64>,
    none: f64,
}

/// What the share of the others that bears out a claim is worth: a straight line through the
/// supported claims of TofuEval (`synod eval`).
fn claim_trust(support: f64) -> f64 {
    (0.35 + 0.55 * support).clamp(0.0, 1.0)
}

/// How alike two long texts are: the part of their claims that the other bears out; texts that open
/// with opposite words are apart.
fn alike(texts: &[&str], judged: &[Judged]) -> Vec<Vec<f64>> {
    let n = texts.len();
    let borne = |a: usize, b: usize| {
        let own: Vec<f64> = (judged.iter().filter(|j| j.answer == a))
            .map(|j| match j.stances[b] {
                Stance::Supports(p) => p,
                Stance::Contradicts(_) => 0.0,
                Stance::Silent => 0.25,
            })
            .collect();
        if own.is_empty() { 0.0 } else { own.iter().sum::<f64>() / own.len() as f64 }
    };
    let mut out = vec![vec![1.0; n]; n];
    for a in 0..n {
        for b in 0..a {
            let mut score = borne(a, b).max(borne(b, a));
            match (opening(texts[a]), opening(texts[b])) {
                (Some(x), Some(y)) if x != y => score = -score.min(0.2),
                // The same word first: they decide alike, whatever reasons they give.
                (Some(_), Some(_)) => score = score.max(0.5),
                _ => {}
            }
            (out[a][b], out[b][a]) = (score, score);
        }
    }
    out
}

/// The decision that a text opens with.
fn opening(text: &str) -> Option<bool> {
    let start: String =
        text.trim_start_matches(['*', '#', ' ', '\n', '"', '_']).chars().take(24).collect();
    let start = start.to_lowercase();
    let word = start.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    match word {
        "yes" | "ja" | "oui" | "true" | "correct" | "definitely" | "absolutely" => Some(true),
        "no" | "nein" | "non" | "false" | "incorrect" => Some(false),
        _ => None,
    }
}

impl Hall<'_> {
    fn conclude(&self, judged: &[Judged]) -> Verdict {
        let voters = self.voters(None);
        let mut verdict = self.empty(judged);
        let Some(found) = self.judge(&voters, judged) else {
            verdict.reasons.push("nobody answered".to_owned());
            return verdict;
        };
        let (trust, mut reasons) = self.bounded(found.trust, &voters);
        verdict.reasons.append(&mut reasons);
        verdict.trust = trust;
        verdict.raw = found.raw[found.winner];
        verdict.p_none = found.none;
        verdict.groups = self.groups(&found, &voters, trust.unwrap_or(verdict.raw));
        verdict.dissent = self.dissent(&verdict.groups);
        verdict.reasons.extend(self.beside(&verdict.groups));
        verdict.pivotal = self.pivotal(&found, judged);
        verdict.entropy =
            -verdict.groups.iter().map(|g| g.share * g.share.max(1e-12).ln()).sum::<f64>();
        (verdict.diversity, verdict.n_eff) = self.diversity();
        self.claims(&mut verdict, judged);
        verdict
    }

    fn empty(&self, judged: &[Judged]) -> Verdict {
        Verdict {
            kind: self.kind,
            groups: Vec::new(),
            trust: None,
            reasons: Vec::new(),
            raw: 0.0,
            p_none: 1.0,
            evidence: self.evidence(judged),
            dissent: Vec::new(),
            contradictions: Vec::new(),
            unsupported: Vec::new(),
            pivotal: Vec::new(),
            abstained: self.abstained.clone(),
            entropy: 0.0,
            n_eff: 0.0,
            diversity: 0.0,
        }
    }

    /// Trust where it can be said, with caps and what they are for.
    fn bounded(&self, p: f64, voters: &[Voter]) -> (Option<f64>, Vec<String>) {
        let mut reasons = Vec::new();
        let labels = self.case.calibration.n();
        if voters.len() < 2 {
            reasons.push("one model answered: there is no consensus to measure".to_owned());
            return (None, reasons);
        }
        let mut p = p;
        if self.kind == Kind::Long {
            p = p.clamp(LONG.0, LONG.1);
            reasons.push(
                "long texts are compared claim by claim: trust stays within 0.3 and 0.8".to_owned(),
            );
        }
        if let Some(risk) = &self.case.risk {
            p = p.min(SHARED_PRIOR_CAP);
            reasons.push(format!("agreement may be a shared mistake: {risk}"));
        }
        if labels == 0 {
            reasons.push(
                "no feedback yet for this sort of question: calibrated by a table of \
                measured panels"
                    .to_owned(),
            );
        }
        (Some(p), reasons)
    }

    fn groups(&self, found: &Judgement, voters: &[Voter], trust: f64) -> Vec<Group> {
        let left: f64 = found
            .raw
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != found.winner)
            .map(|(_, p)| p)
            .sum::<f64>()
            + found.none;
        let group = |at: usize| {
            let cluster = &self.clusters[at];
            let votes: Vec<usize> = cluster.members.iter().map(|m| self.answers[*m].0).collect();
            let share = voters.iter().filter(|v| v.cluster == at).map(|v| v.share).sum::<f64>()
                / voters.len() as f64;
            let posterior = match at == found.winner {
                true => trust,
                // Never above the winner: calibration may leave more than it gives.
                false if left > 0.0 => ((1.0 - trust) * found.raw[at] / left)
                    .min(trust * found.raw[at] / found.raw[found.winner].max(1e-12)),
                false => 0.0,
            };
            let answer = self.shown(cluster);
            Group { answer, votes, share, posterior }
        };
        let mut order: Vec<usize> = (0..self.clusters.len()).collect();
        order.sort_by(|a, b| {
            let first = (*b == found.winner).cmp(&(*a == found.winner));
            first.then(found.raw[*b].total_cmp(&found.raw[*a])).then(a.cmp(b))
        });
        order.into_iter().map(group).collect()
    }

    /// The answer of a cluster as its first one says it; with the unit where it alone tells it from
    /// another.
    fn shown(&self, cluster: &Cluster) -> String {
        let mut members = cluster.members.iter().map(|at| &self.answers[*at].1);
        let differs = |one: &Answer| {
            let mut others = self.answers.iter().filter(|(_, other)| other.value == one.value);
            others.any(|(_, o)| one.unit.zip(o.unit).is_some_and(|(a, b)| a.differs(b)))
        };
        let first = &self.answers[cluster.members[0]].1;
        members.find(|one| differs(one)).map_or_else(|| first.value.clone(), Answer::shown)
    }

    fn dissent(&self, groups: &[Group]) -> Vec<Dissenter> {
        let known = |vote: usize| self.case.votes[vote].known;
        let best = groups.first().map_or(f64::NEG_INFINITY, |winner| {
            let members = winner.votes.iter().filter_map(|vote| known(*vote));
            members.map(|(ability, _)| ability).fold(f64::NEG_INFINITY, f64::max)
        });
        let apart = self.apart(groups);
        let own = |vote: usize, group: &Group| {
            let said = self.answers.iter().find(|(place, _)| *place == vote);
            // A value is the same in all words.
            let said = said.filter(|_| !self.kind.is_exact());
            said.map_or_else(|| group.answer.clone(), |(_, answer)| answer.value.clone())
        };
        let mut out: Vec<Dissenter> = Vec::new();
        for (group, members) in groups.iter().enumerate().skip(1) {
            for vote in &members.votes {
                let better = |(ability, n): (f64, f64)| {
                    n >= EXPERT_MIN && ability > best && best.is_finite()
                };
                out.push(Dissenter {
                    vote: *vote,
                    group,
                    answer: own(*vote, members),
                    expert: known(*vote).is_some_and(better),
                    strongest: apart == Some(*vote),
                });
            }
        }
        out.sort_by_key(|d| (!d.strongest, !d.expert, d.group, d.vote));
        out
    }

    /// The vote of the strongest, where agreement may be a shared mistake and it stands with the
    /// winner in none of its roles.
    fn apart(&self, groups: &[Group]) -> Option<usize> {
        self.case.risk.as_ref()?;
        let (place, _) = self.case.strongest?;
        let voter = self.case.votes.get(place)?.voter();
        let its = |vote: &usize| self.case.votes[*vote].voter() == voter;
        (!groups.first()?.votes.iter().any(its)).then_some(place)
    }

    /// Why another answer stands beside the winner, if one does.
    fn beside(&self, groups: &[Group]) -> Option<String> {
        let vote = &self.case.votes[self.apart(groups)?];
        let (_, by) = self.case.strongest?;
        let by = match by {
            Strength::Feedback => {
                let n = vote.known.map_or(0.0, |(_, n)| n);
                format!("by feedback on {n:.0} answers")
            }
            Strength::Rank => "by the operator's rank".to_owned(),
        };
        let model = &vote.model;
        Some(format!(
            "`{model}`, the strongest of those who answered {by}, says otherwise: see it first \
             among the dissent"
        ))
    }

    /// Votes whose absence would change the outcome.
    fn pivotal(&self, found: &Judgement, judged: &[Judged]) -> Vec<usize> {
        if self.seats.len() < 3 {
            return Vec::new();
        }
        let turns = |seat: &usize| {
            let voters = self.voters(Some(*seat));
            self.judge(&voters, judged).is_none_or(|other| {
                other.winner != found.winner || (other.trust - found.trust).abs() > 0.1
            })
        };
        let seats = (0..self.seats.len()).filter(turns);
        let mut out: Vec<usize> = seats
            .flat_map(|s| self.seats[s].answers.iter().map(|at| self.answers[*at].0))
            .collect();
        out.sort_unstable();
        out
    }

    /// One minus the expected correlation of errors, and what so many voters are worth: measured on
    /// recorded answers are 0.35 between families, 0.38 to 0.6 within one, and near 1 for the same
    /// weights, which share a seat already.
    fn diversity(&self) -> (f64, f64) {
        let family = |seat: &Seat| self.case.votes[self.answers[seat.answers[0]].0].family.as_str();
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (a, one) in self.seats.iter().enumerate() {
            for other in &self.seats[..a] {
                let same = !family(one).is_empty() && family(one) == family(other);
                sum += if same { 0.6 } else { 0.35 };
                pairs += 1.0;
            }
        }
        let kappa: f64 = if pairs == 0.0 { 1.0 } else { sum / pairs };
        let k = self.seats.len() as f64;
        (1.0 - kappa, if k == 0.0 { 0.0 } else { k / (1.0 + (k - 1.0) * kappa) })
    }

    fn claims(&self, verdict: &mut Verdict, judged: &[Judged]) {
        let winners = verdict.groups.first().map(|g| g.votes.clone()).unwrap_or_default();
        for claim in judged {
            let vote = self.answers[claim.answer].0;
            for (other, stance) in claim.stances.iter().enumerate() {
                // Each pair once.
                if let Stance::Contradicts(what) = stance
                    && claim.answer < other
                {
                    let against = self.answers[other].0;
                    let claim = claim.text.clone();
                    verdict.contradictions.push(Contradiction { vote, claim, against, what });
                }
            }
            let alone = claim
                .stances
                .iter()
                .enumerate()
                .all(|(at, s)| at == claim.answer || !matches!(s, Stance::Supports(_)));
            if alone && winners.contains(&vote) && self.answers.len() > 1 {
                verdict.unsupported.push(claim.text.clone());
            }
        }
        verdict.contradictions.truncate(LISTED_MAX);
        verdict.unsupported.truncate(LISTED_MAX);
    }
}

/// Contradictions and unsupported claims of one verdict at most.
const LISTED_MAX: usize = 20;

/// The words for a trust.
pub fn words(trust: Option<f64>, p_none: f64) -> &'static str {
    match trust {
        None => "no consensus was measured",
        Some(p) if p < 0.6 && p_none > 0.4 => "nobody is convincing",
        Some(p) if p >= 0.95 => "near certain",
        Some(p) if p >= 0.8 => "likely",
        Some(p) if p >= 0.6 => "leaning",
        Some(_) => "contested",
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
