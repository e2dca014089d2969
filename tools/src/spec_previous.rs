//! Texts of documents as they were before an edit replaced them: kept for every tool that edits,
//! and listed, had again and put back for a person. No tool: an agent has git, and a hash.

use crate::{Context, Error, spec};
use std::cell::RefCell;
use std::path::{Component, Path, PathBuf};
use synod_speckit::{Error as Fault, Present, Project, Restored, hash, present, restore};
use synod_store::Previous;

/// As refusals name it.
const NAME: &str = "spec";

/// What is kept of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousTexts {
    /// The file's path in its project.
    pub file: String,
    /// What lies there now.
    pub present: Present,
    /// Newest first.
    pub texts: Vec<Previous>,
}

/// Keeps in the store what an edit is about to replace.
pub struct Keeper<'a> {
    cx: &'a Context,
    /// Why the store did not: the engine knows no store and passes on words only.
    failed: RefCell<Option<synod_store::Error>>,
}

impl<'a> Keeper<'a> {
    /// For one edit.
    pub fn new(cx: &'a Context) -> Self {
        Keeper { cx, failed: RefCell::new(None) }
    }

    /// As the engine calls it.
    pub fn keep(&self, path: &Path, text: &[u8]) -> Result<(), String> {
        let Keeper { cx, failed } = self;
        let kept = cx.store.keep_previous(path, &hash(text), text, (cx.now_ms)());
        kept.map_err(|error| {
            // What SQLite says is for the log.
            let said = match (&error, error.disk()) {
                (_, Some(why)) => why.to_owned(),
                (synod_store::Error::Sql(sql), None) => {
                    tracing::error!(error = %sql, "the text before an edit was not kept");
                    "the state database failed; the log has more".to_owned()
                }
                (error, None) => error.to_string(),
            };
            *failed.borrow_mut() = Some(error);
            said
        })
    }

    /// An error of the edit as a fault of a tool; a failure of the store is one here as anywhere.
    pub fn fault(&self, tool: &str, error: Fault) -> Error {
        match (error, self.failed.take()) {
            (Fault::NotKept { path, .. }, Some(source)) => {
                let path = path.display();
                let what = "was left as it is, for its text could not be kept before the edit";
                Error::NotKept { what: format!("{tool}: `{path}` {what}"), source }
            }
            (error, _) => spec::fault(tool, error),
        }
    }
}

/// What is kept of a file, by its absolute path, whatever lies there now.
///
/// # Errors
/// `Args` for a file outside of every project of the sources, `Refused` where Spec-Kit is switched
/// off; those of the store.
pub fn spec_previous(cx: &Context, file: &Path) -> Result<PreviousTexts, Error> {
    let at = At::find(cx, file)?;
    let present = present(&at.project, &at.path).map_err(|error| spec::fault(NAME, error))?;
    Ok(PreviousTexts { texts: cx.store.previous(&at.file)?, file: at.path, present })
}

/// A text that is kept of a file, byte for byte.
///
/// # Errors
/// As [`spec_previous`], and `Missing` if none of that hash is kept.
pub fn spec_previous_text(cx: &Context, file: &Path, hash: &str) -> Result<Vec<u8>, Error> {
    At::find(cx, file)?.text(cx, hash)
}

/// Puts a text that is kept of a file back into its place, and keeps what it replaces. With `read`,
/// the hash that was listed, it is refused if the file is another one now.
///
/// # Errors
/// As [`spec_previous_text`], `Conflict` for a stale hash, `Refused` where nothing may be changed
/// or what lies there cannot be read, `NotKept`. The file is untouched then.
pub fn spec_restore(
    cx: &Context,
    file: &Path,
    hash: &str,
    read: Option<&str>,
) -> Result<Restored, Error> {
    if cx.store.is_read_only() {
        return Err(synod_store::Error::ReadOnly.into());
    }
    if cx.read_only {
        return Err(Error::Refused(format!("{NAME}: nothing is put back in read-only mode")));
    }
    let at = At::find(cx, file)?;
    let text = at.text(cx, hash)?;
    let keeper = Keeper::new(cx);
    let keep = |path: &Path, text: &[u8]| keeper.keep(path, text);
    let done = restore(&at.project, &at.path, &text, read, &keep);
    done.map_err(|error| keeper.fault(NAME, error))
}

/// Where a file lies, or lay.
struct At {
    project: Project,
    /// In the project.
    path: String,
    /// Resolved: what its texts are kept under.
    file: PathBuf,
}

impl At {
    fn find(cx: &Context, file: &Path) -> Result<Self, Error> {
        let shown = file.display();
        let outside = || Error::Args(format!("{NAME}: `{shown}` lies in no Spec-Kit project"));
        let found = resolved(file).ok_or_else(|| {
            Error::Args(format!("{NAME}: `{shown}` leads nowhere; give the path of a document"))
        })?;
        let folder = found.ancestors().find(|folder| folder.is_dir()).and_then(Path::to_str);
        let project = spec::project(cx, NAME, Some(folder.ok_or_else(outside)?))?;
        // A source that is no project may hold one, in which the file need not lie.
        let path = found.strip_prefix(&project.root).ok().and_then(Path::to_str);
        let path = path.ok_or_else(outside)?.to_owned();
        Ok(At { project, path, file: found })
    }

    fn text(&self, cx: &Context, hash: &str) -> Result<Vec<u8>, Error> {
        cx.store.previous_text(&self.file, hash)?.ok_or_else(|| {
            let path = &self.path;
            Error::Missing(format!(
                "{NAME}: no text `{hash}` is kept of `{path}`; list those that are with \
                 `synod spec previous`"
            ))
        })
    }
}

/// A file with its links resolved; of one that is gone, perhaps with its folder, what there is of
/// its path. What was kept of it is still to be had.
fn resolved(file: &Path) -> Option<PathBuf> {
    if let Ok(found) = file.canonicalize() {
        return Some(found);
    }
    let folder = file.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let rest = file.strip_prefix(folder).ok()?;
    let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    let folder = plain.then(|| folder.canonicalize().ok()).flatten()?;
    Some(folder.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_gone_has_its_place_and_no_way_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        std::fs::write(root.join("a/x.md"), "x").unwrap();
        assert_eq!(resolved(&root.join("a/../a/x.md")), Some(root.join("a/x.md")));
        assert_eq!(resolved(&root.join("a/gone.md")), Some(root.join("a/gone.md")));
        assert_eq!(resolved(&root.join("a/gone/b/c.md")), Some(root.join("a/gone/b/c.md")));
        assert_eq!(resolved(&root.join("a/gone/../../../c.md")), None);
    }
}
