//! Nothing is written but the data directory: commands and servers in the home of a person who has
//! nothing yet, and what lies there before and afterwards.

use super::http::get;
use super::index::kinds::pdf;
use super::program::{Client, PATIENCE, Place, Server, git, outcome, poll};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Where a system tells programs to put things.
const FOLDERS: [(&str, &str); 7] = [
    ("HOME", "home"),
    ("TMPDIR", "tmp"),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_DATA_HOME", "share"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_STATE_HOME", "state"),
    ("XDG_RUNTIME_DIR", "run"),
];

/// A person with a vault that is a repository too.
fn person() -> Place {
    let place = Place::new();
    for folder in FOLDERS.map(|(_, folder)| folder).iter().chain(&["cwd", "data", "share/synod"]) {
        std::fs::create_dir_all(place.path().join(folder)).expect("a folder");
    }
    for n in 0..20 {
        place.write(&format!("vault/n{n}.md"), format!("# Note {n}\n\ntide [[n{}]]\n", n + 1));
    }
    place.write("vault/paper.pdf", pdf("the marmoset paper"));
    place.write("vault/code.rs", "pub fn anemone() {}\n");
    let vault = place.path().join("vault");
    git(&vault, &["init", "-q"]);
    git(&vault, &["add", "-A"]);
    git(&vault, &["commit", "-qm", "one"]);
    place
}

/// A command of that person, with the data directory as it is named, or the usual one.
fn command(place: &Place, named: bool, args: &[&str]) -> Command {
    let mut command = place.command(args);
    for (name, folder) in FOLDERS {
        command.env(name, place.path().join(folder));
    }
    command.env_remove("SYNOD_MODELS").current_dir(place.path().join("cwd"));
    if !named {
        command.env_remove("SYNOD_DATA");
    }
    command
}

/// Every file and folder below a place but those of one folder, with the time of its last change:
/// that of a folder tells of files that are gone again.
fn tree(root: &Path, without: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut out = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path == without {
                continue;
            }
            let meta = entry.metadata().expect("there");
            if meta.is_dir() {
                open.push(path.clone());
            }
            out.insert(path, meta.modified().expect("a time"));
        }
    }
    out
}

/// What a person does in a day, without a server and with one.
fn work(place: &Place, named: bool) {
    let vault = place.path().join("vault").display().to_string();
    let note = format!("{vault}/n3.md");
    let related = json!({"path": "n3.md"}).to_string();
    let commands: [&[&str]; 14] = [
        &["index", &vault, "--wait", "--lexical-only"],
        &["search", "tide"],
        &["search", "marmoset"],
        &["read", "n3.md"],
        &["pack", "tide"],
        &["call", "related", &related],
        &["call", "index_status", "{}"],
        &["config"],
        &["doctor"],
        &["doctor", "--explain", &note],
        &["doctor", "--repair"],
        &["token", "add", "mine", "--scopes", "read:context"],
        &["model", "list"],
        &["ledger"],
    ];
    for args in commands {
        let (code, said, why) = outcome(command(place, named, args));
        assert_eq!(code, 0, "{args:?}: {said}{why}");
    }
    let mut client = Client::of(command(place, named, &["serve", "--stdio", "--allow-write"]));
    client.initialize("2025-11-25");
    let push = json!({"op": "push", "path": "x.md", "content": "walrus", "wait": true});
    assert_eq!(client.answered("ingest", push)["state"], "succeeded");
    assert_eq!(client.answered("search", json!({"query": "walrus"}))["total"], 1);
    assert!(client.end().success());
    let serve = command(place, named, &["serve", "--http", "127.0.0.1:0"]);
    let up = ["up", &vault, "--http", "127.0.0.1:0", "--lexical-only"];
    for command in [serve, command(place, named, &up)] {
        let server = Server::of(command);
        poll("freshness", PATIENCE, || {
            (get(server.address, "/v1/index").json()["fresh"] == true).then_some(())
        });
        assert_eq!(get(server.address, "/v1/search?q=anemone").status, 200);
    }
}

#[test]
fn nothing_is_written_outside_the_data_directory() {
    for (named, data) in [(true, "data"), (false, "share/synod")] {
        let place = person();
        let data = place.path().join(data);
        let before = tree(place.path(), &data);
        work(&place, named);
        assert!(tree(&data, Path::new("")).len() > 5, "nothing was written at all");
        let after = tree(place.path(), &data);
        let new: Vec<_> =
            after.iter().filter(|(path, at)| before.get(*path) != Some(*at)).collect();
        assert!(new.is_empty(), "written, with the data directory at {data:?}: {new:#?}");
        assert_eq!(before.len(), after.len(), "something is gone");
    }
}
