//! The one door to files of a source: no path leaves its root.
//!
//! Refuses absolute paths, `..`, UNC shapes and NUL before touching the disk, and on Windows what
//! is read in another way there (drives, devices, streams); links are resolved and must end inside
//! the root. On Linux the kernel holds the same rule while the file is opened, so a link swapped in
//! between gains nothing.

use crate::error::{Error, Result};
use crate::mount;
use crate::path::{self, System};
use crate::reach::Reach;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Longest path or name, in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// Links that are followed in one path.
const LINKS_MAX: usize = 16;

/// Links that macOS has in the root of its file system.
#[cfg(any(target_vendor = "apple", all(unix, test)))]
const APPLE_LINKS: &[(&str, &str)] =
    &[("/etc", "/private/etc"), ("/tmp", "/private/tmp"), ("/var", "/private/var")];
/// Links that are known without a look.
#[cfg(target_vendor = "apple")]
const KNOWN_LINKS: &[(&str, &str)] = APPLE_LINKS;
#[cfg(not(target_vendor = "apple"))]
const KNOWN_LINKS: &[(&str, &str)] = &[];
/// Where macOS mounts what others serve: a look at a name in it asks whoever that is.
const APPLE_MOUNTS: &str = "/Volumes";

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

/// Where a full path leads when links among its folders are followed, if that is somewhere else; it
/// may hold an anchor. Whoever gives a path has no place touched by it but those that [`Ways`]
/// allows. Opens nothing, and says nothing of what lies there.
pub(crate) fn followed(
    full: &str,
    roots: &[&str],
    home: Option<&Path>,
    reach: &Reach,
) -> Option<String> {
    if !is_followed(full, System::HERE) {
        return None;
    }
    // A heading may hold a `/`: what is no folder has no links below it, and stays as it is.
    let (folder, name) = (Path::new(full).parent()?, Path::new(full).file_name()?);
    let elsewhere = mount::silent_below(Path::new("/")).into_iter().map(|(at, _)| at).collect();
    let mut ways = Ways { roots, home: PathBuf::new(), elsewhere, links: KNOWN_LINKS, reach };
    let home = home.filter(|home| home.parent().is_some());
    let (at, rest) = match home.and_then(|home| Some((home, folder.strip_prefix(home).ok()?))) {
        Some((home, rest)) if !ways.is_elsewhere(home) && reach.answers(home) => {
            (home.canonicalize().ok()?, rest)
        }
        _ => (PathBuf::new(), folder),
    };
    ways.home = at.clone();
    let there = ways.resolve(at, rest)?.join(name);
    let there = there.to_str().filter(|_| there != Path::new(full))?;
    Some(there.to_owned())
}

/// Whether links are followed in a full path of a system: not in one that may name a share, since a
/// look at it asks the host that it names.
fn is_followed(full: &str, system: System) -> bool {
    let share = system == System::Windows && full.starts_with(['\\', '/']);
    let plain = full.len() <= PATH_BYTES_MAX && !full.contains('\0');
    plain && !share && path::is_full(full, system)
}

/// Where links may be looked for: in the folders that lead to a root and those below it, but for
/// the file system's root, and in the home directory itself.
struct Ways<'a> {
    /// Of sources; resolved.
    roots: &'a [&'a str],
    /// Resolved; empty where it does not matter.
    home: PathBuf,
    /// Where file systems are mounted that others serve, or that are mounted by a look at them.
    elsewhere: Vec<PathBuf>,
    /// Links that are known without a look.
    links: &'a [(&'a str, &'a str)],
    reach: &'a Reach,
}

/// What a name in a folder is.
enum Found {
    Link(PathBuf),
    Folder,
    /// Nothing, or nothing that something lies below.
    End,
}

impl Ways<'_> {
    /// Where `rest` below a resolved folder leads; `None` if that takes a look where none is
    /// allowed.
    fn resolve(&self, mut at: PathBuf, rest: &Path) -> Option<PathBuf> {
        let (mut open, mut links) = (reversed(rest), 0);
        while let Some(part) = open.pop() {
            // Stands in links only.
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            if next.parent().is_none() || self.leads(&next) {
                at = next;
                continue;
            }
            match self.look(&at, &part)? {
                Found::Link(target) if links < LINKS_MAX => {
                    open.append(&mut reversed(&target));
                    links += 1;
                }
                Found::Link(_) => return None,
                Found::Folder => at = next,
                Found::End => {
                    return Some(open.iter().rev().fold(next, |at, part| at.join(part)));
                }
            }
        }
        Some(at)
    }

    /// Whether a root lies at a place or below it: there is no link on the way to it.
    fn leads(&self, place: &Path) -> bool {
        let Some(place) = place.to_str() else { return false };
        self.roots.iter().any(|root| path::below(place, root, System::HERE).is_some())
    }

    /// `None` if it may not be looked at.
    fn look(&self, folder: &Path, part: &OsStr) -> Option<Found> {
        let place = folder.join(part);
        if let Some((_, target)) = self.links.iter().find(|(link, _)| place == Path::new(link)) {
            return Some(Found::Link(PathBuf::from(target)));
        }
        if !self.may_look(folder, &place) {
            return None;
        }
        let usable = part.to_str().is_some_and(|part| path::unusable(part, System::HERE).is_none());
        match usable.then(|| place.symlink_metadata()) {
            Some(Ok(meta)) if meta.is_symlink() => Some(Found::Link(place.read_link().ok()?)),
            Some(Ok(meta)) if meta.is_dir() => Some(Found::Folder),
            _ => Some(Found::End),
        }
    }

    /// Whether a place in a folder may be looked at.
    fn may_look(&self, folder: &Path, place: &Path) -> bool {
        let Some(text) = folder.to_str().filter(|_| folder.parent().is_some()) else {
            return false;
        };
        let below = |root: &&str| path::below(root, text, System::HERE).is_some();
        let ours = folder == self.home || self.leads(folder) || self.roots.iter().any(below);
        ours && !self.is_elsewhere(place)
            && self.reach.answers(folder)
            && (!cfg!(target_vendor = "apple") || is_local_on_apple(folder))
    }

    fn is_elsewhere(&self, place: &Path) -> bool {
        self.elsewhere.iter().any(|at| place.starts_with(at))
    }
}

/// There is no list of what is mounted there.
fn is_local_on_apple(folder: &Path) -> bool {
    folder != Path::new(APPLE_MOUNTS) && mount::tells(folder)
}

/// The parts of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned()).collect()
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

    #[test]
    fn no_link_is_followed_in_what_may_name_a_share() {
        for path in ["\\\\host\\share\\a", "//host/share/a", "\\\\?\\C:\\a", "/a/b", "\\a"] {
            assert!(!is_followed(path, System::Windows), "{path:?}");
        }
        assert!(is_followed("C:\\a\\b", System::Windows) && is_followed("/a/b", System::Unix));
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        for path in ["a/b", "/a/../b", "/a\0", long.as_str()] {
            assert!(!is_followed(path, System::Unix), "{path:?}");
        }
    }

    /// A folder `real`, and links: `link` to it, `far` to it through another one, and `loop`.
    #[cfg(unix)]
    fn linked() -> (tempfile::TempDir, PathBuf) {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for folder in ["real/in", "other/deep", "data"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        symlink(top.join("real"), top.join("link")).unwrap();
        symlink("./data/../link", top.join("far")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        symlink("in", top.join("real/inner")).unwrap();
        symlink("../real", top.join("other/link")).unwrap();
        symlink("../../real", top.join("other/deep/link")).unwrap();
        symlink("other", top.join("another")).unwrap();
        (dir, top)
    }

    #[cfg(unix)]
    #[test]
    fn links_among_the_folders_of_a_full_path_are_followed() {
        let (_dir, top) = linked();
        let reach = Reach::default();
        let top = top.to_str().unwrap();
        let root = format!("{top}/real");
        let follow = |path: &str| followed(path, &[root.as_str()], None, &reach);
        for end in ["a.md", "a.md#Low tide", "a.md#Low/high", "odd #1.md", "none/a.md"] {
            for link in ["link", "far"] {
                let there = follow(&format!("{top}/{link}/{end}"));
                assert_eq!(there, Some(format!("{root}/{end}")), "{link} {end}");
            }
        }
        let there = follow(&format!("{top}/link/inner/a.md"));
        assert_eq!(there, Some(format!("{root}/in/a.md")));
        for none in ["link/../real/a.md", "gone/a.md", "link/\0", "loop/a.md", "real/a.md"] {
            assert_eq!(follow(&format!("{top}/{none}")), None, "{none:?}");
        }
        assert_eq!(follow("link/a.md"), None);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_touched_away_from_sources_and_home() {
        let (_dir, top) = linked();
        let (reach, home) = (Reach::default(), top.join("other"));
        let root = top.join("real").to_str().unwrap().to_owned();
        let roots = [root.as_str()];
        let follow = |end: &str, home: Option<&Path>| {
            followed(top.join(end).to_str().unwrap(), &roots, home, &reach)
        };
        // A link in a folder that no root lies below, and that is not the home directory.
        for end in ["other/link/a.md", "other/deep/link/a.md", "another/link/a.md"] {
            assert_eq!(follow(end, None), None, "{end}");
        }
        let (there, another) = (Some(format!("{root}/a.md")), top.join("another"));
        assert_eq!(follow("other/link/a.md", Some(home.as_path())), there);
        assert_eq!(follow("another/link/a.md", Some(another.as_path())), there, "a link itself");
        assert_eq!(follow("other/deep/link/a.md", Some(home.as_path())), None, "in the home alone");
        assert_eq!(followed("/other/link/a.md", &roots, Some(Path::new("/")), &reach), None);
        let mut ways = Ways {
            roots: &roots,
            home: home.clone(),
            elsewhere: Vec::new(),
            links: &[],
            reach: &reach,
        };
        let may = |ways: &Ways<'_>, folder: &Path| ways.may_look(folder, &folder.join("x"));
        for folder in [top.clone(), top.join("real"), top.join("real/in"), home.clone()] {
            assert!(may(&ways, &folder), "{folder:?}");
        }
        let mut away = ["/", "/net", "", "other"].map(PathBuf::from).to_vec();
        away.push(top.join("other/deep"));
        for folder in away {
            assert!(!may(&ways, &folder), "{folder:?}");
        }
        ways.elsewhere = vec![top.join("x"), home.clone()];
        assert!(!may(&ways, &top) && !may(&ways, &home) && may(&ways, &top.join("real")));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_a_system_has_are_known_without_a_look() {
        let reach = Reach::default();
        let (roots, home, elsewhere) = (["/private/tmp/vault"], PathBuf::new(), Vec::new());
        let ways = Ways { roots: &roots, home, elsewhere, links: APPLE_LINKS, reach: &reach };
        let resolve = |path: &str| ways.resolve(PathBuf::new(), Path::new(path));
        assert_eq!(resolve("/tmp/vault"), Some(PathBuf::from("/private/tmp/vault")));
        assert_eq!(resolve("/net/host"), None);
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
