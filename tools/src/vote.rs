//! The vote: models answer blind, one after the other, until it is enough; when the panel leaves
//! doubt, further models and then others are asked, each once, and after that a person decides.
//! Other names of weights that were asked stand in for them alone, and only until they have spoken.

use crate::consensus::{domain, named, score};
use crate::learn::Learned;
use crate::orchestrate::{Args, DecisionReply, Reply};
use crate::panel::Plan;
use crate::round::{self, COUNCIL_MAX, Run, Seats, case, computed, ended};
use crate::seat::{Seat, ask_one};
use crate::verdict::VerdictReply;
use crate::{Context, Error, event};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use synod_council::plan::{Done, Numbers, Step, next_step, shared_prior};
use synod_council::verdict::{Case, Vote, decide, to_embed};
use synod_council::{Kind, Shape, ability, options_of, stop};
use synod_llm::Message;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Part of the deadline after which the next model is asked beside a slow one, and no further round
/// is begun.
const SOFT: f64 = 0.6;
/// However little the caller waits, a model has this long before another is asked beside it.
const SOFT_MIN: Duration = Duration::from_secs(10);
/// Models that break a tie.
const ADDED: usize = 2;

/// A council between its first question and its last answer.
struct Voting<'a> {
    cx: &'a Context,
    run: &'a Run,
    args: &'a Args,
    plan: &'a Plan,
    seats: &'a Seats,
    past: Arc<Vec<Message>>,
    /// Each with the name it was asked under.
    asking: JoinSet<(String, Seat)>,
    /// Those names.
    waiting: Vec<String>,
    /// Place in the plan's order of the voter who is asked next.
    next: usize,
    /// Place in it behind the last voter who may be asked.
    most: usize,
    /// Other names of weights that may be asked under them.
    spares: Vec<String>,
    end: Instant,
    decision: DecisionReply,
}

impl Voting<'_> {
    /// Asks the next voters.
    fn ask(&mut self, n: usize) {
        let last = self.most.min(self.next + n);
        while self.next < last {
            self.start(self.plan.order[self.next].clone());
            self.next += 1;
        }
    }

    fn start(&mut self, id: String) {
        self.decision.panel.push(id.clone());
        self.waiting.push(id.clone());
        let (cx, run, end) = (self.cx.clone(), self.run.clone(), self.end);
        let (args, past) = (self.args.clone(), Arc::clone(&self.past));
        self.asking.spawn(async move {
            let seat = ask_one(cx, run, id.clone(), args, past, end).await;
            (id, seat)
        });
    }

    /// Asks another name of weights that have not spoken: of some that are `slow`, or of some that
    /// nobody is asked for any more. False where there is none.
    fn stand_in(&mut self, slow: bool) -> bool {
        let spoken = self.spoken();
        let waiting: BTreeSet<String> = self.waiting.iter().map(|id| self.weights(id)).collect();
        let of_use = |id: &String| {
            let weights = self.weights(id);
            !spoken.contains(&weights) && waiting.contains(&weights) == slow
        };
        let Some(at) = self.spares.iter().position(of_use) else { return false };
        let id = self.spares.remove(at);
        self.start(id);
        true
    }

    /// The weights behind a name.
    fn weights(&self, id: &str) -> String {
        let name = named(self.cx, id);
        Vote { model: id.to_owned(), name, ..Vote::default() }.weights()
    }

    /// The weights that have answered.
    fn spoken(&self) -> BTreeSet<String> {
        let held = self.seats.held();
        let votes = held.1.iter().flat_map(|case| &case.votes);
        votes.filter(|vote| !vote.failed).map(Vote::weights).collect()
    }

    /// Whether those who are still asked can add nothing: nobody, or weights that have spoken under
    /// another name. Those who were named are all waited for.
    fn is_settled(&self) -> bool {
        if self.asking.is_empty() {
            return true;
        }
        let spoken = self.spoken();
        let heard = |id: &String| spoken.contains(&self.weights(id));
        self.plan.enough <= 1.0 && self.waiting.iter().all(heard)
    }

    /// Takes an answer in; true when nobody else need be asked.
    async fn take(&mut self, (id, seat): (String, Seat)) -> Result<bool, Error> {
        self.waiting.retain(|other| *other != id);
        let (model, failure) = (seat.reply.model.clone(), seat.reply.failure.clone());
        let case = {
            let mut held = self.seats.held();
            held.0.push(seat);
            let case = case(self.cx, self.args, &held.0);
            if case.votes.iter().any(|vote| !vote.failed) {
                held.1 = Some(case.clone());
            }
            held.2 = self.decision.clone();
            case
        };
        let n = case.votes.len();
        let note = json!({ "model": model, "failure": failure, "answered": n });
        event::tell(self.cx, &self.run.job, "progress", &note);
        round::keep(self.cx, self.run, self.seats)?;
        let left = self.plan.order[self.next..self.most].to_vec();
        let (cx, args, enough_at) = (self.cx.clone(), self.args.clone(), self.plan.enough);
        let nobody = left.is_empty();
        let why = computed(move || enough(&cx, &args, case, &left, enough_at)).await?;
        // Those who were named are all waited for.
        if let Some(why) = why.filter(|_| self.asking.is_empty() || self.plan.enough <= 1.0) {
            self.decision.stopped_because = why;
            return Ok(true);
        }
        if nobody && self.is_settled() {
            self.decision.stopped_because = self.everybody().to_owned();
            return Ok(true);
        }
        Ok(false)
    }

    /// Who was asked, once nobody is left who may be.
    fn everybody(&self) -> &'static str {
        match self.next > self.plan.panel {
            false => "everybody of the panel was asked",
            true if self.next < self.plan.voters => {
                "the panel was not enough, and those who were added were asked too"
            }
            true => "the panel was not enough, and everybody else was asked too",
        }
    }

    /// Asks until it is enough, or everybody who may be asked has answered.
    async fn vote(&mut self, patience: Duration) -> Result<(), Error> {
        let mut slow = Instant::now() + patience;
        loop {
            if self.asking.is_empty() {
                self.ask(1);
            }
            tokio::select! {
                seat = self.asking.join_next() => {
                    let Some(seat) = seat else { return Ok(()) };
                    if self.take(seat.map_err(|error| ended(&error))?).await? {
                        // What has come by now is paid for, and counts.
                        while let Some(seat) = self.asking.try_join_next() {
                            self.take(seat.map_err(|error| ended(&error))?).await?;
                        }
                        return Ok(());
                    }
                }
                // A slow model is not waited for alone: the next voter is asked beside it, or the
                // same weights under another name.
                () = tokio::time::sleep_until(slow), if self.has_more() => {
                    if self.next < self.reach() {
                        self.most = self.most.max(self.next + 1);
                        self.ask(1);
                    } else {
                        self.stand_in(true);
                    }
                    slow = Instant::now() + patience;
                }
            }
        }
    }

    /// Place in the plan's order behind the last voter who could be asked.
    fn reach(&self) -> usize {
        if self.plan.goes_on(self.args) { self.plan.voters } else { self.most }
    }

    fn has_more(&self) -> bool {
        self.next < self.reach() || !self.spares.is_empty()
    }

    /// Others in the place of those who failed, until two have answered: further voters, then other
    /// names of the weights that failed.
    async fn replace_failed(&mut self, patience: Duration) -> Result<(), Error> {
        let wanted = self.plan.panel.min(2);
        loop {
            let answered = self.spoken().len();
            if answered >= wanted {
                return Ok(());
            }
            let (missing, asked) = (wanted - answered, self.decision.panel.len());
            self.most = self.reach().min(self.next + missing);
            self.ask(missing);
            while self.decision.panel.len() - asked < missing && self.stand_in(false) {}
            if self.decision.panel.len() == asked {
                return Ok(());
            }
            self.decision.steps.push(format!("replace: {answered} answered"));
            self.vote(patience).await?;
        }
    }

    /// How it stands by the answers so far; nothing is kept.
    async fn standing(&self) -> Result<Option<VerdictReply>, Error> {
        let Some(case) = self.seats.held().1.clone() else { return Ok(None) };
        let cx = self.cx.clone();
        computed(move || score(&cx, case, Vec::new(), None)).await.map(Some)
    }

    /// Resolves doubt that the panel left: further models, another panel, a person.
    async fn resolve(
        &mut self,
        start: Instant,
        soft: Duration,
        patience: Duration,
    ) -> Result<(), Error> {
        let mut done = Done::default();
        loop {
            let Some(verdict) = self.standing().await? else { return Ok(()) };
            let numbers = Numbers {
                trust: verdict.trust,
                second: verdict.second(),
                none: verdict.none(),
                required: self.plan.required,
                clusters: verdict.n_clusters(),
                left: self.plan.voters.saturating_sub(self.next),
                affordable: start.elapsed() < soft && self.plan.goes_on(self.args),
                shared_prior: shared_prior(&self.args.query).is_some(),
            };
            let step = next_step(&numbers, done);
            let more = match step.value {
                Step::Stop => return Ok(()),
                Step::Escalate => {
                    self.decision.escalate = Some(step.why);
                    return Ok(());
                }
                Step::Add => {
                    done.added = true;
                    ADDED
                }
                Step::Recompose => {
                    done.recomposed = true;
                    self.plan.panel
                }
            };
            self.decision.steps.push(format!("{}: {}", step.value.name(), step.why));
            self.most = (self.next + more).min(self.plan.voters);
            self.ask(more);
            self.vote(patience).await?;
        }
    }
}

/// Asks, and gives the reply with its verdict kept.
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
    let start = Instant::now();
    let past = Arc::new(crate::talk::before(cx, args, run, seats)?);
    let wait_ms = args.deadline_ms.unwrap_or(cx.council.get().deadline_ms);
    let soft = Duration::from_millis((wait_ms as f64 * SOFT) as u64);
    let mut voting = Voting {
        cx,
        run,
        args,
        plan,
        seats,
        past,
        asking: JoinSet::new(),
        waiting: Vec::new(),
        next: 0,
        most: plan.panel,
        spares: if plan.goes_on(args) { plan.order[plan.voters..].to_vec() } else { Vec::new() },
        end: start + COUNCIL_MAX,
        decision: plan.decision.clone(),
    };
    voting.ask(plan.first);
    let patience = soft.max(SOFT_MIN);
    voting.vote(patience).await?;
    voting.replace_failed(patience).await?;
    voting.resolve(start, soft, patience).await?;
    let decision = std::mem::take(&mut voting.decision);
    drop(voting);
    round::finish(cx, run, args, plan, decision, seats).await
}

/// Why nobody else need be asked, if that is so.
fn enough(
    cx: &Context,
    args: &Args,
    mut case: Case,
    left: &[String],
    enough: f64,
) -> Result<Option<String>, Error> {
    let kind = to_embed(&case).0;
    case.kind = Some(kind);
    let learned = Learned::of(cx, kind, domain(&args.query))?;
    learned.teach(&mut case);
    let n_options = case.options.len().max(options_of(&case.question).len());
    let found = decide(&case);
    let shape = Shape::of(kind, n_options);
    let unknown = ability(synod_council::PRIOR_MEAN, shape.sigma);
    // A voter counts once, whatever number of names it answers under.
    let mut voters: Vec<String> = Vec::new();
    let votes: Vec<Option<(f64, usize)>> = (case.votes.iter().enumerate())
        .map(|(at, vote)| {
            let group = found.groups.iter().position(|g| g.votes.contains(&at))?;
            let voter = vote.voter();
            let new = !voters.contains(&voter);
            voters.push(voter);
            new.then(|| (vote.known.map_or(unknown, |k| k.0), group))
        })
        .collect();
    if kind == Kind::Long {
        // Claims have no posterior: three of whom two decide alike are enough.
        let answered = votes.iter().flatten().count();
        let alike = votes.iter().flatten().filter(|(_, group)| *group == 0).count();
        let why = (answered >= 3 && alike * 3 >= answered * 2 && enough < 0.9)
            .then(|| format!("{alike} of {answered} say the same"));
        return Ok(why);
    }
    let left: Vec<f64> =
        left.iter().map(|id| learned.model(id).map_or(unknown, |known| known.0)).collect();
    if left.is_empty() || !stop(&votes, &left, shape, enough) {
        return Ok(None);
    }
    let raw = (found.raw * 100.0).round() / 100.0;
    Ok(Some(match found.raw >= enough {
        true => format!("the posterior is {raw}"),
        false => format!("nobody left could change the answer (posterior {raw})"),
    }))
}
