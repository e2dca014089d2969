//! The project's tests beside those of its pure functions: one binary, driven through real doors.
//!
//! `tidy` and `generated` hold the repository to its own rules; `faces` and `faults` drive the real
//! program; `index` holds the engine to its promises; `quality` computes ranking on judged data.

mod archive;
mod chat;
mod commands;
mod council;
mod examples;
mod faces;
mod faults;
mod fresh;
mod generated;
mod http;
mod index;
mod jobs;
mod model;
mod obtain;
mod ollama;
mod peer;
mod program;
mod provider;
mod quality;
mod soak;
mod specs;
mod stream;
mod tidy;
mod traps;
mod world;
