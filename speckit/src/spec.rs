//! spec.md: stories, requirements, edge cases, clarifications, what is still open.
//!
//! Reads what it knows and ignores the rest; the text itself stays where it is. Templates are
//! translated and replaced, so a story is a heading with a number and a priority too.

use crate::marker::{Marker, markers};
use crate::text::{Line, Section, scan, sections, trimmed};
use std::collections::HashSet;
use std::ops::Range;

/// Requirements that one range (`FR-001..FR-009`) may name.
const RANGE_MAX: u32 = 100;

/// A `**Key**: value` of the head of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Without signs.
    pub key: String,
    /// To the next `|` or the end of the line.
    pub value: String,
    /// Line number.
    pub line: usize,
    /// Bytes of the value in the document.
    pub bytes: Range<usize>,
}

/// A user story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// As it is written.
    pub number: u32,
    /// Without number and priority.
    pub title: String,
    /// `P1`.
    pub priority: Option<String>,
    /// Line numbers, half open.
    pub lines: Range<usize>,
}

/// A requirement (`FR-001`), success criterion (`SC-001`), or another line of that form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// `FR-001`.
    pub id: String,
    /// Behind the id, its first line.
    pub text: String,
    /// Line number.
    pub line: usize,
    /// Line numbers with what is indented below it, half open.
    pub lines: Range<usize>,
}

impl Requirement {
    /// Functional requirements and success criteria are what tasks have to cover.
    pub fn is_covered_by_tasks(&self) -> bool {
        self.id.starts_with("FR-") || self.id.starts_with("SC-")
    }
}

/// An answered question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clarification {
    /// `2026-01-31`, of the session's heading.
    pub date: Option<String>,
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
    /// Line number.
    pub line: usize,
}

/// A parsed spec.md.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Without `Feature Specification:`.
    pub title: String,
    /// The head of the document.
    pub fields: Vec<Field>,
    /// In the order of the document.
    pub stories: Vec<Story>,
    /// In the order of the document.
    pub requirements: Vec<Requirement>,
    /// Line number and text of the bullets below `Edge Cases`.
    pub edge_cases: Vec<(usize, String)>,
    /// In the order of the document.
    pub clarifications: Vec<Clarification>,
    /// What is still open.
    pub markers: Vec<Marker>,
    /// Every heading.
    pub sections: Vec<Section>,
    /// A code fence or comment that is never closed, and its line; all behind it is hidden.
    pub unclosed: Option<(&'static str, usize)>,
}

impl Spec {
    /// Parses a document; never fails.
    pub fn parse(text: &str) -> Self {
        let scan = scan(text);
        let lines = &scan.lines;
        let sections = sections(lines);
        let head = sections.iter().find(|s| s.level > 1).map_or(lines.len() + 1, |s| s.lines.start);
        Spec {
            title: title(&sections, "feature specification"),
            fields: fields(&lines[..head - 1]),
            stories: stories(&sections, lines),
            requirements: requirements(lines),
            edge_cases: edge_cases(&sections, lines),
            clarifications: clarifications(&sections, lines),
            markers: markers(lines, false),
            unclosed: scan.open,
            sections,
        }
    }

    /// The value of `**Status**`.
    pub fn status(&self) -> Option<&str> {
        self.field("status").map(|field| field.value.as_str())
    }

    /// A field of the head, whatever its case.
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key.eq_ignore_ascii_case(key))
    }

    /// A story by its number.
    pub fn story(&self, number: u32) -> Option<&Story> {
        self.stories.iter().find(|story| story.number == number)
    }
}

/// The first heading of level one without what templates put before the name.
pub(crate) fn title(sections: &[Section], prefix: &str) -> String {
    let title = sections.iter().find(|s| s.level == 1).map_or("", |s| s.title.as_str());
    match title.split_once([':', '：']) {
        Some((before, name)) if before.trim().eq_ignore_ascii_case(prefix) => {
            name.trim().to_owned()
        }
        _ => title.to_owned(),
    }
}

/// `**Key**: value | **Key**: value` of some lines.
pub(crate) fn fields(lines: &[Line]) -> Vec<Field> {
    let mut out = Vec::new();
    for line in lines.iter().filter(|line| !line.hidden && line.shown.contains("**")) {
        let mut at = 0;
        for part in line.shown.split('|') {
            let start = at;
            at += part.len() + 1;
            let text = part.trim_start().trim_start_matches(['-', '*', ' ']);
            let Some((key, rest)) = text.split_once("**") else { continue };
            let colon = key.ends_with([':', '：']);
            let value = rest.trim_start_matches([':', '：', ' ', '\t']);
            if !part.contains("**") || !(colon || rest.trim_start().starts_with([':', '：'])) {
                continue;
            }
            let from = line.start + start + part.len() - value.len();
            let value = value.trim_end();
            out.push(Field {
                key: key.trim_end_matches([':', '：']).trim().to_owned(),
                value: value.to_owned(),
                line: line.number,
                bytes: from..from + value.len(),
            });
        }
    }
    out
}

/// Number behind `User Story`, or the first one of a heading with a priority.
fn story_number(title: &str, priority: bool) -> Option<(u32, &str)> {
    let lower = title.to_ascii_lowercase();
    let from = match lower.find("user story") {
        Some(at) => at + "user story".len(),
        None if priority => title.find(|c: char| c.is_ascii_digit())?,
        None => return None,
    };
    let rest = title[from..].trim_start_matches([' ', '#']);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((rest[..end].parse().ok()?, &rest[end..]))
}

/// `P1` in the last parentheses, and the heading without them.
fn split_priority(title: &str) -> (&str, Option<String>) {
    let Some(open) = title.rfind(['(', '（']) else { return (title, None) };
    let inner = title[open..].trim_start_matches(['(', '（']);
    let word = inner.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| {
        word.strip_prefix(['P', 'p'])
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    });
    match word {
        Some(word) => (title[..open].trim_end(), Some(word.to_ascii_uppercase())),
        None => (title, None),
    }
}

fn stories(sections: &[Section], lines: &[Line]) -> Vec<Story> {
    let mut out = Vec::new();
    for section in sections.iter().filter(|s| (2..=4).contains(&s.level)) {
        let (bare, priority) = split_priority(&section.title);
        let Some((number, rest)) = story_number(bare, priority.is_some()) else { continue };
        let apart = |c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | ':' | '：' | '.');
        out.push(Story {
            number,
            title: rest.trim_start_matches(apart).to_owned(),
            priority,
            lines: trimmed(lines, section.lines.clone()),
        });
    }
    out
}

/// An id of the form `FR-001` at the start of a text, and what follows.
pub(crate) fn requirement_at(text: &str) -> Option<(&str, &str)> {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = text[letters..].strip_prefix('-')?;
    let mut digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !(2..=5).contains(&letters) || digits == 0 {
        return None;
    }
    // `FR-001a` is a requirement that was put in later.
    digits += usize::from(rest[digits..].starts_with(|c: char| c.is_ascii_lowercase()));
    let behind = &rest[digits..];
    let bounded = !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    bounded.then(|| text.split_at(letters + 1 + digits))
}

/// Every id of the form `FR-001` or `SC-001` in a text, each once.
pub(crate) fn requirements_named(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for kind in ["FR-", "SC-"] {
        let mut previous: Option<(usize, u32)> = None;
        for (at, _) in text.match_indices(kind) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let Some((id, _)) = requirement_at(&text[at..]) else { continue };
            let digits = &id[kind.len()..];
            let number = digits.parse::<u32>().ok();
            if let (Some((end, from)), Some(to)) = (previous, number)
                && matches!(text[end..at].trim(), ".." | "..." | "…" | "-" | "–" | "—" | "to")
                && to.saturating_sub(from) <= RANGE_MAX
            {
                let width = digits.len();
                for id in (from + 1..to).map(|n| format!("{kind}{n:0width$}")) {
                    if seen.insert(id.clone()) {
                        out.push(id);
                    }
                }
            }
            previous = number.map(|number| (at + id.len(), number));
            if seen.insert(id.to_owned()) {
                out.push(id.to_owned());
            }
        }
    }
    out
}

fn requirements(lines: &[Line]) -> Vec<Requirement> {
    let mut out: Vec<Requirement> = Vec::new();
    for line in lines {
        // A bullet, a bold word at the start of a paragraph, or a heading.
        let bold = |line: &'_ &Line| !line.hidden && line.raw.starts_with("**");
        let start = (line.bullet().or(line.heading()).map(|(_, text)| text))
            .or_else(|| Some(line).filter(bold).map(|line| line.shown.as_ref()));
        if let Some(text) = start {
            let text = text.trim_start_matches(['*', '[', '`', '~', ' ']);
            if let Some((id, rest)) = requirement_at(text) {
                let text = rest.trim_start_matches(['*', ']', '`', ':', '：', ' ', '-', '–', '—']);
                out.push(Requirement {
                    id: id.to_owned(),
                    text: text.trim().to_owned(),
                    line: line.number,
                    lines: line.number..line.number + 1,
                });
                continue;
            }
        }
        if let Some(last) = out.last_mut()
            && last.lines.end == line.number
            && line.indent() > 1
            && !line.is_blank()
        {
            last.lines.end += 1;
        }
    }
    out
}

fn edge_cases(sections: &[Section], lines: &[Line]) -> Vec<(usize, String)> {
    let named = |s: &&Section| s.title.to_ascii_lowercase().starts_with("edge case");
    let Some(section) = sections.iter().find(named) else { return Vec::new() };
    lines[section.lines.start - 1..section.lines.end - 1]
        .iter()
        .filter_map(|line| Some((line.number, line.bullet()?.1.trim().to_owned())))
        .collect()
}

fn clarifications(sections: &[Section], lines: &[Line]) -> Vec<Clarification> {
    let named = |s: &&Section| s.title.to_ascii_lowercase().starts_with("clarification");
    let Some(section) = sections.iter().find(named) else { return Vec::new() };
    let mut out = Vec::new();
    let mut date = None;
    for line in &lines[section.lines.start - 1..section.lines.end - 1] {
        if let Some((_, title)) = line.heading() {
            date = title.strip_prefix("Session").map(|date| date.trim().to_owned());
        }
        let Some((_, text)) = line.bullet() else { continue };
        let Some(text) = text.strip_prefix("Q:") else { continue };
        let cut = ["→ A:", "-> A:", "=> A:"].into_iter().find_map(|sign| text.split_once(sign));
        let (question, answer) = cut.unwrap_or((text, ""));
        out.push(Clarification {
            date: date.clone(),
            question: question.trim().to_owned(),
            answer: answer.trim().to_owned(),
            line: line.number,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# Feature Specification: Photo: Albums\n\n**Feature Branch**: `001-x`\n\n\
        **Created**: 2026-01-01 | **Status**: Draft  \n\n## User Scenarios & Testing\n\n\
        ### User Story 1 - Make an album (Priority: P1)\n\ntext FR-001\n\n---\n\n\
        ### История 2: Поиск (P2)\n\n### Edge Cases\n\n- What if?\n<!-- - not -->\n\n\
        ## Requirements\n\n- **FR-001**: System MUST\n  - more\n- **FR-002**: x \
        [NEEDS CLARIFICATION: which?]\n* SC-001: fast\n- **NFR-003** y\n\n## Clarifications\n\n\
        ### Session 2026-01-02\n\n- Q: who? → A: all\n- Q: when? -> A: now\n";

    #[test]
    fn everything_of_the_template() {
        let spec = Spec::parse(TEXT);
        assert_eq!(spec.title, "Photo: Albums");
        assert_eq!(spec.status(), Some("Draft"));
        let status = spec.field("Status").unwrap();
        assert_eq!(&TEXT[status.bytes.clone()], "Draft");
        assert_eq!(spec.field("created").unwrap().value, "2026-01-01");
        let stories: Vec<_> = spec
            .stories
            .iter()
            .map(|s| (s.number, s.title.as_str(), s.priority.as_deref()))
            .collect();
        assert_eq!(stories, [(1, "Make an album", Some("P1")), (2, "Поиск", Some("P2"))]);
        assert_eq!(spec.stories[0].lines, 9..12);
        let ids: Vec<_> = spec.requirements.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, ["FR-001", "FR-002", "SC-001", "NFR-003"]);
        assert_eq!(spec.requirements[0].lines.len(), 2);
        assert_eq!(spec.edge_cases, [(19, "What if?".to_owned())]);
        assert_eq!(spec.markers[0].question, "which?");
        let first = &spec.clarifications[0];
        assert_eq!((first.question.as_str(), first.answer.as_str()), ("who?", "all"));
        assert_eq!(first.date.as_deref(), Some("2026-01-02"));
        assert_eq!(spec.clarifications[1].answer, "now");
    }

    #[test]
    fn requirements_without_bullets() {
        let spec =
            Spec::parse("**FR-001**: a\n\n### FR-002: b\n1. **FR-003**: c\nFR-004 in prose\n");
        let found: Vec<_> = spec.requirements.iter().map(|r| (r.id.as_str(), r.line)).collect();
        assert_eq!(found, [("FR-001", 1), ("FR-002", 3), ("FR-003", 4)]);
        assert_eq!(spec.requirements[1].text, "b");
    }

    #[test]
    fn ids_in_prose() {
        let range = requirements_named("(FR-001..FR-003, SC-1–SC-2)");
        assert_eq!(range, ["FR-001", "FR-002", "FR-003", "SC-1", "SC-2"]);
        assert_eq!(
            requirements_named("FR-001, (SC-002) FR-001 XFR-9 FR-3b FR-"),
            ["FR-001", "FR-3b", "SC-002"]
        );
    }

    #[test]
    fn crlf_changes_nothing() {
        let spec = Spec::parse(&TEXT.replace('\n', "\r\n"));
        assert_eq!(spec.stories, Spec::parse(TEXT).stories);
        assert_eq!(spec.status(), Some("Draft"));
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            Spec::parse(&text);
        }

        #[test]
        fn never_panics_near_the_grammar(text in "(#{1,4} |User Story [0-9]{0,11}|\
            [-:(）（P1) é\r\n]|\\*\\*|[A-Z]{2}-[0-9]{0,3}|\\[NEEDS CLARIFICATION|\\]|`|Q:|→ A:|\
            Clarifications|Edge Cases|\\|){0,40}") {
            let spec = Spec::parse(&text);
            for marker in &spec.markers {
                prop_assert!(text.get(marker.bytes.clone()).is_some());
            }
            for field in &spec.fields {
                prop_assert_eq!(text.get(field.bytes.clone()), Some(field.value.as_str()));
            }
        }
    }
}
