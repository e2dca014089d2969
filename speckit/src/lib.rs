//! The engine of Spec-Kit projects: finds them, reads features, plans and tasks, slices, validates
//! and edits them, makes new ones, and builds calls of the CLI for the rest.
//!
//! Knows neither MCP nor HTTP nor other engines. Synchronous; dates and times are arguments. The
//! formats, names and answers are those of the published CLI 1.2.3. Every operation names its
//! feature: the pointer that all agents of a checkout share is never relied on.

mod checklist;
mod cli;
mod constitution;
mod create;
mod edit;
mod error;
mod feature;
mod jail;
mod letter;
mod list;
mod marker;
mod name;
mod nearest;
mod next;
mod path;
mod plan;
mod project;
mod prompt;
mod restore;
mod run;
mod script;
mod slice;
mod spec;
mod task;
mod template;
mod text;
mod validate;
mod write;

pub use checklist::{Checklist, Item};
pub use cli::{
    ALLOWED, ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, Allowed, Class, ENVIRONMENT, Invocation, Program,
    find_program, invocation,
};
pub use constitution::Constitution;
pub use create::{Created, DESCRIPTION_BYTES_MAX, NewFeature, activate, create};
pub use edit::{
    APPENDED_MAX, Change, Edit, Edited, LINE_BYTES_MAX, MarkerRef, NewTask, Place, edit,
};
pub use error::{Error, Result};
pub use feature::{Doc, FILES_MAX, hash};
pub use jail::{DOC_BYTES_MAX, PATH_BYTES_MAX};
pub use list::{CACHED_MAX, Cache, Stage, Status, list, status};
pub use marker::Marker;
pub use name::{
    NAME_BYTES_MAX, NUMBER_MAX, check_timestamp, fit, free_number, next_number, slug,
    slug_of_description,
};
pub use next::{Next, NextTask, PARALLEL_MAX, next, next_of};
pub use plan::{Check, Plan};
pub use project::{
    DISCOVERY_DEPTH_MAX, DISCOVERY_FOLDERS_MAX, Discovered, FEATURES_MAX, Feature, Git, Numbering,
    Project,
};
pub use prompt::{PROMPTS_MAX, Prompt, prompt, prompts};
pub use restore::{Present, Restored, present, restore};
pub use run::{Limits, OUTPUT_BYTES_MAX, Output, RUN_MS_MAX, Run, bounded, run};
pub use script::{
    NewFeatureJson, PathsJson, PlanJson, PlanSetup, PrerequisitesJson, Required, TasksJson,
    TemplateJson, check_prerequisites, new_feature_json, paths, resolve_template, setup_plan,
    setup_tasks,
};
pub use slice::{LeftOut, Piece, SLICE_BYTES_MAX, Slice, Want, slice};
pub use spec::{Clarification, Field, Requirement, Spec, Story};
pub use task::{Phase, PhaseKind, Stray, Task, Tasks};
pub use template::{Template, find_template};
pub use text::Section;
pub use validate::{
    Coverage, Covered, FINDINGS_MAX, Finding, MARKERS_MAX, Report, Severity, validate,
};
pub use write::{Keep, LOCK_WAIT_MS};
