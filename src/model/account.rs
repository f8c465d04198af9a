//! Accounts: who owns scopes, makes rules and is answerable for acts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// The most bytes an account's name may have, as in Rucio.
pub const ACCOUNT_BYTES_MAX: usize = 25;

/// The name of an account. Built only by [`AccountName::parse`], so always valid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// The text cannot name an account.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "`{text}` cannot name an account: use lower-case letters, digits, `_` and `-`, beginning with a letter, at most {ACCOUNT_BYTES_MAX}"
)]
pub struct InvalidAccountName {
    text: String,
}

impl AccountName {
    /// Accepts lower-case letters, digits, `_` and `-`, beginning with a letter.
    pub fn parse(text: &str) -> Result<Self, InvalidAccountName> {
        let shape = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if shape && text.len() <= ACCOUNT_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAccountName { text: text.to_owned() })
        }
    }

    /// The account that a new lake begins with.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AccountName {
    type Error = InvalidAccountName;

    fn try_from(text: String) -> Result<Self, InvalidAccountName> {
        Self::parse(&text)
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, which never changes.
    pub name: AccountName,
    /// May do everything that policy does not forbid to all.
    pub admin: bool,
    /// When it was made.
    pub created_at: Timestamp,
}
