//! `feedback`: says which answer was right; teaches reliability and calibration.

use crate::consensus::domain;
use crate::learn::relearn;
use crate::verdict::verdict;
use crate::{Call, Context, Effect, Error, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_council::text::{conflict, content, overlap, signs_differ};
use synod_council::verdict::{Case, Group, Verdict};
use synod_council::{Answer, Kind, extract, options_of};
use synod_store::Scope;

pub struct Feedback;

/// Say what the right answer to a past question was: a few dozen teach which models are right about
/// what, and what a trust of 80 % means.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The verdict's id.
    id: String,
    /// The right answer; of long texts one of the models' names, or `none`.
    correct: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    id: String,
    /// The cluster that it agrees with; null when nobody had said it.
    cluster: Option<String>,
    /// The answer that had won was right.
    winner_right: bool,
    /// Questions of this kind whose answer was told.
    n_labels: usize,
}

impl Operation for Feedback {
    const NAME: &'static str = "feedback";
    const TITLE: &'static str = "What was right";
    const EFFECT: Effect = Effect::Write;
    const SCOPE: Scope = Scope::LlmInvoke;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::post("/v1/feedback", 200)];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let stored = crate::trust::stored(cx, &call.account, Self::NAME, &args.id)?;
        let (_, case, found) = verdict(&args.id, &stored.record)?;
        let correct = args.correct.trim();
        if correct.is_empty() {
            return Err(Error::Args(
                "feedback: `correct` is empty; say the right answer".to_owned(),
            ));
        }
        let told = right(&case, &found, correct)?;
        cx.store.tell(&args.id, told, &call.account, (cx.now_ms)())?;
        let domain = domain(&case.question);
        relearn(cx, found.kind, domain)?;
        Ok(Reply {
            id: args.id,
            cluster: told.map(|at| found.groups[at].answer.clone()),
            winner_right: told == Some(0),
            n_labels: cx.store.told_count(found.kind.name(), None)?,
        })
    }

    fn render(reply: &Reply) -> String {
        let right = if reply.winner_right { "was right" } else { "was not right" };
        format!("Noted: the answer that won {right}; {} told of this kind.\n", reply.n_labels)
    }
}

/// The cluster that is right by a caller's word, or none of them: `none` says so where no cluster
/// says it itself.
fn right(case: &Case, found: &Verdict, correct: &str) -> Result<Option<usize>, Error> {
    let of_question = options_of(&case.question);
    let options = if case.options.is_empty() { &of_question } else { &case.options };
    if correct.eq_ignore_ascii_case("none") {
        // It is an answer too, where somebody gave it.
        let said = extract(found.kind, "", Some(correct), options).map(|answer| answer.value);
        let says = |group: &Group| {
            let same = found.kind.is_exact() && said.as_ref() == Ok(&group.answer);
            same || group.answer.eq_ignore_ascii_case(correct)
        };
        return Ok(found.groups.iter().position(says));
    }
    let by_model = |group: &Group| group.votes.iter().any(|v| case.votes[*v].model == correct);
    let named = found.groups.iter().position(by_model);
    if named.is_some() && !found.kind.is_exact() {
        return Ok(named);
    }
    // As models mark it, or alone.
    let said = extract(found.kind, "", Some(correct), options)
        .or_else(|_| extract(found.kind, correct, None, options));
    match (said, named) {
        (Ok(said), _) => {
            let agreed = agrees(&found.groups, found.kind, &said, &case.question);
            Ok(agreed.or(named))
        }
        (Err(_), Some(named)) => Ok(Some(named)),
        (Err(_), None) => Err(Error::Args(format!(
            "feedback: `{correct}` is no answer of the kind {} and no model that answered; say the \
             answer alone, a model's name, or `none`",
            found.kind.name()
        ))),
    }
}

/// The cluster that says the same as `correct`.
fn agrees(groups: &[Group], kind: Kind, correct: &Answer, question: &str) -> Option<usize> {
    if kind.is_exact() {
        let (value, shown) = (correct.value.as_str(), correct.shown());
        // A unit stands there only where it tells two clusters apart: else the first is meant.
        let bare = |answer: &str| {
            let rest = answer.strip_prefix(value);
            kind == Kind::Number
                && correct.unit.is_none()
                && rest.is_some_and(|rest| rest.starts_with(' '))
        };
        let exact = groups.iter().position(|g| g.answer == value || g.answer == shown);
        return exact.or_else(|| groups.iter().position(|group| bare(&group.answer)));
    }
    let theirs = content(&correct.value, question);
    let alike = |group: &Group| {
        let ours = content(&group.answer, question);
        // The opposite shares its words, `O-` those of `O+`.
        let apart = conflict(&ours, &theirs).is_some() || signs_differ(&ours, &theirs);
        if apart { 0.0 } else { overlap(&ours, &theirs) }
    };
    let best = groups.iter().enumerate().map(|(at, g)| (at, alike(g)));
    let best = best.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    (best.1 >= synod_council::cluster::SAME).then_some(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answers: &[&str], correct: &str) -> Option<usize> {
        of(Kind::Short, answers, correct)
    }

    fn of(kind: Kind, answers: &[&str], correct: &str) -> Option<usize> {
        let group = |answer: &&str| Group {
            answer: (*answer).to_owned(),
            votes: Vec::new(),
            share: 0.0,
            posterior: 0.0,
        };
        let groups: Vec<Group> = answers.iter().map(group).collect();
        let correct = extract(kind, "", Some(correct), &[]).expect("an answer");
        agrees(&groups, kind, &correct, "which one?")
    }

    #[test]
    fn what_was_right_is_found_among_the_clusters() {
        assert_eq!(found(&["O-", "O+"], "O+"), Some(1));
        assert_eq!(found(&["group O-", "group O+"], "Group O+"), Some(1));
        assert_eq!(found(&["O-"], "O+"), None);
        for text in ["It", "The Who", "\u{6c34}", "\u{1f44d}"] {
            assert_eq!(found(&["Paris", text], text), Some(1), "{text}");
            assert_eq!(found(&["Paris"], text), None, "{text}");
        }
        assert_eq!(found(&["The Kinks", "The Who"], " the who. "), Some(1));
        assert_eq!(
            found(&["Ada Lovelace", "Lovelace"], "Lovelace"),
            Some(0),
            "of equals the first"
        );
        assert_eq!(found(&[], "It"), None);
        let number = |answers: &[&str], correct| of(Kind::Number, answers, correct);
        assert_eq!(number(&["8", "5"], "5 mg"), Some(1));
        assert_eq!(number(&["5 g", "5 mg"], "5 milligrams"), Some(1));
        assert_eq!(number(&["5 g", "5 mg"], "5 kg"), None);
        assert_eq!(number(&["50 g", "5 g", "5 mg"], "5"), Some(1));
    }
}
