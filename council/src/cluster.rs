//! Which answers are the same.
//!
//! Exact kinds: by equality. Phrases: by similarity with average linkage; the caller may give
//! similarities of meaning beside those of words.

use crate::number::Unit;
use crate::text::{Content, Filed, signs_differ};

/// Answers that say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Places of its answers, rising; the first one stands for it.
    pub members: Vec<usize>,
}

/// Above this two groups of phrases are one.
pub const SAME: f64 = 0.5;

/// By equality of values, in the order in which they come.
pub fn equal(values: &[&str]) -> Vec<Cluster> {
    let mut out: Vec<Cluster> = Vec::new();
    for (at, value) in values.iter().enumerate() {
        match out.iter_mut().find(|cluster| values[cluster.members[0]] == *value) {
            Some(cluster) => cluster.members.push(at),
            None => out.push(Cluster { members: vec![at] }),
        }
    }
    out
}

/// Answers of which those are the same that have one value and no two units of one quantity. What
/// has no such unit goes with most of those that have one, or with none of them where these are
/// level: else the order of the votes would choose, and `5 mg` win by what may have meant `5 g`.
pub fn measured(answers: &[(&str, Option<Unit>)]) -> Vec<Cluster> {
    let values: Vec<&str> = answers.iter().map(|(value, _)| *value).collect();
    let unit = |at: usize| answers.get(at).and_then(|(_, unit)| *unit);
    equal(&values).into_iter().flat_map(|cluster| by_unit(cluster, unit)).collect()
}

fn by_unit(cluster: Cluster, unit: impl Fn(usize) -> Option<Unit>) -> Vec<Cluster> {
    let units: Vec<Unit> = cluster.members.iter().filter_map(|at| unit(*at)).collect();
    let differs = |at: usize| unit(at).is_some_and(|one| units.iter().any(|u| u.differs(one)));
    let (apart, others): (Vec<usize>, Vec<usize>) =
        cluster.members.iter().partition(|at| differs(**at));
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for at in apart {
        match parts.iter_mut().find(|part| part.first().is_some_and(|one| unit(*one) == unit(at))) {
            Some(part) => part.push(at),
            None => parts.push(vec![at]),
        }
    }
    let most = parts.iter().map(Vec::len).max();
    let level = parts.iter().filter(|part| Some(part.len()) == most).count() > 1;
    if level && !others.is_empty() {
        parts.push(others);
    } else if let Some(most) = parts.iter_mut().max_by_key(|part| part.len()) {
        most.extend(others);
        most.sort_unstable();
    } else {
        return vec![cluster];
    }
    parts.into_iter().map(|members| Cluster { members }).collect()
}

/// How much each two texts say the same, 0 to 1, as a square. `meaning` are cosines of their
/// embeddings, if there are any: the larger of both counts. Numbers that differ keep two
/// apart whatever else they share, and so do the signs of one name where both have one or one is
/// that name alone, and that one denies what the other says: their similarity has a minus sign.
pub fn similarity(contents: &[Content], meaning: Option<(&[Vec<f64>], Scale)>) -> Vec<Vec<f64>> {
    let n = contents.len();
    let filed = Filed::new(contents);
    let mut out = vec![vec![1.0; n]; n];
    for a in 0..n {
        for (b, (by_words, conflict)) in filed.beside(a).into_iter().enumerate().take(a) {
            let by_meaning = meaning.map_or(0.0, |(cosines, scale)| scale.read(cosines[a][b]));
            let signs = signs_differ(&contents[a], &contents[b]);
            let conflict = if signs { Some("sign") } else { conflict };
            let score = likeness(by_words.max(by_meaning), conflict);
            out[a][b] = score;
            out[b][a] = score;
        }
    }
    out
}

/// What a similarity is worth when two texts conflict.
pub(crate) fn likeness(score: f64, conflict: Option<&str>) -> f64 {
    match conflict {
        Some("number") => -score.min(APART),
        // Also where they share no word: a third that names both puts them together otherwise.
        Some("sign" | "opposite") => -score.clamp(f64::MIN_POSITIVE, APART),
        Some(_) => score * 0.6,
        None => score,
    }
}

/// What two that cannot be the same still support each other.
const APART: f64 = 0.2;

/// Cosines of all pairs of vectors of any length, as a square, to four digits: a stored case gives
/// the same verdict again.
pub fn cosines(vectors: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let lengths: Vec<f64> = vectors.iter().map(|v| dot(v, v).sqrt().max(1e-12)).collect();
    let cosine = |a: usize, b: usize| {
        (dot(&vectors[a], &vectors[b]) / (lengths[a] * lengths[b]) * 1e4).round() / 1e4
    };
    let n = vectors.len();
    (0..n).map(|a| (0..n).map(|b| cosine(a, b)).collect()).collect()
}

/// What cosines stand for: at `low` and below two texts say nothing in common, at `high` the same.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
}

/// Of phrases without the words of their question (see [`crate::text::kept`]): on Natural Questions
/// .825 AUROC beside .819 by words alone; with those words in it they bring nothing.
pub const PHRASES: Scale = Scale { low: 0.3, high: 0.9 };
/// Of whole sentences on one matter, which are all alike to some degree.
pub const SENTENCES: Scale = Scale { low: 0.6, high: 1.0 };

impl Scale {
    pub(crate) fn read(self, cosine: f64) -> f64 {
        ((cosine - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Average linkage: the two nearest groups become one while they are at least [`SAME`] alike. Of
/// pairs that are equally near the order of their `texts` decides, by place: who was asked first
/// changes nothing.
pub fn linked(similarity: &[Vec<f64>], texts: &[&str]) -> Vec<Cluster> {
    let mut order: Vec<usize> = (0..similarity.len()).collect();
    order.sort_by_key(|at| texts.get(*at).copied());
    let mut groups: Vec<Vec<usize>> = order.into_iter().map(|at| vec![at]).collect();
    loop {
        let mut nearest: Option<(f64, usize, usize)> = None;
        for a in 0..groups.len() {
            for b in 0..a {
                let pairs = groups[a].iter().flat_map(|x| groups[b].iter().map(move |y| (*x, *y)));
                let vetoed = pairs.clone().any(|(x, y)| similarity[x][y] < 0.0);
                let sum: f64 = pairs.map(|(x, y)| similarity[x][y]).sum();
                let mean = sum / (groups[a].len() * groups[b].len()) as f64;
                if !vetoed && mean >= SAME && nearest.is_none_or(|(known, ..)| mean > known + 1e-12)
                {
                    nearest = Some((mean, b, a));
                }
            }
        }
        let Some((_, into, from)) = nearest else { break };
        let moved = groups.remove(from);
        groups[into].extend(moved);
    }
    groups.iter_mut().for_each(|members| members.sort_unstable());
    groups.sort_unstable();
    groups.into_iter().map(|members| Cluster { members }).collect()
}

/// By text: mean similarity to the others, those kept apart included; 0 when there are none.
pub fn support(similarity: &[Vec<f64>]) -> Vec<f64> {
    let n = similarity.len();
    let others = |at: usize| (0..n).filter(move |b| *b != at);
    let mean = |at: usize| others(at).map(|b| similarity[at][b].abs()).sum::<f64>();
    (0..n).map(|at| if n < 2 { 0.0 } else { mean(at) / (n as f64 - 1.0) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::unit_of;
    use crate::text::content;

    #[test]
    fn equal_values_and_alike_phrases_are_together() {
        let groups = equal(&["7", "8", "7"]);
        assert_eq!(groups, [Cluster { members: vec![0, 2] }, Cluster { members: vec![1] }]);
        let texts =
            ["Wilhelm Röntgen", "Röntgen, in 1901", "Marie Curie", "It was Wilhelm Rontgen"];
        let contents: Vec<_> = texts.iter().map(|text| content(text, "who?")).collect();
        let square = similarity(&contents, None);
        let groups = linked(&square, &texts);
        assert_eq!(groups.len(), 2, "{square:?}");
        assert_eq!(groups[0].members, [0, 1, 3]);
        let support = support(&square);
        assert!(support[0] > support[2]);
        // Paraphrases are alike by meaning alone; numbers that differ keep them apart.
        let texts = ["a car", "an automobile", "1990", "1991"];
        let contents: Vec<_> = texts.iter().map(|text| content(text, "what?")).collect();
        let near = vec![vec![0.9; 4]; 4];
        let groups = linked(&similarity(&contents, Some((near.as_slice(), PHRASES))), &texts);
        assert!(groups.iter().any(|g| g.members.starts_with(&[0, 1])), "{groups:?}");
        assert!(!groups.iter().any(|g| g.members.contains(&2) && g.members.contains(&3)));
    }

    #[test]
    fn one_number_of_two_units_is_two_answers() {
        let found = |texts: &[&str]| -> Vec<Vec<usize>> {
            let answers: Vec<_> = texts.iter().map(|text| ("5", unit_of(text))).collect();
            measured(&answers).into_iter().map(|cluster| cluster.members).collect()
        };
        assert_eq!(found(&["5 mg", "5 g", "5 grams", "5 g"]), [vec![0], vec![1, 2, 3]]);
        assert_eq!(found(&["5", "5 mg", "5 g", "5 g"]), [vec![1], vec![0, 2, 3]]);
        assert_eq!(found(&["5 hours", "5 g", "5 mg", "5 g"]), [vec![0, 1, 3], vec![2]]);
        // Level: who was asked first changes nothing.
        assert_eq!(found(&["5", "5 g", "5 mg", "5"]), [vec![1], vec![2], vec![0, 3]]);
        assert_eq!(found(&["5 mg", "5 g", "5", "5"]), [vec![0], vec![1], vec![2, 3]]);
        assert_eq!(found(&["5", "$5", "5 dollars", "5 minutes"]), [vec![0, 1, 2, 3]]);
        assert!(measured(&[]).is_empty());
    }

    fn square(texts: &[&str], near: Option<f64>) -> Vec<Vec<f64>> {
        let contents: Vec<_> = texts.iter().map(|text| content(text, "which?")).collect();
        let cosines = near.map(|near| vec![vec![near; texts.len()]; texts.len()]);
        similarity(&contents, cosines.as_deref().map(|cosines| (cosines, PHRASES)))
    }

    fn members(texts: &[&str], near: Option<f64>) -> Vec<Vec<usize>> {
        linked(&square(texts, near), texts).into_iter().map(|group| group.members).collect()
    }

    #[test]
    fn a_sign_keeps_two_apart_and_the_same_text_is_the_same() {
        for near in [None, Some(0.95)] {
            assert_eq!(members(&["O-", "O+", "O+"], near), [vec![0], vec![1, 2]]);
            assert_eq!(members(&["C++", "C#", "C", "c++."], near), [vec![0, 3], vec![1], vec![2]]);
            assert_eq!(members(&["Group O-", "Group O+"], near).len(), 2);
        }
        assert_eq!(members(&["O-", "O+", "O- or O+"], None).len(), 3, "it is neither");
        for text in ["It", "The Who", "\u{6c34}", "\u{1f44d}", "n\u{e4}ive"] {
            assert_eq!(members(&[text; 3], None), [vec![0, 1, 2]], "{text}");
        }
        assert_eq!(members(&["na\u{ef}ve", "NAI\u{308}VE!"], None).len(), 1);
        assert_eq!(members(&["It was her", "It was him"], None).len(), 2);
    }

    #[test]
    fn what_one_denies_is_not_what_the_other_says() {
        for near in [None, Some(0.95)] {
            let short = ["Safe", "Safe", "Not safe", "Safe", "Not safe"];
            assert_eq!(members(&short, near), [vec![0, 1, 3], vec![2, 4]]);
            let should = ["We should migrate to Rust", "We should not migrate to Rust"];
            assert_eq!(members(&should, near).len(), 2);
        }
        assert_eq!(members(&["It is unsafe", "No, it is unsafe"], None).len(), 1);
    }

    #[test]
    fn a_sign_that_is_written_in_another_way_keeps_nothing_apart() {
        for (one, other) in [
            ("O-", "O negative"),
            ("O-", "Group O-negative"),
            ("F#", "F sharp"),
            ("HIV+", "HIV positive"),
            ("HIV+", "HIV-positive"),
            ("C++", "C plus plus"),
            ("Na+/K+-ATPase", "Na+/K+ ATPase"),
            ("Ca2+-activated K+ channel", "Ca2+ activated K+ channel"),
            ("T- and B-cells", "T cells and B cells"),
        ] {
            assert_eq!(members(&[one, other], None), [vec![0, 1]], "{one} {other}");
        }
        let pumps = square(&["Na/K-ATPase", "Na+/K+-ATPase"], None);
        assert!(pumps[0][1] > 0.0, "{pumps:?}");
        for near in [None, Some(0.95)] {
            let apart = ["O positive", "O negative", "O"];
            assert_eq!(members(&apart, near).len(), 3);
            assert_eq!(members(&["HIV+", "HIV negative", "HIV-"], near), [vec![0], vec![1, 2]]);
        }
    }

    #[test]
    fn the_order_of_answers_changes_nothing() {
        let texts = [
            "Wilhelm R\u{f6}ntgen",
            "R\u{f6}ntgen, in 1901",
            "Marie Curie",
            "It was Wilhelm Rontgen",
            "Curie and R\u{f6}ntgen",
        ];
        let said = |order: &[usize]| -> Vec<Vec<&str>> {
            let turned: Vec<&str> = order.iter().map(|at| texts[*at]).collect();
            let said = |group: Vec<usize>| {
                let mut said: Vec<&str> = group.into_iter().map(|at| turned[at]).collect();
                said.sort_unstable();
                said
            };
            let mut groups: Vec<Vec<&str>> = members(&turned, None).into_iter().map(said).collect();
            groups.sort_unstable();
            groups
        };
        let first = said(&[0, 1, 2, 3, 4]);
        for order in [[4, 3, 2, 1, 0], [2, 4, 0, 1, 3], [4, 2, 3, 0, 1], [1, 4, 3, 2, 0]] {
            assert_eq!(said(&order), first, "{order:?}");
        }
    }

    #[test]
    fn ties_and_empty_texts_have_one_outcome() {
        // The first of equally near pairs; the third is then too far on average.
        let even = vec![vec![1.0, 0.6, 0.6], vec![0.6, 1.0, 0.0], vec![0.6, 0.0, 1.0]];
        let found = |texts: [&str; 3]| -> Vec<Vec<usize>> {
            linked(&even, &texts).into_iter().map(|group| group.members).collect()
        };
        assert_eq!(found(["a", "b", "c"]), [vec![0, 1], vec![2]]);
        assert_eq!(found(["c", "b", "a"]), [vec![0, 2], vec![1]], "by what they say, not by place");
        assert_eq!(found(["a"; 3]), [vec![0, 1], vec![2]]);
        assert_eq!(members(&["", ""], None).len(), 2, "nothing said is nothing in common");
        assert_eq!(square(&[""], None), [[1.0]]);
        assert!(equal(&[]).is_empty() && linked(&[], &[]).is_empty() && support(&[]).is_empty());
        assert_eq!(equal(&["", ""]).len(), 1);
        assert_eq!(support(&square(&["O-"], None)), [0.0]);
    }
}
