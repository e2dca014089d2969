//! A program around the engine, for tests that compare it with the published CLI and that edit one
//! file from several processes: a JSON request a line in, a JSON answer a line out.
//!
//! It is no interface: what it prints follows the engine.

use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use synod_speckit as kit;

type Answer = Result<Value, kit::Error>;

fn text<'a>(request: &'a Value, key: &str) -> &'a str {
    request[key].as_str().unwrap_or_default()
}

fn optional<'a>(request: &'a Value, key: &str) -> Option<&'a str> {
    request[key].as_str()
}

fn wire(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn status(status: &kit::Status) -> Value {
    json!({"id": status.id, "name": status.name, "path": status.path,
        "stage": status.stage.name(), "checklist_blocked": status.checklist_blocked,
        "tasks_done": status.tasks_done, "tasks_total": status.tasks_total,
        "missing": status.missing, "modified_ms": status.modified_ms})
}

fn edited(done: kit::Edited) -> Value {
    let changes: Vec<Value> = done
        .changes
        .iter()
        .map(|c| json!({"line": c.line, "before": c.before, "after": c.after}))
        .collect();
    json!({"doc": done.doc, "changes": changes, "ids": done.ids, "hash": done.hash})
}

fn edit(feature: &kit::Feature, request: &Value) -> Answer {
    let id = text(request, "id");
    let doc = optional(request, "doc").unwrap_or("tasks.md");
    let hash = optional(request, "hash");
    let line = request["line"].as_u64().map(|n| n as usize);
    let tasks = [kit::NewTask {
        text: text(request, "text"),
        parallel: request["parallel"].as_bool().unwrap_or(false),
        story: request["story"].as_u64().map(|n| n as u32),
    }];
    let place = match (optional(request, "phase"), optional(request, "new_phase")) {
        (Some(phase), _) => kit::Place::Phase(phase),
        (None, Some(title)) => kit::Place::NewPhase(title),
        (None, None) => kit::Place::End,
    };
    let edit = match text(request, "op") {
        "tick" => kit::Edit::Tick { doc, id, line, done: true },
        "untick" => kit::Edit::Tick { doc, id, line, done: false },
        "append" => kit::Edit::Append { place, tasks: &tasks },
        "answer" => kit::Edit::Answer {
            question: text(request, "question"),
            answer: text(request, "answer"),
            date: text(request, "date"),
            marker: optional(request, "marker").map(kit::MarkerRef::Question),
        },
        _ => kit::Edit::Status(text(request, "text")),
    };
    kit::edit(feature, &edit, hash, &|_, _| Ok(())).map(edited)
}

fn create(project: &kit::Project, request: &Value) -> Answer {
    let flag = |key: &str| request[key].as_bool().unwrap_or(false);
    let new = kit::NewFeature {
        description: text(request, "description"),
        short_name: optional(request, "short_name"),
        number: request["number"].as_u64(),
        timestamp: optional(request, "timestamp"),
        allow_existing: flag("allow_existing"),
        activate: flag("activate"),
        dry_run: flag("dry_run"),
    };
    let created = kit::create(project, &new, &|_, _| Ok(()))?;
    Ok(json!({"script": wire(kit::new_feature_json(project, &created)), "id": created.id,
        "path": created.path, "files": created.files, "warnings": created.warnings}))
}

fn run(project: &kit::Project, request: &Value) -> Answer {
    let args: Vec<&str> =
        request["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let call = kit::invocation(text(request, "command"), &args)?;
    let given = optional(request, "program").map(PathBuf::from);
    let program = kit::find_program(given.as_deref(), None, false)?;
    let limits = kit::Limits { time_ms: 60_000, output_bytes: 100_000 };
    let done = kit::run(&program, &call, &project.root, &project.root, &limits)?;
    Ok(json!({"argv": call.argv, "status": done.status, "timed_out": done.timed_out,
        "stdout": done.stdout.text, "stderr": done.stderr.text}))
}

fn of_feature(project: &kit::Project, feature: &kit::Feature, request: &Value) -> Answer {
    let flag = |key: &str| request[key].as_bool().unwrap_or(false);
    let max = request["max"].as_u64().map_or(100_000, |n| n as usize);
    match text(request, "op") {
        "tick" | "untick" | "append" | "answer" | "status" => edit(feature, request),
        "next" => kit::next(feature, max).map(|next| {
            let ids: Vec<&str> = next.tasks.iter().map(|task| task.id.as_str()).collect();
            json!({"tasks": ids, "why": next.why, "hash": next.hash})
        }),
        "read" => kit::slice(project, feature, &kit::Want::parse(text(request, "what")), max).map(
            |slice| {
                let pieces: Vec<Value> = slice
                    .pieces
                    .iter()
                    .map(|p| {
                        let lines = [p.lines.start, p.lines.end];
                        json!({"role": p.role, "path": p.path, "lines": lines, "text": p.text})
                    })
                    .collect();
                json!({"pieces": pieces, "left_out": slice.left_out.len()})
            },
        ),
        "validate" => kit::validate(project, feature).map(|report| {
            let findings: Vec<Value> = report
                .findings
                .iter()
                .map(|f| {
                    json!({"rule": f.rule, "severity": f.severity.name(), "doc": f.doc,
                        "line": f.line, "message": f.message})
                })
                .collect();
            json!({"ok": report.ok, "findings": findings, "uncovered": report.coverage.uncovered})
        }),
        "paths" => Ok(wire(kit::paths(project, feature))),
        "setup-plan" => kit::setup_plan(project, feature, flag("dry_run"))
            .map(|done| json!({"script": wire(done.json), "text": done.text})),
        "setup-tasks" => kit::setup_tasks(project, feature).map(wire),
        "check-prerequisites" => {
            let required = kit::Required {
                spec: flag("spec"),
                tasks: flag("tasks"),
                include_tasks: flag("include_tasks"),
                template: optional(request, "template"),
            };
            kit::check_prerequisites(project, feature, &required).map(wire)
        }
        other => Err(kit::Error::Argument(format!("no operation `{other}`"))),
    }
}

fn answer(request: &Value) -> Answer {
    if text(request, "op") == "slug" {
        let given = text(request, "text");
        let number = request["number"].as_str().unwrap_or("001");
        let of_description = kit::slug_of_description(given.trim());
        let fitted = kit::fit(number, &kit::slug(given)).0;
        return Ok(json!([of_description, kit::slug(given), fitted]));
    }
    let project = kit::Project::find(Path::new(text(request, "project")), None)?;
    if let Some(feature) = optional(request, "feature") {
        return of_feature(&project, &project.feature(feature)?, request);
    }
    match text(request, "op") {
        "project" => Ok(json!({"root": project.root, "version": project.version,
            "integration": project.integration, "separator": project.separator.to_string(),
            "active": project.active, "script": project.script,
            "plan": project.invocation("plan")})),
        "list" => {
            let all = kit::list(&project, &mut kit::Cache::default())?;
            Ok(all.iter().map(status).collect())
        }
        "create" => create(&project, request),
        "resolve-template" => kit::resolve_template(&project, text(request, "name")).map(wire),
        "prompts" => Ok(kit::prompts(&project)
            .iter()
            .map(|p| {
                json!({"name": p.name, "path": p.path, "description": p.description,
                    "text": p.text})
            })
            .collect()),
        "run" => run(&project, request),
        other => Err(kit::Error::Argument(format!("no operation `{other}`"))),
    }
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let reply = match serde_json::from_str::<Value>(&line) {
            Err(error) => json!({"error": error.to_string()}),
            Ok(request) => match answer(&request) {
                Ok(value) => json!({"ok": value}),
                Err(error) => {
                    let kind = format!("{error:?}");
                    let kind = kind.split([' ', '(']).next().unwrap_or_default();
                    json!({"error": error.to_string(), "kind": kind})
                }
            },
        };
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}
