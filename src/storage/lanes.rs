//! Lanes: room for large objects, each of which takes tens of MiB of memory on its way through this
//! process. Uploads and transfers have lanes of their own, so that slow senders never keep transfers
//! waiting, and no destination gets all of those for transfers, so that a slow one never keeps the
//! others waiting. Copies that stores make between themselves need none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::id::EndpointId;

/// From this length on an object has to hold a lane while it passes through this process.
pub const LARGE_BYTES_MIN: u64 = 32 << 20;
/// How many large uploads, and as many large transfers, may be on their way through this process at
/// once, where nothing else is set.
pub const LANES: usize = 8;

/// The lanes of a process.
pub struct Lanes {
    uploads: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    destinations: Mutex<BTreeMap<EndpointId, Arc<Semaphore>>>,
    /// How many of the transfers may have one destination.
    per_destination: usize,
}

/// A lane, until this is dropped.
pub struct Lane {
    _held: OwnedSemaphorePermit,
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
            transfers: Arc::new(Semaphore::new(count)),
            destinations: Mutex::default(),
            per_destination: (count * 3).div_ceil(4),
        }
    }

    /// Waits for what a large upload has to hold; `None` for one that is not large.
    pub async fn upload(&self, bytes: u64) -> Option<Lane> {
        if bytes < LARGE_BYTES_MIN {
            return None;
        }
        Some(Lane { _held: acquire(&self.uploads).await, _of_destination: None })
    }

    /// Waits for what a large transfer has to hold; `None` for one that is not large.
    pub async fn transfer(&self, destination: EndpointId, bytes: u64) -> Option<Lane> {
        if bytes < LARGE_BYTES_MIN {
            return None;
        }
        let of_destination = acquire(&self.of(destination)).await;
        Some(Lane { _held: acquire(&self.transfers).await, _of_destination: Some(of_destination) })
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

async fn acquire(lanes: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(lanes).acquire_owned().await.expect("lanes are never closed")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn neither_uploads_nor_one_destination_keep_a_large_transfer_waiting() {
        let (lanes, x, y) = (Lanes::new(4), EndpointId(1), EndpointId(2));
        let uploads: Vec<_> = (0..4).map(|_| lanes.upload(LARGE_BYTES_MIN).now_or_never()).collect();
        assert!(uploads.iter().all(Option::is_some));
        assert!(lanes.upload(LARGE_BYTES_MIN).now_or_never().is_none(), "no more than that");
        assert!(lanes.upload(LARGE_BYTES_MIN - 1).now_or_never().expect("it waits for nothing").is_none());

        let to_x: Vec<_> = (0..3).map(|_| lanes.transfer(x, LARGE_BYTES_MIN).now_or_never()).collect();
        assert!(to_x.iter().all(Option::is_some) && lanes.free_to(x) == 0);
        assert!(lanes.transfer(x, LARGE_BYTES_MIN).now_or_never().is_none());
        assert_eq!((lanes.free(), lanes.free_to(y)), (1, 1));
        let to_y = lanes.transfer(y, LARGE_BYTES_MIN).now_or_never().expect("a slow one has not all of them");
        assert_eq!(lanes.free_to(y), 0);
        drop((to_x, to_y));
        assert_eq!((lanes.free_to(x), lanes.free()), (3, 4));
    }
}
