//! Every trap of tasks.md that was seen in the wild, and no panic on what was not.

use super::*;
use proptest::prelude::*;

fn ids(tasks: &Tasks) -> Vec<&str> {
    tasks.tasks.iter().map(|task| task.id.as_str()).collect()
}

#[test]
fn a_line_in_all_its_parts() {
    let text = "## Phase 3: User Story 1 - Albums (Priority: P1) 🎯 MVP\n\n\
                - [x] T014 [P] [US1] Implement service in src/a.rs (depends on T012, T013)\n";
    let tasks = Tasks::parse(text);
    let task = &tasks.tasks[0];
    assert_eq!((task.id.as_str(), task.line), ("T014", 3));
    assert!(task.done && task.parallel && task.well_formed);
    assert_eq!(task.story, Some(1));
    assert_eq!(task.text, "Implement service in src/a.rs (depends on T012, T013)");
    assert_eq!(task.files, ["src/a.rs"]);
    assert_eq!(task.depends, ["T012", "T013"]);
    assert_eq!(&text[task.mark..=task.mark], "x");
    let phase = &tasks.phases[0];
    assert_eq!((phase.number.as_deref(), phase.kind), (Some("3"), PhaseKind::Story));
    assert_eq!(phase.title, "User Story 1 - Albums (Priority: P1) 🎯 MVP");
}

#[test]
fn fences_comments_and_samples_are_no_tasks() {
    let text = "## Phase 1: Setup\n```\n- [ ] T001 fenced\n```\n<!--\n- [ ] T002 commented\n-->\n\
                - [ ] TXXX sample\n- [ ] T### sample\n- [ ] T003 real <!-- T009 -->\n\
                - [ ] no id\n";
    let tasks = Tasks::parse(text);
    assert_eq!(ids(&tasks), ["T003"]);
    assert_eq!(tasks.tasks[0].text, "real");
    let strays: Vec<_> = tasks.strays.iter().map(|s| (s.line, s.sample)).collect();
    assert_eq!(strays, [(8, true), (9, true), (11, false)]);
}

#[test]
fn old_numbering_other_languages_and_inner_headings() {
    let text = "# T\n## Phase 3.1: Setup\n- [ ] T001 a\n## Phase 3.2: Tests First\n- [ ] T002 b\n\
                ## フェーズ4：ユーザーストーリー\n- [ ] T003 [US2] c\n### Tests\n- [ ] T004 [US2] d\n\
                ## Фаза 5: Полировка\n- [ ] T005 e\n## Notes\n- nothing\n### Phase 6: Inner\n\
                - [ ] T006 f\n";
    let tasks = Tasks::parse(text);
    let phases: Vec<_> = tasks.phases.iter().map(|p| (p.number.as_deref(), p.kind)).collect();
    assert_eq!(
        phases,
        [
            (Some("3.1"), PhaseKind::Setup),
            (Some("3.2"), PhaseKind::Other),
            (Some("4"), PhaseKind::Story),
            (Some("5"), PhaseKind::Other),
            (Some("6"), PhaseKind::Other),
        ]
    );
    let homes: Vec<_> = tasks.tasks.iter().map(|t| t.phase.unwrap()).collect();
    assert_eq!(homes, [0, 1, 2, 2, 3, 4]);
    assert_eq!(tasks.phases[2].story, Some(2));
}

#[test]
fn nested_bullets_belong_to_the_task_above() {
    let text = "## Phase 1: Setup\n- [ ] T001 a\n  - [ ] a step\n  - Depends on: T002, T004-T006\n\
                \n- [ ] T002 b\n    - [x] T003 nested with an id\n";
    let tasks = Tasks::parse(text);
    assert_eq!(ids(&tasks), ["T001", "T002", "T003"]);
    assert_eq!(tasks.tasks[0].lines, 2..5);
    assert_eq!(tasks.tasks[0].depends, ["T002", "T004", "T005", "T006"]);
    assert!(tasks.strays.is_empty());
    assert_eq!(tasks.done(), 1);
}

#[test]
fn crlf_odd_ids_tags_in_any_order() {
    let text = "## Phase 1: Setup\r\n- [X] **T001** [P] a\r\n* [ ] [P] T002: b\r\n\
                - [ ] T1 short\r\n- [ ] T003a suffix\r\n- [ ] [T004] [US12] c\r\n- [ ] Tree d\r\n";
    let tasks = Tasks::parse(text);
    assert_eq!(ids(&tasks), ["T001", "T002", "T1", "T003a", "T004"]);
    assert!(tasks.tasks[0].parallel && tasks.tasks[1].parallel);
    let formed: Vec<bool> = tasks.tasks.iter().map(|t| t.well_formed).collect();
    assert_eq!(formed, [true, true, false, false, true]);
    assert_eq!(tasks.tasks[4].story, Some(12));
    assert_eq!(tasks.tasks[1].text, "b");
    assert_eq!(tasks.next_id(), "T005");
}

#[test]
fn what_counts_as_a_dependency() {
    let cases: &[(&str, &[&str])] = &[
        ("x (depends on T012, T013)", &["T012", "T013"]),
        ("x (Depends: T001–T003)", &["T001", "T002", "T003"]),
        ("x (after T005)", &["T005"]),
        ("look after T005", &[]),
        ("x (see T005)", &[]),
        ("x, depends on T001. Like T009", &["T001"]),
        ("x (hängt ab: abhängig von T002)", &["T002"]),
        ("x (依存: T002)", &["T002"]),
        ("x (depends on T001) with T002", &["T001"]),
        ("HTTP2 depends on T1", &[]),
        ("x (no dependency on T016)", &[]),
        ("x (independent of T016)", &[]),
        ("x (no dependency on others, it only sets what T016 reads)", &[]),
        ("x depends on how the parser of the other side is written, see T016", &[]),
        ("x (depends on T001 and T002; like T003)", &["T001", "T002"]),
        ("x (Dependencies: tasks T001, T002 & T003)", &["T001", "T002", "T003"]),
        ("x (depends on T001, T002) to make T009 pass", &["T001", "T002"]),
    ];
    for (text, wanted) in cases {
        assert_eq!(depends(text, false), *wanted, "{text}");
    }
}

#[test]
fn ids_go_on_behind_the_highest() {
    let id = |text: &str| Tasks::parse(text).next_id();
    assert_eq!(id(""), "T001");
    assert_eq!(id("- [ ] T007 a\n- [ ] T003 b"), "T008");
    assert_eq!(id("- [ ] T999 a"), "T1000");
    assert_eq!(id("- [ ] T1203 a"), "T1204");
}

#[test]
fn wrapped_lines_and_details_below() {
    let lines = [
        "## Slice 1",
        "- [ ] **T010 · `Theme` struct** in",
        "      `src/a.rs` (depends on T001,",
        "      T002) FR-001..FR-003",
        "  - File: `src/b.rs`",
        "  - *Done when:* x. *Needs:* T003",
        "    and FR-009",
        "- [x] **T011** - `b` is",
        "- [ ] **T012**: **bold** c",
        "- [ ] T013 [P] `d`",
    ];
    let text = lines.join("\n");
    let tasks = Tasks::parse(&text);
    let task = &tasks.tasks[0];
    let wanted = "`Theme` struct in `src/a.rs` (depends on T001, T002) FR-001..FR-003";
    assert_eq!(task.text, wanted);
    assert_eq!(task.lines, 2..8);
    assert_eq!(task.depends, ["T001", "T002", "T003"]);
    assert_eq!(task.files, ["src/a.rs", "src/b.rs"]);
    assert_eq!(task.requirements, ["FR-001", "FR-002", "FR-003", "FR-009"]);
    let texts: Vec<_> = tasks.tasks[1..].iter().map(|task| task.text.as_str()).collect();
    assert_eq!(texts, ["`b` is", "**bold** c", "`d`"]);
    assert_eq!(tasks.phases[0].heading, "Slice 1");
}

#[test]
fn a_task_goes_on_over_code_and_paragraphs_below_it() {
    let text = "## Phase 1: A\n- [ ] T001 a\n  ```sh\nb\n\n  ```\n\n  c\n  - [ ] T002 d\n\n\
                \x20   e\n\n# f\n  g\n- [ ] T003 h\n```\ni\n```\n";
    let tasks = Tasks::parse(text);
    let lines: Vec<_> = tasks.tasks.iter().map(|task| task.lines.clone()).collect();
    assert_eq!(lines, [2..12, 9..12, 15..16]);
    assert_eq!(tasks.tasks[0].text, "a");
}

#[test]
fn goal_and_checkpoint() {
    let text =
        "## Phase 3: User Story 1 - A\n**Goal**: g\n- [ ] T001 [US1] a\n\n**Checkpoint**: c\n";
    let tasks = Tasks::parse(text);
    assert_eq!(tasks.phases[0].goal.as_ref().unwrap().0, 2);
    assert_eq!(tasks.phases[0].checkpoint, Some((5, "**Checkpoint**: c".to_owned())));
    assert_eq!(tasks.tasks[0].lines, 3..4);
}

proptest! {
    #[test]
    fn never_panics(text in any::<String>()) {
        Tasks::parse(&text);
    }

    #[test]
    fn never_panics_near_the_grammar(text in "(- \\[[ xX]\\] |T[0-9X]{0,4}[a-z]?|\\[P\\]|\
        \\[US[0-9]{0,12}\\]|## Phase [0-9N.:]*|\\(depends on |[-–:) é\r\n\t]|\
        ```|<!--|-->|\\*\\*Checkpoint){0,40}") {
        let tasks = Tasks::parse(&text);
        for task in &tasks.tasks {
            prop_assert!(" xX".contains(&text[task.mark..task.mark + 1]));
            prop_assert!(task.phase.is_none_or(|at| at < tasks.phases.len()));
        }
    }
}
