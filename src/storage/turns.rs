//! One at a time decides about a name, so that of several publishers in this process one wins on
//! every store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Names that somebody decides about.
#[derive(Default)]
pub(in crate::storage) struct Turns(Arc<Mutex<BTreeMap<String, Arc<Turn<()>>>>>);

/// The right to decide about a name. Dropping it lets the next one in.
pub(in crate::storage) struct Held {
    turns: Arc<Mutex<BTreeMap<String, Arc<Turn<()>>>>>,
    path: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else decides about a name.
    pub(in crate::storage) async fn take(&self, path: &str) -> Held {
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
}
