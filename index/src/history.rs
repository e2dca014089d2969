//! Which files change together: read from git's history, once for each commit that a working tree
//! comes to stand on.
//!
//! Runs the person's own `git`, which knows every form of repository; without it, or without a
//! repository, there is no history and nothing else is missing. The repository may be anybody's:
//! nothing that its configuration names is executed, and nothing is fetched. Git takes its time, so
//! a process that has other things to do reads a history on another thread ([`HistoryWork`]).

use crate::db::{self, Source};
use crate::error::Result;
use crate::limit::{HISTORY_BYTES_MAX, HISTORY_COMMITS_MAX, HISTORY_FILES_MAX, HISTORY_TIME};
use crate::update::Updater;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Files of each commit, newest first, or why there is no history, in words.
type Commits = std::result::Result<Vec<Vec<String>>, String>;

/// The history of a source that came to stand on another commit, to be read on whatever thread
/// there is.
pub struct HistoryWork {
    source: i64,
    name: String,
    root: PathBuf,
    /// The commit.
    head: Option<String>,
    /// When it was seen.
    noted: Instant,
}

/// What was read of it, for [`Updater::put_history`].
pub struct HistoryRead {
    work: HistoryWork,
    commits: Commits,
}

impl HistoryWork {
    /// Reads it, unless `go_on` ends that.
    pub fn run(self, go_on: &dyn Fn() -> bool) -> HistoryRead {
        let commits = read(&self.root, go_on);
        HistoryRead { work: self, commits }
    }
}

impl HistoryRead {
    /// When the commit was seen that this is the history of: what changed before belongs to it.
    pub fn noted(&self) -> Instant {
        self.work.noted
    }
}

impl Updater {
    /// From now on histories wait until somebody asks for them ([`Updater::history_wanted`]).
    pub fn read_histories_apart(&mut self) {
        self.histories = Some(BTreeMap::new());
    }

    /// The working tree of a source may stand on another commit: then its history is read anew, or
    /// waits to be. Not if it came to stand there only while its files were read, which began
    /// `before`: some of them may be those of the other commit. The next look knows.
    pub(crate) fn note_history(&mut self, source: &Source, before: Option<&str>) -> Result<()> {
        let root = Path::new(&source.root);
        let head = head(root);
        if head.as_deref() != before {
            return Ok(());
        }
        let known = head == db::commit(self.db(), source.id)?;
        let (name, root) = (source.name.clone(), root.to_owned());
        let work = HistoryWork { source: source.id, name, root, head, noted: Instant::now() };
        match &mut self.histories {
            Some(waiting) if known => drop(waiting.remove(&source.id)),
            Some(waiting) => drop(waiting.insert(source.id, work)),
            None if known => {}
            None => self.put_history(work.run(&|| true))?,
        }
        Ok(())
    }

    /// The next history that waits to be read.
    pub fn history_wanted(&mut self) -> Option<HistoryWork> {
        self.histories.as_mut()?.pop_first().map(|(_, work)| work)
    }

    /// Whether one waits to be read.
    pub fn is_history_wanted(&self) -> bool {
        self.histories.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Keeps what was read, unless the source went away meanwhile.
    ///
    /// # Errors
    /// `Sql`.
    pub fn put_history(&mut self, read: HistoryRead) -> Result<()> {
        let HistoryRead { work: HistoryWork { source, name, root, head, .. }, commits } = read;
        if let Some(waiting) = &mut self.histories
            && waiting.get(&source).is_some_and(|work| work.head == head)
        {
            // It was asked for once more while it was read.
            waiting.remove(&source);
        }
        let same = |known: &Source| known.id == source && Path::new(&known.root) == root;
        if !self.sources()?.iter().any(same) {
            return Ok(());
        }
        let transaction = self.begin()?;
        match commits {
            Ok(commits) => db::put_changes(&transaction, source, &commits)?,
            // What was known before is the better answer; it is asked again at the next commit.
            Err(reason) => tracing::info!(source = name, reason, "no newer history"),
        }
        db::set_commit(&transaction, source, head.as_deref())?;
        Ok(transaction.commit()?)
    }
}

/// The commit that a working tree stands on, read without running git; `None` where the folder is
/// not the root of one.
pub(crate) fn head(root: &Path) -> Option<String> {
    let (git, common) = git_dirs(root)?;
    let head = small_text(&git.join("HEAD"))?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return hash(&head) };
    // The repository may be anybody's: its words lead nowhere but to its own references.
    if !reference.starts_with("refs/") || crate::jail::check(reference).is_err() {
        return None;
    }
    for dir in [&git, &common] {
        if let Some(commit) = small_text(&dir.join(reference)) {
            return hash(&commit);
        }
    }
    let packed = small_text(&common.join("packed-refs"))?;
    packed.lines().find_map(|line| {
        let (commit, name) = line.split_once(' ')?;
        (name == reference).then(|| hash(commit)).flatten()
    })
}

/// Only what is the name of a commit is one.
fn hash(text: &str) -> Option<String> {
    let text = text.trim();
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}

/// A regular file of git's, up to a bound: a pipe in its place would wait for good.
fn small_text(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > HISTORY_BYTES_MAX {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The folder of a working tree's own state and that of what all its worktrees share.
fn git_dirs(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some((git.clone(), git));
    }
    let link = small_text(&git)?;
    let git = root.join(link.trim().strip_prefix("gitdir: ")?);
    let common = match small_text(&git.join("commondir")) {
        Some(text) => git.join(text.trim()),
        None => git.clone(),
    };
    Some((git, common))
}

/// The files that each of the newest commits changed, newest first; commits of more than
/// [`HISTORY_FILES_MAX`] files say nothing about single ones and are left out.
fn read(root: &Path, go_on: &dyn Fn() -> bool) -> Commits {
    let mut child = command(root).spawn().map_err(|e| format!("git does not start: {e}"))?;
    let Some(out) = child.stdout.take() else { return Err("git has no output".to_owned()) };
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        let done = out.take(HISTORY_BYTES_MAX).read_to_end(&mut text);
        done.map(|_| text)
    });
    let until = Instant::now() + HISTORY_TIME;
    while !reading.is_finished() && Instant::now() < until && go_on() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let in_time = reading.is_finished();
    // It has ended, or is not waited for; a process that is not reaped stays a zombie.
    if !in_time {
        let _ = child.kill();
    }
    let text = reading.join().map_err(|_| "its output could not be read".to_owned())?;
    let status = child.wait().map_err(|e| e.to_string())?;
    if !in_time {
        let time = HISTORY_TIME.as_secs();
        return Err(format!("git took longer than {time} s, or than there was time for it"));
    }
    let text = text.map_err(|e| e.to_string())?;
    if !status.success() && text.is_empty() {
        return Err(format!("git ended with {status}"));
    }
    Ok(parse(&text))
}

fn command(root: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(root)
        .args(["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"])
        .args(["-c", "log.showSignature=false", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "log.mailmap=false"])
        .args(["--no-pager", "log", "--no-merges", "--no-renames", "--no-ext-diff"])
        .args(["--no-textconv", "--no-show-signature", "--no-color", "--relative"])
        // Takes back an order file of the configuration.
        .args(["--name-only", "-z", "--format=%x01", "-O/dev/null"])
        .arg(format!("--max-count={HISTORY_COMMITS_MAX}"))
        .args(["HEAD", "--", "."])
        // A partial clone would fetch what it lacks.
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_EXTERNAL_DIFF")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Commits begin with a byte 1; names end with a byte 0, the first of a commit after a line feed.
fn parse(text: &[u8]) -> Vec<Vec<String>> {
    let mut commits: Vec<Vec<String>> = Vec::new();
    for piece in text.split(|byte| *byte == 0) {
        if piece == [1] {
            commits.push(Vec::new());
            continue;
        }
        let piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        if let (Some(commit), Ok(path)) = (commits.last_mut(), std::str::from_utf8(piece))
            && !path.is_empty()
        {
            commit.push(path.to_owned());
        }
    }
    commits.retain(|paths| (2..=HISTORY_FILES_MAX).contains(&paths.len()));
    commits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_form_belong_to_their_commit() {
        let text = b"\x01\0\na b.md\0c\n.md\0\x01\0\x01\0\nonly.md\0\x01\0\nx\0y\0";
        assert_eq!(parse(text), [vec!["a b.md", "c\n.md"], vec!["x", "y"]]);
        let many: Vec<u8> = (0..200).flat_map(|n| format!("{n}\0").into_bytes()).collect();
        assert!(parse(&[b"\x01\0\n".to_vec(), many].concat()).is_empty());
    }
}
