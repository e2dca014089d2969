//! The watches of one source: put, kept and followed, and what is heard through them.
//!
//! Everything here touches the files of the source and is called on a thread that can be given up
//! ([`crate::apart`]). So the watches move onto it and come back from it: nobody else holds them
//! meanwhile. Invariant: whoever looks at a folder has put its watches before. Invariant: watches
//! share nothing with those that come after them, so what hangs with them in hand changes nothing.

use crate::apart::Signs;
use crate::mount;
use crate::reach::{Identity, identity_of};
use crate::rule;
use crate::touch::Touched;
use crate::walk::{Rules, slashed};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind};
use notify::{
    ErrorKind, Event, EventKind, EventKindMask, PathOp, RecommendedWatcher, RecursiveMode,
    WatchPathConfig, Watcher,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether single folders are watched: where the system watches trees, that is one watch a source.
pub(crate) const SINGLY: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Watches that are taken back one by one; beyond that all are put anew.
const GONE_MAX: usize = 200;

/// Watches that are put at once: whoever waits for them hears of each such lot, also where one of
/// them takes two seconds.
const LOT: usize = 4;

/// Folders that are no content and are watched for a file in them.
const BESIDE: &[&str] = &[".git", ".git/logs", ".git/info", ".obsidian"];

/// Those of them with files that say what belongs to the source. What such a folder brings along is
/// not heard of: it is watched only once it is there.
const RULED: &[&str] = &[".git", ".git/info", ".obsidian"];

/// What makes a folder a repository, which obeys its own rules.
const REPOSITORY: &str = ".git";

/// Files that say what belongs to a source, in any of its folders.
const RULES: &[&str] = &[".gitignore", ".ignore", ".synodignore"];

/// The same at the root of a source.
const RULES_AT_ROOT: &[&str] = &[".git/info/exclude", ".obsidian/app.json"];

/// The file of version control that grows with every commit and checkout.
const COMMITS: &str = ".git/logs/HEAD";

/// Gets what was touched, on a thread of the watcher's.
pub(crate) type Tell = Arc<dyn Fn(Touched) + Send + Sync>;

/// Folders that could not be entered when their watches were put. Held while one is looked at, so
/// that whoever hears that it was opened knows that it was shut.
type Shut = Arc<Mutex<BTreeSet<PathBuf>>>;

fn held(shut: &Shut) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    shut.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ignore files above a source that may hold for it, as of when its watches were last put or kept:
/// a repository may be made around it.
type Above = Arc<Mutex<Vec<PathBuf>>>;

fn files_of(above: &Above) -> MutexGuard<'_, Vec<PathBuf>> {
    above.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A source that is to be watched.
pub(crate) struct Site {
    pub(crate) id: i64,
    pub(crate) root: PathBuf,
    /// Folders that are left out wherever they lie.
    pub(crate) skip: Vec<PathBuf>,
    /// Whether it is watched only where its file system is to be relied on.
    pub(crate) auto: bool,
    /// Gets what was touched in it.
    pub(crate) tell: Tell,
}

/// Which file system does not tell of all changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deaf {
    /// That of the source.
    Own,
    /// One that is mounted below it.
    Below,
}

/// Why a source is not watched.
#[derive(Debug)]
pub(crate) enum Unwatched {
    /// A file system is not to be relied on; in words, too.
    Deaf(Deaf, String),
    /// It could not be.
    Failed(String),
}

impl From<String> for Unwatched {
    fn from(why: String) -> Self {
        Unwatched::Failed(why)
    }
}

impl Site {
    /// The rules of a walk of it, as they are now.
    fn rules(&self) -> Rules {
        Rules::new(&self.root, &self.skip)
    }

    /// Fails if its file system, or one that a walk enters below it, is not to be relied on.
    fn rely(&self) -> Result<(), Unwatched> {
        if !self.auto {
            return Ok(());
        }
        if !mount::tells(&self.root) {
            let why = "its file system does not tell of all changes".to_owned();
            return Err(Unwatched::Deaf(Deaf::Own, why));
        }
        let mounted = mount::silent_below(&self.root);
        if mounted.is_empty() {
            return Ok(());
        }
        let mut rules = self.rules();
        let entered = mounted.into_iter().find(|(at, _)| {
            let relative = at.strip_prefix(&self.root).ok().and_then(slashed);
            relative.is_some_and(|relative| !rules.leave_out(&relative, true))
        });
        let Some((at, name)) = entered else { return Ok(()) };
        let at = at.display();
        let why = format!("`{at}` is mounted in it, and {name} does not tell of all changes");
        Err(Unwatched::Deaf(Deaf::Below, why))
    }
}

/// The watches of a source. They have a watcher of their own: watches are known by their paths, and
/// one source may lie in another.
pub(crate) struct Cover {
    site: Site,
    watcher: RecommendedWatcher,
    /// What a walk leaves out, as the watcher asks for it. Held while a file is looked at.
    rules: Arc<Mutex<Rules>>,
    /// Watched folders, where single ones are, as each was when its watching began.
    folders: BTreeMap<PathBuf, Identity>,
    /// Those of them that cannot be entered.
    shut: Shut,
    above: Above,
}

impl Cover {
    /// Watches a source; whoever calls this compares all of it afterwards.
    pub(crate) fn start(site: Site, signs: &Signs) -> Result<Self, Unwatched> {
        site.rely()?;
        std::fs::read_dir(&site.root).map_err(|error| error.to_string())?;
        let rules = Arc::new(Mutex::new(Rules::of_names(&site.root, &site.skip)));
        let (shut, above) = (Shut::default(), Above::default());
        let ears = Ears {
            id: site.id,
            root: site.root.clone(),
            above: Arc::clone(&above),
            rules: Arc::clone(&rules),
            shut: Arc::clone(&shut),
            tell: Arc::clone(&site.tell),
        };
        // Reading is no change: a search that opens its hits would be heard for each of them.
        let config = notify::Config::default()
            .with_follow_symlinks(false)
            .with_event_kinds(EventKindMask::CORE | EventKindMask::ACCESS_CLOSE);
        let hear = move |event: notify::Result<Event>| ears.hear(event);
        let watcher = RecommendedWatcher::new(hear, config).map_err(|error| error.to_string())?;
        let mut cover = Cover { site, watcher, rules, folders: BTreeMap::new(), shut, above };
        cover.put_all(signs)?;
        Ok(cover)
    }

    /// Watches what a walk enters and is not watched, or is another folder than the one that is:
    /// when one is mounted over another, nobody is told. Whoever calls this compares the whole
    /// source afterwards.
    pub(crate) fn keep(mut self, signs: &Signs) -> Result<Self, Unwatched> {
        // Something may have been mounted in it since.
        self.site.rely()?;
        if !SINGLY {
            self.judge_by(self.site.rules());
            return Ok(self);
        }
        let mut others = Vec::new();
        for (path, known) in &self.folders {
            signs.go_on()?;
            if folder(path) != *known {
                others.push(path.clone());
            }
        }
        for path in &others {
            self.folders.remove(path);
        }
        // What the system dropped by itself is no failure.
        let others = others.into_iter().map(PathOp::unwatch).collect();
        apply(&mut self.watcher, others, signs)?;
        // To put a watch that stands does nothing.
        self.put_all(signs)?;
        Ok(self)
    }

    /// Watches the new folders among what was touched; whoever calls this looks at all of it
    /// afterwards. False when so much went that all is to be watched anew: taking back thousands of
    /// watches one by one costs more.
    pub(crate) fn follow(
        mut self,
        touched: &HashSet<String>,
        signs: &Signs,
    ) -> (Result<Self, Unwatched>, bool) {
        match self.follow_new(touched, signs) {
            Ok(few) => (Ok(self), few),
            Err(why) => (Err(Unwatched::Failed(why)), true),
        }
    }

    fn follow_new(&mut self, touched: &HashSet<String>, signs: &Signs) -> Result<bool, String> {
        let (mut gone, mut new) = (BTreeSet::new(), Vec::new());
        let mut rules = None;
        for path in touched {
            signs.go_on()?;
            let full = self.site.root.join(path);
            let meta = std::fs::symlink_metadata(&full);
            let is_dir = meta.as_ref().is_ok_and(Metadata::is_dir);
            let known = self.folders.range(full.clone()..).map(|(at, _)| at);
            let known = known.take_while(|at| at.starts_with(&full));
            let before = gone.len();
            gone.extend(known.cloned());
            if !is_dir && gone.len() == before && (SINGLY || meta.is_ok()) {
                continue;
            }
            // A folder came, went, or is another one: its ignore files are others too.
            let rules = rules.get_or_insert_with(|| self.site.rules());
            if is_dir && enters(path, rules) {
                new.push(full);
            }
        }
        let Some(rules) = rules else { return Ok(true) };
        if gone.len() > GONE_MAX {
            return Ok(false);
        }
        for folder in &gone {
            self.folders.remove(folder);
            held(&self.shut).remove(folder);
        }
        // What the system dropped by itself is no failure.
        let gone = gone.into_iter().map(PathOp::unwatch).collect();
        apply(&mut self.watcher, gone, signs)?;
        new.sort();
        new.dedup_by(|next, kept| next.starts_with(&*kept));
        self.put(new, rules, signs)?;
        Ok(true)
    }

    /// Watches the root and what a walk enters below it, and folders above it for ignore files.
    fn put_all(&mut self, signs: &Signs) -> Result<(), String> {
        if SINGLY {
            // Before the files are read.
            let files = rule::files_above(&self.site.root);
            let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
            let ops = folders.into_iter().map(watch_op).collect();
            *files_of(&self.above) = files;
            apply(&mut self.watcher, ops, signs)?;
        }
        let (root, rules) = (self.site.root.clone(), self.site.rules());
        self.put(vec![root], rules, signs)
    }

    /// Watches folders and what a walk enters below them, each before it is listed.
    fn put(
        &mut self,
        mut level: Vec<PathBuf>,
        mut rules: Rules,
        signs: &Signs,
    ) -> Result<(), String> {
        if SINGLY {
            while !level.is_empty() {
                // Before the watching: what is replaced in between is another folder.
                let mut known = Vec::with_capacity(level.len());
                for path in &level {
                    signs.go_on()?;
                    known.push(folder(path));
                }
                let ops = level.iter().map(|folder| watch_op(folder)).collect();
                apply(&mut self.watcher, ops, signs)?;
                let mut below = Vec::new();
                for folder in &level {
                    signs.go_on()?;
                    let mut shut = held(&self.shut);
                    let inside = entered(folder, &self.site.root, &mut rules, signs)?;
                    if inside.is_some() && is_passable(folder) {
                        shut.remove(folder);
                    } else {
                        shut.insert(folder.clone());
                    }
                    below.extend(inside.into_iter().flatten());
                }
                self.folders.extend(std::mem::replace(&mut level, below).into_iter().zip(known));
            }
        } else if level.contains(&self.site.root) {
            let root = PathOp::watch_recursive(&self.site.root);
            apply(&mut self.watcher, vec![root], signs)?;
        }
        self.judge_by(rules);
        Ok(())
    }

    /// From here on events are judged by what was read just now; what they were judged by before
    /// may be older than what is about to be looked at.
    fn judge_by(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// What its watcher has in hand while it looks at a file, and what is held while a folder is.
    #[cfg(test)]
    pub(crate) fn inner(&self) -> (Arc<Mutex<Rules>>, Shut) {
        (Arc::clone(&self.rules), Arc::clone(&self.shut))
    }

    #[cfg(test)]
    pub(crate) fn folders(&mut self) -> &mut BTreeMap<PathBuf, Identity> {
        &mut self.folders
    }

    /// Lets a folder be one that was never heard of.
    #[cfg(test)]
    pub(crate) fn forget(&mut self, folder: &Path) {
        self.watcher.unwatch(folder).unwrap();
        self.folders.remove(folder);
    }
}

/// Which folder, and no link to one, is there.
fn folder(path: &Path) -> Identity {
    identity_of(&path.symlink_metadata().ok()?)
}

fn watch_op(folder: &Path) -> PathOp {
    let config = WatchPathConfig::new(RecursiveMode::NonRecursive);
    PathOp::Watch(folder.to_owned(), config.with_dereference_symlinks(false))
}

/// Does all of `ops`. A folder that went away is told of by the one above it; one that may not be
/// read is an error of the walk, and is told of when that changes.
fn apply(watcher: &mut RecommendedWatcher, ops: Vec<PathOp>, signs: &Signs) -> Result<(), String> {
    let mut ops = ops.into_iter();
    loop {
        let mut lot: Vec<PathOp> = ops.by_ref().take(LOT).collect();
        if lot.is_empty() {
            return Ok(());
        }
        signs.go_on()?;
        while !lot.is_empty() {
            let Err(error) = watcher.update_paths(lot) else { break };
            let harmless = match (&error.origin, &error.source.kind) {
                (None, _) => false,
                (Some(PathOp::Unwatch(_)), _) | (Some(_), ErrorKind::PathNotFound) => true,
                (Some(_), ErrorKind::Io(why)) => matches!(
                    why.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::NotADirectory
                        | std::io::ErrorKind::PermissionDenied
                ),
                _ => false,
            };
            if !harmless {
                return Err(error.source.to_string());
            }
            lot = error.remaining;
        }
    }
}

/// The folders in `folder` that a walk enters, and those beside that are watched for a file; `None`
/// if it cannot be listed, which is an error of the walk.
fn entered(
    folder: &Path,
    root: &Path,
    rules: &mut Rules,
    signs: &Signs,
) -> Result<Option<Vec<PathBuf>>, String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
    let mut inside = Vec::new();
    for entry in entries {
        // One folder may hold more than is listed in the time that is waited for a sign.
        signs.go_on()?;
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let relative = path.strip_prefix(root).ok().and_then(slashed);
        if relative.is_some_and(|relative| enters(&relative, rules)) {
            inside.push(path);
        }
    }
    Ok(Some(inside))
}

/// Whether what lies in a folder can be come to: another permission than that to list it.
fn is_passable(folder: &Path) -> bool {
    folder.join(".").symlink_metadata().is_ok()
}

fn enters(folder: &str, rules: &mut Rules) -> bool {
    BESIDE.contains(&folder) || !rules.leave_out(folder, true)
}

/// What hears the events of one source.
struct Ears {
    id: i64,
    root: PathBuf,
    above: Above,
    rules: Arc<Mutex<Rules>>,
    shut: Shut,
    tell: Tell,
}

impl Ears {
    fn hear(&self, event: notify::Result<Event>) {
        let paths = match event {
            Ok(event) if event.need_rescan() => HashSet::from([String::new()]),
            // First: of what lies beside the source nothing is looked at.
            Ok(event) if self.is_beside(&event) => match self.is_rule_above(&event) {
                true => HashSet::from([String::new()]),
                false => return,
            },
            Ok(event) if self.is_idle(&event) => return,
            Ok(event) => {
                let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
                touched(&self.root, &event, &mut rules)
            }
            // Something was missed, and maybe what comes after it will be.
            Err(_) => HashSet::from([String::new()]),
        };
        if !paths.is_empty() {
            (self.tell)(Touched::from([(self.id, paths)]));
        }
    }

    /// Whether an event is of nothing in the source.
    fn is_beside(&self, event: &Event) -> bool {
        !event.paths.iter().any(|path| path.starts_with(&self.root))
    }

    /// Whether an event says that an ignore file above the source changed.
    fn is_rule_above(&self, event: &Event) -> bool {
        let is_one = |path: &PathBuf| files_of(&self.above).contains(path);
        is_change(event.kind) && event.paths.iter().any(is_one)
    }

    /// Whether an event says no more than that attributes of folders changed which can be entered,
    /// as they could before: what changes in them is told of by itself. Known where each folder was
    /// looked at.
    fn is_idle(&self, event: &Event) -> bool {
        let of_open_folder = |path: &PathBuf| {
            let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            // In this order: it may be looked at in this moment.
            let open = is_dir && std::fs::read_dir(path).is_ok() && is_passable(path);
            open && !held(&self.shut).contains(path)
        };
        SINGLY
            && matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)))
            && event.paths.iter().all(of_open_folder)
    }
}

/// Whether an event says more than that something was read.
fn is_change(kind: EventKind) -> bool {
    match kind {
        // What was written through a mapping of the file is heard of when it is closed.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The relative paths that an event asks to look at.
fn touched(root: &Path, event: &Event, rules: &mut Rules) -> HashSet<String> {
    if !is_change(event.kind) {
        return HashSet::new();
    }
    let folder = matches!(
        event.kind,
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder)
    );
    let moved = matches!(
        event.kind,
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    let relative = event.paths.iter().filter_map(|path| path.strip_prefix(root).ok());
    let look = |path: String| match moved && is_ruled(&path, rules) {
        // Whoever looks at all of the source watches it before.
        true => Some(String::new()),
        false => sift(root, path, folder, rules),
    };
    relative.filter_map(slashed).filter_map(look).collect()
}

/// Whether other rules hold when what is at this path comes or goes: a folder with rules, or what
/// makes a folder of the source a repository of its own.
fn is_ruled(path: &str, rules: &mut Rules) -> bool {
    let folder = path.strip_suffix(REPOSITORY).and_then(|above| above.strip_suffix('/'));
    RULED.contains(&path) || folder.is_some_and(|folder| !rules.leave_out(folder, true))
}

/// What to look at when `path` was touched: itself, everything (an empty path), or nothing, since
/// no walk comes to it. `folder` when it is known to be one.
fn sift(root: &Path, path: String, folder: bool, rules: &mut Rules) -> Option<String> {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path.as_str()));
    if RULES.contains(&name) {
        // What belongs to the source changes with it.
        return (above.is_empty() || !rules.leave_out(above, true)).then(String::new);
    }
    if RULES_AT_ROOT.contains(&path.as_str()) {
        return Some(String::new());
    }
    if path.is_empty() || path == COMMITS || BESIDE.contains(&path.as_str()) {
        return Some(path);
    }
    if rules.leave_out(&path, false) {
        return None;
    }
    // `out/` leaves out a folder of that name, and no file.
    let is_dir = || root.join(&path).symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let left_out = rules.leave_out(&path, true) && (folder || is_dir());
    (!left_out).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{MetadataKind, RenameMode};
    use std::fs;

    /// A folder with an ignore file, and what is to be looked at when paths of it are touched.
    fn heard(root: &Path, paths: &[&str]) -> Vec<String> {
        let mut rules = Rules::new(root, &[root.join("data")]);
        let mut event = Event::new(EventKind::Any);
        event.paths = paths.iter().map(|path| root.join(path)).collect();
        let mut found: Vec<String> = touched(root, &event, &mut rules).into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn events_become_relative_paths_without_what_no_walk_comes_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join(".gitignore"), "out/\n*.log\n").unwrap();
        fs::create_dir(root.join("out")).unwrap();
        fs::write(root.join("in"), "").unwrap();
        let noise = [
            ".git/index",
            ".git/objects/aa/bb",
            "out",
            "out/deep/b.md",
            "out/.gitignore",
            "c.log",
            "a/d.md~",
            "a/.d.md.swp",
            ".obsidian/workspace.json",
            "node_modules/m/x.md",
            "data/index/index.db",
        ];
        assert_eq!(heard(root, &noise), Vec::<String>::new());
        assert_eq!(heard(root, &["a/b.md", "in", "a/out.md"]), ["a/b.md", "a/out.md", "in"]);
        assert_eq!(heard(root, &[COMMITS, ".git"]), [".git", COMMITS]);
        for rule in ["a/.gitignore", ".synodignore", ".obsidian/app.json", ".git/info/exclude"] {
            assert_eq!(heard(root, &[rule]), [""], "{rule}");
        }
        assert_eq!(heard(root, &["/elsewhere/x.md"]), Vec::<String>::new());
    }

    #[test]
    fn a_folder_with_rules_that_comes_or_goes_asks_for_all_of_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let mut rules = Rules::new(dir.path(), &[]);
        let mut heard = |kind: EventKind, path: &str| {
            let event = Event::new(kind).add_path(dir.path().join(path));
            touched(dir.path(), &event, &mut rules).into_iter().next()
        };
        for kind in [
            EventKind::Create(CreateKind::Folder),
            EventKind::Remove(RemoveKind::Folder),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
        ] {
            for path in RULED {
                assert_eq!(heard(kind, path).as_deref(), Some(""), "{kind:?} {path}");
            }
            assert_eq!(heard(kind, ".git/logs").as_deref(), Some(".git/logs"));
            assert_eq!(heard(kind, ".obsidian/plugins"), None);
        }
        // A repository within it has rules of its own.
        let made = EventKind::Create(CreateKind::Any);
        assert_eq!(heard(made, "sub/.git").as_deref(), Some(""));
        assert_eq!(
            (heard(made, "node_modules/m/.git"), heard(made, "a/b.git")),
            (None, Some("a/b.git".to_owned()))
        );
        let other = EventKind::Modify(ModifyKind::Any);
        assert_eq!(heard(other, "sub/.git"), None);
        assert_eq!(heard(other, ".obsidian").as_deref(), Some(".obsidian"));
    }

    #[test]
    fn attributes_of_a_folder_are_no_change_unless_it_was_shut() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        fs::create_dir(root.join("in")).unwrap();
        fs::write(root.join("a.md"), "").unwrap();
        let rules = Arc::new(Mutex::new(Rules::new(&root, &[])));
        let (shut, tell) = (Shut::default(), Arc::new(|_: Touched| {}));
        let (root_of, above) = (root.clone(), Above::default());
        let ears = Ears { id: 1, root: root_of, above, rules, shut: Arc::clone(&shut), tell };
        let attributes = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let idle = |path: &str, kind| ears.is_idle(&Event::new(kind).add_path(root.join(path)));
        assert_eq!(idle("in", attributes), SINGLY);
        assert!(!idle("a.md", attributes) && !idle("none", attributes));
        assert!(!idle("in", EventKind::Any));
        held(&shut).insert(root.join("in"));
        assert!(!idle("in", attributes), "it may have been opened");
    }

    #[test]
    fn of_what_lies_beside_a_source_the_ignore_files_above_it_are_heard() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("in/notes");
        fs::create_dir_all(&root).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        let rules = Arc::new(Mutex::new(Rules::new(&root, &[])));
        let (send, receive) = std::sync::mpsc::channel();
        let tell: Tell = Arc::new(move |touched: Touched| drop(send.send(touched)));
        let (above, shut) = (Above::default(), Shut::default());
        *files_of(&above) = rule::files_above(&root);
        let ears = Ears { id: 1, root, above, rules, shut, tell };
        let heard = |kind: EventKind, path: &str| {
            ears.hear(Ok(Event::new(kind).add_path(dir.path().join(path))));
            receive.try_recv().ok()
        };
        let whole = Touched::from([(1, HashSet::from([String::new()]))]);
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        for path in [".gitignore", ".git/info/exclude", "in/.synodignore"] {
            assert_eq!(heard(EventKind::Any, path).as_ref(), Some(&whole), "{path}");
            assert_eq!(heard(read, path), None, "{path}");
        }
        for path in ["a.md", ".git/index", "in/notes.md", "in/other/.gitignore"] {
            assert_eq!(heard(EventKind::Any, path), None, "{path}");
        }
        assert!(heard(EventKind::Any, "in/notes/a.md").is_some());
    }

    #[test]
    fn lots_are_put_one_after_the_other_and_none_once_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let names: Vec<String> = (0..3 * LOT).map(|n| format!("d{n}")).collect();
        names.iter().for_each(|name| fs::create_dir(root.join(name)).unwrap());
        let tell: Tell = Arc::new(|_: Touched| {});
        let site = || {
            let (root, tell) = (root.clone(), Arc::clone(&tell));
            Site { id: 7, root, skip: Vec::new(), auto: false, tell }
        };
        let signs = Signs::default();
        let cover = Cover::start(site(), &signs).unwrap();
        assert_eq!(cover.folders.len(), if SINGLY { names.len() + 1 } else { 0 });
        // One that is gone before its turn is passed over, and those behind it in its lot are not.
        let missing = root.join("d0");
        fs::remove_dir(&missing).unwrap();
        let mut cover = cover.keep(&signs).unwrap();
        assert!(!cover.folders.contains_key(&missing));
        if SINGLY {
            let ops = vec![watch_op(&missing), PathOp::unwatch(root.join("d1"))];
            assert_eq!(apply(&mut cover.watcher, ops, &signs), Ok(()));
            assert!(cover.watcher.unwatch(&root.join("d1")).is_err(), "it was taken back");
        }
        signs.end();
        assert!(Cover::start(site(), &signs).is_err());
        let (kept, few) = cover.follow(&HashSet::from([String::from("d2")]), &signs);
        assert!(kept.is_err() && few);
    }

    #[test]
    fn whoever_lists_a_folder_gives_a_sign_with_each_entry() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["in", "empty"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("in/a.md"), "").unwrap();
        let (mut rules, signs) = (Rules::new(root, &[]), Signs::default());
        let mut inside = |folder: &Path| entered(folder, root, &mut rules, &signs);
        let mut found = inside(root).unwrap().unwrap();
        found.sort();
        assert_eq!(found, [root.join("empty"), root.join("in")]);
        assert_eq!(inside(&root.join("none")), Ok(None));
        signs.end();
        assert!(inside(&root.join("in")).is_err(), "a file is an entry too");
        assert_eq!(inside(&root.join("empty")), Ok(Some(Vec::new())), "nothing came between");
    }

    #[test]
    fn reading_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let mut rules = Rules::new(dir.path(), &[]);
        let mut of = |kind| {
            let event = Event::new(EventKind::Access(kind)).add_path(dir.path().join("a.md"));
            touched(dir.path(), &event, &mut rules).len()
        };
        assert_eq!(of(AccessKind::Open(AccessMode::Any)), 0);
        assert_eq!(of(AccessKind::Close(AccessMode::Read)), 0);
        assert_eq!(of(AccessKind::Close(AccessMode::Write)), 1);
    }
}
