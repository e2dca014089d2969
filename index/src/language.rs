//! In which language a text is written, and what its words are when their endings are taken off.
//!
//! Scripts that one great language writes are stemmed by that language's rules, whatever the text.
//! Latin letters are shared by many: English rules hold for all of them, and a text in another
//! language has its words' stems by its own rules beside those. The language stands in front of a
//! text as a sign of its own, so that whoever cuts it needs nothing else.

use frostem::{Algorithm, Stemmer};
use whatlang::{Detector, Lang};

/// Bytes at the head of a text by which its language is told.
const SAMPLE_BYTES: usize = 1_200;
/// Words that a sample needs.
const WORDS_MIN: usize = 8;
/// One of so many words is a common English one in English texts.
const ENGLISH_SHARE: usize = 9;
/// Letters that a sample of another script needs; such scripts need not part words.
const LETTERS_MIN: usize = 20;
/// The first of the signs, one for each language; from a private area of Unicode.
const SIGN: u32 = 0xF_8D00;

/// The code of English.
pub const ENGLISH: &str = "en";

/// A language of Latin letters other than English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Language(u8);

/// Code, detection, stems; the order is that of the signs in the index, so new ones come last.
const LANGUAGES: &[(&str, Lang, Algorithm)] = &[
    ("de", Lang::Deu, Algorithm::German),
    ("fr", Lang::Fra, Algorithm::French),
    ("es", Lang::Spa, Algorithm::Spanish),
    ("it", Lang::Ita, Algorithm::Italian),
    ("pt", Lang::Por, Algorithm::Portuguese),
    ("nl", Lang::Nld, Algorithm::Dutch),
    ("sv", Lang::Swe, Algorithm::Swedish),
    ("da", Lang::Dan, Algorithm::Danish),
    ("nb", Lang::Nob, Algorithm::Norwegian),
    ("fi", Lang::Fin, Algorithm::Finnish),
    ("hu", Lang::Hun, Algorithm::Hungarian),
    ("ro", Lang::Ron, Algorithm::Romanian),
    ("tr", Lang::Tur, Algorithm::Turkish),
    ("pl", Lang::Pol, Algorithm::Polish),
    ("cs", Lang::Ces, Algorithm::Czech),
];

impl Language {
    /// By its two letters.
    pub fn by_code(code: &str) -> Option<Self> {
        LANGUAGES.iter().position(|(known, ..)| *known == code).map(|n| Language(n as u8))
    }

    /// Two letters (ISO 639-1).
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// The sign that stands in front of a text.
    pub fn sign(self) -> char {
        char::from_u32(SIGN + u32::from(self.0)).unwrap_or(' ')
    }

    /// The language whose sign a text begins with.
    pub fn signed(text: &str) -> Option<Self> {
        let at = u32::from(text.chars().next()?).checked_sub(SIGN)?;
        ((at as usize) < LANGUAGES.len()).then_some(Language(at as u8))
    }

    /// Whether words are put together without a space in it.
    pub fn has_compounds(self) -> bool {
        matches!(self.code(), "de" | "nl" | "sv" | "da" | "nb" | "fi" | "hu")
    }

    /// The stem of a word in lower case.
    pub fn stem(self, word: &str) -> String {
        Stemmer::new(self.row().2).stem(word).into_owned()
    }

    fn row(self) -> &'static (&'static str, Lang, Algorithm) {
        // The number comes from this table or was held against it.
        LANGUAGES.get(usize::from(self.0)).unwrap_or(&LANGUAGES[0])
    }
}

/// What a note is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// English.
    English,
    /// Another language whose stems are known.
    Stemmed(Language),
    /// Any other that is told, mostly by its script.
    Other(Lang),
}

impl Written {
    /// The code that it is counted under: two letters (ISO 639-1), of others three (ISO 639-3).
    pub fn code(self) -> &'static str {
        match self {
            Written::English => ENGLISH,
            Written::Stemmed(language) => language.code(),
            Written::Other(lang) => lang.code(),
        }
    }

    /// The language by whose rules words have stems beside the English ones.
    pub fn stemmed(self) -> Option<Language> {
        match self {
            Written::Stemmed(language) => Some(language),
            Written::English | Written::Other(_) => None,
        }
    }
}

/// The English name of the language with a code of [`Written`].
pub fn name(code: &str) -> Option<&'static str> {
    let row = LANGUAGES.iter().find(|(known, ..)| *known == code);
    let lang = match code {
        ENGLISH => Lang::Eng,
        _ => row.map(|(_, lang, _)| *lang).or_else(|| Lang::from_code(code))?,
    };
    Some(match lang {
        Lang::Cmn => "Chinese",
        Lang::Nob => "Norwegian",
        lang => lang.eng_name(),
    })
}

/// The language of a text in any script; `None` where it cannot be told.
pub fn written(text: &str) -> Option<Written> {
    let sample = sample(text);
    match glance(sample) {
        Glance::Short => None,
        Glance::English => Some(Written::English),
        Glance::Latin => latin(sample),
        Glance::Other => other(sample),
    }
}

/// What counting words and letters says of a sample.
enum Glance {
    /// There is too little of it.
    Short,
    /// Common English words tell it.
    English,
    /// Latin letters.
    Latin,
    /// Letters of other scripts.
    Other,
}

fn glance(sample: &str) -> Glance {
    let (mut n_words, mut n_english) = (0, 0);
    let words = sample.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words {
        n_words += 1;
        n_english += usize::from(is_english(word));
    }
    if n_words >= WORDS_MIN && n_english * ENGLISH_SHARE >= n_words {
        return Glance::English;
    }
    let (mut n_letters, mut n_latin) = (0, 0);
    for c in sample.chars().filter(|c| c.is_alphabetic()) {
        n_letters += 1;
        n_latin += usize::from(u32::from(c) < 0x250);
    }
    match n_latin * 10 < n_letters * 8 {
        true if n_letters >= LETTERS_MIN => Glance::Other,
        false if n_words >= WORDS_MIN => Glance::Latin,
        _ => Glance::Short,
    }
}

/// The language of a sample of Latin letters.
fn latin(sample: &str) -> Option<Written> {
    let mut all: Vec<Lang> = LANGUAGES.iter().map(|(_, lang, _)| *lang).collect();
    all.push(Lang::Eng);
    let found = Detector::with_allowlist(all).detect(sample).filter(|found| found.is_reliable())?;
    if found.lang() == Lang::Eng {
        return Some(Written::English);
    }
    let at = LANGUAGES.iter().position(|(_, lang, _)| *lang == found.lang())?;
    Some(Written::Stemmed(Language(at as u8)))
}

/// The language of a sample of other letters. One that Latin letters write is not told by the few
/// of them that are in it.
fn other(sample: &str) -> Option<Written> {
    let found = Detector::new().detect(sample).filter(|found| found.is_reliable())?;
    let lang = found.lang();
    let latin = lang == Lang::Eng || LANGUAGES.iter().any(|(_, known, _)| *known == lang);
    (!latin).then_some(Written::Other(lang))
}

/// The head of a text, by which its language is told.
fn sample(text: &str) -> &str {
    crate::chunk::clip(behind_front_matter(text), SAMPLE_BYTES)
}

fn behind_front_matter(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("---\n") else { return text };
    rest.find("\n---").map_or(text, |at| &rest[at + "\n---".len()..])
}

fn is_english(word: &str) -> bool {
    matches!(
        word,
        "the"
            | "The"
            | "and"
            | "of"
            | "to"
            | "is"
            | "for"
            | "that"
            | "with"
            | "this"
            | "are"
            | "it"
            | "be"
            | "as"
            | "you"
            | "not"
            | "by"
            | "from"
            | "when"
            | "if"
            | "can"
    )
}

/// The stem of a word in lower case whose script is that of one great language, in the form that
/// is indexed; `None` for other scripts.
pub fn stem_by_script(word: &str) -> Option<String> {
    let algorithm = match u32::from(word.chars().next()?) {
        0x0400..=0x052F => Algorithm::Russian,
        0x0370..=0x03FF | 0x1F00..=0x1FFF => Algorithm::Greek,
        0x0600..=0x06FF | 0x0750..=0x077F => return Some(arabic(word)),
        _ => return None,
    };
    Some(Stemmer::new(algorithm).stem(word).into_owned())
}

/// An Arabic word without article, particles and endings, by the rules of Larkey's light stemmer:
/// full stemming joins too much.
fn arabic(word: &str) -> String {
    let even = |c: char| match c {
        'أ' | 'إ' | 'آ' | 'ٱ' => Some('ا'),
        'ة' => Some('ه'),
        'ى' => Some('ي'),
        // The stretching sign, and vowels, which are mostly not written.
        'ـ' | '\u{064B}'..='\u{0652}' | '\u{0670}' => None,
        c => Some(c),
    };
    let word: String = word.chars().filter_map(even).collect();
    let long = |rest: &str, least: usize| rest.chars().count() >= least;
    let mut stem = word.as_str();
    if let Some(rest) = stem.strip_prefix('و').filter(|rest| long(rest, 3)) {
        stem = rest;
    }
    let articles = ["ال", "بال", "كال", "فال", "لل"];
    let bare = articles.iter().find_map(|article| stem.strip_prefix(article));
    if let Some(rest) = bare.filter(|rest| long(rest, 2)) {
        stem = rest;
    }
    for ending in ["ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي"] {
        if let Some(rest) = stem.strip_suffix(ending).filter(|rest| long(rest, 2)) {
            stem = rest;
        }
    }
    stem.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stemmed(text: &str) -> Option<Language> {
        written(text).and_then(Written::stemmed)
    }

    #[test]
    fn languages_are_told_and_english_is_left_alone() {
        for (code, text) in [
            (
                "de",
                "Der Hafen war am Morgen noch leer, und die Boote lagen ruhig am Steg. Wir \
                    haben lange auf den Wind gewartet, aber er kam nicht.",
            ),
            (
                "fr",
                "Le port était encore vide ce matin et les bateaux restaient calmes contre le \
                    quai. Nous avons attendu longtemps le vent, mais il n'est pas venu.",
            ),
            (
                "es",
                "El puerto todavía estaba vacío por la mañana y los barcos permanecían \
                    tranquilos en el muelle. Esperamos mucho tiempo el viento.",
            ),
            (
                "pl",
                "Port był rano jeszcze pusty, a łodzie leżały spokojnie przy pomoście. Długo \
                    czekaliśmy na wiatr, ale nie przyszedł.",
            ),
        ] {
            let found = stemmed(text);
            assert_eq!(found.map(Language::code), Some(code));
            assert_eq!(written(text), found.map(Written::Stemmed));
            let language = found.unwrap();
            let signed = format!("{}{text}", language.sign());
            assert_eq!(Language::signed(&signed), Some(language));
            assert_eq!(Language::by_code(code), Some(language));
        }
        for text in [
            "The harbour was still empty in the morning and the boats lay calm at the pier. We \
             waited for the wind.",
            "",
            "cargo build --release",
            "Гавань была ещё пуста утром, и лодки спокойно лежали у причала весь день.",
            "港は朝まだ空っぽで、船は桟橋に静かに横たわっていた。",
        ] {
            assert_eq!(stemmed(text), None, "{text}");
        }
        assert_eq!(Language::signed("text"), None);
        assert_eq!(Language::signed(""), None);
    }

    #[test]
    fn what_a_note_is_written_in_is_told_and_has_a_name() {
        for (text, told) in [
            (
                "The harbour was still empty in the morning and the boats lay calm at the pier. \
                 We waited for the wind.",
                Some("English"),
            ),
            (
                "Der Hafen war am Morgen noch leer, und die Boote lagen ruhig am Steg. Wir haben \
                 lange auf den Wind gewartet, aber er kam nicht.",
                Some("German"),
            ),
            ("Το λιμάνι ήταν ακόμα άδειο το πρωί και τα καΐκια έμεναν ήσυχα.", Some("Greek")),
            ("港は朝まだ空っぽで、船は桟橋に静かに横たわっていた。", Some("Japanese")),
            ("早晨的港口还是空的,小船静静地停在码头旁边。我们等了很久的风。", Some("Chinese")),
            ("항구는 아침에 아직 비어 있었고 배들은 부두에 조용히 있었다.", Some("Korean")),
            ("cargo build --release", None),
            ("港", None),
            ("", None),
        ] {
            let found = written(text);
            assert_eq!(found.and_then(|found| name(found.code())), told, "{text}");
        }
        for (code, ..) in LANGUAGES {
            assert!(name(code).is_some(), "{code} has no name");
        }
        assert_eq!((name("nb"), name("xx"), name("")), (Some("Norwegian"), None, None));
    }

    #[test]
    fn inflected_words_share_a_stem() {
        for (a, b) in [("лодки", "лодка"), ("δρόμοι", "δρόμος"), ("والكتاب", "كتاب")]
        {
            assert_eq!(stem_by_script(a), stem_by_script(b), "{a} {b}");
        }
        assert_eq!(stem_by_script("boat"), None);
        let german = Language::by_code("de").unwrap();
        assert_eq!(german.stem("häusern"), german.stem("haus"));
        assert_eq!(arabic("ال"), "ال");
    }
}
