//! The inner loops of inference: products of bytes, and what happens to values between them. The
//! same portable code is compiled again for wider registers; products of bytes are written for
//! each instruction that makes them.
//!
//! Pure but for finding out, once, what the processor can. Sums of bytes are exact and equal for
//! every kernel; other values are added in an order that does not depend on it.

/// Outputs of a panel.
pub const PANEL: usize = 64;
/// Inputs whose products one instruction adds.
pub const QUAD: usize = 4;
/// Bytes of a panel for one `QUAD`.
pub const STEP: usize = PANEL * QUAD;
/// Values that are added side by side.
const LANES: usize = 16;

/// A token's values in bytes: `value = (byte - zero) * scale`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Token {
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero: i32,
}

/// What turns the sums of a panel's outputs back into values.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    /// Of each output.
    pub scales: &'a [f32],
    /// Of its weights: what the byte for zero added to every product.
    pub sums: &'a [i32],
    /// Added to its value.
    pub bias: &'a [f32],
}

/// `a * b + c`, in one instruction where there is one: elsewhere it would be a call.
#[inline(always)]
fn add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// e to the power of a value; within 2e-7 of it, from -87 on.
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    /// Added to a value, it leaves the nearest whole number in the last bits.
    const WHOLE: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = add::<FUSED>(x, std::f32::consts::LOG2_E, WHOLE);
    let n = shifted - WHOLE;
    // ln 2 in two parts, so that the product with the first is exact.
    let r = add::<FUSED>(n, 2.121_944_4e-4, add::<FUSED>(n, -0.693_359_4, x));
    let series = add::<FUSED>(1.0 / 720.0, r, 1.0 / 120.0);
    let series = add::<FUSED>(series, r, 1.0 / 24.0);
    let series = add::<FUSED>(series, r, 1.0 / 6.0);
    let series = add::<FUSED>(series, r, 0.5);
    let series = add::<FUSED>(series, r, 1.0);
    let series = add::<FUSED>(series, r, 1.0);
    let power = shifted.to_bits().wrapping_sub(WHOLE.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(power)
}

/// All values as one: `each` takes them in, `join` joins what was taken in side by side.
#[inline(always)]
fn fold(
    values: &[f32],
    first: f32,
    each: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut sums = [first; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for part in whole {
        for at in 0..LANES {
            sums[at] = each(sums[at], part[at]);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = each(*sum, *value);
    }
    let mut n = LANES / 2;
    while n > 0 {
        for at in 0..n {
            sums[at] = join(sums[at], sums[at + n]);
        }
        n /= 2;
    }
    sums[0]
}

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    fold(values, 0.0, |sum, value| sum + of(value), |a, b| a + b)
}

#[inline(always)]
fn most(values: &[f32]) -> f32 {
    let more = |a, b| if a > b { a } else { b };
    fold(values, f32::MIN, more, more)
}

#[inline(always)]
fn least(values: &[f32]) -> f32 {
    let less = |a, b| if a < b { a } else { b };
    fold(values, f32::MAX, less, less)
}

/// `x * (1 + erf(x / sqrt 2)) / 2` of each value (Hendrycks and Gimpel 2016); erf by Abramowitz
/// and Stegun 7.1.26.
#[inline(always)]
fn gelu_of<const FUSED: bool>(values: &mut [f32]) {
    for value in values {
        let x = value.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / add::<FUSED>(x, 0.327_591_1, 1.0);
        let series = add::<FUSED>(t, 1.061_405_4, -1.453_152_1);
        let series = add::<FUSED>(series, t, 1.421_413_8);
        let series = add::<FUSED>(series, t, -0.284_496_72);
        let series = add::<FUSED>(series, t, 0.254_829_6);
        let erf = 1.0 - series * t * exp::<FUSED>(-x * x);
        *value = 0.5 * *value * (1.0 + erf.copysign(*value));
    }
}

/// Makes a row positive with sum 1.
#[inline(always)]
fn softmax_of<const FUSED: bool>(row: &mut [f32]) {
    let most = most(row);
    row.iter_mut().for_each(|value| *value = exp::<FUSED>(*value - most));
    let share = 1.0 / sum(row, |value| value);
    row.iter_mut().for_each(|value| *value *= share);
}

/// Layer normalisation (Ba and others 2016) of `row` plus `more`.
#[inline(always)]
fn norm_of(row: &mut [f32], more: &[f32], scale: &[f32], bias: &[f32], eps: f32) {
    row.iter_mut().zip(more).for_each(|(value, more)| *value += more);
    let n = row.len() as f32;
    let mean = sum(row, |value| value) / n;
    let variance = sum(row, |value| (value - mean) * (value - mean)) / n;
    let part = 1.0 / (variance + eps).sqrt();
    for ((value, scale), bias) in row.iter_mut().zip(scale).zip(bias) {
        *value = (*value - mean) * part * scale + bias;
    }
}

/// A row in bytes.
#[inline(always)]
fn bytes_of(row: &[f32], out: &mut [u8]) -> Token {
    /// As in [`exp`].
    const WHOLE: f32 = 12_582_912.0;
    let least = least(row).min(0.0);
    let most = most(row).max(0.0);
    let scale = ((most - least) / 255.0).max(f32::MIN_POSITIVE);
    let zero = (-least / scale).round();
    let part = 1.0 / scale;
    for (out, value) in out.iter_mut().zip(row) {
        let byte = value * part + zero;
        let byte = if byte < 255.0 { byte } else { 255.0 };
        let byte = if byte > 0.0 { byte } else { 0.0 };
        *out = (byte + WHOLE).to_bits() as u8;
    }
    Token { scale, zero: zero as i32 }
}

/// Sums to values.
#[inline(always)]
fn values_of(sums: &[i32; PANEL], token: Token, outputs: Outputs, out: &mut [f32]) {
    let columns = outputs.scales.iter().zip(outputs.sums).zip(outputs.bias);
    for ((out, sum), ((scale, column), bias)) in out.iter_mut().zip(sums).zip(columns) {
        let sum = sum - token.zero * column;
        *out = sum as f32 * (token.scale * scale) + bias;
    }
}

/// The sums of some tokens' bytes with a panel, one after the other.
#[inline(always)]
fn tile_of<const R: usize>(rows: [&[u32]; R], panel: &[u8], out: &mut [[i32; PANEL]; R]) {
    for (row, sums) in rows.iter().zip(out) {
        *sums = [0; PANEL];
        for (quad, step) in row.iter().zip(panel.as_chunks::<STEP>().0) {
            let quad = quad.to_ne_bytes();
            for (sum, weights) in sums.iter_mut().zip(step.as_chunks::<QUAD>().0) {
                for at in 0..QUAD {
                    *sum += i32::from(quad[at]) * i32::from(weights[at] as i8);
                }
            }
        }
    }
}

/// Tokens in bytes, and what they are multiplied with.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// Row after row, four bytes a word.
    pub words: &'a [u32],
    /// Words of a row.
    pub n_words: usize,
    /// Of each row.
    pub tokens: &'a [Token],
    /// The panels, one behind the other: for each word of a row `STEP` bytes.
    pub panels: &'a [u8],
    pub outputs: Outputs<'a>,
    /// Whether the activation of the feed-forward step follows.
    pub gelu: bool,
}

impl<'a> Product<'a> {
    /// Part of the outputs.
    fn outputs(&self, first: usize) -> Outputs<'a> {
        let Outputs { scales, sums, bias } = self.outputs;
        let part = first..bias.len().min(first + PANEL);
        Outputs { scales: &scales[part.clone()], sums: &sums[part.clone()], bias: &bias[part] }
    }
}

/// What this processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// What every processor of the architecture can.
    Portable,
    /// 256 bits at once.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits at once, four products of bytes added by one instruction.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The same code once more, for processors with these features.
macro_rules! compiled {
    ($name:ident, $tile:path, $fused:literal $(, $features:literal)?) => {
        mod $name {
            use super::{PANEL, Product, STEP, Token};

            $(#[target_feature(enable = $features)])?
            pub fn gelu(values: &mut [f32]) {
                super::gelu_of::<$fused>(values);
            }

            $(#[target_feature(enable = $features)])?
            pub fn softmax(rows: &mut [f32], columns: usize) {
                rows.chunks_exact_mut(columns).for_each(|row| super::softmax_of::<$fused>(row));
            }

            $(#[target_feature(enable = $features)])?
            pub fn norm(row: &mut [f32], more: &[f32], scale: &[f32], bias: &[f32], eps: f32) {
                super::norm_of(row, more, scale, bias, eps);
            }

            $(#[target_feature(enable = $features)])?
            pub fn bytes(row: &[f32], out: &mut [u8]) -> Token {
                super::bytes_of(row, out)
            }

            $(#[target_feature(enable = $features)])?
            fn part<const R: usize>(
                product: &Product,
                first_row: usize,
                panel: (usize, &[u8]),
                out: &mut [f32],
            ) {
                let n = product.n_words;
                let rows = std::array::from_fn(|at| &product.words[(first_row + at) * n..][..n]);
                let mut sums = [[0; PANEL]; R];
                $tile(rows, panel.1, &mut sums);
                let first = panel.0 * PANEL;
                let outputs = product.outputs(first);
                let width = product.outputs.bias.len();
                for (at, sums) in sums.iter().enumerate() {
                    let row = first_row + at;
                    let out = &mut out[row * width + first..][..outputs.bias.len()];
                    super::values_of(sums, product.tokens[row], outputs, out);
                    if product.gelu {
                        super::gelu_of::<$fused>(out);
                    }
                }
            }

            $(#[target_feature(enable = $features)])?
            pub fn multiply(product: &Product, out: &mut [f32]) {
                let n_rows = product.tokens.len();
                for panel in product.panels.chunks_exact(product.n_words * STEP).enumerate() {
                    let mut row = 0;
                    while row < n_rows {
                        match n_rows - row {
                            1 => part::<1>(product, row, panel, out),
                            2 => part::<2>(product, row, panel, out),
                            3 => part::<3>(product, row, panel, out),
                            4 => part::<4>(product, row, panel, out),
                            5 => part::<5>(product, row, panel, out),
                            _ => part::<6>(product, row, panel, out),
                        }
                        row += 6;
                    }
                }
            }
        }
    };
}

compiled!(portable, super::tile_of, false);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, super::tile_avx2, true, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled!(
    avx512,
    super::tile_avx512,
    true,
    "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
);

/// [`tile_of`] by instructions that add two products of bytes, of which neither exceeds 16 bits:
/// weights have 7.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2<const R: usize>(rows: [&[u32]; R], panel: &[u8], out: &mut [[i32; PANEL]; R]) {
    use std::arch::x86_64::*;
    let steps: &[[__m256i; 8]] = bytemuck::cast_slice(panel);
    let ones = _mm256_set1_epi16(1);
    for quarter in 0..4 {
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for (k, step) in steps.iter().enumerate() {
            for row in 0..R {
                let word = _mm256_set1_epi32(rows[row][k] as i32);
                for half in 0..2 {
                    let pairs = _mm256_maddubs_epi16(word, step[2 * quarter + half]);
                    let quads = _mm256_madd_epi16(pairs, ones);
                    sums[row][half] = _mm256_add_epi32(sums[row][half], quads);
                }
            }
        }
        for row in 0..R {
            let sums: [i32; 16] = bytemuck::cast(sums[row]);
            out[row][16 * quarter..][..16].copy_from_slice(&sums);
        }
    }
}

/// [`tile_of`] by the instruction made for it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn tile_avx512<const R: usize>(rows: [&[u32]; R], panel: &[u8], out: &mut [[i32; PANEL]; R]) {
    use std::arch::x86_64::*;
    let steps: &[[__m512i; 4]] = bytemuck::cast_slice(panel);
    let rows = rows.map(|row| &row[..steps.len()]);
    let mut sums = [[_mm512_setzero_si512(); 4]; R];
    for (k, step) in steps.iter().enumerate() {
        for row in 0..R {
            let word = _mm512_set1_epi32(rows[row][k] as i32);
            for part in 0..4 {
                sums[row][part] = _mm512_dpbusd_epi32(sums[row][part], word, step[part]);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        *out = bytemuck::cast(sums);
    }
}

/// Calls the compiled form of a function.
macro_rules! call {
    ($kernel:expr, $name:ident ( $($arg:expr),* )) => {
        match $kernel {
            Kernel::Portable => portable::$name($($arg),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `best` found the features, and nothing else makes this variant.
            #[allow(unsafe_code)]
            Kernel::Avx2 => unsafe { avx2::$name($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx512 => unsafe { avx512::$name($($arg),*) },
        }
    };
}

impl Default for Kernel {
    fn default() -> Self {
        Kernel::best()
    }
}

impl Kernel {
    /// Whether products of bytes are ours to make: elsewhere rten-gemm has instructions that stable
    /// Rust does not offer.
    pub const PANELS: bool = cfg!(target_arch = "x86_64");

    /// All that run here, the widest last.
    fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "other architectures have one")]
        let mut all = vec![Kernel::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(Kernel::Avx2);
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vnni");
            all.extend(wide.then_some(Kernel::Avx512));
        }
        all
    }

    /// The widest one that runs here.
    pub fn best() -> Self {
        Kernel::all().pop().unwrap_or(Kernel::Portable)
    }

    /// Makes each row of `columns` values positive with sum 1.
    pub fn softmax(self, rows: &mut [f32], columns: usize) {
        call!(self, softmax(rows, columns))
    }

    /// The activation of the feed-forward step.
    pub fn gelu(self, values: &mut [f32]) {
        call!(self, gelu(values))
    }

    /// Layer normalisation of `row` plus `more`.
    pub fn norm(self, row: &mut [f32], more: &[f32], scale: &[f32], bias: &[f32], eps: f32) {
        call!(self, norm(row, more, scale, bias, eps))
    }

    /// A row of values in bytes.
    pub fn bytes(self, row: &[f32], out: &mut [u8]) -> Token {
        call!(self, bytes(row, out))
    }

    /// Rows of values, as many as there are tokens.
    pub fn multiply(self, product: &Product, out: &mut [f32]) {
        call!(self, multiply(product, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f32, b: f64) -> bool {
        (f64::from(a) - b).abs() < 3e-6 * b.abs().max(1.0)
    }

    /// The error function by its series (Abramowitz and Stegun 7.1.5) and, far out, its limit.
    fn erf(x: f64) -> f64 {
        if x.abs() > 5.0 {
            return x.signum();
        }
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    proptest! {
        #[test]
        fn every_kernel_adds_the_same_products(
            n_rows in 1usize..14,
            n_words in 1usize..40,
            n_panels in 1usize..3,
            seed in any::<u32>(),
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state
            };
            let words: Vec<u32> = (0..n_rows * n_words).map(|_| next()).collect();
            let weights = (0..n_panels * n_words * STEP).map(|_| (next() % 127) as i8 - 63);
            let weights: Vec<u8> = weights.map(|weight| weight as u8).collect();
            // As mapped files are: at the border of the widest register.
            let mut map = memmap2::MmapMut::map_anon(weights.len()).expect("memory");
            map.copy_from_slice(&weights);
            let width = n_panels * PANEL - (next() % 9) as usize;
            let scales = vec![1.0; width];
            let bias = vec![0.0; width];
            let sums: Vec<i32> = (0..width).map(|_| (next() % 100) as i32 - 50).collect();
            let token = |_| Token { scale: 1.0, zero: (next() % 256) as i32 };
            let tokens: Vec<Token> = (0..n_rows).map(token).collect();
            let outputs = Outputs { scales: &scales, sums: &sums, bias: &bias };
            let product = Product {
                words: &words, n_words, tokens: &tokens, panels: &map, outputs, gelu: false,
            };
            for kernel in Kernel::all() {
                let mut out = vec![f32::NAN; n_rows * width];
                kernel.multiply(&product, &mut out);
                for (at, found) in out.iter().enumerate() {
                    let (row, output) = (at / width, at % width);
                    let bytes: &[u8] = bytemuck::cast_slice(&words[row * n_words..][..n_words]);
                    let first = output / PANEL * n_words * STEP + output % PANEL * QUAD;
                    let truth: i32 = (0..bytes.len())
                        .map(|at| {
                            let weight = weights[first + at / QUAD * STEP + at % QUAD] as i8;
                            (i32::from(bytes[at]) - tokens[row].zero) * i32::from(weight)
                        })
                        .sum();
                    let zero = tokens[row].zero;
                    let own: i32 = (0..bytes.len())
                        .map(|at| i32::from(weights[first + at / QUAD * STEP + at % QUAD] as i8))
                        .sum();
                    // The sums handed over are any numbers here, not those of the weights.
                    let wanted = truth + zero * own - zero * sums[output];
                    prop_assert_eq!(*found, wanted as f32, "{:?}", kernel);
                }
            }
        }

        #[test]
        fn values_between_products_are_what_they_should_be(
            row in prop::collection::vec(-9f32..9.0, 1..70),
        ) {
            for kernel in Kernel::all() {
                let mut gelu = row.clone();
                kernel.gelu(&mut gelu);
                for (found, x) in gelu.iter().zip(&row) {
                    let x = f64::from(*x);
                    let truth = 0.5 * x * (1.0 + erf(x / 2f64.sqrt()));
                    prop_assert!(close(*found, truth), "{:?} {} {}", kernel, x, found);
                }
                let mut share = row.clone();
                kernel.softmax(&mut share, row.len());
                let whole: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                for (found, x) in share.iter().zip(&row) {
                    prop_assert!(close(*found, f64::from(*x).exp() / whole), "{:?}", kernel);
                }
                let mut bytes = vec![0; row.len()];
                let token = kernel.bytes(&row, &mut bytes);
                for (byte, x) in bytes.iter().zip(&row) {
                    let back = (i32::from(*byte) - token.zero) as f32 * token.scale;
                    prop_assert!((back - x).abs() <= token.scale * 1.001, "{:?}", kernel);
                }
                let (ones, twos) = (vec![1.0; row.len()], vec![2.0; row.len()]);
                let mut normal = row.clone();
                kernel.norm(&mut normal, &ones, &twos, &ones, 1e-5);
                let n = row.len() as f64;
                let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
                let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
                for (found, x) in normal.iter().zip(&row) {
                    let truth = 2.0 * (f64::from(*x) - mean) / (variance + 1e-5).sqrt() + 1.0;
                    prop_assert!((f64::from(*found) - truth).abs() < 2e-3, "{:?}", kernel);
                }
            }
        }
    }
}
