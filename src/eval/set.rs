//! A judged set as a real folder of documents with questions.
//!
//! A set's folder holds `queries.jsonl.gz` {id, text, …}, `qrels.tsv.gz` (question, document,
//! score; a header line), and its documents as `corpus.jsonl.gz` {id, path, title, text}, as
//! `tree.tar.gz`, or by a script `make-tree.sh DEST`.

use crate::fault::{self, Fault};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A question with its judged documents.
#[derive(Clone, Debug)]
pub struct Question {
    /// As it is asked.
    pub text: String,
    /// What the set says of it: its type, or the half that it belongs to.
    pub part: String,
    /// Grade by path of the document.
    pub judged: HashMap<String, f64>,
}

/// A set laid out as a folder.
#[derive(Clone, Debug)]
pub struct Set {
    /// As its folder is called.
    pub name: String,
    /// Its documents as files.
    pub folder: PathBuf,
    /// Its questions.
    pub questions: Vec<Question>,
}

fn wrong(path: &Path, what: impl Display) -> Fault {
    Fault::new(fault::UNPROCESSABLE, format!("{}: {what}", path.display()))
}

impl Set {
    /// Reads the set in `source` and lays its documents out below `work`, once.
    ///
    /// # Errors
    /// `unprocessable`, naming the file at fault.
    pub fn open(source: &Path, work: &Path) -> Result<Set, Fault> {
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let corpus = source.join("corpus.jsonl.gz");
        let (archive, script) = (source.join("tree.tar.gz"), source.join("make-tree.sh"));
        let folder = work.join(&name);
        let whole = archive.exists() || script.exists();
        if !folder.join(".done").exists() {
            // A folder of our own first: two processes may lay out the same set.
            let making = folder.with_extension(format!("making-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&making);
            std::fs::create_dir_all(&making).map_err(|e| wrong(&making, e))?;
            if archive.exists() {
                command(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&making))?;
            } else if script.exists() {
                command(Command::new("bash").arg(&script).arg(&making))?;
            } else {
                write_corpus(&corpus, &name, &making)?;
            }
            std::fs::write(making.join(".done"), "").map_err(|e| wrong(&making, e))?;
            if std::fs::rename(&making, &folder).is_err() {
                let _ = std::fs::remove_dir_all(&making);
            }
        }
        let folder = if whole { folder.join("tree") } else { folder };
        let path = |id: &str| if whole { id.to_owned() } else { path_of(&name, "", id) };
        let questions = questions(source, path)?;
        Ok(Set { name, folder, questions })
    }

    /// The first `n` questions of a part, or of all.
    pub fn some(&self, part: Option<&str>, n: usize) -> Vec<&Question> {
        let fits = |question: &&Question| part.is_none_or(|part| question.part == part);
        self.questions.iter().filter(fits).take(n).collect()
    }

    /// The parts that its questions belong to, if there are several.
    pub fn parts(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.questions.iter().map(|q| q.part.as_str()).collect();
        parts.sort_unstable();
        parts.dedup();
        if parts.len() > 1 { parts } else { Vec::new() }
    }
}

/// Runs a program that lays documents out; what it prints is not ours to show.
fn command(command: &mut Command) -> Result<(), Fault> {
    let said = format!("{command:?}");
    let done = command.output();
    match done {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Fault::new(fault::UNPROCESSABLE, format!("{said} failed: {}", why.trim())))
        }
        Err(error) => Err(Fault::new(fault::UNPROCESSABLE, format!("{said}: {error}"))),
    }
}

fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String, Fault>> + use<'_>, Fault> {
    let file = std::fs::File::open(path).map_err(|e| wrong(path, e))?;
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    Ok(lines.map(move |line| line.map_err(|e| wrong(path, e))))
}

fn json(path: &Path) -> Result<impl Iterator<Item = Result<Value, Fault>> + use<'_>, Fault> {
    Ok(lines(path)?.map(move |line| serde_json::from_str(&line?).map_err(|e| wrong(path, e))))
}

/// The path of a document of a corpus; where it has none, by its id. Functions in Python are files
/// of Python, parts of a file lie in a folder of its name, everything else is prose.
fn path_of(set: &str, path: &str, id: &str) -> String {
    match set {
        "cosqa" => format!("{id}.py"),
        _ if id.contains('#') => id.replace('#', "/part_"),
        _ if path.is_empty() => format!("{id}.md"),
        _ => path.to_owned(),
    }
}

fn write_corpus(corpus: &Path, set: &str, folder: &Path) -> Result<(), Fault> {
    for document in json(corpus)? {
        let document = document?;
        let text = |key: &str| document[key].as_str().unwrap_or_default();
        let path = folder.join(path_of(set, text("path"), text("id")));
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(wrong(corpus, format!("`{}` leaves the folder", text("id"))));
        }
        let body = match text("title") {
            "" => text("text").to_owned(),
            title => format!("# {title}\n\n{}\n", text("text")),
        };
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|e| wrong(parent, e))?;
        std::fs::write(&path, body).map_err(|e| wrong(&path, e))?;
    }
    Ok(())
}

fn questions(source: &Path, path: impl Fn(&str) -> String) -> Result<Vec<Question>, Fault> {
    let mut judged: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in lines(&source.join("qrels.tsv.gz"))?.skip(1) {
        let line = line?;
        let mut parts = line.split('\t');
        let mut part = || parts.next().unwrap_or_default();
        let (question, document, score) = (part(), part(), part());
        let score: f64 = score.parse().unwrap_or(0.0);
        if score > 0.0 {
            judged.entry(question.to_owned()).or_default().insert(path(document), score);
        }
    }
    let mut out = Vec::new();
    for question in json(&source.join("queries.jsonl.gz"))? {
        let question = question?;
        let text = |key: &str| question[key].as_str().unwrap_or_default().to_owned();
        if let Some(judged) = judged.remove(&text("id")) {
            let part = if text("type").is_empty() { text("split") } else { text("type") };
            out.push(Question { text: text("text"), part, judged });
        }
    }
    Ok(out)
}
