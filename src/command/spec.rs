//! `synod spec`: features of Spec-Kit projects, from the command line.

use super::tool::{plain, print};
use crate::cli::{Failure, Session, SpecArgs};
use serde_json::json;
use std::process::ExitCode;

/// `synod spec`
pub fn run(session: &Session, args: &SpecArgs) -> Result<ExitCode, Failure> {
    // A folder is meant as the shell means it; anything else is a source's name.
    let folder = |named: &str| {
        let path = std::path::absolute(named).ok().filter(|path| path.is_dir());
        path.map_or_else(|| named.to_owned(), |path| path.display().to_string())
    };
    let project = args.project.as_deref().map(folder);
    let feature = &args.feature;
    let (tool, mut call) = match &args.tick {
        Some(id) => ("spec_update", json!({ "feature": feature, "op": "tick", "id": id })),
        None if args.next => ("spec_next", json!({ "feature": feature })),
        None if args.check => ("spec_validate", json!({ "feature": feature })),
        None if feature.is_some() => {
            ("spec_read", json!({ "feature": feature, "what": args.what }))
        }
        None => ("spec_list", json!({})),
    };
    if let Some(project) = project {
        call["project"] = project.into();
    }
    print(session, &plain(session, tool, call)?);
    Ok(ExitCode::SUCCESS)
}
