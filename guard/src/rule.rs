//! The rules: what each looks for, how strongly it acts, and where.
//!
//! Knows no patterns; those stand in the files that scan. Invariant: the order of [`BUILT_IN`] is
//! the order of [`Id`], so that an id is a place in the list of rules.

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Personal data.
    Personal,
    /// Keys, passwords and what else opens doors.
    Secret,
    /// Text that speaks to the model that reads it.
    Instruction,
    /// What the operator blocks.
    Blocked,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Personal, Kind::Secret, Kind::Instruction, Kind::Blocked];

    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Personal => "personal",
            Kind::Secret => "secret",
            Kind::Instruction => "instruction",
            Kind::Blocked => "blocked",
        }
    }

    /// How its rules act unless the settings say otherwise.
    pub fn mode(self) -> Mode {
        match self {
            Kind::Personal | Kind::Instruction => Mode::Advisory,
            Kind::Secret | Kind::Blocked => Mode::Enforcing,
        }
    }

    /// What stands in place of a hit.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Kind::Personal => "[redacted: personal]",
            Kind::Secret => "[redacted: secret]",
            Kind::Instruction => "[redacted: instruction]",
            Kind::Blocked => "[redacted: blocked]",
        }
    }
}

/// How strongly a rule acts; ordered from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Not at all.
    Off,
    /// Its hits are reported.
    Advisory,
    /// Its hits are reported, and the text is refused.
    Enforcing,
}

impl Mode {
    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Advisory => "advisory",
            Mode::Enforcing => "enforcing",
        }
    }
}

/// Where a text stands in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// What a person or an agent asks, before it goes to a provider.
    Before,
    /// What a model answered.
    After,
    /// What others wrote and a model will read: passages, pages, files.
    Quoted,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 3] = [Stage::Before, Stage::After, Stage::Quoted];

    /// Whether instruction-like text is looked for: whoever asks may instruct, a quotation may not.
    pub(crate) fn reads_instructions(self) -> bool {
        self == Stage::Quoted
    }
}

/// One rule of a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name; the operator's own begin with `pattern:`, `phrase:` or `value:`.
    pub id: String,
    /// What it looks for.
    pub kind: Kind,
    /// How strongly it acts.
    pub mode: Mode,
}

/// A built-in rule, as a place in the list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    Card,
    Email,
    Iban,
    Phone,
    Ssn,
    AnthropicKey,
    Assignment,
    AwsKey,
    GithubToken,
    GitlabToken,
    GoogleKey,
    Jwt,
    NpmToken,
    OpenaiKey,
    PrivateKey,
    ProviderKey,
    PypiToken,
    SlackToken,
    StripeKey,
    SynodToken,
    UrlPassword,
    ChatTemplate,
    Conceal,
    Exfiltrate,
    HiddenComment,
    HiddenText,
    IgnoreInstructions,
    Lure,
    Persona,
    RevealPrompt,
    RoleHeader,
}

/// Every built-in rule with its name and kind.
pub(crate) const BUILT_IN: &[(Id, &str, Kind)] = &[
    (Id::Card, "card", Kind::Personal),
    (Id::Email, "email", Kind::Personal),
    (Id::Iban, "iban", Kind::Personal),
    (Id::Phone, "phone", Kind::Personal),
    (Id::Ssn, "ssn", Kind::Personal),
    (Id::AnthropicKey, "anthropic-key", Kind::Secret),
    (Id::Assignment, "assigned-secret", Kind::Secret),
    (Id::AwsKey, "aws-key", Kind::Secret),
    (Id::GithubToken, "github-token", Kind::Secret),
    (Id::GitlabToken, "gitlab-token", Kind::Secret),
    (Id::GoogleKey, "google-key", Kind::Secret),
    (Id::Jwt, "jwt", Kind::Secret),
    (Id::NpmToken, "npm-token", Kind::Secret),
    (Id::OpenaiKey, "openai-key", Kind::Secret),
    (Id::PrivateKey, "private-key", Kind::Secret),
    (Id::ProviderKey, "provider-key", Kind::Secret),
    (Id::PypiToken, "pypi-token", Kind::Secret),
    (Id::SlackToken, "slack-token", Kind::Secret),
    (Id::StripeKey, "stripe-key", Kind::Secret),
    (Id::SynodToken, "synod-token", Kind::Secret),
    (Id::UrlPassword, "url-password", Kind::Secret),
    (Id::ChatTemplate, "chat-template", Kind::Instruction),
    (Id::Conceal, "conceal", Kind::Instruction),
    (Id::Exfiltrate, "exfiltrate", Kind::Instruction),
    (Id::HiddenComment, "hidden-comment", Kind::Instruction),
    (Id::HiddenText, "hidden-text", Kind::Instruction),
    (Id::IgnoreInstructions, "ignore-instructions", Kind::Instruction),
    (Id::Lure, "lure", Kind::Instruction),
    (Id::Persona, "persona", Kind::Instruction),
    (Id::RevealPrompt, "reveal-prompt", Kind::Instruction),
    (Id::RoleHeader, "role-header", Kind::Instruction),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_place_in_the_list() {
        for (at, (id, name, _)) in BUILT_IN.iter().enumerate() {
            assert_eq!(*id as usize, at, "{name}");
        }
    }
}
