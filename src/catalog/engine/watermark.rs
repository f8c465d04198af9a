//! The watermark: how far the store had come, told by a file that the store does not write.
//!
//! A journal damaged in its middle looks like one that ends there, so a store can lose
//! acknowledged transactions without noticing. The watermark notices: it names a batch that was
//! acknowledged, and a store that does not have it is refused. It is renewed about once a second,
//! so it bounds what can be lost in silence; it never claims a batch before that is durable.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::EngineError;

/// The name of the file.
pub(super) const FILE: &str = "WATERMARK";

/// How long a claim may lag behind.
const RENEW_AFTER: Duration = Duration::from_secs(1);
const MAGIC: &[u8; 8] = b"dapplewm";
/// Two slots are written in turn, each in a page of its own: a torn write hurts one of them.
const SLOT_BYTES: usize = 4 << 10;
const SLOTS: usize = 2;
const BODY_BYTES: usize = 24;
const HASH_BYTES: usize = 32;

/// The watermark of an open store.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    claim: Claim,
    renewed_at: Duration,
}

/// What one slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Claim {
    /// Grows with each claim; the greater of the two slots is the valid one.
    counter: u64,
    /// The newest batch that was durable then.
    batch: u64,
}

impl Watermark {
    /// Opens the file in `directory`, or begins it, and compares it with the store's own count.
    pub(super) fn open(directory: &Path, batch: u64, now: Duration) -> Result<Self, EngineError> {
        let path = directory.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| File::open(directory)?.sync_all().map(|()| file))
            .map_err(failed)?;
        let claim = read(&file)?;
        if batch < claim.batch {
            return Err(EngineError::Corrupt {
                what: format!(
                    "the newest {} batches of transactions are missing ({batch} found, {} acknowledged): \
                     restore the catalog from a backup",
                    claim.batch - batch,
                    claim.batch
                ),
            });
        }
        Ok(Self { file, claim, renewed_at: now })
    }

    /// Claims a durable batch, if the last claim is old enough.
    pub(super) fn renew(&mut self, batch: u64, now: Duration) -> Result<(), EngineError> {
        if now < self.renewed_at + RENEW_AFTER {
            return Ok(());
        }
        self.renewed_at = now;
        self.claim(batch)
    }

    /// Claims a durable batch.
    pub(super) fn claim(&mut self, batch: u64) -> Result<(), EngineError> {
        if batch == self.claim.batch {
            return Ok(());
        }
        let claim = Claim { counter: self.claim.counter + 1, batch };
        let place = (claim.counter % SLOTS as u64) * SLOT_BYTES as u64;
        self.file.write_all_at(&encode(claim), place).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.claim = claim;
        Ok(())
    }
}

fn failed(cause: std::io::Error) -> EngineError {
    EngineError::Io { what: format!("the file {FILE}: {cause}") }
}

/// The newest claim of a file; that of an empty file is nothing.
fn read(file: &File) -> Result<Claim, EngineError> {
    let mut slots = [[0; SLOT_BYTES]; SLOTS];
    for (slot, place) in slots.iter_mut().zip((0..).step_by(SLOT_BYTES)) {
        read_up_to(file, slot, place).map_err(failed)?;
    }
    let newest = slots.iter().filter_map(decode).max();
    let is_blank = slots.iter().flatten().all(|byte| *byte == 0);
    match newest {
        Some(claim) => Ok(claim),
        None if is_blank => Ok(Claim::default()),
        None => Err(EngineError::Corrupt {
            what: format!("the file {FILE} is unreadable, so nobody can tell whether transactions are missing"),
        }),
    }
}

/// Fills `bytes` as far as the file goes.
fn read_up_to(file: &File, mut bytes: &mut [u8], mut place: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, place) {
            Ok(0) => break,
            Ok(count) => {
                bytes = &mut bytes[count..];
                place += count as u64;
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

fn encode(claim: Claim) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&claim.counter.to_be_bytes());
    slot[16..BODY_BYTES].copy_from_slice(&claim.batch.to_be_bytes());
    let hash = blake3::hash(&slot[..BODY_BYTES]);
    slot[BODY_BYTES..][..HASH_BYTES].copy_from_slice(hash.as_bytes());
    slot
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<Claim> {
    let number = |from: usize| {
        let bytes = slot[from..].first_chunk().expect("a slot is longer than its numbers");
        u64::from_be_bytes(*bytes)
    };
    let hash = blake3::hash(&slot[..BODY_BYTES]);
    let is_whole = slot.starts_with(MAGIC) && slot[BODY_BYTES..][..HASH_BYTES] == hash.as_bytes()[..];
    is_whole.then(|| Claim { counter: number(8), batch: number(16) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_store_behind_its_watermark_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        Watermark::open(directory.path(), 0, START).unwrap().claim(7).unwrap();
        assert!(Watermark::open(directory.path(), 7, START).is_ok());
        assert!(Watermark::open(directory.path(), 9, START).is_ok());
        let refused = Watermark::open(directory.path(), 4, START).unwrap_err();
        assert!(refused.to_string().contains("the newest 3 batches"), "{refused}");
        assert!(refused.to_string().contains("restore"), "{refused}");
    }

    #[test]
    fn a_torn_slot_leaves_the_claim_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(directory.path(), 0, START).unwrap();
        for batch in 1..=3 {
            watermark.claim(batch).unwrap();
        }
        let newest_slot = (watermark.claim.counter % SLOTS as u64) * SLOT_BYTES as u64;
        watermark.file.write_all_at(&[0xAA; 64], newest_slot).unwrap();
        assert!(Watermark::open(directory.path(), 2, START).is_ok());
        assert!(Watermark::open(directory.path(), 1, START).is_err());
    }

    #[test]
    fn a_file_of_garbage_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), [0x5A; 2 * SLOT_BYTES]).unwrap();
        assert!(Watermark::open(directory.path(), 100, START).is_err());
    }

    #[test]
    fn claims_are_renewed_once_a_second() {
        let directory = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(directory.path(), 0, START).unwrap();
        watermark.renew(1, Duration::from_millis(999)).unwrap();
        assert_eq!(watermark.claim.batch, 0);
        watermark.renew(2, Duration::from_secs(1)).unwrap();
        assert_eq!(watermark.claim.batch, 2);
        watermark.renew(3, Duration::from_millis(1_999)).unwrap();
        assert_eq!(watermark.claim.batch, 2);
    }
}
