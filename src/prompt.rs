//! Prompts: those that are compiled in, and the commands of Spec-Kit projects.
//!
//! A command is what the tool `spec_read` says of it, so clients without prompts get the same.

use crate::dispatch::{Caller, Door};
use crate::fault::{self, Fault};
use serde_json::json;
use synod_tools::{Call, Context, SpecCommand};

/// Tokens of a feature that a command comes with.
const COMMAND_TOKENS: u64 = 4_000;
/// The arguments of every command.
const COMMAND_ARGUMENTS: [&str; 3] = ["arguments", "feature", "project"];

/// The commands of Spec-Kit projects that the caller may read; none is no failure of the list.
pub async fn commands(door: &Door, caller: &Caller) -> Vec<SpecCommand> {
    if !door.tools().iter().any(|tool| tool.name == "spec_read") {
        return Vec::new();
    }
    let find = |cx: &Context| Ok(synod_tools::spec_commands(cx)?);
    door.engine(caller, "prompts/list", find).await.unwrap_or_else(|fault| {
        tracing::debug!(%fault, "commands of Spec-Kit are left out of the prompts");
        Vec::new()
    })
}

/// A prompt with its arguments: what it is for, if that is known, and its text.
///
/// # Errors
/// Unknown prompts and arguments, and those of the tool.
pub async fn render(
    door: &Door,
    caller: &Caller,
    name: &str,
    given: &[(String, String)],
) -> Result<(Option<String>, String), Fault> {
    match synod_tools::spec_command_of(name) {
        Some(command) => Ok((None, self::command(door, caller, &command, given).await?)),
        None => {
            let (prompt, text) = synod_prompts::render(name, given)?;
            Ok((Some(prompt.description), text))
        }
    }
}

async fn command(
    door: &Door,
    caller: &Caller,
    name: &str,
    given: &[(String, String)],
) -> Result<String, Fault> {
    let odd = given.iter().find(|(key, _)| !COMMAND_ARGUMENTS.contains(&key.as_str()));
    if let Some((key, _)) = odd {
        let known = COMMAND_ARGUMENTS.join("`, `");
        let text = format!("{name}: unknown argument `{key}`; it takes `{known}`");
        return Err(Fault::new(fault::INVALID, text));
    }
    let value = |key: &str| {
        let found = given.iter().find(|(k, _)| k == key).map(|(_, v)| v.trim());
        found.filter(|v| !v.is_empty())
    };
    let args = json!({
        "what": format!("command {name} {}", value("arguments").unwrap_or_default()),
        "feature": value("feature"),
        "project": value("project"),
        "tokens": COMMAND_TOKENS,
    });
    Ok(door.call(caller, "spec_read", args, Call::silent()).await?.text)
}
