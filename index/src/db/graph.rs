//! Names, links and properties: the rows of the graph.

use crate::error::Result;
use crate::kind::Link;
use crate::language::Language;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// What a name of a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// File name without extension.
    Stem = 0,
    /// Title.
    Title = 1,
    /// Alias.
    Alias = 2,
    /// File name with extension.
    File = 3,
}

/// Writes names, links and properties of a document that has none.
pub fn put_graph(
    db: &Connection,
    id: u32,
    names: &[(String, NameKind)],
    links: &[(String, Link)],
    props: &[(String, String)],
) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO name(key, file, what) VALUES(?,?,?)";
    let mut insert = db.prepare_cached(sql)?;
    for (key, what) in names {
        insert.execute(params![key, id, *what as i64])?;
    }
    let sql = "INSERT INTO link(file, seq, key, target, anchor, text, wiki, embed, line) \
               VALUES(?,?,?,?,?,?,?,?,?)";
    let mut insert = db.prepare_cached(sql)?;
    for (seq, (key, link)) in links.iter().enumerate() {
        insert.execute(params![
            id,
            seq as i64,
            key,
            link.target,
            link.anchor,
            link.text,
            link.wiki,
            link.embed,
            link.line
        ])?;
    }
    let mut insert =
        db.prepare_cached("INSERT OR IGNORE INTO prop(key, value, file) VALUES(?,?,?)")?;
    for (key, value) in props {
        insert.execute(params![key, value, id])?;
    }
    Ok(())
}

/// Removes names, links and properties of a document.
pub fn clear_graph(db: &Connection, id: u32) -> Result<()> {
    for sql in [
        "DELETE FROM name WHERE file=?",
        "DELETE FROM link WHERE file=?",
        "DELETE FROM prop WHERE file=?",
    ] {
        db.prepare_cached(sql)?.execute([id])?;
    }
    Ok(())
}

/// A link with the document it stands in.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// The document that links.
    pub file: u32,
    /// As written.
    pub link: Link,
}

fn link_row(row: &Row) -> rusqlite::Result<LinkRow> {
    Ok(LinkRow {
        file: row.get(0)?,
        link: Link {
            target: row.get(1)?,
            anchor: row.get(2)?,
            text: row.get(3)?,
            wiki: row.get(4)?,
            embed: row.get(5)?,
            line: row.get(6)?,
        },
    })
}

const LINK: &str = "SELECT file, target, anchor, text, wiki, embed, line FROM link";

/// Links of a document, in order.
pub fn links_of(db: &Connection, file: u32) -> Result<Vec<LinkRow>> {
    let mut statement = db.prepare_cached(&format!("{LINK} WHERE file=? ORDER BY seq"))?;
    let rows = statement.query_map([file], link_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The same, each behind the key of its target.
pub fn links_with_keys(db: &Connection, file: u32) -> Result<Vec<(String, Link)>> {
    let sql = "SELECT file, target, anchor, text, wiki, embed, line, key FROM link \
               WHERE file=? ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([file], |row| Ok((row.get(7)?, link_row(row)?.link)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Properties of a document, its tags and language among them.
pub fn props_of(db: &Connection, file: u32) -> Result<Vec<(String, String)>> {
    let mut statement = db.prepare_cached("SELECT key, value FROM prop WHERE file=?")?;
    let rows = statement.query_map([file], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Links whose target has this key, each with the source and the path that it stands in.
pub fn links_to(db: &Connection, key: &str) -> Result<Vec<(i64, String, LinkRow)>> {
    let sql = "SELECT l.file, l.target, l.anchor, l.text, l.wiki, l.embed, l.line, \
               f.source, f.path FROM link l JOIN file f ON f.id=l.file WHERE l.key=? \
               ORDER BY l.file, l.seq";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([key], |row| Ok((row.get(7)?, row.get(8)?, link_row(row)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A document that has a name: row, source, path, what the name is.
pub type Named = (u32, i64, String, NameKind);

/// Documents with this name.
pub fn named(db: &Connection, key: &str) -> Result<Vec<Named>> {
    let sql = "SELECT f.id, f.source, f.path, n.what FROM name n JOIN file f ON f.id=n.file \
               WHERE n.key=? ORDER BY n.what, length(f.path), f.path";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([key], |row| {
        let what = match row.get::<_, i64>(3)? {
            0 => NameKind::Stem,
            1 => NameKind::Title,
            2 => NameKind::Alias,
            _ => NameKind::File,
        };
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, what))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The keys under which a document is named.
pub fn names_of(db: &Connection, file: u32) -> Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT DISTINCT key FROM name WHERE file=?")?;
    let rows = statement.query_map([file], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Documents whose property `key` is `value` (both in lower case): nested tags included, numbers
/// however they are written, and links by what they lead to or show.
pub fn with_prop(db: &Connection, key: &str, value: &str) -> Result<Vec<u32>> {
    let is_it = if key == "#" { is_below } else { is_value };
    // SQLite's `lower` knows ASCII only, and `_` of a tag is a wildcard to its `LIKE`.
    let mut statement = db.prepare_cached("SELECT file, value FROM prop WHERE key=?")?;
    let mut rows = statement.query([key])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let have = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?.to_lowercase();
        if is_it(&have, value) {
            out.push(row.get(0)?);
        }
    }
    Ok(out)
}

/// From here on numbers that differ in their last digit are one number: long ids are texts.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Whether a tag is another one or nested below it.
fn is_below(have: &str, tag: &str) -> bool {
    have.strip_prefix(tag).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the value of a property is what was asked for.
fn is_value(have: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.abs() < EXACT_MAX);
    if have == wanted || number(have).is_some_and(|have| number(wanted) == Some(have)) {
        return true;
    }
    let inner = |text: &str| text.strip_prefix("[[")?.strip_suffix("]]").map(str::to_owned);
    let Some(link) = inner(have) else { return false };
    let wanted = inner(wanted).unwrap_or_else(|| wanted.to_owned());
    let (target, shown) = link_parts(&link);
    let name = target.rsplit('/').next().unwrap_or(target);
    let (wanted, _) = link_parts(&wanted);
    [target, name, shown].contains(&wanted)
}

/// Where a link without its brackets leads, without heading and ending, and what it shows.
fn link_parts(link: &str) -> (&str, &str) {
    let (target, shown) = link.split_once('|').unwrap_or((link, link));
    // In a table the bar is written `\|`.
    let target = target.trim_end_matches('\\').split('#').next().unwrap_or(target).trim();
    (target.strip_suffix(".md").unwrap_or(target), shown.trim())
}

/// Replaces what is known of a source's history: the files of each commit, newest first.
pub fn put_changes(db: &Connection, source: i64, commits: &[Vec<String>]) -> Result<()> {
    db.execute("DELETE FROM change WHERE source=?", [source])?;
    let sql = "INSERT OR IGNORE INTO change(source, path, seq) VALUES(?,?,?)";
    let mut insert = db.prepare_cached(sql)?;
    for (seq, paths) in commits.iter().enumerate() {
        for path in paths {
            insert.execute(params![source, path, seq as i64])?;
        }
    }
    Ok(())
}

/// How many commits of the known history changed `path`.
pub fn changes_of(db: &Connection, source: i64, path: &str) -> Result<u32> {
    let sql = "SELECT count(*) FROM change WHERE source=? AND path=?";
    Ok(db.prepare_cached(sql)?.query_row(params![source, path], |r| r.get(0))?)
}

/// Documents that at least two commits changed together with `path`: row, and how many commits.
pub fn changed_together(db: &Connection, source: i64, path: &str) -> Result<Vec<(u32, u32)>> {
    let sql = "SELECT file.id, count(*) AS n FROM change AS one \
               JOIN change AS two ON two.source=one.source AND two.seq=one.seq \
               JOIN file ON file.source=two.source AND file.path=two.path \
               WHERE one.source=?1 AND one.path=?2 AND two.path<>?2 \
               GROUP BY file.id HAVING n>1 ORDER BY n DESC, file.id LIMIT 500";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![source, path], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The property under which a document's language stands, where it is not English; no front matter
/// can have a key like it.
pub const LANGUAGE: &str = "@language";

/// The property under which the language of a note stands, English too, where it can be told. Apart
/// from [`LANGUAGE`], through whose values every search goes.
pub const WRITTEN: &str = "@written";

/// How many notes are written in each language that was told, by its code.
pub fn written(db: &Connection) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT value, count(*) FROM prop WHERE key=? GROUP BY value ORDER BY value";
    let mut statement = db.prepare_cached(sql)?;
    let count = |row: &Row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64));
    let rows = statement.query_map([WRITTEN], count)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The language other than English that a document is written in, by whose rules its words have
/// stems of their own.
pub fn language_of(db: &Connection, file: u32) -> Result<Option<Language>> {
    let mut statement = db.prepare_cached("SELECT value FROM prop WHERE file=? AND key=?")?;
    let code = statement.query_row(params![file, LANGUAGE], |row| row.get::<_, String>(0));
    Ok(code.optional()?.and_then(|code| Language::by_code(&code)))
}

/// Languages, other than English, that documents are written in.
pub fn languages(db: &Connection) -> Result<Vec<Language>> {
    let sql = "SELECT value FROM prop WHERE key=? AND value>? ORDER BY value LIMIT 1";
    let mut statement = db.prepare_cached(sql)?;
    let (mut out, mut last) = (Vec::new(), String::new());
    // From one language to the next: there are few, and many documents of each.
    loop {
        let next = statement.query_row(params![LANGUAGE, last], |row| row.get::<_, String>(0));
        let Some(next) = next.optional()? else { return Ok(out) };
        out.extend(Language::by_code(&next));
        last = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_what_it_means() {
        for (have, wanted) in [
            ("open", "open"),
            ("[[akiko tanaka]]", "akiko tanaka"),
            ("[[people/akiko tanaka.md#work]]", "akiko tanaka"),
            ("[[people/akiko tanaka]]", "people/akiko tanaka"),
            ("[[people/akiko tanaka]]", "[[akiko tanaka]]"),
            ("[[feb|second month]]", "feb"),
            ("[[feb|second month]]", "[[feb]]"),
            ("[[feb|second month]]", "second month"),
            ("[[feb\\|2nd]]", "feb"),
            ("4.0", "4"),
            ("1e3", "1000"),
        ] {
            assert!(is_value(have, wanted), "{have} {wanted}");
        }
        for (have, wanted) in [
            ("open", "ope"),
            ("opened", "open"),
            ("[[people/akiko tanaka]]", "tanaka"),
            ("[[feb|second month]]", "month"),
            ("[[x]] and [[y]]", "x"),
            ("nan", "NaN"),
            ("4.0", "40"),
            ("4", "four"),
            ("inf", "infinity"),
            ("20261203142501123", "20261203142501124"),
        ] {
            assert!(!is_value(have, wanted), "{have} {wanted}");
        }
        assert!(is_below("field/sea", "field") && !is_below("fields", "field"));
    }
}
