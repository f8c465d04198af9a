//! Identifiers. Small dense numbers for what rows are keyed by; 128-bit ids that sort by time for
//! what many processes make at once. Names are looked up once, everything else uses ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

dense_id! {
    /// A DID by number. Files registered together have neighbouring numbers, so a dataset reads as
    /// a few range scans.
    DidId(u64)
}
dense_id! {
    /// An endpoint by number.
    EndpointId(u32)
}
dense_id! {
    /// A label set by number.
    LabelSetId(u64)
}

macro_rules! time_ordered_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&show_base32(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                read_base32(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.to_be_bytes().serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
                }
            }
        }
    };
}

time_ordered_id! {
    /// A rule.
    RuleId
}
time_ordered_id! {
    /// A transfer.
    TransferId
}
time_ordered_id! {
    /// The claim of one upload, transfer or deletion on a (file, endpoint).
    IntentId
}
time_ordered_id! {
    /// A recorded policy decision.
    DecisionId
}
time_ordered_id! {
    /// A grant, the `jti` of its token.
    GrantId
}
time_ordered_id! {
    /// One running process; leases name it.
    ProcessId
}
time_ordered_id! {
    /// A lake, whatever engine keeps its catalog.
    LakeId
}

/// The text is not an id.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not an id of 26 letters and digits")]
pub struct InvalidId {
    text: String,
}

/// Crockford's alphabet: no I, L, O or U, so that ids survive being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LETTERS: u32 = 26;

fn show_base32(number: u128) -> String {
    (0..LETTERS).rev().map(|place| char::from(ALPHABET[((number >> (5 * place)) & 31) as usize])).collect()
}

fn read_base32(text: &str) -> Result<u128, InvalidId> {
    let invalid = || InvalidId { text: text.to_owned() };
    if text.len() != LETTERS as usize || text.as_bytes()[0] > b'7' {
        return Err(invalid());
    }
    text.bytes().try_fold(0_u128, |number, letter| {
        let digit = ALPHABET.iter().position(|a| *a == letter.to_ascii_uppercase()).ok_or_else(invalid)?;
        Ok((number << 5) | digit as u128)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_like_their_numbers() {
        let numbers = [0, 1, 31, 32, 1 << 80, u128::MAX - 1, u128::MAX];
        for pair in numbers.windows(2) {
            assert!(RuleId(pair[0]).to_string() < RuleId(pair[1]).to_string());
        }
        for number in numbers {
            assert_eq!(RuleId(number).to_string().parse::<RuleId>().expect("own text").0, number);
        }
        assert!("8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<RuleId>().is_err(), "more than 128 bits");
        assert!("short".parse::<RuleId>().is_err());
    }
}
