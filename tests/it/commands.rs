//! What people type: paging, looking around, checking and mending.

use super::http::get;
use super::index::kinds::pdf;
use super::obtain::serve;
use super::program::{Place, Server, outcome, poll, root, sql};
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn vault() -> Place {
    let place = Place::new();
    for n in 0..5 {
        place.write(&format!("vault/tide{n}.md"), format!("# Tide {n}\n\nlow water {n}\n"));
    }
    place.index(&place.path().join("vault"));
    place
}

#[test]
fn a_search_is_paged() {
    let place = vault();
    let (code, first, _) = place.outcome(&["search", "tide", "-n", "2"]);
    assert_eq!(code, 0);
    let cursor = first.split("`cursor` = `").nth(1).and_then(|rest| rest.split('`').next());
    let cursor = cursor.expect("a cursor is printed");
    let (code, second, _) = place.outcome(&["search", "tide", "-n", "2", "--cursor", cursor]);
    assert_eq!(code, 0);
    assert!(second.contains("2 of 5") && second != first, "{second}");
}

/// Runs the command behind it on a terminal of 200 columns and prints what that would show.
#[cfg(unix)]
const TERMINAL: &str = "import fcntl,os,pty,struct,sys,termios
pid,fd=pty.fork()
if pid==0:
    os.execv(sys.argv[1],sys.argv[1:])
fcntl.ioctl(fd,termios.TIOCSWINSZ,struct.pack('HHHH',40,200,0,0))
while True:
    try:
        shown=os.read(fd,65536)
    except OSError:
        break
    if not shown:
        break
    os.write(1,shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid,0)[1]))
";

#[cfg(unix)]
#[test]
fn a_terminal_shows_files_bytes_rate_time_left_and_the_file_in_hand() {
    let place = Place::new();
    for n in 0..2_000 {
        let text = "tide and moon and shore ".repeat(60);
        place.write(&format!("vault/n{n}.md"), format!("# Note {n}\n\n{text}\n"));
    }
    let vault = place.path().join("vault").display().to_string();
    let synod = place.command(&["index", &vault, "--lexical-only"]);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(synod.get_program()).args(synod.get_args());
    command.envs(synod.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("TERM", "xterm").stdin(Stdio::null());
    let (code, said, why) = outcome(command);
    assert_eq!(code, 0, "{said}{why}");
    let parts = ["vault ", "/2000 files, ", "/s, ", " left ", " MB, n", ".md"];
    let whole = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(said.split('\r').any(whole), "{said:?}");
}

#[test]
fn excluded_words_and_filters_are_typed() {
    let place = vault();
    let (code, found, _) = place.outcome(&["search", "--", "tide", "-3"]);
    assert!(code == 0 && found.contains("4 of 4"), "{found}");
    let (code, found, _) = place.outcome(&["search", "path:tide3"]);
    assert!(code == 0 && found.contains("tide3.md"), "{found}");
}

#[test]
fn where_nothing_is_indexed_a_search_says_how_to_begin() {
    let place = Place::new();
    for tool in ["search", "pack"] {
        let (code, said, err) = place.outcome(&[tool, "tide"]);
        let how = "nothing is indexed yet; `synod index FOLDER` adds a folder";
        assert!(code == 1 && said.contains(how) && !said.contains("other"), "{said}{err}");
    }
    place.write("vault/.hidden", "");
    place.index(&place.path().join("vault"));
    let (_, said, _) = place.outcome(&["search", "tide"]);
    assert!(said.contains("no document is indexed"), "{said}");
}

#[test]
fn a_path_from_the_current_folder_is_that_file() {
    let place = Place::new();
    for name in ["one", "two"] {
        place.write(&format!("{name}/sub/tide.md"), format!("# Tide\n\nit stands in {name}\n"));
        place.index(&place.path().join(name));
    }
    let read = |folder: &str, path: &str| {
        let mut command = place.command(&["read", path]);
        command.current_dir(place.path().join(folder));
        outcome(command)
    };
    for (folder, path) in [
        ("two", "sub/tide.md"),
        ("two/sub", "tide.md"),
        ("one/sub", "../../two/sub/tide.md#L1-L3"),
        (".", "./two/sub/tide.md#tide"),
    ] {
        let (code, text, err) = read(folder, path);
        assert!(code == 0 && text.contains("it stands in two"), "{folder} {path}: {text}{err}");
    }
    let (code, _, err) = read(".", "sub/tide.md");
    assert!(code == 1 && err.contains("means 2 documents"), "{err}");
}

#[test]
fn a_pack_is_made_and_had_again() {
    let place = vault();
    let (code, pack, _) = place.outcome(&["pack", "low", "water", "-t", "400", "--json"]);
    let pack: serde_json::Value = serde_json::from_str(&pack).expect("JSON");
    assert_eq!((code, pack["budget"].as_u64()), (0, Some(400)));
    assert!(pack["tokens"].as_u64().is_some_and(|tokens| tokens <= 400), "{pack}");
    let id = pack["id"].as_str().expect("an id");
    let (code, again, _) = place.outcome(&["pack", "--id", id, "--json"]);
    let again: serde_json::Value = serde_json::from_str(&again).expect("JSON");
    assert_eq!((code, &again["passages"]), (0, &pack["passages"]));
    let (code, one, _) =
        place.outcome(&["pack", "tide", "--path", "tide3", "--collection", "notes"]);
    assert!(code == 0 && one.contains("tide3.md") && !one.contains("tide2.md"), "{one}");
    let (code, _, err) = place.outcome(&["pack", "tide", "-t", "7"]);
    assert!(code != 0 && err.contains("tokens"), "{err}");
}

#[cfg(unix)]
#[test]
fn a_data_directory_is_its_owners_alone_unless_it_was_there() {
    use std::os::unix::fs::PermissionsExt;
    let place = vault();
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&place.data()), 0o700);
    let theirs = place.path().join("theirs");
    std::fs::create_dir(&theirs).expect("a folder");
    std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o750)).expect("a mode");
    let shown = theirs.display().to_string();
    assert_eq!(place.outcome(&["call", "index_status", "--data", &shown]).0, 0);
    assert_eq!(mode(&theirs), 0o750, "a folder that somebody made keeps its mode");
    assert_eq!(mode(&theirs.join("index")), 0o700);
}

#[test]
fn doctor_names_the_rule_that_leaves_a_file_out() {
    let place = vault();
    place.write("vault/.gitignore", "drafts/\n");
    place.write("vault/drafts/x.md", "x\n");
    place.write("vault/later.md", "later\n");
    let explain = |path: &str| {
        let full = place.path().join(path).display().to_string();
        let (code, said, _) = place.outcome(&["doctor", "--explain", &full]);
        (code, said)
    };
    for (path, code, words) in [
        ("vault/tide1.md", 0, "found as it stands on disk"),
        ("vault/drafts/x.md", 1, "`drafts` is ignored by the line `drafts/` of"),
        ("vault/later.md", 1, "not indexed yet"),
        ("vault/nothing.md", 1, "there is no such file"),
        ("vault", 1, "this is a folder"),
        ("elsewhere.md", 1, "it lies in no source"),
    ] {
        let (found, said) = explain(path);
        assert!(found == code && said.contains(words), "{path}: {found} {said}");
    }
    #[cfg(unix)]
    {
        let outside = place.write("outside.md", "outside\n");
        std::os::unix::fs::symlink(outside, place.path().join("vault/out.md")).expect("a link");
        let (code, said) = explain("vault/out.md");
        let rule = "source `vault` leaves it out: `out.md` is a link, and links are not followed";
        assert!(code == 1 && said.contains(rule), "{said}");
    }
}

#[test]
fn ignore_files_above_a_source_and_those_of_a_person_hide_nothing_of_it() {
    let place = Place::new();
    place.write("home/.config/git/ignore", "*.md\n");
    place.write(".gitignore", "*\nx{\n");
    place.write("vault/tide.md", "# Tide\n\nlow water\n");
    let vault = place.path().join("vault").display().to_string();
    let mut command = place.command(&["index", &vault, "--wait", "--lexical-only"]);
    command.env("XDG_CONFIG_HOME", place.path().join("home/.config"));
    let (code, _, why) = outcome(command);
    assert_eq!(code, 0, "{why}");
    let (code, found, _) = place.outcome(&["search", "low", "water"]);
    assert!(code == 0 && found.contains("tide.md"), "{found}");
}

#[test]
fn a_damaged_database_is_named_and_made_anew() {
    let place = vault();
    place.call("ingest", json!({"op": "push", "path": "memo.md", "content": "pushed walrus"}));
    let path = place.data().join("index/index.db");
    let sound = std::fs::read(&path).expect("the database");
    let half = sound.len() / 2;
    // First the tail only: the sources can still be read. Then everything: they cannot.
    for (damaged, saved) in [
        ([&sound[..half], &vec![0xA5; sound.len() - half]].concat(), true),
        (vec![0xA5; sound.len()], false),
    ] {
        for side in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(place.data().join(format!("index/index.db{side}")));
        }
        std::fs::write(&path, &damaged).expect("written");
        let (code, _, said) = place.outcome(&["doctor"]);
        assert!(code == 1 && said.contains("doctor --repair"), "{said}");
        let (code, _, said) = place.outcome(&["doctor", "--repair"]);
        // A pushed text that cannot be read is a loss, and said to be one.
        assert_eq!(code, i32::from(said.contains("push them again")), "{said}");
        assert!(said.contains("index.damaged-"), "{said}");
        assert!(!place.data().join("repair").exists());
        let (code, found, _) = place.outcome(&["search", "tide"]);
        assert_eq!((code, found.contains("tide1.md")), (i32::from(!saved), saved), "{found}");
        assert_eq!(place.outcome(&["doctor"]).0, 0);
        if !saved {
            assert!(said.contains("name your folders"), "{said}");
        }
    }
}

#[test]
fn a_search_over_a_damaged_database_says_what_to_do() {
    let place = vault();
    for side in ["", "-wal", "-shm"] {
        let path = place.data().join(format!("index/index.db{side}"));
        if side.is_empty() {
            std::fs::write(path, vec![0xA5; 8192]).expect("written");
        } else {
            let _ = std::fs::remove_file(path);
        }
    }
    let (code, _, said) = place.outcome(&["search", "tide"]);
    assert!(code == 1 && said.contains("synod doctor --repair"), "{said}");
}

#[test]
fn damaged_words_are_made_anew_by_whatever_comes_first() {
    let place = vault();
    let list = place.data().join("index/words/meta.json");
    let sound = std::fs::read(&list).expect("the list");
    for (args, words) in [
        (&["search", "tide"][..], "tide1.md"),
        (&["doctor"], "all stores agree"),
        (&["index"], "5 as they were"),
        (&["doctor", "--repair"], "all stores agree"),
    ] {
        std::fs::write(&list, &sound[..sound.len() / 2]).expect("written");
        let (code, found, said) = place.outcome(args);
        assert!(code == 0 && found.contains(words), "{args:?}: {code} {found} {said}");
        // Who looks after the index says what was done.
        assert_eq!(said.contains("mended: the word index"), args[0] != "search", "{said}");
    }
    let (code, found, _) = place.outcome(&["search", "tide"]);
    assert!(code == 0 && found.contains("5 of 5"), "{found}");
}

#[test]
fn doctor_reads_every_byte_of_the_words() {
    let place = vault();
    // A server holds the lock: doctor mends nothing.
    let server = place.http(&[], &[]);
    poll("freshness", PATIENCE, || {
        (get(server.address, "/v1/index").json()["fresh"] == true).then_some(())
    });
    let (code, said, _) = place.outcome(&["doctor"]);
    assert!(code == 0 && said.contains("files of words"), "{said}");
    let (code, said, why) = place.outcome(&["doctor", "--deep"]);
    assert!(code == 0 && said.contains("were read again"), "{said}{why}");
    assert!(!said.contains("0 documents were read again"), "{said}");
    assert!(said.contains("texts of links to") && said.contains("all stores agree"), "{said}");
    assert!(!said.contains("texts of links to 0 documents"), "{said}");
    let words = place.data().join("index/words");
    let files = std::fs::read_dir(words).expect("words").flatten().map(|entry| entry.path());
    let path = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "pos"));
    let path = path.expect("positions");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[0] ^= 0xFF;
    // A new file: the server reads the former one on.
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, bytes).expect("written");
    let (code, said, _) = place.outcome(&["doctor"]);
    assert!(code == 1 && said.contains("the word index is damaged"), "{said}");
    poll("new words", PATIENCE, || (place.outcome(&["doctor"]).0 == 0).then_some(()));
}

#[test]
fn doctor_reads_pdfs_again_as_they_were_read_and_mends_what_is_kept_of_them() {
    let place = Place::new();
    place.write("vault/paper.pdf", pdf("the marmoset paper"));
    place.write("vault/a.md", "# Tide\n");
    place.index(&place.path().join("vault"));
    let (code, said, why) = place.outcome(&["doctor", "--deep"]);
    assert_eq!(code, 0, "{said}{why}");
    for words in ["2 documents were read again\n", "all stores agree"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let database = place.data().join("index/index.db");
    sql(&database, "UPDATE pushed SET text='the okapi paper'");
    let (code, said, _) = place.outcome(&["doctor", "--deep"]);
    let wrong = "the rows of `paper.pdf` are not its file's: the text that is kept";
    assert!(code == 1 && said.contains(wrong), "{said}");
    assert_eq!(place.outcome(&["doctor"]).0, 0, "nothing else looks at it");
    let (code, said, why) = place.outcome(&["doctor", "--deep", "--repair"]);
    assert!(code == 0 && said.contains("all stores agree"), "{said}{why}");
    assert!(why.contains(wrong), "{why}");
    let found = place.call("search", json!({"query": "marmoset", "mode": "lexical"}));
    let snippet = found["hits"][0]["snippet"].as_str().unwrap_or_default();
    assert!(snippet.contains("the marmoset paper"), "{found}");
}

#[test]
fn init_proposes_what_lies_around_and_writes_it_once() {
    let place = Place::new();
    place.write("home/Notes/.obsidian/app.json", "{}");
    place.write("home/code/tool/.git/HEAD", "ref: refs/heads/main\n");
    place.write("home/.cursor/mcp.json", "{}");
    place.write("home/.hidden/x/.git/HEAD", "");
    let file = place.path().join("synod.toml");
    let shown = file.display().to_string();
    let (code, text, said) = place.outcome(&["init", "--output", &shown, "--dry-run"]);
    assert!(code == 0 && text.contains("Notes") && text.contains("tool"), "{text}");
    assert!(!text.contains(".hidden"), "{text}");
    // Claude Code keeps its file in the home directory itself, which proves nothing.
    assert!(said.contains("cursor") && !said.contains("claude-code"), "{said}");
    assert!(!file.exists(), "a dry run writes nothing");
    assert_eq!(place.outcome(&["init", "--output", &shown]).0, 0);
    let written = std::fs::read_to_string(&file).expect("written");
    assert_eq!(written, text);
    let (code, _, said) = place.outcome(&["init", "--output", &shown]);
    assert!(code == 1 && said.contains("--force"), "{said}");
    let (code, values, _) = place.outcome(&["config", "--config", &shown]);
    assert!(code == 0 && values.contains("Notes"), "{values}");
    // And it is a configuration that works.
    assert_eq!(place.outcome(&["index", "--config", &shown]).0, 0);
    let status = place.call("index_status", json!({}));
    assert_eq!(status["sources"].as_array().map(Vec::len), Some(2), "{status}");
}

#[test]
fn init_finds_what_obsidian_lists_and_an_ollama_and_says_how_to_connect() {
    let place = Place::new();
    let far = place.write("disk/deep/vault/note.md", "# Far\n");
    let far = far.parent().expect("a folder");
    let list = json!({"vaults": {"1": {"path": far}}});
    place.write("home/.config/obsidian/obsidian.json", list.to_string());
    place.write("home/.claude.json", "{}");
    let tags = json!({"models": [{"name": "llama3.2:3b", "details": {"family": "llama"}}]});
    let url = serve([("/api/tags".to_owned(), tags.to_string().into_bytes())].into());
    let file = place.path().join("my conf.toml").display().to_string();
    let mut command = place.command(&["init", "--output", &file, "--json"]);
    // Not in this repository: what an editor keeps in it would be found too.
    command.env("OLLAMA_HOST", &url).current_dir(place.path());
    let (code, made, said) = outcome(command);
    assert_eq!(code, 0, "{said}");
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let written = std::fs::read_to_string(&file).expect("written");
    assert_eq!((&made["text"], &made["file"]), (&json!(written), &json!(file)));
    assert_eq!((&made["written"], &made["ollama"]), (&json!(true), &json!(url)));
    let source = made["sources"][0].as_str().map(std::path::Path::new).expect("a source");
    assert!(source.ends_with("disk/deep/vault"), "{made}");
    assert!(written.contains("# id = \"llama3.2:3b\""), "{written}");
    assert_eq!(made["clients"], json!(["claude-code"]));
    assert!(said.contains("client-config claude-code --write --data"), "{said}");
    assert!(said.contains("my conf.toml'") || cfg!(windows), "{said}");
    let (code, values, _) = place.outcome(&["config", "--config", &file]);
    assert!(code == 0 && values.contains("vault"), "{values}");
}

#[test]
fn init_writes_the_file_that_is_named_and_no_other() {
    let place = Place::new();
    let own = place.write("config/synod/synod.toml", "# mine\n");
    let other = place.path().join("other.toml");
    let init = |named: Option<&std::path::Path>, args: &[&str]| {
        let mut command = place.command(&[&["init"][..], args].concat());
        command.env("XDG_CONFIG_HOME", place.path().join("config"));
        if let Some(named) = named {
            command.env_remove("SYNOD_DATA").env("SYNOD_CONFIG", named);
        }
        outcome(command)
    };
    // With a data directory of its own, nothing of the person's is meant.
    let (code, _, said) = init(None, &["--force"]);
    assert!(code == 1 && said.contains("--output"), "{said}");
    assert_eq!(init(None, &["--dry-run"]).0, 0);
    // A file that is not there yet is made.
    let (code, _, said) = init(Some(&other), &[]);
    assert!(code == 0 && said.contains("other.toml"), "{said}");
    assert_eq!(init(Some(&other), &[]).0, 1, "it is there now");
    assert_eq!(init(Some(&other), &["--force"]).0, 0);
    assert_eq!(std::fs::read_to_string(own).expect("read"), "# mine\n");
}

#[cfg(unix)]
#[test]
fn init_keeps_what_it_replaces_and_follows_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    let real = place.write("dotfiles/synod.toml", "# first\n");
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o600)).expect("a mode");
    let link = place.path().join("synod.toml");
    symlink("dotfiles/synod.toml", &link).expect("a link");
    let shown = link.display().to_string();
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).expect(name);
    for (kept, held) in [("synod.toml.bak", "# first\n"), ("synod.toml.bak2", "# second\n")] {
        let (code, text, said) = place.outcome(&["init", "--output", &shown, "--force"]);
        assert!(code == 0 && said.contains(kept), "{said}");
        assert_eq!((read(kept).as_str(), read("dotfiles/synod.toml")), (held, text));
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
        let mode = std::fs::metadata(&real).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&real, "# second\n").expect("written");
    }
}

#[test]
fn whoever_asks_for_json_gets_it() {
    let place = vault();
    let read = |args: &[&str]| -> serde_json::Value {
        let (code, said, why) = place.outcome(&[args, &["--json"]].concat());
        assert_eq!(code, 0, "{args:?}: {why}");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
    };
    assert_eq!(read(&["session"]), json!({"sessions": []}));
    assert_eq!(read(&["client-config"])["clients"].as_array().map(Vec::len), Some(13));
    assert!(read(&["client-config", "jetbrains"])["text"].to_string().contains("mcpServers"));
    let file = place.path().join("client.json").display().to_string();
    let client = ["client-config", "cursor", "--file", &file];
    for (more, written) in [(&[] as &[&str], false), (&["--write"], true), (&["--undo"], true)] {
        let said = read(&[&client[..], more].concat());
        assert_eq!((&said["written"], &said["file"]), (&json!(written), &json!(file)), "{said}");
        assert!(said["diff"].to_string().contains("synod"), "{said}");
    }
    assert!(!std::path::Path::new(&file).exists(), "it was taken back");
    assert_eq!(place.outcome(&["token", "add", "ci"]).0, 0);
    assert_eq!(read(&["token", "revoke", "ci"]), json!({"name": "ci", "revoked": true}));
    let up = ["up", "--http", "127.0.0.1:0", "--lexical-only", "--json"];
    let server = Server::of(place.command(&up));
    let said = poll("the welcome", PATIENCE, || serde_json::from_str(&server.stdout()).ok());
    let said: serde_json::Value = said;
    assert_eq!(said["mcp"], format!("http://{}/mcp", server.address));
    assert_eq!(said["sources"][0]["documents"], 5, "{said}");
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let place = Place::new();
    let commands = ["up", "init", "serve", "index", "search", "read", "call", "doctor", "token"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text, _) = place.outcome(&["completions", shell]);
        assert_eq!(code, 0);
        for command in commands {
            assert!(text.contains(command), "{shell} does not know {command}");
        }
    }
    let (code, text, _) = place.outcome(&["man"]);
    assert!(code == 0 && text.starts_with(".ie") || text.contains(".TH"), "a manual page");
    assert!(commands.iter().all(|command| text.contains(command)));
    for (name, says) in
        [("up", "synod\\-up"), ("synod-client-config", "undo"), ("synod-call-search", "query")]
    {
        let (code, text, why) = place.outcome(&["man", name]);
        assert!(code == 0 && text.contains(says), "{name}: {why}{text}");
    }
    let (code, _, why) = place.outcome(&["man", "doc"]);
    assert!(code == 1 && why.contains("no command `doc`"), "{why}");
}

#[cfg(unix)]
#[test]
fn an_entry_holds_the_link_and_not_what_it_leads_to() {
    let place = Place::new();
    let bin = place.write("bin/none", "").with_file_name("synod");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_synod"), &bin).expect("a link");
    let args = ["client-config", "jetbrains"];
    let mut by_path = place.command(&args);
    by_path.env("PATH", bin.parent().expect("a folder"));
    let mut by_link = Command::new(&bin);
    by_link.args(args).env("SYNOD_DATA", place.data()).env("HOME", place.path());
    // Typed in a folder that may be gone tomorrow.
    let mut by_way = Command::new(&bin);
    by_way.args(args).env("SYNOD_DATA", place.data()).env("HOME", place.path());
    let here = place.write("here/none", "").with_file_name("");
    std::os::unix::process::CommandExt::arg0(&mut by_way, "../bin/synod").current_dir(here);
    for command in [by_path, by_link, by_way] {
        let (code, said, why) = outcome(command);
        assert!(code == 0 && said.contains(&*bin.to_string_lossy()), "{said}{why}");
    }
}

#[test]
fn an_entry_that_says_more_than_is_set_is_told_of() {
    let place = Place::new();
    let file = place.path().join("client.json").display().to_string();
    let client = ["client-config", "cursor", "--file", &file];
    let mut command = place.command(&[&client[..], &["--write"]].concat());
    command.env("SYNOD_LIMITS_CALLS_MAX", "3");
    let (code, _, why) = outcome(command);
    assert!(code == 0 && !why.contains("which nothing does here"), "{why}");
    let (code, said, why) = place.outcome(&client);
    assert!(code == 0 && said.contains("needs no change"), "{said}{why}");
    assert!(why.contains("sets `SYNOD_LIMITS_CALLS_MAX`, which nothing does here"), "{why}");
}

#[test]
fn a_home_directory_is_read_where_no_shell_does() {
    let place = Place::new();
    let mut command = place.command(&["config", "--json"]);
    command.env("SYNOD_DATA", "~/mine").current_dir(place.path());
    let (code, said, why) = outcome(command);
    assert_eq!(code, 0, "{why}");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["data"], json!(place.path().join("home/mine")));
    assert!(!place.path().join("~").exists());
}

#[test]
fn what_does_not_fit_is_said_once_and_nothing_else() {
    let place = vault();
    for (code, args, says) in [
        (2, &["client-config", "--write"][..], "CLIENT"),
        (2, &["client-config", "--undo"], "CLIENT"),
        (1, &["client-config", "jetbrains", "--write"], "--file"),
        (1, &["client-config", "jetbrains", "--undo"], "--file"),
        (1, &["token", "add", ""], "a name and a scope"),
        (1, &["token", "add", "x", "--scopes", ""], "a name and a scope"),
        (1, &["index", "nosuch"], "`nosuch`"),
    ] {
        let (found, _, why) = place.outcome(args);
        assert!(found == code && why.contains(says), "{args:?}: {found} {why}");
        assert!(!why.contains("data directory"), "{args:?}: {why}");
    }
    let (_, _, why) = place.outcome(&["call", "search", r#"{"query": "tide", "limt": 3}"#]);
    assert!(why.contains("unknown field `limt`; it takes"), "{why}");
    assert_eq!(why.matches("`cursor`").count(), 1, "{why}");
    let args = ["client-config", "cursor", "--url", "http://127.0.0.1:7717"];
    let (_, said, why) = place.outcome(&args);
    assert!(said.contains("\"http://127.0.0.1:7717/mcp\"") && why.contains("/mcp"), "{said}{why}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_stdout_does_not_take_is_a_failure_and_a_reader_that_left_is_none() {
    let place = vault();
    for args in [
        &["search", "tide"][..],
        &["read", "tide1.md"],
        &["config"],
        &["call", "index_status"],
        &["completions", "bash"],
        &["man"],
        &["--version"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        let mut command = place.command(args);
        command.stdout(full);
        let output = command.stderr(Stdio::piped()).spawn().and_then(|c| c.wait_with_output());
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains("No space left"),
            "{args:?} {said}"
        );
        let mut command = place.command(args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{args:?} {said}");
    }
}

#[test]
fn the_page_is_served_beyond_loopback_and_its_data_is_not() {
    let place = vault();
    let environment = [("SYNOD_ACCESS_REQUIRE_TOKEN", "true")];
    let server = place.http(&[], &environment);
    for path in ["/", "/app.js", "/style.css", "/health"] {
        assert_eq!(get(server.address, path).status, 200, "{path}");
    }
    for path in ["/v1/index", "/v1/search?q=x", "/metrics", "/v1/openapi.json", "/mcp"] {
        assert_eq!(get(server.address, path).status, 401, "{path}");
    }
}

/// The page's script before a server that wants a token and a person who gives none, then one: how
/// often they were asked, how often the server was, and whether a button is hidden. Timers are run
/// twenty times.
const PERSON: &str = r#"
let [prompts, calls, given] = [0, 0, null];
const timers = new Map();
globalThis.setTimeout = (run) => (timers.set(timers.size + 1, run), timers.size);
globalThis.clearTimeout = (id) => timers.delete(id);
const kept = {};
globalThis.sessionStorage = { getItem: (k) => kept[k] ?? null, setItem: (k, v) => (kept[k] = v) };
const element = () => ({ on: {}, hidden: true, replaceChildren() {},
  addEventListener(kind, run) { this.on[kind] = run; } });
const elements = {};
globalThis.document = { getElementById: (id) => (elements[id] ??= element()) };
globalThis.location = { origin: "http://host" };
globalThis.prompt = () => (prompts++, given);
globalThis.fetch = async (path, { headers }) => {
  calls++;
  const ok = headers.authorization === "Bearer secret";
  const body = ok ? { documents: 1, sources: [] } : { error: { message: "a token is needed" } };
  return { ok, status: ok ? 200 : 401, json: async () => body };
};
async function look() {
  for (let turn = 0; turn < 20; turn++) {
    await new Promise(setImmediate);
    const due = [...timers.values()];
    timers.clear();
    due.forEach((run) => run());
  }
  console.log(JSON.stringify([prompts, calls > 10, elements.token.hidden]));
}
await import("./app.mjs");
await look();
given = " secret ";
elements.token.on.click();
await look();
"#;

#[test]
fn the_page_asks_for_a_token_once() {
    let place = Place::new();
    let script = std::fs::read(root().join("console/app.js")).expect("the script");
    place.write("app.mjs", script);
    let person = place.write("person.mjs", PERSON);
    let mut node = Command::new(super::examples::node());
    node.arg(person);
    let (code, said, why) = outcome(node);
    assert_eq!(code, 0, "{why}");
    assert_eq!(said, "[1,false,false]\n[2,true,true]\n");
}

#[test]
fn up_takes_the_repository_it_stands_in() {
    let place = Place::new();
    place.write("repo/.git/HEAD", "ref: refs/heads/main\n");
    place.write("repo/src/pool.rs", "pub fn anemone() {}\n");
    let mut command = place.command(&["up", "--http", "127.0.0.1:0", "--lexical-only"]);
    command.current_dir(place.path().join("repo"));
    let server = Server::of(command);
    poll("the welcome", PATIENCE, || server.stdout().contains("Stop:").then_some(()));
    let found = get(server.address, "/v1/search?q=anemone").json();
    assert_eq!(found["hits"][0]["path"], "src/pool.rs", "{found}");
}

#[test]
fn up_serves_what_is_indexed_and_adds_nothing_to_it() {
    let place = vault();
    place.write("home/letter.md", "# Letter\n");
    // The home directory itself would be refused.
    let mut command = place.command(&["up", "--http", "127.0.0.1:0", "--lexical-only"]);
    command.current_dir(place.path().join("home"));
    let server = Server::of(command);
    poll("the welcome", PATIENCE, || server.stdout().contains("Stop:").then_some(()));
    assert!(server.stdout().contains("vault: 5 documents"), "{}", server.stdout());
    let status = get(server.address, "/v1/index").json();
    assert_eq!(status["sources"].as_array().map(Vec::len), Some(1), "{status}");
}

#[test]
fn a_folder_of_a_source_is_no_second_one_unless_that_is_said() {
    let place = vault();
    place.write("vault/reference/pool.md", "# Pool\n");
    place.write("vault/.gitignore", "drafts/\n");
    place.write("vault/drafts/x.md", "draft\n");
    let folder = |path: &str| place.path().join(path).display().to_string();
    let (inner, outer, drafts) = (folder("vault/reference"), folder(""), folder("vault/drafts"));
    let up = ["up", &inner, "--http", "127.0.0.1:0", "--lexical-only"];
    let add = json!({"op": "add", "path": inner}).to_string();
    let file = place.write("synod.toml", format!("[access]\nadd_roots = [{outer:?}]\n"));
    let file = file.display().to_string();
    for (args, says) in [
        (&["index", &inner][..], "lies in the source `vault`"),
        (&["index", &outer], "holds the source `vault`"),
        (&up, "lies in the source `vault`"),
        (&["call", "ingest", &add, "--config", &file], "lies in the source `vault`"),
    ] {
        let (code, _, why) = place.outcome(args);
        assert!(code == 1 && why.contains(says) && why.contains("--force"), "{args:?}: {why}");
    }
    let count = || place.call("index_status", json!({}))["sources"].as_array().map(Vec::len);
    assert_eq!(count(), Some(1));
    // What the vault leaves out is in no source yet, and what is one already is one.
    let force = ["index", &inner, "--force"];
    for args in [&["index", &drafts][..], &force, &["index", &inner]] {
        let (code, _, why) = place.outcome(args);
        assert_eq!(code, 0, "{args:?}: {why}");
    }
    assert_eq!(count(), Some(3));
}

#[test]
fn up_names_commands_that_the_shell_finds() {
    let place = Place::new();
    place.write("vault/tide.md", "# Tide\n");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_synod"));
    for (path, called) in [(place.path(), "/synod "), (program.parent().expect("one"), "  synod ")]
    {
        let mut command = place.command(&["up", "--http", "127.0.0.1:0", "--lexical-only"]);
        command.current_dir(place.path().join("vault")).env("PATH", path);
        let server = Server::of(command);
        poll("the welcome", PATIENCE, || server.stdout().contains("Stop:").then_some(()));
        let said = server.stdout();
        for what in ["client-config", "search"] {
            assert!(said.contains(&format!("{called}{what}")), "{said}");
        }
    }
}

#[cfg(unix)]
#[test]
fn what_a_command_prints_is_about_the_same_index_and_the_same_rights() {
    let place = Place::new();
    let vault = place.write("vault/tide.md", "# Tide\n");
    let vault = vault.parent().expect("a folder").display().to_string();
    let data = place.path().join("d two").display().to_string();
    let flags = ["--data", &data, "--allow-write"];
    let up = ["up", &vault, "--http", "127.0.0.1:0", "--lexical-only"];
    let server = Server::of(place.command(&[&up[..], &flags].concat()));
    poll("the welcome", PATIENCE, || server.stdout().contains("Stop:").then_some(()));
    let said = server.stdout();
    for words in ["--write", "search \"what did we decide\""] {
        let wanted = format!("{words} --data '{data}' --allow-write\n");
        assert!(said.contains(&wanted), "{said}");
    }
    let file = place.path().join("client.json").display().to_string();
    let client = ["client-config", "cursor", "--file", &file, "--write"];
    let (code, _, why) = place.outcome(&[&client[..], &flags].concat());
    assert_eq!(code, 0, "{why}");
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    let args = &written["mcpServers"]["synod"]["args"];
    assert_eq!(*args, json!(["serve", "--stdio", "--data", data, "--allow-write"]));
    let by_url = [&client[..], &["--url", "http://127.0.0.1:1/mcp"], &flags].concat();
    let (code, _, why) = place.outcome(&by_url);
    assert!(code == 0 && why.contains("`--allow-write` is left out"), "{why}");
}

#[test]
fn a_repair_keeps_every_pushed_text_that_can_be_read() {
    let place = vault();
    let mut client = place.stdio(&["--allow-write"]);
    for n in 0..12 {
        let half = "filler words ".repeat(20_000);
        let content = format!("memo{n} {half} MIDDLE{n}OF12 {half}");
        let path = format!("memo{n}.md");
        let push = json!({"op": "push", "path": path, "content": content, "wait": true});
        assert_eq!(client.answered("ingest", push)["state"], "succeeded");
    }
    assert!(client.end().success());
    let path = place.data().join("index/index.db");
    let mut bytes = std::fs::read(&path).expect("the database");
    // One page in the middle of a text: everything beside it can still be read.
    let needle = b"MIDDLE3OF12";
    let at = bytes.windows(needle.len()).position(|w| w == needle).expect("the text");
    let page = at / 4096 * 4096;
    bytes[page..page + 4096].fill(0xA5);
    std::fs::write(&path, &bytes).expect("written");
    let (_, _, said) = place.outcome(&["doctor", "--repair"]);
    let found = place.call("search", json!({"query": "path:memo", "limit": 50}));
    let kept = found["total"].as_u64().expect("a number");
    assert_eq!(kept, 11, "{said}");
    assert!(said.contains("could not be read; push them again"), "{said}");
    assert_eq!(place.outcome(&["doctor"]).0, 0);
}

/// A conversation of so many messages; its id.
fn conversation(place: &Place, messages: usize) -> String {
    let mut client = place.stdio(&["--allow-write"]);
    let made = client.answered("session", json!({"op": "create", "title": "tides"}));
    let id = made["session_id"].as_str().expect("an id").to_owned();
    for n in 0..messages {
        let text = format!("MESSAGE{n}OF40 {}", "low water ".repeat(30));
        client.answered("session", json!({"op": "append", "id": id, "role": "user", "text": text}));
    }
    assert!(client.end().success());
    id
}

#[test]
fn a_damaged_store_is_named_and_what_can_be_read_of_it_is_kept() {
    let place = vault();
    assert_eq!(place.outcome(&["token", "add", "ci"]).0, 0);
    let id = conversation(&place, 40);
    let path = place.data().join("state.db");
    sql(&path, "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = std::fs::read(&path).expect("the store");
    let needle = b"MESSAGE30OF40";
    let at = bytes.windows(needle.len()).position(|w| w == needle).expect("the text");
    bytes[at..at + 60].fill(0xA5);
    std::fs::write(&path, bytes).expect("written");
    let (code, said, why) = place.outcome(&["doctor"]);
    assert!(code == 1 && said.contains("`state.db`") && said.contains("--repair"), "{said}{why}");
    let history = json!({"op": "history", "id": id}).to_string();
    let (code, _, why) = place.outcome(&["call", "session", &history]);
    assert!(code == 1 && why.contains("synod doctor --repair"), "{why}");
    let (code, said, why) = place.outcome(&["doctor", "--repair"]);
    // What could not be kept is said.
    assert!(code == 1 && said.contains("rows of the damaged store were lost"), "{said}{why}");
    assert!(why.contains("state.damaged-") && why.contains("1 rows of `message`"), "{why}");
    let (code, said, why) = place.outcome(&["doctor"]);
    assert!(code == 0 && said.contains("1 tokens"), "{said}{why}");
    let kept = place.call("session", json!({"op": "history", "id": id}));
    assert_eq!(kept["messages"].as_array().map(Vec::len), Some(39), "{kept}");
    let (_, ledger, _) = place.outcome(&["ledger", "--action", "doctor.repair"]);
    assert!(ledger.contains("state.damaged-"), "{ledger}");
}

#[test]
fn a_store_that_is_no_database_is_made_anew() {
    let place = vault();
    let path = place.data().join("state.db");
    sql(&path, "PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::write(&path, vec![0xA5; 8192]).expect("written");
    for args in [&["search", "tide"][..], &["token", "list"], &["doctor"]] {
        let (code, said, why) = place.outcome(args);
        let text = format!("{said}{why}");
        assert!(code == 1 && text.contains("synod doctor --repair"), "{args:?}: {text}");
    }
    let (code, _, why) = place.outcome(&["doctor", "--repair"]);
    assert!(code == 1 && why.contains("make tokens anew"), "{why}");
    assert_eq!(place.outcome(&["doctor"]).0, 0);
    let (code, found, _) = place.outcome(&["search", "tide"]);
    assert!(code == 0 && found.contains("tide1.md"), "{found}");
}
