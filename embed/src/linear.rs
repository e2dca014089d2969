//! Linear steps: values times a matrix plus a bias, in 32 bits or in 7.
//!
//! Seven bits and not eight, also where eight would not saturate, so that the vectors of one
//! machine are those of every other. Where a kernel of ours reads them they lie in the shared file
//! of `panel.rs`; elsewhere rten-gemm packs a copy for its own.

use crate::error::Result;
use crate::kernel::{Kernel, Product, QUAD, Token};
use crate::panel::{Matrix, Packed, Panels, SmallRow};
use crate::weight::Weights;
use rten_gemm::{
    BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmUninitOptions, PackedBMatrix,
};
use rten_tensor::NdTensorView;

/// How matrices are kept and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are: the reference.
    F32,
    /// 7-bit weights by 8-bit activations, each token with a scale of its own.
    Int8,
}

/// What multiplies; a thread has its own, because rten's do not say that they may be sent to
/// another.
#[derive(Default)]
pub struct Kernels {
    pub float: GemmExecutor<f32>,
    int: GemmExecutor<u8, i8, i32>,
    pub own: Kernel,
}

/// Buffers of one thread, kept between calls.
#[derive(Default)]
pub struct Buffers {
    words: Vec<u32>,
    tokens: Vec<Token>,
    sums: Vec<i32>,
}

/// What follows a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Nothing,
    Gelu,
}

enum Weight {
    F32(PackedBMatrix<f32>),
    Panels(Panels),
    Int8 { matrix: PackedBMatrix<i8>, scales: Vec<f32>, sums: Vec<i32> },
}

/// `x` times a matrix plus a bias.
pub struct Linear {
    weight: Weight,
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// The matrix at a place of `packed`.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn packed(packed: &Packed, at: usize, matrix: &Matrix, weights: &Weights) -> Result<Self> {
        let (bias, inputs) = (matrix.bias(weights)?, matrix.inputs);
        Ok(Linear { weight: Weight::Panels(packed.panels(at)), bias, inputs })
    }

    /// A copy of its own for rten's kernels.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn copied(
        kernels: &Kernels,
        matrix: &Matrix,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self> {
        let (rows, bias) = (matrix.rows(weights)?, matrix.bias(weights)?);
        Ok(Linear::new(kernels, &rows, bias, precision))
    }

    /// From weights as files hold them: one row of `inputs` values for each output.
    fn new(kernels: &Kernels, rows: &[f32], bias: Vec<f32>, precision: Precision) -> Self {
        let outputs = bias.len();
        let inputs = rows.len() / outputs;
        let weight = match precision {
            Precision::F32 => {
                let view = NdTensorView::from_data([outputs, inputs], rows);
                Weight::F32(kernels.float.prepack_b(view.transposed()))
            }
            Precision::Int8 => {
                let rows: Vec<SmallRow> = rows.chunks_exact(inputs).map(SmallRow::new).collect();
                let small: Vec<i8> = rows.iter().flat_map(|row| row.weights.clone()).collect();
                let view = NdTensorView::from_data([outputs, inputs], small.as_slice());
                let matrix = kernels.int.prepack_b(view.transposed());
                let scales = rows.iter().map(|row| row.scale).collect();
                let sums = rows.iter().map(|row| row.sum).collect();
                Weight::Int8 { matrix, scales, sums }
            }
        };
        Linear { weight, bias, inputs }
    }

    /// Replaces `out` by the product of `x`, row after row.
    pub fn apply(
        &self,
        kernels: &Kernels,
        x: &[f32],
        then: Then,
        buffers: &mut Buffers,
        out: &mut Vec<f32>,
    ) {
        let len = x.len() / self.inputs * self.bias.len();
        match &self.weight {
            Weight::F32(matrix) => {
                let a = NdTensorView::from_data([x.len() / self.inputs, self.inputs], x);
                let bias = Some(BiasVector::Row(&self.bias));
                fill(out, len, |out| {
                    let options = GemmUninitOptions { bias, ..Default::default() };
                    let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Packed(matrix));
                    kernels.float.gemm_uninit(out, a, b, options).expect("shapes that fit")
                });
            }
            Weight::Panels(panels) => {
                let n_words = buffers.bytes_of(kernels.own, x, self.inputs);
                let Buffers { words, tokens, .. } = buffers;
                let outputs = panels.outputs(&self.bias);
                let gelu = then == Then::Gelu;
                let panels = panels.bytes();
                // All of it is written: nothing of what it held is read.
                out.resize(len, 0.0);
                let product = Product { words, n_words, tokens, panels, outputs, gelu };
                return kernels.own.multiply(&product, out);
            }
            Weight::Int8 { matrix, scales, sums: columns } => {
                let n_words = buffers.bytes_of(kernels.own, x, self.inputs);
                let Buffers { words, tokens, sums } = buffers;
                let bytes = bytemuck::cast_slice(words.as_slice());
                let strides = [QUAD * n_words, 1];
                let a = NdTensorView::from_data_with_strides(
                    [tokens.len(), self.inputs],
                    &bytes[..bytes.len() - (QUAD * n_words - self.inputs)],
                    strides,
                );
                let a = a.expect("rows of whole words");
                // Bytes count from 0 here: the kernel's own zero points go wrong beyond its first
                // block of rows (rten-gemm 0.27).
                fill(sums, len, |out| {
                    let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Packed(matrix));
                    kernels.int.gemm_uninit(out, a, b, Default::default()).expect("shapes that fit")
                });
                out.clear();
                for (sums, token) in sums.chunks_exact(self.bias.len()).zip(tokens.iter()) {
                    let columns = scales.iter().zip(columns).zip(&self.bias);
                    out.extend(sums.iter().zip(columns).map(|(sum, ((scale, column), bias))| {
                        let sum = sum - token.zero * column;
                        sum as f32 * (token.scale * scale) + bias
                    }));
                }
            }
        }
        if then == Then::Gelu {
            kernels.own.gelu(out);
        }
    }
}

impl Buffers {
    /// Rows of `inputs` values in bytes, each filled up to whole words; how many words those are.
    fn bytes_of(&mut self, kernel: Kernel, x: &[f32], inputs: usize) -> usize {
        let n_words = inputs.div_ceil(QUAD);
        self.words.resize(x.len() / inputs * n_words, 0);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        let rows = x.chunks_exact(inputs).zip(bytes.chunks_exact_mut(QUAD * n_words));
        self.tokens.clear();
        self.tokens.extend(rows.map(|(row, out)| {
            let (out, rest) = out.split_at_mut(inputs);
            rest.fill(0);
            kernel.bytes(row, out)
        }));
        n_words
    }
}

/// Empties `out` and lets `make` write exactly `len` values into it.
pub fn fill<T>(
    out: &mut Vec<T>,
    len: usize,
    make: impl Fn(&mut [std::mem::MaybeUninit<T>]) -> &mut [T],
) {
    use rten_vecmath::ExtendInit;
    out.clear();
    out.reserve(len);
    out.extend_init(|spare| make(&mut spare[..len]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_and_copies_give_the_same() {
        // Sizes that fill neither a word nor a panel.
        let (inputs, outputs, n) = (50usize, 70usize, 9usize);
        let value = |at: usize| ((at * 37 % 101) as f32 - 50.0) / 25.0;
        let rows: Vec<f32> = (0..inputs * outputs).map(value).collect();
        let bias: Vec<f32> = (0..outputs).map(value).collect();
        let x: Vec<f32> = (0..inputs * n).map(|at| value(at * 7 + 3)).collect();
        let kernels = Kernels::default();
        let copied = Linear::new(&kernels, &rows, bias.clone(), Precision::Int8);
        let panels = Panels::of(&rows, inputs).expect("memory");
        let panels = Linear { weight: Weight::Panels(panels), bias: bias.clone(), inputs };
        let exact = Linear::new(&kernels, &rows, bias, Precision::F32);
        for then in [Then::Nothing, Then::Gelu] {
            let of = |linear: &Linear| {
                let (mut buffers, mut out) = (Buffers::default(), Vec::new());
                linear.apply(&kernels, &x, then, &mut buffers, &mut out);
                out
            };
            let (copied, panels, exact) = (of(&copied), of(&panels), of(&exact));
            assert_eq!(copied.len(), outputs * n);
            for ((a, b), c) in copied.iter().zip(&panels).zip(&exact) {
                assert!((a - b).abs() < 1e-3 && (a - c).abs() < 0.6, "{a} {b} {c}");
            }
        }
    }
}
