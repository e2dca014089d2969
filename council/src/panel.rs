//! Whom to ask, and when it is enough.

use crate::posterior::{Shape, Voter, posterior};

/// Whether nobody else need be asked. `votes` are those asked so far, `None` for one who abstained:
/// ability and cluster; `left` the abilities of those who could still be asked. At least two must
/// have answered; then it is enough when the posterior of the best cluster is at `enough`, or when
/// no answer of the others could change which cluster wins.
pub fn stop(votes: &[Option<(f64, usize)>], left: &[f64], shape: Shape, enough: f64) -> bool {
    let mut names: Vec<usize> = Vec::new();
    let mut voters = Vec::new();
    for &(ability, name) in votes.iter().flatten() {
        let known = names.iter().position(|n| *n == name);
        let cluster = known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        voters.push(Voter { ability, cluster, share: 1.0 });
    }
    if left.is_empty() {
        return true;
    }
    if voters.len() < 2 {
        return false;
    }
    let found = posterior(&voters, names.len(), shape);
    let best = (0..names.len()).max_by(|a, b| found.right[*a].total_cmp(&found.right[*b]));
    let Some(best) = best else { return false };
    found.right[best] >= enough || settled(&voters, names.len(), best, left, shape)
}

/// Whether `best` wins even if all who are left agree on the same other answer, known or new.
fn settled(voters: &[Voter], n: usize, best: usize, left: &[f64], shape: Shape) -> bool {
    (0..=n).filter(|other| *other != best).all(|other| {
        let against =
            left.iter().map(|ability| Voter { ability: *ability, cluster: other, share: 1.0 });
        let all: Vec<Voter> = voters.iter().copied().chain(against).collect();
        let found = posterior(&all, n + 1, shape);
        found.right[best] > found.right[other]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { alpha: 4.0, sigma: 1.8 };

    #[test]
    fn it_asks_until_it_is_enough() {
        let stop = |votes: &[Option<(f64, usize)>], left: &[f64]| stop(votes, left, SHAPE, 0.8);
        assert!(!stop(&[Some((3.0, 0))], &[1.0]), "one answer is no council");
        assert!(stop(&[Some((3.0, 0)), Some((2.0, 0))], &[1.0, 1.0]));
        assert!(!stop(&[Some((1.0, 0)), Some((1.0, 1))], &[1.0, 1.0]));
        assert!(!stop(&[Some((1.0, 0)), None], &[1.0, 1.0]));
        assert!(stop(&[Some((1.0, 0)), Some((1.0, 1))], &[]), "nobody is left");
        // Two against one, and the last one knows little.
        let votes = [Some((0.3, 0)), Some((0.3, 0)), Some((0.3, 1))];
        assert!(stop(&votes, &[-3.0]));
    }
}
