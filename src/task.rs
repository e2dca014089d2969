//! Tasks of the protocol (SEP-2663) over the jobs of the store: a council that a client with that
//! extension asks for is a task from its first moment.
//!
//! Nothing is kept here: a task is its job, so that it outlives the connection and the process.

use crate::dispatch::{Caller, Door};
use crate::fault::{self, Fault};
use rmcp::model::{
    CallToolResult, ContentBlock, DetailedTask, ErrorData, InputRequest, InputRequests,
    InputResponses, JsonObject, Task, TaskPayload, TaskStatus,
};
use serde_json::{Value, json};
use synod_store::{Job, JobState};
use synod_tools::{COUNCIL_JOB, Call};

/// How often a client is told to look after its task, in milliseconds.
const POLL_MS: u64 = 1_000;
/// How long a task is kept, in milliseconds.
const TTL_MS: u64 = 24 * 60 * 60 * 1_000;

fn refused(fault: &Fault) -> ErrorData {
    match fault.code {
        fault::INTERNAL | fault::STORAGE => ErrorData::internal_error(fault.to_string(), None),
        _ => ErrorData::invalid_params(fault.to_string(), None),
    }
}

fn status(state: JobState) -> TaskStatus {
    match state {
        JobState::Pending | JobState::Running => TaskStatus::Working,
        JobState::Waiting => TaskStatus::InputRequired,
        JobState::Succeeded | JobState::Failed => TaskStatus::Completed,
        JobState::Cancelled => TaskStatus::Cancelled,
    }
}

fn shown(job: &Job) -> Task {
    let stamp = synod_index::timestamp;
    Task::new(&*job.id, status(job.state), stamp(job.made_ms), stamp(job.changed_ms))
        .with_ttl_ms(TTL_MS)
        .with_poll_interval_ms(POLL_MS)
}

/// Leaves a council as a job and gives it as a task.
///
/// # Errors
/// Those of the tool, which the model may mend.
pub async fn begin(door: &Door, caller: &Caller, args: Value) -> Result<Task, Fault> {
    caller.watches()?;
    let args = json!({ "op": "submit", "kind": "orchestrate", "input": args });
    let left = door.call(caller, "job", args, Call::silent()).await?;
    let id = left.structured["job"].as_str().unwrap_or_default();
    Ok(shown(&found(door, caller, id).await?))
}

/// A council that the caller may see.
async fn found(door: &Door, caller: &Caller, id: &str) -> Result<Job, Fault> {
    let args = json!({ "op": "status", "id": id });
    door.call(caller, "job", args, Call::silent()).await?;
    let job = door.context().store.job(id)?.filter(|job| job.kind == COUNCIL_JOB);
    job.ok_or_else(|| Fault::new(fault::NOT_FOUND, format!("no task `{id}`")))
}

/// A task as it stands, with its result or with what it asks for. A client that can show no form
/// (`forms`) is told in words what its task waits for.
///
/// # Errors
/// `invalid_params` for a task that is not there.
pub async fn get(
    door: &Door,
    caller: &Caller,
    id: &str,
    forms: bool,
) -> Result<DetailedTask, ErrorData> {
    let job = found(door, caller, id).await.map_err(|fault| refused(&fault))?;
    let payload = match job.state {
        JobState::Pending | JobState::Running => TaskPayload::Working,
        JobState::Waiting if !forms => {
            let text =
                format!("waits for a person: call `job` with `op` = `act` and `id` = `{id}`");
            let task = shown(&job).with_status_message(text);
            return Ok(DetailedTask::new(task, TaskPayload::Working));
        }
        JobState::Waiting => TaskPayload::InputRequired { input_requests: wanted(&job)? },
        JobState::Cancelled => TaskPayload::Cancelled,
        JobState::Succeeded | JobState::Failed => {
            TaskPayload::Completed { result: result(door, caller, id).await? }
        }
    };
    Ok(DetailedTask::new(shown(&job), payload))
}

/// What the tool would have answered.
async fn result(door: &Door, caller: &Caller, id: &str) -> Result<JsonObject, ErrorData> {
    let answer = door.call(caller, "orchestrate", json!({ "job": id }), Call::silent()).await;
    let result = match answer {
        Ok(answer) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
            result.structured_content = Some(answer.structured);
            result
        }
        Err(fault) => CallToolResult::error(vec![ContentBlock::text(fault.to_string())]),
    };
    match serde_json::to_value(result) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(refused(&Fault::internal(&"a result is no object"))),
    }
}

/// The key of a job's question to a person: each time another one.
fn key(job: &Job) -> String {
    format!("decision-{}", job.attempt)
}

/// A form for the person who decides.
fn wanted(job: &Job) -> Result<InputRequests, ErrorData> {
    let needs: Value =
        job.needs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let why = needs["why"].as_str().unwrap_or("a person decides");
    let form = json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": format!("The council waits for you: {why}."),
            "requestedSchema": {
                "type": "object",
                "properties": {
                    "action": {
                        "type": "string", "enum": ["approve", "provide", "cancel"],
                        "description": "approve the answer, provide context, or cancel",
                    },
                    "text": { "type": "string", "description": "context that was missing" },
                },
                "required": ["action"],
            },
        },
    });
    let request: InputRequest =
        serde_json::from_value(form).map_err(|error| refused(&Fault::internal(&error)))?;
    Ok(InputRequests::from([(key(job), request)]))
}

/// Takes a person's word on a task that waits for it. Closing the form changes nothing.
///
/// # Errors
/// `invalid_params` for a task that is not there, or words that do not fit.
pub async fn update(
    door: &Door,
    caller: &Caller,
    id: &str,
    responses: &InputResponses,
) -> Result<(), ErrorData> {
    let job = found(door, caller, id).await.map_err(|fault| refused(&fault))?;
    let Some(said) = responses.get(&key(&job)).filter(|said| said["action"] == "accept") else {
        return Ok(());
    };
    let mut args = json!({ "op": "act", "id": id, "action": said["content"]["action"] });
    if let Some(text) = said["content"]["text"].as_str().filter(|text| !text.is_empty()) {
        args["text"] = text.into();
    }
    let acted = door.call(caller, "job", args, Call::silent()).await;
    acted.map(|_| ()).map_err(|fault| refused(&fault))
}

/// Stops a task.
///
/// # Errors
/// `invalid_params` for a task that is not there.
pub async fn cancel(door: &Door, caller: &Caller, id: &str) -> Result<(), ErrorData> {
    let job = found(door, caller, id).await.map_err(|fault| refused(&fault))?;
    if job.state.ended() {
        return Ok(());
    }
    let args = json!({ "op": "act", "id": id, "action": "cancel" });
    let acted = door.call(caller, "job", args, Call::silent()).await;
    acted.map(|_| ()).map_err(|fault| refused(&fault))
}
