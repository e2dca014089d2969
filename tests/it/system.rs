//! What Linux tells of a process, and what can be done to one from outside.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Child;

pub use rustix::process::Signal;

/// Sends a signal to a child that still runs.
pub fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("sent");
}

/// Bytes that a process has read so far, from files and pipes, whether they came from the disk or
/// not.
pub fn bytes_read(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("its counters");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a line");
    line.trim().parse().expect("a number")
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
