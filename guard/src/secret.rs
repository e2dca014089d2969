//! Secrets: keys with a known shape, private keys, values assigned to what is called a secret.
//!
//! Shapes follow what the vendors document for secret scanning. Hashes and UUIDs have no shape of
//! a secret; they are one only where a name says so. Invariant: every repetition has a bound or
//! runs over characters that cannot start the pattern again, so that a scan is linear.

use crate::rule::Id;
use crate::span::Spans;
use regex::{Captures, Regex};
use std::ops::Range;

/// Keys that are recognised by themselves. `\b` is ASCII's: Unicode's falls back to a slow engine.
const SHAPES: &[(Id, &str)] = &[
    (Id::AnthropicKey, r"\bsk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{20,}"),
    (Id::AwsKey, r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    (Id::GithubToken, r"\bgh[oprsu]_[A-Za-z0-9]{36,}\b"),
    (Id::GithubToken, r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    (Id::GitlabToken, r"\bgl(?:agent|cbt|dt|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_-]{20,}"),
    (Id::GoogleKey, r"\bAIza[A-Za-z0-9_-]{35}"),
    (Id::GoogleKey, r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    (Id::GoogleKey, r"\bya29\.[A-Za-z0-9_-]{30,}"),
    (Id::Jwt, r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    (Id::NpmToken, r"\bnpm_[A-Za-z0-9]{36}\b"),
    (Id::OpenaiKey, r"\bsk-(?:admin|proj|svcacct)-[A-Za-z0-9_-]{20,}"),
    (Id::OpenaiKey, r"\bsk-[A-Za-z0-9]{32,64}\b"),
    // Hugging Face, Groq, xAI, Perplexity, OpenRouter, Replicate.
    (Id::ProviderKey, r"\b(?:hf_[A-Za-z]{34}|gsk_[A-Za-z0-9]{52}|xai-[A-Za-z0-9]{80})\b"),
    (Id::ProviderKey, r"\b(?:pplx-[A-Za-z0-9]{48,56}|sk-or-v1-[0-9a-f]{64}|r8_[A-Za-z0-9]{37})\b"),
    (Id::PypiToken, r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    (Id::SlackToken, r"\bxox[a-z]-(?:[0-9A-Za-z]{1,80}-){1,5}[0-9A-Za-z]{10,}\b"),
    (Id::SlackToken, r"\bxapp-[0-9]-[A-Z0-9]{5,20}-[0-9]{5,20}-[0-9a-f]{16,}\b"),
    (Id::SlackToken, r"hooks\.slack\.com/(?:services|triggers|workflows)/[A-Za-z0-9/]{30,}"),
    (Id::StripeKey, r"\b[rs]k_(?:live|prod|test)_[A-Za-z0-9]{16,}\b"),
    (Id::StripeKey, r"\bwhsec_[A-Za-z0-9]{32,}"),
    (Id::SynodToken, r"\bsynod_[0-9a-f]{40}\b"),
];

/// A name of a secret and the beginning of an assignment. Apart from the value, because both in one
/// expression overflow the matcher's cache and take a hundred times longer.
const NAMES: &str = concat!(
    r#"(?i-u:pass(?:word|wd|phrase)|pwd|secret(?:_?(?:access_?)?key)?|token|credentials?|"#,
    r#"(?:access|account|api|auth|encryption|master|private|secret|signing)[_-]?key)"#,
    r#"["'`]?\]?[ \t]{0,4}[:=]"#,
);

/// What follows it: maybe a type, the rest of the sign, a value: quoted, or bare and then longer.
const VALUE: &str = concat!(
    r#"\A(?:[ \t]?[A-Za-z&'_<>: ]{1,24}=|[=>])?[ \t]{0,4}"#,
    r#"(?:"([^"\s]{8,})"|'([^'\s]{8,})'|`([^`\s]{8,})`|"#,
    r#"([A-Za-z0-9+/=_.~!@#%^&*$-]{12,}))"#,
);
/// Fewest bytes of a value without quotation marks, as in the expression.
const BARE_BYTES_MIN: usize = 12;
/// Bytes after the sign that are read for the value.
const VALUE_REACH: usize = 560;

/// A header with a token.
const BEARER: &str = concat!(
    r#"(?i-u:authorization["']?[ \t]{0,4}[:=,][ \t]{0,4}["']?(?:bearer|basic|token)[ \t]{1,4})"#,
    r#"([A-Za-z0-9._~+/=-]{12,})"#,
);

const URL: &str = r#"://[^\s/:@"'<>`\\]{0,80}:([^\s/@"'<>`\\]{3,200})@[A-Za-z0-9\[]"#;

const KEY_OPENS: &str = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----";
/// Longest private key block: an RSA key of 16,384 bits has some 13,000 bytes.
const KEY_BYTES_MAX: usize = 16_384;
/// Fewest characters in a row that make a block a key, not a text about keys.
const KEY_RUN_MIN: usize = 24;

/// Words in values that stand for a value.
const PLACEHOLDERS: &[&str] = &[
    "change",
    "dummy",
    "example",
    "fake",
    "insert",
    "placeholder",
    "redacted",
    "replace",
    "sample",
    "xxxx",
    "your",
    "****",
    "....",
    "____",
];
/// Words that stand for the password in documents about URLs.
const URL_PLACEHOLDERS: &[&str] =
    &["pass", "passwd", "password", "pswd", "pwd", "secret", "token", "pw", "xxx", "***", "..."];

/// The patterns, ready to run.
pub(crate) struct Secrets {
    shapes: Vec<(Id, Regex)>,
    names: Regex,
    value: Regex,
    bearer: Regex,
    url: Regex,
    key_opens: Regex,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let shapes = SHAPES.iter().map(|(id, pattern)| (*id, built_in(pattern)));
        Secrets {
            shapes: shapes.collect(),
            names: built_in(NAMES),
            value: built_in(VALUE),
            bearer: built_in(BEARER),
            url: built_in(URL),
            key_opens: built_in(KEY_OPENS),
        }
    }

    pub(crate) fn scan(&self, text: &str, spans: &mut Spans) {
        for (id, shape) in &self.shapes {
            for found in shape.find_iter(text).filter(|found| is_drawn(found.as_str())) {
                spans.push(*id, found.range());
            }
        }
        for name in self.names.find_iter(text) {
            let reach = (name.end() + VALUE_REACH..)
                .find(|at| *at >= text.len() || text.is_char_boundary(*at));
            let after = &text[name.end()..reach.unwrap_or(text.len()).min(text.len())];
            let value = self.value.captures(after).and_then(|found| assigned(after, &found));
            if let Some(Range { start, end }) = value {
                spans.push(Id::Assignment, name.end() + start..name.end() + end);
            }
        }
        for value in self.bearer.captures_iter(text).filter_map(|found| found.get(1)) {
            if is_random(value.as_str()) {
                spans.push(Id::Assignment, value.range());
            }
        }
        for password in self.url.captures_iter(text).filter_map(|found| found.get(1)) {
            if is_password(password.as_str()) {
                spans.push(Id::UrlPassword, password.range());
            }
        }
        self.private_keys(text, spans);
    }

    fn private_keys(&self, text: &str, spans: &mut Spans) {
        // Where the next end stands, looked up once for all beginnings before it.
        let mut close = 0;
        let mut at = 0;
        while let Some(open) = self.key_opens.find_at(text, at) {
            if close < open.end() {
                close = text[open.end()..].find("-----END ").map_or(usize::MAX, |n| open.end() + n);
            }
            at = open.end();
            if let Some(end) = key_end(text, open.end(), close) {
                spans.push(Id::PrivateKey, open.start()..end);
                at = end;
            }
        }
    }
}

/// One of this crate's own patterns; a test compiles them all.
pub(crate) fn built_in(pattern: &str) -> Regex {
    Regex::new(&pattern.replace(r"\b", r"(?-u:\b)")).expect("a built-in pattern")
}

/// Where the block that opens before `start` ends, if a key is in it.
fn key_end(text: &str, start: usize, close: usize) -> Option<usize> {
    let (mut run, mut longest, mut end) = (0, 0, start);
    let closed = close.saturating_sub(start) <= KEY_BYTES_MAX;
    let limit = if closed { close } else { text.len().min(start + KEY_BYTES_MAX) };
    for (at, byte) in text.as_bytes()[start..limit].iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => {
                run += 1;
                end = start + at + 1;
            }
            // Lines, also as `\n` in strings, and the header lines of old formats.
            b' ' | b'\t' | b'\r' | b'\n' | b'\\' | b'"' | b'\'' | b',' | b':' | b'-' => run = 0,
            _ if closed => run = 0,
            _ => break,
        }
        longest = longest.max(run);
    }
    if longest < KEY_RUN_MIN {
        return None;
    }
    if !closed {
        return Some(end);
    }
    let tail = &text[close + 9..];
    let mark = tail.bytes().take(64).position(|b| b == b'-').unwrap_or(0);
    let dashes = tail[mark..].bytes().take(5).take_while(|b| *b == b'-').count();
    Some(close + 9 + mark + dashes)
}

/// Whether a key of a known shape was drawn, not written: `sk-xxxxxxxx` stands for one.
fn is_drawn(key: &str) -> bool {
    let tail = &key.as_bytes()[key.len().saturating_sub(16)..];
    entropy(tail) >= 2.0
}

/// The value of an assignment, if it looks drawn.
fn assigned(text: &str, found: &Captures) -> Option<Range<usize>> {
    if let Some(value) = (1..=3).find_map(|n| found.get(n)) {
        return is_random(value.as_str()).then(|| value.range());
    }
    let value = found.get(4)?;
    let ends = |c: char| c.is_whitespace() || ",;\"'`)}]<|".contains(c);
    let ended = text[value.end()..].chars().next().is_none_or(ends);
    // A sentence ends after the value, and a path or a field is no value.
    let word = value.as_str().split('&').next().unwrap_or_default().trim_end_matches(['.', '!']);
    // Names in code have one number at most: `X509Options`; so do numbers with a base: `0xC002`.
    let digit = |b: &u8| b.is_ascii_digit();
    let bytes = word.as_bytes();
    let numbers = bytes.chunk_by(|a, b| digit(a) == digit(b)).filter(|run| digit(&run[0])).count();
    let plain = numbers < 2 || word.starts_with("0x") || bytes.len() < BARE_BYTES_MIN;
    let code = word.starts_with(['/', '.', '~', '&', '*', '$', '%']) || is_field(word);
    (ended && !code && !plain && is_random(word)).then(|| value.start()..value.start() + word.len())
}

/// Whether it reads `a.b.c` with names between the dots.
fn is_field(word: &str) -> bool {
    let name = |part: &str| {
        part.len() <= 24
            && part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    word.contains('.') && word.split('.').all(name)
}

/// Whether a value looks drawn: letters and digits, mixed, with enough information per character.
fn is_random(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let stands_for = PLACEHOLDERS.iter().any(|word| lower.contains(word))
        || value.starts_with(['<', '$', '{', '%', '[', '('])
        || value.contains("://")
        || value.contains("${");
    let bytes = value.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    if stands_for || digits == 0 || letters == 0 {
        return false;
    }
    // Words have few changes between kinds of characters, drawn ones a change every other time.
    let least = match bytes.len() {
        ..12 => 2.5,
        12..20 => 2.75,
        _ => 3.0,
    };
    changes(bytes) >= (bytes.len() / 8).max(3) && entropy(bytes) >= least
}

/// Neighbours of different kinds: small, capital, digit; a capital before a small letter is a word.
/// Signs that passwords have and names have not count as well.
fn changes(bytes: &[u8]) -> usize {
    let kind = |b: u8| match b {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    };
    let differ = |pair: &&[u8]| {
        let (a, b) = (kind(pair[0]), kind(pair[1]));
        a != b && a != 0 && b != 0 && (a, b) != (2, 1)
    };
    let signs = bytes.iter().filter(|b| b"!@#$%^&*+=?".contains(b)).count();
    bytes.windows(2).filter(differ).count() + signs
}

/// Shannon's, in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let n = bytes.len() as f64;
    let share = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / n);
    share.map(|p| -p * p.log2()).sum()
}

/// Whether it is a password, not the word for one.
fn is_password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    !URL_PLACEHOLDERS.contains(&lower.as_str())
        && !text.contains(['{', '$', '(', '*'])
        && !PLACEHOLDERS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_values_are_told_from_written_ones() {
        for value in
            ["hunter2hunter2", "Tr0ub4dor&3", "q7Rk2vXz", "9f86d081884c7d659a2feaa0c55ad015"]
        {
            assert!(is_random(value), "{value}");
        }
        for value in [
            "password123",
            "user_token_v2",
            "YOUR_API_KEY_1",
            "correct-horse-battery",
            "12345678",
            "<api-key-01>",
            "${API_KEY_2}",
            "xxxx1a2b3c4dxxxx",
            "aaaa1111aaaa1111",
            "abcdefgh1",
        ] {
            assert!(!is_random(value), "{value}");
        }
    }
}
