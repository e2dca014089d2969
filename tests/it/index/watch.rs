//! The watcher names what was touched, so that a refresh of it brings the index up to date.

use super::{Engine, Place};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use synod_index::watch::{Touched, watch};

/// How long an event may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

struct Watched {
    engine: Engine,
    events: Receiver<Touched>,
}

impl Watched {
    /// Waits until every path is covered by what was touched, then refreshes that.
    #[track_caller]
    fn settle(&mut self, paths: &[&str]) -> HashSet<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut touched = HashSet::new();
        let covers = |touched: &HashSet<String>, path: &str| {
            touched.iter().any(|t| {
                let below = path.strip_prefix(t.as_str()).is_some_and(|r| r.starts_with('/'));
                t.is_empty() || t == path || below
            })
        };
        while !paths.iter().all(|path| covers(&touched, path)) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(mut more) = self.events.recv_timeout(left) else {
                panic!("{paths:?} were touched, but only {touched:?} were named");
            };
            touched.extend(more.remove(&self.engine.source.id).unwrap_or_default());
        }
        let source = self.engine.source.clone();
        self.engine.updater.refresh(&source, &touched, &|_| true).expect("refreshed");
        touched
    }
}

#[test]
fn whatever_is_touched_is_named_and_a_refresh_of_it_suffices() {
    let place = Place::new();
    place.write("a.md", "alpha\n");
    place.write("old/b.md", "beta\n");
    let engine = place.scanned();
    let (send, events) = sync_channel(1024);
    let watch = watch(
        &engine.updater.sources().expect("sources"),
        engine.updater.skipped(),
        move |touched| {
            let _ = send.send(touched);
        },
    )
    .expect("a watcher");
    assert_eq!(watch.failed, Vec::<(String, String)>::new());
    let mut watched = Watched { engine, events };

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

    place.write(".synodignore", "old/\n");
    watched.settle(&["old/b.md"]);
    assert_eq!(watched.engine.paths("beta"), Vec::<String>::new());
    watched.engine.assert_clean();
}

#[test]
fn noise_is_not_named() {
    let place = Place::new();
    place.write(".git/index", "x");
    place.write("a.md", "alpha\n");
    let engine = place.scanned();
    let (send, events) = sync_channel(1024);
    let _watch = watch(
        &engine.updater.sources().expect("sources"),
        engine.updater.skipped(),
        move |touched| {
            let _ = send.send(touched);
        },
    )
    .expect("a watcher");
    let mut watched = Watched { engine, events };
    place.write(".git/index", "y");
    place.write("a.md~", "backup");
    place.write(".a.md.swp", "swap");
    place.write("last.md", "done\n");
    let touched = watched.settle(&["last.md"]);
    let noise =
        touched.iter().any(|p| p.starts_with(".git") || p.ends_with('~') || p.ends_with("swp"));
    assert!(!noise, "{touched:?}");
}
