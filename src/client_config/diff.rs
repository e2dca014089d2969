//! The preview: one hunk from the first line that changes to the last, as unified diffs look.
//!
//! A merge touches one place, so that one hunk is exact without an alignment algorithm.

use std::fmt::Write;

use super::{Change, Kind};

/// Unchanged lines shown on either side.
const CONTEXT_LINES: usize = 3;

/// The change as a small unified diff; empty where nothing changes.
pub fn diff(change: &Change) -> String {
    if change.is_empty() {
        return String::new();
    }
    let old: Vec<&str> = lines(change.before.as_deref().unwrap_or_default());
    let new: Vec<&str> = lines(&change.after);
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let pairs = old.iter().rev().zip(new.iter().rev());
    let tail = pairs.take(most).take_while(|(a, b)| a == b).count();
    let start = head.saturating_sub(CONTEXT_LINES);
    let shown = |len: usize| (len - tail + CONTEXT_LINES).min(len);
    let (old_end, new_end) = (shown(old.len()), shown(new.len()));

    let path = change.path.display().to_string();
    let absent = "/dev/null".to_owned();
    let from = if change.before.is_some() { &path } else { &absent };
    let to = if change.kind == Kind::Delete { &absent } else { &path };
    let mut out = format!("--- {from}\n+++ {to}\n");
    let (n_old, n_new) = (old_end - start, new_end - start);
    // Unified diffs name the line before an empty side, and the first line of any other.
    let first = |n_lines: usize| if n_lines == 0 { start } else { start + 1 };
    let (old_first, new_first) = (first(n_old), first(n_new));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "@@ -{old_first},{n_old} +{new_first},{n_new} @@");
    push(&mut out, ' ', &old[start..head]);
    push(&mut out, '-', &old[head..old.len() - tail]);
    push(&mut out, '+', &new[head..new.len() - tail]);
    push(&mut out, ' ', &old[old.len() - tail..old_end]);
    out
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn push(out: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        let shown = line.trim_end_matches(['\n', '\r']);
        let _ = writeln!(out, "{sign}{shown}");
        if !line.ends_with('\n') {
            out.push_str("\\ no newline at end of file\n");
        }
    }
}
