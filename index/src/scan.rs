//! How near many rows are to a query: all of them measured, or those that may be among the nearest
//! by their signs, and the others as their signs let expect.
//!
//! Invariant: the cosine of a row is the same whatever a filter lets through.

use crate::vector::{QueryVector, Rows};

/// Rows from which on signs are looked at first: below, measuring all is as fast.
const SIGNS_FROM: usize = 20_000;
/// Rows whose cosine is measured then, at least.
const MEASURED_MIN: usize = 1_500;
/// One more for this many rows: the nearest ten stand deeper among more.
const ROWS_EACH: usize = 200;

/// The least number of differing signs that some `n` rows have at most.
fn border(differences: &[u16], n: usize) -> u16 {
    let most = differences.iter().copied().max().unwrap_or_default();
    // In two turns: neighbours often count the same number, and would wait for each other.
    let mut counts = vec![[0usize; 2]; most as usize + 1];
    for (at, d) in differences.iter().enumerate() {
        counts[*d as usize][at % 2] += 1;
    }
    let mut sum = 0;
    let reached = counts.iter().position(|[even, odd]| {
        sum += even + odd;
        sum >= n
    });
    reached.map_or(most, |border| border as u16)
}

/// By number of differing signs: the cosine that vectors in random directions would have, at most
/// `least` (Charikar 2002: signs differ in proportion to the angle).
fn expected(dimensions: usize, least: f32) -> Vec<f32> {
    let angle = |differing: usize| std::f32::consts::PI * differing as f32 / dimensions as f32;
    (0..=dimensions).map(|differing| angle(differing).cos().min(least)).collect()
}

impl Rows {
    /// The cosine of each of `rows`, which must be there, to a query: measured of those that may be
    /// among the nearest, for the others what their signs let expect, which is never above a
    /// measured one.
    pub fn cosines(&self, rows: &[u32], query: &QueryVector) -> Vec<f32> {
        if rows.len() < SIGNS_FROM {
            return self.all_cosines(rows, query);
        }
        self.near_cosines(rows, query, MEASURED_MIN.max(rows.len() / ROWS_EACH))
    }

    /// All of them measured.
    pub fn all_cosines(&self, rows: &[u32], query: &QueryVector) -> Vec<f32> {
        rows.iter().map(|row| self.cosine(*row, query)).collect()
    }

    /// Some `n` of them measured, the nearest by their signs.
    pub fn near_cosines(&self, rows: &[u32], query: &QueryVector, n: usize) -> Vec<f32> {
        // All rows one behind the other, also those that no passage has any more: to leave them out
        // would cost more than to count them.
        let Some(by_row) = self.differences(query) else {
            return self.all_cosines(rows, query);
        };
        let differences: Vec<u16> = rows.iter().map(|row| by_row[*row as usize]).collect();
        let border = border(&differences, n);
        let mut measured: Vec<(u32, f32)> = Vec::with_capacity(n);
        for (at, _) in differences.iter().enumerate().filter(|(_, d)| **d <= border) {
            measured.push((at as u32, self.cosine(rows[at], query)));
        }
        let least = measured.iter().fold(1.0f32, |least, (_, cosine)| least.min(*cosine));
        let expected = expected(self.dimensions(), least);
        let mut out: Vec<f32> = differences.iter().map(|d| expected[*d as usize]).collect();
        measured.iter().for_each(|(at, cosine)| out[*at as usize] = *cosine);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::{append, tests::unit};

    #[test]
    fn signs_lead_to_the_nearest() {
        let dir = tempfile::tempdir().unwrap();
        // Neighbourhoods: random directions alone have no nearest ones that mean anything.
        let near = |centre: u32, seed: u32| -> Vec<f32> {
            let noise = unit(seed, 128).into_iter().map(|value| value * 0.8);
            let mut sum: Vec<f32> =
                unit(centre, 128).iter().zip(noise).map(|(a, b)| a + b).collect();
            let length = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
            sum.iter_mut().for_each(|v| *v /= length);
            sum
        };
        let vectors: Vec<Vec<f32>> = (1..3_000).map(|seed| near(seed % 60, seed + 100)).collect();
        append(dir.path(), 1, 128, 0, &vectors).unwrap();
        let rows = Rows::open(dir.path(), 1, 128, vectors.len() as u32).unwrap();
        let all: Vec<u32> = (0..vectors.len() as u32).collect();
        let mut kept = 0;
        for probe in 0..40 {
            let query = QueryVector::new(&near(probe, 9_000 + probe));
            let top = |cosines: Vec<f32>| {
                let mut order: Vec<usize> = (0..cosines.len()).collect();
                order.sort_by(|a, b| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b)));
                order.truncate(10);
                order
            };
            let truth = top(rows.all_cosines(&all, &query));
            let found = top(rows.near_cosines(&all, &query, 300));
            kept += truth.iter().filter(|row| found.contains(row)).count();
            // No estimate stands above what was measured.
            let (exact, mixed) =
                (rows.all_cosines(&all, &query), rows.near_cosines(&all, &query, 300));
            let least = exact.iter().zip(&mixed).filter(|(a, b)| a == b).map(|(a, _)| *a);
            let least = least.fold(1.0, f32::min);
            assert!(exact.iter().zip(&mixed).all(|(a, b)| a == b || *b <= least));
        }
        assert!(kept >= 396, "{kept} of 400");
    }

    #[test]
    fn the_border_takes_in_enough_and_expectations_fall() {
        assert_eq!(border(&[5, 3, 9, 3], 2), 3);
        assert_eq!(border(&[5, 3, 9, 3], 3), 5);
        assert_eq!(border(&[5, 3], 100), 5);
        assert_eq!(border(&[], 1), 0);
        let expected = expected(64, 0.5);
        assert!(expected.is_sorted_by(|a, b| a >= b) && expected[0] == 0.5);
    }
}
