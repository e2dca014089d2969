//! What Linux tells of a process, and what can be done to one from outside.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Child;

pub use rustix::process::Signal;

/// Sends a signal to a child that still runs.
pub fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("sent");
}

/// What a process has read and written so far, by the name of a counter.
fn counted(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("its counters");
    let of_name =
        |line: &str| line.split_once(": ").filter(|(known, _)| *known == name)?.1.parse().ok();
    text.lines().find_map(of_name).expect("a number")
}

/// Bytes that a process has read so far, from files and pipes, whether they came from the disk or
/// not.
pub fn bytes_read(pid: u32) -> u64 {
    counted(pid, "rchar")
}

/// How many times a process has written something so far.
pub fn writes(pid: u32) -> u64 {
    counted(pid, "syscw")
}

/// Folders and files that a process has the system watch.
pub fn watches(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("its open files").flatten();
    let of_one = |path: &Path| {
        // One that was closed meanwhile watches nothing.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("inotify ")).count()
    };
    open.map(|entry| of_one(&entry.path())).sum()
}

/// What a process holds now that is no page of a file, and the most that it ever held with those,
/// in MiB; nothing of one that has ended.
pub fn memory(pid: u32) -> Option<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    };
    Some((of("RssAnon:")? + of("RssShmem:")?, of("VmHWM:")?))
}

/// The processes that hold a lock on a file.
pub fn holders(path: &Path) -> Vec<u32> {
    let Ok(meta) = std::fs::metadata(path) else { return Vec::new() };
    let inode = meta.ino().to_string();
    let text = std::fs::read_to_string("/proc/locks").expect("the locks");
    let held = text.lines().filter(|line| !line.contains("->")).filter_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 703 fe:00:9977907 0 EOF`
        let mut words = line.split_whitespace().skip(4);
        let (pid, file) = (words.next()?, words.next()?);
        (file.rsplit(':').next() == Some(&*inode)).then(|| pid.parse().ok())?
    });
    held.collect()
}

/// Bytes of the files below a folder.
pub fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let each = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        // One that went away meanwhile has none.
        _ => entry.metadata().map_or(0, |meta| meta.len()),
    });
    each.sum()
}
