//! Keys: tuples encoded so that bytes sort as their parts do.
//!
//! Numbers are big-endian. Text ends with `00 01`, and a zero byte in it is written `00 FF`, so a
//! text that is the beginning of another sorts first and no text runs into the next part (the
//! shape of FoundationDB's tuple layer, without type tags: a table's keys all have one shape).

use bytes::Bytes;

const ZERO: u8 = 0;
const ZERO_IN_TEXT: u8 = 0xFF;
const END_OF_TEXT: u8 = 1;

/// A key under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    /// Appends a number of 32 bits.
    #[must_use]
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends a number of 64 bits.
    #[must_use]
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends a number of 128 bits.
    #[must_use]
    pub fn u128(mut self, number: u128) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self = self.text_prefix(text);
        self.0.extend_from_slice(&[ZERO, END_OF_TEXT]);
        self
    }

    /// Appends the beginning of a text, for scans over all texts that begin so. Nothing can follow.
    #[must_use]
    pub fn text_prefix(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == ZERO {
                self.0.push(ZERO_IN_TEXT);
            }
        }
        self
    }

    /// The encoded key.
    pub fn bytes(self) -> Bytes {
        self.0.into()
    }

    /// The encoded key, to look at.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// The key does not have the shape its table should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stored key ends early or is not text")]
pub struct InvalidKey;

/// Takes a key apart, in the order in which it was built.
#[derive(Debug, Clone)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// Begins at the first part.
    pub fn new(key: &'a [u8]) -> Self {
        Self(key)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], InvalidKey> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(InvalidKey)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next part, one byte.
    pub fn u8(&mut self) -> Result<u8, InvalidKey> {
        self.take().map(u8::from_be_bytes)
    }

    /// The next part, a number of 32 bits.
    pub fn u32(&mut self) -> Result<u32, InvalidKey> {
        self.take().map(u32::from_be_bytes)
    }

    /// The next part, a number of 64 bits.
    pub fn u64(&mut self) -> Result<u64, InvalidKey> {
        self.take().map(u64::from_be_bytes)
    }

    /// The next part, a number of 128 bits.
    pub fn u128(&mut self) -> Result<u128, InvalidKey> {
        self.take().map(u128::from_be_bytes)
    }

    /// The next part, text.
    pub fn text(&mut self) -> Result<String, InvalidKey> {
        let mut bytes = Vec::new();
        loop {
            match self.take::<1>()? {
                [ZERO] => match self.take::<1>()? {
                    [END_OF_TEXT] => return String::from_utf8(bytes).map_err(|_| InvalidKey),
                    [ZERO_IN_TEXT] => bytes.push(ZERO),
                    _ => return Err(InvalidKey),
                },
                [byte] => bytes.push(byte),
            }
        }
    }
}
