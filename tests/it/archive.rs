//! Export and import: the same documents and vectors on another machine, and clear words about what
//! is no archive.

use super::program::{Place, outcome};
use super::provider::{Script, Server, configure, index, search, vault};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;

/// An indexed vault, its configuration, and an archive of it.
fn exported() -> (Server, Place, String, String) {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    let file = place.path().join("notes.zip").to_str().expect("UTF-8").to_owned();
    let (code, out, err) = place.outcome(&["export", &file, "--config", &config]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("4 documents, "), "{out}");
    (server, place, config, file)
}

/// What becomes of a part of an archive; nothing leaves it out.
type Change = fn(&str, Vec<u8>) -> Option<Vec<u8>>;

/// The same archive with its parts changed.
fn changed(file: &str, to: &Path, change: Change) {
    let mut from = zip::ZipArchive::new(std::fs::File::open(file).expect("it")).expect("a zip");
    let mut out = zip::ZipWriter::new(std::fs::File::create(to).expect("a file"));
    for at in 0..from.len() {
        let mut entry = from.by_index(at).expect("an entry");
        let name = entry.name().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("its bytes");
        if let Some(bytes) = change(&name, bytes) {
            out.start_file(name, SimpleFileOptions::default()).expect("an entry");
            out.write_all(&bytes).expect("written");
        }
    }
    out.finish().expect("an archive");
}

#[test]
fn another_machine_needs_no_embedding() {
    let (server, _place, config, file) = exported();
    let other = Place::new();
    let (code, out, err) = other.outcome(&["import", &file, "--config", &config]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("4 documents, "), "{out}");
    let before = server.script().asked.len();
    let reply = search(&other, &config, "singing");
    assert_eq!(reply["hits"][0]["path"], "choir.md", "{reply}");
    let asked = server.script().asked[before..].to_vec();
    // The window is measured by whoever starts; passages of the vault have more words than a query.
    let (code, _, err) = other.outcome(&["index", "--wait", "--config", &config]);
    assert_eq!(code, 0, "{err}");
    let reply = other.outcome(&["call", "index_status", "{}", "--config", &config]).1;
    let reply: Value = serde_json::from_str(&reply).expect("JSON");
    assert_eq!(reply["embedding"]["coverage"], 1.0, "{reply}");
    assert!(!asked.is_empty());
    // A second time nothing is new.
    let (_, out, _) = other.outcome(&["import", &file, "--config", &config]);
    assert_eq!(out, "4 documents, 0 new vectors\n");
}

#[test]
fn vectors_alone_serve_folders_that_are_there() {
    let (server, place, config, file) = exported();
    let other = place.path().join("other-data");
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("SYNOD_DATA", &other);
        outcome(command)
    };
    let (code, out, err) = run(&["import", &file, "--vectors-only", "--config", &config]);
    assert!(code == 0 && out.starts_with("0 documents, "), "{out}{err}");
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    // From now on no vector of a passage can be had.
    let words = server.script().asked.iter().sum::<usize>();
    let (code, _, err) = run(&["index", vault, "--wait", "--config", &config]);
    assert_eq!(code, 0, "{err}");
    let measuring = server.script().asked.iter().sum::<usize>() - words;
    let (code, _, err) = run(&["index", vault, "--wait", "--config", &config]);
    assert_eq!(code, 0, "{err}");
    let again = server.script().asked.iter().sum::<usize>() - words - measuring;
    assert_eq!(measuring, again, "only the window was measured, no passage embedded");
}

#[test]
fn what_is_no_archive_is_refused_and_nothing_is_taken_in() {
    let (_server, place, config, file) = exported();
    let target = place.path().join("changed.zip");
    let cases: [(&str, &str, Change); 5] = [
        ("newer", "format 2", |name, bytes| {
            let text = String::from_utf8_lossy(&bytes).replace("\"format\": 1", "\"format\": 2");
            Some(if name == "manifest.json" { text.into_bytes() } else { bytes })
        }),
        ("no manifest", "no manifest", |name, bytes| {
            Some(bytes).filter(|_| name != "manifest.json")
        }),
        ("cut vectors", "in the middle", |name, mut bytes| {
            if name == "vectors.bin" {
                bytes.pop();
            }
            Some(bytes)
        }),
        ("no vector", "vector of length", |name, mut bytes| {
            if name == "vectors.bin" {
                bytes[16..].fill(0);
            }
            Some(bytes)
        }),
        ("outside", "leaves its source", |name, bytes| {
            let text = String::from_utf8_lossy(&bytes).replace("choir.md", "../outside.md");
            Some(if name == "documents.jsonl" { text.into_bytes() } else { bytes })
        }),
    ];
    for (what, said, change) in cases {
        changed(&file, &target, change);
        let other = Place::new();
        let path = target.to_str().expect("UTF-8");
        let (code, _, err) = other.outcome(&["import", path, "--config", &config]);
        assert!(code == 1 && err.contains(said), "{what}: {code} {err}");
        let status = other.call("index_status", json!({}));
        assert_eq!(status["documents"], 0, "{what}: {status}");
    }
    std::fs::write(&target, "no zip").expect("written");
    let (code, _, err) = place.outcome(&["import", target.to_str().expect("UTF-8")]);
    assert!(code == 1 && err.contains("changed.zip"), "{err}");
    let (code, _, err) = place.outcome(&["export", &file]);
    assert!(code == 1 && err.contains("--force"), "{err}");
    let (code, _, err) = place.outcome(&["export", &file, "--force", "--collection", "none"]);
    assert!(code == 1 && err.contains("no such collection; there are `notes`"), "{err}");
    assert!(std::fs::metadata(&file).expect("the archive is still there").len() > 0);
}
