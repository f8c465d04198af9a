//! The lengths of what is staged, so that publishing need not ask for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// How many lengths are remembered; of others the server is asked.
const SIZES_MAX: usize = 65_536;

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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the lock panics")
}

#[cfg(test)]
mod tests {
    use super::*;

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
