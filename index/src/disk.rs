//! Reading files of a source: stamps, bytes, encodings.
//!
//! Knows nothing of kinds and of the index. Every read goes through the jail.

use crate::error::{Error, Result};
use crate::jail;
use crate::limit::{BINARY_PROBE_BYTES, EXTRACTED_BYTES_MAX, FILE_BYTES_MAX};
use std::io::Read;
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
/// As [`jail::open`]; `Data` when reading fails.
pub fn load(root: &Path, path: &str, extract: Option<Extract>) -> Result<Loaded> {
    let fail = |source| Error::data(root.join(path), source);
    let mut file = jail::open(root, path)?;
    let meta = file.metadata().map_err(fail)?;
    let stamp = Stamp::of(&meta);
    if !meta.is_file() {
        let reason = "is not a regular file".to_owned();
        return Ok(Loaded { stamp, hash: [0; 16], content: Content::NameOnly { reason } });
    }
    // Pictures and fonts, not text, make documents large.
    let most = if extract.is_some() { EXTRACTED_BYTES_MAX } else { FILE_BYTES_MAX };
    if stamp.size > most {
        // The stamp stands for the content: reading gigabytes to find a name pays for nothing.
        let seed = format!("{}:{}", stamp.size, stamp.mtime_ns);
        let limit = most / (1024 * 1024);
        let reason = format!("is {} MiB, the limit is {limit} MiB", stamp.size / (1024 * 1024));
        return Ok(Loaded {
            stamp,
            hash: hash(seed.as_bytes()),
            content: Content::NameOnly { reason },
        });
    }
    let mut bytes = Vec::with_capacity(stamp.size as usize + 1);
    file.by_ref().take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    let hash = hash(&bytes);
    let content = match extract {
        Some(extract) => extracted(made(extract, &bytes)),
        None => decode(bytes),
    };
    Ok(Loaded { stamp, hash, content })
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

/// Bytes to text: UTF-8, then byte-order marks and UTF-16 without one, then a guess.
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
            let mut detector =
                chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            detector.feed(&bytes, true);
            let encoding = detector.guess(None, chardetng::Utf8Detection::Allow);
            let (text, ..) = encoding.decode(&bytes);
            Content::Text { text: text.into_owned(), encoding: encoding.name(), plain: false }
        }
    }
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
}
