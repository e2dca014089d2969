//! The part of a feature that somebody asks for, with what it depends on and nothing else.
//!
//! A task brings its story, the requirements that it or its story names, what it depends on and the
//! checkpoint of its phase. Invariant: a piece's text is that of its lines, byte for byte, and what
//! does not fit is said.

use crate::checklist::Checklist;
use crate::error::{Error, Result};
use crate::feature::{Doc, NAMED, hash};
use crate::jail;
use crate::list::{Cache, status};
use crate::nearest::{hint, nearest};
use crate::next::next_of;
use crate::project::{Feature, Project};
use crate::spec::{Requirement, Spec, requirement_at, requirements_named};
use crate::task::{Task, Tasks, number as task_number};
use crate::text::{Line, head, scan, sections, text_of};
use std::collections::HashSet;
use std::ops::Range;

/// The most that one slice gives, in bytes.
pub const SLICE_BYTES_MAX: usize = 256 * 1024;
/// Stories, phases or checklists that an overview names.
const LISTED_MAX: usize = 12;
/// One of them, in bytes.
const LISTED_BYTES_MAX: usize = 160;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Stage, progress, stories, phases, what is open, what is next.
    Overview,
    /// A document, relative to the feature.
    Doc(String),
    /// What stands below a heading.
    Section {
        /// The document.
        doc: String,
        /// The heading, or a part of it.
        heading: String,
    },
    /// A user story with its requirements and tasks.
    Story(u32),
    /// A task with all that it needs.
    Task(String),
    /// A requirement, the stories and tasks that name it.
    Requirement(String),
    /// A checklist by its name.
    Checklist(String),
    /// The project's constitution.
    Constitution,
    /// A contract by its name.
    Contract(String),
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `task`, `story`, `requirement`, `dependency`, `phase`, `checkpoint`, `section`, `document`,
    /// `checklist`, `contract`, `constitution`, `overview`.
    pub role: &'static str,
    /// Relative to the project.
    pub path: String,
    /// Line numbers, half open; empty for an overview, which is no part of a document.
    pub lines: Range<usize>,
    /// Byte for byte.
    pub text: String,
    /// The document's hash, for an edit that follows.
    pub hash: String,
}

/// What did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// As [`Piece::role`].
    pub role: &'static str,
    /// Relative to the project.
    pub path: String,
    /// Line numbers, half open.
    pub lines: Range<usize>,
    /// How much it is.
    pub bytes: usize,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// What was asked for first, then what it depends on.
    pub pieces: Vec<Piece>,
    /// What did not fit.
    pub left_out: Vec<LeftOut>,
}

impl Want {
    /// Reads `overview`, `constitution`, `T012`, `US1`, `story 1`, `FR-003`, `plan`, `spec.md`,
    /// `spec.md#Edge Cases`, `checklists/ux`, `contracts/api.yaml`.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let number = |prefix: &str| {
            let rest = lower.strip_prefix(prefix)?.trim_start_matches([' ', ':', '-']);
            rest.parse::<u32>().ok()
        };
        if let Some((doc, heading)) = text.split_once('#') {
            let doc = with_ending(doc.trim());
            return Want::Section { doc, heading: heading.trim_matches(['#', ' ']).to_owned() };
        }
        if let Some(n) = number("user story").or(number("story")).or(number("us")) {
            return Want::Story(n);
        }
        let upper = text.to_ascii_uppercase();
        let id = match lower.strip_prefix("task") {
            Some(rest) => text[text.len() - rest.len()..].trim_start_matches([' ', ':']),
            None => text,
        };
        let digits = id.strip_prefix(['T', 't']);
        if digits.is_some_and(|digits| task_number(&format!("T{digits}")).is_some()) {
            return Want::Task(id.to_owned());
        }
        if requirement_at(&upper).is_some_and(|(_, rest)| rest.is_empty()) {
            return Want::Requirement(upper);
        }
        match lower.as_str() {
            "" | "overview" | "status" => return Want::Overview,
            "constitution" | "constitution.md" => return Want::Constitution,
            _ => {}
        }
        for prefix in ["checklists/", "checklist:", "checklist "] {
            if lower.starts_with(prefix) {
                return Want::Checklist(text[prefix.len()..].trim().to_owned());
            }
        }
        if lower.starts_with("contracts/") {
            return Want::Contract(text["contracts/".len()..].to_owned());
        }
        Want::Doc(with_ending(text))
    }
}

/// `plan` is `plan.md`.
fn with_ending(doc: &str) -> String {
    let named = format!("{}.md", doc.to_ascii_lowercase());
    if NAMED.contains(&named.as_str()) { named } else { doc.to_owned() }
}

/// Takes pieces until nothing more fits.
struct Builder {
    left: usize,
    out: Slice,
}

impl Builder {
    fn new(max_bytes: usize) -> Self {
        Builder { left: max_bytes.min(SLICE_BYTES_MAX), out: Slice::default() }
    }

    fn leave_out(&mut self, piece: &Piece, lines: Range<usize>, bytes: usize) {
        let (role, path) = (piece.role, piece.path.clone());
        self.out.left_out.push(LeftOut { role, path, lines, bytes });
    }

    fn push(&mut self, mut piece: Piece) {
        if piece.text.is_empty() {
            return;
        }
        if piece.text.len() <= self.left {
            self.left -= piece.text.len();
            self.out.pieces.push(piece);
            return;
        }
        if !self.out.pieces.is_empty() {
            let (lines, bytes) = (piece.lines.clone(), piece.text.len());
            self.leave_out(&piece, lines, bytes);
            return;
        }
        // The first piece is what was asked for: as many of its lines as fit.
        let (mut bytes, mut n) = (0, 0);
        for line in piece.text.split_inclusive('\n') {
            if bytes + line.len() > self.left {
                break;
            }
            (bytes, n) = (bytes + line.len(), n + 1);
        }
        let behind = (piece.lines.start + n).min(piece.lines.end)..piece.lines.end;
        self.leave_out(&piece, behind.clone(), piece.text.len() - bytes);
        piece.text.truncate(bytes);
        piece.lines.end = behind.start;
        self.left = 0;
        if n > 0 {
            self.out.pieces.push(piece);
        }
    }
}

/// A document with its lines.
struct View<'a> {
    doc: &'a Doc,
    path: String,
    lines: Vec<Line<'a>>,
}

impl<'a> View<'a> {
    fn new(feature: &Feature, doc: &'a Doc) -> Self {
        let path = format!("{}/{}", feature.path, doc.path);
        View { path, lines: scan(&doc.text).lines, doc }
    }

    fn piece(&self, role: &'static str, lines: Range<usize>) -> Piece {
        Piece {
            role,
            path: self.path.clone(),
            text: text_of(&self.doc.text, &self.lines, &lines).to_owned(),
            hash: self.doc.hash.clone(),
            lines,
        }
    }

    /// Ranges that touch become one piece.
    fn pieces(&self, role: &'static str, mut ranges: Vec<Range<usize>>) -> Vec<Piece> {
        ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match joined.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => joined.push(range),
            }
        }
        joined.into_iter().map(|lines| self.piece(role, lines)).collect()
    }

    fn whole(&self, role: &'static str) -> Piece {
        self.piece(role, 1..self.lines.len() + 1)
    }
}

/// Gives the slice of a feature that is asked for, at most `max_bytes` of text.
///
/// # Errors
/// `Missing` for what is not there (nearest named), `Ambiguous` for a name that fits several,
/// `Outside` for a path that leaves the feature, `Unreadable`, `Io`.
pub fn slice(project: &Project, feature: &Feature, want: &Want, max_bytes: usize) -> Result<Slice> {
    let mut out = Builder::new(max_bytes);
    match want {
        Want::Overview => out.push(overview(feature)),
        Want::Doc(doc) => {
            let doc = feature.read(doc)?;
            out.push(View::new(feature, &doc).whole("document"));
        }
        Want::Section { doc, heading } => section(feature, doc, heading, &mut out)?,
        Want::Story(number) => story(feature, *number, &mut out)?,
        Want::Task(id) => task(feature, id, &mut out)?,
        Want::Requirement(id) => requirement(feature, id, &mut out)?,
        Want::Checklist(name) => named(feature, "checklists", name, "checklist", &mut out)?,
        Want::Contract(name) => named(feature, "contracts", name, "contract", &mut out)?,
        Want::Constitution => out.push(constitution(project)?),
    }
    Ok(out.out)
}

fn constitution(project: &Project) -> Result<Piece> {
    let path = ".specify/memory/constitution.md";
    let Some(text) = jail::read_optional(&project.root, path)? else {
        let what =
            format!("the project has no `{path}`; run {}", project.invocation("constitution"));
        return Err(Error::Missing { what, nearest: Vec::new() });
    };
    let n = text.split_inclusive('\n').count();
    let hash = hash(text.as_bytes());
    Ok(Piece { role: "constitution", path: path.to_owned(), lines: 1..n + 1, text, hash })
}

/// A file of a folder, with or without its ending.
fn named(
    feature: &Feature,
    folder: &str,
    name: &str,
    role: &'static str,
    out: &mut Builder,
) -> Result<()> {
    let all = if folder == "contracts" { feature.contracts() } else { feature.checklists() };
    let wanted = format!("{folder}/{name}");
    let stem = |path: &str| path.rsplit_once('.').map_or(path, |(stem, _)| stem).to_owned();
    let found: Vec<&String> =
        all.iter().filter(|path| **path == wanted || stem(path) == wanted).collect();
    match found.as_slice() {
        [one] => {
            let doc = feature.read(one)?;
            out.push(View::new(feature, &doc).whole(role));
            Ok(())
        }
        [] => {
            jail::check(&wanted)?;
            Err(feature.no_document(&wanted))
        }
        several => {
            let candidates: Vec<String> = several.iter().map(|path| (*path).clone()).collect();
            let what = format!("`{wanted}` could be {}; give the ending", candidates.join(", "));
            Err(Error::Ambiguous { what, candidates })
        }
    }
}

fn section(feature: &Feature, doc: &str, heading: &str, out: &mut Builder) -> Result<()> {
    let doc = feature.read(doc)?;
    let view = View::new(feature, &doc);
    let all = sections(&view.lines);
    let lower = heading.to_lowercase();
    // What templates add in italics is no part of the name.
    let plain = |title: &str| title.split(" *(").next().unwrap_or(title).trim().to_lowercase();
    let mut found: Vec<_> = all.iter().filter(|s| plain(&s.title) == plain(&lower)).collect();
    if found.is_empty() && !lower.is_empty() {
        found = all.iter().filter(|s| s.title.to_lowercase().contains(&lower)).collect();
    }
    match found.as_slice() {
        [one] => {
            out.push(view.piece("section", one.lines.clone()));
            Ok(())
        }
        [] => {
            let names = all.iter().map(|s| s.title.as_str());
            let nearest = nearest(heading, names.clone());
            let otherwise = format!("it has {}", names.collect::<Vec<_>>().join("; "));
            let doc = &doc.path;
            let what = format!("no heading `{heading}` in `{doc}`{}", hint(&nearest, &otherwise));
            Err(Error::Missing { what, nearest })
        }
        several => {
            let candidates: Vec<String> = several.iter().map(|s| s.title.clone()).collect();
            let what = format!("`{heading}` could be `{}`; give it whole", candidates.join("`, `"));
            Err(Error::Ambiguous { what, candidates })
        }
    }
}

/// The requirements with these ids, in the order of the spec.
fn of_ids<'a>(spec: &'a Spec, ids: &[String]) -> Vec<&'a Requirement> {
    let ids: HashSet<&String> = ids.iter().collect();
    spec.requirements.iter().filter(|r| ids.contains(&r.id)).collect()
}

/// Ids that a story's section or its tasks name.
fn named_by_story(spec: &Spec, view: &View, tasks: Option<&Tasks>, number: u32) -> Vec<String> {
    let section = spec.story(number).map_or(1..1, |story| story.lines.clone());
    let mut ids = requirements_named(text_of(&view.doc.text, &view.lines, &section));
    for task in tasks.into_iter().flat_map(|tasks| tasks.of_story(number)) {
        ids.extend(task.requirements.iter().cloned());
    }
    ids
}

fn story(feature: &Feature, number: u32, out: &mut Builder) -> Result<()> {
    let spec_doc = feature.read("spec.md")?;
    let view = View::new(feature, &spec_doc);
    let spec = Spec::parse(&spec_doc.text);
    let Some(story) = spec.story(number) else {
        let nearest: Vec<String> =
            spec.stories.iter().map(|s| format!("US{} {}", s.number, s.title)).collect();
        let known = match nearest.as_slice() {
            [] => "it has no user stories".to_owned(),
            all => format!("it has {}", all.join("; ")),
        };
        let what = format!("no user story {number} in `spec.md`; {known}");
        return Err(Error::Missing { what, nearest });
    };
    out.push(view.piece("story", story.lines.clone()));
    let tasks_doc = feature.read_optional("tasks.md")?;
    let tasks = tasks_doc.as_ref().map(|doc| Tasks::parse(&doc.text));
    let ids = named_by_story(&spec, &view, tasks.as_ref(), number);
    let ranges = of_ids(&spec, &ids).into_iter().map(|r| r.lines.clone()).collect();
    view.pieces("requirement", ranges).into_iter().for_each(|piece| out.push(piece));
    let (Some(doc), Some(tasks)) = (&tasks_doc, &tasks) else { return Ok(()) };
    let view = View::new(feature, doc);
    let ranges = tasks.of_story(number).map(|task| task.lines.clone()).collect();
    view.pieces("task", ranges).into_iter().for_each(|piece| out.push(piece));
    let phase = tasks.phases.iter().find(|phase| phase.story == Some(number));
    if let Some((line, _)) = phase.and_then(|phase| phase.checkpoint.as_ref()) {
        out.push(view.piece("checkpoint", *line..line + 1));
    }
    Ok(())
}

fn find_task<'a>(tasks: &'a Tasks, id: &str) -> Result<&'a Task> {
    let found = tasks.tasks.iter().find(|task| task.id.eq_ignore_ascii_case(id));
    found.ok_or_else(|| {
        let nearest = nearest(id, tasks.tasks.iter().map(|task| task.id.as_str()));
        let otherwise = format!("it has {} tasks", tasks.tasks.len());
        let what = format!("no task `{id}` in `tasks.md`{}", hint(&nearest, &otherwise));
        Error::Missing { what, nearest }
    })
}

fn task(feature: &Feature, id: &str, out: &mut Builder) -> Result<()> {
    let doc = feature.read("tasks.md")?;
    let view = View::new(feature, &doc);
    let tasks = Tasks::parse(&doc.text);
    let task = find_task(&tasks, id)?;
    out.push(view.piece("task", task.lines.clone()));
    let phase = task.phase.map(|at| &tasks.phases[at]);
    if let Some(phase) = phase {
        let head = phase.lines.start..phase.lines.start + 1;
        let goal = phase.goal.as_ref().map(|(line, _)| *line..line + 1);
        let ranges = std::iter::once(head).chain(goal).collect();
        view.pieces("phase", ranges).into_iter().for_each(|piece| out.push(piece));
    }
    let needed = |other: &&Task| task.depends.contains(&other.id) && other.line != task.line;
    let ranges = tasks.tasks.iter().filter(needed).map(|other| other.lines.clone()).collect();
    view.pieces("dependency", ranges).into_iter().for_each(|piece| out.push(piece));
    if let Some((line, _)) = phase.and_then(|phase| phase.checkpoint.as_ref()) {
        out.push(view.piece("checkpoint", *line..line + 1));
    }
    let Some(spec_doc) = feature.read_optional("spec.md")? else { return Ok(()) };
    let view = View::new(feature, &spec_doc);
    let spec = Spec::parse(&spec_doc.text);
    let number = tasks.story_of(task);
    let mut ids = task.requirements.clone();
    if let Some(number) = number.filter(|_| ids.is_empty()) {
        ids = named_by_story(&spec, &view, Some(&tasks), number);
    }
    let ranges = of_ids(&spec, &ids).into_iter().map(|r| r.lines.clone()).collect();
    view.pieces("requirement", ranges).into_iter().for_each(|piece| out.push(piece));
    if let Some(story) = number.and_then(|number| spec.story(number)) {
        out.push(view.piece("story", story.lines.clone()));
    }
    Ok(())
}

fn requirement(feature: &Feature, id: &str, out: &mut Builder) -> Result<()> {
    let doc = feature.read("spec.md")?;
    let view = View::new(feature, &doc);
    let spec = Spec::parse(&doc.text);
    let ids = [id.to_owned()];
    let found = of_ids(&spec, &ids);
    if found.is_empty() {
        let nearest = nearest(id, spec.requirements.iter().map(|r| r.id.as_str()));
        let otherwise = format!("it has {} requirements", spec.requirements.len());
        let what = format!("no requirement `{id}` in `spec.md`{}", hint(&nearest, &otherwise));
        return Err(Error::Missing { what, nearest });
    }
    let ranges = found.into_iter().map(|r| r.lines.clone()).collect();
    view.pieces("requirement", ranges).into_iter().for_each(|piece| out.push(piece));
    if let Some(tasks_doc) = feature.read_optional("tasks.md")? {
        let tasks = Tasks::parse(&tasks_doc.text);
        let naming = |task: &&Task| task.requirements.contains(&ids[0]);
        let ranges = tasks.tasks.iter().filter(naming).map(|task| task.lines.clone()).collect();
        let view = View::new(feature, &tasks_doc);
        view.pieces("task", ranges).into_iter().for_each(|piece| out.push(piece));
    }
    for story in &spec.stories {
        let text = text_of(&doc.text, &view.lines, &story.lines);
        if requirements_named(text).contains(&ids[0]) {
            out.push(view.piece("story", story.lines.clone()));
        }
    }
    Ok(())
}

/// Lines of a list that stays short: what comes after the first ones is counted only.
fn listed(out: &mut String, title: &str, items: impl ExactSizeIterator<Item = String>) {
    let n = items.len();
    if n == 0 {
        return;
    }
    *out += &format!("\n{title}:\n");
    for item in items.take(LISTED_MAX) {
        *out += &format!("- {}\n", head(&item, LISTED_BYTES_MAX));
    }
    if n > LISTED_MAX {
        *out += &format!("- … and {} more\n", n - LISTED_MAX);
    }
}

fn progress<'a>(tasks: impl Iterator<Item = &'a Task>) -> String {
    let (mut done, mut all) = (0, 0);
    for task in tasks {
        (done, all) = (done + usize::from(task.done), all + 1);
    }
    format!("{done} of {all} tasks")
}

/// An overview of a feature; documents that cannot be read are named in it.
fn overview(feature: &Feature) -> Piece {
    let state = status(feature, &mut Cache::new(8));
    let read = |doc: &str| feature.read_optional(doc).ok().flatten();
    let spec = read("spec.md").map(|doc| Spec::parse(&doc.text)).unwrap_or_default();
    let tasks = read("tasks.md").map(|doc| Tasks::parse(&doc.text)).unwrap_or_default();
    let documents = feature.documents();
    let mut text = format!(
        "# {} ({})\n\nstage {}, {} of {} tasks done",
        head(&state.name, LISTED_BYTES_MAX),
        feature.name,
        state.stage.name(),
        state.tasks_done,
        state.tasks_total
    );
    if let Some(status) = spec.status() {
        text += &format!(", status {}", head(status, LISTED_BYTES_MAX));
    }
    let shown = documents.iter().take(2 * LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = documents.len().saturating_sub(2 * LISTED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    text += &format!("\ndocuments: {shown}{more}\n");
    if !state.missing.is_empty() {
        text += &format!("missing: {}\n", state.missing.join(", "));
    }
    let stories = spec.stories.iter().map(|story| {
        let priority = story.priority.as_ref().map_or_else(String::new, |p| format!(" ({p})"));
        let tasks = progress(tasks.of_story(story.number));
        format!("US{}{priority} {}: {tasks}", story.number, head(&story.title, LISTED_BYTES_MAX))
    });
    listed(&mut text, "stories", stories);
    let phases = tasks.phases.iter().enumerate().map(|(at, phase)| {
        let tasks = progress(tasks.tasks.iter().filter(|task| task.phase == Some(at)));
        format!("{}: {tasks}", head(&phase.heading, LISTED_BYTES_MAX))
    });
    listed(&mut text, "phases", phases);
    let open = spec.markers.iter().map(|m| format!("line {}: {}", m.line, m.question));
    listed(&mut text, "open questions", open);
    let gates: Vec<String> = documents
        .iter()
        .filter(|path| path.starts_with("checklists/"))
        .filter_map(|path| {
            let open = Checklist::parse(&read(path)?.text).open();
            (open > 0).then(|| format!("{path}: {open} items open"))
        })
        .collect();
    listed(&mut text, "checklists", gates.into_iter());
    listed(&mut text, "unreadable", state.unreadable.into_iter());
    if let Some(first) = next_of(&tasks, 1).tasks.first() {
        text += &format!("\nnext: {} {}\n", first.id, head(&first.text, LISTED_BYTES_MAX));
    }
    let (path, hash) = (feature.path.clone(), String::new());
    Piece { role: "overview", path, lines: 0..0, text, hash }
}

#[cfg(test)]
#[path = "slice_tests.rs"]
mod tests;
