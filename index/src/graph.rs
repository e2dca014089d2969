//! Links between documents: which document a link means, and what links say of a document.
//!
//! Resolved when asked, as Obsidian resolves: the same folder first, then the shortest path.

use crate::db::{self, LinkRow, NameKind, Named};
use crate::error::Result;
use crate::kind::{Link, stem};
use crate::limit::LINK_TEXTS_MAX;
use crate::token::lower;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// The key under which a link's target, or a document's name, is compared.
pub fn link_key(target: &str) -> String {
    let name = target.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(target);
    let name = name.strip_suffix(".md").unwrap_or(name);
    lower(name.trim()).into_owned()
}

/// The names of a document, with their keys.
pub fn names(path: &str, title: &str, aliases: &[String], note: bool) -> Vec<(String, NameKind)> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let mut out = vec![(lower(file).into_owned(), NameKind::File)];
    if note {
        let stem = lower(stem(path)).into_owned();
        let title = lower(title.trim()).into_owned();
        let titled = title != stem;
        out.push((stem, NameKind::Stem));
        out.extend(titled.then_some((title, NameKind::Title)));
    }
    out.extend(aliases.iter().map(|alias| (lower(alias.trim()).into_owned(), NameKind::Alias)));
    out.retain(|(key, _)| !key.is_empty());
    out
}

/// The document that `link`, standing in `from` of `source`, means.
pub fn resolve(db: &Connection, source: i64, from: &str, link: &Link) -> Result<Option<u32>> {
    if link.target.is_empty() {
        // `[[#Heading]]` is a link within the document.
        return db::id_at(db, source, from);
    }
    if !link.wiki {
        return resolve_relative(db, source, from, &link.target);
    }
    let named = db::named(db, &link_key(&link.target))?;
    Ok(among(&named, source, from, &link.target))
}

/// The one of the documents `named` as a wiki link is that it means, standing in `from`.
fn among(named: &[Named], source: i64, from: &str, target: &str) -> Option<u32> {
    let wanted = lower(target.trim().trim_start_matches('/')).into_owned();
    let wanted = wanted.strip_suffix(".md").unwrap_or(&wanted).to_owned();
    let fitting = || named.iter().filter(|(_, s, path, _)| *s == source && fits(path, &wanted));
    let by_file = |what: &NameKind| matches!(what, NameKind::Stem | NameKind::File);
    let files_only = fitting().any(|(.., what)| by_file(what));
    let folder = folder(from);
    fitting()
        .filter(|(.., what)| !files_only || by_file(what))
        .min_by_key(|(_, _, path, what)| {
            let near = self::folder(path) != folder;
            (near, *what, !is_named(path, target), path.matches('/').count(), path.len(), path)
        })
        .map(|(id, ..)| *id)
}

/// Whether a file has exactly the name of a target: of `A.md` and `a.md` one is meant.
fn is_named(path: &str, target: &str) -> bool {
    let name = |path: &str| {
        let file = path.trim().rsplit('/').next().unwrap_or(path).trim().to_owned();
        file.strip_suffix(".md").map(str::to_owned).unwrap_or(file)
    };
    name(path) == name(target)
}

/// Whether a wanted `folder/name` is the end of `path`; a bare name fits any path.
fn fits(path: &str, wanted: &str) -> bool {
    if !wanted.contains('/') {
        return true;
    }
    let path = lower(path);
    let path = path.strip_suffix(".md").unwrap_or(&path);
    path == wanted || path.strip_suffix(wanted).is_some_and(|head| head.ends_with('/'))
}

fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

fn resolve_relative(db: &Connection, source: i64, from: &str, target: &str) -> Result<Option<u32>> {
    let base = if target.starts_with('/') { "" } else { folder(from) };
    let Some(path) = join(base, target.trim_start_matches('/')) else { return Ok(None) };
    for path in [path.clone(), format!("{path}.md")] {
        if let Some(id) = db::id_at(db, source, &path)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Joins a relative path to a folder; `None` if it leaves the source.
pub fn join(base: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|p| !p.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Documents by name: what many of them are called is looked up once, not once for each.
struct Names<'d> {
    db: &'d Connection,
    known: HashMap<String, Rc<[Named]>>,
}

impl<'d> Names<'d> {
    fn new(db: &'d Connection) -> Self {
        Names { db, known: HashMap::new() }
    }

    fn get(&mut self, key: &str) -> Result<Rc<[Named]>> {
        if let Some(named) = self.known.get(key) {
            return Ok(Rc::clone(named));
        }
        let named: Rc<[Named]> = db::named(self.db, key)?.into();
        self.known.insert(key.to_owned(), Rc::clone(&named));
        Ok(named)
    }
}

/// Links that mean one of `files`, by which one, each with the document that it stands in.
fn incoming_of(names: &mut Names, files: &BTreeSet<u32>) -> Result<Vec<(u32, LinkRow)>> {
    let db = names.db;
    let mut keys = BTreeSet::new();
    for file in files {
        for key in db::names_of(db, *file)? {
            keys.insert(key.strip_suffix(".md").unwrap_or(&key).to_owned());
        }
    }
    let mut out = Vec::new();
    for key in keys {
        let links = db::links_to(db, &key)?;
        if links.is_empty() {
            continue;
        }
        let named = names.get(&key)?;
        // Links of one folder that say the same mean the same.
        let mut known: HashMap<(i64, String, String), Option<u32>> = HashMap::new();
        for (source, from, row) in links {
            let to = if row.link.wiki {
                let place = (source, folder(&from).to_owned(), row.link.target.clone());
                let find = || among(&named, source, &from, &row.link.target);
                *known.entry(place).or_insert_with(find)
            } else {
                resolve_relative(db, source, &from, &row.link.target)?
            };
            if let Some(to) = to.filter(|to| *to != row.file && files.contains(to)) {
                out.push((to, row));
            }
        }
    }
    Ok(out)
}

/// Links that mean `file`, with the documents that they stand in.
pub fn incoming(db: &Connection, file: u32) -> Result<Vec<LinkRow>> {
    Ok(incoming_of(&mut Names::new(db), &BTreeSet::from([file]))?
        .into_iter()
        .map(|(_, row)| row)
        .collect())
}

/// The texts of links to each of `files`, one a line, each distinct text once.
pub fn link_texts(db: &Connection, files: &BTreeSet<u32>) -> Result<BTreeMap<u32, String>> {
    texts_of(&mut Names::new(db), files)
}

/// The same for `rewritten` and for every document named by one of `keys`: those whose incoming
/// texts may have changed.
pub fn changed_texts(
    db: &Connection,
    keys: &HashSet<String>,
    rewritten: impl IntoIterator<Item = u32>,
) -> Result<BTreeMap<u32, String>> {
    let mut names = Names::new(db);
    let mut files: BTreeSet<u32> = rewritten.into_iter().collect();
    for key in keys {
        files.extend(names.get(key)?.iter().map(|(id, ..)| *id));
        files.extend(names.get(&format!("{key}.md"))?.iter().map(|(id, ..)| *id));
    }
    texts_of(&mut names, &files)
}

fn texts_of(names: &mut Names, files: &BTreeSet<u32>) -> Result<BTreeMap<u32, String>> {
    let mut texts: BTreeMap<u32, BTreeSet<String>> =
        files.iter().map(|file| (*file, BTreeSet::new())).collect();
    for (file, row) in incoming_of(names, files)? {
        let text = row.link.text.trim().replace('\n', " ");
        if !text.is_empty() {
            texts.entry(file).or_default().insert(text);
        }
    }
    let joined = |texts: BTreeSet<String>| {
        texts.into_iter().take(LINK_TEXTS_MAX).collect::<Vec<_>>().join("\n")
    };
    Ok(texts.into_iter().map(|(file, texts)| (file, joined(texts))).collect())
}
