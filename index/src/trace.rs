//! Places in code as compilers, backtraces and editors print them (`src/a.rs:193:13`, `File "a.py",
//! line 7`): a search that names one finds the passage around it first.

use crate::anchor::line_suffixes;
use crate::db;
use crate::error::Result;
use crate::rank::{Ranking, Scored};
use crate::view::{NONE, View};
use rusqlite::Connection;
use std::borrow::Cow;

/// Places of one query that count: the first ones.
const FRAMES_MAX: usize = 8;
/// Documents that a place may mean, at most, for each of them to be taken for meant: of a hundred
/// that are called `mod.rs`, none is.
const DOCUMENTS_MAX: usize = 3;
/// What a place has before what is found behind it: above every score by words and names.
const FRAME_BONUS: f32 = 10.0;

/// What stands around a place that is none of it.
const OPENING: &[char] = &['(', '[', '{', '<', '"', '\'', '`'];
const CLOSING: &[char] = &[')', ']', '}', '>', '"', '\'', '`', ',', ';', ':', '.'];
/// What stands before a path in a backtrace of Python's, and between it and its line.
const PYTHON: (&str, &str) = ("File \"", "\", line ");

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The path as it was printed, `/` between parts.
    pub path: String,
    /// From 1.
    pub line: u32,
}

/// The same text with places of Python's as others print them: `File "a.py", line 7` is `a.py:7`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, place, behind)) = python(rest) {
        out.push_str(before);
        out.push_str(&place);
        rest = behind;
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The first place of Python's, with what stands before and behind it.
fn python(text: &str) -> Option<(&str, String, &str)> {
    let (before, rest) = text.split_once(PYTHON.0)?;
    let (path, rest) = rest.split_once(PYTHON.1)?;
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = &rest[..rest.len() - behind.len()];
    let is_place = !line.is_empty() && !path.contains('"');
    is_place.then(|| (before, format!("{path}:{line}"), behind))
}

/// The places that a text names.
pub(crate) fn frames(text: &str) -> Vec<Frame> {
    let mut out = Vec::new();
    for frame in text.split_whitespace().filter_map(frame) {
        if out.len() < FRAMES_MAX && !out.contains(&frame) {
            out.push(frame);
        }
    }
    out
}

fn frame(word: &str) -> Option<Frame> {
    let bare = word.trim_start_matches(OPENING).trim_end_matches(CLOSING);
    // Behind a line may stand a column.
    let (path, (line, _)) = line_suffixes(bare).last()?;
    let path = path.replace('\\', "/");
    let is_file = path.contains(['.', '/']) && path.contains(char::is_alphabetic);
    (is_file && line > 0).then_some(Frame { path, line })
}

/// Parts of a path from its end on; what only stands for others is none.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit('/').filter(|part| part.chars().any(|c| !matches!(c, '.' | '…')))
}

/// How many parts two paths share from their ends on; none unless one of them is all of them.
fn shared(a: &str, b: &str) -> usize {
    let same = |(a, b): &(&str, &str)| a.eq_ignore_ascii_case(b);
    let n = parts(a).zip(parts(b)).take_while(same).count();
    let is_end = n > 0 && (parts(a).nth(n).is_none() || parts(b).nth(n).is_none());
    if is_end { n } else { 0 }
}

/// Puts the passages around places first, in the order of the places.
pub(crate) fn lead(
    db: &Connection,
    view: &View,
    frames: &[Frame],
    allowed: Option<&[bool]>,
    ranking: &mut Ranking,
) -> Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    let meant = meant(db, view, frames, allowed)?;
    let mut n_first = 0;
    for (before, (entry, line)) in meant.iter().rev().enumerate().rev() {
        if ranking.hits[..n_first].iter().any(|hit| hit.entry == *entry) {
            continue;
        }
        let known = ranking.hits.iter().position(|hit| hit.entry == *entry);
        let (hit, mut others) = match known {
            Some(at) => (ranking.hits.remove(at), ranking.others.remove(at)),
            None => (Scored::unscored(*entry), Vec::new()),
        };
        let slot = slot(db, view, *entry, *line)?;
        others.retain(|other| other.slot != slot);
        let score = hit.score + FRAME_BONUS * (before + 1) as f32;
        ranking.hits.insert(n_first, Scored { slot, score, line: Some(*line), ..hit });
        ranking.others.insert(n_first, others);
        n_first += 1;
    }
    ranking.total = ranking.total.max(ranking.hits.len());
    ranking.matched = ranking.matched.max(n_first);
    Ok(())
}

/// The documents that places mean, as entries, each with its line.
fn meant(
    db: &Connection,
    view: &View,
    frames: &[Frame],
    allowed: Option<&[bool]>,
) -> Result<Vec<(u32, u32)>> {
    // By place: how many parts of its path the best documents share, and these.
    let mut best: Vec<(usize, Vec<(String, u32)>)> = vec![(1, Vec::new()); frames.len()];
    db::filter_rows(db, |row| {
        for (frame, (most, entries)) in frames.iter().zip(&mut best) {
            let n = shared(row.path, &frame.path);
            let entry = view.entry(row.id).filter(|_| n >= *most);
            let entry = entry.filter(|e| allowed.is_none_or(|allowed| allowed[*e as usize]));
            let Some(entry) = entry else { continue };
            if n > *most {
                (*most, *entries) = (n, Vec::new());
            }
            entries.push((row.path.to_owned(), entry));
        }
    })?;
    let mut out = Vec::new();
    for (frame, (_, mut found)) in frames.iter().zip(best) {
        if found.len() <= DOCUMENTS_MAX {
            found.sort();
            out.extend(found.into_iter().map(|(_, entry)| (entry, frame.line)));
        }
    }
    Ok(out)
}

/// The passage of a document that a line is in; of one that is shorter now, the last.
fn slot(db: &Connection, view: &View, entry: u32, line: u32) -> Result<u32> {
    let Some(row) = db::file_of_hit(db, view.entries[entry as usize].file)? else {
        return Ok(NONE);
    };
    let (layout, at) = (view.layout(), entry as usize);
    let slots = &layout.slots[layout.starts()[at] as usize..layout.starts()[at + 1] as usize];
    let number = row.chunks.iter().position(|chunk| line <= chunk.last);
    let found = number.map_or(slots.last(), |number| slots.get(number));
    Ok(found.copied().unwrap_or(NONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let found = frames(&plain(text)).into_iter();
        found.map(|frame| format!("{} {}", frame.path, frame.line)).collect()
    }

    #[test]
    fn places_are_understood_as_they_are_printed() {
        for (text, wanted) in [
            ("harness.rs:193", "harness.rs 193"),
            ("src/task/harness.rs:193:13", "src/task/harness.rs 193"),
            ("--> src/de.rs:1187:9", "src/de.rs 1187"),
            ("at parse (/x/lib/command.js:1760:15)", "/x/lib/command.js 1760"),
            ("panicked at src/main.rs:4:5:", "src/main.rs 4"),
            ("C:\\code\\a.rs:12", "C:/code/a.rs 12"),
            ("File \"/usr/lib/routing.py\", line 648, in url", "/usr/lib/routing.py 648"),
            ("notes/tide.md:3-9", "notes/tide.md 3"),
        ] {
            assert_eq!(places(text), [wanted], "{text}");
        }
        for text in ["12:45", "10.0.0.17:80", "localhost:80", "a.rs:0", "a.rs:", "File \"a.py\" x"]
        {
            assert!(places(text).is_empty(), "{text}");
        }
        let two = "File \"a.py\", line 1, in f\n  File \"b c.py\", line 2\nx.rs:3 x.rs:3";
        assert_eq!(places(two), ["a.py 1", "c.py 2", "x.rs 3"]);
        let many: String = (1..50).map(|n| format!("a.rs:{n} ")).collect();
        assert_eq!(places(&many).len(), FRAMES_MAX);
        assert_eq!(plain("File \"a.py\" says"), "File \"a.py\" says");
    }

    #[test]
    fn a_place_means_what_its_path_ends_as() {
        for (path, printed, n) in [
            ("src/task/harness.rs", "harness.rs", 1),
            ("src/task/harness.rs", "task/Harness.rs", 2),
            ("src/task/harness.rs", "/x/tokio-1.5/src/task/harness.rs", 3),
            ("routing.py", "…/starlette/routing.py", 1),
            ("src/a.rs", ".../a.rs", 1),
            ("src/ops/function.rs", "library/core/function.rs", 0),
            ("src/a.rs", "b.rs", 0),
            ("src/a.rs", "/", 0),
        ] {
            assert_eq!(shared(path, printed), n, "{path} {printed}");
        }
    }
}
