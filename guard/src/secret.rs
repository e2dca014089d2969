//! Secrets: keys with a known shape, private keys, values assigned to what is called a secret.
//!
//! Shapes follow what the vendors document for secret scanning. Hashes and UUIDs have no shape of
//! a secret; they are one only where a name says so. Invariant: every repetition has a bound or
//! runs over characters that cannot start the pattern again, so that a scan is linear.

use crate::fold::is_invisible;
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
    // SendGrid, Telegram, DigitalOcean and Shopify, Vault, Docker, Databricks, Notion and Linear,
    // Atlassian.
    (Id::ProviderKey, r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    (Id::ProviderKey, r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    (Id::ProviderKey, r"\b(?:do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32})\b"),
    (Id::ProviderKey, r"\bhv[bs]\.[A-Za-z0-9_-]{24,}"),
    (Id::ProviderKey, r"\bdckr_[op]at_[A-Za-z0-9_-]{27,}"),
    (Id::ProviderKey, r"\bdapi[0-9a-f]{32}\b"),
    (Id::ProviderKey, r"\b(?:ntn_[A-Za-z0-9]{40,}|lin_(?:api|oauth)_[A-Za-z0-9]{32,})\b"),
    (Id::ProviderKey, r"\bATATT3x[A-Za-z0-9_=-]{60,}"),
    (Id::PrivateKey, r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
    (Id::PypiToken, r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    (Id::SlackToken, r"\bxox[a-z]-(?:[0-9A-Za-z]{1,80}-){1,5}[0-9A-Za-z]{10,}\b"),
    (Id::SlackToken, r"\bxapp-[0-9]-[A-Z0-9]{5,20}-[0-9]{5,20}-[0-9a-f]{16,}\b"),
    (Id::SlackToken, r"hooks\.slack\.com/(?:services|triggers|workflows)/[A-Za-z0-9/]{30,}"),
    (Id::StripeKey, r"\b[rs]k_(?:live|prod|test)_[A-Za-z0-9]{16,}\b"),
    (Id::StripeKey, r"\bwhsec_[A-Za-z0-9]{32,}"),
    (Id::SynodToken, r"\bsynod_[0-9a-f]{40}\b"),
];

/// A name of a secret and the beginning of an assignment: a sign, the end of a tag or of a cell, or
/// `value:` in the next line, as Kubernetes has it. Apart from the value, because both in one
/// expression overflow the matcher's cache and take a hundred times longer. A key of anything is
/// one only where it is named as variables of the environment are.
const NAMES: &str = concat!(
    r#"(?:(?i-u:pass(?:word|wd|phrase)|pwd|_pass|_pw|\bpass|\bpw|"#,
    r#"secret(?:_?(?:access_?)?key(?:_base)?)?|token|credentials?|"#,
    r#"(?:access|account|api|auth|encryption|master|private|secret|signing)[_-]?key)"#,
    r#"|[A-Z0-9]_KEY)["'`]?\]?"#,
    r#"(?:[ \t]{0,4}[:=]|>|[ \t]{1,4}\||[ \t]*\r?\n[ \t]*value["']?:)"#,
);

/// What follows it: maybe a type, the rest of the sign, a value: quoted, or bare and then longer.
const VALUE: &str = concat!(
    r#"\A(?:[ \t]?[A-Za-z&'_<>: ]{1,24}=|[=>])?[ \t]{0,4}"#,
    r#"(?:"([^"\s]{8,})"|'([^'\s]{8,})'|`([^`\s]{8,})`|"#,
    r#"([A-Za-z0-9+/=_.~!@#%^&*$-]{8,}))"#,
);
/// Fewest bytes of a value without quotation marks, where it is no variable of the environment.
const BARE_BYTES_MIN: usize = 12;
/// Fewest bytes of the value of a key of anything.
const KEY_VALUE_BYTES_MIN: usize = 20;
/// Bytes after the sign that are read for the value.
const VALUE_REACH: usize = 560;

/// A header with a token.
const BEARER: &str = concat!(
    r#"(?i-u:authorization["']?[ \t]{0,4}[:=,][ \t]{0,4}["']?(?:bearer|basic|token)[ \t]{1,4})"#,
    r#"([A-Za-z0-9._~+/=-]{12,})"#,
);

/// An option of a command with its value behind a space.
const OPTION: &str = concat!(
    r#"(?i-u:--(?:[a-z0-9]{1,20}-){0,2}(?:pass(?:word|wd|phrase)?|pw|secret|token|"#,
    r#"(?:access|api|secret)-?key)[ \t]{1,4})["']?([A-Za-z0-9+/=_.~!@#%^&*][^\s"'`]{7,})"#,
);

/// The signature in a shared address of Azure.
const SIGNATURE: &str = r"[?&]sig=([A-Za-z0-9%/+]{40,80}(?:%3[dD]|=))";

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
    /// What stands alone behind a word that tells what it is.
    told: [Regex; 3],
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
            told: [BEARER, OPTION, SIGNATURE].map(built_in),
            url: built_in(URL),
            key_opens: built_in(KEY_OPENS),
        }
    }

    pub(crate) fn scan(&self, text: &str, spans: &mut Spans) {
        self.find(text, &mut |id, range| spans.push(id, range));
        // A key that something invisible is put into is one all the same.
        let Some((visible, from)) = visible(text) else { return };
        self.find(&visible, &mut |id, range| {
            let first = from.get(range.start).copied();
            let last = range.end.checked_sub(1).and_then(|last| from.get(last)).copied();
            let (Some(first), Some(last)) = (first, last) else { return };
            // What holds nothing invisible was found before.
            if last + 1 - first > range.len() {
                spans.push(id, first..last + 1);
            }
        });
    }

    fn find(&self, text: &str, push: &mut dyn FnMut(Id, Range<usize>)) {
        for (id, shape) in &self.shapes {
            for found in shape.find_iter(text).filter(|found| is_drawn(found.as_str())) {
                push(*id, found.range());
            }
        }
        for name in self.names.find_iter(text) {
            let reach = (name.end() + VALUE_REACH..)
                .find(|at| *at >= text.len() || text.is_char_boundary(*at));
            let after = &text[name.end()..reach.unwrap_or(text.len()).min(text.len())];
            let found = self.value.captures(after);
            let value = found.and_then(|found| assigned(name.as_str(), after, &found));
            if let Some(Range { start, end }) = value {
                push(Id::Assignment, name.end() + start..name.end() + end);
            }
        }
        for told in &self.told {
            for value in told.captures_iter(text).filter_map(|found| found.get(1)) {
                if is_random(value.as_str()) {
                    push(Id::Assignment, value.range());
                }
            }
        }
        for password in self.url.captures_iter(text).filter_map(|found| found.get(1)) {
            if is_password(password.as_str()) {
                push(Id::UrlPassword, password.range());
            }
        }
        self.private_keys(text, push);
    }

    fn private_keys(&self, text: &str, push: &mut dyn FnMut(Id, Range<usize>)) {
        // Where the next end stands, looked up once for all beginnings before it.
        let mut close = 0;
        let mut at = 0;
        while let Some(open) = self.key_opens.find_at(text, at) {
            if close < open.end() {
                close = text[open.end()..].find("-----END ").map_or(usize::MAX, |n| open.end() + n);
            }
            at = open.end();
            if let Some(end) = key_end(text, open.end(), close) {
                push(Id::PrivateKey, open.start()..end);
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

/// A text without what nobody sees in it, and where each of its bytes stands in the text; `None` if
/// all of it is to be seen.
fn visible(text: &str) -> Option<(String, Vec<usize>)> {
    let hidden = |c: char| !c.is_ascii() && is_invisible(c);
    if !text.contains(hidden) {
        return None;
    }
    let (mut out, mut from) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    for (at, c) in text.char_indices().filter(|(_, c)| !hidden(*c)) {
        out.push(c);
        from.extend(at..at + c.len_utf8());
    }
    Some((out, from))
}

/// The value of an assignment to `name`, if it looks drawn. `name` ends with the sign, `after` is
/// what follows it.
fn assigned(name: &str, after: &str, found: &Captures) -> Option<Range<usize>> {
    let named = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
    let (word, sign) = name.split_at(name.bytes().take_while(named).count());
    let any_key = word.len() == 5 && word.ends_with("_KEY");
    let fits = |value: &str| is_random(value) && (!any_key || is_key(value));
    if let Some(value) = (1..=3).find_map(|n| found.get(n)) {
        return fits(value.as_str()).then(|| value.range());
    }
    let value = found.get(4)?;
    // `PASS:` is what tests say.
    if word.eq_ignore_ascii_case("pass") || word.eq_ignore_ascii_case("pw") {
        return None;
    }
    let rest = &after[value.end()..];
    let ended = match sign.chars().next_back() {
        Some('|') => rest.trim_start_matches([' ', '\t']).starts_with('|'),
        Some('>') => rest.starts_with('<'),
        _ => {
            let ends = |c: char| c.is_whitespace() || ",;\"'`)}]<|".contains(c);
            rest.chars().next().is_none_or(ends)
        }
    };
    // A sentence ends after the value, and a path or a field is no value.
    let said = before_parameter(value.as_str()).trim_end_matches(['.', '!', '&']);
    let environment = sign == "=" && !word.bytes().any(|b| b.is_ascii_lowercase());
    let (bytes_min, numbers_min) = if environment { (8, 1) } else { (BARE_BYTES_MIN, 2) };
    // Names in code have one number at most: `X509Options`; so do numbers with a base: `0xC002`.
    let digit = |b: &u8| b.is_ascii_digit();
    let bytes = said.as_bytes();
    let numbers = bytes.chunk_by(|a, b| digit(a) == digit(b)).filter(|run| digit(&run[0])).count();
    let plain = numbers < numbers_min || said.starts_with("0x") || bytes.len() < bytes_min;
    let code = said.starts_with(['/', '.', '~', '&', '*', '$', '%']) || is_field(said);
    let end = value.start() + said.len();
    (ended && !code && !plain && fits(said)).then(|| value.start()..end)
}

/// A value up to where the next parameter of an address begins.
fn before_parameter(value: &str) -> &str {
    let begins = |at: &usize| {
        let rest = &value.as_bytes()[at + 1..];
        let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b));
        let n = name.count();
        n > 0 && rest.get(n) == Some(&b'=')
    };
    let next = value.match_indices('&').map(|(at, _)| at).find(begins);
    &value[..next.unwrap_or(value.len())]
}

/// Whether the value of a key of anything is one of the kind that opens doors: names and ids, which
/// are keys of rows, have fewer changes or signs between their parts.
fn is_key(value: &str) -> bool {
    let is_uuid = value.len() == 36 && value.matches('-').count() == 4;
    value.len() >= KEY_VALUE_BYTES_MIN
        && !is_uuid
        && !value.contains(['.', ':'])
        && value.matches('_').count() < 2
        && changes(value.as_bytes()) >= value.len() / 5
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
