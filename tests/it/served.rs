//! Whatever is done to a vault under a running program, it ends with the index that a fresh one is:
//! branches that change, folders that come and go, names that differ in nothing but their case.

use super::index::Answers;
use super::program::{PATIENCE, Place, Server, cases, git, poll};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From a checkout to the last of a thousand files; alone on a machine it is a tenth of this.
const CHECKOUT: Duration = Duration::from_secs(10);

const FILES: &[&str] = &["a.md", "b.md", "tide.md", "c.md"];
const FOLDERS: &[&str] = &["", "one/", "one/two/", "three/"];
/// Where folders are moved to.
const OTHERS: &[&str] = &["one", "one/two", "three", "five", "one/six"];
const WORDS: &[&str] = &["alpha", "beta", "gamma", "delta", "late"];

fn status(server: &Server) -> Value {
    super::http::get(server.address, "/v1/index").json()
}

fn fresh(server: &Server) {
    poll("freshness", PATIENCE, || (status(server)["fresh"] == true).then_some(()));
}

fn search(server: &Server, word: &str) -> Value {
    super::http::get(server.address, &format!("/v1/search?q=%2B{word}&limit=50")).json()
}

fn paths(found: &Value) -> Vec<String> {
    let hits = found["hits"].as_array().unwrap_or_else(|| panic!("no hits: {found}"));
    hits.iter().map(|hit| hit["path"].as_str().expect("a path").to_owned()).collect()
}

/// The server is done with everything that was done before: it knows what was done last, which
/// stays. Twice, for what came together with the first may be handed on a moment after it.
fn settled(place: &Place, server: &Server) {
    for word in ["lastword", "verylastword"] {
        place.write("vault/last.md", format!("{word}\n"));
        poll("the last note", PATIENCE, || {
            let found = search(server, word);
            (found["total"] == 1 && found["fresh"] == true).then_some(())
        });
    }
}

/// A repository with two branches, which a thousand files tell apart.
struct Branches {
    place: Place,
}

impl Branches {
    const ALL: usize = 1_200;
    const CHANGED: std::ops::Range<usize> = 0..900;
    const GONE: std::ops::Range<usize> = 900..950;
    const NEW: std::ops::Range<usize> = 1_200..1_250;

    fn new() -> Self {
        let branches = Branches { place: Place::new() };
        (0..Self::ALL).for_each(|n| branches.write(n, "periwinkle"));
        branches.git(&["init", "-q", "-b", "main"]);
        branches.git(&["add", "-A"]);
        branches.git(&["commit", "-qm", "one"]);
        branches.git(&["checkout", "-qb", "other"]);
        Self::CHANGED.chain(Self::NEW).for_each(|n| branches.write(n, "barnacle"));
        Self::GONE.for_each(|n| {
            std::fs::remove_file(branches.root().join(Self::path(n))).expect("removed");
        });
        branches.git(&["add", "-A"]);
        branches.git(&["commit", "-qm", "two"]);
        branches.git(&["checkout", "-q", "main"]);
        branches
    }

    fn path(n: usize) -> String {
        format!("f{}/n{n}.md", n % 30)
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("vault")
    }

    fn git(&self, args: &[&str]) -> String {
        git(&self.root(), args)
    }

    /// Some 5 KB each.
    fn write(&self, n: usize, word: &str) {
        let (one, two) = ((n * 7) % Self::ALL, (n + 1) % Self::ALL);
        let links = format!("[[n{one}]] [[n{two}|{word} link]]");
        let text = format!("# Note {n}\n\n{word} number{n} {links}\n\n");
        let body = "tide and moon and shore ".repeat(200);
        self.place.write(&format!("vault/{}", Self::path(n)), text + &body);
    }

    /// What the branch has, in words of few notes and in sums.
    fn assert_on(&self, branch: &str, server: &Server) {
        let (main, other) = (usize::from(branch == "main"), usize::from(branch == "other"));
        let changed = Self::CHANGED.len() + Self::NEW.len();
        for (word, total) in [
            ("number7", 1),
            ("number920", main),
            ("number1222", other),
            ("barnacle", changed * other),
            ("number", Self::ALL),
        ] {
            assert_eq!(search(server, word)["total"], total, "{word} on {branch}");
        }
        // One went for each that came.
        assert_eq!(status(server)["documents"], Self::ALL);
    }

    fn assert_as_fresh(&self) {
        // Required: without the sign, parts of names count, and all notes have those.
        let words = ["+number7", "+number905", "+number920", "+number1100", "+number1222"];
        let expected = Answers::of_fresh(&self.root(), &words);
        Answers::of_data(&self.place.data(), &words).assert_same(&expected);
    }
}

#[test]
fn a_branch_of_a_thousand_changed_files_is_followed() {
    let branches = Branches::new();
    branches.place.index(&branches.root());
    let server = branches.place.http(&[], &[]);
    fresh(&server);
    for (branch, word, notes) in [("other", "barnacle", 950), ("main", "periwinkle", 1_200)] {
        branches.git(&["checkout", "-q", branch]);
        let done = Instant::now();
        poll("the branch", CHECKOUT, || {
            let found = search(&server, word);
            (found["total"] == notes && found["fresh"] == true).then_some(())
        });
        eprintln!("on {branch} after {:?}", done.elapsed());
        branches.assert_on(branch, &server);
        let head = branches.git(&["rev-parse", "HEAD"]);
        poll("its name", PATIENCE, || {
            (status(&server)["sources"][0]["commit"] == head.as_str()).then_some(())
        });
        branches.assert_as_fresh();
    }
}

#[test]
fn the_status_never_names_a_commit_whose_files_still_wait() {
    let branches = Branches::new();
    branches.place.index(&branches.root());
    let server = branches.place.http(&[], &[]);
    fresh(&server);
    let head = branches.git(&["rev-parse", "other"]);
    std::thread::scope(|scope| {
        // In the order of a checkout, but slower: all files, and the name of the commit at last.
        scope.spawn(|| {
            for n in Branches::CHANGED {
                branches.write(n, "barnacle");
                if n % 100 == 99 {
                    std::thread::sleep(Duration::from_millis(60));
                }
            }
            branches.git(&["symbolic-ref", "-m", "checkout", "HEAD", "refs/heads/other"]);
        });
        poll("the commit", PATIENCE, || {
            let named = status(&server)["sources"][0]["commit"] == head.as_str();
            if named {
                let total = search(&server, "barnacle")["total"].clone();
                // And the note that the last one of them links to with this word.
                assert_eq!(total, Branches::CHANGED.len() + 1, "some files still wait");
            }
            named.then_some(())
        });
    });
}

#[test]
fn a_branch_that_changed_while_nobody_ran_is_there_when_fresh_is_said() {
    let branches = Branches::new();
    branches.place.index(&branches.root());
    for branch in ["other", "main"] {
        branches.git(&["checkout", "-q", branch]);
        let server = branches.place.http(&[], &[]);
        let first = poll("freshness", PATIENCE, || {
            let found = search(&server, "barnacle");
            (found["fresh"] == true).then_some(found)
        });
        assert_eq!(first["total"], if branch == "other" { 950 } else { 0 }, "{branch}");
        branches.assert_on(branch, &server);
        branches.assert_as_fresh();
    }
    // A command that finds no server looks at the disk before it answers.
    branches.git(&["checkout", "-q", "other"]);
    let found = branches.place.call("search", json!({"query": "+barnacle", "limit": 1}));
    assert_eq!((&found["total"], &found["fresh"]), (&json!(950), &json!(true)));
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize, usize),
    /// As most editors save: beside it, then renamed over it.
    Over(usize, usize, usize),
    Move((usize, usize), (usize, usize)),
    MoveFolder(usize, usize),
    /// A folder comes from elsewhere; perhaps something is written into it at once.
    In(usize, bool),
    Out(usize),
    Delete(usize, usize),
    Checkout(bool),
    Pause(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (folder, file, word) = (0..FOLDERS.len(), 0..FILES.len(), 0..WORDS.len() - 1);
    let place = (folder, file);
    let other = 0..OTHERS.len();
    prop_oneof![
        4 => (place.clone(), word.clone()).prop_map(|((a, b), word)| Step::Write(a, b, word)),
        3 => (place.clone(), word.clone()).prop_map(|((a, b), word)| Step::Over(a, b, word)),
        3 => (place.clone(), place.clone()).prop_map(|(from, to)| Step::Move(from, to)),
        2 => (other.clone(), other.clone()).prop_map(|(from, to)| Step::MoveFolder(from, to)),
        2 => (word, any::<bool>()).prop_map(|(word, late)| Step::In(word, late)),
        1 => other.prop_map(Step::Out),
        2 => place.prop_map(|(a, b)| Step::Delete(a, b)),
        1 => any::<bool>().prop_map(Step::Checkout),
        4 => (0u64..200).prop_map(Step::Pause),
    ]
}

fn text(word: &str, n: usize) -> String {
    let target = ["a", "b", "tide", "c"][n % 4];
    format!("# {word} note\n\n{word} [[{target}|{word} link]] [[missing]] #{word}\n")
}

/// A vault under git, and a folder beside it.
struct Desk {
    place: Place,
    /// Steps so far: every folder that comes or goes has a name of its own.
    n: usize,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { place: Place::new(), n: 0 };
        for (n, path) in Self::all().enumerate() {
            desk.place.write(&format!("vault/{path}"), text(WORDS[n % 4], n));
        }
        for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-qm", "one"]] {
            git(&desk.root(), args);
        }
        git(&desk.root(), &["checkout", "-qb", "other"]);
        for (n, path) in Self::all().enumerate().filter(|(n, _)| n % 2 == 0) {
            desk.place.write(&format!("vault/{path}"), text(WORDS[(n + 1) % 4], n));
        }
        std::fs::remove_file(desk.root().join("three/c.md")).expect("removed");
        desk.place.write("vault/four/x.md", text("alpha", 1));
        git(&desk.root(), &["add", "-A"]);
        git(&desk.root(), &["commit", "-qm", "two"]);
        std::fs::create_dir_all(desk.place.path().join("elsewhere")).expect("a folder");
        desk
    }

    fn all() -> impl Iterator<Item = String> {
        FOLDERS.iter().flat_map(|folder| FILES.iter().map(move |file| format!("{folder}{file}")))
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("vault")
    }

    /// Does it, where it can be done.
    fn take(&mut self, step: &Step) {
        self.n += 1;
        let (n, root) = (self.n, self.root());
        let file = |a: usize, b: usize| format!("{}{}", FOLDERS[a], FILES[b]);
        let elsewhere = |name: &str| self.place.path().join("elsewhere").join(name);
        match *step {
            Step::Write(a, b, word) => {
                self.place.write(&format!("vault/{}", file(a, b)), text(WORDS[word], n));
            }
            Step::Over(a, b, word) => {
                let path = root.join(file(a, b));
                let beside = format!("vault/{}.tmp", file(a, b));
                let beside = self.place.write(&beside, text(WORDS[word], n));
                std::fs::rename(beside, path).expect("renamed");
            }
            Step::Move((a, b), (c, d)) => rename(&root.join(file(a, b)), &root.join(file(c, d))),
            Step::MoveFolder(from, to) => {
                let (from, to) = (root.join(OTHERS[from]), root.join(OTHERS[to]));
                if !to.exists() && !to.starts_with(&from) {
                    rename(&from, &to);
                }
            }
            Step::In(word, late) => {
                let deep = format!("elsewhere/in{n}/deep/er/a{n}.md");
                self.place.write(&deep, text(WORDS[word], n));
                self.place.write(&format!("elsewhere/in{n}/b{n}.md"), text(WORDS[word], n));
                rename(&elsewhere(&format!("in{n}")), &root.join(format!("in{n}")));
                if late {
                    self.place.write(&format!("vault/in{n}/deep/er/late{n}.md"), "late\n");
                }
            }
            Step::Out(folder) => {
                rename(&root.join(OTHERS[folder]), &elsewhere(&format!("out{n}")));
            }
            Step::Delete(a, b) => {
                let _ = std::fs::remove_file(root.join(file(a, b)));
            }
            Step::Checkout(main) => {
                git(&root, &["checkout", "-qf", if main { "main" } else { "other" }]);
            }
            Step::Pause(ms) => std::thread::sleep(Duration::from_millis(ms)),
        }
    }
}

/// Renames what is there.
fn rename(from: &Path, to: &Path) {
    if from.exists() && from != to {
        std::fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        std::fs::rename(from, to).expect("renamed");
    }
}

proptest! {
    // A case takes seconds: what fails is shown nearly as it was found.
    #![proptest_config(Config { max_shrink_iters: 20, ..cases(4) })]

    #[test]
    fn after_any_steps_a_served_vault_is_indexed_as_a_fresh_one(
        steps in proptest::collection::vec(step(), 5..25),
    ) {
        let mut desk = Desk::new();
        desk.place.index(&desk.root());
        let server = desk.place.http(&[], &[]);
        fresh(&server);
        steps.iter().for_each(|step| desk.take(step));
        settled(&desk.place, &server);
        let expected = Answers::of_fresh(&desk.root(), WORDS);
        Answers::of_data(&desk.place.data(), WORDS).assert_same(&expected);
        let errors = status(&server)["sources"][0]["errors"].clone();
        prop_assert_eq!(errors, json!([]));
    }

    #[test]
    fn after_any_steps_while_nobody_ran_the_first_word_of_fresh_is_true(
        steps in proptest::collection::vec(step(), 5..25),
    ) {
        let mut desk = Desk::new();
        desk.place.index(&desk.root());
        let done = steps.iter().filter(|step| !matches!(step, Step::Pause(_)));
        done.for_each(|step| desk.take(step));
        let server = desk.place.http(&[], &[]);
        fresh(&server);
        let found = Answers::of_data(&desk.place.data(), WORDS);
        found.assert_same(&Answers::of_fresh(&desk.root(), WORDS));
    }
}

#[test]
fn a_name_that_notes_only_pass_through_does_not_stay() {
    let place = Place::new();
    let vault = place.path().join("vault");
    for name in ["a", "b", "c"] {
        place.write(&format!("vault/{name}.md"), format!("{name}word\n"));
    }
    place.index(&vault);
    let server = place.http(&[], &[]);
    fresh(&server);
    // One is saved as most editors save, and moved; one takes another's name, and moves on.
    place.write("vault/a.md.tmp", "walrus\n");
    for (from, to) in
        [("a.md.tmp", "a.md"), ("a.md", "archive.md"), ("b.md", "c.md"), ("c.md", "d.md")]
    {
        std::fs::rename(vault.join(from), vault.join(to)).expect("renamed");
    }
    settled(&place, &server);
    let words = ["aword", "bword", "cword", "walrus"];
    Answers::of_data(&place.data(), &words).assert_same(&Answers::of_fresh(&vault, &words));
    assert_eq!(status(&server)["documents"], 3, "`archive.md`, `d.md`, and `last.md`");
}

/// Two pairs of names that loose comparison takes for one, where the file system keeps both.
const TWINS: [(&str, &str); 4] = [
    ("A.md", "upperword"),
    ("a.md", "lowerword"),
    ("\u{e9}.md", "composedword"),
    ("e\u{301}.md", "decomposedword"),
];

fn twins() -> Option<Place> {
    let place = Place::new();
    for (name, word) in TWINS {
        place.write(&format!("vault/{name}"), format!("# {word}\n\n{word}\n"));
    }
    let n = std::fs::read_dir(place.path().join("vault")).expect("a folder").count();
    (n == TWINS.len()).then_some(place)
}

#[test]
fn names_equal_up_to_case_or_form_are_different_notes() {
    let Some(place) = twins() else { return };
    let vault = place.path().join("vault");
    let written = "[x](A.md) [x](a.md) [x](\u{e9}.md) [x](e\u{301}.md)\n";
    place.write("vault/links.md", written);
    place.index(&vault);
    let server = place.http(&[], &[]);
    fresh(&server);
    for (name, word) in TWINS {
        assert_eq!(paths(&search(&server, word)), [name]);
        let read = place.call("read", json!({ "path": name }));
        assert!(read["text"].to_string().contains(word), "{name}: {read}");
        let related = place.call("related", json!({ "path": name }));
        assert!(related["relations"].to_string().contains("links.md"), "{name}: {related}");
    }
    // One takes the name of the other, another changes nothing but its case.
    let swap = [("A.md", "x.md"), ("a.md", "A.md"), ("x.md", "a.md"), ("\u{e9}.md", "E\u{301}.md")];
    for (from, to) in swap {
        std::fs::rename(vault.join(from), vault.join(to)).expect("renamed");
    }
    settled(&place, &server);
    for (word, path) in [
        ("upperword", "a.md"),
        ("lowerword", "A.md"),
        ("composedword", "E\u{301}.md"),
        ("decomposedword", "e\u{301}.md"),
    ] {
        assert_eq!(paths(&search(&server, word)), [path]);
    }
    let words: Vec<&str> = TWINS.iter().map(|(_, word)| *word).collect();
    Answers::of_data(&place.data(), &words).assert_same(&Answers::of_fresh(&vault, &words));
}

#[test]
fn a_wiki_link_goes_to_the_note_of_exactly_that_name() {
    let Some(place) = twins() else { return };
    place.write("vault/links.md", "[[A]] [[a]] [[\u{e9}]] [[e\u{301}]]\n");
    place.index(&place.path().join("vault"));
    let related = place.call("related", json!({"path": "links.md"}));
    let rows = related["relations"]["links"].as_array().expect("links");
    let mut found: Vec<&str> = rows.iter().filter_map(|row| row["path"].as_str()).collect();
    found.sort_unstable();
    let mut wanted = TWINS.map(|(name, _)| name);
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[cfg(unix)]
#[test]
fn links_in_circles_hold_up_nothing() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let real = place.path().join("real");
    place.write("real/a.md", "# A\n\nwalrus [[b]]\n");
    place.write("real/sub/b.md", "crab\n");
    for (to, at) in [
        (".", "self"),
        ("../..", "sub/up"),
        ("two.md", "one.md"),
        ("one.md", "two.md"),
        ("there", "here"),
        ("here", "there"),
        ("alone.md", "alone.md"),
    ] {
        symlink(to, real.join(at)).expect("a link");
    }
    // The root is a link itself.
    let vault = place.path().join("vault");
    symlink("real", &vault).expect("a link");
    place.index(&vault);
    let server = place.http(&[], &[]);
    fresh(&server);
    assert_eq!(status(&server)["documents"], 2);
    assert_eq!(paths(&search(&server, "crab")), ["sub/b.md"]);
    // Written through the root's link, and through a folder that leads to itself.
    place.write("vault/c.md", "limpet\n");
    place.write("real/self/self/d.md", "whelk\n");
    symlink("..", real.join("sub/again")).expect("a link");
    settled(&place, &server);
    assert_eq!(paths(&search(&server, "limpet")), ["c.md"]);
    assert_eq!(paths(&search(&server, "whelk")), ["d.md"]);
    assert_eq!(status(&server)["documents"], 5, "the last one is `last.md`");
    let words = ["walrus", "crab", "limpet", "whelk"];
    Answers::of_data(&place.data(), &words).assert_same(&Answers::of_fresh(&vault, &words));
    drop(server);
    let round = place.path().join("round");
    symlink("round", &round).expect("a link");
    let (code, _, why) = place.outcome(&["index", &round.display().to_string()]);
    assert_eq!(code, 1, "{why}");
    assert!(why.contains(&*round.to_string_lossy()) && why.contains("symbolic links"), "{why}");
    let (code, said, why) = place.outcome(&["doctor"]);
    assert_eq!(code, 0, "{said}{why}");
}
