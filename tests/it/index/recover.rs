//! Readers beside one writer, and stores that fell behind each other.

use super::{Answers, Place, now_ms, search};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use synod_index::{Error, Filters, Index, Updater};

fn place() -> Place {
    let place = Place::new();
    place.write("a.md", "---\naliases: [Pier]\n---\n# Alpha\n\ntide [[b|quixotic beacon]]\n");
    place.write("b.md", "# Beta\n\nmoon\n");
    place.write("c.md", "# Gamma\n\ntide [[Pier|harbour wall]]\n");
    place.write("gone.md", "tide that goes\n");
    place.write("src/d.rs", "fn tide() -> u32 { moon() }\n\nfn moon() -> u32 { 1 }\n");
    place
}

/// Changes of every sort: text, links, names, a new file, one gone, one moved.
fn change(place: &Place) {
    place.write("a.md", "---\naliases: [Jetty]\n---\n# Alpha\n\nebb and nothing else\n");
    place.write("c.md", "# Gamma\n\nneap [[b|lantern room]] [[Pier|harbour wall]]\n");
    place.write("new.md", "tide anew [[gone]]\n");
    place.remove("gone.md");
    place.rename("src/d.rs", "src/e.rs");
}

fn queries() -> Vec<(String, Filters)> {
    let words = [
        "tide",
        "moon",
        "ebb",
        "neap",
        "anew",
        "goes",
        "quixotic",
        "harbour",
        "lantern",
        "jetty",
        "pier",
        "alpha",
        "d",
        "e",
        "tide moon",
    ];
    words.iter().map(|word| ((*word).to_owned(), Filters::default())).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn replace(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).expect("removed");
    copy(from, to);
}

/// Opening mends the stores by itself, before anything is scanned; then it equals a fresh index.
#[track_caller]
fn assert_recovers(place: &Place) {
    let mut engine = place.open();
    engine.assert_clean();
    let fresh = place.fresh();
    let expected = Answers::of(&fresh.index, &queries());
    Answers::of(&engine.index, &queries()).assert_same(&expected);
    engine.scan();
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

#[test]
fn words_that_lag_are_brought_up_when_the_index_opens() {
    let place = place();
    let words = place.data().join("index/words");
    let kept = place.data().join("kept");
    drop(place.scanned());
    copy(&words, &kept);
    change(&place);
    drop(place.scanned());
    replace(&kept, &words);
    assert_recovers(&place);
}

#[test]
fn words_that_lag_by_several_commits_are_brought_up_too() {
    let place = place();
    let words = place.data().join("index/words");
    let kept = place.data().join("kept");
    drop(place.scanned());
    copy(&words, &kept);
    let mut engine = place.scanned();
    place.write("new.md", "short lived\n");
    engine.scan();
    change(&place);
    engine.scan();
    place.remove("c.md");
    engine.scan();
    drop(engine);
    replace(&kept, &words);
    assert_recovers(&place);
}

#[test]
fn words_that_lead_are_brought_back_when_the_index_opens() {
    let place = place();
    let (index, kept) = (place.data().join("index"), place.data().join("kept"));
    drop(place.scanned());
    copy(&index, &kept);
    change(&place);
    drop(place.scanned());
    // The database of before under the words of after.
    replace(&index.join("words"), &kept.join("words"));
    replace(&kept, &index);
    let mut engine = place.open();
    engine.scan();
    engine.assert_clean();
    let fresh = place.fresh();
    let expected = Answers::of(&fresh.index, &queries());
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

#[test]
fn lost_words_are_made_anew() {
    let place = place();
    drop(place.scanned());
    std::fs::remove_dir_all(place.data().join("index/words")).expect("removed");
    assert_recovers(&place);
}

#[test]
fn words_lost_while_the_source_was_away_come_back_with_it() {
    let place = place();
    drop(place.scanned());
    std::fs::remove_dir_all(place.data().join("index/words")).expect("removed");
    let away = place.root().with_extension("away");
    std::fs::rename(place.root(), &away).expect("renamed");
    let index = Index::open(&place.data()).expect("opens");
    drop(Updater::new(Arc::clone(&index), now_ms).expect("the writer"));
    drop(index);
    std::fs::rename(&away, place.root()).expect("renamed");
    let mut engine = place.open();
    engine.scan();
    engine.assert_clean();
    let fresh = place.fresh();
    let expected = Answers::of(&fresh.index, &queries());
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

#[test]
fn files_that_changed_while_the_words_lagged_are_read_again() {
    let place = place();
    let words = place.data().join("index/words");
    let kept = place.data().join("kept");
    drop(place.scanned());
    copy(&words, &kept);
    change(&place);
    drop(place.scanned());
    replace(&kept, &words);
    place.write("a.md", "# Alpha\n\nneap [[b|other words]]\n");
    drop(place.open());
    // What was indexed last stands there again, to the byte: no hash tells that words are missing.
    change(place_again(&place));
    let mut engine = place.open();
    engine.scan();
    engine.assert_clean();
    let fresh = place.fresh();
    let expected = Answers::of(&fresh.index, &queries());
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

/// Puts back what [`change`] takes away, so that it can be done once more.
fn place_again(place: &Place) -> &Place {
    place.write("gone.md", "tide that goes\n");
    place.rename("src/e.rs", "src/d.rs");
    place
}

#[test]
fn repair_mends_whatever_the_check_finds() {
    let place = place();
    let mut engine = place.scanned();
    let index = Arc::clone(&engine.index);
    let check = engine.updater.repair(&index).expect("repaired");
    assert_eq!(check.differences, Vec::<String>::new());
    assert_eq!(check.documents, 5);
    let fresh = place.fresh();
    let expected = Answers::of(&fresh.index, &queries());
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

#[test]
fn a_second_reader_sees_each_commit_and_only_one_may_write() {
    let place = place();
    let mut engine = place.scanned();
    let second = Index::open(&place.data()).expect("a second reader");
    for round in 0..10 {
        let word = format!("w{}x", "abcdefghij".chars().nth(round).expect("a letter"));
        place.write("turn.md", &word);
        let outcome = engine.scan();
        let found = search(&second, &word, Filters::default());
        assert_eq!(found.hits.len(), 1, "round {round}");
        assert_eq!(found.generation, outcome.generation);
        assert_eq!(second.generation().expect("a generation"), outcome.generation);
        let refused = Updater::new(Arc::clone(&second), now_ms);
        assert!(matches!(refused, Err(Error::NotWriter)), "round {round}");
    }
    drop(engine);
    drop(Updater::new(second, now_ms).expect("the lock is free"));
}

#[test]
fn readers_beside_the_writer_see_whole_commits() {
    let place = place();
    // Two files that always change together.
    let write = |word: &str| {
        place.write("left.md", format!("{word} pairword\n"));
        place.write("right.md", format!("{word} pairword\n"));
    };
    write("even");
    let mut engine = place.scanned();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (done, data) = (&done, place.data());
            scope.spawn(move || {
                let index = Index::open(&data).expect("a reader");
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let found = search(&index, "pairword", Filters::default());
                    assert_eq!(found.total, 2, "a commit was seen in part");
                    assert!(found.generation >= last, "time went backwards");
                    last = found.generation;
                    for word in ["even", "odd"] {
                        let found = search(&index, word, Filters::default());
                        assert!([0, 2].contains(&found.total), "{word} in {}", found.total);
                    }
                }
            });
        }
        for round in 0..15 {
            write(if round % 2 == 0 { "odd" } else { "even" });
            engine.scan();
        }
        done.store(true, Ordering::Relaxed);
    });
    engine.assert_clean();
}
