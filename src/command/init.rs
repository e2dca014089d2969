//! `synod init`: looks around, writes a configuration file and connects clients.
//!
//! Stdout has the text of the file and nothing else; what is said about it goes to stderr.

use super::around::{self, Found, Ollama};
use super::{client, note, say, typed};
use crate::cli::{Common, Failure, InitArgs, Session, config_file};
use crate::client_config::{self, CLIENTS, Client, Places};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Sources that are proposed.
const FOUND_MAX: usize = 50;
/// Further ones that stand in the file as comments.
const SPARE_MAX: usize = 200;
/// Former files that are kept beside a configuration.
const KEPT_MAX: usize = 1_000;

/// Runs the command.
pub fn run(session: &Session, args: &InitArgs) -> Result<ExitCode, Failure> {
    let here = client::places();
    let found = around::look(&here);
    let host = std::env::var("OLLAMA_HOST").unwrap_or_default();
    let ollama = around::ollama(&host);
    let text = text(&found, ollama.as_ref());
    if !session.common.json {
        say(&text);
    }
    tell(&found, ollama.as_ref());
    let used: Vec<&Client> = CLIENTS.iter().filter(|client| client.seems_used(&here)).collect();
    let names: Vec<&str> = used.iter().map(|client| client.name).collect();
    if !names.is_empty() {
        note(&format!("clients found: {}", names.join(", ")));
    }
    let target = target(session, args);
    if !args.dry_run {
        write_new(target.as_ref().map_err(ToString::to_string)?, args.force, &text)?;
    }
    let target = target.ok();
    let with_file = with_file(session, target.as_deref());
    if let Some(target) = target.as_ref().filter(|_| !args.dry_run) {
        let start = typed(&with_file, "up");
        note(&format!("wrote {}; start with `{start}`", target.display()));
    }
    let asks = !args.dry_run && !session.common.json;
    if asks && io::stdin().is_terminal() && io::stderr().is_terminal() {
        connect(&with_file, &used, &here)?;
    } else if !names.is_empty() {
        note("connect them with (each shows the change first, and can be undone):");
        for name in &names {
            note(&format!("  {}", typed(&with_file, &format!("client-config {name} --write"))));
        }
    }
    if session.common.json {
        let (listed, spare) = parted(&found);
        say(&format!(
            "{:#}\n",
            json!({
                "file": target, "written": !args.dry_run, "text": text, "sources": listed,
                "left_out": spare, "all_looked_at": !found.cut,
                "ollama": ollama.map(|ollama| ollama.url), "clients": names,
            })
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The session of whoever goes by the file that is made.
fn with_file(session: &Session, target: Option<&Path>) -> Session {
    let usual = session.common.data.is_none() && config_file().as_deref() == target;
    let config = target.filter(|_| !usual).map(Path::to_path_buf);
    Session {
        common: Common { config, ..session.common.clone() },
        loaded: session.loaded.clone(),
        data: session.data.clone(),
    }
}

/// What is proposed, and what was found beyond that.
fn parted(found: &Found) -> (&[PathBuf], &[PathBuf]) {
    found.folders.split_at(found.folders.len().min(FOUND_MAX))
}

/// The text of the file.
fn text(found: &Found, ollama: Option<&Ollama>) -> String {
    let mut text =
        String::from("# Written by `synod init`. `synod config --example` shows every setting.\n");
    let (listed, spare) = parted(found);
    for path in listed {
        let path = toml_string(&path.to_string_lossy());
        text.push_str(&format!("\n[[source]]\npath = {path}\n"));
    }
    if listed.is_empty() {
        text.push_str("\n# No vault or repository was found in the usual places. Add yours:\n");
        text.push_str("# [[source]]\n# path = \"~/Notes\"\n");
    }
    if !spare.is_empty() {
        text.push_str("\n# More was found. Without the `# ` before them these count too:\n");
    }
    // A line break would end the comment.
    let spare = spare.iter().map(|path| path.to_string_lossy());
    let spare = spare.filter(|path| !path.contains(char::is_control));
    for path in spare.take(SPARE_MAX) {
        text.push_str(&format!("# [[source]]\n# path = {}\n", toml_string(&path)));
    }
    if let Some(ollama) = ollama {
        text.push_str(&of_ollama(ollama));
    }
    text
}

/// What makes models of Ollama usable, as comments.
fn of_ollama(ollama: &Ollama) -> String {
    let url = match &*ollama.url {
        around::OLLAMA => String::new(),
        url => format!("# url = {}\n", toml_string(url)),
    };
    let mut text = String::new();
    if !ollama.models.is_empty() {
        text.push_str(&format!(
            "\n# Ollama answers at {}. Without the `# ` before them these lines let the council\n\
             # ask its models:\n# [[provider]]\n# name = \"ollama\"\n# dialect = \"ollama\"\n{url}",
            ollama.url
        ));
    }
    for (name, family) in &ollama.models {
        let (id, family) = (toml_string(name), toml_string(family));
        text.push_str(&format!(
            "# [[model]]\n# id = {id}\n# provider = \"ollama\"\n# family = {family}\n"
        ));
    }
    if let Some(name) = ollama.embedders.first() {
        let name = toml_string(name);
        text.push_str(&format!(
            "\n# And these let its embedding model find what is said in other words, instead of \
             the one\n# inside the program:\n\
             # [embedding]\n# provider = \"ollama\"\n# model = {name}\n{url}"
        ));
    }
    text
}

/// Says what was found that the person may miss in the file.
fn tell(found: &Found, ollama: Option<&Ollama>) {
    let (listed, spare) = parted(found);
    if !spare.is_empty() {
        note(&format!(
            "{} vaults and repositories were found: the first {} are sources, the others stand in \
             the file as comments",
            found.folders.len(),
            listed.len()
        ));
    }
    if found.cut {
        note("there are too many folders below home to look at all of them");
    }
    if let Some(ollama) = ollama {
        let n = ollama.models.len() + ollama.embedders.len();
        note(&format!(
            "Ollama answers at {} with {n} models; the file has them as comments",
            ollama.url
        ));
    }
}

/// Shows what each client would get, and writes it where the person agrees.
fn connect(session: &Session, used: &[&Client], here: &Places) -> Result<(), Failure> {
    let launch = client::stdio(session)?;
    for client in used {
        let Some(path) = client.path(here) else { continue };
        if client.is_of_project() && !here.project.join(".git").exists() {
            note(&format!(
                "{} keeps its servers with each project; in one, run `{}`",
                client.title,
                typed(session, &format!("client-config {} --write", client.name))
            ));
            continue;
        }
        let before = client_config::read(&path);
        let change = match before.and_then(|text| client_config::plan(client, &launch, path, text))
        {
            Ok(change) if change.is_empty() => continue,
            Ok(change) => change,
            // A file that cannot be edited keeps no other client from being connected.
            Err(error) => {
                note(&error.to_string());
                continue;
            }
        };
        note(&format!("\n{}:\n{}", client.title, client_config::diff(&change)));
        if agrees("Write this?")? {
            client::carry_out(&change)?.iter().for_each(|line| note(line));
            note(client.note);
            client::tell_of_variables(session, client, &launch);
        }
    }
    Ok(())
}

/// Asks whoever sits there; anything but a yes is a no.
fn agrees(question: &str) -> io::Result<bool> {
    let mut out = io::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Writes the file; one that is there only by `force`, and what it held is kept.
fn write_new(target: &Path, force: bool, text: &str) -> Result<(), Failure> {
    let there = target.exists();
    if there && !force {
        return Err(format!(
            "`{}` exists; nothing was written, `--force` replaces it",
            target.display()
        )
        .into());
    }
    if there {
        note(&format!("what it held is kept as {}", keep(target)?.display()));
    }
    write(&client_config::follow(target)?, text)?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with its comments of settings as settings.
    fn uncommented(text: &str) -> String {
        let lines = text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        let settings = lines.filter(|line| line.starts_with('[') || line.contains(" = "));
        settings.map(|line| line.to_owned() + "\n").collect()
    }

    #[test]
    fn what_stands_in_comments_are_settings() {
        let folders: Vec<PathBuf> =
            (0..70).map(|n| PathBuf::from(format!("/src/r \"{n}"))).collect();
        let found = Found { folders, cut: false };
        let ollama = Ollama {
            url: "http://127.0.0.1:9".to_owned(),
            models: vec![("qwen3:4b".to_owned(), "qwen3".to_owned())],
            embedders: vec!["nomic-embed-text:latest".to_owned()],
        };
        let text = text(&found, Some(&ollama));
        let as_written: crate::config::Config = toml::from_str(&text).unwrap();
        assert_eq!(as_written.source.len(), FOUND_MAX);
        assert!(as_written.provider.is_empty() && as_written.model.is_empty());
        let all: crate::config::Config = toml::from_str(&uncommented(&text)).unwrap();
        assert_eq!(all.source.len(), 70);
        assert_eq!(all.source[69].path, "/src/r \"69");
        assert_eq!(all.provider[0].url.as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!((all.model[0].id.as_str(), all.model[0].family.as_str()), ("qwen3:4b", "qwen3"));
        assert_eq!(all.embedding.model, "nomic-embed-text:latest");
        assert_eq!(all.embedding.url, all.provider[0].url);
    }
}
