//! `synod eval`: how well questions with known answers are answered.

use super::{note, say};
use crate::cli::{EvalArgs, Failure, Session};
use crate::embedder;
use crate::eval::answers::Recorded;
use crate::eval::trust::{PANELS, Rows, measure};
use crate::eval::{self, BUDGETS, set::Set};
use std::cell::Cell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use synod_index::{Embedder, Mode};

const TRUST_HEAD: &str = "set,experiment,metric,value";
const HEAD: &str = "set,part,mode,questions,ndcg10,recall10,mrr10";

/// Runs the command.
pub fn run(session: &Session, args: &EvalArgs) -> Result<ExitCode, Failure> {
    let work = args.work.clone().unwrap_or_else(|| session.data.join("eval"));
    let settings = &session.loaded.config.embedding;
    let embedder = if args.lexical_only { None } else { embedder::open(settings, None)? };
    if embedder.is_none() && !args.lexical_only {
        note("no embedding model is installed: words alone are measured");
    }
    let recorded = |path: &&PathBuf| path.is_file();
    if args.sets.iter().any(|path| recorded(&path)) {
        return trust(args, embedder);
    }
    let mut csv = format!("{HEAD}\n");
    say(&csv);
    for source in &args.sets {
        let rows = one(session, source, args, &work, embedder.clone())?;
        say(&rows);
        csv.push_str(&rows);
    }
    if let Some(path) = &args.csv {
        std::fs::write(path, csv).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The trust score against outcomes, on files of recorded answers.
fn trust(args: &EvalArgs, embedder: Option<Arc<dyn Embedder>>) -> Result<ExitCode, Failure> {
    let mut csv = format!("{TRUST_HEAD}\n");
    say(&csv);
    for path in &args.sets {
        let set = Recorded::open(path)?;
        let panels = args.questions.unwrap_or(PANELS);
        let Rows(rows) = measure(&set, panels, embedder.as_ref())?;
        say(&rows);
        csv.push_str(&rows);
    }
    if let Some(path) = &args.csv {
        std::fs::write(path, csv).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of one set.
fn one(
    session: &Session,
    source: &Path,
    args: &EvalArgs,
    work: &Path,
    embedder: Option<Arc<dyn Embedder>>,
) -> Result<String, Failure> {
    let set = Set::open(source, work)?;
    // Kept: embedding is what takes long.
    let index = eval::index(&set, &work.join(format!("{}.data", set.name)))?;
    let vector_index = session.loaded.config.embedding.vector_index;
    index.set_vector_index(vector_index.into());
    let mut modes = vec![Mode::Lexical];
    if let Some(embedder) = embedder {
        let told = Cell::new(Instant::now());
        eval::embed(&index, embedder, &|waiting, rate| {
            if told.get().elapsed().as_secs() >= 10 {
                told.set(Instant::now());
                note(&format!("{}: {waiting} passages wait, {rate:.0} a second", set.name));
            }
        })?;
        modes.extend([Mode::Semantic, Mode::Hybrid]);
    }
    let n = args.questions.unwrap_or(usize::MAX);
    let mut out = String::new();
    let parts = set.parts().into_iter().map(Some);
    for part in std::iter::once(None).chain(parts) {
        let questions = set.some(part, n);
        for mode in &modes {
            let s = eval::evaluate(&index, &questions, *mode)?;
            let (name, part) = (&set.name, part.unwrap_or("all"));
            let scores = format!("{},{:.4},{:.4},{:.4}", s.n, s.ndcg, s.recall, s.mrr);
            let _ = writeln!(out, "{name},{part},{},{scores}", mode_name(*mode));
        }
    }
    if args.packs {
        let questions = set.some(None, n);
        let mode = modes[modes.len() - 1];
        let c = eval::cover(&index, &questions, mode, crate::world::count_tokens)?;
        for (at, budget) in BUDGETS.into_iter().enumerate() {
            let (pack, documents) = (c.pack[at], c.documents[at]);
            let beside = |share: f64| {
                let gain = (pack / share.max(f64::MIN_POSITIVE) - 1.0) * 100.0;
                format!("{share:.4} ({gain:+.1} %)")
            };
            let _ = write!(
                out,
                "# {}: {budget} tokens hold {pack:.4} of the answers in {documents:.1} documents; \
                 passages of the best hits, one of each, {}",
                set.name,
                beside(c.top_k[at])
            );
            if mode != Mode::Lexical {
                let _ = write!(out, "; passages nearest in meaning {}", beside(c.nearest[at]));
            }
            out.push('\n');
        }
    }
    Ok(out)
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Hybrid => "hybrid",
        Mode::Lexical => "lexical",
        Mode::Semantic => "semantic",
    }
}
