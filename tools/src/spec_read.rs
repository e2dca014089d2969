//! `spec_read`: the part of a feature that is needed, with what it depends on; and the project's
//! own commands.

use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec, spec_command};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synod_speckit::{Piece, Project, Slice, Want, prompts, slice};
use synod_store::Scope;

pub struct SpecRead;

/// Tokens of a slice, unless the caller says otherwise.
const TOKENS: usize = 1_200;
/// Most of them.
const TOKENS_MAX: usize = 20_000;
/// Bytes of a token of prose, at the least that is usual.
const TOKEN_BYTES: usize = 3;

/// Read what is needed of a feature: `what` is overview, T012 (with its story, requirements and
/// dependencies), US1, FR-003, plan, spec.md#Heading, checklists/NAME, contracts/FILE,
/// constitution; or commands, command NAME WHAT.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    project: Option<String>,
    /// Id, name or path.
    feature: Option<String>,
    what: Option<String>,
    /// 1,200 by default.
    tokens: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct PieceReply {
    role: &'static str,
    path: String,
    /// First and last.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<[usize; 2]>,
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hash: String,
}

#[derive(Serialize, JsonSchema)]
struct LeftReply {
    role: &'static str,
    path: String,
    lines: [usize; 2],
}

#[derive(Serialize, JsonSchema)]
struct CommandReply {
    name: String,
    description: String,
    /// As an agent is asked for it.
    invocation: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    project: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<String>,
    /// role, path, lines, text, hash.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pieces: Vec<PieceReply>,
    /// What did not fit: role, path, lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    left_out: Vec<LeftReply>,
    /// name, description, invocation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    commands: Vec<CommandReply>,
}

impl From<Piece> for PieceReply {
    fn from(piece: Piece) -> Self {
        let lines = (!piece.lines.is_empty()).then(|| [piece.lines.start, piece.lines.end - 1]);
        let Piece { role, path, text, hash, .. } = piece;
        PieceReply { role, path, lines, text, hash }
    }
}

impl Operation for SpecRead {
    const NAME: &'static str = "spec_read";
    const TITLE: &'static str = "Read a feature";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::get("/v1/spec-kit/features/{feature}")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _: &Call) -> Result<Reply, Error> {
        let project = spec::project(cx, Self::NAME, args.project.as_deref())?;
        let what = args.what.as_deref().map_or("overview", str::trim);
        let mut reply = Reply {
            project: project.root.display().to_string(),
            feature: None,
            pieces: Vec::new(),
            left_out: Vec::new(),
            commands: Vec::new(),
        };
        if what == "commands" {
            reply.commands = commands(&project);
            return Ok(reply);
        }
        let tokens = args.tokens.unwrap_or(TOKENS);
        if !(50..=TOKENS_MAX).contains(&tokens) {
            let text = format!("spec_read: `tokens` is {tokens}; give 50 to {TOKENS_MAX}");
            return Err(Error::Args(text));
        }
        let bytes = tokens * TOKEN_BYTES;
        let command = what.strip_prefix("command ").or_else(|| what.strip_prefix('/'));
        let named = args.feature.as_deref().filter(|named| !named.trim().is_empty());
        let feature = match named {
            // A command may be one that makes a feature.
            None if command.is_some() => None,
            named => Some(spec::feature(Self::NAME, &project, named)?),
        };
        let found = match (command, &feature) {
            (Some(asked), feature) => {
                spec_command::pieces(&project, feature.as_ref(), asked, bytes)?
            }
            (None, Some(feature)) => {
                let found = slice(&project, feature, &Want::parse(what), bytes);
                found.map_err(|error| spec::fault(Self::NAME, error))?
            }
            (None, None) => Slice::default(),
        };
        if let Some(feature) = &feature {
            cx.specs.remember(feature, found.pieces.iter().map(|piece| &piece.path[..]));
        }
        reply.feature = feature.map(|feature| feature.name);
        reply.pieces = found.pieces.into_iter().map(PieceReply::from).collect();
        let left = found.left_out.into_iter().map(|left| LeftReply {
            role: left.role,
            path: left.path,
            lines: [left.lines.start, left.lines.end.saturating_sub(1)],
        });
        reply.left_out = left.collect();
        Ok(reply)
    }

    fn render(reply: &Reply) -> String {
        let mut out = String::new();
        for piece in &reply.pieces {
            let lines = piece.lines.map_or(String::new(), |[a, b]| format!(":{a}-{b}"));
            let hash = match piece.hash.is_empty() {
                true => String::new(),
                false => format!(" (hash {})", piece.hash),
            };
            let text = piece.text.trim_end();
            out.push_str(&format!("**{}** {}{lines}{hash}\n{text}\n\n", piece.role, piece.path));
        }
        for left in &reply.left_out {
            let [a, b] = left.lines;
            out.push_str(&format!("_left out: {} {}:{a}-{b}_\n", left.role, left.path));
        }
        for command in &reply.commands {
            let CommandReply { invocation, description, .. } = command;
            out.push_str(&format!("- `{invocation}`: {description}\n"));
        }
        if out.is_empty() {
            out.push_str("Nothing there.\n");
        }
        out
    }
}

fn commands(project: &Project) -> Vec<CommandReply> {
    let reply = |prompt: synod_speckit::Prompt| CommandReply {
        invocation: project.invocation(&prompt.name),
        name: prompt.name,
        description: prompt.description,
    };
    prompts(project).into_iter().map(reply).collect()
}
