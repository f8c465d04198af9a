//! Reconsiders what changed below ruled DIDs: members that came or went, replicas that were lost.
//! Costs what changed, not what is there.

use crate::catalog::ledger::{ancestors, locks};
use crate::catalog::record::{
    Backlog, BacklogRecord, Dids, Locks, Placements, RuleRecord, RuleWork, RuleWorkRecord, Rules, RulesByDid, Unplaced,
    WalkPosition,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Txn};
use crate::model::did::DidKind;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::rule::Grouping;
use crate::rules::Progress;
use crate::rules::walk::beginning;

/// How many backlog rows one step takes on.
const PAGE: usize = 50;
/// The most rules on one DID.
const RULES_MAX: usize = 1_000;
/// How many positions of a walk news may add before it begins afresh: the record has to stay small.
const POSITIONS_MAX: usize = 1_000;
/// How many locks of a rule one page of a sweep looks at.
const SWEEP: usize = 200;

/// Takes account of a few changes below ruled DIDs.
pub async fn step(catalog: &Catalog) -> Result<Progress, CatalogError> {
    let rows = catalog.view().await?.scan::<Backlog>(&(), PAGE).await?;
    if rows.is_empty() {
        return Ok(Progress::Nothing);
    }
    for ((ruled, unit), _) in rows {
        catalog
            .transact(move |txn| async move {
                // The row is read again here, as more may have been added to it.
                let Some(news) = txn.get::<Backlog>(&(ruled, unit)).await? else {
                    return Ok(());
                };
                txn.clear::<Backlog>(&(ruled, unit));
                // What was detached since is swept for the row that its detaching wrote; placing it
                // now would lock what no longer lies below the rule.
                if !ancestors::upward(&txn, unit).await?.contains(&ruled) {
                    return Ok(());
                }
                for ((_, rule), ()) in txn.scan::<RulesByDid>(&(ruled,), RULES_MAX).await? {
                    if let Some(record) = txn.get::<Rules>(&(rule,)).await?.filter(|record| !record.releasing) {
                        reconsider(&txn, rule, &record, unit, news).await?;
                    }
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
    }
    catalog.wakes().wake(Topic::Filling);
    Ok(Progress::Made)
}

async fn reconsider(
    txn: &Txn,
    id: RuleId,
    rule: &RuleRecord,
    unit: DidId,
    news: BacklogRecord,
) -> Result<(), CatalogError> {
    let Some(record) = txn.get::<Dids>(&(unit,)).await? else {
        return Ok(());
    };
    // Where datasets are locked, a file's dataset has news of its own.
    if record.kind() == DidKind::File && rule.grouping != Grouping::None && rule.did != unit {
        return Ok(());
    }
    let seq = news.from_seq;
    match (record.kind(), rule.grouping) {
        (DidKind::Container, _) | (DidKind::Dataset, Grouping::None) => {
            add_work(txn, id, rule, WalkPosition { parent: unit, seq }, news.detached).await
        }
        (DidKind::Dataset, Grouping::All | Grouping::Dataset) | (DidKind::File, _) => {
            let group = if rule.grouping == Grouping::All { rule.did } else { unit };
            match txn.get::<Placements>(&(id, group)).await? {
                Some(placement) if txn.any::<Locks>(&(id, unit)).await? || placement.chosen.is_empty() => {
                    for chosen in placement.chosen {
                        if !locks::recount(txn, unit, chosen.endpoint).await? {
                            locks::fill_from(txn, unit, chosen.endpoint, seq).await?;
                        }
                    }
                    Ok(())
                }
                _ => add_work(txn, id, rule, WalkPosition { parent: unit, seq: 0 }, false).await,
            }
        }
    }
}

/// Adds a position to a rule's placing, below what is under way: news never sends a long walk back to
/// its beginning, or a rule whose data keeps growing would never be placed.
async fn add_work(
    txn: &Txn,
    id: RuleId,
    rule: &RuleRecord,
    position: WalkPosition,
    detached: bool,
) -> Result<(), CatalogError> {
    let work = txn.get::<RuleWork>(&(id,)).await?.unwrap_or_default();
    let mut place = work.place.clone().unwrap_or_default();
    let there = place.iter().position(|known| known.parent == position.parent);
    match there {
        Some(at) => place[at].seq = place[at].seq.min(position.seq),
        None if place.len() < POSITIONS_MAX => place.insert(0, position),
        None => place = beginning(rule.did),
    }
    let sweep = if detached { Some((DidId(0), EndpointId(0))) } else { work.sweep };
    txn.put::<RuleWork>(&(id,), &RuleWorkRecord { place: Some(place), sweep, ..work });
    Ok(())
}

/// Looks through a page of a rule's locks, and of its groups without a place, and lets go those
/// whose unit was detached.
pub async fn sweep_page(catalog: &Catalog, id: RuleId, work: &RuleWorkRecord) -> Result<(), CatalogError> {
    let expected = work.clone();
    catalog
        .transact_bulk(move |txn| {
            let expected = expected.clone();
            async move {
                if txn.get::<RuleWork>(&(id,)).await?.as_ref() != Some(&expected) {
                    return Ok(());
                }
                let rule = txn.get::<Rules>(&(id,)).await?;
                let (Some(rule), Some((unit, endpoint))) = (rule, expected.sweep) else {
                    txn.clear::<RuleWork>(&(id,));
                    return Ok(());
                };
                let rows = txn.scan_after::<Locks>(&(id,), &(id, unit, endpoint), SWEEP).await?;
                let locks_end = page_end(&rows).map(|(_, unit, endpoint)| (*unit, *endpoint));
                let unplaced_end = sweep_unplaced(&txn, id, rule.did, unit).await?;
                for ((_, unit, endpoint), _) in &rows {
                    if !ancestors::upward(&txn, *unit).await?.contains(&rule.did) {
                        locks::release(&txn, id, *unit, *endpoint).await?;
                        drop_placement(&txn, id, *unit).await?;
                    }
                }
                match locks_end.into_iter().chain(unplaced_end).min() {
                    Some(sweep) => {
                        txn.put::<RuleWork>(&(id,), &RuleWorkRecord { sweep: Some(sweep), ..expected });
                    }
                    None => txn.clear::<RuleWork>(&(id,)),
                }
                Ok(())
            }
        })
        .await
}

/// The last key of a page behind which there may be more.
fn page_end<K, V>(rows: &[(K, V)]) -> Option<&K> {
    rows.last().filter(|_| rows.len() == SWEEP).map(|(key, _)| key)
}

/// Forgets groups from `unit` on that found no place and were detached: they have no lock that
/// would lead to them. Returns where to go on, if there may be more.
async fn sweep_unplaced(
    txn: &Txn,
    id: RuleId,
    ruled: DidId,
    unit: DidId,
) -> Result<Option<(DidId, EndpointId)>, CatalogError> {
    let before = (id, DidId(unit.0.saturating_sub(1)));
    let rows = txn.scan_after::<Unplaced>(&(id,), &before, SWEEP).await?;
    for ((_, group), ()) in &rows {
        if !ancestors::upward(txn, *group).await?.contains(&ruled) {
            drop_placement(txn, id, *group).await?;
        }
    }
    Ok(page_end(&rows).map(|(_, group)| (*group, EndpointId(0))))
}

async fn drop_placement(txn: &Txn, rule: RuleId, group: DidId) -> Result<(), CatalogError> {
    if let Some(placement) = txn.get::<Placements>(&(rule, group)).await? {
        locks::count_unplaced(txn, rule, -i64::from(placement.unplaced.is_some())).await?;
        txn.delete::<Placements>(&(rule, group), &placement);
    }
    Ok(())
}
