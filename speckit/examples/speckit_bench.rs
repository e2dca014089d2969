//! How long the engine takes: makes features with tasks in a temporary folder and prints medians.
//!
//! `speckit_bench [FEATURES] [TASKS] [FOLDER]`, 1000 and 200 and the system's temporary folder if
//! nothing is said. Build it with `--release` to learn anything.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use synod_speckit as kit;

const TURNS: usize = 21;

fn median(turns: usize, mut step: impl FnMut(usize)) -> Duration {
    let mut took: Vec<Duration> = (0..turns)
        .map(|turn| {
            let from = Instant::now();
            step(turn);
            from.elapsed()
        })
        .collect();
    took.sort();
    took[turns / 2]
}

fn fill(root: &Path, features: usize, tasks: usize) -> std::io::Result<()> {
    std::fs::create_dir_all(root.join(".specify"))?;
    for feature in 1..=features {
        let dir = root.join(format!("specs/{feature:03}-feature-{feature}"));
        std::fs::create_dir_all(dir.join("checklists"))?;
        std::fs::create_dir_all(dir.join("contracts"))?;
        let mut text = String::from("# Tasks\n");
        for task in 1..=tasks {
            if task % 20 == 1 {
                let n = task / 20 + 1;
                let _ =
                    write!(text, "\n## Phase {n}: User Story {n} - Part {n} (Priority: P1)\n\n");
            }
            let done = if task * 2 < tasks { 'x' } else { ' ' };
            let story = (task - 1) / 20 + 1;
            let what = format!("Implement FR-{story:03} in src/part/file_{task}.rs");
            let _ = writeln!(text, "- [{done}] T{task:03} [P] [US{story}] {what}");
        }
        std::fs::write(dir.join("tasks.md"), text)?;
        let mut spec = format!("# Feature Specification: Feature {feature}\n\n**Status**: Draft\n");
        for story in 1..=10 {
            let _ =
                write!(spec, "\n### User Story {story} - Part {story} (Priority: P1)\n\nWords.\n");
            let _ = writeln!(spec, "\n- **FR-{story:03}**: System MUST do part {story}");
        }
        std::fs::write(dir.join("spec.md"), spec)?;
        std::fs::write(dir.join("plan.md"), "# Implementation Plan: x\n")?;
        std::fs::write(dir.join("checklists/requirements.md"), "- [x] CHK001 a\n- [ ] CHK002 b\n")?;
        std::fs::write(dir.join("contracts/api.yaml"), "openapi: 3.1.0\n")?;
    }
    Ok(())
}

/// What of a tick is the disk's: the same steps without the engine.
fn disk(folder: &Path) -> std::io::Result<Duration> {
    let bytes = std::fs::read(folder.join("tasks.md"))?;
    let (temporary, path) = (folder.join(".bare"), folder.join("bare.md"));
    Ok(median(201, |_| {
        let mut file = std::fs::File::create(&temporary).expect("a file");
        file.write_all(&bytes).expect("bytes");
        file.sync_all().expect("a sync");
        std::fs::rename(&temporary, &path).expect("a rename");
        std::fs::File::open(folder).and_then(|dir| dir.sync_all()).expect("a sync");
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let features: usize = args.next().map_or(Ok(1_000), |n| n.parse())?;
    let tasks: usize = args.next().map_or(Ok(200), |n| n.parse())?;
    let dir = match args.next() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    fill(dir.path(), features, tasks)?;
    let project = kit::Project::open(dir.path())?;
    // What changed a moment ago is not cached.
    std::thread::sleep(Duration::from_millis(100));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{features} features with {tasks} tasks each, medians of {TURNS}:")?;
    let cold = median(5, |_| {
        let all = kit::list(&project, &mut kit::Cache::default()).expect("a list");
        assert_eq!((all.len(), all[0].tasks_total), (features, tasks));
    });
    writeln!(out, "list cold      {cold:>10.2?}   (median of 5)")?;
    let mut cache = kit::Cache::default();
    kit::list(&project, &mut cache)?;
    let warm = median(TURNS, |_| {
        kit::list(&project, &mut cache).expect("a list");
    });
    writeln!(out, "list warm      {warm:>10.2?}")?;
    let feature = project.feature("1")?;
    let next = median(TURNS, |_| {
        assert!(!kit::next(&feature, 8).expect("next").tasks.is_empty());
    });
    writeln!(out, "next           {next:>10.2?}")?;
    let slice = median(TURNS, |_| {
        let want = kit::Want::Task("T150".to_owned());
        kit::slice(&project, &feature, &want, 8_000).expect("a slice");
    });
    writeln!(out, "slice of task  {slice:>10.2?}")?;
    let validate = median(TURNS, |_| {
        kit::validate(&project, &feature).expect("a report");
    });
    writeln!(out, "validate       {validate:>10.2?}")?;
    let tick = median(201, |turn| {
        let edit = kit::Edit::Tick { doc: "tasks.md", id: "T100", line: None, done: turn % 2 == 1 };
        kit::edit(&feature, &edit, None, &|_, _| Ok(())).expect("a tick");
    });
    writeln!(out, "tick, synced   {tick:>10.2?}   (median of 201)")?;
    let disk = disk(&feature.folder)?;
    writeln!(out, "the disk alone {disk:>10.2?}   (write, sync, rename, sync; median of 201)")?;
    Ok(())
}
