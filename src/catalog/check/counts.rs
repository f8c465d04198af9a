//! Sums that are kept, against what they sum: heads, coverage, usage, counts of locks.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::check::{Pages, Report, all};
use crate::catalog::ledger::tally;
use crate::catalog::record::{
    ContentRecord, Contents, CountsRecord, Coverage, CoverageDeltas, DidRecord, Dids, Heads, Locks, Placements,
    Replicas, RuleCountsTable, Rules, Tally, Usage, UsageDeltas,
};
use crate::catalog::{CatalogError, View};
use crate::model::did::DidKind;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::lock::LockState;
use crate::model::replica::ReplicaState;

/// How many files' replicas are read together.
const FILES: usize = 100;
/// The most replicas of one file.
const REPLICAS_MAX: usize = 10_000;

fn bytes_of(record: Option<&DidRecord>) -> u64 {
    record.and_then(DidRecord::file).map_or(0, |facts| facts.bytes)
}

/// A head row has the number and bytes of its members, and its next place is free.
pub(super) async fn heads(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Heads>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((parent,), head) in rows {
            let (mut members, mut bytes, mut behind) = (0, 0, 0);
            let mut contents = Pages::<Contents, _>::below((parent,));
            loop {
                let places = contents.next(view, report).await?;
                let Some(((_, last), _)) = places.last() else { break };
                behind = last + 1;
                let children: Vec<_> = places.iter().filter_map(|(_, content)| member(*content)).collect();
                members += children.len() as u64;
                let records = view.get_many::<Dids>(&children).await?;
                bytes += records.iter().map(|record| bytes_of(record.as_ref())).sum::<u64>();
            }
            let agrees = head.members == members && head.bytes == bytes && head.next_seq >= behind;
            report.expect(
                agrees || report.is_full(),
                || format!("did {parent}"),
                || format!("its head says {head:?}, it holds {members} members of {bytes} bytes up to place {behind}"),
            );
        }
    }
    holders_have_heads(view, report).await
}

async fn holders_have_heads(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Dids>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        for (((id,), record), head) in rows.iter().zip(view.get_many::<Heads>(&ids).await?) {
            let agrees = head.is_some() == (record.kind() != DidKind::File);
            report.expect(agrees, || format!("did {id}"), || format!("a {} with the head {head:?}", record.kind()));
        }
    }
}

fn member(content: ContentRecord) -> Option<(DidId,)> {
    match content {
        ContentRecord::Member(child) => Some((child,)),
        ContentRecord::Detached(_) => None,
    }
}

/// What a dataset is said to have at each endpoint is what its files have there.
pub(super) async fn coverage(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Dids>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((dataset,), record) in rows {
            if record.kind() != DidKind::Dataset {
                continue;
            }
            let found = recount(view, dataset, report).await?;
            let said = tally::coverage_everywhere(view, dataset).await?;
            report.expect(
                found == said || report.is_full(),
                || format!("dataset {dataset}"),
                || format!("said to have {said:?}, has {found:?}"),
            );
        }
    }
    let mut pages = all::<Coverage>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        covered_datasets(view, report, rows.into_iter().map(|((unit, _), _)| unit)).await?;
    }
    let mut pages = all::<CoverageDeltas>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        covered_datasets(view, report, rows.into_iter().map(|((unit, _, _), _)| unit)).await?;
    }
}

async fn covered_datasets(
    view: &View,
    report: &mut Report<'_>,
    units: impl Iterator<Item = DidId>,
) -> Result<(), CatalogError> {
    let units: Vec<_> = units.map(|unit| (unit,)).collect::<BTreeSet<_>>().into_iter().collect();
    for ((unit,), record) in units.iter().zip(view.get_many::<Dids>(&units).await?) {
        let agrees = record.is_some_and(|record| record.kind() == DidKind::Dataset);
        report.expect(agrees, || format!("did {unit}"), || "has coverage and is no dataset".to_owned());
    }
    Ok(())
}

async fn recount(
    view: &View,
    dataset: DidId,
    report: &mut Report<'_>,
) -> Result<BTreeMap<EndpointId, Tally>, CatalogError> {
    let mut found = BTreeMap::<EndpointId, Tally>::new();
    let mut contents = Pages::<Contents, _>::below((dataset,));
    loop {
        let places = contents.next(view, report).await?;
        if places.is_empty() {
            return Ok(found);
        }
        let files: Vec<_> = places.iter().filter_map(|(_, content)| member(*content)).collect();
        for files in files.chunks(FILES) {
            let records = view.get_many::<Dids>(files).await?;
            let replicas = view.scan_many::<Replicas>(files, REPLICAS_MAX).await?;
            for (record, replicas) in records.iter().zip(replicas) {
                for ((_, endpoint), replica) in replicas {
                    if replica.state == ReplicaState::Available {
                        *found.entry(endpoint).or_default() += Tally::one(bytes_of(record.as_ref()));
                    }
                }
            }
        }
    }
}

/// What an endpoint is said to hold is what its available replicas are.
pub(super) async fn usage(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut found = BTreeMap::<EndpointId, Tally>::new();
    let mut pages = all::<Replicas>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let files: Vec<_> = rows.iter().map(|((file, _), _)| (*file,)).collect();
        let records = view.get_many::<Dids>(&files).await?;
        for (((_, endpoint), replica), record) in rows.iter().zip(records) {
            let sum = found.entry(*endpoint).or_default();
            if replica.state == ReplicaState::Available {
                *sum += Tally::one(bytes_of(record.as_ref()));
            }
        }
    }
    let mut pages = all::<Usage>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((endpoint,), _) in rows {
            found.entry(endpoint).or_default();
        }
    }
    let mut pages = all::<UsageDeltas>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((endpoint, _), _) in rows {
            found.entry(endpoint).or_default();
        }
    }
    for (endpoint, found) in found {
        let said = tally::usage(view, endpoint).await?;
        report.expect(
            said == found,
            || format!("endpoint {endpoint}"),
            || format!("said to hold {said:?}, holds {found:?}"),
        );
    }
    Ok(())
}

/// A rule's counts are those of its locks, by state, and of its groups without a place.
pub(super) async fn lock_counts(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Rules>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((rule,), _) in rows {
            let said = view.get::<RuleCountsTable>(&(rule,)).await?.unwrap_or_default();
            let found = count(view, rule, report).await?;
            report.expect(
                said == found || report.is_full(),
                || format!("rule {rule}"),
                || format!("said to have {said:?}, has {found:?}"),
            );
        }
    }
    of_rules(view, report, all::<RuleCountsTable>(), |(rule,)| *rule).await?;
    of_rules(view, report, all::<Locks>(), |(rule, _, _)| *rule).await?;
    of_rules(view, report, all::<Placements>(), |(rule, _)| *rule).await
}

async fn count(view: &View, rule: RuleId, report: &mut Report<'_>) -> Result<CountsRecord, CatalogError> {
    let mut found = CountsRecord::default();
    let mut locks = Pages::<Locks, _>::below((rule,));
    loop {
        let rows = locks.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for (_, lock) in rows {
            match lock.state {
                LockState::Ok => found.ok += 1,
                LockState::Replicating => found.replicating += 1,
                LockState::Stuck { .. } => found.stuck += 1,
            }
        }
    }
    let mut placements = Pages::<Placements, _>::below((rule,));
    loop {
        let rows = placements.next(view, report).await?;
        if rows.is_empty() {
            return Ok(found);
        }
        found.unplaced += rows.iter().map(|(_, one)| i64::from(one.unplaced.is_some())).sum::<i64>();
    }
}

/// Rows that belong to rules belong to rules there are.
async fn of_rules<T: crate::catalog::table::Typed>(
    view: &View,
    report: &mut Report<'_>,
    mut pages: Pages<T, ()>,
    owner: fn(&T::Key) -> RuleId,
) -> Result<(), CatalogError> {
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut rules: Vec<_> = rows.iter().map(|(key, _)| (owner(key),)).collect();
        rules.dedup();
        for ((rule,), record) in rules.iter().zip(view.get_many::<Rules>(&rules).await?) {
            let what = || format!("rule {rule}");
            report.expect(record.is_some(), what, || format!("is not there and has rows in {}", T::TABLE.name));
        }
    }
}
