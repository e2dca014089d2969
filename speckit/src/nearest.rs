//! Nearest names, for "did you mean".

/// Names that an error offers.
const OFFERED_MAX: usize = 3;
/// Names that are compared.
const NAMES_MAX: usize = 5_000;
/// Longer names are compared by their beginning only.
const COMPARED_CHARS: usize = 64;

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(COMPARED_CHARS).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(COMPARED_CHARS).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The names nearest to `asked`, best first: what holds it or is held by it, then what differs
/// in few letters.
pub(crate) fn nearest<'a>(asked: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let asked = asked.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = names
        .into_iter()
        .take(NAMES_MAX)
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let holds = asked.len() > 1 && (lower.contains(&asked) || asked.contains(&lower));
            let far = distance(&asked, &lower);
            let near = holds || far <= 1 + asked.chars().count() / 3;
            near.then_some((if holds { 0 } else { far }, name))
        })
        .collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(OFFERED_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// `; nearest is …`, or a list of what there is when nothing is near.
pub(crate) fn hint(nearest: &[String], otherwise: &str) -> String {
    match nearest {
        [] => format!("; {otherwise}"),
        names => format!("; nearest is `{}`", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_come_first_and_far_ones_not_at_all() {
        let names = ["T001", "T012", "T120", "photo-albums"];
        assert_eq!(nearest("T0012", names)[0], "T001");
        assert_eq!(nearest("albums", names), ["photo-albums"]);
        assert!(nearest("zzzzzz", names).is_empty());
    }
}
