//! Documents of Spec-Kit features: Markdown whose lines have ids and name the files that they are
//! about.
//!
//! A task, a requirement, a checklist's item is a block under its id (`tasks.md#^T012`), and a path
//! that is named is a link, so that a source file knows its tasks. What the ids mean is none of
//! this crate's business.

use super::outline::Fence;
use super::{Class, Input, Kind, Link, Parsed, markdown};
use crate::chunk::clip;

/// The exact name of the kind.
pub const NAME: &str = "spec";
/// The collection that these documents are found in, beside that of their source.
pub const COLLECTION: &str = "specs";

/// Documents of features, and the constitution that stands above them.
pub const KIND: Kind = Kind { recognise, class: Class::Note, parse, extract: None };

/// Longest text of a link to a file that a line names, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Longest path that is taken for one, in bytes.
const PATH_BYTES_MAX: usize = 300;

fn recognise(path: &str) -> Option<&'static str> {
    (super::has_extension(path, &["md"]) && project(path).is_some()).then_some(NAME)
}

/// The folder of the project that a feature's document, or a constitution, belongs to: empty, or
/// with a `/` behind it.
fn project(path: &str) -> Option<&str> {
    let memory = ".specify/memory/";
    if let Some(at) = path.find(memory).filter(|at| *at == 0 || path[..*at].ends_with('/')) {
        return Some(&path[..at]);
    }
    let mut from = 0;
    while let Some(at) = path[from..].find("specs/").map(|at| from + at) {
        let (before, rest) = (&path[..at], &path[at + "specs/".len()..]);
        if (before.is_empty() || before.ends_with('/')) && is_feature(rest) {
            return Some(before);
        }
        from = at + 1;
    }
    None
}

/// The folder of a feature, with a `/` behind it, of a path that begins with its project's.
fn feature(path: &str) -> &str {
    path.match_indices('/').nth(1).map_or("", |(at, _)| &path[..=at])
}

/// Whether a path is meant from the feature's folder.
fn own(path: &str) -> bool {
    path.starts_with("contracts/") || path.starts_with("checklists/")
}

/// `001-albums/…` or `20260131-120000-albums/…`
fn is_feature(rest: &str) -> bool {
    let Some((folder, _)) = rest.split_once('/') else { return false };
    let digits = folder.bytes().take_while(u8::is_ascii_digit).count();
    digits >= 3 && folder[digits..].starts_with('-')
}

fn parse(input: &Input) -> Parsed {
    let mut out = (markdown::KIND.parse)(input);
    let project = project(input.path).unwrap_or_default();
    let folder = feature(&input.path[project.len()..]);
    let mut fence: Option<Fence> = None;
    for number in 1..=input.lines.count() {
        let bytes = input.lines.bytes(number, number);
        let line = input.text[bytes.clone()].trim_end();
        let mark = line.trim_start();
        if let Some(open) = fence {
            fence = (!open.is_closed_by(mark)).then_some(open);
            continue;
        }
        fence = Fence::opened_by(mark);
        let item = item(line);
        if let Some((id, _)) = item {
            out.add_block(id, bytes.start..bytes.start + line.len());
        }
        let text = item.map_or(mark, |(_, text)| text);
        for path in paths(line) {
            let link = Link {
                // From the project's folder, wherever the document stands in it.
                target: match own(path) {
                    true => format!("/{project}{folder}{path}"),
                    false => format!("/{project}{path}"),
                },
                anchor: None,
                text: clip(text, TEXT_BYTES_MAX).to_owned(),
                wiki: false,
                embed: false,
                line: number,
            };
            if !out.add_link(link) {
                return out;
            }
        }
    }
    out
}

/// The id that a list item begins with (`- [ ] T001 …`, `- **FR-001**: …`), and what follows it.
fn item(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start().strip_prefix(['-', '*', '+'])?.trim_start();
    let boxed = ["[ ]", "[x]", "[X]"].iter().find_map(|mark| rest.strip_prefix(mark));
    let rest = boxed.unwrap_or(rest).trim_start().trim_start_matches('*');
    let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let id = &rest[..len];
    let letters = id.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = id[letters..].strip_prefix('-').unwrap_or(&id[letters..]);
    let numbered = digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    let text = rest[len..].trim_start_matches(['*', ':', ' ']);
    ((1..=3).contains(&letters) && numbered).then_some((id, text))
}

/// Paths of files that a line names: parts with `/` between them, and an ending.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+');
    line.split(move |c| !fine(c)).filter_map(|word| {
        let word = word.strip_prefix("./").unwrap_or(word).trim_end_matches(['.', '-', '+']);
        let (folder, file) = word.rsplit_once('/')?;
        let (stem, ending) = file.rsplit_once('.')?;
        let named = !folder.is_empty() && !folder.starts_with('/') && !stem.is_empty();
        let ended = (1..=8).contains(&ending.len())
            && ending.bytes().all(|b| b.is_ascii_alphanumeric())
            && ending.bytes().any(|b| b.is_ascii_alphabetic());
        // Those that lead upwards are relative links, which the Markdown has already.
        let upwards = word.split('/').any(|part| part == "..");
        let within = word.len() <= PATH_BYTES_MAX && !word.contains("//") && !upwards;
        (named && ended && within).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::LineIndex;

    fn parsed(path: &str, text: &str) -> Parsed {
        let lines = LineIndex::new(text);
        (KIND.parse)(&Input { path, text, lines: &lines })
    }

    #[test]
    fn documents_of_features_are_told_from_others() {
        for path in [
            "specs/001-albums/tasks.md",
            "apps/shop/specs/1000-x/contracts/api.md",
            "specs/20260131-120000-albums/spec.md",
            ".specify/memory/constitution.md",
            "specs/specs/007-x/plan.md",
        ] {
            assert_eq!(recognise(path), Some(NAME), "{path}");
        }
        for path in [
            "specs/README.md",
            "specs/001-albums.md",
            "myspecs/001-albums/spec.md",
            "specs/01-albums/spec.md",
            "specs/001-albums/schema.json",
            "x.specify/memory/constitution.md",
        ] {
            assert_eq!(recognise(path), None, "{path}");
        }
    }

    #[test]
    fn lines_with_ids_are_blocks_and_files_that_they_name_are_links() {
        let text = "# Tasks: Albums\n\n- [x] T001 Make src/lib.rs and `tests/a_b.rs`.\n\
                    - **FR-001**: MUST sort\n- [ ] CHK012 ok?\n\n```text\n- [ ] T999 in \
                    no/where.rs\n```\n- plain and/or 1/2.5 https://example.org/a.html\nSee \
                    contracts/api.yaml.\n";
        let found = parsed("apps/shop/specs/001-albums/tasks.md", text);
        assert_eq!(found.title, "Tasks: Albums");
        let blocks: Vec<(&str, &str)> =
            found.blocks.iter().map(|(id, b)| (id.as_str(), &text[b.clone()])).collect();
        assert_eq!(
            blocks,
            [
                ("T001", "- [x] T001 Make src/lib.rs and `tests/a_b.rs`."),
                ("FR-001", "- **FR-001**: MUST sort"),
                ("CHK012", "- [ ] CHK012 ok?"),
            ]
        );
        let links: Vec<(&str, &str)> =
            found.links.iter().map(|l| (l.target.as_str(), l.text.as_str())).collect();
        let text = "Make src/lib.rs and `tests/a_b.rs`.";
        let contract =
            ("/apps/shop/specs/001-albums/contracts/api.yaml", "See contracts/api.yaml.");
        let wanted = [("/apps/shop/src/lib.rs", text), ("/apps/shop/tests/a_b.rs", text), contract];
        assert_eq!(links, wanted);
    }

    #[test]
    fn hostile_lines_are_survived() {
        for text in ["- [ ] T", "-", "- **", "specs/", "a/.b /c.d e/f. g//h.i", "```", "- [ ] Tä1"]
        {
            let found = parsed("specs/001-x/tasks.md", text);
            assert!(found.blocks.is_empty() && found.links.is_empty(), "{text}: {found:?}");
        }
        parsed("specs/001-x/tasks.md", &"a/b.c ".repeat(50_000));
    }
}
