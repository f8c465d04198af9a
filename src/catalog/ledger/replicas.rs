//! Replicas: how they come to be available and how they stop being so. Both change coverage of all
//! datasets that hold the file, and usage of the endpoint, in the same transaction.

use std::collections::BTreeMap;

use crate::catalog::ledger::ancestors::tell_rules;
use crate::catalog::ledger::membership::{Member, attach_fresh};
use crate::catalog::ledger::tally::{add_coverage, add_usage, ask_fold};
use crate::catalog::ledger::{denied, transfers};
use crate::catalog::record::{
    BacklogRecord, DidContent, DidNames, DidRecord, Dids, FoldRecord, LocksByUnit, NameRecord, Parents, Paths,
    ReplicaRecord, Replicas, Tally,
};
use crate::catalog::{CatalogError, Txn};
use crate::model::change::Change;
use crate::model::did::DidKind;
use crate::model::id::{DecisionId, DidId, EndpointId};
use crate::model::replica::{ReplicaState, Verification};

/// The most datasets that one arrival is counted in within its transaction.
const PARENTS_MAX: usize = 1_000;

/// A replica that has become available.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The file.
    pub file: DidId,
    /// Where.
    pub endpoint: EndpointId,
    /// The file's length.
    pub bytes: u64,
    /// How its bytes are known to be right.
    pub verification: Verification,
    /// Its path, where it does not follow from the name.
    pub path: Option<String>,
    /// The decision that allowed it there.
    pub decision: DecisionId,
}

/// Makes replicas available. Those that are already stay as they are. Returns how many are new.
pub async fn land(txn: &Txn, arrivals: &[Arrival]) -> Result<usize, CatalogError> {
    let keys: Vec<_> = arrivals.iter().map(|arrival| (arrival.file, arrival.endpoint)).collect();
    let there = txn.get_many::<Replicas>(&keys).await?;
    let mut new = BTreeMap::new();
    for (arrival, old) in arrivals.iter().zip(there) {
        if old.as_ref().is_some_and(|old| old.state == ReplicaState::Available) {
            continue;
        }
        // The bad replica it takes the place of may have lain elsewhere.
        if let Some(path) = old.and_then(|old| old.path) {
            txn.clear::<Paths>(&(arrival.endpoint, path));
        }
        new.insert((arrival.file, arrival.endpoint), arrival);
    }
    let prefixes: Vec<_> = new.keys().map(|(file, _)| (*file,)).collect();
    let parents = txn.scan_many::<Parents>(&prefixes, PARENTS_MAX).await?;
    let units: Vec<_> = new.keys().copied().collect();
    let locks = txn.scan_many::<LocksByUnit>(&units, 1).await?;
    let mut covered = BTreeMap::<(DidId, EndpointId), Tally>::new();
    let mut used = BTreeMap::<EndpointId, Tally>::new();
    for ((arrival, parents), locks) in new.values().zip(parents).zip(locks) {
        put_replica(txn, arrival);
        *used.entry(arrival.endpoint).or_default() += Tally::one(arrival.bytes);
        for ((_, parent), _) in parents {
            *covered.entry((parent, arrival.endpoint)).or_default() += Tally::one(arrival.bytes);
        }
        if !locks.is_empty() {
            ask_fold(txn, FoldRecord::Unit(arrival.file, arrival.endpoint));
        }
    }
    count(txn, covered, used);
    let files: Vec<_> = new.keys().map(|(file, _)| *file).collect();
    transfers::revive(txn, &files).await?;
    emit_runs(txn, new.keys().copied());
    Ok(new.len())
}

/// A file to register where it lies.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its number, from the run that was reserved for the chunk.
    pub id: DidId,
    /// What is registered of it; its content is a file.
    pub record: DidRecord,
    /// Its path, where it does not follow from the name.
    pub path: Option<String>,
}

/// Registers files that are new together with their replicas at one endpoint and their membership
/// in one dataset. The caller has looked up that their names are free.
pub async fn register(
    txn: &Txn,
    endpoint: EndpointId,
    dataset: DidId,
    files: &[Found],
    decision: DecisionId,
) -> Result<(), CatalogError> {
    let mut sum = Tally::default();
    let mut members = Vec::with_capacity(files.len());
    for file in files {
        let bytes = file.record.file().map_or(0, |facts| facts.bytes);
        put_did(txn, file.id, &file.record);
        let arrival = Arrival {
            file: file.id,
            endpoint,
            bytes,
            verification: Verification::Claimed,
            path: file.path.clone(),
            decision,
        };
        put_replica(txn, &arrival);
        sum += Tally::one(bytes);
        members.push(Member { id: file.id, kind: DidKind::File, bytes });
    }
    attach_fresh(txn, dataset, &members).await?;
    if !files.is_empty() {
        count(txn, BTreeMap::from([((dataset, endpoint), sum)]), BTreeMap::from([(endpoint, sum)]));
        emit_runs(txn, files.iter().map(|file| (file.id, endpoint)));
    }
    Ok(())
}

/// Writes a DID that is new, under its name and its number.
pub fn put_did(txn: &Txn, id: DidId, record: &DidRecord) {
    let name = (record.scope.to_string(), record.name.to_string());
    txn.put::<DidNames>(&name, &NameRecord { id, kind: record.kind() });
    txn.put::<Dids>(&(id,), record);
}

/// Notes that a file which was only announced has had its first replica: from now on its facts
/// never change.
pub async fn confirm(txn: &Txn, file: DidId) -> Result<(), CatalogError> {
    let Some(mut record) = txn.get::<Dids>(&(file,)).await? else {
        return Ok(());
    };
    if let DidContent::File(facts) = &mut record.content
        && facts.announced
    {
        facts.announced = false;
        txn.put::<Dids>(&(file,), &record);
    }
    Ok(())
}

/// Takes a replica out of what is available: its bytes are missing or wrong. Rules that counted on
/// it look at the file again. Returns whether it was available.
pub async fn mark_bad(txn: &Txn, file: DidId, endpoint: EndpointId, bytes: u64) -> Result<bool, CatalogError> {
    let key = (file, endpoint);
    let Some(old) = txn.get::<Replicas>(&key).await? else {
        return Ok(false);
    };
    if old.state != ReplicaState::Available {
        return Ok(false);
    }
    txn.put::<Replicas>(&key, &ReplicaRecord { state: ReplicaState::Bad, ..old });
    let gone = -Tally::one(bytes);
    add_usage(txn, endpoint, gone);
    for ((_, parent), seq) in txn.scan::<Parents>(&(file,), PARENTS_MAX).await? {
        add_coverage(txn, parent, endpoint, gone);
        tell_rules(txn, parent, lost(seq)).await?;
    }
    tell_rules(txn, file, lost(0)).await?;
    denied::forget(txn, file, endpoint).await?;
    emit_runs(txn, [key].into_iter());
    Ok(true)
}

fn lost(from_seq: u64) -> BacklogRecord {
    BacklogRecord { from_seq, detached: false }
}

fn put_replica(txn: &Txn, arrival: &Arrival) {
    let record = ReplicaRecord {
        state: ReplicaState::Available,
        verification: arrival.verification,
        path: arrival.path.clone(),
        created_at: txn.now(),
        decision: arrival.decision,
    };
    txn.put::<Replicas>(&(arrival.file, arrival.endpoint), &record);
    if let Some(path) = &arrival.path {
        txn.put::<Paths>(&(arrival.endpoint, path.clone()), &arrival.file.0);
    }
}

fn count(txn: &Txn, covered: BTreeMap<(DidId, EndpointId), Tally>, used: BTreeMap<EndpointId, Tally>) {
    for ((dataset, endpoint), tally) in covered {
        add_coverage(txn, dataset, endpoint, tally);
    }
    for (endpoint, tally) in used {
        add_usage(txn, endpoint, tally);
    }
}

/// Tells followers of changed replicas, one entry for each run of neighbouring files at an endpoint.
fn emit_runs(txn: &Txn, keys: impl Iterator<Item = (DidId, EndpointId)>) {
    let mut runs = BTreeMap::<EndpointId, Vec<(u64, u64)>>::new();
    for (file, endpoint) in keys {
        let runs = runs.entry(endpoint).or_default();
        match runs.last_mut() {
            Some((first, count)) if *first + *count == file.0 => *count += 1,
            _ => runs.push((file.0, 1)),
        }
    }
    for (endpoint, runs) in runs {
        for (first, count) in runs {
            txn.emit(&Change::ReplicasChanged { endpoint, first: DidId(first), count });
        }
    }
}
