//! Claims transfers: marks what is ready as running until a deadline, and gathers the facts that
//! the executor needs. Also gives back what was claimed by a process that is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::engine::Range;
use crate::catalog::ledger::transfers::units_of;
use crate::catalog::record::{
    DidRecord, Dids, Failed, Intents, LocksByUnit, Ready, ReplicaRecord, Replicas, Running, TransferRecord, Transfers,
};
use crate::catalog::table::Parts as _;
use crate::catalog::{Catalog, CatalogError, Rows, Txn, View, endpoints};
use crate::model::endpoint::Endpoint;
use crate::model::id::{DidId, EndpointId, IntentId, TransferId};
use crate::model::replica::ReplicaState;
use crate::model::time::Timestamp;
use crate::model::transfer::{TransferEvent, TransferState};
use crate::storage::health::Health;
use crate::storage::layout::StoragePath;
use crate::transfers::job::{Job, Source};

/// How many transfers one claim takes.
pub const CLAIM_MAX: usize = 32;
/// How many a destination gives to one claim, so that a long queue leaves room for others.
const PER_DESTINATION: usize = 16;
/// The shortest lease of an attempt.
const LEASE_MIN: Duration = Duration::from_mins(10);
/// What the slowest store may take for one MiB: FTS allows as much.
const LEASE_PER_MIB: Duration = Duration::from_secs(2);
/// How far behind the cursor rows may still appear: the longest that a transaction takes.
const LATE_MS: u64 = 10_000;
/// How often queues are read from their very beginning all the same.
const WHOLE_EVERY: Duration = Duration::from_mins(1);
/// The most sources that are gathered for a file.
const SOURCES_MAX: usize = 1_000;

/// Where each destination's queue is read from, to spare a walk over the graves of a
/// log-structured engine.
#[derive(Debug, Default)]
pub struct Cursors {
    from: BTreeMap<EndpointId, u64>,
    whole_at: Duration,
    turn: usize,
}

/// Claims some of what is ready, fairly over destinations but for those that are left alone. Empty
/// when there is nothing.
pub async fn claim(catalog: &Catalog, health: &Health, cursors: &mut Cursors) -> Result<Vec<Job>, CatalogError> {
    let asked = catalog.clock().monotonic();
    let view = catalog.view().await?;
    let endpoints = endpoints::all(&view).await?;
    let open: Vec<_> = endpoints.iter().filter(|endpoint| !health.rests(endpoint.id, asked)).map(|e| e.id).collect();
    let ready = find_ready(catalog, &view, &open, cursors).await?;
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    let process = catalog.process();
    let claimed = catalog
        .transact(move |txn| {
            let ready = ready.clone();
            async move {
                let mut claimed = Vec::with_capacity(ready.len());
                for id in ready {
                    if let Some(one) = claim_one(&txn, id, process).await? {
                        claimed.push(one);
                    }
                }
                Ok::<_, CatalogError>(claimed)
            }
        })
        .await?;
    let mut jobs = gather(&catalog.view().await?, &endpoints, claimed, asked).await?;
    for job in &mut jobs {
        // One that is left alone comes last, but comes: it may be the only one.
        job.sources.sort_by_key(|source| health.rests(source.endpoint.id, asked));
    }
    Ok(jobs)
}

async fn find_ready(
    catalog: &Catalog,
    view: &View,
    destinations: &[EndpointId],
    cursors: &mut Cursors,
) -> Result<Vec<TransferId>, CatalogError> {
    let (now, monotonic) = (catalog.clock().now().as_millis(), catalog.clock().monotonic());
    if monotonic >= cursors.whole_at {
        cursors.from.clear();
        cursors.whole_at = monotonic + WHOLE_EVERY;
    }
    let mut found = Vec::new();
    cursors.turn += 1;
    for offset in 0..destinations.len() {
        let destination = destinations[(cursors.turn + offset) % destinations.len()];
        let from = cursors.from.get(&destination).copied().unwrap_or(0);
        let mut range = Range::prefix(&(destination,).encode(), PER_DESTINATION.min(CLAIM_MAX - found.len()));
        range.from = (destination, from).encode();
        range.to = (destination, now + 1).encode();
        let rows: Rows<Ready> = view.range::<Ready>(range).await?;
        let reached = rows.last().map_or(now, |((_, time, _), ())| *time);
        cursors.from.insert(destination, reached.saturating_sub(LATE_MS).max(from));
        found.extend(rows.into_iter().map(|((_, _, id), ())| id));
        if found.len() >= CLAIM_MAX {
            break;
        }
    }
    Ok(found)
}

/// A transfer as it was claimed.
#[derive(Debug, Clone)]
struct Claimed {
    id: TransferId,
    record: TransferRecord,
    until: Timestamp,
    lease: Duration,
    wanted: bool,
}

async fn claim_one(
    txn: &Txn,
    id: TransferId,
    process: crate::model::id::ProcessId,
) -> Result<Option<Claimed>, CatalogError> {
    let Some(old) = txn.get::<Transfers>(&(id,)).await? else {
        return Ok(None);
    };
    let lease = LEASE_MIN + LEASE_PER_MIB.saturating_mul(u32::try_from(old.bytes >> 20).unwrap_or(u32::MAX));
    let until = txn.now().after(lease);
    // Another mover may have been quicker.
    let Ok(state) = old.state.clone().apply(TransferEvent::Started { until }) else {
        return Ok(None);
    };
    let mut wanted = false;
    for unit in units_of(txn, old.file).await? {
        wanted = wanted || txn.any::<LocksByUnit>(&(unit, old.destination)).await?;
    }
    // A registration may have said since that it is there.
    let replica = txn.get::<Replicas>(&(old.file, old.destination)).await?;
    wanted = wanted && replica.is_none_or(|replica| replica.state != ReplicaState::Available);
    let record = TransferRecord { state, process: Some(process), ..old.clone() };
    txn.replace::<Transfers>(&(id,), &old, &record);
    Ok(Some(Claimed { id, record, until, lease, wanted }))
}

/// Reads what the executor has to know, in batches.
async fn gather(
    view: &View,
    endpoints: &[Endpoint],
    claimed: Vec<Claimed>,
    asked: Duration,
) -> Result<Vec<Job>, CatalogError> {
    let files: Vec<_> = claimed.iter().map(|one| (one.record.file,)).collect();
    let places: Vec<_> = claimed.iter().map(|one| (one.record.file, one.record.destination)).collect();
    let dids = view.get_many::<Dids>(&files).await?;
    let replicas = view.scan_many::<Replicas>(&files, SOURCES_MAX).await?;
    let intents = view.get_many::<Intents>(&places).await?;
    let mut jobs = Vec::with_capacity(claimed.len());
    for (((one, did), replicas), intent) in claimed.into_iter().zip(dids).zip(replicas).zip(intents) {
        let destination = endpoints.iter().find(|endpoint| endpoint.id == one.record.destination);
        if let (Some(did), Some(destination), Some(intent)) = (did, destination, intent) {
            jobs.push(job(one, &did, destination, endpoints, &replicas, asked, intent.decision));
        }
    }
    Ok(jobs)
}

fn job(
    one: Claimed,
    did: &DidRecord,
    destination: &Endpoint,
    endpoints: &[Endpoint],
    replicas: &[((DidId, EndpointId), ReplicaRecord)],
    asked: Duration,
    decision: crate::model::id::DecisionId,
) -> Job {
    let derived = StoragePath::derived(&did.did());
    let old = replicas.iter().find(|((_, endpoint), _)| *endpoint == destination.id).map(|(_, replica)| replica);
    Job {
        transfer: one.id,
        file: one.record.file,
        bytes: one.record.bytes,
        checksums: did.file().map_or(Vec::new(), |facts| facts.checksums.clone()),
        path_is_stated: old.is_some_and(|old| path_of(old, &derived) != derived),
        path: old.map_or_else(|| derived.clone(), |old| path_of(old, &derived)),
        replaces_bad: old.is_some_and(|old| old.state == ReplicaState::Bad),
        sources: sources(one.record.intent, destination, endpoints, replicas, &derived),
        destination: destination.clone(),
        intent: one.record.intent,
        decision,
        wanted: one.wanted,
        until: one.until,
        deadline: asked + one.lease,
    }
}

/// Where a replica lies below its endpoint's root.
pub fn path_of(replica: &ReplicaRecord, derived: &StoragePath) -> StoragePath {
    let stated = replica.path.as_deref().and_then(|path| StoragePath::parse(path).ok());
    stated.unwrap_or_else(|| derived.clone())
}

/// Available replicas elsewhere: first those of the destination's own kind, which may be able to
/// copy between themselves, each kind in an order of the intent's own, which spreads the load.
fn sources(
    intent: IntentId,
    destination: &Endpoint,
    endpoints: &[Endpoint],
    replicas: &[((DidId, EndpointId), ReplicaRecord)],
    derived: &StoragePath,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for ((_, id), replica) in replicas {
        if *id == destination.id || replica.state != ReplicaState::Available {
            continue;
        }
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.id == *id) {
            sources.push(Source { endpoint: endpoint.clone(), path: path_of(replica, derived) });
        }
    }
    let turn = usize::try_from(intent.0 % 64).expect("small");
    let count = sources.len().max(1);
    sources.rotate_left(turn % count);
    sources.sort_by_key(|source| source.endpoint.kind != destination.kind);
    sources
}

/// Gives back transfers whose lease has run out, and on an exclusive engine those of any other
/// process; revives failed ones that have rested. Returns how many.
pub async fn reap(catalog: &Catalog) -> Result<usize, CatalogError> {
    let view = catalog.view().await?;
    let now = catalog.clock().now().as_millis();
    let mut due = Vec::new();
    let mut after = (0, TransferId(0));
    loop {
        let rows = view.scan_after::<Running>(&(), &after, 1_000).await?;
        let Some((last, ())) = rows.last() else { break };
        after = *last;
        let running: Vec<_> = rows.iter().map(|((_, id), ())| (*id,)).collect();
        for (((until, id), ()), record) in rows.iter().zip(view.get_many::<Transfers>(&running).await?) {
            let orphan = catalog.is_exclusive() && record.is_some_and(|r| r.process != Some(catalog.process()));
            if orphan || *until <= now {
                due.push(*id);
            }
        }
    }
    let rested = view.scan::<Failed>(&(), 1_000).await?;
    due.extend(rested.into_iter().take_while(|((at, _), ())| *at <= now).map(|((_, id), ())| id));
    for chunk in due.chunks(500) {
        let chunk = chunk.to_vec();
        catalog
            .transact(move |txn| {
                let chunk = chunk.clone();
                async move {
                    for id in chunk {
                        give_back(&txn, id).await?;
                    }
                    Ok::<_, CatalogError>(())
                }
            })
            .await?;
    }
    Ok(due.len())
}

async fn give_back(txn: &Txn, id: TransferId) -> Result<(), CatalogError> {
    let Some(old) = txn.get::<Transfers>(&(id,)).await? else {
        return Ok(());
    };
    let event = match &old.state {
        TransferState::Running { .. } => TransferEvent::Abandoned { at: txn.now() },
        TransferState::Failed { .. } => TransferEvent::Revived { at: txn.now() },
        TransferState::Waiting { .. } => return Ok(()),
    };
    if let Ok(state) = old.state.clone().apply(event) {
        txn.replace::<Transfers>(&(id,), &old, &TransferRecord { state, ..old.clone() });
    }
    Ok(())
}
