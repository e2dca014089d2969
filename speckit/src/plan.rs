//! plan.md: technical context, the constitution check, what is still open.

use crate::marker::{Marker, markers};
use crate::spec::{Field, fields, title};
use crate::text::{Line, Section, scan, sections, trimmed};
use std::ops::Range;

/// The constitution check of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Line numbers, half open.
    pub lines: Range<usize>,
    /// Whether the template's own words are all that stands there.
    pub filled: bool,
}

/// A parsed plan.md.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Without `Implementation Plan:`.
    pub title: String,
    /// Branch, date, spec, and what else the head says.
    pub fields: Vec<Field>,
    /// Language, storage, testing, …
    pub context: Vec<Field>,
    /// None if the plan has no such section.
    pub check: Option<Check>,
    /// What is still open, with brackets or without.
    pub markers: Vec<Marker>,
    /// Every heading.
    pub sections: Vec<Section>,
}

impl Plan {
    /// Parses a document; never fails.
    pub fn parse(text: &str) -> Self {
        let scan = scan(text);
        let lines = &scan.lines;
        let sections = sections(lines);
        let head = sections.iter().find(|s| s.level > 1).map_or(lines.len() + 1, |s| s.lines.start);
        let below = |name: &str| {
            let section = sections.iter().find(|s| s.title.eq_ignore_ascii_case(name))?;
            Some((section, &lines[section.lines.start - 1..section.lines.end - 1]))
        };
        let check = below("Constitution Check").map(|(section, body)| Check {
            lines: trimmed(lines, section.lines.clone()),
            filled: body.iter().skip(1).any(says_something),
        });
        Plan {
            title: title(&sections, "implementation plan"),
            fields: fields(&lines[..head - 1]),
            context: below("Technical Context").map_or_else(Vec::new, |(_, body)| fields(body)),
            check,
            markers: markers(lines, true),
            sections,
        }
    }
}

/// Neither blank, nor the gate's reminder, nor a placeholder in brackets.
fn says_something(line: &Line) -> bool {
    let text = line.shown.trim();
    let placeholder = text.starts_with('[') && text.ends_with(']') && !text.starts_with("[x]");
    !(line.hidden || text.is_empty() || text.starts_with("*GATE") || placeholder || line.is_rule())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn context_check_and_markers() {
        let plan = Plan::parse(
            "# Implementation Plan: Albums\n\n**Branch**: `001-a` | **Date**: 2026-01-01 | \
             **Spec**: [link]\n\n## Technical Context\n\n**Language/Version**: Rust 1.89\n\n\
             **Storage**: NEEDS CLARIFICATION\n\n## Constitution Check\n\n*GATE: Must pass*\n\n\
             [Gates determined based on constitution file]\n\n## Complexity Tracking\n",
        );
        assert_eq!(plan.title, "Albums");
        assert_eq!(plan.fields.len(), 3);
        assert_eq!(plan.context[0].value, "Rust 1.89");
        assert_eq!(plan.markers[0].line, 9);
        assert_eq!(plan.check, Some(Check { lines: 11..16, filled: false }));
        let filled = Plan::parse("## Constitution Check\n- Library first: passed\n");
        assert!(filled.check.unwrap().filled);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            Plan::parse(&text);
        }
    }
}
