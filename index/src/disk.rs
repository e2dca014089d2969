//! Reading files of a source: stamps, bytes, encodings.
//!
//! Knows nothing of kinds and of the index. Every read goes through the jail.

use crate::error::{Error, Result};
use crate::jail;
use crate::limit::{BINARY_PROBE_BYTES, EXTRACTED_BYTES_MAX, FILE_BYTES_MAX};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What the file system says of a file; all equal means unchanged (outside the racy window).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970 (0 where there is none).
    pub ctime_ns: i64,
    /// Inode (0 where there is none).
    pub inode: u64,
}

impl Stamp {
    /// From a file's metadata.
    pub fn of(meta: &std::fs::Metadata) -> Self {
        let mtime = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let mtime_ns = mtime.map_or(0, |d| d.as_nanos() as i64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let ctime_ns = meta.ctime().saturating_mul(1_000_000_000) + meta.ctime_nsec();
            Stamp { size: meta.len(), mtime_ns, ctime_ns, inode: meta.ino() }
        }
        #[cfg(not(unix))]
        Stamp { size: meta.len(), mtime_ns, ctime_ns: 0, inode: 0 }
    }
}

/// Why content is missing that a parser of ours failed on.
pub const NOT_PARSED: &str = "makes its parser fail; please report it";

/// Why content is missing that nobody expects to be there.
pub const NOT_TEXT: &str = "is not text";

/// Why there is no text for now: an error that is tried again, not a property of the file.
pub const NOT_NOW: &str = "cannot be read now: no other process could be started to read it";

/// How a reason begins where the time to make a text was over.
pub const TOO_LONG: &str = "takes too long to read";

/// How it ends where the memory was used up. To whoever waits for a process, one that has none left
/// and one that fails for something else look alike.
pub const TOO_MUCH: &str = "of memory to read, or makes its reader fail";

/// Whether a reason is that bounds of time or memory were met, which is no property of the file
/// alone: on another day its text may be made.
pub fn is_spent(reason: &str) -> bool {
    reason.starts_with(TOO_LONG) || reason.ends_with(TOO_MUCH)
}

/// A content hash: the first 16 bytes of BLAKE3.
pub type Hash = [u8; 16];

/// Hashes bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    let mut out = [0; 16];
    out.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    out
}

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text, decoded.
    Text {
        /// The text, without a byte-order mark.
        text: String,
        /// The encoding it was in.
        encoding: &'static str,
        /// The bytes on disk are the text: parts of it can be read in place.
        plain: bool,
    },
    /// Not text, or too large: findable by name only.
    NameOnly {
        /// Why.
        reason: String,
    },
}

/// A file as read: stamp, hash of its bytes, content.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Taken from the open file.
    pub stamp: Stamp,
    /// Of the bytes on disk.
    pub hash: Hash,
    /// The text.
    pub content: Content,
}

/// Makes text of bytes that are none as they are, or says why there is none.
pub type Extract = fn(&[u8]) -> std::result::Result<String, String>;

/// Reads `path` below `root` whole; `extract` makes its text where it has to be made.
///
/// # Errors
/// As [`open`] and [`Opened::load`].
pub fn load(root: &Path, path: &str, extract: Option<Extract>) -> Result<Loaded> {
    open(root, path)?.load(extract)
}

/// A file that is open and not read yet.
pub struct Opened {
    file: File,
    meta: std::fs::Metadata,
    full: std::path::PathBuf,
}

/// Opens `path` below `root`.
///
/// # Errors
/// As [`jail::open`]; `Data` when the system says nothing of it.
pub fn open(root: &Path, path: &str) -> Result<Opened> {
    let (file, full) = (jail::open(root, path)?, root.join(path));
    match file.metadata() {
        Ok(meta) => Ok(Opened { file, meta, full }),
        Err(error) => Err(Error::data(full, error)),
    }
}

impl Opened {
    /// Bytes that reading it takes, as it is now.
    pub fn size(&self, extract: Option<Extract>) -> u64 {
        let size = self.meta.len();
        if self.meta.is_file() && size <= most(extract) { size } else { 0 }
    }

    /// Reads it whole. A file that is over the limit, also one that grows over it while it is read,
    /// is found by its name only: nothing is cut.
    ///
    /// # Errors
    /// `Data` when reading fails, or its text cannot be made now.
    pub fn load(mut self, extract: Option<Extract>) -> Result<Loaded> {
        let stamp = Stamp::of(&self.meta);
        if !self.meta.is_file() {
            let reason = "is not a regular file".to_owned();
            return Ok(Loaded { stamp, hash: [0; 16], content: Content::NameOnly { reason } });
        }
        let read = whole(&mut self.file, stamp, most(extract));
        let (stamp, bytes) = match read {
            Ok((stamp, Some(bytes))) => (stamp, bytes),
            Ok((stamp, None)) => return Ok(too_large(stamp, most(extract))),
            Err(error) => return Err(Error::data(self.full, error)),
        };
        let hash = hash(&bytes);
        let content = match extract {
            Some(extract) => match made(extract, &bytes) {
                Err(reason) if reason == NOT_NOW => {
                    return Err(Error::data(self.full, std::io::Error::other(reason)));
                }
                text => extracted(text),
            },
            None => decode(bytes),
        };
        Ok(Loaded { stamp, hash, content })
    }
}

/// Bytes of the largest file that is read; pictures and fonts, not text, make documents large.
fn most(extract: Option<Extract>) -> u64 {
    if extract.is_some() { EXTRACTED_BYTES_MAX } else { FILE_BYTES_MAX }
}

/// A file that is found by its name only.
fn too_large(stamp: Stamp, most: u64) -> Loaded {
    // The stamp stands for the content: reading gigabytes to find a name pays for nothing.
    let seed = format!("{}:{}", stamp.size, stamp.mtime_ns);
    let limit = most / (1024 * 1024);
    // Rounded up: `8 MiB, the limit is 8 MiB` would say nothing.
    let size = stamp.size.div_ceil(1024 * 1024);
    let reason = format!("is {size} MiB, the limit is {limit} MiB");
    Loaded { stamp, hash: hash(seed.as_bytes()), content: Content::NameOnly { reason } }
}

/// All bytes of a file that has at most `most`, with the stamp that it had before they were read.
/// One that grew or shrank meanwhile is read once more; if it goes on, its next comparison differs.
fn whole(
    file: &mut File,
    mut stamp: Stamp,
    most: u64,
) -> std::io::Result<(Stamp, Option<Vec<u8>>)> {
    let mut bytes = Vec::new();
    for again in [true, false] {
        if stamp.size > most {
            return Ok((stamp, None));
        }
        bytes.clear();
        bytes.reserve_exact(stamp.size as usize + 1);
        file.by_ref().take(most + 1).read_to_end(&mut bytes)?;
        let size = bytes.len() as u64;
        if size == stamp.size {
            break;
        }
        let now = Stamp::of(&file.metadata()?);
        if size > most {
            // One that was cut back since is no more as this says, and is read again.
            return Ok((Stamp { size: now.size.max(size), ..now }, None));
        }
        if again {
            stamp = now;
            file.rewind()?;
        }
    }
    Ok((stamp, Some(bytes)))
}

/// Makes text of bytes. A panic there costs one file and nobody's thread.
///
/// # Errors
/// Why there is none.
pub fn made(extract: Extract, bytes: &[u8]) -> std::result::Result<String, String> {
    let work = std::panic::AssertUnwindSafe(|| extract(bytes));
    std::panic::catch_unwind(work).unwrap_or_else(|_| Err(NOT_PARSED.to_owned()))
}

/// Text that was made of a file's bytes.
fn extracted(made: std::result::Result<String, String>) -> Content {
    match made {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => {
            let limit = FILE_BYTES_MAX / (1024 * 1024);
            let size = text.len() / (1024 * 1024);
            Content::NameOnly { reason: format!("holds {size} MiB of text, the limit is {limit}") }
        }
        Ok(text) => Content::Text { text, encoding: "UTF-8", plain: false },
        Err(reason) => Content::NameOnly { reason },
    }
}

/// What the file system says of `path` below `root` now.
///
/// # Errors
/// As [`jail::open`]; `Data` when it cannot be asked.
pub fn stamp(root: &Path, path: &str) -> Result<Stamp> {
    let meta = jail::open(root, path)?.metadata();
    Ok(Stamp::of(&meta.map_err(|e| Error::data(root.join(path), e))?))
}

/// Reads `bytes` of a plain file in place, if it still is the file of `stamp`.
///
/// # Errors
/// As [`load`]; `None` inside `Ok` when it is another file or the part is not UTF-8.
pub fn part(
    root: &jail::Root,
    path: &str,
    stamp: &Stamp,
    bytes: &std::ops::Range<usize>,
) -> Result<Option<String>> {
    let fail = |source| Error::data(Path::new(path), source);
    let file = root.open(path)?;
    if Stamp::of(&file.metadata().map_err(fail)?) != *stamp {
        return Ok(None);
    }
    let mut buffer = vec![0; bytes.len()];
    match read_at(file, bytes.start as u64, &mut buffer) {
        Ok(()) => Ok(String::from_utf8(buffer).ok()),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(fail(e)),
    }
}

#[cfg(unix)]
fn read_at(file: std::fs::File, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(&file, buffer, at)
}

#[cfg(not(unix))]
fn read_at(mut file: std::fs::File, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(buffer)
}

/// Bytes to text: UTF-8, then byte-order marks and UTF-16 without one, then UTF-8 that was damaged,
/// then a guess.
pub fn decode(bytes: Vec<u8>) -> Content {
    let utf16 = utf16_kind(&bytes);
    if utf16.is_none() && bytes[..bytes.len().min(BINARY_PROBE_BYTES)].contains(&0) {
        return Content::NameOnly { reason: NOT_TEXT.to_owned() };
    }
    if let Some(encoding) = utf16 {
        let (text, ..) = encoding.decode(&bytes);
        return Content::Text { text: text.into_owned(), encoding: encoding.name(), plain: false };
    }
    match String::from_utf8(bytes) {
        Ok(text) => match text.strip_prefix('\u{feff}') {
            Some(rest) => Content::Text { text: rest.to_owned(), encoding: "UTF-8", plain: false },
            None => Content::Text { text, encoding: "UTF-8", plain: true },
        },
        Err(error) => {
            let bytes = error.into_bytes();
            if let Some(text) = damaged(&bytes) {
                return Content::Text { text, encoding: "UTF-8", plain: false };
            }
            let mut detector =
                chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            detector.feed(&bytes, true);
            let encoding = detector.guess(None, chardetng::Utf8Detection::Allow);
            let (text, ..) = encoding.decode(&bytes);
            Content::Text { text: text.into_owned(), encoding: encoding.name(), plain: false }
        }
    }
}

/// The text of UTF-8 that is cut within a character or has a few stray bytes: any code page would
/// make other letters of all that is right. `None` where more than a few bytes are wrong: of text
/// in a code page up to a third looks like UTF-8.
fn damaged(bytes: &[u8]) -> Option<String> {
    let (mut n_right, mut n_wrong, mut at) = (0, 0, 0);
    for chunk in bytes.utf8_chunks() {
        n_right += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        at += chunk.valid().len() + chunk.invalid().len();
        let begun = std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
        let cut = begun && at == bytes.len();
        n_wrong += usize::from(!chunk.invalid().is_empty() && !cut);
    }
    let wrong_max = (n_right / 2).min(1 + n_right / 4);
    if n_right == 0 || n_wrong > wrong_max {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// UTF-16 by its mark, or by zeros in every other byte of the head.
fn utf16_kind(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    match bytes {
        [0xFF, 0xFE, ..] => return Some(encoding_rs::UTF_16LE),
        [0xFE, 0xFF, ..] => return Some(encoding_rs::UTF_16BE),
        _ => {}
    }
    let head = &bytes[..bytes.len().min(512) & !1];
    if head.len() < 8 || bytes.len() % 2 == 1 {
        return None;
    }
    let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let half = head.len() / 2;
    if odd * 10 > half * 8 && even == 0 {
        return Some(encoding_rs::UTF_16LE);
    }
    if even * 10 > half * 8 && odd == 0 {
        return Some(encoding_rs::UTF_16BE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_while_it_is_read_is_never_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.txt");
        let read = |text: &str, size: u64, most: u64| {
            std::fs::write(&path, text).unwrap();
            let mut file = File::open(&path).unwrap();
            let known = Stamp::of(&file.metadata().unwrap());
            // As it was when it was looked at.
            let (stamp, bytes) = whole(&mut file, Stamp { size, ..known }, most).unwrap();
            (stamp.size, bytes.map(|bytes| String::from_utf8(bytes).unwrap()))
        };
        assert_eq!(read("tide", 4, 4), (4, Some("tide".to_owned())));
        assert_eq!(read("tide and moon", 4, 20), (13, Some("tide and moon".to_owned())));
        assert_eq!(read("tide", 13, 20), (4, Some("tide".to_owned())));
        assert_eq!(read("tide and moon", 4, 12), (13, None));
        assert_eq!(read("tide and moon", 13, 12), (13, None));
        let stamp = Stamp { size: FILE_BYTES_MAX + 1, ..Stamp::default() };
        let Content::NameOnly { reason } = too_large(stamp, FILE_BYTES_MAX).content else {
            panic!("no reason");
        };
        assert_eq!(reason, "is 9 MiB, the limit is 8 MiB");
    }

    fn text(bytes: &[u8]) -> Option<(String, bool)> {
        match decode(bytes.to_vec()) {
            Content::Text { text, plain, .. } => Some((text, plain)),
            Content::NameOnly { .. } => None,
        }
    }

    #[test]
    fn a_maker_of_texts_that_panics_costs_one_file() {
        fn panics(bytes: &[u8]) -> std::result::Result<String, String> {
            panic!("{} bytes", bytes.len())
        }
        assert_eq!(made(panics, b"x"), Err(NOT_PARSED.to_owned()));
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(text("grün".as_bytes()), Some(("grün".to_owned(), true)));
        let le: Vec<u8> = "tide pool notes".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&le), Some(("tide pool notes".to_owned(), false)));
        let mut be = vec![0xFE, 0xFF];
        be.extend("été".encode_utf16().flat_map(u16::to_be_bytes));
        assert_eq!(text(&be), Some(("été".to_owned(), false)));
        let latin = b"une soir\xe9e d'\xe9t\xe9 \xe0 la plage, tr\xe8s agr\xe9able";
        assert!(text(latin).unwrap().0.contains("soirée"));
        assert_eq!(text(b"\x00\x01\x02binary\xff\xff"), None);
    }

    #[test]
    fn stray_bytes_and_a_cut_make_no_code_page_of_utf_8() {
        let with = |bytes: &[u8]| [bytes, "Grüße aus Köln 江湖".as_bytes(), bytes].concat();
        let cut = "Köln 江湖".as_bytes()[..11].to_vec();
        for bytes in [with(b"\xff "), with(b" \xe4"), cut] {
            let (found, plain) = text(&bytes).unwrap();
            assert!(found.contains("Köln") && found.contains('江') && !plain, "{found}");
            assert!(found.contains('\u{fffd}'), "{found}");
        }
        let mark = [&b"\xef\xbb\xbf"[..], "Köln, Grüße".as_bytes(), &b"\xc3"[..]].concat();
        assert_eq!(text(&mark), Some(("Köln, Grüße\u{fffd}".to_owned(), false)));
        // A code page in which some of it happens to be right.
        let russian = b"\x82\xe1\xa5 \xab\xee\xa4\xa8 \xe0\xae\xa6\xa4\xa0\xee\xe2\xe1\xef";
        assert_eq!(damaged(russian), None);
        assert_eq!(damaged(b"caf\xe9, \xe9t\xe9 et C\xc3\xa9line"), None);
    }
}
