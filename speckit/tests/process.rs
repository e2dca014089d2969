//! Several processes that edit one file: none of their edits is lost, none is done twice.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const PROCESSES: usize = 5;
const EDITS: usize = 20;

fn driver() -> PathBuf {
    let mut path = std::env::current_exe().expect("the test's own path");
    path.pop();
    path.pop();
    path.join("examples").join(format!("speckit_driver{}", std::env::consts::EXE_SUFFIX))
}

#[test]
fn a_hundred_edits_from_several_processes() {
    let dir = tempfile::tempdir().expect("a folder");
    let feature = dir.path().join("specs/001-a");
    std::fs::create_dir_all(dir.path().join(".specify")).expect("a project");
    std::fs::create_dir_all(&feature).expect("a feature");
    let half = PROCESSES * EDITS / 2;
    let lines: String = (1..=half).map(|n| format!("- [ ] T{n:03} a\n")).collect();
    std::fs::write(feature.join("tasks.md"), &lines).expect("tasks");
    let children: Vec<_> = (0..PROCESSES)
        .map(|process| {
            let mut child = Command::new(driver())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the driver");
            let mut input = child.stdin.take().expect("its input");
            for turn in 0..EDITS / 2 {
                let n = process * EDITS / 2 + turn + 1;
                let base = json!({"project": dir.path(), "feature": "001"});
                let mut tick = base.clone();
                tick["op"] = "tick".into();
                tick["id"] = format!("T{n:03}").into();
                let mut append = base;
                append["op"] = "append".into();
                append["text"] = format!("new {n}").into();
                writeln!(input, "{tick}\n{append}").expect("requests");
            }
            drop(input);
            child
        })
        .collect();
    let mut given = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().expect("an end");
        let replies = String::from_utf8(output.stdout).expect("text");
        assert_eq!(replies.lines().count(), EDITS);
        for reply in replies.lines() {
            let reply: Value = serde_json::from_str(reply).expect("JSON");
            assert!(reply["error"].is_null(), "{reply}");
            let ids = reply["ok"]["ids"].as_array().into_iter().flatten();
            for id in ids {
                assert!(given.insert(id.to_string()), "{id} was given twice");
            }
        }
    }
    let text = std::fs::read_to_string(feature.join("tasks.md")).expect("tasks");
    let tasks = synod_speckit::Tasks::parse(&text);
    let ids: BTreeSet<&str> = tasks.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!((tasks.tasks.len(), ids.len(), tasks.done()), (2 * half, 2 * half, half));
    assert_eq!(given.len(), half);
    // The lines that were there, but for their ticks.
    assert!(text.starts_with(&lines.replace("[ ]", "[x]")));
}
