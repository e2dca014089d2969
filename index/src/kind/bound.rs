//! What is kept of one document at most, and what its row says of the rest.
//!
//! Kinds add what they find through the doors here; nothing that is left out of a document's parts
//! is left out of its passages, so its words stay findable.
//! Invariant: whatever is left out is said.

use super::{Link, Parsed, Section};
use crate::chunk::clip;
use crate::limit::{
    ALIASES_MAX, BLOCKS_MAX, LINKS_MAX, MARKS_MAX, NAME_BYTES_MAX, PROPS_MAX, SECTIONS_MAX,
    SYMBOLS_MAX, TAGS_MAX,
};
use std::ops::Range;

/// What was over a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Time for its definitions.
    Time,
    /// Definitions around the places where code without lines was cut, and values in it.
    Around,
    /// Its structure: it is too large, or nested too deep, to be read as what it is.
    Structure,
    /// Headings.
    Headings,
    /// Definitions.
    Definitions,
    /// Block ids.
    Blocks,
    /// Links.
    Links,
    /// Properties.
    Properties,
    /// Aliases.
    Aliases,
    /// Tags.
    Tags,
    /// The ends of long titles, aliases, tags, names of properties.
    Names,
}

impl Left {
    /// What is said of it, behind "the file".
    pub(crate) fn reason(self) -> String {
        let more = |max: usize, what: &str| format!("has over {max} {what}: the rest is left out");
        match self {
            Left::Time => {
                let seconds = super::code::PARSE_MS_MAX / 1_000;
                format!("takes over {seconds} s to parse: definitions in it are left out")
            }
            Left::Around => String::from(
                "has code in lines that are too long to be parsed at once: definitions around the \
                 places where it was cut, and values in it, may be left out",
            ),
            Left::Structure => format!(
                "is nested too deep, or has over {MARKS_MAX} lines and marks: headings and links \
                 in it are left out"
            ),
            Left::Headings => more(SECTIONS_MAX, "headings"),
            Left::Definitions => more(SYMBOLS_MAX, "definitions"),
            Left::Blocks => more(BLOCKS_MAX, "block ids"),
            Left::Links => more(LINKS_MAX, "links"),
            Left::Properties => more(PROPS_MAX, "properties"),
            Left::Aliases => more(ALIASES_MAX, "aliases"),
            Left::Tags => more(TAGS_MAX, "tags"),
            Left::Names => format!("has names over {NAME_BYTES_MAX} bytes: their ends are cut"),
        }
    }
}

impl Parsed {
    /// Notes that something is left out, from byte `at` of the text on where that is known.
    pub(crate) fn leave_out(&mut self, what: Left, at: usize) {
        self.left.entry(what).or_insert(at);
    }

    /// What is left out, in words that go on behind "the file".
    pub(crate) fn left_out(&self) -> Option<String> {
        let reasons: Vec<String> = self.left.keys().map(|what| what.reason()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; it "))
    }

    /// Adds the next heading, if there is room.
    pub(super) fn add_section(&mut self, section: Section) -> bool {
        let room = self.sections.len() < SECTIONS_MAX;
        if room {
            self.sections.push(section);
        } else {
            self.leave_out(Left::Headings, section.bytes.start);
        }
        room
    }

    /// Where the last heading that is kept ends to govern: at the first one that is not, or at the
    /// text's `end`.
    pub(super) fn sections_end(&self, end: usize) -> usize {
        self.left.get(&Left::Headings).copied().unwrap_or(end)
    }

    /// Adds a block, if there is room.
    pub(super) fn add_block(&mut self, id: impl Into<String>, bytes: Range<usize>) {
        if self.blocks.len() < BLOCKS_MAX {
            self.blocks.push((id.into(), bytes));
        } else {
            self.leave_out(Left::Blocks, bytes.start);
        }
    }

    /// Adds a link, if there is room.
    pub(super) fn add_link(&mut self, link: Link) -> bool {
        let room = self.links.len() < LINKS_MAX;
        if room {
            self.links.push(link);
        } else {
            self.leave_out(Left::Links, 0);
        }
        room
    }

    /// Adds a property, if there is room.
    pub(super) fn add_prop(&mut self, key: String, value: String) {
        if self.props.len() < PROPS_MAX {
            self.props.push((key, value));
        } else {
            self.leave_out(Left::Properties, 0);
        }
    }

    /// Adds another name, if there is room.
    pub(super) fn add_alias(&mut self, alias: String) {
        if self.aliases.len() < ALIASES_MAX {
            self.aliases.push(alias);
        } else {
            self.leave_out(Left::Aliases, 0);
        }
    }

    /// Adds a tag; [`Parsed::sort_tags`] sees to it that there is room.
    pub(super) fn add_tag(&mut self, tag: impl Into<String>) {
        // A page may name one tag a million times.
        if self.tags.len() >= 2 * TAGS_MAX {
            self.sort_tags();
        }
        self.tags.push(tag.into());
    }

    /// Every tag once, in order, as many as are kept.
    pub(super) fn sort_tags(&mut self) {
        self.tags.sort();
        self.tags.dedup();
        if self.tags.len() > TAGS_MAX {
            self.tags.truncate(TAGS_MAX);
            self.leave_out(Left::Tags, 0);
        }
    }

    /// Cuts names that are too long.
    pub(crate) fn bound_names(&mut self) {
        let keys = self.props.iter_mut().map(|(key, _)| key);
        let names = self.aliases.iter_mut().chain(&mut self.tags).chain(keys);
        let mut cut = false;
        for name in std::iter::once(&mut self.title).chain(names) {
            let kept = clip(name, NAME_BYTES_MAX).len();
            cut |= kept < name.len();
            name.truncate(kept);
        }
        if cut {
            self.leave_out(Left::Names, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_once() {
        let mut parsed = Parsed::default();
        assert_eq!(parsed.left_out(), None);
        for n in 0..2 * BLOCKS_MAX {
            parsed.add_block(format!("b{n}"), n..n + 1);
        }
        assert_eq!(parsed.blocks.len(), BLOCKS_MAX);
        for n in 0..=SECTIONS_MAX {
            let section = Section { level: 1, text: String::new(), bytes: n..9, line: 1 };
            assert_eq!(parsed.add_section(section), n < SECTIONS_MAX);
        }
        assert_eq!(parsed.sections_end(99_999), SECTIONS_MAX);
        let said = parsed.left_out().unwrap();
        assert_eq!(
            said,
            "has over 20000 headings: the rest is left out; it has over 20000 block ids: the rest \
             is left out"
        );
    }

    #[test]
    fn tags_are_kept_once_and_names_are_cut_at_a_character() {
        let mut parsed = Parsed::default();
        for n in 0..5 * TAGS_MAX {
            parsed.add_tag(format!("t{:05}", n % 7));
        }
        parsed.sort_tags();
        assert_eq!((parsed.tags.len(), parsed.left.len()), (7, 0));
        (0..3 * TAGS_MAX).for_each(|n| parsed.add_tag(format!("u{n:05}")));
        parsed.sort_tags();
        assert_eq!(parsed.tags.len(), TAGS_MAX);
        assert_eq!(parsed.tags[0], "t00000");
        parsed.title = "é".repeat(NAME_BYTES_MAX);
        parsed.bound_names();
        assert_eq!(parsed.title.len(), NAME_BYTES_MAX);
        assert_eq!(parsed.left.keys().collect::<Vec<_>>(), [&Left::Tags, &Left::Names]);
        let before = parsed.clone();
        parsed.bound_names();
        assert_eq!(parsed, before);
    }
}
