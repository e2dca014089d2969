//! `synod client-config CLIENT`: Synod's entry in a client's configuration, with preview and undo.
//!
//! Every client keeps its servers under another key, in another file, with other spellings, and a
//! hand-made mistake there silently loses all the servers of the user. So the entry is written
//! here, by splicing text: what is not ours is never printed anew.
//!
//! It does not know the command line, the configuration of Synod, or the environment: launch and
//! places come in as values. Only `file` touches the disk.
//!
//! Invariant: outside of the entry `synod`, a file means the same before and after, and a secret is
//! never written, only the name of the variable that holds it. `merge` checks the first on every
//! edit, `entry` refuses what would break the second.

mod client;
mod diff;
mod entry;
mod file;
mod json_text;
mod merge;
mod toml_text;

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use client::{CLIENTS, Client, MOVING, Os, Places, find};
pub use diff::diff;
pub use entry::{awaited, endpoint, placeholder, secret_of_url};
pub use file::{apply, backup_path, follow, marker_path, read, undo};

/// The name of our entry in every client.
pub const OWN: &str = "synod";

/// How the client reaches Synod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// The client starts `command` and speaks over its pipes. A value of `env` that is exactly
    /// `${NAME}` refers to the client's own environment and is written in the client's spelling.
    Stdio { command: String, args: Vec<String>, env: Vec<(String, String)> },
    /// The client calls `url`; `token_env` names the variable that holds the bearer token.
    Http { url: String, token_env: Option<String> },
}

/// What a change does; decides what `apply` keeps beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file had no entry of ours (or did not exist).
    Add,
    /// The file had an entry of ours, in which our keys are set anew.
    Replace,
    /// Undo: the file gets back the bytes it had.
    Restore,
    /// Undo: there was no file, so it goes.
    Delete,
    /// Undo of a file that was edited since: only our entry goes.
    Remove,
}

impl Kind {
    /// What the change does, for the preview.
    pub fn says(self) -> &'static str {
        match self {
            Kind::Add => "adds the entry `synod`",
            Kind::Replace => "changes the entry `synod`",
            Kind::Restore => "restores the file as it was before, byte for byte",
            Kind::Delete => "deletes the file, because there was none before",
            Kind::Remove => {
                "removes only the entry `synod`, because the file was edited since (or its backup \
                 is gone); a backup beside the file stays"
            }
        }
    }
}

/// A planned change of one file. `after` is empty where `kind` is `Delete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: PathBuf,
    /// What the file held when the change was planned; None where there was no file.
    pub before: Option<String>,
    pub after: String,
    pub kind: Kind,
}

impl Change {
    /// True where the file is already as it should be; `apply` then writes nothing.
    pub fn is_empty(&self) -> bool {
        self.kind != Kind::Delete && self.before.as_deref() == Some(self.after.as_str())
    }
}

/// The file that `client` needs when it has none yet: complete, minimal, ready to paste.
pub fn snippet(client: &Client, launch: &Launch) -> Result<String, Error> {
    let entry = entry::entry(client, launch)?;
    // An empty text cannot be malformed, so the path in a problem would never be read.
    merge::put(client, "", &entry).map_err(|problem| problem.at(Path::new(client.title)))
}

/// Plans the merge of our entry into a file that holds `before` (None: there is no file). Pure. In
/// an entry that is there already only our own keys are set.
///
/// # Errors
/// The file is malformed or laid out so that it cannot be edited safely, the client cannot be
/// reached this way, or `launch` holds what must not be written.
pub fn plan(
    client: &Client,
    launch: &Launch,
    path: PathBuf,
    before: Option<String>,
) -> Result<Change, Error> {
    let entry = entry::entry(client, launch)?;
    let text = before.as_deref().unwrap_or_default();
    let own = merge::own(client, text).map_err(|problem| problem.at(&path))?;
    let entry = entry::over(client, own.as_ref(), entry);
    let after = merge::put(client, text, &entry).map_err(|problem| problem.at(&path))?;
    let kind = if own.is_some() { Kind::Replace } else { Kind::Add };
    Ok(Change { path, before, after, kind })
}

/// The variables that our entry sets as `change` leaves it, and `launch` does not: what the person
/// added, or what was set where the entry was written before.
pub fn others(client: &Client, launch: &Launch, change: &Change) -> Vec<String> {
    match merge::own(client, &change.after) {
        Ok(Some(entry)) => entry::others(client, launch, &entry),
        _ => Vec::new(),
    }
}

/// Why nothing was written. No variant carries text of the file: it may hold the user's tokens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "client-config: no client `{name}`; nearest is `{nearest}`; the known ones are {known}"
    )]
    UnknownClient { name: String, nearest: &'static str, known: String },
    #[error(
        "client-config: {title}'s file cannot hold an HTTP server; use stdio, or add the URL in \
         Settings -> Connectors"
    )]
    NoHttp { title: &'static str },
    #[error(
        "client-config: `{path}` line {line} column {column} is malformed ({what}); mend that \
         line and run the command again; nothing was written"
    )]
    Malformed { path: PathBuf, line: usize, column: usize, what: String },
    #[error(
        "client-config: {what} in `{path}` line {line} is not an object; make it an object or \
         move the file away, then run the command again; nothing was written"
    )]
    NotObject { path: PathBuf, line: usize, what: String },
    #[error(
        "client-config: the key `{key}` stands twice in `{path}`, the second time in line {line}; \
         keep one of them and run the command again; nothing was written"
    )]
    DuplicateKey { path: PathBuf, key: String, line: usize },
    #[error(
        "client-config: `{path}` is laid out so that it cannot be edited without touching the \
         rest; paste the snippet by hand; nothing was written"
    )]
    Layout { path: PathBuf },
    // The value is not shown: who passes a token where a name belongs must not find it in a log.
    #[error(
        "client-config: {what} is not the name of an environment variable (letters, digits, `_`); \
         pass the name of the variable that holds the value, never the value"
    )]
    NotAName { what: &'static str },
    #[error(
        "client-config: `{name}` looks like a secret, and secrets are not written into \
         configuration files; export it where the client starts and pass `${{{name}}}` as its value"
    )]
    Secret { name: String },
    #[error(
        "client-config: {title} hands a variable on only under its own name; pass `{name}` as \
         `${{{name}}}`"
    )]
    NoRename { title: &'static str, name: String },
    #[error(
        "client-config: the URL must begin with `http://` or `https://` and hold neither spaces \
         nor a user name or password; pass the token as the name of a variable"
    )]
    BadUrl,
    #[error(
        "client-config: `{path}` was changed by someone else since the preview; nothing was \
         written; run the command again to see the new preview"
    )]
    Changed { path: PathBuf },
    #[error(
        "client-config: `{path}` is read-only; nothing was written; make it writable or paste \
         the snippet where the file is generated"
    )]
    ReadOnly { path: PathBuf },
    #[error("client-config: `{path}` is not a file; nothing was written; name a file")]
    NotAFile { path: PathBuf },
    #[error("client-config: `{path}` is not UTF-8; save it as UTF-8 and run the command again")]
    NotUtf8 { path: PathBuf },
    #[error(
        "client-config: `{path}` has {bytes} bytes, the most is {}; paste the snippet by hand",
        file::CONFIG_BYTES_MAX
    )]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("client-config: `{path}` has no entry `synod`; there is nothing to undo")]
    NothingToUndo { path: PathBuf },
    #[error("client-config: could not {doing} `{path}`")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}
