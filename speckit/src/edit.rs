//! Edits of single lines: tick, untick, append, answer a clarification, set the status.
//!
//! Each one is a function from a text to splices, and a door that applies it under a lock and a
//! hash. Documents are never written anew from what was parsed. Invariant: every line that an edit
//! does not name keeps its bytes, its ending included.

use crate::checklist::Checklist;
use crate::error::{Error, Result};
use crate::nearest::{hint, nearest};
use crate::project::Feature;
use crate::spec::Spec;
use crate::task::{Phase, Task, Tasks};
use crate::text::{Line, Scan, Section, scan, sections, trimmed};
use crate::write::{self, Keep, Splice};

/// A line that an edit writes, in bytes.
pub const LINE_BYTES_MAX: usize = 4_096;
/// Tasks that one edit appends.
pub const APPENDED_MAX: usize = 100;

/// A task to append; it gets its id then.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewTask<'a> {
    /// Without box, id and tags.
    pub text: &'a str,
    /// Mark it `[P]`.
    pub parallel: bool,
    /// Tag it `[US1]`.
    pub story: Option<u32>,
}

/// Where tasks are appended.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Behind the last task of the document, with all that belongs to it.
    End,
    /// Behind the last task of a phase: its number, its title, or its whole heading.
    Phase(&'a str),
    /// In a new phase with this title at the end of the document.
    NewPhase(&'a str),
}

/// Which open question an answer closes.
#[derive(Clone, Copy, Debug)]
pub enum MarkerRef<'a> {
    /// The first one in this line.
    Line(usize),
    /// The one that asks this.
    Question(&'a str),
}

/// What to change.
#[derive(Clone, Copy, Debug)]
pub enum Edit<'a> {
    /// Tick (or untick) a task in `tasks.md` or an item of a checklist.
    Tick {
        /// `tasks.md` or `checklists/….md`.
        doc: &'a str,
        /// `T001` or `CHK001`, with `:` and its line where it stands twice.
        id: &'a str,
        /// Tells lines with the same id apart.
        line: Option<usize>,
        /// False unticks.
        done: bool,
    },
    /// Append tasks to `tasks.md`, with ids that go on behind the highest.
    Append {
        /// Where.
        place: Place<'a>,
        /// What.
        tasks: &'a [NewTask<'a>],
    },
    /// Write a question and its answer into `spec.md`.
    Answer {
        /// One line.
        question: &'a str,
        /// One line.
        answer: &'a str,
        /// `YYYY-MM-DD`: today.
        date: &'a str,
        /// The marker that the answer takes the place of.
        marker: Option<MarkerRef<'a>>,
    },
    /// Set `**Status**` of `spec.md`.
    Status(&'a str),
}

/// A line as it was and as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Line number in the new document.
    pub line: usize,
    /// Without its ending; empty if the line is new.
    pub before: String,
    /// Without its ending; several lines if several were added.
    pub after: String,
}

/// What an edit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Relative to the feature.
    pub doc: String,
    /// The first is what was asked for, others followed from it; equal before and after if the
    /// document was that way already.
    pub changes: Vec<Change>,
    /// Ids that were given to new tasks.
    pub ids: Vec<String>,
    /// The document's hash now.
    pub hash: String,
}

/// Splices and what they do, before the hash is known.
pub(crate) type Made = (Vec<Splice>, (Vec<Change>, Vec<String>));

impl Edit<'_> {
    /// The document that is changed, relative to the feature.
    pub fn doc(&self) -> &str {
        match self {
            Edit::Tick { doc, .. } => doc,
            Edit::Append { .. } => "tasks.md",
            Edit::Answer { .. } | Edit::Status(_) => "spec.md",
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Edit::Tick { doc, .. } => {
                if *doc != "tasks.md" && !(doc.starts_with("checklists/") && doc.ends_with(".md")) {
                    return Err(Error::Argument(format!(
                        "`{doc}` has no boxes to tick; give `tasks.md` or `checklists/NAME.md`"
                    )));
                }
                Ok(())
            }
            Edit::Append { place, tasks } => {
                if tasks.is_empty() || tasks.len() > APPENDED_MAX {
                    let n = tasks.len();
                    return Err(Error::Argument(format!(
                        "{n} tasks to append, give 1 to {APPENDED_MAX}"
                    )));
                }
                if let Place::NewPhase(title) = place {
                    line("phase", title)?;
                }
                tasks.iter().try_for_each(|task| line("text", task.text))
            }
            Edit::Answer { question, answer, date, .. } => {
                line("question", question)?;
                line("answer", answer)?;
                let shape = date.bytes().enumerate().all(|(at, b)| match at {
                    4 | 7 => b == b'-',
                    _ => b.is_ascii_digit(),
                });
                if date.len() != 10 || !shape {
                    return Err(Error::Argument(format!(
                        "`date` is `{}`, give it as YYYY-MM-DD",
                        date.escape_debug()
                    )));
                }
                Ok(())
            }
            Edit::Status(status) => {
                line("status", status)?;
                if status.contains('|') {
                    let what = "`status` holds `|`, which ends a field; leave it out";
                    return Err(Error::Argument(what.to_owned()));
                }
                Ok(())
            }
        }
    }

    pub(crate) fn make(&self, text: &str) -> Result<Made> {
        self.check()?;
        let made = match *self {
            Edit::Tick { doc, id, line, done } => tick(text, doc, id, line, done),
            Edit::Append { place, tasks } => append(text, place, tasks),
            Edit::Answer { question, answer, date, marker } => {
                self::answer(text, question, answer, date, marker)
            }
            Edit::Status(status) => self::status(text, status),
        }?;
        hides_nothing(text, &made.0)?;
        Ok(made)
    }

    /// The line that the edit aims at, for a conflict.
    fn aim(&self, text: &str) -> (Option<usize>, String) {
        let scan = scan(text);
        let found = match self {
            Edit::Tick { doc, id, line, .. } => {
                let all = boxes(text, doc);
                let (id, line) = meant(&all, id, *line);
                all.iter().find(|b| b.is(id, line)).map(|b| b.line)
            }
            Edit::Append { .. } => Tasks::parse(text).tasks.last().map(|task| task.line),
            Edit::Answer { marker: Some(MarkerRef::Line(at)), .. } => Some(*at),
            Edit::Answer { .. } => {
                let sections = sections(&scan.lines);
                sections.into_iter().find(is_clarifications).map(|s| s.lines.start)
            }
            Edit::Status(_) => Spec::parse(text).field("status").map(|field| field.line),
        };
        let shown = found.and_then(|at| scan.lines.get(at.wrapping_sub(1)));
        (shown.map(|line| line.number), shown.map_or("", |line| line.raw).to_owned())
    }
}

/// One line without control characters, bounded.
fn line(name: &str, text: &str) -> Result<()> {
    let why = if text.trim().is_empty() {
        "is empty".to_owned()
    } else if text.len() > LINE_BYTES_MAX {
        format!("is {} bytes, the most is {LINE_BYTES_MAX}", text.len())
    } else if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        "holds a line break or another control character".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Argument(format!("`{name}` {why}; give one line of text")))
}

/// Refuses splices after which other lines, or the new ones, stand in a comment or in code.
fn hides_nothing(text: &str, splices: &[Splice]) -> Result<()> {
    let new = write::apply(text, splices);
    let (before, after) = (scan(text), scan(&new));
    let inside = |scan: &Scan| scan.lines.iter().filter(|line| line.inside).count();
    if inside(&before) == inside(&after) && before.open.is_some() == after.open.is_some() {
        return Ok(());
    }
    Err(Error::Argument(match before.open {
        Some((what, at)) => format!(
            "there is a {what} in line {at} that is never closed, what is written would stand in \
             it; close it first"
        ),
        None => "the text begins or ends a comment or a code block, which would hide other lines \
                 of the document; put signs such as `<!--` in a code span, between backticks"
            .to_owned(),
    }))
}

/// Changes a document of a feature, whose text is kept before. With `read`, the hash that came with
/// the text that was read, the edit is refused if the document is another one now.
///
/// # Errors
/// `Conflict` for a stale hash, `Missing` for what is not there (nearest named), `Ambiguous` for an
/// id that is given twice, `Argument` for what is out of its bounds or hides other lines, `Locked`,
/// `NotKept`, `Io`. The document is untouched then.
pub fn edit(feature: &Feature, edit: &Edit, read: Option<&str>, keep: &Keep) -> Result<Edited> {
    edit.check()?;
    let doc = edit.doc();
    let change = |text: &str| {
        let hash = crate::feature::hash(text.as_bytes());
        if read.is_some_and(|read| read != hash) {
            let (line, current) = edit.aim(text);
            return Err(Error::Conflict { doc: doc.to_owned(), line, current, hash });
        }
        edit.make(text)
    };
    match write::edit(&feature.root, &feature.at(doc)?, keep, change) {
        Ok(((changes, ids), hash)) => Ok(Edited { doc: doc.to_owned(), changes, ids, hash }),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(feature.no_document(doc))
        }
        Err(error) => Err(error),
    }
}

/// A line with a box, of a task or of a checklist.
struct Tickable {
    id: String,
    line: usize,
    mark: usize,
    done: bool,
}

impl Tickable {
    fn is(&self, id: &str, line: Option<usize>) -> bool {
        self.id.eq_ignore_ascii_case(id.trim()) && line.is_none_or(|line| line == self.line)
    }
}

fn boxes(text: &str, doc: &str) -> Vec<Tickable> {
    if doc == "tasks.md" {
        let tasks = Tasks::parse(text).tasks.into_iter();
        return tasks
            .map(|t| Tickable { id: t.id, line: t.line, mark: t.mark, done: t.done })
            .collect();
    }
    let items = Checklist::parse(text).items.into_iter();
    let boxed = |item: crate::checklist::Item| {
        // Items without an id are named by their text.
        let id = item.id.unwrap_or(item.text);
        Tickable { id, line: item.line, mark: item.mark, done: item.done }
    };
    items.map(boxed).collect()
}

/// Id and line of what is meant. Where an id stands twice, its line may follow: `T012:34`. The text
/// of an item without an id may end like that itself.
fn meant<'a>(all: &[Tickable], id: &'a str, line: Option<usize>) -> (&'a str, Option<usize>) {
    let lined = id.rsplit_once(':').filter(|_| line.is_none());
    let lined = lined.and_then(|(id, at)| Some((id, at.parse::<usize>().ok()?)));
    match lined.filter(|_| !all.iter().any(|b| b.is(id, None))) {
        Some((id, at)) => (id, Some(at)),
        None => (id, line),
    }
}

fn tick(text: &str, doc: &str, id: &str, line: Option<usize>, done: bool) -> Result<Made> {
    let all = boxes(text, doc);
    let (id, line) = meant(&all, id, line);
    let found: Vec<&Tickable> = all.iter().filter(|b| b.is(id, line)).collect();
    let one = match found.as_slice() {
        [one] => one,
        [] => {
            let nearest = nearest(id, all.iter().map(|b| b.id.as_str()));
            let at = line.map_or_else(String::new, |line| format!(" in line {line}"));
            let otherwise = format!("it has {} boxes", all.len());
            let what = format!("no `{id}`{at} in `{doc}`{}", hint(&nearest, &otherwise));
            return Err(Error::Missing { what, nearest });
        }
        several => {
            let candidates: Vec<String> =
                several.iter().map(|b| format!("line {}", b.line)).collect();
            let what = format!(
                "`{id}` is given {} times in `{doc}`: {}; give the line too",
                candidates.len(),
                candidates.join(", ")
            );
            return Err(Error::Ambiguous { what, candidates });
        }
    };
    let scan = scan(text);
    let before = scan.lines[one.line - 1].raw.to_owned();
    if one.done == done {
        let change = Change { line: one.line, before: before.clone(), after: before };
        return Ok((Vec::new(), (vec![change], Vec::new())));
    }
    let sign = if done { "x" } else { " " };
    let at = one.mark - scan.lines[one.line - 1].start;
    let after = format!("{}{sign}{}", &before[..at], &before[at + 1..]);
    let splice = Splice { bytes: one.mark..one.mark + 1, with: sign.to_owned() };
    Ok((vec![splice], (vec![Change { line: one.line, before, after }], Vec::new())))
}

/// New whole lines behind line `behind` (0 for the beginning).
fn insert(text: &str, scan: &Scan, behind: usize, lines: &[String]) -> Splice {
    let ending =
        |line: &Line| if line.ending.is_empty() { None } else { Some(line.ending.to_owned()) };
    let anchor = behind.checked_sub(1).and_then(|at| scan.lines.get(at));
    let near = anchor.and_then(ending).or_else(|| scan.lines.iter().find_map(ending));
    let near = near.unwrap_or_else(|| "\n".to_owned());
    let at = anchor.map_or(0, Line::end);
    let joined = lines.join(&near);
    let with = match anchor {
        // The last line had no ending; the new last one has none either.
        Some(anchor) if anchor.ending.is_empty() => near + &joined,
        None if text.is_empty() => joined + &near,
        _ => joined + &near,
    };
    Splice { bytes: at..at, with }
}

/// Lines that are new, as one change.
fn added(behind: usize, lines: &[String]) -> Change {
    let blank = lines.iter().take_while(|line| line.is_empty()).count();
    let shown: Vec<&str> = lines.iter().map(String::as_str).collect();
    let after = shown.join("\n").trim_matches('\n').to_owned();
    Change { line: behind + 1 + blank, before: String::new(), after }
}

fn written(ids: &[String], tasks: &[NewTask]) -> Vec<String> {
    let line = |(id, task): (&String, &NewTask)| {
        let parallel = if task.parallel { " [P]" } else { "" };
        let story = task.story.map_or_else(String::new, |n| format!(" [US{n}]"));
        format!("- [ ] {id}{parallel}{story} {}", task.text.trim())
    };
    ids.iter().zip(tasks).map(line).collect()
}

fn new_ids(known: &Tasks, n: usize) -> Vec<String> {
    let first = known.next_id();
    let Some((number, width)) = crate::task::number(&first) else { return vec![first; n] };
    (number..).take(n).map(|number| format!("T{number:0width$}")).collect()
}

fn append(text: &str, place: Place, tasks: &[NewTask]) -> Result<Made> {
    let known = Tasks::parse(text);
    let scan = scan(text);
    if let Some((what, at)) = known.unclosed {
        return Err(Error::Unsupported(format!(
            "tasks.md has a {what} in line {at} that is never closed, new tasks would stand in it; \
             close it first"
        )));
    }
    let ids = new_ids(&known, tasks.len());
    let mut lines = written(&ids, tasks);
    let behind = match place {
        Place::Phase(name) => {
            let (at, phase) = find_phase(&known, name)?;
            let in_phase = known.tasks.iter().filter(|task| task.phase == Some(at));
            place_in(&scan, in_phase, Some(phase), &mut lines)
        }
        Place::End => place_in(&scan, known.tasks.iter(), None, &mut lines),
        Place::NewPhase(title) => {
            let numbers = known.phases.iter().filter_map(|phase| phase.number.as_deref());
            let whole = |number: &str| number.split('.').next()?.parse::<u32>().ok();
            let number = numbers.filter_map(whole).max().unwrap_or(0).saturating_add(1);
            let mut head = vec![format!("## Phase {number}: {}", title.trim()), String::new()];
            if scan.lines.last().is_some_and(|line| !line.is_blank()) {
                head.insert(0, String::new());
            }
            lines.splice(0..0, head);
            scan.lines.len()
        }
    };
    let splice = insert(text, &scan, behind, &lines);
    Ok((vec![splice], (vec![added(behind, &lines)], ids)))
}

/// The line behind which new tasks stand: the last task's, or the end of a phase without any.
fn place_in<'a>(
    scan: &Scan,
    tasks: impl Iterator<Item = &'a Task>,
    phase: Option<&Phase>,
    lines: &mut Vec<String>,
) -> usize {
    if let Some(last) = tasks.map(|task| task.lines.end - 1).max() {
        return last;
    }
    let end = match phase {
        Some(phase) => {
            let before_checkpoint = phase.checkpoint.as_ref().map_or(phase.lines.end, |c| c.0);
            trimmed(&scan.lines, phase.lines.start..before_checkpoint).end - 1
        }
        None => trimmed(&scan.lines, 0..scan.lines.len() + 1).end.max(1) - 1,
    };
    // A list begins a paragraph of its own.
    if end > 0 {
        lines.insert(0, String::new());
    }
    end
}

fn find_phase<'a>(known: &'a Tasks, name: &str) -> Result<(usize, &'a Phase)> {
    let wanted = name.trim().trim_start_matches('#').trim();
    let lower = wanted.to_lowercase();
    let number = lower.strip_prefix("phase").unwrap_or(&lower).trim();
    let exact = |phase: &&(usize, &Phase)| {
        let phase = phase.1;
        phase.heading == wanted
            || phase.title.to_lowercase() == lower
            || phase.number.as_ref().is_some_and(|n| n.to_lowercase() == number)
    };
    let all: Vec<(usize, &Phase)> = known.phases.iter().enumerate().collect();
    let mut found: Vec<&(usize, &Phase)> = all.iter().filter(exact).collect();
    if found.is_empty() && lower.len() > 2 {
        found = all.iter().filter(|(_, p)| p.heading.to_lowercase().contains(&lower)).collect();
    }
    match found.as_slice() {
        [one] => Ok(**one),
        [] => {
            let names = all.iter().map(|(_, phase)| phase.heading.as_str());
            let nearest = nearest(wanted, names.clone());
            let otherwise = format!("it has {}", names.collect::<Vec<_>>().join("; "));
            let what = format!("no phase `{name}` in `tasks.md`{}", hint(&nearest, &otherwise));
            Err(Error::Missing { what, nearest })
        }
        several => {
            let candidates: Vec<String> = several.iter().map(|(_, p)| p.heading.clone()).collect();
            let what = format!(
                "phase `{name}` could be `{}`; give the whole heading",
                candidates.join("`, `")
            );
            Err(Error::Ambiguous { what, candidates })
        }
    }
}

fn is_clarifications(section: &Section) -> bool {
    section.title.to_ascii_lowercase().starts_with("clarification")
}

fn answer(
    text: &str,
    question: &str,
    answer: &str,
    date: &str,
    marker: Option<MarkerRef>,
) -> Result<Made> {
    let scan = scan(text);
    let spec = Spec::parse(text);
    let bullet = format!("- Q: {} → A: {}", question.trim(), answer.trim());
    let (behind, lines) = clarification_place(&scan, &spec.sections, date, bullet);
    let mut splices = vec![insert(text, &scan, behind, &lines)];
    let mut changes = vec![Change { line: behind + lines.len(), ..added(behind, &lines) }];
    if lines.last().is_some_and(String::is_empty) {
        changes[0].line -= 1;
    }
    if let Some(wanted) = marker {
        let marker = find_marker(&spec, wanted)?;
        let old = &scan.lines[marker.line - 1];
        let range = marker.bytes.start - old.start..marker.bytes.end - old.start;
        let after =
            format!("{}{}{}", &old.raw[..range.start], answer.trim(), &old.raw[range.end..]);
        let line = if marker.line > behind { marker.line + lines.len() } else { marker.line };
        changes.push(Change { line, before: old.raw.to_owned(), after });
        splices.push(Splice { bytes: marker.bytes.clone(), with: answer.trim().to_owned() });
    }
    changes[0].after = changes[0].after.lines().last().unwrap_or_default().to_owned();
    Ok((splices, (changes, Vec::new())))
}

/// Behind which line an answer stands, and the lines that it needs there.
fn clarification_place(
    scan: &Scan,
    sections: &[Section],
    date: &str,
    bullet: String,
) -> (usize, Vec<String>) {
    let session = format!("Session {date}");
    let blank = String::new;
    let Some(at) = sections.iter().position(is_clarifications) else {
        let heading = ["## Clarifications".to_owned(), blank(), format!("### {session}"), blank()];
        let mut lines: Vec<String> = heading.into_iter().chain([bullet]).collect();
        // Just behind the head of the document, which ends at the first section.
        let second = sections.iter().find(|s| s.level == 2);
        let behind = second.map_or(scan.lines.len(), |s| s.lines.start - 1);
        if second.is_some() {
            lines.push(blank());
        }
        if behind > 0 && !scan.lines[behind - 1].is_blank() {
            lines.insert(0, blank());
        }
        return (behind, lines);
    };
    let whole = &sections[at];
    let inside = |s: &&Section| {
        whole.lines.start < s.lines.start && s.lines.end <= whole.lines.end && s.title == session
    };
    if let Some(today) = sections.iter().find(inside) {
        let end = trimmed(&scan.lines, today.lines.clone()).end - 1;
        let first = end == today.lines.start;
        return (end, if first { vec![blank(), bullet] } else { vec![bullet] });
    }
    let end = trimmed(&scan.lines, whole.lines.clone()).end - 1;
    (end, vec![blank(), format!("### {session}"), blank(), bullet])
}

fn find_marker<'a>(spec: &'a Spec, wanted: MarkerRef) -> Result<&'a crate::Marker> {
    let found: Vec<&crate::Marker> = match wanted {
        MarkerRef::Line(line) => spec.markers.iter().filter(|m| m.line == line).take(1).collect(),
        MarkerRef::Question(asked) => spec.markers.iter().filter(|m| m.asks(asked)).collect(),
    };
    let shown = |m: &crate::Marker| format!("line {}: {}", m.line, m.question);
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let asked = match wanted {
                MarkerRef::Line(line) => format!("in line {line}"),
                MarkerRef::Question(asked) => format!("that asks `{asked}`"),
            };
            let nearest: Vec<String> = spec.markers.iter().take(5).map(shown).collect();
            let hint = match nearest.as_slice() {
                [] => "the spec has no open markers".to_owned(),
                some => format!("open ones are `{}`", some.join("`, `")),
            };
            Err(Error::Missing { what: format!("no marker {asked}; {hint}"), nearest })
        }
        several => {
            let candidates: Vec<String> = several.iter().map(|m| shown(m)).collect();
            let what = format!(
                "{} markers ask the same: `{}`; give the line",
                candidates.len(),
                candidates.join("`, `")
            );
            Err(Error::Ambiguous { what, candidates })
        }
    }
}

fn status(text: &str, status: &str) -> Result<Made> {
    let spec = Spec::parse(text);
    let Some(field) = spec.field("status") else {
        let what = "no line `**Status**: …` at the head of `spec.md`; add one by hand".to_owned();
        return Err(Error::Missing { what, nearest: Vec::new() });
    };
    let scan = scan(text);
    let old = &scan.lines[field.line - 1];
    let before = old.raw.to_owned();
    let (start, end) = (field.bytes.start - old.start, field.bytes.end - old.start);
    // A field without a value may lack the space as well.
    let space = if before[..start].ends_with([' ', '\t']) { "" } else { " " };
    let value = format!("{space}{}", status.trim());
    let after = format!("{}{value}{}", &before[..start], &before[end..]);
    let change = Change { line: field.line, before: before.clone(), after: after.clone() };
    if before == after {
        return Ok((Vec::new(), (vec![change], Vec::new())));
    }
    let splice = Splice { bytes: field.bytes.clone(), with: value };
    Ok((vec![splice], (vec![change], Vec::new())))
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
