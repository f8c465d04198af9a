//! Holdings: how much the rules of an account hold at an endpoint. Each unit that they lock there
//! counts once, with its whole length, however many rules lock it and whether its bytes are there yet.
//!
//! Exact, as base plus deltas: a delta is written by whatever changes a holding, in its transaction
//! (the first lock of a unit, the last, members that join or leave a unit that is locked). Summing the
//! locks up instead would cost each placing the reading of all that its account ever placed.

use std::collections::BTreeMap;

use crate::catalog::record::{Dids, Facts, Heads, Holders, HoldingDeltas, Holdings, Locks, Rules, Tally};
use crate::catalog::{Catalog, CatalogError, Txn, View};
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId, RuleId};

/// The most places and accounts that hold one unit.
const HOLDERS_MAX: usize = 10_000;
/// The most deltas that one fold takes.
const FOLD_MAX: usize = 1_000;
/// The most rows of one account that a reader adds up. A folder is never so far behind that there are more.
const READ_MAX: usize = 100_000;
/// How many rows one transaction of a rebuilding looks at.
const PAGE: usize = 500;
/// Which way of counting the stored holdings follow.
const COUNTED: &str = "holdings_counted";
/// Raised whenever an account may hold more than before, or holds less.
const REVISION: &str = "holdings_revision";

/// The length of a unit: what a dataset holds, or a file's own.
pub async fn length(view: &View, unit: DidId) -> Result<Tally, CatalogError> {
    if let Some(head) = view.get::<Heads>(&(unit,)).await? {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        return Ok(Tally { files: count(head.members), bytes: count(head.bytes) });
    }
    let record = view.get::<Dids>(&(unit,)).await?;
    Ok(record.as_ref().and_then(|record| record.file()).map_or(Tally::default(), |facts| Tally::one(facts.bytes)))
}

/// One more lock of a rule holds a unit at an endpoint.
pub(super) async fn lock(txn: &Txn, rule: RuleId, unit: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    let Some(account) = account_of(txn, rule).await? else {
        return Ok(());
    };
    let key = (unit, endpoint, account);
    let locks = txn.get::<Holders>(&key).await?.unwrap_or(0);
    txn.put::<Holders>(&key, &(locks + 1));
    if locks == 0 {
        let length = length(txn, unit).await?;
        add(txn, key.2, endpoint, length);
    }
    Ok(())
}

/// A lock of a rule on a unit at an endpoint has gone.
pub(super) async fn unlock(txn: &Txn, rule: RuleId, unit: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    let Some(account) = account_of(txn, rule).await? else {
        return Ok(());
    };
    let key = (unit, endpoint, account);
    match txn.get::<Holders>(&key).await? {
        Some(locks @ 2..) => txn.put::<Holders>(&key, &(locks - 1)),
        Some(_) => {
            txn.clear::<Holders>(&key);
            let length = length(txn, unit).await?;
            add(txn, key.2, endpoint, -length);
        }
        None => {}
    }
    Ok(())
}

async fn account_of(view: &View, rule: RuleId) -> Result<Option<String>, CatalogError> {
    Ok(view.get::<Rules>(&(rule,)).await?.map(|rule| rule.account.to_string()))
}

/// A dataset has become longer or shorter; whoever holds it holds so much more or less.
pub(super) async fn grow(txn: &Txn, dataset: DidId, by: Tally) -> Result<(), CatalogError> {
    for ((_, endpoint, account), _) in txn.scan::<Holders>(&(dataset,), HOLDERS_MAX).await? {
        add(txn, account, endpoint, by);
    }
    Ok(())
}

fn add(txn: &Txn, account: String, endpoint: EndpointId, delta: Tally) {
    if delta != Tally::default() {
        txn.put::<HoldingDeltas>(&(account, endpoint, txn.fresh()), &delta);
    }
}

/// What an account's rules hold, by endpoint. Endpoints where they hold nothing are left out.
pub async fn held(view: &View, account: &AccountName) -> Result<BTreeMap<EndpointId, Tally>, CatalogError> {
    let mut sums = BTreeMap::<EndpointId, Tally>::new();
    for ((_, endpoint), base) in view.scan::<Holdings>(&(account.to_string(),), READ_MAX).await? {
        *sums.entry(endpoint).or_default() += base;
    }
    for ((_, endpoint, _), delta) in view.scan::<HoldingDeltas>(&(account.to_string(),), READ_MAX).await? {
        *sums.entry(endpoint).or_default() += delta;
    }
    sums.retain(|_, tally| *tally != Tally::default());
    Ok(sums)
}

/// The endpoints where an account's rules hold a unit.
pub async fn holding(view: &View, unit: DidId, account: &AccountName) -> Result<Vec<EndpointId>, CatalogError> {
    let rows = view.scan::<Holders>(&(unit,), HOLDERS_MAX).await?;
    let own = rows.into_iter().filter(|((_, _, holder), _)| holder == account.as_str());
    Ok(own.map(|((_, endpoint, _), _)| endpoint).collect())
}

/// Rises whenever an account may hold more, or holds less, so that rules without room are worth
/// another look.
pub async fn revision(view: &View) -> Result<u64, CatalogError> {
    Ok(view.get::<Facts>(&(REVISION.to_owned(),)).await?.unwrap_or(0))
}

/// Tells whoever waits for room that there may be some.
pub async fn tell_room(txn: &Txn) -> Result<(), CatalogError> {
    txn.put::<Facts>(&(REVISION.to_owned(),), &(revision(txn).await? + 1));
    Ok(())
}

/// Sums a page of deltas into their bases. Returns how many there were.
pub async fn fold(catalog: &Catalog) -> Result<usize, CatalogError> {
    if !catalog.view().await?.any::<HoldingDeltas>(&()).await? {
        return Ok(0);
    }
    catalog
        .transact_bulk(|txn| async move {
            let deltas = txn.scan::<HoldingDeltas>(&(), FOLD_MAX).await?;
            let mut sums = BTreeMap::<(String, EndpointId), Tally>::new();
            for ((account, endpoint, id), delta) in &deltas {
                *sums.entry((account.clone(), *endpoint)).or_default() += *delta;
                txn.clear::<HoldingDeltas>(&(account.clone(), *endpoint, *id));
            }
            if sums.values().any(|sum| sum.bytes < 0) {
                tell_room(&txn).await?;
            }
            for (key, sum) in sums {
                let base = txn.get::<Holdings>(&key).await?.unwrap_or_default() + sum;
                if base == Tally::default() {
                    txn.clear::<Holdings>(&key);
                } else {
                    txn.put::<Holdings>(&key, &base);
                }
            }
            Ok(deltas.len())
        })
        .await
}

/// Counts the locks of a catalog that is older than holdings are. Called at the start, before
/// anything else writes; one that was broken off begins afresh.
pub async fn count_once(catalog: &Catalog) -> Result<(), CatalogError> {
    let counted = (COUNTED.to_owned(),);
    if catalog.view().await?.get::<Facts>(&counted).await?.is_some() {
        return Ok(());
    }
    while forget_page(catalog).await? > 0 {}
    let mut after = Some((RuleId(0), DidId(0), EndpointId(0)));
    while let Some(from) = after {
        after = count_page(catalog, from).await?;
    }
    catalog
        .transact(move |txn| {
            txn.put::<Facts>(&(COUNTED.to_owned(),), &1);
            async { Ok(()) }
        })
        .await
}

async fn forget_page(catalog: &Catalog) -> Result<usize, CatalogError> {
    catalog
        .transact_bulk(|txn| async move {
            let holders = txn.scan::<Holders>(&(), PAGE).await?;
            let bases = txn.scan::<Holdings>(&(), PAGE).await?;
            let deltas = txn.scan::<HoldingDeltas>(&(), PAGE).await?;
            for (key, _) in &holders {
                txn.clear::<Holders>(key);
            }
            for (key, _) in &bases {
                txn.clear::<Holdings>(key);
            }
            for (key, _) in &deltas {
                txn.clear::<HoldingDeltas>(key);
            }
            Ok(holders.len() + bases.len() + deltas.len())
        })
        .await
}

type LockKey = (RuleId, DidId, EndpointId);

async fn count_page(catalog: &Catalog, from: LockKey) -> Result<Option<LockKey>, CatalogError> {
    catalog
        .transact_bulk(move |txn| async move {
            let rows = txn.scan_after::<Locks>(&(), &from, PAGE).await?;
            for ((rule, unit, endpoint), _) in &rows {
                lock(&txn, *rule, *unit, *endpoint).await?;
            }
            Ok(rows.last().filter(|_| rows.len() == PAGE).map(|(key, _)| *key))
        })
        .await
}
