//! Wakes: how a commit tells workers that there is something to do: those of this process at once,
//! those of other processes on the same catalog by a bell of the engine. A wake is a hint that saves
//! waiting; workers also look by themselves now and then, so losing one costs time, never work.

use std::fmt;
use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::catalog::engine::FEED_BELL;

/// What a worker may be waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Rules or the data below them changed.
    Rules,
    /// A unit may have files to transfer.
    Filling,
    /// Transfers are ready.
    Transfers,
    /// Deltas are there to be folded.
    Folds,
    /// The change feed has grown.
    Feed,
}

impl Topic {
    const ALL: [Topic; 5] = [Topic::Rules, Topic::Filling, Topic::Transfers, Topic::Folds, Topic::Feed];

    /// What its bell is called between processes.
    fn name(self) -> &'static str {
        match self {
            Topic::Rules => "rules",
            Topic::Filling => "filling",
            Topic::Transfers => "transfers",
            Topic::Folds => "folds",
            Topic::Feed => FEED_BELL,
        }
    }
}

/// Tells other processes of a bell.
type Carrier = Box<dyn Fn(&'static str) + Send + Sync>;

/// One bell per topic.
#[derive(Default)]
pub struct Wakes {
    carrier: OnceLock<Carrier>,
    rules: Notify,
    filling: Notify,
    transfers: Notify,
    folds: Notify,
    feed: Notify,
}

impl fmt::Debug for Wakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wakes").finish_non_exhaustive()
    }
}

impl Wakes {
    /// Has bells carried to other processes too.
    pub(super) fn carry(&self, carrier: Carrier) {
        // Whoever is the first to say how stays so.
        let _ = self.carrier.set(carrier);
    }

    /// Wakes those of this process who wait for what another process rang.
    pub(super) fn hear(&self, bell: &str) {
        if let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.name() == bell) {
            self.bell(topic).notify_waiters();
        }
    }

    fn bell(&self, topic: Topic) -> &Notify {
        match topic {
            Topic::Rules => &self.rules,
            Topic::Filling => &self.filling,
            Topic::Transfers => &self.transfers,
            Topic::Folds => &self.folds,
            Topic::Feed => &self.feed,
        }
    }

    /// Wakes all who have asked to wait for a topic.
    pub fn wake(&self, topic: Topic) {
        self.bell(topic).notify_waiters();
        // Other processes see by themselves that the feed has grown.
        if let Some(carry) = self.carrier.get().filter(|_| topic != Topic::Feed) {
            carry(topic.name());
        }
    }

    /// Waits for the next wake of a topic, counted from this call, not from the first poll. Ask
    /// before looking for work, then nothing that happens in between is missed.
    pub fn waiting(&self, topic: Topic) -> tokio::sync::futures::Notified<'_> {
        self.bell(topic).notified()
    }
}
