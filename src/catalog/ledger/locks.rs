//! Locks: rules' holds on units, and the counts that rules' states are derived from.
//!
//! A unit is a dataset (it has a head row) or a file. Whether a lock is satisfied follows from
//! coverage alone: [`recount`] is the one function that says so.

use crate::catalog::ledger::tally::fold_coverage;
use crate::catalog::ledger::transfers::units_of;
use crate::catalog::ledger::{denied, holdings};
use crate::catalog::record::{
    Backlog, CountsRecord, Filling, Heads, LockRecord, Locks, LocksByUnit, Parents, Replicas, RuleCountsTable,
    RuleWork, Rules, StuckFiles,
};
use crate::catalog::{CatalogError, Txn, View};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::id::{DecisionId, DidId, EndpointId, RuleId};
use crate::model::lock::LockState;
use crate::model::replica::ReplicaState;
use crate::model::rule::RuleCounts;
use crate::model::stuck::StuckReason;

/// The most rules that hold one unit at one endpoint.
const RULES_MAX: usize = 1_000;
/// The most datasets of one file that are looked at again.
const PARENTS_MAX: usize = 1_000;
/// How many files that a complete unit was told of are looked through for those that may not be there.
const TOLD_MAX: usize = 1_000;

/// Lets a rule hold a unit at an endpoint, and sees to it that missing files get transfers. Nothing
/// happens if it does already, but that it does so by another decision from now on.
pub async fn hold(
    txn: &Txn,
    rule: RuleId,
    unit: DidId,
    endpoint: EndpointId,
    decision: DecisionId,
) -> Result<(), CatalogError> {
    let key = (rule, unit, endpoint);
    if let Some(held) = txn.get::<Locks>(&key).await? {
        // What is planned below it refers to the decision under which it is held now.
        if held.decision != decision {
            txn.replace::<Locks>(&key, &held, &LockRecord { decision, ..held.clone() });
        }
        return Ok(());
    }
    let lock = LockRecord { state: LockState::Replicating, since: txn.now(), decision };
    txn.put::<Locks>(&key, &lock);
    holdings::lock(txn, rule, unit, endpoint).await?;
    add_counts(txn, rule, CountsRecord { replicating: 1, ..CountsRecord::default() }).await?;
    if !recount(txn, unit, endpoint).await? {
        fill_from(txn, unit, endpoint, 0).await?;
    }
    Ok(())
}

/// Sees to it that files of a unit, from a place on, are looked through for what is missing at an
/// endpoint.
pub async fn fill_from(txn: &Txn, unit: DidId, endpoint: EndpointId, seq: u64) -> Result<(), CatalogError> {
    let from = txn.get::<Filling>(&(unit, endpoint)).await?.map_or(seq, |at| at.min(seq));
    txn.put::<Filling>(&(unit, endpoint), &from);
    Ok(())
}

/// Sees to it that one file is looked at again in every unit that is locked at an endpoint: an act
/// that kept others from planning a transfer has ended without bringing the file.
pub async fn fill_file(txn: &Txn, file: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    let parents = txn.scan::<Parents>(&(file,), PARENTS_MAX).await?;
    let places = parents.into_iter().map(|((_, parent), seq)| (parent, seq));
    for (unit, seq) in std::iter::once((file, 0)).chain(places) {
        if txn.any::<LocksByUnit>(&(unit, endpoint)).await? {
            fill_from(txn, unit, endpoint, seq).await?;
        }
    }
    Ok(())
}

/// Ends a rule's hold.
pub async fn release(txn: &Txn, rule: RuleId, unit: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    let key = (rule, unit, endpoint);
    let Some(lock) = txn.get::<Locks>(&key).await? else {
        return Ok(());
    };
    txn.delete::<Locks>(&key, &lock);
    holdings::unlock(txn, rule, unit, endpoint).await?;
    let gone = of_state(&lock.state);
    add_counts(txn, rule, negative(gone)).await?;
    // Read behind the deletion above: what is left are other rules' holds.
    if !txn.any::<LocksByUnit>(&(unit, endpoint)).await? {
        txn.clear::<Filling>(&(unit, endpoint));
        denied::forget_unit(txn, unit, endpoint).await?;
    }
    Ok(())
}

/// The accounts whose rules want a file at an endpoint.
pub async fn accounts(view: &View, file: DidId, endpoint: EndpointId) -> Result<Vec<AccountName>, CatalogError> {
    let mut accounts: Vec<AccountName> = Vec::new();
    for unit in units_of(view, file).await? {
        for ((_, _, rule), ()) in view.scan::<LocksByUnit>(&(unit, endpoint), RULES_MAX).await? {
            let rule = view.get::<Rules>(&(rule,)).await?;
            accounts.extend(rule.map(|rule| rule.account).filter(|account| !accounts.contains(account)));
        }
    }
    Ok(accounts)
}

/// Folds a unit's coverage at an endpoint and sets the state of every lock there. Returns whether
/// every file of the unit is there.
pub async fn recount(txn: &Txn, unit: DidId, endpoint: EndpointId) -> Result<bool, CatalogError> {
    let complete = is_complete(txn, unit, endpoint).await?;
    let holders = txn.scan::<LocksByUnit>(&(unit, endpoint), RULES_MAX).await?;
    if holders.is_empty() {
        return Ok(complete);
    }
    let told = txn.scan::<StuckFiles>(&(unit, endpoint), if complete { TOLD_MAX } else { 1 }).await?;
    let mut told = told.into_iter().map(|(_, reason)| reason);
    let state = if complete {
        // All is there, but policy may not let all of it be there.
        let denied = told.find(|reason| matches!(reason, StuckReason::DeniedByPolicy { .. }));
        denied.map_or(LockState::Ok, |reason| LockState::Stuck { reason })
    } else {
        told.next().map_or(LockState::Replicating, |reason| LockState::Stuck { reason })
    };
    for ((_, _, rule), ()) in holders {
        let key = (rule, unit, endpoint);
        let Some(old) = txn.get::<Locks>(&key).await? else {
            continue;
        };
        if old.state == state {
            continue;
        }
        let change = sum(of_state(&state), negative(of_state(&old.state)));
        txn.put::<Locks>(&key, &LockRecord { state: state.clone(), since: txn.now(), ..old });
        add_counts(txn, rule, change).await?;
    }
    Ok(complete)
}

async fn is_complete(txn: &Txn, unit: DidId, endpoint: EndpointId) -> Result<bool, CatalogError> {
    match txn.get::<Heads>(&(unit,)).await? {
        Some(head) => {
            let there = fold_coverage(txn, unit, endpoint).await?;
            Ok(u64::try_from(there.files) == Ok(head.members))
        }
        None => {
            let replica = txn.get::<Replicas>(&(unit, endpoint)).await?;
            Ok(replica.is_some_and(|replica| replica.state == ReplicaState::Available))
        }
    }
}

/// What a rule's state is derived from, read in one snapshot.
pub async fn counts(view: &View, rule: RuleId, did: DidId) -> Result<RuleCounts, CatalogError> {
    let stored = view.get::<RuleCountsTable>(&(rule,)).await?.unwrap_or_default();
    let natural = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(RuleCounts {
        locks_ok: natural(stored.ok),
        locks_replicating: natural(stored.replicating),
        locks_stuck: natural(stored.stuck),
        units_unplaced: natural(stored.unplaced),
        open_work: view.get::<RuleWork>(&(rule,)).await?.is_some() || view.any::<Backlog>(&(did,)).await?,
    })
}

/// Changes how many groups of a rule have no place.
pub async fn count_unplaced(txn: &Txn, rule: RuleId, difference: i64) -> Result<(), CatalogError> {
    add_counts(txn, rule, CountsRecord { unplaced: difference, ..CountsRecord::default() }).await
}

async fn add_counts(txn: &Txn, rule: RuleId, change: CountsRecord) -> Result<(), CatalogError> {
    if change == CountsRecord::default() {
        return Ok(());
    }
    let counts = txn.get::<RuleCountsTable>(&(rule,)).await?.unwrap_or_default();
    txn.put::<RuleCountsTable>(&(rule,), &sum(counts, change));
    txn.emit(&Change::RuleChanged { rule });
    Ok(())
}

fn of_state(state: &LockState) -> CountsRecord {
    match state {
        LockState::Ok => CountsRecord { ok: 1, ..CountsRecord::default() },
        LockState::Replicating => CountsRecord { replicating: 1, ..CountsRecord::default() },
        LockState::Stuck { .. } => CountsRecord { stuck: 1, ..CountsRecord::default() },
    }
}

fn negative(counts: CountsRecord) -> CountsRecord {
    CountsRecord { ok: -counts.ok, replicating: -counts.replicating, stuck: -counts.stuck, unplaced: -counts.unplaced }
}

fn sum(one: CountsRecord, other: CountsRecord) -> CountsRecord {
    CountsRecord {
        ok: one.ok + other.ok,
        replicating: one.replicating + other.replicating,
        stuck: one.stuck + other.stuck,
        unplaced: one.unplaced + other.unplaced,
    }
}
