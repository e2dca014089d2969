//! The commands of Spec-Kit projects as an agent is given them: the project's own text with what
//! was asked in its place, and the part of the feature that the command works on.

use crate::{Context, Error, spec};
use std::collections::BTreeMap;
use synod_speckit::{Feature, Piece, Project, Slice, Want, next, prompt, prompts, slice};

/// Bytes of a command's text.
const COMMAND_BYTES_MAX: usize = 30_000;
/// Bytes of what a command is told.
const ARGUMENTS_BYTES_MAX: usize = 8_000;
/// Projects whose commands are looked up.
const PROJECTS_MAX: usize = 50;
/// Names of commands as prompts begin with this.
const PREFIX: &str = "speckit_";

/// What an agent may be asked to do in some project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecCommand {
    /// As prompts are named: `speckit_plan`.
    pub name: String,
    /// From the command's file; may be empty.
    pub description: String,
    /// What its arguments are; may be empty.
    pub hint: String,
}

/// The command that a prompt's name means, as `spec_read` takes it.
pub fn spec_command_of(prompt: &str) -> Option<String> {
    Some(prompt.strip_prefix(PREFIX)?.replace('_', "-"))
}

/// The commands of all projects, by name; none where Spec-Kit is switched off.
///
/// # Errors
/// Those of the index and of the search for projects.
pub fn spec_commands(cx: &Context) -> Result<Vec<SpecCommand>, Error> {
    let mut all = BTreeMap::new();
    for root in spec::roots_of_projects(cx)?.iter().take(PROJECTS_MAX) {
        // A project that cannot be opened has no commands.
        let Ok(project) = Project::open(root) else { continue };
        for command in prompts(&project) {
            let name = format!("{PREFIX}{}", command.name.replace(['.', '-'], "_"));
            let (description, hint) = (command.description, command.arguments.unwrap_or_default());
            let new = SpecCommand { name: name.clone(), description, hint };
            all.entry(name).or_insert(new);
        }
    }
    Ok(all.into_values().collect())
}

/// The text of a command with its arguments, as pieces for an agent: the command first, then what
/// of the feature it works on.
///
/// # Errors
/// `Missing` for a command or feature that is not there.
pub fn pieces(
    project: &Project,
    feature: Option<&Feature>,
    asked: &str,
    bytes: usize,
) -> Result<Slice, Error> {
    let fail = |error| spec::fault("spec_read", error);
    let (name, arguments) = match asked.trim().split_once(char::is_whitespace) {
        Some((name, arguments)) => (name, arguments.trim()),
        None => (asked.trim(), ""),
    };
    if arguments.len() > ARGUMENTS_BYTES_MAX {
        let n = arguments.len();
        let text =
            format!("spec_read: the command is told {n} bytes; {ARGUMENTS_BYTES_MAX} is the most");
        return Err(Error::Args(text));
    }
    let found = prompt(project, name).map_err(fail)?;
    // They stand where they are first asked for; further places would only repeat them.
    let whole = found.text.replacen("$ARGUMENTS", arguments, 1);
    let head = crate::reply::head(&whole, COMMAND_BYTES_MAX);
    let mut text = head.to_owned();
    if head.len() < whole.len() {
        let left = whole.len() - head.len();
        text.push_str(&format!("\n[… {left} more bytes in {}]", found.path));
    }
    if !arguments.is_empty() && !found.text.contains("$ARGUMENTS") {
        text.push_str(&format!("\n\nWhat was asked: {arguments}"));
    }
    let mut out = Slice::default();
    if let Some(feature) = feature {
        let name = &feature.name;
        text.push_str(&format!(
            "\n\nThe feature is {name}. `spec_run` with `feature` and a command of plan, tasks, \
             prerequisites, paths or template answers as the project's scripts do."
        ));
        attach(&mut out, project, feature, &found.name, bytes)?;
    }
    let command =
        Piece { role: "command", path: found.path, lines: 0..0, text, hash: String::new() };
    out.pieces.insert(0, command);
    Ok(out)
}

/// What a command works on, within the bytes, each document after the one that matters more.
fn attach(
    out: &mut Slice,
    project: &Project,
    feature: &Feature,
    command: &str,
    mut bytes: usize,
) -> Result<(), Error> {
    for want in wants(feature, command) {
        // What is not there yet is what the command is to make.
        let Ok(found) = slice(project, feature, &want, bytes) else { continue };
        let used: usize = found.pieces.iter().map(|piece| piece.text.len()).sum();
        bytes = bytes.saturating_sub(used);
        let new = |piece: &Piece| {
            !out.pieces.iter().any(|old| old.path == piece.path && old.lines == piece.lines)
        };
        let found_new: Vec<Piece> = found.pieces.into_iter().filter(new).collect();
        out.pieces.extend(found_new);
        out.left_out.extend(found.left_out);
    }
    Ok(())
}

fn wants(feature: &Feature, command: &str) -> Vec<Want> {
    let document = |name: &str| Want::parse(name);
    match command {
        "constitution" => vec![Want::Constitution],
        "specify" | "clarify" | "checklist" => vec![document("spec"), Want::Constitution],
        "plan" => vec![document("spec"), Want::Constitution, document("research")],
        "tasks" => vec![document("plan"), document("spec"), document("data-model")],
        "implement" => {
            // The task at hand, with what it stands on.
            let task = next(feature, 1).ok().and_then(|found| found.tasks.into_iter().next());
            let task = task.map(|task| Want::Task(task.id));
            vec![task.unwrap_or(Want::Overview), document("plan")]
        }
        _ => vec![Want::Overview],
    }
}
