//! Every bound of the index, with its unit and what happens beyond it.
//!
//! A limit that stands elsewhere is a bug: these are the numbers a reader looks for.

use std::time::Duration;

/// Largest file that is read, in bytes. Beyond it a file is findable by name only, and says so.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The same for files whose text is made of their bytes (PDF, notebooks); the text itself may not
/// be larger than [`FILE_BYTES_MAX`].
pub const EXTRACTED_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How many bytes at the head of a file decide whether it is binary.
pub const BINARY_PROBE_BYTES: usize = 8 * 1024;
/// Wanted size of a chunk, in bytes: 200 word pieces of prose are some 900 bytes.
pub const CHUNK_BYTES_MAX: usize = 900;
/// Below this a section is merged with its neighbour of the same parent, in bytes.
pub const CHUNK_BYTES_MIN: usize = 160;
/// Head of a note that has a vector of its own, in bytes: what a window of 256 tokens holds.
pub const HEAD_BYTES_MAX: usize = 1_100;
/// Longest token that is indexed, in bytes; longer runs (encoded blobs) are left out.
pub const TOKEN_BYTES_MAX: usize = 120;
/// Longest header (title, heading path, signature) of a chunk, in bytes.
pub const HEADER_BYTES_MAX: usize = 400;
/// Most words of a query that are scored; the rest is left out with a note.
pub const QUERY_TERMS_MAX: usize = 64;
/// Longest query text that is parsed, in bytes; the rest is left out with a note.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;
/// Most hits of one page.
pub const HITS_MAX: usize = 200;
/// Hits of one page when the caller does not say.
pub const HITS_DEFAULT: usize = 10;
/// Longest snippet at detail `passage`, in bytes of text.
pub const SNIPPET_BYTES_MAX: usize = 700;
/// Longest snippet at detail `line`, in bytes of text.
pub const LINE_BYTES_MAX: usize = 200;
/// Files of one batch between two commits of a bulk run.
pub const BATCH_FILES_MAX: usize = 8_000;
/// Bytes of text of one batch between two commits of a bulk run.
pub const BATCH_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// Files of one batch of a run that gives way to files which are saved meanwhile.
pub const BATCH_FILES_BESIDE: usize = 1_000;
/// Bytes of text of one such batch: the first file that is saved waits until they are committed.
pub const BATCH_BYTES_BESIDE: u64 = 8 * 1024 * 1024;
/// The same while files are being saved.
pub const BATCH_BYTES_SAVING: u64 = 1024 * 1024;
/// Longest time that a batch takes while files are being saved.
pub const BATCH_TIME_SAVING: Duration = Duration::from_millis(100);
/// So long after the last saved file batches are larger again.
pub const SAVING: Duration = Duration::from_secs(5);
/// How long the writer of the words is kept for the next batch.
pub const WORDS_KEPT: Duration = Duration::from_secs(60);
/// Memory of tantivy's writer per thread, in bytes (its least is 15 MB).
pub const WRITER_BYTES: usize = 48 * 1024 * 1024;
/// Pages of SQLite that a connection keeps, in KiB.
pub const CACHE_KIB: i64 = 4 * 1024;
/// The same for the writer's connection during a bulk run.
pub const BULK_CACHE_KIB: i64 = 32 * 1024;
/// Bytes that SQLite's log keeps on disk once it was folded in; it grows beyond them in large runs.
pub const JOURNAL_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// Rows of vectors that no document needs which are left where they are; of more, once they are a
/// third of all, the place is given back.
pub const DEAD_ROWS_MIN: u32 = 10_000;
/// A file whose mtime is this close to the moment it was read may change unseen: hash decides.
pub const RACY: Duration = Duration::from_secs(2);
/// Levels of folders below a source that are walked.
pub const WALK_DEPTH_MAX: usize = 64;
/// Links kept of one document; a generated page may hold more.
pub const LINKS_MAX: usize = 5_000;
/// Properties (front matter, inline fields) kept of one document.
pub const PROPS_MAX: usize = 500;
/// Texts of incoming links kept for one target.
pub const LINK_TEXTS_MAX: usize = 200;
/// Errors per source that are listed; the rest is counted.
pub const ERRORS_LISTED_MAX: usize = 200;
/// Time a reader waits for SQLite's lock.
pub const BUSY: Duration = Duration::from_secs(10);
/// Newest commits of a repository that are read for files that change together.
pub const HISTORY_COMMITS_MAX: usize = 2_000;
/// Files of a commit that says something about single ones; larger commits are left out.
pub const HISTORY_FILES_MAX: usize = 60;
/// Bytes of git's answer that are read; older commits beyond it are left out.
pub const HISTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest time that git may take for it; beyond it there is no history.
pub const HISTORY_TIME: Duration = Duration::from_secs(10);
