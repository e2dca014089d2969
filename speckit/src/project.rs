//! A Spec-Kit project: where it is, how it is set up, which features it has.
//!
//! The shared pointer `.specify/feature.json` is read to say what it says and for nothing else:
//! every operation names its feature. Invariant: the root is resolved, and all that is read or
//! written through a project lies below it.

use crate::error::{Error, Result};
use crate::jail;
use crate::nearest::{hint, nearest};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How deep below a folder projects are looked for.
pub const DISCOVERY_DEPTH_MAX: usize = 6;
/// Folders that one search for projects looks into.
pub const DISCOVERY_FOLDERS_MAX: usize = 20_000;
/// Features that one project may have.
pub const FEATURES_MAX: usize = 10_000;
/// Folders that hold no projects of one's own.
const SKIPPED: &[&str] = &["node_modules", "target", "dist", "build", "vendor", "venv"];

/// How features are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// `001-…`
    Sequential,
    /// `20260131-120000-…`
    Timestamp,
}

/// What git knows of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// The checkout's folder, which may be above the project.
    pub checkout: PathBuf,
    /// A worktree beside the main checkout.
    pub worktree: bool,
    /// None on a detached head.
    pub branch: Option<String>,
}

/// A project; see [`Project::find`].
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder with `.specify/` in it, resolved.
    pub root: PathBuf,
    /// Version of the CLI that made or last upgraded it.
    pub version: Option<String>,
    /// How features are to be numbered.
    pub numbering: Numbering,
    /// `sh`, `ps` or `py`.
    pub script: Option<String>,
    /// The default integration; none if there is no agent.
    pub integration: Option<String>,
    /// All that are installed.
    pub integrations: Vec<String>,
    /// Between `/speckit` and the name of a command: `.` or `-`.
    pub separator: char,
    /// What `.specify/feature.json` says; shared by all, so never relied on.
    pub active: Option<String>,
    /// Configuration files that could not be read.
    pub unreadable: Vec<String>,
}

/// What a search for projects found.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// By path.
    pub projects: Vec<Project>,
    /// False if the search stopped at [`DISCOVERY_FOLDERS_MAX`].
    pub complete: bool,
}

/// A feature's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// `001`, `20260131-120000`, or the whole name if it has no number.
    pub id: String,
    /// `001-photo-albums`
    pub name: String,
    /// Relative to the project, with `/`.
    pub path: String,
    /// Resolved.
    pub folder: PathBuf,
    /// The project's root, resolved: links may lead elsewhere in the project, not out of it.
    pub root: PathBuf,
}

impl Project {
    /// The project that `start` lies in: the nearest folder upwards with `.specify/`, not above
    /// `ceiling`.
    ///
    /// # Errors
    /// `NoProject` if there is none, `Io` if `start` does not exist.
    pub fn find(start: &Path, ceiling: Option<&Path>) -> Result<Self> {
        let resolved = |path: &Path| path.canonicalize().map_err(|source| Error::io(path, source));
        let from = resolved(start)?;
        let ceiling = ceiling.map(resolved).transpose()?;
        let inside = |dir: &&Path| ceiling.as_ref().is_none_or(|top| dir.starts_with(top));
        let root = from.ancestors().take_while(inside).find(|dir| dir.join(".specify").is_dir());
        match root {
            Some(root) => Self::open(root),
            None => Err(Error::NoProject { path: start.to_owned() }),
        }
    }

    /// The project of exactly this folder, as `SPECIFY_INIT_DIR` names it.
    ///
    /// # Errors
    /// `NoProject` if it has no `.specify/`, or if that is a link that leaves the folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let none = || Error::NoProject { path: folder.to_owned() };
        let root = folder.canonicalize().map_err(|_| none())?;
        if !jail::resolve(&root, ".specify").is_ok_and(|dir| dir.is_dir()) {
            return Err(none());
        }
        let mut unreadable = Vec::new();
        let mut json = |path: &str| match jail::read_optional(&root, path) {
            Ok(None) => Value::Null,
            Ok(Some(text)) => serde_json::from_str(&text).unwrap_or_else(|_| {
                unreadable.push(path.to_owned());
                Value::Null
            }),
            Err(_) => {
                unreadable.push(path.to_owned());
                Value::Null
            }
        };
        let options = json(".specify/init-options.json");
        let state = json(".specify/integration.json");
        let pointer = json(".specify/feature.json");
        let text = |value: &Value| value.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        let integration = text(&state["default_integration"]).or(text(&state["integration"]));
        let settings = &state["integration_settings"];
        let separator =
            integration.as_ref().and_then(|key| settings[key]["invoke_separator"].as_str());
        let installed = state["installed_integrations"].as_array();
        let numbering = match options["feature_numbering"].as_str() {
            Some("timestamp") => Numbering::Timestamp,
            _ => Numbering::Sequential,
        };
        Ok(Project {
            version: text(&options["speckit_version"]).or(text(&state["version"])),
            numbering,
            script: text(&options["script"]),
            integration: integration.filter(|name| name != "none"),
            integrations: installed.into_iter().flatten().filter_map(text).collect(),
            separator: if separator == Some("-") { '-' } else { '.' },
            active: text(&pointer["feature_directory"]),
            unreadable,
            root,
        })
    }

    /// Every project below a folder, itself included; a monorepo has several.
    ///
    /// # Errors
    /// `Io` if the folder cannot be read.
    pub fn discover(folder: &Path) -> Result<Discovered> {
        let top = folder.canonicalize().map_err(|source| Error::io(folder, source))?;
        let mut out = Discovered { projects: Vec::new(), complete: true };
        let mut open = vec![(top, 0)];
        let mut seen = 0;
        while let Some((dir, depth)) = open.pop() {
            seen += 1;
            if seen > DISCOVERY_FOLDERS_MAX {
                out.complete = false;
                break;
            }
            if let Ok(project) = Self::open(&dir) {
                out.projects.push(project);
            }
            // A folder that may not be read holds nothing that we could use.
            let Ok(entries) = dir.read_dir() else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let skipped = name.starts_with('.') || SKIPPED.contains(&name.as_ref());
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_dir && !skipped && depth < DISCOVERY_DEPTH_MAX {
                    open.push((entry.path(), depth + 1));
                }
            }
        }
        out.projects.sort_by(|a, b| a.root.cmp(&b.root));
        Ok(out)
    }

    /// How an agent invokes a command here: `/speckit-plan` or `/speckit.plan`.
    pub fn invocation(&self, command: &str) -> String {
        let name = command.trim_start_matches('/');
        let name = name.strip_prefix("speckit.").or(name.strip_prefix("speckit-")).unwrap_or(name);
        let separator = self.separator;
        format!("/speckit{separator}{}", name.replace('.', &separator.to_string()))
    }

    /// The checkout that the project lies in, read from `.git` without running git.
    pub fn git(&self) -> Option<Git> {
        let checkout = self.root.ancestors().find(|dir| dir.join(".git").exists())?;
        let dot = checkout.join(".git");
        let worktree = dot.is_file();
        let dir = if worktree {
            let text = jail::read_at(&dot).ok()?;
            checkout.join(text.strip_prefix("gitdir:")?.trim())
        } else {
            dot
        };
        let head = jail::read_at(&dir.join("HEAD")).ok()?;
        let branch = head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned);
        Some(Git { checkout: checkout.to_owned(), worktree, branch })
    }

    /// Every feature below `specs/`, by name.
    ///
    /// # Errors
    /// `Io` if `specs/` cannot be read, `Outside` if it is a link that leaves the project,
    /// `Argument` for more than [`FEATURES_MAX`].
    pub fn features(&self) -> Result<Vec<Feature>> {
        let specs = match jail::resolve(&self.root, "specs") {
            Ok(specs) => specs,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut out = Vec::new();
        for entry in specs.read_dir().map_err(|source| Error::io(&specs, source))? {
            let entry = entry.map_err(|source| Error::io(&specs, source))?;
            let kind = entry.file_type().map_err(|source| Error::io(&specs, source))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("specs/{name}");
            let folder = if kind.is_symlink() {
                // One that leaves the project is no feature of it.
                let Ok(folder) = jail::resolve(&self.root, &path) else { continue };
                if !folder.is_dir() {
                    continue;
                }
                folder
            } else if kind.is_dir() {
                entry.path()
            } else {
                continue;
            };
            if out.len() == FEATURES_MAX {
                return Err(Error::Argument(format!(
                    "`specs/` holds more than {FEATURES_MAX} folders; move old features elsewhere"
                )));
            }
            out.push(Feature { id: id_of(&name), name, path, folder, root: self.root.clone() });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// One feature, by id (`7` and `007` are the same), by name, or by its path inside the project.
    ///
    /// # Errors
    /// `Missing` with the nearest names, `Ambiguous` if an id is given twice, `Outside` for a path
    /// that leaves the project.
    pub fn feature(&self, wanted: &str) -> Result<Feature> {
        let wanted = wanted.trim().trim_end_matches('/');
        jail::check(wanted)?;
        let features = self.features()?;
        let wanted_path = wanted.trim_start_matches("./");
        if let Some(found) = features.iter().find(|f| f.name == wanted || f.path == wanted_path) {
            return Ok(found.clone());
        }
        if wanted_path.contains(['/', '\\']) {
            return self.feature_at(wanted_path, &features);
        }
        let same = |f: &&Feature| f.id == wanted || same_number(&f.id, wanted);
        let found: Vec<&Feature> = features.iter().filter(same).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(missing(wanted, &features)),
            several => {
                let candidates: Vec<String> = several.iter().map(|f| f.name.clone()).collect();
                let what = format!(
                    "feature `{wanted}` is given {} times: `{}`; give the whole name",
                    candidates.len(),
                    candidates.join("`, `")
                );
                Err(Error::Ambiguous { what, candidates })
            }
        }
    }

    /// A feature that lies elsewhere in the project.
    fn feature_at(&self, path: &str, features: &[Feature]) -> Result<Feature> {
        let folder = match jail::resolve(&self.root, path) {
            Err(Error::Io { .. }) => return Err(missing(path, features)),
            other => other?,
        };
        let has_docs =
            ["spec.md", "plan.md", "tasks.md"].iter().any(|doc| folder.join(doc).is_file());
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
        if !has_docs {
            return Err(missing(path, features));
        }
        let (path, root) = (path.replace('\\', "/"), self.root.clone());
        Ok(Feature { id: id_of(&name), name, path, folder, root })
    }
}

fn missing(wanted: &str, features: &[Feature]) -> Error {
    let nearest = nearest(wanted, features.iter().map(|f| f.name.as_str()));
    let otherwise = match features {
        [] => "it has no features yet".to_owned(),
        [one] => format!("its only one is `{}`", one.name),
        several => format!("it has {} others, list them", several.len()),
    };
    let what = format!("no feature `{wanted}` in the project{}", hint(&nearest, &otherwise));
    Error::Missing { what, nearest }
}

/// Whether a name begins like `20260131-120000-`.
pub(crate) fn has_timestamp(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    bytes.len() > 15 && digits(0..8) && bytes[8] == b'-' && digits(9..15) && bytes[15] == b'-'
}

fn id_of(name: &str) -> String {
    if has_timestamp(name) {
        return name[..15].to_owned();
    }
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        0 => name.to_owned(),
        _ if name[digits..].starts_with('-') => name[..digits].to_owned(),
        _ => name.to_owned(),
    }
}

fn same_number(id: &str, wanted: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.trim_start_matches('0').to_owned())
    };
    number(wanted).is_some_and(|wanted| number(id) == Some(wanted))
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
