//! Looks after endpoints that ail: tries them when their rest is over, and lets what failed because
//! of one go on as soon as it is well again, rather than when its own rest ends.

use crate::catalog::engine::Range;
use crate::catalog::ledger::transfers::revive_one;
use crate::catalog::record::{Failed, Ready, TransferRecord, Transfers};
use crate::catalog::table::Parts as _;
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Rows, View, endpoints};
use crate::model::endpoint::Endpoint;
use crate::model::id::TransferId;
use crate::model::stuck::StuckReason;
use crate::model::transfer::TransferState;
use crate::storage::registry::Registry;
use crate::transfers::blame::reason;

/// How many transfers one step looks at in each queue.
const QUEUE_MAX: usize = 10_000;
/// How many one transaction revives.
const CHUNK: usize = 500;

/// Tries the endpoints that ail and do not rest. Returns how many are well again.
pub async fn step(catalog: &Catalog, stores: &Registry) -> Result<usize, CatalogError> {
    let ailing = stores.health().ailing();
    if ailing.is_empty() {
        return Ok(0);
    }
    let (clock, mut recovered) = (catalog.clock(), 0);
    for endpoint in endpoints::all(&catalog.view().await?).await? {
        if !ailing.contains(&endpoint.id) || stores.health().rests(endpoint.id, clock.monotonic()) {
            continue;
        }
        let found = match stores.get(&endpoint) {
            Ok(backend) => backend.probe().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(_) => {
                stores.health().well(endpoint.id);
                let revived = revive(catalog, &endpoint).await?;
                tracing::info!(endpoint.name = %endpoint.name, revived, "{} is well again", endpoint.name);
                recovered += 1;
            }
            Err(error) => {
                stores.health().failed(endpoint.id, reason(&endpoint, &error), error.to_string(), clock.as_ref());
            }
        }
    }
    Ok(recovered)
}

/// Lets every transfer go on at once that failed because of an endpoint.
async fn revive(catalog: &Catalog, endpoint: &Endpoint) -> Result<usize, CatalogError> {
    let view = catalog.view().await?;
    let failed = view.scan::<Failed>(&(), QUEUE_MAX).await?;
    let mut resting: Vec<_> = failed.into_iter().map(|((_, id), ())| (id,)).collect();
    resting.extend(waiting(&view, endpoint, catalog.clock().now().as_millis()).await?);
    let mut because: Vec<TransferId> = Vec::new();
    for chunk in resting.chunks(CHUNK) {
        let records = view.get_many::<Transfers>(chunk).await?;
        let found = chunk.iter().zip(records).filter(|(_, record)| is_because_of(record.as_ref(), endpoint));
        because.extend(found.map(|((id,), _)| *id));
    }
    for chunk in because.chunks(CHUNK) {
        let chunk = chunk.to_vec();
        catalog
            .transact(move |txn| {
                let chunk = chunk.clone();
                async move {
                    for id in chunk {
                        revive_one(&txn, id).await?;
                    }
                    Ok::<_, CatalogError>(())
                }
            })
            .await?;
    }
    catalog.wakes().wake(Topic::Transfers);
    Ok(because.len())
}

/// Transfers to an endpoint that wait for another try.
async fn waiting(view: &View, endpoint: &Endpoint, now: u64) -> Result<Vec<(TransferId,)>, CatalogError> {
    let mut range = Range::prefix(&(endpoint.id,).encode(), QUEUE_MAX);
    range.from = (endpoint.id, now + 1).encode();
    let rows: Rows<Ready> = view.range::<Ready>(range).await?;
    Ok(rows.into_iter().map(|((_, _, id), ())| (id,)).collect())
}

fn is_because_of(record: Option<&TransferRecord>, endpoint: &Endpoint) -> bool {
    let reason = record.and_then(|record| match &record.state {
        TransferState::Failed { reason, .. } => Some(reason),
        TransferState::Waiting { last, .. } => last.as_ref(),
        TransferState::Running { .. } => None,
    });
    reason.and_then(StuckReason::endpoint) == Some(&endpoint.name)
}
