//! File events of sources: which paths of which source to look at again.
//!
//! Says only that something may have changed; what did is the updater's comparison, and when to
//! look is the [`Inbox`]'s. Only folders that a walk enters are watched, where the system watches
//! single ones. A lost event asks for the whole source, whose watches are put anew before it is
//! compared; a comparison without such a reason keeps those that stand. A source that does not
//! answer is left alone until it does; one that has a file system mounted in it which tells of no
//! changes is polled as a whole. Invariant: whoever looks at a folder has put its watches before,
//! so that what comes into it later is either found or told of.

use crate::db::Source;
use crate::mount;
use crate::reach::{Identity, Reach, SILENT, identity_of};
pub use crate::touch::{Inbox, Touched};
use crate::walk::{Rules, slashed};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind};
use notify::{
    ErrorKind, Event, EventKind, EventKindMask, PathOp, RecommendedWatcher, RecursiveMode,
    WatchPathConfig, Watcher,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether single folders are watched: where the system watches trees, that is one watch a source.
const SINGLY: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Watches that are taken back one by one; beyond that all are put anew.
const GONE_MAX: usize = 200;

/// Before another attempt to watch what could not be watched.
const AGAIN: Duration = Duration::from_secs(60);

/// Folders that are no content and are watched for a file in them.
const BESIDE: &[&str] = &[".git", ".git/logs", ".git/info", ".obsidian"];

/// Files that say what belongs to a source, in any of its folders.
const RULES: &[&str] = &[".gitignore", ".ignore", ".synodignore"];

/// The same at the root of a source.
const RULES_AT_ROOT: &[&str] = &[".git/info/exclude", ".obsidian/app.json"];

/// The file of version control that grows with every commit and checkout.
const COMMITS: &str = ".git/logs/HEAD";

/// How a source is to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By events, where the file system has them.
    #[default]
    Auto,
    /// By events, whatever the file system is.
    Events,
    /// By looking at it again and again.
    Poll,
}

/// How changes of a source's files are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// The system tells of them.
    Events,
    /// The source is compared with the disk this often.
    Polled(Duration),
    /// The same, for a file system mounted below its folder does not tell of all changes.
    PolledBelow(Duration),
    /// Nohow: its file system does not answer.
    Silent,
}

impl Watching {
    /// How often the source is compared, if nothing tells of its changes.
    pub fn every(self) -> Option<Duration> {
        match self {
            Watching::Polled(every) | Watching::PolledBelow(every) => Some(every),
            Watching::Events | Watching::Silent => None,
        }
    }
}

impl fmt::Display for Watching {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watching::Events => out.write_str("events"),
            Watching::Polled(every) => write!(out, "polled every {} s", every.as_secs()),
            Watching::PolledBelow(every) => {
                write!(out, "polled every {} s (for what is mounted in it)", every.as_secs())
            }
            Watching::Silent => out.write_str("does not answer"),
        }
    }
}

/// Gets what was touched, on a thread of the watcher's.
type Tell = Arc<dyn Fn(Touched) + Send + Sync>;

/// Folders that could not be entered when their watches were put. Held while one is looked at, so
/// that whoever hears that it was opened knows that it was shut.
type Shut = Arc<Mutex<BTreeSet<PathBuf>>>;

fn held(shut: &Shut) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    shut.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches sources until it is dropped. A source is watched from [`Watch::renew`] or
/// [`Watch::keep`] on.
pub struct Watch {
    places: Vec<Place>,
    /// Folders that are left out wherever they lie.
    skip: Vec<PathBuf>,
    poll: Duration,
    reach: Reach,
    tell: Tell,
}

/// A source and its watches. Each has a watcher of its own: watches are known by their paths, and
/// one source may lie in another.
struct Place {
    id: i64,
    root: PathBuf,
    mode: Mode,
    /// The root as it was when the watching began.
    known: Identity,
    /// It did not answer then.
    silent: bool,
    /// Something is mounted below it that does not tell of all changes.
    below: bool,
    /// What a walk leaves out, as the watcher asks for it. Held while a file is looked at: each
    /// watcher has its own, so that one that hangs holds up no other.
    rules: Arc<Mutex<Rules>>,
    watcher: Option<RecommendedWatcher>,
    /// Watched folders, where single ones are, as each was when its watching began.
    folders: BTreeMap<PathBuf, Identity>,
    /// Those of them that cannot be entered.
    shut: Shut,
    /// Why there is no watcher, if somebody should know.
    why: Option<String>,
    /// When it was last tried in vain.
    failed: Option<Instant>,
}

impl Watch {
    /// Watches nothing yet. Leaves out the folders `skip`; what cannot be watched is to be looked
    /// at each `poll`; `reach` knows which folders answer; `tell` gets what was touched.
    pub fn new(
        skip: Vec<PathBuf>,
        poll: Duration,
        reach: Reach,
        tell: impl Fn(Touched) + Send + Sync + 'static,
    ) -> Self {
        Watch { places: Vec::new(), skip, poll, reach, tell: Arc::new(tell) }
    }

    /// Knows these sources from now on and no others; those that it knew stay as they are.
    pub fn set_sources(&mut self, sources: &[Source], modes: &HashMap<i64, Mode>) {
        let folders = || sources.iter().filter(|source| !source.root.is_empty());
        let is = |place: &Place, source: &Source| {
            place.id == source.id && place.root == Path::new(&source.root)
        };
        self.places.retain(|place| folders().any(|source| is(place, source)));
        for source in folders() {
            if self.places.iter().any(|place| is(place, source)) {
                continue;
            }
            let root = PathBuf::from(&source.root);
            let mode = modes.get(&source.id).copied().unwrap_or_default();
            self.places.push(Place::new(source.id, root, mode, &self.skip));
        }
    }

    /// Puts the watches of a source anew; whoever calls this compares the whole source afterwards.
    pub fn renew(&mut self, id: i64) {
        let Watch { places, skip, reach, tell, .. } = self;
        if let Some(place) = places.iter_mut().find(|place| place.id == id) {
            place.renew(skip, reach, tell);
        }
    }

    /// Keeps the watches of a source that stand and puts those that are missing; all anew where
    /// none stands, or where its path means another folder. Whoever calls this compares the whole
    /// source afterwards.
    pub fn keep(&mut self, id: i64) {
        let Watch { places, skip, reach, tell, .. } = self;
        if let Some(place) = places.iter_mut().find(|place| place.id == id) {
            place.keep(skip, reach, tell);
        }
    }

    /// Watches the new folders among what was touched; whoever calls this looks at all of it
    /// afterwards.
    pub fn follow(&mut self, id: i64, touched: &HashSet<String>) {
        let Watch { places, skip, reach, tell, .. } = self;
        let place = places.iter_mut().find(|place| place.id == id);
        if place.is_some_and(|place| !place.follow(touched, skip, reach)) {
            // The comparison of the whole source puts its watches anew.
            tell(Touched::from([(id, HashSet::from([String::new()]))]));
        }
    }

    /// A source fell silent while it was looked at: nothing that was known of it counts, and it is
    /// outdated once it answers, however soon that is.
    pub fn lost(&mut self, id: i64) {
        if let Some(place) = self.places.iter_mut().find(|place| place.id == id) {
            place.lose();
        }
    }

    /// Sources whose path means another folder now, or none, or one again: it was moved, removed,
    /// or mounted. The system watches folders, not paths, and tells nothing of it. Also those that
    /// stopped or began to answer; waits for these two seconds at most.
    pub fn outdated(&self) -> Vec<i64> {
        // All of them before one is waited for.
        self.places.iter().for_each(|place| self.reach.ask(&place.root));
        let changed = |place: &&Place| match self.reach.find(&place.root) {
            Some(identity) => place.silent || identity != place.known,
            None => !place.silent,
        };
        self.places.iter().filter(changed).map(|place| place.id).collect()
    }

    /// How changes of a source are noticed; `None` for one that has no folder.
    pub fn watching(&self, id: i64) -> Option<Watching> {
        let place = self.places.iter().find(|place| place.id == id)?;
        Some(match place.watcher {
            Some(_) => Watching::Events,
            None if place.silent => Watching::Silent,
            None if place.below => Watching::PolledBelow(self.poll),
            None => Watching::Polled(self.poll),
        })
    }

    /// Why the system does not tell of a source's changes, unless that was wanted.
    pub fn why(&self, id: i64) -> Option<&str> {
        self.places.iter().find(|place| place.id == id)?.why.as_deref()
    }

    /// Whether the folder of a source was there when its watching began.
    pub fn is_there(&self, id: i64) -> bool {
        self.places.iter().any(|place| place.id == id && place.known.is_some())
    }
}

impl Place {
    fn new(id: i64, root: PathBuf, mode: Mode, skip: &[PathBuf]) -> Self {
        // Nothing is read of it before it is known to answer.
        let rules = Arc::new(Mutex::new(Rules::of_names(&root, skip)));
        Place {
            id,
            root,
            mode,
            known: None,
            silent: false,
            below: false,
            rules,
            watcher: None,
            folders: BTreeMap::new(),
            shut: Shut::default(),
            why: None,
            failed: None,
        }
    }

    fn renew(&mut self, skip: &[PathBuf], reach: &Reach, tell: &Tell) {
        // Before the watching: what is replaced in between is noticed.
        let found = reach.find(&self.root);
        let there = found.flatten();
        let same = there == self.known && found.is_none() == self.silent;
        (self.known, self.silent) = (there, found.is_none());
        if same && self.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.stop();
        (self.why, self.failed, self.below) = (None, None, false);
        if self.silent {
            self.why = Some(SILENT.to_owned());
            return;
        }
        if self.mode == Mode::Poll {
            return;
        }
        if self.mode == Mode::Auto {
            self.why = self.why_not(skip);
            if self.why.is_some() {
                return;
            }
        }
        if let Err(reason) = self.start(skip, reach, tell) {
            self.fail(reason);
        }
    }

    /// As one that did not answer when its watches were put.
    fn lose(&mut self) {
        self.stop();
        (self.known, self.silent, self.below) = (None, true, false);
        (self.why, self.failed) = (Some(SILENT.to_owned()), None);
    }

    /// Why its file system, or one that a walk enters below it, is not to be relied on.
    fn why_not(&mut self, skip: &[PathBuf]) -> Option<String> {
        if !mount::tells(&self.root) {
            return Some("its file system does not tell of all changes".to_owned());
        }
        let mounted = mount::silent_below(&self.root);
        if mounted.is_empty() {
            return None;
        }
        let mut rules = Rules::new(&self.root, skip);
        let (at, name) = mounted.into_iter().find(|(at, _)| {
            let relative = at.strip_prefix(&self.root).ok().and_then(slashed);
            relative.is_some_and(|relative| !rules.leave_out(&relative, true))
        })?;
        self.below = true;
        let at = at.display();
        Some(format!("`{at}` is mounted in it, and {name} does not tell of all changes"))
    }

    fn keep(&mut self, skip: &[PathBuf], reach: &Reach, tell: &Tell) {
        let stands = self.watcher.is_some() && reach.find(&self.root) == Some(self.known);
        // Something may have been mounted in it since.
        if !stands || self.mode == Mode::Auto && self.why_not(skip).is_some() {
            self.renew(skip, reach, tell);
        } else if !SINGLY {
            self.judge_by(Rules::new(&self.root, skip));
        } else if let Err(reason) = self.complete(skip, reach) {
            self.fail(reason);
        }
    }

    /// Watches what a walk enters and is not watched, or is another folder than the one that is:
    /// when one is mounted over another, nobody is told.
    fn complete(&mut self, skip: &[PathBuf], reach: &Reach) -> Result<(), String> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let others = self.folders.iter().filter(|(path, known)| folder(path) != **known);
        let others: Vec<PathBuf> = others.map(|(path, _)| path.clone()).collect();
        for path in &others {
            self.folders.remove(path);
        }
        // What the system dropped by itself is no failure.
        apply(watcher, others.into_iter().map(PathOp::unwatch).collect())?;
        // To put a watch that stands does nothing.
        self.cover(vec![self.root.clone()], Rules::new(&self.root, skip), reach)
    }

    fn stop(&mut self) {
        self.watcher = None;
        self.folders.clear();
    }

    fn fail(&mut self, reason: String) {
        self.stop();
        self.why = Some(reason);
        self.failed = Some(Instant::now());
    }

    fn start(&mut self, skip: &[PathBuf], reach: &Reach, tell: &Tell) -> Result<(), String> {
        std::fs::read_dir(&self.root).map_err(|error| error.to_string())?;
        // A watcher before this one may hang with its own in hand.
        self.rules = Arc::new(Mutex::new(Rules::of_names(&self.root, skip)));
        self.shut = Shut::default();
        let ears = Ears {
            id: self.id,
            root: self.root.clone(),
            rules: Arc::clone(&self.rules),
            shut: Arc::clone(&self.shut),
            tell: Arc::clone(tell),
        };
        // Reading is no change: a search that opens its hits would be heard for each of them.
        let config = notify::Config::default()
            .with_follow_symlinks(false)
            .with_event_kinds(EventKindMask::CORE | EventKindMask::ACCESS_CLOSE);
        let hear = move |event: notify::Result<Event>| ears.hear(event);
        let watcher = RecommendedWatcher::new(hear, config);
        self.watcher = Some(watcher.map_err(|error| error.to_string())?);
        self.cover(vec![self.root.clone()], Rules::new(&self.root, skip), reach)
    }

    /// Watches folders and what a walk enters below them, each before it is listed.
    fn cover(
        &mut self,
        mut level: Vec<PathBuf>,
        mut rules: Rules,
        reach: &Reach,
    ) -> Result<(), String> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        if SINGLY {
            while !level.is_empty() {
                if !reach.answers(&self.root) {
                    (self.known, self.silent) = (None, true);
                    return Err(SILENT.to_owned());
                }
                // Before the watching: what is replaced in between is another folder.
                let known: Vec<Identity> = level.iter().map(|path| folder(path)).collect();
                apply(watcher, level.iter().map(|folder| watch_op(folder)).collect())?;
                let mut below = Vec::new();
                for folder in &level {
                    let mut shut = held(&self.shut);
                    let inside = entered(folder, &self.root, &mut rules);
                    if inside.is_some() && is_passable(folder) {
                        shut.remove(folder);
                    } else {
                        shut.insert(folder.clone());
                    }
                    below.extend(inside.into_iter().flatten());
                }
                self.folders.extend(std::mem::replace(&mut level, below).into_iter().zip(known));
            }
        } else if level.contains(&self.root) {
            apply(watcher, vec![PathOp::watch_recursive(&self.root)])?;
        }
        self.judge_by(rules);
        Ok(())
    }

    /// From here on events are judged by what was read just now; what they were judged by before
    /// may be older than what is about to be looked at.
    fn judge_by(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// False when so much went that all is to be watched anew: taking back thousands of watches one
    /// by one costs more.
    fn follow(&mut self, touched: &HashSet<String>, skip: &[PathBuf], reach: &Reach) -> bool {
        let Some(watcher) = &mut self.watcher else { return true };
        let (mut gone, mut new) = (BTreeSet::new(), Vec::new());
        let mut rules = None;
        for path in touched {
            let full = self.root.join(path);
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
            let rules = rules.get_or_insert_with(|| Rules::new(&self.root, skip));
            if is_dir && enters(path, rules) {
                new.push(full);
            }
        }
        let Some(rules) = rules else { return true };
        if gone.len() > GONE_MAX {
            return false;
        }
        for folder in &gone {
            self.folders.remove(folder);
            held(&self.shut).remove(folder);
        }
        // What the system dropped by itself is no failure.
        let dropped = apply(watcher, gone.into_iter().map(PathOp::unwatch).collect());
        new.sort();
        new.dedup_by(|next, kept| next.starts_with(&*kept));
        if let Err(reason) = dropped.and_then(|()| self.cover(new, rules, reach)) {
            self.fail(reason);
        }
        true
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
fn apply(watcher: &mut RecommendedWatcher, mut ops: Vec<PathOp>) -> Result<(), String> {
    while !ops.is_empty() {
        let Err(error) = watcher.update_paths(ops) else { return Ok(()) };
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
        ops = error.remaining;
    }
    Ok(())
}

/// The folders in `folder` that a walk enters, and those beside that are watched for a file; `None`
/// if it cannot be listed, which is an error of the walk.
fn entered(folder: &Path, root: &Path, rules: &mut Rules) -> Option<Vec<PathBuf>> {
    let folders = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path());
    let wanted = |path: &PathBuf| {
        let relative = path.strip_prefix(root).ok().and_then(slashed);
        relative.is_some_and(|relative| enters(&relative, rules))
    };
    Some(folders.filter(wanted).collect())
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
    rules: Arc<Mutex<Rules>>,
    shut: Shut,
    tell: Tell,
}

impl Ears {
    fn hear(&self, event: notify::Result<Event>) {
        let paths = match event {
            Ok(event) if event.need_rescan() => HashSet::from([String::new()]),
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

/// The relative paths that an event asks to look at.
fn touched(root: &Path, event: &Event, rules: &mut Rules) -> HashSet<String> {
    let change = match event.kind {
        // What was written through a mapping of the file is heard of when it is closed.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    if !change {
        return HashSet::new();
    }
    let folder = matches!(
        event.kind,
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder)
    );
    let relative = event.paths.iter().filter_map(|path| path.strip_prefix(root).ok());
    relative.filter_map(slashed).filter_map(|path| sift(root, path, folder, rules)).collect()
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
    use notify::event::MetadataKind;
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
    fn attributes_of_a_folder_are_no_change_unless_it_was_shut() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        fs::create_dir(root.join("in")).unwrap();
        fs::write(root.join("a.md"), "").unwrap();
        let rules = Arc::new(Mutex::new(Rules::new(&root, &[])));
        let (shut, tell) = (Shut::default(), Arc::new(|_: Touched| {}));
        let ears = Ears { id: 1, root: root.clone(), rules, shut: Arc::clone(&shut), tell };
        let attributes = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let idle = |path: &str, kind| ears.is_idle(&Event::new(kind).add_path(root.join(path)));
        assert_eq!(idle("in", attributes), SINGLY);
        assert!(!idle("a.md", attributes) && !idle("none", attributes));
        assert!(!idle("in", EventKind::Any));
        held(&shut).insert(root.join("in"));
        assert!(!idle("in", attributes), "it may have been opened");
    }

    /// A source at a folder, of number 7.
    fn vault(root: &Path) -> Source {
        Source {
            id: 7,
            name: "vault".to_owned(),
            kind: crate::db::SourceKind::Vault,
            root: root.to_str().unwrap().to_owned(),
            collection: "notes".to_owned(),
            commit: None,
            scanned_ms: None,
        }
    }

    #[test]
    fn a_source_that_fell_silent_is_outdated_however_soon_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let reach = Reach::default();
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), reach.clone(), |_| {});
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.outdated()), (Some(Watching::Events), vec![]));
        // Somebody gave up, and the file system answered before anybody asked again.
        watch.lost(7);
        assert_eq!((watch.watching(7), watch.why(7)), (Some(Watching::Silent), Some(SILENT)));
        assert_eq!((watch.outdated(), watch.is_there(7)), (vec![7], false));
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.outdated()), (Some(Watching::Events), vec![]));
        assert_eq!((watch.why(7), watch.is_there(7)), (None, true));
        // The same while watches are put: not before it answers.
        let place = &mut watch.places[0];
        let crew = reach.crew(&root);
        let stuck = crew.enter();
        crew.give_up();
        let covered = place.cover(vec![root.clone()], Rules::of_names(&root, &[]), &reach);
        assert_eq!(covered, if SINGLY { Err(SILENT.to_owned()) } else { Ok(()) });
        place.lose();
        assert_eq!((watch.outdated(), watch.watching(7)), (vec![], Some(Watching::Silent)));
        drop(stuck);
        assert_eq!(watch.outdated(), [7]);
    }

    #[test]
    fn each_watcher_has_rules_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), Reach::default(), |_| {});
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.renew(7);
        let (rules, shut) = (Arc::clone(&watch.places[0].rules), watch.places[0].shut.clone());
        // As where a file system hangs while an event is looked at.
        let (_rules, _shut) = (rules.lock().unwrap(), held(&shut));
        watch.lost(7);
        watch.renew(7);
        assert_eq!(watch.watching(7), Some(Watching::Events));
    }

    #[test]
    fn a_look_without_a_reason_keeps_the_watches_that_stand_and_puts_those_that_are_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let deep = root.join("a/deep");
        fs::create_dir_all(&deep).unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        let tell = move |touched: Touched| drop(send.send(touched));
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), Reach::default(), tell);
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        assert_eq!(watch.watching(7), Some(Watching::Events), "where none stands all are put");
        let heard = |path: &str| {
            fs::write(root.join(path), "x").unwrap();
            while !receive.recv_timeout(Duration::from_secs(30)).unwrap()[&7].contains(path) {}
        };
        heard("a/deep/1.md");
        // What is watched anew forgets it.
        let mark = "a mark";
        watch.places[0].why = Some(mark.to_owned());
        watch.keep(7);
        heard("a/deep/2.md");
        if SINGLY {
            assert_eq!(watch.places[0].folders.len(), 3);
            // One that was never heard of, then one that another was mounted over.
            let place = &mut watch.places[0];
            apply(place.watcher.as_mut().unwrap(), vec![PathOp::unwatch(&deep)]).unwrap();
            place.folders.remove(&deep);
            watch.keep(7);
            heard("a/deep/3.md");
            watch.places[0].folders.insert(deep.clone(), Some((0, 0)));
            watch.keep(7);
            heard("a/deep/4.md");
            assert_eq!(watch.places[0].folders[&deep], folder(&deep));
        }
        assert_eq!(watch.why(7), Some(mark), "all of it without another watcher");
        watch.places[0].known = None;
        watch.keep(7);
        assert_eq!(watch.why(7), None, "another folder is watched anew");
        heard("a/deep/5.md");
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
