//! Compressed bytes with a checksum, in memory or in a segment's file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};

use crate::search::error::SearchError;

/// Compresses bytes, and puts a checksum before them.
pub(super) fn pack(bytes: &[u8]) -> Bytes {
    let packed = lz4_flex::block::compress_prepend_size(bytes);
    let mut all = Vec::with_capacity(packed.len() + 4);
    all.extend_from_slice(&sum(&packed).to_le_bytes());
    all.extend_from_slice(&packed);
    all.into()
}

/// What was given to [`pack`].
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, SearchError> {
    let damaged = || SearchError::damaged("a document's bytes are not what was written");
    let (found, packed) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    if u32::from_le_bytes(*found) != sum(packed) {
        return Err(damaged());
    }
    lz4_flex::block::decompress_size_prepended(packed).map_err(|_| damaged())
}

/// CRC-32C.
#[expect(clippy::cast_possible_truncation, reason = "this checksum has 32 bits")]
pub(super) fn sum(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Where a segment's documents are.
#[derive(Debug)]
pub(super) enum Blob {
    Memory(Bytes),
    /// From the beginning of this file.
    File(File),
}

impl Blob {
    pub(super) fn read(&self, from: u64, to: u64) -> Result<Bytes, SearchError> {
        let length = usize::try_from(to.saturating_sub(from)).expect("documents fit into memory");
        match self {
            Blob::Memory(bytes) => {
                let from = usize::try_from(from).expect("it is in memory");
                Ok(bytes.slice(from..from + length))
            }
            Blob::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, from).map_err(SearchError::disk("read"))?;
                Ok(bytes.into())
            }
        }
    }
}
