//! Spec-Kit projects through the real program: made, read, changed, checked and listed, over MCP,
//! REST and the command line.

use super::http::{get, post};
use super::peer::installed;
use super::program::{Client, Place, sql};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
        (
            "spec_update",
            json!({"feature": "001", "op": "append", "doc": "checklists/ux.md", "text": "a"}),
            "changes `tasks.md`",
        ),
        (
            "spec_update",
            json!({"feature": "001", "op": "status", "doc": "plan.md", "text": "Done"}),
            "changes `spec.md`",
        ),
        (
            "spec_update",
            json!({"feature": "001", "op": "append", "id": "1", "text": "Strip <!-- from pages"}),
            "code span",
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
fn a_question_without_words_is_answered_by_its_line() {
    let (place, root) = place();
    let spec = root.join("specs/001-albums/spec.md");
    let asks = "- **FR-003**: Albums are kept [NEEDS CLARIFICATION] long\n[NEEDS CLARIFICATION]\n";
    let first = SPEC.lines().count() + 1;
    let mut client = client(&place);
    let mut answered = |line: usize, text: &str| {
        std::fs::write(&spec, format!("{SPEC}{asks}")).expect("written");
        let args = json!({"feature": "001", "op": "answer", "id": line.to_string(), "text": text});
        client.answered("spec_update", args);
        std::fs::read_to_string(&spec).expect("the spec")
    };
    let now = answered(first + 1, "For nobody");
    let noted = format!("- Q: line {} → A: For nobody\n", first + 1);
    assert!(now.contains(&noted) && now.ends_with("\nFor nobody\n"), "{now}");
    let now = answered(first, "ten years");
    assert!(now.contains("- Q: **FR-003**: Albums are kept long → A: ten years"), "{now}");
    assert!(now.contains("- **FR-003**: Albums are kept ten years long"), "{now}");
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

#[cfg(unix)]
#[test]
fn a_cli_of_an_unknown_version_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (place, root) = place();
    let program = place.write(
        "bin/specify",
        "#!/bin/sh\n[ \"$1\" = version ] && echo '{\"cli_version\": \"9.0.0\"}' && exit 0\n\
         echo changed > changed.txt\n",
    );
    let runs = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, runs).expect("a program");
    let web = place.http(&["--allow-write"], &[("SPEC_KIT_BIN", &program.to_string_lossy())]);
    let run = |command: &str, args: Value| {
        let body = json!({"command": command, "args": args, "any_branch": true});
        post(web.address, "/v1/spec-kit/run", &[], &body)
    };
    assert_eq!(run("version", json!(["--json"])).json()["result"]["cli_version"], "9.0.0");
    let refused = run("extension add", json!(["git"]));
    assert!(refused.status == 422 && refused.body.contains("9.0.0"), "{refused:?}");
    assert!(!root.join("changed.txt").exists(), "it ran all the same");
}

#[test]
fn the_same_over_rest_and_the_command_line() {
    let (place, root) = place();
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
    // What is found by a check is a failure where it is an error.
    let tasks = TASKS.replace("T004", "T003");
    std::fs::write(root.join("specs/001-albums/tasks.md"), tasks).expect("written");
    let (code, out, _) = place.outcome(&["spec", "001", "--check"]);
    assert!(code == 1 && out.contains("duplicate-id"), "{code} {out}");
    let off = place.http(&[], &[("SPEC_KIT_ENABLED", "false")]);
    let said = get(off.address, "/v1/spec-kit/features");
    assert!(said.status == 422 && said.body.contains("spec_kit.enabled"), "{said:?}");
}

#[test]
fn the_same_key_makes_one_feature_and_one_task() {
    let (place, root) = place();
    let web = place.http(&["--allow-write"], &[]);
    let key = [("Idempotency-Key", "k")];
    let make = |text: &str| {
        post(web.address, "/v1/spec-kit/features", &key, &json!({ "description": text }))
    };
    let first = make("Share photos");
    assert_eq!(first.status, 201, "{first:?}");
    let again = make("Share photos");
    assert_eq!((again.status, again.json()), (201, first.json()));
    let other = make("Print photos");
    assert_eq!((other.status, other.fault().as_str()), (409, "conflict"));
    assert_eq!(std::fs::read_dir(root.join("specs")).expect("features").count(), 2);
    let path = "/v1/spec-kit/features/001/updates";
    let append = json!({"op": "append", "id": "1", "text": "Sort by name"});
    let added = post(web.address, path, &key, &append).json();
    assert_eq!(added["ids"], json!(["T005"]), "{added}");
    // The order of arguments is no matter of the request.
    let append = json!({"text": "Sort by name", "op": "append", "id": "1"});
    assert_eq!(post(web.address, path, &key, &append).json(), added);
    let tasks = std::fs::read_to_string(root.join("specs/001-albums/tasks.md")).expect("tasks");
    assert_eq!(tasks.matches("Sort by name").count(), 1, "{tasks}");
    // What failed is tried again under its key.
    let key = [("Idempotency-Key", "again")];
    let plan = json!({"command": "plan", "feature": "003-print-photos"});
    assert_eq!(post(web.address, "/v1/spec-kit/run", &key, &plan).status, 404);
    place.write("shop/specs/003-print-photos/spec.md", "# Feature Specification: Print\n");
    assert_eq!(post(web.address, "/v1/spec-kit/run", &key, &plan).status, 200);
}

#[cfg(unix)]
#[test]
fn a_step_whose_caller_went_away_keeps_its_key() {
    use super::program::{PATIENCE, poll};
    use std::io::Write;
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt;
    let (place, root) = place();
    let program = place.write(
        "bin/specify",
        "#!/bin/sh\n[ \"$1\" = version ] && echo '{\"cli_version\": \"1.0.0\"}' && exit 0\n\
         echo begun >> begun.txt\nwhile [ ! -e go.txt ]; do :; done\n",
    );
    let runs = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, runs).expect("a program");
    let web = place.http(&["--allow-write"], &[("SPEC_KIT_BIN", &program.to_string_lossy())]);
    let step = json!({"command": "extension add", "args": ["git"], "any_branch": true});
    let (body, address) = (step.to_string(), web.address);
    let mut gone = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /v1/spec-kit/run HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: slow\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    gone.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let begun = || std::fs::read_to_string(root.join("begun.txt")).unwrap_or_default();
    poll("the step", PATIENCE, || begun().contains("begun").then_some(()));
    drop(gone);
    // The server hears of it a moment later.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let again = || post(address, "/v1/spec-kit/run", &[("Idempotency-Key", "slow")], &step);
    let said = again();
    assert_eq!((said.status, said.fault().as_str()), (409, "conflict"), "{said:?}");
    std::fs::write(root.join("go.txt"), "").expect("written");
    let done = poll("the step's end", PATIENCE, || {
        let reply = again();
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(done.json()["status"], "succeeded", "{done:?}");
    assert_eq!(again().json(), done.json());
    assert_eq!(begun().lines().count(), 1, "it ran twice");
}

/// Tokens of what a model is given: a tool's reply as text.
fn shown(client: &mut Client, tool: &str, args: Value) -> (String, usize) {
    let result = client.call(tool, args);
    let text = result["content"][0]["text"].as_str().expect("a text").to_owned();
    let tokens = bpe_openai::o200k_base().count(&text);
    (text, tokens)
}

#[test]
fn features_are_a_collection_and_a_source_file_knows_its_tasks() {
    let (place, root) = place();
    for (path, text) in [
        ("src/sort.rs", "//! Albums in order.\npub fn sort() {}\n"),
        ("notes/albums.md", "Albums: see [[specs/001-albums/spec]].\n"),
    ] {
        place.write(&format!("shop/{path}"), text);
    }
    place.index(&root);
    let mut client = client(&place);
    let search = |client: &mut Client, collection: Value| {
        let found = client.answered("search", json!({"query": "albums", "collection": collection}));
        let hits = found["hits"].as_array().cloned().unwrap_or_default();
        let mut paths: Vec<String> =
            hits.iter().filter_map(|hit| hit["path"].as_str().map(str::to_owned)).collect();
        paths.sort();
        paths.dedup();
        paths
    };
    let specs = search(&mut client, json!("specs"));
    let wanted =
        ["specs/001-albums/plan.md", "specs/001-albums/spec.md", "specs/001-albums/tasks.md"];
    assert_eq!(specs, wanted);
    assert!(search(&mut client, Value::Null).contains(&"notes/albums.md".to_owned()));
    let around = client.answered("related", json!({"path": "src/sort.rs"}));
    let task = &around["relations"]["backlinks"][0];
    assert_eq!(task["path"], "specs/001-albums/tasks.md", "{around}");
    assert!(task.to_string().contains("Sort albums"), "{task}");
    let around = client.answered("related", json!({"path": "specs/001-albums/spec.md"}));
    assert_eq!(around["relations"]["backlinks"][0]["path"], "notes/albums.md", "{around}");
    let read = client.answered("read", json!({"path": "specs/001-albums/tasks.md#^T004"}));
    assert!(read["text"].as_str().is_some_and(|text| text.contains("T004 [US1]")), "{read}");
    let pack = client.answered("context_pack", json!({"query": "sort albums", "tokens": 2_000}));
    assert!(pack.to_string().contains("specs/001-albums/tasks.md"), "{pack}");
}

#[test]
fn documents_of_features_are_resources_that_say_when_they_change() {
    let (place, root) = place();
    let mut client = client(&place);
    let read = |client: &mut Client, uri: &str| {
        let read = client.request("resources/read", json!({ "uri": uri }));
        read["result"]["contents"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(read(&mut client, "spec://shop/001-albums/spec.md"), SPEC);
    let task = read(&mut client, "spec://shop/001/T003");
    assert!(task.contains("T003 [P] Add the index") && task.contains("FR-001"), "{task}");
    let none = client.request("resources/read", json!({"uri": "spec://shop/009-x/spec.md"}));
    assert!(none["error"]["message"].to_string().contains("009-x"), "{none}");
    let complete = |client: &mut Client, name: &str, value: &str| {
        let params = json!({
            "ref": {"type": "ref/resource", "uri": "spec://{project}/{feature}/{+doc}"},
            "argument": {"name": name, "value": value},
            "context": {"arguments": {"project": "shop"}},
        });
        client.request("completion/complete", params)["result"]["completion"]["values"].clone()
    };
    assert_eq!(complete(&mut client, "project", "sh"), json!(["shop"]));
    assert_eq!(complete(&mut client, "feature", "001"), json!(["001-albums"]));
    assert_eq!(complete(&mut client, "doc", "pl"), json!(["plan.md"]));
    // A change, whoever makes it, is told once the index has seen it.
    let uri = "spec://shop/001-albums/tasks.md";
    assert!(client.request("resources/subscribe", json!({ "uri": uri }))["error"].is_null());
    std::fs::write(root.join("specs/001-albums/tasks.md"), TASKS.replace("[ ] T002", "[x] T002"))
        .expect("written");
    let told = loop {
        let message = client.next();
        if message["method"] == "notifications/resources/updated" {
            break message;
        }
    };
    assert_eq!(told["params"]["uri"], uri);
    // A name that is read but that no change could be told of is refused, with one that can.
    let short = json!({"uri": "spec://shop/001/tasks.md"});
    let refused = client.request("resources/subscribe", short);
    assert!(refused["error"]["message"].to_string().contains("001-albums"), "{refused}");
}

#[test]
fn commands_of_the_project_are_prompts_that_bring_what_they_work_on() {
    let (place, _root) = place();
    for (path, text) in [
        (
            ".claude/skills/speckit-plan/SKILL.md",
            "---\nname: speckit-plan\ndescription: Plan \
             it.\nargument-hint: How to build it\n---\n\nUser input: $ARGUMENTS\n\nMake the \
             plan.\n",
        ),
        (".claude/skills/speckit-implement/SKILL.md", "---\ndescription: Do it.\n---\nDo it.\n"),
    ] {
        place.write(&format!("shop/{path}"), text);
    }
    let mut client = client(&place);
    let listed = client.request("prompts/list", json!({}))["result"]["prompts"].clone();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.is_sorted() && names.contains(&"feature_status"), "{names:?}");
    let plan = listed.as_array().unwrap().iter().find(|one| one["name"] == "speckit_plan");
    let plan = plan.expect("the command is a prompt");
    assert_eq!(
        (&plan["description"], &plan["arguments"][0]["description"]),
        (&json!("Plan it."), &json!("How to build it"))
    );
    let get = |client: &mut Client, name: &str, arguments: Value| {
        client.request("prompts/get", json!({"name": name, "arguments": arguments}))
    };
    let got = get(&mut client, "speckit_plan", json!({"arguments": "in Rust", "feature": "001"}));
    let text = got["result"]["messages"][0]["content"]["text"].as_str().expect("a text");
    assert!(text.contains("User input: in Rust") && text.contains("Make the plan"), "{text}");
    assert!(text.contains("FR-002") && text.contains("001-albums"), "the spec comes along: {text}");
    // The next task, and what it stands on, is what there is to implement.
    let got = get(&mut client, "speckit_implement", json!({"feature": "001"}));
    let text = got["result"]["messages"][0]["content"]["text"].as_str().expect("a text");
    assert!(text.contains("T002 [P] Configure") && !text.contains("T004"), "{text}");
    let odd = get(&mut client, "speckit_plan", json!({"featur": "001"}));
    assert!(odd["error"]["message"].to_string().contains("`feature`"), "{odd}");
    let none = get(&mut client, "speckit_plon", json!({}));
    assert!(none["error"]["message"].to_string().contains("plan"), "{none}");
    // Clients without prompts get the same from a tool.
    let (text, _) =
        shown(&mut client, "spec_read", json!({"what": "command plan in Rust", "feature": "001"}));
    assert!(text.contains("User input: in Rust") && text.contains("FR-002"), "{text}");
}

#[test]
fn a_conflict_shows_what_the_other_one_changed() {
    let (place, root) = place();
    let mut client = client(&place);
    let hash = client.answered("spec_next", json!({"feature": "001"}))["hash"].clone();
    let path = root.join("specs/001-albums/tasks.md");
    let other = TASKS.replace("- [ ] T003", "- [x] T003");
    std::fs::write(&path, &other).expect("written");
    let args = json!({"feature": "001", "op": "tick", "id": "T002", "hash": hash});
    let said = client.refused("spec_update", args);
    assert!(said.contains("-- [ ] T003") && said.contains("+- [x] T003"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).expect("tasks"), other, "nothing was written");
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut out = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
            if entry.file_type().expect("a type").is_dir() {
                open.push(entry.path());
            } else {
                out.insert(entry.path());
            }
        }
    }
    out
}

/// What `synod spec previous` lists of a file.
fn previous(place: &Place, file: &str) -> Value {
    let (code, out, err) = place.outcome(&["spec", "previous", file, "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

/// A kept text by its place in the list, and its hash.
fn kept(place: &Place, file: &str, at: usize) -> (Vec<u8>, String) {
    let hash = previous(place, file)["texts"][at]["hash"].as_str().expect("a hash").to_owned();
    let output = place.run(&["spec", "previous", file, "--show", &hash]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.stdout, hash)
}

#[test]
fn the_text_that_an_edit_replaced_is_had_again_put_back_and_undone() {
    let (place, root) = place();
    let path = root.join("specs/001-albums/tasks.md");
    let file = path.to_str().expect("a path");
    let old = TASKS.replace('\n', "\r\n").trim_end().to_owned();
    std::fs::write(&path, &old).expect("written");
    assert_eq!(previous(&place, file)["texts"], json!([]));
    let before = tree(&root);
    let (code, _, err) = place.outcome(&["spec", "001", "--tick", "T002"]);
    assert_eq!(code, 0, "{err}");
    let ticked = std::fs::read(&path).expect("tasks");
    assert_eq!(ticked, old.replace("[ ] T002", "[x] T002").as_bytes());
    let (text, hash) = kept(&place, file, 0);
    assert_eq!(text, old.as_bytes(), "byte for byte");
    let listed = previous(&place, file);
    assert_eq!(listed["texts"][0]["bytes"], json!(old.len()), "{listed}");
    assert_eq!(listed["texts"].as_array().map(Vec::len), Some(1), "{listed}");
    let now = listed["hash"].as_str().expect("a hash").to_owned();
    // For a person, by a path as the shell knows it.
    let mut command = place.command(&["spec", "previous", "specs/001-albums/tasks.md"]);
    let output = command.current_dir(&root).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = format!("{hash}  {} bytes", old.len());
    assert!(said.contains(&row) && said.contains(&now), "{said}");
    // What changed since it was listed is left alone.
    let args = ["spec", "previous", file, "--restore", &hash, "--hash", &hash];
    let (code, _, err) = place.outcome(&args);
    assert!(code == 1 && err.contains(&now), "{err}");
    let args = ["--read-only", "spec", "previous", file, "--restore", &hash];
    let (code, _, err) = place.outcome(&args);
    assert!(code == 1 && err.contains("read-only"), "{err}");
    let (code, _, err) = place.outcome(&["spec", "previous", file, "--restore", "0"]);
    assert!(code == 1 && err.contains("no text `0`"), "{err}");
    assert_eq!(std::fs::read(&path).expect("tasks"), ticked, "nothing was written");
    let args = ["spec", "previous", file, "--restore", &hash, "--hash", &now];
    let (code, out, err) = place.outcome(&args);
    assert!(code == 0 && out.contains(&now), "{out}{err}");
    assert_eq!(std::fs::read(&path).expect("tasks"), old.as_bytes());
    // What that replaced is kept too.
    let (text, undo) = kept(&place, file, 0);
    assert_eq!((&text, &undo), (&ticked, &now));
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(previous(&place, file)["hash"], json!(null));
    let (code, _, err) = place.outcome(&["spec", "previous", file, "--restore", &undo]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(std::fs::read(&path).expect("tasks"), ticked);
    assert_eq!(tree(&root), before, "nothing lies in the repository that was not there");
    let (_, out, _) = place.outcome(&["ledger", "--action", "spec.previous.restore"]);
    assert!(out.lines().filter(|line| line.contains("  ok  ")).count() == 2, "{out}");
    assert!(out.contains("conflict") && out.contains("tasks.md"), "{out}");
}

#[test]
fn an_edit_whose_text_cannot_be_kept_changes_nothing() {
    let (place, root) = place();
    let path = root.join("specs/001-albums/tasks.md");
    sql(&place.data().join("state.db"), "DROP TABLE previous");
    let (code, _, err) = place.outcome(&["spec", "001", "--tick", "T002"]);
    assert!(code == 1 && err.contains("tasks.md") && err.contains("was left as it is"), "{err}");
    // It is what any failure of the store is, and what SQLite says of it is for the log.
    let web = place.http(&["--allow-write"], &[]);
    let tick = json!({"op": "tick", "id": "T002"});
    let said = post(web.address, "/v1/spec-kit/features/001/updates", &[], &tick);
    assert_eq!(said.status, 500, "{said:?}");
    assert!(said.body.contains("tasks.md") && said.body.contains("internal error"), "{said:?}");
    assert!(!said.body.contains("no such table"), "{said:?}");
    assert_eq!(std::fs::read_to_string(path).expect("tasks"), TASKS);
    // Of a new feature only the pointer that all share is left as it is.
    let pointer = place.write("shop/.specify/feature.json", "{}");
    let new = json!({"description": "Share photos", "activate": true});
    let made = post(web.address, "/v1/spec-kit/features", &[], &new);
    assert!(made.status == 201 && !made.body.contains("no such table"), "{made:?}");
    let warnings = made.json()["warnings"].to_string();
    assert!(warnings.contains("made, but the pointer was left"), "{made:?}");
    assert!(root.join("specs/002-share-photos/spec.md").is_file(), "{made:?}");
    assert_eq!(std::fs::read_to_string(pointer).expect("the pointer"), "{}");
}

#[test]
fn texts_are_listed_whatever_lies_there_now_and_put_back_where_nothing_does() {
    let (place, root) = place();
    let path = root.join("specs/001-albums/tasks.md");
    let file = path.to_str().expect("a path");
    let (code, _, err) = place.outcome(&["spec", "001", "--tick", "T002"]);
    assert_eq!(code, 0, "{err}");
    std::fs::write(&path, vec![b'x'; 3 * 1024 * 1024]).expect("written");
    let listed = previous(&place, file);
    assert_eq!(listed["hash"], json!(null), "{listed}");
    assert!(listed["unreadable"].to_string().contains("longer than"), "{listed}");
    let (code, out, err) = place.outcome(&["spec", "previous", file]);
    assert!(code == 0 && out.contains("it cannot be read now: "), "{out}{err}");
    let (text, hash) = kept(&place, file, 0);
    assert_eq!(text, TASKS.as_bytes());
    let restore = ["spec", "previous", file, "--restore", &hash];
    let (code, _, err) = place.outcome(&restore);
    assert!(code == 1 && err.contains("move it away, then restore"), "{err}");
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    assert!(previous(&place, file)["unreadable"].to_string().contains("no file"));
    assert_eq!(kept(&place, file, 0).1, hash);
    std::fs::remove_dir_all(root.join("specs")).expect("removed");
    let listed = previous(&place, file);
    assert_eq!((&listed["hash"], listed.get("unreadable")), (&json!(null), None), "{listed}");
    let (code, out, err) = place.outcome(&restore);
    assert!(code == 0 && out.contains("the file was gone"), "{out}{err}");
    assert_eq!(std::fs::read_to_string(&path).expect("tasks"), TASKS);
}

#[test]
fn two_servers_that_edit_at_once_lose_no_text() {
    let (place, root) = place();
    std::thread::scope(|scope| {
        for who in ["ada", "eve"] {
            let mut client = client(&place);
            scope.spawn(move || {
                for n in 0..5 {
                    let text = format!("Step {n} of {who}");
                    let args = json!({"feature": "001", "op": "append", "text": text});
                    client.answered("spec_update", args);
                }
            });
        }
    });
    let path = root.join("specs/001-albums/tasks.md");
    let file = path.to_str().expect("a path");
    let n_texts = previous(&place, file)["texts"].as_array().map(Vec::len);
    assert_eq!(n_texts, Some(10));
    let tasks = |text: &[u8]| String::from_utf8_lossy(text).matches("\n- [").count();
    let counts: Vec<usize> = (0..10).map(|at| tasks(&kept(&place, file, at).0)).collect();
    assert_eq!(counts, (4..14).rev().collect::<Vec<_>>(), "each edit's, newest first");
    assert_eq!(tasks(&std::fs::read(&path).expect("tasks")), 14);
}

#[test]
fn a_file_outside_of_every_project_has_no_previous_text() {
    let (place, root) = place();
    let theirs = place.write("elsewhere/tasks.md", TASKS);
    let notes = place.write("notes/tasks.md", TASKS);
    place.index(&place.path().join("notes"));
    let mut files = vec![
        (theirs.clone(), "no source"),
        (root.join("specs/../../elsewhere/tasks.md"), "no source"),
        (root.join("specs/gone/../../../elsewhere/tasks.md"), "leads nowhere"),
        (notes.clone(), "no Spec-Kit project"),
    ];
    #[cfg(unix)]
    {
        let link = root.join("specs/001-albums/link.md");
        std::os::unix::fs::symlink(&theirs, &link).expect("a link");
        files.push((link, "no source"));
    }
    let none: &[&str] = &[];
    for (file, word) in files {
        let file = file.to_str().expect("a path");
        for more in [none, &["--show", "0"], &["--restore", "0"]] {
            let args = [&["spec", "previous", file][..], more].concat();
            let (code, _, err) = place.outcome(&args);
            assert!(code == 1 && err.contains(word), "{file} {more:?}: {err}");
        }
    }
    for path in [theirs, notes] {
        assert_eq!(std::fs::read_to_string(path).expect("a file"), TASKS);
    }
}

#[test]
fn answers_cost_a_few_hundred_tokens() {
    let place = Place::new();
    let mut tasks = "# Tasks: Large\n".to_owned();
    for phase in 1..=10 {
        tasks.push_str(&format!("\n## Phase {phase}: Part {phase} (Priority: P{phase})\n\n"));
        for n in 1..=20 {
            let (id, mark) = ((phase - 1) * 20 + n, if phase < 3 { "x" } else { " " });
            tasks.push_str(&format!(
                "- [{mark}] T{id:03} [P] [US{phase}] Implement the {n}th step of part {phase} with \
                 its validation and error handling in src/part{phase}/step{n}.rs (FR-{id:03})\n"
            ));
        }
    }
    let mut spec = "# Feature Specification: Large\n\n**Status**: Draft\n".to_owned();
    for story in 1..=10 {
        spec.push_str(&format!(
            "\n### User Story {story} - Part {story} (Priority: P{story})\n\nA person does part \
             {story} and sees at once what became of it, without having to ask anybody else.\n\n\
             **Acceptance Scenarios**:\n\n1. **Given** a part, **When** it is done, **Then** it \
             is shown.\n"
        ));
    }
    spec.push_str("\n### Functional Requirements\n\n");
    for n in 1..=200 {
        spec.push_str(&format!("- **FR-{n:03}**: The system MUST do step {n} within a second.\n"));
    }
    place.write("big/.specify/templates/spec-template.md", "# Feature Specification\n");
    for n in 1..=12 {
        place.write(&format!("big/specs/{n:03}-feature-{n}/tasks.md"), &tasks);
        place.write(&format!("big/specs/{n:03}-feature-{n}/spec.md"), &spec);
        place.write(&format!("big/specs/{n:03}-feature-{n}/plan.md"), "# Implementation Plan\n");
    }
    place.index(&place.path().join("big"));
    let mut client = client(&place);
    for (tool, args, most) in [
        ("spec_list", json!({}), 600),
        ("spec_next", json!({"feature": "007"}), 600),
        ("spec_read", json!({"feature": "007"}), 600),
        ("spec_read", json!({"feature": "007", "what": "T123"}), 1_200),
        ("spec_read", json!({"feature": "007", "what": "US3"}), 1_200),
        ("spec_update", json!({"feature": "007", "op": "tick", "id": "T041"}), 600),
    ] {
        let (text, tokens) = shown(&mut client, tool, args.clone());
        assert!(tokens <= most, "{tool} {args}: {tokens} tokens, at most {most}:\n{text}");
    }
}
