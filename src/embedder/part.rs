//! A passage that is longer than a model's window: its halves, each under the same header, and one
//! vector for all of them. Pure.

/// Halves are halved again at most this often.
pub const HALVINGS_MAX: usize = 4;

/// Both halves of a passage's text, cut at a line end or a space, each under its first line, which
/// is its header; nothing for what cannot be halved.
pub fn halves(text: &str) -> Option<[String; 2]> {
    let (header, body) = text.split_once('\n').unwrap_or(("", text));
    let body = body.trim_end();
    let middle = (0..=body.len() / 2).rev().find(|at| body.is_char_boundary(*at))?;
    let head = &body[..middle];
    let line = head.rfind('\n').filter(|at| *at > middle / 2);
    let cut = line.or_else(|| head.rfind(char::is_whitespace).filter(|at| *at > middle / 2));
    let (first, second) = body.split_at(cut.unwrap_or(middle));
    let half = |part: &str| format!("{header}\n{}", part.trim_start_matches(['\n', '\r']));
    (!first.trim().is_empty() && !second.trim().is_empty()).then(|| [half(first), half(second)])
}

/// The direction between vectors, of length 1.
pub fn mean(vectors: &[Vec<f32>]) -> Vec<f32> {
    let n = vectors.first().map_or(0, Vec::len);
    let mut sum = vec![0.0; n];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    unit(sum)
}

/// The same direction at length 1; zero and what is no number stay as they are.
pub fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_stand_under_the_same_header() {
        let [a, b] = halves("Tides > Neap\none two three\nfour five six\nseven").unwrap();
        assert_eq!(a, "Tides > Neap\none two three");
        assert_eq!(b, "Tides > Neap\nfour five six\nseven");
        let [a, b] = halves("Tides\none two three four five").unwrap();
        assert_eq!((a.as_str(), b.trim()), ("Tides\none two", "Tides\n three four five"));
        assert_eq!(halves("header only\nx"), None);
        assert_eq!(halves(""), None);
    }

    #[test]
    fn the_mean_of_vectors_is_a_direction() {
        assert_eq!(mean(&[vec![3.0, 0.0], vec![0.0, 3.0]])[0], 0.5f32.sqrt());
        assert_eq!(unit(vec![0.0, 0.0]), [0.0, 0.0]);
        assert!(unit(vec![f32::NAN, 1.0])[0].is_nan());
    }

    proptest! {
        #[test]
        fn halves_hold_every_word(text in "[a-zé\n ]{0,200}") {
            if let Some([a, b]) = halves(&text) {
                let body = text.split_once('\n').map_or(text.as_str(), |(_, body)| body);
                let bare = |text: &str| text.replace(char::is_whitespace, "");
                let part = |half: &str| bare(half.split_once('\n').unwrap().1);
                let all = bare(body);
                prop_assert_eq!(format!("{}{}", part(&a), part(&b)), all);
            }
        }
    }
}
