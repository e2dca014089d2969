//! What people type, to what is searched: words, phrases, required and excluded words, filters.
//!
//! Invariant: no text is an error. What cannot be understood is searched as words, and a note says
//! what was done with it.

mod piece;

pub use piece::unquoted;

use crate::kind::code;
use crate::language::Language;
use crate::limit::{QUERY_BYTES_MAX, QUERY_TERMS_MAX};
use crate::qualifier::{Qualified, qualified_key};
use crate::token::{Form, Word, lower, name_key, native_stem, spelled, words};
use crate::trace::{self, Frame};
use piece::{Piece, pieces};
use unicode_normalization::char::is_combining_mark;

/// Something to look for in one document.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf {
    /// One word in any of its forms.
    Word(Vec<String>),
    /// Words one behind the other, each in any of its forms.
    Phrase(Vec<Vec<String>>),
}

/// A parsed query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// What adds to the score, with its weight.
    pub scored: Vec<(Leaf, f32)>,
    /// What a document must hold; adds to the score too.
    pub required: Vec<Leaf>,
    /// What a document must not hold.
    pub excluded: Vec<Leaf>,
    /// The whole query as one name, if it can be one.
    pub exact: Option<String>,
    /// The same with its signs, as a title is compared.
    pub title: Option<String>,
    /// The name in it as it was typed, if it is one run without spaces.
    pub spelling: Option<String>,
    /// The words of such a run, one behind the other.
    pub run: Option<Leaf>,
    /// All words of a query of several, one behind the other: a message that was pasted.
    pub message: Option<Leaf>,
    /// That run may be a path, or a file's name.
    pub is_path: bool,
    /// It ends as files of a language do: `Node.js`.
    pub is_file_name: bool,
    /// It ends as hosts and other files do: `example.com`, `report.pdf`.
    pub is_address: bool,
    /// The name whose definition is asked for, if the query is that: `struct Router`,
    /// `Router.mount`. Of what is a path too, where no document is called so.
    pub defined: Option<String>,
    /// That name with what it is said to stand in, as one key.
    pub qualified: Option<String>,
    /// What it is said to stand in, which may be a file or a folder.
    pub qualifier: Option<Leaf>,
    /// Lines of files that it names, as compilers and backtraces print them.
    pub frames: Vec<Frame>,
    /// Words that stand free, each by the first of its forms, as it was typed in lower case. Parts
    /// of names and of paths are none.
    pub free: Vec<(String, String)>,
    /// Filters typed into the query.
    pub filters: Vec<(Filter, bool)>,
    /// Those with `OR` between them: of each list one must fit.
    pub one_of: Vec<Vec<Filter>>,
    /// What the caller should know.
    pub notes: Vec<String>,
    /// Languages by whose rules its words are stemmed too.
    pub languages: Vec<Language>,
}

/// A filter typed as `name:value`; with `false` beside it, documents that match are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `tag:field/sea`
    Tag(String),
    /// `path:notes/` or a glob.
    Path(String),
    /// `file:tide` or a glob: the same of the file's name alone.
    File(String),
    /// `kind:rust`
    Kind(String),
    /// `source:vault`
    Source(String),
    /// `after:2026-01-31`
    After(String),
    /// `before:2026-01-31`
    Before(String),
}

/// Words that say little alone; dropped from a query that has others. Lucene's list and the
/// question words, which have a high idf in code and mean nothing there.
const STOP: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "did", "do", "does", "for",
    "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my",
    "no", "not", "of", "on", "or", "our", "such", "that", "the", "their", "then", "there", "these",
    "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why",
    "will", "with", "would", "you", "your",
];

/// Operators of Obsidian's search that are none here.
const FOREIGN: &[&str] = &[
    "block",
    "content",
    "ignore-case",
    "line",
    "match-case",
    "section",
    "task",
    "task-done",
    "task-todo",
];

/// Most words of a name that is looked up as a whole.
const NAME_WORDS_MAX: usize = 8;

/// Fewest and most words of a query that is looked for as it stands, and the fewest of them that
/// say something: any two words stand side by side somewhere, as `how to install` does.
const MESSAGE_WORDS: std::ops::RangeInclusive<usize> = 3..=64;
const MESSAGE_TELLING_MIN: usize = 2;

/// Weight of a run of words joined by punctuation (`1.0.21`, `src/main.rs`) as a phrase.
const JOINED_WEIGHT: f32 = 1.0;

/// Words before a name that only code has: whoever types one asks for a definition.
const KEYWORDS: &[&str] = &["def", "enum", "fn", "func", "impl", "struct"];
/// Words that stand in texts too: with them a name has to look like one.
const KEYWORDS_IN_TEXTS: &[&str] =
    &["class", "const", "function", "interface", "macro", "trait", "type"];
/// What hosts end in, and files that are no code; not what methods are called too (`info`, `zip`).
const ADDRESS_ENDINGS: &[&str] = &[
    "ai", "ch", "co", "com", "csv", "de", "dev", "docx", "edu", "eu", "fr", "gov", "io", "jpg",
    "md", "net", "nl", "org", "pdf", "png", "pptx", "txt", "uk", "us", "xlsx",
];
/// Letters of the longest ending that makes a name one of a file.
const EXTENSION_MAX: usize = 8;

/// What may stand before a word that stands free.
const OPENING: &str = "([{\"'„“‚‘«»";
/// What may stand behind it: `main(`, `a.b` and `a/b` are names.
const CLOSING: &str = ")]}\"'“”‘’«».,;:!?";

/// Parses what was typed.
pub fn parse(text: &str) -> Query {
    let mut query = Query::default();
    let clipped = crate::chunk::clip(text, QUERY_BYTES_MAX);
    if clipped.len() < text.len() {
        query.notes.push(format!(
            "the query is {} bytes long; only its first {QUERY_BYTES_MAX} were searched",
            text.len()
        ));
    }
    let clipped = trace::plain(link_target(clipped));
    let clipped = &*clipped;
    query.frames = trace::frames(clipped);
    let mut plain = String::new();
    let mut quoted = 0;
    let pieces = pieces(clipped);
    let mut left = pieces.as_slice();
    while let Some((piece, rest)) = left.split_first() {
        let either = alternatives(left);
        if either.len() > 1 {
            left = left.get(2 * either.len() - 1..).unwrap_or_default();
            query.one_of.push(either);
            continue;
        }
        match piece {
            Piece::Quoted(sign, inner) => {
                quoted += 1;
                query.quoted(*sign, inner);
            }
            Piece::Word("OR") if is_beside_filter(&pieces, pieces.len() - left.len()) => {
                query.note(OR_ALONE);
            }
            Piece::Word(word) => query.typed(word, &mut plain),
            Piece::Without(inner) => query.without(inner, &mut plain),
        }
        left = rest;
    }
    query.words(&plain);
    if quoted == 0 && query.required.is_empty() && query.excluded.is_empty() {
        query.one_name(plain.trim());
        query.one_run(plain.trim());
        query.one_message(plain.trim());
        query.one_definition(plain.trim());
    } else if quoted == 1 && plain.trim().is_empty() && query.excluded.is_empty() {
        query.one_name(clipped.trim().trim_matches('"'));
    }
    let is_filtered = !query.filters.is_empty() || !query.one_of.is_empty();
    if query.is_wordless() && query.notes.is_empty() && !is_filtered {
        let said = if clipped.trim().is_empty() { "is empty" } else { "holds no word" };
        query.notes.push(format!("the query {said}{NOTHING}"));
    }
    query
}

impl Query {
    /// Nothing is looked for by its words.
    pub fn is_wordless(&self) -> bool {
        self.scored.is_empty() && self.required.is_empty()
    }

    /// A word in these forms as it was typed, in lower case, if it stands free.
    pub(crate) fn as_typed(&self, forms: &[String]) -> Option<&str> {
        let known = self.free.iter().find(|(form, _)| forms.first() == Some(form));
        known.map(|(_, typed)| typed.as_str())
    }

    /// Lets words be found by their stems in these languages too.
    pub(crate) fn speak(&mut self, languages: &[Language]) {
        self.languages = languages.to_vec();
        let scored = self.scored.iter_mut().map(|(leaf, _)| leaf);
        // What must not occur, and phrases, are meant as they are written.
        for leaf in scored.chain(&mut self.required) {
            if let Leaf::Word(forms) = leaf {
                add_native(forms, languages);
            }
        }
    }

    /// Takes back that there is nothing to look for: filters or other wordings say what.
    pub(crate) fn asks_for_something(&mut self) {
        self.notes.retain(|note| !note.ends_with(NOTHING));
    }
}

/// How the note on a query without words ends.
const NOTHING: &str = "; there is nothing to look for";

/// What is said of an `OR` that joins no two filters.
const OR_ALONE: &str = "`OR` counts between two filters; here each filter must fit, and one of the \
                        words is enough";

/// What is said of things that stand in `-( … )` with no `OR` between them.
const EACH_LEFT_OUT: &str = "each of what stands in `-( … )` is left out, as with `OR` between";

/// What is said of brackets behind a minus that hold anything else.
const NO_LIST: &str = "`-( … )` leaves out words, quotes and filters in it; what stands there was \
                       searched as words";

/// Filters at the head of some pieces with `OR` between them, in brackets or not.
fn alternatives(pieces: &[Piece]) -> Vec<Filter> {
    let mut out = Vec::new();
    let is_open = matches!(pieces.first(), Some(Piece::Word(word)) if word.starts_with('('));
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Word(word) = *piece else { break };
        if at % 2 == 1 {
            if word == "OR" {
                continue;
            }
            break;
        }
        let bare = if is_open { word.trim_matches(['(', ')']) } else { word };
        let Some(filter) = filter(bare).filter(|it| crate::filter::check(it).is_ok()) else {
            break;
        };
        out.push(filter);
        if is_open && word.ends_with(')') {
            break;
        }
    }
    out
}

/// Whether a filter stands before or behind the piece at place `at`.
fn is_beside_filter(pieces: &[Piece], at: usize) -> bool {
    let is_filter = |piece: Option<&Piece>| match piece {
        Some(Piece::Word(word)) => filter(word.trim_start_matches(['-', '('])).is_some(),
        _ => false,
    };
    is_filter(at.checked_sub(1).and_then(|before| pieces.get(before)))
        || is_filter(pieces.get(at + 1))
}

/// Where a link leads if the query is one, as it stands in notes: `[[folder/Note#Part|text]]`.
fn link_target(text: &str) -> &str {
    let inner = text.trim().strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
    let target = inner.and_then(|inner| inner.split(['|', '#']).next());
    // What would mean something else without its brackets keeps them.
    let is_plain = |target: &&str| {
        let means = |word: &str| word.starts_with(['-', '+']) || word.contains([':', '"']);
        !target.is_empty() && !target.contains(['[', ']']) && !target.split_whitespace().any(means)
    };
    target.filter(is_plain).unwrap_or(text)
}

impl Query {
    /// Leaves out each thing that stands in `-( … )`, with `OR` between them or not. Of what is
    /// more than a list of them the words are searched.
    fn without(&mut self, inner: &str, plain: &mut String) {
        let pieces = pieces(inner);
        let is_thing = |piece: &Piece| match piece {
            Piece::Quoted(sign, _) => sign.is_none(),
            Piece::Word(word) => word.trim_start_matches('(').starts_with(char::is_alphanumeric),
            Piece::Without(_) => false,
        };
        if !pieces.iter().all(is_thing) {
            self.note(NO_LIST);
            plain.push_str(inner);
            plain.push(' ');
            return;
        }
        let (mut n_things, mut n_or) = (0, 0);
        for piece in &pieces {
            match piece {
                Piece::Word("OR") => n_or += 1,
                // `and` and `or` stand in most texts.
                Piece::Word(word) if is_stop(&lower(word)) => {}
                Piece::Word(word) => {
                    self.typed(&format!("-{}", word.trim_start_matches('(')), plain);
                    n_things += 1;
                }
                Piece::Quoted(_, text) => {
                    self.quoted(Some('-'), text);
                    n_things += 1;
                }
                Piece::Without(_) => {}
            }
        }
        if n_things > n_or + 1 {
            self.note(EACH_LEFT_OUT);
        }
    }

    fn quoted(&mut self, sign: Option<char>, inner: &str) {
        let Some(leaf) = as_it_stands(inner) else { return };
        let list = if sign == Some('-') { &mut self.excluded } else { &mut self.required };
        if list.len() < QUERY_TERMS_MAX {
            list.push(leaf);
        } else if !self.notes.iter().any(|n| n.contains("required or excluded")) {
            self.notes.push(format!(
                "only the first {QUERY_TERMS_MAX} required or excluded words were searched"
            ));
        }
    }

    /// Says something once.
    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    fn typed(&mut self, word: &str, plain: &mut String) {
        let (negative, body) = match word.strip_prefix('-') {
            Some(body) => (true, body),
            None => (false, word.trim_start_matches('(')),
        };
        if let Some(filter) = filter(body) {
            let Err(why) = crate::filter::check(&filter) else {
                self.filters.push((filter, !negative));
                return;
            };
            let value = body.split_once(':').map_or(body, |(_, value)| value).trim_matches('"');
            self.notes.push(format!("no filter by `{body}`: {why}; searched as words"));
            plain.push_str(value);
            plain.push(' ');
            return;
        }
        if let Some((name, value)) = body.split_once(':')
            && FOREIGN.contains(&name)
            // `task::spawn` is a name.
            && !value.is_empty()
            && !value.starts_with(':')
        {
            self.note(&format!("there is no filter `{name}:` here; it was searched as words"));
        }
        let sign = word.chars().next().filter(|c| matches!(c, '+' | '-'));
        let signed = word[sign.map_or(0, char::len_utf8)..].starts_with(char::is_alphanumeric);
        match (sign, signed) {
            (Some(sign), true) => {
                // All parts of a signed word count as one thing: `-foo_bar` excludes the name.
                self.quoted(Some(sign), &word[1..]);
            }
            _ => {
                plain.push_str(word);
                plain.push(' ');
            }
        }
    }

    /// Notes the name that the whole query can be.
    fn one_name(&mut self, typed: &str) {
        self.exact = whole_name(typed);
        self.title = self.exact.as_ref().map(|_| spelled(typed));
    }

    /// Notes what stands verbatim if the query is one run: a version, a path, an identifier.
    fn one_run(&mut self, typed: &str) {
        if typed.is_empty() || typed.contains(char::is_whitespace) {
            return;
        }
        match named(typed) {
            Some(named) => self.asks_for(&named),
            None => self.spelling = Some(typed.trim_end_matches("()").to_owned()),
        }
        let phrase = phrase_of(&words(typed));
        self.run = (phrase.len() > 1).then_some(Leaf::Phrase(phrase));
        let is_ending =
            |end: &str| end.len() <= EXTENSION_MAX && end.chars().all(char::is_alphabetic);
        let ends = typed.rsplit_once('.').is_some_and(|(_, end)| !end.is_empty() && is_ending(end));
        // A stroke parts words as well (`TCP/IP`): it is a path if documents are called so.
        self.is_path = ends || typed.starts_with('.') || typed.contains('/');
        self.is_file_name = ends && code::by_path(typed).is_some();
        let ending = typed.rsplit('.').next().unwrap_or_default();
        self.is_address = ends && ADDRESS_ENDINGS.contains(&&*lower(ending));
    }

    /// Notes what stands verbatim if the query is several words: an error message, a sentence.
    fn one_message(&mut self, typed: &str) {
        if !typed.contains(char::is_whitespace) {
            return;
        }
        let all = words(typed);
        let tells = |word: &&Word| {
            let is_part = matches!(word.form, Form::Part | Form::Unigram);
            is_part && !is_stop(&lower(&typed[word.bytes.clone()]))
        };
        let telling = all.iter().filter(tells).count();
        let phrase = phrase_of(&all);
        let is_message = MESSAGE_WORDS.contains(&phrase.len()) && telling >= MESSAGE_TELLING_MIN;
        self.message = is_message.then_some(Leaf::Phrase(phrase));
    }

    /// Notes the name if the query is one behind a keyword.
    fn one_definition(&mut self, typed: &str) {
        let Some((keyword, name)) = typed.split_once(' ') else { return };
        let bare = name.trim_end_matches("()");
        let looks_like_one = bare.len() < name.len()
            || bare.chars().any(|c| c.is_uppercase() || c.is_numeric() || c == '_');
        let is_keyword =
            KEYWORDS.contains(&keyword) || looks_like_one && KEYWORDS_IN_TEXTS.contains(&keyword);
        if !is_keyword || bare.contains(char::is_whitespace) {
            return;
        }
        if let Some(named) = Qualified::of(bare) {
            self.asks_for(&named);
        }
    }

    /// Notes a name whose definition is asked for, and what it is said to stand in.
    fn asks_for(&mut self, named: &Qualified) {
        let key = name_key(named.name);
        self.spelling = Some(named.name.to_owned());
        self.defined = (!key.is_empty() && self.exact.as_ref() != Some(&key)).then_some(key);
        if let Some(outer) = named.around.last() {
            self.qualified = Some(qualified_key(outer, named.name));
            self.qualifier = as_it_stands(outer);
        }
    }

    /// Adds the plain words, stop words only when there is nothing else.
    fn words(&mut self, plain: &str) {
        let all = words(plain);
        let is_stop = |word: &Word| {
            let typed = lower(&plain[word.bytes.clone()]);
            STOP.contains(&typed.as_ref())
        };
        let only_stop = all.iter().all(is_stop) && self.required.is_empty();
        if only_stop && !all.is_empty() && all.len() < QUERY_TERMS_MAX {
            self.notes.push("the query holds only common words; they were searched".to_owned());
        }
        let kept: Vec<&Word> = all.iter().filter(|w| only_stop || !is_stop(w)).collect();
        let mut left_out = 0;
        for group in groups(&kept) {
            if let Some(leaf) = leaf_of(&group, plain) {
                self.free.extend(free(&leaf, group[0], plain));
                if let Some(row) = self.scored.iter_mut().find(|(known, _)| *known == leaf) {
                    row.1 += 1.0;
                } else if self.scored.len() < QUERY_TERMS_MAX {
                    self.scored.push((leaf, 1.0));
                } else {
                    left_out += 1;
                }
            }
        }
        if left_out > 0 {
            self.notes.push(format!(
                "the query holds more than {QUERY_TERMS_MAX} words; {left_out} were left out"
            ));
        }
        for joined in joined_runs(&all, plain) {
            if self.scored.len() < QUERY_TERMS_MAX {
                self.scored.push((Leaf::Phrase(joined), JOINED_WEIGHT));
            }
        }
    }
}

/// Words that share a position: the accented form and the folded one are one word.
fn groups<'w>(kept: &[&'w Word]) -> Vec<Vec<&'w Word>> {
    let mut out: Vec<Vec<&Word>> = Vec::new();
    for word in kept {
        if let Some(group) = out.last_mut()
            && group[0].form == Form::Accented
            && word.form == Form::Part
            && group[0].position == word.position
        {
            group.push(word);
            continue;
        }
        out.push(vec![word]);
    }
    out
}

/// What one word is searched as.
fn leaf_of(group: &[&Word], plain: &str) -> Option<Leaf> {
    let word = group[0];
    match word.form {
        // A single character beside its bigrams adds noise; alone it is all there is.
        Form::Unigram if has_neighbour(word, plain) => None,
        Form::Part => {
            let mut forms = vec![word.text.clone()];
            // A whole identifier typed in lower case is indexed unstemmed.
            let typed = lower(&plain[word.bytes.clone()]).into_owned();
            if typed != word.text && typed.is_ascii() {
                forms.push(typed);
            }
            Some(Leaf::Word(forms))
        }
        _ => Some(Leaf::Word(group.iter().map(|w| w.text.clone()).collect())),
    }
}

/// A word and how it was typed, if nothing is joined to it.
fn free(leaf: &Leaf, word: &Word, plain: &str) -> Option<(String, String)> {
    let Leaf::Word(forms) = leaf else { return None };
    let before = plain[..word.bytes.start].rsplit(char::is_whitespace).next()?;
    let behind = plain[word.bytes.end..].split(char::is_whitespace).next()?;
    let is_free = matches!(word.form, Form::Part | Form::Accented)
        && before.chars().all(|c| OPENING.contains(c))
        && behind.chars().all(|c| CLOSING.contains(c));
    let typed = lower(&plain[word.bytes.clone()]).into_owned();
    let known = (forms.first()?.clone(), typed);
    is_free.then_some(known)
}

/// The forms of one word, as a word of a query has them.
pub(crate) fn forms_of(word: &str, languages: &[Language]) -> Vec<String> {
    let all = words(word);
    let all: Vec<&Word> = all.iter().collect();
    let leaf = groups(&all).first().and_then(|group| leaf_of(group, word));
    let Some(Leaf::Word(mut forms)) = leaf else { return Vec::new() };
    add_native(&mut forms, languages);
    forms
}

/// Whether a word in lower case says little alone.
pub(crate) fn is_stop(word: &str) -> bool {
    STOP.contains(&word)
}

/// The stems of a word, which is the last of its forms unless one keeps its diacritics.
fn add_native(forms: &mut Vec<String>, languages: &[Language]) {
    let typed = forms.iter().find(|form| !form.is_ascii()).or(forms.last()).cloned();
    let Some(typed) = typed.filter(|typed| typed.chars().all(char::is_alphabetic)) else { return };
    for language in languages {
        let stem = native_stem(*language, &typed);
        if !forms.contains(&stem) {
            forms.push(stem);
        }
    }
}

fn has_neighbour(word: &Word, plain: &str) -> bool {
    // A vowel sign of Thai or Hindi belongs to its letter.
    let after = plain[word.bytes.end..].chars().find(|c| !is_combining_mark(*c));
    let before = plain[..word.bytes.start].chars().next_back();
    let joins = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && c.is_alphanumeric());
    joins(after) || joins(before)
}

/// Runs of several words without a space between them, as phrases: versions, paths, addresses.
fn joined_runs(all: &[Word], plain: &str) -> Vec<Vec<Vec<String>>> {
    let mut runs = Vec::new();
    let mut run: Vec<Word> = Vec::new();
    let close = |run: &mut Vec<Word>, runs: &mut Vec<Vec<Vec<String>>>| {
        let phrase = phrase_of(run);
        // One identifier is covered by its whole form already.
        let one = run.first().is_some_and(|w| w.form == Form::Whole) && single(run);
        if phrase.len() > 1 && !one {
            runs.push(phrase);
        }
        run.clear();
    };
    for word in all {
        let gap = run.last().map(|last| last.bytes.end.min(word.bytes.start)..word.bytes.start);
        if gap.is_some_and(|gap| plain[gap].contains(char::is_whitespace)) {
            close(&mut run, &mut runs);
        }
        run.push(word.clone());
    }
    close(&mut run, &mut runs);
    runs
}

fn single(run: &[Word]) -> bool {
    let end = run[0].bytes.end;
    run.iter().all(|w| w.bytes.end <= end)
}

/// The positions of a phrase, each with its forms; whole forms and bigrams are implied by parts.
fn phrase_of(words: &[Word]) -> Vec<Vec<String>> {
    let mut out: Vec<(usize, Vec<String>)> = Vec::new();
    for word in words {
        if matches!(word.form, Form::Whole | Form::Bigram) {
            continue;
        }
        match out.last_mut() {
            Some((position, forms)) if *position == word.position => forms.push(word.text.clone()),
            _ => out.push((word.position, vec![word.text.clone()])),
        }
    }
    out.into_iter().map(|(_, forms)| forms).collect()
}

/// A text as it was typed: a word, or words one behind the other.
fn as_it_stands(text: &str) -> Option<Leaf> {
    let mut phrase = phrase_of(&words(text));
    match phrase.len() {
        0 | 1 => phrase.pop().map(Leaf::Word),
        _ => Some(Leaf::Phrase(phrase)),
    }
}

/// A run as a name with what it stands in: `sync::Mutex::lock`, `Router.mount()`. A version, an
/// address, an abbreviation (`e.g.`) and a path with strokes are none.
fn named(run: &str) -> Option<Qualified<'_>> {
    let named = Qualified::of(run).filter(|_| !run.contains(['/', '\\', '@']))?;
    let is_name = |part: &&str| part.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_letter = |part: &&str| part.chars().nth(1).is_none();
    let parts = || named.around.iter().chain([&named.name]);
    let abbreviates = run.contains('.') && parts().all(is_letter);
    (parts().all(is_name) && !abbreviates).then_some(named)
}

/// The query as one name, unless it is too long to be one.
fn whole_name(text: &str) -> Option<String> {
    let n = text.split_whitespace().count();
    if n == 0 || n > NAME_WORDS_MAX || text.len() > 200 {
        return None;
    }
    // A path of modules ends with the name: `sync::Mutex::lock`. A title may hold a point, so that
    // of `Mutex.lock()` the name is noted beside the whole.
    let one = (n == 1).then(|| {
        let bare = text.trim_end_matches("()");
        let named = Qualified::of(text).filter(|_| text.contains("::"));
        named.map_or(bare, |named| named.name)
    });
    let key = name_key(one.unwrap_or(text));
    (!key.is_empty()).then_some(key)
}

/// A value without the brackets at its end that were opened before it: `(tag:a -path:b)`.
fn unbracketed(value: &str) -> &str {
    let n_more = value.matches(')').count().saturating_sub(value.matches('(').count());
    let n_last = value.len() - value.trim_end_matches(')').len();
    &value[..value.len() - n_more.min(n_last)]
}

fn filter(word: &str) -> Option<Filter> {
    let (name, value) = word.split_once(':')?;
    let value = unbracketed(value).trim_matches('"').to_owned();
    if value.is_empty() || value.starts_with(':') {
        return None;
    }
    Some(match name {
        "tag" => Filter::Tag(value.trim_start_matches('#').to_lowercase()),
        "path" => Filter::Path(value),
        // `file:///…` is an address.
        "file" if !value.starts_with("//") => Filter::File(value),
        "kind" => Filter::Kind(value.to_lowercase()),
        "source" => Filter::Source(value),
        "after" => Filter::After(value),
        "before" => Filter::Before(value),
        _ => return None,
    })
}

/// The distinct normalised forms of a query's words: what a snippet marks.
pub fn forms(query: &Query) -> Vec<String> {
    let mut out = Vec::new();
    let leaves = query.scored.iter().map(|(leaf, _)| leaf).chain(&query.required);
    for leaf in leaves {
        match leaf {
            Leaf::Word(forms) => out.extend(forms.iter().cloned()),
            Leaf::Phrase(words) => out.extend(words.iter().flatten().cloned()),
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> Leaf {
        Leaf::Word(vec![text.to_owned()])
    }

    #[test]
    fn operators_and_filters() {
        let query =
            parse("tide +moon -rain \"spring tide\" tag:#field/sea path:notes/*.md kind:Rust");
        assert_eq!(query.scored, [(word("tide"), 1.0)]);
        assert_eq!(query.required[0], word("moon"));
        assert!(matches!(&query.required[1], Leaf::Phrase(p) if p.len() == 2));
        assert_eq!(query.excluded, [word("rain")]);
        assert_eq!(query.filters[0], (Filter::Tag("field/sea".to_owned()), true));
        assert_eq!(query.filters[2], (Filter::Kind("rust".to_owned()), true));
        assert_eq!(parse("-tag:x a").filters, [(Filter::Tag("x".to_owned()), false)]);
    }

    #[test]
    fn brackets_behind_a_minus_hold_what_is_left_out() {
        let tag = |name: &str| Filter::Tag(name.to_owned());
        let filters = |text: &str| parse(text).filters;
        assert_eq!(filters("-(tag:x OR tag:y)"), [(tag("x"), false), (tag("y"), false)]);
        assert_eq!(filters("-(tag:x OR (tag:y OR tag:z))").len(), 3);
        let query = parse("tide -(rain OR \"spring tide\")");
        assert_eq!((query.excluded.len(), query.notes.len()), (2, 0), "{query:?}");
        let query = parse("tide -(rain and snow)");
        assert_eq!((query.excluded.len(), query.notes.len()), (2, 1), "{query:?}");
        for text in ["-(", "-()", "a -(b", "-(a)b", "-(x + y)", "-(a -b)", "-(-(a))"] {
            assert!(parse(text).excluded.is_empty(), "{text}");
        }
        assert_eq!(unquoted("a -(\"b c\" OR d)"), None);
        assert_eq!(unquoted("a -((d) \"b c\")"), None);
        // In others filters are what they are without them.
        let path = |name: &str| Filter::Path(name.to_owned());
        assert_eq!(filters("(tag:x -path:y)"), [(tag("x"), true), (path("y"), false)]);
        assert_eq!(filters("path:a(b)"), [(path("a(b)"), true)]);
    }

    #[test]
    fn a_name_behind_a_keyword_asks_for_its_definition() {
        let defined = |text: &str| parse(text).defined;
        for text in ["struct SpawnBlocking", "fn spawn_blocking()", "def task::spawn_blocking"] {
            assert_eq!(defined(text), parse("spawn_blocking").exact, "{text}");
        }
        assert_eq!(parse("fn spawn_blocking()").spelling.as_deref(), Some("spawn_blocking"));
        assert_eq!(defined("class Router"), Some(name_key("Router")));
        assert_eq!(defined("struct Guard<T>"), Some(name_key("Guard")));
        assert_eq!(defined("def Router.mount"), Some(name_key("mount")));
        for text in ["class action", "type system", "function call", "struct", "fn a b", "fn ()"] {
            assert_eq!(defined(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_behind_a_point_asks_for_its_definition() {
        for text in ["Router.url_path", "Router#url_path", "router.Router.url_path()"] {
            let query = parse(text);
            assert_eq!(query.defined.as_deref(), Some("urlpath"), "{text}");
            assert_eq!(query.spelling.as_deref(), Some("url_path"), "{text}");
            assert_eq!(query.qualified.as_deref(), Some("router.urlpath"), "{text}");
            assert_eq!(query.qualifier, Some(word("router")), "{text}");
        }
        assert_eq!(parse("Node.js").exact.as_deref(), Some("nodejs"), "a title");
        assert_eq!(parse("sync::Mutex<T>::lock").exact.as_deref(), Some("lock"));
        assert_eq!(parse("Guard<T>").defined.as_deref(), Some("guard"));
        for text in ["1.0.21", "ada@example.org", "src/json.rs", "lock", "sync::lock", "a b.c"] {
            assert_eq!(parse(text).defined, None, "{text}");
        }
        for text in ["e.g.", "i.e", "U.S."] {
            assert_eq!(parse(text).defined, None, "{text}");
        }
        assert!(parse("Node.js").is_file_name && parse("package.json").is_file_name);
        for text in ["Router.mount", "response.json()", "json", "Makefile", "a b.js"] {
            assert!(!parse(text).is_file_name, "{text}");
        }
        assert!(parse("www.example.com").is_address && parse("Report.PDF").is_address);
        for text in ["Router.mount", "host.com()", "Host::com", "com", "a b.com", "names.zip"] {
            assert!(!parse(text).is_address, "{text}");
        }
    }

    #[test]
    fn paths_and_links_are_known_as_such() {
        let paths = ["notes/tide.md", "tide.md", "src/json.rs", "[[notes/tide.md#Moon|so]]"];
        for text in paths.into_iter().chain(["task/harness", "TCP/IP"]) {
            assert!(parse(text).is_path, "{text}");
        }
        for text in ["1.0.21", "tide", "ERR_RESET", "a note.md in words", "end."] {
            assert!(!parse(text).is_path, "{text}");
        }
        assert_eq!(parse("[[Tide|the sea]]"), parse("Tide"));
        for text in ["[[-1 index]]", "[[tag:x]]"] {
            let query = parse(text);
            assert!(query.excluded.is_empty() && query.filters.is_empty(), "{text}: {query:?}");
            assert!(!query.scored.is_empty(), "{text}");
        }
        assert_eq!(parse("[[]]").exact, None);
    }

    #[test]
    fn names_in_every_spelling_share_one_key() {
        for text in [
            "spawn_blocking",
            "spawnBlocking",
            "spawn-blocking",
            "spawn blocking",
            "task::spawn_blocking",
            "spawn_blocking()",
            "\"spawn_blocking\"",
        ] {
            assert_eq!(parse(text).exact.as_deref(), Some("spawnblocking"), "{text}");
        }
    }

    #[test]
    fn stop_words_count_only_alone() {
        assert_eq!(parse("what is the tide").scored.len(), 1);
        let only = parse("to be or not to be");
        assert!(!only.scored.is_empty() && !only.notes.is_empty());
    }

    #[test]
    fn words_that_stand_free_are_known_as_they_were_typed() {
        let typed = |text: &str| -> Vec<String> {
            parse(text).free.into_iter().map(|(_, typed)| typed).collect()
        };
        assert_eq!(typed("Katze, „Straße“ (running)!"), ["katze", "straße", "running"]);
        let names = "fooBar foo_bar src/haus.md run() a-b utf8 x=1 @haus +haus \"haus\" path:haus";
        assert_eq!(typed(names), [""; 0]);
        for word in ["Katze", "Straße", "running"] {
            let query = parse(word);
            let Leaf::Word(forms) = &query.scored[0].0 else { panic!("{word}: {query:?}") };
            assert_eq!(query.as_typed(forms), Some(&*lower(word)));
            assert_eq!(forms_of(&lower(word), &[]), *forms);
        }
    }

    #[test]
    fn several_words_are_looked_for_as_they_stand_too() {
        let n_words = |text: &str| match parse(text).message {
            Some(Leaf::Phrase(words)) => words.len(),
            other => usize::from(other.is_some()),
        };
        assert_eq!(n_words("JoinHandle polled after the completion"), 6);
        assert_eq!(n_words("the lock is held kind:rust"), 4, "a filter is no part of it");
        for text in ["tide", "polled after", "how to install", "a +lock is held", "\"a b c\" d e"] {
            assert_eq!(n_words(text), 0, "{text}");
        }
        assert_eq!(n_words(&"word ".repeat(65)), 0);
    }

    #[test]
    fn punctuation_joins_words_into_a_phrase() {
        let query = parse("1.0.21");
        assert!(query.scored.iter().any(|(l, _)| matches!(l, Leaf::Phrase(p) if p.len() == 3)));
        let query = parse("src/main.rs fails");
        assert!(query.scored.iter().any(|(l, _)| matches!(l, Leaf::Phrase(p) if p.len() == 3)));
        assert!(!parse("a b").scored.iter().any(|(l, _)| matches!(l, Leaf::Phrase(_))));
    }

    #[test]
    fn odd_queries_are_answered_with_a_note() {
        for text in ["", "   ", "!!!", "\"", "\"\"", "::", "- + -"] {
            let query = parse(text);
            assert!(!query.notes.is_empty(), "{text:?}");
        }
        let long = "word ".repeat(40_000);
        assert!(parse(&long).notes[0].contains("200000 bytes"));
        let many: String = (0..500).map(|n| format!("w{n}x ")).collect();
        assert!(parse(&many).notes.iter().any(|n| n.contains("left out")));
    }

    proptest! {
        #[test]
        fn any_text_is_a_query(text in ".{0,200}") {
            let query = parse(&text);
            prop_assert!(query.scored.len() <= QUERY_TERMS_MAX);
        }
    }
}
