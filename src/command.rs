//! What the command line does, one file per family of commands.

pub mod admin;
pub mod archive;
pub mod around;
pub mod client;
pub mod council;
pub mod eval;
pub mod index;
pub mod init;
pub mod model;
pub mod spec;
pub mod state;
pub mod tool;

use crate::cli::{Command, Failure, ModelAction, Session, TokenAction};
use crate::config::Origin;
use crate::fault::{self, Fault};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use synod_index::Index;

/// Prints to stdout; where that takes nothing, the program ends.
pub fn say(text: &str) {
    say_bytes(text.as_bytes());
}

/// The same for what need not be text.
pub fn say_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let done = match out.is_terminal() {
        true => out.write_all(harmless(&String::from_utf8_lossy(bytes)).as_bytes()),
        false => out.write_all(bytes),
    };
    let done = done.and_then(|()| out.flush());
    if let Err(error) = done {
        unsaid(&error);
    }
}

/// Ends the program whose words stdout does not take: quietly where their reader went away, as with
/// other tools, else with the reason.
pub fn unsaid(error: &std::io::Error) -> ! {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    note(&format!("synod: cannot write to stdout: {error}"));
    std::process::exit(1);
}

/// Prints a line to stderr.
pub fn note(text: &str) {
    let mut out = std::io::stderr().lock();
    let text = if out.is_terminal() { harmless(text) } else { Cow::Borrowed(text) };
    // Nobody reads it: nothing to be done.
    let _ = writeln!(out, "{text}");
}

/// A text as it may go to a terminal: what steers one is spelled out, since notes, names and
/// answers hold what others wrote. This program sends nothing of the kind itself.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // An end of a line as Windows has it.
            '\r' if chars.peek() == Some(&'\n') => {}
            c if steers(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// How this program is called from a shell: by its name where the path leads to one, else by where
/// it lies, as after `cargo run`.
fn called() -> String {
    let file = format!("synod{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).any(|folder| folder.join(&file).is_file());
    match std::env::current_exe() {
        Ok(here) if !known => quoted(&here.display().to_string()),
        _ => "synod".to_owned(),
    }
}

/// A command for the person to type, `words` as a shell reads them: what is about this data
/// directory, this configuration and these rights goes along.
pub fn typed(session: &Session, words: &str) -> String {
    let flags = flags(session).into_iter().map(|flag| format!(" {}", quoted(&flag)));
    format!("{} {words}{}", called(), flags.collect::<String>())
}

/// The flags with which another process does what this one does.
pub fn flags(session: &Session) -> Vec<String> {
    let common = &session.common;
    let mut out = Vec::new();
    if common.data.is_some() {
        out.extend(["--data".to_owned(), session.data.display().to_string()]);
    }
    if let Some(config) = &common.config {
        // The other one is called elsewhere.
        let config = std::path::absolute(config).unwrap_or_else(|_| config.clone());
        out.extend(["--config".to_owned(), config.display().to_string()]);
    }
    let rights = [("--read-only", common.read_only), ("--allow-write", common.allow_write)];
    out.extend(rights.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag.to_owned()));
    out
}

/// A word as a shell reads it whole.
fn quoted(word: &str) -> String {
    let plain = |each: char| each.is_alphanumeric() || "_-+=:,./@%".contains(each);
    let plain_here = |each: char| plain(each) || cfg!(windows) && each == '\\';
    match word {
        word if !word.is_empty() && word.chars().all(plain_here) => word.to_owned(),
        word if cfg!(windows) => format!("\"{word}\""),
        word => format!("'{}'", word.replace('\'', "'\\''")),
    }
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

/// What a command would change; nothing for those that read, and for those that pass the door,
/// which sees to it itself. To look whether files changed, as each search does, is no change.
fn changes(command: &Command) -> Option<&'static str> {
    match command {
        Command::Up(args) if !args.paths.is_empty() => Some("`synod up FOLDER` adds a source"),
        Command::Init(args) if !args.dry_run => Some("`synod init` writes a configuration"),
        Command::Index(args) if args.remove.is_some() => {
            Some("`synod index --remove` removes a source")
        }
        Command::Index(args) if !args.paths.is_empty() => {
            Some("`synod index FOLDER` adds a source")
        }
        Command::Import(_) => Some("`synod import` adds documents"),
        Command::Doctor(args) if args.repair => Some("`synod doctor --repair` mends"),
        Command::Model(args) => match args.action {
            ModelAction::Install { .. } => Some("`synod model install` adds a model"),
            ModelAction::Pull { .. } => Some("`synod model pull` adds a model"),
            ModelAction::Rollback => Some("`synod model rollback` changes what answers"),
            ModelAction::Spaces | ModelAction::List | ModelAction::Verify { .. } => None,
        },
        Command::Token(args) => match args.action {
            TokenAction::Add { .. } => Some("`synod token add` makes a token"),
            TokenAction::Revoke { .. } => Some("`synod token revoke` revokes a token"),
            TokenAction::List => None,
        },
        _ => None,
    }
}

/// Refuses what would change something where nothing may be changed.
///
/// # Errors
/// `forbidden`, with where that was said.
pub fn may_run(session: &Session, command: &Command) -> Result<(), Failure> {
    if !session.loaded.config.access.read_only {
        return Ok(());
    }
    let Some(what) = changes(command) else { return Ok(()) };
    let file = session.loaded.file.as_ref();
    let said = match session.loaded.origins.get("access.read_only") {
        Some(Origin::Flag) => "run it without `--read-only`".to_owned(),
        Some(Origin::Environment(name)) => format!("{name} says so"),
        _ => {
            let file = file.map(|file| format!(" of `{}`", file.display())).unwrap_or_default();
            format!("`access.read_only`{file} says so")
        }
    };
    let text = format!("{what}, and in read-only mode nothing is changed; {said}");
    Err(Fault::new(fault::FORBIDDEN, text).into())
}

/// A failure of the disk below the data directory, with what to do and where; others as they are.
pub fn located(failure: Failure, data: &Path) -> Failure {
    // That is about a folder of the person's.
    if matches!(failure.downcast_ref(), Some(synod_index::Error::Source(_))) {
        return failure;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_steers_a_terminal() {
        let hostile = "a\u{1b}]0;pwned\u{7}b\u{9b}31mc\rd\r\n\te\u{7f}";
        assert_eq!(harmless(hostile), "a\\u{1b}]0;pwned\\u{7}b\\u{9b}31mc\\rd\n\te\\u{7f}");
        for plain in ["", "Straße\n\tz\u{301} 🏠\n"] {
            assert!(matches!(harmless(plain), Cow::Borrowed(text) if text == plain));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_a_quoted_word_whole() {
        let odd = "a b 'c' \"d\" $e `f` \\ * ~ \n;";
        for word in ["plain/path-1.toml", "", "~/x", odd] {
            let line = format!("printf %s {}", super::quoted(word));
            let said = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), word);
        }
        assert_eq!(super::quoted("plain/path-1.toml"), "plain/path-1.toml");
    }
}
