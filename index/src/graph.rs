//! Links between documents: which document a link means, and what links say of a document.
//!
//! Resolved when asked, as Obsidian resolves: the same folder first, then the shortest path. Links
//! of Markdown lead on from their note's folder; in a vault, where Obsidian writes them in two more
//! ways, they may also be a path from the vault's root, or a file's name.

use crate::db::{self, LinkRow, NameKind, Named, SourceKind};
use crate::error::Result;
use crate::kind::{Link, stem};
use crate::limit::LINK_TEXTS_MAX;
use crate::token::lower;
use rusqlite::Connection;
use std::cell::OnceCell;
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
    Ok(among(&*names.get(&link_key(target))?, source, from, link))
}

/// Whether a target says that it leads on from the folder of its note.
fn is_relative(target: &str) -> bool {
    target.starts_with("./") || target.starts_with("../")
}

/// The one of the documents `named` as a link is that it means, standing in `from`. What names a
/// file, as links of Markdown do, means no title and no alias.
fn among(named: &Namesakes, source: i64, from: &str, link: &Link) -> Option<u32> {
    let (target, folder) = (link.target.trim(), folder(from));
    let whole = is_relative(target);
    let path = match whole {
        true => join(folder, target)?,
        false => target.trim_start_matches('/').to_owned(),
    };
    let wanted = lower(&path);
    let fitting = named.fitting(source, wanted.strip_suffix(".md").unwrap_or(&wanted), whole);
    let by_file = |what: &NameKind| matches!(what, NameKind::Stem | NameKind::File);
    let files_only = !link.wiki || fitting.iter().any(|(.., what)| by_file(what));
    fitting
        .into_iter()
        .filter(|(.., what)| !files_only || by_file(what))
        .min_by_key(|(_, _, path, what)| {
            let near = self::folder(path) != folder;
            (near, *what, !is_named(path, target), path.matches('/').count(), path.len(), path)
        })
        .map(|(id, ..)| *id)
}

/// Whether a file has exactly the name of a target: of `A.md` and `a.md` one is meant.
fn is_named(path: &str, target: &str) -> bool {
    fn name(path: &str) -> &str {
        let file = path.trim().rsplit('/').next().unwrap_or(path).trim();
        file.strip_suffix(".md").unwrap_or(file)
    }
    name(path) == name(target)
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

/// The documents of one name.
struct Namesakes {
    all: Vec<Named>,
    /// Source, path from its end on as [`reversed`], place in `all`; sorted, made when first asked.
    by_end: OnceCell<Vec<(i64, String, usize)>>,
}

impl Namesakes {
    fn new(all: Vec<Named>) -> Self {
        Namesakes { all, by_end: OnceCell::new() }
    }

    /// Those of a source whose path has a wanted `folder/name` at its end, or is `whole` what is
    /// wanted; a bare name fits any path. Looked up, as many notes may have links that fit none.
    fn fitting(&self, source: i64, wanted: &str, whole: bool) -> Vec<&Named> {
        if !whole && !wanted.contains('/') {
            return self.all.iter().filter(|(_, s, ..)| *s == source).collect();
        }
        let by_end = self.by_end.get_or_init(|| {
            let entry = |(at, (_, source, path, _)): (usize, &Named)| {
                let path = lower(path);
                (*source, reversed(path.strip_suffix(".md").unwrap_or(&path)), at)
            };
            let mut entries: Vec<_> = self.all.iter().enumerate().map(entry).collect();
            entries.sort_unstable();
            entries
        });
        let wanted = reversed(wanted);
        let first = by_end.partition_point(|(s, end, _)| (*s, end) < (source, &wanted));
        let fits = |end: &str| if whole { end == wanted } else { end.starts_with(&wanted) };
        let fitting = by_end[first..].iter().take_while(|(s, end, _)| *s == source && fits(end));
        fitting.map(|(.., at)| &self.all[*at]).collect()
    }
}

/// The parts of a path, last one first, each with `/` behind it: those of one end begin alike.
fn reversed(path: &str) -> String {
    path.rsplit('/').flat_map(|part| [part, "/"]).collect()
}

/// Documents by name: what many of them are called is looked up once, not once for each.
struct Names<'d> {
    db: &'d Connection,
    known: HashMap<String, Rc<Namesakes>>,
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

    fn get(&mut self, key: &str) -> Result<Rc<Namesakes>> {
        if let Some(named) = self.known.get(key) {
            return Ok(Rc::clone(named));
        }
        let named = Rc::new(Namesakes::new(db::named(self.db, key)?));
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
        files.extend(names.get(key)?.all.iter().map(|(id, ..)| *id));
        files.extend(names.get(&format!("{key}.md"))?.all.iter().map(|(id, ..)| *id));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a wanted path is the end of `path`, or the whole of it, letter by letter.
    fn fits(path: &str, wanted: &str, whole: bool) -> bool {
        let path = lower(path);
        let path = path.strip_suffix(".md").unwrap_or(&path);
        let bare = !whole && !wanted.contains('/');
        let ends = || path.strip_suffix(wanted).is_some_and(|head| head.ends_with('/'));
        bare || path == wanted || (!whole && ends())
    }

    #[test]
    fn what_is_looked_up_is_what_one_look_at_each_finds() {
        let paths = [
            "readme.md",
            "README.md",
            "old/README.md",
            "a/old/ReadMe.md",
            "a/bold/readme.md",
            "a/old!/readme.md",
            "old/a/readme.md",
            "Ä/Old/readme.md",
            "b\u{ff0f}old/readme.md",
            "old/readme",
            "old/readme.pdf",
            "readme.md/readme.md",
        ];
        let named = |source: i64, first: u32| {
            (first..)
                .zip(paths)
                .map(move |(id, path)| (id, source, path.to_owned(), NameKind::Stem))
        };
        let all: Vec<Named> = named(1, 0).chain(named(2, 100)).collect();
        let namesakes = Namesakes::new(all.clone());
        let mut n_found = 0;
        for wanted in [
            "readme",
            "old/readme",
            "a/old/readme",
            "ä/old/readme",
            "b/old/readme",
            "ld/readme",
            "none/readme",
            "old//readme",
            "old/readme/",
            "/readme",
            "/",
            "",
        ] {
            for (source, whole) in [(1, false), (1, true), (2, false), (2, true), (3, false)] {
                let mut found: Vec<u32> =
                    namesakes.fitting(source, wanted, whole).iter().map(|(id, ..)| *id).collect();
                found.sort_unstable();
                let is_meant = |(_, s, path, _): &&Named| *s == source && fits(path, wanted, whole);
                let expected: Vec<u32> = all.iter().filter(is_meant).map(|(id, ..)| *id).collect();
                assert_eq!(found, expected, "{wanted} {source} {whole}");
                n_found += found.len();
            }
        }
        assert!(n_found > 40);
    }
}
