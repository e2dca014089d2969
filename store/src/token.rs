//! Access tokens: scoped, revocable, kept as hashes only.

use crate::{Error, Result, Store, random};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Search and read.
    #[serde(rename = "read:context")]
    ReadContext,
    /// Add, change and remove what is indexed.
    #[serde(rename = "write:context")]
    WriteContext,
    /// See jobs.
    #[serde(rename = "read:jobs")]
    ReadJobs,
    /// Start and stop jobs.
    #[serde(rename = "write:jobs")]
    WriteJobs,
    /// Ask models.
    #[serde(rename = "llm:invoke")]
    LlmInvoke,
    /// Change Spec-Kit files.
    #[serde(rename = "spec:write")]
    SpecWrite,
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 7] = [
        Scope::ReadContext,
        Scope::WriteContext,
        Scope::ReadJobs,
        Scope::WriteJobs,
        Scope::LlmInvoke,
        Scope::SpecWrite,
        Scope::Admin,
    ];

    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Scope::ReadContext => "read:context",
            Scope::WriteContext => "write:context",
            Scope::ReadJobs => "read:jobs",
            Scope::WriteJobs => "write:jobs",
            Scope::LlmInvoke => "llm:invoke",
            Scope::SpecWrite => "spec:write",
            Scope::Admin => "admin",
        }
    }
}

/// Parses scopes separated by commas or spaces.
///
/// # Errors
/// `Argument`, listing the scopes there are.
pub fn parse_scopes(text: &str) -> Result<Vec<Scope>> {
    let names = text.split([',', ' ']).filter(|s| !s.is_empty());
    names
        .map(|name| {
            Scope::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
                let all = Scope::ALL.map(Scope::name).join(", ");
                Error::Argument(format!("unknown scope `{name}`; there are {all}"))
            })
        })
        .collect()
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Made, milliseconds since 1970.
    pub made_ms: i64,
    /// Revoked, milliseconds since 1970.
    pub revoked_ms: Option<i64>,
}

impl Store {
    /// Makes a token and returns its secret, which is shown once and kept nowhere. It takes the
    /// place of a revoked one of its name: whose call an old entry of the ledger is says the
    /// account there, which is of the secret.
    ///
    /// # Errors
    /// `Argument` when a token of that name is not revoked.
    pub fn make_token(&self, name: &str, scopes: &[Scope], now_ms: i64) -> Result<String> {
        let (a, b) = (random()?, random()?);
        let secret: String = a.iter().chain(&b).map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("synod_{secret}");
        let hash = blake3::hash(secret.as_bytes());
        let names: Vec<&str> = scopes.iter().map(|s| s.name()).collect();
        self.write(|tx| {
            tx.execute("DELETE FROM token WHERE name=? AND revoked_ms IS NOT NULL", [name])?;
            let done = tx.execute(
                "INSERT OR IGNORE INTO token(name, hash, scopes, made_ms) VALUES(?, ?, ?, ?)",
                params![name, hash.as_bytes().as_slice(), names.join(" "), now_ms],
            )?;
            if done == 0 {
                return Err(Error::Argument(format!(
                    "a token `{name}` exists already; revoke it, or choose another name"
                )));
            }
            Ok(())
        })?;
        Ok(secret)
    }

    /// What a secret allows, if it is known and not revoked. The look-up is by hash: its time says
    /// nothing about how much of a guess was right.
    pub fn check_token(&self, secret: &str) -> Result<Option<Vec<Scope>>> {
        let hash = blake3::hash(secret.as_bytes());
        let db = self.db()?;
        let mut statement =
            db.prepare_cached("SELECT scopes FROM token WHERE hash=? AND revoked_ms IS NULL")?;
        let scopes: Option<String> =
            statement.query_row([hash.as_bytes().as_slice()], |r| r.get(0)).optional()?;
        scopes.map(|s| parse_scopes(&s)).transpose()
    }

    /// Whether a token that is not revoked begins, hashed, as these lowercase hex digits say: for
    /// who keeps no secret and goes on for as long as its token counts.
    pub fn is_token(&self, hash_hex: &str) -> Result<bool> {
        let sql = "SELECT EXISTS(SELECT 1 FROM token WHERE revoked_ms IS NULL \
                   AND substr(lower(hex(hash)), 1, ?1)=?2)";
        let db = self.db()?;
        let mut statement = db.prepare_cached(sql)?;
        Ok(statement.query_row(params![hash_hex.len() as i64, hash_hex], |r| r.get(0))?)
    }

    /// Every token, by name.
    pub fn tokens(&self) -> Result<Vec<Token>> {
        let db = self.db()?;
        let sql = "SELECT name, scopes, made_ms, revoked_ms FROM token ORDER BY name";
        let mut statement = db.prepare(sql)?;
        let rows = statement.query_map([], |r| {
            let scopes: String = r.get(1)?;
            Ok(Token {
                name: r.get(0)?,
                scopes: parse_scopes(&scopes).unwrap_or_default(),
                made_ms: r.get(2)?,
                revoked_ms: r.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Revokes a token; false if there is none of that name.
    pub fn revoke_token(&self, name: &str, now_ms: i64) -> Result<bool> {
        let sql = "UPDATE token SET revoked_ms=? WHERE name=? AND revoked_ms IS NULL";
        Ok(self.db()?.execute(sql, params![now_ms, name])? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked_by_hash_and_can_be_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let secret = store.make_token("ci", &[Scope::ReadContext], 1).unwrap();
        assert_eq!(store.check_token(&secret).unwrap(), Some(vec![Scope::ReadContext]));
        assert_eq!(store.check_token("synod_0").unwrap(), None);
        let hash = blake3::hash(secret.as_bytes()).to_hex();
        assert!(store.is_token(&hash[..32]).unwrap());
        assert!(!store.is_token(&"0".repeat(32)).unwrap());
        assert!(store.make_token("ci", &[], 2).is_err());
        drop(store);
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "the secret is on disk");
        }
        let store = Store::open(dir.path()).unwrap();
        assert!(store.revoke_token("ci", 3).unwrap());
        assert_eq!(store.check_token(&secret).unwrap(), None);
        assert!(!store.is_token(&hash[..32]).unwrap());
        assert!(parse_scopes("read:context,nope").is_err());
    }

    #[test]
    fn a_revoked_token_is_followed_by_one_of_its_name() {
        let store = Store::memory().unwrap();
        let old = store.make_token("ci", &[Scope::Admin], 1).unwrap();
        assert!(store.revoke_token("ci", 2).unwrap());
        let new = store.make_token("ci", &[Scope::ReadContext], 3).unwrap();
        assert_eq!(store.check_token(&old).unwrap(), None);
        assert_eq!(store.check_token(&new).unwrap(), Some(vec![Scope::ReadContext]));
        let known: Vec<_> =
            store.tokens().unwrap().into_iter().map(|t| (t.name, t.revoked_ms)).collect();
        assert_eq!(known, [("ci".to_owned(), None)]);
        assert!(store.make_token("ci", &[], 4).is_err());
        assert!(store.revoke_token("ci", 5).unwrap());
    }
}
