//! One publisher per name at a time, so that of several in this process one wins on every server;
//! and the lengths of what is staged, so that publishing need not ask for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// How many lengths are remembered; of others the server is asked.
const SIZES_MAX: usize = 65_536;

/// Names that are being published.
#[derive(Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<String, Arc<Turn<()>>>>>);

/// The right to publish a name. Dropping it lets the next one in.
pub(super) struct Held {
    turns: Arc<Mutex<BTreeMap<String, Arc<Turn<()>>>>>,
    path: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn take(&self, path: &str) -> Held {
        let turn = lock(&self.0).entry(path.to_owned()).or_default().clone();
        // Made before it waits, so that a caller who gives up leaves nothing either.
        let mut held = Held { turns: self.0.clone(), path: path.to_owned(), guard: None };
        held.guard = Some(turn.lock_owned().await);
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut turns = lock(&self.turns);
        self.guard = None;
        // Whoever waits has a share of its own.
        if turns.get(&self.path).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.path);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the lock panics")
}

/// Lengths of staged objects by their temporary names.
#[derive(Default)]
pub(super) struct Sizes(Mutex<BTreeMap<String, u64>>);

impl Sizes {
    pub(super) fn add(&self, temporary: &str, bytes: u64) {
        let mut sizes = lock(&self.0);
        if sizes.len() >= SIZES_MAX && !sizes.contains_key(temporary) {
            sizes.pop_first();
        }
        sizes.insert(temporary.to_owned(), bytes);
    }

    pub(super) fn get(&self, temporary: &str) -> Option<u64> {
        lock(&self.0).get(temporary).copied()
    }

    pub(super) fn has(&self, temporary: &str) -> bool {
        self.get(temporary).is_some()
    }

    pub(super) fn remove(&self, temporary: &str) -> bool {
        lock(&self.0).remove(temporary).is_some()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn turns_come_one_after_another_and_leave_nothing() {
        let turns = Turns::default();
        let first = turns.take("a").now_or_never().expect("free");
        assert!(turns.take("b").now_or_never().is_some());
        let mut second = Box::pin(turns.take("a"));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second.now_or_never().expect("free again"));
        let first = turns.take("a").now_or_never().expect("free");
        drop(Box::pin(turns.take("a")).as_mut().now_or_never());
        drop(first);
        assert!(lock(&turns.0).is_empty());
    }

    #[test]
    fn what_is_known_already_drives_nothing_out() {
        let sizes = Sizes::default();
        (0..SIZES_MAX).for_each(|number| sizes.add(&number.to_string(), 1));
        sizes.add("1", 2);
        assert!(sizes.has("0") && sizes.get("1") == Some(2));
        sizes.add("new", 1);
        assert!(!sizes.has("0") && sizes.has("new"));
    }
}
