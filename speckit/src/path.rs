//! File paths in the prose of a task.
//!
//! A guess, and used as one: whether two tasks may run side by side, and a hint when a task names
//! no file. It does not look at the disk.

/// Words of a task that are looked at.
const WORDS_MAX: usize = 1_000;
/// Paths of one task.
const FILES_MAX: usize = 32;
/// First parts of paths that projects have.
const ROOTS: &[&str] = &[
    "src",
    "lib",
    "test",
    "tests",
    "spec",
    "specs",
    "docs",
    "doc",
    "app",
    "apps",
    "api",
    "backend",
    "frontend",
    "ios",
    "android",
    "packages",
    "pkg",
    "cmd",
    "internal",
    "config",
    "scripts",
    "public",
    "assets",
    "infra",
    "deploy",
    "web",
    "server",
    "client",
    "contracts",
    "migrations",
    "examples",
    "benches",
    "tools",
    "crates",
    "services",
    "models",
];
/// Files without an ending.
const PLAIN: &[&str] = &["Dockerfile", "Makefile", "Gemfile", "Procfile", "Justfile", "Rakefile"];
/// Endings of files; a word such as `e.g` or `v1.2` has none of them.
const ENDINGS: &[&str] = &[
    "bash",
    "c",
    "cc",
    "cfg",
    "cjs",
    "conf",
    "cpp",
    "cs",
    "css",
    "csproj",
    "csv",
    "dart",
    "env",
    "ex",
    "exs",
    "go",
    "gradle",
    "graphql",
    "h",
    "hpp",
    "html",
    "ini",
    "ipynb",
    "java",
    "js",
    "json",
    "jsx",
    "kt",
    "kts",
    "less",
    "lock",
    "lua",
    "md",
    "mdx",
    "mjs",
    "php",
    "plist",
    "prisma",
    "properties",
    "proto",
    "ps1",
    "py",
    "pyi",
    "r",
    "rb",
    "rs",
    "rst",
    "sass",
    "scala",
    "scss",
    "sh",
    "sln",
    "sql",
    "sum",
    "svelte",
    "svg",
    "swift",
    "tf",
    "toml",
    "ts",
    "tsx",
    "txt",
    "vue",
    "xml",
    "yaml",
    "yml",
    "zig",
];
/// Products whose names look like files.
const PRODUCTS: &[&str] = &[
    "node.js",
    "next.js",
    "vue.js",
    "nuxt.js",
    "express.js",
    "d3.js",
    "three.js",
    "react.js",
    "chart.js",
    "ember.js",
    "backbone.js",
    "deno.js",
    "p5.js",
    "discord.js",
];

fn is_path(word: &str, quoted: bool) -> bool {
    if word.len() < 2 || word.len() > 512 || word.contains("://") || word.starts_with("--") {
        return false;
    }
    let name = word.rsplit('/').next().unwrap_or(word);
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty() || word.contains('/'));
    let ended = ending.is_some_and(|(_, end)| ENDINGS.contains(&end.to_lowercase().as_str()));
    let hidden =
        name.len() > 3 && name.starts_with('.') && name[1..].starts_with(char::is_alphabetic);
    if !word.contains('/') {
        let product = PRODUCTS.contains(&word.to_lowercase().as_str());
        return (ended && !product) || hidden || PLAIN.contains(&word);
    }
    let first = word.trim_start_matches("./").split('/').next().unwrap_or_default();
    let parts = word.split('/').filter(|part| !part.is_empty()).count();
    ended
        || hidden
        || word.ends_with('/')
        || quoted && parts > 1
        || parts > 2
        || parts > 1 && ROOTS.contains(&first)
}

/// The paths in a text, each once, in order.
pub(crate) fn files_in(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let apart = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '，' | '、' | '|' | '"');
    for word in text.split(apart).take(WORDS_MAX) {
        // `test_[name].py` keeps its brackets, `(src/a.rs)` loses its own.
        let bare = word.trim_start_matches(['(', '*', '\'', '<', '（', '「']);
        let quoted = bare.starts_with('`');
        let bare = bare.trim_matches('`');
        let bare =
            bare.trim_end_matches([')', '*', '\'', '>', ':', '.', '`', '!', '?', '）', '」']);
        let bare = bare.strip_suffix("'s").unwrap_or(bare).trim_end_matches('`');
        if out.len() < FILES_MAX && is_path(bare, quoted) && !out.iter().any(|known| known == bare)
        {
            out.push(bare.to_owned());
        }
    }
    out
}

/// Whether two paths are the same or one holds the other.
pub(crate) fn collide(a: &str, b: &str) -> bool {
    let clean = |path: &str| path.trim_start_matches("./").trim_end_matches('/').to_owned();
    let (a, b) = (clean(a), clean(b));
    let holds = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    holds(&a, &b) || holds(&b, &a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_and_prose_is_not() {
        let found = [
            ("Create model in src/models/user.py", vec!["src/models/user.py"]),
            ("Docs in docs/ and `Cargo.toml`.", vec!["docs/", "Cargo.toml"]),
            (
                "Test in tests/contract/test_[name].py (depends on T001)",
                vec!["tests/contract/test_[name].py"],
            ),
            ("Implement authentication/authorization framework", vec![]),
            ("Add Node.js and/or Deno, e.g. v1.2, see https://a.b/c.md", vec![]),
            (
                "(src/a.rs), **src/b.rs**: and .gitignore",
                vec!["src/a.rs", "src/b.rs", ".gitignore"],
            ),
            ("Fix Dockerfile", vec!["Dockerfile"]),
            ("Work in `crates/core`", vec!["crates/core"]),
        ];
        for (text, paths) in found {
            assert_eq!(files_in(text), paths, "{text}");
        }
    }

    #[test]
    fn a_folder_collides_with_what_lies_in_it() {
        assert!(collide("src/a.rs", "./src/a.rs") && collide("src/", "src/a.rs"));
        assert!(!collide("src/a.rs", "src/a.rs.bak") && !collide("src/a", "src/b"));
    }
}
