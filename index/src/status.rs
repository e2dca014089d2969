//! What the index holds, and why a file is or is not found.

use crate::db::{self, Source};
use crate::error::Result;
use crate::fit::{self, MadeFor};
use crate::limit::ERRORS_LISTED_MAX;
use crate::space::SpaceStatus;
use crate::watch::Watching;
use crate::{Doing, Freshness, Index};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a source holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatus {
    /// The source.
    pub source: Source,
    /// Documents.
    pub documents: u64,
    /// Passages.
    pub chunks: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Errors per file, the first ones.
    pub errors: Vec<(String, String)>,
    /// How many there are.
    pub n_errors: u64,
    /// How its changes are noticed; `None` while nobody watches it.
    pub watching: Option<Watching>,
}

/// What the index holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// By source, sorted by name.
    pub sources: Vec<SourceStatus>,
    /// The newest commit.
    pub generation: u64,
    /// Pending work.
    pub freshness: Freshness,
    /// The work in hand.
    pub doing: Doing,
    /// Embedding spaces, oldest first.
    pub spaces: Vec<SpaceStatus>,
    /// Passages embedded each second, by what the writer said last; 0 when it embeds nothing.
    pub rate: f32,
    /// A model is there to embed what is asked.
    pub model: bool,
    /// It is there, and is still being opened.
    pub opening: bool,
    /// Why texts could not be embedded when that was last tried in this process.
    pub failure: Option<String>,
    /// How many notes are written in each language that can be told, by its code.
    pub written: Vec<(String, u64)>,
}

impl Status {
    /// One sentence where most notes are in languages that an embedding model was not made for.
    pub fn misfit(&self, made_for: Option<MadeFor>) -> Option<String> {
        fit::misfit(&self.written, made_for)
    }
}

/// The last count, and the connection that tells whether the database changed since.
pub(crate) struct Counted {
    db: rusqlite::Connection,
    /// Of which database.
    epoch: u64,
    version: Option<i64>,
    at: Instant,
    took: Duration,
    status: Status,
}

/// While passages are embedded the database changes all the time: counted this often at most, and
/// less often where counting takes long.
const COUNT_AGAIN: Duration = Duration::from_millis(500);

/// What is said of a file that is nowhere below a source.
const OUTSIDE: &str = "it lies in no source; add its folder with `synod index FOLDER`";

/// Why a file is or is not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The answer, a line per step.
    pub lines: Vec<String>,
    /// It is indexed as it stands on disk.
    pub found: bool,
}

impl Index {
    /// What the index holds. Counted once per change of the database, whoever made it.
    pub fn status(&self) -> Result<Status> {
        self.look()?;
        // Before anything is counted: what is committed meanwhile does not make that current.
        let freshness = self.freshness();
        let epoch = self.epoch();
        let mut counted = crate::lock(&self.counted);
        if counted.as_ref().is_none_or(|counted| counted.epoch != epoch) {
            let db = self.connect()?;
            let (at, status) = (Instant::now(), Status::default());
            let took = Duration::ZERO;
            *counted = Some(Counted { db, epoch, version: None, at, took, status });
        }
        if let Some(counted) = &mut *counted {
            // Before the counting: a change in between is counted again next time.
            let sql = "PRAGMA data_version";
            let version: i64 = counted.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            let same = || -> Result<bool> {
                let pause = COUNT_AGAIN.max(counted.took * 20);
                let recent = counted.version.is_some() && counted.at.elapsed() < pause;
                Ok(recent && db::generation(&counted.db)? == counted.status.generation)
            };
            if counted.version != Some(version) && !same()? {
                let start = Instant::now();
                counted.status = self.count()?;
                counted.at = Instant::now();
                counted.took = start.elapsed();
                counted.version = Some(version);
            }
            return Ok(self.current_status(counted.status.clone(), freshness));
        }
        Ok(self.current_status(self.count()?, freshness))
    }

    /// With what only this process knows, and what needs no counting.
    fn current_status(&self, mut status: Status, freshness: Freshness) -> Status {
        // First: once nothing is being opened, what was is there.
        let opening = self.is_opening();
        let serving = status.spaces.iter().find(|space| space.role == Some(db::Role::Serving));
        let model = serving.is_some_and(|space| self.has_embedder(&space.name));
        for source in &mut status.sources {
            source.watching = self.watching(source.source.id);
        }
        let opening = opening && !model;
        let (doing, rate, failure) = (self.doing(), self.rate(), self.failure());
        Status { freshness, doing, rate, model, opening, failure, ..status }
    }

    fn count(&self) -> Result<Status> {
        let spaces = self.spaces()?;
        self.read_db(|db| {
            let generation = db::generation(db)?;
            let written = db::written(db)?;
            let mut out = Status { generation, spaces, written, ..Status::default() };
            for source in db::sources(db)? {
                let (documents, chunks, bytes) = db::counts(db, source.id)?;
                let (errors, n_errors) = db::problems(db, source.id, ERRORS_LISTED_MAX)?;
                out.sources.push(SourceStatus {
                    source,
                    documents,
                    chunks,
                    bytes,
                    errors,
                    n_errors,
                    watching: None,
                });
            }
            Ok(out)
        })
    }

    /// Why the file at an absolute path is or is not found.
    pub fn explain(&self, path: &Path) -> Result<Why> {
        let mut why = Why { lines: Vec::new(), found: false };
        let full = full_path(path);
        why.lines.push(format!("file: {}", full.display()));
        let sources = self.sources()?;
        let owner = sources
            .iter()
            .filter(|s| !s.root.is_empty() && full.starts_with(&s.root))
            .max_by_key(|s| s.root.len());
        let Some(source) = owner else {
            why.lines.push(by_link(&sources, path).unwrap_or_else(|| OUTSIDE.to_owned()));
            return Ok(why);
        };
        why.lines.push(format!("source: {} ({})", source.name, source.kind.name()));
        let relative = full.strip_prefix(&source.root).ok().and_then(crate::walk::slashed);
        let Some(relative) = relative else {
            why.lines.push("its name is not UTF-8; rename it".into());
            return Ok(why);
        };
        if relative.is_empty() || full.is_dir() {
            why.lines.push("this is a folder; name a file in it".into());
            return Ok(why);
        }
        let root = Path::new(&source.root);
        let skip = [self.dir().parent().unwrap_or(self.dir()).to_owned()];
        let only = crate::walk::Only::new(&[relative.clone()].into());
        let walked = crate::walk::walk_only(root, &skip, only);
        let seen = walked.files.iter().find(|f| f.path == relative);
        why.lines.push(match seen {
            Some(_) => "the walk finds it".into(),
            None if !full.exists() => "there is no such file".into(),
            None => match crate::walk::why_left_out(root, &relative, &skip) {
                Some(rule) => format!("the walk leaves it out: {rule}"),
                None => "the walk leaves it out: it is no regular file, or cannot be read".into(),
            },
        });
        self.read_db(|db| {
            let (errors, _) = db::problems(db, source.id, usize::MAX >> 1)?;
            for (_, reason) in errors.iter().filter(|(path, _)| *path == relative) {
                why.lines.push(format!("error: {reason}"));
            }
            let Some(row) = db::file_at(db, source.id, &relative)? else {
                why.lines.push(if seen.is_some() {
                    "it is not indexed yet; `synod index` brings the index up to date".into()
                } else {
                    "it is not indexed".into()
                });
                return Ok(());
            };
            why.lines.push(format!(
                "indexed as {} `{}` with {} passages in generation {}",
                row.kind, row.title, row.n_chunks, row.generation
            ));
            if let Some(note) = &row.note {
                let how = match row.n_chunks {
                    0 => "findable by name only",
                    _ => "findable by its words, something is left out",
                };
                why.lines.push(format!("{how}: the file {note}"));
            }
            why.found = seen.is_some_and(|f| f.stamp == row.stamp);
            why.lines.push(match seen {
                Some(_) if why.found => "it is found as it stands on disk".into(),
                Some(_) => "the file on disk is newer than what is indexed".into(),
                None => "what is indexed of it goes with the next comparison".into(),
            });
            Ok(())
        })?;
        Ok(why)
    }
}

/// Of a path that only a link leads out of a source, the rule that leaves it out.
fn by_link(sources: &[Source], path: &Path) -> Option<String> {
    let full = std::path::absolute(path).ok()?;
    full.ancestors().find_map(|there| {
        let real = there.canonicalize().ok()?;
        let mut folders = sources.iter().filter(|source| !source.root.is_empty());
        let source = folders.find(|source| real == Path::new(&source.root))?;
        let relative = full.strip_prefix(there).ok().and_then(crate::walk::slashed)?;
        let rule = crate::walk::why_left_out(&real, &relative, &[])?;
        Some(format!("the walk of source `{}` leaves it out: {rule}", source.name))
    })
}

/// The absolute path, links resolved as far as the path exists: a file that is gone still has a
/// place in its source.
fn full_path(path: &Path) -> std::path::PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in full.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), full.strip_prefix(there)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    full
}
