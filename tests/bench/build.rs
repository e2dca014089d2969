//! Indexing speed: the whole beside its bare parts (walk, read, parse, tokenise once, tantivy).

use crate::fresh::Home;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use synod_index::chunk::LineIndex;
use synod_index::disk::{self, Content};
use synod_index::kind::{self, Input};
use synod_index::{Index, SourceSpec, Updater, walk};
use tantivy::schema::{IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{TantivyDocument, doc};

/// What is done with each file beside walking and reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Parsed, and its passages written.
    Both,
    /// Parsed alone.
    Parsed,
    /// Written as it is, in one piece.
    Words,
}

/// Prints the whole and its bare parts, twice each in turn, and then each part alone.
pub fn run(folder: &Path) {
    println!("what,files,chunks,text_mb,seconds,cpu_seconds,mb_per_s,disk_per_text");
    for _ in 0..2 {
        bare(folder, Part::Both);
        whole(folder);
    }
    bare(folder, Part::Parsed);
    bare(folder, Part::Words);
}

/// `bench growth [N]`: the processor's time for a note among a tenth of N notes, and among N.
pub fn growth(notes: usize) {
    println!("notes,seconds,cpu_seconds,cpu_ms_each");
    let cost = |n: usize| {
        let home = Home::new(None, n);
        let dir = tempfile::tempdir().expect("a folder");
        let index = Index::open(dir.path()).expect("an index");
        let mut updater = Updater::new(Arc::clone(&index), || 0).expect("the lock");
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let source = updater.add_source(&home.vault, &SourceSpec::default()).expect("a source");
        updater.scan(&source, &|_| true).expect("a scan");
        // With the merges that are left.
        drop(updater);
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let each = cpu * 1e3 / n as f64;
        println!("{n},{seconds:.1},{cpu:.1},{each:.3}");
        each
    };
    // By turns, so that a machine that is shared counts for both.
    let (mut few, mut many) = (0.0, 0.0);
    for _ in 0..2 {
        few += cost(notes / 10);
        many += cost(notes);
    }
    let ratio = many / few;
    println!("# a note among {notes} costs {ratio:.2} times one among {}", notes / 10);
}

fn row(what: &str, files: usize, chunks: usize, bytes: u64, start: Instant, cpu: f64, disk: u64) {
    let seconds = start.elapsed().as_secs_f64();
    let mb = bytes as f64 / 1e6;
    println!(
        "{what},{files},{chunks},{mb:.1},{seconds:.2},{:.2},{:.2},{:.2}",
        cpu_seconds() - cpu,
        mb / seconds,
        disk as f64 / bytes.max(1) as f64
    );
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|e| match e.file_type() {
            Ok(t) if t.is_dir() => folder_bytes(&e.path()),
            _ => e.metadata().map_or(0, |m| m.len()),
        })
        .sum()
}

fn whole(folder: &Path) {
    let dir = tempfile::tempdir().expect("a folder");
    let index = Index::open(dir.path()).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), || 0).expect("the lock");
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let source = updater.add_source(folder, &SourceSpec::default()).expect("a source");
    updater.scan(&source, &|_| true).expect("a scan");
    // With the merges that are left.
    drop(updater);
    let status = index.status().expect("a status");
    let source = &status.sources[0];
    let disk = folder_bytes(dir.path());
    row("whole", source.documents as usize, source.chunks as usize, source.bytes, start, cpu, disk);
}

/// Walk, read, parse on all cores; one tantivy field with positions over the same chunks.
fn bare(folder: &Path, part: Part) {
    let dir = tempfile::tempdir().expect("a folder");
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut builder = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("words")
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let body =
        builder.add_text_field("body", TextOptions::default().set_indexing_options(indexing));
    let index = tantivy::Index::create_in_dir(dir.path(), builder.build()).expect("an index");
    let words = tantivy::tokenizer::TextAnalyzer::from(synod_index::token::WordTokenizer);
    index.tokenizers().register("words", words);
    let mut writer = index.writer_with_num_threads(2, 96 << 20).expect("a writer");
    let walked = walk::walk(folder, &[]);
    let (next, chunks, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (next, chunks, bytes, writer, walked) = (&next, &chunks, &bytes, &writer, &walked);
            scope.spawn(move || {
                while let Some(found) = walked.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let loaded = disk::load(folder, &found.path, None).expect("a file");
                    let Content::Text { text, .. } = loaded.content else { continue };
                    bytes.fetch_add(text.len(), Ordering::Relaxed);
                    if part == Part::Words {
                        chunks.fetch_add(1, Ordering::Relaxed);
                        let row: TantivyDocument = doc!(body => text);
                        writer.add_document(row).expect("a document");
                        continue;
                    }
                    let lines = LineIndex::new(&text);
                    let (kind, _) = kind::of(&found.path);
                    let parsed =
                        (kind.parse)(&Input { path: &found.path, text: &text, lines: &lines });
                    chunks.fetch_add(parsed.chunks.len(), Ordering::Relaxed);
                    if part == Part::Parsed {
                        continue;
                    }
                    for chunk in &parsed.chunks {
                        let row: TantivyDocument = doc!(body => &text[chunk.bytes.clone()]);
                        writer.add_document(row).expect("a document");
                    }
                }
            });
        }
    });
    writer.commit().expect("a commit");
    writer.wait_merging_threads().expect("merges");
    let disk = folder_bytes(dir.path());
    let (chunks, bytes) = (chunks.into_inner(), bytes.into_inner() as u64);
    let what = match part {
        Part::Both => "bare",
        Part::Parsed => "parsed alone",
        Part::Words => "words alone",
    };
    row(what, walked.files.len(), chunks, bytes, start, cpu, disk);
}
