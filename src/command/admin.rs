//! `synod config`, `doctor`, `token`, and the generated documents.

use super::state::{self, State};
use super::{note, open_index, say, say_bytes};
use crate::cli::{self, ConfigArgs, DoctorArgs, Failure, LedgerArgs, Session, TokenAction};
use crate::config::{self, Origin};
use crate::{doc, embedder, now_ms};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use synod_index::{Check, Error, Index, Updater, salvage};
use synod_store::{LedgerFilter, Scope, Store, parse_scopes};

/// `synod config`
pub fn config(session: &Session, args: &ConfigArgs) -> Result<ExitCode, Failure> {
    if args.example {
        say(&doc::example_config());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = config::listing(&session.loaded);
    let origin = |origin: &Origin| match origin {
        Origin::BuiltIn => "built in".to_owned(),
        Origin::File => {
            session.loaded.file.as_ref().map_or_else(String::new, |f| f.display().to_string())
        }
        Origin::Environment(name) => format!("${name}"),
        Origin::Flag => "flag".to_owned(),
    };
    if session.common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(key, value, from)| json!({ "key": key, "value": value, "origin": origin(from) }))
            .collect();
        say(&format!("{:#}\n", json!({ "data": session.data, "values": rows })));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("data directory: {}\n", session.data.display()));
    for (key, value, from) in rows {
        say(&format!("{key} = {value}  # {}\n", origin(&from)));
    }
    Ok(ExitCode::SUCCESS)
}

/// `synod doctor`
pub fn doctor(session: &Session, args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let (mut lost, mut repair) = (0, args.repair);
    if let Some(damage) = salvage::damage(&session.data) {
        if !args.repair {
            let text = format!(
                "the index is damaged ({damage}); `synod doctor --repair` sets it aside and makes \
                 it anew from your files, which are untouched"
            );
            return Err(text.into());
        }
        lost = rebuild(session)?;
        // What was just made needs no other, and a server may write it by now.
        repair = false;
    }
    let index = open_index(session, &session.data)?;
    if let Some(path) = &args.explain {
        return explain(session, &index, path);
    }
    let mut check = check(&index, repair, args.deep)?;
    let made_for = embedder::made_for(&session.loaded.config.embedding);
    let warning = index.status()?.misfit(made_for);
    let warning = warning.or_else(|| embedder::absent(&session.loaded.config.embedding));
    let state = state::check(session, &index, args.repair)?;
    let mendable = !check.differences.is_empty() || state.damage.is_some();
    check.differences.extend(state.damage.clone());
    if let Some(seq) = state.chain.as_ref().and_then(|chain| chain.broken_at) {
        // No repair: a ledger that could be mended would prove nothing.
        check.differences.push(format!(
            "the ledger is broken at row {seq}: it was changed, or rows are missing; the rows \
             before it are sound"
        ));
    }
    if session.common.json {
        say(&format!("{:#}\n", report(&check, &state, index.is_read_only(), warning)));
    } else {
        say(&format!("data directory: {}\n", session.data.display()));
        if index.is_read_only() {
            say("it cannot be written: the index stays as it is, and nothing is kept\n");
        }
        let tokens = state.tokens.map(|n| format!(", {n} tokens")).unwrap_or_default();
        say(&format!("{} documents{tokens}\n", check.documents));
        say(&looked_at(&check, args.deep));
        if let Some((seq, hash)) = state.chain.as_ref().and_then(|chain| chain.head) {
            say(&format!("ledger: {seq} rows, the last one {}\n", hex(&hash)));
        }
        if let Some(warning) = &warning {
            say(&format!("note: {warning}\n"));
        }
        for difference in &check.differences {
            say(&format!("- {difference}\n"));
        }
        match state.lost && check.differences.is_empty() {
            true => say("what is left agrees; rows of the damaged store were lost\n"),
            false => say(verdict(&check, args.deep, mendable)),
        }
    }
    let sound = check.differences.is_empty() && lost == 0 && !state.lost;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same for programs.
fn report(check: &Check, state: &State, read_only: bool, warning: Option<String>) -> Value {
    let chain = state.chain.as_ref();
    json!({
        "ok": check.differences.is_empty() && !state.lost, "rows_lost": state.lost,
        "documents": check.documents,
        "files": check.files, "vectors": check.vectors, "differences": check.differences,
        "read_again": check.read, "left_out": check.skipped,
        "not_made_again": check.not_made, "made_now": check.made_now,
        "read_otherwise": check.read_otherwise,
        "links_compared": check.links, "links_left_out": check.skipped_links,
        "words_left_out": check.skipped_words,
        "read_only": read_only, "warning": warning,
        "ledger": { "rows": chain.map(|chain| chain.rows),
                    "broken_at": chain.and_then(|chain| chain.broken_at),
                    "head": chain.and_then(|chain| chain.head).map(|(_, hash)| hex(&hash)) },
    })
}

/// Says why the file at a path is or is not found.
fn explain(session: &Session, index: &Index, path: &Path) -> Result<ExitCode, Failure> {
    let why = index.explain(path)?;
    if session.common.json {
        say(&format!("{:#}\n", json!({ "found": why.found, "steps": why.lines })));
    } else {
        say(&format!("{}\n", why.lines.join("\n")));
    }
    Ok(if why.found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What of the derived stores is whole, and what was read again.
fn looked_at(check: &Check, deep: bool) -> String {
    let (files, vectors) = (check.files, check.vectors);
    let mut out = format!("{files} files of words and {vectors} vectors are whole\n");
    let busy = "the words did not come up with what is written; look again later";
    let other = "another version of the program made them in a way of its own: its `doctor` knows";
    if check.skipped_words > 0 {
        let n = check.skipped_words;
        out.push_str(&format!("words of {n} documents were not compared: {busy}\n"));
    }
    if deep {
        out.push_str(&format!("{} documents were read again", check.read));
        if check.skipped > 0 {
            let why = match check.read_otherwise {
                true => other,
                false => "they changed since or cannot be read: `synod index` looks at them",
            };
            out.push_str(&format!("; {} were left out, {why}", check.skipped));
        }
        out.push_str(&made(check));
        let links = check.links;
        out.push_str(&format!("\ntexts of links to {links} documents were compared"));
        if check.skipped_links > 0 {
            let (n, why) = (check.skipped_links, if check.read_otherwise { other } else { busy });
            out.push_str(&format!("; those to {n} were left out: {why}"));
        }
        out.push('\n');
    }
    out
}

/// Texts of PDFs and the like that could not be compared, a line each: with more time, or on a
/// machine with less to do, they may be.
fn made(check: &Check) -> String {
    let (not_made, made_now) = (check.not_made, check.made_now);
    let mut out = String::new();
    if not_made > 0 {
        out.push_str(&format!(
            "\ntexts of {not_made} documents could not be made again within the bounds of time and \
             memory: what is kept of them was compared"
        ));
    }
    if made_now > 0 {
        out.push_str(&format!(
            "\ntexts of {made_now} documents could not be made within these bounds when they were \
             indexed and can be now: `synod doctor --deep --repair` reads them again"
        ));
    }
    out
}

fn verdict(check: &Check, deep: bool, mendable: bool) -> &'static str {
    let left = [check.skipped_words, check.skipped_links, check.not_made, check.made_now];
    let partly = left.iter().any(|n| *n > 0);
    match (check.differences.is_empty(), deep) {
        (true, _) if partly => "what was compared agrees\n",
        (true, _) => "all stores agree\n",
        (false, _) if !mendable => {
            "the ledger is not as it was written; no repair mends that: find out who changed it, \
             or take it from a copy\n"
        }
        (false, false) => "the stores do not agree; run `synod doctor --repair`\n",
        (false, true) => "the stores do not agree; run `synod doctor --deep --repair`\n",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `synod ledger`
pub fn ledger(session: &Session, args: &LedgerArgs) -> Result<ExitCode, Failure> {
    let store = Store::open(&session.data)?;
    let filter = LedgerFilter {
        actor: args.actor.as_deref(),
        action: args.action.as_deref(),
        resource: args.resource.as_deref(),
        outcome: args.outcome.as_deref(),
        correlation_id: args.call.as_deref(),
        ..LedgerFilter::default()
    };
    let rows = store.entries(&filter, args.limit, args.before)?;
    if session.common.json {
        let rows: Vec<_> = (rows.iter())
            .map(|row| {
                let entry = &row.entry;
                json!({
                    "seq": row.seq, "at": synod_index::timestamp(entry.at_ms), "actor": entry.actor,
                    "action": entry.action, "resource": entry.resource, "outcome": entry.outcome,
                    "cost_usd": entry.cost_usd_micros.map(|micros| micros as f64 / 1e6),
                    "call": entry.correlation_id, "content": entry.content_hash.map(|h| hex(&h)),
                    "hash": hex(&row.hash),
                })
            })
            .collect();
        say(&format!("{:#}\n", json!({ "rows": rows })));
        return Ok(ExitCode::SUCCESS);
    }
    for row in rows {
        let entry = row.entry;
        let cost = entry.cost_usd_micros.map(|micros| format!(" {} USD", micros as f64 / 1e6));
        let cost = cost.unwrap_or_default();
        say(&format!(
            "{:6}  {}  {:16}  {:20}  {}  {}{cost}\n",
            row.seq,
            synod_index::timestamp(entry.at_ms),
            entry.actor,
            entry.action,
            entry.outcome,
            entry.resource
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a damaged index anew; returns how many pushed texts could not be saved.
fn rebuild(session: &Session) -> Result<usize, Failure> {
    let mut salvage = salvage::read(&session.data)?;
    let index = open_index(session, &salvage::workshop(&session.data))?;
    let mut updater = Updater::new(Arc::clone(&index), now_ms)?;
    for (source, error) in salvage.restore(&mut updater)? {
        note(&format!("source `{}` ({}) was left out: {error}", source.name, source.root));
    }
    drop((updater, index));
    let lost = salvage.lost;
    let aside = salvage.swap(&session.data, now_ms())?;
    note(&format!("the damaged index lies in {}", aside.display()));
    if lost > 0 {
        note(&format!("{lost} pushed texts could not be read; push them again"));
    }
    let index = open_index(session, &session.data)?;
    let mut updater = match Updater::new(Arc::clone(&index), now_ms) {
        Ok(updater) => updater,
        Err(Error::NotWriter) => {
            note("another process of synod took it over and reads your files now");
            return Ok(lost);
        }
        Err(error) => return Err(error.into()),
    };
    crate::job::add_configured(&mut updater, &session.loaded.config);
    let sources = updater.sources()?;
    if sources.is_empty() {
        note("no source could be read of it; name your folders with `synod index FOLDER`");
    }
    for source in &sources {
        let outcome = updater.scan(source, &|_| true)?;
        note(&format!("{}: {}", source.name, crate::job::says(&outcome)));
    }
    Ok(lost)
}

/// Checks; with the lock at hand, what a crash left behind is mended first.
fn check(index: &Arc<Index>, repair: bool, deep: bool) -> Result<Check, Failure> {
    let look = || if deep { index.check_deep() } else { index.check() };
    match Updater::new(Arc::clone(index), now_ms) {
        Ok(updater) => {
            updater.mended().iter().for_each(|what| note(&format!("mended: {what}")));
            if !repair {
                drop(updater);
                return Ok(look()?);
            }
            // A deep look takes long, and nobody has to wait with writing for its end.
            let held = (!deep).then_some(updater);
            let check = look()?;
            if !check.differences.is_empty() || check.made_now > 0 {
                let mut updater = match held {
                    Some(updater) => updater,
                    None => Updater::new(Arc::clone(index), now_ms).map_err(not_writer)?,
                };
                for difference in &check.differences {
                    note(&format!("mending: {difference}"));
                }
                if check.made_now > 0 {
                    note(&format!("mending: {} texts that can be made now", check.made_now));
                }
                updater.read_again(&check)?;
                if !index.check()?.differences.is_empty() {
                    updater.repair(index)?;
                }
                if deep {
                    drop(updater);
                }
                return Ok(look()?);
            }
            Ok(check)
        }
        Err(Error::NotWriter | Error::NewerReading { .. } | Error::ReadOnly) if !repair => {
            Ok(look()?)
        }
        Err(error) => Err(not_writer(error)),
    }
}

/// Why nothing can be repaired.
pub(super) fn not_writer(error: Error) -> Failure {
    match error {
        Error::NotWriter => "another process is writing this index; end it, then repair".into(),
        error => error.into(),
    }
}

/// `synod token`
pub fn token(session: &Session, action: &TokenAction) -> Result<ExitCode, Failure> {
    let store = Store::open(&session.data)?;
    match action {
        TokenAction::Add { name, scopes } => {
            let scopes = parse_scopes(scopes)?;
            if name.trim().is_empty() || scopes.is_empty() {
                let all = Scope::ALL.map(Scope::name).join(", ");
                let text = format!(
                    "a token needs a name and a scope at least, as in `synod token add laptop \
                     --scopes read:context`; scopes are {all}"
                );
                return Err(text.into());
            }
            let secret = store.make_token(name, &scopes, now_ms())?;
            if session.common.json {
                say(&format!("{:#}\n", json!({ "name": name, "secret": secret })));
            } else {
                note("keep this secret; it is not shown again:");
                say(&format!("{secret}\n"));
            }
        }
        TokenAction::List => {
            let tokens = store.tokens()?;
            let scopes =
                |scopes: &[Scope]| scopes.iter().map(|s| s.name()).collect::<Vec<_>>().join(",");
            if session.common.json {
                let rows: Vec<_> = tokens
                    .iter()
                    .map(|t| json!({ "name": t.name, "scopes": scopes(&t.scopes), "revoked": t.revoked_ms.is_some() }))
                    .collect();
                say(&format!("{:#}\n", json!(rows)));
            } else {
                for token in tokens {
                    let state = if token.revoked_ms.is_some() { " (revoked)" } else { "" };
                    say(&format!("{}  {}{state}\n", token.name, scopes(&token.scopes)));
                }
            }
        }
        TokenAction::Revoke { name } => {
            if !store.revoke_token(name, now_ms())? {
                return Err(format!("no token `{name}` to revoke; see `synod token list`").into());
            }
            if session.common.json {
                say(&format!("{:#}\n", json!({ "name": name, "revoked": true })));
            } else {
                say(&format!("revoked {name}\n"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `synod completions`
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut text: Vec<u8> = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "synod", &mut text);
    say_bytes(&text);
    Ok(ExitCode::SUCCESS)
}

/// `synod man`: the page of a command (`up`, or `synod-call-search` as pages say), or of all.
pub fn manual(name: Option<&str>) -> Result<ExitCode, Failure> {
    let mut whole = cli::command().disable_help_subcommand(true);
    // Names as pages have them are made now.
    whole.build();
    let name = name.unwrap_or_default();
    let (mut at, mut rest) = (&whole, name.strip_prefix("synod").unwrap_or(name));
    while !rest.is_empty() {
        let found = at.get_subcommands().find_map(|sub| Some((sub, behind(rest, sub)?)));
        (at, rest) = found.ok_or_else(|| format!("no command `{name}`; see `synod --help`"))?;
    }
    let mut text: Vec<u8> = Vec::new();
    clap_mangen::Man::new(at.clone()).render(&mut text)?;
    say_bytes(&text);
    Ok(ExitCode::SUCCESS)
}

/// What follows in the name of a page behind the name of a command.
fn behind<'a>(page: &'a str, command: &clap::Command) -> Option<&'a str> {
    let page = page.strip_prefix('-').unwrap_or(page);
    let left = page.strip_prefix(command.get_name()).filter(|_| !command.is_hide_set())?;
    (left.is_empty() || left.starts_with('-')).then_some(left)
}

/// `synod doc NAME`: what the repository's generated files are made of.
pub fn document(name: &str) -> Result<ExitCode, Failure> {
    let documents = doc::documents();
    match documents.iter().find(|(path, _)| *path == name) {
        Some((_, text)) => {
            say(text);
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let names: Vec<&str> = documents.iter().map(|(path, _)| path.as_str()).collect();
            Err(format!("no document `{name}`; there are {}", names.join(", ")).into())
        }
    }
}
