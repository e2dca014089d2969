//! Vectors on disk and the exact scan over them.
//!
//! A row is a vector of length 1 in 8 bits a value and its scale; a space's rows lie one behind the
//! other in one file that only grows, the signs of their values in another, one bit each. What
//! counts is the number of rows that the database names. Rows that are needed no more are left
//! behind when the others are copied to files of another number.
//! Invariant: rows below that number never change.

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::sync_folder;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Largest value of a row in 8 bits.
const VALUE_MAX: f32 = 127.0;
/// Largest value of a quantised query: sums of 127 times this over 2,000 dimensions fit 32 bits.
const QUERY_MAX: f32 = 4_095.0;
/// Rows that are copied between two looks at whether to go on.
const COPIED: usize = 4_096;

fn path(dir: &Path, space: i64, what: &str) -> PathBuf {
    dir.join("vectors").join(format!("{space}.{what}"))
}

/// Words of a row's signs.
fn n_words(dimensions: usize) -> usize {
    dimensions.div_ceil(64)
}

/// The signs of a vector's values, one bit each.
fn signs<'a>(values: impl Iterator<Item = &'a f32>, dimensions: usize) -> Vec<u64> {
    let mut words = vec![0; n_words(dimensions)];
    for (at, _) in values.enumerate().filter(|(_, value)| **value > 0.0) {
        words[at / 64] |= 1 << (at % 64);
    }
    words
}

/// Bytes of a row.
fn stride(dimensions: usize) -> usize {
    dimensions + 4
}

/// Appends `vectors` behind the first `n_rows` rows and makes them safe on disk.
///
/// # Errors
/// `Data` when the file cannot be written.
pub fn append(
    dir: &Path,
    space: i64,
    dimensions: usize,
    n_rows: u32,
    vectors: &[Vec<f32>],
) -> Result<()> {
    make_folder(dir)?;
    let mut bytes = Vec::new();
    vectors.iter().for_each(|vector| pack(vector, &mut bytes));
    let mut bits = Vec::new();
    for vector in vectors {
        bits.extend(signs(vector.iter(), dimensions).into_iter().flat_map(u64::to_le_bytes));
    }
    mend_signs(dir, space, dimensions, n_rows)?;
    let n = u64::from(n_rows);
    extend(&path(dir, space, "signs"), n * 8 * n_words(dimensions) as u64, &bits)?;
    extend(&path(dir, space, "rows"), n * stride(dimensions) as u64, &bytes)
}

/// Makes the folder of vectors, if it is not there.
fn make_folder(dir: &Path) -> Result<()> {
    let folder = dir.join("vectors");
    if folder.is_dir() {
        return Ok(());
    }
    let made = std::fs::create_dir_all(&folder).and_then(|()| sync_folder(dir));
    made.map_err(|e| Error::data(folder, e))
}

/// Makes the file of signs anew from the rows, if it is not there or too short.
fn mend_signs(dir: &Path, space: i64, dimensions: usize, n_rows: u32) -> Result<()> {
    let path = path(dir, space, "signs");
    let len = u64::from(n_rows) * 8 * n_words(dimensions) as u64;
    if std::fs::metadata(&path).map_or(0, |file| file.len()) >= len {
        return Ok(());
    }
    let rows = Rows::open(dir, space, dimensions, n_rows)?;
    let mut bits = Vec::with_capacity(len as usize);
    for row in 0..n_rows {
        let words = signs(rows.vector(row).iter(), dimensions);
        bits.extend(words.into_iter().flat_map(u64::to_le_bytes));
    }
    extend(&path, 0, &bits)
}

/// Writes `bytes` behind the first `len` of a file and makes them safe.
fn extend(path: &Path, len: u64, bytes: &[u8]) -> Result<()> {
    let write = || {
        let new = !path.exists();
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        if file.metadata()?.len() < len {
            return Err(std::io::Error::other("it is shorter than the database says"));
        }
        // What a crash left behind the committed rows is not known to anyone.
        file.set_len(len)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        // Without it power loss may take the file while the database keeps what names it.
        path.parent().filter(|_| new).map_or(Ok(()), sync_folder)
    };
    write().map_err(|e| Error::data(path, e))
}

/// Rows that a space's file holds; none when there is no file.
///
/// # Errors
/// `Data` when it cannot be looked at.
pub fn held(dir: &Path, space: i64, dimensions: usize) -> Result<u32> {
    let path = path(dir, space, "rows");
    match std::fs::metadata(&path) {
        Ok(file) => Ok((file.len() / stride(dimensions) as u64) as u32),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::data(path, error)),
    }
}

/// A file on its way, of this process alone: it has its number once [`adopt`] gives it.
fn unnamed(dir: &Path, space: i64, what: &str) -> PathBuf {
    path(dir, space, &format!("new-{what}-{}", std::process::id()))
}

/// Copies rows of a space, as they are and in this order, into files that have no number yet.
/// Returns whether it did: `go_on` may end it.
///
/// # Errors
/// `Data` when they cannot be written.
pub fn copy(
    dir: &Path,
    space: i64,
    rows: &Rows,
    chosen: &[u32],
    go_on: &dyn Fn() -> bool,
) -> Result<bool> {
    make_folder(dir)?;
    let write = || -> io::Result<bool> {
        let mut values = BufWriter::new(File::create(unnamed(dir, space, "rows"))?);
        let mut signs = BufWriter::new(File::create(unnamed(dir, space, "signs"))?);
        for part in chosen.chunks(COPIED) {
            if !go_on() {
                return Ok(false);
            }
            write_rows(rows, part, &mut values, &mut signs)?;
        }
        settle([values, signs])?;
        Ok(true)
    };
    let written = write().map_err(|e| Error::data(dir.join("vectors"), e));
    if !matches!(written, Ok(true)) {
        discard(dir, space);
    }
    written
}

/// Copies more rows behind those that [`copy`] wrote.
///
/// # Errors
/// `Data` when they cannot be written.
pub fn copy_more(dir: &Path, space: i64, rows: &Rows, more: &[u32]) -> Result<()> {
    let open = |what| {
        let file = File::options().append(true).open(unnamed(dir, space, what));
        file.map(BufWriter::new)
    };
    let write = || -> io::Result<()> {
        let (mut values, mut signs) = (open("rows")?, open("signs")?);
        write_rows(rows, more, &mut values, &mut signs)?;
        settle([values, signs])
    };
    write().map_err(|e| Error::data(dir.join("vectors"), e))
}

fn write_rows(
    rows: &Rows,
    chosen: &[u32],
    values: &mut impl Write,
    signs: &mut impl Write,
) -> io::Result<()> {
    for row in chosen {
        values.write_all(rows.bytes(*row))?;
        signs.write_all(&rows.signs_of(*row))?;
    }
    Ok(())
}

/// Makes files safe on disk.
fn settle(files: [BufWriter<File>; 2]) -> io::Result<()> {
    for file in files {
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
    }
    Ok(())
}

/// Removes what [`copy`] wrote.
pub fn discard(dir: &Path, space: i64) {
    for what in ["rows", "signs"] {
        let _ = std::fs::remove_file(unnamed(dir, space, what));
    }
}

/// Gives what [`copy`] wrote of a space the number of another one.
///
/// # Errors
/// `Data` when that cannot be done.
pub fn adopt(dir: &Path, space: i64, number: i64) -> Result<()> {
    for what in ["rows", "signs"] {
        let to = path(dir, number, what);
        let done = std::fs::rename(unnamed(dir, space, what), &to);
        done.map_err(|e| Error::data(to, e))?;
    }
    let folder = dir.join("vectors");
    sync_folder(&folder).map_err(|e| Error::data(folder, e))
}

/// Removes the rows of all other spaces; processes that have them mapped keep them until they end.
pub fn keep_only(dir: &Path, kept: impl Fn(i64) -> bool) {
    let Ok(entries) = std::fs::read_dir(dir.join("vectors")) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if id.is_some_and(|id| !kept(id)) {
            // A file that stays costs room, nothing else.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn pack(vector: &[f32], bytes: &mut Vec<u8>) {
    let most = vector.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let scale = most.max(f32::MIN_POSITIVE) / VALUE_MAX;
    bytes.extend(vector.iter().map(|value| (value / scale).round() as i8 as u8));
    bytes.extend(scale.to_le_bytes());
}

/// The committed rows of a space.
pub struct Rows {
    rows: Option<Mmap>,
    signs: Option<Mmap>,
    n_rows: u32,
    dimensions: usize,
    kernel: Kernel,
}

/// A query, made ready for the scan.
pub struct QueryVector {
    values: Vec<i16>,
    scale: f32,
    signs: Vec<u64>,
}

impl QueryVector {
    /// Of a vector of length 1.
    pub fn new(vector: &[f32]) -> Self {
        let most = vector.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scale = most.max(f32::MIN_POSITIVE) / QUERY_MAX;
        let values = vector.iter().map(|value| (value / scale).round() as i16).collect();
        QueryVector { values, scale, signs: signs(vector.iter(), vector.len()) }
    }
}

/// Maps the first `len` bytes of a file.
fn map(path: &Path, len: usize) -> Result<Mmap> {
    let open = || {
        let file = File::open(path)?;
        if file.metadata()?.len() < len as u64 {
            return Err(std::io::Error::other("it is shorter than the database says"));
        }
        // SAFETY: rows below the committed number never change, and no file is cut below them.
        #[allow(unsafe_code)]
        unsafe {
            memmap2::MmapOptions::new().len(len).map(&file)
        }
    };
    open().map_err(|e| Error::data(path, e))
}

impl Rows {
    /// Maps the first `n_rows` rows.
    ///
    /// # Errors
    /// `Data` when a file is not there or too short.
    pub fn open(dir: &Path, space: i64, dimensions: usize, n_rows: u32) -> Result<Self> {
        let kernel = Kernel::best();
        if n_rows == 0 {
            return Ok(Rows { rows: None, signs: None, n_rows, dimensions, kernel });
        }
        let n = n_rows as usize;
        let rows = map(&path(dir, space, "rows"), n * stride(dimensions))?;
        // Without them all rows are measured.
        let signs = map(&path(dir, space, "signs"), n * 8 * n_words(dimensions)).ok();
        Ok(Rows { rows: Some(rows), signs, n_rows, dimensions, kernel })
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.n_rows
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// A row, which must be there, as it is on disk.
    #[inline]
    fn bytes(&self, row: u32) -> &[u8] {
        let stride = stride(self.dimensions);
        &self.rows.as_deref().unwrap_or_default()[row as usize * stride..][..stride]
    }

    /// The signs of a row, which must be there, as they are on disk.
    fn signs_of(&self, row: u32) -> Vec<u8> {
        let len = 8 * n_words(self.dimensions);
        let at = row as usize * len;
        match self.signs.as_deref().and_then(|all| all.get(at..at + len)) {
            Some(signs) => signs.to_vec(),
            None => {
                let words = signs(self.vector(row).iter(), self.dimensions);
                words.into_iter().flat_map(u64::to_le_bytes).collect()
            }
        }
    }

    /// How many rows are no vectors of length 1, as all that are written are.
    pub fn n_spoiled(&self) -> u32 {
        let spoiled = |row: &u32| {
            let length = self.vector(*row).iter().map(|value| value * value).sum::<f32>().sqrt();
            !(0.9..=1.1).contains(&length)
        };
        (0..self.n_rows).filter(spoiled).count() as u32
    }

    /// Values and scale of a row, which must be there.
    #[inline]
    fn row(&self, row: u32) -> (&[u8], f32) {
        let (values, scale) = self.bytes(row).split_at(self.dimensions);
        (values, f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]))
    }

    /// The vector of a row, which must be there.
    pub fn vector(&self, row: u32) -> Vec<f32> {
        let (values, scale) = self.row(row);
        values.iter().map(|value| f32::from(*value as i8) * scale).collect()
    }

    /// The cosine of a row, which must be there, and a query.
    #[inline]
    pub fn cosine(&self, row: u32, query: &QueryVector) -> f32 {
        let (values, scale) = self.row(row);
        self.kernel.dot(values, &query.values) as f32 * (scale * query.scale)
    }

    /// Has a row, which must be there, brought near the processor.
    #[inline]
    pub fn fetch(&self, row: u32) {
        crate::kernel::fetch(self.row(row).0);
    }

    /// The cosine of two rows, which must be there.
    #[inline]
    pub fn between(&self, row: u32, other: u32) -> f32 {
        let ((a, a_scale), (b, b_scale)) = (self.row(row), self.row(other));
        self.kernel.between(a, b) as f32 * (a_scale * b_scale)
    }

    /// How many signs of a row, which must be there, differ from the query's; `None` without a file
    /// of signs.
    #[inline]
    pub fn difference(&self, row: u32, query: &QueryVector) -> Option<u32> {
        let words: &[u64] = bytemuck::try_cast_slice(self.signs.as_deref()?).ok()?;
        let n = query.signs.len();
        let own = words.get(row as usize * n..(row as usize + 1) * n)?;
        Some(own.iter().zip(&query.signs).map(|(a, b)| (a ^ b).count_ones()).sum())
    }

    /// Of each row of a range: how many of its signs differ from the query's; `None` without a file
    /// of signs, or where that has not all of them.
    pub fn differences(&self, range: Range<u32>, query: &QueryVector) -> Option<Vec<u16>> {
        // A mapping begins at a page, so that words lie at their borders.
        let words: &[u64] = bytemuck::try_cast_slice(self.signs.as_deref()?).ok()?;
        let at = |row: u32| row as usize * query.signs.len();
        let mut out = Vec::with_capacity(range.len());
        self.kernel.differ(words.get(at(range.start)..at(range.end))?, &query.signs, &mut out);
        Some(out)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn unit(seed: u32, dimensions: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut values: Vec<f32> = (0..dimensions)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.iter_mut().for_each(|v| *v /= length);
        values
    }

    #[test]
    fn rows_keep_their_cosines() {
        let dir = tempfile::tempdir().unwrap();
        let vectors: Vec<Vec<f32>> = (1..200).map(|seed| unit(seed, 384)).collect();
        append(dir.path(), 1, 384, 0, &vectors[..100]).unwrap();
        // What stands behind the committed rows is written over.
        append(dir.path(), 1, 384, 100, &vectors[..7]).unwrap();
        append(dir.path(), 1, 384, 100, &vectors[100..]).unwrap();
        let rows = Rows::open(dir.path(), 1, 384, vectors.len() as u32).unwrap();
        let query = unit(7_777, 384);
        let wanted = QueryVector::new(&query);
        for (row, vector) in vectors.iter().enumerate() {
            let truth: f32 = vector.iter().zip(&query).map(|(a, b)| a * b).sum();
            assert!((rows.cosine(row as u32, &wanted) - truth).abs() < 2e-3);
        }
        let count = |rows: &Rows| rows.differences(0..rows.len(), &wanted).expect("signs");
        let before = count(&rows);
        // A lost file of signs is made anew by the next vectors.
        std::fs::remove_file(path(dir.path(), 1, "signs")).unwrap();
        let n = vectors.len() as u32;
        let rows = Rows::open(dir.path(), 1, 384, n).unwrap();
        assert!(rows.differences(0..n, &wanted).is_none());
        append(dir.path(), 1, 384, n, &vectors[..1]).unwrap();
        let rows = Rows::open(dir.path(), 1, 384, n).unwrap();
        let after = count(&rows);
        // Values that were rounded to nothing have lost their sign.
        let off = before.iter().zip(&after).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off.is_some_and(|off| off <= 8), "{off:?}");
        let more = vectors.len() as u32 + 2;
        assert!(Rows::open(dir.path(), 1, 384, more).is_err(), "rows that are not there");
        assert!(append(dir.path(), 1, 384, more, &vectors).is_err(), "behind a gap");
    }
}
