//! Embedding spaces, the vectors they hold, and which documents are embedded in them.

use crate::error::Result;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;

/// Identity of what an embedding model is given: the first bytes of its hash.
pub type Key = [u8; 16];

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS space(
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, dimensions INTEGER NOT NULL,
  n_rows INTEGER NOT NULL, change INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS vector(
  space INTEGER NOT NULL, key BLOB NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY(space, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS embedded(
  space INTEGER NOT NULL, file INTEGER NOT NULL, gen INTEGER NOT NULL, rows BLOB NOT NULL,
  PRIMARY KEY(space, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS recipe(space INTEGER PRIMARY KEY, text TEXT NOT NULL);
";

/// An embedding space: everything that must be equal for two vectors to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Row.
    pub id: i64,
    /// As its embedder calls it.
    pub name: String,
    /// How its embedder is opened, as whoever opened it wrote that down.
    pub recipe: String,
    /// Values of a vector.
    pub dimensions: usize,
    /// Vectors that are committed.
    pub n_rows: u32,
    /// Raised whenever documents were embedded.
    pub change: u64,
}

const SPACE: &str = "SELECT id, name, coalesce(recipe.text, ''), dimensions, n_rows, change \
     FROM space LEFT JOIN recipe ON recipe.space=space.id";

fn space_row(row: &Row) -> rusqlite::Result<Space> {
    Ok(Space {
        id: row.get(0)?,
        name: row.get(1)?,
        recipe: row.get(2)?,
        dimensions: row.get::<_, i64>(3)? as usize,
        n_rows: row.get(4)?,
        change: row.get::<_, i64>(5)? as u64,
    })
}

/// The space of this name, if it is there.
pub fn space(db: &Connection, name: &str) -> Result<Option<Space>> {
    let sql = format!("{SPACE} WHERE name=?");
    Ok(db.prepare_cached(&sql)?.query_row([name], space_row).optional()?)
}

/// All spaces, oldest first.
pub fn spaces(db: &Connection) -> Result<Vec<Space>> {
    let mut statement = db.prepare_cached(&format!("{SPACE} ORDER BY id"))?;
    let rows = statement.query_map([], space_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What a space is to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers.
    Serving,
    /// It answered before and is kept.
    Former,
    /// It was taken back and does not answer again by itself.
    Held,
}

impl Role {
    fn key(self) -> &'static str {
        match self {
            Role::Serving => "space:serving",
            Role::Former => "space:former",
            Role::Held => "space:held",
        }
    }
}

/// The space that has a role.
pub fn with_role(db: &Connection, role: Role) -> Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE key=?")?;
    Ok(statement.query_row([role.key()], |row| row.get(0)).optional()?)
}

/// Gives a role to a space, or to none.
pub fn set_role(db: &Connection, role: Role, space: Option<i64>) -> Result<()> {
    match space {
        Some(space) if with_role(db, role)? == Some(space) => {}
        None if with_role(db, role)?.is_none() => {}
        Some(space) => {
            let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)";
            db.execute(sql, params![role.key(), space])?;
        }
        None => {
            db.execute("DELETE FROM meta WHERE key=?", [role.key()])?;
        }
    }
    Ok(())
}

/// Adds an empty space.
pub fn add_space(db: &Connection, name: &str, dimensions: usize) -> Result<()> {
    let sql = "INSERT INTO space(name, dimensions, n_rows, change) VALUES(?, ?, 0, 0)";
    db.execute(sql, params![name, dimensions as i64])?;
    Ok(())
}

/// Gives a space another name, which none has.
pub fn rename_space(db: &Connection, space: i64, name: &str) -> Result<()> {
    db.execute("UPDATE space SET name=? WHERE id=?", params![name, space])?;
    Ok(())
}

/// Notes how a space's embedder is opened.
pub fn set_recipe(db: &Connection, space: i64, recipe: &str) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO recipe(space, text) VALUES(?, ?)";
    db.execute(sql, params![space, recipe])?;
    Ok(())
}

fn probe_key(space: i64) -> String {
    format!("probe:{space}")
}

/// The vector by which the model of a space is known again, if one was kept.
pub fn probe(db: &Connection, space: i64) -> Result<Option<Vec<f32>>> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE key=?")?;
    let bytes: Option<Vec<u8>> =
        statement.query_row([probe_key(space)], |row| row.get(0)).optional()?;
    let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    Ok(bytes.map(|bytes| bytes.chunks_exact(4).map(value).collect()))
}

/// Keeps it.
pub fn set_probe(db: &Connection, space: i64, probe: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = probe.iter().flat_map(|value| value.to_le_bytes()).collect();
    let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)";
    db.execute(sql, params![probe_key(space), bytes])?;
    Ok(())
}

/// Forgets a space with all its vectors.
pub fn remove_space(db: &Connection, space: i64) -> Result<()> {
    for sql in [
        "DELETE FROM vector WHERE space=?",
        "DELETE FROM embedded WHERE space=?",
        "DELETE FROM recipe WHERE space=?",
        "DELETE FROM space WHERE id=?",
    ] {
        db.execute(sql, [space])?;
    }
    db.execute("DELETE FROM meta WHERE key=?", [probe_key(space)])?;
    Ok(())
}

/// Notes how many vectors a space holds now.
pub fn set_rows(db: &Connection, space: i64, n_rows: u32) -> Result<()> {
    db.prepare_cached("UPDATE space SET n_rows=? WHERE id=?")?.execute(params![n_rows, space])?;
    Ok(())
}

/// A number for a space, which none has and none had before.
pub fn reserve_space(db: &Connection) -> Result<i64> {
    add_space(db, "", 0)?;
    let number = db.last_insert_rowid();
    db.execute("DELETE FROM space WHERE id=?", [number])?;
    Ok(number)
}

/// Says which number each row of a space gets, if any.
pub type Moved<'a> = &'a dyn Fn(u32) -> Option<u32>;

/// Notes up to `limit` vectors of a space, those with keys behind `after`, also under another
/// number, as `moved` says. Returns the last key, or nothing at the end.
pub fn move_keys(
    db: &Connection,
    space: i64,
    number: i64,
    after: Option<Key>,
    limit: usize,
    moved: Moved,
) -> Result<Option<Key>> {
    // No key is empty.
    let after = after.map_or_else(Vec::new, |key| key.to_vec());
    let sql = "SELECT key, row FROM vector WHERE space=?1 AND key>?2 ORDER BY key LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement
        .query_map(params![space, after, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(Key, u32)> = found.collect::<rusqlite::Result<_>>()?;
    for (key, row) in &found {
        if let Some(row) = moved(*row) {
            put_vector(db, number, key, row)?;
        }
    }
    Ok(found.last().filter(|_| found.len() == limit).map(|(key, _)| *key))
}

/// The same of what is embedded of documents; one that has a row without a number is left out.
pub fn move_embedded(
    db: &Connection,
    space: i64,
    number: i64,
    after: Option<u32>,
    limit: usize,
    moved: Moved,
) -> Result<Option<u32>> {
    let after = after.map_or(-1, i64::from);
    let sql = "SELECT file, gen, rows FROM embedded WHERE space=?1 AND file>?2 \
               ORDER BY file LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map(params![space, after, limit as i64], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let found: Vec<(u32, i64, Vec<u8>)> = found.collect::<rusqlite::Result<_>>()?;
    for (file, generation, bytes) in &found {
        let rows: Option<Vec<u32>> = numbers(bytes).map(moved).collect();
        if let Some(rows) = rows {
            put_embedded(db, number, *file, *generation as u64, &rows)?;
        }
    }
    Ok(found.last().filter(|_| found.len() == limit).map(|(file, ..)| *file))
}

/// Gives a space the number under which its vectors were noted.
pub fn renumber_space(db: &Connection, space: i64, number: i64, n_rows: u32) -> Result<()> {
    let sql = "UPDATE space SET id=?, n_rows=?, change=change+1 WHERE id=?";
    db.execute(sql, params![number, n_rows, space])?;
    db.execute("UPDATE recipe SET space=? WHERE space=?", params![number, space])?;
    let keys = [probe_key(number), probe_key(space)];
    db.execute("UPDATE meta SET key=? WHERE key=?", keys)?;
    for role in [Role::Serving, Role::Former, Role::Held] {
        if with_role(db, role)? == Some(space) {
            set_role(db, role, Some(number))?;
        }
    }
    Ok(())
}

/// Forgets up to `limit` rows of a number that no space has; false when there were none.
pub fn forget_leavings(db: &Connection, limit: usize) -> Result<bool> {
    for (table, key) in [("vector", "key"), ("embedded", "file")] {
        let next = format!("SELECT min(space) FROM {table} WHERE space>?");
        let mut after = 0;
        loop {
            let found: Option<i64> =
                db.prepare_cached(&next)?.query_row([after], |row| row.get(0))?;
            let Some(space) = found else { break };
            if !db.prepare_cached("SELECT 1 FROM space WHERE id=?")?.exists([space])? {
                let sql = format!(
                    "DELETE FROM {table} WHERE space=?1 AND {key} IN \
                     (SELECT {key} FROM {table} WHERE space=?1 LIMIT ?2)"
                );
                db.prepare_cached(&sql)?.execute(params![space, limit as i64])?;
                return Ok(true);
            }
            after = space;
        }
    }
    Ok(false)
}

/// Says that more documents are embedded.
pub fn raise_change(db: &Connection, space: i64) -> Result<()> {
    db.prepare_cached("UPDATE space SET change=change+1 WHERE id=?")?.execute([space])?;
    Ok(())
}

/// The row that holds the vector of `key`.
pub fn vector(db: &Connection, space: i64, key: &Key) -> Result<Option<u32>> {
    let mut found = db.prepare_cached("SELECT row FROM vector WHERE space=? AND key=?")?;
    Ok(found.query_row(params![space, key], |row| row.get(0)).optional()?)
}

/// Notes where the vector of `key` is.
pub fn put_vector(db: &Connection, space: i64, key: &Key, row: u32) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO vector(space, key, row) VALUES(?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![space, key, row])?;
    Ok(())
}

/// Notes the vectors of a document's passages, as they stand in its row of this generation.
pub fn put_embedded(
    db: &Connection,
    space: i64,
    file: u32,
    generation: u64,
    rows: &[u32],
) -> Result<()> {
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
    let sql = "INSERT OR REPLACE INTO embedded(space, file, gen, rows) VALUES(?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![space, file, generation as i64, bytes])?;
    Ok(())
}

/// The rows that a column names.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Calls `each` for every embedded document: row, generation, the vectors of its passages.
pub fn embedded(
    db: &Connection,
    space: i64,
    mut each: impl FnMut(u32, u64, &mut dyn Iterator<Item = u32>),
) -> Result<()> {
    let mut statement = db.prepare_cached("SELECT file, gen, rows FROM embedded WHERE space=?")?;
    let mut rows = statement.query([space])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let mut vectors = numbers(bytes);
        each(row.get(0)?, row.get::<_, i64>(1)? as u64, &mut vectors);
    }
    Ok(())
}

/// Calls `each` with the generation and the vectors of one document, if it is embedded.
pub fn embedded_of(
    db: &Connection,
    space: i64,
    file: u32,
    each: impl FnOnce(u64, &mut dyn Iterator<Item = u32>),
) -> Result<()> {
    let sql = "SELECT gen, rows FROM embedded WHERE space=? AND file=?";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![space, file])?;
    if let Some(row) = rows.next()? {
        let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        each(row.get::<_, i64>(0)? as u64, &mut numbers(bytes));
    }
    Ok(())
}

const WAITING: &str = "LEFT JOIN embedded ON embedded.space=?1 AND embedded.file=file.id \
     AND embedded.gen=file.gen WHERE embedded.file IS NULL AND file.n_chunks>0 \
     AND file.source IN (SELECT value FROM json_each(?2))";

fn list(ids: &[i64]) -> String {
    format!("{ids:?}")
}

/// Documents of these sources that are not embedded as they are now, with their passages, those
/// modified last first; of later generations than `since`, which costs what came since.
pub fn waiting(
    db: &Connection,
    space: i64,
    sources: &[i64],
    since: Option<u64>,
) -> Result<Vec<(u32, u32)>> {
    let (by, later) = match since {
        // Of all indexes the one that leaves only a few rows.
        Some(_) => ("INDEXED BY file_gen", "AND file.gen>?3"),
        None => ("", "AND ?3 IS NULL"),
    };
    let sql = format!(
        "SELECT file.id, file.n_chunks FROM file {by} {WAITING} {later} \
         ORDER BY file.modified_ms DESC"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let given = params![space, list(sources), since.map(|at| at as i64)];
    let rows = statement.query_map(given, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many passages those documents have.
pub fn waiting_passages(db: &Connection, space: i64, sources: &[i64]) -> Result<u64> {
    let sql = format!("SELECT coalesce(sum(file.n_chunks), 0) FROM file {WAITING}");
    let mut statement = db.prepare_cached(&sql)?;
    let n: i64 = statement.query_row(params![space, list(sources)], |row| row.get(0))?;
    Ok(n as u64)
}

/// All documents of these sources, embedded or not: read from an index, which holds no text.
pub fn of_sources(db: &Connection, sources: &[i64]) -> Result<HashSet<u32>> {
    let sql = "SELECT id FROM file WHERE source IN (SELECT value FROM json_each(?))";
    let mut statement = db.prepare_cached(sql)?;
    let ids = statement.query_map([list(sources)], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// The source of a document and how many passages it has, if it is not embedded as it is now.
pub fn waits(
    db: &Connection,
    space: i64,
    file: u32,
    sources: &[i64],
) -> Result<Option<(i64, u32)>> {
    let sql = format!("SELECT file.source, file.n_chunks FROM file {WAITING} AND file.id=?3");
    let mut statement = db.prepare_cached(&sql)?;
    let given = params![space, list(sources), file];
    Ok(statement.query_row(given, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// The numbers of spaces are found one behind the other: to look at every row for those of one
/// document would cost what all documents cost.
const FORGET: &str = "WITH RECURSIVE number(id) AS (SELECT min(space) FROM embedded UNION ALL \
     SELECT (SELECT min(space) FROM embedded WHERE space>number.id) FROM number \
     WHERE number.id IS NOT NULL) \
     DELETE FROM embedded WHERE file=? AND space IN (SELECT id FROM number)";

/// Forgets what was embedded of a document that is gone.
pub(super) fn forget(db: &Connection, file: u32) -> Result<()> {
    db.prepare_cached(FORGET)?.execute([file])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_that_tells_a_model_goes_with_its_space() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db.execute_batch("CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID").unwrap();
        add_space(&db, "named", 2).unwrap();
        let id = space(&db, "named").unwrap().unwrap().id;
        assert_eq!(probe(&db, id).unwrap(), None);
        set_probe(&db, id, &[0.6, -0.8]).unwrap();
        let number = reserve_space(&db).unwrap();
        renumber_space(&db, id, number, 0).unwrap();
        assert_eq!(probe(&db, id).unwrap(), None);
        assert_eq!(probe(&db, number).unwrap(), Some(vec![0.6, -0.8]));
        remove_space(&db, number).unwrap();
        assert_eq!(probe(&db, number).unwrap(), None);
    }

    #[test]
    fn what_is_embedded_of_one_document_is_forgotten_without_a_look_at_the_others() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        for (space, file) in [(2, 1), (2, 5), (2, 9), (7, 5), (7, 9)] {
            put_embedded(&db, space, file, 1, &[file]).unwrap();
        }
        forget(&db, 5).unwrap();
        forget(&db, 6).unwrap();
        let mut left = Vec::new();
        for space in [2, 7] {
            embedded(&db, space, |file, _, _| left.push((space, file))).unwrap();
        }
        assert_eq!(left, [(2, 1), (2, 9), (7, 9)]);
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {FORGET}")).unwrap();
        let steps = statement.query_map([5], |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.collect::<rusqlite::Result<_>>().unwrap();
        assert!(steps.iter().all(|step| !step.contains("SCAN embedded")), "{steps:?}");
    }
}
