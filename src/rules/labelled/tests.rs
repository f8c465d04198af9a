//! How far a walk comes, on a catalog in memory.

use super::*;
use crate::catalog::engine::Engine as _;
use crate::catalog::engine::memory::Memory as MemoryEngine;
use crate::clock::SystemClock;

/// More than two pages.
const LABELLED: u64 = 250;

async fn lake() -> (Arc<MemoryEngine>, Catalog) {
    let engine = MemoryEngine::shared();
    let catalog = Catalog::new(engine.clone(), SystemClock::shared());
    catalog
        .transact(|txn| async move {
            (1..=LABELLED).for_each(|did| txn.put::<DidLabels>(&(DidId(did),), &1));
            Ok::<_, CatalogError>(())
        })
        .await
        .expect("memory does not fail");
    (engine, catalog)
}

#[tokio::test]
async fn a_page_that_could_not_be_looked_at_is_looked_at_again() {
    let ((engine, catalog), judge, mut memory) = (lake().await, Judge::builtin(), Memory::default());
    engine.close().await.expect("closed");
    for _ in 0..3 {
        step(&catalog, &judge, &mut memory).await.expect_err("nothing can be written");
        assert_eq!(memory.after, Some(DidId(0)), "no page is passed over");
    }
    engine.reopen();
    assert_eq!(step(&catalog, &judge, &mut memory).await.expect("a step"), Progress::Made);
    assert_eq!(memory.after, Some(DidId(100)));
}

#[tokio::test]
async fn a_walk_comes_to_its_end_under_steady_changes_and_begins_again_behind_it() {
    let ((_, catalog), judge, mut memory) = (lake().await, Judge::builtin(), Memory::default());
    let mut came = Vec::new();
    for _ in 0..6 {
        let change = catalog.transact(|txn| async move { placing::tell_all(&txn).await });
        change.await.expect("memory does not fail");
        step(&catalog, &judge, &mut memory).await.expect("a step");
        came.push(memory.after.map(|did| did.0));
    }
    assert_eq!(came, [Some(100), Some(200), None, Some(100), Some(200), None]);
    // It began before the last change, so one more follows; then there is nothing to do.
    let mut steps = 0;
    while step(&catalog, &judge, &mut memory).await.expect("a step") == Progress::Made {
        steps += 1;
    }
    assert_eq!(steps, 3);
}
