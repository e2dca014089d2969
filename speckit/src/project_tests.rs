//! Projects found, monorepos, worktrees, features by all their names.

use super::*;
use std::fs;

fn make(root: &Path, features: &[&str]) -> Project {
    fs::create_dir_all(root.join(".specify")).unwrap();
    for name in features {
        fs::create_dir_all(root.join("specs").join(name)).unwrap();
    }
    Project::open(root).unwrap()
}

#[test]
fn the_nearest_project_upwards_and_not_above_the_ceiling() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap();
    make(&top, &[]);
    make(&top.join("apps/web"), &[]);
    fs::create_dir_all(top.join("apps/web/src/deep")).unwrap();
    fs::create_dir_all(top.join("apps/other")).unwrap();
    let root = |start: &str, ceiling: Option<&str>| {
        let ceiling = ceiling.map(|c| top.join(c));
        Project::find(&top.join(start), ceiling.as_deref()).map(|p| p.root)
    };
    assert_eq!(root("apps/web/src/deep", None).unwrap(), top.join("apps/web"));
    assert_eq!(root("apps/other", None).unwrap(), top);
    assert!(matches!(root("apps/other", Some("apps")), Err(Error::NoProject { .. })));
    let found = Project::discover(&top).unwrap();
    assert!(found.complete && found.projects.len() == 2);
}

#[test]
fn configuration_is_read_and_broken_configuration_is_said() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &[]);
    let at = |name: &str| dir.path().join(".specify").join(name);
    fs::write(
        at("init-options.json"),
        r#"{"feature_numbering":"timestamp","speckit_version":"1.2.3","script":"sh"}"#,
    )
    .unwrap();
    fs::write(
        at("integration.json"),
        r#"{"default_integration":"claude","installed_integrations":["claude"],
            "integration_settings":{"claude":{"invoke_separator":"-"}}}"#,
    )
    .unwrap();
    fs::write(at("feature.json"), "{").unwrap();
    let project = Project::open(dir.path()).unwrap();
    assert_eq!(project.numbering, Numbering::Timestamp);
    assert_eq!(project.version.as_deref(), Some("1.2.3"));
    assert_eq!(project.invocation("speckit.git.commit"), "/speckit-git-commit");
    assert_eq!(project.unreadable, [".specify/feature.json"]);
    assert_eq!(project.active, None);
}

#[test]
fn a_feature_by_id_name_and_path() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["001-a", "002-b", "002-c", "20260131-120000-d", "12-y", "plain", "1000-z"];
    let project = make(dir.path(), &names);
    let name = |wanted: &str| project.feature(wanted).map(|f| f.name);
    assert_eq!(name("1").unwrap(), "001-a");
    assert_eq!(name("001").unwrap(), "001-a");
    assert_eq!(name("specs/001-a/").unwrap(), "001-a");
    assert_eq!(name("20260131-120000").unwrap(), "20260131-120000-d");
    assert_eq!(name("plain").unwrap(), "plain");
    assert_eq!(name("12").unwrap(), "12-y");
    assert!(matches!(name("2"), Err(Error::Ambiguous { candidates, .. }) if candidates.len() == 2));
    let missing = name("001-aa").unwrap_err().to_string();
    assert!(missing.contains("nearest is `001-a`"), "{missing}");
    for hostile in ["../x", "/etc", "a\0", "specs/../../x"] {
        assert!(matches!(name(hostile), Err(Error::Outside { .. })), "{hostile}");
    }
}

#[test]
fn a_feature_that_is_not_there_is_told_from_those_that_are() {
    let cases: [(&[&str], &str); 3] = [
        (&[], "it has no features yet"),
        (&["001-photo-albums"], "its only one is `001-photo-albums`"),
        (&["001-photo-albums", "002-sea-charts"], "it has 2 others, list them"),
    ];
    for (names, otherwise) in cases {
        let dir = tempfile::tempdir().unwrap();
        let project = make(dir.path(), names);
        for wanted in ["zzz", "specs/zzz"] {
            let said = project.feature(wanted).unwrap_err().to_string();
            let expected = format!("no feature `{wanted}` in the project; {otherwise}");
            assert!(said.ends_with(&expected), "{said}");
        }
    }
}

#[cfg(unix)]
#[test]
fn links_that_leave_are_no_features() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("p");
    fs::create_dir_all(dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join("elsewhere/spec.md"), "# s").unwrap();
    let project = make(&root, &["001-a"]);
    std::os::unix::fs::symlink("../../elsewhere", root.join("specs/002-b")).unwrap();
    std::os::unix::fs::symlink("001-a", root.join("specs/003-c")).unwrap();
    let names: Vec<_> = project.features().unwrap().into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["001-a", "003-c"]);
    assert!(matches!(project.feature("specs/002-b"), Err(Error::Outside { .. })));
}

#[test]
fn worktrees_are_told_from_checkouts() {
    let dir = tempfile::tempdir().unwrap();
    let main = make(&dir.path().join("main"), &[]);
    assert_eq!(main.git(), None);
    fs::create_dir_all(main.root.join(".git/worktrees/w")).unwrap();
    fs::write(main.root.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(main.root.join(".git/worktrees/w/HEAD"), "ref: refs/heads/001-a\n").unwrap();
    assert_eq!(main.git().unwrap().branch.as_deref(), Some("main"));
    let tree = make(&dir.path().join("tree"), &[]);
    fs::write(tree.root.join(".git"), "gitdir: ../main/.git/worktrees/w\n").unwrap();
    let git = tree.git().unwrap();
    assert!(git.worktree && git.branch.as_deref() == Some("001-a"));
}
