//! Defined names of a real code base: the name, its parts and its twins put a definition first.

use super::{Engine, args};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use synod_index::{Detail, Error, Hit, ReadArgs, SearchArgs};

/// Most names asked for; of more, every n-th.
const NAMES_MAX: usize = 2_500;
/// Misses printed per way of asking.
const MISSES_SHOWN: usize = 40;

/// Where an item stands: path, and the lines from its comments and attributes to its name.
type Items = BTreeSet<(String, (u32, u32))>;
/// By name: the items that it names.
type Defined = BTreeMap<String, Items>;

#[test]
fn names_parts_and_twins_put_a_definition_first() {
    let root = tokio();
    let data = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::open(data.path(), &root);
    engine.scan();
    let defined = defined_below(&root);
    let step = defined.len().div_ceil(NAMES_MAX).max(1);
    let names: Vec<&String> = defined.keys().step_by(step).collect();
    assert!(names.len() > 500, "{} names are too few to say a rate of", names.len());
    let several: Vec<&String> = names.iter().copied().filter(|n| parts(n).len() > 1).collect();
    let mut twins: BTreeMap<Vec<String>, Items> = BTreeMap::new();
    for (name, places) in &defined {
        twins.entry(parts(name)).or_default().extend(places.iter().cloned());
    }
    let whole = rate(&engine, "whole", &names, |name| vec![name.to_owned()], |name| &defined[name]);
    let of_parts = |name: &str| vec![parts(name).join(" ")];
    let split = rate(&engine, "parts", &several, of_parts, |name| &twins[&parts(name)]);
    let twin = rate(&engine, "twins", &several, twins_of, |name| &twins[&parts(name)]);
    assert!(whole >= 0.99, "whole names: {whole:.4}");
    assert!(split >= 0.95, "parts: {split:.4}");
    assert!(twin >= 0.95, "twins: {twin:.4}");
}

/// Share of the queries whose first hit defines the name; prints it with the misses.
#[expect(clippy::print_stdout, reason = "a measurement of the test, shown with --nocapture")]
fn rate<'d>(
    engine: &Engine,
    way: &str,
    names: &[&String],
    queries: impl Fn(&str) -> Vec<String>,
    places: impl Fn(&str) -> &'d Items,
) -> f64 {
    let (mut asked, mut misses) = (0, Vec::new());
    for name in names {
        for query in queries(name) {
            asked += 1;
            let ask = SearchArgs { limit: 1, detail: Detail::Names, ..args(&query) };
            let found = engine.index.search(&ask).expect("found");
            let defines = |hit: &Hit| {
                places(name).iter().any(|(path, (first, last))| {
                    *path == hit.path && hit.lines.0 <= *last && *first <= hit.lines.1
                })
            };
            if !found.hits.first().is_some_and(defines) {
                let first = found.hits.first().map(|h| format!("{}:{}", h.path, h.lines.0));
                let place = places(name).first().expect("a place");
                let symbol = ReadArgs { symbol: Some((*name).clone()), ..ReadArgs::default() };
                let read = engine.index.read(&symbol);
                let known =
                    if matches!(read, Err(Error::Missing { .. })) { ", unknown" } else { "" };
                misses.push(format!("{query} at {}:{}, got {first:?}{known}", place.0, place.1.1));
            }
        }
    }
    let rate = 1.0 - misses.len() as f64 / asked as f64;
    let unknown = misses.iter().filter(|miss| miss.ends_with("unknown")).count();
    println!(
        "{way}: {:.2} % of {asked} queries, {} misses, {unknown} of them of names that the engine \
         knows no definition of",
        100.0 * rate,
        misses.len()
    );
    for miss in misses.iter().take(MISSES_SHOWN) {
        println!("  {miss}");
    }
    rate
}

/// The newest tokio in the local registry: the workspace depends on it, so it is there.
fn tokio() -> PathBuf {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = cargo.or(home).expect("CARGO_HOME or HOME");
    let registries = std::fs::read_dir(cargo.join("registry/src")).expect("a registry");
    let mut found: Vec<(Vec<u32>, PathBuf)> = Vec::new();
    for registry in registries.flatten() {
        for entry in std::fs::read_dir(registry.path()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(version) = name.strip_prefix("tokio-1.") else { continue };
            let version = version.split('.').map_while(|part| part.parse().ok()).collect();
            found.push((version, entry.path()));
        }
    }
    found.sort();
    found.pop().expect("tokio, which this workspace depends on").1
}

fn defined_below(root: &Path) -> Defined {
    let mut out = Defined::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let relative = path.strip_prefix(root).expect("below").to_string_lossy();
                for (name, line) in definitions(&text) {
                    let lines = (opening(&text, line), line);
                    out.entry(name).or_default().insert((relative.replace('\\', "/"), lines));
                }
            }
        }
    }
    out
}

/// The first line of the comments and attributes that stand on an item whose name is in `line`.
fn opening(text: &str, line: u32) -> u32 {
    let above: Vec<&str> = text.lines().take(line as usize - 1).collect();
    let belongs = |line: &&&str| {
        let line = line.trim();
        let comment = ["//", "/*", "*"].iter().any(|mark| line.starts_with(mark));
        // A line of an attribute, perhaps one of several; no end of another item.
        comment || !(line.is_empty() || line.ends_with(['}', ';', '{']))
    };
    line - above.iter().rev().take_while(belongs).count() as u32
}

/// `fn NAME`, `struct NAME`, `enum NAME`, `trait NAME`, `macro_rules! NAME` with their lines,
/// outside comments and literals.
fn definitions(text: &str) -> Vec<(String, u32)> {
    let bare = without_comments_and_literals(text);
    let mut out = Vec::new();
    for (at, line) in bare.lines().enumerate() {
        let tokens = tokens(line);
        for (idx, token) in tokens.iter().enumerate() {
            let next = |n: usize| tokens.get(idx + n).copied().unwrap_or("");
            let name = match *token {
                "fn" | "struct" | "enum" | "trait" => next(1),
                "macro_rules" if next(1) == "!" => next(2),
                _ => continue,
            };
            let named = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
            let mine = idx == 0 || !matches!(tokens[idx - 1], "$" | ":");
            if named && mine && name.chars().any(char::is_alphanumeric) {
                out.push((name.to_owned(), at as u32 + 1));
            }
        }
    }
    out
}

/// Identifiers, and every other character that is no space, one by one.
fn tokens(line: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if part(first) {
            rest.find(|c| !part(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        out.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    out
}

/// The same text with comments, strings and characters turned into spaces; line ends stay.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` if none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let has = |from: usize, what: &str| {
        what.chars().enumerate().all(|(n, c)| chars.get(from + n) == Some(&c))
    };
    let after = |from: usize, what: &str| {
        (from..chars.len()).find(|i| has(*i, what)).map_or(chars.len(), |i| i + what.len())
    };
    let word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if has(at, "//") {
        return (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len());
    }
    if has(at, "/*") {
        let (mut depth, mut i) = (1, at + 2);
        while i < chars.len() && depth > 0 {
            if has(i, "/*") {
                depth += 1;
                i += 2;
            } else if has(i, "*/") {
                depth -= 1;
                i += 2;
            } else {
                i += 1;
            }
        }
        return i;
    }
    if chars[at] == 'r' && !word {
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        if chars.get(at + 1 + hashes) == Some(&'"') {
            return after(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    let quoted = |from: usize, quote: char| {
        let mut i = from;
        while i < chars.len() && chars[i] != quote {
            i += if chars[i] == '\\' { 2 } else { 1 };
        }
        (i + 1).min(chars.len())
    };
    match chars[at] {
        '"' => quoted(at + 1, '"'),
        // A lifetime has no closing quote behind its first character.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            quoted(at + 1, '\'')
        }
        _ => at,
    }
}

/// The words of a name in lower case: `spawn_blocking`, `SpawnBlocking`, `HTTPServer2`.
fn parts(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut out: Vec<String> = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|i| chars[i]);
        let next_lower = chars.get(at + 1).is_some_and(|c| c.is_lowercase());
        let hump = c.is_uppercase()
            && before.is_some_and(|b| b.is_lowercase() || (b.is_uppercase() && next_lower));
        let digit = before.is_some_and(|b| b != '_' && b.is_numeric() != c.is_numeric());
        if *c == '_' || hump || digit {
            out.push(String::new());
        }
        if *c != '_' {
            out.last_mut().expect("one").extend(c.to_lowercase());
        }
    }
    out.retain(|part| !part.is_empty());
    out
}

/// The name in the other cases: snake, camel, Pascal, kebab.
fn twins_of(name: &str) -> Vec<String> {
    let parts = parts(name);
    let capital = |part: &String| {
        let mut chars = part.chars();
        chars.next().map(|c| c.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    let pascal: String = parts.iter().map(capital).collect();
    let camel = format!("{}{}", parts[0], parts[1..].iter().map(capital).collect::<String>());
    let all = [parts.join("_"), camel, pascal, parts.join("-")];
    all.into_iter().filter(|twin| twin != name).collect()
}
