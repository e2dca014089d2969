//! The folder of an embedding model, as sentence-transformers and the model hub lay it out:
//! `config.json`, `tokenizer.json`, `model.safetensors`, and optionally `modules.json`,
//! `1_Pooling/config.json`, `sentence_bert_config.json`.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    Cls,
}

/// The shape of a BERT, from `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// `bert`, or something that this program does not run.
    pub model_type: String,
    /// Values of a token's vector.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of attention; they divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Values between the two halves of a feed-forward step.
    pub intermediate_size: usize,
    /// `gelu` is the only one that is run.
    pub hidden_act: String,
    /// Positions that the model knows.
    pub max_position_embeddings: usize,
    /// Added to a variance before its root is taken.
    pub layer_norm_eps: f32,
    /// `absolute` is the only kind that is run.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Config {
    /// What decides a vector and is told neither by the dimensions nor by the window. Spaces have a
    /// hash of this in their names: with one word more here every index is embedded again.
    pub fn shape(&self) -> String {
        // All of it by name: what is added is to be thought of here.
        let Config {
            model_type: _,
            hidden_act: _,
            position_embedding_type: _,
            hidden_size: _,
            max_position_embeddings: _,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: wide,
            layer_norm_eps: eps,
        } = self;
        format!("{layers} layers, {heads} heads, {wide} wide, eps {:08x}\n", eps.to_bits())
    }
}

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
}

/// A step of a model, as `modules.json` lists them.
#[derive(Deserialize)]
struct Module {
    /// A class of sentence-transformers, with its path.
    #[serde(rename = "type")]
    class: String,
}

/// The steps that are run; the last one changes no direction.
const MODULES: [&str; 3] = ["Transformer", "Pooling", "Normalize"];

#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

/// What the folder says beside the weights.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Shape.
    pub config: Config,
    /// Pooling; the mean where nothing is said.
    pub pooling: Pooling,
    /// Most tokens of a text, the two marks around it included.
    pub window: usize,
}

impl Folder {
    /// Reads everything but weights and tokenizer.
    ///
    /// # Errors
    /// `File`, `Damaged`; `Unsupported` for what is no BERT.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Config = json(&path.join("config.json"))?;
        let unsupported = |reason: String| Error::Unsupported { path: path.to_owned(), reason };
        let wants = [
            ("model_type", &config.model_type, "bert"),
            ("hidden_act", &config.hidden_act, "gelu"),
            ("position_embedding_type", &config.position_embedding_type, "absolute"),
        ];
        for (key, found, wanted) in wants {
            if found != wanted {
                let reason = format!("`{key}` is `{found}`, only `{wanted}` is known");
                return Err(unsupported(reason));
            }
        }
        let Config { hidden_size, num_attention_heads: heads, .. } = config;
        if heads == 0 || hidden_size == 0 || !hidden_size.is_multiple_of(heads) {
            let reason = format!("{heads} heads do not divide {hidden_size} values");
            return Err(unsupported(reason));
        }
        // A further step, such as a dense layer, left out gives vectors that mean something else.
        let modules = optional::<Vec<Module>>(&path.join("modules.json"))?;
        for Module { class } in modules.unwrap_or_default() {
            let name = class.rsplit('.').next().unwrap_or(&class);
            if !MODULES.contains(&name) {
                let reason = format!("`modules.json` has a step `{name}`, which is not known");
                return Err(unsupported(reason));
            }
        }
        let pooling = match optional::<PoolingConfig>(&path.join("1_Pooling/config.json"))? {
            Some(PoolingConfig { pooling_mode_mean_tokens: true, .. }) | None => Pooling::Mean,
            Some(PoolingConfig { pooling_mode_cls_token: true, .. }) => Pooling::Cls,
            Some(_) => return Err(unsupported("its pooling is neither mean nor cls".to_owned())),
        };
        let said = optional::<SentenceConfig>(&path.join("sentence_bert_config.json"))?;
        let said = said.and_then(|said| said.max_seq_length);
        let window = said.unwrap_or(usize::MAX).min(config.max_position_embeddings);
        if window < 3 {
            return Err(unsupported(format!("its window is {window} tokens")));
        }
        Ok(Folder { path: path.to_owned(), config, pooling, window })
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::Damaged { path: path.to_owned(), reason: e.to_string() })
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.exists() { json(path).map(Some) } else { Ok(None) }
}
