//! The word index on disk: tantivy's schema, its writer, and what one document adds to it.
//!
//! One tantivy document per passage; the first passage of a document also carries what belongs to
//! the document as a whole (title, path, tags). Texts of incoming links stand in a document of
//! their own, because they change when *other* notes change. Nothing is stored: texts live in the
//! sources, borders in SQLite.
//! Invariant: the payload of tantivy's commit is the generation that it was made from.

use crate::disk::Stamp;
use crate::error::{Error, Result};
use crate::kind::Class;
use crate::language::Language;
use crate::limit::Memory;
use crate::qualifier::qualified_key;
use crate::segment;
use crate::token::{WordTokenizer, name_key, spelled};
use crate::view::View;
use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::result::Result as StdResult;
use std::sync::Arc;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, META_LOCK, MmapDirectory, RamDirectory,
    WatchCallback, WatchHandle, WritePtr,
};
use tantivy::index::SegmentComponent;
use tantivy::indexer::LogMergePolicy;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};
use tantivy::{Index, IndexMeta, IndexWriter, TantivyDocument, TantivyError, Term};

/// Bytes of the shortest file of a segment: every one ends with a footer that is longer.
const FOOTER_BYTES: u64 = 8;
/// The chunk number of the document that holds the texts of incoming links.
pub const LINK_CHUNK: u32 = 0xFF_FFFF;

/// A weighted field of the ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Passage text.
    Body = 0,
    /// Heading path or enclosing signatures.
    Head = 1,
    /// Names defined in the passage.
    Name = 2,
    /// Title and aliases of the document.
    Title = 3,
    /// Words of its path.
    Path = 4,
    /// Its tags.
    Tag = 5,
    /// Text of links to it.
    Link = 6,
}

/// Every part, in the order of their numbers.
pub const PARTS: [Part; 7] =
    [Part::Body, Part::Head, Part::Name, Part::Title, Part::Path, Part::Tag, Part::Link];

/// The fields of the schema.
#[derive(Clone, Debug)]
pub struct Fields {
    /// By number of [`Part`].
    pub parts: [Field; 7],
    /// Whole names: `d:` definitions and `t:` titles by key, `v:` definitions as written, `w:`
    /// titles of notes with their signs, `q:` definitions with what they stand in.
    pub exact: Field,
    /// Delete key of a document's passages.
    pub file: Field,
    /// Delete key of its link document.
    pub linked: Field,
    /// Fast: document, chunk number, class.
    pub address: Field,
    /// Fast: generation of the row that it was made from.
    pub generation: Field,
}

/// Packs document, chunk number and class into one fast field.
pub fn pack(file: u32, chunk: u32, class: Class) -> u64 {
    (u64::from(file) << 32) | (u64::from(chunk & 0xFF_FFFF) << 8) | class as u64
}

/// The inverse of [`pack`].
pub fn unpack(address: u64) -> (u32, u32, Class) {
    let class = if address & 0xFF == 0 { Class::Note } else { Class::Code };
    ((address >> 32) as u32, ((address >> 8) & 0xFF_FFFF) as u32, class)
}

/// What one passage adds.
#[derive(Default)]
pub struct PassageText<'a> {
    /// Its text.
    pub body: &'a str,
    /// What it stands under.
    pub header: &'a str,
    /// Names defined in it, one a line.
    pub names: &'a str,
    /// Those of them that are definitions people look up by name, with the item around them.
    pub exact: Vec<(&'a str, Option<&'a str>)>,
}

/// What one document adds beside its passages.
pub struct DocumentText<'a> {
    /// Row.
    pub file: u32,
    /// Generation of the row.
    pub generation: u64,
    /// Family.
    pub class: Class,
    /// Title and aliases, one a line.
    pub titles: &'a str,
    /// Path.
    pub path: &'a str,
    /// Tags, one a line.
    pub tags: &'a str,
    /// What it is written in, if that is neither English nor unknown.
    pub language: Option<Language>,
}

/// The word index of one data directory.
pub struct Lexical {
    dir: PathBuf,
    index: Index,
    fields: Fields,
    /// The folder, where it is one.
    mapped: Option<MmapDirectory>,
}

impl Lexical {
    /// Opens the index in `dir`, which exists; with `make`, an index that is not there is made.
    ///
    /// # Errors
    /// `Damaged` when what is there is not whole, `OtherWords` when it is that of another version,
    /// `Words` when the system refuses it.
    pub fn open(dir: &Path, make: bool) -> Result<Self> {
        caught(|| {
            let directory = MmapDirectory::open(dir).map_err(TantivyError::from)?;
            let lexical = Self::of(dir, Box::new(directory.clone()), make)?;
            Ok(Lexical { mapped: Some(directory), ..lexical })
        })
    }

    /// Opens the index in `dir` where nothing may be written, not even a lock.
    ///
    /// # Errors
    /// As [`Lexical::open`].
    pub fn open_as_it_lies(dir: &Path) -> Result<Self> {
        caught(|| {
            let directory = MmapDirectory::open(dir).map_err(TantivyError::from)?;
            let lexical = Self::of(dir, Box::new(Still(directory.clone())), false)?;
            Ok(Lexical { mapped: Some(directory), ..lexical })
        })
    }

    /// An empty index that is on no disk, to compare with one that is.
    pub fn in_memory() -> Result<Self> {
        Self::of(Path::new(""), Box::new(RamDirectory::create()), true)
    }

    fn of(dir: &Path, directory: Box<dyn Directory>, make: bool) -> Result<Self> {
        let (schema, fields) = schema();
        if !make && !Index::exists(&*directory).map_err(TantivyError::from)? {
            return Err(Error::damaged("the list of its files is not there"));
        }
        let index = Index::open_or_create(directory, schema).map_err(|error| match error {
            TantivyError::SchemaError(_) => Error::OtherWords,
            error => error.into(),
        })?;
        let words = TextAnalyzer::from(WordTokenizer);
        index.tokenizers().register("words", words);
        index.tokenizers().register("lines", TextAnalyzer::from(LineTokenizer));
        Ok(Lexical { dir: dir.to_owned(), index, fields, mapped: None })
    }

    /// The generation of the last commit on disk.
    pub fn generation(&self) -> Result<u64> {
        Ok(generation_of(&self.index.load_metas()?))
    }

    /// The newest commit; `known` is a view of an earlier one.
    ///
    /// # Errors
    /// `Damaged` when its files are not whole, `OtherWords` when another version made it.
    pub fn view(&self, known: Option<&View>) -> Result<View> {
        let segments = known.map_or(&[][..], View::segments);
        let (segments, generation) = self.newest(|metas| {
            let opened = segment::gather(&self.index, &self.fields, &metas.segments, segments)?;
            Ok((opened, generation_of(metas)))
        })?;
        self.forget_files();
        // Counting takes longer than opening, and nobody waits for it.
        caught(|| View::of(&self.fields, generation, segments, known))
    }

    /// Forgets the names of files that nobody has open any more: the directory keeps that of each
    /// one that it ever mapped, until it is asked for those that are, and a commit has seven new
    /// ones. Returns how many it knows then.
    pub fn forget_files(&self) -> usize {
        self.mapped.as_ref().map_or(0, |directory| directory.get_cache_info().mmapped.len())
    }

    /// Looks at the newest commit while whoever writes removes none of its files.
    fn newest<T>(&self, work: impl FnOnce(&IndexMeta) -> Result<T>) -> Result<T> {
        caught(|| {
            let _lock = match self.index.directory().acquire_lock(&META_LOCK) {
                // It was open when this process began, and may be read still. Whatever goes
                // meanwhile is damage, and is looked at again.
                Err(LockError::IoError(error)) if is_closed(&error) => None,
                lock => Some(lock.map_err(TantivyError::from)?),
            };
            let metas = self.index.load_metas()?;
            // A newer program may have made them anew: fields are known by their numbers.
            if metas.schema != self.index.schema() {
                return Err(Error::OtherWords);
            }
            work(&metas)
        })
    }

    /// Looks whether every file of the newest commit is there and has its checksum; those that
    /// `known` names, as they are now, were looked at before. Returns the names of all.
    ///
    /// # Errors
    /// `Damaged` when one is not as it was written.
    pub fn verify(&self, known: &HashSet<String>) -> Result<HashSet<String>> {
        caught(|| {
            let mut sound = HashSet::new();
            for path in self.files()? {
                match self.verify_file(&path, known) {
                    Ok(name) => drop(sound.insert(name)),
                    // A writer in another process may have merged it into a new one meanwhile.
                    Err(Error::Damaged(_)) if !self.files()?.contains(&path) => {}
                    Err(error) => return Err(error),
                }
            }
            self.newest(|metas| {
                metas.segments.iter().try_for_each(|meta| segment::fits(&self.index, meta))
            })?;
            Ok(sound)
        })
    }

    /// The files of the newest commit.
    fn files(&self) -> Result<Vec<PathBuf>> {
        Ok(files(&self.index.load_metas()?))
    }

    /// The name of a sound file, with what the file system says of it.
    fn verify_file(&self, path: &Path, known: &HashSet<String>) -> Result<String> {
        let (name, full) = (path.display(), self.dir.join(path));
        let meta = std::fs::metadata(&full).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::damaged(&format!("`{name}` is not there")),
            _ => Error::data(&full, error),
        })?;
        let Stamp { size, mtime_ns, ctime_ns, inode } = Stamp::of(&meta);
        let marked = format!("{name} {size} {mtime_ns} {ctime_ns} {inode}");
        if known.contains(&marked) {
            return Ok(marked);
        }
        let checked = || self.index.directory().validate_checksum(path).map_err(TantivyError::from);
        if size < FOOTER_BYTES || !checked()? {
            return Err(Error::damaged(&format!("`{name}` is not as it was written")));
        }
        Ok(marked)
    }

    /// Removes what a writer that was killed left behind: files that no commit names. Whoever does
    /// the same work again gives those of deletions the same names, and cannot make them while they
    /// are there.
    fn sweep(&self) -> Result<()> {
        if self.mapped.is_none() {
            return Ok(());
        }
        self.newest(|metas| {
            let living: HashSet<PathBuf> = files(metas).into_iter().collect();
            let there = std::fs::read_dir(&self.dir).map_err(|e| Error::data(&self.dir, e))?;
            for path in there.flatten().map(|entry| entry.path()) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
                if is_of_segment(name) && !living.contains(Path::new(name)) {
                    // One that is still mapped somewhere may stay, where the system says so.
                    let _ = std::fs::remove_file(&path);
                }
            }
            Ok(())
        })
    }

    /// A writer; `bulk` gives it two threads for large runs, if the memory is there.
    pub fn writer(&self, bulk: bool, memory: Memory) -> Result<Writer> {
        let threads = memory.word_threads(bulk);
        let bytes = memory.word_bytes() * threads;
        let writer: IndexWriter = self.index.writer_with_num_threads(threads, bytes)?;
        self.sweep()?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(6);
        policy.set_del_docs_ratio_before_merge(0.3);
        writer.set_merge_policy(Box::new(policy));
        Ok(Writer { writer, fields: self.fields.clone() })
    }
}

/// The files of a commit.
fn files(metas: &IndexMeta) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for segment in &metas.segments {
        let parts = [
            SegmentComponent::Terms,
            SegmentComponent::Postings,
            SegmentComponent::Positions,
            SegmentComponent::FieldNorms,
            SegmentComponent::FastFields,
            SegmentComponent::Store,
        ];
        let deletes = segment.has_deletes().then_some(SegmentComponent::Delete);
        out.extend(parts.into_iter().chain(deletes).map(|part| segment.relative_path(part)));
    }
    out
}

/// A file of a segment is called by 32 digits, whatever is behind them.
fn is_of_segment(name: &str) -> bool {
    let id = name.split('.').next().unwrap_or_default();
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The generation that a commit was made under.
fn generation_of(metas: &IndexMeta) -> u64 {
    metas.payload.as_ref().and_then(|payload| payload.parse().ok()).unwrap_or(0)
}

/// Whether the system lets nobody write there: another matter than a full disk.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// A folder in which nothing may be written. Its lock keeps a writer from removing files while a
/// reader opens them; without it they may be gone, which is damage, and is looked at again.
#[derive(Clone, Debug)]
struct Still(MmapDirectory);

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the words are only read here")
}

impl Directory for Still {
    fn get_file_handle(&self, path: &Path) -> StdResult<Arc<dyn FileHandle>, OpenReadError> {
        self.0.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> StdResult<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(refused()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> StdResult<bool, OpenReadError> {
        self.0.exists(path)
    }

    fn open_write(&self, path: &Path) -> StdResult<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(refused(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> StdResult<Vec<u8>, OpenReadError> {
        self.0.atomic_read(path)
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> StdResult<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// Tantivy panics over some files that are not whole.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(Error::damaged("its files do not fit each other")))
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let text = |option| {
        let indexing = TextFieldIndexing::default().set_tokenizer("words");
        TextOptions::default().set_indexing_options(indexing.set_index_option(option))
    };
    let positions = IndexRecordOption::WithFreqsAndPositions;
    let counts = IndexRecordOption::WithFreqs;
    let parts = [
        builder.add_text_field("body", text(positions)),
        builder.add_text_field("head", text(positions)),
        builder.add_text_field("name", text(counts)),
        builder.add_text_field("title", text(positions)),
        builder.add_text_field("path", text(positions)),
        builder.add_text_field("tag", text(counts)),
        builder.add_text_field("link", text(counts)),
    ];
    let lines = TextFieldIndexing::default()
        .set_tokenizer("lines")
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let fields = Fields {
        parts,
        exact: builder.add_text_field("exact", TextOptions::default().set_indexing_options(lines)),
        file: builder.add_u64_field("file", INDEXED),
        linked: builder.add_u64_field("linked", INDEXED),
        address: builder.add_u64_field("address", FAST),
        generation: builder.add_u64_field("generation", FAST),
    };
    (builder.build(), fields)
}

/// Adds and removes documents; nothing is seen by readers before [`Writer::commit`].
pub struct Writer {
    writer: IndexWriter,
    fields: Fields,
}

impl Writer {
    /// Adds a document: its passages in order, the first one with what belongs to the whole.
    pub fn add(&self, document: &DocumentText, passages: &[PassageText]) -> Result<()> {
        let language = document.language;
        let nameless = [PassageText::default()];
        let passages = if passages.is_empty() { &nameless } else { passages };
        for (number, passage) in passages.iter().enumerate() {
            let mut doc = TantivyDocument::new();
            let address = pack(document.file, number as u32, document.class);
            doc.add_u64(self.fields.file, u64::from(document.file));
            doc.add_u64(self.fields.address, address);
            doc.add_u64(self.fields.generation, document.generation);
            self.text(&mut doc, Part::Body, passage.body, language);
            self.text(&mut doc, Part::Head, passage.header, language);
            self.text(&mut doc, Part::Name, passage.names, language);
            let mut exact = String::new();
            for (name, outer) in &passage.exact {
                push_exact(&mut exact, 'd', name);
                exact.push_str(&format!("v:{name}\n"));
                if let Some(outer) = outer {
                    exact.push_str(&format!("q:{}\n", qualified_key(outer, name)));
                }
            }
            if number == 0 {
                self.text(&mut doc, Part::Title, document.titles, language);
                self.text(&mut doc, Part::Path, document.path, language);
                self.text(&mut doc, Part::Tag, document.tags, language);
                for title in document.titles.lines() {
                    push_exact(&mut exact, 't', title);
                    if document.class == Class::Note {
                        exact.push_str(&format!("w:{}\n", spelled(title)));
                    }
                }
            }
            if !exact.is_empty() {
                doc.add_text(self.fields.exact, exact);
            }
            self.writer.add_document(doc)?;
        }
        Ok(())
    }

    fn text(&self, doc: &mut TantivyDocument, part: Part, text: &str, language: Option<Language>) {
        if text.is_empty() {
            return;
        }
        let field = self.fields.parts[part as usize];
        match language {
            Some(language) => doc.add_text(field, format!("{}{text}", language.sign())),
            None => doc.add_text(field, text),
        }
    }

    /// Removes the passages of a document.
    pub fn remove(&self, file: u32) {
        self.writer.delete_term(Term::from_field_u64(self.fields.file, u64::from(file)));
    }

    /// Replaces the texts of links to a document.
    pub fn set_links(&self, file: u32, texts: &str) -> Result<()> {
        self.remove_links(file);
        if texts.is_empty() {
            return Ok(());
        }
        let mut doc = TantivyDocument::new();
        doc.add_u64(self.fields.linked, u64::from(file));
        doc.add_u64(self.fields.address, pack(file, LINK_CHUNK, Class::Note));
        doc.add_u64(self.fields.generation, 0);
        self.text(&mut doc, Part::Link, texts, None);
        self.writer.add_document(doc)?;
        Ok(())
    }

    /// Removes the texts of links to a document.
    pub fn remove_links(&self, file: u32) {
        self.writer.delete_term(Term::from_field_u64(self.fields.linked, u64::from(file)));
    }

    /// Makes everything since the last commit visible under `generation`.
    pub fn commit(&mut self, generation: u64) -> Result<()> {
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&generation.to_string());
        prepared.commit()?;
        Ok(())
    }

    /// Waits for merges that run behind and ends the writer.
    pub fn close(self) -> Result<()> {
        Ok(self.writer.wait_merging_threads()?)
    }
}

fn push_exact(out: &mut String, what: char, name: &str) {
    let key = name_key(name);
    if !key.is_empty() {
        out.push(what);
        out.push(':');
        out.push_str(&key);
        out.push('\n');
    }
}

/// One token per line, as it stands.
#[derive(Clone, Default)]
struct LineTokenizer;

struct LineStream<'t> {
    lines: std::str::Lines<'t>,
    token: Token,
}

impl Tokenizer for LineTokenizer {
    type TokenStream<'a> = LineStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> LineStream<'a> {
        LineStream { lines: text.lines(), token: Token::default() }
    }
}

impl TokenStream for LineStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(line) = self.lines.next() else { return false };
        self.token.text.clear();
        self.token.text.push_str(line);
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(writer: &Writer, file: u32, body: &str) {
        let document = DocumentText {
            file,
            generation: 1,
            class: Class::Note,
            titles: "",
            path: "",
            tags: "",
            language: None,
        };
        writer.add(&document, &[PassageText { body, ..PassageText::default() }]).unwrap();
    }

    fn writer(words: &Lexical) -> Writer {
        words.writer(false, Memory::default()).unwrap()
    }

    fn copy_new(from: &Path, to: &Path) -> Vec<String> {
        let mut copied = Vec::new();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if !to.join(&name).exists() {
                std::fs::copy(entry.path(), to.join(&name)).unwrap();
                copied.push(name);
            }
        }
        copied
    }

    #[test]
    fn what_a_killed_writer_left_behind_is_in_nobodys_way() {
        for anew in [false, true] {
            let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let (dir, other) = (dir.path(), other.path());
            let mut words = Lexical::open(dir, true).unwrap();
            let mut first = writer(&words);
            (1..=9).for_each(|file| add(&first, file, "walrus"));
            first.commit(1).unwrap();
            first.close().unwrap();
            copy_new(dir, other);
            let mut killed = writer(&Lexical::open(other, false).unwrap());
            killed.remove(1);
            killed.commit(2).unwrap();
            killed.close().unwrap();
            // What it wrote is there, but for the list that names it.
            let left = copy_new(other, dir);
            assert!(left.len() == 1 && left[0].ends_with(".del"), "{left:?}");
            std::fs::write(dir.join("note.txt"), "mine").unwrap();
            if anew {
                words = Lexical::open(dir, false).unwrap();
            }
            let mut again = writer(&words);
            again.remove(1);
            again.commit(2).unwrap();
            again.close().unwrap();
            assert_eq!(words.view(None).unwrap().entries.len(), 8);
            assert!(dir.join("note.txt").exists());
        }
    }
}
