//! Words that turn a sentence around, and what stands beside them.

/// Words that turn a sentence around, sorted.
pub(crate) const NEGATIONS: &[&str] = &[
    "arent", "cannot", "cant", "couldnt", "didnt", "doesnt", "dont", "false", "hardly", "isnt",
    "jamais", "kein", "keine", "neither", "never", "nicht", "no", "nobody", "none", "nor", "not",
    "nothing", "nunca", "pas", "shouldnt", "wasnt", "werent", "without", "wont", "wouldnt",
];

/// Words that may stand beside a negation and leave it one, sorted.
pub(crate) const EMPHASIS: &[&str] = &[
    "absolutely",
    "actually",
    "certainly",
    "clearly",
    "definitely",
    "quite",
    "really",
    "very",
    "yet",
];

/// No negation, and nothing that stands beside one.
pub(crate) fn is_plain(word: &str) -> bool {
    let among = |list: &[&str]| list.binary_search(&word).is_ok();
    !among(NEGATIONS) && !among(EMPHASIS)
}
