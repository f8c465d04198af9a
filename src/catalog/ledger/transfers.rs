//! Transfers and their intents: how they begin, end, and tell units of trouble. There is at most one
//! intent for a (file, endpoint), and one transfer serves every rule that wants the file there.

use crate::catalog::ledger::membership::REPLICAS_MAX;
use crate::catalog::ledger::tally::ask_fold;
use crate::catalog::record::{
    FoldRecord, IntentAct, IntentRecord, Intents, LocksByUnit, Parents, StuckFiles, TransferRecord, Transfers,
};
use crate::catalog::{CatalogError, Txn, View};
use crate::model::id::{DecisionId, DidId, EndpointId, IntentId, TransferId};
use crate::model::stuck::StuckReason;
use crate::model::transfer::{TransferEvent, TransferState};

/// Keys that reviving transfers leaves to what else its transaction has to write.
const KEYS_LEFT: usize = 2_000;
/// The most datasets of one file that are told of its trouble.
const PARENTS_MAX: usize = 1_000;

/// Plans transfers of files `(file, bytes)` to an endpoint, but for those whose place another act
/// has. A transfer there that has failed is tried at once, for whoever wants it now to hear of it.
/// Returns what was planned.
pub async fn plan(
    txn: &Txn,
    files: &[(DidId, u64)],
    destination: EndpointId,
    decision: DecisionId,
) -> Result<Vec<TransferId>, CatalogError> {
    let keys: Vec<_> = files.iter().map(|(file, _)| (*file,)).collect();
    let intents = txn.scan_many::<Intents>(&keys, REPLICAS_MAX).await?;
    let mut planned = Vec::new();
    for ((file, bytes), intents) in files.iter().zip(intents) {
        match intents.into_iter().find(|((_, at), _)| *at == destination) {
            None => planned.push(plan_one(txn, *file, *bytes, destination, decision)),
            Some((_, IntentRecord { act: IntentAct::Transfer(id), .. })) => {
                if txn.get::<Transfers>(&(id,)).await?.is_some_and(|there| there.has_failed()) {
                    revive_one(txn, id).await?;
                }
            }
            Some((_, IntentRecord { act: IntentAct::Upload { .. }, .. })) => {}
        }
    }
    Ok(planned)
}

fn plan_one(txn: &Txn, file: DidId, bytes: u64, destination: EndpointId, decision: DecisionId) -> TransferId {
    let (id, intent) = (TransferId(txn.fresh()), IntentId(txn.fresh()));
    let act = IntentAct::Transfer(id);
    txn.put::<Intents>(&(file, destination), &IntentRecord { id: intent, decision, act });
    let record = TransferRecord {
        file,
        destination,
        intent,
        state: TransferState::new(txn.now()),
        told: false,
        bytes,
        created_at: txn.now(),
        process: None,
    };
    txn.put::<Transfers>(&(id,), &record);
    id
}

/// Ends a transfer, landed or cancelled: its intent is gone, and units hear no more of its trouble.
pub async fn end(txn: &Txn, id: TransferId, record: &TransferRecord) -> Result<(), CatalogError> {
    txn.delete::<Transfers>(&(id,), record);
    end_intent(txn, record.file, record.destination).await?;
    if record.told {
        for unit in units_of(txn, record.file).await? {
            txn.clear::<StuckFiles>(&(unit, record.destination, record.file));
            ask_fold(txn, FoldRecord::Unit(unit, record.destination));
        }
    }
    Ok(())
}

/// Lets transfers of files go on at once that failed or wait for another try: a source has come.
pub(super) async fn revive(txn: &Txn, files: &[DidId]) -> Result<(), CatalogError> {
    let prefixes: Vec<_> = files.iter().map(|file| (*file,)).collect();
    for intents in txn.scan_many::<Intents>(&prefixes, PARENTS_MAX).await? {
        for (_, intent) in intents {
            // They go on by themselves later, if there is no room for all.
            if let IntentAct::Transfer(id) = intent.act
                && txn.room() > KEYS_LEFT
            {
                revive_one(txn, id).await?;
            }
        }
    }
    Ok(())
}

/// Lets a transfer go on at once, unless it is running. Returns whether it was resting.
pub async fn revive_one(txn: &Txn, id: TransferId) -> Result<bool, CatalogError> {
    let Some(old) = txn.get::<Transfers>(&(id,)).await? else {
        return Ok(false);
    };
    let resting = match &old.state {
        TransferState::Failed { .. } => true,
        TransferState::Waiting { not_before, .. } => *not_before > txn.now(),
        TransferState::Running { .. } => false,
    };
    if resting {
        let state = old.state.clone().apply(TransferEvent::Revived { at: txn.now() });
        let state = state.expect("what waits or has failed can be revived");
        txn.replace::<Transfers>(&(id,), &old, &TransferRecord { state, ..old.clone() });
    }
    Ok(resting)
}

/// Ends the intent on a (file, endpoint).
pub async fn end_intent(txn: &Txn, file: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    if let Some(intent) = txn.get::<Intents>(&(file, endpoint)).await? {
        txn.delete::<Intents>(&(file, endpoint), &intent);
    }
    Ok(())
}

/// Tells every unit that wants a file at an endpoint why it does not come.
pub async fn tell_stuck(
    txn: &Txn,
    file: DidId,
    endpoint: EndpointId,
    reason: &StuckReason,
) -> Result<(), CatalogError> {
    for unit in units_of(txn, file).await? {
        if txn.any::<LocksByUnit>(&(unit, endpoint)).await? {
            txn.put::<StuckFiles>(&(unit, endpoint, file), reason);
            ask_fold(txn, FoldRecord::Unit(unit, endpoint));
        }
    }
    Ok(())
}

/// The units that a file can be locked through: itself and the datasets that hold it.
pub async fn units_of(view: &View, file: DidId) -> Result<Vec<DidId>, CatalogError> {
    let parents = view.scan::<Parents>(&(file,), PARENTS_MAX).await?;
    Ok(std::iter::once(file).chain(parents.into_iter().map(|((_, parent), _)| parent)).collect())
}
