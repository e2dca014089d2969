//! `synod client-config`: previews, writes and takes back a client's configuration.

use super::{note, say};
use crate::cli::{ClientConfigArgs, Failure, Session};
use crate::client_config::{self, CLIENTS, Change, Client, Kind, Launch, Os, Places};
use crate::config::{self, Config, Environment};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// Runs the command.
pub fn run(session: &Session, args: &ClientConfigArgs) -> Result<ExitCode, Failure> {
    let Some(name) = &args.client else { return Ok(list(session)) };
    let client = client_config::find(name)?;
    let launch = launch(session, args)?;
    let path = args.file.clone().or_else(|| client.path(&places()));
    let Some(path) = path else {
        if args.write || args.undo {
            return Err(format!(
                "{} has no file that could be changed: run `synod client-config {}` and paste what \
                 it prints, or name a file with `--file`",
                client.title, client.name
            )
            .into());
        }
        return pasted(session, client, &launch);
    };
    let change = if args.undo {
        client_config::undo(client, &path)?
    } else {
        client_config::plan(client, &launch, path.clone(), client_config::read(&path)?)?
    };
    let diff = client_config::diff(&change);
    let writes = (args.write || args.undo) && !change.is_empty();
    if session.common.json {
        let done = if writes { carry_out(&change)? } else { Vec::new() };
        let does = (!change.is_empty()).then(|| change.kind.says());
        say(&format!(
            "{:#}\n",
            json!({
                "client": client.name, "file": path, "diff": diff, "change": does,
                "written": writes, "done": done, "note": client.note,
            })
        ));
    } else if change.is_empty() {
        say(&format!("{} needs no change\n", path.display()));
        tell_of_others(client, &launch, &change);
        return Ok(ExitCode::SUCCESS);
    } else {
        say(&diff);
        note(change.kind.says());
        if writes {
            let mut lines = carry_out(&change)?.into_iter();
            say(&format!("{}\n", lines.next().unwrap_or_default()));
            lines.for_each(|line| note(&line));
        } else {
            note("nothing was written; add `--write` to write it");
        }
        if !client.note.is_empty() {
            note(client.note);
        }
    }
    if !args.undo {
        tell_of_others(client, &launch, &change);
        tell_of_variables(session, client, &launch);
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the clients.
fn list(session: &Session) -> ExitCode {
    if session.common.json {
        let row = |client: &Client| json!({ "name": client.name, "title": client.title });
        let rows: Vec<Value> = CLIENTS.iter().map(row).collect();
        say(&format!("{:#}\n", json!({ "clients": rows })));
    } else {
        for client in CLIENTS {
            say(&format!("{:16} {}\n", client.name, client.title));
        }
    }
    ExitCode::SUCCESS
}

/// Shows what is to be pasted into a client that has no file.
fn pasted(session: &Session, client: &Client, launch: &Launch) -> Result<ExitCode, Failure> {
    let text = client_config::snippet(client, launch)?;
    if session.common.json {
        let shown = json!({ "client": client.name, "text": text, "note": client.note });
        say(&format!("{shown:#}\n"));
    } else {
        note(&format!("{}: {}", client.title, client.note));
        say(&text);
    }
    tell_of_variables(session, client, launch);
    Ok(ExitCode::SUCCESS)
}

/// Makes a change, and says what was done, then where what is needed to go back is kept.
pub fn carry_out(change: &Change) -> Result<Vec<String>, Failure> {
    let path = &change.path;
    let kept = client_config::apply(change)?;
    let done = if path.exists() { "wrote" } else { "deleted" };
    let mut lines = vec![format!("{done} {}", path.display())];
    if matches!(change.kind, Kind::Add | Kind::Replace) {
        let undone = [client_config::backup_path(path), client_config::marker_path(path)];
        lines.push(match undone.contains(&kept) {
            true => format!("kept for --undo: {}", kept.display()),
            false => format!(
                "what it held is kept as {}; --undo goes back to before the first change",
                kept.display()
            ),
        });
    }
    Ok(lines)
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
        let common = &session.common;
        let rights = [("--read-only", common.read_only), ("--allow-write", common.allow_write)];
        for (flag, _) in rights.into_iter().filter(|(_, set)| *set) {
            note(&format!(
                "`{flag}` is left out: it is the server at that URL which has to run with it"
            ));
        }
        let endpoint = client_config::endpoint(url);
        if endpoint != *url {
            note(&format!("MCP is served at `/mcp`, so `{endpoint}` is the URL that is meant"));
        }
        return Ok(Launch::Http { url: endpoint, token_env: args.token_env.clone() });
    }
    Ok(stdio(session)?)
}

/// The stdio launch with full paths: clients inherit no shell profile.
pub fn stdio(session: &Session) -> std::io::Result<Launch> {
    let command = program()?.to_string_lossy().into_owned();
    let mut args = vec!["serve".to_owned(), "--stdio".to_owned()];
    args.extend(super::flags(session));
    let env = handed_on(session, &|name| std::env::var(name).ok());
    Ok(Launch::Stdio { command, args, env })
}

/// This program by a name that stays when another version takes its place: the link that leads to
/// it from PATH, or as it was called, else where it lies.
fn program() -> std::io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let real = here.canonicalize().unwrap_or_else(|_| here.clone());
    let file = format!("synod{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).map(|folder| folder.join(&file));
    let typed = std::env::args_os().next().map(PathBuf::from);
    let mut ways = known.chain(typed).filter_map(|way| std::path::absolute(way).ok());
    let found = ways.find(|way| way.canonicalize().is_ok_and(|end| end == real));
    Ok(found.map_or(here, straight))
}

/// A path that does not go up again through a folder, without which it would lead nowhere.
fn straight(way: PathBuf) -> PathBuf {
    let goes_up = way.components().any(|part| part == Component::ParentDir);
    let folder = way.parent().filter(|_| goes_up).and_then(|folder| folder.canonicalize().ok());
    match folder {
        Some(folder) => folder.join(way.file_name().unwrap_or_default()),
        None => way,
    }
}

/// Says what an entry goes on to set for a server though nothing here does: it may lead the server
/// to another index than this command.
fn tell_of_others(client: &Client, launch: &Launch, change: &Change) {
    let is_read = |name: &String| name.starts_with("SYNOD_") || name.starts_with("XDG_");
    let others = client_config::others(client, launch, change).into_iter().filter(is_read);
    let others: Vec<String> = others.map(|name| format!("`{name}`")).collect();
    if !others.is_empty() {
        note(&format!(
            "the entry sets {}, which nothing does here, and keeps it: take it out by hand where \
             it is not meant any more",
            others.join(", ")
        ));
    }
}

/// Says what the person has to do so that keys reach a server which the client starts.
pub fn tell_of_variables(session: &Session, client: &Client, launch: &Launch) {
    let Launch::Stdio { env, .. } = launch else { return };
    if let Some(text) = client_config::awaited(client, launch) {
        note(&text);
    }
    let unset = unset(&session.loaded.config, env);
    if !unset.is_empty() {
        let unset: Vec<String> = unset.into_iter().map(|name| format!("`{name}`")).collect();
        note(&format!(
            "named by the configuration and not set here, so not handed on: {}; set them and run \
             this again",
            unset.join(", ")
        ));
    }
}

/// The variables of keys that are not handed on, as they may be shown.
fn unset<'a>(config: &'a Config, env: &[(String, String)]) -> BTreeSet<&'a str> {
    let is_there = |name: &&String| env.iter().any(|(there, _)| there == *name);
    let named = keys(config).filter(|name| !is_there(name));
    named.map(|name| config::variable(name)).collect()
}

/// What a server needs of this environment: clients hand on next to nothing of theirs. Places and
/// settings go as values, keys and what may hold one as `${NAME}`.
fn handed_on(session: &Session, environment: Environment) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let (common, xdg) = (&session.common, Os::here() == Os::Linux);
    let own = common.config.is_none() && common.data.is_none();
    for (name, needed) in
        [("XDG_DATA_HOME", xdg), ("XDG_CONFIG_HOME", xdg && own), (crate::embedder::MODELS, true)]
    {
        if let Some(folder) = environment(name).filter(|folder| needed && !folder.is_empty()) {
            // A client starts the server wherever it likes.
            let folder =
                std::path::absolute(&folder).map_or(folder, |full| full.display().to_string());
            out.push((name.to_owned(), folder));
        }
    }
    for (key, variable) in config::variables() {
        // HTTP alone goes by these.
        if key.starts_with("server.") || key == "access.require_token" {
            continue;
        }
        if let Some(value) = config::text_of(&variable, environment) {
            let value = if may_be_secret(&key, &value) { reference(&variable) } else { value };
            out.push((variable, value));
        }
    }
    for name in keys(&session.loaded.config) {
        let is_set = environment(name).is_some_and(|value| !value.is_empty());
        if is_set && !out.iter().any(|(there, _)| there == name) {
            out.push((name.clone(), reference(name)));
        }
    }
    out
}

/// The variables of keys that a configuration names.
fn keys(config: &Config) -> impl Iterator<Item = &String> {
    let of_providers = config.provider.iter().flat_map(|row| &row.key_env);
    of_providers.chain(&config.embedding.key_env).chain(&config.council.webhook_secret_env)
}

/// Whether a setting may hold a secret itself: a URL with a password or parameters, a place that
/// only its owner knows, as those of webhooks are, or a key where its variable should be named.
fn may_be_secret(key: &str, value: &str) -> bool {
    key == "council.webhooks"
        || key == "embedding.url" && value.contains(['@', '?'])
        || key.ends_with("_env") && config::variable(value) != value
}

fn reference(name: &str) -> String {
    format!("${{{name}}}")
}

/// Where this person's files are.
pub fn places() -> Places {
    let home = crate::job::home().unwrap_or_default();
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    // What is not a full path counts for none of the programs that read these.
    let set = |name| Some((name, folder(name).filter(|folder| folder.is_absolute())?));
    Places {
        os: Os::here(),
        project: project(&home, std::env::current_dir().unwrap_or_default()),
        home,
        appdata: folder("APPDATA"),
        moved: client_config::MOVING.into_iter().filter_map(set).collect(),
    }
}

/// The project that a folder belongs to: the nearest repository around it, else itself. A home
/// directory that is kept in git is no project of the folders in it.
fn project(home: &Path, here: PathBuf) -> PathBuf {
    let top = here.ancestors().find(|folder| folder.join(".git").exists());
    top.filter(|top| *top != home).map(Path::to_path_buf).unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Common;

    const CONFIG: &str = "[[provider]]\nname = \"a\"\nkey_env = [\"A_KEY\", \"B_KEY\"]\n\
                          [embedding]\nkey_env = \"A_KEY\"\n";

    #[test]
    fn a_project_is_the_repository_around_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        for folder in ["home/.git", "home/repo/.git", "home/repo/src/deep", "home/notes"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for (here, wanted) in
            [("repo/src/deep", "repo"), ("repo", "repo"), ("notes", "notes"), ("", "")]
        {
            assert_eq!(project(&home, home.join(here)), home.join(wanted), "{here}");
        }
    }

    #[test]
    fn what_the_server_needs_goes_along_and_no_key_does() {
        let variables = [
            ("A_KEY", "sk-1"),
            ("SYNOD_MODELS", "models"),
            ("SYNOD_LIMITS_CALLS_MAX", "3"),
            ("SYNOD_SERVER_HTTP", "127.0.0.1:1"),
            ("SYNOD_ACCESS_REQUIRE_TOKEN", "true"),
            ("SYNOD_EMBEDDING_URL", "http://u:sk-2@h/v1"),
            ("SYNOD_EMBEDDING_KEY_ENV", "sk-3"),
            ("SYNOD_COUNCIL_WEBHOOK_SECRET_ENV", "HOOK_SECRET"),
            ("SPEC_KIT_AI", "claude"),
            ("XDG_DATA_HOME", "/data"),
            ("XDG_CONFIG_HOME", ""),
            ("PATH", "/bin"),
        ];
        let environment =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synod.toml");
        std::fs::write(&path, CONFIG).unwrap();
        let loaded = config::load(Some(&path), true, &environment, &[]).unwrap();
        let data = dir.path().to_owned();
        let session = Session { common: Common::default(), loaded, data };
        let env = handed_on(&session, &environment);
        let of = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let models = of("SYNOD_MODELS").map(std::path::Path::new);
        assert!(models.is_some_and(|path| path.is_absolute() && path.ends_with("models")));
        assert_eq!(of("SYNOD_LIMITS_CALLS_MAX"), Some("3"));
        assert_eq!(of("SYNOD_SPEC_KIT_AI"), Some("claude"));
        assert_eq!(of("SYNOD_EMBEDDING_URL"), Some("${SYNOD_EMBEDDING_URL}"));
        assert_eq!(of("SYNOD_EMBEDDING_KEY_ENV"), Some("${SYNOD_EMBEDDING_KEY_ENV}"));
        assert_eq!(of("SYNOD_COUNCIL_WEBHOOK_SECRET_ENV"), Some("HOOK_SECRET"));
        assert_eq!(of("A_KEY"), Some("${A_KEY}"));
        let unset = unset(&session.loaded.config, &env);
        let wanted = ["(no name of a variable)", "B_KEY", "HOOK_SECRET"];
        assert_eq!(unset.into_iter().collect::<Vec<_>>(), wanted);
        for none in ["B_KEY", "PATH", "SYNOD_SERVER_HTTP", "SYNOD_ACCESS_REQUIRE_TOKEN"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of("XDG_DATA_HOME"), (Os::here() == Os::Linux).then_some("/data"));
        assert_eq!(of("XDG_CONFIG_HOME"), None);
        assert_eq!(env.iter().filter(|(name, _)| name == "A_KEY").count(), 1);
        assert!(!env.iter().any(|(_, value)| value.contains("sk-")), "{env:?}");
        // Every client takes it.
        let launch = Launch::Stdio { command: "synod".to_owned(), args: Vec::new(), env };
        for client in CLIENTS {
            let text = client_config::snippet(client, &launch).unwrap();
            assert!(text.contains("A_KEY"), "{}", client.name);
            let told = client_config::awaited(client, &launch).unwrap();
            assert!(told.contains("A_KEY"), "{told}");
        }
    }
}
