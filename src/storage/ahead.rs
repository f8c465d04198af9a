//! Reads a large object in ranges, several at once, and gives them in order: one stream of a
//! distant store is slower than its line. A range that breaks off is read again by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use futures::{TryStreamExt as _, future};

use crate::clock::SharedClock;
use crate::storage::backend::{Backend, ByteRange, ByteStream, StorageError};
use crate::storage::layout::StoragePath;

/// How many ranges are read at once. Each is held in memory until it is its turn.
const AHEAD: usize = 4;
/// How often a range is tried.
const TRIES: u32 = 3;
/// The pause before a range is tried again; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads `bytes` bytes of an object, in ranges of `range_bytes`.
pub fn read_ahead(
    origin: Arc<dyn Backend>,
    path: StoragePath,
    bytes: u64,
    range_bytes: u64,
    clock: SharedClock,
) -> ByteStream {
    let starts = (0..bytes.div_ceil(range_bytes)).map(move |number| number * range_bytes);
    let ranges = starts.map(move |start| ByteRange { start, end: bytes.min(start + range_bytes) });
    stream::iter(ranges)
        .map(move |range| fetch(Arc::clone(&origin), path.clone(), range, clock.clone()))
        .buffered(AHEAD)
        .map_ok(|chunks| stream::iter(chunks.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

async fn fetch(
    origin: Arc<dyn Backend>,
    path: StoragePath,
    range: ByteRange,
    clock: SharedClock,
) -> Result<Vec<Bytes>, StorageError> {
    let mut tries = 1;
    loop {
        match fetch_once(origin.as_ref(), &path, range).await {
            Err(StorageError::Unavailable { .. } | StorageError::Faulty { .. }) if tries < TRIES => {
                clock.sleep(PAUSE * (1 << (tries - 1))).await;
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn fetch_once(origin: &dyn Backend, path: &StoragePath, range: ByteRange) -> Result<Vec<Bytes>, StorageError> {
    let content = origin.read(path, Some(range)).await?;
    let (chunks, found) = content
        .try_fold((Vec::new(), 0), |(mut chunks, found), chunk| {
            let found = found + chunk.len() as u64;
            chunks.push(chunk);
            // A store that sends more than it was asked for must not fill our memory.
            future::ready(if found > range.length() { Err(faulty(path, range, found)) } else { Ok((chunks, found)) })
        })
        .await?;
    if found == range.length() { Ok(chunks) } else { Err(faulty(path, range, found)) }
}

fn faulty(path: &StoragePath, range: ByteRange, found: u64) -> StorageError {
    let what = format!("asked for {} bytes from {} on, it gave {found}", range.length(), range.start);
    StorageError::Faulty { path: path.to_string(), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::fault::Fault as _;
    use crate::storage::hash::hash_stream;
    use crate::storage::memory::Memory;

    fn content() -> Vec<u8> {
        (0..1_000_003_u32).map(|at| (at % 251) as u8).collect()
    }

    fn stored() -> (Memory, StoragePath) {
        let memory = Memory::new();
        memory.insert("a", content());
        (memory, StoragePath::parse("a").expect("valid"))
    }

    fn read(memory: &Memory, path: &StoragePath, bytes: u64) -> ByteStream {
        read_ahead(Arc::new(memory.clone()), path.clone(), bytes, 70_000, SystemClock::shared())
    }

    #[tokio::test]
    async fn ranges_come_in_order_and_a_broken_one_is_read_again() {
        let (memory, path) = stored();
        let broken = StorageError::Unavailable { path: "a".to_owned(), what: "cut".to_owned() };
        memory.faults().fail_next(broken);
        memory.faults().shorten_next_read();
        let hashed = hash_stream(read(&memory, &path, 1_000_003), &[]).await.expect("two faults are borne");
        let expected = blake3::hash(&content());
        assert_eq!(hashed.bytes, 1_000_003);
        assert_eq!(hashed.checksums[0].bytes(), expected.as_bytes());
    }

    #[tokio::test]
    async fn what_stays_broken_or_is_gone_is_an_error() {
        let (memory, path) = stored();
        let missing = StoragePath::parse("b").expect("valid");
        let error = hash_stream(read(&memory, &missing, 100), &[]).await.expect_err("nothing is there");
        assert_eq!(error.code(), "storage-not-found");
        let error = hash_stream(read(&memory, &path, 1_000_004), &[]).await.expect_err("it is shorter");
        assert_eq!(error.code(), "storage-wrong-length");
        assert_eq!(hash_stream(read(&memory, &path, 0), &[]).await.expect("nothing is asked").bytes, 0);
    }
}
