//! A large folder of real files: sources and documents of the local cargo registry, and the judged
//! sets' notes where they are.

use std::path::{Path, PathBuf};

/// The named folder, or one made below `target/bench-corpus`.
pub fn folder(named: Option<PathBuf>) -> PathBuf {
    if let Some(folder) = named {
        return folder;
    }
    let megabytes: u64 = std::env::var("BENCH_MB").ok().and_then(|t| t.parse().ok()).unwrap_or(80);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target").join(format!("bench-corpus-{megabytes}"));
    if folder.join(".done").exists() {
        return folder;
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|h| h.join(".cargo"))).expect("a home");
    let mut left = megabytes * 1024 * 1024;
    let registries = std::fs::read_dir(home.join("registry/src")).expect("a cargo registry");
    for registry in registries.flatten() {
        let mut crates: Vec<PathBuf> = std::fs::read_dir(registry.path())
            .expect("a registry")
            .flatten()
            .map(|e| e.path())
            .collect();
        crates.sort();
        for package in crates {
            let name = package.file_name().expect("a name").to_owned();
            copy(&package, &folder.join(name), &mut left);
        }
    }
    std::fs::write(folder.join(".done"), "").expect("a mark");
    folder
}

/// Copies source and documentation files until `left` bytes are used up.
fn copy(from: &Path, to: &Path, left: &mut u64) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            copy(&path, &to.join(entry.file_name()), left);
            continue;
        }
        let text = path.extension().is_some_and(|e| e == "rs" || e == "md" || e == "toml");
        let size = entry.metadata().map_or(0, |m| m.len());
        // Tables of generated constants are no code that people search.
        if text && size < 400_000 && size <= *left {
            std::fs::create_dir_all(to).expect("a folder");
            std::fs::copy(&path, to.join(entry.file_name())).expect("a copy");
            *left -= size;
        }
    }
}
