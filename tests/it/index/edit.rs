//! Whatever is done to the files, the index ends as a fresh one of the same files would be.

use super::{Answers, Engine, Place, day_ms, set_day};
use crate::program::cases;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use synod_index::watch::Touched;
use synod_index::{Ahead, Error, Filters, Updater};

const FILES: &[&str] = &["a.md", "b.md", "tide.md", "Ölpier.md", "c.txt", "d.rs"];
const FOLDERS: &[&str] = &["", "one/", "one/two/", "Three/"];
const RULES: &[&str] = &["", "one/\n", "*.txt\n", "tide.md\n!Three/tide.md\n", "two/\n*.rs\n"];
/// Texts of equal length are among them: within a moment, only their bytes tell them apart.
const TEXTS: &[&str] = &[
    "alpha moon\n",
    "gamma moon\n",
    "# Tide table\n\nSee [[a]] and [[tide|the ebb table]].\n",
    "# Tide table\n\nSee [[b]] and [[tide|the low table]].\n",
    "---\naliases: [Pier, a]\ntags: [sea/low]\n---\n# Pier\n\n[down](one/a.md) and [up](../b.md)\n",
    "---\ntitle: Tide\naliases: Ölpier\n---\n\n[[one/tide]] [[Pier#Part|pier part]] ![[c.txt]]\n",
    "## Part\n\nbody ^block\n\n[[a#^block]] [[missing|ghost words]] #sea\n",
    "fn tide_table() -> u32 { moon() }\n\nstruct Pier;\n\nfn moon() -> u32 { 7 }\n",
    "",
    "\u{0}\u{1}binary\u{2}",
];

#[derive(Clone, Debug)]
enum Edit {
    Write(usize, usize, usize),
    Delete(usize, usize),
    Rename((usize, usize), (usize, usize)),
    RenameFolder(usize, usize),
    Touch(usize, usize, u64),
    Rules(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let (file, folder) = (0..FILES.len(), 0..FOLDERS.len());
    let place = (folder.clone(), file.clone());
    prop_oneof![
        5 => (folder.clone(), file.clone(), 0..TEXTS.len())
            .prop_map(|(folder, file, text)| Edit::Write(folder, file, text)),
        2 => place.clone().prop_map(|(folder, file)| Edit::Delete(folder, file)),
        3 => (place.clone(), place).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => (1..FOLDERS.len(), 1..FOLDERS.len()).prop_map(|(a, b)| Edit::RenameFolder(a, b)),
        2 => (folder, file, 0u64..10).prop_map(|(a, b, day)| Edit::Touch(a, b, day)),
        1 => (0..RULES.len()).prop_map(Edit::Rules),
    ]
}

impl Edit {
    /// Does it, where it can be done, and says which relative paths it touched.
    fn apply(&self, root: &Path) -> Vec<String> {
        let path = |folder: usize, file: usize| format!("{}{}", FOLDERS[folder], FILES[file]);
        let folder = |at: usize| FOLDERS[at].trim_end_matches('/').to_owned();
        let make = |path: &str| {
            let parent = root.join(path).parent().expect("a parent").to_owned();
            std::fs::create_dir_all(parent).expect("a folder");
        };
        match *self {
            Edit::Write(a, b, text) => {
                let path = path(a, b);
                make(&path);
                std::fs::write(root.join(&path), TEXTS[text]).expect("a file");
                vec![path]
            }
            Edit::Delete(a, b) => {
                let path = path(a, b);
                let _ = std::fs::remove_file(root.join(&path));
                vec![path]
            }
            Edit::Rename((a, b), (c, d)) => {
                let (from, to) = (path(a, b), path(c, d));
                if root.join(&from).is_file() {
                    make(&to);
                    std::fs::rename(root.join(&from), root.join(&to)).expect("renamed");
                }
                vec![from, to]
            }
            Edit::RenameFolder(a, b) => {
                let (from, to) = (folder(a), folder(b));
                let inside = to.starts_with(&format!("{from}/"));
                if root.join(&from).is_dir() && !root.join(&to).exists() && !inside {
                    make(&to);
                    std::fs::rename(root.join(&from), root.join(&to)).expect("renamed");
                }
                vec![from, to]
            }
            Edit::Touch(a, b, day) => {
                let path = path(a, b);
                if root.join(&path).is_file() {
                    set_day(&root.join(&path), day);
                }
                vec![path]
            }
            Edit::Rules(at) => {
                std::fs::write(root.join(".synodignore"), RULES[at]).expect("a file");
                // As the watcher says it: other files belong to the source now.
                vec![String::new()]
            }
        }
    }
}

fn queries() -> Vec<(String, Filters)> {
    let words = [
        "moon",
        "alpha",
        "gamma",
        "tide",
        "tide table",
        "ebb",
        "low",
        "pier",
        "ölpier",
        "ghost",
        "part",
        "moon -alpha",
        "one two",
        "c",
        "\"tide table\"",
        "tide_table",
    ];
    let plain = words.iter().map(|word| ((*word).to_owned(), Filters::default()));
    let filters = [
        Filters { after_ms: Some(day_ms(2)), before_ms: Some(day_ms(7)), ..Filters::default() },
        Filters { tags: vec!["sea".to_owned()], ..Filters::default() },
        Filters { path: Some("one/".to_owned()), ..Filters::default() },
        Filters { props: vec![("title".to_owned(), "tide".to_owned())], ..Filters::default() },
    ];
    let filtered = filters.into_iter().map(|filters| ("moon tide pier".to_owned(), filters));
    plain.chain(filtered).collect()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn after_any_edits_the_index_equals_a_fresh_one(
        steps in proptest::collection::vec(
            (proptest::collection::vec(edit(), 1..6), any::<bool>()),
            1..8,
        ),
    ) {
        let place = Place::new();
        let mut engine = place.scanned();
        let queries = queries();
        for (edits, scan) in &steps {
            let touched: HashSet<String> =
                edits.iter().flat_map(|edit| edit.apply(&place.root())).collect();
            if *scan {
                engine.scan();
            } else {
                let source = engine.source.clone();
                engine.updater.refresh(&source, &touched, &|_| true).expect("refreshed");
            }
            engine.assert_clean();
            // What is asked between the steps must not be remembered beyond them.
            Answers::of(&engine.index, &queries);
        }
        let fresh = place.fresh();
        Answers::of(&engine.index, &queries).assert_same(&Answers::of(&fresh.index, &queries));
    }
}

#[test]
fn an_unchanged_folder_is_not_indexed_again() {
    let place = Place::new();
    place.write("a.md", "tide");
    place.write("b/c.rs", "fn tide() {}");
    let mut engine = place.open();
    let first = engine.scan();
    assert_eq!((first.changed, first.removed, first.failed), (2, 0, 0));
    let second = engine.scan();
    assert_eq!((second.changed, second.unchanged), (0, 2));
    assert_eq!(first.generation, second.generation);
}

#[test]
fn a_date_filter_sees_a_touched_file() {
    let place = Place::new();
    place.write("a.md", "tide");
    set_day(&place.root().join("a.md"), 3);
    let mut engine = place.scanned();
    let filters = Filters { after_ms: Some(day_ms(5)), ..Filters::default() };
    assert_eq!(super::search(&engine.index, "tide", filters.clone()).hits.len(), 0);
    set_day(&place.root().join("a.md"), 6);
    engine.scan();
    assert_eq!(super::search(&engine.index, "tide", filters).hits.len(), 1);
}

#[test]
fn equal_passages_rank_by_their_place_in_the_document() {
    // Enough files for the writer's two threads, which share out the passages of one document.
    let place = Place::new();
    let section = format!("## Part\n\ntide {}\n\n", "filler ".repeat(60));
    for at in 0..620 {
        place.write(&format!("n{at}.md"), section.repeat(6));
    }
    let engine = place.scanned();
    engine.assert_clean();
    let found = engine.search("tide");
    assert_eq!(found.total, 620);
    let first: HashSet<u32> = found.hits.iter().map(|hit| hit.lines.0).collect();
    assert_eq!(first, HashSet::from([1]), "the best passage of equal ones is the first");
}

#[test]
fn a_vanished_source_keeps_its_documents() {
    let place = Place::new();
    place.write("a.md", "tide");
    let mut engine = place.scanned();
    let away = place.root().with_extension("away");
    std::fs::rename(place.root(), &away).expect("renamed");
    assert_eq!(engine.scan().failed, 1);
    assert_eq!(engine.index.list(None, 10).expect("a list").0.len(), 1);
    std::fs::rename(&away, place.root()).expect("renamed");
    engine.scan();
    assert_eq!(engine.paths("tide"), ["a.md"]);
}

#[test]
fn pushed_content_is_replaced_and_its_name_cannot_be_a_folder() {
    let place = Place::new();
    place.write("a.md", "tide");
    let Engine { index, mut updater, source } = place.scanned();
    updater.push("inbox", "x/one.md", "# One\n\nquay".to_owned()).expect("pushed");
    let paths = |query: &str| -> Vec<String> {
        let found = super::search(&index, query, Filters::default());
        found.hits.into_iter().map(|hit| format!("{}/{}", hit.source, hit.path)).collect()
    };
    assert_eq!(paths("quay"), ["inbox/x/one.md"]);
    updater.push("inbox", "x/one.md", "# One\n\njetty".to_owned()).expect("pushed");
    assert_eq!(paths("jetty"), ["inbox/x/one.md"]);
    assert_eq!(paths("quay"), Vec::<String>::new());
    assert_eq!(
        super::search(&index, "jetty", Filters::default()).hits[0].snippet,
        "# One\n\njetty"
    );
    assert!(updater.push(&source.name, "b.md", String::new()).is_err());
    assert!(updater.push("inbox", "../b.md", String::new()).is_err());
}

#[test]
fn a_file_that_is_too_large_stays_a_problem() {
    let place = Place::new();
    place.write("large.md", vec![b'a'; 9 << 20]);
    place.write("small.md", "alpha\n");
    let mut engine = place.scanned();
    let errors = |engine: &Engine| engine.index.status().expect("a status").sources[0].n_errors;
    assert_eq!(errors(&engine), 1);
    assert_eq!(engine.scan().unchanged, 2);
    assert_eq!(errors(&engine), 1, "it was not read again, and is as large as before");
    place.write("large.md", "beta\n");
    engine.scan();
    assert_eq!(errors(&engine), 0);
}

#[test]
fn notes_are_counted_by_the_language_that_they_are_written_in() {
    let german = "Der Hafen war am Morgen noch leer, und die Boote lagen ruhig am Steg. Wir haben \
                  lange auf den Wind gewartet, aber er kam nicht.\n";
    let english = "The harbour was still empty in the morning and the boats lay calm at the pier. \
                   We waited for the wind.\n";
    let place = Place::new();
    place.write("hafen.md", german);
    place.write("steg.md", german);
    place.write("harbour.md", english);
    place.write("port.md", "港は朝まだ空っぽで、船は桟橋に静かに横たわっていた。\n");
    place.write("list.md", "- oars\n- ropes\n");
    // A comment in code is no note.
    place.write("pier.py", format!("\"\"\"{german}\"\"\"\n"));
    let mut engine = place.scanned();
    let written = |engine: &Engine| engine.index.status().expect("a status").written;
    let counts = |all: &[(&str, u64)]| -> Vec<(String, u64)> {
        all.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect()
    };
    assert_eq!(written(&engine), counts(&[("de", 2), ("en", 1), ("jpn", 1)]));
    place.write("steg.md", english);
    place.remove("port.md");
    engine.scan();
    assert_eq!(written(&engine), counts(&[("de", 1), ("en", 2)]));
    assert_eq!(engine.index.check_deep().expect("a check").differences, Vec::<String>::new());
    engine.assert_clean();
}

#[test]
fn what_is_moved_is_found_at_every_moment() {
    let place = Place::new();
    let n = synod_index::limit::BATCH_FILES_MAX + 50;
    for at in 0..n {
        place.write(&format!("old/{at}.md"), format!("note number{at}\n"));
    }
    let mut engine = place.scanned();
    place.rename("old", "new");
    let (index, source) = (std::sync::Arc::clone(&engine.index), engine.source.clone());
    let seen = std::cell::Cell::new(0);
    let report = |progress: &synod_index::Progress| {
        if progress.done.is_multiple_of(500) {
            let total = super::search(&index, "note", synod_index::Filters::default()).total;
            assert!(total >= n, "{total} of {n} after {} files", progress.done);
            seen.set(seen.get() + 1);
        }
        true
    };
    engine.updater.scan(&source, &report).expect("scanned");
    assert!(seen.get() > 5);
    assert_eq!(engine.search("note").total, n);
    engine.assert_clean();
}

/// Notes that all change before a scan, one in ten by going away.
const MANY: usize = 2_000;

fn note(n: usize) -> String {
    format!("d{}/n{n}.md", n % 20)
}

fn change_all(place: &Place) {
    for n in 0..MANY {
        if n % 10 == 0 {
            place.remove(&note(n));
        } else {
            let link = (n * 7) % MANY;
            place.write(&note(n), format!("# Note {n}\n\nebb [[n{link}|link{n}]]\n"));
        }
    }
}

/// Changes of every sort within a scan: what it was to remove comes back, what it was to read, or
/// has read, changes again, goes, or moves; something is new. The paths that were touched, the one
/// that went, and a word that stands in three of them.
fn change_within(place: &Place, n: usize) -> (HashSet<String>, String, String) {
    let (at, word) = (n * 50, crate::soak::word(n as u64));
    let [back, again, gone, old] = [0, 1, 2, 3].map(|more| note(at + more));
    let (moved, new) = (format!("moved/{n}/n.md"), format!("new{n}/a/b.md"));
    place.write(&back, format!("back {word}\n"));
    place.write(&again, format!("again {word} [[n7]]\n"));
    place.write(&new, format!("new {word}\n"));
    place.remove(&gone);
    place.rename(&old, &moved);
    let paths = [back, again, gone.clone(), old, moved, format!("new{n}")];
    (HashSet::from(paths), gone, word)
}

#[test]
fn what_is_saved_within_a_scan_is_found_at_once_and_the_end_equals_a_fresh_index() {
    let place = Place::new();
    for n in 0..MANY {
        place.write(&note(n), format!("# Note {n}\n\ntide [[n{}]]\n", (n + 1) % MANY));
    }
    let mut engine = place.scanned();
    change_all(&place);
    let (index, source) = (Arc::clone(&engine.index), engine.source.clone());
    let served = Cell::new(0);
    let due = || (served.get() < MANY / 50).then_some(Duration::ZERO);
    let mut serve = |updater: &mut Updater| -> synod_index::Result<Touched> {
        let (touched, gone, word) = change_within(&place, served.replace(served.get() + 1));
        updater.refresh(&source, &touched, &|_| true)?;
        let found = super::search(&index, &format!("+{word}"), Filters::default());
        assert_eq!(found.total, 3, "{word}");
        assert!(index.read(&super::of(&gone)).is_err(), "{gone}");
        Ok(Touched::from([(source.id, touched)]))
    };
    let mut ahead = Ahead { due: &due, serve: &mut serve };
    let done = Cell::new(0);
    let report = |progress: &synod_index::Progress| {
        assert!(progress.done > done.replace(progress.done), "{progress:?}");
        true
    };
    let scanned = engine.updater.scan_beside(&source, &report, Some(&mut ahead));
    let outcome = scanned.expect("scanned");
    eprintln!("{} times within a scan: {outcome:?}", served.get());
    assert!(served.get() > 0, "the scan was too quick for anything to come between");
    assert_eq!(outcome.generation, engine.index.generation().expect("a generation"));
    engine.assert_clean();
    let again = engine.scan();
    assert_eq!((again.changed, again.removed), (0, 0), "the scan missed something");
    let words = ["back", "again", "moved", "+link31", "+link77", "+link1999", "+n7"];
    let of = |engine: &Engine| Answers::of(&engine.index, &super::plain(&words));
    of(&engine).assert_same(&of(&place.fresh()));
}

#[test]
fn what_fails_within_a_scan_ends_it_and_loses_nothing() {
    let place = Place::new();
    for n in 0..MANY {
        place.write(&note(n), format!("# Note {n}\n\ntide\n"));
    }
    let mut engine = place.open();
    let source = engine.source.clone();
    let due = || Some(Duration::ZERO);
    let mut serve = |_: &mut Updater| Err(Error::Cancelled);
    let mut ahead = Ahead { due: &due, serve: &mut serve };
    let ended = engine.updater.scan_beside(&source, &|_| true, Some(&mut ahead));
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    engine.assert_clean();
    let outcome = engine.scan();
    assert_eq!((outcome.changed + outcome.unchanged, outcome.failed), (MANY, 0));
    engine.assert_clean();
}

#[cfg(unix)]
#[test]
fn a_file_is_read_again_only_when_it_may_have_changed() {
    use std::sync::atomic::{AtomicI64, Ordering};
    /// A clock ahead of the files by so many milliseconds.
    static AHEAD_MS: AtomicI64 = AtomicI64::new(0);
    /// How far it jumps whenever it is looked at.
    const JUMP_MS: i64 = 10_000;
    fn jumping_ms() -> i64 {
        super::now_ms() + AHEAD_MS.fetch_add(JUMP_MS, Ordering::SeqCst)
    }
    let place = Place::new();
    place.write("a.md", "tide");
    let index = synod_index::Index::open(&place.data()).expect("the index opens");
    let mut updater = synod_index::Updater::new(index, jumping_ms).expect("the writer");
    let spec = synod_index::SourceSpec::default();
    let source = updater.add_source(&place.root(), &spec).expect("a source");
    let mut reads = |ahead_ms: i64| {
        AHEAD_MS.store(ahead_ms, Ordering::SeqCst);
        let n = std::cell::Cell::new(0);
        let report = |_: &synod_index::Progress| {
            n.set(n.get() + 1);
            true
        };
        updater.scan(&source, &report).expect("scanned");
        n.get()
    };
    // A time that somebody set, years from now, is not one at which it was written.
    set_day(&place.root().join("a.md"), 3_650);
    assert_eq!(reads(JUMP_MS), 1);
    assert_eq!(reads(JUMP_MS), 0, "it was written long before it was read");
    // Its bytes are the same, and were read in the moment of the change: the row that says so is
    // written later, and does not prove that nothing came in between.
    set_day(&place.root().join("a.md"), 3);
    assert_eq!(reads(0), 1);
    assert_eq!(reads(JUMP_MS), 1, "the time of reading counts, not that of writing the row");
    assert_eq!(reads(JUMP_MS), 0);
}

#[test]
fn a_clock_that_goes_backwards_hides_no_change() {
    use std::sync::atomic::{AtomicI64, Ordering};
    /// How far it was put back.
    static BACK_MS: AtomicI64 = AtomicI64::new(0);
    fn moved_ms() -> i64 {
        super::now_ms() - BACK_MS.load(Ordering::SeqCst)
    }
    let place = Place::new();
    for n in 0..9 {
        place.write(&format!("n{n}.md"), format!("# Note {n}\n\nmoon [[n{}]]\n", (n + 1) % 9));
    }
    let index = synod_index::Index::open(&place.data()).expect("the index opens");
    let mut updater = Updater::new(Arc::clone(&index), moved_ms).expect("the writer");
    let spec = synod_index::SourceSpec::default();
    let source = updater.add_source(&place.root(), &spec).expect("a source");
    updater.scan(&source, &|_| true).expect("scanned");
    let mut last = index.generation().expect("a generation");
    for (round, back_days) in [(0, 400), (1, 4_000), (2, 0)] {
        BACK_MS.store(back_days * 86_400_000, Ordering::SeqCst);
        // As long as before, older than before, and in the same moment.
        place.write("n0.md", format!("# Note 0\n\nebb{round} [[n{round}]]\n"));
        place.write("n1.md", format!("tide{round}\n"));
        set_day(&place.root().join("n1.md"), 20 - round);
        place.rename(&format!("n{}.md", 2 + round), &format!("moved{round}.md"));
        place.remove(&format!("n{}.md", 6 + round));
        if round == 1 {
            let touched = ["n0.md", "n1.md", "n3.md", "moved1.md", "n7.md"].map(str::to_owned);
            updater.refresh(&source, &HashSet::from(touched), &|_| true).expect("refreshed");
        } else {
            updater.scan(&source, &|_| true).expect("scanned");
        }
        let now = index.generation().expect("a generation");
        assert!(now > last, "{round}: generation {now} after {last}");
        last = now;
        let queries = super::plain(&["moon", "ebb0", "ebb1", "ebb2", "tide0", "tide1", "tide2"]);
        Answers::of(&index, &queries).assert_same(&Answers::of(&place.fresh().index, &queries));
    }
    assert_eq!(index.check().expect("a check").differences, Vec::<String>::new());
}

#[test]
fn a_note_that_is_edited_for_ever_takes_no_room() {
    let place = Place::new();
    let text = |n: usize, word: &str| {
        let body = "tide and moon and shore ".repeat(30 + n % 20);
        format!("# Note {n}\n\n{word} [[n{}|{word} link]]\n\n{body}\n", (n * 7) % 200)
    };
    for n in 0..200 {
        place.write(&format!("n{n}.md"), text(n, "periwinkle"));
    }
    let mut engine = place.scanned();
    let source = engine.source.clone();
    let touched = HashSet::from(["n7.md".to_owned()]);
    let edits = crate::program::long(300, 10_000) as usize;
    for n in 0..edits {
        place.write("n7.md", text(n, &format!("edit{n}")));
        engine.updater.refresh(&source, &touched, &|_| true).expect("refreshed");
    }
    let last = engine.paths(&format!("+edit{}", edits - 1));
    assert!(last.contains(&"n7.md".to_owned()), "{last:?}");
    engine.assert_clean();
    drop(engine);
    let fresh = tempfile::tempdir().expect("a folder");
    Engine::open(fresh.path(), &place.root()).scan();
    // The last process that ends folds the database's log into it.
    let size = |data: &Path| bytes(&data.join("index"));
    let (used, needed) = (size(&place.data()), size(fresh.path()));
    eprintln!("{used} bytes after {edits} edits, {needed} for a fresh index");
    assert!(used * 2 <= needed * 3, "{used} bytes after {edits} edits, {needed} would do");
}

/// Bytes of the files below a folder.
fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let each = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes(&entry.path()),
        _ => entry.metadata().map_or(0, |meta| meta.len()),
    });
    each.sum()
}
