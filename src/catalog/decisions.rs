//! Recorded policy decisions: who asked for what, where, and which policies determined the answer.

use crate::catalog::Txn;
use crate::catalog::record::{DecisionRecord, Decisions};
use crate::model::id::DecisionId;

/// Keeps a decision; its id travels with what it allows.
pub fn record(txn: &Txn, decision: &DecisionRecord) -> DecisionId {
    let id = DecisionId(txn.fresh());
    txn.put::<Decisions>(&(id.0,), decision);
    id
}
