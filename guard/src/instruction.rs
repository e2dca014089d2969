//! Instruction-like text: what is written to the model that reads a passage, not to its reader.
//!
//! Looked for in the folded text, so that no width, case or invisible character hides it. What it
//! finds is a reason to mark a passage, never proof: a text about such texts is found as well, and
//! an instruction that is worded otherwise is not.

use crate::fold::Fold;
use crate::rule::Id;
use crate::secret::built_in;
use crate::span::Spans;
use regex::Regex;
use std::ops::Range;
use std::sync::OnceLock;
use unicode_normalization::UnicodeNormalization;

/// Words of which a text holds one each where it may fall under a pattern.
type Needs = &'static [&'static [&'static str]];

/// In these, a space is any white space and `<3>` up to three words. What a text needs is looked
/// for before: hardly any passage has it, and each that is shown is asked about.
const PATTERNS: &[(Id, &str, Needs)] = &[
    (
        Id::IgnoreInstructions,
        concat!(
            r"\b(?:ignore|disregard|forget|override|bypass|neglect) <3>",
            r"(?:previous|prior|above|earlier|preceding|foregoing|your|system|original) <3>",
            r"(?:instruction|prompt|direction|directive|guideline|rule|programming|training)",
            r"s?\b",
        ),
        &[
            &["ignore", "disregard", "forget", "override", "bypass", "neglect"],
            &[
                "previous",
                "prior",
                "above",
                "earlier",
                "preceding",
                "foregoing",
                "your",
                "system",
                "original",
            ],
            &["instruction", "prompt", "directi", "guideline", "rule", "programming", "training"],
        ],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"\b(?:ignore|disregard|forget) (?:all|any|everything|anything) (?:of )?(?:the )?",
            r"(?:above|before|instructions?|that came before|",
            r"you (?:were|have been) (?:told|given))\b",
        ),
        &[
            &["ignore", "disregard", "forget"],
            &["all", "any", "everything"],
            &["above", "before", "instruction", "told", "given"],
        ],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"\b(?:do not|don't|stop) (?:follow|obey|following|obeying) <3>",
            r"(?:previous|prior|above|earlier|system|original|your) <2>",
            r"(?:instructions?|prompts?|rules|guidelines)\b",
        ),
        &[
            &["not", "don't", "stop"],
            &["follow", "obey"],
            &["instruction", "prompt", "rules", "guidelines"],
        ],
    ),
    (
        Id::IgnoreInstructions,
        r"\bnew (?:system )?instructions? ?:",
        &[&["new"], &["instruction"], &[":"]],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"\b(?:ignorier|missacht|vergiss|vergesst|vergessen)[a-z]{0,4} <4>",
            r"(?:vorherig|vorig|bisherig|obig|vorangehend|früher)[a-z]{0,3} <2>",
            r"(?:anweisung|instruktion|vorgabe|regel|befehl)",
        ),
        &[
            &["ignorier", "missacht", "vergiss", "vergess"],
            &["anweisung", "instruktion", "vorgabe", "regel", "befehl"],
        ],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"\b(?:ignore[rz]?|oublie[rz]?) <4>(?:instruction|consigne|directive|règle)s? <2>",
            r"(?:précédente?|antérieure?|ci-dessus)",
        ),
        &[
            &["ignore", "oublie"],
            &["instruction", "consigne", "directive", "règle"],
            &["précédent", "antérieur", "ci-dessus"],
        ],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"\b(?:ignor[ae]|olvid[ae]|esqueça|desconsidere|dimentica)[a-z]{0,3} <4>",
            r"(?:instrucciones|instruções|istruzioni|indicaciones|indicazioni|reglas|regras|",
            r"regole) <2>(?:anterior|previa|precedent)",
        ),
        &[
            &["ignor", "olvid", "esque", "desconsidere", "dimentica"],
            &["instruc", "istruzioni", "indica", "reg"],
            &["anterior", "previa", "precedent"],
        ],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"(?:игнорируй|забудь)(?:те)? <4>(?:предыдущ|прежн)[а-я\u{306}]{1,6} <2>",
            r"(?:инструкци|указани|правил)",
        ),
        &[&["игнорир", "забуд"], &["предыдущ", "прежн"], &["инструкци", "указани", "правил"]],
    ),
    (
        Id::IgnoreInstructions,
        concat!(
            r"(?:忽略|无视|無視|忘记|忘記)[^。\n]{0,12}?(?:之前|以上|前面|先前|上述)[^。\n]{0,8}?",
            r"(?:指令|指示|提示|规则|規則)",
        ),
        &[&["忽略", "无视", "無視", "忘记", "忘記"], &["指令", "指示", "提示", "规则", "規則"]],
    ),
    (
        Id::IgnoreInstructions,
        r"(?:以前|これまで|上記|前)の[^。\n]{0,8}?(?:指示|命令|指令)[^。\n]{0,8}?(?:無視|忘れ)",
        &[&["以前", "これまで", "上記", "前"], &["指示", "命令", "指令"], &["無視", "忘れ"]],
    ),
    (
        Id::Persona,
        concat!(
            r"\b(?:from now on|starting now|henceforth),? (?:you (?:are|will|must|shall|should)|",
            r"respond|reply|answer|act as)\b",
        ),
        &[
            &["now", "henceforth"],
            &["you", "respond", "reply", "answer", "act"],
            &["from", "starting", "henceforth"],
        ],
    ),
    (
        Id::Persona,
        concat!(
            r"\b(?:you are now|act as|pretend to be|pretend you are) <2>(?:dan|unrestricted|",
            r"unfiltered|uncensored|jailbroken|no longer bound|",
            r"free (?:from|of) (?:all|any|your))\b",
        ),
        &[
            &["now", "act as", "act\nas", "pretend"],
            &["dan", "unrestricted", "unfiltered", "uncensored", "jailbroken", "bound", "free"],
        ],
    ),
    (
        Id::Persona,
        r"\bdo anything now\b|\b(?:enter|enable|activate) <1>(?:dan|god|jailbreak) mode\b",
        &[&["anything", "mode"], &["now", "dan", "god", "jailbreak"]],
    ),
    (
        Id::RevealPrompt,
        concat!(
            r"\b(?:reveal|print|show|repeat|output|display|disclose|leak|recite|give me|send) <3>",
            r"(?:your (?:<2>)(?:prompt|instructions)|the (?:<1>)?system prompt|",
            r"(?:text|words|instructions) above)\b",
        ),
        &[
            &["prompt", "instructions", "above"],
            &[
                "reveal", "print", "show", "repeat", "output", "display", "disclose", "leak",
                "recite", "give", "send",
            ],
            &["your", "system", "text", "words", "instructions"],
        ],
    ),
    (
        Id::Conceal,
        concat!(
            r"\b(?:do not|don't|never|without) (?:tell|telling|inform|informing|mention|",
            r"mentioning|reveal|revealing|disclose|disclosing) <4>",
            r"(?:the|this|your) (?:user|human|operator)\b",
        ),
        &[
            &["user", "human", "operator"],
            &["not", "don't", "never", "without"],
            &["tell", "inform", "mention", "reveal", "disclos"],
        ],
    ),
    (
        Id::Exfiltrate,
        concat!(
            r"\b(?:send|post|upload|forward|e-?mail|transmit|exfiltrate|leak|submit|append|copy)",
            r" <6>(?:conversation|chat|history|context|prompt|passwords?|credentials?|secrets?|",
            r"tokens?|",
            r"(?:api|private|ssh|access) keys?|environment variables?|cookies?|personal (?:data|",
            r"information)|contents?|files?|documents?|notes?|data|summary|answer) <6>",
            r"(?:to|at|via) <2>(?:https?://|www\.|[a-z0-9._-]{1,64}@[a-z0-9-]{1,64}\.|",
            r"(?:the|this) following (?:url|address|server|e-?mail))",
        ),
        &[
            &["http", "www.", "@", "following"],
            &[
                "send",
                "post",
                "upload",
                "forward",
                "mail",
                "transmit",
                "exfiltrate",
                "leak",
                "submit",
                "append",
                "copy",
            ],
        ],
    ),
    // An image whose address the model is to fill in.
    (
        Id::Exfiltrate,
        concat!(
            r"!\[[^\]\n]{0,200}\]\(https?://[^)\x20\n]{1,200}[?&=/](?:\{|\[|%7b|%5b|<)",
            r"[a-z_\x20-]{2,60}(?:\}|\]|%7d|%5d|>)",
        ),
        &[&["!["], &["]("], &["http"]],
    ),
    (
        Id::Lure,
        concat!(
            r"\b(?:tell|ask|instruct|urge|convince|get|direct|encourage) (?:the|your|any) ",
            r"(?:user|human|reader|person)s? (?:to|that they (?:must|should|need to)) <3>",
            r"(?:click|visit|open|download|install|run|paste|enter|log in|call|buy|go to)\b",
        ),
        &[
            &["user", "human", "reader", "person"],
            &["tell", "ask", "instruct", "urge", "convince", "get", "direct", "encourage"],
            &[
                "click", "visit", "open", "download", "install", "run", "paste", "enter", "log",
                "call", "buy", "go",
            ],
        ],
    ),
    (
        Id::Lure,
        concat!(
            r"\bclick (?:on )?(?:the|this) <2>(?:link|button) <4>to <1>",
            r"(?:verify|confirm|unlock|claim|restore|reactivate|avoid|secure)\b",
        ),
        &[
            &["click"],
            &["link", "button"],
            &["verify", "confirm", "unlock", "claim", "restore", "reactivate", "avoid", "secure"],
        ],
    ),
    (
        Id::ChatTemplate,
        r"<\|[a-z][a-z0-9_▁]{1,40}\|>|\[/?inst\]|<</?sys>>",
        &[&["<|", "inst]", "sys>>"]],
    ),
    (Id::ChatTemplate, r"<(?:start|end)_of_turn>", &[&["_of_turn>"]]),
    (
        Id::ChatTemplate,
        concat!(
            r"</?(?:system|assistant|",
            r"(?:system|developer)[_-](?:prompt|message|reminder|instructions?)|function_calls|",
            r"tool_(?:call|result|use)s?|antml:[a-z_]{1,30})>",
        ),
        &[
            &[
                "system>",
                "assistant>",
                "prompt>",
                "message>",
                "reminder>",
                "instruction>",
                "instructions>",
                "function_calls>",
                "tool_",
                "antml:",
            ],
            &["<"],
        ],
    ),
    (
        Id::RoleHeader,
        concat!(
            r#"(?:\A|\n)[\x20>#*_"'|\[-]{0,8}(?:system|developer)"#,
            r#"(?: (?:prompt|message|instructions?|override|note))?[\]*_"'|]{0,3} ?:[*_]{0,2}"#,
            r"[^\x00]{0,120}?\b(?:you (?:are|must|will|should|shall|may|can)|",
            r"your (?:task|role|goal|instructions?)|ignore|disregard|respond|reply|do not|",
            r"never|always|obey|comply)\b",
        ),
        &[
            &["system", "developer"],
            &[":"],
            &[
                "you",
                "ignore",
                "disregard",
                "respond",
                "reply",
                "not",
                "never",
                "always",
                "obey",
                "comply",
            ],
        ],
    ),
];

/// What makes a comment that nobody sees one for a model: it names one, and it demands.
const ADDRESSES: &str = concat!(
    r"\b(?:assistants?|ai|llms?|language models?|chatbots?|ai agents?|chatgpt|claude|gemini|",
    r"copilot)\b",
);
const DEMANDS: &str = concat!(
    r"\b(?:must|ignore|disregard|do not|don't|always|never|tell|say|send|include|respond|reply|",
    r"output|recommend|instead|pretend|execute|run)\b",
);

/// Longest comment that is read.
const COMMENT_BYTES_MAX: usize = 8_192;
/// Fewest invisible characters in a row that hide something; scripts and emoji use two.
const INVISIBLE_RUN_MIN: usize = 3;

/// The patterns; each is made ready when a text first needs it.
pub(crate) struct Instructions {
    patterns: Vec<Pattern>,
    addresses: Pattern,
    demands: Pattern,
}

struct Pattern {
    id: Id,
    text: &'static str,
    needs: Vec<Vec<String>>,
    regex: OnceLock<Regex>,
}

impl Pattern {
    fn new(id: Id, text: &'static str, needs: Needs) -> Self {
        // As the folded text is.
        let one = |words: &&[&str]| words.iter().map(|word| word.nfkd().collect()).collect();
        Pattern { id, text, needs: needs.iter().map(one).collect(), regex: OnceLock::new() }
    }

    /// Whether a folded text has what it needs to fall under the pattern.
    fn may_be_in(&self, folded: &str) -> bool {
        self.needs.iter().all(|words| words.iter().any(|word| folded.contains(word.as_str())))
    }

    fn regex(&self) -> &Regex {
        self.regex.get_or_init(|| built_in(&spell(self.text)))
    }
}

impl Instructions {
    pub(crate) fn new() -> Self {
        let patterns = PATTERNS.iter().map(|(id, text, needs)| Pattern::new(*id, text, needs));
        Instructions {
            patterns: patterns.collect(),
            addresses: Pattern::new(Id::HiddenComment, ADDRESSES, &[]),
            demands: Pattern::new(Id::HiddenComment, DEMANDS, &[]),
        }
    }

    pub(crate) fn scan(&self, text: &str, fold: &Fold, spans: &mut Spans) {
        for pattern in self.patterns.iter().filter(|pattern| pattern.may_be_in(&fold.text)) {
            for found in pattern.regex().find_iter(&fold.text) {
                let lead = found.as_str().len() - found.as_str().trim_start().len();
                let range = found.start() + lead..found.end();
                spans.push(pattern.id, fold.source(range, text));
            }
        }
        self.comments(text, fold, spans);
        hidden(text, spans);
    }

    fn comments(&self, text: &str, fold: &Fold, spans: &mut Spans) {
        // As with private keys: each end is looked up once.
        let mut close = 0;
        for (open, _) in fold.text.match_indices("<!--") {
            if close < open + 4 {
                let found = fold.text[open + 4..].find("-->");
                let Some(end) = found else { return };
                close = open + 4 + end;
            }
            let body = &fold.text[open + 4..close];
            let read = body.len() <= COMMENT_BYTES_MAX;
            if read && self.addresses.regex().is_match(body) && self.demands.regex().is_match(body)
            {
                spans.push(Id::HiddenComment, fold.source(open..close + 3, text));
            }
        }
    }
}

/// The regular expression that a pattern stands for, decomposed as the folded text is.
fn spell(pattern: &str) -> String {
    let mut out: String = pattern.nfkd().collect::<String>().replace(' ', r"[\x20\n]");
    for n in 1..=6 {
        let words = format!(r"(?:[^\x20\n.!?]{{1,24}}[\x20\n]){{0,{n}}}?");
        out = out.replace(&format!("<{n}>"), &words);
    }
    out
}

/// Runs of invisible characters, tags outside of flags, and overrides of the writing direction.
fn hidden(text: &str, spans: &mut Spans) {
    let mut before = '\0';
    let mut run: Option<Run> = None;
    for (at, c) in text.char_indices() {
        let invisible = !c.is_ascii() && crate::fold::is_invisible(c) && c != '\u{ad}';
        if invisible {
            let run = run.get_or_insert_with(|| Run::after(before, at));
            run.take(c, at);
        } else if let Some(run) = run.take() {
            run.end(spans);
        }
        before = c;
    }
    if let Some(run) = run {
        run.end(spans);
    }
}

/// Invisible characters in a row.
struct Run {
    range: Range<usize>,
    n: usize,
    flag: bool,
    forced: bool,
}

impl Run {
    fn after(before: char, at: usize) -> Self {
        // The flags of England, Scotland and Wales are a black flag and tags.
        Run { range: at..at, n: 0, flag: before == '\u{1f3f4}', forced: false }
    }

    fn take(&mut self, c: char, at: usize) {
        self.n += 1;
        self.range.end = at + c.len_utf8();
        let tag = ('\u{e0000}'..='\u{e007f}').contains(&c);
        self.flag &= tag;
        self.forced |= tag || matches!(c, '\u{202d}' | '\u{202e}');
    }

    fn end(self, spans: &mut Spans) {
        let hides = self.forced || self.n >= INVISIBLE_RUN_MIN;
        if hides && !(self.flag && self.n <= 8) {
            spans.push(Id::HiddenText, self.range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    #[test]
    fn whatever_falls_under_a_pattern_has_what_it_needs() {
        let mut runner = TestRunner::deterministic();
        for pattern in &Instructions::new().patterns {
            let free = spell(pattern.text).replace(r"\b", "").replace(r"\A|", "");
            let texts = proptest::string::string_regex(&free).unwrap();
            let mut fall = 0;
            for _ in 0..300 {
                let text = texts.new_tree(&mut runner).unwrap().current();
                if pattern.regex().is_match(&text) {
                    assert!(pattern.may_be_in(&text), "{}: {text:?}", pattern.text);
                    fall += 1;
                }
            }
            assert!(fall > 100, "{}: {fall} texts", pattern.text);
        }
    }

    #[test]
    fn plain_passages_need_no_pattern() {
        let guard = Instructions::new();
        let text =
            "# Tide\n\nThe pool at the rock is read at noon: `fn read(pool: &Pool)` gives it.";
        let fold = Fold::of(text);
        assert!(!guard.patterns.iter().any(|pattern| pattern.may_be_in(&fold.text)));
    }
}
