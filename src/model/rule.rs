//! Replication rules: "this DID shall have N copies within this endpoint expression".

use serde::{Deserialize, Serialize};

use crate::model::account::AccountName;
use crate::model::expression::Expression;
use crate::model::id::{DidId, RuleId};
use crate::model::time::Timestamp;

/// The most copies a rule may ask for.
pub const COPIES_MAX: u16 = 100;

/// How the units of a container share endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// All datasets go to the same endpoints.
    All,
    /// Endpoints are chosen for each dataset; its files stay together.
    #[default]
    Dataset,
    /// Endpoints are chosen for each file.
    None,
}

/// A rule as a person made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// What it is on.
    pub did: DidId,
    /// Who made it.
    pub account: AccountName,
    /// How many copies, on distinct endpoints.
    pub copies: u16,
    /// Where they may be.
    pub expression: Expression,
    /// How units share endpoints.
    pub grouping: Grouping,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Raised by every change of copies, expression or expiry; steps planned for an older
    /// revision are not carried out.
    pub revision: u32,
    /// Set when the rule was removed or has expired and its locks are being let go.
    pub releasing: bool,
}

/// How far a rule is satisfied. Never stored: [`state`] derives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleState {
    /// Every copy of every file is there.
    Ok,
    /// Work is under way.
    Replicating,
    /// At least one part cannot go on without a change; `rule explain` says which.
    Stuck,
    /// Removed or expired; its locks are being let go.
    Releasing,
}

/// What is known of a rule's locks and open work, read in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCounts {
    /// Locks whose files are all there.
    pub locks_ok: u64,
    /// Locks whose files are on their way.
    pub locks_replicating: u64,
    /// Locks that cannot be satisfied as things are.
    pub locks_stuck: u64,
    /// Units that could not be placed.
    pub units_unplaced: u64,
    /// Whether placing, or a change below the rule's DID, has not been looked at yet.
    pub open_work: bool,
}

/// Derives a rule's state from its locks. Stuck wins over replicating, as a person should look;
/// OK needs every lock OK and nothing left to look at.
pub fn state(releasing: bool, counts: RuleCounts) -> RuleState {
    if releasing {
        RuleState::Releasing
    } else if counts.locks_stuck > 0 || counts.units_unplaced > 0 {
        RuleState::Stuck
    } else if counts.locks_replicating > 0 || counts.open_work {
        RuleState::Replicating
    } else {
        RuleState::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_wins_over_replicating_and_ok_needs_everything_done() {
        let ok = RuleCounts { locks_ok: 2, ..RuleCounts::default() };
        let table = [
            (false, ok, RuleState::Ok),
            (false, RuleCounts { open_work: true, ..ok }, RuleState::Replicating),
            (false, RuleCounts { locks_replicating: 1, ..ok }, RuleState::Replicating),
            (false, RuleCounts { locks_replicating: 1, locks_stuck: 1, ..ok }, RuleState::Stuck),
            (false, RuleCounts { units_unplaced: 1, open_work: true, ..ok }, RuleState::Stuck),
            (true, ok, RuleState::Releasing),
        ];
        for (releasing, counts, expected) in table {
            assert_eq!(state(releasing, counts), expected, "{counts:?}");
        }
    }
}
