//! The one truth: documents, graph and generation in one SQLite file.
//!
//! Words (and later vectors) are derived from it. All SQL of the index stands here.
//! Invariant: every row of `file` carries the generation that wrote it, and rows that went away
//! leave a row in `gone`, so that a derived store that lags can be brought up to date.

mod chunks;
mod definition;
mod graph;
mod problem;
mod still;
mod vector;
mod version;
mod words;

pub use chunks::{ChunkRow, Chunks};
pub use definition::file_of_code;
pub use graph::{
    LANGUAGE, LinkRow, NameKind, Named, WRITTEN, changed_together, changes_of, clear_graph,
    language_of, languages, links_of, links_to, links_with_keys, named, names_of, props_of,
    put_changes, put_graph, with_prop, written,
};

pub use vector::{
    Key, Role, Space, add_space, embedded, embedded_of, forget_leavings, move_embedded, move_keys,
    of_sources, probe, put_embedded, put_vector, raise_change, remove_space, rename_space,
    renumber_space, reserve_space, set_probe, set_recipe, set_role, set_rows, space, spaces,
    vector, waiting, waiting_passages, waits, with_role,
};
pub use words::{files_behind, forget_strays, n_behind, set_sound, sound, strays};

pub use problem::{clear_problem, clear_problems, clear_problems_at, problems, put_problem};
pub use still::{Rest, open_as_it_lies};
pub use version::{READING, reading, set_reading};

use crate::disk::{Hash, Stamp};
use crate::error::{Error, Result};
use crate::kind::{Class, Section, Symbol};
use crate::limit::{BUSY, CACHE_KIB, JOURNAL_BYTES_MAX};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, root TEXT NOT NULL,
  collection TEXT NOT NULL, commit_id TEXT, scanned_ms INTEGER, added INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS file(
  id INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL, path TEXT NOT NULL,
  gen INTEGER NOT NULL,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL, read_ms INTEGER NOT NULL, hash BLOB NOT NULL,
  kind TEXT NOT NULL, class INTEGER NOT NULL, title TEXT NOT NULL, modified_ms INTEGER NOT NULL,
  n_chunks INTEGER NOT NULL, bytes INTEGER NOT NULL, plain INTEGER NOT NULL, note TEXT,
  chunks BLOB NOT NULL, body BLOB NOT NULL, UNIQUE(source, path));
CREATE INDEX IF NOT EXISTS file_gen ON file(gen);
CREATE TABLE IF NOT EXISTS name(
  key TEXT NOT NULL, file INTEGER NOT NULL, what INTEGER NOT NULL,
  PRIMARY KEY(key, file, what)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS name_file ON name(file);
CREATE TABLE IF NOT EXISTS link(
  file INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, target TEXT NOT NULL,
  anchor TEXT, text TEXT NOT NULL, wiki INTEGER NOT NULL, embed INTEGER NOT NULL,
  line INTEGER NOT NULL, PRIMARY KEY(file, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS link_key ON link(key);
CREATE TABLE IF NOT EXISTS prop(
  key TEXT NOT NULL, value TEXT NOT NULL, file INTEGER NOT NULL,
  PRIMARY KEY(key, value, file)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS prop_file ON prop(file);
CREATE TABLE IF NOT EXISTS gone(file INTEGER PRIMARY KEY, gen INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pushed(file INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS change(
  source INTEGER NOT NULL, path TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(source, path, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS change_seq ON change(source, seq);
CREATE TABLE IF NOT EXISTS problem(
  source INTEGER NOT NULL, path TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY(source, path)) WITHOUT ROWID;
";

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// An Obsidian vault.
    Vault,
    /// A repository.
    Repo,
    /// Any other folder.
    Folder,
    /// Content handed over by a caller.
    Pushed,
}

impl SourceKind {
    /// Its name in the database and in replies.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Vault => "vault",
            SourceKind::Repo => "repo",
            SourceKind::Folder => "folder",
            SourceKind::Pushed => "pushed",
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "vault" => SourceKind::Vault,
            "repo" => SourceKind::Repo,
            "pushed" => SourceKind::Pushed,
            _ => SourceKind::Folder,
        }
    }
}

/// Something indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Row.
    pub id: i64,
    /// Unique name.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// Absolute folder; empty for pushed content.
    pub root: String,
    /// `notes`, `code`, …
    pub collection: String,
    /// Commit of the working tree when it was last scanned.
    pub commit: Option<String>,
    /// When it was last scanned, milliseconds since 1970.
    pub scanned_ms: Option<i64>,
}

impl Source {
    /// Whether `name` means this source; without regard to case, as people type it.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || crate::token::lower(&self.name) == crate::token::lower(name)
    }
}

/// A document as stored.
#[derive(Clone, Debug)]
pub struct FileRow {
    /// Row; also the document's number in the word index.
    pub id: u32,
    /// Its source.
    pub source: i64,
    /// Relative path.
    pub path: String,
    /// The generation that wrote it.
    pub generation: u64,
    /// From the file system when it was read.
    pub stamp: Stamp,
    /// When it was read, milliseconds since 1970.
    pub read_ms: i64,
    /// Of its bytes.
    pub hash: Hash,
    /// Exact kind.
    pub kind: String,
    /// Family.
    pub class: Class,
    /// Title.
    pub title: String,
    /// Modified, milliseconds since 1970.
    pub modified_ms: i64,
    /// Number of passages.
    pub n_chunks: u32,
    /// Bytes of text.
    pub bytes: u64,
    /// Parts can be read in place.
    pub plain: bool,
    /// Why it is findable by name only, or, beside passages, what is left out of it.
    pub note: Option<String>,
    /// Passages.
    pub chunks: Chunks,
    /// Headings, symbols, blocks; empty in rows that [`file_of_hit`] reads.
    pub body: Body,
}

/// The packed part of a document's row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Other names.
    pub aliases: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Headings.
    pub sections: Vec<Section>,
    /// Definitions.
    pub symbols: Vec<Symbol>,
    /// Block ids and their bytes.
    pub blocks: Vec<(String, std::ops::Range<usize>)>,
}

/// Stamp and identity of a document, for the comparison of a scan.
#[derive(Clone, Debug)]
pub struct Known {
    /// Row.
    pub id: u32,
    /// As last read.
    pub stamp: Stamp,
    /// When it was read.
    pub read_ms: i64,
    /// Of its bytes.
    pub hash: Hash,
}

/// Opens the database, making it if `write` and it is not there.
///
/// # Errors
/// `Newer` for a newer format that this program cannot read; `Sql`.
pub fn open(path: &Path, write: bool) -> Result<Connection> {
    let db = if write {
        Connection::open(path)?
    } else {
        use rusqlite::OpenFlags;
        // Not read-only: SQLite's readers of a WAL database need its shared memory.
        Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?
    };
    prepare(&db)?;
    if write {
        db.pragma_update(None, "journal_mode", "wal")?;
        // Sources are read again: power loss costs the last commits (docs/decisions.md), no more.
        db.pragma_update(None, "synchronous", "normal")?;
        db.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    }
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Else large sorts and statements go to files in the system's temporary folder, which is none
    // of ours, and need not be there.
    db.pragma_update(None, "temp_store", "memory")?;
    let found = version::check(&db, path)?;
    if write && found < version::FORMAT {
        db.execute_batch(&format!(
            "BEGIN; {SCHEMA} {} {} COMMIT;",
            vector::SCHEMA,
            version::raised()
        ))?;
    }
    Ok(db)
}

/// Sets up what every connection needs, without a look at the file.
fn prepare(db: &Connection) -> Result<()> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(64);
    // Without it every new value of a parameter may plan its statement anew.
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Does what ends with a commit and has that on disk, where others lie in the log until the next
/// checkpoint: for what is followed by something that a lost commit would miss. No transaction may
/// be open.
pub fn synced<T>(db: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    db.pragma_update(None, "synchronous", "full")?;
    let done = work();
    db.pragma_update(None, "synchronous", "normal")?;
    done
}

/// Has every commit so far on disk. No transaction may be open.
pub fn settle(db: &Connection) -> Result<()> {
    // A page that becomes what it was is not written, and nothing is synced then.
    let sql = "INSERT INTO meta(key, value) VALUES('settled', 1) \
               ON CONFLICT(key) DO UPDATE SET value=value+1";
    synced(db, || Ok(db.execute(sql, []).map(drop)?))
}

/// Whether another process has what is needed.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// The generation of the newest commit.
pub fn generation(db: &Connection) -> Result<u64> {
    let sql = "SELECT value FROM meta WHERE key='generation'";
    let value: Option<i64> = db.prepare_cached(sql)?.query_row([], |r| r.get(0)).optional()?;
    Ok(value.unwrap_or(0) as u64)
}

/// Whether a source lies on another device than when it was last scanned.
pub fn moved(db: &Connection, source: i64, device: i64) -> Result<bool> {
    let sql = "SELECT value FROM meta WHERE key='device:' || ?";
    let known: Option<i64> = db.query_row(sql, [source], |r| r.get(0)).optional()?;
    Ok(known.is_some_and(|known| known != device))
}

/// Notes the device that a source lies on.
pub fn set_device(db: &Connection, source: i64, device: i64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES('device:' || ?, ?)";
    db.execute(sql, [source, device])?;
    Ok(())
}

/// Sets the generation; inside the transaction that it names.
pub fn set_generation(db: &Connection, generation: u64) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES('generation', ?)")?
        .execute([generation as i64])?;
    Ok(())
}

/// A row of [`SOURCE`].
pub fn source_row(row: &Row) -> rusqlite::Result<Source> {
    Ok(Source {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: SourceKind::parse(&row.get::<_, String>(2)?),
        root: row.get(3)?,
        collection: row.get(4)?,
        commit: row.get(5)?,
        scanned_ms: row.get(6)?,
    })
}

/// Selects sources.
pub const SOURCE: &str =
    "SELECT id, name, kind, root, collection, commit_id, scanned_ms FROM source";

/// Every source, by name.
pub fn sources(db: &Connection) -> Result<Vec<Source>> {
    let mut statement = db.prepare_cached(&format!("{SOURCE} ORDER BY name"))?;
    let rows = statement.query_map([], source_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Adds a source, or returns the one with that root.
pub fn add_source(db: &Connection, source: &Source) -> Result<i64> {
    db.execute(
        "INSERT INTO source(name, kind, root, collection, added) VALUES(?, ?, ?, ?, ?)",
        params![source.name, source.kind.name(), source.root, source.collection, 1],
    )?;
    Ok(db.last_insert_rowid())
}

/// Notes a finished scan.
pub fn scanned(db: &Connection, id: i64, at_ms: i64) -> Result<()> {
    db.execute("UPDATE source SET scanned_ms=? WHERE id=?", params![at_ms, id])?;
    Ok(())
}

/// The commit whose history is known.
pub fn commit(db: &Connection, id: i64) -> Result<Option<String>> {
    let sql = "SELECT commit_id FROM source WHERE id=?";
    Ok(db.query_row(sql, [id], |r| r.get(0)).optional()?.flatten())
}

/// Notes the commit that a source stands on.
pub fn set_commit(db: &Connection, id: i64, commit: Option<&str>) -> Result<()> {
    db.execute("UPDATE source SET commit_id=? WHERE id=?", params![commit, id])?;
    Ok(())
}

/// Removes the row of a source whose documents are gone.
pub fn remove_source(db: &Connection, id: i64) -> Result<()> {
    db.execute("DELETE FROM source WHERE id=?", [id])?;
    db.execute("DELETE FROM change WHERE source=?", [id])?;
    db.execute("DELETE FROM problem WHERE source=?", [id])?;
    Ok(())
}

/// All of a document's row but its `body`.
const FILE: &str = "id, source, path, gen, size, mtime_ns, ctime_ns, inode, read_ms, hash, kind, \
    class, title, modified_ms, n_chunks, bytes, plain, note, chunks";

/// Unpacks a column; NULL is the empty value.
fn unpack<T: Default + for<'a> Deserialize<'a>>(row: &Row, at: usize) -> rusqlite::Result<T> {
    let Some(bytes) = row.get_ref(at)?.as_blob_or_null()? else { return Ok(T::default()) };
    postcard::from_bytes(bytes).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Blob, Box::new(e))
    })
}

fn file_row(row: &Row) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        id: row.get(0)?,
        source: row.get(1)?,
        path: row.get(2)?,
        generation: row.get::<_, i64>(3)? as u64,
        stamp: stamp(row, 4)?,
        read_ms: row.get(8)?,
        hash: row.get(9)?,
        kind: row.get(10)?,
        class: if row.get::<_, i64>(11)? == 0 { Class::Note } else { Class::Code },
        title: row.get(12)?,
        modified_ms: row.get(13)?,
        n_chunks: row.get(14)?,
        bytes: row.get::<_, i64>(15)? as u64,
        plain: row.get(16)?,
        note: row.get(17)?,
        chunks: Chunks::packed(row.get(18)?),
        body: unpack(row, 19)?,
    })
}

fn stamp(row: &Row, at: usize) -> rusqlite::Result<Stamp> {
    Ok(Stamp {
        size: row.get::<_, i64>(at)? as u64,
        mtime_ns: row.get(at + 1)?,
        ctime_ns: row.get(at + 2)?,
        inode: row.get::<_, i64>(at + 3)? as u64,
    })
}

/// The document of row `id`.
pub fn file(db: &Connection, id: u32) -> Result<Option<FileRow>> {
    let sql = format!("SELECT {FILE}, body FROM file WHERE id=?");
    Ok(db.prepare_cached(&sql)?.query_row([id], file_row).optional()?)
}

/// The document of row `id`, without its `body`: hits do not show it, and unpacking it costs more
/// than the rest.
pub fn file_of_hit(db: &Connection, id: u32) -> Result<Option<FileRow>> {
    let sql = format!("SELECT {FILE}, NULL FROM file WHERE id=?");
    Ok(db.prepare_cached(&sql)?.query_row([id], file_row).optional()?)
}

/// The document at `path` of a source.
pub fn file_at(db: &Connection, source: i64, path: &str) -> Result<Option<FileRow>> {
    let sql = format!("SELECT {FILE}, body FROM file WHERE source=? AND path=?");
    Ok(db.prepare_cached(&sql)?.query_row(params![source, path], file_row).optional()?)
}

/// What the file system said of a document's file, and the hash of what was read.
pub fn stamp_of(db: &Connection, id: u32) -> Result<Option<(Stamp, Hash)>> {
    let sql = "SELECT size, mtime_ns, ctime_ns, inode, hash FROM file WHERE id=?";
    let row = |row: &Row| Ok((stamp(row, 0)?, row.get(4)?));
    Ok(db.prepare_cached(sql)?.query_row([id], row).optional()?)
}

/// Why a document has no text, or what is left out of it.
pub fn note_of(db: &Connection, id: u32) -> Result<Option<String>> {
    let sql = "SELECT note FROM file WHERE id=?";
    let note: Option<Option<String>> =
        db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    Ok(note.flatten())
}

/// The source of a document.
pub fn source_of(db: &Connection, id: u32) -> Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT source FROM file WHERE id=?")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// The row number of the document at `path` of a source.
pub fn id_at(db: &Connection, source: i64, path: &str) -> Result<Option<u32>> {
    let mut statement = db.prepare_cached("SELECT id FROM file WHERE source=? AND path=?")?;
    Ok(statement.query_row(params![source, path], |r| r.get(0)).optional()?)
}

/// The generation of the document at `path` of a source.
pub fn generation_at(db: &Connection, source: i64, path: &str) -> Result<Option<u64>> {
    let mut statement = db.prepare_cached("SELECT gen FROM file WHERE source=? AND path=?")?;
    let found: Option<i64> = statement.query_row(params![source, path], |r| r.get(0)).optional()?;
    Ok(found.map(|generation| generation as u64))
}

/// Rows of documents written after `generation`, by row number.
pub fn files_after(db: &Connection, generation: u64) -> Result<Vec<u32>> {
    let mut statement = db.prepare_cached("SELECT id FROM file WHERE gen>? ORDER BY id")?;
    let rows = statement.query_map([generation as i64], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Documents that went away after `generation`.
pub fn gone_after(db: &Connection, generation: u64) -> Result<Vec<u32>> {
    let mut statement = db.prepare_cached("SELECT file FROM gone WHERE gen>?")?;
    let rows = statement.query_map([generation as i64], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Forgets departures that every derived store has seen.
pub fn prune_gone(db: &Connection, generation: u64) -> Result<()> {
    db.execute("DELETE FROM gone WHERE gen<=?", [generation as i64])?;
    Ok(())
}

const KNOWN: &str = "SELECT path, id, size, mtime_ns, ctime_ns, inode, read_ms, hash FROM file";

fn known_row(row: &Row) -> rusqlite::Result<(String, Known)> {
    let known =
        Known { id: row.get(1)?, stamp: stamp(row, 2)?, read_ms: row.get(6)?, hash: row.get(7)? };
    Ok((row.get(0)?, known))
}

/// What is known of every document of a source, by path.
pub fn known(db: &Connection, source: i64) -> Result<HashMap<String, Known>> {
    let mut statement = db.prepare_cached(&format!("{KNOWN} WHERE source=?"))?;
    let rows = statement.query_map([source], known_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What is known of the document at `path` and of those below it.
pub fn known_below(db: &Connection, source: i64, path: &str) -> Result<HashMap<String, Known>> {
    // `0` follows `/`: the range holds what begins with `path/`.
    let sql = format!("{KNOWN} WHERE source=?1 AND (path=?2 OR (path>?2||'/' AND path<?2||'0'))");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![source, path], known_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A file was read again and its bytes are the same: only its stamp changes.
pub fn touch(db: &Connection, id: u32, stamp: &Stamp, read_ms: i64) -> Result<()> {
    let sql = "UPDATE file SET size=?, mtime_ns=?, ctime_ns=?, inode=?, read_ms=?, modified_ms=? \
               WHERE id=?";
    let modified_ms = stamp.mtime_ns / 1_000_000;
    db.prepare_cached(sql)?.execute(params![
        stamp.size as i64,
        stamp.mtime_ns,
        stamp.ctime_ns,
        stamp.inode as i64,
        read_ms,
        modified_ms,
        id
    ])?;
    Ok(())
}

/// The words of a document are lost: the next scan takes its file for a changed one.
pub fn forget(db: &Connection, id: u32) -> Result<()> {
    let sql = "UPDATE file SET size=0, mtime_ns=0, hash=zeroblob(16) WHERE id=?";
    db.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

/// Writes a document's row (`row.id` 0 makes a new one) and returns its number.
pub fn put_file(db: &Connection, row: &FileRow) -> Result<u32> {
    let pack = |e: postcard::Error| Error::Row(e.to_string());
    let body = postcard::to_stdvec(&row.body).map_err(pack)?;
    let id = (row.id != 0).then_some(row.id);
    let sql = "INSERT INTO file(id, source, path, gen, size, mtime_ns, ctime_ns, inode, read_ms, \
        hash, kind, class, title, modified_ms, n_chunks, bytes, plain, note, chunks, body) \
        VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) \
        ON CONFLICT(id) DO UPDATE SET gen=excluded.gen, size=excluded.size, \
        mtime_ns=excluded.mtime_ns, ctime_ns=excluded.ctime_ns, inode=excluded.inode, \
        read_ms=excluded.read_ms, hash=excluded.hash, kind=excluded.kind, class=excluded.class, \
        title=excluded.title, modified_ms=excluded.modified_ms, n_chunks=excluded.n_chunks, \
        bytes=excluded.bytes, plain=excluded.plain, note=excluded.note, \
        chunks=excluded.chunks, body=excluded.body";
    db.prepare_cached(sql)?.execute(params![
        id,
        row.source,
        row.path,
        row.generation as i64,
        row.stamp.size as i64,
        row.stamp.mtime_ns,
        row.stamp.ctime_ns,
        row.stamp.inode as i64,
        row.read_ms,
        row.hash,
        row.kind,
        row.class as i64,
        row.title,
        row.modified_ms,
        row.n_chunks,
        row.bytes as i64,
        row.plain,
        row.note,
        row.chunks.bytes(),
        body
    ])?;
    Ok(id.unwrap_or_else(|| db.last_insert_rowid() as u32))
}

/// Removes a document and everything that belongs to it.
pub fn remove_file(db: &Connection, id: u32, generation: u64) -> Result<()> {
    clear_graph(db, id)?;
    vector::forget(db, id)?;
    unkeep(db, id)?;
    db.prepare_cached("DELETE FROM file WHERE id=?")?.execute([id])?;
    db.prepare_cached("INSERT OR REPLACE INTO gone(file, gen) VALUES(?, ?)")?
        .execute(params![id, generation as i64])?;
    Ok(())
}

/// Whether there is a document with this row number.
pub fn is_there(db: &Connection, id: u32) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM file WHERE id=?")?.exists([id])?)
}

/// Every document as `(row, source, path, kind, class, modified_ms)`: what filters look at.
pub fn filter_rows(db: &Connection, mut each: impl FnMut(FilterRow)) -> Result<()> {
    let sql = "SELECT id, source, path, kind, class, modified_ms FROM file";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(FilterRow {
            id: row.get(0)?,
            source: row.get(1)?,
            path: row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?,
            kind: row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?,
            class: if row.get::<_, i64>(4)? == 0 { Class::Note } else { Class::Code },
            modified_ms: row.get(5)?,
        });
    }
    Ok(())
}

/// What filters look at.
pub struct FilterRow<'a> {
    /// Row.
    pub id: u32,
    /// Source.
    pub source: i64,
    /// Relative path.
    pub path: &'a str,
    /// Exact kind.
    pub kind: &'a str,
    /// Family.
    pub class: Class,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
}

/// A document in a listing.
pub struct PathRow {
    /// Relative path.
    pub path: String,
    /// Title.
    pub title: String,
    /// Bytes of text.
    pub bytes: u64,
    /// Prose rather than code.
    pub note: bool,
}

/// Documents of a source whose path begins with `prefix`, in order, behind `after`.
pub fn paths(
    db: &Connection,
    source: i64,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<PathRow>> {
    let sql = "SELECT path, title, bytes, class FROM file WHERE source=?1 AND path>?3 AND \
               substr(path, 1, length(?2))=?2 ORDER BY path LIMIT ?4";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![source, prefix, after, limit as i64], |r| {
        Ok(PathRow {
            path: r.get(0)?,
            title: r.get(1)?,
            bytes: r.get::<_, i64>(2)? as u64,
            note: r.get::<_, i64>(3)? == 0,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Counts of a source: documents, passages, bytes of text.
pub fn counts(db: &Connection, source: i64) -> Result<(u64, u64, u64)> {
    let sql = "SELECT count(*), coalesce(sum(n_chunks),0), coalesce(sum(bytes),0) FROM file \
               WHERE source=?";
    let row = db.prepare_cached(sql)?.query_row([source], |r| {
        Ok((r.get::<_, i64>(0)? as u64, r.get::<_, i64>(1)? as u64, r.get::<_, i64>(2)? as u64))
    })?;
    Ok(row)
}

/// Keeps the text of a document that is not the bytes of a file: pushed, or made of them.
pub fn keep(db: &Connection, file: u32, text: &str) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO pushed(file, text) VALUES(?,?)")?
        .execute(params![file, text])?;
    Ok(())
}

/// Keeps it no longer.
pub fn unkeep(db: &Connection, file: u32) -> Result<()> {
    db.prepare_cached("DELETE FROM pushed WHERE file=?")?.execute([file])?;
    Ok(())
}

/// Text that was kept.
pub fn kept(db: &Connection, file: u32) -> Result<Option<String>> {
    let sql = "SELECT text FROM pushed WHERE file=?";
    Ok(db.prepare_cached(sql)?.query_row([file], |r| r.get(0)).optional()?)
}
