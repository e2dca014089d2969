//! Transcripts: recorded answers, and the recorder that writes them.
//!
//! JSON lines of `{model, vendor?, family?, question, text, finish?, input_tokens?, output_tokens?,
//! latency_ms?}`. No network. Invariant: a question that is not in the file has no answer, and no
//! configured secret gets into a file.

use crate::ask::{Finish, Usage};
use crate::draft::Whole;
use crate::error::{Error, FailureKind, Fault};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Longest line of a file, in bytes.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Recorded questions that are named where another one was asked, and characters of each.
const NAMED_MAX: usize = 3;
const NAMED_CHARS_MAX: usize = 80;

/// One recorded answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the model at its provider.
    pub model: String,
    /// Who made the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Lineage of its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The last user message.
    pub question: String,
    /// The answer.
    pub text: String,
    /// `stop` when it is not said; `length`, `content_filter` or another word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// Tokens that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens that were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
}

/// A model of a file of transcripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its name.
    pub model: String,
    /// Who made it; empty when no row says so.
    pub vendor: String,
    /// Lineage of its weights; empty when no row says so.
    pub family: String,
    /// Its answers.
    pub answers: usize,
}

/// Recorded answers by model and question.
#[derive(Clone, Debug, Default)]
pub struct Transcripts {
    models: BTreeMap<String, HashMap<String, Row>>,
}

impl Transcripts {
    /// Reads a file; of two rows with one model and question the later one counts.
    ///
    /// # Errors
    /// `File`, `Row`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let unread = |source| Error::File { path: shown.clone(), source };
        let file = File::open(path).map_err(unread)?;
        let mut reader = BufReader::new(file.take(FILE_BYTES_MAX));
        let mut out = Transcripts::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let n = read.map_err(unread)?;
            if n == 0 {
                break;
            }
            let wrong = |reason: String| Error::Row { path: shown.clone(), line: number, reason };
            if n as u64 == LINE_BYTES_MAX {
                return Err(wrong(format!("it is over {LINE_BYTES_MAX} bytes")));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let row: Row = serde_json::from_slice(&line).map_err(|e| wrong(e.to_string()))?;
            out.add(row);
        }
        Ok(out)
    }

    fn add(&mut self, row: Row) {
        let questions = self.models.entry(row.model.clone()).or_default();
        questions.insert(row.question.trim().to_owned(), row);
    }

    /// The models, by name: what a catalog for this file can be made of.
    pub fn models(&self) -> Vec<Recorded> {
        let recorded = |(model, rows): (&String, &HashMap<String, Row>)| {
            let first = |of: fn(&Row) -> Option<&String>| {
                let mut said: Vec<&String> = rows.values().filter_map(of).collect();
                said.sort();
                said.first().map(|s| (*s).clone()).unwrap_or_default()
            };
            Recorded {
                model: model.clone(),
                vendor: first(|row| row.vendor.as_ref()),
                family: first(|row| row.family.as_ref()),
                answers: rows.len(),
            }
        };
        self.models.iter().map(recorded).collect()
    }

    /// The recorded answer, and how long it took.
    pub(crate) fn answer(&self, model: &str, question: &str) -> Result<(Whole, u64), Fault> {
        let missed = |note: String| Err(Fault::new(FailureKind::NotFound, note));
        let Some(rows) = self.models.get(model) else {
            return missed("the transcripts have no such model".to_owned());
        };
        let Some(row) = rows.get(question.trim()) else { return missed(unrecorded(rows)) };
        let finish = row.finish.as_deref().map_or(Finish::Stop, Finish::parse);
        if finish == Finish::Filter {
            return Err(Fault::new(FailureKind::Filter, "as recorded"));
        }
        if row.text.trim().is_empty() {
            let cut = finish == Finish::Length;
            return Err(Fault::new(FailureKind::Empty { cut }, "as recorded"));
        }
        let usage = row.output_tokens.map(|output| Usage {
            input: row.input_tokens.unwrap_or_default(),
            output,
            ..Usage::default()
        });
        let whole = Whole { text: row.text.clone(), version: None, finish, usage };
        Ok((whole, row.latency_ms.unwrap_or_default()))
    }
}

/// What is said of a question that is not among the recorded ones.
fn unrecorded(rows: &HashMap<String, Row>) -> String {
    let mut known: Vec<&String> = rows.keys().collect();
    known.sort();
    let named = |question: &&String| {
        let words: Vec<&str> = question.split_whitespace().collect();
        let head: String = words.join(" ").chars().take(NAMED_CHARS_MAX).collect();
        format!("`{head}`")
    };
    let named: Vec<String> = known.iter().take(NAMED_MAX).map(named).collect();
    let more = match known.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = named.join(", ");
    format!("transcripts answer recorded questions alone, word for word: {named}{more}")
}

/// Appends answers to a file of transcripts.
pub struct Recorder {
    file: Mutex<File>,
    fsync: bool,
}

impl Recorder {
    /// Opens a file to append to, or makes it for its owner alone; `fsync` waits for the disk after
    /// each row.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn open(path: &Path, fsync: bool) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        // It holds whole questions.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        // A row that a crash has cut must not swallow the next one.
        if ends_inside_a_line(path)? {
            file.write_all(b"\n")?;
        }
        Ok(Recorder { file: Mutex::new(file), fsync })
    }

    /// Appends a row with one write; the secrets that occur in it are made unreadable.
    ///
    /// # Errors
    /// Those of writing it.
    pub fn append(&self, row: &Row, secrets: &[String]) -> std::io::Result<()> {
        let mut row = row.clone();
        row.question = redacted(&row.question, secrets);
        row.text = redacted(&row.text, secrets);
        let mut line = serde_json::to_vec(&row)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        if self.fsync { file.sync_data() } else { Ok(()) }
    }
}

fn ends_inside_a_line(path: &Path) -> std::io::Result<bool> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

/// A text without secrets; longer ones first, as one may be the head of another.
pub(crate) fn redacted(text: &str, secrets: &[String]) -> String {
    let mut secrets: Vec<&String> = secrets.iter().filter(|s| text.contains(s.as_str())).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let replace = |text: String, secret: &String| text.replace(secret.as_str(), "[redacted]");
    secrets.into_iter().fold(text.to_owned(), replace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(question: &str, text: &str) -> Row {
        Row {
            model: "toy".to_owned(),
            vendor: Some("v".to_owned()),
            family: None,
            question: question.to_owned(),
            text: text.to_owned(),
            finish: None,
            input_tokens: Some(3),
            output_tokens: Some(5),
            latency_ms: Some(70),
        }
    }

    #[test]
    fn what_was_recorded_is_answered_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.jsonl");
        let recorder = Recorder::open(&path, true).expect("opened");
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(&path).expect("a file").permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        }
        let secrets = ["sk-abcdef".to_owned(), "sk-abcdef-longer".to_owned()];
        recorder.append(&row(" why? ", "old"), &secrets).expect("written");
        let leaky = row("key sk-abcdef-longer", "it is sk-abcdef\nindeed");
        recorder.append(&leaky, &secrets).expect("written");
        recorder.append(&row("why?", "new"), &secrets).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains("sk-"), "{text}");
        let known = Transcripts::open(&path).expect("read");
        let (whole, ms) = known.answer("toy", "why?\n").expect("known");
        assert_eq!((whole.text.as_str(), ms), ("new", 70));
        assert_eq!(whole.usage.map(|u| (u.input, u.output)), Some((3, 5)));
        assert!(known.answer("toy", "key [redacted]").is_ok());
        for (model, question) in [("toy", "who?"), ("other", "why?")] {
            let fault = known.answer(model, question).expect_err("a miss");
            assert_eq!(fault.kind, FailureKind::NotFound);
            assert!(fault.note.contains("transcripts"), "{}", fault.note);
        }
        let fault = known.answer("toy", "who?").expect_err("a miss");
        assert!(fault.note.ends_with("word for word: `key [redacted]`, `why?`"), "{}", fault.note);
        let recorded = known.models();
        assert_eq!((recorded[0].vendor.as_str(), recorded[0].answers), ("v", 2));
    }

    #[test]
    fn a_cut_row_is_named_and_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.jsonl");
        std::fs::write(&path, "{\"model\":\"toy\",\"quest").expect("written");
        let recorder = Recorder::open(&path, false).expect("opened");
        recorder.append(&row("why?", "so"), &[]).expect("written");
        let error = Transcripts::open(&path).expect_err("a damaged row").to_string();
        assert!(error.contains("line 1"), "{error}");
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, text.lines().last().expect("a line")).expect("written");
        assert!(Transcripts::open(&path).expect("read").answer("toy", "why?").is_ok());
    }

    #[test]
    fn recorded_refusals_are_failures() {
        let mut known = Transcripts::default();
        known.add(Row { finish: Some("content_filter".to_owned()), ..row("bad", "I") });
        known.add(row("nothing", " "));
        let kind = |question: &str| known.answer("toy", question).expect_err("a failure").kind;
        assert_eq!(kind("bad"), FailureKind::Filter);
        assert_eq!(kind("nothing"), FailureKind::Empty { cut: false });
    }
}
