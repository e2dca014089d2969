//! Runs the CLI: no shell, no terminal, a time limit, an output limit.
//!
//! The program gets a process group of its own, and at the limit the whole group is killed, so that
//! what it started ends too. What it prints is cut, not redacted: that is the caller's part.
//! Invariant: when this returns, no process of the group holds the pipes.

use crate::cli::{ENVIRONMENT, Invocation, Program};
use crate::error::{Error, Result};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The longest that a call may take, in milliseconds.
pub const RUN_MS_MAX: u64 = 600_000;
/// The most that is kept of what a call prints on one channel, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Between two looks at whether the program has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long what the program left running may hold the pipes after it has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most [`RUN_MS_MAX`].
    pub time_ms: u64,
    /// Of stdout and of stderr; at most [`OUTPUT_BYTES_MAX`].
    pub output_bytes: usize,
}

/// What one channel printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its beginning.
    pub text: String,
    /// Bytes that were cut off.
    pub cut: u64,
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Exit status; none if it was killed.
    pub status: Option<i32>,
    /// It ran into the time limit and was killed.
    pub timed_out: bool,
    /// JSON, of commands that print it.
    pub stdout: Output,
    /// Banners and complaints.
    pub stderr: Output,
    /// Milliseconds.
    pub took_ms: u64,
}

/// Runs a call in `folder`, which has to lie in `inside`.
///
/// # Errors
/// `Outside` for a folder elsewhere, `Io` if the program cannot be started. A call that fails or is
/// killed is no error here.
pub fn run(
    program: &Program,
    call: &Invocation,
    folder: &Path,
    inside: &Path,
    limits: &Limits,
) -> Result<Run> {
    let resolved = |path: &Path| path.canonicalize().map_err(|source| Error::io(path, source));
    let folder = resolved(folder)?;
    if !folder.starts_with(resolved(inside)?) {
        let path = folder.display().to_string();
        return Err(Error::Outside { path, why: "lies outside the folder that was agreed on" });
    }
    let mut command = Command::new(&program.file);
    command.args(program.before).args(&call.argv).current_dir(&folder).env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(call.env.iter().copied());
    bounded(command, limits).map_err(|source| Error::io(&program.file, source))
}

/// Runs a command without a terminal, within a time and an output limit.
///
/// # Errors
/// If it cannot be started or waited for. One that fails or is killed is no error here.
pub fn bounded(mut command: Command, limits: &Limits) -> io::Result<Run> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let from = Instant::now();
    let mut child = command.spawn()?;
    let keep = limits.output_bytes.min(OUTPUT_BYTES_MAX);
    let stdout = child.stdout.take().map(|pipe| collect(pipe, keep));
    let stderr = child.stderr.take().map(|pipe| collect(pipe, keep));
    let until = from + Duration::from_millis(limits.time_ms.min(RUN_MS_MAX));
    let ended = wait(&mut child, until)?;
    if ended.is_none() {
        kill_group(&mut child);
        child.wait()?;
    }
    let (stdout, stderr) = drain(&mut child, stdout, stderr);
    let took_ms = u64::try_from(from.elapsed().as_millis()).unwrap_or(u64::MAX);
    let timed_out = ended.is_none();
    Ok(Run { status: ended.and_then(|status| status.code()), timed_out, stdout, stderr, took_ms })
}

/// Reads a pipe to its end on a thread, and keeps the beginning.
fn collect(mut pipe: impl Read + Send + 'static, keep: usize) -> Receiver<Output> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut cut = 0u64;
        let mut buffer = [0u8; 8192];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    let room = keep.saturating_sub(kept.len()).min(n);
                    kept.extend_from_slice(&buffer[..room]);
                    cut += (n - room) as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Who waited has given up if it cannot be sent.
        let _ = sender.send(Output { text: String::from_utf8_lossy(&kept).into_owned(), cut });
    });
    receiver
}

fn wait(child: &mut Child, until: Instant) -> io::Result<Option<std::process::ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// What the pipes gave; kills what still holds them.
fn drain(
    child: &mut Child,
    stdout: Option<Receiver<Output>>,
    stderr: Option<Receiver<Output>>,
) -> (Output, Output) {
    let mut take = |pipe: Option<Receiver<Output>>| {
        let Some(pipe) = pipe else { return Output::default() };
        match pipe.recv_timeout(DRAIN) {
            Ok(output) => output,
            Err(RecvTimeoutError::Disconnected) => Output::default(),
            Err(RecvTimeoutError::Timeout) => {
                kill_group(child);
                pipe.recv_timeout(DRAIN).unwrap_or_default()
            }
        }
    };
    (take(stdout), take(stderr))
}

/// Kills the program and all that it started. The standard library kills one process only, and
/// `kill` is a program that every Unix has.
fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    {
        let group = format!("-{}", child.id());
        let mut kill = Command::new("/bin/kill");
        kill.args(["-KILL", "--", &group]).stdin(Stdio::null());
        let done = kill.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if done.is_err() {
            // Some systems have it only as a part of their shell; the number is all that goes in.
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("kill -KILL -- {group}")]).stdin(Stdio::null());
            let _ = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
    // Fails if it has ended meanwhile, which is what is wanted.
    let _ = child.kill();
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::cli::invocation;
    use std::os::unix::fs::PermissionsExt;

    fn script(dir: &Path, body: &str) -> std::path::PathBuf {
        let path = dir.join("specify");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn go(body: &str, time_ms: u64, output_bytes: usize) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let program = Program { file: script(dir.path(), body), before: &[] };
        let call = invocation("version", &["--json"]).unwrap();
        let limits = Limits { time_ms, output_bytes };
        run(&program, &call, dir.path(), dir.path(), &limits).unwrap()
    }

    #[test]
    fn arguments_environment_and_status_arrive() {
        let done =
            go("echo \"$@ $TERM $NO_COLOR [$CARGO_PKG_NAME]\"; echo oops >&2; exit 3", 9_000, 99);
        assert_eq!(done.stdout.text, "version --json dumb 1 []\n");
        assert_eq!((done.stderr.text.as_str(), done.status), ("oops\n", Some(3)));
        assert!(!done.timed_out);
    }

    #[test]
    fn output_is_cut_and_said() {
        let done = go("head -c 100000 /dev/zero | tr '\\0' a", 9_000, 10);
        assert_eq!((done.stdout.text.as_str(), done.stdout.cut), ("aaaaaaaaaa", 99_990));
    }

    #[test]
    fn the_whole_group_ends_at_the_limit() {
        let from = Instant::now();
        let done = go("sleep 60 & echo $!; sleep 60", 300, 99);
        assert!(done.timed_out && done.status.is_none());
        assert!(from.elapsed() < Duration::from_secs(20));
        let pid: u32 = done.stdout.text.trim().parse().unwrap();
        // The kernel may take a moment to bury it.
        let gone = (0..200).any(|_| {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let dead = state.is_empty() || state.contains(") Z ");
            if !dead {
                std::thread::sleep(Duration::from_millis(10));
            }
            dead
        });
        assert!(gone, "{pid} still runs");
    }

    #[test]
    fn what_was_left_running_does_not_hold_the_answer() {
        let from = Instant::now();
        let done = go("sleep 60 & echo ok", 30_000, 99);
        assert_eq!((done.status, done.stdout.text.as_str()), (Some(0), "ok\n"));
        assert!(from.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_folder_elsewhere_is_refused() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let call = invocation("version", &[]).unwrap();
        let limits = Limits { time_ms: 1_000, output_bytes: 10 };
        let program = Program { file: "/bin/true".into(), before: &[] };
        let refused = run(&program, &call, a.path(), b.path(), &limits);
        assert!(matches!(refused, Err(Error::Outside { .. })));
    }
}
