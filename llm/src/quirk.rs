//! What a model refuses though its dialect has a word for it: learned from what its server says.
//!
//! Pure. Invariant: nothing is learned twice, so an ask is put in other words a few times at most.

use crate::ask::Ask;
use crate::dialect::Dialect;
use crate::error::{FailureKind, Fault};

/// Words of refusals that are about the schema: OpenAI's fields, and the choice of a tool by which
/// Anthropic's models are asked for one.
const SCHEMA: [&str; 3] = ["response_format", "json_schema", "tool_choice"];

/// What is known of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Quirks {
    /// It takes no temperature, as those that reason.
    pub no_temperature: bool,
    /// It takes no schema: it can be told in words alone which shape is wanted.
    pub no_schema: bool,
    /// Of the two names that chat completions have for the most tokens it takes the other one.
    pub other_limit: bool,
}

impl Quirks {
    /// What is known once an ask was refused; nothing where that is not news. Each vendor refuses
    /// in words of its own, but names the field.
    pub fn learned(self, fault: &Fault, ask: &Ask, dialect: Dialect) -> Option<Quirks> {
        if fault.kind != FailureKind::Invalid {
            return None;
        }
        let said = fault.said.to_lowercase();
        let mut learned = self;
        learned.no_temperature |= ask.temperature.is_some() && said.contains("temperature");
        learned.no_schema |= ask.schema.is_some() && SCHEMA.iter().any(|word| said.contains(word));
        // Who wants the new name says so, and who does not know it names what it does not know.
        let limit = dialect == Dialect::OpenAi && said.contains("max_completion_tokens");
        learned.other_limit |= limit;
        (learned != self).then_some(learned)
    }

    /// What of an ask is not sent for it.
    pub fn ignored(self, ask: &Ask) -> impl Iterator<Item = &'static str> {
        let temperature = self.no_temperature && ask.temperature.is_some();
        let schema = self.no_schema && ask.schema.is_some();
        [("temperature", temperature), ("schema", schema)]
            .into_iter()
            .filter_map(|(word, ignored)| ignored.then_some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Dialect = Dialect::OpenAi;

    #[test]
    fn a_field_that_was_sent_and_is_named_is_learned_once() {
        let fault = |kind, said: &str| Fault::said(kind, said);
        let refused = fault(FailureKind::Invalid, "Temperature and response_format: no");
        let plain = Ask::new("m", "why?");
        let schema = Some(serde_json::json!({"type": "object"}));
        let full = Ask { temperature: Some(0.5), schema, ..plain.clone() };
        let quirks = Quirks::default();
        assert_eq!(quirks.learned(&refused, &plain, CHAT), None, "it was not sent");
        let learned = quirks.learned(&refused, &full, CHAT).expect("news");
        assert!(learned.no_temperature && learned.no_schema);
        assert_eq!(learned.learned(&refused, &full, CHAT), None, "it is known");
        assert_eq!(learned.ignored(&full).collect::<Vec<_>>(), ["temperature", "schema"]);
        assert_eq!(learned.ignored(&plain).count(), 0);
        let one = fault(FailureKind::Invalid, "tool_choice forces tool use");
        let learned = quirks.learned(&one, &full, CHAT).expect("news");
        assert!(learned.no_schema && !learned.no_temperature);
        let limit = fault(FailureKind::Invalid, "Use 'max_completion_tokens' instead.");
        assert!(quirks.learned(&limit, &plain, CHAT).is_some_and(|learned| learned.other_limit));
        assert_eq!(quirks.learned(&limit, &plain, Dialect::Mistral), None, "it has one name");
        for (kind, said) in [(FailureKind::Invalid, "seed"), (FailureKind::Server, "temperature")] {
            assert_eq!(quirks.learned(&fault(kind, said), &full, CHAT), None, "{said}");
        }
    }
}
