//! Tells that something has changed by which places are decided, so that rules are placed anew. What
//! concerns few rules leads to those; what may concern any leads to all.

use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{Facts, PlacingCauses, RuleWork, RuleWorkRecord, WalkPosition};
use crate::catalog::{CatalogError, Txn, View};
use crate::model::id::{DidId, RuleId};

/// Raised by changes after which all rules are placed anew.
const REVISION: &str = "placing_revision";

/// Grows with every change of labels that may move the data of any rule.
pub async fn revision(view: &View) -> Result<u64, CatalogError> {
    Ok(view.get::<Facts>(&(REVISION.to_owned(),)).await?.unwrap_or(0))
}

/// Has all rules placed anew.
pub async fn tell_all(txn: &Txn) -> Result<(), CatalogError> {
    txn.put::<Facts>(&(REVISION.to_owned(),), &(revision(txn).await? + 1));
    Ok(())
}

/// Has the rules placed anew that a change may concern.
pub fn tell(txn: &Txn, cause: &CauseRecord) {
    txn.put::<PlacingCauses>(&(txn.fresh(),), cause);
}

/// Sets a rule's placing to begin afresh, over everything it is on.
pub async fn begin(txn: &Txn, rule: RuleId, did: DidId) -> Result<(), CatalogError> {
    let work = txn.get::<RuleWork>(&(rule,)).await?.unwrap_or_default();
    let place = Some(vec![WalkPosition { parent: did, seq: 0 }]);
    txn.put::<RuleWork>(&(rule,), &RuleWorkRecord { place, ..work });
    Ok(())
}
