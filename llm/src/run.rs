//! One ask on its way: model after model, key after key, until there is an answer or no sense in
//! going on.
//!
//! The decisions are those of `retry` and `course`; this file carries them out. Invariant: what may
//! have been billed is charged, also for a call that failed or that nobody waits for any more.

use crate::ask::{Answer, Ask, Attempt, Event, Hear, Usage};
use crate::breaker::Outcome;
use crate::budget::{self, Claim};
use crate::catalog::{Key, Model, Price, Provider};
use crate::clock;
use crate::course::Course;
use crate::dialect::Prompt;
use crate::draft::Whole;
use crate::engine::{Engine, Table, held, keys};
use crate::error::{Failure, FailureKind, Fault};
use crate::exchange::{Exchange, Stage};
use crate::lane::Lane;
use crate::quirk::Quirks;
use crate::replay::Row;
use crate::retry::{self, Standing, Step};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Bytes of a token of input, at the very most: what is over the window even so is not sent.
const TOKEN_BYTES_MAX: usize = 6;

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// From 0 to 1; without randomness the middle.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

/// An id of a reservation.
fn unguessable() -> Result<String, FailureKind> {
    let halves = getrandom::u64().and_then(|a| Ok((a, getrandom::u64()?)));
    // Without randomness two processes might take the same.
    halves.map(|(a, b)| format!("{a:016x}{b:016x}")).map_err(|_| FailureKind::Books)
}

/// A reserved amount. What is dropped unsettled costs what may have been billed until then.
struct Reservation {
    engine: Engine,
    claim: Claim,
    price: Option<Price>,
    /// Tokens that may have been billed.
    input: u64,
    output_bytes: u64,
    /// It thought, and of how much nobody knows until it is counted.
    thought: bool,
    /// What the provider has counted in all.
    counted: Option<Usage>,
    open: bool,
}

impl Reservation {
    async fn new(engine: &Engine, way: &Way<'_>) -> Result<Self, FailureKind> {
        let Way { table, ask, model, provider, .. } = *way;
        let claim = Claim {
            provider: provider.name.clone(),
            model: model.id.clone(),
            session: ask.budgets.session.clone(),
            bound: budget::bound_of(ask, model, provider),
            call_max: ask.budgets.call_usd_micros,
            provider_max: provider.monthly_usd_micros,
            limits: table.catalog.limits,
            at_s: clock::now_s(),
            reservation: None,
        };
        engine.ledger().reserve(&claim)?;
        let mut made = Reservation {
            engine: engine.clone(),
            claim,
            price: model.price.clone(),
            input: 0,
            output_bytes: 0,
            thought: false,
            counted: None,
            open: true,
        };
        made.share(way).await?;
        Ok(made)
    }

    /// Reserves it in the books that other processes share, if there are such.
    async fn share(&mut self, way: &Way<'_>) -> Result<(), FailureKind> {
        let reserve = self.engine.reserver().filter(|_| self.claim.is_shared());
        let Some(reserve) = reserve else { return Ok(()) };
        let left = way.deadline.saturating_duration_since(Instant::now());
        let wanted = self.claim.wanted(unguessable()?, left);
        // From here on it may be there, whether or not anybody waits for the answer.
        self.claim.reservation = Some(wanted.id.clone());
        let reserved = timeout_at(way.turn_by, reserve(&wanted)).await;
        let refused = matches!(reserved, Ok(Err(_)));
        if refused {
            self.claim.reservation = None;
        }
        reserved.unwrap_or(Err(FailureKind::Timeout))
    }

    /// Ends it with what an answer cost; nothing when the price is unknown.
    fn settle(mut self, whole: &Whole) -> Option<u64> {
        let cost = match (&self.price, &whole.usage) {
            (Some(price), Some(usage)) => Some(budget::cost(price, usage)),
            // Not counted is not free.
            _ => self.claim.bound,
        };
        self.close(cost.unwrap_or_default());
        cost
    }

    /// What may have been billed until now.
    fn billed(&self) -> u64 {
        let Some(price) = &self.price else { return 0 };
        match &self.counted {
            Some(usage) => budget::cost(price, usage),
            None if self.thought => self.claim.bound.unwrap_or_default(),
            None => budget::bound(price, self.input, self.output_bytes.div_ceil(3)),
        }
    }

    fn close(&mut self, cost: u64) {
        if std::mem::take(&mut self.open) {
            let charge = self.engine.ledger().settle(&self.claim, cost, clock::now_s());
            if let Some(charge) = charge {
                self.engine.charged(&charge);
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let cost = self.billed();
        self.close(cost);
    }
}

/// What one try goes by.
#[derive(Clone, Copy)]
struct Way<'a> {
    table: &'a Table,
    ask: &'a Ask,
    model: &'a Model,
    provider: &'a Provider,
    deadline: Instant,
    /// The end of waiting for its turn.
    turn_by: Instant,
    hear: &'a Hear,
}

/// How one try ended.
struct Tried {
    key: String,
    /// No call was made: every breaker is open.
    open: bool,
    result: Result<(Whole, Option<u64>), Fault>,
    first_token: Option<Instant>,
    /// What a transcript says that it took.
    recorded_ms: Option<u64>,
}

impl Tried {
    fn failed(key: &str, fault: Fault) -> Self {
        Tried {
            key: key.to_owned(),
            open: false,
            result: Err(fault),
            first_token: None,
            recorded_ms: None,
        }
    }
}

/// A key of a model, with its lane.
struct Choice<'a> {
    key: Option<&'a Key>,
    lane: Arc<Lane>,
}

impl Choice<'_> {
    fn label(&self) -> &str {
        self.key.map_or("", |key| key.label.as_str())
    }
}

/// No key's breaker lets a call through.
struct Refused {
    key: String,
    kind: FailureKind,
}

/// Keys that failed in this ask, with the reason.
type Burnt = BTreeMap<String, FailureKind>;

impl Engine {
    /// Runs an ask to its end, without the cache.
    pub(crate) async fn run(
        &self,
        table: Arc<Table>,
        ask: Ask,
        deadline: Instant,
        hear: Hear,
    ) -> Result<Answer, Failure> {
        let start = Instant::now();
        let spent = |name: &str| table.catalog.provider(name).is_some_and(|p| self.month_spent(p));
        let course = Course::new(&table.catalog, &ask, &spent);
        let mut course = course.map_err(|kind| Failure::new(kind, &ask.model))?;
        let (mut attempts, mut burnt) = (Vec::new(), Burnt::new());
        // Of this model, and of all.
        let mut tries = (0, 0);
        let mut real = None;
        loop {
            let model = course.model;
            let Some(provider) = table.catalog.provider(&model.provider) else {
                return Err(Failure::new(FailureKind::UnknownModel, &model.id));
            };
            let (table, ask, hear) = (&*table, &ask, &hear);
            let begun = Instant::now();
            let turn_by = turn_by(&course, begun, deadline);
            let way = Way { table, ask, model, provider, deadline, turn_by, hear };
            let tried = self.attempt(&way, &burnt).await;
            tries = (tries.0 + 1, tries.1 + 1);
            let failure = tried.result.as_ref().err().map(|fault| fault.kind.clone());
            let (open, key) = (tried.open, tried.key.clone());
            let quirks = self.quirks(provider, model);
            let ms = ms(begun.elapsed());
            attempts.push(Attempt { model: model.id.clone(), key: key.clone(), failure, ms });
            let fault = match answer(&way, &course, tried, start, &mut attempts, quirks) {
                Ok(answer) => {
                    self.answered(&way, &answer).await;
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            self.log(&way, &fault);
            burnt.insert(key, fault.kind.clone());
            let standing = self.standing(&way, &course, &burnt, tries, open);
            let standing = Standing { retry_after: fault.retry_after, ..standing };
            match retry::next(&standing, &fault.kind, Instant::now(), deadline, jitter()) {
                Step::Retry { after } => {
                    burnt.retain(|_, kind| lasting(kind));
                    real = Some((model, fault));
                    sleep(after).await;
                }
                Step::OtherKey => {
                    // Another key is no second try: there are as many of them as keys.
                    tries.0 -= 1;
                    real = Some((model, fault));
                }
                Step::Fallback { model: next } => {
                    course.go(&next, &fault.kind);
                    real = Some((model, fault));
                    burnt.clear();
                    tries.0 = 0;
                }
                Step::GiveUp => {
                    // That the time is over is no news; what the time went into is.
                    let late = Instant::now() >= deadline;
                    let said = real.filter(|_| late).unwrap_or((model, fault));
                    let failure = Failure::new(said.1.kind, &said.0.id).noted(said.1.note);
                    return Err(Failure { attempts, ..failure });
                }
            }
        }
    }

    /// Where an ask stands after a failure.
    fn standing<'a>(
        &self,
        way: &Way,
        course: &'a Course,
        burnt: &Burnt,
        (tries, tries_all): (u32, u32),
        open: bool,
    ) -> Standing<'a> {
        Standing {
            tries,
            tries_all,
            open,
            retry_after: None,
            other_key: self.other_key(way, burnt),
            fallback: course.fallback(),
            context_fallback: course.context_fallback(),
            filter_fallback: course.filter_fallback(),
        }
    }

    fn choices<'a>(&self, way: &Way<'a>) -> Vec<Choice<'a>> {
        let mut out: Vec<Choice> = keys(way.provider)
            .into_iter()
            .map(|key| Choice { key, lane: self.lane(way.provider, key, way.model) })
            .collect();
        if out.len() > 1 {
            let n = out.len();
            out.rotate_left(self.rotate() % n);
        }
        out
    }

    fn other_key(&self, way: &Way, burnt: &Burnt) -> bool {
        if way.provider.keys.len() < 2 {
            return false;
        }
        let now = Instant::now();
        let ready = |c: &Choice| !burnt.contains_key(c.label()) && c.lane.admits(now);
        self.choices(way).iter().any(ready)
    }

    /// The key that waits least among those that did not fail; else why there is none.
    fn choose<'a>(&self, way: &Way<'a>, burnt: &Burnt) -> Result<Choice<'a>, Refused> {
        let now = Instant::now();
        let tokens = tokens(way);
        let choices = self.choices(way);
        let (ready, open): (Vec<_>, Vec<_>) =
            choices.into_iter().partition(|choice| choice.lane.admits(now));
        let fresh = ready.into_iter().filter(|choice| !burnt.contains_key(choice.label()));
        if let Some(choice) = fresh.min_by_key(|choice| choice.lane.press(tokens, now)) {
            return Ok(choice);
        }
        let refusals = open.iter().map(|choice| (choice.lane.refusal(now), choice.label()));
        // The one that opens first says how long a wait would be.
        let soonest = refusals.min_by_key(|(kind, _)| match kind {
            FailureKind::RateLimit { retry_after: Some(after) } => *after,
            _ => Duration::MAX,
        });
        self.measure(&way.provider.name, |metrics| metrics.refused += 1);
        let (kind, label) = soonest.unwrap_or((FailureKind::Auth, ""));
        Err(Refused { key: label.to_owned(), kind })
    }

    /// One try of one model.
    async fn attempt(&self, way: &Way<'_>, burnt: &Burnt) -> Tried {
        let choice = match self.choose(way, burnt) {
            Ok(choice) => choice,
            Err(Refused { key, kind }) => {
                let fault = Fault::new(kind, "its breaker is open");
                return Tried { open: true, ..Tried::failed(&key, fault) };
            }
        };
        let label = choice.label().to_owned();
        if way.ask.input_bytes() / TOKEN_BYTES_MAX > way.model.window_tokens as usize {
            let fault = Fault::new(FailureKind::Context, "longer than `window_tokens`; not sent");
            return Tried::failed(&label, fault);
        }
        let reservation = match Reservation::new(self, way).await {
            Ok(reservation) => reservation,
            Err(kind) => return Tried::failed(&label, Fault::new(kind, "not sent")),
        };
        let turn = choice.lane.turn(&way.ask.claim, tokens(way), way.turn_by).await;
        let turn = match turn {
            Ok(turn) => turn,
            // Our own limits and breakers: the server has seen nothing.
            Err(fault) => return Tried { open: true, ..Tried::failed(&label, fault) },
        };
        self.call(way, &choice, turn, reservation).await
    }

    /// One call, and what becomes of it in every book.
    async fn call(
        &self,
        way: &Way<'_>,
        choice: &Choice<'_>,
        mut turn: crate::lane::Turn,
        mut reservation: Reservation,
    ) -> Tried {
        let begun = Instant::now();
        turn.sent();
        self.measure(&way.provider.name, |metrics| metrics.calls += 1);
        let (mut first_token, mut recorded_ms) = (None, None);
        let result = match way.table.transcripts.get(&way.provider.name) {
            Some(known) => {
                known.answer(&way.model.name, way.ask.question()).map(|(whole, took)| {
                    recorded_ms = Some(took);
                    tell(way, Stage::Begun);
                    tell(way, Stage::Text(&whole.text));
                    whole
                })
            }
            None => self.exchange(way, choice, &mut reservation, &mut first_token).await,
        };
        let result = result.map_err(|fault| keyless(way.provider, fault));
        let now = Instant::now();
        match &result {
            Ok(whole) => {
                let usage = whole.usage.unwrap_or_default();
                let used = whole.usage.map(|usage| usage.input.saturating_add(usage.output));
                turn.end(Outcome::Well, used);
                let first = first_token.map_or(ms(now - begun), |at| ms(at - begun));
                let took = recorded_ms.unwrap_or(ms(now - begun));
                let provider = &way.provider.name;
                self.measure(provider, |metrics| metrics.answered(took, first, &usage));
            }
            Err(fault) => {
                let used =
                    reservation.counted.map(|usage| usage.input.saturating_add(usage.output));
                turn.end(outcome(&fault.kind, now >= way.deadline), used);
                let kind = fault.kind.name();
                self.measure(&way.provider.name, |m| *m.failures.entry(kind).or_default() += 1);
                if first_token.is_some() {
                    (way.hear)(&Event::Void { model: way.model.id.clone() });
                }
                let begun = first_token.is_some() || reservation.counted.is_some();
                if !maybe_billed(fault, begun) {
                    reservation.input = 0;
                }
            }
        }
        let result = result.map(|whole| {
            let cost = reservation.settle(&whole);
            (whole, cost)
        });
        Tried { key: choice.label().to_owned(), open: false, result, first_token, recorded_ms }
    }

    async fn exchange(
        &self,
        way: &Way<'_>,
        choice: &Choice<'_>,
        reservation: &mut Reservation,
        first_token: &mut Option<Instant>,
    ) -> Result<Whole, Fault> {
        let wire = way.table.wires.get(&way.provider.name);
        let (Some(rules), Some(wire)) = (way.provider.dialect.rules(), wire) else {
            return Err(Fault::new(FailureKind::Invalid, "its provider has no server"));
        };
        let Way { ask, model, provider, deadline, .. } = *way;
        let secret = choice.key.map(|key| key.secret.as_str());
        let mut hear = |stage: Stage| {
            match &stage {
                Stage::Sent => reservation.input = ask.input_tokens_bound(),
                Stage::Begun => *first_token = Some(Instant::now()),
                Stage::Thought => reservation.thought = true,
                Stage::Text(text) => reservation.output_bytes += text.len() as u64,
                Stage::Counted(usage) => reservation.counted = Some(*usage),
            }
            tell(way, stage);
        };
        let known = self.quirks(provider, model);
        let mut quirks = known;
        loop {
            let (url, stream) = (provider.url.as_str(), provider.stream);
            let prompt = Prompt { ask, model, url, stream, quirks };
            let exchange = Exchange { rules, wire, provider, prompt, secret, deadline };
            let result = exchange.run(&mut hear).await;
            let fault = result.as_ref().err();
            let learned = fault.and_then(|fault| quirks.learned(fault, ask, provider.dialect));
            let Some(learned) = learned else {
                if result.is_ok() && quirks != known {
                    self.learn(provider, model, quirks);
                }
                return result;
            };
            // Nothing was billed for the refusal, and it is remembered once there is an answer.
            quirks = learned;
        }
    }

    /// Keeps an answer of a server in the record, if there is one.
    async fn answered(&self, way: &Way<'_>, answer: &Answer) {
        let recorder = held(&self.inside.recorder).clone();
        let Some(recorder) = recorder else { return };
        if way.table.transcripts.contains_key(&way.provider.name) {
            return;
        }
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        let counted = answer.usage.output > 0;
        let row = Row {
            model: way.model.name.clone(),
            vendor: known(&way.model.vendor),
            family: known(&way.model.family),
            question: way.ask.question().to_owned(),
            text: answer.text.clone(),
            finish: Some(answer.finish.name().to_owned()),
            input_tokens: counted.then_some(answer.usage.input),
            output_tokens: counted.then_some(answer.usage.output),
            latency_ms: Some(answer.latency_ms),
        };
        let secrets = way.table.secrets.clone();
        // A disk may take its time, and the runtime must not wait for it.
        let written = tokio::task::spawn_blocking(move || recorder.append(&row, &secrets)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "an answer was not recorded");
        }
    }

    fn log(&self, way: &Way, fault: &Fault) {
        let said = fault.logged(&way.table.secrets);
        let (model, kind) = (&way.model.id, fault.kind.name());
        tracing::debug!(%model, kind, note = %fault.note, %said, "a model was asked in vain");
    }
}

/// A key that is refused as such stays refused.
fn lasting(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::Auth | FailureKind::Quota)
}

/// Who has somebody else to ask does not spend all of his time in a queue.
fn turn_by(course: &Course, now: Instant, deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(now);
    now + if course.fallback().is_some() { left / 2 } else { left }
}

/// Tokens that a call takes from the limits, at most.
fn tokens(way: &Way) -> u64 {
    let output = way.ask.output_tokens_max.min(way.model.output_tokens_max);
    way.ask.input_tokens_bound() + u64::from(output)
}

fn tell(way: &Way, stage: Stage) {
    let model = || way.model.id.clone();
    match stage {
        Stage::Sent | Stage::Thought | Stage::Counted(_) => {}
        Stage::Begun => (way.hear)(&Event::Begun { model: model() }),
        Stage::Text(text) => {
            (way.hear)(&Event::Text { model: model(), delta: text.to_owned() });
        }
    }
}

/// A refusal of a call that went out without a key names the variables that should hold one.
fn keyless(provider: &Provider, fault: Fault) -> Fault {
    let unset = &provider.keys_unset;
    if fault.kind != FailureKind::Auth || !provider.keys.is_empty() || unset.is_empty() {
        return fault;
    }
    let verb = if unset.len() == 1 { "is" } else { "are" };
    Fault { note: format!("`{}` {verb} not set", unset.join("`, `")), ..fault }
}

/// Whether a failure tells something about the server. A refusal of the question is good service,
/// and a deadline of the caller's says nothing.
fn outcome(kind: &FailureKind, late: bool) -> Outcome {
    match kind {
        FailureKind::Timeout if late => Outcome::Dropped,
        FailureKind::RateLimit { .. }
        | FailureKind::Quota
        | FailureKind::Auth
        | FailureKind::Timeout
        | FailureKind::Connect
        | FailureKind::Server
        | FailureKind::Malformed
        | FailureKind::Truncated => Outcome::Failed(kind.clone()),
        _ => Outcome::Well,
    }
}

/// Whether a provider may bill a call that failed: one that it began to answer, or of which nobody
/// knows. A refusal is not billed.
fn maybe_billed(fault: &Fault, begun: bool) -> bool {
    let unknown = matches!(
        fault.kind,
        FailureKind::Timeout
            | FailureKind::Truncated
            | FailureKind::Empty { .. }
            | FailureKind::Malformed
    );
    unknown || begun
}

/// The answer of a try that is one.
fn answer(
    way: &Way,
    course: &Course,
    tried: Tried,
    start: Instant,
    attempts: &mut Vec<Attempt>,
    quirks: Quirks,
) -> Result<Answer, Fault> {
    let (whole, cost) = tried.result?;
    let model = way.model;
    let version = whole.version.unwrap_or_else(|| model.name.clone());
    let latency_ms = tried.recorded_ms.unwrap_or_else(|| ms(start.elapsed()));
    let ignored = way.provider.dialect.rules().map(|rules| {
        let ignored = rules.ignored(way.ask).into_iter();
        ignored.chain(quirks.ignored(way.ask)).collect::<Vec<_>>()
    });
    Ok(Answer {
        model: model.id.clone(),
        asked: way.ask.model.clone(),
        vendor: model.vendor.clone(),
        family: model.family.clone(),
        other_version: model.version.as_ref().is_some_and(|pinned| *pinned != version),
        version,
        text: whole.text,
        finish: whole.finish,
        usage: whole.usage.unwrap_or_default(),
        cost_usd_micros: cost,
        latency_ms,
        first_token_ms: tried.first_token.map_or(latency_ms, |at| ms(at - start)),
        cached: false,
        attempts: std::mem::take(attempts),
        fell_back: course.fell_back(),
        ignored: ignored.unwrap_or_default(),
    })
}
