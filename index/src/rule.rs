//! What ignore files say: read where they lie, and asked of paths by the walk and the watcher.
//!
//! They come with what is indexed, so a file counts only if it is a regular one of bounded size
//! that no link leads out of its source to: anything else would be read without end, be waited
//! for, or be another's. Invariant: no line of an ignore file stands in what is said of it.

use crate::error::Error;
use crate::jail;
use crate::limit::IGNORE_BYTES_MAX;
use crate::walk::slashed;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Files that say what is left out, in any folder; those that count most last.
const IGNORE_FILES: &[&str] = &[EXCLUDE, GITIGNORE, ".ignore", ".synodignore"];
/// Git's own file; it counts within its repository.
const GITIGNORE: &str = ".gitignore";
/// What a person's git leaves out of one repository; it lies where [`exclude_of`] says.
const EXCLUDE: &str = ".git/info/exclude";
/// Lines of an ignore file that are named when they are no patterns; the rest is counted.
const LINES_NAMED_MAX: usize = 5;

/// Whether git keeps to files of this name, which say nothing of a repository within their own.
fn is_of_git(name: &str) -> bool {
    matches!(name, EXCLUDE | GITIGNORE)
}

/// Whether a folder is the root of a git repository, of a worktree or of a submodule.
fn is_repository(folder: &Path) -> bool {
    folder.join(".git").exists()
}

/// What a file with rules holds; `None` where there is none. A link is followed within `top`, and
/// not at all without one.
///
/// # Errors
/// Why it is not read, without a word of what it holds.
pub(crate) fn bytes_of(top: Option<&Path>, file: &Path) -> Result<Option<Vec<u8>>, String> {
    let Ok(own) = file.symlink_metadata() else { return Ok(None) };
    let is_link = own.is_symlink();
    let meta = match top {
        None if is_link => return Err("it is a link".to_owned()),
        Some(_) if is_link => file.metadata(),
        _ => Ok(own),
    };
    // A link that leads nowhere, or a folder of that name.
    let Some(meta) = meta.ok().filter(|meta| !meta.is_dir()) else { return Ok(None) };
    // Whoever opens a pipe waits until somebody writes to it.
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let opened = match top {
        Some(top) => open_within(top, file, is_link)?,
        None => File::open(file).map_err(|error| error.to_string())?,
    };
    let mut bytes = Vec::new();
    let read = opened.take(IGNORE_BYTES_MAX + 1).read_to_end(&mut bytes);
    match read {
        Err(error) => Err(error.to_string()),
        Ok(n) if n as u64 > IGNORE_BYTES_MAX => {
            Err(format!("it has more than {IGNORE_BYTES_MAX} bytes"))
        }
        Ok(_) => Ok(Some(bytes)),
    }
}

fn open_within(top: &Path, file: &Path, is_link: bool) -> Result<File, String> {
    let real = |path: &Path| match is_link {
        true => path.canonicalize().map_err(|error| error.to_string()),
        false => Ok(path.to_owned()),
    };
    let (top, file) = (real(top)?, real(file)?);
    let leaves = || "a link leads out of its source to it".to_owned();
    let relative = file.strip_prefix(&top).map_err(|_| leaves())?;
    let relative = slashed(relative).ok_or("its path is not UTF-8")?;
    jail::open(&top, &relative).map_err(|error| match error {
        Error::Argument(_) => leaves(),
        Error::Data { source, .. } => source.to_string(),
        error => error.to_string(),
    })
}

/// Where the [`EXCLUDE`] of a folder is, if git knows the folder. `.git` of a linked worktree and
/// of a submodule is a file that names the folder of git; that of a worktree names the one that all
/// of them have in common.
fn exclude_of(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    if !git.symlink_metadata().ok()?.is_file() {
        return Some(folder.join(EXCLUDE));
    }
    let text_of = |file: &Path| String::from_utf8(bytes_of(None, file).ok()??).ok();
    let text = text_of(&git)?;
    let own = folder.join(text.strip_prefix("gitdir:")?.trim());
    let common = text_of(&own.join("commondir"));
    let common = common.map_or_else(|| own.clone(), |common| own.join(common.trim()));
    Some(common.join("info/exclude"))
}

/// What an ignore file says, and what is wrong with it; nothing where there is none.
fn rules_of(top: &Path, folder: &Path, name: &str) -> (Option<Gitignore>, Option<String>) {
    // Git's own folder may lie anywhere, so its file is one whose name is no link.
    let (top, file) = match name {
        EXCLUDE => (None, exclude_of(folder)),
        _ => (Some(top), Some(folder.join(name))),
    };
    let Some(file) = file else { return (None, None) };
    match bytes_of(top, &file) {
        Ok(Some(bytes)) => parse(folder, &file, &bytes),
        Ok(None) => (None, None),
        Err(why) => (None, Some(format!("{why}, so its rules count for nothing"))),
    }
}

/// A line that is no pattern is passed over.
fn parse(folder: &Path, file: &Path, bytes: &[u8]) -> (Option<Gitignore>, Option<String>) {
    let mut builder = GitignoreBuilder::new(folder);
    let (mut named, mut n_wrong) = (Vec::new(), 0_usize);
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok();
        let line = line.map(|line| match at {
            0 => line.trim_start_matches('\u{feff}'),
            _ => line,
        });
        if line.is_some_and(|line| builder.add_line(Some(file.to_owned()), line).is_ok()) {
            continue;
        }
        n_wrong += 1;
        if named.len() < LINES_NAMED_MAX {
            named.push((at + 1).to_string());
        }
    }
    let Ok(rules) = builder.build() else {
        return (None, Some("its patterns are too large, so they count for nothing".to_owned()));
    };
    let wrong = (n_wrong > 0).then(|| {
        let rest = match n_wrong - named.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("no pattern, so it counts for nothing: line {}{rest}", named.join(", "))
    });
    (Some(rules), wrong)
}

/// An ignore file that was read.
pub(crate) struct IgnoreFile {
    /// What its lines are about.
    folder: PathBuf,
    is_of_git: bool,
    rules: Gitignore,
}

/// The ignore files in `folders` below `top`, of which each lies in the one before; those that
/// count most last.
pub(crate) fn ignore_files(top: &Path, folders: &[&Path]) -> Vec<IgnoreFile> {
    let mut found = Vec::new();
    for name in IGNORE_FILES {
        for folder in folders {
            let (rules, _) = rules_of(top, folder, name);
            let (folder, is_of_git) = ((*folder).to_owned(), is_of_git(name));
            found.extend(rules.map(|rules| IgnoreFile { folder, is_of_git, rules }));
        }
    }
    found
}

/// The folders above `root` in the git repository that it is a folder of, outermost first.
fn folders_above(root: &Path) -> Vec<&Path> {
    let top = root.ancestors().find(|folder| is_repository(folder));
    let Some(top) = top.filter(|top| *top != root) else { return Vec::new() };
    let inside = |folder: &&Path| folder.starts_with(top);
    let mut folders: Vec<&Path> = root.ancestors().skip(1).take_while(inside).collect();
    folders.reverse();
    folders
}

/// Where the ignore files above `root` are that may hold for it, be they there or not.
pub(crate) fn files_above(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in folders_above(root) {
        let file = |name: &&str| match *name {
            EXCLUDE => exclude_of(folder),
            name => Some(folder.join(name)),
        };
        files.extend(IGNORE_FILES.iter().filter_map(file));
    }
    files
}

/// The ignore files above `root` that hold for it: those of the git repository that it is a folder
/// of. None where the repository leaves out `root` itself: who names a folder wants what is in it.
pub(crate) fn above(root: &Path) -> Vec<IgnoreFile> {
    let folders = folders_above(root);
    let Some(top) = folders.first().copied() else { return Vec::new() };
    let files = ignore_files(top, &folders);
    let mut own = root.ancestors().take_while(|folder| *folder != top);
    if own.any(|folder| ignored_by(&files, folder, true).is_some()) {
        return Vec::new();
    }
    files
}

/// The line that leaves `path` out: of the ignore file that counts most among those with a line for
/// it, the last one. `files` as [`ignore_files`] has them.
pub(crate) fn ignored_by(files: &[IgnoreFile], path: &Path, is_dir: bool) -> Option<String> {
    let is_parted = |file: &IgnoreFile| {
        let mut between = path.ancestors().skip(1).take_while(|folder| *folder != file.folder);
        file.is_of_git && between.any(is_repository)
    };
    let about = |file: &&IgnoreFile| {
        path != file.folder && path.starts_with(&file.folder) && !is_parted(file)
    };
    for IgnoreFile { rules, .. } in files.iter().rev().filter(about) {
        match rules.matched(path, is_dir) {
            Match::None => {}
            Match::Whitelist(_) => return None,
            Match::Ignore(glob) => {
                let file = glob.from().unwrap_or(path).display();
                return Some(format!("the line `{}` of {file}", glob.original()));
            }
        }
    }
    None
}

/// What holds in a folder: the rules of its own files, as [`IGNORE_FILES`] are, and those of the
/// folders above it. A folder without rules that is no repository has the level of the one above.
struct Level {
    above: Option<Arc<Level>>,
    is_repository: bool,
    own: Vec<Option<Gitignore>>,
}

/// What ignore files leave out of a source. What lies above its root is somebody else's, and so is
/// what a person's git leaves out everywhere: only [`above`] says what counts. Each folder's files
/// are read once, when something in it is asked for.
pub(crate) struct Ignored {
    root: PathBuf,
    outer: Vec<IgnoreFile>,
    /// By folder; `None` for one that is left out.
    levels: RwLock<HashMap<PathBuf, Option<Arc<Level>>>>,
    /// What is wrong with ignore files: relative path and reason.
    problems: Mutex<BTreeMap<String, String>>,
}

impl Ignored {
    /// Of the source at `root`; reads what lies above it.
    pub(crate) fn new(root: &Path) -> Self {
        Ignored {
            root: root.to_owned(),
            outer: above(root),
            levels: RwLock::default(),
            problems: Mutex::default(),
        }
    }

    /// Whether the file or folder at a path below the root is left out, or a folder above it.
    pub(crate) fn leaves_out(&self, path: &Path, is_dir: bool) -> bool {
        let Some(folder) = path.parent() else { return false };
        self.level(folder).is_none_or(|level| self.matches(&level, path, is_dir))
    }

    /// What is wrong with those that were read so far: relative path and reason.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.iter().map(|(path, why)| (path.clone(), why.clone())).collect()
    }

    /// What holds for what lies in a folder; `None` if the folder is left out.
    fn level(&self, folder: &Path) -> Option<Arc<Level>> {
        let known = self.levels.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = known.get(folder) {
            return level.clone();
        }
        drop(known);
        let level = self.read_level(folder);
        let mut known = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(folder.to_owned(), level.clone());
        level
    }

    fn read_level(&self, folder: &Path) -> Option<Arc<Level>> {
        let above = match folder.parent().filter(|_| folder != self.root) {
            Some(parent) => {
                let above = self.level(parent)?;
                if self.matches(&above, folder, true) {
                    return None;
                }
                Some(above)
            }
            None => None,
        };
        let own: Vec<_> = IGNORE_FILES.iter().map(|name| self.read(folder, name)).collect();
        let is_repository = is_repository(folder);
        match above {
            Some(above) if !is_repository && own.iter().all(Option::is_none) => Some(above),
            above => Some(Arc::new(Level { above, is_repository, own })),
        }
    }

    fn read(&self, folder: &Path, name: &str) -> Option<Gitignore> {
        let (rules, why) = rules_of(&self.root, folder, name);
        if let Some(why) = why {
            let file = folder.join(name);
            let file = file.strip_prefix(&self.root).unwrap_or(&file);
            let shown = slashed(file).unwrap_or_else(|| file.to_string_lossy().into_owned());
            self.problems.lock().unwrap_or_else(PoisonError::into_inner).insert(shown, why);
        }
        rules.filter(|rules| !rules.is_empty())
    }

    /// The kind of file that counts most decides, and of one kind that in the nearest folder; those
    /// of git up to the root of the nearest repository.
    fn matches(&self, level: &Level, path: &Path, is_dir: bool) -> bool {
        let mut is_parted = false;
        for (at, name) in IGNORE_FILES.iter().enumerate().rev() {
            let mut next = Some(level);
            while let Some(level) = next {
                if let Some(Some(rules)) = level.own.get(at) {
                    let said = rules.matched(path, is_dir);
                    if !said.is_none() {
                        return said.is_ignore();
                    }
                }
                is_parted |= level.is_repository;
                next = level.above.as_deref().filter(|_| !(level.is_repository && is_of_git(name)));
            }
        }
        let outer = self.outer.iter().rev().filter(|file| !(is_parted && file.is_of_git));
        let mut said = outer.map(|file| file.rules.matched(path, is_dir));
        said.find(|said| !said.is_none()).is_some_and(|said| said.is_ignore())
    }
}
