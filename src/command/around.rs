//! What lies around a person: vaults, repositories and an Ollama server, for `synod init`.
//!
//! Only looks. It writes nothing, and asks nobody but an Ollama on this machine.

use crate::client_config::Places;
use crate::fetch::{self, Ask};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folders that are looked at below home, levels deep.
const DEPTH: usize = 3;
/// Folders looked at in all.
const FOLDERS_MAX: usize = 20_000;
/// Longest list of vaults that is read, in bytes.
const LIST_BYTES_MAX: u64 = 1 << 20;
/// Where iCloud keeps vaults, below home.
const ICLOUD: &str = "Library/Mobile Documents/iCloud~md~obsidian/Documents";
/// Where Obsidian lists the vaults that it knows, below home: as a program of Linux, a Flatpak, a
/// snap, on macOS, on Windows.
const LISTS: [&str; 5] = [
    ".config/obsidian/obsidian.json",
    ".var/app/md.obsidian.Obsidian/config/obsidian/obsidian.json",
    "snap/obsidian/current/.config/obsidian/obsidian.json",
    "Library/Application Support/obsidian/obsidian.json",
    "AppData/Roaming/obsidian/obsidian.json",
];
/// What Obsidian makes to try things in.
const SANDBOX: &str = "Obsidian Sandbox";

/// Vaults and repositories that were found.
#[derive(Debug, Default)]
pub struct Found {
    /// Vaults before repositories; none lies in another.
    pub folders: Vec<PathBuf>,
    /// Not every folder was looked at, there are too many.
    pub cut: bool,
}

/// Vaults that Obsidian lists, wherever they are, and vaults and repositories near home.
pub fn look(places: &Places) -> Found {
    let mut walk = Walk::default();
    if !places.home.as_os_str().is_empty() {
        walk.run(&places.home);
    }
    let (mut vaults, mut repositories) = (walk.vaults, walk.repositories);
    vaults.sort();
    repositories.sort();
    vaults.extend(listed(places));
    vaults.append(&mut repositories);
    Found { folders: apart(vaults), cut: walk.cut }
}

/// The vaults of Obsidian's own lists.
fn listed(places: &Places) -> Vec<PathBuf> {
    let mut lists: Vec<PathBuf> = LISTS.iter().map(|list| places.home.join(list)).collect();
    let moved = places.moved.iter().filter(|(name, _)| *name == "XDG_CONFIG_HOME");
    let moved = moved.map(|(_, folder)| folder.clone()).chain(places.appdata.clone());
    lists.extend(moved.map(|folder| folder.join("obsidian/obsidian.json")));
    // One that holds the home directory would be the person's whole life.
    let fits = |vault: &PathBuf| {
        vault.is_absolute()
            && vault.is_dir()
            && !places.home.starts_with(vault)
            && vault.file_name().is_some_and(|name| name != SANDBOX)
    };
    let mut vaults: Vec<PathBuf> = lists.iter().flat_map(|list| vaults_of(list)).collect();
    vaults.retain(fits);
    vaults.sort();
    vaults
}

/// The vaults of one list; none where it is not there, or is none of Obsidian's.
fn vaults_of(list: &Path) -> Vec<PathBuf> {
    let Ok(file) = File::open(list) else { return Vec::new() };
    let mut text = String::new();
    // What is longer is no such list; cut, it does not parse.
    if file.take(LIST_BYTES_MAX).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    let rows = list["vaults"].as_object().into_iter().flatten();
    rows.filter_map(|(_, row)| row["path"].as_str().map(PathBuf::from)).collect()
}

/// A look at the folders near home, those that are nearest first.
#[derive(Default)]
struct Walk {
    vaults: Vec<PathBuf>,
    repositories: Vec<PathBuf>,
    cut: bool,
}

impl Walk {
    fn run(&mut self, home: &Path) {
        let mut open = VecDeque::from([(home.to_owned(), DEPTH), (home.join(ICLOUD), 1)]);
        let mut looked = 0;
        while let Some((folder, levels)) = open.pop_front() {
            looked += 1;
            if looked > FOLDERS_MAX {
                self.cut = true;
                return;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let left_out = matches!(name.as_ref(), "node_modules" | "target" | "Library");
                let Ok(kind) = entry.file_type() else { continue };
                if name.starts_with('.') || left_out || kind.is_file() {
                    continue;
                }
                let path = entry.path();
                // A link may lead anywhere: what it leads to is looked at, and nothing below it.
                if !self.takes(&path) && kind.is_dir() && levels > 1 {
                    open.push_back((path, levels - 1));
                }
            }
        }
    }

    fn takes(&mut self, path: &Path) -> bool {
        if path.join(".obsidian").is_dir() {
            self.vaults.push(path.to_owned());
        } else if path.join(".git").exists() {
            self.repositories.push(path.to_owned());
        } else {
            return false;
        }
        true
    }
}

/// Those folders that lie in none of the others, each once, whatever links lead to it.
fn apart(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let real = |folder: PathBuf| Some((folder.canonicalize().ok()?, folder));
    let folders: Vec<(PathBuf, PathBuf)> = folders.into_iter().filter_map(real).collect();
    let all: BTreeSet<PathBuf> = folders.iter().map(|(real, _)| real.clone()).collect();
    let mut seen = BTreeSet::new();
    let is_new = |(real, _): &(PathBuf, PathBuf)| {
        let within = real.ancestors().skip(1).any(|above| all.contains(above));
        !within && seen.insert(real.clone())
    };
    folders.into_iter().filter(is_new).map(|(_, folder)| folder).collect()
}

/// Where Ollama listens unless somebody says otherwise.
pub const OLLAMA: &str = "http://127.0.0.1:11434";
/// How long it is waited for.
const OLLAMA_TIME: Duration = Duration::from_millis(500);
/// Models of it that are named.
const MODELS_MAX: usize = 50;

/// An Ollama server that answers.
#[derive(Debug, PartialEq)]
pub struct Ollama {
    /// Where it is.
    pub url: String,
    /// Models that answer questions: name and family.
    pub models: Vec<(String, String)>,
    /// Models that embed.
    pub embedders: Vec<String>,
}

/// The Ollama server of this machine, if there is one; `host` is what `OLLAMA_HOST` says.
pub fn ollama(host: &str) -> Option<Ollama> {
    let url = address(host);
    if !fetch::is_loopback(&url) {
        return None;
    }
    let tags = format!("{url}/api/tags");
    let ask = Ask { url: &tags, body: None, bearer: None, time: OLLAMA_TIME };
    let said = fetch::json(&ask).ok()?;
    let mut out = Ollama { url, models: Vec::new(), embedders: Vec::new() };
    for row in said["models"].as_array()?.iter().take(MODELS_MAX) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, family) = (text(&row["name"]), text(&row["details"]["family"]));
        if name.is_empty() || [&name, &family].iter().any(|text| text.contains(char::is_control)) {
            continue;
        }
        match family.contains("bert") || name.contains("embed") {
            true => out.embedders.push(name),
            false => out.models.push((name, family)),
        }
    }
    Some(out)
}

/// The URL that Ollama's own spelling of an address means.
fn address(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    let host = host.strip_prefix("http://").unwrap_or(host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port),
        _ => (host, "11434"),
    };
    // It listens everywhere then, so here too.
    let name = if matches!(name, "" | "0.0.0.0" | "[::]") { "127.0.0.1" } else { name };
    format!("http://{name}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_config::Os;

    fn person() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap().join("home");
        std::fs::create_dir(&home).unwrap();
        let places =
            Places { os: Os::Linux, project: home.clone(), home, appdata: None, moved: Vec::new() };
        (dir, places)
    }

    fn names(places: &Places) -> Vec<String> {
        let names = look(places).folders.into_iter().map(|folder| {
            let top = places.home.parent().unwrap();
            folder.strip_prefix(top).unwrap().to_string_lossy().into_owned()
        });
        names.collect()
    }

    #[test]
    fn vaults_that_obsidian_lists_are_found_wherever_they_are() {
        let (dir, mut places) = person();
        let top = places.home.parent().unwrap().to_owned();
        for folder in [
            "home/a/b/c/d/deep",
            "home/near/.obsidian",
            "home/near/inner",
            "disk/far",
            "disk/xdg",
            "home/src/tool/.git",
            "home/.config/obsidian/Obsidian Sandbox",
            "config/obsidian",
        ] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        let list = |paths: &[&str]| {
            let rows = paths.iter().enumerate();
            let rows =
                rows.map(|(n, path)| (n.to_string(), serde_json::json!({"path": top.join(path)})));
            serde_json::json!({ "vaults": rows.collect::<serde_json::Map<_, _>>() }).to_string()
        };
        let sandbox = "home/.config/obsidian/Obsidian Sandbox";
        let all = [
            "home/a/b/c/d/deep",
            "disk/far",
            "disk/gone",
            "home/near",
            "home/near/inner",
            sandbox,
            "home",
            "",
        ];
        std::fs::write(top.join("home/.config/obsidian/obsidian.json"), list(&all)).unwrap();
        std::fs::write(top.join("config/obsidian/obsidian.json"), list(&["disk/xdg"])).unwrap();
        let near = ["home/near", "disk/far", "home/a/b/c/d/deep", "home/src/tool"];
        assert_eq!(names(&places), near);
        places.moved.push(("XDG_CONFIG_HOME", top.join("config")));
        assert!(names(&places).contains(&"disk/xdg".to_owned()));
        std::fs::write(top.join("config/obsidian/obsidian.json"), "[").unwrap();
        assert_eq!(names(&places), near, "a list that does not parse is none");
        drop(dir);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_vault_is_one_and_no_vault_is_found_twice() {
        let (dir, places) = person();
        let top = places.home.parent().unwrap().to_owned();
        for folder in ["disk/vault/.obsidian", "disk/other/deep/.obsidian", "home/own/.git"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        for (to, link) in [("disk/vault", "vault"), ("disk/other", "other"), ("home/own", "again")]
        {
            std::os::unix::fs::symlink(top.join(to), places.home.join(link)).unwrap();
        }
        let cloud = places.home.join(ICLOUD).join("cloud/.obsidian");
        std::fs::create_dir_all(cloud).unwrap();
        let found = names(&places);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&"home/vault".to_owned()), "{found:?}");
        assert!(found.iter().any(|name| name.ends_with("Documents/cloud")), "{found:?}");
        drop(dir);
    }

    #[test]
    fn an_address_of_ollama_is_read_as_ollama_reads_it() {
        for (host, url) in [
            ("", OLLAMA),
            ("0.0.0.0", OLLAMA),
            ("127.0.0.1:9", "http://127.0.0.1:9"),
            (":9", "http://127.0.0.1:9"),
            ("http://localhost:9/", "http://localhost:9"),
            ("[::1]", "http://[::1]:11434"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
        ] {
            assert_eq!(address(host), url, "{host}");
        }
        assert_eq!(ollama("models.example:11434"), None, "only this machine is asked");
    }
}
