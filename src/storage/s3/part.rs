//! Cuts a stream into parts, hashes them on the way, and says what was sent.
//!
//! Promises parts of equal length but for the last, and to give the last one out only when the
//! stream has ended where it should: a stream of another length never looks complete.

use aws_smithy_types::base64;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use futures::TryStreamExt;
use md5::{Digest as _, Md5};

use crate::storage::backend::{ByteStream, StorageError};

/// The length of parts, and the most bytes of an object that is sent in one request.
pub(super) const PART_BYTES: u64 = 8 << 20;
/// How much room a part begins with.
const FIRST_BYTES: usize = PART_BYTES as usize;
/// The most parts that S3 allows.
pub(super) const PARTS_MAX: u64 = 10_000;

/// The length of an object's parts: [`PART_BYTES`], or as many MiB as it takes.
pub(super) fn part_bytes(bytes: u64) -> u64 {
    (bytes.div_ceil(PARTS_MAX)).next_multiple_of(1 << 20).max(PART_BYTES)
}

/// What proves bytes to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) md5: [u8; 16],
    pub(super) crc32c: Option<[u8; 4]>,
}

impl Print {
    /// The print of bytes that are there.
    pub(super) fn of(content: &[u8], with_crc32c: bool) -> Self {
        let mut printer = Printer::new(with_crc32c);
        printer.update(content);
        printer.finish()
    }

    /// As `Content-MD5` has it.
    pub(super) fn md5_base64(&self) -> String {
        base64::encode(self.md5)
    }

    /// As an ETag has it.
    pub(super) fn md5_hex(&self) -> String {
        hex(&self.md5)
    }

    /// As `x-amz-checksum-crc32c` has it.
    pub(super) fn crc32c_base64(&self) -> Option<String> {
        self.crc32c.map(base64::encode)
    }
}

struct Printer {
    md5: Md5,
    crc32c: Option<Crc>,
}

impl Printer {
    fn new(with_crc32c: bool) -> Self {
        Self { md5: Md5::new(), crc32c: with_crc32c.then(|| Crc::new(CrcAlgorithm::Crc32Iscsi)) }
    }

    fn update(&mut self, content: &[u8]) {
        self.md5.update(content);
        if let Some(crc) = &mut self.crc32c {
            crc.update(content);
        }
    }

    fn finish(self) -> Print {
        Print { md5: self.md5.finalize().into(), crc32c: self.crc32c.as_ref().map(crc_bytes) }
    }
}

fn crc_bytes(crc: &Crc) -> [u8; 4] {
    u32::try_from(crc.finalize()).expect("a CRC-32 has 32 bits").to_be_bytes()
}

/// A part on its way.
pub(super) struct Part {
    /// From 1 on.
    pub(super) number: i32,
    pub(super) content: Bytes,
    pub(super) print: Print,
    /// The CRC-32C of all up to its end.
    pub(super) crc32c_so_far: Option<[u8; 4]>,
}

/// A part that the store has.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) number: i32,
    pub(super) etag: String,
    pub(super) crc32c: Option<[u8; 4]>,
    pub(super) crc32c_so_far: Option<[u8; 4]>,
}

/// Cuts a stream.
pub(super) struct Cutter {
    content: ByteStream,
    path: String,
    expected: u64,
    seen: u64,
    part_bytes: usize,
    number: i32,
    /// What came beyond the end of the last part.
    rest: Bytes,
    crc32c: Option<Crc>,
}

impl Cutter {
    /// Cuts a stream of exactly `expected` bytes.
    pub(super) fn new(path: &str, content: ByteStream, expected: u64, part_bytes: u64, with_crc32c: bool) -> Self {
        Self {
            content,
            path: path.to_owned(),
            expected,
            seen: 0,
            part_bytes: usize::try_from(part_bytes).expect("parts fit into memory"),
            number: 0,
            rest: Bytes::new(),
            crc32c: with_crc32c.then(|| Crc::new(CrcAlgorithm::Crc32Iscsi)),
        }
    }

    /// The length of the next part.
    pub(super) fn upcoming(&self) -> u64 {
        (self.expected - self.seen).min(self.part_bytes as u64)
    }

    /// The next part; `None` after the last. An empty stream has one empty part.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, StorageError> {
        if self.number > 0 && self.seen == self.expected {
            return Ok(None);
        }
        let left = usize::try_from(self.expected - self.seen).unwrap_or(usize::MAX);
        let wanted = left.min(self.part_bytes);
        // It grows with what comes: a length is only said so far.
        let mut content = BytesMut::with_capacity(wanted.min(FIRST_BYTES));
        let mut printer = Printer::new(self.crc32c.is_some());
        while content.len() < wanted {
            let Some(mut chunk) = self.chunk().await? else {
                return Err(self.wrong_length(0));
            };
            let taken = chunk.split_to(chunk.len().min(wanted - content.len()));
            self.rest = chunk;
            self.seen += taken.len() as u64;
            printer.update(&taken);
            if let Some(crc) = &mut self.crc32c {
                crc.update(&taken);
            }
            content.extend_from_slice(&taken);
        }
        if self.seen == self.expected
            && let Some(more) = self.chunk().await?
        {
            return Err(self.wrong_length(more.len() as u64));
        }
        self.number += 1;
        let crc32c_so_far = self.crc32c.as_ref().map(crc_bytes);
        Ok(Some(Part { number: self.number, content: content.freeze(), print: printer.finish(), crc32c_so_far }))
    }

    /// The next bytes that are there.
    async fn chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let mut chunk = std::mem::take(&mut self.rest);
        while chunk.is_empty() {
            match self.content.try_next().await? {
                Some(next) => chunk = next,
                None => return Ok(None),
            }
        }
        Ok(Some(chunk))
    }

    fn wrong_length(&self, more: u64) -> StorageError {
        StorageError::WrongLength { path: self.path.clone(), expected: self.expected, found: self.seen + more }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all text");
        text
    })
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, stream};

    use super::*;

    #[test]
    fn parts_grow_so_that_ten_thousand_suffice() {
        const MIB: u64 = 1 << 20;
        let table = [
            (0, 8 * MIB),
            (100 << 30, 11 * MIB),
            (80_000 * MIB, 8 * MIB),
            (80_000 * MIB + 1, 9 * MIB),
            (5 << 40, 525 * MIB),
        ];
        for (bytes, expected) in table {
            assert_eq!(part_bytes(bytes), expected, "{bytes}");
            assert!(bytes.div_ceil(expected) <= PARTS_MAX);
        }
    }

    fn parts(sent: usize, expected: u64) -> Result<Vec<Part>, StorageError> {
        let content: Vec<u8> = (0..sent).map(|at| u8::try_from(at % 251).expect("small")).collect();
        let chunks: Vec<_> = content.chunks(7).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let mut cutter = Cutter::new("a", stream::iter(chunks).boxed(), expected, 10, true);
        let all = async {
            let mut parts = Vec::new();
            while let Some(part) = cutter.next().await? {
                parts.push(part);
            }
            Ok(parts)
        };
        all.now_or_never().expect("nothing in it waits")
    }

    #[test]
    fn a_stream_is_cut_into_equal_parts_and_a_rest() {
        for (bytes, lengths) in
            [(25, vec![10, 10, 5]), (20, vec![10, 10]), (0, vec![0]), (1, vec![1]), (10, vec![10]), (11, vec![10, 1])]
        {
            let parts = parts(bytes, bytes as u64).expect("as long as announced");
            assert_eq!(parts.iter().map(|part| part.content.len()).collect::<Vec<_>>(), lengths);
            let whole: Vec<u8> = parts.iter().flat_map(|part| part.content.to_vec()).collect();
            assert_eq!(parts.last().expect("one at least").crc32c_so_far, Print::of(&whole, true).crc32c);
            for (part, number) in parts.iter().zip(1..) {
                assert_eq!(part.number, number);
                assert_eq!(part.print, Print::of(&part.content, true));
            }
        }
    }

    #[test]
    fn a_stream_of_another_length_never_gives_its_last_part() {
        for (sent, expected) in [(0, 1), (1, 0), (9, 10), (11, 10), (24, 25), (26, 25), (100, 25)] {
            let error = parts(sent, expected).err().expect("another length");
            assert!(matches!(error, StorageError::WrongLength { found, .. } if found != expected), "{sent}: {error}");
        }
    }
}
