//! What a name is made of: a link's brackets, lines behind a colon, and what stands behind a `#`,
//! which is lines, a block, a heading or a definition. Pure.
//!
//! Invariant: what a name means is not guessed: the most literal meaning counts, and where several
//! are as near as each other, they are named instead.

use crate::db::FileRow;
use crate::error::{Error, Result};
use crate::kind::{Section, Symbol};
use crate::read::{Part, nearest};
use crate::token::{lower, name_key};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;

/// Headings or definitions that a name may mean, as they are listed.
const LISTED_MAX: usize = 20;

/// How near a name is to what it may mean, the most literal first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Likeness {
    /// Spelled the same.
    Same,
    /// The same but for case and Unicode form.
    Case,
    /// The same letters and digits.
    Letters,
}

/// A name by which something is looked for.
pub(crate) struct Name<'a> {
    text: &'a str,
    lowered: Cow<'a, str>,
    key: String,
}

impl<'a> Name<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let text = text.trim();
        Name { text, lowered: lower(text), key: name_key(text) }
    }

    /// How near it is to what is called `have`; `None` if that is something else.
    pub(crate) fn likeness(&self, have: &str) -> Option<Likeness> {
        let have = have.trim();
        if self.text.is_empty() {
            return None;
        }
        if have == self.text {
            return Some(Likeness::Same);
        }
        if lower(have) == self.lowered {
            return Some(Likeness::Case);
        }
        // Of signs alone no letters are left, and no two such names are one.
        let same = !self.key.is_empty() && name_key(have) == self.key;
        same.then_some(Likeness::Letters)
    }

    /// Those to which it is nearest, in their order, if it is near enough.
    fn meant<'r, T>(
        &self,
        all: Vec<&'r T>,
        least: Likeness,
        text: impl Fn(&T) -> &str,
    ) -> Vec<&'r T> {
        let near = all.into_iter().filter_map(|one| Some((self.likeness(text(one))?, one)));
        let near: Vec<(Likeness, &T)> = near.filter(|(like, _)| *like <= least).collect();
        let best = near.iter().map(|(like, _)| *like).min();
        near.into_iter().filter(|(like, _)| Some(*like) == best).map(|(_, one)| one).collect()
    }
}

/// What `#…` behind a document means; `place` is a name that reads the document.
pub(crate) fn anchored(row: &FileRow, place: &str, anchor: Option<&str>) -> Result<Part> {
    let Some(anchor) = anchor.map(str::trim).filter(|a| !a.is_empty()) else {
        return Ok(Part::Whole);
    };
    if let Some(lines) = line_anchor(anchor) {
        return Ok(Part::Lines(lines.0, lines.1));
    }
    if let Some(id) = anchor.strip_prefix('^') {
        let block = row.body.blocks.iter().find(|(known, _)| known == id);
        return match block {
            Some((_, bytes)) => Ok(Part::Bytes(bytes.clone(), format!("^{id}"))),
            None => Err(no_anchor(row, anchor)),
        };
    }
    if let Some(part) = section(row, place, anchor)? {
        return Ok(part);
    }
    definition(row, place, anchor)?.ok_or_else(|| no_anchor(row, anchor))
}

/// The section whose heading a name means, if there is one.
pub(crate) fn section(row: &FileRow, place: &str, name: &str) -> Result<Option<Part>> {
    let (sections, all) = (&row.body.sections, 0..usize::MAX);
    // A heading may hold a `#` itself.
    let mut found = heading(sections, place, name, &all, Likeness::Case)?;
    if found.is_none() {
        found = nested(sections, place, name.split('#'))?;
    }
    if found.is_none() {
        found = heading(sections, place, name, &all, Likeness::Letters)?;
    }
    Ok(found.map(|section| Part::Bytes(section.bytes.clone(), section.text.clone())))
}

/// `Heading#Sub` means the last one below the first. A heading is not below itself: however many
/// names there are, it ends where the headings do.
fn nested<'r, 'n>(
    sections: &'r [Section],
    place: &str,
    names: impl Iterator<Item = &'n str>,
) -> Result<Option<&'r Section>> {
    let (mut within, mut found, mut place) = (0..usize::MAX, None, place.to_owned());
    for name in names {
        let Some(section) = heading(sections, &place, name, &within, Likeness::Letters)? else {
            return Ok(None);
        };
        within = section.bytes.start + 1..section.bytes.end;
        place = format!("{place}#{name}");
        found = Some(section);
    }
    Ok(found)
}

/// The heading inside some bytes that a name means; of several that are spelled alike the first,
/// which is what a link in Obsidian leads to.
fn heading<'r>(
    sections: &'r [Section],
    place: &str,
    name: &str,
    within: &Range<usize>,
    least: Likeness,
) -> Result<Option<&'r Section>> {
    let inside = sections.iter().filter(|s| within.contains(&s.bytes.start));
    let inside: Vec<&Section> = inside.collect();
    let found = Name::new(name).meant(inside, least, |section| section.text.as_str());
    let mut seen = HashSet::new();
    let texts = found.iter().map(|section| section.text.as_str());
    let texts: Vec<&str> = texts.filter(|text| seen.insert(*text)).collect();
    if texts.len() > 1 {
        let candidates = texts.iter().take(LISTED_MAX);
        return Err(Error::Ambiguous {
            what: format!("`#{name}` may mean {} headings of `{place}`", texts.len()),
            candidates: candidates.map(|text| format!("{place}#{text}")).collect(),
        });
    }
    Ok(found.first().copied())
}

/// The definition that a name means, if there is one.
fn definition(row: &FileRow, place: &str, name: &str) -> Result<Option<Part>> {
    let all: Vec<&Symbol> = row.body.symbols.iter().collect();
    let mut found = Name::new(name).meant(all, Likeness::Letters, |symbol| symbol.name.as_str());
    // What is implemented for a type is not the type.
    if found.iter().any(|symbol| symbol.kind != "impl") {
        found.retain(|symbol| symbol.kind != "impl");
    }
    // Nor is what stands inside another one that one, as a constructor in its class.
    found.sort_by_key(|symbol| (symbol.bytes.start, Reverse(symbol.bytes.end)));
    let mut end = 0;
    found.retain(|symbol| {
        let inside = symbol.bytes.end <= end;
        end = end.max(symbol.bytes.end);
        !inside
    });
    if found.len() > 1 {
        let candidates = found.iter().take(LISTED_MAX).map(|symbol| {
            let (first, last) = symbol.lines;
            format!("{place}#L{first}-L{last}  {}", symbol.signature)
        });
        return Err(Error::Ambiguous {
            what: format!("`{name}` is defined {} times in `{place}`", found.len()),
            candidates: candidates.collect(),
        });
    }
    let part = |symbol: &&Symbol| Part::Bytes(symbol.bytes.clone(), symbol.name.clone());
    Ok(found.first().map(part))
}

pub(crate) fn no_anchor(row: &FileRow, anchor: &str) -> Error {
    let names = row.body.sections.iter().map(|s| s.text.clone());
    let names = names.chain(row.body.symbols.iter().map(|s| s.name.clone()));
    let names = names.chain(row.body.blocks.iter().map(|(id, _)| format!("^{id}")));
    Error::Missing {
        what: format!("`{}` has no `#{anchor}`", row.path),
        nearest: nearest(anchor, names),
    }
}

/// What a link as it stands in a note leads to: `[[Name|shown]]`, `![[Name]]`, and in a table
/// `[[Name\|shown]]`. Other names stay as they are.
pub(crate) fn unlinked(name: &str) -> &str {
    let name = name.trim();
    let bare = name.strip_prefix('!').unwrap_or(name);
    let inside = bare.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
    match inside.map(|inside| inside.split_once('|').map_or((inside, false), |(to, _)| (to, true)))
    {
        Some((to, true)) => to.strip_suffix('\\').unwrap_or(to).trim(),
        Some((to, false)) => to.trim(),
        None => name,
    }
}

/// `L10-L40`, `L10`
fn line_anchor(anchor: &str) -> Option<(u32, u32)> {
    let (first, last) = anchor.split_once('-').unwrap_or((anchor, anchor));
    let first = first.strip_prefix('L')?.parse().ok()?;
    let last = last.strip_prefix('L').unwrap_or(last).parse().ok()?;
    Some((first, last))
}

/// `notes/a.md:10-40`, `notes/a.md:10`
fn line_suffix(name: &str) -> Option<(&str, (u32, u32))> {
    let (document, lines) = name.rsplit_once(':')?;
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    Some((document, (first.parse().ok()?, last.parse().ok()?)))
}

/// The same, and without what may be a column behind the line: `src/a.rs:193:13`.
pub(crate) fn line_suffixes(name: &str) -> impl Iterator<Item = (&str, (u32, u32))> {
    std::iter::successors(line_suffix(name), |&(document, _)| line_suffix(document)).take(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_and_suffixes_parse() {
        assert_eq!(line_anchor("L10-L40"), Some((10, 40)));
        assert_eq!(line_anchor("L7"), Some((7, 7)));
        assert_eq!(line_anchor("Low tide"), None);
        assert_eq!(line_suffix("a/b.md:3-9"), Some(("a/b.md", (3, 9))));
        assert_eq!(line_suffix("Q: what"), None);
        let all = |name: &'static str| line_suffixes(name).collect::<Vec<_>>();
        assert_eq!(all("a.rs:193:13"), [("a.rs:193", (13, 13)), ("a.rs", (193, 193))]);
        assert_eq!(all("a.md:7"), [("a.md", (7, 7))]);
        assert!(all("Q: what").is_empty());
    }

    #[test]
    fn links_are_taken_as_they_stand_in_notes() {
        for (name, wanted) in [
            ("[[Target]]", "Target"),
            ("[[Target|alias]]", "Target"),
            ("[[Target\\|alias]]", "Target"),
            (" ![[Target#C++ | cpp]] ", "Target#C++"),
            ("[[a\\b]]", "a\\b"),
            ("a|b", "a|b"),
            ("!important", "!important"),
            ("[[open", "[[open"),
        ] {
            assert_eq!(unlinked(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_name_is_nearest_to_what_is_spelled_as_it_is() {
        for (name, have, wanted) in [
            ("C++", "C++", Some(Likeness::Same)),
            ("c++", "C++", Some(Likeness::Case)),
            ("C++", "C", Some(Likeness::Letters)),
            ("low-tide", "Low tide", Some(Likeness::Letters)),
            ("???", "???", Some(Likeness::Same)),
            ("!!!", "???", None),
            ("", "", None),
            ("C", "D", None),
        ] {
            assert_eq!(Name::new(name).likeness(have), wanted, "{name} {have}");
        }
        let all = ["C", "C#", "C++", "c++"];
        let meant = |name: &str| -> Vec<String> {
            let found = Name::new(name).meant(all.iter().collect(), Likeness::Letters, |s| *s);
            found.into_iter().map(|s| (*s).to_owned()).collect()
        };
        assert_eq!(meant("C"), ["C"]);
        assert_eq!(meant("c++"), ["c++"]);
        assert_eq!(meant("C-"), all);
        assert!(meant("D").is_empty());
        let looked = std::cell::Cell::new(0);
        let found = Name::new("C").meant(all.iter().collect(), Likeness::Letters, |s| {
            looked.set(looked.get() + 1);
            *s
        });
        assert_eq!((found.len(), looked.get()), (1, all.len()), "each is compared once");
    }

    #[test]
    fn names_of_headings_end_where_the_headings_do() {
        let section = |level: u8, bytes: Range<usize>| {
            let line = bytes.start as u32 + 1;
            Section { level, text: "a".to_owned(), bytes, line }
        };
        let mut sections = vec![section(1, 0..90_000)];
        sections.extend((1..9_000).map(|n| section(2, n * 10..n * 10 + 10)));
        let mut steps = 0;
        let names = std::iter::repeat_n("a", 2_000).inspect(|_| steps += 1);
        assert!(nested(&sections, "x.md", names).is_ok_and(|found| found.is_none()));
        assert_eq!(steps, 3);
        let found = nested(&sections, "x.md", "a#a".split('#')).unwrap().unwrap();
        assert_eq!(found.bytes, 10..20);
    }
}
