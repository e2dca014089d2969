//! The forward pass of a BERT (Devlin and others 2019) over several texts at once.
//!
//! Tokens of all texts stand one behind the other, so that nothing is padded; only attention keeps
//! the texts apart. Runs on the calling thread alone: groups of texts go to several threads.

use crate::error::{Error, Result};
use crate::folder::{Config, Folder, Pooling};
use crate::kernel::Kernel;
use crate::linear::{Buffers, Kernels, Linear, Precision, Then, fill};
use crate::panel::{self, Packed};
use crate::weight::{Table, Weights};
use rten_gemm::{GemmInputA, GemmInputB, GemmUninitOptions};
use rten_tensor::{Matrix, MatrixLayout, NdTensorView};

/// Rows that pass the feed-forward step at once: what lies between its halves stays in the cache.
const WIDE_ROWS: usize = 96;

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
    /// Of the weights' file, where it is known.
    revision: Option<[u8; 32]>,
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

#[cfg(test)]
impl Scratch {
    /// A part of it.
    pub fn room(&mut self) -> &mut Vec<f32> {
        &mut self.x
    }
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
        let all: Vec<_> = (0..config.num_hidden_layers).flat_map(|n| matrices(config, n)).collect();
        let packed = match precision == Precision::Int8 && Kernel::PANELS {
            true => Some(Packed::open(&folder.path, &weights, &all)?),
            false => None,
        };
        let layers = reader.layers(packed.as_ref())?;
        let revision = packed.map(|packed| packed.revision());
        let norm = reader.norm("embeddings.LayerNorm")?;
        let words = weights.table("embeddings.word_embeddings.weight", width)?;
        let positions = weights.table("embeddings.position_embeddings.weight", width)?;
        let kinds = weights.table("embeddings.token_type_embeddings.weight", width)?;
        if weights.rows(&positions) < folder.window || weights.rows(&kinds) == 0 {
            let reason = format!("it knows fewer than {} positions", folder.window);
            return Err(Error::Unsupported { path: folder.path.clone(), reason });
        }
        let (heads, pooling) = (config.num_attention_heads, folder.pooling);
        Ok(Bert { weights, revision, words, positions, kinds, norm, layers, heads, width, pooling })
    }

    /// Tokens that it knows.
    pub fn vocabulary(&self) -> usize {
        self.weights.rows(&self.words)
    }

    /// BLAKE3 of the weights' file.
    pub fn revision(&self) -> [u8; 32] {
        self.revision.unwrap_or_else(|| self.weights.hash())
    }

    /// How the vectors of tokens become one.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        self.width
    }

    /// One vector of length 1 for each text; every text is some tokens, no more than the window
    /// and each within the vocabulary.
    pub fn vectors(&self, texts: &[Vec<u32>], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        self.embed(texts, scratch);
        for layer in &self.layers {
            self.attend(layer, texts, scratch);
            let Scratch { x, fused, out, buffers, kernels, .. } = scratch;
            for rows in x.chunks_mut(WIDE_ROWS * self.width) {
                layer.wide.apply(kernels, rows, Then::Gelu, buffers, fused);
                layer.narrow.apply(kernels, fused, Then::Nothing, buffers, out);
                layer.narrow_norm.add(kernels.own, rows, out);
            }
        }
        let mut rest = scratch.x.as_slice();
        let pooled = texts.iter().map(|text| {
            let (own, others) = rest.split_at(text.len() * self.width);
            rest = others;
            self.pool(own)
        });
        pooled.collect()
    }

    /// Words, positions and kinds of all tokens.
    fn embed(&self, texts: &[Vec<u32>], scratch: &mut Scratch) {
        let Scratch { x, out: none, kernels, .. } = scratch;
        let n_tokens: usize = texts.iter().map(Vec::len).sum();
        x.clear();
        x.resize(n_tokens * self.width, 0.0);
        none.clear();
        none.resize(self.width, 0.0);
        let tokens = texts.iter().flat_map(|text| text.iter().enumerate());
        for ((position, token), out) in tokens.zip(x.chunks_exact_mut(self.width)) {
            self.weights.add_row(&self.words, *token as usize, out);
            self.weights.add_row(&self.positions, position, out);
            self.weights.add_row(&self.kinds, 0, out);
            self.norm.add(kernels.own, out, none);
        }
    }

    /// Attention of each text's tokens to each other, added to what they were.
    fn attend(&self, layer: &Layer, texts: &[Vec<u32>], scratch: &mut Scratch) {
        let Scratch { x, fused, context, out, scores, mixed, buffers, kernels } = scratch;
        layer.query_key_value.apply(kernels, x, Then::Nothing, buffers, fused);
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
                kernels.own.softmax(scores, n);
                let weights = NdTensorView::from_data([n, n], scores.as_slice());
                product(kernels, weights, part(2), 1.0, mixed);
                let rows = context[first * self.width..].chunks_exact_mut(self.width);
                for (out, mixed) in rows.zip(mixed.chunks_exact(size)) {
                    out[head * size..][..size].copy_from_slice(mixed);
                }
            }
            first += n;
        }
        layer.attended.apply(kernels, context, Then::Nothing, buffers, out);
        layer.attended_norm.add(kernels.own, x, out);
    }

    /// The vector of a text from those of its tokens.
    fn pool(&self, tokens: &[f32]) -> Vec<f32> {
        let mut sum = vec![0.0f32; self.width];
        let wanted = if self.pooling == Pooling::Cls { 1 } else { usize::MAX };
        let tokens = tokens.chunks_exact(self.width).take(wanted);
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
    /// Adds `more` to `x` and normalises each row.
    fn add(&self, kernel: Kernel, x: &mut [f32], more: &[f32]) {
        let width = self.scale.len();
        for (row, more) in x.chunks_exact_mut(width).zip(more.chunks_exact(width)) {
            kernel.norm(row, more, &self.scale, &self.bias, self.eps);
        }
    }
}

/// The matrices of a layer, in the order of its steps.
fn matrices(config: &Config, layer: usize) -> [panel::Matrix; 4] {
    let (width, wide) = (config.hidden_size, config.intermediate_size);
    let matrix = |names: &[&str], inputs, outputs| panel::Matrix {
        parts: names.iter().map(|n| (format!("encoder.layer.{layer}.{n}"), outputs)).collect(),
        inputs,
    };
    let [query, key, value] =
        ["attention.self.query", "attention.self.key", "attention.self.value"];
    [
        matrix(&[query, key, value], width, width),
        matrix(&["attention.output.dense"], width, width),
        matrix(&["intermediate.dense"], width, wide),
        matrix(&["output.dense"], wide, width),
    ]
}

/// Reads the parts of a layer.
struct Reader<'a> {
    weights: &'a Weights,
    kernels: &'a Kernels,
    config: &'a Config,
    precision: Precision,
}

impl Reader<'_> {
    /// All layers, from the shared file of panels where there is one.
    fn layers(&self, packed: Option<&Packed>) -> Result<Vec<Layer>> {
        (0..self.config.num_hidden_layers).map(|n| self.layer(n, packed)).collect()
    }

    fn layer(&self, n: usize, packed: Option<&Packed>) -> Result<Layer> {
        let matrices = matrices(self.config, n);
        let linear = |at: usize| match packed {
            Some(packed) => Linear::packed(packed, 4 * n + at, &matrices[at], self.weights),
            None => Linear::copied(self.kernels, &matrices[at], self.weights, self.precision),
        };
        Ok(Layer {
            query_key_value: linear(0)?,
            attended: linear(1)?,
            attended_norm: self.norm(&format!("encoder.layer.{n}.attention.output.LayerNorm"))?,
            wide: linear(2)?,
            narrow: linear(3)?,
            narrow_norm: self.norm(&format!("encoder.layer.{n}.output.LayerNorm"))?,
        })
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
