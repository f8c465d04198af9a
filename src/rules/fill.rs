//! Fills units: walks a locked unit's files from a cursor and plans a transfer for each that its
//! endpoint lacks, no more at a time than the window of the destination has room for.

use crate::catalog::ledger::membership::REPLICAS_MAX;
use crate::catalog::ledger::transfers::plan;
use crate::catalog::record::{
    ContentRecord, Contents, Dids, Filling, Heads, Locks, LocksByUnit, Ready, Replicas, WalkPosition,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Rows, Txn};
use crate::model::id::{DidId, EndpointId};
use crate::model::replica::ReplicaState;
use crate::rules::Progress;
use crate::rules::walk::members_from;

/// How many transfers may wait for one destination; a rule on a billion files plans as it goes.
const WINDOW: usize = 4_000;
/// How many files one transaction looks at. A missing one costs about six keys.
const PAGE: usize = 500;
/// How many units one step looks at.
const UNITS: usize = 100;

/// Goes on with filling, a page for each of a few units. Units behind a full window wait.
pub async fn step(catalog: &Catalog, after: &mut Option<(DidId, EndpointId)>) -> Result<Progress, CatalogError> {
    let view = catalog.view().await?;
    let rows = match after.take() {
        Some(key) => view.scan_after::<Filling>(&(), &key, UNITS).await?,
        None => view.scan::<Filling>(&(), UNITS).await?,
    };
    let mut progress = Progress::Nothing;
    for ((unit, endpoint), _) in &rows {
        let waiting = view.scan::<Ready>(&(*endpoint,), WINDOW).await?;
        if waiting.len() < WINDOW {
            fill_page(catalog, *unit, *endpoint).await?;
            progress = Progress::Made;
        }
    }
    if rows.len() == UNITS {
        *after = rows.last().map(|(key, _)| *key);
        progress = Progress::Made;
    }
    if progress == Progress::Made {
        catalog.wakes().wake(Topic::Transfers);
    }
    Ok(progress)
}

async fn fill_page(catalog: &Catalog, unit: DidId, endpoint: EndpointId) -> Result<(), CatalogError> {
    catalog
        .transact_bulk(move |txn| async move {
            let Some(seq) = txn.get::<Filling>(&(unit, endpoint)).await? else {
                return Ok(());
            };
            let holders = txn.scan::<LocksByUnit>(&(unit, endpoint), 1).await?;
            let Some(((_, _, rule), ())) = holders.first() else {
                txn.clear::<Filling>(&(unit, endpoint));
                return Ok(());
            };
            let lock = txn.get::<Locks>(&(*rule, unit, endpoint)).await?;
            let Some(decision) = lock.map(|lock| lock.decision) else {
                return Ok(());
            };
            let (files, next) = next_files(&txn, unit, seq).await?;
            plan(&txn, &missing(&txn, &files, endpoint).await?, endpoint, decision).await?;
            match next {
                Some(next) => txn.put::<Filling>(&(unit, endpoint), &next),
                None => txn.clear::<Filling>(&(unit, endpoint)),
            }
            Ok(())
        })
        .await
}

/// Files of a unit from a place on, and where to go on; `None` at the end.
async fn next_files(txn: &Txn, unit: DidId, seq: u64) -> Result<(Vec<DidId>, Option<u64>), CatalogError> {
    if txn.get::<Heads>(&(unit,)).await?.is_none() {
        return Ok((vec![unit], None));
    }
    let rows = txn.range::<Contents>(members_from(WalkPosition { parent: unit, seq }, PAGE)).await?;
    let next = rows.last().filter(|_| rows.len() == PAGE).map(|((_, seq), _)| seq + 1);
    let members = rows.into_iter().filter_map(|(_, content)| match content {
        ContentRecord::Member(file) => Some(file),
        ContentRecord::Detached(_) => None,
    });
    Ok((members.collect(), next))
}

/// Those of some files that have no available replica at an endpoint, with their lengths. Reads by
/// runs, as files of a dataset mostly have neighbouring numbers.
async fn missing(txn: &Txn, files: &[DidId], endpoint: EndpointId) -> Result<Vec<(DidId, u64)>, CatalogError> {
    let keys: Vec<_> = files.iter().map(|file| (*file,)).collect();
    let replicas = txn.scan_many::<Replicas>(&keys, REPLICAS_MAX).await?;
    let is_there = |rows: &Rows<Replicas>| {
        rows.iter().any(|((_, at), replica)| *at == endpoint && replica.state == ReplicaState::Available)
    };
    let lacking: Vec<_> =
        keys.into_iter().zip(replicas).filter(|(_, rows)| !is_there(rows)).map(|(key, _)| key).collect();
    let records = txn.get_run::<Dids>(&lacking).await?;
    let bytes = records.into_iter().map(|record| record.and_then(|r| r.file().map(|facts| facts.bytes)).unwrap_or(0));
    Ok(lacking.into_iter().map(|(file,)| file).zip(bytes).collect())
}
