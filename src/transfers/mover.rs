//! Moves files: keeps a number of jobs in flight and settles their outcomes in batches. One future,
//! nothing spawned: whoever polls it decides where and when it runs.

use std::sync::{Arc, Mutex};

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::catalog::{Catalog, CatalogError};
use crate::policy::judge::Judge;
use crate::storage::registry::Registry;
use crate::transfers::claim::{Cursors, claim};
use crate::transfers::execute::{Tools, execute};
use crate::transfers::job::Job;
use crate::transfers::permit::Guard;
use crate::transfers::settle::{SETTLE_MAX, settle};

/// How many jobs one mover has in flight. Each holds a few chunks of memory.
const IN_FLIGHT: usize = 32;
/// How many settling transactions may be under way while more jobs go on.
const SETTLING: usize = 4;

/// How many jobs are claimed before a mover looks up, to see whether it is to pause or stop.
const JOBS_MAX: usize = 1_000;

/// Moves files until nothing is ready, or enough was done for one go. Returns how many jobs were done.
pub async fn drain(
    catalog: &Catalog,
    judge: &Arc<Judge>,
    stores: &Arc<Registry>,
    cursors: &Arc<Mutex<Cursors>>,
) -> Result<usize, CatalogError> {
    let guard = Arc::new(Guard { catalog: catalog.clone(), judge: Arc::clone(judge) });
    let tools = Tools { stores: Arc::clone(stores), clock: catalog.clock().clone(), guard };
    let jobs = claimed(catalog.clone(), Arc::clone(stores), Arc::clone(cursors));
    let outcomes = jobs
        .map(|job| {
            let tools = tools.clone();
            async move { Ok(execute(job?, tools).await) }
        })
        .buffer_unordered(IN_FLIGHT);
    outcomes
        .ready_chunks(SETTLE_MAX)
        .map(|chunk| {
            let catalog = catalog.clone();
            async move {
                // What was done is settled even if no more could be claimed.
                let (mut outcomes, mut failed) = (Vec::with_capacity(chunk.len()), None);
                for outcome in chunk {
                    match outcome {
                        Ok(outcome) => outcomes.push(outcome),
                        Err(error) => failed = Some(error),
                    }
                }
                let count = outcomes.len();
                settle(&catalog, outcomes).await?;
                failed.map_or(Ok(count), Err)
            }
        })
        .buffer_unordered(SETTLING)
        .try_fold(0, |sum, count| std::future::ready(Ok(sum + count)))
        .await
}

/// Jobs as they are claimed, until a claim comes back empty.
fn claimed(
    catalog: Catalog,
    stores: Arc<Registry>,
    cursors: Arc<Mutex<Cursors>>,
) -> BoxStream<'static, Result<Job, CatalogError>> {
    stream::try_unfold((catalog, stores, cursors, 0), |(catalog, stores, shared, count)| async move {
        if count >= JOBS_MAX {
            return Ok(None);
        }
        let mut cursors = std::mem::take(&mut *shared.lock().expect("nothing panics while holding it"));
        let jobs = claim(&catalog, stores.health(), &mut cursors).await;
        *shared.lock().expect("nothing panics while holding it") = cursors;
        let jobs = jobs?;
        if jobs.is_empty() {
            return Ok::<_, CatalogError>(None);
        }
        let count = count + jobs.len();
        Ok(Some((stream::iter(jobs.into_iter().map(Ok::<_, CatalogError>)), (catalog, stores, shared, count))))
    })
    .try_flatten()
    .boxed()
}
