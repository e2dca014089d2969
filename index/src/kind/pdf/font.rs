//! What the codes in a PDF's strings mean, and how wide their characters are.
//!
//! A font says it in up to three places: `/ToUnicode`, which is read here because the library's
//! reader unrolls every range that a file claims; `/Encoding`; and, for characters that a glyph's
//! name stands for, `/Differences`. Does not read the font programs themselves.

use super::STREAM_BYTES_MAX;
use lopdf::{Dictionary, Document, Encoding, Object};
use std::collections::BTreeMap;

/// Most entries of a font's tables (codes, widths); a larger font is read up to here.
const ENTRIES_MAX: usize = 70_000;
/// Longest program of a font that is looked into, unpacked, in bytes; those of TeX have some tens
/// of thousands.
const PROGRAM_BYTES_MAX: usize = 512 * 1024;
/// Longest `/ToUnicode`, unpacked, in bytes; the largest fonts need some hundred thousand.
const MAP_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most items of `/Differences`: 256 names and as many codes.
const DIFFERENCES_MAX: usize = 512;

/// Width of a character that has none, in thousandths of the font's size.
const WIDTH: f64 = 550.0;

/// One font of a document.
pub(super) struct Font {
    /// Codes are two bytes.
    wide: bool,
    /// Codes are UTF-16 themselves.
    utf16: bool,
    /// By first code: last code, and UTF-16 of the first one.
    unicode: BTreeMap<u32, (u32, Vec<u16>)>,
    /// By code of one byte; NUL where there is none.
    simple: Vec<char>,
    /// By first code: last code, and their width.
    widths: BTreeMap<u32, (u32, f64)>,
    /// Width of the other ones, if the font says it.
    missing: Option<f64>,
    /// Widths of a Type 3 font are in its own units.
    scale: f64,
    /// Bytes that were unpacked to read it.
    cost: usize,
}

/// One code of a string.
pub(super) struct Glyph {
    /// Its characters; empty if nobody knows.
    pub text: String,
    /// How far the next one stands, in thousandths of the font's size.
    pub width: f64,
    /// The space that word spacing counts.
    pub space: bool,
}

impl Font {
    /// Reads a font's dictionary.
    pub fn read(document: &Document, dict: &Dictionary) -> Self {
        let name = |key: &[u8]| dict.get_deref(key, document).and_then(Object::as_name).ok();
        let wide = name(b"Subtype") == Some(b"Type0".as_slice());
        let encoding = name(b"Encoding").unwrap_or_default();
        let utf16 = wide && [&b"UCS2-"[..], b"UTF16-"].iter().any(|part| holds(encoding, part));
        let mut font = Font {
            wide,
            utf16,
            unicode: BTreeMap::new(),
            simple: Vec::new(),
            widths: BTreeMap::new(),
            missing: None,
            scale: 1.0,
            cost: 0,
        };
        if let Ok(stream) = dict.get_deref(b"ToUnicode", document).and_then(Object::as_stream)
            && let Ok(map) = stream.get_plain_content_with_limit(MAP_BYTES_MAX)
        {
            font.cost += map.len();
            font.read_unicode(&map);
        }
        if wide {
            font.read_wide_widths(document, dict);
        } else {
            let (table, cost) = simple(document, dict);
            font.simple = table;
            font.cost += cost;
            font.read_widths(document, dict);
        }
        font
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        2_000 + self.cost + 100 * (self.unicode.len() + self.widths.len())
    }

    /// The glyphs of a string.
    pub fn glyphs<'f>(&'f self, string: &'f [u8]) -> impl Iterator<Item = Glyph> + 'f {
        let size = if self.wide { 2 } else { 1 };
        string.chunks(size).map(move |bytes| {
            let code = bytes.iter().fold(0, |code, byte| (code << 8) | u32::from(*byte));
            let text = self.text(code);
            let known = text.chars().next();
            let width = range(&self.widths, code).map(|(_, (_, width))| *width).or(self.missing);
            let width = width.map_or_else(|| known.map_or(WIDTH, estimate), |w| w * self.scale);
            Glyph { text, width, space: bytes == b" " }
        })
    }

    fn text(&self, code: u32) -> String {
        if let Some((first, (_, units))) = range(&self.unicode, code) {
            let mut units = units.clone();
            if let Some(last) = units.last_mut() {
                *last = last.wrapping_add((code - first) as u16);
            }
            return utf16(&units);
        }
        if self.utf16 {
            return utf16(&[code as u16]);
        }
        let simple = self.simple.get(code as usize).copied().filter(|c| *c != '\0');
        simple.map(String::from).unwrap_or_default()
    }

    /// Reads a CMap of `/ToUnicode`: single codes and ranges, the rest of its language left out.
    fn read_unicode(&mut self, map: &[u8]) {
        let mut rows: Option<usize> = None;
        let mut row: Vec<Vec<u8>> = Vec::new();
        let mut array: Option<u32> = None;
        for token in tokens(map) {
            if self.unicode.len() >= ENTRIES_MAX {
                return;
            }
            match token {
                Token::Word(b"beginbfchar") => (rows, array) = (Some(2), None),
                Token::Word(b"beginbfrange") => (rows, array) = (Some(3), None),
                Token::Word(_) => (rows, array) = (None, None),
                // An array gives every code of a range its own text.
                Token::Open => array = row.first().map(|code| number(code)),
                Token::Close => (array, row) = (None, Vec::new()),
                Token::Hex(hex) => {
                    let Some(length) = rows else { continue };
                    if let Some(code) = &mut array {
                        self.unicode.insert(*code, (*code, units(&hex)));
                        *code = code.wrapping_add(1);
                        continue;
                    }
                    row.push(hex);
                    if row.len() == length {
                        self.map_row(&row);
                        row.clear();
                    }
                    continue;
                }
            }
            if !matches!(token, Token::Open) {
                row.clear();
            }
        }
    }

    /// `<code> <text>` or `<first> <last> <text>`
    fn map_row(&mut self, row: &[Vec<u8>]) {
        let (first, last, text) = match row {
            [code, text] => (number(code), number(code), units(text)),
            [first, last, text] => (number(first), number(last), units(text)),
            _ => return,
        };
        if first <= last && !text.is_empty() {
            self.unicode.insert(first, (last, text));
        }
    }

    /// Widths of a font with codes of one byte.
    fn read_widths(&mut self, document: &Document, dict: &Dictionary) {
        let first = dict.get_deref(b"FirstChar", document).and_then(Object::as_i64).unwrap_or(0);
        let widths = dict.get_deref(b"Widths", document).and_then(Object::as_array);
        for (idx, width) in widths.into_iter().flatten().take(256).enumerate() {
            let code = u32::try_from(first).unwrap_or(0).saturating_add(idx as u32);
            if let Some(width) = float(document, width) {
                self.widths.insert(code, (code, width));
            }
        }
        let matrix = dict.get_deref(b"FontMatrix", document).and_then(Object::as_array).ok();
        let scale = matrix.and_then(|m| m.first()).and_then(|n| float(document, n));
        self.scale = scale.map_or(1.0, |scale| scale * 1_000.0);
    }

    /// Widths of a font with codes of two bytes: `code [w w …]` and `first last w`.
    fn read_wide_widths(&mut self, document: &Document, dict: &Dictionary) {
        let below = dict.get_deref(b"DescendantFonts", document).and_then(Object::as_array);
        let below = below.ok().and_then(|fonts| fonts.first());
        let below = below.and_then(|font| document.dereference(font).ok());
        let Some(below) = below.and_then(|(_, font)| font.as_dict().ok()) else { return };
        let missing = below.get_deref(b"DW", document).ok().and_then(|w| float(document, w));
        self.missing = Some(missing.unwrap_or(1_000.0));
        let mut codes: Vec<u32> = Vec::new();
        let items = below.get_deref(b"W", document).and_then(Object::as_array);
        for item in items.into_iter().flatten().take(ENTRIES_MAX) {
            if self.widths.len() >= ENTRIES_MAX {
                return;
            }
            let Ok((_, item)) = document.dereference(item) else { continue };
            match (item, codes.as_slice()) {
                (Object::Array(widths), [first]) => {
                    for (idx, width) in widths.iter().take(ENTRIES_MAX).enumerate() {
                        let code = first.saturating_add(idx as u32);
                        if let Some(width) = float(document, width) {
                            self.widths.insert(code, (code, width));
                        }
                    }
                    codes.clear();
                }
                (width, [first, last]) => {
                    if let (Some(width), true) = (float(document, width), first <= last) {
                        self.widths.insert(*first, (*last, width));
                    }
                    codes.clear();
                }
                (code, _) => codes.push(float(document, code).unwrap_or(0.0).max(0.0) as u32),
            }
        }
    }
}

/// The entry whose range holds `code`.
fn range<T>(map: &BTreeMap<u32, (u32, T)>, code: u32) -> Option<(u32, &(u32, T))> {
    let (first, entry) = map.range(..=code).next_back()?;
    (code <= entry.0).then_some((*first, entry))
}

/// A number, behind a reference or not.
fn float(document: &Document, object: &Object) -> Option<f64> {
    let (_, object) = document.dereference(object).ok()?;
    object.as_float().ok().map(f64::from).filter(|number| number.is_finite())
}

/// How wide a character is in the fonts that every reader has, which files need not describe.
fn estimate(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 260.0,
        ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' => 310.0,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 840.0,
        'A'..='Z' => 680.0,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{d7ff}' | '\u{ff00}'..='\u{ff60}' => 1_000.0,
        _ => WIDTH,
    }
}

/// The characters of a font with codes of one byte, and how many bytes were unpacked for them.
fn simple(document: &Document, dict: &Dictionary) -> (Vec<char>, usize) {
    let mut plain = dict.clone();
    plain.remove(b"ToUnicode");
    plain.set("Type", Object::Name(b"Font".to_vec()));
    // One name that it does not know makes the library drop all differences.
    let mut differences = None;
    if let Ok(Object::Dictionary(encoding)) = dict.get_deref(b"Encoding", document) {
        let mut encoding = encoding.clone();
        let list = encoding.get_deref(b"Differences", document).and_then(Object::as_array);
        differences = list.ok().cloned();
        encoding.remove(b"Differences");
        plain.set("Encoding", Object::Dictionary(encoding));
    }
    let mut table = vec!['\0'; 256];
    if let Ok(encoding) = plain.get_font_encoding_with_limit(document, STREAM_BYTES_MAX) {
        for (code, entry) in table.iter_mut().enumerate() {
            *entry = character(&encoding, code as u8).unwrap_or('\0');
        }
    }
    let based = match dict.get_deref(b"Encoding", document) {
        Ok(Object::Dictionary(encoding)) => encoding.has(b"BaseEncoding"),
        Ok(_) => true,
        Err(_) => false,
    };
    let mut cost = 0;
    if !based {
        let (listed, unpacked) = built_in(document, dict);
        cost = unpacked;
        for (code, name) in listed {
            if let (Some(entry), Some(c)) = (table.get_mut(code), named(document, &name)) {
                *entry = c;
            }
        }
    }
    let mut code = 0_usize;
    for item in differences.iter().flatten().take(DIFFERENCES_MAX) {
        match document.dereference(item) {
            Ok((_, Object::Integer(first))) => code = usize::try_from(*first).unwrap_or(256),
            Ok((_, Object::Name(name))) => {
                if let Some(entry) = table.get_mut(code) {
                    *entry = named(document, name).unwrap_or('\0');
                }
                code = code.saturating_add(1);
            }
            _ => {}
        }
    }
    (table, cost)
}

/// Codes and names of glyphs that an embedded Type 1 font lists itself, in clear text at its head:
/// `dup 12 /fi put`. TeX's fonts say it nowhere else.
fn built_in(document: &Document, dict: &Dictionary) -> (Vec<(usize, Vec<u8>)>, usize) {
    let none = (Vec::new(), 0);
    let descriptor = dict.get_deref(b"FontDescriptor", document).and_then(Object::as_dict);
    let file = descriptor.and_then(|found| found.get_deref(b"FontFile", document));
    let Ok(stream) = file.and_then(Object::as_stream) else { return none };
    let Ok(program) = stream.get_plain_content_with_limit(PROGRAM_BYTES_MAX) else {
        // As much was unpacked before it was too much.
        return (Vec::new(), PROGRAM_BYTES_MAX);
    };
    let mark = b"eexec";
    let head = program.windows(mark.len()).position(|part| part == mark).unwrap_or(0);
    let words: Vec<&[u8]> = program[..head]
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    let entry = |words: &[&[u8]]| match words {
        [b"dup", code, name, b"put"] => {
            let code = std::str::from_utf8(code).ok()?.parse().ok()?;
            Some((code, name.strip_prefix(b"/")?.to_vec()))
        }
        _ => None,
    };
    let listed = words.windows(4).filter_map(entry).take(DIFFERENCES_MAX).collect();
    (listed, program.len())
}

/// The one character of a code.
fn character(encoding: &Encoding, code: u8) -> Option<char> {
    encoding.bytes_to_string(&[code]).ok()?.chars().next().filter(|c| !c.is_control())
}

/// The character that a glyph's name stands for.
fn named(document: &Document, name: &[u8]) -> Option<char> {
    let text = std::str::from_utf8(name).ok()?;
    // `a.sc` is another form of `a`; `uni0041` and `u1F30A` say it themselves.
    let base = text.split('.').next().filter(|base| !base.is_empty())?;
    let hex = base.strip_prefix("uni").and_then(|hex| hex.get(..4)).or(base.strip_prefix('u'));
    let hex = hex.filter(|hex| hex.len() >= 4 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if let Some(hex) = hex {
        return u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
    }
    let list = vec![Object::Integer(0), Object::Name(base.as_bytes().to_vec())];
    let mut encoding = Dictionary::new();
    encoding.set("Differences", Object::Array(list));
    let mut font = Dictionary::new();
    font.set("Type", Object::Name(b"Font".to_vec()));
    font.set("Encoding", Object::Dictionary(encoding));
    let encoding = font.get_font_encoding_with_limit(document, STREAM_BYTES_MAX).ok()?;
    character(&encoding, 0)
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A code, or the bytes of one, as a number.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

/// UTF-16 as a CMap writes it: big end first.
fn units(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2).map(|pair| number(pair) as u16);
    let odd = if bytes.len() == 1 { bytes.first().map(|byte| u16::from(*byte)) } else { None };
    pairs.chain(odd).take(64).collect()
}

fn utf16(units: &[u16]) -> String {
    char::decode_utf16(units.iter().copied()).filter_map(Result::ok).collect()
}

/// A word of a CMap's language.
enum Token<'m> {
    Hex(Vec<u8>),
    Open,
    Close,
    Word(&'m [u8]),
}

/// The words of a CMap, comments left out.
fn tokens(map: &[u8]) -> impl Iterator<Item = Token<'_>> {
    let mut rest = map;
    std::iter::from_fn(move || {
        loop {
            let (first, behind) = rest.split_first()?;
            match first {
                b'%' => {
                    let end = behind.iter().position(|b| matches!(b, b'\n' | b'\r'));
                    rest = behind.get(end?..)?;
                }
                b'[' | b']' => {
                    rest = behind;
                    return Some(if *first == b'[' { Token::Open } else { Token::Close });
                }
                b'<' if behind.first() != Some(&b'<') => {
                    let len = behind.iter().position(|b| *b == b'>')?;
                    let hex = behind.get(..len)?;
                    rest = behind.get(len + 1..)?;
                    return Some(Token::Hex(unhex(hex)));
                }
                b if b.is_ascii_alphanumeric() => {
                    let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
                    let (word, behind) = rest.split_at_checked(len)?;
                    rest = behind;
                    // Numbers count rows; the rows are read until they end.
                    if word.first().is_some_and(u8::is_ascii_alphabetic) {
                        return Some(Token::Word(word));
                    }
                }
                b'<' => rest = behind.get(1..)?,
                _ => rest = behind,
            }
        }
    })
}

/// Bytes from pairs of hexadecimal digits; white space between them means nothing.
fn unhex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> =
        text.iter().filter_map(|b| char::from(*b).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect()
}
