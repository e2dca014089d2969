//! Whose answer is shown beside the winner where agreement may be a shared mistake: that of the
//! strongest of those who answered, by what is known and by nothing else.
//!
//! Knows no names: that a model is famous says nothing. Where neither feedback nor the operator
//! tells who is strongest, nobody is.

use crate::kind::Kind;
use crate::posterior::{Shape, ability};
use crate::reliability::PRIOR_MEAN;
use crate::verdict::{Case, Vote, answered};

/// Answers that what is known of a model has to rest on before it is compared with others: five,
/// with half a one of slack, for each counts less with every day since and five never add up to 5.
const KNOWN_MIN: f64 = 4.5;

/// By what one is the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// It was right most often, as people told.
    Feedback,
    /// The operator ranks it highest.
    Rank,
}

impl Strength {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Strength::Feedback => "feedback",
            Strength::Rank => "rank",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Strength::Feedback, Strength::Rank].into_iter().find(|one| one.name() == name)
    }
}

/// The strongest of those who answered, as the place of its vote: by feedback where some of them
/// are known, else by the operator's ranks, a number for each vote that has one, the highest the
/// strongest; ranks choose only among those of whom feedback knows nobody better. Nobody where two
/// different voters are level.
pub fn strongest(case: &Case, ranks: &[Option<f64>]) -> Option<(usize, Strength)> {
    let votes = answered(case);
    let measured = |place: usize| {
        let (ability, n) = case.votes[place].known?;
        (n >= KNOWN_MIN).then_some(ability)
    };
    // One of whom nothing is known may be as good as any other: who is known to be worse than that
    // is not the strongest, only the best known, whatever his rank.
    let unknown = ability(PRIOR_MEAN, Shape::of(case.kind.unwrap_or(Kind::Long), 0).sigma);
    let taken_for = |place: usize| measured(place).unwrap_or(unknown);
    let top = votes.iter().map(|place| taken_for(*place)).reduce(f64::max)?;
    let level: Vec<usize> = votes.into_iter().filter(|place| taken_for(*place) == top).collect();
    let by_feedback = first(case, &level, measured)
        .filter(|_| level.iter().all(|place| measured(*place).is_some()))
        .map(|(place, _)| (place, Strength::Feedback));
    let rank = |place: usize| ranks.get(place).copied().flatten();
    let by_rank = || first(case, &level, rank).map(|(place, _)| (place, Strength::Rank));
    by_feedback.or_else(by_rank)
}

/// The one with the highest value, if no other voter has the same.
fn first(
    case: &Case,
    votes: &[usize],
    value: impl Fn(usize) -> Option<f64>,
) -> Option<(usize, f64)> {
    let valued: Vec<(usize, f64)> =
        votes.iter().filter_map(|place| Some((*place, value(*place)?))).collect();
    let best = valued.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    let voter = |place: usize| Vote::voter(&case.votes[place]);
    let level = |one: &(usize, f64)| one.1 == best.1 && voter(one.0) != voter(best.0);
    (!valued.iter().any(level)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Votes of models `a`, `b` and so on, with what is known of each.
    fn case(known: &[Option<(f64, f64)>]) -> Case {
        let vote = |(known, model): (&Option<(f64, f64)>, char)| Vote {
            model: model.to_string(),
            text: "Answer: 7".to_owned(),
            known: *known,
            ..Vote::default()
        };
        let votes = known.iter().zip('a'..).map(vote).collect();
        Case { kind: Some(Kind::Number), votes, ..Case::default() }
    }

    #[test]
    fn what_was_measured_goes_before_what_was_said() {
        let by = |place, by| Some((place, by));
        let (good, bad) = (Some((3.0, 20.0)), Some((-1.0, 20.0)));
        let ranks = [Some(1.0), Some(3.0), None];
        assert_eq!(strongest(&case(&[bad, bad, good]), &ranks), by(2, Strength::Feedback));
        assert_eq!(strongest(&case(&[good, None, None]), &ranks), by(0, Strength::Feedback));
        // Five told answers are less than five as soon as a moment has passed.
        let five = Some((3.0, 4.98));
        assert_eq!(strongest(&case(&[five, None, None]), &ranks), by(0, Strength::Feedback));
        // Too little feedback, or what says only who is weak, is none.
        let little = Some((3.0, KNOWN_MIN - 1.0));
        assert_eq!(strongest(&case(&[little, None, None]), &ranks), by(1, Strength::Rank));
        assert_eq!(strongest(&case(&[bad, None, None]), &ranks), by(1, Strength::Rank));
        // Where all are known the best of them is the strongest, however good.
        let worse = Some((-2.0, 20.0));
        assert_eq!(strongest(&case(&[bad, worse]), &[]), by(0, Strength::Feedback));
    }

    #[test]
    fn ranks_choose_only_among_those_of_whom_feedback_knows_nobody_better() {
        let by = |place| Some((place, Strength::Rank));
        let (good, bad) = (Some((3.0, 20.0)), Some((-1.0, 20.0)));
        // The operator ranks one highest who was measured as weak.
        let ranks = [Some(3.0), Some(1.0), None];
        assert_eq!(strongest(&case(&[bad, None, None]), &ranks), by(1));
        assert_eq!(strongest(&case(&[bad, bad, None]), &ranks), None, "who is left has no rank");
        // Where the best are level the others have no say, known or not.
        let ranks = [Some(1.0), Some(2.0), Some(9.0)];
        assert_eq!(strongest(&case(&[good, good, bad]), &ranks), by(1));
        assert_eq!(strongest(&case(&[good, good, None]), &ranks), by(1));
        assert_eq!(strongest(&case(&[bad, bad, None]), &ranks), by(2));
    }

    #[test]
    fn where_nothing_tells_nobody_is() {
        let none = case(&[None, None, None]);
        assert_eq!(strongest(&none, &[]), None);
        assert_eq!(strongest(&none, &[Some(2.0), Some(2.0), Some(1.0)]), None);
        let good = Some((3.0, 20.0));
        assert_eq!(strongest(&case(&[good, good]), &[]), None);
        assert_eq!(strongest(&case(&[]), &[]), None);
        // Two names of one voter are not two who are level, and silence has no answer to show.
        let mut twice = case(&[good, good, None]);
        twice.votes[1].model = "there/a:latest".to_owned();
        assert_eq!(strongest(&twice, &[]), Some((0, Strength::Feedback)));
        let mut silent = none;
        silent.votes[0].failed = true;
        let ranks = [Some(9.0), Some(2.0), Some(1.0)];
        assert_eq!(strongest(&silent, &ranks), Some((1, Strength::Rank)));
    }

    #[test]
    fn names_are_read_back() {
        for one in [Strength::Feedback, Strength::Rank] {
            assert_eq!(Strength::parse(one.name()), Some(one));
        }
        assert_eq!(Strength::parse("fame"), None);
    }
}
