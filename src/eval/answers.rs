//! Recorded answers of models to questions whose right answer is known, a JSON object a line:
//! `question_id, question, gold, options?, answers[] {model, vendor, family, text, correct,
//! claims?}`.

use crate::fault::{self, Fault};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use synod_council::measure::{Answers, Row};
use synod_council::verdict::weights;
use synod_council::{Kind, Lots, extract};

/// One model's answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Who gave it.
    pub model: String,
    /// Whose model it is.
    #[serde(default)]
    pub vendor: String,
    /// Lineage of weights.
    #[serde(default)]
    pub family: String,
    /// The raw text.
    pub text: String,
    /// Judged right.
    #[serde(default)]
    pub correct: bool,
    /// Claims with a person's word on each.
    #[serde(default)]
    pub claims: Vec<Claim>,
}

/// A claim that people judged.
#[derive(Clone, Debug, Deserialize)]
pub struct Claim {
    /// As it stands in the answer.
    pub text: String,
    /// The source bears it out.
    pub supported: bool,
}

/// A question with its answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// What was asked.
    pub question: String,
    /// The right answer, if there is one text for it.
    #[serde(default)]
    pub gold: Option<String>,
    /// Of a choice.
    #[serde(default)]
    pub options: Vec<String>,
    /// What was answered.
    pub answers: Vec<Answer>,
}

/// A file of them.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// As its file is called.
    pub name: String,
    /// The questions.
    pub questions: Vec<Question>,
}

/// A line of a file of transcripts.
#[derive(Deserialize)]
struct Transcript {
    model: String,
    #[serde(default)]
    vendor: String,
    #[serde(default)]
    family: String,
    question: String,
    text: String,
}

fn wrong(path: &Path, what: impl Display) -> Fault {
    Fault::new(fault::UNPROCESSABLE, format!("{}: {what}", path.display()))
}

impl Recorded {
    /// The questions of a file of transcripts, in the order in which they are first asked.
    ///
    /// # Errors
    /// `unprocessable`, naming the file and the line.
    pub fn of_transcripts(path: &Path) -> Result<Self, Fault> {
        let file = std::fs::File::open(path).map_err(|e| wrong(path, e))?;
        let mut questions: Vec<Question> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| wrong(path, e))?;
            if line.trim().is_empty() {
                continue;
            }
            let row: Transcript = serde_json::from_str(&line)
                .map_err(|e| wrong(path, format!("line {}: {e}", at + 1)))?;
            let place = *places.entry(row.question.clone()).or_insert_with(|| {
                let question = row.question.clone();
                questions.push(Question {
                    question,
                    gold: None,
                    options: Vec::new(),
                    answers: Vec::new(),
                });
                questions.len() - 1
            });
            questions[place].answers.push(Answer {
                model: row.model,
                vendor: row.vendor,
                family: row.family,
                text: row.text,
                correct: false,
                claims: Vec::new(),
            });
        }
        Ok(Recorded { name: String::new(), questions })
    }

    /// Reads a file, compressed or not.
    ///
    /// # Errors
    /// `unprocessable`, naming the file and the line.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let file = std::fs::File::open(path).map_err(|e| wrong(path, e))?;
        let packed = path.extension().is_some_and(|e| e == "gz");
        let reader: Box<dyn Read> =
            if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut questions = Vec::new();
        for (at, line) in BufReader::new(reader).lines().enumerate() {
            let line = line.map_err(|e| wrong(path, e))?;
            let question = serde_json::from_str(&line);
            questions.push(question.map_err(|e| wrong(path, format!("line {}: {e}", at + 1)))?);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().unwrap_or_default().to_owned();
        Ok(Recorded { name, questions })
    }

    /// Votes as the product takes them out of the texts; of several samples of a model the first.
    pub fn votes(&self, kind: Kind) -> Answers {
        let all = self.questions.iter().flat_map(|q| &q.answers);
        let mut models: Vec<String> = all.map(|answer| answer.model.clone()).collect();
        models.sort();
        models.dedup();
        let row = |question: &Question| {
            let mut clusters: HashMap<String, usize> = HashMap::new();
            let mut votes = vec![None; models.len()];
            for answer in &question.answers {
                let Ok(place) = models.binary_search(&answer.model) else { continue };
                let found = extract(kind, &answer.text, None, &question.options);
                if let (None, Ok(found)) = (votes[place], found) {
                    let next = clusters.len();
                    votes[place] = Some(*clusters.entry(found.value).or_insert(next));
                }
            }
            let gold = extract(kind, "", question.gold.as_deref(), &question.options).ok();
            let right = gold.and_then(|gold| clusters.get(&gold.value).copied());
            let lots = Lots::of(&question.question);
            let lots = models.iter().map(|model| lots.draw(&weights(model))).collect();
            Row { votes, right, options: question.options.len(), lots }
        };
        let questions = self.questions.iter().map(row).collect();
        Answers { kind, models, questions }
    }

    /// Writes them as transcripts from which the dialect `replay` answers, by rename.
    ///
    /// # Errors
    /// `unprocessable`, naming the file.
    pub fn transcripts(&self, path: &Path) -> Result<(), Fault> {
        let making = path.with_extension(format!("making-{}", std::process::id()));
        let file = std::fs::File::create(&making).map_err(|e| wrong(&making, e))?;
        let mut out = BufWriter::new(file);
        for question in &self.questions {
            let asked = synod_tools::prompt(&question.question, &question.options);
            let mut seen: Vec<&str> = Vec::new();
            for answer in &question.answers {
                if seen.contains(&answer.model.as_str()) || answer.text.trim().is_empty() {
                    continue;
                }
                seen.push(&answer.model);
                let row = serde_json::json!({
                    "model": answer.model, "vendor": answer.vendor, "family": answer.family,
                    "question": asked, "text": answer.text, "finish": "stop",
                });
                writeln!(out, "{row}").map_err(|e| wrong(&making, e))?;
            }
        }
        out.flush().map_err(|e| wrong(&making, e))?;
        std::fs::rename(&making, path).map_err(|e| wrong(path, e))
    }
}
