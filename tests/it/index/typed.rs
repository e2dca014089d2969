//! What people type beside words: filters alone, several filters, other wordings, slips.

use super::{ALL, Engine, Place, args, search, set_day};
use std::collections::BTreeSet;
use synod_index::{Detail, Filters, SearchArgs};

fn place() -> Engine {
    let place = Place::new();
    place.write("sea/tide.md", "---\ntags: [sea]\n---\n# Tide\n\nThe tide comes in.\n");
    place.write("sea/moon.md", "---\ntags: [sea, sky]\n---\n# Moon\n\nThe moon pulls.\n");
    place.write("land/hill.md", "# Hill\n\nA hill above the tide.\n");
    place.write("land/tide.rs", "fn tide() {}\n");
    place.write("land/tide.py", "def tide(): pass\n");
    for (day, path) in
        ["sea/tide.md", "sea/moon.md", "land/hill.md", "land/tide.rs"].into_iter().enumerate()
    {
        set_day(&place.root().join(path), day as u64 + 1);
    }
    set_day(&place.root().join("land/tide.py"), 9);
    let engine = place.scanned();
    // The index keeps the files open by name only: the folder must outlive the engine.
    std::mem::forget(place);
    engine
}

fn set(paths: &[String]) -> BTreeSet<&str> {
    paths.iter().map(String::as_str).collect()
}

#[test]
fn filters_alone_list_what_they_let_through_newest_first() {
    let engine = place();
    assert_eq!(engine.paths("tag:sea"), ["sea/moon.md", "sea/tide.md"]);
    assert_eq!(engine.paths("path:land/"), ["land/tide.py", "land/tide.rs", "land/hill.md"]);
    assert_eq!(engine.paths("kind:rust"), ["land/tide.rs"]);
    assert_eq!(engine.paths("before:2026-01-03"), ["sea/tide.md"]);
    assert_eq!(engine.paths("tag:sea -moon"), ["sea/tide.md"]);
    assert_eq!(engine.paths("-path:land/"), ["sea/moon.md", "sea/tide.md"]);
    let found = engine.search("tag:sea");
    assert_eq!((found.total, found.notes.len()), (2, 0));
    assert!(found.hits[0].snippet.contains("moon"), "a hit shows how it begins");
    let given = Filters { tags: vec!["sky".to_owned()], ..Filters::default() };
    let found = search(&engine.index, "", given);
    assert_eq!((found.total, found.notes.len()), (1, 0), "{found:?}");
    let page = SearchArgs { limit: 1, offset: 1, ..args("tag:sea") };
    let page = engine.index.search(&page).expect("a page");
    assert_eq!((page.hits[0].path.as_str(), page.total), ("sea/tide.md", 2));
    assert!(engine.search("").notes[0].contains("nothing to look for"));
}

#[test]
fn typed_filters_hold_together_and_with_those_of_the_call() {
    let engine = place();
    let given = Filters { path: Some("sea/".to_owned()), ..Filters::default() };
    let found = search(&engine.index, "tide path:land/", given);
    assert_eq!(found.total, 0, "a typed filter does not undo that of the call");
    assert_eq!(engine.paths("tide path:land/ path:.rs"), ["land/tide.rs"]);
    let two = engine.paths("tide kind:rust kind:python");
    assert_eq!(set(&two), BTreeSet::from(["land/tide.py", "land/tide.rs"]), "one kind is enough");
    assert_eq!(engine.paths("tag:sea tag:sky"), ["sea/moon.md"]);
    assert_eq!(engine.paths("tide source:VAULT kind:rust"), ["land/tide.rs"]);
    assert_eq!(
        engine.paths("kind:note after:2026-01-02 before:2026-01-05"),
        ["land/hill.md", "sea/moon.md", "sea/tide.md"]
    );
    assert_eq!(engine.search("after:2026-01 before:2027").total, 5);
}

#[test]
fn filters_of_which_one_is_enough_have_or_between_them() {
    let engine = place();
    let either = engine.search("tag:sky OR path:land/");
    let paths: Vec<&str> = either.hits.iter().map(|hit| hit.path.as_str()).collect();
    assert_eq!(paths, ["land/tide.py", "land/tide.rs", "land/hill.md", "sea/moon.md"]);
    assert!(either.notes.is_empty(), "{:?}", either.notes);
    assert_eq!(engine.paths("tide (tag:sky OR kind:rust) -path:sea/"), ["land/tide.rs"]);
    assert_eq!(engine.paths("tag:sky OR tag:sea OR kind:rust after:2026-01-05"), ["land/tide.rs"]);
    let found = engine.search("tag:sky OR hill");
    assert!(found.notes.iter().any(|note| note.contains("`OR` counts")), "{:?}", found.notes);
    assert_eq!(found.total, 0, "the filter holds");
    assert!(engine.search("hill OR moon").notes.is_empty(), "one of the words is enough anyway");
}

#[test]
fn what_stands_in_brackets_behind_a_minus_is_left_out() {
    let engine = place();
    let found = engine.search("-(tag:sky OR path:land/)");
    let paths: Vec<&str> = found.hits.iter().map(|hit| hit.path.as_str()).collect();
    assert_eq!((paths, found.notes.len()), (vec!["sea/tide.md"], 0), "{:?}", found.notes);
    let either = engine.paths("tide -(hill OR kind:rust)");
    assert_eq!(set(&either), BTreeSet::from(["land/tide.py", "sea/tide.md"]));
    assert_eq!(engine.paths("tag:sea -(\"moon pulls\")"), ["sea/tide.md"]);
    assert_eq!(engine.paths("(tag:sea -path:moon)"), ["sea/tide.md"]);
    let found = engine.search("tag:sea -(pulls tag:sky)");
    assert_eq!((found.total, found.hits[0].path.as_str()), (1, "sea/tide.md"));
    assert!(found.notes[0].contains("each of what stands"), "{:?}", found.notes);
    let found = engine.search("tide -(hill + moon)");
    assert!(found.notes[0].contains("searched as words"), "{:?}", found.notes);
    assert!(found.hits.iter().any(|hit| hit.path == "land/hill.md"), "{:?}", found.hits);
}

#[test]
fn a_files_name_is_a_filter_and_operators_that_are_none_are_said() {
    let engine = place();
    assert_eq!(engine.paths("file:TIDE kind:note"), ["sea/tide.md"]);
    assert_eq!(engine.paths("file:*.py"), ["land/tide.py"]);
    assert_eq!(engine.paths("file:land"), [""; 0], "a folder is none");
    let found = engine.search("line:(tide)");
    assert!(found.notes[0].contains("no filter `line:` here"), "{:?}", found.notes);
    assert!(!found.hits.is_empty());
    for words in ["task::tide", "file:///sea/tide"] {
        let found = engine.search(words);
        assert!(found.notes.is_empty() && !found.hits.is_empty(), "{words}: {:?}", found.notes);
    }
}

#[test]
fn a_filter_that_cannot_be_is_said() {
    let engine = place();
    let found = engine.search("tide source:nowhere");
    assert_eq!(found.total, 0);
    assert!(found.notes[0].contains("no source `nowhere`; there are vault"), "{found:?}");
    let found = engine.search("after:moon");
    assert!(found.notes[0].contains("not a date"), "{found:?}");
    assert_eq!(found.hits[0].path, "sea/moon.md", "only the value is searched");
}

#[test]
fn other_wordings_bring_their_phrases_and_say_what_they_cannot_bring() {
    let engine = place();
    let also = |other: &str| {
        let args = SearchArgs { also: vec![other.to_owned()], limit: ALL, ..args("hill") };
        engine.index.search(&args).expect("found")
    };
    let found = also("\"moon pulls\"");
    let paths: Vec<String> = found.hits.into_iter().map(|hit| hit.path).collect();
    assert_eq!(set(&paths), BTreeSet::from(["land/hill.md", "sea/moon.md"]));
    assert!(also("moon tag:sky").notes[0].contains("not in `also`"));
    assert!(also("-moon tide").notes[0].contains("not in `also`"));
}

#[test]
fn only_words_that_stand_nowhere_are_taken_for_slips() {
    let engine = place();
    // `comes` is there; the required word is not, but one like it is.
    let found = engine.search("comes +tidde");
    assert!(found.notes.iter().any(|note| note.contains(" as `tide`")), "{found:?}");
    assert!(found.notes.iter().all(|note| !note.contains("`come")), "{found:?}");
    assert_eq!(found.hits[0].path, "sea/tide.md", "the word that is there still counts");
    assert_eq!(engine.search("comes +zzzzzzzz").total, 0);
}

#[test]
fn slips_are_noticed_beside_notes_in_other_languages() {
    let place = Place::new();
    place.write("friend.md", "# Friends\n\nTrust and friendship grow together slowly.\n");
    let german = "Wir kaufen morgen auf dem Markt Brot, Butter, Käse und Freundschaftsbänder, \
                  weil die Kinder sie sich schon lange wünschen.\n";
    place.write("markt.md", format!("# Einkauf\n\n{german}"));
    let engine = place.scanned();
    for (slip, path) in [("frindship", "friend.md"), ("wunshen", "markt.md")] {
        let found = engine.search(slip);
        assert!(!found.hits.is_empty(), "{slip}: {:?}", found.notes);
        assert_eq!(found.hits[0].path, path, "{slip}");
        let said = found.notes.iter().any(|note| note.contains(&format!("`{slip}` as ")));
        assert!(said, "{slip}: {:?}", found.notes);
    }
}

#[test]
fn the_path_of_a_note_finds_it_before_what_speaks_of_it() {
    let place = Place::new();
    place.write("thoughts/trust.md", "# On relying\n\nIt takes years.\n");
    for n in 0..8 {
        let text =
            format!("# Trust {n}\n\nSee thoughts/trust.md, my thoughts on trust. Trust md.\n");
        place.write(&format!("thoughts/other{n}.md"), text);
    }
    let engine = place.scanned();
    for query in ["thoughts/trust.md", "trust.md", "[[thoughts/trust.md|so]]"] {
        assert_eq!(engine.paths(query)[0], "thoughts/trust.md", "{query}");
    }
}

#[test]
fn a_title_with_the_signs_that_were_typed_comes_before_its_twins() {
    let place = Place::new();
    let titles = ["C# notes", "C++ notes", "C notes"];
    for title in titles {
        place.write(&format!("{title}.md"), "About the language.\n");
    }
    let engine = place.scanned();
    for title in titles {
        for query in [title.to_owned(), title.to_lowercase(), format!("\"{title}\"")] {
            assert_eq!(engine.paths(&query)[0], format!("{title}.md"), "{query}");
        }
    }
}

#[test]
fn a_keyword_before_a_name_finds_its_definition() {
    let place = Place::new();
    place.write("router.rs", "/// Finds.\npub struct Router {\n    n: u32,\n}\n");
    place.write("inner.rs", "/// Puts one in the other.\npub fn nest(n: u32) -> u32 {\n    n\n}\n");
    let uses = "fn of(router: Router) -> Router { nest(router) }\n";
    for n in 0..6 {
        let said = "// struct Router, Router struct; fn nest, nest fn: nest\n";
        place.write(&format!("use{n}.rs"), format!("{said}{uses}"));
    }
    let engine = place.scanned();
    assert_eq!(engine.paths("struct Router")[0], "router.rs");
    assert_eq!(engine.paths("fn nest()")[0], "inner.rs");
}

#[test]
fn a_name_behind_a_point_finds_its_definition_and_a_file_the_file() {
    let place = Place::new();
    let defined =
        "class Router:\n    \"\"\"Finds.\"\"\"\n\n    def mount(self, path):\n        pass\n";
    place.write("routing.py", format!("import os\n\n{}{defined}", "x = os.sep\n".repeat(90)));
    place.write("short.rs", "pub fn py() -> u32 {\n    7\n}\n");
    for n in 0..6 {
        let said =
            "# Router.mount mounts; router mount, routing.py, routing py: mount of a router\n";
        place.write(&format!("use{n}.py"), format!("{said}app.router.mount('/')\n"));
    }
    let engine = place.scanned();
    for query in ["Router.mount", "Router#mount", "Router::mount", "Router.mount()"] {
        let hit = engine.search(query).hits.remove(0);
        assert_eq!(hit.path, "routing.py", "{query}");
        assert!(hit.lines.1 > 90, "{query}: {:?}", hit.lines);
    }
    assert_eq!(engine.paths("routing.py")[0], "routing.py", "`py` is not asked for");
}

#[test]
fn a_name_that_ends_as_files_do_asks_for_no_definition_of_its_ending() {
    let place = Place::new();
    let said =
        "# Servers\n\nWe run Node.js, e.g. here. Response.json: Response.json, response json.\n";
    place.write("note.md", said);
    place.write("short.rs", "pub fn js() -> u32 {\n    7\n}\n\npub fn g() {}\n");
    place.write("net.py", "class Response:\n    def json(self):\n        return self.text\n");
    let engine = place.scanned();
    for query in ["Node.js", "e.g."] {
        assert_eq!(engine.paths(query)[0], "note.md", "{query}");
    }
    assert_eq!(engine.paths("Response.json")[0], "net.py", "it stands in what is named");
}

#[test]
fn a_name_that_ends_as_hosts_do_asks_for_what_stands_in_what_it_names() {
    let place = Place::new();
    place.write("note.md", "# Hosts\n\nThe page is example.com, and report.pdf lies there.\n");
    place.write("short.rs", "pub fn com() -> u32 {\n    7\n}\n\npub fn pdf() {}\n");
    place.write("site.py", "def com():\n    return 1\n");
    place.write("net.py", "class Port:\n    def com(self):\n        return self.text\n");
    place.write("pair.md", "# Pairs\n\nWhat names.zip gives, names.zip gives in pairs.\n");
    place.write("iter.rs", "pub fn zip(a: &[u32], b: &[u32]) -> usize {\n    0\n}\n");
    let engine = place.scanned();
    for query in ["example.com", "report.pdf"] {
        assert_eq!(engine.paths(query)[0], "note.md", "{query}");
    }
    assert_eq!(engine.paths("site.com")[0], "site.py", "a file is called so");
    assert_eq!(engine.paths("Port.com")[0], "net.py", "it stands in one");
    assert_eq!(engine.paths("short::com")[0], "short.rs", "no host is written so");
    assert_eq!(engine.paths("names.zip")[0], "iter.rs", "methods are called so");
}

#[test]
fn a_message_that_is_pasted_finds_where_it_stands() {
    let place = Place::new();
    let filler = "// Some words of ordinary prose stand around it, as in any code.\n".repeat(30);
    let panics = "fn f() {\n    panic!(\"JoinHandle polled after the completion\");\n}\n";
    place.write("core.rs", format!("{filler}{panics}{filler}"));
    for n in 0..20 {
        let said = "// completion: JoinHandle is polled; polled JoinHandle, completion after.\n";
        place.write(&format!("other{n:02}.rs"), said.repeat(2));
    }
    let often = "fn g() {\n    todo(\"the gate is closed by nobody\");\n}\n";
    for n in 0..20 {
        place.write(&format!("often{n:02}.rs"), format!("{filler}{often}"));
    }
    place.write("gate.rs", "// gate closed nobody, gate closed nobody\n");
    let engine = place.scanned();
    for query in
        ["JoinHandle polled after the completion", "JoinHandle POLLED after the completion"]
    {
        let hit = engine.search(query).hits.remove(0);
        assert_eq!(hit.path, "core.rs", "{query}");
        assert!(hit.snippet.contains("panic!"), "{hit:?}");
    }
    assert_eq!(engine.paths("the gate is closed by nobody")[0], "gate.rs", "a turn of phrase");
}

#[test]
fn a_name_is_found_in_what_it_is_qualified_by_before_what_speaks_of_it() {
    let place = Place::new();
    let method = |outer: &str, said: &str| {
        let body = "    pub fn notified(&self) -> u32 {\n        self.n\n    }\n";
        format!("pub struct {outer};\n\nimpl<T> {outer}<T> {{\n    /// {said}\n{body}}}\n")
    };
    place.write("a/notify.rs", method("Notify", &"Waits for one who tells it so. ".repeat(9)));
    for (n, outer) in ["Watch", "LocalNotify", "Gate", "Notified", "Pool"].into_iter().enumerate() {
        let said = "As [`Notify::notified`], see Notify::notified: Notify::notified.";
        place.write(&format!("b/other{n}.rs"), method(outer, said));
    }
    place.write("task/spawn.rs", "/// Begins a run.\npub fn begin() -> u32 {\n    3\n}\n");
    for n in 0..6 {
        let said = "/// As task::begin, task::begin, task::begin.\n";
        place.write(&format!("b/run{n}.rs"), format!("{said}pub fn begin() {{}}\n"));
    }
    let engine = place.scanned();
    for query in
        ["Notify::notified", "notify.notified()", "fn Notify::notified", "x::Notify::notified"]
    {
        assert_eq!(engine.paths(query)[0], "a/notify.rs", "{query}");
    }
    assert_eq!(engine.paths("Gate#notified")[0], "b/other2.rs");
    assert_eq!(engine.paths("task::begin")[0], "task/spawn.rs");
}

#[test]
fn a_hit_in_code_names_the_definition_that_its_words_stand_in() {
    let place = Place::new();
    let function = |name: &str, body: &str| format!("def {name}(d):\n    return {body}\n\n\n");
    let all = function("popitem", "d.tail") + &function("poplist", "d.walrus + d.ebb");
    place.write("multi.py", format!("import heron\n\n\n{all}"));
    let engine = place.scanned();
    let symbol = |query: &str| engine.search(query).hits.remove(0).symbol;
    for query in ["poplist", "popList", "walrus", "\"d.walrus + d.ebb\""] {
        assert_eq!(symbol(query).as_deref(), Some("poplist"), "{query}");
    }
    assert_eq!(symbol("tail").as_deref(), Some("popitem"));
    assert_eq!(symbol("heron"), None, "it stands in none");
}

#[test]
fn a_place_as_it_is_printed_is_found_first() {
    let place = Place::new();
    let functions = |name: &str, n: usize| {
        let function = |at| format!("fn {name}{at}() {{\n    run(harness, 193, 13)\n}}\n\n");
        (0..n).map(function).collect::<String>()
    };
    place.write("src/task/harness.rs", functions("poll", 90));
    place.write("src/other/harness.rs", functions("wait", 90));
    place.write("src/routing.py", "def url_path_for(name):\n    return name\n\n\n".repeat(30));
    for n in 0..5 {
        place.write(&format!("src/m{n}/mod.rs"), functions("go", 9));
        let said = "src/task/harness.rs:193:13, src task harness rs 193 13, routing py line 61\n";
        place.write(&format!("notes/{n}.md"), said.repeat(3));
    }
    let engine = place.scanned();
    let first = |query: &str| {
        let hit = engine.search(query).hits.remove(0);
        let shown = hit.snippet.lines().count() as u32;
        (hit.path, hit.snippet_line..hit.snippet_line + shown, hit.symbol)
    };
    for query in [
        "task/harness.rs:193",
        "src/task/harness.rs:193:13",
        "at poll (/x/tokio/src/task/harness.rs:193:13)",
        "  --> ./src/task/harness.rs:193:13",
    ] {
        let (path, lines, symbol) = first(query);
        assert_eq!(path, "src/task/harness.rs", "{query}");
        assert!(lines.contains(&193), "{query}: {lines:?}");
        assert_eq!(symbol.as_deref(), Some("poll48"), "{query}");
    }
    let (path, lines, _) = first("File \"/usr/lib/x/routing.py\", line 61, in url_path_for");
    assert!(path == "src/routing.py" && lines.contains(&61), "{path} {lines:?}");
    let both = engine.paths("harness.rs:193");
    assert_eq!(both[..2], ["src/other/harness.rs", "src/task/harness.rs"], "both may be meant");
    let filtered = engine.paths("harness.rs:193 path:src/task/");
    assert_eq!(filtered, ["src/task/harness.rs"]);
    let score = |query: &str| engine.search(query).hits.remove(0).score;
    assert!(score("task/harness.rs:7") > 10.0 && score("mod.rs:7") < 10.0, "of many none is meant");
}

#[test]
fn a_definition_is_shown_with_the_line_that_declares_it() {
    let place = Place::new();
    let said = |n: usize| "    /// num_args, num args: how many of num_args there are.\n".repeat(n);
    let method =
        |n| format!("{}    pub fn num_args(mut self) -> Self {{\n        self\n    }}\n", said(n));
    for (name, n) in [("short", 1), ("long", 13), ("longer", 40)] {
        place.write(&format!("{name}.rs"), format!("impl Arg {{\n{}}}\n", method(n)));
    }
    let engine = place.scanned();
    for detail in [Detail::Passage, Detail::Line] {
        let found = engine.index.search(&SearchArgs { detail, ..args("num_args") }).expect("found");
        assert_eq!(found.hits.len(), 3);
        for hit in found.hits {
            assert!(hit.snippet.contains("pub fn num_args("), "{}: {}", hit.path, hit.snippet);
            assert_eq!(hit.symbol.as_deref(), Some("num_args"), "{}", hit.path);
        }
    }
}

#[test]
fn a_part_of_a_path_finds_what_is_there() {
    let place = Place::new();
    place.write("src/runtime/task/harness.rs", "pub struct Poll;\n");
    for n in 0..9 {
        let said = "# Notes\n\nThe task/harness runs a task in a harness: task/harness.\n";
        place.write(&format!("notes/{n}.md"), said);
    }
    place.write("net/stack.md", "# Stack\n\nIt is called TCP/IP, TCP/IP.\n");
    place.write("net/ip/tcp.md", "# Other\n\nIP over TCP, TCP and IP.\n");
    let engine = place.scanned();
    assert_eq!(engine.paths("task/harness")[0], "src/runtime/task/harness.rs");
    assert_eq!(engine.paths("TCP/IP")[0], "net/stack.md", "no path holds it");
}

#[test]
fn the_line_that_alone_holds_the_words_comes_before_notes_of_one_of_them() {
    let place = Place::new();
    let shore = "We walked along the shore and wrote down what wind and water did all day long. ";
    let hour = |n: usize| match n {
        20 => format!("## Hour {n}\n\nThe hotel gave us room number 412.\n\n"),
        _ => format!("## Hour {n}\n\n{}\n\n", shore.repeat(10)),
    };
    place.write("diary.md", format!("# Diary\n\n{}", (0..40).map(hour).collect::<String>()));
    for (n, word) in ["hotel", "room", "number"].into_iter().cycle().take(12).enumerate() {
        let more = shore.repeat(3);
        let text = format!("# Note {n}\n\nOf a {word} by the harbour, the {n}. {more}\n");
        place.write(&format!("one{n}.md"), text);
    }
    for n in 0..40 {
        place.write(&format!("log/{n}.md"), format!("# Log {n}\n\n{shore}\n"));
    }
    let engine = place.scanned();
    let found = engine.search("hotel room number");
    assert_eq!((found.hits[0].path.as_str(), found.hits.len()), ("diary.md", 13));
    // A filter changes no score.
    let only = engine.search("hotel room number path:diary");
    assert_eq!(only.hits[0].score.to_bits(), found.hits[0].score.to_bits());
}
