//! Files that change together, read from a real repository's history.

use super::{Engine, Place};
use crate::program::git;
use synod_index::{Progress, SourceSpec};

fn commit(place: &Place, paths: &[&str], round: usize) {
    for path in paths {
        place.write(path, format!("// {round}\nfn f{round}() {{}}\n"));
    }
    git(&place.root(), &["add", "-A"]);
    git(&place.root(), &["commit", "-qm", &format!("round {round}")]);
}

fn repository() -> Place {
    let place = Place::new();
    git(&place.root(), &["init", "-q"]);
    // Two go together twice, one more changes with everything, one is gone, one went along once.
    commit(&place, &["a.rs", "b.rs", "log.md", "gone.rs"], 1);
    commit(&place, &["a.rs", "b.rs", "log.md", "gone.rs", "once.rs"], 2);
    for round in 3..8 {
        commit(&place, &["log.md", "other.rs"], round);
    }
    commit(&place, &["a.rs", "log.md"], 8);
    place.remove("gone.rs");
    git(&place.root(), &["commit", "-qam", "gone"]);
    place
}

fn together(engine: &Engine, path: &str) -> Vec<(String, String)> {
    let related = engine.related(path);
    let rows = related.groups.get("changed_together").into_iter().flatten();
    rows.map(|row| (row.path.clone(), row.text.clone())).collect()
}

#[test]
fn files_of_the_same_commits_are_related_the_closest_first() {
    let place = repository();
    let mut engine = place.scanned();
    let rows = together(&engine, "a.rs");
    let expected = [("b.rs", "in 2 of its 3 commits"), ("log.md", "in 3 of its 3 commits")];
    assert_eq!(rows, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));

    // A commit touches nothing but its own log; whoever sees that learns of the new history.
    for round in 10..13 {
        commit(&place, &["a.rs", "once.rs"], round);
    }
    let log = std::collections::HashSet::from([".git/logs/HEAD".to_owned()]);
    let source = engine.source.clone();
    engine.updater.refresh(&source, &log, &|_| true).expect("refreshed");
    assert_eq!(together(&engine, "a.rs")[0].0, "once.rs");
    engine.assert_clean();
}

#[test]
fn a_history_that_is_read_apart_is_kept_when_it_is_there() {
    let place = repository();
    let mut engine = place.open();
    engine.updater.read_histories_apart();
    engine.scan();
    assert!(engine.updater.is_history_wanted());
    let work = engine.updater.history_wanted().expect("a history");
    assert!(together(&engine, "a.rs").is_empty());
    // The source is looked at once more while git works.
    engine.scan();
    let read = work.run(&|| true);
    engine.updater.put_history(read).expect("kept");
    assert!(!engine.updater.is_history_wanted(), "it is not read twice");
    assert_eq!(together(&engine, "a.rs").len(), 2);
    // One that was broken off leaves what was known.
    commit(&place, &["a.rs", "once.rs"], 9);
    engine.scan();
    let work = engine.updater.history_wanted().expect("a history");
    engine.updater.put_history(work.run(&|| false)).expect("kept");
    assert_eq!(together(&engine, "a.rs").len(), 2);
    // One of a source that is gone is nobody's.
    commit(&place, &["a.rs", "once.rs"], 10);
    engine.scan();
    let read = engine.updater.history_wanted().expect("a history").run(&|| true);
    let source = engine.source.clone();
    engine.updater.remove_source(&source).expect("removed");
    engine.updater.put_history(read).expect("left");
    engine.assert_clean();
}

#[test]
fn a_commit_that_comes_while_files_are_read_is_named_when_they_are_in() {
    let place = repository();
    git(&place.root(), &["checkout", "-qb", "other"]);
    commit(&place, &["a.rs", "b.rs", "log.md"], 77);
    let head = git(&place.root(), &["rev-parse", "HEAD"]);
    git(&place.root(), &["checkout", "-q", "-"]);
    let mut engine = place.open();
    let switched = std::cell::Cell::new(false);
    let report = |_: &Progress| {
        // What was read until now is what the other commit had.
        if !switched.replace(true) {
            git(&place.root(), &["checkout", "-q", "other"]);
        }
        true
    };
    let source = engine.source.clone();
    engine.updater.scan(&source, &report).expect("scanned");
    assert!(switched.get(), "nothing was read");
    let named = |engine: &Engine| engine.index.sources().expect("sources")[0].commit.clone();
    assert_eq!(named(&engine), None);
    engine.scan();
    assert_eq!(named(&engine), Some(head));
    let mut paths = engine.paths("+f77");
    paths.sort();
    assert_eq!(paths, ["a.rs", "b.rs", "log.md"]);
}

#[test]
fn worktrees_have_their_commit_and_history() {
    let place = repository();
    let tree = place.root().parent().expect("a parent").join("tree");
    git(&place.root(), &["worktree", "add", "-q", &tree.display().to_string()]);
    let mut engine = place.open();
    let spec = SourceSpec { name: Some("tree".to_owned()), ..SourceSpec::default() };
    engine.source = engine.updater.add_source(&tree, &spec).expect("a source");
    engine.scan();
    assert_eq!(together(&engine, "a.rs").len(), 2);
    let status = engine.index.status().expect("a status");
    let row = status.sources.iter().find(|s| s.source.name == "tree").expect("the source");
    assert_eq!(row.source.commit.as_ref().map(String::len), Some(40));
}

#[test]
fn the_configuration_of_a_repository_runs_nothing() {
    let place = repository();
    let mark = place.root().parent().expect("a parent").join("ran");
    let touch = format!("touch {} #", mark.display());
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "diff.external",
        "gpg.program",
        "diff.x.textconv",
        "diff.x.command",
        "alias.log",
    ] {
        let value = if key == "alias.log" { format!("!{touch}") } else { touch.clone() };
        git(&place.root(), &["config", key, &value]);
    }
    git(&place.root(), &["config", "log.showSignature", "true"]);
    place.write(".gitattributes", "*.rs diff=x\n");
    let engine = place.scanned();
    assert_eq!(together(&engine, "a.rs").len(), 2);
    assert!(!mark.exists(), "something was executed");
}

#[test]
fn a_broken_repository_is_no_failure() {
    let place = Place::new();
    place.write("a.md", "alpha\n");
    place.write(".git/HEAD", "ref: refs/heads/main\n");
    let engine = place.scanned();
    assert_eq!(engine.paths("alpha"), ["a.md"]);
    assert!(together(&engine, "a.md").is_empty());
}

#[test]
fn the_head_of_a_repository_leads_to_no_other_file() {
    let place = Place::new();
    let secret = place.root().parent().expect("a parent").join("secret");
    std::fs::write(&secret, "TOPSECRET\n").expect("written");
    place.write("a.md", "alpha\n");
    for head in [
        format!("ref: {}", secret.display()),
        "ref: refs/../../../secret".to_owned(),
        "ref: ../../secret".to_owned(),
        "TOPSECRET".to_owned(),
    ] {
        place.write(".git/HEAD", format!("{head}\n"));
        let engine = place.fresh();
        let status = engine.index.status().expect("a status");
        assert_eq!(status.sources[0].source.commit, None, "{head}");
    }
}
