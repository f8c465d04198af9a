//! Transfers: one file on its way to one endpoint. The life of a transfer is one enum and one pure
//! function; nothing else changes its state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::stuck::StuckReason;
use crate::model::time::Timestamp;

/// How often a transfer is tried before its failure is told to the rule.
pub const ATTEMPTS_MAX: u32 = 6;

/// The first pause after a passing failure; it doubles with each further attempt.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const BACKOFF_MAX: Duration = Duration::from_mins(15);
/// How long a transfer waits for which there was no room on the way.
const PUT_OFF_SPAN: Duration = Duration::from_secs(10);
/// How long a failed transfer rests before it is tried afresh: the lake may have changed.
const REST: Duration = Duration::from_mins(15);

/// Where a transfer is in its life. A transfer that has landed or was cancelled has no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// Waits for a worker, since `not_before` at the earliest.
    Waiting {
        /// Attempts made so far.
        attempts: u32,
        /// When it may be tried.
        not_before: Timestamp,
        /// Why the last attempt failed, if one did.
        last: Option<StuckReason>,
    },
    /// A worker has it until the deadline.
    Running {
        /// Attempts made, this one included.
        attempts: u32,
        /// After this time nobody touches storage for this attempt any more.
        until: Timestamp,
    },
    /// Given up for now; the reason is shown on the rule. Tried afresh at `retry_at`, or when
    /// somebody says so.
    Failed {
        /// Why.
        reason: StuckReason,
        /// When it failed.
        at: Timestamp,
        /// When it is tried afresh.
        retry_at: Timestamp,
    },
}

/// What can happen to a transfer. Landing and cancelling end it and need no state.
#[derive(Debug, Clone, PartialEq)]
pub enum TransferEvent {
    /// A worker took it.
    Started {
        /// Its deadline.
        until: Timestamp,
    },
    /// The attempt failed for a reason that may pass by itself.
    FailedInPassing {
        /// Why.
        reason: StuckReason,
        /// When.
        at: Timestamp,
        /// A random number below one, to spread retries.
        jitter: f64,
    },
    /// The attempt failed for a reason that will not pass by itself.
    FailedForGood {
        /// Why.
        reason: StuckReason,
        /// When.
        at: Timestamp,
    },
    /// There was no room on the way for it; nothing was tried.
    PutOff {
        /// When.
        at: Timestamp,
    },
    /// The worker's deadline has passed without a word from it.
    Abandoned {
        /// When that was noticed.
        at: Timestamp,
    },
    /// Somebody, or the end of its rest, wants it tried afresh.
    Revived {
        /// When.
        at: Timestamp,
    },
}

/// An event came in a state in which it cannot happen.
#[derive(Debug, thiserror::Error)]
#[error("a transfer that is {from:?} cannot have {event:?}")]
pub struct IllegalTransition {
    /// The state.
    pub from: TransferState,
    /// The event.
    pub event: TransferEvent,
}

impl TransferState {
    /// A new transfer that may start at once.
    pub fn new(now: Timestamp) -> Self {
        TransferState::Waiting { attempts: 0, not_before: now, last: None }
    }

    /// The state after an event.
    pub fn apply(self, event: TransferEvent) -> Result<Self, Box<IllegalTransition>> {
        use TransferEvent::{Abandoned, FailedForGood, FailedInPassing, PutOff, Revived, Started};
        use TransferState::{Failed, Running, Waiting};
        Ok(match (self, event) {
            (Waiting { attempts, .. }, Started { until }) => Running { attempts: attempts + 1, until },
            (Running { attempts, .. }, FailedInPassing { reason, at, jitter }) if attempts < ATTEMPTS_MAX => {
                Waiting { attempts, not_before: at.after(backoff(attempts, jitter)), last: Some(reason) }
            }
            (Running { .. }, FailedInPassing { reason, at, .. } | FailedForGood { reason, at }) => {
                Failed { reason, at, retry_at: at.after(REST) }
            }
            // Not the attempt's fault: it does not count, so a crash cannot use attempts up.
            (Running { attempts, .. }, Abandoned { at }) => {
                Waiting { attempts: attempts - 1, not_before: at, last: None }
            }
            (Running { attempts, .. }, PutOff { at }) => {
                Waiting { attempts: attempts - 1, not_before: at.after(PUT_OFF_SPAN), last: None }
            }
            (Waiting { last, .. }, Revived { at }) => Waiting { attempts: 0, not_before: at, last },
            (Failed { reason, .. }, Revived { at }) => Waiting { attempts: 0, not_before: at, last: Some(reason) },
            (from, event) => return Err(Box::new(IllegalTransition { from, event })),
        })
    }
}

/// Exponential backoff with jitter over its upper half, so that retries spread but never crowd.
fn backoff(attempts: u32, jitter: f64) -> Duration {
    let full = BACKOFF_FIRST.saturating_mul(1 << attempts.min(16)).min(BACKOFF_MAX);
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table_of_states_and_events() {
        let now = Timestamp::from_millis(1_000_000);
        let reason = StuckReason::NoSource;
        let states = [
            TransferState::new(now),
            TransferState::Running { attempts: 1, until: now },
            TransferState::Running { attempts: ATTEMPTS_MAX, until: now },
            TransferState::Failed { reason: reason.clone(), at: now, retry_at: now },
        ];
        let events = [
            TransferEvent::Started { until: now },
            TransferEvent::FailedInPassing { reason: reason.clone(), at: now, jitter: 0.5 },
            TransferEvent::FailedForGood { reason, at: now },
            TransferEvent::PutOff { at: now },
            TransferEvent::Abandoned { at: now },
            TransferEvent::Revived { at: now },
        ];
        let mut table = String::new();
        for state in &states {
            for event in &events {
                let after =
                    state.clone().apply(event.clone()).map_or_else(|_| "illegal".to_owned(), |s| format!("{s:?}"));
                table += &format!("{state:?}\n  {event:?}\n    -> {after}\n");
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn backoff_grows_to_its_cap() {
        assert_eq!(backoff(1, 1.0), Duration::from_secs(2));
        assert_eq!(backoff(1, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(40, 1.0), BACKOFF_MAX);
    }
}
