//! The door to the disk: read, apply, undo. All decisions are made elsewhere, on values.
//!
//! Invariant: at every moment the file on disk is whole, old or new, and what it held before our
//! first change lies beside it: as `<file>.synod-backup`, or as `<file>.synod-created`, which says
//! that there was no file. Both lie beside the path as named, also where that is a link. What later
//! changes replace is kept too, under numbers (`<file>.synod-backup.2`).

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::client::Client;
use super::{Change, Error, Kind, merge};

/// No client's configuration comes near; what does is some other file.
pub(super) const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// States of one file that are kept.
const KEPT_MAX: usize = 1_000;

/// As many links as Linux follows before it calls a path a loop.
const LINKS_MAX: usize = 40;

/// Where the bytes from before our first change are kept.
pub fn backup_path(path: &Path) -> PathBuf {
    beside(path, ".synod-backup")
}

/// Where what a later change replaced is kept, from 2 on.
pub(super) fn numbered_path(path: &Path, n: usize) -> PathBuf {
    beside(path, &format!(".synod-backup.{n}"))
}

/// What says that there was no file before our first change.
pub fn marker_path(path: &Path) -> PathBuf {
    beside(path, ".synod-created")
}

/// The text of a configuration file; None where there is none.
///
/// # Errors
/// It is no file, no UTF-8, or larger than 16 MiB, or cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("look at", path))?,
    };
    // A pipe would block the read for ever.
    if !meta.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    if meta.len() > CONFIG_BYTES_MAX {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: meta.len() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed("open", path))?;
    // It may grow while it is read, so the bound is put on the read too.
    let mut bounded = file.take(CONFIG_BYTES_MAX + 1);
    bounded.read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64 });
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::NotUtf8 { path: path.to_owned() })?;
    Ok(Some(text))
}

/// Carries out a planned change, and gives the path where what the file held is kept: the backup or
/// marker that `undo` will use, or a numbered one where it will go back further (of the file itself
/// where there is none: nothing to change, or an undo).
///
/// # Errors
/// The file is no longer as it was planned on, or is read-only, or the disk fails. Then it is as
/// it was.
pub fn apply(change: &Change) -> Result<PathBuf, Error> {
    let target = follow(&change.path)?;
    if read(&target)? != change.before {
        return Err(Error::Changed { path: change.path.clone() });
    }
    if change.is_empty() {
        return Ok(change.path.clone());
    }
    let meta = match fs::metadata(&target) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        other => Some(other.map_err(failed("look at", &target))?),
    };
    if meta.as_ref().is_some_and(|meta| meta.permissions().readonly()) {
        return Err(Error::ReadOnly { path: change.path.clone() });
    }
    let (backup, marker) = (backup_path(&change.path), marker_path(&change.path));
    let write_file = || write(&target, &change.after, meta.as_ref(), Some(&change.before));
    match change.kind {
        Kind::Add | Kind::Replace => {
            let kept = keep(change, meta.as_ref())?;
            write_file()?;
            return Ok(kept);
        }
        Kind::Restore => {
            write_file()?;
            delete(&backup)?;
        }
        Kind::Delete => {
            delete(&target)?;
            delete(&marker)?;
        }
        Kind::Remove => {
            write_file()?;
            // The marker would let a later undo delete a file that the user has made their own.
            delete(&marker)?;
            // So would the backup take back at a later undo what the user wrote in between.
            if backup.exists() {
                let aside = free(&change.path)?;
                fs::rename(&backup, &aside).map_err(failed("set aside", &backup))?;
            }
        }
    }
    Ok(change.path.clone())
}

/// Plans the way back, from the file, its backup and its marker. Reads, but writes nothing.
///
/// Whether the file is still as we wrote it is found by merging its entry into the backup again:
/// no record is needed that could go stale, and an edit inside our own entry does not count.
///
/// # Errors
/// There is no entry of ours, or the file cannot be read or is malformed.
pub fn undo(client: &Client, path: &Path) -> Result<Change, Error> {
    let nothing = || Error::NothingToUndo { path: path.to_owned() };
    let before = read(path)?.ok_or_else(nothing)?;
    let at_path = |problem: merge::Problem| problem.at(path);
    let entry = merge::own(client, &before).map_err(at_path)?.ok_or_else(nothing)?;
    // A backup that does not merge to the file, or at all, only means that this is not our work.
    let made_from = |text: &str| merge::put(client, text, &entry).is_ok_and(|made| made == before);
    let had_none = read(&marker_path(path))?.is_some();
    let backup = if had_none { None } else { read(&backup_path(path))? };
    let (kind, after) = match backup {
        _ if had_none && made_from("") => (Kind::Delete, String::new()),
        Some(backup) if made_from(&backup) => (Kind::Restore, backup),
        _ => {
            let rest = merge::remove(client, &before).map_err(at_path)?;
            (Kind::Remove, rest.ok_or_else(nothing)?)
        }
    };
    Ok(Change { path: path.to_owned(), before: Some(before), after, kind })
}

/// Makes sure that the state before our first change lies beside the file, and says where.
fn keep(change: &Change, meta: Option<&Metadata>) -> Result<PathBuf, Error> {
    let (backup, marker) = (backup_path(&change.path), marker_path(&change.path));
    if change.kind == Kind::Replace && (marker.exists() || backup.exists()) {
        // That is the state to go back to; this one may hold what the user wrote since.
        return keep_again(&change.path, change.before.as_deref().unwrap_or_default(), meta);
    }
    match &change.before {
        None => {
            let says =
                "There was no file here before `synod client-config`; `--undo` needs this.\n";
            write(&marker, says, None, None)?;
            Ok(marker)
        }
        Some(before) => {
            write(&backup, before, meta, None)?;
            // In this order: between the two steps the file has no entry yet, so an undo refuses.
            delete(&marker)?;
            Ok(backup)
        }
    }
}

/// Keeps one more state, unless it is kept already; says where.
fn keep_again(path: &Path, text: &str, meta: Option<&Metadata>) -> Result<PathBuf, Error> {
    let numbered = (2..=KEPT_MAX).map(|n| numbered_path(path, n));
    let numbered = numbered.take_while(|kept| kept.exists());
    for kept in std::iter::once(backup_path(path)).chain(numbered) {
        if read(&kept)?.as_deref() == Some(text) {
            return Ok(kept);
        }
    }
    let kept = free(path)?;
    write(&kept, text, meta, None)?;
    Ok(kept)
}

/// The first numbered path where nothing lies.
fn free(path: &Path) -> Result<PathBuf, Error> {
    let mut numbered = (2..=KEPT_MAX).map(|n| numbered_path(path, n));
    let full = || io::Error::other("too many backups lie beside it");
    numbered.find(|kept| fs::symlink_metadata(kept).is_err()).ok_or_else(|| {
        let path = path.to_owned();
        Error::Io { doing: "keep a backup of", path, source: full() }
    })
}

/// Writes `text` to a new file beside `path` and renames it onto `path`. `like` lends its owner and
/// permissions; `expected` is checked once more just before the rename.
fn write(
    path: &Path,
    text: &str,
    like: Option<&Metadata>,
    expected: Option<&Option<String>>,
) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
    let temp = beside(path, &format!(".synod-{}.tmp", std::process::id()));
    let done = fill(&temp, text, like).map_err(failed("write", &temp)).and_then(|()| {
        if expected.is_some_and(|expected| read(path).ok().as_ref() != Some(expected)) {
            return Err(Error::Changed { path: path.to_owned() });
        }
        fs::rename(&temp, path).map_err(failed("replace", path))
    });
    if done.is_err() {
        // The first error is the one to tell; a temporary file that stays harms nothing.
        let _ = fs::remove_file(&temp);
        return done;
    }
    sync_folder(folder).map_err(failed("sync the folder", folder))
}

fn fill(temp: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if like.is_some() {
        // Nobody may read it before it has the permissions of the file that it replaces.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(temp)?;
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        #[cfg(unix)]
        lend_owner(temp, &file.metadata()?, like)?;
        file.set_permissions(like.permissions())?;
    }
    file.sync_all()
}

/// Matters where root edits a user's file: it must stay the user's.
#[cfg(unix)]
fn lend_owner(temp: &Path, have: &Metadata, like: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let uid = (have.uid() != like.uid()).then(|| like.uid());
    let gid = (have.gid() != like.gid()).then(|| like.gid());
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    chown(temp, uid, gid)
}

/// A rename survives a power cut only once its folder is on disk; Windows has no such call.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("delete", path)),
    }
}

/// Where a chain of links ends, also where nothing is there yet: the link itself must survive.
///
/// # Errors
/// The links go in a circle.
pub fn follow(path: &Path) -> Result<PathBuf, Error> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            // Not a link, or nothing there.
            Err(_) => return Ok(path),
        }
    }
    Err(Error::NotAFile { path })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.to_owned(), source }
}
