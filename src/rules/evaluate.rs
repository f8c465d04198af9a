//! Evaluates rules: chooses endpoints from a snapshot, outside any write transaction, then writes
//! placements and locks page by page. Each page checks that the rule has not been changed since.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::ledger::{locks, tally};
use crate::catalog::record::{
    ChosenRecord, DecisionRecord, Dids, Locks, PlacementRecord, Placements, RuleRecord, RuleWork, RuleWorkRecord,
    Rules, Unplaced, WalkPosition,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Txn, View, decisions, endpoints};
use crate::model::endpoint::Endpoint;
use crate::model::id::{DecisionId, DidId, EndpointId, RuleId};
use crate::model::rule::Grouping;
use crate::policy::decision::{self, Action, Request};
use crate::rules::place::{Candidate, Choice, place};
use crate::rules::walk::{Level, Stretch, beginning, walk};
use crate::rules::{Progress, expire, reconsider};

/// How many entries of a walk one page looks at.
const PAGE: usize = 100;
/// How many copies of units one page places; each costs about a dozen keys, when it moves.
const COPIES: usize = 300;
/// How many rules one step takes on.
const RULES: usize = 20;

/// Does a page of work on each of a few rules that have some.
pub async fn step(catalog: &Catalog) -> Result<Progress, CatalogError> {
    let work = catalog.view().await?.scan::<RuleWork>(&(), RULES).await?;
    let mut progress = Progress::Nothing;
    let mut failed = None;
    for ((rule,), work) in work {
        progress = Progress::Made;
        // A rule that cannot be worked on keeps none of the others waiting.
        if let Err(error) = work_on(catalog, rule, &work).await {
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
pub async fn step_of(catalog: &Catalog, rule: RuleId) -> Result<Progress, CatalogError> {
    match catalog.view().await?.get::<RuleWork>(&(rule,)).await? {
        Some(work) => work_on(catalog, rule, &work).await.map(|()| Progress::Made),
        None => Ok(Progress::Nothing),
    }
}

async fn work_on(catalog: &Catalog, rule: RuleId, work: &RuleWorkRecord) -> Result<(), CatalogError> {
    if work.release {
        expire::release_page(catalog, rule).await
    } else if let Some(positions) = &work.place {
        place_page(catalog, rule, work, positions).await
    } else {
        reconsider::sweep_page(catalog, rule, work).await
    }
}

/// Sets a rule's placing to begin afresh, over everything it is on.
pub async fn begin(txn: &Txn, rule: RuleId, did: DidId) -> Result<(), CatalogError> {
    let work = txn.get::<RuleWork>(&(rule,)).await?.unwrap_or_default();
    txn.put::<RuleWork>(&(rule,), &RuleWorkRecord { place: Some(beginning(did)), ..work });
    Ok(())
}

/// Sets placing to begin afresh for every rule that found no place for some group: called when
/// endpoints have changed.
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
    let plan = plan(&view, id, &rule, &units).await?;
    let next = RuleWorkRecord { place: (!rest.is_empty()).then_some(rest), ..work.clone() };
    let expected = work.clone();
    let is_whole = next.place.is_none() && *positions == beginning(rule.did);
    catalog
        .transact_bulk(move |txn| {
            let (plan, next, expected, rule) = (plan.clone(), next.clone(), expected.clone(), rule.clone());
            async move {
                let current = txn.get::<Rules>(&(id,)).await?;
                let unchanged = current.is_some_and(|now| now.revision == rule.revision && !now.releasing);
                if !unchanged || txn.get::<RuleWork>(&(id,)).await? != Some(expected) {
                    return Ok(());
                }
                let moved = carry_out(&txn, id, &rule, plan).await?;
                let next = if moved && !is_whole {
                    // Units of other pages still stand where their group was before.
                    RuleWorkRecord { place: Some(beginning(rule.did)), ..next }
                } else {
                    next
                };
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
async fn plan(view: &View, id: RuleId, rule: &RuleRecord, units: &[DidId]) -> Result<Vec<Planned>, CatalogError> {
    let endpoints = endpoints::all(view).await?;
    let matching = rule.expression.select(&endpoints);
    let mut groups: Vec<(DidId, Vec<DidId>)> = Vec::new();
    if rule.grouping == Grouping::All {
        groups.push((rule.did, units.to_vec()));
    } else {
        groups.extend(units.iter().map(|unit| (*unit, vec![*unit])));
    }
    let mut plan = Vec::with_capacity(groups.len());
    for (group, units) in groups {
        let held = view.get::<Placements>(&(id, group)).await?.map_or(Vec::new(), |placement| placement.chosen);
        let there = bytes_there(view, &units).await?;
        let candidates: Vec<_> = matching.iter().map(|endpoint| candidate(rule, endpoint, &held, &there)).collect();
        plan.push(Planned { group, units, choice: place(group, rule.copies, &candidates) });
    }
    Ok(plan)
}

fn candidate(
    rule: &RuleRecord,
    endpoint: &Endpoint,
    held: &[ChosenRecord],
    there: &BTreeMap<EndpointId, u64>,
) -> Candidate {
    Candidate {
        endpoint: endpoint.id,
        bytes_there: there.get(&endpoint.id).copied().unwrap_or(0),
        held: held.iter().any(|chosen| chosen.endpoint == endpoint.id),
        allowed: decision::decide(&request(rule, endpoint)).allows(),
    }
}

fn request(rule: &RuleRecord, endpoint: &Endpoint) -> Request {
    Request {
        principal: rule.account.clone(),
        action: Action::Place,
        resource: format!("did {}", rule.did),
        endpoint: Some(endpoint.name.clone()),
    }
}

/// Bytes of the units that are available, by endpoint. An empty file counts as one byte, so that
/// having it is better than not having it.
async fn bytes_there(view: &View, units: &[DidId]) -> Result<BTreeMap<EndpointId, u64>, CatalogError> {
    use crate::catalog::record::Replicas;
    let mut sums = BTreeMap::new();
    for unit in units {
        let record = view.get::<Dids>(&(*unit,)).await?;
        match record.as_ref().and_then(|record| record.file()) {
            Some(facts) => {
                for ((_, endpoint), _) in view.scan::<Replicas>(&(*unit,), 1_000).await? {
                    *sums.entry(endpoint).or_insert(0) += facts.bytes.max(1);
                }
            }
            None => {
                for (endpoint, tally) in tally::coverage_everywhere(view, *unit).await? {
                    let bytes = u64::try_from(tally.bytes.max(tally.files)).unwrap_or(0);
                    *sums.entry(endpoint).or_insert(0) += bytes;
                }
            }
        }
    }
    Ok(sums)
}

/// Writes a page: placements, locks, and one recorded decision for each endpoint. Returns whether a
/// group that units of other pages share has moved.
async fn carry_out(txn: &Txn, id: RuleId, rule: &RuleRecord, plan: Vec<Planned>) -> Result<bool, CatalogError> {
    let mut decided = BTreeMap::new();
    let mut moved = false;
    for planned in plan {
        let key = (id, planned.group);
        let old = txn.get::<Placements>(&key).await?;
        let new = PlacementRecord {
            chosen: planned.choice.chosen.clone(),
            unplaced: planned.choice.unplaced.clone(),
            revision: rule.revision,
        };
        let was_elsewhere = old.as_ref().is_some_and(|old| places(old) != places(&new));
        moved = moved || (rule.grouping == Grouping::All && was_elsewhere);
        let was_unplaced = old.as_ref().is_some_and(|old| old.unplaced.is_some());
        let difference = i64::from(new.unplaced.is_some()) - i64::from(was_unplaced);
        locks::count_unplaced(txn, id, difference).await?;
        match &old {
            Some(old) => txn.replace::<Placements>(&key, old, &new),
            None => txn.put::<Placements>(&key, &new),
        }
        for unit in &planned.units {
            let gone = txn.scan::<Locks>(&(id, *unit), 1_000).await?;
            let gone = gone.into_iter().map(|((_, _, endpoint), _)| endpoint);
            for endpoint in gone.filter(|held| !new.chosen.iter().any(|chosen| chosen.endpoint == *held)) {
                locks::release(txn, id, *unit, endpoint).await?;
            }
            for chosen in &new.chosen {
                let decision = decide_once(txn, rule, chosen.endpoint, &mut decided).await?;
                if let Some(decision) = decision {
                    locks::hold(txn, id, *unit, chosen.endpoint, decision).await?;
                }
            }
        }
    }
    Ok(moved)
}

fn places(placement: &PlacementRecord) -> BTreeSet<EndpointId> {
    placement.chosen.iter().map(|chosen| chosen.endpoint).collect()
}

/// Decides and records Place for an endpoint, once per page. `None` if policy no longer allows it.
async fn decide_once(
    txn: &Txn,
    rule: &RuleRecord,
    endpoint: EndpointId,
    decided: &mut BTreeMap<EndpointId, Option<DecisionId>>,
) -> Result<Option<DecisionId>, CatalogError> {
    if let Some(decision) = decided.get(&endpoint) {
        return Ok(*decision);
    }
    let Some(model) = endpoints::by_id(txn, endpoint).await? else {
        return Ok(None);
    };
    let request = request(rule, &model);
    let decision = decision::decide(&request);
    let record = DecisionRecord {
        principal: request.principal,
        action: request.action.name().to_owned(),
        resource: request.resource,
        endpoint: request.endpoint,
        allowed: decision.allows(),
        policies: decision.policies.iter().map(|policy| (*policy).to_owned()).collect(),
        at: txn.now(),
    };
    let id = decisions::record(txn, &record);
    let allowed = decision.allows().then_some(id);
    decided.insert(endpoint, allowed);
    Ok(allowed)
}
