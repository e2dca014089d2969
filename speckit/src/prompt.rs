//! The Spec-Kit commands of a project: the texts that tell an agent how to specify, plan, …
//!
//! They are read from where an integration put them and belong to the CLI's version there; none are
//! kept here. Whoever serves them fills `$ARGUMENTS`.

use crate::error::{Error, Result};
use crate::jail;
use crate::nearest::{hint, nearest};
use crate::project::Project;
use serde_json::Value;
use std::collections::HashSet;

/// Commands of one project.
pub const PROMPTS_MAX: usize = 500;
/// Where integrations put commands, for projects whose manifests are gone.
const FOLDERS: &[&str] = &[
    ".claude/skills",
    ".claude/commands",
    ".github/skills",
    ".github/prompts",
    ".github/agents",
    ".agents/skills",
    ".codex/prompts",
    ".cursor/commands",
    ".cursor/skills",
    ".gemini/commands",
    ".opencode/command",
    ".opencode/commands",
    ".windsurf/workflows",
    ".qwen/commands",
];
/// What file names of commands end with, longest first.
const ENDINGS: &[&str] = &["/SKILL.md", ".prompt.md", ".agent.md", ".md", ".toml"];

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// `plan`, `git.commit`
    pub name: String,
    /// From the front matter; may be empty.
    pub description: String,
    /// What the arguments are, from the front matter.
    pub arguments: Option<String>,
    /// Without front matter, with `$ARGUMENTS`.
    pub text: String,
    /// Relative to the project.
    pub path: String,
}

/// The name of a command's file; none if it is something else.
fn name_of(path: &str) -> Option<String> {
    let ending = ENDINGS.iter().find(|ending| path.ends_with(*ending))?;
    let stem = &path[..path.len() - ending.len()];
    let stem = stem.rsplit('/').next().unwrap_or(stem);
    let name = stem.strip_prefix("speckit").and_then(|rest| rest.strip_prefix(['.', '-']))?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!name.is_empty() && name.len() <= 100 && name.bytes().all(fine)).then(|| name.to_owned())
}

/// Value of a plain or quoted scalar in front matter.
fn unquote(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner.replace("\\\"", "\"").replace("''", "'");
        }
    }
    text.to_owned()
}

/// Front matter and the rest; without an end it is no front matter.
fn split_front(text: &str) -> (&str, &str) {
    let bare = text.trim_start_matches('\u{feff}');
    let Some(first) = bare.strip_prefix("---\n").or_else(|| bare.strip_prefix("---\r\n")) else {
        return ("", text);
    };
    let mut at = 0;
    for line in first.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (&first[..at], first[at + line.len()..].trim_start_matches(['\r', '\n']));
        }
        at += line.len();
    }
    ("", text)
}

/// A command as a TOML file with `prompt = """…"""`.
fn from_toml(text: &str) -> Option<(String, String)> {
    let line = text.lines().find_map(|line| line.strip_prefix("description ="));
    let (quote, start) = ["\"\"\"", "'''"].into_iter().find_map(|quote| {
        let sign = format!("prompt = {quote}");
        Some((quote, text.find(&sign)? + sign.len()))
    })?;
    let end = start + text[start..].rfind(quote)?;
    let body = text[start..end].trim_start_matches(['\r', '\n']);
    let body = match quote {
        "'''" => body.to_owned(),
        _ => body.replace("\\\"", "\"").replace("\\\\", "\\"),
    };
    Some((line.map(unquote).unwrap_or_default(), body.replace("{{args}}", "$ARGUMENTS")))
}

fn parse(name: String, path: &str, text: &str) -> Option<Prompt> {
    let path = path.to_owned();
    if path.ends_with(".toml") {
        let (description, text) = from_toml(text)?;
        return Some(Prompt { name, description, arguments: None, text, path });
    }
    let (front, body) = split_front(text);
    let field = |key: &str| {
        let line = front.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(unquote).filter(|value| !value.is_empty())
    };
    let arguments = field("argument-hint");
    let description = field("description").unwrap_or_default();
    Some(Prompt { name, description, arguments, text: body.to_owned(), path })
}

/// Files that the manifests of integrations name, the default one's first.
fn from_manifests(project: &Project) -> Vec<String> {
    let mut names: Vec<&String> = project.integration.iter().collect();
    names.extend(
        project.integrations.iter().filter(|name| project.integration.as_ref() != Some(*name)),
    );
    let mut out = Vec::new();
    for name in names {
        let path = format!(".specify/integrations/{name}.manifest.json");
        let text = jail::read(&project.root, &path).unwrap_or_default();
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let files = value["files"].as_object();
        out.extend(files.into_iter().flatten().map(|(path, _)| path.replace('\\', "/")));
    }
    out
}

/// Names in a folder, sorted; none if it cannot be read.
fn entries(project: &Project, folder: &str) -> Vec<String> {
    let Ok(dir) = jail::resolve(&project.root, folder) else { return Vec::new() };
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut out: Vec<String> = names.take(PROMPTS_MAX).collect();
    out.sort();
    out
}

/// Every file that could be a command, those that count more first.
fn candidates(project: &Project) -> Vec<String> {
    let mut out = from_manifests(project);
    // Extensions put their commands beside those of the integration, without its manifest.
    let mut folders: Vec<String> = Vec::new();
    for path in &out {
        let folder = match path.strip_suffix("/SKILL.md") {
            Some(skill) => skill.rsplit_once('/').map(|(folder, _)| folder),
            None => path.rsplit_once('/').map(|(folder, _)| folder),
        };
        if let Some(folder) = folder.filter(|_| name_of(path).is_some()).map(str::to_owned)
            && !folders.contains(&folder)
        {
            folders.push(folder);
        }
    }
    folders.extend(FOLDERS.iter().map(|folder| (*folder).to_owned()));
    for layer in ["presets", "extensions"] {
        let base = format!(".specify/{layer}");
        let names = entries(project, &base).into_iter().filter(|name| !name.starts_with('.'));
        folders.extend(names.map(|name| format!("{base}/{name}/commands")));
    }
    folders.push(".specify/templates/commands".to_owned());
    for folder in folders {
        for name in entries(project, &folder) {
            let path = format!("{folder}/{name}");
            out.push(format!("{path}/SKILL.md"));
            out.push(path);
        }
    }
    out
}

/// The commands of a project, by name; empty if no integration is installed. A file that cannot be
/// read is left out.
pub fn prompts(project: &Project) -> Vec<Prompt> {
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for path in candidates(project) {
        // The oldest layout has plain names.
        let plain = path.strip_prefix(".specify/templates/commands/").and_then(|name| {
            name.strip_suffix(".md").filter(|name| !name.contains('/')).map(str::to_owned)
        });
        let Some(name) = name_of(&path).or(plain) else { continue };
        // `git.commit` and `git-commit` are one command with two separators.
        let key = name.replace('.', "-");
        if out.len() >= PROMPTS_MAX || seen.contains(&key) {
            continue;
        }
        let Ok(text) = jail::read(&project.root, &path) else { continue };
        if let Some(prompt) = parse(name, &path, &text) {
            seen.insert(key);
            out.push(prompt);
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// One command, by `plan`, `speckit.plan` or `/speckit-plan`.
///
/// # Errors
/// `Missing` with the nearest names, and how to install commands if there are none.
pub fn prompt(project: &Project, wanted: &str) -> Result<Prompt> {
    let all = prompts(project);
    let plain = wanted.trim().trim_start_matches('/');
    let plain = plain.strip_prefix("speckit").map_or(plain, |p| p.trim_start_matches(['.', '-']));
    let even = |name: &str| name.replace(['.', '_'], "-");
    let key = even(plain);
    match all.iter().find(|prompt| even(&prompt.name) == key) {
        Some(found) => Ok(found.clone()),
        None => {
            let nearest = nearest(plain, all.iter().map(|prompt| prompt.name.as_str()));
            let otherwise = match all.len() {
                0 => "the project has no commands; `specify integration install NAME` brings some"
                    .to_owned(),
                n => format!("it has {n} commands"),
            };
            let what =
                format!("no command `{wanted}` in the project{}", hint(&nearest, &otherwise));
            Err(Error::Missing { what, nearest })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".specify")).unwrap();
        for (path, text) in files {
            let at = dir.path().join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, text).unwrap();
        }
        let project = Project::open(dir.path()).unwrap();
        (dir, project)
    }

    #[test]
    fn wherever_an_integration_put_them() {
        let front =
            "---\ndescription: \"Plan it.\"\nargument-hint: 'how'\n---\n\n\n## Do\n$ARGUMENTS\n";
        let toml = "description = \"List.\"\n\nprompt = \"\"\"\n\n## Do\n{{args}} \\\\d\n\"\"\"\n";
        let manifest = r#"{"files":{".my/cmd/speckit.specify.md":"x",".my/cmd/README.md":"y"}}"#;
        let state = r#"{"default_integration":"generic","installed_integrations":["generic"]}"#;
        let (_dir, project) = project(&[
            (".claude/skills/speckit-plan/SKILL.md", front),
            (".gemini/commands/speckit.tasks.toml", toml),
            (".github/prompts/speckit.plan.prompt.md", "other"),
            (".specify/integration.json", state),
            (".specify/integrations/generic.manifest.json", manifest),
            (".my/cmd/speckit.specify.md", "---\nbroken: front\n\ntext\n"),
            (".my/cmd/speckit.git.commit.md", "from an extension"),
            (".specify/extensions/git/commands/speckit.git.commit.md", "its source"),
            (".specify/templates/commands/implement.md", "oldest"),
            (".claude/commands/other.md", "no command"),
        ]);
        let all = prompts(&project);
        let names: Vec<_> = all.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["git.commit", "implement", "plan", "specify", "tasks"]);
        let plan = prompt(&project, "/speckit-plan").unwrap();
        assert_eq!(
            (plan.description.as_str(), plan.text.as_str()),
            ("Plan it.", "## Do\n$ARGUMENTS\n")
        );
        assert_eq!(plan.arguments.as_deref(), Some("how"));
        let tasks = prompt(&project, "tasks").unwrap();
        assert_eq!(
            (tasks.description.as_str(), tasks.text.as_str()),
            ("List.", "## Do\n$ARGUMENTS \\d\n")
        );
        assert!(prompt(&project, "specify").unwrap().text.starts_with("---\nbroken"));
        assert_eq!(prompt(&project, "git-commit").unwrap().text, "from an extension");
        let miss = prompt(&project, "plann").unwrap_err().to_string();
        assert!(miss.contains("nearest is `plan`"), "{miss}");
    }

    #[test]
    fn none_without_an_integration() {
        let (_dir, project) = project(&[]);
        assert!(prompts(&project).is_empty());
        assert!(prompt(&project, "plan").unwrap_err().to_string().contains("integration install"));
    }
}
