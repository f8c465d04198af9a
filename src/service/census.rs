//! How many there are of what, for metrics: rules and transfers by state, what is stuck by reason.
//!
//! Counting walks the records, so it is bounded, and its caller keeps the answer for a while.

use std::collections::BTreeMap;

use crate::catalog::ledger::locks;
use crate::catalog::record::{Failed, Locks, Placements, Ready, Rules, Running, Unplaced};
use crate::catalog::table::Typed;
use crate::catalog::{Catalog, CatalogError, View};
use crate::model::lock::LockState;
use crate::model::rule::{RuleState, state};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::telemetry::meters::Counted;

/// How many rows are read at once.
const PAGE: usize = 2_000;
/// The most rows of one kind that are counted.
const ROWS_MAX: usize = 200_000;

/// Asks whether the account may see numbers about everybody.
pub fn permit(ctx: &Context) -> Result<(), ServiceError> {
    ctx.permit(Action::Administer, "metrics").map(|_| ())
}

/// Counts.
pub async fn take(catalog: &Catalog) -> Result<Vec<Counted>, CatalogError> {
    let view = catalog.view().await?;
    let (rules, stuck) = (rules(&view).await?, stuck(&view).await?);
    let transfers = vec![
        ("waiting", count::<Ready>(&view).await?),
        ("running", count::<Running>(&view).await?),
        ("failed", count::<Failed>(&view).await?),
    ];
    Ok(vec![
        Counted { name: "rules", help: "Rules, by state", label: "state", values: rules },
        Counted { name: "transfers", help: "Transfers that are not done, by state", label: "state", values: transfers },
        Counted {
            name: "stuck",
            help: "Locks and placements that are stuck, by reason",
            label: "reason",
            values: stuck,
        },
    ])
}

/// Shows every row of a table to `each`, as many as are counted.
async fn walk<T: Typed>(view: &View, mut each: impl FnMut(&T::Key, &T::Value)) -> Result<(), CatalogError> {
    let mut seen = 0;
    let mut rows = view.scan::<T>(&(), PAGE).await?;
    while let Some((last, _)) = rows.last() {
        seen += rows.len();
        let last = last.clone();
        for (key, value) in &rows {
            each(key, value);
        }
        if rows.len() < PAGE || seen >= ROWS_MAX {
            break;
        }
        rows = view.scan_after::<T>(&(), &last, PAGE).await?;
    }
    Ok(())
}

async fn count<T: Typed>(view: &View) -> Result<u64, CatalogError> {
    let mut count = 0;
    walk::<T>(view, |_, _| count += 1).await?;
    Ok(count)
}

async fn rules(view: &View) -> Result<Vec<(&'static str, u64)>, CatalogError> {
    let mut all = Vec::new();
    walk::<Rules>(view, |(id,), rule| all.push((*id, rule.did, rule.releasing))).await?;
    let (mut ok, mut replicating, mut stuck, mut releasing) = (0, 0, 0, 0);
    for (id, did, ends) in all {
        match state(ends, locks::counts(view, id, did).await?) {
            RuleState::Ok => ok += 1,
            RuleState::Replicating => replicating += 1,
            RuleState::Stuck => stuck += 1,
            RuleState::Releasing => releasing += 1,
        }
    }
    Ok(vec![("ok", ok), ("replicating", replicating), ("stuck", stuck), ("releasing", releasing)])
}

async fn stuck(view: &View) -> Result<Vec<(&'static str, u64)>, CatalogError> {
    let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
    walk::<Locks>(view, |_, lock| {
        if let LockState::Stuck { reason } = &lock.state {
            *reasons.entry(reason.code()).or_default() += 1;
        }
    })
    .await?;
    let mut unplaced = Vec::new();
    walk::<Unplaced>(view, |key, ()| unplaced.push(*key)).await?;
    for keys in unplaced.chunks(PAGE) {
        for placement in view.get_many::<Placements>(keys).await?.into_iter().flatten() {
            if let Some(reason) = placement.unplaced {
                *reasons.entry(reason.code()).or_default() += 1;
            }
        }
    }
    Ok(reasons.into_iter().collect())
}
