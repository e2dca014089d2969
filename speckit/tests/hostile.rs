//! Documents that are made to hurt: each is read in a bounded time, and links out of the project
//! lead nowhere.

use std::time::{Duration, Instant};
use synod_speckit as kit;

/// Generous: the machine may be busy. What is not linear takes minutes.
const LIMIT: Duration = Duration::from_secs(15);

fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, kit::Project) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(dir.path().join(".specify")).expect("a project");
    for (path, text) in files {
        let at = dir.path().join(path);
        std::fs::create_dir_all(at.parent().expect("a parent")).expect("folders");
        std::fs::write(at, text).expect("a file");
    }
    let project = kit::Project::open(dir.path()).expect("a project");
    (dir, project)
}

#[test]
fn long_documents_are_read_in_linear_time() {
    let size = kit::DOC_BYTES_MAX / 2;
    let fill = |unit: &str| unit.repeat(size / unit.len());
    let ids = |unit: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for n in 0.. {
            let line = unit(n);
            if text.len() + line.len() > size {
                return text;
            }
            text += &line;
        }
        text
    };
    let documents = [
        ("brackets", fill("[")),
        ("backticks", ids(&|n| format!("{} ", "`".repeat(n % 3_000 + 1))) + "<!--"),
        ("comments", fill("<!-- `-->")),
        ("open markers", fill("[NEEDS CLARIFICATION")),
        ("one task, many ids", "- [ ] T001 (depends on ".to_owned() + &fill("T12 ")),
        ("one task, many paths", "- [ ] T001 ".to_owned() + &fill("src/a.rs ")),
        ("ranges", fill("- [ ] T001 (depends on T001-T099)\n")),
        ("many tasks", ids(&|n| format!("- [ ] T{n:06} [US{n}] x (depends on T{:06})\n", n + 1))),
        ("many phases", ids(&|n| format!("## Phase {n}: S\n- [ ] T{n:06} [P] a\n"))),
        ("many stories", ids(&|n| format!("### User Story {n} - S (Priority: P1)\nFR-{n:05}\n"))),
        ("many requirements", ids(&|n| format!("- **FR-{n:06}**: SC-{n:06}\n"))),
        ("many ids in a line", ids(&|n| format!("FR-{n:06} "))),
        ("headings", fill("###### x\n# y\n")),
        ("fences", fill("```\n~~~\n")),
        ("fields", fill("**a**: b |")),
        ("blanks", fill("\n")),
    ];
    for (name, text) in &documents {
        let (_dir, project) = project(&[
            ("specs/001-a/spec.md", text),
            ("specs/001-a/plan.md", text),
            ("specs/001-a/tasks.md", text),
            ("specs/001-a/checklists/a.md", text),
            (".specify/memory/constitution.md", text),
        ]);
        let feature = project.feature("1").expect("a feature");
        let from = Instant::now();
        kit::list(&project, &mut kit::Cache::default()).expect("a list");
        kit::validate(&project, &feature).expect("a report");
        kit::next(&feature, 8).expect("an answer");
        for want in ["overview", "T000001", "US1", "FR-000001", "tasks#Phase 1: S", "T9999999"] {
            // Whether it is there does not matter here.
            let _ = kit::slice(&project, &feature, &kit::Want::parse(want), 10_000);
        }
        let edit = kit::Edit::Tick { doc: "tasks.md", id: "T000007", line: None, done: true };
        let _ = kit::edit(&feature, &edit, None, &|_, _| Ok(()));
        let took = from.elapsed();
        assert!(took < LIMIT, "{name} took {took:?}");
    }
}

#[test]
fn what_is_too_long_is_said() {
    let (_dir, project) = project(&[("specs/001-a/tasks.md", &"x".repeat(kit::DOC_BYTES_MAX + 1))]);
    let feature = project.feature("1").expect("a feature");
    assert!(matches!(kit::next(&feature, 8), Err(kit::Error::Unreadable { .. })));
    let all = kit::list(&project, &mut kit::Cache::default()).expect("a list");
    assert!(all[0].unreadable[0].contains("longer than"));
    assert!(!kit::validate(&project, &feature).expect("a report").ok);
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_outside_and_anywhere_inside() {
    use std::os::unix::fs::symlink;
    let (dir, project) = project(&[
        ("specs/001-a/spec.md", "# S\n"),
        ("shared/tasks.md", "- [ ] T001 a\n"),
        ("shared/contracts/api.yaml", "a"),
    ]);
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("secret.md"), "- [ ] CHK001 secret\n").expect("a file");
    let at = |path: &str| dir.path().join("specs/001-a").join(path);
    symlink("../../shared/tasks.md", at("tasks.md")).expect("a link");
    symlink("../../shared/contracts", at("contracts")).expect("a link");
    symlink(outside.path(), at("checklists")).expect("a link");
    symlink(outside.path().join("secret.md"), at("plan.md")).expect("a link");
    let feature = project.feature("1").expect("a feature");
    assert_eq!(feature.documents(), ["spec.md", "tasks.md", "contracts/api.yaml"]);
    let state = &kit::list(&project, &mut kit::Cache::default()).expect("a list")[0];
    assert_eq!((state.tasks_total, state.checklist_blocked), (1, false));
    assert_eq!(state.missing, ["plan.md"]);
    for doc in ["plan.md", "checklists/secret.md"] {
        assert!(matches!(feature.read(doc), Err(kit::Error::Outside { .. })), "{doc}");
    }
    let tick = |doc, id| kit::Edit::Tick { doc, id, line: None, done: true };
    let refused =
        kit::edit(&feature, &tick("checklists/secret.md", "CHK001"), None, &|_, _| Ok(()));
    assert!(matches!(refused, Err(kit::Error::Outside { .. })));
    // The link stays one, and what it points to is ticked.
    kit::edit(&feature, &tick("tasks.md", "T001"), None, &|_, _| Ok(())).expect("a tick");
    let shared = std::fs::read_to_string(dir.path().join("shared/tasks.md")).expect("text");
    assert_eq!(shared, "- [x] T001 a\n");
    assert!(at("tasks.md").is_symlink());
    assert!(kit::setup_plan(&project, &feature, false).is_err());
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_document() {
    let (dir, project) = project(&[("specs/001-a/spec.md", "# S\n")]);
    let pipe = dir.path().join("specs/001-a/tasks.md");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        let feature = project.feature("1").expect("a feature");
        assert!(matches!(kit::next(&feature, 8), Err(kit::Error::Unreadable { .. })));
        let all = kit::list(&project, &mut kit::Cache::default()).expect("a list");
        assert_eq!(all[0].tasks_total, 0);
    }
}
