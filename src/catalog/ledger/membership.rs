//! Membership: what datasets and containers hold. A member's place comes from the parent's head
//! row, so the order of places is the order of commits, and a cursor on places sees exactly what
//! came and went since.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::history::is_closed;
use crate::catalog::labels::moved_files;
use crate::catalog::ledger::ancestors::{tell_rules, upward};
use crate::catalog::ledger::holdings::grow;
use crate::catalog::ledger::tally::{add_coverage, ask_fold};
use crate::catalog::record::{
    BacklogRecord, ContentRecord, Contents, FoldRecord, HeadRecord, Heads, Intents, Parents, Replicas, Several,
    StuckFiles, Tally,
};
use crate::catalog::{CatalogError, Txn};
use crate::fault::{Fault, Kind};
use crate::model::change::Change;
use crate::model::did::DidKind;
use crate::model::id::{DidId, EndpointId};
use crate::model::replica::ReplicaState;

/// The most endpoints that one file's replicas are read from.
pub const REPLICAS_MAX: usize = 1_000;
/// The most bytes that a dataset holds: what of it is where is counted with a sign.
const BYTES_MAX: u64 = i64::MAX.unsigned_abs();

/// A DID to attach or detach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: DidId,
    /// What it is.
    pub kind: DidKind,
    /// Its length; 0 for datasets and containers.
    pub bytes: u64,
}

/// Why a member cannot join.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MembershipError {
    /// A container would end up within itself.
    #[error("attaching a container to itself or to something it holds would make a circle")]
    Circle,
    /// A dataset holds files, a container holds datasets and containers.
    #[error("a {parent} cannot hold a {child}")]
    WrongKind {
        /// What should hold.
        parent: DidKind,
        /// What should be held.
        child: DidKind,
    },
    /// The parent takes no more members.
    #[error("the {parent} is closed: it takes no more members")]
    Closed {
        /// What should hold.
        parent: DidKind,
    },
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Fault for MembershipError {
    fn kind(&self) -> Kind {
        match self {
            MembershipError::Circle | MembershipError::Closed { .. } => Kind::Conflict,
            MembershipError::WrongKind { .. } => Kind::Invalid,
            MembershipError::Catalog(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            MembershipError::Circle => "membership-circle",
            MembershipError::WrongKind { .. } => "membership-wrong-kind",
            MembershipError::Closed { .. } => "did-closed",
            MembershipError::Catalog(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            MembershipError::WrongKind { .. } => {
                Some("datasets hold files; containers hold datasets and containers".to_owned())
            }
            MembershipError::Catalog(error) => error.hint(),
            MembershipError::Closed { .. } => Some("`dapple did reopen SCOPE:NAME` opens it again".to_owned()),
            MembershipError::Circle => None,
        }
    }
}

/// Attaches members to a parent; those that it holds already are passed over. Returns which are new.
pub async fn attach(txn: &Txn, parent: Member, members: &[Member]) -> Result<Option<Several>, MembershipError> {
    for member in members {
        if !parent.kind.holds(member.kind) {
            return Err(MembershipError::WrongKind { parent: parent.kind, child: member.kind });
        }
    }
    if parent.kind == DidKind::Container {
        let above = upward(txn, parent.id).await?;
        if members.iter().any(|member| above.contains(&member.id)) {
            return Err(MembershipError::Circle);
        }
    }
    let keys: Vec<_> = members.iter().map(|member| (member.id, parent.id)).collect();
    let held = txn.get_many::<Parents>(&keys).await?;
    let mut new = BTreeMap::new();
    for (member, place) in members.iter().zip(held) {
        if place.is_none() {
            new.insert(member.id, *member);
        }
    }
    let new: Vec<Member> = new.into_values().collect();
    let Some(several) = several(&new) else { return Ok(None) };
    if is_closed(txn, parent.id).await? {
        return Err(MembershipError::Closed { parent: parent.kind });
    }
    let first = add_places(txn, parent.id, &new).await?;
    if parent.kind == DidKind::Dataset {
        cover(txn, parent.id, &new, false).await?;
        moved_files(txn, parent.id, &ids(&new)).await?;
    }
    tell_rules(txn, parent.id, attached(first)).await?;
    txn.emit(&Change::ContentsChanged { parent: parent.id, from_seq: first });
    Ok(Some(several))
}

/// Tells whether a parent holds a member, and fails if the member could not join it, or `leave`.
pub async fn check_fits(txn: &Txn, parent: Member, member: Member, leave: bool) -> Result<bool, MembershipError> {
    let is_held = txn.get::<Parents>(&(member.id, parent.id)).await?.is_some();
    if is_held || leave {
        return Ok(is_held);
    }
    if !parent.kind.holds(member.kind) {
        return Err(MembershipError::WrongKind { parent: parent.kind, child: member.kind });
    }
    if member.kind == DidKind::Container && upward(txn, parent.id).await?.contains(&member.id) {
        return Err(MembershipError::Circle);
    }
    if is_closed(txn, parent.id).await? {
        return Err(MembershipError::Closed { parent: parent.kind });
    }
    Ok(false)
}

fn ids(members: &[Member]) -> Vec<DidId> {
    members.iter().map(|member| member.id).collect()
}

fn several(members: &[Member]) -> Option<Several> {
    members.first().map(|first| Several { first: first.id, count: members.len() as u64 })
}

/// Attaches files that were registered in this same transaction: they are in nothing yet and have
/// no replicas, so nothing about them has to be read. The caller has looked that the dataset is open.
pub(super) async fn attach_fresh(txn: &Txn, dataset: DidId, files: &[Member]) -> Result<(), CatalogError> {
    if files.is_empty() {
        return Ok(());
    }
    let first = add_places(txn, dataset, files).await?;
    tell_rules(txn, dataset, attached(first)).await?;
    txn.emit(&Change::ContentsChanged { parent: dataset, from_seq: first });
    Ok(())
}

fn attached(from_seq: u64) -> BacklogRecord {
    BacklogRecord { from_seq, detached: false }
}

async fn add_places(txn: &Txn, parent: DidId, members: &[Member]) -> Result<u64, CatalogError> {
    let mut head = txn.get::<Heads>(&(parent,)).await?.unwrap_or_default();
    let first = head.next_seq;
    for member in members {
        let longer = lengthened(head, member.bytes).ok_or(CatalogError::DatasetTooLong)?;
        txn.put::<Contents>(&(parent, head.next_seq), &ContentRecord::Member(member.id));
        txn.put::<Parents>(&(member.id, parent), &head.next_seq);
        head = longer;
    }
    txn.put::<Heads>(&(parent,), &head);
    grow(txn, parent, members.iter().map(|member| Tally::one(member.bytes)).sum()).await?;
    Ok(first)
}

/// A head with one more member, if sums of its bytes can still be taken.
fn lengthened(head: HeadRecord, bytes: u64) -> Option<HeadRecord> {
    Some(HeadRecord {
        next_seq: head.next_seq.checked_add(1)?,
        members: head.members.checked_add(1)?,
        bytes: head.bytes.checked_add(bytes).filter(|sum| *sum <= BYTES_MAX)?,
    })
}

/// Detaches members from a parent; those it does not hold are passed over. Returns which went.
pub async fn detach(txn: &Txn, parent: Member, members: &[Member]) -> Result<Option<Several>, CatalogError> {
    let keys: Vec<_> = members.iter().map(|member| (member.id, parent.id)).collect();
    let held = txn.get_many::<Parents>(&keys).await?;
    let mut gone = BTreeMap::new();
    for (member, place) in members.iter().zip(held) {
        if let Some(place) = place {
            gone.insert(member.id, (*member, place));
        }
    }
    if gone.is_empty() {
        return Ok(None);
    }
    let mut head = txn.get::<Heads>(&(parent.id,)).await?.unwrap_or_default();
    let first = head.next_seq;
    for (member, place) in gone.values() {
        txn.clear::<Contents>(&(parent.id, *place));
        txn.clear::<Parents>(&(member.id, parent.id));
        txn.put::<Contents>(&(parent.id, head.next_seq), &ContentRecord::Detached(member.id));
        head = HeadRecord {
            next_seq: head.next_seq + 1,
            members: head.members.saturating_sub(1),
            bytes: head.bytes.saturating_sub(member.bytes),
        };
    }
    txn.put::<Heads>(&(parent.id,), &head);
    let members: Vec<Member> = gone.into_values().map(|(member, _)| member).collect();
    grow(txn, parent.id, -members.iter().map(|member| Tally::one(member.bytes)).sum::<Tally>()).await?;
    if parent.kind == DidKind::Dataset {
        cover(txn, parent.id, &members, true).await?;
        forget_trouble(txn, parent.id, &members).await?;
        moved_files(txn, parent.id, &ids(&members)).await?;
    }
    tell_rules(txn, parent.id, BacklogRecord { from_seq: first, detached: true }).await?;
    txn.emit(&Change::ContentsChanged { parent: parent.id, from_seq: first });
    Ok(several(&members))
}

/// A dataset hears no more of the trouble of files that it no longer holds.
async fn forget_trouble(txn: &Txn, dataset: DidId, files: &[Member]) -> Result<(), CatalogError> {
    let prefixes: Vec<_> = files.iter().map(|file| (file.id,)).collect();
    let intents = txn.scan_many::<Intents>(&prefixes, REPLICAS_MAX).await?;
    let replicas = txn.scan_many::<Replicas>(&prefixes, REPLICAS_MAX).await?;
    let coming = intents.into_iter().flatten().map(|(key, _)| key);
    let places: BTreeSet<_> = replicas.into_iter().flatten().map(|(key, _)| key).chain(coming).collect();
    for (file, endpoint) in places {
        let key = (dataset, endpoint, file);
        if txn.get::<StuckFiles>(&key).await?.is_some() {
            txn.clear::<StuckFiles>(&key);
            ask_fold(txn, FoldRecord::Unit(dataset, endpoint));
        }
    }
    Ok(())
}

/// Adds what members bring to a dataset's coverage, or takes away what they take along.
async fn cover(txn: &Txn, dataset: DidId, files: &[Member], leaving: bool) -> Result<(), CatalogError> {
    let prefixes: Vec<_> = files.iter().map(|file| (file.id,)).collect();
    let mut sums = BTreeMap::<EndpointId, Tally>::new();
    for (file, replicas) in files.iter().zip(txn.scan_many::<Replicas>(&prefixes, REPLICAS_MAX).await?) {
        for ((_, endpoint), replica) in replicas {
            if replica.state == ReplicaState::Available {
                *sums.entry(endpoint).or_default() += Tally::one(file.bytes);
            }
        }
    }
    for (endpoint, sum) in sums {
        add_coverage(txn, dataset, endpoint, if leaving { -sum } else { sum });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_never_longer_than_can_be_counted() {
        let long = |bytes| HeadRecord { next_seq: 3, members: 2, bytes };
        let expected = HeadRecord { next_seq: 4, members: 3, bytes: BYTES_MAX };
        assert_eq!(lengthened(long(BYTES_MAX - 5), 5), Some(expected));
        for (bytes, more) in [(BYTES_MAX, 1), (BYTES_MAX - 5, 6), (1, u64::MAX), (BYTES_MAX, u64::MAX)] {
            assert_eq!(lengthened(long(bytes), more), None, "{bytes} + {more}");
        }
        assert_eq!(lengthened(HeadRecord { next_seq: u64::MAX, ..long(0) }, 0), None);
    }
}
