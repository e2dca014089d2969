//! The answer to a method that is served, with parameters that it does not take.
//!
//! The library reads such a request as one of a method of its own, and would say that there is no
//! such method: a client then takes the feature for missing, and a model learns nothing.

use rmcp::model::{CustomRequest, CustomResult, ErrorCode, ErrorData};
use serde_json::{Value, json};

/// In which of the protocol's ways a method is served.
#[derive(Clone, Copy, PartialEq)]
enum Era {
    Any,
    /// After `initialize`.
    Legacy,
    /// With a version in each request.
    Modern,
}

const CURSOR: &str = "at most `cursor`, a string";
const URI: &str = "`uri`, a string";
const TASK: &str = "`taskId`, a string";

/// What each method takes, beside `_meta`.
const TAKES: &[(&str, Era, &str)] = &[
    (
        "completion/complete",
        Era::Any,
        "`ref` with the `type` `ref/prompt` and a `name`, or `ref/resource` and a `uri`, and \
         `argument` with `name` and `value`, all of them strings",
    ),
    (
        "initialize",
        Era::Legacy,
        "`protocolVersion`, a string, `capabilities`, an object, and `clientInfo` with `name` and \
         `version`",
    ),
    ("ping", Era::Legacy, "nothing"),
    ("prompts/get", Era::Any, "`name`, a string, and `arguments`, an object"),
    ("prompts/list", Era::Any, CURSOR),
    ("resources/list", Era::Any, CURSOR),
    ("resources/read", Era::Any, URI),
    ("resources/subscribe", Era::Legacy, URI),
    ("resources/templates/list", Era::Any, CURSOR),
    ("resources/unsubscribe", Era::Legacy, URI),
    ("server/discover", Era::Any, "nothing"),
    ("subscriptions/listen", Era::Modern, "`notifications`, an object"),
    ("tasks/cancel", Era::Any, TASK),
    ("tasks/get", Era::Any, TASK),
    ("tasks/update", Era::Any, "`taskId`, a string, and `inputResponses`, an object"),
    ("tools/call", Era::Any, "`name`, a string, and `arguments`, an object"),
    ("tools/list", Era::Any, CURSOR),
];

/// Arguments of a call that are no object, which a model can mend: a result says so.
fn mendable(request: &CustomRequest) -> Option<String> {
    let params = request.params.as_ref().filter(|_| request.method == "tools/call")?;
    let name = params.get("name")?.as_str()?;
    let given = match params.get("arguments")? {
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Null | Value::Object(_) => return None,
    };
    Some(format!("{name}: `arguments` is {given}; pass an object, as the tool's schema has it"))
}

/// Answers a request that the library knows none of its own in. `modern` says that it carries its
/// version.
///
/// # Errors
/// -32601 for a method that is not served, -32602 for one that is.
pub fn answer(request: CustomRequest, modern: bool) -> Result<CustomResult, ErrorData> {
    let other = if modern { Era::Legacy } else { Era::Modern };
    let served = TAKES.iter().find(|(name, era, _)| *name == request.method && *era != other);
    let Some((name, _, takes)) = served else {
        return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None));
    };
    if let Some(text) = mendable(&request) {
        let mut result = json!({ "content": [{ "type": "text", "text": text }], "isError": true });
        if modern {
            result["resultType"] = json!("complete");
        }
        return Ok(CustomResult::new(result));
    }
    let text = format!("{name}: the parameters do not fit; it takes {takes}");
    Err(ErrorData::invalid_params(text, None))
}
