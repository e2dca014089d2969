//! Templates through the project's layers: override, presets by priority, extensions, core.
//!
//! Of a preset's manifest only the lines that name its templates are read, by hand. What composes
//! (prepend, append, wrap) or is written in a way that this reader does not know is refused: a
//! template that is wrong by a little is worse than none.

use crate::error::{Error, Result};
use crate::jail;
use crate::project::Project;
use serde_json::Value;

/// Where a preset or an extension stands if it does not say.
const PRIORITY: i64 = 10;

/// A template and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `spec-template`
    pub name: String,
    /// Relative to the project.
    pub path: String,
    /// Byte for byte.
    pub text: String,
}

/// Lower-case letters, digits and `-`, as the scripts take names of templates and layers.
fn is_safe(name: &str) -> bool {
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.bytes().all(safe)
}

fn is_file(project: &Project, path: &str) -> bool {
    jail::resolve(&project.root, path).is_ok_and(|path| path.is_file())
}

/// `templates/NAME.md` or `NAME.md` below a layer's folder.
fn conventional(project: &Project, base: &str, name: &str) -> Option<String> {
    [format!("{base}/templates/{name}.md"), format!("{base}/{name}.md")]
        .into_iter()
        .find(|path| is_file(project, path))
}

fn priority(value: &Value) -> i64 {
    let number = match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| *n >= 1).unwrap_or(PRIORITY)
}

/// As Python takes it: what is neither false nor empty.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::Null) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(n)) => n.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
    }
}

/// Names of folders below one, sorted; none if it does not exist.
fn folders(project: &Project, path: &str) -> Vec<String> {
    let Ok(dir) = jail::resolve(&project.root, path) else { return Vec::new() };
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let mut out: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_safe(name))
        .collect();
    out.sort();
    out
}

/// Ids of a registry by priority, then name.
fn ranked(map: &serde_json::Map<String, Value>) -> Vec<(i64, String)> {
    let mut out: Vec<(i64, String)> = map
        .iter()
        .filter(|(id, meta)| is_safe(id) && meta.is_object() && is_true(meta.get("enabled")))
        .map(|(id, meta)| (priority(&meta["priority"]), id.clone()))
        .collect();
    out.sort();
    out
}

fn presets(project: &Project) -> Vec<String> {
    let registry = jail::read(&project.root, ".specify/presets/.registry").ok();
    let value: Option<Value> = registry.and_then(|text| serde_json::from_str(&text).ok());
    // As the scripts do: a registry that cannot be read counts as none.
    match value.as_ref().map(|value| value.get("presets")) {
        Some(Some(Value::Object(map))) => ranked(map).into_iter().map(|(_, id)| id).collect(),
        Some(None) if value.as_ref().is_some_and(Value::is_object) => Vec::new(),
        _ => folders(project, ".specify/presets"),
    }
}

fn extensions(project: &Project) -> Result<Vec<String>> {
    let path = ".specify/extensions/.registry";
    let text = jail::read_optional(&project.root, path)?;
    let broken = |reason: &str| Error::Unreadable {
        path: project.root.join(path),
        reason: format!("{reason}; repair it with `specify extension list`"),
    };
    let mut all = Vec::new();
    let mut registered = Vec::new();
    if let Some(text) = text {
        let value: Value = serde_json::from_str(&text).map_err(|e| broken(&e.to_string()))?;
        let map = value.as_object().ok_or_else(|| broken("it is no JSON object"))?;
        match map.get("extensions") {
            None => {}
            Some(Value::Object(map)) => {
                all = ranked(map);
                registered = map.keys().cloned().collect();
            }
            Some(_) => return Err(broken("`extensions` is no JSON object")),
        }
    }
    let others = folders(project, ".specify/extensions").into_iter();
    all.extend(others.filter(|id| !registered.contains(id)).map(|id| (PRIORITY, id)));
    all.sort();
    Ok(all.into_iter().map(|(_, id)| id).collect())
}

/// The templates that a manifest declares, as far as the reader needs them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Declared {
    kind: String,
    name: String,
    file: String,
    strategy: String,
}

/// A plain or quoted scalar; none for what needs a YAML parser.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('"') {
        let (value, rest) = inner.split_once('"')?;
        let bare = rest.trim().is_empty() || rest.trim_start().starts_with('#');
        return (bare && !value.contains('\\')).then(|| value.to_owned());
    }
    if let Some(inner) = text.strip_prefix('\'') {
        let (value, rest) = inner.split_once('\'')?;
        let bare = rest.trim().is_empty() || rest.trim_start().starts_with('#');
        return bare.then(|| value.to_owned());
    }
    let value = text.split(" #").next().unwrap_or(text).trim();
    let odd = value.starts_with(['&', '*', '!', '|', '>', '[', '{', '%', '@', '`', '?', '#']);
    (!odd && !value.contains(": ")).then(|| value.to_owned())
}

/// Reads `provides.templates` of a manifest in block style, a line at a time.
#[derive(Default)]
struct Manifest {
    provides: bool,
    /// Column of `templates:`, while its list goes on.
    list: Option<usize>,
    /// Column of the keys of the item that is read.
    keys: Option<usize>,
    items: Vec<Declared>,
}

impl Manifest {
    fn read(text: &str) -> std::result::Result<Vec<Declared>, String> {
        let mut out = Manifest::default();
        for (at, raw) in text.lines().enumerate() {
            let line = raw.trim_end();
            let body = line.trim_start();
            if body.is_empty() || body.starts_with('#') || body == "---" {
                continue;
            }
            let taken = match line.contains('\t') {
                true => Err("a tab"),
                false => out.take(line.len() - body.len(), body),
            };
            taken.map_err(|what| format!("line {}: {what}", at + 1))?;
        }
        let whole = |d: &Declared| !(d.kind.is_empty() || d.name.is_empty() || d.file.is_empty());
        match out.items.is_empty() || !out.items.iter().all(whole) {
            true => Err("it names no templates with type, name and file".to_owned()),
            false => Ok(out.items),
        }
    }

    fn take(&mut self, indent: usize, body: &str) -> std::result::Result<(), &'static str> {
        if indent == 0 {
            self.provides = body == "provides:";
            self.list = None;
            let inline = !self.provides && body.starts_with("provides");
            return if inline { Err("`provides` is not a block") } else { Ok(()) };
        }
        let Some(depth) = self.list.filter(|_| self.provides) else {
            if self.provides && body == "templates:" {
                (self.list, self.keys) = (Some(indent), None);
            } else if self.provides && body.starts_with("templates") {
                return Err("`templates` is not a block");
            }
            return Ok(());
        };
        let is_item = body == "-" || body.starts_with("- ");
        if indent < depth || indent == depth && !is_item {
            self.list = None;
            return Ok(());
        }
        if is_item && self.keys.is_none_or(|keys| indent < keys) {
            let Some(rest) = body.strip_prefix("- ") else { return Err("an item without keys") };
            let pad = rest.len() - rest.trim_start().len();
            self.keys = Some(indent + 2 + pad);
            self.items.push(Declared { strategy: "replace".to_owned(), ..Declared::default() });
            return self.key(rest.trim_start());
        }
        match self.keys {
            Some(keys) if indent == keys => self.key(body),
            // Below a key that is of no interest.
            Some(keys) if indent > keys => Ok(()),
            _ => Err("an item was expected"),
        }
    }

    fn key(&mut self, body: &str) -> std::result::Result<(), &'static str> {
        let (Some(item), Some((key, value))) = (self.items.last_mut(), body.split_once(':')) else {
            return Err("a key was expected");
        };
        let field = match key.trim().trim_matches('"') {
            "type" => &mut item.kind,
            "name" => &mut item.name,
            "file" => &mut item.file,
            "strategy" => &mut item.strategy,
            _ => return Ok(()),
        };
        *field = scalar(value).ok_or("not a plain value")?;
        Ok(())
    }
}

/// What a preset gives for a template.
fn preset_layer(project: &Project, id: &str, name: &str) -> Result<Option<String>> {
    let base = format!(".specify/presets/{id}");
    let manifest = format!("{base}/preset.yml");
    let Some(text) = jail::read_optional(&project.root, &manifest)? else {
        return Ok(conventional(project, &base, name));
    };
    let ask = format!("ask the CLI: `specify preset resolve {name}`");
    let all = Manifest::read(&text).map_err(|reason| Error::Unreadable {
        path: project.root.join(&manifest),
        reason: format!("{reason}; {ask}"),
    })?;
    let Some(found) = all.iter().find(|d| d.name == name && d.kind == "template") else {
        return Ok(conventional(project, &base, name));
    };
    let strategy = found.strategy.to_ascii_lowercase();
    if strategy != "replace" {
        return Err(Error::Unsupported(format!(
            "preset `{id}` composes template `{name}` (`{strategy}`), only the Spec-Kit scripts \
             compose: run `.specify/scripts/bash/resolve-template.sh {name}`, or put the result \
             into `.specify/templates/overrides/{name}.md`"
        )));
    }
    if jail::check(&found.file).is_err() {
        return Ok(None);
    }
    let path = format!("{base}/{}", found.file);
    Ok(is_file(project, &path).then_some(path))
}

fn check_name(name: &str) -> Result<()> {
    if is_safe(name) {
        return Ok(());
    }
    let shown = name.escape_debug();
    Err(Error::Argument(format!(
        "template `{shown}` is no name of lower-case letters, digits and `-`; give one such as \
         `spec-template`"
    )))
}

/// The template of that name, from the first layer that has it; none if no layer has.
///
/// # Errors
/// `Unsupported` for a preset that composes, `Unreadable` for a manifest or registry that cannot
/// be read, `Argument` for a name that is none.
pub fn find_template(project: &Project, name: &str) -> Result<Option<Template>> {
    check_name(name)?;
    let Some(path) = layer(project, name)? else { return Ok(None) };
    let text = jail::read(&project.root, &path)?;
    Ok(Some(Template { name: name.to_owned(), path, text }))
}

fn layer(project: &Project, name: &str) -> Result<Option<String>> {
    let overriding = format!(".specify/templates/overrides/{name}.md");
    if is_file(project, &overriding) {
        return Ok(Some(overriding));
    }
    for id in presets(project) {
        if let Some(path) = preset_layer(project, &id, name)? {
            return Ok(Some(path));
        }
    }
    for id in extensions(project)? {
        if let Some(path) = conventional(project, &format!(".specify/extensions/{id}"), name) {
            return Ok(Some(path));
        }
    }
    let core = format!(".specify/templates/{name}.md");
    Ok(is_file(project, &core).then_some(core))
}

/// The path that the scripts print for a template: as [`find_template`], but without looking into
/// manifests.
pub(crate) fn template_path(project: &Project, name: &str) -> Result<Option<String>> {
    check_name(name)?;
    let overriding = format!(".specify/templates/overrides/{name}.md");
    if is_file(project, &overriding) {
        return Ok(Some(overriding));
    }
    let presets = presets(project).into_iter().map(|id| format!(".specify/presets/{id}"));
    let extensions = extensions(project)?.into_iter();
    let extensions = extensions.map(|id| format!(".specify/extensions/{id}"));
    let mut layers = presets.chain(extensions);
    if let Some(path) = layers.find_map(|base| conventional(project, &base, name)) {
        return Ok(Some(path));
    }
    let core = format!(".specify/templates/{name}.md");
    Ok(is_file(project, &core).then_some(core))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let at = dir.path().join(".specify").join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        }
        let project = Project::open(dir.path()).unwrap();
        (dir, project)
    }

    fn text(files: &[(&str, &str)]) -> Option<String> {
        let (_dir, project) = project(files);
        find_template(&project, "spec-template").unwrap().map(|t| t.text)
    }

    const CORE: (&str, &str) = ("templates/spec-template.md", "core");
    const EXTENSION: (&str, &str) = ("extensions/e/templates/spec-template.md", "extension");
    const PRESET: (&str, &str) = ("presets/p/spec-template.md", "preset");
    const OTHER: (&str, &str) = ("presets/o/templates/spec-template.md", "other");
    const OVERRIDE: (&str, &str) = ("templates/overrides/spec-template.md", "override");

    #[test]
    fn the_first_layer_wins() {
        assert_eq!(text(&[("x", "")]), None);
        assert_eq!(text(&[CORE]).as_deref(), Some("core"));
        assert_eq!(text(&[CORE, EXTENSION]).as_deref(), Some("extension"));
        assert_eq!(text(&[CORE, EXTENSION, PRESET]).as_deref(), Some("preset"));
        assert_eq!(text(&[CORE, EXTENSION, PRESET, OVERRIDE]).as_deref(), Some("override"));
        assert_eq!(text(&[PRESET, OTHER]).as_deref(), Some("other"));
        let registry = |text| ("presets/.registry", text);
        let first = registry(r#"{"presets":{"o":{"priority":20},"p":{"priority":"5"}}}"#);
        assert_eq!(text(&[PRESET, OTHER, first]).as_deref(), Some("preset"));
        let off = registry(r#"{"presets":{"p":{"enabled":false},"o":{"enabled":1}}}"#);
        assert_eq!(text(&[PRESET, OTHER, off]).as_deref(), Some("other"));
        let none = registry(r#"{"presets":{}}"#);
        assert_eq!(text(&[PRESET, CORE, none]).as_deref(), Some("core"));
        assert_eq!(text(&[PRESET, CORE, registry("{")]).as_deref(), Some("preset"));
    }

    fn manifest(strategy: &str) -> String {
        format!(
            "schema_version: \"1.0\"\npreset:\n  id: \"p\"\nprovides:\n  templates:\n    \
             - type: \"command\"\n      name: \"speckit.plan\"\n      file: a.md\n      \
             description: >\n        name: other\n    - type: template\n      \
             name: 'spec-template'\n      file: my/t.md # mine\n{strategy}\ntags:\n  - \"x\"\n"
        )
    }

    #[test]
    fn a_manifest_names_the_file_and_composition_is_refused() {
        let plain = manifest("");
        let files = [CORE, ("presets/p/my/t.md", "mine"), ("presets/p/preset.yml", &plain)];
        assert_eq!(text(&files).as_deref(), Some("mine"));
        let wraps = manifest("      strategy: wrap");
        let (_dir, project) = project(&[CORE, ("presets/p/preset.yml", &wraps)]);
        let refused = find_template(&project, "spec-template").unwrap_err().to_string();
        assert!(refused.contains("resolve-template.sh"), "{refused}");
        let core = find_template(&project, "plan-template").unwrap();
        assert_eq!(core, None);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            "provides: {templates: []}\n",
            "provides:\n  templates: *a\n",
            "a: b\n",
            "provides:\n  templates:\n    -\n      type: template\n",
            "provides:\n  templates:\n    - {type: template, name: spec-template, file: a}\n",
            "provides:\n  templates:\n    - type: template\n      name: &a spec-template\n",
        ] {
            let (_dir, project) = project(&[CORE, ("presets/p/preset.yml", bad)]);
            let refused = find_template(&project, "spec-template");
            assert!(matches!(refused, Err(Error::Unreadable { .. })), "{bad}: {refused:?}");
        }
        let (_dir, broken) = project(&[CORE, ("extensions/.registry", "[]")]);
        assert!(find_template(&broken, "spec-template").is_err());
        let (_dir, fine) = project(&[CORE]);
        for name in ["", "../x", "Spec", "a/b"] {
            assert!(matches!(find_template(&fine, name), Err(Error::Argument(_))), "{name}");
        }
    }
}
