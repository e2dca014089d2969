//! Which files of a source there are: walked in parallel, ignore files honoured, links not
//! followed.
//!
//! Invariant: an unreadable folder is reported, never taken for an empty one.

use crate::disk::Stamp;
use crate::limit::WALK_DEPTH_MAX;
use crate::rule::{self, Ignored};
use ignore::{DirEntry, WalkBuilder, WalkState};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Folders that are never content, whatever ignore files say.
const NEVER: &[&str] =
    &[".git", ".hg", ".svn", ".obsidian", ".trash", ".synod", "node_modules", "__pycache__"];

/// Hidden entries that people do write and search.
const HIDDEN_KEPT: &[&str] = &[
    ".github",
    ".gitlab",
    ".gitlab-ci.yml",
    ".ci",
    ".circleci",
    ".cargo",
    ".devcontainer",
    ".claude",
    ".cursor",
    ".specify",
    ".gitignore",
    ".synodignore",
    ".editorconfig",
    ".mcp.json",
    ".vscode",
];

/// Where Obsidian keeps its list of excluded files.
const OBSIDIAN: &str = ".obsidian/app.json";

/// A file as the walk saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Relative path, `/` between parts.
    pub path: String,
    /// From its metadata.
    pub stamp: Stamp,
}

/// The outcome of a walk.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// Files, sorted by path.
    pub files: Vec<Found>,
    /// What could not be read: relative path (empty for the root) and reason.
    pub errors: Vec<(String, String)>,
    /// Those of them that may be readable in a moment.
    pub unread: Vec<String>,
    /// What is wrong with files that say what is left out: relative path and reason. It says
    /// nothing of which files there are.
    pub rules: Vec<(String, String)>,
}

impl Walked {
    /// Whether the absence of `path` proves that it is gone: no folder above it failed.
    pub fn knows(&self, path: &str) -> bool {
        !self.errors.iter().any(|(dir, _)| {
            dir.is_empty()
                || path == dir
                || path.strip_prefix(dir).is_some_and(|r| r.starts_with('/'))
        })
    }
}

/// Walks `root`; `skip` are absolute folders left out (the data directory).
pub fn walk(root: &Path, skip: &[PathBuf]) -> Walked {
    walk_only(root, skip, None)
}

/// Relative paths that a walk is about, and the folders on the way to them.
pub struct Only {
    paths: HashSet<String>,
    above: HashSet<String>,
}

impl Only {
    /// About `paths`: files, or folders with everything below; an empty path is everything.
    pub fn new(paths: &HashSet<String>) -> Option<Self> {
        if paths.contains("") {
            return None;
        }
        let above = paths.iter().flat_map(|path| ancestors(path)).map(str::to_owned).collect();
        Some(Only { paths: paths.clone(), above })
    }

    fn wants(&self, path: &str) -> bool {
        self.above.contains(path)
            || self.paths.contains(path)
            || ancestors(path).any(|folder| self.paths.contains(folder))
    }
}

/// The folders above a relative path, outermost first.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// As [`walk`], but only what `only` is about: the folders on the way are listed, nothing beside
/// them is looked at, so that the work goes with what changed.
pub fn walk_only(root: &Path, skip: &[PathBuf], only: Option<Only>) -> Walked {
    walk_counted(root, skip, only, &Arc::default())
}

/// The same; counts what it comes to in `n_seen`, so that others see that it goes on.
pub(crate) fn walk_counted(
    root: &Path,
    skip: &[PathBuf],
    only: Option<Only>,
    n_seen: &Arc<AtomicU64>,
) -> Walked {
    let out = Arc::new(Mutex::new(Walked::default()));
    let ignored = Arc::new(Ignored::new(root));
    let (excluded, obsidian) = match obsidian_filters(root) {
        Ok(filters) => (filters, None),
        Err(why) => (Filters::default(), Some((OBSIDIAN.to_owned(), why))),
    };
    let skip: Arc<[PathBuf]> = skip.into();
    let (filter_root, rules) = (root.to_owned(), Arc::clone(&ignored));
    let n_seen = Arc::clone(n_seen);
    let mut builder = WalkBuilder::new(root);
    builder
        .standard_filters(false)
        .follow_links(false)
        .max_depth(Some(WALK_DEPTH_MAX))
        .filter_entry(move |entry| {
            n_seen.fetch_add(1, Ordering::Relaxed);
            let about = |only: &Only| {
                let path = entry.path().strip_prefix(&filter_root).ok().and_then(slashed);
                path.is_none_or(|path| path.is_empty() || only.wants(&path))
            };
            only.as_ref().is_none_or(about)
                && wanted(entry, &filter_root, &excluded, &skip)
                && !is_ignored(entry, &rules)
        })
        .threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(8)));
    builder.build_parallel().run(|| {
        let out = Arc::clone(&out);
        let root = root.to_owned();
        Box::new(move |entry| {
            visit(entry, &root, &out);
            WalkState::Continue
        })
    });
    let mut walked = std::mem::take(&mut *lock(&out));
    walked.files.sort_by(|a, b| a.path.cmp(&b.path));
    walked.errors.sort();
    walked.rules = ignored.problems();
    walked.rules.extend(obsidian);
    walked
}

/// The rules of a walk, asked for single paths. Ignore files are read once, when a path below them
/// is asked for: whoever learns that one may have changed makes new rules.
pub(crate) struct Rules {
    root: PathBuf,
    skip: Vec<PathBuf>,
    excluded: Filters,
    ignored: Option<Ignored>,
    /// Questions until what was read is forgotten: what is kept of folders that come and go is
    /// bounded.
    left: usize,
}

/// Questions to [`Rules`] before they forget what they know of folders.
const RULES_ASKED_MAX: usize = 200_000;

impl Rules {
    /// Of a walk of `root` without the folders `skip`.
    pub(crate) fn new(root: &Path, skip: &[PathBuf]) -> Self {
        Rules {
            root: root.to_owned(),
            skip: skip.to_vec(),
            excluded: obsidian_filters(root).unwrap_or_default(),
            ignored: Some(Ignored::new(root)),
            left: RULES_ASKED_MAX,
        }
    }

    /// The same before anything is read of the root: leaves out by names alone.
    pub(crate) fn of_names(root: &Path, skip: &[PathBuf]) -> Self {
        Rules {
            root: root.to_owned(),
            skip: skip.to_vec(),
            excluded: Filters::default(),
            ignored: None,
            left: RULES_ASKED_MAX,
        }
    }

    /// Whether a walk leaves out the file or folder at a relative path, or a folder above it.
    pub(crate) fn leave_out(&mut self, path: &str, is_dir: bool) -> bool {
        let mut end = 0;
        for name in path.split('/') {
            end += name.len() + usize::from(end > 0);
            let here = &path[..end];
            let skipped = || self.skip.iter().any(|dir| *dir == self.root.join(here));
            if is_left_out(name) || skipped() || self.excluded.matches(here) {
                return true;
            }
        }
        if self.left == 0 {
            *self = Rules::new(&self.root, &self.skip);
        }
        self.left -= 1;
        let too_deep = path.split('/').count() > WALK_DEPTH_MAX;
        self.ignored
            .as_ref()
            .is_some_and(|rules| too_deep || rules.leaves_out(&self.root.join(path), is_dir))
    }
}

fn lock(out: &Mutex<Walked>) -> std::sync::MutexGuard<'_, Walked> {
    out.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn visit(entry: Result<DirEntry, ignore::Error>, root: &Path, out: &Mutex<Walked>) {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return note_error(&error, root, out),
    };
    if !entry.file_type().is_some_and(|t| t.is_file()) {
        return;
    }
    let Ok(relative) = entry.path().strip_prefix(root) else { return };
    let Some(path) = slashed(relative) else {
        let shown = relative.to_string_lossy().into_owned();
        lock(out).errors.push((shown, "its name is not UTF-8; rename it".to_owned()));
        return;
    };
    match entry.metadata() {
        Ok(meta) => lock(out).files.push(Found { path, stamp: Stamp::of(&meta) }),
        Err(error) if error.io_error().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {}
        Err(error) => {
            let mut out = lock(out);
            out.unread.push(path.clone());
            out.errors.push((path, error.to_string()));
        }
    }
}

fn note_error(error: &ignore::Error, root: &Path, out: &Mutex<Walked>) {
    // What else may fail is about links and patterns, and a walk follows none and has none.
    let Some(reason) = error.io_error() else { return };
    if reason.kind() == ErrorKind::NotFound {
        // It went away while it was walked: its absence is what the walk reports.
        return;
    }
    let failed = failed_path(error);
    if failed.is_some_and(|path| !path.starts_with(root)) {
        return;
    }
    let path = failed.and_then(|path| path.strip_prefix(root).ok()).and_then(slashed);
    let mut out = lock(out);
    out.unread.extend(path.clone());
    out.errors.push((path.unwrap_or_default(), reason.to_string()));
}

fn failed_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            failed_path(err)
        }
        _ => None,
    }
}

/// A relative path with `/` between its parts; `None` if it is not UTF-8.
pub fn slashed(path: &Path) -> Option<String> {
    let mut out = String::new();
    for part in path.components() {
        if !out.is_empty() {
            out.push('/');
        }
        out.push_str(part.as_os_str().to_str()?);
    }
    Some(out)
}

/// Files that editors put beside the one that is edited, for moments: never content. The watcher
/// passes over their events by the same rule, so one that was indexed would stay.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".swx")
        || name.ends_with(".tmp")
        || name.starts_with(".#")
        || name == "4913"
}

/// Whether no entry of this name is ever content.
fn is_left_out(name: &str) -> bool {
    let hidden = name.starts_with('.') && !HIDDEN_KEPT.contains(&name);
    hidden || NEVER.contains(&name) || is_temporary(name)
}

fn wanted(entry: &DirEntry, root: &Path, excluded: &Filters, skip: &[PathBuf]) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name().to_string_lossy();
    if is_left_out(&name) || skip.iter().any(|dir| dir == entry.path()) {
        return false;
    }
    if excluded.is_empty() {
        return true;
    }
    let relative = entry.path().strip_prefix(root).ok().and_then(slashed);
    !relative.is_some_and(|path| excluded.matches(&path))
}

fn is_ignored(entry: &DirEntry, rules: &Ignored) -> bool {
    let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
    entry.depth() > 0 && rules.leaves_out(entry.path(), is_dir)
}

/// Obsidian's "excluded files": path prefixes, or patterns between slashes.
#[derive(Default)]
struct Filters {
    prefixes: Vec<String>,
    patterns: Vec<regex::Regex>,
}

impl Filters {
    fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.patterns.is_empty()
    }

    fn matches(&self, path: &str) -> bool {
        let prefix = |p: &String| {
            let p = p.trim_end_matches('/');
            path == p || path.strip_prefix(p).is_some_and(|rest| rest.starts_with('/'))
        };
        self.prefixes.iter().any(prefix) || self.patterns.iter().any(|r| r.is_match(path))
    }
}

/// Fails with why they are not read, without a word of what the file holds.
fn obsidian_filters(root: &Path) -> Result<Filters, String> {
    let mut filters = Filters::default();
    let bytes = rule::bytes_of(Some(root), &root.join(OBSIDIAN))
        .map_err(|why| format!("{why}, so what Obsidian excludes is not left out"))?;
    let app = bytes.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let Some(app) = app else { return Ok(filters) };
    for filter in app["userIgnoreFilters"].as_array().into_iter().flatten() {
        let Some(filter) = filter.as_str() else { continue };
        match filter.strip_prefix('/').and_then(|f| f.strip_suffix('/')) {
            // A pattern can only narrow what is read, and its size is bounded.
            Some(pattern) => {
                let built = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build();
                filters.patterns.extend(built.ok());
            }
            None => filters.prefixes.push(filter.to_owned()),
        }
    }
    Ok(filters)
}

/// Why a walk of `root` leaves out the file at `path`, in words that name the rule; `None` when no
/// rule of this program does.
pub fn why_left_out(root: &Path, path: &str, skip: &[PathBuf]) -> Option<String> {
    let excluded = obsidian_filters(root).unwrap_or_default();
    let full = root.join(path);
    let within = |folder: &&Path| folder.starts_with(root);
    let mut folders: Vec<&Path> = full.ancestors().skip(1).take_while(within).collect();
    folders.reverse();
    let mut files = rule::above(root);
    files.extend(rule::ignore_files(root, &folders));
    let mut here = root.to_owned();
    let mut relative = String::new();
    for part in path.split('/') {
        here.push(part);
        if !relative.is_empty() {
            relative.push('/');
        }
        relative.push_str(part);
        let shown = || format!("`{relative}`");
        if NEVER.contains(&part) {
            return Some(format!("{} is a folder that is never read", shown()));
        }
        if is_temporary(part) {
            return Some(format!("{} has the name of an editor's temporary file", shown()));
        }
        if part.starts_with('.') && !HIDDEN_KEPT.contains(&part) {
            return Some(format!("{} is hidden (its name begins with a dot)", shown()));
        }
        if skip.contains(&here) {
            return Some(format!("{} is the data directory of this program", shown()));
        }
        if here.is_symlink() {
            return Some(format!("{} is a link, and links are not followed", shown()));
        }
        if excluded.matches(&relative) {
            return Some(format!("{} is among Obsidian's excluded files", shown()));
        }
        if let Some(rule) = rule::ignored_by(&files, &here, here.is_dir()) {
            return Some(format!("{} is ignored by {rule}", shown()));
        }
    }
    (path.split('/').count() > WALK_DEPTH_MAX)
        .then(|| format!("it lies deeper than {WALK_DEPTH_MAX} folders"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn paths(root: &Path) -> Vec<String> {
        walk(root, &[]).files.into_iter().map(|f| f.path).collect()
    }

    #[test]
    fn ignore_files_hidden_folders_and_links_are_honoured() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in [
            ".git/x",
            ".obsidian/app.json",
            "a/b.md",
            "a/skip.md",
            "old/c.md",
            "t/d.md",
            ".github/w.yml",
            ".secret",
            "node_modules/m.js",
            "tmp1/e.md",
            "a/b.md~",
            "a/b.md.tmp",
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "x").unwrap();
        }
        fs::write(root.join(".gitignore"), "skip.md\n").unwrap();
        fs::write(root.join(".synodignore"), "old/\n").unwrap();
        let app = r#"{"userIgnoreFilters": ["t/", "/^tmp\\d/"]}"#;
        fs::write(root.join(".obsidian/app.json"), app).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", root.join("etc")).unwrap();
        assert_eq!(paths(root), [".github/w.yml", ".gitignore", ".synodignore", "a/b.md"]);
        // Whatever is left out has a rule that says so, and nothing else has one.
        for (path, rule) in [
            (".git/x", "never read"),
            ("a/skip.md", "the line `skip.md` of"),
            ("old/c.md", "`old` is ignored by the line `old/` of"),
            ("t/d.md", "Obsidian's excluded files"),
            ("tmp1/e.md", "Obsidian's excluded files"),
            (".secret", "hidden"),
            ("node_modules/m.js", "never read"),
            ("a/b.md~", "temporary"),
        ] {
            let why = why_left_out(root, path, &[]).unwrap_or_default();
            assert!(why.contains(rule), "{path}: {why}");
        }
        for path in [".github/w.yml", ".gitignore", "a/b.md"] {
            assert_eq!(why_left_out(root, path, &[]), None);
        }
        #[cfg(unix)]
        assert!(why_left_out(root, "etc/passwd", &[]).is_some_and(|why| why.contains("a link")));
    }

    /// Writes files below `root`, each with what it holds.
    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
    }

    #[test]
    fn ignore_files_above_a_source_hide_and_freeze_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let vault = dir.path().join("vault");
        for broken in ["*\n", "x{\n"] {
            let above = [".gitignore", ".ignore", ".synodignore"].map(|name| (name, broken));
            write(dir.path(), &above);
            write(&vault, &[("a.md", ""), ("b/c.md", "")]);
            let walked = walk(&vault, &[]);
            assert_eq!(paths(&vault), ["a.md", "b/c.md"], "{broken}");
            assert!(walked.errors.is_empty(), "{broken}: {:?}", walked.errors);
            assert!(walked.knows("gone.md") && walked.unread.is_empty());
            assert!(!Rules::new(&vault, &[]).leave_out("b/c.md", false));
            assert_eq!(why_left_out(&vault, "b/c.md", &[]), None);
        }
        // A repository of its own in there obeys its own rules.
        write(&vault, &[(".git/HEAD", ""), (".gitignore", "a.md\n")]);
        assert_eq!(paths(&vault), [".gitignore", "b/c.md"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_ignore_file_is_never_read_and_named_without_a_line_of_it() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("vault");
        write(dir.path(), &[("token", "a.md\nxoxb{secret\n")]);
        write(&root, &[("a.md", ""), ("b.md", ""), ("own/list", "b.md\n"), (".git/info/x", "")]);
        for name in ["link", "zero", "pipe", "large", "broken"] {
            write(&root, &[(format!("{name}/a.md").as_str(), "")]);
        }
        symlink("../token", root.join(".ignore")).unwrap();
        symlink("own/list", root.join(".synodignore")).unwrap();
        symlink("../../../token", root.join(".git/info/exclude")).unwrap();
        symlink("../../token", root.join("link/.gitignore")).unwrap();
        symlink("/dev/zero", root.join("zero/.gitignore")).unwrap();
        let pipe = root.join("pipe/.gitignore");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "no pipe");
        fs::write(root.join("large/.gitignore"), "a.md\n".repeat(1 << 18)).unwrap();
        fs::write(root.join("broken/.gitignore"), "x\nsecret{\na.md\n").unwrap();
        fs::create_dir(root.join(".obsidian")).unwrap();
        symlink("/dev/zero", root.join(".obsidian/app.json")).unwrap();
        let walked = walk(&root, &[]);
        let found: Vec<_> = walked.files.iter().map(|file| file.path.as_str()).collect();
        let mut left = ["broken/.gitignore", "large/.gitignore"].to_vec();
        left.extend(["a.md", "large/a.md", "link/a.md", "own/list", "pipe/a.md", "zero/a.md"]);
        left.sort_unstable();
        assert_eq!(found, left, "a link within the source is followed: `b.md` is left out");
        assert!(walked.errors.is_empty(), "{:?}", walked.errors);
        let named: Vec<_> = walked.rules.iter().map(|(path, _)| path.as_str()).collect();
        let mut wrong = [".git/info/exclude", ".ignore", "broken/.gitignore"].to_vec();
        wrong.extend(["large/.gitignore", "link/.gitignore", "pipe/.gitignore"]);
        wrong.extend(["zero/.gitignore", OBSIDIAN]);
        assert_eq!(named, wrong);
        for (path, why) in &walked.rules {
            assert!(!why.contains("secret"), "{path}: {why}");
        }
        let broken = walked.rules.iter().find(|(path, _)| path == "broken/.gitignore").unwrap();
        assert!(broken.1.ends_with("line 2"), "{}", broken.1);
        let mut rules = Rules::new(&root, &[]);
        for path in &left {
            assert!(!rules.leave_out(path, false), "{path}");
        }
        for path in ["b.md", "broken/a.md"] {
            assert!(rules.leave_out(path, false) && why_left_out(&root, path, &[]).is_some());
        }
    }

    #[test]
    fn a_folder_of_a_repository_obeys_its_rules_and_those_between() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        write(dir.path(), &[(".gitignore", "*.md\n")]);
        write(
            &repo,
            &[
                (".git/info/exclude", "secret.md\n"),
                (".gitignore", "*.log\n/docs/in/out/\n/built/\nx{\n"),
                ("docs/.synodignore", "/in/old.md\n"),
                ("docs/in/.gitignore", "!keep.log\n"),
                ("docs/in/a.md", ""),
                ("docs/in/b.log", ""),
                ("docs/in/keep.log", ""),
                ("docs/in/old.md", ""),
                ("docs/in/out/c.md", ""),
                ("docs/in/deep/out/d.md", ""),
                ("docs/in/deep/secret.md", ""),
                ("built/e.md", ""),
                ("built/f.log", ""),
            ],
        );
        let source = repo.join("docs/in");
        let found = paths(&source);
        assert_eq!(found, [".gitignore", "a.md", "deep/out/d.md", "keep.log"]);
        assert!(walk(&source, &[]).errors.is_empty());
        let mut rules = Rules::new(&source, &[]);
        for (path, line) in [
            ("b.log", "`b.log` is ignored by the line `*.log` of"),
            ("old.md", "the line `/in/old.md` of"),
            ("out/c.md", "`out` is ignored by the line `/docs/in/out/` of"),
            ("deep/secret.md", "the line `secret.md` of"),
        ] {
            assert!(rules.leave_out(path, false), "{path}");
            let why = why_left_out(&source, path, &[]).unwrap_or_default();
            assert!(why.contains(line), "{path}: {why}");
        }
        for path in &found {
            assert!(!rules.leave_out(path, false), "{path}");
            assert_eq!(why_left_out(&source, path, &[]), None);
        }
        // Who names a folder that the repository leaves out wants what is in it.
        assert_eq!(paths(&repo.join("built")), ["e.md", "f.log"]);
    }

    #[test]
    fn a_repository_in_a_source_obeys_its_own_rules_and_those_that_are_not_of_git() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        write(
            &repo,
            &[
                (".git/info/exclude", "secret.md\n"),
                (".gitignore", "*.log\n/notes/vendor/\n"),
                (".synodignore", "old.md\n"),
                ("notes/a.log", ""),
                ("notes/lib/.git/HEAD", ""),
                ("notes/lib/.gitignore", "own.md\n"),
                ("notes/lib/b.log", ""),
                ("notes/lib/in/secret.md", ""),
                ("notes/lib/old.md", ""),
                ("notes/lib/own.md", ""),
                ("notes/sub/.git", "gitdir: ../../.git/modules/sub\n"),
                ("notes/sub/c.log", ""),
                ("notes/vendor/dep/.git/HEAD", ""),
                ("notes/vendor/dep/d.md", ""),
            ],
        );
        let left = ["lib/.gitignore", "lib/b.log", "lib/in/secret.md", "sub/c.log"];
        // The same where the outer repository is the source, and where it lies above it.
        let whole = left.map(|path| format!("notes/{path}"));
        let found: Vec<String> = paths(&repo).into_iter().filter(|p| !p.starts_with('.')).collect();
        assert_eq!(found, whole);
        assert_eq!(paths(&repo.join("notes")), left);
        for (source, before) in [(repo.join("notes"), ""), (repo, "notes/")] {
            let mut rules = Rules::new(&source, &[]);
            for path in left.map(|path| format!("{before}{path}")) {
                assert!(!rules.leave_out(&path, false), "{path}");
                assert_eq!(why_left_out(&source, &path, &[]), None, "{path}");
            }
            for (path, line) in [
                ("a.log", "the line `*.log` of"),
                ("lib/old.md", "the line `old.md` of"),
                ("lib/own.md", "the line `own.md` of"),
                ("vendor/dep/d.md", "the line `/notes/vendor/` of"),
            ] {
                let path = format!("{before}{path}");
                assert!(rules.leave_out(&path, false), "{path}");
                let why = why_left_out(&source, &path, &[]).unwrap_or_default();
                assert!(why.contains(line), "{path}: {why}");
            }
        }
    }

    #[test]
    fn a_worktree_and_a_submodule_obey_what_their_repository_excludes() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main");
        let linked = format!("gitdir: {}\n", main.join(".git/worktrees/wt").display());
        let files = [(".git", ""), ("secret.md", ""), ("sub/a.md", ""), ("sub/secret.md", "")];
        write(
            &main,
            &[
                (".git/info/exclude", "secret.md\n"),
                (".git/worktrees/wt/commondir", "../..\n"),
                (".git/worktrees/near/commondir", "../..\n"),
                (".git/modules/part/info/exclude", "secret.md\n"),
            ],
        );
        for (top, git) in [
            (dir.path().join("wt"), linked.as_str()),
            (dir.path().join("near"), "gitdir: ../main/.git/worktrees/near\n"),
            (main.join("part"), "gitdir: ../.git/modules/part\n"),
        ] {
            write(&top, &files);
            fs::write(top.join(".git"), git).unwrap();
            for (source, left, found) in
                [(top.join("sub"), "secret.md", "a.md"), (top.clone(), "sub/secret.md", "sub/a.md")]
            {
                assert_eq!(paths(&source), [found], "{git}");
                let mut rules = Rules::new(&source, &[]);
                assert!(rules.leave_out(left, false) && !rules.leave_out(found, false), "{git}");
                let why = why_left_out(&source, left, &[]).unwrap_or_default();
                assert!(why.contains("the line `secret.md` of"), "{git}: {why}");
                assert_eq!(why_left_out(&source, found, &[]), None);
            }
        }
        // What leads nowhere leaves nothing out.
        for git in ["", "x", "gitdir:", "gitdir: ../none"] {
            let top = dir.path().join("wt");
            fs::write(top.join(".git"), git).unwrap();
            assert_eq!(paths(&top.join("sub")), ["a.md", "secret.md"], "{git}");
        }
    }

    #[test]
    fn a_walk_about_some_paths_finds_them_and_what_is_below() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/b/c.md", "a/b/d/e.md", "a/f.md", "build/g.md"] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), "x").unwrap();
        }
        fs::write(dir.path().join(".gitignore"), "build/\n").unwrap();
        let found = |paths: &[&str]| {
            let paths = paths.iter().map(|p| (*p).to_owned()).collect();
            let walked = walk_only(dir.path(), &[], Only::new(&paths));
            walked.files.into_iter().map(|f| f.path).collect::<Vec<_>>()
        };
        assert_eq!(found(&["a/b"]), ["a/b/c.md", "a/b/d/e.md"]);
        assert_eq!(found(&["a/f.md", "build/g.md", "gone.md"]), ["a/f.md"]);
        assert_eq!(found(&[""]).len(), 4);
    }

    #[test]
    fn rules_for_single_paths_are_those_of_the_walk() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let all = [
            "a.md",
            "out/b.md",
            "out/deep/c.md",
            "kept/d.md",
            "kept/skip.md",
            "kept/in/skip.md",
            "kept/in/e.log",
            "kept/in/f.tmp",
            ".hidden/g.md",
            ".github/h.md",
            "data/i.md",
            "none/j.md",
            ".git/k",
        ];
        for path in all {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "x").unwrap();
        }
        fs::write(root.join(".gitignore"), "out/\n*.log\n").unwrap();
        fs::write(root.join("kept/.gitignore"), "skip.md\n").unwrap();
        fs::write(root.join("kept/in/.synodignore"), "!e.log\n!skip.md\n").unwrap();
        fs::create_dir_all(root.join(".obsidian")).unwrap();
        let app = r#"{"userIgnoreFilters": ["none/"]}"#;
        fs::write(root.join(".obsidian/app.json"), app).unwrap();
        let skip = [root.join("data")];
        let found = walk(root, &skip).files;
        let mut rules = Rules::new(root, &skip);
        for path in all {
            let walked = found.iter().any(|file| file.path == path);
            assert_eq!(!rules.leave_out(path, false), walked, "{path}");
        }
        assert!(rules.leave_out("out", true) && !rules.leave_out("out", false));
        assert!(rules.leave_out("data", true) && !rules.leave_out("kept/in", true));
        assert!(rules.leave_out("out/new/none.md", false), "what is not there has rules too");
    }

    #[test]
    fn a_failed_folder_hides_only_what_is_below_it() {
        let errors = vec![("a".to_owned(), String::new())];
        let walked = Walked { errors, ..Walked::default() };
        assert!(!walked.knows("a/b"));
        assert!(walked.knows("ab"));
    }
}
