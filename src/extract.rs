//! Reads PDFs in another process, which can be given bounds of time and memory; a library cannot.
//!
//! That process is this program again, started for one file: its bytes come on stdin, and on stdout
//! goes a sign with the text behind it, or another sign and why there is none. Knows nothing of
//! PDFs. Invariant: whatever a file does to who reads it, this process goes on after a bounded time
//! and holds no more than the file and its text; nothing but the pipes is shared.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use synod_index::disk::{NOT_NOW, TOO_LONG, TOO_MUCH};
use synod_index::kind::pdf;
use synod_index::limit::{EXTRACT_MEMORY_BYTES, EXTRACT_TIME, EXTRACTED_BYTES_MAX, FILE_BYTES_MAX};

/// The command that reads; it is hidden.
pub const COMMAND: &str = "extract-pdf";

/// What stands before a text.
const TEXT: u8 = b'+';
/// What stands before a reason why there is none.
const REASON: u8 = b'-';
/// Most that is taken of an answer, in bytes: beyond it a text is over its own limit.
const ANSWER_BYTES_MAX: u64 = FILE_BYTES_MAX + 64 * 1024;
/// Longest step between two looks whether the reader has ended; the first ones are shorter.
const STEP_MAX: Duration = Duration::from_millis(20);
/// How much the scheduler puts the reader behind others.
#[cfg(unix)]
const NICE: i32 = 10;

/// Has this process read PDFs so from now on.
pub fn install() {
    pdf::read_elsewhere(elsewhere);
}

/// Whether this process was started to read a file.
pub fn is_meant() -> bool {
    std::env::args_os().nth(1).is_some_and(|arg| arg == COMMAND)
}

fn elsewhere(bytes: &[u8]) -> Result<String, String> {
    match program() {
        Ok(command) => within(command, bytes, EXTRACT_TIME),
        Err(error) => Err(not_now(&error)),
    }
}

/// This very program, also when its file was replaced since it was started.
fn program() -> io::Result<Command> {
    let running = Path::new("/proc/self/exe");
    // Where there is no such name, what the file was called has to do.
    let mut command = match running.exists() {
        true => Command::new(running),
        false => Command::new(std::env::current_exe().or_else(|_| started_as())?),
    };
    #[cfg(unix)]
    {
        std::os::unix::process::CommandExt::arg0(&mut command, "synod");
        // A signal to the whole group ends this process in order, and the file is to be read then.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // It needs nothing of it, and there are keys in it.
        command.env_clear();
    }
    command.arg(COMMAND);
    Ok(command)
}

/// The path that this program was started by.
fn started_as() -> io::Result<PathBuf> {
    let name = std::env::args_os().next().ok_or(io::ErrorKind::NotFound)?;
    std::path::absolute(PathBuf::from(name))
}

fn not_now(error: &io::Error) -> String {
    tracing::warn!(error = %error, "a file was not read: no process for it");
    NOT_NOW.to_owned()
}

/// Has a command read a file; it is ended when `time` is over.
fn within(mut command: Command, bytes: &[u8], time: Duration) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| not_now(&error))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let done = std::thread::scope(|scope| -> io::Result<_> {
        let hand = std::thread::Builder::new().spawn_scoped(scope, move || {
            // One that ends before it has all breaks the pipe: its answer says more.
            let _ = input.map(|mut pipe| pipe.write_all(bytes));
        });
        let take = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut answer = Vec::new();
            let pipe = output.map(|pipe| pipe.take(ANSWER_BYTES_MAX));
            pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut answer)).map(|_| answer)
        });
        // Without both there is nothing to wait for.
        let until =
            if hand.is_ok() && take.is_ok() { Instant::now() + time } else { Instant::now() };
        let ended = wait(&mut child, until);
        let _ = hand?;
        let answer = take?.join().map_err(|_| io::Error::other("its answer was not read"))??;
        Ok((ended, answer))
    });
    let (ended, answer) = done.map_err(|error| not_now(&error))?;
    read(ended, answer, time)
}

/// Waits for a process, and ends it when its time is over: then there is no status.
fn wait(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    let mut step = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(step),
            _ => break,
        }
        step = (2 * step).min(STEP_MAX);
    }
    // Fails if it has ended meanwhile; one that nobody waits for stays a zombie.
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Whether somebody ended a process, or the system for want of memory elsewhere.
fn is_ended_by_others(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const HANGUP: i32 = 1;
        const INTERRUPT: i32 = 2;
        const KILL: i32 = 9;
        const TERMINATE: i32 = 15;
        let by = status.signal();
        by.is_some_and(|by| [HANGUP, INTERRUPT, KILL, TERMINATE].contains(&by))
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        false
    }
}

/// What an answer means.
fn read(ended: Option<ExitStatus>, mut answer: Vec<u8>, time: Duration) -> Result<String, String> {
    let Some(status) = ended else {
        return Err(format!("{TOO_LONG}: over {} s", time.as_secs()));
    };
    if is_ended_by_others(status) {
        // It says nothing of the file: it is read another time.
        return Err(NOT_NOW.to_owned());
    }
    let failed = || {
        let mb = EXTRACT_MEMORY_BYTES / (1024 * 1024);
        format!("takes over {mb} MiB {TOO_MUCH}")
    };
    let sign = answer.first().copied().filter(|_| status.success()).ok_or_else(failed)?;
    answer.remove(0);
    let text = String::from_utf8(answer).map_err(|_| failed())?;
    match sign {
        TEXT => Ok(text),
        REASON => Err(text),
        _ => Err(failed()),
    }
}

/// The command itself: reads the file on stdin within bounds.
pub fn run() -> ExitCode {
    give_bounds();
    let mut bytes = Vec::new();
    let mut input = io::stdin().lock().take(EXTRACTED_BYTES_MAX + 1);
    if input.read_to_end(&mut bytes).is_err() {
        return ExitCode::FAILURE;
    }
    let (sign, text) = match pdf::read_here(&bytes) {
        Ok(text) => (TEXT, text),
        Err(reason) => (REASON, reason),
    };
    let mut out = io::stdout().lock();
    let said = out.write_all(&[sign]).and_then(|()| out.write_all(text.as_bytes()));
    match said.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Bounds this process; one that is refused is a lower one that is there already, or unknown to the
/// system, where the time that is waited for it is the only one.
fn give_bounds() {
    #[cfg(unix)]
    {
        let _ = rustix::process::nice(NICE);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, Signal, setrlimit};
        // Nobody ends it if who started it is killed; if that was just now, its pipes end it.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        let bounds = [
            (Resource::As, EXTRACT_MEMORY_BYTES),
            (Resource::Cpu, 2 * EXTRACT_TIME.as_secs()),
            (Resource::Core, 0),
        ];
        for (resource, most) in bounds {
            let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use synod_index::disk::is_spent;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn said(script: &str) -> Result<String, String> {
        within(shell(script), b"%PDF", Duration::from_secs(60))
    }

    #[test]
    fn a_text_a_reason_and_everything_else() {
        assert_eq!(said("printf +; cat"), Ok("%PDF".to_owned()));
        assert_eq!(said("printf +"), Ok(String::new()));
        assert_eq!(said("printf %s '-is encrypted'"), Err("is encrypted".to_owned()));
        assert!(!is_spent("is encrypted") && !is_spent(NOT_NOW));
        for script in ["true", "printf tide", "printf +; exit 3", "kill -6 $$", "printf '+\\377'"] {
            let why = said(script).unwrap_err();
            assert!(why.contains("makes its reader fail") && is_spent(&why), "{script}: {why}");
        }
        // Who ends the process says nothing of the file.
        assert_eq!(said("kill -9 $$"), Err(NOT_NOW.to_owned()));
        // Others may be ignored by whoever runs this, and then by the shell too (`nohup`).
        for sign in [1, 2, 9, 15] {
            let ended = Some(ExitStatus::from_raw(sign));
            assert_eq!(read(ended, vec![TEXT], EXTRACT_TIME), Err(NOT_NOW.to_owned()), "{sign}");
        }
    }

    #[test]
    fn a_reader_that_takes_too_long_is_ended() {
        let start = Instant::now();
        let command = shell("exec sleep 600");
        // More than a pipe holds: who hands it on must not wait for good either.
        let why = within(command, &vec![b'x'; 4 << 20], Duration::from_millis(200)).unwrap_err();
        assert!(why.starts_with("takes too long to read: over") && is_spent(&why), "{why}");
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }

    #[test]
    fn an_answer_without_end_is_not_taken_whole() {
        let why = said("exec cat /dev/zero").unwrap_err();
        assert!(why.contains("makes its reader fail"), "{why}");
        let large = said("printf +; head -c 9000000 /dev/zero; exit 0");
        assert!(large.is_err() || large.is_ok_and(|text| text.len() as u64 > FILE_BYTES_MAX));
    }

    #[test]
    fn no_process_is_no_property_of_the_file() {
        let missing = Command::new("/nowhere/synod");
        assert_eq!(within(missing, b"", Duration::from_secs(1)), Err(NOT_NOW.to_owned()));
    }
}
