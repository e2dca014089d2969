//! What is known of how sound the stores are: which files of the words were looked at, rows that
//! belong to no document, and documents one batch after the other.

use crate::error::Result;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashSet;

/// The files that were found sound, each as it was then.
pub fn sound(db: &Connection) -> Result<HashSet<String>> {
    let sql = "SELECT value FROM meta WHERE key='words:sound'";
    let text: Option<String> = db.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(text.unwrap_or_default().lines().map(str::to_owned).collect())
}

/// Notes them.
pub fn set_sound(db: &Connection, files: &HashSet<String>) -> Result<()> {
    let text = files.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('words:sound', ?)", [text])?;
    Ok(())
}

/// Tables whose rows are each of a document.
const OWNED: [&str; 5] = ["name", "link", "prop", "pushed", "embedded"];

/// Tables with rows of documents that are not there, and how many.
pub fn strays(db: &Connection) -> Result<Vec<(&'static str, i64)>> {
    let mut out = Vec::new();
    for table in OWNED {
        let sql = format!("SELECT count(*) FROM {table} WHERE file NOT IN (SELECT id FROM file)");
        let n: i64 = db.query_row(&sql, [], |row| row.get(0))?;
        if n > 0 {
            out.push((table, n));
        }
    }
    Ok(out)
}

/// Removes them.
pub fn forget_strays(db: &Connection) -> Result<()> {
    for table in OWNED {
        let sql = format!("DELETE FROM {table} WHERE file NOT IN (SELECT id FROM file)");
        db.execute(&sql, [])?;
    }
    Ok(())
}

/// Rows of the documents behind one, by row number, a number of them at most.
pub fn files_behind(db: &Connection, id: u32, limit: usize) -> Result<Vec<u32>> {
    let sql = "SELECT id FROM file WHERE id>? ORDER BY id LIMIT ?";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![id, limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many documents there are behind one.
pub fn n_behind(db: &Connection, id: u32) -> Result<usize> {
    let sql = "SELECT count(*) FROM file WHERE id>?";
    let n: i64 = db.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    Ok(n as usize)
}
