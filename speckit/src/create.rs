//! Makes a feature: its name, its folder, its spec.md from the template.
//!
//! No git, and no shared pointer unless it is asked for. Invariant: nothing that exists is
//! overwritten.

use crate::error::{Error, Result};
use crate::jail;
use crate::name::{check_timestamp, fit, free_number, next_number, slug, slug_of_description};
use crate::project::{Feature, Project};
use crate::template::find_template;
use crate::write::{self, Keep, Lock};
use std::fs;

/// A description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;

/// A feature to make; with `..NewFeature::default()` for what needs no choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewFeature<'a> {
    /// What it is about, in a person's words.
    pub description: &'a str,
    /// Two to four words; taken from the description if not given.
    pub short_name: Option<&'a str>,
    /// A number that is preferred; the next free one if it is taken.
    pub number: Option<u64>,
    /// `YYYYMMDD-HHMMSS`: now; names the feature by it instead of by a number.
    pub timestamp: Option<&'a str>,
    /// Take a folder of that name if there is one, and add a spec.md if it has none.
    pub allow_existing: bool,
    /// Point `.specify/feature.json` at it, which all of the checkout share.
    pub activate: bool,
    /// Say what would be made, make nothing.
    pub dry_run: bool,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// `001` or the timestamp.
    pub id: String,
    /// `001-photo-albums`
    pub name: String,
    /// Relative to the project.
    pub path: String,
    /// Files that were written, or would be, relative to the project.
    pub files: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Nothing was made.
    pub dry_run: bool,
}

/// Makes a feature. What the shared pointer said is kept before it says something else; where it
/// cannot be changed the feature is made all the same, with a warning.
///
/// # Errors
/// `Argument` for what is out of its bounds, `Exists` for a folder of that name, `Unsupported` or
/// `Unreadable` for a template that only the CLI can compose, `Locked`, `Io`.
pub fn create(project: &Project, new: &NewFeature, keep: &Keep) -> Result<Created> {
    check(new)?;
    if new.dry_run {
        let (mut created, _) = name(project, new)?;
        created.files = vec![format!("{}/spec.md", created.path)];
        return Ok(created);
    }
    let specs = project.root.join("specs");
    if specs.symlink_metadata().is_err() {
        fs::create_dir_all(&specs).map_err(|source| Error::io(&specs, source))?;
    }
    let specs = jail::resolve(&project.root, "specs")?;
    // Two that are made at once would get the same number.
    let _lock = Lock::take(&specs)?;
    let (mut created, exists) = name(project, new)?;
    if exists && !new.allow_existing {
        return Err(Error::Exists(format!(
            "`{}` exists already; use another short name or number",
            created.path
        )));
    }
    let spec = format!("{}/spec.md", created.path);
    let template = match has_spec(project, &spec)? {
        true => None,
        false => Some(find_template(project, "spec-template")?),
    };
    let folder = specs.join(&created.name);
    if !exists {
        fs::create_dir(&folder).map_err(|source| Error::io(&folder, source))?;
    }
    if let Some(template) = template {
        if template.is_none() {
            let what = "no layer has a `spec-template`; spec.md is empty";
            created.warnings.push(what.to_owned());
        }
        let text = template.map_or_else(String::new, |template| template.text);
        let at = jail::resolve_new(&project.root, &spec)?;
        let lock = Lock::take(&folder)?;
        if write::create(&lock, &at, text.as_bytes())? {
            created.files.push(spec);
        }
    }
    if new.activate {
        // The feature is there: an error would say that nothing was made.
        match activate(project, &created.path, keep) {
            Ok(()) => created.files.push(".specify/feature.json".to_owned()),
            Err(error) => {
                created.warnings.push(format!("made, but the pointer was left: {error}"));
            }
        }
    }
    Ok(created)
}

fn check(new: &NewFeature) -> Result<()> {
    if new.description.trim().is_empty() {
        let what = "`description` is empty; say in a sentence what the feature is";
        return Err(Error::Argument(what.to_owned()));
    }
    if new.description.len() > DESCRIPTION_BYTES_MAX {
        let n = new.description.len();
        return Err(Error::Argument(format!(
            "`description` is {n} bytes, the most is {DESCRIPTION_BYTES_MAX}; shorten it"
        )));
    }
    new.timestamp.map_or(Ok(()), check_timestamp)
}

fn has_spec(project: &Project, spec: &str) -> Result<bool> {
    Ok(project.root.join(spec).symlink_metadata().is_ok()
        && jail::resolve(&project.root, spec)?.is_file())
}

/// The name, and whether a folder has it.
fn name(project: &Project, new: &NewFeature) -> Result<(Created, bool)> {
    let features = project.features()?;
    let existing: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    let mut warnings = Vec::new();
    let slug = match new.short_name.filter(|name| !name.is_empty()) {
        Some(name) => slug(name),
        None => slug_of_description(new.description.trim()),
    };
    if slug.is_empty() {
        let what = "the name is empty without its signs; give a short name with letters or digits";
        warnings.push(what.to_owned());
    }
    let id = match (new.timestamp, new.number) {
        (Some(now), number) => {
            if number.is_some() {
                warnings.push("`number` is ignored where a timestamp is used".to_owned());
            }
            now.to_owned()
        }
        (None, None) => format!("{:03}", next_number(existing.iter().copied())?),
        (None, Some(wanted)) => {
            let same = fit(&format!("{wanted:03}"), &slug).0;
            if new.allow_existing && existing.contains(&same.as_str()) {
                format!("{wanted:03}")
            } else {
                let (number, moved) = free_number(wanted, &existing)?;
                if moved {
                    warnings.push(format!("number {wanted:03} is taken; {number:03} is used"));
                }
                format!("{number:03}")
            }
        }
    };
    let (name, cut) = fit(&id, &slug);
    if cut {
        warnings.push(format!("the name was over 244 bytes and was cut to `{name}`"));
    }
    let exists = existing.contains(&name.as_str());
    let path = format!("specs/{name}");
    let files = Vec::new();
    Ok((Created { id, name, path, files, warnings, dry_run: new.dry_run }, exists))
}

/// Points `.specify/feature.json` at a feature. All agents of the checkout share that pointer.
///
/// # Errors
/// `Io`, `NotKept`, or `Outside` if the file is a link that leaves the project.
pub fn activate(project: &Project, path: &str, keep: &Keep) -> Result<()> {
    jail::check(path)?;
    let at = jail::resolve_new(&project.root, ".specify/feature.json")?;
    let value = serde_json::json!({ "feature_directory": path });
    let lock = Lock::take(at.parent().unwrap_or(&project.root))?;
    let text = format!("{value}\n");
    if write::create(&lock, &at, text.as_bytes())? {
        return Ok(());
    }
    let whole = |old: &[u8]| {
        let new = (old != text.as_bytes()).then(|| text.clone().into_bytes());
        Ok((new, ()))
    };
    write::rewrite(&lock, &at, keep, whole).map(|_| ())
}

impl Created {
    /// The feature that was made.
    ///
    /// # Errors
    /// `Missing` after a dry run.
    pub fn feature(&self, project: &Project) -> Result<Feature> {
        project.feature(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::path::Path;

    fn unkept(_: &Path, _: &[u8]) -> std::result::Result<(), String> {
        Ok(())
    }

    fn project(template: Option<&str>) -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".specify/templates")).unwrap();
        if let Some(text) = template {
            fs::write(dir.path().join(".specify/templates/spec-template.md"), text).unwrap();
        }
        let project = Project::open(dir.path()).unwrap();
        (dir, project)
    }

    fn new(description: &str) -> NewFeature<'_> {
        NewFeature { description, ..NewFeature::default() }
    }

    #[test]
    fn the_template_byte_for_byte_and_numbers_that_go_on() {
        let (dir, project) = project(Some("# [F]\r\n\u{a0}$ARGUMENTS"));
        let first = create(&project, &new("Fix UI bug"), &unkept).unwrap();
        assert_eq!((first.id.as_str(), first.name.as_str()), ("001", "001-fix-ui-bug"));
        assert_eq!(first.files, ["specs/001-fix-ui-bug/spec.md"]);
        let written = fs::read(dir.path().join(&first.files[0])).unwrap();
        assert_eq!(written, "# [F]\r\n\u{a0}$ARGUMENTS".as_bytes());
        assert!(!dir.path().join(".specify/feature.json").exists());
        let second =
            create(&project, &NewFeature { activate: true, ..new("!!!") }, &unkept).unwrap();
        assert_eq!((second.name.as_str(), second.warnings.len()), ("002-", 1));
        let pointer = fs::read_to_string(dir.path().join(".specify/feature.json")).unwrap();
        assert_eq!(pointer, "{\"feature_directory\":\"specs/002-\"}\n");
        assert_eq!(Project::open(dir.path()).unwrap().active.as_deref(), Some("specs/002-"));
    }

    #[test]
    fn nothing_is_overwritten_and_a_dry_run_makes_nothing() {
        let (dir, project) = project(None);
        let dry = create(&project, &NewFeature { dry_run: true, ..new("A b c") }, &unkept).unwrap();
        assert!(dry.dry_run && !dir.path().join("specs").exists());
        let stamp = NewFeature { timestamp: Some("20260131-120000"), ..new("albums") };
        let made = create(&project, &stamp, &unkept).unwrap();
        assert_eq!(made.name, "20260131-120000-albums");
        assert_eq!(made.warnings.len(), 1, "no template");
        assert!(matches!(create(&project, &stamp, &unkept), Err(Error::Exists(_))));
        fs::write(dir.path().join("specs/20260131-120000-albums/spec.md"), "mine").unwrap();
        let again =
            create(&project, &NewFeature { allow_existing: true, ..stamp }, &unkept).unwrap();
        assert!(again.files.is_empty());
        let kept = fs::read(dir.path().join("specs/20260131-120000-albums/spec.md")).unwrap();
        assert_eq!(kept, b"mine");
    }

    #[test]
    fn bad_arguments_make_nothing() {
        let (dir, project) = project(None);
        assert!(create(&project, &new("  "), &unkept).is_err());
        assert!(
            create(&project, &NewFeature { number: Some(u64::MAX), ..new("a") }, &unkept).is_err()
        );
        assert!(
            create(&project, &NewFeature { timestamp: Some("../x"), ..new("a") }, &unkept).is_err()
        );
        let _ = dir.path().join("specs").read_dir().map(|mut d| assert!(d.next().is_none()));
    }

    #[test]
    fn many_at_once_get_numbers_of_their_own() {
        let (_dir, project) = project(Some("t"));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| create(&project, &new("same name"), &unkept).unwrap());
            }
        });
        let ids: Vec<String> = project.features().unwrap().into_iter().map(|f| f.id).collect();
        assert_eq!(ids.last().map(String::as_str), Some("016"));
    }

    #[test]
    fn a_pointer_that_cannot_be_changed_is_a_warning() {
        let (dir, project) = project(Some("t"));
        let pointer = dir.path().join(".specify/feature.json");
        fs::write(&pointer, "old").unwrap();
        let full = |_: &Path, _: &[u8]| -> std::result::Result<(), String> {
            Err("the disk is full".to_owned())
        };
        let made = create(&project, &NewFeature { activate: true, ..new("albums") }, &full);
        let made = made.unwrap();
        assert_eq!(made.files, ["specs/001-albums/spec.md"]);
        let [warning] = &made.warnings[..] else { panic!("{:?}", made.warnings) };
        assert!(warning.starts_with("made, but the pointer was left: "), "{warning}");
        assert!(warning.ends_with("the disk is full"), "{warning}");
        assert_eq!(fs::read(dir.path().join(&made.files[0])).unwrap(), b"t");
        assert_eq!(fs::read(&pointer).unwrap(), b"old");
    }

    #[test]
    fn what_the_shared_pointer_said_is_kept() {
        let (dir, project) = project(None);
        let pointer = dir.path().join(".specify/feature.json");
        let kept = RefCell::new(Vec::new());
        let keep = |at: &Path, bytes: &[u8]| -> std::result::Result<(), String> {
            assert!(at.ends_with(".specify/feature.json"));
            kept.borrow_mut().push(bytes.to_owned());
            Ok(())
        };
        activate(&project, "specs/001-a", &keep).unwrap();
        assert!(kept.borrow().is_empty(), "there was none");
        let old = fs::read(&pointer).unwrap();
        activate(&project, "specs/001-a", &keep).unwrap();
        assert!(kept.borrow().is_empty(), "it said so already");
        activate(&project, "specs/002-b", &keep).unwrap();
        assert_eq!(*kept.borrow(), [old]);
        assert!(fs::read_to_string(&pointer).unwrap().contains("002-b"));
    }
}
