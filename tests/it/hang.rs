//! File systems that hang, and that tell of no changes: a real one, of a program that mirrors a
//! folder (`bindfs`) and is stopped, so that whoever touches the mirror waits until it goes on.
//!
//! Where nothing may be mounted these tests say so and look at nothing.

use super::lost::{fresh, gone_silent, having, saved, status, watched};
use super::program::{PATIENCE, Place, Server, poll};
use super::soak::listed;
use super::system::{Signal, signal, watches, writes};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Notes of a source that hangs in the middle of its first walk.
const NOTES: usize = 4_000;
/// Answers of the mirror by which that walk has begun; it takes more than one for each note.
const BEGUN: u64 = 400;
/// Folders of a source that hangs while they are watched.
const FOLDERS: usize = 1_500;
/// Watches by which that has begun.
const SOME: usize = 100;
/// What is saved elsewhere meanwhile is found within this time. Less than it takes to give up what
/// is asked for no answer.
const SOON: Duration = Duration::from_secs(8);
/// What changes in a source that is looked at every second is found within this time.
const LOOKED: Duration = Duration::from_secs(5);

/// A folder, shown once more by another file system.
struct Mirror {
    serves: Child,
    at: PathBuf,
}

fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|meta| meta.dev())
}

/// Whether there is the program that serves mirrors; its absence is a failure where everything is
/// checked.
fn is_installed() -> bool {
    let mut version = Command::new("bindfs");
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let found = version.status();
    assert!(found.is_ok() || std::env::var_os("CI").is_none(), "no bindfs: {found:?}");
    if found.is_err() {
        eprintln!("no bindfs here, so no file system hangs: nothing was looked at");
    }
    found.is_ok()
}

impl Mirror {
    /// Shows the folder `behind` of a place at `at`; nothing where that may not be.
    fn new(place: &Place, at: &str) -> Option<Mirror> {
        if !is_installed() {
            return None;
        }
        let (behind, at) = (place.path().join("behind"), place.path().join(at));
        std::fs::create_dir_all(&at).expect("a folder");
        let before = device(&at);
        let mut command = Command::new("bindfs");
        // Nothing is remembered of it: each look is a question to the program.
        command.args(["-f", "--no-allow-other", "-o", "attr_timeout=0,entry_timeout=0"]);
        command.arg(behind).arg(&at).stdin(Stdio::null()).stdout(Stdio::null());
        let serves = command.stderr(Stdio::piped()).spawn().expect("bindfs starts");
        let mut mirror = Mirror { serves, at };
        let mounted = poll("the mirror", PATIENCE, || {
            let ended = mirror.serves.try_wait().expect("a state");
            let mounted = device(&mirror.at).is_some_and(|now| Some(now) != before);
            ended.map(|_| false).or_else(|| mounted.then_some(true))
        });
        if !mounted {
            let mut why = String::new();
            let _ = mirror.serves.stderr.take()?.read_to_string(&mut why);
            eprintln!("nothing may be mounted here, so nothing was looked at: {}", why.trim());
            return None;
        }
        Some(mirror)
    }

    fn stop(&self) {
        signal(&self.serves, Signal::STOP);
    }

    fn go_on(&self) {
        signal(&self.serves, Signal::CONT);
    }

    /// Lets it go on a little at a time until something has come so far; it stays stopped then.
    fn stop_once(&self, what: &str, has_come: impl Fn() -> bool) {
        poll(what, PATIENCE, || {
            self.stop();
            let done = has_come().then_some(());
            if done.is_none() {
                self.go_on();
            }
            done
        });
    }

    /// How many questions it has answered.
    fn answered(&self) -> u64 {
        writes(self.serves.id())
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if matches!(self.serves.try_wait(), Ok(None)) {
            // Whoever waits for it cannot be ended.
            self.go_on();
        }
        let lets_go = |command: &mut Command| {
            let quiet = command.arg(&self.at).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|status| status.success())
        };
        if !lets_go(Command::new("fusermount3").args(["-u", "-z"])) {
            lets_go(Command::new("umount").arg("-l"));
        }
        let _ = self.serves.kill();
        let _ = self.serves.wait();
    }
}

/// A server over a near source and a far one, which lies in the mirror or has it inside. The mirror
/// ends first: a process that waits for one which is stopped does not end.
struct Scene {
    mirror: Mirror,
    server: Server,
}

impl Scene {
    fn new(place: &Place, mirror: Mirror, watch: &str, rest: &str) -> Scene {
        Scene { mirror, server: serving(place, watch, rest) }
    }
}

/// A server over the sources `near` and `far` of a place; this is how the second one is watched.
fn serving(place: &Place, watch: &str, rest: &str) -> Server {
    let folder = |name: &str| place.path().join(name).display().to_string();
    let near = format!("[[source]]\npath = {:?}\nwatch = \"events\"\n", folder("near"));
    let far = format!("[[source]]\npath = {:?}\nwatch = {watch:?}\n", folder("far"));
    let config = place.write("synod.toml", near + &far + rest).display().to_string();
    place.http(&["--config", &config], &[])
}

/// A note that is saved in the near source is found soon, whatever the far one does.
fn saved_soon(place: &Place, server: &Server, word: &str) {
    let start = Instant::now();
    saved(place, server, word);
    assert!(start.elapsed() < SOON, "{word}: {:?}; {}", start.elapsed(), server.stderr());
}

/// The index is what one made from nothing is: these documents, with every word that they have.
fn whole(place: &Place, scene: Scene, far: impl Iterator<Item = String>) {
    let Scene { mirror, server } = scene;
    let mut paths: Vec<String> = far.chain(["a.md".to_owned()]).collect();
    paths.sort();
    assert_eq!(listed(server.address), paths);
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
    drop(server);
    let (code, said, why) = place.outcome(&["doctor", "--deep"]);
    assert_eq!(code, 0, "{said}{why}");
    drop(mirror);
}

#[test]
fn a_file_system_that_tells_of_no_changes_is_polled_and_says_why() {
    for (at, found, how) in [
        ("far", "c.md", "polled every 1 s (its file system does not tell of all changes)"),
        ("far/in", "in/c.md", "polled every 1 s (for what is mounted in it)"),
    ] {
        let place = Place::new();
        place.write("near/a.md", "# Near\n\nwalrus\n");
        place.write("behind/b.md", "# Far\n\nbarnacle\n");
        let Some(mirror) = Mirror::new(&place, at) else { return };
        let scene = Scene::new(&place, mirror, "auto", "[limits]\npoll_s = 1\n");
        let server = &scene.server;
        fresh(server);
        assert_eq!(
            (watched(server, "far").as_str(), watched(server, "near").as_str()),
            (how, "events")
        );
        assert_eq!(having(server, "barnacle").len(), 1);
        // Somebody else changes it: no event of this machine tells of that.
        let start = Instant::now();
        place.write("behind/c.md", "# Late\n\nwhelk\n");
        poll("a change behind it", PATIENCE, || (having(server, "whelk") == [found]).then_some(()));
        assert!(start.elapsed() < LOOKED, "{at}: {:?}", start.elapsed());
        let said = server.stderr();
        assert!(said.contains("does not tell of all changes"), "{said}");
    }
}

#[test]
fn what_is_mounted_in_a_source_later_is_read_and_polled_and_gone_when_it_is_taken_away() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    place.write("far/c.md", "# Far\n\nwhelk\n");
    place.write("behind/b.md", "# Behind\n\nbarnacle\n");
    let server = serving(&place, "auto", "");
    fresh(&server);
    assert_eq!(watched(&server, "far"), "events");
    let Some(mirror) = Mirror::new(&place, "far/in") else { return };
    let start = Instant::now();
    poll("what was mounted", PATIENCE, || {
        (having(&server, "barnacle") == ["in/b.md"]).then_some(())
    });
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let how = "polled every 10 s (for what is mounted in it)";
    poll("how it is watched", PATIENCE, || (watched(&server, "far") == how).then_some(()));
    drop(mirror);
    poll("its end", PATIENCE, || having(&server, "barnacle").is_empty().then_some(()));
    poll("events", PATIENCE, || (watched(&server, "far") == "events").then_some(()));
    assert_eq!(having(&server, "whelk"), ["c.md"]);
    assert_eq!(watched(&server, "near"), "events");
}

#[test]
fn a_file_system_that_hangs_within_a_walk_holds_up_no_other_and_is_whole_afterwards() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    let path = |n: usize| format!("d{}/n{n}.md", n % 40);
    for n in 0..NOTES {
        place.write(&format!("behind/{}", path(n)), format!("# Note {n}\n\nnumber{n}\n"));
    }
    let Some(mirror) = Mirror::new(&place, "far") else { return };
    let scene = Scene::new(&place, mirror, "auto", "");
    let (mirror, server) = (&scene.mirror, &scene.server);
    mirror.stop_once("the first files", || mirror.answered() > BEGUN);
    assert!(mirror.answered() < NOTES as u64, "the walk was over");
    saved_soon(&place, server, "limpet");
    assert_eq!(status(server)["documents"], 1, "nothing of it was read yet");
    gone_silent(server);
    saved_soon(&place, server, "periwinkle");
    mirror.go_on();
    fresh(server);
    assert_eq!(having(server, "number7"), [path(7)]);
    whole(&place, scene, (0..NOTES).map(path));
}

#[test]
fn a_file_system_that_hangs_while_it_is_watched_holds_up_no_other_and_is_watched_afterwards() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    let path = |n: usize| format!("d{n}/n{n}.md");
    for n in 0..FOLDERS {
        place.write(&format!("behind/{}", path(n)), format!("# Note {n}\n\nnumber{n}\n"));
    }
    let Some(mirror) = Mirror::new(&place, "far") else { return };
    let scene = Scene::new(&place, mirror, "events", "");
    let (mirror, server) = (&scene.mirror, &scene.server);
    let n_watches = || watches(server.child.id());
    mirror.stop_once("the first watches", || n_watches() > SOME);
    assert!(n_watches() < FOLDERS, "all were put");
    saved_soon(&place, server, "limpet");
    gone_silent(server);
    saved_soon(&place, server, "periwinkle");
    assert_eq!(status(server)["documents"], 1);
    mirror.go_on();
    fresh(server);
    assert_eq!(watched(server, "far"), "events");
    // Those of the roots too; of the watches that were given up nothing is left.
    poll("its watches", PATIENCE, || (n_watches() == FOLDERS + 2).then_some(()));
    place.write("far/d7/n7.md", "# Note 7\n\ncockle\n");
    poll("an edit in it", PATIENCE, || (having(server, "cockle") == [path(7)]).then_some(()));
    fresh(server);
    whole(&place, scene, (0..FOLDERS).map(path));
}

#[test]
fn a_file_system_that_hangs_at_the_start_keeps_its_documents_and_holds_up_no_other() {
    let place = Place::new();
    place.write("near/a.md", "# Near\n\nwalrus\n");
    place.write("behind/b.md", "# Far\n\nbarnacle\n");
    let Some(mirror) = Mirror::new(&place, "far") else { return };
    place.index(&place.path().join("near"));
    place.index(&place.path().join("far"));
    mirror.stop();
    place.write("behind/b.md", "# Far\n\nwhelk\n");
    let scene = Scene::new(&place, mirror, "auto", "");
    let server = &scene.server;
    saved_soon(&place, server, "limpet");
    gone_silent(server);
    assert_eq!(having(server, "barnacle"), ["b.md"]);
    scene.mirror.go_on();
    fresh(server);
    assert_eq!(having(server, "whelk"), ["b.md"]);
    whole(&place, scene, ["b.md".to_owned()].into_iter());
}
