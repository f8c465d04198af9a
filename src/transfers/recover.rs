//! Looks after endpoints that ail: tries them when their rest is over, and lets what failed because
//! of one go on as soon as it is well again, rather than when its own rest ends.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};

use crate::catalog::ledger::transfers::revive_one;
use crate::catalog::record::{Failed, TransferRecord, Transfers};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, endpoints};
use crate::clock::{SharedClock, within};
use crate::model::endpoint::Endpoint;
use crate::model::id::TransferId;
use crate::model::stuck::StuckReason;
use crate::model::transfer::TransferState;
use crate::storage::backend::{Check, StorageError};
use crate::storage::registry::Registry;
use crate::transfers::blame::reason;

/// How many failed transfers are looked at together, and revived by one transaction.
const CHUNK: usize = 500;
/// How many endpoints are tried at once.
const TRIED_AT_ONCE: usize = 4;
/// How long one may take to be tried.
const TRY_SPAN_MAX: Duration = Duration::from_mins(1);

/// Tries the endpoints that ail and do not rest, and revives what is due. Returns how much was done.
pub async fn step(catalog: &Catalog, stores: &Registry) -> Result<usize, CatalogError> {
    let (clock, health) = (catalog.clock(), stores.health());
    let asked = clock.monotonic();
    let (to_try, to_revive) = (health.to_try(asked), health.to_revive(asked));
    if to_try.is_empty() && to_revive.is_empty() {
        return Ok(0);
    }
    let endpoints = endpoints::all(&catalog.view().await?).await?;
    let mut trying = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| to_try.contains(&endpoint.id)) {
        trying.push(try_one(stores, endpoint, clock));
    }
    let tried: Vec<bool> = stream::iter(trying).buffer_unordered(TRIED_AT_ONCE).collect().await;
    let recovered = tried.into_iter().filter(|recovered| *recovered).count();
    let mut revived = 0;
    for endpoint in endpoints.iter().filter(|endpoint| to_revive.contains(&endpoint.id)) {
        revived += revive(catalog, endpoint).await?;
        // Only now: after an error they are still to be revived.
        health.revived(endpoint.id, asked);
    }
    Ok(recovered + revived)
}

/// Tries an endpoint; tells whether it is well.
async fn try_one(stores: &Registry, endpoint: &Endpoint, clock: &SharedClock) -> bool {
    // By what it failed at: one that may only be read is well if it can be.
    let check = stores.health().ailment(endpoint.id).map_or(Check::Reading, |ailment| ailment.check);
    let trying = async { stores.get(endpoint)?.check(check).await };
    let late = || {
        let what = format!("it took more than {} s to be tried", TRY_SPAN_MAX.as_secs());
        Err(StorageError::Unavailable { path: String::new(), what })
    };
    let found = within(clock.as_ref(), TRY_SPAN_MAX, trying).await.unwrap_or_else(late);
    match found {
        Ok(()) => {
            stores.health().recovered(endpoint.id);
            tracing::info!(endpoint.name = %endpoint.name, "{} is well again", endpoint.name);
            true
        }
        Err(error) => {
            let reason = reason(endpoint, &error);
            stores.health().failed_at(check, endpoint.id, reason, error.to_string(), clock.as_ref());
            false
        }
    }
}

/// Lets every transfer go on at once that was given up because of an endpoint. Those that still wait
/// for another try have not long to wait.
async fn revive(catalog: &Catalog, endpoint: &Endpoint) -> Result<usize, CatalogError> {
    let mut after = (0, TransferId(0));
    let mut revived = 0;
    loop {
        // A view of its own for each page: to hold one while much is written is dear.
        let view = catalog.view().await?;
        let failed = view.scan_after::<Failed>(&(), &after, CHUNK).await?;
        let Some((last, ())) = failed.last() else { break };
        after = *last;
        let failed: Vec<_> = failed.into_iter().map(|((_, id), ())| (id,)).collect();
        let records = view.get_many::<Transfers>(&failed).await?;
        drop(view);
        let found = failed.iter().zip(records).filter(|(_, record)| is_because_of(record.as_ref(), endpoint));
        let because: Vec<TransferId> = found.map(|((id,), _)| *id).collect();
        if because.is_empty() {
            continue;
        }
        revived += because.len();
        catalog
            .transact(move |txn| {
                let because = because.clone();
                async move {
                    for id in because {
                        revive_one(&txn, id).await?;
                    }
                    Ok::<_, CatalogError>(())
                }
            })
            .await?;
        catalog.wakes().wake(Topic::Transfers);
    }
    Ok(revived)
}

fn is_because_of(record: Option<&TransferRecord>, endpoint: &Endpoint) -> bool {
    let reason = record.and_then(|record| match &record.state {
        TransferState::Failed { reason, .. } => Some(reason),
        TransferState::Waiting { .. } | TransferState::Running { .. } => None,
    });
    reason.and_then(StuckReason::endpoint) == Some(&endpoint.name)
}
