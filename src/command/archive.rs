//! `synod export` and `synod import`: a collection in one file, with the vectors of its passages.
//!
//! The file is a zip archive: `manifest.json` {format, made_ms, program, space?, documents,
//! vectors}; `documents.jsonl`, one document a line {source, collection, path, title, kind,
//! modified_ms, text}; `vectors.bin`, one vector behind the other: 16 bytes of key (the first of
//! the BLAKE3 hash of what was embedded: header, line end, text), then its values as little-endian
//! f32.

use super::{note, open_index, say};
use crate::cli::{ExportArgs, Failure, ImportArgs, Session};
use crate::config::Provider;
use crate::embedder;
use crate::fault::{self, Fault};
use crate::now_ms;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use synod_index::{Carried, CarriedVector, Error, Index, SourceKind, Updater};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// The format that this program writes, and the newest that it reads.
const FORMAT: u64 = 1;

fn wrong(path: &Path, what: impl std::fmt::Display) -> Failure {
    Fault::new(fault::UNPROCESSABLE, format!("{}: {what}", path.display())).into()
}

/// What the engine passes on of a failure that is ours.
fn inner(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Argument(format!("{}: {error}", path.display()))
}

/// `synod export`
pub fn export(session: &Session, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let path = args.file.as_path();
    if path.exists() && !args.force {
        return Err(wrong(path, "it exists; name another file, or `--force`"));
    }
    let index = Index::open(&session.data)?;
    // Beside its place first: a broken export is no archive.
    let new = path.with_extension("synod-new");
    let (documents, vectors, unread) = match write(&index, args, &new) {
        Ok(counts) => counts,
        Err(failure) => {
            let _ = std::fs::remove_file(&new);
            let _ = std::fs::remove_file(new.with_extension("synod-vectors"));
            return Err(failure);
        }
    };
    std::fs::rename(&new, path).map_err(|e| wrong(path, e))?;
    for document in &unread {
        note(&format!("left out: `{document}` cannot be read"));
    }
    let text = json!({"documents": documents, "vectors": vectors, "left_out": unread});
    match session.common.json {
        true => say(&format!("{text:#}\n")),
        false => say(&format!("{documents} documents, {vectors} vectors: {}\n", path.display())),
    }
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Counts = (usize, usize, Vec<String>);

fn write(index: &Index, args: &ExportArgs, path: &Path) -> Result<Counts, Failure> {
    let fail = |e: std::io::Error| wrong(path, e);
    let options = SimpleFileOptions::default().large_file(true);
    let mut zip = ZipWriter::new(BufWriter::new(private(path).map_err(fail)?));
    zip.start_file("documents.jsonl", options)?;
    // Documents and vectors come together and stand apart.
    let mut vectors = tempfile(path).map_err(fail)?;
    let (mut n_documents, mut n_vectors) = (0, 0);
    let (space, unread) = index.carry(
        args.collection.as_deref(),
        |document| {
            n_documents += 1;
            writeln!(zip, "{}", line(&document)).map_err(|e| inner(path, e))
        },
        |(key, values)| {
            n_vectors += 1;
            let mut bytes = key.to_vec();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            vectors.1.write_all(&bytes).map_err(|e| inner(path, e))
        },
    )?;
    zip.start_file("vectors.bin", options)?;
    vectors.1.flush().map_err(fail)?;
    std::io::copy(&mut File::open(&vectors.0).map_err(fail)?, &mut zip).map_err(fail)?;
    let _ = std::fs::remove_file(&vectors.0);
    zip.start_file("manifest.json", options)?;
    let space = space.map(|space| json!({"name": space.name, "dimensions": space.dimensions}));
    let manifest = json!({
        "format": FORMAT, "made_ms": now_ms(), "program": env!("CARGO_PKG_VERSION"),
        "documents": n_documents, "vectors": n_vectors, "space": space,
    });
    write!(zip, "{manifest:#}").map_err(fail)?;
    let mut file = zip.finish()?;
    file.flush().map_err(fail)?;
    file.get_ref().sync_all().map_err(fail)?;
    Ok((n_documents, n_vectors, unread))
}

/// A file beside another one, for what is written at the same time.
fn tempfile(path: &Path) -> std::io::Result<(std::path::PathBuf, BufWriter<File>)> {
    let path = path.with_extension("synod-vectors");
    let file = private(&path)?;
    Ok((path, BufWriter::new(file)))
}

/// A new file for its owner alone: it holds what the person's notes say.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn line(document: &Carried) -> Value {
    json!({
        "source": document.source, "collection": document.collection, "path": document.path,
        "title": document.title, "kind": document.kind, "modified_ms": document.modified_ms,
        "text": document.text,
    })
}

/// `synod import`
pub fn import(session: &Session, args: &ImportArgs) -> Result<ExitCode, Failure> {
    let path = args.file.as_path();
    let mut zip = ZipArchive::new(BufReader::new(File::open(path).map_err(|e| wrong(path, e))?))
        .map_err(|e| wrong(path, e))?;
    let mut text = String::new();
    zip.by_name("manifest.json")
        .map_err(|_| wrong(path, "it has no manifest; is it an export of synod?"))?
        .read_to_string(&mut text)
        .map_err(|e| wrong(path, e))?;
    let manifest: Value = serde_json::from_str(&text).map_err(|e| wrong(path, e))?;
    match manifest["format"].as_u64() {
        Some(FORMAT) => {}
        Some(newer) if newer > FORMAT => {
            let text = format!("it has format {newer}, this program reads {FORMAT}; update synod");
            return Err(wrong(path, text));
        }
        _ => return Err(wrong(path, "its manifest says no format")),
    }
    let index = open_index(session, &session.data)?;
    let mut updater = match Updater::new(Arc::clone(&index), now_ms) {
        Ok(updater) => updater,
        Err(Error::NotWriter) => {
            let text = "another process writes this index; end it, then import";
            return Err(Fault::new(fault::CONFLICT, text).into());
        }
        Err(error) => return Err(error.into()),
    };
    let documents = match args.vectors_only {
        true => BTreeMap::new(),
        false => documents(path, &mut zip)?,
    };
    fits(args, &documents, &updater)?;
    adopt(session, &manifest["space"], &index, &updater)?;
    // Vectors first: what is embedded already never waits.
    let n_vectors = take_vectors(path, &mut zip, &manifest["space"], &mut updater)?;
    let mut n_documents = 0;
    for (source, documents) in documents {
        n_documents += documents.len();
        let name = args.name.clone().unwrap_or(source);
        updater.take_documents(&name, documents)?;
    }
    if let Some(name) = manifest["space"]["name"].as_str() {
        updater.connect_vectors(name)?;
    }
    let text = json!({"documents": n_documents, "vectors": n_vectors});
    match session.common.json {
        true => say(&format!("{text:#}\n")),
        false => say(&format!("{n_documents} documents, {n_vectors} new vectors\n")),
    }
    Ok(ExitCode::SUCCESS)
}

/// A space of an older program gets the name that it has today with the model that is configured:
/// else the space that comes may have that name, and the vectors that are here would be nobody's.
/// A model that cannot be opened is no reason to refuse an archive.
fn adopt(
    session: &Session,
    space: &Value,
    index: &Index,
    updater: &Updater,
) -> Result<(), Failure> {
    let settings = &session.loaded.config.embedding;
    let spaces = index.spaces()?;
    let named = space["name"].as_str();
    let known = spaces.is_empty() || spaces.iter().any(|space| Some(&*space.name) == named);
    if known || settings.provider != Provider::Local {
        return Ok(());
    }
    if let Ok(Some(embedder)) = embedder::open(settings, Some(index)) {
        updater.adopt(&*embedder)?;
    }
    Ok(())
}

/// Whether the documents can be taken in at all, before anything is.
fn fits(
    args: &ImportArgs,
    documents: &BTreeMap<String, Vec<Carried>>,
    updater: &Updater,
) -> Result<(), Failure> {
    if args.name.is_some() && documents.len() > 1 {
        let names: Vec<&str> = documents.keys().map(String::as_str).collect();
        let text = format!(
            "`--name` is for one source, this archive has `{}`; export their collections apart",
            names.join("`, `")
        );
        return Err(Fault::new(fault::INVALID, text).into());
    }
    for source in updater.sources()?.iter().filter(|s| s.kind != SourceKind::Pushed) {
        let taken = |name: &String| source.is_called(args.name.as_ref().unwrap_or(name));
        if documents.keys().any(taken) {
            let text = format!(
                "`{}` is a folder here; `--vectors-only` brings its vectors, `--name` puts the \
                 documents into another source",
                source.name
            );
            return Err(Fault::new(fault::CONFLICT, text).into());
        }
    }
    for path in documents.values().flatten().map(|document| &document.path) {
        synod_index::jail::check(path)?;
    }
    Ok(())
}

type Archive = ZipArchive<BufReader<File>>;

fn take_vectors(
    path: &Path,
    zip: &mut Archive,
    space: &Value,
    updater: &mut Updater,
) -> Result<usize, Failure> {
    let Some(name) = space["name"].as_str() else { return Ok(0) };
    let dimensions = space["dimensions"].as_u64().unwrap_or(0) as usize;
    if dimensions == 0 || dimensions > 65_536 {
        return Err(wrong(path, format!("its vectors have {dimensions} values")));
    }
    let mut entry = zip.by_name("vectors.bin").map_err(|e| wrong(path, e))?;
    let vectors = std::iter::from_fn(|| next(path, &mut entry, dimensions).transpose());
    Ok(updater.take_vectors(name, dimensions, vectors)?)
}

/// The next vector, or nothing at the end.
fn next(
    path: &Path,
    from: &mut impl Read,
    dimensions: usize,
) -> Result<Option<CarriedVector>, Error> {
    let mut bytes = vec![0; 16 + 4 * dimensions];
    let mut done = 0;
    while done < bytes.len() {
        match from.read(&mut bytes[done..]).map_err(|e| inner(path, e))? {
            0 if done == 0 => return Ok(None),
            0 => return Err(inner(path, "its vectors end in the middle of one")),
            n => done += n,
        }
    }
    let (key, values) = bytes.split_at(16);
    let values = values.chunks_exact(4);
    let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let key = key.try_into().map_err(|_| inner(path, "a key is too short"))?;
    Ok(Some((key, values)))
}

/// The documents by the name of their source.
fn documents(path: &Path, zip: &mut Archive) -> Result<BTreeMap<String, Vec<Carried>>, Failure> {
    let entry = zip.by_name("documents.jsonl").map_err(|e| wrong(path, e))?;
    let mut out: BTreeMap<String, Vec<Carried>> = BTreeMap::new();
    for (at, line) in BufReader::new(entry).lines().enumerate() {
        let line = line.map_err(|e| wrong(path, e))?;
        let row: Value = serde_json::from_str(&line)
            .map_err(|e| wrong(path, format!("line {} of its documents: {e}", at + 1)))?;
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        out.entry(text("source")).or_default().push(Carried {
            source: text("source"),
            collection: text("collection"),
            path: text("path"),
            title: text("title"),
            kind: text("kind"),
            modified_ms: row["modified_ms"].as_i64().unwrap_or(0),
            text: text("text"),
        });
    }
    Ok(out)
}
