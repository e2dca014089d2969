//! The constitution: its version, and whether anybody filled it.

use crate::spec::fields;
use crate::text::{Section, scan, sections};

/// A parsed constitution.
#[derive(Clone, Debug, Default)]
pub struct Constitution {
    /// The first heading.
    pub title: String,
    /// `2.1.1`, and the line of it.
    pub version: Option<(usize, String)>,
    /// A date.
    pub ratified: Option<String>,
    /// A date.
    pub amended: Option<String>,
    /// Tokens such as `[PROJECT_NAME]` that are left, with their lines.
    pub unfilled: Vec<(usize, String)>,
    /// Every heading.
    pub sections: Vec<Section>,
}

impl Constitution {
    /// Parses a document; never fails.
    pub fn parse(text: &str) -> Self {
        let scan = scan(text);
        let fields = fields(&scan.lines);
        let field = |key: &str| fields.iter().find(|f| f.key.eq_ignore_ascii_case(key));
        let sections = sections(&scan.lines);
        let mut unfilled = Vec::new();
        for line in scan.lines.iter().filter(|line| !line.hidden) {
            unfilled.extend(tokens(&line.shown).map(|token| (line.number, token.to_owned())));
        }
        Constitution {
            title: sections.first().map_or_else(String::new, |s| s.title.clone()),
            version: field("version").map(|f| (f.line, f.value.clone())),
            ratified: field("ratified").map(|f| f.value.clone()),
            amended: field("last amended").map(|f| f.value.clone()),
            unfilled,
            sections,
        }
    }
}

/// `[ALL_CAPS]` that is no link.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('[').filter_map(|(at, _)| {
        let inner = &text[at + 1..];
        let capital = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
        let end = inner.bytes().take_while(capital).count();
        let token = &inner[..end];
        let behind = inner[end..].strip_prefix(']')?;
        let caps = end > 2 && token.starts_with(|c: char| c.is_ascii_uppercase());
        (caps && !behind.starts_with(['(', ':', '['])).then_some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_and_tokens() {
        let text = "# [PROJECT_NAME] Constitution\n<!-- [NOT_THIS] -->\n[MUST](x) [P] [ok]\n\
                    **Version**: 2.1.1 | **Ratified**: 2025-06-13 | **Last Amended**: [DATE]\n";
        let found = Constitution::parse(text);
        assert_eq!(found.version, Some((4, "2.1.1".to_owned())));
        assert_eq!(found.ratified.as_deref(), Some("2025-06-13"));
        let tokens: Vec<_> = found.unfilled.iter().map(|(line, t)| (*line, t.as_str())).collect();
        assert_eq!(tokens, [(1, "PROJECT_NAME"), (4, "DATE")]);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            Constitution::parse(&text);
        }
    }
}
