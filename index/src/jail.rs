//! The one door to files of a source: no path leaves its root.
//!
//! Refuses absolute paths, `..`, UNC shapes and NUL before touching the disk, and on Windows what
//! is read in another way there (drives, devices, streams); links are resolved and must end inside
//! the root. On Linux the kernel holds the same rule while the file is opened, so a link swapped in
//! between gains nothing.

use crate::error::{Error, Result};
use crate::path::{self, System};
use crate::reach::Reach;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Longest path or name, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// Checks the shape of a relative path with `/` between its parts, which is to reach the disk.
///
/// # Errors
/// `Argument`, naming what is wrong with it.
pub fn check(path: &str) -> Result<()> {
    refuse(path, wrong_on(path, System::HERE))
}

/// The same of a name that is only compared with what is indexed: a title may hold what no path
/// may, as in `What is DNS?`.
///
/// # Errors
/// `Argument`, naming what is wrong with it on every system.
pub(crate) fn check_name(name: &str) -> Result<()> {
    refuse(name, wrong(name))
}

fn refuse(path: &str, why: Option<&str>) -> Result<()> {
    let Some(why) = why else { return Ok(()) };
    let shown = path.chars().take(120).collect::<String>();
    Err(Error::Argument(format!("path `{shown}` {why}; give a path inside a source")))
}

/// What is wrong with a relative path on every system, whichever its tricks are.
fn wrong(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return Some("is longer than 4096 bytes");
    }
    if path.contains('\0') {
        return Some("holds a NUL byte");
    }
    if path.starts_with('/') || path.starts_with('\\') {
        return Some("is absolute");
    }
    let leaves = path.split(['/', '\\']).any(|part| part == "..");
    leaves.then_some("leaves its source (`..`)")
}

/// The same on one system.
fn wrong_on(path: &str, system: System) -> Option<&'static str> {
    let bytes = path.as_bytes();
    let drive = bytes.len() >= 2 && bytes[1] == b':' && bytes[0].is_ascii_alphabetic();
    if drive && system == System::Windows {
        return Some("names a drive");
    }
    wrong(path).or_else(|| path::unusable(path, system))
}

/// Where a full path leads when links among its folders are followed; it may hold an anchor. Opens
/// nothing, and says nothing of what lies there.
pub(crate) fn followed(full: &str, reach: &Reach) -> Option<String> {
    if full.contains('\0') || !path::is_full(full, System::HERE) {
        return None;
    }
    // A name may hold a `#` itself, and a heading a `/`.
    let before = full.find('#').map(|at| &full[..at]);
    [Some(full), before].into_iter().flatten().find_map(|place| {
        let folder = Path::new(place).parent().filter(|folder| reach.answers(folder))?;
        let name = Path::new(place).file_name()?;
        let there = folder.canonicalize().ok()?.join(name);
        Some(format!("{}{}", there.to_str()?, &full[place.len()..]))
    })
}

/// Opens `path` below `root` for reading.
///
/// # Errors
/// `Argument` when it would leave the root, `Data` when the file cannot be opened.
pub fn open(root: &Path, path: &str) -> Result<File> {
    Root::new(root).open(path)
}

/// A root below which several files are opened: the folder itself is opened once.
pub struct Root<'a> {
    path: &'a Path,
    /// Where it is looked up whether it answers.
    reach: Option<&'a Reach>,
    #[cfg(target_os = "linux")]
    dir: std::cell::OnceCell<rustix::fd::OwnedFd>,
}

impl<'a> Root<'a> {
    /// Touches nothing yet.
    pub fn new(path: &'a Path) -> Self {
        Root {
            path,
            reach: None,
            #[cfg(target_os = "linux")]
            dir: std::cell::OnceCell::new(),
        }
    }

    /// The same of one that may not answer.
    pub(crate) fn within(path: &'a Path, reach: &'a Reach) -> Self {
        Root { reach: Some(reach), ..Root::new(path) }
    }

    /// Whether its file system answers: whoever opens something in one that does not may wait for
    /// good.
    pub(crate) fn answers(&self) -> bool {
        self.reach.is_none_or(|reach| reach.answers(self.path))
    }

    /// Has its file system asked, without waiting for the answer.
    pub(crate) fn ask(&self) {
        if let Some(reach) = self.reach {
            reach.ask(self.path);
        }
    }

    /// Opens `path` below it for reading.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, path: &str) -> Result<File> {
        check(path)?;
        self.open_beneath(path).map_err(|source| {
            if source.kind() == io::ErrorKind::CrossesDevices || source.raw_os_error() == Some(18) {
                return Error::Argument(format!(
                    "path `{path}` leaves its source through a link; give a path inside a source"
                ));
            }
            Error::data(self.path.join(path), source)
        })
    }

    #[cfg(target_os = "linux")]
    fn open_beneath(&self, path: &str) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
        let dir = match self.dir.get() {
            Some(dir) => dir,
            None => {
                let dir = open(self.path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                self.dir.get_or_init(|| dir)
            }
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(dir, path, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(File::from(file)),
            // Older kernels and some sandboxes have no openat2.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                open_resolved(self.path, path)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, path: &str) -> io::Result<File> {
        open_resolved(self.path, path)
    }
}

/// The portable form: resolve every link, then compare with the resolved root.
fn open_resolved(root: &Path, path: &str) -> io::Result<File> {
    let root = root.canonicalize()?;
    let full = root.join(path).canonicalize()?;
    if !full.starts_with(&root) {
        return Err(io::Error::from(io::ErrorKind::CrossesDevices));
    }
    File::open(full)
}

/// The resolved root of a source, with refusals for places that hold a person's whole life.
///
/// # Errors
/// `Source` for a missing folder, a file, a file-system root or the home directory.
pub fn source_root(path: &Path, home: Option<&Path>, force: bool) -> Result<PathBuf> {
    let shown = path.display();
    let root = path.canonicalize().map_err(|source| {
        Error::Source(format!(
            "cannot use `{shown}` as a source: {source}; name an existing folder"
        ))
    })?;
    if !root.is_dir() {
        return Err(Error::Source(format!(
            "`{shown}` is a file, a source is a folder; name the folder it lies in"
        )));
    }
    let is_home = home.and_then(|h| h.canonicalize().ok()).is_some_and(|h| h == root);
    if (root.parent().is_none() || is_home) && !force {
        return Err(Error::Source(format!(
            "`{shown}` is a file-system root or a home directory; name a vault or a repository \
             inside it, or pass `--force` if you mean it"
        )));
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_shapes_are_refused() {
        let hostile = [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a\\..\\x",
            "\\\\srv\\x",
            "a\0b",
            "\\\\?\\C:\\x",
        ];
        for path in hostile {
            assert!(check(path).is_err() && check_name(path).is_err(), "{path:?}");
            for system in [System::Unix, System::Windows] {
                assert!(wrong_on(path, system).is_some(), "{path:?}");
            }
        }
        for path in ["a", "a/b.md", "..a/b..", "a b/ç.md"] {
            assert!(check(path).is_ok() && check_name(path).is_ok(), "{path:?}");
        }
        assert!(check(&"a".repeat(PATH_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn drives_and_signs_are_refused_where_the_system_reads_them_so() {
        for path in ["C:\\x", "c:/x", "A: colon.md", "What is DNS?", "Type::method", "a.md:10-40"] {
            assert!(wrong_on(path, System::Windows).is_some(), "{path:?}");
            assert_eq!(wrong_on(path, System::Unix), None, "{path:?}");
            assert!(check_name(path).is_ok(), "{path:?}");
        }
        assert_eq!(wrong_on("c:", System::Windows), Some("names a drive"));
        assert!(wrong_on("c:/../x", System::Unix).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn links_among_the_folders_of_a_full_path_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        std::os::unix::fs::symlink(top.join("real"), top.join("link")).unwrap();
        let reach = Reach::default();
        let top = top.to_str().unwrap();
        for end in ["a.md", "a.md#Low tide", "a.md#Low/high", "odd #1.md"] {
            let there = followed(&format!("{top}/link/{end}"), &reach);
            assert_eq!(there, Some(format!("{top}/real/{end}")), "{end}");
        }
        for none in ["link/../real/a.md", "gone/a.md", "link/\0"] {
            assert_eq!(followed(&format!("{top}/{none}"), &reach), None, "{none:?}");
        }
        assert_eq!(followed("link/a.md", &reach), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_leave_are_refused_and_links_that_stay_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(root.join("in/a"), "a").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("up")).unwrap();
        std::os::unix::fs::symlink("in/a", root.join("stay")).unwrap();
        assert!(open(&root, "out").is_err());
        assert!(open(&root, "up/secret").is_err());
        assert!(open(&root, "stay").is_ok());
        assert!(open_resolved(&root, "out").is_err());
        assert!(open_resolved(&root, "up/secret").is_err());
        assert!(open_resolved(&root, "stay").is_ok());
    }

    proptest! {
        #[test]
        fn what_opens_lies_inside(path in "(in|up|out|\\.\\.|\\.|a|/|\\\\|C:|%2e%2e|İN|IN){0,6}") {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root");
            std::fs::create_dir_all(root.join("in")).unwrap();
            std::fs::write(dir.path().join("a"), "secret").unwrap();
            std::fs::write(root.join("in/a"), "inside").unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink(dir.path(), root.join("up")).unwrap();
            if let Ok(mut file) = open(&root, &path) {
                let mut text = String::new();
                if std::io::Read::read_to_string(&mut file, &mut text).is_ok() {
                    prop_assert_ne!(text, "secret");
                }
            }
        }
    }
}
