//! Lanes: room for large objects, each of which takes tens of MiB of memory on its way through this
//! process. Uploads and transfers have lanes of their own, so that slow senders never keep transfers
//! waiting, and no destination gets all of those for transfers, so that a slow one never keeps the
//! others waiting. Where a store is given parts that wait in memory, uploads of any length share half of the
//! room for those, and the other half is left to transfers. Copies that stores make between themselves need none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::id::EndpointId;

/// From this length on an object has to hold a lane while it passes through this process.
pub const LARGE_BYTES_MIN: u64 = 32 << 20;
/// How many large uploads, and as many large transfers, may be on their way through this process at
/// once, where nothing else is set.
pub const LANES: usize = 8;

/// How many bytes of parts that wait in this process's memory may be of uploads, all together: whoever
/// sends slowly holds them for long.
pub const UPLOADS_BYTES_MAX: u64 = 256 << 20;
/// In what pieces that room is given.
const PIECE: u64 = 1 << 10;

/// The lanes of a process.
pub struct Lanes {
    uploads: Arc<Semaphore>,
    /// Pieces of [`UPLOADS_BYTES_MAX`].
    upload_room: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    destinations: Mutex<BTreeMap<EndpointId, Arc<Semaphore>>>,
    /// How many of the transfers may have one destination.
    per_destination: usize,
}

/// A lane, until this is dropped.
pub struct Lane {
    _held: Option<OwnedSemaphorePermit>,
    _room: Option<OwnedSemaphorePermit>,
    _of_destination: Option<OwnedSemaphorePermit>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(LANES)
    }
}

impl Lanes {
    /// So many for uploads, and as many for transfers, of which one destination gets three quarters.
    pub fn new(count: usize) -> Self {
        Self {
            uploads: Arc::new(Semaphore::new(count)),
            upload_room: Arc::new(Semaphore::new(pieces(UPLOADS_BYTES_MAX) as usize)),
            transfers: Arc::new(Semaphore::new(count)),
            destinations: Mutex::default(),
            per_destination: (count * 3).div_ceil(4),
        }
    }

    /// Waits for what an upload has to hold: a lane if it is large, and room for so many of its bytes as
    /// wait in memory. `None` for one that needs neither.
    pub async fn upload(&self, bytes: u64, waiting: u64) -> Option<Lane> {
        let held = if bytes < LARGE_BYTES_MIN { None } else { Some(acquire(&self.uploads).await) };
        let room = match pieces(waiting.min(UPLOADS_BYTES_MAX)) {
            0 => None,
            some => Some(Arc::clone(&self.upload_room).acquire_many_owned(some).await.expect(NEVER_CLOSED)),
        };
        (held.is_some() || room.is_some()).then_some(Lane { _held: held, _room: room, _of_destination: None })
    }

    /// Waits for what a large transfer has to hold; `None` for one that is not large.
    pub async fn transfer(&self, destination: EndpointId, bytes: u64) -> Option<Lane> {
        if bytes < LARGE_BYTES_MIN {
            return None;
        }
        let of_destination = acquire(&self.of(destination)).await;
        let held = Some(acquire(&self.transfers).await);
        Some(Lane { _held: held, _room: None, _of_destination: Some(of_destination) })
    }

    /// How many lanes are free for large transfers.
    pub fn free(&self) -> usize {
        self.transfers.available_permits()
    }

    /// How many of them a destination may still have.
    pub fn free_to(&self, destination: EndpointId) -> usize {
        self.of(destination).available_permits().min(self.free())
    }

    fn of(&self, destination: EndpointId) -> Arc<Semaphore> {
        let mut destinations = self.destinations.lock().expect("nothing panics while holding it");
        let fresh = || Arc::new(Semaphore::new(self.per_destination));
        Arc::clone(destinations.entry(destination).or_insert_with(fresh))
    }
}

const NEVER_CLOSED: &str = "lanes are never closed";

fn pieces(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).expect("the room has few pieces")
}

async fn acquire(lanes: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(lanes).acquire_owned().await.expect(NEVER_CLOSED)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn neither_uploads_nor_one_destination_keep_a_large_transfer_waiting() {
        let (lanes, x, y) = (Lanes::new(4), EndpointId(1), EndpointId(2));
        let uploads: Vec<_> = (0..4).map(|_| lanes.upload(LARGE_BYTES_MIN, 0).now_or_never()).collect();
        assert!(uploads.iter().all(Option::is_some));
        assert!(lanes.upload(LARGE_BYTES_MIN, 0).now_or_never().is_none(), "no more than that");
        assert!(lanes.upload(LARGE_BYTES_MIN - 1, 0).now_or_never().expect("it waits for nothing").is_none());

        let to_x: Vec<_> = (0..3).map(|_| lanes.transfer(x, LARGE_BYTES_MIN).now_or_never()).collect();
        assert!(to_x.iter().all(Option::is_some) && lanes.free_to(x) == 0);
        assert!(lanes.transfer(x, LARGE_BYTES_MIN).now_or_never().is_none());
        assert_eq!((lanes.free(), lanes.free_to(y)), (1, 1));
        let to_y = lanes.transfer(y, LARGE_BYTES_MIN).now_or_never().expect("a slow one has not all of them");
        assert_eq!(lanes.free_to(y), 0);
        drop((to_x, to_y));
        assert_eq!((lanes.free_to(x), lanes.free()), (3, 4));
    }

    #[test]
    fn uploads_of_any_length_share_the_room_in_memory() {
        let lanes = Lanes::new(4);
        let part = 8 << 20;
        let slow: Vec<_> = (0..UPLOADS_BYTES_MAX / part).map(|_| lanes.upload(part, part).now_or_never()).collect();
        assert!(slow.iter().flatten().all(Option::is_some), "each holds its part of it");
        assert!(slow.iter().all(Option::is_some), "there is room for all");
        assert!(lanes.upload(1, 1).now_or_never().is_none(), "and for no more");
        assert!(lanes.upload(part, 0).now_or_never().is_some(), "but for what does not wait in memory");
        drop(slow);
        let huge = lanes.upload(u64::MAX, u64::MAX).now_or_never().expect("it is there alone");
        assert!(lanes.upload(1, 1).now_or_never().is_none());
        drop(huge);
    }
}
