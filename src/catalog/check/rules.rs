//! Rules, their placements and locks, and the copies that stand behind the word OK.

use std::collections::BTreeSet;

use crate::catalog::check::{Pages, Report, all};
use crate::catalog::ledger::ancestors::upward;
use crate::catalog::ledger::locks::counts;
use crate::catalog::record::{
    Backlog, ContentRecord, Contents, Dids, Locks, PlacementRecord, Placements, Replicas, RuleRecord, RuleWork, Rules,
};
use crate::catalog::{CatalogError, View};
use crate::model::did::DidKind;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::replica::ReplicaState;
use crate::model::rule::{Grouping, RuleState, state};

/// The most locks of one rule on one unit: one for each copy.
const LOCKS_MAX: usize = 1_000;
/// The most replicas of one file.
const REPLICAS_MAX: usize = 10_000;
/// How many files' replicas are read together.
const FILES: usize = 100;

/// Once a rule is placed, every lock is where its group was placed, and every place has its lock.
pub(super) async fn placements(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Rules>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((id,), rule) in rows {
            let under_way = rule.releasing || view.get::<RuleWork>(&(id,)).await?.is_some();
            if !under_way {
                locks_have_places(view, report, id, &rule).await?;
                places_have_locks(view, report, id, &rule).await?;
            }
        }
    }
}

async fn locks_have_places(
    view: &View,
    report: &mut Report<'_>,
    id: RuleId,
    rule: &RuleRecord,
) -> Result<(), CatalogError> {
    let mut locks = Pages::<Locks, _>::below((id,));
    loop {
        let rows = locks.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let groups: Vec<_> = rows
            .iter()
            .map(|((_, unit, _), _)| (id, if rule.grouping == Grouping::All { rule.did } else { *unit }))
            .collect();
        let placements = view.get_many::<Placements>(&groups).await?;
        for (((_, unit, endpoint), _), placement) in rows.iter().zip(placements) {
            let placed = placement.as_ref().is_some_and(|placement| is_at(placement, *endpoint));
            let level = lock_fits(view, rule, *unit).await?;
            report.expect(
                placed && level,
                || format!("lock of rule {id} on did {unit} at endpoint {endpoint}"),
                || format!("is not where its group was placed, or no unit of its rule: {placement:?}"),
            );
        }
    }
}

/// A lock holds what its rule holds, a file or a dataset, and something that lies below its DID once
/// all that changed there has been looked at.
async fn lock_fits(view: &View, rule: &RuleRecord, unit: DidId) -> Result<bool, CatalogError> {
    let kind = view.get::<Dids>(&(unit,)).await?.map(|record| record.kind());
    let fits = match kind {
        Some(DidKind::File) => rule.grouping == Grouping::None || rule.did == unit,
        Some(DidKind::Dataset) => rule.grouping != Grouping::None,
        Some(DidKind::Container) | None => false,
    };
    let news = view.any::<Backlog>(&(rule.did,)).await?;
    Ok(fits && (news || upward(view, unit).await?.contains(&rule.did)))
}

fn is_at(placement: &PlacementRecord, endpoint: EndpointId) -> bool {
    placement.chosen.iter().any(|chosen| chosen.endpoint == endpoint)
}

async fn places_have_locks(
    view: &View,
    report: &mut Report<'_>,
    id: RuleId,
    rule: &RuleRecord,
) -> Result<(), CatalogError> {
    // Where all units share a place, units that lack a lock are found by walking: `copies` does.
    if rule.grouping == Grouping::All {
        return Ok(());
    }
    let mut placements = Pages::<Placements, _>::below((id,));
    loop {
        let rows = placements.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((_, unit), placement) in rows {
            let keys: Vec<_> = placement.chosen.iter().map(|one| (id, unit, one.endpoint)).collect();
            for (key, lock) in keys.iter().zip(view.get_many::<Locks>(&keys).await?) {
                let what = || format!("place of rule {id} for did {unit}");
                report.expect(lock.is_some(), what, || format!("has no lock at endpoint {}", key.2));
            }
        }
    }
}

/// A rule that would be shown OK has, for every file below its DID, as many available replicas as
/// it wants copies, each at an endpoint where the rule holds the file's unit.
pub(super) async fn copies(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Rules>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((id,), rule) in rows {
            if state(rule.releasing, counts(view, id, rule.did).await?) == RuleState::Ok {
                files_have_copies(view, report, id, &rule).await?;
            }
        }
    }
}

async fn files_have_copies(
    view: &View,
    report: &mut Report<'_>,
    id: RuleId,
    rule: &RuleRecord,
) -> Result<(), CatalogError> {
    let mut seen = BTreeSet::from([rule.did]);
    let mut open = vec![rule.did];
    while let Some(did) = open.pop() {
        let Some(record) = view.get::<Dids>(&(did,)).await? else {
            continue;
        };
        if record.kind() == DidKind::File {
            check_files(view, report, id, rule, did, &[(did,)]).await?;
            continue;
        }
        let mut contents = Pages::<Contents, _>::below((did,));
        loop {
            let places = contents.next(view, report).await?;
            if places.is_empty() {
                break;
            }
            let members = places.into_iter().filter_map(|(_, content)| match content {
                ContentRecord::Member(child) => Some((child,)),
                ContentRecord::Detached(_) => None,
            });
            if record.kind() == DidKind::Container {
                open.extend(members.map(|(child,)| child).filter(|child| seen.insert(*child)));
            } else {
                let members: Vec<_> = members.collect();
                check_files(view, report, id, rule, did, &members).await?;
            }
        }
    }
    Ok(())
}

/// Looks at files of one dataset, or at a file that the rule is on.
async fn check_files(
    view: &View,
    report: &mut Report<'_>,
    id: RuleId,
    rule: &RuleRecord,
    holder: DidId,
    files: &[(DidId,)],
) -> Result<(), CatalogError> {
    let shared = locked_at(view, id, holder).await?;
    for files in files.chunks(FILES) {
        let replicas = view.scan_many::<Replicas>(files, REPLICAS_MAX).await?;
        for ((file,), replicas) in files.iter().zip(replicas) {
            let locked =
                if rule.grouping == Grouping::None { locked_at(view, id, *file).await? } else { shared.clone() };
            let there = replicas
                .iter()
                .filter(|(_, replica)| replica.state == ReplicaState::Available)
                .filter(|((_, endpoint), _)| locked.contains(endpoint))
                .count();
            report.expect(
                there >= usize::from(rule.copies),
                || format!("rule {id}"),
                || format!("is OK, but did {file} has {there} of {} copies, locked at {locked:?}", rule.copies),
            );
        }
    }
    Ok(())
}

async fn locked_at(view: &View, id: RuleId, unit: DidId) -> Result<BTreeSet<EndpointId>, CatalogError> {
    let locks = view.scan::<Locks>(&(id, unit), LOCKS_MAX).await?;
    Ok(locks.into_iter().map(|((_, _, endpoint), _)| endpoint).collect())
}
