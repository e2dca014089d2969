//! Vectors on disk and the exact scan over them.
//!
//! A row is a vector of length 1 in 8 bits a value and its scale; a space's rows lie one behind the
//! other in one file that only grows. What counts is the number of rows that the database names.
//! Invariant: rows below that number never change.

use crate::error::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Largest value of a row in 8 bits.
const VALUE_MAX: f32 = 127.0;
/// Largest value of a quantised query: sums of 127 times this over 2,000 dimensions fit 32 bits.
const QUERY_MAX: f32 = 4_095.0;

fn path(dir: &Path, space: i64) -> PathBuf {
    dir.join("vectors").join(format!("{space}.rows"))
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
    let path = path(dir, space);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::data(folder, e))?;
    }
    let mut bytes = Vec::new();
    vectors.iter().for_each(|vector| pack(vector, &mut bytes));
    let write = || {
        let mut file = File::options().create(true).read(true).append(true).open(&path)?;
        let len = u64::from(n_rows) * stride(dimensions) as u64;
        if file.metadata()?.len() < len {
            return Err(std::io::Error::other("it is shorter than the database says"));
        }
        // What a crash left behind the committed rows is not known to anyone.
        file.set_len(len)?;
        file.write_all(&bytes)?;
        file.sync_data()
    };
    write().map_err(|e| Error::data(&path, e))
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
    map: Option<Mmap>,
    dimensions: usize,
}

/// A query, made ready for the scan.
pub struct QueryVector {
    values: Vec<i16>,
    scale: f32,
}

impl QueryVector {
    /// Of a vector of length 1.
    pub fn new(vector: &[f32]) -> Self {
        let most = vector.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scale = most.max(f32::MIN_POSITIVE) / QUERY_MAX;
        let values = vector.iter().map(|value| (value / scale).round() as i16).collect();
        QueryVector { values, scale }
    }
}

impl Rows {
    /// Maps the first `n_rows` rows.
    ///
    /// # Errors
    /// `Data` when the file is not there or too short.
    pub fn open(dir: &Path, space: i64, dimensions: usize, n_rows: u32) -> Result<Self> {
        if n_rows == 0 {
            return Ok(Rows { map: None, dimensions });
        }
        let path = path(dir, space);
        let map = || {
            let file = File::open(&path)?;
            let len = n_rows as usize * stride(dimensions);
            if file.metadata()?.len() < len as u64 {
                return Err(std::io::Error::other("it is shorter than the database says"));
            }
            // SAFETY: rows below `n_rows` never change, and the file is never cut below them.
            #[allow(unsafe_code)]
            unsafe {
                memmap2::MmapOptions::new().len(len).map(&file)
            }
        };
        Ok(Rows { map: Some(map().map_err(|e| Error::data(&path, e))?), dimensions })
    }

    /// The vector of a row, which must be there.
    pub fn vector(&self, row: u32) -> Vec<f32> {
        let stride = stride(self.dimensions);
        let bytes = self.map.as_deref().unwrap_or_default();
        let (values, scale) = bytes[row as usize * stride..][..stride].split_at(self.dimensions);
        let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
        values.iter().map(|value| f32::from(*value as i8) * scale).collect()
    }

    /// The cosine of a row, which must be there, and a query.
    #[inline]
    pub fn cosine(&self, row: u32, query: &QueryVector) -> f32 {
        let stride = stride(self.dimensions);
        let bytes = self.map.as_deref().unwrap_or_default();
        let (values, scale) = bytes[row as usize * stride..][..stride].split_at(self.dimensions);
        let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
        dot(values, &query.values) as f32 * (scale * query.scale)
    }
}

/// Sum of products.
#[inline]
fn dot(row: &[u8], query: &[i16]) -> i32 {
    row.iter().zip(query).map(|(a, b)| i32::from(*a as i8) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(seed: u32, dimensions: usize) -> Vec<f32> {
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
        let more = vectors.len() as u32 + 1;
        assert!(Rows::open(dir.path(), 1, 384, more).is_err(), "rows that are not there");
        assert!(append(dir.path(), 1, 384, more, &vectors).is_err(), "behind a gap");
    }
}
