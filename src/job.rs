//! Requests to the process that writes: as a job holds them, and what they do.
//!
//! Knows the updater and the store; who waits for a job, and how it is told, are others' business.

use crate::config::{Config, SourceConfig};
use crate::now_ms;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use synod_index::watch::Mode;
use synod_index::{Ahead, Error, Outcome, Report, Run, Source, SourceSpec, Updater};
use synod_store::{Job, JobState, Store};
use synod_tools::{INDEX_JOB, IngestArgs, IngestOp};

/// A request as a job holds it: what a caller of the tool can say, and what only the operator can
/// on the command line.
#[derive(Clone, Debug)]
pub struct Request {
    /// What a caller can say.
    pub args: IngestArgs,
    /// The operator's word that a home directory or a file-system root is meant.
    pub force: bool,
    /// The operator's choice of a collection.
    pub collection: Option<String>,
    /// The operator wants the former embedding space back; nothing else is done.
    pub roll_back: bool,
}

impl Request {
    /// A request of the operator.
    pub fn new(op: IngestOp) -> Self {
        let args =
            IngestArgs { op, path: None, content: None, source: None, wait: false, dry_run: false };
        Request { args, force: false, collection: None, roll_back: false }
    }

    /// Back to the embedding space that answered before.
    pub fn roll_back() -> Self {
        Request { roll_back: true, ..Request::new(IngestOp::Reindex) }
    }

    /// The text that a job holds.
    ///
    /// # Errors
    /// None that this type can cause.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        let mut value = serde_json::to_value(&self.args)?;
        if self.force {
            value["force"] = true.into();
        }
        if self.roll_back {
            value["roll_back"] = true.into();
        }
        if let Some(collection) = &self.collection {
            value["collection"] = collection.as_str().into();
        }
        Ok(value.to_string())
    }

    /// Reads the text of a job.
    ///
    /// # Errors
    /// `Argument` for a text that no version of this program wrote.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |error: serde_json::Error| Error::Argument(error.to_string());
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(bad)?;
        let mut taken = |name: &str| value.as_object_mut().and_then(|map| map.remove(name));
        let mut flag = |name: &str| taken(name) == Some(serde_json::Value::Bool(true));
        let (force, roll_back) = (flag("force"), flag("roll_back"));
        let collection = taken("collection").and_then(|c| c.as_str().map(str::to_owned));
        let args = serde_json::from_value(value).map_err(bad)?;
        Ok(Request { args, force, collection, roll_back })
    }
}

/// A failure of the store as one of the index.
pub fn other(error: synod_store::Error) -> Error {
    Error::Row(error.to_string())
}

/// How far a job is, as `index_status` reads it.
pub fn progress(run: &Run) -> String {
    run.shown().to_string()
}

/// One line about the work in hand, a job's or not, for a person who waits.
pub fn progress_line(jobs: &[Job], run: Option<&Run>) -> String {
    let text = jobs.iter().find_map(|job| job.progress.as_deref());
    let of_job: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(text).ok());
    let run = of_job.or_else(|| run.map(Run::shown)).unwrap_or_default();
    match synod_tools::indexing_text(&run) {
        line if line.is_empty() => "looking at the files …".to_owned(),
        line => line,
    }
}

/// Does the jobs that wait, for a process that holds the lock without being a server.
pub fn drain(updater: &mut Updater, store: &Store) -> Result<(), Error> {
    while let Some(job) = store.take(INDEX_JOB, now_ms()).map_err(other)? {
        let result =
            Request::parse(&job.args).and_then(|request| request.run(updater, &|_| true, None));
        if let Err(
            error @ (Error::Sql(_) | Error::Words(_) | Error::OtherWords | Error::Damaged(_)),
        ) = result
        {
            return Err(error);
        }
        let (state, text) = match result {
            Ok(text) => (JobState::Succeeded, text),
            Err(error) => (JobState::Failed, crate::fault::Fault::from(error).to_string()),
        };
        store.end_job(&job.id, state, &text, now_ms()).map_err(other)?;
    }
    Ok(())
}

impl Request {
    /// Does what it asks for, and says what that was; what `ahead` has to look at comes in between.
    ///
    /// # Errors
    /// Whatever the updater refuses; `Cancelled` when `report` says so.
    pub fn run(
        &self,
        updater: &mut Updater,
        report: Report,
        mut ahead: Option<&mut Ahead>,
    ) -> Result<String, Error> {
        if self.roll_back {
            let name = updater.roll_back()?;
            return Ok(format!(
                "`{name}` answers again; name its model in the configuration to stay with it"
            ));
        }
        let args = &self.args;
        match args.op {
            IngestOp::Add => {
                let path = PathBuf::from(args.path.as_deref().unwrap_or_default());
                let name = args.source.clone();
                let spec = SourceSpec {
                    name,
                    collection: self.collection.clone(),
                    home: home(),
                    force: self.force,
                    apart: !self.force,
                    ..SourceSpec::default()
                };
                let source = updater.add_source(&path, &spec)?;
                let outcome = updater.scan_beside(&source, report, ahead)?;
                Ok(format!("added source `{}`: {}", source.name, says(&outcome)))
            }
            IngestOp::Push => {
                let name = args.source.as_deref().unwrap_or("pushed");
                let path = args.path.as_deref().unwrap_or_default();
                let text = args.content.clone().unwrap_or_default();
                let outcome = updater.push(name, path, text)?;
                Ok(format!("`{name}/{path}`: {}", says(&outcome)))
            }
            IngestOp::Remove => {
                let name = args.source.as_deref().unwrap_or_default();
                let source = find(updater, name)?;
                let outcome = updater.remove_source(&source)?;
                Ok(format!("removed source `{name}`: {}", says(&outcome)))
            }
            IngestOp::Reindex => {
                let sources = match &args.source {
                    Some(name) => vec![find(updater, name)?],
                    None => updater.sources()?,
                };
                let mut total = Outcome::default();
                for source in sources {
                    let outcome = updater.scan_beside(&source, report, ahead.as_deref_mut())?;
                    total.changed += outcome.changed;
                    total.removed += outcome.removed;
                    total.unchanged += outcome.unchanged;
                    total.failed += outcome.failed;
                    total.generation = outcome.generation;
                }
                Ok(says(&total))
            }
        }
    }
}

fn find(updater: &Updater, name: &str) -> Result<Source, Error> {
    let sources = updater.sources()?;
    let nearest = sources.iter().map(|s| s.name.clone()).collect();
    let found = sources.into_iter().find(|s| s.is_called(name));
    found.ok_or_else(|| Error::Missing { what: format!("no source `{name}`"), nearest })
}

/// An outcome in words.
pub fn says(outcome: &Outcome) -> String {
    format!(
        "{} changed, {} removed, {} as they were, {} failed; generation {}",
        outcome.changed, outcome.removed, outcome.unchanged, outcome.failed, outcome.generation
    )
}

/// The sources of the configuration, as they were added.
#[derive(Default)]
pub struct Configured {
    /// How each is to be watched, by its id.
    pub modes: HashMap<i64, Mode>,
    /// Those that could not be added, as the configuration names them, and why.
    pub left_out: Vec<(String, Error)>,
}

/// Adds the sources of the configuration; a wrong one is logged and does not stop the others.
pub fn add_configured(updater: &mut Updater, config: &Config) -> Configured {
    let configured = try_configured(updater, config.source.iter());
    for (path, error) in &configured.left_out {
        tracing::error!(path, error = %error, "a configured source was left out");
    }
    configured
}

/// The same of some of them, without a word.
pub fn try_configured<'c>(
    updater: &mut Updater,
    sources: impl Iterator<Item = &'c SourceConfig>,
) -> Configured {
    let Configured { mut modes, mut left_out } = Configured::default();
    for wanted in sources {
        let path = expand_home(&wanted.path);
        let spec = SourceSpec {
            name: wanted.name.clone(),
            collection: wanted.collection.clone(),
            home: home(),
            ..SourceSpec::default()
        };
        match updater.add_source(&path, &spec) {
            Ok(source) => {
                modes.insert(source.id, wanted.watch.into());
            }
            Err(error) => {
                // One that is away is to be watched so once it is back.
                let known = updater.sources().unwrap_or_default();
                let known = known.iter().find(|source| Path::new(&source.root) == path);
                modes.extend(known.map(|source| (source.id, Mode::from(wanted.watch))));
                left_out.push((wanted.path.clone(), error));
            }
        }
    }
    Configured { modes, left_out }
}

/// The home directory.
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// A path with `~` for the home directory.
pub fn expand_home(path: &str) -> PathBuf {
    if path == "~" {
        return home().unwrap_or_default();
    }
    match (path.strip_prefix("~/"), home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The same of a path that need not be text.
pub fn from_home(path: PathBuf) -> PathBuf {
    path.to_str().map(expand_home).unwrap_or(path)
}
