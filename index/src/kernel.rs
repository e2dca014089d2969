//! The inner loops of a scan over vectors: sums of products, and bits that differ. The same portable
//! code is compiled a second time for wider registers, and which one runs is found out once.
//!
//! Pure but for that. The only other unsafe code of this crate is the mapping of files.

/// Sum of the products of 8-bit and 16-bit values.
#[inline(always)]
fn dot_of(row: &[u8], query: &[i16]) -> i32 {
    // Both fit 16 bits: pairs of them are multiplied and added by one instruction.
    row.iter().zip(query).map(|(a, b)| i32::from(i16::from(*a as i8)) * i32::from(*b)).sum()
}

/// Appends, for each of `rows` (places in `bits`, `n_words` words each), how many bits differ from
/// `query`.
#[inline(always)]
fn differ_of(bits: &[u64], rows: impl Iterator<Item = u32>, query: &[u64], out: &mut Vec<u16>) {
    let n_words = query.len();
    out.extend(rows.map(|row| {
        let own = &bits[row as usize * n_words..][..n_words];
        own.iter().zip(query).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() as u16
    }));
}

/// What this processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// What every processor of the architecture can.
    Portable,
    /// 256 bits at once, and the number of set bits of a word in one instruction.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernel {
    /// The widest one that runs here.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            return Kernel::Avx2;
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
        }
    }

    /// How many bits differ from `query` in each of `rows`, appended to `out`.
    pub fn differ(
        self,
        bits: &[u64],
        rows: impl Iterator<Item = u32>,
        query: &[u64],
        out: &mut Vec<u16>,
    ) {
        match self {
            Kernel::Portable => differ_of(bits, rows, query, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code)]
            Kernel::Avx2 => unsafe { avx2::differ(bits, rows, query, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    #[target_feature(enable = "avx2,popcnt")]
    pub fn dot(row: &[u8], query: &[i16]) -> i32 {
        super::dot_of(row, query)
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub fn differ(
        bits: &[u64],
        rows: impl Iterator<Item = u32>,
        query: &[u64],
        out: &mut Vec<u16>,
    ) {
        super::differ_of(bits, rows, query, out);
    }
}

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
            let (mut one, mut other) = (Vec::new(), Vec::new());
            best.differ(&bits, 0..10, &asked, &mut one);
            Kernel::Portable.differ(&bits, 0..10, &asked, &mut other);
            prop_assert_eq!(&one, &other);
            let first: u32 = (0..6).map(|at| (bits[at] ^ asked[at]).count_ones()).sum();
            prop_assert_eq!(u32::from(one[0]), first);
        }
    }
}
