//! Places of members in what holds them, as they are shown outside: sealed, as a place by itself tells how
//! many members came before it, and so of those that are hidden.

use std::fmt;
use std::str::FromStr;

/// A place that only the lake that sealed it can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealedPlace(pub u64);

/// The text is no sealed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed place has 16 hexadecimal digits")]
pub struct InvalidPlace;

impl fmt::Display for SealedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SealedPlace {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| is_hex).map(Self).ok_or(InvalidPlace)
    }
}

impl serde::Serialize for SealedPlace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SealedPlace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
