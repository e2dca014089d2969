//! What each slice brings with it, and that the bounds hold.

use super::*;
use proptest::prelude::*;

const SPEC: &str = "# Feature Specification: Albums\n\n**Status**: Draft\n\n\
    ## User Scenarios & Testing *(mandatory)*\n\n\
    ### User Story 1 - Make (Priority: P1)\n\nServes FR-001.\n\n---\n\n\
    ### User Story 2 - Find (Priority: P2)\n\ntext\n\n### Edge Cases\n\n- none\n\n\
    ## Requirements\n\n\
    - **FR-001**: one\n  more\n- **FR-002**: two\n- **SC-001**: fast\n";
const TASKS: &str = "# Tasks\n\n## Phase 1: Setup\n\n- [x] T001 a\n\n\
    ## Phase 2: User Story 1 - Make\n\n**Goal**: g\n\n- [ ] T002 [US1] b\n\
    - [ ] T003 [US1] c for FR-002 (depends on T001, T002)\n\n**Checkpoint**: done\n";

fn project() -> (tempfile::TempDir, Project, Feature) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        (".specify/memory/constitution.md", "# C\nlaw\n"),
        ("specs/001-a/spec.md", SPEC),
        ("specs/001-a/tasks.md", TASKS),
        ("specs/001-a/checklists/ux.md", "- [ ] CHK001 x\n"),
        ("specs/001-a/contracts/api.yaml", "openapi: 3\n"),
        ("specs/001-a/contracts/api.json", "{}\n"),
    ] {
        let at = dir.path().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
    }
    let project = Project::open(dir.path()).unwrap();
    let feature = project.feature("1").unwrap();
    (dir, project, feature)
}

fn roles(slice: &Slice) -> Vec<(&'static str, &str)> {
    slice.pieces.iter().map(|p| (p.role, p.text.lines().next().unwrap_or_default())).collect()
}

#[test]
fn a_task_brings_what_it_needs() {
    let (_dir, project, feature) = project();
    let get = |want: &str| slice(&project, &feature, &Want::parse(want), 10_000).unwrap();
    assert_eq!(
        roles(&get("t003")),
        [
            ("task", "- [ ] T003 [US1] c for FR-002 (depends on T001, T002)"),
            ("phase", "## Phase 2: User Story 1 - Make"),
            ("phase", "**Goal**: g"),
            ("dependency", "- [x] T001 a"),
            ("dependency", "- [ ] T002 [US1] b"),
            ("checkpoint", "**Checkpoint**: done"),
            ("requirement", "- **FR-002**: two"),
            ("story", "### User Story 1 - Make (Priority: P1)"),
        ]
    );
    // One that names no requirement brings its story's: FR-001 and FR-002 touch.
    let slice = get("T002");
    let requirement = slice.pieces.iter().find(|p| p.role == "requirement").unwrap();
    assert_eq!(requirement.text, "- **FR-001**: one\n  more\n- **FR-002**: two\n");
    assert_eq!((requirement.path.as_str(), &requirement.lines), ("specs/001-a/spec.md", &(23..26)));
    assert_eq!(requirement.hash, hash(SPEC.as_bytes()));
}

#[test]
fn a_task_brings_its_code() {
    let (dir, project, feature) = project();
    let task = "- [ ] T001 Run:\n\n  ```sh\n  npm ci\n  ```\n  and commit\n";
    let text = format!("## Phase 1: A\n\n{task}\n- [ ] T002 b\n");
    std::fs::write(dir.path().join("specs/001-a/tasks.md"), text).unwrap();
    let slice = slice(&project, &feature, &Want::parse("T001"), 10_000).unwrap();
    assert_eq!((slice.pieces[0].text.as_str(), &slice.pieces[0].lines), (task, &(3..9)));
}

#[test]
fn stories_requirements_sections_files() {
    let (_dir, project, feature) = project();
    let get = |want: &str| slice(&project, &feature, &Want::parse(want), 10_000);
    let story = get("story 1").unwrap();
    let wanted = ["story", "requirement", "task", "checkpoint"];
    assert_eq!(story.pieces.iter().map(|p| p.role).collect::<Vec<_>>(), wanted);
    assert_eq!(story.pieces[0].text.lines().last(), Some("Serves FR-001."));
    let requirement = get("fr-002").unwrap();
    assert_eq!(
        requirement.pieces[1].text,
        "- [ ] T003 [US1] c for FR-002 (depends on T001, T002)\n"
    );
    assert_eq!(get("spec#edge cases").unwrap().pieces[0].text, "### Edge Cases\n\n- none\n\n");
    let scenarios = get("spec.md#User Scenarios & Testing").unwrap();
    assert_eq!(scenarios.pieces[0].lines.start, 5);
    assert_eq!(get("checklists/ux").unwrap().pieces[0].role, "checklist");
    assert_eq!(get("contracts/api.yaml").unwrap().pieces[0].text, "openapi: 3\n");
    assert!(matches!(get("contracts/api"), Err(Error::Ambiguous { .. })));
    assert_eq!(get("constitution").unwrap().pieces[0].text, "# C\nlaw\n");
    assert_eq!(get("tasks").unwrap().pieces[0].text, TASKS);
    let overview = get("overview").unwrap().pieces.remove(0).text;
    for part in ["# Albums (001-a)", "1 of 3 tasks", "missing: plan.md", "ux.md: 1", "next: T002"] {
        assert!(overview.contains(part), "{part}: {overview}");
    }
    assert!(overview.len() < 2_000);
}

#[test]
fn misses_name_what_is_near() {
    let (_dir, project, feature) = project();
    for (want, hint) in [
        ("T030", "T003"),
        ("US9", "US2 Find"),
        ("FR-020", "FR-002"),
        ("spec#Edge Caes", "Edge Cases"),
        ("contracts/apy.yaml", "contracts/api.yaml"),
        ("plann", "it has spec.md"),
    ] {
        let missed = slice(&project, &feature, &Want::parse(want), 100).unwrap_err().to_string();
        assert!(missed.contains(hint), "{want}: {missed}");
    }
    for hostile in ["../../x", "contracts/../../../x", "checklists/../../x", "/etc/passwd"] {
        let refused = slice(&project, &feature, &Want::parse(hostile), 100);
        assert!(matches!(refused, Err(Error::Outside { .. })), "{hostile}: {refused:?}");
    }
}

#[test]
fn names_of_slices() {
    let task = |id: &str| Want::Task(id.to_owned());
    for (text, want) in [
        ("T012", task("T012")),
        ("task t003a", task("t003a")),
        ("us2", Want::Story(2)),
        ("Story: 3", Want::Story(3)),
        ("sc-001", Want::Requirement("SC-001".to_owned())),
        ("tasks", Want::Doc("tasks.md".to_owned())),
        ("é1", Want::Doc("é1".to_owned())),
        ("", Want::Overview),
    ] {
        assert_eq!(Want::parse(text), want, "{text}");
    }
}

proptest! {
    #[test]
    fn any_name_of_a_slice_is_read(text in any::<String>()) {
        Want::parse(&text);
    }

    #[test]
    fn no_more_than_asked_and_the_rest_is_said(max in 0usize..900, which in 0usize..5) {
        let (_dir, project, feature) = project();
        let want = Want::parse(["T003", "US1", "spec", "tasks", "FR-001"][which]);
        let whole = slice(&project, &feature, &want, SLICE_BYTES_MAX).unwrap();
        let cut = slice(&project, &feature, &want, max).unwrap();
        let bytes: usize = cut.pieces.iter().map(|p| p.text.len()).sum();
        prop_assert!(bytes <= max);
        let left: usize = cut.left_out.iter().map(|l| l.bytes).sum();
        let all: usize = whole.pieces.iter().map(|p| p.text.len()).sum();
        prop_assert_eq!(bytes + left, all);
        for piece in &cut.pieces {
            let text = if piece.path.ends_with("spec.md") { SPEC } else { TASKS };
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let joined = lines[piece.lines.start - 1..piece.lines.end - 1].concat();
            prop_assert_eq!(joined, piece.text.as_str());
        }
    }
}
