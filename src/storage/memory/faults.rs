//! Switches by which a memory storage is made to fail, from outside and at chosen moments.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::storage::backend::StorageError;

/// The switches of one storage. Clones are the same switches.
#[derive(Clone, Default)]
pub struct Faults {
    switches: Arc<Mutex<Switches>>,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Default)]
struct Switches {
    down: bool,
    denied: bool,
    full: bool,
    yielding: bool,
    hanging: bool,
    waiting: Vec<Waker>,
    next: VecDeque<StorageError>,
    spoils: VecDeque<Spoil>,
}

/// What happens to the bytes of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoil {
    Flip,
    Shorten,
}

impl Faults {
    /// The next operation that has not failed yet fails so, before it does anything. Calls queue.
    pub fn fail_next(&self, error: StorageError) {
        self.lock().next.push_back(error);
    }

    /// The next read gives one wrong bit, silently.
    pub fn corrupt_next_read(&self) {
        self.lock().spoils.push_back(Spoil::Flip);
    }

    /// The next read ends half-way, silently.
    pub fn shorten_next_read(&self) {
        self.lock().spoils.push_back(Spoil::Shorten);
    }

    /// All operations fail as unavailable, those under way at their next chunk.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// All operations that write are denied.
    pub fn set_denied(&self, denied: bool) {
        self.lock().denied = denied;
    }

    /// All writes find no room.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Every operation yields once before its effect, once after it, and before each chunk, so that
    /// whoever polls the futures can interleave them or drop them there.
    pub fn set_yielding(&self, yielding: bool) {
        self.lock().yielding = yielding;
    }

    /// Every operation stands still where it is, until this is lifted.
    pub fn set_hanging(&self, hanging: bool) {
        self.lock().hanging = hanging;
        self.wake();
    }

    /// Lifts everything.
    pub fn clear(&self) {
        let before = std::mem::take(&mut *self.lock());
        before.waiting.into_iter().for_each(Waker::wake);
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The beginning of an operation.
    pub(super) async fn pass(&self, path: &str) -> Result<(), StorageError> {
        self.pause().await;
        self.up(path)?;
        self.lock().next.pop_front().map_or(Ok(()), Err)
    }

    /// A place at which a simulation may turn to something else.
    pub(super) async fn pause(&self) {
        let mut yields = self.lock().yielding;
        poll_fn(|context| {
            let mut switches = self.lock();
            if switches.hanging {
                switches.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            if std::mem::take(&mut yields) {
                context.waker().wake_by_ref();
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    pub(super) fn up(&self, path: &str) -> Result<(), StorageError> {
        if self.lock().down {
            return Err(StorageError::Unavailable { path: path.to_owned(), what: "it is switched off".to_owned() });
        }
        Ok(())
    }

    pub(super) fn writable(&self, path: &str) -> Result<(), StorageError> {
        if self.lock().denied {
            return Err(StorageError::Denied { path: path.to_owned() });
        }
        Ok(())
    }

    pub(super) fn roomy(&self, path: &str) -> Result<(), StorageError> {
        if self.lock().full {
            return Err(StorageError::Full { path: path.to_owned() });
        }
        Ok(())
    }

    pub(super) fn spoil(&self) -> Option<Spoil> {
        self.lock().spoils.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().expect("no holder of the lock panics")
    }
}

/// A copy with one bit flipped in the middle byte.
pub(super) fn flip(content: &Bytes) -> Bytes {
    let mut flipped = content.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    flipped.into()
}
