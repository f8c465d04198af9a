//! Checksums as registrations state them and transfers prove them, written `algorithm:hex`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// 32 bytes; always computed for bytes that pass through dapple.
    Blake3,
    /// 32 bytes.
    Sha256,
    /// 16 bytes; what much of the field's data was registered with.
    Md5,
    /// 4 bytes, big-endian; likewise.
    Adler32,
    /// 4 bytes, big-endian (Castagnoli); what object stores and XRootD compute cheaply.
    Crc32c,
}

impl Algorithm {
    /// The name in texts and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "blake3",
            Algorithm::Sha256 => "sha256",
            Algorithm::Md5 => "md5",
            Algorithm::Adler32 => "adler32",
            Algorithm::Crc32c => "crc32c",
        }
    }

    const fn length(self) -> usize {
        match self {
            Algorithm::Blake3 | Algorithm::Sha256 => 32,
            Algorithm::Md5 => 16,
            Algorithm::Adler32 | Algorithm::Crc32c => 4,
        }
    }
}

/// A checksum: an algorithm and the bytes it gave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

/// The text is not a checksum.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a checksum: write `algorithm:hex` with blake3, sha256, md5, adler32 or crc32c")]
pub struct InvalidChecksum {
    text: String,
}

impl Checksum {
    /// A checksum from raw bytes; `None` if their number is not the algorithm's.
    pub fn new(algorithm: Algorithm, bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() == algorithm.length()).then_some(Self { algorithm, bytes })
    }

    /// How it was computed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all text");
            text
        })
    }
}

/// The first checksum that another of the same algorithm contradicts, and that other.
pub fn contradiction<'a>(expected: &'a [Checksum], found: &'a [Checksum]) -> Option<(&'a Checksum, &'a Checksum)> {
    expected.iter().find_map(|expected| {
        let found = found.iter().find(|found| found.algorithm() == expected.algorithm())?;
        (found != expected).then_some((expected, found))
    })
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let invalid = || InvalidChecksum { text: text.to_owned() };
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match name.to_ascii_lowercase().as_str() {
            "blake3" => Algorithm::Blake3,
            "sha256" | "sha-256" => Algorithm::Sha256,
            "md5" => Algorithm::Md5,
            "adler32" => Algorithm::Adler32,
            "crc32c" => Algorithm::Crc32c,
            _ => return Err(invalid()),
        };
        // Some servers drop leading zeros of Adler-32 (xrootd#1483).
        let digits = if algorithm == Algorithm::Adler32 && hex.len() < 8 && !hex.is_empty() {
            format!("{hex:0>8}")
        } else {
            hex.to_owned()
        };
        let bytes = read_hex(&digits).ok_or_else(invalid)?;
        Self::new(algorithm, bytes).ok_or_else(invalid)
    }
}

fn read_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

impl Serialize for Checksum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.algorithm, &self.bytes).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        let (algorithm, bytes) = <(Algorithm, Vec<u8>)>::deserialize(deserializer)?;
        Self::new(algorithm, bytes).ok_or_else(|| D::Error::custom("checksum has the wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_read_back_and_wrong_ones_are_refused() {
        for text in ["adler32:dcba7090", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
            assert_eq!(text.parse::<Checksum>().expect("valid").to_string(), text);
        }
        assert_eq!("adler32:a7090".parse::<Checksum>().expect("zeros dropped").hex(), "000a7090");
        for text in ["crc:00", "md5:00", "blake3", "adler32:", "adler32:zz", "md5:ü"] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
    }
}
