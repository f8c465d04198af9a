//! What this process has staged in a bucket and not yet published: objects that wait in memory, and
//! uploads that wait in the store.
//!
//! Promises that an upload which somebody works on is known to be theirs, and that a dropped attempt
//! gives back what it had. What waits never
//! keeps the desk alive: an endpoint that is opened anew leaves nothing behind in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use crate::model::id::IntentId;
use crate::storage::holding::{Holding, Place};
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::part::{Print, Sent};
use bytes::Bytes;

/// The desk of one bucket. Clones are the same desk.
#[derive(Clone, Default)]
pub(super) struct Desk {
    places: Arc<Mutex<Places>>,
    pub(super) holding: Arc<Holding>,
}

#[derive(Default)]
struct Places {
    of: HashMap<String, HashMap<IntentId, Spot>>,
    tickets: u64,
}

enum Spot {
    /// Somebody is at it, with this upload if it has come so far.
    Busy { ticket: u64, upload: Option<String> },
    /// An attempt broke off and left this upload.
    Left { upload: String },
    /// It is complete.
    Done(Waiting),
}

/// What waits for being published.
#[derive(Clone)]
pub(super) enum Waiting {
    /// The bytes themselves.
    Held(Held),
    /// The parts of an upload.
    Upload(Arc<Upload>),
}

/// An object that waits in memory.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) content: Bytes,
    pub(super) print: Print,
    pub(super) place: Arc<Place>,
}

/// An upload whose parts are all there.
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) parts: Vec<Sent>,
    /// The CRC-32C of the whole, where the store keeps it.
    pub(super) crc32c: Option<[u8; 4]>,
    /// What it is a copy of.
    pub(super) source: Option<Source>,
}

/// The version of an object that was copied.
pub(super) struct Source {
    /// It may be the very bucket at whose desk this waits.
    pub(super) bucket: Weak<Bucket>,
    pub(super) key: String,
    pub(super) etag: String,
}

/// An attempt to stage something. Dropped unsettled, it gives up its place.
pub(super) struct Claim {
    desk: Desk,
    key: String,
    intent: IntentId,
    ticket: u64,
    /// The upload that an earlier attempt of the intent had.
    pub(super) left: Option<String>,
}

impl Desk {
    /// Takes the place of an intent, replacing what was there.
    pub(super) fn claim(&self, key: &str, intent: IntentId) -> Claim {
        let mut places = self.lock();
        places.tickets += 1;
        let ticket = places.tickets;
        let before = places.of.entry(key.to_owned()).or_default().insert(intent, Spot::Busy { ticket, upload: None });
        drop(places);
        let left = before.as_ref().and_then(Spot::upload).map(ToOwned::to_owned);
        Claim { desk: self.clone(), key: key.to_owned(), intent, ticket, left }
    }

    /// What waits for an intent.
    pub(super) fn waiting(&self, key: &str, intent: IntentId) -> Option<Waiting> {
        match self.lock().of.get(key)?.get(&intent)? {
            Spot::Done(waiting) => Some(waiting.clone()),
            Spot::Busy { .. } | Spot::Left { .. } => None,
        }
    }

    /// Clears an intent's place and tells the upload that was there.
    pub(super) fn clear(&self, key: &str, intent: IntentId) -> Option<String> {
        let mut places = self.lock();
        places.remove(key, intent).as_ref().and_then(Spot::upload).map(ToOwned::to_owned)
    }

    /// Uploads on a key that other intents have or work on.
    pub(super) fn of_others(&self, key: &str, intent: IntentId) -> Vec<String> {
        let places = self.lock();
        let others = places.of.get(key).into_iter().flatten().filter(|(other, _)| **other != intent);
        let live = others.filter(|(_, place)| !matches!(place, Spot::Left { .. }));
        live.filter_map(|(_, place)| place.upload().map(ToOwned::to_owned)).collect()
    }

    /// Room in memory for an object, if there is any.
    pub(super) fn reserve(&self, bytes: u64, now: Duration) -> Option<Place> {
        self.holding.reserve(bytes, now, || self.lock().forget(now))
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().expect("no holder of the lock panics")
    }
}

impl Spot {
    fn upload(&self) -> Option<&str> {
        match self {
            Spot::Busy { upload, .. } => upload.as_deref(),
            Spot::Left { upload } => Some(upload),
            Spot::Done(Waiting::Upload(upload)) => Some(&upload.id),
            Spot::Done(Waiting::Held(_)) => None,
        }
    }
}

impl Claim {
    /// Says that the attempt goes on with this upload.
    pub(super) fn owns(&self, id: &str) {
        if let Some(Spot::Busy { ticket, upload }) = self.desk.lock().place(&self.key, self.intent)
            && *ticket == self.ticket
        {
            *upload = Some(id.to_owned());
        }
    }

    /// Says that its upload has ended.
    pub(super) fn disowns(&self) {
        if let Some(Spot::Busy { ticket, upload }) = self.desk.lock().place(&self.key, self.intent)
            && *ticket == self.ticket
        {
            *upload = None;
        }
    }

    /// Leaves what is complete for being published, unless another attempt has taken the place.
    pub(super) fn settle(self, waiting: Waiting) {
        self.put(|_| Some(Spot::Done(waiting)));
    }

    /// Puts something into the place while this attempt has it; `None` clears it.
    fn put(&self, next: impl FnOnce(Option<String>) -> Option<Spot>) {
        let mut places = self.desk.lock();
        let Some(Spot::Busy { ticket, upload }) = places.place(&self.key, self.intent) else { return };
        if *ticket != self.ticket {
            return;
        }
        match next(upload.take()) {
            Some(place) => {
                places.of.entry(self.key.clone()).or_default().insert(self.intent, place);
            }
            None => {
                places.remove(&self.key, self.intent);
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.put(|upload| upload.map(|upload| Spot::Left { upload }));
    }
}

impl Places {
    fn remove(&mut self, key: &str, intent: IntentId) -> Option<Spot> {
        let intents = self.of.get_mut(key)?;
        let before = intents.remove(&intent);
        if intents.is_empty() {
            self.of.remove(key);
        }
        before
    }

    fn forget(&mut self, now: Duration) {
        let stays = |place: &Spot| match place {
            Spot::Done(Waiting::Held(held)) => !held.place.is_old(now),
            Spot::Busy { .. } | Spot::Left { .. } | Spot::Done(Waiting::Upload(_)) => true,
        };
        self.of.retain(|_, intents| {
            intents.retain(|_, place| stays(place));
            !intents.is_empty()
        });
    }

    fn place(&mut self, key: &str, intent: IntentId) -> Option<&mut Spot> {
        self.of.get_mut(key)?.get_mut(&intent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn held(desk: &Desk, bytes: usize) -> Option<Waiting> {
        let place = desk.reserve(bytes as u64, Duration::ZERO)?;
        let content = Bytes::from(vec![0; bytes]);
        let print = Print::of(&content, false);
        Some(Waiting::Held(Held { print, content, place: Arc::new(place) }))
    }

    #[test]
    fn memory_is_given_back() {
        let desk = Desk::default();
        let used = desk.holding.used();
        desk.claim("a", IntentId(1)).settle(held(&desk, 5).expect("there is room"));
        let one = used.load(Ordering::Relaxed);
        // Staging again replaces what waited.
        drop(desk.claim("a", IntentId(1)));
        assert!(desk.waiting("a", IntentId(1)).is_none() && used.load(Ordering::Relaxed) == 0);
        desk.claim("a", IntentId(1)).settle(held(&desk, 5).expect("it was given back"));
        assert_eq!(used.load(Ordering::Relaxed), one);
        desk.clear("a", IntentId(1));
        assert_eq!(used.load(Ordering::Relaxed), 0);
        assert!(desk.lock().of.is_empty());
    }

    #[test]
    fn what_waits_too_long_gives_its_room_to_others() {
        let desk = Desk::default();
        desk.claim("a", IntentId(1)).settle(held(&desk, 5).expect("there is room"));
        let full = desk.holding.fill();
        assert!(desk.reserve(1, Duration::from_mins(14)).is_none());
        assert!(desk.waiting("a", IntentId(1)).is_some());
        assert!(desk.reserve(1, Duration::from_mins(15)).is_some());
        assert!(desk.waiting("a", IntentId(1)).is_none());
        assert!(desk.lock().of.is_empty());
        drop(full);
    }

    #[test]
    fn what_waits_does_not_keep_its_desk_alive() {
        let desk = Desk::default();
        desk.claim("a", IntentId(1)).settle(held(&desk, 5).expect("there is room"));
        let (places, used) = (Arc::downgrade(&desk.places), desk.holding.used());
        assert_ne!(used.load(Ordering::Relaxed), 0);
        drop(desk);
        assert!(places.upgrade().is_none());
        assert_eq!(used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_dropped_attempt_leaves_its_upload_to_whoever_comes_next() {
        let desk = Desk::default();
        let claim = desk.claim("a", IntentId(1));
        claim.owns("u1");
        assert_eq!(desk.of_others("a", IntentId(2)), ["u1"]);
        assert!(desk.of_others("a", IntentId(1)).is_empty());
        drop(claim);
        assert!(desk.of_others("a", IntentId(2)).is_empty(), "nobody works on it");
        assert_eq!(desk.claim("a", IntentId(1)).left.as_deref(), Some("u1"));
    }

    #[test]
    fn an_overtaken_attempt_changes_nothing() {
        let desk = Desk::default();
        let old = desk.claim("a", IntentId(1));
        let new = desk.claim("a", IntentId(1));
        new.owns("u2");
        old.owns("u1");
        drop(old);
        assert_eq!(desk.of_others("a", IntentId(2)), ["u2"]);
        new.settle(held(&desk, 1).expect("room"));
        assert!(desk.waiting("a", IntentId(1)).is_some());
    }
}
