//! Room in this process's memory for small objects that wait to be published: one request per file
//! where staging it would take several.
//!
//! Promises that no more than [`HELD_BYTES_MAX`] wait at one store, those still coming included, and
//! that what is dropped gives its room back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest object that waits.
pub(in crate::storage) const OBJECT_BYTES_MAX: u64 = 8 << 20;
/// How many bytes wait at once, those still coming included.
pub(in crate::storage) const HELD_BYTES_MAX: u64 = 64 << 20;
/// What an object takes besides its bytes; it bounds how many wait, however short they are.
const ENTRY_BYTES: u64 = 1_024;
/// What has waited for longer may have been given up, and goes when there is no room otherwise.
const HELD_SPAN_MAX: Duration = Duration::from_mins(15);

/// The room of one store.
#[derive(Default)]
pub(in crate::storage) struct Holding {
    used: Arc<AtomicU64>,
}

/// Room for one object. Dropping it gives the room back.
pub(in crate::storage) struct Place {
    bytes: u64,
    since: Duration,
    used: Arc<AtomicU64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes + ENTRY_BYTES, Ordering::Relaxed);
    }
}

impl Place {
    /// For how many bytes it is.
    pub(in crate::storage) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells whether whoever took it may have forgotten it; `now` is monotonic.
    pub(in crate::storage) fn is_old(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= HELD_SPAN_MAX
    }
}

impl Holding {
    /// Room for an object, if it is small enough and there is some; `forget` gives up what is old.
    pub(in crate::storage) fn reserve(&self, bytes: u64, now: Duration, forget: impl FnOnce()) -> Option<Place> {
        if bytes > OBJECT_BYTES_MAX {
            return None;
        }
        self.place(bytes, now).or_else(|| {
            forget();
            self.place(bytes, now)
        })
    }

    fn place(&self, bytes: u64, since: Duration) -> Option<Place> {
        let charged = bytes + ENTRY_BYTES;
        let taken = self.used.fetch_add(charged, Ordering::Relaxed) + charged;
        // Dropped at once if it is too much.
        let place = Place { bytes, since, used: self.used.clone() };
        (taken <= HELD_BYTES_MAX).then_some(place)
    }

    /// Bytes that are taken.
    #[cfg(test)]
    pub(in crate::storage) fn used(&self) -> Arc<AtomicU64> {
        self.used.clone()
    }

    /// Takes all room but for less than an object of a byte.
    #[cfg(test)]
    pub(in crate::storage) fn fill(&self) -> Vec<Place> {
        let reserve = |bytes| self.reserve(bytes, Duration::ZERO, || {});
        let mut places: Vec<_> = std::iter::from_fn(|| reserve(OBJECT_BYTES_MAX)).collect();
        let left = HELD_BYTES_MAX - self.used.load(Ordering::Relaxed);
        places.extend(reserve(left - ENTRY_BYTES));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_room_comes_back() {
        let holding = Holding::default();
        let reserve = |bytes| holding.reserve(bytes, Duration::ZERO, || {});
        assert!(reserve(OBJECT_BYTES_MAX + 1).is_none());
        let places: Vec<_> = (0..7).map(|_| reserve(OBJECT_BYTES_MAX).expect("room")).collect();
        assert!(reserve(OBJECT_BYTES_MAX).is_none());
        drop(places);
        let places: Vec<_> = std::iter::from_fn(|| reserve(0)).collect();
        assert_eq!(places.len(), 65_536, "what is empty takes room as well");
        drop(places);
        let full = holding.fill();
        assert!(reserve(0).is_none());
        drop(full);
        assert_eq!(holding.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_old_is_forgotten_only_when_there_is_no_room() {
        let holding = Holding::default();
        let mut old = holding.reserve(OBJECT_BYTES_MAX, Duration::ZERO, || {});
        let soon = HELD_SPAN_MAX / 2;
        let others: Vec<_> = (0..6)
            .map(|_| holding.reserve(OBJECT_BYTES_MAX, soon, || panic!("there is room")).expect("room"))
            .collect();
        let forgets = |old: &mut Option<Place>, now| old.take_if(|place| place.is_old(now));
        assert!(holding.reserve(OBJECT_BYTES_MAX, soon, || drop(forgets(&mut old, soon))).is_none() && old.is_some());
        let new = holding.reserve(OBJECT_BYTES_MAX, HELD_SPAN_MAX, || drop(forgets(&mut old, HELD_SPAN_MAX)));
        assert!(new.is_some() && old.is_none() && others.iter().all(|place| !place.is_old(HELD_SPAN_MAX)));
    }
}
