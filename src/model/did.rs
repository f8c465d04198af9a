//! Data identifiers: `scope:name` for a file, a dataset (holds files) or a container (holds
//! datasets and containers).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::scope::{InvalidScope, Scope};

/// The most bytes a name may have. With the scope it must fit the catalog's keys (1 KiB).
pub const NAME_BYTES_MAX: usize = 900;

/// The most bytes one path segment of a name may have: POSIX file systems stop at 255, and
/// reserved segments grow when they are encoded.
pub const SEGMENT_BYTES_MAX: usize = 240;

/// The name of a DID within its scope. Slashes make a path of it. Any text without control
/// characters is a name; storage encodes what a file system could not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DidName(String);

/// The text cannot name a DID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDidName {
    /// Nothing is left to name.
    #[error("a DID's name is empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("a DID's name has {bytes} bytes; at most {NAME_BYTES_MAX} fit")]
    TooLong {
        /// How long the name is.
        bytes: usize,
    },
    /// One segment is over [`SEGMENT_BYTES_MAX`].
    #[error("the part `{segment}` of a DID's name has over {SEGMENT_BYTES_MAX} bytes")]
    SegmentTooLong {
        /// The segment.
        segment: String,
    },
    /// A control character is in it.
    #[error("a DID's name has the control character {character:?} in it")]
    ControlCharacter {
        /// The character.
        character: char,
    },
}

impl DidName {
    /// Accepts any text without control characters whose length and segments fit.
    pub fn parse(text: &str) -> Result<Self, InvalidDidName> {
        if text.is_empty() {
            return Err(InvalidDidName::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(InvalidDidName::TooLong { bytes: text.len() });
        }
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            return Err(InvalidDidName::ControlCharacter { character });
        }
        if let Some(segment) = text.split('/').find(|s| s.len() > SEGMENT_BYTES_MAX) {
            return Err(InvalidDidName::SegmentTooLong { segment: segment.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment, as a file would be called when it is saved.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').find(|s| !s.is_empty()).unwrap_or(&self.0)
    }
}

impl fmt::Display for DidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DidName {
    type Error = InvalidDidName;

    fn try_from(text: String) -> Result<Self, InvalidDidName> {
        Self::parse(&text)
    }
}

impl From<DidName> for String {
    fn from(name: DidName) -> Self {
        name.0
    }
}

/// A data identifier, written `scope:name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did {
    /// The part of the namespace it lies in.
    pub scope: Scope,
    /// Its name there.
    pub name: DidName,
}

/// The text is not `scope:name`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidDid {
    /// There is no colon.
    #[error("`{text}` is not a DID: write `scope:name`")]
    NoScope {
        /// What was given.
        text: String,
    },
    /// The part before the colon is no scope.
    #[error(transparent)]
    Scope(#[from] InvalidScope),
    /// The part after the colon is no name.
    #[error(transparent)]
    Name(#[from] InvalidDidName),
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scope, self.name)
    }
}

impl FromStr for Did {
    type Err = InvalidDid;

    fn from_str(text: &str) -> Result<Self, InvalidDid> {
        let (scope, name) = text.split_once(':').ok_or_else(|| InvalidDid::NoScope { text: text.to_owned() })?;
        Ok(Self { scope: Scope::parse(scope)?, name: DidName::parse(name)? })
    }
}

impl Serialize for Did {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Did {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a DID is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DidKind {
    /// Bytes that never change once registered.
    File,
    /// Holds files.
    Dataset,
    /// Holds datasets and containers.
    Container,
}

impl DidKind {
    /// Tells whether a DID of this kind may hold one of `child`.
    pub fn holds(self, child: DidKind) -> bool {
        match self {
            DidKind::File => false,
            DidKind::Dataset => child == DidKind::File,
            DidKind::Container => child != DidKind::File,
        }
    }
}

impl fmt::Display for DidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DidKind::File => "file",
            DidKind::Dataset => "dataset",
            DidKind::Container => "container",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_any_text_that_a_catalog_key_and_a_file_system_can_hold() {
        for good in ["t2m.nc", "a/b/c", "/store/data", "ü ñ:+%", "..", "a//b"] {
            assert!(DidName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a\0b", "a\nb", &"x".repeat(241), &"x/".repeat(451)] {
            assert!(DidName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_did_splits_at_its_first_colon() {
        let did: Did = "climate:a:b".parse().expect("valid");
        assert_eq!((did.scope.as_str(), did.name.as_str()), ("climate", "a:b"));
        assert_eq!(did.to_string(), "climate:a:b");
        assert!("no-colon".parse::<Did>().is_err());
    }
}
