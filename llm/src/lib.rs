//! The engine that asks language models.
//!
//! Rows say who can be asked; dialects say how; one loop decides what to do when it fails, inside
//! limits, budgets and a deadline. Knows nothing of votes, sessions or files but transcripts.
//! Invariant: an answer is complete, and it names the model that really gave it.

mod ask;
mod breaker;
mod bucket;
mod budget;
mod cache;
mod catalog;
mod clock;
mod course;
mod dialect;
mod draft;
mod engine;
mod error;
mod exchange;
mod health;
mod hedge;
mod known;
mod lane;
mod metric;
mod place;
mod quirk;
mod replay;
mod retry;
mod run;
mod stream;
mod wire;

pub use ask::{
    Answer, Ask, Attempt, Budgets, Event, FellBack, Finish, Hear, Message, Policy, Role, Usage,
};
pub use breaker::BreakerState;
pub use budget::{Charge, Spent, Wanted};
pub use catalog::{Catalog, Key, Limits, Model, Price, Provider};
pub use dialect::Dialect;
pub use engine::{Engine, OnCharge, OnReserve};
pub use error::{Error, Failure, FailureKind};
pub use health::Health;
pub use known::{KNOWN, Known};
pub use lane::{LaneState, Queued};
pub use metric::{LATENCY_BORDERS_MS, Metrics, ProviderMetrics};
pub use place::{Claim, PRIORITY};
pub use replay::{Recorded, Recorder, Row, Transcripts};

#[cfg(test)]
mod catalog_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod script_tests;
