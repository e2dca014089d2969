//! What is known of how sound the stores are: which files of the words were looked at, and rows
//! that belong to no document.

use crate::error::Result;
use rusqlite::{Connection, OptionalExtension};
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

/// Tables with rows of documents that are not there, and how many.
pub fn strays(db: &Connection) -> Result<Vec<(&'static str, i64)>> {
    let mut out = Vec::new();
    for table in ["name", "link", "prop", "pushed", "embedded"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE file NOT IN (SELECT id FROM file)");
        let n: i64 = db.query_row(&sql, [], |row| row.get(0))?;
        if n > 0 {
            out.push((table, n));
        }
    }
    Ok(out)
}
