//! The inner loops of a scan over vectors: sums of products, and bits that differ. The same
//! portable code is compiled again for wider registers, and which one runs is found out once.
//!
//! Pure but for that. The only other unsafe code of this crate is the mapping of files.

/// Sum of the products of 8-bit and 16-bit values.
#[inline(always)]
fn dot_of(row: &[u8], query: &[i16]) -> i32 {
    // Both fit 16 bits: pairs of them are multiplied and added by one instruction.
    row.iter().zip(query).map(|(a, b)| i32::from(i16::from(*a as i8)) * i32::from(*b)).sum()
}

/// Sum of the products of 8-bit values.
#[inline(always)]
fn between_of(row: &[u8], other: &[u8]) -> i32 {
    let wide = |byte: u8| i16::from(byte as i8);
    row.iter().zip(other).map(|(a, b)| i32::from(wide(*a)) * i32::from(wide(*b))).sum()
}

/// Appends, for each row of `bits` (as many words as `query` has), how many bits differ from
/// `query`.
#[inline(always)]
fn differ_of(bits: &[u64], query: &[u64], out: &mut Vec<u16>) {
    // With a number of words that is known beforehand the inner loop has no branch.
    match query.len() {
        0 => {}
        6 => differ_by::<6>(bits, query, out),
        12 => differ_by::<12>(bits, query, out),
        16 => differ_by::<16>(bits, query, out),
        n => out.extend(bits.chunks_exact(n).map(|own| {
            own.iter().zip(query).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() as u16
        })),
    }
}

#[inline(always)]
fn differ_by<const N: usize>(bits: &[u64], query: &[u64], out: &mut Vec<u16>) {
    let Ok(query) = <&[u64; N]>::try_from(query) else { return };
    out.extend(bits.as_chunks::<N>().0.iter().map(|own| {
        let mut sum = 0;
        for at in 0..N {
            sum += (own[at] ^ query[at]).count_ones();
        }
        sum as u16
    }));
}

/// Has bytes brought near the processor, where it can be asked to.
#[inline(always)]
pub fn fetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every processor of the architecture has it, and the address is of a slice.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// What this processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// What every processor of the architecture can.
    Portable,
    /// 256 bits at once, and the number of set bits of a word in one instruction.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits at once, and the numbers of set bits of eight words.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The widest one that runs here.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vpopcntdq");
            return if wide { Kernel::Avx512 } else { Kernel::Avx2 };
        }
        Kernel::Portable
    }

    /// Sum of the products of 8-bit and 16-bit values.
    #[inline]
    pub fn dot(self, row: &[u8], query: &[i16]) -> i32 {
        match self {
            Kernel::Portable => dot_of(row, query),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `best` found the features, and nothing else makes this variant.
            #[allow(unsafe_code)]
            Kernel::Avx2 => unsafe { avx2::dot(row, query) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx512 => unsafe { avx512::dot(row, query) },
        }
    }

    /// Sum of the products of 8-bit values.
    #[inline]
    pub fn between(self, row: &[u8], other: &[u8]) -> i32 {
        match self {
            Kernel::Portable => between_of(row, other),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx2 => unsafe { avx2::between(row, other) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx512 => unsafe { avx512::between(row, other) },
        }
    }

    /// How many bits differ from `query` in each row of `bits`, appended to `out`.
    pub fn differ(self, bits: &[u64], query: &[u64], out: &mut Vec<u16>) {
        match self {
            Kernel::Portable => differ_of(bits, query, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx2 => unsafe { avx2::differ(bits, query, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx512 => unsafe { avx512::differ(bits, query, out) },
        }
    }
}

/// The same code once more, for processors with these features.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($name:ident, $features:literal) => {
        mod $name {
            #[target_feature(enable = $features)]
            pub fn dot(row: &[u8], query: &[i16]) -> i32 {
                super::dot_of(row, query)
            }

            #[target_feature(enable = $features)]
            pub fn between(row: &[u8], other: &[u8]) -> i32 {
                super::between_of(row, other)
            }

            #[target_feature(enable = $features)]
            pub fn differ(bits: &[u64], query: &[u64], out: &mut Vec<u16>) {
                super::differ_of(bits, query, out);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled!(avx2, "avx2,popcnt");
#[cfg(target_arch = "x86_64")]
compiled!(avx512, "avx2,popcnt,avx512f,avx512bw,avx512vl,avx512vpopcntdq");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_counts_alike(
            row in prop::collection::vec(any::<u8>(), 0..400),
            query in prop::collection::vec(-4_095i16..4_096, 400),
            bits in prop::collection::vec(any::<u64>(), 60),
            asked in prop::collection::vec(any::<u64>(), 6),
        ) {
            let best = Kernel::best();
            prop_assert_eq!(best.dot(&row, &query[..row.len()]), dot_of(&row, &query[..row.len()]));
            prop_assert_eq!(best.between(&row, &row), between_of(&row, &row));
            let (mut one, mut other) = (Vec::new(), Vec::new());
            best.differ(&bits, &asked, &mut one);
            Kernel::Portable.differ(&bits, &asked, &mut other);
            prop_assert_eq!(&one, &other);
            let first: u32 = (0..6).map(|at| (bits[at] ^ asked[at]).count_ones()).sum();
            prop_assert_eq!(u32::from(one[0]), first);
        }
    }
}
