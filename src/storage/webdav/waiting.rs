//! Small objects that wait in memory for their publishing, on servers that take them whole and
//! refuse to replace: one request per file instead of four.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use crate::storage::backend::{ByteStream, StorageError};
use crate::storage::holding::{Holding, Place};

/// Staged bytes in memory, by their temporary names.
#[derive(Default)]
pub(super) struct Waiting {
    held: Mutex<BTreeMap<String, Held>>,
    holding: Holding,
}

/// Bytes and the room they take.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    place: Arc<Place>,
}

impl Waiting {
    /// Room for an object, if it is small enough and there is some; `now` is monotonic.
    pub(super) fn reserve(&self, bytes: u64, now: Duration) -> Option<Place> {
        self.holding.reserve(bytes, now, || self.lock().retain(|_, held| !held.place.is_old(now)))
    }

    /// Takes a stream of exactly the place's length.
    pub(super) async fn take(
        &self,
        temporary: &str,
        place: Place,
        mut content: ByteStream,
    ) -> Result<(), StorageError> {
        let expected = place.bytes();
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
    use std::sync::atomic::Ordering;

    use futures::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::storage::holding::OBJECT_BYTES_MAX;

    #[test]
    fn only_a_whole_object_waits_and_it_gives_its_room_back() {
        let waiting = Waiting::default();
        let (now, used) = (Duration::ZERO, waiting.holding.used());
        for content in [&b"abc"[..], b"abcde"] {
            let place = waiting.reserve(4, now).expect("room");
            let content = stream::iter([Ok(Bytes::from_static(content))]).boxed();
            let outcome = waiting.take("t", place, content).now_or_never().expect("nothing in it waits");
            assert!(matches!(outcome, Err(StorageError::WrongLength { expected: 4, .. })));
            assert_eq!(used.load(Ordering::Relaxed), 0);
        }
        let content = stream::iter([Ok(Bytes::from_static(b"abcd"))]).boxed();
        let place = waiting.reserve(4, now).expect("room");
        waiting.take("t", place, content).now_or_never().expect("nothing in it waits").expect("whole");
        assert_ne!(used.load(Ordering::Relaxed), 0);
        assert_eq!(waiting.all(), [("t".to_owned(), 4)]);
        assert!(waiting.remove("t") && !waiting.remove("t"));
        assert_eq!(used.load(Ordering::Relaxed), 0);
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
        let (soon, late) = (Duration::from_mins(7), Duration::from_mins(15));
        assert!((0..6).all(|number| hold(&number.to_string(), soon)));
        assert!(!hold("new", soon) && waiting.get("old").is_some());
        assert!(hold("new", late) && waiting.get("old").is_none() && waiting.get("0").is_some());
    }
}
