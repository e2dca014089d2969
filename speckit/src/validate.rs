//! Checks a feature by Spec-Kit's own rules: the part of `analyze` that needs no judgement.
//!
//! It reads and never writes. What it cannot know (whether a plan is good) it does not say.
//! Invariant: `ok` is false exactly if a finding is an error.

use crate::checklist::Checklist;
use crate::constitution::Constitution;
use crate::error::{Error, Result};
use crate::feature::Doc;
use crate::jail;
use crate::plan::Plan;
use crate::project::{Feature, Project};
use crate::spec::{Spec, requirements_named};
use crate::task::{PhaseKind, Tasks};
use crate::text::{scan, text_of};
use std::collections::{HashMap, HashSet};

/// Open questions that a spec may have, by the rules of `specify`.
pub const MARKERS_MAX: usize = 3;
/// Findings that one validation gives.
pub const FINDINGS_MAX: usize = 500;
const CONSTITUTION: &str = ".specify/memory/constitution.md";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Breaks a rule.
    Error,
    /// Would stop a later step, or misses something.
    Warning,
    /// Worth a look.
    Hint,
}

impl Severity {
    /// `error`, `warning`, `hint`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Hint => "hint",
        }
    }
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `duplicate-id`, …
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Relative to the feature; the constitution relative to the project.
    pub doc: String,
    /// Line number.
    pub line: Option<usize>,
    /// A sentence.
    pub message: String,
}

/// A requirement and the tasks that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// `FR-001`
    pub id: String,
    /// Line in spec.md.
    pub line: usize,
    /// Tasks that name it.
    pub tasks: Vec<String>,
    /// Stories that name it and have tasks, where no task does.
    pub stories: Vec<u32>,
}

/// Which requirements are served by tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Every FR and SC, in the order of the spec.
    pub requirements: Vec<Covered>,
    /// Those that neither a task nor a story with tasks names.
    pub uncovered: Vec<String>,
}

/// A validation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// No error was found.
    pub ok: bool,
    /// Errors first, then by document and line.
    pub findings: Vec<Finding>,
    /// Findings over [`FINDINGS_MAX`] that are not listed.
    pub left_out: usize,
    /// Of spec.md by tasks.md.
    pub coverage: Coverage,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        rule: &'static str,
        doc: &str,
        line: impl Into<Option<usize>>,
        message: String,
    ) {
        let (doc, line) = (doc.to_owned(), line.into());
        self.0.push(Finding { rule, severity, doc, line, message });
    }

    /// Ids that are given twice.
    fn doubles<'a>(&mut self, doc: &str, ids: impl Iterator<Item = (&'a str, usize)>) {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (id, line) in ids {
            let known = *first.entry(id).or_insert(line);
            if known != line {
                let message = format!("`{id}` is given in line {known} already");
                self.add(Severity::Error, "duplicate-id", doc, line, message);
            }
        }
    }
}

/// Validates a feature.
///
/// # Errors
/// `Outside`, `Io`. A document that cannot be read is a finding.
pub fn validate(project: &Project, feature: &Feature) -> Result<Report> {
    let mut out = Findings(Vec::new());
    let spec_doc = read(feature, "spec.md", &mut out)?;
    let plan_doc = read(feature, "plan.md", &mut out)?;
    let tasks_doc = read(feature, "tasks.md", &mut out)?;
    missing(project, [&spec_doc, &plan_doc, &tasks_doc], &mut out);
    let spec = spec_doc.as_ref().map(|doc| Spec::parse(&doc.text));
    let tasks = tasks_doc.as_ref().map(|doc| Tasks::parse(&doc.text));
    if let Some(spec) = &spec {
        check_spec(spec, &mut out);
    }
    if let Some(doc) = &plan_doc {
        check_plan(&Plan::parse(&doc.text), &mut out);
    }
    if let Some(tasks) = &tasks {
        check_tasks(tasks, spec.as_ref(), &mut out);
        check_dependencies(tasks, &mut out);
    }
    for path in feature.checklists() {
        if let Some(doc) = read(feature, &path, &mut out)? {
            check_list(&Checklist::parse(&doc.text), &path, &mut out);
        }
    }
    check_constitution(project, &mut out)?;
    let coverage = match (&spec_doc, &spec, &tasks) {
        (Some(doc), Some(spec), Some(tasks)) => cover(doc, spec, tasks, &mut out),
        _ => Coverage::default(),
    };
    let Findings(mut findings) = out;
    let ok = findings.iter().all(|finding| finding.severity != Severity::Error);
    findings.sort_by(|a, b| (a.severity, &a.doc, a.line).cmp(&(b.severity, &b.doc, b.line)));
    let left_out = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    Ok(Report { ok, findings, left_out, coverage })
}

fn read(feature: &Feature, path: &str, out: &mut Findings) -> Result<Option<Doc>> {
    match feature.read_optional(path) {
        Err(Error::Unreadable { reason, .. }) => {
            out.add(Severity::Error, "unreadable", path, None, reason);
            Ok(None)
        }
        other => other,
    }
}

fn missing(project: &Project, docs: [&Option<Doc>; 3], out: &mut Findings) {
    let [spec, plan, tasks] = docs.map(Option::is_some);
    // A document that a later one stands on must be there.
    let mut check = |there: bool, later: bool, doc: &str, command: &str| {
        if !there {
            let severity = if later { Severity::Error } else { Severity::Warning };
            let message = format!("there is no {doc}; {} makes it", project.invocation(command));
            out.add(severity, "missing-document", doc, None, message);
        }
    };
    check(spec, true, "spec.md", "specify");
    check(plan, tasks, "plan.md", "plan");
    check(tasks, false, "tasks.md", "tasks");
    for doc in docs.into_iter().flatten().filter(|doc| doc.text.trim().is_empty()) {
        let message = format!("{} is empty", doc.path);
        out.add(Severity::Error, "empty-document", &doc.path, None, message);
    }
}

fn unclosed(open: Option<(&'static str, usize)>, doc: &str, out: &mut Findings) {
    if let Some((what, line)) = open {
        let message = format!("this {what} is never closed, all behind it counts as part of it");
        out.add(Severity::Warning, "unclosed", doc, line, message);
    }
}

fn check_spec(spec: &Spec, out: &mut Findings) {
    let doc = "spec.md";
    for marker in &spec.markers {
        let message = format!("open question: {}", marker.question);
        out.add(Severity::Warning, "open-marker", doc, marker.line, message);
    }
    if spec.markers.len() > MARKERS_MAX {
        let n = spec.markers.len();
        let message = format!("{n} open questions, the rules of `specify` allow {MARKERS_MAX}");
        out.add(Severity::Error, "too-many-markers", doc, spec.markers[0].line, message);
    }
    out.doubles(doc, spec.requirements.iter().map(|r| (r.id.as_str(), r.line)));
    let stories: Vec<(String, usize)> =
        spec.stories.iter().map(|s| (format!("User Story {}", s.number), s.lines.start)).collect();
    out.doubles(doc, stories.iter().map(|(id, line)| (id.as_str(), *line)));
    for story in spec.stories.iter().filter(|story| story.priority.is_none()) {
        let message = format!("User Story {} has no priority", story.number);
        out.add(Severity::Hint, "story-without-priority", doc, story.lines.start, message);
    }
    for requirement in spec.requirements.iter().filter(|r| r.is_covered_by_tasks()) {
        let digits = requirement.id.bytes().filter(u8::is_ascii_digit).count();
        if digits < 3 {
            let message = format!("`{}` should have three digits", requirement.id);
            out.add(Severity::Hint, "short-id", doc, requirement.line, message);
        }
    }
    if spec.title.starts_with('[') {
        let message = "the title is still the template's".to_owned();
        out.add(Severity::Warning, "template-left", doc, 1, message);
    }
    unclosed(spec.unclosed, doc, out);
}

fn check_plan(plan: &Plan, out: &mut Findings) {
    for marker in &plan.markers {
        let question = if marker.question.is_empty() { "not decided" } else { &marker.question };
        let message = format!("open question: {question}");
        out.add(Severity::Warning, "open-marker", "plan.md", marker.line, message);
    }
    match &plan.check {
        None => {
            let message = "there is no Constitution Check".to_owned();
            out.add(Severity::Hint, "constitution-check", "plan.md", None, message);
        }
        Some(check) if !check.filled => {
            let message = "the Constitution Check is still the template's".to_owned();
            out.add(Severity::Warning, "constitution-check", "plan.md", check.lines.start, message);
        }
        Some(_) => {}
    }
}

fn check_tasks(tasks: &Tasks, spec: Option<&Spec>, out: &mut Findings) {
    let doc = "tasks.md";
    let stories: Option<HashSet<u32>> =
        spec.map(|spec| spec.stories.iter().map(|story| story.number).collect());
    out.doubles(doc, tasks.tasks.iter().map(|task| (task.id.as_str(), task.line)));
    for stray in &tasks.strays {
        if stray.sample {
            let message = format!("a line of the template is left: {}", stray.text);
            out.add(Severity::Hint, "sample-line", doc, stray.line, message);
        } else {
            let message = format!("a box without an id (`T001`): {}", stray.text);
            out.add(Severity::Warning, "task-without-id", doc, stray.line, message);
        }
    }
    for task in &tasks.tasks {
        let id = &task.id;
        if !task.well_formed {
            // `T014a` is what people write who put a task in later.
            let later = id.len() > 4 && id.ends_with(|c: char| c.is_ascii_lowercase());
            let severity = if later { Severity::Warning } else { Severity::Error };
            let message = format!("`{id}` is not `T` and at least three digits");
            out.add(severity, "malformed-id", doc, task.line, message);
        }
        let kind = task.phase.map(|at| tasks.phases[at].kind);
        match (kind, task.story) {
            (Some(PhaseKind::Story), None) => {
                let message = format!("`{id}` is in a story's phase and has no `[US#]`");
                out.add(Severity::Error, "story-tag-missing", doc, task.line, message);
            }
            (Some(PhaseKind::Setup | PhaseKind::Foundational | PhaseKind::Polish), Some(n)) => {
                let message = format!("`{id}` has `[US{n}]` outside the stories' phases");
                out.add(Severity::Hint, "story-tag-outside", doc, task.line, message);
            }
            _ => {}
        }
        let unknown = |n: &u32| stories.as_ref().is_some_and(|known| !known.contains(n));
        if let Some(n) = task.story.filter(unknown) {
            let message = format!("`{id}` is tagged `[US{n}]`, spec.md has no such story");
            out.add(Severity::Error, "unknown-story", doc, task.line, message);
        }
        if task.files.is_empty() {
            let message = format!("`{id}` names no file");
            out.add(Severity::Hint, "task-without-path", doc, task.line, message);
        }
    }
    unclosed(tasks.unclosed, doc, out);
}

fn check_dependencies(tasks: &Tasks, out: &mut Findings) {
    let doc = "tasks.md";
    let known: HashMap<&str, usize> =
        tasks.tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
    for task in &tasks.tasks {
        for id in &task.depends {
            match known.get(id.as_str()) {
                None => {
                    let message = format!("`{}` depends on `{id}`, which there is not", task.id);
                    out.add(Severity::Error, "unknown-dependency", doc, task.line, message);
                }
                Some(at) if task.done && !tasks.tasks[*at].done => {
                    let message =
                        format!("`{}` is done, `{id}` that it depends on is not", task.id);
                    out.add(Severity::Hint, "done-before-dependency", doc, task.line, message);
                }
                Some(_) => {}
            }
        }
    }
    for at in circles(tasks, &known) {
        let task = &tasks.tasks[at];
        let message = format!("`{}` depends on itself through others", task.id);
        out.add(Severity::Error, "dependency-circle", doc, task.line, message);
    }
}

/// A task of each circle: where a walk along dependencies comes back to its own path.
fn circles(tasks: &Tasks, known: &HashMap<&str, usize>) -> Vec<usize> {
    let next = |at: usize| -> Vec<usize> {
        tasks.tasks[at].depends.iter().filter_map(|id| known.get(id.as_str()).copied()).collect()
    };
    // 0 not seen, 1 on the path, 2 done. Walked without recursion: a list may be long.
    let mut state = vec![0u8; tasks.tasks.len()];
    let mut out = Vec::new();
    for start in 0..tasks.tasks.len() {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut path = vec![(start, next(start))];
        while let Some((at, open)) = path.last_mut() {
            let at = *at;
            match open.pop() {
                None => {
                    state[at] = 2;
                    path.pop();
                }
                Some(to) if state[to] == 1 => out.push(to),
                Some(to) if state[to] == 0 => {
                    state[to] = 1;
                    path.push((to, next(to)));
                }
                Some(_) => {}
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

fn check_list(list: &Checklist, doc: &str, out: &mut Findings) {
    let ids = list.items.iter().filter_map(|item| Some((item.id.as_deref()?, item.line)));
    out.doubles(doc, ids);
    if let Some(first) = list.items.iter().find(|item| !item.done) {
        let (open, all) = (list.open(), list.items.len());
        let message = format!("{open} of {all} items are open; `implement` asks before it begins");
        out.add(Severity::Warning, "checklist-open", doc, first.line, message);
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        })
}

fn check_constitution(project: &Project, out: &mut Findings) -> Result<()> {
    let doc = CONSTITUTION;
    let Some(text) = jail::read_optional(&project.root, doc)? else {
        let message = format!("there is none; {} makes it", project.invocation("constitution"));
        out.add(Severity::Warning, "constitution-missing", doc, None, message);
        return Ok(());
    };
    let found = Constitution::parse(&text);
    if let Some((line, first)) = found.unfilled.first() {
        let n = found.unfilled.len();
        let message = format!("{n} tokens are not filled, the first is `[{first}]`");
        out.add(Severity::Warning, "constitution-unfilled", doc, *line, message);
        return Ok(());
    }
    let semver = |text: &str| {
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
    };
    match &found.version {
        None => {
            let message = "there is no version line".to_owned();
            out.add(Severity::Warning, "constitution-version", doc, None, message);
        }
        Some((line, version)) => {
            if !semver(version) {
                let message = format!("version `{version}` is not of the form 1.2.3");
                out.add(Severity::Warning, "constitution-version", doc, *line, message);
            }
            for date in [&found.ratified, &found.amended].into_iter().flatten() {
                if !is_date(date) {
                    let message = format!("date `{date}` is not of the form YYYY-MM-DD");
                    out.add(Severity::Warning, "constitution-date", doc, *line, message);
                }
            }
        }
    }
    Ok(())
}

fn cover(doc: &Doc, spec: &Spec, tasks: &Tasks, out: &mut Findings) -> Coverage {
    let mut by_task: HashMap<String, Vec<String>> = HashMap::new();
    let known: HashSet<&str> = spec.requirements.iter().map(|r| r.id.as_str()).collect();
    let mut worked: HashSet<u32> = HashSet::new();
    for task in &tasks.tasks {
        worked.extend(tasks.story_of(task));
        for id in task.requirements.iter().cloned() {
            if !known.contains(id.as_str()) {
                let message = format!("`{}` names `{id}`, which spec.md does not have", task.id);
                out.add(Severity::Warning, "unknown-requirement", "tasks.md", task.line, message);
            }
            by_task.entry(id).or_default().push(task.id.clone());
        }
    }
    let scan = scan(&doc.text);
    let mut by_story: HashMap<String, Vec<u32>> = HashMap::new();
    for story in spec.stories.iter().filter(|story| worked.contains(&story.number)) {
        for id in requirements_named(text_of(&doc.text, &scan.lines, &story.lines)) {
            by_story.entry(id).or_default().push(story.number);
        }
    }
    let mut coverage = Coverage::default();
    for requirement in spec.requirements.iter().filter(|r| r.is_covered_by_tasks()) {
        let tasks = by_task.get(&requirement.id).cloned().unwrap_or_default();
        let stories = match tasks.is_empty() {
            true => by_story.get(&requirement.id).cloned().unwrap_or_default(),
            false => Vec::new(),
        };
        if tasks.is_empty() && stories.is_empty() {
            coverage.uncovered.push(requirement.id.clone());
        }
        let (id, line) = (requirement.id.clone(), requirement.line);
        coverage.requirements.push(Covered { id, line, tasks, stories });
    }
    uncovered(&coverage, tasks, out);
    coverage
}

/// Where no task names any requirement, that is one finding: the project does not write them.
fn uncovered(coverage: &Coverage, tasks: &Tasks, out: &mut Findings) {
    let total = coverage.requirements.len();
    if coverage.uncovered.is_empty() || tasks.tasks.is_empty() {
        return;
    }
    if coverage.uncovered.len() == total {
        let message = format!("no task names any of the {total} requirements by its id");
        out.add(Severity::Hint, "coverage-unknown", "tasks.md", None, message);
        return;
    }
    for covered in coverage.requirements.iter() {
        if covered.tasks.is_empty() && covered.stories.is_empty() {
            let message = format!("no task and no story with tasks names `{}`", covered.id);
            out.add(Severity::Warning, "uncovered", "spec.md", covered.line, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(files: &[(&str, &str)]) -> Report {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".specify")).unwrap();
        std::fs::create_dir_all(dir.path().join("specs/001-a")).unwrap();
        for (path, text) in files {
            let at = dir.path().join(path.replace("F/", "specs/001-a/"));
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, text).unwrap();
        }
        let project = Project::open(dir.path()).unwrap();
        validate(&project, &project.feature("1").unwrap()).unwrap()
    }

    fn rules(report: &Report) -> Vec<(&'static str, Option<usize>)> {
        report.findings.iter().map(|f| (f.rule, f.line)).collect()
    }

    const FINE: (&str, &str) = (
        ".specify/memory/constitution.md",
        "# C\n**Version**: 1.0.0 | **Ratified**: 2026-01-01 | **Last Amended**: 2026-01-01\n",
    );
    const PLAN: (&str, &str) = ("F/plan.md", "# P\n## Constitution Check\n- passed\n");

    #[test]
    fn a_clean_feature_has_no_findings() {
        let spec = "# Feature Specification: A\n### User Story 1 - S (Priority: P1)\nSC-001\n\
                    ## Requirements\n- **FR-001**: a\n- **SC-001**: b\n";
        let tasks = "## Phase 3: User Story 1\n- [ ] T001 [US1] FR-001 in src/a.rs\n";
        let report = report(&[FINE, PLAN, ("F/spec.md", spec), ("F/tasks.md", tasks)]);
        assert_eq!((report.ok, rules(&report)), (true, vec![]));
        assert_eq!(report.coverage.requirements[0].tasks, ["T001"]);
        assert_eq!(report.coverage.requirements[1].stories, [1]);
    }

    #[test]
    fn every_rule_of_tasks() {
        let spec = "# A\n### User Story 1 - S (Priority: P1)\n## R\n- FR-001: a\n- FR-002: b\n";
        let tasks = "## Phase 3: User Story 1\n- [ ] T001 a src/a.rs\n\
                     - [ ] T001 [US9] FR-001 src/b.rs\n\
                     - [ ] T2 [US1] c src/c.rs (depends on T099)\n\
                     - [ ] T003 [US1] d src/d.rs (depends on T004)\n\
                     - [ ] T004 [US1] FR-077 (depends on T003)\n- [ ] TXXX e\n- [ ] f\n";
        let report = report(&[FINE, PLAN, ("F/spec.md", spec), ("F/tasks.md", tasks)]);
        assert!(!report.ok);
        let found = rules(&report);
        for wanted in [
            ("story-tag-missing", 2),
            ("duplicate-id", 3),
            ("unknown-story", 3),
            ("malformed-id", 4),
            ("unknown-dependency", 4),
            ("dependency-circle", 5),
            ("unknown-requirement", 6),
            ("task-without-path", 6),
            ("sample-line", 7),
            ("task-without-id", 8),
            ("uncovered", 5),
        ] {
            assert!(found.contains(&(wanted.0, Some(wanted.1))), "{wanted:?}: {found:?}");
        }
        assert_eq!(report.coverage.uncovered, ["FR-002"]);
    }

    #[test]
    fn markers_constitution_checklists_documents() {
        let spec = "# [F]\n".to_owned() + &"- [NEEDS CLARIFICATION: x]\n".repeat(4);
        let report = report(&[
            ("F/spec.md", &spec),
            ("F/tasks.md", "- [ ] T001 a\n"),
            ("F/checklists/ux.md", "- [ ] CHK001 a\n- [x] CHK001 b\n"),
            (".specify/memory/constitution.md", "# [PROJECT_NAME]\n"),
        ]);
        let found = rules(&report);
        for wanted in [
            ("too-many-markers", Some(2)),
            ("open-marker", Some(5)),
            ("template-left", Some(1)),
            ("missing-document", None),
            ("checklist-open", Some(1)),
            ("duplicate-id", Some(2)),
            ("constitution-unfilled", Some(1)),
        ] {
            assert!(found.contains(&wanted), "{wanted:?}: {found:?}");
        }
        let plan = report.findings.iter().find(|f| f.doc == "plan.md").unwrap();
        assert_eq!(plan.severity, Severity::Error);
    }
}
