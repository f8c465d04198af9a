//! The reconcilers as tasks: each looks for work, and sleeps until it is woken or its period is
//! over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dapple::catalog::ledger::holdings;
use dapple::catalog::wake::Topic;
use dapple::catalog::{CatalogError, endpoints};
use dapple::model::id::RuleId;
use dapple::rules::{Progress, evaluate, expire, fill, fold, reconsider};
use dapple::service::Lake;
use dapple::transfers::claim::{Cursors, reap};
use dapple::transfers::mover::drain;
use dapple::transfers::recover;
use futures::future::select;

use crate::executor::Executor;
use crate::log::Log;

/// How long a worker sleeps at most.
const PERIOD: Duration = Duration::from_secs(30);

/// Starts every worker of a process.
pub(crate) fn start(executor: &mut Executor, lake: &Arc<Lake>, log: &Log) {
    let given = || (Arc::clone(lake), log.clone());
    executor.spawn(rules(given(), "evaluate", |lake| {
        Box::pin(async move { evaluate::step(&lake.catalog, &lake.judge, &mut RuleId(0)).await })
    }));
    executor.spawn(rules(given(), "reconsider", |lake| Box::pin(async move { reconsider::step(&lake.catalog).await })));
    executor.spawn(rules(given(), "expire", |lake| Box::pin(async move { expire::step(&lake.catalog).await })));
    executor.spawn(filler(given()));
    executor.spawn(folder(given()));
    executor.spawn(mover(given()));
    executor.spawn(reviver(given()));
    executor.spawn(sweeper(given()));
    executor.spawn(recoverer(given()));
}

type Given = (Arc<Lake>, Log);
type Step = futures::future::BoxFuture<'static, Result<Progress, CatalogError>>;

/// Notes an outcome; tells whether to look again at once.
fn noted(log: &Log, worker: &str, outcome: Result<Progress, CatalogError>) -> bool {
    match outcome {
        Ok(progress) => progress == Progress::Made,
        Err(error) => {
            log.note(format!("{worker} failed: {error}"));
            false
        }
    }
}

async fn rules((lake, log): Given, name: &'static str, step: fn(Arc<Lake>) -> Step) {
    loop {
        let woken = Box::pin(lake.catalog.wakes().waiting(Topic::Rules));
        if !noted(&log, name, step(Arc::clone(&lake)).await) {
            select(woken, lake.catalog.clock().sleep(PERIOD)).await;
        }
    }
}

async fn filler((lake, log): Given) {
    let mut after = None;
    loop {
        let woken = Box::pin(lake.catalog.wakes().waiting(Topic::Filling));
        if !noted(&log, "fill", fill::step(&lake.catalog, &mut after).await) {
            select(woken, lake.catalog.clock().sleep(PERIOD)).await;
        }
    }
}

async fn folder((lake, log): Given) {
    let mut cursor = fold::Cursor::default();
    loop {
        let woken = Box::pin(lake.catalog.wakes().waiting(Topic::Folds));
        let held = holdings::fold(&lake.catalog).await;
        let held = held.map(|count| if count > 0 { Progress::Made } else { Progress::Nothing });
        noted(&log, "fold holdings", held);
        if !noted(&log, "fold", fold::step(&lake.catalog, &mut cursor).await) {
            select(woken, lake.catalog.clock().sleep(PERIOD)).await;
        }
    }
}

async fn mover((lake, log): Given) {
    let cursors = Arc::new(Mutex::new(Cursors::default()));
    loop {
        let woken = Box::pin(lake.catalog.wakes().waiting(Topic::Transfers));
        match drain(&lake.catalog, &lake.judge, &lake.stores, &cursors, &|| false).await {
            Ok(0) => {
                select(woken, lake.catalog.clock().sleep(Duration::from_secs(5))).await;
            }
            Ok(count) => log.note(format!("moved {count}")),
            Err(error) => {
                log.note(format!("mover failed: {error}"));
                lake.catalog.clock().sleep(PERIOD).await;
            }
        }
    }
}

/// Places again what found no place once endpoints have changed.
async fn reviver((lake, log): Given) {
    let mut seen = 0;
    loop {
        let woken = Box::pin(lake.catalog.wakes().waiting(Topic::Rules));
        let outcome = revive(&lake, &mut seen).await;
        noted(&log, "revive", outcome);
        select(woken, lake.catalog.clock().sleep(PERIOD)).await;
    }
}

async fn revive(lake: &Lake, seen: &mut u64) -> Result<Progress, CatalogError> {
    let revision = endpoints::revision(&lake.catalog.view().await?).await?;
    if revision == *seen {
        return Ok(Progress::Nothing);
    }
    let progress = evaluate::revive_unplaced(&lake.catalog).await?;
    lake.catalog.wakes().wake(Topic::Rules);
    *seen = revision;
    Ok(progress)
}

/// Looks after endpoints that ail.
async fn recoverer((lake, log): Given) {
    loop {
        match recover::step(&lake.catalog, &lake.stores).await {
            Ok(0) => {}
            Ok(count) => log.note(format!("{count} endpoints are well again")),
            Err(error) => log.note(format!("recover failed: {error}")),
        }
        lake.catalog.clock().sleep(Duration::from_secs(5)).await;
    }
}

/// Gives back what a process that is gone had, at the start and ever after.
async fn sweeper((lake, log): Given) {
    loop {
        match reap(&lake.catalog).await {
            Ok(0) => {}
            Ok(count) => log.note(format!("gave back {count} transfers")),
            Err(error) => log.note(format!("reap failed: {error}")),
        }
        match lake.uploads.sweep().await {
            Ok(0) => {}
            Ok(count) => log.note(format!("swept {count} uploads")),
            Err(error) => log.note(format!("sweep failed: {error}")),
        }
        lake.catalog.clock().sleep(Duration::from_secs(30)).await;
    }
}
