//! The engine that agrees: from several answers to one, how far it can be trusted, and who
//! dissents.
//!
//! Pure: no clock, no randomness, no model is asked here; what is known of models comes in as
//! values. The science and every constant: docs/guides/council.md. Invariant: the same votes give
//! the same verdict.

mod calibrate;
mod case;
mod choice;
pub mod claim;
pub mod cluster;
mod extract;
mod kind;
mod lot;
pub mod measure;
mod negation;
mod number;
mod panel;
mod posterior;
mod reliability;
mod strongest;
pub mod text;
pub mod verdict;

pub use calibrate::{Calibration, Label, table};
pub use extract::{Abstained, Answer, How, OPTIONS_MAX, extract, options_of, refuses, spoken};
pub use kind::{Kind, classify};
pub use lot::Lots;
pub use number::{Fraction, Unit, parse as parse_number};
pub use panel::stop;
pub use posterior::{Posterior, Shape, Voter, ability, logistic, logit, posterior};
pub use reliability::{
    Counts, FIT_QUESTIONS_MIN, FIT_VOTERS_MIN, PRIOR_MEAN, PRIOR_WEIGHT, Past, Reliability,
    fit_labels, fit_votes, reliability,
};
pub use strongest::{Strength, strongest};
pub mod debate;
pub mod gate;
pub mod head;
pub mod health;
pub mod judge;
pub mod plan;
pub mod witness;
