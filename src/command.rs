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
pub mod tool;

use std::io::Write;

/// Prints to stdout; a reader that went away ends the program quietly, as with other tools.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if done.is_err() {
        std::process::exit(0);
    }
}

/// Prints a line to stderr.
pub fn note(text: &str) {
    // Nobody reads it: nothing to be done.
    let _ = writeln!(std::io::stderr(), "{text}");
}
