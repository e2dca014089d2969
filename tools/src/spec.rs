//! What the Spec-Kit tools share: which project and feature a call means, what may be done there,
//! and the engine's errors as faults.

use crate::{Context, Error};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use synod_speckit::{Cache, Error as Fault, Feature, Project, Status};

/// Documents that are remembered as they were parsed.
const CACHED: usize = 20_000;
/// How long a search for projects holds.
const FOUND: Duration = Duration::from_secs(10);
/// Programs of the CLI that run at once.
const AT_WORK_MAX: usize = 4;
/// Folders whose search is remembered.
const FOUND_MAX: usize = 256;

/// Texts of documents that callers have seen, for what changed since.
const SEEN_MAX: usize = 64;
/// Bytes of all of them.
const SEEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a difference that a fault shows.
const DIFF_BYTES_MAX: usize = 2_000;
/// How long a difference may be looked for; beyond it, it is a coarse one.
const DIFF_TIME: Duration = Duration::from_millis(50);

/// What the operator wants of Spec-Kit.
#[derive(Clone, Debug, Default)]
pub struct SpecSettings {
    /// Nothing of it is offered.
    pub off: bool,
    /// The CLI; else the first `specify` of the path.
    pub program: Option<PathBuf>,
    /// The project that is meant where none is named.
    pub workdir: Option<PathBuf>,
    /// The integration that a new project gets.
    pub integration: Option<String>,
    /// Where programs are looked for.
    pub path: Option<std::ffi::OsString>,
    /// Of several projects in the sources, the one that the CLI's own variable names.
    pub hint: Option<PathBuf>,
    /// Where the CLI is not installed, a runner may fetch it for one call.
    pub fetch: bool,
}

/// Runs of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// All.
    pub n: u64,
    /// Those that failed or ran out of time.
    pub failed: u64,
    /// Together.
    pub ms: u64,
}

/// A document as somebody saw it.
#[derive(Debug, PartialEq)]
struct SeenDoc {
    /// Resolved.
    path: PathBuf,
    hash: String,
    text: Arc<str>,
}

/// What is kept of Spec-Kit between calls.
#[derive(Debug)]
pub struct Specs {
    /// As configured.
    pub settings: SpecSettings,
    caches: Mutex<HashMap<PathBuf, Arc<Mutex<Cache>>>>,
    /// Programs at work.
    at_work: AtomicUsize,
    found: Mutex<HashMap<PathBuf, (Instant, Vec<PathBuf>)>>,
    /// Projects in which something runs that changes them.
    running: Mutex<BTreeSet<PathBuf>>,
    runs: Mutex<BTreeMap<String, Runs>>,
    /// Documents as they were seen, newest last.
    seen: Mutex<VecDeque<SeenDoc>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Specs {
    /// With these settings.
    pub fn new(settings: SpecSettings) -> Self {
        Specs {
            settings,
            caches: Mutex::default(),
            at_work: AtomicUsize::new(0),
            found: Mutex::default(),
            running: Mutex::default(),
            runs: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Features of a project, from the documents as they were parsed before.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn list(&self, project: &Project) -> synod_speckit::Result<Vec<Status>> {
        let cache = {
            let mut all = held(&self.caches);
            if all.len() >= FOUND_MAX {
                all.clear();
            }
            let new = || Arc::new(Mutex::new(Cache::new(CACHED)));
            Arc::clone(all.entry(project.root.clone()).or_insert_with(new))
        };
        // A slow project holds up itself and no other.
        let mut cache = held(&cache);
        synod_speckit::list(project, &mut cache)
    }

    /// Keeps the documents that a caller has seen as they are now, by the project's paths.
    pub fn remember<'p>(&self, feature: &Feature, paths: impl IntoIterator<Item = &'p str>) {
        let inside = paths.into_iter().filter_map(|path| path.strip_prefix(&feature.path));
        let docs: BTreeSet<&str> = inside.map(|doc| doc.trim_start_matches('/')).collect();
        for doc in docs {
            // One that cannot be read now cannot be shown later: that is all that is lost.
            if let Ok(read) = feature.read(doc) {
                let path = feature.folder.join(doc);
                self.keep(SeenDoc { path, hash: read.hash, text: read.text.into() });
            }
        }
    }

    fn keep(&self, new: SeenDoc) {
        let mut seen = held(&self.seen);
        seen.retain(|old| (&old.path, &old.hash) != (&new.path, &new.hash));
        seen.push_back(new);
        let bytes =
            |seen: &VecDeque<SeenDoc>| -> usize { seen.iter().map(|one| one.text.len()).sum() };
        while seen.len() > SEEN_MAX || bytes(&seen) > SEEN_BYTES_MAX {
            seen.pop_front();
        }
    }

    /// What changed in a document since it had this hash, as a unified difference; nothing if its
    /// text is not known any more.
    pub fn changed(&self, feature: &Feature, doc: &str, since: &str) -> Option<String> {
        let path = feature.folder.join(doc);
        let old = {
            let seen = held(&self.seen);
            let one = seen.iter().find(|one| one.path == path && one.hash == since)?;
            Arc::clone(&one.text)
        };
        let new = feature.read(doc).ok()?.text;
        let diff = similar::TextDiff::configure().timeout(DIFF_TIME).diff_lines(&*old, &*new);
        let shown = diff.unified_diff().context_radius(1).header(since, "now").to_string();
        let head = crate::reply::head(&shown, DIFF_BYTES_MAX);
        let cut = if head.len() < shown.len() { "\n[…]" } else { "" };
        Some(format!("{head}{cut}"))
    }

    /// Room for one more program; nothing while there are too many.
    fn room(&self) -> Option<Room<'_>> {
        let before = self.at_work.fetch_add(1, Ordering::Relaxed);
        let room = Room(&self.at_work);
        (before < AT_WORK_MAX).then_some(room)
    }

    /// Looks for projects anew from now on.
    pub fn forget(&self) {
        held(&self.found).clear();
    }

    /// Runs by command, for those who watch.
    pub fn runs(&self) -> Vec<(String, Runs)> {
        held(&self.runs).iter().map(|(name, runs)| (name.clone(), *runs)).collect()
    }

    /// Counts a run.
    pub fn count(&self, command: &str, failed: bool, ms: u64) {
        let mut all = held(&self.runs);
        let runs = all.entry(command.to_owned()).or_default();
        (runs.n, runs.failed, runs.ms) =
            (runs.n + 1, runs.failed + u64::from(failed), runs.ms + ms);
    }

    /// Takes a project for a run that changes it; given back when the value is dropped. Nothing
    /// when another one has it.
    fn take(&self, root: &Path) -> Option<Taken<'_>> {
        let root = root.to_owned();
        let free = held(&self.running).insert(root.clone());
        // Made only when it is ours: what is dropped gives the project back.
        free.then(|| Taken { specs: self, root })
    }

    /// Roots of the projects below a source.
    fn below(&self, root: &Path) -> Result<Vec<PathBuf>, Error> {
        // A project at the root needs no search.
        if root.join(".specify").is_dir() {
            return Ok(vec![root.to_owned()]);
        }
        if let Some((at, known)) = held(&self.found).get(root)
            && at.elapsed() < FOUND
        {
            return Ok(known.clone());
        }
        let found = Project::discover(root).map_err(|error| fault("spec", error))?;
        let roots: Vec<PathBuf> = found.projects.into_iter().map(|project| project.root).collect();
        let mut all = held(&self.found);
        if all.len() >= FOUND_MAX {
            all.clear();
        }
        all.insert(root.to_owned(), (Instant::now(), roots.clone()));
        Ok(roots)
    }
}

/// Room for a program, given back when it is dropped.
pub struct Room<'a>(&'a AtomicUsize);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A project that something changes.
pub struct Taken<'a> {
    specs: &'a Specs,
    root: PathBuf,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        held(&self.specs.running).remove(&self.root);
    }
}

/// Takes a project for what changes it, until the value is dropped.
///
/// # Errors
/// `Refused` while another one has it.
pub fn take<'a>(cx: &'a Context, tool: &str, root: &Path) -> Result<Taken<'a>, Error> {
    cx.specs.take(root).ok_or_else(|| {
        let root = root.display();
        let text = format!("something changes `{root}` already; try again when it has ended");
        Error::Refused(format!("{tool}: {text}"))
    })
}

/// Room for one more program, until the value is dropped.
///
/// # Errors
/// `Refused` while there are too many.
pub fn room<'a>(cx: &'a Context, tool: &str) -> Result<Room<'a>, Error> {
    cx.specs.room().ok_or_else(|| {
        let text = format!("{AT_WORK_MAX} programs run already; try again when one has ended");
        Error::Refused(format!("{tool}: {text}"))
    })
}

/// An error of the engine as a fault of a tool.
pub fn fault(tool: &str, error: Fault) -> Error {
    let text = format!("{tool}: {error}");
    match error {
        Fault::Argument(_) | Fault::Outside { .. } => Error::Args(text),
        Fault::Missing { .. } | Fault::NoProject { .. } | Fault::NoProgram { .. } => {
            Error::Missing(text)
        }
        Fault::Conflict { .. }
        | Fault::Changed { .. }
        | Fault::Exists(_)
        | Fault::Ambiguous { .. } => Error::Store(synod_store::Error::Conflict(text)),
        _ => Error::Refused(text),
    }
}

/// Folders of sources, resolved, without those that do not answer.
fn roots(cx: &Context) -> Result<Vec<(String, PathBuf)>, Error> {
    let sources = cx.index.sources()?.into_iter().filter(|source| !source.root.is_empty());
    let resolved = sources.filter(|source| cx.index.answers(source)).filter_map(|source| {
        let root = Path::new(&source.root).canonicalize().ok()?;
        Some((source.name, root))
    });
    Ok(resolved.collect())
}

/// Roots of the projects of all sources; none where Spec-Kit is switched off.
///
/// # Errors
/// Those of the index and of the search.
pub fn roots_of_projects(cx: &Context) -> Result<Vec<PathBuf>, Error> {
    if cx.specs.settings.off {
        return Ok(Vec::new());
    }
    let mut found: Vec<PathBuf> = cx.specs.settings.workdir.iter().cloned().collect();
    for (_, root) in roots(cx)? {
        found.extend(cx.specs.below(&root)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The project that a call means: by a path inside a source (absolute, or behind the source's
/// name), by the source's name, or the only one that there is.
///
/// # Errors
/// `Missing` with the projects that there are, `Args` for a path outside of every source, `Refused`
/// where Spec-Kit is switched off.
pub fn project(cx: &Context, tool: &str, named: Option<&str>) -> Result<Project, Error> {
    enabled(cx, tool)?;
    let roots = roots(cx)?;
    let workdir = cx.specs.settings.workdir.as_ref();
    let Some(named) = named.map(str::trim).filter(|named| !named.is_empty()) else {
        if let Some(workdir) = workdir {
            return Project::find(workdir, Some(workdir)).map_err(|error| fault(tool, error));
        }
        return only(cx, tool);
    };
    let (path, ceiling) =
        place(named, &roots, workdir).ok_or_else(|| outside(tool, named, &roots))?;
    match Project::find(&path, Some(&ceiling)) {
        Ok(project) => Ok(project),
        // A source that is no project may hold one.
        Err(error) => match cx.specs.below(&path)?.as_slice() {
            [root] => Project::open(root).map_err(|error| fault(tool, error)),
            [] => Err(fault(tool, error)),
            several => Err(several_of(tool, several)),
        },
    }
}

/// Refuses where Spec-Kit is switched off.
///
/// # Errors
/// `Refused`.
pub fn enabled(cx: &Context, tool: &str) -> Result<(), Error> {
    if !cx.specs.settings.off {
        return Ok(());
    }
    let text = "Spec-Kit is switched off here; the operator sets `spec_kit.enabled` in synod.toml, \
                or SPEC_KIT_ENABLED";
    Err(Error::Refused(format!("{tool}: {text}")))
}

fn outside(tool: &str, named: &str, roots: &[(String, PathBuf)]) -> Error {
    let names: Vec<&str> = roots.iter().map(|(name, _)| name.as_str()).collect();
    Error::Args(format!(
        "{tool}: `{named}` lies in no source; name a source (`{}`) or a path inside one, or add \
         its folder with `synod index`",
        names.join("`, `")
    ))
}

/// The folder inside a source that a call means which needs no project yet: what is named, or the
/// only source that there is.
///
/// # Errors
/// `Args` for a path outside of every source, or when there are several.
pub fn folder(cx: &Context, tool: &str, named: Option<&str>) -> Result<PathBuf, Error> {
    enabled(cx, tool)?;
    let roots = roots(cx)?;
    let workdir = cx.specs.settings.workdir.as_ref();
    let found = match (named.map(str::trim).filter(|named| !named.is_empty()), roots.as_slice()) {
        (Some(named), _) => {
            let found = place(named, &roots, workdir);
            return found.map(|(path, _)| path).ok_or_else(|| outside(tool, named, &roots));
        }
        (None, [(_, root)]) => Some(root.clone()),
        (None, _) => workdir.cloned(),
    };
    found.ok_or_else(|| {
        Error::Args(format!("{tool}: name a source, or a path inside one, as `project`"))
    })
}

/// The folder that a name or a path means, and the source that it may not leave.
fn place(
    named: &str,
    roots: &[(String, PathBuf)],
    workdir: Option<&PathBuf>,
) -> Option<(PathBuf, PathBuf)> {
    let (first, rest) = named.split_once('/').unwrap_or((named, ""));
    let joined = match roots.iter().find(|(name, _)| name == first) {
        Some((_, root)) if !Path::new(named).is_absolute() => root.join(rest),
        _ if Path::new(named).is_absolute() => PathBuf::from(named),
        // Where the process runs is nothing that a caller knows.
        _ => return None,
    };
    let path = joined.canonicalize().ok()?;
    let below = roots.iter().map(|(_, root)| root).chain(workdir);
    let ceiling =
        below.filter(|root| path.starts_with(root)).max_by_key(|root| root.as_os_str().len());
    Some((path.clone(), ceiling?.clone()))
}

fn several_of(tool: &str, roots: &[PathBuf]) -> Error {
    let names: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
    let names = names.join("`, `");
    Error::Args(format!("{tool}: there are several projects; name one as `project`: `{names}`"))
}

fn only(cx: &Context, tool: &str) -> Result<Project, Error> {
    let found = roots_of_projects(cx)?;
    let hint = cx.specs.settings.hint.as_ref().and_then(|hint| hint.canonicalize().ok());
    if let Some(root) = hint.filter(|hint| found.contains(hint)) {
        return Project::open(&root).map_err(|error| fault(tool, error));
    }
    match found.as_slice() {
        [root] => Project::open(root).map_err(|error| fault(tool, error)),
        [] => Err(Error::Missing(format!(
            "{tool}: no Spec-Kit project in any source; add its folder with `synod index`, or make \
             one with `specify init --integration none`"
        ))),
        several => Err(several_of(tool, several)),
    }
}

/// The feature that a call means.
///
/// # Errors
/// `Args` when none is named, `Missing` with the nearest.
pub fn feature(tool: &str, project: &Project, named: Option<&str>) -> Result<Feature, Error> {
    let named = named.map(str::trim).filter(|named| !named.is_empty()).ok_or_else(|| {
        Error::Args(format!("{tool}: name a `feature`, by its id, name or path; see `spec_list`"))
    })?;
    project.feature(named).map_err(|error| fault(tool, error))
}

/// Refuses a change on the main branch of a project in git.
///
/// # Errors
/// `Refused`, saying how to go on.
pub fn on_a_branch(tool: &str, project: &Project) -> Result<(), Error> {
    let Some(branch) = project.git().and_then(|git| git.branch) else { return Ok(()) };
    if matches!(branch.as_str(), "main" | "master" | "trunk" | "develop") {
        return Err(Error::Refused(format!(
            "{tool}: the project is on `{branch}`; make a feature branch first, or pass \
             `any_branch`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_taken_by_one_and_given_back() {
        let specs = Specs::new(SpecSettings::default());
        let root = Path::new("/p");
        let first = specs.take(root);
        assert!(first.is_some() && specs.take(root).is_none() && specs.take(root).is_none());
        assert!(specs.take(Path::new("/q")).is_some(), "another one is free");
        drop(first);
        assert!(specs.take(root).is_some());
    }

    #[test]
    fn only_so_many_programs_run_at_once() {
        let specs = Specs::new(SpecSettings::default());
        let rooms: Vec<Room> = (0..AT_WORK_MAX).filter_map(|_| specs.room()).collect();
        assert_eq!((rooms.len(), specs.room().is_none()), (AT_WORK_MAX, true));
        drop(rooms);
        assert!(specs.room().is_some());
    }

    #[test]
    fn what_was_seen_is_kept_within_bounds_and_its_changes_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("specs/001-x");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir(dir.path().join(".specify")).unwrap();
        let tasks = folder.join("tasks.md");
        std::fs::write(&tasks, "- [ ] T001 a\n- [ ] T002 b\n").unwrap();
        let feature = Project::open(dir.path()).unwrap().feature("001").unwrap();
        let specs = Specs::new(SpecSettings::default());
        specs.remember(&feature, ["specs/001-x/tasks.md", "specs/001-x/none.md"]);
        let hash = feature.read("tasks.md").unwrap().hash;
        std::fs::write(&tasks, "- [ ] T001 a\n- [x] T002 b\n").unwrap();
        let shown = specs.changed(&feature, "tasks.md", &hash).unwrap();
        assert!(shown.contains("-- [ ] T002 b\n+- [x] T002 b"), "{shown}");
        assert_eq!(specs.changed(&feature, "tasks.md", "another"), None);
        assert_eq!(specs.changed(&feature, "spec.md", &hash), None, "it was another document");
        for n in 0..SEEN_MAX {
            let text = "x".repeat(SEEN_BYTES_MAX / 10).into();
            specs.keep(SeenDoc { path: "x.md".into(), hash: n.to_string(), text });
        }
        let kept = held(&specs.seen).len();
        assert_eq!((kept, specs.changed(&feature, "tasks.md", &hash)), (10, None));
    }
}
