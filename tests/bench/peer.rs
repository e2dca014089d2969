//! Indexing beside qmd's `update` (npm), by words only, from nothing, the same files, in turns.
//! Both are timed as commands: start of the program, reading, writing, end.

use crate::serve::synod;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The peer, as published; without its optional model runtime, which indexing does not use.
const PACKAGE: &str = "@tobilu/qmd@2.8.3";
const NODE: &str = "node@22";
/// Runs of each; the middle one counts.
const RUNS: usize = 5;
/// Copies of the notes, each with a line of its own: the judged vault alone is 2.5 MB.
const COPIES: usize = 8;

/// Notes and code, each with both programs.
pub fn run(code: &Path) {
    let tools = tools();
    println!("what,files,text_mb,synod_s,qmd_s,synod_mb_per_s,qmd_mb_per_s,times");
    let notes = notes(1);
    compare(&tools, "notes", &notes, "**/*.md");
    let many = self::notes(COPIES);
    compare(&tools, &format!("notes, {COPIES} copies"), &many, "**/*.md");
    compare(&tools, "code and documentation", code, "**/*.{rs,md}");
}

fn compare(tools: &Path, what: &str, folder: &Path, mask: &str) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(time_synod(folder));
        theirs.push(time_qmd(tools, folder, mask));
    }
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (ours, theirs) = (middle(&mut ours), middle(&mut theirs));
    let walked = synod_index::walk::walk(folder, &[]);
    let mb = walked.files.iter().map(|f| f.stamp.size).sum::<u64>() as f64 / 1e6;
    println!(
        "{what},{},{mb:.1},{ours:.3},{theirs:.3},{:.1},{:.1},{:.1}",
        walked.files.len(),
        mb / ours,
        mb / theirs,
        theirs / ours
    );
}

fn time_synod(folder: &Path) -> f64 {
    let data = tempfile::tempdir().expect("a folder");
    let mut command = synod(data.path(), &["index", "--wait", "--lexical-only", "--json"]);
    command.arg(folder).stdout(Stdio::null());
    timed(command)
}

fn time_qmd(tools: &Path, folder: &Path, mask: &str) -> f64 {
    let run = tempfile::tempdir().expect("a folder");
    let config = run.path().join("config/qmd");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::create_dir_all(run.path().join("cache/qmd")).expect("a folder");
    let text =
        format!("collections:\n  c:\n    path: '{}'\n    pattern: '{mask}'\n", folder.display());
    std::fs::write(config.join("index.yml"), text).expect("its configuration");
    let mut command = Command::new(tools.join("node_modules/node/bin/node"));
    command.arg(tools.join("node_modules/@tobilu/qmd/dist/cli/qmd.js")).arg("update");
    // A folder without a project configuration in it or above it.
    command.current_dir(run.path()).env("HOME", run.path());
    command.env("XDG_CONFIG_HOME", run.path().join("config"));
    command.env("XDG_CACHE_HOME", run.path().join("cache"));
    command.env("CI", "1").env("NO_COLOR", "1").env_remove("INDEX_PATH");
    command.env_remove("QMD_CONFIG_DIR").stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output().expect("node runs");
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    let indexed = said.lines().find(|line| line.contains("Indexed: "));
    let done = indexed.is_some_and(|line| !line.contains("Indexed: 0"));
    assert!(done && output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    seconds
}

fn timed(mut command: Command) -> f64 {
    let start = Instant::now();
    assert!(command.status().expect("it runs").success(), "{command:?}");
    start.elapsed().as_secs_f64()
}

/// The peer and its node, installed once below `target`.
fn tools() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-peer");
    if folder.join("node_modules/@tobilu/qmd").is_dir() {
        return folder;
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("package.json"), "{\"private\": true}").expect("a file");
    let npm = |args: &[&str]| {
        let mut command = Command::new("npm");
        command.arg("install").args(args).args(["--no-audit", "--no-fund"]);
        command.current_dir(&folder).stdout(Stdio::null());
        assert!(command.status().is_ok_and(|status| status.success()), "npm install {args:?}");
    };
    npm(&[NODE]);
    npm(&[PACKAGE, "--ignore-scripts", "--omit=optional"]);
    folder
}

/// The judged vault as a folder of notes, `copies` times.
fn notes(copies: usize) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let folder = target.join(format!("bench-notes-{copies}"));
    if folder.join(".done").exists() {
        return folder;
    }
    let home = crate::judged();
    for copy in 0..copies {
        let place = folder.join(format!("copy{copy}"));
        std::fs::create_dir_all(&place).expect("a folder");
        let mut tar = Command::new("tar");
        tar.arg("xzf").arg(home.join("vault-garden/tree.tar.gz")).arg("-C").arg(&place);
        assert!(tar.status().is_ok_and(|status| status.success()), "tar works");
        for found in synod_index::walk::walk(&place, &[]).files {
            let path = place.join(&found.path);
            let mut text = std::fs::read(&path).expect("a note");
            text.extend(format!("\ncopy {copy}\n").into_bytes());
            std::fs::write(&path, text).expect("written");
        }
    }
    std::fs::write(folder.join(".done"), "").expect("a mark");
    folder
}
