//! Which transfers this process has in hand. One that is recorded as running here and is in nobody's
//! hand has been dropped on the way, by an error between claiming and settling, and may be given back
//! long before its lease ends. Never stored: what a process that is gone had, its leases tell.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::model::id::TransferId;

/// The transfers in hand. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Hands(Arc<Mutex<BTreeSet<TransferId>>>);

/// A transfer in hand, until this is dropped.
#[derive(Debug)]
pub struct Hold {
    transfer: TransferId,
    hands: Hands,
}

impl Hands {
    /// Takes a transfer in hand; `None` if it is already. Ask before the transaction that marks it as
    /// running, so that it is never seen running in nobody's hand.
    pub fn take(&self, transfer: TransferId) -> Option<Hold> {
        let fresh = self.lock().insert(transfer);
        fresh.then(|| Hold { transfer, hands: self.clone() })
    }

    /// Tells whether a transfer is in hand.
    pub fn has(&self, transfer: TransferId) -> bool {
        self.lock().contains(&transfer)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<TransferId>> {
        self.0.lock().expect("nothing panics while holding it")
    }
}

impl Hold {
    /// Which one.
    pub fn transfer(&self) -> TransferId {
        self.transfer
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.hands.lock().remove(&self.transfer);
    }
}
