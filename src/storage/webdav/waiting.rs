//! Small objects that wait in memory for their publishing, on servers that take them whole and
//! refuse to replace: one request per file instead of four.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use crate::storage::backend::{ByteStream, StorageError};

/// The longest object that waits.
const OBJECT_BYTES_MAX: u64 = 8 << 20;
/// How many bytes wait at once, those still coming included.
const WAITING_BYTES_MAX: u64 = 64 << 20;
/// What an object takes besides its bytes; it bounds how many wait, however short they are.
const ENTRY_BYTES: u64 = 1_024;
/// What has waited for longer may have been given up, and goes when there is no room otherwise.
const WAIT_SPAN_MAX: Duration = Duration::from_mins(15);

/// Staged bytes in memory, by their temporary names.
#[derive(Default)]
pub(super) struct Waiting {
    held: Mutex<BTreeMap<String, Held>>,
    used: Arc<AtomicU64>,
}

/// Bytes and the room they take.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    place: Arc<Place>,
}

/// Room for an object that comes. Dropping it gives the room back.
pub(super) struct Place {
    bytes: u64,
    since: Duration,
    used: Arc<AtomicU64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes + ENTRY_BYTES, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Room for an object, if it is small enough and there is some; `now` is monotonic.
    pub(super) fn reserve(&self, bytes: u64, now: Duration) -> Option<Place> {
        if bytes > OBJECT_BYTES_MAX {
            return None;
        }
        if let Some(place) = self.place(bytes, now) {
            return Some(place);
        }
        self.lock().retain(|_, held| now.saturating_sub(held.place.since) < WAIT_SPAN_MAX);
        self.place(bytes, now)
    }

    fn place(&self, bytes: u64, since: Duration) -> Option<Place> {
        let charged = bytes + ENTRY_BYTES;
        let taken = self.used.fetch_add(charged, Ordering::Relaxed) + charged;
        let place = Place { bytes, since, used: self.used.clone() };
        (taken <= WAITING_BYTES_MAX).then_some(place)
    }

    /// Takes a stream of exactly the place's length.
    pub(super) async fn take(
        &self,
        temporary: &str,
        place: Place,
        mut content: ByteStream,
    ) -> Result<(), StorageError> {
        let expected = place.bytes;
        let wrong_length =
            |found: usize| StorageError::WrongLength { path: temporary.to_owned(), expected, found: found as u64 };
        let mut all = BytesMut::with_capacity(usize::try_from(expected).expect("at most a few MiB"));
        while let Some(chunk) = content.try_next().await? {
            let found = all.len() + chunk.len();
            if found as u64 > expected {
                return Err(wrong_length(found));
            }
            all.extend_from_slice(&chunk);
        }
        if (all.len() as u64) < expected {
            return Err(wrong_length(all.len()));
        }
        let held = Held { bytes: all.freeze(), place: Arc::new(place) };
        self.lock().insert(temporary.to_owned(), held);
        Ok(())
    }

    pub(super) fn get(&self, temporary: &str) -> Option<Held> {
        self.lock().get(temporary).cloned()
    }

    /// Forgets what waits, and tells whether anything did.
    pub(super) fn remove(&self, temporary: &str) -> bool {
        self.lock().remove(temporary).is_some()
    }

    /// All names and lengths.
    pub(super) fn all(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|(name, held)| (name.clone(), held.bytes.len() as u64)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().expect("no holder of the lock panics")
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, stream};

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_room_comes_back() {
        let waiting = Waiting::default();
        let now = Duration::ZERO;
        assert!(waiting.reserve(OBJECT_BYTES_MAX + 1, now).is_none());
        let places: Vec<_> = (0..7).map(|_| waiting.reserve(OBJECT_BYTES_MAX, now).expect("room")).collect();
        assert!(waiting.reserve(OBJECT_BYTES_MAX, now).is_none());
        drop(places);
        let places: Vec<_> = std::iter::from_fn(|| waiting.reserve(0, now)).collect();
        assert_eq!(places.len(), 65_536, "what is empty takes room as well");
        drop(places);
        for content in [&b"abc"[..], b"abcde"] {
            let place = waiting.reserve(4, now).expect("room");
            let content = stream::iter([Ok(Bytes::from_static(content))]).boxed();
            let outcome = waiting.take("t", place, content).now_or_never().expect("nothing in it waits");
            assert!(matches!(outcome, Err(StorageError::WrongLength { expected: 4, .. })));
        }
        let content = stream::iter([Ok(Bytes::from_static(b"abcd"))]).boxed();
        let place = waiting.reserve(4, now).expect("room");
        waiting.take("t", place, content).now_or_never().expect("nothing in it waits").expect("whole");
        assert_eq!(waiting.used.load(Ordering::Relaxed), 4 + ENTRY_BYTES);
        assert_eq!(waiting.all(), [("t".to_owned(), 4)]);
        assert!(waiting.remove("t") && !waiting.remove("t"));
        assert_eq!(waiting.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_given_up_makes_room_when_there_is_none() {
        let waiting = Waiting::default();
        let hold = |name: &str, now| {
            let Some(place) = waiting.reserve(OBJECT_BYTES_MAX, now) else { return false };
            let content = Bytes::from(vec![0; usize::try_from(OBJECT_BYTES_MAX).expect("a few MiB")]);
            let taken = waiting.take(name, place, stream::iter([Ok(content)]).boxed()).now_or_never();
            taken.expect("nothing in it waits").expect("whole");
            true
        };
        assert!(hold("old", Duration::ZERO));
        let (soon, late) = (WAIT_SPAN_MAX / 2, WAIT_SPAN_MAX);
        assert!((0..6).all(|number| hold(&number.to_string(), soon)));
        assert!(!hold("new", soon) && waiting.get("old").is_some());
        assert!(hold("new", late) && waiting.get("old").is_none() && waiting.get("0").is_some());
    }
}
