//! A council that debates: a blind vote, then rounds in which each model sees the others' answers.
//! Trust rests on the blind vote alone; the rounds show who changed towards whom.

use crate::orchestrate::{Args, Reply};
use crate::panel::Plan;
use crate::round::{self, COUNCIL_MAX, Run, Seats};
use crate::seat::{Seat, ask_once, ask_one, voting};
use crate::{Context, Error, event};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use synod_council::debate::{ROUNDS_MAX, flips, majority, positions, prompt, settled};
use synod_council::{Kind, spoken};
use synod_llm::{Message, Role};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Where a model stands in a round.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct StandReply {
    model: String,
    /// The same number means the same answer; absent where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
}

/// A model that changed its answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct FlipReply {
    model: String,
    from: usize,
    to: usize,
    /// Who stood there before.
    towards: Vec<String>,
}

/// One round; the first is the blind vote.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct RoundReply {
    stands: Vec<StandReply>,
    flips: Vec<FlipReply>,
}

/// What came of a debate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DebateReply {
    rounds: Vec<RoundReply>,
    /// All say the same in the end.
    settled: bool,
    /// What most said in the end, as one of them said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_word: Option<String>,
    /// Most said something else in the end than in the blind vote.
    turned: bool,
}

impl DebateReply {
    /// Short Markdown.
    pub fn render(&self) -> String {
        let mut out = String::from("\n**Debate**\n");
        for (at, round) in self.rounds.iter().enumerate().skip(1) {
            if round.flips.is_empty() {
                out.push_str(&format!("- round {}: nobody changed\n", at + 1));
            }
            for flip in &round.flips {
                let towards = match flip.towards.is_empty() {
                    true => "an answer that nobody had given".to_owned(),
                    false => flip.towards.join(", "),
                };
                out.push_str(&format!("- round {}: {} went to {towards}\n", at + 1, flip.model));
            }
        }
        if self.turned {
            let last = self.last_word.as_deref().unwrap_or_default();
            out.push_str(&format!(
                "_In the end most say otherwise than in the blind vote: {}. Trust rests on the \
                 blind vote._\n",
                event::shown(last)
            ));
        }
        out
    }
}

/// Asks, lets them debate, and gives the reply with the verdict of the blind vote kept.
///
/// # Errors
/// Those of the store; `Upstream` when nobody answered.
pub async fn work(
    cx: &Context,
    run: &Run,
    args: &Args,
    plan: &Plan,
    seats: &Seats,
) -> Result<Reply, Error> {
    let end = Instant::now() + COUNCIL_MAX;
    let past = Arc::new(crate::talk::before(cx, args, run, seats)?);
    let panel = &plan.order[..plan.panel];
    seats.held().2 = plan.decision.clone();
    let mut asking = JoinSet::new();
    for id in panel {
        let (cx, run, id) = (cx.clone(), run.clone(), id.clone());
        asking.spawn(ask_one(cx, run, id, args.clone(), Arc::clone(&past), end));
    }
    let take = |seat: &Seat| {
        let mut held = seats.held();
        held.0.push(seat.clone());
        if held.0.iter().any(|seat| seat.text.is_some()) {
            held.1 = Some(round::case(cx, args, &held.0));
        }
    };
    let blind = gather(cx, run, 1, asking, |seat| {
        take(seat);
        round::keep(cx, run, seats)
    });
    let blind = blind.await?;
    let mut decision = plan.decision.clone();
    decision.panel = panel.to_vec();
    decision.stopped_because = "the debate is over".to_owned();
    let mut reply = round::finish(cx, run, args, plan, decision, seats).await?;
    let mut rounds = vec![blind];
    let kind = reply.verdict.as_ref().map_or(Kind::Long, |verdict| verdict.sort());
    let mut stood = places(args, kind, &rounds).await?;
    while rounds.len() <= ROUNDS_MAX && goes_on(&stood) {
        let said = rounds[rounds.len() - 1].clone();
        let n = rounds.len() + 1;
        let next = again(cx, run, args, &past, &said, n, end).await?;
        reply.models.extend(next.iter().map(|seat| seat.reply.clone()));
        rounds.push(next);
        stood = places(args, kind, &rounds).await?;
    }
    reply.cost_usd = round::cost(&reply.models);
    reply.debate = Some(outcome(&stood, &rounds));
    Ok(reply)
}

/// Waits for all who were asked, in the order of their names.
async fn gather(
    cx: &Context,
    run: &Run,
    n: usize,
    mut asking: JoinSet<Seat>,
    mut came: impl FnMut(&Seat) -> Result<(), Error>,
) -> Result<Vec<Seat>, Error> {
    let mut out: Vec<Seat> = Vec::new();
    while let Some(seat) = asking.join_next().await {
        let mut seat = seat.map_err(|error| round::ended(&error))?;
        seat.reply.round = (n > 1).then_some(n);
        let note = json!({
            "model": seat.reply.model, "failure": seat.reply.failure, "round": n,
            "answered": out.len() + 1,
        });
        event::tell(cx, &run.job, "progress", &note);
        came(&seat)?;
        out.push(seat);
    }
    out.sort_by(|a, b| a.reply.model.cmp(&b.reply.model));
    Ok(out)
}

/// Another round is worth its calls: two or more said something, not all the same, and in the last
/// round somebody changed.
fn goes_on(places: &[Places]) -> bool {
    let Some(last) = places.last() else { return false };
    let moved = places.len() < 2 || !flips(&places[places.len() - 2], last).is_empty();
    last.iter().flatten().count() >= 2 && !settled(last) && moved
}

/// Where the models of the blind vote stand in a round, in its order.
type Places = Vec<Option<usize>>;

/// By round.
async fn places(args: &Args, kind: Kind, rounds: &[Vec<Seat>]) -> Result<Vec<Places>, Error> {
    let names: Vec<&str> = rounds[0].iter().map(|seat| seat.reply.model.as_str()).collect();
    let said = |round: &Vec<Seat>| -> Vec<Option<String>> {
        let of = |name: &&str| round.iter().find(|seat| seat.reply.model == **name)?.text.clone();
        names.iter().map(of).collect()
    };
    let texts: Vec<Vec<Option<String>>> = rounds.iter().map(said).collect();
    let (query, options) = (args.query.clone(), args.options.clone());
    let work = move || {
        let texts: Vec<Vec<Option<&str>>> =
            texts.iter().map(|round| round.iter().map(Option::as_deref).collect()).collect();
        Ok(positions(&query, kind, &options, &texts))
    };
    round::computed(work).await
}

/// Asks everybody once more, with the others' answers.
async fn again(
    cx: &Context,
    run: &Run,
    args: &Args,
    past: &[Message],
    said: &[Seat],
    n: usize,
    end: Instant,
) -> Result<Vec<Seat>, Error> {
    let mut asking = JoinSet::new();
    for (at, seat) in said.iter().enumerate() {
        let Some(own) = &seat.text else { continue };
        let others: Vec<&str> = (said.iter().enumerate())
            .filter(|(other, _)| *other != at)
            .filter_map(|(_, seat)| seat.text.as_deref())
            .collect();
        let mut ask = voting(cx, args, &seat.reply.model, past);
        ask.messages.push(Message { role: Role::Assistant, text: own.clone() });
        ask.messages.push(Message { role: Role::User, text: prompt(&others) });
        let (cx, run) = (cx.clone(), run.clone());
        asking.spawn(async move { ask_once(&cx, &run, &format!("round {n}"), ask, end).await });
    }
    gather(cx, run, n, asking, |_| Ok(())).await
}

fn outcome(places: &[Places], rounds: &[Vec<Seat>]) -> DebateReply {
    let name = |model: usize| rounds[0][model].reply.model.clone();
    let mut out = Vec::new();
    for (at, row) in places.iter().enumerate() {
        let stands = row.iter().enumerate();
        let stands =
            stands.map(|(model, position)| StandReply { model: name(model), position: *position });
        let moved = if at == 0 { Vec::new() } else { flips(&places[at - 1], row) };
        let flips = moved.into_iter().map(|flip| FlipReply {
            model: name(flip.model),
            from: flip.from,
            to: flip.to,
            towards: flip.towards.into_iter().map(name).collect(),
        });
        out.push(RoundReply { stands: stands.collect(), flips: flips.collect() });
    }
    let last = places.last().map(Vec::as_slice).unwrap_or_default();
    let most = majority(last);
    let speaker = last.iter().position(|place| place.is_some() && *place == most).map(name);
    let last_round = rounds.last().map(Vec::as_slice).unwrap_or_default();
    let last_word = speaker
        .and_then(|model| last_round.iter().find(|seat| seat.reply.model == model)?.text.clone());
    let last_word = last_word.map(|text| cut(spoken(&text)));
    let turned = most.is_some() && places.first().map(|row| majority(row)) != Some(most);
    DebateReply { rounds: out, settled: settled(last), last_word, turned }
}

/// Characters of the last word.
const WORD_CHARS_MAX: usize = 8_000;

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut head: String = chars.by_ref().take(WORD_CHARS_MAX).collect();
    let left = chars.count();
    if left > 0 {
        head.push_str(&format!(" [… {left} more characters]"));
    }
    head
}
