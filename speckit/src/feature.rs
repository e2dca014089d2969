//! The documents of a feature.

use crate::error::{Error, Result};
use crate::jail;
use crate::nearest::{hint, nearest};
use crate::project::Feature;
use std::path::Path;

/// Contracts or checklists that one feature may have.
pub const FILES_MAX: usize = 1_000;
/// How deep contracts may lie.
const CONTRACTS_DEPTH_MAX: usize = 4;
/// Documents with a name of their own, in the order of the workflow.
pub(crate) const NAMED: &[&str] =
    &["spec.md", "plan.md", "research.md", "data-model.md", "quickstart.md", "tasks.md"];

/// A document's text with its hash.
#[derive(Clone, Debug)]
pub struct Doc {
    /// Relative to the feature, with `/`.
    pub path: String,
    /// Byte for byte.
    pub text: String,
    /// What an edit has to show; see [`hash`].
    pub hash: String,
}

/// The hash of a document's bytes: 64 bits of BLAKE3 in 16 hexadecimal digits. It tells one state
/// of a document from another; it is no defence against somebody who makes collisions.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

impl Feature {
    /// Reads a document; `path` is relative to the feature.
    ///
    /// # Errors
    /// `Missing` with the nearest documents, `Outside` for a path that leaves the feature,
    /// `Unreadable` for what is not UTF-8 or too long.
    pub fn read(&self, path: &str) -> Result<Doc> {
        match self.read_optional(path)? {
            Some(doc) => Ok(doc),
            None => Err(self.no_document(path)),
        }
    }

    /// Reads a document; none if it does not exist.
    ///
    /// # Errors
    /// As [`Feature::read`].
    pub fn read_optional(&self, path: &str) -> Result<Option<Doc>> {
        let text = jail::read_optional(&self.root, &self.at(path)?)?;
        Ok(text.map(|text| Doc { path: path.to_owned(), hash: hash(text.as_bytes()), text }))
    }

    /// Every document there is, relative to the feature, in the order of the workflow.
    pub fn documents(&self) -> Vec<String> {
        let mut out: Vec<String> =
            NAMED.iter().filter(|name| self.has(name)).map(|name| (*name).to_owned()).collect();
        out.extend(self.contracts());
        out.extend(self.checklists());
        out
    }

    /// Files below `contracts/`, relative to the feature; hidden ones are left out.
    pub fn contracts(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.files("contracts", CONTRACTS_DEPTH_MAX, &mut out);
        out.sort();
        out
    }

    /// `checklists/*.md`, relative to the feature.
    pub fn checklists(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.files("checklists", 1, &mut out);
        out.retain(|path| path.ends_with(".md"));
        out.sort();
        out
    }

    /// A document's path below the project's root.
    ///
    /// # Errors
    /// `Outside` if it is not below the feature.
    pub(crate) fn at(&self, doc: &str) -> Result<String> {
        jail::check(doc)?;
        Ok(format!("{}/{doc}", self.path))
    }

    /// Whether there is such a document inside the project.
    pub(crate) fn has(&self, doc: &str) -> bool {
        let path = self.at(doc).and_then(|path| jail::resolve(&self.root, &path));
        path.is_ok_and(|path| path.is_file())
    }

    fn files(&self, name: &str, depth: usize, out: &mut Vec<String>) {
        let mut dir = self.folder.join(name);
        // Asked first, as resolving every part of every path would double the time of a list.
        if dir.is_symlink() {
            let resolved = self.at(name).and_then(|path| jail::resolve(&self.root, &path));
            let Ok(resolved) = resolved else { return };
            dir = resolved;
        }
        files(&dir, name, depth, out);
    }

    pub(crate) fn no_document(&self, path: &str) -> Error {
        let known = self.documents();
        let nearest = nearest(path, known.iter().map(String::as_str));
        let otherwise = match known.as_slice() {
            [] => "the feature has no documents yet".to_owned(),
            known => format!("it has {}", known.join(", ")),
        };
        let name = &self.name;
        let what =
            format!("no document `{path}` in feature `{name}`{}", hint(&nearest, &otherwise));
        Error::Missing { what, nearest }
    }
}

fn files(dir: &Path, prefix: &str, depth: usize, out: &mut Vec<String>) {
    // A folder that is not there, or may not be read, has no files.
    let Ok(entries) = dir.read_dir() else { return };
    for entry in entries.flatten() {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
            continue;
        };
        if name.starts_with('.') || out.len() >= FILES_MAX {
            continue;
        }
        let path = format!("{prefix}/{name}");
        if kind.is_dir() && depth > 1 {
            files(&entry.path(), &path, depth - 1, out);
        } else if kind.is_file() {
            out.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_in_order_and_nearest_on_a_miss() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap();
        for (path, text) in [
            ("tasks.md", "t"),
            ("spec.md", "s"),
            ("contracts/v1/api.yaml", "a"),
            ("contracts/.hidden", ""),
            ("checklists/ux.md", "c"),
            ("checklists/other.txt", "c"),
        ] {
            let at = folder.join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, text).unwrap();
        }
        let root = folder.parent().unwrap().to_owned();
        let path = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let feature = Feature { id: "1".into(), name: path.clone(), path, folder, root };
        let wanted = ["spec.md", "tasks.md", "contracts/v1/api.yaml", "checklists/ux.md"];
        assert_eq!(feature.documents(), wanted);
        assert_eq!(feature.read("spec.md").unwrap().text, "s");
        let miss = feature.read("task.md").unwrap_err().to_string();
        assert!(miss.contains("nearest is `tasks.md`"), "{miss}");
        assert!(feature.read("../x").is_err());
    }
}
