//! The process: the only code that knows MCP, HTTP, the command line and the environment.
//!
//! In reading order: how a call comes in (`stdio`, `http`, `mcp`, `rest`, `sse`), the one door it
//! passes (`dispatch`), what it stands on (`world`, `config`, `reload`), who writes (`writer`,
//! `schedule`, `job`), and what people type (`cli` and the commands it calls).

mod background;
mod beat;
mod catalog;
pub mod cli;
pub mod client_config;
mod command;
pub mod config;
mod crew;
pub mod dispatch;
pub mod doc;
pub mod embedder;
mod entrance;
pub mod eval;
mod extract;
pub mod fault;
mod fetch;
pub mod http;
mod hub;
mod job;
mod log;
pub mod mcp;
pub mod memory;
mod metric;
mod obtain;
mod openapi;
mod pace;
mod page;
mod power;
mod progress;
mod prompt;
mod reload;
mod rest;
mod schedule;
mod socket;
pub mod spending;
mod sse;
mod stdio;
mod stream;
mod task;
mod unfit;
mod up;
mod upkeep;
mod webhook;
pub mod world;
mod writer;

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| d.as_millis() as i64)
}
