//! Weights: read from a mapped safetensors file, laid out for the processor's kernel.
//!
//! The tables of words and positions stay in the mapped file, which every process on the machine
//! shares. The matrices are packed once: as they are, or in 7 bits with one scale a column. Seven
//! and not eight, also where eight would not saturate, so that the vectors of one machine are those
//! of every other.

use crate::error::{Error, Result};
use memmap2::Mmap;
use rten_gemm::{
    BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmUninitOptions, PackedBMatrix,
};
use rten_simd::SimdOp;
use rten_tensor::NdTensorView;
use rten_vecmath::{ExtendInit, MinMax, Quantize};
use safetensors::{Dtype, SafeTensors};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How matrices are kept and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are: the reference.
    F32,
    /// 7-bit weights by 8-bit activations, each token with a scale of its own.
    Int8,
}

/// Largest magnitude of a weight in 7 bits.
const WEIGHT_MAX: f32 = 63.0;

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

/// The kernels of this processor; a thread has its own, because they do not say that they may be
/// sent to another.
#[derive(Default)]
pub struct Kernels {
    pub float: GemmExecutor<f32>,
    int: GemmExecutor<u8, i8, i32>,
}

/// Buffers of one thread, kept between calls.
#[derive(Default)]
pub struct Buffers {
    bytes: Vec<u8>,
    tokens: Vec<Token>,
    sums: Vec<i32>,
}

/// How a token's values lie in bytes.
struct Token {
    scale: f32,
    /// The byte that stands for 0.
    zero: i32,
}

enum Packed {
    F32(PackedBMatrix<f32>),
    Int8 { matrix: PackedBMatrix<i8>, columns: Vec<Column> },
}

/// What turns a sum of a column's products back into a value.
struct Column {
    scale: f32,
    /// Of its weights in 7 bits: what the byte for zero added to every product.
    sum: i32,
}

/// `x` times a matrix plus a bias.
pub struct Linear {
    packed: Packed,
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// From weights as files hold them: one row of `inputs` values for each output.
    pub fn new(kernels: &Kernels, rows: &[f32], bias: Vec<f32>, precision: Precision) -> Self {
        let outputs = bias.len();
        let inputs = rows.len() / outputs;
        let packed = match precision {
            Precision::F32 => {
                let view = NdTensorView::from_data([outputs, inputs], rows);
                Packed::F32(kernels.float.prepack_b(view.transposed()))
            }
            Precision::Int8 => {
                let (small, columns) = quantise(rows, inputs);
                let view = NdTensorView::from_data([outputs, inputs], small.as_slice());
                Packed::Int8 { matrix: kernels.int.prepack_b(view.transposed()), columns }
            }
        };
        Linear { packed, bias, inputs }
    }

    /// Values of a row of the result.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Replaces `out` by the product of `x`, row after row.
    pub fn apply(&self, kernels: &Kernels, x: &[f32], buffers: &mut Buffers, out: &mut Vec<f32>) {
        let rows = x.len() / self.inputs;
        let len = rows * self.outputs();
        match &self.packed {
            Packed::F32(matrix) => {
                let a = NdTensorView::from_data([rows, self.inputs], x);
                let bias = Some(BiasVector::Row(&self.bias));
                fill(out, len, |out| {
                    let options = GemmUninitOptions { bias, ..Default::default() };
                    let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Packed(matrix));
                    kernels.float.gemm_uninit(out, a, b, options).expect("shapes that fit")
                });
            }
            Packed::Int8 { matrix, columns } => {
                let Buffers { bytes, tokens, sums } = buffers;
                quantise_rows(x, self.inputs, bytes, tokens);
                let a = NdTensorView::from_data([rows, self.inputs], bytes.as_slice());
                // Bytes count from 0 here: the kernel's own zero points go wrong beyond its first
                // block of rows (rten-gemm 0.27).
                fill(sums, len, |out| {
                    let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Packed(matrix));
                    kernels.int.gemm_uninit(out, a, b, Default::default()).expect("shapes that fit")
                });
                out.clear();
                out.resize(len, 0.0);
                let rows = out.chunks_exact_mut(self.outputs());
                for ((out, sums), token) in
                    rows.zip(sums.chunks_exact(self.outputs())).zip(tokens.iter())
                {
                    let columns = columns.iter().zip(&self.bias);
                    for ((out, sum), (column, bias)) in out.iter_mut().zip(sums).zip(columns) {
                        let sum = sum - token.zero * column.sum;
                        *out = sum as f32 * (token.scale * column.scale) + bias;
                    }
                }
            }
        }
    }
}

/// Empties `out` and lets `make` write exactly `len` values into it.
pub fn fill<T>(
    out: &mut Vec<T>,
    len: usize,
    make: impl Fn(&mut [std::mem::MaybeUninit<T>]) -> &mut [T],
) {
    out.clear();
    out.reserve(len);
    out.extend_init(|spare| make(&mut spare[..len]));
}

/// Rows of weights in 7 bits, each with its scale and sum.
fn quantise(rows: &[f32], inputs: usize) -> (Vec<i8>, Vec<Column>) {
    let mut columns = Vec::new();
    let mut out: Vec<i8> = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(inputs) {
        let most = row.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scale = if most > 0.0 { most / WEIGHT_MAX } else { 1.0 };
        let start = out.len();
        out.extend(row.iter().map(|value| (value / scale).round() as i8));
        let sum = out[start..].iter().map(|weight| i32::from(*weight)).sum();
        columns.push(Column { scale, sum });
    }
    (out, columns)
}

/// Tokens in 8 bits, each with its own scale.
fn quantise_rows(x: &[f32], inputs: usize, bytes: &mut Vec<u8>, tokens: &mut Vec<Token>) {
    tokens.clear();
    bytes.clear();
    bytes.reserve(x.len());
    for row in x.chunks_exact(inputs) {
        let (least, most) = MinMax::new(row).dispatch();
        let (least, most) = (least.min(0.0), most.max(0.0));
        let scale = ((most - least) / 255.0).max(f32::MIN_POSITIVE);
        let zero = (-least / scale).round() as u8;
        bytes.extend_init(|spare| {
            Quantize::new(row, &mut spare[..inputs], 1.0 / scale, zero).dispatch()
        });
        tokens.push(Token { scale, zero: i32::from(zero) });
    }
}
