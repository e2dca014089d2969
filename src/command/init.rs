//! `synod init`: looks around and writes a configuration file.

use super::{note, quoted, say};
use crate::cli::{Failure, InitArgs, Session, config_file};
use crate::client_config::{self, CLIENTS};
use crate::command::client::places;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Folders that are looked at below home, levels deep.
const DEPTH: usize = 3;
/// Folders looked at in all.
const FOLDERS_MAX: usize = 20_000;
/// Sources that are proposed.
const FOUND_MAX: usize = 50;
/// Former files that are kept beside a configuration.
const KEPT_MAX: usize = 1_000;

/// Runs the command.
pub fn run(session: &Session, args: &InitArgs) -> Result<ExitCode, Failure> {
    let found = crate::job::home().map(|home| look(&home)).unwrap_or_default();
    let mut text =
        String::from("# Written by `synod init`. `synod config --example` shows every setting.\n");
    for path in &found {
        let path = toml_string(&path.to_string_lossy());
        text.push_str(&format!("\n[[source]]\npath = {path}\n"));
    }
    if found.is_empty() {
        text.push_str("\n# No vault or repository was found in the usual places. Add yours:\n");
        text.push_str("# [[source]]\n# path = \"~/Notes\"\n");
    }
    say(&text);
    let here = places();
    let used = CLIENTS.iter().filter(|client| client.seems_used(&here));
    let installed: Vec<&str> = used.map(|client| client.name).collect();
    if !installed.is_empty() {
        note(&format!(
            "clients found: {}; connect one with `synod client-config NAME`",
            installed.join(", ")
        ));
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let target = target(session, args)?;
    let there = target.exists();
    if there && !args.force {
        return Err(format!(
            "`{}` exists; nothing was written, `--force` replaces it",
            target.display()
        )
        .into());
    }
    if there {
        note(&format!("what it held is kept as {}", keep(&target)?.display()));
    }
    write(&client_config::follow(&target)?, &text)?;
    let start = match config_file().is_some_and(|usual| usual == target) {
        true => "`synod up`".to_owned(),
        false => format!("`synod up --config {}`", quoted(&target.display().to_string())),
    };
    note(&format!("wrote {}; start with {start}", target.display()));
    Ok(ExitCode::SUCCESS)
}

/// The file that is meant: never one that the person did not name while they named another.
fn target(session: &Session, args: &InitArgs) -> Result<PathBuf, Failure> {
    let common = &session.common;
    if let Some(named) = args.output.as_ref().or(common.config.as_ref()) {
        return Ok(named.clone());
    }
    if common.data.is_some() {
        let text = "init: with a named data directory (`--data`, SYNOD_DATA) your own \
                    configuration is left alone; name the file with `--output FILE`";
        return Err(text.into());
    }
    config_file().ok_or_else(|| "HOME is not set; use `--output`".into())
}

/// Copies the file to a free name beside it, and says which.
fn keep(target: &Path) -> io::Result<PathBuf> {
    let name = |n: usize| match n {
        1 => beside(target, ".bak"),
        n => beside(target, &format!(".bak{n}")),
    };
    let free = (1..=KEPT_MAX).map(name).find(|path| fs::symlink_metadata(path).is_err());
    let free = free.ok_or_else(|| io::Error::other("too many former files lie beside it"))?;
    fs::copy(target, &free)?;
    Ok(free)
}

/// Writes the file whole or not at all; one that is there keeps its mode.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = beside(path, &format!(".new-{}", std::process::id()));
    let fill = || {
        let mut file = File::create(&temporary)?;
        if let Ok(meta) = fs::metadata(path) {
            file.set_permissions(meta.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let done = fill();
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Vaults and repositories near the person's home.
fn look(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = std::collections::VecDeque::from([(home.to_owned(), 0)]);
    let mut looked = 0;
    while let Some((folder, depth)) = queue.pop_front() {
        looked += 1;
        if looked > FOLDERS_MAX || found.len() >= FOUND_MAX {
            break;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
            if !is_folder
                || name.starts_with('.')
                || matches!(name.as_ref(), "node_modules" | "target" | "Library")
            {
                continue;
            }
            let path = entry.path();
            if path.join(".obsidian").is_dir() || path.join(".git").exists() {
                found.push(path);
            } else if depth + 1 < DEPTH {
                queue.push_back((path, depth + 1));
            }
        }
    }
    found.sort();
    found
}
