//! Apply and undo on a real folder: every byte comes back, and what is not ours is never lost.

use std::fs;
use std::path::Path;

use super::client::Format;
use super::tests::{client, files, http, pairs, stdio};
use super::*;

#[test]
fn apply_and_undo_restore_every_byte() {
    for (client, launch) in pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new folder").join("config");
        for before in std::iter::once(None).chain(files(client).into_iter().map(Some)) {
            if let Some(before) = &before {
                fs::write(&path, before).unwrap();
            }
            let change = plan(client, &launch, path.clone(), read(&path).unwrap()).unwrap();
            assert_eq!(change.kind, Kind::Add);
            let kept = apply(&change).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), change.after);
            let expected = if before.is_some() { backup_path(&path) } else { marker_path(&path) };
            assert_eq!(kept, expected);

            let back = undo(client, &path).unwrap();
            let kind = if before.is_some() { Kind::Restore } else { Kind::Delete };
            assert_eq!(back.kind, kind, "{before:?}");
            assert_eq!(apply(&back).unwrap(), path);
            assert_eq!(read(&path).unwrap(), before);
            let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
            assert_eq!(left, usize::from(before.is_some()), "nothing else is left");
            assert!(matches!(undo(client, &path), Err(Error::NothingToUndo { .. })));
        }
    }
}

#[test]
fn undo_goes_back_to_before_the_first_of_several_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.json");
    let original = "{\"servers\":{\"a\":{}}}";
    fs::write(&path, original).unwrap();
    for launch in [stdio(), http(), http(), stdio()] {
        apply(&plan(client("vscode"), &launch, path.clone(), read(&path).unwrap()).unwrap())
            .unwrap();
    }
    apply(&undo(client("vscode"), &path).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), original);
}

#[test]
fn undo_of_an_edited_file_takes_only_ours() {
    for (client, launch) in pairs() {
        for was_there in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config");
            if was_there {
                fs::write(&path, "").unwrap();
            }
            let change = plan(client, &launch, path.clone(), read(&path).unwrap()).unwrap();
            apply(&change).unwrap();
            let edited = match client.format {
                Format::Json => change.after.replacen('{', "{\n  // mine\n  \"mine\": 1,", 1),
                Format::Toml => format!("# mine\nmine = 1\n\n{}", change.after),
            };
            fs::write(&path, &edited).unwrap();
            let back = undo(client, &path).unwrap();
            assert_eq!(back.kind, Kind::Remove);
            assert!(back.kind.says().contains("only the entry"));
            apply(&back).unwrap();
            let left = fs::read_to_string(&path).unwrap();
            assert!(left.contains("mine") && !left.contains(OWN), "{left}");
            assert!(left.contains("// mine") || left.contains("# mine"), "{left}");
            // It lies there still, but no later undo takes it for the state to go back to.
            assert_eq!(file::numbered_path(&path, 2).exists(), was_there);
            assert!(!backup_path(&path).exists());
            assert!(!marker_path(&path).exists());
        }
    }
}

#[test]
fn a_file_changed_since_the_preview_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.json");
    let change = plan(client("vscode"), &stdio(), path.clone(), None).unwrap();
    fs::write(&path, "{}").unwrap();
    assert!(matches!(apply(&change), Err(Error::Changed { .. })));
    let change = plan(client("vscode"), &stdio(), path.clone(), Some("{}".into())).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(apply(&change), Err(Error::Changed { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(read(folder.path()), Err(Error::NotAFile { .. })));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(read(&path), Err(Error::NotUtf8 { .. })));
}

#[cfg(unix)]
#[test]
fn links_and_permissions_survive() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("dotfiles");
    fs::create_dir(&real).unwrap();
    let (target, link) = (real.join("real.json"), folder.path().join("link.json"));
    symlink("dotfiles/real.json", &link).unwrap();
    for before in [None, Some("{}")] {
        if let Some(before) = before {
            fs::write(&target, before).unwrap();
            fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
        }
        let change = plan(client("zed"), &stdio(), link.clone(), read(&link).unwrap()).unwrap();
        let kept = apply(&change).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), change.after);
        assert_eq!(kept.parent(), Some(folder.path()));
        if before.is_some() {
            assert_eq!((mode(&target), mode(&kept)), (0o640, 0o640));
        }
        apply(&undo(client("zed"), &link).unwrap()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&target).unwrap().as_deref(), before);
    }
    fs::set_permissions(&target, PermissionsExt::from_mode(0o440)).unwrap();
    let change = plan(client("zed"), &stdio(), link.clone(), read(&link).unwrap()).unwrap();
    assert!(matches!(apply(&change), Err(Error::ReadOnly { .. })));
    assert!(!backup_path(&link).exists());
    let ring = folder.path().join("ring");
    symlink("ring", &ring).unwrap();
    assert!(apply(&plan(client("zed"), &stdio(), ring, None).unwrap()).is_err());
}

#[test]
fn malformed_files_are_refused_with_their_line() {
    let cases = [
        ("vscode", "{\n  \"servers\": {\n    \"a\" 1\n  }\n}", "line 3"),
        ("vscode", "{\n  \"a\": 1\n  \"b\": 2\n}", "line"),
        ("vscode", "{\n  'a': 1\n}", "line 2"),
        ("vscode", "{\n  \"a\": 1", "line"),
        ("vscode", "{}\n{}", "line 2"),
        ("codex", "a = 1\n[mcp_servers\n", "line 2"),
        ("codex", "a = 1\nkey = sk-secret\n", "line 2"),
        ("vscode", "\n[1]", "line 2 is not an object"),
        ("vscode", "{\n\n\"servers\": null}", "`servers` in `cfg` line 3 is not an object"),
        ("codex", "\nmcp_servers = 3", "`mcp_servers` in `cfg` line 2 is not an object"),
        ("vscode", "{\"servers\": {},\n\"servers\": {}}", "second time in line 2"),
        ("vscode", "{\"servers\": {\"synod\": {},\n\n\"synod\": {}}}", "second time in line 3"),
    ];
    for (name, text, says) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cfg");
        fs::write(&path, text).unwrap();
        let error = plan(client(name), &stdio(), "cfg".into(), Some(text.to_owned())).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(says) && shown.contains("`cfg`"), "{text:?}: {shown}");
        assert!(shown.contains("nothing was written") && !shown.contains("sk-secret"), "{shown}");
        assert!(undo(client(name), &path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_stale_marker_does_not_delete_a_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.json");
    let add = |before| plan(client("zed"), &http(), path.clone(), before).unwrap();
    apply(&add(None)).unwrap();
    // The user empties the file by hand, so that the marker stays and is wrong from now on.
    fs::write(&path, "{}").unwrap();
    apply(&add(Some("{}".to_owned()))).unwrap();
    assert!(!marker_path(&path).exists());
    apply(&undo(client("zed"), &path).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}

#[test]
fn what_the_user_added_to_our_entry_stays() {
    for name in ["vscode", "codex"] {
        let client = client(name);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let write = |launch: &Launch| {
            let change = plan(client, launch, path.clone(), read(&path).unwrap()).unwrap();
            (apply(&change).unwrap(), change.after)
        };
        let written = write(&stdio()).1;
        let (from, to) = match client.format {
            Format::Json => {
                ("\"args\":", "\"timeout\": 9.5, \"autoApprove\": [\"read\"], \"args\":")
            }
            Format::Toml => ("args =", "timeout = 9.5\nautoApprove = [\"read\"]\nargs ="),
        };
        let edited = written.replacen(from, to, 1);
        assert_ne!(edited, written);
        fs::write(&path, &edited).unwrap();
        // As it was: nothing to do.
        assert_eq!(write(&stdio()).1, edited);
        let mut other = stdio();
        if let Launch::Stdio { args, .. } = &mut other {
            args.push("--read-only".to_owned());
        }
        let (kept, after) = write(&other);
        for word in ["autoApprove", "9.5", "--read-only"] {
            assert!(after.contains(word), "{word}: {after}");
        }
        assert!(!after.contains("float"), "{after}");
        assert_eq!(kept, file::numbered_path(&path, 2));
        assert_eq!(fs::read_to_string(&kept).unwrap(), edited);
        // Another way to reach it is another entry; what was there is kept.
        let (kept, after) = write(&http());
        assert!(!after.contains("autoApprove") && !after.contains("command"), "{after}");
        assert!(fs::read_to_string(&kept).unwrap().contains("--read-only"));
    }
}

#[test]
fn an_old_backup_does_not_stand_for_an_entry_of_the_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.json");
    let client = client("vscode");
    fs::write(&path, "{\"servers\": {\"a\": {}}}").unwrap();
    let write =
        || apply(&plan(client, &stdio(), path.clone(), read(&path).unwrap()).unwrap()).unwrap();
    write();
    let edited = fs::read_to_string(&path).unwrap().replacen("\"a\"", "\"b\"", 1);
    fs::write(&path, edited).unwrap();
    let back = undo(client, &path).unwrap();
    assert_eq!(back.kind, Kind::Remove);
    apply(&back).unwrap();
    let own =
        "{\"servers\": {\"b\": {}, \"synod\": {\"command\": \"x\", \"env\": {\"A\": \"1\"}}}}";
    fs::write(&path, own).unwrap();
    assert_eq!(write(), backup_path(&path));
    apply(&undo(client, &path).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), own);
}

#[test]
fn secrets_in_a_url_are_seen() {
    for (url, name) in [
        ("http://h/mcp?token=x", Some("token")),
        ("http://h/mcp?a=1&apiKey=x#token=y", Some("apiKey")),
        ("http://h/mcp?token=", None),
        ("http://h/mcp?tokens_max=5", None),
        ("http://h/token=x", None),
    ] {
        assert_eq!(secret_of_url(url), name, "{url}");
    }
}
