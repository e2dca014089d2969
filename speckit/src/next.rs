//! What is to be done next in a feature.
//!
//! Spec-Kit gives no rule. Ours: the first phase with open tasks; in it the first open task whose
//! dependencies are done; if that one is marked `[P]`, also the open `[P]` tasks that follow in the
//! phase, are ready too, and whose files do not collide. When all of a phase waits for something, a
//! later story's phase is next, as stories depend on Setup and Foundational only.

use crate::error::Result;
use crate::path::collide;
use crate::project::Feature;
use crate::task::{PhaseKind, Task, Tasks};
use std::collections::HashSet;

/// Tasks that one answer offers side by side.
pub const PARALLEL_MAX: usize = 8;
/// Waiting tasks that an answer names.
const WAITING_MAX: usize = 5;

/// A task to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextTask {
    /// `T014`
    pub id: String,
    /// Without box, id and tags.
    pub text: String,
    /// Heading of its phase.
    pub phase: String,
    /// Its user story.
    pub story: Option<u32>,
    /// Marked `[P]`.
    pub parallel: bool,
    /// Line in tasks.md.
    pub line: usize,
    /// Paths in its text.
    pub files: Vec<String>,
}

/// An answer to "what is next".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The first one, and those that can be done beside it.
    pub tasks: Vec<NextTask>,
    /// One sentence.
    pub why: String,
    /// Ticked tasks.
    pub done: usize,
    /// All tasks.
    pub total: usize,
    /// Hash of tasks.md, for the tick that follows.
    pub hash: String,
}

/// The next tasks of a feature, at most `max` and [`PARALLEL_MAX`].
///
/// # Errors
/// `Missing` if it has no tasks.md, `Unreadable` if that cannot be read.
pub fn next(feature: &Feature, max: usize) -> Result<Next> {
    let doc = feature.read("tasks.md")?;
    let mut next = next_of(&Tasks::parse(&doc.text), max);
    next.hash = doc.hash;
    Ok(next)
}

/// What the rule asks again and again.
struct Index<'a> {
    tasks: &'a Tasks,
    /// Ids that are not done.
    open: HashSet<&'a str>,
    /// Open tasks of each phase in order; the first entry is for those outside all phases.
    by_phase: Vec<Vec<&'a Task>>,
}

impl<'a> Index<'a> {
    fn new(tasks: &'a Tasks) -> Self {
        let mut by_phase = vec![Vec::new(); tasks.phases.len() + 1];
        let mut open = HashSet::new();
        for task in tasks.tasks.iter().filter(|task| !task.done) {
            open.insert(task.id.as_str());
            by_phase[task.phase.map_or(0, |at| at + 1)].push(task);
        }
        Index { tasks, open, by_phase }
    }

    /// Ids that a task waits for. An unknown one would block for ever; `validate` reports it.
    fn waits_for(&self, task: &'a Task) -> Vec<&'a str> {
        let ids = task.depends.iter().map(String::as_str);
        ids.filter(|id| *id != task.id && self.open.contains(id)).collect()
    }

    fn is_ready(&self, task: &Task) -> bool {
        task.depends.iter().all(|id| *id == task.id || !self.open.contains(id.as_str()))
    }

    fn kind(&self, at: usize) -> Option<PhaseKind> {
        Some(self.tasks.phases[at.checked_sub(1)?].kind)
    }

    /// Entries of `by_phase` in which to look, in order.
    fn candidates(&self) -> Vec<usize> {
        let mut out = Vec::new();
        let base =
            |at: &usize| matches!(self.kind(*at), Some(PhaseKind::Setup | PhaseKind::Foundational));
        let open = |at: &usize| !self.by_phase[*at].is_empty();
        let base_open = (0..self.by_phase.len()).any(|at| base(&at) && open(&at));
        for at in (0..self.by_phase.len()).filter(open) {
            let story = self.kind(at) == Some(PhaseKind::Story);
            if out.is_empty() || story && !base_open {
                out.push(at);
            }
        }
        out
    }
}

/// The first task and those that fit beside it.
fn group<'a>(index: &Index<'a>, open: &[&'a Task], first: usize, max: usize) -> Vec<&'a Task> {
    let mut out = vec![open[first]];
    if !open[first].parallel {
        return out;
    }
    for task in open[first + 1..].iter().filter(|task| task.parallel) {
        if out.len() >= max {
            break;
        }
        let apart = out
            .iter()
            .all(|other| task.files.iter().all(|a| other.files.iter().all(|b| !collide(a, b))));
        if apart && index.is_ready(task) {
            out.push(task);
        }
    }
    out
}

fn shown(tasks: &Tasks, task: &Task) -> NextTask {
    NextTask {
        id: task.id.clone(),
        text: task.text.clone(),
        phase: task.phase.map_or_else(String::new, |at| tasks.phases[at].heading.clone()),
        story: tasks.story_of(task),
        parallel: task.parallel,
        line: task.line,
        files: task.files.clone(),
    }
}

/// The rule as a function of the document.
pub fn next_of(tasks: &Tasks, max: usize) -> Next {
    let (done, total) = (tasks.done(), tasks.tasks.len());
    let answer = |found: Vec<&Task>, why: String| Next {
        tasks: found.into_iter().map(|task| shown(tasks, task)).collect(),
        why,
        done,
        total,
        hash: String::new(),
    };
    let index = Index::new(tasks);
    for (turn, at) in index.candidates().into_iter().enumerate() {
        let open = &index.by_phase[at];
        let Some(first) = open.iter().position(|task| index.is_ready(task)) else { continue };
        let found = group(&index, open, first, max.clamp(1, PARALLEL_MAX));
        let why = reason(&index, at, first, found.len(), turn > 0);
        return answer(found, why);
    }
    let why = match total {
        0 => "tasks.md has no tasks".to_owned(),
        _ if done == total => format!("all {total} tasks are done"),
        _ => format!("every task that could be next waits for another: {}", waiting(&index)),
    };
    answer(Vec::new(), why)
}

fn reason(index: &Index, at: usize, first: usize, found: usize, later: bool) -> String {
    let open = &index.by_phase[at];
    let phase = at.checked_sub(1).map(|at| &index.tasks.phases[at]);
    let heading = phase.map_or("the tasks outside all phases", |phase| &phase.heading);
    let id = &open[first].id;
    let mut why = match later {
        false => format!("first phase with open tasks is \"{heading}\""),
        true => format!(
            "all open tasks before it wait; \"{heading}\" is a story, which needs only setup and \
             foundation"
        ),
    };
    why += &format!(", {id} is its first open task");
    if first > 0 {
        let names: Vec<String> = open[..first.min(WAITING_MAX)]
            .iter()
            .map(|task| format!("{} waits for {}", task.id, index.waits_for(task).join(", ")))
            .collect();
        why += &format!(" that is ready ({})", names.join("; "));
    }
    if found > 1 {
        why += &format!("; {} more [P] tasks touch other files", found - 1);
    } else if open[first].parallel {
        why += "; no other [P] task can go beside it";
    }
    why
}

fn waiting(index: &Index) -> String {
    let names: Vec<String> = index
        .candidates()
        .into_iter()
        .flat_map(|at| &index.by_phase[at])
        .take(WAITING_MAX)
        .map(|task| format!("{} for {}", task.id, index.waits_for(task).join(", ")))
        .collect();
    names.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> (Vec<String>, String) {
        let next = next_of(&Tasks::parse(text), PARALLEL_MAX);
        (next.tasks.into_iter().map(|task| task.id).collect(), next.why)
    }

    #[test]
    fn the_first_ready_task_of_the_first_open_phase() {
        let text = "## Phase 1: Setup\n- [x] T001 a\n- [ ] T002 b (depends on T003)\n- [ ] T003 c\n\
                    ## Phase 2: Foundational\n- [ ] T004 d\n";
        let (found, why) = ids(text);
        assert_eq!(found, ["T003"]);
        assert!(why.contains("T002 waits for T003"), "{why}");
        assert_eq!(ids(&text.replace("[ ] T003", "[x] T003")).0, ["T002"]);
    }

    #[test]
    fn parallel_tasks_with_files_of_their_own() {
        let text = "## Phase 1: Setup\n- [ ] T001 [P] a src/a.rs\n- [ ] T002 b src/z.rs\n\
                    - [ ] T003 [P] c src/a.rs\n- [ ] T004 [P] d src/d.rs\n\
                    - [ ] T005 [P] e src/e.rs (depends on T001)\n";
        assert_eq!(ids(text).0, ["T001", "T004"]);
    }

    #[test]
    fn a_later_story_when_all_of_the_first_waits() {
        let text = "## Phase 2: Foundational\n- [x] T001 a\n\
                    ## Phase 3: User Story 1\n- [ ] T002 [US1] b (depends on T003)\n\
                    ## Phase 4: User Story 2\n- [ ] T003 [US2] c\n";
        let (found, why) = ids(text);
        assert_eq!(found, ["T003"]);
        assert!(why.contains("Phase 4"), "{why}");
        // Not while the foundation is open.
        let blocked = text.replace("[x] T001 a", "[ ] T001 a (depends on T002)");
        assert!(ids(&blocked).0.is_empty());
    }

    #[test]
    fn nothing_to_do_says_why() {
        assert_eq!(ids("").1, "tasks.md has no tasks");
        assert_eq!(ids("- [x] T001 a").1, "all 1 tasks are done");
        let circle = "- [ ] T001 a (depends on T002)\n- [ ] T002 b (depends on T001)\n";
        assert!(ids(circle).1.contains("T001 for T002"));
        // An unknown dependency does not block.
        assert_eq!(ids("- [ ] T001 a (depends on T099)").0, ["T001"]);
    }
}
