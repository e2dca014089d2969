//! What `synod doctor` finds and mends beside the index: the store of tokens, sessions, jobs, what
//! was spent, and the ledger.

use super::admin::not_writer;
use super::note;
use super::tool::FACE;
use crate::cli::{Failure, Session};
use crate::now_ms;
use std::path::Path;
use std::sync::Arc;
use synod_index::{Index, Updater};
use synod_store::{Checked, Entry, Repaired, Store};

/// What was found.
pub struct State {
    /// Tokens that were not revoked; unknown where the store is damaged.
    pub tokens: Option<usize>,
    /// The chain of the ledger; unknown there too.
    pub chain: Option<Checked>,
    /// What a repair would mend.
    pub damage: Option<String>,
    /// A repair could not keep all rows.
    pub lost: bool,
}

/// Looks at the store; with `repair`, one that is damaged is made anew of what can be read of it.
///
/// # Errors
/// Another process writes, or the store cannot be opened.
pub fn check(session: &Session, index: &Arc<Index>, repair: bool) -> Result<State, Failure> {
    let mut lost = false;
    if let Some(damage) = synod_store::damage(&session.data) {
        if !repair {
            let damage = format!(
                "the store of tokens, sessions, jobs and the ledger (`state.db`) is damaged: \
                 {damage}"
            );
            let damage = Some(damage);
            return Ok(State { tokens: None, chain: None, damage, lost });
        }
        lost = mend(&session.data, index)?;
    }
    let store = Store::open(&session.data)?;
    let tokens = store.tokens()?.iter().filter(|token| token.revoked_ms.is_none()).count();
    let chain = Some(store.verify()?);
    Ok(State { tokens: Some(tokens), chain, damage: None, lost })
}

/// Makes the store anew; returns whether rows were lost.
fn mend(data: &Path, index: &Arc<Index>) -> Result<bool, Failure> {
    // Whoever writes would go on with the damaged one for a moment.
    let writer = Updater::new(Arc::clone(index), now_ms).map_err(not_writer)?;
    let done = synod_store::repair(data, now_ms())?;
    drop(writer);
    note(&format!("the damaged store lies in {}", done.aside.display()));
    note(&format!("{} rows of it were kept", done.kept));
    for (table, n) in &done.lost {
        note(&format!("lost, at least: {n} rows of `{table}`"));
    }
    if done.kept == 0 {
        note("nothing of it could be read: make tokens anew with `synod token add`");
    }
    let lost = !done.lost.is_empty();
    Store::open(data)?.record(&[entry(&done)])?;
    Ok(lost)
}

/// What the ledger says of a repair: a chain that was cut short is seen to have been.
fn entry(done: &Repaired) -> Entry {
    let aside = done.aside.file_name().unwrap_or_default();
    Entry {
        at_ms: now_ms(),
        actor: FACE.to_owned(),
        action: "doctor.repair".to_owned(),
        resource: aside.to_string_lossy().into_owned(),
        outcome: if done.lost.is_empty() { "ok" } else { "lost" }.to_owned(),
        ..Entry::default()
    }
}
