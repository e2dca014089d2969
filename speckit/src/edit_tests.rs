//! Edits byte by byte, conflicts, and that nothing else moves, whatever comes together.

use super::*;
use crate::write::apply;
use proptest::prelude::*;
use std::collections::BTreeSet;

const TASKS: &str = "# Tasks: A\n\n## Phase 1: Setup\n\n- [ ] T001 a\n- [x] T002 [P] b\n  \
                     - note\n\n---\n\n## Phase 2: Empty\n\n**Checkpoint**: none\n\n\
                     ## Phase 3: User Story 1 - S\n\n- [ ] T003 [US1] c\n\n**Checkpoint**: s\n";

const SPEC: &str = "# Feature Specification: A\n\n**Status**: Draft | **Input**: x\n\n\
                    ## Scenarios\n\n- **FR-001**: by [NEEDS CLARIFICATION: which way?] only\n";

fn done(edit: &Edit, text: &str) -> (String, Vec<Change>) {
    let (splices, (changes, _)) = edit.make(text).unwrap();
    let new = apply(text, &splices);
    for change in &changes {
        // What is said of a line is what stands in it.
        let first = change.after.lines().next().unwrap_or_default();
        assert_eq!(new.lines().nth(change.line - 1), Some(first), "{new}");
    }
    (new, changes)
}

fn set(id: &str, done: bool) -> Edit<'_> {
    Edit::Tick { doc: "tasks.md", id, line: None, done }
}

fn task(text: &str) -> NewTask<'_> {
    NewTask { text, ..NewTask::default() }
}

#[test]
fn a_tick_changes_one_byte() {
    for text in [TASKS.to_owned(), TASKS.replace('\n', "\r\n")] {
        let (new, changes) = done(&set("t001", true), &text);
        assert_eq!(new, text.replace("[ ] T001", "[x] T001"));
        assert_eq!(changes[0].before, "- [ ] T001 a");
        let (old, _) = done(&set("T001", false), &new);
        assert_eq!(old, text);
        // Ticked already: nothing to write.
        assert!(set("T002", true).make(&text).unwrap().0.is_empty());
    }
}

#[test]
fn unknown_and_double_ids() {
    let missing = set("T0003", true).make(TASKS).unwrap_err().to_string();
    assert!(missing.contains("nearest is `T003`"), "{missing}");
    let double = "- [ ] T001 a\n- [ ] T001 b\n";
    let refused = set("T001", true).make(double).unwrap_err();
    assert!(refused.to_string().contains("line 1, line 2"), "{refused}");
    let second = Edit::Tick { doc: "tasks.md", id: "T001", line: Some(2), done: true };
    assert_eq!(done(&second, double).0, "- [ ] T001 a\n- [x] T001 b\n");
    let elsewhere = Edit::Tick { doc: "spec.md", id: "T001", line: None, done: true };
    assert!(matches!(elsewhere.make(""), Err(Error::Argument(_))));
}

#[test]
fn checklists_are_ticked_by_id_or_text() {
    let text = "- [ ] CHK001 a\n- [ ] No details\n";
    let tick = |id| Edit::Tick { doc: "checklists/x.md", id, line: None, done: true };
    assert_eq!(done(&tick("CHK001"), text).0, "- [x] CHK001 a\n- [ ] No details\n");
    assert_eq!(done(&tick("No details"), text).0, "- [ ] CHK001 a\n- [x] No details\n");
    // A number at the end is a line only where the text does not end so.
    let text = "- [ ] Listens on port:2\n- [ ] Listens on port\n- [ ] Twice\n- [ ] Twice\n";
    let wanted = text.replacen("[ ]", "[x]", 1);
    assert_eq!(done(&tick("Listens on port:2"), text).0, wanted);
    let wanted = text.replace("port\n- [ ]", "port\n- [x]");
    assert_eq!(done(&tick("Twice:3"), text).0, wanted);
    let missing = tick("Twice:9").make(text).unwrap_err().to_string();
    assert!(missing.contains("no `Twice` in line 9"), "{missing}");
}

#[test]
fn appended_tasks_stand_behind_the_last_of_the_phase() {
    let new = [NewTask { text: "d src/d.rs", parallel: true, story: Some(2) }, task("e")];
    let edit = Edit::Append { place: Place::Phase("1"), tasks: &new };
    let (text, changes) = done(&edit, TASKS);
    let added = "- [ ] T004 [P] [US2] d src/d.rs\n- [ ] T005 e\n";
    assert_eq!(text, TASKS.replace("  - note\n", &format!("  - note\n{added}")));
    assert_eq!((changes[0].line, changes[0].after.lines().count()), (8, 2));
    // A phase without tasks, named by a part of its heading.
    let edit = Edit::Append { place: Place::Phase("empty"), tasks: &new[1..] };
    let wanted = TASKS.replace("2: Empty\n", "2: Empty\n\n- [ ] T004 e\n");
    assert_eq!(done(&edit, TASKS).0, wanted);
    // The end, with the document's own line ending.
    let crlf = TASKS.replace('\n', "\r\n");
    let edit = Edit::Append { place: Place::End, tasks: &new[1..] };
    let wanted = crlf.replace("[US1] c\r\n", "[US1] c\r\n- [ ] T004 e\r\n");
    assert_eq!(done(&edit, &crlf).0, wanted);
    let edit = Edit::Append { place: Place::NewPhase("Convergence"), tasks: &new[1..] };
    let wanted = format!("{TASKS}\n## Phase 4: Convergence\n\n- [ ] T004 e\n");
    assert_eq!(done(&edit, TASKS).0, wanted);
    assert_eq!(done(&Edit::Append { place: Place::End, tasks: &new[1..] }, "").0, "- [ ] T001 e\n");
    let no_ending = Edit::Append { place: Place::End, tasks: &new[1..] };
    assert_eq!(done(&no_ending, "- [ ] T001 a").0, "- [ ] T001 a\n- [ ] T002 e");
}

#[test]
fn appended_tasks_tear_no_task_from_what_belongs_to_it() {
    let blocks = [
        "  ```bash\nnpm i\n\n  npm ci\n  ```\n  and then commit package.json\n",
        "  ~~~\n  npm ci\n  ~~~\n",
        "\n  A paragraph of its own.\n\n      code\n",
        "  - [ ] T001 a step\n\n  and what is behind it\n",
        "  <!-- because\nof this -->\n",
    ];
    let new = [task("d")];
    for (block, ending) in blocks.iter().flat_map(|block| [(block, "\n"), (block, "\r\n")]) {
        for place in [Place::Phase("1"), Place::End] {
            let head = format!("## Phase 1: A\n\n- [ ] T002 Run these commands:\n{block}");
            let text = format!("{head}\n**Checkpoint**: b\n").replace('\n', ending);
            let wanted = format!("{head}- [ ] T003 d\n\n**Checkpoint**: b\n");
            let made = done(&Edit::Append { place, tasks: &new }, &text).0;
            assert_eq!(made, wanted.replace('\n', ending), "{place:?}");
        }
    }
}

#[test]
fn what_may_not_be_appended() {
    let refused = |place, tasks: &[NewTask]| Edit::Append { place, tasks }.make(TASKS).is_err();
    assert!(refused(Place::Phase("9"), &[task("a")]));
    assert!(refused(Place::End, &[]));
    assert!(refused(Place::End, &[task("a\n- [x] T009 b")]));
    assert!(refused(Place::End, &[task(" ")]));
    let open = Edit::Append { place: Place::End, tasks: &[task("a")] }.make("```\n");
    assert!(matches!(open, Err(Error::Unsupported(_))));
}

#[test]
fn no_edit_hides_what_it_does_not_name() {
    let asks =
        "# A\n\n**Status**: Draft\n\n## B\n\n[NEEDS CLARIFICATION: c] d\n\n- **FR-001**: e\n";
    let answer = |question, answer| Edit::Answer {
        question,
        answer,
        date: "2026-01-31",
        marker: Some(MarkerRef::Line(7)),
    };
    let open = [task("Strip <!-- from pages in x.rs")];
    for (text, edit) in [
        (TASKS, Edit::Append { place: Place::Phase("1"), tasks: &open }),
        (TASKS, Edit::Append { place: Place::End, tasks: &open }),
        (TASKS, Edit::Append { place: Place::NewPhase("Pages <!--"), tasks: &[task("a")] }),
        (SPEC, Edit::Status("Draft <!--")),
        (asks, answer("c <!--", "e")),
        (asks, answer("c", "<!--")),
        (asks, answer("c", "```")),
    ] {
        let refused = edit.make(text).unwrap_err();
        assert!(matches!(refused, Error::Argument(_)), "{edit:?}: {refused}");
        assert!(refused.to_string().contains("code span"), "{refused}");
    }
    let quoted = [task("Strip `<!--` from pages <!-- of old --> in x.rs")];
    let edit = Edit::Append { place: Place::Phase("1"), tasks: &quoted };
    assert_eq!(Tasks::parse(&done(&edit, TASKS).0).tasks.len(), 4);
    let unclosed = Edit::Answer { question: "a", answer: "b", date: "2026-01-31", marker: None };
    let refused = unclosed.make("# A\n<!-- b\n").unwrap_err().to_string();
    assert!(refused.contains("comment in line 2"), "{refused}");
}

#[test]
fn an_answer_makes_its_section_and_takes_the_markers_place() {
    let answer =
        |question, answer, marker| Edit::Answer { question, answer, date: "2026-01-31", marker };
    let first = answer("Which way?", "mail", Some(MarkerRef::Question("which way")));
    let (text, changes) = done(&first, SPEC);
    let section = "## Clarifications\n\n### Session 2026-01-31\n\n- Q: Which way? → A: mail\n\n";
    let wanted = SPEC.replace("## Scenarios", &format!("{section}## Scenarios"));
    let wanted = wanted.replace("[NEEDS CLARIFICATION: which way?]", "mail");
    assert_eq!(text, wanted);
    assert_eq!(changes[0].after, "- Q: Which way? → A: mail");
    assert_eq!(changes[1].after, "- **FR-001**: by mail only");
    // A second one of the same day, and one of the next.
    let (text, _) = done(&answer("b", "c", None), &text);
    let next = Edit::Answer { question: "d", answer: "e", date: "2026-02-01", marker: None };
    let (text, _) = done(&next, &text);
    let more =
        "- Q: Which way? → A: mail\n- Q: b → A: c\n\n### Session 2026-02-01\n\n- Q: d → A: e\n";
    assert_eq!(text, wanted.replace("- Q: Which way? → A: mail\n", more));
    let gone = answer("a", "b", Some(MarkerRef::Line(1))).make(SPEC).unwrap_err().to_string();
    assert!(gone.contains("line 7: which way?"), "{gone}");
    assert!(
        Edit::Answer { question: "a", answer: "b", date: "31.1.", marker: None }
            .make(SPEC)
            .is_err()
    );
    assert!(done(&answer("a", "b", None), "# T").0.ends_with("\n- Q: a → A: b"));
}

#[test]
fn the_status_alone_changes() {
    let (text, changes) = done(&Edit::Status("In Review"), SPEC);
    assert_eq!(text, SPEC.replace("Draft", "In Review"));
    assert_eq!(changes[0].line, 3);
    assert_eq!(done(&Edit::Status("Done"), "**Status**:\n").0, "**Status**: Done\n");
    assert!(matches!(Edit::Status("x").make("# a\n"), Err(Error::Missing { .. })));
    assert!(Edit::Status("a | b").make(SPEC).is_err());
}

fn unkept(_: &std::path::Path, _: &[u8]) -> std::result::Result<(), String> {
    Ok(())
}

fn feature(folder: &std::path::Path) -> Feature {
    let folder = folder.canonicalize().unwrap();
    let root = folder.parent().unwrap().to_owned();
    let path = folder.file_name().unwrap().to_str().unwrap().to_owned();
    Feature { id: "1".into(), name: path.clone(), path, folder, root }
}

#[test]
fn a_stale_hash_is_a_conflict_that_shows_the_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tasks.md"), TASKS).unwrap();
    let feature = feature(dir.path());
    let read = feature.read("tasks.md").unwrap().hash;
    let other = edit(&feature, &set("T001", true), Some(&read), &unkept).unwrap();
    let refused = edit(&feature, &set("T001", false), Some(&read), &unkept).unwrap_err();
    let Error::Conflict { line, current, hash, .. } = &refused else { panic!("{refused}") };
    assert_eq!((*line, current.as_str(), hash), (Some(5), "- [x] T001 a", &other.hash));
    assert!(edit(&feature, &set("T001", false), Some(hash), &unkept).is_ok());
    assert_eq!(feature.read("tasks.md").unwrap().text, TASKS);
    let none = edit(&feature, &Edit::Status("x"), None, &unkept).unwrap_err().to_string();
    assert!(none.contains("no document `spec.md`"), "{none}");
}

#[test]
fn a_hundred_threads_lose_nothing_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (1..=50).map(|n| format!("- [ ] T{n:03} a\n")).collect();
    std::fs::write(dir.path().join("tasks.md"), lines).unwrap();
    let feature = feature(dir.path());
    std::thread::scope(|scope| {
        for n in 1..=50 {
            let feature = &feature;
            scope.spawn(move || {
                edit(feature, &set(&format!("T{n:03}"), true), None, &unkept).unwrap()
            });
            scope.spawn(move || {
                let text = format!("new {n}");
                let tasks = [task(&text)];
                edit(feature, &Edit::Append { place: Place::End, tasks: &tasks }, None, &unkept)
                    .unwrap()
            });
        }
    });
    let tasks = Tasks::parse(&feature.read("tasks.md").unwrap().text);
    let ids: BTreeSet<&str> = tasks.tasks.iter().map(|t| t.id.as_str()).collect();
    let texts: BTreeSet<&str> = tasks.tasks.iter().map(|t| t.text.as_str()).collect();
    assert_eq!((tasks.tasks.len(), ids.len(), texts.len()), (100, 100, 51));
    assert_eq!(tasks.done(), 50);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// The lines of a document with their endings.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

proptest! {
    #[test]
    fn every_untouched_line_keeps_its_bytes(
        ending in prop::sample::select(vec!["\n", "\r\n"]),
        junk in prop::collection::vec("[-#*` \\[\\]xé\t]{0,12}", 0..6),
        edits in prop::collection::vec((0usize..5, 1usize..9, any::<bool>()), 1..12),
    ) {
        let junk = junk.iter().map(|line| format!("{}\n", line.replace("```", "")));
        let junk: String = junk.collect();
        let mut tasks = format!("{TASKS}{junk}").replace('\n', ending);
        let mut spec = format!("{SPEC}{junk}").replace('\n', ending);
        for (kind, n, flag) in edits {
            let id = format!("T{n:03}");
            let new = [task("appended")];
            let edit = match kind {
                0 | 1 => set(&id, flag),
                2 if flag => Edit::Append { place: Place::End, tasks: &new },
                2 => Edit::Append { place: Place::Phase("2"), tasks: &new },
                3 => Edit::Answer {
                    question: "q",
                    answer: "a",
                    date: if flag { "2026-01-01" } else { "2026-01-02" },
                    marker: (n == 1).then_some(MarkerRef::Question("which way?")),
                },
                _ => Edit::Status(if flag { "Draft" } else { "Done" }),
            };
            let text = if kind < 3 { &mut tasks } else { &mut spec };
            let Ok((splices, (changes, _))) = edit.make(text) else { continue };
            let new = apply(text, &splices);
            // Without the lines that the edit names, and what it put in, the old ones are left.
            let named: Vec<&str> = changes.iter().map(|c| c.before.as_str()).collect();
            let mut old = lines(text).into_iter().peekable();
            let mut added = 0;
            for line in lines(&new) {
                let bare = line.trim_end_matches(['\r', '\n']);
                match old.peek() {
                    Some(same) if *same == line => { old.next(); }
                    Some(before) if named.contains(&before.trim_end_matches(['\r', '\n']))
                        && changes.iter().any(|c| c.after == bare) => { old.next(); }
                    _ => {
                        added += 1;
                        let known = bare.is_empty() || bare.starts_with("- ");
                        prop_assert!(known || bare.starts_with('#'));
                        prop_assert!(line.ends_with(ending));
                    }
                }
            }
            prop_assert!(old.next().is_none());
            prop_assert!(added <= 6);
            *text = new;
        }
    }
}
