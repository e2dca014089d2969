//! The repository held to its own rules: arrows between crates, sizes, names, budgets.
//!
//! Every exception is named. Invariant: a list of exceptions only shrinks; one that is no longer
//! needed fails the test as a new offence does.

use crate::program::{Place, root};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use synod_tools::TOOLS;

/// Folders that are built or fetched, not written.
const BUILT: &[&str] = &["target", "dist", ".git", "node_modules", "__pycache__", ".venv"];

/// Which of our crates a member may name. Engines know neither surfaces nor each other.
const ARROWS: &[(&str, &[&str])] = &[
    (
        ".",
        &[
            "synod-council",
            "synod-embed",
            "synod-guard",
            "synod-index",
            "synod-llm",
            "synod-prompts",
            "synod-resources",
            "synod-speckit",
            "synod-store",
            "synod-tools",
        ],
    ),
    ("index", &[]),
    ("prompts", &[]),
    ("resources", &["synod-index"]),
    ("store", &[]),
    ("embed", &[]),
    ("llm", &[]),
    ("council", &[]),
    ("guard", &[]),
    ("speckit", &[]),
    (
        "tools",
        &[
            "synod-council",
            "synod-guard",
            "synod-index",
            "synod-llm",
            "synod-speckit",
            "synod-store",
        ],
    ),
];

/// Where a foreign library may be named: a file, or a folder with `/` at its end.
const PLACES: &[(&str, &[&str])] = &[
    // The benchmark's bare server and bare index are what ours are compared with.
    (
        "rmcp",
        &[
            "src/mcp.rs",
            "src/progress.rs",
            "src/task.rs",
            "src/unfit.rs",
            "src/http.rs",
            "src/stdio.rs",
            "src/sse.rs",
            "tests/fixture/",
            "tests/bench/",
        ],
    ),
    (
        "axum",
        &[
            "src/entrance.rs",
            "src/http.rs",
            "src/rest.rs",
            "src/sse.rs",
            "src/stream.rs",
            "src/socket.rs",
            "src/page.rs",
            "src/mcp.rs",
            "tests/fixture/",
            "tests/bench/",
        ],
    ),
    (
        "tantivy",
        &[
            "index/src/lexical.rs",
            "index/src/segment.rs",
            "index/src/view.rs",
            "index/src/view/",
            "index/src/score.rs",
            "index/src/error.rs",
            "index/src/token.rs",
            "tests/bench/",
        ],
    ),
    ("ring", &["src/webhook.rs", "src/fetch.rs", "llm/src/wire.rs", "tests/bench/"]),
    ("reqwest", &["src/fetch.rs", "llm/src/wire.rs", "tests/bench/"]),
    ("rusqlite", &["index/src/", "store/src/"]),
    ("clap", &["src/cli.rs", "src/doc.rs", "src/command.rs", "src/command/"]),
];

/// Longest function, in lines.
const FUNCTION_LINES_MAX: usize = 70;
/// Functions that are longer, as `file: name`.
const LONG_FUNCTIONS: &[&str] = &[];

/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 700;
/// Files that are longer.
const LONG_FILES: &[&str] = &["index/src/read.rs", "index/src/update.rs"];

/// Longest line, in characters.
const COLUMNS_MAX: usize = 100;
/// Files with longer lines, and how many.
const LONG_LINES: &[(&str, usize)] = &[
    ("index/src/kind/code/tests.rs", 1),
    ("src/command/admin.rs", 1),
    ("src/config.rs", 8),
    ("src/config/council.rs", 8),
    ("src/doc.rs", 4),
    ("src/http.rs", 1),
    ("src/openapi.rs", 2),
    ("src/page.rs", 1),
    ("tests/fixture/change.rs", 2),
    ("tests/fixture/content.rs", 3),
    ("tests/fixture/handler.rs", 3),
    ("tests/fixture/main.rs", 1),
    ("tests/fixture/prompt.rs", 3),
    ("tests/fixture/resource.rs", 2),
    ("tests/fixture/round_trip.rs", 3),
    ("tests/fixture/seal.rs", 1),
    ("tests/fixture/session.rs", 7),
    ("tests/fixture/task.rs", 2),
    ("tests/fixture/tool.rs", 1),
];

/// Persons and folders of examples, which name no machine.
const EXAMPLE_PLACES: &[&str] = &["/home/u/", "/home/u\"", "/home/ada/"];

/// Whole listing with output schemas and annotations, in o200k tokens.
const LISTING_TOKENS_MAX: usize = 8_000;
/// Name, description and input schema of all tools, in o200k tokens.
const TOOLS_TOKENS_MAX: usize = 4_000;
/// The same of the context group.
const CONTEXT_TOKENS_MAX: usize = 2_000;
/// The context group of DESIGN 3.1.
const CONTEXT_GROUP: &[&str] =
    &["context_pack", "index_status", "ingest", "read", "related", "search"];
/// A description, or the server's instructions, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 2_048;
/// A tool's name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Every file of the repository below a folder, as a path with `/`.
fn files(below: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a folder").map(|e| e.expect("an entry")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() && !BUILT.contains(&name.as_str()) {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let path = path.strip_prefix(root()).expect("below the root");
                out.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    out.sort();
    out
}

fn text(path: &str) -> String {
    let full = root().join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn sources() -> Vec<(String, String)> {
    let rust = files("").into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| (path.clone(), text(&path))).collect()
}

/// Whether a file holds tests only.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.rsplit('/').next().is_some_and(|name| name.ends_with("tests.rs"))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Production lines with their numbers: without items under `#[cfg(test)]`.
fn production(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            out.push((at + 1, line));
            continue;
        }
        let depth = indent(line);
        for (_, line) in lines.by_ref() {
            let item = indent(line) == depth && !line.trim_start().starts_with('#');
            if item && (line.ends_with(';') || line.ends_with('}')) {
                break;
            }
        }
    }
    out
}

/// Compares what was found with the list of exceptions, both ways.
fn compare<T: Ord + std::fmt::Debug + Clone>(rule: &str, found: &[T], exceptions: &[T]) {
    let found: BTreeSet<&T> = found.iter().collect();
    let named: BTreeSet<&T> = exceptions.iter().collect();
    let new: Vec<_> = found.difference(&named).collect();
    let gone: Vec<_> = named.difference(&found).collect();
    assert!(new.is_empty(), "{rule}: {new:#?}");
    assert!(gone.is_empty(), "{rule}: take these off the list of exceptions: {gone:#?}");
}

fn manifest(folder: &str) -> toml::Table {
    let path = if folder == "." { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
    text(&path).parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names in the dependency tables of a member, with whether each is the workspace's.
fn dependencies(folder: &str) -> Vec<(String, bool)> {
    let manifest = manifest(folder);
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables.into_iter().filter_map(|name| manifest.get(name)?.as_table());
    let of_workspace = |value: &toml::Value| {
        value.get("workspace").and_then(toml::Value::as_bool).unwrap_or(false)
    };
    tables.flatten().map(|(name, value)| (name.clone(), of_workspace(value))).collect()
}

#[test]
fn crates_name_only_what_the_map_allows() {
    let members = manifest(".")["workspace"]["members"].clone();
    let members: Vec<&str> =
        members.as_array().expect("members").iter().filter_map(toml::Value::as_str).collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(member, _)| *member).collect();
    assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), known, "members and arrows differ");
    for (member, wanted) in ARROWS {
        let mut found: Vec<String> = Vec::new();
        for (name, of_workspace) in dependencies(member) {
            assert!(of_workspace, "{member}: `{name}` is not taken from the workspace");
            if name.starts_with("synod") {
                found.push(name);
            }
        }
        found.sort();
        assert_eq!(found, *wanted, "{member} knows other crates than the map says");
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let text = text("Cargo.toml");
    let start = text.find("[workspace.dependencies]").expect("the table");
    let body = &text[start..];
    let end = body[1..].find("\n[").map_or(body.len(), |at| at + 1);
    let (mut explained, mut bare) = (false, Vec::new());
    for line in body[..end].lines().skip(1) {
        match line.trim() {
            "" => explained = false,
            line if line.starts_with('#') => explained = line.len() > 2,
            line if !explained => bare.push(line.to_owned()),
            _ => {}
        }
    }
    assert!(bare.is_empty(), "no comment above them: {bare:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! ") || text.starts_with("//! (being written)"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top: {silent:#?}");
}

/// `name` and number of lines of every function among `lines`.
fn functions<'a>(lines: &[(usize, &'a str)]) -> Vec<(&'a str, usize)> {
    let mut out = Vec::new();
    for (at, (_, line)) in lines.iter().enumerate() {
        let words = line.split_whitespace();
        let mut words = words.skip_while(|word| {
            word.starts_with("pub")
                || matches!(*word, "const" | "async" | "unsafe")
                || *word == "in"
                || word.ends_with(')') && word.starts_with("crate")
        });
        if words.next() != Some("fn") {
            continue;
        }
        let name = words.next().unwrap_or_default();
        let name = name.split(['(', '<']).next().unwrap_or(name);
        let rest = &lines[at..];
        let head = rest.iter().position(|(_, line)| line.ends_with(['{', '}', ';']));
        let Some(head) = head.filter(|head| rest[*head].1.ends_with('{')) else { continue };
        let close = format!("{}}}", " ".repeat(indent(line)));
        let length = rest[head..].iter().position(|(_, line)| *line == close);
        out.push((name, head + length.unwrap_or(rest.len() - head) + 1));
    }
    out
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    let mut seen = 0;
    for (path, text) in sources() {
        let lines: Vec<(usize, &str)> = text.lines().enumerate().collect();
        for (name, length) in functions(&lines) {
            seen += 1;
            if length > FUNCTION_LINES_MAX {
                long.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(seen > 500, "only {seen} functions were found: the search is broken");
    let named: Vec<String> = LONG_FUNCTIONS.iter().map(|s| (*s).to_owned()).collect();
    compare("functions over 70 lines", &long, &named);
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        if !is_test(&path) && production(&text).len() > FILE_LINES_MAX {
            long.push(path);
        }
    }
    let named: Vec<String> = LONG_FILES.iter().map(|s| (*s).to_owned()).collect();
    compare("files over 700 lines", &long, &named);
}

#[test]
fn lines_are_short() {
    let mut long: Vec<(String, usize)> = Vec::new();
    for (path, text) in sources() {
        let n = text.lines().filter(|line| line.chars().count() > COLUMNS_MAX).count();
        if n > 0 {
            long.push((path, n));
        }
    }
    let named: Vec<_> = LONG_LINES.iter().map(|(path, n)| ((*path).to_owned(), *n)).collect();
    compare("files with lines over 100 columns, and how many", &long, &named);
}

#[test]
fn production_code_neither_unwraps_nor_leaves_stubs() {
    let refused = [".unwrap()", "todo!(", "unimplemented!(", "dbg!("];
    let mut found = Vec::new();
    for (path, text) in sources() {
        // `.unwrap()` is at home in tests; stubs are nowhere.
        let test = is_test(&path);
        let all: Vec<(usize, &str)> = text.lines().enumerate().map(|(at, l)| (at + 1, l)).collect();
        let production = if test { Vec::new() } else { production(&text) };
        for (at, word) in refused.iter().enumerate() {
            let lines = if at == 0 { &production } else { &all };
            for (number, line) in lines.iter().filter(|(_, line)| code(line).contains(word)) {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    found.retain(|line| !line.starts_with("tests/it/tidy.rs"));
    assert!(found.is_empty(), "{found:#?}");
}

/// Where a process is ended: each ends only what it has started itself.
const ENDS: &[(&str, &str)] = &[
    ("index/src/history.rs", "let _ = child.kill();"),
    ("speckit/src/run.rs", "kill_group(&mut child);"),
    ("speckit/src/run.rs", "kill_group(child);"),
    ("speckit/src/run.rs", "fn kill_group(child: &mut Child) {"),
    ("speckit/src/run.rs", "let mut kill = Command::new(\"/bin/kill\");"),
    (
        "speckit/src/run.rs",
        "shell.args([\"-c\", &format!(\"kill -KILL -- {group}\")]).stdin(Stdio::null());",
    ),
    ("speckit/src/run.rs", "let _ = child.kill();"),
    ("src/extract.rs", "let _ = child.kill();"),
];
/// What sends a signal, in whatever library, or has another program send one.
const SIGNALS: &[&str] = &[
    "kill(",
    "kill_process",
    "kill_group",
    "killpg",
    "pidfd_send",
    "tgkill",
    "kill -",
    "/kill",
    "pkill",
    "taskkill",
];

#[test]
fn no_other_process_is_sent_a_signal() {
    let mut found = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        for (_, line) in production(text) {
            if SIGNALS.iter().any(|word| code(line).contains(word)) {
                found.push((path.clone(), line.trim().to_owned()));
            }
        }
    }
    let named: Vec<_> =
        ENDS.iter().map(|(path, line)| ((*path).to_owned(), (*line).to_owned())).collect();
    compare("ends of processes that are not looked at", &found, &named);
}

/// What every Linux has that runs programs which were not built for it alone.
const LIBRARIES: &[&str] =
    &["libc.", "libm.", "libgcc_s.", "libpthread.", "libdl.", "librt.", "ld-linux", "ld-musl"];

#[test]
#[cfg(target_os = "linux")]
fn the_program_needs_nothing_but_the_c_library() {
    let mut readelf = std::process::Command::new("readelf");
    readelf.arg("-d").arg(env!("CARGO_BIN_EXE_synod"));
    let (code, said, why) = crate::program::outcome(readelf);
    assert_eq!(code, 0, "{why}");
    let needed = said.lines().filter(|line| line.contains("(NEEDED)"));
    let mut others: Vec<&str> = needed.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    others.retain(|name| !LIBRARIES.iter().any(|known| name.starts_with(known)));
    assert!(others.is_empty(), "it does not start where these are not installed: {others:?}");
}

/// A line without its comment.
fn code(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Whether code names a library: `name::` or `use name`, as a whole word.
fn names(line: &str, library: &str) -> bool {
    code(line).match_indices(library).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + library.len()..];
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || "_-\"/.`".contains(c));
        let used = after.starts_with("::") || after.starts_with(';') || after.starts_with(" as ");
        whole && used
    })
}

#[test]
fn foreign_libraries_are_named_where_they_belong() {
    let sources = sources();
    for (library, places) in PLACES {
        let mut wrong = Vec::new();
        let mut used = false;
        for (path, text) in &sources {
            // The samples at the end of this file are no uses.
            let here = path == "tests/it/tidy.rs"
                || places.iter().any(|p| path == p || p.ends_with('/') && path.starts_with(p));
            for (at, line) in text.lines().enumerate().filter(|(_, line)| names(line, library)) {
                used = true;
                if !here {
                    wrong.push(format!("{path}:{}: {}", at + 1, line.trim()));
                }
            }
        }
        assert!(used, "`{library}` is named nowhere: the search is broken, or its row is stale");
        assert!(wrong.is_empty(), "`{library}` stands outside its files: {wrong:#?}");
    }
}

#[test]
fn every_operation_is_in_the_table() {
    let table = text("tools/src/lib.rs");
    let mut found = 0;
    for path in files("tools/src") {
        let source = text(&path);
        let module = path.rsplit('/').next().and_then(|p| p.strip_suffix(".rs")).expect("a name");
        for line in source.lines().filter_map(|line| line.strip_prefix("impl Operation for ")) {
            let name = line.trim_end_matches(['{', ' ']);
            let row = format!("Entry::of::<{module}::{name}>()");
            assert!(table.contains(&row), "{path}: `{name}` is not in TOOLS");
            found += 1;
        }
    }
    assert_eq!(found, TOOLS.len(), "operations and rows of TOOLS differ in number");
}

/// What stands between backticks on one line, outside of fences.
fn quoted(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut out = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    out
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn spread(path: &str) -> Vec<String> {
    let Some((head, (body, tail))) =
        path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)))
    else {
        return vec![path.to_owned()];
    };
    body.split(',').flat_map(|part| spread(&format!("{head}{}{tail}", part.trim()))).collect()
}

/// Whether a quoted word is a path of this repository, not a person's or a URL's.
fn looks_ours(word: &str, tops: &BTreeSet<String>) -> bool {
    let shaped = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./*{},#".contains(c));
    if word.is_empty() || !shaped || word.starts_with('/') || word.starts_with("..") {
        return false;
    }
    match word.split_once('/') {
        Some((top, _)) => tops.contains(top),
        None => {
            let document = word.strip_suffix(".md").is_some_and(|stem| {
                !stem.is_empty() && stem.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            });
            document
                || word.ends_with(".rs")
                || matches!(word, "Cargo.toml" | "deny.toml")
                || word.ends_with(".example")
        }
    }
}

#[test]
fn documents_name_only_paths_that_exist() {
    let all = files("");
    let tops: BTreeSet<String> =
        all.iter().filter_map(|p| Some(p.split_once('/')?.0.to_owned())).collect();
    let mut wrong = Vec::new();
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = text(document);
        let words = quoted(&text);
        for path in words.iter().flat_map(|word| spread(word)) {
            if !looks_ours(&path, &tops) {
                continue;
            }
            let path = path.split('#').next().unwrap_or_default();
            let path = path.split_once('*').map_or(path, |(head, _)| head);
            let known = if path.contains('/') {
                all.iter().any(|p| p == path || p.starts_with(path))
            } else {
                all.iter().any(|p| p.rsplit('/').next() == Some(path))
            };
            if !known {
                wrong.push(format!("{document}: `{path}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "named and not there: {wrong:#?}");
}

#[test]
fn the_table_of_promises_names_tests_that_are_there() {
    let (mut n, mut wrong) = (0, Vec::new());
    for word in quoted(&text("docs/freshness.md")) {
        let Some((path, name)) = word.split_once(".rs::") else { continue };
        let name = name.rsplit("::").next().unwrap_or(name);
        let held = std::fs::read_to_string(root().join(format!("{path}.rs"))).unwrap_or_default();
        n += 1;
        if !held.contains(&format!("fn {name}(")) {
            wrong.push(word.clone());
        }
    }
    assert!(n > 300, "only {n} are named");
    assert!(wrong.is_empty(), "named and not there: {wrong:#?}");
}

#[test]
fn no_file_names_a_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut wrong = Vec::new();
    for path in files("") {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        if path == "tests/it/tidy.rs" {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let hits = places.iter().flat_map(|place| line.match_indices(place));
            let named = hits.filter(|(at, place)| {
                let before = line[..*at].chars().next_back();
                let person = line[at + place.len()..].starts_with(|c: char| c.is_alphanumeric());
                // `src/home/x` is a path of something else, `/home/<name>` a pattern.
                !before.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '~')
                    && (person || !place.contains("home"))
                    && !EXAMPLE_PLACES.iter().any(|known| line[*at..].starts_with(known))
            });
            wrong.extend(named.map(|_| format!("{path}:{}: {}", at + 1, line.trim())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_client_example_starts_this_program() {
    let example: Value = serde_json::from_str(&text("mcp.json.example")).expect("JSON");
    let server = &example["mcpServers"]["synod"];
    assert_eq!(server["command"], "synod");
    let args = server["args"].as_array().expect("arguments").iter().filter_map(Value::as_str);
    let line: Vec<&str> = std::iter::once("synod").chain(args).collect();
    let matches = synod::cli::command().try_get_matches_from(line).expect("a known command line");
    let (name, serve) = matches.subcommand().expect("a command");
    assert_eq!(name, "serve");
    assert!(serve.get_flag("stdio"), "the example does not serve on stdio");
}

fn tokens(text: &str) -> usize {
    bpe_openai::o200k_base().count(text)
}

#[test]
fn the_tool_list_keeps_its_budgets() {
    let place = Place::new();
    let mut client = place.stdio(&["--allow-write"]);
    let listed = client.request("tools/list", json!({}))["result"].clone();
    let tools = listed["tools"].as_array().expect("tools");
    assert_eq!(tools.len(), TOOLS.len(), "the listing leaves tools out");
    let mut all = 0;
    let mut context = 0;
    let mut each = Vec::new();
    for tool in tools {
        let shown = json!({
            "name": tool["name"], "description": tool["description"],
            "inputSchema": tool["inputSchema"],
        });
        let n = tokens(&shown.to_string());
        let name = tool["name"].as_str().expect("a name");
        each.push(format!("{name} {n}"));
        all += n;
        if CONTEXT_GROUP.contains(&name) {
            context += n;
        }
        let description = tool["description"].as_str().expect("a description");
        assert!(description.len() <= DESCRIPTION_BYTES_MAX, "{name}: {} bytes", description.len());
        assert!(name.chars().count() <= NAME_CHARS_MAX, "{name}");
        for key in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][key].is_boolean(), "{name} has no {key}");
        }
        assert!(tool["title"].is_string(), "{name} has no title");
    }
    let listing = tokens(&json!(tools).to_string());
    assert!(all <= TOOLS_TOKENS_MAX, "{all} tokens: {each:?}");
    assert!(context <= CONTEXT_TOKENS_MAX, "{context} tokens: {each:?}");
    assert!(listing <= LISTING_TOKENS_MAX, "{listing} tokens");
    let instructions = synod::mcp::INSTRUCTIONS.len();
    assert!(instructions <= DESCRIPTION_BYTES_MAX, "{instructions} bytes");
}

/// Names of a list that one answer carries.
fn listed(client: &mut crate::program::Client, method: &str, list: &str, key: &str) -> Vec<String> {
    let result = client.request(method, json!({}))["result"].clone();
    let items = result[list].as_array().unwrap_or_else(|| panic!("{method}: {result}"));
    items.iter().map(|item| item[key].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn lists_are_sorted() {
    let place = Place::new();
    place.write("vault/b.md", "# Second\n");
    place.write("vault/a.md", "# First\n");
    place.index(&place.path().join("vault"));
    let mut client = place.stdio(&["--allow-write"]);
    for (method, list, key) in [
        ("tools/list", "tools", "name"),
        ("prompts/list", "prompts", "name"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
        ("resources/list", "resources", "uri"),
    ] {
        let names = listed(&mut client, method, list, key);
        assert!(!names.is_empty(), "{method} lists nothing");
        // The status leads the documents.
        let rest = names.strip_prefix(&["synod://status".to_owned()]).unwrap_or(&names);
        assert!(rest.is_sorted(), "{method}: {names:?}");
        assert_eq!(names, listed(&mut client, method, list, key), "{method} changed");
    }
}

#[test]
fn schemas_are_portable() {
    let refused = ["$schema", "$ref", "$defs", "anyOf", "oneOf", "allOf"];
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in TOOLS {
        for schema in [(entry.input)(), (entry.output)()] {
            assert_eq!(schema["type"], "object", "{}", entry.name);
            let text = schema.to_string();
            let found = refused.iter().filter(|word| text.contains(&format!("\"{word}\":")));
            wrong.entry(entry.name).or_default().extend(found.map(|w| (*w).to_owned()));
            if text.contains("\"null\"") {
                wrong.entry(entry.name).or_default().push("null".to_owned());
            }
        }
    }
    wrong.retain(|_, words| !words.is_empty());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_reply_over_the_index_says_how_current_it_is() {
    for name in CONTEXT_GROUP.iter().chain(&["job"]) {
        let schema = synod_tools::find(name).map(|entry| (entry.output)()).expect("a tool");
        let required = schema["required"].as_array().expect("what every reply has");
        for key in ["generation", "pending", "fresh", "degraded"] {
            assert!(required.contains(&json!(key)), "{name} may leave `{key}` out");
            assert!(schema["properties"][key].is_object(), "{name}: {key}");
        }
    }
}

#[test]
fn the_rules_of_this_file_find_offences() {
    let tests = "#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
    let sample = format!("fn a() {{\n    b();\n}}\n\n{tests}fn d() {{\n}}\n");
    let lines = production(&sample);
    assert!(lines.iter().all(|(_, line)| !line.contains("fn c")));
    assert_eq!(functions(&lines), [("a", 3), ("d", 2)]);
    assert!(names("use rmcp::model;", "rmcp") && names("    rmcp::serve()", "rmcp"));
    assert!(!names("// rmcp::model", "rmcp") && !names("my_rmcp::x", "rmcp"));
    assert_eq!(spread("a/{b,c}.rs"), ["a/b.rs", "a/c.rs"]);
    assert!(Path::new(&root()).join("Cargo.toml").is_file());
}
