//! Installing: a model's files copied, proven to run, and noted with their hashes.
//!
//! A folder appears under its name whole or not at all.

use crate::error::{Error, Result};
use crate::{Model, Precision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a model is made of; those that not every model has are optional.
pub const FILES: &[(&str, bool)] = &[
    ("config.json", true),
    ("tokenizer.json", true),
    ("model.safetensors", true),
    ("modules.json", false),
    ("sentence_bert_config.json", false),
    ("1_Pooling/config.json", false),
];
/// Where the hashes stand.
pub(crate) const MANIFEST: &str = "synod.json";

#[derive(Serialize, Deserialize)]
struct Manifest {
    /// Of each file, BLAKE3.
    files: BTreeMap<String, String>,
}

/// An installed model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its name: that of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes of its weights.
    pub bytes: u64,
}

/// Copies the model in `from` to `models/name` after it has given a vector.
///
/// # Errors
/// Those of [`Model::open`]; `File` when it cannot be copied.
pub fn install(from: &Path, models: &Path, name: &str) -> Result<Installed> {
    Model::open(from, Precision::Int8)?;
    let folder = models.join(name);
    let new = models.join(format!(".{name}.new"));
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(fail(&new))?;
    }
    std::fs::create_dir_all(new.join("1_Pooling")).map_err(fail(&new))?;
    let mut files = BTreeMap::new();
    for (file, needed) in FILES {
        let source = from.join(file);
        if source.exists() || *needed {
            std::fs::copy(&source, new.join(file)).map_err(fail(&source))?;
            files.insert((*file).to_owned(), hash(&new.join(file)).map_err(fail(&new))?);
        }
    }
    let manifest = serde_json::to_vec_pretty(&Manifest { files }).unwrap_or_default();
    std::fs::write(new.join(MANIFEST), manifest).map_err(fail(&new))?;
    if folder.exists() {
        // Processes that have the old one mapped keep it until they end.
        let old = models.join(format!(".{name}.old"));
        let _ = std::fs::remove_dir_all(&old);
        std::fs::rename(&folder, &old).map_err(fail(&folder))?;
        std::fs::rename(&new, &folder).map_err(fail(&folder))?;
        let _ = std::fs::remove_dir_all(&old);
    } else {
        std::fs::rename(&new, &folder).map_err(fail(&folder))?;
    }
    // What every process maps is made here, so that none that starts has to.
    Model::open(&folder, Precision::Int8)?;
    described(folder).ok_or_else(|| Error::Unsupported {
        path: from.to_owned(),
        reason: "it cannot be found after it was copied".to_owned(),
    })
}

/// The models in a folder, by name.
pub fn list(models: &Path) -> Vec<Installed> {
    let Ok(entries) = std::fs::read_dir(models) else { return Vec::new() };
    let mut found: Vec<Installed> =
        entries.flatten().filter_map(|entry| described(entry.path())).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn described(folder: PathBuf) -> Option<Installed> {
    let name = folder.file_name()?.to_str()?.to_owned();
    let bytes = std::fs::metadata(folder.join("model.safetensors")).ok()?.len();
    (!name.starts_with('.')).then_some(Installed { name, folder, bytes })
}

/// Whether the files of an installed model still are what was installed.
///
/// # Errors
/// `Damaged`, naming the file that is not; `File` for one that cannot be read.
pub fn verify(folder: &Path) -> Result<()> {
    let path = folder.join(MANIFEST);
    let bytes =
        std::fs::read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|e| Error::Damaged { path: path.clone(), reason: e.to_string() })?;
    for (file, wanted) in manifest.files {
        let path = folder.join(file);
        let found = hash(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        if found != wanted {
            let reason = "it changed since it was installed".to_owned();
            return Err(Error::Damaged { path, reason });
        }
    }
    Ok(())
}

/// BLAKE3 of a file, in hex.
///
/// # Errors
/// Those of reading it.
pub fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            n => hasher.update(&buffer[..n]),
        };
    }
}
