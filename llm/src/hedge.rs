//! Hedging: when a model is slow to begin, the next one is asked too, and the first complete answer
//! counts.
//!
//! Invariant: when this returns, nothing of it runs any more.

use crate::ask::{Answer, Ask, Attempt, Event, FellBack, Hear};
use crate::engine::Engine;
use crate::error::{Failure, FailureKind};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

type Runner = BoxFuture<'static, (usize, Result<Answer, Failure>)>;

/// One model that was started.
struct Started {
    model: String,
    at: Instant,
    begun: Arc<AtomicBool>,
    failure: Option<Failure>,
}

/// All of one hedged ask.
struct Race {
    engine: Engine,
    ask: Ask,
    waiting: VecDeque<String>,
    started: Vec<Started>,
    running: FuturesUnordered<Runner>,
    deadline: Instant,
}

impl Race {
    /// Starts the next model, if there is one.
    fn start(&mut self) -> bool {
        let Some(model) = self.waiting.pop_front() else { return false };
        let begun = Arc::new(AtomicBool::new(false));
        let hear: Hear = Arc::new({
            let begun = Arc::clone(&begun);
            move |event: &Event| {
                begun.store(!matches!(event, Event::Void { .. }), Ordering::Relaxed)
            }
        });
        let ask = Ask { model: model.clone(), ..self.ask.clone() };
        let (engine, deadline, at) = (self.engine.clone(), self.deadline, self.started.len());
        self.started.push(Started { model, at: Instant::now(), begun, failure: None });
        let run = async move { (at, engine.ask_heard(ask, deadline, hear).await) };
        self.running.push(Box::pin(run));
        true
    }

    fn begun(&self) -> bool {
        let open = self.started.iter().filter(|started| started.failure.is_none());
        open.into_iter().any(|started| started.begun.load(Ordering::Relaxed))
    }

    /// The answer with what the others did before it.
    fn won(self, winner: usize, mut answer: Answer) -> Answer {
        let mut attempts = Vec::new();
        for (at, started) in self.started.iter().enumerate().filter(|(at, _)| *at != winner) {
            match &started.failure {
                Some(failure) => attempts.extend(failure.attempts.iter().cloned()),
                None => attempts.push(Attempt {
                    model: started.model.clone(),
                    key: String::new(),
                    failure: Some(FailureKind::Cancelled),
                    ms: u64::try_from(started.at.elapsed().as_millis()).unwrap_or(u64::MAX),
                }),
            }
            if at == 0 && answer.model != self.ask.model {
                let failure = started.failure.as_ref();
                let failed = |failure: &Failure| FellBack::Failed(failure.kind.clone());
                answer.fell_back = Some(failure.map_or(FellBack::Slow, failed));
            }
        }
        attempts.append(&mut answer.attempts);
        answer.attempts = attempts;
        answer.asked = self.ask.model;
        answer
    }

    /// The failure of the first, with everything that was tried.
    fn lost(mut self) -> Failure {
        let all: Vec<Attempt> = self
            .started
            .iter()
            .filter_map(|started| started.failure.as_ref())
            .flat_map(|failure| failure.attempts.iter().cloned())
            .collect();
        let first = self.started.first_mut().and_then(|started| started.failure.take());
        let failure =
            first.unwrap_or_else(|| Failure::new(FailureKind::Cancelled, &self.ask.model));
        Failure { attempts: all, ..failure }
    }
}

impl Engine {
    /// Asks; when there is no first token after `soft`, the next of `alternatives` is asked too,
    /// and so on. One that fails is replaced at once. The first complete answer counts and the
    /// others are cancelled.
    ///
    /// # Errors
    /// The failure of the model that was asked, when all fail.
    pub async fn ask_hedged(
        &self,
        ask: Ask,
        alternatives: &[String],
        soft: Duration,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut waiting: VecDeque<String> = VecDeque::from([ask.model.clone()]);
        for model in alternatives {
            if !waiting.contains(model) {
                waiting.push_back(model.clone());
            }
        }
        let engine = self.clone();
        let (started, running) = (Vec::new(), FuturesUnordered::new());
        let mut race = Race { engine, ask, waiting, started, running, deadline };
        race.start();
        let mut patience = Instant::now() + soft;
        let mut armed = true;
        loop {
            tokio::select! {
                Some((at, result)) = race.running.next() => {
                    match result {
                        Ok(answer) => return Ok(race.won(at, answer)),
                        Err(failure) => race.started[at].failure = Some(failure),
                    }
                    armed = true;
                    patience = Instant::now() + soft;
                    if !race.start() && race.running.is_empty() {
                        return Err(race.lost());
                    }
                }
                () = sleep_until(patience), if armed && !race.waiting.is_empty() => {
                    // One that has begun is waited for.
                    armed = !race.begun();
                    if armed {
                        race.start();
                    }
                    patience = Instant::now() + soft;
                }
            }
        }
    }
}
