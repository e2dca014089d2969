//! What the processor can do at most: sums of products with everything in registers, on all cores.
//! Embedding is compared with it.

use serde_json::json;
use std::time::Instant;

/// Registers that are added to side by side: more than an instruction takes cycles.
const SUMS: usize = 16;
const ROUNDS: usize = 20_000_000;

/// `bench peak`: one JSON line, in 10^9 operations a second; a product and its sum are two.
pub fn run() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let on_all = |work: fn() -> f64| -> f64 {
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            parts.into_iter().map(|part| part.join().expect("a thread")).sum()
        })
    };
    println!(
        "{}",
        json!({"threads": threads, "f32_gflops": on_all(floats), "int8_gops": on_all(bytes)})
    );
}

/// Operations a second of `lanes` products and sums in each step of each register.
fn rate(lanes: usize, start: Instant) -> f64 {
    (ROUNDS * SUMS * lanes * 2) as f64 / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(target_arch = "x86_64")]
fn floats() -> f64 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f")]
    fn wide() -> f32 {
        let (a, b) = (_mm512_set1_ps(0.999), _mm512_set1_ps(1e-3));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_ps(*sum)).sum()
    }
    #[target_feature(enable = "avx2,fma")]
    fn narrow() -> f32 {
        let (a, b) = (_mm256_set1_ps(0.999), _mm256_set1_ps(1e-3));
        let mut sums = [_mm256_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        sums.iter().map(|sum| _mm256_cvtss_f32(*sum)).sum()
    }
    let start = Instant::now();
    // SAFETY: each is called where its features were found.
    #[allow(unsafe_code)]
    let lanes = unsafe {
        if is_x86_feature_detected!("avx512f") {
            std::hint::black_box(wide());
            16
        } else if is_x86_feature_detected!("fma") {
            std::hint::black_box(narrow());
            8
        } else {
            return 0.0;
        }
    };
    rate(lanes, start)
}

#[cfg(target_arch = "x86_64")]
fn bytes() -> f64 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn wide(seed: i32) -> i32 {
        let (a, b) = (_mm512_set1_epi8(3), _mm512_set1_epi32(seed));
        let mut sums = [_mm512_setzero_si512(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_epi32(*sum)).fold(0, i32::wrapping_add)
    }
    #[target_feature(enable = "avx2")]
    fn narrow(seed: i32) -> i32 {
        let (a, b, ones) = (_mm256_set1_epi8(3), _mm256_set1_epi32(seed), _mm256_set1_epi16(1));
        let mut sums = [_mm256_setzero_si256(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                // The first product depends on the sum, so that none is made only once.
                let pairs = _mm256_maddubs_epi16(_mm256_xor_si256(a, *sum), b);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        sums.iter().map(|sum| _mm256_extract_epi32::<0>(*sum)).fold(0, i32::wrapping_add)
    }
    let start = Instant::now();
    let seed = std::hint::black_box(0x0102_0304);
    // SAFETY: each is called where its features were found.
    #[allow(unsafe_code)]
    let lanes = unsafe {
        if is_x86_feature_detected!("avx512vnni") {
            std::hint::black_box(wide(seed));
            64
        } else if is_x86_feature_detected!("avx2") {
            std::hint::black_box(narrow(seed));
            32
        } else {
            return 0.0;
        }
    };
    rate(lanes, start)
}

#[cfg(not(target_arch = "x86_64"))]
fn floats() -> f64 {
    0.0
}

#[cfg(not(target_arch = "x86_64"))]
fn bytes() -> f64 {
    0.0
}
