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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = (u8, String, u32, String, u64, u128);

    /// Texts that hurt: short, alike, with zero bytes and the bytes around them.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[\\x00\\x01\\x02ab\u{ff}]{0,4}", any::<String>()]
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let number = prop_oneof![0..3_u32, any::<u32>()];
        (0..3_u8, text(), number, text(), any::<u64>(), any::<u128>())
    }

    fn encode(parts: &Parts) -> Key {
        let (first, name, number, path, long, id) = parts;
        Key::new().u8(*first).text(name).u32(*number).text(path).u64(*long).u128(*id)
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_parts_do(left in parts(), right in parts()) {
            let order = encode(&left).as_slice().cmp(encode(&right).as_slice());
            prop_assert_eq!(order, left.cmp(&right));
        }

        #[test]
        fn keys_give_back_their_parts(parts in parts()) {
            let key = encode(&parts).bytes();
            let mut reader = KeyReader::new(&key);
            let first = reader.u8()?;
            let name = reader.text()?;
            let number = reader.u32()?;
            let path = reader.text()?;
            let read = (first, name, number, path, reader.u64()?, reader.u128()?);
            prop_assert_eq!(read, parts);
            prop_assert_eq!(reader.u8(), Err(InvalidKey));
        }

        #[test]
        fn a_prefix_of_a_text_is_a_prefix_of_its_key(text in text(), cut in any::<prop::sample::Index>()) {
            let ends: Vec<usize> = (0..=text.len()).filter(|end| text.is_char_boundary(*end)).collect();
            let prefix = Key::new().u8(7).text_prefix(&text[..*cut.get(&ends)]);
            let key = Key::new().u8(7).text(&text);
            prop_assert!(key.as_slice().starts_with(prefix.as_slice()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let mut reader = KeyReader::new(&bytes);
            while reader.text().is_ok() && reader.u8().is_ok() {}
        }
    }
}
