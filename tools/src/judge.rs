//! What a further model says about answers before they are scored: whether phrases that are nearly
//! alike mean the same, and whether the question is the famous one that it resembles. Neither
//! votes.

use crate::orchestrate::{Args, Mode};
use crate::panel::Plan;
use crate::round::Run;
use crate::seat::{Seat, ask_of, ask_once};
use crate::{Context, Error};
use std::collections::BTreeSet;
use synod_council::head::Prompt;
use synod_council::judge::{PAIRS_MAX, Premise, checked, pairs, premise, same};
use synod_council::verdict::{Case, Vote, to_judge};
use synod_council::{Kind, extract};
use tokio::time::Instant;

/// What a model was asked beside the vote.
pub struct Aside {
    /// Its answer or failure, with what it cost.
    pub seat: Seat,
}

async fn ask(
    cx: &Context,
    run: &Run,
    args: &Args,
    part: &str,
    model: &str,
    prompt: Prompt,
    end: Instant,
) -> Seat {
    let mut ask = ask_of(cx, args, model, &prompt.user);
    ask.system = Some(prompt.system);
    let mut seat = ask_once(cx, run, part, ask, end).await;
    seat.reply.head = Some(part.to_owned());
    seat
}

/// The votes of a model and its family.
fn own(case: &Case, model: &str, family: &str) -> BTreeSet<usize> {
    let its = |vote: &Vote| vote.model == model || !family.is_empty() && vote.family == family;
    let votes = case.votes.iter().enumerate();
    votes.filter(|(_, vote)| its(vote)).map(|(at, _)| at).collect()
}

/// What is compared of a vote: its answer as the verdict reads it. The way to it may be long, and a
/// prompt holds the beginning of a text alone.
fn phrase(vote: &Vote) -> String {
    let said = extract(Kind::Short, &vote.text, vote.answer.as_deref(), &[]);
    said.map_or_else(|_| vote.text.clone(), |answer| answer.value)
}

/// Lets the judge look at phrases that are nearly alike. A pair with an answer of its own family is
/// none of its business. Gives what it cost, or why nothing was asked.
///
/// # Errors
/// Those of work that ended too early.
pub async fn compare(
    cx: &Context,
    run: &Run,
    args: &Args,
    case: &mut Case,
    end: Instant,
) -> Result<Option<Aside>, Error> {
    let council = cx.council.get();
    let Some(model) = &council.judge else { return Ok(None) };
    let Some(row) = cx.engine.model(model) else { return Ok(None) };
    let held = case.clone();
    let near = crate::round::computed(move || Ok(to_judge(&held))).await?;
    let own = own(case, &row.id, &row.family);
    let near: Vec<(usize, usize)> = (near.into_iter())
        .filter(|(a, b)| !own.contains(a) && !own.contains(b))
        .take(PAIRS_MAX)
        .collect();
    if near.is_empty() {
        return Ok(None);
    }
    let text = |at: usize| phrase(&case.votes[at]);
    let texts: Vec<(String, String)> = near.iter().map(|(a, b)| (text(*a), text(*b))).collect();
    let shown: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let prompt = pairs(&args.query, &shown);
    let seat = ask(cx, run, args, "judge", model, prompt, end).await;
    if let Some(said) = seat.text.as_deref().and_then(|text| same(text, near.len())) {
        // Another may have answered for the judge, and is no judge of its own words either.
        let own = self::own(case, &seat.reply.model, &seat.family);
        let pairs = near.into_iter().zip(said);
        let pairs = pairs.filter(|((a, b), _)| !own.contains(a) && !own.contains(b));
        case.judged = pairs.map(|((a, b), same)| (a, b, same)).collect();
    }
    Ok(Some(Aside { seat }))
}

/// Has the premise of a question checked where the plan wants it; gives what it cost and what was
/// found, nothing where it could not be checked.
pub async fn check_premise(
    cx: &Context,
    run: &Run,
    args: &Args,
    plan: &Plan,
    end: Instant,
) -> Option<(Aside, Option<Premise>)> {
    if args.mode != Mode::Vote || !plan.premise || !plan.goes_on(args) {
        return None;
    }
    // Whoever is known to be right most often.
    let model = plan.order.first()?;
    let seat = ask(cx, run, args, "premise", model, premise(&args.query), end).await;
    let found = seat.text.as_deref().and_then(checked);
    Some((Aside { seat }, found))
}

/// What a premise check came to, in words.
pub fn said(aside: &Aside, found: Option<&Premise>) -> String {
    let unread = || match aside.seat.text {
        Some(_) => "its reply could not be read",
        None => aside.seat.reply.failure.as_deref().unwrap_or("silent"),
    };
    match found {
        Some(Premise::Differs(what)) => format!("the premise was checked: {what}"),
        Some(Premise::Holds) => "the premise holds".to_owned(),
        None => format!("the premise could not be checked: {}", unread()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_compares_what_the_verdict_reads() {
        let vote = |text: &str| Vote { text: text.to_owned(), ..Vote::default() };
        let way = "Both are fine languages with good tools. ".repeat(20);
        for text in [format!("{way}\nAnswer: Rust"), format!("<think>{way}</think>Rust")] {
            assert_eq!(phrase(&vote(&text)), "Rust");
        }
        assert_eq!(phrase(&vote("I cannot say.")), "I cannot say.", "a refusal stays as it is");
        let given = Vote { answer: Some("Go".to_owned()), ..vote("Rust") };
        assert_eq!(phrase(&given), "Go");
    }
}
