//! Coverage: how much of a dataset is at which endpoint, as far as whoever asks may know it.

use std::collections::BTreeMap;

use crate::catalog::View;
use crate::catalog::ledger::tally::coverage_everywhere;
use crate::catalog::record::{Heads, Replicas, Tally};
use crate::model::did::{Did, DidKind};
use crate::model::id::EndpointId;
use crate::model::replica::ReplicaState;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::dids::shown;
use crate::service::error::ServiceError;
use crate::service::sight::{Seen, Sight};
use crate::service::view::{CoverageView, DatasetCoverage};

/// The most members that are counted one by one for somebody who may not know them all.
const COUNTED_MAX: usize = 1_000;
/// The most replicas of one file that are counted.
const REPLICAS_MAX: usize = 1_000;

/// What of a dataset is where. Who may write it is told of all of it; others of what they see, or
/// nothing if it is large, as the sum would tell of what is hidden.
pub async fn of_dataset(ctx: &Context, did: &Did) -> Result<Option<Vec<CoverageView>>, ServiceError> {
    Ok(show(ctx, did).await?.endpoints)
}

/// The same, with how much there is in all.
pub async fn show(ctx: &Context, did: &Did) -> Result<DatasetCoverage, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (seen, _) = sight.did_for(Action::Discover, did).await?;
    if seen.record.kind() != DidKind::Dataset {
        return Err(ServiceError::Invalid {
            code: "invalid-kind",
            detail: format!("`{did}` is a {}, not a dataset", seen.record.kind()),
            hint: Some(match seen.record.kind() {
                DidKind::File => format!("`dapple replica list '{did}'` tells where a file is"),
                _ => format!("ask for one of its datasets: `dapple ls '{did}'`"),
            }),
        });
    }
    let whole = shown(&mut sight, seen.clone()).await?.view;
    let endpoints = at_endpoints(&view, &mut sight, &seen).await?;
    Ok(DatasetCoverage { did: whole.did, files: whole.length, bytes: whole.bytes, endpoints })
}

async fn at_endpoints(view: &View, sight: &mut Sight, seen: &Seen) -> Result<Option<Vec<CoverageView>>, ServiceError> {
    let sums = if sight.knows_all(seen) {
        coverage_everywhere(view, seen.id).await?
    } else {
        match counted(view, sight, seen).await? {
            Some(sums) => sums,
            None => return Ok(None),
        }
    };
    let there = sight.endpoints().await?.into_iter().filter_map(|endpoint| {
        let tally = sums.get(&endpoint.id)?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Some(CoverageView { endpoint: endpoint.name, files: number(tally.files), bytes: number(tally.bytes) })
    });
    Ok(Some(there.collect()))
}

async fn counted(
    view: &View,
    sight: &mut Sight,
    seen: &Seen,
) -> Result<Option<BTreeMap<EndpointId, Tally>>, ServiceError> {
    let head = view.get::<Heads>(&(seen.id,)).await?.unwrap_or_default();
    if head.members > COUNTED_MAX as u64 {
        return Ok(None);
    }
    let Some(files) = sight.all_members(seen.id, COUNTED_MAX).await? else { return Ok(None) };
    let prefixes: Vec<_> = files.iter().map(|seen| (seen.id,)).collect();
    let mut sums = BTreeMap::<EndpointId, Tally>::new();
    for (file, replicas) in files.iter().zip(view.scan_many::<Replicas>(&prefixes, REPLICAS_MAX).await?) {
        let bytes = file.record.file().map_or(0, |facts| facts.bytes);
        for ((_, endpoint), replica) in replicas {
            if replica.state == ReplicaState::Available {
                *sums.entry(endpoint).or_default() += Tally::one(bytes);
            }
        }
    }
    Ok(Some(sums))
}
