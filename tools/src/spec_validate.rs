//! `spec_validate`: what a feature breaks, lacks and leaves uncovered.

use crate::{Call, Context, Effect, Error, Operation, Route, Work, spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use synod_speckit::{Finding, Required, check_prerequisites, validate};
use synod_store::Scope;

pub struct SpecValidate;

/// Findings of one reply.
const FINDINGS_MAX: usize = 60;
/// Requirements of one reply.
const COVERAGE_MAX: usize = 200;

/// Check a feature by Spec-Kit's rules: requirements without tasks, open questions, checklists,
/// constitution, ids, missing documents.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    project: Option<String>,
    feature: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct FindingReply {
    rule: &'static str,
    /// error, warning or hint.
    severity: &'static str,
    doc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    message: String,
}

#[derive(Serialize, JsonSchema)]
struct CoverageReply {
    requirements: usize,
    covered: usize,
    /// Ids that neither a task nor a story with tasks names, the first 200.
    uncovered: Vec<String>,
    /// By id, the tasks that name it; the first 200.
    tasks: serde_json::Map<String, Value>,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    feature: String,
    /// No error was found.
    ok: bool,
    /// rule, severity, doc, line, message; errors first.
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    findings: Vec<FindingReply>,
    /// Findings that are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
    /// requirements, covered, uncovered, tasks by requirement.
    #[schemars(with = "serde_json::Map<String, Value>")]
    coverage: CoverageReply,
    /// As `check-prerequisites --json` prints it, or its complaint as `error`.
    prerequisites: serde_json::Map<String, Value>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl From<Finding> for FindingReply {
    fn from(finding: Finding) -> Self {
        FindingReply {
            rule: finding.rule,
            severity: finding.severity.name(),
            doc: finding.doc,
            line: finding.line,
            message: finding.message,
        }
    }
}

impl Operation for SpecValidate {
    const NAME: &'static str = "spec_validate";
    const TITLE: &'static str = "Validate a feature";
    const EFFECT: Effect = Effect::Read;
    const SCOPE: Scope = Scope::ReadContext;
    const WORK: Work = Work::Compute;
    const IDEMPOTENT: bool = true;
    const ROUTES: &'static [Route] = &[Route::get("/v1/spec-kit/features/{feature}/validation")];
    type Args = Args;
    type Reply = Reply;

    async fn run(cx: &Context, args: Args, _: &Call) -> Result<Reply, Error> {
        let project = spec::project(cx, Self::NAME, args.project.as_deref())?;
        let feature = spec::feature(Self::NAME, &project, args.feature.as_deref())?;
        let report =
            validate(&project, &feature).map_err(|error| spec::fault(Self::NAME, error))?;
        let required = Required { spec: true, include_tasks: true, ..Required::default() };
        let prerequisites = match check_prerequisites(&project, &feature, &required) {
            Ok(found) => serde_json::to_value(found)?,
            Err(error) => json!({ "error": error.to_string() }),
        };
        let all = report.coverage.requirements;
        let uncovered = report.coverage.uncovered;
        let tasks = all.iter().take(COVERAGE_MAX).map(|one| (one.id.clone(), json!(one.tasks)));
        let not_covered = uncovered.len();
        let (n, shown) = (report.findings.len(), report.findings.len().min(FINDINGS_MAX));
        Ok(Reply {
            feature: feature.name,
            ok: report.ok,
            findings: report.findings.into_iter().take(shown).map(FindingReply::from).collect(),
            left_out: report.left_out + n - shown,
            coverage: CoverageReply {
                requirements: all.len(),
                covered: all.len() - not_covered.min(all.len()),
                tasks: tasks.collect(),
                uncovered: uncovered.into_iter().take(COVERAGE_MAX).collect(),
            },
            prerequisites: match prerequisites {
                Value::Object(map) => map,
                _ => serde_json::Map::new(),
            },
        })
    }

    fn render(reply: &Reply) -> String {
        let CoverageReply { requirements, covered, uncovered, .. } = &reply.coverage;
        let verdict = if reply.ok { "no error" } else { "errors" };
        let mut out = format!(
            "{}: {verdict}; {covered} of {requirements} requirements are covered\n",
            reply.feature
        );
        if !uncovered.is_empty() {
            out.push_str(&format!("Uncovered: {}\n", uncovered.join(", ")));
        }
        for finding in &reply.findings {
            let FindingReply { severity, doc, message, rule, .. } = finding;
            let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
            out.push_str(&format!("- {severity} {doc}{line}: {message} ({rule})\n"));
        }
        if reply.left_out > 0 {
            out.push_str(&format!("_{} more findings_\n", reply.left_out));
        }
        out
    }
}
