//! Refuses the texts on which a grammar would take the process down, by one cheap look at them.
//!
//! Plain nesting of brackets is no danger: 50,000 levels were read in every language. What is left
//! are faults of single grammars (memory in the square of the input, an overflow of the stack, an
//! assertion in C), which no time limit catches.

use super::language::Language;

/// Whether `text` must not be given to the grammar of `language`.
pub(super) fn is_refused(language: &Language, text: &str) -> bool {
    let has_angles = language.angles_max < usize::MAX;
    let has_indents = language.indents_max < usize::MAX;
    (has_angles && open_angles(text) > language.angles_max)
        || (has_indents && indents(text) > language.indents_max)
}

/// The most `<` that stand open in one statement. A shift counts once: tables of flags hold many.
fn open_angles(text: &str) -> usize {
    let (mut most, mut open, mut last) = (0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'<' if last != b'<' => open += 1,
            b'<' => {}
            b'>' | b';' | b'{' | b'}' => open = 0,
            _ => {}
        }
        most = most.max(open);
        last = byte;
    }
    most
}

/// The most blocks that can be open at one line. Each deeper line opens at most two (a mapping and
/// a sequence in the same column), and each `- `, `? ` or `: ` in it one more.
fn indents(text: &str) -> usize {
    let mut open: Vec<(usize, usize)> = Vec::new();
    let (mut most, mut sum) = (0, 0);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let column = line.len() - line.trim_start_matches([' ', '\t']).len();
        while let Some((_, blocks)) = open.pop_if(|(around, _)| *around >= column) {
            sum -= blocks;
        }
        let is_mark =
            |pair: &&[u8]| matches!(pair[0], b'-' | b'?' | b':') && matches!(pair[1], b' ' | b'\t');
        let blocks = 2 + line.as_bytes().windows(2).filter(is_mark).count();
        open.push((column, blocks));
        sum += blocks;
        most = most.max(sum);
    }
    most
}
