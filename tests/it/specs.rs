//! Spec-Kit projects through the real program: made, read, changed, checked and listed, over MCP,
//! REST and the command line.

use super::http::{get, post};
use super::peer::installed;
use super::program::{Client, Place};
use serde_json::{Value, json};
use std::path::PathBuf;

const TASKS: &str = "# Tasks: Albums\n\n## Phase 1: Setup\n\n- [x] T001 Create the folder src/\n- \
    [ ] T002 [P] Configure linting in lint.toml\n- [ ] T003 [P] Add the index in src/index.rs \
    (FR-001)\n\n## Phase 2: Albums (US1)\n\n- [ ] T004 [US1] Sort albums in src/sort.rs\n";

const SPEC: &str = "# Feature Specification: Albums\n\n**Feature Branch**: `001-albums`\n\
    **Status**: Draft\n\n## User Scenarios & Testing\n\n\
    ### User Story 1 - Sort albums (Priority: P1)\n\nA person sorts albums.\n\n\
    ## Requirements\n\n### Functional Requirements\n\n\
    - **FR-001**: The system MUST index albums.\n\
    - **FR-002**: The system MUST keep order [NEEDS CLARIFICATION: by date or by name?].\n";

/// A repository that is a source, with one feature in it.
fn place() -> (Place, PathBuf) {
    let place = Place::new();
    for (path, text) in [
        (".specify/templates/spec-template.md", "# Feature Specification: [FEATURE NAME]\n"),
        (".specify/templates/plan-template.md", "# Implementation Plan: [FEATURE]\n"),
        (".specify/templates/tasks-template.md", "# Tasks: [FEATURE NAME]\n"),
        ("specs/001-albums/spec.md", SPEC),
        ("specs/001-albums/plan.md", "# Implementation Plan: Albums\n"),
        ("specs/001-albums/tasks.md", TASKS),
    ] {
        place.write(&format!("shop/{path}"), text);
    }
    let root = place.path().join("shop");
    place.index(&root);
    (place, root)
}

fn client(place: &Place) -> Client {
    place.stdio(&["--allow-write"])
}

#[test]
fn a_feature_is_found_worked_on_and_checked() {
    let (place, root) = place();
    let mut client = client(&place);
    let listed = client.answered("spec_list", json!({}));
    let feature = &listed["features"][0];
    assert_eq!((&feature["id"], &feature["tasks_done"]), (&json!("001"), &json!(1)), "{listed}");
    assert_eq!((&feature["tasks_total"], &feature["open_questions"]), (&json!(4), &json!(1)));
    let next = client.answered("spec_next", json!({"feature": "001"}));
    let ids: Vec<&str> =
        next["tasks"].as_array().unwrap().iter().filter_map(|task| task["id"].as_str()).collect();
    assert_eq!(ids, ["T002", "T003"], "both are parallel: {next}");
    // A change under the hash of what was read changes that line and no other.
    let hash = next["hash"].clone();
    let args = json!({"feature": "001", "op": "tick", "id": "T002", "hash": hash});
    let ticked = client.answered("spec_update", args.clone());
    assert_eq!(ticked["after"], "- [x] T002 [P] Configure linting in lint.toml", "{ticked}");
    let path = root.join("specs/001-albums/tasks.md");
    let wanted = TASKS.replace("[ ] T002", "[x] T002");
    assert_eq!(std::fs::read_to_string(&path).expect("tasks"), wanted);
    let said = client.refused(
        "spec_update",
        json!({"feature": "001", "op": "tick", "id": "T003",
                                                   "hash": hash}),
    );
    assert!(said.contains("changed"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).expect("tasks"), wanted, "nothing was written");
    // A task is read with what it stands on, and within a budget.
    let read = client.answered("spec_read", json!({"feature": "001-albums", "what": "T003"}));
    let text = read["pieces"].to_string();
    assert!(text.contains("T003") && text.contains("FR-001"), "{read}");
    let answer = json!({"feature": "001", "op": "answer", "id": "by date or by name?",
                        "text": "By date"});
    client.answered("spec_update", answer);
    let spec = std::fs::read_to_string(root.join("specs/001-albums/spec.md")).expect("the spec");
    assert!(spec.contains("By date"), "{spec}");
    let checked = client.answered("spec_validate", json!({"feature": "001"}));
    assert_eq!(checked["coverage"]["requirements"], 2, "{checked}");
    assert!(checked["coverage"]["uncovered"].to_string().contains("FR-002"), "{checked}");
    assert!(checked["prerequisites"].get("error").is_none(), "{checked}");
}

#[test]
fn a_feature_is_made_and_planned_from_the_projects_templates() {
    let (place, root) = place();
    let mut client = client(&place);
    let args = json!({"description": "Share photos with friends", "dry_run": true});
    let would = client.answered("spec_create", args);
    assert_eq!((&would["id"], would["dry_run"].as_bool()), (&json!("002"), Some(true)), "{would}");
    assert!(!root.join(would["path"].as_str().unwrap()).exists(), "a dry run writes nothing");
    let made = client.answered("spec_create", json!({"description": "Share photos with friends"}));
    let folder = root.join(made["path"].as_str().expect("a path"));
    let spec = std::fs::read_to_string(folder.join("spec.md")).expect("the spec");
    assert!(spec.starts_with("# Feature Specification"), "{spec}");
    let plan = json!({"command": "plan", "feature": "002", "dry_run": true});
    let would = client.answered("spec_run", plan);
    assert_eq!((&would["status"], folder.join("plan.md").exists()), (&json!("dry_run"), false));
    let done = client.answered("spec_run", json!({"command": "plan", "feature": "002"}));
    assert_eq!(done["status"], "succeeded", "{done}");
    assert!(folder.join("plan.md").exists());
    let paths = client.answered("spec_run", json!({"command": "paths", "feature": "002"}));
    assert!(paths["result"].to_string().contains("spec.md"), "{paths}");
}

#[test]
fn what_does_not_fit_says_what_does() {
    let (place, root) = place();
    let mut client = client(&place);
    let outside = place.path().join("elsewhere");
    std::fs::create_dir(&outside).expect("a folder");
    for (tool, args, word) in [
        ("spec_next", json!({}), "`feature`"),
        ("spec_next", json!({"feature": "albums"}), "001-albums"),
        ("spec_list", json!({"stage": "cooked"}), "implement"),
        ("spec_list", json!({ "project": outside.to_string_lossy() }), "no source"),
        ("spec_list", json!({"project": "../elsewhere"}), "no source"),
        ("spec_read", json!({"feature": "001", "what": "T999"}), "T999"),
        ("spec_read", json!({"feature": "001", "tokens": 1}), "`tokens`"),
        ("spec_update", json!({"feature": "001", "op": "tick"}), "`id`"),
        (
            "spec_update",
            json!({"feature": "001", "op": "tick", "doc": "../x.md", "id": "T1"}),
            "x.md",
        ),
        ("spec_create", json!({"description": ""}), "description"),
        ("spec_run", json!({"command": "rm"}), "rm"),
        ("spec_run", json!({"command": "check", "args": ["; ls"]}), "spec_run"),
    ] {
        let said = client.refused(tool, args.clone());
        assert!(said.contains(word), "{tool} {args}: {said}");
    }
    // Without the grant it reads and does not write.
    let mut reader = place.stdio(&[]);
    assert_eq!(reader.answered("spec_list", json!({}))["total"], 1);
    let tick = json!({"feature": "001", "op": "tick", "id": "T002"});
    let said = reader.refused("spec_update", tick);
    assert!(said.contains("spec:write"), "{said}");
    assert_eq!(std::fs::read_to_string(root.join("specs/001-albums/tasks.md")).unwrap(), TASKS);
}

#[test]
fn one_of_two_questions_in_a_line_is_answered() {
    let (place, root) = place();
    let spec = root.join("specs/001-albums/spec.md");
    let text = SPEC.replace(
        "by date or by name?].",
        "by date or by name?] and share [NEEDS CLARIFICATION: with whom?].",
    );
    std::fs::write(&spec, text).expect("written");
    let mut client = client(&place);
    let answer = json!({"feature": "001", "op": "answer", "id": "With whom", "text": "Friends"});
    client.answered("spec_update", answer);
    let now = std::fs::read_to_string(&spec).expect("the spec");
    assert!(now.contains("[NEEDS CLARIFICATION: by date or by name?] and share"), "{now}");
    assert!(!now.contains("with whom?]") && now.contains("Friends"), "{now}");
}

#[test]
fn the_cli_makes_a_project_in_the_folder_that_is_named() {
    let Some(version) = installed("speckit/version", "tests/speckit.sh") else { return };
    let program = version.with_file_name("venv/bin/specify");
    let (place, root) = place();
    let web = place.http(&["--allow-write"], &[("SPEC_KIT_BIN", &program.to_string_lossy())]);
    let run = |body: Value| post(web.address, "/v1/spec-kit/run", &[], &body);
    let said = run(json!({"command": "version"})).json();
    assert_eq!(said["status"], "succeeded", "{said}");
    assert!(said.to_string().contains("1.2.3"), "{said}");
    let new = root.join("inner");
    std::fs::create_dir(&new).expect("a folder");
    let init = json!({"command": "init", "project": new.to_string_lossy(),
                      "args": ["--here", "--integration", "claude"]});
    let made = run(init).json();
    assert_eq!(made["status"], "succeeded", "{made}");
    assert!(new.join(".specify/templates/spec-template.md").is_file(), "{made}");
    assert!(made["artifacts"].as_array().is_some_and(|all| all.len() > 5), "{made}");
    let inner = json!({"description": "Share photos", "project": new.to_string_lossy()});
    let feature = post(web.address, "/v1/spec-kit/features", &[], &inner);
    assert_eq!(feature.status, 201, "{feature:?}");
    assert!(new.join("specs/001-share-photos/spec.md").is_file(), "{feature:?}");
    let counted = get(web.address, "/metrics").body;
    assert!(counted.contains("synod_spec_runs_total{command=\"init\"} 1"), "{counted}");
    // What is not on the list is not run.
    assert_eq!(run(json!({"command": "workflow run", "args": ["x"]})).status, 404);
}

#[test]
fn the_same_over_rest_and_the_command_line() {
    let (place, _root) = place();
    let web = place.http(&["--allow-write"], &[]);
    let listed = get(web.address, "/v1/spec-kit/features").json();
    assert_eq!(listed["features"][0]["name"], "001-albums", "{listed}");
    let next = get(web.address, "/v1/spec-kit/features/001/next?limit=1").json();
    assert_eq!(next["tasks"].as_array().map(Vec::len), Some(1), "{next}");
    let tick = json!({"op": "tick", "id": "T002"});
    let done = post(web.address, "/v1/spec-kit/features/001/updates", &[], &tick);
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(get(web.address, "/v1/spec-kit/features/none/next").status, 404);
    let shown: Value = place.call("spec_list", json!({}));
    assert_eq!(shown["features"][0]["tasks_done"], 2, "{shown}");
    for (args, word) in [
        (&["spec"][..], "001-albums (Albums): implement, 2 of 4 tasks"),
        (&["spec", "001", "--next"], "T003"),
        (&["spec", "001", "FR-001"], "MUST index albums"),
        (&["spec", "001", "--check"], "FR-002"),
        (&["spec", "--project", "shop"], "001-albums"),
        (&["spec", "001", "--tick", "T003"], "+ - [x] T003"),
    ] {
        let (code, out, err) = place.outcome(args);
        assert!(code == 0 && out.contains(word), "{args:?}: {out}{err}");
    }
    let off = place.http(&[], &[("SPEC_KIT_ENABLED", "false")]);
    let said = get(off.address, "/v1/spec-kit/features");
    assert!(said.status == 422 && said.body.contains("spec_kit.enabled"), "{said:?}");
}
