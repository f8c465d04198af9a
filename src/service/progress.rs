//! How far the locks of rules are, as far as whoever asks may know it. Who may write a dataset is told of
//! all of it, as they say what is in it. For others, files that are hidden are as if they were no members:
//! they are neither counted, nor do they keep a lock back. A dataset with too many members to count
//! them one by one is shown without numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::ledger::tally;
use crate::catalog::record::{Dids, Heads, Locks, ReplicaRecord, Replicas, StuckFiles};
use crate::catalog::{Rows, View};
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

/// Files of a unit that are there, of how many, and the bytes of those that are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) done: u64,
    pub(super) wanted: u64,
    pub(super) missing_bytes: u64,
}

/// A lock on something that is seen.
pub(super) struct SeenLock {
    pub(super) unit: Seen,
    pub(super) endpoint: EndpointId,
    pub(super) state: LockState,
    /// `None` if that is more than whoever asks may know.
    pub(super) files: Option<Count>,
}

/// Members of a dataset that are seen, with their bytes.
type Members = Arc<BTreeMap<DidId, u64>>;

/// Counts for one request: what was counted once is remembered.
#[derive(Default)]
pub(super) struct Counter {
    counted: usize,
    members: BTreeMap<DidId, Option<Members>>,
}

impl Counter {
    /// Locks as whoever asks may know them, without those on something hidden.
    pub(super) async fn locks(&mut self, sight: &mut Sight, rows: Rows<Locks>) -> Result<Vec<SeenLock>, ServiceError> {
        let seen = sight.by_ids(rows.iter().map(|((_, unit, _), _)| *unit)).await?;
        let known: BTreeSet<DidId> = seen
            .values()
            .filter(|unit| unit.record.kind() == DidKind::File || sight.knows_all(unit))
            .map(|unit| unit.id)
            .collect();
        let whole = rows.iter().map(|((_, unit, endpoint), _)| (*unit, *endpoint));
        let whole: Vec<_> = whole.filter(|(unit, _)| known.contains(unit)).collect();
        let counts = count(sight.view(), &seen, &whole).await?;
        let mut locks = Vec::with_capacity(rows.len());
        for ((_, unit, endpoint), lock) in rows {
            let Some(unit) = seen.get(&unit).cloned() else { continue };
            let (state, files) = match counts.get(&(unit.id, endpoint)) {
                Some(count) => (lock.state, Some(*count)),
                None => self.of_seen(sight, (unit.id, endpoint), lock.state).await?,
            };
            locks.push(SeenLock { unit, endpoint, state, files });
        }
        Ok(locks)
    }

    /// How far a lock is on a dataset of which not all may be known.
    async fn of_seen(
        &mut self,
        sight: &mut Sight,
        (unit, endpoint): (DidId, EndpointId),
        stored: LockState,
    ) -> Result<(LockState, Option<Count>), ServiceError> {
        let Some(members) = self.members(sight, unit).await? else {
            // Whether all of it is there is told; why not, only of files that are seen.
            let state = match stored {
                LockState::Ok => LockState::Ok,
                LockState::Replicating | LockState::Stuck { .. } => of_trouble(sight, unit, endpoint).await?,
            };
            return Ok((state, None));
        };
        let keys: Vec<_> = members.keys().map(|file| (*file, endpoint)).collect();
        let replicas = sight.view().get_many::<Replicas>(&keys).await?;
        let mut files = Count::default();
        for (bytes, replica) in members.values().zip(replicas) {
            files.add(*bytes, replica.as_ref());
        }
        let state = match stored {
            LockState::Stuck { .. } if files.done == files.wanted => of_denied(sight, unit, endpoint).await?,
            _ if files.done == files.wanted => LockState::Ok,
            _ => of_trouble(sight, unit, endpoint).await?,
        };
        Ok((state, Some(files)))
    }

    /// The members of a dataset that are seen, if they can be counted.
    async fn members(&mut self, sight: &mut Sight, dataset: DidId) -> Result<Option<Members>, ServiceError> {
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
            let bytes = |seen: &Seen| seen.record.file().map_or(0, |facts| facts.bytes);
            members.map(|members| Arc::new(members.iter().map(|seen| (seen.id, bytes(seen))).collect()))
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

impl Count {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_add(other.done),
            wanted: self.wanted.saturating_add(other.wanted),
            missing_bytes: self.missing_bytes.saturating_add(other.missing_bytes),
        }
    }

    /// Counts one file by its replica, if it has one.
    fn add(&mut self, bytes: u64, replica: Option<&ReplicaRecord>) {
        self.wanted += 1;
        if replica.is_some_and(|replica| replica.state == ReplicaState::Available) {
            self.done += 1;
        } else {
            self.missing_bytes = self.missing_bytes.saturating_add(bytes);
        }
    }
}

/// How many files of units are at endpoints, all of them.
async fn count(
    view: &View,
    seen: &BTreeMap<DidId, Seen>,
    of: &[(DidId, EndpointId)],
) -> Result<BTreeMap<(DidId, EndpointId), Count>, ServiceError> {
    let bytes = |unit: &DidId| seen.get(unit).and_then(|unit| unit.record.file()).map(|facts| facts.bytes);
    let (files, datasets): (Vec<_>, Vec<_>) = of.iter().copied().partition(|(unit, _)| bytes(unit).is_some());
    let mut counts = BTreeMap::new();
    let replicas = view.get_many::<Replicas>(&files).await?;
    for (of, replica) in files.into_iter().zip(replicas) {
        let mut count = Count::default();
        count.add(bytes(&of.0).unwrap_or(0), replica.as_ref());
        counts.insert(of, count);
    }
    let heads: Vec<_> = datasets.iter().map(|(unit, _)| (*unit,)).collect();
    let heads = view.get_many::<Heads>(&heads).await?;
    let there = tally::coverages(view, &datasets).await?;
    for ((of, head), there) in datasets.into_iter().zip(heads).zip(there) {
        let (head, number) = (head.unwrap_or_default(), |number: i64| u64::try_from(number).unwrap_or(0));
        let missing_bytes = head.bytes.saturating_sub(number(there.bytes));
        counts.insert(of, Count { done: number(there.files), wanted: head.members, missing_bytes });
    }
    Ok(counts)
}
