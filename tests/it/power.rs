//! What a power failure leaves on disk, which is what was made safe there and nothing else: a sound
//! index, every vector that it names, and what was acknowledged and can be read nowhere again.
//!
//! The process ends at some step, and `shim.c` has kept what was synced of each file and folder. A
//! system writes some of the rest by itself, so that it is left in more than one way.

use super::index::Answers;
use super::lost::{MEANT, change_all, meant, shim};
use super::program::{Client, PATIENCE, Place, copy, ended, long, outcome};
use super::provider::{self, configure};
use serde_json::{Value, json};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use synod_index::{Index, Updater};

/// What is searched; each stands in few notes.
const WORDS: &[&str] = &["walrus", "barnacle", "number3", "number5", "number7", "number9", "m9"];
/// Notes of the vault.
const NOTES: usize = 30;

/// What is on disk when the power is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    /// What was synced: the bytes of files, and the names in folders.
    Synced,
    /// All names, and the bytes that were synced.
    Names,
    /// The database of the index, and in the folders beside it what was synced.
    Database,
    /// Everything but that database, of which there is what was synced.
    Rest,
}

const LEFT: [Left; 4] = [Left::Synced, Left::Names, Left::Database, Left::Rest];

/// A disk on which a data directory lies.
struct Disk {
    place: Place,
    shim: PathBuf,
}

impl Disk {
    fn new() -> Disk {
        let place = Place::new();
        for n in 0..NOTES {
            let word = MEANT[n % 4].0;
            let text = format!("# Note {n}\n\nA {word}, number{n} [[n{}]]\n", (n * 7) % NOTES);
            place.write(&format!("vault/n{n}.md"), text);
        }
        let shim = shim(&place);
        Disk { place, shim }
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("disk")
    }

    fn kept(&self) -> PathBuf {
        self.place.path().join("kept")
    }

    fn vault(&self) -> PathBuf {
        self.place.path().join("vault")
    }

    /// A command on a copy of `before`, or on an empty disk, that ends before its call `at`.
    fn command(&self, before: Option<&Path>, args: &[&str], at: u64) -> Command {
        for folder in [self.root(), self.kept()] {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).expect("a folder");
        }
        let data = self.root().join("data");
        if let Some(before) = before {
            copy(before, &data);
        }
        let mut command = self.place.command(args);
        command.env("SYNOD_DATA", data).env("LD_PRELOAD", &self.shim);
        command.env("SHIM_DIR", self.root()).env("SHIM_KEEP", self.kept());
        command.env("SHIM_FAIL", at.to_string()).env("SHIM_HOW", "kill");
        command
    }

    /// Runs it to its end; how many calls there were, if it was its own.
    #[track_caller]
    fn run(&self, before: Option<&Path>, args: &[&str], at: u64) -> u64 {
        let count = self.place.path().join("count");
        let _ = std::fs::remove_file(&count);
        let mut command = self.command(before, args, at);
        command.env("SHIM_COUNT", &count);
        let (code, _, why) = outcome(command);
        assert!(code == 0 || (at > 0 && code == 137), "call {at}: {code} {why}");
        let calls = std::fs::read_to_string(count).ok();
        calls.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// A command on a data directory, which must succeed; what it says.
    #[track_caller]
    fn sound(&self, data: &Path, args: &[&str], what: &str) -> String {
        let mut command = self.place.command(args);
        command.env("SYNOD_DATA", data);
        let (code, said, why) = outcome(command);
        assert_eq!(code, 0, "{what}: {args:?}: {said}{why}");
        said
    }

    /// The data directory when the power is gone.
    fn left(&self, left: Left) -> PathBuf {
        let after = self.place.path().join("after");
        let _ = std::fs::remove_dir_all(&after);
        let root = std::fs::metadata(self.root()).expect("the disk").ino();
        match left {
            Left::Synced => self.put_synced(root, &after),
            _ => self.put(&self.root(), &after, left),
        }
        after.join("data")
    }

    /// A folder as it was synced; one that never was is empty.
    fn put_synced(&self, inode: u64, to: &Path) {
        std::fs::create_dir(to).expect("a folder");
        let names = std::fs::read_to_string(self.kept().join(format!("{inode}.names")));
        for line in names.unwrap_or_default().lines() {
            let parts: Vec<&str> = line.splitn(3, ' ').collect();
            let [inode, kind, name] = parts[..] else { panic!("{line:?}") };
            let inode = inode.parse().expect("a number");
            match kind {
                "d" => self.put_synced(inode, &to.join(name)),
                _ => self.put_bytes(inode, &to.join(name)),
            }
        }
    }

    /// A file as it was synced; one that never was is empty.
    fn put_bytes(&self, inode: u64, to: &Path) {
        let bytes = std::fs::read(self.kept().join(inode.to_string())).unwrap_or_default();
        std::fs::write(to, bytes).expect("a file");
    }

    /// A folder with its names.
    fn put(&self, from: &Path, to: &Path, left: Left) {
        std::fs::create_dir(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder").flatten() {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            let of_database = entry.file_name().to_string_lossy().starts_with("index.db");
            let is_written = match left {
                Left::Synced | Left::Names => false,
                Left::Database => of_database,
                Left::Rest => !of_database,
            };
            match (path.is_dir(), is_written) {
                (true, _) if left == Left::Database && from.ends_with("index") => {
                    self.put_synced(entry.ino(), &to);
                }
                (true, _) => self.put(&path, &to, left),
                (false, true) => {
                    std::fs::copy(&path, &to).expect("copied");
                }
                (false, false) => self.put_bytes(entry.ino(), &to),
            }
        }
    }

    /// Ends a command at some steps, leaves what a power failure does, and hands it over.
    fn sweep(
        &self,
        before: Option<&Path>,
        args: &[&str],
        points: u64,
        mut look: impl FnMut(&Path, &str),
    ) {
        let calls = self.run(before, args, 0);
        assert!(calls > 40, "only {calls} calls were seen: the shim sees too little");
        let step = long((calls / points).max(1), 1);
        for (turn, at) in (1..=calls).step_by(step as usize).enumerate() {
            self.run(before, args, at);
            // In turns, each beside each other one in time.
            let ways = [LEFT[turn % 4], LEFT[(turn + 1 + turn / 4 % 3) % 4]];
            let ways = if long(0, 1) == 0 { &ways[..] } else { &LEFT[..] };
            for left in ways {
                look(&self.left(*left), &format!("{left:?} of call {at} of {calls}"));
            }
        }
    }

    /// Indexes what was left, and holds it to what a fresh index says.
    fn index_again(&self, data: &Path, args: &[&str], expected: &Answers, what: &str) {
        opens(data, what);
        self.sound(data, args, what);
        self.sound(data, &["doctor", "--deep"], what);
        Answers::of_data(data, WORDS).assert_same(expected);
    }
}

/// The next writer finds nothing damaged, and no vector missing that the database names.
#[track_caller]
fn opens(data: &Path, what: &str) {
    let index = Index::open(data).unwrap_or_else(|error| panic!("{what}: {error}"));
    let updater = Updater::new(index, || 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(updater.mended().is_empty(), "{what}: {:?}", updater.mended());
}

/// Vectors of the space of a model's digest.
fn vectors(data: &Path, digest: &str) -> u64 {
    let spaces = Index::open(data).expect("the index opens").spaces().expect("spaces");
    let of_digest = spaces.iter().filter(|space| space.name.contains(digest));
    of_digest.map(|space| space.vectors).sum()
}

#[test]
fn a_power_failure_at_any_step_of_a_first_index_leaves_a_sound_one() {
    let disk = Disk::new();
    let vault = disk.vault().display().to_string();
    let args = ["index", &vault, "--wait", "--lexical-only"];
    let expected = Answers::of_fresh(&disk.vault(), WORDS);
    disk.sweep(None, &args, 10, |data, what| disk.index_again(data, &args, &expected, what));
}

#[test]
fn a_power_failure_at_any_step_of_a_commit_leaves_a_sound_index() {
    let disk = Disk::new();
    disk.place.index(&disk.vault());
    change_all(&disk.place);
    let (before, vault) = (disk.place.data(), disk.vault().display().to_string());
    let args = ["index", &vault, "--wait", "--lexical-only"];
    let expected = Answers::of_fresh(&disk.vault(), WORDS);
    let look = |data: &Path, what: &str| disk.index_again(data, &args, &expected, what);
    disk.sweep(Some(&before), &args, 10, look);
}

#[test]
fn words_that_lead_after_a_power_failure_lead_until_they_are_made_anew() {
    let disk = Disk::new();
    disk.place.index(&disk.vault());
    let (before, note) = (disk.place.data(), disk.vault().join("n3.md"));
    let vault = disk.vault().display().to_string();
    let args = ["index", &vault, "--wait", "--lexical-only"];
    let text = std::fs::read(&note).expect("a note");
    std::fs::write(&note, "# Note 3\n\nedited walrus\n").expect("written");
    // The last step at which the log of the database was not synced, and the words were.
    let calls = disk.run(Some(&before), &args, 0);
    let lead = disk.place.path().join("lead");
    let found = (1..=calls).rev().find(|at| {
        disk.run(Some(&before), &args, *at);
        let data = disk.left(Left::Names);
        let list = std::fs::read_to_string(data.join("index/words/meta.json"));
        let lost = rows_at(&data) < payload(&list.unwrap_or_default());
        if lost {
            copy(&data, &lead);
        }
        lost
    });
    assert!(found.is_some(), "no commit was lost");
    // The edit is lost too, so that nothing asks for the note to be read again.
    std::fs::write(&note, text).expect("written");
    let expected = Answers::of_fresh(&disk.vault(), WORDS);
    let calls = disk.run(Some(&lead), &args, 0);
    let step = long((calls / 12).max(1), 1);
    for at in (1..=calls).step_by(step as usize) {
        disk.run(Some(&lead), &args, at);
        let data = disk.root().join("data");
        let what = format!("recovered until call {at} of {calls}");
        disk.index_again(&data, &args, &expected, &what);
    }
}

/// The generation of the database's last commit.
fn rows_at(data: &Path) -> u64 {
    Index::open(data).expect("the index opens").generation().expect("a generation")
}

/// The generation of the words' last commit, from the list of their files.
fn payload(list: &str) -> u64 {
    let list: Value = serde_json::from_str(list).unwrap_or_default();
    list["payload"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[test]
fn a_power_failure_at_any_step_of_embedding_loses_no_vector_and_none_is_made_again() {
    let model = provider::Server::start(provider::Script::default());
    let disk = Disk::new();
    disk.place.index(&disk.vault());
    let (before, vault) = (disk.place.data(), disk.vault().display().to_string());
    let config = configure(&disk.place, "ollama", &model.url, "");
    let args = ["index", &vault, "--wait", "--config", &config];
    let expected = Answers::of_fresh(&disk.vault(), WORDS);
    let ask = json!({"query": "car", "mode": "semantic", "limit": 50}).to_string();
    let asked = ["call", "search", &ask, "--config", &config];
    disk.run(Some(&before), &args, 0);
    let found = |data: &Path, what: &str| {
        meant(&serde_json::from_str(&disk.sound(data, &asked, what)).expect("JSON"))
    };
    let near = found(&disk.root().join("data"), "without a failure");
    assert_eq!(near.as_ref().map(Vec::len), Some(NOTES));
    disk.sweep(Some(&before), &args, 8, |data, what| {
        let durable = vectors(data, "toy@");
        model.change(|script| script.texts.clear());
        disk.index_again(data, &args, &expected, what);
        // Passages have a line for what they stand under; the model's own questions have none.
        let made = model.script().texts.iter().filter(|text| text.contains('\n')).count();
        assert!(made as u64 + durable <= NOTES as u64, "{what}: {made} made, {durable} were there");
        assert_eq!(found(data, what), near, "{what}");
    });
}

/// Indexes with the model of a digest, on a data directory of its own.
fn embed(disk: &Disk, model: &provider::Server, config: &str, digest: &str) {
    model.change(|script| script.digest = digest.to_owned());
    let vault = disk.vault().display().to_string();
    let args = ["index", &vault, "--wait", "--config", config];
    disk.sound(&disk.place.data(), &args, digest);
}

#[test]
fn a_power_failure_while_spaces_take_turns_and_go_loses_no_vector_that_is_named() {
    let model = provider::Server::start(provider::Script::default());
    let disk = Disk::new();
    let config = configure(&disk.place, "ollama", &model.url, "");
    let vault = disk.vault().display().to_string();
    let args = ["index", &vault, "--wait", "--config", &config];
    let digests = ["aaaaaaaaaaaabbbb", "ccccccccccccdddd", "eeeeeeeeeeeeffff"];
    embed(&disk, &model, &config, digests[0]);
    let (one, begun) = (disk.place.path().join("one"), disk.place.path().join("begun"));
    copy(&disk.place.data(), &one);
    // One that was begun and given up is removed.
    model.change(|script| script.digest = digests[1].to_owned());
    let calls = disk.run(Some(&one), &args, 0);
    let half = (1..=calls).step_by(4).find(|at| {
        disk.run(Some(&one), &args, *at);
        let data = disk.root().join("data");
        let half = (1..NOTES as u64).contains(&vectors(&data, &digests[1][..12]));
        if half {
            copy(&data, &begun);
        }
        half
    });
    assert!(half.is_some(), "no step of {calls} left half of a space");
    model.change(|script| script.digest = digests[0].to_owned());
    disk.sweep(Some(&begun), &args, 16, opens);
    // So is the one before the one that answered before.
    embed(&disk, &model, &config, digests[1]);
    model.change(|script| script.digest = digests[2].to_owned());
    disk.sweep(Some(&disk.place.data()), &args, 16, |data, what| {
        opens(data, what);
        assert_eq!(vectors(data, &digests[1][..12]), NOTES as u64, "{what}");
    });
}

#[test]
fn what_was_acknowledged_and_can_be_read_nowhere_again_survives_a_power_failure() {
    let disk = Disk::new();
    disk.place.index(&disk.vault());
    disk.place.write("home/notes/limpet.md", "a limpet\n");
    let notes = disk.place.path().join("home/notes").display().to_string();
    let command = disk.command(Some(&disk.place.data()), &["serve", "--stdio", "--allow-write"], 0);
    let mut client = Client::of(command);
    client.initialize("2025-11-25");
    let push = json!({"op": "push", "source": "mine", "path": "w.md", "content": "a walrus",
                      "wait": true});
    for ingest in [
        json!({"op": "add", "path": notes, "wait": true}),
        json!({"op": "remove", "source": "vault", "wait": true}),
        push,
    ] {
        assert_eq!(client.answered("ingest", ingest.clone())["state"], "succeeded", "{ingest}");
    }
    let given = json!([{"model": "a", "text": "Answer: 7"}, {"model": "b", "text": "7"}]);
    let verdict = client.answered("consensus", json!({"question": "How many?", "answers": given}));
    let session = client.answered("session", json!({"op": "create", "title": "tides"}));
    let said = json!({"op": "append", "id": session["session_id"], "role": "user",
                      "text": "an albatross"});
    client.answered("session", said);
    client.child.kill().expect("killed");
    ended(&mut client.child, PATIENCE);
    for left in LEFT {
        let (data, what) = (disk.left(left), format!("{left:?}"));
        let call = |tool: &str, args: Value| -> Value {
            let said = disk.sound(&data, &["call", tool, &args.to_string()], &what);
            serde_json::from_str(&said).expect("JSON")
        };
        let status = call("index_status", json!({}));
        let rows = status["sources"].as_array().expect("sources").iter();
        let names: Vec<&str> = rows.filter_map(|row| row["name"].as_str()).collect();
        assert!(names.contains(&"notes") && names.contains(&"mine"), "{what}: {names:?}");
        assert!(!names.contains(&"vault"), "{what}: {names:?}");
        disk.sound(&data, &["index", &notes, "--wait", "--lexical-only"], &what);
        let found = call("search", json!({"query": "walrus"}));
        assert_eq!(found["hits"][0]["path"], "w.md", "{what}: {found}");
        assert_eq!(call("trust", json!({"id": verdict["id"]}))["verdict"], verdict, "{what}");
        let found = call("session", json!({"op": "search", "text": "albatross"}));
        assert!(found.to_string().contains("albatross"), "{what}: {found}");
    }
}
