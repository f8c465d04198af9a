//! Evaluates rules: chooses endpoints from a snapshot, outside any write transaction, then writes
//! placements and locks page by page. Each page checks that the rule has not been changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::ledger::{locks, reservations, tally};
use crate::catalog::placing::begin;
use crate::catalog::record::{
    Dids, Locks, PlacementRecord, Placements, RuleRecord, RuleWork, RuleWorkRecord, Rules, Unplaced, WalkPosition,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Txn, View, endpoints};
use crate::model::endpoint::Endpoint;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::replica::ReplicaState;
use crate::model::rule::Grouping;
use crate::model::stuck::StuckReason;
use crate::policy::judge::Judge;
use crate::rules::need::Need;
use crate::rules::permit::Asker;
use crate::rules::place::{Candidate, Choice, place};
use crate::rules::quota::Quota;
use crate::rules::walk::{Level, Stretch, beginning, walk};
use crate::rules::{Progress, expire, reconsider};

/// How many entries of a walk one page looks at.
const PAGE: usize = 100;
/// How many copies of units one page places; each costs about a dozen keys, when it moves.
const COPIES: usize = 300;
/// How many rules one step takes on.
const RULES: usize = 20;

/// Does a page of work on each of a few rules that have some, behind the last one that had its turn:
/// old rules with much to do keep none of the others waiting.
pub async fn step(catalog: &Catalog, judge: &Arc<Judge>, turn: &mut RuleId) -> Result<Progress, CatalogError> {
    let view = catalog.view().await?;
    let mut work = view.scan_after::<RuleWork>(&(), &(*turn,), RULES).await?;
    if work.len() < RULES {
        let first = view.scan::<RuleWork>(&(), RULES - work.len()).await?;
        work.extend(first.into_iter().filter(|((rule,), _)| rule <= turn));
    }
    drop(view);
    let mut progress = Progress::Nothing;
    let mut failed = None;
    for ((rule,), work) in work {
        progress = Progress::Made;
        *turn = rule;
        // Nor does one that cannot be worked on.
        if let Err(error) = work_on(catalog, judge, rule, &work).await {
            failed.get_or_insert(error);
        }
    }
    if progress == Progress::Made {
        catalog.wakes().wake(Topic::Filling);
        catalog.wakes().wake(Topic::Rules);
    }
    failed.map_or(Ok(progress), Err)
}

/// Does a page of work on one rule.
pub async fn step_of(catalog: &Catalog, judge: &Arc<Judge>, rule: RuleId) -> Result<Progress, CatalogError> {
    match catalog.view().await?.get::<RuleWork>(&(rule,)).await? {
        Some(work) => work_on(catalog, judge, rule, &work).await.map(|()| Progress::Made),
        None => Ok(Progress::Nothing),
    }
}

async fn work_on(
    catalog: &Catalog,
    judge: &Arc<Judge>,
    rule: RuleId,
    work: &RuleWorkRecord,
) -> Result<(), CatalogError> {
    if work.release {
        expire::release_page(catalog, rule).await
    } else if let Some(positions) = &work.place {
        place_page(catalog, judge, rule, work, positions).await
    } else {
        reconsider::sweep_page(catalog, rule, work).await
    }
}

/// Sets placing to begin afresh for every rule that found no place for some group: called when
/// endpoints have changed, or an account has got room.
pub async fn revive_unplaced(catalog: &Catalog) -> Result<Progress, CatalogError> {
    let mut after = None;
    let mut progress = Progress::Nothing;
    loop {
        let view = catalog.view().await?;
        let rows = match &after {
            None => view.scan::<Unplaced>(&(), PAGE).await?,
            Some(key) => view.scan_after::<Unplaced>(&(), key, PAGE).await?,
        };
        let Some((last, ())) = rows.last() else {
            return Ok(progress);
        };
        // One row says enough about its rule: go on behind all of the last rule's.
        after = Some((last.0, DidId(u64::MAX)));
        let mut rules: Vec<RuleId> = rows.iter().map(|((rule, _), ())| *rule).collect();
        rules.dedup();
        progress = Progress::Made;
        catalog
            .transact(move |txn| {
                let rules = rules.clone();
                async move {
                    for rule in rules {
                        if let Some(record) = txn.get::<Rules>(&(rule,)).await? {
                            begin(&txn, rule, record.did).await?;
                        }
                    }
                    Ok::<_, CatalogError>(())
                }
            })
            .await?;
    }
}

/// A group and the units of it that this page is about.
#[derive(Debug, Clone)]
struct Planned {
    group: DidId,
    units: Vec<DidId>,
    choice: Choice,
}

async fn place_page(
    catalog: &Catalog,
    judge: &Arc<Judge>,
    id: RuleId,
    work: &RuleWorkRecord,
    positions: &[WalkPosition],
) -> Result<(), CatalogError> {
    let view = catalog.view().await?;
    let Some(rule) = view.get::<Rules>(&(id,)).await? else {
        return forget(catalog, id).await;
    };
    let level = if rule.grouping == Grouping::None { Level::Files } else { Level::Datasets };
    let Stretch { units, rest } =
        walk(&view, positions, level, (COPIES / usize::from(rule.copies)).clamp(1, PAGE)).await?;
    let mut asker = Asker::new(&view, judge, &rule, catalog.clock().now()).await?;
    let plan = plan(&view, id, &rule, &units, &mut asker).await?;
    let next = RuleWorkRecord { place: (!rest.is_empty()).then_some(rest), ..work.clone() };
    let expected = work.clone();
    let is_whole = next.place.is_none() && *positions == beginning(rule.did);
    let judge = Arc::clone(judge);
    catalog
        .transact_bulk(move |txn| {
            let (plan, next, expected, rule) = (plan.clone(), next.clone(), expected.clone(), rule.clone());
            let judge = Arc::clone(&judge);
            async move {
                let current = txn.get::<Rules>(&(id,)).await?;
                let unchanged = current.is_some_and(|now| now.revision == rule.revision && !now.releasing);
                if !unchanged || txn.get::<RuleWork>(&(id,)).await? != Some(expected) {
                    return Ok(());
                }
                let Some(moved) = carry_out(&txn, &judge, id, &rule, plan).await? else {
                    // Policy has come to say otherwise since: the page is planned again.
                    return Ok(());
                };
                let next = if moved && !is_whole {
                    // Units of other pages still stand where their group was before.
                    RuleWorkRecord { place: Some(beginning(rule.did)), ..next }
                } else {
                    next
                };
                if next.place.is_none() {
                    reservations::end(&txn, &rule.account, id).await?;
                }
                if next == RuleWorkRecord::default() {
                    txn.clear::<RuleWork>(&(id,));
                } else {
                    txn.put::<RuleWork>(&(id,), &next);
                }
                Ok(())
            }
        })
        .await
}

async fn forget(catalog: &Catalog, id: RuleId) -> Result<(), CatalogError> {
    catalog
        .transact(move |txn| async move {
            txn.clear::<RuleWork>(&(id,));
            Ok(())
        })
        .await
}

/// Chooses for every group that has units on this page.
async fn plan(
    view: &View,
    id: RuleId,
    rule: &RuleRecord,
    units: &[DidId],
    asker: &mut Asker<'_>,
) -> Result<Vec<Planned>, CatalogError> {
    let endpoints = endpoints::all(view).await?;
    let matching = rule.expression.select(&endpoints);
    let mut groups: Vec<(DidId, Vec<DidId>)> = Vec::new();
    if rule.grouping == Grouping::All {
        groups.push((rule.did, units.to_vec()));
    } else {
        groups.extend(units.iter().map(|unit| (*unit, vec![*unit])));
    }
    let mut quota = Quota::besides(view, &rule.account, &endpoints, Some(id)).await?;
    let mut plan = Vec::with_capacity(groups.len());
    for (group, units) in groups {
        let held = view.get::<Placements>(&(id, group)).await?.map_or(Vec::new(), |placement| placement.chosen);
        let there = bytes_there(view, &units).await?;
        let data = asker.facts(&units).await?;
        let whole = if rule.grouping == Grouping::All { asker.facts(&[group]).await? } else { Vec::new() };
        // A place that is held is kept: a limit says what may be added, and a group that outgrows one
        // while its pages are placed would be moved to and fro.
        let keeps = rule.grouping == Grouping::All && held.len() >= usize::from(rule.copies);
        let need = if keeps { Need::default() } else { Need::read(view, rule, &units, &quota).await? };
        let candidates: Vec<_> = matching
            .iter()
            .map(|endpoint| {
                let is_held = held.iter().any(|chosen| chosen.endpoint == endpoint.id);
                // Other pages may have chosen for units that allow it; this one's are asked one by one.
                let shared = rule.grouping == Grouping::All && is_held;
                Candidate {
                    endpoint: endpoint.id,
                    bytes_there: there.get(&endpoint.id).copied().unwrap_or(0),
                    held: is_held,
                    denied: asker.denial(if shared { &whole } else { &data }, endpoint),
                    needed: if shared { 0 } else { need.at(endpoint.id) },
                }
            })
            .collect();
        plan.push(Planned { group, units, choice: place(group, rule.copies, &candidates, &mut quota) });
    }
    Ok(plan)
}

/// Bytes of the units that are available, by endpoint. An empty file counts as one byte, so that
/// having it is better than not having it.
async fn bytes_there(view: &View, units: &[DidId]) -> Result<BTreeMap<EndpointId, u64>, CatalogError> {
    use crate::catalog::record::Replicas;
    let mut sums = BTreeMap::<EndpointId, u64>::new();
    let mut add = |endpoint, bytes: u64| {
        let sum = sums.entry(endpoint).or_default();
        *sum = sum.saturating_add(bytes);
    };
    for unit in units {
        let record = view.get::<Dids>(&(*unit,)).await?;
        match record.as_ref().and_then(|record| record.file()) {
            Some(facts) => {
                let replicas = view.scan::<Replicas>(&(*unit,), 1_000).await?;
                for ((_, endpoint), _) in
                    replicas.into_iter().filter(|(_, replica)| replica.state == ReplicaState::Available)
                {
                    add(endpoint, facts.bytes.max(1));
                }
            }
            None => {
                for (endpoint, tally) in tally::coverage_everywhere(view, *unit).await? {
                    let bytes = u64::try_from(tally.bytes.max(tally.files)).unwrap_or(0);
                    add(endpoint, bytes);
                }
            }
        }
    }
    Ok(sums)
}

/// Writes a page: placements, locks, and one recorded decision for equal data at an endpoint. Returns
/// whether a group that units of other pages share has moved; `None`, with nothing written, if policy
/// or the limits of the account do not let the plan be any more.
async fn carry_out(
    txn: &Txn,
    judge: &Judge,
    id: RuleId,
    rule: &RuleRecord,
    plan: Vec<Planned>,
) -> Result<Option<bool>, CatalogError> {
    let mut asker = Asker::new(txn, judge, rule, txn.now()).await?;
    let endpoints = endpoints::all(txn).await?;
    if rule.grouping != Grouping::All && !still_stands(&mut asker, &endpoints, &plan).await? {
        return Ok(None);
    }
    if !still_fits(txn, id, rule, &endpoints, &plan).await? {
        return Ok(None);
    }
    let mut moved = false;
    for planned in plan {
        let new = PlacementRecord {
            chosen: planned.choice.chosen.clone(),
            unplaced: planned.choice.unplaced.clone(),
            revision: rule.revision,
        };
        let old = put_placement(txn, id, planned.group, &new).await?;
        let was_elsewhere = old.is_some_and(|old| places(&old) != places(&new));
        moved = moved || (rule.grouping == Grouping::All && was_elsewhere);
        if rule.grouping == Grouping::All {
            reservations::reserve(txn, &rule.account, id, &planned.choice.taken, &places(&new)).await?;
        }
        let known: BTreeMap<_, _> = asker.facts_by_unit(&planned.units).await?;
        for unit in &planned.units {
            let mut held = Vec::new();
            let mut denied = None;
            let facts = known.get(unit);
            for chosen in &new.chosen {
                let endpoint = endpoints.iter().find(|endpoint| endpoint.id == chosen.endpoint);
                let (Some(facts), Some(endpoint)) = (facts, endpoint) else { continue };
                match asker.permit(txn, facts, endpoint) {
                    Ok(decision) => held.push((endpoint.id, decision)),
                    Err(denial) => denied = denied.or(Some(denial)),
                }
            }
            let gone = txn.scan::<Locks>(&(id, *unit), 1_000).await?;
            let gone = gone.into_iter().map(|((_, _, endpoint), _)| endpoint);
            for endpoint in gone.filter(|old| !held.iter().any(|(endpoint, _)| endpoint == old)) {
                locks::release(txn, id, *unit, endpoint).await?;
            }
            for (endpoint, decision) in held {
                reservations::take(txn, &rule.account, id, *unit, endpoint).await?;
                locks::hold(txn, id, *unit, endpoint, decision).await?;
            }
            if *unit != planned.group {
                tell_unit(txn, id, *unit, denied.map(StuckReason::from), rule.revision).await?;
            }
        }
    }
    Ok(Some(moved))
}

/// Tells whether the account still has the room that a plan takes: what others of its rules were given
/// since is read in the transaction that gives it to this one.
async fn still_fits(
    txn: &Txn,
    id: RuleId,
    rule: &RuleRecord,
    endpoints: &[Endpoint],
    plan: &[Planned],
) -> Result<bool, CatalogError> {
    if plan.iter().all(|planned| planned.choice.taken.is_empty()) {
        return Ok(true);
    }
    let mut quota = Quota::besides(txn, &rule.account, endpoints, Some(id)).await?;
    for (endpoint, bytes) in plan.iter().flat_map(|planned| &planned.choice.taken) {
        if quota.shortfall(*endpoint, *bytes).is_some() {
            return Ok(false);
        }
        quota.take(*endpoint, *bytes);
    }
    Ok(true)
}

/// Tells whether policy still lets every unit of a plan be where it is to be.
async fn still_stands(asker: &mut Asker<'_>, endpoints: &[Endpoint], plan: &[Planned]) -> Result<bool, CatalogError> {
    for planned in plan {
        let data = asker.facts(&planned.units).await?;
        let chosen = planned.choice.chosen.iter().map(|chosen| chosen.endpoint);
        let mut chosen = chosen.filter_map(|id| endpoints.iter().find(|endpoint| endpoint.id == id));
        if chosen.any(|endpoint| asker.denial(&data, endpoint).is_some()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes where a group goes, and returns where it was.
async fn put_placement(
    txn: &Txn,
    id: RuleId,
    group: DidId,
    new: &PlacementRecord,
) -> Result<Option<PlacementRecord>, CatalogError> {
    let key = (id, group);
    let old = txn.get::<Placements>(&key).await?;
    let was_unplaced = old.as_ref().is_some_and(|old| old.unplaced.is_some());
    let difference = i64::from(new.unplaced.is_some()) - i64::from(was_unplaced);
    locks::count_unplaced(txn, id, difference).await?;
    match &old {
        Some(old) => txn.replace::<Placements>(&key, old, new),
        None => txn.put::<Placements>(&key, new),
    }
    Ok(old)
}

/// Tells of a unit that cannot be everywhere where its group is, or that it can be again.
async fn tell_unit(
    txn: &Txn,
    id: RuleId,
    unit: DidId,
    unplaced: Option<StuckReason>,
    revision: u32,
) -> Result<(), CatalogError> {
    let old = txn.get::<Placements>(&(id, unit)).await?;
    match (unplaced, old) {
        (Some(reason), _) => {
            let told = PlacementRecord { chosen: Vec::new(), unplaced: Some(reason), revision };
            put_placement(txn, id, unit, &told).await.map(drop)
        }
        (None, Some(old)) => {
            locks::count_unplaced(txn, id, -i64::from(old.unplaced.is_some())).await?;
            txn.delete::<Placements>(&(id, unit), &old);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

fn places(placement: &PlacementRecord) -> BTreeSet<EndpointId> {
    placement.chosen.iter().map(|chosen| chosen.endpoint).collect()
}

#[cfg(test)]
mod tests;
