//! Claims transfers: marks what is ready as running until a deadline, and gathers the facts that
//! the executor needs. Also gives back what was claimed by a process that is gone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::catalog::engine::Range;
use crate::catalog::hands::Hold;
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
use crate::storage::lanes::{LARGE_BYTES_MIN, Lanes};
use crate::storage::layout::StoragePath;
use crate::storage::registry::Registry;
use crate::transfers::job::{Job, Source};

/// How many a destination gives to one claim, so that a long queue leaves room for others.
const PER_DESTINATION: usize = 16;
/// How many pages of a destination's queue one claim looks through for files that have room.
const LOOKS_MAX: usize = 32;
/// The shortest lease of an attempt, if nothing else is said.
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

/// A job, in this process's hand until this is dropped.
#[derive(Debug)]
pub struct Claim {
    /// What to do.
    pub job: Job,
    /// Keeps others from giving it back.
    pub hold: Hold,
}

/// Claims at most `most` of what is ready, fairly over destinations but for those that are left
/// alone, and no more large files than there are lanes for. Empty when there is nothing.
pub async fn claim(
    catalog: &Catalog,
    stores: &Registry,
    cursors: &mut Cursors,
    most: usize,
) -> Result<Vec<Claim>, CatalogError> {
    let (asked, health) = (catalog.clock().monotonic(), stores.health());
    let view = catalog.view().await?;
    let endpoints = endpoints::all(&view).await?;
    let open: Vec<_> = endpoints.iter().filter(|endpoint| !health.rests(endpoint.id, asked)).map(|e| e.id).collect();
    let lanes = stores.lanes();
    let mut wish = Wish { catalog, view: &view, holds: BTreeMap::new(), most, lanes, free: lanes.free() };
    wish.find(&open, cursors).await?;
    let mut holds = wish.holds;
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    let (by, ready): (_, Vec<_>) =
        ((catalog.process(), stores.lease().unwrap_or(LEASE_MIN)), holds.keys().copied().collect());
    let claimed = catalog
        .transact(move |txn| {
            let ready = ready.clone();
            async move {
                let mut claimed = Vec::with_capacity(ready.len());
                for id in ready {
                    if let Some(one) = claim_one(&txn, id, by).await? {
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
    let held = |job: Job| holds.remove(&job.transfer).map(|hold| Claim { job, hold });
    Ok(jobs.into_iter().filter_map(held).collect())
}

/// What a claim looks for, and what it has found.
struct Wish<'a> {
    catalog: &'a Catalog,
    view: &'a View,
    holds: BTreeMap<TransferId, Hold>,
    most: usize,
    lanes: &'a Lanes,
    /// How many of them are left to this claim.
    free: usize,
}

impl Wish<'_> {
    async fn find(&mut self, destinations: &[EndpointId], cursors: &mut Cursors) -> Result<(), CatalogError> {
        let (now, monotonic) = (self.catalog.clock().now().as_millis(), self.catalog.clock().monotonic());
        if monotonic >= cursors.whole_at {
            cursors.from.clear();
            cursors.whole_at = monotonic + WHOLE_EVERY;
        }
        cursors.turn += 1;
        for offset in 0..destinations.len() {
            let destination = destinations[(cursors.turn + offset) % destinations.len()];
            let from = cursors.from.get(&destination).copied().unwrap_or(0);
            let reached = self.find_for(destination, from, now).await?;
            cursors.from.insert(destination, reached.saturating_sub(LATE_MS).max(from));
            if self.holds.len() >= self.most {
                break;
            }
        }
        Ok(())
    }

    /// Looks through a destination's queue, past large files that have no room. Returns when the first
    /// of those that it leaves there was ready.
    async fn find_for(&mut self, destination: EndpointId, from: u64, now: u64) -> Result<u64, CatalogError> {
        let end = self.most.min(self.holds.len() + PER_DESTINATION);
        let (mut room, mut left) = (self.lanes.free_to(destination).min(self.free), None);
        let mut range = Range::prefix(&(destination,).encode(), 0);
        range.from = (destination, from).encode();
        range.to = (destination, now + 1).encode();
        for _ in 0..LOOKS_MAX {
            range.limit = end - self.holds.len();
            let rows: Rows<Ready> = self.view.range::<Ready>(range.clone()).await?;
            let last = rows.last().map(|(key, ())| *key);
            let keys: Vec<_> = rows.iter().map(|((_, _, id), ())| (*id,)).collect();
            let mut records: VecDeque<_> = self.view.get_many::<Transfers>(&keys).await?.into();
            for ((_, time, id), ()) in &rows {
                let large = records.pop_front().flatten().is_some_and(|record| record.bytes >= LARGE_BYTES_MIN);
                if large && room == 0 {
                    left = left.or(Some(*time));
                } else if let Some(hold) = self.catalog.hands().take(*id) {
                    self.holds.insert(*id, hold);
                    room -= usize::from(large);
                    self.free -= usize::from(large);
                }
            }
            match last {
                Some(last) if rows.len() == range.limit => {
                    if self.holds.len() >= end {
                        return Ok(left.unwrap_or(last.1));
                    }
                    range = range.after(&last.encode());
                }
                last => return Ok(left.or(last.map(|last| last.1)).unwrap_or(now)),
            }
        }
        // So far and no further: the next claim begins here again.
        Ok(left.unwrap_or(from))
    }
}

/// A transfer as it was claimed.
#[derive(Debug, Clone)]
struct Claimed {
    id: TransferId,
    record: TransferRecord,
    until: Timestamp,
    lease: Duration,
    wanted: bool,
    was_tried: bool,
}

async fn claim_one(
    txn: &Txn,
    id: TransferId,
    (process, span): (crate::model::id::ProcessId, Duration),
) -> Result<Option<Claimed>, CatalogError> {
    let Some(old) = txn.get::<Transfers>(&(id,)).await? else {
        return Ok(None);
    };
    let lease = span + LEASE_PER_MIB.saturating_mul(u32::try_from(old.bytes >> 20).unwrap_or(u32::MAX));
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
    Ok(Some(Claimed { id, record, until, lease, wanted, was_tried: old.process.is_some() }))
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
        was_tried: one.was_tried,
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

/// Gives back transfers whose lease has run out, those of this process that are in nobody's hand, and
/// on an exclusive engine those of any other process; revives failed ones that have rested. Returns
/// how many.
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
            let Some(record) = record else { continue };
            let orphan = if record.process == Some(catalog.process()) {
                !catalog.hands().has(*id)
            } else {
                catalog.is_exclusive()
            };
            if orphan || *until <= now {
                due.push((*id, record.state));
            }
        }
    }
    let rested = view.scan::<Failed>(&(), 1_000).await?;
    let rested: Vec<_> = rested.into_iter().take_while(|((at, _), ())| *at <= now).map(|((_, id), ())| (id,)).collect();
    let records = view.get_many::<Transfers>(&rested).await?;
    due.extend(rested.into_iter().zip(records).filter_map(|((id,), record)| Some((id, record?.state))));
    for chunk in due.chunks(500) {
        let chunk = chunk.to_vec();
        catalog
            .transact(move |txn| {
                let chunk = chunk.clone();
                async move {
                    for (id, seen) in chunk {
                        give_back(&txn, id, &seen).await?;
                    }
                    Ok::<_, CatalogError>(())
                }
            })
            .await?;
    }
    Ok(due.len())
}

/// Gives a transfer back, unless it has gone on since it was seen.
async fn give_back(txn: &Txn, id: TransferId, seen: &TransferState) -> Result<(), CatalogError> {
    let Some(old) = txn.get::<Transfers>(&(id,)).await?.filter(|old| old.state == *seen) else {
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
