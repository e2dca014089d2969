//! Readers beside one writer, and stores that fell behind each other.

use super::kinds::pdf;
use super::{Answers, Engine, Place, args, now_ms, of, search};
use crate::program::{PATIENCE, copy, poll, sql};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use synod_index::{Error, Filters, Freshness, Index, RelatedArgs, Updater};

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

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Folders of words that were set aside.
fn aside(place: &Place) -> usize {
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    let all = files(&place.data().join("index"));
    all.iter().filter(|path| name(path).starts_with("words.damaged-")).count()
}

type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 3] = [
    ("removed", |path| std::fs::remove_file(path).expect("removed")),
    ("emptied", |path| std::fs::write(path, "").expect("written")),
    ("cut", |path| {
        let bytes = std::fs::read(path).expect("read");
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    }),
];

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn words_are_made_anew_whichever_of_their_files_is_damaged() {
    let place = place();
    let (index, kept) = (place.data().join("index"), place.data().join("kept"));
    // A second commit, so that there are files of what was deleted too.
    drop(place.scanned());
    change(&place);
    drop(place.scanned());
    copy(&index, &kept);
    let expected = Answers::of(&place.fresh().index, &queries());
    let names: Vec<PathBuf> = files(&index.join("words"));
    assert!(names.len() >= 8, "{names:?}");
    let list = std::fs::read_to_string(index.join("words/meta.json")).expect("a list");
    let list = list.replace('-', "");
    let needed =
        |path: &Path, how: &str| match &*path.file_name().expect("a name").to_string_lossy() {
            "meta.json" => true,
            ".managed.json" => how != "removed",
            // Files of a segment begin with its id.
            name => name.len() > 32 && list.contains(&name[..32]),
        };
    let largest = names.iter().max_by_key(|path| path.metadata().expect("there").len());
    let largest = largest.expect("a file").clone();
    let all = names.iter().flat_map(|path| DAMAGES.map(|(how, damage)| (path, how, damage)));
    for (path, how, damage) in all.chain([(&largest, "flipped", flip as Damage)]) {
        let said = format!("{} {how}", path.display());
        replace(&kept, &index);
        damage(path);
        let engine = place.open();
        let check = engine.index.check().expect("a check");
        assert_eq!(check.differences, Vec::<String>::new(), "{said}");
        assert!(check.files > 0, "{said}");
        Answers::of(&engine.index, &queries()).assert_same(&expected);
        // Whatever was made anew left what it replaced, and said so.
        assert_eq!(engine.updater.mended().len(), aside(&place), "{said}");
        assert_eq!(aside(&place), usize::from(needed(path, how)), "{said}");
    }
}

#[test]
fn only_the_newest_damaged_words_are_kept() {
    let place = place();
    drop(place.scanned());
    for _ in 0..3 {
        std::fs::write(place.data().join("index/words/meta.json"), "{").expect("written");
        place.open().assert_clean();
        assert_eq!(aside(&place), 1);
    }
    assert!(place.open().updater.mended().is_empty(), "sound words stay");
    assert_recovers(&place);
}

#[test]
fn damage_that_a_reader_meets_is_said_and_mended_by_whoever_writes() {
    let place = place();
    let mut engine = place.scanned();
    assert!(!engine.updater.is_suspect().expect("a look"));
    let words = place.data().join("index/words");
    for path in files(&words).iter().filter(|path| path.extension().is_some_and(|e| e == "term")) {
        std::fs::remove_file(path).expect("removed");
    }
    let reader = Index::open(&place.data()).expect("a reader opens");
    let met = reader.search(&args("tide")).expect_err("no words");
    assert!(matches!(met, Error::Damaged(_)), "{met:?}");
    assert!(met.to_string().contains("makes it anew"), "{met}");
    assert!(reader.status().is_ok(), "what needs no words is answered");
    assert!(engine.updater.is_suspect().expect("a look"), "the writer is told");
    engine.index.set_freshness(Freshness { pending: 0, fresh: true });
    assert!(engine.updater.heal().expect("healed"));
    assert!(!engine.index.freshness().fresh, "nobody compared since");
    assert!(!engine.updater.is_suspect().expect("a look"));
    assert_eq!(aside(&place), 1);
    engine.assert_clean();
    let expected = Answers::of(&place.fresh().index, &queries());
    Answers::of(&reader, &queries()).assert_same(&expected);
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

/// Lets the words have the fields of another version of the program.
fn of_another_version(place: &Place) {
    let list = place.data().join("index/words/meta.json");
    let text = std::fs::read_to_string(&list).expect("a list");
    let other = text.replace("\"exact\"", "\"names\"");
    assert_ne!(other, text);
    std::fs::write(&list, other).expect("written");
}

#[test]
fn words_of_another_version_are_said_to_be_and_made_anew_by_whoever_writes() {
    let place = place();
    let mut engine = place.scanned();
    let open = Index::open(&place.data()).expect("a reader");
    assert!(!search(&open, "tide", Filters::default()).hits.is_empty());
    change(&place);
    engine.scan();
    drop(engine);
    of_another_version(&place);
    let late = Index::open(&place.data()).expect("a reader opens");
    // Whoever had the former ones open, too, does not read other fields for its own.
    for reader in [&open, &late] {
        let met = reader.search(&args("tide")).expect_err("no words");
        assert!(matches!(met, Error::OtherWords), "{met:?}");
        assert!(met.to_string().contains("update it"), "{met}");
        assert!(reader.status().is_ok(), "what needs no words is answered");
    }
    assert!(!place.data().join("index/suspect").exists(), "whoever writes has nothing to mend");
    place.open().assert_clean();
    assert_eq!(aside(&place), 1);
    let expected = Answers::of(&place.fresh().index, &queries());
    for reader in [&open, &late] {
        Answers::of(reader, &queries()).assert_same(&expected);
    }
}

#[test]
fn words_that_vanish_under_the_writer_are_made_anew_by_its_next_commit() {
    let place = place();
    let mut engine = place.scanned();
    std::fs::remove_dir_all(place.data().join("index/words")).expect("removed");
    change(&place);
    engine.scan();
    engine.assert_clean();
    let expected = Answers::of(&place.fresh().index, &queries());
    Answers::of(&engine.index, &queries()).assert_same(&expected);
}

#[test]
fn a_reader_sees_words_that_were_recovered_or_rebuilt() {
    let place = place();
    let words = place.data().join("index/words");
    let kept = place.data().join("kept");
    drop(place.scanned());
    copy(&words, &kept);
    change(&place);
    drop(place.scanned());
    replace(&kept, &words);
    // It has a view of words that are not those of the generation that it bears.
    let reader = Index::open(&place.data()).expect("a reader");
    assert_eq!(search(&reader, "neap", Filters::default()).hits.len(), 0);
    let before = reader.generation().expect("a generation");
    let mut engine = place.open();
    assert!(reader.generation().expect("a generation") > before);
    let expected = Answers::of(&place.fresh().index, &queries());
    Answers::of(&reader, &queries()).assert_same(&expected);
    let before = reader.generation().expect("a generation");
    engine.updater.rebuild_words().expect("rebuilt");
    assert!(reader.generation().expect("a generation") > before);
    Answers::of(&reader, &queries()).assert_same(&expected);
}

#[test]
fn what_killed_processes_left_half_made_is_removed() {
    let place = place();
    drop(place.scanned());
    let index = place.data().join("index");
    std::fs::create_dir_all(index.join("vectors")).expect("a folder");
    std::fs::create_dir_all(index.join("words.new")).expect("a folder");
    let left = ["words/.tmpA1b2C3", "vectors/7.new-hnsw-0-4711", "vectors/7.rows", "words.new/x"];
    for path in left {
        std::fs::write(index.join(path), "half").expect("written");
    }
    place.open().assert_clean();
    for path in left {
        assert!(!index.join(path).exists(), "{path}");
    }
}

#[test]
fn a_process_that_stopped_while_it_made_the_files_keeps_nobody_out() {
    let place = place();
    let index = place.data().join("index");
    std::fs::create_dir_all(&index).expect("a folder");
    let held = std::fs::File::create(index.join("create.lock")).expect("a file");
    held.lock().expect("the lock");
    let start = Instant::now();
    let engine = place.scanned();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    engine.assert_clean();
    assert!(!engine.paths("tide").is_empty());
}

#[test]
fn another_data_directory_at_its_place_is_read_and_one_that_is_gone_is_said_to_be() {
    let (place, other) = (place(), Place::new());
    other.write("other.md", "a narwhal\n");
    drop(other.scanned());
    let Engine { index, mut updater, source } = place.scanned();
    assert!(search(&index, "tide", Filters::default()).total > 0);
    let here = place.data().join("index");
    std::fs::rename(&here, place.data().join("former")).expect("moved away");
    std::fs::rename(other.data().join("index"), &here).expect("moved here");
    poll("the other index", PATIENCE, || {
        let found = index.search(&args("narwhal")).ok()?;
        (found.hits.len() == 1).then_some(())
    });
    assert_eq!(search(&index, "tide", Filters::default()).total, 0);
    // What was locked is not what lies there now.
    assert!(updater.scan(&source, &|_| true).is_err());
    assert!(updater.is_suspect().is_err());
    drop(updater);
    drop(Updater::new(Arc::clone(&index), now_ms).expect("the writer of the other one"));
    assert_eq!(index.check().expect("a check").differences, Vec::<String>::new());
    std::fs::remove_dir_all(&here).expect("removed");
    let gone = poll("the end of it", PATIENCE, || index.search(&args("narwhal")).err());
    assert!(gone.to_string().contains("deleted or moved"), "{gone}");
    index.set_freshness(Freshness { pending: 0, fresh: true });
    assert!(!index.freshness().fresh, "nothing is fresh of what is gone");
    assert!(index.status().is_err());
    assert!(Updater::new(Arc::clone(&index), now_ms).is_err(), "and nothing is made there");
    assert!(!here.exists());
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

/// What a deep check says.
#[track_caller]
fn deep(engine: &Engine) -> synod_index::Check {
    engine.index.check_deep().expect("a check")
}

/// Each document that is found wrong is named with all of what is, and reading it again mends it.
#[track_caller]
fn assert_read_again(engine: &mut Engine, wrong: &[(&str, &str)]) {
    engine.assert_clean();
    let check = deep(engine);
    assert_eq!(check.differences.len(), wrong.len(), "{:?}", check.differences);
    for (document, what) in wrong {
        let said = |text: &String| text.contains(document) && text.contains(what);
        assert!(check.differences.iter().any(said), "{document}, {what}: {:?}", check.differences);
    }
    engine.updater.read_again(&check).expect("read again");
    engine.assert_clean();
    assert_eq!(deep(engine).differences, Vec::<String>::new());
}

#[test]
fn what_is_stored_and_is_not_what_the_sources_say_is_found_and_read_again() {
    let (place, other) = (Place::new(), Place::new());
    // One note a commit, so that both number their rows alike.
    for (place, word, link) in [(&place, "walrus", "beacon"), (&other, "limpet", "lantern")] {
        place.write("b.md", "# Beta\n\nmoon\n");
        drop(place.scanned());
        place.write("a.md", format!("# Alpha\n\nquixotic {word} [[b|the {link}]]\n"));
        drop(place.scanned());
    }
    let words = |place: &Place| place.data().join("index/words");
    replace(&words(&other), &words(&place));
    let mut engine = place.open();
    let wrong = [("`a.md`", "the words"), ("`b.md`", "the texts of links to it")];
    assert_read_again(&mut engine, &wrong);
    assert_eq!(engine.paths("walrus"), ["a.md"]);
    engine.updater.push("pushed", "c.md", "An anemone.\n".to_owned()).expect("pushed");
    assert_eq!((deep(&engine).read, deep(&engine).skipped), (3, 0));
    drop(engine);
    // The rows, as a hand would change them.
    let database = place.data().join("index/index.db");
    let of = |path: &str| format!("(SELECT id FROM file WHERE path='{path}')");
    sql(&database, &format!("UPDATE link SET text='else' WHERE file={}", of("a.md")));
    sql(&database, "UPDATE file SET title='Gamma' WHERE path='c.md'");
    let mut engine = place.open();
    let wrong = [
        ("the rows of `a.md`", "its links"),
        ("the words of `b.md`", "the texts of links to it"),
        ("the rows of `c.md`", "its title"),
    ];
    assert_read_again(&mut engine, &wrong);
    drop(engine);
    // One that does not even unpack.
    sql(&database, "UPDATE file SET body=x'ff' WHERE path IN ('b.md', 'c.md')");
    let mut engine = place.open();
    let wrong = [("the rows of `b.md`", "its headings"), ("the rows of `c.md`", "its headings")];
    assert_read_again(&mut engine, &wrong);
    let fresh = place.fresh();
    let queries: Vec<_> = ["walrus", "limpet", "beacon", "lantern", "else", "moon"]
        .map(|word| (word.to_owned(), Filters::default()))
        .into();
    let pushed = pushed(&engine);
    engine.updater.remove_source(&pushed).expect("removed");
    Answers::of(&engine.index, &queries).assert_same(&Answers::of(&fresh.index, &queries));
    // What is another file by now is left to a scan.
    place.write("a.md", "# Alpha\n\nebb\n");
    let check = deep(&engine);
    assert_eq!((check.read, check.skipped, check.differences.len()), (1, 1, 0));
}

#[test]
fn texts_that_are_made_of_files_are_made_again_compared_and_mended() {
    let place = Place::new();
    place.write("paper.pdf", pdf("the marmoset paper"));
    place.write(
        "lab.ipynb",
        r##"{"cells":[{"cell_type":"markdown","source":["# Lab book\n","of tamarins"]}]}"##,
    );
    place.write("plan.canvas", r#"{"nodes":[{"id":"a","type":"text","text":"gibbon plan"}]}"#);
    place.write("broken.pdf", "%PDF-1.4\nnothing");
    let engine = place.scanned();
    let check = deep(&engine);
    assert_eq!(check.differences, Vec::<String>::new());
    assert_eq!((check.read, check.skipped, check.not_made, check.made_now), (4, 0, 0, 0));
    drop(engine);
    let database = place.data().join("index/index.db");
    let of = |path: &str| format!("(SELECT id FROM file WHERE path='{path}')");
    let okapi = format!("UPDATE pushed SET text='the okapi paper' WHERE file={}", of("paper.pdf"));
    sql(&database, &okapi);
    sql(&database, &format!("DELETE FROM pushed WHERE file={}", of("lab.ipynb")));
    sql(&database, &format!("UPDATE pushed SET text=x'ff' WHERE file={}", of("plan.canvas")));
    sql(&database, "UPDATE file SET title='Beta' WHERE path='broken.pdf'");
    let mut engine = place.open();
    let wrong = [
        ("the rows of `paper.pdf`", "the text that is kept"),
        ("no text of `lab.ipynb` is kept", "one can be made of its file"),
        ("the rows of `plan.canvas`", "the text that is kept"),
        ("the rows of `broken.pdf`", "its title"),
    ];
    assert_read_again(&mut engine, &wrong);
    assert_eq!(engine.search("marmoset").hits[0].snippet.trim(), "the marmoset paper");
    drop(engine);
    // Words that were made of what is kept are as wrong.
    sql(&database, &okapi);
    std::fs::remove_dir_all(place.data().join("index/words")).expect("removed");
    let mut engine = place.open();
    assert_eq!(engine.paths("marmoset"), Vec::<String>::new());
    let wrong = [("the rows of `paper.pdf`", "is kept"), ("the words of `paper.pdf`", "its text")];
    assert_read_again(&mut engine, &wrong);
    assert_eq!(engine.paths("okapi"), Vec::<String>::new());
    assert_eq!(engine.paths("marmoset"), ["paper.pdf"]);
    drop(engine);
    let queries: Vec<_> = ["paper", "tamarins", "gibbon", "broken", "beta"]
        .map(|word| (word.to_owned(), Filters::default()))
        .into();
    let (again, fresh) = (place.open(), place.fresh());
    Answers::of(&again.index, &queries).assert_same(&Answers::of(&fresh.index, &queries));
    // What is another file by now is left to a scan.
    place.write("paper.pdf", pdf("the capuchin paper"));
    let check = deep(&again);
    assert_eq!((check.read, check.skipped, check.differences.len()), (3, 1, 0));
}

/// Commits beside deep checks until enough was seen.
const COMMITS: u64 = 4;

/// Shows `each` what deep checks of another reader say, while a note is saved and committed again
/// and again; ends when that was done often enough beside them.
fn deep_beside_a_writer(
    place: &Place,
    engine: &mut Engine,
    each: impl Fn(&synod_index::Check) + Sync,
) {
    let reader = Index::open(&place.data()).expect("a reader");
    let generation = || reader.generation().expect("a generation");
    let start = generation();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let (mut n_beside, until) = (0, Instant::now() + PATIENCE);
            while n_beside < COMMITS {
                let before = generation();
                each(&reader.check_deep().expect("a check"));
                n_beside += generation() - before;
                let late = Instant::now() >= until && n_beside < COMMITS;
                assert!(!late, "{n_beside} commits beside the checks of {PATIENCE:?}");
            }
        });
        let mut round = 0;
        while !looking.is_finished() {
            place.write("turn.md", format!("# Turn\n\nturn {start} {round}\n"));
            engine.scan();
            round += 1;
        }
        looking.join().expect("each check says what it should");
    });
}

#[test]
fn a_deep_check_beside_a_writer_that_never_rests_compares_all_texts_of_links() {
    let place = Place::new();
    place.write("a.md", "# Alpha\n\nquixotic [[b|the beacon]]\n");
    place.write("b.md", "# Beta\n\nmoon\n");
    place.write("turn.md", "# Turn\n");
    // So many that a look takes longer than a commit.
    for n in 0..200 {
        place.write(&format!("more/{n}.md"), format!("# More {n}\n\ntide [[b|the beacon]]\n"));
    }
    let mut engine = place.scanned();
    let is_whole = |check: &synod_index::Check| {
        assert_eq!((check.links, check.skipped_links, check.skipped_words), (203, 0, 0));
        // Of the note that is written it depends on the moment.
        assert!(check.read >= 202 && check.read + check.skipped == 203, "{check:?}");
    };
    deep_beside_a_writer(&place, &mut engine, |check| {
        is_whole(check);
        assert_eq!(check.differences, Vec::<String>::new());
    });
    drop(engine);
    let statement =
        "UPDATE link SET text='else' WHERE file=(SELECT id FROM file WHERE path='a.md')";
    sql(&place.data().join("index/index.db"), statement);
    let mut engine = place.open();
    deep_beside_a_writer(&place, &mut engine, |check| {
        is_whole(check);
        assert_eq!(check.differences.len(), 2, "{:?}", check.differences);
        for (document, what) in [("rows of `a.md`", "links"), ("words of `b.md`", "texts of links")]
        {
            let said = |text: &String| text.contains(document) && text.contains(what);
            assert!(check.differences.iter().any(said), "{document}: {:?}", check.differences);
        }
    });
}

fn pushed(engine: &Engine) -> synod_index::Source {
    let sources = engine.index.sources().expect("sources");
    sources.into_iter().find(|source| source.name == "pushed").expect("a source")
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
    place.write("north.md", "# North\n");
    place.write("south.md", "# South\n");
    // Two files that always change together, their links with their words.
    let write = |word: &str| {
        let to = if word == "odd" { "north" } else { "south" };
        place.write("left.md", format!("{word} pairword [[{to}]]\n"));
        place.write("right.md", format!("{word} pairword [[{to}]]\n"));
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
                    let odd = search(&index, "odd", Filters::default());
                    let ask = RelatedArgs { target: of("north.md"), limit: 10 };
                    let related = index.related(&ask).expect("a note");
                    let links = related.groups.get("backlinks").map_or(0, Vec::len);
                    assert!([0, 2].contains(&links), "links of a commit were seen in part");
                    if odd.generation == related.generation {
                        assert_eq!(odd.total, links, "words and links of one commit");
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
