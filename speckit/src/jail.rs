//! The one door to files of a project: no path leaves its root.
//!
//! Shapes are refused before the disk is touched; links are resolved and must end inside the root.
//! Invariant: what is read or written below a root lies below it when it was resolved.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;

/// The longest document that is read, in bytes.
pub const DOC_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest path inside a project, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// Checks the shape of a relative path with `/` between its parts.
pub(crate) fn check(path: &str) -> Result<()> {
    let refuse = |why| {
        let path = path.chars().take(120).collect();
        Err(Error::Outside { path, why })
    };
    let bytes = path.as_bytes();
    if path.is_empty() {
        return refuse("is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return refuse("is longer than 4096 bytes");
    }
    if path.contains('\0') {
        return refuse("holds a NUL byte");
    }
    if path.starts_with(['/', '\\']) {
        return refuse("is absolute");
    }
    if bytes.len() >= 2 && bytes[1] == b':' && bytes[0].is_ascii_alphabetic() {
        return refuse("names a drive");
    }
    if path.split(['/', '\\']).any(|part| part == "..") {
        return refuse("leaves its folder (`..`)");
    }
    Ok(())
}

/// The resolved path of something that exists below `root`, which is resolved already.
///
/// # Errors
/// `Outside` when it would leave the root, `Io` when it does not exist.
pub(crate) fn resolve(root: &Path, path: &str) -> Result<PathBuf> {
    check(path)?;
    let full = root.join(path);
    let found = full.canonicalize().map_err(|source| Error::io(&full, source))?;
    if !found.starts_with(root) {
        let why = "leaves the project through a link";
        return Err(Error::Outside { path: path.to_owned(), why });
    }
    Ok(found)
}

/// The resolved place of something that may not exist yet; its folder must.
pub(crate) fn resolve_new(root: &Path, path: &str) -> Result<PathBuf> {
    check(path)?;
    let full = root.join(path);
    if full.symlink_metadata().is_ok() {
        return resolve(root, path);
    }
    let (Some(folder), Some(name)) = (Path::new(path).parent(), full.file_name()) else {
        return Err(Error::Outside { path: path.to_owned(), why: "names no file" });
    };
    let folder = match folder.to_str() {
        None | Some("") => root.to_owned(),
        Some(folder) => resolve(root, folder)?,
    };
    Ok(folder.join(name))
}

/// Reads a file below `root` as text.
///
/// # Errors
/// As [`resolve`], and `Unreadable` for what is no file, too long, or not UTF-8.
pub(crate) fn read(root: &Path, path: &str) -> Result<String> {
    read_at(&resolve(root, path)?)
}

/// The same for an optional document: none if it does not exist.
pub(crate) fn read_optional(root: &Path, path: &str) -> Result<Option<String>> {
    match read(root, path) {
        Ok(text) => Ok(Some(text)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file whose place was resolved before.
pub(crate) fn read_at(path: &Path) -> Result<String> {
    let bytes = bytes_at(path)?;
    String::from_utf8(bytes).map_err(|error| not_utf8(path, error.utf8_error()))
}

/// What was read of a file as text.
///
/// # Errors
/// `Unreadable` for what is not UTF-8.
pub(crate) fn text<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b str> {
    std::str::from_utf8(bytes).map_err(|error| not_utf8(path, error))
}

fn not_utf8(path: &Path, error: Utf8Error) -> Error {
    let reason = format!("byte {} is not UTF-8; save it as UTF-8", error.valid_up_to());
    Error::Unreadable { path: path.to_owned(), reason }
}

/// The bytes of a file whose place was resolved before, whatever they are.
///
/// # Errors
/// `Unreadable` for what is no file or too long.
pub(crate) fn bytes_at(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |reason: String| Error::Unreadable { path: path.to_owned(), reason };
    // Asked before it is opened: opening a pipe waits for its other end.
    let meta = path.metadata().map_err(|source| Error::io(path, source))?;
    if !meta.is_file() {
        return Err(unreadable("it is no file; name a document".to_owned()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0).min(DOC_BYTES_MAX));
    File::open(path)
        .map_err(|source| Error::io(path, source))?
        .take(DOC_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io(path, source))?;
    if bytes.len() > DOC_BYTES_MAX {
        return Err(unreadable(format!("it is longer than {DOC_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_shapes_are_refused() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a\\..\\x", "C:\\x", "\\\\s\\x", "a\0"]
        {
            assert!(check(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b.md", "..a/b..", "a b/ç.md"] {
            assert!(check(path).is_ok(), "{path:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_leave_are_refused_and_links_that_stay_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(root.join("in/a"), "a").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("in/a", root.join("stay")).unwrap();
        assert!(matches!(read(&root, "out"), Err(Error::Outside { .. })));
        assert!(matches!(read(&root, "up/secret"), Err(Error::Outside { .. })));
        assert!(matches!(resolve_new(&root, "up/new"), Err(Error::Outside { .. })));
        assert!(matches!(resolve_new(&root, "out"), Err(Error::Outside { .. })));
        assert_eq!(read(&root, "stay").unwrap(), "a");
        assert_eq!(read_optional(&root, "none").unwrap(), None);
        assert_eq!(resolve_new(&root, "in/new").unwrap(), root.join("in/new"));
    }
}
