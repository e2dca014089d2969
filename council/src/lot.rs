//! Whom to believe of equals: by lot.
//!
//! A name that sorts early would win wherever nobody agrees, and a panel would be as good as the
//! first of its names. Invariant: a lot hangs on question and voter alone, so that the same case
//! gives the same verdict, in whatever order the answers stand.

/// The lots of one question.
#[derive(Clone, Copy, Debug)]
pub struct Lots(u64);

/// FNV-1a, going on from `hash`.
fn fold(hash: u64, text: &str) -> u64 {
    text.bytes()
        .fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The last steps of SplitMix64: every bit of the input moves every bit that comes out.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Lots {
    /// Of a question, which may be empty.
    pub fn of(question: &str) -> Self {
        Lots(fold(0xcbf2_9ce4_8422_2325, question))
    }

    /// The lot of a voter, named by its weights; the lowest is believed.
    pub fn draw(self, voter: &str) -> u64 {
        mix(fold(fold(self.0, "\0"), voter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voter_is_first_equally_often_and_always_in_the_same_question() {
        let voters = ["alpha", "beta", "gamma", "delta", "omega"];
        let mut first = [0; 5];
        for n in 0..5_000 {
            let lots = Lots::of(&format!("Question {n}?"));
            let best = (0..5).min_by_key(|at| lots.draw(voters[*at])).unwrap();
            first[best] += 1;
            assert_eq!(lots.draw("beta"), Lots::of(&format!("Question {n}?")).draw("beta"));
        }
        // A thousand each; five standard deviations are 141.
        assert!(first.iter().all(|n| (859..=1_141).contains(n)), "{first:?}");
        assert_ne!(Lots::of("ab").draw("c"), Lots::of("a").draw("bc"));
    }
}
