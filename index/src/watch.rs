//! File events of sources, batched: which paths of which source to look at again.
//!
//! Says only that something may have changed; what did is the updater's comparison. An overflow
//! asks for the whole source. What was seen and not yet compared stands in an [`Inbox`], which is
//! bounded: a source with too many touched paths is touched as a whole.

use crate::db::Source;
use notify::RecursiveMode;
use notify_debouncer_full::DebounceEventResult;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Quiet time after which a burst of events is handed on.
const QUIET: Duration = Duration::from_millis(100);

/// Paths of one source that wait singly; more mean the whole source.
const PATHS_MAX: usize = 10_000;

/// By source id: relative paths; an empty path means the whole source.
pub type Touched = HashMap<i64, HashSet<String>>;

/// What was touched and not yet compared.
#[derive(Default)]
pub struct Inbox(Mutex<Touched>);

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Touched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was touched, then calls `then` with how many paths wait, before anybody else sees
    /// the inbox.
    pub fn put(&self, more: Touched, then: impl FnOnce(usize)) {
        let mut all = self.lock();
        for (source, paths) in more {
            let known = all.entry(source).or_default();
            known.extend(paths);
            if known.contains("") || known.len() > PATHS_MAX {
                *known = HashSet::from([String::new()]);
            }
        }
        then(count(&all));
    }

    /// Empties the inbox.
    pub fn take(&self) -> Touched {
        std::mem::take(&mut self.lock())
    }

    /// How many paths of each source wait.
    pub fn by_source(&self) -> BTreeMap<i64, u64> {
        self.lock().iter().map(|(source, paths)| (*source, paths.len() as u64)).collect()
    }

    /// Calls `then` with how many paths wait; none is added meanwhile.
    pub fn look(&self, then: impl FnOnce(usize)) {
        then(count(&self.lock()));
    }
}

fn count(touched: &Touched) -> usize {
    touched.values().map(HashSet::len).sum()
}

/// Keeps watching until it is dropped.
pub struct Watch {
    _debouncer: notify_debouncer_full::Debouncer<
        notify::RecommendedWatcher,
        notify_debouncer_full::NoCache,
    >,
    /// Sources that cannot be watched, with the reason: they are polled.
    pub failed: Vec<(String, String)>,
    /// The watched folders as they were when the watching began.
    roots: Vec<(PathBuf, Identity)>,
}

/// Which folder a path means: device and inode; nothing while there is none.
type Identity = Option<(u64, u64)>;

fn identity(root: &Path) -> Identity {
    let meta = std::fs::metadata(root).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    {
        let made = meta.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some((0, made.as_nanos() as u64))
    }
}

impl Watch {
    /// A watched path means another folder now, or none, or one again: it was moved, removed, or
    /// mounted. The system watches folders, not paths, and tells nothing of it.
    pub fn is_outdated(&self) -> bool {
        self.roots.iter().any(|(root, known)| identity(root) != *known)
    }
}

/// Watches the folders of `sources`, but for `skip` below them, and tells what was touched, on a
/// thread of its own.
///
/// # Errors
/// The text of the system's refusal, when no watcher can be made at all.
pub fn watch(
    sources: &[Source],
    skip: Vec<PathBuf>,
    tell: impl Fn(Touched) + Send + 'static,
) -> Result<Watch, String> {
    let roots: Vec<(i64, PathBuf)> = sources
        .iter()
        .filter(|s| !s.root.is_empty())
        .map(|s| (s.id, PathBuf::from(&s.root)))
        .collect();
    let of_events = roots.clone();
    let handler = move |result: DebounceEventResult| {
        let touched = match result {
            Ok(events) => {
                let paths = events.iter().filter(|e| !e.kind.is_access());
                let paths = paths.flat_map(|e| e.paths.iter());
                let paths = paths.filter(|path| !skip.iter().any(|dir| path.starts_with(dir)));
                touched(&of_events, paths, events.iter().any(|e| e.need_rescan()))
            }
            Err(_) => touched(&of_events, std::iter::empty(), true),
        };
        if !touched.is_empty() {
            tell(touched);
        }
    };
    // Reading is no change: a search that opens its hits would wake this thread for each of them.
    let config = notify::Config::default()
        .with_follow_symlinks(false)
        .with_event_kinds(notify::EventKindMask::CORE | notify::EventKindMask::ACCESS_CLOSE);
    let mut debouncer = notify_debouncer_full::new_debouncer_opt::<
        _,
        notify::RecommendedWatcher,
        notify_debouncer_full::NoCache,
    >(QUIET, None, handler, notify_debouncer_full::NoCache::new(), config)
    .map_err(|e| e.to_string())?;
    let mut failed = Vec::new();
    // Before the watching: what is replaced in between is noticed.
    let known = |root: PathBuf| (root.clone(), identity(&root));
    let roots = roots.into_iter().map(|(_, root)| known(root)).collect();
    for source in sources.iter().filter(|s| !s.root.is_empty()) {
        if let Err(error) = debouncer.watch(Path::new(&source.root), RecursiveMode::Recursive) {
            failed.push((source.name.clone(), error.to_string()));
        }
    }
    Ok(Watch { _debouncer: debouncer, failed, roots })
}

fn touched<'p>(
    roots: &[(i64, PathBuf)],
    paths: impl Iterator<Item = &'p PathBuf>,
    rescan: bool,
) -> Touched {
    let mut out = Touched::new();
    if rescan {
        for (id, _) in roots {
            out.entry(*id).or_default().insert(String::new());
        }
        return out;
    }
    for path in paths {
        for (id, root) in roots {
            let Ok(relative) = path.strip_prefix(root) else { continue };
            let Some(relative) = crate::walk::slashed(relative) else { continue };
            if is_noise(&relative) {
                continue;
            }
            // A changed ignore file changes what else belongs to the source.
            let rules = relative.ends_with("ignore") || relative == ".obsidian/app.json";
            out.entry(*id).or_default().insert(if rules { String::new() } else { relative });
        }
    }
    out
}

/// Version control's own files, but for the one that grows with every commit, and editors'
/// temporary ones.
fn is_noise(path: &str) -> bool {
    if path == ".git/logs/HEAD" {
        return false;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let git = path.split('/').any(|part| matches!(part, ".git" | ".hg" | ".svn" | "node_modules"));
    let obsidian = path.starts_with(".obsidian/") && path != ".obsidian/app.json";
    git || obsidian || crate::walk::is_temporary(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_relative_paths_without_noise() {
        let roots = [(1, PathBuf::from("/v")), (2, PathBuf::from("/r"))];
        let paths = ["/v/a/b.md", "/v/.git/index", "/r/x.rs~", "/elsewhere/c", "/r/.gitignore"];
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let found = touched(&roots, paths.iter(), false);
        assert_eq!(found[&1], HashSet::from(["a/b.md".to_owned()]));
        assert_eq!(found[&2], HashSet::from([String::new()]));
    }

    #[test]
    fn an_inbox_that_is_too_full_asks_for_the_whole_source() {
        let inbox = Inbox::default();
        let some = |n: usize| (0..n).map(|n| format!("{n}.md")).collect::<HashSet<_>>();
        inbox.put(Touched::from([(1, some(3)), (2, some(1))]), |n| assert_eq!(n, 4));
        assert_eq!(inbox.by_source(), BTreeMap::from([(1, 3), (2, 1)]));
        inbox.put(Touched::from([(1, some(PATHS_MAX + 1))]), |n| assert_eq!(n, 2));
        let all = inbox.take();
        assert_eq!(all[&1], HashSet::from([String::new()]));
        assert_eq!(all[&2], some(1));
        inbox.look(|n| assert_eq!(n, 0));
    }
}
