//! How near many rows are to a query: all of them measured, or those that may be among the nearest
//! by their signs, and the others as their signs let expect.
//!
//! Invariant: the cosine of a row is the same whatever a filter lets through.

use crate::vector::{QueryVector, Rows};
use std::ops::Range;

/// Rows from which on signs are looked at first: below, measuring all is as fast.
const SIGNS_FROM: usize = 20_000;
/// Rows whose cosine is measured then, at least.
const MEASURED_MIN: usize = 1_500;
/// One more for this many rows: the nearest ten stand deeper among more.
const ROWS_EACH: usize = 200;

/// Rows that are asked for before they are measured.
const AHEAD: usize = 12;

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

/// How near some rows are to a query, by their place in the list that was asked for.
pub enum Cosines {
    /// All of them measured.
    All(Vec<f32>),
    /// Measured where few signs differ.
    Signs(Signs),
}

/// Cosines of those that may be among the nearest; of the others what their signs let expect, which
/// is never above a measured one.
pub struct Signs {
    /// By place.
    differences: Vec<u16>,
    /// Most differences of a row that was measured.
    border: u16,
    /// Place and cosine, by place.
    measured: Vec<(u32, f32)>,
    /// By number of differences.
    expected: Vec<f32>,
}

impl Cosines {
    /// Of all places.
    pub fn into_vec(self) -> Vec<f32> {
        match self {
            Cosines::All(cosines) => cosines,
            Cosines::Signs(signs) => {
                let expected = |d: &u16| signs.expected[*d as usize];
                let mut out: Vec<f32> = signs.differences.iter().map(expected).collect();
                signs.measured.iter().for_each(|(at, cosine)| out[*at as usize] = *cosine);
                out
            }
        }
    }
}

impl Signs {
    /// Of one place.
    pub fn at(&self, place: usize) -> f32 {
        let differences = self.differences[place];
        let known = self.measured.binary_search_by_key(&(place as u32), |(at, _)| *at);
        match known {
            Ok(at) if differences <= self.border => self.measured[at].1,
            _ => self.expected[differences as usize],
        }
    }

    /// The nearest three of neighbouring places and the best of all that were measured, for one
    /// stretch of places after the other, which must come in their order.
    pub fn stretches(&self) -> Stretches<'_> {
        Stretches { signs: self, next: 0 }
    }
}

/// Goes over the places of [`Signs`] once.
pub struct Stretches<'s> {
    signs: &'s Signs,
    /// The first measured place that was not passed.
    next: usize,
}

impl Stretches<'_> {
    /// The cosines of the nearest three in a stretch that begins behind the last one, in no order;
    /// fewer where there are fewer.
    pub fn nearest(&mut self, stretch: Range<usize>) -> impl Iterator<Item = f32> {
        let Signs { differences, border, measured, expected } = self.signs;
        let rest = &measured[self.next..];
        let n = rest.iter().take_while(|(at, _)| (*at as usize) < stretch.end).count();
        self.next += n;
        // What was measured is nearer than what was not.
        let mut best = [-1.0f32; 3];
        rest[..n].iter().for_each(|(_, cosine)| {
            let (first, second) = (best[0].max(*cosine), best[0].min(*cosine));
            let (second, third) = (best[1].max(second), best[1].min(second));
            best = [first, second, best[2].max(third)];
        });
        let n_best = n.min(3);
        let wanted = (3 - n_best).min(stretch.len() - n);
        let more = match wanted {
            0 => [0; 3],
            _ => three_least(&differences[stretch], *border),
        };
        let more = more.into_iter().take(wanted).map(|d| expected[d as usize]);
        best.into_iter().take(n_best).chain(more)
    }
}

/// The three least numbers above `border`, the greatest possible one where there are fewer.
fn three_least(differences: &[u16], border: u16) -> [u16; 3] {
    let mut best = [u16::MAX; 3];
    for d in differences {
        // Chosen, not branched on: nobody can foresee it.
        let d = if *d <= border { u16::MAX } else { *d };
        let (first, second) = (best[0].min(d), best[0].max(d));
        let (second, third) = (best[1].min(second), best[1].max(second));
        best = [first, second, best[2].min(third)];
    }
    best
}

impl Rows {
    /// The cosine of each of `rows`, which must be there, to a query: measured of those that may be
    /// among the nearest, for the others what their signs let expect.
    pub fn cosines(&self, rows: &[u32], query: &QueryVector) -> Cosines {
        if rows.len() < SIGNS_FROM {
            return Cosines::All(self.all_cosines(rows, query));
        }
        self.near_cosines(rows, query, MEASURED_MIN.max(rows.len() / ROWS_EACH))
    }

    /// All of them measured.
    pub fn all_cosines(&self, rows: &[u32], query: &QueryVector) -> Vec<f32> {
        rows.iter().map(|row| self.cosine(*row, query)).collect()
    }

    /// Some `n` of them measured, the nearest by their signs.
    pub fn near_cosines(&self, rows: &[u32], query: &QueryVector, n: usize) -> Cosines {
        // All rows one behind the other, also those between that no passage has any more: to leave
        // them out would cost more than to count them.
        let first = rows.iter().copied().min().unwrap_or_default();
        let end = rows.iter().max().map_or(0, |last| last + 1);
        let Some(by_row) = self.differences(first..end, query) else {
            return Cosines::All(self.all_cosines(rows, query));
        };
        let differences: Vec<u16> =
            rows.iter().map(|row| by_row[(*row - first) as usize]).collect();
        let border = border(&differences, n);
        let near = at_most(&differences, border);
        let mut measured: Vec<(u32, f32)> = Vec::with_capacity(near.len());
        for (at, place) in near.iter().enumerate() {
            // They lie anywhere in a file larger than the cache.
            if let Some(later) = near.get(at + AHEAD) {
                self.fetch(rows[*later as usize]);
            }
            measured.push((*place, self.cosine(rows[*place as usize], query)));
        }
        let least = measured.iter().fold(1.0f32, |least, (_, cosine)| least.min(*cosine));
        let expected = expected(self.dimensions(), least);
        Cosines::Signs(Signs { differences, border, measured, expected })
    }
}

/// The places of numbers up to `border`.
fn at_most(differences: &[u16], border: u16) -> Vec<u32> {
    let mut places = vec![0u32; differences.len()];
    let mut n = 0;
    for (place, d) in differences.iter().enumerate() {
        places[n] = place as u32;
        n += usize::from(*d <= border);
    }
    places.truncate(n);
    places
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
            let found = top(rows.near_cosines(&all, &query, 300).into_vec());
            kept += truth.iter().filter(|row| found.contains(row)).count();
            // No estimate stands above what was measured.
            let near = rows.near_cosines(&all, &query, 300);
            let Cosines::Signs(signs) = &near else { panic!("no signs") };
            let each: Vec<f32> = (0..all.len()).map(|place| signs.at(place)).collect();
            // Stretches of all lengths, one of them empty.
            let (mut start, mut stretches) = (0, signs.stretches());
            for len in (0..).take_while(|len| len * (len + 1) / 2 <= all.len()) {
                let mut found: Vec<f32> = stretches.nearest(start..start + len).collect();
                found.sort_by(|a, b| b.total_cmp(a));
                let mut truth = each[start..start + len].to_vec();
                truth.sort_by(|a, b| b.total_cmp(a));
                truth.truncate(3);
                assert_eq!(found, truth);
                start += len;
            }
            let (exact, mixed) = (rows.all_cosines(&all, &query), near.into_vec());
            assert_eq!(each, mixed);
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
