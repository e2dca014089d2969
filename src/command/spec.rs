//! `synod spec`: features of Spec-Kit projects, from the command line, and the texts that edits of
//! them replaced.

use super::tool::{FACE, engine, plain, print};
use super::{say, say_bytes};
use crate::cli::{Failure, Session};
use crate::fault::{Fault, correlation_id};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use synod_store::{Entry, RESOURCE_BYTES_MAX};
use synod_tools::{Context, Present, PreviousTexts, head};
use synod_tools::{spec_previous, spec_previous_text, spec_restore};

/// As log and ledger name what is done with texts that edits replaced.
const PREVIOUS: &str = "spec.previous";

#[derive(Args, Debug)]
#[command(disable_help_subcommand = true)]
pub struct SpecArgs {
    #[command(subcommand)]
    pub action: Option<SpecAction>,
    /// The feature, by its id, name or path; without one all are listed.
    pub feature: Option<String>,
    /// The part to show: T012, US1, FR-003, plan, spec.md#Heading, checklists/NAME.
    pub what: Option<String>,
    /// The project: a source, or a path inside one; needed where there are several.
    #[arg(long)]
    pub project: Option<String>,
    /// Show the next task instead.
    #[arg(long, requires = "feature", conflicts_with_all = ["what", "check", "tick"])]
    pub next: bool,
    /// Check it instead.
    #[arg(long, requires = "feature", conflicts_with_all = ["what", "tick"])]
    pub check: bool,
    /// Tick this task of it.
    #[arg(long, value_name = "ID", requires = "feature", conflicts_with = "what")]
    pub tick: Option<String>,
}

#[derive(Subcommand, Debug)]
pub enum SpecAction {
    /// List the texts of a file that edits replaced (when, hash, bytes), show or put back one.
    Previous(PreviousArgs),
}

#[derive(Args, Debug)]
pub struct PreviousArgs {
    /// The file, which may be gone.
    pub file: PathBuf,
    /// Print the text of this hash.
    #[arg(long, value_name = "HASH", conflicts_with = "restore")]
    pub show: Option<String>,
    /// Put the text of this hash back; what it replaces is kept as well.
    #[arg(long, value_name = "HASH")]
    pub restore: Option<String>,
    /// Put it back only if the file still has this hash, as it was listed.
    #[arg(long, value_name = "HASH", requires = "restore")]
    pub hash: Option<String>,
}

/// `synod spec`
pub fn run(session: &Session, args: &SpecArgs) -> Result<ExitCode, Failure> {
    if let Some(SpecAction::Previous(previous)) = &args.action {
        if args.feature.is_some() || args.project.is_some() {
            let text = "`synod spec previous FILE` takes neither a feature nor `--project`; its \
                        file says which";
            return Err(text.into());
        }
        return self::previous(session, previous);
    }
    // A folder is meant as the shell means it; anything else is a source's name.
    let folder = |named: &str| {
        let path = std::path::absolute(named).ok().filter(|path| path.is_dir());
        path.map_or_else(|| named.to_owned(), |path| path.display().to_string())
    };
    let project = args.project.as_deref().map(folder);
    let feature = &args.feature;
    let (tool, mut call) = match &args.tick {
        Some(id) => ("spec_update", json!({ "feature": feature, "op": "tick", "id": id })),
        None if args.next => ("spec_next", json!({ "feature": feature })),
        None if args.check => ("spec_validate", json!({ "feature": feature })),
        None if feature.is_some() => {
            ("spec_read", json!({ "feature": feature, "what": args.what }))
        }
        None => ("spec_list", json!({})),
    };
    if let Some(project) = project {
        call["project"] = project.into();
    }
    let answer = plain(session, tool, call)?;
    print(session, &answer);
    // Warnings and hints are no failure of a check.
    let failed = args.check && answer.structured["ok"] == false;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `synod spec previous`
fn previous(session: &Session, args: &PreviousArgs) -> Result<ExitCode, Failure> {
    let file = std::path::absolute(&args.file)?;
    match (&args.show, &args.restore) {
        (Some(hash), _) => show(session, file, hash.clone())?,
        (None, Some(hash)) => put_back(session, file, hash.clone(), args.hash.clone())?,
        (None, None) => {
            let work = move |cx: &Context| spec_previous(cx, &file).map_err(Fault::from);
            list(session, &engine(session, PREVIOUS, work)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, kept: &PreviousTexts) {
    let PreviousTexts { file, present, texts } = kept;
    if session.common.json {
        let rows: Vec<_> = (texts.iter())
            .map(|text| {
                let at = synod_index::timestamp(text.at_ms);
                json!({ "at": at, "hash": text.hash, "bytes": text.bytes })
            })
            .collect();
        let (hash, unreadable) = match present {
            Present::Hash(hash) => (Some(hash), None),
            Present::Gone => (None, None),
            Present::Unreadable(why) => (None, Some(why)),
        };
        let mut reply = json!({ "file": file, "hash": hash, "texts": rows });
        if let Some(why) = unreadable {
            reply["unreadable"] = why.as_str().into();
        }
        return say(&format!("{reply:#}\n"));
    }
    match present {
        Present::Hash(hash) => say(&format!("{file}: its hash is {hash} now\n")),
        Present::Gone => say(&format!("{file}: it is gone\n")),
        Present::Unreadable(why) => say(&format!("{file}: it cannot be read now: {why}\n")),
    }
    if texts.is_empty() {
        say("nothing is kept: no edit replaced its text, or that was long ago\n");
    }
    for text in texts {
        let at = synod_index::timestamp(text.at_ms);
        say(&format!("{at}  {}  {} bytes\n", text.hash, text.bytes));
    }
}

fn show(session: &Session, file: PathBuf, hash: String) -> Result<(), Failure> {
    let wanted = hash.clone();
    let work = move |cx: &Context| spec_previous_text(cx, &file, &wanted).map_err(Fault::from);
    let bytes = engine(session, PREVIOUS, work)?;
    if !session.common.json {
        say_bytes(&bytes);
        return Ok(());
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| "the text is not UTF-8, which JSON cannot hold; show it without `--json`")?;
    say(&format!("{:#}\n", json!({ "hash": hash, "bytes": text.len(), "text": text })));
    Ok(())
}

fn put_back(
    session: &Session,
    file: PathBuf,
    hash: String,
    read: Option<String>,
) -> Result<(), Failure> {
    let work = move |cx: &Context| {
        let done = spec_restore(cx, &file, &hash, read.as_deref()).map_err(Fault::from);
        note(cx, &file, done.as_ref().err());
        done
    };
    let done = engine(session, PREVIOUS, work)?;
    if session.common.json {
        let reply = json!({ "hash": done.hash, "before": done.before });
        say(&format!("{reply:#}\n"));
        return Ok(());
    }
    match done.before {
        Some(before) if before == done.hash => say("the file has that text already\n"),
        Some(before) => say(&format!("put back; what it replaced is kept as {before}\n")),
        None => say("put back; the file was gone\n"),
    }
    Ok(())
}

/// Leaves an entry in the ledger, as the door does of tools that change something.
fn note(cx: &Context, file: &Path, failed: Option<&Fault>) {
    let Some(ledger) = &cx.ledger else { return };
    let entry = Entry {
        at_ms: (cx.now_ms)(),
        actor: FACE.to_owned(),
        action: format!("{PREVIOUS}.restore"),
        resource: head(&file.display().to_string(), RESOURCE_BYTES_MAX).to_owned(),
        outcome: failed.map_or("ok", |fault| fault.code.name).to_owned(),
        correlation_id: Some(failed.map_or_else(correlation_id, |f| f.correlation_id.clone())),
        ..Entry::default()
    };
    if let Err(error) = ledger.note(entry) {
        tracing::error!(error = %error, "what was put back is not in the ledger");
    }
}
