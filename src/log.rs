//! Structured logs to stderr; stdout belongs to the protocol and to replies.

use crate::config::Log;
use tracing_subscriber::EnvFilter;

/// Starts logging; a second start in one process changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if log.json {
        builder.json().try_init().is_ok()
    } else {
        builder.with_target(false).with_ansi(false).try_init().is_ok()
    };
    if !started {
        tracing::debug!("logging was on already");
    }
}
