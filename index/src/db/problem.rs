//! What could not be read, by source and path.

use crate::error::Result;
use rusqlite::{Connection, params};

/// Errors of a source, at most `limit`, and how many there are.
pub fn problems(
    db: &Connection,
    source: i64,
    limit: usize,
) -> Result<(Vec<(String, String)>, u64)> {
    let mut statement =
        db.prepare_cached("SELECT path, reason FROM problem WHERE source=? ORDER BY path LIMIT ?")?;
    let rows =
        statement.query_map(params![source, limit as i64], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let listed = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let sql = "SELECT count(*) FROM problem WHERE source=?";
    let n: i64 = db.prepare_cached(sql)?.query_row([source], |r| r.get(0))?;
    Ok((listed, n as u64))
}

/// Notes an error of a file.
pub fn put_problem(db: &Connection, source: i64, path: &str, reason: &str) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO problem(source, path, reason) VALUES(?,?,?)")?
        .execute(params![source, path, reason])?;
    Ok(())
}

/// A file is well again.
pub fn clear_problem(db: &Connection, source: i64, path: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM problem WHERE source=? AND path=?")?
        .execute(params![source, path])?;
    Ok(())
}

/// Forgets the errors of a source, but for those that stand in the rows of its documents.
pub fn clear_problems(db: &Connection, source: i64) -> Result<()> {
    let sql = "DELETE FROM problem WHERE source=?1 AND path NOT IN \
               (SELECT path FROM file WHERE source=?1 AND note IS NOT NULL)";
    db.execute(sql, [source])?;
    Ok(())
}

/// Forgets the errors of `path` and of what lies below it, but for those that stand in the rows of
/// documents.
pub fn clear_problems_at(db: &Connection, source: i64, path: &str) -> Result<()> {
    // `0` follows `/`: the range holds what begins with `path/`.
    let sql = "DELETE FROM problem WHERE source=?1 \
               AND (path=?2 OR (path>?2||'/' AND path<?2||'0')) AND NOT EXISTS \
               (SELECT 1 FROM file WHERE file.source=problem.source AND file.path=problem.path \
                AND file.note IS NOT NULL)";
    db.prepare_cached(sql)?.execute(params![source, path])?;
    Ok(())
}
