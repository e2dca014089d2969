//! Personal data: payment cards, e-mail addresses, bank accounts, telephone and US social security
//! numbers.
//!
//! One pass over the bytes with checks by hand, because what makes these few is arithmetic: check
//! digits, lengths by country, ranges that were never given out. Only ASCII digits are read.
//! Invariant: the work at each byte is bounded, and ranges begin and end at ASCII characters.

use crate::rule::Id;
use crate::span::Spans;
use std::ops::Range;

/// Most groups of digits that one number is read from.
const GROUPS_MAX: usize = 6;
/// Most digits of a group; longer ones are no number of anybody.
const GROUP_DIGITS_MAX: usize = 19;
/// Before the `@` (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// After it.
const DOMAIN_BYTES_MAX: usize = 253;
/// How far before bare digits the word may stand that says what they are.
const WORD_REACH: usize = 40;
/// Such words, for social security numbers and for long cards.
const SSN_WORDS: &[&[u8]] = &[b"ssn", b"social security"];
const CARD_WORDS: &[&[u8]] = &[b"card", b"visa", b"maestro", b"unionpay"];

/// Countries with the length of their account numbers, as in the IBAN registry of ISO 13616.
const IBAN_LENGTHS: &str = "\
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 \
    DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 \
    HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 \
    MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 \
    RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 \
    VA22 VG24 XK20 YE30";

/// Country calling codes of two digits (ITU-T E.164); 1 and 7 have one, the others three.
const COUNTRY_CODES: &[u8] = &[
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56,
    57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// Codes of three digits, as ranges with both ends.
const COUNTRY_RANGES: &[(u16, u16)] = &[
    (211, 213),
    (216, 216),
    (218, 218),
    (220, 258),
    (260, 269),
    (290, 291),
    (297, 299),
    (350, 359),
    (370, 378),
    (380, 383),
    (385, 387),
    (389, 389),
    (420, 421),
    (423, 423),
    (500, 509),
    (590, 599),
    (670, 670),
    (672, 683),
    (685, 692),
    (800, 800),
    (808, 808),
    (850, 850),
    (852, 853),
    (855, 856),
    (870, 870),
    (878, 878),
    (880, 883),
    (886, 886),
    (888, 888),
    (960, 968),
    (970, 977),
    (979, 979),
    (992, 996),
    (998, 998),
];

/// Endings of file names and units, which follow an `@` as well: `icon@2x.png`, `tty@1.service`.
const NO_DOMAINS: &[&str] = &[
    "css", "gif", "html", "jpeg", "jpg", "js", "json", "jsx", "md", "mjs", "mount", "pdf", "png",
    "py", "rs", "scope", "service", "slice", "socket", "svg", "target", "timer", "toml", "ts",
    "tsx", "txt", "webp", "xml", "yaml", "yml", "zip",
];

/// Finds personal data.
pub(crate) fn scan(text: &str, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let found = match bytes[at] {
            b'0'..=b'9' => number(bytes, at),
            b'(' => us_phone(bytes, at).map(|range| (Id::Phone, range)),
            b'+' => world_phone(bytes, at).map(|range| (Id::Phone, range)),
            b'A'..=b'Z' => iban(bytes, at).map(|range| (Id::Iban, range)),
            b'@' => email(bytes, at).map(|range| (Id::Email, range)),
            _ => None,
        };
        match found {
            Some((id, range)) => {
                at = range.end.max(at + 1);
                spans.push(id, range);
            }
            // The rest of a run of digits starts no number either.
            None if bytes[at].is_ascii_digit() => at = digits_end(bytes, at),
            None => at += 1,
        }
    }
}

/// Digits that stand together, and what parts them from the next.
#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    end: usize,
    /// Space, `-` or `.`; 0 after the last.
    separator: u8,
}

impl Group {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

fn digits_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| at + n)
}

/// A single character that parts groups, and its length; no-break kinds stand for the plain ones.
fn separator(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    match bytes.get(at..)? {
        [sign @ (b' ' | b'-' | b'.'), ..] => Some((*sign, 1)),
        [0xc2, 0xa0, ..] => Some((b' ', 2)),
        [0xe2, 0x80, 0xaf, ..] => Some((b' ', 3)),
        [0xe2, 0x80, 0x90 | 0x91, ..] => Some((b'-', 3)),
        _ => None,
    }
}

/// The groups from here on, up to one that is too long for a number.
fn groups(bytes: &[u8], at: usize) -> ([Group; GROUPS_MAX], usize) {
    let mut out = [Group::default(); GROUPS_MAX];
    let mut start = at;
    for n in 0..GROUPS_MAX {
        let limit = bytes.len().min(start + GROUP_DIGITS_MAX + 1);
        let end = digits_end(&bytes[..limit], start);
        if end == start || end - start > GROUP_DIGITS_MAX {
            return (out, n);
        }
        out[n] = Group { start, end, separator: 0 };
        let next = separator(bytes, end)
            .filter(|(_, width)| bytes.get(end + width).is_some_and(u8::is_ascii_digit));
        let Some((sign, width)) = next else { return (out, n + 1) };
        out[n].separator = sign;
        start = end + width;
    }
    (out, GROUPS_MAX)
}

/// Whether a number may start here: it is no part of a word, a path, a fraction or a longer code.
fn opens(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|n| bytes[n]) else { return true };
    if before.is_ascii_alphanumeric() || matches!(before, b'_' | b'/' | b'\\' | b'$' | b'#') {
        return false;
    }
    !(matches!(before, b'.' | b'-' | b',') && at >= 2 && bytes[at - 2].is_ascii_alphanumeric())
}

/// Whether a number may end here.
fn closes(bytes: &[u8], at: usize) -> bool {
    let Some(after) = bytes.get(at) else { return true };
    if after.is_ascii_alphanumeric() || matches!(after, b'_' | b'%') {
        return false;
    }
    let next = bytes.get(at + 1).copied().unwrap_or_default();
    !(matches!(after, b'.' | b',') && next.is_ascii_digit()
        || *after == b'-' && next.is_ascii_alphanumeric())
}

/// A card, a social security number or a US telephone number that starts with this digit.
fn number(bytes: &[u8], at: usize) -> Option<(Id, Range<usize>)> {
    if !opens(bytes, at) {
        return None;
    }
    let (list, n) = groups(bytes, at);
    let list = &list[..n];
    let card = (1..=n).rev().find_map(|n| card(bytes, &list[..n]));
    if let Some(range) = card {
        return Some((Id::Card, range));
    }
    if let Some(range) = ssn(bytes, list) {
        return Some((Id::Ssn, range));
    }
    us_phone(bytes, at).map(|range| (Id::Phone, range))
}

fn card(bytes: &[u8], list: &[Group]) -> Option<Range<usize>> {
    let first = list.first()?;
    let lengths: Vec<usize> = list.iter().map(Group::len).collect();
    let usual = match lengths[..] {
        [13..=16] => true,
        // Tables of numbers of 64 bits are full of these.
        [17..=19] => follows(CARD_WORDS, bytes, first.start),
        [4, 4, 4, 4] | [4, 4, 4, 4, 1..=3] | [4, 6, 4 | 5] | [4, 3, 3, 3] => true,
        _ => false,
    };
    let even =
        list.windows(2).all(|pair| pair[0].separator == first.separator && first.separator != b'.');
    let range = first.start..list.last()?.end;
    if !usual || !even || !closes(bytes, range.end) {
        return None;
    }
    let digits: Vec<u8> =
        bytes[range.clone()].iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect();
    (is_issued(&digits) && luhn(&digits)).then_some(range)
}

/// Whether a network gives out cards with this beginning and length.
fn is_issued(digits: &[u8]) -> bool {
    let six = digits.iter().take(6).fold(0u32, |n, digit| n * 10 + u32::from(*digit));
    let (four, three, two) = (six / 100, six / 1_000, six / 10_000);
    match digits.len() {
        13 => two / 10 == 4,
        14 => matches!(three, 300..=305) || four == 3095 || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37),
        16 if two / 10 == 4
            || matches!(two, 51..=55)
            || matches!(four, 2200..=2204 | 2221..=2720) =>
        {
            true
        }
        19 if two / 10 == 4 => true,
        16..=19 => {
            four == 6011
                || matches!(three, 644..=649)
                || matches!(two, 62 | 65)
                || matches!(four, 3528..=3589)
                || matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763)
        }
        _ => false,
    }
}

/// The check digit of ISO/IEC 7812-1.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match u32::from(*digit) * (1 + place as u32 % 2) {
            doubled @ 10.. => doubled - 9,
            plain => plain,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn ssn(bytes: &[u8], list: &[Group]) -> Option<Range<usize>> {
    let (range, named) = match list {
        // Three groups in a longer row are a table.
        [a, b, c] if (a.len(), b.len(), c.len()) == (3, 2, 4) && a.separator == b.separator => {
            (a.start..c.end, a.separator != b'-')
        }
        [a] if a.len() == 9 => (a.start..a.end, true),
        _ => return None,
    };
    let digits: Vec<u8> = bytes[range.clone()].iter().copied().filter(u8::is_ascii_digit).collect();
    let (area, rest) = digits.split_at_checked(3)?;
    let (group, serial) = rest.split_at_checked(2)?;
    // Never given out by the SSA, or printed so often that it is nobody's.
    let invalid = matches!(area, b"000" | b"666" | [b'9', ..])
        || group == b"00"
        || serial == b"0000"
        || matches!(&digits[..], b"078051120" | b"219099999" | b"457555462");
    let known = !named || follows(SSN_WORDS, bytes, range.start);
    (!invalid && known && closes(bytes, range.end)).then_some(range)
}

/// Whether one of the words stands shortly before.
fn follows(words: &[&[u8]], bytes: &[u8], at: usize) -> bool {
    let before = bytes[at.saturating_sub(WORD_REACH)..at].to_ascii_lowercase();
    words.iter().any(|word| before.windows(word.len()).any(|part| part == *word))
}

/// `(212) 555-0123`, `212-555-0123`, `212.555.0123`, `1-212-555-0123`: the North American plan,
/// whose areas and exchanges begin with 2 to 9 and are no service code such as 911.
fn us_phone(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at;
    if !opens(bytes, start) {
        return None;
    }
    let mut at = at;
    if bytes[at..].starts_with(b"1-") || bytes[at..].starts_with(b"1 (") {
        at += 2;
    }
    let bracket = bytes.get(at) == Some(&b'(');
    let area = at + usize::from(bracket);
    let mut at = digits_end(&bytes[..bytes.len().min(area + 4)], area);
    let area = &bytes[area.min(at)..at];
    let mut sign = None;
    if bracket {
        at = if bytes.get(at) == Some(&b')') { at + 1 } else { return None };
        at += usize::from(bytes.get(at) == Some(&b' '));
    } else {
        let (between, width) = separator(bytes, at).filter(|(sign, _)| *sign != b' ')?;
        sign = Some(between);
        at += width;
    }
    let (list, n) = groups(bytes, at);
    let [exchange, line] = &list[..n] else { return None };
    let even = match sign {
        Some(sign) => exchange.separator == sign,
        None => true,
    };
    let code = |digits: &[u8]| matches!(digits, [b'2'..=b'9', x, y] if (x, y) != (&b'1', &b'1'));
    let valid = code(area) && code(&bytes[exchange.start..exchange.end]) && line.len() == 4;
    (valid && even && closes(bytes, line.end)).then_some(start..line.end)
}

/// `+49 151 12345678` and the like: a plus, a country that exists, 8 to 15 digits in all.
fn world_phone(bytes: &[u8], plus: usize) -> Option<Range<usize>> {
    let starts = bytes.get(plus + 1).is_some_and(|b| b.is_ascii_digit() || *b == b'(');
    if !opens(bytes, plus) || !starts || is_date(&bytes[plus + 1..]) {
        return None;
    }
    let mut digits = Vec::with_capacity(16);
    let (mut at, mut end, mut parts) = (plus + 1, plus + 1, 0);
    while let Some(byte) = bytes.get(at) {
        let digit = byte.is_ascii_digit();
        let bracket = matches!(byte, b'(' | b')');
        if digit {
            digits.push(*byte);
            at += 1;
            end = at;
        } else if let Some((_, width)) = separator(bytes, at).or(bracket.then_some((0, 1))) {
            // Two in a row only where a bracket is one of them.
            let next = bytes.get(at + width).copied().unwrap_or_default();
            let opens = matches!(next, b'(' | b' ') || next == b'-' && bracket;
            if !opens && !next.is_ascii_digit() {
                break;
            }
            parts += 1;
            at += width;
        } else {
            break;
        }
        if digits.len() > 15 || parts > 8 {
            return None;
        }
    }
    // Without any gap it may be a line that a diff adds, so that a short one is none.
    let least = if parts > 0 { 8 } else { 10 };
    let valid = digits.len() >= least && is_dialled(&digits) && closes(bytes, end);
    valid.then_some(plus..end)
}

/// Whether a year with its sign starts here, as in `+12345-06-07`.
fn is_date(bytes: &[u8]) -> bool {
    let year = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let shape = bytes.get(year..year + 6);
    year >= 4 && matches!(shape, Some([b'-', b'0' | b'1', _, b'-', b'0'..=b'3', b'0'..=b'9']))
}

fn is_dialled(digits: &[u8]) -> bool {
    let [first, second, third, ..] = digits else { return false };
    let two = first.wrapping_sub(b'0') * 10 + second.wrapping_sub(b'0');
    match first {
        b'1' => digits.len() == 11 && matches!(digits[1], b'2'..=b'9') && digits[4] >= b'2',
        b'7' => digits.len() == 11,
        _ => {
            let three = u16::from(two) * 10 + u16::from(third.wrapping_sub(b'0'));
            let within = |(from, to): &(u16, u16)| (*from..=*to).contains(&three);
            COUNTRY_CODES.contains(&two) || COUNTRY_RANGES.iter().any(within)
        }
    }
}

/// ISO 13616: country, check digits, account; groups of four may stand apart.
fn iban(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let word = at.checked_sub(1).is_some_and(|n| bytes[n].is_ascii_alphanumeric());
    let head = bytes.get(at..at + 4).filter(|_| !word)?;
    if !head[2].is_ascii_digit() || !head[3].is_ascii_digit() {
        return None;
    }
    let mut rows = IBAN_LENGTHS.split(' ').filter_map(|row| row.split_at_checked(2));
    let (_, length) = rows.find(|(country, _)| country.as_bytes() == &head[..2])?;
    let length: usize = length.parse().ok()?;
    let mut signs = Vec::with_capacity(length);
    let mut end = at;
    while signs.len() < length {
        match bytes.get(end)? {
            sign @ (b'0'..=b'9' | b'A'..=b'Z') => signs.push(*sign),
            b' ' if signs.len() % 4 == 0 && bytes[end - 1] != b' ' => {}
            _ => return None,
        }
        end += 1;
    }
    // The rotation to the right by four puts country and check digits last.
    signs.rotate_left(4);
    let remainder = signs.iter().fold(0u32, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign - b'0')) % 97,
        _ => (rest * 100 + u32::from(sign - b'A') + 10) % 97,
    });
    let ends = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (remainder == 1 && ends).then_some(at..end)
}

/// An address around this `@`.
fn email(bytes: &[u8], sign: usize) -> Option<Range<usize>> {
    let local = |b: &u8| b.is_ascii_alphanumeric() || b"._%+'-".contains(b);
    let reach = sign.saturating_sub(LOCAL_BYTES_MAX + 1);
    let start = sign - bytes[reach..sign].iter().rev().take_while(|b| local(b)).count();
    // A quotation mark opens the address, it is no part of it.
    let start = start + bytes[start..sign].iter().take_while(|b| b"'.-".contains(b)).count();
    let reach = bytes.len().min(sign + 1 + DOMAIN_BYTES_MAX);
    let domain = &bytes[sign + 1..reach];
    let domain = &domain[..domain.iter().take_while(|b| local(b) && !b"_%+'".contains(b)).count()];
    let mut end = domain.len();
    while end > 0 && b".-".contains(&domain[end - 1]) {
        end -= 1;
    }
    let domain = std::str::from_utf8(&domain[..end]).ok()?;
    let user = &bytes[start..sign];
    if user.is_empty() || user.len() > LOCAL_BYTES_MAX || user.ends_with(b".") {
        return None;
    }
    let (rest, top) = domain.rsplit_once('.')?;
    let named = (2..=24).contains(&top.len()) && top.bytes().all(|b| b.is_ascii_alphabetic());
    let whole = rest.split('.').all(|part| !part.is_empty() && !part.starts_with('-'));
    let file = NO_DOMAINS.contains(&top.to_ascii_lowercase().as_str());
    let end = sign + 1 + end;
    // `git@host:path` is a repository, and `https://user:password@host` is another rule's.
    let remote = user == b"git" || in_url(bytes, start);
    (named && whole && !file && !remote).then_some(start..end)
}

/// Whether the word that this place stands in has `://` before it.
fn in_url(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[at.saturating_sub(DOMAIN_BYTES_MAX)..at];
    let word = before.iter().rev().take_while(|b| !b.is_ascii_whitespace()).count();
    before[before.len() - word..].windows(3).any(|part| part == b"://")
}
