//! `synod init`: looks around and writes a configuration file.

use super::{note, say};
use crate::cli::{Failure, InitArgs, Session, config_file};
use crate::client_config::CLIENTS;
use crate::command::client::places;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Folders that are looked at below home, levels deep.
const DEPTH: usize = 3;
/// Folders looked at in all.
const FOLDERS_MAX: usize = 20_000;
/// Sources that are proposed.
const FOUND_MAX: usize = 50;

/// Runs the command.
pub fn run(_session: &Session, args: &InitArgs) -> Result<ExitCode, Failure> {
    let target =
        args.output.clone().or_else(config_file).ok_or("HOME is not set; use `--output`")?;
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
    if target.exists() && !args.force {
        return Err(format!(
            "`{}` exists; nothing was written, `--force` replaces it",
            target.display()
        )
        .into());
    }
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = target.with_extension("toml.new");
    std::fs::write(&temporary, &text)?;
    std::fs::rename(&temporary, &target)?;
    note(&format!("wrote {}; start with `synod up`", target.display()));
    Ok(ExitCode::SUCCESS)
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
