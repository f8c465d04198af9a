//! Files that lie where policy does not let them be any more: they were labelled after they landed. The
//! units that want them there are told of them as of files that do not come, and nothing is deleted.

use crate::catalog::ledger::tally::ask_fold;
use crate::catalog::ledger::transfers::units_of;
use crate::catalog::record::{FoldRecord, IntentAct, Intents, LocksByUnit, StuckFiles, Transfers};
use crate::catalog::{CatalogError, Txn};
use crate::model::id::{DidId, EndpointId};
use crate::model::stuck::StuckReason;

/// How many files that a unit was told of are taken back with its last lock.
const TOLD_MAX: usize = 1_000;
/// How many keys are left to whatever else the transaction writes.
const ROOM_LEFT: usize = 5_000;

/// Tells every unit that wants a file at an endpoint that it may not be there, and takes back what was
/// told to those that want it there no more.
pub async fn tell(txn: &Txn, file: DidId, endpoint: EndpointId, reason: &StuckReason) -> Result<(), CatalogError> {
    for unit in units_of(txn, file).await? {
        let key = (unit, endpoint, file);
        let told = txn.get::<StuckFiles>(&key).await?;
        if !txn.any::<LocksByUnit>(&(unit, endpoint)).await? {
            take_back(txn, key, told).await?;
        } else if told.as_ref() != Some(reason) {
            txn.put::<StuckFiles>(&key, reason);
            ask_fold(txn, FoldRecord::Unit(unit, endpoint));
        }
    }
    Ok(())
}

/// Takes back what units were told of a file: it may be there, or is there no more.
pub async fn forget(txn: &Txn, file: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    for unit in units_of(txn, file).await? {
        let key = (unit, endpoint, file);
        let told = txn.get::<StuckFiles>(&key).await?;
        take_back(txn, key, told).await?;
    }
    Ok(())
}

/// Takes back what a unit was told of files at an endpoint, where no rule wants it any more. What one
/// transaction has no room for goes with the next walk over files with labels.
pub(super) async fn forget_unit(txn: &Txn, unit: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    let mut rows = txn.scan::<StuckFiles>(&(unit, endpoint), TOLD_MAX).await?;
    loop {
        let (last, is_end) = (rows.last().map(|(key, _)| *key), rows.len() < TOLD_MAX);
        for (key, reason) in rows {
            take_back(txn, key, Some(reason)).await?;
        }
        match last {
            Some(last) if !is_end && txn.room() > ROOM_LEFT => {
                rows = txn.scan_after::<StuckFiles>(&(unit, endpoint), &last, TOLD_MAX).await?;
            }
            _ => return Ok(()),
        }
    }
}

/// What a transfer has told is for that transfer to take back.
async fn take_back(txn: &Txn, key: (DidId, EndpointId, DidId), told: Option<StuckReason>) -> Result<(), CatalogError> {
    let (unit, endpoint, file) = key;
    if !matches!(told, Some(StuckReason::DeniedByPolicy { .. })) {
        return Ok(());
    }
    if let Some(IntentAct::Transfer(id)) = txn.get::<Intents>(&(file, endpoint)).await?.map(|intent| intent.act)
        && txn.get::<Transfers>(&(id,)).await?.is_some_and(|transfer| transfer.told)
    {
        return Ok(());
    }
    txn.clear::<StuckFiles>(&key);
    ask_fold(txn, FoldRecord::Unit(unit, endpoint));
    Ok(())
}
