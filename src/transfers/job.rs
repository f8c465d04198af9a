//! What a transfer's executor is told and what it answers: plain facts, no handles.

use std::time::Duration;

use crate::model::checksum::Checksum;
use crate::model::endpoint::Endpoint;
use crate::model::id::{DecisionId, DidId, IntentId, TransferId};
use crate::model::replica::Verification;
use crate::model::stuck::StuckReason;
use crate::model::time::Timestamp;
use crate::storage::layout::StoragePath;

/// A transfer that was claimed, with all that is needed to carry it out.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone)]
pub struct Job {
    /// The transfer.
    pub transfer: TransferId,
    /// The file.
    pub file: DidId,
    /// Its length.
    pub bytes: u64,
    /// Its registered checksums.
    pub checksums: Vec<Checksum>,
    /// Where it goes.
    pub destination: Endpoint,
    /// Its path there.
    pub path: StoragePath,
    /// Whether the path was stated by a registration and does not follow from the file's name.
    pub path_is_stated: bool,
    /// Names the bytes until they are published.
    pub intent: IntentId,
    /// The decision that allows the bytes to be placed there.
    pub decision: DecisionId,
    /// Whether an attempt before this one may have published it and died before it could say so.
    pub was_tried: bool,
    /// Whether bytes known to be bad lie under the path and are to be replaced.
    pub replaces_bad: bool,
    /// Where it can come from, best first.
    pub sources: Vec<Source>,
    /// Whether any rule still wants it there; if not, what is staged is removed.
    pub wanted: bool,
    /// Until when it is leased, as the catalog knows it.
    pub until: Timestamp,
    /// The same on the monotonic clock, counted from before it was claimed.
    pub deadline: Duration,
}

/// A replica to copy from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where.
    pub endpoint: Endpoint,
    /// Its path there.
    pub path: StoragePath,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was done.
    pub job: Job,
    /// What came of it.
    pub result: Ending,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The replica is complete under its final name.
    Landed {
        /// How its bytes are known to be right.
        verification: Verification,
        /// The decision that let them be placed, as of the last moment before.
        decision: DecisionId,
    },
    /// Nobody wanted it any more; nothing of it is left.
    Cancelled,
    /// There was no room on the way for it, or nobody to say whether it may: it is tried again soon.
    PutOff,
    /// It failed.
    Failed {
        /// Why.
        reason: StuckReason,
        /// Whether that may pass by itself.
        passing: bool,
    },
}
