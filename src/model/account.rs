//! Accounts: who owns scopes, makes rules and is answerable for acts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::api_key::KeyReach;
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

impl FromStr for AccountName {
    type Err = InvalidAccountName;

    fn from_str(text: &str) -> Result<Self, InvalidAccountName> {
        Self::parse(text)
    }
}

/// What an account stands for. Stored, so variants are only ever added, at the end.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A person.
    #[default]
    User,
    /// Several accounts; nobody signs in as one.
    Group,
    /// A program.
    Service,
}

impl AccountKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            AccountKind::User => "user",
            AccountKind::Group => "group",
            AccountKind::Service => "service",
        }
    }
}

/// Who asks, with all that decisions may need to know of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub account: AccountName,
    /// What it stands for.
    pub kind: AccountKind,
    /// May do everything that policy does not forbid to all.
    pub admin: bool,
    /// The groups it is in, by itself or through other groups.
    pub groups: BTreeSet<AccountName>,
    /// What the key or session lets through with which it came, of what the account may do.
    pub key: KeyReach,
    /// When it gave its password; `None` if it came with an API key.
    pub authenticated_at: Option<Timestamp>,
}

impl Principal {
    /// The account that a new lake begins with, with nothing held back.
    pub fn root() -> Self {
        Self {
            account: AccountName::root(),
            kind: AccountKind::User,
            admin: true,
            groups: BTreeSet::new(),
            key: KeyReach::whole(),
            authenticated_at: None,
        }
    }

    /// Tells whether an account's belongings are this one's own: by its name, or by a group it is in.
    pub fn stands_for(&self, account: &AccountName) -> bool {
        self.account == *account || self.groups.contains(account)
    }
}
