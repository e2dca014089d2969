//! tasks.md: phases and the tasks in them.
//!
//! Takes every format seen in the wild: `## Phase 3: …`, `## Phase 3.1: …`, headings in other
//! languages, nested bullets, tags in any order. Code fences, comments and sample lines
//! (`TXXX …`) are no tasks. It does not judge; `validate` does.

use crate::path::files_in;
use crate::spec::requirements_named;
use crate::text::{Line, Section, head as head_of, scan, sections, trimmed};
use std::mem::take;
use std::ops::Range;

/// Tasks that one range of dependencies (`T001-T012`) may name.
const RANGE_TASKS_MAX: u32 = 100;
/// Dependencies, files, or requirements of one task.
pub const NAMED_MAX: usize = 32;
/// How much of a task's text is looked through, and how far lines are joined to one, in bytes.
const LOOKED_BYTES_MAX: usize = 4_096;
/// Between such a word, or an id, and the next id, in bytes.
const GAP_BYTES_MAX: usize = 32;
/// Words before ids that mean "needs", in the languages that templates were seen in.
const NEEDS: &[&str] = &[
    "depend",
    "abhäng",
    "dépend",
    "dipend",
    "завис",
    "依赖",
    "依存",
    "取决于",
    "의존",
    "requires",
    "needs",
    "blocked by",
    "after",
];

/// What a phase is for, told from its heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseKind {
    /// The project's own setup.
    Setup,
    /// What every story stands on.
    Foundational,
    /// One user story.
    Story,
    /// What is done when the stories are.
    Polish,
    /// Work that `converge` found.
    Convergence,
    /// None of these, or in a language that is not known.
    Other,
}

/// A heading with tasks below it.
#[derive(Clone, Debug)]
pub struct Phase {
    /// `3`, `3.1`, `N`; as it is written.
    pub number: Option<String>,
    /// Behind the number.
    pub title: String,
    /// The whole heading.
    pub heading: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// The user story that it serves.
    pub story: Option<u32>,
    /// Line numbers, half open.
    pub lines: Range<usize>,
    /// Its goal, and the line of it.
    pub goal: Option<(usize, String)>,
    /// Its checkpoint, and the line of it.
    pub checkpoint: Option<(usize, String)>,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// `T001`.
    pub id: String,
    /// `T` and at least three digits, nothing else.
    pub well_formed: bool,
    /// Ticked.
    pub done: bool,
    /// Marked `[P]`.
    pub parallel: bool,
    /// Of `[US1]`.
    pub story: Option<u32>,
    /// Without box, id and tags; with the lines that it goes on in, not with bullets below it.
    pub text: String,
    /// File paths in the text or in bullets below it.
    pub files: Vec<String>,
    /// Ids that it says it depends on, in the text or in bullets below it.
    pub depends: Vec<String>,
    /// Requirements that the text or bullets below it name.
    pub requirements: Vec<String>,
    /// Index into the phases.
    pub phase: Option<usize>,
    /// Line number.
    pub line: usize,
    /// Line numbers with all that belongs to it, half open: over blank lines, code and whatever is
    /// indented deeper, up to the next line that is not.
    pub lines: Range<usize>,
    /// Byte offset of the character in the brackets.
    pub(crate) mark: usize,
    /// Whether bullets below it have begun.
    nested: bool,
}

impl Task {
    /// What a text says of files, dependencies, requirements.
    fn learn(&mut self, text: &str, below: bool) {
        let add = |known: &mut Vec<String>, new: Vec<String>| {
            for one in new {
                if known.len() < NAMED_MAX && !known.contains(&one) {
                    known.push(one);
                }
            }
        };
        let text = head_of(text, LOOKED_BYTES_MAX);
        add(&mut self.files, files_in(text));
        add(&mut self.depends, depends(text, below));
        add(&mut self.requirements, requirements_named(text));
    }

    /// The text is known whole only when the next task begins.
    fn settle(&mut self) {
        let (files, depends) = (take(&mut self.files), take(&mut self.depends));
        let requirements = take(&mut self.requirements);
        let text = take(&mut self.text);
        self.learn(&text, false);
        self.text = text;
        for (known, later) in [
            (&mut self.files, files),
            (&mut self.depends, depends),
            (&mut self.requirements, requirements),
        ] {
            let new: Vec<String> = later.into_iter().filter(|one| !known.contains(one)).collect();
            known.extend(new);
            known.truncate(NAMED_MAX);
        }
    }
}

/// A line that looks like a task and has no id.
#[derive(Clone, Debug)]
pub struct Stray {
    /// Line number.
    pub line: usize,
    /// Without the box.
    pub text: String,
    /// A line of the template, such as `TXXX`.
    pub sample: bool,
}

/// A parsed tasks.md.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// The first heading.
    pub title: String,
    /// Phases with tasks, and headings that are called phases.
    pub phases: Vec<Phase>,
    /// In the order of the document.
    pub tasks: Vec<Task>,
    /// Boxes without an id, at the outermost level.
    pub strays: Vec<Stray>,
    /// A code fence or comment that is never closed, and its line; all behind it is hidden.
    pub unclosed: Option<(&'static str, usize)>,
}

impl Tasks {
    /// Parses a document; never fails.
    pub fn parse(text: &str) -> Self {
        let scan = scan(text);
        let sections = sections(&scan.lines);
        let mut out = Tasks { unclosed: scan.open, ..Tasks::default() };
        out.title = sections.iter().find(|s| s.level == 1).map_or("", |s| &s.title).to_owned();
        let mut homes: Vec<Option<usize>> = vec![None; sections.len()];
        for (at, section) in sections.iter().enumerate() {
            if named_phase(&section.title) && section.level <= 3 {
                homes[at] = Some(out.phases.len());
                out.phases.push(phase(section));
            }
        }
        // Which sections hold a line: the open headings above it.
        let mut open: Vec<usize> = Vec::new();
        let mut next = 0;
        for line in &scan.lines {
            while sections.get(next).is_some_and(|s| s.lines.start == line.number) {
                open.retain(|at| sections[*at].lines.end > line.number);
                open.push(next);
                next += 1;
            }
            if line.checkbox().is_some() {
                out.take(line, &sections, &open, &mut homes);
            } else {
                out.note(line, &open, &homes);
            }
        }
        out.lengthen(&scan.lines);
        out.sort_phases();
        out.name_stories();
        for task in &mut out.tasks {
            task.settle();
            task.lines = trimmed(&scan.lines, task.lines.clone());
        }
        out
    }

    /// The tasks with an id, more than one if it is given twice.
    pub fn with_id<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.iter().filter(move |task| task.id.eq_ignore_ascii_case(id))
    }

    /// Ticked ones.
    pub fn done(&self) -> usize {
        self.tasks.iter().filter(|task| task.done).count()
    }

    /// The tasks of a story: those with its tag, and untagged ones in its phase.
    pub fn of_story(&self, story: u32) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(move |task| self.story_of(task) == Some(story))
    }

    /// The story of a task: its tag, or the phase's.
    pub fn story_of(&self, task: &Task) -> Option<u32> {
        task.story.or_else(|| self.phases[task.phase?].story)
    }

    /// The id that a new task gets: one more than the highest.
    pub fn next_id(&self) -> String {
        let numbers = self.tasks.iter().filter_map(|task| number(&task.id));
        let (most, width) = numbers.fold((0, 3), |(most, width), (n, digits)| {
            (most.max(n), if n < 1_000 { width } else { width.max(digits) })
        });
        format!("T{:0width$}", most.saturating_add(1))
    }

    /// A line with a box.
    fn take(
        &mut self,
        line: &Line,
        sections: &[Section],
        open: &[usize],
        homes: &mut [Option<usize>],
    ) {
        let Some(check) = line.checkbox() else { return };
        match head(check.rest) {
            Head::Task { id, well_formed, parallel, story, text } => {
                let home = open.iter().rev().find(|at| homes[**at].is_some()).or_else(|| {
                    let second = |at: &&usize| sections[**at].level == 2;
                    open.iter().find(second).or(open.first())
                });
                let phase = home.map(|at| {
                    *homes[*at].get_or_insert_with(|| {
                        self.phases.push(phase(&sections[*at]));
                        self.phases.len() - 1
                    })
                });
                self.tasks.push(Task {
                    id: id.to_owned(),
                    well_formed,
                    done: check.done,
                    parallel,
                    story,
                    files: Vec::new(),
                    depends: Vec::new(),
                    requirements: Vec::new(),
                    nested: false,
                    text,
                    phase,
                    line: line.number,
                    lines: line.number..line.number + 1,
                    mark: check.mark,
                });
            }
            Head::Sample | Head::None => {
                let sample = matches!(head(check.rest), Head::Sample);
                let below = check.indent > 1 && self.follows(line);
                if !below && (sample || home_is_phase(open, homes)) {
                    let text = check.rest.to_owned();
                    self.strays.push(Stray { line: line.number, text, sample });
                } else {
                    self.extend(line);
                }
            }
        }
    }

    /// A line without a box: part of the task above, or a goal or checkpoint of the phase.
    fn note(&mut self, line: &Line, open: &[usize], homes: &[Option<usize>]) {
        if line.hidden {
            return;
        }
        if line.indent() > 1 && self.follows(line) {
            self.extend(line);
            return;
        }
        let text = line.shown.trim();
        let Some(phase) = open.iter().rev().find_map(|at| homes[*at]) else { return };
        let phase = &mut self.phases[phase];
        let lower: String = text.chars().take(16).collect::<String>().to_ascii_lowercase();
        if lower.starts_with("**checkpoint") && phase.checkpoint.is_none() {
            phase.checkpoint = Some((line.number, text.to_owned()));
        } else if lower.starts_with("**goal") && phase.goal.is_none() {
            phase.goal = Some((line.number, text.to_owned()));
        }
    }

    /// Whether a line stands directly below the last task.
    fn follows(&self, line: &Line) -> bool {
        self.tasks.last().is_some_and(|task| task.lines.end == line.number) && !line.is_blank()
    }

    fn extend(&mut self, line: &Line) {
        let Some(task) = self.tasks.last_mut().filter(|t| t.lines.end == line.number) else {
            return;
        };
        task.lines.end += 1;
        let text = line.shown.trim();
        task.nested |= line.bullet().is_some();
        if task.nested || task.text.len() + text.len() > LOOKED_BYTES_MAX {
            task.learn(text, true);
        } else {
            task.text.push(' ');
            task.text.push_str(text);
        }
    }

    /// Tasks go on over blank lines, code and what is indented deeper than their bullets, other
    /// tasks included; their texts do not.
    fn lengthen(&mut self, lines: &[Line]) {
        // Index and indentation of the tasks that hold a line.
        let mut open: Vec<(usize, usize)> = Vec::new();
        let (mut next, mut behind) = (0, 1);
        for line in lines.iter().filter(|line| !line.is_blank()) {
            let indent = line.raw_indent();
            let begins = self.tasks.get(next).is_some_and(|task| task.line == line.number);
            if begins || !line.inside {
                let ends = line.heading().is_some();
                while let Some((at, _)) = open.pop_if(|task| ends || indent <= task.1) {
                    let end = &mut self.tasks[at].lines.end;
                    *end = behind.max(*end);
                }
            }
            if begins {
                open.push((next, indent));
                next += 1;
            }
            behind = line.number + 1;
        }
        for (at, _) in open {
            let end = &mut self.tasks[at].lines.end;
            *end = behind.max(*end);
        }
    }

    /// Phases in the order of the document; unnamed ones were found late.
    fn sort_phases(&mut self) {
        let mut order: Vec<usize> = (0..self.phases.len()).collect();
        order.sort_by_key(|at| self.phases[*at].lines.start);
        let mut new_at = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            new_at[*from] = to;
        }
        self.phases.sort_by_key(|phase| phase.lines.start);
        for task in &mut self.tasks {
            task.phase = task.phase.map(|at| new_at[at]);
        }
    }

    /// A heading in an unknown language is a story's if every task below it has the same tag.
    fn name_stories(&mut self) {
        // The tag that all tasks of a phase have so far; an inner none where they differ.
        let mut tags: Vec<Option<Option<u32>>> = vec![None; self.phases.len()];
        for task in &self.tasks {
            let Some(at) = task.phase else { continue };
            let tag = tags[at].get_or_insert(task.story);
            if *tag != task.story {
                *tag = None;
            }
        }
        for (phase, tag) in self.phases.iter_mut().zip(tags) {
            if let (PhaseKind::Other, Some(Some(story))) = (phase.kind, tag) {
                (phase.kind, phase.story) = (PhaseKind::Story, Some(story));
            }
        }
    }
}

fn home_is_phase(open: &[usize], homes: &[Option<usize>]) -> bool {
    open.iter().any(|at| homes[*at].is_some())
}

fn named_phase(title: &str) -> bool {
    let lower = title.to_lowercase();
    let Some(rest) = lower.strip_prefix("phase ").or_else(|| lower.strip_prefix("phase\u{a0}"))
    else {
        return false;
    };
    let number: &str = rest.split([':', ' ', '-', '–', '—', '：']).next().unwrap_or_default();
    number == "n" || number.starts_with(|c: char| c.is_ascii_digit())
}

/// Number and title of `Phase 3.1: Setup` in any language.
fn split_title(title: &str) -> (Option<String>, String) {
    let whole = || (None, title.to_owned());
    let Some(at) = title.find(|c: char| c.is_ascii_digit()).or_else(|| {
        let lower = title.to_lowercase();
        (lower.starts_with("phase n") && title.is_char_boundary(6)).then_some(6)
    }) else {
        return whole();
    };
    // One word before the number: `Phase 3`, `フェーズ3`, `Фаза 3`.
    let word = title[..at].trim();
    if word.is_empty() || word.contains(char::is_whitespace) {
        return whole();
    }
    let rest = &title[at..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
    let number = rest[..end].trim_end_matches('.');
    let text = rest[end..].trim_start_matches(|c: char| {
        c.is_whitespace() || matches!(c, ':' | '：' | '-' | '–' | '—' | '.')
    });
    (Some(number.to_owned()), text.trim().to_owned())
}

/// The number behind `User Story` or `US`.
fn story_in(heading: &str) -> Option<u32> {
    let lower = heading.to_lowercase();
    let rest = match lower.find("user story") {
        Some(at) => &lower[at + "user story".len()..],
        None => {
            let at = lower.find("us").filter(|at| {
                let before = lower[..*at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric())
            })?;
            let rest = &lower[at + 2..];
            rest.starts_with(|c: char| c.is_ascii_digit()).then_some(rest)?
        }
    };
    let rest = rest.trim_start_matches([' ', '#']);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn kind(heading: &str, story: Option<u32>) -> PhaseKind {
    let lower = heading.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match story {
        Some(_) => PhaseKind::Story,
        None if has(&["foundation", "blocking"]) => PhaseKind::Foundational,
        None if has(&["setup", "set up"]) => PhaseKind::Setup,
        None if has(&["convergence"]) => PhaseKind::Convergence,
        None if has(&["polish", "cross-cutting"]) => PhaseKind::Polish,
        None => PhaseKind::Other,
    }
}

fn phase(section: &Section) -> Phase {
    let (number, title) = split_title(&section.title);
    let story = story_in(&section.title);
    Phase {
        number,
        title,
        kind: kind(&section.title, story),
        story,
        heading: section.title.clone(),
        lines: section.lines.clone(),
        goal: None,
        checkpoint: None,
    }
}

/// What a box is followed by.
enum Head<'a> {
    Task { id: &'a str, well_formed: bool, parallel: bool, story: Option<u32>, text: String },
    Sample,
    None,
}

fn head(rest: &str) -> Head<'_> {
    let (mut id, mut parallel, mut story, mut closed) = (None, false, None, false);
    let mut text = rest;
    loop {
        text = match id {
            None => text.trim_start_matches([' ', '\t', '*', '~', '`']),
            // What comes now may begin with a sign of its own.
            Some(_) => text.trim_start(),
        };
        if id.is_none()
            && let Some((found, behind)) = id_at(text)
        {
            if found[1..].starts_with(['X', '#', 'N']) {
                return Head::Sample;
            }
            id = Some(found);
            closed = behind.starts_with(['*', '~']);
            text = behind.trim_start_matches(['*', '~', '`', ':', '.', ')', ']']);
            continue;
        }
        let Some((tag, behind)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) else {
            break;
        };
        if tag.eq_ignore_ascii_case("p") {
            parallel = true;
        } else if let Some(number) = story_tag(tag) {
            story = story.or(Some(number));
        } else if id.is_none()
            && let Some((found, "")) = id_at(tag)
            && !found[1..].starts_with(['X', '#', 'N'])
        {
            id = Some(found);
        } else {
            break;
        }
        text = behind;
    }
    let Some(id) = id else { return Head::None };
    let digits = &id[1..];
    let well_formed = digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    let text = text.trim_start_matches(['·', '–', '—', '-', ' ']).trim();
    // A bold that began before the id and ends in the text.
    let bold = rest.starts_with("**") && !closed;
    let text = if bold { text.replacen("**", "", 1) } else { text.to_owned() };
    Head::Task { id, well_formed, parallel, story, text: text.trim().to_owned() }
}

fn story_tag(tag: &str) -> Option<u32> {
    let digits = tag.strip_prefix("US").or_else(|| tag.strip_prefix("us"))?;
    let digits = digits.trim_start_matches([' ', '-']);
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// An id and what follows: `T001`, `T001a`, `TXXX`, `T###`.
fn id_at(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('T')?;
    let sample = rest.bytes().take_while(|b| matches!(b, b'X' | b'#' | b'N')).count();
    let mut end = match sample {
        2.. => sample,
        _ => rest.bytes().take_while(u8::is_ascii_digit).count(),
    };
    if end == 0 {
        return None;
    }
    if rest[end..].starts_with(|c: char| c.is_ascii_lowercase()) {
        end += 1;
    }
    let behind = &rest[end..];
    let bounded = behind.chars().next().is_none_or(|c| {
        c.is_whitespace() || matches!(c, '*' | '~' | '`' | ':' | '.' | ')' | ']' | '[')
    });
    bounded.then(|| text.split_at(end + 1))
}

/// Number and count of digits of an id.
pub(crate) fn number(id: &str) -> Option<(u32, usize)> {
    let digits = id.strip_prefix('T')?.trim_end_matches(|c: char| c.is_ascii_lowercase());
    Some((digits.parse().ok()?, digits.len()))
}

/// Every `T` with at least two digits in a text, as offset and id.
fn mentions(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices('T') {
        let digits = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let before = text[..at].chars().next_back();
        if digits >= 2 && before.is_none_or(|c| !c.is_alphanumeric() && c != '_') {
            let mut end = at + 1 + digits;
            let letter = text[end..].chars().next().is_some_and(|c| c.is_ascii_lowercase());
            end += usize::from(letter);
            out.push((at, &text[at..end]));
        }
    }
    out
}

/// Whether the words before an id say that it is needed. `bare` words count only at the start.
fn says_needs(clause: &str, bare: bool) -> bool {
    let lower = clause.to_lowercase();
    let strict = lower.trim_start_matches([' ', '*', '-']);
    NEEDS.iter().any(|word| {
        if matches!(*word, "requires" | "needs" | "after") {
            return bare && strict.starts_with(word) && strict.len() - word.len() <= GAP_BYTES_MAX;
        }
        let Some(at) = lower.rfind(word) else { return false };
        let before = lower[..at].trim_end();
        let denied = ["no", "not", "in", "without", "non-", "n't"].iter();
        let near = lower.len() - at - word.len() <= GAP_BYTES_MAX;
        near && !denied.into_iter().any(|no| before.ends_with(no))
    })
}

/// Ids behind a word that means "needs": to the end of the parenthesis or of the clause. `below`
/// says that the text is a bullet below a task, which may be nothing but that.
fn depends(text: &str, below: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let text = head_of(text, LOOKED_BYTES_MAX);
    let mut previous: Option<(usize, u32)> = None;
    for (at, id) in mentions(text) {
        let open = text[..at].rfind(['(', ';', '（']).map_or(0, |open| open + 1);
        let open = open + text[open..at].rfind(". ").map_or(0, |stop| stop + 2);
        let clause = &text[open..at];
        // One that follows another closely needs no word of its own.
        let listed = previous.filter(|(end, _)| {
            *end >= open && at - end <= GAP_BYTES_MAX / 2 && !text[*end..at].contains([')', '）'])
        });
        let bare = below || text[..open].ends_with(['(', ';', '（']);
        let needed = listed.is_some() || !clause.contains([')', '）']) && says_needs(clause, bare);
        let Some((n, digits)) = number(id).filter(|_| needed) else {
            previous = None;
            continue;
        };
        if let Some((end, from)) = listed
            && matches!(text[end..at].trim(), "-" | "–" | "—" | "to" | "through" | "..")
            && n.saturating_sub(from) <= RANGE_TASKS_MAX
        {
            let room = NAMED_MAX.saturating_sub(out.len());
            out.extend((from + 1..n).take(room).map(|n| format!("T{n:0digits$}")));
        }
        previous = Some((at + id.len(), n));
        if out.len() < NAMED_MAX && !out.iter().any(|known| known == id) {
            out.push(id.to_owned());
        }
    }
    out
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
