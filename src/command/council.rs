//! `synod council`, `synod ask`, `synod session`: questions to models, from the command line.

use super::tool::{plain, print};
use super::{note, say};
use crate::catalog;
use crate::cli::{AskArgs, CouncilArgs, Failure, Session, SessionArgs};
use crate::config::council::ProviderConfig;
use crate::eval::answers::{Question, Recorded};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Recorded questions that are shown.
const SHOWN: usize = 8;

/// `synod council`
pub fn run(mut session: Session, args: CouncilArgs) -> Result<ExitCode, Failure> {
    let mut query = args.query.join(" ");
    let mut options = args.options;
    if let Some(file) = &args.replay {
        let recorded = replay(&mut session, file)?;
        if query.trim().is_empty() {
            show(&recorded);
            return Ok(ExitCode::SUCCESS);
        }
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        // A number stands for one of the questions that are shown.
        let by_number = query.trim().parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let same = |q: &&Question| words(&q.question) == words(&query);
        let found = by_number.and_then(|n| recorded.questions.get(n));
        let found = found.or_else(|| recorded.questions.iter().find(same));
        let Some(question) = found else {
            return Err(unrecorded(query.trim(), file, &recorded).into());
        };
        query.clone_from(&question.question);
        if options.is_empty() {
            options.clone_from(&question.options);
        }
        note(&format!("asked: {query}"));
    }
    let mut call = json!({
        "query": query, "models": args.models, "heads": args.heads,
        "deadline_ms": args.deadline_ms, "options": options,
    });
    let said = [
        ("kind", args.kind),
        ("effort", args.effort),
        ("mode", args.mode),
        ("stakes", args.stakes),
        ("session", args.session),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            call[name] = value.into();
        }
    }
    catalog::strangers(&session.loaded.config).iter().for_each(|why| note(why));
    let answer = plain(&session, "orchestrate", call)?;
    print(&session, &answer);
    let said = &answer.structured;
    let done = said["verdict"].is_object() || said["state"] == "succeeded";
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The council of the models in a file, and nobody else; gives its questions.
fn replay(session: &mut Session, file: &Path) -> Result<Recorded, Failure> {
    let judged = Recorded::open(file);
    let url = match &judged {
        Ok(recorded) => laid_out(&session.data, file, recorded)?,
        // Transcripts already.
        Err(_) => file.to_owned(),
    };
    let config = &mut session.loaded.config;
    config.model.clear();
    config.council.panel.clear();
    config.provider = vec![ProviderConfig {
        name: "replay".to_owned(),
        dialect: "replay".to_owned(),
        url: Some(url.to_string_lossy().into_owned()),
        ..ProviderConfig::default()
    }];
    match judged {
        Ok(recorded) => Ok(recorded),
        Err(_) => Ok(Recorded::of_transcripts(file)?),
    }
}

/// Recorded answers as transcripts in the data directory, made once for each version of the file.
fn laid_out(data: &Path, file: &Path, recorded: &Recorded) -> Result<PathBuf, Failure> {
    let about = std::fs::metadata(file)?;
    let stamp = about.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let folder = data.join("replay");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{stamp}-{}.jsonl", recorded.name, about.len()));
    if !path.exists() {
        recorded.transcripts(&path)?;
    }
    Ok(path)
}

fn show(recorded: &Recorded) {
    say(&format!("{} recorded questions; ask one by its number:\n\n", recorded.questions.len()));
    say(&listed(recorded));
}

/// The first recorded questions by their numbers, a line each.
fn listed(recorded: &Recorded) -> String {
    let line = |(at, question): (usize, &Question)| {
        let words: Vec<&str> = question.question.split_whitespace().collect();
        let head: String = words.join(" ").chars().take(100).collect();
        format!("{:4}  {head} ({} models)\n", at + 1, question.answers.len())
    };
    recorded.questions.iter().take(SHOWN).enumerate().map(line).collect()
}

/// What is said where something is asked that nobody answered when it was recorded.
fn unrecorded(query: &str, file: &Path, recorded: &Recorded) -> String {
    let (file, n) = (file.display(), recorded.questions.len());
    let listed = listed(recorded);
    format!(
        "council: `{query}` is none of the {n} questions recorded in `{file}`, and only those can \
         be asked; ask one by its number or word for word:\n\n{}",
        listed.trim_end_matches('\n')
    )
}

/// `synod ask`
pub fn ask(session: &Session, args: &AskArgs) -> Result<ExitCode, Failure> {
    let call = json!({ "op": "infer", "model": args.model, "input": args.query.join(" ") });
    print(session, &plain(session, "models", call)?);
    Ok(ExitCode::SUCCESS)
}

/// `synod session`
pub fn sessions(session: &Session, args: &SessionArgs) -> Result<ExitCode, Failure> {
    let call = match (&args.search, &args.id) {
        (Some(words), id) => json!({ "op": "search", "text": words, "id": id }),
        (None, Some(id)) if args.delete => json!({ "op": "delete", "id": id }),
        (None, Some(id)) if args.end => json!({ "op": "end", "id": id }),
        (None, Some(id)) => json!({ "op": "history", "id": id }),
        (None, None) => json!({ "op": "list" }),
    };
    let lists = call["op"] == "list";
    let mut answer = plain(session, "session", call)?;
    if lists && answer.structured["sessions"].is_null() {
        // Whoever asks for a list gets one, also where nothing is on it.
        answer.structured["sessions"] = json!([]);
    }
    print(session, &answer);
    Ok(ExitCode::SUCCESS)
}
