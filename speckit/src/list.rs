//! All features of a project with their stage and progress, and the cache that makes it fast.
//!
//! A document is parsed once and then known by path, time, size and inode. Documents that changed
//! a moment ago are parsed each time, because a second change in the same tick of the file
//! system's clock could not be told from the first. Invariant: a cached value is that of the bytes
//! that had this stamp.

use crate::checklist::Checklist;
use crate::error::{Error, Result};
use crate::jail;
use crate::project::{Feature, Project};
use crate::spec::Spec;
use crate::task::Tasks;
use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Documents that a cache keeps unless it is made with another bound.
pub const CACHED_MAX: usize = 20_000;
/// A document that changed within this time is not cached.
const RACY: Duration = Duration::from_millis(50);

/// How far a feature is; each stage holds the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is a spec, or only a folder.
    Specify,
    /// The spec has open questions.
    Clarify,
    /// There is a plan.
    Plan,
    /// There are tasks, none done.
    Tasks,
    /// Some tasks are done.
    Implement,
    /// All tasks are done.
    Done,
}

impl Stage {
    /// `specify`, `clarify`, …
    pub fn name(self) -> &'static str {
        match self {
            Stage::Specify => "specify",
            Stage::Clarify => "clarify",
            Stage::Plan => "plan",
            Stage::Tasks => "tasks",
            Stage::Implement => "implement",
            Stage::Done => "done",
        }
    }
}

/// A feature as a list shows it.
#[derive(Clone, Debug)]
pub struct Status {
    /// `001`
    pub id: String,
    /// The spec's title, or the folder's name while the template has not been filled.
    pub name: String,
    /// Relative to the project.
    pub path: String,
    /// How far it is.
    pub stage: Stage,
    /// Open items in a checklist: `implement` asks before it begins.
    pub checklist_blocked: bool,
    /// Ticked tasks.
    pub tasks_done: usize,
    /// All tasks.
    pub tasks_total: usize,
    /// Open questions of the spec.
    pub markers: usize,
    /// Of spec.md, plan.md, tasks.md.
    pub missing: Vec<&'static str>,
    /// Documents that could not be read, with the reason.
    pub unreadable: Vec<String>,
    /// When a document last changed, milliseconds since 1970.
    pub modified_ms: u64,
}

/// What a list needs of a document.
#[derive(Clone, Debug)]
enum Facts {
    Spec { title: String, markers: usize },
    Tasks { done: usize, total: usize },
    Checklist { open: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(meta);
        #[cfg(not(unix))]
        let inode = 0;
        Stamp { modified: meta.modified().unwrap_or(UNIX_EPOCH), size: meta.len(), inode }
    }
}

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    facts: Facts,
    used: u64,
}

/// Documents that were parsed; the caller owns it, behind a lock if several threads list.
#[derive(Debug)]
pub struct Cache {
    entries: HashMap<PathBuf, Entry>,
    max: usize,
    turn: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Cache::new(CACHED_MAX)
    }
}

impl Cache {
    /// An empty cache of at most `max` documents.
    pub fn new(max: usize) -> Self {
        Cache { entries: HashMap::new(), max: max.max(1), turn: 0 }
    }

    /// Documents that are cached now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn facts(&mut self, path: &Path, meta: &Metadata, parse: fn(&str) -> Facts) -> Result<Facts> {
        let stamp = Stamp::of(meta);
        if let Some(entry) = self.entries.get_mut(path).filter(|entry| entry.stamp == stamp) {
            entry.used = self.turn;
            return Ok(entry.facts.clone());
        }
        let facts = parse(&jail::read_at(path)?);
        let after = path.metadata().map_err(|source| Error::io(path, source))?;
        // A time in the future has no age: such a file is parsed each time.
        let settled = stamp.modified.elapsed().is_ok_and(|age| age > RACY);
        if settled && Stamp::of(&after) == stamp {
            self.make_room();
            let entry = Entry { stamp, facts: facts.clone(), used: self.turn };
            self.entries.insert(path.to_owned(), entry);
        }
        Ok(facts)
    }

    /// Forgets the half that was not used for longest.
    fn make_room(&mut self) {
        if self.entries.len() < self.max {
            return;
        }
        let mut used: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        used.sort_unstable();
        let limit = used[used.len() / 2];
        let mut spare = self.max / 2;
        self.entries.retain(|_, entry| {
            let keep = entry.used > limit || entry.used == limit && spare > 0;
            spare = spare.saturating_sub(usize::from(keep));
            keep
        });
    }
}

/// The features of a project, by name.
///
/// # Errors
/// As [`Project::features`]. A document that cannot be read does not fail the list: its feature
/// says so in `unreadable`.
pub fn list(project: &Project, cache: &mut Cache) -> Result<Vec<Status>> {
    let features = project.features()?;
    cache.turn += 1;
    Ok(features.iter().map(|feature| state(feature, cache)).collect())
}

/// One feature as a list shows it.
pub fn status(feature: &Feature, cache: &mut Cache) -> Status {
    cache.turn += 1;
    state(feature, cache)
}

fn parse_spec(text: &str) -> Facts {
    let spec = Spec::parse(text);
    Facts::Spec { title: spec.title, markers: spec.markers.len() }
}

fn parse_tasks(text: &str) -> Facts {
    let tasks = Tasks::parse(text);
    Facts::Tasks { done: tasks.done(), total: tasks.tasks.len() }
}

fn parse_checklist(text: &str) -> Facts {
    Facts::Checklist { open: Checklist::parse(text).open() }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads one document into a status; a link is followed if it stays inside the feature.
fn take(
    feature: &Feature,
    doc: &str,
    parse: Option<fn(&str) -> Facts>,
    cache: &mut Cache,
    out: &mut Status,
) -> Option<Facts> {
    let mut path = feature.folder.join(doc);
    let mut meta = path.symlink_metadata().ok()?;
    if meta.is_symlink() {
        path = jail::resolve(&feature.root, &feature.at(doc).ok()?).ok()?;
        meta = path.metadata().ok()?;
    }
    if !meta.is_file() {
        return None;
    }
    out.modified_ms = out.modified_ms.max(millis(meta.modified().unwrap_or(UNIX_EPOCH)));
    out.missing.retain(|name| *name != doc);
    match cache.facts(&path, &meta, parse?) {
        Ok(facts) => Some(facts),
        Err(error) => {
            out.unreadable.push(format!("{doc}: {error}"));
            None
        }
    }
}

fn state(feature: &Feature, cache: &mut Cache) -> Status {
    let mut out = Status {
        id: feature.id.clone(),
        name: feature.name.clone(),
        path: feature.path.clone(),
        stage: Stage::Specify,
        checklist_blocked: false,
        tasks_done: 0,
        tasks_total: 0,
        markers: 0,
        missing: vec!["spec.md", "plan.md", "tasks.md"],
        unreadable: Vec::new(),
        modified_ms: 0,
    };
    if let Some(Facts::Spec { title, markers }) =
        take(feature, "spec.md", Some(parse_spec), cache, &mut out)
    {
        if !title.is_empty() && !title.starts_with('[') {
            out.name = title;
        }
        out.markers = markers;
    }
    take(feature, "plan.md", None, cache, &mut out);
    if let Some(Facts::Tasks { done, total }) =
        take(feature, "tasks.md", Some(parse_tasks), cache, &mut out)
    {
        (out.tasks_done, out.tasks_total) = (done, total);
    }
    for doc in feature.checklists() {
        if let Some(Facts::Checklist { open }) =
            take(feature, &doc, Some(parse_checklist), cache, &mut out)
        {
            out.checklist_blocked |= open > 0;
        }
    }
    out.stage = stage(&out);
    out
}

fn stage(status: &Status) -> Stage {
    match (status.tasks_done, status.tasks_total) {
        (done, total) if total > 0 && done == total => Stage::Done,
        (1.., _) => Stage::Implement,
        (_, 1..) => Stage::Tasks,
        _ if !status.missing.contains(&"plan.md") => Stage::Plan,
        _ if status.markers > 0 => Stage::Clarify,
        _ => Stage::Specify,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(root: &Path, path: &str, text: &str) {
        let at = root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, text).unwrap();
        // Older than what counts as just changed, so that it may be cached.
        let old = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&at).unwrap().set_modified(old).unwrap();
    }

    fn stages(project: &Project, cache: &mut Cache) -> Vec<&'static str> {
        list(project, cache).unwrap().iter().map(|s| s.stage.name()).collect()
    }

    #[test]
    fn stages_follow_the_documents() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join(".specify")).unwrap();
        let project = Project::open(root).unwrap();
        let mut cache = Cache::default();
        fs::create_dir_all(root.join("specs/001-a")).unwrap();
        assert_eq!(stages(&project, &mut cache), ["specify"]);
        let spec = "# Feature Specification: Albums\n[NEEDS CLARIFICATION: x]\n";
        write(root, "specs/001-a/spec.md", spec);
        assert_eq!(stages(&project, &mut cache), ["clarify"]);
        write(root, "specs/001-a/plan.md", "# Plan\n");
        assert_eq!(stages(&project, &mut cache), ["plan"]);
        let tasks = "## Phase 1: Setup\n- [ ] T001 a\n- [ ] T002 b\n";
        write(root, "specs/001-a/tasks.md", tasks);
        assert_eq!(stages(&project, &mut cache), ["tasks"]);
        write(root, "specs/001-a/tasks.md", &tasks.replacen("[ ]", "[x]", 1));
        assert_eq!(stages(&project, &mut cache), ["implement"]);
        write(root, "specs/001-a/tasks.md", &tasks.replace("[ ]", "[X]"));
        write(root, "specs/001-a/checklists/ux.md", "- [ ] CHK001 a\n");
        let all = list(&project, &mut cache).unwrap();
        assert_eq!((all[0].name.as_str(), all[0].stage), ("Albums", Stage::Done));
        assert!(all[0].checklist_blocked && all[0].missing.is_empty() && all[0].modified_ms > 0);
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn a_changed_document_is_parsed_again_and_a_broken_one_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join(".specify")).unwrap();
        let project = Project::open(root).unwrap();
        let mut cache = Cache::default();
        for n in 0..50 {
            let mark = if n % 2 == 0 { " " } else { "x" };
            let text = format!("- [{mark}] T001 a\n");
            // Renamed over, at once, with the same size: as an edit does it.
            fs::create_dir_all(root.join("specs/001-a")).unwrap();
            fs::write(root.join("t"), text).unwrap();
            fs::rename(root.join("t"), root.join("specs/001-a/tasks.md")).unwrap();
            assert_eq!(list(&project, &mut cache).unwrap()[0].tasks_done, n % 2);
        }
        fs::write(root.join("specs/001-a/tasks.md"), b"\xff").unwrap();
        let all = list(&project, &mut cache).unwrap();
        assert!(all[0].unreadable[0].contains("UTF-8"), "{:?}", all[0]);
    }

    #[test]
    fn the_cache_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join(".specify")).unwrap();
        for n in 0..40 {
            write(root, &format!("specs/{n:03}-a/tasks.md"), "- [ ] T001 a\n");
        }
        let project = Project::open(root).unwrap();
        let mut cache = Cache::new(10);
        assert_eq!(list(&project, &mut cache).unwrap().len(), 40);
        assert!(!cache.is_empty() && cache.len() <= 10);
    }
}
