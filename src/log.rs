//! Structured logs to stderr; stdout belongs to the protocol and to replies.

use crate::config::Log;
use tracing_subscriber::EnvFilter;

/// What a target may be logged at.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Whether a text is a filter. A word that is no level would be taken for a target, and nothing
/// else logged.
pub fn is_filter(text: &str) -> bool {
    let level = |word: &str| LEVELS.iter().any(|known| word.trim().eq_ignore_ascii_case(known));
    let part = |part: &str| level(part.rsplit_once('=').map_or(part, |(_, word)| word));
    let mut parts = text.split(',').filter(|part| !part.trim().is_empty());
    // Filters of spans have signs of their own.
    EnvFilter::try_new(text).is_ok() && (text.contains('[') || parts.all(part))
}

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
