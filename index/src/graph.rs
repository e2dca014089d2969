//! Links between documents: which document a link means, and what links say of a document.
//!
//! Resolved when asked, as Obsidian resolves: the same folder first, then the shortest path. Links
//! of Markdown lead on from their note's folder; in a vault, where Obsidian writes them in two more
//! ways, they may also be a path from the vault's root, or a name.

use crate::db::{self, LinkRow, NameKind, Named, SourceKind};
use crate::error::Result;
use crate::kind::{Link, stem};
use crate::limit::LINK_TEXTS_MAX;
use crate::token::lower;
use rusqlite::Connection;
use std::collections::hash_map::Entry;
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
    meant(&mut Names::new(db), source, from, link)
}

/// The same for a link that has a target.
fn meant(names: &mut Names, source: i64, from: &str, link: &Link) -> Result<Option<u32>> {
    let (db, target) = (names.db, link.target.as_str());
    if !link.wiki {
        let found = at_path(db, source, folder(from), target)?;
        let exact = is_relative(target) || target.starts_with('/');
        if found.is_some() || exact || !names.is_vault(source)? {
            return Ok(found);
        }
        if let Some(id) = at_path(db, source, "", target)? {
            return Ok(Some(id));
        }
    }
    Ok(among(&names.get(&link_key(target))?, source, from, target))
}

/// Whether a target says that it leads on from the folder of its note.
fn is_relative(target: &str) -> bool {
    target.starts_with("./") || target.starts_with("../")
}

/// The one of the documents `named` as a link is that it means, standing in `from`.
fn among(named: &[Named], source: i64, from: &str, target: &str) -> Option<u32> {
    let (target, folder) = (target.trim(), folder(from));
    let whole = is_relative(target);
    let path = match whole {
        true => join(folder, target)?,
        false => target.trim_start_matches('/').to_owned(),
    };
    let wanted = lower(&path).into_owned();
    let wanted = wanted.strip_suffix(".md").unwrap_or(&wanted).to_owned();
    let fits = |path: &str| if whole { is_path(path, &wanted) } else { fits(path, &wanted) };
    let fitting = || named.iter().filter(|(_, s, path, _)| *s == source && fits(path));
    let by_file = |what: &NameKind| matches!(what, NameKind::Stem | NameKind::File);
    let files_only = fitting().any(|(.., what)| by_file(what));
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

/// Whether a wanted path is the whole of `path`.
fn is_path(path: &str, wanted: &str) -> bool {
    let path = lower(path);
    path.strip_suffix(".md").unwrap_or(&path) == wanted
}

fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

/// The document at a path that leads on from the folder `base`, as a link writes it.
fn at_path(db: &Connection, source: i64, base: &str, target: &str) -> Result<Option<u32>> {
    let base = if target.starts_with('/') { "" } else { base };
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
    /// Sources that are vaults, once it was asked.
    vaults: Option<HashSet<i64>>,
}

impl<'d> Names<'d> {
    fn new(db: &'d Connection) -> Self {
        Names { db, known: HashMap::new(), vaults: None }
    }

    fn is_vault(&mut self, source: i64) -> Result<bool> {
        let vaults = match self.vaults.take() {
            Some(vaults) => vaults,
            None => {
                let sources = db::sources(self.db)?.into_iter();
                sources.filter(|s| s.kind == SourceKind::Vault).map(|s| s.id).collect()
            }
        };
        Ok(self.vaults.insert(vaults).contains(&source))
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
        // Links of one folder that say the same mean the same.
        let mut known: HashMap<(i64, bool, String, String), Option<u32>> = HashMap::new();
        for (source, from, row) in links {
            let (folder, target) = (folder(&from).to_owned(), row.link.target.clone());
            let to = match known.entry((source, row.link.wiki, folder, target)) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => *entry.insert(meant(names, source, &from, &row.link)?),
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
