//! Search by meaning: with an embedder of few concepts, whose every vector is known beforehand. The
//! same tests for every way to find the nearest vectors.

use super::filter::{ask, docs, index_of, key};
use super::{ALL, Engine, Place, args, now_ms};
use crate::program::{PATIENCE, cases};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use synod_index::{
    Embedder, Error, Filters, Index, Mode, SearchArgs, SourceSpec, Updater, VectorIndex, Work,
};

/// Words that mean the same.
const SAME: &[&[&str]] = &[
    &["car", "automobile", "vehicle"],
    &["sea", "ocean", "brine"],
    &["bread", "loaf", "baguette"],
    &["quick", "fast", "rapid"],
];
const DIMENSIONS: usize = 64;

/// One dimension for each concept, more words than dimensions share some.
struct Concepts {
    space: &'static str,
    /// How vectors of an engine with it are found.
    mode: VectorIndex,
    n_texts: AtomicUsize,
    /// Spoils what it gives.
    spoil: Mutex<Option<Spoil>>,
    /// Texts with this word are none that it embeds.
    refuses: Mutex<Option<&'static str>>,
}

type Spoil = fn(&mut Vec<Vec<f32>>);

impl Concepts {
    fn new(space: &'static str, mode: VectorIndex) -> Arc<Self> {
        let n_texts = AtomicUsize::new(0);
        let (spoil, refuses) = (Mutex::new(None), Mutex::new(None));
        Arc::new(Concepts { space, mode, n_texts, spoil, refuses })
    }

    fn vector(text: &str) -> Vec<f32> {
        let mut out = vec![0.0; DIMENSIONS];
        // Every text has something of the first, so that none is empty.
        out[0] = 0.1;
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            let concept = SAME.iter().position(|same| same.contains(&word.as_str()));
            let hash = word.bytes().fold(7usize, |hash, byte| hash * 31 + usize::from(byte));
            let free = DIMENSIONS - SAME.len() - 1;
            out[concept.map_or(1 + SAME.len() + hash % free, |concept| 1 + concept)] += 1.0;
        }
        let length = out.iter().map(|v| v * v).sum::<f32>().sqrt();
        out.iter_mut().for_each(|value| *value /= length);
        out
    }

    fn n_texts(&self) -> usize {
        self.n_texts.load(Ordering::Relaxed)
    }
}

impl Embedder for Concepts {
    fn space(&self) -> &str {
        self.space
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let refused = *self.refuses.lock().expect("a lock");
        if refused.is_some_and(|word| texts.iter().any(|text| text.contains(word))) {
            return Err("a text that it does not like".to_owned());
        }
        self.n_texts.fetch_add(texts.len(), Ordering::Relaxed);
        let mut vectors = texts.iter().map(|text| Self::vector(text)).collect();
        if let Some(spoil) = *self.spoil.lock().expect("a lock") {
            spoil(&mut vectors);
        }
        Ok(vectors)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        Ok(Self::vector(text))
    }
}

/// Embeds until nothing waits.
fn embed_all(updater: &mut Updater, embedder: &dyn Embedder) {
    let mut work = Work::default();
    while updater.embed(embedder, &mut work).expect("embedded").waiting > 0 {}
}

/// Builds the graphs that are missing.
fn graphs(updater: &mut Updater) {
    while let Some(work) = updater.graph_wanted().expect("spaces") {
        assert!(work.run(&|| true).expect("a graph"));
        while !updater.graph_built(&work).expect("known") {}
    }
}

impl Engine {
    fn embedded(mut self, embedder: &Arc<Concepts>) -> Self {
        self.index.set_vector_index(embedder.mode);
        embed_all(&mut self.updater, &**embedder);
        graphs(&mut self.updater);
        self.index.set_embedder(Arc::clone(embedder) as Arc<dyn Embedder>);
        self
    }

    fn paths_in(&self, query: &str, mode: Mode) -> Vec<String> {
        let found = self.index.search(&SearchArgs { mode, ..args(query) }).expect("found");
        found.hits.into_iter().map(|hit| hit.path).collect()
    }
}

fn garage() -> Place {
    let place = Place::new();
    place.write("garage.md", "# Garage\n\nThe automobile stands behind the house.\n");
    place.write("harbour.md", "# Harbour\n\nThe ocean lies before the town.\n");
    place.write("oven.md", "# Oven\n\nA loaf for every guest.\n");
    place
}

fn other_words_of_the_same_meaning_are_found(mode: VectorIndex) {
    let place = garage();
    let engine = place.scanned();
    let plain = engine.search("vehicle");
    assert!(plain.wordy && plain.hits.is_empty(), "without a model words alone are searched");
    let concepts = Concepts::new("concepts", mode);
    let engine = engine.embedded(&concepts);
    let found = engine.search("vehicle");
    assert!(!found.wordy, "{:?}", found.notes);
    assert_eq!(found.hits[0].path, "garage.md");
    assert_eq!(found.hits[0].lines, (1, 3));
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    for mode in [Mode::Hybrid, Mode::Semantic] {
        assert_eq!(engine.paths_in("fresh baguette", mode)[0], "oven.md", "{mode:?}");
    }
    assert_eq!(engine.paths_in("vehicle", Mode::Lexical), Vec::<String>::new());
    // Words that must or must not be there decide, whatever is meant.
    assert_eq!(engine.paths_in("vehicle +ocean", Mode::Hybrid), ["harbour.md"]);
    assert!(
        !engine.paths_in("town house -garage vehicle", Mode::Hybrid).contains(&"garage.md".into())
    );
    let explained = SearchArgs { explain: true, ..args("vehicle") };
    let hits = engine.index.search(&explained).expect("found").hits;
    assert_eq!(hits[0].explain.expect("explained").meaning, Some(1.0));
}

#[test]
fn what_has_no_text_waits_for_no_vector() {
    let place = garage();
    place.write("map.png", b"\x00\x01\x02binary\xff\xff");
    place.write("empty.md", "");
    let engine = place.scanned();
    assert_eq!(engine.index.status().expect("a status").sources[0].documents, 5);
    let mut engine = engine.embedded(&Concepts::new("concepts", VectorIndex::Auto));
    let found = engine.search("vehicle");
    assert!(found.notes.is_empty() && !found.wordy, "{:?}", found.notes);
    // Another note does.
    place.write("attic.md", "# Attic\n\nDust and letters.\n");
    engine.scan();
    let notes = engine.search("a rapid vehicle").notes;
    assert!(notes.iter().any(|note| note.starts_with("75 % of the passages")), "{notes:?}");
}

fn vectors_follow_edits_and_are_made_once(mode: VectorIndex) {
    let place = garage();
    place.write("attic.md", "# Attic\n\nDust and letters.\n");
    let concepts = Concepts::new("concepts", mode);
    let mut engine = place.scanned().embedded(&concepts);
    let n_first = concepts.n_texts();
    place.write("oven.md", "# Oven\n\nAn automobile made of dough.\n");
    place.rename("harbour.md", "coast/harbour.md");
    place.write("copy/harbour.md", "# Harbour\n\nThe ocean lies before the town.\n");
    place.remove("garage.md");
    engine.scan();
    let stale = engine.search("brine vehicle");
    assert!(stale.notes.iter().any(|note| note.contains("% of the passages")), "{:?}", stale.notes);
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(concepts.n_texts(), n_first + 1, "what moved or was copied is not embedded again");
    assert_eq!(engine.paths_in("vehicle", Mode::Semantic)[0], "oven.md");
    let mut wet = engine.paths_in("brine", Mode::Semantic);
    wet.truncate(2);
    wet.sort();
    assert_eq!(wet, ["coast/harbour.md", "copy/harbour.md"]);
    // Another process, later, finds what this one embedded.
    let root = place.root();
    drop(engine);
    let again = Engine::open(&place.data(), &root).embedded(&concepts);
    assert_eq!(concepts.n_texts(), n_first + 1);
    assert_eq!(again.paths_in("vehicle", Mode::Semantic)[0], "oven.md");
}

#[test]
fn what_another_source_holds_already_is_not_embedded_again() {
    let (place, branch) = (garage(), tempfile::tempdir().expect("a folder"));
    let concepts = Concepts::new("concepts", VectorIndex::Auto);
    let mut engine = place.scanned().embedded(&concepts);
    let n_first = concepts.n_texts();
    // Another worktree, where one note says something else.
    for name in ["garage.md", "harbour.md"] {
        std::fs::copy(place.root().join(name), branch.path().join(name)).expect("copied");
    }
    let other = "# Oven\n\nAn automobile made of dough.\n";
    std::fs::write(branch.path().join("oven.md"), other).expect("written");
    let spec = SourceSpec { name: Some("branch".to_owned()), ..SourceSpec::default() };
    let source = engine.updater.add_source(branch.path(), &spec).expect("a source");
    engine.updater.scan(&source, &|_| true).expect("scanned");
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(concepts.n_texts(), n_first + 1);
    assert_eq!(engine.index.spaces().expect("spaces")[0].waiting, 0);
}

fn what_was_just_saved_is_not_behind_what_has_vectors(mode: VectorIndex) {
    let place = garage();
    for n in 0..30 {
        place.write(&format!("yard{n}.md"), format!("# Yard {n}\n\nA vehicle and the sea.\n"));
    }
    let concepts = Concepts::new("concepts", mode);
    let mut engine = place.scanned().embedded(&concepts);
    place.write("new.md", "# Draft\n\nThe zebrafinch watches an automobile by the ocean.\n");
    engine.scan();
    // It alone holds all of the words, and has no vector yet.
    let query = "zebrafinch automobile ocean";
    assert_eq!(engine.paths_in(query, Mode::Hybrid)[0], "new.md");
    assert_ne!(engine.paths_in(query, Mode::Semantic)[0], "new.md", "meaning alone was asked for");
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.paths_in(query, Mode::Hybrid)[0], "new.md");
    // Nor a long note of which a passage says all of it, which is little of the whole.
    let part =
        |n: usize| format!("## Part {n}\n\n{}\n\n", format!("plank{n} rope mast ").repeat(80));
    let parts: String = (0..40).map(part).collect();
    place.write(
        "log.md",
        format!("# Log\n\n{parts}## Last\n\nA wombat, an automobile, the ocean.\n"),
    );
    engine.scan();
    assert_eq!(engine.paths_in("wombat automobile ocean", Mode::Hybrid)[0], "log.md");
}

fn a_note_that_alone_holds_the_words_stands_before_what_is_only_near(mode: VectorIndex) {
    let place = Place::new();
    for n in 0..30 {
        place.write(&format!("near{n}.md"), "Sea, fast, bread.\n");
    }
    let rest = "anchor lamp rope tar mast wharf plank keel oar net";
    place.write("log.md", format!("Ocean, quick loaf, zanzibar; {rest}.\n"));
    let concepts = Concepts::new("concepts", mode);
    let engine = place.scanned().embedded(&concepts);
    let query = "zanzibar quick loaf ocean";
    assert_ne!(engine.paths_in(query, Mode::Semantic)[0], "log.md", "it is the nearest as well");
    assert_eq!(engine.paths_in(query, Mode::Hybrid)[0], "log.md");
    // One of its words alone says less than what is near.
    let question = "what fast vehicle finds bread by the sea or on its wharf";
    assert_ne!(engine.paths_in(question, Mode::Hybrid)[0], "log.md");
}

fn many_documents_that_moved_need_no_embedding_and_none_is_forgotten(mode: VectorIndex) {
    let place = Place::new();
    for n in 0..200 {
        place.write(&format!("a/note{n}.md"), format!("# Note\n\nword{n} of many\n"));
    }
    let concepts = Concepts::new("concepts", mode);
    let mut engine = place.scanned().embedded(&concepts);
    let n_first = concepts.n_texts();
    place.rename("a", "b");
    engine.scan();
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(concepts.n_texts(), n_first);
    let found = engine.search("word7");
    assert!(found.notes.is_empty() && !found.wordy, "{:?}", found.notes);
    // A file that changed behind the index waits for the next scan, and holds up nobody.
    place.write("b/note1.md", "# Note\n\nword1 of few\n");
    place.write("c/note.md", "# Note\n\nan ocean\n");
    place.write("c/other.md", "# Note\n\na loaf\n");
    engine.scan();
    place.write("c/other.md", "# Note\n\na rapid automobile\n");
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.paths_in("brine", Mode::Semantic)[0], "c/note.md");
    engine.scan();
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.paths_in("fast vehicle", Mode::Semantic)[0], "c/other.md");
}

fn a_query_never_meets_vectors_of_another_space(mode: VectorIndex) {
    let place = garage();
    let first = Concepts::new("first", mode);
    let engine = place.scanned().embedded(&first);
    let second = Concepts::new("second", mode);
    engine.index.set_embedder(Arc::clone(&second) as Arc<dyn Embedder>);
    let found = engine.search("vehicle");
    assert!(found.wordy && found.hits.is_empty(), "nothing is embedded in the second space yet");
    let engine = engine.embedded(&second);
    assert_eq!(second.n_texts(), first.n_texts());
    assert_eq!(engine.paths_in("vehicle", Mode::Hybrid)[0], "garage.md");
}

/// An embedder whose name others may have, too.
struct Named {
    concepts: Arc<Concepts>,
    space: String,
    probe: [f32; 2],
}

impl Embedder for Named {
    fn space(&self) -> &str {
        &self.space
    }

    fn probe(&self) -> Option<&[f32]> {
        Some(&self.probe)
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.concepts.passages(texts)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.concepts.query(text)
    }
}

#[test]
fn a_model_whose_name_others_have_is_known_by_a_vector() {
    let place = garage();
    let concepts = Concepts::new("named", VectorIndex::Auto);
    // An older program kept no vector.
    let mut engine = place.scanned().embedded(&concepts);
    let n = concepts.n_texts();
    let index = Arc::clone(&engine.index);
    let named = |probe: [f32; 2]| {
        let space = index.space_for("named", &probe).expect("a name");
        Named { concepts: Arc::clone(&concepts), space, probe }
    };
    let (one, other) = ([1.0, 0.0], [0.6, 0.8]);
    assert_eq!(named(one).space, "named", "what is there first counts");
    embed_all(&mut engine.updater, &named(one));
    assert_eq!(concepts.n_texts(), n, "it would be embedded again");
    let second = named(other);
    assert!(second.space.starts_with("named probe "), "{}", second.space);
    embed_all(&mut engine.updater, &second);
    assert_eq!(concepts.n_texts(), 2 * n);
    // Servers round.
    assert_eq!(named([2.0, 0.001]).space, "named");
    assert_eq!(named([0.599, 0.801]).space, second.space);
    let wrong = Named { space: "named".to_owned(), ..named(other) };
    let refused = engine.updater.embed(&wrong, &mut Work::default());
    assert!(matches!(refused, Err(Error::Embedding(_))), "{refused:?}");
}

fn what_is_no_vector_is_refused_and_what_waited_waits_on(mode: VectorIndex) {
    let place = garage();
    let mut engine = place.scanned();
    let concepts = Concepts::new("concepts", mode);
    let spoils: [(&str, Spoil); 5] = [
        ("a number that is none", |vectors| vectors[0][3] = f32::NAN),
        ("nothing", |vectors| vectors[0].fill(0.0)),
        ("too short", |vectors| vectors[0].truncate(7)),
        ("none", Vec::clear),
        ("not of length 1", |vectors| vectors[0].iter_mut().for_each(|v| *v *= 3.0)),
    ];
    // One queue throughout, as a server has.
    let mut work = Work::default();
    for (what, spoil) in spoils {
        *concepts.spoil.lock().expect("a lock") = Some(spoil);
        let refused = engine.updater.embed(&*concepts, &mut work);
        assert!(matches!(refused, Err(Error::Embedding(_))), "{what}: {refused:?}");
    }
    *concepts.spoil.lock().expect("a lock") = None;
    while engine.updater.embed(&*concepts, &mut work).expect("embedded").waiting > 0 {}
    let engine = engine.embedded(&concepts);
    assert_eq!(engine.paths_in("vehicle", Mode::Semantic)[0], "garage.md");
}

fn many_passages_are_embedded_in_steps_that_a_crash_may_part(mode: VectorIndex) {
    let place = Place::new();
    let paragraph = |n: usize| format!("## Part {n}\n\n{}\n\n", format!("word{n} ").repeat(120));
    let text: String = (0..60).map(paragraph).collect();
    place.write("long.md", format!("# Long\n\n{text}"));
    let concepts = Concepts::new("concepts", mode);
    let mut engine = place.scanned();
    let mut work = Work::default();
    let first = engine.updater.embed(&*concepts, &mut work).expect("a step");
    assert!(first.waiting > 0, "one step is not all");
    let n_step = concepts.n_texts();
    // The process ends here: what was prepared is lost, what was embedded is not.
    drop((work, engine));
    let engine = Engine::open(&place.data(), &place.root()).embedded(&concepts);
    let status = engine.index.status().expect("a status");
    assert_eq!(
        concepts.n_texts() as u64,
        status.sources[0].chunks + 1,
        "every passage and the head of the note: nothing twice, nothing left out"
    );
    assert!(n_step < concepts.n_texts());
    assert_eq!(engine.paths_in("word33", Mode::Semantic), ["long.md"]);
}

#[test]
fn a_document_that_goes_while_it_is_embedded_leaves_nothing_behind() {
    let place = garage();
    let concepts = Concepts::new("concepts", VectorIndex::Auto);
    let (mut engine, mut work) = (place.scanned(), Work::default());
    let batch = engine.updater.batch(&*concepts, &mut work).expect("a batch");
    place.remove("garage.md");
    engine.scan();
    let made = batch.run(&*concepts).expect("made");
    let kept = engine.updater.embedded(&*concepts, &mut work, made).expect("kept");
    assert_eq!(kept.waiting, 0);
    let found = engine.index.check().expect("a check").differences;
    assert_eq!(found, Vec::<String>::new());
}

fn a_text_that_the_model_refuses_keeps_no_other_waiting(mode: VectorIndex) {
    let place = garage();
    place.write("bad.md", "# Bad\n\nA snark, of all things, on a bicycle.\n");
    let concepts = Concepts::new("concepts", mode);
    *concepts.refuses.lock().expect("a lock") = Some("snark");
    let engine = place.scanned().embedded(&concepts);
    let paths = engine.paths_in("vehicle", Mode::Semantic);
    assert_eq!(paths[0], "garage.md");
    assert!(!paths.contains(&"bad.md".to_owned()));
    assert_eq!(engine.index.spaces().expect("spaces")[0].waiting, 1);
    // Once it can be embedded it is.
    *concepts.refuses.lock().expect("a lock") = None;
    let engine = engine.embedded(&concepts);
    assert_eq!(engine.index.spaces().expect("spaces")[0].waiting, 0);
}

fn files_that_cannot_be_read_keep_no_other_waiting(mode: VectorIndex) {
    let place = garage();
    let other = |n: usize| format!("other/n{n}.md");
    (0..100).for_each(|n| place.write(&other(n), format!("# Other {n}\n\nA note.\n")));
    let mut engine = place.scanned();
    // They come before all others, and none is what was indexed any more.
    (0..100).for_each(|n| place.write(&other(n), format!("# Other {n}\n\nIts owner edits.\n")));
    let concepts = Concepts::new("concepts", mode);
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.index.spaces().expect("spaces")[0].waiting, 100);
    engine.scan();
    let engine = engine.embedded(&concepts);
    assert_eq!(engine.paths_in("vehicle", Mode::Semantic)[0], "garage.md");
    assert_eq!(engine.index.spaces().expect("spaces")[0].waiting, 0);
}

fn a_space_that_was_taken_back_is_nobodys_first_choice_until_it_is_named_again(mode: VectorIndex) {
    let place = garage();
    let (first, second) = (Concepts::new("first", mode), Concepts::new("second", mode));
    let mut engine = place.scanned().embedded(&first).embedded(&second);
    let serving = |engine: &Engine| engine.index.serving().expect("spaces").expect("one").0;
    assert_eq!(serving(&engine), "second");
    assert_eq!(engine.updater.roll_back().expect("the first is kept"), "first");
    assert!(engine.updater.settle_held("second").expect("spaces"));
    embed_all(&mut engine.updater, &*second);
    assert_eq!(serving(&engine), "first", "it does not come back by itself");
    // The configuration names the first one, then the second again.
    assert!(!engine.updater.settle_held("first").expect("spaces"));
    embed_all(&mut engine.updater, &*second);
    assert_eq!(serving(&engine), "second");
    // A third one: the first is gone, the second is kept.
    let third = Concepts::new("third", mode);
    let mut engine = engine.embedded(&third);
    assert_eq!(names(&engine), ["second", "third"]);
    assert_eq!(engine.updater.roll_back().expect("the second is kept"), "second");
}

/// An embedder that is given passages until it is said otherwise.
struct Given(Arc<Concepts>, AtomicBool);

impl Embedder for Given {
    fn space(&self) -> &str {
        self.0.space
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn takes(&self, _collection: &str) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.0.passages(texts)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.0.query(text)
    }
}

#[test]
fn what_was_prepared_is_not_sent_once_it_may_not_be() {
    let place = Place::new();
    for n in 0..40 {
        place.write(&format!("n{n}.md"), format!("# Note {n}\n\nWords of number{n}.\n"));
    }
    let mut engine = place.scanned();
    let given = Given(Concepts::new("model", VectorIndex::Auto), AtomicBool::new(true));
    let mut work = Work::default();
    let first = engine.updater.embed(&given, &mut work).expect("embedded");
    let sent = given.0.n_texts();
    assert!(sent > 0 && first.waiting > 0, "{first:?}");
    given.1.store(false, Ordering::Relaxed);
    while engine.updater.embed(&given, &mut work).expect("embedded").waiting > 0 {}
    assert_eq!(given.0.n_texts(), sent, "what may not leave was sent");
    given.1.store(true, Ordering::Relaxed);
    while engine.updater.embed(&given, &mut work).expect("embedded").waiting > 0 {}
    assert_eq!(engine.index.spaces().expect("spaces")[0].waiting, 0);
}

/// An embedder beyond this machine, which is not given what is private.
struct Away(Arc<Concepts>);

impl Embedder for Away {
    fn space(&self) -> &str {
        self.0.space
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn takes(&self, collection: &str) -> bool {
        collection != "private"
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.0.passages(texts)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.0.query(text)
    }
}

#[test]
fn what_may_not_leave_this_machine_waits_for_no_vector() {
    let (place, private) = (garage(), tempfile::tempdir().expect("a folder"));
    std::fs::write(private.path().join("diary.md"), "# Diary\n\nA walk.\n").expect("written");
    // A passage without a word, which is not counted in the place of one that waits.
    std::fs::write(private.path().join("begun.md"), "\n").expect("written");
    let mut engine = place.scanned();
    let spec = SourceSpec { collection: Some("private".to_owned()), ..SourceSpec::default() };
    let source = engine.updater.add_source(private.path(), &spec).expect("a source");
    engine.updater.scan(&source, &|_| true).expect("scanned");
    let away = Arc::new(Away(Concepts::new("away", VectorIndex::Auto)));
    embed_all(&mut engine.updater, &*away);
    let waiting = |engine: &Engine| engine.index.status().expect("a status").spaces[0].waiting;
    assert_eq!(waiting(&engine), 2, "nobody knows yet who is given what");
    engine.index.set_embedder(Arc::clone(&away) as Arc<dyn Embedder>);
    assert_eq!(waiting(&engine), 0);
    let found = engine.search("vehicle");
    assert!(found.notes.is_empty() && !found.wordy, "{:?}", found.notes);
    // Another note does.
    place.write("attic.md", "# Attic\n\nDust and letters.\n");
    engine.scan();
    assert_eq!(waiting(&engine), 1);
    let notes = engine.search("a rapid vehicle").notes;
    assert!(notes.iter().any(|note| note.starts_with("75 % of the passages")), "{notes:?}");
}

/// An embedder whose space older programs call less.
struct Renamed(Arc<Concepts>, &'static str);

impl Embedder for Renamed {
    fn space(&self) -> &str {
        self.0.space
    }

    fn old_name(&self) -> Option<&str> {
        Some(self.1)
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.0.passages(texts)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.0.query(text)
    }
}

/// The names of all spaces, oldest first.
fn names(engine: &Engine) -> Vec<String> {
    engine.index.spaces().expect("spaces").into_iter().map(|space| space.name).collect()
}

#[test]
fn a_space_of_an_older_program_that_was_taken_back_stays_so_under_its_name_of_today() {
    let place = garage();
    let other = Concepts::new("other", VectorIndex::Auto);
    let older = Concepts::new("model", VectorIndex::Auto);
    let mut engine = place.scanned().embedded(&other).embedded(&older);
    assert_eq!(engine.updater.roll_back().expect("the first is kept"), "other");
    let today = Renamed(Concepts::new("model beside a", VectorIndex::Auto), "model");
    engine.updater.adopt(&today).expect("a name");
    assert_eq!(names(&engine), ["other", "model beside a"]);
    assert!(engine.updater.settle_held(today.space()).expect("spaces"));
    embed_all(&mut engine.updater, &today);
    assert_eq!(today.0.n_texts(), 0, "it was embedded again");
    assert_eq!(engine.index.serving().expect("spaces").expect("one").0, "other");
}

#[test]
fn a_model_that_only_answers_takes_over_its_space_too() {
    let place = garage();
    let older = Concepts::new("model", VectorIndex::Auto);
    let mut engine = place.scanned().embedded(&older);
    let today = Concepts::new("model beside a", VectorIndex::Auto);
    engine.index.set_former(Arc::new(Renamed(today, "model")));
    let other = Concepts::new("other", VectorIndex::Auto);
    let mut work = Work::default();
    engine.updater.embed(&*other, &mut work).expect("a step");
    assert_eq!(names(&engine), ["model beside a", "other"]);
}

#[test]
fn what_an_older_program_fills_beside_a_name_of_today_is_taken_over_by_nobody() {
    let place = garage();
    let older = Concepts::new("model", VectorIndex::Auto);
    let mut engine = place.scanned().embedded(&older);
    let n = older.n_texts();
    let today = Renamed(Concepts::new("model beside a", VectorIndex::Auto), "model");
    embed_all(&mut engine.updater, &today);
    assert_eq!((today.0.n_texts(), names(&engine)), (0, vec!["model beside a".to_owned()]));
    // The older program writes again: what is there is none of its own.
    embed_all(&mut engine.updater, &*older);
    assert_eq!((older.n_texts(), names(&engine).len()), (2 * n, 2));
    let changed = Renamed(Concepts::new("model beside b", VectorIndex::Auto), "model");
    assert!(engine.index.waiting(&changed).expect("counted") > 0);
    embed_all(&mut engine.updater, &changed);
    assert_eq!((changed.0.n_texts(), names(&engine).len()), (n, 2));
}

/// The files of a place's vectors that end so.
fn vector_files(place: &Place, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.data().join("index/vectors")).expect("a folder");
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|e| e == end)).collect()
}

fn lost_vectors_cost_the_meaning_until_they_are_made_again(mode: VectorIndex) {
    let loses: [Loss; 3] = [
        ("removed", |path| std::fs::remove_file(path).expect("removed")),
        ("emptied", |path| std::fs::write(path, "").expect("written")),
        ("cut", |path| {
            let bytes = std::fs::read(path).expect("read");
            std::fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
        }),
    ];
    for (how, lose) in loses {
        for what in ["rows", "signs"] {
            let place = garage();
            let concepts = Concepts::new("concepts", mode);
            drop(place.scanned().embedded(&concepts));
            vector_files(&place, what).iter().for_each(|path| lose(path));
            let index = Index::open(&place.data()).expect("an index");
            index.set_vector_index(mode);
            index.set_embedder(Arc::clone(&concepts) as Arc<dyn Embedder>);
            let found = index.search(&args("automobile house")).expect("the words answer");
            assert_eq!(found.hits[0].path, "garage.md", "{what} {how}");
            // Without the signs all rows are measured.
            assert_eq!(found.wordy, what == "rows", "{what} {how}");
            let said = found.notes.iter().any(|note| note.contains("lost or cut"));
            assert_eq!(said, what == "rows", "{what} {how}: {:?}", found.notes);
            let mut updater = Updater::new(Arc::clone(&index), now_ms).expect("the writer");
            assert_eq!(updater.mended().len(), usize::from(what == "rows"), "{what} {how}");
            embed_all(&mut updater, &*concepts);
            graphs(&mut updater);
            let found = index.search(&args("vehicle")).expect("found");
            assert!(!found.wordy && found.notes.is_empty(), "{what} {how}: {:?}", found.notes);
            assert_eq!(found.hits[0].path, "garage.md", "{what} {how}");
            let check = index.check().expect("a check");
            assert_eq!(check.differences, Vec::<String>::new(), "{what} {how}");
            assert_eq!(check.vectors, 3, "{what} {how}");
        }
    }
}

fn vectors_that_vanish_under_the_writer_are_made_again(mode: VectorIndex) {
    let place = garage();
    let concepts = Concepts::new("concepts", mode);
    let mut engine = place.scanned().embedded(&concepts);
    std::fs::remove_dir_all(place.data().join("index/vectors")).expect("removed");
    // Who meets it first leaves a sign.
    let reader = Index::open(&place.data()).expect("an index");
    reader.set_embedder(Arc::clone(&concepts) as Arc<dyn Embedder>);
    assert!(reader.search(&args("automobile")).expect("found").wordy);
    assert!(engine.updater.is_suspect().expect("a look"));
    assert!(engine.updater.heal().expect("healed"));
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.paths_in("vehicle", Mode::Semantic)[0], "garage.md");
    assert!(!reader.search(&args("vehicle")).expect("found").wordy);
    engine.assert_clean();
    // And so does who wants to add to them.
    std::fs::remove_dir_all(place.data().join("index/vectors")).expect("removed");
    place.write("oven.md", "# Oven\n\nAn automobile made of dough.\n");
    engine.scan();
    let mut work = Work::default();
    assert!(engine.updater.embed(&*concepts, &mut work).is_err());
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.paths_in("brine", Mode::Semantic)[0], "harbour.md");
    engine.assert_clean();
}

/// The tests of this file once for each way to find the nearest vectors.
macro_rules! in_every_mode {
    ($($test:ident,)*) => {
        mod auto {
            $(#[test] fn $test() { super::$test(super::VectorIndex::Auto) })*
        }
        mod exact {
            $(#[test] fn $test() { super::$test(super::VectorIndex::Exact) })*
        }
        mod hnsw {
            $(#[test] fn $test() { super::$test(super::VectorIndex::Hnsw) })*
        }
    };
}

in_every_mode! {
    other_words_of_the_same_meaning_are_found,
    vectors_follow_edits_and_are_made_once,
    what_was_just_saved_is_not_behind_what_has_vectors,
    a_note_that_alone_holds_the_words_stands_before_what_is_only_near,
    many_documents_that_moved_need_no_embedding_and_none_is_forgotten,
    a_query_never_meets_vectors_of_another_space,
    what_is_no_vector_is_refused_and_what_waited_waits_on,
    many_passages_are_embedded_in_steps_that_a_crash_may_part,
    a_text_that_the_model_refuses_keeps_no_other_waiting,
    files_that_cannot_be_read_keep_no_other_waiting,
    a_space_that_was_taken_back_is_nobodys_first_choice_until_it_is_named_again,
    lost_vectors_cost_the_meaning_until_they_are_made_again,
    vectors_that_vanish_under_the_writer_are_made_again,
}

fn semantic_index(
    place: &std::path::Path,
    docs: &[super::filter::Doc],
    mode: VectorIndex,
) -> Arc<Index> {
    drop(index_of(place, docs));
    let index = Index::open(&place.join("data")).expect("an index");
    index.set_vector_index(mode);
    let concepts = Concepts::new("concepts", mode);
    let mut updater = Updater::new(Arc::clone(&index), now_ms).expect("the writer");
    embed_all(&mut updater, &*concepts);
    graphs(&mut updater);
    index.set_embedder(concepts);
    index
}

/// Ninety words of which `n_meant` are of three concepts, and the others of none: a passage of its
/// own.
fn section(n: usize, n_meant: usize) -> String {
    let meant = ["automobile", "baguette", "ocean"].into_iter().cycle();
    let meant = meant.take(n_meant).map(str::to_owned);
    let others = (0..90 - n_meant).map(|at| format!("w{n}x{at}"));
    meant.chain(others).collect::<Vec<_>>().join(" ")
}

#[test]
fn documents_of_which_graphs_name_one_passage_are_not_taken_for_near() {
    // One passage that says it all among others, passages that are rather near, and all of them
    // near enough: by the mean of the best three those come first.
    let kinds = [(200, [16, 0, 0, 90]), (400, [16, 0, 0, 0]), (12, [18, 18, 18, 18])];
    let place = Place::new();
    for (kind, (n_notes, sections)) in kinds.into_iter().enumerate() {
        for note in 0..n_notes {
            let part = |(at, n_meant): (usize, usize)| {
                format!("## Part {at}\n\n{}\n", section(kind * 4_000 + note * 4 + at, n_meant))
            };
            let text: Vec<String> = sections.into_iter().enumerate().map(part).collect();
            place.write(&format!("k{kind}/{note}.md"), text.join("\n"));
        }
    }
    let concepts = Concepts::new("concepts", VectorIndex::Hnsw);
    let engine = place.scanned().embedded(&concepts);
    assert_eq!(engine.index.status().expect("a status").sources[0].chunks, 4 * 612);
    let exact = Index::open(&place.data()).expect("an index");
    exact.set_vector_index(VectorIndex::Exact);
    exact.set_embedder(Arc::clone(&concepts) as Arc<dyn Embedder>);
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let query = SearchArgs { mode, limit: 10, ..args("vehicle loaf brine") };
        let named = |index: &Index| -> Vec<(String, (u32, u32))> {
            let hits = index.search(&query).expect("found").hits;
            hits.into_iter().map(|hit| (hit.path, hit.lines)).collect()
        };
        let found = named(&engine.index);
        assert!(found.iter().all(|(path, _)| path.starts_with("k2/")), "{mode:?}: {found:?}");
        assert_eq!(found, named(&exact), "{mode:?}");
    }
}

/// Rows that nothing needs, as many as edits leave behind in a long life.
fn leave_dead(engine: &mut Engine) {
    let dead = (0..12_000u64).map(|n| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&n.to_le_bytes());
        Ok((key, Concepts::vector(&format!("w{n}"))))
    });
    engine.updater.take_vectors("concepts", DIMENSIONS, dead).expect("taken");
}

#[test]
fn whoever_saves_or_asks_while_rows_are_given_back_has_a_turn() {
    let place = garage();
    let concepts = Concepts::new("concepts", VectorIndex::Exact);
    let mut engine = place.scanned().embedded(&concepts);
    leave_dead(&mut engine);
    let work = engine.updater.graph_wanted().expect("spaces").expect("a compaction");
    assert!(work.run(&|| true).expect("copied"));
    // Embedded while others were copied.
    place.write("depot.md", "# Depot\n\nA rapid automobile.\n");
    engine.scan();
    embed_all(&mut engine.updater, &*concepts);
    let n_texts = concepts.n_texts();
    let mut n_steps = 0;
    while !engine.updater.graph_built(&work).expect("known") {
        n_steps += 1;
        assert_eq!(engine.paths_in("fast vehicle", Mode::Semantic)[0], "depot.md", "{n_steps}");
        place.write("saved.md", format!("# Saved\n\nwalrus{n_steps}\n"));
        engine.scan();
        let saved = engine.paths_in(&format!("walrus{n_steps}"), Mode::Lexical);
        assert_eq!(saved, ["saved.md"], "{n_steps}");
    }
    assert!(n_steps > 5, "{n_steps} steps");
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(concepts.n_texts(), n_texts + 1, "what was saved last, and nothing again");
    engine.assert_clean();
}

#[test]
fn rows_that_nothing_needs_are_given_back() {
    let place = garage();
    let concepts = Concepts::new("concepts", VectorIndex::Auto);
    let mut engine = place.scanned().embedded(&concepts);
    let reader = Index::open(&place.data()).expect("a reader");
    reader.set_embedder(Arc::clone(&concepts) as Arc<dyn Embedder>);
    assert!(!reader.search(&args("vehicle")).expect("found").wordy);
    let bytes = || -> u64 {
        let files = ["rows", "signs"].map(|end| vector_files(&place, end));
        files.iter().flatten().map(|path| path.metadata().expect("there").len()).sum()
    };
    let before = bytes();
    leave_dead(&mut engine);
    assert!(bytes() > 1_000 * before);
    let n_texts = concepts.n_texts();
    graphs(&mut engine.updater);
    assert_eq!(bytes(), before);
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(concepts.n_texts(), n_texts, "nothing is embedded again");
    for index in [&engine.index, &reader] {
        let found = index.search(&args("vehicle")).expect("found");
        assert!(!found.wordy && found.hits[0].path == "garage.md", "{:?}", found.notes);
    }
    engine.assert_clean();
    // It goes on from there.
    place.write("new.md", "# New\n\nA rapid automobile.\n");
    engine.scan();
    embed_all(&mut engine.updater, &*concepts);
    assert_eq!(engine.paths_in("fast vehicle", Mode::Semantic)[0], "new.md");
    engine.assert_clean();
}

#[test]
fn a_space_that_goes_away_under_a_reader_costs_no_answer() {
    let place = garage();
    for n in 0..100 {
        place.write(&format!("more/n{n}.md"), format!("# More {n}\n\nword{n} of the ocean\n"));
    }
    let name = |n: usize| -> &'static str { Box::leak(format!("space{n}").into_boxed_str()) };
    let names: Vec<&'static str> = (0..24).map(name).collect();
    let mut engine = place.scanned().embedded(&Concepts::new(names[0], VectorIndex::Auto));
    let reader = Index::open(&place.data()).expect("a reader");
    let (stop, at) = (AtomicBool::new(false), AtomicUsize::new(0));
    let until = Instant::now() + PATIENCE;
    let n_searches = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                n += 1;
                // Another one each time, so that its space is opened each time: the one that
                // answers, or the one before it, which the next switch removes.
                let name = names[at.load(Ordering::Relaxed).saturating_sub(n % 2)];
                reader.set_embedder(Concepts::new(name, VectorIndex::Auto));
                let found = reader.search(&args("automobile house")).expect("the words answer");
                assert_eq!(found.hits[0].path, "garage.md", "{:?}", found.notes);
                let lost = found.notes.iter().any(|note| note.contains("lost or cut"));
                assert!(!lost, "{:?}", found.notes);
            }
            n
        });
        for (next, &name) in names.iter().enumerate().skip(1) {
            embed_all(&mut engine.updater, &*Concepts::new(name, VectorIndex::Auto));
            at.store(next, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
        reading.join().expect("no search failed")
    });
    assert!(n_searches > names.len(), "only {n_searches} searches");
    assert!(!engine.updater.is_suspect().expect("a look"), "a switch was taken for damage");
    reader.set_embedder(Concepts::new(names[names.len() - 1], VectorIndex::Auto));
    let found = reader.search(&args("vehicle")).expect("found");
    assert!(!found.wordy && found.hits[0].path == "garage.md", "{:?}", found.notes);
    engine.assert_clean();
}

/// Documents and queries of many words, so that their vectors lie everywhere.
fn scattered(seed: usize) -> String {
    let word = |at: usize| format!("w{}", (seed * 31 + at * at * 17 + seed / 7) % 211);
    (0..6).map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn graphs_find_what_measuring_all_finds() {
    let place = Place::new();
    for n in 0..1_200 {
        place.write(&format!("n{n}.md"), format!("{}\n", scattered(n)));
    }
    let engine = place.scanned();
    let mut engine = engine.embedded(&Concepts::new("concepts", VectorIndex::Hnsw));
    let best = |engine: &Engine, query: &str, mode: Mode| {
        let ask = SearchArgs { mode, limit: 10, explain: true, ..args(query) };
        let hits = engine.index.search(&ask).expect("found").hits;
        hits.into_iter().map(|hit| (hit.score * 1e4).round() as i64).collect::<Vec<_>>()
    };
    let (mut same, mut all) = (0, 0);
    for seed in 5_000..5_060 {
        let query = scattered(seed);
        for mode in [Mode::Hybrid, Mode::Semantic] {
            engine.index.set_vector_index(VectorIndex::Hnsw);
            let near = best(&engine, &query, mode);
            engine.index.set_vector_index(VectorIndex::Exact);
            let truth = best(&engine, &query, mode);
            assert_eq!(near.len(), truth.len());
            all += truth.len();
            same += near.iter().filter(|score| truth.contains(score)).count();
        }
    }
    assert!(same * 100 >= all * 97, "{same} of {all}");
    // What was added since has no place in a graph, what is gone has one, and neither matters.
    engine.index.set_vector_index(VectorIndex::Hnsw);
    place.write("new.md", "automobile w3 w5\n");
    place.remove("n7.md");
    engine.scan();
    let concepts = Concepts::new("concepts", VectorIndex::Hnsw);
    embed_all(&mut engine.updater, &*concepts);
    assert!(engine.updater.graph_wanted().expect("spaces").is_none(), "too few to build again");
    assert_eq!(engine.paths_in("vehicle", Mode::Semantic)[0], "new.md");
    assert!(!engine.paths_in(&scattered(7), Mode::Hybrid).contains(&"n7.md".to_owned()));
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn filtered_results_are_the_ranking_restricted_by_meaning_too(
        docs in docs(),
        asks in proptest::collection::vec(ask(), 30),
        semantic in any::<bool>(),
        graphs in any::<bool>(),
    ) {
        let place = tempfile::tempdir().expect("a folder");
        let vectors = if graphs { VectorIndex::Hnsw } else { VectorIndex::Exact };
        let index = semantic_index(place.path(), &docs, vectors);
        let mode = if semantic { Mode::Semantic } else { Mode::Hybrid };
        for ask in asks {
            let query = ask.words();
            let whole = index.search(&SearchArgs { mode, ..args(&query) }).expect("found");
            prop_assert!(whole.hits.len() < ALL, "the whole ranking");
            let fits = |hit: &&synod_index::Hit| {
                let doc = docs.iter().find(|d| d.source() == hit.source && d.path == hit.path);
                let doc = doc.expect("a document of the test");
                ask.set.iter().all(|one| one.matches(doc))
            };
            let expected: Vec<_> = whole.hits.iter().filter(fits).map(key).collect();
            let mut filters = Filters::default();
            ask.set.iter().for_each(|one| one.set(&mut filters));
            let found = index
                .search(&SearchArgs { filters, limit: ask.k, mode, ..args(&query) })
                .expect("found");
            let got: Vec<_> = found.hits.iter().map(key).collect();
            let k = ask.k.min(expected.len());
            prop_assert_eq!(&got[..], &expected[..k], "{:?}", ask);
        }
    }
}
/// What is done to a file of vectors.
type Loss = (&'static str, fn(&Path));
