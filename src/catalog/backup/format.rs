//! The format: a head, frames of rows, an end. Numbers are big-endian.
//!
//! ```text
//! head    "dapplebk", format (2 bytes), length (4 bytes), that many bytes of JSON: a `Header`
//! frame   kind (1 byte), table (1), rows (4), length (4), stored length (4), the stored bytes, sum (32)
//! end     the sum of everything before it (32)
//! ```
//!
//! Stored bytes that are fewer than the length are compressed with LZ4 (block format). A frame of rows
//! (`R`) has for each row the length of the key (2 bytes), of the value (4), and both; the last frame
//! (`E`) has JSON: `Totals`. The sum of a frame is BLAKE3 over the sum of what comes before it, its head
//! and its stored bytes; before the first frame comes the head, whose sum is that of its bytes.

use serde::{Deserialize, Serialize};

use crate::catalog::engine::{KEY_BYTES_MAX, Row, VALUE_BYTES_MAX};
use crate::model::id::LakeId;
use crate::model::time::Timestamp;

/// How every backup begins.
pub(super) const MAGIC: &[u8; 8] = b"dapplebk";
/// The format that is written.
pub(super) const FORMAT: u16 = 1;
/// The bytes of magic, format and length.
pub(super) const HEAD_BYTES: usize = 14;
/// The longest header that is read.
pub(super) const HEADER_BYTES_MAX: u32 = 1 << 20;
/// After so many bytes of rows a frame is closed.
pub(super) const FRAME_BYTES: usize = 1 << 20;
/// The longest frame that is read: one row may come on top.
pub(super) const FRAME_BYTES_MAX: u32 = 2 << 20;
/// The bytes of a frame before what it stores.
pub(super) const FRAME_HEAD_BYTES: usize = 14;
/// The bytes of a sum.
pub(super) const SUM_BYTES: usize = 32;
/// A frame of rows.
pub(super) const ROWS: u8 = b'R';
/// The last frame.
pub(super) const END: u8 = b'E';

/// What a backup says of itself before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of dapple that made it.
    pub dapple: String,
    /// The lake.
    pub lake: LakeId,
    /// The lake's epoch.
    pub epoch: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The newest change that it has.
    pub position: u64,
    /// The tables that it has.
    pub tables: Vec<TableHead>,
}

/// A table of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHead {
    /// Its number.
    pub number: u8,
    /// Its name.
    pub name: String,
    /// The newest version of its values.
    pub version: u8,
}

/// What a backup has in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Table by table.
    pub tables: Vec<TableSum>,
    /// Frames of rows.
    pub frames: u64,
}

impl Totals {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// What a backup has of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSum {
    /// Its number.
    pub number: u8,
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// BLAKE3 of its rows as frames have them: equal tables have equal ones.
    pub blake3: String,
}

/// Counts a table while its rows come by.
#[derive(Debug, Default)]
pub(super) struct Counting {
    rows: u64,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Counting {
    /// Takes rows as a frame has them.
    pub(super) fn add(&mut self, rows: u32, encoded: &[u8]) {
        self.rows += u64::from(rows);
        self.bytes += encoded.len() as u64 - u64::from(rows) * LENGTHS_BYTES as u64;
        self.hasher.update(encoded);
    }

    /// What there was of a table.
    pub(super) fn sum(&self, number: u8, name: &str) -> TableSum {
        let blake3 = self.hasher.finalize().to_hex().to_string();
        TableSum { number, name: name.to_owned(), rows: self.rows, bytes: self.bytes, blake3 }
    }
}

/// The bytes of a row's two lengths.
const LENGTHS_BYTES: usize = 6;

/// Appends a row.
pub(super) fn write_row(out: &mut Vec<u8>, (key, value): &Row) {
    let key_length = u16::try_from(key.len()).expect("engines take no longer keys");
    let value_length = u32::try_from(value.len()).expect("engines take no longer values");
    out.extend_from_slice(&key_length.to_be_bytes());
    out.extend_from_slice(&value_length.to_be_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Takes a row from the front; `None` if there is none that an engine would take.
pub(super) fn read_row(bytes: &mut bytes::Bytes) -> Option<Row> {
    let lengths: [u8; LENGTHS_BYTES] = *bytes.first_chunk()?;
    let key = usize::from(u16::from_be_bytes([lengths[0], lengths[1]]));
    let value = u32::from_be_bytes([lengths[2], lengths[3], lengths[4], lengths[5]]) as usize;
    let fits = (1..=KEY_BYTES_MAX).contains(&key) && value <= VALUE_BYTES_MAX;
    if !fits || bytes.len() < LENGTHS_BYTES + key + value {
        return None;
    }
    let _ = bytes.split_to(LENGTHS_BYTES);
    Some((bytes.split_to(key), bytes.split_to(value)))
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) kind: u8,
    pub(super) table: u8,
    pub(super) rows: u32,
    pub(super) length: u32,
    pub(super) stored: u32,
}

impl FrameHead {
    pub(super) fn encode(self) -> [u8; FRAME_HEAD_BYTES] {
        let mut bytes = [0; FRAME_HEAD_BYTES];
        (bytes[0], bytes[1]) = (self.kind, self.table);
        bytes[2..6].copy_from_slice(&self.rows.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.length.to_be_bytes());
        bytes[10..14].copy_from_slice(&self.stored.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; FRAME_HEAD_BYTES]) -> Self {
        let number = |at: usize| u32::from_be_bytes(*bytes[at..].first_chunk().expect("the head is longer"));
        Self { kind: bytes[0], table: bytes[1], rows: number(2), length: number(6), stored: number(10) }
    }
}

/// The sum of a frame, from that of what comes before it.
pub(super) fn chained(before: &[u8; SUM_BYTES], head: &[u8], stored: &[u8]) -> [u8; SUM_BYTES] {
    *blake3::Hasher::new().update(before).update(head).update(stored).finalize().as_bytes()
}
