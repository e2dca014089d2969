//! The forward pass of a BERT (Devlin and others 2019) over several texts at once.
//!
//! Tokens of all texts stand one behind the other, so that nothing is padded; only attention keeps
//! the texts apart. Runs on the calling thread alone: groups of texts go to several threads.

use crate::error::{Error, Result};
use crate::folder::{Config, Folder, Pooling};
use crate::weight::{Buffers, Kernels, Linear, Precision, Table, Weights, fill};
use rten_gemm::{GemmInputA, GemmInputB, GemmUninitOptions};
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_tensor::{Matrix, MatrixLayout, NdTensorView};
use rten_vecmath::{Gelu, Normalize, NormalizeOptions, Softmax, Sum, SumSquareSub};

struct Layer {
    query_key_value: Linear,
    attended: Linear,
    attended_norm: Norm,
    wide: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

/// Layer normalisation.
struct Norm {
    scale: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

/// A model with its weights.
pub struct Bert {
    weights: Weights,
    words: Table,
    positions: Table,
    kinds: Table,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    width: usize,
    pooling: Pooling,
}

/// What a thread keeps between calls.
#[derive(Default)]
pub struct Scratch {
    x: Vec<f32>,
    fused: Vec<f32>,
    context: Vec<f32>,
    out: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    buffers: Buffers,
    kernels: Kernels,
}

impl Bert {
    /// Reads and packs the weights.
    ///
    /// # Errors
    /// `File`, `Damaged`.
    pub fn open(folder: &Folder, precision: Precision) -> Result<Self> {
        let weights = Weights::open(&folder.path.join("model.safetensors"))?;
        let kernels = Kernels::default();
        let config = &folder.config;
        let width = config.hidden_size;
        let reader = Reader { weights: &weights, kernels: &kernels, config, precision };
        let layers = (0..config.num_hidden_layers)
            .map(|n| reader.layer(&format!("encoder.layer.{n}")))
            .collect::<Result<_>>()?;
        let norm = reader.norm("embeddings.LayerNorm")?;
        let words = weights.table("embeddings.word_embeddings.weight", width)?;
        let positions = weights.table("embeddings.position_embeddings.weight", width)?;
        let kinds = weights.table("embeddings.token_type_embeddings.weight", width)?;
        if weights.rows(&positions) < folder.window || weights.rows(&kinds) == 0 {
            let reason = format!("it knows fewer than {} positions", folder.window);
            return Err(Error::Unsupported { path: folder.path.clone(), reason });
        }
        let (heads, pooling) = (config.num_attention_heads, folder.pooling);
        Ok(Bert { weights, words, positions, kinds, norm, layers, heads, width, pooling })
    }

    /// Tokens that it knows.
    pub fn vocabulary(&self) -> usize {
        self.weights.rows(&self.words)
    }

    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        self.width
    }

    /// One vector of length 1 for each text; every text is some tokens, no more than the window
    /// and each within the vocabulary.
    pub fn vectors(&self, texts: &[Vec<u32>], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        self.embed(texts, &mut scratch.x);
        for layer in &self.layers {
            self.attend(layer, texts, scratch);
            let Scratch { x, fused, out, buffers, kernels, .. } = scratch;
            layer.wide.apply(kernels, x, buffers, fused);
            Gelu {}.map_mut(fused);
            layer.narrow.apply(kernels, fused, buffers, out);
            layer.narrow_norm.add(x, out);
        }
        let mut tokens = scratch.x.chunks_exact(self.width);
        texts.iter().map(|text| self.pool(tokens.by_ref().take(text.len()))).collect()
    }

    /// Words, positions and kinds of all tokens.
    fn embed(&self, texts: &[Vec<u32>], x: &mut Vec<f32>) {
        let n_tokens: usize = texts.iter().map(Vec::len).sum();
        x.clear();
        x.resize(n_tokens * self.width, 0.0);
        let tokens = texts.iter().flat_map(|text| text.iter().enumerate());
        for ((position, token), out) in tokens.zip(x.chunks_exact_mut(self.width)) {
            self.weights.add_row(&self.words, *token as usize, out);
            self.weights.add_row(&self.positions, position, out);
            self.weights.add_row(&self.kinds, 0, out);
            self.norm.apply(out);
        }
    }

    /// Attention of each text's tokens to each other, added to what they were.
    fn attend(&self, layer: &Layer, texts: &[Vec<u32>], scratch: &mut Scratch) {
        let Scratch { x, fused, context, out, scores, mixed, buffers, kernels } = scratch;
        layer.query_key_value.apply(kernels, x, buffers, fused);
        context.clear();
        context.resize(x.len(), 0.0);
        let size = self.width / self.heads;
        let row = 3 * self.width;
        let mut first = 0;
        for n in texts.iter().map(Vec::len).filter(|n| *n > 0) {
            for head in 0..self.heads {
                let part = |which: usize| {
                    let start = first * row + which * self.width + head * size;
                    let part = &fused[start..start + (n - 1) * row + size];
                    NdTensorView::from_data_with_strides([n, size], part, [row, 1])
                        .expect("a part of the matrix")
                };
                let scale = 1.0 / (size as f32).sqrt();
                product(kernels, part(0), part(1).transposed(), scale, scores);
                scores.chunks_exact_mut(n).for_each(|row| {
                    Softmax::new_mut(row).dispatch();
                });
                let weights = NdTensorView::from_data([n, n], scores.as_slice());
                product(kernels, weights, part(2), 1.0, mixed);
                let rows = context[first * self.width..].chunks_exact_mut(self.width);
                for (out, mixed) in rows.zip(mixed.chunks_exact(size)) {
                    out[head * size..][..size].copy_from_slice(mixed);
                }
            }
            first += n;
        }
        layer.attended.apply(kernels, context, buffers, out);
        layer.attended_norm.add(x, out);
    }

    fn pool<'t>(&self, tokens: impl Iterator<Item = &'t [f32]>) -> Vec<f32> {
        let mut sum = vec![0.0f32; self.width];
        let tokens = tokens.take(if self.pooling == Pooling::Cls { 1 } else { usize::MAX });
        for token in tokens {
            sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
        }
        let length = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|value| *value /= length);
        sum
    }
}

fn product(kernels: &Kernels, a: Matrix<f32>, b: Matrix<f32>, alpha: f32, out: &mut Vec<f32>) {
    fill(out, a.rows() * b.cols(), |out| {
        let options = GemmUninitOptions { alpha, ..Default::default() };
        let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Unpacked(b));
        kernels.float.gemm_uninit(out, a, b, options).expect("shapes that fit")
    });
}

impl Norm {
    fn apply(&self, row: &mut [f32]) {
        let mean = Sum::new(row).dispatch() / row.len() as f32;
        let variance = SumSquareSub::new(row, mean).dispatch() / row.len() as f32;
        let options = NormalizeOptions {
            pre_scale_bias: mean,
            scale: 1.0 / (variance + self.eps).sqrt(),
            element_scale: Some(&self.scale),
            bias: 0.0,
            element_bias: Some(&self.bias),
        };
        Normalize::new_mut(row, options).dispatch();
    }

    /// Adds `more` to `x` and normalises each row.
    fn add(&self, x: &mut [f32], more: &[f32]) {
        let width = self.scale.len();
        for (row, more) in x.chunks_exact_mut(width).zip(more.chunks_exact(width)) {
            row.iter_mut().zip(more).for_each(|(value, more)| *value += more);
            self.apply(row);
        }
    }
}

/// Reads the parts of a layer.
struct Reader<'a> {
    weights: &'a Weights,
    kernels: &'a Kernels,
    config: &'a Config,
    precision: Precision,
}

impl Reader<'_> {
    fn layer(&self, name: &str) -> Result<Layer> {
        let (width, wide) = (self.config.hidden_size, self.config.intermediate_size);
        let one = |part: &str, inputs, outputs| {
            let (rows, bias) = self.rows(&format!("{name}.{part}"), inputs, outputs)?;
            Ok(Linear::new(self.kernels, &rows, bias, self.precision))
        };
        let (mut rows, mut bias) = (Vec::new(), Vec::new());
        for part in ["query", "key", "value"] {
            let name = format!("{name}.attention.self.{part}");
            let (more_rows, more_bias) = self.rows(&name, width, width)?;
            rows.extend(more_rows);
            bias.extend(more_bias);
        }
        Ok(Layer {
            query_key_value: Linear::new(self.kernels, &rows, bias, self.precision),
            attended: one("attention.output.dense", width, width)?,
            attended_norm: self.norm(&format!("{name}.attention.output.LayerNorm"))?,
            wide: one("intermediate.dense", width, wide)?,
            narrow: one("output.dense", wide, width)?,
            narrow_norm: self.norm(&format!("{name}.output.LayerNorm"))?,
        })
    }

    fn rows(&self, name: &str, inputs: usize, outputs: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let rows = self.weights.all(&format!("{name}.weight"), outputs, inputs)?;
        Ok((rows, self.weights.all(&format!("{name}.bias"), 1, outputs)?))
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        let width = self.config.hidden_size;
        Ok(Norm {
            scale: self.weights.all(&format!("{name}.weight"), 1, width)?,
            bias: self.weights.all(&format!("{name}.bias"), 1, width)?,
            eps: self.config.layer_norm_eps,
        })
    }
}
