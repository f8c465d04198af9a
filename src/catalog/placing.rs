//! Tells that something has changed by which places are decided, so that rules are placed anew. What
//! concerns few rules leads to those; what may concern any leads to all.

use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{Facts, PlacingCauses};
use crate::catalog::{CatalogError, Txn, View};

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
