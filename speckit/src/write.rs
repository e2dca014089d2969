//! Changes a document so that no other change is lost and no crash leaves half of one.
//!
//! An edit takes the lock of the document's folder, reads, splices, has what it read kept, writes
//! a temporary file beside it, syncs, renames. On Unix the folder itself is locked, so that nothing
//! is left behind in a person's repository; elsewhere a hidden file is. Editors that hold the
//! document open do not matter, they take no such lock. Invariant: at every moment the document is
//! wholly the old or wholly the new one. Invariant: no document is replaced that was not kept
//! before.

use crate::error::{Error, Result};
use crate::feature::hash;
use crate::jail;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long an edit waits for those before it, in milliseconds.
pub const LOCK_WAIT_MS: u64 = 10_000;
/// Between two tries; long enough for the kernel to run somebody else.
const LOCK_TRY: Duration = Duration::from_micros(300);

/// How often an edit begins again because an editor saved in between.
const RACES_MAX: usize = 8;

/// Keeps the bytes of a document, at its resolved path, before others take their place. They are on
/// disk when it returns; when it fails, with words that say why, the document stays as it is.
pub type Keep<'a> = dyn Fn(&Path, &[u8]) -> std::result::Result<(), String> + 'a;

/// Bytes that take the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    pub bytes: Range<usize>,
    pub with: String,
}

/// Puts splices into a text; they may not overlap.
pub(crate) fn apply(text: &str, splices: &[Splice]) -> String {
    let mut order: Vec<&Splice> = splices.iter().collect();
    order.sort_by_key(|splice| (splice.bytes.start, splice.bytes.end));
    let grown: usize = splices.iter().map(|splice| splice.with.len()).sum();
    let mut out = String::with_capacity(text.len() + grown);
    let mut at = 0;
    for splice in order {
        out.push_str(&text[at..splice.bytes.start]);
        out.push_str(&splice.with);
        at = splice.bytes.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Held while a document of the folder is changed.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// `Locked` when others hold it for [`LOCK_WAIT_MS`], `Io` when it cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        let file = open_lock(folder).map_err(|source| Error::io(folder, source))?;
        let from = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(Error::io(folder, source)),
            }
            let waited_ms = u64::try_from(from.elapsed().as_millis()).unwrap_or(u64::MAX);
            if waited_ms > LOCK_WAIT_MS {
                return Err(Error::Locked { path: folder.to_owned(), waited_ms });
            }
            std::thread::sleep(LOCK_TRY);
        }
    }
}

#[cfg(unix)]
fn open_lock(folder: &Path) -> io::Result<File> {
    File::open(folder)
}

#[cfg(not(unix))]
fn open_lock(folder: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(folder.join(".synod-edit.lock"))
}

/// Where a document is written before it takes its place. One name, so that what a crash left is
/// taken away by the next edit; the folder's lock keeps others from it.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.synod-edit"))
}

/// Syncs a folder, so that a rename in it lasts.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn fill(temporary: &Path, like: Option<&Path>, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(temporary)?;
    file.write_all(bytes)?;
    if let Some(like) = like {
        file.set_permissions(like.metadata()?.permissions())?;
    }
    file.sync_all()
}

/// What tells whether a program without our lock has written meanwhile, such as an editor. Two
/// saves of one length may come within a tick of the clock: which file it is tells them apart.
type Seen = (SystemTime, u64, Inode);

/// Device and number of a file, and when these or its bytes changed.
#[cfg(unix)]
type Inode = (u64, u64, i64, i64);
#[cfg(not(unix))]
type Inode = ();

fn stamp(path: &Path) -> Result<Seen> {
    let meta = path.metadata().map_err(|source| Error::io(path, source))?;
    Ok((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), inode(&meta)))
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> Inode {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec())
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> Inode {}

/// Replaces a document whole, unless it is no longer the one that was `seen`; false then. `path`
/// is resolved.
fn replace(_held: &Lock, path: &Path, bytes: &[u8], seen: Seen) -> Result<bool> {
    let temporary = beside(path);
    let _ = fs::remove_file(&temporary);
    let done = fill(&temporary, Some(path), bytes)
        .map_err(|source| Error::io(path, source))
        .and_then(|()| {
            if stamp(path)? != seen {
                return Ok(false);
            }
            fs::rename(&temporary, path)
                .and_then(|()| sync(path.parent().unwrap_or(path)))
                .map(|()| true)
                .map_err(|source| Error::io(path, source))
        });
    if !matches!(done, Ok(true)) {
        // What failed is reported; that its temporary file stays as well would not help.
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// Makes a document that does not exist; false if it does, which is then untouched.
pub(crate) fn create(_held: &Lock, path: &Path, bytes: &[u8]) -> Result<bool> {
    let temporary = beside(path);
    let _ = fs::remove_file(&temporary);
    // A link is made only where nothing is, unlike a rename.
    let made = fill(&temporary, None, bytes).and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match made {
        Ok(()) => {
            sync(path.parent().unwrap_or(path)).map_err(|source| Error::io(path, source))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // File systems without links.
        Err(_) => match fill(path, None, bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(Error::io(path, source)),
        },
    }
}

/// Reads a document under its lock, lets `change` make another one of it, has the old one kept, and
/// writes. Gives what `change` gave and the new hash; where it makes nothing, nothing is written.
/// `path` is resolved.
///
/// # Errors
/// What `change` fails with, `NotKept`, `Io`; the document is then the old one.
pub(crate) fn rewrite<T>(
    lock: &Lock,
    path: &Path,
    keep: &Keep,
    change: impl Fn(&[u8]) -> Result<(Option<Vec<u8>>, T)>,
) -> Result<(T, String)> {
    for _ in 0..RACES_MAX {
        let seen = stamp(path)?;
        let old = jail::bytes_at(path)?;
        let (new, given) = change(&old)?;
        let Some(new) = new else { return Ok((given, hash(&old))) };
        keep(path, &old).map_err(|reason| Error::NotKept { path: path.to_owned(), reason })?;
        if replace(lock, path, &new, seen)? {
            return Ok((given, hash(&new)));
        }
    }
    let why = "another program that takes no lock writes it all the time; close it and try again";
    Err(Error::Unreadable { path: path.to_owned(), reason: why.to_owned() })
}

/// The same for splices of a text, by a path below `root`.
///
/// # Errors
/// As [`rewrite`], and `Locked`, `Argument` for a document that would be too long.
pub(crate) fn edit<T>(
    root: &Path,
    path: &str,
    keep: &Keep,
    change: impl Fn(&str) -> Result<(Vec<Splice>, T)>,
) -> Result<(T, String)> {
    let full = jail::resolve(root, path)?;
    let lock = Lock::take(full.parent().unwrap_or(root))?;
    rewrite(&lock, &full, keep, |old| {
        let text = jail::text(&full, old)?;
        let (splices, given) = change(text)?;
        if splices.is_empty() {
            return Ok((None, given));
        }
        let new = apply(text, &splices);
        if new.len() > jail::DOC_BYTES_MAX {
            let most = jail::DOC_BYTES_MAX;
            return Err(Error::Argument(format!(
                "`{path}` would be {} bytes, the most is {most}; write less",
                new.len()
            )));
        }
        Ok((Some(new.into_bytes()), given))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    type Kept = std::result::Result<(), String>;

    #[cfg(unix)]
    fn unkept(_: &Path, _: &[u8]) -> Kept {
        Ok(())
    }

    #[test]
    fn splices_in_any_order() {
        let splices = [
            Splice { bytes: 4..5, with: "E".to_owned() },
            Splice { bytes: 0..0, with: "<".to_owned() },
            Splice { bytes: 1..2, with: String::new() },
        ];
        assert_eq!(apply("abcdef", &splices), "<acdEf");
    }

    #[test]
    fn an_existing_document_is_never_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        let lock = Lock::take(dir.path()).unwrap();
        // What a crash left is no hindrance.
        fs::write(beside(&path), "half").unwrap();
        assert!(create(&lock, &path, b"one").unwrap());
        assert!(!create(&lock, &path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_nothing_is_left_behind() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("a.md");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // A crash left half a document, and somebody a trap.
        fs::write(root.join("victim"), "whole").unwrap();
        std::os::unix::fs::symlink("victim", beside(&path)).unwrap();
        edit(&root, "a.md", &unkept, all).unwrap();
        assert_eq!(fs::read(root.join("victim")).unwrap(), b"whole");
        fs::remove_file(root.join("victim")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        // A link inside stays a link.
        std::os::unix::fs::symlink("a.md", root.join("l.md")).unwrap();
        edit(&root, "l.md", &unkept, all).unwrap();
        assert!(root.join("l.md").symlink_metadata().unwrap().is_symlink());
    }

    fn all(text: &str) -> Result<(Vec<Splice>, ())> {
        Ok((vec![Splice { bytes: 0..text.len(), with: "new".to_owned() }], ()))
    }

    #[test]
    fn the_old_bytes_are_kept_while_the_document_still_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("a.md");
        let old = "a\r\n\u{feff}b\n\r\nno end";
        fs::write(&path, old).unwrap();
        let kept = RefCell::new(Vec::new());
        let keep = |at: &Path, bytes: &[u8]| -> Kept {
            kept.borrow_mut().push((at.to_owned(), bytes.to_owned(), fs::read(at).unwrap()));
            Ok(())
        };
        edit(&root, "a.md", &keep, all).unwrap();
        let wanted = (path.clone(), old.as_bytes().to_owned(), old.as_bytes().to_owned());
        assert_eq!(*kept.borrow(), [wanted], "once, by its resolved path, before the rename");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        edit(&root, "a.md", &keep, |_| Ok((Vec::new(), ()))).unwrap();
        assert_eq!(kept.borrow().len(), 1, "what replaces nothing keeps nothing");
    }

    #[test]
    fn what_cannot_be_kept_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("a.md");
        fs::write(&path, "old").unwrap();
        let before = path.metadata().unwrap().modified().unwrap();
        let full = |_: &Path, _: &[u8]| -> Kept { Err("the disk is full".to_owned()) };
        let refused = edit(&root, "a.md", &full, all).unwrap_err();
        assert!(matches!(refused, Error::NotKept { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.contains("a.md") && said.ends_with("the disk is full"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(path.metadata().unwrap().modified().unwrap(), before);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_an_editor_saves_in_between_is_kept_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("a.md");
        fs::write(&path, "first").unwrap();
        let kept = RefCell::new(Vec::new());
        let keep = |at: &Path, bytes: &[u8]| -> Kept {
            if kept.borrow().is_empty() {
                // The editor has no lock.
                fs::write(at, "the editor's").unwrap();
            }
            kept.borrow_mut().push(String::from_utf8(bytes.to_owned()).unwrap());
            Ok(())
        };
        edit(&root, "a.md", &keep, all).unwrap();
        assert_eq!(*kept.borrow(), ["first", "the editor's"]);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn a_save_of_the_same_length_and_time_is_kept_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("a.md");
        fs::write(&path, "first").unwrap();
        let time = path.metadata().unwrap().modified().unwrap();
        let kept = RefCell::new(Vec::new());
        let keep = |at: &Path, bytes: &[u8]| -> Kept {
            if kept.borrow().is_empty() {
                // As editors save: a new file takes the place of the old one.
                let saved = at.with_file_name("saved");
                fs::write(&saved, "other").unwrap();
                let file = File::options().write(true).open(&saved).unwrap();
                file.set_modified(time).unwrap();
                fs::rename(&saved, at).unwrap();
            }
            kept.borrow_mut().push(String::from_utf8(bytes.to_owned()).unwrap());
            Ok(())
        };
        edit(&root, "a.md", &keep, all).unwrap();
        assert_eq!(*kept.borrow(), ["first", "other"]);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
