//! A database that is damaged: what can be read of it is kept, the rest is made anew from the
//! files.
//!
//! The sources and pushed content stand nowhere else, so they are read row by row; a row that
//! cannot be read is stepped over and counted. They go into a new index beside the damaged one,
//! which then takes its place; the files themselves are read by the next comparison. The damaged
//! files are set aside, never deleted. Invariant: whoever is interrupted finds either the damaged
//! index where it was, or a new one that holds all that was saved.

use crate::db::{self, Source, SourceKind};
use crate::error::{Error, Result};
use crate::update::{Push, SourceSpec, Updater, writer_lock};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What could be read of a damaged database. Holds the writer's lock of its folder.
pub struct Salvage {
    sources: Vec<Source>,
    /// By name of the source.
    pushed: BTreeMap<String, Vec<Push>>,
    /// Pushed texts that could not be read.
    pub lost: usize,
    _lock: File,
}

/// Whether the database below `data` is damaged; `None` when it is sound or not there.
pub fn damage(data: &Path) -> Option<String> {
    let path = data.join("index/index.db");
    if !path.exists() {
        return None;
    }
    let check =
        |db: &Connection| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match open(&path) {
        Err(error) => Some(error.to_string()),
        Ok(db) => match check(&db) {
            Ok(said) if said == "ok" => None,
            Ok(said) => Some(said),
            Err(error) if is_damage(&error) => Some(error.to_string()),
            // Busy, or a full disk: no proof of damage.
            Err(_) => None,
        },
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Whether SQLite says that the file itself is wrong.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Where the new index is built, as a data directory of its own.
pub fn workshop(data: &Path) -> PathBuf {
    data.join("repair")
}

/// Reads what can be read of the database below `data`, and clears the place for a new one.
///
/// # Errors
/// `NotWriter` while a process holds the writer's lock, `Data` when the folder cannot be used.
pub fn read(data: &Path) -> Result<Salvage> {
    let dir = data.join("index");
    let lock = writer_lock(&dir)?;
    let mut salvage =
        Salvage { sources: Vec::new(), pushed: BTreeMap::new(), lost: 0, _lock: lock };
    if let Ok(db) = open(&dir.join("index.db")) {
        salvage.sources = by_row(&db, "source", "id", db::SOURCE, db::source_row).0;
        salvage.read_pushed(&db);
    }
    match std::fs::remove_dir_all(workshop(data)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::data(workshop(data), error))
        }
        _ => Ok(salvage),
    }
}

/// Rows of `select`, each by its number, and how many could not be read.
fn by_row<T>(
    db: &Connection,
    table: &str,
    id: &str,
    select: &str,
    mut read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> (Vec<T>, usize) {
    let end = |order: &str| -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT {id} FROM {table} ORDER BY {id} {order} LIMIT 1");
        db.query_row(&sql, [], |row| row.get(0)).optional()
    };
    let (first, last) = match (end("ASC"), end("DESC")) {
        (Ok(first), Ok(Some(last))) => (first.unwrap_or(1), last),
        (Ok(None), _) => return (Vec::new(), 0),
        // An end that cannot be read: row numbers begin at 1.
        (Err(_), Ok(Some(last))) => (1, last),
        (_, _) => return (Vec::new(), 1),
    };
    let sql = format!("{select} WHERE {id}=?");
    let (mut out, mut lost) = (Vec::new(), 0);
    for number in first..=last {
        match db.prepare_cached(&sql).and_then(|mut s| s.query_row([number], &mut read).optional())
        {
            Ok(row) => out.extend(row),
            Err(_) => lost += 1,
        }
    }
    (out, lost)
}

impl Salvage {
    fn read_pushed(&mut self, db: &Connection) {
        let select = "SELECT file, text FROM pushed";
        let text = |row: &Row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let (texts, lost) = by_row(db, "pushed", "file", select, text);
        self.lost = lost;
        let place = "SELECT source, path, modified_ms FROM file WHERE id=?";
        for (file, text) in texts {
            let found = db.query_row(place, [file], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            });
            let source = found.ok().and_then(|(source, path, modified_ms)| {
                let source = self.sources.iter().find(|s| s.id == source)?;
                Some((source.name.clone(), source.kind, path, modified_ms))
            });
            match source {
                // What was made of a file is made again.
                Some((_, from, ..)) if from != SourceKind::Pushed => {}
                Some((name, _, path, modified_ms)) => {
                    let push = Push { path, text, modified_ms };
                    self.pushed.entry(name).or_default().push(push);
                }
                None => self.lost += 1,
            }
        }
    }

    /// Puts what was saved into a new index; the files are read by the next comparison. Returns the
    /// sources that could not be taken again, with the reason.
    ///
    /// # Errors
    /// As [`Updater::push`].
    pub fn restore(&mut self, updater: &mut Updater) -> Result<Vec<(Source, Error)>> {
        let mut refused = Vec::new();
        for source in self.sources.drain(..).filter(|s| s.kind != SourceKind::Pushed) {
            let spec = SourceSpec {
                name: Some(source.name.clone()),
                kind: Some(source.kind),
                collection: Some(source.collection.clone()),
                home: None,
                // It was a source before.
                force: true,
                apart: false,
            };
            if let Err(error) = updater.add_source(Path::new(&source.root), &spec) {
                refused.push((source, error));
            }
        }
        for (name, pushes) in std::mem::take(&mut self.pushed) {
            updater.push_all(&name, pushes)?;
        }
        Ok(refused)
    }

    /// Puts the new index in the place of the damaged one, which is set aside; says where. No
    /// index and no updater of either is open any more.
    ///
    /// # Errors
    /// `Data` when a folder cannot be renamed; the damaged index is then where it was.
    pub fn swap(self, data: &Path, now_ms: i64) -> Result<PathBuf> {
        let (dir, new) = (data.join("index"), workshop(data).join("index"));
        let aside = data.join(format!("index.damaged-{now_ms}"));
        std::fs::rename(&dir, &aside).map_err(|e| Error::data(&dir, e))?;
        if let Err(error) = std::fs::rename(&new, &dir) {
            // Back as it was; the first failure is the one to tell.
            let _ = std::fs::rename(&aside, &dir);
            return Err(Error::data(new, error));
        }
        let _ = std::fs::remove_dir_all(workshop(data));
        Ok(aside)
    }
}
