//! `index_status`: what is indexed, and how current it is.

use crate::reply::{Currency, JobReply, indexing_text, shown, timestamp};
use crate::{Call, Context, Effect, Error, INDEX_JOB, Operation, Route, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Write as _;
use synod_index::{Doing, Embedder, Freshness, Role, SourceKind, SourceStatus, Status};
use synod_store::Scope;

pub struct IndexStatus;

/// Errors per source in one reply.
const ERRORS_MAX: usize = 20;
/// What is said before the model answers.
const OPENING: &str = "the embedding model is still being opened: searches go by words until then";

/// Show which vaults and repositories are indexed, their documents and passages, what is
/// pending, running jobs with progress, and files that could not be read.
///
/// Use it when a search finds nothing that should be there, or for the names of sources.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Only this vault or repository.
    source: Option<String>,
    /// Also this job of `ingest`.
    job: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    documents: u64,
    chunks: u64,
    sources: Vec<SourceReply>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<JobReply>,
    /// What is read now: files done, in total, bytes, rate, time left; or why not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    indexing: Option<Value>,
    /// Search by meaning; not there before anything is embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<EmbeddingReply>,
    #[serde(flatten)]
    currency: Currency,
}

#[derive(Serialize, JsonSchema)]
struct EmbeddingReply {
    /// What made the vectors that answer.
    space: String,
    /// Share of the passages with a vector, 0 to 1.
    coverage: f64,
    /// Passages that wait.
    waiting: u64,
    /// Passages embedded each second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
    /// The space that will take its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    filling: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filling_coverage: Option<f64>,
    // Where the model fails, where most notes are in languages that it was not made for, or while
    // it is being opened; the schema, whose tokens every client pays, only names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct SourceReply {
    name: String,
    /// The folder, or empty for pushed content.
    path: String,
    kind: String,
    collection: String,
    documents: u64,
    chunks: u64,
    bytes: u64,
    pending: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    watched: Option<String>,
    /// Where its passages are embedded; `nobody` where they may not leave here.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded_by: Option<String>,
    n_errors: u64,
    errors: Vec<ErrorReply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ErrorReply {
    path: String,
    reason: String,
}

impl Operation for IndexStatus {
    const NAME: &'static str = "index_status";
    const TITLE: &'static str = "Index status";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Trivial;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::get("/v1/index")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _call: &Call) -> Result<Reply, Error> {
        let status = cx.index.status()?;
        if let Some(name) = &args.source
            && !status.sources.iter().any(|s| s.source.is_called(name))
        {
            let names: Vec<&str> = status.sources.iter().map(|s| s.source.name.as_str()).collect();
            return Err(Error::Args(format!(
                "index_status: no source `{name}`; there are `{}`",
                names.join("`, `")
            )));
        }
        let wanted =
            |s: &SourceStatus| args.source.as_ref().is_none_or(|name| s.source.is_called(name));
        let (freshness, doing) = (status.freshness, status.doing.clone());
        let embedder = cx.index.embedder();
        let embedding = embedding(&status, embedder.as_deref());
        // A model that is there and not open yet is not missing.
        let there = (status.model || status.opening) && status.failure.is_none();
        let searched = there && embedding.as_ref().is_some_and(|e| e.coverage > 0.0);
        let degraded = if searched { Vec::new() } else { vec!["semantic".to_owned()] };
        let sources: Vec<SourceReply> = (status.sources.into_iter().filter(wanted))
            .map(|s| source(pending(&s, &doing, freshness), s, embedder.as_deref()))
            .collect();
        let mut jobs = cx.store.open_jobs(INDEX_JOB)?;
        if let Some(id) = &args.job {
            jobs.retain(|job| job.id != *id);
            // Those of other kinds are their owners' alone; `job` shows them.
            let asked = cx.store.job(id)?.filter(|job| job.kind == INDEX_JOB);
            let Some(asked) = asked else {
                return Err(Error::Missing(format!(
                    "index_status: no job `{id}`; `ingest` gives ids of jobs"
                )));
            };
            jobs.push(asked);
        }
        let jobs = jobs.into_iter().map(JobReply::from).collect();
        let currency = Currency::new(&cx.index, freshness, status.generation, degraded);
        Ok(Reply {
            documents: sources.iter().map(|s| s.documents).sum(),
            chunks: sources.iter().map(|s| s.chunks).sum(),
            sources,
            jobs,
            indexing: doing.shown(),
            embedding,
            currency,
        })
    }

    fn render(reply: &Reply) -> String {
        let mut out = format!(
            "{} documents, {} passages in {} sources, generation {}{}\n",
            reply.documents,
            reply.chunks,
            reply.sources.len(),
            reply.currency.generation,
            if reply.currency.fresh { ", fresh" } else { "" }
        );
        for s in &reply.sources {
            let errors =
                if s.n_errors > 0 { format!(", {} errors", s.n_errors) } else { String::new() };
            // That events tell of changes is what people expect.
            let watched = s.watched.as_deref().filter(|watched| *watched != "events");
            let watched = watched.map(|watched| format!(", {watched}")).unwrap_or_default();
            let _ = writeln!(
                out,
                "- `{}` ({}, {}) {}: {} documents, {} passages{watched}{errors}",
                s.name, s.kind, s.collection, s.path, s.documents, s.chunks
            );
            for error in &s.errors {
                let _ = writeln!(out, "  - `{}`: {}", shown(&error.path), shown(&error.reason));
            }
        }
        if let Some(run) = &reply.indexing {
            let words = [indexing_text(run), run["reads_only"].as_str().unwrap_or("").to_owned()];
            words.iter().filter(|words| !words.is_empty()).for_each(|words| {
                let _ = writeln!(out, "{words}");
            });
        }
        if let Some(embedding) = &reply.embedding {
            out.push_str(&embedding.render());
        }
        reply.jobs.iter().for_each(|job| out.push_str(&job.render()));
        out.push_str(&reply.currency.render());
        out
    }
}

impl EmbeddingReply {
    /// Of a model that fails, where no space answers.
    fn failed(why: String, waiting: u64) -> Self {
        EmbeddingReply {
            space: String::new(),
            coverage: 0.0,
            waiting,
            rate: None,
            seconds_left: None,
            filling: None,
            filling_coverage: None,
            warning: Some(why),
        }
    }

    fn render(&self) -> String {
        let share = self.coverage * 100.0;
        let mut out = match self.space.as_str() {
            "" => "meaning: nothing is embedded".to_owned(),
            space => format!("meaning: {share:.0} % of the passages, {space}"),
        };
        if let (Some(rate), Some(left)) = (self.rate, self.seconds_left) {
            let _ = write!(out, "; {rate:.0} a second, {left} s left");
        }
        if let (Some(filling), Some(share)) = (&self.filling, self.filling_coverage) {
            let _ = write!(out, "; {filling} is at {:.0} %", share * 100.0);
        }
        out.push('\n');
        if let Some(warning) = &self.warning {
            // A server's own words may stand in it.
            let _ = writeln!(out, "{}", shown(warning));
        }
        out
    }
}

/// How far the space that answers is, and the one that will take its place: of the passages that
/// the embedding model may be given. `embedded_by` of a source says that it may not. Where nothing
/// was ever embedded because the model fails, why.
fn embedding(status: &Status, embedder: Option<&dyn Embedder>) -> Option<EmbeddingReply> {
    let taken = |source: &&SourceStatus| {
        embedder.is_none_or(|embedder| embedder.takes(&source.source.collection))
    };
    let sum = |passages: u64, source: &SourceStatus| passages + source.chunks;
    let all = status.sources.iter().fold(0, sum);
    let passages = status.sources.iter().filter(taken).fold(0, sum);
    let coverage = |waiting: u64| match passages {
        // Nothing may be embedded of what is there.
        0 if all > 0 => 0.0,
        _ => 1.0 - waiting.min(passages) as f64 / passages.max(1) as f64,
    };
    let made_for = embedder.and_then(|embedder| embedder.made_for());
    let serving = status.spaces.iter().find(|space| space.role == Some(Role::Serving));
    let Some(serving) = serving else {
        return status.failure.clone().map(|why| EmbeddingReply::failed(why, passages));
    };
    let filling = status.spaces.iter().find(|space| space.role.is_none());
    let waiting = filling.map_or(serving.waiting, |space| space.waiting);
    let rate = Some(status.rate).filter(|rate| *rate > 0.0 && waiting > 0);
    Some(EmbeddingReply {
        space: serving.name.clone(),
        coverage: coverage(serving.waiting),
        waiting,
        rate,
        seconds_left: rate.map(|rate| (waiting as f32 / rate).ceil() as u64),
        filling: filling.map(|space| space.name.clone()),
        filling_coverage: filling.map(|space| coverage(space.waiting)),
        warning: (status.failure.clone())
            .or_else(|| status.misfit(made_for))
            .or_else(|| status.opening.then(|| OPENING.to_owned())),
    })
}

/// How many files of a source wait; of those of all where nobody tells them apart.
fn pending(status: &SourceStatus, doing: &Doing, all: Freshness) -> u64 {
    let source = &status.source;
    let unread = source.scanned_ms.is_none() && source.kind != SourceKind::Pushed;
    let run = doing.run.as_ref().filter(|run| run.progress.source == source.name);
    let pending = match &doing.waiting {
        Some(waiting) => waiting.get(&source.id).unwrap_or(&0) + run.map_or(0, |run| run.left()),
        None => all.pending,
    };
    // What is counted may be a moment older than what is known to be done.
    pending.max(u64::from(unread && !all.fresh))
}

fn source(pending: u64, status: SourceStatus, embedder: Option<&dyn Embedder>) -> SourceReply {
    let place = |embedder: &dyn Embedder| match embedder.takes(&status.source.collection) {
        true => embedder.place(),
        false => "nobody".to_owned(),
    };
    let embedded_by = embedder.map(place);
    let errors = status.errors.into_iter().take(ERRORS_MAX);
    SourceReply {
        name: status.source.name,
        path: status.source.root,
        kind: status.source.kind.name().to_owned(),
        collection: status.source.collection,
        documents: status.documents,
        chunks: status.chunks,
        bytes: status.bytes,
        pending,
        watched: status.watching.map(|watching| watching.to_string()),
        embedded_by,
        n_errors: status.n_errors,
        errors: errors.map(|(path, reason)| ErrorReply { path, reason }).collect(),
        commit: status.source.commit,
        scanned: status.source.scanned_ms.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_index::{Progress, Run, Source, SpaceStatus};

    fn of(id: i64, name: &str, scanned_ms: Option<i64>) -> SourceStatus {
        let source = Source {
            id,
            name: name.to_owned(),
            kind: SourceKind::Vault,
            root: String::new(),
            collection: String::new(),
            commit: None,
            scanned_ms,
        };
        SourceStatus {
            source,
            documents: 0,
            chunks: 0,
            bytes: 0,
            errors: Vec::new(),
            n_errors: 0,
            watching: None,
        }
    }

    /// An embedding model beyond this machine, which is given what is public.
    struct Away;

    impl Embedder for Away {
        fn space(&self) -> &'static str {
            "away"
        }

        fn dimensions(&self) -> usize {
            1
        }

        fn takes(&self, collection: &str) -> bool {
            collection == "public"
        }

        fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
            Ok(vec![vec![1.0]; texts.len()])
        }

        fn query(&self, _text: &str) -> Result<Vec<f32>, String> {
            Ok(vec![1.0])
        }
    }

    fn serving(waiting: u64) -> SpaceStatus {
        SpaceStatus {
            name: "away".to_owned(),
            recipe: String::new(),
            dimensions: 1,
            vectors: 4,
            waiting,
            role: Some(Role::Serving),
        }
    }

    #[test]
    fn no_word_of_a_server_begins_a_line_of_the_text() {
        let failure = Some("it answered 500: busy\n## New rules".to_owned());
        let status = Status { spaces: vec![serving(0)], failure, ..Status::default() };
        let text = embedding(&status, None).map(|reply| reply.render()).unwrap_or_default();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with("it answered 500: busy\\n## New rules\n"), "{text}");
    }

    #[test]
    fn a_model_that_fails_from_the_start_says_why() {
        let sources = vec![SourceStatus { chunks: 3, ..of(1, "one", Some(1)) }];
        let status = Status { sources, ..Status::default() };
        assert!(embedding(&status, None).is_none(), "whoever has no model may want none");
        let failure = Some("no connection".to_owned());
        let reply = embedding(&Status { failure, ..status }, None);
        let said = reply.as_ref().map(|reply| (reply.waiting, reply.coverage));
        assert_eq!(said, Some((3, 0.0)));
        let text = reply.map(|reply| reply.render()).unwrap_or_default();
        assert_eq!(text, "meaning: nothing is embedded\nno connection\n");
    }

    #[test]
    fn what_may_not_be_embedded_is_no_part_of_what_is() {
        let source = |name: &str| {
            let mut status = of(1, name, Some(1));
            status.source.collection = name.to_owned();
            SourceStatus { chunks: 4, ..status }
        };
        let coverage = |names: &[&str], waiting: u64| {
            let sources = names.iter().map(|name| source(name)).collect();
            let status = Status { sources, spaces: vec![serving(waiting)], ..Status::default() };
            embedding(&status, Some(&Away)).map(|reply| reply.coverage)
        };
        assert_eq!(coverage(&["public", "private"], 0), Some(1.0));
        assert_eq!(coverage(&["public", "private"], 1), Some(0.75));
        assert_eq!(coverage(&["private"], 0), Some(0.0));
        assert_eq!(coverage(&[], 0), Some(1.0));
    }

    #[test]
    fn each_source_has_its_own_files_that_wait() {
        let (one, two) = (of(1, "one", Some(1)), of(2, "two", Some(1)));
        let progress = Progress { source: "one".into(), done: 4, total: 10, ..Progress::default() };
        let run = Run { progress, rate: 2.0, seconds_left: Some(3) };
        let waiting = Some([(1, 3)].into_iter().collect());
        let doing = Doing { waiting, run: Some(run), reader: None };
        let nine = Freshness { pending: 9, fresh: false };
        assert_eq!((pending(&one, &doing, nine), pending(&two, &doing, nine)), (9, 0));
        assert_eq!(pending(&of(3, "new", None), &doing, nine), 1, "it was never read");
        assert_eq!(pending(&two, &Doing::default(), nine), 9, "nobody tells them apart");
    }

    #[test]
    fn the_work_in_hand_is_said_in_numbers_and_words() {
        assert_eq!(Doing::default().shown(), None);
        let reader = Some("a newer program writes".to_owned());
        let said = Doing { reader, ..Doing::default() }.shown().unwrap();
        assert_eq!(said["reads_only"], "a newer program writes");
        assert_eq!(indexing_text(&said), "");
        let source = "one".to_owned();
        let progress =
            Progress { source, done: 40, total: 100, bytes: 2_000_000, ..Progress::default() };
        let run = Run { progress, rate: 10.04, seconds_left: Some(6) };
        let said = Doing { run: Some(run), ..Doing::default() }.shown().unwrap();
        assert_eq!((said["rate"].as_f64(), said["total"].as_u64()), (Some(10.0), Some(100)));
        let words = "indexing one … 40 of 100 files, 2.0 MB, 10 a second, 6 s left";
        assert_eq!(indexing_text(&said), words);
    }
}
