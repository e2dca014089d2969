//! Weights as models are published: a mapped safetensors file.
//!
//! The tables of words and positions are read where they lie, in memory that every process on the
//! machine shares.

use crate::error::{Error, Result};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The mapped file.
pub struct Weights {
    path: PathBuf,
    map: Mmap,
}

/// A matrix of the file as it lies there, row after row.
pub struct Table {
    bytes: Range<usize>,
    dtype: Dtype,
    columns: usize,
}

impl Weights {
    /// Maps the file and checks its head.
    ///
    /// # Errors
    /// `File`, `Damaged`.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |source| Error::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        // SAFETY: the file is only read. A file that is cut while it is mapped ends the process, as
        // with every mapped file; installing replaces whole folders and never writes into one.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        let weights = Weights { path: path.to_owned(), map };
        weights.tensors()?;
        Ok(weights)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the file.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.map).as_bytes()
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Damaged { path: self.path.clone(), reason }
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.map).map_err(|e| self.damaged(e.to_string()))
    }

    /// A matrix of `columns` columns by its name, which some files begin with `bert.`.
    pub fn table(&self, name: &str, columns: usize) -> Result<Table> {
        let tensors = self.tensors()?;
        let found = tensors.tensor(name).or_else(|_| tensors.tensor(&format!("bert.{name}")));
        let found = found.map_err(|e| self.damaged(format!("`{name}`: {e}")))?;
        if !matches!(found.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(self.damaged(format!("`{name}` is of type {:?}", found.dtype())));
        }
        if found.shape().last() != Some(&columns) {
            let reason = format!("`{name}` has shape {:?}, not {columns} columns", found.shape());
            return Err(self.damaged(reason));
        }
        let start = found.data().as_ptr() as usize - self.map.as_ptr() as usize;
        let bytes = start..start + found.data().len();
        Ok(Table { bytes, dtype: found.dtype(), columns })
    }

    /// How many rows a table has.
    pub fn rows(&self, table: &Table) -> usize {
        table.bytes.len() / (table.columns * size(table.dtype))
    }

    /// Adds a row of a table, which has it, to `out`.
    pub fn add_row(&self, table: &Table, row: usize, out: &mut [f32]) {
        let width = table.columns * size(table.dtype);
        let bytes = &self.map[table.bytes.clone()][row * width..][..width];
        for (out, value) in out.iter_mut().zip(values(bytes, table.dtype)) {
            *out += value;
        }
    }

    /// All values of a matrix of `rows` by `columns`, or of a vector (one row).
    pub fn all(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>> {
        let table = self.table(name, columns)?;
        if self.rows(&table) != rows {
            let found = self.rows(&table);
            return Err(self.damaged(format!("`{name}` has {found} rows, not {rows}")));
        }
        let all: Vec<f32> = values(&self.map[table.bytes.clone()], table.dtype).collect();
        match all.iter().all(|value| value.is_finite()) {
            true => Ok(all),
            false => Err(self.damaged(format!("`{name}` holds values that are no numbers"))),
        }
    }
}

fn size(dtype: Dtype) -> usize {
    if dtype == Dtype::F32 { 4 } else { 2 }
}

fn values(bytes: &[u8], dtype: Dtype) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(size(dtype)).map(move |b| match dtype {
        Dtype::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        Dtype::BF16 => f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16),
        _ => half(u16::from_le_bytes([b[0], b[1]])),
    })
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1F), f32::from(bits & 0x3FF) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}
