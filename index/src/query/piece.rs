//! What was typed, cut into the pieces that mean something by themselves: words, quoted texts, and
//! what stands in brackets behind a minus. Knows nothing of what they mean.

/// Brackets within those behind a minus, one in the other: more are not looked through.
const NESTED_MAX: usize = 2;

/// A part of what was typed.
pub(super) enum Piece<'t> {
    /// A quoted text, and the sign before it.
    Quoted(Option<char>, &'t str),
    Word(&'t str),
    /// What stands in `-( … )`.
    Without(&'t str),
}

/// Splits at spaces outside quotes; an unbalanced quote is a space.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return out;
        }
        if let Some((inner, behind)) = without(rest) {
            out.push(Piece::Without(inner));
            rest = behind;
            continue;
        }
        let (sign, body) = match rest.chars().next() {
            Some(c @ ('+' | '-')) if rest[1..].starts_with('"') => (Some(c), &rest[1..]),
            _ => (None, rest),
        };
        if let Some(inner) = body.strip_prefix('"') {
            match inner.find('"') {
                Some(end) => {
                    out.push(Piece::Quoted(sign, &inner[..end]));
                    rest = &inner[end + 1..];
                }
                None => rest = inner,
            }
            continue;
        }
        // `tag:"a b"` keeps its quoted value.
        let mut end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if let Some(colon) = rest[..end].find(":\"")
            && let Some(close) = rest[colon + 2..].find('"')
        {
            end = colon + 2 + close + 1;
        }
        out.push(Piece::Word(&rest[..end]));
        rest = &rest[end..];
    }
}

/// What stands in the brackets of a text that begins with `-(`, and what stands behind them;
/// nothing where they do not close, or close within a word.
fn without(text: &str) -> Option<(&str, &str)> {
    let body = text.strip_prefix("-(")?;
    let (mut depth, mut is_quoted) = (1, false);
    for (at, c) in body.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            _ => {}
        }
        if depth > NESTED_MAX {
            return None;
        }
        if depth == 0 {
            let behind = &body[at + 1..];
            let is_end = behind.is_empty() || behind.starts_with(char::is_whitespace);
            return is_end.then_some((&body[..at], behind));
        }
    }
    None
}

/// The same query with the words of its quoted texts as words like others; nothing if none is
/// quoted but for what `+` or `-` or a filter's name stands before, and what is left out.
pub fn unquoted(text: &str) -> Option<String> {
    let (mut out, mut before, mut found) = (String::new(), ' ', false);
    // Brackets that are open behind a minus.
    let mut left_out = 0usize;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '"' {
            match c {
                '(' if left_out > 0 || before == '-' => left_out += 1,
                ')' => left_out = left_out.saturating_sub(1),
                _ => {}
            }
            out.push(c);
        } else if left_out > 0 || matches!(before, '+' | '-' | ':') {
            // To the end of it as it is.
            out.push(c);
            for inner in rest.by_ref() {
                out.push(inner);
                if inner == '"' {
                    break;
                }
            }
        } else {
            out.push(' ');
            found = true;
        }
        before = c;
    }
    found.then_some(out)
}
