//! Scopes: the flat parts of the namespace, each owned by an account.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes a scope's name may have, as in Rucio.
pub const SCOPE_BYTES_MAX: usize = 25;

/// The name of a scope. Built only by [`Scope::parse`], so always valid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// The text cannot name a scope.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "`{text}` cannot name a scope: use letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most {SCOPE_BYTES_MAX}"
)]
pub struct InvalidScope {
    text: String,
}

impl Scope {
    /// Accepts letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let shape = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if shape && text.len() <= SCOPE_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidScope { text: text.to_owned() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}
