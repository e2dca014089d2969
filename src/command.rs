//! What the command line does, one file per family of commands.

pub mod admin;
pub mod archive;
pub mod client;
pub mod council;
pub mod eval;
pub mod index;
pub mod init;
pub mod model;
pub mod spec;
pub mod state;
pub mod tool;

use crate::cli::{Failure, Session};
use crate::fault::{self, Fault};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use synod_index::Index;

/// Prints to stdout; a reader that went away ends the program quietly, as with other tools.
pub fn say(text: &str) {
    say_bytes(text.as_bytes());
}

/// The same for what need not be text.
pub fn say_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let done = out.write_all(bytes).and_then(|()| out.flush());
    if done.is_err() {
        std::process::exit(0);
    }
}

/// Prints a line to stderr.
pub fn note(text: &str) {
    // Nobody reads it: nothing to be done.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The index below `data`, to be written within the limits of the configuration.
///
/// # Errors
/// As [`Index::open`].
pub fn open_index(session: &Session, data: &Path) -> Result<Arc<Index>, synod_index::Error> {
    let index = Index::open(data)?;
    index.set_memory(session.loaded.config.limits.memory());
    Ok(index)
}

/// A failure of the disk below the data directory, with what to do and where; others as they are.
pub fn located(failure: Failure, data: &Path) -> Failure {
    let why = match (failure.downcast_ref(), failure.downcast_ref(), failure.downcast_ref()) {
        (Some(synod_index::Error::ReadOnly), _, _) => Some(""),
        (_, Some(synod_store::Error::ReadOnly), _) => Some(""),
        (Some(error), _, _) => synod_index::Error::disk(error),
        (_, Some(error), _) if synod_store::Error::is_damage(error) => Some(fault::MEND_STORE),
        (_, Some(error), _) => synod_store::Error::disk(error),
        (_, _, Some(Fault { code: fault::STORAGE, .. })) => Some(""),
        _ => None,
    };
    let text = failure.to_string();
    let within = text.contains("cannot use") || why.is_some();
    let why = why.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
    let named = text.contains(&*data.to_string_lossy());
    if !within || named && why.is_empty() {
        return failure;
    }
    let place = if named {
        String::new()
    } else {
        format!(" (the data directory is `{}`)", data.display())
    };
    format!("{text}{why}{place}").into()
}
