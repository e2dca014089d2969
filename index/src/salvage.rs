//! A database that is damaged: what can be read of it is kept, the rest is made anew from the
//! files.
//!
//! The sources and pushed content stand nowhere else, so they are read row by row as far as that
//! goes. The damaged files are set aside, never deleted.

use crate::db::{self, Source, SourceKind};
use crate::error::{Error, Result};
use crate::update::{SourceSpec, Updater};
use rusqlite::{Connection, OpenFlags, Row};
use std::path::{Path, PathBuf};

/// What could be read of a damaged database, and where it was set aside.
#[derive(Debug, Default)]
pub struct Salvage {
    /// The sources.
    pub sources: Vec<Source>,
    /// Pushed content: name of the source, path, text.
    pub pushed: Vec<(String, String, String)>,
    /// Where the damaged index lies now.
    pub aside: PathBuf,
}

/// Whether the database below `data` is damaged; `None` when it is sound or not there.
pub fn damage(data: &Path) -> Option<String> {
    let path = data.join("index/index.db");
    if !path.exists() {
        return None;
    }
    let check =
        |db: &Connection| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
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

/// Whether SQLite says that the file itself is wrong.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Reads what can be read of the database below `data`, and sets the index aside. The caller holds
/// no index of this folder, and nobody else writes it.
///
/// # Errors
/// `NotWriter` while a process holds the writer's lock, `Data` when the folder cannot be renamed.
pub fn set_aside(data: &Path, now_ms: i64) -> Result<Salvage> {
    let dir = data.join("index");
    let lock = dir.join("writer.lock");
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&lock);
    let file = file.map_err(|e| Error::data(&lock, e))?;
    file.try_lock().map_err(|_| Error::NotWriter)?;
    let mut salvage =
        Salvage { aside: data.join(format!("index.damaged-{now_ms}")), ..Salvage::default() };
    if let Ok(db) =
        Connection::open_with_flags(dir.join("index.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)
    {
        salvage.sources = rows(&db, db::SOURCE, db::source_row);
        let pushed = "SELECT source.name, file.path, pushed.text FROM pushed \
                      JOIN file ON file.id=pushed.file JOIN source ON source.id=file.source";
        salvage.pushed = rows(&db, pushed, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    }
    std::fs::rename(&dir, &salvage.aside).map_err(|e| Error::data(&dir, e))?;
    Ok(salvage)
}

/// The rows up to the first one that cannot be read.
fn rows<T>(db: &Connection, sql: &str, read: impl FnMut(&Row) -> rusqlite::Result<T>) -> Vec<T> {
    let Ok(mut statement) = db.prepare(sql) else { return Vec::new() };
    let Ok(rows) = statement.query_map([], read) else { return Vec::new() };
    rows.map_while(std::result::Result::ok).collect()
}

impl Salvage {
    /// Puts what was saved into a new index; the files are read by the next comparison. Returns the
    /// sources that could not be taken again, with the reason.
    ///
    /// # Errors
    /// As [`Updater::push`].
    pub fn restore(self, updater: &mut Updater) -> Result<Vec<(Source, Error)>> {
        let mut refused = Vec::new();
        for source in self.sources.into_iter().filter(|s| s.kind != SourceKind::Pushed) {
            let spec = SourceSpec {
                name: Some(source.name.clone()),
                kind: Some(source.kind),
                collection: Some(source.collection.clone()),
                home: None,
                // It was a source before.
                force: true,
            };
            if let Err(error) = updater.add_source(Path::new(&source.root), &spec) {
                refused.push((source, error));
            }
        }
        for (name, path, text) in self.pushed {
            updater.push(&name, &path, text)?;
        }
        Ok(refused)
    }
}
