//! `spec_update`: one edit of one line of a feature, under the hash of the document that was read.

use crate::spec_previous::Keeper;
use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use synod_speckit::{
    Change, Edit, Edited, Error as Fault, Feature, Marker, MarkerRef, NewTask, Place, Spec, edit,
};
use synod_store::Scope;

pub struct SpecUpdate;

/// The rest of a line that stands for a question, in bytes.
const UNSAID_BYTES_MAX: usize = 400;

/// Tick or untick a task or checklist item, append a task, answer an open question, set the status:
/// one edit, refused if the document no longer has this `hash`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    project: Option<String>,
    feature: Option<String>,
    op: Op,
    /// tasks.md by default.
    doc: Option<String>,
    /// T012 or CHK001; append: phase; answer: question or line.
    id: Option<String>,
    /// May begin with [P] [US1].
    text: Option<String>,
    hash: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    Tick,
    Untick,
    Append,
    Answer,
    Status,
}

#[derive(Serialize, JsonSchema)]
struct ChangeReply {
    line: usize,
    before: String,
    after: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    doc: String,
    line: usize,
    before: String,
    after: String,
    /// Of the document now.
    hash: String,
    /// Of new tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<String>,
    /// Other lines that changed with it: line, before, after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    also: Vec<ChangeReply>,
}

impl Operation for SpecUpdate {
    const NAME: &'static str = "spec_update";
    const TITLE: &'static str = "Change a feature";
    const EFFECT: Effect = Effect::Write;
    const SCOPE: Scope = Scope::SpecWrite;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = false;
    const ROUTES: &'static [Route] = &[Route::post("/v1/spec-kit/features/{feature}/updates", 200)];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _: &Call) -> Result<Reply, Error> {
        let project = spec::project(cx, Self::NAME, args.project.as_deref())?;
        let feature = spec::feature(Self::NAME, &project, args.feature.as_deref())?;
        let wanted = |what: &str| Error::Args(format!("spec_update: this wants {what}"));
        let id = given(&args.id);
        let (doc, text) = (given(&args.doc), given(&args.text));
        let today: String = synod_index::timestamp((cx.now_ms)()).chars().take(10).collect();
        let asked = match (args.op, id) {
            (Op::Answer, Some(id)) => Some(question(&feature, id)?),
            _ => None,
        };
        let tasks = [text.map(tagged).unwrap_or_default()];
        let change = match args.op {
            Op::Tick | Op::Untick => Edit::Tick {
                doc: doc.unwrap_or("tasks.md"),
                id: id.ok_or_else(|| wanted("an `id`, as T012"))?,
                line: None,
                done: args.op == Op::Tick,
            },
            Op::Append if tasks[0].text.is_empty() => return Err(wanted("the task as `text`")),
            Op::Append => {
                Edit::Append { place: id.map_or(Place::End, Place::Phase), tasks: &tasks }
            }
            Op::Answer => {
                let (question, marker) =
                    asked.as_ref().ok_or_else(|| wanted("the question, or its line, as `id`"))?;
                let answer = text.ok_or_else(|| wanted("the answer as `text`"))?;
                let marker = marker.map(|line| match line {
                    Some(line) => MarkerRef::Line(line),
                    None => MarkerRef::Question(question),
                });
                Edit::Answer { question, answer, date: &today, marker }
            }
            Op::Status => Edit::Status(text.ok_or_else(|| wanted("the status as `text`"))?),
        };
        if let Some(doc) = doc.filter(|doc| *doc != change.doc()) {
            let text = format!("spec_update: this changes `{}`, not `{doc}`", change.doc());
            return Err(Error::Args(format!("{text}; leave `doc` out")));
        }
        let keeper = Keeper::new(cx);
        let keep = |path: &Path, text: &[u8]| keeper.keep(path, text);
        let done = edit(&feature, &change, args.hash.as_deref(), &keep).map_err(|error| {
            let since = match (&error, &args.hash) {
                (Fault::Conflict { doc, .. }, Some(hash)) => cx.specs.changed(&feature, doc, hash),
                _ => None,
            };
            match (keeper.fault(Self::NAME, error), since) {
                (Error::Store(synod_store::Error::Conflict(text)), Some(since)) => {
                    let text = format!("{text}\nWhat changed since:\n{since}");
                    Error::Store(synod_store::Error::Conflict(text))
                }
                (fault, _) => fault,
            }
        })?;
        cx.specs.remember(&feature, [&format!("{}/{}", feature.path, done.doc)[..]]);
        reply(done)
    }

    fn render(reply: &Reply) -> String {
        let Reply { doc, line, before, after, hash, .. } = reply;
        let change = match before.is_empty() {
            true => format!("+ {after}"),
            false => format!("- {before}\n+ {after}"),
        };
        format!("{doc}:{line}\n{change}\n\n_hash: {hash}_\n")
    }
}

/// What an argument says, if anything.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// A task as a person writes it: tags in front of its text.
fn tagged(text: &str) -> NewTask<'_> {
    let mut task = NewTask { text, parallel: false, story: None };
    while let Some((tag, rest)) = task.text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        match tag.trim() {
            "P" => task.parallel = true,
            tag => match tag.strip_prefix("US").and_then(|n| n.parse().ok()) {
                Some(story) => task.story = Some(story),
                None => return task,
            },
        }
        task.text = rest.trim_start();
    }
    task
}

/// The question that is answered, and its marker if it is open: by its line, or (no line) by its
/// words.
fn question(feature: &Feature, id: &str) -> Result<(String, Option<Option<usize>>), Error> {
    let doc = feature.read("spec.md").map_err(|error| spec::fault("spec_update", error))?;
    let markers = Spec::parse(&doc.text).markers;
    if let Ok(line) = id.parse::<usize>() {
        let found = markers.iter().find(|marker| marker.line == line);
        let asked = found.map(|marker| match marker.question.as_str() {
            "" => (unsaid(&doc.text, marker), Some(Some(line))),
            question => (question.to_owned(), Some(Some(line))),
        });
        return asked.ok_or_else(|| {
            let lines: Vec<String> = markers.iter().map(|m| m.line.to_string()).collect();
            Error::Missing(format!(
                "spec_update: line {line} of spec.md has no open question; there are some in \
                 lines {}",
                lines.join(", ")
            ))
        });
    }
    // One that no marker asks was answered elsewhere, and is only noted down.
    let open = markers.iter().any(|marker| marker.asks(id));
    Ok((id.to_owned(), open.then_some(None)))
}

/// What a marker without words asks: the rest of its line, or which line that is where the rest
/// cannot be repeated.
fn unsaid(text: &str, marker: &Marker) -> String {
    let before = text.get(..marker.bytes.start).and_then(|text| text.rsplit('\n').next());
    let behind = text.get(marker.bytes.end..).and_then(|text| text.lines().next());
    let (before, behind) = (before.unwrap_or_default(), behind.unwrap_or_default());
    let rest = format!("{} {}", before.trim(), behind.trim());
    let rest = rest.trim();
    let rest = ["- ", "* ", "+ "].iter().find_map(|sign| rest.strip_prefix(sign)).unwrap_or(rest);
    let odd = ["NEEDS CLARIFICATION", "<!--", "-->"].iter().any(|sign| rest.contains(sign))
        || rest.contains(char::is_control)
        || rest.is_empty()
        || rest.len() > UNSAID_BYTES_MAX;
    if odd { format!("line {}", marker.line) } else { rest.to_owned() }
}

/// The first change as what was asked for, the others beside it.
fn reply(done: Edited) -> Result<Reply, Error> {
    let mut changes = done.changes.into_iter();
    let first =
        changes.next().unwrap_or(Change { line: 0, before: String::new(), after: String::new() });
    let also = changes.map(|change| ChangeReply {
        line: change.line,
        before: change.before,
        after: change.after,
    });
    Ok(Reply {
        doc: done.doc,
        line: first.line,
        before: first.before,
        after: first.after,
        hash: done.hash,
        ids: done.ids,
        also: also.collect(),
    })
}
