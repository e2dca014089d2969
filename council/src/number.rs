//! Numbers as people and models write them, as exact fractions; and, as words, those that stand in
//! a text beside other words.
//!
//! Invariant: two texts give the same [`Fraction`] exactly when they say the same number; nothing
//! is rounded, and what does not fit 127 bits is no number.

use std::borrow::Cow;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// A fraction in lowest terms, its denominator above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Fraction {
    /// `None` for a denominator of zero, and for what does not fit.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 || numerator == i128::MIN || denominator == i128::MIN {
            return None;
        }
        let sign = if (numerator < 0) == (denominator < 0) { 1 } else { -1 };
        let (n, d) = (numerator.unsigned_abs(), denominator.unsigned_abs());
        let common = gcd(n, d).max(1);
        let (n, d) = (i128::try_from(n / common).ok()?, i128::try_from(d / common).ok()?);
        Some(Fraction { numerator: sign * n, denominator: d })
    }

    fn plus(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Fraction::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    fn over(self, other: Self) -> Option<Self> {
        Fraction::new(
            self.numerator.checked_mul(other.denominator)?,
            self.denominator.checked_mul(other.numerator)?,
        )
    }

    fn negated(self) -> Self {
        Fraction { numerator: -self.numerator, ..self }
    }

    fn is_below(self, other: Self) -> bool {
        let left = self.numerator.checked_mul(other.denominator);
        let right = other.numerator.checked_mul(self.denominator);
        left.zip(right).is_some_and(|(left, right)| left < right)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Decimals where they end: 5/2 is read as 2.5.
        let mut rest = self.denominator;
        let (mut twos, mut fives) = (0u32, 0u32);
        while rest % 2 == 0 {
            rest /= 2;
            twos += 1;
        }
        while rest % 5 == 0 {
            rest /= 5;
            fives += 1;
        }
        let places = twos.max(fives);
        if self.denominator == 1 {
            return write!(f, "{}", self.numerator);
        }
        let scaled = (rest == 1 && places <= 12)
            .then(|| self.numerator.checked_mul(10i128.pow(places)))
            .flatten();
        let Some(scaled) = scaled else {
            return write!(f, "{}/{}", self.numerator, self.denominator);
        };
        let digits = (scaled / self.denominator).unsigned_abs().to_string();
        let places = places as usize;
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        let sign = if self.numerator < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{part}")
    }
}

/// Marks of LaTeX and of print that say nothing about a number's value.
const IDLE: &[&str] = &[
    "\\left",
    "\\right",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\\!",
    "\\,",
    "\\;",
    "\\:",
    "\\ ",
    "\\$",
    "\\%",
    "\\displaystyle",
    "^\\circ",
    "^{\\circ}",
    "\\circ",
    "\\mathrm",
    "\\mathbf",
    "\\textbf",
    "**",
    "__",
    "`",
];

/// Longest text that is looked at as a number, in bytes.
const NUMBER_BYTES_MAX: usize = 200;

/// The number that a whole text says: `1,234.50`, `-3/4`, `\frac{3}{4}`, `1 1/2`, `18%`, `$ 18`,
/// `18 dollars`, `1.5e3`, `$3M`, `x = 7`. Percent signs, currencies and units are left out: 18 % is
/// 18.
pub fn parse(text: &str) -> Option<Fraction> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let mut plain = text.trim().to_owned();
    for mark in IDLE {
        // What is left of these two says something yet.
        let left = if matches!(*mark, "\\ " | "\\$") { &mark[1..] } else { "" };
        plain = plain.replace(mark, left);
    }
    let plain = plain.replace('\u{2212}', "-").replace(['\u{a0}', '\u{202f}', '~'], " ");
    let first = plain.find(|c: char| c.is_ascii_digit());
    let before = first.and_then(|at| plain[..at].chars().next_back());
    let money = is_money(before, has_formulas(&plain));
    let mut rest = plain.trim();
    // `x = 7`: one name, one sign of equality. `x = 3 or x = -3` and `x <= 5` say more.
    if let Some((left, right)) = rest.split_once('=') {
        let left = left.trim().trim_start_matches(['$', '(']);
        let name = !left.is_empty() && left.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !name || right.contains('=') {
            return None;
        }
        rest = right.trim();
    }
    let rest = rest.trim_matches(|c: char| matches!(c, '$' | '"' | '\'' | '(' | ')' | ' '));
    let rest = rest.trim_end_matches(['.', ',', ';', ':']);
    let (value, after) = signed(rest)?;
    let (value, after) = magnitude(value, after, money)?;
    unit(after).then_some(value)
}

/// Words that multiply.
const MAGNITUDES: &[(&str, u32)] =
    &[("hundred", 2), ("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

/// Whether a word, in lower case and without its plural, multiplies.
pub(crate) fn is_scale(word: &str) -> bool {
    MAGNITUDES.iter().any(|(name, _)| *name == word)
}

/// Letters that multiply an amount of money: `$3M`. Behind other numbers they are units and names.
const OF_MONEY: &[(&str, u32)] =
    &[("k", 3), ("m", 6), ("mn", 6), ("b", 9), ("bn", 9), ("t", 12), ("tn", 12)];

/// Signs before an amount of money.
const CURRENCIES: [char; 5] = ['$', '€', '£', '¥', '₹'];

/// Whether a number behind `before` is an amount of money. Where a text has formulas, `$2` may
/// begin one.
fn is_money(before: Option<char>, formulas: bool) -> bool {
    before.is_some_and(|c| CURRENCIES.contains(&c) && !(formulas && c == '$'))
}

/// Whether a `$` stands before no digit, as the last one of a formula does: `$2k + 1$`.
fn has_formulas(text: &str) -> bool {
    let opens = |at: usize| text[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    text.match_indices('$').any(|(at, _)| !opens(at))
}

/// The power of ten that a text begins with, and what follows it: ` million`, `-million`, right
/// behind an amount of money `M`.
fn scale(text: &str, money: bool) -> Option<(u32, &str)> {
    let start = text.strip_prefix('-').unwrap_or(text).trim_start();
    let end = start.find(|c: char| !c.is_alphanumeric()).unwrap_or(start.len());
    let (word, rest) = start.split_at(end);
    let of = |list: &[(&str, u32)], word: &str| {
        let found = list.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, power)| *power)
    };
    let glued = money && start.len() == text.len();
    let one = word.strip_suffix(['s', 'S']).unwrap_or(word);
    let power = of(MAGNITUDES, one).or_else(|| of(OF_MONEY, word).filter(|_| glued))?;
    Some((power, rest))
}

/// `1.5 million` is 1,500,000, and `2 hundred thousand` 200,000.
fn magnitude(value: Fraction, after: &str, money: bool) -> Option<(Fraction, &str)> {
    let (mut value, mut after) = (value, after);
    while let Some((power, rest)) = scale(after, money) {
        let ten = 10i128.checked_pow(power)?;
        value = Fraction::new(value.numerator.checked_mul(ten)?, value.denominator)?;
        after = rest;
    }
    Some((value, after))
}

/// A number with its sign at the beginning of a text, and what follows it.
fn signed(text: &str) -> Option<(Fraction, &str)> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('-') {
        let (value, after) = amount(rest)?;
        return Some((value.negated(), after));
    }
    amount(text.strip_prefix('+').unwrap_or(text))
}

fn amount(text: &str) -> Option<(Fraction, &str)> {
    let text = text.trim_start_matches(|c: char| c == ' ' || CURRENCIES.contains(&c));
    for name in ["\\dfrac", "\\tfrac", "\\frac"] {
        if let Some(rest) = text.strip_prefix(name) {
            return latex_fraction(rest);
        }
    }
    let (whole, after) = decimal(text)?;
    if let Some(rest) = after.trim_start().strip_prefix('/')
        && let Some((below, after)) = decimal(rest.trim_start())
    {
        return Some((whole.over(below)?, after));
    }
    // `1 1/2` and `1\frac{1}{2}`
    let next = after.trim_start();
    let mixed = if next.starts_with("\\frac") || next.starts_with("\\dfrac") {
        amount(next)
    } else if after.starts_with(' ') && whole.denominator == 1 {
        fraction(next)
    } else {
        None
    };
    match mixed {
        Some((part, after)) => Some((whole.plus(part)?, after)),
        None => Some((whole, after)),
    }
}

/// `1/2`, both in digits alone.
fn fraction(text: &str) -> Option<(Fraction, &str)> {
    let (above, rest) = decimal(text)?;
    let (below, after) = decimal(rest.strip_prefix('/')?)?;
    Some((above.over(below)?, after))
}

/// What follows `\frac`: `{3}{4}` or `34`.
fn latex_fraction(text: &str) -> Option<(Fraction, &str)> {
    let (above, rest) = group(text)?;
    let (below, after) = group(rest)?;
    Some((parse(above)?.over(parse(below)?)?, after))
}

/// `{…}` with its braces balanced, or one character.
fn group(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if !text.starts_with('{') {
        let first = text.chars().next()?;
        return Some(text.split_at(first.len_utf8()));
    }
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// Digits with separators, a point and an exponent.
fn decimal(text: &str) -> Option<(Fraction, &str)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    // A separator stands before exactly three digits.
    let grouped = |at: usize| digit(at) && digit(at + 1) && digit(at + 2) && !digit(at + 3);
    let mut at = 0;
    let (mut value, mut scale) = (0i128, 0u32);
    let (mut seen, mut point) = (false, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                scale += u32::from(point);
                seen = true;
            }
            b',' | b'_' | b' ' if seen && !point && grouped(at + 1) => {}
            b'{' if seen && !point && bytes[at..].starts_with(b"{,}") && grouped(at + 3) => at += 2,
            b'.' if !point && digit(at + 1) => point = true,
            _ => break,
        }
        at += 1;
    }
    if !seen {
        return None;
    }
    let value = Fraction::new(value, 10i128.checked_pow(scale)?)?;
    exponent(value, &text[at..])
}

/// `e3`, `E-3`, `\times 10^3`, `x 10^{3}`, `× 10⁻³` behind a number.
fn exponent(value: Fraction, text: &str) -> Option<(Fraction, &str)> {
    let start = text.trim_start();
    let signs = ["\\times", "\\cdot", "×", "·", "*", "x"];
    let ten =
        signs.iter().find_map(|sign| start.strip_prefix(sign)?.trim_start().strip_prefix("10"));
    let found = ten.and_then(power).or_else(|| whole(text.strip_prefix(['e', 'E'])?));
    let Some((n, after)) = found else { return Some((value, text)) };
    let ten = power_of_ten(n)?;
    let product = Fraction::new(
        value.numerator.checked_mul(ten.numerator)?,
        value.denominator.checked_mul(ten.denominator)?,
    )?;
    Some((product, after))
}

fn power_of_ten(n: i32) -> Option<Fraction> {
    let ten = 10i128.checked_pow(n.unsigned_abs())?;
    if n < 0 { Fraction::new(1, ten) } else { Fraction::new(ten, 1) }
}

/// The power that stands behind its base, and what follows it: `^3`, `^{-3}`, `⁻³`.
fn power(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix('^') {
        let braced = rest.strip_prefix('{');
        let (n, after) = whole(braced.unwrap_or(rest))?;
        return Some((n, braced.and_then(|_| after.strip_prefix('}')).unwrap_or(after)));
    }
    let raised = |c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹⁻".contains(c);
    let end = text.find(|c: char| !raised(c)).unwrap_or(text.len());
    let plain: String = text[..end].nfkc().collect();
    let (n, left) = whole(&plain)?;
    left.is_empty().then_some((n, &text[end..]))
}

/// A whole number with its sign, and what follows it.
fn whole(text: &str) -> Option<(i32, &str)> {
    let below = text.strip_prefix(['-', '\u{2212}']);
    let digits = below.or_else(|| text.strip_prefix('+')).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let n: i32 = digits[..end].parse().ok()?;
    Some((if below.is_some() { -n } else { n }, &digits[end..]))
}

/// Words that make another value of a number: hours, years, months.
const OTHER: &[&str] = &[
    "am",
    "pm",
    "bc",
    "ad",
    "bce",
    "ce",
    "or",
    "and",
    "to",
    "pi",
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Words behind a number that only say of what: no further digits, no variable, not many.
fn unit(text: &str) -> bool {
    // A unit stands apart from its number; what is glued to it is a factor (`2x`, `10^6`, `3i`).
    let glued = text.chars().next().is_some_and(|c| c.is_alphabetic() || "^\\!_".contains(c));
    let text = text.trim();
    let words: Vec<&str> = text.split_whitespace().collect();
    let lower = |word: &str| word.trim_matches(['.', ',', '(', ')']).to_lowercase();
    let other = words.iter().any(|word| OTHER.contains(&lower(word).as_str()));
    let one = words.first().is_some_and(|word| word.chars().count() == 1);
    let letter = one && text.starts_with(char::is_alphabetic) && !text.starts_with(['m', 'g', 's']);
    let tex = text.starts_with('\\') && !text.starts_with("\\text");
    let said = |c: char| c.is_alphabetic() || " %°$€£¥²³.\\{}^/-'\"()".contains(c);
    let mut before = ' ';
    // The digit of an exponent belongs to its unit.
    let plain = text.chars().all(|c| {
        let fits = said(c) || c.is_ascii_digit() && before == '^';
        before = c;
        fits
    });
    let known = ["%", "cm", "mm", "km", "kg", "ml", "th", "st", "nd", "rd"];
    let glued = glued && !known.iter().any(|unit| lower(text) == *unit);
    plain
        && !glued
        && !other
        && !letter
        && !tex
        && words.len() <= 4
        && !text.starts_with(['+', '*', '/', '-'])
}

/// A unit that makes another value of a number, beside others of the same quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The place of its quantity in [`UNITS`].
    quantity: usize,
    /// As it is shown.
    pub name: &'static str,
}

impl Unit {
    /// Whether one number of both units is two values: `5 mg` and `5 g`. `5 m` and `5 minutes` may
    /// be the same.
    pub fn differs(self, other: Unit) -> bool {
        self.quantity == other.quantity && self.name != other.name
    }
}

/// By quantity: units by name, and how they are written in lower case. Words of two meanings are
/// left out: `in`, `pounds`.
const UNITS: &[&[(&str, &[&str])]] = &[
    &[
        ("ug", &["ug", "mcg", "microgram", "micrograms"]),
        ("mg", &["mg", "milligram", "milligrams"]),
        ("g", &["g", "gram", "grams"]),
        ("kg", &["kg", "kilogram", "kilograms"]),
    ],
    &[
        ("mm", &["mm", "millimeter", "millimeters", "millimetre", "millimetres"]),
        ("cm", &["cm", "centimeter", "centimeters", "centimetre", "centimetres"]),
        ("m", &["m", "meter", "meters", "metre", "metres"]),
        ("km", &["km", "kilometer", "kilometers", "kilometre", "kilometres"]),
        ("inches", &["inch", "inches"]),
        ("feet", &["ft", "foot", "feet"]),
        ("miles", &["mile", "miles"]),
    ],
    &[
        ("ml", &["ml", "milliliter", "milliliters", "millilitre", "millilitres"]),
        ("l", &["l", "liter", "liters", "litre", "litres"]),
    ],
    &[
        ("seconds", &["second", "seconds"]),
        ("minutes", &["minute", "minutes"]),
        ("hours", &["hour", "hours"]),
        ("days", &["day", "days"]),
        ("weeks", &["week", "weeks"]),
        ("months", &["month", "months"]),
        ("years", &["year", "years"]),
    ],
    &[
        ("dollars", &["$", "dollar", "dollars", "usd"]),
        ("cents", &["cent", "cents"]),
        ("euros", &["\u{20ac}", "euro", "euros", "eur"]),
        ("\u{a3}", &["\u{a3}", "gbp"]),
        ("\u{a5}", &["\u{a5}", "yen", "jpy"]),
        ("rupees", &["\u{20b9}", "rupee", "rupees", "inr"]),
    ],
    &[
        ("\u{b0}C", &["\u{b0}c", "celsius"]),
        ("\u{b0}F", &["\u{b0}f", "fahrenheit"]),
        ("kelvin", &["kelvin", "kelvins"]),
    ],
];

/// The first known unit in a text that says a number.
pub fn unit_of(text: &str) -> Option<Unit> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let mut plain = text.to_lowercase().replace(['\u{b5}', '\u{3bc}'], "u");
    for degree in ["^{\\circ}", "^\\circ", "\\circ", "\u{b0} "] {
        plain = plain.replace(degree, "\u{b0}");
    }
    // `$5$` is a formula, `\$5` and `$5` are dollars.
    let formula = plain.matches('$').count() > 1;
    let sign =
        |c: char| matches!(c, '$' | '\u{20ac}' | '\u{a3}' | '\u{a5}' | '\u{20b9}' | '\u{b0}');
    let words = plain.split(|c: char| !c.is_alphabetic() && !sign(c));
    let mut words = words.filter(|word| !formula || *word != "$");
    let known = |word: &str| {
        UNITS.iter().enumerate().find_map(|(quantity, units)| {
            let unit = units.iter().find(|(_, written)| written.contains(&word));
            unit.map(|&(name, _)| Unit { quantity, name })
        })
    };
    words.find_map(known)
}

/// A line in which numbers that a power of ten multiplies stand in digits alone: `1.5 million` and
/// `1.5e6` as `1500000`, `$3M` as `$3000000`, and both ends of `5 to 6 million`. What is not surely
/// multiplied stays: `3M` is a firm, `In 1990 millions died` has a year.
pub(crate) fn in_digits(line: &str) -> Cow<'_, str> {
    let digit = |c: char| c.is_ascii_digit();
    if !line.contains(digit) {
        return Cow::Borrowed(line);
    }
    let formulas = has_formulas(line);
    let (mut out, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(start) = line[from..].find(digit).map(|n| from + n) {
        let before = line[..start].chars().next_back();
        let text = &line[start..];
        from = start + numeral(text).len();
        // The rest of a name, of a fraction, of another number.
        let rest = before.is_some_and(|c| c.is_alphanumeric() || ".,/^_\\".contains(c));
        if rest || grouped(&line[..start], text) {
            continue;
        }
        let money = is_money(before, formulas) || names_money(&line[..start], text);
        if let Some((number, after)) = multiplied(text, money) {
            out.push_str(&line[copied..start]);
            out.push_str(&number);
            from = line.len() - after.len();
            copied = from;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(line);
    }
    out.push_str(&line[copied..]);
    Cow::Owned(out)
}

/// Currencies as they stand beside an amount in words.
const CURRENCY_NAMES: [&str; 10] =
    ["usd", "dollars", "eur", "euros", "gbp", "pounds", "jpy", "yen", "inr", "rupees"];

/// Whether a currency is named right before a number or behind it: `EUR 2.5bn`, `3M dollars`.
fn names_money(before: &str, text: &str) -> bool {
    let is_name = |word: &str| CURRENCY_NAMES.iter().any(|name| name.eq_ignore_ascii_case(word));
    let other = |c: char| !c.is_alphabetic();
    let behind = text[numeral(text).len()..].trim_start_matches(char::is_alphabetic);
    before.trim_end().rsplit(other).next().is_some_and(is_name)
        || behind.trim_start().split(other).next().is_some_and(is_name)
}

/// Whether the digits of a text go on with a number before it whose separators are spaces:
/// `10 000 million`, but not `In 2019 500 million`.
fn grouped(before: &str, text: &str) -> bool {
    let head = before.strip_suffix([' ', '\u{a0}', '\u{202f}']).unwrap_or_default();
    let n_before = head.bytes().rev().take_while(u8::is_ascii_digit).count();
    let n = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&n_before) && n == 3
}

/// The digits that a text begins with, and the separators between them.
fn numeral(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.');
    text[..end.unwrap_or(text.len())].trim_end_matches([',', '.'])
}

/// The number that a text begins with, in digits, and what follows it, where a power of ten
/// multiplies it.
fn multiplied(text: &str, money: bool) -> Option<(String, &str)> {
    let digits = numeral(text);
    let behind = &text[digits.len()..];
    let (value, _) = decimal(digits).filter(|(_, rest)| rest.is_empty())?;
    // A power alone: `10^6`.
    let (product, after) = match power(behind).filter(|_| digits == "10") {
        Some((n, after)) => (power_of_ten(n)?, after),
        None => exponent(value, behind)?,
    };
    let (product, after) = magnitude(product, after, money)?;
    let said = &behind[..behind.len() - after.len()];
    let product = if said.is_empty() { shared(value, behind, money)? } else { product };
    // A year: `in 2020 millions died`, `in 2020 million-dollar damages were paid`.
    let plain = digits.len() == 4 && !digits.contains(['.', ',']) && digits < "2100";
    let year = plain && (said.ends_with(['s', 'S']) || after.starts_with('-'));
    let shown = product.to_string();
    // `10^3.5` goes on, `5 million.` ends.
    let rest = after.strip_prefix(['.', ',']).unwrap_or(after);
    let ends = !rest.starts_with(|c: char| c.is_ascii_digit()) && !shown.contains('/');
    let ends = ends && !after.starts_with(char::is_alphanumeric);
    (ends && !year).then_some((shown, after))
}

/// What stands between the ends of a range.
const JOINTS: [&str; 7] = ["-", "\u{2013}", " - ", " \u{2013} ", " to ", " and ", " or "];

/// The lower end of a range, multiplied as its upper one is: `5 to 6 million`, but not `900,000 to
/// 1.2 million`.
fn shared(lower: Fraction, behind: &str, money: bool) -> Option<Fraction> {
    let rest = JOINTS.iter().find_map(|joint| behind.strip_prefix(joint))?;
    let text = rest.trim_start_matches(CURRENCIES);
    let digits = numeral(text);
    let (upper, left) = decimal(digits)?;
    let after = &text[digits.len()..];
    let (product, end) = magnitude(lower, after, money && text.len() < rest.len())?;
    let multiplied = end.len() < after.len() && left.is_empty();
    (multiplied && lower.is_below(upper)).then_some(product)
}

/// Day, month and year of a date with points: `20.07.1969`, but not the version `1.2.3`.
pub(crate) fn dotted(word: &str) -> Option<[String; 3]> {
    if !(8..=10).contains(&word.len()) || !word.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let mut parts = word.split('.');
    let date = [parts.next()?, parts.next()?, parts.next()?];
    let fits = |place: usize, chars: usize| date.get(place).is_some_and(|p| p.len() == chars);
    let small = date.iter().filter(|part| matches!(part.len(), 1 | 2)).count() == 2;
    let year = fits(0, 4) || fits(2, 4);
    (small && year && parts.next().is_none()).then(|| date.map(str::to_owned))
}

/// A number in a text as it is compared with others: `05`, `5th` and `5.0` are 5.
pub(crate) fn counted(word: &str) -> String {
    let bare = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end));
    let bare = bare.unwrap_or(word);
    let (whole, part) = bare.split_once('.').unwrap_or((bare, ""));
    if !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
        return word.to_owned();
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

/// Whether one of these numbers is none of the others, or is said more often. A year of two digits
/// is any that ends so: `1979-80`.
pub(crate) fn lacks(numbers: &[String], others: &[String]) -> bool {
    let short = |a: &str, b: &str| a.len() == 2 && b.len() == 4 && b.ends_with(a);
    let mut left: Vec<&str> = others.iter().map(String::as_str).collect();
    numbers.iter().any(|number| {
        let same = left.iter().position(|other| other == number);
        let found = same
            .or_else(|| left.iter().position(|other| short(number, other) || short(other, number)));
        found.map(|at| left.swap_remove(at)).is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Option<String> {
        parse(text).map(|value| value.to_string())
    }

    #[test]
    fn the_ways_to_write_a_number() {
        let same = [
            ("18", "18"),
            ("$18", "18"),
            ("18 dollars", "18"),
            ("18%", "18"),
            ("-3/4", "-0.75"),
            ("\\frac{3}{4}", "0.75"),
            ("\\dfrac34", "0.75"),
            ("-\\frac{1}{3}", "-1/3"),
            ("1 1/2", "1.5"),
            ("1,234,567.50", "1234567.5"),
            ("1{,}000", "1000"),
            ("10 000", "10000"),
            ("x = 7.", "7"),
            ("1.5e3", "1500"),
            ("2 \\times 10^{3}", "2000"),
            ("2 x 10^3 m", "2000"),
            ("2 \u{d7} 10\u{b3}", "2000"),
            ("5 \u{d7} 10\u{207b}\u{b9}", "0.5"),
            ("\u{2212}5", "-5"),
            ("90^\\circ", "90"),
            ("$70,000", "70000"),
            ("0.050", "0.05"),
            ("12 cm^2", "12"),
            ("1.5 million", "1500000"),
            ("5cm", "5"),
            ("3 m", "3"),
            ("\\(x = -3\\)", "-3"),
            ("$3M", "3000000"),
            ("\\$3M", "3000000"),
            ("\\$3", "3"),
            ("\u{20ac}2.5bn.", "2500000000"),
            ("2 millions", "2000000"),
            ("2 hundred thousand", "200000"),
        ];
        for (text, value) in same {
            assert_eq!(shown(text).as_deref(), Some(value), "{text}");
        }
        assert_eq!(parse("12,34"), None, "no group of three");
        assert_eq!(shown(&"9".repeat(60)), None, "too long for 127 bits");
    }

    #[test]
    fn what_is_no_number_alone_is_none() {
        for text in [
            "",
            "abc",
            "3 + 4",
            "12:30",
            "1/0",
            "7 of 9 or 10",
            "x",
            "\\frac{1}{0}",
            "10\\pi",
            "2x",
            "4i",
            "10^6",
            "44 BC",
            "5 May",
            "5 am",
            "x <= 5",
            "x != 5",
            "x = 3 or x = -3",
            "5!",
            "\\frac{3\\pi}{4}",
            "3 \\sqrt{2}",
            "2 x",
            "3M",
            "1.5M",
            "$2k$",
            "$2k + 1$",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn a_scale_is_written_out_where_it_surely_is_one() {
        for (line, wanted) in [
            ("1.5 million people, 1.5e6", "1500000 people, 1500000"),
            ("a 2.5-billion-year age", "a 2500000000-year age"),
            ("200 Thousand Million", "200000000000"),
            ("2 \u{d7} 10^6 \u{e4}", "2000000 \u{e4}"),
            ("2 x 10^6, 2x10\u{2076}", "2000000, 2000000"),
            ("10\u{207b}\u{b2} or 10^\u{2212}2", "0.01 or 0.01"),
            ("from 5 to 6.5 million", "from 5000000 to 6500000"),
            ("4\u{2013}4.5 million", "4000000\u{2013}4500000"),
            ("900,000 to 1.2 million", "900,000 to 1200000"),
            ("$3M, \u{20ac}2.5bn and $40k", "$3000000, \u{20ac}2500000000 and $40000"),
            ("$3-$4M", "$3000000-$4000000"),
            ("EUR 2.5bn or 1.5M dollars", "EUR 2500000000 or 1500000 dollars"),
            ("In 2019 500 million", "In 2019 500000000"),
        ] {
            assert_eq!(in_digits(line), wanted, "{line}");
        }
        for line in [
            "",
            "In 1990 millions died",
            "In 2020 million-dollar damages were paid",
            "3M",
            "3 m",
            "1/2 million",
            "12,34 million",
            "$2k + 1$",
            "20.07.1969",
            "10 000 million",
            "20 euros; 3M tape, 3M and dollars",
            "10^3.5 and 10^n",
            "2 x 10 cm",
            "7e1c2 v1.5e6 1e99",
            "2 and 3, million-fold",
        ] {
            assert_eq!(in_digits(line), line);
        }
    }

    #[test]
    fn units_of_one_quantity_differ_and_no_others() {
        let name = |text: &str| unit_of(text).map(|unit| unit.name);
        for (text, unit) in [
            ("5 mg", Some("mg")),
            ("5\u{b5}g", Some("ug")),
            ("5\\text{ cm}", Some("cm")),
            ("5 cm^2", Some("cm")),
            ("5 dollars", Some("dollars")),
            ("$5", Some("dollars")),
            ("\\$5.00", Some("dollars")),
            ("$5$", None),
            ("20 \u{b0}C", Some("\u{b0}C")),
            ("20^\\circ F", Some("\u{b0}F")),
            ("90^\\circ", None),
            ("5%", None),
            ("5 apples", None),
            ("", None),
        ] {
            assert_eq!(name(text), unit, "{text}");
        }
        let differ = |a: &str, b: &str| unit_of(a).unwrap().differs(unit_of(b).unwrap());
        assert!(
            differ("5 mg", "5 g") && differ("20 \u{b0}C", "20 \u{b0}F") && differ("$5", "5 cents")
        );
        assert!(!differ("5 m", "5 minutes") && !differ("$5", "5 dollars"));
    }

    #[test]
    fn numbers_in_a_text_are_compared_by_what_they_count() {
        let words = ["007", "0.50", "1990", "2nd", "5mg", "0", "1.2.3"];
        assert_eq!(words.map(counted), ["7", "0.5", "1990", "2", "5mg", "0", "1.2.3"]);
        let lacks = |numbers: &[&str], others: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
            super::lacks(&owned(numbers), &owned(others))
        };
        assert!(lacks(&["3", "2020"], &["2020", "5"]));
        assert!(lacks(&["3", "3"], &["3"]), "said more often");
        assert!(!lacks(&["2020"], &["2020", "5"]) && !lacks(&[], &["1"]));
        assert!(!lacks(&["1979", "80"], &["1979", "1980"]));
        assert!(lacks(&["15", "2015"], &["12", "2015"]));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = parse(&text);
            let _ = in_digits(&text);
        }

        #[test]
        fn what_is_shown_is_read_again(n in -1_000_000_000i128..1_000_000_000, d in 1i128..10_000) {
            let value = Fraction::new(n, d).unwrap();
            prop_assert_eq!(parse(&value.to_string()), Some(value));
        }
    }
}
