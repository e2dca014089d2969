//! Files whose names say that they hold keys or passwords: found by their names, never by what is
//! in them.
//!
//! Only names that programs give to such files and to hardly anything else: what a person calls
//! `Passwords.md` is theirs to find, and names that are hidden by a dot (`.env`, `.netrc`) are not
//! walked anyway. Who wants the text of one found renames it, or pushes it.
//! Invariant: no word of such a file reaches the index, a vector or a reply.

use super::{Class, Kind, has_extension, stem, text};

/// Keys, passwords and stores of them. What stands in a file of this kind is not parsed.
pub const KIND: Kind =
    Kind { recognise, class: Class::Code, parse: text::FALLBACK.parse, extract: Some(refuse) };

/// Why there is no text, behind "the file".
const REASON: &str = "has the name of a file of keys or passwords: it is found by its name only";

/// Whole names, in lower case: private keys of ssh, what cloud and package services hand out.
const NAMES: &[&str] = &[
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "htpasswd",
    "credentials",
    "credentials.csv",
    "credentials.json",
    "credentials.toml",
];
/// Keys and their stores, variables of an environment, the state of Terraform.
const EXTENSIONS: &[&str] =
    &["pem", "key", "ppk", "p8", "p12", "pfx", "jks", "keystore", "kdb", "kdbx", "env", "tfstate"];
/// Names without an extension, and how they begin, of settings that are kept apart because they
/// are secret.
const APART: &[&str] = &["secrets", "secret", "service-account", "service_account"];
const APART_FROM: &[&str] = &["client_secret", "client-secret"];
/// The languages of settings.
const SETTINGS: &[&str] = &["json", "yaml", "yml", "toml", "ini"];

/// Gives none of it away.
fn refuse(_bytes: &[u8]) -> Result<String, String> {
    Err(REASON.to_owned())
}

fn recognise(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let apart = || {
        let stem = stem(&name);
        APART.contains(&stem) || APART_FROM.iter().any(|start| stem.starts_with(start))
    };
    let named = NAMES.contains(&name.as_str()) || has_extension(&name, EXTENSIONS);
    (named || has_extension(&name, SETTINGS) && apart()).then_some("secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_words_about_them() {
        for path in [
            "id_rsa",
            "home/.ssh/id_ed25519",
            "tls/server.PEM",
            "tls/server.key",
            "vault.kdbx",
            "deploy/prod.env",
            ".cargo/credentials.toml",
            "Credentials.json",
            "client_secret_42.apps.json",
            "charts/secrets.yaml",
            "infra/terraform.tfstate",
        ] {
            assert_eq!(recognise(path), Some("secret"), "{path}");
        }
        for path in [
            "id_rsa.pub",
            "Passwords.md",
            "src/secrets.rs",
            "guard/src/secret.rs",
            "docs/credentials.md",
            "environment.md",
            "key.md",
            "pem/notes.txt",
            "secretary.json",
            "env",
            "deployment.yaml",
        ] {
            assert_eq!(recognise(path), None, "{path}");
        }
    }
}
