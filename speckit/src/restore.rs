//! Puts a text in place of a document, whole: one that an edit replaced, so that it can be undone.
//!
//! Which texts there are is the caller's to know. It is an edit like any other: under the lock, and
//! what it replaces is kept. What no edit could read, such as a folder in its place, is not
//! replaced, for it could not be kept. Invariant: nothing is written outside of the project.

use crate::error::{Error, Result};
use crate::feature::hash;
use crate::jail;
use crate::project::Project;
use crate::write::{self, Keep, Lock};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why a link cannot be read whose file is gone.
const ASTRAY: &str = "it is a link that leads nowhere";

/// What putting a text back did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Hash of what it took the place of, its own if the document was that way already; none if the
    /// document was gone.
    pub before: Option<String>,
    /// The document's hash now.
    pub hash: String,
}

/// What lies at the place of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Present {
    /// A file, by its hash.
    Hash(String),
    /// Nothing.
    Gone,
    /// Something that cannot be read as a document, and why.
    Unreadable(String),
}

/// What lies at the place of a document now.
///
/// # Errors
/// `Outside` for a path that leaves the project.
pub fn present(project: &Project, path: &str) -> Result<Present> {
    match jail::resolve(&project.root, path).and_then(|at| jail::bytes_at(&at)) {
        Ok(bytes) => Ok(Present::Hash(hash(&bytes))),
        Err(Error::Io { source, .. }) if is_gone(source.kind()) => {
            let link = project.root.join(path).symlink_metadata().is_ok();
            Ok(if link { Present::Unreadable(ASTRAY.to_owned()) } else { Present::Gone })
        }
        Err(Error::Io { source, .. }) => Ok(Present::Unreadable(source.to_string())),
        Err(Error::Unreadable { reason, .. }) => {
            // Without its advice, which is for those who edit.
            let why = reason.split("; ").next().unwrap_or(&reason);
            Ok(Present::Unreadable(why.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Whether that says that there is nothing: also where a folder of the path is a file now.
fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn in_the_way(path: PathBuf, why: &str) -> Error {
    Error::Unreadable { path, reason: format!("{why}; move it away, then restore") }
}

/// Makes the folders of a document that are gone, each in one that was resolved.
fn make_folders(root: &Path, path: &str) -> Result<()> {
    jail::check(path)?;
    for (end, _) in path.match_indices(std::path::is_separator) {
        let folder = &path[..end];
        match jail::resolve(root, folder) {
            Ok(found) if found.is_dir() => continue,
            Ok(found) => return Err(in_the_way(found, "it is no folder")),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let full = root.join(folder);
        if full.symlink_metadata().is_ok() {
            return Err(in_the_way(full, ASTRAY));
        }
        let full = jail::resolve_new(root, folder)?;
        match fs::create_dir(&full) {
            // Somebody else made it; what it is shows when it is resolved.
            Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
            made => made
                .and_then(|()| write::sync(full.parent().unwrap_or(root)))
                .map_err(|source| Error::io(&full, source))?,
        }
    }
    Ok(())
}

/// Puts a text in place of a document, by its path in the project, whatever bytes either has; what
/// stands there is kept before. Folders of it that are gone are made. With `read`, the hash of what
/// was looked at, it is refused if the document is another one now.
///
/// # Errors
/// `Changed` for a stale hash, `Missing` if the document that has it is gone, `Unreadable` for what
/// could not be kept, `Outside` for a path that leaves the project, `Argument` for a text that is
/// too long, `Locked`, `NotKept`, `Io`. The document is untouched then.
pub fn restore(
    project: &Project,
    path: &str,
    text: &[u8],
    read: Option<&str>,
    keep: &Keep,
) -> Result<Restored> {
    if text.len() > jail::DOC_BYTES_MAX {
        let (n, most) = (text.len(), jail::DOC_BYTES_MAX);
        return Err(Error::Argument(format!("the text is {n} bytes, the most is {most}")));
    }
    let gone = || {
        let what = format!("`{path}` is gone; put the text there without a hash");
        Error::Missing { what, nearest: Vec::new() }
    };
    match present(project, path)? {
        Present::Gone if read.is_some() => return Err(gone()),
        Present::Gone => make_folders(&project.root, path)?,
        Present::Unreadable(why) => return Err(in_the_way(project.root.join(path), &why)),
        Present::Hash(_) => {}
    }
    let at = jail::resolve_new(&project.root, path)?;
    let lock = Lock::take(at.parent().unwrap_or(&project.root))?;
    if at.symlink_metadata().is_err() {
        if read.is_some() {
            return Err(gone());
        }
        if write::create(&lock, &at, text)? {
            return Ok(Restored { before: None, hash: hash(text) });
        }
    }
    let whole = |old: &[u8]| {
        let before = hash(old);
        if read.is_some_and(|read| read != before) {
            return Err(Error::Changed { doc: path.to_owned(), hash: before });
        }
        Ok(((old != text).then(|| text.to_vec()), before))
    };
    let (before, hash) = write::rewrite(&lock, &at, keep, whole)?;
    Ok(Restored { before: Some(before), hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edit, edit};
    use std::cell::RefCell;

    type Kept = std::result::Result<(), String>;

    const TASKS: &str = "# Tasks: A\r\n\r\n- [ ] T001 \u{fc}ber\r\n- [ ] T002 no end";
    const DOC: &str = "specs/001-a/tasks.md";

    fn project() -> (tempfile::TempDir, Project, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".specify")).unwrap();
        fs::create_dir_all(dir.path().join("specs/001-a")).unwrap();
        let path = dir.path().join(DOC);
        fs::write(&path, TASKS).unwrap();
        let project = Project::open(dir.path()).unwrap();
        (dir, project, path)
    }

    #[test]
    fn what_an_edit_replaced_is_put_back_byte_for_byte_and_that_is_undone() {
        let (_dir, project, path) = project();
        let texts: RefCell<Vec<Vec<u8>>> = RefCell::default();
        let keep = |_: &Path, bytes: &[u8]| -> Kept {
            texts.borrow_mut().push(bytes.to_owned());
            Ok(())
        };
        let feature = project.feature("001").unwrap();
        let tick = Edit::Tick { doc: "tasks.md", id: "T002", line: None, done: true };
        let ticked = edit(&feature, &tick, None, &keep).unwrap().hash;
        let first = texts.borrow()[0].clone();
        assert_eq!(first, TASKS.as_bytes());
        let done = restore(&project, DOC, &first, Some(&ticked), &keep).unwrap();
        let hash = hash(TASKS.as_bytes());
        assert_eq!(done, Restored { before: Some(ticked.clone()), hash: hash.clone() });
        assert_eq!(fs::read(&path).unwrap(), TASKS.as_bytes());
        assert_eq!(present(&project, DOC).unwrap(), Present::Hash(hash.clone()));
        let second = texts.borrow()[1].clone();
        let undone = restore(&project, DOC, &second, None, &keep).unwrap();
        assert_eq!(undone, Restored { before: Some(hash), hash: ticked });
        assert!(fs::read_to_string(&path).unwrap().ends_with("- [x] T002 no end"));
        let n = texts.borrow().len();
        restore(&project, DOC, &second, None, &keep).unwrap();
        assert_eq!((n, texts.borrow().len()), (3, 3), "what is there already replaces nothing");
    }

    #[test]
    fn a_document_that_changed_is_left_alone() {
        let (_dir, project, path) = project();
        let never = |_: &Path, _: &[u8]| -> Kept { panic!("nothing is replaced") };
        let read = hash(TASKS.as_bytes());
        // Not even text any more.
        fs::write(&path, b"\xff\xfe").unwrap();
        let refused = restore(&project, DOC, b"old", Some(&read), &never).unwrap_err();
        let Error::Changed { hash, .. } = &refused else { panic!("{refused}") };
        assert_eq!(fs::read(&path).unwrap(), b"\xff\xfe");
        let kept = RefCell::new(Vec::new());
        let keep = |_: &Path, bytes: &[u8]| -> Kept {
            kept.borrow_mut().push(bytes.to_owned());
            Ok(())
        };
        restore(&project, DOC, b"old", Some(hash), &keep).unwrap();
        assert_eq!(*kept.borrow(), [b"\xff\xfe".to_vec()]);
        let full = |_: &Path, _: &[u8]| -> Kept { Err("full".to_owned()) };
        let refused = restore(&project, DOC, b"other", None, &full).unwrap_err();
        assert!(matches!(refused, Error::NotKept { .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::remove_file(&path).unwrap();
        let gone = restore(&project, DOC, b"old", Some(hash), &never).unwrap_err();
        assert!(matches!(gone, Error::Missing { .. }) && !path.exists(), "{gone}");
        assert_eq!(present(&project, DOC).unwrap(), Present::Gone);
        let made = restore(&project, DOC, b"old", None, &never).unwrap();
        assert_eq!((made.before, fs::read(&path).unwrap()), (None, b"old".to_vec()));
    }

    #[test]
    fn what_cannot_be_kept_has_to_be_moved_away_first() {
        let (_dir, project, path) = project();
        let never = |_: &Path, _: &[u8]| -> Kept { panic!("nothing is replaced") };
        let refused = |why: &str| {
            let said = present(&project, DOC).unwrap();
            assert!(matches!(&said, Present::Unreadable(s) if s.contains(why)), "{said:?}");
            let refused = restore(&project, DOC, b"old", None, &never).unwrap_err().to_string();
            assert!(refused.contains("tasks.md") && refused.contains(why), "{refused}");
            assert!(refused.ends_with("; move it away, then restore"), "{refused}");
        };
        fs::write(&path, vec![b'x'; jail::DOC_BYTES_MAX + 1]).unwrap();
        refused("is longer than");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("is no file");
        fs::remove_dir(&path).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere.md", &path).unwrap();
            refused("leads nowhere");
            fs::remove_file(&path).unwrap();
        }
        restore(&project, DOC, b"old", None, &never).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn folders_that_are_gone_are_made_inside_the_project() {
        let (dir, project, path) = project();
        let never = |_: &Path, _: &[u8]| -> Kept { panic!("nothing is replaced") };
        let specs = dir.path().join("specs");
        fs::remove_dir_all(&specs).unwrap();
        let gone = restore(&project, DOC, b"old", Some("0"), &never).unwrap_err();
        assert!(matches!(gone, Error::Missing { .. }) && !specs.exists(), "{gone}");
        let made = restore(&project, DOC, b"old", None, &never).unwrap();
        assert_eq!((made.before, fs::read(&path).unwrap()), (None, b"old".to_vec()));
        // A file took the place of the folder.
        fs::remove_dir_all(&specs).unwrap();
        fs::write(&specs, "mine").unwrap();
        assert_eq!(present(&project, DOC).unwrap(), Present::Gone);
        let refused = restore(&project, DOC, b"old", None, &never).unwrap_err().to_string();
        assert!(refused.ends_with("it is no folder; move it away, then restore"), "{refused}");
        assert_eq!(fs::read(&specs).unwrap(), b"mine");
        #[cfg(unix)]
        {
            let outside = tempfile::tempdir().unwrap();
            fs::remove_file(&specs).unwrap();
            std::os::unix::fs::symlink(outside.path(), &specs).unwrap();
            let refused = restore(&project, DOC, b"old", None, &never).unwrap_err();
            assert!(matches!(refused, Error::Outside { .. }), "{refused}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
            drop(outside);
            let refused = restore(&project, DOC, b"old", None, &never).unwrap_err().to_string();
            assert!(refused.contains("leads nowhere"), "{refused}");
        }
    }

    #[test]
    fn nothing_outside_of_the_project_is_written() {
        let (dir, project, _) = project();
        let outside = tempfile::tempdir().unwrap();
        let never = |_: &Path, _: &[u8]| -> Kept { panic!("nothing is replaced") };
        let absolute = outside.path().join("x.md");
        fs::write(&absolute, "theirs").unwrap();
        for path in ["../x.md", "specs/../../x.md", absolute.to_str().unwrap(), ""] {
            let refused = restore(&project, path, b"ours", None, &never).unwrap_err();
            assert!(matches!(refused, Error::Outside { .. }), "{path}: {refused}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&absolute, dir.path().join("specs/link.md")).unwrap();
            std::os::unix::fs::symlink(outside.path(), dir.path().join("specs/out")).unwrap();
            for path in ["specs/link.md", "specs/out/x.md", "specs/out/new.md"] {
                let refused = restore(&project, path, b"ours", None, &never).unwrap_err();
                assert!(matches!(refused, Error::Outside { .. }), "{path}: {refused}");
            }
        }
        assert_eq!(fs::read(&absolute).unwrap(), b"theirs");
        assert!(!outside.path().join("new.md").exists() && dir.path().exists());
    }
}
