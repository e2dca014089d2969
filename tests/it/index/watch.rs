//! A watched folder: whatever happens in it is named, and looking at what is named brings the index
//! up to date.

use super::{Engine, Place};
use crate::program::poll;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use synod_index::watch::{Inbox, Mode, Touched, Watch, Watching};

/// How long an event may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_secs(7);

struct Watched {
    engine: Engine,
    inbox: Arc<Inbox>,
    watch: Watch,
    /// Events since the start.
    heard: Arc<AtomicUsize>,
}

impl Watched {
    /// Watches the source of an index, then compares it.
    fn new(place: &Place, mode: Mode) -> Self {
        let engine = place.open();
        let (inbox, heard) = (Arc::new(Inbox::default()), Arc::new(AtomicUsize::new(0)));
        let (into, counted) = (Arc::clone(&inbox), Arc::clone(&heard));
        let (skipped, reach) = (engine.updater.skipped(), engine.index.reach().clone());
        let mut watch = Watch::new(skipped, POLL, reach, move |touched: Touched| {
            counted.fetch_add(1, Ordering::Relaxed);
            into.put(touched, Instant::now(), |_| {});
        });
        let modes = HashMap::from([(engine.source.id, mode)]);
        watch.set_sources(&engine.updater.sources().expect("sources"), &modes);
        let mut watched = Watched { engine, inbox, watch, heard };
        watched.look(&HashSet::from([String::new()]));
        watched
    }

    fn watching(&self) -> Option<Watching> {
        self.watch.watching(self.engine.source.id)
    }

    /// Looks at what was touched, as the writer does.
    fn look(&mut self, touched: &HashSet<String>) {
        let source = self.engine.source.clone();
        match touched.contains("") {
            true => self.watch.renew(source.id),
            false => self.watch.follow(source.id, touched),
        }
        self.engine.updater.refresh(&source, touched, &|_| true).expect("refreshed");
    }

    /// Waits until every path is covered by what was touched, and looks at all that.
    #[track_caller]
    fn settle(&mut self, paths: &[&str]) -> HashSet<String> {
        let mut touched = HashSet::new();
        let covers = |touched: &HashSet<String>, path: &str| {
            touched.iter().any(|t| {
                let below = path.strip_prefix(t.as_str()).is_some_and(|r| r.starts_with('/'));
                t.is_empty() || t == path || below
            })
        };
        let inbox = Arc::clone(&self.inbox);
        poll(&format!("{paths:?}"), PATIENCE, || {
            touched.extend(inbox.take(Instant::now()).into_values().flatten());
            paths.iter().all(|path| covers(&touched, path)).then_some(())
        });
        self.look(&touched);
        touched
    }
}

#[test]
fn whatever_is_touched_is_named_and_a_refresh_of_it_suffices() {
    let place = Place::new();
    place.write("a.md", "alpha\n");
    place.write("old/b.md", "beta\n");
    let mut watched = Watched::new(&place, Mode::Events);
    assert_eq!(watched.watching(), Some(Watching::Events));
    assert_eq!(watched.engine.paths("alpha"), ["a.md"]);

    place.write("new.md", "created\n");
    let touched = watched.settle(&["new.md"]);
    assert!(!touched.contains(""), "one file is no reason to scan all: {touched:?}");
    assert_eq!(watched.engine.paths("created"), ["new.md"]);

    place.write("a.md", "edited\n");
    watched.settle(&["a.md"]);
    assert_eq!(watched.engine.paths("edited"), ["a.md"]);

    place.rename("new.md", "old/moved.md");
    watched.settle(&["new.md", "old/moved.md"]);
    assert_eq!(watched.engine.paths("created"), ["old/moved.md"]);

    // As editors save: a temporary file renamed over the note.
    place.write("a.md.tmp", "saved over\n");
    place.rename("a.md.tmp", "a.md");
    watched.settle(&["a.md"]);
    assert_eq!(watched.engine.paths("saved"), ["a.md"]);

    place.remove("a.md");
    watched.settle(&["a.md"]);
    assert_eq!(watched.engine.paths("saved"), Vec::<String>::new());

    place.write("deep/er/c.md", "gamma\n");
    place.write("deep/d.md", "delta\n");
    watched.settle(&["deep/er/c.md", "deep/d.md"]);
    assert_eq!(watched.engine.paths("gamma"), ["deep/er/c.md"]);
    assert_eq!(watched.engine.paths("delta"), ["deep/d.md"]);

    // A new folder is watched as well.
    place.write("deep/er/later.md", "epsilon\n");
    watched.settle(&["deep/er/later.md"]);
    assert_eq!(watched.engine.paths("epsilon"), ["deep/er/later.md"]);

    place.rename("deep", "shallow");
    watched.settle(&["deep/d.md", "shallow/d.md"]);
    assert_eq!(watched.engine.paths("gamma"), ["shallow/er/c.md"]);

    // The moved folder is watched under its new name, and another one under its old name.
    place.write("shallow/er/c.md", "zeta\n");
    watched.settle(&["shallow/er/c.md"]);
    assert_eq!(watched.engine.paths("zeta"), ["shallow/er/c.md"]);
    place.write("deep/er/c.md", "eta\n");
    watched.settle(&["deep/er/c.md"]);
    place.write("deep/er/c.md", "theta\n");
    watched.settle(&["deep/er/c.md"]);
    assert_eq!(watched.engine.paths("theta"), ["deep/er/c.md"]);

    place.write(".synodignore", "old/\n");
    watched.settle(&["old/b.md"]);
    assert_eq!(watched.engine.paths("beta"), Vec::<String>::new());
    place.remove(".synodignore");
    watched.settle(&["old/b.md"]);
    place.write("old/b.md", "iota\n");
    watched.settle(&["old/b.md"]);
    assert_eq!(watched.engine.paths("iota"), ["old/b.md"]);
    watched.engine.assert_clean();
}

#[test]
fn noise_is_not_named() {
    let place = Place::new();
    place.write(".git/index", "x");
    place.write("a.md", "alpha\n");
    let mut watched = Watched::new(&place, Mode::Events);
    place.write(".git/index", "y");
    place.write("a.md~", "backup");
    place.write(".a.md.swp", "swap");
    place.write("last.md", "done\n");
    let touched = watched.settle(&["last.md"]);
    let noise =
        touched.iter().any(|p| p.starts_with(".git") || p.ends_with('~') || p.ends_with("swp"));
    assert!(!noise, "{touched:?}");
}

#[test]
fn rules_that_come_with_their_folder_hold_at_once() {
    let place = Place::new();
    place.write("private/a.md", "walrus\n");
    place.write("b.md", "walrus\n");
    let mut watched = Watched::new(&place, Mode::Events);
    assert_eq!(watched.engine.search("walrus").total, 2);
    // Made beside it and moved there: no event tells of the file in it.
    let aside = place.data().join("obsidian");
    std::fs::create_dir_all(&aside).expect("a folder");
    let app = r#"{"userIgnoreFilters": ["private/"]}"#;
    std::fs::write(aside.join("app.json"), app).expect("a file");
    std::fs::rename(&aside, place.root().join(".obsidian")).expect("moved");
    watched.settle(&[".obsidian/app.json"]);
    assert_eq!(watched.engine.paths("walrus"), ["b.md"]);
    // It is watched from then on.
    place.write(".obsidian/app.json", "{}");
    watched.settle(&["private/a.md"]);
    assert_eq!(watched.engine.search("walrus").total, 2);
    place.write(".obsidian/app.json", app);
    watched.settle(&["private/a.md"]);
    std::fs::rename(place.root().join(".obsidian"), &aside).expect("moved");
    watched.settle(&["private/a.md"]);
    assert_eq!(watched.engine.search("walrus").total, 2);
}

#[test]
#[cfg(target_os = "linux")]
fn an_ignore_file_above_a_source_holds_at_once() {
    let place = Place::new();
    let root = place.root();
    let above = root.parent().expect("a folder");
    std::fs::create_dir_all(above.join(".git/info")).expect("a folder");
    place.write("a.log", "walrus\n");
    place.write("b.md", "walrus\n");
    let mut watched = Watched::new(&place, Mode::Events);
    assert_eq!(watched.engine.search("walrus").total, 2);
    for file in [".gitignore", ".git/info/exclude"] {
        std::fs::write(above.join(file), "*.log\n").expect("a file");
        watched.settle(&["a.log"]);
        assert_eq!(watched.engine.paths("walrus"), ["b.md"], "{file}");
        std::fs::remove_file(above.join(file)).expect("a file");
        watched.settle(&["a.log"]);
        assert_eq!(watched.engine.search("walrus").total, 2, "{file}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_ignore_file_of_a_repository_that_was_made_above_a_source_holds_after_the_next_look() {
    let place = Place::new();
    let root = place.root();
    let above = root.parent().expect("a folder");
    place.write("a.log", "walrus\n");
    place.write("b.md", "walrus\n");
    let mut watched = Watched::new(&place, Mode::Events);
    std::fs::create_dir(above.join(".git")).expect("a folder");
    watched.watch.keep(watched.engine.source.id);
    std::fs::write(above.join(".gitignore"), "*.log\n").expect("a file");
    watched.settle(&["a.log"]);
    assert_eq!(watched.engine.paths("walrus"), ["b.md"]);
}

/// Files of a build.
const OBJECTS: usize = 600;

#[test]
fn what_is_ignored_is_no_change() {
    let place = Place::new();
    place.write(".gitignore", "out/\n*.log\n");
    place.write("note.md", "alpha\n");
    place.write("out/kept.md", "x");
    let mut watched = Watched::new(&place, Mode::Events);
    let before = watched.heard.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        // A build: many folders and files, all of them ignored.
        scope.spawn(|| {
            for n in 0..OBJECTS {
                place.write(&format!("out/d{}/f{n}.md", n % 50), "object");
                place.write(&format!("{n}.log"), "line\n");
            }
        });
        place.write("note.md", "edited\n");
        let touched = watched.settle(&["note.md"]);
        assert_eq!(touched, HashSet::from(["note.md".to_owned()]));
    });
    place.write("last.md", "done\n");
    let touched = watched.settle(&["last.md"]);
    assert_eq!(touched, HashSet::from(["last.md".to_owned()]));
    let heard = watched.heard.load(Ordering::Relaxed) - before;
    assert!(heard < 50, "{heard} events for two notes");
    assert_eq!(watched.engine.paths("edited"), ["note.md"]);
    assert_eq!(watched.engine.paths("object"), Vec::<String>::new());
    // What is not ignored any more is watched from then on.
    place.write(".gitignore", "*.log\n");
    watched.settle(&["out/kept.md"]);
    assert_eq!(watched.engine.search("object").total, OBJECTS);
    place.write("out/kept.md", "released\n");
    watched.settle(&["out/kept.md"]);
    assert_eq!(watched.engine.paths("released"), ["out/kept.md"]);
}

/// Ends a thread, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_is_written_all_the_time_is_named_all_the_same() {
    let place = Place::new();
    place.write("a.md", "alpha\n");
    let mut watched = Watched::new(&place, Mode::Events);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&stop);
        scope.spawn(|| {
            use std::io::Write;
            let path = place.root().join("grows.md");
            let mut file = std::fs::File::create(path).expect("a file");
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"another line of it\n").expect("written");
                std::thread::sleep(Duration::from_millis(20));
            }
            file.write_all(b"omega\n").expect("written");
        });
        // It never pauses, and is named and read while it grows.
        watched.settle(&["grows.md"]);
        let (listed, _) = watched.engine.index.list(None, 10).expect("a list");
        assert_eq!(listed.len(), 2);
        // Others do not wait for it.
        place.write("a.md", "edited\n");
        watched.settle(&["a.md"]);
        assert_eq!(watched.engine.paths("edited"), ["a.md"]);
    });
    // The end of it is named too.
    poll("its end", PATIENCE, || {
        let touched = watched.inbox.take(Instant::now()).into_values().flatten().collect();
        watched.look(&touched);
        (watched.engine.paths("omega") == ["grows.md"]).then_some(())
    });
    watched.engine.assert_clean();
}

#[test]
#[cfg(target_os = "linux")]
fn attributes_of_folders_are_no_change() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("in/deep/a.md", "alpha\n");
    let mut watched = Watched::new(&place, Mode::Events);
    for bits in [0o700, 0o755] {
        for folder in ["", "in", "in/deep"] {
            let bits = std::fs::Permissions::from_mode(bits);
            std::fs::set_permissions(place.root().join(folder), bits).expect("permissions");
        }
    }
    place.write("in/deep/b.md", "beta\n");
    let touched = watched.settle(&["in/deep/b.md"]);
    assert_eq!(touched, HashSet::from(["in/deep/b.md".to_owned()]));
    assert_eq!(watched.engine.paths("beta"), ["in/deep/b.md"]);
}

#[test]
fn a_source_that_is_polled_says_so_and_hears_nothing() {
    let place = Place::new();
    place.write("a.md", "alpha\n");
    let mut watched = Watched::new(&place, Mode::Poll);
    assert_eq!(watched.watching(), Some(Watching::Polled(POLL)));
    assert_eq!(watched.watch.why(watched.engine.source.id), None, "it was wanted");
    place.write("a.md", "edited\n");
    assert_eq!(watched.inbox.due(Instant::now()), None);
    watched.look(&HashSet::from([String::new()]));
    assert_eq!(watched.engine.paths("edited"), ["a.md"]);
}

#[test]
fn a_source_inside_another_is_watched_for_both() {
    let place = Place::new();
    place.write("outer.md", "alpha\n");
    place.write("inner/a.md", "beta\n");
    let mut watched = Watched::new(&place, Mode::Events);
    let inner = place.root().join("inner");
    let spec = synod_index::SourceSpec::default();
    let inner = watched.engine.updater.add_source(&inner, &spec).expect("a source");
    let sources = watched.engine.updater.sources().expect("sources");
    let ids = HashSet::from([inner.id, watched.engine.source.id]);
    let modes = ids.iter().map(|id| (*id, Mode::Events)).collect();
    watched.watch.set_sources(&sources, &modes);
    watched.watch.renew(inner.id);
    let both = |watched: &Watched, what: &str| {
        let mut heard = HashSet::new();
        poll(what, PATIENCE, || {
            heard.extend(watched.inbox.take(Instant::now()).into_keys());
            (heard == ids).then_some(())
        });
    };
    place.write("inner/a.md", "edited\n");
    both(&watched, "an edit for both");
    // Watching one of them anew takes nothing from the other.
    watched.watch.renew(inner.id);
    place.write("inner/a.md", "edited again\n");
    both(&watched, "another edit for both");
}
