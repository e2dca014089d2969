//! Folders in folders: what lies in two sources is read twice and found twice, and its name means
//! two documents.
//!
//! It does not know who may say that this is meant.

use crate::db::Source;
use crate::error::{Error, Result};
use crate::walk::{slashed, why_left_out};
use std::path::{Path, PathBuf};

/// Refuses a folder that has files in common with another source: it lies in one whose walk comes
/// to it, or holds one. A folder that is a source already is none that is added.
///
/// # Errors
/// `Source`, with the other one's name.
pub(crate) fn refuse(root: &Path, sources: &[Source], skip: &[PathBuf]) -> Result<()> {
    let folders = || sources.iter().filter(|source| !source.root.is_empty());
    if folders().any(|source| Path::new(&source.root) == root) {
        return Ok(());
    }
    let shown = root.display();
    for Source { name, root: known, .. } in folders() {
        if reaches(Path::new(known), root, skip) {
            return Err(Error::Source(format!(
                "`{shown}` lies in the source `{name}` (`{known}`), which has its files already; \
                 pass `--force` to have them twice"
            )));
        }
        if reaches(root, Path::new(known), skip) {
            return Err(Error::Source(format!(
                "`{shown}` holds the source `{name}` (`{known}`), whose files it would have once \
                 more; take that one out with `synod index --remove` first, or pass `--force` to \
                 have them twice"
            )));
        }
    }
    Ok(())
}

/// Whether a walk of `outer` comes to what lies in `inner`.
fn reaches(outer: &Path, inner: &Path, skip: &[PathBuf]) -> bool {
    let below = inner.strip_prefix(outer).ok().and_then(slashed);
    below.is_some_and(|path| !path.is_empty() && why_left_out(outer, &path, skip).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::SourceKind;

    #[test]
    fn what_shares_no_file_with_a_source_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for folder in ["vault/sub", "vault/drafts", "vault/.hidden", "vaults"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        std::fs::write(top.join("vault/.gitignore"), "drafts/\n").unwrap();
        let source = |name: &str, root: String| Source {
            id: 1,
            name: name.to_owned(),
            kind: SourceKind::Vault,
            root,
            collection: "notes".to_owned(),
            commit: None,
            scanned_ms: None,
        };
        let vault = top.join("vault").display().to_string();
        let sources = [source("vault", vault), source("pushed", String::new())];
        let why = |folder: &str| {
            refuse(&top.join(folder), &sources, &[]).err().map(|error| error.to_string())
        };
        for taken in ["vault", "vaults", "vault/drafts", "vault/.hidden"] {
            assert_eq!(why(taken), None, "{taken}");
        }
        let inside = why("vault/sub").unwrap();
        assert!(inside.contains("lies in the source `vault`"), "{inside}");
        let outside = refuse(&top, &sources, &[]).unwrap_err().to_string();
        assert!(outside.contains("holds the source `vault`"), "{outside}");
        assert!(refuse(&top, &sources, &[top.join("vault")]).is_ok(), "the walk leaves it out");
    }
}
