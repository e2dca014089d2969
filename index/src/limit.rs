//! Every bound of the index, with its unit and what happens beyond it.
//!
//! A limit that stands elsewhere is a bug: these are the numbers a reader looks for.

use std::time::Duration;

const MIB: usize = 1024 * 1024;

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
/// Most other wordings of one query.
pub const WORDINGS_MAX: usize = 32;
/// Words of one query that stand nowhere whose parts and compounds are looked for.
pub const LOST_WORDS_MAX: usize = 8;
/// Terms among which those that end in such a word are looked for, all segments together: a pass
/// over all of them. Where there are more, only those that begin with it are.
pub const ENDING_TERMS_MAX: usize = 300_000;
/// Compounds that are counted to find the most frequent ones; of more, those that the dictionary
/// says are in the most passages.
pub const COMPOUNDS_COUNTED_MAX: usize = 256;
/// Most compounds that are searched in place of one word, each of their forms counted.
pub const COMPOUNDS_MAX: usize = 32;
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
/// Bytes of text of one batch between two commits of a bulk run; fewer where [`Memory`] says so.
pub const BATCH_BYTES_MAX: u64 = 96 * MIB as u64;
/// Names and targets of links that one batch remembers until its commit.
pub const BATCH_KEYS_MAX: usize = 200_000;
/// Files of one batch of a run that gives way to files which are saved meanwhile.
pub const BATCH_FILES_BESIDE: usize = 1_000;
/// Bytes of text of one such batch: the first file that is saved waits until they are committed.
pub const BATCH_BYTES_BESIDE: u64 = 8 * MIB as u64;
/// The same while files are being saved.
pub const BATCH_BYTES_SAVING: u64 = MIB as u64;
/// Longest time that a batch takes while files are being saved.
pub const BATCH_TIME_SAVING: Duration = Duration::from_millis(100);
/// So long after the last saved file batches are larger again.
pub const SAVING: Duration = Duration::from_secs(5);
/// How long the writer of the words is kept for the next batch.
pub const WORDS_KEPT: Duration = Duration::from_secs(60);
/// Memory of tantivy's writer per thread, in bytes; less where [`Memory`] says so.
pub const WRITER_BYTES_MAX: usize = 48 * MIB;
/// The least that tantivy takes per thread, in bytes.
pub const WRITER_BYTES_MIN: usize = 15_000_000;
/// Pages of SQLite that a connection keeps, in KiB.
pub const CACHE_KIB: i64 = 4 * 1024;
/// The same for the writer's connection during a bulk run; fewer where [`Memory`] says so.
pub const BULK_CACHE_KIB_MAX: i64 = 32 * 1024;
/// Bytes that SQLite's log keeps on disk once it was folded in; it grows beyond them in large runs.
pub const JOURNAL_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// Rows of vectors that no document needs which are left where they are; of more, once they are a
/// third of all, the place is given back.
pub const DEAD_ROWS_MIN: u32 = 10_000;
/// A file whose mtime is this close to the moment it was read may change unseen: hash decides.
pub const RACY: Duration = Duration::from_secs(2);
/// Levels of folders below a source that are walked.
pub const WALK_DEPTH_MAX: usize = 64;
/// Bytes of a file that says what is left out (an ignore file, Obsidian's list); one with more
/// counts for nothing.
pub const IGNORE_BYTES_MAX: u64 = MIB as u64;
/// Links kept of one document; a generated page may hold more. This and the bounds below: what is
/// beyond them is left out, its words stay findable, and the row of the document says so.
pub const LINKS_MAX: usize = 5_000;
/// Properties (front matter, inline fields) kept of one document.
pub const PROPS_MAX: usize = 500;
/// Headings kept of one document; what stands behind the last of them stands under none.
pub const SECTIONS_MAX: usize = 20_000;
/// Definitions kept of one document.
pub const SYMBOLS_MAX: usize = 20_000;
/// Block ids kept of one document.
pub const BLOCKS_MAX: usize = 20_000;
/// Aliases kept of one document, its file's name and first heading not counted.
pub const ALIASES_MAX: usize = 1_000;
/// Tags kept of one document.
pub const TAGS_MAX: usize = 5_000;
/// Longest title, alias, tag and name of a property, in bytes; longer ones are cut. Headings are
/// cut there without a word about it: every passage under them repeats them, and the passage that
/// they stand in has them whole.
pub const NAME_BYTES_MAX: usize = HEADER_BYTES_MAX;
/// Lines, and characters that may mean something, of a text that is read as markup: a parser keeps
/// some 120 bytes for each of them. A text with more is cut into passages by its lines alone.
pub const MARKS_MAX: usize = 400_000;
/// Ends of paragraphs at which one text is cut; behind them it is cut at ends of lines.
pub const PARAGRAPHS_MAX: usize = 500_000;
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
/// Longest time that another process may take to read one file (PDF).
pub const EXTRACT_TIME: Duration = Duration::from_secs(20);
/// Most memory that such a process may map, in bytes.
pub const EXTRACT_MEMORY_BYTES: u64 = 1024 * MIB as u64;

/// The least limit of memory that can be stated, in MiB.
pub const MEMORY_MB_MIN: u64 = 128;
/// The limit of memory if none is stated, in MiB.
pub const MEMORY_MB_DEFAULT: u64 = 512;
/// What a document in flight is taken for at least, in bytes: paths, rows, a thread's buffers.
const FLIGHT_BYTES_MIN: usize = 64 * 1024;

/// A limit of the memory of a process that indexes, and what each part of it gets. At the least
/// limit, the default one, and what bounds it, in MiB:
///
/// | part | share | 128 | 512 | bound |
/// |---|---|---|---|---|
/// | in flight between reading and writing | 1/4 | 32 | 128 | [`Memory::flight_bytes`] |
/// | buffers of the words | 1/10 a thread | 15 | 2 x 48 | [`Memory::word_bytes`] |
/// | the same while they become a file | as much again, half | 8 | 48 | |
/// | passages that wait for these buffers | | 20 | 20 | tantivy: 10,000 of some 2 KiB |
/// | pages of the database | 1/16 | 8 | 32 | [`Memory::cache_kib`] |
/// | merges of the words | | 20 | 60 | levels of some segments each |
/// | the program, its stacks, names of a batch | | 25 | 25 | [`BATCH_KEYS_MAX`] |
/// | sum | | 128 | 409 | |
///
/// One document may pass alone whatever it takes, 64 MiB at most ([`in_flight`]), where the share
/// is less. Not counted are pages of files that are mapped, which the system takes back whenever it
/// wants to, paths and stamps of the files of a source (some 300 bytes each), processes that read
/// PDFs ([`EXTRACT_MEMORY_BYTES`] each), and models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(usize);

impl Default for Memory {
    fn default() -> Self {
        Memory::of_mb(MEMORY_MB_DEFAULT)
    }
}

impl Memory {
    /// A limit in MiB; less than [`MEMORY_MB_MIN`] is that.
    pub fn of_mb(mb: u64) -> Self {
        let mb = usize::try_from(mb.max(MEMORY_MB_MIN)).unwrap_or(usize::MAX);
        Memory(mb.saturating_mul(MIB))
    }

    /// The limit, in MiB.
    pub fn mb(self) -> u64 {
        (self.0 / MIB) as u64
    }

    /// What may be in flight between reading and writing, in bytes.
    pub fn flight_bytes(self) -> usize {
        self.0 / 4
    }

    /// Bytes of text of one batch.
    pub fn batch_bytes(self) -> u64 {
        BATCH_BYTES_MAX.min(self.0 as u64 / 16 * 3)
    }

    /// Threads that write words.
    pub fn word_threads(self, bulk: bool) -> usize {
        if bulk && self.mb() >= 2 * MEMORY_MB_MIN { 2 } else { 1 }
    }

    /// The buffer of each of them, in bytes.
    pub fn word_bytes(self) -> usize {
        (self.0 / 10).clamp(WRITER_BYTES_MIN, WRITER_BYTES_MAX)
    }

    /// Pages of SQLite that the writer's connection keeps during a bulk run, in KiB.
    pub fn cache_kib(self) -> i64 {
        let kib = i64::try_from(self.0 / 16 / 1024).unwrap_or(BULK_CACHE_KIB_MAX);
        kib.clamp(CACHE_KIB, BULK_CACHE_KIB_MAX)
    }
}

/// What a file of `size` bytes is taken for while it is read and parsed, in bytes: twice its bytes,
/// as they are read and as they are handed on, and six times what can be text of it for what its
/// parser makes (120 bytes for each of [`MARKS_MAX`] are no more for the largest file).
pub fn in_flight(size: u64) -> usize {
    let size = usize::try_from(size.min(EXTRACTED_BYTES_MAX)).unwrap_or(usize::MAX);
    let text = size.min(FILE_BYTES_MAX as usize);
    (2 * size + 6 * text).max(FLIGHT_BYTES_MIN)
}

/// What a document that is parsed is taken for until it is written, in bytes: its text, and twice
/// as much for passages, rows and words of them.
pub fn in_hand(text: usize) -> usize {
    text.saturating_mul(3).max(FLIGHT_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stay_within_the_limit() {
        for mb in [0, 1, 128, 129, 200, 256, 400, 512, 1_000, 4_096, u64::MAX] {
            let memory = Memory::of_mb(mb);
            assert!(memory.mb() >= MEMORY_MB_MIN, "{mb}");
            let words = memory.word_threads(true) * memory.word_bytes() * 3 / 2;
            let pages = usize::try_from(memory.cache_kib()).unwrap() * 1024;
            let fixed = (20 + 20 + 25) * MIB;
            let sum = memory.flight_bytes().saturating_add(words + pages + fixed);
            assert!(sum <= memory.0, "{mb}: {sum}");
            assert!(memory.batch_bytes() >= 3 * FILE_BYTES_MAX, "{mb}");
        }
        let usual = Memory::default();
        assert_eq!((usual.word_threads(true), usual.word_threads(false)), (2, 1));
        assert_eq!((usual.word_bytes(), usual.batch_bytes()), (WRITER_BYTES_MAX, BATCH_BYTES_MAX));
        assert_eq!(usual.cache_kib(), BULK_CACHE_KIB_MAX);
    }

    #[test]
    fn no_document_is_taken_for_less_than_its_text() {
        assert_eq!(in_flight(0), FLIGHT_BYTES_MIN);
        assert_eq!(in_flight(FILE_BYTES_MAX), 64 * MIB);
        assert_eq!(in_flight(u64::MAX), in_flight(EXTRACTED_BYTES_MAX));
        assert!(in_hand(1_000_000) < in_flight(1_000_000) && in_hand(0) == in_flight(0));
        assert!(MARKS_MAX * 120 <= 6 * FILE_BYTES_MAX as usize);
    }
}
