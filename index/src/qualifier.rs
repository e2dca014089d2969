//! Names with what stands before them, as code, documents and backtraces write them:
//! `sync::Mutex::lock()`, `Router.url_path_for`, `<TcpStream as AsyncRead>::poll_read`. Pure.
//!
//! Knows no index: whether there is such a name, and what stands in what, others find out.

use crate::token::name_key;

/// Longer ones are taken as they are, in bytes.
const NAME_BYTES_MAX: usize = 1_000;
/// What a name stands in, at most: the nearest.
const AROUND_MAX: usize = 16;
/// What parts a name from what it stands in.
const SIGNS: [&str; 3] = ["::", ".", "#"];
/// Digits of the hash that ends a name in some backtraces: `poll::h0123456789abcdef`.
const HASH_DIGITS: usize = 16;

/// A name and what it is said to stand in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Qualified<'a> {
    /// From the outermost to the innermost.
    pub around: Vec<&'a str>,
    /// The name itself.
    pub name: &'a str,
}

impl<'a> Qualified<'a> {
    /// Takes a name apart; `None` where nothing is left of it.
    pub fn of(text: &'a str) -> Option<Self> {
        let bare = text.trim().trim_end_matches("()");
        if bare.len() > NAME_BYTES_MAX {
            return Some(Qualified { around: Vec::new(), name: bare });
        }
        let mut around = parts(bare);
        if around.len() > 1 && around.last().is_some_and(|last| is_hash(last)) {
            around.pop();
        }
        let name = around.pop()?;
        around.drain(..around.len().saturating_sub(AROUND_MAX));
        Some(Qualified { around, name })
    }
}

/// The key of a definition with what it stands in.
pub(crate) fn qualified_key(outer: &str, name: &str) -> String {
    format!("{}.{}", name_key(outer), name_key(name))
}

fn is_hash(part: &str) -> bool {
    let digits = part.strip_prefix('h').unwrap_or_default();
    digits.len() == HASH_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parts(text: &str) -> Vec<&str> {
    let (mut out, mut rest) = (Vec::new(), text);
    // An item of a trait stands behind the type that it is of: `<TcpStream as AsyncRead>::…`.
    if let Some(inside) = bracketed(text).filter(|_| text.starts_with('<')) {
        split(inside.split(" as ").next().unwrap_or(inside), &mut out);
        rest = &text[inside.len() + 2..];
    }
    split(rest, &mut out);
    out
}

/// Adds the parts of a path, without what is not of their names: `JoinHandle<T>`, `{closure#0}`.
fn split<'a>(text: &'a str, out: &mut Vec<&'a str>) {
    let (mut from, mut at) = (0, 0);
    let mut end: Option<usize> = None;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(inside) = bracketed(rest) {
            end = end.or(Some(at));
            at += inside.len() + 2;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            out.push(text[from..end.take().unwrap_or(at)].trim());
            at += sign.len();
            from = at;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    out.push(text[from..end.unwrap_or(at)].trim());
    out.retain(|part| !part.is_empty());
}

/// What stands in the brackets that `text` begins with, if they close and hold a name: signs of
/// operators (`operator<`, `<=>`, `->`) are no brackets.
fn bracketed(text: &str) -> Option<&str> {
    let (open, close) = match text.as_bytes().first()? {
        b'<' => (b'<', b'>'),
        b'{' => (b'{', b'}'),
        _ => return None,
    };
    let (mut depth, mut before) = (0_usize, 0_u8);
    for (at, byte) in text.bytes().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close && !matches!(before, b'-' | b'=') {
            depth -= 1;
            if depth == 0 {
                let inside = &text[1..at];
                let holds = |c: char| c.is_alphanumeric() || c == '_';
                return inside.contains(holds).then_some(inside);
            }
        }
        before = byte;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_taken_apart_as_code_and_backtraces_write_them() {
        for (text, around, name) in [
            ("lock", "", "lock"),
            (" sync::Mutex::lock() ", "sync Mutex", "lock"),
            ("Router.url_path_for", "Router", "url_path_for"),
            ("Command#parse", "Command", "parse"),
            ("JoinHandle<T>::abort", "JoinHandle", "abort"),
            ("Vec<Foo::Bar>::push", "Vec", "push"),
            ("JoinHandle<T>", "", "JoinHandle"),
            ("a::collect::<Vec<_>>", "a", "collect"),
            ("<TcpStream as AsyncRead>::poll_read", "TcpStream", "poll_read"),
            ("<a::b::Context>::run::{closure#0}", "a b Context", "run"),
            ("a::b::{{closure}}::h0123456789abcdef", "a", "b"),
            ("outer.<locals>.inner", "outer", "inner"),
            ("Object.<anonymous>", "", "Object"),
            ("std::operator<<", "std", "operator<<"),
            ("operator<", "", "operator<"),
            ("operator->", "", "operator->"),
            ("<=>", "", "<=>"),
            ("<*>", "", "<*>"),
            ("h0123456789abcdef", "", "h0123456789abcdef"),
            ("日本.語", "日本", "語"),
        ] {
            let around = around.split_whitespace().collect();
            assert_eq!(Qualified::of(text), Some(Qualified { around, name }), "{text}");
        }
        for text in ["", " ", "()", "::", "..", "{closure#0}"] {
            assert_eq!(Qualified::of(text), None, "{text}");
        }
    }

    #[test]
    fn long_names_end_where_they_do() {
        for text in ["<".repeat(100_000), "a.".repeat(100_000), "<a>".repeat(300)] {
            let around = Qualified::of(&text).map_or(0, |named| named.around.len());
            assert!(around <= AROUND_MAX, "{around}");
        }
        let many = "a.".repeat(400);
        assert_eq!(Qualified::of(&many).map(|named| named.around.len()), Some(AROUND_MAX));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text in "[a<>{}:.#= é-]{0,40}") {
            if let Some(named) = Qualified::of(&text) {
                prop_assert!(text.contains(named.name));
                prop_assert!(!named.name.is_empty());
            }
        }
    }
}
