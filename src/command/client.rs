//! `synod client-config`: previews, writes and takes back a client's configuration.

use super::{note, say};
use crate::cli::{ClientConfigArgs, Failure, Session};
use crate::client_config::{self, CLIENTS, Launch, Os, Places};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the command.
pub fn run(session: &Session, args: &ClientConfigArgs) -> Result<ExitCode, Failure> {
    let Some(name) = &args.client else {
        for client in CLIENTS {
            say(&format!("{:16} {}\n", client.name, client.title));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let client = client_config::find(name)?;
    let launch = launch(session, args)?;
    let path = args.file.clone().or_else(|| client.path(&places()));
    let Some(path) = path else {
        note(&format!("{}: {}", client.title, client.note));
        say(&client_config::snippet(client, &launch)?);
        return Ok(ExitCode::SUCCESS);
    };
    let change = if args.undo {
        client_config::undo(client, &path)?
    } else {
        client_config::plan(client, &launch, path.clone(), client_config::read(&path)?)?
    };
    if change.is_empty() {
        say(&format!("{} needs no change\n", path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    say(&client_config::diff(&change));
    note(change.kind.says());
    if args.write || args.undo {
        let kept = client_config::apply(&change)?;
        let gone = !path.exists();
        say(&format!("{} {}\n", if gone { "deleted" } else { "wrote" }, path.display()));
        if args.write {
            let undone = [client_config::backup_path(&path), client_config::marker_path(&path)];
            note(&match undone.contains(&kept) {
                true => format!("kept for --undo: {}", kept.display()),
                false => format!(
                    "what it held is kept as {}; --undo goes back to before the first change",
                    kept.display()
                ),
            });
        }
    } else {
        note("nothing was written; add `--write` to write it");
    }
    if !client.note.is_empty() {
        note(client.note);
    }
    Ok(ExitCode::SUCCESS)
}

/// How the client reaches this program and this data directory.
pub fn launch(session: &Session, args: &ClientConfigArgs) -> Result<Launch, Failure> {
    if let Some(url) = &args.url {
        if let Some(name) = client_config::secret_of_url(url) {
            note(&format!(
                "the value of `{name}` in that URL is written into the file, for all who can read \
                 it; `--token-env NAME` keeps a token out of it"
            ));
        }
        if session.common.read_only {
            note(
                "`--read-only` is left out: it is the server at that URL which has to run with it",
            );
        }
        return Ok(Launch::Http { url: url.clone(), token_env: args.token_env.clone() });
    }
    Ok(stdio(session)?)
}

/// The stdio launch with full paths: clients inherit no shell profile.
pub fn stdio(session: &Session) -> std::io::Result<Launch> {
    let command = std::env::current_exe()?.to_string_lossy().into_owned();
    let mut launch = vec!["serve".to_owned(), "--stdio".to_owned()];
    if session.common.data.is_some() {
        launch.extend(["--data".to_owned(), session.data.to_string_lossy().into_owned()]);
    }
    if let Some(config) = &session.common.config {
        let config = std::path::absolute(config)?;
        launch.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
    }
    if session.common.read_only {
        launch.push("--read-only".to_owned());
    }
    Ok(Launch::Stdio { command, args: launch, env: Vec::new() })
}

/// Where this person's files are.
pub fn places() -> Places {
    Places {
        os: Os::here(),
        home: crate::job::home().unwrap_or_default(),
        project: std::env::current_dir().unwrap_or_default(),
        appdata: std::env::var_os("APPDATA").map(PathBuf::from),
    }
}
