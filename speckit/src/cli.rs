//! The Spec-Kit CLI behind a list of what may be run.
//!
//! Pure but for the search for the program: it says how a call is built and starts nothing. What is
//! not on the list, commands and options alike, is refused. Invariant: no argument reaches a shell,
//! and none is a URL or a path.

use crate::error::{Error, Result};
use crate::nearest::{hint, nearest};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Arguments of one call.
pub const ARGUMENTS_MAX: usize = 32;
/// One argument, in bytes.
pub const ARGUMENT_BYTES_MAX: usize = 256;
/// What a call may keep of the environment; everything else, secrets above all, is not passed on.
pub const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TEMP",
    "TMP",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "SYSTEMROOT",
    "PATHEXT",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "VIRTUAL_ENV",
    "PYTHONHOME",
];

/// What a command does to a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing.
    Read,
    /// Changes files of the project.
    Write,
}

/// A command that may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// `extension add`
    pub name: &'static str,
    /// What it does.
    pub class: Class,
    /// It asks servers outside.
    pub network: bool,
    /// Most operands, such as names of extensions.
    pub operands_max: usize,
    /// Options without a value.
    pub flags: &'static [&'static str],
    /// Options with a value.
    pub values: &'static [&'static str],
}

const fn read(name: &'static str, operands_max: usize, flags: &'static [&'static str]) -> Allowed {
    Allowed { name, class: Class::Read, network: false, operands_max, flags, values: &[] }
}

const fn write(
    name: &'static str,
    operands_max: usize,
    flags: &'static [&'static str],
    values: &'static [&'static str],
) -> Allowed {
    Allowed { name, class: Class::Write, network: false, operands_max, flags, values }
}

/// Every command that may be run. Not among them: what runs agents or code (`workflow run`, `event
/// run`), serves (`mcp`), replaces the CLI (`self upgrade`), or edits where things are fetched from
/// (`… catalog`).
pub const ALLOWED: &[Allowed] = &[
    read("version", 0, &["--json", "--features"]),
    read("check", 0, &[]),
    read("integration list", 0, &[]),
    read("integration status", 0, &["--json"]),
    read("integration info", 1, &[]),
    read("extension list", 0, &["--json"]),
    read("extension info", 1, &["--json"]),
    read("preset list", 0, &["--json"]),
    read("preset info", 1, &["--json"]),
    read("preset resolve", 1, &[]),
    read("artifact list", 0, &["--json"]),
    Allowed { values: &["--kind"], ..read("artifact info", 1, &["--json"]) },
    read("artifact lookup", 1, &["--json"]),
    read("bundle list", 0, &["--json"]),
    read("workflow list", 0, &[]),
    read("workflow info", 1, &[]),
    read("workflow status", 1, &["--json"]),
    read("workflow resolve", 1, &[]),
    Allowed { network: true, ..read("self check", 0, &[]) },
    Allowed { network: true, ..read("extension search", 1, &[]) },
    Allowed { network: true, ..read("preset search", 1, &[]) },
    Allowed { network: true, ..read("integration search", 1, &[]) },
    write(
        "init",
        1,
        &["--here", "--force", "--ignore-agent-tools", "--non-interactive"],
        &["--integration", "--script", "--preset", "--extension"],
    ),
    write("integration install", 1, &["--force"], &["--script"]),
    write("integration uninstall", 1, &["--force"], &[]),
    write("integration switch", 1, &["--force"], &["--script"]),
    write("integration upgrade", 1, &["--force"], &["--script"]),
    write("integration use", 1, &["--force"], &[]),
    write("extension add", 1, &["--force"], &["--priority", "--version"]),
    write("extension remove", 1, &["--force", "--keep-config"], &[]),
    write("extension enable", 1, &[], &[]),
    write("extension disable", 1, &[], &[]),
    write("extension set-priority", 2, &[], &[]),
    write("preset add", 1, &[], &["--priority"]),
    write("preset remove", 1, &[], &[]),
    write("preset enable", 1, &[], &[]),
    write("preset disable", 1, &[], &[]),
    write("preset set-priority", 2, &[], &[]),
    Allowed { network: true, ..write("extension update", 1, &[], &[]) },
    Allowed { network: true, ..write("preset update", 1, &[], &[]) },
];

/// A call that may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The command on the list.
    pub allowed: Allowed,
    /// Arguments behind the program, the command's words among them.
    pub argv: Vec<String>,
    /// Variables to set beside those of [`ENVIRONMENT`].
    pub env: Vec<(&'static str, &'static str)>,
}

/// A name, a number or a version: nothing that could be a path, a URL or an option.
fn is_plain(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    !text.is_empty()
        && text.len() <= ARGUMENT_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(fine)
        && !text.contains("..")
}

/// The command of the list that the words begin with, and how many words it is.
fn find<'a>(words: &[&'a str]) -> Result<(&'static Allowed, usize)> {
    let named = |n: usize| -> Option<&'static Allowed> {
        let name = words.get(..n)?.join(" ");
        ALLOWED.iter().find(|allowed| allowed.name == name)
    };
    if let Some((found, n)) = named(2).map(|f| (f, 2)).or(named(1).map(|f| (f, 1))) {
        return Ok((found, n));
    }
    let wanted = words.iter().take(2).copied().collect::<Vec<&'a str>>().join(" ");
    let nearest = nearest(&wanted, ALLOWED.iter().map(|allowed| allowed.name));
    let shown = wanted.chars().take(80).collect::<String>();
    let otherwise = "only commands that read or change the project's own set-up are allowed";
    let what = format!("`specify {shown}` may not be run{}", hint(&nearest, otherwise));
    Err(Error::Missing { what, nearest })
}

/// Builds a call from a command (`extension add`) and its arguments.
///
/// # Errors
/// `Missing` for a command that is not on the list, `Argument` for an argument that is not.
pub fn invocation(command: &str, args: &[&str]) -> Result<Invocation> {
    let mut words: Vec<&str> = command.split_whitespace().collect();
    words.extend(args);
    if words.len() > ARGUMENTS_MAX {
        let n = words.len();
        return Err(Error::Argument(format!("{n} arguments, the most is {ARGUMENTS_MAX}")));
    }
    let (allowed, n) = find(&words)?;
    let mut argv: Vec<String> = allowed.name.split(' ').map(str::to_owned).collect();
    let mut operands = 0;
    let mut rest = words[n..].iter();
    while let Some(word) = rest.next() {
        let (key, inline) = match word.split_once('=') {
            Some((key, value)) if key.starts_with("--") => (key, Some(value)),
            _ => (*word, None),
        };
        if allowed.flags.contains(&key) && inline.is_none() {
            argv.push(key.to_owned());
        } else if allowed.values.contains(&key) {
            let value = inline.or_else(|| rest.next().copied()).unwrap_or_default();
            plain(allowed.name, value)?;
            argv.push(format!("{key}={value}"));
        } else if word.starts_with('-') {
            return Err(option(allowed, word));
        } else {
            plain(allowed.name, word)?;
            operands += 1;
            argv.push((*word).to_owned());
        }
    }
    if operands > allowed.operands_max {
        let (name, most) = (allowed.name, allowed.operands_max);
        return Err(Error::Argument(format!(
            "`{name}` takes at most {most} names, not {operands}"
        )));
    }
    if allowed.name == "init" {
        settle_init(&mut argv, operands)?;
    }
    let env = vec![
        ("NO_COLOR", "1"),
        ("TERM", "dumb"),
        ("COLUMNS", "200"),
        ("PYTHONIOENCODING", "utf-8"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ];
    Ok(Invocation { allowed: *allowed, argv, env })
}

fn plain(command: &str, value: &str) -> Result<()> {
    if is_plain(value) {
        return Ok(());
    }
    let shown: String = value.escape_debug().take(80).collect();
    Err(Error::Argument(format!(
        "`{shown}` is no plain name; `{command}` takes names from the catalog here, neither paths \
         nor URLs"
    )))
}

fn option(allowed: &Allowed, word: &str) -> Error {
    let shown: String = word.escape_debug().take(80).collect();
    let known = allowed.flags.iter().chain(allowed.values).copied().collect::<Vec<_>>();
    let known = match known.is_empty() {
        true => "it takes none".to_owned(),
        false => format!("it takes {}", known.join(", ")),
    };
    Error::Argument(format!("option `{shown}` of `{}` may not be used; {known}", allowed.name))
}

/// `init` must never ask, must not insist on an agent, and makes no more than a name or `--here`.
fn settle_init(argv: &mut Vec<String>, operands: usize) -> Result<()> {
    let here = argv.iter().any(|word| word == "--here");
    if here == (operands > 0) {
        let what = "`init` takes either a folder's name or `--here`";
        return Err(Error::Argument(what.to_owned()));
    }
    for flag in ["--non-interactive", "--ignore-agent-tools"] {
        if !argv.iter().any(|word| word == flag) {
            argv.push(flag.to_owned());
        }
    }
    if !argv.iter().any(|word| word.starts_with("--integration=")) {
        // Where a project is already, `none` would take its integration away.
        if here {
            let what = "`init --here` needs `--integration`: one of `specify integration list`, or \
                        `none` for a project without an agent";
            return Err(Error::Argument(what.to_owned()));
        }
        // Files for an agent are made only for one that was named.
        argv.push("--integration=none".to_owned());
    }
    Ok(())
}

/// A program that runs the CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The CLI itself, or a runner that gets it for one call.
    pub file: PathBuf,
    /// What stands in front of a call's arguments; empty for the CLI itself.
    pub before: &'static [&'static str],
}

/// Runners that get the CLI for one call where it is not installed, each with what it wants; of the
/// version that this crate was compared with.
const RUNNERS: &[(&str, &[&str])] = &[
    ("uvx", &["--from", "specify-cli==1.2.3", "specify"]),
    ("pipx", &["run", "--spec", "specify-cli==1.2.3", "specify"]),
];

/// The CLI: the path that was given, else the first `specify` of a `PATH`, else, if it may be
/// fetched, the first runner that does so for one call.
///
/// # Errors
/// `NoProgram` with where it was looked for.
pub fn find_program(given: Option<&Path>, path: Option<&OsStr>, fetch: bool) -> Result<Program> {
    if let Some(given) = given {
        if is_program(given) {
            return Ok(Program { file: given.to_owned(), before: &[] });
        }
        return Err(Error::NoProgram { looked: format!("`{}` is no program", given.display()) });
    }
    // A relative entry would depend on the folder that the program runs in.
    let folders: Vec<PathBuf> = path
        .map(std::env::split_paths)
        .into_iter()
        .flatten()
        .filter(|folder| folder.is_absolute())
        .collect();
    let ending = if cfg!(windows) { ".exe" } else { "" };
    let first = |name: &str| {
        let files = folders.iter().map(|folder| folder.join(format!("{name}{ending}")));
        files.into_iter().find(|file| is_program(file))
    };
    if let Some(file) = first("specify") {
        return Ok(Program { file, before: &[] });
    }
    let mut runners = RUNNERS.iter().filter(|_| fetch);
    let runner = runners.find_map(|(name, before)| Some((first(name)?, *before)));
    let looked = match fetch {
        true => "no `specify`, `uvx` or `pipx` in PATH",
        false => "no `specify` in PATH, and `spec_kit.fetch` is off",
    };
    runner
        .map(|(file, before)| Program { file, before })
        .ok_or_else(|| Error::NoProgram { looked: looked.to_owned() })
}

fn is_program(path: &Path) -> bool {
    let Ok(meta) = path.metadata() else { return false };
    #[cfg(unix)]
    let runs = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let runs = true;
    meta.is_file() && runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_run_and_how() {
        let call = invocation("extension add", &["git", "--priority", "5"]).unwrap();
        assert_eq!(call.argv, ["extension", "add", "git", "--priority=5"]);
        assert_eq!((call.allowed.class, call.allowed.network), (Class::Write, false));
        assert!(call.env.contains(&("NO_COLOR", "1")) && call.env.contains(&("TERM", "dumb")));
        let version = invocation("version", &["--json"]).unwrap();
        assert_eq!((version.argv.len(), version.allowed.class), (2, Class::Read));
        let init = invocation("init", &["--here", "--integration=claude"]).unwrap();
        let wanted =
            ["init", "--here", "--integration=claude", "--non-interactive", "--ignore-agent-tools"];
        assert_eq!(init.argv, wanted);
        assert!(invocation("init demo", &[]).unwrap().argv.contains(&"--integration=none".into()));
        assert!(invocation("self check", &[]).unwrap().allowed.network);
    }

    #[test]
    fn what_may_not() {
        for (command, args) in [
            ("mcp", vec![]),
            ("self upgrade", vec![]),
            ("workflow run", vec!["x"]),
            ("event run", vec![]),
            ("extension catalog", vec!["add"]),
            ("", vec![]),
            ("extension add", vec!["git", "--from", "https://x"]),
            ("extension add", vec!["--dev", "x"]),
            ("extension add", vec!["../x"]),
            ("extension add", vec!["/x"]),
            ("extension add", vec!["https://x/y"]),
            ("extension add", vec!["a", "b"]),
            ("extension add", vec!["a; rm -rf b"]),
            ("extension add", vec!["--priority=--force", "a"]),
            ("init", vec![]),
            ("init", vec!["a", "--here"]),
            ("init", vec!["--here", "--force"]),
            ("init", vec!["a", "--trust-integration"]),
            ("init", vec!["--here", "--integration-options=--commands-dir /x"]),
            ("version", vec!["x"]),
        ] {
            assert!(invocation(command, &args).is_err(), "{command} {args:?}");
        }
        let near = invocation("extension ad", &["git"]).unwrap_err().to_string();
        assert!(near.contains("extension add"), "{near}");
    }

    #[cfg(unix)]
    #[test]
    fn the_program_is_found_or_the_error_says_how_to_install() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("specify");
        std::fs::write(&file, "").unwrap();
        let path = dir.path().as_os_str();
        assert!(find_program(None, Some(path), true).is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let installed = Program { file: file.clone(), before: &[] };
        assert_eq!(find_program(None, Some(path), true).unwrap(), installed);
        assert_eq!(find_program(Some(&file), None, false).unwrap(), installed);
        // A runner stands in for what is not installed, and for nothing else.
        let runner = dir.path().join("pipx");
        std::fs::copy(&file, &runner).unwrap();
        assert_eq!(find_program(None, Some(path), true).unwrap(), installed);
        std::fs::remove_file(&file).unwrap();
        assert!(find_program(None, Some(path), false).is_err(), "nobody allowed it");
        let found = find_program(None, Some(path), true).unwrap();
        assert_eq!((found.file, found.before[0]), (runner, "run"));
        let missing = find_program(Some(dir.path()), Some(path), true).unwrap_err().to_string();
        assert!(missing.contains("uv tool install specify-cli"), "{missing}");
    }
}
