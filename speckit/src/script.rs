//! What the project's scripts answer: setup-plan, setup-tasks, check-prerequisites, paths,
//! resolve-template, with their JSON keys and the words of their complaints.
//!
//! Unlike the scripts, the feature is an argument: neither the environment nor the shared pointer
//! is read, and none is written.

use crate::create::Created;
use crate::error::{Error, Result};
use crate::jail;
use crate::project::{Feature, Project};
use crate::template::{find_template, template_path};
use crate::write;
use serde::Serialize;
use std::path::Path;

/// As `create-new-feature --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct NewFeatureJson {
    /// Name of the folder.
    pub branch_name: String,
    /// Absolute.
    pub spec_file: String,
    /// `001` or the timestamp.
    pub feature_num: String,
    /// Only after a dry run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// As `setup-plan --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct PlanJson {
    /// Absolute.
    pub feature_spec: String,
    /// Absolute.
    pub impl_plan: String,
    /// Absolute.
    pub feature_dir: String,
    /// Name of the folder.
    pub branch: String,
}

/// What [`setup_plan`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSetup {
    /// The script's answer.
    pub json: PlanJson,
    /// plan.md was there already and stays.
    pub existed: bool,
    /// The text that was written, or would be; none if plan.md was there.
    pub text: Option<String>,
}

/// As `setup-tasks --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct TasksJson {
    /// Absolute.
    pub feature_dir: String,
    /// In the scripts' order.
    pub available_docs: Vec<String>,
    /// Absolute.
    pub tasks_template: String,
    /// Byte for byte.
    pub tasks_template_content: String,
}

/// As `check-prerequisites --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct PrerequisitesJson {
    /// Absolute.
    pub feature_dir: String,
    /// In the scripts' order.
    pub available_docs: Vec<String>,
    /// Only if a template was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_content: Option<String>,
}

/// As `check-prerequisites --json --paths-only` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct PathsJson {
    /// Absolute.
    pub repo_root: String,
    /// Name of the folder.
    pub branch: String,
    /// Absolute.
    pub feature_dir: String,
    /// Absolute.
    pub feature_spec: String,
    /// Absolute.
    pub impl_plan: String,
    /// Absolute.
    pub tasks: String,
}

/// As `resolve-template --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct TemplateJson {
    /// As it was asked for.
    pub template_name: String,
    /// Byte for byte.
    pub template_content: String,
}

/// What has to be there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Required<'a> {
    /// spec.md
    pub spec: bool,
    /// tasks.md
    pub tasks: bool,
    /// List tasks.md among the documents.
    pub include_tasks: bool,
    /// Give the text of this template too.
    pub template: Option<&'a str>,
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A feature's folder as the scripts print it: below the root, links not resolved.
fn folder(project: &Project, feature: &Feature) -> String {
    shown(&project.root.join(&feature.path))
}

fn docs(feature: &Feature, include_tasks: bool) -> Vec<String> {
    let filled = |dir: &str| {
        let dir = feature.at(dir).and_then(|dir| jail::resolve(&feature.root, &dir));
        dir.is_ok_and(|dir| dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()))
    };
    let mut out = Vec::new();
    for doc in ["research.md", "data-model.md", "contracts/", "quickstart.md", "tasks.md"] {
        let there = match doc {
            "contracts/" => filled("contracts"),
            "tasks.md" => include_tasks && feature.has(doc),
            _ => feature.has(doc),
        };
        if there {
            out.push(doc.to_owned());
        }
    }
    out
}

/// One document that must be there, or the scripts' complaint.
fn require(project: &Project, feature: &Feature, doc: &str, command: &str, to: &str) -> Result<()> {
    if feature.has(doc) {
        return Ok(());
    }
    Err(Error::Prerequisite {
        message: format!("{doc} not found in {}", folder(project, feature)),
        hint: format!("Run {} first to {to}.", project.invocation(command)),
    })
}

/// The answer of `create-new-feature`.
pub fn new_feature_json(project: &Project, created: &Created) -> NewFeatureJson {
    NewFeatureJson {
        branch_name: created.name.clone(),
        spec_file: shown(&project.root.join(&created.path).join("spec.md")),
        feature_num: created.id.clone(),
        dry_run: created.dry_run,
    }
}

/// The answer of `check-prerequisites --paths-only`; nothing is checked.
pub fn paths(project: &Project, feature: &Feature) -> PathsJson {
    let dir = project.root.join(&feature.path);
    PathsJson {
        repo_root: shown(&project.root),
        branch: feature.name.clone(),
        feature_dir: shown(&dir),
        feature_spec: shown(&dir.join("spec.md")),
        impl_plan: shown(&dir.join("plan.md")),
        tasks: shown(&dir.join("tasks.md")),
    }
}

/// Checks what a step needs.
///
/// # Errors
/// `Prerequisite` with the scripts' words, `Missing` for a template that no layer has, and as
/// [`find_template`].
pub fn check_prerequisites(
    project: &Project,
    feature: &Feature,
    required: &Required,
) -> Result<PrerequisitesJson> {
    require(project, feature, "plan.md", "plan", "create the implementation plan")?;
    let plan = jail::resolve(&feature.root, &feature.at("plan.md")?)?;
    let meta = plan.metadata().map_err(|source| Error::io(&plan, source))?;
    if meta.len() == 0 {
        return Err(Error::Prerequisite {
            message: format!("plan.md is empty in {}", folder(project, feature)),
            hint: format!(
                "Populate it, or remove the empty file and rerun {} with a valid plan template.",
                project.invocation("plan")
            ),
        });
    }
    if required.spec {
        require(project, feature, "spec.md", "specify", "create the feature specification")?;
    }
    if required.tasks {
        require(project, feature, "tasks.md", "tasks", "create the task list")?;
    }
    let template = required.template.map(|name| resolve_template(project, name)).transpose()?;
    Ok(PrerequisitesJson {
        feature_dir: folder(project, feature),
        available_docs: docs(feature, required.include_tasks),
        template_content: template.map(|template| template.template_content),
    })
}

/// The text of a template.
///
/// # Errors
/// `Missing` if no layer has it, and as [`find_template`].
pub fn resolve_template(project: &Project, name: &str) -> Result<TemplateJson> {
    match find_template(project, name)? {
        Some(template) => {
            Ok(TemplateJson { template_name: name.to_owned(), template_content: template.text })
        }
        None => {
            let root = shown(&project.root);
            let what = format!(
                "could not resolve `{name}` from the template override stack for {root}; add \
                 `.specify/templates/overrides/{name}.md`"
            );
            Err(Error::Missing { what, nearest: Vec::new() })
        }
    }
}

/// Puts the plan template into the feature unless it has a plan.md. A dry run gives the text and
/// writes nothing.
///
/// # Errors
/// `Missing` or `Unreadable` if there is no template or it is empty, and as [`find_template`].
pub fn setup_plan(project: &Project, feature: &Feature, dry_run: bool) -> Result<PlanSetup> {
    let paths = paths(project, feature);
    let json = PlanJson {
        feature_spec: paths.feature_spec,
        impl_plan: paths.impl_plan,
        feature_dir: paths.feature_dir,
        branch: paths.branch,
    };
    if feature.has("plan.md") {
        return Ok(PlanSetup { json, existed: true, text: None });
    }
    let text = resolve_template(project, "plan-template")?.template_content;
    if text.is_empty() {
        return Err(Error::Unreadable {
            path: project.root.join(".specify/templates/plan-template.md"),
            reason: "the plan template is empty; restore a valid one".to_owned(),
        });
    }
    let made = match dry_run {
        true => true,
        false => {
            let at = jail::resolve_new(&feature.root, &feature.at("plan.md")?)?;
            let lock = write::Lock::take(at.parent().unwrap_or(&feature.folder))?;
            write::create(&lock, &at, text.as_bytes())?
        }
    };
    Ok(PlanSetup { json, existed: !made, text: made.then_some(text) })
}

/// What is needed to write tasks.md, which this does not write.
///
/// # Errors
/// `Prerequisite` if plan.md or spec.md is missing, `Missing` if no layer has the template, and as
/// [`find_template`].
pub fn setup_tasks(project: &Project, feature: &Feature) -> Result<TasksJson> {
    require(project, feature, "plan.md", "plan", "create the implementation plan")?;
    require(project, feature, "spec.md", "specify", "create the feature structure")?;
    let content = resolve_template(project, "tasks-template")?.template_content;
    let path = template_path(project, "tasks-template")?;
    Ok(TasksJson {
        feature_dir: folder(project, feature),
        available_docs: docs(feature, false),
        tasks_template: path.map_or_else(String::new, |path| shown(&project.root.join(path))),
        tasks_template_content: content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn keys_order_and_complaints_of_the_scripts() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".specify/templates")).unwrap();
        fs::create_dir_all(dir.path().join("specs/001-a/contracts")).unwrap();
        let project = Project::open(dir.path()).unwrap();
        let feature = project.feature("001").unwrap();
        let root = project.root.display().to_string();
        let refused = check_prerequisites(&project, &feature, &Required::default()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "plan.md not found in {root}/specs/001-a; \
                 Run /speckit.plan first to create the implementation plan."
            )
        );
        assert!(setup_plan(&project, &feature, false).is_err());
        fs::write(dir.path().join(".specify/templates/plan-template.md"), "p").unwrap();
        let dry = setup_plan(&project, &feature, true).unwrap();
        assert_eq!((dry.existed, dry.text.as_deref()), (false, Some("p")));
        assert!(!dir.path().join("specs/001-a/plan.md").exists());
        let json = serde_json::to_string(&setup_plan(&project, &feature, false).unwrap().json);
        let at = format!("{root}/specs/001-a");
        assert_eq!(
            json.unwrap(),
            format!(
                "{{\"FEATURE_SPEC\":\"{at}/spec.md\",\"IMPL_PLAN\":\"{at}/plan.md\",\
                 \"FEATURE_DIR\":\"{at}\",\"BRANCH\":\"001-a\"}}"
            )
        );
        assert!(setup_plan(&project, &feature, false).unwrap().existed);
        assert!(setup_tasks(&project, &feature).is_err(), "spec.md is missing");
        for doc in ["spec.md", "quickstart.md", "research.md", "contracts/a", "tasks.md"] {
            fs::write(dir.path().join("specs/001-a").join(doc), "x").unwrap();
        }
        let required = Required { tasks: true, include_tasks: true, ..Required::default() };
        let found = check_prerequisites(&project, &feature, &required).unwrap();
        let wanted = ["research.md", "contracts/", "quickstart.md", "tasks.md"];
        assert_eq!(found.available_docs, wanted);
        assert!(setup_tasks(&project, &feature).unwrap_err().to_string().contains("overrides"));
    }
}
