//! How far the locks of rules are, as far as whoever asks may know it. Who may write a dataset is told of
//! all of it, as they say what is in it. For others, files that are hidden are as if they were no members:
//! they are neither counted, nor do they keep a lock back. A dataset with too many members to count
//! them one by one is shown without numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::View;
use crate::catalog::ledger::tally;
use crate::catalog::record::{DidContent, Dids, Heads, LockRecord, Replicas, StuckFiles};
use crate::model::did::DidKind;
use crate::model::id::{DidId, EndpointId};
use crate::model::lock::LockState;
use crate::model::replica::ReplicaState;
use crate::model::stuck::StuckReason;
use crate::service::error::ServiceError;
use crate::service::sight::{Seen, Sight};

/// The most members of one dataset that are counted one by one.
const MEMBERS_MAX: usize = 1_000;
/// The most members that are counted one by one for one request.
const COUNTED_MAX: usize = 20_000;
/// How many files that keep a lock back are looked through for those that are seen.
const STUCK_MAX: usize = 1_000;

/// Files of a unit that are there, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) done: u64,
    pub(super) wanted: u64,
}

/// A lock on something that is seen.
pub(super) struct SeenLock {
    pub(super) unit: Seen,
    pub(super) state: LockState,
    /// `None` if that is more than whoever asks may know.
    pub(super) files: Option<Count>,
}

/// Counts for one request: what was counted once is remembered.
#[derive(Default)]
pub(super) struct Counter {
    counted: usize,
    members: BTreeMap<DidId, Option<Arc<BTreeSet<DidId>>>>,
}

impl Counter {
    /// A lock as whoever asks may know it; `None` if it is on something hidden.
    pub(super) async fn lock(
        &mut self,
        sight: &mut Sight,
        (unit, endpoint): (DidId, EndpointId),
        lock: &LockRecord,
    ) -> Result<Option<SeenLock>, ServiceError> {
        let Some(unit) = sight.by_id(unit).await? else { return Ok(None) };
        if unit.record.kind() == DidKind::File || sight.knows_all(&unit) {
            let files = Some(count(sight.view(), unit.id, endpoint).await?);
            return Ok(Some(SeenLock { unit, state: lock.state.clone(), files }));
        }
        let Some(members) = self.members(sight, unit.id).await? else {
            // Whether all of it is there is told; why not, only of files that are seen.
            let state = match &lock.state {
                LockState::Ok => LockState::Ok,
                LockState::Replicating | LockState::Stuck { .. } => of_trouble(sight, unit.id, endpoint).await?,
            };
            return Ok(Some(SeenLock { unit, state, files: None }));
        };
        let keys: Vec<_> = members.iter().map(|file| (*file, endpoint)).collect();
        let replicas = sight.view().get_many::<Replicas>(&keys).await?;
        let there = replicas.iter().flatten().filter(|replica| replica.state == ReplicaState::Available);
        let files = Count { done: there.count() as u64, wanted: members.len() as u64 };
        let state = match &lock.state {
            LockState::Stuck { .. } if files.done == files.wanted => of_denied(sight, unit.id, endpoint).await?,
            _ if files.done == files.wanted => LockState::Ok,
            _ => of_trouble(sight, unit.id, endpoint).await?,
        };
        Ok(Some(SeenLock { unit, state, files: Some(files) }))
    }

    /// The members of a dataset that are seen, if they can be counted.
    async fn members(
        &mut self,
        sight: &mut Sight,
        dataset: DidId,
    ) -> Result<Option<Arc<BTreeSet<DidId>>>, ServiceError> {
        if let Some(known) = self.members.get(&dataset) {
            return Ok(known.clone());
        }
        let head = sight.view().get::<Heads>(&(dataset,)).await?.unwrap_or_default();
        let count = usize::try_from(head.members).unwrap_or(usize::MAX);
        let found = if count > MEMBERS_MAX || count > COUNTED_MAX.saturating_sub(self.counted) {
            None
        } else {
            self.counted += count;
            let members = sight.all_members(dataset, MEMBERS_MAX).await?;
            members.map(|members| Arc::new(members.into_iter().map(|seen| seen.id).collect()))
        };
        self.members.insert(dataset, found.clone());
        Ok(found)
    }
}

/// The state of a lock that is not satisfied, by its files that are seen.
async fn of_trouble(sight: &mut Sight, unit: DidId, endpoint: EndpointId) -> Result<LockState, ServiceError> {
    let stuck = stuck_files(sight, unit, endpoint).await?.into_iter().next();
    Ok(stuck.map_or(LockState::Replicating, |(_, reason)| LockState::Stuck { reason }))
}

/// The state of a lock of which all that is seen is there, though it may not all be allowed there.
async fn of_denied(sight: &mut Sight, unit: DidId, endpoint: EndpointId) -> Result<LockState, ServiceError> {
    let mut stuck = stuck_files(sight, unit, endpoint).await?.into_iter().map(|(_, reason)| reason);
    let denied = stuck.find(|reason| matches!(reason, StuckReason::DeniedByPolicy { .. }));
    Ok(denied.map_or(LockState::Ok, |reason| LockState::Stuck { reason }))
}

/// Files that keep a unit's lock back, those that are seen.
pub(super) async fn stuck_files(
    sight: &mut Sight,
    unit: DidId,
    endpoint: EndpointId,
) -> Result<Vec<(Seen, StuckReason)>, ServiceError> {
    let view = sight.view().clone();
    let rows = view.scan::<StuckFiles>(&(unit, endpoint), STUCK_MAX).await?;
    let ids: Vec<_> = rows.iter().map(|((_, _, file), _)| (*file,)).collect();
    let records = view.get_many::<Dids>(&ids).await?;
    let (reasons, there): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .zip(records)
        .filter_map(|(((_, _, file), reason), record)| Some((reason, (file, record?))))
        .unzip();
    let seen = sight.of_these(there).await?;
    Ok(seen.into_iter().map(|(at, seen)| (seen, reasons[at].clone())).collect())
}

/// How many files of a unit are at an endpoint, of how many.
async fn count(view: &View, unit: DidId, endpoint: EndpointId) -> Result<Count, ServiceError> {
    if let Some(head) = view.get::<Heads>(&(unit,)).await? {
        let there = tally::coverage(view, unit, endpoint).await?;
        return Ok(Count { done: u64::try_from(there.files).unwrap_or(0), wanted: head.members });
    }
    let is_file = view.get::<Dids>(&(unit,)).await?.is_some_and(|did| matches!(did.content, DidContent::File(_)));
    let replica = view.get::<Replicas>(&(unit, endpoint)).await?;
    let there = replica.is_some_and(|replica| replica.state == ReplicaState::Available);
    Ok(Count { done: u64::from(there), wanted: u64::from(is_file) })
}
