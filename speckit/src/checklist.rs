//! checklists/*.md: what a person has reviewed.
//!
//! Items mostly have ids (`CHK001`), those of `requirements.md` have none.

use crate::text::scan;

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `CHK001`.
    pub id: Option<String>,
    /// Ticked.
    pub done: bool,
    /// Behind the id.
    pub text: String,
    /// Line number.
    pub line: usize,
    /// Byte offset of the character in the brackets.
    pub(crate) mark: usize,
}

/// A parsed checklist.
#[derive(Clone, Debug, Default)]
pub struct Checklist {
    /// The first heading.
    pub title: String,
    /// In the order of the document.
    pub items: Vec<Item>,
}

impl Checklist {
    /// Parses a document; never fails.
    pub fn parse(text: &str) -> Self {
        let scan = scan(text);
        let mut out = Checklist::default();
        for line in &scan.lines {
            if let Some((1, title)) = line.heading()
                && out.title.is_empty()
            {
                out.title = title.to_owned();
            }
            let Some(check) = line.checkbox() else { continue };
            let (id, text) = split(check.rest);
            out.items.push(Item {
                id,
                done: check.done,
                text: text.to_owned(),
                line: line.number,
                mark: check.mark,
            });
        }
        out
    }

    /// Items that are not ticked; the gate is open when there are none.
    pub fn open(&self) -> usize {
        self.items.iter().filter(|item| !item.done).count()
    }
}

fn split(rest: &str) -> (Option<String>, &str) {
    let bare = rest.trim_start_matches(['*', '`']);
    let Some(behind) = bare.strip_prefix("CHK") else { return (None, rest) };
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return (None, rest);
    }
    let text = behind[digits..].trim_start_matches(['*', '`', ':', ' ', '-']);
    (Some(bare[..3 + digits].to_owned()), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn items_with_and_without_ids() {
        let list = Checklist::parse(
            "# UX Checklist\n- [ ] CHK001 a\n- [x] **CHK002**: b\n- [X] no id\n```\n- [ ] CHK003\n\
             ```\n",
        );
        assert_eq!(list.title, "UX Checklist");
        let ids: Vec<_> = list.items.iter().map(|i| i.id.as_deref()).collect();
        assert_eq!(ids, [Some("CHK001"), Some("CHK002"), None]);
        assert_eq!(list.items[1].text, "b");
        assert_eq!(list.open(), 1);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            Checklist::parse(&text);
        }
    }
}
