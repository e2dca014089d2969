//! Stems of English words, remembered: texts repeat few words, and stemming costs more than
//! everything else that is done to a word.

use std::cell::RefCell;

/// Slots of a thread's memory (256 KiB); a word lies in the one slot that its letters give.
const SLOTS: usize = 8192;
/// Longest word that is remembered, in bytes.
const WORD_MAX: usize = 15;

#[derive(Clone, Copy, Default)]
struct Slot {
    word: [u8; 16],
    stem: [u8; WORD_MAX],
    stem_len: u8,
}

thread_local! {
    static KNOWN: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

/// The stem of a word of small ASCII letters; a word of one or two letters is its own.
pub fn stem(word: &str) -> String {
    if word.len() <= 2 {
        return word.to_owned();
    }
    if word.len() > WORD_MAX {
        return compute(word);
    }
    let mut key = [0; 16];
    key[..word.len()].copy_from_slice(word.as_bytes());
    KNOWN.with_borrow_mut(|slots| {
        if slots.is_empty() {
            slots.resize(SLOTS, Slot::default());
        }
        let slot = &mut slots[place(key)];
        if slot.word == key
            && let Ok(stem) = std::str::from_utf8(&slot.stem[..usize::from(slot.stem_len)])
        {
            return stem.to_owned();
        }
        let stem = compute(word);
        if stem.len() <= WORD_MAX {
            slot.word = key;
            slot.stem[..stem.len()].copy_from_slice(stem.as_bytes());
            slot.stem_len = stem.len() as u8;
        }
        stem
    })
}

fn compute(word: &str) -> String {
    frostem::Stemmer::new(frostem::Algorithm::English).stem(word).into_owned()
}

fn place(key: [u8; 16]) -> usize {
    let key = u128::from_le_bytes(key);
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 51) as usize
}

#[cfg(test)]
mod tests {
    use super::{compute, stem};

    #[test]
    fn a_remembered_stem_is_the_stem() {
        // More words than slots: most are driven out and come back.
        let words: Vec<String> = (0..20_000_u32)
            .map(|n| {
                let letters =
                    (0..3 + n % 16).map(|i| b'a' + ((n.wrapping_mul(i + 7) >> 3) % 26) as u8);
                let head: String = letters.map(char::from).collect();
                head + ["", "s", "ing", "ed", "ies", "ational"][n as usize % 6]
            })
            .collect();
        for word in words.iter().chain(&words) {
            assert_eq!(stem(word), compute(word), "{word}");
        }
        assert_eq!(stem("is"), "is");
        assert_eq!(stem("running"), "run");
    }
}
