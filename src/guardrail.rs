//! Which scope a call needs: grouped tools hide operations, not the whole tool.

use serde_json::Value;
use synod_store::Scope;
use synod_tools::{Effect, Entry};

/// The scope that a call of `entry` with `args` needs. Bringing the index up to date with its own
/// sources, and a dry run, change nothing that the reader of the sources could not see.
pub fn scope_of(entry: &Entry, args: &Value) -> Scope {
    if entry.effect == Effect::Read {
        return entry.scope;
    }
    let harmless = match (entry.name, args["op"].as_str()) {
        ("ingest", None | Some("reindex")) => true,
        ("ingest", _) => args["dry_run"] == Value::Bool(true),
        _ => false,
    };
    if harmless { Scope::ReadContext } else { entry.scope }
}
