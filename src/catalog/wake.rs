//! Wakes: how a commit tells the workers of this process that there is something to do. A wake is a
//! hint that saves waiting; workers also look by themselves now and then, so losing one costs time,
//! never work.

use tokio::sync::Notify;

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

/// One bell per topic.
#[derive(Debug, Default)]
pub struct Wakes {
    rules: Notify,
    filling: Notify,
    transfers: Notify,
    folds: Notify,
    feed: Notify,
}

impl Wakes {
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
    }

    /// Waits for the next wake of a topic, counted from this call, not from the first poll. Ask
    /// before looking for work, then nothing that happens in between is missed.
    pub fn waiting(&self, topic: Topic) -> tokio::sync::futures::Notified<'_> {
        self.bell(topic).notified()
    }
}
