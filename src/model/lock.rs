//! Locks: a rule's hold on one unit (a dataset, or one file) at one endpoint.

use serde::{Deserialize, Serialize};

use crate::model::stuck::StuckReason;

/// How far a lock is satisfied. Written by the folder alone, from coverage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// Every file of the unit has an available replica at the endpoint.
    Ok,
    /// Files are still on their way.
    Replicating,
    /// Files cannot come for the reason given.
    Stuck {
        /// The reason of the file that failed last.
        reason: StuckReason,
    },
}
