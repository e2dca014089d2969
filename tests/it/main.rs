//! The project's tests beside those of its pure functions: one binary, driven through real doors.
//!
//! `tidy` and `generated` hold the repository to its own rules; `faces` and `faults` drive the real
//! program; `index` holds the engine to its promises; `quality` computes ranking on judged data;
//! `many`, `lost`, `power`, `hang`, `served` and `bound` hold the state of an index to what is
//! promised of it.

mod archive;
#[cfg(target_os = "linux")]
mod bound;
mod chat;
mod commands;
mod council;
mod examples;
mod faces;
mod faults;
mod fresh;
mod generated;
#[cfg(target_os = "linux")]
mod hang;
mod http;
mod index;
mod jobs;
#[cfg(target_os = "linux")]
mod lost;
#[cfg(target_os = "linux")]
mod many;
mod model;
mod obtain;
mod ollama;
#[cfg(target_os = "linux")]
mod outside;
mod peer;
#[cfg(target_os = "linux")]
mod power;
mod program;
mod provider;
mod quality;
mod reload;
mod reply;
mod served;
mod soak;
mod specs;
mod stream;
#[cfg(target_os = "linux")]
mod system;
mod tidy;
mod traps;
mod world;
