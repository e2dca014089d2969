//! Generated documents equal what the tables say; a difference is mended once, and fails saying so.

use crate::program::{Place, root};
use std::collections::BTreeSet;
use std::path::Path;
use synod::config::{Config, load};

/// Folders that hold generated documents only.
const FOLDERS: &[&str] = &["docs/reference", "tests/contract"];

#[test]
fn documents_equal_their_tables() {
    let may_write = std::env::var_os("CI").is_none();
    let mut wrong = Vec::new();
    for (path, wanted) in synod::doc::documents() {
        let file = root().join(&path);
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        // A checkout may have turned line ends.
        if found.replace("\r\n", "\n") == wanted {
            continue;
        }
        if may_write {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(&file, &wanted).unwrap_or_else(|e| panic!("{path}: {e}"));
        }
        wrong.push(path);
    }
    let done = if may_write {
        "and were written anew; look at the difference and run again"
    } else {
        "run `cargo test` without CI set, look at the difference and commit it"
    };
    assert!(wrong.is_empty(), "these were out of date, {done}: {wrong:#?}");
}

#[test]
fn no_document_is_stale() {
    let made: BTreeSet<String> =
        synod::doc::documents().into_iter().map(|(path, _)| path).collect();
    let mut stale = Vec::new();
    for folder in FOLDERS {
        let any = made.iter().any(|path| Path::new(path).starts_with(folder));
        assert!(any, "nothing for {folder}");
        // On a bare clone before the first run the folder may be missing: the test above says so.
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        for entry in entries {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if !made.contains(&path) {
                stale.push(path);
            }
        }
    }
    assert!(stale.is_empty(), "no document makes these; delete them: {stale:#?}");
}

#[test]
fn the_example_sets_every_key_to_its_built_in_value() {
    let place = Place::new();
    let file = place.write("synod.toml", synod::doc::example_config());
    let loaded = load(Some(&file), true, &|_| None, &[]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.config, Config::default());
    let (code, said, why) = place.outcome(&["--config", &file.to_string_lossy(), "config"]);
    assert_eq!(code, 0, "{why}");
    assert!(said.contains("limits.calls_max"), "{said}");
    // What has no built-in value is taken once its line counts.
    let text = synod::doc::example_config();
    let line = |key: &str| text.lines().find(|line| line.starts_with(&format!("# {key} = ")));
    for key in ["url", "key_env", "day_usd", "month_usd", "judge", "bin"] {
        let line = line(key).unwrap_or_else(|| panic!("no `{key}`"));
        let _: toml::Table = line[2..].parse().unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}

#[test]
fn documents_are_the_same_every_time() {
    assert_eq!(synod::doc::documents(), synod::doc::documents());
}
