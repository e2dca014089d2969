//! What is searched in place of a word that stands nowhere: its own parts, or the compounds that it
//! is a part of.
//!
//! German and its neighbours write in one what others write apart: who looks for `Versicherung`
//! means a `Krankenversicherung` too, and a `Krankenversicherungsbeitrag` is found where
//! `Krankenversicherung` and `Beitrag` stand. Nothing of that is in the index, and no dictionary is
//! asked: what a word is, the words of the documents say. Invariant: a word that stands anywhere is
//! left alone, and a query of which another word stands somewhere is changed only where the index
//! holds a language that makes compounds. Knows nothing of filters, which never change a score.

use crate::error::Result;
use crate::language::Language;
use crate::lexical::{PARTS, Part};
use crate::limit::{COMPOUNDS_COUNTED_MAX, COMPOUNDS_MAX, ENDING_TERMS_MAX, LOST_WORDS_MAX};
use crate::query::{self, Leaf, Query};
use crate::token::{fold, native_of};
use crate::view::View;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// Letters of the shortest word that is looked at.
const WORD_LETTERS_MIN: usize = 5;
/// Letters of the longest word that is cut: it bounds the places where it can be.
const WORD_LETTERS_MAX: usize = 60;
/// Letters of the shortest part that a word is cut into: shorter ones are endings and syllables.
const PART_LETTERS_MIN: usize = 4;
/// Letters that a compound has beside the word: fewer are an ending of the word itself.
const REST_LETTERS_MIN: usize = 3;
/// What joins the parts of a compound.
const LINKS: [&str; 7] = ["", "s", "es", "n", "en", "e", "er"];
/// Weight beside words that do stand somewhere: what is searched was not typed.
const BESIDE_WEIGHT: f32 = 0.5;
/// Compounds that the note names.
const NAMED_MAX: usize = 4;
/// Where compounds are looked for: the dictionaries of other parts are of names.
const LOOKED_IN: [Part; 2] = [Part::Body, Part::Title];

/// A word of the query that stands nowhere.
struct Lost {
    /// Its place among the scored ones.
    at: usize,
    typed: String,
    forms: Vec<String>,
}

/// What is searched in place of one.
struct Instead {
    at: usize,
    leaves: Vec<Leaf>,
    said: String,
}

/// Puts parts and compounds in the place of scored words that stand nowhere; a note says which.
pub fn replace(view: &View, query: &mut Query) -> Result<()> {
    let (lost, beside) = lost(view, query)?;
    let (mut found, mut whole) = (Vec::new(), Vec::new());
    for word in lost {
        match parts(view, &query.languages, &word)? {
            Some(instead) => found.push(instead),
            None => whole.push(word),
        }
    }
    found.extend(compounds(view, &whole, ENDING_TERMS_MAX)?);
    if found.is_empty() {
        return Ok(());
    }
    let former = std::mem::take(&mut query.scored);
    let share = if beside { BESIDE_WEIGHT } else { 1.0 };
    for (at, (leaf, weight)) in former.into_iter().enumerate() {
        match found.iter().find(|instead| instead.at == at) {
            Some(instead) => {
                instead.leaves.iter().for_each(|leaf| add(query, leaf.clone(), weight * share));
            }
            None => add(query, leaf, weight),
        }
    }
    let said: Vec<String> = found.into_iter().map(|instead| instead.said).collect();
    query.notes.push(said.join("; "));
    Ok(())
}

/// Adds to what is scored; what is searched already weighs more.
fn add(query: &mut Query, leaf: Leaf, weight: f32) {
    match query.scored.iter_mut().find(|(known, _)| *known == leaf) {
        Some(row) => row.1 += weight,
        None => query.scored.push((leaf, weight)),
    }
}

/// The words that stand nowhere and may be replaced, and whether other words are beside them.
fn lost(view: &View, query: &Query) -> Result<(Vec<Lost>, bool)> {
    let compounding = query.languages.iter().any(|language| language.has_compounds());
    // What must be there decides alone what is found, wherever it stands.
    let mut beside = !query.required.is_empty();
    let mut lost = Vec::new();
    for (at, (leaf, _)) in query.scored.iter().enumerate() {
        // Elsewhere compounds are rare, and a look at the first common word ends it.
        if beside && !compounding {
            return Ok((Vec::new(), beside));
        }
        let Leaf::Word(forms) = leaf else { continue };
        if view.holds(forms)? {
            beside = true;
            continue;
        }
        let typed = query.as_typed(forms).filter(|typed| is_word(typed));
        if let Some(typed) = typed.filter(|_| lost.len() < LOST_WORDS_MAX) {
            lost.push(Lost { at, typed: typed.to_owned(), forms: forms.clone() });
        }
    }
    Ok((if beside && !compounding { Vec::new() } else { lost }, beside))
}

/// Long enough, and of Latin letters alone.
fn is_word(typed: &str) -> bool {
    let is_latin = |c: char| c.is_alphabetic() && u32::from(c) < 0x250;
    typed.chars().count() >= WORD_LETTERS_MIN && typed.chars().all(is_latin)
}

/// In how many passages one of these forms stands.
fn n_passages(view: &View, forms: &[String]) -> Result<u32> {
    let mut most = 0u32;
    for form in forms {
        let mut n = 0;
        for part in PARTS {
            view.postings(part, form, |_| n += 1)?;
        }
        most = most.max(n);
    }
    Ok(most)
}

/// The words that a word is made of, each to be searched as if it were typed.
fn parts(view: &View, languages: &[Language], word: &Lost) -> Result<Option<Instead>> {
    let stands = |part: &str| -> Result<Option<Standing>> {
        let forms = query::forms_of(part, languages);
        let n_passages = n_passages(view, &forms)?;
        if n_passages == 0 {
            return Ok(None);
        }
        let verbatim = forms.iter().any(|form| form == part) && view.holds(&[part.to_owned()])?;
        Ok(Some(Standing { n_passages, verbatim }))
    };
    let Some(parts) = cut(&word.typed, stands)? else { return Ok(None) };
    let leaves = parts.iter().map(|part| Leaf::Word(query::forms_of(part, languages))).collect();
    let said = format!("`{}` stands nowhere; searched {}", word.typed, quote_list(&parts, " and "));
    Ok(Some(Instead { at: word.at, leaves, said }))
}

/// How a part of a word stands in the documents.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    n_passages: u32,
    /// As it is, not by a stem that it shares.
    verbatim: bool,
}

#[derive(Clone)]
struct Piece {
    text: String,
    standing: Standing,
}

/// A way to cut a word.
struct Cut {
    pieces: Vec<Piece>,
    /// Passages of the rarest piece, whether all stand verbatim, letters that only join.
    rank: (u32, bool, Reverse<usize>),
}

impl Cut {
    fn of(pieces: Vec<Piece>, n_joining: usize) -> Self {
        let rarest = pieces.iter().map(|piece| piece.standing.n_passages).min().unwrap_or(0);
        let verbatim = pieces.iter().all(|piece| piece.standing.verbatim);
        Cut { pieces, rank: (rarest, verbatim, Reverse(n_joining)) }
    }
}

fn better(known: Option<Cut>, next: Cut) -> Option<Cut> {
    Some(known.filter(|known| known.rank >= next.rank).unwrap_or(next))
}

/// Cuts a word in lower case into two words that stand somewhere, or into three if there are no
/// two; of several cuts it is that whose rarest word is the most frequent.
fn cut(
    word: &str,
    mut stands: impl FnMut(&str) -> Result<Option<Standing>>,
) -> Result<Option<Vec<String>>> {
    let borders: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
    let n = borders.len() - 1;
    if !(2 * PART_LETTERS_MIN..=WORD_LETTERS_MAX).contains(&n) {
        return Ok(None);
    }
    let text = |from: usize, to: usize| &word[borders[from]..borders[to]];
    let mut piece = |from: usize, to: usize| -> Result<Option<Piece>> {
        let text = text(from, to);
        // A part before another one may have lost its `e` (`Schulbuch`).
        let spellings = [Some(text.to_owned()), (to < n).then(|| format!("{text}e"))];
        for text in spellings.into_iter().flatten().filter(|text| !query::is_stop(text)) {
            if let Some(standing) = stands(&text)? {
                return Ok(Some(Piece { text, standing }));
            }
        }
        Ok(None)
    };
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for from in PART_LETTERS_MIN..=n - PART_LETTERS_MIN {
        lasts.extend(piece(from, n)?.map(|last| (from, last)));
    }
    if lasts.is_empty() {
        return Ok(None);
    }
    for to in PART_LETTERS_MIN..=n - PART_LETTERS_MIN {
        firsts.extend(piece(0, to)?.map(|first| (to, first)));
    }
    let mut best = None;
    for ((to, first), (from, last)) in pairs(&firsts, &lasts) {
        if to <= from && LINKS.contains(&text(*to, *from)) {
            best = better(best, Cut::of(vec![first.clone(), last.clone()], from - to));
        }
    }
    if best.is_some() {
        return Ok(best.map(texts));
    }
    let mut known: HashMap<(usize, usize), Option<Piece>> = HashMap::new();
    for ((to, first), (from, last)) in pairs(&firsts, &lasts) {
        let between = if to < from { text(*to, *from) } else { "" };
        for (head, tail) in links_around(between) {
            let place = (to + head, from - tail);
            let middle = match known.get(&place) {
                Some(known) => known.clone(),
                None => piece(place.0, place.1)?,
            };
            known.insert(place, middle.clone());
            if let Some(middle) = middle {
                let pieces = vec![first.clone(), middle, last.clone()];
                best = better(best, Cut::of(pieces, head + tail));
            }
        }
    }
    Ok(best.map(texts))
}

/// A piece beside the border where it ends or begins.
type Placed = (usize, Piece);

/// Every first piece with every last one.
fn pairs<'p>(
    firsts: &'p [Placed],
    lasts: &'p [Placed],
) -> impl Iterator<Item = (&'p Placed, &'p Placed)> {
    firsts.iter().flat_map(move |first| lasts.iter().map(move |last| (first, last)))
}

/// How many letters may join what stands between two parts to the one before it and to the one
/// behind it, in all ways that leave enough for a part.
fn links_around(between: &str) -> Vec<(usize, usize)> {
    let n = between.chars().count();
    let mut out = Vec::new();
    for head in LINKS.iter().filter(|link| between.starts_with(**link)) {
        for tail in LINKS.iter().filter(|link| between.ends_with(**link)) {
            if head.len() + tail.len() + PART_LETTERS_MIN <= n {
                out.push((head.len(), tail.len()));
            }
        }
    }
    out
}

fn texts(cut: Cut) -> Vec<String> {
    cut.pieces.into_iter().map(|piece| piece.text).collect()
}

/// The compounds that begin with a word or end in it, for each word that has any; ends are looked
/// at if there are at most `n_terms_max` terms.
fn compounds(view: &View, words: &[Lost], n_terms_max: usize) -> Result<Vec<Instead>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let mut found: Vec<HashMap<String, u32>> = vec![HashMap::new(); words.len()];
    for (word, found) in words.iter().zip(&mut found) {
        let folded = fold(&word.typed);
        let heads = [Some(word.typed.as_str()), (*folded != word.typed).then_some(&*folded)];
        for head in heads.into_iter().flatten() {
            for part in LOOKED_IN {
                view.each_term(part, head, |term, n| {
                    if is_rest(term.strip_prefix(head)) {
                        *found.entry(term.to_owned()).or_default() += n;
                    }
                })?;
            }
        }
    }
    let n_terms: usize = LOOKED_IN.iter().map(|part| view.n_terms(*part)).sum();
    if n_terms <= n_terms_max {
        let tails: Vec<Vec<&str>> = words.iter().map(tails).collect();
        for part in LOOKED_IN {
            view.each_term(part, "", |term, n| {
                for (tails, found) in tails.iter().zip(&mut found) {
                    if tails.iter().any(|tail| is_rest(term.strip_suffix(*tail))) {
                        *found.entry(term.to_owned()).or_default() += n;
                    }
                }
            })?;
        }
    }
    let mut out = Vec::new();
    for (word, found) in words.iter().zip(found) {
        let terms = most_frequent(view, found)?;
        if !terms.is_empty() {
            let said = format!("`{}` stands nowhere; searched {}", word.typed, named(&terms));
            out.push(Instead { at: word.at, leaves: vec![Leaf::Word(terms)], said });
        }
    }
    Ok(out)
}

/// What a compound may end in: the word's forms, its stems by languages among them, which find it
/// whatever its ending is. Stems that are shorter than a part end too many words.
fn tails(word: &Lost) -> Vec<&str> {
    let n_letters = |form: &str| native_of(form).unwrap_or(form).chars().count();
    let forms = word.forms.iter().map(String::as_str);
    forms.filter(|form| n_letters(form) >= PART_LETTERS_MIN).collect()
}

/// Whether this is enough beside a word to make a compound of it.
fn is_rest(rest: Option<&str>) -> bool {
    rest.is_some_and(|rest| {
        rest.chars().count() >= REST_LETTERS_MIN && rest.chars().all(char::is_alphabetic)
    })
}

/// Those of the terms that stand in the most passages.
fn most_frequent(view: &View, found: HashMap<String, u32>) -> Result<Vec<String>> {
    let mut found: Vec<(String, u32)> = found.into_iter().collect();
    found.sort_by(by_frequency);
    found.truncate(COMPOUNDS_COUNTED_MAX);
    // Dictionaries count dead passages until segments are merged, which must change no answer.
    for row in &mut found {
        row.1 = n_passages(view, std::slice::from_ref(&row.0))?;
    }
    found.retain(|(_, n)| *n > 0);
    found.sort_by(by_frequency);
    found.truncate(COMPOUNDS_MAX);
    Ok(found.into_iter().map(|(term, _)| term).collect())
}

fn by_frequency(a: &(String, u32), b: &(String, u32)) -> Ordering {
    b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

/// Names compounds in a note, the most frequent first, each in one of its forms: a word for its
/// stem, and that with diacritics for the folded one.
fn named(terms: &[String]) -> String {
    let is_stem = |term: &str| native_of(term).is_some();
    let mut shown: Vec<&str> = Vec::new();
    for term in terms {
        let bare = native_of(term).unwrap_or(term);
        let is_shown_by = |word: &String| {
            (is_stem(term) || term.is_ascii() && !word.is_ascii())
                && !is_stem(word)
                && fold(word).starts_with(bare)
        };
        if !terms.iter().any(is_shown_by) && !shown.contains(&bare) {
            shown.push(bare);
        }
    }
    let more = shown.len().saturating_sub(NAMED_MAX);
    shown.truncate(NAMED_MAX);
    let all = quote_list(&shown, " or ");
    if more > 0 { format!("{all} and {more} more") } else { all }
}

/// Words as a note names them.
pub fn quote_list<S: AsRef<str>>(words: &[S], joint: &str) -> String {
    let quoted = words.iter().map(|word| {
        let word = word.as_ref();
        format!("`{}`", native_of(word).unwrap_or(word))
    });
    quoted.collect::<Vec<_>>().join(joint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Class;
    use crate::lexical::{DocumentText, Lexical, PassageText};
    use crate::limit::Memory;
    use crate::token::native_stem;

    /// Cuts a word where these stand, each in so many passages.
    fn cut_among(word: &str, known: &[(&str, u32)]) -> Option<Vec<String>> {
        let stands = |part: &str| {
            let row = known.iter().find(|(word, _)| *word == part);
            Ok(row.map(|(_, n)| Standing { n_passages: *n, verbatim: true }))
        };
        cut(word, stands).unwrap()
    }

    #[test]
    fn words_are_cut_where_their_parts_are_joined() {
        for (word, joined) in [
            ("hafenmauer", "hafen mauer"),
            ("krankenversicherungsbeitrag", "krankenversicherung beitrag"),
            ("bundesland", "bund land"),
            ("straßenbahn", "straße bahn"),
            ("pferdestall", "pferd stall"),
            ("kinderzimmer", "kind zimmer"),
            ("schulbuch", "schule buch"),
            ("krankenversicherungsbeitrag", "kranken versicherung beitrag"),
            ("schulbuchverlag", "schule buch verlag"),
        ] {
            let parts: Vec<&str> = joined.split(' ').collect();
            let known: Vec<(&str, u32)> = parts.iter().map(|part| (*part, 1)).collect();
            let found = cut_among(word, &known).unwrap_or_default();
            assert_eq!(found, parts, "{word}");
            // One of them alone is no cut.
            for at in 0..known.len() {
                let mut fewer = known.clone();
                fewer.remove(at);
                assert_eq!(cut_among(word, &fewer), None, "{word} of {fewer:?}");
            }
        }
    }

    #[test]
    fn nothing_is_cut_into_fragments() {
        for (word, parts) in [
            // Parts of three letters, more than a link between two, letters over at either end.
            ("ordnungsamt", ["ordnung", "amt"]),
            ("versicherungxbeitrag", ["versicherung", "beitrag"]),
            ("versicherungsnbeitrag", ["versicherung", "beitrag"]),
            ("hafenmauern", ["hafen", "mauer"]),
            ("dashafenmauer", ["hafen", "mauer"]),
            // Words that overlap, and words that say nothing.
            ("hafenmauer", ["hafenm", "nmauer"]),
            ("withstand", ["with", "stand"]),
            ("hafen", ["hafe", "afen"]),
            ("", ["hafen", "mauer"]),
        ] {
            assert_eq!(cut_among(word, &parts.map(|part| (part, 1))), None, "{word}");
        }
        let long = "hafen".repeat(WORD_LETTERS_MAX / 5 + 1);
        assert_eq!(cut_among(&long, &[("hafen", 1)]), None);
    }

    #[test]
    fn few_parts_go_before_many_and_frequent_ones_before_rare_ones() {
        let all = [("kranken", 9), ("versicherung", 9), ("krankenversicherung", 1), ("beitrag", 1)];
        let found = cut_among("krankenversicherungsbeitrag", &all);
        assert_eq!(found.unwrap_or_default(), ["krankenversicherung", "beitrag"]);
        for (stau, staub, wanted) in [(3, 2, ["stau", "becken"]), (2, 3, ["staub", "ecken"])] {
            let all = [("stau", stau), ("becken", 5), ("staub", staub), ("ecken", 5)];
            assert_eq!(cut_among("staubecken", &all).unwrap_or_default(), wanted);
        }
    }

    fn german() -> Language {
        Language::by_code("de").unwrap()
    }

    /// A view of one note.
    fn view(body: &str) -> View {
        let words = Lexical::in_memory().unwrap();
        let mut writer = words.writer(false, Memory::default()).unwrap();
        let (titles, path, tags, language) = ("Notiz", "notiz.md", "", Some(german()));
        let (file, generation, class) = (0, 1, Class::Note);
        let document = DocumentText { file, generation, class, titles, path, tags, language };
        writer.add(&document, &[PassageText { body, ..Default::default() }]).unwrap();
        writer.commit(1).unwrap();
        words.view(None).unwrap()
    }

    fn lost(typed: &str) -> Lost {
        let forms = query::forms_of(typed, &[german()]);
        Lost { at: 0, typed: typed.to_owned(), forms }
    }

    /// The terms that are searched in place of a word.
    fn terms(view: &View, typed: &str, n_terms_max: usize) -> Vec<String> {
        let found = compounds(view, &[lost(typed)], n_terms_max).unwrap();
        let leaves: Vec<Leaf> = found.into_iter().flat_map(|instead| instead.leaves).collect();
        let forms = leaves.into_iter().flat_map(|leaf| match leaf {
            Leaf::Word(forms) => forms,
            Leaf::Phrase(_) => panic!("a phrase"),
        });
        forms.collect()
    }

    #[test]
    fn compounds_begin_with_a_word_or_end_in_it() {
        let view = view(
            "Versicherungsbeitrag Rückversicherung Krankenversicherungen Versicherungen \
             xversicherung versichern",
        );
        let stem = |word: &str| native_stem(german(), word);
        let all = terms(&view, "versicherung", usize::MAX);
        for term in ["versicherungsbeitrag", "rückversicherung", "ruckversicherung"] {
            assert!(all.contains(&term.to_owned()), "{term}: {all:?}");
        }
        // By its stem, whatever its ending is.
        assert!(all.contains(&stem("krankenversicherungen")), "{all:?}");
        for term in ["versicherungen", "xversicherung", "versichern"] {
            assert!(!all.contains(&term.to_owned()), "{term}: {all:?}");
        }
        assert!(!all.contains(&stem("versicherung")), "{all:?}");
        // Over the limit the ends of terms are not looked at.
        assert_eq!(terms(&view, "versicherung", 0), ["versicherungsbeitrag"]);
        assert_eq!(terms(&view, "versicherungsbetrug", usize::MAX), [""; 0]);
    }

    #[test]
    fn a_note_names_each_compound_once_and_not_too_many() {
        let stem = native_stem(german(), "studiengebühren");
        let terms = [stem.clone(), "studiengebuhren".to_owned(), "studiengebühren".to_owned()];
        assert_eq!(named(&terms), "`studiengebühren`");
        let bare = format!("`{}`", native_of(&stem).unwrap());
        assert_eq!(named(&[stem]), bare);
        let many: Vec<String> = ('a'..'h').map(|c| format!("{c}versicherung")).collect();
        let said = named(&many);
        assert!(said.starts_with("`aversicherung` or `bversicherung` or "), "{said}");
        assert!(said.ends_with("`dversicherung` and 3 more"), "{said}");
    }
}
